"""Data sets to evaluate on, by name or path: which clips there are, their labels, and descriptions of their classes.
Descriptions are read from `descriptions.json` beside the clips if it is there; else the software's own are taken for
published data sets; else a class is described by its name."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import read_json_object
from cezsar.data.labels import canonical, load_index, spoken
from cezsar.data.layout import KNOWN, Known, caption_files, look
from cezsar.data.manifest import Clip, read_source
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.workspace import ASSETS

DEMO = {"demo": "test", "demo:train": "seen/segments.json"}  # name -> place in the workspace's folder of the demo


@dataclass(frozen=True)
class Dataset:
    """Labelled clips."""

    name: str
    labels: dict[str, str]  # clip id -> class name
    descriptions: dict[str, list[str]]  # class name -> sentences; the name itself where there are none
    paths: dict[str, Path] = field(default_factory=dict)  # clip id -> video file; empty for an index
    missing: list[str] = field(default_factory=list)  # ids of clips (of the part) that should be there and are not
    warnings: list[str] = field(default_factory=list)  # wrong counts and the like of the whole, in words
    parts: dict[str, list[str]] = field(default_factory=dict)  # official part -> clip ids, of a whole data set
    segments: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # clip id -> video id, first second, end


def open_dataset(name_or_folder: str | Path, home: str | Path | None = None) -> Dataset:
    """A data set by name: `demo`, `demo:train` (segments of the videos that it trains on), `ucf101`, an official part,
    `ucf101:test1`, what somebody named (`register`); or by path: a folder of class folders, a CSV manifest with labels,
    an index `{class name: [clip ids]}`, or segments `{video id: [[start_s, end_s, class name]]}`. Raises `InputError`
    where nothing is there, or clips have no labels; `FormatError` where a file is not in its format."""
    name = str(name_or_folder)
    known, part, place = _meant(name, home)
    if known is None:
        data = _labelled(name, place)
        given = _beside(place) or {label: [spoken(label)] for label in sorted(set(data.labels.values()))}
        return replace(data, descriptions=given)
    if not known.classes:
        advice = f"train on it: `cezsar mine {known.name} ...`"
        raise InputError(f"{known.title} has sentences and no classes to test; {advice}")
    found = look(known, place, part)
    if not found.labels:
        none = f"no clip of {name} is in {place}, or none with a class of {known.title}"
        raise InputError(f"{none}; see `cezsar datasets`")
    shipped = shipped_descriptions(known.name)
    by_class = _beside(place) or (load_descriptions(shipped) if shipped else {})
    by_key = {canonical(each): sentences for each, sentences in by_class.items()}
    given = {each: by_key.get(canonical(each)) or [spoken(each)] for each in known.class_names()}
    parts = {} if part else found.parts
    return Dataset(name, found.labels, given, found.paths, found.missing, found.warnings, parts)


def class_names(name_or_folder: str | Path, home: str | Path | None = None) -> list[str]:
    """The classes of a data set as `open_dataset` takes it, whatever its descriptions are; all classes of a published
    one, of which no clip need be here. Raises as that."""
    known, _, place = _meant(str(name_or_folder), home)
    if known is None:
        return sorted(set(_labelled(str(name_or_folder), place).labels.values()))
    if not known.classes:
        raise InputError(f"{known.title} has sentences and no classes; name another data set")
    return known.class_names()


def is_name(text: str, home: str | Path | None = None) -> bool:
    """Whether a text names a data set, or a part as "name:part". A name goes before a file or folder of that name; with
    a separator in it ("./ucf101", "UCF-101/") it is a path."""
    named = text in DEMO or find_known(text.partition(":")[0]) is not None or text in registered(home)
    return named and Path(text).name == text


def file_name(dataset: str, home: str | Path | None = None) -> str:
    """A data set in the name of a file, no two in one: a name stands for itself; a path keeps its last part, and a mark
    of the whole path."""
    shown = whole = dataset
    if not is_name(dataset, home):
        path = Path(dataset).expanduser().resolve()
        shown, whole = path.stem if path.is_file() else path.name, str(path)
    safe = re.sub(r"[^\w. -]", "_", shown).strip(". ") or "data"
    return safe if safe == whole else f"{safe}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}"


def videos_of(name: str, home: str | Path | None = None) -> tuple[list[Clip], list[str]]:
    """The videos of a data set as `open_dataset` takes it, to extract features from, and the ids of clips that should
    be there and have no video; of `activitynet-captions` and its parts those that have captions, or all where there are
    no captions. Raises as that."""
    known, part, place = _meant(name, home)
    if known and not known.classes:
        found = look(known, place, part)
        clips = [Clip(path, id) for id, path in found.paths.items() if not found.listed or id in found.listed]
        missing = found.missing
    else:
        data = open_dataset(name, home)
        clips, missing = [Clip(path, id, data.labels[id]) for id, path in data.paths.items()], data.missing
    if not clips:
        raise InputError(f"{name}: {place} has lists of its clips and no video of them; put the videos there")
    return clips, missing


def captions_of(name: str, home: str | Path | None = None) -> Path:
    """The captions of a data set to train on: `activitynet-captions` (its train.json), `activitynet-captions:val_1`."""
    stem, _, part = name.partition(":")
    known = find_known(stem)
    if known is None or known.classes:
        raise InputError(f"{name} has classes and no sentences to mine; give activitynet-captions or a JSON file")
    place = place_of(known, home)
    files, part = caption_files(place), part or "train"
    if part not in files:
        there = ", ".join(files) or f"nothing; name its place with `cezsar datasets --add {known.name}=FOLDER`"
        raise InputError(f"{known.title} has no {part}.json in {place}; there is {there}")
    return files[part]


def shipped_descriptions(name: str) -> Path | None:
    """The file of class descriptions that comes along for a published data set, by its name in any spelling."""
    known = find_known(name)
    path = ASSETS / "descriptions" / f"{known.name}.json" if known else None
    return path if path and path.is_file() else None


def named_descriptions(text: str) -> dict[str, list[str]]:
    """Class name -> its descriptions, of `ucf101` and the like, which come along, or of a path; a file or folder here
    that is called like a shipped set is meant by `./ucf101`. Raises as `load_descriptions`."""
    path = shipped_descriptions(text) or Path(text)
    if not path.exists():
        shipped = ", ".join(name for name in KNOWN if shipped_descriptions(name))
        raise InputError(f"{text} is no file or folder, and none of the shipped descriptions ({shipped}); check it")
    return load_descriptions(path)


def find_known(name: str) -> Known | None:
    """A published data set by its name in any spelling, such as "UCF-101"; None for anything else."""
    return next((known for known in KNOWN.values() if canonical(known.name) == canonical(name)), None)


def place_of(known: Known, home: str | Path | None = None) -> Path:
    """Where a published data set is looked for: the place named for it, else `data/<name>` in the workspace if that is
    there, else a folder of that name here, in any spelling; else `data/<name>` again, which need not exist."""
    own = workspace.folder("data", home) / known.name
    named = [Path(place) for name, place in registered(home).items() if find_known(name) is known]
    here = [path for path in sorted(Path().iterdir()) if find_known(path.name) is known and path.is_dir()]
    return [*named, *([own] if own.exists() else here), own][0]


def places(home: str | Path | None = None) -> dict[str, str]:
    """Data sets with classes that have a place of their own: those that people named, then published ones."""
    named = registered(home)
    taken = {canonical(name) for name in named}
    kept = {name: workspace.folder("data", home) / name for name, known in KNOWN.items() if known.classes}
    own = {name: str(place.absolute()) for name, place in kept.items() if place.is_dir()}
    return named | {name: place for name, place in own.items() if canonical(name) not in taken}


def registered(home: str | Path | None = None) -> dict[str, str]:
    """Name -> folder, CSV or index, in the order in which people named them."""
    path = workspace.folder("data", home) / "datasets.json"
    named = read_json_object(path) if path.is_file() else {}
    for name, place in named.items():
        if not isinstance(place, str) or not place.strip():
            raise FormatError(f"{path}: {name!r} should have the path of a data set; correct or remove it")
    return named


def register(name: str, place: str | Path, home: str | Path | None = None) -> None:
    """Give a data set a name under which the command line and the app find it. Raises `InputError` where no such name
    is possible, it is taken, or nothing at that place can be read."""
    said, name, named = str(place).strip(), checked_name(name), registered(home)
    place = Path(said).expanduser().absolute()
    if not said or not place.exists():
        told = f"there is no {said or 'place'}"
        raise InputError(f"data set {name}: {told}; give a folder of class folders, a CSV, or an index")
    if known := find_known(name):
        name = known.name
        if known.classes and not look(known, place).labels:
            raise InputError(f"no clip in {place} has a class of {known.title}; choose another name for what is there")
    else:
        _labelled(name, place)
    if name in named or name in DEMO:
        raise InputError(f"there is a data set {name!r} already; choose another name")
    write_json(workspace.folder("data", home) / "datasets.json", named | {name: str(place)})


def forget(name: str, home: str | Path | None = None) -> bool:
    """Take a name off the list; its files stay. Returns whether it was there."""
    named = registered(home)
    if name not in named:
        return False
    del named[name]
    write_json(workspace.folder("data", home) / "datasets.json", named)
    return True


def checked_name(name: str) -> str:
    """A name that can be a file's, without the spaces around it. Raises `InputError` with what is possible."""
    name = name.strip()
    if not re.fullmatch(r"\w[\w .+@-]{0,59}", name):
        raise InputError(f"{name[:40]!r} cannot be a name here; use letters, digits, spaces, and . + @ - _")
    return name


def _meant(name: str, home: str | Path | None) -> tuple[Known | None, str, Path]:
    """What a name or path means: a published data set or None for anyone's own, a part of it, its place."""
    stem, _, part = name.partition(":")
    if known := find_known(stem):
        return known, part, place_of(known, home)
    place = Path(name)
    if name in DEMO:
        place = workspace.folder("demo", home) / DEMO[name]
    elif place.name == name:
        place = Path(registered(home).get(name, name))
    if not place.exists():
        advice = f"give demo, {', '.join(KNOWN)}, a name from `cezsar datasets`, a folder of class folders, or a CSV"
        advice = "make it with `cezsar demo`" if name in DEMO else advice
        raise InputError(f"data set {name}: there is no {place}; {advice}")
    at = {Path(other).absolute(): find_known(each) for each, other in places(home).items()}
    return at.get(place.absolute()), "", place


def _labelled(name: str, source: Path) -> Dataset:
    """Class folders, a CSV, an index or labelled segments, without descriptions."""
    data = Dataset(name, {}, {})
    content = read_json_object(source) if source.suffix.lower() == ".json" else None
    rows = next((rows for rows in (content or {}).values() if rows), None)
    if content is None:
        for clip in read_source(source):
            data.labels[clip.id], data.paths[clip.id] = clip.label, clip.path.resolve()
    elif isinstance(rows, list) and isinstance(rows[0], list):
        for video, listed in content.items():
            for number, segment in enumerate(listed):
                try:
                    start_s, end_s, label = segment
                    first = math.ceil(start_s)
                    data.segments[f"{video}/{number}"] = video, first, max(first + 1, math.floor(end_s))
                except DAMAGED as error:
                    raise FormatError(f"{source}, {video}: a segment is [start_s, end_s, class name]") from error
                data.labels[f"{video}/{number}"] = str(label)
    else:
        data.labels.update({clip: label for label, clips in load_index(source).items() for clip in clips})
    if unlabelled := [clip for clip, label in data.labels.items() if not label]:
        advice = "put the clips of each class in a folder of its name, or give a CSV with a label column"
        told = f"{len(unlabelled)} clips have no label, the first is {unlabelled[0]}"
        raise InputError(f"data set {name}: {told}; {advice}")
    return data


def _beside(source: Path) -> dict[str, list[str]]:
    """Descriptions that lie in a folder or beside a file or folder; none if there are none."""
    beside = (folder / "descriptions.json" for folder in (source, source.parent))
    return next((load_descriptions(path) for path in beside if path.is_file()), {})
