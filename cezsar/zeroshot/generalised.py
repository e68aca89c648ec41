"""Generalised zero-shot learning: clips of seen and unseen classes, and all classes to choose from.

Models lean towards the classes they were trained on. Calibrated stacking takes a factor off the scores of seen classes
(Chao et al., ECCV 2016, Eq. 4; their γ, which in Eq. 9 is the weight of captions). A clip goes from its best seen class
to its best unseen one where the factor is the difference of their scores: there accuracies change, nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cezsar.arrays import DoubleArray
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights, similarities
from cezsar.zeroshot.scores import Scores

_ALIKE = 1e-12  # accuracies that differ by less differ by rounding


class Accuracies(NamedTuple):
    """Means over classes of their accuracy, fractions in [0, 1], all classes being candidates."""

    seen: float  # A_S, over the seen classes that have clips
    unseen: float  # A_U, over the unseen ones
    harmonic: float  # H = 2 A_S A_U / (A_S + A_U); 0 where both are 0 (Xian et al., CVPR 2017, Eq. 11)


class BestFactor(NamedTuple):
    """The widest stretch of factors with the highest harmonic mean, of equal ones the lowest."""

    low: float  # -inf to inf where H is 0 for every factor
    high: float
    factor: float  # the middle; 0 where H is 0 for every factor
    accuracies: Accuracies  # at `factor`


@dataclass(frozen=True, eq=False)
class Stacking:
    """Accuracies for every factor, as exact step functions of it."""

    factor_B: DoubleArray  # ascending: from each on, one of the two is another
    seen_between: DoubleArray  # (B + 1,) A_S below the first factor, between two, and from the last on; never rising
    unseen_between: DoubleArray  # (B + 1,) A_U likewise; never falling
    # Area under the seen-unseen accuracy curve (Chao et al., Section 4.2), 0 to 1. Clips that flip at the same factor
    # count half, as ties do in an area under an ROC curve.
    ausuc: float

    def at(self, factor: float) -> Accuracies:
        """Accuracies at a factor; 0 is plain stacking of all classes."""
        piece = np.searchsorted(self.factor_B, factor, side="right")
        return Accuracies(*(float(rates[piece]) for rates in (self.seen_between, self.unseen_between, self._harmonic)))

    @property
    def _harmonic(self) -> DoubleArray:
        total = self.seen_between + self.unseen_between
        return 2 * self.seen_between * self.unseen_between / np.where(total > 0, total, 1)

    def best(self) -> BestFactor:
        """The best factor for these very clips. To report an accuracy, take the factor from other clips."""
        harmonic = self._harmonic
        if harmonic.max() <= _ALIKE:
            return BestFactor(-np.inf, np.inf, 0.0, self.at(0.0))
        top = np.flatnonzero(harmonic >= harmonic.max() - _ALIKE)  # no outer piece: there one accuracy is 0
        stretches = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
        ends = [(float(self.factor_B[part[0] - 1]), float(self.factor_B[part[-1]])) for part in stretches]
        low, high = max(ends, key=lambda end: end[1] - end[0])
        factor = min(low + (high - low) / 2, float(np.nextafter(high, -np.inf)))
        return BestFactor(low, high, factor, self.at(factor))


def stacking(scores: Scores, seen: Sequence[str], weights: Weights | None = None) -> Stacking:
    """Accuracies on seen and on unseen classes for every factor, of cosine similarities where embeddings are known.

    All classes but `seen` are unseen; the weights are the paper's by default. Raises `InputError` where there is no
    class or no clip of one of the two.
    """
    from sklearn.metrics import roc_auc_score

    names, weights = set(resolve(seen, scores.class_names)), weights or Weights()
    labelled = scores.label_index >= 0
    truth_N = scores.label_index[labelled]
    seen_C = np.array([name in names for name in scores.class_names])
    of_seen_N = seen_C[truth_N]
    for side, what in ((seen_C, "class"), (of_seen_N, "clip")):
        if side.all() or not side.any():
            raise InputError(f"every {what} is {'a seen' if side.any() else 'an unseen'} one; give some of both kinds")
    fused_NC = similarities(scores, weights)[labelled].astype(np.float64)
    best_2N = np.stack([part[fused_NC[:, part].argmax(axis=1)] for part in map(np.flatnonzero, (seen_C, ~seen_C))])
    seen_N, unseen_N = np.take_along_axis(fused_NC, best_2N.T, axis=1).T
    hit_N = (truth_N == np.where(of_seen_N, *best_2N)) & fused_NC.any(axis=1)
    n_classes = [len(np.unique(truth_N[side])) for side in (of_seen_N, ~of_seen_N)]
    share_N = 1 / np.bincount(truth_N)[truth_N] / np.where(of_seen_N, *n_classes)
    # Exactly at the difference the two tie, and the lower index wins.
    flip_N = seen_N - unseen_N
    from_N = np.where(best_2N[0] < best_2N[1], np.nextafter(flip_N, np.inf), flip_N)
    factor_B = np.unique(from_N[hit_N])
    gained = []
    for side in (of_seen_N & hit_N, ~of_seen_N & hit_N):
        steps_B = np.bincount(np.searchsorted(factor_B, from_N[side]), share_N[side], minlength=len(factor_B))
        gained.append(np.append(0.0, np.cumsum(steps_B)))
    reached = gained[0][-1] * gained[1][-1]
    area = roc_auc_score(of_seen_N[hit_N], flip_N[hit_N], sample_weight=share_N[hit_N]) if reached else 0.0
    return Stacking(factor_B, gained[0][-1] - gained[0], gained[1], float(reached * area))
