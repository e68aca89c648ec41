"""Zip archives that mean harm: what they would ask for is refused before it is there."""

import csv
import io
import pickle
import tomllib
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from app.parts import clips
from cezsar import archives, arrays, atomic, errors
from cezsar.arrays import read_npz
from cezsar.data import documents
from cezsar.encoders.weight_files import loading
from cezsar.errors import FormatError
from cezsar.training import importing
from cezsar.training.importing import import_checkpoint, unpack
from cezsar.video import EARNED_S, Limits

MB = 1_000_000


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def tensors(path, program, storages=(), method=zipfile.ZIP_STORED):
    """A file as of `torch.save`, with a pickle of one's own."""
    records = [("a/data.pkl", b"\x80\x02" + program), ("a/byteorder", b"little"), ("a/version", b"3\n")]
    return zipped(path, records + [(f"a/data/{number}", each) for number, each in enumerate(storages)], method)


def lying(path, name, content, told):
    """An archive whose only member unpacks to more than it says."""
    packed = zipped(path, [(name, content)], zipfile.ZIP_DEFLATED).read_bytes()
    size, crc = len(content).to_bytes(4, "little"), zlib.crc32(content).to_bytes(4, "little")
    assert packed.count(crc) == 2 and packed.count(size) >= 2
    path.write_bytes(packed.replace(size, told.to_bytes(4, "little")))
    return path


READERS = {"npz": read_npz, "run": lambda path: unpack(path, path.parent / "runs"), "tensors": archives.load_tensors}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("variant", ["members", "list", "bzip2", "lzma"])
def test_archives_with_too_many_members_or_packed_in_odd_ways_are_refused(tmp_path, monkeypatch, reader, variant):
    members, method = [("a/data.pkl", b"x")], zipfile.ZIP_STORED
    if variant == "members":
        monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
        members = [(f"a/data/{number}", b"") for number in range(4)]
    if variant == "list":
        monkeypatch.setattr(archives, "MOST_DIRECTORY", 60)
        members = [("a/" + "x" * 20, b"")]
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(variant, method)
    path = zipped(tmp_path / "a.zip", members, method)
    told = {"members": "4 members, and at most 3", "list": "list of members of more than 60"}
    with pytest.raises((FormatError, ValueError), match=told.get(variant, "packed in an unusual way")):
        READERS[reader](path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_member_larger_than_it_says_takes_no_more_memory_or_disk_than_it_says(tmp_path):
    bomb = bytes(300 * MB)
    lying(tmp_path / "run.zip", "run/model.safetensors", bomb, 1000)
    with zipfile.ZipFile(tmp_path / "run.zip", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/config.json", "{}")
    lying(tmp_path / "index.npz", "x.npy", bomb, 1000)
    np.save(header := io.BytesIO(), np.zeros(MB))
    lying(tmp_path / "array.npz", "x.npy", header.getvalue(), 1000)
    del bomb, header
    tracemalloc.start()
    try:
        for name, read in (("run.zip", "run"), ("index.npz", "npz"), ("array.npz", "npz")):
            with pytest.raises((FormatError, ValueError)):
                READERS[read](tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()


def reduced(name, argument=b")"):
    """A call, in the language of pickles."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n" + argument + b"R"


STORAGE = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu%stQ"
HARM = {  # what torch itself would read, and the words that refuse it
    "bytearray": (reduced("__builtin__ bytearray", b"J\0\0\0\x7f\x85") + b".", "names .*bytearray"),
    "encode": (reduced("_codecs encode", b"X\x01\0\0\0xX\x03\0\0\0hex\x86") + b".", "names _codecs.encode"),
    "Counter": (reduced("collections Counter", b"]\x85") + b".", "names collections.Counter"),
    "set": (reduced("__builtin__ set", b"]\x85") + b".", "names .*set"),
    "Tensor": (b"ctorch\nTensor\nJ\0\0\0\x7f\x85\x81.", "names torch.Tensor"),
    "system": (reduced("posix system", b"X\x02\0\0\0ls\x85") + b".", "names posix.system"),
    "a list of lists, squared": (b"](]q\x01(K\x01K\x02eh\x01h\x01e.", "one of its parts twice"),
    "a long tuple, often": (b"](" + b"(K\x01K\x02K\x03K\x04tq\x01" + b"h\x01" * 9 + b"e.", "one of its parts twice"),
    "a dict, often": (b"](}q\x01h\x01h\x01e.", "one of its parts twice"),
    "no end": (b"]", "pickle|end|EOF"),
    "bytes that are no pickle": (b"\xff\xfe", "opcode"),
    "a storage with more than it has": (
        reduced("torch._utils _rebuild_tensor_v2", STORAGE % b"J\0\0\0\x7f" + b"K\0K\x01\x85K\x01\x85\x89)t") + b".",
        "does not match",
    ),
    "a tensor with more than its storage": (
        reduced("torch._utils _rebuild_tensor_v2", STORAGE % b"K\x01" + b"K\0J\0\0\0\x7f\x85K\x01\x85\x89)t") + b".",
        "not resizable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", HARM)
def test_pickles_that_would_take_memory_are_refused(tmp_path, variant):
    program, words = HARM[variant]
    tensors(tmp_path / "a.pt", program, [bytes(4)])
    with pytest.raises(ValueError, match=words):
        archives.load_tensors(tmp_path / "a.pt")


def test_what_holds_tensors_is_read_and_all_else_refused(tmp_path, monkeypatch):
    path, model = tmp_path / "a.pt", torch.nn.TransformerEncoderLayer(8, 2, 24)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 1, 8)).sum().backward()
    optimiser.step()
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rng": torch.get_rng_state(),
        "t": (1,) * 9,
    }
    torch.save(state, path)
    read = archives.load_tensors(path)
    assert all(torch.equal(value, read["model"][name]) for name, value in state["model"].items())
    assert read["t"] == state["t"] and read["optimiser"].keys() == state["optimiser"].keys()

    whole = path.read_bytes()
    path.write_bytes(whole + whole)  # zipfile sees the second one, torch another
    with pytest.raises(ValueError, match="more than one archive"):
        archives.check_tensors(path)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"not a zip archive, as torch.save writes since torch 1\.6"):
        archives.check_tensors(path)
    path.write_bytes(pickle.dumps(OrderedDict(a=1)))
    with pytest.raises(ValueError, match="not a zip archive"):
        archives.check_tensors(path)
    with pytest.raises(ValueError, match="compressed"):
        archives.check_tensors(tensors(path, b"]" + b"0" * 9999, method=zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match=r"holds 'a/DATA.PKL'"):
        archives.check_tensors(zipped(path, [("a/data.pkl", b"N."), ("a/DATA.PKL", b"N.")]))
    with pytest.raises(ValueError, match=r"no item named 'a/data.pkl'"):
        archives.check_tensors(zipped(path, [("a/version", b"3")]))
    monkeypatch.setattr(archives, "MOST_PROGRAM", 100)
    torch.save(state, path)
    with pytest.raises(ValueError, match="at most 100 are read"):
        archives.check_tensors(path)


def test_checkpoints_and_weights_of_encoders_are_checked_alike(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (
        tensors(tmp_path / "best.pt", HARM["bytearray"][0]),
        tensors(folder / "pytorch_model.bin", HARM["set"][0]),
    ):
        place = path if path.name == "best.pt" else folder
        told = rf"{place.name} cannot be loaded by torch: it names"
        with pytest.raises(FormatError, match=told), loading("x", place, "torch"):
            pytest.fail("it is not loaded")
    with pytest.raises(FormatError, match=r"best.pt.* it names .*bytearray"):
        import_checkpoint(tmp_path / "best.pt", tmp_path / "run")
    (folder / "model.safetensors").write_bytes(b"")  # is loaded instead
    with loading("x", folder, "torch"):
        pass
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").rename(folder / "training_args.bin")  # is not loaded, whatever it is
    with loading("x", folder, "torch"):
        pass


def test_the_bounds_that_the_documentation_tells_are_those_of_the_code():
    root = Path(__file__).parents[1]
    section = (root / "docs/security.md").read_text(encoding="utf-8").split("## Bounds of files")[1].split("\n## ")[0]
    server = tomllib.loads((root / "app/.streamlit/config.toml").read_text())["server"]
    told = [
        f"up to {documents.MOST_BYTES:,} bytes", f"at most {csv.field_size_limit():,} characters",
        f"up to {atomic.MOST_BYTES >> 30} GiB", f"up to {arrays.MOST_BYTES >> 30} GiB unpacked",
        f"up to {archives.MOST_MEMBERS:,} members", f"list has at most {archives.MOST_DIRECTORY:,} bytes",
        f"up to {importing.MOST_BYTES:,} bytes unpacked, {importing.MOST_TEXT:,} of each text",
        f"and {importing.MOST_RATIO} times its size if it has more than {importing.RATIO_FROM:,}",
        f"pickle of at most {archives.MOST_PROGRAM:,} bytes",
        f"for {Limits().time_s:.0f} s and {EARNED_S:.0f} s for each second of it,",
        f"with {Limits().memory_bytes >> 30} GiB of memory",
        f"{clips.MOST_HELD / 1e9:.0f} GB of all together",
        f"up to {server['maxUploadSize']} MB", f"at most {errors.MOST_CHARACTERS:,} characters",
    ]  # fmt: skip
    assert [one for one in told if one not in section] == []
