"""Hits of single clips against evaluation's counts, predictions and plain loops."""

from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate, evaluate_by_run
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.hits import Hits, hits, hits_by_run
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.scores import Scores


def random_scores(seed, n=400, classes=9, levels=None, sentences=1):
    """Two modalities; few `levels` make ties; some rows are blank, some labels unknown or in another spelling."""
    rng = np.random.default_rng(seed)
    names = [f"Class {index}" for index in range(classes)]

    def draw():
        shape = (n, classes * sentences)
        values = rng.normal(size=shape) if levels is None else rng.integers(levels, size=shape) - levels // 3
        return (values * (rng.random((n, 1)) > 0.15)).astype(np.float32)

    spelt = [*names, *(name.lower().replace(" ", "_") for name in names), "", "no such class"]
    labels = [spelt[index] for index in rng.integers(len(spelt), size=n)]
    owner = np.repeat(np.arange(classes), sentences)
    return Scores([f"clip {row}" for row in range(n)], labels, names, {"VE": draw(), "O": draw()}, column_class=owner)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [None, 2, 3])
@pytest.mark.parametrize("sentences", [1, 2])
def test_hits_are_those_that_evaluation_counts(seed, levels, sentences):
    scores = random_scores(seed, levels=levels, sentences=sentences)
    weights = Weights(1, 1) if seed % 2 else Weights(0.75, 0.25)
    splits = [*random_classes(scores.class_names, 4, 5, seed).splits, scores.class_names, scores.class_names[3:4]]
    protocol = Protocol("mixed", splits, seed)
    found = hits(scores, protocol, weights)
    result = evaluate(scores, protocol, weights)
    assert (found.ids, found.protocol, found.seed, found.runs) == (scores.ids, "mixed", seed, len(splits))
    assert found.hits_NR.dtype == np.int8
    np.testing.assert_array_equal(found.accuracy(), [run.top1 for run in result.runs])
    labels = np.array(found.labels)
    for run, hits_N in zip(result.runs, found.hits_NR.T, strict=True):
        assert (hits_N == -1).sum() == run.left_out
        for name, clips, right in zip(run.classes, run.clips, run.hits[1], strict=True):
            of_class = hits_N[labels == name]
            assert ((of_class >= 0).sum(), (of_class == 1).sum()) == (clips, right)


@pytest.mark.parametrize("sentences", [1, 2])
def test_hits_are_those_that_prediction_gives_clip_by_clip(sentences):
    scores = random_scores(7, levels=3, sentences=sentences)
    protocol = random_classes(scores.class_names, 5, 6, seed=3)
    found = hits(scores, protocol)
    for run, names in enumerate(protocol.splits):
        chosen = [scores.class_names.index(name) for name in names]
        predicted_N = predict(scores, Weights(), chosen)
        for row, (label, predicted) in enumerate(zip(scores.label_index, predicted_N, strict=True)):
            expected = int(predicted == label) if label in chosen else -1
            assert found.hits_NR[row, run] == expected


def test_a_case_by_hand():
    matrix = [[1, 0, 0], [0, 0, 0], [2, 2, 0], [2, 2, 0], [0, 0, 5], [0, 0, 5]]
    labels = ["x", "x", "X", "y", "y", "elsewhere"]
    scores = Scores(list("abcdef"), labels, ["x", "y", "z"], {"VE": np.array(matrix)})
    found = hits(scores, Protocol("two", [["x", "y", "z"], ["Y", "z"], ["x", "y"]]))
    # right; undecided; of equal scores the first; so y misses; z scores more; no class. Among x and y, e is undecided.
    assert found.hits_NR.tolist() == [[1, -1, 1], [0, -1, 0], [1, -1, 1], [0, 1, 0], [0, 0, 0], [-1, -1, -1]]
    assert found.labels == ["x", "x", "x", "y", "y", ""]
    assert found.accuracy().tolist() == [2 / 5, 1 / 2, 2 / 5]


def test_scores_that_differ_by_run_are_those_of_each_run():
    scores = random_scores(5, levels=4)
    protocol = random_classes(scores.class_names, 4, 5, seed=2)

    def scores_of(names):
        """Of these classes only, so that clips of others have no label there."""
        chosen = [scores.class_names.index(name) for name in names]
        columns = {name: matrix[:, chosen] * (1 + chosen[0]) for name, matrix in scores.columns.items()}
        return Scores(scores.ids, scores.labels, names, columns)

    found = hits_by_run(scores_of, protocol)
    result = evaluate_by_run(scores_of, protocol)
    np.testing.assert_array_equal(found.accuracy(), [run.top1 for run in result.runs])
    plain = hits(scores, protocol)  # a run's scores times a constant: the same hits
    np.testing.assert_array_equal(found.hits_NR, plain.hits_NR)
    tested = (plain.hits_NR >= 0).any(axis=1)
    assert [label for label, kept in zip(plain.labels, tested, strict=True) if kept] == list(
        np.array(found.labels)[tested]
    )
    halves = iter([scores.ids, scores.ids[::-1]])
    with pytest.raises(InputError, match="runs 1 and 2 of protocol '4-of-9 x 5' have different clips"):
        hits_by_run(lambda names: replace(scores_of(names), ids=next(halves)), protocol)


def test_the_default_weights_are_the_papers():
    scores = random_scores(1)
    protocol = all_classes(scores.class_names)
    np.testing.assert_array_equal(hits(scores, protocol).hits_NR, hits(scores, protocol, Weights(0.8, 0.2)).hits_NR)


def test_what_cannot_be_tested_is_refused():
    scores = random_scores(0)
    with pytest.raises(InputError, match="'Class 77' is none of the 9 classes"):
        hits(scores, Protocol("p", [["Class 77"]]))
    with pytest.raises(InputError, match="leave nothing"):
        hits(scores, all_classes(scores.class_names), Weights.only("C"))
    unlabelled = replace(scores, labels=[""] * len(scores.ids))
    with pytest.raises(InputError, match="run 1 of protocol 'all': no clip is labelled with one of its 9 classes"):
        hits(unlabelled, all_classes(scores.class_names))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((["a", "b"], ["x"], np.ones((2, 1))), "a row to each clip"),
        ((["a"], ["x"], np.ones(1)), "a row to each clip"),
        ((["a"], ["x"], np.ones((1, 0))), "a column to each run"),
        ((["a", "a"], ["x", "x"], np.ones((2, 1))), "given twice"),
        ((["a"], ["x"], np.full((1, 1), 2)), r"1 \(right\), 0 \(wrong\) or -1"),
        ((["a"], ["x"], np.full((1, 1), np.nan)), r"1 \(right\), 0 \(wrong\) or -1"),
        ((["a"], ["x"], np.array([[1, -1]])), "run 2 of protocol 'p' tests no clip"),
        ((["a", "b"], ["x", ""], np.ones((2, 1))), "without a label"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    ids, labels, hits_NR = parts
    with pytest.raises(InputError, match=message):
        Hits(ids, labels, "p", None, hits_NR)
