"""Hard negatives for 3 million triplets (Section 3.4), against drawing and testing pair by pair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import drawn, machine
from benchmarks.speed.rows import Row
from cezsar.config import SAME, MiningConfig
from cezsar.training.mining import mine, unit

SENTENCES, ANCHORS, POSITIVES = 54_000, 100_000, 3
A_VIDEO = 4  # sentences
SETTINGS = MiningConfig()
PLAIN_ANCHORS = 150


def plain(
    positives_AP: np.ndarray, groups_A: np.ndarray, vectors: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> int:
    """Draw a sentence, compute its distance to each positive, keep or drop it; the sentences drawn in all."""
    drawn_in_all = 0
    for anchor, positives in enumerate(positives_AP):
        for _ in positives:
            chosen: list[int] = []
            while len(chosen) < SETTINGS.negatives:
                other = int(rng.integers(len(groups)))
                drawn_in_all += 1
                if groups[other] == groups_A[anchor] or other in chosen:
                    continue
                distances = [
                    1 - np.dot(vectors[each], vectors[other])
                    / (np.linalg.norm(vectors[each]) * np.linalg.norm(vectors[other]))
                    for each in positives
                ]  # fmt: skip
                if all(SAME < distance < SETTINGS.tau for distance in distances):
                    chosen.append(other)
    return drawn_in_all


def measure(folder: Path, scale: float) -> Iterator[Row]:
    anchors, rng = round(ANCHORS * scale), np.random.default_rng(0)
    vectors = drawn.sentence_vectors(SENTENCES // A_VIDEO, A_VIDEO)
    groups = np.arange(SENTENCES) // A_VIDEO
    positives_AP = A_VIDEO * rng.integers(SENTENCES // A_VIDEO, size=(anchors, 1)) + np.arange(POSITIVES)
    groups_A = groups[positives_AP[:, 0]]
    mine(positives_AP[:100], groups_A[:100], vectors, groups, rng, SETTINGS)
    started = time.perf_counter()
    mine(positives_AP, groups_A, vectors, groups, rng, SETTINGS)
    ours_s = time.perf_counter() - started
    started = time.perf_counter()
    reads = plain(positives_AP[:PLAIN_ANCHORS], groups_A[:PLAIN_ANCHORS], vectors, groups, rng)
    plain_s = (time.perf_counter() - started) * anchors / PLAIN_ANCHORS
    limit_s = machine.row_reads_s(reads * anchors // PLAIN_ANCHORS, torch.from_numpy(unit(vectors)), rng)
    yield Row(
        "hard-negative mining",
        f"{anchors * POSITIVES * SETTINGS.negatives / 1e6:.1f} million triplets, {SENTENCES:,} sentences",
        ours_s, plain_s, limit_s, "random row reads", at_least=40, at_most=4,
    )  # fmt: skip
