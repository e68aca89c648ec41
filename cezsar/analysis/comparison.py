"""Comparison: is one method better than another on the same clips and splits, by how much, and where. Differences are a
- b, paired clip for clip. The percentile bootstrap (Efron, Ann. Statist. 7, 1979) draws again what was left to chance:
the videos of the test set (the same ones in all runs), the classes of the runs, or both at once, which is mildly
conservative (Owen, Ann. Appl. Stat. 1, 2007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from cezsar.arrays import BoolArray, DoubleArray, IntArray
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.formats import stamp
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import NOT_TESTED, Correctness, Result, percent
from cezsar.zeroshot.methods import Prepared
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.published import Published, beside

ByteArray = npt.NDArray[np.int8]
Named = tuple[str, Correctness]

LEVEL = 0.95  # of the intervals
RESAMPLES = 2_000
ROUNDING = 1e-12  # means of fractions that differ by less are equal
ENTRIES_AT_ONCE = 1 << 22  # counts that are held at once: 16 MB of float32
CLASS_COLUMNS = ["name", "clips", "runs", "a", "b", "difference", "wins", "losses"]
"""Runs that test the class, top-1 accuracies (means over these), clips that only a or only b gets right, over runs."""
LARGE = 20  # clips: how often a group of so many is drawn is drawn as a number, which is faster than clip by clip


class Interval(NamedTuple):
    """The middle 95 % of the resamples' differences: fractions, from -1 to 1."""

    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """How often a was better, b was, and neither."""

    wins: int
    losses: int
    ties: int
    p: float  # of the exact two-sided sign test, without the ties; nothing is corrected for several tests

    @classmethod
    def of(cls, differences: npt.ArrayLike) -> Tally:
        from scipy.special import bdtr  # binomial distribution function

        wins, losses, ties = (int(np.count_nonzero(np.sign(differences) == sign)) for sign in (1, -1, 0))
        return cls(wins, losses, ties, min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))))

    def how_probable(self) -> str:
        """p in words: "= 0.012", or "< 0.001"."""
        return f"= {self.p:.3f}" if self.p >= 0.001 else "< 0.001"


@dataclass(frozen=True)
class RunDifference:
    """One run. The sign test over its videos is McNemar's exact test (Psychometrika 12, 1947)."""

    clips: int  # tested
    a: float  # top-1 accuracies
    b: float
    difference: float
    videos: Tally  # clips that only a gets right, that only b does, and the others


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two methods on the same clips and runs; what is over several runs is None with one. Random splits of the same
    videos overlap: the p of `splits` describes these runs, and is no evidence about others."""

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
    classes: pd.DataFrame  # `CLASS_COLUMNS` of each that was tested, highest difference first; of equal ones by name

    @property
    def interval(self) -> tuple[Interval, str]:
        """The interval over all that was resampled, and what that is."""
        return (self.over_both, "videos and splits") if self.over_both else (self.over_videos, "videos")

    def summary(self) -> str:
        """One line for people, in percentage points; the interval is that of a - b, over all that was resampled."""
        (low, high), source = self.interval
        ends = f"{100 * low:z.1f}, {100 * high:z.1f}".replace("-", "\N{MINUS SIGN}")
        size, way = percent(abs(self.difference)), "above" if self.difference > 0 else "below"
        lead = f"{size} points {way}" if float(size) else "level with"
        text = f"{self.a} is {lead} {self.b} [{ends} over {source}]"
        text += f": {percent(self.accuracy_a)} % against {percent(self.accuracy_b)} %"
        if self.splits:
            return f"{text}, better in {self.splits.wins:,} of {len(self.runs):,} runs, worse in {self.splits.losses:,}"
        return f"{text} (p {self.runs[0].videos.how_probable()})"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        about = stamp("comparison") | {"level": LEVEL}
        over = {name: each and each._asdict() for name, each in vars(self).items() if name.startswith("over_")}
        return about | asdict(self) | over | {"classes": self.classes.to_dict("records")}


def compare(a: Named, b: Named, rng: np.random.Generator, resamples: int = RESAMPLES) -> Comparison:
    """Compare two methods, each a name and its per-sample correctness; clips are matched by id. Raises `InputError`
    where they were not tested on the same clips, labels and runs, or have one name."""
    name_N, a_NR, b_NR, only_a, only_b = _paired(a, b)
    rows, runs_of = np.nonzero(a_NR != NOT_TESTED)
    a_T, b_T = (right_NR[rows, runs_of].astype(np.int64) for right_NR in (a_NR, b_NR))
    class_N, names = pd.factorize(name_N, sort=True)
    tested = pd.DataFrame({"run": runs_of, "class": class_N[rows], "a": a_T, "b": b_T, "difference": a_T - b_T})
    tested, runs = tested.assign(wins=a_T > b_T, losses=a_T < b_T), []
    for _, one in tested.groupby("run"):
        a_mean, b_mean, difference = one[["a", "b", "difference"]].mean().tolist()
        runs.append(RunDifference(len(one), a_mean, b_mean, difference, Tally.of(one["difference"])))
    in_run = tested.groupby(["class", "run"])[["a", "b", "difference"]].mean().groupby("class")
    classes = in_run.mean().join(tested.groupby("class")[["wins", "losses"]].sum())
    classes = classes.assign(name=names, clips=np.bincount(class_N), runs=in_run.size())[CLASS_COLUMNS]
    classes.loc[classes["difference"].abs() < ROUNDING, "difference"] = 0.0
    classes = classes.sort_values(["difference", "name"], ascending=[False, True], ignore_index=True)
    accuracy_a, accuracy_b, difference = np.mean([(run.a, run.b, run.difference) for run in runs], axis=0).tolist()
    over_videos, over_splits, over_both = intervals(a_NR - b_NR, a_NR != NOT_TESTED, rng, resamples)
    splits = Tally.of([run.difference for run in runs]) if len(runs) > 1 else None
    return Comparison(
        a[0], b[0], a[1].protocol, a[1].seed, len(name_N), only_a, only_b, accuracy_a, accuracy_b, difference,
        over_videos, over_splits, over_both, resamples, splits, Tally.of(classes["difference"]), runs, classes,
    )  # fmt: skip


def _paired(a: Named, b: Named) -> tuple[npt.NDArray[np.object_], ByteArray, ByteArray, int, int]:
    """The clips that both have and some run tests: their classes' names, what is right; and how many one alone has."""
    (name_a, of_a), (name_b, of_b) = a, b
    if name_a == name_b:
        raise InputError(f"both methods are called {name_a!r}; give them different names")
    about = [(one.protocol, one.seed, one.right_NR.shape[1]) for one in (of_a, of_b)]
    key = {label: canonical(label) for label in {*of_a.labels, *of_b.labels}}
    frames = []
    for one in (of_a, of_b):
        tested_N = (one.right_NR != NOT_TESTED).any(axis=1)
        columns = {"id": one.ids, "row": range(len(one.ids)), "tested": tested_N, "label": one.labels}
        frames.append(pd.DataFrame(columns | {"key": [key[label] for label in one.labels]}))
    shared = frames[0].merge(frames[1], on="id", suffixes=("_a", "_b"))
    shared = shared[shared["tested_a"] | shared["tested_b"]]
    a_NR, b_NR = of_a.right_NR[shared["row_a"]], of_b.right_NR[shared["row_b"]]
    alike = about[0] == about[1] and ((a_NR == NOT_TESTED) == (b_NR == NOT_TESTED)).all()
    if not alike or (shared["key_a"] != shared["key_b"]).any() or not (a_NR != NOT_TESTED).any(axis=0).all():
        what = f"{name_a!r} and {name_b!r} were not tested on the same clips, labels and runs"
        raise InputError(f"{what}; evaluate both with one protocol, the same classes and labels")
    only_a, only_b = (int(frame["tested"].sum()) - len(shared) for frame in frames)
    return shared["label_a"].groupby(shared["key_a"]).transform("min").to_numpy(), a_NR, b_NR, only_a, only_b


def intervals(
    difference_NR: ByteArray, tested_NR: BoolArray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Interval, Interval | None, Interval | None]:
    """Intervals of the mean over runs of a difference between two accuracies, over videos, over runs, and over both
    (None with one run). `difference_NR` is 1 where only the first is right about a clip in a run, -1 where only the
    second is. In a resample a run without clips is left out of the mean."""
    n_runs = tested_NR.shape[1]
    once_BR = np.ones((resamples, n_runs), np.int64)
    if n_runs == 1:
        return _interval(_over_videos(difference_NR, tested_NR, rng, resamples), once_BR), None, None
    runs_BR = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples)
    videos_BR = _over_videos(difference_NR, tested_NR, rng, resamples)
    observed_R = difference_NR.sum(axis=0, where=tested_NR, dtype=np.int64) / tested_NR.sum(axis=0)
    over_splits = _interval(np.broadcast_to(observed_R, runs_BR.shape), runs_BR)
    return _interval(videos_BR, once_BR), over_splits, _interval(videos_BR, runs_BR)


def _over_videos(
    difference_NR: ByteArray, tested_NR: BoolArray, rng: np.random.Generator, resamples: int
) -> DoubleArray:
    """(B, R) difference in each run, with videos drawn again; NaN where a run was left without clips. Clips with equal
    answers in all runs are one group, and all that matters is how often each group is drawn."""
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
    n, sizes_G = len(group_N), np.bincount(group_N)
    large, others = np.flatnonzero(sizes_G >= LARGE), group_N[sizes_G[group_N] < LARGE]
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
    total_B, sums_B = times_BR.sum(axis=1), (np.nan_to_num(difference_BR) * times_BR).sum(axis=1)
    means = sums_B[total_B > 0] / total_B[total_B > 0]
    return Interval(*np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist())


@dataclass(frozen=True)
class MethodTable:
    """Methods on one data set and protocol."""

    results: list[Result]  # of each method; the first is the one that the others are compared with
    comparisons: list[Comparison]  # of every other method (a) with the first (b), in the order of `results`
    published: list[Published]  # figures of others for as many classes

    def text(self) -> str:
        """The table for a terminal, in percent and percentage points."""
        shown, several = tables.frame(self.results, [one.method for one in self.results]), len(self.results[0].runs) > 1
        told = [["", "", ""]]
        for one in self.comparisons:
            (low, high), won = one.interval[0], one.runs[0].videos.how_probable().removeprefix("= ")
            won = f"{one.splits.wins:,} of {len(one.runs):,}" if one.splits else won
            told.append([f"{100 * one.difference:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", won])
        shown[["to the first", "95 %", "runs won" if several else "p"]] = [*told, ["", "", ""]]
        text = [tables.title(self.results), tables.text(shown.drop(columns=["Classes", "Clips"]))]
        if self.comparisons:
            over = "videos and runs" if several else "videos; p of McNemar's exact test"
            text.append(f"to the first: points of top-1, paired clip by clip; 95 % bootstrap interval over {over}")
        if self.published:
            text += ["", "published; * not zero-shot in the strict sense"]
            text.append(tables.text(tables.published_frame(self.published)))
        return "\n".join(text)

    def save(self, path: str | Path, record: dict[str, Any] | None = None) -> list[Path]:
        """Write JSON, which `record` joins, and beside it CSV (a line a run), Markdown and LaTeX; `evaluation.load_all`
        reads the first."""
        own = tables.frame(self.results, [result.method for result in self.results])
        whole = pd.concat([own, tables.published_frame(self.published)]).fillna("")
        more = {
            "comparisons": [found.to_dict() for found in self.comparisons],
            "published": [row._asdict() | {"accuracy": row.accuracy._asdict()} for row in self.published],
            **(record or {}),
        }
        sentences = "".join(f"\n- {found.summary()}" for found in self.comparisons)
        texts = {
            ".md": f"{tables.markdown(whole)}{sentences}\n",
            ".tex": tables.latex(whole, tables.title(self.results)),
        }
        return tables.save_all(self.results, path, more, texts)


def method_table(
    methods: Sequence[Prepared], protocol: Protocol, dataset: str, rng: np.random.Generator, resamples: int = RESAMPLES
) -> MethodTable:
    """Evaluate methods of different names on the same splits, compare each with the first, and look up published
    figures."""
    results = [method.evaluate(protocol) for method in methods]
    named = [(result.name, method.correctness(protocol)) for result, method in zip(results, methods, strict=True)]
    comparisons = [compare(other, named[0], rng, resamples) for other in named[1:]]
    n_classes = max(len(method.scores.class_names) for method in methods)
    return MethodTable(results, comparisons, beside(dataset, n_classes, protocol.splits))
