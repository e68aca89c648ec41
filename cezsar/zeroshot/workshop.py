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
from cezsar.zeroshot.fusion import Weights, active, cosine
from cezsar.zeroshot.scores import Embeddings, Scores, Several
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
    """What other sentences of one class give; rows of clips ascend. A new class tests the clips of its name, so that
    there may be more clips than before."""

    kind: Literal["replaced", "appended", "added"]  # the class got other sentences, further ones, or is new
    class_name: str
    index: int  # of the class among `scores.class_names`
    dead: bool  # all its prototypes are zero vectors, as ReLU can make them: it scores 0 everywhere
    old_scores: Scores
    scores: Scores  # after it, by the modalities that have weight
    before: Outcome
    after: Outcome
    gained: IntArray  # clips of any class that were wrong, or not tested, and are right now
    lost: IntArray  # clips of any class that were right and are wrong now
    drawn: IntArray  # clips that are taken for the class now and were not before, rightly or not
    left: IntArray  # clips that were taken for the class and are not any more, rightly or not

    @cached_property
    def cosine(self) -> FloatArray:
        """(N,) cosine similarity of the clips and the class (Eq. 8), in [-1, 1]."""
        return cosine(self.scores, self.after.weights)[:, self.index].copy()

    @cached_property
    def old_cosine(self) -> FloatArray | None:
        """The same before; None for a new class."""
        return None if self.kind == "added" else cosine(self.old_scores, self.before.weights)[:, self.index].copy()

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy of the class's own clips; None if it has none."""
        return self.after.per_class.get(self.class_name)

    @property
    def old_accuracy(self) -> float | None:
        """The same before; None for a new class, too."""
        return self.before.per_class.get(self.class_name)

    def moves(self, rows: IntArray) -> list[Move]:
        """Clips by name, with the class they come from and the one they go to: of `gained`, `lost`, ..."""
        names = [*self.scores.class_names, ""]  # UNDECIDED is -1
        parts = (self.after.truth_N, self.before.predicted_N, self.after.predicted_N)
        indices = zip(rows.tolist(), *(part_N[rows].tolist() for part_N in parts), strict=True)
        return [Move(row, self.scores.ids[row], names[t], names[b], names[a]) for row, t, b, a in indices]

    @property
    def drawn_from(self) -> list[Flow]:
        """`drawn` by the class that they come from, most clips first."""
        return self._flows(self.drawn, self.before)

    @property
    def left_to(self) -> list[Flow]:
        """`left` by the class that they go to, most clips first."""
        return self._flows(self.left, self.after)

    def _flows(self, rows: IntArray, other: Outcome) -> list[Flow]:
        names, others = [*self.scores.class_names, ""], other.predicted_N[rows]
        clips = Counter(others.tolist())
        right, wrong = (Counter(others[one.right_N[rows]].tolist()) for one in (self.after, self.before))
        return [Flow(names[c], clips[c], right[c], wrong[c]) for c in sorted(clips, key=lambda c: (-clips[c], c))]


class Workshop:
    """Answers what other sentences would give. Built once; trials change nothing, so threads may share it."""

    def __init__(self, embeddings: Embeddings, weights: Weights | None = None, several: Several = "nearest",
                 classes: Sequence[str] | None = None,
                 form: Callable[[Scores], Scores] = lambda scores: scores) -> None:  # fmt: skip
        """From embeddings of the clips and of the sentences so far; the paper's weights and all classes to choose from
        by default. `form` is what a method makes of scores before it compares them (`methods.Method.form`). Raises
        `InputError` for an unknown class, no clip of the classes, and weights that leave no modality."""
        self.embeddings, self.several, self.weights = embeddings, several, weights or Weights()
        self._form, self.scores = form, form(Scores.from_embeddings(embeddings, several))
        self.classes = [embeddings.class_names[index] for index in self.scores.indices(classes)]
        self.before = outcome(self.scores, self.weights, self.classes)

    def try_sentences(self, class_name: str, vectors_PE: npt.ArrayLike, *, append: bool = False,
                      new: bool = False) -> Trial:  # fmt: skip
        """Raw embeddings, in the space of the clips, of other sentences for one of `classes`: instead of what it has,
        or appended to it, or for a new class, which clips may then be taken for; clips of its name are tested.

        Raises `InputError` for an unknown class, a new one that is there, vectors of another space, none, or NaN.
        """
        old, vectors = self.embeddings, np.asarray(vectors_PE, np.float32)
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != old.prototypes.shape[1]:
            raise InputError(
                f"the sentences of {class_name!r} have shape {vectors.shape}, not (sentences, "
                f"{old.prototypes.shape[1]}); encode at least one, in the space of the clips"
            )
        if new and not canonical(class_name):
            raise InputError("the new class has no name; give it one")
        if new and canonical(class_name) in map(canonical, old.class_names):
            raise InputError(f"{class_name!r} spells a class that is there already; try other sentences for it instead")
        name = class_name if new else resolve([class_name], self.classes)[0]
        names, classes = ([*known, name] if new else known for known in (old.class_names, self.classes))
        index = names.index(name)
        kept_P = (old.prototype_class != index) | append
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
        before, after = self.before, outcome(scores, self.weights, classes)
        moved_N = (before.predicted_N != after.predicted_N) & (after.truth_N >= 0)
        gained, lost, _ = flips(before, after)
        return Trial(
            "added" if new else "appended" if append else "replaced", name, index, name in scores.dead_classes,
            self.scores, scores, before, after, gained, lost,
            *(np.flatnonzero(moved_N & (one.predicted_N == index)) for one in (after, before)),
        )  # fmt: skip
