"""Accuracy over the (α, β, γ) simplex, for three modalities: exact along lines of constant γ, which cover it.

Along each line α runs from 0 to 1 - γ and β is what is left, so the accuracy is an exact step function
(`cezsar.zeroshot.curves.line_curve`). Between two lines nothing is known; `best` is therefore a lower bound of what the
whole simplex reaches, exact on the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cezsar.errors import InputError
from cezsar.zeroshot.curves import Curve, line_curve
from cezsar.zeroshot.embeddings import MODALITIES
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]


class Peak(NamedTuple):
    """The best weights: the middle of the widest stretch of the best line.

    Attributes:
        low, high: ends of the stretch of α that does as well with this γ, β being what is left.
        accuracy: top-1 there, a fraction.
    """

    weights: Weights
    low: float
    high: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class SimplexMap:
    """Accuracy where γ is one of a few values and α anything.

    Attributes:
        gammas: (G,) ascending from 0 to 1.
        curves: one for each γ below 1, against α / (1 - γ) in [0, 1].
        corner: accuracy at γ = 1, captions alone.
    """

    gammas: DoubleArray
    curves: list[Curve]
    corner: float

    def at(self, weights: Weights) -> float:
        """Accuracy, a fraction; the weights are first brought to sum 1.

        Raises:
            InputError: their γ is none of the lines.
        """
        total = weights.alpha + weights.beta + weights.gamma
        gamma = weights.gamma / total
        line = int(np.abs(self.gammas - gamma).argmin())
        if abs(self.gammas[line] - gamma) > 1e-9:
            raise InputError(f"γ = {gamma:g} is none of the {len(self.gammas)} lines; make a map with more steps")
        if line == len(self.curves):
            return self.corner
        return float(self.curves[line].at(weights.alpha / (weights.alpha + weights.beta)))

    def grid(self) -> tuple[DoubleArray, DoubleArray]:
        """(K, 3) weights α, β, γ on a triangular grid with the lines' step, and (K,) accuracies there."""
        steps = len(self.gammas) - 1
        points, accuracies = [], []
        for line, curve in enumerate(self.curves):
            share = np.arange(steps - line + 1) / (steps - line)
            left = 1 - self.gammas[line]
            points.append(np.stack([share * left, (1 - share) * left, np.full(len(share), self.gammas[line])], axis=1))
            accuracies.append(curve.at(share))
        points.append(np.array([[0.0, 0.0, 1.0]]))
        return np.concatenate(points), np.append(np.concatenate(accuracies), self.corner)

    def best(self) -> Peak:
        """The highest accuracy on any line; of equal ones the widest stretch of α, then the smallest γ."""
        stretches = [(curve.best(), 1 - gamma) for curve, gamma in zip(self.curves, self.gammas.tolist(), strict=False)]
        stretch, left = max(stretches, key=lambda found: (found[0].accuracy, found[1] * (found[0].high - found[0].low)))
        if self.corner > stretch.accuracy:
            return Peak(Weights.only("C"), 0.0, 0.0, self.corner)
        low, high = stretch.low * left, stretch.high * left
        middle = (low + high) / 2
        return Peak(Weights(middle, max(0.0, left - middle), 1 - left), low, high, stretch.accuracy)


def simplex_map(scores: Scores, steps: int = 20, classes: Sequence[str] | None = None) -> SimplexMap:
    """Exact accuracy along `steps` lines of constant γ, and at the corner γ = 1.

    Args:
        scores: with VE, O and C.
        classes: names, in any spelling, of the classes to choose from; all by default.

    Raises:
        InputError: a modality is lacking, or fewer than one step.
    """
    if lacking := [name for name in MODALITIES if name not in scores.columns]:
        raise InputError(f"the clips have no {lacking[0]}; a map over three weights needs VE, O and C")
    if steps < 1:
        raise InputError(f"{steps} steps were asked for; a map needs at least one")
    gammas = np.arange(steps + 1) / steps
    curves = [
        line_curve(scores, Weights(0.0, 1 - gamma, gamma), Weights(1 - gamma, 0.0, gamma), classes)
        for gamma in gammas[:-1].tolist()
    ]
    captions = Weights.only("C")
    return SimplexMap(gammas, curves, float(line_curve(scores, captions, captions, classes).on_B[0]))
