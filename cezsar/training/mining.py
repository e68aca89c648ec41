"""Hard negatives (Estevam et al., ICPR 2026, Section 3.4): sentences close to the positives, but not the same.

A sentence n is a candidate for a sub-clip when, for every positive p of that sub-clip,
`0 < cosine_distance(SBERT(p), SBERT(n)) < tau`, and n describes another video. Each positive gets n negatives, drawn
without replacement and exactly uniformly over the candidates. Where these are common, sentences are drawn at random and
the first distinct ones inside the band are kept; where they are rare, every sentence is tested.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cezsar.arrays import BoolArray, FloatArray, IntArray, unit_rows
from cezsar.config import SAME, MiningConfig
from cezsar.errors import InputError

Progress = Callable[[int, int], object]
"""Takes how much is done, and how much there is."""

PAIRS_AT_ONCE = 1_000_000  # bounds the memory of a block
DRAWS = (4, 4, 8, 16)  # draws per wanted negative in each random round; few are still short after these


def mine(
    positives_AP: IntArray, groups_A: IntArray, vectors_NS: FloatArray, pool_groups: IntArray,
    rng: np.random.Generator, settings: MiningConfig, on_progress: Progress = lambda done, total: None,
) -> tuple[IntArray, dict[int, int]]:  # fmt: skip
    """Draw hard negatives for every positive of A anchors (sub-clips), which index `vectors_NS` as negatives do.

    -1 stands where an anchor has fewer than P positives, never in column 0. The first sentences, as many as
    `pool_groups`, may be negatives, of anchors of other groups (videos). `on_progress` is told of positives served.

    Returns (A, P, n) negatives, -1 where there were too few candidates or no positive, no repeats in a row; and of each
    anchor with fewer candidates than n how many it has. Raises `InputError` for zero or non-finite vectors.
    """
    n = settings.negatives
    unit_NS = torch.from_numpy(unit(vectors_NS))
    pool_NS = unit_NS[: len(pool_groups)]
    # An absent positive repeats the first one, which asks nothing more of a candidate.
    asked_AP = np.where(positives_AP < 0, positives_AP[:, :1], positives_AP)

    def band(anchors_R: IntArray, drawn_RK: IntArray | None = None) -> BoolArray:
        """(R, K): is the k-th sentence drawn for row r a candidate of its anchor? (R, pool) of all, without a draw."""
        groups = pool_groups[None] if drawn_RK is None else pool_groups[drawn_RK]
        inside: BoolArray = groups != groups_A[anchors_R][:, None]
        for positive_A in asked_AP.T:
            rows_RS = unit_NS[positive_A[anchors_R]]
            cosine = rows_RS @ pool_NS.T if drawn_RK is None else _sampled_products(rows_RS, pool_NS, drawn_RK)
            distance = (1.0 - cosine).numpy()
            inside &= (distance > SAME) & (distance < settings.tau)
        return inside

    anchors_R, columns_R = np.nonzero(positives_AP >= 0)  # one row a positive: each draws for itself
    drawn_Rn = np.full((len(anchors_R), n), -1, np.int64)
    short = np.arange(len(anchors_R))
    for width in (draws * n for draws in DRAWS):
        if 2 * width > len(pool_groups):
            break  # testing every sentence is cheaper than drawing this many
        for rows in _blocks(short, PAIRS_AT_ONCE // width):
            drawn_RK = rng.integers(len(pool_groups), size=(len(rows), width))
            drawn_RK[~band(anchors_R[rows], drawn_RK)] = -1
            drawn_RK[np.cumsum(drawn_RK >= 0, axis=1) > n] = -1  # n of a round are enough
            drawn_Rn[rows] = _first_distinct(np.hstack([drawn_Rn[rows], drawn_RK]), n)
            on_progress(int((drawn_Rn[:, -1] >= 0).sum()), len(drawn_Rn))
        short = short[drawn_Rn[short, -1] < 0]
    # A row comes here by how many candidates it met, not by which ones, so starting afresh keeps the draw uniform.
    drawn_Rn[short] = -1
    too_few: dict[int, int] = {}
    for block in _blocks(np.unique(anchors_R[short]), 4 * PAIRS_AT_ONCE // len(pool_groups)):
        rows_of = np.split(short, np.searchsorted(anchors_R[short], np.append(block, block[-1] + 1)))[1:-1]
        for anchor, rows, inside_N in zip(block.tolist(), rows_of, band(block), strict=True):
            candidates = np.flatnonzero(inside_N)
            if len(candidates) < n:
                too_few[anchor] = len(candidates)
            for row in rows:
                drawn_Rn[row, : len(candidates)] = rng.choice(candidates, min(n, len(candidates)), replace=False)
        on_progress(int(len(drawn_Rn) - np.count_nonzero(anchors_R[short] > block[-1])), len(drawn_Rn))
    negatives_APn = np.full((*positives_AP.shape, n), -1, np.int64)
    negatives_APn[anchors_R, columns_R] = drawn_Rn
    return negatives_APn, too_few


def _blocks(rows: IntArray, size: int) -> list[IntArray]:
    return [rows[first : first + max(1, size)] for first in range(0, len(rows), max(1, size))]


def _sampled_products(rows_RS: Tensor, pool_NS: Tensor, drawn_RK: IntArray) -> Tensor:
    """(R, K) inner products of each row with its own K pool vectors, read in place: a gathered copy is 4 x slower."""
    count, width = drawn_RK.shape
    starts, columns = torch.arange(0, count * width + 1, width), torch.from_numpy(drawn_RK).flatten()
    size, zeros = (count, len(pool_NS)), torch.zeros(count * width)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        wanted = torch.sparse_csr_tensor(starts, columns, zeros, size=size, check_invariants=False)
    return torch.sparse.sampled_addmm(wanted, rows_RS, pool_NS.T, beta=0.0).values().view(count, width)


def _first_distinct(drawn_RK: IntArray, count: int) -> IntArray:
    """The first `count` distinct non-negative entries of each row, then -1. A repeat is dropped, as if never drawn."""
    order_RK = np.argsort(drawn_RK, axis=1, kind="stable")
    sorted_RK = np.take_along_axis(drawn_RK, order_RK, axis=1)
    dropped_RK = drawn_RK < 0
    repeats_RK = np.zeros_like(dropped_RK)
    np.put_along_axis(repeats_RK, order_RK[:, 1:], sorted_RK[:, 1:] == sorted_RK[:, :-1], axis=1)
    first_Rc = np.argsort(dropped_RK | repeats_RK, axis=1, kind="stable")[:, :count]
    dropped_Rc = np.take_along_axis(dropped_RK | repeats_RK, first_Rc, axis=1)
    return np.where(dropped_Rc, -1, np.take_along_axis(drawn_RK, first_Rc, axis=1))


def unit(vectors_NS: FloatArray) -> FloatArray:
    """Vectors scaled to length 1. Raises `InputError` where one is zero or not finite: it has no direction."""
    if bad := np.flatnonzero(~np.isfinite(vectors_NS).all(1) | ~vectors_NS.any(1)).tolist():
        raise InputError(f"{len(bad)} sentence vectors are zero or not finite, the first at index {bad[0]}")
    return unit_rows(vectors_NS).astype(np.float32)
