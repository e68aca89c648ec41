"""Better words for a label, without any model of its own: published descriptions near it, as patterns; its look-alikes
among other labels, and the words that tell them apart; where other sentences put it, and the clips they win and lose.

What a word does is measured by leaving it out, wherever it stands in its sentence. Of two labels, s and t are the two
sentences that are nearest in the space of clips; the word w of s tells the labels apart by

    cos(SE(s without w), SE(t)) - cos(SE(s), SE(t)):

above 0 they are nearer without it, so it holds them apart; below 0 it makes them alike. Such changes sum to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cezsar.analysis.confusion import NO_DIFFERENCE
from cezsar.arrays import DoubleArray, FloatArray, IntArray, unit_rows
from cezsar.data.datasets import named_descriptions, shipped_descriptions
from cezsar.data.labels import spoken
from cezsar.data.layout import KNOWN
from cezsar.data.prototype_checks import differing_words, without, words
from cezsar.data.sentence_cache import Encoder
from cezsar.zeroshot.spaces import Descriptions, Space, prototypes_of

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Ranking

PATTERNS = 5
MOST_WORDS = 30  # of a sentence are left out in turn


class Pattern(NamedTuple):
    """A published class that is described like a label."""

    dataset: str  # "ucf101", "hmdb51" or "kinetics400"
    name: str
    sentences: list[str]
    similarity: float  # of the nearest two sentences, cosine under the sentence encoder


class Neighbour(NamedTuple):
    """Another label, and how near its nearest prototype is to one of a label's."""

    name: str
    similarity: float  # cosine in the space, 0 where nothing is known of one


class WordEffect(NamedTuple):
    """What a word of a sentence does."""

    word: str
    change: float  # of the similarity to the other label, when it is left out: above 0 it holds the two apart


class Contrast(NamedTuple):
    """Two labels by their nearest two sentences, and what the words of each do, those that hold apart first."""

    name: str
    other: str
    similarity: float
    sentence: str
    other_sentence: str
    words: list[WordEffect]
    other_words: list[WordEffect]


def patterns(sentences: Sequence[str], encoder: Encoder, most: int = PATTERNS) -> list[Pattern]:
    """The published classes whose descriptions are nearest to these sentences, nearest first, without those that say
    nothing else."""
    found = [
        (dataset, name, texts)
        for dataset in KNOWN if shipped_descriptions(dataset)
        for name, texts in named_descriptions(dataset).items() if not set(texts) <= set(sentences)
    ]  # fmt: skip
    rows_PS = unit_rows(encoder.encode([text for *_, texts in found for text in texts]))
    starts = np.cumsum([0, *(len(texts) for *_, texts in found[:-1])])
    near_C = np.maximum.reduceat((unit_rows(encoder.encode(sentences)) @ rows_PS.T).max(axis=0), starts)
    order: list[int] = np.argsort(-near_C, kind="stable")[:most].tolist()
    return [Pattern(*found[row], float(near_C[row])) for row in order]


def further_words(sentences: Sequence[str], than: Sequence[str]) -> list[str]:
    """The words that only the first sentences have, without those that tell no two actions apart."""
    only, _ = differing_words(" ".join(sentences), " ".join(than))
    return [word for word in only if word not in NO_DIFFERENCE]


class Wording:
    """Labels with their sentences, in a space of clips. Nothing that is asked changes them."""

    def __init__(self, space: Space, labels: Descriptions,
                 prototypes: tuple[list[str], FloatArray, IntArray] | None = None) -> None:  # fmt: skip
        """`prototypes` as `prototypes_of` gives them, where they are known already."""
        self.space, self.labels = space, labels
        self._names, rows_PE, owner_P = prototypes or prototypes_of(space, labels)
        alive_P = rows_PE.any(axis=1)
        self._units_PE, self._owner_P = unit_rows(rows_PE[alive_P].astype(np.float64)), owner_P[alive_P]

    def neighbours(self, name: str, sentences: Sequence[str] = ()) -> list[Neighbour]:
        """The other labels, nearest first: as things are, or were these the label's sentences; it may be a new one."""
        known = np.array(self._names)[self._owner_P] == name
        units_KE = self._units(name, sentences) if sentences else self._units_PE[known]
        units_KE = units_KE[units_KE.any(axis=1)]
        near_C = np.full(len(self._names), -np.inf)
        np.maximum.at(near_C, self._owner_P, (units_KE @ self._units_PE.T).max(axis=0, initial=-np.inf))
        near_C = np.where(np.isfinite(near_C), near_C, 0).clip(-1, 1)
        order = np.argsort(-near_C, kind="stable").tolist()
        return [Neighbour(self._names[row], float(near_C[row])) for row in order if self._names[row] != name]

    def contrast(self, name: str, other: str, sentences: Sequence[str] = ()) -> Contrast:
        """What the words of a label, or of other sentences for it, and those of another label do. Both need
        sentences."""
        own, its = sentences or self.labels[name], self.labels[other]
        own_KE, its_KE = self._units(name, own), self._units(other, its)
        near_KK = own_KE @ its_KE.T
        i, j = divmod(int(near_KK.argmax()), len(its))
        near = float(near_KK[i, j])
        effects = self._effects(name, own[i], its_KE[j], near), self._effects(other, its[j], own_KE[i], near)
        return Contrast(name, other, near, own[i], its[j], *effects)

    def _effects(self, name: str, sentence: str, against_E: DoubleArray, near: float) -> list[WordEffect]:
        rest = {word: without(sentence, word) for word in words(sentence) if word not in NO_DIFFERENCE}
        rest = {word: text for word, text in list(rest.items())[:MOST_WORDS] if words(text)}
        if not rest:
            return []
        # A bare name goes into a model's prompts, and so does what is left of it.
        names = list(rest.values()) if sentence == spoken(name) else [name] * len(rest)
        changes = unit_rows(self.space.labels(names, list(rest.values())).astype(np.float64)) @ against_E - near
        return sorted(map(WordEffect, rest, changes.tolist()), key=lambda effect: -effect.change)

    def _units(self, name: str, sentences: Sequence[str]) -> DoubleArray:
        return unit_rows(self.space.labels([name] * len(sentences), sentences).astype(np.float64))


def gained_and_lost(name: str, before: Sequence[Ranking], after: Sequence[Ranking]) -> tuple[list[int], list[int]]:
    """Of clips, ranked before and after a change, the places of those that are taken for the label now and were not,
    and the other way round. A clip beyond a limit is taken for none."""
    was, now = ([not one.reasons and one.labels[0][0] == name for one in rankings] for rankings in (before, after))
    places = range(len(was))
    return [n for n in places if now[n] and not was[n]], [n for n in places if was[n] and not now[n]]
