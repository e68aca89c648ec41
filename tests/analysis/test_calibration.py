"""Calibration by hand, by plain loops, by scikit-learn, and by a general optimiser."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from cezsar.analysis.calibration import (
    HIGHEST,
    LOWEST,
    Candidates,
    calibrate,
    candidates,
    correct,
    fit,
    nll,
    reliability,
    reliability_at,
    transferred,
    unknown_scores,
)
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores


def sample(temperature, clips=400, classes=6, seed=0):
    """Scores, and labels drawn from softmax(score / temperature): well calibrated there."""
    rng = np.random.default_rng(seed)
    scores = 0.2 * rng.normal(size=(clips, classes))
    chances = softmax(scores / temperature, axis=1)
    return scores, np.array([rng.choice(classes, p=row) for row in chances])


def make_scores(gram=True, clips=12, names=("run", "walk", "sit")):
    rng = np.random.default_rng(0)
    rows, prototypes = rng.normal(size=(clips, 4)), rng.normal(size=(len(names), 4))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    labels = ["", *rng.choice(names, clips - 1)]
    lengths = np.einsum("ne,ne->n", rows, rows)[:, None, None] if gram else None
    return Scores([f"clip {n}" for n in range(clips)], labels, list(names), {"VE": rows @ prototypes.T}, lengths)


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0, 7.0])
def test_likelihood_is_that_of_scikit_learn(temperature):
    scores, truth = sample(0.1)
    p = softmax(scores / temperature, axis=1)
    assert nll(scores, truth, temperature) == pytest.approx(log_loss(truth, p, labels=range(6)))


def test_likelihood_by_hand():
    assert nll([[math.log(3), 0, 0], [1, 1, 1]], [0, 2]) == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert nll([[9.0]], [0]) == 0 and nll([[800.0, 0]], [0]) == 0 and nll([[800.0, 0]], [1]) == 800


def test_correct_clips_are_those_of_predict():
    scores = [[1, 1, 0], [0, 0, 0], [0, 0, 2], [-1, 0, -1], [2, 2, 2]]
    whole = Scores(list("abcde"), [""] * 5, ["x", "y", "z"], {"VE": np.array(scores, float)})
    for true in range(3):
        np.testing.assert_array_equal(correct(scores, [true] * 5), predict(whole, Weights.only("VE")) == true)


# Reliability --------------------------------------------------------------------------------------------------------


def test_bins_by_hand():
    found = reliability([0, 0.25, 0.26, 0.5, 0.9, 1], [1, 0, 1, 1, 1, 0], bins=4)
    np.testing.assert_array_equal(found.clips_B, [2, 2, 0, 2])
    np.testing.assert_allclose(found.confidence_B, [0.125, 0.38, np.nan, 0.95])
    np.testing.assert_allclose(found.accuracy_B, [0.5, 1, np.nan, 0.5])
    assert found.ece == pytest.approx((2 * 0.375 + 2 * 0.62 + 2 * 0.45) / 6)


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_calibration_errors_by_plain_loops(bins):
    rng = np.random.default_rng(bins)
    confidence = np.round(rng.random(150), 2)
    right = rng.random(150) < confidence
    found = reliability(confidence, right, bins)
    members = {}
    for own, hit in zip(confidence, right, strict=True):
        place = next(b for b in range(bins) if own <= np.linspace(0, 1, bins + 1)[b + 1])
        members.setdefault(place, []).append((own, hit))
    gaps = {b: abs(np.mean([c for c, _ in rows]) - np.mean([r for _, r in rows])) for b, rows in members.items()}
    assert found.ece == pytest.approx(sum(len(members[b]) * gaps[b] for b in members) / 150)
    assert {b: len(rows) for b, rows in members.items()} == {b: n for b, n in enumerate(found.clips_B) if n}


# The temperature ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.3, 2.0])
def test_the_temperature_is_that_of_the_slope(temperature):
    """Where the mean score under the model is the mean true score: by bisection, to more digits than a search gives."""
    scores, truth = sample(temperature)
    found = fit(scores, truth)
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(200):
        u = math.sqrt(low * high)
        expected = (softmax(u * scores, axis=1) * scores).sum(axis=1).mean()
        low, high = (u, high) if expected < scores[np.arange(400), truth].mean() else (low, u)
    assert found.stopped == "inside" and (found.clips, found.classes) == (400, 6)
    assert found.temperature == pytest.approx(1 / u, rel=1e-6)

    def cost(log_t):
        return log_loss(truth, softmax(scores / math.exp(log_t), axis=1), labels=range(6))

    general = minimize_scalar(cost, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    assert found.nll_after == pytest.approx(cost(math.log(found.temperature)))
    assert found.nll_after <= general.fun + 1e-12
    assert found.nll_before == pytest.approx(cost(0)) and found.nll_after <= found.nll_before


def test_the_temperature_that_labels_were_drawn_at_is_found():
    scores, truth = sample(0.07, clips=20_000)
    found = fit(scores, truth)
    assert found.temperature == pytest.approx(0.07, rel=0.03)
    assert found.ece_after < 0.02 < found.ece_before
    assert found.ece_after == reliability_at(scores, truth, found.temperature).ece


def test_in_closed_form_and_at_the_bounds():
    # Two classes, a margin of 1 either way, 3 clips of 4 right: sigmoid(1 / T) = 3/4, so 1 / T = log 3.
    found = fit([[1.0, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 0])
    assert found.temperature == pytest.approx(1 / math.log(3), rel=1e-6)
    apart = fit(np.eye(4), range(4))
    assert (apart.temperature, apart.stopped, apart.nll_after) == (LOWEST, "lowest", 0)
    turned = fit(-np.eye(4), range(4))
    assert (turned.temperature, turned.stopped) == (HIGHEST, "highest")
    assert turned.nll_after == pytest.approx(math.log(4), abs=0.01) and turned.nll_after < turned.nll_before
    for scores, truth in (([[0.3, 0.3], [0.1, 0.1]], [0, 1]), ([[0.3], [0.2]], [0, 0]), ([[0.0, 0.0]], [1])):
        nothing = fit(scores, truth)
        assert (nothing.temperature, nothing.stopped) == (1, "flat") and nothing.nll_before == nothing.nll_after


def test_the_order_of_clips_and_a_shift_of_a_row_do_not_matter():
    scores, truth = sample(0.1)
    order = np.random.default_rng(1).permutation(len(truth))
    first = fit(scores, truth).temperature
    assert fit(scores[order], truth[order]).temperature == pytest.approx(first, rel=1e-6)
    assert fit(scores + np.arange(400)[:, None], truth).temperature == pytest.approx(first, rel=1e-6)
    assert fit(10 * scores, truth).temperature == pytest.approx(10 * first, rel=1e-6)


def test_a_fit_needs_clips():
    with pytest.raises(InputError, match="no labelled clips"):
        fit(np.zeros((0, 3)), [])


def test_the_record_of_a_fit_is_kept(tmp_path):
    found = fit(*sample(0.1), about="400 clips of 6 seen classes")
    found.save(tmp_path / "calibration.json")
    kept = json.loads((tmp_path / "calibration.json").read_text())
    assert kept == {"cezsar": "calibration", "version": 1} | found.__dict__


def test_t_is_fitted_on_the_classes_that_a_split_leaves_out():
    scores = make_scores(clips=200, names=("run", "walk", "sit", "fall", "jump"))
    splits = [["run", "walk"], ["sit", "jump", "fall"]]
    found = transferred(scores, Weights.only("VE"), Protocol("two", splits))
    for split, fitted in zip(splits, found.fits, strict=True):
        others = [name for name in scores.class_names if name not in split]
        assert fitted == fit(*candidates(scores, Weights.only("VE"), others).labelled())
    own = [candidates(scores, Weights.only("VE"), split).labelled() for split in splits]
    expected = [reliability_at(*one, t.temperature).ece for one, t in zip(own, found.fits, strict=True)]
    assert found.after.ece == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert found.before.ece.mean == pytest.approx(np.mean([reliability_at(*one).ece for one in own]))
    assert found.accuracy.mean == pytest.approx(np.mean([correct(*one).mean() for one in own]))
    assert found.temperature.mean == pytest.approx(np.mean([one.temperature for one in found.fits]))
    assert found.after.diagram.clips_B.sum() == sum(len(truth) for _, truth in own)
    with pytest.raises(InputError, match="leaves none"):
        transferred(scores, Weights.only("VE"), Protocol("most", [scores.class_names[1:]]))


# `Scores`, and both kept for a run ----------------------------------------------------------------------------------


def test_candidates_are_cosines_of_some_classes():
    scores = make_scores()
    whole = candidates(scores, Weights.only("VE"))
    np.testing.assert_array_equal(whole.scores_NC, cosine(scores, Weights.only("VE")))
    np.testing.assert_array_equal(whole.truth_N, scores.label_index)
    some = candidates(scores, Weights.only("VE"), ["Sit", "RUN"])
    assert some.classes == ["run", "sit"]
    np.testing.assert_array_equal(some.scores_NC, whole.scores_NC[:, [0, 2]])
    expected = [some.classes.index(label) if label in some.classes else -1 for label in scores.labels]
    np.testing.assert_array_equal(some.truth_N, expected)
    with pytest.raises(InputError):
        candidates(scores, Weights.only("VE"), ["fly"])
    fused = make_scores(gram=False)  # without lengths
    np.testing.assert_allclose(candidates(fused, Weights(0.5, 0)).scores_NC, 0.5 * fused.columns["VE"])


def test_unknown_clips_are_held_against_the_known_classes():
    rng = np.random.default_rng(1)
    modalities = {"VE": rng.normal(size=(3, 4)), "O": rng.normal(size=(3, 4))}
    known = Embeddings(
        ["a"], ["x"], ["x", "y"], {m: rows[:1] for m, rows in modalities.items()}, np.eye(4)[:3], [0, 1, 1]
    )
    unknown = Embeddings(["b", "c", "d"], ["z", "X", ""], ["z", "X"], modalities, np.eye(4)[:2], [0, 1])
    scores, ids = unknown_scores(unknown, known, Weights(0.5, 0.5))
    assert ids == ["b", "d"]
    for row, place in zip(scores, (0, 2), strict=True):
        fused = modalities["VE"][place] + modalities["O"][place]
        unit = fused / np.linalg.norm(fused)
        np.testing.assert_allclose(row, [unit[0], max(unit[1], unit[2])], atol=1e-6)
    bare = Embeddings(["b"], ["z"], ["z"], {"VE": modalities["VE"][:1]}, np.eye(4)[:1], [0])
    with pytest.raises(InputError, match="cannot be compared"):
        unknown_scores(bare, known, Weights())


def test_clips_of_no_class_do_not_count():
    scores = np.array([[0.9, 0.1], [0.2, 0.7], [0.99, 0.98]], np.float32)
    known = Candidates(scores, np.array([0, 0, -1]), ["x", "y"])
    found = calibrate(known, rate=0.5)
    assert (found.calibration.clips, found.accuracy, found.known_rejected) == (2, 0.5, 1)
    assert found.rejector.threshold == pytest.approx(0.9)
    assert found.auroc is None and found.unknown_accepted is None
    found = calibrate(known, scores[2:], rate=0.0)
    assert found.known_rejected == 2 and found.unknown_accepted == 0 and found.auroc == 0.0
