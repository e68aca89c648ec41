"""`cezsar transfer` on the small demo: labelled clips of some classes, and the others to name."""

import json

import numpy as np
import pytest
import torch

from cezsar.cli import main
from cezsar.data.datasets import Dataset, open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import InputError
from cezsar.training.cross_modal import HeadConfig
from cezsar.training.runs import Run
from cezsar.zeroshot.held_out import Grid
from cezsar.zeroshot.results import load_all
from cezsar.zeroshot.semantic_transfer import Models, clips_of, transferred
from cezsar.zeroshot.transfer import by_text


@pytest.fixture
def sides(workspace, tmp_path):
    """Index files of 12 seen and 9 unseen classes of the demo's test clips, with their descriptions beside them."""
    data = open_dataset("demo")
    names = sorted(set(data.labels.values()))
    files = []
    for side, part in (("seen", names[:12]), ("unseen", names[12:])):
        (tmp_path / side).mkdir()
        files.append(tmp_path / side / "index.json")
        index = {name: [clip for clip, label in data.labels.items() if label == name] for name in part}
        files[-1].write_text(json.dumps(index))
        (tmp_path / side / "descriptions.json").write_text(json.dumps({name: data.descriptions[name] for name in part}))
    return files


def test_the_command_compares_transfer_with_cezsar(workspace, sides, tmp_path, capsys):
    store, out = str(workspace / "features" / "demo-test"), tmp_path / "transfer.json"
    given = ["--seen-dataset", str(sides[0]), "--seen-store", store, "--dataset", str(sides[1]), "--store", store]
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "transfer",
                str(workspace / "runs" / "demo"),
                *given,
                "--protocol",
                "half",
                "--runs",
                "4",
                "--out",
                str(out),
            ]
        )
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    results = load_all(out)
    assert [result.method for result in results] == ["CEZSAR (demo)", "transfer, mean features", "transfer, VE"]
    assert all(len(result.runs) == 4 and len(result.runs[0].classes) == 4 for result in results)
    assert "on held-out seen classes" in printed.out and "95 %" in printed.out
    chosen = json.loads((tmp_path / "transfer-chosen.json").read_text())
    assert set(chosen["best"]["VE"]) == {"k", "temperature", "lam"} and chosen["blend"] is None


def test_heads_join_on_demand_and_cezsar_is_the_run(workspace, sides):
    run, sentences = Run.open(workspace / "runs" / "demo"), open_encoder("minilm")
    store = FeatureStore(workspace / "features" / "demo-test")
    data = [open_dataset(side) for side in sides]
    seen, unseen = (clips_of(one, store, one.descriptions) for one in data)
    config = HeadConfig(store.dim, sentences.dim, d_model=16, ffn=16, epochs=1)
    models = Models(sentences, config, torch.Generator().manual_seed(0))
    grid = Grid(k=(1, 2), temperature=(0.1,), lam=(0.0, 0.5, 1.0))
    found = transferred(run, models, seen, unseen, np.random.default_rng(0), with_head=True, trials=1, grid=grid)
    assert list(found.scores) == [
        "CEZSAR", "cross-modal head", "transfer, mean features", "transfer, VE", "transfer, cross-modal head", "blend",
    ]  # fmt: skip
    assert found.head is not None and found.chosen.weight is not None
    np.testing.assert_array_equal(found.scores["CEZSAR"].columns["VE"], by_text(found.unseen).columns["VE"])
    assert found.unseen.ids == unseen.ids and all(len(scores.ids) == 9 for scores in found.scores.values())


def test_a_class_on_both_sides_does_not_serve(workspace, sides):
    run, sentences = Run.open(workspace / "runs" / "demo"), open_encoder("minilm")
    store, data = FeatureStore(workspace / "features" / "demo-test"), open_dataset("demo")
    whole = clips_of(data, store, data.descriptions)
    one = open_dataset(sides[1])
    models = Models(sentences, HeadConfig(store.dim, sentences.dim), torch.Generator())
    unseen = clips_of(one, store, one.descriptions)
    found = transferred(run, models, whole, unseen, np.random.default_rng(0), trials=1)
    assert {pair.seen for pair in found.dropped} >= set(unseen.names)


def test_clips_that_no_store_has_are_refused(workspace):
    store = FeatureStore(workspace / "features" / "demo-test")
    with pytest.raises(InputError, match="none of the 1 clips of x is in"):
        clips_of(Dataset("x", {"nothing": "a"}, {"a": ["a"]}), store, {"a": ["a"]})
