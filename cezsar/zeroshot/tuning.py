"""Tuning: what any weights of the modalities would give, answered at once and exactly as `fusion` and `evaluation` do.

Moving α changes the order of few classes: of 400 about 27 can be among a clip's five best at all (`skyband`). A `Tuner`
finds them once, lays them out so that one NumPy operation serves thousands of clips, and from then on fuses those only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import UNDECIDED, Weights, row_blocks
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.skyband import skyband
from cezsar.zeroshot.storage import read_arrays, write_arrays

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]

TOP = 5  # hits are told up to this k
CLIPS_AT_ONCE = 1 << 13  # a row of a block is 32 KB of float32: rows stay in the cache from one operation to the next


@dataclass(frozen=True, eq=False)
class Tuned:
    """What some weights give, for all N clips of the scores. Clips of other classes are not tested, and no hits.

    Attributes:
        weights: α, β, γ.
        class_names: of the scores, in their order.
        classes: the split, as indices into `class_names`, in its own order.
        truth_N: class index of each tested clip; -1 for the others.
        predicted_N: class index; `UNDECIDED` (-1) where all scores are exactly 0, and for clips that are not tested.
        top1_N: whether the true class is the best.
        top5_N: whether it is among the five best.
    """

    weights: Weights
    class_names: list[str]
    classes: IntArray
    truth_N: IntArray
    predicted_N: IntArray
    top1_N: BoolArray
    top5_N: BoolArray

    @property
    def n_clips(self) -> int:
        """Clips tested."""
        return int(self._clips.sum())

    @cached_property
    def top1(self) -> float:
        """Share of tested clips that are top-1 hits."""
        return int(np.count_nonzero(self.top1_N)) / self.n_clips

    @cached_property
    def top5(self) -> float:
        """Share of tested clips that are top-5 hits."""
        return int(np.count_nonzero(self.top5_N)) / self.n_clips

    @cached_property
    def per_class(self) -> dict[str, float]:
        """Top-1 accuracy of every class of the split that has clips."""
        hits_C, clips_C = self._per_class(self.truth_N[self.top1_N]), self._clips
        return {self.class_names[c]: int(hits_C[c]) / int(clips_C[c]) for c in self.classes if clips_C[c]}

    @cached_property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        return sum(self.per_class.values()) / len(self.per_class)

    @cached_property
    def undecided(self) -> int:
        """Tested clips whose scores for the classes of the split are all exactly 0."""
        return int(np.count_nonzero((self.predicted_N == UNDECIDED) & (self.truth_N >= 0)))

    @cached_property
    def _clips(self) -> IntArray:
        return self._per_class(self.truth_N[self.truth_N >= 0])

    def _per_class(self, classes: IntArray) -> IntArray:
        return np.bincount(classes, minlength=len(self.class_names))


class Flips(NamedTuple):
    """Clips, as ascending row numbers, that became right, became wrong, or went from one wrong class to another."""

    gained: IntArray
    lost: IntArray
    changed: IntArray


class Gain(NamedTuple):
    """Clips of one class that became right and wrong, and the difference."""

    name: str
    gained: int
    lost: int
    net: int


def flips(before: Tuned, after: Tuned) -> Flips:
    """Which predictions turned between two settings of the same `Tuner`.

    Raises:
        InputError: different clips or classes were tested.
    """
    _refuse_different(before, after)
    moved_N = before.predicted_N != after.predicted_N
    gained_N, lost_N = after.top1_N & ~before.top1_N, before.top1_N & ~after.top1_N
    return Flips(*(np.flatnonzero(mask_N) for mask_N in (gained_N, lost_N, moved_N & ~gained_N & ~lost_N)))


def gains(before: Tuned, after: Tuned) -> list[Gain]:
    """Gained, lost and net clips of every class that has clips, the largest net change first, then by most turned.

    Raises:
        InputError: different clips or classes were tested.
    """
    turned = flips(before, after)
    gained_C, lost_C = (before._per_class(before.truth_N[rows]) for rows in (turned.gained, turned.lost))
    found = [
        Gain(before.class_names[c], int(gained_C[c]), int(lost_C[c]), int(gained_C[c] - lost_C[c]))
        for c in before.classes
        if before._clips[c]
    ]
    return sorted(found, key=lambda gain: (-abs(gain.net), -gain.gained - gain.lost))


def _refuse_different(before: Tuned, after: Tuned) -> None:
    same = np.array_equal(before.truth_N, after.truth_N) and set(before.classes) == set(after.classes)
    if not same or before.class_names != after.class_names:
        raise InputError("the two settings tested different clips or classes; compare settings of one tuner")


class _Block(NamedTuple):
    """Clips with about equally many rivals. Rivals are columns of other classes, those of each clip in column order.

    Attributes:
        rows_n: the clips, as rows of the scores.
        truth_n: their true classes.
        own_MSn: scores of the S columns of the true class, the last one repeated where it has fewer.
        rival_MWn: scores of at most W rivals; -inf after a clip's last.
        rival_class_Wn: class of each rival; -1 after the last.
        lower_n: how many of the rivals are columns of classes with a lower index than the true one.
    """

    rows_n: IntArray
    truth_n: IntArray
    own_MSn: FloatArray
    rival_MWn: FloatArray
    rival_class_Wn: IntArray
    lower_n: IntArray


class Tuner:
    """Answers for any weights at once. Built once; `at` changes nothing, so one tuner serves any number of threads.

    Hits, predictions and figures are those of `evaluation.evaluate` and `fusion.predict` for the same classes, ties and
    undecided clips included. That holds unless weights or scores are so small that float32 has no digits left for
    their products (below 1e-30, say).

    Args:
        scores: not kept; the tuner holds what it needs.
        classes: names, in any spelling, of the classes to choose from; all by default. Clips of others do not count.
        on_progress: called with the number of clips done, and of all.

    Attributes:
        class_names: of the scores.
        classes: indices of the classes to choose from, in the order given.
        modalities: those of the scores.
        truth_N: class of each clip; -1 where it does not count.

    Raises:
        InputError: an unknown class, or no clip is labelled with one of the classes.
    """

    def __init__(
        self, scores: Scores, classes: Sequence[str] | None = None, on_progress: Progress | None = None
    ) -> None:
        index = {name: position for position, name in enumerate(scores.class_names)}
        names = scores.class_names if classes is None else resolve(classes, scores.class_names)
        self.class_names = scores.class_names
        self.classes = np.array([index[name] for name in names], np.int64)
        self.modalities = scores.modalities
        self.truth_N = np.where(np.isin(scores.label_index, self.classes), scores.label_index, -1)
        if not (self.truth_N >= 0).any():
            raise InputError(
                f"no clip is labelled with one of the {len(names):,} classes; check the labels of the clips"
            )
        self._blocks, self._several = _lay_out(scores, self.classes, self.truth_N, on_progress)

    def at(self, weights: Weights) -> Tuned:
        """What `weights` give.

        Raises:
            InputError: they leave no modality.
        """
        found = [(row, np.float32(weights.of(name))) for row, name in enumerate(self.modalities)]
        counted = [(row, weight) for row, weight in found if weight > 0]
        if not counted:
            raise InputError(f"these weights leave nothing: the clips have {' and '.join(self.modalities)} only")
        predicted_N = np.full(len(self.truth_N), UNDECIDED, np.int64)
        ahead_N = np.full(len(self.truth_N), TOP, np.int64)
        for block in self._blocks:
            predicted_N[block.rows_n], ahead_N[block.rows_n] = _decide(block, counted, self._several)
        return Tuned(
            weights, self.class_names, self.classes, self.truth_N, predicted_N, ahead_N == 0, ahead_N < TOP
        )  # fmt: skip

    @property
    def rivals_per_clip(self) -> float:
        """Columns of other classes that are fused for a clip, on average; without pruning it would be all of them."""
        rivals = sum(np.count_nonzero(block.rival_class_Wn >= 0) for block in self._blocks)
        return rivals / sum(len(block.rows_n) for block in self._blocks)

    @property
    def nbytes(self) -> int:
        """Memory that the tuner holds."""
        return self.truth_N.nbytes + sum(array.nbytes for block in self._blocks for array in block)

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, whole or not at all."""
        arrays: dict[str, npt.NDArray[Any]] = {"classes": self.classes, "truth": self.truth_N}
        for number, block in enumerate(self._blocks):
            arrays |= {f"{number}.{field}": array for field, array in block._asdict().items()}
        described = {
            "class_names": self.class_names,
            "modalities": list(self.modalities),
            "blocks": len(self._blocks),
            "several": self._several,
        }
        write_arrays(path, "tuner", arrays, described)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or holds something else.
        """
        arrays, described = read_arrays(path, "tuner")
        tuner = cls.__new__(cls)
        try:
            tuner.class_names, tuner.modalities = described["class_names"], tuple(described["modalities"])
            tuner.classes, tuner.truth_N = arrays["classes"], arrays["truth"]
            tuner._several = described["several"]
            tuner._blocks = [
                _Block(**{field: arrays[f"{number}.{field}"] for field in _Block._fields})
                for number in range(described["blocks"])
            ]
        except (KeyError, TypeError) as error:
            raise FormatError(f"{path} is damaged: {error} is missing or wrong; make it again") from error
        return tuner


def _decide(block: _Block, weights: list[tuple[int, np.float32]], several: bool) -> tuple[IntArray, IntArray]:
    """(n,) predicted class, and (n,) how many classes stand before the true one, `TOP` where nothing is decided.

    The tie rule of `evaluation._before` without a comparison of its own: rivals of a lower class stand before the true
    one from its score on, which is: above the next smaller float.
    """
    own_n = np.maximum.reduce(_fuse(block.own_MSn, weights))
    bar_n = np.nextafter(own_n, np.float32(-np.inf))
    best_n = np.full_like(own_n, -np.inf)
    rival_n = block.truth_n.astype(block.rival_class_Wn.dtype)
    ahead_n = np.zeros(len(own_n), np.uint16)
    met_n = np.full_like(rival_n, -1)  # the last class counted as ahead: with several columns it counts only once
    mask_n = np.empty(len(own_n), np.bool_)
    fused_n, part_n = np.empty_like(own_n), np.empty_like(own_n)
    for slot, class_n in enumerate(block.rival_class_Wn):
        np.copyto(bar_n, own_n, where=np.equal(block.lower_n, slot, out=mask_n))
        _fuse_into(fused_n, part_n, block.rival_MWn[:, slot], weights)
        np.greater(fused_n, bar_n, out=mask_n)
        if several:
            mask_n &= class_n != met_n
            np.copyto(met_n, class_n, where=mask_n)
        ahead_n += mask_n
        np.copyto(rival_n, class_n, where=np.greater(fused_n, best_n, out=mask_n))
        np.maximum(best_n, fused_n, out=best_n)
    predicted_n = np.where(ahead_n == 0, block.truth_n, rival_n)
    blank = _blank(block, weights, own_n, best_n)
    predicted_n[blank] = UNDECIDED
    ahead_n[blank] = TOP
    return predicted_n, ahead_n


def _fuse(scores_MKn: FloatArray, weights: list[tuple[int, np.float32]]) -> FloatArray:
    """(K, n) weighted sums, rounded as in `fusion.fuse_rows`."""
    fused_Kn, part_Kn = np.empty_like(scores_MKn[0]), np.empty_like(scores_MKn[0])
    _fuse_into(fused_Kn, part_Kn, scores_MKn, weights)
    return fused_Kn


def _fuse_into(
    fused: FloatArray, part: FloatArray, scores_M: FloatArray, weights: list[tuple[int, np.float32]]
) -> None:
    (first, weight), *others = weights
    np.multiply(scores_M[first], weight, out=fused)
    for row, weight in others:
        fused += np.multiply(scores_M[row], weight, out=part)


def _blank(
    block: _Block, weights: list[tuple[int, np.float32]], own_n: FloatArray, best_n: FloatArray
) -> npt.NDArray[np.int64]:
    """Clips of the block for which every class scores 0. What was kept of a clip tells (`_telling`)."""
    maybe = np.flatnonzero(np.maximum(own_n, best_n) == 0)
    if not maybe.size:
        return maybe
    classes_Wm = block.rival_class_Wn[:, maybe]
    fused_Wm = _fuse(block.rival_MWn[:, :, maybe], weights)
    zero = _distinct(classes_Wm, fused_Wm == 0) == _distinct(classes_Wm, classes_Wm >= 0)
    return maybe[zero & (own_n[maybe] == 0)]


def _distinct(classes_Wm: IntArray, counted_Wm: BoolArray) -> npt.NDArray[np.int64]:
    """(m,) number of different classes among the counted entries of each column; equal classes are neighbours."""
    met_m = np.full(classes_Wm.shape[1], -1)
    count_m = np.zeros(classes_Wm.shape[1], np.int64)
    for class_m, counted_m in zip(classes_Wm, counted_Wm, strict=True):
        new_m = counted_m & (class_m != met_m)
        met_m[new_m] = class_m[new_m]
        count_m += new_m
    return count_m


class _Kept(NamedTuple):
    """What pruning leaves of n clips: their own columns, and R rivals of all of them, one clip after the other."""

    own_MSn: FloatArray
    rival_MR: FloatArray
    rival_class_R: IntArray
    rivals_n: IntArray


def _lay_out(
    scores: Scores, classes: IntArray, truth_N: IntArray, on_progress: Progress | None
) -> tuple[list[_Block], bool]:
    """Prune every clip's columns and gather what is left in blocks; and whether a class has several columns."""
    assert scores.column_class is not None
    columns = np.flatnonzero(np.isin(scores.column_class, classes))
    small = np.int16 if len(scores.class_names) < 1 << 15 else np.int32
    class_P: IntArray = scores.column_class[columns].astype(small)
    tested = np.flatnonzero(truth_N >= 0)
    parts: list[_Kept] = []
    done = 0
    for rows in row_blocks(tested, len(scores.column_class)):
        matrices = [matrix_NP[rows] for matrix_NP in scores.columns.values()]
        if len(columns) < len(scores.column_class):
            matrices = [matrix_nP[:, columns] for matrix_nP in matrices]
        parts.append(_prune(matrices, class_P, truth_N[rows]))
        done += len(parts[-1].rivals_n)
        if on_progress:
            on_progress(done, len(tested))
    nothing = np.full((len(matrices), 1), -np.inf, np.float32)  # what stands after a clip's last rival
    kept = _Kept(
        np.concatenate([part.own_MSn for part in parts], axis=2),
        np.concatenate([*(part.rival_MR for part in parts), nothing], axis=1),
        np.concatenate([*(part.rival_class_R for part in parts), np.array([-1], class_P.dtype)]),
        np.concatenate([part.rivals_n for part in parts]),
    )
    return _blocks(kept, tested, truth_N[tested]), len(class_P) > len(classes)


def _prune(matrices: list[FloatArray], class_P: IntArray, truth_n: IntArray) -> _Kept:
    members, first, size = np.unique(class_P, return_index=True, return_counts=True)
    several = int(size.max())
    place_n1 = np.searchsorted(members, truth_n)[:, None]
    own_nS = np.minimum(first[place_n1] + np.arange(several), first[place_n1] + size[place_n1] - 1)
    # A column behind this many is behind one of its own class, or behind columns of `TOP` others.
    kept_nP = skyband(matrices, (TOP - 1) * several + 1)
    kept_nP |= _telling(matrices, several=several > 1)
    np.put_along_axis(kept_nP, own_nS, False, axis=1)
    clip_R, column_R = np.nonzero(kept_nP)
    return _Kept(
        np.stack([np.take_along_axis(matrix_nP, own_nS, axis=1).T for matrix_nP in matrices]),
        np.stack([matrix_nP[clip_R, column_R] for matrix_nP in matrices]),
        class_P[column_R],
        np.count_nonzero(kept_nP, axis=1),
    )


def _blocks(kept: _Kept, tested: IntArray, truth_n: IntArray) -> list[_Block]:
    """Clips in the order of their number of rivals, so that blocks have few empty places."""
    starts_n = np.cumsum(kept.rivals_n) - kept.rivals_n
    order = np.argsort(kept.rivals_n, kind="stable")
    blocks = []
    for first in range(0, len(order), CLIPS_AT_ONCE):
        clips = order[first : first + CLIPS_AT_ONCE]
        slot_W1 = np.arange(kept.rivals_n[clips].max())[:, None]
        place_Wn = np.where(slot_W1 < kept.rivals_n[clips], starts_n[clips] + slot_W1, -1)
        class_Wn = kept.rival_class_R[place_Wn]
        lower_n = np.count_nonzero((class_Wn >= 0) & (class_Wn < truth_n[clips]), axis=0).astype(class_Wn.dtype)
        own_MSn, rival_MWn = kept.own_MSn[:, :, clips], kept.rival_MR[:, place_Wn]
        blocks.append(_Block(tested[clips], truth_n[clips], own_MSn, rival_MWn, class_Wn, lower_n))
    return blocks


def _telling(matrices: Sequence[FloatArray], *, several: bool) -> BoolArray:
    """(n, P) columns to keep so that a clip is blank for some weights exactly when all its kept columns score 0.

    Where one column is positive in every modality that the clip has, the best score is above 0 or the clip is blank in
    all modalities that count; nothing is needed. A column negative in all of them is never 0. Failing both, as when two
    modalities are opposite and may cancel out, every column is kept.
    """
    lacking = [~matrix_nP.any(axis=1, keepdims=True) for matrix_nP in matrices]
    pairs = list(zip(matrices, lacking, strict=True))
    present_n = np.logical_or.reduce([matrix_nP.any(axis=1) for matrix_nP in matrices])
    positive_nP: BoolArray = np.logical_and.reduce([(matrix_nP > 0) | lacking_n1 for matrix_nP, lacking_n1 in pairs])
    negative_nP: BoolArray = np.logical_and.reduce([(matrix_nP < 0) | lacking_n1 for matrix_nP, lacking_n1 in pairs])
    kept_nP = np.zeros(positive_nP.shape, np.bool_)
    open_n = present_n & ~positive_nP.any(axis=1)
    told_n: BoolArray = np.zeros_like(open_n) if several else open_n & negative_nP.any(axis=1)
    kept_nP[told_n, negative_nP[told_n].argmax(axis=1)] = True
    kept_nP[open_n & ~told_n] = True
    return kept_nP
