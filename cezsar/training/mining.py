"""Hard negatives (Estevam et al., ICPR 2026, Section 3.4): sentences close to the positives, but not the same.

A sentence n is a candidate for a sub-clip when, for every positive p of that sub-clip,
`0 < cosine_distance(SBERT(p), SBERT(n)) < tau`, and n describes another video. Each positive gets n negatives, drawn
without replacement and exactly uniformly over the candidates. Where these are common, sentences are drawn at random and
the first distinct ones inside the band are kept; where they are rare, every sentence is tested.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from cezsar.arrays import BoolArray, FloatArray, IntArray, unit_rows
from cezsar.config import SAME, MiningConfig
from cezsar.encoders.compute import computing, pick_device, pick_precision
from cezsar.errors import InputError

Progress = Callable[[int, int], object]
"""Takes how much is done, and how much there is."""

WIDTH = 40  # sentences drawn for each positive in a round
ROUGH = 0.006  # above the error of a cosine of bfloat16 vectors: 2^-8 by their rounding, 2^-9 by that of the result
ROWS = 256  # positives whose draws are tested together: what they read stays in the processor's cache
ROWS_ELSEWHERE = 4096  # a GPU wants much at once; the sentences of so many draws take 250 MB
TESTING = 10  # drawing a sentence and testing it alone costs as much as testing so many that lie side by side
PAIRS_AT_ONCE = 4_000_000  # bounds the memory where every sentence is tested


def mine(
    positives_AP: IntArray, groups_A: IntArray, vectors_NS: FloatArray, pool_groups: IntArray,
    rng: np.random.Generator, settings: MiningConfig, on_progress: Progress = lambda done, total: None,
    device: str | None = None,
) -> tuple[IntArray, dict[int, int]]:  # fmt: skip
    """Draw hard negatives for every positive of A anchors (sub-clips), which index `vectors_NS` as negatives do; -1
    where an anchor has fewer than P positives. The first sentences, as many as `pool_groups`, may be negatives, of
    anchors of other groups (videos). `on_progress` is told of positives served. Another device draws others.

    Returns (A, P, n) negatives, -1 where there were too few candidates, no repeats in a row; and of each anchor with
    fewer candidates than n how many it has. Raises `InputError` for zero or non-finite vectors.
    """
    n, pool = settings.negatives, len(pool_groups)
    where = torch.device(pick_device(device))
    unit_NS, on_cpu = torch.from_numpy(unit(vectors_NS)).to(where), where.type == "cpu"
    # An absent positive repeats the first one, which asks nothing more of a candidate.
    asked_AP = np.where(positives_AP < 0, positives_AP[:, :1], positives_AP)

    # A GPU is quick enough in float32, and may sum products of bfloat16 in bfloat16, beyond the bound of `ROUGH`.
    rough_NS = unit_NS.bfloat16() if on_cpu and pick_precision("auto", "cpu") == "bf16" else unit_NS

    def band(cosine: Tensor, margin: float = 0.0) -> Tensor:
        """Of cosines to all positives, in the last dimension: is the sentence a candidate?"""
        distance = 1.0 - cosine
        return ((distance > SAME - margin) & (distance < settings.tau + margin)).all(-1)

    anchors_R, columns_R = np.nonzero(positives_AP >= 0)  # one row a positive: each draws for itself
    drawn_Rn = np.full((len(anchors_R), n), -1, np.int64)
    filled_R = np.zeros(len(anchors_R), np.int64)

    def draw(rows: IntArray, rng: np.random.Generator) -> None:
        """`WIDTH` sentences for each of some rows; new candidates are kept until the row has enough."""
        drawn_RK = rng.integers(pool, size=(len(rows), WIDTH))
        positives_RPS = rough_NS[asked_AP[anchors_R[rows]]]
        sentences_RKS = rough_NS.index_select(0, torch.from_numpy(drawn_RK.ravel()).to(where))
        cosine_RKP = torch.bmm(sentences_RKS.view(len(rows), WIDTH, -1), positives_RPS.transpose(1, 2)).cpu()
        at, k = np.nonzero(band(cosine_RKP, ROUGH).numpy())
        found, new = drawn_RK[at, k], band(cosine_RKP, -ROUGH).numpy()[at, k]
        close, at = np.flatnonzero(~new), rows[at]
        exact_HP = torch.einsum("hs,hps->hp", unit_NS[found[close]], unit_NS[asked_AP[anchors_R[at[close]]]])
        new[close] = band(exact_HP.cpu()).numpy()
        new &= pool_groups[found] != groups_A[anchors_R[at]]
        new &= (drawn_Rn[at] != found[:, None]).all(1)
        new[new] = _first_of_each(at[new] * pool + found[new])
        found, at = found[new], at[new]
        place = filled_R[at] + np.arange(len(at)) - np.searchsorted(at, at)
        fits = place < n
        drawn_Rn[at[fits], place[fits]] = found[fits]
        filled_R[rows] = (drawn_Rn[rows] >= 0).sum(1)

    short, threads = np.arange(len(anchors_R)), torch.get_num_threads()
    try:
        # Products are too small for torch to share out: each core takes blocks of its own, with their own randomness.
        with (
            computing(where, "fp32"),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as workers,
        ):
            for _ in range(pool // (TESTING * WIDTH)):
                blocks = _blocks(short, ROWS if on_cpu else ROWS_ELSEWHERE)
                deque(workers.map(draw, blocks, rng.spawn(len(blocks))), 0)
                short = short[filled_R[short] < n]
                on_progress(len(drawn_Rn) - len(short), len(drawn_Rn))
    finally:
        torch.set_num_threads(threads)
    # A row comes here by how many candidates it met, not by which ones, so starting afresh keeps the draw uniform.
    drawn_Rn[short] = -1
    too_few: dict[int, int] = {}
    for block in _blocks(np.unique(anchors_R[short]), PAIRS_AT_ONCE // (pool * asked_AP.shape[1])):
        rows_of = np.split(short, np.searchsorted(anchors_R[short], np.append(block, block[-1] + 1)))[1:-1]
        cosine_RPN = unit_NS[asked_AP[block]] @ unit_NS[:pool].T
        inside_RN = band(cosine_RPN.transpose(1, 2)).cpu().numpy() & (pool_groups != groups_A[block][:, None])
        for anchor, rows, inside_N in zip(block.tolist(), rows_of, inside_RN, strict=True):
            candidates = np.flatnonzero(inside_N)
            if len(candidates) < n:
                too_few[anchor] = len(candidates)
            for row in rows:
                drawn_Rn[row, : len(candidates)] = rng.choice(candidates, min(n, len(candidates)), replace=False)
        on_progress(int(len(drawn_Rn) - np.count_nonzero(anchors_R[short] > block[-1])), len(drawn_Rn))
    negatives_APn = np.full((*positives_AP.shape, n), -1, np.int64)
    negatives_APn[anchors_R, columns_R] = drawn_Rn
    return negatives_APn, too_few


def _blocks(rows: IntArray, size: int) -> list[IntArray]:
    return [rows[first : first + max(1, size)] for first in range(0, len(rows), max(1, size))]


def _first_of_each(values: IntArray) -> BoolArray:
    """Where a value occurs for the first time."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def unit(vectors_NS: FloatArray) -> FloatArray:
    """Vectors scaled to length 1. Raises `InputError` where one is zero or not finite: it has no direction."""
    if bad := np.flatnonzero(~np.isfinite(vectors_NS).all(1) | ~vectors_NS.any(1)).tolist():
        raise InputError(f"{len(bad)} sentence vectors are zero or not finite, the first at index {bad[0]}")
    return unit_rows(vectors_NS).astype(np.float32)
