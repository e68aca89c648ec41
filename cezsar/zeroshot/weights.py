"""Fusion weights: what any give, the exact accuracy along a line of them, the map over three, the choice on half.

Along a line of weights every class's score is linear, and so is its lead over any other. The weights for which a clip
is a top-1 hit are those for which no lead of its true class is negative: one interval, whose ends are crossings. All
ends, sorted, are where the accuracy can change; nothing is sampled. This is in real numbers: `fusion.predict` rounds
scores to float32, and may differ within a rounding of a breakpoint. A clip that scores 0 for all classes at an end of
the line is no hit there; one whose modalities cancel out exactly at a point inside counts as a tie at that point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cezsar.arrays import BoolArray, DoubleArray, IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import MODALITIES
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, before_true, decide, fuse_rows, row_blocks
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import Scores

TOP = 5  # hits are told for this k, beside 1
RUNS = 20  # random halves of the classes

# What some weights give ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Outcome:
    """What some weights give for N clips. Clips of other classes than the chosen ones are not tested, and no hits.

    Attributes:
        weights: α, β, γ.
        class_names: of the scores, in their order.
        truth_N: class index of each tested clip; -1 for the others.
        predicted_N: class index of every clip, tested or not; `UNDECIDED` (-1) where all scores are exactly 0.
        top1_N: whether the true class is the best.
        top5_N: whether it is among the five best.
    """

    weights: Weights
    class_names: list[str]
    truth_N: IntArray
    predicted_N: IntArray
    top1_N: BoolArray
    top5_N: BoolArray

    @cached_property
    def n_clips(self) -> int:
        """Clips tested."""
        return int((self.truth_N >= 0).sum())

    @property
    def top1(self) -> float:
        """Share of tested clips that are top-1 hits."""
        return int(self.top1_N.sum()) / self.n_clips

    @property
    def top5(self) -> float:
        """Share of tested clips that are top-5 hits."""
        return int(self.top5_N.sum()) / self.n_clips

    @cached_property
    def per_class(self) -> dict[str, float]:
        """Top-1 accuracy of every class that has clips."""
        hits_C, clips_C = self.count(self.top1_N).tolist(), self.count(self.truth_N >= 0).tolist()
        found = zip(self.class_names, hits_C, clips_C, strict=True)
        return {name: hits / clips for name, hits, clips in found if clips}

    @property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        return sum(self.per_class.values()) / len(self.per_class)

    def count(self, mask_N: BoolArray) -> IntArray:
        """(C,) clips of each class in a mask of tested clips."""
        return np.bincount(self.truth_N[mask_N], minlength=len(self.class_names))


def outcome(scores: Scores, weights: Weights, classes: Sequence[str] | None = None) -> Outcome:
    """What some weights give among some classes, all by default: as `evaluation.evaluate` and `fusion.predict` do.

    Raises:
        InputError: an unknown class, no clip of the classes, or weights that leave no modality.
    """
    among = np.unique(scores.indices(classes))
    truth_N = np.where(np.isin(scores.label_index, among), scores.label_index, -1)
    _refuse_untested(bool((truth_N >= 0).any()), len(among))
    counted = active(scores, weights)
    predicted_N = np.empty(len(truth_N), np.int64)
    ahead_N = np.empty(len(truth_N), np.int32)
    for rows in row_blocks(np.arange(len(truth_N)), 4 * len(scores.class_names)):
        fused_nC = fuse_rows(scores, counted, rows)
        predicted_N[rows] = decide(fused_nC, among)
        before_nC = before_true(fused_nC, truth_N[rows])
        if len(among) < fused_nC.shape[1]:
            before_nC = before_nC[:, among]
        ahead_N[rows] = before_nC.sum(axis=1, dtype=np.int32)
    counts_N = (truth_N >= 0) & (predicted_N != UNDECIDED)
    hits = (counts_N & (ahead_N < k) for k in (1, TOP))
    return Outcome(weights, scores.class_names, truth_N, predicted_N, *hits)


def _refuse_untested(tested: bool, n_classes: int) -> None:
    if not tested:
        raise InputError(f"no clip is labelled with one of the {n_classes:,} classes; check the labels of the clips")


class Flips(NamedTuple):
    """Clips, as ascending row numbers, that became right, became wrong, or went from one wrong class to another."""

    gained: IntArray
    lost: IntArray
    changed: IntArray


class Gain(NamedTuple):
    """Clips of one class that became right and wrong, and the difference."""

    name: str
    gained: int
    lost: int
    net: int


def flips(before: Outcome, after: Outcome) -> Flips:
    """Which predictions turned between two outcomes for the same clips; clips that `after` tests count."""
    gained_N, lost_N = after.top1_N & ~before.top1_N, before.top1_N & ~after.top1_N
    moved_N = (before.predicted_N != after.predicted_N) & (after.truth_N >= 0)
    return Flips(*(np.flatnonzero(mask_N) for mask_N in (gained_N, lost_N, moved_N & ~gained_N & ~lost_N)))


def gains(before: Outcome, after: Outcome) -> list[Gain]:
    """Gained, lost and net clips of every class that has any, the largest net change first, then by most turned."""
    gained_C, lost_C = after.count(after.top1_N & ~before.top1_N), after.count(before.top1_N & ~after.top1_N)
    found = [
        Gain(after.class_names[c], int(gained_C[c]), int(lost_C[c]), int(gained_C[c] - lost_C[c]))
        for c in np.flatnonzero(gained_C + lost_C)
    ]
    return sorted(found, key=lambda gain: (-abs(gain.net), -gain.gained - gain.lost))


# Accuracy along a line -----------------------------------------------------------------------------------------------


class Best(NamedTuple):
    """Where a curve is highest: the widest stretch of α and the accuracy inside, a fraction."""

    low: float
    high: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Curve:
    """Top-1 accuracy as a step function of α in [0, 1].

    Attributes:
        alpha: (B,) breakpoints, ascending; the first is 0, the last 1.
        on_B: accuracy exactly at each breakpoint, where scores tie.
        between_B: (B - 1,) accuracy anywhere between a breakpoint and the next.
    """

    alpha: DoubleArray
    on_B: DoubleArray
    between_B: DoubleArray

    def at(self, alpha: float | DoubleArray) -> DoubleArray:
        """Accuracy, a fraction, for each α in [0, 1]."""
        wanted = np.asarray(alpha, np.float64)
        left = np.searchsorted(self.alpha, wanted, side="right") - 1
        inside = np.minimum(left, len(self.between_B) - 1)
        return np.where(self.alpha[left] == wanted, self.on_B[left], self.between_B[inside])

    def best(self) -> Best:
        """The widest stretch of α with the highest accuracy there is; low = high where that is a single point."""
        steps = np.append(np.stack([self.on_B[:-1], self.between_B], axis=1), self.on_B[-1])  # point, piece, point, ...
        top = np.flatnonzero(steps == steps.max())
        stretches = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
        ends = [(self.alpha[stretch[0] // 2], self.alpha[(stretch[-1] + 1) // 2]) for stretch in stretches]
        low, high = max(ends, key=lambda end: end[1] - end[0])
        return Best(float(low), float(high), float(steps.max()))


def fusion_curve(scores: Scores, pair: tuple[str, str] = ("VE", "O"), classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy for every α, as `α pair[0] + (1 - α) pair[1]`; arguments and errors as in `line_curve`."""
    return line_curve(scores, Weights.only(pair[1]), Weights.only(pair[0]), classes)


def line_curve(scores: Scores, start: Weights, end: Weights, classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy along a straight line of weights, `(1 - t) start + t end`; t stands in the place of α.

    Classes to choose from are names in any spelling, all by default; clips of others do not count.

    Raises:
        InputError: an unknown class, no clip of the classes, or an end that leaves no modality.
    """
    assert scores.column_class is not None
    chosen = np.unique(scores.indices(classes))
    columns = np.flatnonzero(np.isin(scores.column_class, chosen))
    class_P = scores.column_class[columns]
    ends = active(scores, end), active(scores, start)
    spans: list[_Spans] = []
    clips = 0
    for true in chosen:
        rows = np.flatnonzero(scores.label_index == true)
        clips += len(rows)
        for block in row_blocks(rows, 4 * len(columns)):
            x_nP, y_nP = (_fused(scores, weights, block, columns) for weights in ends)
            blank_n = _is_blank(x_nP, class_P), _is_blank(y_nP, class_P)
            spans += [_where_best(x_nP, y_nP, column, *blank_n) for column in np.flatnonzero(class_P == true).tolist()]
    _refuse_untested(clips > 0, len(chosen))
    return _curve(spans, clips)


_Spans = tuple[DoubleArray, DoubleArray, BoolArray, BoolArray]
"""Intervals of α in [0, 1] for which clips are hits: low ends, high ends, which of them are open."""


def _fused(scores: Scores, weights: Mapping[str, float], rows: IntArray | slice, columns: IntArray) -> DoubleArray:
    """(n, P) weighted sum in float64 of some rows and columns."""
    parts = (scores.columns[name][rows].take(columns, axis=1) * np.float64(w) for name, w in weights.items())
    total: DoubleArray = next(parts)
    for part in parts:
        total += part
    return total


def _is_blank(scores_nP: DoubleArray, class_P: IntArray) -> BoolArray:
    """(n,) whether all classes score 0."""
    starts = np.flatnonzero(np.diff(class_P, prepend=-1))
    blank_n: BoolArray = (np.maximum.reduceat(scores_nP, starts, axis=1) == 0).all(axis=1)
    return blank_n


def _where_best(
    x_nP: DoubleArray, y_nP: DoubleArray, column: int, x_blank_n: BoolArray, y_blank_n: BoolArray
) -> _Spans:
    """Where a column has the best of the scores `α x + (1 - α) y`: none is higher, and none before it the same."""
    lead_nP = y_nP[:, column, None] - y_nP
    slope_nP = x_nP[:, column, None] - x_nP - lead_nP
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_nP = -lead_nP / slope_nP
    rising_nP = np.where(slope_nP > 0, zero_nP, -np.inf)
    falling_nP = np.where(slope_nP < 0, zero_nP, np.inf)
    behind_nP = lead_nP < 0
    behind_nP[:, :column] |= lead_nP[:, :column] == 0
    hit_n = ~(behind_nP & (slope_nP == 0)).any(axis=1) & ~(x_blank_n & y_blank_n)
    # A tie with an earlier column is lost, so the interval is open there; one with a later column is won.
    low_lost_n = rising_nP[:, :column].max(axis=1, initial=-np.inf)
    low_n = np.maximum(rising_nP.max(axis=1), 0)
    high_lost_n = falling_nP[:, :column].min(axis=1, initial=np.inf)
    high_n = np.minimum(falling_nP.min(axis=1), 1)
    low_open_n = (low_lost_n == low_n) | (y_blank_n & (low_n == 0))
    high_open_n = (high_lost_n == high_n) | (x_blank_n & (high_n == 1))
    hit_n &= (low_n < high_n) | ((low_n == high_n) & ~low_open_n & ~high_open_n)
    return low_n[hit_n], high_n[hit_n], low_open_n[hit_n], high_open_n[hit_n]


def _curve(spans: list[_Spans], clips: int) -> Curve:
    """Count how many intervals hold each breakpoint and each piece between two."""
    low, high, low_open, high_open = (np.concatenate(parts) for parts in zip(*spans, strict=True))
    alpha_B = np.unique(np.concatenate([[0.0, 1.0], low, high]))
    first = 2 * np.searchsorted(alpha_B, low) + low_open  # points have even places, the pieces after them odd ones
    after = 2 * np.searchsorted(alpha_B, high) + 1 - high_open
    opened, closed = (np.bincount(places, minlength=2 * len(alpha_B)) for places in (first, after))
    hits = np.cumsum(opened - closed)[: 2 * len(alpha_B) - 1]
    on_B, between_B = hits[::2], hits[1::2]
    steps_B = np.ones(len(alpha_B), np.bool_)
    steps_B[1:-1] = (on_B[1:-1] != between_B[:-1]) | (on_B[1:-1] != between_B[1:])
    return Curve(alpha_B[steps_B], on_B[steps_B] / clips, between_B[steps_B[:-1]] / clips)


# Three weights -------------------------------------------------------------------------------------------------------


class Peak(NamedTuple):
    """The best weights: the middle of the widest stretch of the best line, from α = `low` to `high` with the same γ."""

    weights: Weights
    low: float
    high: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class SimplexMap:
    """Top-1 accuracy over (α, β, γ) of sum 1, where γ is one of a few values and α anything.

    It is exact on these lines, and between them nothing is known: the whole simplex may reach more than `best`.

    Attributes:
        gammas: (G,) ascending from 0 to 1.
        curves: one for each γ below 1, against α / (1 - γ) in [0, 1].
        corner: accuracy at γ = 1, captions alone.
    """

    gammas: DoubleArray
    curves: list[Curve]
    corner: float

    def grid(self) -> tuple[DoubleArray, DoubleArray]:
        """(K, 3) weights α, β, γ on a triangular grid with the lines' step, and (K,) accuracies there."""
        steps = len(self.gammas) - 1
        points, accuracies = [], []
        for line, (gamma, curve) in enumerate(zip(self.gammas, self.curves, strict=False)):
            share = np.arange(steps - line + 1) / (steps - line)
            weights = share * (1 - gamma), (1 - share) * (1 - gamma), np.full_like(share, gamma)
            points.append(np.stack(weights, axis=1))
            accuracies.append(curve.at(share))
        return np.concatenate([*points, [[0.0, 0.0, 1.0]]]), np.append(np.concatenate(accuracies), self.corner)

    def best(self) -> Peak:
        """The highest accuracy on any line; of equal ones the widest stretch of α, then the smallest γ."""
        stretches = [(curve.best(), 1 - gamma) for curve, gamma in zip(self.curves, self.gammas.tolist(), strict=False)]
        stretch, left = max(stretches, key=lambda found: (found[0].accuracy, found[1] * (found[0].high - found[0].low)))
        if self.corner > stretch.accuracy:
            return Peak(Weights.only("C"), 0.0, 0.0, self.corner)
        low, high = stretch.low * left, stretch.high * left
        middle = (low + high) / 2
        return Peak(Weights(middle, max(0.0, left - middle), 1 - left), low, high, stretch.accuracy)


def simplex_map(scores: Scores, steps: int = 20, classes: Sequence[str] | None = None) -> SimplexMap:
    """Exact accuracy along `steps` lines of constant γ and at the corner γ = 1, of scores with VE, O and C.

    Classes and errors are as in `line_curve`.
    """
    gammas = np.arange(steps + 1) / steps
    curves = [gamma_curve(scores, gamma, classes) for gamma in gammas[:-1].tolist()]
    return SimplexMap(gammas, curves, _top1(scores, Weights.only("C"), classes))


def gamma_curve(scores: Scores, gamma: float, classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy for every α / (1 - γ), where γ below 1 stays and β is what is left of a sum of 1."""
    return line_curve(scores, Weights(0.0, 1 - gamma, gamma), Weights(1 - gamma, 0.0, gamma), classes)


def _top1(scores: Scores, weights: Weights, classes: Sequence[str] | None) -> float:
    """Top-1 accuracy with some weights: a line of no length."""
    return float(line_curve(scores, weights, weights, classes).on_B[0])


# Chosen on one half of the classes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChosenOnHalf:
    """Weights chosen on random halves of the classes; top-1 accuracies are told on the other half, a number a run.

    Attributes:
        weights: those that are best on one half: the middle of the widest best stretch.
        accuracies: with these on the other half.
        fixed: name -> accuracies with fixed weights.
        best: the highest that any weights reach there, each chosen on the very classes it is told on.
    """

    weights: list[Weights]
    accuracies: list[float]
    fixed: dict[str, list[float]]
    best: list[float]


def choose_on_half(
    scores: Scores,
    modalities: Sequence[str] = ("VE", "O"),
    *,
    fixed: Mapping[str, Weights] | None = None,
    steps: int = 10,
    runs: int = RUNS,
    seed: int = 0,
) -> ChosenOnHalf:
    """Choose weights on random halves of the classes: unlike those best on the test classes, they flatter no figure.

    Args:
        modalities: two, whose share is chosen, or all three.
        fixed: name -> weights to compare with.
        steps: of the maps over three weights (`simplex_map`).

    Raises:
        InputError: fewer than four classes have clips, a modality is lacking, or weights leave none.
    """
    names = [scores.class_names[index] for index in np.unique(scores.label_index[scores.label_index >= 0])]
    if len(names) < 4:
        raise InputError("weights can be chosen on half of the classes where there are four or more with clips")
    found = ChosenOnHalf([], [], {name: [] for name in fixed or {}}, [])
    for half in random_classes(names, len(names) // 2, runs, seed).splits:
        chosen, _, _ = _searched(scores, modalities, half, steps)
        _, best, top1 = _searched(scores, modalities, [name for name in names if name not in half], steps)
        found.weights.append(chosen)
        found.accuracies.append(top1(chosen))
        found.best.append(best)
        for name, weights in (fixed or {}).items():
            found.fixed[name].append(top1(weights))
    return found


def _searched(
    scores: Scores, modalities: Sequence[str], classes: Sequence[str], steps: int
) -> tuple[Weights, float, Callable[[Weights], float]]:
    """The best weights for some classes, top-1 accuracy with these, and a function that tells it for any weights."""
    if len(modalities) == 2:
        pair = (modalities[0], modalities[1])
        curve = fusion_curve(scores, pair, classes)
        low, high, accuracy = curve.best()
        return of_pair(pair, (low + high) / 2), accuracy, lambda weights: float(curve.at(share(weights, pair)))
    peak = simplex_map(scores, steps, classes).best()
    return peak.weights, peak.accuracy, lambda weights: _top1(scores, weights, classes)


def share(weights: Weights, pair: tuple[str, str]) -> float:
    """α / (α + β) of two modalities; 1 where neither counts."""
    first, second = (weights.of(name) for name in pair)
    return first / (first + second) if first + second else 1.0


def of_pair(pair: tuple[str, str], alpha: float) -> Weights:
    """Weights α and 1 - α of two modalities."""
    values = {pair[0]: alpha, pair[1]: 1 - alpha}
    return Weights(*(values.get(name, 0.0) for name in MODALITIES))
