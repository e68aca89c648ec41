"""Class descriptions read to the end, whatever is wrong with them: the reading half of `cezsar.data.prototype_checks`.

The three forms are those of `cezsar.data.descriptions`, and text is read in the encoding that is taken there.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cezsar.data.descriptions import class_files
from cezsar.data.documents import decoded, is_unicode, printable
from cezsar.data.labels import MAX_LABEL_CHARACTERS, spoken
from cezsar.errors import FormatError, InputError


class Kind(StrEnum):
    """What is looked for, in the order of reports."""

    ENCODING = "not UTF-8"
    DAMAGED = "damaged text"
    CONTROL = "control characters"
    FORM = "not a sentence"
    EMPTY = "no description"
    UNKNOWN = "unknown class"
    MISSING = "missing class"
    CLASS_TWICE = "class described twice"
    SENTENCE_SHARED = "same sentence for several classes"
    SENTENCE_TWICE = "same sentence twice in a class"
    OWN_NAME = "name as description"
    SHORT = "short description"
    LONG = "description longer than the encoder reads"
    NEAR = "near-identical descriptions"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        classes: names it is about, as the source spells them; none where it is about a file.
        place: file, and line and byte where they are known; "" for the source as a whole.
        what: is wrong.
        advice: what to do.
    """

    kind: Kind
    classes: tuple[str, ...]
    place: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place + ': ' if self.place else ''}{self.what}; {self.advice}"


@dataclass(frozen=True)
class Described:
    """A class with its sentences, spaces put right and empty ones left out; `place` as in `Finding`."""

    name: str
    place: str
    sentences: Sequence[str]


@dataclass
class Source:
    """What a source holds.

    Attributes:
        described: classes that have a sentence, in the order of the source; one may come twice.
        without: classes that have none.
        names_only: it is a list of classes, and the sentences are their names.
        findings: what is wrong with its bytes, its form and its text.
    """

    described: list[Described] = field(default_factory=list)
    without: list[Described] = field(default_factory=list)
    names_only: bool = False
    findings: list[Finding] = field(default_factory=list)


def read_all(path: Path) -> Source:
    """Read a file or folder of class descriptions to its end.

    Raises:
        InputError: nothing there, or nothing of the three forms.
        FormatError: no text at all, JSON that is not valid or no object, no class in it.
    """
    source = Source()
    if path.is_dir():
        for name, file in class_files(path):
            _read_class(name, file, source)
        return source
    if path.suffix.lower() not in (".json", ".txt"):
        raise InputError(f"{path}: give a .json file, a folder of .txt files, or a .txt list of classes")
    try:
        text = _text(path, (), source)
    except OSError as error:
        raise InputError(f"{printable(str(path))} cannot be read: {error.strerror}; check the path") from error
    if text is None:
        raise FormatError(f"{printable(str(path))} is not a text file; give class descriptions as JSON or text")
    if path.suffix.lower() == ".txt":
        source.names_only = True
        _read_list(path, text, source)
    else:
        for name, given in _members(path, text, source):
            _read_member(name, given, source)
    if not source.described and not source.findings:
        raise FormatError(f"{printable(str(path))} describes no class; it should have {{class name: sentence}}")
    return source


# The three forms -----------------------------------------------------------------------------------------------------


def _read_class(name: str, file: Path, source: Source) -> None:
    """A class's own file: each line with text is a sentence."""
    place = printable(file.name)
    if place != file.name:
        source.findings.append(
            Finding(Kind.ENCODING, (name,), place, "the file's name is not UTF-8", "give it another name")
        )
    try:
        text = _text(file, (name,), source)
        what = "it is not a text file"
    except OSError as error:
        text, what = None, f"it cannot be read: {error.strerror}"
    if text is None:
        advice = "put the sentence that describes the class there"
        source.findings.append(Finding(Kind.FORM, (name,), place, what, advice))
        source.without.append(Described(name, place, ()))
    else:
        lines = enumerate(text.splitlines(keepends=True), start=1)
        _take(name, place, [(f"{place}, line {number}", line) for number, line in lines], source)


def _read_list(path: Path, text: str, source: Source) -> None:
    """Class names, one to a line."""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        name, place = " ".join(line.split()), f"{printable(path.name)}, line {number}"
        if len(name) > MAX_LABEL_CHARACTERS:
            what = f"a name of {len(name):,} characters, {name[:40]!r}..."
            advice = "put each class on a line of its own; sentences go into JSON or a folder of .txt files"
            source.findings.append(Finding(Kind.FORM, (), place, what, advice))
        elif name:
            source.findings += _faults(line, (name,), place)
            source.described.append(Described(name, place, (spoken(name),)))


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object, those of one name included."""


def _members(path: Path, text: str, source: Source) -> _Object:
    try:
        try:
            content = json.loads(text, object_pairs_hook=_Object)
        except json.JSONDecodeError as error:
            content = json.loads(text, object_pairs_hook=_Object, strict=False)
            place = f"{printable(path.name)}, line {error.lineno}, column {error.colno}"
            what = "a control character or the end of a line within a text"
            source.findings.append(Finding(Kind.CONTROL, (), place, what, "write a space; JSON has none there"))
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); correct it there"
        ) from error
    except (RecursionError, ValueError) as error:  # nested thousands deep, or a number of thousands of digits
        raise FormatError(f"{path}: not usable JSON ({error}); it should be {{class name: sentence}}") from error
    if not isinstance(content, _Object):
        raise FormatError(f"{path} holds a JSON {type(content).__name__}; an object {{...}} is expected")
    return content


def _read_member(name: str, given: Any, source: Source) -> None:
    """A class of a JSON object: a sentence, or a list of them."""
    sentences = [given] if isinstance(given, str) else given
    if not name.strip():
        what = f"a description has no class name: {repr(given)[:60]}"
        source.findings.append(Finding(Kind.EMPTY, (), "", what, "write the name, or remove it"))
        return
    own = _storable(" ".join(name.split()))
    source.findings += _faults(name, (own,), "")
    if isinstance(sentences, _Object) or not isinstance(sentences, list):
        what = f"{own!r} has {_start(dict(given) if isinstance(given, _Object) else given)}"
        advice = "give a sentence or a list of sentences"
        source.findings.append(Finding(Kind.FORM, (own,), "", what, advice))
        source.without.append(Described(own, "", ()))
        return
    usable = []
    for number, sentence in enumerate(sentences, start=1):
        if not isinstance(sentence, str):
            what = f"{own!r} has {_start(sentence)} as sentence {number}"
            source.findings.append(Finding(Kind.FORM, (own,), "", what, "give a sentence, or remove it"))
        elif not sentence.strip() and len(sentences) > 1:
            what = f"sentence {number} of the {len(sentences)} of {own!r} is empty"
            source.findings.append(Finding(Kind.EMPTY, (own,), "", what, "write or remove it"))
        else:
            usable.append(("", sentence))
    _take(own, "", usable, source)


def _take(name: str, place: str, sentences: Sequence[tuple[str, str]], source: Source) -> None:
    """Keep a class with its sentences, each after its place, and note what is wrong with their text."""
    for where, sentence in sentences:
        source.findings += _faults(sentence, (name,), where)
    kept = [_storable(" ".join(sentence.split())) for _, sentence in sentences if sentence.strip()]
    if kept:
        source.described.append(Described(name, place, kept))
    else:
        source.findings.append(
            Finding(Kind.EMPTY, (name,), place, f"{name!r} has no description", "write a sentence, or remove it")
        )
        source.without.append(Described(name, place, ()))


# Bytes and characters ------------------------------------------------------------------------------------------------


def _text(file: Path, classes: tuple[str, ...], source: Source) -> str | None:
    """A file's text, in whatever encoding; None if it is none. Not being UTF-8 is noted."""
    raw = file.read_bytes()
    text, encoding = decoded(raw)
    if not encoding:
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        where = f"{printable(file.name)}, line {line}, byte {error.start:,}"
        what = f"0x{raw[error.start]:02x} is not UTF-8; the file was read as {encoding}"
        source.findings.append(Finding(Kind.ENCODING, classes, where, what, "save it as UTF-8"))
    return text


_CONTINUED = "".join(bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in range(0x80, 0xC0))
_MOJIBAKE = re.compile(
    rf"[ÂÃÐÑ][{_CONTINUED}]|â€[{_CONTINUED}]?|â„[{_CONTINUED}]|ðŸ[{_CONTINUED}]{{0,2}}|ï»¿|ï¿½"
    rf"|(?:[ã-é][{_CONTINUED}]{{2}}){{2,}}"  # one alone may be French: «voilà »
)
"""UTF-8 that was read as cp1252: letters with accents, quotation marks and dashes, Cyrillic, emoji, U+FEFF, U+FFFD,
and at least two characters of Chinese, Japanese or Korean in a row."""


def _faults(text: str, classes: tuple[str, ...], place: str) -> Iterator[Finding]:
    """Signs that a text was read in a wrong encoding, and characters that nobody types."""
    of = f"{classes[0]!r} " if classes else ""
    if signs := dict.fromkeys(match[0] for match in _MOJIBAKE.finditer(text)):
        meant = ", ".join(f"{sign!r}{_meant(sign)}" for sign in signs)
        what = f"{of}has {meant}: UTF-8 that was read in another encoding"
        yield Finding(Kind.DAMAGED, classes, place, what, "open the original as UTF-8 and copy it anew")
    if "\ufffd" in text:
        what = f"{of}has U+FFFD, a character that was lost: {_around(text, text.index(chr(0xFFFD)))}"
        yield Finding(Kind.DAMAGED, classes, place, what, "write it anew")
    if not is_unicode(text):
        what = f"{of}has half of a character, which no encoder can read: {_start(text)}"
        yield Finding(Kind.DAMAGED, classes, place, what, "write it anew")
    if odd := dict.fromkeys(character for character in text if _is_control(character)):
        codes = ", ".join(f"U+{ord(character):04X}" for character in odd)
        yield Finding(
            Kind.CONTROL, classes, place, f"{of}has {codes}: {_around(text, text.index(next(iter(odd))))}", "remove it"
        )


def _is_control(character: str) -> bool:
    """Characters that are not seen, ends of lines and tabs apart."""
    return character in "\ufeff\u200b" or (unicodedata.category(character) == "Cc" and character not in "\t\r\n")


def _meant(sign: str) -> str:
    """What was there before it was read wrongly, as far as the bytes are whole."""
    raw = b"".join(_cp1252(character) for character in sign)
    try:
        return f" for {raw.decode('utf-8')!r}"
    except UnicodeDecodeError:
        return ""


def _cp1252(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return bytes([ord(character)])  # one of the five that cp1252 leaves open, taken as they are


def _storable(text: str) -> str:
    """`text` as UTF-8 can hold it: halves of characters are written out."""
    return text if is_unicode(text) else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 20) : at + 21])


def _start(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
