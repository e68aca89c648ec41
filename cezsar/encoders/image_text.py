"""What encoders of pictures and words share: vectors of sentences in the space of the frames, prompts, objects.

`clip:` and `open_clip:` models see single frames, `video:` models a window of them. Vectors are the model's own, not
brought to length one: compare them by cosine similarity.
"""

from __future__ import annotations

import functools
import json
import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar import workspace
from cezsar.encoders import compute
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.errors import InputError
from cezsar.video import Sampling

if TYPE_CHECKING:
    import torch

BATCH = 32
DEFAULT_SCALE = 100.0  # the temperature that CLIP models are trained to, for those that do not carry their own
IMAGE_SETTINGS = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "image_mean", "image_std")
OBJECT_PROMPT = "a photo of a {}."
PROMPTS = ("a video of a person {}.", "a photo of a person {}.", "a video of {}.")
"""What a bare label is put into: two for what somebody does ("juggling"), one for what it is called ("archery")."""


class ImageTextEncoder(ABC):
    """A model whose pictures and sentences have vectors in one space, so that it ranks any labels at once.

    Its objects are its own text tower on ImageNet-1k's names: logits are the model's scale times the cosine similarity
    of frame and "a photo of a <name>.". `head_for` does the same with any other vocabulary.

    Attributes:
        trust: one line on what it sees, and so may be trusted for.
        prompts: what a bare label is put into; their unit vectors are averaged.
        sampling: the frames it wants.
    """

    in_decoder = False
    trust = "it sees single frames, so trust it for what a photograph can show, less for movement"
    prompts: Sequence[str] = PROMPTS
    sampling = Sampling(fps=1.0)

    def __init__(self, name: str, model: Any, precision: str, device: str | None) -> None:
        self.name = name
        self.device = compute.pick_device(device)
        self.precision = compute.pick_precision(precision, self.device)
        self.model = model.eval().to(self.device)

    @functools.cached_property
    def dim(self) -> int:
        """D."""
        return len(self.text_vectors(["a photo"])[0])

    @property
    def visual_dim(self) -> int:
        """How many columns of a row are in the space of the sentences: all."""
        return self.dim

    def text_vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, D) float32 in the space of the frames. What exceeds the model's length is cut."""
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise InputError(f"a sentence is expected, not {type(sentence).__name__}: {sentence!r:.80}")
        if not sentences:
            return np.zeros((0, self.dim), np.float32)
        with compute.inference(self.device, self.precision):
            parts = [
                self._texts(list(sentences[first : first + BATCH])).float().cpu().numpy()
                for first in range(0, len(sentences), BATCH)
            ]
        return np.concatenate(parts)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of preprocessing and weights."""

    @abstractmethod
    def _texts(self, sentences: list[str]) -> torch.Tensor:
        """The text tower on at most `BATCH` sentences: (N, D)."""

    @functools.cached_property
    def object_head(self) -> ObjectHead | None:
        """Kept in the workspace's cache: a thousand sentences take a large text tower minutes on a CPU."""
        file = workspace.folder("cache") / "heads" / f"{self.fingerprint}.safetensors"
        if file.is_file():
            return LinearHead.load(file)
        head = self.head_for(*imagenet_vocabulary("imagenet-1k"))
        head.save(file)
        return head

    def head_for(self, names: Sequence[str], definitions: Sequence[str]) -> LinearHead:
        """An object head for any vocabulary: weight (K, D) = scale * text vector of length one, on unit-length rows."""
        vectors = self.text_vectors([OBJECT_PROMPT.format(name) for name in names])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return LinearHead(names, definitions, self.scale * vectors, unit_norm=True)

    @functools.cached_property
    def scale(self) -> float:
        """What the model multiplies cosine similarities by before a softmax."""
        scales = [tensor for key, tensor in self.model.state_dict().items() if key.rpartition(".")[2] == "logit_scale"]
        return float(scales[0].exp()) if scales else DEFAULT_SCALE


def frame_settings(processor: Any) -> dict[str, Any]:
    """What a transformers image or video processor does to a frame, for a fingerprint."""
    settings = processor.to_dict()
    chosen = {key: settings[key] for key in IMAGE_SETTINGS if key in settings}
    plain: dict[str, Any] = json.loads(json.dumps(chosen, default=dict))
    return plain


def plain_words(sentence: str) -> str:
    """Lower case, no punctuation, single spaces: the text that SigLIP models are trained on (Zhai et al. 2023)."""
    return " ".join(sentence.lower().translate(str.maketrans("", "", string.punctuation)).split())
