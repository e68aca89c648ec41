"""HMDB-51 (Kuehne et al., ICCV 2011): 6,766 clips of 51 classes.

Names of clips begin with all sorts of characters (`#122_...`, `(2)_...`); an id is the name without `.avi`. Each class
has three official lists: 70 clips to train on (1), 30 to test on (2), and the rest, used for neither (0).
"""

from __future__ import annotations

import re
from pathlib import Path

from cezsar.data.documents import read_text
from cezsar.data.layout import Contents, Known, files_in, index_in, videos_in
from cezsar.errors import FormatError

_LIST = re.compile(r"(.+)_test_split([123])", re.I)
_PART = {"1": "train", "2": "test"}


def read(place: Path) -> Contents:
    """`<class>/<id>.avi` and `testTrainMulti_7030_splits/<class>_test_split1.txt`, or an index `{class: [ids]}`."""
    contents = Contents()
    clips = videos_in(place)
    contents.paths = {clip.id: clip.path for clip in clips}
    contents.labels = {clip.id: clip.label for clip in clips} or index_in(place)
    lists = 0
    for path in files_in(place, ".txt"):
        if match := _LIST.fullmatch(path.stem):
            lists += 1
            for id, mark in _official(path).items():
                contents.listed.setdefault(id, match[1])
                if mark in _PART:
                    contents.parts.setdefault(_PART[mark] + match[2], []).append(id)
    index = f"an index of {len(contents.labels):,} clips, no video" if contents.labels else "no video"
    contents.sources = [f"{len(clips):,} videos" if clips else index]
    contents.sources += [f"{lists} official lists, of {3 * KNOWN.classes}"] if lists else []
    return contents


def _official(path: Path) -> dict[str, str]:
    """Clip id -> "0", "1" or "2", from lines `<id>.avi 1`."""
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name, _, mark = line.strip().rpartition(" ")
        if line.strip() and (mark not in ("0", "1", "2") or not name.strip()):
            raise FormatError(f"{path}, line {number}: {line[:60]!r} should be a clip and 0, 1 or 2; correct it")
        if line.strip():
            found[name.strip().removesuffix(".avi")] = mark
    return found


KNOWN = Known(
    name="hmdb51",
    title="HMDB-51",
    clips=6_766,
    classes=51,
    layout="<class>/<clip>.avi and testTrainMulti_7030_splits/, or an index hmdb51_dataset.json",
    lists="testTrainMulti_7030_splits/<class>_test_split1.txt",
    read=read,
)
