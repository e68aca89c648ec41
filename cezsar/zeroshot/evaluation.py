"""Evaluation: the field's accuracies over the runs of a protocol, and which clips each run gets right.

A clip is tested in a run when its true class is among the run's. It is a top-k hit when fewer than k of these score
above its true class; of equal scores the class of lowest index in `Scores.class_names` stands first. A clip whose
scores for the run's classes are all exactly 0 is undecided, and no hit whatever k is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cezsar.arrays import IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, before_true, fuse_rows, predict, row_blocks
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import KS, Result, SplitResult
from cezsar.zeroshot.scores import Scores

OFFICIAL = "official test splits"
RIGHT, WRONG, NOT_TESTED = 1, 0, -1

ScoresOf = Callable[[list[str]], Scores]
"""The scores of a run, where they depend on its classes; of the same clips for all."""
Parts = Mapping[str, Collection[str]]
"""Part of a data set, such as an official test split -> clip ids."""


def evaluate(scores: Scores | ScoresOf, protocol: Protocol | Parts, weights: Weights | None = None) -> Result:
    """Top-1, top-5 and mean per-class accuracy of fused scores (Eq. 8-9) in every run of a protocol.

    Of parts, each is a run with all classes to choose from. Raises `InputError` where a class is unknown, no clip of a
    run has a label among its classes, or the weights, by default the paper's, leave no modality.
    """
    weights = weights or Weights()
    if isinstance(scores, Scores) and isinstance(protocol, Protocol):
        return _evaluate(scores, protocol, weights)
    if isinstance(protocol, Protocol):
        assert not isinstance(scores, Scores)
        parts = [_evaluate(scores(names), replace(protocol, splits=[names]), weights) for names in protocol.splits]
    elif protocol and isinstance(scores, Scores):
        everything = Protocol(OFFICIAL, [scores.class_names])
        parts = [_evaluate(scores.of(ids), everything, weights) for ids in protocol.values()]
    else:
        raise InputError(
            "there are no official parts to evaluate on; give the whole of a data set that has test splits"
        )
    confusion = parts[0].confusion if len(parts) == 1 else None
    return replace(parts[0], runs=[part.runs[0] for part in parts], confusion=confusion)


def _evaluate(scores: Scores, protocol: Protocol, weights: Weights) -> Result:
    splits, clips_C = _splits(scores, protocol)
    hits_KCR = np.zeros((len(KS), len(clips_C), len(splits)), np.int64)
    undecided_R = np.zeros(len(splits), np.int64)
    for _, true_n, rank_nR in ranks(scores, weights, splits):
        undecided_R += (rank_nR == 0).sum(axis=0)
        order = np.argsort(true_n, kind="stable")
        present, starts = np.unique(true_n[order], return_index=True)
        for row, k in enumerate(KS):
            hit_nR = (rank_nR[order] > 0) & (rank_nR[order] <= k)
            hits_KCR[row, present] += np.add.reduceat(hit_nR, starts, axis=0, dtype=np.int64)
    runs = [
        SplitResult(
            [scores.class_names[c] for c in split], clips_C[split].tolist(),
            {k: hits_KCR[row, split, run].tolist() for row, k in enumerate(KS)},
            int(undecided_R[run]), len(scores.ids) - int(clips_C[split].sum()),
        )
        for run, split in enumerate(splits)
    ]  # fmt: skip
    confusion = confusion_matrix(scores, weights, runs[0].classes).tolist() if len(runs) == 1 else None
    return Result(protocol.name, protocol.seed, " + ".join(active(scores, weights)), weights, runs, confusion)


def evaluate_each(scores: Scores, protocol: Protocol | Parts, weights: Weights | None = None) -> list[Result]:
    """`evaluate` every modality alone, then the fusion if several have weight."""
    weights = weights or Weights()
    rows = [Weights.only(name) for name in scores.modalities]
    rows += [weights] if len(active(scores, weights)) > 1 else []
    return [evaluate(scores, protocol, row) for row in rows]


def confusion_matrix(scores: Scores, weights: Weights, classes: Sequence[str] | None = None) -> IntArray:
    """(K, K) counts of clips: rows are true classes, columns predicted ones, in the order of `classes`, by default all.

    Predictions are among these only. Clips of other classes and undecided clips are in no cell, so a row's sum is the
    class's clips less its undecided.
    """
    chosen = scores.indices(classes)
    place_C = np.full(len(scores.class_names) + 1, -1)  # the last entry stands for labels of no class: index -1
    place_C[chosen] = np.arange(len(chosen))
    true_N, predicted_N = place_C[scores.label_index], predict(scores, weights, chosen)
    counted = (true_N >= 0) & (predicted_N != UNDECIDED)
    cells = true_N[counted] * len(chosen) + place_C[predicted_N[counted]]
    return np.bincount(cells, minlength=len(chosen) ** 2).reshape(len(chosen), len(chosen))


# Clip for clip -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Correctness:
    """Which of N clips each of the R runs of a protocol gets right: what two methods are compared by."""

    ids: list[str]
    labels: list[str]  # as the scores spell the class; "" where it is unknown or none of the classes
    protocol: str  # its name
    seed: int | None  # of its random choice of classes; None where nothing was random
    right_NR: npt.NDArray[np.int8]  # `RIGHT`, `WRONG`, which undecided clips are, too, or `NOT_TESTED`

    def accuracy(self) -> npt.NDArray[np.float64]:
        """(R,) top-1 accuracy of each run, over the clips that it tests: `SplitResult.top1` of `evaluate`."""
        right_R, tested_R = ((self.right_NR >= least).sum(axis=0) for least in (RIGHT, WRONG))
        return right_R / tested_R


def correctness(scores: Scores | ScoresOf, protocol: Protocol, weights: Weights | None = None) -> Correctness:
    """Per-sample correctness of fused scores in every run. Arguments and errors are those of `evaluate`."""
    if not isinstance(scores, Scores):
        parts = [correctness(scores(names), replace(protocol, splits=[names]), weights) for names in protocol.splits]
        labels = [max(known) for known in zip(*(part.labels for part in parts), strict=True)]  # "" where not tested
        return replace(parts[0], labels=labels, right_NR=np.hstack([part.right_NR for part in parts]))
    splits, _ = _splits(scores, protocol)
    right_NR = np.full((len(scores.ids), len(splits)), NOT_TESTED, np.int8)
    for rows, _, rank_nR in ranks(scores, weights or Weights(), splits):
        right_NR[rows] = np.where(rank_nR < 0, NOT_TESTED, rank_nR == 1)
    names = [*scores.class_names, ""]  # the last one is for index -1
    labels = [names[index] for index in scores.label_index]
    return Correctness(scores.ids, labels, protocol.name, protocol.seed, right_NR)


def _splits(scores: Scores, protocol: Protocol) -> tuple[list[IntArray], IntArray]:
    """The classes of each run as indices, some of them with clips, and (C,) how many clips each class has."""
    splits = [scores.indices(names) for names in protocol.splits]
    clips_C = np.bincount(scores.label_index[scores.label_index >= 0], minlength=len(scores.class_names))
    for run, split in enumerate(splits, start=1):
        if not clips_C[split].any():
            raise InputError(
                f"run {run} of protocol {protocol.name!r}: no clip is labelled with one of its {len(split):,} classes; "
                "check the labels of the clips"
            )
    return splits, clips_C


def ranks(
    scores: Scores, weights: Weights, splits: Sequence[IntArray]
) -> Iterator[tuple[IntArray | slice, IntArray, npt.NDArray[np.int32]]]:
    """Labelled clips, block by block: which rows, their classes, and (n, R) the rank of these among a run's classes.

    A rank is from 1; 0 for an undecided clip, -1 for one that the run does not test. Whether a class stands before the
    true one does not depend on the run, which only says which of these classes count: one product serves all runs.
    """
    n_classes = len(scores.class_names)
    members_CR = np.zeros((n_classes, len(splits)), np.float32)
    for run, split in enumerate(splits):
        members_CR[split, run] = 1
    for rows in row_blocks(np.flatnonzero(scores.label_index >= 0), n_classes):
        true_n = scores.label_index[rows]
        fused_nC = fuse_rows(scores, weights, rows)
        rank_nR = (before_true(fused_nC, true_n).astype(np.float32) @ members_CR).astype(np.int32) + 1
        blank = np.flatnonzero(fused_nC[np.arange(len(true_n)), true_n] == 0)
        rank_nR[blank] *= (fused_nC[blank] != 0).astype(np.float32) @ members_CR > 0
        rank_nR[members_CR[true_n] == 0] = -1
        yield rows, true_n, rank_nR
