"""Evaluation: the field's accuracies over the runs of a protocol, which clips each run gets right, and stacking. A clip
is tested in a run when its true class is among the run's. It is a top-k hit when fewer than k of these score above its
true class; of equal scores the class of lowest index stands first. A clip whose scores for the run's classes are all
exactly 0 is undecided, and no hit."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, IntArray
from cezsar.data.documents import read_json_object
from cezsar.data.labels import resolve
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.formats import check_stamp, stamp
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, before_true, fuse, predict, row_blocks, similarities
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores

AGAIN = "give the JSON file that `cezsar evaluate --out` wrote"
KS = (1, 5)  # top-k accuracies that are counted
METRICS = {"top1": "Top-1 (%)", "top5": "Top-5 (%)", "mean_per_class": "Mean per class (%)"}
"""Names of figures, in the order of tables, with their titles."""
STD_DDOF = 1
"""What follows "±" is the sample standard deviation over runs, which are a sample of the possible splits; papers of the
field do not say which they give."""
OFFICIAL = "official test splits"
NOT_TESTED = -1

ScoresOf = Callable[[list[str]], Scores]
"""The scores of a run, where they depend on its classes; of the same clips for all."""
Parts = Mapping[str, Collection[str]]
"""Part of a data set, such as an official test split -> clip ids."""


def percent(mean: float, std: float | None = None) -> str:
    """A fraction in percent with one decimal: "49.8", or with a deviation "59.1 ± 2.7"."""
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


class Figure(NamedTuple):
    """A fraction in [0, 1]: mean over runs, and sample standard deviation (ddof = 1), None with one run."""

    mean: float
    std: float | None = None

    def percent(self) -> str:
        return percent(*self)


def figure_of(values: Sequence[float]) -> Figure:
    """Mean and sample standard deviation of one number a run."""
    return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class SplitResult:
    """One split of classes: what was counted."""

    classes: list[str]
    clips: list[int]  # test clips of each class
    hits: dict[int, list[int]]  # k (1 and 5) -> clips of each class whose true class is among their k best
    undecided: int = 0  # clips whose scores for these classes are all 0; they are no hit for any k
    left_out: int = 0  # clips that were not tested, since their label is unknown or none of `classes`

    @property
    def n_clips(self) -> int:
        return sum(self.clips)

    @property
    def empty_classes(self) -> list[str]:
        """Classes to choose from that no clip belongs to; the per-class mean is over the others."""
        return [name for name, clips in zip(self.classes, self.clips, strict=True) if not clips]

    def per_class(self) -> dict[str, float]:
        """Top-1 accuracy of every class that has clips."""
        rows = zip(self.classes, self.hits[1], self.clips, strict=True)
        return {name: hits / clips for name, hits, clips in rows if clips}

    @property
    def top1(self) -> float:
        return sum(self.hits[1]) / self.n_clips

    @property
    def top5(self) -> float:
        return sum(self.hits[5]) / self.n_clips

    @property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        accuracies = self.per_class().values()
        return sum(accuracies) / len(accuracies)

    def chance(self, k: int = 1) -> float:
        """Top-k accuracy of guessing among the classes, each as likely."""
        return min(k, len(self.classes)) / len(self.classes)

    def figures(self) -> dict[str, float]:  # `METRICS` as fractions
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True)
class Result:
    """The accuracies of one way to score, over the runs of a protocol."""

    protocol: str  # its name
    seed: int | None  # of its random choice of classes; None where nothing was random
    modality: str  # what was scored: "VE", "O", "VE + O", ...
    weights: Weights  # α, β, γ
    runs: list[SplitResult]
    # Counts, (K, K): rows true, columns predicted classes of the only run, without undecided clips; None with several.
    confusion: list[list[int]] | None = None
    method: str = ""  # what scored, where that is not plain: see `cezsar.zeroshot.methods`

    @property
    def name(self) -> str:
        """What scored: "VE + O", or with its method "Captions, after [12]: C"."""
        return f"{self.method}: {self.modality}" if self.method else self.modality

    def figure(self, metric: str = "top1") -> Figure:
        """Mean and standard deviation over runs of one of `METRICS`."""
        return figure_of([getattr(run, metric) for run in self.runs])

    def chance(self, k: int = 1) -> float:
        """Top-k chance level, mean over runs."""
        return statistics.fmean(run.chance(k) for run in self.runs)

    def per_class(self) -> dict[str, Figure]:
        """Top-1 accuracy of each class, over the runs that tested it; the worst class first."""
        values: dict[str, list[float]] = {}
        for run in self.runs:
            for name, accuracy in run.per_class().items():
                values.setdefault(name, []).append(accuracy)
        figures = {name: figure_of(found) for name, found in values.items()}
        return dict(sorted(figures.items(), key=lambda item: item[1].mean))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it. Fractions stand beside the counts for those who read the file."""
        return {
            **stamp("result"), "method": self.method, "protocol": self.protocol,
            "seed": self.seed, "modality": self.modality, "weights": asdict(self.weights), "std_ddof": STD_DDOF,
            "chance": {f"top{k}": self.chance(k) for k in KS},
            "summary": {name: self.figure(name)._asdict() for name in METRICS},
            "runs": [asdict(run) | run.figures() for run in self.runs], "confusion": self.confusion,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Any) -> Result:
        """What `to_dict` made. Raises `FormatError` where it is none."""
        try:
            check_stamp("it", "result", value, AGAIN)
            runs = []
            for kept in value["runs"]:
                own = {field.name: kept[field.name] for field in fields(SplitResult)}
                runs.append(SplitResult(**own | {"hits": {k: kept["hits"][str(k)] for k in KS}}))
                runs[-1].figures()  # what has no figures is damaged
            about = {key: value[key] for key in ("protocol", "seed", "modality", "confusion")}
            return cls(runs=runs, weights=Weights(**value["weights"]), method=str(value.get("method", "")), **about)
        except (InputError, *DAMAGED) as error:
            raise FormatError(f"the result is damaged ({error}); evaluate again") from error


def load_all(path: str | Path) -> list[Result]:
    """The results that `tables.save_all` wrote. Raises `FormatError` where it holds none, or was damaged."""
    value = read_json_object(path)
    check_stamp(path, "results", value, AGAIN)
    if not value.get("results"):
        raise FormatError(f"{path} holds no results; {AGAIN}")
    try:
        return [Result.from_dict(entry) for entry in value["results"]]
    except (FormatError, TypeError) as error:
        raise FormatError(f"{path}: {error}") from error


# Accuracies -----------------------------------------------------------------------------------------------------------


def evaluate(scores: Scores | ScoresOf, protocol: Protocol | Parts, weights: Weights | None = None) -> Result:
    """Accuracies of fused scores (Eq. 8-9) in every run of a protocol; of parts, each is a run with all classes. Raises
    `InputError` where a class is unknown, a run has no clip of its classes, or the weights leave no modality."""
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
    """(K, K) counts of clips: rows are true classes, columns predicted ones among `classes`, by default all, in their
    order. Clips of other classes and undecided clips are in no cell."""
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
    right_NR: npt.NDArray[np.int8]  # 1 right, 0 wrong or undecided, or `NOT_TESTED`

    def accuracy(self) -> DoubleArray:
        """(R,) top-1 accuracy of each run, over the clips that it tests: `SplitResult.top1` of `evaluate`."""
        accuracy_R: DoubleArray = (self.right_NR == 1).sum(axis=0) / (self.right_NR >= 0).sum(axis=0)
        return accuracy_R


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
    """Labelled clips, block by block: rows, their classes, and (n, R) the rank of these, from 1, in each run; 0 for an
    undecided clip, -1 for one that the run does not test. One product serves all runs."""
    n_classes = len(scores.class_names)
    members_CR = np.zeros((n_classes, len(splits)), np.float32)
    for run, split in enumerate(splits):
        members_CR[split, run] = 1
    for rows in row_blocks(np.flatnonzero(scores.label_index >= 0), n_classes):
        true_n = scores.label_index[rows]
        fused_nC = fuse(scores, weights, rows)
        rank_nR = (before_true(fused_nC, true_n).astype(np.float32) @ members_CR).astype(np.int32) + 1
        blank = np.flatnonzero(fused_nC[np.arange(len(true_n)), true_n] == 0)
        rank_nR[blank] *= (fused_nC[blank] != 0).astype(np.float32) @ members_CR > 0
        rank_nR[members_CR[true_n] == 0] = -1
        yield rows, true_n, rank_nR


# Generalised ----------------------------------------------------------------------------------------------------------

_ALIKE = 1e-12  # accuracies that differ by less differ by rounding


class Accuracies(NamedTuple):
    """Means over classes of their accuracy, fractions in [0, 1], all classes being candidates."""

    seen: float  # A_S, over the seen classes that have clips
    unseen: float  # A_U, over the unseen ones
    harmonic: float  # H = 2 A_S A_U / (A_S + A_U); 0 where both are 0 (Xian et al., CVPR 2017, Eq. 11)


class BestFactor(NamedTuple):
    """The widest stretch of factors with the highest harmonic mean, of equal ones the lowest."""

    low: float  # -inf to inf where H is 0 for every factor
    high: float
    factor: float  # the middle; 0 where H is 0 for every factor
    accuracies: Accuracies  # at `factor`


@dataclass(frozen=True, eq=False)
class Stacking:
    """Calibrated stacking (Chao et al., ECCV 2016, Eq. 4): a factor is taken off the scores of seen classes, which
    models lean to. Accuracies are step functions of it: a clip goes from its best seen class to its best unseen one
    where the factor is the difference of their scores."""

    factor_B: DoubleArray  # ascending: from each on, one of the two is another
    seen_between: DoubleArray  # (B + 1,) A_S below the first factor, between two, and from the last on; never rising
    unseen_between: DoubleArray  # (B + 1,) A_U likewise; never falling
    # Area under the seen-unseen accuracy curve (Chao et al., Section 4.2), 0 to 1. Clips that flip at the same factor
    # count half, as ties do in an area under an ROC curve.
    ausuc: float

    def at(self, factor: float) -> Accuracies:
        """Accuracies at a factor; 0 is plain stacking of all classes."""
        piece = np.searchsorted(self.factor_B, factor, side="right")
        return Accuracies(*(float(rates[piece]) for rates in (self.seen_between, self.unseen_between, self._harmonic)))

    @property
    def _harmonic(self) -> DoubleArray:
        total = self.seen_between + self.unseen_between
        return 2 * self.seen_between * self.unseen_between / np.where(total > 0, total, 1)

    def best(self) -> BestFactor:
        """The best factor for these very clips. To report an accuracy, take the factor from other clips."""
        harmonic = self._harmonic
        if harmonic.max() <= _ALIKE:
            return BestFactor(-np.inf, np.inf, 0.0, self.at(0.0))
        top = np.flatnonzero(harmonic >= harmonic.max() - _ALIKE)  # no outer piece: there one accuracy is 0
        stretches = np.split(top, np.flatnonzero(np.diff(top) > 1) + 1)
        ends = [(float(self.factor_B[part[0] - 1]), float(self.factor_B[part[-1]])) for part in stretches]
        low, high = max(ends, key=lambda end: end[1] - end[0])
        factor = min(low + (high - low) / 2, float(np.nextafter(high, -np.inf)))
        return BestFactor(low, high, factor, self.at(factor))


def stacking(scores: Scores, seen: Sequence[str], weights: Weights | None = None) -> Stacking:
    """Accuracies on `seen` classes and on all others for every factor, of cosine similarities where embeddings are
    known. Raises `InputError` where there is no class or no clip of one of the two."""
    from sklearn.metrics import roc_auc_score

    names, weights = set(resolve(seen, scores.class_names)), weights or Weights()
    labelled = scores.label_index >= 0
    truth_N = scores.label_index[labelled]
    seen_C = np.array([name in names for name in scores.class_names])
    of_seen_N = seen_C[truth_N]
    for side, what in ((seen_C, "class"), (of_seen_N, "clip")):
        if side.all() or not side.any():
            raise InputError(f"every {what} is {'a seen' if side.any() else 'an unseen'} one; give some of both kinds")
    fused_NC = similarities(scores, weights)[labelled].astype(np.float64)
    best_2N = np.stack([part[fused_NC[:, part].argmax(axis=1)] for part in map(np.flatnonzero, (seen_C, ~seen_C))])
    seen_N, unseen_N = np.take_along_axis(fused_NC, best_2N.T, axis=1).T
    hit_N = (truth_N == np.where(of_seen_N, *best_2N)) & fused_NC.any(axis=1)
    n_classes = [len(np.unique(truth_N[side])) for side in (of_seen_N, ~of_seen_N)]
    share_N = 1 / np.bincount(truth_N)[truth_N] / np.where(of_seen_N, *n_classes)
    # Exactly at the difference the two tie, and the lower index wins.
    flip_N = seen_N - unseen_N
    from_N = np.where(best_2N[0] < best_2N[1], np.nextafter(flip_N, np.inf), flip_N)
    factor_B = np.unique(from_N[hit_N])
    gained = []
    for side in (of_seen_N & hit_N, ~of_seen_N & hit_N):
        steps_B = np.bincount(np.searchsorted(factor_B, from_N[side]), share_N[side], minlength=len(factor_B))
        gained.append(np.append(0.0, np.cumsum(steps_B)))
    reached = gained[0][-1] * gained[1][-1]
    area = roc_auc_score(of_seen_N[hit_N], flip_N[hit_N], sample_weight=share_N[hit_N]) if reached else 0.0
    return Stacking(factor_B, gained[0][-1] - gained[0], gained[1], float(reached * area))
