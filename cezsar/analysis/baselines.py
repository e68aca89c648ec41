"""Is a set of named classes harder than random sets of its size?

Fewer classes are easier to choose from, so the accuracy among 15 look-alikes says little beside that among all classes.
Beside many random sets of 15 it does: hard-15 gave 63.3 %, random 15 gave 70.4 ± 6.3 % (Section 5 of Estevam et al.,
ICPR 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from cezsar.analysis.confusion import GroupFigures, group_confusion
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import confusion_matrix, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, random_classes
from cezsar.zeroshot.results import METRICS, STD_DDOF, Figure, Result
from cezsar.zeroshot.scores import Scores

RUNS = 30
"""Random sets of the paper's baseline."""


@dataclass(frozen=True)
class Standing:
    """Where the named set stands among the random ones, by one metric.

    Attributes:
        metric: "top1", "top5", ... or "mean_per_class".
        named: of the named set, from 0 to 1.
        random: mean of the random sets, and their sample standard deviation (ddof = 1); None with one set.
        values: of each random set, in the order of its draw.
        percentile: share of random sets below the named one, sets of the same value counted half; from 0 (harder than
            all of them) to 1.
        z: how many standard deviations the named set is above the mean; None where they do not vary.
    """

    metric: str
    named: float
    random: Figure
    values: list[float]
    percentile: float
    z: float | None


@dataclass(frozen=True)
class Baseline:
    """Named classes beside random sets of as many classes.

    Attributes:
        classes: the named ones.
        groups: name -> classes, where they were given in groups.
        pool: classes that the random sets were drawn from.
        named: counts of the named set.
        random: counts of the random sets, one run a set.
        figures: how the clips fare within and between groups when the named classes are all there is to choose from,
            as `group_confusion` has it: the groups, classes in none, the total. Without groups the total alone, all
            of whose errors are between.
    """

    classes: list[str]
    groups: dict[str, list[str]]
    pool: list[str]
    named: Result
    random: Result
    figures: list[GroupFigures]

    def standing(self, metric: str = "top1") -> Standing:
        """The named set among the random ones, by one of `METRICS`."""
        named, random = self.named.figure(metric).mean, self.random.figure(metric)
        values = [run.figures()[metric] for run in self.random.runs]
        below = sum((value < named) + (value == named) / 2 for value in values)
        z = (named - random.mean) / random.std if random.std and len(set(values)) > 1 else None
        return Standing(metric, named, random, values, below / len(values), z)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it: fractions, and under "random_sets" the classes and counts of every set."""
        standings = [asdict(self.standing(metric)) for metric in METRICS]
        return {
            "cezsar": "control",
            "classes": self.classes,
            "groups": self.groups,
            "pool": self.pool,
            "outside": not set(self.classes) & set(self.pool),
            "std_ddof": STD_DDOF,
            "standings": [standing | {"random": standing["random"]._asdict()} for standing in standings],
            "figures": [asdict(figure) for figure in self.figures],
            "named_set": self.named.to_dict(),
            "random_sets": self.random.to_dict(),
        }


def random_baseline(
    scores: Scores,
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    weights: Weights | None = None,
    *,
    runs: int = RUNS,
    seed: int = 0,
    outside: bool = False,
) -> Baseline:
    """Evaluate named classes, and random sets of as many classes, each among its own classes only.

    Args:
        classes: names in any spelling, or groups of them, name -> classes; groups may overlap.
        weights: α, β, γ; the paper's by default.
        runs: random sets.
        seed: of the draw, by `protocols.random_classes` from the classes that have clips; the same seed gives the same
            sets for all scores of the same classes.
        outside: draw from the classes that are not named only. Otherwise a random set may have some of the named ones,
            as the paper's may.

    Raises:
        InputError: an unknown class, none, a class twice outside of groups, or too few classes to draw from.
    """
    weights = weights or Weights()
    grouped = classes if isinstance(classes, Mapping) else {}
    groups = {name: resolve(members, scores.class_names) for name, members in grouped.items()}
    listed = dict.fromkeys(chain(*groups.values())) if isinstance(classes, Mapping) else classes
    protocol = Protocol("named", [resolve(listed, scores.class_names)])
    (names,) = protocol.splits
    tested = [scores.class_names[index] for index in np.unique(scores.label_index) if index >= 0]
    pool = [name for name in tested if not (outside and name in names)]
    if len(pool) < len(names):
        raise InputError(
            f"sets of {len(names):,} classes cannot be drawn from {len(pool):,} classes with clips"
            f"{' outside the named ones' if outside else ''}; name fewer"
            f"{', or draw from all classes' if outside else ''}"
        )
    return Baseline(
        names,
        groups,
        pool,
        evaluate(scores, protocol, weights),
        evaluate(scores, random_classes(pool, len(names), runs, seed), weights),
        group_confusion(confusion_matrix(scores, weights, names), names, groups)[0 if groups else -1 :],
    )
