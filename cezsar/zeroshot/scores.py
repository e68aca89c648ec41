"""The two waypoints: embeddings, after which no video or model is needed, and scores, after which all is arithmetic.
With unit prototypes p, `(α VE + β SE(O) + γ SE(C)) · p = α VE·p + β SE(O)·p + γ SE(C)·p`, and divided by `||VidE||`
that is the cosine (Eq. 8-9 of Estevam et al., ICPR 2026): products once, then any weights and any split of classes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.atomic import read_tensors, write_tensors
from cezsar.data.labels import canonical, resolve
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.formats import check_stamp, stamp

Array = npt.NDArray[Any]
MODALITIES = ("VE", "O", "C")
"""Visual embedding VE(v), objects SE(O(v)) and captions SE(C(v)): the terms of Eq. 9, in this order."""
PREFIX = "modality."  # of the matrices' names in files
Several = Literal["nearest", "mean"]
"""What a class with several sentences is compared by: the one nearest to VidE, or the direction of the mean of their
UNIT vectors, so that no sentence counts more because its raw vector is longer. Zero prototypes count in neither, unless
their class has no others."""


@dataclass(frozen=True, eq=False)
class Waypoint:
    """N clips and C classes, and matrices about them; what one file holds. Parts that do not fit together and numbers
    that are not finite are refused (`InputError`) by clip or class."""

    ids: list[str]  # clip names, all different
    labels: list[str]  # true class of each clip, in any spelling of a class name; "" where it is unknown
    class_names: list[str]  # no two spell the same class (`cezsar.data.labels.canonical`)

    kind: ClassVar[str]  # of file
    by_modality: ClassVar[str]  # name of the field of matrices

    def set_checked(self, matrices: Mapping[str, Array], width: int, what: str, **others: Any) -> None:
        """Set the matrices as (N, width) float32, in the order of `MODALITIES`, and other fields."""
        if len(self.ids) != len(self.labels):
            raise InputError(f"{len(self.ids):,} clips have {len(self.labels):,} labels; give each one, '' if unknown")
        for what_name, names in (("clip id", self.ids), ("class", [canonical(name) for name in self.class_names])):
            if len(set(names)) < len(names):
                raise InputError(f"{what_name} {Counter(names).most_common(1)[0][0]!r} is given twice; keep one")
        checked = {name: np.asarray(matrices[name], np.float32) for name in MODALITIES if name in matrices}
        if not self.class_names or not checked or len(checked) < len(matrices):
            raise InputError(
                f"there are {len(self.class_names)} classes and the modalities {list(matrices)}; give at least one of "
                f"each, the latter of {', '.join(MODALITIES)}"
            )
        for name, matrix in checked.items():
            if matrix.shape != (len(self.ids), width):
                raise InputError(f"{name} has shape {matrix.shape}; ({len(self.ids)}, {width}) is expected")
            refuse_non_finite(matrix, self.ids, f"the {name} {what} of clip")
        for name, value in ({self.by_modality: checked} | others).items():
            object.__setattr__(self, name, value)

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write everything to one safetensors file; `half` keeps float16, three digits (`InputError` if too large)."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        parts |= {PREFIX + name: matrix for name, matrix in parts.pop(self.by_modality).items()}
        arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
        described = {name: part for name, part in parts.items() if isinstance(part, str | list)}
        for name, array in arrays.items():
            if half and array.dtype == np.float32:
                if np.abs(array).max(initial=0) > np.finfo(np.float16).max:
                    raise InputError("some numbers are too large for float16; save them as float32")
                arrays[name] = array.astype(np.float16)
        write_arrays(path, self.kind, arrays, described)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote, as float32. Raises `FormatError` where it is damaged or holds something else."""
        arrays, described = read_arrays(path, cls.kind)
        matrices = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
        parts: dict[str, Any] = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
        try:
            return cls(**parts | described | {cls.by_modality: matrices})
        except (InputError, *DAMAGED) as error:
            raise FormatError(f"{path} is damaged: {error}; make it again") from error


@dataclass(frozen=True, eq=False)
class Embeddings(Waypoint):
    """N clips, C classes and P class descriptions (prototype sentences) in one space of E dimensions."""

    modalities: dict[str, FloatArray]  # "VE", "O", "C" -> (N, E), raw, NOT normalised; zeros where a clip has none
    prototypes: FloatArray  # (P, E), raw
    prototype_class: IntArray  # (P,) index into `class_names`; every class has at least one, in any order
    space: str = "joint"  # where the vectors live: "joint", "sentence", "image-text"

    kind = "embeddings"
    by_modality = "modalities"

    def __post_init__(self) -> None:
        prototypes, owner = np.asarray(self.prototypes, np.float32), np.asarray(self.prototype_class, np.int64)
        if prototypes.ndim != 2 or owner.shape != prototypes.shape[:1]:
            raise InputError(f"prototypes {prototypes.shape} do not go with class indices {owner.shape}")
        if set(owner.tolist()) != set(range(len(self.class_names))):
            raise InputError(f"not each of the {len(self.class_names):,} classes has a prototype, or one has no class")
        refuse_non_finite(prototypes, [self.class_names[index] for index in owner], "the prototype of class")
        self.set_checked(
            self.modalities, prototypes.shape[1], "embedding", prototypes=prototypes, prototype_class=owner
        )

    def reworded(self, names: Sequence[str], vectors_KE: FloatArray, owner_K: IntArray, append: bool = False) -> Self:
        """The same with other prototypes of some classes (indices `owner_K`), or with further ones; new classes come
        last."""
        class_names = list(dict.fromkeys([*self.class_names, *names]))
        place = np.array([class_names.index(name) for name in names])
        kept_P = ~np.isin(self.prototype_class, place) | append
        prototypes = np.concatenate([self.prototypes[kept_P], vectors_KE])
        prototype_class = np.concatenate([self.prototype_class[kept_P], place[owner_K]])
        return replace(self, class_names=class_names, prototypes=prototypes, prototype_class=prototype_class)

    def clips(self, rows: IntArray) -> Self:
        """The same with some clips alone."""
        ids, labels = ([names[row] for row in rows.tolist()] for names in (self.ids, self.labels))
        return replace(
            self, ids=ids, labels=labels, modalities={name: each[rows] for name, each in self.modalities.items()}
        )

    def joined(self, other: Embeddings) -> Self:
        """Clips and classes of two sets of one space together, in the modalities of both. Raises `InputError` where a
        class is one of both, or they are of different spaces."""
        own = {canonical(name) for name in self.class_names}
        if shared := [name for name in other.class_names if canonical(name) in own]:
            raise InputError(f"{shared[0]!r} is a class of both sets; give two that have no class in common")
        if (self.space, self.prototypes.shape[1]) != (other.space, other.prototypes.shape[1]):
            raise InputError("the two sets lie in different spaces; give two that the same run scored")
        taken, owner = set(self.ids), other.prototype_class + len(self.class_names)
        both = [name for name in self.modalities if name in other.modalities]
        return replace(
            self, ids=[*self.ids, *(f"{clip} (2)" if clip in taken else clip for clip in other.ids)],
            labels=[*self.labels, *other.labels], class_names=[*self.class_names, *other.class_names],
            modalities={name: np.concatenate([self.modalities[name], other.modalities[name]]) for name in both},
            prototypes=np.concatenate([self.prototypes, other.prototypes]),
            prototype_class=np.concatenate([self.prototype_class, owner]),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scores(Waypoint):
    """N clips against C classes. Where a class has several columns, the nearest is told after fusion
    (`fusion.fuse`)."""

    columns: dict[str, FloatArray]  # modality -> (N, P): inner products of the raw modality and unit prototypes
    # (N, M, M) inner products between a clip's modalities, in the order of `columns`; from it comes ||VidE|| for any
    # weights. None where scores do not stem from embeddings; then there is no cosine.
    gram: DoubleArray | None = None
    column_class: IntArray | None = None  # (P,) index into `class_names` of each column, ascending; one each by default
    dead_classes: list[str] = field(default_factory=list)  # all their prototypes are zero, as ReLU can make them

    kind = "scores"
    by_modality = "columns"

    def __post_init__(self) -> None:
        every = np.arange(len(self.class_names))
        owner = every if self.column_class is None else np.asarray(self.column_class, np.int64)
        if not np.array_equal(np.unique(owner), every) or (np.diff(owner) < 0).any():
            raise InputError(
                f"columns should be in the order of their classes, and each of the {len(every):,} have one"
            )
        gram = None if self.gram is None else np.asarray(self.gram, np.float64)
        self.set_checked(self.columns, len(owner), "score", gram=gram, column_class=owner)
        if gram is not None:
            if gram.shape != (len(self.ids), len(self.columns), len(self.columns)):
                raise InputError(f"gram has shape {gram.shape}, which does not go with {', '.join(self.columns)}")
            refuse_non_finite(gram, self.ids, "the length of clip")

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
        """All inner products of clips and unit prototypes; `gram` where it is known."""
        names = embeddings.class_names
        unit_PE, owner, dead = unit_columns(embeddings.prototypes, embeddings.prototype_class, len(names), several)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
            columns = {name: rows_NE @ unit_PE.T for name, rows_NE in embeddings.modalities.items()}
        gram = _gram(list(embeddings.modalities.values())) if gram is None else gram
        return cls(embeddings.ids, embeddings.labels, names, columns, gram, owner, [names[index] for index in dead])


def unit_columns(
    prototypes_PE: FloatArray, owner: IntArray, n_classes: int, several: Several
) -> tuple[FloatArray, IntArray, IntArray]:
    """(P, E) unit prototypes in the order of classes, the class of each, and the classes that have only zeros."""
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


def refuse_non_finite(matrix: Array, row_names: Sequence[object], what: str) -> None:
    """Raise an `InputError` that names the first row with NaN or an infinite number in it."""
    with np.errstate(invalid="ignore"):
        finite_N = np.isfinite(matrix.sum(axis=tuple(range(1, matrix.ndim)), dtype=np.float64))
    if not finite_N.all():
        raise InputError(
            f"{what} {row_names[int(finite_N.argmin())]!r} is not finite (NaN, or too large for float32); make its "
            "features again, or leave it out"
        )


# Files ----------------------------------------------------------------------------------------------------------------


def write_arrays(path: str | Path, kind: str, arrays: Mapping[str, Array], description: Mapping[str, Any]) -> None:
    """Write named arrays and a description to one safetensors file of a kind, whole or not at all. The description is
    JSON in one more array: headers are bounded, and the names of 242,658 clips are longer."""
    text = np.frombuffer(json.dumps(description, allow_nan=False).encode("ascii"), np.uint8)
    write_tensors(path, {**arrays, "description": text}, {name: str(value) for name, value in stamp(kind).items()})


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """What `write_arrays` wrote. Raises `FormatError` where it is damaged or of another kind."""
    with read_tensors(path, "make it again") as (arrays, words):
        check_stamp(path, kind, words, "make it again")
        return arrays, dict(json.loads(arrays.pop("description").tobytes()))
