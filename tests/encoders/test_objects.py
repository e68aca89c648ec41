"""Objects from features: the head, the choice of objects, their words."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from cezsar.encoders.base import ObjectHead
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary, object_phrases, object_sentence, top_objects
from cezsar.errors import FormatError, InputError

NAMES = ["ball", "horse", "crane", "crane"]
DEFINITIONS = [
    "round object that is hit or thrown or kicked in games",
    "solid-hoofed herbivorous quadruped; domesticated since prehistoric times",
    "large bird",
    "",
]


def head(unit_norm=False):
    random = np.random.default_rng(0)
    return LinearHead(NAMES, DEFINITIONS, random.normal(size=(4, 6)), random.normal(size=4), unit_norm)


@pytest.mark.parametrize("unit_norm", [False, True])
def test_logits_are_the_sums_written_out(unit_norm):
    ours, features = head(unit_norm), np.random.default_rng(1).normal(size=(3, 6))
    features[2] = 0
    logits = ours.logits(features)
    assert logits.shape == (3, 4) and logits.dtype == np.float32 and isinstance(ours, ObjectHead)
    for t in range(3):
        length = sum(x * x for x in features[t]) ** 0.5
        divide = length if unit_norm and length > 0 else 1.0
        for k in range(4):
            expected = sum(features[t, d] / divide * ours.weight[k, d] for d in range(6)) + ours.bias[k]
            assert logits[t, k] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    features[1, 4] = np.nan
    with pytest.raises(InputError, match="second 1"):
        ours.logits(features)


def test_a_head_comes_back_from_its_file_and_what_is_none_is_refused(tmp_path):
    for unit_norm in (False, True):
        saved = LinearHead(["Käse", "b"], ["Größe", ""], np.eye(2, 3), unit_norm=unit_norm)
        saved.save(tmp_path / "head.safetensors")
        loaded = LinearHead.load(tmp_path / "head.safetensors")
        assert (loaded.names, loaded.definitions, loaded.unit_norm) == (saved.names, saved.definitions, unit_norm)
        np.testing.assert_array_equal(loaded.weight, saved.weight)
        assert loaded.fingerprint == saved.fingerprint != head().fingerprint
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"weight": np.eye(2)}, tmp_path / "half.safetensors", {"format": "cezsar object head 1", "names": "[]"})
    for name in ("text", "half", "absent"):
        with pytest.raises(FormatError, match=name):
            LinearHead.load(tmp_path / f"{name}.safetensors")


def test_top_objects_by_hand():
    # means 1, 0, 1, ln 2: softmax e, 1, e, 2 over their sum; the tie goes to the earlier
    logits = np.array([[2, -3, 0, np.log(2)], [0, 3, 2, np.log(2)]], np.float32)
    indices, probabilities = top_objects(logits, 3)
    total = 2 * np.e + 3
    assert indices.tolist() == [0, 2, 3]
    np.testing.assert_allclose(probabilities, [np.e / total, np.e / total, 2 / total], rtol=1e-6)
    # one clear second of three is a third of the probability, where mean logits would all but lose it
    logits = np.array([[20.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    indices, probabilities = top_objects(logits, 2, "names")
    second = np.e**2 / (np.e**2 + 2)
    assert indices.tolist() == [1, 0]
    np.testing.assert_allclose(probabilities, [2 * second / 3, (1 + 2 / (np.e**2 + 2)) / 3], rtol=1e-6)


def test_sentences_and_phrases_are_made_of_names_and_definitions():
    said = "crane large bird. crane. ball round object that is hit or thrown or kicked in games"
    assert object_sentence(head(), [2, 3, 0]) == said and object_sentence(head(), []) == ""
    assert object_phrases(head(), [1, 0, 2, 3, 1]) == [
        # "horse" and its first piece have 4 words: joined with the next
        "horse solid-hoofed herbivorous quadruped domesticated since prehistoric times",
        "ball round object that is hit or thrown or kicked in games",
    ]
    assert object_phrases(head(), [0], max_words=6) == ["ball round object that is hit"]


def test_imagenet_names_definitions_and_phrases():
    names, definitions = imagenet_vocabulary()
    assert len(names) == len(definitions) == 1000 and names[134] == names[517] == "crane"
    assert definitions[134] != definitions[517]
    names, definitions = imagenet_vocabulary("imagenet-21k-goog")
    everything = LinearHead(names, definitions, np.zeros((len(names), 1)))
    phrases = object_phrases(everything, range(21_843))
    lengths = [len(phrase.split()) for phrase in phrases]
    assert (min(lengths), max(lengths)) == (5, 20) and len(set(phrases)) == len(phrases) > 20_000
