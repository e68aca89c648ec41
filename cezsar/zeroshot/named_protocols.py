"""The protocols of the field by name: which classes of which data set, in how many runs.

| name | classes tested | runs |
|---|---|---|
| `ucf101-0/101`, `hmdb51-0/51`, `kinetics400-0/400` | all | 1 |
| `ucf101-0/50`, `ucf101-0/20`, `kinetics400-0/100`, `kinetics400-0/25` | so many, drawn at random | 50 |
| `ucf101-hard15` | 15 that look alike, in six groups (CEZSAR, Section 5) | 1 |
| `ucf101-fig1` | 4: two with horses, two of gymnastics (CEZSAR, Figure 1) | 1 |
| `ucf101-truze-v1`, `ucf101-truze-v2`, `hmdb51-truze` | 34, 31 and 22 that do not occur in Kinetics-400 (Gowda et al., TruZe, GCPR 2021) | 1 |

A class that is tested is never on the training side: `NamedProtocol.training` is what is left of the data set. The
published file of the hard-15 lists six classes on both sides; for a model that trains on the others of UCF-101 they
must be left out, and here they are.
"""  # noqa: E501 (a table)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cezsar.data.labels import canonical
from cezsar.zeroshot.published import HARD_15

RUNS = 50
"""Of a protocol with random classes, in the tables of the field."""

FIGURE_1 = HARD_15[:4]

TRUZE_UCF_V2 = (
    "apply lipstick", "balance beam", "billiards", "blow dry hair", "fencing", "field hockey penalty", "front crawl",
    "hammering", "handstand pushups", "handstand walking", "horse race", "ice dancing", "jumping jack",
    "military parade", "mixing", "nunchucks", "parallel bars", "pizza tossing", "playing daf", "playing dhol",
    "playing sitar", "playing tabla", "pommel horse", "rafting", "rowing", "still rings", "sumo wrestling",
    "table tennis shot", "uneven bars", "wall pushups", "yo yo",
)  # fmt: skip
TRUZE_UCF_V1 = (*TRUZE_UCF_V2, "baseball pitch", "cutting in kitchen", "punch")
"""The first version tests three more."""

TRUZE_HMDB = (
    "chew", "climb stairs", "draw sword", "fall floor", "fencing", "flic flac", "handstand", "hit", "jump", "kick",
    "pick", "pour", "run", "sit", "shoot gun", "smile", "stand", "sword exercise", "talk", "turn", "walk", "wave",
)  # fmt: skip


@dataclass(frozen=True)
class NamedProtocol:
    """A protocol that papers report.

    Attributes:
        dataset: name of the data set, as `cezsar.data.datasets.KNOWN` has it.
        total: classes of the data set.
        k: classes tested at a time.
        classes: those tested, if they are named; else k of all, at random where k < total.
    """

    name: str
    dataset: str
    total: int
    k: int
    classes: tuple[str, ...] = ()

    @property
    def random(self) -> bool:
        """Whether the classes are drawn, `RUNS` times."""
        return not self.classes and self.k < self.total

    def training(self, class_names: Sequence[str]) -> list[str]:
        """The classes of the data set that may be trained on: those that are not tested; none where any may be."""
        if not self.classes:
            return []
        tested = {canonical(name) for name in self.classes}
        return [name for name in class_names if canonical(name) not in tested]


def _split(dataset: str, total: int, k: int) -> NamedProtocol:
    return NamedProtocol(f"{dataset}-0/{k}", dataset, total, k)


def _listed(name: str, dataset: str, total: int, classes: tuple[str, ...]) -> NamedProtocol:
    return NamedProtocol(f"{dataset}-{name}", dataset, total, len(classes), classes)


NAMED: dict[str, NamedProtocol] = {
    each.name: each
    for each in (
        *(_split("ucf101", 101, k) for k in (101, 50, 20)),
        _listed("hard15", "ucf101", 101, HARD_15),
        _listed("fig1", "ucf101", 101, FIGURE_1),
        _listed("truze-v1", "ucf101", 101, TRUZE_UCF_V1),
        _listed("truze-v2", "ucf101", 101, TRUZE_UCF_V2),
        _split("hmdb51", 51, 51),
        _listed("truze", "hmdb51", 51, TRUZE_HMDB),
        *(_split("kinetics400", 400, k) for k in (400, 100, 25)),
    )
}
"""Every named protocol, in the order of the data sets."""


def protocols_of(dataset: str) -> list[NamedProtocol]:
    """The named protocols of a data set."""
    return [each for each in NAMED.values() if each.dataset == dataset]
