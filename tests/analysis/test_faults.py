"""Faults of the video and the text side against plain loops and planted causes."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from cezsar.analysis.faults import ClassFault, widest
from cezsar.analysis.faults import faults as faults_of
from cezsar.analysis.gap import ClassGap, UnitSpace, per_class
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores


def faults(*parts):
    return faults_of(UnitSpace(*parts))


def unit(vector):
    vector = np.asarray(vector, np.float64)
    return vector / np.linalg.norm(vector)


def world(seed, n=100, classes=6, width=8, noise=1.2):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    labels = rng.integers(-1, classes, size=n)
    videos = centres[labels] + rng.normal(size=(n, width)) * noise
    owner = rng.permutation(np.repeat(np.arange(classes), 2))
    prototypes = centres[owner] + rng.normal(size=(len(owner), width)) * noise
    return videos.astype(np.float32), labels, prototypes.astype(np.float32), owner, classes


@pytest.mark.parametrize("seed", range(2))
def test_the_four_parts_are_those_of_plain_loops(seed):
    videos, labels, prototypes, owner, classes = world(seed)
    found = faults(videos, labels, prototypes, owner, classes)
    clips, texts = [unit(v) for v in videos], [unit(p) for p in prototypes]
    counts = {c: [0, 0, 0, 0] for c in range(classes)}
    drawn, nearest_to = [0] * classes, [0] * classes
    for i, clip in enumerate(clips):
        by_text = owner[np.argmax([clip @ text for text in texts])]
        nearest_to[by_text] += 1
        if labels[i] < 0:
            continue
        drawn[by_text] += by_text != labels[i]
        similarity = []
        for c in range(classes):
            members = [clips[j] for j in range(len(clips)) if labels[j] == c and j != i]
            similarity.append(clip @ unit(np.mean(members, axis=0)))
        by_video = int(np.argmax(similarity))
        text_right, video_right = by_text == labels[i], by_video == labels[i]
        counts[labels[i]][(0 if video_right else 1) if text_right else (2 if video_right else 3)] += 1
    gaps = per_class(UnitSpace(videos, labels, prototypes, owner, classes))
    known = labels >= 0
    silhouettes = silhouette_samples(videos[known], labels[known], metric="cosine")
    centroids = [unit(np.mean([clips[i] for i in np.flatnonzero(labels == c)], axis=0)) for c in range(classes)]
    for c, one in enumerate(found):
        assert [one.right, one.rescued, one.text_errors, one.video_errors] == counts[c]
        assert one.gap == gaps[c] and one.index == c
        assert (one.drawn, one.orphan) == (drawn[c], nearest_to[c] == 0)
        assert one.hub == (drawn[c] > np.mean(drawn) + 2 * np.std(drawn))
        assert one.silhouette == pytest.approx(silhouettes[labels[known] == c].mean(), abs=1e-5)
        apart = {d: 1 - centroids[c] @ centroids[d] for d in range(classes) if d != c}
        assert one.nearest_centroid == min(apart, key=apart.get)
        assert one.nearest_centroid_distance == pytest.approx(min(apart.values()), abs=1e-6)


def test_both_faults_make_up_the_error_of_the_evaluation():
    videos, labels, prototypes, owner, classes = world(5)
    names = [f"class {c}" for c in range(classes)]
    spelt = [names[c] if c >= 0 else "" for c in labels]
    embeddings = Embeddings([str(i) for i in range(len(videos))], spelt, names, {"VE": videos}, prototypes, owner)
    run = evaluate(Scores.from_embeddings(embeddings), all_classes(names), Weights.only("VE")).runs[0]
    for one, accuracy in zip(faults(videos, labels, prototypes, owner, classes), run.per_class().values(), strict=True):
        assert one.error == pytest.approx(1 - accuracy)
        assert one.error == pytest.approx(one.video_fault + one.text_fault)
        assert one.right + one.rescued + one.text_errors + one.video_errors == one.gap.clips


def test_planted_causes_are_found():
    """Clips of class 1 lie among others; the prototype of 2 is where no clip is, that of 4 leans to the clips of 2."""
    rng = np.random.default_rng(0)
    axes = np.eye(6)
    labels = np.repeat(np.arange(5), 30)
    videos = axes[labels] + 0.05 * rng.normal(size=(150, 6))
    videos[labels == 1] = axes[rng.choice([0, 2, 3, 4], size=30)] + 0.05 * rng.normal(size=(30, 6))
    prototypes = axes[:5].copy()
    prototypes[2] = axes[5]  # points where no clip is
    prototypes[4] = axes[4] + axes[2]  # reaches into the clips of class 2
    found = faults(videos, labels, prototypes, None, 5)
    assert [one.verdict for one in found] == ["none", "video", "text", "none", "none"]
    assert found[2].text_fault == 1.0 and found[2].video_fault == 0.0
    assert found[2].orphan and not found[3].orphan
    assert found[4].drawn >= 30
    assert found[1].silhouette < 0 < found[2].silhouette
    assert widest(found).index == 1 and widest([found[0], found[2]]).index == 2
    assert found[2].gap.lead < 0 < found[0].gap.lead


def test_a_prototype_that_draws_the_clips_of_all_others_is_a_hub():
    axes = np.eye(10)
    prototypes = axes + 0.0
    prototypes[0] = 1
    prototypes[1:] -= 0.9
    found = faults(axes.repeat(2, axis=0), np.arange(20) // 2, prototypes, None, 10)
    assert [one.drawn for one in found] == [18] + [0] * 9
    assert [one.hub for one in found] == [True] + [False] * 9
    assert [one.orphan for one in found] == [False] + [True] * 9
    assert [one.verdict for one in found] == ["none"] + ["text"] * 9


@pytest.mark.parametrize(
    ("text", "video", "verdict"),
    [(0, 0, "none"), (1, 0, "none"), (2, 0, "text"), (0, 2, "video"), (1, 1, "both"), (8, 4, "text"), (4, 8, "video"),
     (7, 4, "both"), (None, None, None)],
)  # fmt: skip
def test_verdicts(text, video, verdict):
    assert ClassFault(ClassGap(0, 20), text_errors=text, video_errors=video).verdict == verdict


def test_a_class_without_clips_has_no_centroid_to_win_with():
    # the first clip is at -0.5 to the other of its class and at -1 to class 1; class 2 has none, and must not be at 0
    videos = [[1, 0], [-0.5, 0.75**0.5], [-1, 0], [-1, 0]]
    found = faults(videos, [0, 0, 1, 1], [[1, 0], [-1, 0], [0, -1]], None, 3)
    assert (found[0].right, found[0].text_errors, found[0].video_errors) == (1, 0, 1)


def test_what_is_not_defined_is_none():
    videos = np.array([[1, 0, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 0, 0], [1, 1, 1]], np.float32)
    labels = [0, 1, 1, 1, 3]
    found = faults(videos, labels, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], None, 4)
    single, three, empty, undescribed = found
    assert (single.right, single.error, single.verdict) == (None, None, None)  # its only clip
    assert (three.right, three.video_errors, three.text_errors) == (2, 1, 0)  # the clip without direction
    assert (empty.gap.clips, empty.error, empty.silhouette, empty.orphan) == (0, None, None, True)
    assert empty.nearest_centroid is None
    assert (undescribed.error, undescribed.orphan) == (None, None)
    bare = faults(videos, labels, None, None, 4)
    assert all(one.error is None and not one.hub and one.orphan is None for one in bare)
    assert widest(bare) is None
    assert faults(np.zeros((0, 3)), [], None, None, 2)[1].silhouette is None


def test_a_case_by_hand():
    """One clip of class 1 lies among those of class 0: nobody could tell it. A prototype far away loses the rest."""
    clips = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], np.float32)
    labels = np.array([0, 0, 1, 1, 1])
    near, away = np.array([[1, 0], [0.6, 0.8]]), np.array([[1, 0], [-0.6, -0.8]])
    zero, one = faults(clips, labels, near, None, 2)
    assert (zero.right, zero.rescued, zero.text_errors, zero.video_errors, zero.verdict) == (2, 0, 0, 0, "none")
    assert (one.right, one.rescued, one.text_errors, one.video_errors, one.verdict) == (2, 0, 0, 1, "video")
    assert one.gap.own_distance == pytest.approx(1 - (0.6 + 2 * 0.8) / np.sqrt(5), abs=1e-6)
    zero, one = faults(clips, labels, away, None, 2)
    assert (one.right, one.rescued, one.text_errors, one.video_errors, one.verdict) == (0, 0, 2, 1, "text")
    assert one.gap.own_distance == pytest.approx(1 + (0.6 + 2 * 0.8) / np.sqrt(5), abs=1e-6)
    assert one.orphan and zero.drawn == 3
