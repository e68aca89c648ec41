"""Open set: how well clips of the candidate classes are told from clips of none of them, and what a threshold does.

"Known" clips are of the candidate classes, "unknown" ones are not, whether training saw those classes or not. A clip's
knownness (`cezsar.zeroshot.rejection.KINDS`) is higher the more speaks for known; it is accepted from a threshold on.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cezsar.analysis.calibration import Candidates, candidates, fit, hits
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import (
    KINDS,
    RATE,
    ChosenBy,
    Kind,
    Rejector,
    checked_knownness,
    knownness,
    threshold_for_false_accepts,
    threshold_for_false_rejects,
)
from cezsar.zeroshot.results import Figure
from cezsar.zeroshot.scores import Scores

__all__ = [
    "KINDS",
    "RATE",
    "ChosenBy",
    "Decided",
    "Kind",
    "OpenSet",
    "Rejector",
    "SimulatedRun",
    "Simulation",
    "decided",
    "knownness",
    "measure",
    "simulate",
    "threshold_for_false_accepts",
    "threshold_for_false_rejects",
]

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


# Every threshold at once -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class OpenSet:
    """K known and U unknown clips at every threshold that makes a difference: exact step curves.

    Attributes:
        threshold_T: from +inf, where nothing is accepted, down through every knownness there is.
        accepted_T: share of known clips that are accepted: true accepts.
        right_T: share of known clips that are accepted and right: the correct classification rate of Dhamija et al.
        false_T: share of unknown clips that are accepted.
        known: K.
        unknown: U.
    """

    threshold_T: DoubleArray
    accepted_T: DoubleArray
    right_T: DoubleArray
    false_T: DoubleArray
    known: int
    unknown: int

    @property
    def accuracy(self) -> float:
        """Share of known clips that are right when nothing is rejected."""
        return float(self.right_T[-1])

    @cached_property
    def auroc(self) -> float:
        """Chance that a known clip has more knownness than an unknown one, ties counted half; 0.5 by guessing, to 1."""
        return _area(self.false_T, self.accepted_T)

    @cached_property
    def oscr(self) -> float:
        """Area under the OSCR curve (Dhamija et al., NeurIPS 2018), `right_T` against `false_T`; 0 to `accuracy`.

        It is the chance that a known clip is right and has more knownness than an unknown one, ties counted half.
        """
        return _area(self.false_T, self.right_T)

    @cached_property
    def aupr_known(self) -> float:
        """Average precision with known clips as positives, most knownness first; by guessing K / (K + U), to 1."""
        return _average_precision(self.accepted_T * self.known, self.false_T * self.unknown)

    @cached_property
    def aupr_unknown(self) -> float:
        """Average precision with unknown clips as positives, least knownness first; by guessing U / (K + U), to 1."""
        rejected_T, kept_out_T = (1 - self.accepted_T[::-1]) * self.known, (1 - self.false_T[::-1]) * self.unknown
        return _average_precision(kept_out_T, rejected_T)

    def false_at(self, accepted: float = 0.95) -> float:
        """Share of unknown clips accepted at the highest threshold that accepts this share of the known ones.

        With 0.95 it is "FPR at 95 % TPR"; 0 to 1, lower is better.

        Raises:
            InputError: a share outside (0, 1].
        """
        if not 0 < accepted <= 1:
            raise InputError(f"{accepted} of the known clips cannot be accepted; give a share above 0, up to 1")
        return float(self.false_T[np.flatnonzero(self.accepted_T >= accepted - 1e-12)[0]])

    def figures(self) -> dict[str, float]:
        """name -> fraction."""
        return {
            "auroc": self.auroc,
            "aupr_known": self.aupr_known,
            "aupr_unknown": self.aupr_unknown,
            "fpr95": self.false_at(0.95),
            "oscr": self.oscr,
            "accuracy": self.accuracy,
        }


def measure(known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike) -> OpenSet:
    """Known against unknown clips, by their knownness.

    Args:
        right_K: whether each known clip's best class is its own.

    Raises:
        InputError: no known or no unknown clips, NaN, or numbers that do not go together.
    """
    known, right, unknown = _checked_clips(known_K, right_K, unknown_U)
    values_T, place = np.unique(np.concatenate([known, unknown]), return_inverse=True)

    def reached(places: IntArray) -> DoubleArray:
        """How many of the clips at these places are accepted, at each threshold from the highest."""
        return np.concatenate([[0], np.cumsum(np.bincount(places, minlength=len(values_T))[::-1])]).astype(np.float64)

    of_known = place[: len(known)]
    return OpenSet(
        np.concatenate([[np.inf], values_T[::-1]]),
        reached(of_known) / len(known),
        reached(of_known[right]) / len(known),
        reached(place[len(known) :]) / len(unknown),
        len(known),
        len(unknown),
    )


def _area(x_T: DoubleArray, y_T: DoubleArray) -> float:
    """Under the points joined in their order: a step of y alone adds nothing, one of both is a tie and counts half."""
    return float(np.diff(x_T) @ (y_T[1:] + y_T[:-1]) / 2)


def _average_precision(positives_T: DoubleArray, others_T: DoubleArray) -> float:
    """Sum over thresholds of the positives gained, times the precision there."""
    precision_T = positives_T[1:] / (positives_T[1:] + others_T[1:])
    return float(np.diff(positives_T) @ precision_T / positives_T[-1])


# One threshold -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """What a threshold does to known and unknown clips: counts, and shares of them.

    Attributes:
        threshold: clips of at least this knownness are accepted.
        known: clips of the candidate classes.
        unknown: clips of none of them.
        known_accepted: how many of the known ones are accepted,
        right: and how many of these are named right.
        unknown_accepted: how many of the unknown ones are accepted; each is an error.
    """

    threshold: float
    known: int
    unknown: int
    known_accepted: int
    right: int
    unknown_accepted: int

    def figures(self) -> dict[str, float | None]:
        """name -> fraction, None where no clip is left to take it of.

        "false_accept" of unknown and "false_reject" of known clips; "right": known clips that are accepted and named
        right, of all known ones; "accepted_accuracy": the same, of the accepted known ones; "precision": the same, of
        all accepted clips, so that it depends on how many unknown ones there are.
        """
        accepted = self.known_accepted + self.unknown_accepted
        return {
            "false_accept": self.unknown_accepted / self.unknown,
            "false_reject": 1 - self.known_accepted / self.known,
            "right": self.right / self.known,
            "accepted_accuracy": self.right / self.known_accepted if self.known_accepted else None,
            "precision": self.right / accepted if accepted else None,
        }


def decided(known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike, threshold: float) -> Decided:
    """What becomes of known and unknown clips at a threshold of knownness.

    Raises:
        InputError: as `measure` does.
    """
    known, right, unknown = _checked_clips(known_K, right_K, unknown_U)
    accepted_K = known >= threshold
    counts = accepted_K, accepted_K & right, unknown >= threshold
    return Decided(threshold, len(known), len(unknown), *(int(np.count_nonzero(mask)) for mask in counts))


# The experiment on a labelled data set -----------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedRun:
    """One run of `simulate`.

    Attributes:
        known: the candidate classes.
        aside: the classes that T and the thresholds were chosen on.
        unknown: the others.
        temperature: T.
        figures: of `OpenSet`.
        by_unknown: at the threshold for a false-accept rate, from clips of `aside` ranked against `known`.
        by_known: at the threshold for a false-reject rate, from clips of `aside` ranked against `aside`.
    """

    known: list[str]
    aside: list[str]
    unknown: list[str]
    temperature: float
    figures: dict[str, float]
    by_unknown: Decided
    by_known: Decided


@dataclass(frozen=True)
class Simulation:
    """Known and unknown classes of a labelled set, drawn anew in each run.

    Attributes:
        protocol: its name; it draws the known classes.
        kind: of knownness.
        rate: asked for, both of false accepts and of false rejects.
        runs: one a split.
    """

    protocol: str
    kind: str
    rate: float
    runs: list[SimulatedRun]

    def figure(self, metric: str, chosen_by: ChosenBy | None = None) -> Figure:
        """Mean and sample standard deviation (ddof = 1) over runs.

        Args:
            metric: of `OpenSet.figures`; with `chosen_by`, of `Decided.figures`. Runs in which it is None are left out.
            chosen_by: which of the two thresholds.

        Raises:
            InputError: no such metric, or it is None in all runs.
        """
        rows: list[dict[str, float | None]] = [dict(run.figures) for run in self.runs]
        if chosen_by is not None:
            of_unknown = chosen_by == "false accept"
            rows = [(run.by_unknown if of_unknown else run.by_known).figures() for run in self.runs]
        if metric not in rows[0]:
            raise InputError(f"{metric!r} was not measured; there are {', '.join(rows[0])}")
        values = [value for row in rows if (value := row[metric]) is not None]
        if not values:
            raise InputError(f"{metric} is not defined in any run: no clip was accepted")
        return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def simulate(
    scores: Scores,
    protocol: Protocol,
    weights: Weights | None = None,
    kind: str = "cosine",
    *,
    rate: float = RATE,
    temperature: float | None = None,
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
        kind: one of `KINDS`.
        rate: of false accepts for the one threshold, of false rejects for the other.
        temperature: T. By default it is fitted in each run on clips of the classes set aside, ranked among these, for
            a kind that is tempered; it is 1 for the others, which it does not matter to.
        rng: draws the classes set aside; seeded with 0 by default.

    Raises:
        InputError: an unknown kind or class, a rate outside [0, 1), a run that has no known clips or leaves fewer than
            two other classes with clips, or fewer than four where T is to be fitted.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} tells no known clips from unknown ones; choose {', '.join(KINDS)}")
    rng = rng or np.random.default_rng(0)
    scored = candidates(scores, weights)
    names, labels_N = scored.classes, scored.truth_N
    index = {name: position for position, name in enumerate(names)}
    filled = np.unique(labels_N[labels_N >= 0])
    runs = []
    for number, split in enumerate(protocol.splits, start=1):
        known = np.sort([index[name] for name in resolve(split, names)])
        others = rng.permutation(np.setdiff1d(filled, known))
        fitted = KINDS[kind].tempered and temperature is None
        if len(others) < (4 if fitted else 2) or not np.isin(filled, known).any():
            raise InputError(
                f"run {number} of protocol {protocol.name!r} has {len(known):,} of the {len(names):,} classes and "
                f"leaves {len(others):,} with clips: there are no unknown clips to choose a threshold on and others to "
                "measure, or no known ones; take a protocol such as half"
            )
        aside, unknown = (np.sort(part) for part in np.split(others, [len(others) // 2]))
        runs.append(_run(scored, (known, aside, unknown), kind, rate, temperature))
    return Simulation(protocol.name, kind, rate, runs)


def _run(
    scored: Candidates, groups: Sequence[IntArray], kind: str, rate: float, temperature: float | None
) -> SimulatedRun:
    """One run; `groups` are the known classes, those set aside, and the unknown ones, each ascending."""
    scores_NC, labels_N, names = scored
    known, aside, _ = groups
    of_known, of_aside, of_unknown = (np.flatnonzero(np.isin(labels_N, group)) for group in groups)
    among_known, among_aside = (scores_NC[np.ix_(rows, known)] for rows in (of_known, of_aside))
    seen = scores_NC[np.ix_(of_aside, aside)]
    t = 1.0 if temperature is None else temperature
    if temperature is None and KINDS[kind].tempered:
        t = fit(seen, np.searchsorted(aside, labels_N[of_aside])).temperature
    right_K = hits(among_known, np.searchsorted(known, labels_N[of_known]))
    known_K = knownness(among_known, kind, t)
    unknown_U = knownness(scores_NC[np.ix_(of_unknown, known)], kind, t)
    thresholds = (
        threshold_for_false_accepts(knownness(among_aside, kind, t), rate),
        threshold_for_false_rejects(knownness(seen, kind, t), rate),
    )
    by_unknown, by_known = (decided(known_K, right_K, unknown_U, threshold) for threshold in thresholds)
    known_names, aside_names, unknown_names = ([names[c] for c in group] for group in groups)
    figures = measure(known_K, right_K, unknown_U).figures()
    return SimulatedRun(known_names, aside_names, unknown_names, t, figures, by_unknown, by_known)


def _checked_clips(
    known_K: npt.ArrayLike, right_K: npt.ArrayLike, unknown_U: npt.ArrayLike
) -> tuple[DoubleArray, BoolArray, DoubleArray]:
    known, unknown = checked_knownness(known_K, "known"), checked_knownness(unknown_U, "unknown")
    right = np.asarray(right_K, np.bool_)
    if right.shape != known.shape:
        raise InputError(f"{right.shape} outcomes do not go with {len(known):,} known clips; give one for each")
    return known, right, unknown
