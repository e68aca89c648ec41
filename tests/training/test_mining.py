"""Hard negatives against plain loops over all pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from scipy.stats import chisquare

from cezsar.config import MiningConfig
from cezsar.errors import InputError
from cezsar.training import mining
from cezsar.training.mining import mine

N, GROUPS = 240, 80  # large enough that both ways of drawing are taken


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N, 6)).astype(np.float32) * rng.uniform(0.5, 3, size=(N, 1)).astype(np.float32)
    vectors[7] = 2 * vectors[3]  # the same direction: the same sentence
    groups = np.arange(N) % GROUPS
    return vectors, groups


def candidates(vectors, groups, positives, group, tau):
    """The definition, one pair at a time."""
    found = []
    for n in range(N):
        if groups[n] == group:
            continue
        if all(1e-6 < cosine(vectors[p], vectors[n]) < tau for p in positives if p >= 0):
            found.append(n)
    return found


def run(vectors, groups, positives, tau, n=10, seed=0):
    positives = np.asarray(positives)
    anchors = positives[:, 0]
    return mine(positives, groups[anchors], vectors, groups, np.random.default_rng(seed), MiningConfig(tau, n))


@pytest.mark.parametrize("tau", [0.3, 0.6, 0.8, 1.0, 1.4])
@pytest.mark.parametrize("several", [False, True])
def test_negatives_lie_in_the_band_of_every_positive(world, tau, several):
    vectors, groups = world
    rng = np.random.default_rng(1)
    positives = np.arange(N)[:, None]
    if several:
        positives = np.hstack([positives, rng.integers(N, size=(N, 1)), np.where(rng.random((N, 1)) < 0.5, -1, 11)])
    negatives, too_few = run(vectors, groups, positives, tau, n=5)
    for anchor in range(N):
        allowed = candidates(vectors, groups, positives[anchor], groups[anchor], tau)
        assert (len(allowed) < 5) == (anchor in too_few)
        assert too_few.get(anchor, len(allowed)) == len(allowed)
        for column, positive in enumerate(positives[anchor]):
            drawn = [n for n in negatives[anchor, column].tolist() if n >= 0]
            assert len(drawn) == (min(5, len(allowed)) if positive >= 0 else 0)
            assert len(set(drawn)) == len(drawn)
            assert set(drawn) <= set(allowed)


@pytest.mark.parametrize("tau", [0.15, 0.5])  # few candidates: all are tested; many: drawn at random
def test_draws_are_uniform_over_the_candidates(world, tau):
    vectors, groups = world
    repeats, n = 4000, 2
    allowed = candidates(vectors, groups, [0], groups[0], tau)
    positives = np.zeros((repeats, 1), np.int64)
    drawn = run(vectors, groups, positives, tau, n=n, seed=3)[0][:, 0]
    assert len(allowed) > n + 1
    counts = [int((drawn == candidate).sum()) for candidate in allowed]
    assert sum(counts) == repeats * n
    assert chisquare(counts).pvalue > 1e-3
    # and every pair of candidates is as likely as any other
    pairs = {(a, b): 0 for i, a in enumerate(allowed) for b in allowed[i + 1 :]}
    for row in drawn.tolist():
        pairs[tuple(sorted(row))] += 1
    assert chisquare(list(pairs.values())).pvalue > 1e-3


def test_positives_of_one_sub_clip_draw_for_themselves(world):
    vectors, groups = world
    negatives, _ = run(vectors, groups, [[0, 0]] * 300, 1.0, n=3)
    first, second = np.sort(negatives[:, 0]), np.sort(negatives[:, 1])
    assert (first != second).any(1).mean() > 0.9


def test_identical_sentences_are_never_negatives(world):
    vectors, groups = world
    assert 7 not in run(vectors, groups, [[3]] * 200, 2.0, n=5)[0]


def test_same_seed_same_negatives(world):
    vectors, groups = world
    positives = np.arange(N)[:, None]
    one, two, other = (run(vectors, groups, positives, 0.8, seed=seed)[0] for seed in (4, 4, 5))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("tau", [0.3, 1.4])  # few candidates, many candidates
def test_progress_ends_with_every_positive_and_changes_nothing(world, tau, monkeypatch):
    vectors, groups = world
    monkeypatch.setattr(mining, "PAIRS_AT_ONCE", 500)  # many blocks
    positives, seen = np.stack([np.arange(N), np.arange(N)[::-1]], 1), []
    arguments = (positives, groups, vectors, groups)
    silent, _ = mine(*arguments, np.random.default_rng(0), MiningConfig(tau, 3))
    told, _ = mine(*arguments, np.random.default_rng(0), MiningConfig(tau, 3), lambda *told: seen.append(told))
    np.testing.assert_array_equal(silent, told)
    done = [each for each, _ in seen]
    assert len(seen) > 5 and done == sorted(done) and {total for _, total in seen} == {2 * N} and done[-1] == 2 * N


def test_no_candidates_end_at_once_and_are_counted():
    vectors = np.eye(4, dtype=np.float32)  # all distances are 1
    negatives, too_few = run_plain(vectors, tau=0.9)
    assert (negatives == -1).all() and too_few == dict.fromkeys(range(4), 0)
    assert run_plain(vectors, tau=1.1, n=3)[1] == {}


def run_plain(vectors, tau, n=2):
    index = np.arange(len(vectors))
    return mine(index[:, None], index, vectors, index, np.random.default_rng(0), MiningConfig(tau, n))


def test_impossible_requests_are_refused():
    vectors = np.eye(3, dtype=np.float32)
    for tau in (0, -1, 2.5, float("nan")):
        with pytest.raises(InputError, match="tau"):
            run_plain(vectors, tau)
    with pytest.raises(InputError, match="negatives is 0"):
        run_plain(vectors, 0.8, n=0)
    for bad in (0.0, np.nan, np.inf):
        broken = vectors.copy()
        broken[1] = bad
        with pytest.raises(InputError, match="first at index 1"):
            run_plain(broken, 0.8)
