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
import numpy.typing as npt

from cezsar.analysis.gap import ClassGap, Space, classes_of, sample_clips
from cezsar.zeroshot.fusion import row_blocks

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
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

    @property
    def text_fault(self) -> float | None:
        """Share of its clips, 0 to 1, that the centroid classifier gets right and the prototypes get wrong."""
        return None if self.text_errors is None else self.text_errors / self.gap.clips

    @property
    def video_fault(self) -> float | None:
        """Share of its clips, 0 to 1, that the prototypes get wrong, and the centroid classifier, too."""
        return None if self.video_errors is None else self.video_errors / self.gap.clips

    @property
    def error(self) -> float | None:
        """Share of its clips that the prototypes get wrong: text fault plus video fault."""
        if self.text_errors is None or self.video_errors is None:
            return None
        return (self.text_errors + self.video_errors) / self.gap.clips

    @property
    def centroid_error(self) -> float | None:
        """Share of its clips that the centroid classifier gets wrong: video fault plus the rescued."""
        if self.video_errors is None or self.rescued is None:
            return None
        return (self.video_errors + self.rescued) / self.gap.clips

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


def faults(
    videos_NE: npt.ArrayLike,
    label_index_N: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    prototype_class_P: npt.ArrayLike | None,
    n_classes: int,
    rng: np.random.Generator | None = None,
) -> list[ClassFault]:
    """Each class's faults, in the order of classes; arguments and errors as in `gap.measure`.

    Prototypes compete with those of all classes, centroids with those of all classes that have clips. Of equal
    similarities the lowest index wins; a clip without direction is right by neither.

    Args:
        rng: draws the clips for the silhouette where there are more than `gap.MOST_CLIPS`; seeded with 0 by default.
    """
    space = Space(videos_NE, label_index_N, prototypes_PE, prototype_class_P, n_classes)
    sums_CE, clips_C = _sums(space)
    by_prototype_N = _nearest_prototype(space)
    by_centroid_N = _nearest_centroid(space, sums_CE, clips_C)
    text_N, video_N = by_prototype_N == space.labels_N, by_centroid_N == space.labels_N
    elsewhere = (by_prototype_N >= 0) & (space.labels_N >= 0) & ~text_N
    drawn_C = np.bincount(by_prototype_N[elsewhere], minlength=n_classes)
    nearest_C = np.bincount(by_prototype_N[by_prototype_N >= 0], minlength=n_classes)
    described = np.unique(space.owner_P)
    usual = drawn_C[described]
    limit = usual.mean() + HUB_DEVIATIONS * usual.std() if described.size else np.inf
    silhouette = _silhouettes(space, rng or np.random.default_rng(0))
    neighbour_C, apart_C = _centroid_neighbours(sums_CE, clips_C)
    found = []
    for one in classes_of(space):
        c, rows = one.index, space.labels_N == one.index
        judged = one.clips > 1 and c in described
        near = bool(np.isfinite(apart_C[c]))
        found.append(
            ClassFault(
                one,
                right=int((text_N & video_N & rows).sum()) if judged else None,
                rescued=int((text_N & ~video_N & rows).sum()) if judged else None,
                text_errors=int((~text_N & video_N & rows).sum()) if judged else None,
                video_errors=int((~text_N & ~video_N & rows).sum()) if judged else None,
                drawn=int(drawn_C[c]),
                hub=bool(drawn_C[c] > limit),
                orphan=bool(nearest_C[c] == 0) if c in described else None,
                silhouette=silhouette.get(c),
                nearest_centroid=int(neighbour_C[c]) if near else None,
                nearest_centroid_distance=float(apart_C[c]) if near else None,
            )
        )
    return found


def nearest(
    videos_NE: npt.ArrayLike,
    label_index_N: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    prototype_class_P: npt.ArrayLike | None,
    n_classes: int,
) -> tuple[IntArray, IntArray]:
    """How `faults` takes each clip: (N,) class of its nearest prototype, and (N,) class of its nearest centroid.

    -1 where nothing is nearest: a clip without direction, and among centroids one without a label. Arguments and
    errors as in `gap.measure`.
    """
    space = Space(videos_NE, label_index_N, prototypes_PE, prototype_class_P, n_classes)
    return _nearest_prototype(space), _nearest_centroid(space, *_sums(space))


def widest(found: Sequence[ClassFault]) -> ClassFault | None:
    """The class with the widest gap between its centroid and its prototype; the first of equals; None without any."""
    return max(
        (one for one in found if one.gap.own_distance is not None),
        key=lambda one: one.gap.own_distance or 0.0,
        default=None,
    )


def _sums(space: Space) -> tuple[DoubleArray, IntArray]:
    """(C, E) sums of unit vectors of each class's clips, and (C,) how many it has."""
    known = space.labels_N >= 0
    sums_CE = np.zeros((space.n_classes, space.videos_NE.shape[1]))
    np.add.at(sums_CE, space.labels_N[known], space.videos_NE[known])
    return sums_CE, np.bincount(space.labels_N[known], minlength=space.n_classes)


def _nearest_prototype(space: Space) -> IntArray:
    """(N,) class of each clip's nearest prototype, -1 where all similarities are exactly 0."""
    nearest_N = np.full(len(space.videos_NE), -1)
    if not space.owner_P.size:
        return nearest_N
    for rows in row_blocks(np.arange(len(nearest_N)), len(space.owner_P)):
        similarity_nP = space.videos_NE[rows] @ space.prototypes_PE.T
        nearest_N[rows] = np.where(similarity_nP.any(axis=1), space.owner_P[similarity_nP.argmax(axis=1)], -1)
    return nearest_N


def _nearest_centroid(space: Space, sums_CE: DoubleArray, clips_C: IntArray) -> IntArray:
    """(N,) class of each labelled clip's nearest centroid, its own class's without the clip; -1 for other clips.

    With S the sum of n unit vectors, the centroid without x lies in the direction of S - x, and x·(S - x) = x·S - x·x.
    A class whose only clip is x has no other centroid: it cannot win.
    """
    nearest_N = np.full(len(space.videos_NE), -1)
    norms_C = np.linalg.norm(sums_CE, axis=1)
    unit_CE = sums_CE / np.where(norms_C > 0, norms_C, 1)[:, None]
    labelled = np.flatnonzero((space.labels_N >= 0) & space.videos_NE.any(axis=1))
    for rows in row_blocks(labelled, len(clips_C)):
        units_nE, own_n = space.videos_NE[rows].astype(np.float64), space.labels_N[rows]
        similarity_nC = units_nE @ unit_CE.T
        similarity_nC[:, clips_C == 0] = -np.inf
        others_nE = sums_CE[own_n] - units_nE
        lengths_n = np.linalg.norm(others_nE, axis=1)
        own_similarity_n = np.einsum("ne,ne->n", units_nE, others_nE) / np.where(lengths_n > 1e-9, lengths_n, np.inf)
        similarity_nC[np.arange(len(own_n)), own_n] = np.where(clips_C[own_n] > 1, own_similarity_n, -np.inf)
        best_n = similarity_nC.argmax(axis=1)
        nearest_N[rows] = np.where(np.isfinite(similarity_nC.max(axis=1)), best_n, -1)
    return nearest_N


def _centroid_neighbours(sums_CE: DoubleArray, clips_C: IntArray) -> tuple[IntArray, DoubleArray]:
    """(C,) the class with the nearest other centroid, and its cosine distance; infinite where there is none."""
    norms_C1 = np.linalg.norm(sums_CE, axis=1, keepdims=True)
    unit_CE = sums_CE / np.where(norms_C1 > 0, norms_C1, 1)
    distance_CC = 1 - np.clip(unit_CE @ unit_CE.T, -1, 1)
    distance_CC[:, clips_C == 0] = np.inf
    distance_CC[clips_C == 0] = np.inf
    np.fill_diagonal(distance_CC, np.inf)
    return distance_CC.argmin(axis=1), distance_CC.min(axis=1)


def _silhouettes(space: Space, rng: np.random.Generator) -> dict[int, float]:
    """Class -> mean silhouette of its clips (Rousseeuw 1987, cosine distance); empty where there is none."""
    from sklearn.metrics import silhouette_samples

    labelled = np.flatnonzero(space.labels_N >= 0)
    rows = labelled[sample_clips(len(labelled), rng)]
    labels_n = space.labels_N[rows]
    if not 2 <= len(np.unique(labels_n)) < len(rows):
        return {}
    values_n = silhouette_samples(space.videos_NE[rows], labels_n, metric="cosine")
    return {int(c): float(values_n[labels_n == c].mean()) for c in np.unique(labels_n)}
