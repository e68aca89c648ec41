"""Where clips and class descriptions meet: the joint space of a run, or that of a sentence or an image-text encoder.

All turn sentences into (N, E) embeddings; only some have a place for what the frames look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.labels import spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.compute import pick_device
from cezsar.errors import InputError
from cezsar.model import CEZSAR, CrossModal, clip_embeddings
from cezsar.training.cross_modal import label_embeddings, label_tokens
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Seen


@runtime_checkable
class TextEncoder(Protocol):
    """An image-text model's side for sentences."""

    @property
    def prompts(self) -> Sequence[str]: ...  # what it wants a bare label to be put into, at {}

    @property
    def trust(self) -> str: ...  # one line on what it sees, and so may be trusted for

    @property
    def visual_dim(self) -> int: ...  # how many columns of a feature row, from the first, are in its sentences' space

    def text_vectors(self, sentences: Sequence[str]) -> FloatArray: ...


class Space:
    """A place for clips and sentences."""

    name = ""  # "joint", "sentence" or "image-text"
    limit_s: int | None = None  # the most seconds that it takes of a clip, whose middle it keeps; None if it takes all

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        """(N, E) embeddings of N sentences."""
        raise NotImplementedError

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

    @torch.inference_mode()
    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors = torch.from_numpy(self._encoder.encode(sentences)).to(self.model.feature_mean.device)
        embedded: FloatArray = self.model.sentence_embedding(vectors).float().cpu().numpy()
        return embedded

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        return clip_embeddings(self.model, features)


class TransferSpace(Space):
    """The space of a cross-modal run, in which classes are their text and the seen classes that they are related to.

    A clip is [√λ f_v, √(1-λ) f_v], a class [√λ P_u, √(1-λ) f_t(u)], with f_v, P_u and f_t of length 1: their cosine is
    λ cos(f_v, P_u) + (1-λ) cos(f_v, f_t(u)), the score of `cezsar.training.semantic_transfer`.
    """

    name = "joint"

    def __init__(self, model: CrossModal, encoder: Encoder, seen: Seen) -> None:
        self.model, self._encoder, self.seen = model, encoder, seen
        self.limit_s = model.config.max_seconds

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self.labels(sentences, sentences)

    def labels(self, names: Sequence[str], sentences: Sequence[str]) -> FloatArray:
        composed_NE = self.seen.composed(names, self._encoder.encode(sentences))
        texts_NE = label_embeddings(self.model, label_tokens(self._encoder, names, sentences))
        return self._joined(composed_NE, unit_rows(texts_NE.astype(np.float64)))

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        visual_NE = unit_rows(clip_embeddings(self.model, features).astype(np.float64))
        return self._joined(visual_NE, visual_NE)

    def _joined(self, by_prototype_NE: DoubleArray, by_text_NE: DoubleArray) -> FloatArray:
        lam = self.seen.how.lam
        return np.hstack([np.sqrt(lam) * by_prototype_NE, np.sqrt(1 - lam) * by_text_NE]).astype(np.float32)


def space_of(run: Run, encoder: Encoder, device: str | None = None) -> Space:
    """The joint space of a run. Raises `MismatchError` where `encoder` is not the one of its sentences."""
    run.check_sentence_encoder(encoder.name, encoder.fingerprint, encoder.dim)
    model = run.load_model(pick_device(device))
    if isinstance(model, CrossModal):
        return TransferSpace(model, encoder, Seen.load(run.folder / "seen.safetensors"))
    return JointSpace(model, encoder)


class SentenceSpace(Space):
    """A sentence encoder's own space, without any training: objects and captions only, after [9] and [12].

    `origin_S` is subtracted from every vector: the mean vector of the objects' names takes out what all of them share,
    so that cosines tell by what differs.
    """

    name = "sentence"

    def __init__(self, encoder: Encoder, origin_S: FloatArray | None = None) -> None:
        self._encoder, self._origin_S = encoder, origin_S

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors_NS = self._encoder.encode(sentences)
        return vectors_NS if self._origin_S is None else vectors_NS - self._origin_S


class ImageTextSpace(Space):
    """The space of a frozen image-text model: a clip is the mean of its frames' unit embeddings.

    A bare label is put into `prompts`, such as "a video of a person {}."; by default the encoder's own.
    """

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
        """(N, E) unit embeddings; of a sentence that only repeats the class's name, their mean over the prompts."""
        texts = [
            [prompt.replace("{}", sentence) for prompt in self.prompts] if sentence == spoken(name) else [sentence]
            for name, sentence in zip(names, sentences, strict=True)
        ]
        counts = np.array([len(each) for each in texts])
        units = unit_rows(self.sentences([text for each in texts for text in each]))
        return (np.add.reduceat(units, np.cumsum(counts) - counts) / counts[:, None]).astype(np.float32)

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        width = self._encoder.visual_dim  # columns after these are of a second encoder, for objects
        return np.array([unit_rows(clip_TD[:, :width]).mean(0) for clip_TD in features], np.float32)


def prototypes_of(space: Space, descriptions: Mapping[str, Sequence[str]]) -> tuple[list[str], FloatArray, IntArray]:
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
