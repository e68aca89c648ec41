"""A change of α, answered by `cezsar.zeroshot.tuning.Tuner`, against fusing and evaluating everything again.

    python benchmarks/tuning.py

Prints, from one run on one machine, at the scale of UCF-101 and of Kinetics-400: time to build the tuner, its memory,
its median answer over 30 random α with every figure read, the same by `fusion` and `evaluation`, and whether both gave
the same hits. Scores are random, with the true class raised, and rounded to float16. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np

from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.tuning import Tuned, Tuner

BUILD_S, MEMORY_GB = 40.0, 4.0
SCALES = {"UCF-101": (13_320, 101, 0.030), "Kinetics-400": (242_658, 400, 0.150)}  # clips, classes, seconds an answer
ANSWERS, COMPARED = 30, 3


def random_scores(clips: int, classes: int, rng: np.random.Generator) -> Scores:
    """Both modalities see the same look-alike classes, and the true class somewhat above the rest."""
    truth = rng.integers(classes, size=clips)
    alike = rng.normal(size=(classes, classes)).astype(np.float32)
    columns = {}
    for name, raised in (("VE", 2.2), ("O", 1.2)):
        matrix = rng.standard_normal((clips, classes), dtype=np.float32)
        matrix += 0.5 * alike[truth]
        matrix[np.arange(clips), truth] += raised
        matrix *= np.float32(0.05)
        matrix += np.float32(0.3)
        columns[name] = matrix.astype(np.float16).astype(np.float32)
    names = [f"class {number}" for number in range(classes)]
    return Scores([f"clip {row}" for row in range(clips)], [names[c] for c in truth], names, columns)


def every_figure(tuned: Tuned) -> tuple[float, ...]:
    return tuned.top1, tuned.top5, tuned.mean_per_class, *tuned.per_class.values(), tuned.undecided


def measure(name: str, rng: np.random.Generator) -> bool:
    clips, classes, target = SCALES[name]
    scores = random_scores(clips, classes, rng)
    scores.label_index  # noqa: B018 (found once for both ways)
    started = time.perf_counter()
    tuner = Tuner(scores)
    build = time.perf_counter() - started
    print(f"{name}: {clips:,} clips x {classes} classes, VE and O")
    print(
        f"  build {build:.1f} s; holds {tuner.nbytes / 1e6:.0f} MB, {tuner.rivals_per_clip:.1f} rivals a clip"
        f"; accuracy {tuner.at(Weights()).top1:.1%}"
    )
    times: list[float] = []
    for alpha in rng.random(ANSWERS):
        started = time.perf_counter()
        every_figure(tuner.at(Weights(alpha, 1 - alpha)))
        times.append(time.perf_counter() - started)
    answer = statistics.median(times)
    print(
        f"  answer: median {1000 * answer:.1f} ms, slowest {1000 * max(times):.1f} ms (target {1000 * target:.0f} ms)"
    )
    ratios, equal = [], True
    protocol = all_classes(scores.class_names)
    for alpha in rng.random(COMPARED):
        weights = Weights(alpha, 1 - alpha)
        started = time.perf_counter()
        run, predicted = evaluate(scores, protocol, weights).runs[0], predict(scores, weights)
        whole = time.perf_counter() - started
        started = time.perf_counter()
        tuned = tuner.at(weights)
        figures = every_figure(tuned)
        ratios.append(whole / (time.perf_counter() - started))
        expected = (run.top1, run.top5, run.mean_per_class, *run.per_class().values(), run.undecided)
        equal &= bool(np.array_equal(predicted, tuned.predicted_N)) and figures == expected
    print(
        f"  fusion and evaluation: {1000 * whole:.0f} ms, {statistics.median(ratios):.0f} x; the same answers: {equal}"
    )
    return equal and answer < target and build < BUILD_S


def main() -> int:
    rng = np.random.default_rng(0)
    met = [measure(name, rng) for name in SCALES]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of the process, scores included: {peak:.1f} GB (target {MEMORY_GB:.0f} GB)")
    return 0 if all(met) and peak < MEMORY_GB else 1


if __name__ == "__main__":
    sys.exit(main())
