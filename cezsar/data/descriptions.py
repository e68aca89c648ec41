"""Sentences that describe classes, of which prototypes are made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cezsar import atomic
from cezsar.data.documents import decoded_file, parse_json, printable, read_text
from cezsar.data.labels import Labels, canonical, distinct, numbered, parse_labels, read_label_list, spoken
from cezsar.errors import FormatError, InputError

FORMS = (
    "give names as a .txt or .csv list, as a JSON list or a class index {name: number}, or sentences as JSON "
    "{name: sentence or list} or as a folder of .txt files"
)
_JSON_OBJECT = re.compile(r'\s*\{\s*["}]')


def load_descriptions(path: str | Path) -> dict[str, list[str]]:
    """Class name -> its descriptions, of JSON `{class: sentence or [sentences]}` or a folder with one `.txt` for each
    class, each line a sentence. Names alone are their own descriptions, as words: a JSON list, `{"0": name}`, `{name:
    0}`, a `.txt` with one to a line, a `.csv` with a column of them. `FormatError` names a class without a description
    or in two spellings, or a file that is not text."""
    path = Path(path)
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix.lower() == ".txt" and each.name[0] != ".")
        if not files:
            raise InputError(f"{path} holds no .txt file; a folder of descriptions has one for each class")
        return of_files(path, {file: file.stem for file in files})
    if path.suffix.lower() in (".txt", ".csv"):
        return _by_name(path, read_label_list(path))
    if path.suffix.lower() != ".json" and path.exists():
        raise InputError(f"{path}: {FORMS}")
    content = parse_json(read_text(path), str(path))
    if isinstance(content, list) and content and all(isinstance(name, str) for name in content):
        return _by_name(path, distinct(" ".join(name.split()) for name in content if name.strip()))
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds a JSON {type(content).__name__} that names no class; {FORMS}")
    return _of_object(path, content)


def of_files(source: str | Path, names: Mapping[Path, str]) -> dict[str, list[str]]:
    """Descriptions from a text file for each class, each line a sentence; `names` are file -> class, words or with
    underscores. Raises as `load_descriptions`."""
    descriptions: dict[str, list[str]] = {}
    for file, stem in names.items():
        name = " ".join(printable(stem).replace("_", " ").split())
        if name in descriptions:
            raise FormatError(f"{source} has two files for class {name!r}; keep one")
        descriptions[name] = decoded_file(file).splitlines()
    return _checked(source, descriptions)


def parse_classes(text: str) -> tuple[Labels, dict[str, list[str]]]:
    """Classes as people type or paste them: names in any form that `parse_labels` reads, or a JSON object `{name:
    sentence or [sentences]}`, whose sentences are the second value, which is empty for names alone."""
    if not _JSON_OBJECT.match(text):
        return parse_labels(text), {}
    content = parse_json(text, "the labels")
    descriptions = _of_object("the labels", content)
    return Labels(list(descriptions), []), {} if numbered(content) else descriptions


def described(labels: Sequence[str], known: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Label -> its sentences in `known`, in whatever spelling, else its own words."""
    spelt = {canonical(name): sentences for name, sentences in known.items()}
    return {label: spelt.get(canonical(label), [spoken(label)]) for label in labels}


def save_descriptions(path: str | Path, descriptions: Mapping[str, Sequence[str]]) -> None:
    """Write descriptions as the JSON form that `load_descriptions` reads. Raises as that."""
    atomic.write_json(path, _checked(path, descriptions))


def _by_name(source: str | Path, names: Sequence[str]) -> dict[str, list[str]]:
    return _checked(source, {name: [spoken(name)] for name in names})


def _of_object(source: str | Path, content: Mapping[str, Any]) -> dict[str, list[str]]:
    if (names := numbered(content)) is not None:
        return _by_name(source, names)
    descriptions = {name: [given] if isinstance(given, str) else given for name, given in content.items()}
    for name, given in descriptions.items():
        if not isinstance(given, list) or not all(isinstance(sentence, str) for sentence in given):
            what = f"should have a sentence or a list of sentences, not {given!r:.60}"
            raise FormatError(f"{source}: class {name!r} {what}; {FORMS}")
    return _checked(source, descriptions)


def _checked(source: str | Path, descriptions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    spellings: dict[str, str] = {}
    checked: dict[str, list[str]] = {}
    for name, given in descriptions.items():
        sentences = [" ".join(sentence.split()) for sentence in given if sentence.strip()]
        if not name.strip() or not sentences:
            raise FormatError(f"{source}: class {name!r} has no name or no description; write a sentence or remove it")
        if (other := spellings.setdefault(canonical(name), name)) != name:
            raise FormatError(f"{source}: {other!r} and {name!r} are spellings of one class; keep one")
        checked[name.strip()] = sentences
    if not checked:
        raise FormatError(f"{source} describes no class; it should have {{class name: sentence}}")
    return checked
