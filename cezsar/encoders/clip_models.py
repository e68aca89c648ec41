"""`clip:<model>`: an image-text model of the CLIP family, loaded by sentence-transformers.

Images and sentences have vectors in one space, so that it ranks any labels at once, without a trained run. Vectors
are the model's own, not brought to length one: compare them by cosine similarity.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cezsar.encoders import compute, weights
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.catalogue import CLIP_DOMAIN
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 32
DEFAULT_SCALE = 100.0  # the temperature that CLIP models are trained to, for those that do not carry their own
OBJECT_PROMPT = "a photo of a {}."
IMAGE_SETTINGS = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "image_mean", "image_std")


class ClipEncoder:
    """An image-text SentenceTransformer as a frame encoder (one row a second) and as a text encoder.

    Its objects are its own text tower on ImageNet-1k's names: logits are the model's scale times the cosine similarity
    of frame and "a photo of a <name>.". `head_for` does the same with any other vocabulary.
    """

    in_decoder = False
    domain = CLIP_DOMAIN

    def __init__(
        self, name: str, model: SentenceTransformer, precision: str = "auto", device: str | None = None
    ) -> None:
        if not (model.supports("image") and model.supports("text")):
            takes = ", ".join(map(str, model.modalities))
            raise InputError(f"{name} is no model of images and text: it takes {takes}")
        self.name = name
        self.sampling = Sampling(fps=1.0)
        self.device = compute.pick_device(device)
        self.precision = compute.pick_precision(precision, self.device)
        self.model = model.eval().to(self.device)
        self.dim = int(model.get_embedding_dimension() or self._encode(["a photo"]).shape[1])

    @functools.cached_property
    def fingerprint(self) -> str:
        settings = self.model.processor.image_processor.to_dict()
        frames = {key: settings[key] for key in IMAGE_SETTINGS if key in settings}
        return weights.transformer_fingerprint(
            self.model, kind="clip", frames=json.loads(json.dumps(frames, default=dict))
        )

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        return compute.encode_in_batches(frames, BATCH, self.dim, self._images)

    def text_vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """N sentences -> (N, D) float32 in the space of the frames. What exceeds the model's length is cut."""
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise InputError(f"a sentence is expected, not {type(sentence).__name__}: {sentence!r:.80}")
        return self._encode(list(sentences)) if sentences else np.zeros((0, self.dim), np.float32)

    @functools.cached_property
    def object_head(self) -> ObjectHead | None:
        return self.head_for(*imagenet_vocabulary("imagenet-1k"))

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

    def _images(self, images: list[np.ndarray]) -> np.ndarray:
        from PIL import Image

        return self._encode([Image.fromarray(image) for image in images])

    def _encode(self, inputs: list) -> np.ndarray:
        with compute.inference(self.device, self.precision):
            vectors = self.model.encode(inputs, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True)
        return vectors.float().cpu().numpy()
