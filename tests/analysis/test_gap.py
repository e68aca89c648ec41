"""Numbers of the gap against plain loops, SciPy, scikit-learn and cases worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import skew
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from cezsar.analysis import gap
from cezsar.analysis.gap import FIGURES, UnitSpace, directions
from cezsar.errors import InputError
from cezsar.zeroshot import fusion
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Embeddings, Scores


def space(videos, labels, prototypes=None, owner=None, classes=2):
    prototypes = np.zeros((0, np.shape(videos)[1])) if prototypes is None else prototypes
    return UnitSpace(videos, labels, prototypes, np.arange(len(prototypes)) if owner is None else owner, classes)


def measure(*parts, k=10, seed=0):
    return SimpleNamespace(**gap.measure(space(*parts), k, seed))


def per_class(*parts):
    return list(gap.per_class(space(*parts)).itertuples())


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


def test_a_case_by_hand():
    videos = [[2, 0], [3, 4], [0, 5], [4, 3]]
    found = measure(videos, [0, 0, 1, 1], [[7, 0], [0, 0.1]], k=1)
    # unit vectors (1, 0) (.6, .8) (0, 1) (.8, .6); their mean (.6, .6); of the prototypes (.5, .5)
    assert found.modality_gap == pytest.approx(np.hypot(0.1, 0.1))
    # nearest prototypes 0, 1, 1, 0 ; nearest clips: 3 (.8), 3 (.96), 1 (.8), 1 (.96)
    assert (found.nearest_prototype, found.purity) == (0.5, 0.0)
    assert found.purity_by_chance == pytest.approx(1 / 3)
    # centroids (.8, .4) and (.4, .8): each on its own
    assert found.own_prototype == 1.0
    assert (found.hubness_1, found.biggest_hub, found.biggest_hub_share) == (0.0, 0, 0.5)
    assert (found.clips, found.prototypes, found.k, found.k_prototypes) == (4, 2, 1, 1)
    first, _ = per_class(videos, [0, 0, 1, 1], [[7, 0], [0, 0.1]])
    centroid = np.array([2, 1]) / np.sqrt(5)
    assert first.own_distance == pytest.approx(1 - centroid[0])
    assert (first.nearest_other, first.nearest_other_distance) == (1, pytest.approx(1 - centroid[1]))
    assert first.spread == pytest.approx(1 - (centroid[0] + centroid @ [0.6, 0.8]) / 2)
    assert first.lead == pytest.approx(centroid[0] - centroid[1])


def test_alignment_and_ranks_by_hand():
    # unit clips (1, 0) (.6, .8) (0, 1) of classes 0, 0, 1; prototypes (1, 0) and (0, 1)
    found = measure([[2, 0], [3, 4], [0, 5]], [0, 0, 1], [[7, 0], [0, 0.1]])
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


@pytest.mark.parametrize("seed", range(2))
def test_figures_are_those_of_plain_loops(seed, monkeypatch):
    monkeypatch.setattr(fusion, "ENTRIES_AT_ONCE", 700)  # several blocks of rows
    videos, labels, prototypes, owner, classes = world(seed)
    found = measure(videos, labels, prototypes, owner, classes, k=5)
    clips, proto = units(videos), units(prototypes)
    known = [row for row in range(len(videos)) if labels[row] >= 0]

    means = np.mean(clips, axis=0), np.mean(proto, axis=0)
    assert found.modality_gap == pytest.approx(np.linalg.norm(means[0] - means[1]), abs=1e-6)

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
    for value, k in ((found.hubness_1, 1), (found.hubness_k, 5)):
        occurrences = [sum(p in order[:k] for order in lists) for p in range(len(proto))]
        assert value == pytest.approx(skew(occurrences), abs=1e-9)
    votes = [nearest.count(c) for c in range(classes)]
    assert found.biggest_hub == votes.index(max(votes))
    assert found.biggest_hub_share == pytest.approx(max(votes) / len(videos))

    right = []
    for one in per_class(videos, labels, prototypes, owner, classes):
        members = [clips[row] for row in known if labels[row] == one.Index]
        centroid = units([np.mean(members, axis=0)])[0]
        distance = [min(1 - centroid @ proto[p] for p in np.flatnonzero(owner == c)) for c in range(classes)]
        right.append(np.argmin(distance) == one.Index)
        others = {c: d for c, d in enumerate(distance) if c != one.Index}
        assert (one.clips, one.nearest_other) == (len(members), min(others, key=others.get))
        assert one.own_distance == pytest.approx(distance[one.Index], abs=1e-6)
        assert one.nearest_other_distance == pytest.approx(min(others.values()), abs=1e-6)
        assert one.spread == pytest.approx(np.mean([1 - centroid @ member for member in members]), abs=1e-6)
    assert found.own_prototype == pytest.approx(np.mean(right))

    distances = [min(np.sum((clips[i] - proto[p]) ** 2) for p in np.flatnonzero(owner == labels[i])) for i in known]
    assert found.alignment == pytest.approx(np.mean(distances), abs=1e-5)
    for value, rows in ((found.uniformity_clips, clips), (found.uniformity_prototypes, proto)):
        assert value == pytest.approx(np.log(np.exp(-2 * pdist(rows, "sqeuclidean")).mean()), abs=1e-5)

    places = []
    for i in known:
        best = [max(clips[i] @ proto[p] for p in np.flatnonzero(owner == c)) for c in range(classes)]
        places.append(1 + sum(score > best[labels[i]] for score in best))
    assert (found.rank_mean, found.rank_median) == (pytest.approx(np.mean(places)), np.median(places))
    assert found.mean_reciprocal_rank == pytest.approx(np.mean([1 / place for place in places]))
    assert found.rank_1 == pytest.approx(np.mean([place == 1 for place in places]))
    assert found.rank_5 == pytest.approx(np.mean([place <= 5 for place in places]))

    centroids = units([clips[labels == c].mean(axis=0) for c in range(classes)])
    own = [1 - proto[p] @ centroids[owner[p]] for p in range(len(proto))]
    other = [min(1 - proto[p] @ centroids[c] for c in range(classes) if c != owner[p]) for p in range(len(proto))]
    assert found.prototype_to_own == pytest.approx(np.mean(own), abs=1e-6)
    assert found.prototype_to_other == pytest.approx(np.mean(other), abs=1e-6)
    assert found.prototype_on_own == pytest.approx(np.mean(np.array(own) < other))


def test_silhouette_and_purity_are_those_of_scikit_learn():
    videos, labels, *_ = world(5)
    known = labels >= 0
    found = measure(videos, labels, None, None, 6)
    assert found.silhouette == pytest.approx(silhouette_score(videos[known], labels[known], metric="cosine"), abs=1e-5)
    index = NearestNeighbors(n_neighbors=11, metric="cosine").fit(videos[known])
    nearest = index.kneighbors(videos[known], return_distance=False)[:, 1:]
    assert found.purity == pytest.approx((labels[known][nearest] == labels[known][:, None]).mean())


@pytest.mark.parametrize("sentences", [1, 3])
def test_clips_on_their_own_prototype_are_the_top1_of_the_evaluation(sentences):
    videos, labels, prototypes, owner, classes = world(6, sentences=sentences)
    videos[3], prototypes[owner == 2] = 0, 0  # an undecided clip and a dead class
    names = [f"class {c}" for c in range(classes)]
    spelt = [names[label] if label >= 0 else "" for label in labels]
    embeddings = Embeddings([str(i) for i in range(len(videos))], spelt, names, {"VE": videos}, prototypes, owner)
    scores = Scores.from_embeddings(embeddings)
    found = measure(videos, labels, prototypes, owner, classes)
    run = evaluate(scores, all_classes(names), Weights.only("VE")).runs[0]
    assert found.nearest_prototype == found.rank_1 == pytest.approx(run.top1)
    assert found.rank_5 == pytest.approx(run.top5)
    votes = np.bincount(np.delete(predict(scores, Weights.only("VE")), 3), minlength=classes)
    assert (found.biggest_hub, found.biggest_hub_share) == (votes.argmax(), votes.max() / votes.sum())


def test_vectors_without_direction_are_left_out():
    videos, labels, prototypes, owner, classes = world(6, sentences=1)
    more = np.vstack([videos * np.float32(1e25), np.zeros((1, videos.shape[1]))])  # length changes nothing
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
    others = videos[labels != 2], labels[labels != 2]
    without = measure(*others, dead, owner, classes)
    assert without.alignment == pytest.approx(measure(*others, prototypes, owner, classes).alignment)
    potential = np.exp(-2 * pdist(units(prototypes[owner != 2]), "sqeuclidean"))
    assert without.uniformity_prototypes == pytest.approx(np.log(potential.mean()), abs=1e-5)
    # a prototype without direction is on no centroid, even where it would win a tie
    assert measure([[1, 0], [0, 1]], [0, 1], [[0, 0], [0, 1]]).prototype_on_own == 0.5
    nobody = measure(np.zeros((6, 3)), [0, 0, 1, 1, 2, 2], np.eye(3), None, 3, k=2)
    assert (nobody.nearest_prototype, nobody.purity, nobody.biggest_hub) == (0.0, 0.0, None)
    assert (nobody.biggest_hub_share, nobody.hubness_1) == (None, 0.0)


def test_what_is_not_defined_is_none():
    videos, labels, prototypes, owner, classes = world(8)
    without = measure(videos, labels, None, owner, classes)
    assert without.prototypes == without.k_prototypes == 0
    for name in ("modality_gap", "own_prototype", "nearest_prototype", "hubness_1", "hubness_k", "biggest_hub",
                 "alignment", "rank_mean", "prototype_to_own", "uniformity_prototypes"):  # fmt: skip
        assert getattr(without, name) is None
    assert without.silhouette is not None and without.purity is not None
    unlabelled = measure(videos, np.full(len(videos), -1), prototypes, owner, classes)
    for name in ("silhouette", "purity", "purity_by_chance", "own_prototype", "nearest_prototype", "alignment",
                 "rank_1", "prototype_on_own"):  # fmt: skip
        assert getattr(unlabelled, name) is None
    assert unlabelled.modality_gap is not None and unlabelled.hubness_1 is not None
    one_class = measure(videos, np.zeros(len(videos), int), prototypes[:1], [0], 1)
    assert (one_class.silhouette, one_class.purity, one_class.own_prototype) == (None, 1.0, None)
    assert (one_class.nearest_prototype, one_class.hubness_1, one_class.k_prototypes) == (1.0, 0.0, 1)
    assert (one_class.prototype_to_other, one_class.prototype_on_own) == (None, None)
    assert one_class.prototype_to_own is not None
    assert measure(videos[:3], [0, 1, 2], None, None, 3).silhouette is None  # every clip is a class of its own
    assert measure(videos[:1], [0], None, None, 3).purity is None
    nothing = measure(np.zeros((0, 4)), [], None, None, 3)
    assert nothing.clips == 0 and all(getattr(nothing, name) is None for name in FIGURES)


def test_a_zero_sentence_counts_only_where_its_class_has_no_other():
    clip, sentences = [[-1, 0]], [[1, 0], [0.5, 0.1], [0, 0]]
    assert measure(clip, [0], sentences, [0, 1, 0]).nearest_prototype == 0.0  # the zero is not taken for class 0's
    assert measure(clip, [0], sentences[1:], [1, 0]).nearest_prototype == 1.0
    assert measure(clip, [0], sentences, [0, 1, 0]).prototypes == 2


def test_a_class_without_prototype_or_clips_is_passed_over():
    parts = np.eye(3), [0, 0, 1], [[1, 0, 0], [0, 1, 0]], [0, 2], 4
    zero, undescribed, empty, _ = per_class(*parts)
    assert zero.own_distance == pytest.approx(1 - 1 / np.sqrt(2))
    assert np.isnan([undescribed.own_distance, undescribed.lead]).all()
    assert (undescribed.nearest_other, undescribed.spread) == (0, 0)
    assert (empty.clips, empty.nearest_other) == (0, -1)
    assert np.isnan([empty.spread, empty.own_distance, empty.nearest_other_distance, empty.lead]).all()
    assert measure(*parts).own_prototype == 1.0


def test_many_clips_are_sampled_with_the_generator(monkeypatch):
    parts = world(9, n=600)
    whole = measure(*parts)
    monkeypatch.setattr(gap, "MOST_CLIPS", 300)
    a, b, c = (measure(*parts, seed=s) for s in (1, 1, 2))
    assert a == b and a.nearest_prototype == whole.nearest_prototype
    for name, off in (("purity", 0.05), ("silhouette", 0.05), ("uniformity_clips", 0.1)):
        assert getattr(a, name) == pytest.approx(getattr(whole, name), abs=off)
        assert getattr(a, name) != getattr(c, name)


def test_directions():
    rows = directions([[3, 4], [0, 0], [1e30, 0], [-1e-30, 0]], "rows")
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0], [-1, 0]], atol=1e-6)
    assert rows.dtype == np.float32 and directions(np.zeros((2, 0)), "rows").shape == (2, 0)
    with pytest.raises(InputError, match="row 1 of the clips"):
        directions([[1, 2], [1, np.nan]], "clips")


def test_clips_that_tie_share_the_places_among_the_nearest():
    """The first clip's two nearest: its twin of another class, then one of three equal ones, two of them of its own."""
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    labels = np.array([0, 1, 0, 0, 1])
    by_hand = [(0 + 2 / 3) / 2, (0 + 1 / 3) / 2, 1 / 2, 1 / 2, 0]
    for order in (np.arange(5), np.random.default_rng(0).permutation(5)):
        assert measure(vectors[order], labels[order], k=2).purity == pytest.approx(np.mean(by_hand))


def test_better_or_worse():
    silhouette, alignment, chance = (FIGURES[name] for name in ("silhouette", "alignment", "purity_by_chance"))
    assert (silhouette.improved(0.1, 0.2), silhouette.improved(0.2, 0.1)) == (True, False)
    assert (alignment.improved(0.1, 0.2), alignment.improved(0.2, 0.1)) == (False, True)
    assert chance.improved(0.1, 0.2) is silhouette.improved(0.1, 0.1) is silhouette.improved(None, 0.1) is None
