"""Open-set figures by hand and by plain loops over pairs of clips."""

import time

import numpy as np
import pytest

from cezsar.analysis.calibration import fit
from cezsar.analysis.open_set import SHARES_S, decided, measure, simulate
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.rejection import KINDS, confidence
from cezsar.zeroshot.scores import Scores


def clips(kind, seed, known=53, unknown=41):
    rng = np.random.default_rng(seed)
    if kind == "coarse":
        found = rng.integers(1, 6, known) / 4, rng.integers(0, 5, unknown) / 4
    elif kind == "equal":
        found = np.ones(known), np.ones(unknown)
    elif kind == "apart":
        found = 2 + rng.random(known), rng.random(unknown)
    else:
        found = 0.7 + rng.normal(size=known), rng.normal(size=unknown)
    return found[0], rng.random(known) < 0.7, found[1]


def random_scores(clips=240, classes=8, seed=0, unlabelled=7):
    """Both modalities see the true class above the rest."""
    rng = np.random.default_rng(seed)
    truth = np.arange(clips) % classes
    names = [f"class {c}" for c in range(classes)]
    matrices = {}
    for modality in ("VE", "O"):
        matrix = 0.1 * rng.normal(size=(clips, classes))
        matrix[np.arange(clips), truth] += 0.2
        matrices[modality] = matrix.astype(np.float32)
    labels = ["" if n < unlabelled else names[c] for n, c in enumerate(truth)]
    return Scores([f"clip {n}" for n in range(clips)], labels, names, matrices)


# Every threshold at once --------------------------------------------------------------------------------------------


def test_by_hand():
    found = measure([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1])
    assert found.auroc == (2 + 1.5 + 1.5 + 1) / 8 and found.oscr == (2 + 1.5 + 1) / 8
    assert found.fpr95 == 0.5 and found.accuracy == 0.75
    np.testing.assert_allclose(found.right_at(np.array([0, 0.4, 0.5, 1])), [0.25, 0.25, 0.75, 0.75])
    # Known first: precision 1 for the first, 3 of 4 for the next two, 4 of 5 for the last.
    assert found.aupr_known == pytest.approx((1 + 0.75 + 0.75 + 0.8) / 4)
    # Unknown first, from the least: precision 1 for the first, 2 of 5 where the second comes with its ties.
    assert found.aupr_unknown == pytest.approx((1 + 0.4) / 2)


@pytest.mark.parametrize("kind", ["fine", "coarse", "equal", "apart"])
def test_by_plain_loops(kind):
    known, right, unknown = clips(kind, 7)
    found = measure(known, right, unknown)
    pairs = [((k > u) + (k == u) / 2, r) for k, r in zip(known, right, strict=True) for u in unknown]
    assert found.auroc == pytest.approx(np.mean([above for above, _ in pairs]))
    assert found.oscr == pytest.approx(sum(above for above, r in pairs if r) / len(pairs))
    assert found.oscr <= found.auroc and found.oscr <= found.accuracy == right.mean()
    highest = max(t for t in known if np.mean(known >= t) >= 0.95)
    assert found.fpr95 == pytest.approx(np.mean(unknown >= highest))
    for share, reached in zip((0, 0.1, 0.5, 1), found.right_at(np.array([0, 0.1, 0.5, 1])), strict=True):
        bars = [t for t in [*known, *unknown, np.inf] if np.mean(unknown >= t) <= share]
        assert reached == pytest.approx(max(np.mean((known >= t) & right) for t in bars))


def test_when_all_are_right_oscr_is_auroc():
    known, right, unknown = clips("coarse", 2)
    assert measure(known, np.ones_like(right), unknown).oscr == measure(known, right, unknown).auroc
    assert measure(known, np.zeros_like(right), unknown).oscr == 0
    assert not measure(known, np.zeros_like(right), unknown).right_at(SHARES_S).any()


def test_apart_alike_and_undecided():
    apart = measure([2, 3], [True, True], [0, 1])
    assert set(apart.figures().values()) == {0, 1} and apart.fpr95 == 0
    alike = measure([1, 1, 1], [True, True, False], [1])
    assert (alike.auroc, alike.fpr95, alike.aupr_known, alike.aupr_unknown) == (0.5, 1, 0.75, 0.25)
    assert alike.oscr == pytest.approx(1 / 3)
    turned = measure([0, 1], [True, True], [2, 3])
    assert turned.auroc == 0 == turned.oscr and turned.fpr95 == 1
    undecided = measure([1, -np.inf], [True, False], [0, -np.inf])
    assert undecided.auroc == (1 + 1 + 0 + 0.5) / 4 and undecided.oscr == 0.5
    assert undecided.aupr_known == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_few_known_clips_at_95_percent():
    known = np.arange(20.0)  # 19 of 20 are 95 %
    assert measure(known, known >= 0, [0.5, 1.5]).fpr95 == 0.5
    assert measure(known[:19], known[:19] >= 0, [0.5, 1.5]).fpr95 == 1
    for given in (([1.0], [True], []), ([], [], [1.0])):
        with pytest.raises(InputError, match="need known and unknown clips"):
            measure(*given)


def test_a_decision_by_hand():
    found = decided([0.9, 0.6, 0.6, 0.2], [True, False, True, True], [0.6, 0.1, 0.7], 0.6)
    assert (found.false_accept, found.false_reject, found.right) == (2 / 3, 0.25, 0.5)


# The experiment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_by_plain_loops(kind):
    scores, weights = random_scores(), Weights(0.7, 0.3)
    protocol = Protocol("mine", [["class 6", "CLASS 1", "class 3", "class 4"]])
    run = simulate(scores, protocol, weights, kind, rate=0.1).runs[0]
    assert run.known == ["class 1", "class 3", "class 4", "class 6"]
    assert len(run.aside) == 2 == len(run.unknown)
    assert sorted(run.known + run.aside + run.unknown) == scores.class_names
    fused = (np.float32(0.7) * scores.columns["VE"] + np.float32(0.3) * scores.columns["O"]).astype(float)
    columns = {name: [scores.class_names.index(n) for n in getattr(run, name)] for name in ("known", "aside")}

    if KINDS[kind].tempered:
        rows = [n for n, label in enumerate(scores.labels) if label in run.aside]
        truth = [run.aside.index(scores.labels[n]) for n in rows]
        assert run.temperature == fit(fused[np.ix_(rows, columns["aside"])], truth).temperature

    def values(classes, among):
        rows = [row for row, label in zip(fused, scores.labels, strict=True) if label in classes]
        return np.array([confidence([row[columns[among]]], kind, run.temperature)[0] for row in rows])

    known, unknown = values(run.known, "known"), values(run.unknown, "known")
    right = []
    for row, label in zip(fused, scores.labels, strict=True):
        if label in run.known:
            right.append(run.known[int(np.argmax(row[columns["known"]]))] == label)
    assert run.figures == measure(known, right, unknown).figures()
    foreign, own = values(run.aside, "known"), values(run.aside, "aside")
    assert np.mean(foreign >= run.by_unknown.threshold) <= 0.1 < np.mean(foreign >= run.by_unknown.threshold) + 0.02
    assert np.mean(own < run.by_known.threshold) <= 0.1 < np.mean(own < run.by_known.threshold) + 0.02
    for found in (run.by_unknown, run.by_known):
        assert found == decided(known, right, unknown, found.threshold)


def test_nothing_is_chosen_on_what_is_measured():
    """Other scores of the known and the unknown classes change no threshold and no temperature."""
    scores, weights = random_scores(), Weights.only("VE")
    protocol = Protocol("mine", [scores.class_names[:4]])
    first = simulate(scores, protocol, weights, "energy").runs[0]
    columns = {name: matrix.copy() for name, matrix in scores.columns.items()}
    rows = [n for n, label in enumerate(scores.labels) if label not in first.aside]
    columns["VE"][rows] = np.random.default_rng(9).normal(size=(len(rows), 8))
    second = simulate(Scores(scores.ids, scores.labels, scores.class_names, columns), protocol, weights, "energy")
    again = second.runs[0]
    assert again.temperature == first.temperature and again.aside == first.aside
    assert again.by_unknown.threshold == first.by_unknown.threshold
    assert again.by_known.threshold == first.by_known.threshold
    assert again.figures != first.figures


def test_means_over_runs():
    scores = random_scores()
    found = simulate(scores, random_classes(scores.class_names, 4, 6), kind="margin")
    values = [run.figures["oscr"] for run in found.runs]
    assert len(values) == 6 and found.figure("oscr") == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    for chosen_by, part in (("false reject", "by_known"), ("false accept", "by_unknown")):
        values = [getattr(run, part).right for run in found.runs]
        assert found.figure("right", chosen_by).mean == pytest.approx(np.mean(values))
    np.testing.assert_allclose(found.curve(), np.mean([run.right_S for run in found.runs], axis=0))
    assert simulate(scores, random_classes(scores.class_names, 4, 1)).figure("auroc").std is None


def test_the_same_generator_gives_the_same_runs():
    scores = random_scores()
    protocol = random_classes(scores.class_names, 4, 3)
    assert simulate(scores, protocol) == simulate(scores, protocol, rng=np.random.default_rng(0))
    other = simulate(scores, protocol, rng=np.random.default_rng(1))
    assert [run.aside for run in other.runs] != [run.aside for run in simulate(scores, protocol).runs]


def test_experiments_that_cannot_be():
    scores = random_scores()
    with pytest.raises(InputError, match="there are no unknown clips"):
        simulate(scores, all_classes(scores.class_names))
    with pytest.raises(InputError, match="leaves 1 with clips"):
        simulate(scores, Protocol("most", [scores.class_names[:7]]))
    with pytest.raises(InputError, match="leaves 3 with clips"):
        simulate(scores, Protocol("most", [scores.class_names[:5]]), kind="energy")
    with pytest.raises(InputError, match="choose cosine"):
        simulate(scores, random_classes(scores.class_names, 4, 1), kind="entropy")
    with pytest.raises(InputError, match="below 1"):
        simulate(scores, random_classes(scores.class_names, 4, 1), rate=1)
    empty = Scores(
        scores.ids, ["class 7" if n % 2 else "class 6" for n in range(240)], scores.class_names, scores.columns
    )
    with pytest.raises(InputError, match="or no known ones"):
        simulate(empty, Protocol("empty", [["class 0", "class 1"]]))


def test_fifty_runs_at_the_size_of_ucf101_are_quick():
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(101)]
    matrix = rng.normal(size=(13_320, 101)).astype(np.float32)
    labels = [names[n % 101] for n in range(13_320)]
    scores = Scores([f"clip {n}" for n in range(13_320)], labels, names, {"VE": matrix})
    started = time.perf_counter()
    found = simulate(scores, random_classes(names, 50), Weights.only("VE"))
    assert time.perf_counter() - started < 10
    assert len(found.runs) == 50 and found.figure("auroc").mean == pytest.approx(0.5, abs=0.02)
