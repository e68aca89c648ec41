"""Kinetics-400 (Kay et al., 2017): 306,245 clips of 400 classes, each 10 s of a video on YouTube.

Many of the videos have gone from there, so that every lab holds another part; the annotation CSVs name all of them. A
clip's id is its file name, `<youtube id>_<start>_<end>` with six digits each for the seconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from cezsar.data.documents import read_text
from cezsar.data.layout import Contents, Known, files_in, index_in, videos_in
from cezsar.errors import FormatError

_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


def read(place: Path) -> Contents:
    """`{train,val,test}/<class>/<id>.mp4` or videos in one folder, and the annotation CSVs.

    Their columns are `label,youtube_id,time_start,time_end,split`. The CSVs
    alone will do, and so will an index `{class: [ids]}`. Videos named by their YouTube id alone are found.
    """
    contents = Contents()
    part_of: dict[str, str] = {}
    used = []
    for path in files_in(place, ".csv"):
        rows = dict(_rows(path))
        contents.listed |= {id: label for id, (label, _) in rows.items()}
        part_of |= {id: part for id, (_, part) in rows.items() if part}
        used += [f"{path.name} with {len(rows):,} clips"] if rows else []
    clips = videos_in(place)
    contents.paths = {clip.id: clip.path for clip in clips}
    _take_short_names(contents, part_of)
    contents.labels = {clip.id: contents.listed.get(clip.id, clip.label) for clip in clips} or index_in(place)
    for id, part in part_of.items():
        contents.parts.setdefault(part, []).append(id)
    contents.sources = [f"{len(clips):,} videos" if clips else "no video", *used]
    return contents


def _take_short_names(contents: Contents, part_of: dict[str, str]) -> None:
    """Where a video is named by the YouTube id alone, the listed clip takes that name."""
    by_youtube_id = {id[:-14]: id for id in contents.listed}
    for name in contents.paths:
        if name not in contents.listed and (id := by_youtube_id.get(name)):
            contents.listed[name] = contents.listed.pop(id)
            if id in part_of:
                part_of[name] = part_of.pop(id)


def _rows(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
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
        part = next((part for word, part in _PARTS.items() if word == split or split.endswith(f"_{word}")), "")
        yield f"{(row['youtube_id'] or '').strip()}_{start_s:06}_{end_s:06}", ((row["label"] or "").strip(), part)


KNOWN = Known(
    name="kinetics400",
    title="Kinetics-400",
    clips=306_245,
    classes=400,
    layout="{train,val,test}/<class>/<youtube id>_000010_000020.mp4 and the annotation CSVs, or the CSVs alone",
    lists="the annotation CSVs (label,youtube_id,time_start,time_end,split)",
    read=read,
)
