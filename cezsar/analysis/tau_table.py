"""The table of a τ sweep: what runs trained with different bounds on hard negatives reach, in memory and on disk.

Made by `cezsar.analysis.tau_sweep`. Accuracies are fractions inside and in JSON and CSV, percent in tables.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from cezsar.atomic import write_text
from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.tables import aligned

FILE = "tau-sweep.json"
VERSION = 1


class Accuracy(NamedTuple):
    """Top-1 over the seeds and splits of one τ, a fraction.

    Attributes:
        mean: over all splits of all seeds.
        splits: sample standard deviation over splits (ddof = 1), pooled over seeds: the root of the mean variance. None
            with one split.
        seeds: sample standard deviation over seeds of their means over splits. None with one seed.
    """

    mean: float
    splits: float | None
    seeds: float | None

    def percent(self) -> str:
        """Such as "50.9 ± 2.1", ± over splits, with "(seeds ± 0.8)" behind it where there are several."""
        over_splits = "" if self.splits is None else f" ± {100 * self.splits:.1f}"
        over_seeds = "" if self.seeds is None else f" (seeds ± {100 * self.seeds:.1f})"
        return f"{100 * self.mean:.1f}{over_splits}{over_seeds}"


@dataclass(frozen=True)
class Point:
    """One run: a τ and a seed.

    Attributes:
        tau: bound on the cosine distance of hard negatives, in (0, 2].
        seed: of sub-clips, negatives, weights and order.
        short: share of the sentences that have fewer candidates than a positive gets negatives, a fraction.
        triplets: mined.
        seconds: mining, training and evaluation.
        top1: modality -> accuracy in each split, fractions.
        failed: why there is no run, in words; "" where there is one.

    Raises:
        InputError: numbers out of range, or accuracies of different numbers of splits.
    """

    tau: float
    seed: int
    short: float
    triplets: int = 0
    seconds: float = 0.0
    top1: dict[str, list[float]] = field(default_factory=dict)
    failed: str = ""

    def __post_init__(self) -> None:
        accuracies = [value for values in self.top1.values() for value in values]
        if not 0 < self.tau <= 2 or not all(0 <= value <= 1 for value in (self.short, *accuracies)):
            raise InputError(f"the point τ = {self.tau}, seed {self.seed} has numbers out of range")
        if type(self.seed) is not int or type(self.triplets) is not int or not math.isfinite(self.seconds):
            raise InputError(f"the point τ = {self.tau} has a seed or a count that is no whole number")
        if len({len(values) for values in self.top1.values()} | {0}) > 2 or bool(self.top1) == bool(self.failed):
            raise InputError(f"the point τ = {self.tau}, seed {self.seed} has neither a run nor a reason for its lack")
        if not all(self.top1.values()):
            raise InputError(f"the point τ = {self.tau}, seed {self.seed} has a modality without an accuracy")


@dataclass(frozen=True)
class Row:
    """All seeds of one τ. Numbers are means over the seeds; those of failed ones are not among them.

    Attributes:
        accuracies: modality -> top-1; empty where every seed failed.
        done, seeds: runs there are, and points.
        failed: the reasons, each once.
    """

    tau: float
    accuracies: dict[str, Accuracy]
    short: float
    triplets: float
    seconds: float
    done: int
    seeds: int
    failed: tuple[str, ...] = ()

    def note(self) -> str:
        """What failed; "" where nothing did."""
        if not self.failed:
            return ""
        return ("" if not self.done else f"{self.seeds - self.done} of {self.seeds} seeds: ") + "; ".join(self.failed)


@dataclass(frozen=True)
class Sweep:
    """Runs that differ in τ and seed only.

    Attributes:
        about: what they share: "dataset", "protocol", "negatives", and all that must agree for points to be compared.
        points: ascending by τ, then seed.
    """

    about: dict[str, Any]
    points: list[Point] = field(default_factory=list)

    def has(self, tau: float, seed: int) -> bool:
        """Whether the point is done, or was found to be impossible."""
        return any((point.tau, point.seed) == (tau, seed) for point in self.points)

    def joined(self, point: Point) -> Sweep:
        """The same with one more point, in its place; it replaces the one that was there."""
        others = [old for old in self.points if (old.tau, old.seed) != (point.tau, point.seed)]
        return replace(self, points=sorted([*others, point], key=lambda each: (each.tau, each.seed)))

    @property
    def modalities(self) -> list[str]:
        """Those with VE, which is what training changes most: "VE", then fused ones."""
        found = dict.fromkeys(name for point in self.points for name in point.top1)
        return [name for name in found if "VE" in name.split(" + ")]

    def rows(self) -> list[Row]:
        """One for each τ, ascending."""
        taus = dict.fromkeys(point.tau for point in self.points)
        return [_row([point for point in self.points if point.tau == tau]) for tau in taus]

    def title(self) -> str:
        """What was trained and tested, one line."""
        known = {name: self.about.get(name) for name in ("dataset", "protocol", "negatives")}
        seeds = len({point.seed for point in self.points})
        return (
            f"top-1 (%) against τ: {known['dataset']}, protocol {known['protocol']}, {known['negatives']} negatives a "
            f"positive, {seeds} seed{'' if seeds == 1 else 's'}; ± over splits"
        )

    def cells(self) -> list[list[str]]:
        """Header and rows of the table, in percent; the last column says what failed."""
        names = self.modalities
        table = [["τ", *names, "short of candidates", "triplets", "seconds", ""]]
        for row in self.rows():
            figures = [row.accuracies[name].percent() if name in row.accuracies else "–" for name in names]
            counts = [f"{row.triplets:,.0f}", f"{row.seconds:,.0f}"] if row.done else ["–", "–"]
            table.append([f"{row.tau:g}", *figures, f"{100 * row.short:.1f} %", *counts, row.note()])
        return table

    def text(self) -> str:
        """The table for a terminal."""
        cells = self.cells()
        notes = [f"τ = {row[0]}: {row[-1]}" for row in cells[1:] if row[-1]]
        return "\n".join([self.title(), *aligned([row[:-1] for row in cells]), *notes])

    def markdown(self) -> str:
        """The table in Markdown."""
        head, *rows = self.cells()
        lines = [head, ["---", *["---:"] * (len(head) - 2), "---"], *rows]
        return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)

    def to_csv(self) -> str:
        """A line a point: accuracies as fractions, means over its splits, empty where it failed."""
        names = list(dict.fromkeys(name for point in self.points for name in point.top1))
        head = ["tau", "seed", *(f"top1 {name}" for name in names), "short", "triplets", "seconds", "failed"]
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(head)
        for point in self.points:
            means = [statistics.fmean(point.top1[name]) if name in point.top1 else "" for name in names]
            lines.writerow([point.tau, point.seed, *means, point.short, point.triplets, point.seconds, point.failed])
        return text.getvalue()

    # On disk -----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> list[Path]:
        """Write `FILE` into a folder, and a CSV and a Markdown table beside it; each whole or not at all."""
        path = Path(folder) / FILE
        paths = [path, path.with_suffix(".csv"), path.with_suffix(".md")]
        value = {"cezsar": "tau sweep", "version": VERSION, "about": self.about}
        value["points"] = [asdict(point) for point in self.points]
        write_text(paths[0], json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(paths[1], self.to_csv())
        write_text(paths[2], self.markdown())
        return paths

    @classmethod
    def load(cls, folder: str | Path) -> Sweep:
        """What `save` wrote.

        Raises:
            InputError: the folder holds no sweep.
            FormatError: it is damaged, or of another version.
        """
        path = Path(folder) / FILE
        value = read_json_object(path)
        if (value.get("cezsar"), value.get("version")) != ("tau sweep", VERSION):
            raise FormatError(f"{path} is no τ sweep of version {VERSION}; make it again with `cezsar tau-sweep`")
        try:
            sweep = cls(_mapping(value["about"]))
            for entry in value["points"]:
                sweep = sweep.joined(Point(**entry))
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"{path} is damaged ({error}); remove it, and sweep again") from error
        return sweep


def _row(points: list[Point]) -> Row:
    done = [point for point in points if not point.failed]
    names = dict.fromkeys(name for point in done for name in point.top1)
    accuracies = {name: _accuracy([point.top1[name] for point in done if name in point.top1]) for name in names}
    counted = done or points
    return Row(
        points[0].tau,
        accuracies,
        statistics.fmean(point.short for point in points),
        statistics.fmean(point.triplets for point in counted),
        statistics.fmean(point.seconds for point in counted),
        len(done),
        len(points),
        tuple(dict.fromkeys(point.failed for point in points if point.failed)),
    )


def _accuracy(seeds: list[list[float]]) -> Accuracy:
    """Accuracies in each split, seed by seed, in three numbers."""
    means = [statistics.fmean(splits) for splits in seeds]
    pooled = None
    if len(seeds[0]) > 1:
        pooled = math.sqrt(statistics.fmean(statistics.variance(splits) for splits in seeds))
    return Accuracy(statistics.fmean(means), pooled, statistics.stdev(means) if len(means) > 1 else None)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise FormatError("what its points share is no object")
    return dict(value)
