"""Which classes, and which videos: split files and data set indexes."""

from __future__ import annotations

from pathlib import Path

from cezsar.data.documents import read_json_object
from cezsar.data.labels import canonical
from cezsar.errors import FormatError


def load_split(path: str | Path) -> dict[str, list[str]]:
    """A split file `{"training": [class names], "testing": [class names]}`; other parts are read the same way.

    A class named twice in one part, maybe in two spellings, is kept once. A class in two parts stays in both, as in the
    published hard-15 file: see `shared_classes`.

    Raises:
        InputError: there is no such file.
        FormatError: it is not JSON of that form, or has no class to test; the message says where.
    """
    split = _read_lists(path, "class names")
    if not split.get("testing"):
        raise FormatError(f'{path} names no class to test; a split has {{"training": [...], "testing": [...]}}')
    return {part: _once(names) for part, names in split.items()}


def shared_classes(split: dict[str, list[str]]) -> list[str]:
    """The classes of "testing" that are in "training" too: a model trained with this split has seen them."""
    seen = {canonical(name) for name in split.get("training", [])}
    return [name for name in split.get("testing", []) if canonical(name) in seen]


def load_index(path: str | Path) -> dict[str, list[str]]:
    """A data set index `{class name: [video ids]}`.

    Raises:
        InputError: there is no such file.
        FormatError: it is not JSON of that form, is empty, or gives a class or a video id twice.
    """
    index = _read_lists(path, "video ids")
    if not index:
        raise FormatError(f"{path} is empty; an index has {{class name: [video ids]}}")
    classes: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name, ids in index.items():
        if canonical(name) in classes:
            raise FormatError(f"{path}: {classes[canonical(name)]!r} and {name!r} spell one class; join them")
        classes[canonical(name)] = name
        for id in ids:
            if id in owners:
                raise FormatError(f"{path}: video {id!r} is in {owners[id]!r} and again in {name!r}; keep one")
            owners[id] = name
    return index


def _once(names: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(canonical(name), name)
    return list(first.values())


def _read_lists(path: str | Path, what: str) -> dict[str, list[str]]:
    lists = read_json_object(path)
    for key, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
            raise FormatError(f"{path}: {key!r} should be a list of {what}, none of them empty; correct it")
    return {key: [value.strip() for value in values] for key, values in lists.items()}
