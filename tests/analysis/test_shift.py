"""Domain shift against plain loops, all divisions of a few clips, and sets with and without a shift."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from cezsar.analysis import shift
from cezsar.analysis.shift import mmd_squared
from cezsar.errors import InputError


def measure(train, test, permutations, seed=0):
    sides = np.asarray(train, float), np.asarray(test, float)
    return SimpleNamespace(**shift.measure(*sides, np.random.default_rng(seed), permutations))


def draw(seed, n, m, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) + offset


def loop_mmd(train, test, sigma):
    """Eq. 3 of Gretton et al., pair by pair."""

    def mean(pairs):
        return np.mean([np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2)) for a, b in pairs])

    across = mean((a, b) for a in train for b in test)
    return mean(combinations(train, 2)) + mean(combinations(test, 2)) - 2 * across


@pytest.mark.parametrize("seed", range(2))
def test_mmd_is_that_of_the_plain_loop(seed):
    train, test = draw(seed, 11, 17, offset=0.4)
    found = measure(train, test, 20)
    pooled = np.vstack([train, test])
    sigma = np.median([np.linalg.norm(a - b) for a, b in combinations(pooled, 2)])
    assert (found.bandwidth, found.mmd_squared) == pytest.approx((sigma, loop_mmd(train, test, sigma)))
    kernel = rbf_kernel(pooled, gamma=1 / (2 * sigma**2)) - np.eye(28)
    divisions = np.random.default_rng(seed).permuted(np.repeat(np.arange(28) < 11, 4).reshape(28, 4), axis=0)
    expected = [loop_mmd(pooled[column], pooled[~column], sigma) for column in divisions.T]
    assert mmd_squared(kernel, divisions.astype(float)) == pytest.approx(expected)


def test_the_p_value_is_that_of_all_divisions():
    train, test = draw(3, 4, 4, offset=1.0)
    found = measure(train, test, 4000)
    kernel = rbf_kernel(np.vstack([train, test]), gamma=1 / (2 * found.bandwidth**2)) - np.eye(8)
    every = np.zeros((8, 70))
    for column, rows in enumerate(combinations(range(8), 4)):
        every[list(rows), column] = 1
    values = mmd_squared(kernel, every)
    assert found.mmd_squared == pytest.approx(values[0])
    assert found.p_value == pytest.approx((values >= values[0] - 1e-12).mean(), abs=0.03)


def test_a_shift_is_seen(monkeypatch):
    monkeypatch.setattr(shift, "MOST_CLIPS", 100)
    small, large = (measure(*draw(0, 150, 60, offset=by), 199) for by in (0.3, 3.0))
    assert (large.train_clips, large.test_clips, large.permutations, large.p_value) == (100, 60, 199, 1 / 200)
    assert 0 < small.mmd_squared < large.mmd_squared
    assert 0.5 < small.domain_accuracy < 0.98 < large.domain_accuracy


def test_degenerate_sets_have_an_answer():
    found = measure(np.ones((6, 3)), np.ones((4, 3)), 20)
    assert (found.mmd_squared, found.p_value, found.bandwidth) == (pytest.approx(0), 1.0, 1.0)
    assert found.domain_accuracy == 0.5
    assert measure([[0]] * 9, [[0], [2]], 20).bandwidth == 2.0  # most pairs at distance 0: the median of the others
    with pytest.raises(InputError, match="there are 1 training and 5 test clips"):
        measure(*draw(4, 1, 5), 5)
