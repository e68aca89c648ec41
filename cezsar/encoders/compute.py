"""Where and how precisely models compute, how tensors get there, and how frames become batches."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar.encoders import weight_files
from cezsar.errors import CezsarError, InputError
from cezsar.video import Frame

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16")
BATCH = 32  # pictures computed at once
BATCH_ON_CPU = 4  # a processor is fastest with few: what one layer hands to the next stays in its cache
IMAGE_SETTINGS = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "image_mean", "image_std")
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


def sent(device: str | torch.device, *parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The same tensors there; what goes to CUDA goes by pinned memory, and nobody waits for it."""
    import torch

    if torch.device(device).type != "cuda":
        return tuple(part.to(device) for part in parts)
    return tuple(part if part.is_cuda else part.pin_memory().to(device, non_blocking=True) for part in parts)


@contextmanager
def computing(device: str | torch.device, precision: str) -> Iterator[None]:
    """With bf16, matrix products in bf16 while weights and normalisation stay float32; else all in float32, also what
    cuDNN would do in TF32. Raises `CezsarError` where the device's memory is full."""
    import torch

    kind = torch.device(device).type
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if kind == "cuda" else nullcontext()
    try:
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"), exact:
            yield
    except torch.OutOfMemoryError as error:
        told = f"the memory of {device} is full ({str(error).split('. ')[0]})"
        advice = "take a smaller --batch, end what else uses it, or set CUDA_VISIBLE_DEVICES= to use the processor"
        raise CezsarError(f"{told}: {advice}") from error


@contextmanager
def inference(device: str | torch.device, precision: str) -> Iterator[None]:
    """`computing` without gradients."""
    import torch

    with torch.inference_mode(), computing(device, precision):
        yield


class ImageModel:
    """A network that sees single frames, in batches. A kind of it has `_description`: what its answers depend on,
    besides the weights. The precision is no part of the fingerprint: a run trained on bf16 features may be asked about
    fp32 ones."""

    _description: Any

    def __init__(
        self, name: str, model: Any, precision: str = "auto", device: str | None = None, batch: int | None = None,
        compiled: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.device = name, pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self.batch = batch or (BATCH_ON_CPU if self.device.startswith("cpu") else BATCH)
        self.model = model.eval().to(self.device)
        for part in self.model.children() if compiled else ():
            part.compile(dynamic=True)  # batches differ in size

    @functools.cached_property
    def fingerprint(self) -> str:
        return weight_files.fingerprint(self._description(), self.model.state_dict())


class ImageEncoder(ImageModel):
    """One that gives features. A kind of it has `_forward`, the network on a batch of (H, W, 3) uint8 pictures."""

    in_decoder = False
    dim: int
    _transform: Any
    _forward: Any

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """Frames -> (T, dim) float32; none give (0, dim)."""
        import torch

        parts = [torch.zeros(0, self.dim, device=self.device)]
        with inference(self.device, self.precision):
            for batch in batches(frames, self.batch):  # a GPU is at one batch while the next one is made ready
                parts.append(self._forward([frame.image for frame in batch]).float().reshape(-1, self.dim))
            return np.asarray(torch.cat(parts).cpu())

    def _pictures(self, images: list[np.ndarray]) -> Any:
        """A batch (B, 3, H, W) through the model's own preprocessing: to its size here, as bytes to the device, and
        there what comes last, to [0, 1] and by mean and deviation."""
        import torch
        from PIL import Image

        *steps, _, normalise = self._transform.transforms
        sized = [functools.reduce(lambda made, step: step(made), steps, Image.fromarray(image)) for image in images]
        (pictures_BHWC,) = sent(self.device, torch.from_numpy(np.stack([np.asarray(picture) for picture in sized])))
        return normalise(pictures_BHWC.permute(0, 3, 1, 2).float().div(255))


def frame_settings(processor: Any) -> dict[str, Any]:
    """What a transformers image or video processor does to a frame, for a fingerprint."""
    settings = {key: value for key, value in processor.to_dict().items() if key in IMAGE_SETTINGS}
    return dict(json.loads(json.dumps(settings, default=dict)))


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
