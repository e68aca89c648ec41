"""Hits: which clips each run of a protocol gets right; what two methods are compared by, clip for clip.

`evaluation` counts the same hits by class. Here every clip keeps its own, so that methods that were asked about the
same clips can be compared in pairs (`cezsar.analysis.comparison`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import ranks, splits_of
from cezsar.zeroshot.fusion import Weights, active
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores

HitArray = npt.NDArray[np.int8]
DoubleArray = npt.NDArray[np.float64]

RIGHT, WRONG, NOT_TESTED = 1, 0, -1


@dataclass(frozen=True, eq=False)
class Hits:
    """N clips in the R runs of a protocol.

    Attributes:
        ids: clip names, all different.
        labels: true class of each clip, as the scores spell it; "" where it is unknown or none of the classes.
        protocol: its name.
        seed: of its random choice of classes; None where nothing was random.
        hits_NR: int8: 1 the true class is the best one, 0 it is not, or nothing speaks for any class; -1 the clip is
            not tested in this run, since its class is not among the run's.

    Raises:
        InputError: parts that do not fit together, or a run that tests no clip.
    """

    ids: list[str]
    labels: list[str]
    protocol: str
    seed: int | None
    hits_NR: HitArray

    def __post_init__(self) -> None:
        hits_NR = np.asarray(self.hits_NR)
        if hits_NR.ndim != 2 or not hits_NR.shape[1] or not len(self.ids) == len(self.labels) == len(hits_NR):
            raise InputError(
                f"hits of shape {hits_NR.shape} do not go with {len(self.ids):,} clips and {len(self.labels):,} "
                "labels; give a row to each clip, and a column to each run"
            )
        if len(set(self.ids)) < len(self.ids):
            raise InputError("a clip id is given twice; ids must differ")
        if not np.isin(hits_NR, (RIGHT, WRONG, NOT_TESTED)).all():
            raise InputError("hits are 1 (right), 0 (wrong) or -1 (not tested)")
        empty = np.flatnonzero((hits_NR == NOT_TESTED).all(axis=0))
        if empty.size:
            raise InputError(f"run {empty[0] + 1} of protocol {self.protocol!r} tests no clip; leave it out")
        unknown = [row for row, label in enumerate(self.labels) if not label]
        if (hits_NR[unknown] != NOT_TESTED).any():
            raise InputError("a clip without a label is said to be tested; give its label")
        object.__setattr__(self, "hits_NR", hits_NR.astype(np.int8, copy=False))

    @property
    def runs(self) -> int:
        return self.hits_NR.shape[1]

    def accuracy(self) -> DoubleArray:
        """(R,) top-1 accuracy of each run, over the clips that it tests: `Run.top1` of `evaluation.evaluate`."""
        right_R, tested_R = ((self.hits_NR >= least).sum(axis=0) for least in (RIGHT, WRONG))
        return right_R / tested_R


def hits(scores: Scores, protocol: Protocol, weights: Weights | None = None) -> Hits:
    """Which clips fused scores (Eq. 8-9) get right in every run; ties and undecided clips are as in `evaluation`.

    Args:
        protocol: its class names may be in any spelling.
        weights: α, β, γ; the paper's by default.

    Raises:
        InputError: a class of the protocol is unknown, no clip of a run has a label among its classes, or the weights
            leave no modality.
    """
    splits, _ = splits_of(scores, protocol)
    hits_NR = np.full((len(scores.ids), len(splits)), NOT_TESTED, np.int8)
    for block in ranks(scores, active(scores, weights or Weights()), splits):
        hits_NR[block.rows] = np.where(block.tested_nR, (block.ahead_nR < 1) & block.decided_nR, NOT_TESTED)
    names = [*scores.class_names, ""]  # the last one is for index -1
    labels = [names[index] for index in scores.label_index]
    return Hits(list(scores.ids), labels, protocol.name, protocol.seed, hits_NR)


def hits_by_run(scores_of: Callable[[list[str]], Scores], protocol: Protocol, weights: Weights | None = None) -> Hits:
    """`hits`, where scores depend on which classes there are to choose from, as shares of the classes of a run do.

    Args:
        scores_of: the classes of a run -> its scores, for these classes at least. The clips are the same in all runs.

    Raises:
        InputError: as `hits` does, and where two runs are about different clips.
    """
    columns: list[HitArray] = []
    ids: list[str] = []
    labels: list[str] = []
    for split in protocol.splits:
        part = hits(scores_of(split), Protocol(protocol.name, [split], protocol.seed), weights)
        if columns and part.ids != ids:
            raise InputError(f"runs 1 and {len(columns) + 1} of protocol {protocol.name!r} have different clips")
        ids = part.ids
        labels = [known or label for known, label in zip(labels or part.labels, part.labels, strict=True)]
        columns.append(part.hits_NR[:, 0])
    return Hits(ids, labels, protocol.name, protocol.seed, np.stack(columns, axis=1))
