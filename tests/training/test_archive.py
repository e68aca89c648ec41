"""Runs packed, unpacked and adopted; archives that are broken, or meant to do harm."""

import io
import json
import pickle
import stat
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cezsar.data.descriptions import save_descriptions
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.training.archive import adopt, pack, unpack
from cezsar.training.loop import config_for, train
from cezsar.training.runs import Run

SHAPE = {"d_model": 8, "d_emb": 4, "ffn": 8}


@pytest.fixture(scope="module")
def run(triplets, made_up, tmp_path_factory):
    """A trained run with everything a run can have."""
    config = config_for(triplets, made_up[1], model=SHAPE, training={"epochs": 1}, domain="made-up videos", objects=2)
    run = train(triplets, made_up[1], tmp_path_factory.mktemp("runs") / "mine", config)
    weight = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    LinearHead(["cup", "ball"], ["a thing to drink from", "a round thing"], weight).save(
        run.folder / "objects.safetensors"
    )
    save_descriptions(run.folder / "prototypes.json", {"kick": ["A person kicks."]})
    (run.folder / "results").mkdir()
    for name, text in {
        "10-of-21 x 50.json": "{}",
        "all.csv": "run,top1\n",
        "all.md": "| VE |\n",
        "notes.txt": "own",
    }.items():
        (run.folder / "results" / name).write_text(text)
    (run.folder / "left over.tmp").touch()
    return run


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    return pack(run.folder, tmp_path_factory.mktemp("packed") / "mine.zip")


@pytest.fixture
def files(packed):
    """Name in the archive -> bytes, to be changed and zipped anew."""
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(path, folder, match, error=FormatError):
    with pytest.raises(error, match=match) as caught:
        unpack(path, folder)
    assert ".tmp-" not in str(caught.value) and len(str(caught.value)) < 600
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_run_comes_back_as_it_was(run, packed, tmp_path):
    again = unpack(packed, tmp_path / "runs")
    assert again.folder == tmp_path / "runs" / "mine" and again.config == run.config
    there = {str(file.relative_to(again.folder)) for file in again.folder.rglob("*") if file.is_file()}
    assert there == {
        "config.json", "model.safetensors", "history.jsonl", "record.json", "domain.safetensors", "objects.safetensors",
        "prototypes.json", "results/10-of-21 x 50.json", "results/all.csv", "results/all.md",
    }  # fmt: skip
    for name in there:
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()
    assert list((tmp_path / "runs").iterdir()) == [again.folder]
    assert again.trained and again.folder.stat().st_mode & 0o077 == run.folder.stat().st_mode & 0o077


def test_names(packed, files, tmp_path):
    runs = tmp_path / "runs"
    assert [unpack(packed, runs).name for _ in range(3)] == ["mine", "mine-2", "mine-3"]
    assert unpack(packed, runs, "other run").name == "other run"
    with pytest.raises(InputError, match="choose another name"):
        unpack(packed, runs, "mine")
    for name in ("", "../x", "a/b", ".hidden", "x" * 81, "end.", "nul\0"):
        with pytest.raises(InputError, match="cannot name a run"):
            unpack(packed, runs, name)
    flat = {name.removeprefix("mine/"): content for name, content in files.items()}
    assert unpack(zipped(tmp_path / "by hand.zip", flat), runs).name == "by hand"
    odd = {name.replace("mine/", "..mine:<b>/", 1).replace(":", ""): content for name, content in files.items()}
    assert unpack(zipped(tmp_path / "odd.zip", odd), runs).folder.parent == runs
    noisy = files | {"__MACOSX/mine/._config.json": b"\0", "mine/.DS_Store": b"\0", "mine/": b"", "mine/results/": b""}
    assert unpack(zipped(tmp_path / "mac.zip", noisy), runs).name == "mine-4"
    small = {name: files[f"mine/{name}"] for name in ("config.json", "model.safetensors")}
    assert unpack(zipped(tmp_path / "small.zip", small), runs).load_model()


def test_what_cannot_be_packed(run, triplets, made_up, tmp_path):
    with pytest.raises(FormatError, match="holds no run"):
        pack(tmp_path, tmp_path / "a.zip")
    Run.create(tmp_path / "new", run.config)
    with pytest.raises(InputError, match="not trained yet"):
        pack(tmp_path / "new", tmp_path / "a.zip")
    with pytest.raises(InputError, match=r"suffix \.zip"):
        pack(run.folder, tmp_path / "a.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"new"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "mine/../../evil.json",
        "/tmp/evil.json",
        "mine\\..\\evil.json",
        "C:/evil.json",
        "mine/results/../evil.json",
        ".",
    ],
)
def test_places_outside_are_refused(files, tmp_path, name):
    refused(zipped(tmp_path / "a.zip", files | {name: b"{}"}), tmp_path / "runs", "outside the run")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(files, tmp_path, kind):
    zipped(tmp_path / "a.zip", files)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        info = zipfile.ZipInfo("mine/results/x.json")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "runs", "a link or a device")


@pytest.mark.parametrize(
    "name",
    [
        "mine/run.sh",
        "mine/model.safetensors.py",
        "mine/deep/config.txt",
        "mine/results/a/b.json",
        "mine/results/.x.json",
        "mine/results/x.html",
        "mine/Config.json",
        "other/record.json",
        "record.json",
    ],
)
def test_unknown_files_are_refused(files, tmp_path, name):
    refused(zipped(tmp_path / "a.zip", files | {name: b"{}"}), tmp_path / "runs", "which no archive of a run has")


def test_pickles_are_refused_without_being_opened(files, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    for name in ("model.pt", "model.PTH", "run.pkl", "x.ckpt"):
        (tmp_path / name).write_bytes(pickle.dumps(Harm()))
        refused(tmp_path / name, tmp_path / "runs", "is a pickle", InputError)
        with pytest.raises(InputError, match="is a pickle"):
            adopt(tmp_path / name, tmp_path, tmp_path / "runs")
    torch.save({"a": torch.ones(2)}, tmp_path / "renamed.zip")
    refused(tmp_path / "renamed.zip", tmp_path / "runs", "is a pickle", InputError)
    refused(
        zipped(tmp_path / "a.zip", files | {"mine/state.pt": pickle.dumps(Harm())}),
        tmp_path / "runs",
        "is a pickle",
        InputError,
    )
    disguised = files | {"mine/model.safetensors": pickle.dumps(Harm())}
    refused(zipped(tmp_path / "b.zip", disguised), tmp_path / "runs", "no safetensors file")
    assert not (tmp_path / "harm").exists()


def test_bombs_are_refused_before_they_unpack(files, tmp_path):
    zeros = files | {"mine/domain.safetensors": bytes(80_000_000)}
    refused(zipped(tmp_path / "ratio.zip", zeros), tmp_path / "runs", "no run does that")
    refused(
        zipped(tmp_path / "big.zip", files | {"mine/config.json": b" " * 1_000_001}), tmp_path / "runs", "it may have"
    )
    many = files | {f"mine/results/{number}.json": b"{}" for number in range(1000)}
    refused(zipped(tmp_path / "many.zip", many), tmp_path / "runs", "at most 1,000")
    raw = bytearray(zipped(tmp_path / "lie.zip", files).read_bytes())
    where = raw.rfind(b"mine/config.json") - 46  # its entry in the directory at the end: 46 bytes, then the name
    assert raw[where : where + 4] == b"PK\x01\x02"
    raw[where + 24 : where + 28] = struct.pack("<I", 3_000_000_000)
    (tmp_path / "lie.zip").write_bytes(raw)
    refused(tmp_path / "lie.zip", tmp_path / "runs", "it may have")
    raw[where + 24 : where + 28] = struct.pack("<I", 10)  # fewer bytes than it has
    (tmp_path / "lie.zip").write_bytes(raw)
    refused(tmp_path / "lie.zip", tmp_path / "runs", "damaged")


def test_damaged_and_odd_archives_are_refused(packed, files, tmp_path):
    whole, runs = packed.read_bytes(), tmp_path / "runs"
    damaged = bytearray(whole)
    damaged[200:260] = bytes(60)
    contents = {"empty": b"", "text": b"no archive", "cut": whole[: len(whole) // 2], "damaged": bytes(damaged)}
    for name, content in contents.items():
        (tmp_path / f"{name}.zip").write_bytes(content)
        refused(tmp_path / f"{name}.zip", runs, "no zip archive, or a damaged one")
    refused(zipped(tmp_path / "none.zip", {}), runs, "no config.json")
    refused(zipped(tmp_path / "two.zip", files | {"b/config.json": b"{}"}), runs, "2 config.json")
    refused(zipped(tmp_path / "bz.zip", files, zipfile.ZIP_BZIP2), runs, "unusual way")
    zipped(tmp_path / "a.zip", files)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("mine/record.json", b"{}")
    refused(tmp_path / "a.zip", runs, "twice")
    del files["mine/model.safetensors"]
    refused(zipped(tmp_path / "bare.zip", files), runs, "no model.safetensors")
    refused(tmp_path / "missing.zip", runs, "there is no file", InputError)
    refused(tmp_path, runs, "there is no file", InputError)
    encrypted = bytearray(whole)
    encrypted[encrypted.rfind(b"mine/config.json") - 46 + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(encrypted)
    refused(tmp_path / "secret.zip", runs, "encrypted")


def config_with(files, **changes):
    """The run's config.json with values changed; `model__d_model` is `d_model` of its table `model`."""
    config = json.loads(files["mine/config.json"])
    for key, value in changes.items():
        *parts, last = key.split("__")
        table = config[parts[0]] if parts else config
        table[last] = value
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 2}, "format 1"),
        ({"model": []}, "no table 'model'"),
        ({"model__d_model": "8"}, "d_model cannot be"),
        ({"model__d_model": True}, "d_model cannot be"),
        ({"model__d_model": 16}, r"tensor \S+ is \(8"),
        ({"model__d_model": 10**12}, "out of all bounds"),
        ({"model__layers": 10**6}, "out of all bounds"),
        ({"model__max_seconds": 10**6}, "out of all bounds"),
        ({"model__layers": 2}, "has no tensor"),
        ({"model__layers": 0}, "at least 1"),
        ({"model__heads": 3}, "multiple of heads"),
        ({"model__recipe": "mine"}, "recipe"),
        ({"model__surprise": 1}, "unknown keys"),
        ({"training__lr": 10**400}, "out of all bounds"),
        ({"training__betas": {"a": 1}}, "betas cannot be"),
        ({"training__order": "none"}, "order"),
        ({"feature_encoder": "motion"}, "feature_encoder cannot be"),
        ({"sentence_encoder": {"name": "minilm"}}, "sentence_encoder needs"),
        ({"fusion": {"alpha": "x", "beta": 0, "gamma": 0}}, "fusion needs"),
        ({"fusion": {"alpha": 0, "beta": 0, "gamma": 0}}, "fusion needs"),
        ({"objects": 0}, "objects must"),
        ({"domain": ["x"]}, "domain cannot be"),
        ({"surprise": 1}, "does not know a key"),
    ],
)
def test_configurations_that_lie_are_refused(files, tmp_path, changes, match):
    files["mine/config.json"] = config_with(files, **changes)
    refused(zipped(tmp_path / "a.zip", files), tmp_path / "runs", match, CezsarError)


def tensors(**arrays):
    from safetensors.numpy import save

    return save(arrays)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("config.json", b"{", "config.json, line 1"),
        ("config.json", b"[" * 100_000, "JSON"),
        ("config.json", b"\xff", "UTF-8"),
        ("record.json", b"[]", "record.json"),
        ("record.json", b'{"validation_loss": "low"}', "words where numbers"),
        ("record.json", b'{"seconds": 1e999}', "words where numbers"),
        ("history.jsonl", b"{}\n", "history.jsonl, line 1"),
        ("history.jsonl", b'{"kind": "steps", "loss": 1.0}\n{"kind": "epoch", "loss": "<b>"}\n', "line 2"),
        ("history.jsonl", b"\xff\n", "UTF-8"),
        ("prototypes.json", b'{"kick": 3}', "should have a sentence"),
        ("results/all.json", b"NaN", "JSON"),
        ("results/all.csv", b"\xff", "UTF-8"),
        ("model.safetensors", tensors(a=np.zeros(2)), "has no tensor"),
        ("domain.safetensors", tensors(mean=np.zeros(2)), "cannot be read"),
        ("domain.safetensors", b"", "cannot be read"),
        ("objects.safetensors", tensors(weight=np.zeros((2, 12))), "not an object head"),
    ],
)
def test_contents_that_are_not_what_they_should_be_are_refused(files, tmp_path, name, content, match):
    refused(zipped(tmp_path / "a.zip", files | {f"mine/{name}": content}), tmp_path / "runs", match, CezsarError)


def test_tensors_are_looked_into(run, files, tmp_path):
    def with_model(**changes):
        save_file(load_file(run.folder / "model.safetensors") | changes, tmp_path / "m.safetensors")
        return zipped(tmp_path / "a.zip", files | {"mine/model.safetensors": (tmp_path / "m.safetensors").read_bytes()})

    runs = tmp_path / "runs"
    bias = next(name for name in load_file(run.folder / "model.safetensors") if name.endswith("bias"))
    like = load_file(run.folder / "model.safetensors")[bias]
    refused(with_model(**{bias: torch.full_like(like, float("nan"))}), runs, "not finite")
    refused(with_model(**{bias: torch.zeros(99)}), runs, "is \\(99,\\)", CezsarError)
    refused(with_model(extra=torch.zeros(1)), runs, "a tensor extra", CezsarError)
    assert unpack(with_model(**{bias: like.half()}), runs).load_model()

    head = LinearHead(["a"], ["b"], np.full((1, 12), np.nan))
    for wrong in (head, LinearHead(["a"], ["b"], np.zeros((1, 11))), LinearHead([3], ["b"], np.zeros((1, 12)))):
        wrong.save(tmp_path / "o.safetensors")
        changed = files | {"mine/objects.safetensors": (tmp_path / "o.safetensors").read_bytes()}
        refused(zipped(tmp_path / "b.zip", changed), tmp_path / "none", "does not name objects")
    domain = {"columns": torch.tensor([0, 12]), "mean": torch.zeros(2), "std": torch.ones(2)}
    for change in ({}, {"columns": torch.tensor([0, -1])}, {"columns": torch.tensor([0, 1]), "std": torch.zeros(2)}):
        given = domain | {"directions": torch.zeros(1, 2)} | change
        save_file(given, tmp_path / "d.safetensors", {"typical": "1.0"})
        changed = files | {"mine/domain.safetensors": (tmp_path / "d.safetensors").read_bytes()}
        refused(zipped(tmp_path / "c.zip", changed), tmp_path / "none", "does not describe features")


def test_bare_weights_are_adopted_with_the_configuration_of_a_run(run, tmp_path):
    other = {name: value + 1 for name, value in load_file(run.folder / "model.safetensors").items()}
    save_file(other, tmp_path / "theirs.safetensors")
    runs = tmp_path / "runs"
    adopted = adopt(tmp_path / "theirs.safetensors", run, runs, domain="their videos")
    assert adopted.folder == runs / "theirs" and adopted.trained and adopted.familiarity() is None
    assert adopted.config.model == run.config.model and adopted.config.domain == "their videos"
    for name, value in adopted.load_model().state_dict().items():
        torch.testing.assert_close(value, other[name])
    assert sorted(path.name for path in adopted.folder.iterdir()) == [
        "config.json", "model.safetensors", "objects.safetensors", "prototypes.json", "record.json",
    ]  # fmt: skip
    assert adopt(tmp_path / "theirs.safetensors", run.folder, runs).name == "theirs-2"
    assert adopt(tmp_path / "theirs.safetensors", run.folder / "config.json", runs, "named").name == "named"
    assert unpack(pack(adopted.folder, tmp_path / "theirs.zip"), runs).name == "theirs-3"


def test_weights_of_another_shape_are_not_adopted(run, tmp_path):
    whole, runs = load_file(run.folder / "model.safetensors"), tmp_path / "runs"
    second, third = list(Run.open(run.folder).load_model().state_dict())[1:3]
    cases = {
        "wide": (whole | {third: torch.zeros(3, 3), second: torch.zeros(7)}, MismatchError, f"{second} is \\(7,\\)"),
        "less": ({name: value for name, value in whole.items() if name != third}, MismatchError, f"no tensor {third}"),
        "more": (whole | {"zzz": torch.zeros(1)}, MismatchError, "a tensor zzz"),
        "nan": (whole | {second: torch.full_like(whole[second], float("inf"))}, FormatError, "not finite"),
    }
    for name, (given, error, match) in cases.items():
        save_file(given, tmp_path / f"{name}.safetensors")
        with pytest.raises(error, match=match):
            adopt(tmp_path / f"{name}.safetensors", run, runs)
    (tmp_path / "text.safetensors").write_bytes(io.BytesIO(b"text").getvalue())
    with pytest.raises(FormatError, match="no safetensors file"):
        adopt(tmp_path / "text.safetensors", run, runs)
    with pytest.raises(FormatError, match="holds no run"):
        adopt(tmp_path / "more.safetensors", tmp_path, runs)
    assert list(runs.iterdir()) == []
