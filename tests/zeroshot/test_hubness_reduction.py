"""Hubness reduction against plain loops, cases by hand, a planted hub, and runs that were cut out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot import hubness_reduction as hubs
from cezsar.zeroshot.evaluation import correctness, evaluate
from cezsar.zeroshot.fusion import Weights, cosine
from cezsar.zeroshot.hubness_reduction import CSLS, REDUCTIONS, reduced
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.scores import Embeddings, Scores

BASELINE, MEAN_SENTENCE, CENTRING = (REDUCTIONS[name] for name in ("none", "mean-sentence", "centring"))
TRANSDUCTIVE = [CENTRING, CSLS, REDUCTIONS["inverted-softmax"]]
ONLY_VE, BOTH = Weights.only("VE"), Weights(0.7, 0.3)
by_name = {"ids": lambda value: getattr(value, "name", None)}


def embeddings(seed=0, n=150, classes=8, width=10, sentences=1, noise=1.0, unlabelled=0.1):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    truth = rng.integers(classes, size=n)
    parts = {name: centres[truth] + noise * rng.normal(size=(n, width)) for name in ("VE", "O")}
    parts["O"][rng.random(n) < 0.2] = 0
    for rows in parts.values():
        rows[:4] = 0
    names = [f"class {c}" for c in range(classes)]
    labels = [names[c] if rng.random() > unlabelled else "" for c in truth]
    owner = rng.permutation(np.repeat(np.arange(classes), sentences))
    prototypes = (centres[owner] + noise * rng.normal(size=(len(owner), width))) * rng.uniform(0.1, 9, (len(owner), 1))
    return Embeddings([f"clip {i}" for i in range(n)], labels, names, parts, prototypes, owner)


def cut_out(source, classes):
    rows = [i for i, label in enumerate(source.labels) if label in classes]
    names = [name for name in source.class_names if name in classes]
    kept = [p for p, c in enumerate(source.prototype_class) if source.class_names[c] in classes]
    ids, labels = ([known[i] for i in rows] for known in (source.ids, source.labels))
    parts = {name: part[rows] for name, part in source.modalities.items()}
    owner = [names.index(source.class_names[source.prototype_class[p]]) for p in kept]
    return Embeddings(ids, labels, names, parts, source.prototypes[kept], owner)


def evaluate_reduced(source, protocol, reduction, weights):
    return evaluate(reduced(source, reduction, weights), protocol, hubs.FUSED)


def test_formulas_by_hand():
    cosines = [[0.9, 0.5], [0.8, 0.7]]
    # k = 2, and any larger one: r of clips .7, .75; r of classes .85, .6
    expected = np.array([[1.8 - 1.55, 1.0 - 1.3], [1.6 - 1.6, 1.4 - 1.35]])
    assert hubs.csls(cosines, 2) == pytest.approx(expected) and hubs.csls(cosines, 10) == pytest.approx(expected)
    assert expected.argmax(axis=1).tolist() == [0, 1]  # the second clip leaves the hub
    cosines = np.log([[4.0, 1.0], [4.0, 3.0]])
    # over clips, T = 1: columns (1/2, 1/2) and (1/4, 3/4); rows to sum 1: (2/3, 1/3) and (2/5, 3/5)
    assert np.exp(hubs.inverted_softmax(cosines, 1)) == pytest.approx(np.array([[2 / 3, 1 / 3], [2 / 5, 3 / 5]]))
    # T = 1/2 squares before: columns (1/2, 1/2) and (1/10, 9/10)
    assert np.exp(hubs.inverted_softmax(cosines, 0.5)) == pytest.approx(np.array([[5 / 6, 1 / 6], [5 / 14, 9 / 14]]))
    # mean (2/3, 1/3)
    assert hubs.centred([[1, 0], [1, 0], [0, 1]]) == pytest.approx(np.array([[1, -1], [1, -1], [-1, 1]]) / math.sqrt(2))
    assert hubs.centred([[0.6, 0.8]]).tolist() == [[0, 0]]


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), **by_name)
@pytest.mark.parametrize("sentences", [1, 3])
@pytest.mark.parametrize("weights", [ONLY_VE, BOTH], ids=["VE", "VE + O"])
def test_a_run_is_the_evaluation_of_its_classes_and_clips_alone(reduction, sentences, weights):
    source = embeddings(1, sentences=sentences)
    before = {name: rows.copy() for name, rows in source.modalities.items()}
    splits = [source.class_names, source.class_names[5:1:-1], ["class 7", "class 0"], ["class 3"]]
    result = evaluate_reduced(source, Protocol("some", splits), reduction, weights)
    for split, run in zip(splits, result.runs, strict=True):
        alone = evaluate_reduced(cut_out(source, split), Protocol("one", [split]), reduction, weights).runs[0]
        assert (run.classes, run.clips, run.hits, run.undecided) == (split, alone.clips, alone.hits, alone.undecided)
        assert run.left_out == len(source.ids) - run.n_clips
    assert all((rows == before[name]).all() for name, rows in source.modalities.items())
    if reduction in TRANSDUCTIVE[1:] and sentences == 1:  # hits are those of the formula on these clips and classes
        scores, chosen = Scores.from_embeddings(source), np.arange(2, 6)
        plain_NK = cosine(scores, weights)[:, chosen]
        rows = np.flatnonzero(np.isin(scores.label_index, chosen) & plain_NK.any(axis=1))
        right = chosen[reduction.score(plain_NK[rows]).argmax(axis=1)] == scores.label_index[rows]
        kept = correctness(reduced(scores, reduction, weights), Protocol("one", [splits[1]]), hubs.FUSED)
        assert (kept.right_NR[rows, 0] == right).all() and sum(result.runs[1].hits[1]) == right.sum() > 0


def test_centring_is_that_of_the_plain_loop():
    source = embeddings(3, unlabelled=0, sentences=2)
    video = 0.7 * source.modalities["VE"].astype(float) + 0.3 * source.modalities["O"]
    rows = np.flatnonzero(video.any(axis=1))
    clips = np.array([video[i] / np.linalg.norm(video[i]) for i in rows])
    texts = np.array([p / np.linalg.norm(p) for p in source.prototypes.astype(float)])
    clips, texts = clips - clips.mean(axis=0), texts - texts.mean(axis=0)
    found = reduced(source, CENTRING, BOTH)(source.class_names).columns["VE"]
    right = 0
    for i, clip in zip(rows, clips, strict=True):
        cosines = np.array([clip @ text / np.linalg.norm(clip) / np.linalg.norm(text) for text in texts])
        assert found[i] == pytest.approx([cosines[source.prototype_class == c].max() for c in range(8)], abs=1e-5)
        right += source.class_names[source.prototype_class[cosines.argmax()]] == source.labels[i]
    result = evaluate_reduced(source, all_classes(source.class_names), CENTRING, BOTH)
    assert sum(result.runs[0].hits[1]) == right
    assert result.runs[0].undecided == len(source.ids) - len(rows) == 4


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), **by_name)
def test_nothing_is_made_of_nothing(reduction):
    source = embeddings(6)
    prototypes = source.prototypes.copy()
    prototypes[source.prototype_class == 2] = 0
    dead = replace(source, prototypes=prototypes)
    result = evaluate_reduced(dead, all_classes(source.class_names), reduction, BOTH)
    assert result.runs[0].undecided == sum(bool(label) for label in source.labels[:4]) > 0
    if reduction.transductive:
        scores = reduced(dead, reduction, BOTH)(source.class_names).columns["VE"]
        assert (scores[scores.any(axis=1)].argmin(axis=1) == 2).all()
        assert result.runs[0].per_class()["class 2"] == 0


def test_the_others_are_the_evaluation_of_plain_scores_and_what_is_not_there_is_refused():
    source = embeddings(5, sentences=3)
    protocol = random_classes(source.class_names, 4, runs=5)
    for reduction, several in ((BASELINE, "nearest"), (MEAN_SENTENCE, "mean")):
        scores = Scores.from_embeddings(source, several)
        assert evaluate_reduced(source, protocol, reduction, BOTH).runs == evaluate(scores, protocol, BOTH).runs
    with pytest.raises(InputError, match="no cosine"):
        evaluate_reduced(replace(scores, gram=None), protocol, CSLS, BOTH)
