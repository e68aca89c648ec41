"""Which classes can be among the k best of a clip, whatever the weights: its k-skyband.

Weights are not negative, so a class that k others beat in EVERY modality is behind all k of them after any fusion, and
can be dropped for good. Of C classes about k (1 + ln(C / k)) stay in two modalities (Kinetics-400, k = 5: 27).

Float32 is part of the promise. A sum is monotone in float32, too, but near scores may be rounded to equal ones, and
equal scores are ordered by class index. So d is only said to beat c when d has the lower index and is not below c
anywhere, or when it is above c everywhere by more than rounding can take away.

Source: Papadias et al., "Progressive Skyline Computation in Database Systems", TODS 2005 (the k-skyband).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

NEAR_ULPS = 8
"""Scores this many float32 steps apart may become equal: up to three products and two sums are rounded, for each."""

PIVOTS = 48  # columns that others are compared with in three modalities; more drop more, and take longer
_INDEX_BITS = 20


def skyband(modalities: Sequence[FloatArray], k: int) -> BoolArray:
    """(n, P) whether a column may be among the k best of its row for some weights from 0, not all 0.

    Exactly the k-skyband for one and two modalities; for three, somewhat more than it. Nothing that matters is left
    out, unless products are so small that float32 has no digits left for them.

    Args:
        modalities: (n, P) finite scores each, columns in the order that decides ties.
    """
    n, width = modalities[0].shape
    if width <= k:
        return np.ones((n, width), np.bool_)
    sorted_keys = [_sorted_keys(scores_nP) for scores_nP in modalities]
    orders = [keys_nP & ((1 << _INDEX_BITS) - 1) for keys_nP in sorted_keys]
    ranks = [_inverse(order_nP) for order_nP in orders]
    if len(modalities) == 1:
        kept_nP: BoolArray = ranks[0] < k
    elif len(modalities) == 2:
        kept_nP = _two(orders[0], ranks[0], ranks[1], k)
    else:
        kept_nP = _several(ranks, k)
    for keys_nP, order_nP in zip(sorted_keys, orders, strict=True):
        _keep_near(kept_nP, keys_nP, order_nP)
    return kept_nP


def _sorted_keys(scores_nP: FloatArray) -> npt.NDArray[np.int64]:
    """Best column first: whole numbers that hold a score's place among all float32 and, below it, the column.

    Sorting numbers is several times faster than a stable argsort of floats.
    """
    bits = (scores_nP + np.float32(0)).view(np.int32)  # + 0 makes -0.0 the 0.0 that it equals
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)  # now in the order of the floats
    keys = np.invert(bits, out=bits).astype(np.int64)
    keys <<= _INDEX_BITS
    keys |= np.arange(scores_nP.shape[1])
    keys.sort(axis=1)
    return keys


def _inverse(order_nP: IntArray) -> IntArray:
    """(n, P) place of each column in an order of columns."""
    width = order_nP.shape[1]
    rank_nP = np.empty(order_nP.shape, np.int16 if width < 1 << 15 else np.int32)
    np.put_along_axis(rank_nP, order_nP, np.arange(width, dtype=rank_nP.dtype)[None], axis=1)
    return rank_nP


def _two(order_nP: IntArray, rank_nP: IntArray, other_nP: IntArray, k: int) -> BoolArray:
    """Go through the columns, best of one modality first, along with the k best places met so far in the other."""
    met_Pn = np.ascontiguousarray(np.take_along_axis(other_nP, order_nP, axis=1).T)
    best_kn = np.full((k, met_Pn.shape[1]), np.iinfo(met_Pn.dtype).max, met_Pn.dtype)
    kept_Pn = np.empty(met_Pn.shape, np.bool_)
    displaced_n = np.empty_like(met_Pn[0])
    for kept_n, met_n in zip(kept_Pn, met_Pn, strict=True):
        np.less(met_n, best_kn[-1], out=kept_n)
        for best_n in best_kn:
            np.maximum(best_n, met_n, out=displaced_n)
            np.minimum(best_n, met_n, out=best_n)
            met_n[:] = displaced_n
    return np.take_along_axis(np.ascontiguousarray(kept_Pn.T), rank_nP.astype(np.int64), axis=1)


def _several(ranks: Sequence[IntArray], k: int) -> BoolArray:
    """Count, for each column, which of the `PIVOTS` best ones by the sum of places beat it in every modality."""
    places_nP = np.sum(ranks, axis=0, dtype=np.int32)
    pivots_nK = np.argpartition(places_nP, min(PIVOTS, places_nP.shape[1]) - 1, axis=1)[:, :PIVOTS]
    beaten_nP = np.zeros(places_nP.shape, np.uint8)
    for column in range(pivots_nK.shape[1]):
        pivot_n1 = pivots_nK[:, column : column + 1]
        ahead_nP = np.take_along_axis(ranks[0], pivot_n1, axis=1) < ranks[0]
        for rank_nP in ranks[1:]:
            ahead_nP &= np.take_along_axis(rank_nP, pivot_n1, axis=1) < rank_nP
        beaten_nP += ahead_nP
    kept_nP: BoolArray = beaten_nP < k
    return kept_nP


def _keep_near(kept_nP: BoolArray, keys_nP: IntArray, order_nP: IntArray) -> None:
    """Keep, in place, columns whose place might be lost to rounding. Scores that were float16 have none."""
    gaps_nP = np.diff(keys_nP >> _INDEX_BITS, axis=1)
    rounded_nP = (gaps_nP > 0) & (gaps_nP <= NEAR_ULPS)
    rows = np.flatnonzero(rounded_nP.any(axis=1))
    near_nP = gaps_nP[rows] <= NEAR_ULPS
    doubtful_n = np.zeros(len(rows), np.bool_)
    for column in range(near_nP.shape[1]):
        doubtful_n = near_nP[:, column] & (rounded_nP[rows, column] | doubtful_n)
        kept_nP[rows[doubtful_n], order_nP[rows[doubtful_n], column + 1]] = True
