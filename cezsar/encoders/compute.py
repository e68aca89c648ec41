"""Where and how precisely the image encoders compute, and how frames become batches."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cezsar.encoders import weight_files
from cezsar.errors import InputError
from cezsar.video import Frame

PRECISIONS = ("auto", "fp32", "bf16")
BATCH = 32  # pictures computed at once
BATCH_ON_CPU = 4  # a processor is fastest with few: what one layer hands to the next stays in its cache
HELD_BYTES = 256 << 20  # of decoded frames; 32 of an 8K video would be 3 GB


def pick_device(device: str | None = None) -> str:
    """The device asked for, else the best there is: cuda, mps, cpu. Raises `InputError` for one that is not here."""
    import torch

    if device is None or device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # CPU builds assert "not compiled with CUDA"
        raise InputError(f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def pick_precision(precision: str, device: str) -> str:
    """fp32 or bf16; `auto` is bf16 where the device multiplies matrices in it (CUDA, AMX), else fp32."""
    import torch

    if precision not in PRECISIONS:
        raise InputError(f"the precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    amx = device == "cpu" and torch.cpu.get_capabilities().get("amx_bf16")
    return "bf16" if amx or (device.startswith("cuda") and torch.cuda.is_bf16_supported()) else "fp32"


@contextmanager
def inference(device: str, precision: str) -> Iterator[None]:
    """Without gradients; with bf16, matrix products in bf16 while weights and normalisation stay float32."""
    import torch

    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        yield


class ImageEncoder:
    """A network that sees single frames, in batches. A kind of it has `_description` (what features depend on besides
    the weights) and `_forward`, the network on a batch of (H, W, 3) uint8 pictures. The precision is not part of the
    fingerprint: a run trained on bf16 features may be asked about fp32 ones."""

    in_decoder = False
    dim: int
    _transform: Any
    _description: Any
    _forward: Any

    def __init__(self, name: str, model: Any, precision: str = "auto", device: str | None = None) -> None:
        self.name, self.device = name, pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.model = model.eval().to(self.device)

    @functools.cached_property
    def fingerprint(self) -> str:
        return weight_files.fingerprint(self._description(), self.model.state_dict())

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """Frames -> (T, dim) float32; none give (0, dim)."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for batch in batches(frames, BATCH_ON_CPU if self.device.startswith("cpu") else BATCH):
            with inference(self.device, self.precision):
                rows = self._forward([frame.image for frame in batch]).float().cpu().numpy()
            parts.append(rows.reshape(-1, self.dim))
        return np.concatenate(parts)

    def _pictures(self, images: list[np.ndarray]) -> Any:
        """A batch through the model's own preprocessing."""
        import torch
        from PIL import Image

        return torch.stack([self._transform(Image.fromarray(image)) for image in images]).to(self.device)


def batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """At most `size` frames and `HELD_BYTES` (or one frame) at once."""
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == size or sum(each.image.nbytes for each in batch) >= HELD_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
