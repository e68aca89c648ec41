"""What weights give, against evaluation and prediction; curves against predicting at many weights; cases by hand."""

from itertools import groupby

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import UNDECIDED, Weights, predict
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.weights import choose_on_half, line_curve, outcome, simplex_map

MODALITIES = ("VE", "O", "C")


def matrix(kind, rng, shape):
    if kind in ("coarse", "whole"):  # every kind of tie
        return rng.integers(-2, 4, shape).astype(float)
    if kind == "near":  # a few float32 steps apart, so that rounding makes equal what is not
        return np.float32(0.3) + rng.integers(0, 12, shape) * np.float32(2**-25)
    if kind == "constant":
        return rng.integers(-1, 2, (shape[0], 1)) * np.ones(shape)
    if kind == "blank":  # clips without a modality, dead classes
        values = rng.integers(0, 4, shape)
        values[rng.random(shape[0]) < 0.4] = 0
        values[:, rng.random(shape[1]) < 0.3] = 0
        return values
    return rng.normal(size=shape)


def make(kind="float", modalities=2, clips=200, classes=7, sentences=1, seed=0):
    """Scores of one kind; of "informed" and "whole" each modality knows something, and all clips have a label."""
    rng = np.random.default_rng(seed)
    owner, names = np.repeat(np.arange(classes), sentences), [f"class {c}" for c in range(classes)]
    columns = {name: matrix(kind, rng, (clips, len(owner))) for name in MODALITIES[:modalities]}
    truth = rng.integers(classes, size=clips)
    labels = [names[c] for c in truth]
    if kind == "parallel":  # leads that never change
        columns["VE"] = rng.integers(-3, 4, (clips, len(owner)))
        columns["O"] = columns["VE"] + rng.integers(-1, 2, (clips, 1))
    if kind == "blank" and modalities > 1:
        columns["O"][::7] = -columns["VE"][::7]  # cancel out at equal weights
    if kind in ("informed", "whole"):
        for values in columns.values():
            values[np.arange(clips), truth * sentences] += 1
            values[rng.random(clips) < 0.1] = 0  # clips without the modality
    else:
        labels[:2] = ["", "no such class"]
    return Scores([f"clip {n}" for n in range(clips)], labels, names, columns, column_class=owner)


def accuracy(scores, weights, names=None):
    chosen = scores.indices(names)
    tested = np.isin(scores.label_index, chosen)
    return float((predict(scores, weights, chosen) == scores.label_index)[tested].mean())


SETTINGS = [(1, 0, 0), (0.8, 0.2, 0), (0, 1, 0), (1e-4, 3, 0.5), (0.3, 0.1, 0.7)]


@pytest.mark.parametrize("names", [None, ["class 4", "CLASS 1", "class 6", "class 0", "class 3", "class 2"]])
@pytest.mark.parametrize(("modalities", "sentences"), [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("kind", ["float", "coarse", "near", "blank"])
def test_every_figure_is_that_of_the_evaluation(kind, modalities, sentences, names):
    scores = make(kind, modalities, sentences=sentences)
    protocol = all_classes(scores.class_names) if names is None else named("split", names, scores.class_names)
    for setting in [setting for setting in SETTINGS if any(setting[:modalities])]:
        weights = Weights(*setting)
        found, run = outcome(scores, weights, names), evaluate(scores, protocol, weights).runs[0]
        told = (found.n_clips, found.top1, found.top5, found.per_class)
        assert told == (run.n_clips, run.top1, run.top5, run.per_class())
        assert found.mean_per_class == pytest.approx(run.mean_per_class)
        expected = predict(scores, weights, scores.indices(names))
        assert np.array_equal(found.predicted_N, expected)
        assert np.array_equal(found.right_N, (expected == found.truth_N) & (expected != UNDECIDED))


def test_what_cannot_be_answered_is_refused():
    scores = make(modalities=1)
    unlabelled = Scores(["one"], [""], ["a", "b"], {"VE": np.ones((1, 2))})
    for asked, weights, classes, message in (
        (scores, Weights(0, 1, 0), None, "leave nothing"), (scores, Weights(), ["class 1", "no such"], "no such"),
        (unlabelled, Weights(), None, "no clip is labelled"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            outcome(asked, weights, classes)


def cancels(scores, between, classes):
    """Whether the modalities of some clip cancel out at a point inside a line, which a curve takes for a tie."""

    def blank(t):
        sums = sum(scores.columns[name] * between(t).of(name) for name in scores.modalities)
        starts = np.searchsorted(scores.column_class, np.arange(len(scores.class_names)))
        return ~np.maximum.reduceat(sums, starts, axis=1)[:, classes].any(axis=1)

    return lambda t: 0 < t < 1 and bool((blank(t) & ~(blank(0) & blank(1))).any())


LINES = [("float", (0, 1, 0), (1, 0, 0)), ("coarse", (0, 1, 0), (1, 0, 0)), ("parallel", (0, 1, 0), (1, 0, 0)),
         ("constant", (0, 1, 0), (1, 0, 0)), ("blank", (0, 1, 0), (1, 0, 0)), ("informed", (0, 0.5, 0.5), (1, 0, 0)),
         ("whole", (0, 0, 1), (0.75, 0.25, 0))]  # fmt: skip


@pytest.mark.parametrize("sentences", [1, 2])
@pytest.mark.parametrize(("kind", "start", "end"), LINES)
def test_a_curve_is_what_predict_gives(kind, start, end, sentences):
    scores = make(kind, 3 if kind in ("informed", "whole") else 2, sentences=sentences)

    def between(t):
        return Weights(*((1 - t) * a + t * b for a, b in zip(start, end, strict=True)))

    for names in (None, ["class 4", "class 1", "class 6"]):
        curve = line_curve(scores, between(0), between(1), names)
        ends, skipped = curve.breakpoints, cancels(scores, between, scores.indices(names))
        middles = ((ends[1:] + ends[:-1]) / 2)[np.diff(ends) > 1e-5]  # float32 cannot tell nearer ones apart
        exact = np.arange(0 if kind == "informed" else 65) / 64  # ties among dyadic ones are exact
        tried = [float(t) for t in (*exact, *([] if kind == "whole" else middles)) if not skipped(float(t))]
        assert len(tried) > 15
        for t in tried:
            assert curve.at(t) == pytest.approx(accuracy(scores, between(t), names)), t
        assert ends[0] == 0 and ends[-1] == 1 and (np.diff(ends) > 0).all() and (np.diff(curve.accuracy_S) != 0).all()
        assert len(curve.start_S) > len(ends) or kind != "coarse"  # ties at single points
        low, high, top, _ = curve.best()
        assert curve.at(np.array([low, (low + high) / 2, high])).tolist() == [top] * 3 == [curve.accuracy_S.max()] * 3
        longest = [len(list(same)) for right, same in groupby(curve.at(np.linspace(0, 1, 2001)) == top) if right]
        assert high - low >= (max(longest, default=1) - 1) / 2000 - 1e-9


def test_the_map_is_evaluate_on_its_grid_and_nothing_on_a_line_is_higher_than_its_peak():
    scores = make("informed", 3, 150, 6, seed=1)
    found = simplex_map(scores, steps=8)
    points, accuracies = found.grid()
    assert len({tuple(point) for point in points.round(9).tolist()}) == 45 and np.allclose(points.sum(axis=1), 1)
    for weights, value in zip(points.tolist(), accuracies, strict=True):
        assert value == pytest.approx(accuracy(scores, Weights(*weights)))
    peak = found.best()
    assert accuracy(scores, peak.weights) == pytest.approx(peak.accuracy)
    assert peak.low <= peak.weights.alpha <= peak.high
    for gamma in found.gammas.tolist():
        for t in np.linspace(0, 1, 41).tolist():
            weights = Weights(t * (1 - gamma), (1 - t) * (1 - gamma), gamma)
            assert accuracy(scores, weights) <= peak.accuracy + 1e-12


@pytest.mark.parametrize("modalities", [("VE", "C"), MODALITIES])
def test_weights_are_chosen_on_one_half_and_told_on_the_other(modalities):
    scores = make("informed", 3, 300, 9, seed=4)
    given = Weights(0.5, 0, 0.5)
    found = choose_on_half(scores, modalities, fixed={"given": given}, steps=4, runs=4, seed=3)
    halves = random_classes(scores.class_names, 4, 4, 3).splits
    assert len(found.weights) == len(halves)
    for run, half in enumerate(halves):
        others = [name for name in scores.class_names if name not in half]
        weights = found.weights[run]
        if modalities == ("VE", "C"):
            for t in np.linspace(0, 1, 21).tolist():
                assert accuracy(scores, weights, half) >= accuracy(scores, Weights(t, 0, 1 - t), half)
        else:
            assert weights == simplex_map(scores, 4, half).best().weights
            assert found.best[run] == simplex_map(scores, 4, others).best().accuracy
        assert found.accuracies[run] == pytest.approx(accuracy(scores, weights, others))
        assert found.fixed["given"][run] == pytest.approx(accuracy(scores, given, others))
        assert found.best[run] >= found.accuracies[run]
    with pytest.raises(InputError, match="four or more"):
        choose_on_half(make(classes=3))
