"""What is wrong with class descriptions before they become prototypes: all of it at once, each with what to do.

`load_descriptions` stops at the first fault, and takes much that is no fault of form and still costs accuracy: two
classes with one sentence, a class that is missing, text that was read in the wrong encoding. Here reading goes on.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.arrays import unit_rows
from cezsar.data import datasets
from cezsar.data.descriptions import class_files
from cezsar.data.documents import decoded, is_unicode, parse_json, printable
from cezsar.data.labels import MAX_LABEL_CHARACTERS, canonical, is_invisible, spoken
from cezsar.data.sentence_cache import Encoder, SentenceCache
from cezsar.errors import FormatError, InputError

NEAR = 0.85
"""Cosine similarity above which two classes count as described alike. Under MiniLM the nearest two classes of a shipped
set have 0.81, and an action that two shipped sets describe independently has a median of 0.93."""
FEWEST_WORDS = 5
BLOCK = 128  # sentences encoded between two reports of progress

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_MEANT = re.compile(
    r"[\u0080-\u017f\u0400-\u04ff\u2000-\u206f\u2100-\u214f\u3000-\u9fff\uac00-\ud7a3\ufeff\U0001f300-\U0001faff]+"
)


class Fault(StrEnum):
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
class Pair:
    """Two classes by their two most similar sentences."""

    classes: tuple[str, str]
    sentences: tuple[str, str]
    similarity: float  # of the sentences, cosine, -1 to 1
    only: tuple[tuple[str, ...], tuple[str, ...]]  # `differing_words`


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: Fault
    classes: tuple[str, ...]  # it is about, as the source spells them; none where it is about a file
    place: str  # file, and line and byte where they are known; "" for the source as a whole
    what: str
    advice: str
    pair: Pair | None = None  # of near-identical descriptions

    def __str__(self) -> str:
        return f"{self.place + ': ' if self.place else ''}{self.what}; {self.advice}"


@dataclass(frozen=True)
class CheckReport:
    """What a check found."""

    source: str  # as it was named
    dataset: str  # whose classes it was compared with; "" if with none
    classes: int  # described, spellings of one counted once
    sentences: int
    expected: int  # classes of the data set
    encoder: str  # what sentences were compared by; "" if they were not
    near: float  # similarity above which two classes are reported
    nearest: Pair | None  # the two classes that are most similar, reported or not
    findings: tuple[Finding, ...]  # in the order of `Fault`; near-identical pairs the most similar first


def check(
    source: str | Path,
    dataset: str | Path | None = None,
    *,
    encoder: Encoder | None = None,
    near: float = NEAR,
    home: str | Path | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> CheckReport:
    """Everything that is wrong with class descriptions.

    Args:
        source: a file or folder as `load_descriptions` takes it, or the name of a shipped set.
        dataset: whose classes they should describe, as `open_dataset` takes it; for a shipped set by default its own.
        encoder: tells similar sentences, and those it cuts off; None leaves both out.
        near: cosine similarity above which two classes are reported.
        on_progress: called with (sentences encoded, sentences).

    Raises:
        InputError: nothing there, no such data set, or no such similarity.
        FormatError: nothing can be read: no text, JSON that is not valid or no object, no class.
    """
    if not -1 <= near <= 1:
        raise InputError(f"{near} is no cosine similarity; give one from -1 to 1, such as {NEAR}")
    if dataset is None and datasets.shipped_descriptions(str(source)):
        dataset = str(source)
    expected = [] if dataset is None else datasets.class_names(dataset, home)
    read = _Source.read(datasets.find_descriptions(str(source)))
    findings = [*read.findings, *_twice(read), *_same_sentences(read), *_poor(read)]
    if dataset is not None:
        findings += _against(read, expected, str(dataset))
    nearest = None
    if encoder is not None:
        findings += _too_long(read, encoder)
        alike, nearest = _alike(read, encoder, near, on_progress)
        findings += alike
    order = list(Fault)
    return CheckReport(
        source=str(source),
        dataset="" if dataset is None else str(dataset),
        classes=len(read.by_class()),
        sentences=sum(len(each.sentences) for each in read.described),
        expected=len(expected),
        encoder="" if encoder is None else encoder.name,
        near=near,
        nearest=nearest,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.kind))),  # sorted keeps the order else
    )


def words(sentence: str) -> list[str]:
    """The words of a sentence in order, in lower case and without punctuation; "push-up" is two, "boxer's" is one."""
    folded = unicodedata.normalize("NFC", sentence).casefold().replace("’", "'")
    return _WORD.findall(folded)


def differing_words(one: str, other: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that only the one and that only the other sentence has, each once, in the order of its sentence."""
    first, second = dict.fromkeys(words(one)), dict.fromkeys(words(other))
    return tuple(word for word in first if word not in second), tuple(word for word in second if word not in first)


# Reading to the end --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Described:
    """A class with its sentences, spaces put right and empty ones left out; `place` as in `Finding`."""

    name: str
    place: str
    sentences: Sequence[str]


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object, those of one name included."""


@dataclass
class _Source:
    """What a source holds: classes, of which one may come twice or have no sentence, and what is wrong with its form.

    `names_only`: it is a list of classes, and the sentences are their names.
    """

    described: list[_Described] = field(default_factory=list)
    without: list[_Described] = field(default_factory=list)
    names_only: bool = False
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> _Source:
        """A file or folder of the forms of `load_descriptions`: JSON, a folder of `.txt`, a `.txt` list of names."""
        source, kind = cls(), path.suffix.lower()
        if path.is_dir():
            for name, file in class_files(path):
                text = source._text(file, (name,)) if file.is_file() else None
                source._take(
                    name, file.name, None if text is None else [line for line in text.split("\n") if line.strip()]
                )
            return source
        if kind not in (".json", ".txt"):
            raise InputError(f"{path}: give a .json file, a folder of .txt files, or a .txt list of classes")
        if (text := source._text(path, ())) is None:
            raise FormatError(f"{printable(str(path))} is not a text file; give class descriptions as JSON or text")
        source.names_only = kind == ".txt"
        if source.names_only:
            for number, line in enumerate(text.split("\n"), start=1):
                place = f"{path.name}, line {number}"
                if len(name := " ".join(line.split())) > MAX_LABEL_CHARACTERS:
                    what = f"a name of {len(name):,} characters, {name[:40]!r}..."
                    source._find(Fault.FORM, (), place, what, "put each class on a line of its own")
                elif name:
                    source._check_text(line, (name,), place)
                    source.described.append(_Described(name, place, (spoken(name),)))
        else:
            content = parse_json(text, str(path), _Object)
            if not isinstance(content, _Object):
                raise FormatError(f"{path} holds a JSON {type(content).__name__}; an object {{...}} is expected")
            for name, given in content:
                if own := _storable(" ".join(name.split())):
                    source._check_text(name, (own,), "")
                    source._take(own, "", [given] if isinstance(given, str) else given)
                else:
                    what = f"a description has no class name: {_start(given)}"
                    source._find(Fault.EMPTY, (), "", what, "write the name, or remove it")
        if not source.described and not source.findings:
            raise FormatError(f"{printable(str(path))} describes no class; it should have {{class name: sentence}}")
        return source

    def by_class(self) -> dict[str, list[_Described]]:
        """Canonical class name -> what describes it."""
        found: dict[str, list[_Described]] = {}
        for each in self.described:
            found.setdefault(canonical(each.name), []).append(each)
        return found

    def _find(self, kind: Fault, classes: tuple[str, ...], place: str, what: str, advice: str) -> None:
        self.findings.append(Finding(kind, classes, printable(place), what, advice))

    def _text(self, file: Path, classes: tuple[str, ...]) -> str | None:
        """A file's text, in whatever encoding; None if it is none. Not being UTF-8 is noted."""
        raw = file.read_bytes()
        text, encoding = decoded(raw)
        if encoding in ("UTF-16", "cp1252"):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"{file.name}, line {raw[: error.start].count(10) + 1}, byte {error.start:,}"
                what = f"0x{raw[error.start]:02x} is not UTF-8; the file was read as {encoding}"
                self._find(Fault.ENCODING, classes, where, what, "save it as UTF-8")
        return text if encoding else None

    def _take(self, name: str, place: str, given: Any) -> None:
        """Keep a class with its sentences, and note what is wrong with them."""
        sentences = given if isinstance(given, list) and not isinstance(given, _Object) else []
        if sentences is not given:
            what = "it is no text file" if place and given is None else f"{name!r} has {_start(given)}"
            self._find(Fault.FORM, (name,), place, what, "give a sentence or a list of sentences")
        for number, sentence in enumerate(sentences, start=1):
            where = f"sentence {number} of the {len(sentences)} of {name!r}"
            if not isinstance(sentence, str):
                self._find(
                    Fault.FORM, (name,), place, f"{where} is {_start(sentence)}", "give a sentence, or remove it"
                )
            elif not sentence.strip() and len(sentences) > 1:
                self._find(Fault.EMPTY, (name,), place, f"{where} is empty", "write or remove it")
            else:
                self._check_text(sentence, (name,), place)
        texts = [_storable(" ".join(each.split())) for each in sentences if isinstance(each, str) and each.strip()]
        if texts:
            self.described.append(_Described(name, place, texts))
        else:
            self.without.append(_Described(name, place, ()))
            if sentences is given:
                self._find(
                    Fault.EMPTY, (name,), place, f"{name!r} has no description", "write a sentence, or remove it"
                )

    def _check_text(self, text: str, classes: tuple[str, ...], place: str) -> None:
        """Signs that a text was read in a wrong encoding, and characters that nobody types."""
        of = f"{classes[0]!r} has "
        if signs := list(_misread(text)):
            meant = ", ".join(f"{sign!r} for {right!r}" for sign, right in signs)
            advice = "open the original as UTF-8 and copy it anew"
            self._find(Fault.DAMAGED, classes, place, f"{of}{meant}: UTF-8 that was read in another encoding", advice)
        if "\ufffd" in text or not is_unicode(text):
            self._find(Fault.DAMAGED, classes, place, f"{of}a character that was lost: {_start(text)}", "write it anew")
        if odd := dict.fromkeys(character for character in text if is_invisible(character) and character != "\t"):
            codes = ", ".join(f"U+{ord(character):04X}" for character in odd)
            self._find(Fault.CONTROL, classes, place, f"{of}{codes}: {_start(text)}", "remove it")


def _misread(text: str) -> Iterator[tuple[str, str]]:
    """UTF-8 that was read as cp1252, with what was meant: letters, punctuation, symbols, emoji, no rarer script."""
    for run in dict.fromkeys(re.findall(r"[^\x00-\x7f]{2,}", text)):
        try:
            meant = run.encode("cp1252").decode("utf-8")
        except UnicodeError:
            continue
        if _MEANT.fullmatch(meant):
            yield run, meant


# What is looked for --------------------------------------------------------------------------------------------------


def _twice(read: _Source) -> Iterator[Finding]:
    for several in read.by_class().values():
        if len(several) > 1:
            names = tuple(dict.fromkeys(each.name for each in several))
            times = "twice" if len(several) == 2 else f"{len(several)} times"
            what = f"{names[0]!r} is there {times}" if len(names) == 1 else f"{_quoted(names)} spell one class"
            yield Finding(
                Fault.CLASS_TWICE, names, _places(several), what, "keep one, with the sentences that are right"
            )


def _same_sentences(read: _Source) -> Iterator[Finding]:
    """The same sentence for several classes, or several times for one; case and punctuation do not count."""
    users: dict[tuple[str, ...], list[_Described]] = {}
    first: dict[tuple[str, ...], str] = {}
    for each in read.described:
        seen: set[tuple[str, ...]] = set()
        for sentence in each.sentences:
            key = tuple(words(sentence)) or (sentence,)
            first.setdefault(key, sentence)
            if key in seen:
                what = f"{each.name!r} has a sentence twice: {_start(sentence)}"
                yield Finding(Fault.SENTENCE_TWICE, (each.name,), each.place, what, "keep it once")
            else:
                users.setdefault(key, []).append(each)
            seen.add(key)
    for key, several in users.items():
        classes = tuple({canonical(each.name): each.name for each in reversed(several)}.values())[::-1]
        if len(classes) > 1:
            what = f"{_quoted(classes)} have the same sentence: {_start(first[key])}"
            advice = "no clip can be told apart by it: say what only one of them shows"
            yield Finding(Fault.SENTENCE_SHARED, classes, _places(several), what, advice)


def _poor(read: _Source) -> Iterator[Finding]:
    """Sentences that say hardly more than the name."""
    if read.names_only:
        names = tuple(each.name for each in read.described)
        what = f"a list of {len(names):,} names: each class is described by its name alone"
        yield Finding(Fault.OWN_NAME, names, "", what, "write a sentence for each")
        return
    for each in read.described:
        for sentence in each.sentences:
            if canonical(sentence) == canonical(each.name) or words(sentence) == words(spoken(each.name)):
                what = f"{each.name!r} is described by its own name alone"
                advice = "write what the body does, with which objects, and where"
                yield Finding(Fault.OWN_NAME, (each.name,), each.place, what, advice)
            elif (count := len(words(sentence))) < FEWEST_WORDS:
                what = f"{each.name!r} is described in {count} words: {_start(sentence)}"
                advice = "say more: the movement, the objects, the places"
                yield Finding(Fault.SHORT, (each.name,), each.place, what, advice)


def _against(read: _Source, expected: Sequence[str], dataset: str) -> Iterator[Finding]:
    """Classes of a data set that are not described, and described ones that it has not."""
    wanted = {canonical(name): name for name in expected}
    have = {canonical(each.name): each for each in [*read.without, *read.described]}
    missing = {key: name for key, name in wanted.items() if key not in have}
    unknown = {key: each for key, each in have.items() if key not in wanted}
    for key, each in unknown.items():
        near = difflib.get_close_matches(key, missing, n=1) or difflib.get_close_matches(key, wanted, n=1)
        advice = f"did you mean {wanted[near[0]]!r}?" if near else "remove it, or check its spelling"
        yield Finding(Fault.UNKNOWN, (each.name,), each.place, f"{each.name!r} is no class of {dataset}", advice)
    for key, name in missing.items():
        near = difflib.get_close_matches(key, unknown, n=1)
        advice = f"write a sentence for it, or is it {unknown[near[0]].name!r}?" if near else "write a sentence for it"
        yield Finding(Fault.MISSING, (name,), "", f"{name!r} of {dataset} has no description", advice)


def _too_long(read: _Source, encoder: Encoder) -> Iterator[Finding]:
    inner: Any = encoder.encoder if isinstance(encoder, SentenceCache) else encoder
    if (limit := getattr(inner, "max_tokens", None)) is None:
        return
    for each in read.described:
        for sentence, count in zip(each.sentences, inner.count_tokens(each.sentences), strict=True):
            if count > limit:
                what = f"{each.name!r} has a sentence of {count:,} tokens, and {encoder.name} reads {limit:,}"
                advice = "shorten it, or make several sentences of it: its end is not read"
                yield Finding(Fault.LONG, (each.name,), each.place, f"{what}: {_start(sentence)}", advice)


def _alike(
    read: _Source, encoder: Encoder, near: float, on_progress: Callable[[int, int], object]
) -> tuple[list[Finding], Pair | None]:
    """Pairs of classes with sentences more similar than `near`, the most similar first; and the most similar of all.
    Pairs that share a sentence are left out of the list: that is a finding of its own."""
    classes = [
        (several[0].name, [s for each in several for s in each.sentences]) for several in read.by_class().values()
    ]
    texts = [sentence for _, sentences in classes for sentence in sentences]
    rows_NE = np.empty((len(texts), encoder.dim), np.float32)
    for start in range(0, len(texts), BLOCK):
        rows_NE[start : start + BLOCK] = encoder.encode(texts[start : start + BLOCK])
        on_progress(min(start + BLOCK, len(texts)), len(texts))
    rows_NE = unit_rows(rows_NE)  # zeros stay, and are similar to nothing
    starts = np.cumsum([0, *(len(sentences) for _, sentences in classes)])
    found: list[Pair] = []
    nearest: Pair | None = None
    for a, (name, sentences) in enumerate(classes[:-1]):
        block_AM = rows_NE[starts[a] : starts[a + 1]] @ rows_NE[starts[a + 1] :].T
        offsets = starts[a + 1 :] - starts[a + 1]
        highest_B = np.maximum.reduceat(block_AM.max(axis=0), offsets[:-1])
        for b in np.flatnonzero((highest_B > near) | (highest_B == highest_B.max())):
            other, others = classes[a + 1 + b]
            pair_AB = block_AM[:, offsets[b] : offsets[b + 1]]
            i, j = np.unravel_index(pair_AB.argmax(), pair_AB.shape)
            similarity = float(np.clip(pair_AB[i, j], -1, 1))
            only = differing_words(sentences[i], others[j])
            pair = Pair((name, other), (sentences[i], others[j]), similarity, only)
            if nearest is None or similarity > nearest.similarity:
                nearest = pair
            if similarity > near and words(sentences[i]) != words(others[j]):
                found.append(pair)
    return [_near_pair(pair) for pair in sorted(found, key=lambda pair: -pair.similarity)], nearest


def _near_pair(pair: Pair) -> Finding:
    (a, b), (only_a, only_b) = pair.classes, pair.only
    what = f"{a!r} and {b!r} have a similarity of {pair.similarity:.2f}"
    what += f"; only {a!r} says {', '.join(only_a) or 'nothing'}; only {b!r} says {', '.join(only_b) or 'nothing'}"
    return Finding(Fault.NEAR, pair.classes, "", what, "say early what a camera sees in one of them alone", pair)


def _quoted(names: Sequence[str]) -> str:
    return " and ".join([", ".join(map(repr, names[:-1])), repr(names[-1])] if len(names) > 1 else map(repr, names))


def _places(several: Sequence[_Described]) -> str:
    return " and ".join(dict.fromkeys(each.place for each in several if each.place))


def _start(value: object) -> str:
    shown = repr(dict(value) if isinstance(value, _Object) else value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _storable(text: str) -> str:
    """`text` as UTF-8 can hold it: halves of characters are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
