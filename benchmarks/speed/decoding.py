"""One frame a second of a minute of 1080p."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.speed import films
from benchmarks.speed.rows import Row, in_turn
from cezsar.video import Decoder, Sampling

SECONDS, WIDTH, HEIGHT = 60, 1920, 1080
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
    seconds = max(PART, round(SECONDS * scale))
    film = films.drawn(folder / "film.mp4", seconds, WIDTH, HEIGHT)
    part = films.drawn(folder / "part.mp4", seconds // PART, WIDTH, HEIGHT)
    with Decoder() as decoder:
        decoder.probe(film)

        def ours(keyframes: bool = False) -> int:
            return sum(1 for _ in decoder.frames(film, Sampling(keys_s=12 if keyframes else None)))

        assert ours() == seconds
        taken = in_turn(3, ours=ours, plain=lambda: plain(part), bare=lambda: bare(film), keys=lambda: ours(True))
    size = f"{seconds} s of {WIDTH} x {HEIGHT} H.264"
    plain_s = taken["plain"] * seconds / (seconds // PART)
    yield Row("decoding, a frame a second", size, taken["ours"], plain_s, taken["bare"], "bare decoding",
              at_least=3, at_most=1.3)  # fmt: skip
    yield Row("decoding, key frames alone", size, taken["keys"], taken["ours"], at_least=8)
