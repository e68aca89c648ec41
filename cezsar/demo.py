"""The whole method on the stick-figure world: from drawn video files to accuracy on actions never trained on. Every
stage goes through the same code as real data, and is skipped when its output is already there, so a stopped demo goes
on where it was. How the settings were chosen, and what the paper's own give here, is in `docs/demo.md`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cezsar import workspace, world
from cezsar.analysis.baselines import place_scores
from cezsar.analysis.calibration import Calibrated, calibrate, labelled_scores
from cezsar.config import MiningConfig, TrainingConfig, UseConfig
from cezsar.data.annotations import load_annotations
from cezsar.data.datasets import Dataset
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.extraction import extract
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.manifest import Clip
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead, object_sentence, top_objects
from cezsar.training.runs import Run
from cezsar.zeroshot import scored
from cezsar.zeroshot.evaluation import Result, evaluate
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.methods import METHODS, Prepared
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import embed_dataset, prototypes_of, rows_of, space_of
from cezsar.zeroshot.tables import save_all

if TYPE_CHECKING:
    from cezsar.training.triplets import Triplets

DOMAIN = "the stick-figure world (drawn clips of people with props)"
COLOUR = ("scene colours", "colours", "neighbouring colours")  # parts of a row that the run on colour alone sees
SPLITS, SPLIT_SEED = 50, 0
Progress = Callable[[str, int, int, str], None]  # stage, done, total, note


@dataclass(frozen=True)
class Recipe:
    """What the demo trains with, where it departs from the paper, and the weights of its fusion."""

    videos: int = 300
    clips_per_class: int = 20
    # Segments are shorter than 10 s, so that more sub-clips would be the same one again.
    mining: MiningConfig = field(default_factory=lambda: MiningConfig(negatives=20, sub_clips=1, object_positives=0))
    model: Mapping[str, Any] = field(default_factory=lambda: {"d_model": 256, "ffn": 512})
    training: Mapping[str, Any] = field(
        default_factory=lambda: {"lr": 1e-3, "epochs": 8, "batch": 64, "standardise": True}
    )
    use: UseConfig = field(default_factory=lambda: UseConfig(objects=1))  # an action here has one prop, if any


PAPER = Recipe(mining=MiningConfig(), use=UseConfig(), model={}, training={"standardise": True})
"""The paper's own settings: object sentences as positives, learning rate 1e-4, full width."""


class Report(NamedTuple):
    """What the demo found."""

    results: list[Result]  # rows of the table
    seconds: dict[str, float]  # stage -> how long it took
    run: Path  # folder of the trained run
    largest_share: float  # of the predictions of VE + O that the most popular class takes; a collapse shows here


class Data(NamedTuple):
    """The drawn world, its features, and the recogniser of its props."""

    world: world.World
    train: FeatureStore
    test: FeatureStore
    head: LinearHead


class Stages:
    """Times each stage of the demo and reports its progress."""

    def __init__(self, on_progress: Progress = lambda stage, done, total, note: None) -> None:
        self._on_progress, self.seconds = on_progress, dict[str, float]()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Callable[..., None]]:
        started = time.perf_counter()

        def progress(done: int, total: int, note: object = "") -> None:
            if done < total:
                self._on_progress(stage, done, total, note if isinstance(note, str) else "")

        progress(0, 1)
        yield progress
        self.seconds[stage] = time.perf_counter() - started
        self._on_progress(stage, 1, 1, f"{self.seconds[stage]:.1f} s")


def run_demo(
    home: str | Path | None = None, seed: int = world.SEED, *, recipe: Recipe | None = None, run_name: str = "demo",
    workers: int = 2, on_progress: Progress = lambda stage, done, total, note: None,
) -> Report:  # fmt: skip
    """Draw the world, extract features, mine, train, and evaluate on actions that training never showed. `seed` is of
    the world, mining and training. Another recipe needs another `run_name`. Raises `MismatchError` where the workspace
    holds a demo of another seed."""
    recipe, stages = recipe or Recipe(), Stages(on_progress)
    data = make_data(home, seed, recipe, stages, workers=workers)
    sentences, runs = open_encoder("minilm", home=home), workspace.folder("runs", home)
    with stages("hard negatives"):
        triplets = mine_world(data, sentences, recipe, seed)
    with stages("training") as progress:
        run = train_run(runs / run_name, triplets, data.train, recipe, seed, progress)
        data.head.save(run.folder / "objects.safetensors")
        save_descriptions(run.folder / "prototypes.json", load_descriptions(data.world.folder / "descriptions.json"))
    with stages("training on colour alone") as progress:
        colour_train, colour_test = colour_store(data.train), colour_store(data.test)
        colour_run = train_run(runs / f"{run_name}-colour", triplets, colour_train, recipe, seed, progress)
    with stages("evaluation"):
        scores, colour = (
            keep_scores(scored.folder_for(each, "demo", home), each, sentences, store, data.world).scores()
            for each, store in ((run, data.test), (colour_run, colour_test))
        )
        weights = Weights(**recipe.use.fusion)
        place = place_scores([plan.segments[0].place for plan in data.world.test], scores)
        results = evaluate_all(scores, colour, place, weights)
        save_results(results, run.folder)
        predicted_N = fuse(scores, weights).argmax(1)
    with stages("when none of the labels fits"):
        calibrate_run(run, triplets, data, sentences).keep(run.folder)
    return Report(results, stages.seconds, run.folder, float(np.bincount(predicted_N).max() / len(predicted_N)))


def make_data(
    home: str | Path | None, seed: int, recipe: Recipe, stages: Stages, name: str = "demo",
    held_out: tuple[str, ...] = (), workers: int = 2,
) -> Data:  # fmt: skip
    """Video files, and features of them. Settings are chosen by leaving `held_out` seen actions out of training, and
    testing on them; such a world has a folder and stores of another `name`."""
    encoder, stores, folder = MotionEncoder(), workspace.folder("features", home), workspace.folder("demo", home)
    options: dict[str, Any] = {"videos": recipe.videos, "clips_per_class": recipe.clips_per_class, "workers": workers}
    if held_out:
        folder, options = folder / name, options | {"train_exclude": held_out, "test_actions": held_out}
    with stages("drawing videos") as progress:
        built = world.build(folder, seed, on_progress=progress, **options)
    with stages("features of training videos") as progress:
        clips = [Clip(built.path(plan), plan.id) for plan in built.train]
        extract(clips, encoder, stores / f"{name}-train", workers=workers, on_progress=progress)
        train_store = FeatureStore(stores / f"{name}-train")
    with stages("object recogniser"):
        head = fit_head(built, train_store, seed)
    with stages("features of test clips") as progress:
        clips = [Clip(built.path(plan), plan.id, plan.label) for plan in built.test]
        extract(clips, encoder, stores / f"{name}-test", workers=workers, object_head=head, on_progress=progress)
    return Data(built, train_store, FeatureStore(stores / f"{name}-test"), head)


def mine_world(data: Data, sentences: Encoder, recipe: Recipe, seed: int) -> Triplets:
    """Triplets from the world's captions."""
    from cezsar.training.triplets import build

    captions, rng = load_annotations(data.world.folder / "train.json"), np.random.default_rng([seed, 1])
    head = data.head if recipe.mining.object_positives else None
    record = {"annotations": "stick-figure world", "seed": seed}
    return build(captions, data.train, sentences, rng, recipe.mining, head=head, record=record)


def train_run(
    folder: Path, triplets: Triplets, store: FeatureStore, recipe: Recipe, seed: int, progress: Callable[..., None]
) -> Run:
    """Train, or finish training, on the features of `store`, whatever part of them it holds."""
    from cezsar.training.loop import train

    identity = {key: store.provenance[key] for key in ("encoder", "fingerprint", "dim")}
    triplets = replace(triplets, record=triplets.record | {"feature_encoder": identity, "store": store.fingerprint})

    def show(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch":
            note = f"loss {line['train_loss']:.3f}, validation {line['validation_loss']:.3f}"
            progress(line["epoch"], recipe.training.get("epochs", TrainingConfig.epochs), note)

    training = {**recipe.training, "seed": seed}
    return train(
        triplets, store, folder, model=recipe.model, training=training, use=recipe.use, domain=DOMAIN, resume=True,
        on_progress=show,
    )  # fmt: skip


def segments(
    plans: Iterable[world.VideoPlan], store: FeatureStore
) -> Iterator[tuple[str, world.SegmentPlan, np.ndarray]]:
    """What was drawn in training videos: an id, the segment, and features of the whole seconds within it."""
    for plan in plans:
        features_TD = store.features(plan.id)
        for number, segment in enumerate(plan.segments):
            yield f"{plan.id}/{number}", segment, features_TD[int(np.ceil(segment.start_s)) : int(segment.end_s)]


def fit_head(built: world.World, store: FeatureStore, seed: int) -> LinearHead:
    """The recogniser of props, from the seconds of training segments that show one thing from start to end."""
    names = list(world.OBJECTS)
    shown = [(names.index(part.prop), rows) for _, part, rows in segments(built.train, store) if part.prop is not None]
    props = np.concatenate([np.full(len(rows), prop) for prop, rows in shown])
    return fit_props(np.concatenate([rows for _, rows in shown]), props, seed)


def fit_props(features_RD: np.ndarray, props_R: np.ndarray, seed: int) -> LinearHead:
    """Multinomial logistic regression with dropout, by AdamW: from rows of `motion` features to an index into
    `world.OBJECTS`. It looks only at what things look like: unseen actions move known props in new ways. `seed` is of
    order and dropout."""
    import torch

    encoder, names = MotionEncoder(), world.OBJECTS
    columns = encoder.columns(*APPEARANCE)
    shown = np.asarray(features_RD, np.float32)[:, columns]
    mean, std = shown.mean(0), shown.std(0)
    std = np.where(std > 1e-4, std, 1).astype(np.float32)
    rows, props = torch.from_numpy((shown - mean) / std), torch.from_numpy(np.asarray(props_R, np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = torch.nn.Linear(len(columns), len(names))
        optimiser = torch.optim.AdamW(linear.parameters(), lr=1e-3, weight_decay=1e-2)
        for _ in range(12):
            for batch in torch.randperm(len(rows)).split(128):
                logits = linear(torch.nn.functional.dropout(rows[batch], 0.2))  # no single feature may decide
                loss = torch.nn.functional.cross_entropy(logits, props[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    weight = np.zeros((len(names), encoder.dim), np.float32)
    weight[:, columns] = scaled = linear.weight.detach().numpy() / std  # standardisation is part of the weights
    return LinearHead(list(names), list(names.values()), weight, linear.bias.detach().numpy() - scaled @ mean)


def calibrate_run(run: Run, triplets: Triplets, data: Data, sentences: Encoder) -> Calibrated:
    """T and the threshold for "none of these", from segments of videos that no training step saw. Each shows a known
    seen action, which is ranked among all seen actions. Two things flatter a little: the best epoch was chosen on these
    videos, and the recogniser of props was fitted on all."""
    from cezsar.training.loop import split_by_video

    settings = run.config.training
    _, sub_clips = split_by_video(triplets, settings.validation, settings.seed)
    held_out = {triplets.video_ids[video] for video in triplets.video_M[sub_clips].tolist()}
    clips = list(segments([plan for plan in data.world.train if plan.id in held_out], data.train))
    ids, labels, features = [c[0] for c in clips], [c[1].action for c in clips], [c[2] for c in clips]
    actions = sorted({segment.action for plan in data.world.train for segment in plan.segments})
    space = space_of(run, sentences)
    names, prototypes, owner = prototypes_of(space, {name: [world.DESCRIPTIONS[name]] for name in actions})
    objects = [top_objects(data.head.logits(clip_TD), run.config.objects)[0] for clip_TD in features]
    said = [object_sentence(data.head, best) for best in objects]
    modalities = {"VE": np.asarray(space.clips(features)), "O": rows_of(space, said)}
    scores = Scores.from_embeddings(Embeddings(ids, labels, names, modalities, prototypes, owner, space.name))
    about = f"segments of {len(held_out):,} validation videos, among {len(actions):,} seen actions"
    return calibrate(labelled_scores(scores, Weights(**run.config.fusion)), about=about)


def keep_scores(
    folder: Path, run: Run, sentences: Encoder, store: FeatureStore, built: world.World, *, shipped: bool = False
) -> scored.Scored:
    """The test clips scored by a run against the descriptions of their classes, in `folder`. What is shipped is rounded
    to float16, made on the CPU, and names no video files."""
    descriptions = load_descriptions(built.folder / "descriptions.json")
    data = Dataset("demo", {plan.id: plan.label for plan in built.test}, descriptions)
    space = space_of(run, sentences, "cpu" if shipped else None)
    embedded = embed_dataset(space, store, data, descriptions, run=run, every_class=True)
    weights, values = Weights(**run.config.fusion), Scores.from_embeddings(embedded.embeddings)
    ready = Prepared(METHODS["cezsar"], run.name, embedded, values, weights, run, store)
    paths = None if shipped else {plan.id: built.path(plan).resolve() for plan in built.test}
    return scored.keep(folder, ready, sentences, descriptions, dataset="demo", paths=paths, half=shipped)


# What the demo is compared with: a run on colour alone, and an oracle that knows the place ---------------------------


def colour_store(store: FeatureStore) -> FeatureStore:
    """A copy of a store that holds the colour part of its features and nothing else."""
    encoder, folder = MotionEncoder(), store.folder.with_name(store.folder.name + "-colour")
    columns, mark = encoder.columns(*COLOUR), hashlib.sha256(f"colour of {encoder.fingerprint}".encode()).hexdigest()
    provenance = {key: value for key, value in store.provenance.items() if not key.startswith("object")}
    provenance |= {"encoder": f"{encoder.name}, colour only", "fingerprint": mark, "dim": len(columns)}
    with StoreWriter(folder, provenance) as writer:
        for id in store:
            if id not in writer:
                writer.add(id, store.features(id)[:, columns], store.labels[id])
    return FeatureStore(folder)


def evaluate_all(scores: Scores, colour: Scores, place: Scores, weights: Weights) -> list[Result]:
    """Rows of the demo's table: each modality, fused, and the controls, on all classes and on random halves."""
    names, visual = scores.class_names, Weights(1, 0, 0)
    protocols = [all_classes(names), random_classes(names, len(names) // 2, SPLITS, SPLIT_SEED)]
    single = [(scores, visual, "VE"), (scores, Weights(0, 1, 0), "O"), (scores, weights, "VE + O")]
    rows = [*single, (place, visual, "place oracle"), (colour, visual, "colour only")]
    return [replace(evaluate(row, each, used), modality=name) for row, used, name in rows for each in protocols]


def save_results(results: list[Result], run: Path) -> None:
    """The rows of each protocol in a file of its own, among the results of a run."""
    for protocol in sorted({result.protocol for result in results}):
        save_all([each for each in results if each.protocol == protocol], run / "results" / f"demo {protocol}.json")
