"""Ten thousand damaged files for each reader: none ends the process or holds it up, and each that is refused is refused
by a `CezsarError` that names the file. They are read in a process of their own, so that its death would be seen."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from readers import BOUND_S, READERS

ROOT = Path(__file__).parents[2]
INPUTS = int(os.environ.get("CEZSAR_FUZZ_INPUTS", 0))  # fewer, to try something out


def attempt(reader, seed, first, end, folder):
    """(index, what became of it) of inputs; the last one is what the process died of, if it did."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("readers.py")),
        reader,
        *map(str, (seed, first, end, folder)),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CEZSAR_HOME": str(folder / "home")}
    with (folder / "errors.txt").open("w+") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)
        told = [json.loads(line) for line in child.stdout if line.endswith("\n")]
        if code := child.wait():
            errors.seek(0)
            told.append([first + len(told), f"the process ended with status {code}: {errors.read()[-1500:]}"])
        return told


@pytest.fixture
def folder():
    """In memory where there is such a place: tens of thousands of small files are written."""
    with tempfile.TemporaryDirectory(dir=next(filter(os.path.isdir, ["/dev/shm"]), None)) as made:
        yield Path(made)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_by_name(reader, folder, row, hard_seed):
    told, inputs = [], INPUTS or READERS[reader].inputs
    while len(told) < inputs and sum(outcome.startswith("the process") for _, outcome in told) < 20:
        told += attempt(reader, hard_seed, len(told), inputs, folder)
    refused, accepted = (sum(outcome == what for _, outcome in told) for what in ("refused", "accepted"))
    lost = [
        f"{reader}, seed {hard_seed}, input {index}: {why}" for index, why in told if why not in ("refused", "accepted")
    ]
    row(f"damaged files: {reader}", tried=len(told), refused=refused, accepted=accepted, lost=len(lost))
    assert not lost, f"within {BOUND_S} s and memory each, {len(lost)} of {len(told)}\n" + "\n".join(lost[:40])
    assert refused > inputs / 50 and accepted
