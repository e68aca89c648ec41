"""From a feature store and a space to `Embeddings`: the first of the two waypoints of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from cezsar import encoders
from cezsar.arrays import FloatArray, unit_rows
from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical, resolve
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import LinearHead, Recognised, in_words, recognise
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.scores import Embeddings
from cezsar.zeroshot.spaces import SentenceSpace, Space, TransferSpace, prototypes_of, rows_of, space_of

Progress = Callable[[int, int], object]
Captions = Mapping[str, Sequence[str]]
"""Clip id -> machine captions, one or several."""

BLOCK = 256  # clips whose features are in memory together
OBJECTS = 3  # in O(v) where there is no run to say so; Section 3.5, after [9]
MOST_OBJECTS = {"definitions": 100, "names": 50}  # of a clip that are summed where there is no run to say so
NAMED = 5  # ids a note lists before it only counts


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a data set."""

    embeddings: Embeddings
    notes: list[str]  # what should be said about them
    object_sentences: list[str]  # O(v) of each clip, "" where there is none


def space_for(run: Run | None, sentences: str = "minilm") -> Space:
    """The joint space of a run, or without one a sentence encoder's own space."""
    encoder = open_encoder(run.config.sentence_encoder["name"] if run else sentences)
    return space_of(run, encoder) if run else SentenceSpace(encoder)


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
    every_class: bool = False,  # those without clips, too
    progress: Progress | None = None,
) -> Embedded:
    """Embed the clips of a labelled data set, in the modalities that can be had, and the classes it has clips of.

    Without a store captions alone speak for all clips; C(v) is all of a clip as one sentence, after [12], or `averaged`
    the mean of their embeddings. Objects are named as in a film: by the head of the run, else of its frame encoder,
    whose objects a store holds. Raises `MismatchError` where the store is of another encoder than the run, `InputError`
    where no clip is in it or has a caption, or a class has no description.
    """
    if run is not None and store is not None:
        run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    ids, notes = list(dataset.labels), []
    if store is not None:
        if dataset.segments:
            raise InputError(f"the clips of {dataset.name} are parts of videos, to train on; evaluate on whole clips")
        ids, missing = ([clip for clip in dataset.labels if (clip in store) is there] for there in (True, False))
        if not ids:
            raise InputError(
                f"none of the {len(missing):,} clips of {dataset.name} is in {store.folder}; extract them into it, or "
                "check that the ids agree"
            )
        if missing:
            notes = [f"{len(missing):,} of {len(dataset.labels):,} clips are not in the store: {_some(missing)}"]
    classes = sorted(set(dataset.labels.values()))
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    present = set(spelt.values())
    wanted = {name: descriptions[name] for name in descriptions if every_class or name in present}
    trained = {canonical(name) for name in space.seen.names} if isinstance(space, TransferSpace) else set()
    if shown := sorted(name for name in present if canonical(name) in trained):
        notes.append(f"{len(shown):,} of {len(present):,} classes were shown in training, as labels: {_some(shown)}")
    if captions is not None and (bare := [clip for clip in ids if not captions.get(clip)]):
        if len(bare) == len(ids):
            raise InputError(
                f"none of the {len(ids):,} clips of {dataset.name} has a caption, the first is {ids[0]!r}, the first "
                f"with one {next(iter(captions), '')!r}; check that the ids agree"
            )
        then = "they are undecided, which counts as wrong" if store is None else "the other modalities decide for them"
        notes.append(f"{len(bare):,} of {len(ids):,} clips have no caption, {then}: {_some(bare)}")
    if run is not None and object_rule in (None, run.config.object_rule):
        rule, objects = run.config.object_rule, run.config.objects
    else:
        rule = object_rule or "sentence"
        objects = MOST_OBJECTS.get(rule, OBJECTS)
    head = None if run is None or store is None or _holds(store, run, rule, objects, ids[0]) else object_head(run)
    found: list[Recognised] = []
    visual: list[FloatArray] = []
    for first in range(0, len(ids) if store else 0, BLOCK):
        assert store is not None
        block = ids[first : first + BLOCK]
        features = [store.features(clip) for clip in block]
        if (rows_NE := space.clips(features)) is not None:
            visual.append(rows_NE)
        for clip, features_TD in zip(block, features, strict=True):
            if head is not None:
                found.append(recognise(head, features_TD, objects, rule))
            elif (stored := store.objects(clip)) is not None and store.vocabulary is not None:
                found.append(in_words(store.vocabulary, stored[0][:objects], stored[1][:objects]))
            else:
                found.append([])
        if progress:
            progress(first + len(block), len(ids))
    said = objects if rule == "sentence" else OBJECTS
    sentences = [sentence_of(named[:said]) for named in found] or [""] * len(ids)
    modalities = {"VE": np.concatenate(visual)} if visual else {}
    if any(sentences):
        modalities["O"] = object_rows(space, found, rule)
    if captions is not None:
        modalities["C"] = caption_rows(space, [captions.get(clip, ()) for clip in ids], averaged)
    if not modalities:
        raise MismatchError(
            f"{store.folder if store else 'no store'} holds no objects, there are no captions, and without a run the "
            "frames mean nothing to labels; give a run, captions, or features of an encoder that names objects"
        )
    labels = [spelt[dataset.labels[clip]] for clip in ids]
    names, prototypes, owner = prototypes_of(space, wanted)
    embeddings = Embeddings(ids, labels, names, modalities, prototypes, owner, space.name)
    return Embedded(embeddings, notes, sentences)


def caption_rows(space: Space, captions: Sequence[Sequence[str]], averaged: bool = False) -> FloatArray:
    """(N, E) embeddings C of N clips from their captions, as one sentence or as their mean; zeros without any."""
    if not averaged:
        return rows_of(space, [" ".join(found) for found in captions])
    shares = [[(sentence, 1 / len(found)) for sentence in found] for found in captions]
    return _sums(shares, lambda texts: rows_of(space, texts))


def sentence_of(objects: Recognised) -> str:
    """O(v) as one text: "name definition" of each object, joined by full stops; "" without objects."""
    return ". ".join(f"{name} {definition}".strip() for name, definition, _ in objects)


def object_rows(
    space: Space, clips: Sequence[Recognised], rule: str = "sentence", most: int | None = None
) -> FloatArray:
    """(N, E) embeddings O of N clips from their `most` best objects, by one of `RULES`; zeros for a clip without any.

    "sentence": SE of the sentence of all. Else the sum of each object's own embedding, of length 1 and times its
    probability, by its name and definition or, brought to length 1, by its name.
    """
    if rule == "sentence":
        return rows_of(space, [sentence_of(objects[:most]) for objects in clips])
    parts = [[(_text(name, definition, rule), p) for name, definition, p in objects[:most]] for objects in clips]
    summed = _sums(parts, lambda texts: unit_rows(rows_of(space, texts)))
    return unit_rows(summed) if rule == "names" else summed


def object_terms(space: Space, objects: Recognised, rule: str) -> FloatArray:
    """(K, E) the terms whose sum `object_rows` gives for one clip, by any rule but "sentence"."""
    units = unit_rows(rows_of(space, [_text(name, definition, rule) for name, definition, _ in objects]))
    terms = np.array([p for _, _, p in objects])[:, None] * units
    length = float(np.linalg.norm(terms.sum(0))) if rule == "names" else 1.0
    return (terms / (length or 1.0)).astype(np.float32)


def _text(name: str, definition: str, rule: str) -> str:
    return name if rule == "names" else f"{name} {definition}".strip()


def _sums(clips: Sequence[Sequence[tuple[str, float]]], embedded: Callable[[list[str]], FloatArray]) -> FloatArray:
    """(N, E) of each clip's texts and their weights, the weighted sum of their embeddings."""
    place: dict[str, int] = {}
    cells = [
        (weight, row, place.setdefault(text, len(place))) for row, texts in enumerate(clips) for text, weight in texts
    ]
    weights, rows, columns = zip(*cells, strict=True)
    weights_NM = csr_array((weights, (rows, columns)), shape=(len(clips), len(place)))
    summed: FloatArray = (weights_NM @ embedded(list(place))).astype(np.float32)
    return summed


def _holds(store: FeatureStore, run: Run, rule: str, objects: int, clip: str) -> bool:
    """Whether the objects of a store are those that a run counts, as many as it counts, by the same probabilities."""
    vocabulary, stored = store.vocabulary, store.objects(clip)
    if vocabulary is None or stored is None or rule == "names" or len(stored[0]) < min(objects, len(vocabulary.names)):
        return False
    path = run.folder / "objects.safetensors"
    return not path.is_file() or LinearHead.load(path).fingerprint == vocabulary.fingerprint


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
