"""Calibration: what a score is worth as a probability, and how far such probabilities can be trusted.

Cosine similarities order classes, they are no probabilities. `softmax(score / T)` makes them so, with one temperature T
that is fitted by likelihood on labelled clips that were held out (Guo et al., On Calibration of Modern Neural Networks,
ICML 2017). T changes no prediction. In zero-shot recognition those clips are of SEEN classes, ranked among seen
classes; for unseen ones T is carried over, and only a reliability diagram of unseen clips tells how well that goes.

A clip whose scores are all exactly 0 is undecided: every class gets 1 / C, and the clip is no hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from cezsar.atomic import write_json
from cezsar.data.documents import read_json_object
from cezsar.data.labels import resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import Weights, cosine, fuse, row_blocks
from cezsar.zeroshot.rejection import checked_scores, checked_temperature, is_number, log_sum_exp, probabilities
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Bins = Literal["width", "mass"]
Stop = Literal["inside", "lowest", "highest", "flat"]

VERSION = 1
LOWEST, HIGHEST = 1e-3, 1e2
"""Bounds of T, made for cosine similarities: at the lowest a lead of 0.01 counts e^10 to 1, at the highest all classes
are equal within 2 %. Where classes are separated without error the likelihood rises for ever as T falls, and where the
scores say nothing it rises as T grows; the search stops here."""

BINS = 15  # as Guo et al.
_STEPS = 100  # far more than the search takes; it halves the interval at worst
_TOLERANCE = 1e-9  # of 1 / T; Newton steps square the error, so that T is better than that


class Candidates(NamedTuple):
    """Clips against the classes they may be taken for.

    Attributes:
        scores_NC: cosine similarities of Eq. 8; where scores do not stem from embeddings, the fused scores.
        truth_N: true class as a column of `scores_NC`; -1 where it is none of them.
        classes: names of the columns.
    """

    scores_NC: npt.NDArray[np.float32]
    truth_N: IntArray
    classes: list[str]


def candidates(scores: Scores, weights: Weights | None = None, classes: Sequence[str] | None = None) -> Candidates:
    """The fused scores of all clips for some classes: what the functions here and in `open_set` take.

    Args:
        weights: α, β, γ; the paper's by default.
        classes: names in any spelling; all by default. Columns keep the order of `Scores.class_names`.

    Raises:
        InputError: an unknown class, or weights that leave no modality.
    """
    weights = weights or Weights()
    scores_NC = fuse(scores, weights) if scores.gram is None else cosine(scores, weights)
    if classes is None:
        return Candidates(scores_NC, scores.label_index, scores.class_names)
    wanted = set(resolve(classes, scores.class_names))
    chosen = np.array([index for index, name in enumerate(scores.class_names) if name in wanted], np.int64)
    place_C = np.full(len(scores.class_names) + 1, -1)  # the last entry stands for labels that are no class
    place_C[chosen] = np.arange(len(chosen))
    return Candidates(scores_NC[:, chosen], place_C[scores.label_index], [scores.class_names[c] for c in chosen])


# What probabilities are worth --------------------------------------------------------------------------------------


def nll(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, temperature: float = 1.0) -> float:
    """Negative log likelihood of the true classes under softmax(score / T), in nats, mean over clips; lower is better.

    From 0; guessing among C classes gives log C.

    Raises:
        InputError: as for `fit`.
    """
    scores, truth = _labelled(scores_NC, truth_N)
    t = checked_temperature(temperature)
    total = 0.0
    for part_nC, true_n in _blocks(scores, truth):
        own_n = np.take_along_axis(part_nC, true_n[:, None], axis=1)[:, 0]
        total += float((log_sum_exp(part_nC, t) - own_n).sum())
    return max(total / len(truth) / t, 0.0)


def brier(probabilities_NC: npt.ArrayLike, truth_N: npt.ArrayLike) -> float:
    """Brier score: squared distance of the probabilities from 1 for the true class and 0 else; lower is better.

    Summed over classes and averaged over clips, as Brier has it (Monthly Weather Review 78, 1950): 0 to 2.

    Raises:
        InputError: as for `fit`.
    """
    given, truth = _labelled(probabilities_NC, truth_N)
    own_N = np.take_along_axis(given, truth[:, None], axis=1)[:, 0]
    return float((np.einsum("nc,nc->n", given, given) - 2 * own_N + 1).mean())


def hits(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike) -> BoolArray:
    """(N,) whether the true class is the best; of equal scores the first class wins. Undecided clips are no hits."""
    scores = checked_scores(scores_NC)
    return (scores.argmax(axis=1) == np.asarray(truth_N)) & scores.any(axis=1)


# Reliability ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram (DeGroot and Fienberg 1983; Guo et al. 2017): confidence against accuracy, bin by bin.

    Attributes:
        kind: "width" for bins of equal width, "mass" for bins of about equally many clips.
        low_B: where each bin begins. "width": bins are (low, high], the first one [0, high]. "mass": the least
            confidence in the bin, NaN without clips.
        high_B: where it ends; likewise.
        clips_B: how many clips.
        confidence_B: their mean confidence; NaN without clips.
        accuracy_B: the share of them that is right; NaN without clips.
    """

    kind: Bins
    low_B: DoubleArray
    high_B: DoubleArray
    clips_B: IntArray
    confidence_B: DoubleArray
    accuracy_B: DoubleArray

    @property
    def gaps(self) -> DoubleArray:
        """(B,) accuracy less confidence: below 0 where the scores promise too much; NaN without clips."""
        return self.accuracy_B - self.confidence_B

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of the two over bins, by clips (Guo et al., Eq. 3); 0 to 1.

        Lower is better. It depends on the bins, and is above 0 for few clips even where all is well calibrated.
        """
        filled = self.clips_B > 0
        return float(self.clips_B[filled] @ np.abs(self.gaps[filled]) / self.clips_B.sum())

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest distance in any bin with clips (Guo et al., Eq. 5); 0 to 1."""
        return float(np.nanmax(np.abs(self.gaps)))


def reliability(
    confidence_N: npt.ArrayLike, correct_N: npt.ArrayLike, bins: int = BINS, kind: Bins = "width"
) -> Reliability:
    """Sort clips into bins by confidence.

    Args:
        confidence_N: probability of the predicted class, 0 to 1.
        correct_N: whether the prediction is right.
        kind: "width": equal pieces of [0, 1]. "mass": equally many clips; those of equal confidence stay together, so
            bins differ where there are such, and some may be empty.

    Raises:
        InputError: no clips, no bins, confidences outside [0, 1], or another kind.
    """
    confidence, correct = np.asarray(confidence_N, np.float64), np.asarray(correct_N, np.bool_)
    if confidence.ndim != 1 or not len(confidence) or confidence.shape != correct.shape:
        raise InputError(
            f"{confidence.shape} confidences and {correct.shape} outcomes were given; each clip has one of both"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise InputError("a confidence is a probability from 0 to 1; give `probabilities(...).max(axis=1)`")
    if bins < 1:
        raise InputError(f"{bins} bins were asked for; give at least 1")
    if kind == "width":
        edges = np.linspace(0, 1, bins + 1)
        place_N = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
        low_B, high_B = edges[:-1], edges[1:]
    elif kind == "mass":
        lower_N = np.searchsorted(np.sort(confidence), confidence, side="left")  # clips with less confidence
        place_N = lower_N * bins // len(confidence)
        low_B, high_B = np.full(bins, np.inf), np.full(bins, -np.inf)
        np.minimum.at(low_B, place_N, confidence)
        np.maximum.at(high_B, place_N, confidence)
        low_B[np.isinf(low_B)] = high_B[np.isinf(high_B)] = np.nan
    else:
        raise InputError(f"bins of equal {kind!r} were asked for; choose width or mass")
    clips_B = np.bincount(place_N, minlength=bins)
    per_B = np.where(clips_B > 0, clips_B, np.nan)
    confidence_B, accuracy_B = (np.bincount(place_N, values, bins) / per_B for values in (confidence, correct))
    return Reliability(kind, low_B, high_B, clips_B, confidence_B, accuracy_B)


def reliability_at(
    scores_NC: npt.ArrayLike,
    truth_N: npt.ArrayLike,
    temperature: float = 1.0,
    bins: int = BINS,
    kind: Bins = "width",
) -> Reliability:
    """`reliability` of softmax(score / T) with labelled clips.

    Raises:
        InputError: as for `fit` and `reliability`.
    """
    scores, truth = _labelled(scores_NC, truth_N)
    confidence_N = np.minimum(probabilities(scores, temperature).max(axis=1), 1.0)
    return reliability(confidence_N, hits(scores, truth), bins, kind)


# The temperature --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature, and what it did on the clips it was fitted on. "Before" is T = 1.

    Attributes:
        temperature: T.
        stopped: "inside" where T is the optimum; "lowest" or "highest" where the likelihood would go beyond a bound;
            "flat" where it is the same for every T, so that T = 1.
        clips: how many it was fitted on.
        classes: among how many classes they were ranked.
        nll_before: negative log likelihood in nats, mean over clips.
        nll_after: the same at T.
        ece_before: expected calibration error, with `BINS` bins of equal width.
        ece_after: the same at T.
        about: which clips and classes these were, in words.

    Raises:
        InputError: numbers that no fit gives.
    """

    temperature: float
    stopped: Stop
    clips: int
    classes: int
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    about: str = ""

    def __post_init__(self) -> None:
        checked_temperature(self.temperature)
        figures = (self.nll_before, self.nll_after, self.ece_before, self.ece_after)
        if not all(is_number(figure) and figure >= 0 for figure in figures):
            raise InputError("likelihoods and calibration errors are numbers from 0")
        if not all(type(count) is int and count >= 1 for count in (self.clips, self.classes)):
            raise InputError("a temperature is fitted on at least one clip and one class")
        if self.stopped not in ("inside", "lowest", "highest", "flat") or not isinstance(self.about, str):
            raise InputError(f"a fit stops inside, lowest, highest or flat, not {self.stopped!r}")

    def probabilities(self, scores_NC: npt.ArrayLike) -> DoubleArray:
        """(N, C) probabilities of clips like those it was fitted on."""
        return probabilities(scores_NC, self.temperature)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, {"cezsar": "calibration", "version": VERSION} | asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or holds something else.
        """
        value = read_json_object(path)
        if (value.pop("cezsar", None), value.pop("version", None)) != ("calibration", VERSION):
            raise FormatError(f"{path} holds no calibration of version {VERSION}; fit the temperature again")
        try:
            return cls(**value)
        except (InputError, TypeError) as error:
            raise FormatError(f"{path} is damaged ({error}); fit the temperature again") from error


def fit(
    scores_NC: npt.ArrayLike,
    truth_N: npt.ArrayLike,
    *,
    bounds: tuple[float, float] = (LOWEST, HIGHEST),
    about: str = "",
) -> Calibration:
    """The temperature of highest likelihood: the negative log of it is convex in 1 / T, so there is one.

    Args:
        scores_NC: cosine similarities of labelled clips that were held out from training, for the classes to choose
            from.
        truth_N: the true column of each clip. Clips of other classes have no likelihood: leave them out.
        bounds: lowest and highest T. The default suits cosine similarities; scores of other size need their own.
        about: which clips and classes these are, for those who read the file.

    Raises:
        InputError: no clips, a class that is none of the columns, NaN, or bounds that are not 0 < lowest < highest.
    """
    scores, truth = _labelled(scores_NC, truth_N)
    lowest, highest = bounds
    if not (0 < lowest < highest < math.inf):
        raise InputError(f"T cannot be searched from {lowest} to {highest}; give 0 < lowest < highest")
    inverse, stopped = _search(scores, truth, 1 / highest, 1 / lowest)
    temperature = {"lowest": lowest, "highest": highest, "flat": 1.0}.get(stopped, 1 / inverse)
    likelihoods = nll(scores, truth), nll(scores, truth, temperature)
    errors = reliability_at(scores, truth).ece, reliability_at(scores, truth, temperature).ece
    return Calibration(temperature, stopped, len(scores), scores.shape[1], *likelihoods, *errors, about)


def _search(scores_NC: DoubleArray, truth_N: IntArray, low: float, high: float) -> tuple[float, Stop]:
    """The u in [low, high] of least negative log likelihood: Newton's method, halving (by ratio) where it strays."""
    if (scores_NC == scores_NC[:, :1]).all():
        return 1.0, "flat"
    if _slope(scores_NC, truth_N, low)[0] >= 0:
        return low, "highest"
    if _slope(scores_NC, truth_N, high)[0] <= 0:
        return high, "lowest"
    u = math.sqrt(low * high)
    for _ in range(_STEPS):
        slope, curvature = _slope(scores_NC, truth_N, u)
        low, high = (u, high) if slope < 0 else (low, u)
        step = u - slope / curvature if curvature > 0 else math.inf
        following = step if low <= step <= high else math.sqrt(low * high)
        before, u = u, following
        if abs(u - before) <= _TOLERANCE * before:
            break
    return u, "inside"


def _slope(scores_NC: DoubleArray, truth_N: IntArray, u: float) -> tuple[float, float]:
    """Derivatives by u = 1 / T, means over clips: E[score] - true score, and Var[score], under softmax(u score)."""
    slope = curvature = 0.0
    for part_nC, true_n in _blocks(scores_NC, truth_N):
        own_n1 = np.take_along_axis(part_nC, true_n[:, None], axis=1)
        lead_nC = part_nC - own_n1
        p_nC = np.exp(u * (lead_nC - lead_nC.max(axis=1, keepdims=True)))
        p_nC /= p_nC.sum(axis=1, keepdims=True)
        mean_n = np.einsum("nc,nc->n", p_nC, lead_nC)
        slope += float(mean_n.sum())
        curvature += float(np.einsum("nc,nc->", p_nC, (lead_nC - mean_n[:, None]) ** 2))
    return slope / len(truth_N), curvature / len(truth_N)


# What may be given ------------------------------------------------------------------------------------------------


def _blocks(scores_NC: DoubleArray, truth_N: IntArray) -> Iterator[tuple[DoubleArray, IntArray]]:
    for rows in row_blocks(np.arange(len(scores_NC)), scores_NC.shape[1]):
        yield scores_NC[rows], truth_N[rows]


def _labelled(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike) -> tuple[DoubleArray, IntArray]:
    """Scores, and the true column of each of at least one clip. Raises `InputError` where they do not fit together."""
    scores, truth = checked_scores(scores_NC), np.asarray(truth_N, np.int64)
    if truth.shape != (len(scores),):
        raise InputError(f"{truth.shape} true classes do not go with {len(scores):,} clips; give one for each")
    if not len(truth):
        raise InputError("there are no labelled clips; give some whose class is among the candidates")
    if not ((truth >= 0) & (truth < scores.shape[1])).all():
        bad = int(np.flatnonzero((truth < 0) | (truth >= scores.shape[1]))[0])
        raise InputError(
            f"clip {bad} is of class {truth[bad]}, which is none of the {scores.shape[1]:,} candidates; leave it out"
        )
    return scores, truth
