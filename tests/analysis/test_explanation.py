"""Margins taken apart: against cosines worked out anew in double precision without the engine."""

import numpy as np
import pytest

from cezsar.analysis import explanation as module
from cezsar.analysis.explanation import Part, explain, explain_scores
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.fusion import Weights, parts
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import object_terms

NAMES = ["walking", "running", "waving", "drumming"]
WEIGHTS = Weights(0.5, 0.3, 0.2)
E = 6


def plain_cosines(weights, vectors, prototypes, owner):
    """Cosine of the weighted sum of a clip's vectors and the nearest prototype of each class; 0 without a direction."""
    fused = sum(weights.of(name) * np.asarray(vector, float) for name, vector in vectors.items())
    length = np.linalg.norm(fused) or np.inf
    cosines = [fused @ p / length / np.linalg.norm(p) for p in np.asarray(prototypes, float)]
    return [max(one for one, o in zip(cosines, owner, strict=True) if o == c) for c in range(max(owner) + 1)]


def ranked(cosines):
    return sorted(range(len(cosines)), key=lambda c: -cosines[c])


def test_modalities_sum_to_the_margin():
    rng, owner = np.random.default_rng(0), np.array([2, 0, 1, 3, 0, 2])
    vectors, prototypes = {name: rng.normal(size=(20, E)) for name in ("VE", "O", "C")}, rng.normal(size=(6, E))
    vectors["O"][5] = 0
    ids = [f"clip {n}" for n in range(20)]
    scores = Scores.from_embeddings(Embeddings(ids, [""] * 20, NAMES, vectors, prototypes, owner))
    engine = parts(scores, WEIGHTS)
    for row in range(20):
        cosines = plain_cosines(WEIGHTS, {name: rows[row] for name, rows in vectors.items()}, prototypes, owner)
        best, second, *_, last = ranked(cosines)
        for asked, winner, runner_up in (
            ({}, best, second), ({"winner": NAMES[last].upper()}, last, best),
            ({"winner": NAMES[second], "runner_up": NAMES[last]}, second, last),
        ):  # fmt: skip
            found = explain_scores(scores, WEIGHTS, row, **asked)
            assert found.id == f"clip {row}"
            assert (found.winner, found.runner_up) == (NAMES[winner], NAMES[runner_up])
            assert found.margin == pytest.approx(cosines[winner] - cosines[runner_up], abs=1e-6)
            assert sum(part.change for part in found.modalities) == pytest.approx(found.margin, abs=1e-12)
            assert found.modalities == [
                ("modality", name, pytest.approx(part[row, winner] - part[row, runner_up], abs=1e-6), None)
                for name, part in engine.items()
            ]


LABELS = {"beating a drum": ["to beat a drum", "a drum is hit"], "skipping": ["over a rope"], "waving": ["a flag"]}
CAPTION = "somebody with a rope"


class WordSpace:
    """Sentences are sums of vectors of their words; VE is the peak of a clip's features, which is no sum of seconds."""

    name = "joint"
    limit_s = None

    def __init__(self):
        self.calls = []

    def sentences(self, sentences):
        return np.array([sum(map(word_vector, text.replace(".", "").split())) for text in sentences], np.float32)

    def labels(self, names, sentences):
        return self.sentences(sentences)

    def clips(self, features):
        self.calls.append(len(features))
        return np.stack([np.maximum(clip.max(0), -0.2)[:E] for clip in features]).astype(np.float32)


def word_vector(word):
    return np.random.default_rng(sum(word.encode())).normal(size=E)


def a_classifier(seconds=4, rule="sentence", objects=2):
    rng = np.random.default_rng(0)
    names, definitions = ["drum", "rope", *(f"thing {n}" for n in range(8))], ["to beat", *[""] * 9]
    more = {"head": LinearHead(names, definitions, rng.normal(size=(10, E + 2))), "objects": objects}
    classifier = Classifier(None, WordSpace(), name="", trust="", weights=WEIGHTS, object_rule=rule, **more)
    clip = classifier.embed("a.mp4", rng.normal(size=(seconds, E + 2)).astype(np.float32))
    classifier.space.calls.clear()
    return classifier, clip


def cosines_of(classifier, clip, features_TD, objects):
    space = classifier.space
    vectors = {"C": space.sentences([CAPTION])[0]}
    if len(features_TD):
        vectors["VE"] = space.clips([features_TD])[0]
    if objects:
        vectors["O"] = space.sentences([" ".join(f"{name} {definition}".strip() for name, definition, _ in objects)])[0]
    sentences = [(text, index) for index, texts in enumerate(LABELS.values()) for text in texts]
    prototypes = space.sentences([text for text, _ in sentences])
    return plain_cosines(classifier.weights, vectors, prototypes, [index for _, index in sentences])


@pytest.mark.parametrize(("seconds", "objects"), [(4, 2), (1, 1), (9, 3)])
def test_seconds_and_objects_are_left_out_one_by_one(seconds, objects, monkeypatch):
    monkeypatch.setattr(module, "FLOATS_AT_ONCE", 4 * seconds * (E + 2))
    classifier, clip = a_classifier(seconds, objects=objects)
    found = explain(classifier, clip, LABELS, caption=CAPTION)
    assert classifier.space.calls == {4: [4], 1: [], 9: [4, 4, 1]}[seconds]  # long clips a few at a time
    ranking = classifier.rank(clip, LABELS, caption=CAPTION)
    assert [found.winner, found.runner_up] == [name for name, _ in ranking.labels[:2]]
    assert found.margin == pytest.approx(ranking.margin, abs=1e-6)
    assert {part.name: part.change for part in found.modalities} == {
        name: pytest.approx(values[0] - values[1], abs=1e-6) for name, values in ranking.contributions.items()
    }
    first, second = ([*LABELS].index(name) for name in (found.winner, found.runner_up))
    named, features_TD = clip.objects[:objects], clip.features_TD
    lefts = [("second", str(t), np.delete(features_TD, t, axis=0), named) for t in range(seconds)]
    lefts += [("object", name, features_TD, named[:k] + named[k + 1 :]) for k, (name, *_) in enumerate(named)]
    for part, (kind, name, *left) in zip([*found.seconds, *found.objects], lefts, strict=True):
        without = cosines_of(classifier, clip, *left)
        assert (part.kind, part.name, part.without) == (kind, name, [*LABELS][ranked(without)[0]])
        assert part.change == pytest.approx(found.margin - without[first] + without[second], abs=1e-5)


@pytest.mark.parametrize("rule", ["definitions", "names"])
def test_objects_that_are_summed_are_exact(rule):
    classifier, clip = a_classifier(rule=rule, objects=8)
    found = explain(classifier, clip, LABELS, caption=CAPTION)
    *listed, rest = found.objects
    assert [abs(part.change) for part in listed] == sorted((abs(part.change) for part in listed), reverse=True)
    assert rest.name == "2 others" and {part.without for part in found.objects} == {None}
    (of_objects,) = [part.change for part in found.modalities if part.name == "O"]
    assert sum(part.change for part in found.objects) == pytest.approx(of_objects, abs=1e-6)
    terms = object_terms(classifier.space, classifier.named(clip), rule)
    fused = 0.5 * clip.visual_E + 0.3 * terms.sum(axis=0) + 0.2 * classifier.space.sentences([CAPTION])[0]
    winning, losing = (
        max((p / np.linalg.norm(p) for p in classifier.space.sentences(LABELS[name])), key=fused.dot)
        for name in (found.winner, found.runner_up)
    )
    changes = 0.3 * terms @ (winning - losing) / np.linalg.norm(fused)
    by_name = dict(zip([name for name, *_ in clip.objects[:8]], changes, strict=True))
    assert [part.change for part in listed] == pytest.approx([by_name[part.name] for part in listed], abs=1e-6)
    assert len(found.seconds) == 4 and found.seconds[0].without


def test_what_has_no_weight_is_not_listed_and_not_embedded():
    classifier, clip = a_classifier()
    found = explain(classifier, clip, LABELS, caption=CAPTION, weights=Weights.only("C"))
    assert classifier.space.calls == found.objects == found.seconds == []
    assert [part.name for part in found.modalities] == ["C"]
    lone = explain(*a_classifier(1), LABELS, weights=Weights.only("VE"))  # without its only second nothing decides
    assert lone.seconds == [Part("second", "0", lone.margin, "")] and lone.objects == []
    with pytest.raises(InputError, match="leave nothing"):
        explain(classifier, clip, LABELS, weights=Weights.only("C"))
