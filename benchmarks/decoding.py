"""One frame a second of a clip: this package's decoder against a bare loop of OpenCV's VideoCapture.

    python benchmarks/decoding.py

Writes 10 s of H.264, 640 x 480 at 25 pictures a second, with B-frames, and reads it by both ways in turn. OpenCV's loop
converts no picture that is not needed. Both hand the frames, the same ones, to Python code in the process that decodes;
how long it takes until ours are in another process is told beside. The median of the rounds' ratios counts, as others
may use the machine. Ends with 1 if ours takes more than 1.15 of the other's time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import av
import cv2
import numpy as np

from cezsar.video import Decoder, Frame, Sampling

TARGET = 1.15
ROUNDS = 21
SECONDS, FPS, WIDTH, HEIGHT = 10, 25, 640, 480


def write(path: Path) -> None:
    """A drifting, noisy picture, so that the decoder has motion and texture to do."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (2 * WIDTH, 2 * HEIGHT))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(SECONDS * FPS):
            seen = scene[index : index + HEIGHT, 2 * index : 2 * index + WIDTH]
            noisy = cv2.add(seen, rng.integers(0, 24, seen.shape, np.uint8)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy)))
        container.mux(stream.encode())


def by_opencv(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 2])
    taken: list[np.ndarray] = []
    while capture.grab():
        if capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 >= len(taken) - 1e-6:
            taken.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return taken


def mean_colours(frames: Iterable[Frame]) -> np.ndarray:
    """Something small to send back."""
    return np.array([frame.image[::8, ::8].mean(axis=(0, 1)) for frame in frames])


def main() -> int:
    from decoding import mean_colours  # by this name the decoder process finds it

    with tempfile.TemporaryDirectory() as folder, Decoder() as decoder:
        path = Path(folder) / "clip.mp4"
        write(path)
        size = path.stat().st_size / 1e6
        ways: dict[str, Callable[[], np.ndarray]] = {
            "OpenCV": lambda: np.array([image[::8, ::8].mean(axis=(0, 1)) for image in by_opencv(path)]),
            "ours": lambda: decoder.run(path, Sampling(), mean_colours),
            "ours, sent to another process": lambda: mean_colours(decoder.frames(path, Sampling())),
        }
        decoder.run(path, Sampling(), mean_colours)  # the process is there from here on
        times_s: dict[str, list[float]] = {name: [] for name in ways}
        found = {}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                started = time.perf_counter()
                found[name] = way()
                times_s[name].append(time.perf_counter() - started)
    assert len(found["OpenCV"]) == SECONDS
    furthest = max(np.abs(colours - found["OpenCV"]).max() for colours in found.values())
    ratio = median(ours / theirs for ours, theirs in zip(times_s["ours"], times_s["OpenCV"], strict=True))
    print(
        f"{SECONDS} s of {WIDTH} x {HEIGHT} H.264 at {FPS} a second, {size:.1f} MB, a frame a second, {ROUNDS} rounds"
    )
    for name, seconds in times_s.items():
        print(f"  {name}: median {median(seconds):.3f} s, best {min(seconds):.3f} s")
    print(f"  ratio {ratio:.2f} (target {TARGET}), greatest difference of a mean colour {furthest:.2f}")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
