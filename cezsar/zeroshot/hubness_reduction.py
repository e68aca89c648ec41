"""Hubness reduction: other ways to read classes off the same embeddings, each with what it assumes.

Some prototypes are hubs, nearest to clips of all classes; and clips and prototypes fill different regions (the modality
gap). Most remedies are transductive: they look at all test clips at once, without labels, so their figures do not
compare with methods that see one clip at a time. They see the classes of one run of a protocol and the clips that it
tests, nothing else. Cosine similarities are those of VidE and unit prototypes (Eq. 8-9 of Estevam et al., ICPR 2026).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cezsar.arrays import DoubleArray, IntArray, unit_rows
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate_by_run
from cezsar.zeroshot.fusion import Weights, active, cosine, fuse
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores, Several

NEIGHBOURS = 10  # k of CSLS, and
TEMPERATURE = 1 / 30  # T of the inverted softmax, as the code of Conneau et al. has them
FUSED: Weights = Weights.only("VE")  # of scores that are fused already

NOTHING = "nothing"
TRANSDUCTIVE = "transductive: sees all test clips of a run at once, without labels"


def csls(cosine_NC: npt.ArrayLike, k: int = NEIGHBOURS) -> DoubleArray:
    """(N, C) cross-domain similarity local scaling: 2 cos(v, z) - r(v) - r(z); Conneau et al., ICLR 2018, section 2.3.

    r(v) is the mean cosine similarity of a clip to its k nearest classes, r(z) that of a class to its k nearest clips;
    all of them where there are fewer than k. r(v) changes no prediction; r(z) is what holds hubs back.
    """
    similarity = np.asarray(cosine_NC, np.float64)
    return 2 * similarity - _mean_of_largest(similarity, k, axis=1) - _mean_of_largest(similarity, k, axis=0)


def inverted_softmax(cosine_NC: npt.ArrayLike, temperature: float = TEMPERATURE) -> DoubleArray:
    """(N, C) logarithm of the inverted softmax; Smith et al., ICLR 2017, with β = 1 / T.

    exp(cos(v, z) / T) is divided by its sum over all CLIPS, so that every class has the same total, then by the sum
    over classes, so that exp of a row sums to 1.
    """
    from scipy.special import log_softmax

    logits = np.asarray(cosine_NC, np.float64) / temperature
    shares: DoubleArray = log_softmax(log_softmax(logits, axis=0), axis=1)
    return shares


def centred(units_NE: npt.ArrayLike) -> DoubleArray:
    """(N, E) unit vectors less their mean, scaled to length 1 again; what is left of length 0 stays so."""
    units = np.asarray(units_NE, np.float64)
    return unit_rows(units - units.mean(axis=0))


def centred_cosine(videos_nE: DoubleArray, prototypes_PE: DoubleArray, first_K: IntArray) -> DoubleArray:
    """(n, K) cosine similarities of centred unit clips and the nearest of a class's centred unit prototypes.

    Args:
        prototypes_PE: in the order of classes, `first_K` being the first row of each; zeros stay zeros.
    """
    alive_P = prototypes_PE.any(axis=1)
    centred_PE = np.zeros_like(prototypes_PE)
    centred_PE[alive_P] = centred(prototypes_PE[alive_P])
    return np.asarray(np.maximum.reduceat(centred(videos_nE) @ centred_PE.T, first_K, axis=1))


@dataclass(frozen=True)
class Reduction:
    """A way to score the clips of a run.

    Attributes:
        name: as keys have it.
        title: as tables have it, with `setting` in parentheses.
        assumes: what it takes for granted or looks at besides the clip, in words.
        source: paper.
        does: what it does, in a sentence.
        setting: such as "k = 10"; "" without.
        score: cosine similarities of all test clips of a run -> scores, larger is better; None where these do not do.
        transductive: whether it looks at all test clips at once; if not, plain scores are evaluated.
        several: how it compares a class that has several sentences.
    """

    name: str
    title: str
    assumes: str
    source: str
    does: str
    setting: str = ""
    score: Callable[[npt.ArrayLike], DoubleArray] | None = None
    transductive: bool = True
    several: Several = "nearest"

    @property
    def needs_vectors(self) -> bool:
        """Whether it takes embeddings; for others scores do."""
        return self.several != "nearest" or (self.transductive and self.score is None)


BASELINE = Reduction(
    "none", "none", NOTHING, "Eq. 8-9 of Estevam et al., ICPR 2026",
    "The class whose nearest sentence has the highest cosine similarity.",
    transductive=False,
)  # fmt: skip
MEAN_SENTENCE = Reduction(
    "mean-sentence", "mean of sentences", f"{NOTHING}; differs from none only where classes have several sentences",
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
"""By name, plain scores first."""


def reduced(source: Scores | Embeddings, reduction: Reduction, weights: Weights) -> Callable[[Sequence[str]], Scores]:
    """A reduction as a function: classes of a run, in any spelling -> fused scores, in the place of VE (`FUSED`).

    All clips have scores: zeros where the run does not test them, and where nothing spoke for them before. A class that
    nothing spoke for stays behind all others: a reduction must not make something of nothing. Columns keep the order of
    `source.class_names`, so that ties do, too.

    Args:
        source: embeddings; or scores made of them, for reductions that need no vectors.
        weights: α, β, γ of the fusion.

    Raises:
        InputError: the weights leave no modality, or scores that stem from no embeddings; later, an unknown class.
    """
    plain = source if isinstance(source, Scores) else Scores.from_embeddings(source, reduction.several)
    if not reduction.transductive:
        fused = Scores(plain.ids, plain.labels, plain.class_names, {"VE": fuse(plain, weights)})
        return lambda classes: fused
    cosine_NC = cosine(plain, weights)
    if isinstance(source, Embeddings):
        parts = [source.modalities[name].astype(np.float64) * w for name, w in active(plain, weights).items()]
        videos_NE = unit_rows(np.sum(parts, axis=0))
        order = np.argsort(source.prototype_class, kind="stable")
        units_PE, owner_P = unit_rows(source.prototypes[order].astype(np.float64)), source.prototype_class[order]

    def scores_of(classes: Sequence[str]) -> Scores:
        chosen = np.unique(plain.indices(classes))
        rows = np.flatnonzero(np.isin(plain.label_index, chosen))
        rows = rows[cosine_NC[np.ix_(rows, chosen)].any(axis=1)]
        before_nK = cosine_NC[np.ix_(rows, chosen)]
        scores_NK = np.zeros((len(plain.ids), len(chosen)), np.float32)
        if rows.size:
            if reduction.score:
                after_nK = reduction.score(before_nK).astype(np.float32)
            else:
                own_P = np.isin(owner_P, chosen)
                first_K = np.searchsorted(owner_P[own_P], chosen)
                after_nK = centred_cosine(videos_NE[rows], units_PE[own_P], first_K).astype(np.float32)
            after_nK[:, ~before_nK.any(axis=0)] = after_nK.min() - 1
            after_nK[~after_nK.any(axis=1)] = 1  # all classes are equal now, which is not to be undecided
            scores_NK[rows] = after_nK
        return Scores(plain.ids, plain.labels, [plain.class_names[c] for c in chosen], {"VE": scores_NK})

    return scores_of


def evaluate_reduced(source: Scores | Embeddings, protocol: Protocol, reduction: Reduction, weights: Weights) -> Result:
    """`evaluation.evaluate` with a reduction, made anew for the classes and clips of every run."""
    return evaluate_by_run(reduced(source, reduction, weights), protocol, FUSED)


def _mean_of_largest(matrix: DoubleArray, k: int, axis: int) -> DoubleArray:
    """Mean of the k largest entries along an axis, which stays."""
    first = max(matrix.shape[axis] - k, 0)
    largest = np.partition(matrix, first, axis=axis).take(range(first, matrix.shape[axis]), axis=axis)
    return np.asarray(largest.mean(axis=axis, keepdims=True))
