"""Fusion curves against `fusion.predict` at very many α, on both sides of every breakpoint."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.curves import fusion_curve, fusion_curves
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import Scores


def accuracy(scores, alpha, classes=None):
    """The share of hits, by the prediction itself. Dyadic α and small whole scores leave nothing to round."""
    chosen = range(len(scores.class_names)) if classes is None else classes
    tested = np.isin(scores.label_index, list(chosen))
    hits = predict(scores, Weights(float(alpha), float(1 - alpha)), classes) == scores.label_index
    return np.count_nonzero(hits & tested) / np.count_nonzero(tested)


def cancels(scores, alpha, classes):
    """Whether a clip's nearest sentences, not all its sentences, cancel out: the point a curve does not tell."""
    if scores.first_columns is None:
        return False
    sums = alpha * scores.columns["VE"] + (1 - alpha) * scores.columns["O"]
    nearest = np.maximum.reduceat(sums, scores.first_columns, axis=1)
    return not nearest[:, classes].any(axis=1)[sums.any(axis=1)].all()


def random_matrices(kind, rng, shape):
    if kind == "float":
        return rng.normal(size=shape), rng.normal(size=shape)
    if kind == "coarse":  # every kind of tie
        return rng.integers(-2, 3, shape), rng.integers(-2, 3, shape)
    if kind == "parallel":  # leads that never change
        x = rng.integers(-3, 4, shape)
        return x, x + rng.integers(-1, 2, (shape[0], 1))
    if kind == "constant":
        return rng.integers(-1, 2, (shape[0], 1)) * np.ones(shape), rng.integers(-1, 2, (shape[0], 1)) * np.ones(shape)
    x, y = rng.integers(0, 4, shape), rng.integers(0, 4, shape)  # "blank": clips without a modality
    x[rng.random(shape[0]) < 0.4] = 0
    y[rng.random(shape[0]) < 0.4] = 0
    x[:, rng.random(shape[1]) < 0.3] = 0
    x[::5] = rng.integers(-3, 4, (len(x[::5]), shape[1]))
    y[::5] = -x[::5]  # opposite modalities cancel out at 1/2
    y[::10] = -3 * x[::10]  # and at 3/4
    return x, y


def make(kind, clips=200, classes=7, sentences=1, seed=0):
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(classes), sentences)
    x, y = random_matrices(kind, rng, (clips, len(owner)))
    names = [f"class {c}" for c in range(classes)]
    labels = [names[min(c, classes - 1)] for c in rng.integers(classes + 2, size=clips) % classes]
    labels[:2] = ["", "no such class"]
    ids = [f"clip {n}" for n in range(clips)]
    return Scores(ids, labels, names, {"VE": x, "O": y}, column_class=owner)


KINDS = ("float", "coarse", "parallel", "constant", "blank")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sentences", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_is_what_predict_gives(kind, sentences, seed):
    scores = make(kind, sentences=sentences, seed=seed)
    for names in (None, ["class 4", "class 1", "class 6"]):
        classes = None if names is None else [4, 1, 6]
        curve = fusion_curve(scores, classes=names)
        middles = (curve.alpha[1:] + curve.alpha[:-1]) / 2
        wide = np.diff(curve.alpha) > 1e-5  # float32 cannot tell nearer ones apart
        dyadic = np.arange(33) / 32  # the ties among them are exact
        dyadic = [alpha for alpha in dyadic if not 0 < alpha < 1 or not cancels(scores, alpha, classes or slice(None))]
        for alpha in np.concatenate([middles[wide], dyadic]):
            assert curve.at(alpha) == accuracy(scores, alpha, classes), alpha


def test_breakpoints_are_where_something_changes():
    curve = fusion_curve(make("float"))
    assert curve.alpha[0] == 0 and curve.alpha[-1] == 1 and (np.diff(curve.alpha) > 0).all()
    assert (np.diff(curve.between_B) != 0).mean() > 0.9
    assert len(curve.between_B) == len(curve.alpha) - 1 == len(curve.on_B) - 1
    assert np.array_equal(curve.at(curve.alpha), curve.on_B)


def test_a_hand_computed_case():
    # Clip one is right for alpha > 1/3 (its class is the later one), clip two for alpha <= 3/5, as the earlier one.
    x = np.array([[0, 2], [0, 2]])
    y = np.array([[1, 0], [3, 0]])
    scores = Scores(["one", "two"], ["b", "a"], ["a", "b"], {"VE": x, "O": y})
    curve = fusion_curve(scores)
    assert curve.alpha.tolist() == [0, 1 / 3, 0.6, 1]
    assert curve.on_B.tolist() == [0.5, 0.5, 1, 0.5] and curve.between_B.tolist() == [0.5, 1, 0.5]
    assert curve.best() == (1 / 3, 0.6, 1.0)
    swapped = fusion_curve(scores, ("O", "VE"))
    assert np.allclose(swapped.alpha, 1 - curve.alpha[::-1]) and swapped.at(0.5) == 1


def test_best_is_the_widest_of_the_highest():
    scores = make("coarse", clips=60, seed=5)
    curve = fusion_curve(scores)
    low, high, top = curve.best()
    alphas = np.linspace(0, 1, 4001)
    values = curve.at(alphas)
    assert values.max() <= top and curve.at((low + high) / 2) == top
    runs = np.split(alphas[values == top], np.flatnonzero(np.diff(np.flatnonzero(values == top)) > 1) + 1)
    assert high - low >= max(run[-1] - run[0] for run in runs) - 1e-9


@pytest.mark.parametrize("runs", [1, 8])
def test_curves_of_a_protocol(runs):
    scores = make("float", clips=300, classes=12)
    protocol = random_classes(scores.class_names, 5, runs)
    found = fusion_curves(scores, protocol)
    assert len(found.curves) == runs
    alone = fusion_curve(scores, classes=protocol.splits[0])
    assert np.array_equal(found.curves[0].alpha, alone.alpha)
    assert set(found.alpha) == {alpha for curve in found.curves for alpha in curve.alpha}
    middles = (found.alpha[1:] + found.alpha[:-1]) / 2
    each = np.array([[float(curve.at(alpha)) for alpha in middles] for curve in found.curves])
    assert np.allclose(found.mean_B, each.mean(axis=0), atol=1e-12)
    assert np.allclose(found.std_B, each.std(axis=0, ddof=1) if runs > 1 else 0, atol=1e-6)
    mean, std = found.at(middles)
    assert np.allclose(mean, found.mean_B) and np.allclose(std, found.std_B, atol=1e-6)
    low, high, top = found.best()
    assert np.isclose(top, each.mean(axis=0).max()) and np.isclose(found.at((low + high) / 2)[0], top)


def test_what_has_no_curve_is_refused():
    scores = make("float")
    with pytest.raises(InputError, match="no C"):
        fusion_curve(scores, ("VE", "C"))
    with pytest.raises(InputError, match="from 0 to 1"):
        fusion_curve(scores).at(1.5)
    unlabelled = Scores(["one"], [""], ["a", "b"], {"VE": np.ones((1, 2)), "O": np.ones((1, 2))})
    with pytest.raises(InputError, match="no clip is labelled"):
        fusion_curve(unlabelled)
