"""Runs from elsewhere: packed, unpacked, adopted, imported; and files that are broken, or meant to do harm."""

import io
import json
import pickle
import random
import stat
import struct
import subprocess
import sys
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors.numpy import save as tensors
from safetensors.torch import load_file, save_file

from cezsar.data.authors_files import import_features
from cezsar.data.features import FeatureStore
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.training.importing import adopt, import_checkpoint, pack, unpack
from cezsar.training.loop import train
from cezsar.training.runs import Run
from cezsar.zeroshot.embed import embed
from cezsar.zeroshot.spaces import JointSpace


@pytest.fixture(scope="module")
def run(triplets, made_up, tmp_path_factory):
    """A trained run with everything a run can have."""
    weight = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    run = train(
        triplets, made_up[1], tmp_path_factory.mktemp("runs") / "mine", model={"d_model": 8, "d_emb": 4, "ffn": 8},
        training={"epochs": 1}, domain="made-up videos",
        head=LinearHead(["cup", "ball"], ["a thing to drink from", "a round thing"], weight),
        descriptions={"kick": ["A person kicks."]},
    )  # fmt: skip
    (run.folder / "results").mkdir()
    for name in ("10-of-21 x 50.json", "all.csv", "all.md", "notes.txt"):
        (run.folder / "results" / name).write_text("{}")
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
        "../evil.json", "mine/../../evil.json", "/tmp/evil.json", "mine\\..\\evil.json", "mine/results/../evil.json",
        ".", "mine/run.sh", "mine/deep/config.txt", "mine/results/a/b.json", "mine/results/.x.json",
        "mine/results/x.html", "mine/Config.json", "other/record.json", "record.json",
    ],
)  # fmt: skip
def test_places_outside_and_unknown_files_are_refused(files, tmp_path, name):
    refused(zipped(tmp_path / "a.zip", files | {name: b"{}"}), tmp_path / "runs", "no archive of a run has")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(files, tmp_path, kind):
    zipped(tmp_path / "a.zip", files)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        info = zipfile.ZipInfo("mine/results/x.json")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "runs", "a link or a device")


def test_pickles_are_refused_without_being_opened(run, files, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    for name in ("model.pt", "model.PTH", "run.pkl", "x.ckpt"):
        (tmp_path / name).write_bytes(pickle.dumps(Harm()))
        refused(tmp_path / name, tmp_path / "runs", "is a pickle", InputError)
        with pytest.raises(InputError, match="is a pickle"):
            adopt(tmp_path / name, run, tmp_path / "runs")
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
        ({"model": []}, "no table"),
        ({"model__d_model": "8"}, "d_model cannot be"),
        ({"model__d_model": True}, "d_model cannot be"),
        ({"model__d_model": 16}, r"tensor \S+ is \(8"),
        ({"model__d_model": 10**12}, "at most 8,192"),
        ({"model__layers": 10**6}, "at most 100"),
        ({"model__layers": 2}, "is missing"),
        ({"model__heads": 3}, "multiple of heads"),
        ({"model__recipe": "mine"}, "recipe"),
        ({"model__surprise": 1}, "unknown keys"),
        ({"training__lr": 10**400}, "lr cannot be"),
        ({"training__betas": {"a": 1}}, "betas cannot be"),
        ({"feature_encoder": "motion"}, "feature_encoder cannot be"),
        ({"sentence_encoder": {"name": "minilm"}}, "fingerprint"),
        ({"fusion": {"alpha": "x", "beta": 0, "gamma": 0}}, "fusion needs"),
        ({"fusion": {"alpha": 0, "beta": 0, "gamma": 0}}, "fusion needs"),
        ({"objects": 0}, "objects must"),
        ({"surprise": 1}, "unknown keys"),
    ],
)
def test_configurations_that_lie_are_refused(files, tmp_path, changes, match):
    files["mine/config.json"] = config_with(files, **changes)
    refused(zipped(tmp_path / "a.zip", files), tmp_path / "runs", match, CezsarError)


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
        ("model.safetensors", tensors({"a": np.zeros(2)}), "is missing"),
        ("domain.safetensors", tensors({"mean": np.zeros(2)}), "cannot be read"),
        ("domain.safetensors", b"", "cannot be read"),
        ("objects.safetensors", tensors({"weight": np.zeros((2, 12))}), "not an object head"),
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
    refused(with_model(extra=torch.zeros(1)), runs, "tensor extra", CezsarError)
    assert unpack(with_model(**{bias: like.half()}), runs).load_model()

    head = LinearHead(["a"], ["b"], np.full((1, 12), np.nan))
    for wrong in (head, LinearHead(["a"], ["b"], np.zeros((1, 11))), LinearHead([3], ["b"], np.zeros((1, 12)))):
        wrong.save(tmp_path / "o.safetensors")
        changed = files | {"mine/objects.safetensors": (tmp_path / "o.safetensors").read_bytes()}
        refused(zipped(tmp_path / "b.zip", changed), tmp_path / "none", "does not name objects")
    domain = {"columns": torch.tensor([0, 12]), "mean": torch.zeros(2), "std": torch.ones(2)}
    for change in ({}, {"columns": torch.tensor([0, 1, 2])}, {"columns": torch.tensor([0, 1]), "std": torch.zeros(2)}):
        given = domain | {"directions": torch.zeros(1, 2)} | change
        save_file(given, tmp_path / "d.safetensors", {"typical": "1.0"})
        changed = files | {"mine/domain.safetensors": (tmp_path / "d.safetensors").read_bytes()}
        refused(zipped(tmp_path / "c.zip", changed), tmp_path / "none", "does not describe features")


def test_bare_weights_are_adopted_with_the_configuration_of_a_run(run, tmp_path):
    other = {name: value + 1 for name, value in load_file(run.folder / "model.safetensors").items()}
    save_file(other, tmp_path / "theirs.safetensors")
    runs = tmp_path / "runs"
    adopted = adopt(tmp_path / "theirs.safetensors", run, runs, domain="their videos")
    assert adopted.folder == runs / "theirs" and adopted.trained and adopted.ood_distance() is None
    assert adopted.config.model == run.config.model and adopted.config.domain == "their videos"
    for name, value in adopted.load_model().state_dict().items():
        torch.testing.assert_close(value, other[name])
    assert sorted(path.name for path in adopted.folder.iterdir()) == [
        "config.json", "model.safetensors", "objects.safetensors", "prototypes.json", "record.json",
    ]  # fmt: skip
    assert adopt(tmp_path / "theirs.safetensors", run, runs).name == "theirs-2"
    assert adopt(tmp_path / "theirs.safetensors", run, runs, "named").name == "named"
    assert unpack(pack(adopted.folder, tmp_path / "theirs.zip"), runs).name == "theirs-3"


def test_weights_of_another_shape_are_not_adopted(run, tmp_path):
    whole, runs = load_file(run.folder / "model.safetensors"), tmp_path / "runs"
    second, third = list(Run.open(run.folder).load_model().state_dict())[1:3]
    cases = {
        "wide": (whole | {third: torch.zeros(3, 3), second: torch.zeros(7)}, MismatchError, f"{second} is \\(7,\\)"),
        "less": ({name: value for name, value in whole.items() if name != third}, MismatchError, f"{third} is missing"),
        "more": (whole | {"zzz": torch.zeros(1)}, MismatchError, "tensor zzz"),
        "nan": (whole | {second: torch.full_like(whole[second], float("inf"))}, FormatError, "not finite"),
    }
    for name, (given, error, match) in cases.items():
        save_file(given, tmp_path / f"{name}.safetensors")
        with pytest.raises(error, match=match):
            adopt(tmp_path / f"{name}.safetensors", run, runs)
    (tmp_path / "text.safetensors").write_bytes(b"text")
    with pytest.raises(FormatError, match="no safetensors file"):
        adopt(tmp_path / "text.safetensors", run, runs)
    assert list(runs.iterdir()) == []


# The authors' checkpoint: what it predicts, and what the recipe cannot express ---------------------------------------

D, S, E, M = 12, 6, 5, 8

MODEL = f"""
import torch
from torch import nn

class VisualEmbedding(nn.Module):
    def __init__(self, layers, heads, norm, **options):
        super().__init__()
        self.width = {M}
        self.visual_dim_reducing = nn.Linear({D}, {M})
        self.first_dropout = nn.Dropout(0.15)
        layer = nn.TransformerEncoderLayer({M}, heads, **options)
        self.transf_encoder = nn.TransformerEncoder(layer, layers, norm)
        self.video_joint_embedding = nn.Linear({M}, {E})

    def forward(self, features_BTD):
        encoded = self.transf_encoder(self.first_dropout(self.visual_dim_reducing(features_BTD.relu())))
        return self.video_joint_embedding(encoded.relu()).mean(1)

class SentenceEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.15)
        self.sentence_joint_embedding = nn.Linear({S}, {E})

class JointEmbeddingModel(nn.Module):
    def __init__(self, layers=1, heads=2, norm=None, **options):
        super().__init__()
        self.visual_embedding = VisualEmbedding(layers, heads, norm, **options)
        self.sentence_embedding = SentenceEmbedding()
        self.norm_vid = nn.LayerNorm({E})
        self.norm_sent = nn.LayerNorm({E})
        for parameter in self.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter, std=0.5)
"""

SAVING = """
import sys, warnings
import numpy as np, torch
from torch import nn
import model
warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.manual_seed(1)

def weights(name, module):
    np.savez(f"{name}.npz", **{key: value.float().numpy() for key, value in module.state_dict().items()})

def save(name, module, **options):
    torch.save(module, f"{name}.pt", **options)

plain = model.JointEmbeddingModel()
weights("plain", plain)
save("plain", plain)
save("legacy", plain, _use_new_zipfile_serialization=False)
plain.eval()
clips = np.load("padded.npy")
with torch.no_grad():
    np.save("predicted.npy", np.concatenate([plain.visual_embedding(torch.from_numpy(clip[None])) for clip in clips]))
deep = model.JointEmbeddingModel(layers=2, heads=4, dim_feedforward=24, dropout=0.25, activation=nn.ReLU())
weights("deep", deep)
save("deep", deep)
half = model.JointEmbeddingModel(dim_feedforward=24).half()
weights("half", half)
save("half", half)

small = lambda **options: model.JointEmbeddingModel(dim_feedforward=24, **options)
save("gelu", small(activation="gelu"))
save("norm_first", small(norm_first=True))
save("batch_first", small(batch_first=True))
save("eps", small(layer_norm_eps=1e-3))
save("no_bias", small(bias=False))
save("final_norm", small(norm=nn.LayerNorm(8)))
extra = small(); extra.visual_embedding.gate = nn.Linear(8, 8); save("extra", extra)
bare = small(); bare.shift = nn.Parameter(torch.zeros(3)); save("bare", bare)
odd = small(); odd.norm_vid = nn.LayerNorm(4); save("odd", odd)
gone = small(); del gone.sentence_embedding.sentence_joint_embedding; save("gone", gone)
swapped = small(); swapped.norm_sent = nn.Linear(5, 5); save("swapped", swapped)
wrong = small(); wrong.visual_embedding.transf_encoder.layers[0].self_attn.num_heads = 3; save("wrong", wrong)
nan = small(); nan.norm_vid.weight.data[2] = float("nan"); save("nan", nan)
hooked = small(); hooked.norm_vid.register_forward_hook(torch.nn.functional.relu); save("hooked", hooked)
whole = small().double(); whole.norm_vid.weight = nn.Parameter(torch.arange(5), requires_grad=False); save("int", whole)
save("parallel", nn.DataParallel(small()))
save("state", small().state_dict())
save("tensor", torch.ones(3))
save("other", nn.Linear(3, 3))
save("four", small(), pickle_protocol=4)
"""


@pytest.fixture(scope="module")
def clips():
    """500 clips of 1 to 30 seconds, so that some are padded and some are cut."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1 + i % 30, D)).astype(np.float16).astype(np.float32) for i in range(500)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, clips):
    """A folder of files that another process saved, from classes of a module named `model`."""
    folder = tmp_path_factory.mktemp("saved")
    padded = np.zeros((len(clips), 16, D), np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip[:16]
    np.save(folder / "padded.npy", padded)
    (folder / "model.py").write_text(MODEL)
    (folder / "saving.py").write_text(SAVING)
    subprocess.run([sys.executable, "saving.py"], cwd=folder, check=True, capture_output=True)
    return folder


class Sentences:
    """A made-up sentence encoder under the name of the authors'."""

    name, dim, fingerprint = "distilroberta", S, "5" * 64

    def encode(self, sentences):
        return np.array([np.random.default_rng(len(s)).normal(size=S) for s in sentences], np.float32).reshape(-1, S)


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name, rows=slice(None), dot="."):
    return x @ weights[f"{name}{dot}weight"][rows].T + weights[f"{name}{dot}bias"][rows]


def visual_by_hand(weights, clip, layers):
    """16 seconds with zeros counted, ReLU before the linear layers, no positions, attention that sees one element."""
    x = np.zeros((16, D))
    x[: len(clip)] = clip[:16]
    x = linear(np.maximum(x, 0), weights, "visual_embedding.visual_dim_reducing")
    for layer in range(layers):
        name = f"visual_embedding.transf_encoder.layers.{layer}"
        value = linear(x, weights, f"{name}.self_attn.in_proj", slice(2 * M, 3 * M), dot="_")
        x = layer_norm(x + linear(value, weights, f"{name}.self_attn.out_proj"), weights, f"{name}.norm1")
        fed = linear(np.maximum(linear(x, weights, f"{name}.linear1"), 0), weights, f"{name}.linear2")
        x = layer_norm(x + fed, weights, f"{name}.norm2")
    return linear(np.maximum(x, 0), weights, "visual_embedding.video_joint_embedding").mean(0)


def loaded(path):
    return {name: values.astype(float) for name, values in np.load(path).items()}


@pytest.mark.parametrize(("name", "layers"), [("plain", 1), ("deep", 2), ("half", 1)])
def test_a_run_predicts_what_the_released_inference_predicts(saved, clips, tmp_path, name, layers):
    run = import_checkpoint(saved / f"{name}.pt", tmp_path / "runs" / "released")
    space = JointSpace.of_run(run, Sentences(), "cpu")
    weights = loaded(saved / f"{name}.npz")
    visual = np.array([visual_by_hand(weights, clip, layers) for clip in clips])
    np.testing.assert_allclose(space.clips(clips), visual, atol=1e-5)
    if name == "plain":
        np.testing.assert_allclose(space.clips(clips), np.load(saved / "predicted.npy"), atol=1e-5)
    sentences = [letter * length for letter in "ab" for length in range(1, 11)]
    by_hand = linear(Sentences().encode(sentences), weights, "sentence_embedding.sentence_joint_embedding")
    np.testing.assert_allclose(space.sentences(sentences), by_hand, atol=1e-5)

    def nearest(clips_NE, classes_CE):
        classes_CE = classes_CE / np.linalg.norm(classes_CE, axis=1, keepdims=True)
        return (clips_NE @ classes_CE.T).argmax(1)

    np.testing.assert_array_equal(nearest(space.clips(clips), space.sentences(sentences)), nearest(visual, by_hand))


def test_the_run_says_what_it_is(saved, tmp_path):
    run = import_checkpoint(saved / "deep.pt", tmp_path / "deep", domain="made-up videos")
    model = run.config.model
    assert (model.feature_dim, model.sentence_dim, model.d_model, model.d_emb) == (D, S, M, E)
    assert (model.layers, model.heads, model.ffn, model.dropout, model.recipe) == (2, 4, 24, 0.25, "released")
    assert run.trained and run.config.domain == "made-up videos"
    assert run.config.fusion == {"alpha": 0.8, "beta": 0.2, "gamma": 0.0}
    assert run.config.feature_encoder == {"name": "bit-released", "fingerprint": BY_NAME, "dim": D}
    assert "by name and width" in run.record()["encoders"] and len(run.record()["weights"]["sha256"]) == 64
    assert unpack(pack(run.folder, tmp_path / "a.zip"), tmp_path / "runs").config == run.config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "deep", "runs"]
    with pytest.raises(InputError, match="there already"):
        import_checkpoint(saved / "plain.pt", tmp_path / "deep")


def test_encoders_are_checked_by_name_and_width(saved, clips, tmp_path):
    run = import_checkpoint(saved / "plain.pt", tmp_path / "run")
    (tmp_path / "npy").mkdir()
    for number, clip in enumerate(clips[:20]):
        np.save(tmp_path / "npy" / f"v{number:02}.npy", clip)
    import_features(tmp_path / "npy", tmp_path / "store", width=D)
    store, space = FeatureStore(tmp_path / "store"), JointSpace.of_run(run, Sentences(), "cpu")
    run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    embeddings, _ = embed(space, store, store.ids, [""] * 20, {"juggling": ["a person juggles"]})
    weights = loaded(saved / "plain.npz")
    by_hand = [visual_by_hand(weights, clip, 1) for clip in clips[:20]]
    np.testing.assert_allclose(embeddings.modalities["VE"], by_hand, atol=1e-5)

    run.check_feature_encoder("bit-released", "a" * 64)  # extracted here with the same encoder
    with pytest.raises(MismatchError, match=r"bit .*bit-released"):
        run.check_feature_encoder("bit", "a" * 64)
    with pytest.raises(MismatchError, match=r"minilm.*distilroberta \(by name\)"):
        run.check_sentence_encoder("minilm", "a" * 64)
    with pytest.raises(MismatchError, match="384 dimensions"):
        run.check_sentence_encoder("distilroberta", "a" * 64, 384)


REFUSED = {
    "gelu": "torch._C._nn.gelu",
    "norm_first": "norm_first = True",
    "batch_first": "batch_first = True",
    "eps": "eps = 0.001",
    "no_bias": r"in_proj_bias are \(0,\), where others ask for \(24,\)",
    "final_norm": "weights visual_embedding.transf_encoder.norm.bias, which",
    "extra": "weights visual_embedding.gate.bias, which",
    "bare": "weights shift, which",
    "odd": r"norm_vid.weight are \(4,\), where others ask for \(5,\)",
    "gone": "no weights sentence_embedding.sentence_joint_embedding.weight",
    "swapped": r"norm_sent.weight are \(5, 5\), where",
    "wrong": "d_model 8 is not a multiple of heads 3",
    "nan": "norm_vid.weight hold values that are not finite",
    "hooked": "norm_vid has _forward_hooks",
    "int": "norm_vid.weight are no floating-point numbers",
    "parallel": "DataParallel",
    "state": "holds a OrderedDict, not a module",
    "tensor": "holds a Tensor",
    "other": "no weights visual_embedding",
    "legacy": "no module that torch.save wrote",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_recipe_cannot_express_is_refused_and_named(saved, tmp_path, name):
    with pytest.raises(FormatError, match=REFUSED[name]) as refusal:
        import_checkpoint(saved / f"{name}.pt", tmp_path / "run")
    assert f"{name}.pt" in str(refusal.value) and list(tmp_path.iterdir()) == []


# Checkpoints that mean harm ------------------------------------------------------------------------------------------


def text(words):
    raw = words.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def call(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


def table(**values):
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def system(path):
    return call(name("posix", "system"), text(f"touch {path}"))


MODULE = name("model", "JointEmbeddingModel") + b")\x81"
WEIGHTS = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ"


def harmful(canary):
    """What would write the canary, were it unpickled: instructions that leave one value."""
    harm, inner = system(canary), pickle.dumps(Touch(canary), protocol=2)
    code, touch = text(f"open({str(canary)!r}, 'w').close()"), text(f"touch {canary}")
    listed = b"]" + harm + b"a"
    bytes_of = b"(" + text(inner.decode("latin-1")) + text("latin-1") + b"t"
    inner_bytes = name("_codecs", "encode") + bytes_of + b"R"
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    numbers = b"K\x00(K\x02K\x02t(K\x02K\x01t\x89"
    return {
        "a system call": harm,
        "eval": call(name("builtins", "eval"), code),
        "open": call(name("io", "open"), text(str(canary)), text("w")),
        "a script": call(name("runpy", "run_path"), text(f"{canary}.py")),
        "an import": call(name("builtins", "__import__"), text("gadget")),
        "an import by naming alone": name("gadget", "anything"),
        "partial": call(call(name("functools", "partial"), name("posix", "system"), touch)),
        "map": call(
            name("builtins", "list"), call(name("builtins", "map"), name("posix", "system"), b"]" + touch + b"a")
        ),
        "a method by its name": call(
            call(name("builtins", "getattr"), call(name("pathlib", "Path"), text(str(canary))), text("touch"))
        ),
        "reduce within reduce": call(name("collections", "OrderedDict"), b"](" + b"(" + text("a") + harm + b"te"),
        "within a set": call(name("__builtin__", "set"), listed),
        "within a state": MODULE + table(training=b"\x88", _parameters=table(weight=harm)) + b"b",
        "within a module's modules": MODULE + table(_modules=table(norm_vid=MODULE + table(a=listed) + b"b")) + b"b",
        "as arguments of a known class": name("model", "JointEmbeddingModel") + b"(" + harm + b"t\x81",
        "as arguments of a tensor": call(rebuild, WEIGHTS, numbers, harm),
        "as a kind of weights": b"(" + text("storage") + harm + text("0") + text("cpu") + b"K\x04tQ",
        "a program within bytes, by torch": call(name("torch.storage", "_load_from_bytes"), inner_bytes),
        "by the memo": name("posix", "system") + b"q\x00" + b"0h\x00(" + touch + b"tR",
        "beside what is kept": b"}" + harm + b"0",
        "build by its own method": name("gadget", "Gadget") + b")\x81" + table(a=b"N") + b"b",
        "the instruction INST": b"(" + touch + b"iposix\nsystem\n",
        "the instruction OBJ": b"(" + name("subprocess", "Popen") + b"](" + text("touch") + text(str(canary)) + b"eo",
        "the instruction STACK_GLOBAL": text("posix") + text("system") + b"\x93(" + touch + b"tR",
        "a dotted name": b"\x80\x04" + text("torch.serialization") + text("os.system") + b"\x93(" + touch + b"tR",
    }  # fmt: skip


# What would write no canary, but is in no saved module.
ODD = {
    "a name of the authors' module that is none of its classes": name("model", "os"),
    "a layer that is called": call(name("torch.nn.modules.linear", "Linear"), b"K\x01K\x01"),
    "a module that is its own part": MODULE + b"q\x00" + table(_modules=table(a=b"h\x00")) + b"b",
    "an extension": b"\x82\x01",
    "a number as function": b"K\x01)R",
    "four bytes as a terabyte": MODULE + table(_parameters=table(w=call(
        name("torch._utils", "_rebuild_tensor_v2"), WEIGHTS,
        b"K\x00(\x8a\x06" + (2**40).to_bytes(6, "little") + b"t(K\x00t\x89}",
    ))) + b"b",
    "beyond its numbers": call(name("torch._utils", "_rebuild_tensor_v2"), WEIGHTS, b"K\x03(K\x02t(K\x01t\x89}"),
    "words of gigabytes": b"X" + struct.pack("<I", (1 << 32) - 1),
    "nothing left": b"0",
}  # fmt: skip


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def as_zip(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", program)
        archive.writestr("m/byteorder", "little")
        archive.writestr("m/data/0", np.arange(4, dtype=np.float32).tobytes())
        archive.writestr("m/version", "3\n")
    return path


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that harmful programs would write. `gadget` and `model` can be imported, and `gadget` writes it then."""
    place = tmp_path / "canary"
    for script in ("canary.py", "gadget.py"):
        (tmp_path / script).write_text(f"open({str(place)!r}, 'w').close()")
    (tmp_path / "model.py").write_text("class JointEmbeddingModel: pass")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in ("gadget", "model"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    yield place
    for module in ("gadget", "model"):
        sys.modules.pop(module, None)


class Careless(pickle.Unpickler):
    def persistent_load(self, identity):
        return object()


@pytest.mark.parametrize("variant", harmful("canary"))
def test_harm_is_refused_and_nothing_runs(canary, tmp_path, variant):
    program = b"\x80\x02" + harmful(canary)[variant] + b"."
    (tmp_path / "bare.pt").write_bytes(program)
    for file in (as_zip(tmp_path / "a.pt", program), tmp_path / "bare.pt"):
        with pytest.raises(FormatError, match=file.name):
            import_checkpoint(file, tmp_path / "run")
    assert not canary.exists() and not (tmp_path / "run").exists() and "gadget" not in sys.modules
    with suppress(Exception):  # what comes after the harm
        Careless(io.BytesIO(program)).load()
    for _ in range(100):  # a process may be at it still
        if canary.exists():
            break
        time.sleep(0.02)
    assert canary.exists(), "this program means no harm, so that it proves nothing"


@pytest.mark.parametrize("variant", ODD)
def test_what_no_saved_module_has_is_refused(tmp_path, variant):
    with pytest.raises(FormatError, match=r"a\.pt"):
        import_checkpoint(as_zip(tmp_path / "a.pt", b"\x80\x02" + ODD[variant] + b"."), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_damaged_checkpoints_end_in_a_clear_error(saved, tmp_path):
    """Bytes changed at random: the file is refused, or, where only weights are changed, read; never anything else."""
    whole, rng, refused = (saved / "half.pt").read_bytes(), random.Random(0), 0
    dense = [place for place in range(len(whole)) if whole[place]]
    for number in range(60):
        damaged = bytearray(whole if number % 3 else whole[: rng.randrange(len(whole))])
        for place in rng.sample(dense[:6000], 3):
            if place < len(damaged):
                damaged[place] = rng.randrange(256)
        (tmp_path / "d.pt").write_bytes(damaged)
        try:
            import_checkpoint(tmp_path / "d.pt", tmp_path / f"run{number}")
        except CezsarError as error:
            assert "d.pt" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 40
    with zipfile.ZipFile(saved / "half.pt") as archive:
        zipped(tmp_path / "small.pt", {name: archive.read(name) for name in archive.namelist()})
    for path, message in (("small.pt", "is compressed"), ("none.pt", "no file"), (".", "no file")):
        with pytest.raises(InputError, match=message):
            import_checkpoint(tmp_path / path, tmp_path / "run")
