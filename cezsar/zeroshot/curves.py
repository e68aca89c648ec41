"""Accuracy as an exact step function of α, for two modalities and β = 1 - α; or along any line through (α, β, γ).

With two modalities every class scores `α x + (1 - α) y`, linear in α, and so is the lead of the true class over any
other. The α for which a clip is a top-1 hit are those for which no lead is negative: one interval, whose ends are
crossings `-d / s` of a lead that starts at d and has slope s. All ends, sorted, are where the accuracy can change;
nothing is sampled.

The curve is that of real numbers, where `fusion.predict` rounds scores to float32: within a rounding of a breakpoint
the two may differ. Ties and undecided clips are as in `predict`: of equal scores the lower class index wins, and a clip
whose scores are all 0 is no hit. One point is not told: with several sentences a class, a clip is taken as decided at
an α inside (0, 1) where the nearest sentences of all classes, but not all sentences, happen to cancel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import ENTRIES_AT_ONCE, Weights, active
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Best(NamedTuple):
    """Where a curve is highest: the widest stretch of α, in [0, 1], and the accuracy there, a fraction.

    An end belongs to the stretch where the accuracy there says so; the middle always does.
    """

    low: float
    high: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Curve:
    """A step function on [0, 1].

    Attributes:
        alpha: (B,) breakpoints, ascending; the first is 0, the last 1.
        on_B: accuracy exactly at each breakpoint, where scores tie.
        between_B: (B - 1,) accuracy anywhere between a breakpoint and the next.
        clips: how many clips were tested.
    """

    alpha: DoubleArray
    on_B: DoubleArray
    between_B: DoubleArray
    clips: int

    def at(self, alpha: float | DoubleArray) -> DoubleArray:
        """Accuracy, a fraction, for each α in [0, 1].

        Raises:
            InputError: an α outside.
        """
        wanted = np.asarray(alpha, np.float64)
        if not ((wanted >= 0) & (wanted <= 1)).all():
            raise InputError("a fusion curve is defined for alpha from 0 to 1, with beta = 1 - alpha")
        left = np.searchsorted(self.alpha, wanted, side="right") - 1
        inside = np.minimum(left, len(self.between_B) - 1)
        return np.where(self.alpha[left] == wanted, self.on_B[left], self.between_B[inside])

    def best(self) -> Best:
        """The widest stretch of α with the highest accuracy there is; low = high where that is a single point."""
        steps = _interleaved(self.on_B, self.between_B)
        top = np.flatnonzero(steps == steps.max())
        stretches = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
        ends = [(self.alpha[stretch[0] // 2], self.alpha[(stretch[-1] + 1) // 2]) for stretch in stretches]
        low, high = max(ends, key=lambda end: end[1] - end[0])
        return Best(float(low), float(high), float(steps.max()))


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of a protocol's runs, and their mean and spread on the breakpoints of all of them.

    Attributes:
        curves: one a run.
        alpha: (B,) breakpoints of any of the curves, ascending, from 0 to 1.
        mean_B: mean over runs between a breakpoint and the next, (B - 1,).
        std_B: sample standard deviation over runs (ddof = 1) there; 0 with one run.
    """

    curves: list[Curve]
    alpha: DoubleArray
    mean_B: DoubleArray
    std_B: DoubleArray

    def at(self, alpha: float | DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Mean and sample standard deviation over runs for each α in [0, 1], breakpoints included.

        Raises:
            InputError: an α outside.
        """
        each_R = np.stack([curve.at(alpha) for curve in self.curves])
        std = each_R.std(axis=0, ddof=1) if len(each_R) > 1 else np.zeros(each_R.shape[1:])
        return each_R.mean(axis=0), std

    def best(self) -> Best:
        """The widest stretch between neighbouring breakpoints with the highest mean."""
        widths = np.diff(self.alpha)
        near_top = np.flatnonzero(self.mean_B >= self.mean_B.max() - 1e-12)
        first = int(near_top[widths[near_top].argmax()])
        return Best(float(self.alpha[first]), float(self.alpha[first + 1]), float(self.mean_B[first]))


def fusion_curve(scores: Scores, pair: tuple[str, str] = ("VE", "O"), classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy for every α in [0, 1], as `α pair[0] + (1 - α) pair[1]`.

    Args:
        pair: two modalities of the scores.
        classes: names, in any spelling, of the classes to choose from; all by default. Clips of others do not count.

    Raises:
        InputError: a modality that the scores lack, an unknown class, or no clip of the classes.
    """
    return line_curve(scores, *_corners(scores, pair), classes)


def line_curve(scores: Scores, start: Weights, end: Weights, classes: Sequence[str] | None = None) -> Curve:
    """Top-1 accuracy along a straight line through the weights: `(1 - t) start + t end` for every t in [0, 1].

    With three modalities, any line in the (α, β, γ) simplex; t stands in the place of α of a `Curve`. Weights are
    multiplied in float64.

    Raises:
        InputError: as `fusion_curve` does, or an end that leaves no modality.
    """
    names = scores.class_names if classes is None else resolve(classes, scores.class_names)
    assert scores.column_class is not None
    index = {name: position for position, name in enumerate(scores.class_names)}
    chosen = np.sort([index[name] for name in names])
    columns = np.flatnonzero(np.isin(scores.column_class, chosen))
    ends = active(scores, end), active(scores, start)
    spans: list[_Spans] = []
    class_P = scores.column_class[columns]
    by_class = np.argsort(scores.label_index, kind="stable")
    starts = np.searchsorted(scores.label_index[by_class], [chosen, chosen + 1]).T
    block = max(1, ENTRIES_AT_ONCE // (4 * len(columns)))
    for true, (first_row, last_row) in zip(chosen, starts, strict=True):
        first, last = np.searchsorted(class_P, [true, true + 1])
        for row in range(first_row, last_row, block):
            rows = by_class[row : min(row + block, last_row)]
            x_nP, y_nP = (_fused(scores, weights, rows, columns) for weights in ends)
            spans += _spans(x_nP, y_nP, class_P, int(first), int(last))
    clips = int((starts[:, 1] - starts[:, 0]).sum())
    if not clips:
        raise InputError(f"no clip is labelled with one of the {len(names):,} classes; check the labels of the clips")
    return _curve(spans, clips)


def fusion_curves(scores: Scores, protocol: Protocol, pair: tuple[str, str] = ("VE", "O")) -> Curves:
    """`fusion_curve` of every run of a protocol, and their mean and standard deviation at every α.

    Raises:
        InputError: as `fusion_curve` does.
    """
    return line_curves(scores, protocol, *_corners(scores, pair))


def line_curves(scores: Scores, protocol: Protocol, start: Weights, end: Weights) -> Curves:
    """`line_curve` of every run of a protocol, and their mean and standard deviation at every t.

    Raises:
        InputError: as `line_curve` does.
    """
    return together([line_curve(scores, start, end, names) for names in protocol.splits])


def together(curves: list[Curve]) -> Curves:
    """Curves along the same line, and their mean and standard deviation everywhere on it."""
    alpha, place = np.unique(np.concatenate([curve.alpha[:-1] for curve in curves]), return_inverse=True)
    runs = len(curves)
    centre = sum(curve.between_B[0] for curve in curves) / runs  # squares of small numbers lose fewer digits
    values = [curve.between_B - centre for curve in curves]
    # What each run adds to the sums where it steps; between, the sums stay.
    sums_B, squares_B = (
        np.cumsum(np.bincount(place, np.concatenate([np.diff(value**power, prepend=0) for value in values])))
        for power in (1, 2)
    )
    spread_B = np.maximum(squares_B - sums_B**2 / runs, 0)
    std_B = np.sqrt(spread_B / (runs - 1)) if runs > 1 else np.zeros(len(alpha))
    return Curves(curves, np.append(alpha, 1.0), centre + sums_B / runs, std_B)


def _corners(scores: Scores, pair: tuple[str, str]) -> tuple[Weights, Weights]:
    """The ends of the line from the second modality alone to the first alone."""
    if lacking := [name for name in pair if name not in scores.columns]:
        raise InputError(
            f"the clips have no {lacking[0]}, only {' and '.join(scores.modalities)}; a curve needs two modalities"
        )
    return Weights.only(pair[1]), Weights.only(pair[0])


def _fused(scores: Scores, weights: dict[str, float], rows: IntArray, columns: IntArray) -> DoubleArray:
    """(n, P) weighted sum of some rows and columns in float64; one modality of weight 1 is taken as it is."""
    total: DoubleArray | None = None
    for name, weight in weights.items():
        matrix_NP = scores.columns[name]
        part_nP = matrix_NP[rows] if len(columns) == matrix_NP.shape[1] else matrix_NP[rows].take(columns, axis=1)
        weighted_nP = part_nP.astype(np.float64)
        if weight != 1:
            weighted_nP *= weight
        total = weighted_nP if total is None else total + weighted_nP
    assert total is not None
    return total


class _Spans(NamedTuple):
    """Intervals of α in [0, 1] for which clips are hits; those of one clip do not overlap."""

    low: DoubleArray
    high: DoubleArray
    low_open: npt.NDArray[np.bool_]
    high_open: npt.NDArray[np.bool_]


def _spans(x_nP: DoubleArray, y_nP: DoubleArray, class_P: IntArray, first: int, last: int) -> list[_Spans]:
    """Where clips whose true class has columns `first` to `last` are hits: each own column is tried as the best one."""
    starts = np.flatnonzero(np.diff(class_P, prepend=-1))
    if first > 0:  # where all scores are 0, the first class wins the tie; for others there is nothing to take back
        return [_where_best(x_nP, y_nP, column, *np.zeros((2, len(x_nP)), np.bool_)) for column in range(first, last)]
    x_blank_n, y_blank_n = ((np.maximum.reduceat(part, starts, axis=1) == 0).all(axis=1) for part in (x_nP, y_nP))
    crossing_n = _where_blank(x_nP, y_nP)
    usual = np.isnan(crossing_n) & ~(x_blank_n & y_blank_n)
    ends = x_blank_n[usual], y_blank_n[usual]
    found = [_where_best(x_nP[usual], y_nP[usual], column, *ends) for column in range(first, last)]
    # Lines that all meet in one point, at 0: the steepest wins on the right of it, the least steep on the left.
    meet = np.flatnonzero(crossing_n >= 0)
    slope_mP, at_m = x_nP[meet] - y_nP[meet], crossing_n[meet]
    right = slope_mP[:, first:last].max(axis=1, initial=-np.inf) == slope_mP.max(axis=1, initial=-np.inf)
    left = slope_mP[:, first:last].min(axis=1, initial=np.inf) == slope_mP.min(axis=1, initial=np.inf)
    for side, low, high in ((right, at_m, np.ones(len(meet))), (left, np.zeros(len(meet)), at_m)):
        opened = np.ones(np.count_nonzero(side), np.bool_)
        found.append(_Spans(low[side], high[side], opened & (low is at_m), opened & (high is at_m)))
    return found


def _where_best(
    x_nP: DoubleArray,
    y_nP: DoubleArray,
    column: int,
    x_blank_n: npt.NDArray[np.bool_],
    y_blank_n: npt.NDArray[np.bool_],
) -> _Spans:
    """Where a column is the best one: no other scores more, and none before it the same. A blank end is no hit."""
    lead_x_nP, lead_y_nP = x_nP[:, column, None] - x_nP, y_nP[:, column, None] - y_nP
    slope_nP = lead_x_nP - lead_y_nP
    with np.errstate(divide="ignore", invalid="ignore"):
        zero_nP = -lead_y_nP / slope_nP
    rising_nP = np.where(slope_nP > 0, zero_nP, -np.inf)
    falling_nP = np.where(slope_nP < 0, zero_nP, np.inf)
    behind_nP = lead_y_nP < 0
    behind_nP[:, :column] |= lead_y_nP[:, :column] == 0
    possible_n = ~(behind_nP & (slope_nP == 0)).any(axis=1)
    # A tie with an earlier column is lost, so the interval is open there; one with a later column is won.
    low_lost_n = rising_nP[:, :column].max(axis=1, initial=-np.inf)
    low_n = np.maximum(rising_nP[:, column:].max(axis=1), np.maximum(low_lost_n, 0))
    high_lost_n = falling_nP[:, :column].min(axis=1, initial=np.inf)
    high_n = np.minimum(falling_nP[:, column:].min(axis=1), np.minimum(high_lost_n, 1))
    low_open_n = (low_lost_n == low_n) | (y_blank_n & (low_n == 0))
    high_open_n = (high_lost_n == high_n) | (x_blank_n & (high_n == 1))
    hit_n = possible_n & ((low_n < high_n) | ((low_n == high_n) & ~low_open_n & ~high_open_n))
    return _Spans(low_n[hit_n], high_n[hit_n], low_open_n[hit_n], high_open_n[hit_n])


def _where_blank(x_nP: DoubleArray, y_nP: DoubleArray) -> DoubleArray:
    """(n,) the α inside (0, 1) at which all scores of a clip are 0: y = -α / (1 - α) x. NaN if there is none."""
    at_n = np.full(len(x_nP), np.nan)
    opposite = np.flatnonzero((np.sign(x_nP) == -np.sign(y_nP)).all(axis=1) & x_nP.any(axis=1))
    x_mP, y_mP = x_nP[opposite], y_nP[opposite]
    largest_m1 = np.abs(x_mP).argmax(axis=1)[:, None]
    x_m1, y_m1 = (np.take_along_axis(part_mP, largest_m1, axis=1) for part_mP in (x_mP, y_mP))
    proportional_m = (x_mP * y_m1 == y_mP * x_m1).all(axis=1)  # exact: products of float32 fit into float64
    at_n[opposite[proportional_m]] = (y_m1 / (y_m1 - x_m1))[proportional_m, 0]
    return at_n


def _curve(spans: list[_Spans], clips: int) -> Curve:
    """Count how many intervals hold each breakpoint and each piece between two."""
    low, high, low_open, high_open = (np.concatenate(parts) for parts in zip(*spans, strict=True))
    alpha_B = np.unique(np.concatenate([[0.0, 1.0], low, high]))
    # Points have even places, the pieces after them odd ones.
    first = 2 * np.searchsorted(alpha_B, low) + low_open
    after = 2 * np.searchsorted(alpha_B, high) + 1 - high_open
    n_places = 2 * len(alpha_B)
    opened, closed = (np.bincount(places, minlength=n_places) for places in (first, after))
    hits = np.cumsum(opened - closed)[: n_places - 1]
    on_B, between_B = hits[::2], hits[1::2]
    steps_B = np.ones(len(alpha_B), np.bool_)
    steps_B[1:-1] = (on_B[1:-1] != between_B[:-1]) | (on_B[1:-1] != between_B[1:])
    return Curve(alpha_B[steps_B], on_B[steps_B] / clips, between_B[steps_B[:-1]] / clips, clips)


def _interleaved(on_B: DoubleArray, between_B: DoubleArray) -> DoubleArray:
    """Point, piece, point, ..., point."""
    steps = np.empty(len(on_B) + len(between_B))
    steps[::2], steps[1::2] = on_B, between_B
    return steps
