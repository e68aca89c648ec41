"""Confusion matrices of scored data sets, the clips in their cells, and hard groups: computed once for all sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from app import cache
from app.services import scored
from cezsar.analysis import confusion as engine
from cezsar.analysis.baselines import Baseline, random_baseline
from cezsar.arrays import DoubleArray, IntArray
from cezsar.data.labels import canonical, resolve
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, predict, similarities
from cezsar.zeroshot.scored import Scored

FUSED = "fused"
ALIKE, LISTED, WORST = "alike", "listed", "worst"
OTHER = "any other class"
TOP = 5
DEMO, PAPER, OWN, PROPOSED = "the demo's", "the paper's", "my own", "proposed"


@dataclass(frozen=True)
class Side:
    """What one matrix is predicted from: a scored data set, and the weights of its modalities."""

    item: Scored
    weights: Weights

    @property
    def key(self) -> str:
        """Another for other predictions."""
        return f"{self.item.fingerprint} {astuple(self.weights)}"

    @property
    def title(self) -> str:
        """Run and modalities in a few words."""
        return f"{self.item.about['run'] or 'no run'}, {' + '.join(active(scored.scores(self.item), self.weights))}"


@dataclass(frozen=True, eq=False)
class Matrix:
    """A confusion matrix as it is shown.

    Attributes:
        candidates: the C classes that predictions are among, in the order of the data set.
        counts_CC: of all of them, as `confusion_matrix` makes it; only rows of `classes` are not empty.
        classes: the K classes shown, all of them candidates; rows in this order.
        columns: the same, and `OTHER` where predictions are among more.
        counts_KL: clips in each cell shown.
        undecided: clips of `classes` that nothing speaks for; they are in no cell.
    """

    side: Side
    candidates: list[str]
    counts_CC: IntArray
    classes: list[str]
    columns: list[str]
    counts_KL: IntArray
    undecided: int

    def shares(self) -> DoubleArray:
        """(K, L) counts over the row's sum."""
        return engine.row_normalised(self.counts_KL)

    def pairs(self) -> list[engine.ConfusedPair]:
        """Confused pairs among the classes shown, the most clips first."""
        shown = set(self.classes)
        return [pair for pair in engine.pairs(self.counts_CC, self.candidates) if {pair.true, pair.predicted} <= shown]

    def figures(self, groups: Mapping[str, Sequence[str]]) -> list[engine.GroupFigures]:
        """Errors within and between those groups that at least two of the classes shown are in."""
        shown = set(self.classes)
        known = engine.matching_groups(groups, self.candidates)
        present = {name: members for name, members in known.items() if len(shown & set(members)) > 1}
        found = engine.group_confusion(self.counts_CC, self.candidates, present)
        found = [replace(row, classes=[name for name in row.classes if name in shown]) for row in found]
        return [row for row in found if row.classes]


def choices(item: Scored) -> dict[str, Weights]:
    """What can be predicted from: the fusion with the run's own weights, if it is one, and every modality alone."""
    values = scored.scores(item)
    alone = {name: Weights.only(name) for name in values.modalities}
    fused = sum(item.weights.of(name) > 0 for name in values.modalities) > 1
    return ({FUSED: item.weights} if fused else {}) | alone


def shared_classes(a: Scored, b: Scored | None) -> list[str]:
    """Class names of the first data set, those only that the second has, too."""
    names = scored.scores(a).class_names
    if b is None or b.name == a.name:
        return names
    inside = {canonical(name) for name in scored.scores(b).class_names}
    return [name for name in names if canonical(name) in inside]


def matrix(side: Side, classes: Sequence[str], restricted: bool) -> Matrix:
    """The matrix of some classes.

    Args:
        classes: in any spelling; rows and columns come in this order and spelling.
        restricted: predictions are among these only, as in a protocol; else among all classes of the data set, with a
            last column for the others.
    """
    values = scored.scores(side.item)
    spelt = dict(zip(resolve(classes, values.class_names), classes, strict=True))
    candidates = [spelt.get(name, name) for name in values.class_names if name in spelt or not restricted]
    counts_CC = cache.once(
        lambda: confusion_matrix(values, side.weights, candidates), "confusion", side.key, tuple(candidates),
        words="Counting confusions",
    )  # fmt: skip
    place = {name: index for index, name in enumerate(candidates)}
    rows = [place[name] for name in classes]
    counts_KC = counts_CC[rows]
    counts_KL = counts_KC[:, rows]
    columns = list(classes)
    if len(rows) < len(candidates):
        others_K1 = counts_KC.sum(axis=1, keepdims=True) - counts_KL.sum(axis=1, keepdims=True)
        counts_KL, columns = np.hstack([counts_KL, others_K1]), [*columns, OTHER]
        emptied_CC = np.zeros_like(counts_CC)
        emptied_CC[rows] = counts_KC
        counts_CC = emptied_CC
    chosen = [values.class_names.index(name) for name in spelt]
    undecided = int(np.isin(values.label_index, chosen).sum() - counts_KL.sum())
    return Matrix(side, candidates, counts_CC, list(classes), columns, counts_KL, undecided)


def with_same_columns(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Both with a column for other classes if one of them has it."""
    widest = max(a.columns, b.columns, key=len)
    return _widened(a, widest), _widened(b, widest)


def _widened(shown: Matrix, columns: list[str]) -> Matrix:
    missing = len(columns) - len(shown.columns)
    return replace(shown, columns=columns, counts_KL=np.pad(shown.counts_KL, [(0, 0), (0, missing)]))


def similarity(item: Scored) -> DoubleArray:
    """(C, C) cosine similarity of the classes' prototypes."""
    embeddings = scored.embeddings(item)
    return engine.prototype_similarity(embeddings.prototypes, embeddings.prototype_class, len(embeddings.class_names))


def _lined_up(item: Scored, classes: Sequence[str]) -> list[str]:
    place = {name: index for index, name in enumerate(scored.scores(item).class_names)}
    rows = [place[name] for name in classes]
    return [classes[index] for index in engine.similarity_order(similarity(item)[np.ix_(rows, rows)])]


def in_order(side: Side, classes: Sequence[str], restricted: bool, order: str) -> list[str]:
    """The classes as rows of a matrix: `ALIKE` has those with similar prototypes as neighbours; `WORST` begins with
    the one of which the smallest share is recognised; `LISTED` leaves them as they are."""
    if order == ALIKE:
        return cache.once(
            lambda: _lined_up(side.item, classes), "lined up", side.item.fingerprint, tuple(classes),
            words="Putting look-alikes together",
        )  # fmt: skip
    if order == WORST:
        view = matrix(side, classes, restricted)
        right_K = np.diagonal(view.shares())
        return [classes[row] for row in np.argsort(right_K, kind="stable")]
    return list(classes)


# The clips of a cell -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """A clip of a cell, and what was said about it.

    Attributes:
        true, predicted: class names; `predicted` is "" where nothing speaks for any class.
        to_true, to_predicted: their cosine similarities (inner products for scores that stem from no embeddings).
        top: the best candidates with their similarities, best first.
    """

    id: str
    true: str
    predicted: str
    to_true: float
    to_predicted: float
    top: list[tuple[str, float]]

    @property
    def lead(self) -> float:
        """How far the predicted class is above the true one."""
        return self.to_predicted - self.to_true


def rows_of(shown: Matrix, true: str, taken: str) -> list[int]:
    """Rows of the clips in a cell, ascending; `taken` may be `OTHER`."""
    values, weights = scored.scores(shown.side.item), shown.side.weights
    if taken != OTHER:
        return engine.clips_of(values, weights, true, taken, shown.candidates)
    index = {name: position for position, name in enumerate(values.class_names)}
    inside = [index[name] for name in resolve(shown.classes, values.class_names)]
    predicted_N = predict(values, weights)
    other_N = (predicted_N != UNDECIDED) & ~np.isin(predicted_N, inside)
    rows: list[int] = np.flatnonzero((values.label_index == index[resolve([true], list(index))[0]]) & other_N).tolist()
    return rows


def shots(shown: Matrix, rows: Sequence[int]) -> list[Shot]:
    """What was said about some labelled clips, in the order of `rows`."""
    if not rows:
        return []
    values, weights = scored.scores(shown.side.item), shown.side.weights
    names = resolve(shown.candidates, values.class_names)
    spelt = dict(zip(names, shown.candidates, strict=True))
    place = {name: position for position, name in enumerate(values.class_names)}
    chosen = sorted(place[name] for name in names)  # of equal scores the lowest index wins, as in `predict`
    cosine_nC = similarities(values, weights, np.asarray(rows, np.int64))
    found = []
    for row, scores_C in zip(rows, cosine_nC, strict=True):
        order = [chosen[position] for position in np.argsort(-scores_C[chosen], kind="stable")]
        true = values.label_index[row]
        decided = bool(scores_C[chosen].any())
        found.append(
            Shot(
                values.ids[row],
                spelt.get(values.class_names[true], values.class_names[true]),
                spelt[values.class_names[order[0]]] if decided else "",
                float(scores_C[true]),
                float(scores_C[order[0]]),
                [(spelt[values.class_names[index]], float(scores_C[index])) for index in order[:TOP]],
            )
        )
    return found


# Hard groups ---------------------------------------------------------------------------------------------------------


def sources(side: Side, own: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """Hard groups of the data set's classes, by whose they are; only those that there are."""
    names = scored.scores(side.item).class_names
    ready: dict[str, Mapping[str, Sequence[str]]] = {DEMO: HARD_GROUPS, PAPER: engine.PAPER_GROUPS, OWN: own}
    found = {source: engine.matching_groups(groups, names) for source, groups in ready.items()}
    counts = partial(confusion_matrix, scored.scores(side.item), side.weights)
    found[PROPOSED] = cache.once(
        lambda: engine.propose_groups(similarity(side.item), counts(), names), "proposed", side.key
    )
    return {source: groups for source, groups in found.items() if groups}


QUICK_ENTRIES = 20_000_000  # clips x classes up to which a control takes a second or two


def is_quick(side: Side) -> bool:
    """Whether `control` takes a second or two."""
    return int(side.item.about["clips"]) * int(side.item.about["classes"]) <= QUICK_ENTRIES


def can_draw_outside(side: Side, groups: Mapping[str, Sequence[str]]) -> bool:
    """Whether as many classes with clips are outside of the groups as are in them."""
    values = scored.scores(side.item)
    named = set(resolve({name for members in groups.values() for name in members}, values.class_names))
    tested = {values.class_names[index] for index in np.unique(values.label_index) if index >= 0}
    return len(tested - named) >= len(named)


def control(side: Side, groups: Mapping[str, Sequence[str]], outside: bool = False) -> Baseline:
    """The classes of some groups beside random sets of as many."""
    named = tuple((name, tuple(members)) for name, members in groups.items())
    return cache.once(
        lambda: random_baseline(scored.scores(side.item), dict(named), side.weights, outside=outside),
        "baseline", side.key, named, outside, words="Evaluating random sets of classes",
    )  # fmt: skip


# Tables as files -----------------------------------------------------------------------------------------------------


def matrix_csv(shown: Matrix) -> str:
    """Counts, with class names in the first row and column."""
    table = pd.DataFrame(shown.counts_KL, index=shown.classes, columns=shown.columns)
    return str(table.to_csv(index_label="true \\ predicted", lineterminator="\n"))


def pairs_csv(shown: Matrix) -> str:
    """Every confused pair, the most clips first."""
    head = {"true": "true", "predicted": "predicted", "count": "clips", "share": "share of true",
            "reverse": "reverse clips"}  # fmt: skip
    return _csv([asdict(pair) for pair in shown.pairs()], head)


def groups_csv(shown: Matrix, groups: Mapping[str, Sequence[str]]) -> str:
    """Accuracy, and errors within and between groups; classes are parted by semicolons."""
    rows = [asdict(row) | {"classes": "; ".join(row.classes)} for row in shown.figures(groups)]
    head = ["kind", "group", "classes", "clips", "accuracy"]
    return _csv(rows, {name: name for name in head} | {"within": "within group", "between": "between groups"})


def _csv(rows: Sequence[Mapping[str, object]], head: Mapping[str, str]) -> str:
    table = pd.DataFrame(rows, columns=list(head)).rename(columns=head)
    return str(table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
