"""What random damage has found once: each a `CezsarError` that names the file. Many more are among the hard tests."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

from cezsar import arrays, atomic, jobs
from cezsar.data import documents, labels, layout, manifest
from cezsar.data.authors_files import import_features
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import SentenceCache
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Seen
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.protocols import parse
from cezsar.zeroshot.scored import Scored

OLD = Path(__file__).parent / "version-1"
DEEP = "[" * 3000


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def tensors(path, words=None, **changed):
    with safe_open(path, "np") as file:
        told = file.metadata()
    save_file(load_file(path) | changed, path, told | (words or {}))


@pytest.mark.parametrize(("name", "words", "changed", "read"), [
    ("triplets.safetensors", {"record": DEEP}, {}, Triplets.load),
    ("triplets.safetensors", {"video_ids": "[1]"}, {}, Triplets.load),
    ("triplets.safetensors", {}, {"text_end": np.array([0.5])}, Triplets.load),
    ("triplets.safetensors", {}, {"video": np.array([10**6], np.int32)}, Triplets.load),
    ("runs/run/objects.safetensors", {"names": DEEP}, {}, LinearHead.load),
    ("runs/run/objects.safetensors", {"names": "[1, 2, 3, 4]"}, {}, LinearHead.load),
    ("runs/run/objects.safetensors", {}, {"weight": np.full((4, 12), np.nan, np.float32)}, LinearHead.load),
    ("runs/run/domain.safetensors", {}, {"columns": np.array([2**31 - 1] * 12)},
     lambda path: Run.open(path.parent).ood_distance()),
    ("runs/cross/seen.safetensors", {"how": "[1.5, 1, 1]"}, {}, Seen.load),
    ("scores/scores.safetensors", {}, {"description": np.frombuffer(DEEP.encode(), np.uint8)},
     lambda path: Scored.open(path.parent).scores()),
])  # fmt: skip
def test_named_arrays(old, name, words, changed, read):
    tensors(old / name, words, **changed)
    with pytest.raises(FormatError, match=Path(name).name):
        read(old / name)


def test_types_that_numpy_has_not_and_files_beyond_the_bound(tmp_path, monkeypatch):
    raw = bytearray(save({"a": np.zeros(2, np.int8)}))
    (tmp_path / "t.safetensors").write_bytes(raw.replace(b'"I8"', b'"F8_E4M3"', 1).replace(b" " * 5, b"", 1))
    with pytest.raises(FormatError, match=r"t\.safetensors"):
        Triplets.load(tmp_path / "t.safetensors")
    for bounded in (documents, arrays, atomic):
        monkeypatch.setattr(bounded, "MOST_BYTES", 10)
    for read, path in ((Triplets.load, OLD / "triplets.safetensors"), (load_all, OLD / "results.json")):
        with pytest.raises(FormatError, match=rf"{path.name}.* bytes"):
            read(path)
    np.savez(tmp_path / "a.npz", a=np.zeros(9))
    with pytest.raises(ValueError, match="bytes"):
        arrays.read_npz(tmp_path / "a.npz")


def shard(folder, change):
    with h5py.File(folder / "store/shard-00000.h5", "r+", libver=("v110", "v110")) as file:
        change(file)


def instead(name, **how):
    def change(file):
        array = file[name][:]
        del file[name]
        file.create_dataset(name, **({"data": array} | how))

    return change


def link(name, to):
    def change(file):
        del file[name]
        file[name] = to

    return change


@pytest.mark.parametrize(("change", "said"), [
    (link("ids", h5py.ExternalLink("/etc/passwd", "/x")), "ids is a link"),
    (link("digests", h5py.SoftLink("/features")), "digests is a link"),
    (instead("labels", compression="gzip"), "labels in pieces"),
    (instead("digests", data=None, shape=(9, 32), dtype="u1", external=[("/etc/passwd", 0, 288)]), "elsewhere"),
    (instead("ids", data=[b"x"], dtype=h5py.string_dtype()), "another type"),
    (instead("offsets", data=None, shape=(2**40,), dtype="<i8"), "not all there"),
    (instead("offsets", data=np.arange(3.0)), "do not fit together"),
    (lambda file: file.attrs.create("format", "text of any length"), "attributes"),
    (lambda file: file.attrs.modify("provenance", np.bytes_(DEEP)), "damaged"),
])  # fmt: skip
def test_shards(old, change, said):
    shard(old, change)
    with pytest.raises(FormatError, match=rf"shard-00000.*{said}"):
        FeatureStore(old / "store")


def test_names_of_objects(old):
    path = old / "store/objects.json"
    value = json.loads(path.read_text())
    for text in (DEEP, json.dumps(value | {"names": [1] * len(value["names"])}), json.dumps(value | {"names": ["a"]})):
        path.write_text(text)
        with pytest.raises(FormatError, match=r"objects\.json"):
            _ = FeatureStore(old / "store").vocabulary


def npy(header):
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header


def test_arrays_of_numpy(tmp_path):
    class Sentences:
        name, dim, fingerprint = "sentences", 4, "a" * 64

        def encode(self, texts):
            return np.ones((len(texts), 4), np.float32)

    huge = npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1199999999988,), }\n")
    for number, content in enumerate((npy(b"{'descr': ("), huge, npy(b"[" * 3000))):
        (tmp_path / f"v{number}.npy").write_bytes(content)
        path = tmp_path / Sentences.fingerprint / f"{number}.npz"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("keys.npy", content)
            archive.writestr("vectors", b"no array")
    report = import_features(tmp_path, tmp_path / "store", width=12)
    assert [Path(one.path).name for one in report.failed] == ["v0.npy", "v1.npy", "v2.npy"]
    with pytest.warns(UserWarning, match=r"[012]\.npz is damaged"):
        SentenceCache(Sentences(), tmp_path).encode(["a"])


def test_tables_of_text(tmp_path):
    long = "x" * 140_000
    (tmp_path / "a.csv").write_text(f"label,youtube_id,time_start,time_end\n{long},a,1,2\n")
    for read in (labels.read_label_list, lambda path: layout.look(layout.KNOWN["kinetics400"], path)):
        with pytest.raises(FormatError, match=r"a\.csv, line [12]: not valid CSV"):
            read(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(f"path\n{long[:5000]}.mp4\n")
    with pytest.raises(InputError, match=r"(?s)a\.csv: 1 of 1 files are missing") as error:
        manifest.read_source(tmp_path / "a.csv")
    assert len(str(error.value)) < 1500


def test_results_sets_and_jobs(old, tmp_path):
    (tmp_path / "job.json").write_text(DEEP)
    with pytest.raises(jobs.BROKEN):
        jobs.look(tmp_path)
    text = (old / "results.json").read_text()
    (old / "results.json").write_text(text.replace("kicking", "kissing"))
    with pytest.raises(CezsarError, match=r"results\.json: .* is none of"):
        parse(str(old / "results.json"), list(json.loads((old / "classes.json").read_text())))
    (old / "results.json").write_text('{"cezsar": "results", "version": 1, "results": [[]]}')
    with pytest.raises(FormatError, match=r"results\.json"):
        load_all(old / "results.json")
    about = json.loads((old / "scores/about.json").read_text())
    for key, value in (
        ("fusion", {"x": 1}),
        ("fusion", 3),
        ("run", None),
        ("run", "../run"),
        ("method", []),
        ("notes", 3),
    ):
        (old / "scores/about.json").write_text(json.dumps(about | {key: value}))
        with pytest.raises(FormatError, match=r"about\.json is damaged"):
            Scored.open(old / "scores")
