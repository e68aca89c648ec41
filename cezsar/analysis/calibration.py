"""Calibration: what a score is worth as a probability, and the threshold of a run. `softmax(score / T)` makes
probabilities of cosines, with one T of highest likelihood on held-out labelled clips (Guo et al., ICML 2017): in
zero-shot recognition clips of SEEN classes, ranked among these. T changes no prediction. Of a clip whose scores are all
0 every class gets 1 / C, and the clip is not correct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from cezsar.arrays import BoolArray, FloatArray, IntArray
from cezsar.atomic import write_json
from cezsar.data.labels import canonical, resolve
from cezsar.errors import InputError
from cezsar.formats import stamp
from cezsar.zeroshot.evaluation import Figure, figure_of
from cezsar.zeroshot.fusion import Weights, similarities
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import CALIBRATION, LEAST, RATE, REJECTOR, Rejector, confidence, probabilities
from cezsar.zeroshot.scores import Embeddings, Scores, Several

if TYPE_CHECKING:
    import pandas as pd

LOWEST, HIGHEST = 1e-3, 1e2  # of T: a margin of 0.01 in cosine counts e^10 to 1, or all classes are equal within 2 %
BINS = 15  # as Guo et al.


def labelled_scores(
    scores: Scores, weights: Weights | None = None, classes: Sequence[str] | None = None
) -> tuple[FloatArray, IntArray]:
    """(N, K) similarities of the clips that are of one of some classes (all by default), for these in the order of the
    scores, and (N,) their true columns."""
    chosen = np.unique(scores.indices(classes))
    place_C = np.full(len(scores.class_names) + 1, -1)  # the last entry stands for labels that are no class
    place_C[chosen] = np.arange(len(chosen))
    truth_N = place_C[scores.label_index]
    return similarities(scores, weights or Weights(), np.flatnonzero(truth_N >= 0))[:, chosen], truth_N[truth_N >= 0]


def nll(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, temperature: float = 1.0) -> float:
    """Negative log likelihood of the true classes under softmax(score / T): nats, mean over clips, lower is better."""
    chances_NC = log_softmax(np.asarray(scores_NC, np.float64) / temperature, axis=1)
    return max(-float(chances_NC[np.arange(len(chances_NC)), np.asarray(truth_N)].mean()), 0.0)


def correct(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike) -> BoolArray:
    """(N,) whether the true class is the best; of equal scores the first class wins, of scores all 0 none does."""
    scores = np.asarray(scores_NC)
    return (scores.argmax(axis=1) == np.asarray(truth_N)) & scores.any(axis=1)


def reliability(confidence_N: npt.ArrayLike, correct_N: npt.ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """A reliability diagram (DeGroot and Fienberg 1983): for each bin (low, high] of equal width with clips their
    number, mean confidence, and share that is right."""
    import pandas as pd

    place_N = np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), confidence_N, side="left") - 1, 0, bins - 1)
    clips = pd.DataFrame({"clips": 1, "confidence": confidence_N, "accuracy": correct_N})
    return clips.groupby(place_N).agg({"clips": "sum", "confidence": "mean", "accuracy": "mean"})


def reliability_at(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, temperature: float = 1.0) -> pd.DataFrame:
    """`reliability` of softmax(score / T) with labelled clips."""
    return reliability(probabilities(scores_NC, temperature).max(axis=1), correct(scores_NC, truth_N))


def calibration_error(diagram: pd.DataFrame) -> float:
    """Expected calibration error (Guo et al., Eq. 3), 0 to 1: mean distance of confidence and accuracy over bins, by
    clips."""
    return float(np.average((diagram["accuracy"] - diagram["confidence"]).abs(), weights=diagram["clips"]))


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature T, and what it did on the clips it was fitted on; "before" is T = 1."""

    temperature: float
    stopped: str  # "inside"; "lowest", "highest": likelier beyond that bound; "flat": T = 1, since all are as likely
    clips: int
    classes: int  # among which they were ranked
    nll_before: float  # negative log likelihood in nats, mean over clips
    nll_after: float
    ece_before: float  # expected calibration error
    ece_after: float
    about: str = ""  # which clips and classes these were, in words


def fit(scores_NC: npt.ArrayLike, truth_N: npt.ArrayLike, about: str = "") -> Calibration:
    """The temperature of highest likelihood for held-out clips, between `LOWEST` and `HIGHEST`: its negative log is
    convex in 1 / T, so there is one. Raises `InputError` without clips."""
    scores, truth, t, stopped = np.asarray(scores_NC, np.float64), np.asarray(truth_N, np.int64), 1.0, "flat"
    if not len(truth):
        raise InputError("there are no labelled clips; give some whose class is among the candidates")
    if (scores != scores[:, :1]).any():
        from scipy.optimize import minimize_scalar

        def cost(log_t: float) -> float:
            return nll(scores, truth, math.exp(log_t))

        bounds = math.log(LOWEST), math.log(HIGHEST)
        found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-11})
        t, stopped = math.exp(found.x), "inside"
        for bound, name in ((HIGHEST, "highest"), (LOWEST, "lowest")):
            if nll(scores, truth, bound) <= found.fun:
                t, stopped = bound, name
    before, after = (calibration_error(reliability_at(scores, truth, each)) for each in (1.0, t))
    shape, nlls = scores.shape, (nll(scores, truth), nll(scores, truth, t))
    return Calibration(t, stopped, shape[0], shape[1], *nlls, before, after, about)


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
        write_json(paths[0], stamp("calibration") | asdict(self.calibration))
        self.rejector.save(Path(run_folder))  # the one that is used, so it comes last
        return paths


def calibrate(
    known: tuple[FloatArray, IntArray], unknown_UC: npt.ArrayLike | None = None, *, rate: float = RATE,
    kind: str = "cosine", about: str = "", about_unknown: str = "",
) -> Calibrated:  # fmt: skip
    """Fit T on known clips, and choose the threshold: by the false-accept rate of unknown clips where there are some,
    else by the false-reject rate of the known ones. Clips, as `labelled_scores` and `unknown_scores` give them, are of
    any data set but the one that figures are reported on. Raises `InputError` without clips, or for a `rate` outside
    [0, 1)."""
    calibration = fit(*known, about)
    t, accuracy = calibration.temperature, float(correct(*known).mean())
    if unknown_UC is None:
        rejector = Rejector.choose(known[0], "false reject", rate, kind, t, about)
    else:
        rejector = Rejector.choose(unknown_UC, "false accept", rate, kind, t, about_unknown)
    found = Calibrated(calibration, rejector, accuracy, int(np.count_nonzero(~rejector.accepts(known[0]))))
    if unknown_UC is None:
        return found
    from sklearn.metrics import roc_auc_score

    values = [np.maximum(confidence(scores, kind, t), LEAST) for scores in (known[0], unknown_UC)]
    auroc = float(roc_auc_score(np.repeat([1, 0], [len(part) for part in values]), np.concatenate(values)))
    return replace(found, unknown_accepted=int(np.count_nonzero(rejector.accepts(unknown_UC))), auroc=auroc)


def unknown_scores(
    unknown: Embeddings, known: Embeddings, weights: Weights, several: Several = "nearest"
) -> tuple[FloatArray, list[str]]:
    """(U, C) scores of clips of other classes against those of `known`, of the same run, and the ids of the U clips.
    Raises `InputError` where there is no such clip, or the two have other modalities."""
    classes = {canonical(name) for name in known.class_names}
    rows = [row for row, label in enumerate(unknown.labels) if canonical(label) not in classes]
    if not rows:
        of = f"all {len(unknown.ids):,} unknown clips are of one of the {len(classes):,} known classes"
        raise InputError(f"{of}; give clips of other classes")
    if set(unknown.modalities) != set(known.modalities):
        has, wanted = (" and ".join(each.modalities) or "nothing" for each in (unknown, known))
        what = f"unknown clips have {has}, known ones {wanted}; their scores cannot be compared"
        raise InputError(f"{what}: give stores that both hold objects, or both hold none")
    ids, modalities = [unknown.ids[row] for row in rows], {m: of_NE[rows] for m, of_NE in unknown.modalities.items()}
    clips = replace(known, ids=ids, labels=[""] * len(rows), modalities=modalities)
    return similarities(Scores.from_embeddings(clips, several), weights), ids


class Promise(NamedTuple):
    """Confidence and accuracy at one temperature or another."""

    diagram: pd.DataFrame  # `reliability` of all runs' clips together
    ece: Figure  # of each run
    confidence: Figure  # mean probability of the answers of each run


class Transferred(NamedTuple):
    """Before (T = 1) and after (T fitted on the classes that a run leaves out)."""

    before: Promise
    after: Promise
    fits: list[Calibration]  # of each run
    temperature: Figure  # T of each run
    accuracy: Figure  # top-1 of each run, which no T changes


def transferred(scores: Scores, weights: Weights, protocol: Protocol) -> Transferred:
    """In each run T is fitted on clips of the classes that the run leaves out, ranked among these, and told on its own.
    Raises `InputError` where a run leaves fewer than two classes with clips out."""
    filled = {scores.class_names[index] for index in np.unique(scores.label_index) if index >= 0}
    fits, owns = [], []
    for split in protocol.splits:
        others = sorted(filled - set(resolve(split, scores.class_names)))
        if len(others) < 2:
            what = "T is fitted on classes that a split leaves out, and this protocol leaves none"
            raise InputError(f"{what}; take Half or Random")
        fits.append(fit(*labelled_scores(scores, weights, others)))
        owns.append(labelled_scores(scores, weights, split))
    right, fitted = [correct(*own) for own in owns], [one.temperature for one in fits]

    def promise(temperatures: Sequence[float]) -> Promise:
        confident = [probabilities(own[0], t).max(axis=1) for own, t in zip(owns, temperatures, strict=True)]
        ece = figure_of([calibration_error(reliability(*run)) for run in zip(confident, right, strict=True)])
        diagram = reliability(np.concatenate(confident), np.concatenate(right))
        return Promise(diagram, ece, figure_of([float(run.mean()) for run in confident]))

    accuracy = figure_of([float(run.mean()) for run in right])
    return Transferred(promise([1.0] * len(fits)), promise(fitted), fits, figure_of(fitted), accuracy)
