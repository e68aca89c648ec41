"""Open-set figures by hand, by plain loops over pairs of clips, and by scikit-learn."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cezsar.analysis import open_set
from cezsar.analysis.open_set import KINDS, decided, knownness, measure, simulate
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.scores import Scores


def clips(kind, seed, known=53, unknown=41):
    rng = np.random.default_rng(seed)
    if kind == "coarse":
        found = rng.integers(1, 6, known) / 4, rng.integers(0, 5, unknown) / 4
    elif kind == "equal":
        found = np.ones(known), np.ones(unknown)
    elif kind == "apart":
        found = 2 + rng.random(known), rng.random(unknown)
    else:
        found = 0.7 + rng.normal(size=known), rng.normal(size=unknown)
    return found[0], rng.random(known) < 0.7, found[1]


def random_scores(clips=240, classes=8, seed=0, unlabelled=7):
    """Both modalities see the true class above the rest."""
    rng = np.random.default_rng(seed)
    truth = np.arange(clips) % classes
    names = [f"class {c}" for c in range(classes)]
    matrices = {}
    for modality in ("VE", "O"):
        matrix = 0.1 * rng.normal(size=(clips, classes))
        matrix[np.arange(clips), truth] += 0.2
        matrices[modality] = matrix.astype(np.float32)
    labels = ["" if n < unlabelled else names[c] for n, c in enumerate(truth)]
    return Scores([f"clip {n}" for n in range(clips)], labels, names, matrices)


# Every threshold at once ------------------------------------------------------------------------------------------


def test_by_hand():
    found = measure([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1])
    np.testing.assert_array_equal(found.threshold_T, [np.inf, 0.9, 0.6, 0.2, 0.1])
    np.testing.assert_array_equal(found.accepted_T, [0, 0.25, 0.75, 1, 1])
    np.testing.assert_array_equal(found.right_T, [0, 0.25, 0.5, 0.75, 0.75])
    np.testing.assert_array_equal(found.false_T, [0, 0, 0.5, 0.5, 1])
    assert found.auroc == (2 + 1.5 + 1.5 + 1) / 8
    assert found.oscr == (2 + 1.5 + 1) / 8
    assert found.false_at(0.95) == 0.5 and found.false_at(0.25) == 0 and found.accuracy == 0.75
    # Known first: precision 1 for the first, 3 of 4 for the next two, 4 of 5 for the last.
    assert found.aupr_known == pytest.approx((1 + 0.75 + 0.75 + 0.8) / 4)
    # Unknown first, from the least: precision 1 for the first, 2 of 5 where the second comes with its ties.
    assert found.aupr_unknown == pytest.approx((1 + 0.4) / 2)


@pytest.mark.parametrize("kind", ["fine", "coarse", "equal", "apart"])
@pytest.mark.parametrize("seed", range(3))
def test_areas_are_those_of_scikit_learn(kind, seed):
    known, right, unknown = clips(kind, seed)
    found = measure(known, right, unknown)
    labels, values = np.repeat([1, 0], [len(known), len(unknown)]), np.concatenate([known, unknown])
    assert found.auroc == pytest.approx(roc_auc_score(labels, values))
    assert found.aupr_known == pytest.approx(average_precision_score(labels, values))
    assert found.aupr_unknown == pytest.approx(average_precision_score(1 - labels, -values))
    false, true, thresholds = roc_curve(labels, values, drop_intermediate=False)
    np.testing.assert_allclose(found.false_T, false)
    np.testing.assert_allclose(found.accepted_T, true)
    np.testing.assert_allclose(found.threshold_T, thresholds)
    assert found.false_at(0.95) == pytest.approx(false[np.argmax(true >= 0.95)])


@pytest.mark.parametrize("kind", ["fine", "coarse", "equal", "apart"])
def test_oscr_by_plain_loops(kind):
    known, right, unknown = clips(kind, 7)
    found = measure(known, right, unknown)
    for t, threshold in enumerate(found.threshold_T):
        accepted = [k >= threshold and r for k, r in zip(known, right, strict=True)]
        assert found.right_T[t] == sum(accepted) / len(known)
        assert found.false_T[t] == sum(u >= threshold for u in unknown) / len(unknown)
    pairs = [(k > u) + (k == u) / 2 for k, r in zip(known, right, strict=True) if r for u in unknown]
    assert found.oscr == pytest.approx(sum(pairs) / len(known) / len(unknown))
    assert found.oscr <= found.auroc and found.oscr <= found.accuracy == right.mean()


def test_when_all_are_right_oscr_is_auroc():
    known, right, unknown = clips("coarse", 2)
    assert measure(known, np.ones_like(right), unknown).oscr == measure(known, right, unknown).auroc
    assert measure(known, np.zeros_like(right), unknown).oscr == 0


def test_apart_and_alike():
    apart = measure([2, 3], [True, True], [0, 1])
    assert set(apart.figures().values()) == {0, 1} and apart.figures()["fpr95"] == 0
    alike = measure([1, 1, 1], [True, True, False], [1])
    assert (alike.auroc, alike.false_at(), alike.aupr_known, alike.aupr_unknown) == (0.5, 1, 0.75, 0.25)
    assert alike.oscr == pytest.approx(1 / 3)
    turned = measure([0, 1], [True, True], [2, 3])
    assert turned.auroc == 0 == turned.oscr and turned.false_at() == 1


def test_undecided_clips_come_last():
    found = measure([1, -np.inf], [True, False], [0, -np.inf])
    assert found.auroc == (1 + 1 + 0 + 0.5) / 4 and found.oscr == 0.5
    assert found.aupr_known == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_few_known_clips_at_95_percent():
    known = np.arange(20.0)  # 19 of 20 are 95 %
    assert measure(known, known >= 0, [0.5, 1.5]).false_at() == 0.5
    assert measure(known[:19], known[:19] >= 0, [0.5, 1.5]).false_at() == 1
    with pytest.raises(InputError, match="above 0, up to 1"):
        measure([1], [True], [0]).false_at(0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0], [True], []), "there are no unknown clips"),
        (([], [], [1.0]), "there are no known clips"),
        (([1.0], [True, False], [0]), "do not go with 1 known clips"),
        (([np.nan], [True], [0]), "known clip 0 is no number"),
        (([1.0], [True], [0, np.inf]), "unknown clip 1 is no number"),
    ],
)
def test_what_cannot_be_measured(arguments, said):
    with pytest.raises(InputError, match=said):
        measure(*arguments)
    with pytest.raises(InputError, match=said):
        decided(*arguments, 0.5)


# One threshold ----------------------------------------------------------------------------------------------------


def test_a_decision_by_hand():
    found = decided([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1, 0.7], 0.6)
    assert (found.known_accepted, found.right, found.unknown_accepted) == (3, 2, 2)
    expected = {"false_accept": 2 / 3, "false_reject": 0.25, "right": 0.5, "accepted_accuracy": 2 / 3, "precision": 0.4}
    assert found.figures() == expected
    nothing = decided([0.9], [True], [0.1], 1.0).figures()
    assert nothing["accepted_accuracy"] is None is nothing["precision"] and nothing["false_reject"] == 1


def test_a_decision_is_a_point_of_the_curves():
    known, right, unknown = clips("coarse", 4)
    curves = measure(known, right, unknown)
    for t, threshold in enumerate(curves.threshold_T):
        found = decided(known, right, unknown, threshold).figures()
        assert found["false_accept"] == curves.false_T[t] and found["right"] == curves.right_T[t]
        assert found["false_reject"] == pytest.approx(1 - curves.accepted_T[t])


# The experiment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_by_plain_loops(kind):
    scores, weights = random_scores(), Weights(0.7, 0.3)
    protocol = Protocol("mine", [["class 6", "CLASS 1", "class 3", "class 4"]])
    run = simulate(scores, protocol, weights, kind, rate=0.1, temperature=0.05).runs[0]
    assert run.known == ["class 1", "class 3", "class 4", "class 6"] and run.temperature == 0.05
    assert len(run.aside) == 2 == len(run.unknown)
    assert sorted(run.known + run.aside + run.unknown) == scores.class_names
    fused = (np.float32(0.7) * scores.columns["VE"] + np.float32(0.3) * scores.columns["O"]).astype(float)
    columns = {name: [scores.class_names.index(n) for n in getattr(run, name)] for name in ("known", "aside")}

    def values(classes, among):
        rows = [row for row, label in zip(fused, scores.labels, strict=True) if label in classes]
        return np.array([knownness([row[columns[among]]], kind, 0.05)[0] for row in rows])

    known, unknown = values(run.known, "known"), values(run.unknown, "known")
    right = []
    for row, label in zip(fused, scores.labels, strict=True):
        if label in run.known:
            right.append(run.known[int(np.argmax(row[columns["known"]]))] == label)
    assert run.figures == measure(known, right, unknown).figures()
    foreign, own = values(run.aside, "known"), values(run.aside, "aside")
    assert np.mean(foreign >= run.by_unknown.threshold) <= 0.1 < np.mean(foreign >= run.by_unknown.threshold) + 0.02
    assert np.mean(own < run.by_known.threshold) <= 0.1 < np.mean(own < run.by_known.threshold) + 0.02
    for found in (run.by_unknown, run.by_known):
        assert found == decided(known, right, unknown, found.threshold)


def test_nothing_is_chosen_on_what_is_measured():
    """Other scores of the known and the unknown classes change no threshold and no temperature."""
    scores, weights = random_scores(), Weights.only("VE")
    protocol = Protocol("mine", [scores.class_names[:4]])
    first = simulate(scores, protocol, weights, "energy").runs[0]
    columns = {name: matrix.copy() for name, matrix in scores.columns.items()}
    rows = [n for n, label in enumerate(scores.labels) if label not in first.aside]
    columns["VE"][rows] = np.random.default_rng(9).normal(size=(len(rows), 8))
    second = simulate(Scores(scores.ids, scores.labels, scores.class_names, columns), protocol, weights, "energy")
    again = second.runs[0]
    assert again.temperature == first.temperature and again.aside == first.aside
    assert again.by_unknown.threshold == first.by_unknown.threshold
    assert again.by_known.threshold == first.by_known.threshold
    assert again.figures != first.figures


def test_means_over_runs():
    scores = random_scores()
    found = simulate(scores, random_classes(scores.class_names, 4, 6), kind="margin")
    values = [run.figures["oscr"] for run in found.runs]
    assert len(values) == 6 and found.figure("oscr") == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    values = [run.by_known.figures()["precision"] for run in found.runs]
    assert found.figure("precision", "false reject").mean == pytest.approx(np.mean(values))
    values = [run.by_unknown.figures()["right"] for run in found.runs]
    assert found.figure("right", "false accept").mean == pytest.approx(np.mean(values))
    assert simulate(scores, random_classes(scores.class_names, 4, 1)).figure("auroc").std is None
    with pytest.raises(InputError, match="'top1' was not measured; there are auroc"):
        found.figure("top1")
    with pytest.raises(InputError, match="'auroc' was not measured; there are false_accept"):
        found.figure("auroc", "false accept")


def test_the_same_generator_gives_the_same_runs():
    scores = random_scores()
    protocol = random_classes(scores.class_names, 4, 3)
    assert simulate(scores, protocol) == simulate(scores, protocol, rng=np.random.default_rng(0))
    other = simulate(scores, protocol, rng=np.random.default_rng(1))
    assert [run.aside for run in other.runs] != [run.aside for run in simulate(scores, protocol).runs]


def test_figures_that_no_run_has():
    scores = random_scores(unlabelled=0)
    low = {name: np.where(np.eye(8)[np.arange(240) % 8] > 0, 0.0, 0.5).astype(np.float32) for name in scores.columns}
    backwards = Scores(scores.ids, scores.labels, scores.class_names, low)  # known clips lie below unknown ones
    found = simulate(backwards, Protocol("one", [["class 0"]]), rate=0)
    assert found.figure("false_reject", "false accept").mean == 1
    with pytest.raises(InputError, match="no clip was accepted"):
        found.figure("precision", "false accept")


def test_experiments_that_cannot_be():
    scores = random_scores()
    with pytest.raises(InputError, match="there are no unknown clips"):
        simulate(scores, all_classes(scores.class_names))
    with pytest.raises(InputError, match="leaves 1 with clips"):
        simulate(scores, Protocol("most", [scores.class_names[:7]]))
    with pytest.raises(InputError, match="leaves 3 with clips"):
        simulate(scores, Protocol("most", [scores.class_names[:5]]), kind="energy")
    assert simulate(scores, Protocol("most", [scores.class_names[:5]]), kind="energy", temperature=0.1).runs
    with pytest.raises(InputError, match="choose cosine"):
        simulate(scores, random_classes(scores.class_names, 4, 1), kind="entropy")
    with pytest.raises(InputError, match="above 0"):
        simulate(scores, random_classes(scores.class_names, 4, 1), temperature=0)
    with pytest.raises(InputError, match="below 1"):
        simulate(scores, random_classes(scores.class_names, 4, 1), rate=1)
    empty = Scores(
        scores.ids, ["class 7" if n % 2 else "class 6" for n in range(240)], scores.class_names, scores.columns
    )
    with pytest.raises(InputError, match="or no known ones"):
        simulate(empty, Protocol("empty", [["class 0", "class 1"]]))


def test_fifty_runs_at_the_size_of_ucf101_are_quick():
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(101)]
    matrix = rng.normal(size=(13_320, 101)).astype(np.float32)
    labels = [names[n % 101] for n in range(13_320)]
    scores = Scores([f"clip {n}" for n in range(13_320)], labels, names, {"VE": matrix})
    started = time.perf_counter()
    found = simulate(scores, random_classes(names, 50), Weights.only("VE"))
    assert time.perf_counter() - started < 10
    assert len(found.runs) == 50 and found.figure("auroc").mean == pytest.approx(0.5, abs=0.02)


def test_public_names():
    assert len(set(open_set.__all__)) == len(open_set.__all__) and set(open_set.__all__) <= set(dir(open_set))
