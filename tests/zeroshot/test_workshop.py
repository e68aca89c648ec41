"""The workshop against embedding, scoring, predicting and evaluating everything again; and a case counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.examples import Example, example_rows
from cezsar.zeroshot.fusion import Weights, active, cosine, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.weights import gains
from cezsar.zeroshot.workshop import Workshop

KINDS = ("float", "ties", "blank")
WEIGHTS = (Weights(), Weights(0, 0, 1), Weights(1, 1, 1))


def vectors(kind, rng, rows, width=12):
    if kind == "ties":
        return rng.integers(-1, 2, (rows, width)).astype(np.float32)
    found = rng.normal(size=(rows, width)).astype(np.float32)
    if kind == "blank":
        found[rng.random(rows) < 0.3] = 0
    return found


def unit(vector):
    return vector / np.linalg.norm(vector)


def make(kind="float"):
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
@pytest.mark.parametrize("mode, several", [("replaced", "nearest"), ("appended", "nearest"), ("replaced", "mean"),
                                           ("added", "nearest")])  # fmt: skip
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


@pytest.mark.parametrize("share", [None, 0.3, 1.0])
@pytest.mark.parametrize("mode, several", [("replaced", "nearest"), ("appended", "mean"), ("kept", "nearest"),
                                           ("added", "nearest")])  # fmt: skip
def test_examples_are_not_tested_and_mix_as_their_share_says(mode, several, share):
    embeddings, rng = make(), np.random.default_rng(1)
    weights, name = Weights(0.7, 0.2, 0.1), "swimming" if mode == "added" else "class 2"
    shop, ids = Workshop(embeddings, weights, several), [embeddings.ids[row] for row in (140, 31, 77)]
    film = Example("film.mp4", "0" * 64, {"VE": rng.normal(size=12), "O": rng.normal(size=12)})
    sentences = None if mode == "kept" else vectors("float", rng, 2)
    own = [] if mode == "added" else embeddings.prototypes[embeddings.prototype_class == 2].tolist()
    told = {"replaced": sentences, "appended": [*own, *(sentences if mode == "appended" else ())], "kept": own,
            "added": sentences}[mode]  # fmt: skip
    trial = shop.try_sentences(name, sentences, append=mode == "appended", new=mode == "added",
                               examples=[*ids, film, ids[0]], share=share)  # fmt: skip
    # By hand: each example's unit VE and O by their weights, of length 1, and the mean of these.
    pairs = [(embeddings.modalities["VE"][row], embeddings.modalities["O"][row]) for row in (31, 77, 140)]
    shown = [unit(0.7 * unit(v) + 0.2 * unit(o)) for v, o in [*pairs, (film.rows["VE"], film.rows["O"])]]
    lam = 4 / 5 if share is None else share
    mixed = [(1 - lam) * unit(np.asarray(each, float)) + lam * unit(np.mean(shown, axis=0)) for each in told]
    labels = ["" if clip in ids else label for clip, label in zip(embeddings.ids, embeddings.labels, strict=True)]
    after = replace(rebuilt(embeddings, name, np.array(mixed, np.float32), False), labels=labels)
    assert_equal_to_rebuilding(trial, after, weights, several)
    assert_moves_by_loops(trial)
    before = evaluate(Scores.from_embeddings(replace(embeddings, labels=labels), several),
                      all_classes(embeddings.class_names), weights).runs[0]  # fmt: skip
    assert (trial.before.top1, trial.before.n_clips) == (before.top1, before.n_clips)
    assert trial.examples.tolist() == [31, 77, 140] and trial.share == lam
    assert not trial.before.right_N[trial.examples].any() and not trial.after.right_N[trial.examples].any()


def test_a_new_class_may_have_examples_alone_and_examples_without_part_change_nothing():
    shop, clips = Workshop(make()), make()
    trial = shop.try_sentences("swimming", new=True, examples=["clip 3"], share=0.2)
    row_NE = example_rows({name: each[3:4] for name, each in clips.modalities.items()}, Weights())
    np.testing.assert_allclose(trial.cosines["now"], cosine(
        Scores.from_embeddings(rebuilt(clips, "swimming", row_NE, False)), Weights())[:, 9], atol=1e-6)  # fmt: skip
    assert trial.share == 1 and trial.before.n_clips + 20 == trial.after.n_clips
    kept = shop.try_sentences("class 1", examples=["clip 30"], share=0)
    assert len(kept.gained) == len(kept.lost) == 0 and kept.share == 0


def test_what_cannot_be_tried_is_refused():
    workshop, one = Workshop(make()), np.ones((1, 12))
    for name, sentences, new, message in [
        ("class 10", one, False, "none of the 9 classes"), ("class 1", one[:0], False, "encode at least one"),
        ("class 1", one * np.nan, False, "prototype of class 'class 1' is not finite"),
        ("Class3", one, True, "there already"), (" ", one, True, "no name"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            workshop.try_sentences(name, sentences, new=new)
    other = Example("film.mp4", "0" * 64, {"VE": np.ones(7)})
    for examples, share, message in [
        (["clip 160"], None, "none of the 160 clips; did you mean 'clip"), ([other], None, "another model"),
        (["clip 1"], 1.5, "share of examples is 1.5"), ([f"clip {n}" for n in range(160)], None, "no clip is labelled"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            workshop.try_sentences("class 1", examples=examples, share=share)
    with pytest.raises(InputError, match="one class alone cannot be shown"):
        Workshop(replace(make(), space="image-text")).try_sentences("class 1", examples=["clip 1"])
