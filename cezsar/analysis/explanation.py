"""Why one clip got its label: which modality, which object and which second moved it past the runner-up. The margin is
exactly the sum of the modalities' parts (Eq. 8-9 of Estevam et al., ICPR 2026), and so of
the objects' where O is a sum of their vectors. Else every object, and every second, is left out in turn; such changes
do not sum to anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cezsar.arrays import FloatArray
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, cosine, fuse, lengths, parts, predict
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
    """The margin of one label over another, in cosine, taken apart."""

    id: str  # the clip
    winner: str
    runner_up: str
    margin: float  # score of `winner` less that of `runner_up`; below 0 where labels were given in that order
    modalities: list[Part]  # those with weight; they sum to `margin`
    objects: list[Part] = field(default_factory=list)  # in the order given, or as terms of O's part the largest first
    seconds: list[Part] = field(default_factory=list)


def explain_scores(
    scores: Scores, weights: Weights, row: int, *, winner: str | None = None, runner_up: str | None = None
) -> Explanation:
    """The margin of the best label, or `winner`, over the best other one, or `runner_up`, by modality, exactly. Raises
    `InputError` for an unknown class, nothing to compare with, or a clip whose scores are all 0."""
    given = [None if name is None else int(scores.indices([name])[0]) for name in (winner, runner_up)]
    if len(scores.class_names) < 2 or (winner is not None and given[0] == given[1]):
        raise InputError("a margin is between two labels; give at least two that differ")
    clip = scores.of([scores.ids[row]])
    fused_C = fuse(clip, weights)[0]
    if None in given and not fused_C.any():
        raise InputError(f"all scores of clip {scores.ids[row]!r} are 0, so no label wins; there is nothing to explain")
    order = np.argsort(-fused_C, kind="stable").tolist()  # of equal scores the class of lowest index wins
    first = next(c for c in order if c != given[1]) if given[0] is None else given[0]
    second = next(c for c in order if c != first) if given[1] is None else given[1]
    terms = {
        name: float(part_1C[0, first]) - float(part_1C[0, second]) for name, part_1C in parts(clip, weights).items()
    }
    found = [Part("modality", name, change) for name, change in terms.items()]
    names = scores.class_names[first], scores.class_names[second]
    return Explanation(scores.ids[row], *names, sum(terms.values()), found)


def explain(
    classifier: Classifier, clip: EmbeddedClip, labels: Labels = None, *, weights: Weights | None = None,
    caption: str = "", winner: str | None = None, runner_up: str | None = None,
) -> Explanation:  # fmt: skip
    """Why `classifier.rank` puts one label before another: the margin by modality, by object and by second. A clip of
    one second has no VE without it. Arguments are as for `classifier.rank`, errors as for `explain_scores`."""
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
    names, prototypes_PE, owner_P = classifier.prototypes(labels, weights)
    ids = [f"{clip.path}, change {number}" if number else clip.path for number in range(1 + n_seconds + n_objects)]
    scores = Scores.from_embeddings(Embeddings(ids, [""] * len(ids), names, modalities, prototypes_PE, owner_P))
    whole = explain_scores(scores, weights, 0, winner=winner, runner_up=runner_up)
    first, second = (scores.class_names.index(name) for name in (whole.winner, whole.runner_up))
    cosine_nC, best_n = cosine(scores, weights), predict(scores, weights)

    def left_out(kind: Literal["object", "second"], name: str, row: int) -> Part:
        without = "" if best_n[row] == UNDECIDED else scores.class_names[best_n[row]]
        return Part(kind, name, whole.margin - float(cosine_nC[row, first] - cosine_nC[row, second]), without)

    seconds = [left_out("second", str(t), 1 + t) for t in range(n_seconds)]
    rows = np.arange(n_objects) + 1 + n_seconds
    if classifier.object_rule == "sentence" or not n_objects:
        objects = [left_out("object", name, row) for (name, *_), row in zip(named, rows.tolist(), strict=False)]
        return replace(whole, objects=objects, seconds=seconds)
    # Terms of O count for the sentence of each class that is nearest to VidE.
    counted = active(scores, weights).items()
    fused_P = sum(weight * scores.columns[name][0].astype(np.float64) for name, weight in counted)
    places = (np.flatnonzero(scores.column_class == index) for index in (first, second))
    one, other = (columns[fused_P[columns].argmax()] for columns in places)
    length, terms_KP = float(lengths(scores, weights, np.array([0]))[0]), scores.columns["O"][rows]
    changes_K = weights.beta * (terms_KP[:, one].astype(np.float64) - terms_KP[:, other]) / (length or np.inf)
    terms = [(name, change) for (name, *_), change in zip(named, changes_K.tolist(), strict=False)]
    if len(terms) > LARGEST:
        terms.sort(key=lambda term: -abs(term[1]))
        terms[LARGEST:] = [(f"{len(terms) - LARGEST} others", sum(change for _, change in terms[LARGEST:]))]
    return replace(whole, objects=[Part("object", name, change) for name, change in terms], seconds=seconds)


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
