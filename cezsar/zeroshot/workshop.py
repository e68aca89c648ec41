"""Prototype workshop: what other sentences for one class would change, or examples of it, which is not zero-shot any
more. A trial scores the clips against all classes again, not the changed one alone: a product may round the last bit of
a column by its place among others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import FloatArray, IntArray
from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError
from cezsar.zeroshot.examples import ACROSS_GAP, Example, blended, example_rows, share_of
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
    """What other sentences of one class give, or examples. A new class tests the clips of its name, too; a clip that
    is an example is tested neither before nor after."""

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
    examples: IntArray  # clips that show the class, as ascending row numbers
    share: float  # λ of all its examples, 0 to 1; 0 without any

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
    """Answers what other sentences or examples would give. Built once; trials change nothing, so threads may share
    it."""

    def __init__(self, embeddings: Embeddings, weights: Weights | None = None, several: Several = "nearest",
                 form: Callable[[Scores], Scores] = lambda scores: scores) -> None:  # fmt: skip
        """The paper's weights by default. `form` is what a method makes of scores before it compares them."""
        self.embeddings, self.several, self.weights = embeddings, several, weights or Weights()
        self._form, self.scores = form, form(Scores.from_embeddings(embeddings, several))
        self.before = outcome(self.scores, self.weights)

    def try_sentences(
        self, class_name: str, vectors_PE: npt.ArrayLike | None = None, *, append: bool = False, new: bool = False,
        examples: Sequence[str | Example] = (), share: float | None = None,
    ) -> Trial:  # fmt: skip
        """Raw embeddings of other sentences for a class: instead of what it has, or appended to it, or for a new class,
        whose name's clips are tested; without any it keeps what it has. `examples` show it: ids of clips, or what the
        run's classifier made of films; λ is their `share`, by their number by default. Raises `InputError` for an
        unknown class or clip, a new class that is there or has nothing, or vectors of another space."""
        old, width = self.embeddings, self.embeddings.prototypes.shape[1]
        vectors = np.empty((0, width), np.float32) if vectors_PE is None else np.asarray(vectors_PE, np.float32)
        given = vectors_PE is not None or (new and not examples)
        if vectors.ndim != 2 or vectors.shape[1] != width or (given and not len(vectors)):
            raise InputError(
                f"the sentences of {class_name!r} have shape {vectors.shape}, not (sentences, {width}); encode at "
                "least one, in the space of the clips"
            )
        if new and not canonical(class_name):
            raise InputError("the new class has no name; give it one")
        if new and canonical(class_name) in map(canonical, old.class_names):
            raise InputError(f"{class_name!r} spells a class that is there already; try other sentences for it instead")
        name = class_name if new else resolve([class_name], old.class_names)[0]
        if examples and old.space in ACROSS_GAP:
            raise InputError(
                "in an image-text model any clip is nearer to another clip than to a sentence, so that one class alone "
                "cannot be shown; `cezsar shots` shows all of them"
            )
        rows, shown_nE = self._shown(examples)
        own_PE = old.prototypes[old.prototype_class == (-1 if new else old.class_names.index(name))]
        told_PE = np.concatenate([own_PE, vectors]) if append or not given else vectors
        lam = 1.0 if not len(told_PE) else share_of(len(shown_nE)) if share is None else share
        mixed_PE = blended(told_PE, shown_nE, lam)
        counted = list(active(self.scores, self.weights))
        changed = replace(old, modalities={modality: old.modalities[modality] for modality in counted})
        changed = changed.reworded([name], mixed_PE, np.zeros(len(mixed_PE), np.int64))
        index = changed.class_names.index(name)
        assert self.scores.gram is not None
        places = [self.scores.modalities.index(modality) for modality in counted]
        gram = self.scores.gram[:, places][:, :, places]  # no sentence changes the lengths of clips
        before, old_scores = self.before, self.scores
        if len(rows):  # what shows a class is not tested, neither before nor after
            shown = set(rows.tolist())
            tested = ["" if row in shown else label for row, label in enumerate(old.labels)]
            old_scores, changed = replace(old_scores, labels=tested), replace(changed, labels=tested)
            before = outcome(old_scores, self.weights)
        scores = self._form(Scores.from_embeddings(changed, self.several, gram))
        after = outcome(scores, self.weights)
        gained, lost, _ = flips(before, after)
        moved_N = (before.predicted_N != after.predicted_N) & (after.truth_N >= 0)
        drawn, left = (np.flatnonzero(moved_N & (one.predicted_N == index)) for one in (after, before))
        return Trial(
            "added" if new else "appended" if append else "replaced", name, index, old_scores, scores, before, after,
            gained, lost, drawn, left, rows, lam if len(shown_nE) else 0.0,
        )  # fmt: skip

    def _shown(self, examples: Sequence[str | Example]) -> tuple[IntArray, FloatArray]:
        """Rows of the clips among examples, ascending, and (n, E) what all of them add to a prototype."""
        ids = dict.fromkeys(each for each in examples if isinstance(each, str))
        if unknown := [each for each in ids if each not in self._rows]:
            near = get_close_matches(unknown[0], self._rows, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they are like {self.embeddings.ids[0]!r}"
            raise InputError(f"{unknown[0]!r} is none of the {len(self._rows):,} clips; {hint}")
        rows = np.sort(np.array([self._rows[each] for each in ids], np.int64))
        known, width = self.embeddings.modalities, self.embeddings.prototypes.shape[1]
        parts = [{name: rows_NE[rows] for name, rows_NE in known.items()}] if len(rows) else []
        for film in (each for each in examples if isinstance(each, Example)):
            parts.append({name: row_E[None] for name, row_E in film.rows.items() if name in known})
            if any(row_1E.shape[1] != width for row_1E in parts[-1].values()):
                raise InputError(
                    f"{film.name} was embedded by another model; let the run that scored the clips embed it"
                )
        none = np.empty((0, width), np.float32)
        return rows, np.concatenate([none, *(example_rows(part, self.weights) for part in parts)])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {clip: row for row, clip in enumerate(self.embeddings.ids)}
