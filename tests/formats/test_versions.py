"""Files of version 1, as they were in November 2026, are read by every later version, to the same figures; files of a
newer version are refused in one clear line.

`version-1` holds 24 training videos of made-up numbers, 32 clips of 8 actions, and what `cezsar mine`, `train`,
`evaluate --keep`, `calibrate` and `tau-sweep` made of them. It is never made again.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cezsar import jobs
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import SentenceCache, open_encoder
from cezsar.encoders.objects import LinearHead
from cezsar.errors import FormatError
from cezsar.sweep import Sweep
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.evaluation import Result, evaluate, load_all
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.protocols import parse
from cezsar.zeroshot.rejection import Rejector
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Embeddings, Scores

OLD = Path(__file__).parent / "version-1"
STORE = "ffc8ef033d9a38716d7f16b46aedbfdfd8f45dd5fab977e321d08654386bba5c"
TRIPLETS = "b9c60f176923d7f74d05158c815d127e2346413e847f033aa72ab8c5d66085a7"
COUNTS = {"VE": [9, 8, 4, 9, 5], "O": [11, 6, 9, 8, 10], "VE + O": [9, 8, 6, 9, 7]}  # hits of each run, of 16 clips


def counts(results: list[Result]) -> dict[str, list[int]]:
    return {one.modality: [sum(run.hits[1]) for run in one.runs] for one in results}


def test_a_run_and_a_store_give_the_figures_that_they_gave():
    sources = Sources.opened(str(OLD / "test.json"), str(OLD / "classes.json"), stores=[OLD / "store"])
    (store,) = sources.stores
    assert (store.fingerprint, len(store), store.dim) == (STORE, 56, 12)
    assert store.features("clip-3-1").sum(dtype=float) == 2.217803955078125
    ready = prepare(None, sources, run := Run.open(OLD / "runs/run"))
    found = ready.table(parse("4-of-8", ready.scores.class_names, runs=5))
    assert counts(found) == COUNTS and counts(load_all(OLD / "results.json")) == COUNTS
    assert found == load_all(OLD / "results.json")
    kept = Scored.open(OLD / "scores")
    np.testing.assert_allclose(
        kept.embeddings().modalities["VE"], ready.embedded.embeddings.modalities["VE"], atol=1e-5
    )
    np.testing.assert_allclose(kept.scores().columns["VE"], ready.scores.columns["VE"], atol=1e-4)
    assert kept.run(OLD / "runs/run").config == run.config
    assert evaluate(kept.scores(), parse("all", kept.scores().class_names), kept.weights).figure().mean == 0.28125
    cross = prepare(None, sources, Run.open(OLD / "runs/cross"))
    assert counts(cross.table(parse("all", cross.scores.class_names))) == {"VE": [16]}


def test_all_else_of_a_run_is_read():
    run = Run.open(OLD / "runs/run")
    assert (run.trained, len(run.history()), run.record()["best_epoch"]) == (True, 50, 25)
    assert run.ood_distance().distance(FeatureStore(OLD / "store").features("train-00")) == pytest.approx(
        0.1817435, abs=1e-5
    )
    assert Rejector.of_run(run.folder).threshold == 0.8812891244888306
    assert LinearHead.load(run.folder / "objects.safetensors").names == ["ball", "rope", "hat", "hoop"]
    triplets = Triplets.load(OLD / "triplets.safetensors")
    assert triplets.fingerprint == TRIPLETS and triplets.record["store"] == STORE
    assert [point.top1["VE"] for point in Sweep.load(OLD).points] == [[0.0625], [0.125]]


def in_json(name, *changed):
    def change(folder):
        path = folder / name
        value = json.loads(path.read_text())
        path.write_text(json.dumps(value | dict(changed)))

    return change


def in_words(name, key, value):
    def change(folder):
        with safe_open(folder / name, "np") as file:
            words = file.metadata()
        save_file(load_file(folder / name), folder / name, words | {key: value})

    return change


def in_shard(folder):
    with h5py.File(folder / "store/shard-00001.h5", "r+") as file:
        file.attrs["format_version"] = 2


@pytest.mark.parametrize(("change", "read"), [
    (in_shard, lambda folder: FeatureStore(folder / "store")),
    (in_words("triplets.safetensors", "format", "cezsar-triplets-2"),
     lambda folder: Triplets.load(folder / "triplets.safetensors")),
    (in_json("runs/run/config.json", ("format", 2)), lambda folder: Run.open(folder / "runs/run")),
    (in_words("runs/run/objects.safetensors", "format", "cezsar object head 2"),
     lambda folder: LinearHead.load(folder / "runs/run/objects.safetensors")),
    (in_json("runs/run/rejector.json", ("version", 2)), lambda folder: Rejector.of_run(folder / "runs/run")),
    (in_json("results.json", ("version", 2)), lambda folder: load_all(folder / "results.json")),
    (in_json("results.json", ("version", 2)), lambda folder: parse(str(folder / "results.json"), ["a", "b"])),
    (in_json("tau-sweep.json", ("version", 2)), Sweep.load),
    (in_json("scores/about.json", ("version", 2)), lambda folder: Scored.open(folder / "scores")),
    (in_words("scores/embeddings.safetensors", "version", "2"),
     lambda folder: Embeddings.load(folder / "scores/embeddings.safetensors")),
    (in_words("scores/scores.safetensors", "version", "2"),
     lambda folder: Scores.load(folder / "scores/scores.safetensors")),
])  # fmt: skip
def test_a_newer_version_is_refused_in_one_clear_line(tmp_path, change, read):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    change(tmp_path)
    with pytest.raises(FormatError, match=r"version 2, and this cezsar reads up to version 1: update cezsar, or") as e:
        read(tmp_path)
    assert str(tmp_path) in str(e.value) and "\n" not in str(e.value)


def test_a_newer_table_of_sentences_and_a_newer_job_are_left_alone(tmp_path, home):
    with sqlite3.connect(tmp_path / f"{(encoder := open_encoder()).fingerprint}.sqlite") as table:
        table.execute("PRAGMA user_version = 1")
    with pytest.warns(UserWarning, match=r"cannot be used .a newer cezsar made it: update this one, or delete"):
        SentenceCache(encoder, tmp_path).encode(["a sentence"])
    assert next(tmp_path.glob("*.sqlite")).exists()
    job = home / "jobs" / "sweep-1"
    job.mkdir(parents=True)
    (job / "job.json").write_text('{"cezsar": "job", "version": 2}')
    assert jobs.jobs() == []
    with pytest.raises(FormatError, match=r"holds job of version 2, .* remove its folder"):
        jobs.resume("sweep-1")
