"""Accuracy against τ (Estevam et al., ICPR 2026, Section 5): a run for each bound on hard negatives, all else the same.

`folder/tau-sweep.json` has what all points share, and every point once it is done, a .csv and a .md beside it;
`folder/tau-0.8-seed-0/` is the run of a point. A sweep goes on where it was stopped, and further τ or seeds join.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import TYPE_CHECKING, Any, NamedTuple

from cezsar.atomic import alone, write_json, write_text
from cezsar.config import MiningConfig, TrainingConfig, UseConfig, from_dict
from cezsar.data.documents import read_json_object
from cezsar.errors import DAMAGED, FormatError, InputError, MismatchError
from cezsar.formats import check_stamp, digest, stamp
from cezsar.zeroshot.evaluation import percent
from cezsar.zeroshot.tables import csv_of, markdown, text

if TYPE_CHECKING:
    import pandas as pd

    from cezsar.data.annotations import Annotations
    from cezsar.data.features import FeatureStore
    from cezsar.data.sentence_cache import Encoder
    from cezsar.encoders.base import ObjectHead
    from cezsar.encoders.objects import LinearHead
    from cezsar.zeroshot.methods import Sources

FILE = "tau-sweep.json"
ANCHORS = 3_000  # sentences whose candidates are counted, drawn at random where there are more
PAPER = {0.7: 0.478, 0.8: 0.509, 0.9: 0.483}  # τ -> top-1 of VE + O on UCF-101, 101 classes (Section 5)
Progress = Callable[[str, int, int, str], None]  # takes the stage, how much of it is done, how much there is, a note


# What was found ------------------------------------------------------------------------------------------------------


class Accuracy(NamedTuple):
    """Top-1 over the seeds and splits of one τ, a fraction, with sample standard deviations (ddof = 1)."""

    mean: float
    splits: float | None  # deviation over splits, pooled over seeds; None with one split
    seeds: float | None  # deviation over seeds of their means over splits; None with one seed

    @classmethod
    def of(cls, seeds: list[list[float]]) -> Accuracy:
        """From accuracies in each split, seed by seed."""
        means = [fmean(splits) for splits in seeds]
        pooled = math.sqrt(fmean(map(variance, seeds))) if len(seeds[0]) > 1 else None
        return cls(fmean(means), pooled, stdev(means) if len(means) > 1 else None)

    def percent(self) -> str:
        """Such as "50.9 ± 2.1", ± over splits, with "(seeds ± 0.8)" behind it where there are several."""
        return percent(self.mean, self.splits) + ("" if self.seeds is None else f" (seeds ± {percent(self.seeds)})")


@dataclass(frozen=True)
class Point:
    """One run: a τ and a seed."""

    tau: float
    seed: int
    short: float  # share of the sentences that have fewer candidates than a positive gets negatives
    triplets: int = 0  # mined
    seconds: float = 0.0  # mining, training and evaluation
    top1: dict[str, list[float]] = field(default_factory=dict)  # modality -> accuracy in each split, fractions
    failed: str = ""  # why there is no run, in words


@dataclass(frozen=True)
class Sweep:
    """Runs that differ in τ and seed only."""

    about: dict[str, Any]  # "dataset", "protocol", "negatives", and all that must agree for points to be compared
    points: list[Point] = field(default_factory=list)  # ascending by τ, then seed

    @property
    def modalities(self) -> list[str]:
        """Those with VE, which is what training changes most: "VE", then fused ones."""
        return [name for name in self._all_modalities() if "VE" in name.split(" + ")]

    def _all_modalities(self) -> list[str]:
        return list(dict.fromkeys(name for point in self.points for name in point.top1))

    def accuracies(self) -> dict[float, dict[str, Accuracy]]:
        """τ, ascending -> modality -> top-1; empty where every seed failed."""
        found: dict[float, dict[str, Accuracy]] = {}
        for tau in dict.fromkeys(point.tau for point in self.points):
            tried = [point.top1 for point in self.points if point.tau == tau]
            top1 = {name: [each[name] for each in tried if name in each] for name in self._all_modalities()}
            found[tau] = {name: Accuracy.of(seeds) for name, seeds in top1.items() if seeds}
        return found

    def title(self) -> str:
        """What was trained and tested, one line."""
        dataset, protocol, negatives = (self.about.get(name) for name in ("dataset", "protocol", "negatives"))
        seeds = len({point.seed for point in self.points})
        told = f"{dataset}, protocol {protocol}, {negatives} negatives a positive, seeds: {seeds}"
        return f"top-1 (%) against τ: {told}; ± over splits"

    def table(self) -> pd.DataFrame:
        """A row for each τ as text, in percent and means over seeds; the last column says what failed."""
        import pandas as pd

        rows = []
        for tau, accuracies in self.accuracies().items():
            points = [point for point in self.points if point.tau == tau]
            done = [point for point in points if not point.failed]
            row = {"τ": f"{tau:g}"}
            row |= {name: accuracies[name].percent() if name in accuracies else "–" for name in self.modalities}
            row["short of candidates"] = f"{100 * fmean(point.short for point in points):.1f} %"
            for key in ("triplets", "seconds"):
                row[key] = f"{fmean(getattr(each, key) for each in done):,.0f}" if done else "–"
            failed = [f"seed {point.seed}: {point.failed}" for point in points if point.failed]
            rows.append(row | {"failed": "; ".join(failed)})
        return pd.DataFrame(rows)

    def text(self) -> str:
        """The table for a terminal."""
        return f"{self.title()}\n{text(self.table())}"

    def save(self, folder: str | Path) -> list[Path]:
        """Write `FILE` into a folder, and beside it the table in Markdown, and as CSV a line a point: accuracies as
        fractions, means over its splits, empty where it failed."""
        path = Path(folder) / FILE
        top1 = [{f"top1 {name}": fmean(splits) for name, splits in point.top1.items()} for point in self.points]
        rows = [{**asdict(point), **reached} for point, reached in zip(self.points, top1, strict=True)]
        for row in rows:
            del row["top1"]
        texts = {path.with_suffix(".csv"): csv_of(rows), path.with_suffix(".md"): markdown(self.table())}
        for each, content in texts.items():
            write_text(each, content)
        write_json(path, stamp("tau sweep") | asdict(self))  # last, since a sweep that has all points writes nothing
        return [path, *texts]

    @classmethod
    def load(cls, folder: str | Path) -> Sweep:
        """What `save` wrote. Raises `InputError` without a file, `FormatError` for a damaged one or another version."""
        path = Path(folder) / FILE
        value = read_json_object(path)
        check_stamp(path, "tau sweep", value, "make it again with `cezsar tau-sweep`")
        try:
            sweep = cls(dict(value["about"]), [Point(**entry) for entry in value["points"]])
            sweep.table()  # what makes no table is damaged
        except DAMAGED as error:
            raise FormatError(f"{path} is damaged ({error}); remove it, and sweep again") from error
        return sweep


# Sweeping ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """What every run of a sweep learns from, is tested on and does; settings are the paper's by default."""

    annotations: Annotations  # timestamped captions of the training videos
    store: FeatureStore  # features of these
    sentences: Encoder  # give it a cache
    sources: Sources  # the test set: its clips, features and class descriptions
    names: ObjectHead | None = None  # names objects for object positives; None for none
    head: LinearHead | None = None  # an object recogniser that each run keeps
    name: str = "annotations"  # of the annotations, for records
    mining: MiningConfig = field(default_factory=MiningConfig)  # its τ and seed are those of the points
    model: dict[str, Any] = field(default_factory=dict)  # fields of `ModelConfig` that differ from the paper's,
    training: dict[str, Any] = field(default_factory=dict)  # and of `TrainingConfig`; no seed
    use: UseConfig = field(default_factory=UseConfig)
    domain: str = "unnamed videos"  # one line on what the training videos show
    protocol: str = "all"  # this and the next two as in `zeroshot.protocols.parse`
    splits: int = 50
    splits_seed: int = 0
    most_short: float = 0.5  # a τ is left out where a larger share of the sentences is short of candidates


def sweep(material: Material, taus: Sequence[float], seeds: Sequence[int], folder: str | Path, *,
          device: str | None = None,
          on_progress: Progress = lambda stage, done, total, note: None) -> Sweep:  # fmt: skip
    """Train and test a run for each τ and seed, as far as `folder` does not hold it already; returns all its points.
    One with too few candidates, nothing to train on, or a diverging loss is a point that says so. Raises `InputError`
    for impossible settings, `MismatchError` where `folder` holds a sweep of other material."""
    from cezsar.zeroshot.protocols import parse

    folder, taus, seeds = Path(folder), sorted(taus), sorted(seeds)
    refuse_points(taus, seeds)
    from_dict(TrainingConfig, material.training)
    parse(material.protocol, sorted(set(material.sources.dataset.labels.values())))  # rather now than after training
    shared = about(material)
    with alone(folder):
        there = Sweep.load(folder) if (folder / FILE).is_file() else Sweep(shared)
        if other := [name for name in {**shared, **there.about} if shared.get(name) != there.about.get(name)]:
            raise MismatchError(
                f"{folder} holds a sweep that differs in {', '.join(other)}; its points could not be compared with new "
                "ones: give the same, or another folder"
            )
        short = dict(zip(taus, shares_short(material, taus), strict=True))
        points = {(point.tau, point.seed): point for point in there.points}  # done, or found to be impossible
        wanted = [(tau, seed) for tau in taus for seed in seeds if (tau, seed) not in points]
        for number, (tau, seed) in enumerate(wanted, start=1):
            name = f"τ = {tau:g}, seed {seed} ({number} of {len(wanted)})"

            def report(stage: str, done: int, total: int, note: str = "", name: str = name) -> None:
                on_progress(f"{name}, {stage}", done, total, note)

            blank = Point(tau, seed, short[tau], failed="not trained")
            points[tau, seed] = _point(material, blank, folder / f"tau-{tau:g}-seed-{seed}", device, report)
            there = Sweep(shared, [points[key] for key in sorted(points)])
            there.save(folder)
        return there


def refuse_points(taus: Sequence[float], seeds: Sequence[int]) -> None:
    """Raises `InputError` where there is no τ or no seed, or one that is out of range or given twice."""
    if not taus or not seeds or not all(0 < tau <= 2 for tau in taus):
        raise InputError("give at least one τ and one seed; cosine distance bounds lie in (0, 2]")
    if len({f"{tau:g}" for tau in taus}) < len(taus) or len(set(seeds)) < len(seeds):
        raise InputError("a τ or a seed is given twice (of a τ six digits count); give each once")


def about(material: Material) -> dict[str, Any]:
    """All that points must share to be compared, as JSON has it: settings, and digests of the material."""
    head = material.head
    shared: dict[str, Any] = {
        "annotations": material.name,
        "segments": digest([asdict(segment) for segment in material.annotations.segments]),
        "store": material.store.fingerprint,
        "sentences": {"name": material.sentences.name, "fingerprint": material.sentences.fingerprint},
        **material.sources.fingerprints(),
        "recogniser": None if head is None else digest(head.weight.tolist()),
    }
    shared |= {key: value for key, value in asdict(material.mining).items() if key not in ("tau", "seed")}
    own = ("model", "training", "domain", "protocol", "splits", "splits_seed", "most_short")
    shared |= {key: getattr(material, key) for key in own}
    shared |= {"objects": material.use.objects, "fusion": material.use.fusion}
    round_trip: dict[str, Any] = json.loads(json.dumps(shared))
    return round_trip


def shares_short(material: Material, taus: Sequence[float]) -> list[float]:
    """For each τ the share of training sentences with fewer candidates (`analysis.tau`) than a positive gets
    negatives."""
    import numpy as np

    from cezsar.analysis.tau import candidates

    segments = [segment for segment in material.annotations.segments if segment.video_id in material.store]
    if not segments:
        raise InputError("none of the annotated videos is in the store; extract their features first")
    vectors_NS = material.sentences.encode([segment.sentence for segment in segments])
    groups_N = np.array([segment.video_id for segment in segments])
    _, counts_TA = candidates(vectors_NS, groups_N, taus, ANCHORS, np.random.default_rng(0))
    return (counts_TA < material.mining.negatives).mean(axis=1).tolist()


def _point(material: Material, blank: Point, folder: Path, device: str | None, report: Callable[..., None]) -> Point:
    """Mine, train and test one run; where that cannot be done, a point with the reason."""
    import numpy as np

    from cezsar.training.loop import DivergedError, train
    from cezsar.training.triplets import build
    from cezsar.zeroshot.methods import prepare
    from cezsar.zeroshot.protocols import parse
    from cezsar.zeroshot.tables import save_all

    mining = replace(material.mining, tau=blank.tau, seed=blank.seed)
    if blank.short > material.most_short:
        share, most = f"{100 * blank.short:.1f} %", f"{100 * material.most_short:g} %"
        few = f"too few: {share} of the sentences have fewer than {mining.negatives} candidates, {most} are allowed"
        return replace(blank, failed=few)

    def trained(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch":
            note = f"loss {line['train_loss']:.4f}, validation {line['validation_loss']:.4f}"
            report("training", line["epoch"], material.training.get("epochs", TrainingConfig.epochs), note)

    started, point = time.perf_counter(), blank
    try:
        triplets = build(
            material.annotations, material.store, material.sentences, np.random.default_rng(blank.seed), mining,
            head=material.names, record={"annotations": material.name, "seed": blank.seed},
            on_progress=partial(report, "mining"),
        )  # fmt: skip
        point = replace(blank, triplets=len(triplets), seconds=time.perf_counter() - started)
        run = train(
            triplets, material.store, folder, model=material.model, training=material.training | {"seed": blank.seed},
            use=material.use, domain=material.domain, head=material.head, resume=True, device=device,
            on_progress=trained,
        )  # fmt: skip
    except MismatchError:
        raise  # a run of something else stands there
    except (InputError, DivergedError) as error:
        return replace(point, failed=str(error))
    started = time.perf_counter()
    ready = prepare("cezsar", material.sources, run, partial(report, "evaluation"))
    protocol = parse(material.protocol, ready.scores.class_names, runs=material.splits, seed=material.splits_seed)
    results = ready.table(protocol)
    save_all(results, run.folder / "results" / "tau-sweep.json")
    top1 = {result.modality: [split.top1 for split in result.runs] for result in results}
    seconds = point.seconds + run.record()["seconds"] + time.perf_counter() - started
    return replace(point, top1=top1, seconds=round(seconds, 1), failed="")
