"""Data sets that people named: a list of names and places in the workspace, shared by the command line and the app."""

from __future__ import annotations

import re
from pathlib import Path

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError

_NAME = re.compile(r"[\w][\w .+@-]{0,59}")


def list_path(home: str | Path | None = None) -> Path:
    """Where the list is kept in the workspace: `data/datasets.json`. The file need not exist yet."""
    return workspace.folder("data", home) / "datasets.json"


def registered(home: str | Path | None = None) -> dict[str, str]:
    """Name -> folder, CSV or index, in the order in which they were named.

    Raises:
        FormatError: the list is damaged; the message names it.
    """
    path = list_path(home)
    if not path.is_file():
        return {}
    places = read_json_object(path)
    for name, place in places.items():
        if not isinstance(place, str) or not place.strip():
            raise FormatError(f"{path}: {name!r} should have the path of a data set; correct or remove it")
    return places


def remember(name: str, place: str | Path, home: str | Path | None = None) -> None:
    """Add a name to the list. Whether a data set is at that place is for the caller to check.

    Raises:
        InputError: the name cannot be one, or is taken.
        FormatError: the list is damaged; it is left as it is.
    """
    name, known = checked_name(name), registered(home)
    if name in known or name == "demo":
        raise InputError(f"there is a data set {name!r} already; choose another name")
    write_json(list_path(home), known | {name: str(Path(place).expanduser().absolute())})


def forget(name: str, home: str | Path | None = None) -> bool:
    """Take a name off the list; its files stay. Returns whether it was there."""
    known = registered(home)
    if there := name in known:
        write_json(list_path(home), {other: place for other, place in known.items() if other != name})
    return there


def checked_name(name: str) -> str:
    """A name that can be a file's, without the spaces around it. Raises `InputError` with what is possible."""
    if not _NAME.fullmatch(name.strip()):
        raise InputError(f"{name.strip()[:40]!r} cannot be a name here; use letters, digits, spaces, and . + @ - _")
    return name.strip()
