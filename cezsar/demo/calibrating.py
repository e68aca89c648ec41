"""T and the threshold for "none of these" of a demo's run, from segments of its validation videos.

The labelled clips are segments of videos that no training step saw, each of a seen action, ranked among all seen
actions: whoever planned a video knows what each of its segments shows. Two things flatter them a little: the best epoch
was chosen on these videos, and the recogniser of props was fitted on all training videos. Nothing unseen plays a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cezsar import world
from cezsar.analysis.calibrating import Calibrated, calibrate
from cezsar.analysis.calibration import candidates
from cezsar.arrays import FloatArray
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.objects import object_sentence, top_objects
from cezsar.training.loop import split_by_video
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import prototypes_of, rows_of, space_of


class Clips(NamedTuple):
    """Labelled clips."""

    ids: list[str]
    labels: list[str]
    features: list[FloatArray]


def seen_clips(plans: Sequence[world.VideoPlan], store: FeatureStore) -> Clips:
    """Every segment of the training videos as a clip of the action that was drawn; whole seconds within it."""
    clips = Clips([], [], [])
    for plan in plans:
        features_TD = store.features(plan.id)
        for number, segment in enumerate(plan.segments):
            clips.ids.append(f"{plan.id}/{number}")
            clips.labels.append(segment.action)
            clips.features.append(features_TD[int(np.ceil(segment.start_s)) : int(segment.end_s)])
    return clips


def calibrate_demo(
    run: Run,
    triplets: Triplets,
    plans: Sequence[world.VideoPlan],
    store: FeatureStore,
    head: ObjectHead,
    sentences: Encoder,
) -> Calibrated:
    """Choose both; `keep` of what is returned writes them into the run's folder.

    Args:
        run: the demo's, trained on `triplets`.
        plans: of all training videos.
        store: their features.
        head: the recogniser of props.
    """
    settings = run.config.training
    _, sub_clips = split_by_video(triplets, settings.validation, settings.seed)
    held_out = {triplets.video_ids[video] for video in triplets.video_M[sub_clips].tolist()}
    clips = seen_clips([plan for plan in plans if plan.id in held_out], store)
    actions = sorted({segment.action for plan in plans for segment in plan.segments})
    scores = Scores.from_embeddings(_embeddings(run, clips, actions, head, sentences))
    about = f"segments of {len(held_out):,} validation videos, among {len(actions):,} seen actions"
    return calibrate(candidates(scores, Weights(**run.config.fusion)), about=about)


def _embeddings(run: Run, clips: Clips, actions: Sequence[str], head: ObjectHead, sentences: Encoder) -> Embeddings:
    """VE and O of the clips, and a prototype of each action."""
    space = space_of(run, sentences)
    said = [object_sentence(head, top_objects(head.logits(each), run.config.objects)[0]) for each in clips.features]
    names, prototypes, owner = prototypes_of(space, {name: [world.DESCRIPTIONS[name]] for name in actions})
    modalities = {"VE": np.asarray(space.clips(clips.features)), "O": rows_of(space, said)}
    return Embeddings(clips.ids, clips.labels, names, modalities, prototypes, owner, space.name)
