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
from cezsar.errors import InputError, MismatchError

ONES = np.ones((2, 6), np.float32)


class Harm:
    def __reduce__(self):
        return (open, ("canary", "w"))


@pytest.fixture
def arrays(tmp_path):
    """A folder as released, and what is in it by video id."""
    rng, made = np.random.default_rng(0), {}
    (tmp_path / "npy/more").mkdir(parents=True)
    for name, seconds in (("v_Archery_g01_c01", 3), ("v_Biking_g02_c03", 40), ("more/v_Diving", 1)):
        made[name.removeprefix("more/")] = features = rng.normal(size=(seconds, 6)).astype(np.float32)
        np.save(tmp_path / "npy" / f"{name}.npy", features)
    return tmp_path / "npy", made


def test_features_become_a_store(arrays, tmp_path):
    (folder, made), out, index, seen = arrays, tmp_path / "store", tmp_path / "index.json", []
    index.write_text(json.dumps({"archery": ["v_Archery_g01_c01"], "biking": ["v_Biking_g02_c03"]}))
    report = import_features(folder, out, width=6, index=index, on_progress=lambda *state: seen.append(state))
    assert (report.done, report.skipped, report.failed) == (3, 0, []) and seen == [(1, 3, 0), (2, 3, 0), (3, 3, 0)]
    store = FeatureStore(out)
    assert store.ids == sorted(made) and store.dim == 6
    for id, features in made.items():
        np.testing.assert_array_equal(store.features(id), features.astype(np.float16).astype(np.float32))
    assert store.labels == {"v_Archery_g01_c01": "archery", "v_Biking_g02_c03": "biking", "v_Diving": ""}
    assert store.provenance["encoder"] == "bit-released" and store.provenance["fingerprint"] == BY_NAME

    np.save(folder / "v_Later.npy", ONES)
    report = import_features(folder, out, width=6)
    assert (report.done, report.skipped) == (1, 3) and len(FeatureStore(out)) == 4
    index.write_text(json.dumps({"rowing": ["v_Archery_g01_c01"]}))
    with pytest.raises(MismatchError, match="'archery', the index says 'rowing'"):
        import_features(folder, out, width=6, index=index)
    with pytest.raises(MismatchError, match="was made with encoder bit-released"):
        import_features(folder, out, width=6, encoder="bit")


def test_a_broken_array_is_reported_and_nothing_is_unpickled(arrays, tmp_path, monkeypatch):
    folder, made = arrays
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "z.npz", ONES)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 6), }"
    header += b" " * (117 - len(header)) + b"\n"
    broken = {
        "pickle": pickle.dumps(Harm()),
        "empty": b"",
        "cut": (folder / "v_Biking_g02_c03.npy").read_bytes()[:-8],
        "zip": (tmp_path / "z.npz").read_bytes(),
        "terabytes": b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(9),
        "objects": np.array([[Harm()] * 6], dtype=object),
        "wide": np.ones((2, 7), np.float32),
        "flat": ONES[0],
        "whole": ONES.astype(int),
        "huge": ONES * 1e6,
    }
    for name, content in broken.items():
        path = folder / f"{name}.npy"
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    (folder / "notes.txt").write_text("x")
    report = import_features(folder, tmp_path / "store", width=6)
    assert report.done == 3 and FeatureStore(tmp_path / "store").ids == sorted(made)
    reasons = {failure.id: failure.reason for failure in report.failed}
    assert set(reasons) == set(broken) and "(2, 7)" in reasons["wide"] and "float16" in reasons["huge"]
    assert not (tmp_path / "canary").exists()


def test_folders_without_features_are_refused(tmp_path):
    for name in ("two/a/v.npy", "two/b/v.npy"):
        (tmp_path / name).parent.mkdir(parents=True)
        np.save(tmp_path / name, ONES)
    for name, said in (("none", "is no folder"), ("two", r"2 files v\.npy")):
        with pytest.raises(InputError, match=said):
            import_features(tmp_path / name, tmp_path / "store")


def test_descriptions_in_any_encoding(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, sentence, encoding in (
        ("apply_eye_makeup.txt", "A person paints the lids – façade.\r\n", "utf-8"),
        ("tai chi.TXT", "Slow “moves”, a café.", "cp1252"),
        ("yo_yo.txt", "A toy on a string — naïve.\n\nIt spins.\n", "utf-16"),
        ("Biking.txt", "\ufeffRiding a bicycle.", "utf-8"),
        (".hidden.txt", "no", "utf-8"),
        ("readme.md", "no", "utf-8"),
    ):
        (folder / name).write_bytes(sentence.encode(encoding))
    found = import_descriptions(folder, tmp_path / "d.json")
    assert found == {
        "Biking": ["Riding a bicycle."],
        "apply eye makeup": ["A person paints the lids – façade."],
        "tai chi": ["Slow “moves”, a café."],
        "yo yo": ["A toy on a string — naïve.", "It spins."],
    }
    assert load_descriptions(tmp_path / "d.json") == found
    (folder / "image.txt").write_bytes(bytes(range(256)))
    for source, said in ((folder, r"image\.txt is not a text file"), (tmp_path / "d.json", "is no folder")):
        with pytest.raises(InputError, match=said):
            import_descriptions(source, tmp_path / "again.json")
    assert not (tmp_path / "again.json").exists()


def test_splits(tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    hard = {"training": ["Haircut", "Biking", "hair cut"], "testing": ["Horse Race", "Haircut", "HorseRace"]}
    (folder / "hard.json").write_text(json.dumps(hard), encoding="utf-8-sig")
    (folder / "all.json").write_text(json.dumps({"testing": ["abseiling"]}))
    splits = import_splits(folder, tmp_path / "out")
    assert {name: shared_classes(split) for name, split in splits.items()} == {"hard": ["Haircut"], "all": []}
    kept = {"training": ["Haircut", "Biking"], "testing": ["Horse Race", "Haircut"]}
    assert load_split(tmp_path / "out/hard.json") == kept
    assert load_split(tmp_path / "out/all.json") == {"training": [], "testing": ["abseiling"]}
    (folder / "index.json").write_text(json.dumps({"archery": ["v1"]}))
    with pytest.raises(InputError, match=r"index\.json names no class to test"):
        import_splits(folder, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_captions_of_several_models(tmp_path):
    def entry(sentence):
        return {"sentence": sentence, "timestamp": [0.0, 4.119999885559082]}

    a, b, c = (tmp_path / f"{name}.json" for name in "abc")
    for file, results in {
        a: {"v1": [entry(" A man is seated"), entry(" ")], "v2": [entry("A girl jumps")]},
        b: {"v2": [entry("A girl on a bar"), entry("A girl jumps")], "v3": [entry("")], "v4": [entry("A dog")]},
    }.items():
        file.write_text(json.dumps({"version": "VERSION 1.0", "external_data": {}, "results": results}))
    found = import_captions([a, b], c)
    assert found == {"v1": 1, "v2": 3, "v4": 1}
    assert load_captions(c) == load_captions([a, b]) == {
        "v1": ["A man is seated"], "v2": ["A girl jumps", "A girl on a bar", "A girl jumps"], "v4": ["A dog"],
    }  # fmt: skip
    written = json.loads(c.read_text())["results"]
    assert written["v1"] == [entry(" A man is seated")] and "v3" not in written
    b.write_text(json.dumps({"results": {"v1": ["no table"]}}))
    with pytest.raises(InputError, match="'v1' should have a list"):
        import_captions([a, b], tmp_path / "e.json")
    assert not (tmp_path / "e.json").exists()
