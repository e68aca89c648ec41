"""Where clips and class descriptions meet: the joint space of a run, or a sentence encoder's own space.

Both turn sentences into (N, E) embeddings; only the joint space has a place for what the frames look like. From a
space and a feature store come `Embeddings` (`cezsar.zeroshot.embed`), on which everything after stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from cezsar.data.sentence_cache import Encoder
from cezsar.errors import InputError
from cezsar.model import CEZSAR, stack
from cezsar.training.loop import default_device
from cezsar.training.runs import Run

FloatArray = npt.NDArray[np.float32]
BATCH = 256


@runtime_checkable
class TextEncoder(Protocol):
    """An image-text model's side for sentences."""

    def text_vectors(self, sentences: Sequence[str]) -> FloatArray: ...


class Space(Protocol):
    """A place for clips and sentences. `name` is "joint", "sentence" or "image-text"."""

    @property
    def name(self) -> str: ...

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        """(N, E) embeddings of N sentences."""

    def clips(self, features: Sequence[FloatArray]) -> FloatArray | None:
        """(N, E) visual embeddings of N clips of (T_i, D) features; None where the space has none."""


class JointSpace:
    """SE and VE of a trained run (Eq. 1-6).

    Args:
        model: in evaluation mode.
        encoder: the run's sentence encoder.
    """

    name = "joint"

    def __init__(self, model: CEZSAR, encoder: Encoder) -> None:
        self.model, self._encoder = model, encoder
        self._device = next(model.parameters()).device

    @classmethod
    def of_run(cls, run: Run, encoder: Encoder, device: str | None = None) -> JointSpace:
        run.check_sentence_encoder(encoder.name, encoder.fingerprint, encoder.dim)
        return cls(run.load_model(device or default_device()), encoder)

    @torch.inference_mode()
    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors = torch.from_numpy(self._encoder.encode(sentences)).to(self._device)
        return _numpy(self.model.sentence_embedding(vectors))

    @torch.inference_mode()
    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        embeddings = np.empty((len(features), self.model.config.d_emb), np.float32)
        limit = self.model.padded_seconds or self.model.config.max_seconds
        for first in range(0, len(features), BATCH):
            part = [torch.from_numpy(np.asarray(clip_TD, np.float32)) for clip_TD in features[first : first + BATCH]]
            features_BTD, lengths_B = stack(part, limit, middle=self.model.config.recipe == "paper")
            visual_BE = self.model.visual_embedding(features_BTD.to(self._device), lengths_B.to(self._device))
            embeddings[first : first + BATCH] = _numpy(visual_BE)
        return embeddings


class SentenceSpace:
    """A sentence encoder's own space, without any training: objects and captions only, after [9] and [12]."""

    name = "sentence"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self._encoder.encode(sentences)

    def clips(self, features: Sequence[FloatArray]) -> None:
        return None


class ImageTextSpace:
    """The space of a frozen image-text model: a clip is the mean of its frames' unit embeddings."""

    name = "image-text"

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self._encoder.text_vectors(sentences)

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        means = [(clip_TD / np.linalg.norm(clip_TD, axis=1, keepdims=True)).mean(0) for clip_TD in features]
        return np.array(means, np.float32)


def prototypes_of(
    space: Space, descriptions: Mapping[str, Sequence[str]]
) -> tuple[list[str], FloatArray, npt.NDArray[np.int64]]:
    """Class names, (P, E) prototype embeddings, and (P,) the class index of each.

    Args:
        descriptions: class name -> one or several descriptive sentences.
    """
    if not descriptions:
        raise InputError("there are no classes to choose from; give labels or class descriptions")
    names = list(descriptions)
    sentences = [sentence for name in names for sentence in descriptions[name]]
    owner = np.array([index for index, name in enumerate(names) for _ in descriptions[name]], np.int64)
    return names, space.sentences(sentences), owner


def rows_of(space: Space, sentences: Sequence[str]) -> FloatArray:
    """(N, E) embeddings; an empty sentence, meaning "none", gives a row of zeros."""
    unique = sorted({sentence for sentence in sentences if sentence})
    if not unique:
        raise InputError("no clip has a sentence for this modality; leave the modality out")
    embedded = space.sentences(unique)
    position = {sentence: index for index, sentence in enumerate(unique)}
    rows = np.zeros((len(sentences), embedded.shape[1]), np.float32)
    for row, sentence in enumerate(sentences):
        if sentence:
            rows[row] = embedded[position[sentence]]
    return rows


def _numpy(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor.float().cpu().numpy()
    return array
