"""The words behind a scored data set: the sentences its prototypes were made of, and the space where others join them.

A scored data set keeps prototypes and not the sentences. `Wording` finds these again: a source of descriptions is
believed class by class, where its sentences, embedded anew, are the prototypes that were kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from cezsar import encoders, workspace, world
from cezsar.arrays import FloatArray
from cezsar.data import datasets
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical, spoken
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import CezsarError, InputError
from cezsar.training.runs import Run
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.spaces import JointSpace, SentenceSpace, Space

SAME = 0.01
"""Two vectors are of one sentence where they differ by less than this share of their length; rounding to float16, or
another device, changes a tenth of that."""

Described = Mapping[str, Sequence[str]]


class Wording:
    """Sentences and prototypes of one scored data set. What was found is remembered; threads may share it.

    Args:
        embeddings: whose prototypes these are.
        space: in which they lie.
        sources: class name, in any spelling, -> sentences that may have been used; the likeliest source first.
    """

    def __init__(self, embeddings: Embeddings, space: Space, sources: Sequence[Described]) -> None:
        self.embeddings, self.space = embeddings, space
        self._sources = [{canonical(name): list(texts) for name, texts in source.items()} for source in sources]
        self._found: dict[str, list[str]] = {}

    def encode(self, sentences: Sequence[str]) -> FloatArray:
        """(n, E) embeddings of sentences.

        Raises:
            InputError: there are none, or one is empty or no text.
        """
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise InputError("a class is described by at least one sentence, and none of them is empty; write one")
        return self.space.sentences(list(sentences))

    def sentences(self, classes: Sequence[str]) -> dict[str, list[str]]:
        """Class name -> the sentences of its prototypes, in their order; none where no source has them.

        Args:
            classes: as the embeddings spell them.
        """
        for source in self._sources:
            rows = {name: self._prototypes(name) for name in dict.fromkeys(classes) if name not in self._found}
            tried = {name: source[canonical(name)] for name in rows if canonical(name) in source}
            tried = {name: texts for name, texts in tried.items() if 0 < len(texts) == len(rows[name])}
            if not tried:
                continue
            vectors_PE = self.space.sentences([text for texts in tried.values() for text in texts])
            first = 0
            for name, texts in tried.items():
                if _same(vectors_PE[first : first + len(texts)], rows[name]):
                    self._found[name] = texts
                first += len(texts)
        return {name: list(self._found.get(name, ())) for name in classes}

    def reworded(self, described: Described) -> Embeddings:
        """The embeddings with other sentences, those of classes that are none so far included.

        Classes that are not described, and those whose sentences are what they were, keep their prototypes.

        Args:
            described: class name, in any spelling, -> sentences.

        Raises:
            InputError: a class without a sentence, or one in two spellings.
        """
        old = self.embeddings
        spelt = {canonical(name): name for name in old.class_names}
        new = {spelt.get(canonical(name), name): list(texts) for name, texts in described.items()}
        known = self.sentences([name for name in new if canonical(name) in spelt])
        new = {name: texts for name, texts in new.items() if texts != known.get(name)}
        if not new:
            return old
        names = [*old.class_names, *(name for name in new if canonical(name) not in spelt)]
        place = {name: index for index, name in enumerate(names)}
        kept_P = ~np.isin(old.prototype_class, [place[name] for name in new])
        vectors_PE = self.encode([text for texts in new.values() for text in texts])
        return replace(
            old,
            class_names=names,
            prototypes=np.concatenate([old.prototypes[kept_P], vectors_PE]),
            prototype_class=np.concatenate(
                [old.prototype_class[kept_P], np.repeat([place[name] for name in new], [*map(len, new.values())])]
            ),
        )

    def _prototypes(self, name: str) -> FloatArray:
        index = self.embeddings.class_names.index(name)
        return self.embeddings.prototypes[self.embeddings.prototype_class == index]


def wording_of(
    item: Scored,
    embeddings: Embeddings,
    *,
    run: str | Path | None = None,
    sentences: str | None = None,
    home: str | Path | None = None,
) -> Wording:
    """The words of a scored data set.

    Args:
        embeddings: its own.
        run: folder of its run; by default looked for by its name, beside the scored data set and in the workspace.
        sentences: the sentence encoder of a data set that was scored without a run; by default the first one here that
            makes its prototypes of sentences that are known.
        home: the workspace; `$CEZSAR_HOME` by default.

    Raises:
        InputError: its run has no weights here, its sentence encoder is not known, or it was scored in a space where
            nothing embeds sentences.
        MissingWeightsError: the sentence encoder is not here.
    """
    if embeddings.space == "joint":
        found = _run_of(item, run, home)
        encoder = open_encoder(found.config.sentence_encoder["name"], home=home)
        return Wording(embeddings, JointSpace.of_run(found, encoder), _sources(item, embeddings, found, home))
    if embeddings.space != "sentence":
        raise InputError(
            f"{item.name} was scored in the {embeddings.space} space, where sentences cannot be tried; take one that "
            "was scored by a run, or in the space of a sentence encoder"
        )
    sources = _sources(item, embeddings, None, home)
    if sentences is not None:
        return Wording(embeddings, SentenceSpace(open_encoder(sentences, home=home)), sources)
    for status in encoders.available():
        if status.kind == "sentences" and status.present:
            encoder = open_encoder(status.name, home=home)
            wording = Wording(embeddings, SentenceSpace(encoder), sources)
            if encoder.dim == embeddings.prototypes.shape[1] and any(
                wording.sentences([name])[name] for name in embeddings.class_names
            ):
                return wording
    raise InputError(
        f"which sentence encoder {item.name} was scored with is not known: none that is here makes its prototypes of "
        "sentences that are known; name the encoder, or put the descriptions into the workspace"
    )


def several_of(embeddings: Embeddings, scores: Scores) -> Several:
    """What classes with several sentences were compared by: "mean" if they have one column each all the same."""
    assert scores.column_class is not None
    alive_P = embeddings.prototypes.any(axis=1)
    sentences_C = np.bincount(embeddings.prototype_class[alive_P], minlength=len(embeddings.class_names))
    return "mean" if len(scores.column_class) < np.maximum(sentences_C, 1).sum() else "nearest"


def _run_of(item: Scored, run: str | Path | None, home: str | Path | None) -> Run:
    """The very run that scored it, with its weights."""
    name, wanted = item.about["run"], item.about["run_fingerprint"]
    folders = [item.folder.resolve().parents[1] / "runs" / name, workspace.folder("runs", home) / name]
    for folder in [Path(run)] if run is not None else folders:
        weights = folder / "model.safetensors"
        if weights.is_file():
            with weights.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == wanted:
                    return Run.open(folder)
    where = str(run) if run is not None else "the workspace"
    raise InputError(
        f"new sentences of {item.name} need the weights of run {name!r} that scored it, and {where} has them not; "
        "bring the run, or score the data set again with one that is here"
    )


def _sources(item: Scored, embeddings: Embeddings, run: Run | None, home: str | Path | None) -> list[Described]:
    """Descriptions that may have been used: the run's own, the data set's, those of the workspace, the names."""
    found: list[Described] = []
    dataset = str(item.about["dataset"])
    files = [] if run is None else [run.folder / "prototypes.json"]
    if dataset == "demo":
        files.append(workspace.folder("demo", home) / "descriptions.json")
        found.append({name: [sentence] for name, sentence in world.DESCRIPTIONS.items()})
    shipped = datasets.shipped_descriptions(dataset.partition(":")[0])
    files += [shipped] if shipped else []
    files += sorted((workspace.folder("data", home) / "descriptions").glob("[!.]*.json"))
    for path in files:
        if path.is_file():
            with suppress(CezsarError):  # what cannot be read was not used
                found.append(load_descriptions(path))
    if not shipped and dataset != "demo":
        with suppress(CezsarError):  # its files may be elsewhere
            found.insert(0, datasets.open_dataset(dataset, home).descriptions)
    return [*found, {name: [spoken(name)] for name in embeddings.class_names}]


def _same(vectors_PE: FloatArray, prototypes_PE: FloatArray) -> bool:
    apart_P = np.linalg.norm(vectors_PE - prototypes_PE, axis=1)
    lengths_P = np.maximum(np.linalg.norm(vectors_PE, axis=1), np.linalg.norm(prototypes_PE, axis=1))
    return bool((apart_P <= SAME * lengths_P).all())
