"""Comparison: is one method better than another on the same clips and splits, by how much, and where.

Both methods are asked about the same clips, so what counts is their difference, clip for clip: it varies much less than
either accuracy does. Everything here is a function of `Hits`; differences are a - b, above 0 where a is better.

How sure the difference is, `bootstrap` says with intervals, and sign tests by counting wins and losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.analysis.bootstrap import LEVEL, RESAMPLES, Interval, intervals
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.zeroshot.hits import NOT_TESTED, Hits

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.int8]

VERSION = 1
ROUNDING = 1e-12  # means of fractions that differ by less are equal


@dataclass(frozen=True)
class Tally:
    """How often a was better, b was, and neither.

    Attributes:
        p: of the exact two-sided sign test: how probable wins and losses at least as uneven are if either is as
            likely. Ties are left out; with nothing else it is 1. Nothing is corrected for several tests.
    """

    wins: int
    losses: int
    ties: int
    p: float


@dataclass(frozen=True)
class RunDifference:
    """One run.

    Attributes:
        clips: tested.
        a, b: top-1 accuracies.
        difference: a - b.
        videos: clips that only a gets right, that only b does, and the others. The sign test over these is McNemar's
            exact test (Psychometrika 12, 1947; for classifiers Dietterich, Neural Computation 10, 1998).
    """

    clips: int
    a: float
    b: float
    difference: float
    videos: Tally


@dataclass(frozen=True)
class ClassDifference:
    """One class.

    Attributes:
        name: its label.
        clips: tested in at least one run.
        runs: that tested the class.
        a, b: accuracies over its clips, mean over these runs.
        difference: a - b.
        wins: answers, of all runs, that only a got right.
        losses: answers that only b got right.
    """

    name: str
    clips: int
    runs: int
    a: float
    b: float
    difference: float
    wins: int
    losses: int


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same clips and runs.

    Attributes:
        a, b: their names.
        protocol: name of the runs' protocol.
        seed: of its random choice of classes; None where nothing was random.
        clips: tested in at least one run.
        only_a, only_b: clips that only one of the two has; they count nowhere.
        accuracy_a, accuracy_b: top-1, mean over runs.
        difference: accuracy_a - accuracy_b.
        over_videos: its interval with other videos and these runs.
        over_splits: with other runs and these videos; None with one run. Few runs make it too narrow.
        over_both: with other videos and other runs, rather too wide than too narrow; None with one run.
        resamples: of the bootstrap.
        splits: runs in which a is better, b is, and neither; None with one run. Random splits of the same videos
            overlap, so runs are not independent: here p describes these runs, and is no evidence about others.
        by_class: classes for which a is better on the mean over runs, b is, and neither.
        runs: each run.
        classes: each class that was tested, highest difference first; of equal ones by name.
    """

    a: str
    b: str
    protocol: str
    seed: int | None
    clips: int
    only_a: int
    only_b: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    over_videos: Interval
    over_splits: Interval | None
    over_both: Interval | None
    resamples: int
    splits: Tally | None
    by_class: Tally
    runs: list[RunDifference]
    classes: list[ClassDifference]

    def summary(self) -> str:
        """One line for people, in percentage points; the interval is that of a - b, over all that was resampled."""
        size = f"{100 * abs(self.difference):.1f}"
        lead = f"{size} points {'above' if self.difference > 0 else 'below'}" if float(size) else "level with"
        interval, source = (self.over_both, "videos and splits") if self.over_both else (self.over_videos, "videos")
        text = f"{self.a} is {lead} {self.b} [{_points(interval.low)}, {_points(interval.high)} over {source}]"
        text += f": {100 * self.accuracy_a:.1f} % against {100 * self.accuracy_b:.1f} %"
        if splits := self.splits:
            return f"{text}, better in {splits.wins:,} of {len(self.runs):,} runs and worse in {splits.losses:,}"
        one = self.runs[0].videos
        p = f"p = {one.p:.3f}" if one.p >= 0.001 else "p < 0.001"
        return f"{text}, right about {one.wins:,} that {self.b} misses, wrong about {one.losses:,} that it finds ({p})"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {"cezsar": "comparison", "version": VERSION, "level": LEVEL} | asdict(self)


def compare(
    a: tuple[str, Hits], b: tuple[str, Hits], rng: np.random.Generator, resamples: int = RESAMPLES
) -> Comparison:
    """Compare two methods, each a name and its hits; clips are matched by id.

    Args:
        rng: draws the bootstrap.
        resamples: of the bootstrap, at least 1.

    Raises:
        InputError: hits of different protocols or runs, a clip with two labels, a run without clips that both have, or
            one name for both.
    """
    if resamples < 1:
        raise InputError(f"{resamples:,} resamples were asked for; ask for at least 1, such as {RESAMPLES:,}")
    if a[0] == b[0]:
        raise InputError(f"both methods are called {a[0]!r}; give them different names")
    pair = _paired(a, b)
    counts_RC4 = _outcomes(pair)
    runs = [_run(*row) for row in counts_RC4.sum(axis=1).tolist()]
    classes = _classes(counts_RC4, pair)
    difference_R = np.array([run.difference for run in runs])
    over = intervals(pair.a_NR - pair.b_NR, pair.a_NR != NOT_TESTED, rng, resamples)
    return Comparison(
        a=a[0],
        b=b[0],
        protocol=a[1].protocol,
        seed=a[1].seed,
        clips=len(pair.class_N),
        only_a=pair.only_a,
        only_b=pair.only_b,
        accuracy_a=float(np.mean([run.a for run in runs])),
        accuracy_b=float(np.mean([run.b for run in runs])),
        difference=float(difference_R.mean()),
        **over._asdict(),
        resamples=resamples,
        splits=_tally(difference_R) if len(runs) > 1 else None,
        by_class=_tally(np.array([one.difference for one in classes])),
        runs=runs,
        classes=classes,
    )


def against_first(
    named: Sequence[tuple[str, Hits]], rng: np.random.Generator, resamples: int = RESAMPLES
) -> list[Comparison]:
    """Every other method (a) against the first (b), in their order; arguments and errors as in `compare`."""
    if not named:
        raise InputError("there is nothing to compare; give at least two methods")
    return [compare(other, named[0], rng, resamples) for other in named[1:]]


class _Pair(NamedTuple):
    """The clips that both have and some run tests, and how many others each has.

    class_N is an index into `names`, the classes' labels.
    """

    names: list[str]
    class_N: IntArray
    a_NR: ByteArray
    b_NR: ByteArray
    only_a: int
    only_b: int


def _paired(a: tuple[str, Hits], b: tuple[str, Hits]) -> _Pair:
    (name_a, hits_a), (name_b, hits_b) = a, b
    about = [(hits.protocol, hits.seed, hits.runs) for hits in (hits_a, hits_b)]
    if about[0] != about[1]:
        told = [f"protocol {protocol!r} (seed {seed}, runs: {runs:,})" for protocol, seed, runs in about]
        raise InputError(f"{name_a!r} was tested in {told[0]}, {name_b!r} in {told[1]}; evaluate both in the same runs")
    tested_a, tested_b = ((hits.hits_NR != NOT_TESTED).any(axis=1) for hits in (hits_a, hits_b))
    row_in_b = {clip: row for row, clip in enumerate(hits_b.ids)}
    found = np.array([row_in_b.get(clip, -1) for clip in hits_a.ids], np.int64)
    rows_a = np.flatnonzero(found >= 0)
    rows_a = rows_a[tested_a[rows_a] | tested_b[found[rows_a]]]
    rows_b = found[rows_a]
    a_NR, b_NR = hits_a.hits_NR[rows_a], hits_b.hits_NR[rows_b]
    unlike = np.argwhere((a_NR == NOT_TESTED) != (b_NR == NOT_TESTED))
    if unlike.size:
        row, run = unlike[0]
        only, without = (name_b, name_a) if a_NR[row, run] == NOT_TESTED else (name_a, name_b)
        raise InputError(
            f"clip {hits_a.ids[rows_a[row]]!r} was tested for {only!r} and not for {without!r} in run {run + 1} of "
            f"protocol {hits_a.protocol!r}; evaluate both with the same classes and labels"
        )
    empty = np.flatnonzero((a_NR == NOT_TESTED).all(axis=0))
    if empty.size:
        raise InputError(
            f"{name_a!r} and {name_b!r} share no clip in run {empty[0] + 1}; evaluate both on the same clips"
        )
    labels = [hits_a.labels[row] for row in rows_a]
    for clip, label, other in zip(rows_a, labels, (hits_b.labels[row] for row in rows_b), strict=True):
        if label != other and canonical(label) != canonical(other):
            raise InputError(
                f"clip {hits_a.ids[clip]!r} is labelled {label!r} for {name_a!r} and {other!r} for {name_b!r}; "
                "evaluate both with the same labels"
            )
    dropped = [int(np.count_nonzero(tested)) - len(labels) for tested in (tested_a, tested_b)]
    names = {canonical(label): label for label in sorted(set(labels), reverse=True)}
    place = {key: index for index, key in enumerate(names)}
    of_label = {label: place[canonical(label)] for label in set(labels)}
    class_N = np.array([of_label[label] for label in labels], np.int64)
    return _Pair(list(names.values()), class_N, a_NR, b_NR, *dropped)


def _outcomes(pair: _Pair) -> IntArray:
    """(R, C, 4) clips of each class that neither gets right, only b does, only a does, both do."""
    counts = []
    for a_N, b_N in zip(pair.a_NR.T, pair.b_NR.T, strict=True):
        cell_N = 4 * pair.class_N + 2 * a_N + b_N
        counts.append(np.bincount(cell_N[a_N != NOT_TESTED], minlength=4 * len(pair.names)))
    return np.stack(counts).reshape(-1, len(pair.names), 4)


def _run(neither: int, only_b: int, only_a: int, both: int) -> RunDifference:
    clips = neither + only_b + only_a + both
    videos = _sign_test(only_a, only_b, neither + both)
    return RunDifference(clips, (only_a + both) / clips, (only_b + both) / clips, (only_a - only_b) / clips, videos)


def _classes(counts_RC4: IntArray, pair: _Pair) -> list[ClassDifference]:
    clips_RC = counts_RC4.sum(axis=2)
    runs_C = np.count_nonzero(clips_RC, axis=0)
    _, only_b_RC, only_a_RC, both_RC = np.moveaxis(counts_RC4, 2, 0)
    a_C, b_C, difference_C = (
        (right_RC / np.maximum(clips_RC, 1)).sum(axis=0) / runs_C
        for right_RC in (only_a_RC + both_RC, only_b_RC + both_RC, only_a_RC - only_b_RC)
    )
    difference_C[np.abs(difference_C) < ROUNDING] = 0
    columns = [np.bincount(pair.class_N), runs_C, a_C, b_C, difference_C, only_a_RC.sum(axis=0), only_b_RC.sum(axis=0)]
    rows = zip(pair.names, *(column.tolist() for column in columns), strict=True)
    return sorted((ClassDifference(*row) for row in rows), key=lambda one: (-one.difference, one.name))


def _tally(difference: DoubleArray) -> Tally:
    wins, losses = int(np.count_nonzero(difference > 0)), int(np.count_nonzero(difference < 0))
    return _sign_test(wins, losses, len(difference) - wins - losses)


def _sign_test(wins: int, losses: int, ties: int) -> Tally:
    from scipy.special import bdtr  # binomial distribution function

    return Tally(wins, losses, ties, min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))))


def _points(fraction: float) -> str:
    return f"{100 * fraction:z.1f}".replace("-", "\N{MINUS SIGN}")
