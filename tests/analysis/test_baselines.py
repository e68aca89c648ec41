"""Named classes beside random sets: by plain loops, by scipy, and a case counted by hand."""

import json
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

VE, BOTH = Weights.only("VE"), Weights(0.6, 0.4)
HARD = {"a": ["Class 2", "class0"], "b": ["class_1", "class 3"]}


def random_scores(clips=240, classes=12, seed=0, without=None):
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
    labels = ["" if c == without else names[c] for c in truth]
    return Scores([f"clip {n}" for n in range(clips)], labels, names, columns)


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
    scores = random_scores()
    found = random_baseline(scores, HARD, BOTH, runs=25, seed=3)
    assert found.classes == ["class 2", "class 0", "class 1", "class 3"]
    drawn = random_classes(scores.class_names, 4, 25, 3).splits
    assert [run.classes for run in found.random.runs] == drawn
    named = accuracy_by_loops(scores, BOTH, found.classes)
    values = [accuracy_by_loops(scores, BOTH, split) for split in drawn]
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
    found = random_baseline(random_scores(60, 4, 1), {"a": ["class 0", "class 1"]}, VE, runs=40)
    standing = found.standing()
    assert standing.values.count(standing.named) > 0  # there are six pairs only
    assert standing.percentile == percentileofscore(standing.values, standing.named, kind="mean") / 100


def test_sets_are_drawn_from_the_classes_that_count():
    scores = random_scores(without=7)
    found = random_baseline(scores, HARD, BOTH, runs=5, seed=5)
    assert found.pool == [name for name in scores.class_names if name != "class 7"]  # it has no clips
    found = random_baseline(scores, HARD, BOTH, runs=5, outside=True, seed=5)
    assert found.pool == [f"class {c}" for c in (4, 5, 6, 8, 9, 10, 11)]
    assert [run.classes for run in found.random.runs] == random_classes(found.pool, 4, 5, 5).splits
    with pytest.raises(InputError, match=r"sets of 7 classes cannot be drawn from 5 .* outside the named ones"):
        random_baseline(random_scores(), {"a": scores.class_names[:7]}, BOTH, outside=True)


def test_within_and_between_groups_by_hand():
    """Three classes of two clips. In group "legs" a clip of walking is taken for running, one of running for waving."""
    labels = ["walking", "walking", "running", "running", "waving", "waving"]
    rows = [[3, 1, 0], [1, 3, 0], [1, 3, 0], [0, 1, 3], [0, 0, 3], [0, 1, 3]]
    scores = Scores(list("abcdef"), labels, ["walking", "running", "waving"], {"VE": np.array(rows, float)})
    found = random_baseline(scores, {"legs": ["walking", "running"], "arms": ["waving"]}, VE, runs=4)
    assert found.figures == [
        GroupFigures("group", "legs", ["walking", "running"], 4, 0.5, 0.25, 0.25),
        GroupFigures("group", "arms", ["waving"], 2, 1.0, 0.0, 0.0),
        GroupFigures("total", None, ["walking", "running", "waving"], 6, 4 / 6, 1 / 6, 1 / 6),
    ]
    # All three of three can be drawn in one way only, so random sets do not vary.
    standing = found.standing()
    assert standing.values == [standing.named] * 4 and standing.percentile == 0.5
    assert standing.z is None and standing.random == (pytest.approx(4 / 6), 0)
    alone = random_baseline(scores, {"legs": ["walking", "running"]}, VE, runs=1)
    assert alone.standing().z is None and alone.standing().random.std is None


def test_as_json():
    groups = {"hard": ["class 0", "class 1"], "soft": ["class 7", "class 8"]}
    found = random_baseline(random_scores(), groups, BOTH, outside=True)
    value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert value["outside"] is True and value["groups"] == found.groups and value["pool"] == found.pool
    assert [entry["metric"] for entry in value["standings"]] == ["top1", "top5", "mean_per_class"]
    top1, standing = value["standings"][0], found.standing()
    assert (top1["values"], top1["percentile"]) == (standing.values, standing.percentile)
    assert top1["random"] == {"mean": standing.random.mean, "std": standing.random.std}
    assert Result.from_dict(value["named_set"]) == found.named
    assert Result.from_dict(value["random_sets"]) == found.random
    assert [figure["group"] for figure in value["figures"]] == ["hard", "soft", None]


@pytest.mark.parametrize(("groups", "message"), [({}, "no classes"), ({"g": ["class 99"]}, "none of the 12 classes")])
def test_what_cannot_be_compared_is_refused(groups, message):
    with pytest.raises(InputError, match=message):
        random_baseline(random_scores(), groups, BOTH)
