"""Open set: how well clips of the candidate classes ("known") are told from clips of none of them ("unknown") by a
confidence (`cezsar.zeroshot.rejection.KINDS`), and what a threshold does. All figures are fractions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cezsar.analysis.calibration import correct, fit, labelled_scores
from cezsar.arrays import DoubleArray, FloatArray
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import Figure, figure_of
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import KINDS, LEAST, RATE, ChosenBy, confidence, threshold
from cezsar.zeroshot.scores import Scores

SHARES_S = np.linspace(0, 1, 201)
"""Of the unknown clips, at which an OSCR curve is told: every half percent."""


def measure(
    known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike
) -> tuple[dict[str, float], DoubleArray]:
    """The confidence of known clips, some named right, against that of unknown ones: "auroc", ties counted half;
    "fpr95", the share of unknown clips accepted where 95 % of the known ones are; "accuracy" when nothing is rejected;
    "oscr", the area under the OSCR curve (Dhamija et al., NeurIPS 2018), which comes second: the most known clips
    accepted and right while at most `SHARES_S` of the unknown ones are accepted."""
    from sklearn.metrics import roc_auc_score, roc_curve

    known, unknown = (np.maximum(np.asarray(part, np.float64), LEAST) for part in (known_K, unknown_U))
    right, values = np.asarray(right_K, np.bool_), np.concatenate([known, unknown])
    is_known = np.repeat([True, False], [len(known), len(unknown)])
    false_T, accepted_T, _ = roc_curve(is_known, values, drop_intermediate=False)
    accuracy, oscr, curve_S = float(right.mean()), 0.0, np.zeros(len(SHARES_S))
    if accuracy:
        counted = np.concatenate([right, np.ones(len(unknown), bool)])  # known clips that are wrong are not
        wrong_T, right_T, _ = roc_curve(is_known[counted], values[counted], drop_intermediate=False)
        curve_S = accuracy * right_T[np.searchsorted(wrong_T, SHARES_S + 1e-12, side="right") - 1]
        oscr = accuracy * float(roc_auc_score(is_known[counted], values[counted]))
    figures = {
        "auroc": float(roc_auc_score(is_known, values)),
        "fpr95": float(false_T[np.flatnonzero(accepted_T >= 0.95 - 1e-12)[0]]),
    }
    return figures | {"oscr": oscr, "accuracy": accuracy}, curve_S


def decided(
    known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike, threshold: float
) -> dict[str, float]:
    """At a threshold: shares of unknown clips accepted ("false_accept"), of known ones rejected ("false_reject"), and
    of known ones accepted and named right ("right"); and the threshold."""
    accepted_K, accepted_U = np.asarray(known_K) >= threshold, np.asarray(unknown_U) >= threshold
    right = float((accepted_K & np.asarray(right_K, np.bool_)).mean())
    rates = {"false_accept": float(accepted_U.mean()), "false_reject": 1 - float(accepted_K.mean())}
    return {"threshold": threshold, **rates, "right": right}


@dataclass(frozen=True)
class SimulatedRun:
    """One run of `simulate`."""

    known: list[str]  # the candidate classes
    aside: list[str]  # those that T and the thresholds were chosen on
    unknown: list[str]  # the others
    temperature: float
    figures: dict[str, float]  # of `measure`
    right_S: list[float]  # its OSCR curve at `SHARES_S`
    at: dict[ChosenBy, dict[str, float]]  # thresholds from clips of `aside` ranked against `known`, or against `aside`


@dataclass(frozen=True)
class Simulation:
    """Known and unknown classes of a labelled set, drawn anew in each run."""

    rate: float  # asked for, both of false accepts and of false rejects
    runs: list[SimulatedRun]  # one a split

    def figure(self, metric: str, chosen_by: ChosenBy | None = None) -> Figure:
        """Mean and deviation over runs of a figure of `measure`; with `chosen_by`, of `decided` at that threshold."""
        return figure_of([(run.at[chosen_by] if chosen_by else run.figures)[metric] for run in self.runs])

    def curve(self) -> DoubleArray:
        """The OSCR curve at `SHARES_S`, mean over runs."""
        return np.mean([run.right_S for run in self.runs], axis=0)


def simulate(
    scores: Scores, protocol: Protocol, weights: Weights | None = None, kind: str = "cosine", *, rate: float = RATE,
    rng: np.random.Generator | None = None,
) -> Simulation:  # fmt: skip
    """Pretend that a run's classes are all there are to choose from, and clips of the others show none of them. Half of
    the others, drawn at random, are set aside: T of a tempered `kind` and the thresholds that keep `rate` are chosen on
    their clips; the rest are the unknown ones that all figures are about. Raises `InputError` where too few classes
    with clips are left."""
    rng = rng or np.random.default_rng(0)
    scores_NC, truth_N = labelled_scores(scores, weights)
    tempered, filled, names, runs = KINDS[kind].tempered, np.unique(truth_N), scores.class_names, []
    for number, split in enumerate(protocol.splits, start=1):
        known = np.sort(scores.indices(split))
        others = rng.permutation(np.setdiff1d(filled, known))
        if len(others) < (4 if tempered else 2) or not np.isin(filled, known).any():
            raise InputError(
                f"run {number} of protocol {protocol.name!r} has {len(known):,} of the {len(names):,} classes and "
                f"leaves {len(others):,} with clips: there are no unknown clips to choose a threshold on and others to "
                "measure, or no known ones; take a protocol such as half"
            )
        aside, unknown = (np.sort(part) for part in np.split(others, [len(others) // 2]))
        of_known, of_aside, of_unknown = (np.flatnonzero(np.isin(truth_N, each)) for each in (known, aside, unknown))
        seen, among_known = scores_NC[np.ix_(of_aside, aside)], scores_NC[np.ix_(of_known, known)]
        t = fit(seen, np.searchsorted(aside, truth_N[of_aside])).temperature if tempered else 1.0
        clips = (
            confidence(among_known, kind, t),
            correct(among_known, np.searchsorted(known, truth_N[of_known])),
            confidence(scores_NC[np.ix_(of_unknown, known)], kind, t),
        )
        other = scores_NC[np.ix_(of_aside, known)]
        ranked: tuple[tuple[ChosenBy, FloatArray], ...] = ("false accept", other), ("false reject", seen)
        at = {by: decided(*clips, threshold(confidence(each, kind, t), by, rate)) for by, each in ranked}
        figures, curve_S = measure(*clips)
        classes = [[names[c] for c in group] for group in (known, aside, unknown)]
        runs.append(SimulatedRun(classes[0], classes[1], classes[2], t, figures, curve_S.tolist(), at))
    return Simulation(rate, runs)
