"""`cezsar tau-sweep` on the small world."""

import json

import pytest

from cezsar.encoders.objects import LinearHead
from cezsar.sweep import Sweep
from cezsar.training.runs import Run
from cezsar.zeroshot.evaluation import load_all


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
    assert "τ = 0.05: too few" in text and f"wrote {tmp_path / 's' / 'tau-sweep.json'}" in text
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


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--taus", "often", "0.7,0.8"), ("--seeds", "0.5", "--seeds '0.5'"), ("--taus", "3", "(0, 2]")],
)
def test_lists_that_are_refused(cezsar, workspace, tmp_path, option, value, said):
    code, _, error = cezsar(*wanted(workspace, tmp_path / "s", option, value))
    assert code == 2 and said in error
