"""Which clips there are: a folder of videos, a folder of class folders, or a CSV manifest.

An id is the file name without its suffix, or what the CSV says; where two clips share it, their paths from the folder;
where they share that, too, with their suffixes. Names are kept in Unicode form NFC; other bytes appear as \\xNN.
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from cezsar.data.documents import enumerated, printable, read_text
from cezsar.errors import FormatError, InputError

VIDEO_SUFFIXES = frozenset([  # other files in folders are passed over; a CSV may name any file
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v",
    ".m2p", ".vob", ".mod", ".ts", ".mts", ".m2ts", ".m2t", ".tod", ".trp", ".wmv", ".asf", ".flv", ".f4v", ".3gp",
    ".3gpp", ".3g2", ".mj2", ".ogv", ".ogm", ".mxf", ".dv", ".dif", ".gif", ".mjpeg", ".mjpg", ".y4m", ".h264",
    ".264", ".avc", ".h265", ".265", ".hevc", ".ivf", ".obu",
])  # fmt: skip
SHOWN = 5  # names that a message lists before it only counts


@dataclass(frozen=True)
class Clip:
    """A video file, the id under which its features are kept, and its class name ("" when unknown)."""

    path: Path
    id: str
    label: str = ""


def read_source(source: str | Path) -> list[Clip]:
    """The clips of a folder, a CSV or a single video, in an order that depends on names alone. Raises `InputError`
    where there is no video, files that the CSV names are missing, or an id comes twice; `FormatError` names the
    line."""
    path = Path(source).expanduser()
    shown, suffix = printable(str(path)), path.suffix.lower()
    if path.is_dir():
        if clips := clips_in(path):
            return clips
        others = "; ".join(["", passed_over(path)]).rstrip("; ")
        raise InputError(f"{shown} holds no video file (.mp4, .avi, .webm, .mkv ...); check the path{others}")
    if path.exists() and suffix in VIDEO_SUFFIXES:
        return [Clip(path, _name(path.stem))]
    if path.exists() and suffix in (".csv", ".tsv", ".txt"):
        return _read_csv(path)
    wrong = "is neither a folder, nor a CSV, nor a video file" if path.exists() else "does not exist"
    raise InputError(f"{shown} {wrong}; give a folder of videos or a CSV (path,id,label)")


def clips_in(folder: Path) -> list[Clip]:
    """The clips in and below a folder; none is no error."""
    files = [file for file in files_in(folder) if file.suffix.lower() in VIDEO_SUFFIXES]
    inside = [file.relative_to(folder) for file in files]
    names = [(_name(path.stem), _name(str(path.with_suffix(""))), _name(str(path))) for path in inside]
    taken = [Counter(column) for column in zip(*names, strict=True)]
    ids = [next((id for id, uses in zip(each, taken, strict=True) if uses[id] == 1), each[-1]) for each in names]
    return [Clip(file, id, _name(path.parent.name)) for file, id, path in zip(files, ids, inside, strict=True)]


def passed_over(folder: Path, taken: Set[str] = VIDEO_SUFFIXES, kind: str = "video") -> str:
    """How many files in and below a folder have none of the suffixes that are `taken`, in words; "" when there are
    none. By default those that `read_source` takes for no video."""
    suffixes = (file.suffix.lower() for file in files_in(folder))
    others = Counter(suffix or "no ending" for suffix in suffixes if suffix not in taken)
    kinds = enumerated((f"{printable(suffix)} {count:,}" for suffix, count in others.most_common()), SHOWN)
    files = "file" if others.total() == 1 else "files"
    told = f"{others.total():,} {files} passed over, no {kind} by their names ({kinds})"
    return f"{printable(str(folder))}: {told}" if others else ""


def files_in(folder: Path) -> list[Path]:
    """Files in and below `folder` but hidden ones, sorted; links to folders are followed, each folder once."""
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
        else:
            found += (Path(parent, name) for name in files if not name.startswith("."))
        seen.add(real)
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", printable(text)).strip()


def _read_csv(path: Path) -> list[Clip]:
    text = read_text(path)
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=header.count)  # spreadsheets of many countries write semicolons
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    clips, lines = dict[str, Clip](), dict[str, int]()
    try:
        reader.fieldnames = columns = [name.strip().lower() for name in reader.fieldnames or []]
        if "path" not in columns or any(columns.count(name) > 1 for name in ("path", "id", "label")):
            advice = "a manifest's first line names them: path,id,label (id and label may be left out)"
            raise FormatError(f"{path}, line 1: the columns are {columns}; {advice}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                advice = "put quotes around a value that has a comma in it"
                raise FormatError(f"{where}: more or less values than the {len(columns)} columns {columns}; {advice}")
            values = {name: value.strip() for name, value in row.items()}
            if not any(values.values()):
                continue
            if not values["path"] or "\0" in "".join(values.values()):
                raise FormatError(f"{where}: the path is empty, or a zero byte; fill it in or remove the line")
            file = path.parent / Path(values["path"]).expanduser()
            id = _name(values.get("id") or file.stem)
            if id in lines:
                again = f"id {id!r} is on line {lines[id]} and again on line {reader.line_num}"
                raise InputError(f"{path}: {again}; keep one")
            clips[id], lines[id] = Clip(file, id, _name(values.get("label", ""))), reader.line_num
    except csv.Error as error:
        raise FormatError(
            f"{path}, line {reader.reader.line_num}: not valid CSV ({error}); check the quotes"
        ) from error
    if not clips:
        raise InputError(f"{path} names no clip; write one line for each below the header")
    if missing := [str(clip.path) for clip in clips.values() if not os.path.isfile(clip.path)]:  # noqa: PTH113 (never raises)
        what = f"{len(missing):,} of {len(clips):,} files are missing: {enumerated(missing, SHOWN)}"
        raise InputError(f"{path}: {what}; correct these lines (a relative path counts from the manifest's folder)")
    return list(clips.values())
