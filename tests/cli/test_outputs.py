"""What cannot be written is told in one line, before the work where that can be seen, and nothing is lost after it."""

import errno
import os
import resource
import tempfile
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file

from cezsar import atomic, world
from cezsar.cli import app, console
from cezsar.errors import InputError

FILES = [
    "classify clip.webm --csv", "spans film.mp4 --csv", "spans film.mp4 --json", "spans film.mp4 --label-studio",
    "search --store s --labels a --out", "evaluate --dataset demo --out", "compare --dataset demo --out",
    "analyse --out", "mine captions.json --store s --out", "project demo@demo --out", "datasets ucf101 --missing",
    "tau captions.json --json", "transfer run --seen-dataset a --seen-store b --dataset c --store d --out",
    "prototypes check ucf101 --json", "import-release descriptions texts/ --out",
    "import-release captions captions.json --out",
]  # fmt: skip
FOLDERS = [
    "extract clips/ --encoder motion --out", "train triplets --store s --out", "photographs --out",
    "tau-sweep captions.json --store s --dataset demo --test-store t --out",
    "import-release features features/ --out", "import-release checkpoint bestmodel.pt --out",
    "import-release splits splits.json --out",
]  # fmt: skip


@pytest.fixture
def told(tmp_path, cezsar):
    """Run a command that must end with status 2; returns its one line of error."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("a file")

    def run(*arguments):
        status, _, error = cezsar(*(argument.format(out=tmp_path) for argument in arguments))
        assert status == 2, error
        (line,) = error.strip().splitlines()
        assert line.startswith("cezsar: ")
        return line

    return run


@pytest.mark.parametrize("command", FILES + FOLDERS)
def test_an_output_that_cannot_be_written_is_told_before_the_work(told, command):
    """The other arguments name nothing that exists, so the first thing that is told is the output."""
    if command in FILES:
        assert "is a folder" in told(*command.split(), "{out}/taken")
    for place in ("{out}/file/r", "/proc/nowhere/r"):  # below a file; where not even root can write
        assert "cannot be written" in told(*command.split(), place)


def test_files_beside_an_output_are_checked_too(told, tmp_path):
    (tmp_path / "r.csv").mkdir()
    assert "r.csv is a folder" in told("evaluate", "--dataset", "demo", "--out", "{out}/r.json")
    for verb, kind in (("evaluate", "JSON"), ("compare", "JSON")):
        assert f"would hold {kind}" in told(verb, "--dataset", "demo", "--out", "{out}/s.csv")
    assert "would hold HTML" in told("analyse", "--out", "{out}/s.json")


def test_every_output_is_checked():
    """Options called like an output have the check; a new one cannot be forgotten."""
    outputs, unchecked = {"out", "csv_out", "json_out", "missing", "ship", "label_studio"}, []
    for command in (each for group in app.registered_groups for each in group.typer_instance.registered_commands):
        for parameter in typer.main.get_params_from_function(command.callback).values():
            option = parameter.default
            if isinstance(option, typer.models.OptionInfo) and option.callback is None:
                unchecked += [command.callback.__name__] * bool(outputs & {parameter.name, *(option.param_decls or ())})
    assert not unchecked


def test_a_disk_that_is_full_after_the_work_costs_nothing(tmp_path, workspace, cezsar, monkeypatch):
    make = tempfile.mkstemp

    def mkstemp(*arguments, dir=None, **options):
        if Path(dir) == tmp_path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(dir))
        return make(*arguments, dir=dir, **options)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    store, out = workspace / "features/demo-test", tmp_path / "r.json"
    status, printed, error = cezsar("evaluate", "--dataset", "demo", "--store", store, "--out", out)
    assert status == 2 and "chance" in printed
    line = error.strip().splitlines()[-1]
    assert line.startswith(f"cezsar: {out} cannot be written: No space left on device; it is in ")
    saved = Path(line.rpartition(" ")[2])
    assert all(saved.with_suffix(suffix).stat().st_size for suffix in (".json", ".csv", ".md"))


def test_what_can_be_written_is_and_the_rest_goes_beside(tmp_path):
    late, fine = tmp_path / "late.csv", tmp_path / "fine.csv"
    late.mkdir()  # while the work was done
    with pytest.raises(InputError, match=r"late-saved\.csv"):
        console.save({path: lambda path: atomic.write_text(path, "text") for path in (late, fine)})
    assert (tmp_path / "late-saved.csv").read_text() == fine.read_text() == "text"
    with pytest.raises(InputError, match="no room for it anywhere"):
        console.save({tmp_path / "r": lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))})


def test_a_workspace_without_room_is_one_line(told, tmp_path, monkeypatch):
    """No output that an option names, but a place of the user's all the same."""
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "file"))
    (tmp_path / "clips" / "walking").mkdir(parents=True)
    (tmp_path / "clips" / "walking" / "one.mp4").touch()
    assert "Not a directory" in told("datasets", "--add", "mine={out}/clips")


@pytest.mark.parametrize("save", [torch.save, save_file])
def test_libraries_that_write_tell_of_a_full_disk_as_the_system_does(save, tmp_path):
    """While this process may write no file above 1 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as told, atomic.replacing(tmp_path / "kept") as path:
            save({"a": torch.zeros(9999)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.filename == str(tmp_path / "kept") and told.value.errno > 0
    assert not list(tmp_path.iterdir())


def test_a_film_that_a_full_disk_cut_off_is_none(tmp_path):
    """OpenCV, which writes it, does not say."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError):
            world.write_video(world.plan_training(1, videos=1, segments_per_video=1)[0], tmp_path / "film.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_what_dead_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path):
    (tmp_path / ".tmp-r-dead.json").touch()
    (tmp_path / ".tmp-set-dead").mkdir()
    with atomic.replacing(tmp_path / "r.json") as path, atomic.replacing_folder(tmp_path / "set") as folder:
        path.write_text("last")
        atomic.write_text(tmp_path / "r.json", "first")
        (folder / "a").touch()
        with atomic.replacing_folder(tmp_path / "set") as other:
            (other / "b").touch()
        with pytest.raises(OSError), atomic.replacing_folder(tmp_path / "set"):
            raise OSError
        assert (tmp_path / "set/b").exists()  # as long as nothing better is there
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "r.json", "set"]
    assert (tmp_path / "r.json").read_text() == "last"


def test_the_terminal_is_an_output(tmp_path):
    read, write = os.pipe()
    atomic.write_text(f"/dev/fd/{write}", "text")
    assert os.read(read, 10) == b"text"
    atomic.refuse_unwritable(f"/dev/fd/{write}")
