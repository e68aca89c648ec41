"""Prototype workshop: what other sentences for one class would change. A trial scores the clips against all classes
again, not the changed one alone: a product may round the last bit of a column by its place among others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
    """What other sentences of one class give. A new class tests the clips of its name, too."""

    kind: Literal["replaced", "appended", "added"]  # the class got other sentences, further ones, or is new
    class_name: str
    index: int  # of the class among `scores.class_names`
    old_scores: Scores
    scores: Scores  # after it, by the modalities that have weight
    before: Outcome
    after: Outcome
    # Clips, as ascending row numbers: of any class, wrong or not tested before and right now; right and wrong now;
    # taken for the class now and not before, rightly or not; taken for it before and not now
    gained: IntArray
    lost: IntArray
    drawn: IntArray
    left: IntArray

    @cached_property
    def cosines(self) -> dict[str, FloatArray]:
        """ "before", unless the class is new, and "now" -> (N,) cosine similarity of clips and class (Eq. 8)."""
        scores = {"now": self.scores} if self.kind == "added" else {"before": self.old_scores, "now": self.scores}
        return {when: cosine(each, self.after.weights)[:, self.index].copy() for when, each in scores.items()}

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
                 form: Callable[[Scores], Scores] = lambda scores: scores) -> None:  # fmt: skip
        """The paper's weights by default. `form` is what a method makes of scores before it compares them."""
        self.embeddings, self.several, self.weights = embeddings, several, weights or Weights()
        self._form, self.scores = form, form(Scores.from_embeddings(embeddings, several))
        self.before = outcome(self.scores, self.weights)

    def try_sentences(self, class_name: str, vectors_PE: npt.ArrayLike, *, append: bool = False,
                      new: bool = False) -> Trial:  # fmt: skip
        """Raw embeddings of other sentences for a class: instead of what it has, or appended to it, or for a new class,
        whose name's clips are tested. Raises `InputError` for an unknown class, a new one that is there, or vectors of
        another space."""
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
        name = class_name if new else resolve([class_name], old.class_names)[0]
        counted = list(active(self.scores, self.weights))
        changed = replace(old, modalities={modality: old.modalities[modality] for modality in counted})
        changed = changed.reworded([name], vectors, np.zeros(len(vectors), np.int64), append)
        index = changed.class_names.index(name)
        assert self.scores.gram is not None
        places = [self.scores.modalities.index(modality) for modality in counted]
        gram = self.scores.gram[:, places][:, :, places]  # no sentence changes the lengths of clips
        scores = self._form(Scores.from_embeddings(changed, self.several, gram))
        before, after = self.before, outcome(scores, self.weights)
        gained, lost, _ = flips(before, after)
        moved_N = (before.predicted_N != after.predicted_N) & (after.truth_N >= 0)
        drawn, left = (np.flatnonzero(moved_N & (one.predicted_N == index)) for one in (after, before))
        return Trial(
            "added" if new else "appended" if append else "replaced", name, index, self.scores, scores, before, after,
            gained, lost, drawn, left,
        )  # fmt: skip
