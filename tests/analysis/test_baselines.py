"""Named classes beside random sets: by plain loops, by scipy, and a case counted by hand."""

import json
import math
import statistics

import numpy as np
import pytest
from scipy.stats import percentileofscore

from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.confusion import GroupFigures
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scores import Scores

VE = Weights.only("VE")


def random_scores(clips=240, classes=12, seed=0):
    """The first four classes are hard: each of their clips scores much for all four."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=clips)
    columns = {}
    for name in ("VE", "O"):
        matrix = rng.normal(size=(clips, classes))
        matrix[np.arange(clips), truth] += 2
        matrix[:, :4] += 3 * (truth < 4)[:, None]
        columns[name] = matrix
    names = [f"class {c}" for c in range(classes)]
    return Scores([f"clip {n}" for n in range(clips)], [names[c] for c in truth], names, columns)


def accuracy_by_loops(scores, weights, classes):
    """Top-1 of the clips of some classes among these only."""
    index = [scores.class_names.index(name) for name in classes]
    hits = clips = 0
    for row, label in enumerate(scores.labels):
        if label in classes:
            clips += 1
            total = [
                weights.alpha * float(scores.columns["VE"][row, c]) + weights.beta * float(scores.columns["O"][row, c])
                for c in index
            ]
            hits += classes[total.index(max(total))] == label
    return hits / clips


def test_the_baseline_by_loops():
    scores, weights = random_scores(), Weights(0.6, 0.4)
    hard = ["Class 2", "class0", "class_1", "class 3"]
    found = random_baseline(scores, hard, weights, runs=25, seed=3)
    assert found.classes == ["class 2", "class 0", "class 1", "class 3"] and found.groups == {}
    drawn = random_classes(scores.class_names, 4, 25, 3).splits
    assert [run.classes for run in found.random.runs] == drawn
    named = accuracy_by_loops(scores, weights, found.classes)
    values = [accuracy_by_loops(scores, weights, split) for split in drawn]
    standing = found.standing()
    assert standing.metric == "top1" and standing.named == pytest.approx(named)
    assert standing.values == pytest.approx(values)
    mean, std = statistics.fmean(values), statistics.stdev(values)
    assert standing.random == pytest.approx((mean, std))
    assert standing.z == pytest.approx((named - mean) / std)
    assert standing.percentile == pytest.approx(percentileofscore(values, named, kind="mean") / 100)
    balanced = found.standing("mean_per_class")
    assert balanced.named == found.named.runs[0].mean_per_class
    assert balanced.values == [run.mean_per_class for run in found.random.runs]


def test_sets_of_equal_value_count_half():
    scores = random_scores(clips=60, classes=4, seed=1)
    found = random_baseline(scores, ["class 0", "class 1"], VE, runs=40)
    standing = found.standing()
    assert standing.values.count(standing.named) > 0  # there are six pairs only
    assert standing.percentile == percentileofscore(standing.values, standing.named, kind="mean") / 100


def test_sets_outside_the_named_ones():
    scores = random_scores()
    hard = ["class 0", "class 1", "class 2", "class 3"]
    found = random_baseline(scores, hard, outside=True, seed=5)
    others = [name for name in scores.class_names if name not in hard]
    assert found.pool == others and found.random.runs[0].classes
    assert [run.classes for run in found.random.runs] == random_classes(others, 4, 30, 5).splits
    with pytest.raises(InputError, match=r"sets of 7 classes cannot be drawn from 5 .* outside the named ones"):
        random_baseline(scores, scores.class_names[:7], outside=True)


def by_hand():
    """Three classes of two clips. In group "legs" a clip of walking is taken for running, one of running for waving."""
    names = ["walking", "running", "waving"]
    labels = ["walking", "walking", "running", "running", "waving", "waving"]
    rows = [[3, 1, 0], [1, 3, 0], [1, 3, 0], [0, 1, 3], [0, 0, 3], [0, 1, 3]]
    return Scores(list("abcdef"), labels, names, {"VE": np.array(rows, float)})


def test_within_and_between_groups_by_hand():
    found = random_baseline(by_hand(), {"legs": ["walking", "running"], "arms": ["waving"]}, VE, runs=4)
    assert found.classes == ["walking", "running", "waving"]
    assert found.groups == {"legs": ["walking", "running"], "arms": ["waving"]}
    assert found.figures == [
        GroupFigures("group", "legs", ["walking", "running"], 4, 0.5, 0.25, 0.25),
        GroupFigures("group", "arms", ["waving"], 2, 1.0, 0.0, 0.0),
        GroupFigures("total", None, ["walking", "running", "waving"], 6, 4 / 6, 1 / 6, 1 / 6),
    ]
    # All three of three can be drawn in one way only, so random sets do not vary.
    standing = found.standing()
    assert standing.values == [standing.named] * 4 and standing.percentile == 0.5
    assert standing.z is None and standing.random == (pytest.approx(4 / 6), 0)
    alone = random_baseline(by_hand(), ["walking", "running"], VE, runs=1)
    assert alone.figures == [GroupFigures("total", None, ["walking", "running"], 4, 0.75, 0.0, 0.25)]
    assert alone.standing().z is None and alone.standing().random.std is None


def test_classes_without_clips_are_not_drawn():
    scores = random_scores()
    labels = ["" if label == "class 7" else label for label in scores.labels]
    fewer = Scores(scores.ids, labels, scores.class_names, scores.columns)
    found = random_baseline(fewer, ["class 0", "class 1"])
    assert "class 7" not in found.pool and len(found.pool) == 11
    assert all("class 7" not in run.classes for run in found.random.runs)


def test_as_json():
    groups = {"hard": ["class 0", "class 1"], "soft": ["class 7", "class 8"]}
    found = random_baseline(random_scores(), groups, outside=True)
    value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert value["outside"] is True and value["groups"] == found.groups and value["pool"] == found.pool
    assert [entry["metric"] for entry in value["standings"]] == ["top1", "top5", "mean_per_class"]
    top1 = value["standings"][0]
    assert top1["values"] == found.standing().values and top1["random"]["std"] == found.standing().random.std
    assert math.isclose(top1["percentile"], found.standing().percentile)
    assert Result.from_dict(value["named_set"]) == found.named
    assert Result.from_dict(value["random_sets"]) == found.random
    assert [figure["group"] for figure in value["figures"]] == ["hard", "soft", None]


def test_what_cannot_be_compared_is_refused():
    scores = random_scores()
    for classes, message in [
        ([], "no classes"),
        ({}, "no classes"),
        (["class 0", "Class0"], "twice"),
        (["class 99"], "none of the 12 classes"),
        ({"g": ["class 99"]}, "none of the 12 classes"),
    ]:
        with pytest.raises(InputError, match=message):
            random_baseline(scores, classes)
