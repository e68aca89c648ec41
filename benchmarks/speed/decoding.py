"""One frame a second of a minute of 1080p."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.speed import films
from benchmarks.speed.rows import Row, in_turn
from cezsar.video import Decoder, Sampling

SECONDS, WIDTH, HEIGHT = 60, 1920, 1080
SIDE = 240  # of pictures in a preview
PART = 6  # the plain way holds every frame: 9 GB of a minute, so it gets the sixth part


def plain(path: Path) -> np.ndarray:
    """Every frame into an array, then one a second of it."""
    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)[:: films.FPS].copy()


def bare(path: Path) -> None:
    """Decoding and nothing else."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", 2
        for _ in container.decode(stream):
            pass


def measure(folder: Path, scale: float) -> Iterator[Row]:
    seconds = max(24, round(SECONDS * scale))  # some key frames
    film = films.drawn(folder / "film.mp4", seconds, WIDTH, HEIGHT)
    part = films.drawn(folder / "part.mp4", seconds // PART, WIDTH, HEIGHT)
    with Decoder() as decoder:
        decoder.probe(film)

        def frames(**sampling: Any) -> int:
            return sum(1 for _ in decoder.frames(film, Sampling(**sampling)))

        assert frames() == seconds
        taken = in_turn(
            3, ours=frames, plain=lambda: plain(part), bare=lambda: bare(film),
            preview=lambda: frames(max_side=SIDE), keys=lambda: frames(max_side=SIDE, keys_s=12),
        )  # fmt: skip
    size = f"{seconds} s of {WIDTH} x {HEIGHT} H.264"
    plain_s = taken["plain"] * seconds / (seconds // PART)
    yield Row("decoding, a frame a second", size, taken["ours"], plain_s, taken["bare"], "bare decoding",
              at_least=3, at_most=1.3)  # fmt: skip
    what = f"{size}, key frames at most 10 s apart, against every second"
    yield Row("a preview by key frames alone", what, taken["keys"], taken["preview"], at_least=8)
