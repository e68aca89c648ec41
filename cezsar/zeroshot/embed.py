"""From a feature store and a space to `Embeddings`: the first of the two waypoints of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cezsar import encoders
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import resolve
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import LinearHead, object_sentence, top_objects
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.spaces import FloatArray, JointSpace, SentenceSpace, Space, prototypes_of, rows_of

Progress = Callable[[int, int], object]

BLOCK = 256  # clips whose features are in memory together
OBJECTS = 3  # in O(v) where there is no run to say so; Section 3.5, after [9]
NAMED = 5  # ids a note lists before it only counts


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a data set, and how they came about.

    Attributes:
        notes: what should be said about them: clips or captions that are missing.
        object_sentences: O(v) of each clip, in the order of `embeddings.ids`; "" where nothing was recognised.
    """

    embeddings: Embeddings
    notes: list[str]
    object_sentences: list[str]


def space_for(run: str | Path | None, sentences: str = "minilm") -> tuple[Space, Run | None]:
    """The joint space of a run, or without one a sentence encoder's own space."""
    if run is None:
        return SentenceSpace(open_encoder(sentences)), None
    opened = Run.open(run)
    return JointSpace.of_run(opened, open_encoder(opened.config.sentence_encoder["name"])), opened


def object_head(run: Run, encoder: FrameEncoder) -> ObjectHead | None:
    """The head a run brings along, else its frame encoder's own."""
    path = run.folder / "objects.safetensors"
    return LinearHead.load(path) if path.is_file() else encoder.object_head


def embed_dataset(
    space: Space,
    store: FeatureStore,
    dataset: Dataset,
    descriptions: Mapping[str, Sequence[str]],
    *,
    run: Run | None = None,
    captions: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Embed the clips of a labelled data set, and its classes.

    Args:
        descriptions: class name -> sentences; every class of the data set must be among them, in any spelling.
        run: whose features these must be, and whose object head is used where the store holds no objects.
        captions: video id -> caption sentence.
        progress: called with the clips embedded so far and all of them.

    Raises:
        MismatchError: the store was made with another encoder than the run.
        InputError: no clip of the data set is in the store, or a class has no description.
    """
    if run is not None:
        run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    ids = [clip for clip in dataset.labels if clip in store]
    if not ids:
        raise InputError(
            f"none of the {len(dataset.labels):,} clips of {dataset.name} is in {store.folder}; extract them into it, "
            "or check that the ids agree"
        )
    notes = []
    if missing := [clip for clip in dataset.labels if clip not in store]:
        named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        notes.append(f"{len(missing):,} of {len(dataset.labels):,} clips are not in the store: {named}")
    classes = sorted(set(dataset.labels.values()))
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    wanted = {name: descriptions[name] for name in descriptions if name in set(spelt.values())}
    head = None
    if run is not None and store.vocabulary is None:
        head = _head_without_encoder(run)
    if captions is not None and (bare := sum(clip not in captions for clip in ids)):
        notes.append(f"{bare:,} of {len(ids):,} clips have no caption; the other modalities decide for them")
    labels = [spelt[dataset.labels[clip]] for clip in ids]
    objects = OBJECTS if run is None else run.config.objects
    embeddings, sentences = embed(
        space, store, ids, labels, wanted, head=head, objects=objects, captions=captions, progress=progress
    )
    return Embedded(embeddings, notes, sentences)


def embed(
    space: Space,
    store: FeatureStore,
    ids: Sequence[str],
    labels: Sequence[str],
    descriptions: Mapping[str, Sequence[str]],
    *,
    head: ObjectHead | None = None,
    objects: int = OBJECTS,
    captions: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> tuple[Embeddings, list[str]]:
    """Embed stored clips, and the classes they may belong to.

    Args:
        ids: N clips of the store.
        labels: their class names, "" where unknown.
        head: names objects from the stored features; without one, the objects that the store holds are used.
        objects: how many O(v) names.
        captions: video id -> caption sentence C(v); clips without one keep a zero row.
        progress: called with the clips embedded so far and all of them.

    Returns:
        `Embeddings` with the modalities that could be had, of VE, O and C; and O(v) of each clip, "" where there is
        none.

    Raises:
        MismatchError: there is no modality at all.
    """
    names, prototypes, owner = prototypes_of(space, descriptions)
    visual: list[FloatArray] = []
    sentences: list[str] = []
    for first in range(0, len(ids), BLOCK):
        features = [store.features(video_id) for video_id in ids[first : first + BLOCK]]
        if (part := space.clips(features)) is not None:
            visual.append(part)
        for video_id, features_TD in zip(ids[first : first + BLOCK], features, strict=True):
            sentences.append(_object_sentence(store, video_id, features_TD, head, objects))
        if progress:
            progress(min(first + BLOCK, len(ids)), len(ids))
    modalities: dict[str, FloatArray] = {}
    if visual:
        modalities["VE"] = np.concatenate(visual)
    if any(sentences):
        modalities["O"] = rows_of(space, sentences)
    if captions is not None:
        modalities["C"] = rows_of(space, [captions.get(video_id, "") for video_id in ids])
    if not modalities:
        raise MismatchError(
            f"{store.folder} holds no objects, there are no captions, and without a run the frames mean nothing to "
            "labels; give a run, captions, or features of an encoder that names objects"
        )
    return Embeddings(list(ids), list(labels), names, modalities, prototypes, owner, space.name), sentences


def _head_without_encoder(run: Run) -> ObjectHead | None:
    """A run's object head, if it can be had without fetching the frame encoder's weights."""
    path = run.folder / "objects.safetensors"
    if path.is_file():
        return LinearHead.load(path)
    name = run.config.feature_encoder["name"]
    return encoders.create(name).object_head if encoders.present(name) else None


def _object_sentence(
    store: FeatureStore, video_id: str, features_TD: FloatArray, head: ObjectHead | None, objects: int
) -> str:
    """O(v), from the head if there is one, else from what the store holds; empty if neither knows."""
    if head is not None:
        indices, _ = top_objects(head.logits(features_TD), objects)
        return object_sentence(head, indices)
    stored = store.objects(video_id)
    if stored is None or store.vocabulary is None:
        return ""
    return object_sentence(store.vocabulary, stored[0][:objects].tolist())
