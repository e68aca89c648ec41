"""Weights chosen on other classes than those they are judged on.

The α that is best on the test classes flatters every figure told at it. Here α is chosen on a random half of the
classes, and its accuracy told on the other half, again and again; beside it what fixed weights reach on the same
halves, and the flattered figure itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cezsar.errors import InputError
from cezsar.zeroshot.curves import fusion_curves, line_curve
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, random_classes
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.simplex import simplex_map

RUNS = 20


@dataclass(frozen=True)
class Chosen:
    """One number a run; accuracies are top-1, told on the half of classes that was not chosen on.

    Attributes:
        pair: the two modalities; α weighs the first, 1 - α the second.
        alphas: chosen: the middle of the widest best stretch on one half of the classes.
        accuracies: at that α on the other half.
        fixed: name -> accuracies at a fixed α.
        best: the highest accuracies that any α reaches there, each chosen on the very classes it is told on.
    """

    pair: tuple[str, str]
    alphas: list[float]
    accuracies: list[float]
    fixed: dict[str, list[float]] = field(default_factory=dict)
    best: list[float] = field(default_factory=list)

    @property
    def alpha(self) -> Figure:
        """Mean and sample standard deviation of the chosen α."""
        return figure_of(self.alphas)

    @property
    def figure(self) -> Figure:
        """Mean and sample standard deviation of the accuracies at the chosen α."""
        return figure_of(self.accuracies)


def choose_on_half(
    scores: Scores,
    pair: tuple[str, str] = ("VE", "O"),
    *,
    fixed: Mapping[str, float] | None = None,
    runs: int = RUNS,
    seed: int = 0,
) -> Chosen:
    """Choose α on random halves of the classes and tell its accuracy on the other halves.

    Args:
        fixed: name -> α in [0, 1] to compare with.
        seed: of the halves.

    Raises:
        InputError: fewer than four classes have clips, or a modality is lacking.
    """
    one, other = _halves(scores, runs, seed)
    choosing, telling = (fusion_curves(scores, half, pair).curves for half in (one, other))
    alphas = [(best.low + best.high) / 2 for best in (curve.best() for curve in choosing)]
    return Chosen(
        pair,
        alphas,
        [float(curve.at(alpha)) for curve, alpha in zip(telling, alphas, strict=True)],
        {name: [float(curve.at(alpha)) for curve in telling] for name, alpha in (fixed or {}).items()},
        [curve.best().accuracy for curve in telling],
    )


@dataclass(frozen=True)
class ChosenWeights:
    """As `Chosen`, for α, β and γ.

    Attributes:
        weights: chosen: the peak of the map over the simplex on one half of the classes.
        accuracies: with these on the other half.
        fixed: name -> accuracies with fixed weights.
        best: the peak of the other half's own map, chosen on the very classes it is told on.
    """

    weights: list[Weights]
    accuracies: list[float]
    fixed: dict[str, list[float]] = field(default_factory=dict)
    best: list[float] = field(default_factory=list)

    @property
    def figure(self) -> Figure:
        """Mean and sample standard deviation of the accuracies with the chosen weights."""
        return figure_of(self.accuracies)


def choose_weights_on_half(
    scores: Scores,
    *,
    fixed: Mapping[str, Weights] | None = None,
    steps: int = 10,
    runs: int = RUNS,
    seed: int = 0,
) -> ChosenWeights:
    """Choose α, β and γ on random halves of the classes and tell their accuracy on the other halves.

    Args:
        scores: with VE, O and C.
        fixed: name -> weights to compare with.
        steps: lines of constant γ in the maps (`simplex_map`).
        seed: of the halves; the same as those of `choose_on_half`.

    Raises:
        InputError: fewer than four classes have clips, a modality is lacking, or weights leave none.
    """
    one, other = _halves(scores, runs, seed)
    weights = [simplex_map(scores, steps, half).best().weights for half in one.splits]
    return ChosenWeights(
        weights,
        [_at(scores, chosen, half) for chosen, half in zip(weights, other.splits, strict=True)],
        {name: [_at(scores, given, half) for half in other.splits] for name, given in (fixed or {}).items()},
        [simplex_map(scores, steps, half).best().accuracy for half in other.splits],
    )


def _at(scores: Scores, weights: Weights, classes: Sequence[str]) -> float:
    """Top-1 accuracy with these weights: a line of no length."""
    return float(line_curve(scores, weights, weights, classes).on_B[0])


def _halves(scores: Scores, runs: int, seed: int) -> tuple[Protocol, Protocol]:
    """Random halves of the classes that have clips, and what each leaves."""
    tested = set(scores.label_index.tolist())
    names = [name for index, name in enumerate(scores.class_names) if index in tested]
    if len(names) < 4:
        raise InputError("weights can be chosen on half of the classes where there are four or more with clips")
    one = random_classes(names, len(names) // 2, runs, seed)
    return one, Protocol("other half", [_without(names, half) for half in one.splits], seed)


def _without(names: Sequence[str], half: Sequence[str]) -> list[str]:
    return [name for name in names if name not in set(half)]
