"""`cezsar tau` counts what all pairs give, and `cezsar tau-sweep` trains and tables, on the small world."""

import json
import re

import numpy as np
import pytest

from cezsar.data.annotations import load_annotations
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.objects import LinearHead
from cezsar.sweep import Sweep
from cezsar.training.runs import Run
from cezsar.zeroshot.evaluation import load_all


def test_counts_are_those_of_all_pairs(cezsar, workspace, tmp_path):
    out = tmp_path / "tau.json"
    annotations = workspace / "demo" / "train.json"
    status, printed, err = cezsar("tau", annotations, "--taus", "0.8,0.6", "--negatives", 20, "--json", out)
    assert status == 0, err
    segments = load_annotations(annotations).segments
    vectors = open_encoder("minilm").encode([segment.sentence for segment in segments]).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    videos = np.array([segment.video_id for segment in segments])
    other = videos[:, None] != videos
    kept = json.loads(out.read_text())
    assert kept["sentences"] == len(segments) and [row["tau"] for row in kept["taus"]] == [0.6, 0.8]
    for row in kept["taus"]:
        within = (distance > 1e-6) & (distance < row["tau"]) & other
        assert row["pairs_below"] == pytest.approx(within.sum() / other.sum(), abs=2e-4)
        counts = within.sum(axis=1)
        assert row["too_few"] == pytest.approx((counts < 20).mean(), abs=0.02)
        assert row["candidates"][1] == pytest.approx(np.median(counts), abs=1)
        assert f"{row['pairs_below']:.2%}" in printed
    near = np.argwhere(np.triu((distance > 1e-6) & (distance < 0.05) & other))
    assert len(kept["near_duplicates"]) == len(near)
    assert re.search(rf"at any τ above: {len(near)} pairs", printed)


def wanted(workspace, out, *more):
    world, stores = workspace / "demo", workspace / "features"
    return [
        "tau-sweep", world / "train.json", "--store", stores / "demo-train", "--dataset", "demo",
        "--test-store", stores / "demo-test", "--protocol", "half", "--splits", 4, "--negatives", 5,
        "--sub-clips", 1, "--objects", 1, "--object-positives", 0, "--epochs", 1, "--d-model", 32, "--ffn", 64,
        "--standardise", "--out", out, *more,
    ]  # fmt: skip


def test_a_sweep_is_tabled_and_goes_on(cezsar, workspace, tmp_path):
    head = workspace / "runs" / "demo" / "objects.safetensors"
    code, text, error = cezsar(*wanted(workspace, tmp_path / "s", "--taus", "0.8;0.05", "--head", head))
    assert code == 0
    found = Sweep.load(tmp_path / "s")
    assert [(point.tau, point.seed) for point in found.points] == [(0.05, 0), (0.8, 0)]
    assert text.startswith(found.text())
    assert "seed 0: too few" in text and f"wrote {tmp_path / 's' / 'tau-sweep.json'}" in text
    assert "τ = 0.8, seed 0 (2 of 2), training: 1 of 1, loss" in error and "\r" not in error
    run = Run.open(tmp_path / "s" / "tau-0.8-seed-0")
    model, training = run.config.model, run.config.training
    assert (model.d_model, model.ffn, model.d_emb, training.standardise, training.lr) == (32, 64, 128, True, 1e-4)
    assert (LinearHead.load(run.folder / "objects.safetensors").weight == LinearHead.load(head).weight).all()
    kept = {result.modality: result for result in load_all(run.folder / "results" / "tau-sweep.json")}
    assert [split.top1 for split in kept["VE + O"].runs] == found.points[1].top1["VE + O"]
    assert (kept["VE"].protocol, len(kept["VE"].runs)) == ("10-of-21 x 4", 4)
    code, text, error = cezsar(*wanted(workspace, tmp_path / "s", "--taus", "0.8", "--seeds", "0,1", "--head", head))
    assert code == 0 and "seed 0" not in error and "τ = 0.8, seed 1 (1 of 1)" in error
    assert len(Sweep.load(tmp_path / "s").points) == 3
    code, _, error = cezsar(*wanted(workspace, tmp_path / "s", "--alpha", 0.5, "--head", head))
    assert code == 2 and "differs in fusion" in error


def test_nothing_trained_is_no_success(cezsar, workspace, tmp_path):
    code, text, _ = cezsar(*wanted(workspace, tmp_path / "s", "--taus", "0.01"))
    assert code == 1 and "too few: 100.0 %" in text
    assert json.loads((tmp_path / "s" / "tau-sweep.json").read_text())["about"]["negatives"] == 5


def test_lists_that_are_refused(cezsar, workspace, tmp_path):
    for option, value, said in (
        ("--taus", "often", "0.7,0.8"), ("--seeds", "0.5", "--seeds '0.5'"), ("--taus", "3", "(0, 2]"),
    ):  # fmt: skip
        code, _, error = cezsar(*wanted(workspace, tmp_path / "s", option, value))
        assert code == 2 and said in error
    code, _, error = cezsar("tau", workspace / "demo/train.json", "--taus", "low,high")
    assert code == 2 and "no list of numbers" in error


def test_repaired_annotations_are_told(cezsar, tmp_path):
    times = [[0, 4], [3.5, 1], [2, 2], [3.9, 60], [10, 20], [0, 1]]
    sentences = ["A man runs.", "He stops.", "He sits.", "A dog.", "x", ""]
    entry = {"duration": 4.0, "timestamps": times, "sentences": sentences}
    (tmp_path / "captions.json").write_text(json.dumps({"v_1": entry, "v_2": entry}))
    out = cezsar("tau", tmp_path / "captions.json")[1]
    told = [line for line in out.splitlines() if line.startswith("  2 segments")]
    assert told == [f"  {line}" for line in load_annotations(tmp_path / "captions.json").repairs] and len(told) == 5
