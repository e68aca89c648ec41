"""None of these: whether a clip shows any of the classes it is ranked against.

A clip gets one number, its knownness; it is accepted, and named, where that is at least a threshold. `KINDS` holds the
numbers in use. "Known" clips are of the candidate classes and "unknown" ones are not, whether training saw those
classes or not; knownness is turned so that MORE speaks for known. `analysis.open_set` says how well it tells the two
apart, `analysis.calibration` fits the temperature T.

A clip whose scores are all exactly 0 is undecided: its knownness is -inf, so it is accepted at no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from cezsar.atomic import write_json
from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ChosenBy = Literal["false accept", "false reject"]

VERSION = 1
RATE = 0.05
_LEAST = -float(np.finfo(np.float64).max)  # a threshold that everything but -inf reaches


# Knownness --------------------------------------------------------------------------------------------------------


def probabilities(scores_NC: npt.ArrayLike, temperature: float = 1.0) -> DoubleArray:
    """(N, C) softmax(score / T): each row sums to 1.

    Raises:
        InputError: T not above 0, no classes, or NaN.
    """
    scores, t = checked_scores(scores_NC), checked_temperature(temperature)
    shifted_NC = np.exp((scores - scores.max(axis=1, keepdims=True)) / t)
    return shifted_NC / shifted_NC.sum(axis=1, keepdims=True)


def log_sum_exp(scores_NC: DoubleArray, temperature: float) -> DoubleArray:
    """(N,) T log sum_c exp(score_c / T): a soft maximum, from the maximum to the maximum + T log C."""
    peak_N1 = scores_NC.max(axis=1, keepdims=True)
    total_N = np.exp((scores_NC - peak_N1) / temperature).sum(axis=1)
    return peak_N1[:, 0] + temperature * np.log(total_N)


def _margin(scores_NC: DoubleArray, temperature: float) -> DoubleArray:
    if scores_NC.shape[1] == 1:
        return np.zeros(len(scores_NC))
    best_N2 = np.partition(scores_NC, -2, axis=1)[:, -2:]
    return best_N2[:, 1] - best_N2[:, 0]


class Kind(NamedTuple):
    """A way to tell known from unknown clips.

    Attributes:
        title: for a legend or a menu.
        definition: in a sentence.
        range: of the values, for cosine similarities.
        known: whether known clips have "higher" or "lower" values.
        tempered: whether the temperature plays a part.
        source: the paper.
        values: (N, C) scores and T -> (N,) values as published.
    """

    title: str
    definition: str
    range: str
    known: Literal["higher", "lower"]
    tempered: bool
    source: str
    values: Callable[[DoubleArray, float], DoubleArray]


KINDS = {
    "cosine": Kind(
        "maximum cosine",
        "cosine similarity of the best class",
        "-1 to 1",
        "higher",
        False,
        "Eq. 8 of Estevam et al., ICPR 2026; maximum logit: Hendrycks et al., ICML 2022",
        lambda scores_NC, t: scores_NC.max(axis=1),
    ),
    "probability": Kind(
        "maximum probability",
        "probability of the best class, softmax(score / T)",
        "1 / classes to 1",
        "higher",
        True,
        "Hendrycks and Gimpel, ICLR 2017",
        lambda scores_NC, t: probabilities(scores_NC, t).max(axis=1),
    ),
    "margin": Kind(
        "margin",
        "score of the best class less that of the second; 0 with one class",
        "0 to 2",
        "higher",
        False,
        "nearest-neighbour distance ratio as a difference: Mendes Júnior et al., Machine Learning 106, 2017",
        _margin,
    ),
    "energy": Kind(
        "energy",
        "-T log of the sum over classes of exp(score / T): a soft minimum of the negative scores",
        "-1 - T log classes to 1 - T log classes",
        "lower",
        True,
        "Liu et al., NeurIPS 2020, Eq. 3",
        lambda scores_NC, t: -log_sum_exp(scores_NC, t),
    ),
}
"""Name -> what it is, and which direction speaks for known."""


def knownness(scores_NC: npt.ArrayLike, kind: str = "cosine", temperature: float = 1.0) -> DoubleArray:
    """(N,) how much speaks for each clip being of one of the C classes, higher for known: energy is negated.

    Args:
        scores_NC: cosine similarities for the candidate classes.
        kind: one of `KINDS`.
        temperature: T, for those kinds that are tempered.

    Returns:
        Values of the kind; -inf for an undecided clip.

    Raises:
        InputError: another kind, a temperature not above 0, no classes, or NaN.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} tells no known clips from unknown ones; choose {', '.join(KINDS)}")
    scores, t = checked_scores(scores_NC), checked_temperature(temperature)
    values_N = KINDS[kind].values(scores, t) * (1 if KINDS[kind].known == "higher" else -1)
    return np.where(scores.any(axis=1), values_N, -np.inf)


# Thresholds -------------------------------------------------------------------------------------------------------


def threshold_for_false_accepts(unknown_U: npt.ArrayLike, rate: float = RATE) -> float:
    """The lowest threshold at which at most `rate` of the unknown clips are accepted: for when one has such clips.

    Args:
        unknown_U: knownness of unknown clips, of other classes than those it will meet.
        rate: from 0 to below 1. With fewer than 1 / rate clips none of them is accepted.

    Raises:
        InputError: no unknown clips, NaN, or another rate.
    """
    unknown = np.sort(checked_knownness(unknown_U, "unknown"))[::-1]
    accepted = allowed(rate, len(unknown))
    return max(float(np.nextafter(unknown[accepted], np.inf)), _LEAST)


def threshold_for_false_rejects(known_K: npt.ArrayLike, rate: float = RATE) -> float:
    """The highest threshold at which at most `rate` of the known clips are rejected: for when one has known clips only.

    It promises nothing about how many unknown clips are accepted. Undecided clips are rejected in any case.

    Args:
        known_K: knownness of clips of seen classes, with the seen classes as candidates.
        rate: from 0 to below 1.

    Raises:
        InputError: no known clips, NaN, or another rate.
    """
    known = np.sort(checked_knownness(known_K, "known"))
    return max(float(known[allowed(rate, len(known))]), _LEAST)


@dataclass(frozen=True)
class Rejector:
    """Says "none of these". It goes with the scores of one run and one choice of α, β and γ.

    Attributes:
        kind: one of `KINDS`.
        threshold: knownness (as `knownness` has it, energy negated) from which on a clip is accepted.
        temperature: T; for probabilities, and for the kinds that are tempered.
        chosen_by: "false accept": `rate` is the share of unknown clips that were accepted; "false reject": of known
            clips that were rejected, and nothing is known about unknown ones.
        rate: the share that was asked for, at most; from 0 to below 1.
        clips: how many it was chosen on.
        about: which clips and classes these were, in words.

    Raises:
        InputError: another kind, or numbers out of range.
    """

    kind: str
    threshold: float
    temperature: float
    chosen_by: ChosenBy
    rate: float
    clips: int
    about: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.chosen_by not in ("false accept", "false reject"):
            raise InputError(f"a clip cannot be rejected by {self.kind!r}, with a threshold by {self.chosen_by!r}")
        checked_temperature(self.temperature)
        if not is_number(self.threshold) or type(self.clips) is not int or self.clips < 1:
            raise InputError("a threshold is a finite number, chosen on at least one clip")
        allowed(self.rate, self.clips)
        if not isinstance(self.about, str):
            raise InputError("a rejector is about something in words")

    @classmethod
    def from_unknown(
        cls,
        scores_UC: npt.ArrayLike,
        rate: float = RATE,
        kind: str = "cosine",
        temperature: float = 1.0,
        about: str = "",
    ) -> Self:
        """With the threshold at which at most `rate` of these unknown clips are accepted.

        Args:
            scores_UC: of clips that are of none of the C candidate classes.

        Raises:
            InputError: as `knownness` and `threshold_for_false_accepts` do.
        """
        values_U = knownness(scores_UC, kind, temperature)
        threshold = threshold_for_false_accepts(values_U, rate)
        return cls(kind, threshold, temperature, "false accept", rate, len(values_U), about)

    @classmethod
    def from_known(
        cls,
        scores_KC: npt.ArrayLike,
        rate: float = RATE,
        kind: str = "cosine",
        temperature: float = 1.0,
        about: str = "",
    ) -> Self:
        """With the threshold at which at most `rate` of these known clips are rejected.

        Args:
            scores_KC: of clips of seen classes, against the C seen classes. Right or wrong, all of them count.

        Raises:
            InputError: as `knownness` and `threshold_for_false_rejects` do.
        """
        values_K = knownness(scores_KC, kind, temperature)
        threshold = threshold_for_false_rejects(values_K, rate)
        return cls(kind, threshold, temperature, "false reject", rate, len(values_K), about)

    def decide(self, scores_C: npt.ArrayLike) -> bool:
        """Whether one clip is taken for one of the C classes; False says none of these."""
        return bool(self.accepts(np.asarray(scores_C)[None])[0])

    def accepts(self, scores_NC: npt.ArrayLike) -> BoolArray:
        """(N,) `decide` for each clip."""
        return knownness(scores_NC, self.kind, self.temperature) >= self.threshold

    def probabilities(self, scores_NC: npt.ArrayLike) -> DoubleArray:
        """(N, C) softmax(score / T): of the classes, given that it is one of them."""
        return probabilities(scores_NC, self.temperature)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, {"cezsar": "rejector", "version": VERSION} | asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or holds something else.
        """
        value = read_json_object(path)
        if (value.pop("cezsar", None), value.pop("version", None)) != ("rejector", VERSION):
            raise FormatError(f"{path} holds no rejector of version {VERSION}; choose the threshold again")
        try:
            return cls(**value)
        except (InputError, TypeError) as error:
            raise FormatError(f"{path} is damaged ({error}); choose the threshold again") from error


# What may be given ------------------------------------------------------------------------------------------------


def allowed(rate: float, clips: int) -> int:
    """How many of so many clips a rate allows. Raises `InputError` for a rate outside [0, 1)."""
    if not is_number(rate) or not 0 <= rate < 1:
        raise InputError(f"a rate of {rate!r} was asked for; give a share from 0 to below 1, such as 0.05")
    return min(math.floor(rate * clips + 1e-9), clips - 1)  # 0.29 of 100 clips are 29, not 28


def checked_knownness(values_N: npt.ArrayLike, which: str) -> DoubleArray:
    """(N,) of at least one clip, -inf for undecided ones. Raises `InputError` where there is none, or NaN or inf."""
    values = np.asarray(values_N, np.float64)
    if values.ndim != 1 or not len(values):
        raise InputError(
            f"there are no {which} clips, or no knownness for each; figures need known and unknown, a false-accept "
            "rate needs unknown clips and a false-reject rate known ones"
        )
    if np.isnan(values).any() or (values == np.inf).any():
        raise InputError(
            f"the knownness of {which} clip {int(np.argmin(values < np.inf))} is no number; compute it again"
        )
    return values


def checked_scores(scores_NC: npt.ArrayLike) -> DoubleArray:
    """(N, C) as float64. Raises `InputError` where it is no matrix, has no classes, or has NaN or infinite numbers."""
    scores = np.asarray(scores_NC, np.float64)
    if scores.ndim != 2 or not scores.shape[1]:
        raise InputError(f"scores have shape {scores.shape}; a row for each clip and a column for each class is needed")
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if bad.size:
        raise InputError(f"row {bad[0]} of the scores has NaN or infinite numbers; compute it again, or leave it out")
    return scores


def checked_temperature(temperature: float) -> float:
    """T. Raises `InputError` unless it is a number above 0."""
    if not is_number(temperature) or temperature <= 0:
        raise InputError(f"the temperature is {temperature!r}; give a number above 0, such as 0.05")
    return float(temperature)


def is_number(value: object) -> bool:
    """Whether `value` is a finite int or float; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= -_LEAST
