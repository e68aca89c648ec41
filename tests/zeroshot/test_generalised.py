"""Calibrated stacking by hand, and by plain loops at every critical factor and between any two."""

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import stacking
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores

VE = Weights.only("VE")

# Classes 0 and 1 are seen, 2 is not. Seen minus unseen, of the best: 3, 1, 1, -1; the last clip is wrong in any case.
HAND = np.array([[4.0, 0, 1], [2, 3, 2], [2, 0, 1], [0, 1, 2], [5, 0, 4]])
TRUTH, SEEN = [0, 1, 2, 2, 1], [True, True, False]


def scored(matrix, truth):
    names = [f"c{column}" for column in range(len(matrix[0]))]
    labels = [names[true] if true >= 0 else "" for true in truth]
    return Scores([str(clip) for clip in range(len(matrix))], labels, names, {"VE": np.array(matrix, np.float32)})


def stacked(matrix, truth, seen):
    return stacking(scored(matrix, truth), [f"C{column}" for column in np.flatnonzero(seen)], VE)


def plain(scores, truth, seen, factor):
    """A_S and A_U at one factor by plain loops."""
    hits = {}
    for row, true in zip(scores, truth, strict=True):
        if true >= 0:
            less = [score - factor if is_seen else score for score, is_seen in zip(row, seen, strict=True)]
            hits.setdefault(int(true), []).append(any(row) and less.index(max(less)) == true)
    return [np.mean([np.mean(found) for true, found in hits.items() if seen[true] == side]) for side in (True, False)]


def make(kind, seed, clips=40, classes=7):
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
    curve = stacked(HAND, TRUTH, SEEN)
    np.testing.assert_allclose(curve.factor_B, [-1, 1, 3], atol=1e-12)
    np.testing.assert_allclose(curve.seen_between, [0.75, 0.75, 0.5, 0])
    np.testing.assert_allclose(curve.unseen_between, [0, 0.5, 1, 1])
    # Exactly at 1 and 3 seen classes win, their index being lower; at -1 the tie is lost for the unseen clip.
    for factor, seen, unseen, harmonic in (
        (0, 0.75, 0.5, 0.6), (1, 0.75, 0.5, 0.6), (2, 0.5, 1, 2 / 3), (3, 0.5, 1, 2 / 3), (3.5, 0, 1, 0),
        (-7, 0.75, 0, 0), (-1, 0.75, 0, 0),
    ):  # fmt: skip
        assert curve.at(factor) == pytest.approx((seen, unseen, harmonic))
    best = curve.best()
    assert (*best[:3], *best.accuracies) == pytest.approx((1, 3, 2, 0.5, 1, 2 / 3))
    # Seen hits flip at 3 (weight 1/2) and 1 (1/4), unseen at 1 and -1 (1/2 each): the two at 1 count half.
    assert curve.ausuc == pytest.approx(0.5 * 1 + 0.25 * (0.5 * 0.5 + 0.5))


@pytest.mark.parametrize("kind", ["float", "coarse"])
@pytest.mark.parametrize("seed", range(3))
def test_every_critical_point_every_piece_and_the_area(kind, seed):
    scores, truth, seen = make(kind, seed)
    curve, wide = stacked(scores, truth, seen), scores.astype(np.float64)
    flips = wide[:, seen].max(axis=1) - wide[:, ~seen].max(axis=1)
    critical = np.unique(flips)
    assert np.isin(curve.factor_B, [critical, np.nextafter(critical, np.inf)]).all()
    points = [critical[0] - 1, *critical, *(critical[1:] + critical[:-1]) / 2, critical[-1] + 1]
    found = [plain(wide, truth, seen, factor) for factor in points]
    np.testing.assert_allclose([curve.at(factor)[:2] for factor in points], found, atol=1e-12)
    means = [2 * a * b / (a + b) if a + b else 0 for a, b in found]
    best = curve.best()
    assert best.accuracies.harmonic == pytest.approx(max(means)) and best.low <= best.factor <= best.high
    assert np.allclose(
        [mean for factor, mean in zip(points, means, strict=True) if best.low < factor < best.high], max(means)
    )
    sides = []
    for side, far in ((seen, -1e9), (~seen, 1e9)):
        rows = [n for n in range(len(truth)) if truth[n] >= 0 and side[truth[n]]]
        sizes = np.bincount(truth[rows])
        hits = [n for n in rows if any(wide[n]) and (wide[n] - far * seen).argmax() == truth[n]]
        sides.append([(flips[n], 1 / np.count_nonzero(sizes) / sizes[truth[n]]) for n in hits])
    pairs = ((a > b) * s * u + (a == b) * s * u / 2 for a, s in sides[0] for b, u in sides[1])
    assert curve.ausuc == pytest.approx(sum(pairs))


def test_of_embeddings_it_is_the_cosine():
    rows = np.array([[2.0, 0], [0, 4]])
    gram = np.array([[[4.0]], [[16.0]]])
    scores = Scores(["a", "b"], ["x", "y"], ["x", "y"], {"VE": rows @ np.array([[1.0, 0], [0.6, 0.8]]).T}, gram)
    curve = stacking(scores, ["x"], VE)  # cosines: (1, 0.6) and (0, 0.8)
    np.testing.assert_allclose(curve.factor_B, [-0.8, 0.4], atol=1e-6)
    assert curve.best().factor == pytest.approx(-0.2) and curve.best().accuracies.harmonic == 1


def test_ties_go_to_the_lower_index_and_a_single_point_may_be_the_best():
    matrix, truth = [[1.0, 1.0], [1.0, 1.0]], [0, 1]
    seen_first, seen_last = stacked(matrix, truth, [True, False]), stacked(matrix, truth, [False, True])
    assert seen_first.at(0) == (1, 0, 0) and seen_first.at(0.1) == (0, 1, 0) and seen_first.ausuc == 0.5
    assert seen_last.at(0) == (0, 1, 0) and seen_last.at(-0.1) == (1, 0, 0) and seen_last.ausuc == 0.5
    # At 1 the first clip, whose seen class has the lower index, is still a hit; the second already, as its has not.
    curve = stacked([[2.0, 1, -9, -9], [-9, -9, 1, 2.0]], [0, 2], [True, False, False, True])
    assert curve.best()[:3] == pytest.approx((1, 1, 1)) and curve.best().factor == 1 and curve.at(1) == (1, 1, 1)
    assert curve.at(0.9) == (1, 0, 0) and curve.at(1.1) == (0, 1, 0)


def test_undecided_clips_are_no_hits_and_one_side_may_have_none():
    curve = stacked([[0.0, 0], [0, 0], [3, 1]], [0, 1, 0], [True, False])
    assert curve.at(-5) == (0.5, 0, 0) and curve.at(5) == (0, 0, 0)
    assert curve.best() == (-np.inf, np.inf, 0, (0.5, 0, 0)) and curve.ausuc == 0


@pytest.mark.parametrize(
    ("truth", "seen", "said"),
    [([0, 1], [True, True], "every class is a seen one"), ([0, 1], [False, False], "every class is an unseen one"),
     ([0, 0], [True, False], "every clip is a seen one"), ([1, -1], [True, False], "every clip is an unseen one")],
)  # fmt: skip
def test_what_cannot_be_stacked(truth, seen, said):
    with pytest.raises(InputError, match=said):
        stacked([[1.0, 0], [0, 1]], truth, seen)
