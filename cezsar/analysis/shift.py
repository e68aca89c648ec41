"""Domain shift: how different the clips of a test set are from those of training, in one space.

Do both sets come from one distribution? The maximum mean discrepancy (MMD) is 0 if and only if they do, and a
permutation test says how surprising its value is. Can one tell a clip's set from its vector? The accuracy of a
classifier says how easily. Clips count as independent: of several cuts of one video give one, or both are too high.
"""

from __future__ import annotations

import numpy as np

from cezsar.analysis.gap import Definition
from cezsar.arrays import DoubleArray, FloatArray
from cezsar.errors import InputError

MOST_CLIPS = 1_000  # more are sampled from each set: the work of MMD grows with their square
FOLDS = 5
PERMUTATIONS = 500

FIGURES = {
    "mmd_squared": Definition("MMD²", "about 0 without a shift, where it may fall below; at most 2", "lower",
        "Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, Eq. 3; median heuristic of section 8",
        "unbiased estimate of the squared maximum mean discrepancy, with the kernel exp(-d² / 2σ²), d the Euclidean "
        "distance and σ its median over all pairs"),
    "p_value": Definition(
        "p-value", "1 / (permutations + 1) to 1; below 0.05 the sets differ more than chance explains", "higher",
        "permutation test: Gretton et al., JMLR 13, 2012; counting as in Phipson and Smyth, SAGMB 9, 2010",
        "share of random divisions of all clips into two such sets, the given one included, whose MMD² is at least as "
        "large"),
    "domain_accuracy": Definition("accuracy of a domain classifier",
        "0 to 1; 0.5 without a shift, 1 when the sets can be told apart", "lower",
        "Ben-David et al., Analysis of Representations for Domain Adaptation, NIPS 2006",
        "balanced accuracy (mean of both sets') of a logistic regression that tells which set a clip is from, "
        "cross-validated"),
}  # fmt: skip
"""What the numbers of `measure` mean."""


def measure(
    train_ND: FloatArray, test_MD: FloatArray, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> dict[str, float]:
    """`FIGURES`, "train_clips", "test_clips", σ as "bandwidth" and "permutations", of vectors as they are. `rng` draws
    clips above `MOST_CLIPS` a set, permutations and folds. Raises `InputError` where a set has fewer than two clips."""
    from scipy.spatial.distance import pdist, squareform

    if min(len(train_ND), len(test_MD)) < 2:
        raise InputError(f"there are {len(train_ND)} training and {len(test_MD)} test clips; give two or more of each")
    train, test = (
        rows[np.sort(rng.choice(len(rows), MOST_CLIPS, replace=False))] if len(rows) > MOST_CLIPS else rows
        for rows in (train_ND.astype(np.float64), test_MD.astype(np.float64))
    )
    squared: DoubleArray = pdist(np.concatenate([train, test]), "sqeuclidean")
    # Where half of the pairs are equal, the median over the others; 1 where all clips are equal.
    distances = np.sqrt(squared)
    bandwidth = float(np.median(distances) or np.median(distances[distances > 0])) if distances.any() else 1.0
    kernel_KK = squareform(np.exp(-squared / (2 * bandwidth**2)))
    given_K1 = (np.arange(len(kernel_KK)) < len(train)).astype(np.float64)[:, None]
    drawn_KB = rng.permuted(np.repeat(given_K1, permutations, axis=1), axis=0)
    values = mmd_squared(kernel_KK, np.hstack([given_K1, drawn_KB]))  # the given division is one of those at random
    p_value, accuracy = float((values >= values[0] - 1e-12).mean()), domain_accuracy(train, test, rng)
    about = {"train_clips": len(train), "test_clips": len(test), "bandwidth": bandwidth, "permutations": permutations}
    return about | {"mmd_squared": float(values[0]), "p_value": p_value, "domain_accuracy": accuracy}


def mmd_squared(kernel_KK: DoubleArray, in_train_KB: DoubleArray) -> DoubleArray:
    """(B,) unbiased MMD² of B divisions of K clips (Gretton et al., Eq. 3); 1 where a clip is in the first set. The
    kernel has zeros on its diagonal."""
    n_B = in_train_KB.sum(axis=0)
    m_B = len(kernel_KK) - n_B
    sums_KB = kernel_KK @ in_train_KB
    within_B = (in_train_KB * sums_KB).sum(axis=0)
    across_B = sums_KB.sum(axis=0) - within_B
    others_B = kernel_KK.sum() - within_B - 2 * across_B
    result: DoubleArray = within_B / (n_B * (n_B - 1)) + others_B / (m_B * (m_B - 1)) - 2 * across_B / (n_B * m_B)
    return result


def domain_accuracy(train_ND: DoubleArray, test_MD: DoubleArray, rng: np.random.Generator) -> float:
    """Cross-validated balanced accuracy of a logistic regression that tells the sets apart, on standardised
    dimensions."""
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
