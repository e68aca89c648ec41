"""Why one clip got its label: which modality, which object and which second moved it past the runner-up.

The fused score is linear in the modalities (Eq. 8-9 of Estevam et al., ICPR 2026), so the margin between two labels is
exactly the sum of the modalities' parts. It is linear in the objects, too, where O is a sum of object vectors. One
sentence O(v) and the visual embedding VE(v) are no sums: there every object, and every second, is left out in turn, and
the change of the margin is given. Such changes do not sum to anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from cezsar.arrays import FloatArray
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, decide, fuse_rows, lengths, predict
from cezsar.zeroshot.scores import Embeddings, Scores

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Classifier, Descriptions, EmbeddedClip

LARGEST = 6  # objects that are listed by themselves, where many are summed
FLOATS_AT_ONCE = 1 << 24  # of features that are embedded in one call


@dataclass(frozen=True)
class Part:
    """What one modality, object or second does to the margin.

    Attributes:
        kind: what it is.
        name: "VE", "O" or "C"; the object's name; the second's number, counted from 0.
        change: above 0 it speaks for the winner, below 0 for the runner-up. In units of the margin.
        how: "exact": its term of a sum; "leave-one-out": the margin less the margin without it.
        without: the best label when it is left out, "" if nothing is left to decide by; None where it is not left out.
    """

    kind: Literal["modality", "object", "second"]
    name: str
    change: float
    how: Literal["exact", "leave-one-out"]
    without: str | None = None


@dataclass(frozen=True)
class Explanation:
    """The margin of one label over another, taken apart.

    Attributes:
        id: the clip.
        winner: the best label, or the one that was asked about.
        runner_up: the best of the others, or the one that it was to be compared with.
        margin: score of `winner` less that of `runner_up`; below 0 where labels were given in that order.
        unit: "cosine", in [-2, 2]; "inner product" for scores without lengths, which have no cosine.
        modalities: those with weight; they sum to `margin`.
        objects: by themselves in the order given; if exact they sum to the part of O. Empty where they are not known.
        seconds: in the order of time. Empty where they are not known.
    """

    id: str
    winner: str
    runner_up: str
    margin: float
    unit: Literal["cosine", "inner product"]
    modalities: list[Part]
    objects: list[Part] = field(default_factory=list)
    seconds: list[Part] = field(default_factory=list)


def explain_scores(
    scores: Scores,
    weights: Weights,
    row: int,
    *,
    classes: Sequence[str] | None = None,
    winner: str | None = None,
    runner_up: str | None = None,
) -> Explanation:
    """The margin by modality, exactly, from scores alone. With several sentences a class, its nearest one counts.

    Args:
        row: of the clip.
        classes: to choose from, in any spelling; all by default.
        winner: the label to ask about instead of the best one.
        runner_up: the label to compare with instead of the best of the others, such as the true one.

    Raises:
        InputError: an unknown class, nothing to compare with, weights that leave no modality, or a clip whose scores
            are all 0, unless both labels are given.
    """
    names = resolve(scores.class_names if classes is None else classes, scores.class_names)
    pair = _labels(scores, weights, row, names, winner, runner_up)
    parts = [Part("modality", name, term, "exact") for name, term in _terms(scores, weights, row, pair).items()]
    margin = float(sum(part.change for part in parts))
    unit: Literal["cosine", "inner product"] = "inner product" if scores.gram is None else "cosine"
    return Explanation(scores.ids[row], scores.class_names[pair[0]], scores.class_names[pair[1]], margin, unit, parts)


def explain(
    classifier: Classifier,
    clip: EmbeddedClip,
    labels: Sequence[str] | Descriptions | None = None,
    *,
    weights: Weights | None = None,
    caption: str = "",
    winner: str | None = None,
    runner_up: str | None = None,
) -> Explanation:
    """Why `classifier.rank` puts one label before another: the margin by modality, by object and by second.

    The clip is embedded once for each second. A clip of one second has no VE without it, a sentence of one object no O:
    then the other modalities decide. Objects and seconds of a modality without weight change nothing and are not
    listed.

    Args:
        clip: as `classifier.read` or `classifier.embed` made it.
        labels, weights, caption: as for `classifier.rank`.
        winner, runner_up: as in `explain_scores`.

    Raises:
        InputError: as `explain_scores`.
    """
    from cezsar.zeroshot.spaces import rows_of

    weights = weights or classifier.weights
    visual_nE, objects_nE = _visual(classifier, clip, weights.alpha == 0), _objects(classifier, clip, weights.beta == 0)
    n_seconds = 0 if visual_nE is None else len(visual_nE) - 1
    n_objects = 0 if objects_nE is None else len(objects_nE) - 1
    # The clip, then the clip without each second, then without each object; or O as each object's own term.
    modalities = {}
    if visual_nE is not None:
        modalities["VE"] = visual_nE[[*range(n_seconds + 1), *[0] * n_objects]]
    if objects_nE is not None:
        modalities["O"] = objects_nE[[*[0] * (n_seconds + 1), *range(1, n_objects + 1)]]
    if caption.strip():
        modalities["C"] = np.repeat(rows_of(classifier.space, [caption.strip()]), 1 + n_seconds + n_objects, axis=0)
    named = [f" without second {t}" for t in range(n_seconds)] + [f" without object {k}" for k in range(n_objects)]
    ids = [clip.path + what for what in ["", *named]]
    names, prototypes_PE, owner_P = classifier.prototypes(labels)
    scores = Scores.from_embeddings(Embeddings(ids, [""] * len(ids), names, modalities, prototypes_PE, owner_P))
    whole = explain_scores(scores, weights, 0, winner=winner, runner_up=runner_up)
    pair = (scores.class_names.index(whole.winner), scores.class_names.index(whole.runner_up))
    best_n = predict(scores, weights)

    def left_out(kind: Literal["object", "second"], name: str, row: int) -> Part:
        change = whole.margin - sum(_terms(scores, weights, row, pair).values())
        label = "" if best_n[row] == UNDECIDED else scores.class_names[best_n[row]]
        return Part(kind, name, float(change), "leave-one-out", label)

    found = [(name, 1 + n_seconds + k) for k, (name, *_) in enumerate(classifier.named(clip)[:n_objects])]
    if classifier.object_rule == "sentence":
        objects = [left_out("object", name, row) for name, row in found]
    else:
        columns = _columns(scores, weights, 0, pair)
        terms = [_terms(scores, weights, row, pair, columns, of=0)["O"] for _, row in found]
        objects = [Part("object", name, term, "exact") for (name, _), term in zip(found, terms, strict=True)]
        if len(objects) > LARGEST:
            objects.sort(key=lambda part: -abs(part.change))
            rest = sum(part.change for part in objects[LARGEST:])
            objects[LARGEST:] = [Part("object", f"{len(objects) - LARGEST} others", rest, "exact")]
    return replace(whole, objects=objects, seconds=[left_out("second", str(t), 1 + t) for t in range(n_seconds)])


# What is compared -----------------------------------------------------------------------------------------------------


def _labels(
    scores: Scores, weights: Weights, row: int, names: list[str], winner: str | None, runner_up: str | None
) -> tuple[int, int]:
    """Indices of the two labels to compare, those that were not named by the rule of `fusion.predict`."""
    index = {name: position for position, name in enumerate(scores.class_names)}
    given = [None if name is None else index[resolve([name], names)[0]] for name in (winner, runner_up)]
    if len(names) < 2 or (given[0] is not None and given[0] == given[1]):
        raise InputError("a margin is between two labels; give at least two that differ")
    first, second = given
    fused_1C = fuse_rows(scores, weights, slice(row, row + 1))
    if first is None:
        first = _best(fused_1C, [index[name] for name in names if index[name] != second])
    if second is None:
        second = _best(fused_1C, [index[name] for name in names if index[name] != first])
    if None in given and not fused_1C[0, [index[name] for name in names]].any():
        raise InputError(f"all scores of clip {scores.ids[row]!r} are 0, so no label wins; there is nothing to explain")
    return first, second


def _best(fused_1C: FloatArray, candidates: list[int]) -> int:
    best = int(decide(fused_1C, np.unique(candidates))[0])
    return min(candidates) if best == UNDECIDED else best


def _columns(scores: Scores, weights: Weights, row: int, pair: tuple[int, int]) -> tuple[int, int]:
    """The column of each of two classes: that of the sentence nearest to VidE."""
    found = []
    for index in pair:
        columns = np.flatnonzero(scores.column_class == index)
        total = sum(
            weight * scores.columns[name][row, columns].astype(np.float64)
            for name, weight in active(scores, weights).items()
        )
        found.append(int(columns[np.argmax(total)]))
    return found[0], found[1]


def _terms(
    scores: Scores,
    weights: Weights,
    row: int,
    pair: tuple[int, int],
    columns: tuple[int, int] | None = None,
    of: int | None = None,
) -> dict[str, float]:
    """Modality -> its weighted score for the first class less that for the second, over the length of VidE.

    Args:
        columns: of the two classes; by default those of the sentences nearest to the row's VidE.
        of: the row whose length counts, by default this one.
    """
    first, second = columns or _columns(scores, weights, row, pair)
    length = 1.0 if scores.gram is None else float(lengths(scores, weights)[row if of is None else of])
    return {
        name: weight * (float(matrix[row, first]) - float(matrix[row, second])) / length if length else 0.0
        for name, weight in active(scores, weights).items()
        for matrix in [scores.columns[name]]
    }


def _visual(classifier: Classifier, clip: EmbeddedClip, alone: bool) -> FloatArray | None:
    """(1 + T, E) VE of the clip and of it without each second; of the clip alone if asked for. None without VE."""
    if clip.visual_E is None:
        return None
    features_TD = clip.features_TD
    shorter = [] if alone else [np.delete(features_TD, t, axis=0) for t in range(len(features_TD))]
    rows = [clip.visual_E[None]]
    if shorter and not len(shorter[0]):
        return np.concatenate([*rows, np.zeros_like(rows[0])])
    at_once = max(1, FLOATS_AT_ONCE // features_TD.size)
    for first in range(0, len(shorter), at_once):
        found, _ = classifier.visual(shorter[first : first + at_once])
        assert found is not None
        rows.append(found)
    return np.concatenate(rows).astype(np.float32)


def _objects(classifier: Classifier, clip: EmbeddedClip, alone: bool) -> FloatArray | None:
    """(1 + K, E): O, then of each object its term or, of a sentence, O without it; O alone if asked. None without O."""
    from cezsar.zeroshot.embed import object_rows, object_terms

    named = classifier.named(clip)
    if clip.objects_E is None or not named:
        return None
    if classifier.object_rule == "sentence":
        shorter = [[one for index, one in enumerate(named) if index != k] for k in range(len(named))]
        return object_rows(classifier.space, [named] if alone else [named, *shorter])
    terms_KE = object_terms(classifier.space, named, classifier.object_rule)
    whole_1E = terms_KE.astype(np.float64).sum(axis=0, keepdims=True)
    return np.concatenate([whole_1E, terms_KE[: 0 if alone else None]]).astype(np.float32)
