"""Embeddings: the first waypoint. What clips and class descriptions became in one space, before any comparison.

Everything that needs a video, a model or a feature store lies before it; everything after needs only this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cezsar.arrays import FloatArray, IntArray
from cezsar.data.labels import canonical
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.storage import read_arrays, write_arrays

MODALITIES = ("VE", "O", "C")
"""Visual embedding VE(v), objects SE(O(v)) and captions SE(C(v)): the terms of Eq. 9, in this order."""

DESCRIBED = ("ids", "labels", "class_names", "space")  # what a file of embeddings holds besides arrays
ROWS_AT_ONCE = 16_384  # bounds the memory of a check


@dataclass(frozen=True, eq=False)
class Embeddings:
    """N clips, C classes and P class descriptions (prototype sentences) in one space of E dimensions.

    Attributes:
        ids: clip names, all different.
        labels: true class of each clip, in any spelling of a class name; "" where it is unknown.
        class_names: no two spell the same class (`cezsar.data.labels.canonical`).
        modalities: "VE", "O", "C" -> (N, E) float32, raw, NOT normalised. A clip without a modality has a row of zeros.
        prototypes: (P, E) float32, raw.
        prototype_class: (P,) index into `class_names`; every class has at least one prototype, in any order.
        space: "joint", "sentence", "image-text": where the vectors live.

    Raises:
        InputError: parts that do not fit together, or NaN and infinite numbers; the message names the clip and the
            modality, or the class.
    """

    ids: list[str]
    labels: list[str]
    class_names: list[str]
    modalities: dict[str, FloatArray]
    prototypes: FloatArray
    prototype_class: IntArray
    space: str = "joint"

    def __post_init__(self) -> None:
        check_names(self.ids, self.labels, self.class_names)
        prototypes = np.asarray(self.prototypes, np.float32)
        owner = np.asarray(self.prototype_class, np.int64)
        if prototypes.ndim != 2 or owner.shape != prototypes.shape[:1]:
            raise InputError(
                f"prototypes of shape {prototypes.shape} do not go with class indices of shape {owner.shape}; "
                "(P, E) and (P,) are expected"
            )
        if owner.size and not 0 <= owner.min() <= owner.max() < len(self.class_names):
            raise InputError(f"a prototype belongs to a class outside the {len(self.class_names):,} that are named")
        without = np.setdiff1d(np.arange(len(self.class_names)), owner)
        if without.size:
            raise InputError(f"class {self.class_names[without[0]]!r} has no prototype; describe it, or leave it out")
        refuse_non_finite(prototypes, [self.class_names[index] for index in owner], "the prototype of class")
        modalities = check_modalities(self.modalities, len(self.ids), prototypes.shape[1])
        for modality, rows_NE in modalities.items():
            refuse_non_finite(rows_NE, self.ids, f"the {modality} embedding of clip")
        for name, value in (("modalities", modalities), ("prototypes", prototypes), ("prototype_class", owner)):
            object.__setattr__(self, name, value)

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write everything to one safetensors file; `half` keeps float16: half the size, and three digits.

        Raises:
            InputError: a value is too large for float16.
        """
        vectors = {f"modality.{name}": rows for name, rows in self.modalities.items()} | {"prototypes": self.prototypes}
        arrays = to_save(vectors, half)
        arrays["prototype_class"] = self.prototype_class
        write_arrays(path, "embeddings", arrays, {name: getattr(self, name) for name in DESCRIBED})

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """What `save` wrote.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or holds something else.
        """
        arrays, described = read_arrays(path, "embeddings")
        try:
            ids, labels, names, space = (described[name] for name in DESCRIBED)
            return cls(ids, labels, names, by_modality(arrays), arrays["prototypes"], arrays["prototype_class"], space)
        except (InputError, KeyError, TypeError) as error:
            raise FormatError(f"{path} is damaged: {error}; make it again") from error


def to_save(vectors: Mapping[str, FloatArray], half: bool) -> dict[str, npt.NDArray[Any]]:
    """The arrays, as float16 if `half`. Raises `InputError` where a number is too large for that."""
    dtype = np.float16 if half else np.float32
    if half and any(np.abs(rows).max(initial=0) > np.finfo(dtype).max for rows in vectors.values()):
        raise InputError("some numbers are too large for float16; save them as float32")
    return {name: rows.astype(dtype, copy=False) for name, rows in vectors.items()}


def by_modality(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The arrays that were kept as "modality.<name>", in the order of `MODALITIES` whatever the file's."""
    prefix = "modality."
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return {name: found[name] for name in sorted(found, key=lambda name: [*MODALITIES, name].index(name))}


def check_names(ids: Sequence[str], labels: Sequence[str], class_names: Sequence[str]) -> None:
    """Refuse clip ids given twice, labels that are not one to a clip, and class names that spell the same class."""
    for what, names in (("ids", ids), ("labels", labels), ("class names", class_names)):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{what} should be a list of strings")
    if len(ids) != len(labels):
        raise InputError(f"{len(ids):,} clips have {len(labels):,} labels; give one to each, '' where it is unknown")
    if not class_names:
        raise InputError("there are no classes to choose from; give at least one")
    if len(set(ids)) < len(ids):
        raise InputError(f"clip id {Counter(ids).most_common(1)[0][0]!r} is given twice; ids must differ")
    spelt: dict[str, str] = {}
    for name in class_names:
        if canonical(name) in spelt:
            raise InputError(f"{spelt[canonical(name)]!r} and {name!r} spell the same class; keep one")
        spelt[canonical(name)] = name


def check_modalities(modalities: Mapping[str, npt.NDArray[Any]], n_rows: int, n_columns: int) -> dict[str, FloatArray]:
    """The matrices as float32, in the order of `MODALITIES`; unknown names, none at all, other shapes are refused."""
    if unknown := [name for name in modalities if name not in MODALITIES]:
        raise InputError(f"modality {unknown[0]!r} is unknown; there are {', '.join(MODALITIES)}")
    if not modalities:
        raise InputError("no modality is left to compare: neither visual embeddings, nor objects, nor captions")
    checked = {name: np.asarray(modalities[name], np.float32) for name in MODALITIES if name in modalities}
    for name, matrix in checked.items():
        if matrix.shape != (n_rows, n_columns):
            raise InputError(f"{name} has shape {matrix.shape}; ({n_rows}, {n_columns}) is expected")
    return checked


def refuse_non_finite(matrix: npt.NDArray[Any], row_names: Sequence[str], what: str) -> None:
    """Raise an InputError that names the first row with NaN or an infinite number in it."""
    for first in range(0, len(matrix), ROWS_AT_ONCE):
        finite = np.isfinite(matrix[first : first + ROWS_AT_ONCE])
        if not finite.all():
            bad = first + int(np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))[0])
            raise InputError(
                f"{what} {row_names[bad]!r} is not finite (NaN, or too large for float32); make its features again, "
                "or leave it out"
            )
