"""Settings of semantic transfer, chosen on held-out SEEN classes; and which seen classes are none.

A trial is a `Transfer` whose "unseen" classes are seen ones that were held out. Nothing here is given a clip of an
unseen class; of the unseen classes it takes their names, to drop seen classes that say the same (`overlaps`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.transfer import Setting, Transfer, blend, class_index, relatedness

What = TypeVar("What", Setting, float)

OVERLAP = 0.05  # cosine distance of two class names up to which they are one class
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Weights of a blend that `choose_blend` tries."""


@dataclass(frozen=True)
class Grid:
    """The settings that `choose` tries. A K above the number of seen classes takes all of them."""

    k: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    temperature: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    lam: tuple[float, ...] = WEIGHTS

    def settings(self) -> list[Setting]:
        """All of them, λ slowest and T fastest."""
        return [Setting(k, temperature, lam) for lam, k, temperature in product(self.lam, self.k, self.temperature)]


class Overlap(NamedTuple):
    """A seen class that is too near an unseen one: their names, and the cosine distance of these."""

    seen: str
    unseen: str
    distance: float


def overlaps(
    seen: Mapping[str, FloatArray], unseen: Mapping[str, FloatArray], within: float = OVERLAP
) -> list[Overlap]:
    """Seen classes whose name says the same as an unseen class's, each once, with the nearest: they must not serve.

    Args:
        seen, unseen: class name -> sentence vector of the NAME, not of a description.
        within: cosine distance up to which two names are one class.
    """
    if not seen or not unseen:
        return []
    distance_SU = 1 - relatedness(np.stack(list(seen.values())), np.stack(list(unseen.values())))
    names = list(unseen)
    pairs = zip(seen, distance_SU.argmin(axis=1).tolist(), distance_SU.min(axis=1).tolist(), strict=True)
    # A name's distance to itself is 0 up to rounding; the bound is meant with the same grain.
    return [Overlap(name, names[u], max(d, 0.0)) for name, u, d in pairs if d <= within + 1e-6]


class Tried(NamedTuple, Generic[What]):
    """What was tried, and the top-1 accuracy it reached in each trial."""

    setting: What
    top1: list[float]

    @property
    def mean(self) -> float:
        return math.fsum(self.top1) / len(self.top1)


class Choice(NamedTuple, Generic[What]):
    """All that was tried, and the best of it: highest mean top-1, of equal ones the first."""

    best: Tried[What]
    table: list[Tried[What]]

    @classmethod
    def of(cls, table: list[Tried[What]]) -> Choice[What]:
        highest = max(tried.mean for tried in table)
        return cls(next(tried for tried in table if tried.mean >= highest - 1e-12), table)


def split_classes(
    n_classes: int, rng: np.random.Generator, trials: int, share: float = 0.5
) -> list[tuple[IntArray, IntArray]]:
    """For each trial the classes that stay seen, and a random `share` that is held out (two at least); ascending.

    Raises:
        InputError: fewer than four classes: one of two is no choice.
    """
    if n_classes < 4:
        raise InputError(f"{n_classes} seen classes are too few to choose settings on; label clips of four at least")
    count = min(max(2, round(share * n_classes)), n_classes - 2)
    orders = [rng.permutation(n_classes) for _ in range(trials)]
    return [(np.sort(order[count:]), np.sort(order[:count])) for order in orders]


def choose(trials: Sequence[Transfer], grid: Grid | None = None) -> Choice[Setting]:
    """K, T and λ by grid, on trials whose "unseen" classes are held-out seen ones.

    A clip whose scores are all 0 is a miss, and of equal scores the first class counts, as in `evaluation.evaluate`.

    Raises:
        InputError: a trial without a labelled clip.
    """
    found: dict[Setting, list[float]] = {setting: [] for setting in (grid or Grid()).settings()}
    for trial in trials:
        labelled = class_index(trial.unseen) >= 0
        true_N, by_text = class_index(trial.unseen)[labelled], trial.by_text[labelled]
        if not len(true_N):
            raise InputError("a trial has no clip of its held-out classes; hold out classes that have clips")
        composed: dict[tuple[int, float], DoubleArray] = {}
        for setting, top1 in found.items():
            how = min(setting.k, len(trial.seen.class_names)), setting.temperature
            if how not in composed:
                composed[how] = trial.clips[labelled] @ trial.prototypes(*how).T
            matrix_NU = setting.lam * composed[how] + (1 - setting.lam) * by_text
            top1.append(float(((matrix_NU.argmax(axis=1) == true_N) & matrix_NU.any(axis=1)).mean()))
    return Choice.of([Tried(setting, top1) for setting, top1 in found.items()])


def choose_blend(trials: Sequence[tuple[Scores, Scores]], weights: Sequence[float] = WEIGHTS) -> Choice[float]:
    """The weight of `transfer.blend`, on pairs of scores of held-out seen classes."""
    return Choice.of([Tried(weight, [top1(blend(a, b, weight)) for a, b in trials]) for weight in weights])


def top1(scores: Scores) -> float:
    """Top-1 accuracy of VE over all labelled clips and all classes."""
    return evaluate(scores, all_classes(scores.class_names), Weights.only("VE")).runs[0].top1
