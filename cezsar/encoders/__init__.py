"""Frames -> features, sentences -> vectors, features -> objects. Models are loaded when asked for, not with this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.catalogue import (
    CARDS,
    EFFICIENTNET,
    EMBEDDED,
    FOR_REAL_VIDEO,
    IMAGE_TEXT,
    Card,
    card,
    for_captions,
    for_real_video,
    located,
    present,
)  # fmt: skip
from cezsar.encoders.sentences import SentenceEncoder, load_sentence_encoder
from cezsar.errors import InputError

__all__ = [
    "CARDS", "EFFICIENTNET", "EMBEDDED", "FOR_REAL_VIDEO", "IMAGE_TEXT", "Card", "FrameEncoder", "ObjectHead",
    "SentenceEncoder", "card", "create", "for_captions", "for_real_video", "load_sentence_encoder", "located",
    "present", "scene_columns",
]  # fmt: skip


def scene_columns(name: str) -> np.ndarray | None:
    """Columns of an encoder's rows that show the scene more than the action; None where all columns show both."""
    if name != EMBEDDED:
        return None
    from cezsar.encoders.motion import MotionEncoder

    return MotionEncoder().columns("scene gradients", "scene colours")


def create(
    name: str, weights: str | Path | None = None, precision: str = "auto", device: str | None = None,
    batch: int | None = None, compiled: bool = False,
) -> FrameEncoder:  # fmt: skip
    """A frame encoder, loaded: `efficientnet`, `motion`, `bit`, `bit-released`, or of a kind with its model, also a
    folder: `timm:<model>`, `clip:<model>`, `open_clip:<model>`, `video:<model>`. `weights` is a file or folder, where
    they are not to be looked for; `precision` is auto (see `pick_precision`), fp32 or bf16; `batch` is how many
    pictures are computed at once; `compiled` by torch's compiler. Raises `InputError` for other names,
    `MissingWeightsError` without weights, `FormatError` for damaged ones."""
    if name in (EMBEDDED, EFFICIENTNET) and weights is not None:
        others = "" if name == EMBEDDED else "; for others say timm:tf_efficientnet_lite2"
        raise InputError(f"{name} brings what it needs and has no weights to load{others}")
    if name == EMBEDDED:
        from cezsar.encoders.motion import MotionEncoder

        return MotionEncoder()
    from cezsar.encoders import image_text, timm_models

    kind, _, model = name.partition(":")
    computed: dict[str, Any] = {"precision": precision, "device": device, "batch": batch, "compiled": compiled}
    if name == EFFICIENTNET:
        return timm_models.TimmEncoder(name, timm_models.load_efficientnet(), **computed)
    if name in ("bit", "bit-released"):
        loaded = timm_models.load_model(name, timm_models.BIT, weights)
        return timm_models.TimmEncoder(name, loaded, timm_models.BIT_FRAMES, name == "bit-released", **computed)
    if not model or kind not in ("timm", *IMAGE_TEXT):
        kinds = "timm:<model>, clip:<model>, open_clip:<model> or video:<model>"
        raise InputError(f"there is no encoder {name!r}: efficientnet, motion, bit, bit-released, {kinds}")
    if kind == "timm":
        return timm_models.TimmEncoder(name, timm_models.load_model(name, model, weights), **computed)
    if kind == "clip":
        return image_text.ClipEncoder(name, image_text.load_clip(name, weights, device), **computed)
    if kind == "open_clip":
        return image_text.OpenClipEncoder(name, *image_text.load_open_clip(name, model, weights), **computed)
    return image_text.VideoTextEncoder(name, *image_text.load_video_text(name, weights), **computed)
