"""Numbers of the gap and whose fault it is, against plain loops, SciPy and scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import skew
from sklearn.metrics import silhouette_score

from cezsar.analysis import gap
from cezsar.analysis.gap import FIGURES, UnitSpace
from cezsar.zeroshot import fusion
from cezsar.zeroshot.scored import Cloud

SIDES = ["right", "rescued", "text_errors", "video_errors"]


def space(videos, labels, prototypes=None, owner=None, classes=2):
    prototypes = np.zeros((0, np.shape(videos)[1])) if prototypes is None else np.asarray(prototypes)
    owner = np.arange(len(prototypes)) if owner is None else np.asarray(owner)
    return UnitSpace(Cloud(np.asarray(videos), prototypes), np.asarray(labels, int), owner, classes)


def measure(*parts, k=10, seed=0):
    return SimpleNamespace(**gap.measure(space(*parts), k, seed))


def faults(*parts):
    return gap.faults(space(*parts))


def world(seed=0, n=90, classes=6, sentences=2, width=9):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    labels = rng.integers(-1, classes, size=n)
    videos = centres[labels] + rng.normal(size=(n, width)) * 1.5
    owner = rng.permutation(np.repeat(np.arange(classes), sentences))
    prototypes = (centres[owner] + rng.normal(size=(len(owner), width))) * rng.uniform(0.1, 9, size=(len(owner), 1))
    return videos.astype(np.float32), labels, prototypes.astype(np.float32), owner, classes


def units(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(2))
def test_figures_are_those_of_plain_loops(seed, monkeypatch):
    monkeypatch.setattr(fusion, "ENTRIES_AT_ONCE", 700)  # several blocks of rows
    videos, labels, prototypes, owner, classes = world(seed)
    found = measure(videos, labels, prototypes, owner, classes, k=5)
    assert (found.clips, found.k) == (90, 5)
    clips, proto = units(videos), units(prototypes)
    known = [row for row in range(len(videos)) if labels[row] >= 0]
    of_class = [np.flatnonzero(owner == c) for c in range(classes)]
    means = np.mean(clips, axis=0), np.mean(proto, axis=0)
    assert found.modality_gap == pytest.approx(np.linalg.norm(means[0] - means[1]), abs=1e-6)
    assert found.silhouette == pytest.approx(silhouette_score(videos[known], labels[known], metric="cosine"), abs=1e-5)
    shares = []
    for row in known:
        others = sorted((r for r in known if r != row), key=lambda r: -(clips[r] @ clips[row]))
        shares.append(np.mean([labels[r] == labels[row] for r in others[:5]]))
    assert found.purity == pytest.approx(np.mean(shares), abs=1e-6)
    chance = [sum(labels[r] == labels[row] for r in known if r != row) / (len(known) - 1) for row in known]
    assert found.purity_by_chance == pytest.approx(np.mean(chance))
    lists = [sorted(range(len(proto)), key=lambda p: -(proto[p] @ clip)) for clip in clips]
    nearest = [owner[order[0]] for order in lists]
    assert found.nearest_prototype == pytest.approx(np.mean([nearest[row] == labels[row] for row in known]))
    occurrences = [sum(p == order[0] for order in lists) for p in range(len(proto))]
    assert found.hubness_1 == pytest.approx(skew(occurrences), abs=1e-9)
    votes = [nearest.count(c) for c in range(classes)]
    assert found.biggest_hub == votes.index(max(votes))
    assert found.biggest_hub_share == pytest.approx(max(votes) / len(videos))
    distances = [min(np.sum((clips[i] - proto[p]) ** 2) for p in of_class[labels[i]]) for i in known]
    assert found.alignment == pytest.approx(np.mean(distances), abs=1e-5)
    potential = np.exp(-2 * pdist(clips, "sqeuclidean"))
    assert found.uniformity_clips == pytest.approx(np.log(potential.mean()), abs=1e-5)
    places = []
    for i in known:
        best = [max(clips[i] @ proto[p] for p in of_class[c]) for c in range(classes)]
        places.append(1 + sum(score > best[labels[i]] for score in best))
    assert found.rank_mean == pytest.approx(np.mean(places))
    centroids = units([clips[labels == c].mean(axis=0) for c in range(classes)])
    own = [1 - proto[p] @ centroids[owner[p]] for p in range(len(proto))]
    other = [min(1 - proto[p] @ centroids[c] for c in range(classes) if c != owner[p]) for p in range(len(proto))]
    assert found.prototype_to_own == pytest.approx(np.mean(own), abs=1e-6)
    assert found.prototype_to_other == pytest.approx(np.mean(other), abs=1e-6)
    counts, drawn = np.zeros((classes, 4)), [0] * classes
    for i in known:
        members = [[clips[j] for j in known if labels[j] == c and j != i] for c in range(classes)]
        by_video = np.argmax([clips[i] @ centroid for centroid in units([np.mean(each, axis=0) for each in members])])
        counts[labels[i], 2 * (nearest[i] != labels[i]) + (by_video != labels[i])] += 1
        drawn[nearest[i]] += nearest[i] != labels[i]
    table = faults(videos, labels, prototypes, owner, classes)
    assert table[SIDES].values.tolist() == counts.tolist() and table.drawn.tolist() == drawn
    assert table.orphan.tolist() == [count == 0 for count in votes]
    assert table.hub.tolist() == [count > np.mean(drawn) + 2 * np.std(drawn) for count in drawn]
    for c, one in table.iterrows():
        distance = [min(1 - centroids[c] @ proto[p] for p in of_class[d]) for d in range(classes)]
        others = {d: value for d, value in enumerate(distance) if d != c}
        assert (one.clips, one.nearest_other) == (sum(labels == c), min(others, key=others.get))
        lead = min(others.values()) - distance[c]
        expected = (distance[c], min(others.values()), lead, 1 - (clips[labels == c] @ centroids[c]).mean())
        assert (one.own_distance, one.nearest_other_distance, one.lead, one.spread) == pytest.approx(expected, abs=1e-6)


def test_vectors_without_direction_are_left_out():
    videos, labels, prototypes, owner, classes = world(6, sentences=1)
    more = np.vstack([videos * np.float32(1e25), np.zeros((1, videos.shape[1]))])  # length changes nothing
    whole = measure(videos, labels, prototypes, owner, classes)
    found = measure(more, [*labels, 0], prototypes, owner, classes)
    assert found.alignment == pytest.approx(whole.alignment)
    assert found.uniformity_clips == pytest.approx(whole.uniformity_clips)
    # an undecided clip ranks behind all classes
    n = (labels >= 0).sum()
    assert found.rank_mean == pytest.approx((whole.rank_mean * n + classes + 1) / (n + 1))
    dead = np.where((owner == 2)[:, None], 0, prototypes)
    others = videos[labels != 2], labels[labels != 2]
    without = measure(*others, dead, owner, classes)
    assert without.alignment == pytest.approx(measure(*others, prototypes, owner, classes).alignment)
    nobody = measure(np.zeros((6, 3)), [0, 0, 1, 1, 2, 2], np.eye(3), None, 3, k=2)
    assert (nobody.nearest_prototype, nobody.purity, nobody.biggest_hub) == (0.0, 0.0, None)
    # a zero sentence is not taken for its class where that has another one
    clip, sentences = [[-1, 0]], [[1, 0], [0.5, 0.1], [0, 0]]
    found = measure(clip, [0], sentences, [0, 1, 0])
    assert found.nearest_prototype == 0.0
    assert measure(clip, [0], sentences[1:], [1, 0]).nearest_prototype == 1.0


def test_what_is_not_defined_is_none():
    videos, labels, prototypes, owner, classes = world(8)
    without = measure(videos, labels, None, owner, classes)
    of_clips = {"silhouette", "purity", "purity_by_chance", "uniformity_clips"}
    assert {name for name in FIGURES if getattr(without, name) is not None} == of_clips
    unlabelled = measure(videos, np.full(len(videos), -1), prototypes, owner, classes)
    assert {name for name in FIGURES if getattr(unlabelled, name) is not None} == {
        "modality_gap", "hubness_1", "biggest_hub_share", "uniformity_clips"
    }  # fmt: skip
    one_class = measure(videos, np.zeros(len(videos), int), prototypes[:1], [0], 1)
    assert (one_class.silhouette, one_class.purity, one_class.prototype_to_other) == (None, 1.0, None)


def test_many_clips_are_sampled_with_the_generator(monkeypatch):
    parts = world(9, n=600)
    whole = measure(*parts)
    monkeypatch.setattr(gap, "MOST_CLIPS", 300)
    a, b, c = (measure(*parts, seed=s) for s in (1, 1, 2))
    assert a == b and a.nearest_prototype == whole.nearest_prototype
    for name, off in (("purity", 0.05), ("silhouette", 0.05), ("uniformity_clips", 0.1)):
        assert getattr(a, name) == pytest.approx(getattr(whole, name), abs=off)
        assert getattr(a, name) != getattr(c, name)


def test_clips_that_tie_share_the_places_among_the_nearest():
    """The first clip's two nearest: its twin of another class, then one of three equal ones, two of them of its own."""
    vectors, labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]), np.array([0, 1, 0, 0, 1])
    by_hand = [(0 + 2 / 3) / 2, (0 + 1 / 3) / 2, 1 / 2, 1 / 2, 0]
    for order in (np.arange(5), np.random.default_rng(0).permutation(5)):
        assert measure(vectors[order], labels[order], k=2).purity == pytest.approx(np.mean(by_hand))


def test_a_prototype_that_draws_the_clips_of_all_others_is_a_hub():
    prototypes = np.eye(10) - 0.9
    prototypes[0] = 1
    found = faults(np.eye(10).repeat(2, axis=0), np.arange(20) // 2, prototypes, None, 10)
    expected = [[18, True, False, "none"]] + [[0, False, True, "text"]] * 9
    assert found[["drawn", "hub", "orphan", "verdict"]].values.tolist() == expected


def test_verdicts():
    """Of twenty clips of class 0 some lie on class 1, and some off its prototype, where class 1's second one is."""
    for text, video, verdict in ((0, 0, "none"), (1, 0, "none"), (2, 0, "text"), (0, 2, "video"), (1, 1, "both"),
                                 (8, 4, "text"), (4, 8, "video"), (7, 4, "both")):  # fmt: skip
        clips = [[1, 0, 0]] * (20 - text - video) + [[0.6, 0, 0.8]] * text + [[0, 1, 0]] * (video + 40)
        one = faults(clips, [0] * 20 + [1] * 40, [[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]], [0, 1, 1]).iloc[0]
        assert (one.text_errors, one.video_errors, one.verdict) == (text, video, verdict)


def test_what_cannot_be_judged():
    videos = [[1, 0, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 0, 0], [1, 1, 1]]
    found = faults(videos, [0, 1, 1, 1, 3], np.eye(3), None, 4)  # class 0 has one clip, 2 none, 3 no prototype
    assert found.loc[1, SIDES].tolist() == [2, 0, 0, 1]  # the clip without direction is right by neither
    assert found.error.isna().tolist() == [True, False, True, True] and found.right.isna()[0]
    assert found.verdict.tolist() == ["", "video", "", ""] and found.orphan.tolist() == [False, False, True, False]
    assert found.own_distance.isna().tolist() == found.lead.isna().tolist() == [False, False, True, True]
    assert found.nearest_other.tolist() == [1, 2, -1, 0] and found.spread.isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize("most", [1, 3, None])
def test_classes_shown_by_examples_are_means_of_unit_clips(most):
    videos, labels, prototypes, owner, _ = world(3)
    videos[labels == 2] = 0  # the mean of zeros has no direction
    videos, labels = videos[labels != 4], labels[labels != 4]  # class 4 has no clips, class 5 no description
    prototypes, owner = prototypes[owner != 5], owner[owner != 5]
    made = space(videos, labels, prototypes, owner, 6)
    found = gap.by_examples(made, most, seed=7)
    mixed = np.random.default_rng(7).permutation(np.flatnonzero(labels >= 0)).tolist()
    for c in range(6):
        rows = [row for row in mixed if labels[row] == c][:most]
        assert found.clips_C[c] == len(rows)
        mean = np.mean([videos[row] / (np.linalg.norm(videos[row]) or 1) for row in rows] or [np.zeros(9)], axis=0)
        mean /= np.linalg.norm(mean) or 1
        np.testing.assert_allclose(found.prototypes_CE[c], mean, atol=1e-6)
        own = units(prototypes[owner == c]) if (owner == c).any() else []
        expected = max((float(mean @ each) for each in own), default=np.nan) if rows else np.nan
        np.testing.assert_allclose(found.cosine_C[c], expected, atol=1e-6)
    assert np.isnan(found.cosine_C[[4, 5]]).all() and found.mean == pytest.approx(np.nanmean(found.cosine_C))
    if most is None:  # the distance from the centroid, which all clips make
        np.testing.assert_allclose(
            1 - found.cosine_C[[0, 1, 3]], gap.per_class(made).own_distance[[0, 1, 3]], atol=1e-6
        )
    assert gap.by_examples(space(videos, labels, classes=6)).mean is None
