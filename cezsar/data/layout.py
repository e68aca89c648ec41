"""Well-known data sets as they lie on a disk: what each should hold, what a folder of it holds, and what is missing.

A data set's own file (`ucf101`, `hmdb51`, ...) knows its folders, file names and lists and reads them into `Contents`;
`look` gives the classes their usual names and compares with what should be there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cezsar.data.documents import printable, read_text
from cezsar.data.labels import canonical, parse_labels
from cezsar.data.manifest import VIDEO_SUFFIXES, Clip, read_source
from cezsar.data.splits import load_index
from cezsar.errors import InputError
from cezsar.workspace import ASSETS

NAMED = 20
"""How many ids a warning names before it only counts."""


@dataclass
class Contents:
    """What was read from a folder, in the spelling found there.

    Attributes:
        paths: clip id -> video file.
        labels: clip id -> class, of videos and, where there are none, of an index; "" where nothing tells it.
        listed: clip id -> class, of every clip that should be there as far as lists tell.
        parts: official part ("test1", "val", ...) -> clip ids.
        sources: what was read, in words.
        warnings: what is wrong with the files read.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """A well-known data set.

    Attributes:
        name: as options take it.
        clips: how many there are.
        classes: how many there are; 0 where clips have sentences instead of classes.
        layout: what its folder has, in words.
        lists: the lists that name every clip, in words: what to add where it cannot be told what is missing.
        read: a folder or file to what it holds.
    """

    name: str
    title: str
    clips: int
    classes: int
    layout: str
    lists: str
    read: Callable[[Path], Contents]

    def class_names(self) -> list[str]:
        """Its class names, as tables have them; none where clips have no classes."""
        return parse_labels(read_text(ASSETS / "labels" / f"{self.name}.json")).names if self.classes else []


@dataclass(frozen=True)
class Found:
    """What a place holds of a well-known data set.

    Attributes:
        place: the folder or file.
        labels: clip id -> class name as `Known.class_names` spells it: of the videos, or of the lists where there is no
            video at all. Empty for a data set without classes.
        paths: clip id -> video file.
        missing: ids of clips that should be there and are not, sorted; where there is no video, those that the index
            lacks.
        parts: official part -> ids, of those in `labels`.
        sources: what was read, in words.
        warnings: wrong counts and what else is wrong, each with the ids or names that it is about.
        missing_of: official part -> ids of its clips that are missing.
    """

    known: Known
    place: Path
    labels: dict[str, str]
    paths: dict[str, Path]
    missing: tuple[str, ...]
    parts: dict[str, list[str]]
    sources: tuple[str, ...]
    warnings: tuple[str, ...]
    missing_of: dict[str, tuple[str, ...]] = field(default_factory=dict)


def look(known: Known, place: str | Path) -> Found:
    """Read a place and compare it with what should be there. A wrong count is a warning, never an error.

    Raises:
        InputError: there is nothing of the data set at that place.
        FormatError: a list there is not in its format.
    """
    place = Path(place).expanduser()
    if not place.exists():
        raise InputError(f"{known.title}: there is no {printable(str(place))}; it should have {known.layout}")
    contents = known.read(place)
    there = contents.labels or contents.listed
    if not there:
        raise InputError(f"{known.title}: {printable(str(place))} has none of its videos or lists; give {known.layout}")
    warnings = list(contents.warnings)
    spelt = _spelling(known)
    if known.classes:
        warnings += _strange(there, spelt, known)
    labels = {id: spelt[key] for id, label in there.items() if (key := canonical(label)) in spelt}
    paths = {id: path for id, path in contents.paths.items() if id in labels or not known.classes}
    have = {id.casefold(): id for id in (labels if known.classes else there)}  # spelling of ids varies, too
    missing = sorted(id for id in contents.listed if id.casefold() not in have)
    parts = {part: [have[key] for id in ids if (key := id.casefold()) in have] for part, ids in contents.parts.items()}
    gone = {part: tuple(id for id in ids if id.casefold() not in have) for part, ids in contents.parts.items()}
    warnings += _miscounts(known, contents, have, missing)
    present = set(labels.values())
    if absent := [name for name in spelt.values() if name not in present]:
        warnings.append(f"{len(absent):,} of {known.classes:,} classes have no clip: {enumerated(absent)}")
    return Found(known, place, labels, paths, tuple(missing), parts, tuple(contents.sources), tuple(warnings), gone)


def enumerated(names: Iterable[str]) -> str:
    """The first `NAMED` names, and dots if there are more."""
    names = list(names)
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _spelling(known: Known) -> dict[str, str]:
    return {canonical(name): name for name in known.class_names()}


def _strange(labels: Mapping[str, str], spelt: Mapping[str, str], known: Known) -> list[str]:
    """Clips whose class is none of the data set's; they are left out."""
    counts: dict[str, int] = {}
    for label in labels.values():
        counts[label] = counts.get(label, 0) + 1
    strange = {label: count for label, count in counts.items() if canonical(label) not in spelt}
    if not strange:
        return []
    names = enumerated(f"{repr(label) if label else 'nothing'} ({count:,})" for label, count in strange.items())
    return [f"clips left out, as no class of {known.title} is named so: {names}"]


def _miscounts(known: Known, contents: Contents, have: Mapping[str, str], missing: list[str]) -> list[str]:
    warnings = []
    what = "videos" if contents.paths else "clips in the lists"
    if missing:
        several = f"; `cezsar datasets {known.name} --missing FILE` writes them all" if len(missing) > NAMED else ""
        total = len(contents.listed)
        warnings.append(f"{len(missing):,} of {total:,} clips are missing: {enumerated(missing)}{several}")
    elif not contents.listed and len(have) != known.clips:
        warnings.append(
            f"{len(have):,} {what}, {known.clips:,} expected; which ones differ can be told with {known.lists}"
        )
    if contents.listed and len(contents.listed) != known.clips:
        warnings.append(
            f"the lists here name {len(contents.listed):,} clips, {known.clips:,} expected; check {known.lists}"
        )
    keys = {id.casefold() for id in contents.listed}
    if contents.listed and (more := sorted(id for key, id in have.items() if key not in keys)):
        warnings.append(f"{len(more):,} {what} are in no list of {known.title}: {enumerated(more)}")
    return warnings


# What the readers share ----------------------------------------------------------------------------------------------


def files_in(place: Path, *suffixes: str) -> list[Path]:
    """Files with one of the suffixes in and below a folder, sorted; a file is its own only one."""
    if place.is_file():
        return [place] if place.suffix.lower() in suffixes else []
    found = [
        Path(parent, name)
        for parent, _, names in os.walk(place, followlinks=False)
        for name in names
        if not name.startswith(".") and name.lower().endswith(suffixes)
    ]
    return sorted(found)


def videos_in(place: Path) -> list[Clip]:
    """The videos below a folder, with ids as `cezsar extract` gives them; none is no error.

    Raises:
        InputError: two videos would have one id.
    """
    return read_source(place) if place.is_dir() and _any_video(place) else []


def _any_video(folder: Path) -> bool:
    return any(
        Path(name).suffix.lower() in VIDEO_SUFFIXES
        for _, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not name.startswith(".")
    )


def index_in(place: Path) -> dict[str, str]:
    """Clip id -> class of a data set index `{class: [ids]}`: a file named like `ucf101_dataset.json`, or given itself.

    Raises:
        FormatError: it is no index.
    """
    files = [
        path for path in files_in(place, ".json") if path == place or "dataset" in path.stem or "index" in path.stem
    ]
    return {id: label for path in files[:1] for label, ids in load_index(path).items() for id in ids}
