"""UCF-101 (Soomro, Zamir, Shah: UCF101, CRCV-TR-12-01, 2012): 13,320 clips of 101 classes.

A clip's id is its file name, `v_<class>_g<group>_c<clip>`: clips of one group are cut from the same footage. Each class
has 25 groups, and the official test splits 1, 2 and 3 are groups 1-7, 8-14 and 15-21. So every id is known beforehand,
and a clip that is missing can be named without any list.
"""

from __future__ import annotations

import re
from pathlib import Path

from cezsar.data.documents import read_json_object, read_text
from cezsar.data.labels import canonical
from cezsar.data.layout import ASSETS, Contents, Known, files_in, index_in, videos_in
from cezsar.errors import FormatError

_LIST = re.compile(r"(train|test)list0([123])", re.I)
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
"""Official split -> the groups that are tested."""


def read(place: Path) -> Contents:
    """`UCF-101/<class>/<id>.avi` and `ucfTrainTestlist/*.txt`, or an index `{class: [ids]}`, in or below a folder."""
    contents = Contents(listed=every_clip())
    clips = videos_in(place)
    contents.paths = {clip.id: clip.path for clip in clips}
    contents.labels = {clip.id: clip.label for clip in clips} or index_in(place)
    lists = {}
    for path in files_in(place, ".txt"):
        if match := _LIST.fullmatch(path.stem):
            lists[match[1].lower() + match[2]] = _official(path)
    if not contents.labels:
        contents.labels = {id: label for part in lists.values() for id, label in part.items()}
    if not contents.labels:
        return Contents()
    contents.parts = official_parts(contents.listed)
    for part, ids in lists.items():
        if {id.casefold() for id in ids} != {id.casefold() for id in contents.parts[part]}:
            contents.warnings.append(f"list {part} names {len(ids):,} clips, {len(contents.parts[part]):,} expected")
        contents.parts[part] = list(ids)
    videos = f"{len(clips):,} videos" if clips else f"an index of {len(contents.labels):,} clips, no video"
    contents.sources = [videos, *([f"official lists {', '.join(sorted(lists))}"] if lists else [])]
    return contents


def every_clip() -> dict[str, str]:
    """Clip id -> class of all that were published, with the class as it is spelt in ids."""
    counts: dict[str, str] = read_json_object(ASSETS / "splits" / "ucf101-clips.json")["clips"]
    return {
        f"v_{label}_g{group:02}_c{clip:02}": label
        for label, groups in counts.items()
        for group, clips in enumerate(groups, start=1)
        for clip in range(1, int(clips) + 1)
    }


def official_parts(ids: dict[str, str]) -> dict[str, list[str]]:
    """The three official splits: "train1", "test1", ... -> clip ids, by the groups in the ids."""
    group = {id: int(id[-6:-4]) for id in ids}
    parts = {}
    for split, tested in TEST_GROUPS.items():
        parts[f"train{split}"] = [id for id in ids if group[id] not in tested]
        parts[f"test{split}"] = [id for id in ids if group[id] in tested]
    return parts


def _official(path: Path) -> dict[str, str]:
    """`Class/v_Class_g01_c01.avi`, in training lists with the number of the class behind it."""
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        label, slash, name = line.partition("/")
        if line.strip() and not (slash and canonical(label)):
            raise FormatError(f"{path}, line {number}: {line[:60]!r} should be Class/clip.avi; correct it")
        if line.strip():
            found[Path(name.split()[0]).stem] = label.strip()
    return found


KNOWN = Known(
    name="ucf101",
    title="UCF-101",
    clips=13_320,
    classes=101,
    layout="UCF-101/<class>/v_<class>_g01_c01.avi and ucfTrainTestlist/, or an index ucf101_dataset.json",
    lists="an index ucf101_dataset.json",
    read=read,
)
