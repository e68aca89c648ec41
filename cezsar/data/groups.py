"""Hard groups of one's own: named sets of classes that are easily taken for each other, kept in the workspace.

The file is a JSON object, name -> class names, as the demo's `hard_groups.json` is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.data.documents import is_unicode, read_json_object
from cezsar.data.labels import MAX_LABEL_CHARACTERS, canonical
from cezsar.errors import FormatError, InputError

Groups = dict[str, list[str]]

MAX_NAME_CHARACTERS = 60

_writing = threading.Lock()  # two sessions of one app may change the file at the same moment


def groups_path(home: str | Path | None = None) -> Path:
    """Where one's own groups are kept in the workspace. The file need not exist yet."""
    return workspace.folder("data", home) / "hard_groups.json"


def load_groups(path: str | Path) -> Groups:
    """Groups of a file in its order; none where there is no file.

    Raises:
        FormatError: it is no JSON object of lists of class names, or one of its groups cannot be used.
    """
    if not Path(path).exists():
        return {}
    value = read_json_object(path)
    for name, classes in value.items():
        if not isinstance(classes, list) or not all(isinstance(entry, str) for entry in classes):
            raise FormatError(f"{path}: group {name!r} should be a list of class names; correct it there")
    try:
        return checked(value)
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error


def save_groups(path: str | Path, groups: Mapping[str, Sequence[str]]) -> None:
    """Write all groups, whole or not at all.

    Raises:
        InputError: a group cannot be used; see `checked`.
    """
    write_json(path, checked(groups))


def keep_group(path: str | Path, name: str, classes: Sequence[str], *, instead_of: str | None = None) -> None:
    """Add a group, or put it in the place of the group `instead_of`, whose name it may change.

    Raises:
        InputError: the group cannot be used, another one has its name, or `instead_of` has gone.
        FormatError: the file is damaged; it is left as it is.
    """
    with _writing:
        groups = load_groups(path)
        if instead_of is None:
            entries = [*groups.items(), (name, list(classes))]
        elif instead_of in groups:
            entries = [(name, list(classes)) if old == instead_of else (old, groups[old]) for old in groups]
        else:
            raise InputError(f"there is no group {instead_of!r} any more; keep it as a new one")
        if [canonical(other) for other, _ in entries].count(canonical(name)) > 1:
            raise InputError(f"there is a group {name!r} already; choose another name")
        save_groups(path, dict(entries))


def remove_group(path: str | Path, name: str) -> None:
    """Take one group out; nothing happens if it has gone.

    Raises:
        FormatError: the file is damaged; it is left as it is.
    """
    with _writing:
        groups = load_groups(path)
        if groups.pop(name, None) is not None:
            save_groups(path, groups)


def checked(groups: Mapping[str, Sequence[str]]) -> Groups:
    """The groups with spaces around names taken away.

    Raises:
        InputError: a name that is empty, too long, not valid Unicode or given twice in whatever spelling, or a group of
            fewer than two different classes.
    """
    found: Groups = {}
    for name, classes in groups.items():
        title = _name(name, MAX_NAME_CHARACTERS)
        if canonical(title) in {canonical(other) for other in found}:
            raise InputError(f"two groups are named {title!r}; give one of them another name")
        members: dict[str, str] = {}
        for entry in classes:
            members.setdefault(canonical(entry), _name(entry, MAX_LABEL_CHARACTERS))
        if len(members) < 2:
            raise InputError(f"group {title!r} has fewer than two classes; choose at least two")
        found[title] = list(members.values())
    return found


def _name(text: str, most: int) -> str:
    name = " ".join(text.split())
    if not name or not is_unicode(name):
        raise InputError("a name of a group or class is empty or no text; write one")
    if len(name) > most:
        raise InputError(f"the name {name[:40]!r}... has {len(name):,} characters; at most {most:,} are possible")
    return name
