"""Accuracy against τ (Estevam et al., ICPR 2026, Section 5): a run for each bound on hard negatives, all else the same.

The paper tells top-1 of VE + O on UCF-101: 47.8 % for τ = 0.7, 50.9 % for 0.8, 48.3 % for 0.9. For every τ and seed,
`sweep` mines, trains and evaluates on the same videos, with the same settings and on the same splits of classes:

```
folder/tau-sweep.json   what all points share, and every point once it is done; a .csv and a .md beside it
folder/tau-0.8-seed-0/  the run of a point, with its results
```

A sweep that was stopped goes on where it was, and further τ or seeds join those that are there. Accuracies are
fractions inside and in JSON and CSV, percent in tables.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cezsar.atomic import write_text
from cezsar.config import MiningConfig, TrainingConfig, UseConfig, from_dict
from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.zeroshot.results import percent
from cezsar.zeroshot.tables import aligned, csv_of, markdown_table

if TYPE_CHECKING:
    from cezsar.data.annotations import Annotations
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import Encoder
    from cezsar.encoders.base import ObjectHead
    from cezsar.encoders.objects import LinearHead
    from cezsar.zeroshot.methods import Sources

FILE = "tau-sweep.json"
VERSION = 1
ANCHORS = 3_000  # sentences whose candidates are counted, drawn at random where there are more
PAPER = {0.7: 0.478, 0.8: 0.509, 0.9: 0.483}
"""Top-1 of VE + O on UCF-101, 101 classes, for each τ: Section 5 of Estevam et al., ICPR 2026."""
Progress = Callable[[str, int, int, str], None]
"""Takes the stage, how much of it is done, how much there is, and a note."""


# What was found ------------------------------------------------------------------------------------------------------


class Accuracy(NamedTuple):
    """Top-1 over the seeds and splits of one τ, a fraction.

    Attributes:
        mean: over all splits of all seeds.
        splits: standard deviation over splits (ddof = 1), pooled over seeds; None with one split.
        seeds: standard deviation over seeds of their means over splits; None with one seed.
    """

    mean: float
    splits: float | None
    seeds: float | None

    def percent(self) -> str:
        """Such as "50.9 ± 2.1", ± over splits, with "(seeds ± 0.8)" behind it where there are several."""
        return percent(self.mean, self.splits) + ("" if self.seeds is None else f" (seeds ± {percent(self.seeds)})")


@dataclass(frozen=True)
class Point:
    """One run: a τ and a seed.

    Attributes:
        short: share of the sentences that have fewer candidates than a positive gets negatives, a fraction.
        triplets: mined.
        seconds: mining, training and evaluation.
        top1: modality -> accuracy in each split, fractions.
        failed: why there is no run, in words; "" where there is one.
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
        if not (
            0 < self.tau <= 2
            and all(0 <= value <= 1 for value in (self.short, *accuracies))
            and type(self.seed) is type(self.triplets) is int
            and math.isfinite(self.seconds)
            and all(self.top1.values())
            and len({len(values) for values in self.top1.values()}) == (not self.failed)
        ):
            raise InputError(f"the point τ = {self.tau}, seed {self.seed} has numbers that make no sense")


@dataclass(frozen=True)
class SweepRow:
    """All seeds of one τ. Numbers are means over the seeds; those of failed ones are not among them.

    Attributes:
        accuracies: modality -> top-1; empty where every seed failed.
        done, seeds: runs there are, and points.
        note: what failed; "" where nothing did.
    """

    tau: float
    accuracies: dict[str, Accuracy]
    short: float
    triplets: float
    seconds: float
    done: int
    seeds: int
    note: str

    @classmethod
    def of(cls, points: list[Point]) -> SweepRow:
        done = [point for point in points if not point.failed]
        names = dict.fromkeys(name for point in done for name in point.top1)
        failed = "; ".join(dict.fromkeys(point.failed for point in points if point.failed))
        return cls(
            points[0].tau,
            {name: _accuracy([point.top1[name] for point in done if name in point.top1]) for name in names},
            statistics.fmean(point.short for point in points),
            statistics.fmean(point.triplets for point in done or points),
            statistics.fmean(point.seconds for point in done or points),
            len(done),
            len(points),
            f"{len(points) - len(done)} of {len(points)} seeds: {failed}" if failed and done else failed,
        )


def _accuracy(seeds: list[list[float]]) -> Accuracy:
    """Accuracies in each split, seed by seed, in three numbers."""
    means = [statistics.fmean(splits) for splits in seeds]
    pooled = None
    if len(seeds[0]) > 1:
        pooled = math.sqrt(statistics.fmean(statistics.variance(splits) for splits in seeds))
    return Accuracy(statistics.fmean(means), pooled, statistics.stdev(means) if len(means) > 1 else None)


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

    def rows(self) -> list[SweepRow]:
        """One for each τ, ascending."""
        taus = dict.fromkeys(point.tau for point in self.points)
        return [SweepRow.of([point for point in self.points if point.tau == tau]) for tau in taus]

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
            table.append([f"{row.tau:g}", *figures, f"{100 * row.short:.1f} %", *counts, row.note])
        return table

    def text(self) -> str:
        """The table for a terminal."""
        cells = self.cells()
        notes = [f"τ = {row[0]}: {row[-1]}" for row in cells[1:] if row[-1]]
        return "\n".join([self.title(), *aligned([row[:-1] for row in cells]), *notes])

    def markdown(self) -> str:
        """The table in Markdown."""
        head, *rows = self.cells()
        return markdown_table(head, rows, left=(0, len(head) - 1))

    def to_csv(self) -> str:
        """A line a point: accuracies as fractions, means over its splits, empty where it failed."""
        names = dict.fromkeys(name for point in self.points for name in point.top1)
        return csv_of(
            [
                {"tau": point.tau, "seed": point.seed}
                | {f"top1 {name}": statistics.fmean(point.top1[name]) if name in point.top1 else "" for name in names}
                | {"short": point.short, "triplets": point.triplets, "seconds": point.seconds, "failed": point.failed}
                for point in self.points
            ]
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write `FILE` into a folder, and a CSV and a Markdown table beside it; each whole or not at all."""
        path = Path(folder) / FILE
        value = {"cezsar": "tau sweep", "version": VERSION, "about": self.about}
        value["points"] = [asdict(point) for point in self.points]
        texts = {
            path: json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            path.with_suffix(".csv"): self.to_csv(),
            path.with_suffix(".md"): self.markdown(),
        }
        for each, text in texts.items():
            write_text(each, text)
        return list(texts)

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
            sweep = cls(dict(value["about"]))
            for entry in value["points"]:
                sweep = sweep.joined(Point(**entry))
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"{path} is damaged ({error}); remove it, and sweep again") from error
        return sweep


# Sweeping ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """What every run of a sweep learns from and is tested on.

    Attributes:
        annotations: timestamped captions of the training videos.
        store: features of these.
        sentences: encoder of sentences; give it a cache.
        sources: the test set: its clips, features and class descriptions.
        names: names objects for object positives; None for none.
        head: an object recogniser that each run keeps.
        name: of the annotations, for records.
    """

    annotations: Annotations
    store: FeatureStore
    sentences: Encoder
    sources: Sources
    names: ObjectHead | None = None
    head: LinearHead | None = None
    name: str = "annotations"


@dataclass(frozen=True)
class SweepConfig:
    """What every run of a sweep does. Defaults are the paper's.

    Attributes:
        mining: its τ and seed are those of the points.
        model, training: fields of `ModelConfig` and `TrainingConfig` that differ from the paper's; no seed.
        domain: one line on what the training videos show.
        protocol, splits, splits_seed: as in `zeroshot.protocols.parse`.
        most_short: a τ is left out where a larger share of the sentences has fewer candidates than negatives are drawn.
    """

    mining: MiningConfig = field(default_factory=MiningConfig)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    use: UseConfig = field(default_factory=UseConfig)
    domain: str = "unnamed videos"
    protocol: str = "all"
    splits: int = 50
    splits_seed: int = 0
    most_short: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        mining = {key: value for key, value in asdict(self.mining).items() if key not in ("tau", "seed")}
        own = {key: value for key, value in asdict(self).items() if key not in ("mining", "use")}
        return mining | own | {"objects": self.use.objects, "fusion": self.use.fusion}


def sweep(
    material: Material,
    config: SweepConfig,
    taus: Sequence[float],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    device: str | None = None,
    on_progress: Progress = lambda stage, done, total, note: None,
) -> Sweep:
    """Train and test a run for each τ and seed, as far as `folder` does not hold it already.

    A τ that leaves too many sentences without enough candidates, under which mining or training finds nothing to work
    with, or whose loss diverges, is a point that says so.

    Returns:
        All points that `folder` holds, those of earlier calls among them.

    Raises:
        InputError: no τ or no seed, one given twice or out of range, settings that no model has, an unknown protocol,
            or no annotated video in the store.
        MismatchError: `folder` holds a sweep of other material or settings.
    """
    from cezsar.zeroshot.protocols import parse

    folder, taus, seeds = Path(folder), sorted(taus), sorted(seeds)
    refuse_points(taus, seeds)
    from_dict(TrainingConfig, config.training)
    parse(config.protocol, sorted(set(material.sources.dataset.labels.values())))  # rather now than after training
    shared = about(material, config)
    there = Sweep(shared)
    if (folder / FILE).is_file():
        there = Sweep.load(folder)
        if other := [name for name in {**shared, **there.about} if shared.get(name) != there.about.get(name)]:
            raise MismatchError(
                f"{folder} holds a sweep that differs in {', '.join(other)}; its points could not be compared with new "
                "ones: give the same, or another folder"
            )
    short = dict(zip(taus, shares_short(material, taus, config.mining.negatives), strict=True))
    wanted = [(tau, seed) for tau in taus for seed in seeds if not there.has(tau, seed)]
    for number, (tau, seed) in enumerate(wanted, start=1):
        name = f"τ = {tau:g}, seed {seed} ({number} of {len(wanted)})"
        blank = Point(tau, seed, short[tau], failed="not trained")
        report = partial(_report, on_progress, name)
        there = there.joined(_point(material, config, blank, folder / f"tau-{tau:g}-seed-{seed}", device, report))
        there.save(folder)
    there.save(folder)
    return there


def refuse_points(taus: Sequence[float], seeds: Sequence[int]) -> None:
    """Raises `InputError` where there is no τ or no seed, or one that is out of range or given twice."""
    if not taus or not seeds or not all(0 < tau <= 2 for tau in taus):
        raise InputError("give at least one τ and one seed; cosine distance bounds lie in (0, 2]")
    if len({f"{tau:g}" for tau in taus}) < len(taus) or len(set(seeds)) < len(seeds):
        raise InputError("a τ or a seed is given twice (of a τ six digits count); give each once")


def about(material: Material, config: SweepConfig) -> dict[str, Any]:
    """All that points must share to be compared, as JSON has it: settings, and fingerprints of the material."""
    sources = material.sources
    captions = sources.captions and {clip: list(texts) for clip, texts in sources.captions.items()}
    shared = {
        "annotations": material.name,
        "segments": _digest([asdict(segment) for segment in material.annotations.segments]),
        "store": material.store.fingerprint,
        "sentences": {"name": material.sentences.name, "fingerprint": material.sentences.fingerprint},
        "dataset": sources.dataset.name,
        "labels": _digest(sources.dataset.labels),
        "test stores": [store.fingerprint for store in sources.stores],
        "descriptions": _digest({name: list(texts) for name, texts in sources.descriptions.items()}),
        "captions": _digest([captions, sources.averaged]) if captions else None,
        "several": sources.several,
        "recogniser": None if material.head is None else _digest(material.head.weight.tolist()),
    }
    round_trip: dict[str, Any] = json.loads(json.dumps(shared | config.to_dict()))
    return round_trip


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def shares_short(material: Material, taus: Sequence[float], negatives: int) -> list[float]:
    """For each τ the share of the training sentences with fewer than `negatives` candidates, in one pass.

    As `analysis.tau.candidates` counts them: every human sentence is an anchor with itself as its only positive. Object
    positives leave sub-clips fewer.
    """
    import numpy as np

    from cezsar.analysis.tau import candidates

    segments = [segment for segment in material.annotations.segments if segment.video_id in material.store]
    if not segments:
        raise InputError("none of the annotated videos is in the store; extract their features first")
    vectors_NS = material.sentences.encode([segment.sentence for segment in segments])
    groups_N = np.array([segment.video_id for segment in segments])
    _, counts_TA = candidates(vectors_NS, groups_N, taus, ANCHORS, np.random.default_rng(0))
    return (counts_TA < negatives).mean(axis=1).tolist()


def _point(
    material: Material, config: SweepConfig, blank: Point, folder: Path, device: str | None, report: Callable[..., None]
) -> Point:
    """Mine, train and test one run; where that cannot be done, a point with the reason."""
    import numpy as np

    from cezsar.training.loop import DivergedError, train
    from cezsar.training.triplets import build
    from cezsar.zeroshot.methods import prepare
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.tables import save_all

    mining = replace(config.mining, tau=blank.tau, seed=blank.seed)
    if blank.short > config.most_short:
        share, most = f"{100 * blank.short:.1f} %", f"{100 * config.most_short:g} %"
        few = f"too few: {share} of the sentences have fewer than {mining.negatives} candidates, {most} are allowed"
        return replace(blank, failed=few)
    started, point = time.perf_counter(), blank
    try:
        triplets = build(
            material.annotations,
            material.store,
            material.sentences,
            np.random.default_rng(blank.seed),
            mining,
            head=material.names,
            record={"annotations": material.name, "seed": blank.seed},
            on_progress=partial(report, "mining"),
        )
        point = replace(blank, triplets=len(triplets), seconds=time.perf_counter() - started)
        run = train(
            triplets,
            material.store,
            folder,
            model=config.model,
            training=config.training | {"seed": blank.seed},
            use=config.use,
            domain=config.domain,
            head=material.head,
            resume=True,
            device=device,
            on_progress=partial(_epochs, report, config.training.get("epochs", TrainingConfig.epochs)),
        )
    except MismatchError:
        raise  # a run of something else stands there
    except (InputError, DivergedError) as error:
        return replace(point, failed=str(error))
    started = time.perf_counter()
    ready = prepare("cezsar", material.sources, run, partial(report, "evaluation"))
    protocol = parse(config.protocol, ready.scores.class_names, runs=config.splits, seed=config.splits_seed)
    results = ready.table(protocol)
    save_all(results, run.folder / "results" / "tau-sweep.json")
    top1 = {result.modality: [split.top1 for split in result.runs] for result in results}
    seconds = point.seconds + run.record()["seconds"] + time.perf_counter() - started
    return replace(point, top1=top1, seconds=round(seconds, 1), failed="")


def _report(on_progress: Progress, name: str, stage: str, done: int, total: int, note: str = "") -> None:
    on_progress(f"{name}, {stage}", done, total, note)


def _epochs(report: Callable[..., None], epochs: int, line: dict[str, Any]) -> None:
    """A line of a training history as progress."""
    if line["kind"] == "epoch":
        note = f"loss {line['train_loss']:.4f}, validation {line['validation_loss']:.4f}"
        report("training", line["epoch"], epochs, note)
