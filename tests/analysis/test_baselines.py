"""Named classes beside random sets: by plain loops and by scipy."""

import json
import statistics

import numpy as np
import pytest
from scipy.stats import percentileofscore

from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.confusion import group_confusion
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import Result, confusion_matrix
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scores import Scores

WEIGHTS = Weights(0.6, 0.4)
HARD = {"a": ["Class 2", "class0"], "b": ["class_1", "class 3"]}


@pytest.fixture(scope="module")
def scores():
    """The first four of twelve classes are hard: each of their clips scores much for all four. Class 7 has no clips."""
    rng = np.random.default_rng(0)
    truth = rng.integers(12, size=240)
    columns = {name: rng.normal(size=(240, 12)) + 2 * np.eye(12)[truth] for name in ("VE", "O")}
    for matrix in columns.values():
        matrix[:, :4] += 3 * (truth < 4)[:, None]
    names = [f"class {c}" for c in range(12)]
    return Scores([f"clip {n}" for n in range(240)], ["" if c == 7 else names[c] for c in truth], names, columns)


def accuracy_by_loops(scores, classes):
    """Top-1 of the clips of some classes among these only."""
    hits = []
    for row, label in enumerate(scores.labels):
        if label in classes:
            index = [scores.class_names.index(name) for name in classes]
            ve, o = scores.columns["VE"][row], scores.columns["O"][row]
            total = [0.6 * float(ve[c]) + 0.4 * float(o[c]) for c in index]
            hits.append(classes[total.index(max(total))] == label)
    return sum(hits) / len(hits)


def test_the_baseline_by_loops(scores):
    found = random_baseline(scores, HARD, WEIGHTS, seed=3)
    assert found.classes == ["class 2", "class 0", "class 1", "class 3"]
    assert found.pool == [name for name in scores.class_names if name != "class 7"]
    drawn = random_classes(found.pool, 4, 30, 3).splits
    assert [run.classes for run in found.random.runs] == drawn
    named, values = accuracy_by_loops(scores, found.classes), [accuracy_by_loops(scores, split) for split in drawn]
    standing = found.standing()
    assert (standing.metric, standing.named, standing.values) == ("top1", pytest.approx(named), pytest.approx(values))
    mean, std = statistics.fmean(values), statistics.stdev(values)
    assert (*standing.random, standing.z) == pytest.approx((mean, std, (named - mean) / std))
    assert standing.percentile == pytest.approx(percentileofscore(values, named, kind="mean") / 100)
    assert found.standing("mean_per_class").values == [run.mean_per_class for run in found.random.runs]
    counts = confusion_matrix(scores, WEIGHTS, found.classes)
    assert found.figures == group_confusion(counts, found.classes, HARD)


def test_sets_outside_the_named_ones(scores):
    found = random_baseline(scores, HARD, WEIGHTS, outside=True, seed=5)
    assert found.pool == [f"class {c}" for c in (4, 5, 6, 8, 9, 10, 11)]
    assert [run.classes for run in found.random.runs] == random_classes(found.pool, 4, 30, 5).splits
    value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert value["outside"] is True and value["groups"] == found.groups and value["pool"] == found.pool
    assert value["standings"][0]["values"] == found.standing().values
    assert Result.from_dict(value["named_set"]) == found.named
    assert Result.from_dict(value["random_sets"]) == found.random


def test_what_cannot_be_compared_is_refused(scores):
    with pytest.raises(InputError, match=r"sets of 7 classes cannot be drawn from 4 .* outside the named ones"):
        random_baseline(scores, {"g": scores.class_names[:7]}, WEIGHTS, outside=True)
