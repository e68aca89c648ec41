"""Sentences that describe classes: what prototypes are made of.

| source | form |
|---|---|
| JSON | `{class name: sentence}` or `{class name: [sentences]}` |
| folder | one `.txt` for each class, named after it; each line with text is a sentence; UTF-8, UTF-16, cp1252 |
| `.txt` file | one class name to a line, as in a label map: the name itself, as words, is the description |
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cezsar import atomic
from cezsar.data.documents import parse_json, printable, read_json_object
from cezsar.data.labels import Labels, canonical, parse_labels, read_label_list, spoken
from cezsar.errors import FormatError, InputError

_JSON_OBJECT = re.compile(r'\s*\{\s*["}]')


def load_descriptions(path: str | Path) -> dict[str, list[str]]:
    """Class name -> its descriptions, at least one each, in the order of the file (of a folder: sorted by name).

    Raises:
        InputError: nothing there, or nothing of the three forms.
        FormatError: a class without a description or in two spellings, a file that is not text; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() == ".txt":
        return {name: [spoken(name)] for name in read_label_list(path)}
    if path.suffix.lower() != ".json" and path.exists():
        raise InputError(f"{path}: give a .json file, a folder of .txt files, or a .txt list of classes")
    return _of_object(path, read_json_object(path))


def parse_classes(text: str) -> tuple[Labels, dict[str, list[str]]]:
    """Classes as people type or paste them: names in any form that `parse_labels` reads, or a JSON object
    `{name: sentence or [sentences]}`; the second value holds the sentences, and is empty where only names are given.

    Raises:
        InputError: no class, or names that cannot be told apart.
        FormatError: JSON that is not valid, a class without a sentence or in two spellings.
    """
    if not _JSON_OBJECT.match(text):
        return parse_labels(text), {}
    descriptions = _of_object("the labels", parse_json(text, "the labels"))
    return Labels(list(descriptions), []), descriptions


def save_descriptions(path: str | Path, descriptions: Mapping[str, Sequence[str]]) -> None:
    """Write descriptions as the JSON form that `load_descriptions` reads.

    Raises:
        FormatError: a class without a description, or in two spellings.
    """
    atomic.write_json(path, _checked(Path(path), {name: list(given) for name, given in descriptions.items()}))


def _of_object(source: Path | str, content: Mapping[str, Any]) -> dict[str, list[str]]:
    descriptions = {}
    for name, given in content.items():
        sentences = [given] if isinstance(given, str) else given
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise FormatError(
                f"{source}: class {name!r} should have a sentence or a list of sentences, not {repr(given)[:60]}"
            )
        descriptions[name] = sentences
    return _checked(source, descriptions)


def _read_folder(folder: Path) -> dict[str, list[str]]:
    descriptions: dict[str, list[str]] = {}
    for name, file in class_files(folder):
        if name in descriptions:
            raise FormatError(f"{folder} has two files for class {name!r}; keep one")
        text, encoding = decoded(_bytes_of(file))
        if not encoding:
            raise FormatError(
                f"{printable(str(file))} is not a text file; put the sentence that describes the class there"
            )
        descriptions[name] = text.splitlines()
    return _checked(folder, descriptions)


def class_files(folder: Path) -> list[tuple[str, Path]]:
    """The .txt files of a folder of descriptions, sorted, each with the class it is named after.

    Raises:
        InputError: there is none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".txt" and not file.name.startswith("."))
    if not files:
        raise InputError(f"{folder} holds no .txt file; a folder of descriptions has one for each class")
    return [(" ".join(printable(file.stem).replace("_", " ").split()), file) for file in files]


def decoded(raw: bytes) -> tuple[str, str]:
    """Text, and the encoding it was read in: UTF-8, UTF-16 by its mark, else cp1252, as published descriptions come
    from several editors. ("", "") for what is no text. Bytes that mean nothing in an encoding become U+FFFD.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace"), "UTF-16"
    if b"\0" in raw:
        return "", ""
    try:
        return raw.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace"), "cp1252"


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{printable(str(file))} cannot be read: {error.strerror}; check the file") from error


def _checked(source: Path | str, descriptions: Mapping[str, list[str]]) -> dict[str, list[str]]:
    spellings: dict[str, str] = {}
    checked: dict[str, list[str]] = {}
    for name, given in descriptions.items():
        sentences = [" ".join(sentence.split()) for sentence in given if sentence.strip()]
        if not name.strip() or not sentences:
            raise FormatError(f"{source}: class {name!r} has no name or no description; write a sentence or remove it")
        if canonical(name) in spellings:
            other = spellings[canonical(name)]
            raise FormatError(f"{source}: {other!r} and {name!r} are spellings of one class; keep one")
        spellings[canonical(name)] = name
        checked[name.strip()] = sentences
    if not checked:
        raise FormatError(f"{source} describes no class; it should have {{class name: sentence}}")
    return checked
