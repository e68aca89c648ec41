"""Better words for labels: against loops over sentences that are embedded one by one."""

from types import SimpleNamespace

import numpy as np
import pytest

from cezsar.analysis.wording import Wording, further_words, gained_and_lost, patterns
from cezsar.data.datasets import named_descriptions
from cezsar.data.prototype_checks import without
from cezsar.encoders.sentences import load_sentence_encoder
from cezsar.training.runs import Run
from cezsar.workspace import ASSETS
from cezsar.zeroshot.spaces import ImageTextSpace, JointSpace

LABELS = {
    "pouring tea": ["A man fills a cup with tea.", "Hot tea runs into a cup."],
    "pouring beer": ["A man fills a glass with beer, and beer foams."], "sleeping": ["Somebody lies in a bed."],
}  # fmt: skip
OTHER = ["A pot is tilted over a cup.", "A man fills a glass."]


def cosine(a, b):
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def space():
    return JointSpace(Run.open(ASSETS / "demo/runs/demo").load_model(), load_sentence_encoder())


@pytest.fixture(scope="module")
def embed(space):
    """One sentence by itself."""
    return lambda text: space.sentences([text])[0].astype(float)


@pytest.mark.parametrize("tried", [[], OTHER])
def test_neighbours_are_those_of_the_nearest_sentences(space, embed, tried):
    own = tried or LABELS["pouring tea"]
    nearest = {
        other: max(cosine(embed(s), embed(t)) for s in own for t in texts)
        for other, texts in LABELS.items() if other != "pouring tea"
    }  # fmt: skip
    found = Wording(space, LABELS).neighbours("pouring tea", tried)
    assert dict(found) == pytest.approx(nearest, abs=1e-5)
    assert [each.name for each in found] == sorted(nearest, key=nearest.__getitem__, reverse=True)


def test_prototypes_of_zeros_are_near_to_nothing(space):
    rows = np.eye(3, 128, dtype=np.float32)[[0, 1, 0, 2]] * np.float32([[1], [0], [-1], [0]])
    wording = Wording(space, {name: ["x"] for name in "abc"}, (list("abc"), rows, np.array([0, 0, 1, 2])))
    assert wording.neighbours("a") == [("c", 0), ("b", -1)] and dict(wording.neighbours("c")) == {"a": 0, "b": 0}


@pytest.mark.parametrize("tried", [[], OTHER])
def test_a_word_does_what_leaving_it_out_changes(space, embed, tried):
    pairs = [(s, t) for s in tried or LABELS["pouring tea"] for t in LABELS["pouring beer"]]
    s, t = max(pairs, key=lambda pair: cosine(embed(pair[0]), embed(pair[1])))
    found = Wording(space, LABELS).contrast("pouring tea", "pouring beer", tried)
    near = cosine(embed(s), embed(t))
    assert (found.sentence, found.other_sentence) == (s, t) and found.similarity == pytest.approx(near, abs=1e-5)
    for effects, text, against in ((found.words, s, t), (found.other_words, t, s)):
        changes = [change for _, change in effects]
        assert changes == sorted(changes, reverse=True) and len(effects) >= 3
        for word, change in effects:
            assert change == pytest.approx(cosine(embed(without(text, word)), embed(against)) - near, abs=1e-5)
    words = dict(found.other_words)
    assert set(words) == {"man", "fills", "glass", "beer", "foams"}  # beer, said twice, is left out twice
    without_beer = embed("A man fills a glass with, and foams.")
    assert words["beer"] == pytest.approx(cosine(without_beer, embed(s)) - near, abs=1e-5)


def test_what_is_left_of_a_bare_name_goes_into_the_prompts_too():
    rng, seen = np.random.default_rng(0), {}

    class Letters:
        prompts, trust = ("a video of {}.", "{}, a film."), ""

        def text_vectors(self, sentences):
            return np.array([seen.setdefault(text, rng.normal(size=4)) for text in sentences], np.float32)

    labels = {"tea ceremony": ["tea ceremony"], "juggling": ["juggling"]}
    found = Wording(ImageTextSpace(Letters()), labels).contrast("tea ceremony", "juggling")

    def mean(name):
        rows = [seen[prompt.format(name)] for prompt in Letters.prompts]
        return np.mean([row / np.linalg.norm(row) for row in rows], axis=0)

    near = cosine(mean("tea ceremony"), mean("juggling"))
    for word, left in (("tea", "ceremony"), ("ceremony", "tea")):
        expected = cosine(mean(left), mean("juggling")) - near
        assert dict(found.words)[word] == pytest.approx(expected, abs=1e-5)
    assert found.other_words == []  # of one word nothing would be left


def test_patterns_are_the_nearest_published_descriptions():
    """By directions that are drawn: which sentences are alike is the encoder's matter."""
    rng, drawn = np.random.default_rng(3), {}
    encoder = SimpleNamespace(
        encode=lambda texts: np.stack([drawn.setdefault(text, rng.normal(size=8)) for text in texts])
    )
    (own,) = named_descriptions("kinetics400")["making tea"]
    asked, near = ["pouring tea", own], {}
    for dataset in ("ucf101", "hmdb51", "kinetics400"):
        for name, (text,) in named_descriptions(dataset).items():
            near[dataset, name] = max(cosine(*encoder.encode([text, each])) for each in asked)
    assert len(near) == 552 and near.pop(("kinetics400", "making tea")) == pytest.approx(1)  # says nothing new
    found = patterns(asked, encoder, 6)
    best = sorted(near, key=near.__getitem__, reverse=True)[:6]
    assert [each[:2] for each in found] == best
    assert [each.similarity for each in found] == pytest.approx([near[each] for each in best])
    assert all(each.sentences == named_descriptions(each.dataset)[each.name] for each in found)


def test_words_that_only_one_says():
    assert further_words(["A man pours hot tea.", "Tea in a cup"], ["He pours a beer in a bar."]) == [
        "man", "hot", "tea", "cup",
    ]  # fmt: skip


def test_clips_gained_and_lost_by_loops():
    def ranked(*best):
        return [SimpleNamespace(labels=[(name, 0.5)], reasons=("weak",) * weak) for name, weak in best]

    before = ranked(("a", 0), ("b", 0), ("a", 1), ("a", 0), ("a", 0), ("b", 0))
    after = ranked(("a", 0), ("a", 0), ("a", 0), ("a", 1), ("b", 0), ("c", 0))
    assert gained_and_lost("a", before, after) == ([1, 2], [3, 4])
