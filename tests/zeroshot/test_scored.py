"""A scored data set on disk says what the engine says, and keeps the sentences it was scored with."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from cezsar.data.datasets import file_name, open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import FormatError, InputError
from cezsar.training.runs import Run
from cezsar.zeroshot import scored
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.scored import Scored, reworded
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import Space

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "demo"


@pytest.fixture(scope="module")
def made(small_demo):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEZSAR_HOME", str(small_demo[0]))
        data, store = open_dataset("demo"), FeatureStore(small_demo[0] / "features" / "demo-test")
        run = Run.open(small_demo[0] / "runs" / "demo")
        return prepare("cezsar", Sources(data, data.descriptions, [store]), run), data, open_encoder("minilm")


@pytest.fixture(scope="module")
def item(made, tmp_path_factory):
    return kept(made, tmp_path_factory.mktemp("kept") / "one")


def kept(made, folder, **options):
    ready, data, encoder = made
    options = {"dataset": "demo", "paths": data.paths} | options
    return scored.keep(folder, ready, encoder, data.descriptions, **options)


def test_what_is_kept_is_what_was_scored(made, item, tmp_path, workspace):
    assert [each.name for each in scored.found(workspace / "scores")] == ["demo-colour@demo", "demo@demo"]
    again, (ready, data, _) = Scored.open(item.folder), made
    assert again.about == item.about and again.fingerprint == item.fingerprint
    np.testing.assert_equal(again.scores().columns, ready.scores.columns)
    np.testing.assert_array_equal(again.embeddings().prototypes, ready.embedded.embeddings.prototypes)
    assert (again.about["clips"], again.about["classes"], again.about["modalities"]) == (21, 21, ["VE", "O"])
    assert again.weights.alpha == ready.run.config.fusion["alpha"]
    assert again.descriptions() == {name: data.descriptions[name] for name in ready.scores.class_names}
    assert item.paths() == {name: str(path) for name, path in data.paths.items()}
    assert kept(made, tmp_path / "two", paths=None).paths() == {}


def test_the_sentences_are_those_it_was_scored_with(made, tmp_path):
    """Not those that its run has by now, or had."""
    ready, data, encoder = made
    other = {name: ["somebody moves", f"it is {name}"] for name in data.descriptions}
    again = prepare(None, Sources(data, other, [ready.store], several="mean"), ready.run)
    item = scored.keep(tmp_path / "one", again, encoder, other, dataset="demo", several="mean")
    own = json.loads((ready.run.folder / "prototypes.json").read_text())
    assert item.descriptions() == {name: other[name] for name in ready.scores.class_names} != own
    assert item.several == "mean" and item.by == "demo"


def test_the_fingerprint_is_of_the_content(item, tmp_path):
    for name in ("moved", "changed"):
        shutil.copytree(item.folder, tmp_path / name)
    scores = item.scores()
    scores.columns["VE"][3, 1] += 1
    scores.save(tmp_path / "changed" / "scores.safetensors")
    assert Scored.open(tmp_path / "changed").fingerprint != item.fingerprint  # about.json is what it was
    assert Scored.open(tmp_path / "moved").fingerprint == item.fingerprint


def test_data_sets_of_one_stem_do_not_collide(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = ["kitchen.v1", "kitchen.v2", "a/test", "b/test", "a set: of/clips"]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
    names = [*places, "demo", "ucf101", "ucf101:test1", ".."]
    folders = [scored.folder_for(made[0].run, name, tmp_path).name for name in names]
    assert len(set(folders)) == len(folders)
    assert folders[0].startswith("demo@kitchen.v1-") and folders[5:7] == ["demo@demo", "demo@ucf101"]
    assert file_name("a/test") == file_name(str(tmp_path / "a" / "test"))
    assert scored.folder_for(None, "..", tmp_path).parent == tmp_path / "scores"


def test_clouds_are_the_three_spaces(made, item):
    ready, data, encoder = made
    (rows, clouds), ids = item.clouds(), ready.scores.ids
    np.testing.assert_array_equal(rows, np.arange(len(ids)))
    assert list(clouds) == ["raw", "sentence", "joint"] and len(clouds["raw"].prototypes_PE) == 0
    means = np.stack([ready.store.features(name).mean(0) for name in ids])
    described = encoder.encode([data.descriptions[name][0] for name in ready.scores.class_names])
    np.testing.assert_allclose(cosine_similarity(clouds["raw"].videos_NE), cosine_similarity(means), atol=2e-3)
    np.testing.assert_allclose(clouds["sentence"].videos_NE, encoder.encode(ready.embedded.object_sentences), atol=1e-3)
    np.testing.assert_allclose(clouds["sentence"].prototypes_PE, described, atol=1e-3)
    visual = ready.embedded.embeddings.modalities["VE"]
    np.testing.assert_allclose(clouds["joint"].videos_NE, visual, rtol=2e-3, atol=1e-3)


def test_half_precision_agrees_with_itself_and_a_large_set_is_sampled(made, tmp_path, monkeypatch):
    monkeypatch.setattr(scored, "MOST", 5)
    item = kept(made, tmp_path / "one", half=True)
    np.testing.assert_equal(item.scores().columns, Scores.from_embeddings(item.embeddings()).columns)
    rows, clouds = item.clouds()
    assert len(rows) == 5 == len(clouds["joint"].videos_NE) and (np.diff(rows) > 0).all()


def test_an_interrupted_or_foreign_folder_is_refused(item, tmp_path):
    shutil.copytree(item.folder, tmp_path / "one")
    about = tmp_path / "one" / "about.json"
    for content in (json.dumps(item.about | {"version": 99}), None):
        about.write_text(content) if content else about.unlink()  # it is written last
        with pytest.raises(FormatError, match=r"scored.* make it with `cezsar evaluate --keep`"):
            Scored.open(tmp_path / "one")
        assert scored.found(tmp_path) == []


class Letters(Space):
    name = "joint"

    def sentences(self, sentences):
        return np.array([[text.count(letter) for letter in "abcde"] for text in sentences], np.float32)


def test_other_sentences_take_the_place_of_the_classs_own_and_new_classes_come_last():
    known = {"first": ["aab", "cc"], "Second": ["de"], "third": ["abcde"]}
    texts = [text for given in known.values() for text in given]
    space, names = Letters(), list(known)
    embeddings = Embeddings(names, names, names, {"VE": np.eye(3, 5)}, space.sentences(texts), np.array([0, 0, 1, 2]))
    other = reworded(embeddings, space, known, {"SECOND": ["dd", "e"], "first": ["aab", "cc"], "fourth": ["bb"]})
    assert other.class_names == ["first", "Second", "third", "fourth"] and other.ids == embeddings.ids
    for index, expected in {0: ["aab", "cc"], 1: ["dd", "e"], 2: ["abcde"], 3: ["bb"]}.items():
        rows = other.prototypes[other.prototype_class == index]
        np.testing.assert_array_equal(rows, space.sentences(expected))
    assert reworded(embeddings, space, known, {"First": ["aab", "cc"]}) is embeddings


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workspace with the shipped sentence vectors, so that no encoder need be loaded."""
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    shutil.copytree(SHIPPED / "cache" / "sentences", tmp_path / "cache" / "sentences")
    return tmp_path


def test_sentences_join_the_space_of_the_run_that_scored_them_and_one_without_its_weights_is_named(home):
    item = Scored.open(SHIPPED / "scores" / "demo@demo")
    embeddings, known = item.embeddings(), item.descriptions()
    assert known == json.loads((SHIPPED / "runs" / "demo" / "prototypes.json").read_text())
    found = item.space().sentences(known[embeddings.class_names[3]])
    np.testing.assert_allclose(found, embeddings.prototypes[3:4], rtol=0.02, atol=0.01)
    item = Scored.open(SHIPPED / "scores" / "demo-colour@demo")
    with pytest.raises(InputError, match="weights of run 'demo-colour' that scored it, and the workspace has them not"):
        item.space()
    with pytest.raises(InputError, match="runs/demo has them not"):  # another run
        item.space(run=SHIPPED / "runs" / "demo")


def test_without_a_run_the_encoder_that_was_kept_embeds(home, made):
    ready, data, encoder = made
    sources = Sources(data, data.descriptions, [ready.store])
    item = scored.keep(home / "objects", prepare("cezsar", sources), encoder, data.descriptions, dataset="demo")
    assert list(item.clouds()[1]) == ["raw", "sentence"] and item.about["run"] == "" and item.weights.alpha == 0
    np.testing.assert_array_equal(item.space().sentences(["a word"]), encoder.encode(["a word"]))
    older = Scored(item.folder, {key: value for key, value in item.about.items() if key != "sentence_encoder"})
    with pytest.raises(InputError, match="is not known; name it"):
        older.space()
    assert older.space(sentences="minilm").name == "sentence"
    with pytest.raises(InputError, match="image-text space"):
        Scored(item.folder, item.about | {"space": "image-text"}).space()
