"""Generalised zero-shot learning: clips of seen and unseen classes, and all classes to choose from.

Models lean towards the classes they were trained on. Calibrated stacking subtracts one number from the scores of seen
classes before the best class is taken (Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning,
ECCV 2016, Eq. 4). They call it γ; here it is the `penalty`, since γ is the weight of captions in Eq. 9.

A clip goes from its best seen class to its best unseen one where the penalty is the difference of their scores, and
never otherwise. All those differences, sorted, are where an accuracy can change; nothing is sampled. Exactly there the
two classes tie, and as everywhere the lower class index wins: the clip counts as seen at its own difference if its best
seen class has the lower index, and as unseen if not. Of equal scores among the seen classes, or among the unseen ones,
the lowest index is the best. A clip whose scores are all exactly 0 before any penalty is undecided, and no hit.

The curve is that of real numbers. Float64 has room for the differences of float32 scores, so `predict` agrees with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, similarities
from cezsar.zeroshot.rejection import checked_scores
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Mean = Literal["classes", "clips"]

_ALIKE = 1e-12  # accuracies that differ by less differ by rounding


class Accuracies(NamedTuple):
    """At one penalty, fractions in [0, 1], all classes being candidates.

    Attributes:
        seen: A_S, of the clips of seen classes.
        unseen: A_U, of the clips of unseen classes.
        harmonic: H = 2 A_S A_U / (A_S + A_U); 0 where both are 0 (Xian et al., CVPR 2017, Eq. 11).
    """

    seen: float
    unseen: float
    harmonic: float


class Best(NamedTuple):
    """Where the harmonic mean is highest: the widest stretch of penalties.

    Attributes:
        low: where it begins, and
        high: where it ends; equal where it is a single point. An end belongs to it where the tie there says so.
        penalty: its middle, which always belongs to it. 0 where H is 0 for every penalty, from -inf to inf.
        accuracies: at `penalty`.
    """

    low: float
    high: float
    penalty: float
    accuracies: Accuracies


@dataclass(frozen=True, eq=False)
class Stacking:
    """Accuracies for every penalty, as exact step functions of it.

    Attributes:
        mean: "classes": A_S and A_U are means over classes of their accuracy, as the literature has it; "clips": over
            clips.
        penalty_B: (B,) ascending: where one of the two changes.
        seen_on_B: A_S exactly there, where scores tie.
        unseen_on_B: A_U there.
        seen_between: (B + 1,) A_S below the first, between two, and above the last; never rising.
        unseen_between: (B + 1,) A_U likewise; never falling.
        seen_clips: clips of seen classes.
        unseen_clips: clips of unseen classes.
    """

    mean: Mean
    penalty_B: DoubleArray
    seen_on_B: DoubleArray
    unseen_on_B: DoubleArray
    seen_between: DoubleArray
    unseen_between: DoubleArray
    seen_clips: int
    unseen_clips: int

    def at(self, penalty: float) -> Accuracies:
        """Accuracies at a penalty; 0 is plain stacking of all classes.

        Raises:
            InputError: NaN.
        """
        if np.isnan(penalty):
            raise InputError("the penalty is NaN; give a number")
        left = int(np.searchsorted(self.penalty_B, penalty, side="left"))
        if left < len(self.penalty_B) and self.penalty_B[left] == penalty:
            pair = self.seen_on_B[left], self.unseen_on_B[left]
        else:
            pair = self.seen_between[left], self.unseen_between[left]
        return Accuracies(float(pair[0]), float(pair[1]), float(harmonic(*pair)))

    def best(self) -> Best:
        """The widest stretch of penalties with the highest harmonic mean there is; of equal ones the lowest.

        This is the best on the clips themselves. To report an accuracy, take the penalty from other clips.
        """
        steps = harmonic(
            _interleaved(self.seen_on_B, self.seen_between), _interleaved(self.unseen_on_B, self.unseen_between)
        )
        if steps.max() <= _ALIKE:
            return Best(-np.inf, np.inf, 0.0, self.at(0.0))
        top = np.flatnonzero(steps >= steps.max() - _ALIKE)
        # Even places are pieces, odd ones breakpoints. Where H > 0 both accuracies are, so it is never an outer piece.
        stretches = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
        ends = [(self.penalty_B[(part[0] - 1) // 2], self.penalty_B[part[-1] // 2]) for part in stretches]
        low, high = max(ends, key=lambda end: end[1] - end[0])
        penalty = float(low + (high - low) / 2)
        return Best(float(low), float(high), penalty, self.at(penalty))

    @cached_property
    def ausuc(self) -> float:
        """Area under the seen-unseen accuracy curve (Chao et al., Section 4.2): A_S against A_U over all penalties.

        0 to 1, higher is better. Clips that flip at the same penalty count half, whatever the order of classes, as
        ties do in an area under an ROC curve.
        """
        seen, unseen = self.seen_between, self.unseen_between
        return float(np.diff(unseen) @ (seen[1:] + seen[:-1]) / 2)


def stacking(
    scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, seen_C: npt.ArrayLike, mean: Mean = "classes"
) -> Stacking:
    """Accuracies on seen and on unseen classes for every penalty.

    Args:
        scores_NC: cosine similarities, for all classes.
        truth_N: true column; -1 for clips of none, which are left out.
        seen_C: whether each class is a seen one.
        mean: over "classes" that have clips, or over "clips".

    Raises:
        InputError: no seen or no unseen class, no clip of one of the two, NaN, or parts that do not go together.
    """
    scores, seen = _checked(scores_NC, seen_C)
    truth = np.asarray(truth_N, np.int64)
    if truth.shape != (len(scores),) or not ((truth >= -1) & (truth < len(seen))).all():
        raise InputError(f"true classes should be columns from 0 to {len(seen) - 1}, or -1, one for each clip")
    if mean not in ("classes", "clips"):
        raise InputError(f"a mean over {mean!r} was asked for; choose classes or clips")
    scores, truth = scores[truth >= 0], truth[truth >= 0]
    of_seen_N = seen[truth]
    if of_seen_N.all() or not of_seen_N.any():
        raise InputError(
            f"no clip is of {'an unseen' if len(truth) and of_seen_N.all() else 'a seen'} class; generalised zero-shot "
            "learning needs clips of both"
        )
    flip_N, seen_best_N, unseen_best_N = _flips(scores, seen)
    hit_N = (truth == np.where(of_seen_N, seen_best_N, unseen_best_N)) & scores.any(axis=1)
    size_N, seen_parts, unseen_parts = _parts(truth, of_seen_N, mean)
    penalty_B = np.unique(flip_N[hit_N])
    place_N, n_breaks = np.searchsorted(penalty_B, flip_N), len(penalty_B)
    seen_first_N = seen_best_N < unseen_best_N
    # Unseen hits are gained at their flip, and seen ones if one comes from above; there, the lower index decides.
    gained, lost = hit_N & ~of_seen_N, hit_N & of_seen_N
    unseen_on_B, unseen_between = _gained(place_N[gained], ~seen_first_N[gained], size_N[gained], n_breaks)
    seen_on_B, seen_between = _gained(n_breaks - 1 - place_N[lost], seen_first_N[lost], size_N[lost], n_breaks)
    return Stacking(
        mean,
        penalty_B,
        seen_on_B[::-1] / seen_parts,
        unseen_on_B / unseen_parts,
        seen_between[::-1] / seen_parts,
        unseen_between / unseen_parts,
        int(np.count_nonzero(of_seen_N)),
        int(np.count_nonzero(~of_seen_N)),
    )


def stacking_of(
    scores: Scores, seen: Sequence[str], weights: Weights | None = None, mean: Mean = "classes"
) -> Stacking:
    """`stacking` of fused scores: cosine similarities of Eq. 8, the fused scores where they stem from no embeddings.

    Args:
        seen: names of the seen classes, in any spelling; all others are unseen.
        weights: α, β, γ; the paper's by default.

    Raises:
        InputError: as `stacking` does, an unknown class, or weights that leave no modality.
    """
    return stacking(*_of(scores, seen, weights or Weights()), mean)


def choose_penalty(
    held_out: Scores, seen: Sequence[str], weights: Weights | None = None, mean: Mean = "classes"
) -> Best:
    """The penalty of highest harmonic mean on clips that are not those to be reported.

    Chao et al. choose it by cross-validation over classes: some of the training classes are left out of training and
    play the unseen ones. Clips of classes that are unseen in the test do not belong here.

    Args:
        held_out: scores of such clips, for the classes of this calibration.
        seen: which of these classes training saw, in any spelling.

    Raises:
        InputError: as `stacking_of` does.
    """
    return stacking_of(held_out, seen, weights, mean).best()


def predict(scores_NC: npt.ArrayLike, seen_C: npt.ArrayLike, penalty: float = 0.0) -> IntArray:
    """(N,) the best class after subtracting `penalty` from the scores of seen classes; the lowest index of equal ones.

    Returns:
        Class indices; `UNDECIDED` (-1) for a clip whose scores are all exactly 0.

    Raises:
        InputError: as `stacking` does, or a penalty that is not finite.
    """
    scores, seen = _checked(scores_NC, seen_C)
    if not np.isfinite(penalty):
        raise InputError(f"the penalty is {penalty}; give a finite number")
    best_N = (scores - penalty * seen).argmax(axis=1).astype(np.int64)
    best_N[~scores.any(axis=1)] = UNDECIDED
    return best_N


def harmonic(seen: npt.ArrayLike, unseen: npt.ArrayLike) -> DoubleArray:
    """2 A_S A_U / (A_S + A_U), elementwise; 0 where both are 0."""
    a, b = np.asarray(seen, np.float64), np.asarray(unseen, np.float64)
    mean: DoubleArray = 2 * a * b / np.where(a + b > 0, a + b, 1)
    return mean


def _of(scores: Scores, seen: Sequence[str], weights: Weights) -> tuple[npt.NDArray[np.float32], IntArray, BoolArray]:
    """Fused scores, true classes, and which classes are seen."""
    names = set(resolve(seen, scores.class_names))
    scores_NC = similarities(scores, weights)
    return scores_NC, scores.label_index, np.array([name in names for name in scores.class_names])


def _flips(scores_NC: DoubleArray, seen_C: BoolArray) -> tuple[DoubleArray, IntArray, IntArray]:
    """The penalty at which each clip goes from its best seen class to its best unseen one, and these two classes."""
    best, columns = [], [np.flatnonzero(seen_C), np.flatnonzero(~seen_C)]
    for part in columns:
        best.append(part[scores_NC[:, part].argmax(axis=1)])
    rows = np.arange(len(scores_NC))
    return scores_NC[rows, best[0]] - scores_NC[rows, best[1]], best[0], best[1]


def _parts(truth_N: IntArray, of_seen_N: BoolArray, mean: Mean) -> tuple[IntArray, int, int]:
    """How many clips each clip's own accuracy is taken over, and how many accuracies A_S and A_U are means of."""
    if mean == "clips":
        return np.where(of_seen_N, np.count_nonzero(of_seen_N), np.count_nonzero(~of_seen_N)), 1, 1
    n_seen, n_unseen = (len(np.unique(truth_N[side])) for side in (of_seen_N, ~of_seen_N))
    return np.bincount(truth_N)[truth_N], n_seen, n_unseen


def _gained(
    place_M: IntArray, at_once_M: BoolArray, size_M: IntArray, n_breaks: int
) -> tuple[DoubleArray, DoubleArray]:
    """Sum of 1 / size over the hits gained so far: on each breakpoint, and before, between and after them.

    A hit counts from its breakpoint on, on it only if `at_once`. Hits of one size are counted in whole numbers.
    """
    on_B, between = np.zeros(n_breaks), np.zeros(n_breaks + 1)
    for size in np.unique(size_M):
        of_size = size_M == size
        gained = np.append(0, np.cumsum(np.bincount(place_M[of_size], minlength=n_breaks)))
        between += gained / size
        on_B += (gained[:-1] + np.bincount(place_M[of_size & at_once_M], minlength=n_breaks)) / size
    return on_B, between


def _interleaved(on_B: DoubleArray, between: DoubleArray) -> DoubleArray:
    """Piece, point, piece, ..., piece."""
    steps = np.empty(len(on_B) + len(between))
    steps[::2], steps[1::2] = between, on_B
    return steps


def _checked(scores_NC: npt.ArrayLike, seen_C: npt.ArrayLike) -> tuple[DoubleArray, BoolArray]:
    scores, seen = checked_scores(scores_NC), np.asarray(seen_C)
    if seen.dtype != np.bool_ or seen.shape != scores.shape[1:]:
        raise InputError(f"seen should say True or False for each of the {scores.shape[1]:,} classes")
    if seen.all() or not seen.any():
        raise InputError(f"all classes are {'seen' if seen.all() else 'unseen'}; name some of both")
    return scores, seen
