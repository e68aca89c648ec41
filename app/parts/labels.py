"""Label sets: the names of well-known data sets, and class descriptions that people keep in the workspace."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from app import cache
from app.parts.models import ROOT, Model
from cezsar import workspace
from cezsar.data.datasets import named_descriptions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical, spoken
from cezsar.data.layout import KNOWN
from cezsar.errors import CezsarError

TITLES = {name: known.title for name, known in KNOWN.items() if known.classes}
FOR_FILMS = "kinetics400"  # what films are ranked by while nobody has typed, where the model has no labels of its own


class LabelSet(NamedTuple):
    """Classes under one name."""

    title: str
    names: tuple[str, ...]
    text: str  # as it stands in the label box
    folder_file: Path | None = None  # where it is kept, if it is somebody's own and can be changed


def written(names: Sequence[str]) -> str:
    """Labels as `parse_labels` reads them: "a, b, c", those with a comma or a quote in them between quotes."""
    return ", ".join('"' + name.replace('"', '""') + '"' if set(name) & set(',"\n') else name for name in names)


def written_with(descriptions: Mapping[str, Sequence[str]]) -> str:
    """Labels with their sentences, as `parse_classes` reads them: a class to a line."""
    text = partial(json.dumps, ensure_ascii=False)
    alone = {name for name, said in descriptions.items() if len(said) == 1 and not name.isdecimal()}  # "0" is an index
    lines = [f"{text(name)}: {text(said[0] if name in alone else list(said))}" for name, said in descriptions.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def described(names: Sequence[str], own: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Name -> sentences, in any spelling: the model's `own`, else those of a well-known data set, of several the one
    that knows most of the names, else the name in words."""
    found: dict[str, Sequence[str]] = {}
    for known in (_by_spelling(own), *_speaking(names)):
        found = {name: known[canonical(name)] for name in names if canonical(name) in known} | found
    return {name: found.get(name, [spoken(name)]) for name in names}


def for_films(model: Model) -> Sequence[str] | Mapping[str, Sequence[str]]:
    """The labels of films while nobody has typed, as a model without labels of its own takes them."""
    names = label_sets()[FOR_FILMS].names
    return names if model.reads_words else described(names, {})


def count_described(names: Sequence[str], own: Collection[str]) -> int:
    """How many of the names `described` has sentences of."""
    known = {canonical(name) for name in own}.union(*_speaking(names))
    return sum(canonical(name) in known for name in names)


def _speaking(names: Sequence[str]) -> list[dict[str, Sequence[str]]]:
    keys = {canonical(name) for name in names}
    all_known = cache.once(lambda: [_by_spelling(named_descriptions(key)) for key in TITLES], "well described")
    return sorted(all_known, key=lambda known: -len(keys & known.keys()))


def _by_spelling(descriptions: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {canonical(name): sentences for name, sentences in descriptions.items()}


def own_folder() -> Path:
    """Where class descriptions of the workspace are kept."""
    return workspace.folder("data") / "descriptions"


def label_sets() -> dict[str, LabelSet]:
    """By key for addresses: well-known data sets, then the workspace's own descriptions, as far as they can be read."""
    found = {key: cache.once(partial(_well_known, key), "labels", key) for key in TITLES}
    for path in sorted(own_folder().glob("[!.]*.json")):
        try:
            found[path.stem] = cache.once(partial(_own, path), "own labels", str(path), path.stat().st_mtime_ns)
        except CezsarError:
            continue
    return found


def _own(path: Path) -> LabelSet:
    descriptions = load_descriptions(path)
    return LabelSet(path.stem, tuple(descriptions), written_with(descriptions), path)


def _well_known(key: str) -> LabelSet:
    names = json.loads((ROOT / "assets" / "labels" / f"{key}.json").read_text(encoding="utf-8"))
    return LabelSet(TITLES[key], tuple(names), written(names))
