"""What the demo is compared with: a run on colour alone, and an oracle that knows the place; and its table."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from cezsar import world
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.encoders.motion import MotionEncoder
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores

SPLITS, SPLIT_SEED = 50, 0

COLOUR = ("scene colours", "colours", "neighbouring colours")  # parts of the features for the colour-only control


def colour_store(store: FeatureStore, encoder: MotionEncoder) -> FeatureStore:
    """A copy of a store that holds the colour part of its features and nothing else: a control."""
    folder = store.folder.with_name(store.folder.name + "-colour")
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
