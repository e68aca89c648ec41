"""Bootstrap intervals for a difference of two accuracies over the runs of a protocol.

Two things are left to chance: which videos the test set holds, and which classes a run draws. The percentile bootstrap
(Efron, Ann. Statist. 7, 1979) draws as many again, with replacement, and takes the middle 95 % of what comes out:
videos, the same ones in all runs; runs; or both at once, which is mildly conservative (Owen, Ann. Appl. Stat. 1, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]

LEVEL = 0.95
"""Of the intervals."""

RESAMPLES = 2_000
ENTRIES_AT_ONCE = 1 << 22  # counts that are held at once: 16 MB of float32
LARGE = 20  # clips: how often a group of so many is drawn is drawn as a number, which is faster than clip by clip
_NOT_TESTED = -2


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the resamples' differences: fractions, from -1 to 1."""

    low: float
    high: float


class Intervals(NamedTuple):
    """Over videos, over runs, and over both; the latter two are None with one run."""

    over_videos: Interval
    over_splits: Interval | None
    over_both: Interval | None


def intervals(
    difference_NR: ByteArray, tested_NR: BoolArray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Intervals:
    """Intervals of the mean over runs of a difference between two accuracies.

    In a resample, a run's difference is the weighted sum of its clips' differences over the weighted number of clips. A
    run that is left without clips is left out of the mean; a resample without any run, of the interval.

    Args:
        difference_NR: 1 where only the first is right about a clip in a run, -1 where only the second is, else 0.
        tested_NR: whether a run tests the clip; every run tests one at least.
        resamples: at least 1.
    """
    n_runs = tested_NR.shape[1]
    once_BR = np.ones((resamples, n_runs), np.int64)
    runs_BR = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples) if n_runs > 1 else once_BR
    answer_NR = np.where(tested_NR, difference_NR, np.int8(_NOT_TESTED))
    of_other_videos_BR = _over_videos(answer_NR, rng, resamples)
    over_videos = _interval(of_other_videos_BR, once_BR)
    if n_runs == 1:
        return Intervals(over_videos, None, None)
    observed_R = difference_NR.sum(axis=0, where=tested_NR, dtype=np.int64) / tested_NR.sum(axis=0)
    over_splits = _interval(np.broadcast_to(observed_R, runs_BR.shape), runs_BR)
    return Intervals(over_videos, over_splits, _interval(of_other_videos_BR, runs_BR))


def _over_videos(answer_NR: ByteArray, rng: np.random.Generator, resamples: int) -> DoubleArray:
    """(B, R) difference in each run, with videos drawn again; NaN where a run was left without clips.

    Clips with equal answers in all runs are one group, and all that matters is how often each group is drawn.
    """
    n_runs = answer_NR.shape[1]
    as_one = np.ascontiguousarray(answer_NR).view(f"V{n_runs}")[:, 0]
    _, first_G, group_N = np.unique(as_one, return_index=True, return_inverse=True)
    tested_GR = answer_NR[first_G] != _NOT_TESTED
    # Sums of whole numbers below 2^24 are exact in float32.
    summands_GS = np.hstack([answer_NR[first_G] * tested_GR, tested_GR]).astype(np.float32)
    difference_BR = np.full((resamples, n_runs), np.nan)
    block = max(1, ENTRIES_AT_ONCE // len(first_G))
    for start in range(0, resamples, block):
        part_bR = difference_BR[start : start + block]
        sums_bS = (_drawn(group_N, len(part_bR), rng) @ summands_GS).astype(np.float64)
        clips_bR = sums_bS[:, n_runs:]
        np.divide(sums_bS[:, :n_runs], clips_bR, out=part_bR, where=clips_bR > 0)
    return difference_BR


def _drawn(group_N: IntArray, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(b, G) how often each group is met when as many clips as there are are drawn with replacement."""
    n = len(group_N)
    sizes_G = np.bincount(group_N)
    large = np.flatnonzero(sizes_G >= LARGE)
    others = group_N[sizes_G[group_N] < LARGE]
    shares = sizes_G[large] / n
    times = rng.multinomial(n, np.append(shares, len(others) / n) if others.size else shares, size=resamples)
    drawn_bG = np.zeros((resamples, len(sizes_G)), np.float32)
    if others.size:
        for drawn_G, rest in zip(drawn_bG, times[:, -1], strict=True):
            drawn_G[:] = np.bincount(others[rng.integers(len(others), size=rest)], minlength=len(sizes_G))
    drawn_bG[:, large] = times[:, : len(large)]
    return drawn_bG


def _interval(difference_BR: DoubleArray, times_BR: IntArray) -> Interval:
    """Of the means over runs, each run counted so many times."""
    times_BR = np.where(np.isnan(difference_BR), 0, times_BR)
    total_B = times_BR.sum(axis=1)
    sums_B = (np.nan_to_num(difference_BR) * times_BR).sum(axis=1)
    means = sums_B[total_B > 0] / total_B[total_B > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(low, high)
