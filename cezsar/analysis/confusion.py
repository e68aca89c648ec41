"""Confusion: which classes are taken for which, which look alike, which make hard groups, and what a group costs.

A confusion matrix is (K, K) counts of clips, rows true and columns predicted, as
`cezsar.zeroshot.evaluation.confusion_matrix` makes it: clips that nothing speaks for are in no cell, so a row's sum is
what its shares are taken of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from cezsar.arrays import BoolArray, DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.labels import canonical, resolve, spoken
from cezsar.data.prototype_checks import differing_words
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.scores import Scores

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

MORE_FUNCTION_WORDS = frozenset(
    ["are", "as", "be", "he", "her", "his", "is", "it", "its", "onto", "she", "that", "their", "them", "then", "they",
     "this", "which", "while", "who"]
)  # fmt: skip
"""Words of sentences, beside those of names, that tell no two actions apart."""


@dataclass(frozen=True)
class ConfusedPair:
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


@dataclass(frozen=True)
class Lookalikes:
    """Two classes that clips are confused between, and whose prototypes are near.

    Attributes:
        similarity: cosine similarity of their prototypes, of the nearest two where they have several.
        share: of the clips of one that are taken for the other, from 0 to 1: mean of both directions.
        taken: clips of `first` that are taken for `second`.
        reverse: clips of `second` that are taken for `first`.
        first_words, second_words: words that the sentences of one class have and those of the other lack.
    """

    first: str
    second: str
    similarity: float
    share: float
    taken: int
    reverse: int
    first_words: list[str]
    second_words: list[str]


# Matrices ---------------------------------------------------------------------------------------------------------


def pairs(confusion_KK: IntArray, classes: Sequence[str]) -> list[ConfusedPair]:
    """Every pair of classes that was confused at least once, the most clips first.

    Of equal counts, the larger share of the true class comes first, then the order of `classes`.
    """
    counts_KK, shares_KK = np.asarray(confusion_KK), row_normalised(confusion_KK)
    found = [
        ConfusedPair(classes[t], classes[p], int(counts_KK[t, p]), float(shares_KK[t, p]), int(counts_KK[p, t]))
        for t, p in np.argwhere(counts_KK)
        if t != p
    ]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share))


def row_normalised(confusion_KK: npt.ArrayLike) -> DoubleArray:
    """(K, K) shares of the true class's clips: each row sums to 1; the row of a class without clips is 0."""
    counts_KK = np.asarray(confusion_KK, np.float64)
    sums_K1 = counts_KK.sum(axis=1, keepdims=True)
    return counts_KK / np.where(sums_K1 > 0, sums_K1, 1)


def clips_of(
    scores: Scores, weights: Weights, true: str, predicted: str, classes: Sequence[str] | None = None
) -> list[int]:
    """Rows of the clips in one cell of `zeroshot.evaluation.confusion_matrix`, ascending.

    Args:
        true, predicted: class names in any spelling, both among `classes`.
        classes: the classes to choose from, as in `confusion_matrix`; all by default.

    Raises:
        InputError: an unknown class.
    """
    names = resolve(scores.class_names if classes is None else classes, scores.class_names)
    row, column = scores.indices(resolve([true, predicted], names))
    predicted_N = predict(scores, weights, scores.indices(names))
    found: list[int] = np.flatnonzero((scores.label_index == row) & (predicted_N == column)).tolist()
    return found


# Look-alikes ------------------------------------------------------------------------------------------------------


def similarity_order(similarity_KK: DoubleArray) -> IntArray:
    """(K,) an order of the classes in which look-alikes are neighbours, for the rows and columns of a matrix.

    The leaves of an average-linkage clustering, turned so that neighbours are as similar as can be (Bar-Joseph et al.,
    Bioinformatics 17, 2001) where there are at most `QUICK_TO_ORDER`.

    Args:
        similarity_KK: the larger the more alike, on any scale; both directions of a pair are averaged.
    """
    if len(similarity_KK) < 3:
        return np.arange(len(similarity_KK))
    from scipy.cluster.hierarchy import leaves_list

    return leaves_list(_tree(similarity_KK, len(similarity_KK) <= QUICK_TO_ORDER)).astype(np.int64)


def _tree(similarity_KK: DoubleArray, ordered: bool = False) -> DoubleArray:
    """SciPy's average linkage; the distance of two classes is the highest similarity less their own."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    similarity_KK = (similarity_KK + similarity_KK.T) / 2
    distance_KK = similarity_KK.max() - similarity_KK
    np.fill_diagonal(distance_KK, 0)
    return np.asarray(linkage(squareform(distance_KK, checks=False), "average", optimal_ordering=ordered))


def prototype_similarity(prototypes_PE: FloatArray, prototype_class_P: IntArray, n: int) -> DoubleArray:
    """(n, n) cosine similarity of classes by their prototypes, that of the nearest two where they have several.

    Classes without a prototype, or whose prototypes are all zero, have similarity 0 to all, themselves included.
    """
    alive_P = prototypes_PE.any(axis=1)
    units_PE, owner_P = unit_rows(prototypes_PE[alive_P].astype(np.float64)), prototype_class_P[alive_P]
    similarity_nn = np.full((n, n), -np.inf)
    np.maximum.at(similarity_nn, (owner_P[:, None], owner_P[None, :]), np.clip(units_PE @ units_PE.T, -1, 1))
    return np.where(np.isfinite(similarity_nn), similarity_nn, 0)


def confusable(
    embeddings: Embeddings,
    confusion_KK: IntArray,
    classes: Sequence[str],
    descriptions: Mapping[str, Sequence[str]] | None = None,
    k: int = 10,
) -> list[Lookalikes]:
    """Pairs of classes whose prototypes are alike and that take each other's clips, most confused first.

    Alike is: more similar than the mean of all pairs; other confusions do not stem from the sentences. Of equal shares
    the more similar pair comes first, then the order of `classes`.

    Args:
        embeddings: whose prototypes are compared.
        confusion_KK: counts of clips, as `evaluation.confusion_matrix` makes them.
        classes: of its rows, in any spelling.
        descriptions: class name, in any spelling, -> sentences, for the words.
        k: pairs at most.

    Raises:
        InputError: an unknown class.
    """
    names = resolve(classes, embeddings.class_names)
    shares_KK = row_normalised(confusion_KK)
    rows = [embeddings.class_names.index(name) for name in names]
    every = prototype_similarity(embeddings.prototypes, embeddings.prototype_class, len(embeddings.class_names))
    similarity_KK = every[np.ix_(rows, rows)]
    pairs = list(combinations(range(len(names)), 2))
    usual = float(np.mean([similarity_KK[pair] for pair in pairs])) if pairs else 0.0
    share = {(i, j): float(shares_KK[i, j] + shares_KK[j, i]) / 2 for i, j in pairs}
    # With two classes the only pair is the mean; it still is what can be rewritten.
    found = [pair for pair in pairs if share[pair] > 0 and (similarity_KK[pair] > usual or len(names) == 2)]
    sentences = {canonical(name): " ".join(texts) for name, texts in (descriptions or {}).items()}
    silent = FUNCTION_WORDS | MORE_FUNCTION_WORDS
    lookalikes = []
    for i, j in sorted(found, key=lambda pair: (-share[pair], -similarity_KK[pair]))[:k]:
        words = differing_words(*(sentences.get(canonical(names[row]), "") for row in (i, j)))
        ours, theirs = ([word for word in side if word not in silent] for side in words)
        taken, reverse = int(confusion_KK[i][j]), int(confusion_KK[j][i])
        pair = names[i], names[j], float(similarity_KK[i, j]), share[i, j]
        lookalikes.append(Lookalikes(*pair, taken, reverse, ours, theirs))
    return lookalikes


# Hard groups ------------------------------------------------------------------------------------------------------


def propose_groups(
    prototype_similarity_KK: DoubleArray,
    confusion_KK: IntArray,
    classes: Sequence[str],
    *,
    largest: int = 6,
    most: int = 12,
    blend: float = 0.5,
) -> dict[str, list[str]]:
    """Hard groups: classes whose prototypes are alike and that are taken for each other.

    Both matrices are averaged with their transpose and put on one scale, and blended. Clusters of average linkage count
    as groups while they have at most `largest` classes and stand out: above the mean of all pairs by a standard
    deviation. Groups are disjoint.

    Args:
        prototype_similarity_KK: as `prototype_similarity` makes it.
        confusion_KK: counts, in the same order of classes.
        largest: classes in one group at most.
        most: groups at most.
        blend: 0 is by prototypes only, 1 by confusion only.

    Returns:
        Name -> classes, in the order of `classes`; strongest group first. A group is named after the words that all its
        members share, else after its most typical member. Empty where no pair stands out.
    """
    n = len(classes)
    if n < 3:  # one pair cannot stand out
        return {}
    confused_KK = row_normalised(confusion_KK)
    affinity_KK = (1 - blend) * _stretched(prototype_similarity_KK) + blend * _stretched(confused_KK)
    of_pairs = affinity_KK[np.triu_indices(n, 1)]
    bar = of_pairs.mean() + of_pairs.std()
    members = {row: [row] for row in range(n)}
    for step, (a, b, distance, size) in enumerate(_tree(affinity_KK)):
        if affinity_KK.max() - distance > bar + 1e-12 and size <= largest:
            members[n + step] = sorted(members.pop(int(a)) + members.pop(int(b)))
    clusters = [(_strength(affinity_KK, rows), rows) for rows in members.values() if len(rows) > 1]
    groups: dict[str, list[str]] = {}
    for _, rows in sorted(clusters, key=lambda cluster: (-cluster[0], cluster[1]))[:most]:
        names = [classes[row] for row in rows]
        typical = names[int(affinity_KK[np.ix_(rows, rows)].sum(axis=1).argmax())]
        titles = (_shared_words(names), typical, f"{typical} and others")
        groups[next(title for title in titles if title and title not in groups)] = names
    return groups


def _stretched(matrix_KK: DoubleArray) -> DoubleArray:
    """Pairs of different classes, both directions averaged, from 0 to 1; all 0 where they are equal."""
    mean_KK = (matrix_KK + matrix_KK.T) / 2
    apart = ~np.eye(len(mean_KK), dtype=bool)
    low, high = mean_KK[apart].min(), mean_KK[apart].max()
    return np.where(apart, (mean_KK - low) / (high - low), 0) if high > low else np.zeros_like(mean_KK)


def _strength(affinity_KK: DoubleArray, rows: list[int]) -> float:
    """Mean affinity of two different members; the diagonal is 0."""
    return float(affinity_KK[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1)))


def _shared_words(names: Sequence[str]) -> str:
    """Words that all names have, function words aside, in the order of the first."""
    words = [re.findall(r"\w+", spoken(name)) for name in names]
    shared = [word for word in words[0] if word not in FUNCTION_WORDS and all(word in others for others in words)]
    return " ".join(dict.fromkeys(shared))


def group_confusion(
    confusion_KK: IntArray, classes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[GroupFigures]:
    """For every group how its clips fare, then for the classes in no group, if there are any, then for all classes.

    Groups may overlap; each is judged by itself.

    Args:
        groups: name -> classes in any spelling, all of them among `classes`: see `matching_groups`.

    Raises:
        InputError: an unknown class.
    """
    counts_KK = np.asarray(confusion_KK, np.int64)
    position = {name: index for index, name in enumerate(classes)}
    together_KK = np.eye(len(classes), dtype=bool)
    rest, found = set(range(len(classes))), []
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


def _figures(
    kind: Literal["group", "rest", "total"],
    name: str | None,
    rows: list[int],
    counts_KK: IntArray,
    together_KK: BoolArray,
    classes: Sequence[str],
) -> GroupFigures:
    clips, hits = int(counts_KK[rows].sum()), int(counts_KK[rows, rows].sum())
    together = int(counts_KK[rows][together_KK[rows]].sum())
    shares = (hits / clips, (together - hits) / clips, (clips - together) / clips) if clips else (None, None, None)
    return GroupFigures(kind, name, [classes[row] for row in rows], clips, *shares)
