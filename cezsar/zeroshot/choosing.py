"""Weights chosen on other classes than those they are judged on.

The α that is best on the test classes flatters every figure told at it. Here α is chosen on a random half of the
classes, and its accuracy told on the other half, again and again; beside it what fixed weights reach on the same
halves, and the flattered figure itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cezsar.errors import InputError
from cezsar.zeroshot.curves import fusion_curves
from cezsar.zeroshot.protocols import Protocol, random_classes
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scores import Scores

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
    tested = set(scores.label_index.tolist())
    names = [name for index, name in enumerate(scores.class_names) if index in tested]
    if len(names) < 4:
        raise InputError("α can be chosen on half of the classes where there are four or more with clips")
    one = random_classes(names, len(names) // 2, runs, seed)
    other = Protocol("other half", [_without(names, half) for half in one.splits], seed)
    choosing, telling = (fusion_curves(scores, half, pair).curves for half in (one, other))
    alphas = [(best.low + best.high) / 2 for best in (curve.best() for curve in choosing)]
    return Chosen(
        pair,
        alphas,
        [float(curve.at(alpha)) for curve, alpha in zip(telling, alphas, strict=True)],
        {name: [float(curve.at(alpha)) for curve in telling] for name, alpha in (fixed or {}).items()},
        [curve.best().accuracy for curve in telling],
    )


def _without(names: Sequence[str], half: Sequence[str]) -> list[str]:
    return [name for name in names if name not in set(half)]
