"""Why one clip got its label: which modality, which object and which second moved it past the runner-up.

The fused score is linear in the modalities (Eq. 8-9 of Estevam et al., ICPR 2026), so the margin between two labels is
exactly the sum of the modalities' parts. It is linear in the objects, too, where O is a sum of object vectors. One
sentence O(v) and the visual embedding VE(v) are no sums: there every object, and every second, is left out in turn, and
the change of the margin is given. Such changes do not sum to anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cezsar.arrays import FloatArray
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, fuse, lengths, predict, similarities
from cezsar.zeroshot.scores import Embeddings, Scores

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Classifier, EmbeddedClip, Labels

LARGEST = 6  # objects that are listed by themselves, where many are summed
FLOATS_AT_ONCE = 1 << 24  # of features that are embedded in one call


class Part(NamedTuple):
    """What one modality, object or second does to the margin."""

    kind: Literal["modality", "object", "second"]
    name: str  # "VE", "O" or "C"; the object's name; the second's number, counted from 0
    change: float  # above 0 it speaks for the winner; its term of the sum, or the margin less that without it
    without: str | None = None  # the best label when it is left out, "" if nothing is left; None: a term of the sum


@dataclass(frozen=True)
class Explanation:
    """The margin of one label over another, taken apart."""

    id: str  # the clip
    winner: str
    runner_up: str
    margin: float  # score of `winner` less that of `runner_up`; below 0 where labels were given in that order
    unit: str  # "cosine", or "inner product" for scores without lengths, which have no cosine
    modalities: list[Part]  # those with weight; they sum to `margin`
    objects: list[Part] = field(default_factory=list)  # in the order given, or as terms of O's part the largest first
    seconds: list[Part] = field(default_factory=list)


def explain_scores(
    scores: Scores, weights: Weights, row: int, *, winner: str | None = None, runner_up: str | None = None
) -> Explanation:
    """The margin of the best label, or `winner`, over the best other one, or `runner_up`, by modality, exactly.

    With several sentences a class, its nearest one counts. Raises `InputError` for an unknown class, nothing to compare
    with, weights that leave no modality, or a clip whose scores are all 0, unless both labels are given.
    """
    given = [None if name is None else int(scores.indices([name])[0]) for name in (winner, runner_up)]
    if len(scores.class_names) < 2 or (winner is not None and given[0] == given[1]):
        raise InputError("a margin is between two labels; give at least two that differ")
    fused_C = fuse(scores, weights, np.array([row]))[0]
    if None in given and not fused_C.any():
        raise InputError(f"all scores of clip {scores.ids[row]!r} are 0, so no label wins; there is nothing to explain")
    order = np.argsort(-fused_C, kind="stable").tolist()  # of equal scores the class of lowest index wins
    first = next(c for c in order if c != given[1]) if given[0] is None else given[0]
    second = next(c for c in order if c != first) if given[1] is None else given[1]
    columns, length = _nearest(scores, weights, row, (first, second))
    parts = [
        Part("modality", name, weight * _lead(scores.columns[name][row], columns) / length)
        for name, weight in active(scores, weights).items()
    ]
    unit = "inner product" if scores.gram is None else "cosine"
    margin = sum(part.change for part in parts)
    return Explanation(scores.ids[row], scores.class_names[first], scores.class_names[second], margin, unit, parts)


def explain(
    classifier: Classifier, clip: EmbeddedClip, labels: Labels = None, *, weights: Weights | None = None,
    caption: str = "", winner: str | None = None, runner_up: str | None = None,
) -> Explanation:  # fmt: skip
    """Why `classifier.rank` puts one label before another: the margin by modality, by object and by second.

    The clip is embedded once for each second. A clip of one second has no VE without it, a sentence of one object no O:
    then the other modalities decide. Objects and seconds of a modality without weight change nothing and are not
    listed. Labels, weights and caption are as for `classifier.rank`, the rest and the errors as for `explain_scores`.
    """
    from cezsar.zeroshot.spaces import object_rows, object_terms, rows_of

    weights = weights or classifier.weights
    named = [] if clip.objects_E is None else classifier.named(clip)
    shorter_TE = _without_each_second(classifier, clip) if weights.alpha else []
    n_seconds, n_objects = len(shorter_TE), len(named) if weights.beta else 0
    # The clip, then the clip without each second, then without each object; or O as each object's own term.
    modalities = {}
    if clip.visual_E is not None:
        modalities["VE"] = np.vstack([clip.visual_E, *shorter_TE, *[clip.visual_E] * n_objects])
    if named and classifier.object_rule == "sentence":
        fewer = [named[:k] + named[k + 1 :] for k in range(n_objects)]
        modalities["O"] = object_rows(classifier.space, [named] * (1 + n_seconds) + fewer)
    elif named:
        terms_KE = object_terms(classifier.space, named, classifier.object_rule)
        modalities["O"] = np.vstack([*[terms_KE.sum(axis=0)] * (1 + n_seconds), *terms_KE[:n_objects]])
    if caption.strip():
        modalities["C"] = rows_of(classifier.space, [caption.strip()] * (1 + n_seconds + n_objects))
    names, prototypes_PE, owner_P = classifier.prototypes(labels)
    ids = [f"{clip.path}, change {number}" if number else clip.path for number in range(1 + n_seconds + n_objects)]
    scores = Scores.from_embeddings(Embeddings(ids, [""] * len(ids), names, modalities, prototypes_PE, owner_P))
    whole = explain_scores(scores, weights, 0, winner=winner, runner_up=runner_up)
    pair = (scores.class_names.index(whole.winner), scores.class_names.index(whole.runner_up))
    cosine_nC, best_n = similarities(scores, weights), predict(scores, weights)

    def left_out(kind: Literal["object", "second"], name: str, row: int) -> Part:
        without = "" if best_n[row] == UNDECIDED else scores.class_names[best_n[row]]
        return Part(kind, name, whole.margin - _lead(cosine_nC[row], pair), without)

    seconds = [left_out("second", str(t), 1 + t) for t in range(n_seconds)]
    found = [(name, 1 + n_seconds + k) for k, (name, *_) in enumerate(named[:n_objects])]
    if classifier.object_rule == "sentence":
        return replace(whole, objects=[left_out("object", name, row) for name, row in found], seconds=seconds)
    columns, length = _nearest(scores, weights, 0, pair)
    terms = [(name, weights.beta * _lead(scores.columns["O"][row], columns) / length) for name, row in found]
    if len(terms) > LARGEST:
        terms.sort(key=lambda term: -abs(term[1]))
        terms[LARGEST:] = [(f"{len(terms) - LARGEST} others", sum(change for _, change in terms[LARGEST:]))]
    return replace(whole, objects=[Part("object", name, change) for name, change in terms], seconds=seconds)


def _nearest(scores: Scores, weights: Weights, row: int, pair: tuple[int, int]) -> tuple[list[int], float]:
    """The column of each of two classes, that of its sentence nearest to VidE, and the length of VidE to divide by."""
    fused_P = sum(
        weight * scores.columns[name][row].astype(np.float64) for name, weight in active(scores, weights).items()
    )
    places = [np.flatnonzero(scores.column_class == index) for index in pair]
    length = 1.0 if scores.gram is None else float(lengths(scores, weights, np.array([row]))[0])
    return [int(columns[fused_P[columns].argmax()]) for columns in places], length or np.inf


def _lead(scores_P: FloatArray, columns: Sequence[int]) -> float:
    return float(scores_P[columns[0]]) - float(scores_P[columns[1]])


def _without_each_second(classifier: Classifier, clip: EmbeddedClip) -> list[FloatArray]:
    """VE of the clip without each of its seconds; zeros without its only one; nothing where there is no VE."""
    features_TD, found = clip.features_TD, list[FloatArray]()
    if clip.visual_E is None or len(features_TD) < 2:
        return [] if clip.visual_E is None else [np.zeros_like(clip.visual_E)]
    at_once = max(1, FLOATS_AT_ONCE // features_TD.size)
    for first in range(0, len(features_TD), at_once):
        seconds = range(first, min(first + at_once, len(features_TD)))
        rows, _ = classifier.visual([np.delete(features_TD, t, axis=0) for t in seconds])
        assert rows is not None
        found += list(rows)
    return found
