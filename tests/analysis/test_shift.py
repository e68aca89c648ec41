"""Domain shift against plain loops, scikit-learn called directly, and sets with and without a shift."""

from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold

from cezsar.analysis import shift
from cezsar.analysis.shift import FIGURES, Shift, measure, mmd_squared, permutation_test
from cezsar.errors import InputError


def draw(seed, n, m, width=5, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)), rng.normal(size=(m, width)) + offset


def loop_mmd(train, test, sigma):
    """Eq. 3 of Gretton et al., pair by pair."""

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2))

    n, m = len(train), len(test)
    within_train = sum(kernel(train[i], train[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_test = sum(kernel(test[i], test[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_train + within_test - 2 * sum(kernel(a, b) for a in train for b in test) / (n * m)


def test_every_figure_is_explained():
    counts = {"train_clips", "test_clips", "bandwidth", "permutations"}
    assert set(FIGURES) == {field.name for field in fields(Shift)} - counts
    assert all(all(part for part in figure) for figure in FIGURES.values())


def test_a_case_by_hand():
    # points 0, 1 and 2, 3: distances 1, 1, 2, 3, 1, 2, the median 1.5
    found = measure([[0.0], [1.0]], [[2.0], [3.0]], np.random.default_rng(0), permutations=50)
    assert found.bandwidth == 1.5
    k = {d: np.exp(-(d**2) / 4.5) for d in (1, 2, 3)}
    assert found.mmd_squared == pytest.approx(k[1] + k[1] - 2 * (2 * k[2] + k[3] + k[1]) / 4)
    assert (found.train_clips, found.test_clips) == (2, 2)


@pytest.mark.parametrize("seed", range(3))
def test_mmd_is_that_of_the_plain_loop(seed):
    train, test = draw(seed, 11, 17, offset=0.4)
    found = measure(train, test, np.random.default_rng(0), permutations=20)
    pooled = np.vstack([train, test])
    sigma = np.median([np.linalg.norm(a - b) for a, b in combinations(pooled, 2)])
    assert found.bandwidth == pytest.approx(sigma)
    assert found.mmd_squared == pytest.approx(loop_mmd(train, test, sigma))
    kernel = rbf_kernel(pooled, gamma=1 / (2 * sigma**2))
    divisions = np.random.default_rng(seed).permuted(np.repeat(np.arange(28) < 11, 4).reshape(28, 4), axis=0)
    values = mmd_squared(kernel, divisions.astype(float))
    for column, value in zip(divisions.T, values, strict=True):
        assert value == pytest.approx(loop_mmd(pooled[column], pooled[~column], sigma))


def test_the_p_value_is_that_of_all_divisions():
    train, test = draw(3, 4, 4, offset=1.0)
    pooled = np.vstack([train, test])
    kernel = rbf_kernel(pooled, gamma=0.1)
    every = np.zeros((8, 70))
    for column, rows in enumerate(combinations(range(8), 4)):
        every[list(rows), column] = 1
    exact = (mmd_squared(kernel, every) >= mmd_squared(kernel, every[:, :1])[0] - 1e-12).mean()
    value, p_value = permutation_test(kernel, 4, np.random.default_rng(0), 4000)
    assert value == pytest.approx(mmd_squared(kernel, every[:, :1])[0])
    assert p_value == pytest.approx(exact, abs=0.03)


def test_without_a_shift_p_values_are_even_and_the_classifier_guesses():
    p_values, accuracies, values = [], [], []
    for seed in range(40):
        found = measure(*draw(seed, 40, 40), np.random.default_rng(seed), permutations=99)
        p_values.append(found.p_value)
        accuracies.append(found.domain_accuracy)
        values.append(found.mmd_squared)
        assert (found.a_distance == 0) == (found.domain_accuracy <= 0.5)
    assert 0.3 < np.mean(p_values) < 0.7 and np.mean(np.array(p_values) <= 0.05) < 0.2
    assert np.mean(values) == pytest.approx(0, abs=0.005) and min(values) < 0
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.05) and min(accuracies) < 0.5


def test_a_shift_is_seen():
    small, large = (measure(*draw(0, 150, 60, offset=by), np.random.default_rng(0), 199) for by in (0.3, 3.0))
    assert 0 < small.mmd_squared < large.mmd_squared
    assert large.p_value == 1 / 200
    assert 0.5 < small.domain_accuracy < large.domain_accuracy
    assert large.domain_accuracy > 0.98
    for found in (small, large):
        assert found.a_distance == pytest.approx(2 * (1 - 2 * (1 - found.domain_accuracy)))


def test_the_domain_classifier_is_that_of_scikit_learn():
    train, test = draw(5, 90, 15, offset=0.6)
    rows, from_test = np.vstack([train, test]), np.arange(105) >= 90
    seed = int(np.random.default_rng(7).integers(2**31))
    said = np.empty(105, bool)
    for fitted, asked in StratifiedKFold(5, shuffle=True, random_state=seed).split(rows, from_test):
        mean, deviation = rows[fitted].mean(axis=0), rows[fitted].std(axis=0)
        weight = np.where(from_test[fitted], 1 / from_test[fitted].mean(), 1 / (~from_test[fitted]).mean()) / 2
        model = LogisticRegression(max_iter=1000).fit((rows[fitted] - mean) / deviation, from_test[fitted], weight)
        said[asked] = model.predict((rows[asked] - mean) / deviation)
    expected = ((said & from_test).sum() / 15 + (~said & ~from_test).sum() / 90) / 2
    assert shift.domain_accuracy(train, test, np.random.default_rng(7)) == pytest.approx(expected, abs=0.02)
    assert expected > 0.6


def test_equal_clips_have_no_shift():
    found = measure(np.ones((6, 3)), np.ones((4, 3)), np.random.default_rng(0), 20)
    assert (found.mmd_squared, found.p_value, found.bandwidth) == (pytest.approx(0), 1.0, 1.0)
    assert (found.domain_accuracy, found.a_distance) == (0.5, 0.0)
    # most pairs at distance 0: the median of the others
    most = measure([[0.0]] * 9, [[0.0], [2.0]], np.random.default_rng(0), 20)
    assert most.bandwidth == 2.0


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(0)
    train, test = draw(4, 5, 5)
    bad = test.copy()
    bad[3, 0] = np.inf
    for a, b, message in (
        (train, test[:, :2], "5 dimensions and test clips 2"),
        (train, bad, "row 3 of the test clips"),
        (train[:1], test, r"training clips have shape \(1, 5\)"),
        (train, test[0], "test clips have shape"),
    ):
        with pytest.raises(InputError, match=message):
            measure(a, b, rng, 5)
