"""Which clips two methods get right, and their comparison with bootstrap, at the scale of UCF-101 and Kinetics-400.

    python benchmarks/comparison.py

Prints, from one run on one machine, for random splits (50 runs) and for all classes (one run): time to find which clips
one method gets right, time to compare two with 2,000 resamples, and the comparison in words; then the peak of memory.
Scores are random, with the true class raised. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from weights import random_scores

from cezsar.analysis.comparison import compare
from cezsar.zeroshot.evaluation import correctness
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes, random_classes

MEMORY_GB = 4.0
SCALES = {"UCF-101": (13_320, 101, 50, 2.0, 5.0), "Kinetics-400": (242_658, 400, 100, 5.0, 20.0)}
"""Clips, classes, classes of a run, seconds for the hits of one method, seconds for a comparison."""


def measure(name: str, rng: np.random.Generator) -> bool:
    clips, classes, k, hits_target, comparison_target = SCALES[name]
    scores = random_scores(clips, classes, rng)
    scores.label_index  # noqa: B018 (found once for all)
    met = True
    print(f"{name}: {clips:,} clips x {classes} classes, VE + O against VE")
    for protocol in (random_classes(scores.class_names, k, 50), all_classes(scores.class_names)):
        started = time.perf_counter()
        fused = correctness(scores, protocol, Weights())
        found = time.perf_counter() - started
        alone = correctness(scores, protocol, Weights.only("VE"))
        started = time.perf_counter()
        comparison = compare(("VE + O", fused), ("VE", alone), rng)
        compared = time.perf_counter() - started
        print(
            f"  {protocol.name}: hits {found:.2f} s (target {hits_target:.0f} s), comparison {compared:.2f} s "
            f"(target {comparison_target:.0f} s)\n    {comparison.summary()}"
        )
        met &= found < hits_target and compared < comparison_target
    return met


def main() -> int:
    rng = np.random.default_rng(0)
    met = [measure(name, rng) for name in SCALES]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory of the process, scores included: {peak:.1f} GB (target {MEMORY_GB:.0f} GB)")
    return 0 if all(met) and peak < MEMORY_GB else 1


if __name__ == "__main__":
    sys.exit(main())
