"""From a video file to a row of features a second, with the paper's encoder and with the one that comes along."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import films, machine
from benchmarks.speed.rows import Row
from cezsar.data.extraction import extract
from cezsar.data.manifest import Clip
from cezsar.encoders.timm_models import BIT, BIT_FRAMES, TimmEncoder, load_efficientnet
from cezsar.video import Decoder

SECONDS, CLIPS, PLAIN_CLIPS = 10, {"bit": 8, "efficientnet": 60}, {"bit": 1, "efficientnet": 6}


def plain(model: Any, transform: Any, path: Path) -> np.ndarray:
    """Every frame of the film into an array, then one frame a second through the network, one by one, in float32."""
    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    every = np.stack(frames)[:: round(film.get(cv2.CAP_PROP_FPS))]
    with torch.no_grad():
        rows = [model.forward_head(model.forward_features(transform(Image.fromarray(frame))[None].to(machine.DEVICE)),
                pre_logits=True)
                for frame in every]  # fmt: skip
    return torch.cat(rows).flatten(1).cpu().numpy()


def operations(model: Any, height: int, width: int) -> int:
    """Of one frame."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, height, width))
    return int(counter.get_total_flops())


def measure(folder: Path, scale: float) -> Iterator[Row]:
    rate = machine.product_rate(torch.bfloat16)
    path = films.drawn(folder / "clip.mp4", SECONDS, 320, 240)
    for name, clips in CLIPS.items():
        torch.manual_seed(0)
        frames = BIT_FRAMES if name == "bit" else None
        built = timm.create_model(BIT).eval() if name == "bit" else load_efficientnet().eval()
        count, work = max(2, round(clips * scale)), operations(built, *((224, 224) if frames else (260, 260)))
        transform = create_transform(**(frames or timm.data.resolve_model_data_config(built)), is_training=False)
        plain(built.to(machine.DEVICE), transform, path)
        started = time.perf_counter()
        for _ in range(PLAIN_CLIPS[name]):
            plain(built, transform, path)
        plain_s = (time.perf_counter() - started) / PLAIN_CLIPS[name] * count
        encoder = TimmEncoder(name, built, frames)
        extract([Clip(path, "first")], encoder, folder / f"{name}-first", objects_k=0)
        started = time.perf_counter()
        report = extract([Clip(path, f"{clip}") for clip in range(count)], encoder, folder / name, objects_k=0)
        ours_s = time.perf_counter() - started
        assert report.done == count
        with Decoder() as decoder:
            started = time.perf_counter()
            for _ in range(count):
                for _frame in decoder.frames(path, encoder.sampling):
                    pass
            decoding_s = time.perf_counter() - started
        yield Row(
            f"extraction, {name}", f"{count} clips of {SECONDS} s, 320 x 240; decoding alone takes {decoding_s:.2f} s",
            ours_s, plain_s, count * SECONDS * work / rate, "bfloat16 products", at_least=4, at_most=2.5,
        )  # fmt: skip
