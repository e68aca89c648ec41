"""Comparisons by hand, bootstraps by plain loops, sign tests by SciPy, and tables."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from cezsar.analysis import comparison
from cezsar.analysis.comparison import Interval, RunDifference, Tally, compare, intervals, method_table
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import Correctness, correctness, evaluate, load_all
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import parse, random_classes
from cezsar.zeroshot.scores import Scores


def rng(seed=0):
    return np.random.default_rng(seed)


def make(right_NR, labels=None, ids=None, protocol="p", seed=0):
    labels, ids = labels or ["x"] * len(right_NR), ids or [f"v{row}" for row in range(len(right_NR))]
    return Correctness(ids, labels, protocol, seed, np.asarray(right_NR, np.int8))


def compared(a, b, resamples=10, names="AB"):
    a, b = (one if isinstance(one, Correctness) else make(one) for one in (a, b))
    return compare((names[0], a), (names[1], b), rng(), resamples)


# x is tested in both runs, y in the first, z in the second.
LABELS = ["x", "x", "y", "y", "z", "z"]
A = make([[1, 1], [1, 0], [1, -1], [0, -1], [-1, 1], [-1, 0]], LABELS)
B = make([[1, 0], [0, 0], [0, -1], [0, -1], [-1, 1], [-1, 1]], LABELS)


def test_a_case_by_hand():
    found = compared(A, B, 100)
    assert (found.a, found.b, found.protocol, found.seed, found.clips) == ("A", "B", "p", 0, 6)
    # Run 1: a 3 of 4, b 1 of 4, alone right 2 and 0. Run 2: a 2 of 4, b 2 of 4, alone right 1 and 1.
    assert found.runs == [
        RunDifference(4, 0.75, 0.25, 0.5, Tally(2, 0, 2, 0.5)),
        RunDifference(4, 0.5, 0.5, 0.0, Tally(1, 1, 2, 1.0)),
    ]
    assert (found.accuracy_a, found.accuracy_b, found.difference) == (0.625, 0.375, 0.25)
    assert found.splits == Tally(1, 0, 1, 1.0) and found.by_class == Tally(2, 1, 0, 1.0)
    assert found.classes.to_numpy().tolist() == [
        ["x", 2, 2, 0.75, 0.25, 0.5, 2, 0],  # 2 of 2 and 1 of 2; 1 of 2 and 0 of 2
        ["y", 2, 1, 0.5, 0.0, 0.5, 1, 0],
        ["z", 2, 1, 0.5, 1.0, -0.5, 0, 1],
    ]
    value = json.loads(json.dumps(found.to_dict()))
    assert (value["difference"], value["accuracy_a"], value["resamples"]) == (0.25, 0.625, 100)
    assert value["runs"][0]["videos"] == {"wins": 2, "losses": 0, "ties": 2, "p": 0.5}


def test_clips_that_one_lacks_are_dropped_and_counted():
    whole = compared(A, B)
    more = make([*A.right_NR[::-1], [0, 0], [1, 1], [-1, -1]], [*LABELS[::-1], "x", "x", ""],
                [*A.ids[::-1], "extra", "more", "not tested"])  # fmt: skip
    found = compared(more, make([[0, 0], *B.right_NR], ["x", *LABELS], ["another", *B.ids]))
    assert (found.only_a, found.only_b, found.clips) == (2, 1, 6)  # the clip that no run tests is not missed
    assert found.runs == whole.runs and found.classes.equals(whole.classes)


def test_a_class_that_rounding_alone_tells_apart_is_a_tie():
    """Clips of one class need not be the same in all runs: 1/3 - 1/5 - 2/15 is 0."""
    a_NR, b_NR = np.full((2, 23, 3), -1)
    for run, (rows, ahead) in enumerate(((range(3), 1), (range(3, 8), -1), (range(8, 23), -2))):
        a_NR[rows, run] = np.arange(len(rows)) < ahead
        b_NR[rows, run] = np.arange(len(rows)) < -ahead
    assert compared(a_NR, b_NR).by_class == Tally(0, 0, 1, 1.0)


def test_a_line_for_people():
    found = compared([[1]] * 7 + [[0]] * 3, [[1]] * 4 + [[0]] * 5 + [[1]], 500, ("VE + O", "VE"))
    low, high = (f"{100 * end:.1f}".replace("-", "−") for end in (found.over_videos.low, found.over_videos.high))
    assert found.summary() == (
        f"VE + O is 20.0 points above VE [{low}, {high} over videos]: 70.0 % against 50.0 % (p = 0.625)"
    )
    assert (found.over_splits, found.over_both, found.splits) == (None, None, None)  # one run
    level = compared(A, A)
    assert level.over_videos == level.over_splits == level.over_both == Interval(0.0, 0.0)
    assert level.summary().startswith("A is level with B [0.0, 0.0 over videos and splits]: 62.5 % against 62.5 %")


def test_counts_are_those_of_plain_loops():
    draw, runs = rng(1), 4
    class_N = np.append(np.arange(5), draw.integers(5, size=55))
    members_CR = draw.random((5, runs)) < 0.6
    members_CR[0] = True
    tested_NR, hard_N1 = members_CR[class_N], draw.random((60, 1))
    labels = [f"c{index}" if row.any() else "" for index, row in zip(class_N, tested_NR, strict=True)]
    a, b = (make(np.where(tested_NR, draw.random((60, runs)) < hard_N1 + more, -1), labels) for more in (0.1, 0))
    found, by_class = compared(a, b), {}
    for run, one in enumerate(found.runs):
        outcomes, classes = Counter(), {}
        for row, label in enumerate(labels):
            right = int(a.right_NR[row, run]), int(b.right_NR[row, run])
            if right[0] >= 0:
                outcomes[right] += 1
                classes.setdefault(label, []).append(right)
        n, wins, losses = outcomes.total(), outcomes[1, 0], outcomes[0, 1]
        p = binomtest(wins, wins + losses).pvalue
        assert one.clips == n and one.videos == Tally(wins, losses, n - wins - losses, pytest.approx(p))
        expected = (wins + outcomes[1, 1]) / n, (losses + outcomes[1, 1]) / n, (wins - losses) / n
        assert (one.a, one.b, one.difference) == pytest.approx(expected)
        for label, pairs in classes.items():
            by_class.setdefault(label, []).append(np.mean(pairs, axis=0))
    assert found.accuracy_a == pytest.approx(np.mean([one.a for one in found.runs]))
    assert found.difference == pytest.approx(found.accuracy_a - found.accuracy_b)
    assert set(found.classes["name"]) == set(by_class)
    for one in found.classes.itertuples():
        assert (one.a, one.b) == pytest.approx(tuple(np.mean(by_class[one.name], axis=0)))
        assert one.difference == pytest.approx(one.a - one.b)
        assert (one.runs, one.clips) == (len(by_class[one.name]), labels.count(one.name))
    assert found.classes["difference"].is_monotonic_decreasing


def loop_intervals(difference_NR, tested_NR, draw, resamples):
    """The three bootstraps clip by clip, with the draws in the order in which `intervals` makes them."""
    n, runs = difference_NR.shape
    runs_BR = draw.multinomial(runs, np.full(runs, 1 / runs), size=resamples) if runs > 1 else [[1]] * resamples
    videos, splits, both = [], [], []
    for times_R in runs_BR:
        rows = draw.integers(n, size=n)
        again = []
        for run in range(runs):
            values = [difference_NR[row, run] for row in rows if tested_NR[row, run]]
            again.append(sum(values) / len(values) if values else None)
        observed = [difference_NR[tested_NR[:, run], run].mean() for run in range(runs)]
        for kept, each, times in ((videos, again, [1] * runs), (splits, observed, times_R), (both, again, times_R)):
            counted = [value for value, time in zip(each, times, strict=True) for _ in range(time) if value is not None]
            if counted:
                kept.append(np.mean(counted))
    return [np.quantile(kept, [0.025, 0.975]) for kept in (videos, splits, both)]


@pytest.mark.parametrize(("n", "runs"), [(50, 1), (50, 5), (6, 3), (2, 2), (1, 1)])
def test_the_bootstrap_is_that_of_plain_loops(n, runs, monkeypatch):
    monkeypatch.setattr(comparison, "LARGE", 1_000)  # every clip is drawn by itself
    monkeypatch.setattr(comparison, "ENTRIES_AT_ONCE", 100)  # in several blocks
    draw = rng(n)
    tested_NR = draw.random((n, runs)) < 0.6
    tested_NR[0] = True
    if n == 2:
        tested_NR = np.eye(2, dtype=bool)  # a quarter of the resamples leaves each run without clips
    difference_NR = (draw.integers(-1, 3, size=(n, runs)).clip(-1, 1) * tested_NR).astype(np.int8)
    found = intervals(difference_NR, tested_NR, rng(1), 300)
    # Clips are drawn by their place among all clips, whatever their group.
    expected = loop_intervals(difference_NR, tested_NR, rng(1), 300)
    for one, ends in zip(found if runs > 1 else found[:1], expected, strict=False):
        assert (one.low, one.high) == pytest.approx(tuple(ends), abs=1e-12)


@pytest.mark.parametrize("large", [3, 10**9])
def test_groups_are_drawn_as_their_clips_would_be(large, monkeypatch):
    """Means and covariances of multinomial counts, however many groups are drawn as numbers."""
    monkeypatch.setattr(comparison, "LARGE", large)
    sizes = np.array([1, 40, 2, 5, 25, 1])
    drawn_BG = comparison._drawn(rng(0).permutation(np.repeat(np.arange(6), sizes)), 20_000, rng(1))
    np.testing.assert_allclose(drawn_BG.mean(axis=0), sizes, rtol=0.03)
    expected = np.diag(sizes) - np.outer(sizes, sizes) / sizes.sum()
    np.testing.assert_allclose(np.cov(drawn_BG.T), expected, atol=0.45)


@pytest.mark.parametrize("other", [
    make([[1, 1], [0, 0]], protocol="q"), make([[1, 1], [0, 0]], seed=7), make([[1, 1], [0, 0]], ["x", "y"]),
    make([[1, 1], [0, 0]], ids=["k", "l"]),
])  # fmt: skip
def test_hits_that_are_not_about_the_same_are_refused(other):
    with pytest.raises(InputError, match="not tested on the same"):
        compared([[1, 0], [0, 1]], other)


def test_a_table_has_every_method_its_difference_to_the_first_and_what_is_published(tmp_path):
    draw, names, truth = rng(0), [f"class {c}" for c in range(101)], np.repeat(np.arange(101), 3)
    matrices = {name: draw.normal(size=(303, 101)) + gain * np.eye(101)[truth] for name, gain in (("VE", 3), ("O", 1))}
    scores = Scores([f"clip {n}" for n in range(303)], [names[c] for c in truth], names, matrices)
    protocol = random_classes(names, 50, 6)
    methods = [
        SimpleNamespace(
            scores=scores,
            correctness=lambda protocol, own=own: correctness(scores, protocol, own),
            evaluate=lambda protocol, title=title, own=own: replace(evaluate(scores, protocol, own), method=title),
        )
        for title, own in (("mine", Weights()), ("objects", Weights.only("O")))
    ]
    found = method_table(methods, protocol, "ucf101", rng(3), resamples=100)
    (mine, objects), (difference,) = found.results, found.comparisons
    assert found.results == [method.evaluate(protocol) for method in methods]
    hits = [method.correctness(protocol) for method in methods]
    assert difference.to_dict() == compare((objects.name, hits[1]), (mine.name, hits[0]), rng(3), 100).to_dict()
    lines = found.text().splitlines()
    assert lines[0].startswith("protocol 50-of-101 x 6, 50 classes, 150 clips, 6 runs, seed 0 (%")
    assert lines[1].split()[-7:] == ["to", "the", "first", "95", "%", "runs", "won"]
    assert lines[2].startswith("mine  ") and mine.figure().percent() in lines[2]
    assert f"{100 * difference.difference:+.1f}" in lines[3] and lines[3].endswith("0 of 6")
    assert lines[4].split() == ["chance", "2.0", "10.0", "2.0"]
    assert "published; * not zero-shot in the strict sense" in lines
    assert any(line.startswith("CEZSAR (Estevam et al., ICPR 2026)") and "59.4 ± 3.6" in line for line in lines)
    paths = found.save(tmp_path / "out" / "compare.json")
    assert [path.name for path in paths] == ["compare.json", "compare.csv", "compare.md", "compare.tex"]
    assert load_all(paths[0]) == found.results and parse(str(paths[0]), names).splits == protocol.splits
    assert json.loads(paths[0].read_text())["comparisons"][0]["difference"] == difference.difference
    assert len(paths[1].read_text().splitlines()) == 1 + 2 * 6
    assert f"\n- {difference.summary()}\n" in paths[2].read_text() and "Top-1" in paths[3].read_text()
