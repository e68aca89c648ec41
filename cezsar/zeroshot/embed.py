"""From a feature store and a space to `Embeddings`: the first of the two waypoints of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cezsar import encoders
from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical, resolve
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import LinearHead, Recognised, in_words, recognise
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.spaces import SentenceSpace, Space, TransferSpace, prototypes_of, rows_of, space_of

Progress = Callable[[int, int], object]
Captions = Mapping[str, Sequence[str]]

BLOCK = 256  # clips whose features are in memory together
OBJECTS = 3  # in O(v) where there is no run to say so; Section 3.5, after [9]
MOST_OBJECTS = {"definitions": 100, "names": 50}  # of a clip that are summed where there is no run to say so
NAMED = 5  # ids a note lists before it only counts


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a data set, what should be said about them, and O(v) of each clip, "" where there is none."""

    embeddings: Embeddings
    notes: list[str]
    object_sentences: list[str]


def space_for(run: Run | None, sentences: str = "minilm", home: str | Path | None = None) -> Space:
    """The joint space of a run, or without one a sentence encoder's own space."""
    if run is None:
        return SentenceSpace(open_encoder(sentences, home=home))
    return space_of(run, open_encoder(run.config.sentence_encoder["name"], home=home))


def object_head(run: Run, encoder: FrameEncoder | None = None) -> ObjectHead | None:
    """The head that names objects for a run: its own, else that of its frame encoder, which may be loaded already."""
    path = run.folder / "objects.safetensors"
    if path.is_file():
        return LinearHead.load(path)
    name = run.config.feature_encoder["name"]
    if encoder is None and encoders.present(name):
        encoder = encoders.create(name)
    return None if encoder is None else encoder.object_head


def embed_dataset(
    space: Space,
    store: FeatureStore | None,
    dataset: Dataset,
    descriptions: Mapping[str, Sequence[str]],
    *,
    run: Run | None = None,
    captions: Captions | None = None,
    averaged: bool = False,
    object_rule: str | None = None,
    every_class: bool = False,
    progress: Progress | None = None,
) -> Embedded:
    """Embed the clips of a labelled data set, and its classes; other arguments are those of `embed`.

    Args:
        store: features of the clips. None where captions alone are to speak for them; then all clips of the data set
            are embedded, and those without a caption are undecided.
        descriptions: class name -> sentences; every class of the data set must be among them, in any spelling.
        run: whose features these must be. It names objects as it does of a film: by its own head if it brings one,
            else by its frame encoder's, whose objects a store holds.
        every_class: classes without clips are there to choose from, too.

    Raises:
        MismatchError: the store was made with another encoder than the run.
        InputError: no clip of the data set is in the store or has a caption, or a class has no description.
    """
    if run is not None and store is not None:
        run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    ids, notes = _clips(store, dataset)
    classes = sorted(set(dataset.labels.values()))
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    present = set(spelt.values())
    wanted = {name: descriptions[name] for name in descriptions if every_class or name in present}
    trained = {canonical(name) for name in space.seen.names} if isinstance(space, TransferSpace) else set()
    if shown := sorted(name for name in present if canonical(name) in trained):
        notes.append(f"{len(shown):,} of {len(present):,} classes were shown in training, as labels: {_some(shown)}")
    if captions is not None:
        notes += _uncaptioned(ids, captions, store is None, dataset)
    own = run is not None and object_rule in (None, run.config.object_rule)
    rule = run.config.object_rule if run is not None and own else object_rule or "sentence"
    objects = run.config.objects if run is not None and own else MOST_OBJECTS.get(rule, OBJECTS)
    head = None if run is None or store is None or _holds(store, run, rule, objects, ids[0]) else object_head(run)
    embeddings, sentences = embed(
        space, store, ids, [spelt[dataset.labels[clip]] for clip in ids], wanted, head=head, objects=objects,
        object_rule=rule, captions=captions, averaged=averaged, progress=progress,
    )  # fmt: skip
    return Embedded(embeddings, notes, sentences)


def embed(
    space: Space,
    store: FeatureStore | None,
    ids: Sequence[str],
    labels: Sequence[str],
    descriptions: Mapping[str, Sequence[str]],
    *,
    head: ObjectHead | None = None,
    objects: int = OBJECTS,
    object_rule: str = "sentence",
    captions: Captions | None = None,
    averaged: bool = False,
    progress: Progress | None = None,
) -> tuple[Embeddings, list[str]]:
    """Embed stored clips, and the classes they may belong to.

    Args:
        store: of the clips; None for captions alone.
        labels: their class names, "" where unknown.
        head: names objects from the stored features; without one, the objects that the store holds are used.
        objects: how many count in O.
        object_rule: how O is made of them, see `object_rows`.
        captions: video id -> machine captions, one or several. C(v) is all of them as one sentence, after [12]; clips
            without one keep a zero row.
        averaged: C is the mean of the embeddings of the captions instead.
        progress: called with the clips embedded so far and all of them.

    Returns:
        `Embeddings` with the modalities that could be had, of VE, O and C; and O(v) of each clip, "" without one.
    """
    names, prototypes, owner = prototypes_of(space, descriptions)
    modalities: dict[str, FloatArray] = {}
    found: list[Recognised] = []
    visual: list[FloatArray] = []
    for first in range(0, len(ids) if store else 0, BLOCK):
        assert store is not None
        features = [store.features(video_id) for video_id in ids[first : first + BLOCK]]
        if (part := space.clips(features)) is not None:
            visual.append(part)
        for video_id, features_TD in zip(ids[first : first + BLOCK], features, strict=True):
            if head is not None:
                found.append(recognise(head, features_TD, objects, object_rule))
            elif (stored := store.objects(video_id)) is None or store.vocabulary is None:
                found.append([])
            else:
                found.append(in_words(store.vocabulary, stored[0][:objects], stored[1][:objects]))
        if progress:
            progress(min(first + BLOCK, len(ids)), len(ids))
    if visual:
        modalities["VE"] = np.concatenate(visual)
    said = objects if object_rule == "sentence" else OBJECTS
    sentences = [sentence_of(named[:said]) for named in found] or [""] * len(ids)
    if any(sentences):
        modalities["O"] = object_rows(space, found, object_rule)
    if captions is not None:
        modalities["C"] = caption_rows(space, [captions.get(video_id, ()) for video_id in ids], averaged)
    if not modalities:
        raise MismatchError(
            f"{store.folder if store else 'no store'} holds no objects, there are no captions, and without a run the "
            "frames mean nothing to labels; give a run, captions, or features of an encoder that names objects"
        )
    return Embeddings(list(ids), list(labels), names, modalities, prototypes, owner, space.name), sentences


def caption_rows(space: Space, captions: Sequence[Sequence[str]], averaged: bool = False) -> FloatArray:
    """(N, E) embeddings C of N clips from their captions, as one sentence or as their mean; zeros without any."""
    if not averaged:
        return rows_of(space, [" ".join(found) for found in captions])
    flat = rows_of(space, [sentence for found in captions for sentence in found])
    counts_N1 = np.array([[len(found)] for found in captions])
    rows = np.zeros((len(captions), flat.shape[1]), np.float32)
    np.add.at(rows, np.repeat(np.arange(len(captions)), counts_N1[:, 0]), flat)
    return (rows / np.maximum(counts_N1, 1)).astype(np.float32)


def sentence_of(objects: Recognised) -> str:
    """O(v) as one text: "name definition" of each object, joined by full stops; "" without objects."""
    return ". ".join(f"{name} {definition}".strip() for name, definition, _ in objects)


def object_rows(
    space: Space, clips: Sequence[Recognised], rule: str = "sentence", most: int | None = None
) -> FloatArray:
    """(N, E) embeddings O of N clips from their objects, by one of `RULES`; zeros for a clip without any.

    "sentence": SE of the sentence of all. Else the sum of each object's own embedding, of length 1 and times its
    probability, by its name and definition or, brought to length 1, by its name.
    """
    clips = [objects[:most] for objects in clips]
    if rule == "sentence":
        return rows_of(space, [sentence_of(objects) for objects in clips])
    texts, weights_M, owner_2M = _terms(clips, rule)
    embedded = unit_rows(rows_of(space, texts))
    rows = np.zeros((len(clips), embedded.shape[1]))
    np.add.at(rows, owner_2M[0], weights_M[:, None] * embedded[owner_2M[1]])
    summed = rows.astype(np.float32)
    return unit_rows(summed) if rule == "names" else summed


def object_terms(space: Space, objects: Recognised, rule: str) -> FloatArray:
    """(K, E) the terms whose sum `object_rows` gives for one clip, by any rule but "sentence"."""
    texts, weights_M, owner_2M = _terms([objects], rule)
    terms = weights_M[:, None] * unit_rows(rows_of(space, texts))[owner_2M[1]]
    length = float(np.linalg.norm(terms.sum(0))) if rule == "names" else 1.0
    return (terms / (length or 1.0)).astype(np.float32)


def _terms(clips: Sequence[Recognised], rule: str) -> tuple[list[str], DoubleArray, IntArray]:
    """Distinct texts; of each object of each clip its probability, and (2, M) its clip and its text."""
    place: dict[str, int] = {}
    pairs = [
        (p, row, place.setdefault(name if rule == "names" else f"{name} {definition}".strip(), len(place)))
        for row, objects in enumerate(clips)
        for name, definition, p in objects
    ]
    owner_2M = np.array([(row, text) for _, row, text in pairs], np.int64).reshape(-1, 2).T
    return list(place), np.array([p for p, _, _ in pairs]), owner_2M


def _holds(store: FeatureStore, run: Run, rule: str, objects: int, clip: str) -> bool:
    """Whether the objects of a store are those that a run counts, as many as it counts, by the same probabilities."""
    vocabulary, stored = store.vocabulary, store.objects(clip)
    if vocabulary is None or stored is None or rule == "names" or len(stored[0]) < min(objects, len(vocabulary.names)):
        return False
    path = run.folder / "objects.safetensors"
    return not path.is_file() or LinearHead.load(path).fingerprint == vocabulary.fingerprint


def _clips(store: FeatureStore | None, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Clips of the data set that can be embedded, and what is to be said of the others."""
    if store is None:
        return list(dataset.labels), []
    if dataset.segments:
        raise InputError(f"the clips of {dataset.name} are parts of videos, to train on; evaluate on whole clips")
    ids, missing = ([clip for clip in dataset.labels if (clip in store) is there] for there in (True, False))
    if not ids:
        raise InputError(
            f"none of the {len(dataset.labels):,} clips of {dataset.name} is in {store.folder}; extract them into it, "
            "or check that the ids agree"
        )
    notes = [f"{len(missing):,} of {len(dataset.labels):,} clips are not in the store: {_some(missing)}"]
    return ids, notes if missing else []


def _uncaptioned(ids: Sequence[str], captions: Captions, alone: bool, dataset: Dataset) -> list[str]:
    """What is to be said of clips without a caption."""
    bare = [clip for clip in ids if not captions.get(clip)]
    if len(bare) == len(ids):
        raise InputError(
            f"none of the {len(ids):,} clips of {dataset.name} has a caption, the first is {ids[0]!r}, the first with "
            f"one {next(iter(captions), '')!r}; check that the ids agree"
        )
    then = "they are undecided, which counts as wrong" if alone else "the other modalities decide for them"
    return [f"{len(bare):,} of {len(ids):,} clips have no caption, {then}: {_some(bare)}"] if bare else []


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
