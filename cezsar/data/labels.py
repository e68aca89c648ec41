"""Class names: which spellings mean the same class, and lists of them that people type or keep in files."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from cezsar.data.documents import decoded_file, is_unicode, parse_json
from cezsar.errors import FormatError, InputError

MAX_LABEL_CHARACTERS = 1000
"""A description of a class is a sentence or two; anything longer is a list without its separators."""

NAME_COLUMNS = ("name", "label", "class")
_NUMBER_FIRST = re.compile(r"(?P<number>\d+)[\s:,.)]+(?P<name>.*\S)")
_NUMBER_LAST = re.compile(r"(?P<name>\S.*?)[\s:,]+(?P<number>\d+)")
_JSON_LIST = re.compile(r'\s*\[\s*["\]]')  # "[sport] hurling" is a label, not JSON
_IGNORED = re.compile(r"[\s_\-()\[\],.'’]+")
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


def canonical(name: str) -> str:
    """The key under which spellings of one class meet: lower case, without spaces and underscores.

    "HandStandPushups", "Handstand Pushups" and "handstand_pushups" are one. So that "hurling (sport)" meets
    "hurling_sport", hyphens, brackets, commas, full stops and apostrophes are dropped too, unless nothing is left then.
    """
    folded = unicodedata.normalize("NFC", name).casefold().strip()
    return _IGNORED.sub("", folded) or folded


def spoken(name: str) -> str:
    """A class name as words, for a sentence encoder: "HandStandPushups" -> "hand stand pushups"."""
    return " ".join(_WORD_STARTS.sub(" ", name).split()).lower()


class Labels(NamedTuple):
    """Distinct labels in the order given, and those that were given again and are kept once."""

    names: list[str]
    repeated: list[str]


def parse_labels(text: str) -> Labels:
    """Labels typed as "a, b, c" or one to a line, or a JSON list; a label with a comma goes between double quotes.

    Spaces around a label and runs of spaces within it do not count; control characters are taken for spaces; empty
    entries are passed over. Labels that differ only in spelling (see `canonical`) are one: the first is kept. One label
    is enough, thousands are no problem.

    Raises:
        InputError: no label at all, one longer than `MAX_LABEL_CHARACTERS`, text that is not valid Unicode, or a quote
            that is never closed.
        FormatError: a JSON list that is not valid, or holds something else than text.
    """
    if not is_unicode(text):
        raise InputError("the labels hold bytes that are not UTF-8; type them again, or set the terminal to UTF-8")
    if _JSON_LIST.match(text):
        return _distinct([" ".join(entry.split()) for entry in _json_strings(text)])
    cleaned = "".join(" " if _is_control(c) else c for c in text)
    entries: list[str] = []
    for line in cleaned.splitlines():
        try:
            for row in csv.reader([line], skipinitialspace=True, strict=True):
                entries += row
        except csv.Error as error:
            raise InputError(
                f"the labels {line.strip()[:60]!r} cannot be told apart ({error}): check the quotes, and "
                'put a label with a comma in double quotes: "reach, grasp"'
            ) from error
    names = [" ".join(entry.split()) for entry in entries]
    return _distinct(without_numbers([name for name in names if name]))


def read_label_list(path: str | Path) -> list[str]:
    """Class names from a text file, one to a line, as the label maps of UCF-101, HMDB-51 and Kinetics have them.

    UTF-8, UTF-16 or cp1252. Numbers before or after all names are left out, see `without_numbers`; a `.csv` has its
    names in the column "name", "label" or "class".

    Raises:
        InputError: there is no such file.
        FormatError: it is no text, is empty, has a class twice, or is a CSV without such a column.
    """
    text, lines = decoded_file(path), []
    if Path(path).suffix.lower() == ".csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        columns = {str(column).strip().lower(): column for column in (rows[0] if rows else {})}
        chosen = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
        if chosen is None:
            raise FormatError(
                f"{path}: its first line should name a column {', '.join(NAME_COLUMNS[:-1])} or {NAME_COLUMNS[-1]}, "
                f"it names {', '.join(columns) or 'none'}"
            )
        lines = [row[chosen] or "" for row in rows]
    else:
        lines = text.splitlines()
    names = [" ".join(line.split()) for line in lines]
    try:
        labels = _distinct(without_numbers([name for name in names if name]))
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error
    if labels.repeated:
        raise FormatError(f"{path} has a class twice, maybe in two spellings: {labels.repeated[0]!r}; keep one")
    return labels.names


def without_numbers(names: Sequence[str]) -> list[str]:
    """Names without the class numbers that label maps have: "1 ApplyEyeMakeup", "Archery 2".

    Numbers are left out where every name has one at the same end, they count up by one from 0 or 1, and the names
    without them differ. So a list with "10 pin bowling" in it stays as it is, and so do "step 1, step 2".
    """
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        found = [match for name in names if (match := pattern.fullmatch(name))]
        bare = [match["name"] for match in found]
        if len(bare) == len(names) == len({canonical(name) for name in bare}) and _counts_up(
            [int(match["number"]) for match in found]
        ):
            return bare
    return list(names)


def numbered(content: Mapping[str, Any]) -> list[str] | None:
    """The names of a class index, `{"0": name}` or `{name: 0}`, in the order of the numbers; None if it is none."""
    if all(key.isdecimal() and isinstance(name, str) for key, name in content.items()):
        keys = sorted(content, key=int)
        return [content[key] for key in keys] if _counts_up([int(key) for key in keys]) else None
    if all(type(number) is int for number in content.values()):
        names = sorted(content, key=content.__getitem__)
        return names if _counts_up([content[name] for name in names]) else None
    return None


def _counts_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2, ... or 1, 2, 3, ..., as numbers of classes are."""
    return bool(numbers) and numbers[0] in (0, 1) and all(b == a + 1 for a, b in pairwise(numbers))


def resolve(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """For each name the one of `known` that it spells.

    Raises:
        InputError: some name is none of them; the message offers the nearest.
    """
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


def _json_strings(text: str) -> list[str]:
    entries = parse_json(text, "the labels")
    for entry in entries:
        if not isinstance(entry, str):
            raise FormatError(f'the labels: {repr(entry)[:60]} is no name; give a list of texts, such as ["a", "b"]')
    return [entry for entry in entries if entry.strip()]


def _is_control(character: str) -> bool:
    """Control characters and invisible marks that come along with pasted text; ends of lines are kept."""
    return character in "\ufeff\u200b" or (unicodedata.category(character) == "Cc" and character not in "\r\n")


def _distinct(names: list[str]) -> Labels:
    if not names:
        raise InputError('no label is given; write at least one, such as "juggling, playing chess"')
    first: dict[str, str] = {}
    repeated: dict[str, None] = {}
    for name in names:
        if len(name) > MAX_LABEL_CHARACTERS:
            raise InputError(
                f"the label {name[:40]!r}... has {len(name):,} characters, at most {MAX_LABEL_CHARACTERS:,} are "
                "possible; put commas between labels"
            )
        key = canonical(name)
        if key in first:
            repeated[first[key]] = None
        first.setdefault(key, name)
    return Labels(list(first.values()), list(repeated))
