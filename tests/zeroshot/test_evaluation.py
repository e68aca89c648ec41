"""Accuracies and calibrated stacking against plain loops and scikit-learn, on random and on adversarial scores."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import SplitResult, confusion_matrix, correctness, evaluate, evaluate_each, stacking
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.protocols import Protocol, all_classes
from cezsar.zeroshot.scores import Scores


def make(matrix, labels, classes=None, column_class=None, **others):
    matrix = np.asarray(matrix, np.float32)
    names = [f"c{i:02}" for i in range(classes or matrix.shape[1])]
    spelt = ["" if label is None else names[label] for label in labels]
    ids = [str(i) for i in range(len(matrix))]
    return Scores(ids, spelt, names, {"VE": matrix} | others, column_class=column_class)


def random_scores(seed, n=120, classes=9, levels=None, sentences=1):
    """Random scores in two modalities; few `levels` make ties, and rows and columns of zeros."""
    rng = np.random.default_rng(seed)

    def draw():
        shape = (n, classes * sentences)
        values = rng.normal(size=shape) if levels is None else rng.integers(levels, size=shape) - levels // 3
        return (values * (rng.random((n, 1)) > 0.1)).astype(np.float32)

    labels = [None if rng.random() < 0.1 else int(rng.integers(classes)) for _ in range(n)]
    return make(draw(), labels, classes, np.repeat(np.arange(classes), sentences), O=draw())


def loop_run(scores, weights, names, ks=(1, 5)):
    """One run, clip by clip and class by class, from the definitions; which clips are right, too."""
    index = [scores.class_names.index(name) for name in names]
    clips, hits = [0] * len(names), {k: [0] * len(names) for k in ks}
    confusion, right = [[0] * len(names) for _ in names], []
    undecided = left_out = 0
    for row, label in enumerate(scores.labels):
        right.append(0 if label in names else -1)
        if label not in names:
            left_out += 1
            continue
        true = names.index(label)
        clips[true] += 1
        fused = {}
        for c in index:
            sums = []
            for p in np.flatnonzero(scores.column_class == c):
                ve, o = scores.columns["VE"][row, p], scores.columns["O"][row, p]
                sums.append(np.float32(ve * np.float32(weights.alpha)) + np.float32(o * np.float32(weights.beta)))
            fused[c] = max(sums)
        if all(value == 0 for value in fused.values()):
            undecided += 1
            continue
        order = sorted(fused, key=lambda c: (-fused[c], c))
        for k in ks:
            hits[k][true] += index[true] in order[:k]
        confusion[true][index.index(order[0])] += 1
        right[-1] = int(order[0] == index[true])
    return SplitResult(names, clips, hits, undecided, left_out), confusion, right


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("levels", [None, 2, 3])
@pytest.mark.parametrize("sentences", [1, 2])
def test_runs_are_those_of_the_plain_loop(seed, levels, sentences):
    scores, rng = random_scores(seed, levels=levels, sentences=sentences), np.random.default_rng(seed)
    before = {name: matrix.copy() for name, matrix in scores.columns.items()}
    weights = Weights(0.75, 0.25) if seed else Weights(1, 1)
    splits = [[scores.class_names[c] for c in rng.permutation(9)[:k]] for k in (9, 4, 4, 2, 1)]
    protocol = Protocol("mixed", splits, seed)
    result, found = evaluate(scores, protocol, weights), correctness(scores, protocol, weights)
    assert (found.ids, found.labels, found.protocol, found.seed) == (scores.ids, scores.labels, "mixed", seed)
    assert found.right_NR.dtype == np.int8 and found.accuracy().tolist() == [run.top1 for run in result.runs]
    for number, (names, run) in enumerate(zip(splits, result.runs, strict=True)):
        expected, confusion, right = loop_run(scores, weights, names)
        assert run == expected and found.right_NR[:, number].tolist() == right
        single = evaluate(scores, Protocol("one", [names]), weights)
        assert single.runs == [run]
        assert single.confusion == confusion == confusion_matrix(scores, weights, names).tolist()
    np.testing.assert_equal(scores.columns, before)  # scores are not changed


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("n", [1, 7, 30_000])
def test_figures_are_those_of_sklearn(n):
    rng = np.random.default_rng(n)
    scores = make(rng.normal(size=(n, 11)), rng.integers(11, size=n).tolist(), O=rng.normal(size=(n, 11)))
    result = evaluate(scores, all_classes(scores.class_names), Weights())
    true, fused = scores.label_index, fuse(scores, Weights())
    predicted, run = fused.argmax(1), result.runs[0]
    assert run.top1 == pytest.approx(accuracy_score(true, predicted))
    assert run.mean_per_class == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-12)
    assert run.top5 == pytest.approx(top_k_accuracy_score(true, fused, k=5, labels=range(11)))
    np.testing.assert_array_equal(result.confusion, sklearn_confusion(true, predicted, labels=range(11)))


def test_accuracies_by_hand():
    """Of equal scores the lowest class stands first; scores that are all zero decide nothing."""
    matrix, labels = [[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 3, 0], [2, 2, 0, 0], [2, 2, 0, 0]], [0, 1, 0, 0, 1]
    run = evaluate(make(matrix, labels), all_classes(["c00", "c01", "c02", "c03"])).runs[0]
    assert (run.undecided, run.left_out, run.hits) == (1, 0, {1: [1, 0, 0, 0], 5: [2, 2, 0, 0]})
    assert run.per_class() == {"c00": 1 / 3, "c01": 0} and run.mean_per_class == pytest.approx(1 / 6)
    assert run.empty_classes == ["c02", "c03"] and run.chance() == 1 / 4  # they can still be predicted
    among = evaluate(make(matrix, [None, *labels[1:]]), Protocol("two", [["c01", "C_00"]]))
    assert among.runs[0] == SplitResult(["c01", "c00"], [2, 2], {1: [1, 1], 5: [2, 1]}, 1, 1)  # in the split's order
    assert among.confusion == [[1, 1], [0, 1]] and among.chance(5) == 1 and among.figure().std is None


@pytest.mark.parametrize(("labels", "splits", "message"), [
    ([0, 1], [["c00", "c1"]], "'c1' is none of the 3 classes; did you mean"),
    ([0, 1], [["c00"], ["c02"]], "run 2 of protocol 'p': no clip is labelled"),
])  # fmt: skip
def test_what_cannot_be_evaluated_is_refused(labels, splits, message):
    with pytest.raises(InputError, match=message):
        evaluate(make(np.ones((2, 3)), labels), Protocol("p", splits))


def test_each_modality_alone_then_fused():
    scores = random_scores(2)
    results = evaluate_each(scores, all_classes(scores.class_names), Weights(0.6, 0.4))
    assert [result.modality for result in results] == ["VE", "O", "VE + O"]
    assert [result.weights for result in results] == [Weights.only("VE"), Weights.only("O"), Weights(0.6, 0.4)]
    assert [r.modality for r in evaluate_each(scores, all_classes(scores.class_names), Weights(1, 0))] == ["VE", "O"]


def test_official_parts_are_runs_of_all_classes():
    rng, names = np.random.default_rng(5), ["a", "b", "c"]
    labels, matrix = [names[c] for c in rng.integers(3, size=30)], rng.normal(size=(30, 3)).astype(np.float32)
    scores = Scores([f"clip {n}" for n in range(30)], labels, names, {"VE": matrix})
    parts = {"test1": [f"clip {n}" for n in range(12)], "test2": [f"clip {n}" for n in range(12, 30)] + ["gone"]}
    (result,) = evaluate_each(scores, parts, Weights(1, 0))
    right = [names[int(row.argmax())] == label for row, label in zip(matrix, labels, strict=True)]
    expected = [np.mean(right[:12]), np.mean(right[12:])]
    assert [run.top1 for run in result.runs] == pytest.approx(expected)
    assert result.figure().std == pytest.approx(np.std(expected, ddof=1)) and result.protocol == "official test splits"
    with pytest.raises(InputError, match="no official parts"):
        evaluate(scores, {})


VE = Weights.only("VE")


def stacked(matrix, truth, seen):
    scores = make(matrix, [None if true < 0 else true for true in truth])
    return stacking(scores, [f"C{column:02}" for column in np.flatnonzero(seen)], VE)


def plain(scores, truth, seen, factor):
    hits = {}
    for row, true in zip(scores, truth, strict=True):
        if true >= 0:
            less = [score - factor if is_seen else score for score, is_seen in zip(row, seen, strict=True)]
            hits.setdefault(int(true), []).append(any(row) and less.index(max(less)) == true)
    return [np.mean([np.mean(found) for true, found in hits.items() if seen[true] == side]) for side in (True, False)]


def drawn(kind, seed, clips=40, classes=7):
    rng = np.random.default_rng(seed)
    seen = np.zeros(classes, bool)
    seen[rng.permutation(classes)[:4]] = True
    truth = np.concatenate([[np.argmax(seen), np.argmin(seen)], rng.integers(-1, classes, clips - 2)])
    scores = rng.normal(size=(clips, classes)) if kind == "float" else rng.integers(-2, 3, (clips, classes))
    scores = scores.astype(np.float32)
    scores[np.arange(clips), np.maximum(truth, 0)] += 1
    scores[::9] = 0
    return scores, truth, seen


@pytest.mark.parametrize("kind", ["float", "coarse"])
@pytest.mark.parametrize("seed", range(3))
def test_every_critical_point_every_piece_and_the_area(kind, seed):
    scores, truth, seen = drawn(kind, seed)
    curve, wide = stacked(scores, truth, seen), scores.astype(np.float64)
    flips = wide[:, seen].max(axis=1) - wide[:, ~seen].max(axis=1)
    critical = np.unique(flips)
    assert np.isin(curve.factor_B, [critical, np.nextafter(critical, np.inf)]).all()
    points = [critical[0] - 1, *critical, *(critical[1:] + critical[:-1]) / 2, critical[-1] + 1]
    found = [plain(wide, truth, seen, factor) for factor in points]
    np.testing.assert_allclose([curve.at(factor)[:2] for factor in points], found, atol=1e-12)
    means = [2 * a * b / (a + b) if a + b else 0 for a, b in found]
    best = curve.best()
    assert best.accuracies.harmonic == pytest.approx(max(means)) and best.low <= best.factor <= best.high
    between = [mean for factor, mean in zip(points, means, strict=True) if best.low < factor < best.high]
    assert np.allclose(between, max(means))
    sides = []
    for side, far in ((seen, -1e9), (~seen, 1e9)):
        rows = [n for n in range(len(truth)) if truth[n] >= 0 and side[truth[n]]]
        sizes = np.bincount(truth[rows])
        hits = [n for n in rows if any(wide[n]) and (wide[n] - far * seen).argmax() == truth[n]]
        sides.append([(flips[n], 1 / np.count_nonzero(sizes) / sizes[truth[n]]) for n in hits])
    pairs = ((a > b) * s * u + (a == b) * s * u / 2 for a, s in sides[0] for b, u in sides[1])
    assert curve.ausuc == pytest.approx(sum(pairs))


def test_of_embeddings_it_is_the_cosine():
    rows = np.array([[2.0, 0], [0, 4]])
    gram = np.array([[[4.0]], [[16.0]]])
    scores = Scores(["a", "b"], ["x", "y"], ["x", "y"], {"VE": rows @ np.array([[1.0, 0], [0.6, 0.8]]).T}, gram)
    curve = stacking(scores, ["x"], VE)  # cosines: (1, 0.6) and (0, 0.8)
    np.testing.assert_allclose(curve.factor_B, [-0.8, 0.4], atol=1e-6)
    assert curve.best().factor == pytest.approx(-0.2) and curve.best().accuracies.harmonic == 1


def test_undecided_clips_are_no_hits_and_one_side_may_have_none():
    curve = stacked([[0.0, 0], [0, 0], [3, 1]], [0, 1, 0], [True, False])
    assert curve.at(-5) == (0.5, 0, 0) and curve.at(5) == (0, 0, 0)
    assert curve.best() == (-np.inf, np.inf, 0, (0.5, 0, 0)) and curve.ausuc == 0


@pytest.mark.parametrize(
    ("truth", "seen", "said"),
    [([0, 1], [True, True], "every class is a seen one"), ([0, 1], [False, False], "every class is an unseen one"),
     ([0, 0], [True, False], "every clip is a seen one"), ([1, -1], [True, False], "every clip is an unseen one")],
)  # fmt: skip
def test_what_cannot_be_stacked(truth, seen, said):
    with pytest.raises(InputError, match=said):
        stacked([[1.0, 0], [0, 1]], truth, seen)
