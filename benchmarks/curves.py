"""The exact accuracy curve over α (`cezsar.zeroshot.curves`), at the scale of UCF-101 and of Kinetics-400.

    python benchmarks/curves.py

Prints, from one run on one machine: time and peak memory of the curve of 242,658 clips x 400 classes with two
modalities, time of the curves of 50 splits of 13,320 clips x 101 classes, and how long a grid of 101 α takes in the
same run, for a ratio. The curve is checked against prediction at 20 random α. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from tuning import random_scores

from cezsar.zeroshot.curves import Curve, fusion_curve, fusion_curves
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import Scores

KINETICS_S, KINETICS_GB, UCF_S = 20.0, 4.0, 2.0
T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def agrees(curve: Curve, scores: Scores, rng: np.random.Generator) -> bool:
    """Whether prediction finds the same share of hits, to one clip: it rounds scores to float32."""
    for alpha in rng.random(20):
        hits = predict(scores, Weights(float(alpha), float(1 - alpha))) == scores.label_index
        if abs(float(curve.at(alpha)) * curve.clips - np.count_nonzero(hits)) > 1 + 1e-5 * curve.clips:
            return False
    return True


def main() -> int:
    rng = np.random.default_rng(0)
    ucf = random_scores(13_320, 101, rng)
    protocol = random_classes(ucf.class_names, 50, 50)
    ucf.label_index  # noqa: B018 (found once)
    curves, seconds = timed(lambda: fusion_curves(ucf, protocol))
    print(f"UCF-101: 50 splits of 13,320 clips, {len(curves.alpha):,} breakpoints: {seconds:.2f} s (target {UCF_S} s)")
    good = seconds < UCF_S
    kinetics = random_scores(242_658, 400, rng)
    kinetics.label_index  # noqa: B018
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    curve, seconds = timed(lambda: fusion_curve(kinetics))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"Kinetics-400: 242,658 clips x 400 classes, {len(curve.alpha):,} breakpoints: {seconds:.1f} s "
        f"(target {KINETICS_S} s), peak of the whole process {peak:.2f} GB (target {KINETICS_GB}), {before:.2f} before"
    )
    good &= seconds < KINETICS_S and peak < KINETICS_GB
    _, grid = timed(lambda: [predict(kinetics, Weights(0.5, 0.5)) for _ in range(3)])
    print(
        f"a grid of 101 α by prediction would take {grid / 3 * 101:.0f} s, {grid / 3 * 101 / seconds:.1f} times as long"
    )
    same = agrees(curve, kinetics, rng)
    print("the curve agrees with prediction at 20 random α" if same else "THE CURVE DISAGREES WITH PREDICTION")
    return 0 if good and same else 1


if __name__ == "__main__":
    sys.exit(main())
