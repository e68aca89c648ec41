"""Settings of semantic transfer, chosen on held-out SEEN classes; and which seen classes are none.

A trial is a `Transfer` whose "unseen" classes are seen ones that were held out. Nothing here is given a clip of an
unseen class; of the unseen classes it takes their names, to drop seen classes that say the same (`overlaps`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.transfer import Setting, Transfer, blend, check, class_index, relatedness

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
What = TypeVar("What", Setting, float)

OVERLAP = 0.05  # cosine distance of two class names up to which they are one class


@dataclass(frozen=True)
class Grid:
    """The settings that `choose` tries. A K above the number of seen classes takes all of them."""

    k: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    temperature: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    lam: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

    def settings(self) -> list[Setting]:
        """All of them, λ slowest and T fastest."""
        return [Setting(k, temperature, lam) for lam, k, temperature in product(self.lam, self.k, self.temperature)]


WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Weights of a blend that `choose_blend` tries."""


class Overlap(NamedTuple):
    """A seen class that is too near an unseen one: their names, and the cosine distance of these."""

    seen: str
    unseen: str
    distance: float


def overlaps(
    seen: Mapping[str, FloatArray], unseen: Mapping[str, FloatArray], within: float = OVERLAP
) -> list[Overlap]:
    """Seen classes whose name says the same as an unseen class's: they must not serve as seen.

    Args:
        seen, unseen: class name -> sentence vector of the NAME, not of a description.
        within: cosine distance up to which two names are one class.

    Returns:
        Each such seen class once, with the unseen class that is nearest to it.
    """
    if not seen or not unseen:
        return []
    distance_SU = 1 - relatedness(np.stack(list(seen.values())), np.stack(list(unseen.values())))
    nearest_S, names = distance_SU.argmin(axis=1), list(unseen)
    pairs = zip(seen, nearest_S.tolist(), distance_SU.min(axis=1).tolist(), strict=True)
    # A name's distance to itself is 0 up to rounding; the bound is meant with the same grain.
    return [Overlap(name, names[u], max(d, 0.0)) for name, u, d in pairs if d <= within + 1e-6]


def only(embeddings: Embeddings, classes: Sequence[str]) -> Embeddings:
    """The same with these classes and their clips alone; clips in their order, classes in the order given."""
    names = resolve(classes, embeddings.class_names)
    index = {name: position for position, name in enumerate(embeddings.class_names)}
    place_C = np.full(len(index) + 1, -1)  # the last entry stands for labels that are no class, which have index -1
    place_C[[index[name] for name in names]] = np.arange(len(names))
    rows = np.flatnonzero(place_C[class_index(embeddings)] >= 0)
    owner_P = place_C[embeddings.prototype_class]
    return replace(
        embeddings,
        ids=[embeddings.ids[row] for row in rows],
        labels=[embeddings.labels[row] for row in rows],
        class_names=names,
        modalities={name: rows_NE[rows] for name, rows_NE in embeddings.modalities.items()},
        prototypes=embeddings.prototypes[owner_P >= 0],
        prototype_class=owner_P[owner_P >= 0],
    )


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


def halves(
    seen: Embeddings, rng: np.random.Generator, trials: int = 5, related_SS: DoubleArray | None = None
) -> list[Transfer]:
    """Trials on seen classes alone: a random half of them keeps its labels, the other half plays the unseen classes.

    Where f_v or f_t was trained on the seen classes it has met the held-out half, which flatters it. Then make the
    trials with `split_classes`, each in a space that was trained without the classes it holds out.

    Args:
        related_SS: relatedness of all seen classes; by default from f_t.

    Raises:
        InputError: fewer than four seen classes (one of two is no choice), or no trial.
    """
    made = []
    for kept, held in split_classes(len(seen.class_names), rng, trials):
        sides = [only(seen, [seen.class_names[index] for index in part]) for part in (kept, held)]
        related_US = None if related_SS is None else related_SS[np.ix_(held, kept)]
        made.append(Transfer(sides[0], sides[1], related_US))
    return made


def split_classes(
    n_classes: int, rng: np.random.Generator, trials: int, share: float = 0.5
) -> list[tuple[IntArray, IntArray]]:
    """For each trial the classes that stay seen, and a random `share` that is held out (two at least); ascending."""
    if n_classes < 4 or trials < 1 or not 0 < share < 1:
        raise InputError(
            f"{n_classes} seen classes, {trials} trials and {share} of the classes held out: choosing needs four "
            "classes, one trial, and a share between 0 and 1"
        )
    count = min(max(2, round(share * n_classes)), n_classes - 2)
    orders = [rng.permutation(n_classes) for _ in range(trials)]
    return [(np.sort(order[count:]), np.sort(order[:count])) for order in orders]


def choose(trials: Sequence[Transfer], grid: Grid | None = None) -> Choice[Setting]:
    """K, T and λ by grid, on trials whose "unseen" classes are held-out seen ones (`halves`).

    A clip whose scores are all 0 is a miss, and of equal scores the first class counts, as in `evaluation.evaluate`.

    Raises:
        InputError: no trial, an empty grid, or a trial without a labelled clip.
    """
    settings = (grid or Grid()).settings()
    if not settings or not trials:
        raise InputError("choosing needs at least one setting and one trial")
    for setting in settings:
        check(setting)
    found: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for trial in trials:
        true_N = class_index(trial.unseen)
        if not (true_N >= 0).any():
            raise InputError("a trial has no clip of its held-out classes; hold out classes that have clips")
        composed: dict[tuple[int, float], DoubleArray] = {}
        for setting in settings:
            k, temperature = min(setting.k, len(trial.seen.class_names)), setting.temperature
            if (k, temperature) not in composed:
                composed[k, temperature] = trial.clips @ trial.prototypes(k, temperature).T
            matrix_NU = setting.lam * composed[k, temperature] + (1 - setting.lam) * trial.by_text
            found[setting].append(_top1(matrix_NU, true_N))
    return _choice([Tried(setting, top1) for setting, top1 in found.items()])


def choose_blend(trials: Sequence[tuple[Scores, Scores]], weights: Sequence[float] = WEIGHTS) -> Choice[float]:
    """The weight of `transfer.blend`, on pairs of scores of held-out seen classes."""
    if not trials or not weights:
        raise InputError("choosing needs at least one weight and one trial")
    return _choice([Tried(weight, [top1(blend(a, b, weight)) for a, b in trials]) for weight in weights])


def top1(scores: Scores) -> float:
    """Top-1 accuracy of VE over all labelled clips and all classes."""
    return evaluate(scores, all_classes(scores.class_names), Weights.only("VE")).runs[0].top1


def _top1(matrix_NC: DoubleArray, true_N: IntArray) -> float:
    labelled = true_N >= 0
    matrix_NC, true_N = matrix_NC[labelled], true_N[labelled]
    return float(((matrix_NC.argmax(axis=1) == true_N) & matrix_NC.any(axis=1)).mean())


def _choice(table: list[Tried[What]]) -> Choice[What]:
    means = np.array([tried.mean for tried in table])
    return Choice(table[int(np.flatnonzero(means >= means.max() - 1e-12)[0])], table)
