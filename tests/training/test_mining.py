"""Hard negatives against plain loops over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chisquare

from cezsar.config import MiningConfig
from cezsar.errors import InputError
from cezsar.training import mining
from cezsar.training.mining import mine

N = 240  # large enough that both ways of drawing are taken
GROUPS = np.arange(N) % 80


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N, 6)).astype(np.float32) * rng.uniform(0.5, 3, size=(N, 1)).astype(np.float32)
    vectors[7] = 2 * vectors[3]  # the same direction: the same sentence
    return vectors


@pytest.fixture(scope="module")
def apart(vectors):
    return cdist(vectors.astype(float), vectors.astype(float), "cosine").tolist()


def candidates(apart, positives, group, tau):
    """The definition, one pair at a time."""
    others = [n for n in range(N) if GROUPS[n] != group]
    return [n for n in others if all(1e-6 < apart[p][n] < tau for p in positives if p >= 0)]


def run(vectors, positives, tau, n=10, seed=0, **options):
    positives, groups = np.asarray(positives), GROUPS[: len(vectors)]
    settings = MiningConfig(tau, n)
    return mine(positives, groups[positives[:, 0]], vectors, groups, np.random.default_rng(seed), settings, **options)


@pytest.mark.parametrize("tau", [0.3, 0.6, 0.8, 1.0, 1.4])
@pytest.mark.parametrize("several", [False, True])
def test_negatives_lie_in_the_band_of_every_positive(vectors, apart, tau, several):
    rng, positives = np.random.default_rng(1), np.arange(N)[:, None]
    if several:
        positives = np.hstack([positives, rng.integers(N, size=(N, 1)), np.where(rng.random((N, 1)) < 0.5, -1, 11)])
    negatives, too_few = run(vectors, positives, tau, n=5)
    for anchor in range(N):
        allowed = candidates(apart, positives[anchor], GROUPS[anchor], tau)
        assert too_few.get(anchor) == (len(allowed) if len(allowed) < 5 else None)
        for column, positive in enumerate(positives[anchor]):
            drawn = [n for n in negatives[anchor, column].tolist() if n >= 0]
            assert len(drawn) == len(set(drawn)) == (min(5, len(allowed)) if positive >= 0 else 0)
            assert set(drawn) <= set(allowed)


@pytest.mark.parametrize("tau", [0.15, 0.5])  # few candidates: all are tested; many: drawn at random
def test_draws_are_uniform_over_the_candidates(vectors, apart, tau):
    repeats, n, allowed = 4000, 2, candidates(apart, [0], GROUPS[0], tau)
    drawn = run(vectors, np.zeros((repeats, 1), np.int64), tau, n=n, seed=3)[0][:, 0]
    counts = [int((drawn == candidate).sum()) for candidate in allowed]
    assert len(allowed) > n + 1 and sum(counts) == repeats * n
    assert chisquare(counts).pvalue > 1e-3
    # and every pair of candidates is as likely as any other
    pairs = dict.fromkeys(combinations(allowed, 2), 0)
    for row in drawn.tolist():
        pairs[tuple(sorted(row))] += 1
    assert chisquare(list(pairs.values())).pvalue > 1e-3


def test_positives_draw_for_themselves_and_never_the_same_sentence(vectors):
    negatives, _ = run(vectors, [[3, 3]] * 300, 1.0, n=3)
    assert (np.sort(negatives[:, 0]) != np.sort(negatives[:, 1])).any(1).mean() > 0.9
    assert 7 not in run(vectors, [[3]] * 200, 2.0, n=5)[0]


@pytest.mark.parametrize("tau", [0.3, 1.4])  # few candidates, many candidates
def test_draws_follow_the_seed_and_progress_ends_with_every_positive(vectors, tau, monkeypatch):
    monkeypatch.setattr(mining, "PAIRS_AT_ONCE", 500)  # many blocks
    positives, seen = np.stack([np.arange(N), np.arange(N)[::-1]], 1), []
    one, other = (run(vectors, positives, tau, n=3, seed=seed)[0] for seed in (4, 5))
    told, _ = run(vectors, positives, tau, n=3, seed=4, on_progress=lambda *told: seen.append(told))
    np.testing.assert_array_equal(one, told)
    assert not np.array_equal(one, other)
    done = [each for each, _ in seen]
    assert len(seen) > 5 and done == sorted(done) and {total for _, total in seen} == {2 * N} and done[-1] == 2 * N


def test_no_candidates_end_at_once_and_are_counted():
    vectors, own = np.eye(4, dtype=np.float32), np.arange(4)[:, None]  # all distances are 1
    negatives, too_few = run(vectors, own, tau=0.9, n=2)
    assert (negatives == -1).all() and too_few == dict.fromkeys(range(4), 0)
    assert run(vectors, own, tau=1.1, n=3)[1] == {}
    for tau in (0, 2.5, float("nan")):
        with pytest.raises(InputError, match="tau"):
            run(vectors, own, tau)
    vectors[1] = np.nan
    with pytest.raises(InputError, match="first at index 1"):
        run(vectors, own, 0.8)
