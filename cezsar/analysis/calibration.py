"""Calibration: what a score is worth as a probability, how far that can be trusted, and the threshold of a run.

Cosine similarities order classes, they are no probabilities. `softmax(score / T)` makes them so, with one temperature T
that is fitted by likelihood on labelled clips that were held out (Guo et al., On Calibration of Modern Neural Networks,
ICML 2017). T changes no prediction. In zero-shot recognition those clips are of SEEN classes, ranked among seen
classes; for unseen ones T is carried over, and only a reliability diagram of unseen clips tells how well that goes.

A clip whose scores are all exactly 0 is undecided: every class gets 1 / C, and the clip is not correct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from cezsar.arrays import BoolArray, DoubleArray, IntArray
from cezsar.atomic import write_json
from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, row_blocks, similarities
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import (
    CALIBRATION,
    LEAST,
    RATE,
    REJECTOR,
    Rejector,
    confidence,
    probabilities,
)
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scores import Scores, Several

Stop = Literal["inside", "lowest", "highest", "flat"]

VERSION = 1
LOWEST, HIGHEST = 1e-3, 1e2
"""Bounds of T for cosine similarities: at the lowest a margin of 0.01 counts e^10 to 1, at the highest all classes are
equal within 2 %. Where classes are separated without error the likelihood rises for ever as T falls, and where the
scores say nothing it rises as T grows; the search stops here."""

BINS = 15  # as Guo et al.
_TOLERANCE = 1e-11  # of log T


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

    def labelled(self) -> tuple[npt.NDArray[np.float32], IntArray]:
        """Scores and true columns of the clips that are of one of the classes."""
        rows = self.truth_N >= 0
        return self.scores_NC[rows], self.truth_N[rows]


def candidates(scores: Scores, weights: Weights | None = None, classes: Sequence[str] | None = None) -> Candidates:
    """The fused scores of all clips for some classes: what the functions here and in `open_set` take.

    Args:
        weights: α, β, γ; the paper's by default.
        classes: names in any spelling; all by default. Columns keep the order of `Scores.class_names`.

    Raises:
        InputError: an unknown class, or weights that leave no modality.
    """
    weights = weights or Weights()
    scores_NC = similarities(scores, weights)
    if classes is None:
        return Candidates(scores_NC, scores.label_index, scores.class_names)
    wanted = set(resolve(classes, scores.class_names))
    chosen = np.array([index for index, name in enumerate(scores.class_names) if name in wanted], np.int64)
    place_C = np.full(len(scores.class_names) + 1, -1)  # the last entry stands for labels that are no class
    place_C[chosen] = np.arange(len(chosen))
    return Candidates(scores_NC[:, chosen], place_C[scores.label_index], [scores.class_names[c] for c in chosen])


def nll(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, temperature: float = 1.0) -> float:
    """Negative log likelihood of the true classes under softmax(score / T): nats, mean over clips, lower is better."""
    scores, truth = np.asarray(scores_NC), np.asarray(truth_N, np.int64)
    total = 0.0
    for rows in row_blocks(np.arange(len(scores)), scores.shape[1]):
        logits_nC = scores[rows].astype(np.float64) / temperature
        own_n = np.take_along_axis(logits_nC, truth[rows][:, None], axis=1)[:, 0]
        total += float((logsumexp(logits_nC, axis=1) - own_n).sum())
    return max(total / len(truth), 0.0)


def correct(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike) -> BoolArray:
    """(N,) whether the true class is the best; of equal scores the first class wins, of scores all 0 none does."""
    scores = np.asarray(scores_NC)
    return (scores.argmax(axis=1) == np.asarray(truth_N)) & scores.any(axis=1)


# Reliability --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram (DeGroot and Fienberg 1983; Guo et al. 2017) with bins of equal width: (low, high]."""

    clips_B: IntArray  # how many
    confidence_B: DoubleArray  # their mean; NaN without clips
    accuracy_B: DoubleArray  # share of them that is right; NaN without clips

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of the two over bins, by clips (Guo et al., Eq. 3); 0 to 1.

        Lower is better. It depends on the bins, and is above 0 for few clips even where all is well calibrated.
        """
        filled = self.clips_B > 0
        gaps_b = np.abs(self.accuracy_B[filled] - self.confidence_B[filled])
        return float(self.clips_B[filled] @ gaps_b / self.clips_B.sum())


def reliability(confidence_N: npt.ArrayLike, correct_N: npt.ArrayLike, bins: int = BINS) -> Reliability:
    """Clips by confidence, the probability of the predicted class, and whether the prediction is right."""
    values_N = np.asarray(confidence_N, np.float64)
    place_N = np.maximum(np.searchsorted(np.linspace(0, 1, bins + 1), values_N, side="left") - 1, 0)
    clips_B = np.bincount(place_N, minlength=bins)
    per_B = np.where(clips_B > 0, clips_B, np.nan)
    confidence_B, accuracy_B = (np.bincount(place_N, each, bins) / per_B for each in (values_N, np.asarray(correct_N)))
    return Reliability(clips_B, confidence_B, accuracy_B)


def best_probability(scores_NC: npt.ArrayLike, temperature: float = 1.0) -> DoubleArray:
    """(N,) softmax(score / T) of the predicted class."""
    return np.minimum(probabilities(scores_NC, temperature).max(axis=1), 1.0)


def reliability_at(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, temperature: float = 1.0) -> Reliability:
    """`reliability` of softmax(score / T) with labelled clips."""
    return reliability(best_probability(scores_NC, temperature), correct(scores_NC, truth_N))


# The temperature ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature T, and what it did on the clips it was fitted on; "before" is T = 1."""

    temperature: float
    stopped: Stop  # beyond which bound the likelihood would go; "flat" where it is the same for every T, so that T = 1
    clips: int
    classes: int  # among which they were ranked
    nll_before: float  # negative log likelihood in nats, mean over clips
    nll_after: float
    ece_before: float  # expected calibration error
    ece_after: float
    about: str = ""  # which clips and classes these were, in words

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, {"cezsar": "calibration", "version": VERSION} | asdict(self))


def fit(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, about: str = "") -> Calibration:
    """The temperature of highest likelihood: its negative log is convex in 1 / T, so there is one.

    Args:
        scores_NC: cosine similarities of held-out labelled clips, for the classes to choose from.
        truth_N: the true column of each clip. Clips of other classes have no likelihood: leave them out.
        about: which clips and classes these are, for those who read the file.

    Raises:
        InputError: there are no clips.
    """
    scores, truth = np.asarray(scores_NC, np.float64), np.asarray(truth_N, np.int64)
    if not len(truth):
        raise InputError("there are no labelled clips; give some whose class is among the candidates")
    temperature, stopped = _search(scores, truth)
    likelihoods = nll(scores, truth), nll(scores, truth, temperature)
    errors = reliability_at(scores, truth).ece, reliability_at(scores, truth, temperature).ece
    return Calibration(temperature, stopped, len(scores), scores.shape[1], *likelihoods, *errors, about)


def _search(scores_NC: DoubleArray, truth_N: IntArray) -> tuple[float, Stop]:
    if (scores_NC == scores_NC[:, :1]).all():
        return 1.0, "flat"

    def loss(log_t: float) -> float:
        return nll(scores_NC, truth_N, math.exp(log_t))

    bounds = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": _TOLERANCE})
    if loss(bounds[0]) <= found.fun:
        return LOWEST, "lowest"
    return (HIGHEST, "highest") if loss(bounds[1]) <= found.fun else (math.exp(found.x), "inside")


# A run's temperature and threshold ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibrated:
    """T and the threshold for "none of these" of a run, and what they do to the clips they were chosen on."""

    calibration: Calibration
    rejector: Rejector  # with the temperature of `calibration`
    accuracy: float  # top-1 of the known clips
    known_rejected: int  # how many of them
    unknown_accepted: int | None = None  # how many; None without unknown clips
    auroc: float | None = None  # of known against unknown clips by their confidence

    def keep(self, run_folder: str | Path) -> list[Path]:
        """Write both into the folder of their run, each whole or not at all; returns the two paths."""
        paths = [Path(run_folder) / CALIBRATION, Path(run_folder) / REJECTOR]
        self.calibration.save(paths[0])
        self.rejector.save(Path(run_folder))  # the one that is used, so it comes last
        return paths


def calibrate(
    known: Candidates,
    unknown_UC: npt.ArrayLike | None = None,
    *,
    rate: float = RATE,
    kind: str = "cosine",
    about: str = "",
    about_unknown: str = "",
) -> Calibrated:
    """Fit T on known clips, and choose the threshold: by the false-accept rate of unknown clips where there are some,
    else by the false-reject rate of the known ones, which promises nothing about unknown ones.

    The clips may be of seen classes or of any labelled data set but the one that figures are reported on.

    Args:
        known: clips against the classes they may be of; clips of no class are left out.
        unknown_UC: scores of clips of none of these C classes, such as `unknown_scores` gives.
        rate: of false accepts or false rejects, at most; from 0 to below 1.
        kind: of confidence, one of `rejection.KINDS`.
        about: which clips and classes the known ones are, in words; `about_unknown` likewise.

    Raises:
        InputError: no labelled or no unknown clips, another kind, or a rate outside [0, 1).
    """
    scores_KC, truth_K = known.labelled()
    calibration = fit(scores_KC, truth_K, about)
    t, accuracy = calibration.temperature, float(correct(scores_KC, truth_K).mean())
    if unknown_UC is None:
        rejector = Rejector.choose(scores_KC, "false reject", rate, kind, t, about)
    else:
        rejector = Rejector.choose(unknown_UC, "false accept", rate, kind, t, about_unknown)
    found = Calibrated(calibration, rejector, accuracy, int(np.count_nonzero(~rejector.accepts(scores_KC))))
    if unknown_UC is None:
        return found
    values = [np.maximum(confidence(scores, kind, t), LEAST) for scores in (scores_KC, unknown_UC)]
    auroc = float(roc_auc_score(np.repeat([1, 0], [len(part) for part in values]), np.concatenate(values)))
    return replace(found, unknown_accepted=int(np.count_nonzero(rejector.accepts(unknown_UC))), auroc=auroc)


def unknown_scores(
    unknown: Embeddings, known: Embeddings, weights: Weights, several: Several = "nearest"
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Clips of other classes against the known classes, which are those of `known`, of the same run.

    Returns:
        (U, C) scores as `candidates` gives them, and the ids of the U clips: those of no known class, in any spelling.

    Raises:
        InputError: every clip is of a known class, or the two do not have the same modalities.
    """
    classes = {canonical(name) for name in known.class_names}
    rows = [row for row, label in enumerate(unknown.labels) if canonical(label) not in classes]
    if not rows:
        raise InputError(
            f"all {len(unknown.ids):,} unknown clips are of one of the {len(classes):,} known classes; give clips of "
            "other classes"
        )
    if set(unknown.modalities) != set(known.modalities):
        has, wanted = (" and ".join(each.modalities) or "nothing" for each in (unknown, known))
        raise InputError(
            f"unknown clips have {has}, known ones {wanted}; their scores cannot be compared: give stores that both "
            "hold objects, or both hold none"
        )
    clips = replace(
        known,
        ids=[unknown.ids[row] for row in rows],
        labels=[""] * len(rows),
        modalities={name: matrix_NE[rows] for name, matrix_NE in unknown.modalities.items()},
    )
    return candidates(Scores.from_embeddings(clips, several), weights).scores_NC, clips.ids


# T on other classes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Promise:
    """Confidence and accuracy at one temperature or another: of all runs' clips together, and of each run."""

    diagram: Reliability
    ece: Figure
    confidence: Figure  # mean probability of the answers

    @classmethod
    def of(cls, confident: list[DoubleArray], right: list[BoolArray]) -> Promise:
        diagram = reliability(np.concatenate(confident), np.concatenate(right))
        errors = [reliability(*run).ece for run in zip(confident, right, strict=True)]
        return cls(diagram, figure_of(errors), figure_of([float(run.mean()) for run in confident]))


@dataclass(frozen=True, eq=False)
class Transferred:
    """Before (T = 1) and after (T fitted on the classes that a run leaves out)."""

    before: Promise
    after: Promise
    fits: list[Calibration]  # of each run
    accuracy: Figure  # top-1 of each run, which no T changes

    @property
    def temperature(self) -> Figure:
        """T of each run: mean and deviation."""
        return figure_of([one.temperature for one in self.fits])


def transferred(scores: Scores, weights: Weights, protocol: Protocol) -> Transferred:
    """In each run T is fitted on clips of the classes that the run leaves out, ranked among these, and told on its own.

    Raises:
        InputError: a run leaves fewer than two classes with clips out.
    """
    filled = {scores.class_names[index] for index in np.unique(scores.label_index) if index >= 0}
    fits: list[Calibration] = []
    right: list[BoolArray] = []
    confident: tuple[list[DoubleArray], list[DoubleArray]] = ([], [])
    for split in protocol.splits:
        others = sorted(filled - set(resolve(split, scores.class_names)))
        if len(others) < 2:
            raise InputError(
                "T is fitted on classes that a split leaves out, and this protocol leaves none; take Half or Random"
            )
        fits.append(fit(*candidates(scores, weights, others).labelled()))
        own = candidates(scores, weights, split).labelled()
        right.append(correct(*own))
        for parts, t in zip(confident, (1.0, fits[-1].temperature), strict=True):
            parts.append(best_probability(own[0], t))
    before, after = (Promise.of(parts, right) for parts in confident)
    return Transferred(before, after, fits, figure_of([float(run.mean()) for run in right]))
