"""Semantic transfer, after Lin et al. (CVPR 2022): unseen classes get visual prototypes, composed from seen ones.

A seen class has labelled clips, so it has a place among visual embeddings; an unseen class has a text only. How it is
related to the seen classes as text says how to mix their visual prototypes into one for it:

    P_s  = norm(mean of f_v(v) over the clips v of seen class s)
    r_us = cosine of the sentence vectors of u and s
    w_us = softmax over the K seen classes s of highest r_us, of r_us / T;  0 for the others
    P_u  = norm(sum_s w_us P_s)
    score of u for a clip v = λ cos(f_v(v), P_u) + (1 - λ) cos(f_v(v), f_t(u))

K, T and λ are chosen on seen classes that are held out as if they were unseen. That unseen prototypes are composed of
seen ones by relatedness is the paper's idea, as its abstract tells it; the details are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.atomic import read_tensors, write_tensors
from cezsar.data.labels import canonical
from cezsar.errors import InputError

What = TypeVar("What")
OVERLAP = 0.05  # cosine distance of two class names up to which they are one class
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))  # of a blend, and λ, that are tried


class Transfer(NamedTuple):
    """K from 1, T above 0 (infinity: the K nearest count alike), λ in [0, 1] (0: text alone; 1: prototypes alone)."""

    k: int
    temperature: float
    lam: float


GRID = [  # K, T and λ that are tried, λ slowest; a K above the number of seen classes takes all of them
    Transfer(k, temperature, lam)
    for lam, k, temperature in product(WEIGHTS, (1, 2, 4, 8, 16, 32, 64), (0.01, 0.03, 0.1, 0.3, 1.0))
]


def visual_prototypes(clips_NE: npt.NDArray[np.floating], class_N: IntArray, n_classes: int) -> DoubleArray:
    """(S, E) P_s; zeros where the mean is zero. Every class has a clip."""
    sums_SE = np.zeros((n_classes, clips_NE.shape[1]))
    np.add.at(sums_SE, class_N, clips_NE)
    return unit_rows(sums_SE / np.bincount(class_N, minlength=n_classes)[:, None])


def relatedness(unseen_US: npt.ArrayLike, seen_SS: npt.ArrayLike) -> DoubleArray:
    """(U, S) r_us: cosine similarities of class texts."""
    return unit_rows(np.asarray(unseen_US, np.float64)) @ unit_rows(np.asarray(seen_SS, np.float64)).T


def transfer_weights(related_US: DoubleArray, k: int, temperature: float) -> DoubleArray:
    """(U, S) w_us; rows sum to 1. Of equally related seen classes those of lower index are among the K."""
    nearest_UK = np.argsort(-related_US, axis=1, kind="stable")[:, :k]
    r_UK = np.take_along_axis(related_US, nearest_UK, axis=1)
    w_UK = np.exp((r_UK - r_UK[:, :1]) / temperature)  # the first is the highest
    weights_US = np.zeros_like(related_US, dtype=np.float64)
    np.put_along_axis(weights_US, nearest_UK, w_UK / w_UK.sum(axis=1, keepdims=True), axis=1)
    return weights_US


@dataclass(frozen=True, eq=False)
class Sides:
    """Seen and unseen classes in one space."""

    prototypes_SE: DoubleArray  # P_s
    related_US: DoubleArray  # r_us
    clips_NE: DoubleArray  # unit f_v of the clips to name
    texts_UE: DoubleArray  # unit f_t(u); zeros in a space without text, where λ changes nothing, as long as it is not 0

    @cached_property
    def by_text(self) -> DoubleArray:
        """(N, U) cos(f_v(v), f_t(u))."""
        return self.clips_NE @ self.texts_UE.T

    def by_prototype(self, k: int, temperature: float) -> DoubleArray:
        """(N, U) cos(f_v(v), P_u)."""
        weights_US = transfer_weights(self.related_US, k, temperature)
        return self.clips_NE @ unit_rows(weights_US @ self.prototypes_SE).T

    def matrix(self, how: Transfer) -> DoubleArray:
        """(N, U) scores, in [-1, 1]; 0 for a clip whose f_v is zero."""
        return how.lam * self.by_prototype(how.k, how.temperature) + (1 - how.lam) * self.by_text


def split_classes(n_classes: int, rng: np.random.Generator, trials: int) -> list[tuple[IntArray, IntArray]]:
    """For each trial the classes that stay seen, and a random half that is held out; ascending."""
    if n_classes < 4:
        raise InputError(f"there are labelled clips of {n_classes} seen classes; choosing needs four at least")
    orders, count = [rng.permutation(n_classes) for _ in range(trials)], round(0.5 * n_classes)
    return [(np.sort(order[count:]), np.sort(order[:count])) for order in orders]


def try_all(trials: Sequence[tuple[Sides, IntArray]], grid: Sequence[Transfer]) -> dict[Transfer, list[float]]:
    """`top1` of every setting in trials whose "unseen" classes are held-out seen ones, each with its clips' classes."""
    tried: dict[Transfer, list[float]] = {how: [] for how in grid}
    for sides, class_N in trials:
        by_prototype = cache(sides.by_prototype)
        for how, reached in tried.items():
            by_prototype_NU = by_prototype(min(how.k, len(sides.prototypes_SE)), how.temperature)
            reached.append(top1(how.lam * by_prototype_NU + (1 - how.lam) * sides.by_text, class_N))
    return tried


def top1(matrix_NC: DoubleArray, class_N: IntArray) -> float:
    """Top-1 accuracy; a clip whose scores are all 0 is a miss, and of equal scores the first class counts."""
    return float(((matrix_NC.argmax(axis=1) == class_N) & matrix_NC.any(axis=1)).mean())


def best_of(tried: Mapping[What, Sequence[float]]) -> What:
    """The setting of highest mean over trials, of equal ones the first."""
    means = np.array([np.mean(reached) for reached in tried.values()])
    return list(tried)[int(np.argmax(means >= means.max() - 1e-12))]


class Overlap(NamedTuple):
    """A seen class that is too near an unseen one: their names, and the cosine distance of these."""

    seen: str
    unseen: str
    distance: float


def overlaps(seen: Mapping[str, FloatArray], unseen: Mapping[str, FloatArray]) -> list[Overlap]:
    """Seen classes whose name says the same as an unseen class's: they must not serve as seen.

    Both are class name -> sentence vector of the NAME, not of a description.
    """
    distance_SU = 1 - relatedness(np.stack(list(seen.values())), np.stack(list(unseen.values())))
    nearest_S, names = distance_SU.argmin(axis=1), list(unseen)
    pairs = zip(seen, nearest_S.tolist(), distance_SU.min(axis=1).tolist(), strict=True)
    # A name's distance to itself is 0 up to rounding; the bound is meant with the same grain.
    return [Overlap(name, names[u], max(d, 0.0)) for name, u, d in pairs if d <= OVERLAP + 1e-6]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a run keeps of its seen classes: S names, (S, D) sentence vectors, (S, E) prototypes P_s, and K, T, λ."""

    names: list[str]
    vectors_SD: FloatArray
    prototypes_SE: FloatArray
    how: Transfer

    def composed(self, names: Sequence[str], vectors_UD: FloatArray) -> DoubleArray:
        """(U, E) P_u of classes by name and sentence vector; a seen class has its own P_s."""
        weights_US = transfer_weights(relatedness(vectors_UD, self.vectors_SD), self.how.k, self.how.temperature)
        place = {canonical(name): index for index, name in enumerate(self.names)}
        for row, name in enumerate(names):
            if (own := place.get(canonical(name))) is not None:
                weights_US[row] = np.eye(len(self.names))[own]
        return unit_rows(weights_US @ self.prototypes_SE)

    def save(self, path: Path) -> None:
        about = {"names": json.dumps(self.names, ensure_ascii=False), "how": json.dumps(self.how)}
        write_tensors(path, {"vectors": self.vectors_SD, "prototypes": self.prototypes_SE}, about)

    @classmethod
    def load(cls, path: Path) -> Seen:
        """Raises `FormatError` for a file that `save` did not write."""
        with read_tensors(path, "train the run again") as (arrays, about):
            how, names = Transfer(*json.loads(about["how"])), json.loads(about["names"])
            sides = arrays["vectors"], arrays["prototypes"]
            fits = all(side.ndim == 2 and len(side) == len(names) > 0 and np.isfinite(side).all() for side in sides)
            whole = isinstance(how.k, int) and all(map(canonical, names))
            if not fits or not whole or not (how.k >= 1 and how.temperature > 0 and 0 <= how.lam <= 1):
                raise ValueError("its parts do not go together")
            return cls(names, *sides, how)
