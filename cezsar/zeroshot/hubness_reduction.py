"""Hubness reduction: other ways to read classes off the same embeddings, each with what it assumes.

Some prototypes are hubs, nearest to clips of all classes; and clips and prototypes fill different regions (the modality
gap). Most remedies are transductive: they look at all clips that a run of a protocol tests at once, without labels, so
their figures do not compare with methods that see one clip at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, IntArray, unit_rows
from cezsar.zeroshot.fusion import Weights, active, cosine, fuse
from cezsar.zeroshot.scores import Embeddings, Scores, Several

NEIGHBOURS = 10  # k of CSLS, and
TEMPERATURE = 1 / 30  # T of the inverted softmax, as the code of Conneau et al. has them
FUSED: Weights = Weights.only("VE")  # of scores that are fused already

TRANSDUCTIVE = "transductive: sees all test clips of a run at once, without labels"


def csls(cosine_NC: npt.ArrayLike, k: int = NEIGHBOURS) -> DoubleArray:
    """(N, C) cross-domain similarity local scaling: 2 cos(v, z) - r(v) - r(z); Conneau et al., ICLR 2018, section 2.3.

    r(v) is the mean cosine similarity of a clip to its k nearest classes, r(z) that of a class to its k nearest clips;
    all of them where there are fewer than k. r(v) changes no prediction; r(z) is what holds hubs back.
    """
    similarity = np.asarray(cosine_NC, np.float64)
    return 2 * similarity - _mean_of_largest(similarity, k) - _mean_of_largest(similarity.T, k).T


def _mean_of_largest(matrix: DoubleArray, k: int) -> DoubleArray:
    """(rows, 1) mean of the k largest entries of each row."""
    first = max(matrix.shape[1] - k, 0)
    return np.asarray(np.partition(matrix, first, axis=1)[:, first:].mean(axis=1, keepdims=True))


def inverted_softmax(cosine_NC: npt.ArrayLike, temperature: float = TEMPERATURE) -> DoubleArray:
    """(N, C) logarithm of the inverted softmax; Smith et al., ICLR 2017, with β = 1 / T: exp(cos(v, z) / T) is divided
    by its sum over all CLIPS, so that every class has the same total, then by the sum over classes."""
    from scipy.special import log_softmax

    logits = np.asarray(cosine_NC, np.float64) / temperature
    return np.asarray(log_softmax(log_softmax(logits, axis=0), axis=1))


def centred(units_NE: npt.ArrayLike) -> DoubleArray:
    """(N, E) unit vectors less their mean, scaled to length 1 again; what is left of length 0 stays so."""
    units = np.asarray(units_NE, np.float64)
    return unit_rows(units - units.mean(axis=0))


@dataclass(frozen=True)
class Reduction:
    """A way to score the clips of a run."""

    name: str  # as keys have it
    title: str  # as tables have it, with `setting` in parentheses
    assumes: str  # what it takes for granted or looks at besides the clip, in words
    source: str  # paper
    does: str  # in a sentence
    setting: str = ""  # such as "k = 10"
    score: Callable[[npt.ArrayLike], DoubleArray] | None = None  # cosines of a run's clips -> scores; None: others do
    transductive: bool = True  # looks at all test clips at once; if not, plain scores are evaluated
    several: Several = "nearest"  # how it compares a class that has several sentences

    @property
    def needs_vectors(self) -> bool:
        """Whether it takes embeddings; for others scores do."""
        return self.several != "nearest" or (self.transductive and self.score is None)


BASELINE = Reduction(
    "none", "none", "nothing", "Eq. 8-9 of Estevam et al., ICPR 2026",
    "The class whose nearest sentence has the highest cosine similarity.", transductive=False,
)  # fmt: skip
MEAN_SENTENCE = Reduction(
    "mean-sentence", "mean of sentences", "nothing; differs from none only where classes have several sentences",
    "prototypes as means: Snell et al., Prototypical Networks, NIPS 2017",
    "Compares a class by the mean of its sentences' unit vectors, not by the nearest sentence.",
    transductive=False, several="mean",
)  # fmt: skip
CENTRING = Reduction(
    "centring", "mean-centring",
    f"{TRANSDUCTIVE}; their mean could also come from other unlabelled clips of the same kind",
    "Liang et al., Mind the Gap, NeurIPS 2022, for shifting one modality towards the other",
    "Subtracts the mean clip from clips and the mean prototype from prototypes, then takes cosines.",
)  # fmt: skip
CSLS = Reduction(
    "csls", "CSLS", TRANSDUCTIVE, "Conneau et al., Word Translation Without Parallel Data, ICLR 2018",
    "Lowers the scores of a class that is near many clips: twice the cosine similarity, less the mean one of "
    "the clip's k nearest classes and of the class's k nearest clips.",
    f"k = {NEIGHBOURS}", csls,
)  # fmt: skip
INVERTED_SOFTMAX = Reduction(
    "inverted-softmax", "inverted softmax", f"{TRANSDUCTIVE}, and that classes have about equally many",
    "Smith et al., Offline Bilingual Word Vectors, ICLR 2017",
    "Softmax over clips, not over classes: every class gets the same total to share out.",
    f"T = {TEMPERATURE:.3g}", inverted_softmax,
)  # fmt: skip
REDUCTIONS = {one.name: one for one in (BASELINE, MEAN_SENTENCE, CENTRING, CSLS, INVERTED_SOFTMAX)}


def reduced(source: Scores | Embeddings, reduction: Reduction, weights: Weights) -> Callable[[Sequence[str]], Scores]:
    """A reduction as a function, which `evaluation.evaluate` takes with the weights `FUSED`: classes of a run, in any
    spelling -> fused scores, in the place of VE.

    All clips have scores: zeros where the run does not test them, and where nothing spoke for them before. A class that
    nothing spoke for stays behind all others: a reduction must not make something of nothing. Classes keep the order of
    `source`, so that ties do. Raises `InputError` for weights that leave no modality, and scores of no embeddings.
    """
    plain = source if isinstance(source, Scores) else Scores.from_embeddings(source, reduction.several)
    if not reduction.transductive:
        fused = Scores(plain.ids, plain.labels, plain.class_names, {"VE": fuse(plain, weights)})
        return lambda classes: fused
    cosine_NC = cosine(plain, weights)

    def scores_of(classes: Sequence[str]) -> Scores:
        chosen = np.unique(plain.indices(classes))
        rows = np.flatnonzero(np.isin(plain.label_index, chosen))
        rows = rows[cosine_NC[np.ix_(rows, chosen)].any(axis=1)]
        scores_NK = np.zeros((len(plain.ids), len(chosen)), np.float32)
        if rows.size:
            before_nK = cosine_NC[np.ix_(rows, chosen)]
            if reduction.score:
                after_nK = reduction.score(before_nK).astype(np.float32)
            else:
                assert isinstance(source, Embeddings)
                parts = [source.modalities[m][rows].astype(np.float64) * w for m, w in active(plain, weights).items()]
                after_nK = _centred_cosine(unit_rows(np.sum(parts, axis=0)), source, chosen).astype(np.float32)
            after_nK[:, ~before_nK.any(axis=0)] = after_nK.min() - 1
            after_nK[~after_nK.any(axis=1)] = 1  # all classes are equal now, which is not to be undecided
            scores_NK[rows] = after_nK
        return Scores(plain.ids, plain.labels, [plain.class_names[c] for c in chosen], {"VE": scores_NK})

    return scores_of


def _centred_cosine(videos_nE: DoubleArray, source: Embeddings, chosen: IntArray) -> DoubleArray:
    """(n, K) cosine similarities of centred unit clips and the nearest of a chosen class's centred unit prototypes."""
    own = np.flatnonzero(np.isin(source.prototype_class, chosen))
    own = own[np.argsort(source.prototype_class[own], kind="stable")]
    units_PE = unit_rows(source.prototypes[own].astype(np.float64))
    alive_P = units_PE.any(axis=1)  # zeros stay zeros
    units_PE[alive_P] = centred(units_PE[alive_P])
    first_K = np.searchsorted(source.prototype_class[own], chosen)
    return np.asarray(np.maximum.reduceat(centred(videos_nE) @ units_PE.T, first_K, axis=1))
