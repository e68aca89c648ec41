"""The semantic gap in numbers: how far clips lie from the descriptions of their classes, beside the picture of it.

All of it is about directions: vectors are scaled to length 1 first, because predictions are cosine similarities (Eq. 8
of Estevam et al., ICPR 2026). A zero vector, as ReLU can make one, has no direction: its similarity to everything is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.errors import InputError
from cezsar.zeroshot.fusion import row_blocks

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DECIMALS = 6  # of similarities that are compared with each other; float32 has no more

MOST_CLIPS = 5_000
"""More clips than this are sampled where the work grows with their square (silhouette, purity)."""


class Figure(NamedTuple):
    """What one number of `Gap` means: for a legend, a tooltip or a table's head."""

    title: str
    definition: str
    range: str
    better: Literal["higher", "lower", "neither"]
    source: str


@dataclass(frozen=True, eq=False)
class Gap:
    """How well clips and descriptions meet in one space. `FIGURES` says what each number means.

    A number is None where it is not defined: without prototypes, without labels, with one class only.

    Attributes:
        clips: number of clips, those without a label included.
        prototypes: number of prototypes that were compared.
        k: neighbours that `purity` looks at: as asked for, or all other clips if there are fewer.
        k_prototypes: length of the lists behind `hubness_k`: as asked for, and at least one prototype is left out.
        biggest_hub: index of the class that most clips are nearest to; `biggest_hub_share` goes with it.
    """

    clips: int
    prototypes: int
    k: int
    k_prototypes: int
    modality_gap: float | None
    silhouette: float | None
    purity: float | None
    purity_by_chance: float | None
    own_prototype: float | None
    nearest_prototype: float | None
    hubness_1: float | None
    hubness_k: float | None
    biggest_hub: int | None
    biggest_hub_share: float | None


FIGURES = {
    "modality_gap": Figure(
        "modality gap",
        "Euclidean distance between the mean of the clips' unit vectors and the mean of the prototypes' unit vectors",
        "0 to 2",
        "lower",
        "Liang et al., Mind the Gap, NeurIPS 2022",
    ),
    "silhouette": Figure(
        "silhouette",
        "how much nearer a clip is to its own class than to the nearest other one, in cosine distance, mean over clips",
        "-1 to 1; 0 when classes overlap",
        "higher",
        "Rousseeuw, J. Comput. Appl. Math. 20, 1987",
    ),
    "purity": Figure(
        "purity of neighbours",
        "share of a clip's k nearest clips (cosine) that are of its own class, mean over clips",
        "0 to 1; beside it what chance gives",
        "higher",
        "k-nearest-neighbour consistency: Ding and He, SAC 2004",
    ),
    "purity_by_chance": Figure(
        "purity by chance",
        "the purity expected if the neighbours were drawn at random: share of the other clips of the clip's class",
        "0 to 1",
        "neither",
        "counting",
    ),
    "own_prototype": Figure(
        "classes on their own prototype",
        "share of classes whose centroid (mean of the unit vectors of their clips) is nearest to their own prototype",
        "0 to 1; chance is 1 / classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026, for the mean clip",
    ),
    "nearest_prototype": Figure(
        "clips on their own prototype",
        "share of clips whose nearest prototype is their own class's: top-1 accuracy of this space alone",
        "0 to 1; chance is 1 / classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026",
    ),
    "hubness_1": Figure(
        "hubness, nearest",
        "skewness of the number of clips that have a prototype as their nearest one",
        "unbounded; 0 when no prototype stands out, above 1 when a few attract most clips",
        "lower",
        "Radovanović et al., Hubs in Space, JMLR 11, 2010",
    ),
    "hubness_k": Figure(
        "hubness, k nearest",
        "skewness of the number of clips that have a prototype among their k nearest ones",
        "unbounded; 0 when no prototype stands out, above 1 when a few attract most clips",
        "lower",
        "Radovanović et al., Hubs in Space, JMLR 11, 2010",
    ),
    "biggest_hub_share": Figure(
        "biggest hub",
        "share of clips that are nearest to one class, the one with most of them; near 1 when training collapsed",
        "1 / classes to 1",
        "lower",
        "Radovanović et al., Hubs in Space, JMLR 11, 2010",
    ),
}
"""Field of `Gap` -> what it means."""


@dataclass(frozen=True)
class ClassGap:
    """One class's share in the gap; distances are cosine distances from 0 to 2, from the centroid of its clips.

    Attributes:
        index: the class.
        clips: how many it has; without any, all else is None.
        spread: mean distance of its clips from their centroid: how much the class varies.
        own_distance: from the centroid to its own prototype, the nearest of several.
        nearest_other: the other class whose prototype is nearest, and
        nearest_other_distance: how far that is.
    """

    index: int
    clips: int
    spread: float | None = None
    own_distance: float | None = None
    nearest_other: int | None = None
    nearest_other_distance: float | None = None

    @property
    def lead(self) -> float | None:
        """How much nearer its own prototype is than the nearest other; below 0 the centroid is misplaced."""
        if self.own_distance is None or self.nearest_other_distance is None:
            return None
        return self.nearest_other_distance - self.own_distance

    @property
    def on_own(self) -> bool | None:
        """Whether its own prototype is the nearest to the centroid; of two at one distance the lower index is."""
        if self.lead is None or self.nearest_other is None:
            return None
        return self.lead > 0 or (self.lead == 0 and self.index < self.nearest_other)


def unit_rows(rows_NE: npt.ArrayLike, what: str) -> FloatArray:
    """Rows of length 1, as float32; a zero row stays zero.

    Args:
        what: the rows are, for the message.

    Raises:
        InputError: not a matrix, or NaN and infinite numbers.
    """
    rows = np.asarray(rows_NE, np.float32)
    if rows.ndim != 2:
        raise InputError(f"{what} have shape {rows.shape}; a matrix with a row for each is expected")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(f"row {bad[0]} of the {what} has NaN or infinite numbers; compute it again, or leave it out")
    peak_N1 = np.abs(rows).max(axis=1, keepdims=True, initial=0)  # first: squares of large numbers overflow
    peak_N1[peak_N1 == 0] = 1
    scaled: FloatArray = rows / peak_N1
    norms_N1 = np.sqrt(np.einsum("ne,ne->n", scaled, scaled))[:, None]
    norms_N1[norms_N1 == 0] = 1
    scaled /= norms_N1
    return scaled


def measure(
    videos_NE: npt.ArrayLike,
    label_index_N: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    prototype_class_P: npt.ArrayLike | None,
    n_classes: int,
    k: int = 10,
    rng: np.random.Generator | None = None,
) -> Gap:
    """The gap between clips and descriptions in one space.

    Args:
        videos_NE: embeddings of N clips, of any length.
        label_index_N: class of each clip, -1 where it is unknown; such clips count in `modality_gap` and hubness only.
        prototypes_PE: embeddings of class descriptions; None, or no rows, where the space has no sentences.
        prototype_class_P: class of each prototype; None: prototype i is class i's.
        n_classes: C.
        k: neighbours for purity, and length of the lists for hubness.
        rng: draws the clips where there are more than `MOST_CLIPS`; seeded with 0 by default.

    Raises:
        InputError: parts that do not fit together, NaN, or k below 1.
    """
    if k < 1:
        raise InputError(f"{k} neighbours were asked for; ask for at least 1")
    rng = rng or np.random.default_rng(0)
    space = Space(videos_NE, label_index_N, prototypes_PE, prototype_class_P, n_classes)
    labelled = space.labels_N >= 0
    purity, by_chance, k_videos = _purity(space.videos_NE[labelled], space.labels_N[labelled], k, rng)
    own = [one.on_own for one in classes_of(space) if one.on_own is not None]
    hubness_1, _, nearest_N = _hubness(space, 1)
    hubness_k, k_prototypes, _ = _hubness(space, k)
    judged = labelled & np.isin(space.labels_N, space.owner_P)
    votes_C = np.bincount(nearest_N[nearest_N >= 0], minlength=n_classes)
    hub = int(votes_C.argmax()) if votes_C.any() else None
    return Gap(
        clips=len(space.videos_NE),
        prototypes=len(space.owner_P),
        k=k_videos,
        k_prototypes=k_prototypes,
        modality_gap=_modality_gap(space),
        silhouette=_silhouette(space.videos_NE[labelled], space.labels_N[labelled], rng),
        purity=purity,
        purity_by_chance=by_chance,
        own_prototype=float(np.mean(own)) if own else None,
        nearest_prototype=float(np.mean((nearest_N == space.labels_N)[judged])) if judged.any() else None,
        hubness_1=hubness_1,
        hubness_k=hubness_k,
        biggest_hub=hub,
        biggest_hub_share=None if hub is None else float(votes_C[hub] / votes_C.sum()),
    )


def per_class(
    videos_NE: npt.ArrayLike,
    label_index_N: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    prototype_class_P: npt.ArrayLike | None,
    n_classes: int,
) -> list[ClassGap]:
    """Each class's part of the gap, in the order of classes; arguments and errors as in `measure`."""
    return classes_of(Space(videos_NE, label_index_N, prototypes_PE, prototype_class_P, n_classes))


class Space:
    """Checked unit vectors: videos_NE, labels_N, prototypes_PE and owner_P, the latter two in the order of classes."""

    def __init__(
        self,
        videos_NE: npt.ArrayLike,
        label_index_N: npt.ArrayLike,
        prototypes_PE: npt.ArrayLike | None,
        prototype_class_P: npt.ArrayLike | None,
        n_classes: int,
    ) -> None:
        self.videos_NE = unit_rows(videos_NE, "clips")
        self.labels_N = np.asarray(label_index_N, np.int64)
        width = self.videos_NE.shape[1]
        none = prototypes_PE is None or not len(np.asarray(prototypes_PE))
        units_PE = unit_rows(np.zeros((0, width)) if none else np.asarray(prototypes_PE), "prototypes")
        implied = np.arange(len(units_PE)) if prototype_class_P is None else prototype_class_P
        owner_P = np.asarray(implied, np.int64)
        if self.labels_N.shape != (len(self.videos_NE),) or owner_P.shape != (len(units_PE),):
            raise InputError(
                f"{len(self.videos_NE):,} clips have {self.labels_N.size:,} labels and {len(units_PE):,} prototypes "
                f"{owner_P.size:,} classes; give one to each"
            )
        if units_PE.shape[1] != width:
            raise InputError(
                f"clips have {width} dimensions and prototypes {units_PE.shape[1]}; take them from one space"
            )
        low, high = (min(self.labels_N.min(initial=0), -1), max(self.labels_N.max(initial=-1), owner_P.max(initial=-1)))
        if low < -1 or high >= n_classes or owner_P.min(initial=0) < 0:
            raise InputError(f"a clip or a prototype belongs to a class outside the {n_classes:,} that there are")
        self.n_classes = n_classes
        # As in Scores: a zero prototype would win over negative cosines, so it stays only if its class has no other.
        alive_P = units_PE.any(axis=1)
        kept = np.flatnonzero(alive_P | ~np.isin(owner_P, owner_P[alive_P]))
        kept = kept[np.argsort(owner_P[kept], kind="stable")]
        self.prototypes_PE, self.owner_P = units_PE[kept], owner_P[kept]


def _modality_gap(space: Space) -> float | None:
    if not len(space.videos_NE) or not len(space.prototypes_PE):
        return None
    difference_E = space.videos_NE.mean(axis=0, dtype=np.float64) - space.prototypes_PE.mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(difference_E))


def _silhouette(videos_NE: FloatArray, labels_N: IntArray, rng: np.random.Generator) -> float | None:
    """None unless there are two classes, one of them with two clips."""
    from sklearn.metrics import silhouette_score

    rows = sample_clips(len(videos_NE), rng)
    if not 2 <= len(np.unique(labels_N[rows])) < len(rows):
        return None
    return float(silhouette_score(videos_NE[rows], labels_N[rows], metric="cosine"))


def _purity(
    videos_NE: FloatArray, labels_N: IntArray, k: int, rng: np.random.Generator
) -> tuple[float | None, float | None, int]:
    """Purity of a sample of clips among all clips, what chance gives, and the k it was taken at.

    Where several clips are equally near at the k-th place, they share the places that are left.
    """
    n = len(videos_NE)
    k = min(k, n - 1)
    if k < 1:
        return None, None, 0
    rows = sample_clips(n, rng)
    shares = np.zeros(len(rows))
    done = 0
    for block in row_blocks(rows, n):
        anchors = np.arange(n)[block]
        similarity_nN = videos_NE[anchors] @ videos_NE.T
        similarity_nN[np.arange(len(anchors)), anchors] = -np.inf
        similarity_nN = similarity_nN.round(DECIMALS)  # equal vectors tie, however their product was summed
        bound_n1 = -np.partition(-similarity_nN, k - 1, axis=1)[:, k - 1 : k]
        same_nN = labels_N == labels_N[anchors, None]
        nearer_nN, tied_nN = similarity_nN > bound_n1, similarity_nN == bound_n1
        places_n = k - nearer_nN.sum(axis=1)  # left for those that tie, who share them
        tied_share_n = (same_nN & tied_nN).sum(axis=1) / tied_nN.sum(axis=1)
        shares[done : done + len(anchors)] = ((same_nN & nearer_nN).sum(axis=1) + places_n * tied_share_n) / k
        done += len(anchors)
    shares[~videos_NE[rows].any(axis=1)] = 0  # no direction, so no neighbours
    clips_C = np.bincount(labels_N)
    return float(shares.mean()), float(((clips_C[labels_N] - 1) / (n - 1)).mean()), k


def _hubness(space: Space, k: int) -> tuple[float | None, int, IntArray]:
    """Skewness of N_k over prototypes, the k it was taken at, and (N,) the class of each clip's nearest prototype.

    A clip whose similarities are all exactly 0 is in nobody's favour: its class is -1.
    """
    n, n_prototypes = len(space.videos_NE), len(space.prototypes_PE)
    nearest_N = np.full(n, -1)
    if not n or not n_prototypes:
        return None, 0, nearest_N
    k = max(1, min(k, n_prototypes - 1))  # with all prototypes in every list, none could stand out
    occurrences_P = np.zeros(n_prototypes, np.int64)
    for rows in row_blocks(np.arange(n), n_prototypes):
        similarity_nP = space.videos_NE[rows] @ space.prototypes_PE.T
        decided = similarity_nP.any(axis=1)
        order_nk = np.argsort(-similarity_nP[decided], axis=1, kind="stable")[:, :k]
        occurrences_P += np.bincount(order_nk.ravel(), minlength=n_prototypes)
        nearest_N[np.arange(n)[rows][decided]] = space.owner_P[order_nk[:, 0]]
    return skewness(occurrences_P), k, nearest_N


def skewness(counts_P: IntArray) -> float:
    """Third standardised moment of the counts; 0 where they are all equal."""
    deviation_P = counts_P - counts_P.mean()
    variance = float((deviation_P**2).mean())
    return float((deviation_P**3).mean()) / variance**1.5 if variance else 0.0


def classes_of(space: Space) -> list[ClassGap]:
    similarity_CK = np.full((space.n_classes, space.n_classes), -np.inf)  # centroids x nearest prototype of a class
    centroids_CE = np.zeros((space.n_classes, space.videos_NE.shape[1]))
    members = [np.flatnonzero(space.labels_N == c) for c in range(space.n_classes)]
    for c, rows in enumerate(members):
        if rows.size:
            mean_E = space.videos_NE[rows].mean(axis=0, dtype=np.float64)
            centroids_CE[c] = mean_E / (np.linalg.norm(mean_E) or 1)
    similarity_CP = np.clip(centroids_CE @ space.prototypes_PE.T.astype(np.float64), -1, 1)
    np.maximum.at(similarity_CK.T, space.owner_P, similarity_CP.T)
    found = []
    for c, rows in enumerate(members):
        if not rows.size:
            found.append(ClassGap(c, 0))
            continue
        distance_K = 1 - similarity_CK[c]
        spread = max(0.0, 1 - float((space.videos_NE[rows] @ centroids_CE[c]).mean()))
        own = float(distance_K[c]) if np.isfinite(distance_K[c]) else None
        distance_K[c] = np.inf
        other = int(distance_K.argmin())
        rival = (other, float(distance_K[other])) if np.isfinite(distance_K[other]) else (None, None)
        found.append(ClassGap(c, len(rows), spread, own, *rival))
    return found


def sample_clips(n: int, rng: np.random.Generator) -> IntArray:
    """All of n rows, or `MOST_CLIPS` of them at random; ascending."""
    return np.arange(n) if n <= MOST_CLIPS else np.sort(rng.choice(n, MOST_CLIPS, replace=False))
