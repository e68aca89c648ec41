"""`clip:<model>`: an image-text model of the CLIP family, loaded by sentence-transformers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar.encoders import compute, weights
from cezsar.encoders.catalogue import CLIP_DOMAIN
from cezsar.encoders.image_text import BATCH, ImageTextEncoder, frame_settings, plain_words
from cezsar.errors import InputError
from cezsar.video import Frame

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


class ClipEncoder(ImageTextEncoder):
    """An image-text SentenceTransformer as a frame encoder (one row a second) and as a text encoder.

    SigLIP models get their text as they are trained on it, which sentence-transformers leaves to the caller: in lower
    case, without punctuation, and padded to the full length, for they read their answer off the last place.
    """

    domain = CLIP_DOMAIN

    def __init__(
        self, name: str, model: SentenceTransformer, precision: str = "auto", device: str | None = None
    ) -> None:
        if not (model.supports("image") and model.supports("text")):
            takes = ", ".join(map(str, model.modalities))
            raise InputError(f"{name} is no model of images and text: it takes {takes}")
        super().__init__(name, model, precision, device)
        tower: Any = model[0]
        config = tower.model.config
        self._siglip = config.model_type in ("siglip", "siglip2")
        if self._siglip:
            length = config.text_config.max_position_embeddings
            tower.processing_kwargs["text"] = {"padding": "max_length", "max_length": length, "truncation": True}

    @functools.cached_property
    def fingerprint(self) -> str:
        frames = frame_settings(self.model.processor.image_processor)
        return weights.transformer_fingerprint(self.model, kind="clip", frames=frames)

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        return compute.encode_in_batches(frames, self.device, self.dim, self._images)

    def _images(self, images: list[np.ndarray]) -> np.ndarray:
        from PIL import Image

        with compute.inference(self.device, self.precision):
            return self._encode([Image.fromarray(image) for image in images]).float().cpu().numpy()

    def _texts(self, sentences: list[str]) -> torch.Tensor:
        return self._encode([plain_words(sentence) for sentence in sentences] if self._siglip else sentences)

    def _encode(self, inputs: list) -> torch.Tensor:
        vectors: torch.Tensor = self.model.encode(
            inputs, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True
        )
        return vectors
