"""What makes class descriptions poor prototypes: each finding with what to do about it. `load_descriptions` refuses
what cannot be read; this tells what it reads all the same, and what costs accuracy."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.arrays import unit_rows
from cezsar.data import datasets
from cezsar.data.documents import enumerated
from cezsar.data.labels import canonical, is_invisible, spoken
from cezsar.data.sentence_cache import Encoder

FAULTS = {  # what is looked for, in the order of reports, and what to do about it
    "damaged text": "copy it anew from the original, opened as UTF-8",
    "unknown class": "remove it, or check its spelling",
    "missing class": "write a sentence for it",
    "same sentence for several classes": "no clip can be told apart by it: say what only one of them shows",
    "same sentence twice in a class": "keep it once",
    "name as description": "write what the body does, with which objects, and where",
    "short description": "say more: the movement, the objects, the places",
    "description longer than the encoder reads": "shorten it, or make several sentences of it: its end is not read",
    "near-identical descriptions": "say early what a camera sees in one of them alone",
}
# Cosine similarity above which two classes count as described alike. Under MiniLM the nearest two classes of a shipped
# set have 0.81, and an action that two shipped sets describe independently has a median of 0.93.
NEAR = 0.85
FEWEST_WORDS = 5
SHOWN = 10  # classes that one finding names
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
    classes: tuple[str, ...]
    what: str
    advice: str
    pair: Pair | None = None  # of near-identical descriptions

    def __str__(self) -> str:
        return f"{self.what}; {self.advice}"


@dataclass
class CheckReport:
    """What a check found."""

    source: str  # as it was named
    dataset: str  # whose classes it was compared with; "" if with none
    classes: int  # described
    sentences: int
    expected: int  # classes of the data set
    encoder: str  # what sentences were compared by; "" if they were not
    near: float  # similarity above which two classes are reported
    nearest: Pair | None = None  # the two classes that are most similar, reported or not
    findings: list[Finding] = field(default_factory=list)  # in the order of `FAULTS`; near pairs the most similar first

    def find(self, kind: str, classes: Sequence[str], what: str, advice: str = "", pair: Pair | None = None) -> None:
        self.findings.append(Finding(kind, tuple(classes), what, advice or FAULTS[kind], pair))


def check(
    source: str | Path, dataset: str | Path | None = None, *, encoder: Encoder | None = None, near: float = NEAR,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> CheckReport:  # fmt: skip
    """What is wrong with the class descriptions `source` (as `named_descriptions` takes it), compared with the classes
    of `dataset` (of a shipped set by default its own), and with each other by `encoder` (None: not). `on_progress` gets
    (sentences encoded, sentences). Raises as `named_descriptions`."""
    if dataset is None and datasets.shipped_descriptions(str(source)):
        dataset = str(source)
    expected, described = datasets.class_names(dataset) if dataset else [], datasets.named_descriptions(str(source))
    counts = len(described), sum(map(len, described.values())), len(expected)
    report = CheckReport(str(source), str(dataset or ""), *counts, encoder.name if encoder else "", near)
    for name, sentences in described.items():
        for text in dict.fromkeys([name, *sentences]):
            _find_damage(text, name, report)
    _find_in_sentences(described, encoder, report)
    if dataset:
        _compare_classes(described, expected, report)
    if encoder is not None:
        _find_alike(described, encoder, report, on_progress)
    report.findings.sort(key=lambda finding: list(FAULTS).index(finding.kind))
    return report


def words(sentence: str) -> list[str]:
    """The words of a sentence in order, in lower case and without punctuation; "push-up" is two, "boxer's" is one."""
    return _WORD.findall(unicodedata.normalize("NFC", sentence).casefold().replace("’", "'"))


def without(sentence: str, word: str) -> str:
    """The sentence without one of its `words`, wherever it stands."""
    left = _WORD.sub(lambda found: "" if words(found[0]) == [word] else found[0], sentence.replace("’", "'"))
    return re.sub(r"\s+(?=[,.;:!?])", "", " ".join(left.split()))


def differing_words(one: str, other: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that only the one and that only the other sentence has, each once, in the order of its sentence."""
    first, second = dict.fromkeys(words(one)), dict.fromkeys(words(other))
    return tuple(word for word in first if word not in second), tuple(word for word in second if word not in first)


def _find_damage(text: str, name: str, report: CheckReport) -> None:
    """Signs that a text was read in a wrong encoding, and characters that nobody types."""
    signs = []
    for run in dict.fromkeys(re.findall(r"[^\x00-\x7f]{2,}", text)):
        with suppress(UnicodeError):
            if _MEANT.fullmatch(meant := run.encode("cp1252").decode("utf-8")):
                signs.append(f"{run!r} for {meant!r}")
    if signs:
        what = f"{name!r} has {', '.join(signs)}: UTF-8 that was read in another encoding"
        report.find("damaged text", [name], what)
    if odd := dict.fromkeys(each for each in text if each == "\ufffd" or (is_invisible(each) and each != "\t")):
        codes = ", ".join(f"U+{ord(each):04X}" for each in odd)
        report.find("damaged text", [name], f"{name!r} has {codes}: {_start(text)}")


def _find_in_sentences(described: Mapping[str, list[str]], encoder: Encoder | None, report: CheckReport) -> None:
    """Sentences that come twice, case and punctuation not counted; those that say hardly more than the name, and those
    that the encoder cuts off."""
    inner: Any = getattr(encoder, "encoder", encoder)  # of a cache
    limit, alone = getattr(inner, "max_tokens", None), []
    users: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name, sentences in described.items():
        lengths = inner.count_tokens(sentences) if limit else [0] * len(sentences)
        for sentence, tokens in zip(sentences, lengths, strict=True):
            users.setdefault(tuple(words(sentence)) or (sentence,), []).append((name, sentence))
            if limit and tokens > limit:
                what = f"{name!r} has a sentence of {tokens:,} tokens, and {report.encoder} reads {limit:,}"
                report.find("description longer than the encoder reads", [name], f"{what}: {_start(sentence)}")
            if canonical(sentence) == canonical(name) or words(sentence) == words(spoken(name)):
                alone.append(name)
            elif (count := len(words(sentence))) < FEWEST_WORDS:
                report.find("short description", [name], f"{name!r} is described in {count} words: {_start(sentence)}")
    if alone:
        names = enumerated(map(repr, alone), SHOWN)
        report.find("name as description", alone, f"described by nothing but the name: {names}")
    for used in users.values():
        names_of = list(dict.fromkeys(name for name, _ in used))
        if len(names_of) > 1:
            what = f"{' and '.join(map(repr, names_of))} have the same sentence: {_start(used[0][1])}"
            report.find("same sentence for several classes", names_of, what)
        elif len(used) > 1:
            what = f"{names_of[0]!r} has a sentence twice: {_start(used[0][1])}"
            report.find("same sentence twice in a class", names_of, what)


def _compare_classes(described: Mapping[str, list[str]], expected: Sequence[str], report: CheckReport) -> None:
    """Classes of the data set that are not described, and described ones that it has not."""
    wanted, have = ({canonical(name): name for name in names} for names in (expected, described))
    missing = {key: name for key, name in wanted.items() if key not in have}
    unknown = {key: name for key, name in have.items() if key not in wanted}
    for key, name in unknown.items():
        near = difflib.get_close_matches(key, missing, n=1) or difflib.get_close_matches(key, wanted, n=1)
        advice = f"did you mean {wanted[near[0]]!r}?" if near else ""
        report.find("unknown class", [name], f"{name!r} is no class of {report.dataset}", advice)
    for key, name in missing.items():
        near = difflib.get_close_matches(key, unknown, n=1)
        advice = f"write a sentence for it, or is it {unknown[near[0]]!r}?" if near else ""
        report.find("missing class", [name], f"{name!r} of {report.dataset} has no description", advice)


def _find_alike(
    described: Mapping[str, list[str]], encoder: Encoder, report: CheckReport,
    on_progress: Callable[[int, int], object],
) -> None:  # fmt: skip
    """The most similar pair of classes, and all pairs above `near`, but those that share a sentence: told already."""
    names, texts = list(described), list(described.values())
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
            report.find("near-identical descriptions", pair.classes, what, pair=pair)


def _start(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
