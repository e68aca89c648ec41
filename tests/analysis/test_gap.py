"""Numbers of the gap against plain loops, SciPy, scikit-learn and cases worked out by hand."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import skew
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from cezsar.analysis import gap
from cezsar.analysis.gap import FIGURES, ClassGap, Gap, UnitSpace, changes, directions
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores


def measure(*parts, **settings):
    return gap.measure(UnitSpace(*parts), **settings)


def per_class(*parts):
    return gap.per_class(UnitSpace(*parts))


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
    assert {*FIGURES, "clips", "prototypes", "k", "k_prototypes", "biggest_hub"} == {one.name for one in fields(Gap)}
    assert all(all(part for part in figure) for figure in FIGURES.values())


def test_a_case_by_hand():
    videos = [[2, 0], [3, 4], [0, 5], [4, 3]]
    found = measure(videos, [0, 0, 1, 1], [[7, 0], [0, 0.1]], None, 2, k=1)
    # unit vectors (1, 0) (.6, .8) (0, 1) (.8, .6); their mean (.6, .6); of the prototypes (.5, .5)
    assert found.modality_gap == pytest.approx(np.hypot(0.1, 0.1))
    # nearest prototypes 0, 1, 1, 0 ; nearest clips: 3 (.8), 3 (.96), 1 (.8), 1 (.96)
    assert found.nearest_prototype == 0.5
    assert found.purity == 0.0
    assert found.purity_by_chance == pytest.approx(1 / 3)
    # centroids (.8, .4) and (.4, .8): each on its own
    assert found.own_prototype == 1.0
    assert (found.hubness_1, found.biggest_hub, found.biggest_hub_share) == (0.0, 0, 0.5)
    assert (found.clips, found.prototypes, found.k, found.k_prototypes) == (4, 2, 1, 1)
    first = per_class(videos, [0, 0, 1, 1], [[7, 0], [0, 0.1]], None, 2)[0]
    centroid = np.array([2, 1]) / np.sqrt(5)
    assert first.own_distance == pytest.approx(1 - centroid[0])
    assert (first.nearest_other, first.nearest_other_distance) == (1, pytest.approx(1 - centroid[1]))
    assert first.spread == pytest.approx(1 - (centroid[0] + centroid @ [0.6, 0.8]) / 2)
    assert first.lead == pytest.approx(centroid[0] - centroid[1])


def test_alignment_and_ranks_by_hand():
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


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_plain_loops(seed):
    videos, labels, prototypes, owner, classes = world(seed)
    found = measure(videos, labels, prototypes, owner, classes, k=5)
    clips, proto = units(videos), units(prototypes)
    known = [row for row in range(len(videos)) if labels[row] >= 0]

    assert found.modality_gap == pytest.approx(
        np.linalg.norm(np.mean(clips, axis=0) - np.mean(proto, axis=0)), abs=1e-6
    )

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
        members = [clips[row] for row in known if labels[row] == one.index]
        centroid = units([np.mean(members, axis=0)])[0]
        distance = [min(1 - centroid @ proto[p] for p in np.flatnonzero(owner == c)) for c in range(classes)]
        right.append(np.argmin(distance) == one.index)
        others = {c: d for c, d in enumerate(distance) if c != one.index}
        assert one.clips == len(members)
        assert one.own_distance == pytest.approx(distance[one.index], abs=1e-6)
        assert one.nearest_other == min(others, key=others.get)
        assert one.nearest_other_distance == pytest.approx(min(others.values()), abs=1e-6)
        assert one.spread == pytest.approx(np.mean([1 - centroid @ member for member in members]), abs=1e-6)
        assert one.on_own == right[-1]
    assert found.own_prototype == pytest.approx(np.mean(right))

    distances = [min(np.sum((clips[i] - proto[p]) ** 2) for p in np.flatnonzero(owner == labels[i])) for i in known]
    assert found.alignment == pytest.approx(np.mean(distances), abs=1e-5)
    for value, rows in ((found.uniformity_clips, clips), (found.uniformity_prototypes, proto)):
        assert value == pytest.approx(np.log(np.exp(-2 * pdist(rows, "sqeuclidean")).mean()), abs=1e-5)

    places = []
    for i in known:
        best = [max(clips[i] @ proto[p] for p in np.flatnonzero(owner == c)) for c in range(classes)]
        places.append(1 + sum(score > best[labels[i]] for score in best))
    assert found.rank_mean == pytest.approx(np.mean(places))
    assert found.rank_median == np.median(places)
    assert found.mean_reciprocal_rank == pytest.approx(np.mean([1 / place for place in places]))
    assert found.rank_1 == pytest.approx(np.mean([place == 1 for place in places]))
    assert found.rank_5 == pytest.approx(np.mean([place <= 5 for place in places]))
    assert found.rank_1 == pytest.approx(found.nearest_prototype)

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
    assert found.nearest_prototype == pytest.approx(run.top1) and found.rank_1 == pytest.approx(run.top1)
    assert found.rank_5 == pytest.approx(run.top5)
    assert found.nearest_prototype == pytest.approx(sum(run.hits[1]) / sum(run.clips))
    votes = np.bincount(np.delete(predict(scores, Weights.only("VE")), 3), minlength=classes)
    assert (found.biggest_hub, found.biggest_hub_share) == (votes.argmax(), votes.max() / votes.sum())


def test_length_of_vectors_changes_nothing():
    videos, labels, prototypes, owner, classes = world(7)
    long = videos * np.float32(1e25)
    a, b = (measure(v, labels, prototypes, owner, classes) for v in (videos, long))
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
    videos, labels, prototypes, owner, classes = world(8)
    without = measure(videos, labels, np.zeros((0, 0)), owner, classes)
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
    assert per_class(np.zeros((0, 4)), [], None, None, 2) == [ClassGap(0, 0), ClassGap(1, 0)]


def test_zero_vectors_favour_nobody():
    found = measure(np.zeros((6, 3)), [0, 0, 1, 1, 2, 2], np.eye(3), None, 3, k=2)
    assert (found.nearest_prototype, found.purity, found.biggest_hub, found.biggest_hub_share) == (0.0, 0.0, None, None)
    assert found.hubness_1 == 0.0


def test_a_zero_sentence_counts_only_where_its_class_has_no_other():
    clip, sentences = [[-1, 0]], [[1, 0], [0.5, 0.1], [0, 0]]
    assert measure(clip, [0], sentences, [0, 1, 0], 2).nearest_prototype == 0.0  # the zero is not taken for class 0's
    assert measure(clip, [0], sentences[1:], [1, 0], 2).nearest_prototype == 1.0
    assert measure(clip, [0], sentences, [0, 1, 0], 2).prototypes == 2


def test_a_class_without_prototype_or_clips_is_passed_over():
    found = per_class(np.eye(3), [0, 0, 1], [[1, 0, 0], [0, 1, 0]], [0, 2], 4)
    assert found[0].own_distance == pytest.approx(1 - 1 / np.sqrt(2))
    assert (found[1].own_distance, found[1].nearest_other, found[1].lead, found[1].on_own) == (None, 0, None, None)
    assert found[2] == ClassGap(2, 0)
    assert found[1].spread == 0
    assert measure(np.eye(3), [0, 0, 1], [[1, 0, 0], [0, 1, 0]], [0, 2], 4).own_prototype == 1.0


def test_many_clips_are_sampled_with_the_generator(monkeypatch):
    videos, labels, prototypes, owner, classes = world(9, n=600)
    whole = measure(videos, labels, prototypes, owner, classes)
    monkeypatch.setattr(gap, "MOST_CLIPS", 300)
    a, b, c = (measure(videos, labels, prototypes, owner, classes, seed=s) for s in (1, 1, 2))
    assert (a.purity, a.silhouette) == (b.purity, b.silhouette) != (c.purity, c.silhouette)
    assert a.purity == pytest.approx(whole.purity, abs=0.05)
    assert a.silhouette == pytest.approx(whole.silhouette, abs=0.05)
    assert a.uniformity_clips == b.uniformity_clips == pytest.approx(whole.uniformity_clips, abs=0.1)
    assert a.uniformity_clips != c.uniformity_clips
    assert a.nearest_prototype == whole.nearest_prototype


def test_blocks_of_rows_change_nothing(monkeypatch):
    from cezsar.zeroshot import fusion

    arguments = world(10, n=200)
    whole = measure(*arguments)
    monkeypatch.setattr(fusion, "ENTRIES_AT_ONCE", 700)
    parts = measure(*arguments)
    assert [getattr(whole, name) for name in FIGURES] == pytest.approx([getattr(parts, name) for name in FIGURES])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2]], [0, 1], None, None, 2), "do not go together"),
        (([[1, 2]], [-2], None, None, 2), "do not go together"),
        (([[1, 2]], [0], [[1, 2], [1, 3], [1, 4]], None, 2), "do not go together"),
        (([[1, 2]], [0], [[1, 2, 3]], None, 2), "do not go together"),
        (([[1, np.nan]], [0], None, None, 2), "row 0 of the clips"),
        (([1, 2], [0], None, None, 2), "a matrix"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        UnitSpace(*arguments)


def test_unit_rows():
    rows = directions([[3, 4], [0, 0], [1e30, 0], [-1e-30, 0]], "rows")
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0], [-1, 0]], atol=1e-6)
    assert rows.dtype == np.float32 and directions(np.zeros((2, 0)), "rows").shape == (2, 0)


def test_clips_that_tie_share_the_places_among_the_nearest():
    """The first clip's two nearest: its twin of another class, then one of three equal ones, two of them of its own."""
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    labels = np.array([0, 1, 0, 0, 1])
    by_hand = [(0 + 2 / 3) / 2, (0 + 1 / 3) / 2, 1 / 2, 1 / 2, 0]
    assert measure(vectors, labels, None, None, 2, k=2).purity == pytest.approx(np.mean(by_hand))
    order = np.random.default_rng(0).permutation(5)
    assert measure(vectors[order], labels[order], None, None, 2, k=2).purity == pytest.approx(np.mean(by_hand))


def test_changes_between_spaces():
    videos, labels, prototypes, owner, classes = world(10)
    centres = np.eye(classes, videos.shape[1])
    spaces = {
        "raw": measure(videos, labels, None, None, classes),
        "sentence": measure(videos, labels, prototypes, owner, classes),
        "joint": measure(videos + 5 * centres[labels], labels, centres, None, classes),
    }
    found = {change.name: change for change in changes(spaces)}
    assert list(found) == list(FIGURES)
    silhouette = found["silhouette"]
    assert silhouette.values == {name: one.silhouette for name, one in spaces.items()}
    assert silhouette.between("sentence", "joint") == spaces["joint"].silhouette - spaces["sentence"].silhouette > 0
    assert (silhouette.better("sentence", "joint"), silhouette.better("joint", "sentence")) == (True, False)
    assert silhouette.better("raw", "sentence") is None  # the same clips: no change
    assert found["modality_gap"].between("raw", "joint") is None
    assert found["hubness_1"].better("sentence", "joint") == (spaces["joint"].hubness_1 < spaces["sentence"].hubness_1)
    assert found["purity_by_chance"].better("sentence", "joint") is None
