"""Prototype workshop: what other sentences for one class would change.

A sentence is a prototype, and the prototype decides which clips a class takes from the others (Eq. 8 of Estevam et al.,
ICPR 2026). A trial scores the clips against all classes again, not the changed one alone: a matrix product may round
the last bit of a column by its place among others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import FloatArray, IntArray
from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, cosine
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.weights import Outcome, flips, outcome


class Move(NamedTuple):
    """A clip whose prediction changed; `before` and `after` are class names, "" where the clip is undecided."""

    row: int
    id: str
    true: str
    before: str
    after: str


class Flow(NamedTuple):
    """Clips that went to a class from another, or the other way round."""

    name: str  # the other class; "" for undecided clips
    clips: int
    right: int  # of them are right after it
    wrong: int  # of them were right before it


@dataclass(frozen=True, eq=False)
class Trial:
    """What other sentences of one class give. Rows are clips; all lists of rows ascend.

    Attributes:
        kind: whether the class got other sentences, further ones, or is new.
        class_name: of the class in question.
        old_scores: before it.
        scores: after it, by the modalities that have weight.
        before: what they gave.
        after: what they give now. A new class tests the clips of its name, so that there may be more clips.
    """

    kind: Literal["replaced", "appended", "added"]
    class_name: str
    old_scores: Scores
    scores: Scores
    before: Outcome
    after: Outcome

    @property
    def index(self) -> int:
        """The class among `scores.class_names`."""
        return self.scores.class_names.index(self.class_name)

    @property
    def dead(self) -> bool:
        """Whether all its prototypes are zero vectors, as ReLU can make them: it scores 0 everywhere."""
        return self.class_name in self.scores.dead_classes

    @cached_property
    def cosine(self) -> FloatArray:
        """(N,) cosine similarity of the clips and the class (Eq. 8), in [-1, 1]."""
        return cosine(self.scores, self.after.weights)[:, self.index].copy()

    @cached_property
    def old_cosine(self) -> FloatArray | None:
        """The same before; None for a new class."""
        return None if self.kind == "added" else cosine(self.old_scores, self.before.weights)[:, self.index].copy()

    @property
    def gained(self) -> IntArray:
        """Clips of any class that were wrong, or not tested, and are right now."""
        return flips(self.before, self.after).gained

    @property
    def lost(self) -> IntArray:
        """Clips of any class that were right and are wrong now."""
        return flips(self.before, self.after).lost

    @property
    def drawn(self) -> IntArray:
        """Clips that are taken for the class now and were not before, rightly or not."""
        return self._moved(self.after)

    @property
    def left(self) -> IntArray:
        """Clips that were taken for the class and are not any more, rightly or not."""
        return self._moved(self.before)

    def moves(self, rows: IntArray) -> list[Move]:
        """Clips by name, with the class they come from and the one they go to: of `gained`, `lost`, ..."""
        name = dict(enumerate(self.scores.class_names)) | {UNDECIDED: ""}
        parts = (self.after.truth_N, self.before.predicted_N, self.after.predicted_N)
        indices = zip(rows.tolist(), *(part_N[rows].tolist() for part_N in parts), strict=True)
        return [Move(row, self.scores.ids[row], name[t], name[b], name[a]) for row, t, b, a in indices]

    @property
    def drawn_from(self) -> list[Flow]:
        """`drawn` by the class that they come from, most clips first."""
        return self._flows(self.drawn, self.before)

    @property
    def left_to(self) -> list[Flow]:
        """`left` by the class that they go to, most clips first."""
        return self._flows(self.left, self.after)

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy of the class's own clips; None if it has none."""
        return self.after.per_class.get(self.class_name)

    @property
    def old_accuracy(self) -> float | None:
        """The same before; None for a new class, too."""
        return self.before.per_class.get(self.class_name)

    def _moved(self, there: Outcome) -> IntArray:
        """Tested clips that are taken for the class in one of the two outcomes only."""
        moved_N = (self.before.predicted_N != self.after.predicted_N) & (self.after.truth_N >= 0)
        return np.flatnonzero(moved_N & (there.predicted_N == self.index))

    def _flows(self, rows: IntArray, other: Outcome) -> list[Flow]:
        name = dict(enumerate(self.scores.class_names)) | {UNDECIDED: ""}
        others = other.predicted_N[rows]
        clips = Counter(others.tolist())
        right, wrong = (Counter(others[one.top1_N[rows]].tolist()) for one in (self.after, self.before))
        return [Flow(name[c], clips[c], right[c], wrong[c]) for c in sorted(clips, key=lambda c: (-clips[c], c))]


class Workshop:
    """Answers what other sentences would give. Built once; trials change nothing, so threads may share it.

    Args:
        embeddings: of the clips and of the sentences so far.
        weights: α, β and γ of Eq. 9; the paper's by default.
        several: what a class with several sentences is compared by, as in `Scores.from_embeddings`.
        classes: names, in any spelling, of the classes to choose from; all by default. Clips of others are not tested.
        form: what a method makes of scores before it compares them, see `methods.Method.form`.

    Attributes:
        scores: of the sentences so far.
        before: what they give.

    Raises:
        InputError: an unknown class, no clip is labelled with one of the classes, or weights that leave no modality.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        weights: Weights | None = None,
        several: Several = "nearest",
        classes: Sequence[str] | None = None,
        form: Callable[[Scores], Scores] = lambda scores: scores,
    ) -> None:
        self.embeddings, self.several, self.weights = embeddings, several, weights or Weights()
        self._form, self.scores = form, form(Scores.from_embeddings(embeddings, several))
        self.classes = [embeddings.class_names[index] for index in self.scores.indices(classes)]
        self.before = outcome(self.scores, self.weights, self.classes)

    def try_sentences(self, class_name: str, vectors_PE: npt.ArrayLike, *, append: bool = False) -> Trial:
        """Other sentences for one of `classes`.

        Args:
            vectors_PE: embeddings of the sentences, one or several, raw, in the space of the clips.
            append: to what the class has, instead of in its place.

        Raises:
            InputError: an unknown class, vectors of another space, none of them, or NaN.
        """
        (name,) = resolve([class_name], self.classes)
        return self._trial("appended" if append else "replaced", name, vectors_PE)

    def add_class(self, name: str, vectors_PE: npt.ArrayLike) -> Trial:
        """A class that was none so far joins those to choose from, as the last of them. Clips of its name are tested.

        Raises:
            InputError: a name that spells a class there is, vectors of another space, none of them, or NaN.
        """
        if not canonical(name):
            raise InputError("the new class has no name; give it one")
        if canonical(name) in {canonical(known) for known in self.embeddings.class_names}:
            raise InputError(f"{name!r} spells a class that is there already; try other sentences for it instead")
        return self._trial("added", name, vectors_PE)

    def _trial(self, kind: Literal["replaced", "appended", "added"], name: str, vectors_PE: npt.ArrayLike) -> Trial:
        old, vectors = self.embeddings, np.asarray(vectors_PE, np.float32)
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != old.prototypes.shape[1]:
            raise InputError(
                f"the sentences of {name!r} have shape {vectors.shape}; (sentences, {old.prototypes.shape[1]}) is "
                "expected: encode at least one, in the space of the clips"
            )
        names = [*old.class_names, name] if kind == "added" else old.class_names
        classes = [*self.classes, name] if kind == "added" else self.classes
        index = names.index(name)
        kept_P = np.ones(len(old.prototypes), bool) if kind == "appended" else old.prototype_class != index
        counted = list(active(self.scores, self.weights))
        changed = replace(
            old,
            class_names=names,
            modalities={modality: old.modalities[modality] for modality in counted},
            prototypes=np.concatenate([old.prototypes[kept_P], vectors]),
            prototype_class=np.concatenate([old.prototype_class[kept_P], np.full(len(vectors), index)]),
        )
        assert self.scores.gram is not None
        places = [self.scores.modalities.index(modality) for modality in counted]
        gram = self.scores.gram[:, places][:, :, places]  # no sentence changes the lengths of clips
        scores = self._form(Scores.from_embeddings(changed, self.several, gram))
        return Trial(kind, name, self.scores, scores, self.before, outcome(scores, self.weights, classes))
