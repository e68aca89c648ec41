"""Calibrated stacking by hand, and by predicting at every critical penalty and between any two."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import auc, balanced_accuracy_score

from cezsar.errors import InputError
from cezsar.zeroshot import fusion
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.generalised import choose_penalty, harmonic, predict, stacking, stacking_of
from cezsar.zeroshot.scores import Scores

# Classes 0 and 1 are seen, 2 is not. Seen minus unseen, of the best: 3, 1, 1, -1; the last clip is wrong in any case.
HAND = np.array([[4.0, 0, 1], [2, 3, 2], [2, 0, 1], [0, 1, 2], [5, 0, 4]])
TRUTH = np.array([0, 1, 2, 2, 1])
SEEN = np.array([True, True, False])


def by_hand():
    return stacking(HAND, TRUTH, SEEN)


def plain(scores, truth, seen, penalty, mean):
    """A_S and A_U at one penalty by plain loops."""
    hits = {}
    for row, true in zip(scores, truth, strict=True):
        if true < 0:
            continue
        stacked = [score - penalty if is_seen else score for score, is_seen in zip(row, seen, strict=True)]
        hits.setdefault(int(true), []).append(any(row) and stacked.index(max(stacked)) == true)
    sides = []
    for side in (True, False):
        rows = [found for true, found in hits.items() if seen[true] == side]
        per_clip = [hit for found in rows for hit in found]
        sides.append(sum(per_clip) / len(per_clip) if mean == "clips" else np.mean([np.mean(found) for found in rows]))
    return sides


def make(kind, seed, clips=60, classes=7):
    rng = np.random.default_rng(seed)
    seen = np.zeros(classes, bool)
    seen[rng.permutation(classes)[:4]] = True
    truth = np.concatenate([[np.argmax(seen), np.argmin(seen)], rng.integers(-1, classes, clips - 2)])
    scores = rng.normal(size=(clips, classes)) if kind == "float" else rng.integers(-2, 3, (clips, classes))
    scores = scores.astype(np.float32)
    scores[np.arange(clips), np.maximum(truth, 0)] += 1
    scores[::9] = 0
    return scores, truth, seen


def test_by_hand():
    curve = by_hand()
    np.testing.assert_array_equal(curve.penalty_B, [-1, 1, 3])
    np.testing.assert_array_equal(curve.seen_between, [0.75, 0.75, 0.5, 0])
    np.testing.assert_array_equal(curve.unseen_between, [0, 0.5, 1, 1])
    # Exactly at 1 and 3 seen classes win, their index being lower; at -1 the tie is lost for the unseen clip.
    np.testing.assert_array_equal(curve.seen_on_B, [0.75, 0.75, 0.5])
    np.testing.assert_array_equal(curve.unseen_on_B, [0, 0.5, 1])
    assert (curve.seen_clips, curve.unseen_clips) == (3, 2)
    assert curve.at(0) == (0.75, 0.5, 0.6) and curve.at(2) == (0.5, 1, 2 / 3) == curve.at(3)
    assert curve.at(3.5) == (0, 1, 0) and curve.at(-7) == (0.75, 0, 0) == curve.at(-1)
    best = curve.best()
    assert (best.low, best.high, best.penalty, best.accuracies) == (1, 3, 2, (0.5, 1, 2 / 3))


def test_the_area_by_hand():
    # Seen hits flip at 3 (weight 1/2) and 1 (1/4), unseen at 1 and -1 (1/2 each): the two at 1 count half.
    assert by_hand().ausuc == 0.5 * 1 + 0.25 * (0.5 * 0.5 + 0.5)


def test_a_mean_over_clips_by_hand():
    curve = stacking(HAND, TRUTH, SEEN, "clips")
    np.testing.assert_allclose(curve.seen_between, [2 / 3, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(curve.unseen_between, [0, 0.5, 1, 1])


@pytest.mark.parametrize("mean", ["classes", "clips"])
@pytest.mark.parametrize("kind", ["float", "coarse"])
@pytest.mark.parametrize("seed", range(4))
def test_every_critical_point_and_every_piece(kind, seed, mean):
    scores, truth, seen = make(kind, seed)
    curve = stacking(scores, truth, seen, mean)
    wide = scores.astype(np.float64)
    critical = np.unique(wide[:, seen].max(axis=1) - wide[:, ~seen].max(axis=1))
    assert np.isin(curve.penalty_B, critical).all()
    middles = (critical[1:] + critical[:-1]) / 2
    points = [critical[0] - 1, *critical, *middles, critical[-1] + 1]
    found = []
    for penalty in points:
        expected = plain(wide, truth, seen, penalty, mean)
        np.testing.assert_allclose(curve.at(penalty)[:2], expected, atol=1e-12)
        total = sum(expected)
        found.append(2 * expected[0] * expected[1] / total if total else 0)
    best = curve.best()
    assert best.accuracies.harmonic == pytest.approx(max(found))
    assert best.low <= best.penalty <= best.high
    assert curve.at(best.penalty).harmonic == best.accuracies.harmonic
    inside = [value for penalty, value in zip(points, found, strict=True) if best.low < penalty < best.high]
    assert np.allclose(inside, max(found))


@pytest.mark.parametrize("kind", ["float", "coarse"])
@pytest.mark.parametrize("mean", ["classes", "clips"])
def test_the_area_counts_pairs(kind, mean):
    scores, truth, seen = make(kind, 8)
    curve = stacking(scores, truth, seen, mean)
    wide = scores.astype(np.float64)
    flips = wide[:, seen].max(axis=1) - wide[:, ~seen].max(axis=1)
    sides = []
    for side, far in ((seen, -1e9), (~seen, 1e9)):
        rows = [n for n in range(len(truth)) if truth[n] >= 0 and side[truth[n]]]
        classes = {truth[n] for n in rows}
        sizes = {true: sum(truth[n] == true for n in rows) for true in classes}
        won = predict(wide, seen, far)
        share = {n: 1 / len(rows) if mean == "clips" else 1 / len(classes) / sizes[truth[n]] for n in rows}
        sides.append([(flips[n], share[n]) for n in rows if won[n] == truth[n]])
    pairs = ((a > b) * s * u + (a == b) * s * u / 2 for a, s in sides[0] for b, u in sides[1])
    assert curve.ausuc == pytest.approx(sum(pairs))
    assert curve.ausuc == pytest.approx(auc(curve.unseen_between, curve.seen_between))


def test_curves_are_monotone_and_exact_at_the_top():
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(6), [1, 3, 7, 11, 13, 30])
    scores = np.eye(6)[truth] + 0.01 * rng.normal(size=(65, 6))
    curve = stacking(scores, truth, np.arange(6) < 3)
    assert (np.diff(curve.seen_between) <= 0).all() and (np.diff(curve.unseen_between) >= 0).all()
    assert curve.at(0) == (1, 1, 1) == curve.best().accuracies and curve.ausuc == 1


def test_without_a_penalty_it_is_plain_prediction():
    scores, truth, seen = make("coarse", 5)
    names = [f"class {c}" for c in range(7)]
    whole = Scores([f"clip {n}" for n in range(60)], [names[c] if c >= 0 else "" for c in truth], names, {"VE": scores})
    only = Weights.only("VE")
    np.testing.assert_array_equal(predict(scores, seen), fusion.predict(whole, only))
    curve = stacking_of(whole, [name.upper() for name, is_seen in zip(names, seen, strict=True) if is_seen], only)
    hits = fusion.predict(whole, only)
    for side, accuracy in ((seen, curve.at(0).seen), (~seen, curve.at(0).unseen)):
        rows = [n for n in range(60) if truth[n] >= 0 and side[truth[n]]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of predictions of classes that no clip here is of
            assert accuracy == pytest.approx(balanced_accuracy_score(truth[rows], hits[rows]))
    chosen = choose_penalty(whole, [name for name, is_seen in zip(names, seen, strict=True) if is_seen], only)
    assert chosen == curve.best()


def test_of_embeddings_it_is_the_cosine():
    rows = np.array([[2.0, 0], [0, 4]])
    gram = np.array([[[4.0]], [[16.0]]])
    scores = Scores(["a", "b"], ["x", "y"], ["x", "y"], {"VE": rows @ np.array([[1.0, 0], [0.6, 0.8]]).T}, gram)
    # cosines: (1, 0.6) and (0, 0.8)
    curve = stacking_of(scores, ["x"], Weights.only("VE"))
    np.testing.assert_allclose(curve.penalty_B, [-0.8, 0.4], atol=1e-6)
    assert curve.best().penalty == pytest.approx(-0.2) and curve.best().accuracies.harmonic == 1


def test_ties_go_to_the_lower_index():
    scores, truth = [[1.0, 1.0], [1.0, 1.0]], [0, 1]
    seen_first = stacking(scores, truth, np.array([True, False]))
    assert seen_first.at(0) == (1, 0, 0) and seen_first.at(0.1) == (0, 1, 0)
    seen_last = stacking(scores, truth, np.array([False, True]))
    assert seen_last.at(0) == (0, 1, 0) and seen_last.at(-0.1) == (1, 0, 0)
    assert seen_first.ausuc == 0.5 == seen_last.ausuc
    np.testing.assert_array_equal(predict(scores, np.array([True, False])), [0, 0])
    np.testing.assert_array_equal(predict(scores, np.array([True, False]), 0.5), [1, 1])


def test_a_single_point_may_be_the_best():
    # At 1 the first clip, whose seen class has the lower index, is still a hit; the second already, as its has not.
    scores = [[2.0, 1, -9, -9], [-9, -9, 1, 2.0]]
    curve = stacking(scores, [0, 2], np.array([True, False, False, True]))
    assert curve.best()[:3] == (1, 1, 1) and curve.at(1) == (1, 1, 1)
    assert curve.at(0.9) == (1, 0, 0) and curve.at(1.1) == (0, 1, 0)


def test_undecided_clips_are_no_hits():
    curve = stacking([[0.0, 0], [0, 0], [3, 1]], [0, 1, 0], np.array([True, False]))
    assert curve.at(-5) == (0.5, 0, 0) and curve.at(5) == (0, 0, 0)
    np.testing.assert_array_equal(predict([[0.0, 0], [3, 1]], np.array([True, False]), 9), [-1, 1])


def test_nothing_helps_where_one_side_has_no_hit():
    # Of the unseen classes 1 and 2 the second is always better, so that the clip of the first is never a hit.
    curve = stacking([[1.0, 0, 0.5], [1, 0, 0.5]], [0, 1], np.array([True, False, False]))
    assert curve.best() == (-np.inf, np.inf, 0, (1, 0, 0)) and curve.ausuc == 0


def test_harmonic_mean():
    np.testing.assert_allclose(harmonic([0.5, 0, 1, 0.2], [0.25, 0, 0, 0.2]), [1 / 3, 0, 0, 0.2])


@pytest.mark.parametrize(
    ("truth", "seen", "mean", "said"),
    [
        ([0, 1], [True, True], "classes", "all classes are seen"),
        ([0, 1], [False, False], "classes", "all classes are unseen"),
        ([0, 0], [True, False], "classes", "no clip is of an unseen class"),
        ([1, -1], [True, False], "classes", "no clip is of a seen class"),
        ([-1, -1], [True, False], "classes", "no clip is of a seen class"),
        ([0, 2], [True, False], "classes", "columns from 0 to 1"),
        ([0], [True, False], "classes", "one for each clip"),
        ([0, 1], [1, 0], "classes", "True or False for each of the 2"),
        ([0, 1], [True], "classes", "True or False for each of the 2"),
        ([0, 1], [True, False], "runs", "choose classes or clips"),
    ],
)
def test_what_cannot_be_stacked(truth, seen, mean, said):
    with pytest.raises(InputError, match=said):
        stacking([[1.0, 0], [0, 1]], truth, np.array(seen), mean)


def test_nan_is_refused():
    seen = np.array([True, False])
    with pytest.raises(InputError, match="row 1 of the scores has NaN"):
        stacking([[1.0, 0], [np.nan, 1]], [0, 1], seen)
    with pytest.raises(InputError, match="the penalty is NaN"):
        stacking([[1.0, 0], [0, 1]], [0, 1], seen).at(np.nan)
    with pytest.raises(InputError, match="the penalty is inf"):
        predict([[1.0, 0]], seen, np.inf)
