"""An answer for any α, with every figure: what the page Tune asks for while a slider moves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.speed.rows import Row
from benchmarks.weights import random_scores
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.weights import outcome

SCALES = {"UCF-101": (13_320, 101, 0.030), "Kinetics-400": (242_658, 400, 0.250)}
ANSWERS = 9


def measure(folder: Path, scale: float) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for name, (clips, classes, most_s) in SCALES.items():
        scores = random_scores(round(clips * scale), classes, rng)
        outcome(scores, Weights(0.5, 0.5))
        times = []
        for alpha in rng.random(ANSWERS):
            started = time.perf_counter()
            outcome(scores, Weights(alpha, 1 - alpha))
            times.append(time.perf_counter() - started)
        yield Row("α, any", f"{name}: {len(scores.ids):,} clips x {classes}", statistics.median(times),
                  at_most_s=most_s)  # fmt: skip
