"""Faults of the video and the text side against plain loops and planted causes."""

import numpy as np
import pytest

from cezsar.analysis.faults import faults as faults_of
from cezsar.analysis.gap import UnitSpace
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Embeddings, Scores

SIDES = ["right", "rescued", "text_errors", "video_errors"]


def faults(videos, labels, prototypes, owner, classes):
    return faults_of(UnitSpace(videos, labels, prototypes, np.arange(classes) if owner is None else owner, classes))


def unit(vector):
    return np.asarray(vector, np.float64) / np.linalg.norm(vector)


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
    assert found[SIDES].values.tolist() == list(counts.values())
    assert found.drawn.tolist() == drawn and found.orphan.tolist() == [count == 0 for count in nearest_to]
    assert found.hub.tolist() == [count > np.mean(drawn) + 2 * np.std(drawn) for count in drawn]


def test_both_faults_make_up_the_error_of_the_evaluation():
    videos, labels, prototypes, owner, classes = world(5)
    names = [f"class {c}" for c in range(classes)]
    spelt = [names[c] if c >= 0 else "" for c in labels]
    embeddings = Embeddings([str(i) for i in range(len(videos))], spelt, names, {"VE": videos}, prototypes, owner)
    run = evaluate(Scores.from_embeddings(embeddings), all_classes(names), Weights.only("VE")).runs[0]
    found = faults(videos, labels, prototypes, owner, classes)
    assert found.error.tolist() == pytest.approx([1 - accuracy for accuracy in run.per_class().values()])
    assert (found.text_fault + found.video_fault).tolist() == pytest.approx(found.error.tolist())
    assert (found[SIDES].sum(axis=1) == found.clips).all()


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
    assert found.verdict.tolist() == ["none", "video", "text", "none", "none"]
    assert (found.text_fault[2], found.video_fault[2]) == (1.0, 0.0)
    assert found.orphan[2] and not found.orphan[3]
    assert found.drawn[4] >= 30 and found.own_distance.idxmax() == 1
    assert found.lead[2] < 0 < found.lead[0]


def test_a_prototype_that_draws_the_clips_of_all_others_is_a_hub():
    axes = np.eye(10)
    prototypes = axes + 0.0
    prototypes[0] = 1
    prototypes[1:] -= 0.9
    found = faults(axes.repeat(2, axis=0), np.arange(20) // 2, prototypes, None, 10)
    assert found.drawn.tolist() == [18] + [0] * 9
    assert found.hub.tolist() == [True] + [False] * 9
    assert found.orphan.tolist() == [False] + [True] * 9
    assert found.verdict.tolist() == ["none"] + ["text"] * 9


@pytest.mark.parametrize(
    ("text", "video", "verdict"),
    [(0, 0, "none"), (1, 0, "none"), (2, 0, "text"), (0, 2, "video"), (1, 1, "both"), (8, 4, "text"), (4, 8, "video"),
     (7, 4, "both")],
)  # fmt: skip
def test_verdicts(text, video, verdict):
    """Of twenty clips of class 0 some lie on class 1, and some off its prototype, where class 1's second one is."""
    clips = np.array(
        [[1, 0, 0]] * (20 - text - video) + [[0.6, 0, 0.8]] * text + [[0, 1, 0]] * video + [[0, 1, 0]] * 40
    )
    prototypes, owner = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]]), np.array([0, 1, 1])
    one = faults(clips, [0] * 20 + [1] * 40, prototypes, owner, 2).iloc[0]
    assert (one.text_errors, one.video_errors, one.verdict) == (text, video, verdict)


def test_a_class_without_clips_has_no_centroid_to_win_with():
    # the first clip is at -0.5 to the other of its class and at -1 to class 1; class 2 has none, and must not be at 0
    videos = [[1, 0], [-0.5, 0.75**0.5], [-1, 0], [-1, 0]]
    found = faults(videos, [0, 0, 1, 1], [[1, 0], [-1, 0], [0, -1]], None, 3)
    assert found.loc[0, ["right", "text_errors", "video_errors"]].tolist() == [1, 0, 1]


def test_what_cannot_be_judged():
    videos = np.array([[1, 0, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 0, 0], [1, 1, 1]], np.float32)
    labels = [0, 1, 1, 1, 3]
    found = faults(videos, labels, np.eye(3), np.arange(3), 4)
    assert found.loc[1, SIDES].tolist() == [2, 0, 0, 1]  # the clip without direction is right by neither
    # a single clip, no clip, no prototype
    assert found.error.isna().tolist() == [True, False, True, True] and found.right.isna()[0]
    assert found.verdict.tolist() == ["", "video", "", ""] and found.orphan.tolist() == [False, False, True, False]
    bare = faults(videos, labels, np.zeros((0, 3)), None, 4)
    assert bare.error.isna().all() and bare.own_distance.isna().all() and not (bare.hub | bare.orphan).any()
    assert len(faults(np.zeros((0, 3)), [], np.zeros((0, 3)), None, 2)) == 2


def test_a_case_by_hand():
    """One clip of class 1 lies among those of class 0: nobody could tell it. A prototype far away loses the rest."""
    clips = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], np.float32)
    labels = np.array([0, 0, 1, 1, 1])
    near, away = np.array([[1, 0], [0.6, 0.8]]), np.array([[1, 0], [-0.6, -0.8]])
    found = faults(clips, labels, near, None, 2)
    assert found[[*SIDES, "verdict"]].values.tolist() == [[2, 0, 0, 0, "none"], [2, 0, 0, 1, "video"]]
    assert found.own_distance[1] == pytest.approx(1 - (0.6 + 2 * 0.8) / np.sqrt(5), abs=1e-6)
    found = faults(clips, labels, away, None, 2)
    assert found.loc[1, [*SIDES, "verdict"]].tolist() == [0, 0, 2, 1, "text"]
    assert found.own_distance[1] == pytest.approx(1 + (0.6 + 2 * 0.8) / np.sqrt(5), abs=1e-6)
    assert found.orphan[1] and found.drawn[0] == 3
