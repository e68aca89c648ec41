"""The semantic gap in numbers: how clips and class descriptions lie to each other, and which side is at fault. Only
directions count, as in Eq. 8 of Estevam et al., ICPR 2026; a zero vector has none, its similarity to everything is
0."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import before_true, decide, row_blocks

if TYPE_CHECKING:
    import pandas as pd

    from cezsar.zeroshot.scored import Cloud

Gap = dict[str, float | None]
"""Numbers of one space by name, those of `FIGURES` and some counts; None where one is not defined."""

DECIMALS = 6  # of similarities that are compared with each other; float32 has no more
MOST_CLIPS = 5_000  # more are sampled where the work grows with their square: silhouette, purity, uniformity
TOLERATED = 0.1  # a class with a smaller error is nobody's fault
BLAMED = 2 / 3  # a side that makes at least this share of a class's errors is alone at fault
HUB_DEVIATIONS = 2.0  # a hub draws more clips of other classes than the mean prototype by so many deviations


class Definition(NamedTuple):
    """What a number means, for a legend, a tooltip or a table's head."""

    title: str
    range: str
    better: str  # "higher", "lower" or "neither"
    source: str
    definition: str

    def improved(self, before: float | None, after: float | None) -> bool | None:
        """Whether `after` is better; None where nothing changed, one is not defined, or no direction is better."""
        if before is None or after is None or before == after or self.better == "neither":
            return None
        return (after > before) == (self.better == "higher")


_EQ8 = "Eq. 8 of Estevam et al., ICPR 2026"
_MEAN = f"{_EQ8}, for the mean clip"
_HUBS = "Radovanović et al., Hubs in Space, JMLR 11, 2010"
_WANG = "Wang and Isola, Understanding Contrastive Representation Learning, ICML 2020"

FIGURES = {
    "modality_gap": Definition("modality gap", "0 to 2", "lower", "Liang et al., Mind the Gap, NeurIPS 2022",
        "Euclidean distance between the mean of the clips' unit vectors and the mean of the prototypes' unit vectors"),
    "silhouette": Definition("silhouette", "-1 to 1; 0 when classes overlap", "higher",
        "Rousseeuw, J. Comput. Appl. Math. 20, 1987",
        "how much nearer a clip is to its own class than to the nearest other, in cosine distance, mean over clips"),
    "purity": Definition("purity of neighbours", "0 to 1; beside it what chance gives", "higher",
        "k-nearest-neighbour consistency: Ding and He, SAC 2004",
        "share of a clip's k nearest clips (cosine) that are of its own class, mean over clips"),
    "purity_by_chance": Definition("purity by chance", "0 to 1", "neither", "counting",
        "the purity expected if the neighbours were drawn at random: share of the other clips of the clip's class"),
    "nearest_prototype": Definition("clips on their own prototype", "0 to 1; chance is 1 / classes", "higher", _EQ8,
        "share of clips whose nearest prototype is their own class's: top-1 accuracy of this space alone"),
    "rank_mean": Definition("mean rank", "1 to classes + 1; chance is (classes + 1) / 2", "lower", "counting",
        "1 + the number of classes before the true one, classes + 1 for an undecided clip, mean over clips"),
    "hubness_1": Definition("hubness, nearest",
        "unbounded; 0 when no prototype stands out, above 1 when a few attract most clips", "lower", _HUBS,
        "skewness of the number of clips that have a prototype as their nearest one"),
    "biggest_hub_share": Definition("biggest hub", "1 / classes to 1", "lower", _HUBS,
        "share of clips that are nearest to one class, the one with most of them; near 1 when training collapsed"),
    "alignment": Definition("alignment", "0 to 4; 2 when they are orthogonal", "lower", f"{_WANG}, with α = 2",
        "squared Euclidean distance between a clip's unit vector and its class's nearest prototype, mean over clips"),
    "uniformity_clips": Definition("uniformity of clips",
        "-8 to 0; 0 when all are one point, about -4 when they are spread over the sphere", "lower",
        f"{_WANG}, with t = 2",
        "log of the mean of exp(-2 d²) over pairs of clips, d the Euclidean distance between their unit vectors"),
    "prototype_to_own": Definition("prototype to its own centroid", "0 to 2", "lower", _MEAN,
        "cosine distance from a prototype to the centroid of its class (mean of its clips' unit vectors), mean over "
        "prototypes of classes with clips"),
    "prototype_to_other": Definition("prototype to the nearest other centroid",
        "0 to 2; below the distance to its own centroid, descriptions point at other classes", "higher", _MEAN,
        "cosine distance from a prototype to the nearest centroid of another class, mean over the same prototypes"),
}  # fmt: skip
"""What the numbers of `measure` mean."""


def directions(rows_NE: npt.ArrayLike, what: str) -> FloatArray:
    """Rows of length 1; a zero row stays. Raises `InputError`, which calls the rows `what`, for NaN and infinity."""
    rows = np.asarray(rows_NE, np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(f"row {bad[0]} of the {what} has NaN or infinite numbers; compute it again, or leave it out")
    peak_N1 = np.abs(rows).max(axis=1, keepdims=True, initial=0)  # first: squares of large numbers overflow
    scaled: FloatArray = np.divide(rows, np.where(peak_N1 > 0, peak_N1, 1), dtype=np.float32)
    return unit_rows(scaled)


class UnitSpace:
    """N clips and the P prototypes of C classes in one space, as unit vectors, and what is nearest to what."""

    def __init__(self, cloud: Cloud, labels_N: IntArray, prototype_class_P: IntArray, n_classes: int) -> None:
        self.labels_N = labels_N  # -1 for clips of unknown class
        self.videos_NE, units_PE = directions(cloud.videos_NE, "clips"), directions(cloud.prototypes_PE, "prototypes")
        owner_P = prototype_class_P[: len(units_PE)]  # there may be no prototypes
        # As in Scores: a zero prototype would win over negative cosines, so it stays only if its class has no other.
        alive_P = units_PE.any(axis=1)
        kept = np.flatnonzero(alive_P | ~np.isin(owner_P, owner_P[alive_P]))
        kept = kept[np.argsort(owner_P[kept], kind="stable")]
        self.prototypes_PE, self.owner_P = units_PE[kept], owner_P[kept]  # in the order of classes
        # Of each clip the cosine to the K classes that have a prototype, and the nearest of them; -1 where all are 0.
        self.described_K, starts = np.unique(self.owner_P, return_index=True)
        self.cosine_NK = np.empty((len(self.videos_NE), len(self.described_K)), np.float32)
        self.nearest_N = np.full(len(self.videos_NE), -1)
        if self.described_K.size:
            for rows in row_blocks(np.arange(len(self.videos_NE)), len(kept)):
                cosine_nP = self.videos_NE[rows] @ self.prototypes_PE.T
                self.cosine_NK[rows] = np.maximum.reduceat(cosine_nP, starts, axis=1)
            self.nearest_N = decide(self.cosine_NK, self.described_K)
        # Classes: how many clips, the sum of their unit vectors, and its direction, which is 0 without clips.
        known = self.labels_N >= 0
        self.sizes_C = np.bincount(self.labels_N[known], minlength=n_classes)
        self.sums_CE = np.zeros((n_classes, self.videos_NE.shape[1]))
        np.add.at(self.sums_CE, self.labels_N[known], self.videos_NE[known])
        self.centroids_CE = unit_rows(self.sums_CE)


def measure(space: UnitSpace, k: int = 10, seed: int = 0) -> Gap:
    """`FIGURES` of one space, None where one is not defined; beside them "clips", "k" (neighbours that purity looks at)
    and "biggest_hub", a class. Clips without a label count in modality gap, hubness and uniformity only; `seed` draws
    clips above `MOST_CLIPS`."""
    from scipy.stats import skew

    rng = np.random.default_rng(seed)
    found: Gap = dict.fromkeys(("clips", "k", "biggest_hub", *FIGURES)) | {"clips": len(space.videos_NE)}
    found |= _among_clips(space, k, rng) | _ranks(space) | _among_centroids(space)
    if len(space.videos_NE) and len(space.owner_P):
        means = (rows.mean(axis=0, dtype=np.float64) for rows in (space.videos_NE, space.prototypes_PE))
        found["modality_gap"] = float(np.linalg.norm(np.subtract(*means)))
        nearest_of = np.zeros(len(space.owner_P), np.int64)
        for rows in row_blocks(np.arange(len(space.videos_NE)), len(nearest_of)):
            similarity_nP = space.videos_NE[rows] @ space.prototypes_PE.T
            nearest_n = similarity_nP[similarity_nP.any(axis=1)].argmax(axis=1)
            nearest_of += np.bincount(nearest_n, minlength=len(nearest_of))
        found["hubness_1"] = float(skew(nearest_of)) if np.ptp(nearest_of) else 0.0
    if (space.nearest_N >= 0).any():
        votes_C = np.bincount(space.nearest_N[space.nearest_N >= 0])
        found |= {"biggest_hub": int(votes_C.argmax()), "biggest_hub_share": float(votes_C.max() / votes_C.sum())}
    alive = np.flatnonzero(space.videos_NE.any(axis=1))
    units_nE = space.videos_NE[alive[_sample(len(alive), np.random.default_rng(seed))]]
    if (n := len(units_nE)) > 1:
        kernel_nn = np.exp(4 * np.clip(units_nE @ units_nE.T, -1, 1).astype(np.float64) - 4)
        np.fill_diagonal(kernel_nn, 0)  # no clip's pair with itself
        found["uniformity_clips"] = min(float(np.log(kernel_nn.sum() / (n * (n - 1)))), 0.0)
    return found


def per_class(space: UnitSpace) -> pd.DataFrame:
    """Each class's part of the gap, NaN where not defined; cosine distances, 0 to 2, from the centroid of its clips:
    "clips", "spread" (mean distance of these), "own_distance" (to its own nearest prototype), "nearest_other" (the
    class of the nearest other prototype; -1 for none), "nearest_other_distance", and "lead", the difference, below 0
    where the centroid is misplaced."""
    import pandas as pd

    n_classes, empty_C = len(space.sizes_C), space.sizes_C == 0
    distance_CK = np.full((n_classes, n_classes), np.inf)  # to the nearest prototype of a class
    similarity_CP = space.centroids_CE @ space.prototypes_PE.T.astype(np.float64)
    np.minimum.at(distance_CK.T, space.owner_P, 1 - np.clip(similarity_CP.T, -1, 1))
    distance_CK[empty_C] = np.inf
    own_C = distance_CK.diagonal().copy()
    np.fill_diagonal(distance_CK, np.inf)
    other_C = distance_CK.min(axis=1)
    spread_C = 1 - np.linalg.norm(space.sums_CE, axis=1) / np.maximum(space.sizes_C, 1)
    columns = {
        "clips": space.sizes_C, "spread": np.where(empty_C, np.nan, np.maximum(spread_C, 0)), "own_distance": own_C,
        "nearest_other": np.where(np.isfinite(other_C), distance_CK.argmin(axis=1), -1),
        "nearest_other_distance": other_C,
    }  # fmt: skip
    found = pd.DataFrame(columns).replace(np.inf, np.nan)
    return found.assign(lead=found.nearest_other_distance - found.own_distance)


def faults(space: UnitSpace) -> pd.DataFrame:
    """`per_class`, and for each class whose fault it is that clips are missed. Every clip is classified twice: by the
    nearest prototype, and by `nearest_centroid`, which shows what the visual side would allow if descriptions were
    perfect.

    A class's clips are "right", "rescued" (by the prototype alone), "text_errors" (right by the centroid alone) or
    "video_errors"; the shares are "text_fault", "video_fault" and "error", their sum; "verdict" is "text", "video",
    "both" or "none". All are NaN ("" the verdict) without a prototype, or with fewer than two clips. "drawn": clips of
    other classes nearest to its prototype; "hub": far more than usual; "orphan": no clip at all is nearest to it.
    """
    found, n_classes = per_class(space), len(space.sizes_C)
    text_N, video_N = space.nearest_N == space.labels_N, nearest_centroid(space) == space.labels_N
    described_C = np.isin(np.arange(n_classes), space.described_K)
    judged_C = described_C & (space.sizes_C > 1)

    def count(classes_N: IntArray) -> IntArray:
        return np.bincount(classes_N[classes_N >= 0], minlength=n_classes)

    counts_C4, labelled = np.zeros((n_classes, 4)), space.labels_N >= 0
    np.add.at(counts_C4, (space.labels_N[labelled], (2 * ~text_N + ~video_N)[labelled]), 1)
    found[["right", "rescued", "text_errors", "video_errors"]] = np.where(judged_C[:, None], counts_C4, np.nan)
    errors = found.text_errors + found.video_errors
    found["text_fault"], found["video_fault"] = found.text_errors / found.clips, found.video_errors / found.clips
    found["error"] = errors / found.clips
    found["verdict"] = "both"
    found.loc[found.video_errors >= BLAMED * errors, "verdict"] = "video"
    found.loc[found.text_errors >= BLAMED * errors, "verdict"] = "text"
    found.loc[errors < TOLERATED * found.clips, "verdict"] = "none"
    found.loc[~judged_C, "verdict"] = ""
    found["drawn"] = count(space.nearest_N[labelled & ~text_N])
    usual = found.drawn[described_C]
    found["hub"] = found.drawn > usual.mean() + HUB_DEVIATIONS * usual.std(ddof=0)
    found["orphan"] = described_C & (count(space.nearest_N) == 0)
    return found


def nearest_centroid(space: UnitSpace) -> IntArray:
    """(N,) class of each labelled clip's nearest centroid, its own class's without the clip, x·(S - x) = x·S - x·x for
    a sum S of unit vectors; -1 for other clips. A class whose only clip is x cannot win. Of equal similarities the
    lowest index wins."""
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


class ByExample(NamedTuple):
    """Classes shown by examples: the directions of their mean unit vectors, and how near these are to descriptions."""

    prototypes_CE: DoubleArray  # of length 1; 0 without clips
    clips_C: IntArray  # how many examples each has
    cosine_C: DoubleArray  # to the class's own nearest prototype, -1 to 1; NaN without clips, or a description

    @property
    def mean(self) -> float | None:
        """Of the cosines that are defined."""
        known = self.cosine_C[~np.isnan(self.cosine_C)]
        return float(known.mean()) if len(known) else None


def by_examples(space: UnitSpace, most: int | None = None, seed: int = 0) -> ByExample:
    """Each class shown by `most` of its clips, drawn by `seed`, or by all of them. The fewer are those of the more."""
    mixed = np.random.default_rng(seed).permutation(np.flatnonzero(space.labels_N >= 0))
    own = [mixed[space.labels_N[mixed] == index][:most] for index in range(len(space.sizes_C))]
    means_CE = np.zeros((len(own), space.videos_NE.shape[1]))
    for index, rows in enumerate(own):
        if len(rows):
            means_CE[index] = space.videos_NE[rows].mean(axis=0, dtype=np.float64)
    units_CE = unit_rows(means_CE)
    cosine_C = np.full(len(own), -np.inf)
    np.maximum.at(cosine_C, space.owner_P, np.einsum("pe,pe->p", units_CE[space.owner_P], space.prototypes_PE))
    clips_C = np.array(list(map(len, own)), np.int64)
    cosine_C[(clips_C == 0) | np.isinf(cosine_C)] = np.nan
    return ByExample(units_CE, clips_C, cosine_C)


def _among_clips(space: UnitSpace, k: int, rng: np.random.Generator) -> Gap:
    """Purity of a sample of clips, what chance gives, and silhouette. Clips that tie at the k-th place share what is
    left."""
    from sklearn.metrics import silhouette_samples

    labelled = np.flatnonzero(space.labels_N >= 0)
    videos_NE, labels_N, n = space.videos_NE[labelled], space.labels_N[labelled], len(labelled)
    if n < 2:
        return {"k": 0}
    k, rows = min(k, n - 1), _sample(n, rng)
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
    by_chance = ((np.bincount(labels_N)[labels_N] - 1) / (n - 1)).mean()
    found: Gap = {"k": k, "purity": float(purity_n.mean()), "purity_by_chance": float(by_chance)}
    rows = _sample(n, rng)
    if 2 <= len(np.unique(labels_N[rows])) < len(rows):
        found["silhouette"] = float(silhouette_samples(videos_NE[rows], labels_N[rows], metric="cosine").mean())
    return found


def _ranks(space: UnitSpace) -> Gap:
    """Ranks of the true class among those that have a prototype, with the ties of `zeroshot.evaluation`; alignment, of
    clips and prototypes that both have a direction."""
    rows = np.flatnonzero(np.isin(space.labels_N, space.described_K))
    if not rows.size:
        return {}
    cosine_nK, true_n = space.cosine_NK[rows], np.searchsorted(space.described_K, space.labels_N[rows])
    decided_n = cosine_nK.any(axis=1)
    rank_n = np.where(decided_n, before_true(cosine_nK, true_n).sum(axis=1) + 1, len(space.described_K) + 1)
    alive = np.unique(space.owner_P[space.prototypes_PE.any(axis=1)])
    alive_n = np.isin(space.labels_N[rows], alive) & space.videos_NE[rows].any(axis=1)
    apart_n = np.clip(2 - 2 * cosine_nK[np.arange(len(rows)), true_n][alive_n], 0, 4)
    alignment = float(apart_n.mean(dtype=np.float64)) if apart_n.size else None
    first = float((decided_n & (rank_n == 1)).mean())
    return {"alignment": alignment, "rank_mean": float(rank_n.mean()), "nearest_prototype": first}


def _among_centroids(space: UnitSpace) -> Gap:
    """Prototypes whose class has clips, among the centroids of classes."""
    rows = np.flatnonzero(space.sizes_C[space.owner_P])
    if not rows.size:
        return {}
    own = np.arange(len(rows)), space.owner_P[rows]
    distance_PC = 1 - np.clip(space.prototypes_PE[rows].astype(np.float64) @ space.centroids_CE.T, -1, 1)
    distance_PC[:, space.sizes_C == 0] = np.inf
    found: Gap = {"prototype_to_own": float(distance_PC[own].mean())}
    if np.count_nonzero(space.sizes_C) > 1:
        distance_PC[own] = np.inf
        found["prototype_to_other"] = float(distance_PC.min(axis=1).mean())
    return found


def _sample(n: int, rng: np.random.Generator) -> IntArray:
    """All of n rows, or `MOST_CLIPS` of them at random; ascending."""
    return np.arange(n) if n <= MOST_CLIPS else np.sort(rng.choice(n, MOST_CLIPS, replace=False))
