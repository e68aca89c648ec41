"""Semantic transfer against plain loops and cases worked out by hand; and the choice of its settings."""

import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from cezsar.arrays import unit_rows
from cezsar.errors import FormatError, InputError
from cezsar.training.semantic_transfer import (
    Seen,
    Sides,
    Transfer,
    best_of,
    overlaps,
    relatedness,
    split_classes,
    top1,
    transfer_weights,
    try_all,
    visual_prototypes,
)

SMALL = [Transfer(k, t, lam) for lam in (0.0, 0.5, 1.0) for k in (1, 3, 50) for t in (0.05, 0.5)]


def made(seed=0, seen=6, unseen=4, dim=5, clips=30):
    rng, class_N = np.random.default_rng(seed), np.arange(clips) % seen
    rows, others, seen_texts, texts = (rng.normal(size=(n, dim)) for n in (clips, clips, seen, unseen))
    prototypes, related = visual_prototypes(rows, class_N, seen), relatedness(texts, seen_texts)
    return Sides(prototypes, related, unit_rows(others), unit_rows(texts)), (rows, class_N, others, seen_texts, texts)


def norm(v):
    length = math.sqrt(sum(float(x) ** 2 for x in v))
    return [float(x) / length for x in v]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def by_loops(parts, how):
    rows, class_N, others, seen_texts, texts = parts
    places = []
    for c in range(len(seen_texts)):
        own = [row for row, n in zip(rows, class_N, strict=True) if n == c]
        places.append(norm([sum(float(row[e]) for row in own) / len(own) for e in range(len(own[0]))]))
    weights, prototypes = [], []
    for text in texts:
        related = [dot(norm(text), norm(other)) for other in seen_texts]
        nearest = sorted(range(len(related)), key=lambda s: -related[s])[: how.k]
        powers = {s: math.exp(related[s] / how.temperature) for s in nearest}
        weights.append([powers.get(s, 0.0) / sum(powers.values()) for s in range(len(related))])
        mixed = [sum(w * place[e] for w, place in zip(weights[-1], places, strict=True)) for e in range(len(text))]
        prototypes.append(norm(mixed))
    pairs = list(zip(prototypes, texts, strict=True))
    scores = [[how.lam * dot(norm(row), p) + (1 - how.lam) * dot(norm(row), norm(t)) for p, t in pairs]
              for row in others]  # fmt: skip
    return weights, scores


@pytest.mark.parametrize("how", [(1, 0.1, 1.0), (3, 0.2, 0.4), (6, 1.0, 0.0), (5, 2, 0.9)])
def test_weights_and_scores_are_those_of_plain_loops(how):
    how, (sides, parts) = Transfer(*how), made()
    weights, scores = by_loops(parts, how)
    np.testing.assert_allclose(transfer_weights(sides.related_US, how.k, how.temperature), weights, atol=1e-6)
    np.testing.assert_allclose(sides.matrix(how), scores, atol=1e-6)


def test_limits_of_temperature_and_of_k():
    related = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]])
    assert transfer_weights(related, 3, 1e-9).tolist() == [[0, 1, 0], [0.5, 0.5, 0]]  # the nearest; ties share
    assert transfer_weights(related, 1, 1e-9).tolist() == [[0, 1, 0], [1, 0, 0]]  # of ties the first is among the K
    np.testing.assert_allclose(transfer_weights(related, 2, 1e9), [[0, 0.5, 0.5], [0.5, 0.5, 0]], atol=1e-8)
    np.testing.assert_allclose(transfer_weights(related, 3, math.inf), np.full((2, 3), 1 / 3))
    np.testing.assert_allclose(transfer_weights(related - 1e6, 2, 0.3).sum(axis=1), 1)  # no overflow


def test_halves_are_disjoint_cover_all_classes_and_follow_the_generator():
    halves, again = (split_classes(12, np.random.default_rng(1), trials=4) for _ in range(2))
    assert len({tuple(kept) for kept, _ in halves}) == 4
    for (kept, held), (kept_again, _) in zip(halves, again, strict=True):
        assert len(kept) == len(held) == 6 and sorted([*kept, *held]) == list(range(12))
        np.testing.assert_array_equal(kept, kept_again)
    with pytest.raises(InputError, match="of 3 seen classes; choosing needs four"):
        split_classes(3, np.random.default_rng(0), 1)


def test_choose_finds_what_trying_every_setting_finds():
    trials = [(made(seed)[0], np.random.default_rng(seed).integers(4, size=30)) for seed in range(3)]
    tried = try_all(trials, SMALL)
    expected = {how: [top1(sides.matrix(how), class_N) for sides, class_N in trials] for how in SMALL}
    assert tried == expected and list(tried) == SMALL
    means = np.round(np.mean(list(expected.values()), axis=1), 12)
    assert best_of(tried) == SMALL[int(np.argmax(means))]
    assert best_of({"worse": [0.3, 0.5], "first": [0.1 + 0.2, 0.6], "as good": [0.6, 0.3]}) == "first"


def test_overlapping_names_are_dropped_and_named():
    def at(degrees):
        return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)

    # Cosine distance 0.05 is 18.19 degrees.
    seen = {"same": at(0), "near": at(18), "far": at(19), "other": at(120), "long": 40 * at(-10)}
    found = overlaps(seen, {"unseen": at(0), "elsewhere": at(60)})
    assert [(o.seen, o.unseen) for o in found] == [("same", "unseen"), ("near", "unseen"), ("long", "unseen")]
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    assert found[1].distance == pytest.approx(1 - np.cos(np.radians(18)), abs=1e-6)


def test_seen_classes_on_disk(tmp_path):
    path, rng = tmp_path / "seen.safetensors", np.random.default_rng(0)
    vectors, prototypes = rng.normal(size=(3, 4)).astype(np.float32), unit_rows(rng.normal(size=(3, 2)))
    seen = Seen(["a b", "C", "ü"], vectors, prototypes.astype(np.float32), Transfer(2, 0.1, 0.3))
    seen.save(path)
    again = Seen.load(path)
    assert (again.names, again.how) == (seen.names, seen.how)
    other = rng.normal(size=(2, 4)).astype(np.float32)
    composed = again.composed(["A_B", "unknown"], other)
    np.testing.assert_allclose(composed[0], prototypes[0], atol=1e-6)  # a seen class has its own
    weights = transfer_weights(relatedness(other[1:], vectors), 2, 0.1)
    np.testing.assert_allclose(composed[1:], unit_rows(weights @ prototypes), atol=1e-6)
    rows = {"vectors": np.ones((2, 3), np.float32), "prototypes": np.ones((2, 3), np.float32)}
    save_file(rows, path, {"names": '["a"]', "how": "[1, 0.1, 0.5]"})
    with pytest.raises(FormatError, match="train the run again"):
        Seen.load(path)
