"""Confidence by hand and by SciPy, thresholds by trying all of them, rejectors through their files, limits in words."""

import json
import math

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot import rejection
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import KINDS, LEAST, RejectionLimits, Rejector, confidence, goes_with, probabilities

ACCEPT, REJECT = "false accept", "false reject"


def test_every_kind_by_hand_and_by_scipy():
    scores = [[math.log(3), 0, 0], [-1, -2, -1]]
    np.testing.assert_allclose(confidence(scores), [math.log(3), -1])
    np.testing.assert_allclose(confidence(scores, "margin"), [math.log(3), 0])
    np.testing.assert_allclose(confidence(scores, "energy"), [math.log(5), math.log(2 * math.exp(-1) + math.exp(-2))])
    np.testing.assert_allclose(probabilities([[math.log(3), 0, 0], [5, 5, 5]]), [[0.6, 0.2, 0.2], [1 / 3] * 3])
    scores = 0.3 * np.random.default_rng(2).normal(size=(50, 8))
    for t in (0.01, 0.1, 3):
        np.testing.assert_allclose(confidence(scores, "probability", t), softmax(scores / t, axis=1).max(axis=1))
        np.testing.assert_allclose(confidence(scores, "energy", t), t * logsumexp(scores / t, axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_undecided_clips_and_single_classes_are_defined(kind):
    found = confidence([[0, 0, 0], [-0.5, -0.5, -0.6], [0, 0, 0.1]], kind, 0.1)
    assert found[0] == -np.inf and np.isfinite(found[1:]).all()
    expected = {"cosine": [0.5, -0.2], "probability": [1, 1], "margin": [0, 0], "energy": [0.5, -0.2]}[kind]
    np.testing.assert_allclose(confidence([[0.5], [-0.2]], kind, 0.1), expected)
    assert confidence(np.zeros((0, 2)), kind).shape == (0,)


def test_thresholds_by_hand():
    values = np.arange(1.0, 21)
    # Of 20 unknown clips one may be accepted, so 20 is and 19 is not; of 20 known ones 1 may be rejected.
    assert rejection.threshold(values, ACCEPT, 0.05) == np.nextafter(19, 20)
    assert rejection.threshold(values, REJECT, 0.05) == 2
    assert rejection.threshold([3, 3, 1], ACCEPT, 0.5) == np.nextafter(3, 4)  # both of the 3, or none
    half = [-np.inf, -np.inf, 1, 2]  # two undecided clips, which no threshold accepts
    assert rejection.threshold(half, ACCEPT, 0.5) == LEAST == rejection.threshold(half, REJECT, 0.25)
    for given, rate, said in (([1.0, 2], 1, "from 0 to below 1"), ([], 0.05, "no unknown clips")):
        with pytest.raises(InputError, match=said):
            rejection.threshold(given, ACCEPT, rate)


@pytest.mark.parametrize("rate", [0, 0.1, 1 / 3, 0.9])
@pytest.mark.parametrize("coarse", [True, False])
def test_no_threshold_is_better(coarse, rate):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, 41) / 4 if coarse else rng.normal(size=37)
    accepting, rejecting = rejection.threshold(values, ACCEPT, rate), rejection.threshold(values, REJECT, rate)
    tried = [t for value in values for t in (np.nextafter(value, -9), value, np.nextafter(value, 9))]
    assert np.mean(values >= accepting) <= rate + 1e-12 and np.mean(values < rejecting) <= rate + 1e-12
    assert all(np.mean(values >= t) > rate for t in tried if t < accepting)
    assert all(np.mean(values < t) > rate for t in tried if t > rejecting)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejector_keeps_its_rate(kind):
    scores = 0.2 * np.random.default_rng(3).normal(size=(200, 9))
    of_unknown = Rejector.choose(scores, ACCEPT, 0.1, kind, 0.05)
    of_known = Rejector.choose(scores, REJECT, 0.1, kind, 0.05)
    assert np.count_nonzero(of_unknown.accepts(scores)) == 20 == np.count_nonzero(~of_known.accepts(scores))
    assert (of_unknown.chosen_by, of_unknown.clips, of_unknown.rate, of_unknown.temperature) == (ACCEPT, 200, 0.1, 0.05)
    for row, accepted in zip(scores, of_known.accepts(scores), strict=True):
        chances_C, none_of_these, _ = of_known.judge(row)
        assert none_of_these is not bool(accepted)
        np.testing.assert_allclose(chances_C, softmax(row / 0.05))
        assert accepted == (confidence(row[None], kind, 0.05)[0] >= of_known.threshold)


def rejecting(threshold, kind="cosine"):
    return Rejector(kind, threshold, 0.1, REJECT, 0.05, 210, "clips of another day")


def test_a_judgement_in_words():
    _, none_of_these, words = rejecting(0.4).judge([0.5])
    assert none_of_these is False
    assert words == (
        "maximum cosine 0.500, at least 0.400; chosen so that at most 5.0% of 210 known clips were rejected (clips of "
        "another day); those were other clips and labels, so this is a warning, no guarantee"
    )
    for kind in ("probability", "margin"):  # a single label leaves nothing to compare
        assert rejecting(0.1, kind).judge([0.5]) == (pytest.approx([1.0]), None, "")
    chances_C, none_of_these, words = rejecting(-1.0).judge([0.0, 0.0])
    assert none_of_these is True and words.startswith("all scores are 0;") and chances_C == pytest.approx([0.5, 0.5])


def test_weights_of_another_direction_and_captions_are_not_judged():
    assert goes_with(Weights(4, 1), Weights(0.8, 0.2), ("VE", "O"))
    assert not goes_with(Weights.only("VE"), Weights.only("O"), ("VE", "O"))
    assert goes_with(Weights(0.8, 0.2, 0.1), Weights(0.8, 0.2), ("VE", "O"))
    assert not goes_with(Weights(0.8, 0.2, 0.1), Weights(0.8, 0.2), ("VE", "O", "C"))


def test_a_rejector_comes_back_from_its_file_and_damaged_ones_are_refused(tmp_path):
    assert Rejector.of_run(tmp_path) is None
    for found in (
        Rejector.choose(np.eye(50, 3), ACCEPT, 0.2, "energy", 0.07, "50 clips of 4 other classes"),
        Rejector.choose(np.zeros((3, 2)), REJECT),  # of the lowest threshold there is
    ):
        found.save(tmp_path)
        assert Rejector.of_run(tmp_path) == found
    path = tmp_path / "rejector.json"
    sound = json.loads(path.read_text())
    damages = {"kind": "entropy"}, {"threshold": None}, {"rate": 1}, {"note": "by hand"}
    for content in [json.dumps(sound | damage) for damage in damages] + ['{"cezsar": "rejector", "version": 1}', "{"]:
        path.write_text(content)
        with pytest.raises(FormatError, match=r"rejector\.json.* (with `cezsar calibrate`|correct it there)"):
            Rejector.of_run(tmp_path)


def test_limits_give_their_reasons():
    limits = RejectionLimits(similarity=0.3, margin=0.2)
    assert limits.weak("kick", 0.3, 0.2) == [] == RejectionLimits().weak("kick", -0.2, 0.0)
    reasons = limits.weak("kick", 0.29, 0.1)
    assert ["only, the least is 0.30" in reasons[0], '"kick" leads by 0.10 only' in reasons[1]] == [True, True]
