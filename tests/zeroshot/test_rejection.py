"""Knownness by hand and by SciPy, thresholds by trying all of them, rejectors through their files."""

import json
import math

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.rejection import (
    KINDS,
    Rejector,
    knownness,
    threshold_for_false_accepts,
    threshold_for_false_rejects,
)

COARSE = np.random.default_rng(0).integers(0, 6, 41) / 4
FINE = np.random.default_rng(1).normal(size=37)
LOWEST_FLOAT = -np.finfo(np.float64).max


# Knownness --------------------------------------------------------------------------------------------------------


def test_every_kind_by_hand():
    scores = [[math.log(3), 0, 0], [-1, -2, -1]]
    np.testing.assert_allclose(knownness(scores), [math.log(3), -1])
    np.testing.assert_allclose(knownness(scores, "probability"), [0.6, 1 / (2 + math.exp(-1))])
    np.testing.assert_allclose(knownness(scores, "margin"), [math.log(3), 0])
    np.testing.assert_allclose(knownness(scores, "energy"), [math.log(5), math.log(2 * math.exp(-1) + math.exp(-2))])


def test_temperature_by_scipy():
    scores = 0.3 * np.random.default_rng(2).normal(size=(50, 8))
    for t in (0.01, 0.1, 3):
        np.testing.assert_allclose(knownness(scores, "probability", t), softmax(scores / t, axis=1).max(axis=1))
        np.testing.assert_allclose(knownness(scores, "energy", t), t * logsumexp(scores / t, axis=1))
    for kind in ("cosine", "margin"):
        np.testing.assert_array_equal(knownness(scores, kind, 0.01), knownness(scores, kind, 3))
        assert not KINDS[kind].tempered
    ordered = np.sort(scores, axis=1)
    np.testing.assert_array_equal(knownness(scores, "margin"), ordered[:, -1] - ordered[:, -2])


def test_energy_is_published_negative_and_turned():
    scores = np.array([[0.5, 0.1]])
    assert KINDS["energy"].known == "lower"
    assert KINDS["energy"].values(scores, 1.0)[0] == pytest.approx(-math.log(math.exp(0.5) + math.exp(0.1)))
    assert knownness(scores, "energy")[0] == -KINDS["energy"].values(scores, 1.0)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_undecided_clips_are_known_least(kind):
    found = knownness([[0, 0, 0], [-0.5, -0.5, -0.6], [0, 0, 0.1]], kind, 0.1)
    assert found[0] == -np.inf and np.isfinite(found[1:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_is_defined(kind):
    expected = {"cosine": [0.5, -0.2], "probability": [1, 1], "margin": [0, 0], "energy": [0.5, -0.2]}[kind]
    np.testing.assert_allclose(knownness([[0.5], [-0.2]], kind, 0.1), expected)


def test_what_has_no_knownness():
    with pytest.raises(InputError, match="choose cosine, probability, margin, energy"):
        knownness([[1.0]], "entropy")
    with pytest.raises(InputError, match="row 0 of the scores has NaN"):
        knownness([[np.nan]])
    with pytest.raises(InputError, match="above 0"):
        knownness([[1.0]], "energy", 0)
    assert knownness(np.zeros((0, 2))).shape == (0,)


# Thresholds -------------------------------------------------------------------------------------------------------


def test_thresholds_by_hand():
    values = np.arange(1.0, 21)
    # Of 20 unknown clips one may be accepted, so 20 is and 19 is not; of 20 known ones 1 may be rejected.
    assert threshold_for_false_accepts(values, 0.05) == np.nextafter(19, 20)
    assert threshold_for_false_rejects(values, 0.05) == 2
    assert threshold_for_false_accepts(values, 0) == np.nextafter(20, 21)
    assert threshold_for_false_rejects(values, 0) == 1
    assert threshold_for_false_accepts([3, 3, 1], 0.5) == np.nextafter(3, 4)  # both of the 3, or none
    assert threshold_for_false_rejects([1, 1, 3], 0.5) == 1


def test_shares_of_clips_are_whole_clips():
    values = np.arange(100.0)
    assert np.count_nonzero(values >= threshold_for_false_accepts(values, 0.29)) == 29
    assert np.count_nonzero(values < threshold_for_false_rejects(values, 0.29)) == 29
    assert np.count_nonzero(values >= threshold_for_false_accepts(values, 0.99999999999)) == 99


@pytest.mark.parametrize("rate", [0, 0.05, 0.1, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("values", [COARSE, FINE], ids=["coarse", "fine"])
def test_no_threshold_is_better(values, rate):
    accepting = threshold_for_false_accepts(values, rate)
    rejecting = threshold_for_false_rejects(values, rate)
    tried = [t for value in values for t in (np.nextafter(value, -9), value, np.nextafter(value, 9))]
    assert np.mean(values >= accepting) <= rate + 1e-12 and np.mean(values < rejecting) <= rate + 1e-12
    assert all(np.mean(values >= t) > rate for t in tried if t < accepting)
    assert all(np.mean(values < t) > rate for t in tried if t > rejecting)


def test_undecided_clips_are_accepted_by_no_threshold():
    half = [-np.inf, -np.inf, 1, 2]
    assert threshold_for_false_accepts(half, 0.5) == LOWEST_FLOAT
    assert threshold_for_false_rejects(half, 0.25) == LOWEST_FLOAT  # two are rejected, though one may be
    assert threshold_for_false_rejects(half, 0.5) == 1


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan, "0.1", True])
@pytest.mark.parametrize("choose", [threshold_for_false_accepts, threshold_for_false_rejects])
def test_rates_that_are_none(choose, rate):
    with pytest.raises(InputError, match="from 0 to below 1"):
        choose([1.0, 2], rate)


def test_thresholds_need_clips():
    with pytest.raises(InputError, match="there are no unknown clips"):
        threshold_for_false_accepts([])
    with pytest.raises(InputError, match="there are no known clips"):
        threshold_for_false_rejects([])
    with pytest.raises(InputError, match="unknown clip 1 is no number"):
        threshold_for_false_accepts([1, np.nan])
    with pytest.raises(InputError, match="known clip 0 is no number"):
        threshold_for_false_rejects([np.inf, 1])


# Rejectors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejector_keeps_its_rate(kind):
    scores = 0.2 * np.random.default_rng(3).normal(size=(200, 9))
    of_unknown = Rejector.from_unknown(scores, 0.1, kind, 0.05)
    of_known = Rejector.from_known(scores, 0.1, kind, 0.05)
    assert np.count_nonzero(of_unknown.accepts(scores)) == 20
    assert np.count_nonzero(~of_known.accepts(scores)) == 20
    assert (of_unknown.chosen_by, of_known.chosen_by) == ("false accept", "false reject")
    assert of_unknown.clips == 200 and of_unknown.rate == 0.1 and of_unknown.temperature == 0.05
    for row, accepted in zip(scores, of_known.accepts(scores), strict=True):
        assert of_known.decide(row) is bool(accepted)
        assert accepted == (knownness(row[None], kind, 0.05)[0] >= of_known.threshold)
    np.testing.assert_allclose(of_known.probabilities(scores), softmax(scores / 0.05, axis=1))


def test_an_undecided_clip_is_none_of_these():
    rejector = Rejector("cosine", -1.0, 1.0, "false reject", 0.0, 1)
    assert rejector.decide([-0.9, -1]) and not rejector.decide([0, 0])


def test_a_rejector_comes_back_from_its_file(tmp_path):
    scores = np.random.default_rng(4).normal(size=(50, 3))
    found = Rejector.from_unknown(scores, 0.2, "energy", 0.07, "50 clips of 4 other classes")
    found.save(tmp_path / "rejector.json")
    assert Rejector.load(tmp_path / "rejector.json") == found
    lowest = Rejector.from_known(np.zeros((3, 2)))
    lowest.save(tmp_path / "lowest.json")
    assert Rejector.load(tmp_path / "lowest.json").threshold == LOWEST_FLOAT


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "entropy"},
        {"threshold": None},
        {"threshold": 10**400},
        {"temperature": 0},
        {"chosen_by": "eye"},
        {"rate": 1},
        {"clips": 0},
        {"about": None},
        {"note": "by hand"},
        {"cezsar": "calibration"},
        {"version": 2},
        {"kind": ["cosine"]},
    ],
)
def test_damaged_files_are_refused(tmp_path, change):
    path = tmp_path / "rejector.json"
    Rejector("cosine", 0.3, 1.0, "false accept", 0.05, 40).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=r"rejector\.json.*choose the threshold again"):
        Rejector.load(path)


def test_half_a_file_is_refused(tmp_path):
    path = tmp_path / "rejector.json"
    path.write_text('{"cezsar": "rejector", "version": 1, "kind": "cosine"}')
    with pytest.raises(FormatError, match="damaged"):
        Rejector.load(path)
    path.write_text('{"cezsar": "rejector"')
    with pytest.raises(FormatError, match="not valid JSON"):
        Rejector.load(path)
