"""Fusion weights: what any give, the exact accuracy along a line of them, the map over three, the choice on half. Along
a line every class's score is linear, so the weights for which a clip is a top-1 hit form one interval: nothing is
sampled. `fusion.predict` rounds to float32 and may differ within a rounding of a breakpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cezsar.arrays import BoolArray, DoubleArray, IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, before_true, decide, fuse, row_blocks
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import MODALITIES, Scores

TOP = 5  # hits are told for this k, beside 1
RUNS = 20  # random halves of the classes

# What some weights give ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Outcome:
    """What some weights give for N clips. Clips of other classes than the chosen ones are not tested, and no hits."""

    weights: Weights
    class_names: list[str]
    truth_N: IntArray  # class index of each tested clip; -1 for the others
    predicted_N: IntArray  # class index of every clip, tested or not; `fusion.UNDECIDED` where all scores are exactly 0
    right_N: BoolArray  # whether the true class is the best
    n_clips: int  # tested
    top1: float  # share of the tested clips whose true class is the best
    top5: float  # is among the five best
    per_class: dict[str, float]  # top-1 accuracy of every class that has clips

    @property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        return sum(self.per_class.values()) / len(self.per_class)


def outcome(scores: Scores, weights: Weights, classes: Sequence[str] | None = None) -> Outcome:
    """What some weights give among some classes, all by default. Raises `InputError` for an unknown class or no
    clip."""
    among = np.unique(scores.indices(classes))
    truth_N, columns = _tested(scores, among), slice(None) if classes is None else among
    predicted_N, before_N = np.empty(len(truth_N), np.int64), np.empty(len(truth_N), np.int32)

    for rows in row_blocks(np.arange(len(truth_N)), 4 * len(scores.class_names)):
        fused_nC = fuse(scores, weights, rows)
        predicted_N[rows] = decide(fused_nC, among)
        before_N[rows] = before_true(fused_nC, truth_N[rows])[:, columns].sum(axis=1, dtype=np.int32)
    counted_N = (truth_N >= 0) & (predicted_N != UNDECIDED)
    right_N = counted_N & (before_N == 0)
    clips_C, hits_C = (
        np.bincount(truth_N[mask_N], minlength=len(scores.class_names)) for mask_N in (truth_N >= 0, right_N)
    )
    per_class = {scores.class_names[c]: hits_C[c].item() / clips_C[c].item() for c in np.flatnonzero(clips_C)}
    n_clips = int(clips_C.sum())
    top1, top5 = (int((counted_N & (before_N < k)).sum()) / n_clips for k in (1, TOP))
    return Outcome(weights, scores.class_names, truth_N, predicted_N, right_N, n_clips, top1, top5, per_class)


def _tested(scores: Scores, among: IntArray) -> IntArray:
    """(N,) the class of each clip of some classes, -1 for others. Raises `InputError` where there is no such clip."""
    truth_N = np.where(np.isin(scores.label_index, among), scores.label_index, -1)
    if not (truth_N >= 0).any():
        raise InputError(f"no clip is labelled with one of the {len(among):,} classes; check the labels of the clips")
    return truth_N


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
    gained_N, lost_N = after.right_N & ~before.right_N, before.right_N & ~after.right_N
    moved_N = (before.predicted_N != after.predicted_N) & (after.truth_N >= 0)
    return Flips(*(np.flatnonzero(mask_N) for mask_N in (gained_N, lost_N, moved_N & ~gained_N & ~lost_N)))


def gains(before: Outcome, after: Outcome) -> list[Gain]:
    """Gained, lost and net clips of every class that has any, the largest net change first, then by most turned."""
    gained, lost = (Counter(after.truth_N[rows].tolist()) for rows in flips(before, after)[:2])
    found = [Gain(after.class_names[c], gained[c], lost[c], gained[c] - lost[c]) for c in sorted(gained | lost)]
    return sorted(found, key=lambda gain: (-abs(gain.net), -gain.gained - gain.lost))


# Accuracy along a line -----------------------------------------------------------------------------------------------


class Best(NamedTuple):
    """Where accuracy, a fraction, is highest: the widest stretch of α, its ends included, with γ on a map."""

    low: float
    high: float
    accuracy: float
    gamma: float = 0.0

    @property
    def weights(self) -> Weights:
        """The middle of the stretch, of a curve over VE and O or a map."""
        alpha = (self.low + self.high) / 2
        return Weights(alpha, max(0.0, 1 - self.gamma - alpha), self.gamma)


@dataclass(frozen=True, eq=False)
class Curve:
    """Top-1 accuracy as a step function of α in [0, 1]; where scores tie at one point, it lasts for one double."""

    start_S: DoubleArray  # ascending from 0: where each step begins
    accuracy_S: DoubleArray  # from there to the next

    @property
    def breakpoints(self) -> DoubleArray:
        """(B,) where accuracy changes, ascending; the first is 0, the last 1."""
        found = np.append(self.start_S, 1.0)
        return np.append(0.0, found[1:][found[1:] > np.nextafter(found[:-1], 2)])

    def at(self, alpha: float | DoubleArray) -> DoubleArray:
        """Accuracy, a fraction, for each α in [0, 1]."""
        return self.accuracy_S[np.searchsorted(self.start_S, alpha, side="right") - 1]

    def best(self) -> Best:
        """The widest stretch of α with the highest accuracy there is; low = high where that is a single point."""
        last_S = np.append(np.nextafter(self.start_S[1:], 0), 1.0)
        highest = self.accuracy_S.max()
        widest = np.where(self.accuracy_S == highest, last_S - self.start_S, -1).argmax()
        return Best(float(self.start_S[widest]), float(last_S[widest]), float(highest))


def fusion_curve(scores: Scores, pair: tuple[str, str] = ("VE", "O"), classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy for every α, as `α pair[0] + (1 - α) pair[1]`; arguments and errors as in `line_curve`."""
    return line_curve(scores, Weights.only(pair[1]), Weights.only(pair[0]), classes)


def gamma_curve(scores: Scores, gamma: float, classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy for every α / (1 - γ), where γ stays and β is what is left of a sum of 1."""
    return line_curve(scores, Weights(0.0, 1 - gamma, gamma), Weights(1 - gamma, 0.0, gamma), classes)


def line_curve(scores: Scores, start: Weights, end: Weights, classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy along `(1 - t) start + t end`; t stands in the place of α. Classes and errors are as in
    `outcome`."""
    assert scores.column_class is not None
    chosen = np.unique(scores.indices(classes))
    truth_N, ends = _tested(scores, chosen), (active(scores, end), active(scores, start))
    columns = np.flatnonzero(np.isin(scores.column_class, chosen))
    class_P = scores.column_class[columns]
    first_K = np.searchsorted(class_P, chosen)
    intervals = []
    for true in chosen:
        for rows in row_blocks(np.flatnonzero(truth_N == true), 4 * len(columns)):
            x_nP, y_nP = (_fused(scores, weights, rows, columns) for weights in ends)
            best_nK = (np.maximum.reduceat(each_nP, first_K, axis=1) for each_nP in (x_nP, y_nP))
            x_blank_n, y_blank_n = (np.asarray(~each_nK.any(axis=1)) for each_nK in best_nK)
            own = np.flatnonzero(class_P == true).tolist()
            intervals += [_where_best(x_nP, y_nP, column, x_blank_n, y_blank_n) for column in own]
    low, high = np.concatenate(intervals, axis=1)
    start_S, step = np.unique(np.concatenate([[0.0], low, high]), return_inverse=True)
    hits_S = np.cumsum(np.bincount(step, np.repeat([0, 1, -1], [1, len(low), len(high)])))
    kept_S = (np.diff(hits_S, prepend=-1) != 0) & (start_S <= 1)
    return Curve(start_S[kept_S], hits_S[kept_S] / np.count_nonzero(truth_N >= 0))


def _fused(scores: Scores, weights: Mapping[str, float], rows: IntArray | slice, columns: IntArray) -> DoubleArray:
    """(n, P) weighted sum in float64 of some rows and columns."""
    parts = [scores.columns[name][rows].take(columns, axis=1) * np.float64(w) for name, w in weights.items()]
    return np.asarray(sum(parts[1:], start=parts[0]))


def _where_best(x_nP: DoubleArray, y_nP: DoubleArray, column: int, x_blank_n: BoolArray, y_blank_n: BoolArray
                ) -> DoubleArray:  # fmt: skip
    """(2, hits) the first α of each clip for which a column has the best of `α x + (1 - α) y`, and the first for which
    it has not again. A tie is won against a later column and lost against an earlier one."""
    lead_nP = y_nP[:, column, None] - y_nP
    slope_nP = x_nP[:, column, None] - x_nP - lead_nP
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_nP = -lead_nP / slope_nP
    rising_nP, falling_nP = np.where(slope_nP > 0, zero_nP, -np.inf), np.where(slope_nP < 0, zero_nP, np.inf)
    low_n, high_n = rising_nP[:, column:].max(axis=1, initial=0), falling_nP[:, :column].min(axis=1, initial=np.inf)
    low_n = np.maximum(low_n, np.nextafter(rising_nP[:, :column].max(axis=1, initial=-np.inf), np.inf))
    high_n = np.minimum(high_n, np.nextafter(falling_nP[:, column:].min(axis=1, initial=1), np.inf))
    low_n[y_blank_n & (low_n == 0)] = np.nextafter(0, 1)
    high_n[x_blank_n] = np.minimum(high_n[x_blank_n], 1)
    behind_nP = lead_nP < 0
    behind_nP[:, :column] |= lead_nP[:, :column] == 0
    hit_n = (low_n < high_n) & ~(behind_nP & (slope_nP == 0)).any(axis=1) & ~(x_blank_n & y_blank_n)
    return np.stack([low_n[hit_n], high_n[hit_n]])


# Three weights -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SimplexMap:
    """Top-1 accuracy over (α, β, γ) of sum 1, exact on lines of constant γ; between them more may be reached."""

    gammas: DoubleArray  # (G,) ascending from 0 to 1
    curves: list[Curve]  # one for each γ, against α / (1 - γ) in [0, 1]; constant for γ = 1

    def grid(self) -> tuple[DoubleArray, DoubleArray]:
        """(K, 3) weights α, β, γ on a triangular grid with the lines' step, and (K,) accuracies there."""
        points, accuracies = [], []
        for left, gamma, curve in zip(range(len(self.gammas))[::-1], self.gammas, self.curves, strict=True):
            share = np.arange(left + 1) / max(1, left)
            points.append(np.column_stack([share * (1 - gamma), (1 - share) * (1 - gamma), gamma + 0 * share]))
            accuracies.append(curve.at(share))
        return np.concatenate(points), np.concatenate(accuracies)

    def best(self) -> Best:
        """The highest accuracy on any line; of equal ones the widest stretch of α, then the smallest γ."""
        found = []
        for gamma, curve in zip(self.gammas.tolist(), self.curves, strict=True):
            low, high, accuracy, _ = curve.best()
            found.append(Best(low * (1 - gamma), high * (1 - gamma), accuracy, gamma))
        return max(found, key=lambda best: (best.accuracy, best.high - best.low))


def simplex_map(scores: Scores, steps: int = 20, classes: Sequence[str] | None = None) -> SimplexMap:
    """Exact accuracy along `steps` lines of constant γ and at γ = 1, of scores with VE, O and C; see `line_curve`."""
    gammas = np.arange(steps + 1) / steps
    return SimplexMap(gammas, [gamma_curve(scores, gamma, classes) for gamma in gammas.tolist()])


# Chosen on one half of the classes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChosenOnHalf:
    """Weights chosen on random halves of the classes; top-1 accuracies are told on the other half, a number a run."""

    weights: list[Weights]  # best on one half: the middle of the widest best stretch
    accuracies: list[float]  # with these on the other half
    fixed: dict[str, list[float]]  # name -> accuracies with fixed weights
    best: list[float]  # the highest that any weights reach there, each chosen on the very classes it is told on


def choose_on_half(scores: Scores, modalities: Sequence[str] = ("VE", "O"), *,
                   fixed: Mapping[str, Weights] | None = None, steps: int = 10, runs: int = RUNS,
                   seed: int = 0) -> ChosenOnHalf:  # fmt: skip
    """Choose weights on random halves of the classes: unlike those best on the test classes, they flatter no figure.
    The share of two `modalities` is chosen, or of all three. Raises `InputError` where fewer than four classes have
    clips."""
    names = [scores.class_names[index] for index in np.unique(scores.label_index[scores.label_index >= 0])]
    if len(names) < 4:
        raise InputError("weights can be chosen on half of the classes where there are four or more with clips")
    found = ChosenOnHalf([], [], {name: [] for name in fixed or {}}, [])
    for half in random_classes(names, len(names) // 2, runs, seed).splits:
        others = [name for name in names if name not in half]
        chosen, _ = _searched(scores, modalities, half, steps)
        found.weights.append(chosen)
        found.accuracies.append(outcome(scores, chosen, others).top1)
        found.best.append(_searched(scores, modalities, others, steps)[1])
        for name, weights in (fixed or {}).items():
            found.fixed[name].append(outcome(scores, weights, others).top1)
    return found


def _searched(scores: Scores, modalities: Sequence[str], classes: Sequence[str], steps: int) -> tuple[Weights, float]:
    """The best weights for some classes, and top-1 accuracy with these."""
    if len(modalities) == 2:
        pair = (modalities[0], modalities[1])
        best = fusion_curve(scores, pair, classes).best()
        return of_pair(pair, (best.low + best.high) / 2), best.accuracy
    best = simplex_map(scores, steps, classes).best()
    return best.weights, best.accuracy


def share(weights: Weights, pair: tuple[str, str]) -> float:
    """α / (α + β) of two modalities; 1 where neither counts."""
    first, second = (weights.of(name) for name in pair)
    return first / (first + second) if first + second else 1.0


def of_pair(pair: tuple[str, str], alpha: float) -> Weights:
    """Weights α and 1 - α of two modalities."""
    values = {pair[0]: alpha, pair[1]: 1 - alpha}
    return Weights(*(values.get(name, 0.0) for name in MODALITIES))
