"""What is wrong with class descriptions before they become prototypes: all of it at once, each with what to do.

`load_descriptions` stops at the first fault, and takes much that is no fault of form and still costs accuracy: two
classes with one sentence, a class that is missing, text that was read in the wrong encoding. Here reading goes on.
`Kind` lists what is looked for; `cezsar.data.prototype_sources` reads.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from cezsar.arrays import FloatArray, unit_rows
from cezsar.data import datasets
from cezsar.data.labels import canonical, spoken
from cezsar.data.prototype_checks import Described, Finding, Kind, Source, read_all
from cezsar.data.sentence_cache import Encoder, SentenceCache
from cezsar.errors import InputError

NEAR = 0.85
"""Cosine similarity above which two classes count as described alike. Under MiniLM the nearest two classes of a shipped
set have 0.81, and an action that two shipped sets describe independently has a median of 0.93."""
FEWEST_WORDS = 5
BLOCK = 128  # sentences encoded between two reports of progress

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Pair:
    """Two classes by their two most similar sentences.

    Attributes:
        similarity: of the sentences, cosine, -1 to 1.
        only: words that only the first and only the second sentence has (`differing_words`).
    """

    classes: tuple[str, str]
    sentences: tuple[str, str]
    similarity: float
    only: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class NearPair(Finding):
    """Two classes that are described alike."""

    pair: Pair


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        source: what was checked, as it was named.
        dataset: whose classes it was compared with; "" if with none.
        classes: how many it describes, spellings of one counted once.
        sentences: how many it holds.
        expected: how many classes the data set has.
        encoder: what sentences were compared by; "" if they were not.
        near: similarity above which two classes are reported.
        nearest: the two classes that are most similar, reported or not.
        findings: in the order of `Kind`; `NearPair` the most similar first.
    """

    source: str
    dataset: str
    classes: int
    sentences: int
    expected: int
    encoder: str
    near: float
    nearest: Pair | None
    findings: tuple[Finding, ...]


@runtime_checkable
class Measured(Protocol):
    """An encoder that tells how much of a sentence it reads."""

    @property
    def max_tokens(self) -> int | None: ...
    def count_tokens(self, sentences: Sequence[str]) -> list[int]: ...


def check(
    source: str | Path,
    dataset: str | Path | None = None,
    *,
    encoder: Encoder | None = None,
    near: float = NEAR,
    home: str | Path | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> Report:
    """Everything that is wrong with class descriptions.

    Args:
        source: a file or folder as `load_descriptions` takes it, or the name of a shipped set.
        dataset: whose classes they should describe, as `open_dataset` takes it; for a shipped set by default its own.
        encoder: tells similar sentences, and those it cuts off; None leaves both out.
        near: cosine similarity from -1 to 1 above which two classes are reported.
        home: the workspace in which the data set is looked for.
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
    read = read_all(datasets.find_descriptions(str(source)))
    findings = [*read.findings, *_twice(read), *_same_sentences(read), *_poor(read)]
    if dataset is not None:
        findings += _against(read, expected, str(dataset))
    nearest = None
    if encoder is not None:
        findings += _too_long(read, encoder)
        alike, nearest = _alike(read, encoder, near, on_progress)
        findings += alike
    order = list(Kind)
    return Report(
        source=str(source),
        dataset="" if dataset is None else str(dataset),
        classes=len({canonical(each.name) for each in read.described}),
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


# Classes -------------------------------------------------------------------------------------------------------------


def _by_class(read: Source) -> dict[str, list[Described]]:
    found: dict[str, list[Described]] = {}
    for each in read.described:
        found.setdefault(canonical(each.name), []).append(each)
    return found


def _twice(read: Source) -> Iterator[Finding]:
    for several in _by_class(read).values():
        if len(several) > 1:
            names = tuple(dict.fromkeys(each.name for each in several))
            times = "twice" if len(several) == 2 else f"{len(several)} times"
            what = f"{names[0]!r} is there {times}" if len(names) == 1 else f"{_quoted(names)} spell one class"
            same = len({tuple(tuple(words(sentence)) for sentence in each.sentences) for each in several}) == 1
            advice = "keep one" if same or read.names_only else "keep one, with the sentences that are right"
            yield Finding(Kind.CLASS_TWICE, names, _places(several), what, advice)


def _same_sentences(read: Source) -> Iterator[Finding]:
    """The same sentence for several classes, or several times for one; case and punctuation do not count."""
    users: dict[tuple[str, ...], list[Described]] = {}
    for each in read.described:
        seen: set[tuple[str, ...]] = set()
        for sentence in each.sentences:
            key = tuple(words(sentence)) or (sentence,)
            if key in seen:
                what = f"{each.name!r} has a sentence twice: {_start(sentence)}"
                yield Finding(Kind.SENTENCE_TWICE, (each.name,), each.place, what, "keep it once")
            else:
                users.setdefault(key, []).append(each)
            seen.add(key)
    for key, several in users.items():
        names = {canonical(each.name): each.name for each in reversed(several)}
        if len(names) > 1:
            classes = tuple(reversed(names.values()))
            sentence = next(one for one in several[0].sentences if (tuple(words(one)) or (one,)) == key)
            what = f"{_quoted(classes)} have the same sentence: {_start(sentence)}"
            yield Finding(
                Kind.SENTENCE_SHARED, classes, _places(several), what,
                "no clip can be told apart by it: say what only one of them shows",
            )  # fmt: skip


def _poor(read: Source) -> Iterator[Finding]:
    """Sentences that say hardly more than the name."""
    if read.names_only:
        names = tuple(each.name for each in read.described)
        yield Finding(
            Kind.OWN_NAME, names, "", f"a list of {len(names):,} names: each class is described by its name alone",
            "write a sentence for each",
        )  # fmt: skip
        return
    for each in read.described:
        for sentence in each.sentences:
            if canonical(sentence) == canonical(each.name) or words(sentence) == words(spoken(each.name)):
                what = f"{each.name!r} is described by its own name alone"
                yield Finding(
                    Kind.OWN_NAME, (each.name,), each.place, what,
                    "write what the body does, with which objects, and where",
                )  # fmt: skip
            elif (count := len(words(sentence))) < FEWEST_WORDS:
                what = f"{each.name!r} is described in {count} words: {_start(sentence)}"
                yield Finding(
                    Kind.SHORT, (each.name,), each.place, what, "say more: the movement, the objects, the places"
                )


def _against(read: Source, expected: Sequence[str], dataset: str) -> Iterator[Finding]:
    """Classes of a data set that are not described, and described ones that it has not."""
    wanted = {canonical(name): name for name in expected}
    have = {canonical(each.name): each for each in [*read.without, *read.described]}
    missing = {key: name for key, name in wanted.items() if key not in have}
    unknown = {key: each for key, each in have.items() if key not in wanted}
    for key, each in unknown.items():
        near = difflib.get_close_matches(key, missing, n=1) or difflib.get_close_matches(key, wanted, n=1)
        advice = f"did you mean {wanted[near[0]]!r}?" if near else "remove it, or check its spelling"
        yield Finding(Kind.UNKNOWN, (each.name,), each.place, f"{each.name!r} is no class of {dataset}", advice)
    for key, name in missing.items():
        near = difflib.get_close_matches(key, unknown, n=1)
        advice = f"write a sentence for it, or is it {unknown[near[0]].name!r}?" if near else "write a sentence for it"
        yield Finding(Kind.MISSING, (name,), "", f"{name!r} of {dataset} has no description", advice)


# Sentences under an encoder ------------------------------------------------------------------------------------------


def _too_long(read: Source, encoder: Encoder) -> Iterator[Finding]:
    inner = encoder.encoder if isinstance(encoder, SentenceCache) else encoder
    if not isinstance(inner, Measured) or (limit := inner.max_tokens) is None:
        return
    for each in read.described:
        for sentence, count in zip(each.sentences, inner.count_tokens(each.sentences), strict=True):
            if count > limit:
                what = f"{each.name!r} has a sentence of {count:,} tokens, and {encoder.name} reads {limit:,}"
                yield Finding(
                    Kind.LONG, (each.name,), each.place, f"{what}: {_start(sentence)}",
                    "shorten it, or make several sentences of it: its end is not read",
                )  # fmt: skip


def _alike(
    read: Source, encoder: Encoder, near: float, on_progress: Callable[[int, int], object]
) -> tuple[list[NearPair], Pair | None]:
    """Pairs of classes with sentences more similar than `near`, the most similar first; and the most similar of all.
    Pairs that share a sentence are left out of the list: that is a finding of its own."""
    classes = [
        (several[0].name, [s for each in several for s in each.sentences]) for several in _by_class(read).values()
    ]
    classes = [(name, sentences) for name, sentences in classes if sentences]
    rows_NE = _unit_vectors([sentence for _, sentences in classes for sentence in sentences], encoder, on_progress)
    starts = np.cumsum([0, *(len(sentences) for _, sentences in classes)])
    found: list[Pair] = []
    nearest: Pair | None = None
    for a in range(len(classes) - 1):
        block_AM = rows_NE[starts[a] : starts[a + 1]] @ rows_NE[starts[a + 1] :].T
        offsets = starts[a + 1 :] - starts[a + 1]
        highest_B = np.maximum.reduceat(block_AM.max(axis=0), offsets[:-1])
        for b in np.flatnonzero((highest_B > near) | (highest_B == highest_B.max())):
            pair_AB = block_AM[:, offsets[b] : offsets[b + 1]]
            i, j = np.unravel_index(pair_AB.argmax(), pair_AB.shape)
            (name, sentences), (other, others) = classes[a], classes[a + 1 + b]
            similarity = float(np.clip(pair_AB[i, j], -1, 1))
            only = differing_words(sentences[i], others[j])
            pair = Pair((name, other), (sentences[i], others[j]), similarity, only)
            if nearest is None or similarity > nearest.similarity:
                nearest = pair
            if similarity > near and words(sentences[i]) != words(others[j]):
                found.append(pair)
    return [_near_pair(pair) for pair in sorted(found, key=lambda pair: -pair.similarity)], nearest


def _near_pair(pair: Pair) -> NearPair:
    (a, b), (only_a, only_b) = pair.classes, pair.only
    what = f"{a!r} and {b!r} have a similarity of {pair.similarity:.2f}"
    what += f"; only {a!r} says {', '.join(only_a) or 'nothing'}; only {b!r} says {', '.join(only_b) or 'nothing'}"
    return NearPair(Kind.NEAR, pair.classes, "", what, "say early what a camera sees in one of them alone", pair)


def _unit_vectors(sentences: Sequence[str], encoder: Encoder, on_progress: Callable[[int, int], object]) -> FloatArray:
    """Vectors of length 1; one of zeros stays, and is similar to nothing."""
    rows_NE = np.empty((len(sentences), encoder.dim), np.float32)
    for start in range(0, len(sentences), BLOCK):
        rows_NE[start : start + BLOCK] = encoder.encode(sentences[start : start + BLOCK])
        on_progress(min(start + BLOCK, len(sentences)), len(sentences))
    return unit_rows(rows_NE)


# Words for findings --------------------------------------------------------------------------------------------------


def _quoted(names: Sequence[str]) -> str:
    return " and ".join([", ".join(map(repr, names[:-1])), repr(names[-1])] if len(names) > 1 else map(repr, names))


def _places(several: Sequence[Described]) -> str:
    return " and ".join(dict.fromkeys(each.place for each in several if each.place))


def _start(sentence: str) -> str:
    return repr(sentence if len(sentence) <= 60 else sentence[:57] + "...")
