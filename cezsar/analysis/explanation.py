"""Why one clip got its label: which modality, which object and which second moved it past the runner-up.

The fused score is linear in the modalities (Eq. 8-9 of Estevam et al., ICPR 2026), so the margin between two labels is
exactly the sum of the modalities' parts. It is linear in the objects, too, where O is the sum of object vectors times
their probabilities, after [9]. One sentence O(v) and the visual embedding VE(v) are no sums: there every object, and
every second, is left out in turn, and the change of the margin is told. Such changes do not sum to anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from cezsar.arrays import FloatArray
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, decide, fuse_rows, lengths, predict
from cezsar.zeroshot.scores import Scores, Several

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Classifier, Clip, Descriptions

How = Literal["exact", "leave-one-out"]

LARGEST = 6  # objects that are told by themselves, where many are summed
FLOATS_AT_ONCE = 1 << 24  # of features that are handed to `Evidence.visual` in one call


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
    how: How
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


@dataclass(frozen=True, eq=False)
class WeightedObjects:
    """O as a sum: of K sentence vectors, each of length 1 (or all zeros) and times its object's probability."""

    names: list[str]
    probabilities_K: FloatArray
    vectors_KE: FloatArray


@dataclass(frozen=True, eq=False)
class SentenceObjects:
    """O as one sentence about K objects.

    Attributes:
        names: of the K objects.
        embed: lists of object indices -> (n, E) embeddings of the sentences that name these; zeros for an empty list.
    """

    names: list[str]
    embed: Callable[[list[list[int]]], FloatArray]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a clip. At least one of VE, O and C must be there.

    Attributes:
        features_TD: one row per second; with `visual`.
        visual: clips of (T_i, D) features -> (n, E) visual embeddings, as `Space.clips`.
        caption_E: embedding of C(v).
    """

    id: str
    features_TD: FloatArray | None = None
    visual: Callable[[list[FloatArray]], FloatArray | None] | None = None
    objects: WeightedObjects | SentenceObjects | None = None
    caption_E: FloatArray | None = None


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
        InputError: no such row, an unknown class, nothing to compare with, weights that leave no modality, or a clip
            whose scores are all 0, unless both labels are given.
    """
    if not 0 <= row < len(scores.ids):
        raise InputError(f"there is no clip {row}; the {len(scores.ids):,} clips count from 0")
    names = resolve(scores.class_names if classes is None else classes, scores.class_names)
    pair = _labels(scores, weights, row, names, winner, runner_up)
    length = _length(scores, weights, row)
    parts = [
        Part("modality", name, term / length if length else 0.0, "exact")
        for name, term in _terms(scores, active(scores, weights), row, _columns(scores, weights, row, pair)).items()
    ]
    return Explanation(
        scores.ids[row],
        scores.class_names[pair[0]],
        scores.class_names[pair[1]],
        float(sum(part.change for part in parts)),
        "inner product" if scores.gram is None else "cosine",
        parts,
    )


def explain_clip(
    evidence: Evidence,
    class_names: Sequence[str],
    prototypes_PE: FloatArray,
    prototype_class_P: npt.ArrayLike,
    weights: Weights,
    *,
    several: Several = "nearest",
    winner: str | None = None,
    runner_up: str | None = None,
) -> Explanation:
    """The margin by modality, by object and by second.

    A clip of one second has no VE without it, a sentence of one object no O: then the other modalities decide. Where
    `visual` looks at a part of a long clip only, so it does of the clip that is a second shorter. Objects and seconds
    of a modality without weight change nothing and are not told.

    Args:
        class_names, prototypes_PE, prototype_class_P: as in `Embeddings`.
        several: as in `Scores.from_embeddings`.
        winner, runner_up: as in `explain_scores`.

    Raises:
        InputError: as `explain_scores`; parts of the evidence that do not fit together, or NaN.
    """
    embeddings, n_seconds, n_objects = _variants(evidence, weights, class_names, prototypes_PE, prototype_class_P)
    scores = Scores.from_embeddings(embeddings, several)
    whole = explain_scores(scores, weights, 0, winner=winner, runner_up=runner_up)
    pair = (scores.class_names.index(whole.winner), scores.class_names.index(whole.runner_up))
    best_n = predict(scores, weights)

    def left_out(kind: Literal["object", "second"], name: str, row: int) -> Part:
        terms = _terms(scores, active(scores, weights), row, _columns(scores, weights, row, pair))
        length = _length(scores, weights, row)
        margin = sum(terms.values()) / length if length else 0.0
        label = "" if best_n[row] == UNDECIDED else scores.class_names[best_n[row]]
        return Part(kind, name, float(whole.margin - margin), "leave-one-out", label)

    names = evidence.objects.names[:n_objects] if evidence.objects else []
    rows = range(1 + n_seconds, 1 + n_seconds + n_objects)
    if isinstance(evidence.objects, WeightedObjects):
        columns, length = _columns(scores, weights, 0, pair), _length(scores, weights, 0)
        terms = [_terms(scores, {"O": weights.beta}, row, columns)["O"] for row in rows]
        found = zip(names, terms, strict=True)
        objects = [Part("object", name, term / length if length else 0.0, "exact") for name, term in found]
    else:
        objects = [left_out("object", name, row) for name, row in zip(names, rows, strict=True)]
    seconds = [left_out("second", str(t), 1 + t) for t in range(n_seconds)]
    return replace(whole, objects=objects, seconds=seconds)


def explain(
    classifier: Classifier,
    clip: Clip,
    labels: Sequence[str] | Descriptions | None = None,
    *,
    weights: Weights | None = None,
    caption: str = "",
    winner: str | None = None,
    runner_up: str | None = None,
) -> Explanation:
    """Why `classifier.rank` puts one label before another: see `explain_clip`. It embeds the clip once for each second.

    Args:
        clip: as `classifier.read` or `classifier.embed` made it.
        labels, weights, caption: as for `classifier.rank`.
        winner, runner_up: as in `explain_scores`.

    Raises:
        InputError: as `explain_clip`.
    """
    from cezsar.zeroshot.embed import object_rows, object_terms
    from cezsar.zeroshot.spaces import rows_of

    space, found, rule = classifier.space, classifier.named(clip), classifier.object_rule
    names_K = [name for name, _, _ in found]
    objects: WeightedObjects | SentenceObjects | None = None
    if clip.objects_E is not None and rule == "sentence":
        objects = SentenceObjects(
            names_K, lambda subsets: object_rows(space, [[found[index] for index in subset] for subset in subsets])
        )
    elif clip.objects_E is not None:
        objects = WeightedObjects(names_K, np.ones(len(found), np.float32), object_terms(space, found, rule))
    evidence = Evidence(
        clip.path,
        clip.features_TD,
        None if clip.visual_E is None else space.clips,
        objects,
        rows_of(space, [caption.strip()])[0] if caption.strip() else None,
    )
    names, prototypes_PE, prototype_class_P = classifier.prototypes(labels)
    whole = explain_clip(
        evidence,
        names,
        prototypes_PE,
        prototype_class_P,
        weights or classifier.weights,
        winner=winner,
        runner_up=runner_up,
    )
    return replace(whole, objects=_gathered(whole.objects))


def _gathered(objects: list[Part]) -> list[Part]:
    """Parts that are a sum, the largest by themselves and the rest as one; leave-one-out parts as they are."""
    if len(objects) <= LARGEST or objects[0].how != "exact":
        return objects
    order = sorted(objects, key=lambda part: -abs(part.change))
    rest = sum(part.change for part in order[LARGEST:])
    return [*order[:LARGEST], Part("object", f"{len(order) - LARGEST} others", rest, "exact")]


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
    fused_1C = fuse_rows(scores, active(scores, weights), slice(row, row + 1))
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


def _terms(scores: Scores, counted: dict[str, float], row: int, columns: tuple[int, int]) -> dict[str, float]:
    """Modality -> its weighted score for the first column less that for the second."""
    first, second = columns
    return {
        name: weight * (float(scores.columns[name][row, first]) - float(scores.columns[name][row, second]))
        for name, weight in counted.items()
    }


def _length(scores: Scores, weights: Weights, row: int) -> float:
    """||VidE|| of a clip; 1 where it is not known."""
    return 1.0 if scores.gram is None else float(lengths(scores, weights)[row])


# The clip, whole and without its parts --------------------------------------------------------------------------------


def _variants(
    evidence: Evidence,
    weights: Weights,
    class_names: Sequence[str],
    prototypes_PE: FloatArray,
    prototype_class_P: npt.ArrayLike,
) -> tuple[Embeddings, int, int]:
    """The clip, then the clip without each second, then without each object; and how many of either.

    Where objects are weighted, O of their rows is each object's own term instead.
    """
    visual_nE = _visual(evidence, alone=weights.alpha == 0)
    objects_nE = _objects(evidence.objects, alone=weights.beta == 0)
    n_seconds = 0 if visual_nE is None else len(visual_nE) - 1
    n_objects = 0 if objects_nE is None else len(objects_nE) - 1
    names = [f"without second {t}" for t in range(n_seconds)] + [f"without object {k}" for k in range(n_objects)]
    ids = [evidence.id, *(f"{evidence.id} {name}" for name in names)]
    modalities = {}
    if visual_nE is not None:
        modalities["VE"] = visual_nE[[*range(n_seconds + 1), *[0] * n_objects]]
    if objects_nE is not None:
        modalities["O"] = objects_nE[[*[0] * (n_seconds + 1), *range(1, n_objects + 1)]]
    if evidence.caption_E is not None:
        modalities["C"] = np.tile(np.asarray(evidence.caption_E, np.float32), (len(ids), 1))
    owner = np.asarray(prototype_class_P, np.int64)
    embeddings = Embeddings(ids, [""] * len(ids), list(class_names), modalities, prototypes_PE, owner)
    return embeddings, n_seconds, n_objects


def _visual(evidence: Evidence, *, alone: bool) -> FloatArray | None:
    """(1 + T, E) VE of the clip and of it without each second; of the clip alone if asked for. None without VE."""
    if evidence.visual is None or evidence.features_TD is None:
        return None
    features_TD = np.asarray(evidence.features_TD)
    if features_TD.ndim != 2 or not len(features_TD):
        raise InputError(f"features of clip {evidence.id!r} have shape {features_TD.shape}; (T, D) is expected")
    whole = evidence.visual([features_TD])
    if whole is None:
        return None
    rows = [np.asarray(whole, np.float32)]
    if len(features_TD) == 1:
        rows += [] if alone else [np.zeros_like(rows[0])]
    elif not alone:
        for clips in _shorter(features_TD):
            found = evidence.visual(clips)
            assert found is not None
            rows.append(np.asarray(found, np.float32))
    return np.concatenate(rows)


def _shorter(features_TD: FloatArray) -> Iterator[list[FloatArray]]:
    """The clip without each of its seconds, a few at a time."""
    at_once = max(1, FLOATS_AT_ONCE // features_TD.size)
    for first in range(0, len(features_TD), at_once):
        yield [np.delete(features_TD, t, axis=0) for t in range(first, min(first + at_once, len(features_TD)))]


def _objects(objects: WeightedObjects | SentenceObjects | None, *, alone: bool) -> FloatArray | None:
    """(1 + K, E): O, then of each object its term or, of a sentence, O without it; O alone if asked. None without O."""
    if objects is None or not objects.names:
        return None
    if isinstance(objects, SentenceObjects):
        everything = list(range(len(objects.names)))
        subsets = (
            [everything] if alone else [everything, *([*everything[:k], *everything[k + 1 :]] for k in everything)]
        )
        return np.asarray(objects.embed(subsets), np.float32)
    probabilities_K, vectors_KE = np.asarray(objects.probabilities_K), np.asarray(objects.vectors_KE)
    if vectors_KE.ndim != 2 or not len(objects.names) == len(probabilities_K) == len(vectors_KE):
        raise InputError(
            f"{len(objects.names)} objects have {len(probabilities_K)} probabilities and vectors of shape "
            f"{vectors_KE.shape}; give one to each"
        )
    terms_KE = probabilities_K.astype(np.float64)[:, None] * vectors_KE
    return np.concatenate([terms_KE.sum(axis=0, keepdims=True), terms_KE[: 0 if alone else None]]).astype(np.float32)
