"""The semantic gap in numbers: how clips and class descriptions lie to each other, space by space.

All of it is about directions: vectors are scaled to length 1 first, because predictions are cosine similarities (Eq. 8
of Estevam et al., ICPR 2026). A zero vector, as ReLU can make one, has no direction: its similarity to everything is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import before_true, row_blocks

DECIMALS = 6  # of similarities that are compared with each other; float32 has no more

MOST_CLIPS = 5_000
"""More clips than this are sampled where the work grows with their square (silhouette, purity, uniformity)."""


class Definition(NamedTuple):
    """What a number means: for a legend, a tooltip or a table's head."""

    title: str
    definition: str
    range: str
    better: Literal["higher", "lower", "neither"]
    source: str


@dataclass(frozen=True, eq=False)
class Gap:
    """How clips and descriptions meet in one space. `FIGURES` says what each number means.

    A number is None where it is not defined: without prototypes, without labels, with one class or one vector only.

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
    biggest_hub: int | None
    modality_gap: float | None
    silhouette: float | None
    purity: float | None
    purity_by_chance: float | None
    own_prototype: float | None
    nearest_prototype: float | None
    hubness_1: float | None
    hubness_k: float | None
    biggest_hub_share: float | None
    alignment: float | None
    uniformity_clips: float | None
    uniformity_prototypes: float | None
    rank_mean: float | None = None
    rank_median: float | None = None
    mean_reciprocal_rank: float | None = None
    rank_1: float | None = None
    rank_5: float | None = None
    prototype_to_own: float | None = None
    prototype_to_other: float | None = None
    prototype_on_own: float | None = None


_EQ8 = "Eq. 8 of Estevam et al., ICPR 2026"
_HUBS = "Radovanović et al., Hubs in Space, JMLR 11, 2010"
_WANG = "Wang and Isola, Understanding Contrastive Representation Learning, ICML 2020"
_RANK = "Its rank is 1 + the number of classes before it; the rank of an undecided clip is classes + 1"
_SKEW = "unbounded; 0 when no prototype stands out, above 1 when a few attract most clips"
_EVEN = "-8 to 0; 0 when all are one point, about -4 when they are spread over the sphere"
_POTENTIAL = "log of the mean of exp(-2 d²) over pairs of {}, d the Euclidean distance between their unit vectors"

FIGURES = {
    "modality_gap": Definition(
        "modality gap",
        "Euclidean distance between the mean of the clips' unit vectors and the mean of the prototypes' unit vectors",
        "0 to 2", "lower", "Liang et al., Mind the Gap, NeurIPS 2022",
    ),
    "silhouette": Definition(
        "silhouette",
        "how much nearer a clip is to its own class than to the nearest other one, in cosine distance, mean over clips",
        "-1 to 1; 0 when classes overlap", "higher", "Rousseeuw, J. Comput. Appl. Math. 20, 1987",
    ),
    "purity": Definition(
        "purity of neighbours",
        "share of a clip's k nearest clips (cosine) that are of its own class, mean over clips",
        "0 to 1; beside it what chance gives", "higher", "k-nearest-neighbour consistency: Ding and He, SAC 2004",
    ),
    "purity_by_chance": Definition(
        "purity by chance",
        "the purity expected if the neighbours were drawn at random: share of the other clips of the clip's class",
        "0 to 1", "neither", "counting",
    ),
    "own_prototype": Definition(
        "classes on their own prototype",
        "share of classes whose centroid (mean of the unit vectors of their clips) is nearest to their own prototype",
        "0 to 1; chance is 1 / classes", "higher", f"{_EQ8}, for the mean clip",
    ),
    "nearest_prototype": Definition(
        "clips on their own prototype",
        "share of clips whose nearest prototype is their own class's: top-1 accuracy of this space alone",
        "0 to 1; chance is 1 / classes", "higher", _EQ8,
    ),
    "hubness_1": Definition(
        "hubness, nearest", "skewness of the number of clips that have a prototype as their nearest one",
        _SKEW, "lower", _HUBS,
    ),
    "hubness_k": Definition(
        "hubness, k nearest", "skewness of the number of clips that have a prototype among their k nearest ones",
        _SKEW, "lower", _HUBS,
    ),
    "biggest_hub_share": Definition(
        "biggest hub",
        "share of clips that are nearest to one class, the one with most of them; near 1 when training collapsed",
        "1 / classes to 1", "lower", _HUBS,
    ),
    "alignment": Definition(
        "alignment",
        "squared Euclidean distance between a clip's unit vector and its class's nearest prototype, mean over clips",
        "0 to 4; 2 when they are orthogonal", "lower", f"{_WANG}, with α = 2",
    ),
    "uniformity_clips": Definition(
        "uniformity of clips", _POTENTIAL.format("clips"), _EVEN, "lower", f"{_WANG}, with t = 2",
    ),
    "uniformity_prototypes": Definition(
        "uniformity of prototypes", _POTENTIAL.format("prototypes"), _EVEN, "lower", f"{_WANG}, with t = 2",
    ),
    "rank_mean": Definition(
        "mean rank", f"rank of the true class among all classes, mean over clips. {_RANK}",
        "1 to classes + 1; chance is (classes + 1) / 2", "lower", "counting",
    ),
    "rank_median": Definition(
        "median rank", f"rank of the true class among all classes, median over clips. {_RANK}",
        "1 to classes + 1", "lower", "counting",
    ),
    "mean_reciprocal_rank": Definition(
        "mean reciprocal rank", "1 / rank of the true class, mean over clips; an undecided clip adds 0",
        "0 to 1", "higher", "Voorhees, The TREC-8 Question Answering Track Report, 1999",
    ),
    "rank_1": Definition(
        "true class first", "share of clips whose true class has rank 1: top-1 accuracy",
        "0 to 1; chance is 1 / classes", "higher", _EQ8,
    ),
    "rank_5": Definition(
        "true class among five", "share of clips whose true class has a rank up to 5: top-5 accuracy",
        "0 to 1; chance is 5 / classes", "higher", _EQ8,
    ),
    "prototype_to_own": Definition(
        "prototype to its own centroid",
        "cosine distance from a prototype to the centroid of its class (mean of its clips' unit vectors), mean over "
        "prototypes of classes with clips", "0 to 2", "lower", f"{_EQ8}, for the mean clip",
    ),
    "prototype_to_other": Definition(
        "prototype to the nearest other centroid",
        "cosine distance from a prototype to the nearest centroid of another class, mean over the same prototypes",
        "0 to 2; below the distance to its own centroid, descriptions point at other classes", "higher",
        f"{_EQ8}, for the mean clip",
    ),
    "prototype_on_own": Definition(
        "prototypes on their own centroid",
        "share of these prototypes that are nearer to the centroid of their class than to any other",
        "0 to 1; chance is 1 / classes", "higher", f"{_EQ8}, from the side of the text",
    ),
}  # fmt: skip
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


def directions(rows_NE: npt.ArrayLike, what: str) -> FloatArray:
    """Rows of length 1; a zero row stays zero.

    Raises:
        InputError: not a matrix, or NaN and infinite numbers; it calls the rows `what`.
    """
    rows = np.asarray(rows_NE, np.float32)
    if rows.ndim != 2:
        raise InputError(f"{what} have shape {rows.shape}; a matrix with a row for each is expected")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(f"row {bad[0]} of the {what} has NaN or infinite numbers; compute it again, or leave it out")
    peak_N1 = np.abs(rows).max(axis=1, keepdims=True, initial=0)  # first: squares of large numbers overflow
    scaled: FloatArray = np.divide(rows, np.where(peak_N1 > 0, peak_N1, 1), dtype=np.float32)
    return unit_rows(scaled)


class UnitSpace:
    """Clips and prototypes of one space as unit vectors.

    Args:
        videos_NE: embeddings of N clips, of any length.
        label_index_N: class of each clip, -1 where it is unknown.
        prototypes_PE: embeddings of class descriptions; None, or no rows, where the space has no sentences.
        prototype_class_P: class of each prototype; None: prototype i is class i's.
        n_classes: C.

    Attributes:
        prototypes_PE, owner_P: in the order of classes, without zero prototypes of classes that have others.

    Raises:
        InputError: parts that do not fit together, or NaN.
    """

    def __init__(
        self,
        videos_NE: npt.ArrayLike,
        label_index_N: npt.ArrayLike,
        prototypes_PE: npt.ArrayLike | None,
        prototype_class_P: npt.ArrayLike | None,
        n_classes: int,
    ) -> None:
        self.videos_NE = directions(videos_NE, "clips")
        self.labels_N = np.asarray(label_index_N, np.int64)
        self.n_classes = n_classes
        width = self.videos_NE.shape[1]
        none = prototypes_PE is None or not len(np.asarray(prototypes_PE))
        units_PE = directions(np.zeros((0, width)) if none else np.asarray(prototypes_PE), "prototypes")
        implied = np.arange(len(units_PE)) if none or prototype_class_P is None else prototype_class_P
        owner_P = np.asarray(implied, np.int64)
        classes = np.concatenate([self.labels_N.ravel(), owner_P.ravel()])
        fits = self.labels_N.shape == (len(self.videos_NE),) and owner_P.shape == (len(units_PE),)
        inside = (
            classes.max(initial=-1) < n_classes and min(self.labels_N.min(initial=0) + 1, owner_P.min(initial=0)) >= 0
        )
        if not fits or not inside or units_PE.shape[1] != width:
            raise InputError(
                f"clips of shape {self.videos_NE.shape}, prototypes of shape {units_PE.shape} and their classes of the "
                f"{n_classes:,} do not go together: give a class to each, and take both from one space"
            )
        # As in Scores: a zero prototype would win over negative cosines, so it stays only if its class has no other.
        alive_P = units_PE.any(axis=1)
        kept = np.flatnonzero(alive_P | ~np.isin(owner_P, owner_P[alive_P]))
        kept = kept[np.argsort(owner_P[kept], kind="stable")]
        self.prototypes_PE, self.owner_P = units_PE[kept], owner_P[kept]

    @cached_property
    def nearest(self) -> IntArray:
        """(N,) class of each clip's nearest prototype; -1 where all its similarities are exactly 0."""
        nearest_N = np.full(len(self.videos_NE), -1)
        for rows in row_blocks(np.arange(len(nearest_N)), len(self.owner_P)) if self.owner_P.size else ():
            similarity_nP = self.videos_NE[rows] @ self.prototypes_PE.T
            nearest_N[rows] = np.where(similarity_nP.any(axis=1), self.owner_P[similarity_nP.argmax(axis=1)], -1)
        return nearest_N

    @cached_property
    def sizes(self) -> IntArray:
        """(C,) number of clips of each class."""
        return np.bincount(self.labels_N[self.labels_N >= 0], minlength=self.n_classes)

    @cached_property
    def sums(self) -> DoubleArray:
        """(C, E) sums of the unit vectors of each class's clips."""
        known = self.labels_N >= 0
        sums_CE = np.zeros((self.n_classes, self.videos_NE.shape[1]))
        np.add.at(sums_CE, self.labels_N[known], self.videos_NE[known])
        return sums_CE

    @cached_property
    def centroids(self) -> DoubleArray:
        """(C, E) directions of the classes' mean clips; zeros for a class without clips."""
        return unit_rows(self.sums)


def measure(space: UnitSpace, k: int = 10, seed: int = 0) -> Gap:
    """The gap between clips and descriptions in one space.

    Clips without a label count in the modality gap, hubness and uniformity only.

    Args:
        k: neighbours for purity, and length of the lists for hubness; at least 1.
        seed: draws the clips where there are more than `MOST_CLIPS`.
    """
    rng = np.random.default_rng(seed)
    labelled = space.labels_N >= 0
    purity, by_chance, k_videos = _purity(space.videos_NE[labelled], space.labels_N[labelled], k, rng)
    silhouette_n, _ = silhouettes(space, rng)
    own = [one.on_own for one in per_class(space) if one.on_own is not None]
    judged = labelled & np.isin(space.labels_N, space.owner_P)
    votes_C = np.bincount(space.nearest[space.nearest >= 0], minlength=space.n_classes)
    hub = int(votes_C.argmax()) if votes_C.any() else None
    hubness_k, k_prototypes = _hubness(space, k)
    rng = np.random.default_rng(seed)
    return Gap(
        clips=len(space.videos_NE),
        prototypes=len(space.owner_P),
        k=k_videos,
        k_prototypes=k_prototypes,
        biggest_hub=hub,
        modality_gap=_modality_gap(space),
        silhouette=float(silhouette_n.mean()) if silhouette_n.size else None,
        purity=purity,
        purity_by_chance=by_chance,
        own_prototype=float(np.mean(own)) if own else None,
        nearest_prototype=float((space.nearest == space.labels_N)[judged].mean()) if judged.any() else None,
        hubness_1=_hubness(space, 1)[0],
        hubness_k=hubness_k,
        biggest_hub_share=None if hub is None else float(votes_C[hub] / votes_C.sum()),
        alignment=_alignment(space),
        uniformity_clips=_uniformity(space.videos_NE, rng),
        uniformity_prototypes=_uniformity(space.prototypes_PE, rng),
        **_ranks(space),
        **_among_centroids(space),
    )


def per_class(space: UnitSpace) -> list[ClassGap]:
    """Each class's part of the gap, in the order of classes."""
    similarity_CP = np.clip(space.centroids @ space.prototypes_PE.T.astype(np.float64), -1, 1)
    distance_CK = np.full((space.n_classes, space.n_classes), np.inf)  # to the nearest prototype of a class
    np.minimum.at(distance_CK.T, space.owner_P, 1 - similarity_CP.T)
    found = []
    for c, distance_K in enumerate(distance_CK):
        if not space.sizes[c]:
            found.append(ClassGap(c, 0))
            continue
        spread = max(0.0, 1 - float((space.videos_NE[space.labels_N == c] @ space.centroids[c]).mean()))
        own = float(distance_K[c]) if np.isfinite(distance_K[c]) else None
        distance_K[c] = np.inf
        other = int(distance_K.argmin())
        rival = (other, float(distance_K[other])) if np.isfinite(distance_K[other]) else (None, None)
        found.append(ClassGap(c, int(space.sizes[c]), spread, own, *rival))
    return found


def silhouettes(space: UnitSpace, rng: np.random.Generator) -> tuple[DoubleArray, IntArray]:
    """Silhouettes (cosine distance) of labelled clips and their classes, of a sample where there are more than
    `MOST_CLIPS`; nothing unless there are two classes, one of them with two clips."""
    from sklearn.metrics import silhouette_samples

    labelled = np.flatnonzero(space.labels_N >= 0)
    rows = labelled[_sample(len(labelled), rng)]
    labels_n = space.labels_N[rows]
    if not 2 <= len(np.unique(labels_n)) < len(rows):
        return np.empty(0), np.empty(0, np.int64)
    return silhouette_samples(space.videos_NE[rows], labels_n, metric="cosine"), labels_n


# From space to space ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One number in several spaces.

    Attributes:
        name: the field of `Gap`.
        figure: what it means, and which direction is better.
        values: space -> the number, in the order of the spaces.
    """

    name: str
    figure: Definition
    values: dict[str, float | None]

    def between(self, before: str, after: str) -> float | None:
        """The number in one space less that in another; None where either is not defined."""
        a, b = self.values[before], self.values[after]
        return None if a is None or b is None else b - a

    def better(self, before: str, after: str) -> bool | None:
        """Whether `after` is better; None where they are equal, not defined, or no direction is better."""
        step = self.between(before, after)
        if not step or self.figure.better == "neither":
            return None
        return (step > 0) == (self.figure.better == "higher")


def changes(spaces: Mapping[str, Gap]) -> list[Change]:
    """A row for each number, with its values in all spaces: name -> numbers of the SAME clips there, in their order."""
    return [
        Change(name, figure, {space: getattr(one, name) for space, one in spaces.items()})
        for name, figure in FIGURES.items()
    ]


# The parts --------------------------------------------------------------------------------------------------------


def _modality_gap(space: UnitSpace) -> float | None:
    if not len(space.videos_NE) or not len(space.prototypes_PE):
        return None
    difference_E = space.videos_NE.mean(axis=0, dtype=np.float64) - space.prototypes_PE.mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(difference_E))


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
    rows = _sample(n, rng)
    shares_n: list[DoubleArray] = []
    for block in row_blocks(rows, n):
        anchors = np.arange(n)[block]
        similarity_nN = videos_NE[anchors] @ videos_NE.T
        similarity_nN[np.arange(len(anchors)), anchors] = -np.inf
        similarity_nN = similarity_nN.round(DECIMALS)  # equal vectors tie, however their product was summed
        bound_n1 = -np.partition(-similarity_nN, k - 1, axis=1)[:, k - 1 : k]
        same_nN = labels_N == labels_N[anchors, None]
        nearer_nN, tied_nN = similarity_nN > bound_n1, similarity_nN == bound_n1
        tied_share_n = (same_nN & tied_nN).sum(axis=1) / tied_nN.sum(axis=1)
        shares_n.append(((same_nN & nearer_nN).sum(axis=1) + (k - nearer_nN.sum(axis=1)) * tied_share_n) / k)
    purity_n = np.concatenate(shares_n) * videos_NE[rows].any(axis=1)  # without direction there are no neighbours
    return float(purity_n.mean()), float(((np.bincount(labels_N)[labels_N] - 1) / (n - 1)).mean()), k


def _hubness(space: UnitSpace, k: int) -> tuple[float | None, int]:
    """Skewness of N_k over prototypes, and the k it was taken at. A clip of similarities 0 is in no list."""
    from scipy.stats import skew

    n_prototypes = len(space.prototypes_PE)
    if not len(space.videos_NE) or not n_prototypes:
        return None, 0
    k = max(1, min(k, n_prototypes - 1))  # with all prototypes in every list, none could stand out
    occurrences_P = np.zeros(n_prototypes, np.int64)
    for rows in row_blocks(np.arange(len(space.videos_NE)), n_prototypes):
        similarity_nP = space.videos_NE[rows] @ space.prototypes_PE.T
        order_nk = np.argsort(-similarity_nP[similarity_nP.any(axis=1)], axis=1, kind="stable")[:, :k]
        occurrences_P += np.bincount(order_nk.ravel(), minlength=n_prototypes)
    return float(skew(occurrences_P)) if np.ptp(occurrences_P) else 0.0, k


def _alignment(space: UnitSpace) -> float | None:
    """Mean squared distance of clips and their own class's nearest prototype; both have a direction."""
    alive_P = space.prototypes_PE.any(axis=1)
    rows = np.flatnonzero(np.isin(space.labels_N, space.owner_P[alive_P]) & space.videos_NE.any(axis=1))
    total = 0.0
    for block in row_blocks(rows, len(space.owner_P)):
        similarity_nP = space.videos_NE[block] @ space.prototypes_PE.T
        similarity_nP[~alive_P | (space.labels_N[block][:, None] != space.owner_P)] = -np.inf
        total += float(np.clip(2 - 2 * similarity_nP.max(axis=1), 0, 4).sum(dtype=np.float64))
    return total / len(rows) if rows.size else None


def _uniformity(units_NE: FloatArray, rng: np.random.Generator, t: float = 2.0) -> float | None:
    """log E[exp(-t ||x - y||²)] over all pairs of different rows; None with fewer than two. Zero rows are left out."""
    rows = np.flatnonzero(units_NE.any(axis=1))
    rows = rows[_sample(len(rows), rng)]
    n = len(rows)
    if n < 2:
        return None
    units = units_NE[rows]
    total = -float(n)  # each row's pair with itself
    for block in row_blocks(np.arange(n), n):
        similarity_nn = np.clip(units[block] @ units.T, -1, 1).astype(np.float64)
        similarity_nn[np.arange(len(similarity_nn)), np.arange(n)[block]] = 1
        total += float(np.exp(-2 * t * (1 - similarity_nn)).sum())
    return min(float(np.log(total / (n * (n - 1)))), 0.0)


def _ranks(space: UnitSpace) -> dict[str, float]:
    """Ranks of clips among the classes that have a prototype, with the ties of `cezsar.zeroshot.evaluation`."""
    described = np.unique(space.owner_P)
    rows = np.flatnonzero(np.isin(space.labels_N, described))
    if not rows.size:
        return {}
    cosine_nP = space.videos_NE[rows] @ space.prototypes_PE.T
    cosine_nC = np.maximum.reduceat(cosine_nP, np.searchsorted(space.owner_P, described), axis=1)
    ahead_n = before_true(cosine_nC, np.searchsorted(described, space.labels_N[rows])).sum(axis=1)
    decided = cosine_nC.any(axis=1)
    rank_n = np.where(decided, ahead_n + 1, len(described) + 1)
    return {
        "rank_mean": float(rank_n.mean()),
        "rank_median": float(np.median(rank_n)),
        "mean_reciprocal_rank": float((decided / rank_n).mean()),
        "rank_1": float((decided & (rank_n <= 1)).mean()),
        "rank_5": float((decided & (rank_n <= 5)).mean()),
    }


def _among_centroids(space: UnitSpace) -> dict[str, float]:
    """Prototypes whose class has clips, among the centroids of classes. One without direction is on none."""
    rows = np.flatnonzero(space.sizes[space.owner_P])
    if not rows.size:
        return {}
    own_P = space.owner_P[rows]
    distance_PC = 1 - np.clip(space.prototypes_PE[rows].astype(np.float64) @ space.centroids.T, -1, 1)
    distance_PC[:, space.sizes == 0] = np.inf
    to_own_P = distance_PC[np.arange(len(rows)), own_P]
    found = {"prototype_to_own": float(to_own_P.mean())}
    if np.count_nonzero(space.sizes) > 1:
        on_own_P = (distance_PC.argmin(axis=1) == own_P) & space.prototypes_PE[rows].any(axis=1)
        distance_PC[np.arange(len(rows)), own_P] = np.inf
        found |= {
            "prototype_to_other": float(distance_PC.min(axis=1).mean()),
            "prototype_on_own": float(on_own_P.mean()),
        }
    return found


def _sample(n: int, rng: np.random.Generator) -> IntArray:
    """All of n rows, or `MOST_CLIPS` of them at random; ascending."""
    return np.arange(n) if n <= MOST_CLIPS else np.sort(rng.choice(n, MOST_CLIPS, replace=False))
