"""The τ laboratory against plain loops over pairs, and SciPy's cosine distance."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from cezsar.analysis import tau as laboratory
from cezsar.analysis.tau import distances, near_duplicates, neighbours
from cezsar.errors import InputError

N = 150
TAUS = [0.8, 0.15, 0.4, 1.1, 2.0]


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N, 6)) * rng.uniform(0.5, 3, size=(N, 1))
    vectors[7] = 2 * vectors[3]  # the same sentence, of another video
    vectors[9] = vectors[40] + 0.01  # nearly the same
    return vectors.astype(np.float32), np.array([f"video {n % 40}" for n in range(N)])


@pytest.fixture(scope="module")
def pairs(sentences):
    vectors, groups = (part.tolist() for part in sentences)
    return [(i, j, cosine(vectors[i], vectors[j])) for i in range(N) for j in range(i + 1, N) if groups[i] != groups[j]]


@pytest.fixture(params=[1 << 21, 1 << 10], ids=["one block", "many blocks"], autouse=True)
def blocks(request, monkeypatch):
    monkeypatch.setattr(laboratory, "DISTANCES_AT_ONCE", request.param)


def candidates(vectors, groups, taus, most=N):
    return laboratory.candidates(vectors, groups, taus, most, np.random.default_rng(0))


def test_pairs_are_counted_all_or_in_a_sample(sentences, pairs, monkeypatch):
    every = distances(*sentences, np.random.default_rng(0))
    assert (every.exact, every.error, every.n_pairs, every.same) == (True, 0, len(pairs), 1)
    by_hand = np.histogram([d for _, _, d in pairs if d > 1e-6], every.edges)[0]
    assert np.abs(every.counts - by_hand).sum() <= 4  # pairs that float32 puts on the other side of an edge
    monkeypatch.setattr(laboratory, "EXACT_UP_TO", 10)
    some, again = (distances(*sentences, np.random.default_rng(0), sample=20_000) for _ in range(2))
    assert not some.exact and some.n_pairs == 20_000 and np.array_equal(some.counts, again.counts)
    assert some.error == pytest.approx(0.0096, abs=1e-4)  # sqrt(ln 40 / 40,000)
    for tau in TAUS:
        below = np.mean([1e-6 < d < tau for _, _, d in pairs])
        assert every.below(tau) == pytest.approx(below, abs=1e-4) and abs(some.below(tau) - below) <= some.error


def test_candidates_by_hand(sentences, pairs):
    every, counts_TA = candidates(*sentences, TAUS)
    assert every.tolist() == list(range(N))
    for row, tau in enumerate(TAUS):
        expected = np.zeros(N, int)
        for i, j, d in pairs:
            expected[[i, j]] += 1e-6 < d < tau
        assert counts_TA[row].tolist() == expected.tolist()
    some, fewer_TA = candidates(*sentences, TAUS, 30)
    assert len(some) == 30 and (np.diff(some) > 0).all()
    assert np.array_equal(fewer_TA, counts_TA[:, some])


def test_neighbours_and_near_duplicates_are_the_nearest(sentences, pairs):
    for anchor in (3, 9, 100):
        near = sorted((d, i + j - anchor) for i, j, d in pairs if anchor in (i, j) and 1e-6 < d < 0.6)
        found = neighbours(*sentences, anchor, 0.6)
        assert [index for index, _ in found] == [index for _, index in near]
        assert np.allclose([d for _, d in found], [d for d, _ in near], atol=1e-6)
    expected = sorted((d, i, j) for i, j, d in pairs if 1e-6 < d < 0.05)
    found = near_duplicates(*sentences, 0.05)
    assert found[0][:2] == (9, 40) and [(i, j) for i, j, _ in found] == [(i, j) for _, i, j in expected]
    assert np.allclose([d for _, _, d in found], [d for d, _, _ in expected], atol=1e-6)
    assert near_duplicates(*sentences, 0.05, most=2) == found[:2] != found


def test_what_makes_no_sense_is_refused(sentences):
    vectors, groups = sentences
    with pytest.raises(InputError, match="one video"):
        distances(vectors, np.zeros(N), np.random.default_rng(0))
    with pytest.raises(InputError, match="zero or not finite"):
        near_duplicates(vectors * (np.arange(N) != 4)[:, None], groups, 0.05)
