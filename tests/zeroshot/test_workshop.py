"""The workshop against embedding, scoring, predicting and evaluating everything again; and a case counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, cosine, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.weights import gains
from cezsar.zeroshot.workshop import Flow, Move, Workshop

KINDS = ("float", "ties", "blank")
WEIGHTS = (Weights(), Weights(0, 0, 1), Weights(1, 1, 1))


def vectors(kind, rng, rows, width=12):
    """Embeddings that are hard in different ways."""
    if kind == "ties":
        return rng.integers(-1, 2, (rows, width)).astype(np.float32)
    found = rng.normal(size=(rows, width)).astype(np.float32)
    if kind == "blank":
        found[rng.random(rows) < 0.3] = 0
    return found


def make(kind="float"):
    """160 clips and 9 classes with 18 sentences; clips without a label, of no class, and of one that is new."""
    rng, names = np.random.default_rng(0), [f"class {c}" for c in range(9)]
    owner = rng.permutation(np.concatenate([np.arange(9), rng.integers(9, size=9)]))
    labels = [names[c].replace(" ", "") for c in rng.integers(9, size=160)]
    labels[3], labels[4], labels[5:25] = "", "no such class", ["Swimming"] * 20
    rows = {name: vectors(kind, rng, 160) for name in ("VE", "O", "C")}
    if kind == "blank":  # clips whose modalities cancel out at equal weights, and clips without any
        rows["C"][::7] = -rows["VE"][::7] - rows["O"][::7]
        for matrix in rows.values():
            matrix[::11] = 0
    ids = [f"clip {n}" for n in range(160)]
    return Embeddings(ids, labels, names, rows, vectors(kind, rng, len(owner)), owner)


def rebuilt(embeddings, name, sentences, append):
    """Embeddings with other prototypes of a class, one after the other."""
    names = list(dict.fromkeys([*embeddings.class_names, name]))
    old = zip(embeddings.prototype_class.tolist(), embeddings.prototypes, strict=True)
    pairs = [(owner, row) for owner, row in old if append or names[owner] != name]
    pairs += [(names.index(name), row) for row in sentences]
    owners, prototypes = np.array([owner for owner, _ in pairs]), np.stack([row for _, row in pairs])
    return replace(embeddings, class_names=names, prototypes=prototypes, prototype_class=owners)


def assert_equal_to_rebuilding(trial, embeddings, weights, several):
    scores = Scores.from_embeddings(embeddings, several)
    assert list(trial.scores.columns) == list(active(scores, weights))
    assert trial.scores.dead_classes == scores.dead_classes
    assert np.array_equal(trial.after.predicted_N, predict(scores, weights))
    np.testing.assert_allclose(trial.cosines["now"], cosine(scores, weights)[:, trial.index], atol=1e-6)
    run = evaluate(scores, all_classes(scores.class_names), weights).runs[0]
    after = trial.after
    assert (after.top1, after.top5, after.n_clips) == (run.top1, run.top5, run.n_clips)
    assert after.per_class == run.per_class()


def assert_moves_by_loops(trial):
    """Every list of clips and every count, told again clip by clip."""
    names, c = [*trial.scores.class_names, ""], trial.index  # the last is that of undecided clips, -1
    rows, turned, flows = {kind: [] for kind in ("gained", "lost", "drawn", "left")}, {}, {"drawn": {}, "left": {}}
    told = [part for one in (trial.before, trial.after) for part in (one.truth_N, one.predicted_N)]
    for row, (old_true, b, true, a) in enumerate(np.stack(told, axis=1).tolist()):
        if true < 0:
            continue
        was_right, is_right = old_true >= 0 and b == true, a == true
        if was_right != is_right:
            rows["gained" if is_right else "lost"].append(row)
            turned.setdefault(names[true], [0, 0])[was_right] += 1
        for kind, there, other in (("drawn", a, b), ("left", b, a)):
            if there == c != other:
                rows[kind].append(row)
                counts = flows[kind].get(names[other], [0, 0, 0])
                flows[kind][names[other]] = [counts[0] + 1, counts[1] + is_right, counts[2] + was_right]
    assert {kind: getattr(trial, kind).tolist() for kind in rows} == rows
    assert {gain.name: [gain.gained, gain.lost] for gain in gains(trial.before, trial.after)} == turned
    for told, expected in ((trial.drawn_from, flows["drawn"]), (trial.left_to, flows["left"])):
        assert {name: counts for name, *counts in told} == expected
        assert [flow.clips for flow in told] == sorted((flow.clips for flow in told), reverse=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mode", "several"),
    [("replaced", "nearest"), ("appended", "nearest"), ("replaced", "mean"), ("added", "nearest")],
)
def test_a_trial_is_what_rebuilding_gives(kind, mode, several):
    embeddings, rng = make(kind), np.random.default_rng(1)
    for weights in WEIGHTS:
        workshop = Workshop(embeddings, weights, several)
        before, new = workshop.before.predicted_N.copy(), mode == "added"
        for name, count in (("swimming", 2),) if new else (("class 0", 1), ("class 5", 3)):
            sentences = vectors(kind, rng, count)
            spelt = name if new else name.upper()
            trial = workshop.try_sentences(spelt, sentences, append=mode == "appended", new=new)
            assert trial.kind == mode and trial.class_name == name
            after = rebuilt(embeddings, name, sentences, mode == "appended")
            assert_equal_to_rebuilding(trial, after, weights, several)
            assert_moves_by_loops(trial)
            if new:  # clips of that name are tested from now on
                assert trial.index == 9 and "before" not in trial.cosines
                assert trial.after.n_clips == trial.before.n_clips + 20
            else:
                old = cosine(Scores.from_embeddings(embeddings, several), weights)[:, trial.index]
                np.testing.assert_array_equal(trial.cosines["before"], old)
        assert np.array_equal(workshop.before.predicted_N, before)  # trials change nothing
    unheard = workshop.try_sentences("nothing of the kind", vectors(kind, rng, 1), new=True)
    assert unheard.class_name not in unheard.after.per_class and unheard.after.n_clips == unheard.before.n_clips


def by_hand():
    """Six clips on two axes: walking is (1, 0), running (0, 1), jogging (-1, 0)."""
    clips = np.array([[3, 1], [1, 2], [2, 3], [1, 3], [-1, 0], [0, 0]], np.float32)
    labels = ["walking", "walking", "running", "running", "jogging", "jogging"]
    names = ["walking", "running", "jogging"]
    prototypes = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    return Embeddings(list("abcdef"), labels, names, {"VE": clips}, prototypes, np.arange(3), "joint")


def test_moves_by_hand():
    workshop = Workshop(by_hand(), Weights.only("VE"))
    assert workshop.before.predicted_N.tolist() == [0, 1, 1, 1, 2, UNDECIDED]
    assert workshop.before.top1 == 4 / 6
    # Walking on the diagonal takes b rightly and c wrongly; a stays, d (1, 3) is nearer to running by 3 > 4 / 1.41.
    trial = workshop.try_sentences("walking", [[5, 5]])
    assert trial.after.predicted_N.tolist() == [0, 0, 0, 1, 2, UNDECIDED]
    assert (trial.before.per_class["walking"], trial.after.per_class["walking"], trial.after.top1) == (0.5, 1.0, 4 / 6)
    assert trial.moves(trial.gained) == [Move(1, "b", "walking", "running", "walking")]
    assert trial.moves(trial.lost) == [Move(2, "c", "running", "running", "walking")]
    assert trial.drawn_from == [Flow("running", 2, 1, 1)] and trial.left_to == []
    expected = np.array([4 / 10**0.5, 3 / 5**0.5, 5 / 13**0.5, 4 / 10**0.5, -1, 0]) / 2**0.5
    np.testing.assert_allclose(trial.cosines["now"], expected, atol=1e-6)
    # Out of the way, walking loses its clips; a (3, 1) goes to running.
    away = workshop.try_sentences("walking", [[0, -1]])
    assert away.after.predicted_N.tolist() == [1, 1, 1, 1, 2, UNDECIDED]
    assert away.left_to == [Flow("running", 1, 0, 1)]
    assert away.moves(away.left) == [Move(0, "a", "walking", "walking", "running")]
    # A tie goes to the first class, zero sentences leave a class dead, and beside another one they count nothing.
    zeros = np.zeros((2, 2))
    for name, sentences, expected in (("walking", [[0, 7]], [0, 0, 0, 0, 2]), ("jogging", [[0, 7]], [0, 1, 1, 1, 1]),
                                      ("jogging", zeros, [0, 1, 1, 1, 1])):  # fmt: skip
        trial = workshop.try_sentences(name, sentences)
        assert trial.after.predicted_N.tolist() == [*expected, UNDECIDED] and bool(trial.scores.dead_classes) == (
            sentences is zeros
        )
    beside = workshop.try_sentences("jogging", zeros, append=True)
    assert not beside.scores.dead_classes and np.array_equal(beside.before.predicted_N, beside.after.predicted_N)


def test_what_cannot_be_tried_is_refused():
    workshop, one = Workshop(make()), np.ones((1, 12))
    for name, sentences, new, message in [
        ("class 10", one, False, "none of the 9 classes"),
        ("class 1", np.ones((1, 11)), False, "in the space of the clips"),
        ("class 1", np.ones((0, 12)), False, "encode at least one"),
        ("class 1", one * np.nan, False, "prototype of class 'class 1' is not finite"),
        ("Class3", one, True, "there already"),
        (" ", one, True, "no name"),
    ]:
        with pytest.raises(InputError, match=message):
            workshop.try_sentences(name, sentences, new=new)
