"""`cezsar import-release`: the authors' files, as a user would type it."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from cezsar.cli import import_release
from cezsar.data.features import FeatureStore
from cezsar.training.runs import Run

VERBS = ["features", "checkpoint", "descriptions", "splits", "captions"]


def save_checkpoint(path):
    """As the authors saved theirs: a whole module, of classes of a module named `model`."""
    place = types.ModuleType("model")

    def part(kind, **children):
        if not hasattr(place, kind):
            setattr(place, kind, type(kind, (nn.Module,), {"__module__": "model"}))
        made = getattr(place, kind)()
        for name, child in children.items():
            setattr(made, name, child)
        return made

    visual = part(
        "VisualEmbedding",
        visual_dim_reducing=nn.Linear(6, 8),
        transf_encoder=nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False),
        video_joint_embedding=nn.Linear(8, 4),
    )
    sentence = part("SentenceEmbedding", sentence_joint_embedding=nn.Linear(384, 4))
    norms = {"norm_vid": nn.LayerNorm(4), "norm_sent": nn.LayerNorm(4)}
    module = part("JointEmbeddingModel", visual_embedding=visual, sentence_embedding=sentence, **norms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "model", place)
        torch.save(module, path)


@pytest.fixture
def release(cezsar, home, tmp_path, monkeypatch):
    """Run `cezsar import-release` in an empty folder with an empty workspace."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: cezsar("import-release", *arguments)


def test_every_verb_explains_itself(release):
    assert [command.callback.__name__ for command in import_release.verbs.registered_commands] == VERBS
    assert all(f"{verb} " in release("--help")[1] for verb in VERBS)
    for verb in VERBS:
        status, out, _ = release(verb, "-h")
        assert status == 0 and f"Example: cezsar import-release {verb}" in out


def test_from_the_released_files_to_a_table(release, cezsar, tmp_path):
    """checkpoint, features, descriptions, splits and captions, then `cezsar evaluate` with all of them."""
    save_checkpoint(tmp_path / "bestmodel.pt")
    checkpoint = ["checkpoint", tmp_path / "bestmodel.pt", "--out", tmp_path / "run", "--sentences", "minilm"]
    status, out, _ = release(*checkpoint)
    assert status == 0 and "released recipe, 6 -> 8 -> 4, 1 layer, 2 heads" in out and "recorded by name" in out
    assert Run.open(tmp_path / "run").config.model.recipe == "released"
    status, _, err = release(*checkpoint)
    assert status == 2 and "there already" in err

    rng, classes = np.random.default_rng(0), ("Apply Lipstick", "Biking", "Tai Chi")
    for folder in ("npy", "texts", "splits"):
        (tmp_path / folder).mkdir()
    index = {name.replace(" ", "").lower(): [f"v_{name[:3]}_{number}" for number in range(5)] for name in classes}
    for id in (id for ids in index.values() for id in ids):
        np.save(tmp_path / "npy" / f"{id}.npy", rng.normal(size=(20, 6)).astype(np.float32))
    (tmp_path / "index.json").write_text(json.dumps(index))
    for name in classes:
        (tmp_path / "texts" / f"{name.lower().replace(' ', '_')}.txt").write_text(f"{name}: a person does it.")
    (tmp_path / "splits/two.json").write_text(json.dumps({"training": ["Biking"], "testing": ["biking", "Tai Chi"]}))
    results = {id: [{"sentence": "A person moves.", "timestamp": [0, 1]}] for ids in index.values() for id in ids}
    (tmp_path / "captions.json").write_text(json.dumps({"results": results}))

    features = ["features", tmp_path / "npy", "--out", tmp_path / "store", "--width", 6]
    status, out, err = release(*features, "--index", tmp_path / "index.json")
    assert status == 0 and "15 videos imported, 0 were there already, 0 failed" in out and "15 of 15" in err
    assert FeatureStore(tmp_path / "store").labels["v_Tai_0"] == "taichi"
    status, out, _ = release("descriptions", tmp_path / "texts", "--out", tmp_path / "d.json")
    assert status == 0 and "3 classes, 3 sentences" in out
    status, out, _ = release("splits", tmp_path / "splits", "--out", tmp_path / "out")
    assert status == 0 and "1 training, 2 testing" in out and "in both, so not unseen: biking" in out
    status, out, _ = release("captions", tmp_path / "captions.json", "--out", tmp_path / "c.json")
    assert status == 0 and "15 captions of 15 videos, from 1 files" in out

    given = {"dataset": "index.json", "store": "store", "run": "run", "prototypes": "d.json", "captions": "c.json"}
    given |= {"protocol": "out/two.json"}
    status, out, _ = cezsar("evaluate", *(part for name, file in given.items() for part in (f"--{name}", file)))
    assert status == 0 and "VE" in out and "C " in out and "two" in out


def test_broken_files_end_with_status_1_and_are_listed(release, tmp_path):
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy/good.npy", np.ones((2, 6), np.float32))
    for number in range(12):
        (tmp_path / f"npy/bad{number:02}.npy").write_text("no array")
    status, out, _ = release("features", tmp_path / "npy", "--out", tmp_path / "store", "--width", 6)
    assert status == 1 and "1 videos imported" in out and "bad00.npy: it is no usable" in out and "and 2 more" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features", "none", "--out", "s"], "none is no folder"),
        (["checkpoint", "none.pt", "--out", "r"], "no file none.pt"),
        (["checkpoint", "notes.txt", "--out", "r"], "notes.txt is no module that torch.save wrote"),
        (["descriptions", "none", "--out", "d.json"], "none is no folder"),
        (["splits", "none.json", "--out", "s"], "none.json cannot be read"),
        (["captions", "notes.txt", "--out", "c.json"], "not valid JSON"),
    ],
)
def test_a_mistake_ends_with_status_2_and_one_line(release, tmp_path, arguments, message):
    (tmp_path / "notes.txt").write_text("what is this")
    status, _, err = release(*arguments)
    lines = [line for line in err.splitlines() if line.startswith("cezsar: ")]
    assert status == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in err
