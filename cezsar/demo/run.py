"""The whole method on the stick-figure world: from drawn video files to accuracy on actions never trained on.

Every stage goes through the same code as real data: video files, decoding, `motion` features, a feature store, mining,
training, evaluation. Each is skipped when its output is already there, so a stopped demo goes on where it was.

How the settings were chosen, and what the paper's own give here, is in `docs/demo.md`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cezsar import workspace, world
from cezsar.analysis.calibration import Calibrated, calibrate, labelled_scores
from cezsar.config import MiningConfig, TrainingConfig, UseConfig
from cezsar.data.annotations import load_annotations
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.extraction import extract
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.manifest import Clip
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.demo.recogniser import fit_props
from cezsar.encoders.motion import MotionEncoder
from cezsar.encoders.objects import LinearHead, object_sentence, top_objects
from cezsar.training.loop import split_by_video, train
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets, build
from cezsar.zeroshot import scored
from cezsar.zeroshot.embed import Embedded, embed
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.methods import METHODS, Prepared
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import prototypes_of, rows_of, space_of
from cezsar.zeroshot.tables import save_all

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


@dataclass(frozen=True)
class Report:
    """What the demo found.

    Attributes:
        results: rows of the table; accuracies are fractions.
        seconds: stage -> how long it took.
        run: folder of the trained run.
        largest_share: of the predictions of VE + O, the share that the most popular class takes; a collapse shows here.
    """

    results: list[Result]
    seconds: dict[str, float]
    run: Path
    largest_share: float


def run_demo(
    home: str | Path | None = None,
    seed: int = world.SEED,
    *,
    recipe: Recipe | None = None,
    name: str = "demo",
    run_name: str | None = None,
    held_out: tuple[str, ...] = (),
    workers: int = 2,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Draw the world, extract features, mine, train, and evaluate on actions that training never showed.

    Args:
        home: the workspace; `$CEZSAR_HOME` or `./workspace` by default.
        seed: of the world, mining and training.
        recipe: how to train.
        name: of the world's folder and of its stores. Another seed or `held_out` needs another name.
        run_name: of the run; `name` by default. Another recipe needs another name.
        held_out: leave these seen actions out of training, and test on them instead of the unseen ones: the way in
            which settings are chosen.
        workers: processes that render and decode.

    Raises:
        MismatchError: the workspace holds a demo of another seed under this name.
    """
    recipe = recipe or Recipe()
    stages = Stages(on_progress)
    data = make_data(home, seed, recipe, name, held_out, workers, stages)
    sentences = open_encoder("minilm", home=home)
    with stages("hard negatives"):
        triplets = mine_world(data, sentences, recipe, seed)
    runs, run_name = workspace.folder("runs", home), run_name or name
    with stages("training") as progress:
        run = train_run(runs / run_name, triplets, data.train, recipe, seed, device, progress)
        data.head.save(run.folder / "objects.safetensors")
        save_descriptions(run.folder / "prototypes.json", load_descriptions(data.world.folder / "descriptions.json"))
    with stages("training on colour alone") as progress:
        colour_train, colour_test = colour_store(data.train), colour_store(data.test)
        colour_run = train_run(runs / f"{run_name}-colour", triplets, colour_train, recipe, seed, device, progress)
    with stages("evaluation"):
        scores = scores_of(run, sentences, data.test, data.world, home)
        colour_scores = scores_of(colour_run, sentences, colour_test, data.world, home)
        results = evaluate_all(scores, colour_scores, place_scores(data.world, scores), Weights(**recipe.use.fusion))
        fused = fuse(scores, Weights(**recipe.use.fusion))
        largest = float(np.bincount(fused.argmax(1), minlength=fused.shape[1]).max() / len(fused))
        save_results(results, run.folder)
    with stages("when none of the labels fits"):
        calibrate_run(run, triplets, data, sentences).keep(run.folder)
    return Report(results, stages.seconds, run.folder, largest)


@dataclass(frozen=True)
class Data:
    """The drawn world, its features, and the recogniser of its props."""

    world: world.World
    train: FeatureStore
    test: FeatureStore
    head: LinearHead


def make_data(
    home: str | Path | None,
    seed: int,
    recipe: Recipe,
    name: str,
    held_out: tuple[str, ...],
    workers: int,
    stages: Stages,
) -> Data:
    """Video files, and features of them; see `run_demo` for the arguments."""
    encoder, stores = MotionEncoder(), workspace.folder("features", home)
    with stages("drawing videos") as progress:
        built = world.build(
            workspace.folder("demo", home) if name == "demo" else workspace.folder("demo", home) / name,
            seed,
            workers=workers,
            videos=recipe.videos,
            clips_per_class=recipe.clips_per_class,
            train_exclude=held_out,
            test_actions=held_out or None,
            on_progress=progress,
        )
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
    return build(
        load_annotations(data.world.folder / "train.json"),
        data.train,
        sentences,
        np.random.default_rng([seed, 1]),
        recipe.mining,
        head=data.head if recipe.mining.object_positives else None,
        record={"annotations": "stick-figure world", "seed": seed},
    )


class Stages:
    """Times each stage of the demo and reports its progress."""

    def __init__(self, on_progress: Progress | None) -> None:
        self._on_progress = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Callable[..., None]]:
        started, last = time.perf_counter(), [1]

        def progress(done: int, total: int, note: object = "") -> None:
            last[0] = total
            if self._on_progress and done < total:
                self._on_progress(stage, done, total, note if isinstance(note, str) else "")

        progress(0, 1)
        yield progress
        self.seconds[stage] = time.perf_counter() - started
        if self._on_progress:
            self._on_progress(stage, last[0], last[0], f"{self.seconds[stage]:.1f} s")


def train_run(
    folder: Path,
    triplets: Triplets,
    store: FeatureStore,
    recipe: Recipe,
    seed: int,
    device: str | None,
    progress: Callable[..., None],
) -> Run:
    """Train, or finish training, on the features of `store`, whatever part of them it holds."""
    identity = {key: store.provenance[key] for key in ("encoder", "fingerprint", "dim")}
    triplets = replace(triplets, record=triplets.record | {"feature_encoder": identity, "store": store.fingerprint})

    def show(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch":
            note = f"loss {line['train_loss']:.3f}, validation {line['validation_loss']:.3f}"
            progress(line["epoch"], recipe.training.get("epochs", TrainingConfig.epochs), note)

    return train(
        triplets,
        store,
        folder,
        model=recipe.model,
        training={**recipe.training, "seed": seed},
        use=recipe.use,
        domain=DOMAIN,
        resume=True,
        device=device,
        on_progress=show,
    )


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


def calibrate_run(run: Run, triplets: Triplets, data: Data, sentences: Encoder) -> Calibrated:
    """T and the threshold for "none of these", from segments of videos that no training step saw.

    Whoever planned a video knows the seen action of each of its segments, which is ranked among all seen actions. Two
    things flatter a little: the best epoch was chosen on these videos, and the recogniser of props was fitted on all.
    """
    settings = run.config.training
    _, sub_clips = split_by_video(triplets, settings.validation, settings.seed)
    held_out = {triplets.video_ids[video] for video in triplets.video_M[sub_clips].tolist()}
    clips = list(segments([plan for plan in data.world.train if plan.id in held_out], data.train))
    ids, labels, features = [c[0] for c in clips], [c[1].action for c in clips], [c[2] for c in clips]
    space = space_of(run, sentences)
    objects = [top_objects(data.head.logits(clip_TD), run.config.objects)[0] for clip_TD in features]
    actions = sorted({segment.action for plan in data.world.train for segment in plan.segments})
    names, prototypes, owner = prototypes_of(space, {name: [world.DESCRIPTIONS[name]] for name in actions})
    said = [object_sentence(data.head, best) for best in objects]
    modalities = {"VE": np.asarray(space.clips(features)), "O": rows_of(space, said)}
    scores = Scores.from_embeddings(Embeddings(ids, labels, names, modalities, prototypes, owner, space.name))
    about = f"segments of {len(held_out):,} validation videos, among {len(actions):,} seen actions"
    return calibrate(labelled_scores(scores, Weights(**run.config.fusion)), about=about)


def scores_of(
    run: Run, sentences: Encoder, store: FeatureStore, built: world.World, home: str | Path | None = None
) -> Scores:
    """Scores of the test clips against the descriptions of their classes; kept in the workspace, too."""
    paths = {plan.id: built.path(plan).resolve() for plan in built.test}
    return keep_scores(scored.folder_for(run, "demo", home), run, sentences, store, built, paths).scores()


def keep_scores(
    folder: Path,
    run: Run,
    sentences: Encoder,
    store: FeatureStore,
    built: world.World,
    paths: Mapping[str, Path] | None = None,
    *,
    half: bool = False,
) -> scored.Scored:
    """The test clips scored by a run, in `folder`; see `scored.keep`."""
    ids, labels = [plan.id for plan in built.test], [plan.label for plan in built.test]
    descriptions = load_descriptions(built.folder / "descriptions.json")
    space = space_of(run, sentences, "cpu" if half else None)
    embeddings, said = embed(space, store, ids, labels, descriptions, objects=run.config.objects)
    weights, values = Weights(**run.config.fusion), Scores.from_embeddings(embeddings)
    ready = Prepared(METHODS["cezsar"], run.name, Embedded(embeddings, [], said), values, weights, run, store)
    return scored.keep(folder, ready, sentences, descriptions, dataset="demo", paths=paths, half=half)


# What the demo is compared with: a run on colour alone, and an oracle that knows the place ---------------------------


def colour_store(store: FeatureStore) -> FeatureStore:
    """A copy of a store that holds the colour part of its features and nothing else."""
    encoder, folder = MotionEncoder(), store.folder.with_name(store.folder.name + "-colour")
    columns = encoder.columns(*COLOUR)
    provenance = store.provenance | {
        "encoder": f"{encoder.name}, colour only",
        "fingerprint": hashlib.sha256(f"colour of {encoder.fingerprint}".encode()).hexdigest(),
        "dim": len(columns),
    }
    for key in [key for key in provenance if key.startswith("object")]:
        del provenance[key]
    with StoreWriter(folder, provenance) as writer:
        for video_id in store.ids:
            if video_id not in writer:
                writer.add(video_id, store.features(video_id)[:, columns], store.labels[video_id])
    return FeatureStore(folder)


def place_scores(built: world.World, like: Scores) -> Scores:
    """The place oracle: the score of a class is how many of its test clips are at the clip's own place.

    It is told the place and knows the test set: what recognising places perfectly, and nothing else, could reach.
    """
    places = [plan.segments[0].place for plan in built.test]
    count = {(place, name): 0 for place in set(places) for name in like.class_names}
    for place, plan in zip(places, built.test, strict=True):
        count[place, plan.label] += 1
    matrix_NC = np.array([[count[place, name] for name in like.class_names] for place in places], np.float32)
    return Scores(like.ids, like.labels, like.class_names, {"VE": matrix_NC})


def evaluate_all(scores: Scores, colour: Scores, place: Scores, weights: Weights) -> list[Result]:
    """Rows of the demo's table: each modality, fused, and the controls, on all classes and on random halves."""
    half = len(scores.class_names) // 2
    protocols = [all_classes(scores.class_names), random_classes(scores.class_names, half, SPLITS, SPLIT_SEED)]
    rows = [
        (scores, Weights(1, 0, 0), "VE"),
        (scores, Weights(0, 1, 0), "O"),
        (scores, weights, "VE + O"),
        (place, Weights(1, 0, 0), "place oracle"),
        (colour, Weights(1, 0, 0), "colour only"),
    ]
    return [
        replace(evaluate(row, protocol, row_weights), modality=name)
        for row, row_weights, name in rows
        for protocol in protocols
    ]


def save_results(results: list[Result], run: Path) -> None:
    """The rows of each protocol in a file of its own, among the results of a run."""
    for protocol in sorted({result.protocol for result in results}):
        rows = [result for result in results if result.protocol == protocol]
        save_all(rows, run / "results" / f"demo {protocol}.json")
