"""Where clips and class descriptions meet, and how a data set gets there: from a feature store to `Embeddings`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from cezsar import encoders
from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.datasets import Dataset
from cezsar.data.documents import enumerated
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical, resolve, spoken
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.compute import pick_device
from cezsar.encoders.objects import LinearHead, Recognised, in_words, recognise
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Seen
from cezsar.zeroshot.scores import Embeddings

if TYPE_CHECKING:  # pages about kept scores do not wait for torch
    from cezsar.model import CEZSAR, CrossModal

Progress = Callable[[int, int], object]
Descriptions = Mapping[str, Sequence[str]]  # class name -> sentences
Captions = Mapping[str, Sequence[str]]  # clip id -> machine captions, one or several

BLOCK = 64  # clips whose features are in memory together; few, so that they stay in caches
OBJECTS = 3  # in O(v) where there is no run to say so; Section 3.5, after [9]
MOST_OBJECTS = {"definitions": 100, "names": 50}  # of a clip that are summed where there is no run to say so


@runtime_checkable
class TextEncoder(Protocol):
    """An image-text model's side for sentences."""

    prompts: Sequence[str]  # what it wants a bare label to be put into, at {}
    trust: str  # one line on what it sees, and so may be trusted for

    def text_vectors(self, sentences: Sequence[str]) -> FloatArray: ...


class Space(ABC):
    """A place for clips and sentences."""

    name = ""  # "joint", "sentence" or "image-text"
    limit_s: int | None = None  # the most seconds that it takes of a clip, whose middle it keeps; None if it takes all

    @abstractmethod
    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        """(N, E) embeddings of N sentences."""

    def labels(self, names: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        """(N, E) prototypes of classes by name and a sentence each."""
        return self.sentences(sentences)

    def clips(self, features: Sequence[FloatArray]) -> FloatArray | None:
        """(N, E) visual embeddings of N clips of (T_i, D) features; None where the space has none."""
        return None


class JointSpace(Space):
    """SE and VE of a trained run (Eq. 1-6); the model is in evaluation mode."""

    name = "joint"

    def __init__(self, model: CEZSAR, encoder: Encoder) -> None:
        self.model, self._encoder = model, encoder
        self.limit_s = model.config.longest_s

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        import torch

        vectors = torch.from_numpy(self._encoder.encode(sentences)).to(self.model.feature_mean.device)
        with torch.inference_mode():
            embedded: FloatArray = self.model.sentence_embedding(vectors).float().cpu().numpy()
        return embedded

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        from cezsar.model import clip_embeddings

        return clip_embeddings(self.model, features)


class TransferSpace(Space):
    """The space of a cross-modal run: a clip is [√λ f_v, √(1-λ) f_v], a class [√λ P_u, √(1-λ) f_t(u)], of length 1
    each, so their cosine is λ cos(f_v, P_u) + (1-λ) cos(f_v, f_t(u)), the score of
    `cezsar.training.semantic_transfer`."""

    name = "joint"

    def __init__(self, model: CrossModal, encoder: Encoder, seen: Seen) -> None:
        self.model, self._encoder, self.seen = model, encoder, seen
        self.limit_s = model.config.max_seconds

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self.labels(sentences, sentences)

    def labels(self, names: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        from cezsar.training.cross_modal import label_embeddings, label_tokens

        composed_NE = self.seen.composed(names, self._encoder.encode(sentences))
        texts_NE = label_embeddings(self.model, label_tokens(self._encoder, names, sentences))
        return self._joined(composed_NE, unit_rows(texts_NE.astype(np.float64)))

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        from cezsar.model import clip_embeddings

        visual_NE = unit_rows(clip_embeddings(self.model, features).astype(np.float64))
        return self._joined(visual_NE, visual_NE)

    def _joined(self, by_prototype_NE: DoubleArray, by_text_NE: DoubleArray) -> FloatArray:
        lam = self.seen.how.lam
        return np.hstack([np.sqrt(lam) * by_prototype_NE, np.sqrt(1 - lam) * by_text_NE]).astype(np.float32)


class SentenceSpace(Space):
    """A sentence encoder's own space, without training: objects and captions only, after [9] and [12], less `origin_S`,
    the mean vector of objects' names."""

    name = "sentence"

    def __init__(self, encoder: Encoder, origin_S: FloatArray | None = None) -> None:
        self._encoder, self._origin_S = encoder, origin_S

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors_NS = self._encoder.encode(sentences)
        return vectors_NS if self._origin_S is None else vectors_NS - self._origin_S


class ImageTextSpace(Space):
    """The space of a frozen image-text model: a clip is the mean of its frames' unit embeddings; a bare label is put
    into `prompts`, by default the encoder's own."""

    name = "image-text"

    def __init__(self, encoder: TextEncoder, prompts: Sequence[str] | None = None) -> None:
        self._encoder = encoder
        self.prompts = tuple(encoder.prompts if prompts is None else prompts)
        if not self.prompts or not all("{}" in prompt for prompt in self.prompts):
            raise InputError(
                f"a prompt needs {{}} where the label goes, as in 'a video of {{}}.': {list(self.prompts)}"
            )

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self._encoder.text_vectors(sentences)

    def labels(self, names: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        # Of a sentence that only repeats the class's name, the mean of its unit embeddings over the prompts.
        texts = [
            [prompt.replace("{}", sentence) for prompt in self.prompts] if sentence == spoken(name) else [sentence]
            for name, sentence in zip(names, sentences, strict=True)
        ]
        counts = np.array([len(each) for each in texts])
        units = unit_rows(self.sentences([text for each in texts for text in each]))
        return (np.add.reduceat(units, np.cumsum(counts) - counts) / counts[:, None]).astype(np.float32)

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        return np.array([unit_rows(clip_TD).mean(0) for clip_TD in features], np.float32)


def space_of(run: Run, encoder: Encoder, device: str | None = None) -> Space:
    """The joint space of a run. Raises `MismatchError` where `encoder` is not the one of its sentences."""
    from cezsar.model import CrossModal

    run.check_sentence_encoder(encoder.name, encoder.fingerprint, encoder.dim)
    model = run.load_model(pick_device(device))
    if isinstance(model, CrossModal):
        return TransferSpace(model, encoder, Seen.load(run.folder / "seen.safetensors"))
    return JointSpace(model, encoder)


def space_for(run: Run | None, sentences: str = "minilm") -> Space:
    """The joint space of a run, or without one a sentence encoder's own space."""
    encoder = open_encoder(run.config.sentence_encoder["name"] if run else sentences)
    return space_of(run, encoder) if run else SentenceSpace(encoder)


def prototypes_of(space: Space, descriptions: Descriptions) -> tuple[list[str], FloatArray, IntArray]:
    """Class names, (P, E) prototypes and (P,) the class of each, from class name -> descriptive sentences."""
    pairs = [(index, name, text) for index, name in enumerate(descriptions) for text in descriptions[name]]
    if not pairs:
        raise InputError("there are no classes to choose from; give labels or class descriptions")
    owner, names, sentences = zip(*pairs, strict=True)
    return list(descriptions), space.labels(names, sentences), np.array(owner, np.int64)


def rows_of(space: Space, sentences: Sequence[str]) -> FloatArray:
    """(N, E) embeddings; an empty sentence, meaning "none", gives a row of zeros."""
    unique = sorted(set(sentences))  # "" comes first
    if not any(unique):
        raise InputError("no clip has a sentence for this modality; leave the modality out")
    embedded = space.sentences([sentence for sentence in unique if sentence])
    if not unique[0]:
        embedded = np.vstack([np.zeros_like(embedded[:1]), embedded])
    place = {sentence: index for index, sentence in enumerate(unique)}
    return embedded[[place[sentence] for sentence in sentences]].astype(np.float32, copy=False)


def caption_rows(space: Space, captions: Sequence[Sequence[str]], averaged: bool = False) -> FloatArray:
    """(N, E) embeddings C of N clips from their captions, as one sentence or as their mean; zeros without any."""
    if not averaged:
        return rows_of(space, [" ".join(found) for found in captions])
    parts = [[(sentence, "", 1 / len(found)) for sentence in found] for found in captions]
    return _sums(space, parts, "names", unit=False)


def sentence_of(objects: Recognised) -> str:
    """O(v) as one text: "name definition" of each object, joined by full stops; "" without objects."""
    return ". ".join(f"{name} {definition}".strip() for name, definition, _ in objects)


def object_rows(
    space: Space, clips: Sequence[Recognised], rule: str = "sentence", most: int | None = None
) -> FloatArray:
    """(N, E) embeddings O of N clips from their `most` best objects; zeros without any. By "sentence" SE of the
    sentence of all; else the sum of unit embeddings times probabilities, by name and definition or, brought to length
    1, by name."""
    clips = [objects[:most] for objects in clips]
    if rule == "sentence":
        return rows_of(space, list(map(sentence_of, clips)))
    summed = _sums(space, clips, rule)
    return unit_rows(summed) if rule == "names" else summed


def object_terms(space: Space, objects: Recognised, rule: str) -> FloatArray:
    """(K, E) the terms whose sum `object_rows` gives for one clip, by any rule but "sentence"."""
    terms_KE = _sums(space, [[one] for one in objects], rule)
    length = float(np.linalg.norm(terms_KE.sum(0))) if rule == "names" else 1.0
    return terms_KE / np.float32(length or 1.0)


def _sums(space: Space, clips: Sequence[Recognised], rule: str, unit: bool = True) -> FloatArray:
    """(N, E) of each clip's objects and their probabilities, the weighted sum of their (unit) embeddings."""
    from scipy.sparse import csr_array

    place: dict[str, int] = {}
    cells = []
    for row, objects in enumerate(clips):
        for name, definition, weight in objects:
            text = name if rule == "names" else f"{name} {definition}".strip()
            cells.append((weight, row, place.setdefault(text, len(place))))
    weights, rows, columns = zip(*cells, strict=True)
    embedded = rows_of(space, list(place))
    weights_NM = csr_array((weights, (rows, columns)), shape=(len(clips), len(place)))
    summed: FloatArray = (weights_NM @ (unit_rows(embedded) if unit else embedded)).astype(np.float32)
    return summed


# A data set ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a data set."""

    embeddings: Embeddings
    notes: list[str]  # what should be said about them
    object_sentences: list[str]  # O(v) of each clip, "" where there is none


def object_head(run: Run, encoder: FrameEncoder | None = None) -> ObjectHead | None:
    """The head that names objects for a run: its own, else that of its frame encoder, which may be loaded already."""
    path = run.folder / "objects.safetensors"
    if path.is_file():
        return LinearHead.load(path)
    name = run.config.feature_encoder["name"]
    if encoder is None and encoders.present(name):
        encoder = encoders.create(name)
    return None if encoder is None else encoder.object_head


def objects_counted(run: Run | None, object_rule: str | None = None) -> tuple[str, int]:
    """The rule by which O is made, the run's by default, and of how many objects."""
    if run is not None and object_rule in (None, run.config.object_rule):
        return run.config.object_rule, run.config.objects
    rule = object_rule or "sentence"
    return rule, MOST_OBJECTS.get(rule, OBJECTS)


def clip_blocks(
    space: Space, store: FeatureStore, ids: Sequence[str], run: Run | None, rule: str, objects: int
) -> Iterator[tuple[FloatArray | None, list[Recognised]]]:
    """VE of clips, None where the space has none, and their objects, `BLOCK` clips at a time. Objects are named by the
    head of the run, else of its frame encoder, whose objects a store holds; none are, where `objects` is 0."""
    head = object_head(run) if objects and run and not _holds(store, run, rule, objects, ids[0]) else None
    for first, features in zip(range(0, len(ids), BLOCK), store.blocks(ids, BLOCK), strict=True):
        found: list[Recognised] = []
        for clip, features_TD in zip(ids[first : first + BLOCK], features, strict=True):
            if head is not None:
                found.append(recognise(head, features_TD, objects, rule))
            elif (stored := store.objects(clip)) is not None and store.vocabulary is not None:
                found.append(in_words(store.vocabulary, stored[0][:objects], stored[1][:objects]))
            else:
                found.append([])
        yield space.clips(features), found


def embed_dataset(
    space: Space, store: FeatureStore | None, dataset: Dataset, descriptions: Descriptions, *, run: Run | None = None,
    captions: Captions | None = None, averaged: bool = False, object_rule: str | None = None, every_class: bool = False,
    progress: Progress | None = None,
) -> Embedded:  # fmt: skip
    """Embed the clips of a labelled data set, in the modalities that can be had, and the classes it has clips of, or
    `every_class`. C(v) is all captions as one sentence, after [12], or `averaged` the mean of their embeddings; objects
    are named by the head of the run, else of its frame encoder, whose objects a store holds. Raises `MismatchError` for
    a store of another encoder, `InputError` where no clip is in it or has a caption, or a class has no description."""
    if run is not None and store is not None:
        run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    ids, notes = list(dataset.labels), []
    if store is not None:
        if dataset.segments:
            raise InputError(f"the clips of {dataset.name} are parts of videos, to train on; evaluate on whole clips")
        ids = [clip for clip in dataset.labels if clip in store]
        if len(ids) < len(dataset.labels):
            missing = [clip for clip in dataset.labels if clip not in store]
            told = f"{len(missing):,} of {len(dataset.labels):,} clips are not in the store: {enumerated(missing, 5)}"
            if not ids:
                raise InputError(f"{told}; extract them into it, or check that the ids agree")
            notes.append(told)
    classes = sorted(set(dataset.labels.values()))
    spelt = dict(zip(classes, resolve(classes, list(descriptions)), strict=True))
    present = set(spelt.values())
    wanted = {name: descriptions[name] for name in descriptions if every_class or name in present}
    trained = {canonical(name) for name in space.seen.names} if isinstance(space, TransferSpace) else set()
    if shown := sorted(name for name in present if canonical(name) in trained):
        told = f"{len(shown):,} of {len(present):,} classes were shown in training, as labels"
        notes.append(f"{told}: {enumerated(shown, 5)}")
    if captions is not None and (bare := [clip for clip in ids if not captions.get(clip)]):
        if len(bare) == len(ids):
            raise InputError(
                f"none of the {len(ids):,} clips of {dataset.name} has a caption; check that the ids agree"
            )
        notes.append(f"{len(bare):,} of {len(ids):,} clips have no caption: {enumerated(bare, 5)}")
    rule, objects = objects_counted(run, object_rule)
    found: list[Recognised] = []
    visual: list[FloatArray] = []
    for rows_NE, named in clip_blocks(space, store, ids, run, rule, objects) if store else ():
        if rows_NE is not None:
            visual.append(rows_NE)
        found += named
        if progress:
            progress(len(found), len(ids))
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
    return Embedded(Embeddings(ids, labels, names, modalities, prototypes, owner, space.name), notes, sentences)


def _holds(store: FeatureStore, run: Run, rule: str, objects: int, clip: str) -> bool:
    """Whether a store's objects are those that a run counts, as many, by the same probabilities."""
    vocabulary, stored = store.vocabulary, store.objects(clip)
    if vocabulary is None or stored is None or rule == "names" or len(stored[0]) < min(objects, len(vocabulary.names)):
        return False
    path = run.folder / "objects.safetensors"
    return not path.is_file() or LinearHead.load(path).fingerprint == vocabulary.fingerprint
