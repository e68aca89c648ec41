"""A scored data set on disk says what the engine says."""

import json

import numpy as np
import pytest

from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import FormatError
from cezsar.training.runs import Run
from cezsar.zeroshot import scored
from cezsar.zeroshot.embed import embed_dataset
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import JointSpace, SentenceSpace


@pytest.fixture
def parts(workspace):
    """The small demo's run, test store, data set and sentence encoder."""
    from cezsar.data.datasets import open_dataset

    run = Run.open(workspace / "runs" / "demo")
    return run, FeatureStore(workspace / "features" / "demo-test"), open_dataset("demo"), open_encoder("minilm")


def kept(parts, folder, space=None, **options):
    run, store, dataset, encoder = parts
    space = space or JointSpace.of_run(run, encoder)
    embedded = embed_dataset(space, store, dataset, dataset.descriptions, run=run)
    options = {"dataset": "demo", "run": run, "paths": dataset.paths} | options
    return embedded, scored.keep(folder, embedded, store, encoder, dataset.descriptions, **options)


def test_the_demo_keeps_its_scores(workspace):
    names = [item.name for item in scored.found(workspace / "scores")]
    assert names == ["demo-colour@demo", "demo@demo"]


def test_what_is_kept_is_what_was_scored(parts, tmp_path):
    embedded, item = kept(parts, tmp_path / "one")
    again = Scored.open(tmp_path / "one")
    assert again.about == item.about and again.fingerprint == item.fingerprint
    expected = Scores.from_embeddings(embedded.embeddings)
    for name, matrix in expected.columns.items():
        np.testing.assert_array_equal(again.scores().columns[name], matrix)
    np.testing.assert_array_equal(again.embeddings().prototypes, embedded.embeddings.prototypes)
    assert again.about["clips"] == 21 and again.about["classes"] == 21
    assert again.about["modalities"] == ["VE", "O"]
    assert again.weights.alpha == parts[0].config.fusion["alpha"]


def test_clouds_are_the_three_spaces(parts, tmp_path):
    _, store, dataset, encoder = parts
    embedded, item = kept(parts, tmp_path / "one")
    rows, clouds = item.clouds()
    ids = embedded.embeddings.ids
    np.testing.assert_array_equal(rows, np.arange(len(ids)))
    assert list(clouds) == ["raw", "sentence", "joint"]
    means = np.stack([store.features(name).mean(0) for name in ids])
    np.testing.assert_allclose(cosines(clouds["raw"].videos_NE), cosines(means), atol=2e-3)
    assert len(clouds["raw"].prototypes_PE) == 0
    spoken = encoder.encode(embedded.object_sentences)
    np.testing.assert_allclose(clouds["sentence"].videos_NE, spoken, atol=1e-3)
    described = encoder.encode([dataset.descriptions[name][0] for name in embedded.embeddings.class_names])
    np.testing.assert_allclose(clouds["sentence"].prototypes_PE, described, atol=1e-3)
    np.testing.assert_allclose(clouds["joint"].videos_NE, embedded.embeddings.modalities["VE"], rtol=2e-3, atol=1e-3)


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_half_precision_agrees_with_itself(parts, tmp_path):
    _, item = kept(parts, tmp_path / "one", half=True)
    expected = Scores.from_embeddings(item.embeddings())
    for name, matrix in expected.columns.items():
        np.testing.assert_array_equal(item.scores().columns[name], matrix)


def test_paths_are_those_of_the_clips(parts, tmp_path):
    _, item = kept(parts, tmp_path / "one")
    assert item.paths() == {name: str(path) for name, path in parts[2].paths.items()}
    _, item = kept(parts, tmp_path / "two", paths=None)
    assert item.paths() == {}


def test_without_a_run_there_is_no_joint_space(parts, tmp_path):
    _, store, dataset, encoder = parts
    space = SentenceSpace(encoder)
    embedded = embed_dataset(space, store, dataset, dataset.descriptions)
    item = scored.keep(tmp_path / "one", embedded, store, encoder, dataset.descriptions, dataset="demo")
    assert list(item.clouds()[1]) == ["raw", "sentence"]
    assert item.about["run"] == "" and item.weights.alpha == 0


def test_a_large_set_is_sampled(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(scored, "MOST", 5)
    _, item = kept(parts, tmp_path / "one")
    rows, clouds = item.clouds()
    assert len(rows) == 5 and (np.diff(rows) > 0).all()
    assert {len(cloud.videos_NE) for cloud in clouds.values()} == {5}


def test_an_interrupted_or_foreign_folder_is_refused(parts, tmp_path):
    _, item = kept(parts, tmp_path / "one")
    about = json.loads((item.folder / "about.json").read_text())
    (item.folder / "about.json").unlink()  # it is written last
    with pytest.raises(FormatError, match="holds no scored data set"):
        Scored.open(item.folder)
    (item.folder / "about.json").write_text(json.dumps(about | {"version": 99}))
    with pytest.raises(FormatError, match="of version"):
        Scored.open(item.folder)
    assert scored.found(tmp_path) == []


def test_folder_names_are_safe(parts, tmp_path):
    folder = scored.folder_for(parts[0], "/data/a set: of/clips.csv", tmp_path)
    assert folder == tmp_path / "scores" / "demo@clips"
    assert scored.folder_for(None, "..", tmp_path).parent == tmp_path / "scores"
