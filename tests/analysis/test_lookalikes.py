"""Look-alike pairs by hand and by plain loops, and the words that tell them apart."""

from itertools import combinations

import numpy as np
import pytest

from cezsar.analysis.lookalikes import Lookalikes, confusable
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings

NAMES = ["walking", "running", "waving", "drumming"]
SENTENCES = {
    "Walking": ["A person walks along the street."],
    "running": ["A person runs fast along the street.", "Somebody is jogging."],
    "waving": ["A person waves with a hand."],
}


def embeddings(prototypes, owner, names=NAMES):
    rows = {"VE": np.ones((1, len(prototypes[0])), np.float32)}
    return Embeddings(["clip"], [""], list(names), rows, np.array(prototypes, np.float32), np.array(owner))


def test_pairs_by_hand():
    # Walking and running are alike, so are waving and drumming; a zero prototype beside another counts nothing.
    found = embeddings([[1, 0], [4, 3], [0, 2], [-3, 4], [0, 0]], [0, 1, 2, 3, 0])
    confusion = [[6, 3, 1, 0], [1, 9, 0, 0], [0, 0, 9, 1], [5, 0, 0, 5]]
    # Walking and drumming (5 of 10) lie apart, at a cosine of -0.6: their sentences are not to blame.
    pairs = confusable(found, confusion, NAMES, SENTENCES)
    assert pairs == [
        Lookalikes(
            "walking",
            "running",
            pytest.approx(0.8),
            pytest.approx(0.2),
            3,
            1,
            ["walks"],
            ["runs", "fast", "somebody", "jogging"],
        ),
        Lookalikes(
            "waving", "drumming", pytest.approx(0.8), pytest.approx(0.05), 1, 0, ["person", "waves", "hand"], []
        ),
    ]
    assert confusable(found, confusion, NAMES, SENTENCES, k=1) == pairs[:1]
    assert confusable(found, np.eye(4, dtype=int), NAMES) == []


def test_pairs_by_loops():
    rng = np.random.default_rng(0)
    names = [f"class {c}" for c in range(9)]
    owner = np.concatenate([np.arange(9), rng.integers(9, size=9)])
    prototypes = rng.normal(size=(18, 5))
    confusion = rng.integers(0, 6, (9, 9))
    confusion[0, 1:] = confusion[1:, 0] = 0  # never confused
    classes = [names[c] for c in (8, 0, 3, 1, 5, 2)]
    counts = confusion[:6, :6]
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    similarity = {
        (i, j): max(
            unit[p] @ unit[q]
            for p in np.flatnonzero(owner == names.index(classes[i]))
            for q in np.flatnonzero(owner == names.index(classes[j]))
        )
        for i, j in combinations(range(6), 2)
    }
    usual = sum(similarity.values()) / len(similarity)
    expected = []
    for (i, j), value in similarity.items():
        share = (counts[i, j] / counts[i].sum() + counts[j, i] / counts[j].sum()) / 2
        if share > 0 and value > usual:
            expected.append((-share, -value, classes[i], classes[j], counts[i, j], counts[j, i]))
    found = confusable(embeddings(prototypes, owner, names), counts, [name.upper() for name in classes])
    assert [(p.first, p.second, p.taken, p.reverse) for p in found] == [entry[2:] for entry in sorted(expected)]
    assert [(-p.share, -p.similarity) for p in found] == [
        pytest.approx(entry[:2], abs=1e-6) for entry in sorted(expected)
    ]
    assert len(found) > 2 and all(p.first_words == p.second_words == [] for p in found)


def test_one_pair_and_one_class():
    two = embeddings([[1, 0], [1, 1]], [0, 1], NAMES[:2])
    (pair,) = confusable(two, [[3, 1], [0, 0]], NAMES[:2])
    assert (pair.taken, pair.reverse, pair.share) == (1, 0, 0.125)  # a class without clips has no share
    assert confusable(two, [[3]], NAMES[:1]) == []


def test_words_of_several_sentences_without_function_words():
    described = {
        "walking": ["She walks, while it is raining.", "A walk"],
        "running": ["They run while a dog is barking"],
    }
    (pair,) = confusable(embeddings([[1, 0], [1, 1]], [0, 1], NAMES[:2]), [[3, 1], [0, 0]], NAMES[:2], described)
    assert (pair.first_words, pair.second_words) == (["walks", "raining", "walk"], ["run", "dog", "barking"])


def test_refused():
    found = embeddings(np.eye(4), range(4))
    with pytest.raises(InputError, match="at least 1"):
        confusable(found, np.eye(4, dtype=int), NAMES, k=0)
    with pytest.raises(InputError, match="does not go with 4 classes"):
        confusable(found, np.eye(3, dtype=int), NAMES)
    with pytest.raises(InputError, match="none of the 4 classes"):
        confusable(found, np.eye(1, dtype=int), ["sleeping"])
