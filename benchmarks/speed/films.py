"""Films to decode, drawn."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np

FPS = 25


def drawn(path: Path, seconds: int, width: int, height: int) -> Path:
    """H.264 of a drifting, noisy picture, so that the decoder has motion and texture to do; B-frames, and a key frame
    at least every 10 s, as the encoder does by itself."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (2 * width, 2 * height))
    noise = rng.integers(0, 24, (8, height, width, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(seconds * FPS):
            x, y = 2 * index % width, index % height
            picture = cv2.add(scene[y : y + height, x : x + width], noise[index % 8])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path
