"""Semantic transfer on the stick-figure world, beside CEZSAR, on the same clips and splits.

CEZSAR learns from captions; semantic transfer and the cross-modal head need seen clips with class labels. The world has
both: whoever planned a training video knows which action each of its segments shows. So the labelled clips are the
segments that the captions are about, whole seconds of them, and the label is what the drawer was told to draw.

K, T, λ and the weight of the blend are chosen on seen actions alone. In each trial a random half of them is held out,
and CEZSAR and the head are trained anew without it: models that knew the held-out half would flatter their own text
side. The final head is trained on all seen actions; CEZSAR is the demo's run as it stands.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cezsar import workspace, world
from cezsar.atomic import write_json
from cezsar.data.annotations import Annotations, Segment
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.demo.controls import SPLIT_SEED, SPLITS
from cezsar.demo.run import Progress, Recipe, Stages, train_run
from cezsar.errors import InputError
from cezsar.training.cross_modal import HeadConfig
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets, build
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.held_out import Grid, Overlap, overlaps, split_classes
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.semantic_transfer import Chosen, Clips, Models, choose_all, scores_of_methods
from cezsar.zeroshot.tables import save_all

FloatArray = npt.NDArray[np.float32]
VE = Weights.only("VE")

HEAD: Mapping[str, Any] = {"d_model": 128, "ffn": 256, "epochs": 16}
"""Of the head on this world, where it departs from `HeadConfig`."""


@dataclass(frozen=True)
class TransferReport:
    """What was found.

    Attributes:
        results: rows of the table, named by `Result.method`, on all unseen classes and on random halves of them.
        chosen: K, T, λ and the weight of the blend.
        dropped: seen actions that say the same as an unseen one, and did not serve.
        seconds: stage -> how long it took.
        folder: where head, results and choices were written.
    """

    results: list[Result]
    chosen: Chosen
    dropped: list[Overlap]
    seconds: dict[str, float]
    folder: Path


def run_transfer(
    home: str | Path | None = None,
    *,
    name: str = "demo",
    seed: int = 0,
    trials: int = 2,
    share: float = 0.5,
    recipe: Recipe | None = None,
    head: Mapping[str, Any] = HEAD,
    grid: Grid | None = None,
    folder: str | Path | None = None,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> TransferReport:
    """Choose on seen actions, train the head, and score the unseen ones by every method.

    Args:
        home: a workspace in which `run_demo` has run; video files are not needed.
        name: of the demo there.
        seed: of the trials' halves and of the heads.
        trials: how many times to hold out seen actions to choose on; each trains CEZSAR and a head.
        share: of the seen actions, held out in each.
        recipe: of the demo; by default its own.
        head: `HeadConfig` fields to change.
        folder: where to write; `transfer` within the demo's run by default.
        on_progress: called with stage, done, total, note.

    Raises:
        InputError: the workspace holds no such demo.
    """
    recipe, stages, rng = recipe or Recipe(), Stages(on_progress), np.random.default_rng([seed, 40])
    run = Run.open(workspace.folder("runs", home) / name)
    train, test = plans_of(home, name)
    train_store, test_store = (
        FeatureStore(workspace.folder("features", home) / f"{name}-{p}") for p in ("train", "test")
    )
    sentences = open_encoder(run.config.sentence_encoder["name"], home=home)
    config = HeadConfig(train_store.dim, sentences.dim, **head)
    models = Models(sentences, config, torch.Generator().manual_seed(seed), device)
    seen, unseen = seen_clips(train, train_store), unseen_clips(test, test_store)
    dropped = overlaps(models.names(seen), models.names(unseen))
    seen = seen.of([label for label in seen.names if label not in {overlap.seen for overlap in dropped}])

    made = []
    with stages("choosing on seen actions") as progress, tempfile.TemporaryDirectory() as temporary:
        for trial, (kept, held) in enumerate(split_classes(len(seen.names), rng, trials, share)):
            progress(trial, trials)
            known, other = (seen.of([seen.names[c] for c in part]) for part in (kept, held))
            triplets = mined(train, known.names, train_store, sentences, recipe)
            half = train_run(
                Path(temporary) / str(trial), triplets, train_store, recipe, run.config.training.seed, device, _quiet
            )
            made.append(models.spaces(half, models.head(known), known, other))
        chosen = choose_all(made, grid)
    target = Path(folder or run.folder / "transfer")
    with stages("training the cross-modal head"):
        final = models.head(seen)
        final.save(target)
    with stages("evaluation"):
        scores = scores_of_methods(models.spaces(run, final, seen, unseen), chosen)
        half_of = random_classes(unseen.names, len(unseen.names) // 2, SPLITS, SPLIT_SEED)
        results = [
            replace(evaluate(found, protocol, VE), method=method)
            for protocol in (all_classes(unseen.names), half_of)
            for method, found in scores.items()
        ]
        save_all(results, target / "results.json")
        about = {"seed": seed, "trials": trials, "share": share, "dropped": [overlap._asdict() for overlap in dropped]}
        write_json(target / "chosen.json", about | chosen.to_dict())
    return TransferReport(results, chosen, dropped, stages.seconds, target)


# The clips -----------------------------------------------------------------------------------------------------------


def plans_of(home: str | Path | None, name: str = "demo") -> tuple[list[world.VideoPlan], list[world.VideoPlan]]:
    """Plans of a built world's training videos and test clips."""
    folder = workspace.folder("demo", home)
    path = (folder if name == "demo" else folder / name) / "settings.json"
    if not path.is_file():
        raise InputError(f"{path} is not there; run `cezsar demo` first")
    return world.WorldSettings.read(path.parent).plans()


def seen_clips(plans: Sequence[world.VideoPlan], store: FeatureStore) -> Clips:
    """Every segment of the training videos as a clip of the action that was drawn; whole seconds within it.

    A segment's id is its video's, and its number there.
    """
    ids, labels, features = [], [], []
    for plan in plans:
        features_TD = store.features(plan.id)
        for number, segment in enumerate(plan.segments):
            ids.append(f"{plan.id}/{number}")
            labels.append(segment.action)
            features.append(features_TD[int(np.ceil(segment.start_s)) : int(segment.end_s)])
    return Clips(ids, labels, features, {name: world.DESCRIPTIONS[name] for name in sorted(set(labels))})


def unseen_clips(plans: Sequence[world.VideoPlan], store: FeatureStore) -> Clips:
    """The test clips."""
    labels = [plan.label for plan in plans]
    features = [store.features(plan.id) for plan in plans]
    described = {name: world.DESCRIPTIONS[name] for name in dict.fromkeys(labels)}
    return Clips([plan.id for plan in plans], labels, features, described)


def mined(
    plans: Sequence[world.VideoPlan], actions: Sequence[str], store: FeatureStore, sentences: Encoder, recipe: Recipe
) -> Triplets:
    """CEZSAR's triplets from the captions of segments that show some of the seen actions, and no other."""
    shown = [
        Segment(plan.id, segment.start_s, segment.end_s, segment.sentence)
        for plan in plans
        for segment in plan.segments
        if segment.action in set(actions)
    ]
    return build(
        Annotations(shown, {plan.id: plan.duration_s for plan in plans}),
        store,
        sentences,
        np.random.default_rng([world.SEED, 1]),
        replace(recipe.mining, object_positives=0),
    )


def _quiet(*_: object) -> None:
    """Trials do not report their epochs."""
