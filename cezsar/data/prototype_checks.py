"""Everything that is wrong with class descriptions before they become prototypes, each with what to do.

`load_descriptions` stops at the first fault, and takes much that costs accuracy: two classes with one sentence, a class
that is missing, text that was read in the wrong encoding. Here reading goes on.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cezsar.arrays import unit_rows
from cezsar.data import datasets
from cezsar.data.descriptions import class_files
from cezsar.data.documents import decoded, is_unicode, parse_json, printable
from cezsar.data.labels import MAX_LABEL_CHARACTERS, canonical, distinct, is_invisible, spoken
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import FormatError, InputError

FAULTS = {
    "not UTF-8": "save it as UTF-8",
    "damaged text": "copy it anew from the original, opened as UTF-8",
    "control characters": "remove it",
    "not a sentence": "give a sentence or a list of sentences, or remove it",
    "no description": "write it, or remove it",
    "unknown class": "remove it, or check its spelling",
    "missing class": "write a sentence for it",
    "class described twice": "keep one, with the sentences that are right",
    "same sentence for several classes": "no clip can be told apart by it: say what only one of them shows",
    "same sentence twice in a class": "keep it once",
    "name as description": "write what the body does, with which objects, and where",
    "short description": "say more: the movement, the objects, the places",
    "description longer than the encoder reads": "shorten it, or make several sentences of it: its end is not read",
    "near-identical descriptions": "say early what a camera sees in one of them alone",
}
"""What is looked for, in the order of reports, and what to do about it."""
NEAR = 0.85
"""Cosine similarity above which two classes count as described alike. Under MiniLM the nearest two classes of a shipped
set have 0.81, and an action that two shipped sets describe independently has a median of 0.93."""
FEWEST_WORDS = 5
BLOCK = 128  # sentences encoded between two reports of progress

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_MEANT = re.compile(
    r"[\u0080-\u017f\u0400-\u04ff\u2000-\u206f\u2100-\u214f\u3000-\u9fff\uac00-\ud7a3\ufeff\U0001f300-\U0001faff]+"
)


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

    kind: str  # of `FAULTS`
    classes: tuple[str, ...]  # it is about, as the source spells them; none where it is about a file
    place: str  # file, and line and byte where they are known; "" for the source as a whole
    what: str
    advice: str
    pair: Pair | None = None  # of near-identical descriptions

    def __str__(self) -> str:
        return f"{self.place + ': ' if self.place else ''}{self.what}; {self.advice}"


@dataclass
class CheckReport:
    """What a check found."""

    source: str  # as it was named
    dataset: str  # whose classes it was compared with; "" if with none
    classes: int = 0  # described, spellings of one counted once
    sentences: int = 0
    expected: int = 0  # classes of the data set
    encoder: str = ""  # what sentences were compared by; "" if they were not
    near: float = NEAR  # similarity above which two classes are reported
    nearest: Pair | None = None  # the two classes that are most similar, reported or not
    findings: list[Finding] = field(default_factory=list)  # in the order of `FAULTS`; near pairs the most similar first

    def find(
        self, kind: str, classes: Sequence[str], place: str, what: str, advice: str = "", pair: Pair | None = None
    ) -> None:
        self.findings.append(Finding(kind, tuple(classes), printable(place), what, advice or FAULTS[kind], pair))


class Described(NamedTuple):
    """A class of a source, of which one may come twice or have no sentence."""

    name: str
    place: str  # as in `Finding`
    sentences: list[str]  # spaces put right, empty ones left out


def check(
    source: str | Path, dataset: str | Path | None = None, *, encoder: Encoder | None = None, near: float = NEAR,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> CheckReport:  # fmt: skip
    """Everything that is wrong with the class descriptions `source` (as `find_descriptions` takes it), compared with
    the classes of `dataset` (of a shipped set by default its own), and with each other by `encoder` (None: not).
    `on_progress` gets (sentences encoded, sentences). Raises `InputError` where nothing is there or can be read."""
    if dataset is None and datasets.shipped_descriptions(str(source)):
        dataset = str(source)
    report = CheckReport(str(source), str(dataset or ""), encoder=encoder.name if encoder else "", near=near)
    expected = datasets.class_names(dataset) if dataset else []
    path = datasets.find_descriptions(str(source))
    described = _read(path, report)
    if names_only := path.suffix.lower() == ".txt" and path.is_file():
        described = [Described(name, place, [spoken(name)]) for name, place, _ in described]
    _find_in_sentences(described, encoder, report)
    if names_only:  # told once
        report.findings = [finding for finding in report.findings if finding.kind != "name as description"]
        what = f"a list of {len(described):,} names: each class is described by its name alone"
        report.find("name as description", [each.name for each in described], "", what, "write a sentence for each")
    if dataset:
        _compare_classes(described, expected, report)
    spelt = {canonical(name): name for name, _, given in reversed(described) if given}  # the first
    by_class: dict[str, list[str]] = {}
    for name, _, sentences in described:
        if sentences:
            by_class.setdefault(spelt[canonical(name)], []).extend(sentences)
    report.classes, report.sentences = len(by_class), sum(map(len, by_class.values()))
    report.expected = len(expected)
    if encoder is not None:
        _find_alike(by_class, encoder, report, on_progress)
    report.findings.sort(key=lambda finding: list(FAULTS).index(finding.kind))
    return report


def words(sentence: str) -> list[str]:
    """The words of a sentence in order, in lower case and without punctuation; "push-up" is two, "boxer's" is one."""
    return _WORD.findall(unicodedata.normalize("NFC", sentence).casefold().replace("’", "'"))


def differing_words(one: str, other: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that only the one and that only the other sentence has, each once, in the order of its sentence."""
    first, second = dict.fromkeys(words(one)), dict.fromkeys(words(other))
    return tuple(word for word in first if word not in second), tuple(word for word in second if word not in first)


def _read(path: Path, report: CheckReport) -> list[Described]:
    """Every class of a source, and what is wrong with its form noted."""
    described = []
    for name, place, given in _given(path, report):
        own = _storable(name)
        if not own or len(own) > MAX_LABEL_CHARACTERS:
            what = f"a class name of {len(own):,} characters, {own[:40]!r}, with {_start(given)}"
            report.find("not a sentence" if own else "no description", [], place, what)
            continue
        sentences = given if isinstance(given, list) else []
        if sentences is not given:
            what = "it is no text file" if given is None and path.is_dir() else f"{own!r} has {_start(given)}"
            report.find("not a sentence", [own], place, what)
        for number, sentence in enumerate(sentences, start=1):
            where = f"sentence {number} of the {len(sentences)} of {own!r}"
            if not isinstance(sentence, str):
                report.find("not a sentence", [own], place, f"{where} is {_start(sentence)}")
            elif not sentence.strip() and len(sentences) > 1:
                report.find("no description", [own], place, f"{where} is empty")
        texts = [each for each in sentences if isinstance(each, str) and each.strip()]
        if sentences is given and not texts:
            report.find("no description", [own], place, f"{own!r} has no description")
        for text in dict.fromkeys([name, *texts]):
            _find_damage(text, own, place, report)
        described.append(Described(own, place, [_storable(text) for text in texts]))
    if not described and not report.findings:
        raise FormatError(f"{printable(str(path))} describes no class; it should have {{class name: sentence}}")
    return described


def _given(path: Path, report: CheckReport) -> Iterator[tuple[str, str, Any]]:
    """(class name, place, whatever is given for it) in a folder of `.txt`, a `.txt` list of names, or JSON, whose
    objects are tuples of (name, value): a name may come twice."""
    suffix = path.suffix.lower()
    if path.is_dir():
        for name, file in class_files(path):
            text = _text(file, [name], report) if file.is_file() else None
            yield name, file.name, None if text is None else [line for line in text.split("\n") if line.strip()]
    elif suffix not in (".json", ".txt"):
        raise InputError(f"{path}: give a .json file, a folder of .txt files, or a .txt list of classes")
    elif (text := _text(path, [], report)) is None:
        raise FormatError(f"{printable(str(path))} is not a text file; give class descriptions as JSON or text")
    elif suffix == ".txt":
        lines = enumerate(text.split("\n"), start=1)
        yield from ((line, f"{path.name}, line {number}", [line]) for number, line in lines if line.strip())
    else:
        content = parse_json(text, str(path), pairs=tuple)
        if not isinstance(content, tuple):
            raise FormatError(f"{path} holds a JSON {type(content).__name__}; an object {{...}} is expected")
        yield from ((name, "", [given] if isinstance(given, str) else given) for name, given in content)


def _text(file: Path, classes: Sequence[str], report: CheckReport) -> str | None:
    """A file's text, in whatever encoding; None if it is none. Not being UTF-8 is noted."""
    raw = file.read_bytes()
    text, encoding = decoded(raw)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            where = f"{file.name}, line {raw[: error.start].count(10) + 1}, byte {error.start:,}"
            what = f"0x{raw[error.start]:02x} is not UTF-8; the file was read as {encoding}"
            report.find("not UTF-8", classes, where, what)
    return text if encoding else None


def _find_damage(text: str, name: str, place: str, report: CheckReport) -> None:
    """Signs that a text was read in a wrong encoding, and characters that nobody types."""
    signs = []
    for run in dict.fromkeys(re.findall(r"[^\x00-\x7f]{2,}", text)):
        with suppress(UnicodeError):
            if _MEANT.fullmatch(meant := run.encode("cp1252").decode("utf-8")):
                signs.append(f"{run!r} for {meant!r}")
    if signs:
        what = f"{name!r} has {', '.join(signs)}: UTF-8 that was read in another encoding"
        report.find("damaged text", [name], place, what)
    if "\ufffd" in text or not is_unicode(text):
        report.find("damaged text", [name], place, f"{name!r} has a character that was lost: {_start(text)}")
    if odd := dict.fromkeys(character for character in text if is_invisible(character) and character != "\t"):
        codes = ", ".join(f"U+{ord(character):04X}" for character in odd)
        report.find("control characters", [name], place, f"{name!r} has {codes}: {_start(text)}")


def _find_in_sentences(described: Sequence[Described], encoder: Encoder | None, report: CheckReport) -> None:
    """Classes and sentences that come twice, case and punctuation not counted; sentences that say hardly more than the
    name, and those that the encoder cuts off."""
    inner: Any = getattr(encoder, "encoder", encoder)  # of a cache
    limit = getattr(inner, "max_tokens", None)
    entries: dict[str, list[Described]] = {}
    users: dict[tuple[str, ...], list[tuple[Described, str]]] = {}
    for each in described:
        name, place, sentences = each
        if sentences:
            entries.setdefault(canonical(name), []).append(each)
        lengths = inner.count_tokens(sentences) if limit else [0] * len(sentences)
        said: set[tuple[str, ...]] = set()
        for sentence, tokens in zip(sentences, lengths, strict=True):
            key = tuple(words(sentence)) or (sentence,)
            if key in said:
                what = f"{name!r} has a sentence twice: {_start(sentence)}"
                report.find("same sentence twice in a class", [name], place, what)
            else:
                users.setdefault(key, []).append((each, sentence))
            said.add(key)
            if limit and tokens > limit:
                what = f"{name!r} has a sentence of {tokens:,} tokens, and {report.encoder} reads {limit:,}"
                report.find("description longer than the encoder reads", [name], place, f"{what}: {_start(sentence)}")
            if canonical(sentence) == canonical(name) or words(sentence) == words(spoken(name)):
                report.find("name as description", [name], place, f"{name!r} is described by its own name alone")
            elif (count := len(words(sentence))) < FEWEST_WORDS:
                what = f"{name!r} is described in {count} words: {_start(sentence)}"
                report.find("short description", [name], place, what)
    for several in entries.values():
        if len(several) > 1:
            names = list(dict.fromkeys(each.name for each in several))
            what = f"one class is described {len(several)} times, as {' and '.join(map(repr, names))}"
            report.find("class described twice", names, _places(several), what)
    for used in users.values():
        names = distinct(each.name for each, _ in used)
        if len(names) > 1:
            what = f"{' and '.join(map(repr, names))} have the same sentence: {_start(used[0][1])}"
            report.find("same sentence for several classes", names, _places(each for each, _ in used), what)


def _compare_classes(described: Sequence[Described], expected: Sequence[str], report: CheckReport) -> None:
    """Classes of the data set that are not described, and described ones that it has not."""
    wanted = {canonical(name): name for name in expected}
    have = {canonical(each.name): each for each in described}
    missing = {key: name for key, name in wanted.items() if key not in have}
    unknown = {key: each for key, each in have.items() if key not in wanted}
    for key, (name, place, _) in unknown.items():
        near = difflib.get_close_matches(key, missing, n=1) or difflib.get_close_matches(key, wanted, n=1)
        advice = f"did you mean {wanted[near[0]]!r}?" if near else ""
        report.find("unknown class", [name], place, f"{name!r} is no class of {report.dataset}", advice)
    for key, name in missing.items():
        near = difflib.get_close_matches(key, unknown, n=1)
        advice = f"write a sentence for it, or is it {unknown[near[0]].name!r}?" if near else ""
        report.find("missing class", [name], "", f"{name!r} of {report.dataset} has no description", advice)


def _find_alike(
    by_class: dict[str, list[str]], encoder: Encoder, report: CheckReport, on_progress: Callable[[int, int], object]
) -> None:
    """The most similar pair of classes, and all pairs above `near`, but those that share a sentence: told already."""
    names, texts = list(by_class), list(by_class.values())
    flat = [text for each in texts for text in each]
    rows_NE = np.empty((len(flat), encoder.dim), np.float32)
    for start in range(0, len(flat), BLOCK):
        rows_NE[start : start + BLOCK] = encoder.encode(flat[start : start + BLOCK])
        on_progress(min(start + BLOCK, len(flat)), len(flat))
    if len(names) < 2:
        return
    starts = np.cumsum([0, *map(len, texts)])
    rows_NE = unit_rows(rows_NE)  # zeros stay, and are similar to nothing
    own = [rows_NE[start:end] for start, end in pairwise(starts)]
    highest_CC = np.stack([np.maximum.reduceat((rows @ rows_NE.T).max(axis=0), starts[:-1]) for rows in own])
    one_P, other_P = np.triu_indices(len(names), 1)
    similarity_P = highest_CC[one_P, other_P].clip(-1, 1)
    for p in np.argsort(-similarity_P, kind="stable"):
        a, b, similarity = one_P[p], other_P[p], float(similarity_P[p])
        if report.nearest and similarity <= report.near:
            break
        i, j = np.unravel_index((own[a] @ own[b].T).argmax(), (len(own[a]), len(own[b])))
        only = differing_words(texts[a][i], texts[b][j])
        pair = Pair((names[a], names[b]), (texts[a][i], texts[b][j]), similarity, only)
        report.nearest = report.nearest or pair
        if similarity > report.near and words(texts[a][i]) != words(texts[b][j]):
            what = f"{' and '.join(map(repr, pair.classes))} have a similarity of {similarity:.2f}"
            for name, said in zip(pair.classes, only, strict=True):
                what += f"; only {name!r} says {', '.join(said) or 'nothing'}"
            report.find("near-identical descriptions", pair.classes, "", what, pair=pair)


def _places(several: Iterable[Described]) -> str:
    return " and ".join(dict.fromkeys(each.place for each in several if each.place))


def _start(value: object) -> str:
    shown = repr(dict(value) if isinstance(value, tuple) else value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _storable(text: str) -> str:
    """`text`, spaces put right, as UTF-8 can hold it: halves of characters are written out."""
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")
