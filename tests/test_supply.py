"""What is installed is what was chosen: exact versions, each file with its hash, and the licences that are told."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks import licences
from cezsar.encoders import catalogue
from cezsar.errors import FormatError
from cezsar.training import runs

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_requirement_has_one_version_and_hashes(name):
    text = (ROOT / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 90
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+( ; [^\n\\]+)?( \\\n +--hash=sha256:[0-9a-f]{64})+$", entry), entry
    chosen, locked = (
        {each.lower(): at for each, at in licences.requirements(f"{name}.{kind}").items()} for kind in ("in", "txt")
    )
    assert chosen.items() <= locked.items()
    assert licences.requirements("requirements.txt").items() <= licences.requirements("requirements-dev.txt").items()


def test_what_is_installed_here_is_what_is_locked():
    for name, locked in licences.requirements("requirements.in").items():
        assert version(name).partition("+")[0] == locked, f"{name}: make .venv/.installed"


def test_the_licences_that_are_told_are_those_of_the_packages_and_the_weights():
    told = licences.PAGE.read_text(encoding="utf-8")
    rows = {line for line in told.splitlines() if line.startswith(("|", "- "))}
    assert {line for line in licences.tables().splitlines() if line.startswith("|")} <= rows
    by_licence = {
        line[2:].partition(": ")[0]: line.partition(": ")[2].split(", ") for line in rows if line.startswith("- ")
    }
    for name, own in licences.rest().items():
        assert name in by_licence[own]
    for card in catalogue.CARDS.values():
        assert (f"licence {card.licence}" in card.facts) == (card.name != "motion")


@pytest.mark.parametrize("name", runs.SHIPPED_WEIGHTS)
def test_the_weights_of_a_run_that_comes_along_are_checked_at_load(name, tmp_path, monkeypatch):
    folder = shutil.copytree(
        next(place / name for place in runs.SHIPPED if (place / name / "config.json").is_file()), tmp_path / name
    )
    monkeypatch.setattr(runs, "SHIPPED", (tmp_path,))
    assert runs.Run.open(folder).load_model()
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1  # some weight, by very little
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(FormatError, match="is not what came with the software"):
        runs.Run.open(folder).load_model()


@pytest.mark.parametrize(("name", "file"), [
    (name, file) for name, (_, _, published) in catalogue.PACKAGED.items() for file in published
])  # fmt: skip
def test_every_file_of_a_bundled_encoder_is_checked_at_load(name, file, tmp_path, monkeypatch):
    place, copy = catalogue.carried(name), tmp_path / "copy"
    shutil.copytree(place, copy) if place.is_dir() else shutil.copy(place, copy)
    monkeypatch.setattr(catalogue, "located", lambda _: copy)
    assert catalogue.carried.__wrapped__(name) == copy
    with (copy / file).open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    with pytest.raises(FormatError, match=r"is not the published .* pip install --force-reinstall"):
        catalogue.carried.__wrapped__(name)
