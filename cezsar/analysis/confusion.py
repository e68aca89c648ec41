"""Confusion: which classes are taken for which, which of them make hard groups, and what a group costs.

A confusion matrix is (K, K) counts of clips, rows true and columns predicted, as
`cezsar.zeroshot.evaluation.confusion_matrix` makes it: clips that nothing speaks for are in no cell, so a row's sum is
what its shares are taken of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cezsar.analysis.gap import directions
from cezsar.data.labels import canonical, resolve, spoken
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PAPER_GROUPS: dict[str, list[str]] = {
    "horses": ["horse riding", "horse race"],
    "gymnastics": ["pommel horse", "balance beam", "floor gymnastics"],
    "basketball": ["basketball", "basketball dunk"],
    "boxing": ["boxing punching bag", "boxing speed bag"],
    "face": ["apply eye makeup", "apply lipstick", "brushing teeth"],
    "hair": ["blow dry hair", "haircut", "head massage"],
}
"""The six hard groups of UCF-101, fifteen classes ("hard-15"), of Estevam et al., ICPR 2026."""

FIGURE_1 = ["horse riding", "horse race", "pommel horse", "balance beam"]
"""The classes of Figure 1 of Estevam et al., ICPR 2026."""

QUICK_TO_ORDER = 400
"""Up to this many classes the leaves of the clustering are put in the optimal order, too."""

FUNCTION_WORDS = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "off", "on", "or", "out", "over", "the", "to",
     "up", "with", "without"]
)  # fmt: skip
"""Words that do not make a name when classes share them."""


@dataclass(frozen=True)
class Pair:
    """Clips of class `true` that were taken for class `predicted`.

    Attributes:
        count: how many.
        share: of the clips of class `true`, from 0 to 1.
        reverse: clips of `predicted` that were taken for `true`.
    """

    true: str
    predicted: str
    count: int
    share: float
    reverse: int


@dataclass(frozen=True)
class GroupFigures:
    """What becomes of the clips of a group of classes. The three shares sum to 1; they are None without clips.

    A class in no group is alone: all its errors are between groups.

    Attributes:
        kind: "group"; "rest" for the classes in no group; "total" for all classes.
        group: its name; None for the rest and the total.
        classes: whose clips these are.
        clips: how many.
        accuracy: share that was classified right.
        within: share that was taken for another class of the same group (in the total: of any group the two share).
        between: share that was taken for any other class.
    """

    kind: Literal["group", "rest", "total"]
    group: str | None
    classes: list[str]
    clips: int
    accuracy: float | None
    within: float | None
    between: float | None


def pairs(confusion_KK: npt.ArrayLike, classes: Sequence[str]) -> list[Pair]:
    """Every pair of classes that was confused at least once, the most clips first.

    Of equal counts, the larger share of the true class comes first, then the order of `classes`.
    """
    counts_KK = _counts(confusion_KK, classes)
    shares_KK = row_normalised(counts_KK)
    found = [
        Pair(classes[t], classes[p], int(counts_KK[t, p]), float(shares_KK[t, p]), int(counts_KK[p, t]))
        for t, p in np.argwhere(counts_KK)
        if t != p
    ]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share))


def row_normalised(confusion_KK: npt.ArrayLike) -> DoubleArray:
    """(K, K) shares of the true class's clips: each row sums to 1; the row of a class without clips is 0."""
    counts_KK = np.asarray(confusion_KK, np.float64)
    sums_K1 = counts_KK.sum(axis=1, keepdims=True)
    return counts_KK / np.where(sums_K1 > 0, sums_K1, 1)


def difference(a_KK: npt.ArrayLike, b_KK: npt.ArrayLike) -> DoubleArray:
    """(K, K) row-normalised b less row-normalised a: above 0 where b has more, such as after a change of weights.

    Raises:
        InputError: matrices of different size.
    """
    a, b = row_normalised(a_KK), row_normalised(b_KK)
    if a.shape != b.shape:
        raise InputError(f"confusion matrices of {a.shape} and {b.shape} classes cannot be compared; choose one split")
    return b - a


def similarity_order(similarity_KK: npt.ArrayLike) -> IntArray:
    """(K,) an order of the classes in which look-alikes are neighbours, for the rows and columns of a matrix.

    The leaves of an average-linkage clustering, turned so that neighbours are as similar as can be (Bar-Joseph et al.,
    Bioinformatics 17, 2001) where there are at most `QUICK_TO_ORDER`.

    Args:
        similarity_KK: the larger the more alike, on any scale; both directions of a pair are averaged.

    Raises:
        InputError: not square, or NaN and infinite numbers.
    """
    similarity = _symmetric(similarity_KK)
    n = len(similarity)
    if n < 3:
        return np.arange(n)
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance_KK = similarity.max() - similarity
    np.fill_diagonal(distance_KK, 0)
    tree = linkage(squareform(distance_KK, checks=False), "average", optimal_ordering=n <= QUICK_TO_ORDER)
    return leaves_list(tree).astype(np.int64)


def prototype_similarity(prototypes_PE: npt.ArrayLike, prototype_class_P: npt.ArrayLike, n: int) -> DoubleArray:
    """(n, n) cosine similarity of classes by their prototypes, that of the nearest two where they have several.

    Classes without a prototype, or whose prototypes are all zero, have similarity 0 to all, themselves included.

    Raises:
        InputError: parts that do not fit together, or NaN.
    """
    units_PE = directions(prototypes_PE, "prototypes").astype(np.float64)
    owner_P = np.asarray(prototype_class_P, np.int64)
    if owner_P.shape != (len(units_PE),) or (owner_P.size and not 0 <= owner_P.min() <= owner_P.max() < n):
        raise InputError(
            f"{len(units_PE):,} prototypes do not go with their class indices, or these with {n:,} classes"
        )
    alive = units_PE.any(axis=1)
    units_PE, owner_P = units_PE[alive], owner_P[alive]
    similarity_nn = np.full((n, n), -np.inf)
    np.maximum.at(similarity_nn, (owner_P[:, None], owner_P[None, :]), np.clip(units_PE @ units_PE.T, -1, 1))
    return np.where(np.isfinite(similarity_nn), similarity_nn, 0)


def propose_groups(
    prototype_similarity_KK: npt.ArrayLike,
    confusion_KK: npt.ArrayLike,
    classes: Sequence[str],
    *,
    largest: int = 6,
    most: int = 12,
    blend: float = 0.5,
) -> dict[str, list[str]]:
    """Hard groups: clusters of classes whose prototypes are near and that are taken for each other.

    The affinity of two classes is (1 - blend) of their prototypes' similarity and blend of their confusion (mean of the
    two directions' shares), each stretched to 0...1 over all pairs. Clusters of highest mean affinity are merged while
    they stay within `largest` and stand out: above the mean of all pairs by a standard deviation. The groups are
    disjoint, and the same input gives the same groups.

    Args:
        prototype_similarity_KK: as `prototype_similarity` makes it.
        confusion_KK: counts, in the same order of classes.
        largest: classes in one group at most, from 2.
        most: groups at most, from 1.
        blend: 0 is by prototypes only, 1 by confusion only.

    Returns:
        Name -> classes, in the order of `classes`; strongest group first. A group is named after the words that all its
        members share, else after its most typical member. Empty where no pair stands out.

    Raises:
        InputError: matrices that do not go with the classes, or a setting out of its range.
    """
    if largest < 2 or most < 1 or not 0 <= blend <= 1:
        raise InputError(f"largest {largest}, most {most}, blend {blend}: give at least 2, at least 1, and from 0 to 1")
    similarity = _symmetric(prototype_similarity_KK)
    confusion = _symmetric(row_normalised(_counts(confusion_KK, classes)))
    if similarity.shape != confusion.shape:
        raise InputError(f"similarities of {len(similarity):,} classes do not go with {len(classes):,} classes")
    affinity_KK = (1 - blend) * _stretched(similarity) + blend * _stretched(confusion)
    clusters = [(_strength(affinity_KK, rows), rows) for rows in _clusters(affinity_KK, largest)]
    groups: dict[str, list[str]] = {}
    for _, rows in sorted(clusters, key=lambda cluster: (-cluster[0], cluster[1]))[:most]:
        members = [classes[row] for row in rows]
        typical = members[int(affinity_KK[np.ix_(rows, rows)].sum(axis=1).argmax())]
        names = (_shared_words(members), typical, f"{typical} and others")
        groups[next(name for name in names if name and name not in groups)] = members
    return groups


def group_confusion(
    confusion_KK: npt.ArrayLike, classes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[GroupFigures]:
    """For every group how its clips fare, then for the classes in no group, if there are any, then for all classes.

    Groups may overlap; each is judged by itself.

    Args:
        groups: name -> classes in any spelling, all of them among `classes`: see `matching_groups`.

    Raises:
        InputError: an unknown class, or a matrix that does not go with `classes`.
    """
    counts_KK = _counts(confusion_KK, classes)
    position = {name: index for index, name in enumerate(classes)}
    together_KK = np.eye(len(classes), dtype=bool)
    rest = set(range(len(classes)))
    found = []
    for name, members in groups.items():
        rows = sorted({position[member] for member in resolve(members, classes)})
        own_KK = np.zeros_like(together_KK)
        own_KK[np.ix_(rows, rows)] = True
        found.append(_figures("group", name, rows, counts_KK, own_KK, classes))
        together_KK |= own_KK
        rest -= set(rows)
    if rest:
        found.append(_figures("rest", None, sorted(rest), counts_KK, together_KK, classes))
    return [*found, _figures("total", None, list(range(len(classes))), counts_KK, together_KK, classes)]


def matching_groups(groups: Mapping[str, Sequence[str]], class_names: Sequence[str]) -> dict[str, list[str]]:
    """The groups of which at least two classes are among `class_names`, with these classes in that spelling."""
    by_key = {canonical(name): name for name in class_names}
    present = {
        name: list(dict.fromkeys(by_key[canonical(member)] for member in members if canonical(member) in by_key))
        for name, members in groups.items()
    }
    return {name: members for name, members in present.items() if len(members) > 1}


def clips_of(
    scores: Scores, weights: Weights, true: str, predicted: str, classes: Sequence[str] | None = None
) -> list[int]:
    """Rows of the clips in one cell of `zeroshot.evaluation.confusion_matrix`, ascending.

    Args:
        true, predicted: class names in any spelling, both among `classes`.
        classes: the classes to choose from, as in `confusion_matrix`; all by default.

    Raises:
        InputError: an unknown class, or weights that leave no modality.
    """
    names = resolve(scores.class_names if classes is None else classes, scores.class_names)
    index = {name: position for position, name in enumerate(scores.class_names)}
    row, column = (index[name] for name in resolve([true, predicted], names))
    predicted_N = predict(scores, weights, [index[name] for name in names])
    found: list[int] = np.flatnonzero((scores.label_index == row) & (predicted_N == column)).tolist()
    return found


def _counts(confusion_KK: npt.ArrayLike, classes: Sequence[str]) -> IntArray:
    counts_KK = np.asarray(confusion_KK)
    if counts_KK.shape != (len(classes), len(classes)) and (counts_KK.size or classes):
        raise InputError(f"a confusion matrix of shape {counts_KK.shape} does not go with {len(classes):,} classes")
    if not np.isfinite(counts_KK).all() or (counts_KK < 0).any() or (counts_KK != np.floor(counts_KK)).any():
        raise InputError("a confusion matrix holds counts of clips: whole numbers from 0; give the one not normalised")
    return counts_KK.astype(np.int64).reshape(len(classes), len(classes))


def _symmetric(matrix_KK: npt.ArrayLike) -> DoubleArray:
    """Mean of a square matrix and its transpose."""
    matrix = np.asarray(matrix_KK, np.float64)
    if matrix.ndim != 2 or len(matrix) != len(matrix.T) or not np.isfinite(matrix).all():
        raise InputError(f"similarities of shape {matrix.shape} should be square and finite; compute them again")
    return (matrix + matrix.T) / 2


def _stretched(matrix_KK: DoubleArray) -> DoubleArray:
    """Pairs of different classes on a scale from 0 to 1; all 0 where they are equal. The diagonal is 0."""
    apart = ~np.eye(len(matrix_KK), dtype=bool)
    low, high = (extreme(matrix_KK[apart], initial=start) for extreme, start in ((np.min, np.inf), (np.max, -np.inf)))
    return np.where(apart, (matrix_KK - low) / (high - low), 0) if high > low else np.zeros_like(matrix_KK)


def _strength(affinity_KK: DoubleArray, rows: list[int]) -> float:
    """Mean affinity of two different members; the diagonal is 0."""
    return float(affinity_KK[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1)))


def _clusters(affinity_KK: DoubleArray, largest: int) -> list[list[int]]:
    """Clusters of two to `largest` classes by average linkage; see `propose_groups`. Members ascend."""
    n = len(affinity_KK)
    if n < 3:  # one pair cannot stand out
        return []
    of_pairs = affinity_KK[np.triu_indices(n, 1)]
    bar = of_pairs.mean() + of_pairs.std()
    members = [[row] for row in range(n)]
    sizes = np.ones(n)
    linkage_KK = affinity_KK.copy()
    np.fill_diagonal(linkage_KK, -np.inf)
    while True:
        i, j = sorted(divmod(int(linkage_KK.argmax()), n))
        if linkage_KK[i, j] <= bar:
            return [sorted(rows) for rows in members if len(rows) > 1]
        merged = (sizes[i] * linkage_KK[i] + sizes[j] * linkage_KK[j]) / (sizes[i] + sizes[j])
        members[i], members[j] = members[i] + members[j], []
        sizes[i] += sizes[j]
        merged[sizes + sizes[i] > largest] = -np.inf
        merged[[i, j]] = -np.inf
        linkage_KK[i], linkage_KK[:, i] = merged, merged
        linkage_KK[j], linkage_KK[:, j] = -np.inf, -np.inf


def _shared_words(names: Sequence[str]) -> str:
    """Words that all names have, function words aside, in the order of the first."""
    words = [re.findall(r"\w+", spoken(name)) for name in names]
    shared = [word for word in words[0] if word not in FUNCTION_WORDS and all(word in others for others in words)]
    return " ".join(dict.fromkeys(shared))


def _figures(
    kind: Literal["group", "rest", "total"],
    name: str | None,
    rows: list[int],
    counts_KK: IntArray,
    together_KK: npt.NDArray[np.bool_],
    classes: Sequence[str],
) -> GroupFigures:
    clips, hits = int(counts_KK[rows].sum()), int(counts_KK[rows, rows].sum())
    together = int(counts_KK[rows][together_KK[rows]].sum())
    shares = (hits / clips, (together - hits) / clips, (clips - together) / clips) if clips else (None, None, None)
    return GroupFigures(kind, name, [classes[row] for row in rows], clips, *shares)
