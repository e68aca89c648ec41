"""Methods under their own names: CEZSAR, and its relatives that need no training.

| name | a clip is | compared in | source |
|---|---|---|---|
| `cezsar` | α VE(v) + β SE(O(v)) + γ SE(C(v)), with the weights of the run | the run's joint space | Eq. 9 |
| `objects` | the sum of its objects' sentences, each times its probability | the sentence space | Estevam et al., Global Semantic Descriptors, IEEE SPL 29 (2022) |
| `objects+captions` | that, and its captions: 0.6 and 0.4 of class scores that each sum to 1 | the sentence space | the same |
| `captions` | all its captions as one sentence | the sentence space | Estevam et al., Tell me what you see, MTAP 83 (2024) |
| `image-text` | the mean of its frames' unit embeddings | the space of a frozen image-text model | Radford et al., CLIP, ICML 2021 |

Without a run, `cezsar` is Eq. 9 with α = 0 in the sentence space: O(v) and C(v) as sentences, nothing trained. The
relatives are "after" their papers, not reproductions: recognisers, captioning models and sentences are those given.
"""  # noqa: E501 (a table)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cezsar import encoders
from cezsar.data.annotations import load_captions
from cezsar.data.datasets import Dataset, named_descriptions, open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.labels import resolve
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.embed import Embedded, Progress, embed_dataset, space_for
from cezsar.zeroshot.evaluation import Correctness, correctness, correctness_by_run, evaluate, evaluate_by_run
from cezsar.zeroshot.fusion import Weights, active
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.spaces import ImageTextSpace, SentenceSpace, Space, TextEncoder

BLEND = Weights(alpha=0.0, beta=0.6, gamma=0.4)
"""Objects and captions in [9]."""


@dataclass(frozen=True)
class Method:
    """A way to name clips.

    Attributes:
        name: as options take it.
        title: as tables have it.
        needs: what it cannot do without, in words.
        weights: α, β, γ; None where the run says.
        shares: class scores of each modality are brought to sum 1, over the classes of a run, before they are blended.
        object_rule: how O is made of objects; None for that of the run, or the paper's.
    """

    name: str
    title: str
    needs: str
    weights: Weights | None = None
    shares: bool = False
    object_rule: str | None = None


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("cezsar", "CEZSAR", "a store and a run, or captions"),
        Method("objects", "Objects, after [9]", "a store with objects", Weights.only("O"), object_rule="definitions"),
        Method(
            "objects+captions",
            "Objects + captions, after [9]",
            "a store with objects, and captions",
            BLEND,
            shares=True,
            object_rule="definitions",
        ),
        Method("captions", "Captions, after [12]", "captions", Weights.only("C")),
        Method(
            "image-text",
            "Frozen image-text model",
            "a store of an encoder that reads text",
            Weights.only("VE"),
        ),
    )
}
"""[9] and [12] are the numbers in the paper's list of references."""


@dataclass(frozen=True)
class Sources:
    """What methods are given.

    Attributes:
        descriptions: class name -> sentences.
        stores: of the data set's clips, each of another encoder. A method takes the first that it can use.
        captions: video id -> machine captions; None where there are none.
        averaged: captions of a clip are averaged, not joined (`embed.caption_rows`).
        sentences: sentence encoder where no run says.
        several: what a class with several sentences is compared by.
        encoder_weights: file or folder of a frame encoder's weights, where they are not in their usual place.
    """

    dataset: Dataset
    descriptions: Mapping[str, Sequence[str]]
    stores: Sequence[FeatureStore] = field(default_factory=tuple)
    captions: Mapping[str, Sequence[str]] | None = None
    averaged: bool = False
    sentences: str = "minilm"
    several: Several = "nearest"
    encoder_weights: Path | None = None

    @classmethod
    def opened(
        cls,
        dataset: str,
        prototypes: str | None = None,
        *,
        stores: Sequence[Path] = (),
        captions: Sequence[Path] = (),
        averaged: bool = False,
        sentences: str = "minilm",
        several: Several = "nearest",
        encoder_weights: Path | None = None,
    ) -> Sources:
        """From names and files, as a command line has them.

        Args:
            dataset: as `open_dataset` takes it.
            prototypes: as `named_descriptions` takes them; the data set's own by default.

        Raises:
            InputError, FormatError: as these do, and as stores and caption files do.
        """
        data = open_dataset(dataset)
        return cls(
            data,
            named_descriptions(prototypes) if prototypes else data.descriptions,
            [FeatureStore(folder) for folder in stores],
            load_captions(captions) if captions else None,
            averaged,
            sentences,
            several,
            encoder_weights,
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A method with the scores of a data set: ready for any protocol.

    Attributes:
        title: of the method, and the run if there are several.
        run: the run behind it; None where nothing was trained.
        store: the store that was used; None with captions alone.
    """

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

    def evaluate(self, protocol: Protocol) -> Result:
        """Accuracies over the runs of a protocol, under the method's name. Errors are those of `evaluate`."""
        if self.method.shares:
            result = evaluate_by_run(lambda names: shares(self.scores, names), protocol, self.weights)
        else:
            result = evaluate(self.scores, protocol, self.weights)
        return replace(result, method=self.title)

    def correctness(self, protocol: Protocol) -> Correctness:
        """Which clips each run gets right, to be compared with another method's."""
        if not self.method.shares:
            return correctness(self.scores, protocol, self.weights)
        return correctness_by_run(lambda names: shares(self.scores, names), protocol, self.weights)


def possible(sources: Sources, runs: Sequence[Run] = ()) -> list[str]:
    """Names of the methods for which everything is there, in the order of `METHODS`.

    Without a run, `cezsar` is not among them: its parts are there as relatives.
    """
    objects = _with_objects(sources) is not None
    given = {
        "cezsar": bool(runs) and bool(sources.stores or sources.captions),
        "objects": objects,
        "objects+captions": objects and sources.captions is not None,
        "captions": sources.captions is not None,
        "image-text": _of_image_text(sources) is not None,
    }
    return [name for name in METHODS if given[name]]


def prepare(name: str, sources: Sources, run: Run | None = None, progress: Progress | None = None) -> Prepared:
    """Embed a data set as a method does.

    Args:
        name: a key of `METHODS`.
        run: for `cezsar`; the others leave it.

    Raises:
        InputError: no such method, or what it needs is not there.
        MismatchError: no store was made with the run's encoder.
    """
    if name not in METHODS:
        raise InputError(f"method {name!r} is unknown; there are {', '.join(METHODS)}")
    method = METHODS[name]
    store, space, captions = _given(method, sources, run)
    run = run if method.weights is None else None
    embedded = embed_dataset(
        space,
        store,
        sources.dataset,
        sources.descriptions,
        run=run,
        captions=captions,
        averaged=sources.averaged,
        object_rule=method.object_rule,
        progress=progress,
    )
    scores = Scores.from_embeddings(embedded.embeddings, sources.several)
    weights = method.weights or (Weights(**run.config.fusion) if run else Weights(0.0, 1.0, 1.0))
    if not any(weights.of(name) for name in scores.modalities):
        weights = Weights.only(scores.modalities[0])  # captions alone, and a run that was not made for captions
    title = f"{method.title} ({run.name})" if run else method.title
    return Prepared(method, title, embedded, scores, weights, run, store)


def shares(scores: Scores, classes: Sequence[str]) -> Scores:
    """Class scores as shares: in each modality a clip's scores for `classes` are brought to sum 1, after [9].

    A negative similarity speaks for a class no more than 0 does and counts as 0; a clip without a positive one keeps
    zeros. [9] does not say what it does there.

    Returns:
        `Scores` of these classes only, without lengths.
    """
    index = {name: position for position, name in enumerate(scores.class_names)}
    chosen = sorted(index[name] for name in resolve(classes, scores.class_names))  # their order decides ties
    columns = {}
    for modality, matrix_NC in scores.matrices.items():
        positive_NK = np.maximum(matrix_NC[:, chosen], 0).astype(np.float64)
        sums_N1 = positive_NK.sum(axis=1, keepdims=True)
        columns[modality] = (positive_NK / np.where(sums_N1 > 0, sums_N1, 1)).astype(np.float32)
    return Scores(scores.ids, scores.labels, [scores.class_names[index] for index in chosen], columns)


def _given(
    method: Method, sources: Sources, run: Run | None
) -> tuple[FeatureStore | None, Space, Mapping[str, Sequence[str]] | None]:
    """The store, the space and the captions that a method uses."""
    lacking = InputError(f"method {method.name} needs {method.needs}")
    if method.weights is None:
        if not sources.stores and sources.captions is None:
            raise lacking
        store = _of_run(sources, run) if run else next(iter(sources.stores), None)
        return store, space_for(run, sources.sentences), sources.captions
    if method.name == "image-text":
        store = _of_image_text(sources)
        if store is None:
            raise lacking
        return store, _image_text_space(store, sources.encoder_weights), None
    captions = sources.captions if method.weights.gamma else None
    store = _with_objects(sources) if method.weights.beta else None
    if (method.weights.beta and store is None) or (method.weights.gamma and captions is None):
        raise lacking
    return store, SentenceSpace(open_encoder(sources.sentences)), captions


def _of_run(sources: Sources, run: Run) -> FeatureStore | None:
    """The store with features of the run's encoder; None if there is no store at all."""
    mismatch: MismatchError | None = None
    for store in sources.stores:
        try:
            run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
        except MismatchError as error:
            mismatch = mismatch or error
        else:
            return store
    if mismatch:
        raise mismatch
    return None


def _with_objects(sources: Sources) -> FeatureStore | None:
    return next((store for store in sources.stores if store.vocabulary is not None), None)


def _of_image_text(sources: Sources) -> FeatureStore | None:
    kinds = ((store, str(store.provenance["encoder"]).partition(":")) for store in sources.stores)
    return next((store for store, (kind, _, model) in kinds if kind in encoders.IMAGE_TEXT and model), None)


def _image_text_space(store: FeatureStore, weights: Path | None) -> Space:
    encoder = encoders.create(store.provenance["encoder"], weights=weights)
    if encoder.fingerprint != store.provenance["fingerprint"] or not isinstance(encoder, TextEncoder):
        raise MismatchError(
            f"{store.folder} was made with another {encoder.name} (fingerprint {store.provenance['fingerprint'][:12]}) "
            f"than the one here ({encoder.fingerprint[:12]}); extract the features again, or give its weights"
        )
    return ImageTextSpace(encoder)
