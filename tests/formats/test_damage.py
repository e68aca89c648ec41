"""Damage that readers once did not know: numbers beyond what a float or a count can be, and rows that are too few."""

import json

import numpy as np
import pytest

from cezsar import FormatError
from cezsar.arrays import read_npz
from cezsar.data.datasets import open_dataset
from cezsar.data.descriptions import load_descriptions
from cezsar.sweep import FILE, Sweep
from cezsar.zeroshot import search
from cezsar.zeroshot.evaluation import load_all
from tests.formats.test_versions import OLD

HUGE = 10**400


def changed(value, key, new):
    """The same JSON with every value of that key another one."""
    if isinstance(value, dict):
        return {name: new if name == key else changed(each, key, new) for name, each in value.items()}
    return [changed(each, key, new) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name, key, new, read", [
    ("results.json", "clips", [HUGE] * 5, load_all),
    (FILE, "triplets", HUGE, lambda path: Sweep.load(path.parent)),
    (FILE, "top1", {"VE": [HUGE, HUGE]}, lambda path: Sweep.load(path.parent)),
], ids=["clips", "triplets", "top1"])  # fmt: skip
def test_numbers_that_no_float_holds(tmp_path, name, key, new, read):
    whole = json.loads((OLD / name).read_text())
    assert changed(whole, key, new) != whole
    (tmp_path / name).write_text(json.dumps(changed(whole, key, new)))
    with pytest.raises(FormatError, match=name):
        read(tmp_path / name)


def test_a_class_number_of_thousands_of_digits(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"9" * 5000: "run", "1": "walk"}))
    assert load_descriptions(tmp_path / "a.json") == {"9" * 5000: ["run"], "1": ["walk"]}


@pytest.mark.parametrize("segment", ["[1e999, 3, 'run']", "[0, 1e999, 'run']", "[0, 'run']", "3"])
def test_segments_without_times(tmp_path, segment):
    (tmp_path / "s.json").write_text('{"v": [[0, 3, "run"], ' + segment.replace("'", '"') + "]}")
    with pytest.raises(FormatError, match=r"s\.json"):
        open_dataset(str(tmp_path / "s.json"))


def test_kept_sentences_that_are_too_few(tmp_path, monkeypatch):
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))

    class Space:
        def sentences(self, texts):
            return np.eye(3, dtype=np.float32)[: len(texts)]

    gallery = search.Gallery(Space(), {}, ["a"], tmp_path, np.eye(3, dtype=np.float32), np.zeros(3))
    texts = ["one", "two", "three"]
    kept = search.open_sentences(gallery, texts)
    rows = kept.folder / "rows.npy"
    np.save(rows, np.load(rows)[:2])
    with pytest.raises(FormatError, match="not a row for each sentence"):
        search.open_sentences(gallery, texts)


def test_text_of_numpys_own_is_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", ids=np.array(["run"]))
    with pytest.raises(ValueError, match="numbers or bytes"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", ids=np.array([b"run"]), rows=np.ones(2))
    assert read_npz(tmp_path / "a.npz")["ids"].tolist() == [b"run"]


@pytest.mark.parametrize("dtype", ["S4, (2,)S4, S4", "S4, S4, i4", "S4, S4"])
def test_kept_clips_of_another_kind(tmp_path, dtype):
    named = np.dtype(
        [(name, kind) for name, (kind, _) in zip(search.FIELDS, np.dtype(dtype).fields.values(), strict=False)]
    )
    np.save(tmp_path / "clips.npy", np.zeros(3, named))
    with pytest.raises(FormatError, match=r"clips\.npy"):
        search._kept(tmp_path / "clips.npy")
