"""Corrections against plain loops, cases worked out by hand, a planted hub, and runs that were cut out by hand."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import skew

from cezsar.errors import InputError
from cezsar.zeroshot.corrections import (
    CORRECTIONS,
    Corrected,
    centred,
    csls,
    evaluate_corrected,
    hits_corrected,
    inverted_softmax,
)
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, cosine, fuse
from cezsar.zeroshot.hits import hits
from cezsar.zeroshot.protocols import Protocol, all_classes, random_classes
from cezsar.zeroshot.scores import Scores

RERANKING = [name for name, correction in CORRECTIONS.items() if correction.reranks]
BOTH = Weights(0.7, 0.3)


def embeddings(seed=0, n=150, classes=8, width=10, sentences=1, noise=1.0, unlabelled=0.1):
    """Clips around class centres in two modalities, some without one or both, some without a label."""
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
    """The clips and prototypes of some classes, as embeddings of their own."""
    rows = [i for i, label in enumerate(source.labels) if label in classes]
    names = [name for name in source.class_names if name in classes]
    kept = [p for p, c in enumerate(source.prototype_class) if source.class_names[c] in classes]
    return Embeddings(
        [source.ids[i] for i in rows],
        [source.labels[i] for i in rows],
        names,
        {name: part[rows] for name, part in source.modalities.items()},
        source.prototypes[kept],
        [names.index(source.class_names[source.prototype_class[p]]) for p in kept],
    )


# The formulas -----------------------------------------------------------------------------------------------------


def test_csls_by_hand():
    cosines = [[0.9, 0.5], [0.8, 0.7]]
    # k = 1: r of clips .9, .8; r of classes .9, .7
    assert csls(cosines, 1) == pytest.approx(np.array([[1.8 - 1.8, 1.0 - 1.6], [1.6 - 1.7, 1.4 - 1.5]]))
    # k = 2, and any larger one: r of clips .7, .75; r of classes .85, .6
    expected = np.array([[1.8 - 1.55, 1.0 - 1.3], [1.6 - 1.6, 1.4 - 1.35]])
    assert csls(cosines, 2) == pytest.approx(expected)
    assert csls(cosines, 10) == pytest.approx(expected)
    assert expected.argmax(axis=1).tolist() == [0, 1]  # the second clip leaves the hub


def test_inverted_softmax_by_hand():
    cosines = np.log([[4.0, 1.0], [4.0, 3.0]])
    # over clips, T = 1: columns (1/2, 1/2) and (1/4, 3/4); rows to sum 1: (2/3, 1/3) and (2/5, 3/5)
    assert np.exp(inverted_softmax(cosines, 1)) == pytest.approx(np.array([[2 / 3, 1 / 3], [2 / 5, 3 / 5]]))
    # T = 1/2 squares before: columns (1/2, 1/2) and (1/10, 9/10)
    assert np.exp(inverted_softmax(cosines, 0.5)) == pytest.approx(np.array([[5 / 6, 1 / 6], [5 / 14, 9 / 14]]))


def test_centring_by_hand():
    # mean (2/3, 1/3)
    r2, r5 = math.sqrt(2), math.sqrt(5)
    expected = [[1 / r2, -1 / r2], [1 / r2, -1 / r2], [-2 / r2 / r2 / r2, 2 / r2 / r2 / r2]]
    assert centred([[1, 0], [1, 0], [0, 1]]) == pytest.approx(np.array(expected))
    assert centred([[1, 0], [0, 1], [0, 0]]) == pytest.approx(np.array([[2, -1], [-1, 2], [-r5 / r2, -r5 / r2]]) / r5)
    assert centred([[0.6, 0.8]]).tolist() == [[0, 0]]
    assert centred(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("k", [1, 3, 7, 100])
@pytest.mark.parametrize("levels", [None, 3])
def test_csls_is_that_of_the_plain_loop(k, levels):
    rng = np.random.default_rng(k)
    cosines = rng.normal(size=(20, 7)) if levels is None else rng.integers(levels, size=(20, 7)) / levels
    found = csls(cosines, k)
    for v in range(20):
        for z in range(7):
            of_clip = sorted(cosines[v], reverse=True)[:k]
            of_class = sorted(cosines[:, z], reverse=True)[:k]
            expected = 2 * cosines[v, z] - sum(of_clip) / len(of_clip) - sum(of_class) / len(of_class)
            assert found[v, z] == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1 / 30, 1.0, 1e-3])
def test_inverted_softmax_is_that_of_the_plain_loop(temperature):
    cosines = np.random.default_rng(0).uniform(-1, 1, size=(15, 6))
    found = inverted_softmax(cosines, temperature)
    assert found == pytest.approx(log_softmax(log_softmax(cosines / temperature, axis=0), axis=1))
    if temperature > 0.01:
        share = [[math.exp(cosines[v, z] / temperature) for z in range(6)] for v in range(15)]
        totals = [sum(share[v][z] for v in range(15)) for z in range(6)]
        for v in range(15):
            row = [share[v][z] / totals[z] for z in range(6)]
            assert np.exp(found[v]) == pytest.approx([value / sum(row) for value in row])


def test_bad_input_is_refused():
    for k in (0, -1, 2.5):
        with pytest.raises(InputError, match="whole number"):
            csls(np.eye(3), k)
    for temperature in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="above 0"):
            inverted_softmax(np.eye(3), temperature)
    for formula in (csls, inverted_softmax, centred):
        with pytest.raises(InputError, match="finite numbers"):
            formula([[1.0, np.nan]])
        with pytest.raises(InputError):
            formula([1.0, 2.0])


# A planted hub ----------------------------------------------------------------------------------------------------


def hub_world(classes=40, width=32):
    """Clips share one direction and prototypes another: a modality gap. Four prototypes lean to where clips are."""
    rng = np.random.default_rng(0)
    meaning, of_clips, of_texts = rng.normal(size=(classes, width)), *rng.normal(size=(2, width))
    truth = np.repeat(np.arange(classes), 25)
    videos = meaning[truth] + of_clips + rng.normal(size=(len(truth), width))
    prototypes = meaning + of_texts
    prototypes[:4] += np.array([[0.6], [0.9], [1.2], [1.5]]) * of_clips
    names = [f"class {c}" for c in range(classes)]
    ids = [str(i) for i in range(len(truth))]
    return Embeddings(ids, [names[c] for c in truth], names, {"VE": videos}, prototypes, np.arange(classes))


@pytest.mark.parametrize("name", RERANKING)
def test_a_hub_is_held_back_and_accuracy_rises(name):
    source = hub_world()
    protocol = all_classes(source.class_names)
    plain, corrected = (
        Corrected(source, CORRECTIONS[one], Weights.only("VE"))(source.class_names).matrices["VE"]
        for one in ("none", name)
    )
    before, after = (evaluate_corrected(source, protocol, c, Weights.only("VE")).runs[0].top1 for c in ("none", name))
    votes, fewer = (np.bincount(scores.argmax(axis=1), minlength=40) for scores in (plain, corrected))
    assert skew(fewer) < skew(votes) - 0.3 and fewer.max() < votes.max() / 2
    assert after > before + 0.2


# Any protocol -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("sentences", [1, 3])
@pytest.mark.parametrize("weights", [Weights.only("VE"), Weights.only("O"), BOTH], ids=["VE", "O", "VE + O"])
def test_a_run_is_the_evaluation_of_its_classes_and_clips_alone(name, sentences, weights):
    source = embeddings(1, sentences=sentences)
    splits = [source.class_names, source.class_names[5:1:-1], ["class 7", "class 0"], ["class 3"]]
    result = evaluate_corrected(source, Protocol("some", splits), name, weights, topk=(1, 2, 5))
    kept = hits_corrected(source, Protocol("some", splits), name, weights)
    for column, (split, run) in enumerate(zip(splits, result.runs, strict=True)):
        part = cut_out(source, split)
        alone = evaluate_corrected(part, Protocol("one", [split]), name, weights, topk=(1, 2, 5)).runs[0]
        assert (run.classes, run.clips, run.hits, run.undecided) == (split, alone.clips, alone.hits, alone.undecided)
        assert run.left_out == len(source.ids) - run.n_clips
        assert kept.hits_NR[:, column].max() == 1 and (kept.hits_NR[:, column] == 1).sum() == sum(run.hits[1])
    assert (result.weights, result.method) == (weights, CORRECTIONS[name].title)
    assert result.modality == evaluate(Scores.from_embeddings(source), Protocol("some", splits), weights).modality


@pytest.mark.parametrize("name", ["csls", "inverted-softmax"])
def test_hits_are_those_of_the_formula_on_the_clips_and_classes_of_the_run(name):
    source = embeddings(2)
    split = source.class_names[2:7]
    scores = Scores.from_embeddings(source)
    chosen = np.arange(2, 7)
    plain = cosine(scores, BOTH)[:, chosen]
    rows = np.flatnonzero(np.isin(scores.label_index, chosen) & plain.any(axis=1))
    formula = {"csls": csls, "inverted-softmax": inverted_softmax}[name]
    right = chosen[formula(plain[rows]).argmax(axis=1)] == scores.label_index[rows]
    kept = hits_corrected(source, Protocol("one", [split]), name, BOTH)
    assert (kept.hits_NR[rows, 0] == right).all()
    assert 0 < right.sum() < len(right)
    others = np.setdiff1d(np.arange(len(source.ids)), rows)
    assert (kept.hits_NR[others, 0] < 1).all()
    from_scores = evaluate_corrected(scores, Protocol("one", [split]), name, BOTH)
    assert sum(from_scores.runs[0].hits[1]) == right.sum()


def test_centring_is_that_of_the_plain_loop():
    source = embeddings(3, unlabelled=0, sentences=2)
    video = 0.7 * source.modalities["VE"].astype(float) + 0.3 * source.modalities["O"]
    rows = np.flatnonzero(video.any(axis=1))
    clips = np.array([video[i] / np.linalg.norm(video[i]) for i in rows])
    texts = np.array([p / np.linalg.norm(p) for p in source.prototypes.astype(float)])
    clips, texts = clips - clips.mean(axis=0), texts - texts.mean(axis=0)
    found = Corrected(source, CORRECTIONS["centring"], BOTH)(source.class_names).matrices["VE"]
    right = 0
    for i, clip in zip(rows, clips, strict=True):
        cosines = np.array([clip @ text / np.linalg.norm(clip) / np.linalg.norm(text) for text in texts])
        assert found[i] == pytest.approx([cosines[source.prototype_class == c].max() for c in range(8)], abs=1e-5)
        right += source.class_names[source.prototype_class[cosines.argmax()]] == source.labels[i]
    result = evaluate_corrected(source, all_classes(source.class_names), "centring", BOTH)
    assert sum(result.runs[0].hits[1]) == right
    assert result.runs[0].undecided == len(source.ids) - len(rows) == 4


@pytest.mark.parametrize("name", ["none", "temperature"])
def test_what_changes_no_ranking_changes_no_figure(name):
    source = embeddings(4)
    protocol = random_classes(source.class_names, 4, runs=5)
    scores = Scores.from_embeddings(source)
    expected = evaluate(scores, protocol, BOTH)
    assert evaluate_corrected(source, protocol, name, BOTH).runs == expected.runs
    assert (hits_corrected(source, protocol, name, BOTH).hits_NR == hits(scores, protocol, BOTH).hits_NR).all()
    divided = Corrected(scores, CORRECTIONS["temperature"].at(0.05), BOTH)(source.class_names).matrices["VE"]
    labelled = scores.label_index >= 0
    assert divided[labelled] == pytest.approx(cosine(scores, BOTH)[labelled] / 0.05, rel=1e-5)


def test_the_mean_of_sentences_is_that_of_scores():
    source = embeddings(5, sentences=3)
    protocol = all_classes(source.class_names)
    found = evaluate_corrected(source, protocol, "mean-sentence", BOTH)
    assert found.runs == evaluate(Scores.from_embeddings(source, "mean"), protocol, BOTH).runs
    assert found.runs != evaluate_corrected(source, protocol, "none", BOTH).runs


@pytest.mark.parametrize("name", CORRECTIONS)
def test_nothing_is_made_of_nothing(name):
    source = embeddings(6)
    prototypes = source.prototypes.copy()
    prototypes[source.prototype_class == 2] = 0
    dead = Embeddings(
        source.ids, source.labels, source.class_names, source.modalities, prototypes, source.prototype_class
    )
    result = evaluate_corrected(dead, all_classes(source.class_names), name, BOTH)
    assert result.runs[0].undecided == sum(bool(label) for label in source.labels[:4]) > 0
    if CORRECTIONS[name].reranks:
        scores = Corrected(dead, CORRECTIONS[name], BOTH)(source.class_names).matrices["VE"]
        decided = scores.any(axis=1)
        assert (scores[decided].argmin(axis=1) == 2).all() and result.runs[0].per_class()["class 2"] == 0


def test_ties_go_to_the_lowest_index_whatever_the_order_of_the_run():
    scores = Scores(["u", "v"], ["a", "b"], ["a", "b"], {"VE": np.ones((2, 2), np.float32)}, gram=np.ones((2, 1, 1)))
    for split in (["a", "b"], ["b", "a"]):
        run = evaluate_corrected(scores, Protocol("one", [split]), "csls", Weights.only("VE")).runs[0]
        assert (run.per_class(), run.undecided) == ({"a": 1.0, "b": 0.0}, 0)


@pytest.mark.parametrize("name", RERANKING)
def test_one_class_and_one_clip(name):
    source = Embeddings(["u"], ["a"], ["a"], {"VE": [[3.0, 4.0]]}, [[1.0, 0.0]], [0])
    run = evaluate_corrected(source, all_classes(["a"]), name, Weights.only("VE")).runs[0]
    assert (run.top1, run.undecided) == (1.0, 0)


def test_a_setting_is_passed_on():
    source = hub_world()
    protocol = all_classes(source.class_names)
    scores = Corrected(source, CORRECTIONS["csls"].at(3), Weights.only("VE"))(source.class_names).matrices["VE"]
    assert scores == pytest.approx(csls(cosine(Scores.from_embeddings(source), Weights.only("VE")), 3), abs=1e-6)
    softer = evaluate_corrected(source, protocol, CORRECTIONS["inverted-softmax"].at(5.0), Weights.only("VE"))
    assert softer.runs != evaluate_corrected(source, protocol, "inverted-softmax", Weights.only("VE")).runs
    for name, value, message in (("none", 2, "no setting"), ("csls", 0, "above 0"), ("temperature", math.nan, "above")):
        with pytest.raises(InputError, match=message):
            CORRECTIONS[name].at(value)
    with pytest.raises(InputError, match="whole number"):
        evaluate_corrected(source, protocol, CORRECTIONS["csls"].at(1.5), Weights.only("VE"))


def test_what_is_not_there_is_refused():
    source = embeddings(7)
    scores, protocol = Scores.from_embeddings(source), all_classes(source.class_names)
    for name in ("centring", "mean-sentence"):
        with pytest.raises(InputError, match="needs embeddings"):
            evaluate_corrected(scores, protocol, name)
    with pytest.raises(InputError, match="'cslss' is unknown; there are none, mean-sentence"):
        evaluate_corrected(scores, protocol, "cslss")
    with pytest.raises(InputError, match="leave nothing"):
        evaluate_corrected(scores, protocol, "csls", Weights.only("C"))
    bare = Scores(scores.ids, scores.labels, scores.class_names, scores.columns)
    with pytest.raises(InputError, match="no cosine"):
        evaluate_corrected(bare, protocol, "csls")
    with pytest.raises(InputError, match="no clip is labelled"):
        without = Scores(scores.ids, [""] * len(scores.ids), scores.class_names, scores.columns, scores.gram)
        evaluate_corrected(without, protocol, "csls")


def test_every_correction_says_what_it_is():
    for name, correction in CORRECTIONS.items():
        assert name == correction.name
        assert all((correction.title, correction.assumes, correction.source, correction.does))
        assert correction.transductive == correction.assumes.startswith("transductive")
        assert bool(correction.setting) == (correction.value > 0)
    assert [name for name, correction in CORRECTIONS.items() if correction.transductive] == RERANKING
    assert next(iter(CORRECTIONS)) == "none"


def test_nothing_is_written_into_what_is_given():
    source = embeddings(8)
    scores = Scores.from_embeddings(source)
    before = fuse(scores, BOTH), {name: rows.copy() for name, rows in source.modalities.items()}
    for name in CORRECTIONS:
        evaluate_corrected(source, random_classes(source.class_names, 3, runs=2), name, BOTH)
    evaluate_corrected(scores, all_classes(source.class_names), "csls", BOTH)
    assert (fuse(scores, BOTH) == before[0]).all()
    assert all((rows == before[1][name]).all() for name, rows in source.modalities.items())
