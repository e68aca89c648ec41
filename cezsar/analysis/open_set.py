"""Open set: how well clips of the candidate classes are told from clips of none of them, and what a threshold does.

"Known" clips are of the candidate classes, "unknown" ones are not, whether training saw those classes or not. A clip's
confidence (`cezsar.zeroshot.rejection.KINDS`) is higher the more speaks for known; it is accepted from a threshold on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cezsar.analysis.calibration import Candidates, candidates, correct, fit
from cezsar.arrays import DoubleArray, IntArray
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import KINDS, LEAST, RATE, ChosenBy, confidence, threshold
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scores import Scores

SHARES_S = np.linspace(0, 1, 201)
"""Of the unknown clips, at which OSCR curves of several runs are averaged: every half percent."""


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Known against unknown clips at every threshold: all figures are fractions.

    Attributes:
        auroc: chance that a known clip has more confidence than an unknown one, ties counted half; 0.5 by guessing.
        aupr_known: average precision with known clips as positives, highest confidence first.
        aupr_unknown: average precision with unknown clips as positives, lowest confidence first.
        fpr95: share of unknown clips accepted at the highest threshold that accepts 95 % of the known ones.
        oscr: area under the OSCR curve (Dhamija et al., NeurIPS 2018), 0 to `accuracy`: the chance that a known clip is
            right and has more confidence than an unknown one, ties counted half.
        accuracy: share of known clips that are right when nothing is rejected.
        false_T: the OSCR curve: share of unknown clips that are accepted, threshold by threshold from the highest,
        right_T: and share of known clips that are accepted and right.
    """

    auroc: float
    aupr_known: float
    aupr_unknown: float
    fpr95: float
    oscr: float
    accuracy: float
    false_T: DoubleArray
    right_T: DoubleArray

    def figures(self) -> dict[str, float]:
        """name -> fraction."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, float)}

    def right_at(self, shares_S: DoubleArray) -> DoubleArray:
        """The most known clips that are accepted and right, as a share, while no more unknown ones are accepted."""
        return self.right_T[np.searchsorted(self.false_T, shares_S + 1e-12, side="right") - 1]


def measure(known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike) -> OpenSet:
    """Known against unknown clips, by their confidence.

    Args:
        right_K: whether each known clip's best class is its own.

    Raises:
        InputError: no known or no unknown clips.
    """
    known, unknown = (np.maximum(np.asarray(part, np.float64), LEAST) for part in (known_K, unknown_U))
    if not len(known) or not len(unknown):
        raise InputError("figures of an open set need known and unknown clips; one of them is missing")
    right = np.asarray(right_K, np.bool_)
    accuracy, values = float(right.mean()), np.concatenate([known, unknown])
    is_known = np.repeat([True, False], [len(known), len(unknown)])
    false_T, accepted_T, _ = roc_curve(is_known, values, drop_intermediate=False)
    oscr, curve = 0.0, (np.array([0.0, 1.0]), np.zeros(2))
    if right.any():
        counted = np.concatenate([right, np.ones(len(unknown), bool)])  # known clips that are wrong are not
        curve = roc_curve(is_known[counted], values[counted], drop_intermediate=False)[:2]
        oscr = accuracy * float(roc_auc_score(is_known[counted], values[counted]))
    return OpenSet(
        float(roc_auc_score(is_known, values)),
        float(average_precision_score(is_known, values)),
        float(average_precision_score(~is_known, -values)),
        float(false_T[np.flatnonzero(accepted_T >= 0.95 - 1e-12)[0]]),
        oscr,
        accuracy,
        curve[0],
        accuracy * curve[1],
    )


# One threshold -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """What a threshold does to known and unknown clips, in shares of them."""

    threshold: float  # clips of at least this confidence are accepted
    false_accept: float  # of unknown clips, those accepted
    false_reject: float  # of known clips, those rejected
    right: float  # of known clips, those accepted and named right


def decided(known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike, threshold: float) -> Decided:
    """What becomes of known and unknown clips at a threshold of confidence."""
    accepted_K, accepted_U = np.asarray(known_K) >= threshold, np.asarray(unknown_U) >= threshold
    right = accepted_K & np.asarray(right_K, np.bool_)
    return Decided(threshold, float(accepted_U.mean()), 1 - float(accepted_K.mean()), float(right.mean()))


# The experiment on a labelled data set -------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedRun:
    """One run of `simulate`."""

    known: list[str]  # the candidate classes
    aside: list[str]  # those that T and the thresholds were chosen on
    unknown: list[str]  # the others
    temperature: float
    figures: dict[str, float]  # of `OpenSet`
    right_S: list[float]  # its OSCR curve at `SHARES_S`
    by_unknown: Decided  # at the threshold for a false-accept rate, from clips of `aside` ranked against `known`
    by_known: Decided  # at the threshold for a false-reject rate, from clips of `aside` ranked against `aside`


@dataclass(frozen=True)
class Simulation:
    """Known and unknown classes of a labelled set, drawn anew in each run."""

    rate: float  # asked for, both of false accepts and of false rejects
    runs: list[SimulatedRun]  # one a split

    def figure(self, metric: str, chosen_by: ChosenBy | None = None) -> Figure:
        """Mean and deviation over runs of a figure of `OpenSet`; with `chosen_by`, of `Decided` at that threshold."""
        if chosen_by is None:
            return figure_of([run.figures[metric] for run in self.runs])
        of_unknown = chosen_by == "false accept"
        return figure_of([getattr(run.by_unknown if of_unknown else run.by_known, metric) for run in self.runs])

    def curve(self) -> DoubleArray:
        """The OSCR curve at `SHARES_S`, mean over runs."""
        return np.mean([run.right_S for run in self.runs], axis=0)


def simulate(
    scores: Scores,
    protocol: Protocol,
    weights: Weights | None = None,
    kind: str = "cosine",
    *,
    rate: float = RATE,
    rng: np.random.Generator | None = None,
) -> Simulation:
    """Pretend that a run's classes are all there are to choose from, and clips of the others show none of them.

    In each run the classes of the protocol are known. Half of the others, drawn at random and rounded down, are set
    aside: T and the thresholds are chosen on their clips. Clips of the rest are the unknown ones that all figures are
    about. So nothing is chosen on a class that is measured.

    Args:
        scores: of a labelled set. Clips of no class are left out.
        protocol: such as "half"; it must leave at least two classes with clips.
        weights: α, β, γ; the paper's by default.
        kind: one of `KINDS`. T of a tempered kind is fitted on clips of the classes set aside, ranked among these.
        rate: of false accepts for the one threshold, of false rejects for the other.
        rng: draws the classes set aside; seeded with 0 by default.

    Raises:
        InputError: an unknown kind or class, a rate outside [0, 1), a run that has no known clips or leaves fewer than
            two other classes with clips, or fewer than four where T is to be fitted.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} tells no known clips from unknown ones; choose {', '.join(KINDS)}")
    rng = rng or np.random.default_rng(0)
    scored = candidates(scores, weights)
    index = {name: position for position, name in enumerate(scored.classes)}
    filled = np.unique(scored.truth_N[scored.truth_N >= 0])
    runs = []
    for number, split in enumerate(protocol.splits, start=1):
        known = np.sort([index[name] for name in resolve(split, scored.classes)])
        others = rng.permutation(np.setdiff1d(filled, known))
        if len(others) < (4 if KINDS[kind].tempered else 2) or not np.isin(filled, known).any():
            raise InputError(
                f"run {number} of protocol {protocol.name!r} has {len(known):,} of the {len(index):,} classes and "
                f"leaves {len(others):,} with clips: there are no unknown clips to choose a threshold on and others to "
                "measure, or no known ones; take a protocol such as half"
            )
        aside, unknown = (np.sort(part) for part in np.split(others, [len(others) // 2]))
        runs.append(_run(scored, (known, aside, unknown), kind, rate))
    return Simulation(rate, runs)


def _run(scored: Candidates, groups: Sequence[IntArray], kind: str, rate: float) -> SimulatedRun:
    """One run; `groups` are the known classes, those set aside, and the unknown ones, each ascending."""
    scores_NC, labels_N, names = scored
    known, aside, _ = groups
    of_known, of_aside, of_unknown = (np.flatnonzero(np.isin(labels_N, group)) for group in groups)
    among_known, among_aside = (scores_NC[np.ix_(rows, known)] for rows in (of_known, of_aside))
    seen = scores_NC[np.ix_(of_aside, aside)]
    t = fit(seen, np.searchsorted(aside, labels_N[of_aside])).temperature if KINDS[kind].tempered else 1.0
    clips = (
        confidence(among_known, kind, t),
        correct(among_known, np.searchsorted(known, labels_N[of_known])),
        confidence(scores_NC[np.ix_(of_unknown, known)], kind, t),
    )
    by_unknown = decided(*clips, threshold(confidence(among_aside, kind, t), "false accept", rate))
    by_known = decided(*clips, threshold(confidence(seen, kind, t), "false reject", rate))
    found = measure(*clips)
    known_names, aside_names, unknown_names = ([names[c] for c in group] for group in groups)
    curve = found.right_at(SHARES_S).tolist()
    return SimulatedRun(known_names, aside_names, unknown_names, t, found.figures(), curve, by_unknown, by_known)
