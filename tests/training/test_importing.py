"""Runs from elsewhere: packed, unpacked, adopted, imported; and files that are broken, or meant to do harm."""

import json
import os
import pickle
import stat
import struct
import sys
import types
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.numpy import save as tensors
from safetensors.torch import load_file, save_file
from torch import nn

from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.training.importing import adopt, import_checkpoint, pack, unpack
from cezsar.training.loop import train
from cezsar.training.runs import Run
from cezsar.zeroshot.spaces import space_of


class Call:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.fixture(scope="module")
def run(triplets, made_up, tmp_path_factory):
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
    os.utime(run.folder / "config.json", (0, 0))  # by a clock that went wrong: zip archives know no 1970
    return pack(run.folder, tmp_path_factory.mktemp("packed") / "mine.zip")


@pytest.fixture
def files(packed):
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def refused(path, match, error=CezsarError):
    runs = path.parent / "runs"
    with pytest.raises(error, match=match) as caught:
        unpack(path, runs)
    assert ".tmp-" not in str(caught.value) and len(str(caught.value)) < 600
    assert not runs.exists() or list(runs.iterdir()) == []


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
    assert again.trained and list((tmp_path / "runs").iterdir()) == [again.folder]


def test_names(packed, files, tmp_path):
    runs = tmp_path / "runs"
    assert [unpack(packed, runs).name for _ in range(3)] == ["mine", "mine-2", "mine-3"]
    assert unpack(packed, runs, "other run").name == "other run"
    with pytest.raises(InputError, match="choose another name"):
        unpack(packed, runs, "mine")
    for name in ("", "../x", ".hidden", "nul\0"):
        with pytest.raises(InputError, match="cannot name a run"):
            unpack(packed, runs, name)
    flat = {name.removeprefix("mine/"): content for name, content in files.items()}
    assert unpack(zipped(tmp_path / "by hand.zip", flat), runs).name == "by hand"
    noisy = files | {"__MACOSX/mine/._config.json": b"\0", "mine/.DS_Store": b"\0", "mine/": b"", "mine/results/": b""}
    assert unpack(zipped(tmp_path / "mac.zip", noisy), runs).name == "mine-4"


def test_what_cannot_be_packed(run, tmp_path):
    Run.create(tmp_path / "new", run.config)
    for folder, match in ((tmp_path, "holds no run"), (tmp_path / "new", "not trained yet")):
        with pytest.raises(InputError, match=match):
            pack(folder, tmp_path / "a.zip")


def config(**changes):
    """A change of config.json; `model__d_model` is `d_model` of its table `model`."""

    def change(files):
        values = json.loads(files["config.json"])
        for key, value in changes.items():
            *parts, last = key.split("__")
            (values[parts[0]] if parts else values)[last] = value
        return {"config.json": json.dumps(values).encode()}

    return change


def head(value):
    words = {"format": "cezsar object head 1", "names": '["a"]', "definitions": '["b"]', "unit_norm": "false"}
    arrays = {"weight": np.full((1, 12), value, np.float32), "bias": np.zeros(1, np.float32)}
    return {"objects.safetensors": tensors(arrays, words)}


def domain(columns):
    arrays = {"columns": np.array(columns), "std": np.ones(2, np.float32), "mean": np.zeros(2, np.float32)}
    return {"domain.safetensors": tensors(arrays | {"directions": np.zeros((1, 2), np.float32)}, {"typical": "1.0"})}


WRONG = [
    ({"config.json": b"{"}, "config.json, line 1"),
    ({"config.json": b"[" * 100_000}, "JSON"),
    ({"config.json": b" " * 50_000_001}, "no run does that"),
    ({"domain.safetensors": bytes(80_000_000)}, "no run does that"),
    ({"model.safetensors": pickle.dumps(open)}, "no safetensors file"),
    ({"model.safetensors": None}, "not the folder of one trained run"),
    ({"model.safetensors": tensors({"a": np.zeros(2)})}, "is missing"),
    ({"record.json": b'{"validation_loss": "low"}'}, "words where numbers"),
    ({"history.jsonl": b"{}\n"}, "history.jsonl, line 1"),
    ({"history.jsonl": b'{"kind": "steps", "loss": 1.0}\n{"kind": "epoch", "loss": "<b>"}\n'}, "line 2"),
    ({"prototypes.json": b'{"kick": 3}'}, "should have a sentence"),
    ({"results/all.json": b"NaN"}, "JSON"),
    (domain(columns=(0, 12)), "out of bounds for axis 0"),
    (head(value=np.nan), "not finite"),
    (config(format=2), "run of version 2"),
    (config(model__d_model=16), r"tensor \S+ is \(8"),
    (config(model__d_model=10**12), "at most 8,192"),
    (config(model__surprise=1), "unknown keys"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "match"), WRONG)
def test_archives_with_wrong_files_are_refused(files, tmp_path, changes, match):
    own = {name.removeprefix("mine/"): content for name, content in files.items()}
    changed = own | (changes(own) if callable(changes) else changes)
    refused(zipped(tmp_path / "a.zip", {f"mine/{name}": content for name, content in changed.items()}), match)
    assert not list(tmp_path.rglob("evil*"))


def test_files_that_no_run_has_are_passed_over(files, tmp_path):
    odd = ["/../../evil.json", "\\..\\evil.json", "results/../evil.json", "run.sh", "results/a/b.json", "state.pt"]
    again = unpack(zipped(tmp_path / "a.zip", files | {f"mine/{name}": b"{}" for name in odd}), tmp_path / "runs")
    assert len([path for path in again.folder.rglob("*") if path.is_file()]) == len(files)
    assert not list(tmp_path.rglob("evil*")) and {path.name for path in tmp_path.iterdir()} == {"a.zip", "runs"}


def test_damaged_and_odd_archives_are_refused(packed, files, tmp_path):
    whole = packed.read_bytes()
    entry = whole.rfind(b"mine/config.json") - 46  # in the directory at the end: 46 bytes, then the name

    def changed(place, content):
        return whole[:place] + content + whole[place + len(content) :]

    assert whole[entry : entry + 4] == b"PK\x01\x02"
    contents = {
        "text": (b"no archive", "no zip archive, or a damaged one"), "damaged": (changed(200, bytes(60)), "damaged"),
        "more than said": (changed(entry + 24, struct.pack("<I", 10)), "damaged"),
        "said to be large": (changed(entry + 24, struct.pack("<I", 3_000_000_000)), "no run does that"),
        "secret": (changed(entry + 8, bytes([whole[entry + 8] | 1])), "damaged"),
    }  # fmt: skip
    for name, (content, match) in contents.items():
        (tmp_path / f"{name}.zip").write_bytes(content)
        refused(tmp_path / f"{name}.zip", match)
    refused(zipped(tmp_path / "none.zip", {}), "not the folder of one trained run")
    refused(zipped(tmp_path / "two.zip", files | {"b/config.json": b"{}"}), "not the folder of one trained run")
    link = zipfile.ZipInfo("mine/results/x.json")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped(tmp_path / "link.zip", files), "a") as archive:
        archive.writestr(link, "/etc/passwd")  # read as what it holds, never followed
    refused(tmp_path / "link.zip", "not valid JSON")
    refused(tmp_path / "missing.zip", "there is no file", InputError)


def test_pickles_are_refused_without_being_opened(run, tmp_path):
    for name in ("model.pt", "model.PTH"):
        (tmp_path / name).write_bytes(pickle.dumps(Call(open, str(tmp_path / "harm"), "w")))
        refused(tmp_path / name, "is a pickle", InputError)
        with pytest.raises(InputError, match="is a pickle"):
            adopt(tmp_path / name, run, tmp_path / "runs")
    torch.save({"a": torch.ones(2)}, tmp_path / "renamed.zip")
    refused(tmp_path / "renamed.zip", "not the folder of one trained run")
    assert not (tmp_path / "harm").exists()


def test_bare_weights_are_adopted_with_the_configuration_of_a_run(run, tmp_path):
    whole, runs, file = load_file(run.folder / "model.safetensors"), tmp_path / "runs", tmp_path / "theirs.safetensors"
    other = {name: value + 1 for name, value in whole.items()}
    save_file(other, file)
    adopted = adopt(file, run, runs, domain="their videos")
    assert adopted.folder == runs / "theirs" and adopted.trained and adopted.ood_distance() is None
    assert adopted.config.model == run.config.model and adopted.config.domain == "their videos"
    for name, value in adopted.load_model().state_dict().items():
        torch.testing.assert_close(value, other[name])
    assert [adopt(file, run, runs, name).name for name in (None, "named")] == ["theirs-2", "named"]
    there = sorted(runs.iterdir())
    second, third = list(run.load_model().state_dict())[1:3]
    for given, match in (
        (whole | {third: torch.zeros(3, 3), second: torch.zeros(7)}, f"{second} is \\(7,\\)"),
        (whole | {"zzz": torch.zeros(1)}, "tensor zzz"),
        (whole | {second: torch.full_like(whole[second], float("inf"))}, "not finite"),
        (None, "no safetensors file"),
    ):
        save_file(given, file) if given else file.write_bytes(b"text")
        with pytest.raises(FormatError, match=f"theirs.safetensors: .*{match}"):
            adopt(file, run, runs)
    assert sorted(runs.iterdir()) == there


D, S, E, M = 12, 6, 5, 8


class VisualEmbedding(nn.Module):
    def __init__(self, layers, heads, norm, options):
        super().__init__()
        self.visual_dim_reducing = nn.Linear(D, M)
        self.first_dropout = nn.Dropout(0.15)
        with warnings.catch_warnings(action="ignore"):
            layer = nn.TransformerEncoderLayer(M, heads, **options)
            self.transf_encoder = nn.TransformerEncoder(layer, layers, norm)
        self.video_joint_embedding = nn.Linear(M, E)

    def forward(self, features_BTD):
        encoded = self.transf_encoder(self.first_dropout(self.visual_dim_reducing(features_BTD.relu())))
        return self.video_joint_embedding(encoded.relu()).mean(1)


class SentenceEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.sentence_joint_embedding = nn.Linear(S, E)


class JointEmbeddingModel(nn.Module):
    """As the authors' code has it: attention over the batch, no positions, ReLU before the linear layers."""

    def __init__(self, layers=1, heads=2, norm=None, **options):
        super().__init__()
        self.visual_embedding = VisualEmbedding(layers, heads, norm, {"dim_feedforward": 24} | options)
        self.sentence_embedding = SentenceEmbedding()
        self.norm_vid, self.norm_sent = nn.LayerNorm(E), nn.LayerNorm(E)
        for parameter in self.parameters():
            if parameter.dim() == 1:
                nn.init.normal_(parameter, std=0.5)


@pytest.fixture
def importable(monkeypatch):
    """A context in which the authors' classes can be found in a module named `model`, which is gone afterwards."""
    place, kinds = types.ModuleType("model"), (VisualEmbedding, SentenceEmbedding, JointEmbeddingModel)
    for kind in kinds:
        monkeypatch.setattr(kind, "__module__", "model")
        setattr(place, kind.__name__, kind)
    return lambda: patch.dict(sys.modules, model=place)


@pytest.fixture
def saving(tmp_path, importable):
    def save(module, **options):
        with importable():
            torch.save(module, tmp_path / "best.pt", **options)
        return tmp_path / "best.pt"

    return save


class Sentences:
    name, dim, fingerprint = "distilroberta", S, "5" * 64

    def encode(self, sentences):
        return np.array([np.random.default_rng(len(s)).normal(size=S) for s in sentences], np.float32).reshape(-1, S)


@pytest.mark.parametrize(
    "options", [{}, {"layers": 2, "heads": 4, "dropout": 0.25, "activation": nn.ReLU()}, {"half": True}]
)
def test_a_run_predicts_what_the_authors_module_predicts(saving, tmp_path, options):
    half = options.pop("half", False)
    module = JointEmbeddingModel(**options).eval()
    if half:
        module.half()
    run = import_checkpoint(saving(module), tmp_path / "runs" / "released", domain="made-up videos")
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(1 + number % 30, D)).astype(np.float32) for number in range(60)]  # some padded, some cut
    sentences = [letter * length for letter in "ab" for length in range(1, 11)]
    space = space_of(run, Sentences(), "cpu")
    with torch.inference_mode():
        for clip, found in zip(clips, space.clips(clips), strict=True):
            padded = np.zeros((1, 16, D), np.float32)
            padded[0, : len(clip)] = clip[:16]
            expected = module.float().visual_embedding(torch.from_numpy(padded))[0]
            np.testing.assert_allclose(found, expected, atol=1e-5)
        expected = module.sentence_embedding.sentence_joint_embedding(torch.from_numpy(Sentences().encode(sentences)))
    np.testing.assert_allclose(space.sentences(sentences), expected, atol=1e-5)
    model = run.config.model
    assert (model.feature_dim, model.sentence_dim, model.d_model, model.d_emb, model.ffn) == (D, S, M, E, 24)
    assert (model.layers, model.heads) == (options.get("layers", 1), options.get("heads", 2))
    assert (model.dropout, model.recipe) == (options.get("dropout", 0.1), "released")
    assert run.config.feature_encoder == {"name": "bit-released", "fingerprint": BY_NAME, "dim": D}
    assert "by name and width" in run.record()["encoders"] and len(run.record()["weights"]["sha256"]) == 64
    with pytest.raises(InputError, match="there already"):
        import_checkpoint(tmp_path / "best.pt", run.folder)
    run.check_feature_encoder("bit-released", "a" * 64)  # extracted here with the same encoder
    with pytest.raises(MismatchError, match=r"bit .*bit-released"):
        run.check_feature_encoder("bit", "a" * 64)
    with pytest.raises(MismatchError, match=r"minilm.*distilroberta \(by name\)"):
        run.check_sentence_encoder("minilm", "a" * 64)


def changed(**changes):
    """The module with parts put in their places, named with __ for dots; None takes one out."""
    module = JointEmbeddingModel()
    for place, value in changes.items():
        *parents, name = place.split("__")
        part = module.get_submodule(".".join(parents))
        delattr(part, name) if value is None else setattr(part, name, value)
    return module


REFUSED = {
    "torch._C._nn.gelu": lambda: JointEmbeddingModel(activation="gelu"),
    "norm_first = True": lambda: JointEmbeddingModel(norm_first=True),
    "batch_first = True": lambda: JointEmbeddingModel(batch_first=True),
    r"in_proj_bias is missing, where the configuration asks for \(24,\)": lambda: JointEmbeddingModel(bias=False),
    "tensor visual.encoder.norm.weight is": lambda: JointEmbeddingModel(norm=nn.LayerNorm(M)),
    "weights visual_embedding.gate.weight, which": lambda: changed(visual_embedding__gate=nn.Linear(8, 8)),
    r"norm_visual.weight is \(4,\), where the configuration asks for \(5,\)": lambda: changed(norm_vid=nn.LayerNorm(4)),
    "no weights sentence_emb": lambda: changed(sentence_embedding__sentence_joint_embedding=None),
    "values in norm_visual.weight that are not finite": lambda: changed(
        norm_vid__weight=nn.Parameter(torch.full((E,), float("nan")))
    ),
    "norm_sent.weight are no floating-point numbers": lambda: changed(  # four bytes as a terabyte
        norm_sent__weight=nn.Parameter(torch.zeros(1).expand(2**40))
    ),
    "DataParallel": lambda: nn.DataParallel(JointEmbeddingModel()),
    "holds a OrderedDict, not a module": lambda: JointEmbeddingModel().state_dict(),
}


@pytest.mark.parametrize("match", REFUSED)
def test_what_the_recipe_cannot_express_is_refused_and_named(saving, tmp_path, match):
    with pytest.raises(FormatError, match=match) as refusal:
        import_checkpoint(saving(REFUSED[match]()), tmp_path / "run")
    assert "best.pt" in str(refusal.value) and [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def harmful(canary):
    """What would write the canary, were it unpickled; bytes are pickles as they stand."""
    harm = Call(os.system, f"touch {canary}")
    module, layer = JointEmbeddingModel(), JointEmbeddingModel()
    module.norm_vid._parameters["weight"] = harm
    layer.visual_embedding._modules["gate"] = [harm]
    return {
        "a system call": harm,
        "eval": Call(eval, f"open({str(canary)!r}, 'w').close()"),
        "partial": Call(partial(os.system, f"touch {canary}")),
        "among weights": OrderedDict(weight=harm),
        "as a module's weights": module,
        "among a module's layers": layer,
        "as an argument of what torch rebuilds": Call(torch._utils._rebuild_parameter, torch.zeros(1), True, harm),
        "a program within bytes, by torch": Call(torch.storage._load_from_bytes, pickle.dumps(harm, protocol=2)),
        "the instruction STACK_GLOBAL": pickle.dumps(harm, protocol=4),
        "the instruction INST": b"(" + f"S'touch {canary}'\n".encode() + b"iposix\nsystem\n.",
        "an import by naming alone": b"\x80\x02cgadget\nanything\n.",
    }


@pytest.mark.parametrize("variant", harmful("canary"))
def test_harm_is_refused_and_nothing_runs(importable, tmp_path, monkeypatch, variant):
    canary = tmp_path / "canary"
    (tmp_path / "gadget.py").write_text(f"open({str(canary)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    program = harmful(canary)[variant]
    with importable():
        program = program if isinstance(program, bytes) else pickle.dumps(program, protocol=2)
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("m/data.pkl", program)
        archive.writestr("m/byteorder", "little")
        archive.writestr("m/version", "3\n")
    (tmp_path / "bare.pt").write_bytes(program)
    for name in ("a.pt", "bare.pt"):
        with pytest.raises(FormatError, match=name):
            import_checkpoint(tmp_path / name, tmp_path / "run")
    assert not canary.exists() and not (tmp_path / "run").exists() and "gadget" not in sys.modules
    with suppress(Exception), importable():  # what comes after the harm
        pickle.loads(program)
    sys.modules.pop("gadget", None)
    assert canary.exists(), "this program means no harm, so that it proves nothing"


def test_files_of_another_kind_end_in_a_clear_error(saving, tmp_path):
    whole = saving(JointEmbeddingModel()).read_bytes()
    for content in (whole[: len(whole) // 2], whole.replace(b"ctorch", b"c\xfforch", 1)):
        (tmp_path / "d.pt").write_bytes(content)
        with pytest.raises(FormatError, match=r"d\.pt is no module that torch.save wrote, or damaged"):
            import_checkpoint(tmp_path / "d.pt", tmp_path / "run")
    with zipfile.ZipFile(tmp_path / "best.pt") as archive:
        zipped(tmp_path / "small.pt", {name: archive.read(name) for name in archive.namelist()})
    old = saving(JointEmbeddingModel(), _use_new_zipfile_serialization=False).name
    for path, message in (("small.pt", "is compressed"), ("none.pt", "no file"), (".", "no file"), (old, "not a zip")):
        with pytest.raises(InputError, match=message):
            import_checkpoint(tmp_path / path, tmp_path / "run")
