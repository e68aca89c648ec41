"""Frames -> features, sentences -> vectors, features -> objects.

`create` makes a frame encoder from its name, `load_sentence_encoder` a sentence encoder. Models are loaded when asked
for, not when this is imported.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.catalogue import (
    CARDS,
    EFFICIENTNET,
    EMBEDDED,
    FOR_REAL_VIDEO,
    IMAGE_TEXT,
    Card,
    EncoderStatus,
    available,
    card,
    for_real_video,
    located,
    present,
)
from cezsar.encoders.sentences import SentenceEncoder, load_sentence_encoder
from cezsar.errors import InputError

__all__ = [
    "CARDS",
    "EFFICIENTNET",
    "EMBEDDED",
    "FOR_REAL_VIDEO",
    "IMAGE_TEXT",
    "Card",
    "EncoderStatus",
    "FrameEncoder",
    "ObjectHead",
    "SentenceEncoder",
    "available",
    "card",
    "create",
    "for_real_video",
    "load_sentence_encoder",
    "located",
    "present",
    "scene_columns",
]


def scene_columns(name: str) -> np.ndarray | None:
    """Columns of an encoder's rows that show the scene more than the action; None where all columns show both.

    A clip from elsewhere than the training videos is told by its scene.
    """
    if name != EMBEDDED:
        return None
    from cezsar.encoders.motion import MotionEncoder

    return MotionEncoder().columns("scene gradients", "scene colours")


def create(
    name: str, weights: str | Path | None = None, precision: str = "auto", device: str | None = None
) -> FrameEncoder:
    """A frame encoder, loaded: `efficientnet`, `motion`, `bit`, `bit-released`, or of a kind with its model:
    `timm:<model>`, `clip:<model>`, `open_clip:<model>`, `video:<model>`. With "+" and a classifier's name after it, a
    model of pictures and words gets that classifier's objects, as in `clip:clip-ViT-B-32+efficientnet`.

    A model may be a folder. `weights` is a file or folder to take the weights from instead of looking for them;
    `precision` is auto (bf16 where the device multiplies matrices in it, else fp32), fp32 or bf16; `device` None takes
    the best there is. Raises `InputError` for a name that is none of these, `MissingWeightsError` if its weights are
    not here and cannot be fetched, `FormatError` if they are damaged.
    """
    kind, _, model = name.partition(":")
    ranks, plus, names = name.rpartition("+")
    if plus and not (model and Path(model).is_dir()):
        from cezsar.encoders.joined import JoinedEncoder

        return JoinedEncoder(name, create(ranks, weights, precision, device), create(names, None, precision, device))
    if name == EMBEDDED:
        if weights is not None:
            raise InputError("motion computes its features and has no weights to load")
        from cezsar.encoders.motion import MotionEncoder

        return MotionEncoder()
    if name == EFFICIENTNET:
        if weights is not None:
            raise InputError("efficientnet brings its own weights; for others say timm:tf_efficientnet_lite2")
        from cezsar.encoders.timm_models import TimmEncoder, load_efficientnet

        return TimmEncoder(name, load_efficientnet(), precision=precision, device=device)
    if name in ("bit", "bit-released"):
        from cezsar.encoders.timm_models import BIT, BIT_FRAMES, TimmEncoder, load_model

        loaded = load_model(name, BIT, weights, CARDS[name].size)
        return TimmEncoder(name, loaded, BIT_FRAMES, bgr=name == "bit-released", precision=precision, device=device)
    if kind == "timm" and model:
        from cezsar.encoders.timm_models import TimmEncoder, load_model

        return TimmEncoder(name, load_model(name, model, weights), precision=precision, device=device)
    if kind == "clip" and model:
        return _clip(name, model, weights, precision, device)
    if kind == "open_clip" and model:
        from cezsar.encoders.open_clip_models import OpenClipEncoder, load_open_clip

        return OpenClipEncoder(name, *load_open_clip(name, model, weights), precision, device)
    if kind == "video" and model:
        from cezsar.encoders.video_models import VideoTextEncoder, load_video_text

        return VideoTextEncoder(name, *load_video_text(name, weights), precision, device)
    raise InputError(
        f"there is no encoder {name!r}: efficientnet, motion, bit, bit-released, timm:<model>, clip:<model>, "
        "open_clip:<model> or video:<model>"
    )


def _clip(name: str, model: str, weights: str | Path | None, precision: str, device: str | None) -> FrameEncoder:
    from cezsar.encoders.clip_models import ClipEncoder
    from cezsar.encoders.compute import pick_device
    from cezsar.encoders.weights import hub_name, load_transformer

    if weights is not None and not Path(weights).is_dir():
        raise InputError(f"{name}: weights must be a folder that sentence-transformers saved, and {weights} is none")
    local = Path(weights) if weights is not None else located(name)
    device = pick_device(device)
    loaded = load_transformer(name, local, hub_name(model), device, card(name).size)
    return ClipEncoder(name, loaded, precision, device)
