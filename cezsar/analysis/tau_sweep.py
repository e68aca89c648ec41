"""Accuracy against τ (Estevam et al., ICPR 2026, Section 5): a run for each bound on hard negatives, all else the same.

The paper tells top-1 of VE + O on UCF-101: 47.8 % for τ = 0.7, 50.9 % for 0.8, 48.3 % for 0.9. For every τ and seed,
`sweep` mines, trains and evaluates on the same videos, with the same settings and on the same splits of classes:

```
folder/tau-sweep.json   what all points share, and every point once it is done; a .csv and a .md beside it
folder/tau-0.8-seed-0/  the run of a point, with its results
```

A sweep that was stopped goes on where it was, and further τ or seeds join those that are there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.analysis.tau import candidates
from cezsar.analysis.tau_table import FILE, Point, Sweep
from cezsar.data.annotations import Annotations
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError, MismatchError
from cezsar.training.loop import DivergedError, config_for, train
from cezsar.training.runs import Run, TrainingConfig
from cezsar.training.triplets import Triplets, build
from cezsar.zeroshot.evaluation import evaluate_each
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.protocols import parse
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.tables import save_all

ANCHORS = 3_000
"""Sentences whose candidates are counted, drawn at random where there are more."""
Progress = Callable[[str, int, int, str], None]
"""Takes the stage, how much of it is done, how much there is, and a note."""


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
class Settings:
    """What every run of a sweep does. Defaults are the paper's.

    Attributes:
        negatives, sub_clips, object_positives: as in `training.triplets.build`.
        model, training: fields of `ModelConfig` and `TrainingConfig` that differ from the paper's; the seed is not
            among them.
        objects: how many O(v) names.
        fusion: α, β, γ.
        domain: one line on what the training videos show.
        protocol, splits, splits_seed: as in `zeroshot.protocols.parse`.
        most_short: a τ is left out where a larger share of the sentences has fewer candidates than `negatives`.
    """

    negatives: int = 10
    sub_clips: int = 3
    object_positives: int = 2
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    objects: int = 3
    fusion: dict[str, float] = field(default_factory=lambda: {"alpha": 0.8, "beta": 0.2, "gamma": 0.0})
    domain: str = "unnamed videos"
    protocol: str = "all"
    splits: int = 50
    splits_seed: int = 0
    most_short: float = 0.5


def sweep(
    material: Material,
    settings: Settings,
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
    folder, taus, seeds = Path(folder), sorted(taus), sorted(seeds)
    _refuse(taus, seeds, settings)
    parse(settings.protocol, sorted(set(material.sources.dataset.labels.values())))  # rather now than after training
    there = opened(folder, about(material, settings))
    short = dict(zip(taus, shares_short(material, taus, settings.negatives), strict=True))
    wanted = [(tau, seed) for tau in taus for seed in seeds if not there.has(tau, seed)]
    for number, (tau, seed) in enumerate(wanted, start=1):
        name = f"τ = {tau:g}, seed {seed} ({number} of {len(wanted)})"
        report = partial(_report, on_progress, name)
        blank = Point(tau, seed, short[tau], failed="not trained")
        place = folder / f"tau-{tau:g}-seed-{seed}"
        there = there.joined(_point(material, settings, blank, place, device, report))
        there.save(folder)
    there.save(folder)
    return there


def opened(folder: Path, shared: dict[str, Any]) -> Sweep:
    """The sweep of a folder, empty where there is none.

    Raises:
        MismatchError: it is one of other material or settings than `shared` tells.
    """
    if not (folder / FILE).is_file():
        return Sweep(shared)
    there = Sweep.load(folder)
    if other := [name for name in {**shared, **there.about} if shared.get(name) != there.about.get(name)]:
        raise MismatchError(
            f"{folder} holds a sweep that differs in {', '.join(other)}; its points could not be compared with new "
            "ones: give the same, or another folder"
        )
    return there


def about(material: Material, settings: Settings) -> dict[str, Any]:
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
    round_trip: dict[str, Any] = json.loads(json.dumps(shared | asdict(settings)))
    return round_trip


def shares_short(material: Material, taus: Sequence[float], negatives: int) -> list[float]:
    """For each τ the share of the training sentences with fewer than `negatives` candidates, in one pass.

    As `analysis.tau.candidates` counts them: every human sentence is an anchor with itself as its only positive. Object
    positives leave sub-clips fewer.

    Raises:
        InputError: no annotated video is in the store.
    """
    segments = [segment for segment in material.annotations.segments if segment.video_id in material.store]
    if not segments:
        raise InputError("none of the annotated videos is in the store; extract their features first")
    vectors_NS = material.sentences.encode([segment.sentence for segment in segments])
    groups_N = np.array([segment.video_id for segment in segments])
    found = candidates(vectors_NS, groups_N, taus, ANCHORS, np.random.default_rng(0))
    return (found.too_few(negatives) / len(found.anchors)).tolist()


def _refuse(taus: Sequence[float], seeds: Sequence[int], settings: Settings) -> None:
    if not taus or not seeds or not all(0 < tau <= 2 for tau in taus):
        raise InputError("give at least one τ and one seed; cosine distance bounds lie in (0, 2]")
    if len({f"{tau:g}" for tau in taus}) < len(taus) or len(set(seeds)) < len(seeds):
        raise InputError("a τ or a seed is given twice (of a τ six digits count); give each once")
    if not 0 <= settings.most_short <= 1:
        raise InputError(f"a share of {settings.most_short} of the sentences was given; it lies between 0 and 1")
    TrainingConfig.from_dict(settings.training)


def _point(
    material: Material, settings: Settings, blank: Point, folder: Path, device: str | None, report: Callable[..., None]
) -> Point:
    """Mine, train and test one run; where that cannot be done, a point with the reason."""
    if blank.short > settings.most_short:
        share, most = f"{100 * blank.short:.1f} %", f"{100 * settings.most_short:g} %"
        few = f"too few: {share} of the sentences have fewer than {settings.negatives} candidates, {most} are allowed"
        return replace(blank, failed=few)
    started = time.perf_counter()
    try:
        triplets = _mine(material, settings, blank, partial(report, "mining"))
    except InputError as error:
        return replace(blank, failed=str(error))
    mined = replace(blank, triplets=len(triplets), seconds=time.perf_counter() - started)
    config = config_for(
        triplets,
        material.store,
        model=settings.model,
        training=settings.training | {"seed": blank.seed},
        domain=settings.domain,
        objects=settings.objects,
        fusion=settings.fusion,
    )
    epochs = partial(_epochs, partial(report, "training"), config.training.epochs)
    try:
        run = train(triplets, material.store, folder, config, resume=True, device=device, on_progress=epochs)
    except MismatchError:
        raise  # a run of something else stands there
    except (InputError, DivergedError) as error:
        return replace(mined, failed=str(error))
    if material.head is not None:
        material.head.save(run.folder / "objects.safetensors")
    started = time.perf_counter()
    results = _evaluate(material, settings, run, partial(report, "evaluation"))
    top1 = {result.modality: [split.top1 for split in result.runs] for result in results}
    seconds = mined.seconds + run.record()["seconds"] + time.perf_counter() - started
    return replace(mined, top1=top1, seconds=round(seconds, 1), failed="")


def _mine(material: Material, settings: Settings, point: Point, progress: Callable[[int, int], None]) -> Triplets:
    return build(
        material.annotations,
        material.store,
        material.sentences,
        np.random.default_rng(point.seed),
        head=material.names,
        tau=point.tau,
        negatives=settings.negatives,
        sub_clips=settings.sub_clips,
        object_positives=settings.object_positives,
        record={"annotations": material.name, "seed": point.seed},
        on_progress=progress,
    )


def _evaluate(material: Material, settings: Settings, run: Run, progress: Callable[[int, int], None]) -> list[Result]:
    """Every modality and their fusion, kept with the run."""
    ready = prepare("cezsar", material.sources, run, progress)
    protocol = parse(settings.protocol, ready.scores.class_names, runs=settings.splits, seed=settings.splits_seed)
    results = evaluate_each(ready.scores, protocol, ready.weights)
    save_all(results, run.folder / "results" / "tau-sweep.json")
    return results


def _report(on_progress: Progress, name: str, stage: str, done: int, total: int, note: str = "") -> None:
    on_progress(f"{name}, {stage}", done, total, note)


def _epochs(report: Callable[..., None], epochs: int, line: dict[str, Any]) -> None:
    """A line of a training history as progress."""
    if line["kind"] == "epoch":
        note = f"loss {line['train_loss']:.4f}, validation {line['validation_loss']:.4f}"
        report(line["epoch"], epochs, note)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
