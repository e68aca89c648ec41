"""The authors' released features, descriptions, splits and captions, in the forms in which they are published."""

import json
import pickle

import numpy as np
import pytest

from cezsar.data.annotations import load_captions
from cezsar.data.authors_files import import_captions, import_descriptions, import_features, import_splits
from cezsar.data.descriptions import load_descriptions
from cezsar.data.features import FeatureStore
from cezsar.data.labels import load_split, shared_classes
from cezsar.encoders.base import BY_NAME
from cezsar.errors import FormatError, InputError, MismatchError


class Harm:
    def __reduce__(self):
        return (open, ("canary", "w"))


@pytest.fixture
def arrays(tmp_path):
    """A folder as released, and what is in it by video id."""
    rng, made = np.random.default_rng(0), {}
    for folder, name, seconds in (("", "v_Archery_g01_c01", 3), ("", "v_Biking_g02_c03", 40), ("more", "v_Diving", 1)):
        made[name] = rng.normal(size=(seconds, 6)).astype(np.float32)
        (tmp_path / "npy" / folder).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "npy" / folder / f"{name}.npy", made[name])
    return tmp_path / "npy", made


def test_features_become_a_store(arrays, tmp_path):
    folder, made = arrays
    (tmp_path / "index.json").write_text(json.dumps({"archery": ["v_Archery_g01_c01"], "biking": ["v_Biking_g02_c03"]}))
    seen = []
    report = import_features(
        folder,
        tmp_path / "store",
        width=6,
        index=tmp_path / "index.json",
        on_progress=lambda *state: seen.append(state),
    )
    assert (report.done, report.skipped, report.failed) == (3, 0, []) and seen == [(1, 3, 0), (2, 3, 0), (3, 3, 0)]
    store = FeatureStore(tmp_path / "store")
    assert store.ids == sorted(made)
    for id, features in made.items():
        np.testing.assert_array_equal(store.features(id), features.astype(np.float16).astype(np.float32))
    assert store.labels == {"v_Archery_g01_c01": "archery", "v_Biking_g02_c03": "biking", "v_Diving": ""}
    assert store.provenance["encoder"] == "bit-released" and store.provenance["fingerprint"] == BY_NAME
    assert store.dim == 6

    np.save(folder / "v_Later.npy", np.ones((2, 6), np.float32))
    report = import_features(folder, tmp_path / "store", width=6)
    assert (report.done, report.skipped) == (1, 3) and len(FeatureStore(tmp_path / "store")) == 4
    (tmp_path / "other.json").write_text(json.dumps({"rowing": ["v_Archery_g01_c01"]}))
    with pytest.raises(MismatchError, match="'archery', the index says 'rowing'"):
        import_features(folder, tmp_path / "store", width=6, index=tmp_path / "other.json")
    with pytest.raises(MismatchError, match="was made with encoder bit-released"):
        import_features(folder, tmp_path / "store", width=6, encoder="bit")


def test_a_broken_array_is_reported_and_nothing_is_unpickled(arrays, tmp_path, monkeypatch):
    folder, made = arrays
    monkeypatch.chdir(tmp_path)
    np.save(folder / "objects.npy", np.array([[Harm()] * 6], dtype=object), allow_pickle=True)
    (folder / "pickle.npy").write_bytes(pickle.dumps(Harm()))
    (folder / "empty.npy").touch()
    (folder / "cut.npy").write_bytes((folder / "v_Biking_g02_c03.npy").read_bytes()[:-8])
    np.savez(tmp_path / "z.npz", made["v_Diving"])
    (tmp_path / "z.npz").rename(folder / "zip.npy")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 6), }"
    header += b" " * (117 - len(header)) + b"\n"
    (folder / "terabytes.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(9))
    (folder / "strange.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00__import__('os')" + bytes(9))
    for name, array in {
        "wide": np.ones((2, 7), np.float32),
        "flat": np.ones(6, np.float32),
        "none": np.ones((0, 6), np.float32),
        "whole": np.ones((2, 6), np.int64),
        "nan": np.full((2, 6), np.nan, np.float32),
        "huge": np.full((2, 6), 1e6, np.float32),
    }.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "notes.txt").write_text("x")
    report = import_features(folder, tmp_path / "store", width=6)
    assert report.done == 3 and FeatureStore(tmp_path / "store").ids == sorted(made)
    reasons = {failure.id: failure.reason for failure in report.failed}
    assert set(reasons) == {
        "objects", "pickle", "empty", "cut", "zip", "terabytes", "strange", "wide", "flat", "none", "whole", "nan",
        "huge",
    }  # fmt: skip
    assert "(2, 7)" in reasons["wide"] and "(6,)" in reasons["flat"] and "int64" in reasons["whole"]
    assert "float16" in reasons["huge"] and "no usable .npy" in reasons["objects"]
    assert not (tmp_path / "canary").exists()


def test_folders_without_features_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        import_features(tmp_path / "none", tmp_path / "store")
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"holds no \.npy"):
        import_features(tmp_path / "a", tmp_path / "store")
    for name in "ab":
        (tmp_path / "two" / name).mkdir(parents=True)
        np.save(tmp_path / "two" / name / "v.npy", np.ones((1, 6), np.float32))
    with pytest.raises(InputError, match=r"2 files v\.npy"):
        import_features(tmp_path / "two", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_descriptions_in_any_encoding(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    written = {
        "apply_eye_makeup": ("A person paints the lids – façade.\r\n", "utf-8"),
        "tai chi": ("Slow “moves”, a café.", "cp1252"),
        "yo_yo": ("A toy on a string — naïve.\n\nIt spins.\n", "utf-16"),
        "Biking": ("\ufeffRiding a bicycle.", "utf-8"),
    }
    for name, (sentence, encoding) in written.items():
        (folder / f"{name}.txt").write_bytes(sentence.encode(encoding))
    found = import_descriptions(folder, tmp_path / "d.json")
    assert found == {
        "Biking": ["Riding a bicycle."],
        "apply eye makeup": ["A person paints the lids – façade."],
        "tai chi": ["Slow “moves”, a café."],
        "yo yo": ["A toy on a string — naïve.", "It spins."],
    }
    assert load_descriptions(tmp_path / "d.json") == found
    (folder / "image.txt").write_bytes(bytes(range(256)))
    with pytest.raises(FormatError, match=r"image\.txt is not a text file"):
        import_descriptions(folder, tmp_path / "again.json")
    with pytest.raises(InputError, match="is no folder"):
        import_descriptions(tmp_path / "d.json", tmp_path / "again.json")
    assert not (tmp_path / "again.json").exists()


def test_splits(tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    hard = {"training": ["Haircut", "Biking", "hair cut"], "testing": ["Horse Race", "Haircut", "HorseRace"]}
    (folder / "hard.json").write_text(json.dumps(hard), encoding="utf-8-sig")
    (folder / "all.json").write_text(json.dumps({"testing": ["abseiling"]}))
    splits = import_splits(folder, tmp_path / "out")
    assert {name: shared_classes(split) for name, split in splits.items()} == {"hard": ["Haircut"], "all": []}
    assert load_split(tmp_path / "out/hard.json") == {
        "training": ["Haircut", "Biking"],
        "testing": ["Horse Race", "Haircut"],
    }
    assert load_split(tmp_path / "out/all.json") == {"training": [], "testing": ["abseiling"]}
    assert list(import_splits(folder / "all.json", tmp_path / "one")) == ["all"]
    (folder / "index.json").write_text(json.dumps({"archery": ["v1"]}))
    with pytest.raises(FormatError, match=r"index\.json names no class to test"):
        import_splits(folder, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.json"):
        import_splits(tmp_path / "empty", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_captions_of_several_models(tmp_path):
    def entry(sentence):
        return {"sentence": sentence, "timestamp": [0.0, 4.119999885559082]}

    files = {
        "a.json": {"v1": [entry("A man is seated"), entry(" ")], "v2": [entry("A girl jumps")]},
        "b.json": {"v2": [entry("A girl jumps onto a bar")], "v3": [entry("")], "v4": [entry("A dog")]},
    }
    for name, results in files.items():
        (tmp_path / name).write_text(json.dumps({"version": "VERSION 1.0", "external_data": {}, "results": results}))
    found = import_captions([tmp_path / "a.json", tmp_path / "b.json"], tmp_path / "c.json")
    assert found == {"v1": ["A man is seated"], "v2": ["A girl jumps", "A girl jumps onto a bar"], "v4": ["A dog"]}
    assert load_captions(tmp_path / "c.json") == found == load_captions([tmp_path / "a.json", tmp_path / "b.json"])
    written = json.loads((tmp_path / "c.json").read_text())["results"]
    assert written["v1"] == [entry("A man is seated")] and "v3" not in written
    (tmp_path / "d.json").write_text(json.dumps({"results": {"v1": ["no table"]}}))
    with pytest.raises(FormatError, match="'v1' should have a list"):
        import_captions([tmp_path / "a.json", tmp_path / "d.json"], tmp_path / "e.json")
    with pytest.raises(InputError, match="no caption file"):
        import_captions([], tmp_path / "e.json")
    assert not (tmp_path / "e.json").exists()
