"""The published data sets as they lie on a disk: what each should hold, what a folder holds of it, and what is missing.
A reader of each data set knows its folders, file names and lists; `look` gives the classes their usual names and
compares with what should be there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cezsar.data import manifest
from cezsar.data.annotations import load_annotations
from cezsar.data.documents import enumerated, printable, read_json_object, read_table, read_text
from cezsar.data.labels import canonical, load_index, parse_labels
from cezsar.errors import FormatError, InputError
from cezsar.workspace import ASSETS

NAMED = 20  # ids that a warning names before it only counts


@dataclass
class Found:
    """What a place holds of a published data set; where there is no video, its lists stand for the clips. Readers fill
    in the first six, in the spelling found there; `look` puts them right."""

    paths: dict[str, Path] = field(default_factory=dict)  # clip id -> video file
    labels: dict[str, str] = field(default_factory=dict)  # clip id -> class; empty for a data set without classes
    listed: dict[str, str] = field(default_factory=dict)  # the same of every clip that should be there, as lists tell
    parts: dict[str, list[str]] = field(default_factory=dict)  # official part ("test1", "val", ...) -> clip ids
    sources: list[str] = field(default_factory=list)  # what was read, in words
    warnings: list[str] = field(default_factory=list)  # wrong counts and what else is wrong, with ids or names
    missing: list[str] = field(default_factory=list)  # ids of clips that should be there and are not


@dataclass(frozen=True)
class Known:
    """A published data set."""

    name: str  # as options take it
    title: str
    clips: int  # how many there are
    classes: int  # how many there are; 0 where clips have sentences instead
    lists: str  # those that name every clip, in words: what to add where it cannot be told what is missing
    read: Callable[[Path], Found]
    layout: str  # what its folder has, in words

    def class_names(self) -> list[str]:
        """Its class names, as tables have them; none where clips have no classes."""
        return parse_labels(read_text(ASSETS / "labels" / f"{self.name}.json")).names if self.classes else []


def look(known: Known, place: str | Path, part: str = "") -> Found:
    """Read a place and compare it with what should be there; paths, labels and missing clips are of the official part,
    if one is named. A wrong count is a warning; `InputError` where there is nothing of the data set or no such part,
    `FormatError` where a list is not in its format."""
    place = Path(place).expanduser().resolve()  # once, not file by file: there may be 306,245
    if not place.exists():
        how = f"put it in {printable(str(place))}, or name its place with `cezsar datasets --add {known.name}=FOLDER`"
        raise InputError(f"{known.title} is not here: {how}; it should have {known.layout}")
    found = known.read(place)
    there = found.labels or found.listed
    if not there:
        raise InputError(f"{known.title}: {printable(str(place))} has none of its videos or lists; give {known.layout}")
    if part and part not in found.parts:
        listed = f"there are {', '.join(sorted(found.parts))}" if found.parts else f"add {known.lists}"
        raise InputError(f"{known.title} has no part {part!r} here; {listed}")
    spelt = {canonical(name): name for name in known.class_names()}
    found.labels = {id: spelt[key] for id, label in there.items() if (key := canonical(label)) in spelt}
    have = {id.casefold(): id for id in (found.labels if known.classes else there)}  # spelling of ids varies, too
    found.missing = sorted(id for id in found.listed if id.casefold() not in have)
    found.warnings += _warnings(known, found, there, have, spelt)
    if part:
        found.missing = [id for id in found.parts[part] if id.casefold() not in have]
    for name, ids in found.parts.items():
        found.parts[name] = [have[key] for id in ids if (key := id.casefold()) in have]
    wanted = set(found.parts[part]) if part else set(found.labels if known.classes else found.paths)
    found.labels = {id: label for id, label in found.labels.items() if id in wanted}
    found.paths = {id: path for id, path in found.paths.items() if id in wanted}
    return found


def _warnings(
    known: Known, found: Found, there: Mapping[str, str], have: Mapping[str, str], spelt: Mapping[str, str]
) -> Iterator[str]:
    strange = Counter(label for label in there.values() if spelt and canonical(label) not in spelt)
    if strange:
        shown = (f"{repr(label) if label else 'nothing'} ({count:,})" for label, count in strange.items())
        yield f"clips left out, as no class of {known.title} is named so: {enumerated(shown, NAMED)}"
    what, listed = "videos" if found.paths else "clips in the lists", {id.casefold() for id in found.listed}
    if found.missing:
        more = f"; `cezsar datasets {known.name} --missing FILE` writes all" if len(found.missing) > NAMED else ""
        yield f"{len(found.missing):,} of {len(listed):,} clips are missing: {enumerated(found.missing, NAMED)}{more}"
    if (count := len(listed or have)) != known.clips:
        told = f"{count:,} {'clips listed' if listed else what}, {known.clips:,} expected"
        yield f"{told}; {'check' if listed else 'which ones differ can be told with'} {known.lists}"
    if listed and (more_ids := sorted(id for key, id in have.items() if key not in listed)):
        yield f"{len(more_ids):,} {what} are in no list of {known.title}: {enumerated(more_ids, NAMED)}"
    present = set(found.labels.values())
    if absent := [name for name in spelt.values() if name not in present]:
        yield f"{len(absent):,} of {known.classes:,} classes have no clip: {enumerated(absent, NAMED)}"


def _files(place: Path, suffix: str, pattern: str = ".*") -> Iterator[tuple[Path, re.Match[str]]]:
    """Files in and below a folder, sorted (a file is its own only one), whose suffix and whole stem are these."""
    for path in [place] if place.is_file() else manifest.files_in(place):
        if path.suffix.lower() == suffix and (match := re.fullmatch(pattern, path.stem, re.I)):
            yield path, match


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that have something in them, each after the words that name it."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}, line {number}: {line[:60]!r}", line.strip()


def _videos_or_index(place: Path) -> Found:
    """The videos below a folder, else the clips of an index `{class: [ids]}` there, a file named like
    `ucf101_dataset.json` or given itself."""
    if place.is_dir() and (clips := manifest.clips_in(place)):
        labels = {clip.id: clip.label for clip in clips}
        return Found({clip.id: clip.path for clip in clips}, labels, sources=[f"{len(clips):,} videos"])
    indexes = (path for path, _ in _files(place, ".json") if path == place or re.search("dataset|index", path.stem))
    index = next(map(load_index, indexes), {})
    labels = {id: label for label, ids in index.items() for id in ids}
    return Found({}, labels, sources=[f"an index of {len(labels):,} clips, no video" if labels else "no video"])


def _ucf101(place: Path) -> Found:
    """`UCF-101/<class>/<id>.avi` and `ucfTrainTestlist/*.txt`, or an index. Every id, `v_<class>_g<group>_c<clip>`, is
    known beforehand, so a clip that is missing can be named without any list."""
    found = _videos_or_index(place)
    lists: dict[str, dict[str, str]] = {}
    for path, match in _files(place, ".txt", "(train|test)list0([123])"):
        ids = lists[match[1].lower() + match[2]] = {}
        for where, line in _lines(path):  # Class/v_Class_g01_c01.avi, in training lists with the class's number
            label, _, name = line.partition("/")
            if not (canonical(label) and name.strip()):
                raise FormatError(f"{where} should be Class/clip.avi; correct it")
            ids[Path(name.split()[0]).stem] = label.strip()
    found.labels = found.labels or {id: label for ids in lists.values() for id, label in ids.items()}
    if not found.labels:
        return Found()
    found.listed = ucf101_clips()
    found.parts = ucf101_parts(found.listed)
    for part, ids in lists.items():
        if {id.casefold() for id in ids} != {id.casefold() for id in found.parts[part]}:
            found.warnings.append(f"list {part} names {len(ids):,} clips, {len(found.parts[part]):,} expected")
        found.parts[part] = list(ids)
    found.sources += [f"official lists {', '.join(sorted(lists))}"] if lists else []
    return found


def ucf101_clips() -> dict[str, str]:
    """Clip id -> class of all that were published, with the class as it is spelt in ids."""
    counts: dict[str, list[int]] = read_json_object(ASSETS / "splits" / "ucf101-clips.json")["clips"]
    return {
        f"v_{label}_g{group:02}_c{clip:02}": label
        for label, groups in counts.items()
        for group, clips in enumerate(groups, start=1)
        for clip in range(1, int(clips) + 1)
    }


def ucf101_parts(ids: Iterable[str]) -> dict[str, list[str]]:
    """The three official splits, "train1", "test1", ... -> clip ids: tested are groups 1-7, 8-14, 15-21 of the 25."""
    group = {id: int(id[-6:-4]) for id in ids}
    parts = {}
    for split, tested in enumerate((range(1, 8), range(8, 15), range(15, 22)), start=1):
        parts[f"train{split}"] = [id for id in group if group[id] not in tested]
        parts[f"test{split}"] = [id for id in group if group[id] in tested]
    return parts


def _hmdb51(place: Path) -> Found:
    """`<class>/<id>.avi` and `testTrainMulti_7030_splits/<class>_test_split1.txt`, or an index. Each class has three
    official lists: 70 clips to train on (1), 30 to test on (2), the rest used for neither (0)."""
    found, lists = _videos_or_index(place), 0
    for path, match in _files(place, ".txt", "(.+)_test_split([123])"):
        lists += 1
        for where, line in _lines(path):
            name, _, mark = line.rpartition(" ")
            if mark not in ("0", "1", "2") or not name.strip():
                raise FormatError(f"{where} should be a clip and 0, 1 or 2; correct it")
            id = name.strip().removesuffix(".avi")
            found.listed.setdefault(id, match[1])
            if mark != "0":
                found.parts.setdefault(("train" if mark == "1" else "test") + match[2], []).append(id)
    found.sources += [f"{lists} official lists, of {3 * 51}"] if lists else []
    return found


def _kinetics400(place: Path) -> Found:
    """`{train,val,test}/<class>/<id>.mp4` or videos in one folder, and the annotation CSVs, which name those that have
    gone from YouTube, too; these or an index alone will do. An id is `<youtube id>_<start>_<end>` with six digits each
    for the seconds; where a video is named by the YouTube id alone, the listed clip takes that name."""
    found = _videos_or_index(place)
    part_of: dict[str, str] = {}
    for path, _ in _files(place, ".csv"):
        (columns, rows), before = read_table(read_text(path), path), len(found.listed)
        if not {"label", "youtube_id", "time_start", "time_end"} <= set(columns):
            continue  # no annotation, or a list without labels
        for number, row in rows:
            try:
                start_s, end_s = (round(float(row[column] or "")) for column in ("time_start", "time_end"))
            except (ValueError, OverflowError) as error:
                raise FormatError(f"{path}, line {number}: times should be numbers of seconds; correct it") from error
            id = f"{(row['youtube_id'] or '').strip()}_{start_s:06}_{end_s:06}"
            found.listed[id] = (row["label"] or "").strip()
            split = (row.get("split") or path.stem).strip().lower()
            if match := re.search(r"(?:^|_)(train|val|test)(?:idate|idation)?$", split):
                part_of[id] = match[1]
        found.sources.append(f"{path.name} with {len(found.listed) - before:,} clips")
    by_youtube_id = {id[:-14]: id for id in found.listed}
    for name in found.paths:
        if name not in found.listed and (listed := by_youtube_id.get(name)):
            found.listed[name] = found.listed.pop(listed)
            part_of |= {name: part_of.pop(listed)} if listed in part_of else {}
    found.labels = {id: found.listed.get(id, label) for id, label in found.labels.items()}
    for id, part in part_of.items():
        found.parts.setdefault(part, []).append(id)
    return found


def _activitynet(place: Path) -> Found:
    """Untrimmed videos `v_<id>.mp4` with timestamped sentences in `train.json`, `val_1.json` and `val_2.json` (two
    people's, for the same videos), maybe with more before these names. Captions alone will do."""
    found = Found()
    expected = {"train": (10_009, None), "val_1": (4_917, 17_505), "val_2": (4_885, None)}  # videos, sentences
    for part, path in caption_files(place).items():
        read = load_annotations(path)
        counts = len(read.durations), len(read.segments) + read.dropped
        found.sources.append(f"{path.name} with {counts[0]:,} videos, {counts[1]:,} sentences")
        found.listed |= dict.fromkeys(read.durations, "")
        found.parts[part] = list(read.durations)
        for count, right, what in zip(counts, expected[part], ("videos", "sentences"), strict=True):
            if right and count != right:
                found.warnings.append(f"{path.name} has {count:,} {what}, {right:,} expected")
        found.warnings += [f"{path.name}: {repair}" for repair in read.repairs]
    prefixed = {id[2:]: id for id in found.listed if id.startswith("v_")}  # many downloads name videos without it
    for clip in manifest.clips_in(place) if place.is_dir() else []:
        found.paths[clip.id if clip.id in found.listed else prefixed.get(clip.id, clip.id)] = clip.path
    found.labels = dict.fromkeys(found.paths, "")
    found.sources.insert(0, f"{len(found.paths):,} videos" if found.paths else "no video")
    return found


def caption_files(place: Path) -> dict[str, Path]:
    """Part ("train", "val_1", "val_2") of ActivityNet Captions -> its JSON file, in or below a folder."""
    return {match[1].lower(): path for path, match in _files(place, ".json", "(?:.*[_-])?(train|val_1|val_2)")}


# Soomro, Zamir, Shah, CRCV-TR-12-01, 2012; Kuehne et al., ICCV 2011; Kay et al., 2017: 10 s each of videos on YouTube;
# Krishna et al., ICCV 2017: to train on.
KNOWN: dict[str, Known] = {known.name: known for known in (
    Known("ucf101", "UCF-101", 13_320, 101, "an index ucf101_dataset.json", _ucf101,
          "UCF-101/<class>/v_<class>_g01_c01.avi and ucfTrainTestlist/, or an index ucf101_dataset.json"),
    Known("hmdb51", "HMDB-51", 6_766, 51, "testTrainMulti_7030_splits/<class>_test_split1.txt", _hmdb51,
          "<class>/<clip>.avi and testTrainMulti_7030_splits/, or an index hmdb51_dataset.json"),
    Known("kinetics400", "Kinetics-400", 306_245, 400,
          "the annotation CSVs (label,youtube_id,time_start,time_end,split)", _kinetics400,
          "{train,val,test}/<class>/<youtube id>_000010_000020.mp4 and the annotation CSVs, or the CSVs alone"),
    Known("activitynet-captions", "ActivityNet Captions", 14_926, 0, "train.json and val_1.json", _activitynet,
          "train.json, val_1.json, val_2.json and videos v_<id>.mp4, or the JSON files alone"),
)}  # fmt: skip
