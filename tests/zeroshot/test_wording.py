"""Sentences of a scored data set are found again, and others join them in the same space."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cezsar.data.descriptions import save_descriptions
from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.wording import Wording, several_of, wording_of

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "demo"


class Letters:
    """A space in which a sentence is how often it has the letters a to e."""

    name = "joint"
    asked: list[str]

    def __init__(self):
        self.asked = []

    def sentences(self, sentences):
        self.asked += sentences
        return np.array([[text.count(letter) for letter in "abcde"] for text in sentences], np.float32)

    def clips(self, features):
        return None


def embeddings_of(described):
    """One clip each, beside prototypes in the space of letters."""
    texts = [text for given in described.values() for text in given]
    owner = np.array([row for row, given in enumerate(described.values()) for _ in given])
    names = list(described)
    clips = np.eye(len(names), 5, dtype=np.float32)
    ids = [f"clip of {name}" for name in names]
    return Embeddings(ids, names, names, {"VE": clips}, Letters().sentences(texts), owner)


@pytest.fixture
def two_of_one():
    return embeddings_of({"first": ["aab", "cc"], "Second": ["de"], "third": ["abcde"]})


def test_a_source_is_believed_class_by_class(two_of_one):
    wrong = {"FIRST": ["aab", "cd"], "second": ["de"], "third": ["abcde", "a"]}
    turned = {"first": ["cc", "aab"]}  # another order is another row
    right = {"First": ["aab", "cc"], "third": ["edcba"]}
    wording = Wording(two_of_one, Letters(), [wrong, turned, right])
    assert wording.sentences(["third", "first", "Second"]) == {
        "third": ["edcba"], "first": ["aab", "cc"], "Second": ["de"],
    }  # fmt: skip
    assert Wording(two_of_one, Letters(), [wrong, turned]).sentences(["first"]) == {"first": []}


def test_what_was_found_is_not_embedded_again(two_of_one):
    space = Letters()
    wording = Wording(two_of_one, space, [{"first": ["aab", "cc"], "second": ["de"]}])
    wording.sentences(["first"])
    asked = list(space.asked)
    wording.sentences(["first"])
    assert space.asked == asked == ["aab", "cc"]


def test_rounding_does_not_hide_a_sentence_and_another_sentence_is_not_taken_for_it(two_of_one):
    half = replace(two_of_one, prototypes=two_of_one.prototypes.astype(np.float16).astype(np.float32) * 1.001)
    assert Wording(half, Letters(), [{"third": ["abcde"]}]).sentences(["third"]) == {"third": ["abcde"]}
    long = embeddings_of({"third": ["abcde" * 30], "other": ["a"]})
    near = {"third": ["abcde" * 30 + "aa"]}  # 2 / (30 * sqrt(5)): three hundredths of its length away
    assert Wording(long, Letters(), [near]).sentences(["third"]) == {"third": []}


def test_other_sentences_take_the_place_of_the_classs_own_and_new_classes_come_last(two_of_one):
    wording = Wording(two_of_one, Letters(), [{"first": ["aab", "cc"], "second": ["de"]}])
    other = wording.reworded({"SECOND": ["dd", "e"], "first": ["aab", "cc"], "fourth": ["bb"]})
    assert other.class_names == ["first", "Second", "third", "fourth"]
    expected = {0: ["aab", "cc"], 1: ["dd", "e"], 2: ["abcde"], 3: ["bb"]}
    for index, texts in expected.items():
        rows = other.prototypes[other.prototype_class == index]
        np.testing.assert_array_equal(rows, Letters().sentences(texts))
    assert other.ids == two_of_one.ids and other.modalities is not None
    assert wording.reworded({"first": ["aab", "cc"]}) is two_of_one
    with pytest.raises(InputError, match="at least one sentence"):
        wording.reworded({"fourth": [" "]})
    with pytest.raises(InputError, match="at least one sentence"):
        wording.encode([])


@pytest.mark.parametrize("several", ["nearest", "mean"])
def test_what_several_sentences_were_compared_by_is_told_from_the_scores(two_of_one, several):
    assert several_of(two_of_one, Scores.from_embeddings(two_of_one, several)) == several


def test_a_zero_prototype_does_not_look_like_a_mean():
    embeddings = embeddings_of({"first": ["aab", "xyz"], "second": ["z"]})
    assert several_of(embeddings, Scores.from_embeddings(embeddings)) == "nearest"


# On disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workspace with the shipped sentence vectors, so that no encoder need be loaded."""
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    shutil.copytree(SHIPPED / "cache" / "sentences", tmp_path / "cache" / "sentences")
    return tmp_path


def test_the_demos_sentences_are_those_of_its_run(home):
    item = Scored.open(SHIPPED / "scores" / "demo@demo")
    embeddings = item.embeddings()
    known = json.loads((SHIPPED / "runs" / "demo" / "prototypes.json").read_text())
    wording = wording_of(item, embeddings)
    assert wording.sentences(embeddings.class_names) == known
    name = embeddings.class_names[3]
    np.testing.assert_allclose(wording.encode(known[name]), embeddings.prototypes[3:4], rtol=0.02, atol=0.01)


def test_a_run_without_its_weights_is_named(home):
    item = Scored.open(SHIPPED / "scores" / "demo-colour@demo")
    with pytest.raises(InputError, match="weights of run 'demo-colour' that scored it, and the workspace has them not"):
        wording_of(item, item.embeddings())
    with pytest.raises(InputError, match="runs/demo has them not"):  # another run
        wording_of(item, item.embeddings(), run=SHIPPED / "runs" / "demo")


def scored_in(folder, space, embeddings):
    """A scored data set without a run."""
    folder.mkdir(parents=True)
    embeddings = replace(embeddings, space=space)
    embeddings.save(folder / "embeddings.safetensors")
    Scores.from_embeddings(embeddings).save(folder / "scores.safetensors")
    about = json.loads((SHIPPED / "scores" / "demo@demo" / "about.json").read_text())
    about |= {"run": "", "run_fingerprint": "", "space": space, "dataset": "nowhere"}
    (folder / "about.json").write_text(json.dumps(about))
    return Scored.open(folder)


def test_the_sentence_encoder_of_a_set_without_a_run_is_found_by_what_it_makes(home):
    from cezsar.data.sentence_cache import open_encoder

    known = json.loads((SHIPPED / "runs" / "demo" / "prototypes.json").read_text())
    names = list(known)[:3]
    vectors = open_encoder().encode([known[name][0] for name in names])
    embeddings = Embeddings(names, names, names, {"O": vectors}, vectors, np.arange(3), "sentence")
    item = scored_in(home / "scores" / "objects@nowhere", "sentence", embeddings)
    with pytest.raises(InputError, match="not known"):
        wording_of(item, item.embeddings())
    assert wording_of(item, item.embeddings(), sentences="minilm").sentences(names[:1]) == {names[0]: []}
    save_descriptions(home / "data" / "descriptions" / "mine.json", known)
    found = wording_of(item, item.embeddings())
    assert found.space.name == "sentence" and found.sentences(names) == {name: known[name] for name in names}
    pictures = scored_in(home / "scores" / "clip@nowhere", "image-text", embeddings)
    with pytest.raises(InputError, match="image-text space"):
        wording_of(pictures, pictures.embeddings())
