"""What figures are held against. Is a set of named classes harder than random sets of its size? Hard-15 gave 63.3 %,
random 15 gave 70.4 ± 6.3 % (Section 5 of Estevam et al., ICPR 2026). And what does knowing the place alone reach?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from cezsar.analysis.confusion import GroupFigures, group_confusion
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.formats import stamp
from cezsar.zeroshot.evaluation import METRICS, STD_DDOF, Figure, Result, confusion_matrix, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, random_classes
from cezsar.zeroshot.scores import Scores

RUNS = 30  # random sets of the paper's baseline


class Standing(NamedTuple):
    """Where the named set stands among the random ones, by one of `METRICS`; fractions."""

    metric: str
    named: float
    random: Figure  # mean of the random sets, and their sample standard deviation; None with one set
    values: list[float]  # of each random set, in the order of its draw
    percentile: float  # share of random sets below the named one, equal ones counted half; 0 is harder than all
    z: float | None  # standard deviations that the named set is above the mean; None where they do not vary


@dataclass(frozen=True)
class Baseline:
    """Named classes beside random sets of as many classes."""

    classes: list[str]  # the named ones
    groups: dict[str, list[str]]
    pool: list[str]  # classes that the random sets were drawn from
    named: Result
    random: Result  # one run a set
    figures: list[GroupFigures]  # the groups and their total, when the named classes are all there is to choose from

    def standing(self, metric: str = "top1") -> Standing:
        named, random = self.named.figure(metric).mean, self.random.figure(metric)
        values = [run.figures()[metric] for run in self.random.runs]
        percentile = np.mean([(value < named) + (value == named) / 2 for value in values])
        z = (named - random.mean) / random.std if random.std and len(set(values)) > 1 else None
        return Standing(metric, named, random, values, float(percentile), z)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it: fractions, and under "random_sets" the classes and counts of every set."""
        standings = [self.standing(metric) for metric in METRICS]
        return {
            **stamp("control"), "classes": self.classes, "groups": self.groups, "pool": self.pool,
            "outside": not set(self.classes) & set(self.pool), "std_ddof": STD_DDOF,
            "standings": [one._asdict() | {"random": one.random._asdict()} for one in standings],
            "figures": [asdict(figure) for figure in self.figures],
            "named_set": self.named.to_dict(), "random_sets": self.random.to_dict(),
        }  # fmt: skip


def random_baseline(
    scores: Scores, groups: Mapping[str, Sequence[str]], weights: Weights, *, seed: int = 0, outside: bool = False
) -> Baseline:
    """Evaluate the classes of some groups, and random sets of as many, each among its own classes only. Sets are drawn
    from the classes with clips, with or without the named ones (`outside`). Raises `InputError` for an unknown class,
    none, or too few to draw from."""
    known = {name: resolve(members, scores.class_names) for name, members in groups.items()}
    names = list(dict.fromkeys(name for members in known.values() for name in members))
    tested = [scores.class_names[index] for index in np.unique(scores.label_index) if index >= 0]
    pool = [name for name in tested if not (outside and name in names)]
    if len(pool) < len(names):
        beyond, or_else = (" outside the named ones", ", or draw from all classes") if outside else ("", "")
        raise InputError(
            f"sets of {len(names):,} classes cannot be drawn from {len(pool):,} classes with clips{beyond}; "
            f"name fewer{or_else}"
        )
    named = evaluate(scores, Protocol("named", [names]), weights)
    random = evaluate(scores, random_classes(pool, len(names), RUNS, seed), weights)
    figures = group_confusion(confusion_matrix(scores, weights, names), names, known)
    return Baseline(names, known, pool, named, random, figures)


def place_scores(places: Sequence[str], like: Scores) -> Scores:
    """The place oracle: the score of a class is how many of its test clips are at the clip's own place. It is told the
    place and knows the test set: what recognising places perfectly, and nothing else, could reach."""
    places_N = np.array(places)
    class_NC = (np.array(like.labels)[:, None] == np.array(like.class_names)).astype(np.float32)
    same_NN = (places_N[:, None] == places_N).astype(np.float32)
    return Scores(like.ids, like.labels, like.class_names, {"VE": same_NN @ class_NC})
