"""Semantic transfer against plain loops and cases worked out by hand."""

import math

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.protocols import all_classes
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.transfer import (
    Setting,
    Transfer,
    blend,
    by_text,
    composed_prototypes,
    relatedness,
    transfer_weights,
    visual_prototypes,
)


def embeddings(rows, labels, names, texts, prefix="clip"):
    texts = np.asarray(texts, np.float32)
    ids = [f"{prefix} {n}" for n in range(len(labels))]
    return Embeddings(
        ids, list(labels), list(names), {"VE": np.asarray(rows, np.float32)}, texts, np.arange(len(texts))
    )


def random_transfer(seed=0, seen=6, unseen=4, dim=5, clips=30):
    rng = np.random.default_rng(seed)
    names = [f"seen {c}" for c in range(seen)], [f"unseen {c}" for c in range(unseen)]
    labels = [names[0][n % seen] for n in range(clips)], [names[1][c] for c in rng.integers(unseen, size=clips)]
    sides = [
        embeddings(rng.normal(size=(clips, dim)), labels[i], names[i], rng.normal(size=(len(names[i]), dim)), prefix)
        for i, prefix in enumerate(("s", "u"))
    ]
    return Transfer(*sides)


def norm(v):
    length = math.sqrt(sum(float(x) ** 2 for x in v))
    return [float(x) / length for x in v]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def by_loops(transfer, setting):
    """The equations of the module, one number at a time: (w_us, P_u, scores)."""
    seen, unseen = transfer.seen, transfer.unseen
    places = []
    for name in seen.class_names:
        rows = [row for row, label in zip(seen.modalities["VE"], seen.labels, strict=True) if label == name]
        places.append(norm([sum(float(row[e]) for row in rows) / len(rows) for e in range(len(rows[0]))]))
    weights, prototypes = [], []
    for text in unseen.prototypes:
        related = [dot(norm(text), norm(other)) for other in seen.prototypes]
        nearest = sorted(range(len(related)), key=lambda s: -related[s])[: setting.k]
        powers = {s: math.exp(related[s] / setting.temperature) for s in nearest}
        weights.append([powers.get(s, 0.0) / sum(powers.values()) for s in range(len(related))])
        mixed = [sum(w * place[e] for w, place in zip(weights[-1], places, strict=True)) for e in range(len(text))]
        prototypes.append(norm(mixed))
    scores = [
        [
            setting.lam * dot(norm(row), p) + (1 - setting.lam) * dot(norm(row), norm(text))
            for p, text in zip(prototypes, unseen.prototypes, strict=True)
        ]
        for row in unseen.modalities["VE"]
    ]
    return weights, prototypes, scores


@pytest.mark.parametrize(
    "setting", [Setting(1, 0.1, 1.0), Setting(3, 0.2, 0.4), Setting(6, 1.0, 0.0), Setting(5, 2, 0.9)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_prototypes_and_scores_are_those_of_plain_loops(setting, seed):
    transfer = random_transfer(seed)
    weights, prototypes, scores = by_loops(transfer, setting)
    np.testing.assert_allclose(
        transfer_weights(transfer.related_US, setting.k, setting.temperature), weights, atol=1e-6
    )
    np.testing.assert_allclose(transfer.prototypes(setting.k, setting.temperature), prototypes, atol=1e-6)
    np.testing.assert_allclose(transfer.scores(setting).matrices["VE"], scores, atol=1e-6)


def test_a_case_by_hand():
    # Two seen classes on the axes; one unseen text is like the first (cos 1 and 0), one stands between (0.6 and 0.8).
    seen = embeddings([[2, 0], [4, 0], [0, 3]], ["a", "a", "b"], ["a", "b"], [[1, 0], [0, 1]], "s")
    unseen = embeddings([[1, 0], [0, 1]], ["u", "w"], ["u", "w"], [[1, 0], [0.6, 0.8]], "u")
    transfer = Transfer(seen, unseen)
    np.testing.assert_allclose(transfer.seen_prototypes, np.eye(2))
    np.testing.assert_allclose(transfer.related_US, [[1, 0], [0.6, 0.8]], atol=1e-7)
    # T = 0.2 / ln 3 makes of a difference of 0.2 odds of 3 to 1, of a difference of 1 odds of 3^5 = 243 to 1.
    weights = transfer_weights(transfer.related_US, 2, 0.2 / math.log(3))
    np.testing.assert_allclose(weights, [[243 / 244, 1 / 244], [0.25, 0.75]], rtol=1e-5)
    between = np.array([1, 3]) / math.sqrt(10)
    np.testing.assert_allclose(composed_prototypes(weights, np.eye(2))[1], between, rtol=1e-5)
    scores = transfer.scores(Setting(2, 0.2 / math.log(3), 0.5)).matrices["VE"]
    assert scores[1, 1] == pytest.approx(0.5 * 3 / math.sqrt(10) + 0.5 * 0.8, rel=1e-5)
    assert transfer.scores(Setting(1, 1.0, 1.0)).matrices["VE"].tolist() == [[1, 0], [0, 1]]


def test_limits_of_temperature_and_of_k():
    related = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]])
    assert transfer_weights(related, 3, 1e-9).tolist() == [[0, 1, 0], [0.5, 0.5, 0]]  # the nearest; ties share
    assert transfer_weights(related, 1, 1e-9).tolist() == [[0, 1, 0], [1, 0, 0]]  # of ties the first is among the K
    np.testing.assert_allclose(transfer_weights(related, 2, 1e9), [[0, 0.5, 0.5], [0.5, 0.5, 0]], atol=1e-8)
    np.testing.assert_allclose(transfer_weights(related, 3, math.inf), np.full((2, 3), 1 / 3))
    np.testing.assert_array_equal(transfer_weights(related, 99, 0.3), transfer_weights(related, 3, 0.3))
    np.testing.assert_allclose(transfer_weights(related - 1e6, 2, 0.3).sum(axis=1), 1)  # no overflow


def test_lambda_0_is_text_alone_and_lambda_1_has_exact_embeddings():
    transfer = random_transfer(3)
    text = transfer.scores(Setting(2, 0.1, 0.0))
    np.testing.assert_array_equal(text.matrices["VE"], by_text(transfer.unseen).matrices["VE"])
    plain = Scores.from_embeddings(transfer.unseen)
    np.testing.assert_array_equal(predict(plain, Weights.only("VE")), predict(text, Weights.only("VE")))
    composed = transfer.scores(Setting(2, 0.1, 1.0))
    same = Scores.from_embeddings(transfer.embeddings(2, 0.1))
    np.testing.assert_allclose(cosine(same, Weights.only("VE")), composed.matrices["VE"], atol=1e-6)
    np.testing.assert_allclose(cosine(composed, Weights.only("VE")), composed.matrices["VE"], atol=1e-6)


def test_evaluate_takes_the_scores_and_text_that_is_near_a_seen_class_finds_its_look_alikes():
    rng = np.random.default_rng(5)
    centres, texts = rng.normal(size=(5, 8)), rng.normal(size=(5, 8))
    seen_rows = np.repeat(centres, 6, axis=0) + 0.1 * rng.normal(size=(30, 8))
    seen = embeddings(seen_rows, np.repeat(list("abcde"), 6), list("abcde"), texts, "s")
    # Unseen classes look like "b" and "e", and are called nearly so; text and looks have nothing else in common.
    rows = np.repeat(centres[[1, 4]], 10, axis=0) + 0.3 * rng.normal(size=(20, 8))
    unseen = embeddings(rows, ["like b"] * 10 + ["like e"] * 10, ["like b", "like e"], texts[[1, 4]] + 0.05, "u")
    result = evaluate(Transfer(seen, unseen).scores(Setting(1, 1.0, 1.0)), all_classes(["like b", "like e"]))
    assert result.runs[0].top1 == 1.0


def test_sentence_vectors_relate_classes_where_the_space_has_no_text():
    transfer = random_transfer(7)
    bare = [
        Embeddings(side.ids, side.labels, side.class_names, side.modalities, 0 * side.prototypes, side.prototype_class)
        for side in (transfer.seen, transfer.unseen)
    ]
    related = relatedness(transfer.unseen.prototypes, transfer.seen.prototypes)
    setting = Setting(2, 0.1, 1.0)
    found = Transfer(*bare, related).scores(setting).matrices["VE"]
    np.testing.assert_allclose(found, transfer.scores(setting).matrices["VE"], atol=1e-6)
    half = Transfer(*bare, related).scores(setting._replace(lam=0.5)).matrices["VE"]
    np.testing.assert_allclose(half, found / 2, atol=1e-6)  # λ scales only


def test_zero_rows_stay_zero_and_are_undecided():
    seen = embeddings([[1, 0], [-1, 0], [0, 1]], ["a", "a", "b"], ["a", "b"], [[1, 0], [0, 1]], "s")
    unseen = embeddings([[0, 0], [0, 2]], ["u", "w"], ["u", "w"], [[1, 0], [0, 1]], "u")
    transfer = Transfer(seen, unseen)
    assert transfer.seen_prototypes.tolist() == [[0, 0], [0, 1]]  # clips of "a" cancel out
    result = evaluate(transfer.scores(Setting(1, 1.0, 0.5)), all_classes(["u", "w"]))
    assert result.runs[0].undecided == 1 and result.runs[0].top1 == 0.5


def test_several_sentences_of_a_class_count_by_their_mean_direction():
    texts = np.array([[3, 0], [0, 1], [0, 5]], np.float32)
    side = Embeddings(["x"], ["u"], ["u", "w"], {"VE": np.ones((1, 2), np.float32)}, texts, np.array([0, 0, 1]))
    np.testing.assert_allclose(by_text(side).matrices["VE"], [[1.0, math.sqrt(0.5)]], atol=1e-6)


def test_blend_is_convex_and_about_the_same_clips():
    a, b = (by_text(random_transfer(seed).unseen) for seed in (0, 0))
    other = random_transfer(0).scores(Setting(3, 0.1, 1.0))
    np.testing.assert_array_equal(blend(a, other, 1.0).matrices["VE"], a.matrices["VE"])
    np.testing.assert_array_equal(blend(a, other, 0.0).matrices["VE"], other.matrices["VE"])
    expected = 0.25 * a.matrices["VE"] + 0.75 * other.matrices["VE"]
    np.testing.assert_allclose(blend(b, other, 0.25).matrices["VE"], expected, atol=1e-7)
    # In one space a blend with text is a smaller λ.
    np.testing.assert_allclose(
        blend(a, other, 0.3).matrices["VE"], random_transfer(0).scores(Setting(3, 0.1, 0.7)).matrices["VE"], atol=1e-6
    )
    with pytest.raises(InputError, match="different clips or classes"):
        blend(a, by_text(random_transfer(0).seen), 0.5)
    with pytest.raises(InputError, match="from 0 to 1"):
        blend(a, other, 1.5)


@pytest.mark.parametrize(
    "setting", [Setting(0, 1, 0.5), Setting(1, 0, 0.5), Setting(1, math.nan, 0), Setting(1, 1, 1.1)]
)
def test_settings_outside_their_ranges_are_refused(setting):
    with pytest.raises(InputError, match="K is from 1, T above 0"):
        random_transfer().scores(setting)


def test_sides_that_do_not_go_together_are_refused():
    good = random_transfer()
    names, rows = ["a", "b"], np.ones((2, 5))
    unlabelled = embeddings(rows, ["a", ""], names, np.ones((2, 5)))
    with pytest.raises(InputError, match="a label that is no seen class"):
        Transfer(unlabelled, good.unseen)
    with pytest.raises(InputError, match="'b' has no clip"):
        Transfer(embeddings(rows, ["a", "a"], names, np.ones((2, 5))), good.unseen)
    with pytest.raises(InputError, match="seen and unseen"):
        Transfer(embeddings(rows, ["a", "Unseen_0"], ["a", "Unseen_0"], np.ones((2, 5))), good.unseen)
    with pytest.raises(InputError, match="different width"):
        Transfer(embeddings(np.ones((2, 3)), names, names, np.ones((2, 3))), good.unseen)
    with pytest.raises(InputError, match="relatedness has shape"):
        Transfer(good.seen, good.unseen, np.zeros((2, 2)))
    with pytest.raises(InputError, match="NaN"):
        Transfer(good.seen, good.unseen, np.full((4, 6), np.nan))
    only_objects = Embeddings(
        ["x"], ["a"], ["a"], {"O": np.ones((1, 5), np.float32)}, np.ones((1, 5)), np.zeros(1, int)
    )
    with pytest.raises(InputError, match="visual embeddings"):
        Transfer(good.seen, only_objects)
    with pytest.raises(InputError, match="number 1 has no clip"):
        visual_prototypes(np.ones((2, 3)), np.array([0, 2]), 3)
    with pytest.raises(InputError, match="no seen class"):
        transfer_weights(np.empty((2, 0)), 1, 1.0)
