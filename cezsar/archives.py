"""Zip archives from strangers: of runs, of NumPy, of torch. What they may ask for is known before they are unpacked."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MOST_MEMBERS = 10_000
MOST_DIRECTORY = 1000 * MOST_MEMBERS  # bytes of the list of members, which is read as a whole
MOST_PROGRAM = 16_000_000  # bytes of the pickle in a file of tensors; those of large models have a tenth
MOST_WORD = 100  # characters of a word in it that comes again

_RECORD = re.compile(r"([^/]+)/(data\.pkl|data/\d+|\.data/\w+|\.?(?!data)[a-z_]+)")  # what torch.save writes
_NAMES = re.compile(  # of what state dicts are made; torch's own list has more, some of which take any memory
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch\.nn\.parameter Parameter"
    r"|torch (\w+Storage|Size|[a-z]\w*)|argparse Namespace"
)
_SHORT = ("GLOBAL", "BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Bytes of the list of members, and where it begins, as the end of an archive tells them. zipfile itself reads all
    of the list before anybody can ask how long it is, and has no public way to its end."""
    end: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    return (end[5], end[6]) if end else (0, 0)  # of the record in the format's own order


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive of at most `MOST_MEMBERS` members, all stored or deflated. A member may be larger than it says: read
    it in pieces, and it ends where it said. Raises `OSError`, `BadZipFile`, `ValueError`, and what `zipfile` does."""
    with path.open("rb") as file:
        if _directory(file)[0] > MOST_DIRECTORY:
            raise ValueError(f"it has a list of members of more than {MOST_DIRECTORY:,} bytes")
        with zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > MOST_MEMBERS:
                raise ValueError(f"it has {len(archive.infolist()):,} members, and at most {MOST_MEMBERS:,} are read")
            if any(one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for one in archive.infolist()):
                raise ValueError("it is packed in an unusual way; pack it with deflate, as most programs do")
            yield archive


def check_tensors(path: Path, names: Collection[str] = ()) -> None:
    """Raise `ValueError` for a file of which `torch.load(weights_only=True)` might make more than its own size and some
    hundred bytes for each byte of its pickle. `names` are what it may name besides tensors."""
    try:
        _check_records(path, names)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is damaged ({error})") from error


def _check_records(path: Path, names: Collection[str]) -> None:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip archive, as torch.save writes since torch 1.6; save it anew with a later one")
    with opened(path) as archive:
        assert archive.fp is not None
        members, (_, begins) = archive.infolist(), _directory(archive.fp)
        found = {one.filename: _RECORD.fullmatch(one.filename) for one in members}
        if strange := [name for name, match in found.items() if not match]:
            raise ValueError(f"it holds {strange[0]!r}, which torch.save does not write among tensors")
        stored = all(one.compress_type == 0 and one.compress_size == one.file_size for one in members)
        if not stored or sum(one.file_size for one in members) > path.stat().st_size:
            raise ValueError("it is compressed, which torch.save does not do")
        folders = {match[1] for match in found.values() if match}
        # torch finds the list of members where the file says that it is, zipfile where it must be
        if len(folders) != 1 or len(found) < len(members) or begins != archive.start_dir:
            raise ValueError("it is more than one archive in one file")
        program = archive.getinfo(f"{folders.pop()}/data.pkl")
        if program.file_size > MOST_PROGRAM:
            raise ValueError(f"its pickle has {program.file_size:,} bytes, and at most {MOST_PROGRAM:,} are read")
        _check_program(archive.read(program), names)


def _check_program(program: bytes, names: Collection[str]) -> None:
    """Whether a pickle names nothing but parts of tensors, and uses nothing twice that could be long: then what it
    makes grows with its length, and not with the square of it."""
    before, kept = "", dict[int, str]()
    steps: Iterator[tuple[Any, Any, Any]] = pickletools.genops(program)
    for operation, argument, _ in steps:
        name = operation.name
        if name == "GLOBAL" and not _NAMES.fullmatch(argument) and (told := argument.replace(" ", ".")) not in names:
            raise ValueError(f"it names {told}, which no file of tensors does; nothing of it was run")
        if name in ("BINPUT", "LONG_BINPUT"):
            kept[argument] = before
            continue
        if name in ("BINGET", "LONG_BINGET"):
            name = kept.get(argument, "")
            if name not in _SHORT:
                raise ValueError("it uses one of its parts twice, which no file of tensors does")
        elif name == "BINUNICODE" and len(argument) > MOST_WORD:
            name = ""
        before = name


def load_tensors(path: Path, names: Collection[str] = ()) -> Any:
    """What `torch.save` wrote, of tensors, plain values and `names`, for which `torch.serialization.safe_globals` has
    stand-ins. Raises the system's `OSError`, and `ValueError` for whatever else is wrong with it."""
    import torch

    check_tensors(path, names)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # damage shows itself in many ways
        raise ValueError(str(error) or type(error).__name__) from error
