"""None of these: whether a clip shows any of the labels it is ranked against. One mechanism for all who ask.

`RejectionLimits` are rules of thumb for any model. A `Rejector` is measured: `cezsar calibrate` chose its threshold and
temperature T with the run's own α, β and γ, on other clips and labels, so what it says is a warning and no guarantee.
"Known" clips are of the candidate classes, "unknown" ones are not. Each gets a confidence (`KINDS`), higher for known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax

from cezsar.arrays import BoolArray, DoubleArray, unit_rows
from cezsar.atomic import write_json
from cezsar.data.documents import read_json_object
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.formats import check_stamp, stamp
from cezsar.zeroshot.fusion import Weights

ChosenBy = Literal["false accept", "false reject"]

REJECTOR, CALIBRATION = "rejector.json", "calibration.json"  # in a run's folder; the second tells how T was fitted
RATE = 0.05
OOD_LIMIT = 2.0  # times the distance that 99 % of training sub-clips stay under
NOT_ALONE = ("probability", "margin")  # kinds that compare labels, and so say nothing about a single one
TOLERANCE = 0.01  # of a weight, where α, β and γ have length 1: a slider rounds them
LEAST = -float(np.finfo(np.float64).max)  # a threshold that everything but -inf reaches


@dataclass(frozen=True)
class RejectionLimits:
    """Limits of an acceptable ranking, for any model."""

    distance: float = OOD_LIMIT  # out-of-distribution distance from which on a clip is unlike the training clips
    similarity: float = 0.0  # least cosine similarity of the best label; 0 asks for none
    margin: float = 0.0  # least lead of the best label over the second; 0 asks for none

    def unlike(self, model: str, distance: float | None) -> str:
        """Why a clip at this distance gets no answer, or "". Encoders without a run know no distance."""
        if distance is None or distance < self.distance:
            return ""
        return (
            f"the clip looks like nothing that {model} was trained on ({distance:.1f} times the usual distance, the "
            f"limit is {self.distance:.1f})"
        )

    def weak(self, best: str, similarity: float, margin: float | None) -> list[str]:
        """What of the best label is below its least, in words; `margin` is None where it is the only label."""
        found = []
        if 0 < self.similarity > similarity:
            found.append(f'"{best}" has a similarity of {similarity:.2f} only, the least is {self.similarity:.2f}')
        if margin is not None and margin < self.margin:
            found.append(f'"{best}" leads by {margin:.2f} only, the least is {self.margin:.2f}')
        return found


# Confidence ---------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A confidence: a number for each clip, higher for known clips."""

    title: str
    definition: str  # as published
    source: str
    values: Callable[[DoubleArray, float], DoubleArray]  # (N, C) scores and T -> (N,)
    tempered: bool = False  # T plays a part
    negated: bool = False  # the negative of what is published


def probabilities(scores_NC: npt.ArrayLike, temperature: float = 1.0) -> DoubleArray:
    """(N, C) softmax(score / T): each row sums to 1."""
    return np.asarray(softmax(np.asarray(scores_NC, np.float64) / temperature, axis=1))


def _margin(scores_NC: DoubleArray, temperature: float) -> DoubleArray:
    best_N2 = np.partition(scores_NC, max(scores_NC.shape[1] - 2, 0), axis=1)[:, -2:]
    return np.asarray(np.diff(best_N2, axis=1).sum(axis=1))


KINDS = {
    "cosine": Kind(
        "maximum cosine", "cosine similarity of the best class",
        "Eq. 8 of Estevam et al., ICPR 2026; maximum logit: Hendrycks et al., ICML 2022",
        lambda scores_NC, t: scores_NC.max(axis=1),
    ),
    "probability": Kind(
        "maximum probability", "probability of the best class, softmax(score / T)",
        "Hendrycks and Gimpel, ICLR 2017",
        lambda scores_NC, t: probabilities(scores_NC, t).max(axis=1), tempered=True,
    ),
    "margin": Kind(
        "margin", "score of the best class less that of the second; 0 with one class",
        "nearest-neighbour distance ratio as a difference: Mendes Júnior et al., Machine Learning 106, 2017", _margin,
    ),
    "energy": Kind(
        "energy", "-T log of the sum over classes of exp(score / T): a soft minimum of the negative scores",
        "Liu et al., NeurIPS 2020, Eq. 3",
        lambda scores_NC, t: t * logsumexp(scores_NC / t, axis=1), tempered=True, negated=True,
    ),
}  # fmt: skip


def confidence(scores_NC: npt.ArrayLike, kind: str = "cosine", temperature: float = 1.0) -> DoubleArray:
    """(N,) how much speaks for each clip being of one of the C classes, from cosine similarities for these; -inf for a
    clip whose scores are all 0. Raises `InputError` for a kind that is none of `KINDS`."""
    if kind not in KINDS:
        raise InputError(f"{kind!r} tells no known clips from unknown ones; choose {', '.join(KINDS)}")
    scores = np.asarray(scores_NC, np.float64)
    return np.where(scores.any(axis=1), KINDS[kind].values(scores, temperature), -np.inf)


def threshold(confidence_N: npt.ArrayLike, chosen_by: ChosenBy, rate: float = RATE) -> float:
    """The lowest threshold at which at most `rate` of unknown clips are accepted ("false accept"), or the highest at
    which at most `rate` of known ones are rejected. Raises `InputError` without clips."""
    of_unknown = chosen_by == "false accept"
    values = np.sort(np.asarray(confidence_N, np.float64))
    if not len(values):
        raise InputError(f"there are no {'unknown' if of_unknown else 'known'} clips to choose a threshold on")
    errors = allowed(rate, len(values))
    chosen = np.nextafter(values[::-1][errors], np.inf) if of_unknown else values[errors]
    return max(float(chosen), LEAST)


def allowed(rate: float, clips: int) -> int:
    """How many of so many clips a rate allows. Raises `InputError` for a rate outside [0, 1)."""
    if not 0 <= rate < 1:
        raise InputError(f"a rate of {rate!r} was asked for; give a share from 0 to below 1, such as 0.05")
    return min(math.floor(rate * clips + 1e-9), clips - 1)  # 0.29 of 100 clips are 29, not 28


# What a run brings --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rejector:
    """Says "none of these" with the scores of one run and one choice of α, β and γ."""

    kind: str  # of confidence, one of `KINDS`
    threshold: float  # confidence from which on a clip is accepted
    temperature: float  # T
    chosen_by: ChosenBy  # which error `rate` is about, see `threshold`
    rate: float  # the share that was asked for, at most; from 0 to below 1
    clips: int  # how many it was chosen on
    about: str = ""  # which clips and classes these were, in words

    def __post_init__(self) -> None:
        allowed(self.rate, self.clips)
        named = self.kind in KINDS and self.chosen_by in get_args(ChosenBy) and isinstance(self.about, str)
        if not (named and math.isfinite(self.threshold) and 0 < self.temperature < math.inf and self.clips > 0):
            raise InputError(f"no clip can be rejected by {asdict(self)}")

    @classmethod
    def choose(cls, scores_NC: npt.ArrayLike, chosen_by: ChosenBy, rate: float = RATE, kind: str = "cosine",
               temperature: float = 1.0, about: str = "") -> Self:  # fmt: skip
        """With the `threshold` that keeps `rate` on these clips: unknown ones against the C classes, or known ones."""
        values_N = confidence(scores_NC, kind, temperature)
        return cls(kind, threshold(values_N, chosen_by, rate), temperature, chosen_by, rate, len(values_N), about)

    @property
    def title(self) -> str:
        """What is held against the threshold."""
        return f"{'negative ' if KINDS[self.kind].negated else ''}{KINDS[self.kind].title}"

    def accepts(self, scores_NC: npt.ArrayLike) -> BoolArray:
        """(N,) whether each clip is taken for one of the C classes; False says none of these."""
        return confidence(scores_NC, self.kind, self.temperature) >= self.threshold

    def judge(self, scores_C: npt.ArrayLike) -> tuple[DoubleArray, bool | None, str]:
        """Of one clip, from its similarities to ALL its labels: softmax(score / T), whether it shows none of them, and
        in words what that rests on; None and "" where a single label leaves nothing to compare."""
        row_1C = np.asarray(scores_C, np.float64)[None]
        chances_C = probabilities(row_1C, self.temperature)[0]
        if row_1C.shape[1] == 1 and self.kind in NOT_ALONE:
            return chances_C, None, ""
        value = float(confidence(row_1C, self.kind, self.temperature)[0])
        accepted = value >= self.threshold
        found = f"{self.title} {value:.3f}, {'at least' if accepted else 'below'} {self.threshold:.3f}"
        done = "unknown clips were accepted" if self.chosen_by == "false accept" else "known clips were rejected"
        about = f" ({self.about})" if self.about else ""
        words = (
            f"{found if math.isfinite(value) else 'all scores are 0'}; chosen so that at most {self.rate:.1%} of "
            f"{self.clips:,} {done}{about}; those were other clips and labels, so this is a warning, no guarantee"
        )
        return chances_C, not accepted, words

    def save(self, folder: Path) -> None:
        """Write it into a run's folder, whole or not at all."""
        write_json(folder / REJECTOR, stamp("rejector") | asdict(self))

    @classmethod
    def of_run(cls, folder: Path) -> Self | None:
        """The rejector that a run brings, if it brings one. Raises `FormatError` where it is damaged."""
        path = folder / REJECTOR
        if not path.exists():
            return None
        value, again = read_json_object(path), "choose the threshold again with `cezsar calibrate`, or remove the file"
        check_stamp(path, "rejector", value, again)
        try:
            return cls(**{name: each for name, each in value.items() if name not in stamp("rejector")})
        except (InputError, *DAMAGED) as error:
            raise FormatError(f"{path} is damaged ({error}); {again}") from error


def goes_with(weights: Weights, own: Weights, counted: Collection[str]) -> bool:
    """Whether a rejector that was chosen with the weights `own`, and without captions, can judge scores with `weights`
    of a clip with these modalities."""
    if "C" in counted and weights.gamma > 0:
        return False
    given, chosen = unit_rows(np.array([[each.alpha, each.beta] for each in (weights, own)], np.float64))
    return bool(np.abs(given - chosen).max() <= TOLERANCE)
