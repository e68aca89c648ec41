"""What a run's rejector says about one clip: probabilities of the labels, and whether it shows none of them.

T and the threshold were chosen with the run's own α, β and γ, on other clips and other labels than those it now meets.
So a verdict is a warning and no guarantee, and with other weights, or with a caption, there is none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cezsar.errors import FormatError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import KINDS, Rejector, knownness

REJECTOR, CALIBRATION = "rejector.json", "calibration.json"
"""In a run's folder. The rejector holds T, too; `CALIBRATION` is the record of how T was fitted."""

NOT_ALONE = ("probability", "margin")  # kinds that compare labels, and so say nothing about a single one
TOLERANCE = 0.01  # of a weight, where α, β and γ have length 1: a slider rounds them


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether one of the labels seems right.

    Attributes:
        probabilities_C: softmax(score / T) over all labels, given that the clip shows one of them.
        none_of_these: whether it seems to show none; None where a single label leaves nothing to compare.
        words: what that rests on, and how the threshold was chosen; "" for None.
    """

    probabilities_C: npt.NDArray[np.float64]
    none_of_these: bool | None
    words: str


def judge(rejector: Rejector, scores_C: npt.ArrayLike) -> Verdict:
    """The verdict on one clip.

    Args:
        scores_C: cosine similarities of ALL its labels, with the weights that the rejector goes with.

    Raises:
        InputError: no labels, or NaN.
    """
    row_1C = np.asarray(scores_C, np.float64)[None]
    probabilities_C = rejector.probabilities(row_1C)[0]
    if row_1C.shape[1] == 1 and rejector.kind in NOT_ALONE:
        return Verdict(probabilities_C, None, "")
    accepted = rejector.decide(row_1C[0])
    value = float(knownness(row_1C, rejector.kind, rejector.temperature)[0])
    found = f"{title_of(rejector)} {value:.3f}, {'at least' if accepted else 'below'} {rejector.threshold:.3f}"
    return Verdict(
        probabilities_C, not accepted, f"{found if np.isfinite(value) else 'all scores are 0'}; {origin(rejector)}"
    )


def title_of(rejector: Rejector) -> str:
    """What is held against the threshold, in words: energy is negated, so that more speaks for known."""
    kind = KINDS[rejector.kind]
    return kind.title if kind.known == "higher" else f"negative {kind.title}"


def origin(rejector: Rejector) -> str:
    """How a threshold was chosen, and what that is worth, in words."""
    done = "unknown clips were accepted" if rejector.chosen_by == "false accept" else "known clips were rejected"
    about = f" ({rejector.about})" if rejector.about else ""
    return (
        f"chosen so that at most {rejector.rate:.1%} of {rejector.clips:,} {done}{about}; those were other clips and "
        "labels, so this is a warning, no guarantee"
    )


def goes_with(weights: Weights, own: Weights, counted: Collection[str]) -> bool:
    """Whether scores with `weights` are those that a rejector, chosen with the weights `own`, can judge.

    Args:
        counted: modalities of the clip; with a caption there is no verdict, since the rejector met none.
    """
    if "C" in counted and weights.gamma > 0:
        return False
    directions = []
    for each in (weights, own):
        values = np.array([each.alpha, each.beta])
        directions.append(values / (np.linalg.norm(values) or 1.0))
    return bool(np.abs(directions[0] - directions[1]).max() <= TOLERANCE)


def rejector_of(run_folder: str | Path) -> Rejector | None:
    """The rejector that a run brings; None if it brings none.

    Raises:
        FormatError: it is damaged.
    """
    path = Path(run_folder) / REJECTOR
    if not path.exists():
        return None
    try:
        return Rejector.load(path)
    except FormatError as error:
        raise FormatError(f"{error} with `cezsar calibrate`, or remove the file") from error
