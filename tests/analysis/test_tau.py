"""The τ laboratory against plain loops over pairs, SciPy's cosine distance, and `training.mining`."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from cezsar.analysis import tau as laboratory
from cezsar.analysis.tau import candidates, distances, near_duplicates, neighbours
from cezsar.config import MiningConfig
from cezsar.errors import InputError
from cezsar.training import mining

N = 150
TAUS = [0.8, 0.15, 0.4, 1.1, 2.0]


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N, 6)) * rng.uniform(0.5, 3, size=(N, 1))
    vectors[7] = 2 * vectors[3]  # the same sentence, of another video
    vectors[9] = vectors[40] + 0.01  # nearly the same
    groups = np.array([f"video {n % 40}" for n in range(N)])
    return vectors.astype(np.float32), groups


@pytest.fixture(scope="module")
def pairs(sentences):
    """(i, j, distance) of all pairs i < j of different videos."""
    vectors, groups = (part.tolist() for part in sentences)
    return [(i, j, cosine(vectors[i], vectors[j])) for i in range(N) for j in range(i + 1, N) if groups[i] != groups[j]]


@pytest.fixture(params=[1 << 21, 1 << 10], ids=["one block", "many blocks"], autouse=True)
def blocks(request, monkeypatch):
    monkeypatch.setattr(laboratory, "DISTANCES_AT_ONCE", request.param)


def test_all_pairs_are_counted(sentences, pairs):
    found = distances(*sentences, np.random.default_rng(0))
    assert found.exact and found.error == 0
    assert found.n_pairs == len(pairs) and found.same == 1
    assert found.edges[0] == 0 and found.edges[-1] == 2 and len(found.counts) == len(found.edges) - 1
    by_hand = np.histogram([d for _, _, d in pairs if d > 1e-6], found.edges)[0]
    assert np.abs(found.counts - by_hand).sum() <= 4  # pairs that float32 puts on the other side of an edge
    for tau in TAUS:
        assert found.below(tau) == pytest.approx(np.mean([1e-6 < d < tau for _, _, d in pairs]), abs=1e-4)


def test_a_sample_is_within_its_error(sentences, pairs, monkeypatch):
    monkeypatch.setattr(laboratory, "EXACT_UP_TO", 10)
    found = distances(*sentences, np.random.default_rng(0), sample=20_000)
    assert not found.exact and found.n_pairs == 20_000
    assert found.error == pytest.approx(0.0096, abs=1e-4)  # sqrt(ln 40 / 40,000)
    for tau in TAUS:
        assert abs(found.below(tau) - np.mean([1e-6 < d < tau for _, _, d in pairs])) <= found.error
    again = distances(*sentences, np.random.default_rng(0), sample=20_000)
    assert np.array_equal(found.counts, again.counts)


def test_candidates_by_hand(sentences, pairs):
    found = candidates(*sentences, TAUS)
    for row, tau in enumerate(TAUS):
        expected = np.zeros(N, int)
        for i, j, d in pairs:
            expected[[i, j]] += 1e-6 < d < tau
        assert found.counts_TA[row].tolist() == expected.tolist()
        assert found.too_few(20)[row] == sum(count < 20 for count in expected)
        assert np.allclose(found.quantiles([0, 0.5, 1])[row], [expected.min(), np.median(expected), expected.max()])
    assert found.too_few().max() > 0


def test_some_anchors_only(sentences):
    every = candidates(*sentences, TAUS)
    some = candidates(*sentences, TAUS, 30, np.random.default_rng(0))
    assert len(set(some.anchors.tolist())) == 30 and some.anchors.tolist() == sorted(some.anchors)
    assert np.array_equal(some.counts_TA, every.counts_TA[:, some.anchors])
    assert np.array_equal(candidates(*sentences, TAUS, 10 * N).counts_TA, every.counts_TA)


@pytest.mark.parametrize("tau", [0.1, 0.2, 0.8])
def test_mining_agrees(sentences, tau):
    vectors, groups = sentences
    index = np.arange(N)
    mined = mining.mine(index[:, None], groups, vectors, index, groups, np.random.default_rng(0), MiningConfig(tau))
    found = candidates(vectors, groups, [tau])
    assert np.flatnonzero(found.counts_TA[0] < 10).tolist() == mined.too_few.tolist()
    assert found.counts_TA[0, mined.too_few].tolist() == mined.candidates.tolist()
    assert found.too_few(10)[0] == len(mined.too_few)
    assert tau > 0.5 or len(mined.too_few)


def test_neighbours_are_those_who_enter(sentences, pairs):
    for anchor in (3, 9, 100):
        near = sorted((d, i + j - anchor) for i, j, d in pairs if anchor in (i, j) and 0.2 <= d < 0.6)
        found = neighbours(*sentences, anchor, 0.2, 0.6)
        assert [index for index, _ in found] == [index for _, index in near][:20]
        assert np.allclose([d for _, d in found], [d for d, _ in near][:20], atol=1e-6)
        more = candidates(*sentences, [0.2, 0.6]).counts_TA[:, anchor]
        assert len(neighbours(*sentences, anchor, 0.2, 0.6, most=N)) == more[1] - more[0]
    assert neighbours(*sentences, 40, 0, 0.01)[0][0] == 9
    assert 7 not in [index for index, _ in neighbours(*sentences, 3, 0, 2, most=N)]


def test_near_duplicates(sentences, pairs):
    expected = sorted((d, i, j) for i, j, d in pairs if 1e-6 < d < 0.05)
    found = near_duplicates(*sentences)
    assert found[0][:2] == (9, 40) and len(found) == len(expected) > 1
    assert [(i, j) for i, j, _ in found] == [(i, j) for _, i, j in expected]
    assert np.allclose([d for _, _, d in found], [d for d, _, _ in expected], atol=1e-6)
    assert near_duplicates(*sentences, most=2) == found[:2]


def test_what_makes_no_sense_is_refused(sentences):
    vectors, groups = sentences
    with pytest.raises(InputError, match="one video"):
        distances(vectors, np.zeros(N), np.random.default_rng(0))
    with pytest.raises(InputError, match="zero or not finite"):
        near_duplicates(vectors * (np.arange(N) != 4)[:, None], groups)
    with pytest.raises(InputError, match="bounds lie in"):
        candidates(vectors, groups, [0.8, 2.5])
