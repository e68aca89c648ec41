"""Prototype workshop: what other sentences for one class would change, answered while one waits.

A sentence is a prototype, and the prototype decides which clips a class takes from the others (Eq. 8 of Estevam et al.,
ICPR 2026). A `Workshop` keeps what no sentence changes: the clips, their lengths, the labels, and what was predicted so
far. `try_sentences` and `add_class` compute the rest anew.

All columns are computed, not the class's own alone: a matrix product may round the last bit of a column by its place
among the others, and where two classes are described alike that bit decides. So a trial gives bit by bit what
`Scores.from_embeddings`, `fusion.predict` and `evaluation.evaluate` give for the changed embeddings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings, refuse_non_finite
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, decide, fuse, lengths
from cezsar.zeroshot.scores import Scores, Several, unit_columns
from cezsar.zeroshot.tuning import TOP, Gain, Tuned

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Move(NamedTuple):
    """A clip whose prediction changed; `before` and `after` are class names, "" where the clip is undecided."""

    row: int
    id: str
    true: str
    before: str
    after: str


class Flow(NamedTuple):
    """Clips that went to a class from another, or the other way round.

    Attributes:
        name: the other class; "" for undecided clips.
        clips: how many.
        right: how many of them are classified right after it.
        wrong: how many of them were right before it.
    """

    name: str
    clips: int
    right: int
    wrong: int


@dataclass(frozen=True, eq=False)
class Trial:
    """What other sentences of one class give. Rows are clips; all lists of rows ascend.

    Gained, lost, drawn and left are about tested clips, those labelled with one of the classes to choose from.

    Attributes:
        kind: whether the class got other sentences, further ones, or is new.
        class_name: of the class in question.
        scores: after it, of all classes, by the modalities that have weight.
        prototypes_PE: all raw prototypes after it, and
        prototype_class_P: the class of each: parts of the changed `Embeddings`.
        column_N: fused scores of the class after it, and
        old_column_N: before it; None for a new class.
        before: the figures of the classes as they were.
        after: the figures now. A new class tests the clips of its name, so that there may be more clips.
        before_N: class index of each clip as `fusion.predict` has it, tested or not; `UNDECIDED` (-1) if so.
        after_N: the same afterwards.
    """

    kind: Literal["replaced", "appended", "added"]
    class_name: str
    scores: Scores
    prototypes_PE: FloatArray
    prototype_class_P: IntArray
    column_N: FloatArray
    old_column_N: FloatArray | None
    before: Tuned
    after: Tuned
    before_N: IntArray
    after_N: IntArray

    @property
    def index(self) -> int:
        """The class among `scores.class_names`."""
        return self.scores.class_names.index(self.class_name)

    @property
    def dead(self) -> bool:
        """Whether all its prototypes are zero vectors, as ReLU can make them: it scores 0 everywhere."""
        return self.class_name in self.scores.dead_classes

    def cosine(self) -> FloatArray:
        """(N,) cosine similarity of the clips and the class (Eq. 8), in [-1, 1]."""
        lengths_N = lengths(self.scores, self.after.weights)
        cosine_N = np.divide(self.column_N, lengths_N, out=np.zeros(len(lengths_N)), where=lengths_N > 0)
        return np.clip(cosine_N, -1, 1).astype(np.float32)

    @cached_property
    def gained(self) -> IntArray:
        """Clips of any class that were wrong, or not tested, and are right now."""
        return np.flatnonzero(self.after.top1_N & ~self.before.top1_N)

    @cached_property
    def lost(self) -> IntArray:
        """Clips of any class that were right and are wrong now."""
        return np.flatnonzero(self.before.top1_N & ~self.after.top1_N)

    @cached_property
    def drawn(self) -> IntArray:
        """Clips that are taken for the class now and were not before, rightly or not."""
        return np.flatnonzero(self._moved & (self.after_N == self.index))

    @cached_property
    def left(self) -> IntArray:
        """Clips that were taken for the class and are not any more, rightly or not."""
        return np.flatnonzero(self._moved & (self.before_N == self.index))

    def moves(self, rows: IntArray) -> list[Move]:
        """Clips by name, with the class they come from and the one they go to: of `gained`, `lost`, ..."""
        name = dict(enumerate(self.scores.class_names)) | {UNDECIDED: ""}
        before, after, true = self.before_N[rows], self.after_N[rows], self.after.truth_N[rows]
        indices = zip(rows.tolist(), true.tolist(), before.tolist(), after.tolist(), strict=True)
        return [Move(row, self.scores.ids[row], name[t], name[b], name[a]) for row, t, b, a in indices]

    @cached_property
    def drawn_from(self) -> list[Flow]:
        """`drawn` by the class that they come from, most clips first."""
        return self._flows(self.drawn, self.before_N)

    @cached_property
    def left_to(self) -> list[Flow]:
        """`left` by the class that they go to, most clips first."""
        return self._flows(self.left, self.after_N)

    @cached_property
    def gains(self) -> list[Gain]:
        """Gained and lost clips of every class that has any, the largest net change first, then by most turned."""
        n_classes, truth_N = len(self.scores.class_names), self.after.truth_N
        gained_C, lost_C = (np.bincount(truth_N[rows], minlength=n_classes) for rows in (self.gained, self.lost))
        found = [
            Gain(self.scores.class_names[c], int(gained_C[c]), int(lost_C[c]), int(gained_C[c] - lost_C[c]))
            for c in np.flatnonzero(gained_C + lost_C)
        ]
        return sorted(found, key=lambda gain: (-abs(gain.net), -gain.gained - gain.lost))

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy of the class's own clips; None if it has none."""
        return self.after.per_class.get(self.class_name)

    @property
    def old_accuracy(self) -> float | None:
        """The same before; None for a new class, too."""
        return self.before.per_class.get(self.class_name)

    @cached_property
    def _moved(self) -> BoolArray:
        return (self.before_N != self.after_N) & (self.after.truth_N >= 0)

    def _flows(self, rows: IntArray, other_N: IntArray) -> list[Flow]:
        name = dict(enumerate(self.scores.class_names)) | {UNDECIDED: ""}
        others = other_N[rows]
        clips, right, wrong = (
            Counter(others[mask].tolist())
            for mask in (np.ones(len(rows), bool), self.after.top1_N[rows], self.before.top1_N[rows])
        )
        return [Flow(name[c], clips[c], right[c], wrong[c]) for c in sorted(clips, key=lambda c: (-clips[c], c))]


class Workshop:
    """Answers what other sentences would give. Built once; trials change nothing, so threads may share it.

    Args:
        embeddings: of the clips and of the sentences so far.
        weights: α, β and γ of Eq. 9; the paper's by default.
        several: what a class with several sentences is compared by, as in `Scores.from_embeddings`.
        classes: names, in any spelling, of the classes to choose from; all by default. Clips of others are not tested.
        scores: what `Scores.from_embeddings(embeddings, several)` gave, where that is there already.

    Attributes:
        scores: of the sentences so far.
        before: their figures.
        predicted_N: class index of each clip; `UNDECIDED` (-1) where all scores are exactly 0.

    Raises:
        InputError: an unknown class, no clip is labelled with one of the classes, weights that leave no modality, or
            scores of something else.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        weights: Weights | None = None,
        several: Several = "nearest",
        classes: Sequence[str] | None = None,
        scores: Scores | None = None,
    ) -> None:
        self.embeddings, self.several, self.weights = embeddings, several, weights or Weights()
        self.scores = scores or Scores.from_embeddings(embeddings, several)
        if (self.scores.ids, self.scores.class_names) != (embeddings.ids, embeddings.class_names):
            raise InputError("these scores are of other clips or classes than the embeddings; give those of one set")
        names = embeddings.class_names if classes is None else classes
        self.classes = list(dict.fromkeys(resolve(names, embeddings.class_names)))
        self._fused_NC = fuse(self.scores, self.weights)
        counted = [self.scores.modalities.index(name) for name in active(self.scores, self.weights)]
        self._gram = None if self.scores.gram is None else self.scores.gram[:, counted][:, :, counted]
        self.before, self.predicted_N = _figures(self.scores, self.weights, self.classes, self._fused_NC)

    def with_weights(self, weights: Weights) -> Workshop:
        """The same sentences and classes at other weights."""
        return Workshop(self.embeddings, weights, self.several, self.classes, self.scores)

    def try_sentences(self, class_name: str, vectors_PE: npt.ArrayLike, *, append: bool = False) -> Trial:
        """Other sentences for a class.

        Args:
            class_name: one of `classes`, in any spelling.
            vectors_PE: embeddings of the sentences, one or several, raw, in the space of the clips.
            append: to what the class has, instead of in its place.

        Raises:
            InputError: an unknown class, vectors of another space, none of them, or NaN.
        """
        (name,) = resolve([class_name], self.classes)
        index = self.embeddings.class_names.index(name)
        vectors = self._checked(vectors_PE, name)
        owner = self.embeddings.prototype_class
        kept = np.ones(len(owner), bool) if append else owner != index
        return self._trial("appended" if append else "replaced", name, index, kept, vectors)

    def add_class(self, name: str, vectors_PE: npt.ArrayLike) -> Trial:
        """A class that was none so far joins those to choose from, as the last of them. Clips of its name are tested.

        Raises:
            InputError: a name that spells a class there is, vectors of another space, none of them, or NaN.
        """
        if not canonical(name):
            raise InputError("the new class has no name; give it one")
        if canonical(name) in {canonical(known) for known in self.embeddings.class_names}:
            raise InputError(f"{name!r} spells a class that is there already; try other sentences for it instead")
        kept = np.ones(len(self.embeddings.prototype_class), bool)
        return self._trial("added", name, len(self.embeddings.class_names), kept, self._checked(vectors_PE, name))

    def keep(self, trial: Trial) -> Workshop:
        """A workshop that goes on from a trial of this one; its `embeddings` are the changed ones.

        Raises:
            InputError: a trial of another workshop, or of this one before something else was kept.
        """
        if trial.before is not self.before:
            raise InputError("this trial was made with other sentences than those kept now; try it again")
        embeddings = replace(
            self.embeddings,
            class_names=trial.scores.class_names,
            prototypes=trial.prototypes_PE,
            prototype_class=trial.prototype_class_P,
        )
        classes = [*self.classes, trial.class_name] if trial.kind == "added" else self.classes
        return Workshop(embeddings, self.weights, self.several, classes)

    def _checked(self, vectors_PE: npt.ArrayLike, name: str) -> FloatArray:
        vectors, width = np.asarray(vectors_PE, np.float32), self.embeddings.prototypes.shape[1]
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != width:
            raise InputError(
                f"the sentences of {name!r} have shape {vectors.shape}; (sentences, {width}) is expected: encode at "
                "least one, in the space of the clips"
            )
        refuse_non_finite(vectors, [name] * len(vectors), "a prototype of class")
        return vectors

    def _trial(
        self,
        kind: Literal["replaced", "appended", "added"],
        name: str,
        index: int,
        kept_P: BoolArray,
        vectors: FloatArray,
    ) -> Trial:
        old, added = self.embeddings, kind == "added"
        prototypes_PE = np.concatenate([old.prototypes[kept_P], vectors])
        prototype_class_P = np.concatenate([old.prototype_class[kept_P], np.full(len(vectors), index)])
        names = [*old.class_names, name] if added else old.class_names
        unit_PE, owner_P, dead = unit_columns(prototypes_PE, prototype_class_P, len(names), self.several)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
            columns = {modality: old.modalities[modality] @ unit_PE.T for modality in active(self.scores, self.weights)}
        dead_names = [names[c] for c in dead]
        scores = Scores(old.ids, old.labels, names, columns, self._gram, owner_P, dead_names)
        fused_NC = fuse(scores, self.weights)
        after, after_N = _figures(scores, self.weights, [*self.classes, name] if added else self.classes, fused_NC)
        return Trial(
            kind,
            name,
            scores,
            prototypes_PE,
            prototype_class_P,
            fused_NC[:, index].copy(),
            None if added else self._fused_NC[:, index].copy(),
            self.before,
            after,
            self.predicted_N,
            after_N,
        )


def _figures(scores: Scores, weights: Weights, classes: Sequence[str], fused_NC: FloatArray) -> tuple[Tuned, IntArray]:
    """The figures among some classes, as `evaluation.evaluate` has them, and (N,) what every clip is taken for."""
    index = {name: position for position, name in enumerate(scores.class_names)}
    chosen = np.array([index[name] for name in classes], np.int64)
    truth_N = np.where(np.isin(scores.label_index, chosen), scores.label_index, -1)
    tested_N = truth_N >= 0
    if not tested_N.any():
        raise InputError(f"no clip is labelled with one of the {len(classes):,} classes; check the labels of the clips")
    predicted_N = decide(fused_NC, np.unique(chosen))
    decided_N = tested_N & (predicted_N != UNDECIDED)
    top1_N = decided_N & (predicted_N == truth_N)
    top5_N = decided_N & (_ahead(fused_NC, truth_N, np.unique(chosen)) < TOP)
    counted_N = np.where(tested_N, predicted_N, UNDECIDED)
    return Tuned(weights, scores.class_names, chosen, truth_N, counted_N, top1_N, top5_N), predicted_N


def _ahead(fused_NC: FloatArray, truth_N: IntArray, chosen: IntArray) -> IntArray:
    """(N,) how many of the classes stand before the true one: of equal scores, the lowest index does."""
    own_N1 = np.take_along_axis(fused_NC, np.maximum(truth_N, 0)[:, None], axis=1)
    if len(chosen) < fused_NC.shape[1]:
        fused_NC = fused_NC[:, chosen]
    ahead_N = np.count_nonzero(fused_NC > own_N1, axis=1)
    equal_NC = fused_NC == own_N1
    tied = np.flatnonzero(np.count_nonzero(equal_NC, axis=1) > 1)
    ahead_N[tied] += np.count_nonzero(equal_NC[tied] & (chosen < truth_N[tied, None]), axis=1)
    return ahead_N
