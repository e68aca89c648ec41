"""Class names: which spellings mean the same class, and lists of them that people type or keep in files."""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cezsar.data.documents import is_unicode, parse_json, read_text
from cezsar.errors import FormatError, InputError

MAX_LABEL_CHARACTERS = 1000
"""A description of a class is a sentence or two; anything longer is a list without its separators."""

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
    return _distinct([name for name in names if name])


def read_label_list(path: str | Path) -> list[str]:
    """Class names from a text file, one to a line, as the label maps of UCF-101, HMDB-51 and Kinetics have them.

    Raises:
        InputError: there is no such file.
        FormatError: it is not UTF-8, is empty, or has a class twice.
    """
    names = [" ".join(line.split()) for line in read_text(path).splitlines()]
    try:
        labels = _distinct([name for name in names if name])
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error
    if labels.repeated:
        raise FormatError(f"{path} has a class twice, maybe in two spellings: {labels.repeated[0]!r}; keep one")
    return labels.names


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
