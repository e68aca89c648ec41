"""The published data sets as they lie on a disk: what each should hold, what a folder holds of it, and what is missing.

A reader of each data set knows its folders, file names and lists and makes `Contents` of them; `look` gives the classes
their usual names and compares with what should be there.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cezsar.data.annotations import load_annotations
from cezsar.data.documents import printable, read_json_object, read_text
from cezsar.data.labels import canonical, load_index, parse_labels
from cezsar.data.manifest import Clip, clips_in
from cezsar.errors import FormatError, InputError
from cezsar.workspace import ASSETS

NAMED = 20
"""How many ids a warning names before it only counts."""


@dataclass
class Contents:
    """What was read from a folder, in the spelling found there."""

    paths: dict[str, Path] = field(default_factory=dict)  # clip id -> video file
    labels: dict[str, str] = field(default_factory=dict)  # of videos, else of an index; "" where nothing tells it
    listed: dict[str, str] = field(default_factory=dict)  # of every clip that should be there, as far as lists tell
    parts: dict[str, list[str]] = field(default_factory=dict)  # official part ("test1", "val", ...) -> clip ids
    sources: list[str] = field(default_factory=list)  # what was read, in words
    warnings: list[str] = field(default_factory=list)  # what is wrong with the files read


@dataclass(frozen=True)
class Known:
    """A published data set."""

    name: str  # as options take it
    title: str
    clips: int  # how many there are
    classes: int  # how many there are; 0 where clips have sentences instead
    layout: str  # what its folder has, in words
    lists: str  # those that name every clip, in words: what to add where it cannot be told what is missing
    read: Callable[[Path], Contents]

    def class_names(self) -> list[str]:
        """Its class names, as tables have them; none where clips have no classes."""
        return parse_labels(read_text(ASSETS / "labels" / f"{self.name}.json")).names if self.classes else []


@dataclass(frozen=True)
class Found:
    """What a place holds of a published data set. Where there is no video at all, its lists stand for the clips."""

    known: Known
    place: Path
    labels: dict[str, str]  # clip id -> class as `Known.class_names` spells it; empty for a data set without classes
    paths: dict[str, Path]  # clip id -> video file
    missing: tuple[str, ...]  # ids of clips that should be there and are not, sorted
    parts: dict[str, list[str]]  # official part -> ids, of those in `labels`
    sources: tuple[str, ...]  # what was read, in words
    warnings: tuple[str, ...]  # wrong counts and what else is wrong, with ids or names
    missing_of: dict[str, tuple[str, ...]]  # official part -> ids of its clips that are missing


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
    spelt = {canonical(name): name for name in known.class_names()}
    labels = {id: spelt[key] for id, label in there.items() if (key := canonical(label)) in spelt}
    paths = {id: path for id, path in contents.paths.items() if id in labels or not known.classes}
    have = {id.casefold(): id for id in (labels if known.classes else there)}  # spelling of ids varies, too
    missing = sorted(id for id in contents.listed if id.casefold() not in have)
    parts = {part: [have[key] for id in ids if (key := id.casefold()) in have] for part, ids in contents.parts.items()}
    gone = {part: tuple(id for id in ids if id.casefold() not in have) for part, ids in contents.parts.items()}
    warnings = list(contents.warnings)
    strange = Counter(label for label in there.values() if canonical(label) not in spelt) if known.classes else {}
    if strange:
        names = enumerated(f"{repr(label) if label else 'nothing'} ({count:,})" for label, count in strange.items())
        warnings.append(f"clips left out, as no class of {known.title} is named so: {names}")
    warnings += _miscounts(known, contents, have, missing)
    present = set(labels.values())
    if absent := [name for name in spelt.values() if name not in present]:
        warnings.append(f"{len(absent):,} of {known.classes:,} classes have no clip: {enumerated(absent)}")
    return Found(known, place, labels, paths, tuple(missing), parts, tuple(contents.sources), tuple(warnings), gone)


def enumerated(names: Iterable[str]) -> str:
    """The first `NAMED` names, and dots if there are more."""
    names = list(names)
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _miscounts(known: Known, contents: Contents, have: Mapping[str, str], missing: list[str]) -> Iterator[str]:
    what, listed = "videos" if contents.paths else "clips in the lists", len(contents.listed)
    if missing:
        several = f"; `cezsar datasets {known.name} --missing FILE` writes them all" if len(missing) > NAMED else ""
        yield f"{len(missing):,} of {listed:,} clips are missing: {enumerated(missing)}{several}"
    if not listed and len(have) != known.clips:
        yield f"{len(have):,} {what}, {known.clips:,} expected; which ones differ can be told with {known.lists}"
    if listed and listed != known.clips:
        yield f"the lists here name {listed:,} clips, {known.clips:,} expected; check {known.lists}"
    keys = {id.casefold() for id in contents.listed}
    if listed and (more := sorted(id for key, id in have.items() if key not in keys)):
        yield f"{len(more):,} {what} are in no list of {known.title}: {enumerated(more)}"


def files_in(place: Path, *suffixes: str) -> list[Path]:
    """Files with one of the suffixes in and below a folder, sorted; a file is its own only one."""
    if place.is_file():
        return [place] if place.suffix.lower() in suffixes else []
    found = [
        Path(parent, name)
        for parent, _, names in os.walk(place)
        for name in names
        if not name.startswith(".") and name.lower().endswith(suffixes)
    ]
    return sorted(found)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that have something in them, each after the words that name it."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}, line {number}: {line[:60]!r}", line.strip()


def _videos_or_index(place: Path) -> tuple[Contents, str]:
    """The videos below a folder, else the clips of an index `{class: [ids]}` there, a file named like
    `ucf101_dataset.json` or given itself; and which of them, in words."""
    clips: list[Clip] = clips_in(place) if place.is_dir() else []
    if clips:
        labels = {clip.id: clip.label for clip in clips}
        return Contents({clip.id: clip.path for clip in clips}, labels), f"{len(clips):,} videos"
    files = [
        path for path in files_in(place, ".json") if path == place or "dataset" in path.stem or "index" in path.stem
    ]
    labels = {id: label for path in files[:1] for label, ids in load_index(path).items() for id in ids}
    return Contents({}, labels), f"an index of {len(labels):,} clips, no video" if labels else "no video"


# UCF-101 -------------------------------------------------------------------------------------------------------------

UCF101_TESTED = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
"""Official split -> the groups of the 25 of each class that are tested."""
_UCF101_LIST = re.compile(r"(train|test)list0([123])", re.I)


def _ucf101(place: Path) -> Contents:
    """`UCF-101/<class>/<id>.avi` and `ucfTrainTestlist/*.txt`, or an index.

    A clip's id is its file name, `v_<class>_g<group>_c<clip>`: clips of one group are cut from the same footage. Every
    id is known beforehand, so a clip that is missing can be named without any list.
    """
    contents, what = _videos_or_index(place)
    contents.listed = ucf101_clips()
    lists = {
        match[1].lower() + match[2]: _ucf101_list(path)
        for path in files_in(place, ".txt")
        if (match := _UCF101_LIST.fullmatch(path.stem))
    }
    contents.labels = contents.labels or {id: label for part in lists.values() for id, label in part.items()}
    if not contents.labels:
        return Contents()
    contents.parts = ucf101_parts(contents.listed)
    for part, ids in lists.items():
        if {id.casefold() for id in ids} != {id.casefold() for id in contents.parts[part]}:
            contents.warnings.append(f"list {part} names {len(ids):,} clips, {len(contents.parts[part]):,} expected")
        contents.parts[part] = list(ids)
    contents.sources = [what, *([f"official lists {', '.join(sorted(lists))}"] if lists else [])]
    return contents


def ucf101_clips() -> dict[str, str]:
    """Clip id -> class of all that were published, with the class as it is spelt in ids."""
    counts: dict[str, str] = read_json_object(ASSETS / "splits" / "ucf101-clips.json")["clips"]
    return {
        f"v_{label}_g{group:02}_c{clip:02}": label
        for label, groups in counts.items()
        for group, clips in enumerate(groups, start=1)
        for clip in range(1, int(clips) + 1)
    }


def ucf101_parts(ids: Iterable[str]) -> dict[str, list[str]]:
    """The three official splits: "train1", "test1", ... -> clip ids, by the groups in the ids."""
    group = {id: int(id[-6:-4]) for id in ids}
    parts = {}
    for split, tested in UCF101_TESTED.items():
        parts[f"train{split}"] = [id for id in group if group[id] not in tested]
        parts[f"test{split}"] = [id for id in group if group[id] in tested]
    return parts


def _ucf101_list(path: Path) -> dict[str, str]:
    """`Class/v_Class_g01_c01.avi`, in training lists with the number of the class behind it."""
    found = {}
    for where, line in _lines(path):
        label, _, name = line.partition("/")
        if not (canonical(label) and name.strip()):
            raise FormatError(f"{where} should be Class/clip.avi; correct it")
        found[Path(name.split()[0]).stem] = label.strip()
    return found


# HMDB-51 -------------------------------------------------------------------------------------------------------------

_HMDB51_LIST = re.compile(r"(.+)_test_split([123])", re.I)
_HMDB51_PART = {"1": "train", "2": "test"}


def _hmdb51(place: Path) -> Contents:
    """`<class>/<id>.avi` and `testTrainMulti_7030_splits/<class>_test_split1.txt`, or an index.

    Names of clips begin with all sorts of characters (`#122_...`, `(2)_...`); an id is the name without `.avi`. Each
    class has three official lists: 70 clips to train on (1), 30 to test on (2), the rest used for neither (0).
    """
    contents, what = _videos_or_index(place)
    lists = [(path, match) for path in files_in(place, ".txt") if (match := _HMDB51_LIST.fullmatch(path.stem))]
    for path, match in lists:
        for where, line in _lines(path):
            name, _, mark = line.rpartition(" ")
            if mark not in ("0", "1", "2") or not name.strip():
                raise FormatError(f"{where} should be a clip and 0, 1 or 2; correct it")
            id = name.strip().removesuffix(".avi")
            contents.listed.setdefault(id, match[1])
            if mark in _HMDB51_PART:
                contents.parts.setdefault(_HMDB51_PART[mark] + match[2], []).append(id)
    contents.sources = [what, *([f"{len(lists)} official lists, of {3 * 51}"] if lists else [])]
    return contents


# Kinetics-400 --------------------------------------------------------------------------------------------------------

_KINETICS_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


def _kinetics400(place: Path) -> Contents:
    """`{train,val,test}/<class>/<id>.mp4` or videos in one folder, and the annotation CSVs. These alone will do, and so
    will an index. Many videos have gone from YouTube, so every lab holds another part; the CSVs name all of them.

    A clip's id is its file name, `<youtube id>_<start>_<end>` with six digits each for the seconds; where a video is
    named by the YouTube id alone, the listed clip takes that name.
    """
    contents, what = _videos_or_index(place)
    part_of: dict[str, str] = {}
    used = []
    for path in files_in(place, ".csv"):
        rows = dict(_kinetics_rows(path))
        contents.listed |= {id: label for id, (label, _) in rows.items()}
        part_of |= {id: part for id, (_, part) in rows.items() if part}
        used += [f"{path.name} with {len(rows):,} clips"] if rows else []
    by_youtube_id = {id[:-14]: id for id in contents.listed}
    for name in contents.paths:
        if name not in contents.listed and (id := by_youtube_id.get(name)):
            contents.listed[name] = contents.listed.pop(id)
            if id in part_of:
                part_of[name] = part_of.pop(id)
    contents.labels = {id: contents.listed.get(id, label) for id, label in contents.labels.items()}
    for id, part in part_of.items():
        contents.parts.setdefault(part, []).append(id)
    contents.sources = [what, *used]
    return contents


def _kinetics_rows(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """(id, (label, part)) of each line; nothing for a CSV that is no annotation, or a list without labels."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if not {"label", "youtube_id", "time_start", "time_end"} <= set(reader.fieldnames or []):
        return
    for row in reader:
        try:
            start_s, end_s = (round(float(row[column])) for column in ("time_start", "time_end"))
        except (TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"{path}, line {reader.line_num}: times should be numbers of seconds; correct it"
            ) from error
        split = (row.get("split") or path.stem).strip().lower()
        part = next((part for word, part in _KINETICS_PARTS.items() if word == split or split.endswith(f"_{word}")), "")
        yield f"{(row['youtube_id'] or '').strip()}_{start_s:06}_{end_s:06}", ((row["label"] or "").strip(), part)


# ActivityNet Captions ------------------------------------------------------------------------------------------------

ACTIVITYNET_VIDEOS = {"train": 10_009, "val_1": 4_917, "val_2": 4_885}
"""File -> videos in it."""
ACTIVITYNET_SENTENCES = {"val_1": 17_505}
_ACTIVITYNET_NAME = re.compile(r"(?:.*[_-])?(train|val_1|val_2)", re.I)


def _activitynet(place: Path) -> Contents:
    """Untrimmed videos `v_<id>.mp4` with timestamped sentences in `train.json`, `val_1.json` and `val_2.json` (two
    people's, for the same videos), maybe with more before these names. Captions alone will do."""
    contents = Contents()
    for part, path in caption_files(place).items():
        read = load_annotations(path)
        sentences = len(read.segments) + read.dropped
        contents.sources.append(f"{path.name} with {len(read.durations):,} videos, {sentences:,} sentences")
        contents.listed |= dict.fromkeys(read.durations, "")
        contents.parts[part] = list(read.durations)
        for count, expected, what in (
            (len(read.durations), ACTIVITYNET_VIDEOS[part], "videos"),
            (sentences, ACTIVITYNET_SENTENCES.get(part, sentences), "sentences"),
        ):
            if count != expected:
                contents.warnings.append(f"{path.name} has {count:,} {what}, {expected:,} expected")
        contents.warnings += [f"{path.name}: {repair}" for repair in read.repairs]
    videos = clips_in(place) if place.is_dir() else []
    prefixed = {id[2:]: id for id in contents.listed if id.startswith("v_")}  # many downloads name videos without it
    listed = {clip.id: clip.id if clip.id in contents.listed else prefixed.get(clip.id, clip.id) for clip in videos}
    contents.paths = {listed[clip.id]: clip.path for clip in videos}
    contents.labels = dict.fromkeys(contents.paths, "")
    contents.sources.insert(0, f"{len(videos):,} videos" if videos else "no video")
    return contents


def caption_files(place: Path) -> dict[str, Path]:
    """Part ("train", "val_1", "val_2") of ActivityNet Captions -> its JSON file, in or below a folder."""
    named = {path: _ACTIVITYNET_NAME.fullmatch(path.stem) for path in files_in(place, ".json")}
    return {match[1].lower(): path for path, match in named.items() if match}


KNOWN: dict[str, Known] = {
    known.name: known
    for known in (
        Known(
            name="ucf101",  # Soomro, Zamir, Shah, CRCV-TR-12-01, 2012
            title="UCF-101",
            clips=13_320,
            classes=101,
            layout="UCF-101/<class>/v_<class>_g01_c01.avi and ucfTrainTestlist/, or an index ucf101_dataset.json",
            lists="an index ucf101_dataset.json",
            read=_ucf101,
        ),
        Known(
            name="hmdb51",  # Kuehne et al., ICCV 2011
            title="HMDB-51",
            clips=6_766,
            classes=51,
            layout="<class>/<clip>.avi and testTrainMulti_7030_splits/, or an index hmdb51_dataset.json",
            lists="testTrainMulti_7030_splits/<class>_test_split1.txt",
            read=_hmdb51,
        ),
        Known(
            name="kinetics400",  # Kay et al., 2017: 10 s each of videos on YouTube
            title="Kinetics-400",
            clips=306_245,
            classes=400,
            layout="{train,val,test}/<class>/<youtube id>_000010_000020.mp4 and the annotation CSVs, or the CSVs alone",
            lists="the annotation CSVs (label,youtube_id,time_start,time_end,split)",
            read=_kinetics400,
        ),
        Known(
            name="activitynet-captions",  # Krishna et al., ICCV 2017: to train on
            title="ActivityNet Captions",
            clips=14_926,
            classes=0,
            layout="train.json, val_1.json, val_2.json and videos v_<id>.mp4, or the JSON files alone",
            lists="train.json and val_1.json",
            read=_activitynet,
        ),
    )
}
"""The published data sets whose layout is known, by name."""
