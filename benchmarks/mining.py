"""Mining against the plain loop that draws one pair at a time, on the sentences of a captions file.

    python benchmarks/mining.py activitynet/val_1.json

Prints, from one run on one machine: time of `cezsar.training.mining.mine` for every sentence, time of two plain loops
(measured on part of the sentences and scaled up), and checks of what was mined: all in the band, and uniform over the
candidates by a chi-square test.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cosine
from scipy.stats import chisquare, kstest

from cezsar.config import SAME, MiningConfig
from cezsar.data.annotations import load_annotations
from cezsar.data.sentence_cache import open_encoder
from cezsar.training.mining import mine

TAU, NEGATIVES = 0.8, 10
SETTINGS = MiningConfig(tau=TAU, negatives=NEGATIVES)


def distance_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine distance of one pair, the cheapest way NumPy has."""
    return 1.0 - float(np.dot(a, b)) / (float(np.linalg.norm(a)) * float(np.linalg.norm(b)))


def plain_loop(vectors, groups, anchors, rng, distance) -> float:
    """Seconds to draw `NEGATIVES` for each anchor: draw a sentence, compute one distance, keep or drop."""
    started = time.perf_counter()
    for anchor in anchors:
        chosen: list[int] = []
        while len(chosen) < NEGATIVES:
            other = int(rng.integers(len(vectors)))
            if groups[other] == groups[anchor] or other in chosen:
                continue
            if SAME < distance(vectors[anchor], vectors[other]) < TAU:
                chosen.append(other)
    return time.perf_counter() - started


def uniformity(vectors, groups, rng, anchors: int = 200, repeats: int = 300) -> tuple[float, float]:
    """Chi-square test of the draws of each of some anchors over its own candidates.

    Returns the share of p-values below 0.01, expected 0.01, and the p-value of all p-values being uniform.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    index = np.arange(len(vectors))
    values = []
    for anchor in rng.choice(index, anchors, replace=False):
        distances = 1 - unit @ unit[anchor]
        candidates = np.flatnonzero((distances > SAME) & (distances < TAU) & (groups != groups[anchor]))
        same = np.full((repeats, 1), anchor)
        drawn = mine(same, groups[same[:, 0]], vectors, groups, rng, SETTINGS)[0].ravel()
        # Few draws a candidate: pool the candidates into 30 groups of equal size, chosen by position.
        bins = np.searchsorted(candidates, drawn) * 30 // len(candidates)
        sizes = np.bincount(np.arange(len(candidates)) * 30 // len(candidates), minlength=30)
        counts = np.bincount(bins, minlength=30)
        values.append(chisquare(counts, sizes / sizes.sum() * counts.sum()).pvalue)
    return float(np.mean(np.array(values) < 0.01)), float(kstest(values, "uniform").pvalue)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--loop-anchors", type=int, default=1500)
    arguments = parser.parse_args()

    segments = load_annotations(arguments.annotations).segments
    videos = {video: number for number, video in enumerate(dict.fromkeys(s.video_id for s in segments))}
    groups = np.array([videos[segment.video_id] for segment in segments])
    vectors = open_encoder("minilm").encode([segment.sentence for segment in segments])
    index = np.arange(len(vectors))
    print(f"{len(vectors):,} sentences of {len(videos):,} videos, tau = {TAU}, {NEGATIVES} negatives each")

    rng = np.random.default_rng(0)
    mine(index[:100, None], groups[:100], vectors, groups, rng, SETTINGS)
    part = rng.choice(index, arguments.loop_anchors, replace=False)
    scale = len(vectors) / len(part)
    seconds: dict[str, list[float]] = {"mine": [], "loop, numpy": [], "loop, scipy": []}
    for _ in range(3):  # in turn, so that a slow spell of the machine meets all
        started = time.perf_counter()
        mined, too_few = mine(index[:, None], groups, vectors, groups, rng, SETTINGS)
        seconds["mine"].append(time.perf_counter() - started)
        seconds["loop, numpy"].append(plain_loop(vectors, groups, part, rng, distance_by_hand) * scale)
        seconds["loop, scipy"].append(plain_loop(vectors, groups, part[::5], rng, cosine) * scale * 5)
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / np.array(seconds["mine"]))
        print(f"  {name:12} {np.median(values):7.2f} s   {ratio:6.1f} x")

    drawn = mined[:, 0]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - np.einsum("nd,nkd->nk", unit.astype(np.float64), unit[drawn].astype(np.float64))
    print(f"  every distance in (0, {TAU}): {bool(((distances > 0) & (distances < TAU)).all() and (drawn >= 0).all())}")
    own = np.mean(groups[drawn] == groups[:, None])
    print(f"  distances from {distances.min():.4f} to {distances.max():.4f}; of the own video: {own:.0%}")
    print(f"  sentences with too few candidates: {len(too_few)}")
    below, p_value = uniformity(vectors, groups, rng)
    print(
        f"  chi-square p-values below 0.01: {below:.1%} of 200 sentences (expected 1 %); all uniform: p = {p_value:.2f}"
    )


if __name__ == "__main__":
    main()
