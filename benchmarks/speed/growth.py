"""Does cost grow in proportion? Seconds of each stage from 1,000 to 240,000 clips, and from 25 to 1,600 classes.

    python -m benchmarks.speed.growth picture.html

Writes a picture, and prints the exponents: 1 is proportional.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from plotly.subplots import make_subplots

from benchmarks.speed import drawn, machine
from benchmarks.weights import random_scores
from cezsar.config import ModelConfig
from cezsar.model import CEZSAR, clip_embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.weights import outcome

CLIPS, CLASSES = (1_000, 4_000, 16_000, 60_000, 240_000), (25, 100, 400, 1_600)
SECONDS, WIDTH = 10, 512
COLOURS = ("#4c78a8", "#f58518", "#54a24b")


def taken_s(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_clips(clips: int, classes: int, folder: Path) -> dict[str, float]:
    """Seconds of each stage."""
    rng = np.random.default_rng(0)
    store = drawn.store(folder / f"{clips}", clips, SECONDS, WIDTH)
    torch.manual_seed(0)
    model = CEZSAR(ModelConfig(WIDTH, 384, recipe="kernel")).eval().to(machine.DEVICE)
    scores = random_scores(clips, classes, rng)
    protocol = random_classes(scores.class_names, classes // 2)
    return {
        "read and embed": taken_s(lambda: [clip_embeddings(model, block) for block in store.blocks(store.ids)]),
        "50 random splits": taken_s(lambda: evaluate(scores, protocol)),
        "an answer for α": min(taken_s(lambda: outcome(scores, Weights(0.3, 0.7))) for _ in range(3)),
    }


def by_classes(clips: int, classes: int) -> dict[str, float]:
    scores = random_scores(clips, classes, np.random.default_rng(0))
    protocol = random_classes(scores.class_names, classes // 2)
    return {
        "50 random splits": taken_s(lambda: evaluate(scores, protocol)),
        "an answer for α": min(taken_s(lambda: outcome(scores, Weights(0.3, 0.7))) for _ in range(3)),
    }


def main() -> None:
    figure = make_subplots(1, 2, subplot_titles=("clips (400 classes)", "classes (4,000 clips)"), y_title="seconds")
    with tempfile.TemporaryDirectory() as folder:
        sides = [
            (CLIPS, [by_clips(clips, 400, Path(folder)) for clips in CLIPS]),
            (CLASSES, [by_classes(4_000, classes) for classes in CLASSES]),
        ]
    for column, (sizes, found) in enumerate(sides, start=1):
        for place, stage in enumerate(found[0]):
            seconds = [one[stage] for one in found]
            exponent = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
            print(f"{stage}: {', '.join(f'{size:,}: {s:.3g} s' for size, s in zip(sizes, seconds, strict=True))}; "
                  f"exponent at the end {exponent:.2f}")  # fmt: skip
            line = {"color": COLOURS[place - len(found[0])]}
            figure.add_scatter(x=sizes, y=seconds, name=stage, row=1, col=column, showlegend=column == 1, line=line)
    figure.update_xaxes(type="log").update_yaxes(type="log").update_layout(width=900, height=420)
    figure.write_html(sys.argv[1], include_plotlyjs=True)


if __name__ == "__main__":
    main()
