"""Where and how precisely the image encoders compute, and how frames become batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from cezsar.errors import InputError
from cezsar.video import Frame

PRECISIONS = ("auto", "fp32", "bf16")
BATCH, BATCH_ON_CPU = 32, 4
"""Pictures computed at once. A processor is fastest with few: what one layer hands to the next stays in its cache."""
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
    if device == "cpu":
        return "bf16" if torch.cpu.get_capabilities().get("amx_bf16") else "fp32"
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"


@contextmanager
def inference(device: str, precision: str) -> Iterator[None]:
    """Without gradients; with bf16, matrix products in bf16 while weights and normalisation stay float32."""
    import torch

    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        yield


def encode_in_batches(
    frames: Iterable[Frame], device: str, dim: int, forward: Callable[[list[np.ndarray]], np.ndarray]
) -> np.ndarray:
    """Frames -> (T, dim) float32 through `forward`, which takes a batch of images (H, W, 3) uint8 at a time.

    No more than a batch of frames are held, and no more than `HELD_BYTES` of them. No frames give (0, dim). Raises
    `InputError` on anything that is no picture.
    """
    size = BATCH_ON_CPU if device.startswith("cpu") else BATCH
    parts = [np.zeros((0, dim), np.float32)]
    for batch in _batches(frames, size):
        parts.append(np.asarray(forward(batch), np.float32).reshape(len(batch), dim))
    return np.concatenate(parts)


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[np.ndarray]]:
    batch: list[np.ndarray] = []
    for frame in frames:
        batch.append(checked(frame))
        if len(batch) == size or sum(image.nbytes for image in batch) >= HELD_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def checked(frame: Frame) -> np.ndarray:
    """The picture of a frame. Raises `InputError` if it is none."""
    image = frame.image
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError(
            f"the frame at {frame.time_s:.2f} s is {image.dtype} {image.shape}; (H, W, 3) uint8 is what encoders take"
        )
    return image
