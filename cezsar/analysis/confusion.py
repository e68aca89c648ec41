"""Confusion: which classes are taken for which, which look alike, which make hard groups, and what a group costs. A
confusion matrix is (K, K) counts of clips, rows true and columns predicted (`evaluation.confusion_matrix`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cezsar.arrays import BoolArray, DoubleArray, IntArray, unit_rows
from cezsar.data.labels import canonical, resolve, spoken
from cezsar.data.prototype_checks import differing_words
from cezsar.zeroshot.scores import Embeddings

QUICK_TO_ORDER = 400  # classes up to which the leaves of the clustering are put in the optimal order, too
LARGEST_GROUP, MOST_GROUPS = 6, 12  # classes of a proposed group, proposed groups

# Words that do not make a name when classes share them; and words of sentences that tell no two actions apart.
NO_NAME = {"a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "off", "on", "or", "out", "over", "the",
           "to", "up", "with", "without"}  # fmt: skip
NO_DIFFERENCE = NO_NAME | {"are", "as", "be", "he", "her", "his", "is", "it", "its", "onto", "she", "that", "their",
                           "them", "then", "they", "this", "which", "while", "who"}  # fmt: skip


@dataclass(frozen=True)
class ConfusedPair:
    """Clips of class `true` that were taken for class `predicted`."""

    true: str
    predicted: str
    count: int
    share: float  # of the clips of class `true`, 0 to 1
    reverse: int  # clips of `predicted` that were taken for `true`


@dataclass(frozen=True)
class GroupFigures:
    """What becomes of the clips of a group of classes: shares that sum to 1, None without clips."""

    kind: str  # "group"; "rest": the classes in no group, each alone; "total": all classes
    group: str | None  # its name; None for the rest and the total
    classes: list[str]
    clips: int
    accuracy: float | None
    within: float | None  # taken for another class of the same group; in the total, of any group that the two share
    between: float | None  # taken for any other class


@dataclass(frozen=True)
class Lookalikes:
    """Two classes that clips are confused between, and whose prototypes are near."""

    first: str
    second: str
    similarity: float  # cosine of their prototypes, of the nearest two where they have several
    share: float  # of the clips of one that are taken for the other, 0 to 1: mean of both directions
    taken: int  # clips of `first` that are taken for `second`
    reverse: int
    first_words: list[str]  # that the sentences of `first` have and those of `second` lack
    second_words: list[str]


def row_normalised(confusion_KK: npt.ArrayLike) -> DoubleArray:
    """(K, K) shares of the true class's clips: each row sums to 1; the row of a class without clips is 0."""
    counts_KK = np.asarray(confusion_KK, np.float64)
    return counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)


def pairs(confusion_KK: IntArray, classes: Sequence[str]) -> list[ConfusedPair]:
    """Every pair that was confused: the most clips first, then the larger share, then the order of `classes`."""
    counts_KK, shares_KK = np.asarray(confusion_KK), row_normalised(confusion_KK)
    found = [
        ConfusedPair(classes[t], classes[p], int(counts_KK[t, p]), float(shares_KK[t, p]), int(counts_KK[p, t]))
        for t, p in np.argwhere(counts_KK)
        if t != p
    ]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share))


def similarity_order(similarity_KK: DoubleArray) -> IntArray:
    """(K,) an order of the classes in which look-alikes are neighbours: leaves of an average-linkage clustering, in the
    optimal order (Bar-Joseph et al., Bioinformatics 17, 2001)."""
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


def prototype_similarity(embeddings: Embeddings) -> DoubleArray:
    """(C, C) cosine similarity of classes by their nearest prototypes; 0 where those of a class are all zero."""
    alive_P, n = embeddings.prototypes.any(axis=1), len(embeddings.class_names)
    units_PE = unit_rows(embeddings.prototypes[alive_P].astype(np.float64))
    owner_P, similarity_CC = embeddings.prototype_class[alive_P], np.full((n, n), -np.inf)
    np.maximum.at(similarity_CC, (owner_P[:, None], owner_P[None, :]), np.clip(units_PE @ units_PE.T, -1, 1))
    return np.where(np.isfinite(similarity_CC), similarity_CC, 0)


def confusable(
    embeddings: Embeddings, confusion_KK: IntArray, classes: Sequence[str],
    descriptions: Mapping[str, Sequence[str]] | None = None, k: int = 10,
) -> list[Lookalikes]:  # fmt: skip
    """At most `k` pairs of classes whose prototypes are more alike than the mean of all pairs and that take each
    other's clips, most confused first. Names may be in any spelling; `descriptions` are for the words."""
    names = resolve(classes, embeddings.class_names)
    rows = [embeddings.class_names.index(name) for name in names]
    similarity_KK = prototype_similarity(embeddings)[np.ix_(rows, rows)]
    shares_KK = row_normalised(confusion_KK)
    shares_KK = (shares_KK + shares_KK.T) / 2
    two = list(combinations(range(len(names)), 2))
    usual = float(np.mean([similarity_KK[pair] for pair in two])) if two else 0.0
    # With two classes the only pair is the mean; it still is what can be rewritten.
    found = [pair for pair in two if shares_KK[pair] > 0 and (similarity_KK[pair] > usual or len(names) == 2)]
    texts = {canonical(name): " ".join(sentences) for name, sentences in (descriptions or {}).items()}
    lookalikes = []
    for pair in sorted(found, key=lambda pair: (-shares_KK[pair], -similarity_KK[pair]))[:k]:
        i, j = pair
        words = differing_words(*(texts.get(canonical(names[row]), "") for row in pair))
        telling = ([word for word in side if word not in NO_DIFFERENCE] for side in words)
        figures = float(similarity_KK[pair]), float(shares_KK[pair]), int(confusion_KK[i][j]), int(confusion_KK[j][i])
        lookalikes.append(Lookalikes(names[i], names[j], *figures, *telling))
    return lookalikes


def propose_groups(
    prototype_similarity_KK: DoubleArray, confusion_KK: IntArray, classes: Sequence[str]
) -> dict[str, list[str]]:
    """Hard groups, name -> classes, strongest first: clusters (average linkage of prototype similarity and confusion)
    of at most `LARGEST_GROUP` classes that stand out above the mean of all pairs by a standard deviation; named after
    the words that all members share, else after the most typical one."""
    n = len(classes)
    if n < 3:  # one pair cannot stand out
        return {}
    affinity_KK = (_stretched(prototype_similarity_KK) + _stretched(row_normalised(confusion_KK))) / 2
    of_pairs = affinity_KK[np.triu_indices(n, 1)]
    bar = of_pairs.mean() + of_pairs.std()
    members = {row: [row] for row in range(n)}
    for step, (a, b, distance, size) in enumerate(_tree(affinity_KK)):
        if affinity_KK.max() - distance > bar + 1e-12 and size <= LARGEST_GROUP:
            members[n + step] = sorted(members.pop(int(a)) + members.pop(int(b)))
    clusters = []
    for rows in members.values():
        if len(rows) > 1:
            own_kk = affinity_KK[np.ix_(rows, rows)]
            clusters.append((-own_kk.sum() / (len(rows) * (len(rows) - 1)), rows, int(own_kk.sum(axis=1).argmax())))
    groups: dict[str, list[str]] = {}
    for _, rows, typical in sorted(clusters)[:MOST_GROUPS]:
        names = [classes[row] for row in rows]
        first, *others = [re.findall(r"\w+", spoken(name)) for name in names]
        shared = [word for word in first if word not in NO_NAME and all(word in other for other in others)]
        titles = " ".join(dict.fromkeys(shared)), names[typical], f"{names[typical]} and others"
        groups[next(title for title in titles if title and title not in groups)] = names
    return groups


def _stretched(matrix_KK: DoubleArray) -> DoubleArray:
    """Pairs of different classes, both directions averaged, from 0 to 1; all 0 where they are equal."""
    mean_KK, apart = (matrix_KK + matrix_KK.T) / 2, ~np.eye(len(matrix_KK), dtype=bool)
    low, high = mean_KK[apart].min(), mean_KK[apart].max()
    return np.where(apart, (mean_KK - low) / (high - low), 0) if high > low else np.zeros_like(mean_KK)


def matching_groups(groups: Mapping[str, Sequence[str]], class_names: Sequence[str]) -> dict[str, list[str]]:
    """The groups of which at least two classes are among `class_names`, with these classes in that spelling."""
    spelt = {canonical(name): name for name in class_names}
    present = {
        name: list(dict.fromkeys(spelt[key] for key in map(canonical, members) if key in spelt))
        for name, members in groups.items()
    }
    return {name: members for name, members in present.items() if len(members) > 1}


def group_confusion(
    confusion_KK: npt.ArrayLike, classes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[GroupFigures]:
    """How the clips of each group fare, then of the classes in no group, if any, then of all. Groups may overlap."""
    counts_KK, place = np.asarray(confusion_KK, np.int64), {name: index for index, name in enumerate(classes)}

    def figures(kind: str, group: str | None, rows: list[int], together_KK: BoolArray) -> GroupFigures:
        clips, hits = int(counts_KK[rows].sum()), int(counts_KK[rows, rows].sum())
        together = int(counts_KK[rows][together_KK[rows]].sum())
        shares = (hits / clips, (together - hits) / clips, (clips - together) / clips) if clips else (None, None, None)
        return GroupFigures(kind, group, [classes[row] for row in rows], clips, *shares)

    every, found = list(range(len(classes))), []
    together_KK, rest = np.eye(len(classes), dtype=bool), set(every)
    for name, members in groups.items():
        rows = sorted({place[member] for member in resolve(members, classes)})
        own_KK = np.zeros_like(together_KK)
        own_KK[np.ix_(rows, rows)] = True
        found.append(figures("group", name, rows, own_KK))
        together_KK |= own_KK
        rest -= set(rows)
    if rest:
        found.append(figures("rest", None, sorted(rest), together_KK))
    return [*found, figures("total", None, every, together_KK)]
