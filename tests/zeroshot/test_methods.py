"""Methods under their own names, against their definitions in plain loops."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cezsar import encoders
from cezsar.cli import main
from cezsar.data.datasets import Dataset, open_dataset
from cezsar.data.features import FeatureStore, ObjectVocabulary, StoreWriter
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.methods import METHODS, Sources, possible, prepare, shares
from cezsar.zeroshot.protocols import Protocol, parse
from cezsar.zeroshot.scored import found
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import ImageTextSpace, prototypes_of, space_for
from cezsar.zeroshot.workshop import Workshop


class Letters:
    name, dim, fingerprint = "letters", 26, "0" * 64

    def encode(self, sentences):
        return np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in sentences], np.float32)


LABELS, DESCRIBED = {"a1": "aa", "a2": "aa", "b1": "bb", "b2": "bb", "c1": "cc"}, {n * 2: [n * 3] for n in "abc"}
DATA = Dataset("letters", LABELS, DESCRIBED, parts={"test1": ["a1", "b1", "b2"], "test2": ["a2", "c1"]})
CAPTIONS = {"a1": ["a", "ab"], "a2": ["bbbb", "a"], "b1": ["b"], "c1": ["ca", "c", "c"]}


@pytest.fixture
def letters(monkeypatch):
    monkeypatch.setattr("cezsar.zeroshot.spaces.open_encoder", lambda name: Letters())


@pytest.fixture
def store(tmp_path):
    provenance = {"encoder": "timm:some", "fingerprint": "1" * 64, "dim": 4, "fps": 1.0}
    vocabulary = ObjectVocabulary(["apple", "ball", "cab", "dice"], ["a fruit", "", "a car", "cubes"], "2" * 64)
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", provenance, vocabulary=vocabulary) as writer:
        for clip, label in DATA.labels.items():
            p = np.sort(rng.dirichlet(np.ones(4)))[::-1][:3].astype(np.float32)
            writer.add(clip, rng.random((2, 4), np.float32), label, objects=(rng.permutation(4)[:3], p))
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def demo(workspace):
    store = FeatureStore(workspace / "features" / "demo-test")
    return Run.open(workspace / "runs" / "demo"), open_dataset("demo"), store


def unit(row):
    return row / np.linalg.norm(row)


@pytest.mark.parametrize("averaged", [False, True])
def test_captions_alone_need_no_store(letters, averaged):
    ready = prepare("captions", Sources(DATA, DATA.descriptions, captions=CAPTIONS, averaged=averaged))
    assert ready.scores.ids == list(DATA.labels) and ready.scores.modalities == ("C",)
    result = ready.evaluate(parse("all", ready.scores.class_names))
    # a1, b1 and c1 are right, a2 is taken for b, b2 has no caption
    assert result.runs[0].hits[1] == [1, 1, 1] and result.runs[0].undecided == 1
    assert result.method == METHODS["captions"].title and result.modality == "C"
    assert "1 of 5 clips have no caption" in ready.embedded.notes[0] and "b2" in ready.embedded.notes[0]
    with pytest.raises(InputError, match=r"none of the 5 clips of letters has a caption"):
        prepare("captions", Sources(DATA, DATA.descriptions, captions={"other": ["a"]}))


def test_captions_in_the_joint_space_go_through_se(demo):
    run, data, _ = demo
    captions = {clip: [f"a person is {label}"] for clip, label in data.labels.items()}
    ready = prepare("cezsar", Sources(data, data.descriptions, captions=captions), run)
    assert ready.scores.modalities == ("C",) and ready.embedded.embeddings.space == "joint"
    expected = space_for(run).sentences([captions[clip][0] for clip in ready.scores.ids])
    np.testing.assert_allclose(ready.embedded.embeddings.modalities["C"], expected, atol=1e-6)


def by_loops(store, description, clip):
    """sum_y p(y) (s_z . s_y) of unit sentence vectors."""
    indices, probabilities = store.objects(clip)
    total = 0.0
    for index, p in zip(indices, probabilities, strict=True):
        words = f"{store.vocabulary.names[index]} {store.vocabulary.definitions[index]}".strip()
        total += float(p) * float(unit(Letters().encode([description])[0]) @ unit(Letters().encode([words])[0]))
    return total


def right_by_loops(name, store, clip, classes):
    spoken = Letters().encode([" ".join(CAPTIONS.get(clip, []))])[0]
    words = [f"{store.vocabulary.names[i]} {store.vocabulary.definitions[i]}" for i in store.objects(clip)[0]]
    named = Letters().encode([". ".join(words)])[0]
    described = {label: unit(Letters().encode(DATA.descriptions[label])[0]) for label in classes}
    objects = [by_loops(store, DATA.descriptions[label][0], clip) for label in classes]
    captions = [float(described[label] @ spoken) for label in classes]
    scores = {
        "cezsar": [float(described[label] @ (named + spoken)) for label in classes],
        "objects": objects,
        "captions": captions,
        "objects+captions": [0.6 * o / (sum(objects) or 1) + 0.4 * c / (sum(captions) or 1)
                             for o, c in zip(objects, captions, strict=True)],
    }[name]  # fmt: skip
    return any(scores) and classes[int(np.argmax(scores))] == DATA.labels[clip]


@pytest.mark.parametrize("name", ["cezsar", "objects", "objects+captions", "captions"])
@pytest.mark.parametrize("protocol", ["all", "2-of-3", "classes.json", "official"])
def test_every_method_by_every_protocol_is_that_of_plain_loops_and_what_is_kept_tells_the_same(
    name, protocol, letters, store, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    monkeypatch.setattr("cezsar.zeroshot.methods.open_dataset", lambda name: DATA)
    monkeypatch.setattr("cezsar.data.sentence_cache.open_encoder", lambda name: Letters())
    (tmp_path / "classes.json").write_text(json.dumps(["cc", "bb"]))
    results = {clip: [{"sentence": text, "timestamp": [0, 1]} for text in texts] for clip, texts in CAPTIONS.items()}
    (tmp_path / "captions.json").write_text(json.dumps({"results": results}))
    options = {"--dataset": "letters", "--store": str(store.folder), "--captions": "captions.json", "--method": name,
               "--protocol": protocol, "--runs": "3", "--out": "r.json"}  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--keep", *(word for pair in options.items() for word in pair)])
    assert ended.value.code == 0
    printed = load_all(tmp_path / "r.json")[-1]
    splits = Protocol(printed.protocol, [run.classes for run in printed.runs], printed.seed)
    runs, asked = [(sorted(run.classes), list(DATA.labels)) for run in printed.runs], splits
    if protocol == "official":
        asked = {key: DATA.parts[key] for key in ("test1", "test2")}
        runs = [(sorted(DATA.descriptions), clips) for clips in asked.values()]
    assert [sum(run.hits[1]) for run in printed.runs] == [
        sum(right_by_loops(name, store, clip, classes) for clip in clips if DATA.labels[clip] in classes)
        for classes, clips in runs
    ]
    (item,) = found(tmp_path / "scores")
    assert item.method.evaluate(item.scores(), asked, item.weights).runs == printed.runs
    if protocol != "official":
        right = item.method.correctness(item.scores(), splits, item.weights)
        np.testing.assert_allclose(right.accuracy(), [run.top1 for run in printed.runs])
    shop = Workshop(item.embeddings(), item.weights, item.several, form=item.method.form)
    assert protocol != "all" or shop.before.top1 == printed.runs[0].top1


def test_shares_sum_to_one_and_negative_scores_count_as_none():
    columns = {"O": np.array([[3, 1, -5], [-1, -2, -3], [0.5, 0.5, 1]], np.float32)}
    scores = Scores(["x", "y", "z"], ["a", "b", "c"], ["a", "b", "c"], columns)
    every = shares(scores, ["a", "b", "c"])
    np.testing.assert_allclose(every.columns["O"], [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(shares(scores, ["c", "a"]).columns["O"], [[1, 0], [0, 0], [1 / 3, 2 / 3]], rtol=1e-6)


def test_a_run_takes_the_store_of_its_own_encoder(demo, store):
    run, data, own = demo
    assert prepare("cezsar", Sources(data, data.descriptions, [store, own]), run).store is own
    with pytest.raises(MismatchError, match="timm:some"):
        prepare("cezsar", Sources(data, data.descriptions, [store]), run)


def test_objects_are_named_by_one_rule_for_films_and_stores(demo, tmp_path):
    run, data, own = demo
    made = {key: own.provenance[key] for key in ("encoder", "fingerprint", "dim", "fps")}
    others = ObjectVocabulary(["apple", "ball"], ["a fruit", "a toy"], "2" * 64)
    with StoreWriter(tmp_path / "foreign", made, vocabulary=others) as writer:
        for clip in own.ids[:3]:
            writer.add(clip, own.features(clip), own.labels[clip], objects=([1, 0], [0.7, 0.3]))
    foreign = prepare(None, Sources(data, data.descriptions, [FeatureStore(tmp_path / "foreign")]), run)
    with Classifier.of_run(run.folder) as classifier:
        clip = classifier.embed("a film", own.features(own.ids[1]))
    row = foreign.scores.ids.index(own.ids[1])
    np.testing.assert_allclose(foreign.embedded.embeddings.modalities["O"][row], clip.objects_E, atol=1e-6)
    assert foreign.embedded.object_sentences[row].startswith(clip.objects[0][0])


def test_the_frozen_model_compares_mean_frames_with_descriptions(clip_folder, tmp_path):
    name = f"clip:{clip_folder}"
    encoder = encoders.create(name)
    provenance = {"encoder": name, "fingerprint": encoder.fingerprint, "dim": encoder.dim, "fps": 1.0}
    rng = np.random.default_rng(0)
    frames = {clip: rng.normal(size=(3, encoder.dim)).astype(np.float16) for clip in DATA.labels}
    with StoreWriter(tmp_path / "frames", provenance) as writer:
        for clip, label in DATA.labels.items():
            writer.add(clip, frames[clip], label)
    sources = Sources(DATA, DATA.descriptions, [FeatureStore(tmp_path / "frames")])
    assert possible(sources) == ["image-text"]
    ready = prepare("image-text", sources)
    assert ready.modality == "VE" and ready.title == "Frozen image-text model"
    for row, clip in enumerate(ready.scores.ids):
        mean = np.mean([unit(frame.astype(np.float64)) for frame in frames[clip]], axis=0)
        for column, label in enumerate(ready.scores.class_names):
            expected = mean @ unit(encoder.text_vectors(DATA.descriptions[label])[0].astype(np.float64))
            assert ready.scores.matrices["VE"][row, column] == pytest.approx(expected, abs=1e-4)


def test_what_is_there_decides_what_is_possible(store, demo):
    run, everything = demo[0], Sources(DATA, DATA.descriptions, [store], CAPTIONS)
    assert possible(everything) == ["objects", "objects+captions", "captions"]
    assert possible(everything, [run])[0] == "cezsar"
    assert possible(replace(everything, captions=None)) == ["objects"]
    assert possible(replace(everything, stores=[])) == ["captions"]
    assert possible(Sources(DATA, DATA.descriptions), [run]) == []


def test_what_is_lacking_or_unknown_is_named():
    for name in METHODS:
        with pytest.raises(InputError, match=f"method {name.replace('+', '.')} needs"):
            prepare(name, Sources(DATA, DATA.descriptions))
    with pytest.raises(InputError, match="method 'magic' is unknown; there are cezsar, cross-modal"):
        prepare("magic", Sources(DATA, DATA.descriptions))


VECTORS = {
    "a video of surfing": [3, 4], "surfing, seen": [0, 2],  # of length 1: (0.6, 0.8) and (0, 1)
    "a video of yo yo": [5, 0], "yo yo, seen": [0, 7], "surfing": [-1, 0], "A person rides a wave.": [0, -3],
}  # fmt: skip


class Words:
    prompts, trust = ("a video of {}", "{}, seen"), ""

    def text_vectors(self, sentences):
        return np.array([VECTORS[sentence] for sentence in sentences], np.float32)


def test_a_bare_label_is_the_mean_of_its_prompts_unit_vectors():
    described = {"Surfing": ["surfing", "A person rides a wave."], "YoYo": ["yo yo"], "wave": ["surfing"]}
    names, rows, owner = prototypes_of(ImageTextSpace(Words()), described)
    assert (names, owner.tolist()) == (["Surfing", "YoYo", "wave"], [0, 0, 1, 2])
    np.testing.assert_allclose(rows, [[0.3, 0.9], [0, -1], [0.5, 0.5], [-1, 0]], atol=1e-6)  # another's is a sentence
