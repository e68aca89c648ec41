"""Which side of the gap is at fault for a class: its clips, or its description.

Every clip is classified twice: by the nearest prototype, as ever, and by the nearest class centroid (mean of the unit
vectors of a class's clips, without the clip itself). The second way knows the classes from their clips alone, so it
shows what the visual side would allow if descriptions were perfect. Each clip is one of four:

|                 | prototype right | prototype wrong     |
|-----------------|-----------------|---------------------|
| centroid right  | right           | fault of the text   |
| centroid wrong  | rescued         | fault of the video  |

So the error of a class is, exactly, its text fault plus its video fault. Directions only, as in `cezsar.analysis.gap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cezsar.analysis.gap import UnitSpace, per_class
from cezsar.arrays import IntArray
from cezsar.zeroshot.fusion import row_blocks

if TYPE_CHECKING:
    import pandas as pd

TOLERATED = 0.1  # a class with a smaller error is nobody's fault
BLAMED = 2 / 3  # a side that makes at least this share of a class's errors is alone at fault
HUB_DEVIATIONS = 2.0  # a hub draws more clips of other classes than the mean prototype by so many deviations


def faults(space: UnitSpace) -> pd.DataFrame:
    """`gap.per_class` and, of each class, why its clips are missed.

    Counts of its clips: "right", "rescued", "text_errors", "video_errors"; as shares of them "text_fault",
    "video_fault" and "error", their sum; and "verdict", who is at fault: "text", "video", "both" or "none". These are
    NaN ("" the verdict) without a prototype, or with fewer than two clips: there would be no centroid without the clip.
    Of its prototype: "drawn", the clips of other classes that are nearest to it; "hub", whether these are far more than
    other prototypes draw; "orphan", whether no clip at all is nearest to it.
    """
    found, n_classes = per_class(space), len(space.sizes_C)
    text_N, video_N = space.nearest_N == space.labels_N, nearest_centroid(space) == space.labels_N
    described_C = np.isin(np.arange(n_classes), space.described_K)
    judged_C = described_C & (space.sizes_C > 1)

    def count(classes_N: IntArray) -> IntArray:
        return np.bincount(classes_N[classes_N >= 0], minlength=n_classes)

    sides = {
        "right": text_N & video_N,
        "rescued": text_N & ~video_N,
        "text_errors": ~text_N & video_N,
        "video_errors": ~text_N & ~video_N,
    }
    for name, clips_N in sides.items():
        found[name] = np.where(judged_C, count(space.labels_N[clips_N]), np.nan)
    text, errors = found.text_errors, found.text_errors + found.video_errors
    found["text_fault"], found["video_fault"] = text / found.clips, found.video_errors / found.clips
    found["error"] = errors / found.clips
    found["verdict"] = "both"
    found.loc[found.video_errors >= BLAMED * errors, "verdict"] = "video"
    found.loc[text >= BLAMED * errors, "verdict"] = "text"
    found.loc[errors < TOLERATED * found.clips, "verdict"] = "none"
    found.loc[~judged_C, "verdict"] = ""
    found["drawn"] = count(space.nearest_N[(space.labels_N >= 0) & ~text_N])
    usual = found.drawn[described_C]
    found["hub"] = found.drawn > usual.mean() + HUB_DEVIATIONS * usual.std(ddof=0)
    found["orphan"] = described_C & (count(space.nearest_N) == 0)
    return found


def nearest_centroid(space: UnitSpace) -> IntArray:
    """(N,) class of each labelled clip's nearest centroid, its own class's without the clip; -1 for other clips.

    With S the sum of n unit vectors, the centroid without x lies in the direction of S - x, and x·(S - x) = x·S - x·x.
    A class whose only clip is x has no other centroid: it cannot win. Of equal similarities the lowest index wins.
    """
    nearest_N = np.full(len(space.videos_NE), -1)
    labelled = np.flatnonzero((space.labels_N >= 0) & space.videos_NE.any(axis=1))
    for rows in row_blocks(labelled, len(space.sizes_C)):
        units_nE, own_n = space.videos_NE[rows].astype(np.float64), space.labels_N[rows]
        similarity_nC = units_nE @ space.centroids_CE.T
        similarity_nC[:, space.sizes_C == 0] = -np.inf
        others_nE = space.sums_CE[own_n] - units_nE
        lengths_n = np.linalg.norm(others_nE, axis=1)
        own_similarity_n = np.einsum("ne,ne->n", units_nE, others_nE) / np.where(lengths_n > 1e-9, lengths_n, np.inf)
        similarity_nC[np.arange(len(own_n)), own_n] = np.where(space.sizes_C[own_n] > 1, own_similarity_n, -np.inf)
        best_n = similarity_nC.argmax(axis=1)
        nearest_N[rows] = np.where(np.isfinite(similarity_nC.max(axis=1)), best_n, -1)
    return nearest_N
