"""Confusions and look-alikes by hand and by plain loops, orders by scipy, groups that stand out by construction."""

from itertools import combinations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cezsar.analysis.confusion import (
    FIGURE_1,
    PAPER_GROUPS,
    ConfusedPair,
    GroupFigures,
    Lookalikes,
    clips_of,
    confusable,
    group_confusion,
    matching_groups,
    pairs,
    propose_groups,
    prototype_similarity,
    row_normalised,
    similarity_order,
)
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores

MATRIX = [[6, 3, 1, 0], [2, 2, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]]
CLASSES = ["run", "walk", "jog", "sit"]


def test_pairs_by_hand():
    assert pairs(MATRIX, CLASSES) == [
        ConfusedPair("jog", "walk", 3, 1.0, 0),
        ConfusedPair("run", "walk", 3, 0.3, 2),
        ConfusedPair("walk", "run", 2, 0.5, 3),
        ConfusedPair("run", "jog", 1, 0.1, 0),
    ]
    assert pairs(np.eye(3, dtype=int), list("abc")) == []


def test_rows_sum_to_one_or_are_empty():
    found = row_normalised(MATRIX)
    np.testing.assert_allclose(found, [[0.6, 0.3, 0.1, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert found.dtype == np.float64


@pytest.mark.parametrize("seed", range(5))
def test_the_order_keeps_every_cluster_of_scipy_together(seed):
    rng = np.random.default_rng(seed)
    similarity = rng.random((12, 12))
    order = similarity_order(similarity)
    assert sorted(order) == list(range(12)) and order.dtype == np.int64
    distance = 5 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    members = {row: [row] for row in range(12)}
    place = np.argsort(order)
    for step, (a, b, *_) in enumerate(linkage(squareform(distance), "average")):
        members[12 + step] = members[int(a)] + members[int(b)]
        places = sorted(place[members[12 + step]])
        assert places == list(range(places[0], places[0] + len(places)))


def test_look_alikes_are_neighbours():
    line = np.array([3.0, 0, 5, 1, 4, 2])
    order = similarity_order(-np.abs(line[:, None] - line))
    assert line[order].tolist() in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])
    for n in (0, 1, 2):
        assert similarity_order(np.ones((n, n))).tolist() == list(range(n))
    assert sorted(similarity_order(np.zeros((4, 4)))) == [0, 1, 2, 3]


def test_prototype_similarity_is_that_of_the_nearest_sentences():
    rng = np.random.default_rng(0)
    prototypes, owner = rng.normal(size=(9, 4)), np.array([2, 0, 1, 0, 2, 4, 4, 1, 5])
    prototypes[8] = 0
    found = prototype_similarity(prototypes, owner, 6)
    for a in range(6):
        for b in range(6):
            cosines = [
                prototypes[p] @ prototypes[q] / np.linalg.norm(prototypes[p]) / np.linalg.norm(prototypes[q])
                for p in np.flatnonzero(owner == a)
                for q in np.flatnonzero(owner == b)
                if p != 8 and q != 8
            ]
            assert found[a, b] == pytest.approx(max(cosines, default=0), abs=1e-6)
    assert not found[3].any() and not found[:, 5].any()  # no prototype, and a zero one
    assert prototype_similarity(np.zeros((0, 4)), np.array([], int), 2).tolist() == [[0, 0], [0, 0]]


SPORTS = ["HorseRiding", "Haircut", "HorseRace", "Archery", "HeadMassage", "Fencing", "BlowDryHair", "Surfing"]


def by_blocks(blocks, n, inside, outside):
    matrix = np.full((n, n), outside, float)
    for block in blocks:
        matrix[np.ix_(block, block)] = inside
    return matrix


def test_proposed_groups_are_those_that_were_planted():
    similarity = by_blocks([[0, 2], [1, 4, 6]], 8, 0.8, 0.1)
    confusion = by_blocks([[0, 2], [1, 4, 6]], 8, 3, 0) + 5 * np.eye(8)
    found = propose_groups(similarity, confusion, SPORTS)
    assert found == {"horse": ["HorseRiding", "HorseRace"], "Haircut": ["Haircut", "HeadMassage", "BlowDryHair"]}
    assert list(found) == ["horse", "Haircut"]  # 3 of 11 clips are more than 3 of 14
    assert propose_groups(similarity, confusion, SPORTS) == found
    assert list(propose_groups(similarity, confusion, SPORTS, most=1)) == ["horse"]


def test_blend_chooses_between_prototypes_and_confusion():
    similarity = by_blocks([[0, 2]], 8, 0.8, 0.1)
    confusion = by_blocks([[1, 4]], 8, 3, 0) + 5 * np.eye(8)
    assert list(propose_groups(similarity, confusion, SPORTS, blend=0).values()) == [["HorseRiding", "HorseRace"]]
    assert list(propose_groups(similarity, confusion, SPORTS, blend=1).values()) == [["Haircut", "HeadMassage"]]
    assert len(propose_groups(similarity, confusion, SPORTS, blend=0.5)) == 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("largest", [2, 3, 6])
def test_groups_are_disjoint_small_and_stand_out(seed, largest):
    rng = np.random.default_rng(seed)
    n = 40
    points = rng.normal(size=(n, 3))
    similarity = prototype_similarity(points, np.arange(n), n)
    confusion = rng.poisson(np.exp(4 * similarity - 2))
    classes = [f"class {row}" for row in range(n)]
    groups = propose_groups(similarity, confusion, classes, largest=largest, most=50)
    members = [name for group in groups.values() for name in group]
    assert len(set(members)) == len(members) and groups
    shares = row_normalised(confusion)
    affinity = np.zeros((n, n))
    off = ~np.eye(n, dtype=bool)
    for part in (similarity, (shares + shares.T) / 2):
        affinity += 0.5 * (part - part[off].min()) / (part[off].max() - part[off].min())
    strengths = []
    for group in groups.values():
        rows = [classes.index(name) for name in group]
        assert 2 <= len(rows) <= largest and rows == sorted(rows)
        strengths.append(np.mean([affinity[a, b] for a in rows for b in rows if a != b]))
        assert strengths[-1] > affinity[off].mean() + affinity[off].std()
    assert strengths == sorted(strengths, reverse=True)


def test_merging_is_average_linkage():
    """With room for all, clusters are scipy's tree cut at the bar."""
    rng = np.random.default_rng(3)
    similarity = prototype_similarity(rng.normal(size=(25, 3)), np.arange(25), 25)
    classes = [f"c{row:02}" for row in range(25)]
    groups = propose_groups(similarity, np.zeros((25, 25)), classes, largest=25, most=25, blend=0)
    off = similarity[~np.eye(25, dtype=bool)]
    distance = np.where(np.eye(25, dtype=bool), 0, 2 - similarity)
    cut = fcluster(linkage(squareform(distance, checks=False), "average"), 2 - off.mean() - off.std(), "distance")
    expected = [[c for c, label in zip(classes, cut, strict=True) if label == found] for found in np.unique(cut)]
    assert sorted(groups.values()) == sorted(group for group in expected if len(group) > 1)


def test_names_are_shared_words_or_the_typical_member():
    classes = [
        "swinging a guitar overhead",
        "lifting a guitar overhead",
        "a run",
        "a walk",
        "guitar",
        "overhead bow",
        "x",
    ]
    similarity = by_blocks([[0, 1], [2, 3], [4, 5]], 7, 0.8, 0.0)
    similarity[[2, 3], [3, 2]] = 0.9
    found = propose_groups(similarity, np.zeros((7, 7)), classes)
    assert found == {"a run": ["a run", "a walk"], "guitar overhead": classes[:2], "guitar": ["guitar", "overhead bow"]}
    taken = ["horse", "mule", "horse race", "horse riding", "z", "y", "x"]  # a class is spelt like a shared word
    similarity = by_blocks([[0, 1], [2, 3]], 7, 0.8, 0.0)
    similarity[[2, 3], [3, 2]] = 0.9
    found = propose_groups(similarity, np.zeros((7, 7)), taken)
    assert found == {"horse": ["horse race", "horse riding"], "horse and others": ["horse", "mule"]}


def test_nothing_stands_out_nothing_is_proposed():
    for n in range(5):
        classes = [str(row) for row in range(n)]
        assert propose_groups(np.ones((n, n)), np.zeros((n, n)), classes) == {}
        assert propose_groups(np.eye(n), np.eye(n), classes) == {}


def test_group_figures_by_hand():
    found = group_confusion(MATRIX, CLASSES, {"fast": ["Run", "JOG"], "calm": ["sit"]})
    assert found == [
        GroupFigures("group", "fast", ["run", "jog"], 13, 6 / 13, 1 / 13, 6 / 13),
        GroupFigures("group", "calm", ["sit"], 0, None, None, None),
        GroupFigures("rest", None, ["walk"], 4, 0.5, 0.0, 0.5),
        GroupFigures("total", None, CLASSES, 17, 8 / 17, 1 / 17, 8 / 17),
    ]
    with pytest.raises(InputError, match="none of the 4 classes"):
        group_confusion(MATRIX, CLASSES, {"x": ["hop"]})


@pytest.mark.parametrize("seed", range(3))
def test_group_figures_are_those_of_the_plain_loop_when_groups_overlap(seed):
    rng = np.random.default_rng(seed)
    classes = [f"c{row}" for row in range(8)]
    confusion = rng.integers(0, 5, size=(8, 8))
    groups = {"a": ["c1", "c4", "c2"], "b": ["c2", "c6"], "c": ["c0", "c7"]}
    found = group_confusion(confusion, classes, groups)

    def shares(members, together):
        tally = {"accuracy": 0, "within": 0, "between": 0}
        for true in members:
            for predicted in classes:
                count = confusion[classes.index(true), classes.index(predicted)]
                key = "accuracy" if true == predicted else "within" if together(true, predicted) else "between"
                tally[key] += count
        return tally, sum(tally.values())

    def any_shared(a, b):
        return any(a in group and b in group for group in groups.values())

    cases = [(group, lambda a, b, group=group: a in group and b in group) for group in groups.values()]
    cases += [(["c3", "c5"], any_shared), (classes, any_shared)]
    for figures, (members, together) in zip(found, cases, strict=True):
        tally, clips = shares(members, together)
        assert sorted(figures.classes) == sorted(members) and figures.clips == clips
        for name, count in tally.items():
            assert getattr(figures, name) == pytest.approx(count / clips)
    assert [figures.kind for figures in found] == ["group"] * 3 + ["rest", "total"]


def test_the_papers_groups():
    members = [name for group in PAPER_GROUPS.values() for name in group]
    assert len(PAPER_GROUPS) == 6 and len(members) == len(set(members)) == 15
    assert set(FIGURE_1) < set(members) and len(FIGURE_1) == 4
    ucf = ["HorseRace", "HorseRiding", "PommelHorse", "BoxingSpeedBag", "Haircut", "Head_Massage", "Archery"]
    assert matching_groups(PAPER_GROUPS, ucf) == {
        "horses": ["HorseRiding", "HorseRace"],
        "hair": ["Haircut", "Head_Massage"],
    }
    assert matching_groups(PAPER_GROUPS, []) == {}
    assert matching_groups({"twice": ["a b", "A_B"]}, ["a b", "c"]) == {}


@pytest.mark.parametrize("classes", [None, ["c", "a"], ["B", "d", "a"]])
@pytest.mark.parametrize("weights", [Weights(), Weights.only("O")])
def test_cells_hold_the_clips_that_the_matrix_counts(classes, weights):
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    columns = {name: rng.integers(-1, 2, size=(90, 5)).astype(np.float32) for name in ("VE", "O")}
    columns["VE"][::7] = columns["O"][::7] = 0
    labels = [["a", "b", "c", "D", "", "elsewhere"][i] for i in rng.integers(6, size=90)]
    scores = Scores([str(i) for i in range(90)], labels, names, columns, column_class=np.array([0, 1, 1, 2, 3]))
    matrix = confusion_matrix(scores, weights, classes)
    chosen = classes or names
    seen = []
    for row, true in enumerate(chosen):
        for column, predicted in enumerate(chosen):
            rows = clips_of(scores, weights, true.upper(), predicted, classes)
            assert len(rows) == matrix[row, column] and rows == sorted(rows)
            assert all(labels[r].lower() == true.lower() for r in rows)
            seen += rows
    assert len(set(seen)) == len(seen) == matrix.sum() > 0


# Look-alikes

NAMES = ["walking", "running", "waving", "drumming"]
SENTENCES = {
    "Walking": ["A person walks along the street."],
    "running": ["A person runs fast along the street.", "Somebody is jogging."],
    "waving": ["A person waves with a hand."],
}


def embeddings(prototypes, owner, names=NAMES):
    rows = {"VE": np.ones((1, len(prototypes[0])), np.float32)}
    return Embeddings(["clip"], [""], list(names), rows, np.array(prototypes, np.float32), np.array(owner))


def test_look_alikes_by_hand():
    # Walking and running are alike, so are waving and drumming; a zero prototype beside another counts nothing.
    found = embeddings([[1, 0], [4, 3], [0, 2], [-3, 4], [0, 0]], [0, 1, 2, 3, 0])
    confusion = [[6, 3, 1, 0], [1, 9, 0, 0], [0, 0, 9, 1], [5, 0, 0, 5]]
    # Walking and drumming (5 of 10) lie apart, at a cosine of -0.6: their sentences are not to blame.
    pairs = confusable(found, confusion, NAMES, SENTENCES)
    assert pairs == [
        Lookalikes(
            "walking",
            "running",
            pytest.approx(0.8),
            pytest.approx(0.2),
            3,
            1,
            ["walks"],
            ["runs", "fast", "somebody", "jogging"],
        ),
        Lookalikes(
            "waving", "drumming", pytest.approx(0.8), pytest.approx(0.05), 1, 0, ["person", "waves", "hand"], []
        ),
    ]
    assert confusable(found, confusion, NAMES, SENTENCES, k=1) == pairs[:1]
    assert confusable(found, np.eye(4, dtype=int), NAMES) == []


def test_look_alikes_by_loops():
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(9)]
    owner = np.concatenate([np.arange(9), rng.integers(9, size=9)])
    prototypes = rng.normal(size=(18, 5))
    confusion = rng.integers(0, 6, (9, 9))
    confusion[0, 1:] = confusion[1:, 0] = 0  # never confused
    classes = [names[c] for c in (8, 0, 3, 1, 5, 2)]
    counts = confusion[:6, :6]
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    similarity = {
        (i, j): max(
            unit[p] @ unit[q]
            for p in np.flatnonzero(owner == names.index(classes[i]))
            for q in np.flatnonzero(owner == names.index(classes[j]))
        )
        for i, j in combinations(range(6), 2)
    }
    usual = sum(similarity.values()) / len(similarity)
    expected = []
    for (i, j), value in similarity.items():
        share = (counts[i, j] / counts[i].sum() + counts[j, i] / counts[j].sum()) / 2
        if share > 0 and value > usual:
            expected.append((-share, -value, classes[i], classes[j], counts[i, j], counts[j, i]))
    found = confusable(embeddings(prototypes, owner, names), counts, [name.upper() for name in classes])
    assert [(p.first, p.second, p.taken, p.reverse) for p in found] == [entry[2:] for entry in sorted(expected)]
    assert [(-p.share, -p.similarity) for p in found] == [
        pytest.approx(entry[:2], abs=1e-6) for entry in sorted(expected)
    ]
    assert len(found) > 2 and all(p.first_words == p.second_words == [] for p in found)


def test_words_of_several_sentences_without_function_words():
    described = {
        "walking": ["She walks, while it is raining.", "A walk"],
        "running": ["They run while a dog is barking"],
    }
    (pair,) = confusable(embeddings([[1, 0], [1, 1]], [0, 1], NAMES[:2]), [[3, 1], [0, 0]], NAMES[:2], described)
    assert (pair.first_words, pair.second_words) == (["walks", "raining", "walk"], ["run", "dog", "barking"])
