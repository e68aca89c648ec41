"""Domain shift: how different the clips of a test set are from those of training, in one space.

Two questions, two figures. Do both sets come from one distribution? The maximum mean discrepancy (MMD) is 0 if and only
if they do, and a permutation test says how surprising its value is. Can one tell a clip's set from its vector? The
accuracy of a classifier says how easily. Vectors are taken as they are; where only direction counts, scale them to
length 1 first (`cezsar.analysis.gap.directions`).

Clips count as independent. Several cuts of one video are not: give one of each video, or both figures are too high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cezsar.analysis.gap import Definition
from cezsar.arrays import DoubleArray
from cezsar.errors import InputError

MOST_CLIPS = 1_000
"""More clips than this are sampled from each set: the work of MMD grows with their square."""

FOLDS = 5
PERMUTATIONS = 500
_AT_ONCE = 100  # permutations of one matrix product


@dataclass(frozen=True)
class Shift:
    """How far test clips are from training clips. `FIGURES` says what each number means.

    Attributes:
        train_clips, test_clips: clips that were compared, after sampling.
        bandwidth: σ of the kernel: the median distance between two of all these clips.
        permutations: in how many the p-value was counted; it cannot be below 1 / (permutations + 1).
    """

    train_clips: int
    test_clips: int
    bandwidth: float
    permutations: int
    mmd_squared: float
    p_value: float
    domain_accuracy: float
    a_distance: float


_BEN_DAVID = "Ben-David et al., Analysis of Representations for Domain Adaptation, NIPS 2006"

FIGURES = {
    "mmd_squared": Definition(
        "MMD²",
        "unbiased estimate of the squared maximum mean discrepancy, with the kernel exp(-d² / 2σ²), d the Euclidean "
        "distance and σ its median over all pairs",
        "about 0 without a shift, where it may fall below; at most 2", "lower",
        "Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, Eq. 3; median heuristic of section 8",
    ),
    "p_value": Definition(
        "p-value",
        "share of random divisions of all clips into two such sets, the given one included, whose MMD² is at least as "
        "large",
        "1 / (permutations + 1) to 1; below 0.05 the sets differ more than chance explains", "higher",
        "permutation test: Gretton et al., JMLR 13, 2012; counting as in Phipson and Smyth, SAGMB 9, 2010",
    ),
    "domain_accuracy": Definition(
        "accuracy of a domain classifier",
        "balanced accuracy (mean of both sets') of a logistic regression that tells which set a clip is from, "
        "cross-validated",
        "0 to 1; 0.5 without a shift, 1 when the sets can be told apart", "lower", _BEN_DAVID,
    ),
    "a_distance": Definition(
        "proxy A-distance", "2 (1 - 2 error) with the error of the domain classifier, not below 0",
        "0 to 2", "lower", _BEN_DAVID,
    ),
}  # fmt: skip
"""Field of `Shift` -> what it means."""


def measure(
    train_ND: npt.ArrayLike, test_MD: npt.ArrayLike, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> Shift:
    """Compare training clips with test clips.

    Args:
        train_ND, test_MD: vectors in one space, of any length; at least two of either.
        rng: draws clips above `MOST_CLIPS` a set, permutations and folds.

    Raises:
        InputError: matrices that do not fit together, too few clips, or NaN.
    """
    from scipy.spatial.distance import pdist, squareform

    train, test = (_checked(rows, what, rng) for rows, what in ((train_ND, "training"), (test_MD, "test")))
    if train.shape[1] != test.shape[1]:
        raise InputError(
            f"training clips have {train.shape[1]} dimensions and test clips {test.shape[1]}; take both from one space"
        )
    squared: DoubleArray = pdist(np.concatenate([train, test]), "sqeuclidean")
    # Where half of the pairs are equal, the median over the others; 1 where all clips are equal.
    distances = np.sqrt(squared)
    bandwidth = float(np.median(distances) or np.median(distances[distances > 0])) if distances.any() else 1.0
    kernel_KK = np.exp(-squareform(squared) / (2 * bandwidth**2))
    value, p_value = permutation_test(kernel_KK, len(train), rng, permutations)
    accuracy = domain_accuracy(train, test, rng)
    a_distance = max(0.0, 2 * (1 - 2 * (1 - accuracy)))
    return Shift(len(train), len(test), bandwidth, permutations, value, p_value, accuracy, a_distance)


def mmd_squared(kernel_KK: DoubleArray, in_train_KB: npt.NDArray[np.float64]) -> DoubleArray:
    """(B,) unbiased MMD² of B divisions of K clips into two sets (Gretton et al., Eq. 3).

    Args:
        kernel_KK: of all pairs.
        in_train_KB: 1 where a clip is in the first set, else 0; at least two in each set.
    """
    n_B = in_train_KB.sum(axis=0)
    m_B = len(kernel_KK) - n_B
    of_all_K, own_K = kernel_KK.sum(axis=1), np.diag(kernel_KK)
    within_B = np.einsum("kb,kb->b", in_train_KB, kernel_KK @ in_train_KB)
    across_B = of_all_K @ in_train_KB - within_B
    others_B = of_all_K.sum() - within_B - 2 * across_B
    own_B = own_K @ in_train_KB
    pairs_B = (within_B - own_B) / (n_B * (n_B - 1)) + (others_B - own_K.sum() + own_B) / (m_B * (m_B - 1))
    result: DoubleArray = pairs_B - 2 * across_B / (n_B * m_B)
    return result


def permutation_test(
    kernel_KK: DoubleArray, n_train: int, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    """MMD² of the first `n_train` clips against the others, and its p-value.

    The division that was given counts as one of those at random, so that the p-value is never 0.
    """
    given_K = (np.arange(len(kernel_KK)) < n_train).astype(np.float64)
    value = float(mmd_squared(kernel_KK, given_K[:, None])[0])
    as_large = 1
    for first in range(0, permutations, _AT_ONCE):
        count = min(_AT_ONCE, permutations - first)
        drawn_KB = rng.permuted(np.repeat(given_K[:, None], count, axis=1), axis=0)
        as_large += int((mmd_squared(kernel_KK, drawn_KB) >= value - 1e-12).sum())
    return value, as_large / (permutations + 1)


def domain_accuracy(train_ND: DoubleArray, test_MD: DoubleArray, rng: np.random.Generator) -> float:
    """Cross-validated balanced accuracy of a logistic regression that tells the sets apart.

    Dimensions are standardised and the sets weigh the same, whatever their sizes. There are `FOLDS` folds, or as many
    as the smaller set has clips.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.concatenate([train_ND, test_MD])
    from_test = np.arange(len(rows)) >= len(train_ND)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-3))
    folds = min(FOLDS, len(train_ND), len(test_MD))
    division = StratifiedKFold(folds, shuffle=True, random_state=int(rng.integers(2**31)))
    return float(balanced_accuracy_score(from_test, cross_val_predict(model, rows, from_test, cv=division)))


def _checked(rows: npt.ArrayLike, what: str, rng: np.random.Generator) -> DoubleArray:
    """At most `MOST_CLIPS` rows, as float64."""
    matrix = np.asarray(rows)
    if matrix.ndim != 2 or len(matrix) < 2 or not matrix.shape[1]:
        raise InputError(f"{what} clips have shape {matrix.shape}; a row for each of two or more is needed")
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        raise InputError(f"row {bad[0]} of the {what} clips has NaN or infinite numbers; leave it out")
    if len(matrix) > MOST_CLIPS:
        matrix = matrix[np.sort(rng.choice(len(matrix), MOST_CLIPS, replace=False))]
    return matrix.astype(np.float64)
