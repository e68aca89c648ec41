"""The τ laboratory: what the bound on the cosine distance of hard negatives lets in. A sentence n is a candidate for an
anchor when `SAME < cosine distance < τ` and n describes another video (`training.mining`). Too small a τ leaves anchors
without enough; too large a one lets in easy ones; near-duplicates are false negatives at any τ. `groups_N` is the video
of each sentence. Zero or non-finite vectors are an `InputError`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.config import SAME
from cezsar.errors import InputError

Groups = npt.NDArray[Any]
BINS = 2_000  # of 0.001 on [0, 2]
EXACT_UP_TO = 3_000  # sentences whose pairs are all counted
DISTANCES_AT_ONCE = 1 << 21
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Distances:
    """How cosine distances of pairs of sentences of different videos are spread."""

    edges: DoubleArray  # (BINS + 1,) from 0 to 2
    counts: IntArray  # (BINS,) pairs with a distance from an edge up to, and without, the next; the last bin holds 2
    same: int  # pairs of the same sentence (distance up to `SAME`); they are not in `counts`
    exact: bool  # whether all pairs were counted, and not a sample of them
    # The share of pairs below any τ of `edges` is off by at most this, for all of them at once, with 95 % confidence
    # (Massart 1990, the Dvoretzky-Kiefer-Wolfowitz inequality); 0 where `exact`.
    error: float

    @property
    def n_pairs(self) -> int:
        """Pairs counted."""
        return int(self.counts.sum()) + self.same

    def below(self, tau: float) -> float:
        """Share of pairs with `SAME < distance < tau`, a fraction; between two edges a straight line is assumed."""
        return float(np.interp(tau, self.edges, np.concatenate([[0], np.cumsum(self.counts)]))) / self.n_pairs


def distances(vectors_NS: FloatArray, groups_N: Groups, rng: np.random.Generator, sample: int = 2_000_000) -> Distances:
    """The spread of distances over pairs of different videos: of all pairs of up to 3,000 sentences, else of
    `sample`. Raises `InputError` where all sentences are of one video."""
    unit_NS, groups_N = _units(vectors_NS, groups_N)
    if not groups_N.any():
        raise InputError("all sentences are of one video, so there are no pairs to compare; give those of several")
    if exact := len(unit_NS) <= EXACT_UP_TO:
        n_pairs = (len(unit_NS) ** 2 - int((np.bincount(groups_N) ** 2).sum())) // 2
        blocks = _blocks(unit_NS, groups_N, np.arange(len(unit_NS)))
        parts: Iterator[FloatArray] = (
            found_AN[np.triu(np.isfinite(found_AN), place + 1)] for place, found_AN in blocks
        )
    else:
        n_pairs, parts = sample, _sampled_pairs(unit_NS, groups_N, rng, sample)
    edges, counts = np.linspace(0, 2, BINS + 1), np.zeros(BINS, np.int64)
    for found in parts:  # as float32, as mining compares with τ
        counts += np.histogram(np.clip(found[found > SAME], 0, 2), edges.astype(np.float32))[0]
    error = 0.0 if exact else float(np.sqrt(np.log(2 / (1 - CONFIDENCE)) / (2 * sample)))
    return Distances(edges, counts, n_pairs - int(counts.sum()), exact, error)


def candidates(
    vectors_NS: FloatArray, groups_N: Groups, taus: Sequence[float], most: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """(A,) at most so many sentences as anchors, and the (T, A) numbers of hard negatives each could have for each τ,
    among all sentences. Raises `InputError` for a τ out of (0, 2]."""
    unit_NS, groups_N = _units(vectors_NS, groups_N)
    if not all(0 < tau <= 2 for tau in taus):
        raise InputError(f"tau is {list(taus)}; cosine distance bounds lie in (0, 2]")
    anchors = np.arange(len(unit_NS))
    if most < len(anchors):
        anchors = np.sort(rng.choice(anchors, most, replace=False))
    counts_TA = np.empty((len(taus), len(anchors)), np.int64)
    bounds = np.asarray(taus, np.float32)
    for place, found_AN in _blocks(unit_NS, groups_N, anchors):
        found_AN.sort(axis=1)  # once for all τ
        for row, found_N in enumerate(found_AN, start=place):
            counts_TA[:, row] = np.searchsorted(found_N, bounds)
    return anchors, counts_TA


def neighbours(vectors_NS: FloatArray, groups_N: Groups, anchor: int, tau: float) -> list[tuple[int, float]]:
    """The candidates of one anchor: (index, distance), nearest first."""
    unit_NS, groups_N = _units(vectors_NS, groups_N)
    ((_, (found_N,)),) = _blocks(unit_NS, groups_N, np.array([anchor]))
    nearest = np.argsort(found_N, kind="stable")[: np.count_nonzero(found_N < np.float32(tau))]
    return list(zip(nearest.tolist(), found_N[nearest].tolist(), strict=True))


def near_duplicates(
    vectors_NS: FloatArray, groups_N: Groups, distance: float, most: int = 200
) -> list[tuple[int, int, float]]:
    """The `most` nearest pairs (i < j, distance) of different sentences of different videos nearer than `distance`."""
    unit_NS, groups_N = _units(vectors_NS, groups_N)
    best = np.empty((0, 3))
    for place, found_AN in _blocks(unit_NS, groups_N, np.arange(len(unit_NS))):
        rows, columns = np.nonzero(np.triu(found_AN < np.float32(distance), place + 1))
        best = np.vstack([best, np.column_stack([rows + place, columns, found_AN[rows, columns]])])
        best = best[np.lexsort((best[:, 1], best[:, 0], best[:, 2]))][:most]
    return [(int(i), int(j), float(apart)) for i, j, apart in best]


def _units(vectors_NS: FloatArray, groups_N: Groups) -> tuple[FloatArray, IntArray]:
    """Unit vectors, as mining scales them, and the number of each one's group, from 0."""
    from cezsar.training.mining import unit

    return unit(np.asarray(vectors_NS, np.float32)), np.unique(groups_N, return_inverse=True)[1]


def _blocks(unit_NS: FloatArray, groups_N: IntArray, anchors: IntArray) -> Iterator[tuple[int, FloatArray]]:
    """Place of the first anchor of a block, and its distances to all sentences: infinite to what is no candidate."""
    size = max(1, DISTANCES_AT_ONCE // len(unit_NS))
    for first in range(0, len(anchors), size):
        rows = anchors[first : first + size]
        found_AN = np.float32(1) - unit_NS[rows] @ unit_NS.T
        found_AN[found_AN <= np.float32(SAME)] = np.inf
        found_AN[groups_N[rows, None] == groups_N] = np.inf
        yield first, found_AN


def _sampled_pairs(
    unit_NS: FloatArray, groups_N: IntArray, rng: np.random.Generator, sample: int
) -> Iterator[FloatArray]:
    """Distances of `sample` pairs of different groups: pairs are drawn, and those of one group drawn again."""
    size = max(1, 8 * DISTANCES_AT_ONCE // unit_NS.shape[1])
    missing = sample
    while missing:
        one, other = rng.integers(len(unit_NS), size=(2, min(size, missing)))
        apart = groups_N[one] != groups_N[other]
        yield np.float32(1) - np.einsum("ps,ps->p", unit_NS[one[apart]], unit_NS[other[apart]])
        missing -= int(np.count_nonzero(apart))
