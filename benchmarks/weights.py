"""Fusion weights at the scale of UCF-101 and of Kinetics-400: any weights at once, and the exact curve over α.

    python benchmarks/weights.py

Prints, from one run on one machine: the median time of an answer for random α with every figure, and whether
`evaluation` gives the same; time of the curve, how long a grid of 101 α takes beside it, and whether prediction agrees
with the curve at random α. Scores are random, with the true class raised. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np

from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes, random_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.weights import Outcome, fusion_curve, outcome

MEMORY_GB = 4.0
SCALES = {  # clips, classes, seconds an answer, seconds a curve
    "UCF-101": (13_320, 101, 0.030, 0.5),
    "Kinetics-400": (242_658, 400, 0.250, 20.0),
}
ANSWERS, COMPARED = 20, 3


def random_scores(clips: int, classes: int, rng: np.random.Generator) -> Scores:
    """Both modalities see the same look-alike classes, and the true class somewhat above the rest."""
    truth = rng.integers(classes, size=clips)
    alike = rng.normal(size=(classes, classes)).astype(np.float32)
    columns = {}
    for name, raised in (("VE", 2.2), ("O", 1.2)):
        matrix = rng.standard_normal((clips, classes), dtype=np.float32)
        matrix += 0.5 * alike[truth]
        matrix[np.arange(clips), truth] += raised
        columns[name] = (0.05 * matrix + 0.3).astype(np.float16).astype(np.float32)
    names = [f"class {number}" for number in range(classes)]
    return Scores([f"clip {row}" for row in range(clips)], [names[c] for c in truth], names, columns)


def every_figure(found: Outcome) -> tuple[float, ...]:
    return found.top1, found.top5, found.mean_per_class, *found.per_class.values()


def measure(name: str, rng: np.random.Generator) -> bool:
    clips, classes, answer_s, curve_s = SCALES[name]
    scores = random_scores(clips, classes, rng)
    scores.label_index  # noqa: B018 (found once)
    print(f"{name}: {clips:,} clips x {classes} classes, VE and O")
    times, equal = [], True
    for number, alpha in enumerate(rng.random(ANSWERS)):
        weights = Weights(alpha, 1 - alpha)
        started = time.perf_counter()
        figures = every_figure(outcome(scores, weights))
        times.append(time.perf_counter() - started)
        if number < COMPARED:
            run = evaluate(scores, all_classes(scores.class_names), weights).runs[0]
            equal &= figures == (run.top1, run.top5, run.mean_per_class, *run.per_class().values())
    answer = statistics.median(times)
    print(f"  answer: median {1000 * answer:.1f} ms (target {1000 * answer_s:.0f} ms); as evaluation has it: {equal}")
    started = time.perf_counter()
    curve = fusion_curve(scores)
    seconds = time.perf_counter() - started
    apart = 0.0
    for alpha in rng.random(COMPARED):  # prediction rounds scores to float32: a clip may differ
        right = np.mean(predict(scores, Weights(alpha, 1 - alpha)) == scores.label_index)
        apart = max(apart, abs(float(curve.at(alpha)) - float(right)) * clips)
    print(
        f"  curve: {len(curve.breakpoints):,} breakpoints in {seconds:.2f} s (target {curve_s} s), a grid of 101 α in "
        f"{101 * answer:.1f} s; prediction differs by {apart:.0f} clips at the most"
    )
    return equal and answer < answer_s and seconds < curve_s and apart <= 1 + 1e-5 * clips


def main() -> int:
    rng = np.random.default_rng(0)
    met = [measure(name, rng) for name in SCALES]
    ucf = random_scores(13_320, 101, rng)
    started = time.perf_counter()
    for split in random_classes(ucf.class_names, 50, 50).splits:
        fusion_curve(ucf, classes=split)
    print(f"UCF-101: curves of 50 random splits in {time.perf_counter() - started:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of the process, scores included: {peak:.1f} GB (target {MEMORY_GB:.0f} GB)")
    return 0 if all(met) and peak < MEMORY_GB else 1


if __name__ == "__main__":
    sys.exit(main())
