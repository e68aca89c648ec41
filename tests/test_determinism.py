"""The same inputs and seed give the same bytes in another process, with another seed of hashes and in another folder.
Another number of threads is among the hard tests."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = """
import os, sys, torch
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
from cezsar.cli import main
home = sys.argv[1]
data = ["--dataset", "demo", "--store", f"{home}/features/demo-test"]
train = f"{home}/features/demo-train"
props = f"{home}/runs/demo/objects.safetensors"
for command in (
    ["mine", f"{home}/demo/train.json", "--store", train, "--out", "triplets.safetensors", "--head", props],
    ["train", "triplets.safetensors", "--store", train, "--out", "run", "--epochs", "3", "--d-model", "32",
     "--ffn", "32", "--d-emb", "16", "--lr", "1e-3", "--standardise", "--head", props],
    ["evaluate", *data, "--run", "run", "--protocol", "half", "--out", "result.json", "--keep"],
    ["compare", *data, "--run", "run", "--protocol", "half", "--out", "comparison.json"],
    ["analyse", "run", *data, "--train-store", train, "--out", "report.html"],
    ["project", "run@demo", "--out", "map.safetensors"],
    ["calibrate", "run", *data],
):
    try:
        main(command)
    except SystemExit as ended:
        assert not ended.code, command
"""
TIMED = {"history.jsonl", "record.json"}  # they tell how long it took


def workspace_in(folder: Path, home: Path) -> Path:
    """A workspace of its own, with another's films."""
    (folder / "ws").mkdir(parents=True)
    (folder / "ws/demo").symlink_to(home / "demo")
    return folder


def made(home: Path, folder: Path, hashes: int, threads: int) -> Path:
    """All stages in a process of its own."""
    workspace_in(folder, home)
    own = {"PYTHONHASHSEED": str(hashes), "OMP_NUM_THREADS": str(threads), "CEZSAR_HOME": "ws"}
    told = subprocess.run(
        [sys.executable, "-c", STAGES, str(home)], cwd=folder, env=os.environ | own, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "." and path.name not in TIMED]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def first(small_demo, tmp_path_factory):
    """All stages with one thread and a seed of hashes."""
    return made(small_demo[0], tmp_path_factory.mktemp("first") / "here", 1, 1)


def test_every_stage_gives_the_same_bytes_again(small_demo, first, tmp_path):
    again = digests(made(small_demo[0], tmp_path / "elsewhere", 2, 1))
    assert {name for name, digest in digests(first).items() if again[name] != digest} == set()
    wanted = {"triplets.safetensors", "run/model.safetensors", "result.csv", "comparison.tex", "report.html"}
    assert wanted <= again.keys() and len(again) == 24
