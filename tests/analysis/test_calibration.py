"""Calibration by hand, by plain loops, by scikit-learn, and by a general optimiser."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from cezsar.analysis import calibration as engine
from cezsar.analysis.calibration import fit, nll, reliability
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights, cosine
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Embeddings, Scores

VE = Weights.only("VE")


def sample(temperature, clips=400, classes=6):
    rng = np.random.default_rng(0)
    scores = 0.2 * rng.normal(size=(clips, classes))
    return scores, np.array([rng.choice(classes, p=row) for row in softmax(scores / temperature, axis=1)])


def make_scores(clips=12, names=("run", "walk", "sit")):
    rng = np.random.default_rng(0)
    rows, prototypes = rng.normal(size=(clips, 4)), rng.normal(size=(len(names), 4))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    labels = ["", *rng.choice(names, clips - 1)]
    lengths = np.einsum("ne,ne->n", rows, rows)[:, None, None]
    return Scores([f"clip {n}" for n in range(clips)], labels, list(names), {"VE": rows @ prototypes.T}, lengths)


def error_at(scores, truth, temperature=1.0):
    return engine.calibration_error(engine.reliability_at(scores, truth, temperature))


def test_likelihood_is_that_of_scikit_learn_and_by_hand():
    scores, truth = sample(0.1)
    for t in (0.02, 0.1, 1.0, 7.0):
        p = softmax(scores / t, axis=1)
        assert nll(scores, truth, t) == pytest.approx(log_loss(truth, p, labels=range(6)))
    assert nll([[math.log(3), 0, 0], [1, 1, 1]], [0, 2]) == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert nll([[9.0]], [0]) == 0 and nll([[800.0, 0]], [0]) == 0 and nll([[800.0, 0]], [1]) == 800


@pytest.mark.parametrize("bins", [1, 15, 100])
def test_calibration_errors_by_plain_loops(bins):
    rng = np.random.default_rng(bins)
    confidence = np.round(rng.random(150), 2)
    right, members = rng.random(150) < confidence, {}
    for own, hit in zip(confidence, right, strict=True):
        place = next(b for b in range(bins) if own <= np.linspace(0, 1, bins + 1)[b + 1])
        members.setdefault(place, []).append((own, hit))
    gaps = {b: abs(np.mean([c for c, _ in rows]) - np.mean([r for _, r in rows])) for b, rows in members.items()}
    found = reliability(confidence, right, bins)
    assert engine.calibration_error(found) == pytest.approx(sum(len(members[b]) * gaps[b] for b in members) / 150)
    assert found["clips"].to_dict() == {b: len(rows) for b, rows in members.items()}


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.3])
def test_the_temperature_is_that_of_the_slope(temperature):
    """Where the mean score under the model is the mean true score: by bisection, to more digits than a search gives."""
    scores, truth = sample(temperature)
    found, low, high = fit(scores, truth), 1 / engine.HIGHEST, 1 / engine.LOWEST
    for _ in range(200):
        u = math.sqrt(low * high)
        expected = (softmax(u * scores, axis=1) * scores).sum(axis=1).mean()
        low, high = (u, high) if expected < scores[np.arange(400), truth].mean() else (low, u)
    assert (found.stopped, found.clips, found.classes) == ("inside", 400, 6)
    assert found.temperature == pytest.approx(1 / u, rel=1e-6)

    def cost(log_t):
        return log_loss(truth, softmax(scores / math.exp(log_t), axis=1), labels=range(6))

    general = minimize_scalar(cost, bounds=(math.log(engine.LOWEST), math.log(engine.HIGHEST)), method="bounded")
    assert (found.nll_before, found.nll_after) == pytest.approx((cost(0), cost(math.log(found.temperature))))
    assert found.nll_after <= min(general.fun + 1e-12, found.nll_before)
    assert found.temperature == pytest.approx(temperature, rel=0.2)  # at which the labels were drawn
    assert (found.ece_before, found.ece_after) == (error_at(scores, truth), error_at(scores, truth, found.temperature))


def test_in_closed_form_and_at_the_bounds():
    # Two classes, a margin of 1 either way, 3 clips of 4 right: sigmoid(1 / T) = 3/4, so 1 / T = log 3.
    found = fit([[1.0, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 0])
    assert found.temperature == pytest.approx(1 / math.log(3), rel=1e-6)
    apart, turned = fit(np.eye(4), range(4)), fit(-np.eye(4), range(4))
    assert (apart.temperature, apart.stopped, apart.nll_after) == (engine.LOWEST, "lowest", 0)
    assert (turned.temperature, turned.stopped) == (engine.HIGHEST, "highest")
    assert turned.nll_after == pytest.approx(math.log(4), abs=0.01) and turned.nll_after < turned.nll_before
    for scores, truth in (([[0.3, 0.3], [0.1, 0.1]], [0, 1]), ([[0.3], [0.2]], [0, 0]), ([[0.0, 0.0]], [1])):
        nothing = fit(scores, truth)
        assert (nothing.temperature, nothing.stopped) == (1, "flat") and nothing.nll_before == nothing.nll_after


def test_t_is_fitted_on_the_classes_that_a_split_leaves_out():
    scores = make_scores(clips=200, names=("run", "walk", "sit", "fall", "jump"))
    splits = [["run", "walk"], ["sit", "jump", "fall"]]
    found = engine.transferred(scores, VE, Protocol("two", splits))
    for split, fitted in zip(splits, found.fits, strict=True):
        others = [name for name in scores.class_names if name not in split]
        assert fitted == fit(*engine.labelled_scores(scores, VE, others))
    own = [engine.labelled_scores(scores, VE, split) for split in splits]
    expected = [error_at(*one, t.temperature) for one, t in zip(own, found.fits, strict=True)]
    assert found.after.ece == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert found.before.ece.mean == pytest.approx(np.mean([error_at(*one) for one in own]))
    assert found.accuracy.mean == pytest.approx(np.mean([engine.correct(*one).mean() for one in own]))
    assert found.temperature.mean == pytest.approx(np.mean([one.temperature for one in found.fits]))
    assert found.after.diagram["clips"].sum() == sum(len(truth) for _, truth in own)
    with pytest.raises(InputError, match="leaves none"):
        engine.transferred(scores, VE, Protocol("most", [scores.class_names[1:]]))


def test_labelled_scores_are_cosines_of_some_classes():
    scores = make_scores()
    rows = [row for row, label in enumerate(scores.labels) if label in ("run", "sit")]
    found, truth = engine.labelled_scores(scores, VE, ["Sit", "RUN"])
    np.testing.assert_array_equal(found, cosine(scores, VE)[rows][:, [0, 2]])
    np.testing.assert_array_equal(truth, [["run", "sit"].index(scores.labels[row]) for row in rows])


def test_unknown_clips_are_held_against_the_known_classes():
    rng = np.random.default_rng(1)
    modalities = {"VE": rng.normal(size=(3, 4)), "O": rng.normal(size=(3, 4))}
    first = {name: rows[:1] for name, rows in modalities.items()}
    known = Embeddings(["a"], ["x"], ["x", "y"], first, np.eye(4)[:3], [0, 1, 1])
    unknown = Embeddings(["b", "c", "d"], ["z", "X", ""], ["z", "X"], modalities, np.eye(4)[:2], [0, 1])
    scores, ids = engine.unknown_scores(unknown, known, Weights(0.5, 0.5))
    assert ids == ["b", "d"]
    for row, place in zip(scores, (0, 2), strict=True):
        unit = modalities["VE"][place] + modalities["O"][place]
        unit /= np.linalg.norm(unit)
        np.testing.assert_allclose(row, [unit[0], max(unit[1], unit[2])], atol=1e-6)


def test_both_are_chosen_and_kept(tmp_path):
    scores = np.array([[0.9, 0.1], [0.2, 0.7]], np.float32), np.array([0, 0])
    found = engine.calibrate(scores, rate=0.5, about="2 clips of 2 seen classes")
    assert (found.calibration.clips, found.accuracy, found.known_rejected) == (2, 0.5, 1)
    assert found.rejector.threshold == pytest.approx(0.9) and found.auroc is found.unknown_accepted is None
    kept = json.loads(found.keep(tmp_path)[0].read_text())
    assert kept == {"cezsar": "calibration", "version": 1} | found.calibration.__dict__
    found = engine.calibrate(scores, np.array([[0.99, 0.98]]), rate=0.0)
    assert found.known_rejected == 2 and found.unknown_accepted == 0 and found.auroc == 0.0
