"""Where clips and class descriptions meet: the joint space of a run, or a sentence encoder's own space.

Both turn sentences into (N, E) embeddings; only the joint space has a place for what the frames look like. From a
space and a feature store come `Embeddings` (`cezsar.zeroshot.embed`), on which everything after stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from cezsar.arrays import FloatArray, IntArray, unit_rows
from cezsar.data.labels import spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.encoders.compute import pick_device
from cezsar.errors import InputError
from cezsar.model import CEZSAR, stack
from cezsar.training.runs import Run

BATCH = 256


@runtime_checkable
class TextEncoder(Protocol):
    """An image-text model's side for sentences."""

    @property
    def prompts(self) -> Sequence[str]:
        """What it wants a bare label to be put into, at {}."""

    @property
    def trust(self) -> str:
        """One line on what it sees, and so may be trusted for."""

    @property
    def visual_dim(self) -> int:
        """How many columns of a feature row, from the first, are in the space of its sentences."""

    def text_vectors(self, sentences: Sequence[str]) -> FloatArray: ...


class Space(Protocol):
    """A place for clips and sentences. `name` is "joint", "sentence" or "image-text"."""

    @property
    def name(self) -> str: ...

    @property
    def limit_s(self) -> int | None:
        """The most seconds that it takes of a clip, whose middle it keeps; None if it takes all."""

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
        self.limit_s = model.padded_seconds or model.config.max_seconds
        self._device = next(model.parameters()).device

    @classmethod
    def of_run(cls, run: Run, encoder: Encoder, device: str | None = None) -> JointSpace:
        run.check_sentence_encoder(encoder.name, encoder.fingerprint, encoder.dim)
        return cls(run.load_model(pick_device(device)), encoder)

    @torch.inference_mode()
    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors = torch.from_numpy(self._encoder.encode(sentences)).to(self._device)
        return _numpy(self.model.sentence_embedding(vectors))

    @torch.inference_mode()
    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        embeddings = np.empty((len(features), self.model.config.d_emb), np.float32)
        for first in range(0, len(features), BATCH):
            part = [torch.from_numpy(np.asarray(clip_TD, np.float32)) for clip_TD in features[first : first + BATCH]]
            features_BTD, lengths_B = stack(part, self.limit_s, middle=self.model.config.recipe != "released")
            visual_BE = self.model.visual_embedding(features_BTD.to(self._device), lengths_B.to(self._device))
            embeddings[first : first + BATCH] = _numpy(visual_BE)
        return embeddings


class SentenceSpace:
    """A sentence encoder's own space, without any training: objects and captions only, after [9] and [12].

    Args:
        origin_S: subtracted from every vector. The mean vector of the objects' names takes out what all of them share,
            so that cosines tell by what differs; zero by default.
    """

    name = "sentence"
    limit_s = None

    def __init__(self, encoder: Encoder, origin_S: FloatArray | None = None) -> None:
        self._encoder, self._origin_S = encoder, origin_S

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        vectors_NS = self._encoder.encode(sentences)
        return vectors_NS if self._origin_S is None else vectors_NS - self._origin_S

    def clips(self, features: Sequence[FloatArray]) -> None:
        return None


class ImageTextSpace:
    """The space of a frozen image-text model: a clip is the mean of its frames' unit embeddings.

    Args:
        prompts: sentences with {} for a bare label, such as "a video of a person {}."; the encoder's own by default.

    Raises:
        InputError: there is no prompt, or one without {}.
    """

    name = "image-text"
    limit_s = None

    def __init__(self, encoder: TextEncoder, prompts: Sequence[str] | None = None) -> None:
        self._encoder = encoder
        self.prompts = tuple(encoder.prompts if prompts is None else prompts)
        if not self.prompts or not all("{}" in prompt for prompt in self.prompts):
            raise InputError(
                f"a prompt needs {{}} where the label goes, as in 'a video of {{}}.': {list(self.prompts)}"
            )

    def sentences(self, sentences: Sequence[str]) -> FloatArray:
        return self._encoder.text_vectors(sentences)

    def prompted(self, sentences: Sequence[str], bare: Sequence[bool]) -> FloatArray:
        """(N, E) unit embeddings; of a bare label, their mean over the prompts that it is put into."""
        texts = [
            [prompt.replace("{}", sentence) for prompt in self.prompts] if alone else [sentence]
            for sentence, alone in zip(sentences, bare, strict=True)
        ]
        counts = np.array([len(each) for each in texts])
        units = unit_rows(self.sentences([text for each in texts for text in each]))
        return (np.add.reduceat(units, np.cumsum(counts) - counts) / counts[:, None]).astype(np.float32)

    def clips(self, features: Sequence[FloatArray]) -> FloatArray:
        width = self._encoder.visual_dim  # columns after these are of a second encoder, for objects
        return np.array([unit_rows(clip_TD[:, :width]).mean(0) for clip_TD in features], np.float32)


def prototypes_of(space: Space, descriptions: Mapping[str, Sequence[str]]) -> tuple[list[str], FloatArray, IntArray]:
    """Class names, (P, E) prototype embeddings, and (P,) the class index of each.

    A sentence that only repeats the class's name is a bare label: an image-text space puts it into its prompts.

    Args:
        descriptions: class name -> one or several descriptive sentences.
    """
    if not descriptions:
        raise InputError("there are no classes to choose from; give labels or class descriptions")
    names = list(descriptions)
    sentences = [sentence for name in names for sentence in descriptions[name]]
    owner = np.array([index for index, name in enumerate(names) for _ in descriptions[name]], np.int64)
    if not isinstance(space, ImageTextSpace):
        return names, space.sentences(sentences), owner
    bare = [sentence == spoken(names[index]) for sentence, index in zip(sentences, owner, strict=True)]
    return names, space.prompted(sentences, bare), owner


def sampled_names(names: Sequence[str], most: int = 1000) -> list[str]:
    """At most so many of a vocabulary's names, evenly spaced: enough to tell their mean vector."""
    return list(names[:: -(-len(names) // most)])


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
