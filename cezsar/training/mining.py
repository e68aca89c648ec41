"""Hard negatives (Estevam et al., ICPR 2026, Section 3.4): sentences close to the positives, but not the same.

A sentence n is a candidate for a sub-clip when, for every positive p of that sub-clip,
`0 < cosine_distance(SBERT(p), SBERT(n)) < tau`, and n describes another video. Each positive gets n negatives, drawn
without replacement and exactly uniformly over the candidates.

Two exact ways to the same distribution. Where candidates are common, sentences are drawn at random and the first
distinct ones inside the band are kept: a uniform draw, conditioned on lying in a set, is uniform on that set. Where
they are rare, every sentence is tested and a uniform subset of the candidates is taken. The second way also counts
the candidates, so a sub-clip with too few is reported with the number it has, and nothing loops for ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cezsar.arrays import BoolArray, FloatArray, IntArray, unit_rows
from cezsar.config import SAME, MiningConfig
from cezsar.errors import InputError

Progress = Callable[[int, int], None]
"""Takes how much is done, and how much there is."""

PAIRS_AT_ONCE = 1_000_000  # bounds the memory of a block
DRAWS = (4, 4, 8, 16)  # draws per wanted negative in each random round; few are still short after these


@dataclass(frozen=True)
class Negatives:
    """Hard negatives of A anchors (sub-clips) with up to P positives each.

    Attributes:
        indices_APn: sentence indices; -1 where there were too few candidates or no positive. No repeats in a row.
        too_few: anchors with fewer than n candidates, ascending.
        candidates: how many candidates each of `too_few` has.
    """

    indices_APn: IntArray
    too_few: IntArray
    candidates: IntArray


def mine(
    positives_AP: npt.NDArray[Any],
    groups_A: npt.NDArray[Any],
    vectors_NS: FloatArray,
    pool: npt.NDArray[Any],
    pool_groups: npt.NDArray[Any],
    rng: np.random.Generator,
    settings: MiningConfig,
    on_progress: Progress = lambda done, total: None,
) -> Negatives:
    """Draw `settings.negatives` hard negatives within `settings.tau` for every positive of every anchor.

    Args:
        positives_AP: indices into `vectors_NS`; -1 where an anchor has fewer than P positives, never in column 0.
        groups_A: group (video) of each anchor; candidates of the same group are excluded.
        vectors_NS: sentence vectors of any length but zero.
        pool: indices into `vectors_NS` of the sentences that may be negatives.
        pool_groups: group (video) of each pool sentence.
        on_progress: called with (positives that have their negatives, positives), now and then.

    Returns:
        `Negatives`, whose indices point into `vectors_NS`.

    Raises:
        InputError: zero or non-finite vectors.
    """
    negatives = settings.negatives
    band = Band(positives_AP, groups_A, vectors_NS, pool, pool_groups, settings.tau)
    positives_AP = np.asarray(positives_AP)
    anchors, columns = np.nonzero(positives_AP >= 0)  # one row a positive: each draws for itself
    drawn_Rn = _draw_common(band, anchors, negatives, rng, on_progress)
    short = np.flatnonzero((drawn_Rn < 0).any(1))
    too_few, candidates = _draw_rare(band, anchors, short, negatives, rng, drawn_Rn, on_progress)
    indices_APn = np.full((*positives_AP.shape, negatives), -1, np.int64)
    indices_APn[anchors, columns] = np.where(drawn_Rn >= 0, band.pool[drawn_Rn], -1)
    return Negatives(indices_APn, too_few, candidates)


class Band:
    """Says which pool sentences are candidates of which anchors."""

    def __init__(
        self,
        positives_AP: npt.NDArray[Any],
        groups_A: npt.NDArray[Any],
        vectors_NS: FloatArray,
        pool: npt.NDArray[Any],
        pool_groups: npt.NDArray[Any],
        tau: float,
    ) -> None:
        positives_AP = np.asarray(positives_AP, np.int64)
        # An absent positive repeats the first one, which asks nothing more of a candidate.
        self.positives_AP = np.where(positives_AP < 0, positives_AP[:, :1], positives_AP)
        self.unit_NS = torch.from_numpy(unit(vectors_NS))
        self.pool = np.asarray(pool, np.int64)
        self.unit_pool = self.unit_NS[torch.from_numpy(self.pool)]
        self.groups_A, self.pool_groups = np.asarray(groups_A), np.asarray(pool_groups)
        self.tau = tau

    def of_pairs(self, anchors_R: IntArray, drawn_RK: IntArray) -> BoolArray:
        """(R, K): is the k-th pool position drawn for row r a candidate of its anchor?"""
        inside_RK = self.pool_groups[drawn_RK] != self.groups_A[anchors_R][:, None]
        for positive_A in self.positives_AP.T:
            positive_RS = self.unit_NS[torch.from_numpy(positive_A[anchors_R])]
            inside_RK &= self._inside(_sampled_products(positive_RS, self.unit_pool, torch.from_numpy(drawn_RK)))
        return inside_RK

    def of_all(self, anchors_A: IntArray) -> BoolArray:
        """(A, pool): every pool sentence tested for each given anchor."""
        inside_AN = self.pool_groups[None] != self.groups_A[anchors_A][:, None]
        for positive_A in self.positives_AP.T:
            positive_AS = self.unit_NS[torch.from_numpy(positive_A[anchors_A])]
            inside_AN &= self._inside(positive_AS @ self.unit_pool.T)
        return inside_AN

    def _inside(self, cosine_similarity: Tensor) -> BoolArray:
        cosine_distance = 1.0 - cosine_similarity
        inside: BoolArray = ((cosine_distance > SAME) & (cosine_distance < self.tau)).numpy()
        return inside


def _sampled_products(rows_RS: Tensor, pool_NS: Tensor, drawn_RK: Tensor) -> Tensor:
    """(R, K) inner products of each row with its own K pool vectors, read in place: a gathered copy is 4 x slower."""
    count, width = drawn_RK.shape
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        wanted = torch.sparse_csr_tensor(
            torch.arange(0, count * width + 1, width),
            drawn_RK.flatten(),
            torch.zeros(count * width),
            size=(count, len(pool_NS)),
            check_invariants=False,
        )
    return torch.sparse.sampled_addmm(wanted, rows_RS, pool_NS.T, beta=0.0).values().view(count, width)


def _draw_common(
    band: Band, anchors_R: IntArray, negatives: int, rng: np.random.Generator, on_progress: Progress
) -> IntArray:
    """Random rounds: (R, n) pool positions, first distinct candidates first; -1 where the rounds did not suffice."""
    kept_Rn = np.full((len(anchors_R), negatives), -1, np.int64)
    short = np.arange(len(anchors_R))
    for draws in DRAWS:
        width = draws * negatives
        if 2 * width > len(band.pool):
            break  # testing every sentence is cheaper than drawing this many
        block = max(1, PAIRS_AT_ONCE // width)
        for first in range(0, len(short), block):
            rows = short[first : first + block]
            drawn_RK = rng.integers(len(band.pool), size=(len(rows), width))
            drawn_RK[~band.of_pairs(anchors_R[rows], drawn_RK)] = -1
            kept_Rn[rows] = _first_distinct(np.hstack([kept_Rn[rows], _first_present(drawn_RK, negatives)]), negatives)
            on_progress(int((kept_Rn[:, -1] >= 0).sum()), len(kept_Rn))
        short = short[(kept_Rn[short] < 0).any(1)]
    return kept_Rn


def _first_present(drawn_RK: IntArray, count: int) -> IntArray:
    """The first `count` non-negative entries of each row, in their order, then -1."""
    present_RK = drawn_RK >= 0
    rank_RK = np.cumsum(present_RK, axis=1) - 1
    rows, columns = np.nonzero(present_RK & (rank_RK < count))
    first_Rc = np.full((len(drawn_RK), count), -1, np.int64)
    first_Rc[rows, rank_RK[rows, columns]] = drawn_RK[rows, columns]
    return first_Rc


def _first_distinct(drawn_RK: IntArray, count: int) -> IntArray:
    """The first `count` distinct non-negative entries of each row. A repeat is dropped, as if never drawn."""
    distinct_RK = drawn_RK.copy()
    for column in range(1, drawn_RK.shape[1]):
        repeated = (drawn_RK[:, :column] == drawn_RK[:, column : column + 1]).any(1)
        distinct_RK[repeated, column] = -1
    return _first_present(distinct_RK, count)


def _draw_rare(
    band: Band,
    anchors_R: IntArray,
    short: IntArray,
    negatives: int,
    rng: np.random.Generator,
    drawn_Rn: IntArray,
    on_progress: Progress,
) -> tuple[IntArray, IntArray]:
    """Fill the `short` rows of `drawn_Rn` afresh from all their candidates; return who has too few, and how many.

    A row comes here by how many candidates it met, not by which ones, so starting afresh keeps the draw uniform.
    """
    too_few: list[int] = []
    counts: list[int] = []
    anchors, row_starts = np.unique(anchors_R[short], return_index=True)  # rows of an anchor are neighbours
    row_ends = np.append(row_starts[1:], len(short))
    block = max(1, 4 * PAIRS_AT_ONCE // len(band.pool))
    for first in range(0, len(anchors), block):
        inside_AN = band.of_all(anchors[first : first + block])
        for offset, inside_N in enumerate(inside_AN):
            candidates = np.flatnonzero(inside_N)
            if len(candidates) < negatives:
                too_few.append(int(anchors[first + offset]))
                counts.append(len(candidates))
            take = min(negatives, len(candidates))
            for row in short[row_starts[first + offset] : row_ends[first + offset]]:
                drawn_Rn[row] = -1
                drawn_Rn[row, :take] = rng.choice(candidates, take, replace=False) if take else -1
        to_come = len(short) - row_ends[min(first + block, len(anchors)) - 1]
        on_progress(int(len(drawn_Rn) - to_come), len(drawn_Rn))
    return np.array(too_few, np.int64), np.array(counts, np.int64)


def unit(vectors_NS: FloatArray) -> FloatArray:
    """Vectors scaled to length 1.

    Raises:
        InputError: a vector is zero or not finite; it has no direction.
    """
    if bad := np.flatnonzero(~np.isfinite(vectors_NS).all(1) | ~vectors_NS.any(1)).tolist():
        raise InputError(f"{len(bad)} sentence vectors are zero or not finite, the first at index {bad[0]}")
    return unit_rows(vectors_NS).astype(np.float32)
