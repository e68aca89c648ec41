"""Another sentence for one class, answered by `cezsar.zeroshot.workshop`.

    python benchmarks/workshop.py

Prints, from one run on one machine, at the scale of UCF-101 in the joint space (128 dimensions) and in a sentence space
(384), all three modalities with weight: time to build the workshop, and its median, fastest and slowest answer over
trials of all three kinds, with every figure and list read. Vectors are random, clips drawn towards their class. Ends
with 1 if the target is missed.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Embeddings
from cezsar.zeroshot.workshop import Trial, Workshop

CLIPS, CLASSES, TARGET_S = 13_320, 101, 0.100
WIDTHS = {"joint space": 128, "sentence space": 384}
TRIALS = 30
WEIGHTS = Weights(0.5, 0.3, 0.2)


def random_embeddings(width: int, rng: np.random.Generator) -> Embeddings:
    prototypes = rng.standard_normal((CLASSES, width), dtype=np.float32)
    truth = rng.integers(CLASSES, size=CLIPS)
    modalities = {
        name: pull * prototypes[truth] + rng.standard_normal((CLIPS, width), dtype=np.float32)
        for name, pull in (("VE", 0.25), ("O", 0.15), ("C", 0.15))
    }
    names = [f"class {number}" for number in range(CLASSES)]
    ids = [f"clip {row}" for row in range(CLIPS)]
    return Embeddings(ids, [names[c] for c in truth], names, modalities, prototypes, np.arange(CLASSES))


def try_one(workshop: Workshop, number: int, rng: np.random.Generator) -> Trial:
    """In turn other sentences for a class, a further one, and a new class."""
    prototypes = workshop.embeddings.prototypes
    sentence = prototypes[number : number + 1] + rng.standard_normal((1, prototypes.shape[1]), dtype=np.float32)
    if number % 3 == 2:
        return workshop.try_sentences(f"new class {number}", sentence, new=True)
    return workshop.try_sentences(f"class {number}", sentence, append=number % 3 == 1)


def everything(trial: Trial) -> tuple[object, ...]:
    after = trial.after
    lists = [trial.moves(rows) for rows in (trial.gained, trial.lost, trial.drawn, trial.left)]
    return after.top1, after.top5, after.mean_per_class, after.per_class, trial.drawn_from, trial.left_to, lists


def measure(name: str, rng: np.random.Generator) -> bool:
    embeddings = random_embeddings(WIDTHS[name], rng)
    started = time.perf_counter()
    workshop = Workshop(embeddings, WEIGHTS)
    build = time.perf_counter() - started
    print(f"{name}: {CLIPS:,} clips x {CLASSES} classes, {WIDTHS[name]} dimensions, {', '.join(embeddings.modalities)}")
    print(f"  build {1000 * build:.0f} ms; accuracy {workshop.before.top1:.1%}")
    times = []
    for number in range(TRIALS):
        started = time.perf_counter()
        everything(try_one(workshop, number, rng))
        times.append(time.perf_counter() - started)
    answer = statistics.median(times)
    print(
        f"  answer: median {1000 * answer:.0f} ms, {1000 * min(times):.0f} to {1000 * max(times):.0f} ms "
        f"(target {1000 * TARGET_S:.0f} ms)"
    )
    return answer < TARGET_S


def main() -> int:
    rng = np.random.default_rng(0)
    found = [measure(name, rng) for name in WIDTHS]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
