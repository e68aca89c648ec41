"""Margins taken apart: against cosines worked out anew in double precision without the engine, and by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cezsar.analysis import explanation as module
from cezsar.analysis.explanation import Evidence, Part, explain, explain_clip, explain_scores
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, cosine, parts, rank
from cezsar.zeroshot.scores import Scores

NAMES = ["walking", "running", "waving", "drumming"]
WEIGHTS = Weights(0.5, 0.3, 0.2)
E = 6


def plain_cosines(weights, vectors, prototypes, owner, n_classes=4):
    """Cosine of the weighted sum of a clip's vectors and the nearest prototype of each class; 0 without a direction."""
    fused = sum(weights.of(name) * np.asarray(vector, float) for name, vector in vectors.items())
    best = []
    for c in range(n_classes):
        found = [np.asarray(p, float) for p, o in zip(prototypes, owner, strict=True) if o == c]
        length = np.linalg.norm(fused)
        best.append(max(fused @ p / length / np.linalg.norm(p) for p in found) if length else 0.0)
    return best


def ranked(cosines):
    return sorted(range(len(cosines)), key=lambda c: -cosines[c])


def random_embeddings(seed=0, clips=40):
    rng = np.random.default_rng(seed)
    rows = {name: rng.normal(size=(clips, E)) for name in ("VE", "O", "C")}
    rows["O"][5] = 0
    owner = np.array([2, 0, 1, 3, 0, 2])
    return Embeddings([f"clip {n}" for n in range(clips)], [""] * clips, NAMES, rows, rng.normal(size=(6, E)), owner)


# From scores ---------------------------------------------------------------------------------------------------------


def test_modalities_sum_to_the_margin():
    embeddings = random_embeddings()
    scores = Scores.from_embeddings(embeddings)
    engine, shown = parts(scores, WEIGHTS), rank(cosine(scores, WEIGHTS), NAMES)
    for row in range(len(scores.ids)):
        found = explain_scores(scores, WEIGHTS, row)
        vectors = {name: rows[row] for name, rows in embeddings.modalities.items()}
        cosines = plain_cosines(WEIGHTS, vectors, embeddings.prototypes, embeddings.prototype_class)
        first, second = ranked(cosines)[:2]
        assert (found.id, found.unit) == (f"clip {row}", "cosine")
        assert (found.winner, found.runner_up) == (NAMES[first], NAMES[second])
        assert [label for label, _ in shown[row].labels[:2]] == [found.winner, found.runner_up]
        assert found.margin == pytest.approx(cosines[first] - cosines[second], abs=1e-6)
        assert sum(part.change for part in found.modalities) == pytest.approx(found.margin, abs=1e-12)
        assert [part.name for part in found.modalities] == ["VE", "O", "C"]
        assert found.objects == found.seconds == []
        for part in found.modalities:
            assert (part.kind, part.how, part.without) == ("modality", "exact", None)
            expected = engine[part.name][row, first] - engine[part.name][row, second]
            assert part.change == pytest.approx(expected, abs=1e-6)


def test_modalities_by_hand():
    rows = {"VE": np.array([[3.0, 0]]), "O": np.array([[0, 4.0]])}
    scores = Scores.from_embeddings(Embeddings(["a"], [""], NAMES[:2], rows, np.eye(2), np.arange(2)))
    found = explain_scores(scores, Weights(1, 1), 0)  # VidE is (3, 4)
    assert (found.winner, found.runner_up) == ("running", "walking")
    assert found.margin == pytest.approx(0.2)
    assert found.modalities == [
        Part("modality", "VE", pytest.approx(-0.6), "exact"),
        Part("modality", "O", pytest.approx(0.8), "exact"),
    ]
    alone = explain_scores(scores, Weights.only("VE"), 0)
    assert (alone.winner, alone.modalities) == ("walking", [Part("modality", "VE", 1.0, "exact")])


def test_the_labels_may_be_chosen():
    scores = Scores.from_embeddings(random_embeddings())
    whole = cosine(scores, WEIGHTS)
    for row in range(10):
        best, second, *_, last = np.argsort(-whole[row])
        found = explain_scores(scores, WEIGHTS, row, winner=NAMES[last].upper())
        assert (found.winner, found.runner_up) == (NAMES[last], NAMES[best])
        assert found.margin == pytest.approx(whole[row, last] - whole[row, best], abs=1e-6) and found.margin < 0
        found = explain_scores(scores, WEIGHTS, row, runner_up=NAMES[best])
        assert (found.winner, found.runner_up) == (NAMES[second], NAMES[best])
        found = explain_scores(scores, WEIGHTS, row, winner=NAMES[second], runner_up=NAMES[last])
        assert (found.winner, found.runner_up) == (NAMES[second], NAMES[last])
        among = [NAMES[last], NAMES[second]]
        found = explain_scores(scores, WEIGHTS, row, classes=among)
        assert [found.winner, found.runner_up] == [NAMES[second], NAMES[last]]


def test_scores_without_lengths_have_inner_products():
    scores = Scores(["a", "b"], ["", ""], NAMES[:3], {"VE": np.array([[1, 5, 2], [4, 4, 1.0]])})
    found = explain_scores(scores, Weights(0.5, 0.5), 0)
    assert (found.unit, found.winner, found.runner_up, found.margin) == ("inner product", "running", "waving", 1.5)
    tied = explain_scores(scores, Weights(), 1)  # of equal scores the first class wins
    assert (tied.winner, tied.runner_up, tied.margin) == ("walking", "running", 0)


def test_a_clip_that_says_nothing():
    scores = Scores(["a", "b"], ["", ""], NAMES[:3], {"VE": np.array([[0, 0, 0], [0, 2, 0.0]])})
    with pytest.raises(InputError, match="all scores of clip 'a' are 0"):
        explain_scores(scores, Weights(), 0)
    asked = explain_scores(scores, Weights(), 0, winner="waving", runner_up="walking")
    assert asked.margin == 0 and asked.modalities == [Part("modality", "VE", 0.0, "exact")]
    beside_zeros = explain_scores(scores, Weights(), 1)
    assert (beside_zeros.winner, beside_zeros.runner_up) == ("running", "walking")


def test_what_cannot_be_explained_is_refused():
    scores = Scores.from_embeddings(random_embeddings())
    for choice in ({"classes": ["walking"]}, {"winner": "walking", "runner_up": "Walking"}):
        with pytest.raises(InputError, match="two labels"):
            explain_scores(scores, WEIGHTS, 0, **choice)
    with pytest.raises(InputError, match="none of the 2 classes"):
        explain_scores(scores, WEIGHTS, 0, classes=NAMES[:2], winner="waving")


# From a clip ---------------------------------------------------------------------------------------------------------


def peaks(clips):
    """A VE that is no sum over seconds."""
    return np.stack([np.maximum(clip.max(0), -0.2)[:E] for clip in clips]).astype(np.float32)


def a_clip(seconds=5, seed=0, **objects):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(seconds, E + 2)).astype(np.float32)
    caption = rng.normal(size=E).astype(np.float32)
    prototypes, owner = rng.normal(size=(6, E)).astype(np.float32), np.array([0, 1, 1, 2, 3, 0])
    return Evidence("a", features, peaks, caption_E=caption, **objects), prototypes, owner


def some_objects(k=3, seed=7):
    """Vectors of the sentences about every subset of objects."""
    table = np.random.default_rng(seed).normal(size=(2**k, E)).astype(np.float32)
    table[0] = 0

    def embed(subsets):
        return table[[sum(1 << index for index in subset) for subset in subsets]]

    return {"objects": [f"object {index}" for index in range(k)], "sentence": embed}


def test_seconds_and_objects_are_left_out_one_by_one():
    evidence, prototypes, owner = a_clip(**some_objects())
    found = explain_clip(evidence, NAMES, prototypes, owner, WEIGHTS)
    features, embed = evidence.features_TD, evidence.sentence

    def cosines(seconds=range(5), objects=range(3)):
        vectors = {"VE": peaks([features[list(seconds)]])[0], "O": embed([list(objects)])[0], "C": evidence.caption_E}
        return plain_cosines(WEIGHTS, vectors, prototypes, owner)

    whole = cosines()
    first, second = ranked(whole)[:2]
    assert (found.winner, found.runner_up) == (NAMES[first], NAMES[second])
    assert found.margin == pytest.approx(whole[first] - whole[second], abs=1e-6)
    assert sum(part.change for part in found.modalities) == pytest.approx(found.margin, abs=1e-12)
    assert [part.name for part in found.seconds] == list("01234")
    assert [part.name for part in found.objects] == ["object 0", "object 1", "object 2"]
    for kind, told, left in (
        ("second", found.seconds, [cosines(seconds=[s for s in range(5) if s != t]) for t in range(5)]),
        ("object", found.objects, [cosines(objects=[o for o in range(3) if o != k]) for k in range(3)]),
    ):
        for part, without in zip(told, left, strict=True):
            assert (part.kind, part.how, part.without) == (kind, "leave-one-out", NAMES[ranked(without)[0]])
            expected = found.margin - (without[first] - without[second])
            assert part.change == pytest.approx(expected, abs=1e-6)
    assert any(abs(part.change) > 0.01 for part in found.seconds)


def test_weighted_objects_are_exact():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(20, E))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4] = 0
    probabilities = rng.dirichlet(np.ones(20)).astype(np.float32)
    terms = probabilities[:, None] * vectors
    evidence, prototypes, owner = a_clip(objects=[f"object {k}" for k in range(20)], terms_KE=terms)
    found = explain_clip(evidence, NAMES, prototypes, owner, WEIGHTS)
    visual = peaks([evidence.features_TD])[0]
    summed = np.zeros(E)
    for p, vector in zip(probabilities, vectors, strict=True):
        summed += float(p) * vector
    fused = 0.5 * visual + 0.3 * summed + 0.2 * evidence.caption_E
    winning, losing = (
        max((p / np.linalg.norm(p) for p, o in zip(prototypes, owner, strict=True) if NAMES[o] == name), key=fused.dot)
        for name in (found.winner, found.runner_up)
    )
    for k, part in enumerate(found.objects):
        expected = 0.3 * float(probabilities[k]) * vectors[k] @ (winning - losing) / np.linalg.norm(fused)
        assert part == Part("object", f"object {k}", pytest.approx(expected, abs=1e-7), "exact")
    (of_objects,) = [part.change for part in found.modalities if part.name == "O"]
    assert sum(part.change for part in found.objects) == pytest.approx(of_objects, abs=1e-6)
    assert len(found.seconds) == 5 and found.seconds[0].how == "leave-one-out"


def test_one_second_and_one_object_leave_the_others_to_decide():
    evidence, prototypes, owner = a_clip(seconds=1, **some_objects(1))
    found = explain_clip(evidence, NAMES, prototypes, owner, WEIGHTS)
    visual, named, caption = peaks([evidence.features_TD])[0], evidence.sentence([[0]])[0], evidence.caption_E
    pair = [NAMES.index(found.winner), NAMES.index(found.runner_up)]
    (second,), (thing,) = found.seconds, found.objects
    for part, vectors in ((second, {"O": named, "C": caption}), (thing, {"VE": visual, "C": caption})):
        without = plain_cosines(WEIGHTS, vectors, prototypes, owner)
        assert part.change == pytest.approx(found.margin - without[pair[0]] + without[pair[1]], abs=1e-6)
        assert part.without == NAMES[ranked(without)[0]]
    alone = Evidence("a", evidence.features_TD, peaks)
    (second,) = explain_clip(alone, NAMES, prototypes, owner, WEIGHTS).seconds
    assert second.without == "" and second.change == explain_clip(alone, NAMES, prototypes, owner, WEIGHTS).margin


def test_what_has_no_weight_is_not_told_and_not_embedded():
    calls = []

    def counted(clips):
        calls.append(len(clips))
        return peaks(clips)

    evidence, prototypes, owner = a_clip(**some_objects())
    evidence = replace(evidence, visual=counted)
    found = explain_clip(evidence, NAMES, prototypes, owner, Weights.only("C"))
    assert calls == [1] and [part.name for part in found.modalities] == ["C"]
    assert found.objects == found.seconds == []
    only_objects = explain_clip(evidence, NAMES, prototypes, owner, Weights.only("O"))
    assert len(only_objects.objects) == 3 and only_objects.seconds == []
    without_space = replace(evidence, visual=lambda clips: None, caption_E=None)
    told = explain_clip(without_space, NAMES, prototypes, owner, WEIGHTS)
    assert [part.name for part in told.modalities] == ["O"] and told.seconds == []


def test_long_clips_are_embedded_a_few_at_a_time(monkeypatch):
    evidence, prototypes, owner = a_clip(seconds=9)
    whole = explain_clip(evidence, NAMES, prototypes, owner, WEIGHTS)
    sizes = []

    def counted(clips):
        sizes.append(len(clips))
        return peaks(clips)

    monkeypatch.setattr(module, "FLOATS_AT_ONCE", 4 * evidence.features_TD.size)
    evidence = replace(evidence, visual=counted)
    assert explain_clip(evidence, NAMES, prototypes, owner, WEIGHTS) == whole
    assert sizes == [1, 4, 4, 1]


def test_evidence_that_does_not_fit_is_refused():
    evidence, prototypes, owner = a_clip()
    for broken, message in [
        (Evidence("a"), "no modality is left"),
        (Evidence("a", caption_E=np.full(E, np.nan)), "the C embedding of clip 'a' is not finite"),
    ]:
        with pytest.raises(InputError, match=message):
            explain_clip(broken, NAMES, prototypes, owner, WEIGHTS)
    with pytest.raises(InputError, match="leave nothing"):
        explain_clip(Evidence("a", evidence.features_TD, peaks), NAMES, prototypes, owner, Weights.only("C"))


# Of a classifier -----------------------------------------------------------------------------------------------------


class WordSpace:
    """Sentences are sums of vectors of their words; clips are peaks."""

    name = "joint"
    limit_s = None

    def sentences(self, sentences):
        return np.array(
            [
                sum(np.random.default_rng(sum(word.encode())).normal(size=E) for word in text.replace(".", "").split())
                for text in sentences
            ],
            np.float32,
        )

    def labels(self, names, sentences):
        return self.sentences(sentences)

    def clips(self, features):
        return peaks(features)


def test_of_a_classifier():
    rng = np.random.default_rng(0)
    head = LinearHead(
        ["drum", "rope", "flag", "box"], ["to beat", "", "to wave", "of wood"], rng.normal(size=(4, E + 2))
    )
    space = WordSpace()
    classifier = Classifier(None, space, name="toy", trust="", weights=WEIGHTS, head=head, objects=2)
    clip = classifier.embed("a.mp4", rng.normal(size=(4, E + 2)).astype(np.float32))
    labels = {"beating a drum": ["to beat a drum", "a drum is hit"], "skipping": ["over a rope"], "waving": ["a flag"]}
    caption = "somebody with a rope"
    found = explain(classifier, clip, labels, caption=caption)
    ranking = classifier.rank(clip, labels, caption=caption)
    assert [found.winner, found.runner_up] == [name for name, _ in ranking.labels[:2]]
    assert found.margin == pytest.approx(ranking.margin, abs=1e-6)
    assert {part.name: part.change for part in found.modalities} == {
        name: pytest.approx(values[0] - values[1], abs=1e-6) for name, values in ranking.contributions.items()
    }
    assert [part.name for part in found.objects] == [name for name, _, _ in clip.objects[:2]]
    assert [part.name for part in found.seconds] == list("0123")
    for k, part in enumerate(found.objects):
        kept = clip.objects[1 - k]
        vectors = {
            "VE": clip.visual_E,
            "O": space.sentences([f"{kept[0]} {kept[1]}".strip()])[0],
            "C": space.sentences([caption])[0],
        }
        sentences = [(text, index) for index, texts in enumerate(labels.values()) for text in texts]
        prototypes, owner = space.sentences([text for text, _ in sentences]), [index for _, index in sentences]
        without = plain_cosines(WEIGHTS, vectors, prototypes, owner, 3)
        pair = [list(labels).index(name) for name in (found.winner, found.runner_up)]
        assert part.change == pytest.approx(found.margin - without[pair[0]] + without[pair[1]], abs=1e-5)
    by_hand = explain(classifier, clip, ["a drum", "a rope"], weights=Weights.only("VE"), winner="a rope")
    assert (by_hand.winner, by_hand.runner_up, by_hand.objects) == ("a rope", "a drum", [])
