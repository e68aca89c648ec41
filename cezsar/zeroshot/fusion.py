"""Fusion of modalities and prediction (Eq. 8-9 of Estevam et al., ICPR 2026), read off `Scores`: the prototype of
highest cosine similarity to `VidE(v) = α VE(v) + β SE(O(v)) + γ SE(C(v))`, of raw embeddings. A clip without a modality
has zeros there. Of equal scores the class of lowest index wins. `rows` are those of some clips; all by default."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cezsar.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.scores import MODALITIES, Scores

ENTRIES_AT_ONCE = 1 << 19  # of a block of rows: 2 MB of float32, so that it stays in the processor's cache
UNDECIDED = -1  # instead of a class index: all scores of the clip are exactly 0, so nothing speaks for any class


@dataclass(frozen=True)
class Weights:
    """α, β and γ of Eq. 9, the paper's by default: not negative, not all zero; they need not sum to 1. A modality that
    the scores do not have counts as zero."""

    alpha: float = 0.8
    beta: float = 0.2
    gamma: float = 0.0

    def __post_init__(self) -> None:
        values = (self.alpha, self.beta, self.gamma)
        if not all(isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in values) or not any(values):
            raise InputError(
                f"alpha = {self.alpha}, beta = {self.beta}, gamma = {self.gamma}: give numbers from 0, not all zero"
            )

    @classmethod
    def only(cls, modality: str) -> Weights:
        """1 for "VE", "O" or "C", 0 for the others."""
        return cls(*(float(modality == name) for name in MODALITIES))

    def of(self, modality: str) -> float:
        """The weight of "VE", "O" or "C"."""
        return dict(zip(MODALITIES, (self.alpha, self.beta, self.gamma), strict=True))[modality]

    def changed(self, **given: float | None) -> Weights:
        """The same with those of α, β, γ that are given."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def active(scores: Scores, weights: Weights) -> dict[str, float]:
    """The modalities of `scores` whose weight is not 0, with their weights. Raises `InputError` if there is none."""
    found = {name: weights.of(name) for name in scores.modalities if weights.of(name) > 0}
    if not found:
        raise InputError(
            f"alpha = {weights.alpha}, beta = {weights.beta}, gamma = {weights.gamma} leave nothing: the clips have "
            f"{' and '.join(scores.modalities)} only; give one of them weight"
        )
    return found


def fuse(scores: Scores, weights: Weights, rows: IntArray | slice | None = None) -> FloatArray:
    """(n, C) inner products of VidE and unit prototypes, the nearest where a class has several; they order classes as
    `cosine`."""
    if rows is None:
        fused_NC = np.empty((len(scores.ids), len(scores.class_names)), np.float32)
        for block in row_blocks(np.arange(len(scores.ids)), fused_NC.shape[1]):
            fused_NC[block] = fuse(scores, weights, block)
        return fused_NC
    parts = (scores.columns[name][rows] * np.float32(weight) for name, weight in active(scores, weights).items())
    fused: FloatArray = next(parts)
    for part in parts:
        fused += part
    starts = scores.first_columns
    return fused if starts is None else np.maximum.reduceat(fused, starts, axis=1)


def row_blocks(rows: IntArray, n_columns: int) -> Iterator[IntArray | slice]:
    """Cut ascending row numbers into blocks of bounded size; a block without gaps is a slice, which copies nothing."""
    size = max(1, ENTRIES_AT_ONCE // max(1, n_columns))
    for first in range(0, len(rows), size):
        block = rows[first : first + size]
        low, high = int(block[0]), int(block[-1])
        yield slice(low, high + 1) if high - low == len(block) - 1 else block


def lengths(scores: Scores, weights: Weights, rows: IntArray | None = None) -> DoubleArray:
    """(n,) ||VidE(v)||, from the inner products between modalities. Raises `InputError` where the scores do not stem
    from embeddings, as `cosine` and `parts` do."""
    if scores.gram is None:
        raise InputError("these scores do not stem from embeddings, so they have no cosine similarity; use fuse")
    counted = active(scores, weights)
    w_M = np.array([counted.get(name, 0.0) for name in scores.modalities])
    squared_n = np.einsum("a,nab,b->n", w_M, scores.gram if rows is None else scores.gram[rows], w_M)
    return np.sqrt(np.maximum(squared_n, 0))


def cosine(scores: Scores, weights: Weights, rows: IntArray | None = None) -> FloatArray:
    """(n, C) cosine similarities of VidE and the prototypes (Eq. 8), in [-1, 1]; 0 where either is a zero vector."""
    cosine_nC = _divided(fuse(scores, weights, rows), lengths(scores, weights, rows))
    return np.clip(cosine_nC, -1, 1, out=cosine_nC)


def similarities(scores: Scores, weights: Weights, rows: IntArray | None = None) -> FloatArray:
    """`cosine`, or the fused scores where these do not stem from embeddings."""
    return fuse(scores, weights, rows) if scores.gram is None else cosine(scores, weights, rows)


def parts(scores: Scores, weights: Weights) -> dict[str, FloatArray]:
    """What each modality that counts adds to the cosine similarity: modality -> (N, C); they sum to `cosine`. Of
    several sentences a class, all are of the one nearest to VidE."""
    lengths_N, counted = lengths(scores, weights), active(scores, weights)
    weighted = {name: _divided(scores.columns[name] * np.float32(w), lengths_N) for name, w in counted.items()}
    starts = scores.first_columns
    if starts is None:
        return weighted
    total_NP = np.sum(list(weighted.values()), axis=0)
    groups = zip(starts, [*starts[1:], total_NP.shape[1]], strict=True)
    nearest_NC = np.stack([total_NP[:, first:end].argmax(axis=1) + first for first, end in groups], axis=1)
    return {name: np.take_along_axis(part_NP, nearest_NC, axis=1) for name, part_NP in weighted.items()}


def predict(scores: Scores, weights: Weights, classes: Sequence[int] | IntArray | None = None) -> IntArray:
    """(N,) index of the best of some classes, all by default; `UNDECIDED` (-1) where their scores are all exactly 0."""
    chosen = np.arange(len(scores.class_names)) if classes is None else np.unique(np.asarray(classes, np.int64))
    predicted_N = np.empty(len(scores.ids), np.int64)
    for rows in row_blocks(np.arange(len(scores.ids)), len(scores.class_names)):
        predicted_N[rows] = decide(fuse(scores, weights, rows), chosen)
    return predicted_N


def decide(fused_NC: FloatArray, chosen: IntArray) -> IntArray:
    """`predict`, of fused scores; `chosen` are the ascending indices of the classes to choose from."""
    if len(chosen) < fused_NC.shape[1]:
        fused_NC = fused_NC[:, chosen]
    best = fused_NC.argmax(axis=1)
    blank = np.flatnonzero(fused_NC[np.arange(len(fused_NC)), best] == 0)
    predicted_N = chosen[best]
    predicted_N[blank[~fused_NC[blank].any(axis=1)]] = UNDECIDED
    return predicted_N


def before_true(fused_nC: FloatArray, true_n: IntArray) -> BoolArray:
    """(n, C) whether a class stands before the true one: it scores more, or the same and has a lower index."""
    true_scores_n1 = fused_nC[np.arange(len(true_n)), true_n][:, None]
    before_nC, equal_nC = fused_nC > true_scores_n1, fused_nC == true_scores_n1
    if np.count_nonzero(equal_nC) > len(equal_nC):  # more than the true classes with themselves
        tied = np.flatnonzero(equal_nC.sum(axis=1, dtype=np.int32) > 1)
        before_nC[tied] |= equal_nC[tied] & (np.arange(fused_nC.shape[1]) < true_n[tied, None])
    return before_nC


def rank(cosine_C: FloatArray, class_names: Sequence[str], top: int = 5) -> tuple[list[tuple[str, float]], float]:
    """The `top` best labels of a clip as (name, similarity), and the margin of the first over the second. Raises
    `InputError` for `top` below 1."""
    if top < 1:
        raise InputError(f"the {top} best labels were asked for; ask for at least 1")
    order = np.argsort(-cosine_C, kind="stable")
    best = [(class_names[index], float(cosine_C[index])) for index in order[: max(top, 2)]]
    return best[:top], best[0][1] - best[1][1] if len(best) > 1 else 0.0


def _divided(scores_NC: FloatArray, lengths_N: DoubleArray) -> FloatArray:
    """Rows divided, in place, by the length of their clip's VidE; 0 where that is a zero vector."""
    lengths_N1 = lengths_N[:, None]
    scores_NC[lengths_N == 0] = 0
    return np.divide(scores_NC, lengths_N1, out=scores_NC, where=lengths_N1 > 0, casting="same_kind")
