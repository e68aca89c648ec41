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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cezsar.analysis.gap import ClassGap, UnitSpace, per_class, silhouettes
from cezsar.arrays import IntArray
from cezsar.zeroshot.fusion import row_blocks

Verdict = Literal["video", "text", "both", "none"]

TOLERATED = 0.1
"""A class with a smaller error than this is nobody's fault."""

BLAMED = 2 / 3
"""A side that makes at least this share of a class's errors is alone at fault."""

HUB_DEVIATIONS = 2.0
"""A prototype is a hub when it draws more clips of other classes than the mean prototype by so many deviations."""


@dataclass(frozen=True)
class ClassFault:
    """One class: how wide its gap is, and why its clips are missed.

    Attributes:
        gap: `index`, `clips`, `own_distance` (the gap: centroid to prototype, cosine distance), `lead` (the margin to
            the nearest other prototype) and `spread`.
        right: clips that both the centroids and the prototypes get right.
        rescued: clips that prototypes get right, though centroids do not.
        text_errors: clips that centroids get right, and prototypes do not.
        video_errors: clips that neither gets right. The four sum to `gap.clips`; they are None where the class has no
            prototype, or fewer than two clips (without the clip itself there would be no centroid).
        drawn: clips of other classes that are nearest to its prototype.
        hub: whether these are far more than other prototypes draw: above the mean by `HUB_DEVIATIONS` deviations.
        orphan: whether no clip at all is nearest to its prototype. None without a prototype.
        silhouette: mean over its clips, from -1 to 1; below 0 they are nearer to another class's clips. None where no
            silhouette is defined.
        nearest_centroid: the class whose centroid is nearest to its own, and
        nearest_centroid_distance: how far it is, in cosine distance.
    """

    gap: ClassGap
    right: int | None = None
    rescued: int | None = None
    text_errors: int | None = None
    video_errors: int | None = None
    drawn: int = 0
    hub: bool = False
    orphan: bool | None = None
    silhouette: float | None = None
    nearest_centroid: int | None = None
    nearest_centroid_distance: float | None = None

    @property
    def index(self) -> int:
        return self.gap.index

    def _share(self, *parts: int | None) -> float | None:
        known = [part for part in parts if part is not None]
        return sum(known) / self.gap.clips if len(known) == len(parts) else None

    @property
    def text_fault(self) -> float | None:
        """Share of its clips, 0 to 1, that the centroid classifier gets right and the prototypes get wrong."""
        return self._share(self.text_errors)

    @property
    def video_fault(self) -> float | None:
        """Share of its clips, 0 to 1, that the prototypes get wrong, and the centroid classifier, too."""
        return self._share(self.video_errors)

    @property
    def error(self) -> float | None:
        """Share of its clips that the prototypes get wrong: text fault plus video fault."""
        return self._share(self.text_errors, self.video_errors)

    @property
    def verdict(self) -> Verdict | None:
        """Who is at fault: "none" if the error is below `TOLERATED`, a side that makes `BLAMED` of it, else "both"."""
        if self.text_errors is None or self.video_errors is None:
            return None
        errors = self.text_errors + self.video_errors
        if not errors or errors < TOLERATED * self.gap.clips:
            return "none"
        if self.text_errors >= BLAMED * errors:
            return "text"
        return "video" if self.video_errors >= BLAMED * errors else "both"


def faults(space: UnitSpace, seed: int = 0) -> list[ClassFault]:
    """Each class's faults, in the order of classes.

    Prototypes compete with those of all classes, centroids with those of all classes that have clips. Of equal
    similarities the lowest index wins; a clip without direction is right by neither.

    Args:
        seed: draws the clips for the silhouette where there are more than `gap.MOST_CLIPS`.
    """
    text_N, video_N = space.nearest == space.labels_N, nearest_centroid(space) == space.labels_N
    elsewhere_N = (space.nearest >= 0) & (space.labels_N >= 0) & ~text_N
    drawn_C = np.bincount(space.nearest[elsewhere_N], minlength=space.n_classes)
    nearest_C = np.bincount(space.nearest[space.nearest >= 0], minlength=space.n_classes)
    described = np.unique(space.owner_P)
    usual = drawn_C[described]
    limit = usual.mean() + HUB_DEVIATIONS * usual.std() if described.size else np.inf
    silhouette_n, class_n = silhouettes(space, np.random.default_rng(seed))
    apart_CC = 1 - np.clip(space.centroids @ space.centroids.T, -1, 1)
    empty_C = space.sizes == 0
    apart_CC[empty_C[:, None] | empty_C | np.eye(space.n_classes, dtype=bool)] = np.inf
    found = []
    for one in per_class(space):
        c, own_N, neighbour = one.index, space.labels_N == one.index, int(apart_CC[one.index].argmin())
        near, judged = bool(np.isfinite(apart_CC[c, neighbour])), one.clips > 1 and c in described
        right, rescued, text_errors, video_errors = (
            int((own_N & (text_N == text) & (video_N == video)).sum()) if judged else None
            for text, video in ((True, True), (True, False), (False, True), (False, False))
        )
        found.append(
            ClassFault(
                one,
                right,
                rescued,
                text_errors,
                video_errors,
                drawn=int(drawn_C[c]),
                hub=bool(drawn_C[c] > limit),
                orphan=bool(nearest_C[c] == 0) if c in described else None,
                silhouette=float(silhouette_n[class_n == c].mean()) if c in class_n else None,
                nearest_centroid=neighbour if near else None,
                nearest_centroid_distance=float(apart_CC[c, neighbour]) if near else None,
            )
        )
    return found


def nearest_centroid(space: UnitSpace) -> IntArray:
    """(N,) class of each labelled clip's nearest centroid, its own class's without the clip; -1 for other clips.

    With S the sum of n unit vectors, the centroid without x lies in the direction of S - x, and x·(S - x) = x·S - x·x.
    A class whose only clip is x has no other centroid: it cannot win.
    """
    nearest_N = np.full(len(space.videos_NE), -1)
    labelled = np.flatnonzero((space.labels_N >= 0) & space.videos_NE.any(axis=1))
    for rows in row_blocks(labelled, space.n_classes):
        units_nE, own_n = space.videos_NE[rows].astype(np.float64), space.labels_N[rows]
        similarity_nC = units_nE @ space.centroids.T
        similarity_nC[:, space.sizes == 0] = -np.inf
        others_nE = space.sums[own_n] - units_nE
        lengths_n = np.linalg.norm(others_nE, axis=1)
        own_similarity_n = np.einsum("ne,ne->n", units_nE, others_nE) / np.where(lengths_n > 1e-9, lengths_n, np.inf)
        similarity_nC[np.arange(len(own_n)), own_n] = np.where(space.sizes[own_n] > 1, own_similarity_n, -np.inf)
        best_n = similarity_nC.argmax(axis=1)
        nearest_N[rows] = np.where(np.isfinite(similarity_nC.max(axis=1)), best_n, -1)
    return nearest_N


def widest(found: Sequence[ClassFault]) -> ClassFault | None:
    """The class with the widest gap between its centroid and its prototype; the first of equals; None without any."""
    known = [one for one in found if one.gap.own_distance is not None]
    return max(known, key=lambda one: one.gap.own_distance or 0.0, default=None)
