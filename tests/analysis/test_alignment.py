"""Alignment, uniformity, ranks and changes between spaces against plain loops, SciPy and cases worked out by hand."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import skew

from cezsar.analysis import alignment, gap
from cezsar.analysis.alignment import (
    FIGURES,
    Alignment,
    changes,
    hubness,
    measure,
    rank_figures,
    true_ranks,
    uniformity,
)
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores


def world(seed=0, n=90, classes=6, sentences=2, width=9):
    """Clips around class centres, several prototypes a class in mixed order, some clips without a label."""
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


def test_every_figure_is_explained():
    assert set(FIGURES) == {field.name for field in fields(Alignment)} - {"clips", "prototypes"}
    assert all(all(part for part in figure) for figure in FIGURES.values())


def test_a_case_by_hand():
    # unit clips (1, 0) (.6, .8) (0, 1) of classes 0, 0, 1; prototypes (1, 0) and (0, 1)
    found = measure([[2, 0], [3, 4], [0, 5]], [0, 0, 1], [[7, 0], [0, 0.1]], None, 2)
    assert found.alignment == pytest.approx((0 + (0.16 + 0.64) + 0) / 3, abs=1e-6)
    # squared distances of clips: .8, 2, .36 + .04
    assert found.uniformity_clips == pytest.approx(np.log(np.mean(np.exp([-1.6, -4, -0.8]))), abs=1e-6)
    assert found.uniformity_prototypes == pytest.approx(-4, abs=1e-6)
    # the second clip is nearer to the other prototype
    assert (found.rank_mean, found.rank_median) == (pytest.approx(4 / 3), 1.0)
    assert found.mean_reciprocal_rank == pytest.approx((1 + 0.5 + 1) / 3)
    assert (found.rank_1, found.rank_5) == (pytest.approx(2 / 3), 1.0)
    # centroids (.8, .4) / |.| and (0, 1)
    first = np.array([2, 1]) / np.sqrt(5)
    assert found.prototype_to_own == pytest.approx((1 - first[0] + 0) / 2)
    assert found.prototype_to_other == pytest.approx((1 + 1 - first[1]) / 2)
    assert found.prototype_on_own == 1.0
    assert (found.clips, found.prototypes) == (3, 2)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_plain_loops(seed):
    videos, labels, prototypes, owner, classes = world(seed)
    found = measure(videos, labels, prototypes, owner, classes)
    clips, texts = units(videos), units(prototypes)
    known = np.flatnonzero(labels >= 0)

    distances = [min(np.sum((clips[i] - texts[p]) ** 2) for p in np.flatnonzero(owner == labels[i])) for i in known]
    assert found.alignment == pytest.approx(np.mean(distances), abs=1e-5)
    for value, rows in ((found.uniformity_clips, clips), (found.uniformity_prototypes, texts)):
        assert value == pytest.approx(np.log(np.exp(-2 * pdist(rows, "sqeuclidean")).mean()), abs=1e-5)

    places = []
    for i in known:
        best = [max(clips[i] @ texts[p] for p in np.flatnonzero(owner == c)) for c in range(classes)]
        places.append(1 + sum(score > best[labels[i]] for score in best))
    assert found.rank_mean == pytest.approx(np.mean(places))
    assert found.rank_median == np.median(places)
    assert found.mean_reciprocal_rank == pytest.approx(np.mean([1 / place for place in places]))
    assert found.rank_1 == pytest.approx(np.mean([place == 1 for place in places]))
    assert found.rank_5 == pytest.approx(np.mean([place <= 5 for place in places]))
    assert found.rank_1 == pytest.approx(gap.measure(videos, labels, prototypes, owner, classes).nearest_prototype)

    centroids = units([clips[labels == c].mean(axis=0) for c in range(classes)])
    own = [1 - texts[p] @ centroids[owner[p]] for p in range(len(texts))]
    other = [min(1 - texts[p] @ centroids[c] for c in range(classes) if c != owner[p]) for p in range(len(texts))]
    assert found.prototype_to_own == pytest.approx(np.mean(own), abs=1e-6)
    assert found.prototype_to_other == pytest.approx(np.mean(other), abs=1e-6)
    assert found.prototype_on_own == pytest.approx(np.mean(np.array(own) < other))


def test_length_of_vectors_changes_nothing():
    videos, labels, prototypes, owner, classes = world(5)
    a, b = (measure(v, labels, prototypes, owner, classes) for v in (videos, videos * np.float32(1e20)))
    assert [getattr(a, name) for name in FIGURES] == pytest.approx([getattr(b, name) for name in FIGURES], abs=1e-5)


def test_vectors_without_direction_are_left_out():
    videos, labels, prototypes, owner, classes = world(6, sentences=1)
    more = np.vstack([videos, np.zeros((1, videos.shape[1]))])
    dead = prototypes.copy()
    dead[owner == 2] = 0
    whole = measure(videos, labels, prototypes, owner, classes)
    found = measure(more, [*labels, 0], prototypes, owner, classes)
    assert found.alignment == pytest.approx(whole.alignment)
    assert found.uniformity_clips == pytest.approx(whole.uniformity_clips)
    # an undecided clip ranks behind all classes, and adds nothing to the mean of reciprocals
    n = (labels >= 0).sum()
    assert found.rank_mean == pytest.approx((whole.rank_mean * n + classes + 1) / (n + 1))
    assert found.mean_reciprocal_rank == pytest.approx(whole.mean_reciprocal_rank * n / (n + 1))
    without = measure(videos[labels != 2], labels[labels != 2], dead, owner, classes)
    assert without.alignment == pytest.approx(
        measure(videos[labels != 2], labels[labels != 2], prototypes, owner, classes).alignment
    )
    alive = units(prototypes[owner != 2])
    assert without.uniformity_prototypes == pytest.approx(
        np.log(np.exp(-2 * pdist(alive, "sqeuclidean")).mean()), abs=1e-5
    )
    # a prototype without direction is on no centroid, even where it would win a tie
    assert measure([[1, 0], [0, 1]], [0, 1], [[0, 0], [0, 1]], None, 2).prototype_on_own == 0.5


def test_what_is_not_defined_is_none():
    videos, labels, prototypes, owner, classes = world(7)
    nothing = dict.fromkeys(FIGURES)
    bare = measure(videos, labels, None, None, classes)
    assert {name: getattr(bare, name) for name in FIGURES} == nothing | {"uniformity_clips": bare.uniformity_clips}
    unlabelled = measure(videos, np.full(len(videos), -1), prototypes, owner, classes)
    assert unlabelled.alignment is unlabelled.rank_mean is unlabelled.prototype_to_own is None
    single = measure(videos[:1], [0], prototypes[owner == 0][:1], [0], classes)
    assert (single.uniformity_clips, single.uniformity_prototypes) == (None, None)
    assert (single.prototype_to_other, single.prototype_on_own) == (None, None)
    assert single.prototype_to_own is not None
    empty = measure(np.zeros((0, 3)), [], np.eye(3), None, 3)
    assert empty.rank_mean is None and empty.alignment is None


def test_many_clips_are_sampled_by_the_generator(monkeypatch):
    rows = units(np.random.default_rng(8).normal(size=(200, 5))).astype(np.float32)
    whole = uniformity(rows)
    monkeypatch.setattr(gap, "MOST_CLIPS", 120)
    drawn = [uniformity(rows, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn == pytest.approx([whole] * 3, abs=0.1)


def test_points_that_are_one_have_uniformity_0():
    assert uniformity(np.tile(np.float32([0.6, 0.8]), (5, 1))) == pytest.approx(0, abs=1e-6)


# Ranks of scores --------------------------------------------------------------------------------------------------


def test_ranks_have_the_ties_of_the_evaluation():
    names = ["a", "b", "c"]
    matrix = [[1, 1, 0], [1, 1, 0], [0, 0, 0], [2, 3, 1], [5, 5, 5], [1, 2, 3]]
    scores = Scores([*"uvwxyz"], ["a", "b", "a", "c", "c", ""], names, {"VE": np.array(matrix, np.float32)})
    assert true_ranks(scores, Weights.only("VE")).tolist() == [1, 2, 4, 3, 3, 0]
    assert true_ranks(scores, Weights.only("VE"), ["C", "a"]).tolist() == [1, 0, 3, 2, 2, 0]


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_ranks_are_the_accuracies_of_the_evaluation(seed):
    rng = np.random.default_rng(seed)
    n, names = 200, [f"class {c}" for c in range(8)]
    matrices = {name: (rng.integers(-2, 3, size=(n, 8)) * (rng.random((n, 1)) > 0.3)) for name in ("VE", "O")}
    labels = [names[c] if c < 8 else "" for c in rng.integers(9, size=n)]
    scores = Scores([str(i) for i in range(n)], labels, names, matrices)
    weights = Weights(0.5, 0.5)
    for classes in (names, names[:6], names[3:5]):
        ranks_N = true_ranks(scores, weights, classes)
        figures = rank_figures(ranks_N, len(classes))
        run = evaluate(scores, Protocol("some", [classes]), weights).runs[0]
        assert (ranks_N > 0).sum() == run.n_clips
        assert (ranks_N == len(classes) + 1).sum() == run.undecided > 0
        assert (figures["rank_1"], figures["rank_5"]) == (run.top1, run.top5)
    fused = fuse(scores, weights)
    row = int(np.flatnonzero(fused.any(axis=1) & (scores.label_index >= 0))[0])
    order = sorted(range(8), key=lambda c: (-fused[row, c], c))
    assert true_ranks(scores, weights)[row] == 1 + order.index(scores.label_index[row])


def test_ranks_without_a_tested_clip_and_bad_ones():
    assert set(rank_figures([0, 0], 5).values()) == {None}
    with pytest.raises(InputError, match="from 1 to 6"):
        rank_figures([1, 7], 5)


@pytest.mark.parametrize("k", [1, 3])
def test_hubness_of_scores_is_that_of_the_vectors(k):
    videos, labels, prototypes, owner, classes = world(9, sentences=1)
    cosines = units(videos) @ units(prototypes[np.argsort(owner)]).T
    found = gap.measure(videos, labels, prototypes, owner, classes, k=k)
    assert hubness(cosines, k) == pytest.approx(found.hubness_k, abs=1e-9)
    best = np.argsort(-cosines, axis=1)[:, :k]
    assert hubness(cosines, k) == pytest.approx(skew(np.bincount(best.ravel(), minlength=classes)))
    assert hubness(np.vstack([cosines, np.zeros((4, classes))]), k) == pytest.approx(hubness(cosines, k))
    assert hubness(np.zeros((0, 4))) is None
    with pytest.raises(InputError):
        hubness(cosines, 0)


# From space to space ----------------------------------------------------------------------------------------------


def test_changes_between_spaces():
    videos, labels, prototypes, owner, classes = world(10)
    centres = np.eye(classes, videos.shape[1])
    spaces = {
        "raw": gap.measure(videos, labels, None, None, classes),
        "sentence": gap.measure(videos, labels, prototypes, owner, classes),
        "joint": gap.measure(videos + 5 * centres[labels], labels, centres, None, classes),
    }
    found = {change.name: change for change in changes(spaces)}
    assert list(found) == list(gap.FIGURES)
    silhouette = found["silhouette"]
    assert silhouette.values == {name: one.silhouette for name, one in spaces.items()}
    assert silhouette.between("sentence", "joint") == spaces["joint"].silhouette - spaces["sentence"].silhouette > 0
    assert (silhouette.better("sentence", "joint"), silhouette.better("joint", "sentence")) == (True, False)
    assert silhouette.better("raw", "sentence") is None  # the same clips: no change
    assert [step[:2] for step in silhouette.steps] == [("raw", "sentence"), ("sentence", "joint")]
    assert found["modality_gap"].between("raw", "joint") is None
    assert found["hubness_1"].better("sentence", "joint") == (spaces["joint"].hubness_1 < spaces["sentence"].hubness_1)
    assert found["purity_by_chance"].better("sentence", "joint") is None


def test_changes_of_alignment_and_what_cannot_be_compared():
    videos, labels, prototypes, owner, classes = world(11)
    one, two = measure(videos, labels, prototypes, owner, classes), measure(videos, labels, None, None, classes)
    assert [change.name for change in changes({"a": one, "b": two})] == list(alignment.FIGURES)
    fewer = measure(videos[:5], labels[:5], prototypes, owner, classes)
    for spaces in ({}, {"a": one, "b": fewer}, {"a": one, "b": gap.measure(videos, labels, None, None, classes)}):
        with pytest.raises(InputError, match="the same clips"):
            changes(spaces)


def test_nan_is_refused_by_row():
    videos, labels, prototypes, owner, classes = world(12)
    videos[4, 1] = np.nan
    with pytest.raises(InputError, match="row 4 of the clips"):
        measure(videos, labels, prototypes, owner, classes)
