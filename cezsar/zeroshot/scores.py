"""Scores: the second waypoint. Every clip against every class, once for each modality; all else is arithmetic on them.

With unit prototypes p, the score of a fused embedding is a weighted sum (Eq. 8-9 of Estevam et al., ICPR 2026):
`(α VE + β SE(O) + γ SE(C)) · p = α VE·p + β SE(O)·p + γ SE(C)·p`. Dividing by `||VidE||`, which is the same for all
classes, makes it the cosine similarity and changes no prediction. So the products VE·p, SE(O)·p and SE(C)·p are
computed once, of raw clip embeddings and unit prototypes, and any weights and any split of classes are read off them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Literal

import numpy as np

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.labels import canonical, resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot import embeddings as checks
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.storage import read_arrays, write_arrays

Several = Literal["nearest", "mean"]
DESCRIBED = ("ids", "labels", "class_names", "dead_classes")  # what a file of scores holds besides arrays


@dataclass(frozen=True, eq=False)
class Scores:
    """N clips against C classes, in M modalities.

    With one column a class (one sentence a class, or `several="mean"`) P is C, and a fused score is the weighted sum of
    `matrices`. With several columns a class, the nearest sentence can only be told after fusion: `fusion.fuse` and
    `fusion.cosine` do that exactly, from `columns`.

    Attributes:
        ids: clip names, all different.
        labels: true class of each clip, in any spelling; "" where it is unknown.
        class_names: no two spell the same class.
        columns: modality -> (N, P) float32: inner products of the raw modality and unit prototypes.
        gram: (N, M, M) float64 inner products between a clip's modalities, in the order of `columns`; from it comes
            ||VidE|| for any weights. None where scores do not stem from embeddings; then there is no cosine.
        column_class: (P,) index into `class_names` of each column, ascending; one column a class by default.
        dead_classes: classes whose prototypes are all zero, as ReLU can make them; they score 0 everywhere.

    Raises:
        InputError: parts that do not fit together, or NaN; the message names the clip and the modality.
    """

    ids: list[str]
    labels: list[str]
    class_names: list[str]
    columns: dict[str, FloatArray]
    gram: DoubleArray | None = None
    column_class: IntArray | None = None
    dead_classes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        checks.check_names(self.ids, self.labels, self.class_names)
        n_classes = len(self.class_names)
        owner = np.arange(n_classes) if self.column_class is None else np.asarray(self.column_class, np.int64)
        if owner.ndim != 1 or not np.array_equal(np.unique(owner), np.arange(n_classes)) or (np.diff(owner) < 0).any():
            raise InputError(f"columns should be in the order of their classes, and each of the {n_classes:,} have one")
        columns = checks.check_modalities(self.columns, len(self.ids), len(owner))
        for modality, matrix_NP in columns.items():
            checks.refuse_non_finite(matrix_NP, self.ids, f"the {modality} score of clip")
        if self.gram is not None:
            gram = np.asarray(self.gram, np.float64)
            if gram.shape != (len(self.ids), len(columns), len(columns)):
                raise InputError(f"gram has shape {gram.shape}, which does not go with {', '.join(columns)}")
            checks.refuse_non_finite(gram, self.ids, "the length of clip")
            object.__setattr__(self, "gram", gram)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "column_class", owner)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities there are, in the order "VE", "O", "C"."""
        return tuple(self.columns)

    @cached_property
    def first_columns(self) -> IntArray | None:
        """(C,) first column of each class; None where every class has one column only."""
        assert self.column_class is not None
        one_each = len(self.column_class) == len(self.class_names)
        return None if one_each else np.searchsorted(self.column_class, np.arange(len(self.class_names)))

    @cached_property
    def matrices(self) -> dict[str, FloatArray]:
        """modality -> (N, C) float32: each class by that modality alone, its nearest sentence where it has several."""
        starts = self.first_columns
        if starts is None:
            return self.columns
        return {name: np.maximum.reduceat(matrix_NP, starts, axis=1) for name, matrix_NP in self.columns.items()}

    @cached_property
    def label_index(self) -> IntArray:
        """(N,) index of each clip's class; -1 where the label is unknown or none of the classes."""
        index = {canonical(name): position for position, name in enumerate(self.class_names)}
        of_label = {label: index.get(canonical(label), -1) if label else -1 for label in set(self.labels)}
        return np.array([of_label[label] for label in self.labels], np.int64)

    def indices(self, classes: Sequence[str] | None = None) -> IntArray:
        """Indices of classes by names in any spelling; all by default. Raises `InputError` for an unknown one."""
        if classes is None:
            return np.arange(len(self.class_names))
        index = {name: position for position, name in enumerate(self.class_names)}
        return np.array([index[name] for name in resolve(classes, self.class_names)], np.int64)

    def of(self, ids: Collection[str]) -> Scores:
        """The same with some clips alone, in their order here; ids that are not here are passed over."""
        wanted = set(ids)
        rows = [row for row, clip in enumerate(self.ids) if clip in wanted]
        ids, labels = ([names[row] for row in rows] for names in (self.ids, self.labels))
        columns = {name: matrix_NP[rows] for name, matrix_NP in self.columns.items()}
        gram = None if self.gram is None else self.gram[rows]
        return replace(self, ids=ids, labels=labels, columns=columns, gram=gram)

    @classmethod
    def from_embeddings(
        cls, embeddings: Embeddings, several: Several = "nearest", gram: DoubleArray | None = None
    ) -> Scores:
        """All inner products of clips and unit prototypes.

        Args:
            several: what a class with several sentences is compared by. "nearest": the one nearest to VidE.
                "mean": the direction of the mean of their UNIT vectors, so that no sentence counts more because its
                raw vector is longer. Zero prototypes count in neither, unless their class has no others.
            gram: where it is known.

        Raises:
            InputError: another value of `several`, or products too large for float32.
        """
        if several not in ("nearest", "mean"):
            raise InputError(f"several is {several!r}; choose nearest or mean")
        names = embeddings.class_names
        unit_PE, owner, dead = unit_columns(embeddings.prototypes, embeddings.prototype_class, len(names), several)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
            columns = {name: rows_NE @ unit_PE.T for name, rows_NE in embeddings.modalities.items()}
        gram = _gram(list(embeddings.modalities.values())) if gram is None else gram
        return cls(embeddings.ids, embeddings.labels, names, columns, gram, owner, [names[index] for index in dead])

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write everything to one safetensors file; `half` keeps float16: three digits, so that near ties may turn.

        Raises:
            InputError: a score is too large for float16.
        """
        assert self.column_class is not None
        arrays = checks.to_save({f"modality.{name}": matrix_NP for name, matrix_NP in self.columns.items()}, half)
        arrays["column_class"] = self.column_class
        if self.gram is not None:
            arrays["gram"] = self.gram
        write_arrays(path, "scores", arrays, {name: getattr(self, name) for name in DESCRIBED})

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """What `save` wrote, as float32.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or holds something else.
        """
        arrays, described = read_arrays(path, "scores")
        try:
            ids, labels, names, dead = (described[name] for name in DESCRIBED)
            columns = checks.by_modality(arrays)
            return cls(ids, labels, names, columns, arrays.get("gram"), arrays["column_class"], dead)
        except (InputError, KeyError, TypeError) as error:
            raise FormatError(f"{path} is damaged: {error}; make it again") from error


def unit_columns(
    prototypes_PE: FloatArray, owner: IntArray, n_classes: int, several: Several
) -> tuple[FloatArray, IntArray, IntArray]:
    """(P, E) unit prototypes in the order of classes, the class of each, and the classes that have only zeros.

    Args:
        prototypes_PE: raw; every one of the `n_classes` has at least one.
        owner: (P,) the class of each.
        several: as in `Scores.from_embeddings`.
    """
    unit_PE = unit_rows(prototypes_PE.astype(np.float64))
    if several == "mean":
        sums_CE = np.zeros((n_classes, unit_PE.shape[1]))
        np.add.at(sums_CE, owner, unit_PE)
        unit_PE, owner = unit_rows(sums_CE), np.arange(n_classes)
    alive_P = np.asarray(unit_PE.any(axis=1))
    dead = np.setdiff1d(np.arange(n_classes), owner[alive_P])
    for index in dead:  # a zero prototype would win over negative cosines; it stays where its class has nothing else
        alive_P[np.flatnonzero(owner == index)[0]] = True
    kept = np.flatnonzero(alive_P)
    kept = kept[np.argsort(owner[kept], kind="stable")]
    return unit_PE[kept].astype(np.float32), owner[kept], dead


def _gram(modalities: list[FloatArray]) -> DoubleArray:
    """(N, M, M) inner products between the modalities of each clip."""
    gram = np.empty((len(modalities[0]), len(modalities), len(modalities)))
    for a, b in combinations_with_replacement(range(len(modalities)), 2):
        gram[:, a, b] = gram[:, b, a] = np.einsum("ne,ne->n", modalities[a], modalities[b], dtype=np.float64)
    return gram
