"""The workshop against embedding, scoring, predicting and evaluating everything again; and a case counted by hand."""

import time
from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, cosine, fuse, lengths, predict
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.workshop import Flow, Move, Workshop

KINDS = ("float", "ties", "blank")
WEIGHTS = (Weights(), Weights(0.5, 0.3, 0.2), Weights(0, 0, 1), Weights(1, 1, 1))


def vectors(kind, rng, rows, width=12):
    """Embeddings that are hard in different ways."""
    if kind == "ties":
        return rng.integers(-1, 2, (rows, width)).astype(np.float32)
    found = rng.normal(size=(rows, width)).astype(np.float32)
    if kind == "blank":
        found[rng.random(rows) < 0.3] = 0
    return found


def make(kind="float", clips=160, classes=9, sentences=2, seed=0, modalities=("VE", "O", "C")):
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.concatenate([np.arange(classes), rng.integers(classes, size=classes * (sentences - 1))]))
    names = [f"class {c}" for c in range(classes)]
    labels = [names[c].replace(" ", "") for c in rng.integers(classes, size=clips)]
    labels[3], labels[4], labels[5:25] = "", "no such class", ["Swimming"] * 20
    rows = {name: vectors(kind, rng, clips) for name in modalities}
    if kind == "blank":  # clips whose modalities cancel out at equal weights, and clips without any
        rows["C"][::7] = -rows["VE"][::7] - rows["O"][::7]
        for matrix in rows.values():
            matrix[::11] = 0
    ids = [f"clip {n}" for n in range(clips)]
    return Embeddings(ids, labels, names, rows, vectors(kind, rng, len(owner)), owner)


def rebuilt(embeddings, index, name, sentences, append):
    """Embeddings with other prototypes of class `index`."""
    kept = np.ones(len(embeddings.prototypes), bool) if append else embeddings.prototype_class != index
    names = embeddings.class_names
    return replace(
        embeddings,
        class_names=names if index < len(names) else [*names, name],
        prototypes=np.concatenate([embeddings.prototypes[kept], sentences]),
        prototype_class=np.concatenate([embeddings.prototype_class[kept], np.full(len(sentences), index)]),
    )


def assert_equal_to_rebuilding(trial, embeddings, weights, several, classes):
    scores = Scores.from_embeddings(embeddings, several)
    index = [scores.class_names.index(name) for name in classes]
    assert list(trial.scores.columns) == list(active(scores, weights))
    for name, column_NP in trial.scores.columns.items():
        assert np.array_equal(scores.columns[name], column_NP)
    assert np.array_equal(trial.scores.column_class, scores.column_class)
    np.testing.assert_allclose(lengths(trial.scores, weights), lengths(scores, weights), rtol=1e-9, atol=1e-7)
    assert trial.scores.dead_classes == scores.dead_classes and trial.dead == (trial.class_name in scores.dead_classes)
    assert np.array_equal(trial.after_N, predict(scores, weights, index))
    assert np.array_equal(trial.column_N, fuse(scores, weights)[:, trial.index])
    np.testing.assert_allclose(trial.cosine(), cosine(scores, weights)[:, trial.index], atol=1e-6)
    run = evaluate(scores, Protocol("split", [list(classes)]), weights).runs[0]
    after = trial.after
    assert (after.top1, after.top5, after.undecided, after.n_clips) == (run.top1, run.top5, run.undecided, run.n_clips)
    assert after.per_class == run.per_class() and after.mean_per_class == run.mean_per_class
    assert trial.accuracy == run.per_class().get(trial.class_name)


def assert_moves_by_loops(trial):
    """Every list of clips and every count, told again clip by clip."""
    names, c = trial.scores.class_names, trial.index
    gained, lost, drawn, left, turned, came, went = [], [], [], [], {}, {}, {}
    for row, (b, a) in enumerate(zip(trial.before_N.tolist(), trial.after_N.tolist(), strict=True)):
        true, tested_before = int(trial.after.truth_N[row]), int(trial.before.truth_N[row]) >= 0
        if true < 0:
            continue
        was_right, is_right = tested_before and b == true, a == true
        if is_right and not was_right:
            gained.append(row)
            turned.setdefault(names[true], [0, 0])[0] += 1
        if was_right and not is_right:
            lost.append(row)
            turned.setdefault(names[true], [0, 0])[1] += 1
        for found, flows, there, other in ((drawn, came, a, b), (left, went, b, a)):
            if there == c and other != c:
                found.append(row)
                counts = flows.setdefault("" if other == UNDECIDED else names[other], [0, 0, 0])
                flows["" if other == UNDECIDED else names[other]] = [
                    counts[0] + 1, counts[1] + is_right, counts[2] + was_right
                ]  # fmt: skip
    assert [rows.tolist() for rows in (trial.gained, trial.lost, trial.drawn, trial.left)] == [
        gained,
        lost,
        drawn,
        left,
    ]
    assert {name: [plus, minus] for name, plus, minus, _ in trial.gains} == turned
    assert all(gain.net == gain.gained - gain.lost for gain in trial.gains)
    assert [abs(gain.net) for gain in trial.gains] == sorted((abs(gain.net) for gain in trial.gains), reverse=True)
    for flows, told in ((trial.drawn_from, came), (trial.left_to, went)):
        assert {name: counts for name, *counts in flows} == told
        assert [flow.clips for flow in flows] == sorted((flow.clips for flow in flows), reverse=True)


@pytest.mark.parametrize("several", ["nearest", "mean"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("append", [False, True])
def test_a_trial_is_what_rebuilding_gives(kind, append, several):
    embeddings, rng = make(kind), np.random.default_rng(1)
    for weights in WEIGHTS:
        for classes in (None, [f"class {c}" for c in (7, 2, 5, 0)]):
            workshop = Workshop(embeddings, weights, several, classes)
            for name, count in (("class 0", 1), ("class 5", 3)):
                sentences = vectors(kind, rng, count)
                trial = workshop.try_sentences(name.upper(), sentences, append=append)
                assert trial.kind == ("appended" if append else "replaced") and trial.class_name == name
                after = rebuilt(embeddings, trial.index, name, sentences, append)
                assert_equal_to_rebuilding(trial, after, weights, several, workshop.classes)
                assert_moves_by_loops(trial)
                old = fuse(Scores.from_embeddings(embeddings, several), weights)[:, trial.index]
                assert np.array_equal(trial.old_column_N, old)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_class_joins(kind):
    embeddings, rng = make(kind), np.random.default_rng(2)
    for classes in (None, ["class 1", "class 4"]):
        workshop = Workshop(embeddings, Weights(1, 1, 1), classes=classes)
        sentences = vectors(kind, rng, 2)
        trial = workshop.add_class("swimming", sentences)
        assert (trial.kind, trial.index, trial.old_column_N, trial.old_accuracy) == ("added", 9, None, None)
        after = rebuilt(embeddings, 9, "swimming", sentences, append=True)
        assert_equal_to_rebuilding(trial, after, Weights(1, 1, 1), "nearest", [*workshop.classes, "swimming"])
        assert trial.after.n_clips == trial.before.n_clips + 20  # clips of that name are tested from now on
        assert_moves_by_loops(trial)
        kept = workshop.keep(trial)
        assert kept.classes == [*workshop.classes, "swimming"] and kept.embeddings.class_names[-1] == "swimming"
    unheard = workshop.add_class("nothing of the kind", vectors(kind, rng, 1))
    assert unheard.accuracy is None and unheard.after.n_clips == unheard.before.n_clips


def by_hand():
    """Six clips on two axes: walking is (1, 0), running (0, 1), jogging (-1, 0)."""
    clips = np.array([[3, 1], [1, 2], [2, 3], [1, 3], [-1, 0], [0, 0]], np.float32)
    labels = ["walking", "walking", "running", "running", "jogging", "jogging"]
    names = ["walking", "running", "jogging"]
    prototypes = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    return Embeddings(list("abcdef"), labels, names, {"VE": clips}, prototypes, np.arange(3), "joint")


def test_moves_by_hand():
    workshop = Workshop(by_hand(), Weights.only("VE"))
    assert workshop.predicted_N.tolist() == [0, 1, 1, 1, 2, UNDECIDED]
    assert workshop.before.top1 == 4 / 6
    # Walking on the diagonal takes b rightly and c wrongly; a stays, d (1, 3) is nearer to running by 3 > 4 / 1.41.
    trial = workshop.try_sentences("walking", [[5, 5]])
    assert trial.after_N.tolist() == [0, 0, 0, 1, 2, UNDECIDED]
    assert trial.after.top1 == 4 / 6 and (trial.old_accuracy, trial.accuracy) == (0.5, 1.0)
    assert trial.moves(trial.gained) == [Move(1, "b", "walking", "running", "walking")]
    assert trial.moves(trial.lost) == [Move(2, "c", "running", "running", "walking")]
    assert trial.drawn_from == [Flow("running", 2, 1, 1)] and trial.left_to == []
    assert trial.gains == [("walking", 1, 0, 1), ("running", 0, 1, -1)]
    np.testing.assert_allclose(
        trial.cosine(), np.array([4 / 10**0.5, 3 / 5**0.5, 5 / 13**0.5, 4 / 10**0.5, -1, 0]) / 2**0.5, atol=1e-6
    )
    # Out of the way, walking loses its clips; a (3, 1) goes to running.
    away = workshop.try_sentences("walking", [[0, -1]])
    assert away.after_N.tolist() == [1, 1, 1, 1, 2, UNDECIDED]
    assert away.left_to == [Flow("running", 1, 0, 1)] and away.moves(away.left) == [
        Move(0, "a", "walking", "walking", "running")
    ]


def test_a_tie_goes_to_the_first_class():
    workshop = Workshop(by_hand(), Weights.only("VE"))
    assert workshop.try_sentences("walking", [[0, 7]]).after_N.tolist() == [0, 0, 0, 0, 2, UNDECIDED]
    assert workshop.try_sentences("jogging", [[0, 7]]).after_N.tolist() == [0, 1, 1, 1, 1, UNDECIDED]


def test_zero_sentences_leave_a_class_dead():
    workshop = Workshop(by_hand(), Weights.only("VE"))
    dead = workshop.try_sentences("jogging", np.zeros((2, 2)))
    assert dead.dead and not dead.column_N.any() and dead.after_N.tolist() == [0, 1, 1, 1, 1, UNDECIDED]
    beside = workshop.try_sentences("jogging", np.zeros((1, 2)), append=True)  # a zero beside another counts nothing
    assert not beside.dead and not beside._moved.any()


def test_two_classes_described_alike_are_told_apart_as_rebuilding_does():
    """Their scores differ in the last bit at most, and that bit depends on the shape of the matrix product."""
    embeddings = make(sentences=1, clips=700, classes=37, modalities=("VE",))
    workshop = Workshop(embeddings, Weights.only("VE"))
    for name, twin in ((3, 30), (30, 3), (36, 0)):
        sentence = embeddings.prototypes[embeddings.prototype_class == twin]
        trial = workshop.try_sentences(f"class {name}", sentence)
        after = rebuilt(embeddings, name, f"class {name}", sentence, append=False)
        assert_equal_to_rebuilding(trial, after, workshop.weights, "nearest", workshop.classes)


def test_one_change_after_the_other():
    embeddings, rng = make(), np.random.default_rng(5)
    workshop = Workshop(embeddings)
    first = workshop.try_sentences("class 2", vectors("float", rng, 2))
    kept = workshop.keep(first)
    assert kept.before.top1 == first.after.top1 and np.array_equal(kept.predicted_N, first.after_N)
    second = kept.try_sentences("class 6", vectors("float", rng, 1), append=True)
    final = kept.keep(second).embeddings
    assert_equal_to_rebuilding(second, final, Weights(), "nearest", kept.classes)
    with pytest.raises(InputError, match="other sentences than those kept"):
        kept.keep(first)
    other = kept.with_weights(Weights(0.1, 0.9))
    scores = Scores.from_embeddings(kept.embeddings)
    assert np.array_equal(other.predicted_N, predict(scores, Weights(0.1, 0.9)))


def test_trials_change_nothing():
    workshop = Workshop(make())
    before = (workshop.predicted_N.copy(), workshop.embeddings.prototypes.copy(), workshop._fused_NC.copy())
    sentences = vectors("float", np.random.default_rng(0), 1)
    one = workshop.try_sentences("class 1", sentences)
    workshop.add_class("swimming", sentences)
    again = workshop.try_sentences("class 1", sentences)
    assert np.array_equal(one.after_N, again.after_N)
    for kept, now in zip(
        before, (workshop.predicted_N, workshop.embeddings.prototypes, workshop._fused_NC), strict=True
    ):
        assert np.array_equal(kept, now)


def test_what_cannot_be_tried_is_refused():
    workshop = Workshop(make(), classes=["class 1", "class 2"])
    one = np.ones((1, 12))
    for name, sentences, message in [
        ("class 3", one, "none of the 2 classes"),
        ("class 1", np.ones((1, 11)), "in the space of the clips"),
        ("class 1", np.ones(12), "in the space of the clips"),
        ("class 1", np.ones((0, 12)), "encode at least one"),
        ("class 1", one * np.nan, "prototype of class 'class 1' is not finite"),
    ]:
        with pytest.raises(InputError, match=message):
            workshop.try_sentences(name, sentences)
    with pytest.raises(InputError, match="there already"):
        workshop.add_class("Class3", one)
    with pytest.raises(InputError, match="no name"):
        workshop.add_class(" ", one)
    embeddings = make()
    with pytest.raises(InputError, match="no clip is labelled"):
        Workshop(replace(embeddings, labels=[""] * len(embeddings.ids)))
    with pytest.raises(InputError, match="other clips or classes"):
        Workshop(embeddings, scores=Scores.from_embeddings(make(clips=100)))
    with pytest.raises(InputError, match="leave nothing"):
        Workshop(make(modalities=("VE",)), Weights.only("C"))


def test_at_the_scale_of_ucf101_it_is_quicker_than_rebuilding():
    rng = np.random.default_rng(0)
    prototypes = rng.normal(size=(101, 128)).astype(np.float32)
    truth = rng.integers(101, size=13_320)
    rows = {
        name: (0.3 * prototypes[truth] + rng.normal(size=(13_320, 128))).astype(np.float32) for name in ("VE", "O", "C")
    }
    names = [f"class {c}" for c in range(101)]
    embeddings = Embeddings(
        [f"clip {n}" for n in range(13_320)], [names[c] for c in truth], names, rows, prototypes, np.arange(101)
    )
    weights = Weights(0.5, 0.3, 0.2)
    workshop = Workshop(embeddings, weights)
    sentence = prototypes[:1] + prototypes[1:2]
    times, wholes = [], []
    for _ in range(3):
        started = time.process_time()
        trial = workshop.try_sentences("class 0", sentence)
        told = (trial.after.top1, trial.drawn_from, trial.left_to, trial.gains, trial.moves(trial.gained))
        times.append(time.process_time() - started)
        started = time.process_time()
        other = rebuilt(embeddings, 0, "class 0", sentence, append=False)
        scores = Scores.from_embeddings(other)
        run = evaluate(scores, Protocol("all", [names]), weights).runs[0]
        expected = predict(scores, weights)
        wholes.append(time.process_time() - started)
    assert told[0] == run.top1 and np.array_equal(trial.after_N, expected) and len(trial.drawn) > 0
    assert min(times) < min(wholes)
    assert min(times) < 0.5  # seconds of the processor; about 0.05 is usual
