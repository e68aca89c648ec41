"""Fusion of modalities and prediction (Eq. 8-9 of Estevam et al., ICPR 2026), read off `Scores`.

`VidE(v) = α VE(v) + β SE(O(v)) + γ SE(C(v))`, of raw embeddings; the prediction is the prototype of highest cosine
similarity to it. A clip without a modality has zeros there, so the others decide; a clip without any has zero scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import MODALITIES
from cezsar.zeroshot.scores import Scores

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ENTRIES_AT_ONCE = 1 << 19  # of a block of rows: 2 MB of float32, so that it stays in the processor's cache

UNDECIDED = -1
"""Instead of a class index: all scores of the clip are exactly 0, so nothing speaks for any class."""


@dataclass(frozen=True)
class Weights:
    """α, β and γ of Eq. 9: weights of VE, O and C. Not negative, not all zero; they need not sum to 1.

    The default is the paper's. A modality that the scores do not have counts as zero, whatever its weight.
    """

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
        """1 for `modality` ("VE", "O" or "C"), 0 for the others."""
        if modality not in MODALITIES:
            raise InputError(f"modality {modality!r} is unknown; there are {', '.join(MODALITIES)}")
        return cls(*(float(modality == name) for name in MODALITIES))

    def of(self, modality: str) -> float:
        """The weight of "VE", "O" or "C"."""
        return dict(zip(MODALITIES, (self.alpha, self.beta, self.gamma), strict=True))[modality]


class Ranked(NamedTuple):
    """Best labels of one clip: (name, cosine similarity) best first, and how far the first is above the second."""

    labels: list[tuple[str, float]]
    margin: float


def active(scores: Scores, weights: Weights) -> dict[str, float]:
    """The modalities that count, with their weights: those that `scores` has and whose weight is not 0.

    Raises:
        InputError: there is none.
    """
    found = {name: weights.of(name) for name in scores.modalities if weights.of(name) > 0}
    if not found:
        raise InputError(
            f"alpha = {weights.alpha}, beta = {weights.beta}, gamma = {weights.gamma} leave nothing: the clips have "
            f"{' and '.join(scores.modalities)} only; give one of them weight"
        )
    return found


def fuse(scores: Scores, weights: Weights) -> FloatArray:
    """(N, C) inner products of VidE and unit prototypes: the weighted sum of the modalities' scores.

    A class with several sentences scores by the nearest. In every row the order of classes is that of `cosine`.
    """
    fused_NC = np.empty((len(scores.ids), len(scores.class_names)), np.float32)
    for rows in row_blocks(np.arange(len(scores.ids)), fused_NC.shape[1]):
        fused_NC[rows] = fuse_rows(scores, active(scores, weights), rows)
    return fused_NC


def fuse_rows(scores: Scores, weights: dict[str, float], rows: IntArray | slice) -> FloatArray:
    """(n, C) fused scores of some rows; `weights` as `active` gives them."""
    parts = (scores.columns[name][rows] * np.float32(weight) for name, weight in weights.items())
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


def lengths(scores: Scores, weights: Weights) -> DoubleArray:
    """(N,) ||VidE(v)||, from the inner products between modalities.

    Raises:
        InputError: the scores do not stem from embeddings, so there are no lengths.
    """
    if scores.gram is None:
        raise InputError("these scores do not stem from embeddings, so they have no cosine similarity; use fuse")
    counted = active(scores, weights)
    w_M = np.array([counted.get(name, 0.0) for name in scores.modalities])
    squared_N = np.einsum("a,nab,b->n", w_M, scores.gram, w_M)
    return np.sqrt(np.maximum(squared_N, 0))


def cosine(scores: Scores, weights: Weights) -> FloatArray:
    """(N, C) cosine similarities of VidE and the prototypes (Eq. 8), in [-1, 1]; 0 where either is a zero vector.

    Raises:
        InputError: the scores do not stem from embeddings.
    """
    cosine_NC = _divided(fuse(scores, weights), lengths(scores, weights))
    return np.clip(cosine_NC, -1, 1, out=cosine_NC)


def parts(scores: Scores, weights: Weights) -> dict[str, FloatArray]:
    """What each modality that counts adds to the cosine similarity: modality -> (N, C); they sum to `cosine`.

    With several sentences a class, all modalities are those of the sentence that is nearest to VidE.

    Raises:
        InputError: the scores do not stem from embeddings.
    """
    counted = active(scores, weights)
    lengths_N = lengths(scores, weights)
    weighted = {
        name: _divided(scores.columns[name] * np.float32(weight), lengths_N) for name, weight in counted.items()
    }
    starts = scores.first_columns
    if starts is None:
        return weighted
    total_NP = np.sum(list(weighted.values()), axis=0)
    ends = [*starts[1:], total_NP.shape[1]]
    groups = zip(starts, ends, strict=True)
    nearest_NC = np.stack([total_NP[:, first:end].argmax(axis=1) + first for first, end in groups], axis=1)
    return {name: np.take_along_axis(part_NP, nearest_NC, axis=1) for name, part_NP in weighted.items()}


def predict(scores: Scores, weights: Weights, classes: Sequence[int] | None = None) -> IntArray:
    """(N,) index into `class_names` of the best class; of equal scores the lowest index wins.

    Args:
        classes: the indices to choose from; all by default.

    Returns:
        Class indices; `UNDECIDED` (-1) for a clip whose scores for these classes are all exactly 0.
    """
    counted = active(scores, weights)
    chosen = np.arange(len(scores.class_names)) if classes is None else np.unique(np.asarray(classes, np.int64))
    predicted_N = np.empty(len(scores.ids), np.int64)
    for rows in row_blocks(np.arange(len(scores.ids)), len(scores.class_names)):
        predicted_N[rows] = decide(fuse_rows(scores, counted, rows), chosen)
    return predicted_N


def decide(fused_NC: FloatArray, chosen: IntArray) -> IntArray:
    """`predict`, of fused scores; `chosen` are the ascending indices of the classes to choose from."""
    if len(chosen) < fused_NC.shape[1]:
        fused_NC = fused_NC[:, chosen]
    best = fused_NC.argmax(axis=1)
    top = fused_NC[np.arange(len(fused_NC)), best]
    blank = np.flatnonzero(top == 0)
    blank = blank[~fused_NC[blank].any(axis=1)]
    predicted_N = chosen[best]
    predicted_N[blank] = UNDECIDED
    return predicted_N


def rank(cosine_NC: FloatArray, class_names: Sequence[str], top: int = 5) -> list[Ranked]:
    """The `top` best labels of each clip, all of them if there are fewer; of equal scores the lowest index comes first.

    Returns:
        One `Ranked` a clip. Its margin is 0 when there is only one label.

    Raises:
        InputError: `top` below 1, or class names that do not go with the scores.
    """
    if top < 1:
        raise InputError(f"the {top} best labels were asked for; ask for at least 1")
    if cosine_NC.ndim != 2 or cosine_NC.shape[1] != len(class_names):
        raise InputError(f"scores of shape {cosine_NC.shape} do not go with {len(class_names):,} class names")
    ranked = []
    for row_C in cosine_NC:
        order = np.argsort(-row_C, kind="stable")[: max(top, 2)]
        best = [(class_names[index], float(row_C[index])) for index in order]
        ranked.append(Ranked(best[:top], best[0][1] - best[1][1] if len(best) > 1 else 0.0))
    return ranked


def _divided(scores_NC: FloatArray, lengths_N: DoubleArray) -> FloatArray:
    """Rows divided, in place, by the length of their clip's VidE; 0 where that is a zero vector."""
    lengths_N1 = lengths_N[:, None]
    scores_NC[lengths_N == 0] = 0
    return np.divide(scores_NC, lengths_N1, out=scores_NC, where=lengths_N1 > 0, casting="same_kind")
