"""How clips and descriptions lie to each other: alignment, uniformity, ranks, prototypes among centroids; and what one
space gains on another. Figures that stand beside those of `cezsar.analysis.gap`, in its manner.

Directions only, as there. A zero vector has none: it is left out of alignment and uniformity, and is near nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cezsar.analysis import gap
from cezsar.analysis.gap import Figure, Gap, Space, sample_clips
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import ranks
from cezsar.zeroshot.fusion import Weights, active, row_blocks
from cezsar.zeroshot.scores import Scores

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

NOT_TESTED = 0
"""Instead of a rank: the clip's label is unknown, or none of the classes."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How well clips and descriptions are aligned in one space. `FIGURES` says what each number means.

    A number is None where it is not defined: without prototypes, without labels, with one vector only.

    Attributes:
        clips: number of clips, those without a label included.
        prototypes: number of prototypes that were compared.
    """

    clips: int
    prototypes: int
    alignment: float | None
    uniformity_clips: float | None
    uniformity_prototypes: float | None
    rank_mean: float | None
    rank_median: float | None
    mean_reciprocal_rank: float | None
    rank_1: float | None
    rank_5: float | None
    prototype_to_own: float | None
    prototype_to_other: float | None
    prototype_on_own: float | None


_WANG = "Wang and Isola, Understanding Contrastive Representation Learning, ICML 2020"
_RANK = "Its rank is 1 + the number of classes before it; the rank of an undecided clip is classes + 1"

FIGURES = {
    "alignment": Figure(
        "alignment",
        "squared Euclidean distance between a clip's unit vector and its class's nearest prototype, mean over clips",
        "0 to 4; 2 when they are orthogonal",
        "lower",
        f"{_WANG}, with α = 2",
    ),
    "uniformity_clips": Figure(
        "uniformity of clips",
        "log of the mean of exp(-2 d²) over pairs of clips, d the Euclidean distance between their unit vectors",
        "-8 to 0; 0 when all are one point, about -4 when they are spread over the sphere",
        "lower",
        f"{_WANG}, with t = 2",
    ),
    "uniformity_prototypes": Figure(
        "uniformity of prototypes",
        "log of the mean of exp(-2 d²) over pairs of prototypes, d the Euclidean distance between their unit vectors",
        "-8 to 0; 0 when all are one point, about -4 when they are spread over the sphere",
        "lower",
        f"{_WANG}, with t = 2",
    ),
    "rank_mean": Figure(
        "mean rank",
        f"rank of the true class among all classes, mean over clips. {_RANK}",
        "1 to classes + 1; chance is (classes + 1) / 2",
        "lower",
        "counting",
    ),
    "rank_median": Figure(
        "median rank",
        f"rank of the true class among all classes, median over clips. {_RANK}",
        "1 to classes + 1",
        "lower",
        "counting",
    ),
    "mean_reciprocal_rank": Figure(
        "mean reciprocal rank",
        "1 / rank of the true class, mean over clips; an undecided clip adds 0",
        "0 to 1",
        "higher",
        "Voorhees, The TREC-8 Question Answering Track Report, 1999",
    ),
    "rank_1": Figure(
        "true class first",
        "share of clips whose true class has rank 1: top-1 accuracy",
        "0 to 1; chance is 1 / classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026",
    ),
    "rank_5": Figure(
        "true class among five",
        "share of clips whose true class has a rank up to 5: top-5 accuracy",
        "0 to 1; chance is 5 / classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026",
    ),
    "prototype_to_own": Figure(
        "prototype to its own centroid",
        "cosine distance from a prototype to the centroid of its class (mean of its clips' unit vectors), mean over "
        "prototypes of classes with clips",
        "0 to 2",
        "lower",
        "Eq. 8 of Estevam et al., ICPR 2026, for the mean clip",
    ),
    "prototype_to_other": Figure(
        "prototype to the nearest other centroid",
        "cosine distance from a prototype to the nearest centroid of another class, mean over the same prototypes",
        "0 to 2; below the distance to its own centroid, descriptions point at other classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026, for the mean clip",
    ),
    "prototype_on_own": Figure(
        "prototypes on their own centroid",
        "share of these prototypes that are nearer to the centroid of their class than to any other",
        "0 to 1; chance is 1 / classes",
        "higher",
        "Eq. 8 of Estevam et al., ICPR 2026, from the side of the text",
    ),
}
"""Field of `Alignment` -> what it means."""


def measure(
    videos_NE: npt.ArrayLike,
    label_index_N: npt.ArrayLike,
    prototypes_PE: npt.ArrayLike | None,
    prototype_class_P: npt.ArrayLike | None,
    n_classes: int,
    rng: np.random.Generator | None = None,
) -> Alignment:
    """The alignment of clips and descriptions in one space; arguments and errors as in `gap.measure`.

    Args:
        rng: draws the clips (and the prototypes) for uniformity where there are more than `gap.MOST_CLIPS`; seeded
            with 0 by default.
    """
    rng = rng or np.random.default_rng(0)
    space = Space(videos_NE, label_index_N, prototypes_PE, prototype_class_P, n_classes)
    found = dict.fromkeys(FIGURES) | {
        "alignment": _alignment(space),
        "uniformity_clips": uniformity(space.videos_NE, rng),
        "uniformity_prototypes": uniformity(space.prototypes_PE, rng),
    }
    described = np.unique(space.owner_P)
    if described.size:
        found |= rank_figures(_ranks_in(space, described), described.size)
    return Alignment(len(space.videos_NE), len(space.owner_P), **(found | _among_centroids(space)))


def uniformity(units_NE: FloatArray, rng: np.random.Generator | None = None, t: float = 2.0) -> float | None:
    """log E[exp(-t ||x - y||²)] over all pairs of different rows; None with fewer than two. Zero rows are left out.

    Args:
        units_NE: rows of length 1, or 0.
        rng: draws the rows where there are more than `gap.MOST_CLIPS`; seeded with 0 by default.
    """
    rows = np.flatnonzero(units_NE.any(axis=1))
    rows = rows[sample_clips(len(rows), rng or np.random.default_rng(0))]
    n = len(rows)
    if n < 2:
        return None
    units = units_NE[rows]
    total = 0.0
    for block in row_blocks(np.arange(n), n):
        similarity_nn = np.clip(units[block] @ units.T, -1, 1)
        potential_nn = np.exp(-2 * t * (1 - similarity_nn.astype(np.float64)))
        inside = np.arange(n)[block]
        total += float(potential_nn.sum() - potential_nn[np.arange(len(inside)), inside].sum())
    return min(float(np.log(total / (n * (n - 1)))), 0.0)


def true_ranks(scores: Scores, weights: Weights | None = None, classes: Sequence[str] | None = None) -> IntArray:
    """(N,) rank of each clip's true class by fused scores, from 1, with the ties of `cezsar.zeroshot.evaluation`.

    Args:
        weights: α, β, γ; the paper's by default.
        classes: K names in any spelling, among which it is ranked; all by default.

    Returns:
        Ranks; K + 1 for an undecided clip, `NOT_TESTED` (0) for one whose label is none of the classes.

    Raises:
        InputError: an unknown class, or weights that leave no modality.
    """
    index = {name: position for position, name in enumerate(scores.class_names)}
    chosen = [index[name] for name in resolve(scores.class_names if classes is None else classes, scores.class_names)]
    ranks_N = np.full(len(scores.ids), NOT_TESTED, np.int64)
    for part in ranks(scores, active(scores, weights or Weights()), [chosen]):
        rank_n = np.where(part.decided_nR[:, 0], part.ahead_nR[:, 0] + 1, len(chosen) + 1)
        ranks_N[part.rows] = np.where(part.tested_nR[:, 0], rank_n, NOT_TESTED)
    return ranks_N


def rank_figures(ranks_N: npt.ArrayLike, n_classes: int) -> dict[str, float | None]:
    """The five figures of ranks, by their names in `FIGURES`; None each without a tested clip.

    Args:
        ranks_N: as `true_ranks` gives them, among `n_classes`.

    Raises:
        InputError: ranks outside 0...n_classes + 1.
    """
    every = np.asarray(ranks_N, np.int64)
    if every.size and not 0 <= every.min() <= every.max() <= n_classes + 1:
        raise InputError(f"ranks among {n_classes:,} classes are from 1 to {n_classes + 1:,}, or {NOT_TESTED}")
    tested = every[every != NOT_TESTED]
    if not tested.size:
        return dict.fromkeys(("rank_mean", "rank_median", "mean_reciprocal_rank", "rank_1", "rank_5"))
    decided = tested <= n_classes
    return {
        "rank_mean": float(tested.mean()),
        "rank_median": float(np.median(tested)),
        "mean_reciprocal_rank": float((decided / tested).mean()),
        "rank_1": float((decided & (tested <= 1)).mean()),
        "rank_5": float((decided & (tested <= 5)).mean()),
    }


def hubness(scores_NC: npt.ArrayLike, k: int = 1) -> float | None:
    """Skewness over classes of the number of clips that have a class among their k best, of whatever scores.

    `gap.measure` gives it for vectors; this is for scores that no vectors have, such as corrected ones. Clips whose
    scores are all exactly 0 have no best class. None without clips or classes; 0 where no class stands out. It has no
    scale: a single hub that draws half as many clips as before can be as skew; look at its share of clips, too.

    Raises:
        InputError: no matrix, NaN, or a k below 1.
    """
    scores = np.asarray(scores_NC)
    if scores.ndim != 2 or not np.isfinite(scores).all() or k < 1:
        raise InputError(f"hubness among the {k} best needs finite scores, clips x classes, and k from 1")
    if not scores.size:
        return None
    k = max(1, min(k, scores.shape[1] - 1))  # with all classes in every list, none could stand out
    best_nk = np.argsort(-scores[scores.any(axis=1)], axis=1, kind="stable")[:, :k]
    return gap.skewness(np.bincount(best_nk.ravel(), minlength=scores.shape[1]))


# From space to space ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One number in several spaces.

    Attributes:
        name: the field of `Gap` or `Alignment`.
        figure: what it means, and which direction is better.
        values: space -> the number, in the order of the spaces.
    """

    name: str
    figure: Figure
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

    @property
    def steps(self) -> list[tuple[str, str, float | None]]:
        """(from, to, change) of each space and the next one."""
        names = list(self.values)
        return [(a, b, self.between(a, b)) for a, b in pairwise(names)]


def changes(spaces: Mapping[str, Gap] | Mapping[str, Alignment]) -> list[Change]:
    """A row for each number of `Gap` or `Alignment`, with its values in all spaces.

    Args:
        spaces: name -> numbers of the SAME clips there, in the order of the way: "raw", "sentence", "joint".

    Raises:
        InputError: no space, numbers of both kinds, or of different numbers of clips.
    """
    found: list[Gap | Alignment] = list(spaces.values())
    if not found or len({(type(one), one.clips) for one in found}) > 1:
        raise InputError("spaces can be compared by the same numbers of the same clips; measure them on the same rows")
    figures = gap.FIGURES if isinstance(found[0], Gap) else FIGURES
    return [
        Change(name, figure, {space: getattr(one, name) for space, one in spaces.items()})
        for name, figure in figures.items()
    ]


# The parts --------------------------------------------------------------------------------------------------------


def _alignment(space: Space) -> float | None:
    """Mean squared distance of clips and their own class's nearest prototype; both have a direction."""
    alive_P = space.prototypes_PE.any(axis=1)
    rows = np.flatnonzero(np.isin(space.labels_N, space.owner_P[alive_P]) & space.videos_NE.any(axis=1))
    if not rows.size:
        return None
    total = 0.0
    for block in row_blocks(rows, len(space.owner_P)):
        similarity_nP = space.videos_NE[block] @ space.prototypes_PE.T
        similarity_nP[~alive_P | (space.labels_N[block][:, None] != space.owner_P)] = -np.inf
        total += float(np.clip(2 - 2 * similarity_nP.max(axis=1), 0, 4).sum(dtype=np.float64))
    return total / len(rows)


def _ranks_in(space: Space, described: IntArray) -> IntArray:
    """Ranks of clips among the classes that have a prototype; the scores are cosine similarities."""
    starts = np.searchsorted(space.owner_P, described)
    cosine_NC = np.maximum.reduceat(space.videos_NE @ space.prototypes_PE.T, starts, axis=1)
    ids = [str(row) for row in range(len(space.videos_NE))]
    labels = ["" if label < 0 else str(label) for label in space.labels_N]
    return true_ranks(Scores(ids, labels, [str(c) for c in described], {"VE": cosine_NC}), Weights.only("VE"))


def _among_centroids(space: Space) -> dict[str, float | None]:
    """Prototypes whose class has clips, among the centroids of classes. One without direction is on none."""
    present, place_N = np.unique(space.labels_N, return_inverse=True)
    sums_CE = np.zeros((len(present), space.videos_NE.shape[1]))
    np.add.at(sums_CE, place_N.ravel(), space.videos_NE)
    known = present >= 0
    present, sums_CE = present[known], sums_CE[known]
    names = ("prototype_to_own", "prototype_to_other", "prototype_on_own")
    rows = np.flatnonzero(np.isin(space.owner_P, present))
    if not rows.size:
        return dict.fromkeys(names)
    norms_C1 = np.linalg.norm(sums_CE, axis=1, keepdims=True)
    centroids_CE = sums_CE / np.where(norms_C1 > 0, norms_C1, 1)
    distance_PC = 1 - np.clip(space.prototypes_PE[rows].astype(np.float64) @ centroids_CE.T, -1, 1)
    own = np.searchsorted(present, space.owner_P[rows])
    own_P = distance_PC[np.arange(len(rows)), own]
    if len(present) == 1:
        return dict.fromkeys(names) | {"prototype_to_own": float(own_P.mean())}
    alive_P = space.prototypes_PE[rows].any(axis=1)
    on_own = float(((distance_PC.argmin(axis=1) == own) & alive_P).mean())
    distance_PC[np.arange(len(rows)), own] = np.inf
    return dict(zip(names, (float(own_P.mean()), float(distance_PC.min(axis=1).mean()), on_own), strict=True))
