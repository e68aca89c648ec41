"""Evaluation: the accuracies of the field, over the runs of a protocol.

A clip is tested in a run when its true class is among the run's classes. It is a top-k hit when fewer than k of them
score above its true class; of equal scores the class of lowest index in `Scores.class_names` stands first. A clip
whose scores for the run's classes are all exactly 0 is undecided, and no hit whatever k is.

One pass over the scores serves all runs. Whether a class stands before the true one does not depend on the split; a
split only says which of these classes count. So with B (clips x classes, 1 where the class stands before the true one)
and M (classes x runs, 1 where the class is in the run), B M is the rank of every clip's true class in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, before_true, fuse_rows, predict, row_blocks
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Result, Run
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.tables import table

__all__ = [
    "Result",
    "Run",
    "confusion_matrix",
    "evaluate",
    "evaluate_by_run",
    "evaluate_each",
    "evaluate_parts",
    "table",
]

OFFICIAL = "official test splits"

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def evaluate(
    scores: Scores, protocol: Protocol, weights: Weights | None = None, topk: Sequence[int] = (1, 5)
) -> Result:
    """Top-k and mean per-class accuracy of fused scores (Eq. 8-9) in every run of a protocol.

    Args:
        protocol: its class names may be in any spelling.
        weights: α, β, γ; the paper's by default.
        topk: which k; 1 is always among them. A k above the number of classes finds every decided clip.

    Returns:
        `Result`: counts for every class of every run; a protocol of one run has its confusion matrix, too.

    Raises:
        InputError: a class of the protocol is unknown, no clip of a run has a label among its classes, or the weights
            leave no modality.
    """
    weights = weights or Weights()
    if not topk or any(k < 1 for k in topk):
        raise InputError(f"top-k accuracy for k in {list(topk)} was asked for; k is a whole number from 1")
    ks = sorted({1, *topk})
    splits, clips_C = splits_of(scores, protocol)
    hits_KCR, undecided_R = _count(scores, active(scores, weights), splits, ks)
    runs = []
    for run, split in enumerate(splits):
        clips = clips_C[split]
        runs.append(
            Run(
                classes=[scores.class_names[c] for c in split],
                clips=clips.tolist(),
                hits={k: hits_KCR[row, split, run].tolist() for row, k in enumerate(ks)},
                undecided=int(undecided_R[run]),
                left_out=len(scores.ids) - int(clips.sum()),
            )
        )
    confusion = confusion_matrix(scores, weights, runs[0].classes).tolist() if len(runs) == 1 else None
    modality = " + ".join(active(scores, weights))
    return Result(protocol.name, protocol.seed, modality, weights, runs, confusion)


def evaluate_by_run(
    scores_of: Callable[[list[str]], Scores],
    protocol: Protocol,
    weights: Weights | None = None,
    topk: Sequence[int] = (1, 5),
) -> Result:
    """`evaluate`, where scores depend on which classes there are to choose from.

    Args:
        scores_of: the classes of a run -> its scores, for these classes at least. The clips are the same in all runs.
    """
    parts = [
        evaluate(scores_of(split), Protocol(protocol.name, [split], protocol.seed), weights, topk)
        for split in protocol.splits
    ]
    runs = [part.runs[0] for part in parts]
    return replace(parts[0], runs=runs, confusion=parts[0].confusion if len(runs) == 1 else None)


def evaluate_parts(
    scores: Scores,
    parts: Mapping[str, Collection[str]],
    weights: Weights | None = None,
    topk: Sequence[int] = (1, 5),
    name: str = OFFICIAL,
) -> Result:
    """All classes to choose from, and a run for each part of the clips, such as the three official test splits.

    Args:
        parts: name -> clip ids.

    Raises:
        InputError: as `evaluate` does, or there is no part.
    """
    if not parts:
        raise InputError(
            "there are no official parts to evaluate on; give the whole of a data set that has test splits"
        )
    everything = Protocol(name, [list(scores.class_names)])
    found = [evaluate(scores.of(ids), everything, weights, topk) for ids in parts.values()]
    confusion = found[0].confusion if len(found) == 1 else None
    return replace(found[0], runs=[part.runs[0] for part in found], confusion=confusion)


def evaluate_each(
    scores: Scores,
    protocol: Protocol | Mapping[str, Collection[str]],
    weights: Weights | None = None,
    topk: Sequence[int] = (1, 5),
) -> list[Result]:
    """`evaluate` for every modality alone, then for the fusion if more than one of them has weight.

    Args:
        protocol: or the parts for `evaluate_parts`.
    """
    weights = weights or Weights()
    rows = [Weights.only(name) for name in scores.modalities]
    if len(active(scores, weights)) > 1:
        rows.append(weights)
    if isinstance(protocol, Protocol):
        return [evaluate(scores, protocol, row, topk) for row in rows]
    return [evaluate_parts(scores, protocol, row, topk) for row in rows]


def confusion_matrix(scores: Scores, weights: Weights, classes: Sequence[str] | None = None) -> IntArray:
    """(K, K) counts of clips: rows are true classes, columns predicted ones, both in the order of `classes`.

    Clips of other classes and undecided clips are in no cell, so a row's sum is the class's clips less its undecided.

    Args:
        classes: class names in any spelling, no class twice; all by default. Predictions are among these only.

    Raises:
        InputError: an unknown class, or weights that leave no modality.
    """
    index = {name: position for position, name in enumerate(scores.class_names)}
    names = resolve(scores.class_names if classes is None else classes, scores.class_names)
    chosen = [index[name] for name in names]
    place_C = np.full(len(index) + 1, -1)  # the last entry stands for labels that are no class, which have index -1
    place_C[chosen] = np.arange(len(chosen))
    true_N, predicted_N = place_C[scores.label_index], predict(scores, weights, chosen)
    counted = (true_N >= 0) & (predicted_N != UNDECIDED)
    cells = true_N[counted] * len(chosen) + place_C[predicted_N[counted]]
    return np.bincount(cells, minlength=len(chosen) ** 2).reshape(len(chosen), len(chosen))


def splits_of(scores: Scores, protocol: Protocol) -> tuple[list[list[int]], IntArray]:
    """The classes of each run, as indices into `class_names`, and (C,) how many clips each class has.

    Raises:
        InputError: a class of the protocol is unknown, or no clip of a run has a label among its classes.
    """
    index = {name: position for position, name in enumerate(scores.class_names)}
    splits = [[index[name] for name in resolve(names, scores.class_names)] for names in protocol.splits]
    clips_C = np.bincount(scores.label_index[scores.label_index >= 0], minlength=len(index))
    for run, split in enumerate(splits, start=1):
        if not clips_C[split].any():
            raise InputError(
                f"run {run} of protocol {protocol.name!r}: no clip is labelled with one of its "
                f"{len(split):,} classes; check the labels of the clips"
            )
    return splits, clips_C


class Ranks(NamedTuple):
    """Some labelled clips in every run.

    Attributes:
        rows: which clips.
        true_n: their classes.
        ahead_nR: classes of the run that stand before the true one; a decided clip is a top-k hit if below k.
        tested_nR: whether the true class is in the run.
        decided_nR: whether it is, and some score for the run's classes is not 0.
    """

    rows: IntArray | slice
    true_n: IntArray
    ahead_nR: FloatArray
    tested_nR: BoolArray
    decided_nR: BoolArray


def ranks(scores: Scores, weights: dict[str, float], splits: Sequence[Sequence[int]]) -> Iterator[Ranks]:
    """Where the true class of every labelled clip stands in every run, block by block; `weights` as `active` has them.

    Args:
        splits: class indices of each run.
    """
    n_classes = len(scores.class_names)
    members_CR = np.zeros((n_classes, len(splits)), np.float32)
    for run, split in enumerate(splits):
        members_CR[split, run] = 1
    for rows in row_blocks(np.flatnonzero(scores.label_index >= 0), n_classes):
        true_n = scores.label_index[rows]
        fused_nC = fuse_rows(scores, weights, rows)
        ahead_nR = before_true(fused_nC, true_n).astype(np.float32) @ members_CR
        tested_nR = members_CR[true_n] > 0
        decided_nR = tested_nR.copy()
        blank = np.flatnonzero(fused_nC[np.arange(len(true_n)), true_n] == 0)
        if blank.size:
            decided_nR[blank] &= (fused_nC[blank] != 0).astype(np.float32) @ members_CR > 0
        yield Ranks(rows, true_n, ahead_nR, tested_nR, decided_nR)


def _count(
    scores: Scores, weights: dict[str, float], splits: Sequence[Sequence[int]], ks: Sequence[int]
) -> tuple[IntArray, IntArray]:
    """(K, C, R) top-k hits of each class's clips in each run, and (R,) undecided clips."""
    hits_KCR = np.zeros((len(ks), len(scores.class_names), len(splits)), np.int64)
    undecided_R = np.zeros(len(splits), np.int64)
    for _, true_n, ahead_nR, tested_nR, decided_nR in ranks(scores, weights, splits):
        undecided_R += (tested_nR & ~decided_nR).sum(axis=0)
        order = np.argsort(true_n, kind="stable")
        present, starts = np.unique(true_n[order], return_index=True)
        for row, k in enumerate(ks):
            hit_nR = (ahead_nR < k) & decided_nR
            hits_KCR[row, present] += np.add.reduceat(hit_nR[order], starts, axis=0, dtype=np.int64)
    return hits_KCR, undecided_R
