"""Confusions, look-alikes and groups by hand, by plain loops and by scipy; named classes beside random sets."""

import json
import statistics

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cosine, squareform
from scipy.stats import percentileofscore

from cezsar.analysis import confusion as engine
from cezsar.analysis.baselines import random_baseline
from cezsar.analysis.confusion import group_confusion
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import Result, confusion_matrix
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import FIGURE_1, PAPER_GROUPS, random_classes
from cezsar.zeroshot.scores import Embeddings, Scores

MATRIX = [[6, 3, 1, 0], [2, 2, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]]
CLASSES = ["run", "walk", "jog", "sit"]
SPORTS = ["HorseRiding", "Haircut", "HorseRace", "Archery", "HeadMassage", "Fencing", "BlowDryHair", "Surfing"]


def embeddings(prototypes, owner, names):
    rows = {"VE": np.ones((1, len(prototypes[0])), np.float32)}
    return Embeddings(["clip"], [""], list(names), rows, np.array(prototypes, np.float32), np.array(owner))


def random_similarity(n, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 3))
    return engine.prototype_similarity(embeddings(rows, range(n), map(str, range(n))))


def by_blocks(blocks, n, inside, outside):
    matrix = np.full((n, n), outside, float)
    for block in blocks:
        matrix[np.ix_(block, block)] = inside
    return matrix


def test_pairs_and_shares_by_hand():
    assert engine.pairs(MATRIX, CLASSES) == [
        engine.ConfusedPair("jog", "walk", 3, 1.0, 0),
        engine.ConfusedPair("run", "walk", 3, 0.3, 2),
        engine.ConfusedPair("walk", "run", 2, 0.5, 3),
        engine.ConfusedPair("run", "jog", 1, 0.1, 0),
    ]
    expected = [[0.6, 0.3, 0.1, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(engine.row_normalised(MATRIX), expected)


def test_the_order_keeps_every_cluster_of_scipy_together():
    similarity = np.random.default_rng(0).random((12, 12))
    order = engine.similarity_order(similarity)
    assert sorted(order) == list(range(12))
    distance = 5 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    members, place = {row: [row] for row in range(12)}, np.argsort(order)
    for step, (a, b, *_) in enumerate(linkage(squareform(distance), "average")):
        members[12 + step] = members[int(a)] + members[int(b)]
        places = sorted(place[members[12 + step]])
        assert places == list(range(places[0], places[0] + len(places)))


def test_prototype_similarity_is_that_of_the_nearest_sentences():
    rng = np.random.default_rng(0)
    prototypes, owner = rng.normal(size=(9, 4)), np.array([2, 0, 1, 0, 2, 3, 3, 1, 4])
    prototypes[8] = 0
    found = engine.prototype_similarity(embeddings(prototypes, owner, "abcde"))
    for a in range(5):
        for b in range(5):
            pairs = [(p, q) for p in np.flatnonzero(owner == a) for q in np.flatnonzero(owner == b) if 8 not in (p, q)]
            cosines = [1 - cosine(prototypes[p], prototypes[q]) for p, q in pairs]
            assert found[a, b] == pytest.approx(max(cosines, default=0), abs=1e-6)


def test_look_alikes_by_hand():
    names = ["walking", "running", "waving", "drumming"]
    described = {
        "Walking": ["A person walks along the street."],
        "running": ["A person runs fast along the street.", "Somebody is jogging."],
        "waving": ["A person waves with a hand."],
    }
    # Walking and running are alike, so are waving and drumming; a zero prototype beside another counts nothing.
    found = embeddings([[1, 0], [4, 3], [0, 2], [-3, 4], [0, 0]], [0, 1, 2, 3, 0], names)
    confusion = [[6, 3, 1, 0], [1, 9, 0, 0], [0, 0, 9, 1], [5, 0, 0, 5]]
    # Walking and drumming (5 of 10) lie apart, at a cosine of -0.6: their sentences are not to blame.
    expected = [
        ("walking", "running", 0.8, 0.2, 3, 1, ["walks"], ["runs", "fast", "somebody", "jogging"]),
        ("waving", "drumming", 0.8, 0.05, 1, 0, ["person", "waves", "hand"], []),
    ]
    expected = [engine.Lookalikes(*row[:2], *map(pytest.approx, row[2:4]), *row[4:]) for row in expected]
    assert engine.confusable(found, confusion, names, described) == expected
    assert engine.confusable(found, confusion, names, described, k=1) == expected[:1]


def test_proposed_groups_are_those_that_were_planted():
    similarity = by_blocks([[0, 2], [1, 4, 6]], 8, 0.8, 0.1)
    confusion = by_blocks([[0, 2], [1, 4, 6]], 8, 3, 0) + 5 * np.eye(8)
    found = engine.propose_groups(similarity, confusion, SPORTS)
    assert found == {"horse": ["HorseRiding", "HorseRace"], "Haircut": ["Haircut", "HeadMassage", "BlowDryHair"]}
    assert list(found) == ["horse", "Haircut"]  # 3 of 11 clips are more than 3 of 14


def test_merging_is_average_linkage(monkeypatch):
    """With room for all, clusters are scipy's tree cut at the bar."""
    monkeypatch.setattr(engine, "LARGEST_GROUP", 25)
    monkeypatch.setattr(engine, "MOST_GROUPS", 25)
    similarity, classes = random_similarity(25, 3), [f"c{row:02}" for row in range(25)]
    groups = engine.propose_groups(similarity, np.zeros((25, 25)), classes)
    off, distance = similarity[~np.eye(25, dtype=bool)], np.where(np.eye(25, dtype=bool), 0, 2 - similarity)
    cut = fcluster(linkage(squareform(distance, checks=False), "average"), 2 - off.mean() - off.std(), "distance")
    expected = [[c for c, label in zip(classes, cut, strict=True) if label == found] for found in np.unique(cut)]
    assert sorted(groups.values()) == sorted(group for group in expected if len(group) > 1)


def test_names_are_shared_words_or_the_typical_member():
    guitars = ["swinging a guitar overhead", "lifting a guitar overhead"]
    similarity = by_blocks([[0, 1], [2, 3], [4, 5]], 7, 0.8, 0.0)
    similarity[[2, 3], [3, 2]] = 0.9
    classes = [*guitars, "a run", "a walk", "guitar", "overhead bow", "x"]
    found = engine.propose_groups(similarity, np.zeros((7, 7)), classes)
    assert found == {"a run": ["a run", "a walk"], "guitar overhead": guitars, "guitar": ["guitar", "overhead bow"]}


def test_a_group_without_clips_has_no_shares_and_an_unknown_class_is_refused():
    found = engine.group_confusion(MATRIX, CLASSES, {"calm": ["SIT"]})
    assert found[0] == engine.GroupFigures("group", "calm", ["sit"], 0, None, None, None)
    assert found[-1] == engine.GroupFigures("total", None, CLASSES, 17, 8 / 17, 0.0, 9 / 17)
    with pytest.raises(InputError, match="none of the 4 classes"):
        engine.group_confusion(MATRIX, CLASSES, {"x": ["hop"]})


def test_group_figures_are_those_of_the_plain_loop_when_groups_overlap():
    classes, confusion = [f"c{row}" for row in range(8)], np.random.default_rng(0).integers(0, 5, size=(8, 8))
    groups = {"a": ["c1", "c4", "c2"], "b": ["c2", "c6"], "c": ["c0", "c7"]}
    found = engine.group_confusion(confusion, classes, groups)
    cases = [(group, [group]) for group in groups.values()]
    cases += [(["c3", "c5"], list(groups.values())), (classes, list(groups.values()))]
    for figures, (members, together) in zip(found, cases, strict=True):
        tally = {"accuracy": 0, "within": 0, "between": 0}
        for true in members:
            for predicted in classes:
                shared = any(true in group and predicted in group for group in together)
                key = "accuracy" if true == predicted else "within" if shared else "between"
                tally[key] += confusion[classes.index(true), classes.index(predicted)]
        clips = sum(tally.values())
        assert sorted(figures.classes) == sorted(members) and figures.clips == clips
        assert [getattr(figures, key) for key in tally] == pytest.approx([n / clips for n in tally.values()])
    assert [figures.kind for figures in found] == ["group"] * 3 + ["rest", "total"]


def test_the_papers_groups():
    members = [name for group in PAPER_GROUPS.values() for name in group]
    assert len(PAPER_GROUPS) == 6 and len(members) == len(set(members)) == 15 > len(FIGURE_1) == 4
    ucf = ["HorseRace", "HorseRiding", "PommelHorse", "BoxingSpeedBag", "Haircut", "Head_Massage", "Archery"]
    found = {"horses": ["HorseRiding", "HorseRace"], "hair": ["Haircut", "Head_Massage"]}
    assert engine.matching_groups(PAPER_GROUPS, ucf) == found


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
