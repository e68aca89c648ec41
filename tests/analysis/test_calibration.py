"""Calibration by hand, by plain loops, by scikit-learn, and by a general optimiser."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from cezsar.analysis import calibration
from cezsar.analysis.calibration import (
    HIGHEST,
    LOWEST,
    Calibration,
    brier,
    candidates,
    fit,
    hits,
    nll,
    probabilities,
    reliability,
    reliability_at,
)
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.scores import Scores


def sample(temperature, clips=400, classes=6, seed=0):
    """Scores, and labels drawn from softmax(score / temperature): well calibrated there."""
    rng = np.random.default_rng(seed)
    scores = 0.2 * rng.normal(size=(clips, classes))
    chances = softmax(scores / temperature, axis=1)
    return scores, np.array([rng.choice(classes, p=row) for row in chances])


def make_scores(seed=0, gram=True):
    rng = np.random.default_rng(seed)
    names, clips = ["run", "walk", "sit"], 12
    rows = rng.normal(size=(clips, 4))
    prototypes = rng.normal(size=(3, 4))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    labels = ["", *rng.choice(names, clips - 1)]
    lengths = np.einsum("ne,ne->n", rows, rows)[:, None, None] if gram else None
    return Scores([f"clip {n}" for n in range(clips)], labels, names, {"VE": rows @ prototypes.T}, lengths)


# Probabilities ----------------------------------------------------------------------------------------------------


def test_probabilities_by_hand():
    np.testing.assert_allclose(
        probabilities([[math.log(3), 0, 0], [5, 5, 5]]), [[0.6, 0.2, 0.2], [1 / 3, 1 / 3, 1 / 3]]
    )
    np.testing.assert_allclose(probabilities([[0.1 * math.log(3), 0]], 0.1), [[0.75, 0.25]])


def test_probabilities_are_scipys_and_bear_any_size():
    scores, _ = sample(0.1)
    np.testing.assert_allclose(probabilities(scores, 0.03), softmax(scores / 0.03, axis=1))
    np.testing.assert_array_equal(probabilities([[1e5, -1e5]], 1e-3), [[1, 0]])
    np.testing.assert_allclose(probabilities([[1.0, -1]], 1e9), [[0.5, 0.5]])
    np.testing.assert_array_equal(probabilities([[0.3], [0.1]]), [[1], [1]])


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0, 7.0])
def test_likelihood_and_brier_score_are_those_of_scikit_learn(temperature):
    scores, truth = sample(0.1)
    p = softmax(scores / temperature, axis=1)
    assert nll(scores, truth, temperature) == pytest.approx(log_loss(truth, p, labels=range(6)))
    expected = brier_score_loss(truth, p, labels=range(6), scale_by_half=False)
    assert brier(probabilities(scores, temperature), truth) == pytest.approx(expected)


def test_likelihood_and_brier_score_by_hand():
    assert nll([[math.log(3), 0, 0], [1, 1, 1]], [0, 2]) == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert brier([[0.6, 0.2, 0.2], [0, 1, 0]], [0, 2]) == pytest.approx((0.16 + 0.04 + 0.04 + 2) / 2)
    assert nll([[9.0]], [0]) == 0 and nll([[800.0, 0]], [0]) == 0 and nll([[800.0, 0]], [1]) == 800


def test_hits_are_those_of_predict():
    scores = [[1, 1, 0], [0, 0, 0], [0, 0, 2], [-1, 0, -1], [2, 2, 2]]
    whole = Scores(list("abcde"), [""] * 5, ["x", "y", "z"], {"VE": np.array(scores, float)})
    for true in range(3):
        expected = predict(whole, Weights.only("VE")) == true
        np.testing.assert_array_equal(hits(scores, [true] * 5), expected)


# Reliability ------------------------------------------------------------------------------------------------------


def test_bins_of_equal_width_by_hand():
    found = reliability([0, 0.25, 0.26, 0.5, 0.9, 1], [1, 0, 1, 1, 1, 0], bins=4)
    np.testing.assert_array_equal(found.low_B, [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(found.high_B, [0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(found.clips_B, [2, 2, 0, 2])
    np.testing.assert_allclose(found.confidence_B, [0.125, 0.38, np.nan, 0.95])
    np.testing.assert_allclose(found.accuracy_B, [0.5, 1, np.nan, 0.5])
    np.testing.assert_allclose(found.gaps, [0.375, 0.62, np.nan, -0.45])
    assert found.ece == pytest.approx((2 * 0.375 + 2 * 0.62 + 2 * 0.45) / 6) and found.mce == pytest.approx(0.62)


def test_bins_of_equal_mass_by_hand():
    found = reliability([0.9, 0.2, 0.4, 0.8, 0.4, 0.4], [1, 0, 1, 0, 0, 1], bins=3, kind="mass")
    # In order 0.2 0.4 | 0.4 0.4 | 0.8 0.9, but the three alike stay together, where the first of them is.
    np.testing.assert_array_equal(found.clips_B, [4, 0, 2])
    np.testing.assert_allclose(found.low_B, [0.2, np.nan, 0.8])
    np.testing.assert_allclose(found.high_B, [0.4, np.nan, 0.9])
    np.testing.assert_allclose(found.accuracy_B, [0.5, np.nan, 0.5])
    assert found.ece == pytest.approx((4 * 0.15 + 2 * 0.35) / 6) and found.mce == pytest.approx(0.35)


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
@pytest.mark.parametrize("kind", ["width", "mass"])
def test_calibration_errors_by_plain_loops(kind, bins):
    rng = np.random.default_rng(bins)
    confidence = np.round(rng.random(150), 2)
    correct = rng.random(150) < confidence
    found = reliability(confidence, correct, bins, kind)
    members = {}
    for own, right in zip(confidence, correct, strict=True):
        if kind == "width":
            place = next(b for b in range(bins) if own <= np.linspace(0, 1, bins + 1)[b + 1])
        else:
            place = bins * sum(other < own for other in confidence) // 150
        members.setdefault(int(place), []).append((own, right))
    gaps = {b: abs(np.mean([c for c, _ in rows]) - np.mean([r for _, r in rows])) for b, rows in members.items()}
    assert found.ece == pytest.approx(sum(len(members[b]) * gaps[b] for b in members) / 150)
    assert found.mce == pytest.approx(max(gaps.values()))
    assert {b: len(rows) for b, rows in members.items()} == {b: n for b, n in enumerate(found.clips_B) if n}


def test_equal_mass_without_ties_is_equal():
    found = reliability(np.random.default_rng(0).random(60), np.ones(60), 15, "mass")
    np.testing.assert_array_equal(found.clips_B, 4)
    assert (found.low_B[1:] > found.high_B[:-1]).all()


def test_few_clips_and_many_bins():
    for kind in ("width", "mass"):
        found = reliability([0.5, 0.5], [1, 0], 15, kind)
        assert found.ece == 0 == found.mce and np.count_nonzero(found.clips_B) == 1


def test_undecided_clips_are_wrong_with_equal_chances():
    found = reliability_at([[0.0, 0, 0, 0], [9, 0, 0, 0]], [0, 0], 0.1, bins=2)
    np.testing.assert_allclose(found.confidence_B, [0.25, 1])
    np.testing.assert_array_equal(found.accuracy_B, [0, 1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], []), "each clip has one of both"),
        (([0.5], [1, 0]), "each clip has one of both"),
        (([1.5], [1]), "from 0 to 1"),
        (([np.nan], [1]), "from 0 to 1"),
        (([0.5], [1], 0), "at least 1"),
        (([0.5], [1], 5, "size"), "choose width or mass"),
    ],
)
def test_what_has_no_diagram(arguments, said):
    with pytest.raises(InputError, match=said):
        reliability(*arguments)


# The temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.3, 2.0])
def test_the_temperature_is_that_of_a_general_optimiser(temperature):
    scores, truth = sample(temperature)
    found = fit(scores, truth)

    def cost(log_t):
        return log_loss(truth, softmax(scores / math.exp(log_t), axis=1), labels=range(6))

    expected = minimize_scalar(cost, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    assert found.stopped == "inside" and (found.clips, found.classes) == (400, 6)
    assert cost(math.log(found.temperature)) <= expected.fun + 1e-12
    assert found.temperature == pytest.approx(math.exp(expected.x), rel=1e-3)
    assert found.nll_after == pytest.approx(cost(math.log(found.temperature)))
    assert found.nll_before == pytest.approx(cost(0))
    assert found.nll_after <= found.nll_before


def test_the_temperature_that_labels_were_drawn_at_is_found():
    scores, truth = sample(0.07, clips=20_000)
    found = fit(scores, truth)
    assert found.temperature == pytest.approx(0.07, rel=0.03)
    assert found.ece_after < 0.02 < found.ece_before
    assert found.ece_after == reliability_at(scores, truth, found.temperature).ece


def test_in_closed_form():
    # Two classes, a lead of 1 either way, 3 clips of 4 right: sigmoid(1 / T) = 3/4, so 1 / T = log 3.
    found = fit([[1.0, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 0])
    assert found.temperature == pytest.approx(1 / math.log(3), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.002, 0.05, 1.0, 20.0])
def test_the_search_is_short(temperature, monkeypatch):
    scores, truth = sample(temperature)
    calls = []
    slope = calibration._slope
    monkeypatch.setattr(calibration, "_slope", lambda *given: calls.append(given[2]) or slope(*given))
    assert fit(scores, truth).stopped == "inside" and len(calls) <= 25


def test_separated_classes_stop_at_the_lowest():
    found = fit(np.eye(4), range(4))
    assert (found.temperature, found.stopped) == (LOWEST, "lowest") and found.nll_after == 0
    found = fit(0.01 * np.eye(4), range(4), bounds=(0.002, 5))
    assert (found.temperature, found.stopped) == (0.002, "lowest")
    assert probabilities(0.01 * np.eye(2), LOWEST)[0, 0] == pytest.approx(1 / (1 + math.exp(-10)))


def test_scores_that_mislead_stop_at_the_highest():
    found = fit(-np.eye(4), range(4))
    assert (found.temperature, found.stopped) == (HIGHEST, "highest")
    assert found.nll_after == pytest.approx(math.log(4), abs=0.01) and found.nll_after < found.nll_before


def test_scores_that_say_nothing_leave_it_at_one():
    for scores, truth in (([[0.3, 0.3], [0.1, 0.1]], [0, 1]), ([[0.3], [0.2]], [0, 0]), ([[0.0, 0.0]], [1])):
        found = fit(scores, truth)
        assert (found.temperature, found.stopped) == (1, "flat") and found.nll_before == found.nll_after


def test_the_order_of_clips_and_a_shift_of_a_row_do_not_matter():
    scores, truth = sample(0.1)
    order = np.random.default_rng(1).permutation(len(truth))
    first = fit(scores, truth).temperature
    assert fit(scores[order], truth[order]).temperature == pytest.approx(first, rel=1e-9)
    assert fit(scores + np.arange(400)[:, None], truth).temperature == pytest.approx(first, rel=1e-6)
    assert fit(10 * scores, truth).temperature == pytest.approx(10 * first, rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "truth", "said"),
    [
        (np.zeros((0, 3)), [], "no labelled clips"),
        ([[1.0, 0]], [2], "clip 0 is of class 2, which is none of the 2"),
        ([[1.0, 0], [0, 1]], [0, -1], "clip 1 is of class -1"),
        ([[1.0, 0]], [0, 1], "give one for each"),
        ([[1.0, np.nan]], [0], "row 0 of the scores has NaN"),
        (np.zeros((1, 0)), [0], "a column for each class"),
        ([1.0, 0], [0, 0], "a row for each clip"),
    ],
)
def test_what_cannot_be_fitted(scores, truth, said):
    with pytest.raises(InputError, match=said):
        fit(scores, truth)


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (1, 1), (1, math.inf), (math.nan, 1)])
def test_bounds_that_are_none(bounds):
    with pytest.raises(InputError, match="give 0 < lowest < highest"):
        fit([[1.0, 0]], [0], bounds=bounds)


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf, "1", True])
def test_temperatures_that_are_none(temperature):
    with pytest.raises(InputError, match="give a number above 0"):
        probabilities([[1.0, 0]], temperature)


# Files and `Scores` -----------------------------------------------------------------------------------------------


def test_a_calibration_comes_back_from_its_file(tmp_path):
    found = fit(*sample(0.1), about="400 clips of 6 seen classes")
    found.save(tmp_path / "calibration.json")
    again = Calibration.load(tmp_path / "calibration.json")
    assert again == found
    scores = [[0.2, 0.1]]
    np.testing.assert_array_equal(again.probabilities(scores), probabilities(scores, found.temperature))


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "0.1"},
        {"temperature": 10**400},
        {"stopped": "early"},
        {"clips": 0},
        {"clips": 2.0},
        {"nll_after": -1},
        {"about": 3},
        {"note": "by hand"},
        {"cezsar": "rejector"},
        {"version": 2},
    ],
)
def test_damaged_files_are_refused(tmp_path, change):
    path = tmp_path / "calibration.json"
    fit(*sample(0.1)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=r"calibration\.json.*fit the temperature again"):
        Calibration.load(path)


def test_half_a_file_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    fit(*sample(0.1)).save(path)
    value = json.loads(path.read_text())
    del value["clips"]
    path.write_text(json.dumps(value))
    with pytest.raises(FormatError, match="damaged"):
        Calibration.load(path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(FormatError, match="not valid JSON"):
        Calibration.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Calibration.load(tmp_path / "none.json")


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


def test_candidates_without_lengths_are_fused_scores():
    scores = make_scores(gram=False)
    np.testing.assert_allclose(candidates(scores, Weights(0.5, 0)).scores_NC, 0.5 * scores.columns["VE"])
