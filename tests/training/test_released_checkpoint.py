"""The authors' checkpoint: what it predicts, what the recipe cannot express, and files that mean harm."""

import io
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from cezsar.data.authors_files import import_features
from cezsar.data.features import FeatureStore
from cezsar.encoders.base import BY_NAME
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.training.archive import pack, unpack
from cezsar.training.released import import_checkpoint
from cezsar.training.torch_files import Name, read_module
from cezsar.zeroshot.embed import embed
from cezsar.zeroshot.spaces import JointSpace

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


# The authors' inference, written a second time, in plain numpy, from `method.md` -----------------------------------


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


@pytest.mark.parametrize(("name", "layers"), [("plain", 1), ("legacy", 1), ("deep", 2), ("half", 1)])
def test_a_run_predicts_what_the_released_inference_predicts(saved, clips, tmp_path, name, layers):
    run = import_checkpoint(saved / f"{name}.pt", tmp_path / "runs" / "released")
    space = JointSpace.of_run(run, Sentences(), "cpu")
    weights = loaded(saved / ("plain.npz" if name == "legacy" else f"{name}.npz"))
    visual = np.array([visual_by_hand(weights, clip, layers) for clip in clips])
    np.testing.assert_allclose(space.clips(clips), visual, atol=1e-5)
    if name in ("plain", "legacy"):
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
    "gelu": "gelu",
    "norm_first": "norm_first = True",
    "batch_first": "batch_first = True",
    "eps": "eps = 0.001",
    "no_bias": "no weights visual_embedding.transf_encoder.layers.0.self_attn.in_proj_bias",
    "final_norm": "norm is a torch.nn.modules.normalization.LayerNorm, where the authors' model has nothing",
    "extra": "visual_embedding.gate is a",
    "bare": "weights shift, which",
    "odd": r"norm_vid.weight are \(4,\), where others ask for \(5,\)",
    "gone": "no weights sentence_embedding.sentence_joint_embedding.weight",
    "swapped": "norm_sent is a torch.nn.modules.linear.Linear, where the authors' model has a LayerNorm",
    "wrong": "d_model 8 is not a multiple of heads 3",
    "nan": "norm_vid.weight hold values that are not finite",
    "hooked": "norm_vid has _forward_hooks",
    "int": "torch.LongStorage",
    "parallel": "DataParallel",
    "state": "holds a table, such as a state_dict, not a module",
    "tensor": "holds a tensor",
    "other": "the model itself is a torch.nn.modules.linear.Linear",
    "four": "PROTO",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_recipe_cannot_express_is_refused_and_named(saved, tmp_path, name):
    with pytest.raises(FormatError, match=REFUSED[name]) as refusal:
        import_checkpoint(saved / f"{name}.pt", tmp_path / "run")
    assert f"{name}.pt" in str(refusal.value) and list(tmp_path.iterdir()) == []


# Files that mean harm -----------------------------------------------------------------------------------------------


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
    rebuild, parameter = name("torch._utils", "_rebuild_tensor_v2"), name("torch._utils", "_rebuild_parameter")
    numbers = b"K\x00(K\x02K\x02t(K\x02K\x01t\x89"
    return {
        "a system call": harm,
        "os by its other name": call(name("os", "system"), touch),
        "eval": call(name("builtins", "eval"), code),
        "exec under python 2's name": call(name("__builtin__", "exec"), code),
        "open": call(name("io", "open"), text(str(canary)), text("w")),
        "a process": call(name("subprocess", "getoutput"), touch),
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
        "as arguments of a parameter": call(parameter, harm, b"\x88", b"}"),
        "within a tensor's size": call(rebuild, WEIGHTS, b"K\x00(" + harm + b"t(K\x01t\x89}"),
        "as a kind of weights": b"(" + text("storage") + harm + text("0") + text("cpu") + b"K\x04tQ",
        "as a class with a source": b"(" + text("module") + harm + text("model.py") + text("pass") + b"tQ",
        "a program within bytes, by torch": call(name("torch.storage", "_load_from_bytes"), inner_bytes),
        "a program within bytes, by pickle": call(name("_pickle", "loads"), inner_bytes),
        "by the memo": name("posix", "system") + b"q\x00" + b"0h\x00(" + touch + b"tR",
        "beside what is kept": b"}" + harm + b"0",
        "build by its own method": name("gadget", "Gadget") + b")\x81" + table(a=b"N") + b"b",
        "the instruction INST": b"(" + touch + b"iposix\nsystem\n",
        "the instruction OBJ": b"(" + name("subprocess", "Popen") + b"](" + text("touch") + text(str(canary)) + b"eo",
        "the instruction STACK_GLOBAL": text("posix") + text("system") + b"\x93(" + touch + b"tR",
        "a dotted name": b"\x80\x04" + text("torch.serialization") + text("os.system") + b"\x93(" + touch + b"tR",
    }  # fmt: skip


def odd():
    """What no saved module has, though it would write no canary."""
    popen, arguments = name("subprocess", "Popen"), b"(](" + text("touch") + text("canary") + b"et"
    tensor = name("torch._utils", "_rebuild_tensor_v2")
    return {
        "a process as an object": popen + arguments + b"\x81",
        "a process as an object, by NEWOBJ_EX": popen + arguments + b"}\x92",
        "a name of the authors' module that is none of its classes": name("model", "os"),
        "a name of torch that is no layer": name("torch", "load"),
        "a layer called": call(name("torch.nn.modules.linear", "Linear"), b"K\x01K\x01"),
        "state for a class": name("model", "JointEmbeddingModel") + table(forward=b"N") + b"b",
        "state for a table": b"}" + table(__class__=b"N") + b"b",
        "state twice": MODULE + table(training=b"\x88") + b"b" + table(training=b"\x89") + b"b",
        "state with slots": MODULE + b"N" + table(a=b"N") + b"\x86b",
        "an extension": b"\x82\x01",
        "a persistent id in words": b"Pposix\n",
        "a number as function": b"K\x01)R",
        "a function from the weights": WEIGHTS + b")R",
        "four bytes as a terabyte": call(
            tensor, WEIGHTS, b"K\x00(\x8a\x06" + (2**40).to_bytes(6, "little") + b"t(K\x00t\x89}"
        ),
        "beyond its numbers": call(tensor, WEIGHTS, b"K\x03(K\x02t(K\x01t\x89}"),
        "backwards": call(tensor, WEIGHTS, b"J\xff\xff\xff\xff(K\x02t(K\x01t\x89}"),
        "a bytearray of gigabytes": b"\x96" + struct.pack("<Q", 1 << 40),
        "words of gigabytes": b"X" + struct.pack("<I", (1 << 32) - 1),
        "a memo of gigabytes": b"Nr" + struct.pack("<I", (1 << 32) - 1) + b"0",
        "a list of itself": b"]q\x00h\x00a",
        "nothing left": b"0",
        "a mark": b"(",
        "a mark taken for a value": b"(\x85",
        "a table of lists": b"}]Ns",
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


HEAD = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]


def as_legacy(path, program, head=None, keys=None):
    head = b"".join(pickle.dumps(value, protocol=2) for value in HEAD) if head is None else head
    keys = pickle.dumps(["0"], protocol=2) if keys is None else keys
    path.write_bytes(head + program + keys + struct.pack("<q", 4) + np.arange(4, dtype=np.float32).tobytes())
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
    head = [pickle.dumps(value, protocol=2) for value in HEAD]
    files = [
        as_zip(tmp_path / "a.pt", program),
        as_legacy(tmp_path / "b.pt", program),
        as_legacy(tmp_path / "first.pt", program, head=program + head[1] + head[2]),
        as_legacy(tmp_path / "third.pt", program, head=head[0] + head[1] + program),
        as_legacy(tmp_path / "last.pt", pickle.dumps({}, protocol=2), keys=program),
    ]
    (tmp_path / "bare.pt").write_bytes(program)
    for file in [*files, tmp_path / "bare.pt"]:
        with pytest.raises(FormatError, match=rf"{file.name} .*(torch\.save|authors' model|fetch it again)"):
            import_checkpoint(file, tmp_path / "run")
    assert not canary.exists() and not (tmp_path / "run").exists() and "gadget" not in sys.modules
    with suppress(Exception):  # what comes after the harm
        Careless(io.BytesIO(program)).load()
    for _ in range(100):  # a process may be at it still
        if canary.exists():
            break
        time.sleep(0.02)
    assert canary.exists(), "this program means no harm, so that it proves nothing"


@pytest.mark.parametrize("variant", odd())
def test_what_no_saved_module_has_is_refused(canary, tmp_path, variant):
    program = b"\x80\x02" + odd()[variant] + b"."
    for file in (as_zip(tmp_path / "a.pt", program), as_legacy(tmp_path / "b.pt", program)):
        with pytest.raises(FormatError, match=file.name):
            import_checkpoint(file, tmp_path / "run")
    assert not canary.exists() and not (tmp_path / "run").exists()


def test_the_ways_of_files_are_bounded(saved, tmp_path):
    good = {info.filename: info for info in zipfile.ZipFile(saved / "half.pt").infolist()}
    contents = {name: zipfile.ZipFile(saved / "half.pt").read(name) for name in good}

    def refused(message, changes=(), method=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "x.pt", "w", method) as archive:
            for name, content in (contents | dict(changes)).items():
                if content is not None:
                    archive.writestr(name, content)
        with pytest.raises(FormatError, match=message):
            import_checkpoint(tmp_path / "x.pt", tmp_path / "run")

    refused("is compressed", method=zipfile.ZIP_DEFLATED)
    refused("weights '3' are missing", {"half/data/3": None})
    refused("weights '3' have another size", {"half/data/3": b"12"})
    refused("without the data.pkl", {"half/data.pkl": None})
    refused("without the data.pkl", {"other/data.pkl": b"."})
    refused("TorchScript", {"half/constants.pkl": b"."})
    refused("big-endian", {"half/byteorder": b"big"})
    refused("more than 2,000,000 bytes", {"half/data.pkl": bytes(2_000_001)})
    words = b"X" + struct.pack("<I", 3_000_000) + b"a" * 3_000_000
    as_legacy(tmp_path / "y.pt", words)
    with pytest.raises(FormatError, match="more than 2,000,000 bytes"):
        import_checkpoint(tmp_path / "y.pt", tmp_path / "run")
    for path, message in ((tmp_path / "none.pt", "no file"), (tmp_path, "no file")):
        with pytest.raises(InputError, match=message):
            import_checkpoint(path, tmp_path / "run")


@pytest.mark.parametrize("name", ["half", "legacy"])
def test_damaged_files_end_in_a_clear_error(saved, tmp_path, name):
    """Bytes changed at random: the file is refused, or, where only weights are changed, read; never anything else."""
    whole, rng, refused = (saved / f"{name}.pt").read_bytes(), random.Random(0), 0
    dense = [place for place in range(len(whole)) if whole[place]]
    for number in range(150):
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
    assert refused > 100


def test_names_are_never_looked_up(tmp_path, canary):
    """Even a class that is expected is only a name."""
    program = b"\x80\x02" + name("gadget", "Anything") + b")\x81" + table(number=b"K\x07") + b"b."
    part = read_module(as_zip(tmp_path / "a.pt", program), {Name("gadget", "Anything")})
    assert part.kind == ("gadget", "Anything") and part.state == {"number": 7}
    assert not canary.exists() and "gadget" not in sys.modules
