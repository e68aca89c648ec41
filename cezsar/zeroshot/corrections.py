"""Corrections: other ways to read classes off the same embeddings, each with what it assumes.

Two ills of zero-shot spaces call for them. Some prototypes are hubs, nearest to clips of all classes; and clips and
prototypes fill different regions (the modality gap). Most remedies are transductive: they look at all test clips at
once, without labels, so their figures do not compare with methods that see one clip at a time. A run of a protocol is a
world of its own: what a correction sees are the classes of that run and the clips that it tests, nothing else.

Cosine similarities are those of VidE and unit prototypes (Eq. 8-9 of Estevam et al., ICPR 2026).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate, evaluate_by_run
from cezsar.zeroshot.fusion import Weights, active, cosine
from cezsar.zeroshot.hits import Hits, hits, hits_by_run
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores, Several

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NEIGHBOURS = 10
"""k of CSLS, as Conneau et al. have it."""

TEMPERATURE = 1 / 30
"""Of the inverted softmax: β = 1 / T = 30, as the code of Conneau et al. has it."""

NOTHING = "nothing"
TRANSDUCTIVE = "transductive: sees all test clips of a run at once, without labels"

_FUSED: Weights = Weights.only("VE")  # corrected scores are fused ones, and stand in the place of VE


# The formulas -----------------------------------------------------------------------------------------------------


def csls(cosine_NC: npt.ArrayLike, k: float = NEIGHBOURS) -> DoubleArray:
    """(N, C) cross-domain similarity local scaling: 2 cos(v, z) - r(v) - r(z); Conneau et al., ICLR 2018, section 2.3.

    r(v) is the mean cosine similarity of a clip to its k nearest classes, r(z) that of a class to its k nearest clips;
    all of them where there are fewer than k. r(v) changes no prediction; r(z) is what holds hubs back.

    Raises:
        InputError: no matrix, NaN, or a k below 1.
    """
    similarity = _checked(cosine_NC)
    if not (k >= 1 and math.isfinite(k) and k == int(k)):
        raise InputError(f"CSLS with {k} neighbours was asked for; k is a whole number from 1")
    clips_N1 = _mean_of_largest(similarity, int(k), axis=1)[:, None]
    return 2 * similarity - clips_N1 - _mean_of_largest(similarity, int(k), axis=0)


def inverted_softmax(cosine_NC: npt.ArrayLike, temperature: float = TEMPERATURE) -> DoubleArray:
    """(N, C) logarithm of the inverted softmax; Smith et al., ICLR 2017, with β = 1 / T.

    exp(cos(v, z) / T) is divided by its sum over all CLIPS, so that every class has the same total, then by the sum
    over classes, so that exp of a row sums to 1.

    Raises:
        InputError: no matrix, NaN, or a T not above 0.
    """
    logits = _checked(cosine_NC) / _temperature(temperature)
    return _less_log_sum(_less_log_sum(logits, axis=0), axis=1)


def centred(units_NE: npt.ArrayLike) -> DoubleArray:
    """(N, E) unit vectors less their mean, scaled to length 1 again; what is left of length 0 stays so.

    Raises:
        InputError: no matrix, or NaN.
    """
    units = _checked(units_NE)
    return _unit(units - units.mean(axis=0)) if len(units) else units


# The list ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Seen:
    """What a correction sees of a run: n clips that something speaks for, K classes, and nothing about labels.

    Attributes:
        cosine_nK: float32 cosine similarities of Eq. 8, of a class's nearest sentence where it has several.
        videos_nE: VidE of the clips, unit vectors; None where there are scores only.
        prototypes_PE: unit prototypes of these classes, in their order; None likewise.
        first_K: first row of each class in `prototypes_PE`; None likewise.
    """

    cosine_nK: FloatArray
    videos_nE: DoubleArray | None = None
    prototypes_PE: DoubleArray | None = None
    first_K: IntArray | None = None


@dataclass(frozen=True)
class Correction:
    """A way to score the clips of a run.

    Attributes:
        name: as options take it.
        title: as tables have it.
        assumes: what it takes for granted or looks at besides the clip, in words.
        source: paper.
        does: what it does, in a sentence.
        score: (what is seen, the setting) -> (n, K) scores, larger is better.
        setting: name of its one setting, a number above 0; "" without.
        value: of the setting.
        several: how it compares a class that has several sentences.
        transductive: whether it looks at all test clips at once.
        reranks: whether it can change a ranking; if not, it changes no accuracy, and plain scores are evaluated.
        needs_vectors: whether it takes embeddings; otherwise scores do.
    """

    name: str
    title: str
    assumes: str
    source: str
    does: str
    score: Callable[[Seen, float], npt.NDArray[np.floating]]
    setting: str = ""
    value: float = 0.0
    several: Several = "nearest"
    transductive: bool = False
    reranks: bool = True
    needs_vectors: bool = False

    def at(self, value: float) -> Correction:
        """The same with another value of its setting.

        Raises:
            InputError: it has none, or the value is not above 0.
        """
        if not self.setting:
            raise InputError(f"correction {self.name!r} has no setting; leave the value out")
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{self.setting} of correction {self.name!r} is {value}; give a number above 0")
        return replace(self, value=value)


def _plain(seen: Seen, _: float) -> FloatArray:
    return seen.cosine_nK


def _centred_cosine(seen: Seen, _: float) -> DoubleArray:
    assert seen.videos_nE is not None and seen.prototypes_PE is not None and seen.first_K is not None
    alive_P = seen.prototypes_PE.any(axis=1)
    prototypes_PE = np.zeros_like(seen.prototypes_PE)
    prototypes_PE[alive_P] = centred(seen.prototypes_PE[alive_P])
    return np.maximum.reduceat(centred(seen.videos_nE) @ prototypes_PE.T, seen.first_K, axis=1)


CORRECTIONS: dict[str, Correction] = {
    correction.name: correction
    for correction in (
        Correction(
            "none",
            "none",
            NOTHING,
            "Eq. 8-9 of Estevam et al., ICPR 2026",
            "The class whose nearest sentence has the highest cosine similarity.",
            _plain,
            reranks=False,
        ),
        Correction(
            "mean-sentence",
            "mean of sentences",
            f"{NOTHING}; differs from none only where classes have several sentences",
            "prototypes as means: Snell et al., Prototypical Networks, NIPS 2017",
            "Compares a class by the mean of its sentences' unit vectors, not by the nearest sentence.",
            _plain,
            several="mean",
            reranks=False,
        ),
        Correction(
            "temperature",
            "temperature",
            f"{NOTHING}, once T is fitted on held-out labelled clips of seen classes",
            "Guo et al., On Calibration of Modern Neural Networks, ICML 2017",
            "Divides scores by T, so that their softmax is a probability. It changes no ranking, hence no accuracy.",
            lambda seen, temperature: seen.cosine_nK / _temperature(temperature),
            setting="T",
            value=1.0,
            reranks=False,
        ),
        Correction(
            "centring",
            "mean-centring",
            f"{TRANSDUCTIVE}; their mean could also come from other unlabelled clips of the same kind",
            "Liang et al., Mind the Gap, NeurIPS 2022, for shifting one modality towards the other",
            "Subtracts the mean clip from clips and the mean prototype from prototypes, then takes cosines.",
            _centred_cosine,
            transductive=True,
            needs_vectors=True,
        ),
        Correction(
            "csls",
            "CSLS",
            TRANSDUCTIVE,
            "Conneau et al., Word Translation Without Parallel Data, ICLR 2018",
            "Lowers the scores of a class that is near many clips: twice the cosine similarity, less the mean one of "
            "the clip's k nearest classes and of the class's k nearest clips.",
            lambda seen, k: csls(seen.cosine_nK, k),
            setting="k",
            value=NEIGHBOURS,
            transductive=True,
        ),
        Correction(
            "inverted-softmax",
            "inverted softmax",
            f"{TRANSDUCTIVE}, and that classes have about equally many",
            "Smith et al., Offline Bilingual Word Vectors, ICLR 2017",
            "Softmax over clips, not over classes: every class gets the same total to share out.",
            lambda seen, temperature: inverted_softmax(seen.cosine_nK, temperature),
            setting="T",
            value=TEMPERATURE,
            transductive=True,
        ),
    )
}
"""By name, plain scores first."""


# Any protocol -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Corrected:
    """Clips and classes with a correction: call it with the classes of a run, as `evaluate_by_run` does.

    Attributes:
        source: embeddings; or scores made of them, for corrections that need no vectors.
        correction: how to score.
        weights: α, β, γ of the fusion that is corrected.

    Raises:
        InputError: the correction needs embeddings and there are scores only, or the weights leave no modality.
    """

    source: Scores | Embeddings
    correction: Correction
    weights: Weights

    def __post_init__(self) -> None:
        needs = self.correction.needs_vectors or self.correction.several != "nearest"
        if needs and not isinstance(self.source, Embeddings):
            raise InputError(f"correction {self.correction.name!r} needs embeddings, and there are scores only")
        active(self.plain, self.weights)

    @cached_property
    def plain(self) -> Scores:
        """The scores before the correction."""
        if isinstance(self.source, Scores):
            return self.source
        return Scores.from_embeddings(self.source, self.correction.several)

    @property
    def modality(self) -> str:
        """What was fused: "VE", "VE + O", ..."""
        return " + ".join(active(self.plain, self.weights))

    def __call__(self, classes: Sequence[str]) -> Scores:
        """Scores of one run: fused and corrected, in the place of VE, for all clips.

        Clips that the run does not test have zeros, and so have those that nothing spoke for before. A class that
        nothing spoke for stays behind all others: a correction must not make something of nothing.

        Args:
            classes: names in any spelling; the columns keep the order of `source.class_names`, so that ties do, too.

        Raises:
            InputError: an unknown class, or the correction refuses its setting.
        """
        wanted = set(resolve(classes, self.plain.class_names))
        chosen = np.flatnonzero([name in wanted for name in self.plain.class_names])
        names = [self.plain.class_names[index] for index in chosen]
        rows = np.flatnonzero(np.isin(self.plain.label_index, chosen))
        before_nK = self._cosines[np.ix_(rows, chosen)]
        decided = before_nK.any(axis=1)
        rows, before_nK = rows[decided], before_nK[decided]
        scores_NK = np.zeros((len(self.plain.ids), len(chosen)), np.float32)
        if rows.size:
            scores_NK[rows] = self._corrected(before_nK, rows, chosen)
        return Scores(self.plain.ids, self.plain.labels, names, {"VE": scores_NK})

    def _corrected(self, before_nK: FloatArray, rows: IntArray, chosen: IntArray) -> FloatArray:
        seen = self._seen(before_nK, rows, chosen)
        after_nK = np.array(self.correction.score(seen, self.correction.value), np.float32)
        if self.correction.reranks:
            after_nK[:, ~before_nK.any(axis=0)] = after_nK.min() - 1
        after_nK[~after_nK.any(axis=1)] = 1  # all classes are equal now, which is not to be undecided
        return after_nK

    def _seen(self, before_nK: FloatArray, rows: IntArray, chosen: IntArray) -> Seen:
        if not self.correction.needs_vectors:
            return Seen(before_nK)
        units_PE, owner_P = self._prototypes
        kept = np.flatnonzero(np.isin(owner_P, chosen))
        return Seen(before_nK, self._videos[rows], units_PE[kept], np.searchsorted(owner_P[kept], chosen))

    @cached_property
    def _cosines(self) -> FloatArray:
        """(N, C), for all classes."""
        return cosine(self.plain, self.weights)

    @cached_property
    def _videos(self) -> DoubleArray:
        """(N, E) unit VidE."""
        assert isinstance(self.source, Embeddings)
        counted = active(self.plain, self.weights)
        return _unit(
            np.sum([self.source.modalities[name].astype(np.float64) * w for name, w in counted.items()], axis=0)
        )

    @cached_property
    def _prototypes(self) -> tuple[DoubleArray, IntArray]:
        """Unit prototypes in the order of classes, and the class of each."""
        assert isinstance(self.source, Embeddings)
        order = np.argsort(self.source.prototype_class, kind="stable")
        return _unit(self.source.prototypes[order].astype(np.float64)), self.source.prototype_class[order]


def evaluate_corrected(
    source: Scores | Embeddings,
    protocol: Protocol,
    correction: Correction | str,
    weights: Weights | None = None,
    topk: Sequence[int] = (1, 5),
) -> Result:
    """`evaluation.evaluate` with a correction, made anew for the classes and clips of every run.

    Args:
        source: embeddings; scores made of them do for corrections that need no vectors.
        correction: one of `CORRECTIONS`, by name or with a setting of its own (`Correction.at`).
        weights: α, β, γ of the fusion; the paper's by default.

    Returns:
        `Result`; its `method` is the title of the correction.

    Raises:
        InputError: as `evaluate` does; no such correction, a setting out of range, or embeddings are needed.
    """
    way = Corrected(source, find(correction), weights or Weights())
    if not way.correction.reranks:
        return replace(evaluate(way.plain, protocol, way.weights, topk), method=way.correction.title)
    result = evaluate_by_run(way, protocol, _FUSED, topk)
    return replace(result, modality=way.modality, weights=way.weights, method=way.correction.title)


def hits_corrected(
    source: Scores | Embeddings, protocol: Protocol, correction: Correction | str, weights: Weights | None = None
) -> Hits:
    """Which clips a correction gets right in every run: `hits.hits`, with the arguments of `evaluate_corrected`."""
    way = Corrected(source, find(correction), weights or Weights())
    if not way.correction.reranks:
        return hits(way.plain, protocol, way.weights)
    return hits_by_run(way, protocol, _FUSED)


def find(correction: Correction | str) -> Correction:
    """A correction by name.

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(correction, Correction):
        return correction
    if correction not in CORRECTIONS:
        raise InputError(f"correction {correction!r} is unknown; there are {', '.join(CORRECTIONS)}")
    return CORRECTIONS[correction]


# Arithmetic -------------------------------------------------------------------------------------------------------


def _checked(matrix: npt.ArrayLike) -> DoubleArray:
    checked = np.asarray(matrix, np.float64)
    if checked.ndim != 2 or not np.isfinite(checked).all():
        raise InputError(f"a matrix of finite numbers is expected; this is of shape {checked.shape}, or has NaN in it")
    return checked


def _temperature(temperature: float) -> float:
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature is {temperature}; give a number above 0, such as {TEMPERATURE:.3f}")
    return temperature


def _mean_of_largest(matrix: DoubleArray, k: int, axis: int) -> DoubleArray:
    """Mean of the k largest entries along an axis."""
    n = matrix.shape[axis]
    if k >= n:
        return np.asarray(matrix.mean(axis=axis)) if n else np.zeros(matrix.shape[1 - axis])
    return np.asarray(np.take(np.partition(matrix, n - k, axis=axis), np.arange(n - k, n), axis=axis).mean(axis=axis))


def _less_log_sum(logits: DoubleArray, axis: int) -> DoubleArray:
    """Logarithm of the softmax along an axis."""
    shifted = logits - logits.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def _unit(rows: DoubleArray) -> DoubleArray:
    """Rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)
