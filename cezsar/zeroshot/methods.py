"""Methods under their own names, with one interface: CEZSAR, the cross-modal Transformer, and some without training.

[9] is Estevam et al., Global Semantic Descriptors, IEEE SPL 29 (2022), [12] Estevam et al., Tell me what you see, MTAP
83 (2024). What is "after" a paper is no reproduction: recognisers, captioning models and sentences are those given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cezsar import encoders
from cezsar.data.annotations import load_captions
from cezsar.data.datasets import Dataset, named_descriptions, open_dataset
from cezsar.data.features import FeatureStore
from cezsar.errors import InputError, MismatchError
from cezsar.formats import digest
from cezsar.training.runs import Run
from cezsar.zeroshot import spaces
from cezsar.zeroshot.evaluation import Correctness, Parts, Result, correctness, evaluate, evaluate_each
from cezsar.zeroshot.fusion import Weights, active
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.spaces import Captions, Embedded, Progress, Space


@dataclass(frozen=True)
class Method:
    """A way to name clips."""

    name: str  # as options take it
    title: str  # as tables have it
    needs: str  # what it cannot do without, in words
    weights: Weights | None = None  # α, β, γ; None where a run says: the method is one that is trained
    shares: bool = False  # class scores of a modality are brought to sum 1, over the classes of a run, before blending
    object_rule: str | None = None  # how O is made of objects; None for that of the run, or the paper's

    def form(self, scores: Scores) -> Scores:
        """Scores as the method compares them, among all classes."""
        return shares(scores, scores.class_names) if self.shares else scores

    def evaluate(self, scores: Scores, protocol: Protocol | Parts, weights: Weights) -> Result:
        """Accuracies over the runs of a protocol, or over parts of the clips; errors are those of `evaluate`."""
        by_run = self.shares and isinstance(protocol, Protocol)
        return evaluate(partial(shares, scores) if by_run else scores, protocol, weights)

    def correctness(self, scores: Scores, protocol: Protocol, weights: Weights) -> Correctness:
        """Which clips each run gets right, to be compared with another method's."""
        return correctness(partial(shares, scores) if self.shares else scores, protocol, weights)


METHODS = {
    method.name: method
    for method in (
        # Eq. 9 in the run's joint space with its weights; without a run with α = 0 in the sentence space
        Method("cezsar", "CEZSAR", "a store and a run, or captions"),
        # f_v(v) against f_t(u) and prototypes of related seen classes, after Lin et al., CVPR 2022
        Method("cross-modal", "Cross-modal, after Lin et al.", "a store and a run that was trained by this method"),
        # the sum of its objects' sentences, each times its probability, in the sentence space
        Method("objects", "Objects, after [9]", "a store with objects", Weights.only("O"), False, "definitions"),
        # that, and its captions: 0.6 and 0.4 of class scores that each sum to 1
        Method("objects+captions", "Objects + captions, after [9]", "a store with objects, and captions",
               Weights(alpha=0.0, beta=0.6, gamma=0.4), True, "definitions"),
        # all its captions as one sentence
        Method("captions", "Captions, after [12]", "captions", Weights.only("C")),
        # the mean of its frames' unit embeddings (Radford et al., CLIP, ICML 2021)
        Method("image-text", "Frozen image-text model", "a store of an encoder that reads text", Weights.only("VE")),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """What methods are given."""

    dataset: Dataset
    descriptions: Mapping[str, Sequence[str]]
    stores: Sequence[FeatureStore] = ()  # of its clips, each of another encoder; a method takes the first it can use
    captions: Captions | None = None
    averaged: bool = False  # captions of a clip are averaged, not joined (`embed.caption_rows`)
    sentences: str = "minilm"  # sentence encoder where no run says
    several: Several = "nearest"
    encoder_weights: Path | None = None  # of a frame encoder, where they are not in their usual place

    @classmethod
    def opened(cls, dataset: str, prototypes: str | None = None, *, stores: Sequence[Path] = (),
               captions: Sequence[Path] = (), **options: Any) -> Sources:  # fmt: skip
        """From names and files, as a command line has them; `prototypes` are the data set's own by default."""
        data, spoken = open_dataset(dataset), load_captions(captions) if captions else None
        described = named_descriptions(prototypes) if prototypes else data.descriptions
        return cls(data, described, [FeatureStore(folder) for folder in stores], spoken, **options)

    def fingerprints(self) -> dict[str, Any]:
        """Of all that figures depend on, but the run."""
        captions = self.captions and {clip: list(texts) for clip, texts in self.captions.items()}
        return {
            "dataset": self.dataset.name,
            "labels": digest(self.dataset.labels),
            "test stores": [store.fingerprint for store in self.stores],
            "descriptions": digest({name: list(texts) for name, texts in self.descriptions.items()}),
            "captions": digest([captions, self.averaged]) if captions else None,
            "several": self.several,
        }

    def sentence_encoder(self, run: Run | None) -> str:
        """Name of the encoder of class descriptions."""
        return str(run.config.sentence_encoder["name"]) if run else self.sentences


@dataclass(frozen=True, eq=False)
class Prepared:
    """A method with the scores of a data set, in the method's own form: ready for any protocol."""

    method: Method
    title: str
    embedded: Embedded
    scores: Scores
    weights: Weights
    run: Run | None = None
    store: FeatureStore | None = None

    @property
    def modality(self) -> str:
        return " + ".join(active(self.scores, self.weights))

    def only(self, modality: str) -> Prepared:
        """The same with one modality alone."""
        return replace(self, weights=Weights.only(modality))

    def evaluate(self, protocol: Protocol | Parts) -> Result:
        """`Method.evaluate`, under the method's name."""
        return replace(self.method.evaluate(self.scores, protocol, self.weights), method=self.title)

    def table(self, protocol: Protocol | Parts) -> list[Result]:
        """Rows of a table: of CEZSAR each modality alone and the fusion, of others the method as it is."""
        if self.method.name == "cezsar":
            return evaluate_each(self.scores, protocol, self.weights)
        return [self.evaluate(protocol)]

    def correctness(self, protocol: Protocol) -> Correctness:
        return self.method.correctness(self.scores, protocol, self.weights)


def possible(sources: Sources, runs: Sequence[Run] = ()) -> list[str]:
    """Names of the methods for which everything is there; those that are trained need a run of theirs."""
    trained = {run.method for run in runs}
    there = {name: method for name, method in METHODS.items() if _given(method, sources, None) is not None}
    return [name for name, method in there.items() if method.weights is not None or name in trained]


def prepare(name: str | None, sources: Sources, run: Run | None = None, progress: Progress | None = None) -> Prepared:
    """Embed a data set as a method does, by default the run's own, or `cezsar` without a run. Raises `InputError` for
    an unknown method, a run of another, or what is lacking, `MismatchError` where no store is of the run's encoder."""
    name = name or (run.method if run else "cezsar")
    if name not in METHODS:
        raise InputError(f"method {name!r} is unknown; there are {', '.join(METHODS)}")
    method = METHODS[name]
    run = run if method.weights is None else None
    if run and run.method != name:
        raise InputError(f"run {run.name} was trained for method {run.method}, not {name}; leave the method out")
    given = _given(method, sources, run)
    if given is None or (name == "cross-modal" and run is None):
        raise InputError(f"method {name} needs {method.needs}")
    store, captions = given
    if name == "image-text" and store is not None:
        space = image_text_space(store.provenance, store.folder, sources.encoder_weights)
    else:
        space = spaces.space_for(run, sources.sentences)
    embedded = spaces.embed_dataset(
        space, store, sources.dataset, sources.descriptions, run=run, captions=captions, averaged=sources.averaged,
        object_rule=method.object_rule, progress=progress,
    )  # fmt: skip
    scores = method.form(Scores.from_embeddings(embedded.embeddings, sources.several))
    weights = method.weights or (Weights(**run.config.fusion) if run else Weights(0.0, 1.0, 1.0))
    if not any(weights.of(name) for name in scores.modalities):
        weights = Weights.only(scores.modalities[0])  # captions alone, and a run that was not made for captions
    title = f"{method.title} ({run.name})" if run else method.title
    return Prepared(method, title, embedded, scores, weights, run, store)


def shares(scores: Scores, classes: Sequence[str]) -> Scores:
    """Class scores as shares: in each modality a clip's scores for `classes` are brought to sum 1, after [9]; negative
    ones count as 0. Lengths are such that `fusion.cosine` is the share, for weights of sum 1."""
    chosen = np.sort(scores.indices(classes))  # their order decides ties
    columns = {}
    for modality, matrix_NC in scores.matrices.items():
        positive_NK = np.maximum(matrix_NC[:, chosen], 0).astype(np.float64)
        sums_N1 = positive_NK.sum(axis=1, keepdims=True)
        columns[modality] = (positive_NK / np.where(sums_N1 > 0, sums_N1, 1)).astype(np.float32)
    ones = np.ones((len(scores.ids), len(columns), len(columns)))
    names = [scores.class_names[index] for index in chosen]
    dead = [name for name in names if name in scores.dead_classes]
    return Scores(scores.ids, scores.labels, names, columns, ones, dead_classes=dead)


def _given(method: Method, sources: Sources, run: Run | None) -> tuple[FeatureStore | None, Captions | None] | None:
    """The store and the captions that a method uses; None where what it needs is not there."""
    weights, stores, captions = method.weights, sources.stores, sources.captions
    if method.name == "image-text":
        reads = [reads_text(store.provenance) for store in stores]
        return (stores[reads.index(True)], None) if any(reads) else None
    if weights is None:
        made_by = run.config.feature_encoder["fingerprint"] if run else None
        of_run = [store for store in stores if store.provenance["fingerprint"] == made_by]
        first = next(iter([*of_run, *stores]), None)
        return (first, captions) if first is not None or captions is not None else None
    named = [store for store in stores if store.vocabulary is not None]
    if (weights.beta and not named) or (weights.gamma and captions is None):
        return None
    return named[0] if weights.beta else None, captions if weights.gamma else None


def reads_text(made: Mapping[str, Any]) -> bool:
    """Whether a store of that provenance is of an encoder that reads text, too."""
    kind, _, model = str(made["encoder"]).partition(":")
    return kind in encoders.IMAGE_TEXT and bool(model)


def image_text_space(made: Mapping[str, Any], store: Path, weights: Path | None = None) -> Space:
    """The space of the encoder that made a store of that provenance; `weights`, where they are not in their usual
    place. Raises `MismatchError` where it is another one here."""
    encoder = encoders.create(made["encoder"], weights=weights)
    if encoder.fingerprint != made["fingerprint"] or not isinstance(encoder, spaces.TextEncoder):
        raise MismatchError(
            f"{store} was made with another {encoder.name} (fingerprint {made['fingerprint'][:12]}) "
            f"than the one here ({encoder.fingerprint[:12]}); extract the features again, or give its weights"
        )
    return spaces.ImageTextSpace(encoder)
