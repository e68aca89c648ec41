"""Class names: spellings of one class, lists that people type or keep in files, splits, indexes, hard groups."""

from __future__ import annotations

import csv
import difflib
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.data.documents import decoded_file, is_unicode, parse_json, read_json_object, read_table
from cezsar.errors import FormatError, InputError

MAX_LABEL_CHARACTERS = 1000  # a description is a sentence or two; anything longer is a list without its separators
MAX_NAME_CHARACTERS = 60  # of the name of a group
NAME_COLUMNS = ("name", "label", "class")
_NUMBER_FIRST = re.compile(r"(?P<number>\d{1,9})[\s:,.)]+(?P<name>.*\S)")
_NUMBER_LAST = re.compile(r"(?P<name>\S.*?)[\s:,]+(?P<number>\d{1,9})")
_JSON_LIST = re.compile(r'\s*\[\s*["\]]')  # "[sport] hurling" is a label, not JSON
_IGNORED = re.compile(r"[\s_\-()\[\],.'’]+")
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


def canonical(name: str) -> str:
    """The key under which spellings of one class meet: "HandStandPushups" and "handstand pushups", "hurling (sport)"
    and "hurling_sport". What is dropped stays where nothing else is left."""
    folded = unicodedata.normalize("NFC", name).casefold().strip()
    return _IGNORED.sub("", folded) or folded


def spoken(name: str) -> str:
    """A class name as words, for a sentence encoder: "HandStandPushups" -> "hand stand pushups"."""
    return " ".join(_WORD_STARTS.sub(" ", name).split()).lower()


def distinct(names: Iterable[str]) -> list[str]:
    """The names, each class once, as it is spelt first."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(canonical(name), name)
    return list(first.values())


def resolve(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """For each name the one of `known` that it spells, or an `InputError` that offers the nearest."""
    by_key = {canonical(name): name for name in known}
    resolved = []
    for name in names:
        key = canonical(name)
        if key not in by_key:
            near = difflib.get_close_matches(key, by_key, n=1)
            hint = f"did you mean {by_key[near[0]]!r}?" if near else f"known are {', '.join(known[:5])} ..."
            raise InputError(f"{name!r} is none of the {len(known):,} classes; {hint}")
        resolved.append(by_key[key])
    return resolved


class Labels(NamedTuple):
    names: list[str]  # distinct, in the order given
    repeated: list[str]  # those of them that were given again and are kept once


def parse_labels(text: str) -> Labels:
    """Labels typed as "a, b, c" or one to a line, a table with a column of names, or a JSON list; a label with a comma
    goes between double quotes. Of spellings of one the first is kept. Raises `InputError` where none can be used."""
    if not is_unicode(text):
        raise InputError("the labels hold bytes that are not UTF-8; type them again, or set the terminal to UTF-8")
    if _JSON_LIST.match(text):
        entries = parse_json(text, "the labels")
        if wrong := [entry for entry in entries if not isinstance(entry, str)]:
            raise FormatError(f'the labels: {wrong[0]!r:.60} is no name; give a list of texts, such as ["a", "b"]')
        return _labels(entries)
    cleaned = "".join(" " if is_invisible(c) else c for c in text)
    if "," in cleaned.partition("\n")[0] and (column := _name_column(cleaned, "the labels")):
        return _labels(column)
    entries = []
    for line in cleaned.splitlines():
        try:
            entries += next(csv.reader([line], skipinitialspace=True, strict=True), [])
        except csv.Error as error:
            advice = 'check the quotes, and put a label with a comma in double quotes: "reach, grasp"'
            raise InputError(f"the labels {line.strip()[:60]!r} cannot be told apart ({error}): {advice}") from error
    return _labels(without_numbers(entries))


def read_label_list(path: str | Path) -> list[str]:
    """Class names from a text file, one to a line, in UTF-8, UTF-16 or cp1252, without class numbers
    (`without_numbers`); a `.csv` has its names in one of `NAME_COLUMNS`. `FormatError` where it has none, or a class
    twice."""
    text = decoded_file(path)
    lines = _name_column(text, path) if Path(path).suffix.lower() == ".csv" else text.splitlines()
    if lines is None:
        told = f"it names {text.partition(chr(10))[0].strip() or 'none'}"
        raise FormatError(f"{path}: its first line should name a column name, label or class, {told}")
    try:
        labels = _labels(without_numbers(lines))
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error
    if labels.repeated:
        raise FormatError(f"{path} has a class twice, maybe in two spellings: {labels.repeated[0]!r}; keep one")
    return labels.names


def without_numbers(entries: Iterable[str]) -> list[str]:
    """Names without the class numbers of label maps ("1 ApplyEyeMakeup", "Archery 2"): where every name has one at the
    same end, they count up from 0 or 1, and the names without them differ, unlike "step 1, step 2"."""
    names = [name for entry in entries if (name := " ".join(entry.split()))]
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        found = [match for name in names if (match := pattern.fullmatch(name))]
        bare = [match["name"] for match in found]
        if len(bare) == len(names) == len(distinct(bare)) and _counts_up([int(match["number"]) for match in found]):
            return bare
    return names


def numbered(content: Mapping[str, Any]) -> list[str] | None:
    """The names of a class index, `{"0": name}` or `{name: 0}`, in the order of the numbers; None if it is none."""
    if all(key.isdecimal() and len(key) < 10 and isinstance(name, str) for key, name in content.items()):
        pairs = sorted((int(key), name) for key, name in content.items())
    elif all(type(number) is int for number in content.values()):
        pairs = sorted((number, name) for name, number in content.items())
    else:
        return None
    return [name for _, name in pairs] if _counts_up([number for number, _ in pairs]) else None


def is_invisible(character: str) -> bool:
    """Control characters and invisible marks that come along with pasted text; ends of lines are none."""
    return character in "\ufeff\u200b" or (unicodedata.category(character) == "Cc" and character not in "\r\n")


def _counts_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2, ... or 1, 2, 3, ..., as numbers of classes are."""
    first = numbers[0] if numbers else -1
    return first in (0, 1) and list(numbers) == list(range(first, first + len(numbers)))


def _name_column(text: str, source: str | Path) -> list[str] | None:
    """The column of names of a CSV table; None if its first line names none, or there is no other."""
    named, rows = read_table(text, source)
    columns = {column.strip().lower(): column for column in named}
    chosen = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    return None if chosen is None or not rows else [row[chosen] or "" for _, row in rows]


def _labels(entries: Iterable[str]) -> Labels:
    """Entries as labels, spaces put right, each class once."""
    names = [name for entry in entries if (name := " ".join(entry.split()))]
    for name in names:
        if len(name) > MAX_LABEL_CHARACTERS:
            most = f"at most {MAX_LABEL_CHARACTERS:,} are possible; put commas between labels"
            raise InputError(f"the label {name[:40]!r}... has {len(name):,} characters, {most}")
    if not names:
        raise InputError('no label is given; write at least one, such as "juggling, playing chess"')
    counts = Counter(map(canonical, names))
    first = distinct(names)
    return Labels(first, [name for name in first if counts[canonical(name)] > 1])


def load_split(path: str | Path) -> dict[str, list[str]]:
    """A split file `{"training": [class names], "testing": [class names]}`; other parts are read the same way. Of two
    spellings in one part the first is kept; a class in two parts stays in both, as in the published hard-15 file."""
    split = _read_lists(path, "class names")
    if not split.get("testing"):
        raise FormatError(f'{path} names no class to test; a split has {{"training": [...], "testing": [...]}}')
    return {part: distinct(names) for part, names in split.items()}


def shared_classes(split: Mapping[str, Sequence[str]]) -> list[str]:
    """The classes of "testing" that are in "training" too: a model trained with this split has seen them."""
    seen = {canonical(name) for name in split.get("training", [])}
    return [name for name in split.get("testing", []) if canonical(name) in seen]


def load_index(path: str | Path) -> dict[str, list[str]]:
    """A data set index `{class name: [video ids]}`; `FormatError` where it is empty, or has a class or id twice."""
    index = _read_lists(path, "video ids")
    if not index:
        raise FormatError(f"{path} is empty; an index has {{class name: [video ids]}}")
    classes, owners = dict[str, str](), dict[str, str]()
    for name, ids in index.items():
        if (other := classes.setdefault(canonical(name), name)) != name:
            raise FormatError(f"{path}: {other!r} and {name!r} spell one class; join them")
        for id in ids:
            if id in owners:
                raise FormatError(f"{path}: video {id!r} is in {owners[id]!r} and again in {name!r}; keep one")
            owners[id] = name
    return index


def _read_lists(path: str | Path, what: str) -> dict[str, list[str]]:
    lists = read_json_object(path)
    for key, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
            raise FormatError(f"{path}: {key!r} should be a list of {what}, none of them empty; correct it")
    return {key: [value.strip() for value in values] for key, values in lists.items()}


Groups = dict[str, list[str]]  # hard groups: named sets of classes that are easily taken for each other
_writing = threading.Lock()  # two sessions of one app may change the file at the same moment


def groups_path(home: str | Path | None = None) -> Path:
    """Where one's own groups are kept in the workspace. The file need not exist yet."""
    return workspace.folder("data", home) / "hard_groups.json"


def load_groups(path: str | Path) -> Groups:
    """Groups of a JSON file `{name: [class names]}`, in order; none where there is no file. Raises `FormatError`."""
    lists = _read_lists(path, "class names") if Path(path).exists() else {}
    try:
        return _usable(lists.items())
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error


def keep_group(path: str | Path, name: str, classes: Sequence[str], *, instead_of: str | None = None) -> None:
    """Add a group, or put it in the place of the group `instead_of`, whose name it may change. Raises `InputError`
    where the group cannot be used, another one has its name, or `instead_of` has gone."""
    with _writing:
        groups = list(load_groups(path).items())
        if instead_of is not None and instead_of not in dict(groups):
            raise InputError(f"there is no group {instead_of!r} any more; keep it as a new one")
        entries = [(name, classes) if old == instead_of else (old, members) for old, members in groups]
        write_json(path, _usable(entries if instead_of is not None else [*entries, (name, classes)]))


def remove_group(path: str | Path, name: str) -> None:
    """Take one group out; nothing happens if it has gone."""
    with _writing:
        if name in (groups := load_groups(path)):
            write_json(path, {other: members for other, members in groups.items() if other != name})


def _usable(groups: Iterable[tuple[str, Sequence[str]]]) -> Groups:
    """The groups with spaces put right. Raises `InputError`."""
    found: Groups = {}
    for name, classes in groups:
        title, *members = (" ".join(text.split()) for text in (name, *classes))
        members = distinct(members)
        usable = len(title) <= MAX_NAME_CHARACTERS and all(text and is_unicode(text) for text in (title, *members))
        if not usable or len(members) < 2:
            must = f"it needs a name of at most {MAX_NAME_CHARACTERS} characters and at least two classes"
            raise InputError(f"the group {title[:40]!r} cannot be used: {must}, none of them empty")
        if canonical(title) in map(canonical, found):
            raise InputError(f"there is a group {title!r} already; choose another name")
        found[title] = members
    return found
