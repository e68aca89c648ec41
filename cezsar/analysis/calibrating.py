"""T and the threshold for "none of these" of one run, chosen together on labelled clips and kept beside its weights.

Both go with one choice of α, β and γ: the run's own. The clips may be of seen classes or of any labelled data set; a
test set that figures are reported on is the one thing they must not be, since those figures would know the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cezsar.analysis.calibration import Calibration, Candidates, candidates, fit, hits
from cezsar.analysis.open_set import RATE, OpenSet, Rejector, knownness, measure
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.verdict import CALIBRATION, REJECTOR


@dataclass(frozen=True)
class Calibrated:
    """What was chosen, and what it does to the clips it was chosen on, which flatters it.

    Attributes:
        rejector: with the temperature of `calibration`.
        accuracy: top-1 of the known clips, 0 to 1.
        known_rejected: how many known clips are below the threshold.
        unknown_accepted: how many unknown clips are not; None without unknown clips.
        open_set: known against unknown clips at every threshold; None without unknown clips.
    """

    calibration: Calibration
    rejector: Rejector
    accuracy: float
    known_rejected: int
    unknown_accepted: int | None = None
    open_set: OpenSet | None = None

    def keep(self, run_folder: str | Path) -> list[Path]:
        """Write both into the folder of their run, each whole or not at all; what was there is replaced.

        Returns:
            The two paths.
        """
        paths = [Path(run_folder) / CALIBRATION, Path(run_folder) / REJECTOR]
        self.calibration.save(paths[0])
        self.rejector.save(paths[1])  # the one that is used, so it comes last
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

    Args:
        known: labelled clips against the classes they may be of; clips of no class are left out.
        unknown_UC: scores of clips of none of these C classes, such as `unknown_scores` gives.
        rate: of false accepts or false rejects, at most; from 0 to below 1.
        kind: of knownness, one of `rejection.KINDS`.
        about: which clips and classes the known ones are, in words.
        about_unknown: likewise the unknown ones.

    Raises:
        InputError: no labelled or no unknown clips, another kind, or a rate outside [0, 1).
    """
    rows = np.flatnonzero(known.truth_N >= 0)
    scores_KC, truth_K = known.scores_NC[rows], known.truth_N[rows]
    calibration = fit(scores_KC, truth_K, about=about)
    t = calibration.temperature
    right_K = hits(scores_KC, truth_K)
    if unknown_UC is None:
        rejector = Rejector.from_known(scores_KC, rate, kind, t, about)
    else:
        rejector = Rejector.from_unknown(unknown_UC, rate, kind, t, about_unknown)
    rejected = int(np.count_nonzero(~rejector.accepts(scores_KC)))
    found = Calibrated(calibration, rejector, float(right_K.mean()), rejected)
    if unknown_UC is None:
        return found
    accepted = int(np.count_nonzero(rejector.accepts(unknown_UC)))
    curves = measure(knownness(scores_KC, kind, t), right_K, knownness(unknown_UC, kind, t))
    return replace(found, unknown_accepted=accepted, open_set=curves)


def unknown_scores(
    unknown: Embeddings, known: Embeddings, weights: Weights, several: Several = "nearest"
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Clips of other classes against the known classes.

    Args:
        unknown: clips with their labels; those of a known class, in whatever spelling, are left out.
        known: of the same run; its classes are the candidates.

    Returns:
        (U, C) scores as `candidates` gives them, and the ids of the U clips.

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
        raise InputError(
            f"unknown clips have {_listed(unknown.modalities)}, known ones {_listed(known.modalities)}; their scores "
            "cannot be compared: give stores that both hold objects, or both hold none"
        )
    ids = [unknown.ids[row] for row in rows]
    embeddings = Embeddings(
        ids,
        [""] * len(ids),
        known.class_names,
        {name: matrix_NE[rows] for name, matrix_NE in unknown.modalities.items()},
        known.prototypes,
        known.prototype_class,
        known.space,
    )
    return candidates(Scores.from_embeddings(embeddings, several), weights).scores_NC, ids


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names) or "nothing"
