"""Other sentences for a class of a scored data set, tried at once: one workshop and one encoder for all sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app import state
from app.library.descriptions import save
from app.services import labels, scored
from cezsar import workspace
from cezsar.analysis.confusion import Lookalikes, confusable
from cezsar.arrays import FloatArray
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.scored import Scored, reworded
from cezsar.zeroshot.spaces import Space, prototypes_of
from cezsar.zeroshot.weights import outcome
from cezsar.zeroshot.workshop import Trial, Workshop

PAIRS = 6  # of look-alikes that are suggested


@dataclass(frozen=True, eq=False)
class Bench:
    """A scored data set with its words, ready for trials.

    Attributes:
        key: another for other content.
        space: where sentences join its prototypes.
        known: class -> the sentences it was scored with; empty for sets that were kept without them.
        described: sentences of one's own that trials start from instead, by canonical name; empty if there are none.
        shop: with these sentences.
    """

    key: str
    item: Scored
    space: Space
    known: Mapping[str, Sequence[str]]
    described: Mapping[str, Sequence[str]]
    shop: Workshop

    def sentences(self, classes: Sequence[str]) -> dict[str, list[str]]:
        """Class -> the sentences that a trial starts from; none where they are not known."""
        return {name: list(self.described.get(canonical(name)) or self.known.get(name, ())) for name in classes}


def bases(item: Scored) -> dict[str, Path | None]:
    """What trials can start from, by name: the sentences it was scored with, and sets of one's own that share a class
    with it."""
    names = {canonical(name) for name in scored.embeddings(item).class_names}
    own = {known.title: known for known in labels.label_sets().values() if known.folder_file is not None}
    shared = {title: known.folder_file for title, known in own.items() if names & set(map(canonical, known.names))}
    return {state.AS_SCORED: None, **shared}


def own_sets() -> list[str]:
    """Names of all sets of one's own."""
    return [known.title for known in labels.label_sets().values() if known.folder_file is not None]


def bench(item: Scored, base: Path | None) -> Bench:
    """The workshop of a scored data set.

    Args:
        base: file of descriptions to start from; None for the sentences it was scored with.

    Raises:
        CezsarError: nothing here embeds sentences into its space, or the file cannot be read.
    """
    key = f"{item.fingerprint} {item.folder} {workspace.home().absolute()}"
    space = _space(key, item)
    stamp = "" if base is None else f"{base} {base.stat().st_mtime_ns}"
    return _bench(f"{key} {stamp}", item, base, space)


@st.cache_resource(max_entries=2, show_spinner="Loading the run and its sentence encoder")
def _space(key: str, _item: Scored) -> Space:
    return _item.space()


@st.cache_resource(max_entries=4, show_spinner="Embedding class descriptions")
def _bench(key: str, _item: Scored, _base: Path | None, _space: Space) -> Bench:
    known, described = _item.descriptions(), load_descriptions(_base) if _base else {}
    embeddings = reworded(scored.embeddings(_item), _space, known, described)
    shop = Workshop(embeddings, _item.weights, _item.several, form=_item.method.form)
    return Bench(key, _item, _space, known, {canonical(name): texts for name, texts in described.items()}, shop)


def tried(bench: Bench, class_name: str, texts: Sequence[str], *, new: bool = False, append: bool = False) -> Trial:
    """What other sentences of a class would give, computed once.

    Raises:
        InputError: no sentence, an empty one, an unknown class, or a new one that is there already.
    """
    return _tried(bench.key, class_name, tuple(texts), new, append, bench)


@st.cache_resource(max_entries=24, show_spinner=False)
def _tried(key: str, class_name: str, texts: tuple[str, ...], new: bool, append: bool, _bench: Bench) -> Trial:
    if not texts or not all(text.strip() for text in texts):
        raise InputError("a class is described by at least one sentence, and none of them is empty; write one")
    vectors_PE = _encoded(key, class_name, texts, _bench.space)
    if new:
        return _bench.shop.add_class(class_name, vectors_PE)
    return _bench.shop.try_sentences(class_name, vectors_PE, append=append)


@st.cache_data(max_entries=256, show_spinner="Encoding the sentences; the encoder is loaded once, in some seconds")
def _encoded(key: str, class_name: str, texts: tuple[str, ...], _space: Space) -> FloatArray:
    return prototypes_of(_space, {class_name: texts})[1]


def unchanged(bench: Bench, class_name: str) -> Trial:
    """The class with the prototypes that it has, in the form of a trial."""
    return _unchanged(bench.key, class_name, bench)


@st.cache_resource(max_entries=24, show_spinner=False)
def _unchanged(key: str, class_name: str, _bench: Bench) -> Trial:
    embeddings = _bench.shop.embeddings
    own_P = embeddings.prototype_class == embeddings.class_names.index(class_name)
    return _bench.shop.try_sentences(class_name, embeddings.prototypes[own_P])


def as_kept(item: Scored) -> float:
    """Top-1 accuracy by the scores that other pages read. Where these are kept as float16, a clip in a thousand may be
    decided otherwise than by its embeddings."""
    return _as_kept(item.fingerprint, item)


@st.cache_data(max_entries=16, show_spinner=False)
def _as_kept(fingerprint: str, _item: Scored) -> float:
    return outcome(scored.scores(_item), _item.weights).top1


def suggestions(bench: Bench) -> list[Lookalikes]:
    """Pairs of classes that are confused and described alike, with the words that tell them apart."""
    return _suggestions(bench.key, bench)


@st.cache_data(max_entries=8, show_spinner="Looking for classes that are described alike")
def _suggestions(key: str, _bench: Bench) -> list[Lookalikes]:
    shop = _bench.shop
    names = shop.embeddings.class_names
    counts_CC = confusion_matrix(shop.scores, shop.weights, names)
    found = confusable(shop.embeddings, counts_CC, names, k=PAIRS)
    inside = dict.fromkeys(name for pair in found for name in (pair.first, pair.second))
    return confusable(shop.embeddings, counts_CC, names, _bench.sentences(list(inside)), PAIRS)


def keep(bench: Bench, class_name: str, texts: Sequence[str], name: str) -> Path:
    """Write the sentences of a class into a set of one's own; a new set gets the other classes, too, as far as their
    sentences are known.

    Raises:
        InputError: no such name is possible, or it is that of a ready-made set.
        FormatError: a class without a sentence, or in two spellings.
    """
    path = bases(bench.item).get(name) or labels.own_folder() / f"{name}.json"
    if name in own_sets():
        known = load_descriptions(path)
        spelt = next((other for other in known if canonical(other) == canonical(class_name)), class_name)
        return save(name, known | {spelt: list(texts)}, replace=True)
    known = bench.sentences(bench.shop.embeddings.class_names) | {class_name: list(texts)}
    return save(name, {other: given for other, given in known.items() if given})
