"""`open_clip:<model>`: an image-text model that open_clip knows, such as `open_clip:PE-Core-B-16`.

`<model>` is one of open_clip's names, with a tag where it has several trained weights (`ViT-B-32:laion2b_s34b_b79k`),
a repository of the hub (`laion/CLIP-ViT-B-32-laion2B-s34B-b79K`), or a folder in the hub's form: open_clip_config.json
and weights. Preprocessing, tokenizer and length of sentences are those that open_clip gives the model.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar.encoders import compute, weights
from cezsar.encoders.catalogue import CLIP_DOMAIN, located
from cezsar.encoders.fetching import fetch
from cezsar.encoders.image_text import ImageTextEncoder
from cezsar.errors import FormatError, InputError
from cezsar.video import Frame

if TYPE_CHECKING:
    import torch

CONFIG = "open_clip_config.json"


class OpenClipEncoder(ImageTextEncoder):
    """An open_clip model as a frame encoder (one row a second) and as a text encoder: `encode_image`, `encode_text`."""

    domain = CLIP_DOMAIN

    def __init__(
        self, name: str, model: Any, tokenizer: Any, precision: str = "auto", device: str | None = None
    ) -> None:
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from open_clip.transformer import Transformer

        super().__init__(name, model, precision, device)
        for tower in self.model.modules():
            if type(tower) is Transformer and isinstance(tower.resblocks[0].attn, torch.nn.MultiheadAttention):
                for part in (tower, *(block.attn for block in tower.resblocks)):
                    part.batch_first = False  # in bfloat16 a processor needs 20 times as long with the batch first
        self._tokenizer = tokenizer
        self._frames = PreprocessCfg(**model.visual.preprocess_cfg)
        self._transform = image_transform_v2(self._frames, is_train=False)

    @functools.cached_property
    def fingerprint(self) -> str:
        activations = {type(module).__name__ for module in self.model.modules()}
        description = {
            "kind": "open_clip",
            "frames": asdict(self._frames),
            "length": self._tokenizer.context_length,
            "quick_gelu": "QuickGELU" in activations,  # the same weights can be run with the wrong one
        }
        return weights.fingerprint(description, self.model.state_dict())

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        return compute.encode_in_batches(frames, self.device, self.dim, self._images)

    def _images(self, images: list[np.ndarray]) -> np.ndarray:
        import torch
        from PIL import Image

        batch = torch.stack([self._transform(Image.fromarray(image)) for image in images])
        with compute.inference(self.device, self.precision):
            features: torch.Tensor = self.model.encode_image(batch.to(self.device))
        return features.float().cpu().numpy()

    def _texts(self, sentences: list[str]) -> torch.Tensor:
        vectors: torch.Tensor = self.model.encode_text(self._tokenizer(sentences).to(self.device))
        return vectors


def load_open_clip(name: str, model: str, weights_path: str | Path | None = None) -> tuple[torch.nn.Module, Any]:
    """The model with its trained weights, and its tokenizer.

    The weights are in `weights_path`, in `$CEZSAR_HOME/models`, in the hub's cache, or are fetched: a folder with
    open_clip_config.json, or a file of tensors for a model that open_clip knows. Nothing is unpickled but tensors.

    Raises:
        InputError: open_clip has no such model, or there is nothing at `weights_path`.
        FormatError: what is there cannot be loaded.
        MissingWeightsError: they are not here and cannot be fetched.
    """
    import open_clip

    architecture = model.partition(":")[0]
    if "/" not in model and architecture not in open_clip.list_models():
        close = difflib.get_close_matches(architecture, open_clip.list_models(), 3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise InputError(f"{name}: open_clip has no model {architecture!r}{hint}")
    place = Path(weights_path) if weights_path is not None else located(name) or fetch(name)
    source, settings = f"local-dir:{place}", {}
    if not (place / CONFIG).is_file():
        file = place if place.is_file() else weights.weights_file(place)
        if file is None:
            raise InputError(f"{name}: {place} has no weights; wanted is a folder with {CONFIG}, or a file of weights")
        known = pretrained(model)
        frames = {key: known.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
        quick_gelu = known.get("quick_gelu", False)
        source, settings = architecture, {
            "pretrained": str(file), "force_preprocess_cfg": frames, "force_quick_gelu": quick_gelu
        }  # fmt: skip
    try:
        with weights.loading_here():
            loaded = open_clip.create_model(source, require_pretrained=True, **settings)
            tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:  # a damaged or foreign file: torch, safetensors, json and others each have their own
        raise FormatError(f"{name}: {place} cannot be loaded by open_clip: {weights.first_line(error)}") from error
    weights.refuse_not_finite(name, place, loaded)
    return loaded, tokenizer


def pretrained(model: str) -> dict[str, Any]:
    """open_clip's record of the weights that `<model>` means: its tag's, or the first listed; {} if there are none."""
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    architecture, _, tag = model.partition(":")
    record: dict[str, Any] = get_pretrained_cfg(
        architecture, tag or next(iter(list_pretrained_tags_by_model(architecture)), "")
    )
    return record
