"""Open-set figures by hand and by plain loops over pairs of clips."""

import numpy as np
import pytest

from cezsar.analysis.calibration import fit
from cezsar.analysis.open_set import decided, measure, simulate
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.rejection import KINDS, confidence
from cezsar.zeroshot.scores import Scores

CASES = {
    "fine": lambda rng: (0.7 + rng.normal(size=53), rng.normal(size=41)),
    "coarse": lambda rng: (rng.integers(1, 6, 53) / 4, rng.integers(0, 5, 41) / 4),
    "equal": lambda rng: (np.ones(53), np.ones(41)),
    "apart": lambda rng: (2 + rng.random(53), rng.random(41)),
}


def clips(kind):
    rng = np.random.default_rng(7)
    known, unknown = CASES[kind](rng)
    return known, rng.random(53) < 0.7, unknown


@pytest.fixture(scope="module")
def scores():
    """240 clips of 8 classes, 7 of them without a label; both modalities see the true class above the rest."""
    rng, truth, names = np.random.default_rng(0), np.arange(240) % 8, [f"class {c}" for c in range(8)]
    matrices = {name: 0.1 * rng.normal(size=(240, 8)) + 0.2 * np.eye(8)[truth] for name in ("VE", "O")}
    labels = ["" if n < 7 else names[c] for n, c in enumerate(truth)]
    return Scores([f"clip {n}" for n in range(240)], labels, names, matrices)


def test_by_hand():
    found, curve_S = measure([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1])
    assert found["auroc"] == (2 + 1.5 + 1.5 + 1) / 8 and found["oscr"] == (2 + 1.5 + 1) / 8
    assert found["fpr95"] == 0.5 and found["accuracy"] == 0.75
    np.testing.assert_allclose(curve_S[[0, 80, 100, 200]], [0.25, 0.25, 0.75, 0.75])  # at 0, 0.4, 0.5 and 1


@pytest.mark.parametrize("kind", CASES)
def test_by_plain_loops(kind):
    known, right, unknown = clips(kind)
    found, curve_S = measure(known, right, unknown)
    pairs = [((k > u) + (k == u) / 2, r) for k, r in zip(known, right, strict=True) for u in unknown]
    assert found["auroc"] == pytest.approx(np.mean([above for above, _ in pairs]))
    assert found["oscr"] == pytest.approx(sum(above for above, r in pairs if r) / len(pairs))
    highest = max(t for t in known if np.mean(known >= t) >= 0.95)
    assert found["fpr95"] == pytest.approx(np.mean(unknown >= highest)) and found["accuracy"] == right.mean()
    for share, reached in zip((0, 0.1, 0.5, 1), curve_S[[0, 20, 100, 200]], strict=True):
        bars = [t for t in [*known, *unknown, np.inf] if np.mean(unknown >= t) <= share]
        assert reached == pytest.approx(max(np.mean((known >= t) & right) for t in bars))


def test_all_right_none_right_alike_and_undecided():
    known, right, unknown = clips("coarse")
    assert measure(known, np.ones_like(right), unknown)[0]["oscr"] == measure(known, right, unknown)[0]["auroc"]
    figures, curve_S = measure(known, np.zeros_like(right), unknown)
    assert figures["oscr"] == 0 and not curve_S.any()
    alike, _ = measure([1, 1, 1], [True, True, False], [1])
    assert alike == pytest.approx({"auroc": 0.5, "fpr95": 1, "oscr": 1 / 3, "accuracy": 2 / 3})
    undecided, _ = measure([1, -np.inf], [True, False], [0, -np.inf])
    assert undecided["auroc"] == (1 + 1 + 0 + 0.5) / 4 and undecided["oscr"] == 0.5
    many = np.arange(20.0)  # 19 of 20 are 95 %
    assert measure(many, many >= 0, [0.5, 1.5])[0]["fpr95"] == 0.5
    assert measure(many[:19], many[:19] >= 0, [0.5, 1.5])[0]["fpr95"] == 1


def test_a_decision_by_hand():
    found = decided([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1, 0.7], 0.6)
    assert found == {"threshold": 0.6, "false_accept": 2 / 3, "false_reject": 0.25, "right": 0.5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_by_plain_loops(kind, scores):
    protocol = Protocol("mine", [["class 6", "CLASS 1", "class 3", "class 4"]])
    run = simulate(scores, protocol, Weights(0.7, 0.3), kind, rate=0.1).runs[0]
    assert run.known == ["class 1", "class 3", "class 4", "class 6"] and len(run.aside) == 2 == len(run.unknown)
    assert sorted(run.known + run.aside + run.unknown) == scores.class_names
    fused = (np.float32(0.7) * scores.columns["VE"] + np.float32(0.3) * scores.columns["O"]).astype(float)
    columns = {name: [scores.class_names.index(n) for n in getattr(run, name)] for name in ("known", "aside")}
    if KINDS[kind].tempered:
        rows = [n for n, label in enumerate(scores.labels) if label in run.aside]
        truth = [run.aside.index(scores.labels[n]) for n in rows]
        expected = fit(fused[np.ix_(rows, columns["aside"])], truth).temperature
        assert run.temperature == pytest.approx(expected, rel=1e-5)

    def values(classes, among):
        rows = [row for row, label in zip(fused, scores.labels, strict=True) if label in classes]
        return np.array([confidence([row[columns[among]]], kind, run.temperature)[0] for row in rows])

    known, unknown = values(run.known, "known"), values(run.unknown, "known")
    tested = [(row[columns["known"]], label) for row, label in zip(fused, scores.labels, strict=True)]
    right = [run.known[int(np.argmax(row))] == label for row, label in tested if label in run.known]
    figures, curve_S = measure(known, right, unknown)
    assert run.figures == pytest.approx(figures) and run.right_S == pytest.approx(curve_S.tolist())
    accepted = np.mean(values(run.aside, "known") >= run.at["false accept"]["threshold"])
    rejected = np.mean(values(run.aside, "aside") < run.at["false reject"]["threshold"])
    for share, found in zip((accepted, rejected), run.at.values(), strict=True):
        assert share <= 0.1 < share + 0.02
        assert found == pytest.approx(decided(known, right, unknown, found["threshold"]))


def test_means_over_runs_and_draws(scores):
    protocol = random_classes(scores.class_names, 4, 6)
    found = simulate(scores, protocol, kind="margin")
    values = [run.figures["oscr"] for run in found.runs]
    assert len(values) == 6 and found.figure("oscr") == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    values = [run.at["false reject"]["right"] for run in found.runs]
    assert found.figure("right", "false reject").mean == pytest.approx(np.mean(values))
    np.testing.assert_allclose(found.curve(), np.mean([run.right_S for run in found.runs], axis=0))


def test_experiments_that_cannot_be(scores):
    names = scores.class_names
    for protocol, given, message in (
        (all_classes(names), {}, "there are no unknown clips"),
        (Protocol("most", [names[:7]]), {}, "leaves 1 with clips"),
        (random_classes(names, 4, 1), {"rate": 1}, "below 1"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(scores, protocol, **given)
