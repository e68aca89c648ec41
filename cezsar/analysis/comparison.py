"""Comparison: is one method better than another on the same clips and splits, by how much, and where.

Both methods are asked about the same clips, so what counts is their difference, clip for clip: it varies much less than
either accuracy does. Differences are a - b, above 0 where a is better. How sure one is, sign tests say by counting wins
and losses, and intervals by the percentile bootstrap (Efron, Ann. Statist. 7, 1979). Two things are left to chance:
which videos the test set holds, and which classes a run draws. The bootstrap draws as many again, with replacement, and
takes the middle 95 % of what comes out: videos, the same ones in all runs; runs; or both at once, which is mildly
conservative (Owen, Ann. Appl. Stat. 1, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import BoolArray, DoubleArray, IntArray
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import NOT_TESTED, Correctness
from cezsar.zeroshot.methods import Prepared
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.published import Published, beside
from cezsar.zeroshot.results import KS, METRICS, Result, percent
from cezsar.zeroshot.tables import Line, aligned

ByteArray = npt.NDArray[np.int8]
Named = tuple[str, Correctness]

VERSION = 1
LEVEL = 0.95
"""Of the intervals."""
RESAMPLES = 2_000
ROUNDING = 1e-12  # means of fractions that differ by less are equal
ENTRIES_AT_ONCE = 1 << 22  # counts that are held at once: 16 MB of float32
LARGE = 20  # clips: how often a group of so many is drawn is drawn as a number, which is faster than clip by clip


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the resamples' differences: fractions, from -1 to 1."""

    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """How often a was better, b was, and neither; p of the exact two-sided sign test.

    p: how probable wins and losses at least as uneven are if either is as likely. Ties are left out; with nothing else
    it is 1. Nothing is corrected for several tests.
    """

    wins: int
    losses: int
    ties: int
    p: float


@dataclass(frozen=True)
class RunDifference:
    """One run: clips tested, top-1 accuracies of a and b, and a - b.

    The sign test over its videos is McNemar's exact test (Psychometrika 12, 1947; for classifiers Dietterich, Neural
    Computation 10, 1998).
    """

    clips: int
    a: float
    b: float
    difference: float
    videos: Tally  # clips that only a gets right, that only b does, and the others


@dataclass(frozen=True)
class ClassDifference:
    """One class: its label, its clips, the runs that test it, top-1 accuracies (means over these) and a - b."""

    name: str
    clips: int
    runs: int
    a: float
    b: float
    difference: float
    wins: int  # clips that only a gets right, summed over runs
    losses: int  # that only b does


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same clips and runs; what is over several runs is None with one.

    Random splits of the same videos overlap, so runs are not independent: the p of `splits` describes these runs, and
    is no evidence about others.
    """

    a: str  # name of the first
    b: str
    protocol: str  # name of the runs' protocol
    seed: int | None  # of its random choice of classes; None where nothing was random
    clips: int  # tested in at least one run
    only_a: int  # clips that only a has; they count nowhere
    only_b: int
    accuracy_a: float  # top-1, mean over runs
    accuracy_b: float
    difference: float  # accuracy_a - accuracy_b
    over_videos: Interval  # of the difference, with other videos and these runs
    over_splits: Interval | None  # with other runs and these videos; few runs make it too narrow
    over_both: Interval | None  # with other videos and other runs; rather too wide than too narrow
    resamples: int  # of the bootstrap
    splits: Tally | None  # runs in which a is better, b is, and neither
    by_class: Tally  # classes for which a is better on the mean over runs, b is, and neither
    runs: list[RunDifference]
    classes: list[ClassDifference]  # each that was tested, highest difference first; of equal ones by name

    def summary(self) -> str:
        """One line for people, in percentage points; the interval is that of a - b, over all that was resampled."""
        size = percent(abs(self.difference))
        lead = f"{size} points {'above' if self.difference > 0 else 'below'}" if float(size) else "level with"
        interval, source = (self.over_both, "videos and splits") if self.over_both else (self.over_videos, "videos")
        ends = f"{100 * interval.low:z.1f}, {100 * interval.high:z.1f}".replace("-", "\N{MINUS SIGN}")
        text = f"{self.a} is {lead} {self.b} [{ends} over {source}]"
        text += f": {percent(self.accuracy_a)} % against {percent(self.accuracy_b)} %"
        if splits := self.splits:
            return f"{text}, better in {splits.wins:,} of {len(self.runs):,} runs and worse in {splits.losses:,}"
        one = self.runs[0].videos
        p = f"p = {one.p:.3f}" if one.p >= 0.001 else "p < 0.001"
        return f"{text}, right about {one.wins:,} that {self.b} misses, wrong about {one.losses:,} that it finds ({p})"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {"cezsar": "comparison", "version": VERSION, "level": LEVEL} | asdict(self)


def compare(a: Named, b: Named, rng: np.random.Generator, resamples: int = RESAMPLES) -> Comparison:
    """Compare two methods, each a name and its per-sample correctness; clips are matched by id.

    Args:
        rng: draws the bootstrap.
        resamples: of the bootstrap, at least 1.

    Raises:
        InputError: different protocols or runs, a clip with two labels, a run without clips that both have, or one name
            for both.
    """
    if a[0] == b[0]:
        raise InputError(f"both methods are called {a[0]!r}; give them different names")
    names, class_N, a_NR, b_NR, dropped = _paired(a, b)
    counts_RC4 = np.stack(
        [
            np.bincount((4 * class_N + 2 * a_N + b_N)[a_N != NOT_TESTED], minlength=4 * len(names))
            for a_N, b_N in zip(a_NR.T, b_NR.T, strict=True)
        ]
    ).reshape(-1, len(names), 4)  # clips that neither gets right, only b does, only a does, both do
    runs = [_run(*row) for row in counts_RC4.sum(axis=1).tolist()]
    classes = _classes(counts_RC4, names, np.bincount(class_N))
    difference_R = np.array([run.difference for run in runs])
    return Comparison(
        a=a[0],
        b=b[0],
        protocol=a[1].protocol,
        seed=a[1].seed,
        clips=len(class_N),
        only_a=dropped[0],
        only_b=dropped[1],
        accuracy_a=float(np.mean([run.a for run in runs])),
        accuracy_b=float(np.mean([run.b for run in runs])),
        difference=float(difference_R.mean()),
        **intervals(a_NR - b_NR, a_NR != NOT_TESTED, rng, resamples)._asdict(),
        resamples=resamples,
        splits=_tally(difference_R) if len(runs) > 1 else None,
        by_class=_tally(np.array([one.difference for one in classes])),
        runs=runs,
        classes=classes,
    )


def _paired(a: Named, b: Named) -> tuple[list[str], IntArray, ByteArray, ByteArray, list[int]]:
    """The clips that both have and some run tests: labels, each clip's index into these, what is right, clips left."""
    (name_a, of_a), (name_b, of_b) = a, b
    about = [(one.protocol, one.seed, one.right_NR.shape[1]) for one in (of_a, of_b)]
    if about[0] != about[1]:
        told = [f"protocol {protocol!r} (seed {seed}, runs: {runs:,})" for protocol, seed, runs in about]
        raise InputError(f"{name_a!r} was tested in {told[0]}, {name_b!r} in {told[1]}; evaluate both in the same runs")
    tested_a, tested_b = ((one.right_NR != NOT_TESTED).any(axis=1) for one in (of_a, of_b))
    row_in_b = {clip: row for row, clip in enumerate(of_b.ids)}
    found = np.array([row_in_b.get(clip, -1) for clip in of_a.ids], np.int64)
    rows_a = np.flatnonzero((found >= 0) & (tested_a | tested_b[found]))
    rows_b = found[rows_a]
    a_NR, b_NR = of_a.right_NR[rows_a], of_b.right_NR[rows_b]
    key = {label: canonical(label) for label in {*of_a.labels, *of_b.labels}}
    labels = [of_a.labels[row] for row in rows_a]
    keys = [[key[one.labels[row]] for row in rows] for one, rows in ((of_a, rows_a), (of_b, rows_b))]
    unlike_N = ((a_NR == NOT_TESTED) != (b_NR == NOT_TESTED)).any(axis=1) | (np.array(keys[0]) != np.array(keys[1]))
    if unlike_N.any():
        raise InputError(
            f"clip {of_a.ids[rows_a[unlike_N.argmax()]]!r} has another label for {name_a!r} than for {name_b!r}, or is "
            "tested in other runs; evaluate both with the same classes and labels"
        )
    empty = np.flatnonzero((a_NR == NOT_TESTED).all(axis=0))
    if empty.size:
        raise InputError(
            f"{name_a!r} and {name_b!r} share no clip in run {empty[0] + 1}; evaluate both on the same clips"
        )
    names = {key[label]: label for label in sorted(set(labels), reverse=True)}
    place = {name: index for index, name in enumerate(names)}
    class_N = np.array([place[name] for name in keys[0]], np.int64)
    dropped = [int(np.count_nonzero(tested)) - len(labels) for tested in (tested_a, tested_b)]
    return list(names.values()), class_N, a_NR, b_NR, dropped


def _run(neither: int, only_b: int, only_a: int, both: int) -> RunDifference:
    clips = neither + only_b + only_a + both
    videos = _sign_test(only_a, only_b, neither + both)
    return RunDifference(clips, (only_a + both) / clips, (only_b + both) / clips, (only_a - only_b) / clips, videos)


def _classes(counts_RC4: IntArray, names: Sequence[str], clips_C: IntArray) -> list[ClassDifference]:
    clips_RC = counts_RC4.sum(axis=2)
    runs_C = np.count_nonzero(clips_RC, axis=0)
    _, only_b_RC, only_a_RC, both_RC = np.moveaxis(counts_RC4, 2, 0)
    a_C, b_C, difference_C = (
        (right_RC / np.maximum(clips_RC, 1)).sum(axis=0) / runs_C
        for right_RC in (only_a_RC + both_RC, only_b_RC + both_RC, only_a_RC - only_b_RC)
    )
    difference_C[np.abs(difference_C) < ROUNDING] = 0
    columns = [clips_C, runs_C, a_C, b_C, difference_C, only_a_RC.sum(axis=0), only_b_RC.sum(axis=0)]
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    return sorted((ClassDifference(*row) for row in rows), key=lambda one: (-one.difference, one.name))


def _tally(difference: DoubleArray) -> Tally:
    wins, losses = int(np.count_nonzero(difference > 0)), int(np.count_nonzero(difference < 0))
    return _sign_test(wins, losses, len(difference) - wins - losses)


def _sign_test(wins: int, losses: int, ties: int) -> Tally:
    from scipy.special import bdtr  # binomial distribution function

    return Tally(wins, losses, ties, min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))))


# Bootstrap -----------------------------------------------------------------------------------------------------------


class Intervals(NamedTuple):
    """Over videos, over runs, and over both; the latter two are None with one run."""

    over_videos: Interval
    over_splits: Interval | None
    over_both: Interval | None


def intervals(
    difference_NR: ByteArray, tested_NR: BoolArray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Intervals:
    """Intervals of the mean over runs of a difference between two accuracies.

    In a resample, a run's difference is the weighted sum of its clips' differences over the weighted number of clips. A
    run that is left without clips is left out of the mean; a resample without any run, of the interval.

    Args:
        difference_NR: 1 where only the first is right about a clip in a run, -1 where only the second is, else 0.
        tested_NR: whether a run tests the clip; every run tests one at least.
    """
    n_runs = tested_NR.shape[1]
    once_BR = np.ones((resamples, n_runs), np.int64)
    runs_BR = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples) if n_runs > 1 else once_BR
    of_other_videos_BR = _over_videos(difference_NR, tested_NR, rng, resamples)
    over_videos = _interval(of_other_videos_BR, once_BR)
    if n_runs == 1:
        return Intervals(over_videos, None, None)
    observed_R = difference_NR.sum(axis=0, where=tested_NR, dtype=np.int64) / tested_NR.sum(axis=0)
    over_splits = _interval(np.broadcast_to(observed_R, runs_BR.shape), runs_BR)
    return Intervals(over_videos, over_splits, _interval(of_other_videos_BR, runs_BR))


def _over_videos(
    difference_NR: ByteArray, tested_NR: BoolArray, rng: np.random.Generator, resamples: int
) -> DoubleArray:
    """(B, R) difference in each run, with videos drawn again; NaN where a run was left without clips.

    Clips with equal answers in all runs are one group, and all that matters is how often each group is drawn.
    """
    n_runs = tested_NR.shape[1]
    answer_NR = np.where(tested_NR, difference_NR, np.int8(-2))
    as_one = np.ascontiguousarray(answer_NR).view(f"V{n_runs}")[:, 0]
    _, first_G, group_N = np.unique(as_one, return_index=True, return_inverse=True)
    # Sums of whole numbers below 2^24 are exact in float32.
    summands_GS = np.hstack([(difference_NR * tested_NR)[first_G], tested_NR[first_G]]).astype(np.float32)
    difference_BR = np.full((resamples, n_runs), np.nan)
    block = max(1, ENTRIES_AT_ONCE // len(first_G))
    for start in range(0, resamples, block):
        part_bR = difference_BR[start : start + block]
        sums_bS = (_drawn(group_N, len(part_bR), rng) @ summands_GS).astype(np.float64)
        clips_bR = sums_bS[:, n_runs:]
        np.divide(sums_bS[:, :n_runs], clips_bR, out=part_bR, where=clips_bR > 0)
    return difference_BR


def _drawn(group_N: IntArray, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(b, G) how often each group is met when as many clips as there are are drawn with replacement."""
    n = len(group_N)
    sizes_G = np.bincount(group_N)
    large = np.flatnonzero(sizes_G >= LARGE)
    others = group_N[sizes_G[group_N] < LARGE]
    shares = sizes_G[large] / n
    times = rng.multinomial(n, np.append(shares, len(others) / n) if others.size else shares, size=resamples)
    drawn_bG = np.zeros((resamples, len(sizes_G)), np.float32)
    if others.size:
        for drawn_G, rest in zip(drawn_bG, times[:, -1], strict=True):
            drawn_G[:] = np.bincount(others[rng.integers(len(others), size=rest)], minlength=len(sizes_G))
    drawn_bG[:, large] = times[:, : len(large)]
    return drawn_bG


def _interval(difference_BR: DoubleArray, times_BR: IntArray) -> Interval:
    """Of the means over runs, each run counted so many times."""
    times_BR = np.where(np.isnan(difference_BR), 0, times_BR)
    total_B = times_BR.sum(axis=1)
    sums_B = (np.nan_to_num(difference_BR) * times_BR).sum(axis=1)
    means = sums_B[total_B > 0] / total_B[total_B > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(low, high)


# Methods in one table ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MethodTable:
    """Methods on one data set and protocol."""

    results: list[Result]  # of each method; the first is the one that the others are compared with
    comparisons: list[Comparison]  # of every other method (a) with the first (b), in the order of `results`
    published: list[Published]  # figures of others for as many classes

    def lines(self) -> list[list[Line]]:
        """Blocks of lines for papers: one's own, chance, published ones."""
        own = [tables.line(result.method, result) for result in self.results]
        return [own, [tables.chance_line(self.results[0])], list(map(tables.published_line, self.published))]

    def text(self) -> str:
        """The table for a terminal, in percent and percentage points."""
        first, (_, (chance,), others) = self.results[0], self.lines()
        several = len(first.runs) > 1
        last = ["to the first", "95 %", "runs won" if several else "p"]
        rows = [["", "", *(f"top-{k}" for k in KS), "per class", *last]]
        for result, found in zip(self.results, [None, *self.comparisons], strict=True):
            figures = [result.figure(name).percent() for name in METRICS]
            rows.append([result.method, result.modality, *figures, *_difference(found)])
        rows.append(["chance", "", *(chance.figures[name].percent() for name in METRICS), "", "", ""])
        over = "videos and runs" if several else "videos; p of McNemar's exact test"
        text = [tables.title(self.results), *aligned(rows)]
        if self.comparisons:
            text.append(f"to the first: points of top-1, paired clip by clip; 95 % bootstrap interval over {over}")
        if others:
            text += ["", "published, top-1"]
            text += aligned([[line.method, line.modality, line.figures["top1"].percent()] for line in others])
        if not all(row.strict for row in self.published):
            text.append("* not zero-shot in the strict sense")
        return "\n".join(text)

    def save(self, path: str | Path) -> list[Path]:
        """Write JSON, and beside it CSV (a line a run), Markdown and LaTeX; `results.load_all` reads the first."""
        more = {
            "comparisons": [found.to_dict() for found in self.comparisons],
            "published": [asdict(row) | {"accuracy": row.accuracy._asdict()} for row in self.published],
        }
        sentences = "".join(f"- {found.summary()}\n" for found in self.comparisons)
        markdown = tables.markdown(self.lines()) + (f"\n{sentences}" if sentences else "")
        latex = tables.latex(self.lines(), tables.title(self.results))
        return tables.save_all(self.results, path, more, {".md": markdown, ".tex": latex})


def method_table(
    methods: Sequence[Prepared],
    protocol: Protocol,
    dataset: str,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> MethodTable:
    """Evaluate methods on the same splits and compare each with the first.

    Args:
        methods: with different names, title and modality together.
        dataset: its name; published figures are looked up by it.
        rng: draws the bootstrap.

    Raises:
        InputError: two methods of one name, or what `evaluate` and `compare` refuse.
    """
    results = [method.evaluate(protocol) for method in methods]
    named = [(result.name, method.correctness(protocol)) for result, method in zip(results, methods, strict=True)]
    comparisons = [compare(other, named[0], rng, resamples) for other in named[1:]]
    n_classes = max(len(method.scores.class_names) for method in methods)
    return MethodTable(results, comparisons, beside(dataset, n_classes, protocol.splits))


def _difference(found: Comparison | None) -> list[str]:
    """Cells: points to the first, its interval, and runs won of several, or p of the sign test over videos."""
    if found is None:
        return ["", "", ""]
    interval = found.over_both or found.over_videos
    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    p = found.runs[0].videos.p
    spread = f"{found.splits.wins:,} of {len(found.runs):,}" if found.splits else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [f"{100 * found.difference:+.1f}", ends, spread]
