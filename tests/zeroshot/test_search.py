"""The nearest of very many, against sorted products of float64, and what is kept of clips and sentences."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from cezsar.data.datasets import Dataset
from cezsar.data.features import FeatureStore
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.training.runs import Run
from cezsar.zeroshot import search
from cezsar.zeroshot.fusion import cosine
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.search import index_of, nearest


def drawn(count, seed, width=20):
    """Unit rows about 12 centres; the third one comes again and again."""
    rng = np.random.default_rng(seed)
    rows = np.random.default_rng(5).normal(size=(12, width))[rng.integers(12, size=count)]
    rows += 0.3 * rng.normal(size=rows.shape)
    rows[3::7] = rows[2]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sorted_all(queries, rows, k):
    """By every product in float64, a pair at a time, then by place."""
    found = []
    for query in queries.astype(np.float64):
        products = [np.float32((query * row).sum()) for row in rows.astype(np.float64)]
        found.append(sorted(range(len(rows)), key=lambda place: (-products[place], place))[:k])
    return np.array(found)


@pytest.mark.parametrize("block_bytes", [1, 999, 1 << 20])
@pytest.mark.parametrize("kind", ["float32", "float16 map", "all equal", "rising"])
def test_exactly_those_that_sorting_gives(tmp_path, monkeypatch, kind, block_bytes):
    for name, value in {"BLOCK_BYTES": block_bytes, "QUERIES": 4, "PAIRS": 50}.items():
        monkeypatch.setattr(search, name, value)
    rows, queries = drawn(150, 0), drawn(6, 1)
    if kind == "float16 map":
        np.save(tmp_path / "rows.npy", rows.astype(np.float16))
        rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    elif kind == "all equal":
        rows = rows[[5] * 150]
    elif kind == "rising":  # each block is better than all before
        rows = rows[np.argsort(rows @ queries[0])]
    told = []
    for k in (1, 10, 150):
        products, found = nearest(queries, rows, k, progress=lambda done, of: told.append((done, of)))
        assert found.tolist() == sorted_all(queries, rows, k).tolist()
        expected = np.take_along_axis(queries @ rows.astype(np.float32).T, found, 1)
        np.testing.assert_allclose(products, expected, atol=1e-6)
        assert told[-1] == (6, 6)


def test_what_cannot_be_searched_is_told():
    rows = drawn(50, 0)
    for k in (0, 51):
        with pytest.raises(InputError, match="choose from 1 to 50"):
            nearest(rows[:2], rows, k)
    with pytest.raises(InputError, match="not of one space"):
        nearest(rows[:2, :5], rows, 3)
    for bad in (np.nan, np.inf):
        broken = rows.copy()
        broken[17, 3] = bad
        with pytest.raises(InputError, match="row 17 is not finite"):
            nearest(rows[:2], broken, 3)
        with pytest.raises(InputError, match="query 17 is not finite"):
            nearest(broken, rows, 3)


def test_an_index_finds_nearly_all_and_is_kept(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "PROBED", 8)
    rows, queries, path = drawn(3000, 0), drawn(40, 1), tmp_path / "index.faiss"
    index = index_of(rows, path)
    made = path.stat().st_mtime_ns
    exact, (products, found) = nearest(queries, rows, 10), nearest(queries, rows, 10, index)
    recall = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(exact[1], found, strict=True)])
    assert 0.95 <= recall <= 1 and (np.diff(products) <= 0).all()
    np.testing.assert_allclose(products, np.take_along_axis(queries @ rows.T, found, 1), atol=1e-6)
    assert nearest(queries, rows, 10, index_of(rows, path))[1].tolist() == found.tolist()
    assert path.stat().st_mtime_ns == made
    # of cells that hold fewer, all are compared
    assert nearest(queries[:2], rows, 2900, index)[1].tolist() == nearest(queries[:2], rows, 2900)[1].tolist()
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(CezsarError, match=r"cezsar\[faiss\]"):
        index_of(rows, path)


@pytest.fixture
def demo(workspace):
    return Run.open(workspace / "runs/demo"), workspace / "features/demo-test"


def similarities(run, store, **weights):
    """(N, C) as `cezsar evaluate` has them, of the clips of a store, and the classes."""
    data = Dataset("stored", dict(FeatureStore(store).labels), run.descriptions())
    ready = prepare(None, Sources(data, data.descriptions, [FeatureStore(store)]), run)
    return cosine(ready.scores, ready.weights.changed(**weights)), ready.scores.class_names


@pytest.mark.parametrize("weights", [{}, {"alpha": 1.0, "beta": 0.0}])
def test_clips_that_show_a_label_are_those_that_evaluation_ranks_first(demo, weights):
    run, store = demo
    gallery = search.open_gallery(store, run, **weights)
    cosine_NC, classes = similarities(run, store, **weights)
    hits = list(search.showing(gallery, [name.upper() for name in classes], 4))
    assert [hit.text for hit in hits[::4]] == [name.upper() for name in classes]  # of the run's own description
    ids = FeatureStore(store).ids
    for number, column in enumerate(cosine_NC.T):
        own = hits[4 * number : 4 * number + 4]
        assert [hit.rank for hit in own] == [1, 2, 3, 4]
        np.testing.assert_allclose([hit.similarity for hit in own], np.sort(column)[::-1][:4], atol=1e-5)
        np.testing.assert_allclose([column[ids.index(hit.clip)] for hit in own], np.sort(column)[::-1][:4], atol=1e-5)
    several = {"both": [text for name in classes[:2] for text in run.descriptions()[name]]}
    best = np.sort(cosine_NC[:, :2].max(axis=1))[::-1]
    found = list(search.showing(gallery, several, 99))
    assert len({hit.clip for hit in found}) == len(ids)
    np.testing.assert_allclose([hit.similarity for hit in found], best, atol=1e-5)


def test_what_was_kept_and_is_damaged_is_refused_by_name(demo, monkeypatch, tmp_path):
    run, store = demo
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    rows_NE = np.array(search.open_gallery(store, run).rows_NE)
    rows, about = (next(tmp_path.glob(f"cache/search/*/{name}.npy")) for name in ("rows", "clips"))
    told = np.load(about)
    broken = rows_NE.copy()
    broken[3, 0] = np.nan
    for path, array, words in (
        (rows, rows_NE[:, 1:], r"rows\.npy is damaged"), (rows, rows_NE.astype(int), r"rows\.npy is damaged"),
        (rows, rows_NE[1:], "not all of one making"), (rows, rows_NE[:, 0], r"rows\.npy is damaged"),
        (about, told["id"], r"clips\.npy is damaged"), (rows, broken, r"rows\.npy: row 3 is not finite"),
    ):  # fmt: skip
        whole = path.read_bytes()
        np.save(path, array)
        with pytest.raises(InputError, match=words):
            search.showing(search.open_gallery(store, run), run.descriptions(), 2)
        path.write_bytes(whole)
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"rows\.npy is damaged .*remove its folder"):
        search.open_gallery(store, run)
    (tmp_path / "index.faiss").write_bytes(b"IwSq" + bytes(99))
    pytest.importorskip("faiss")
    with pytest.raises(FormatError, match=r"index\.faiss is damaged"):
        index_of(rows_NE, tmp_path / "index.faiss")


def test_what_was_embedded_is_kept_and_a_stop_costs_little(demo, monkeypatch, tmp_path):
    run, store = demo
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    monkeypatch.setattr("cezsar.zeroshot.spaces.BLOCK", 5)
    whole, asked = search.open_gallery(store, run, half=True).rows_NE, []
    assert whole.dtype == np.float16 and len(whole) == 21
    blocks = search.spaces.clip_blocks

    def stopping(space, features, ids, *more):
        for number, block in enumerate(blocks(space, features, ids, *more)):
            asked.append(len(ids))
            if number == 2 and len(ids) == 21:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(search.spaces, "clip_blocks", stopping)
    with pytest.raises(KeyboardInterrupt):
        search.open_gallery(store, run)
    (part,) = tmp_path.glob("cache/search/*/rows.part")
    part.write_bytes(part.read_bytes()[:-3])  # as a killed writer may leave it
    again = search.open_gallery(store, run).rows_NE
    assert asked == [21] * 3 + [12] * 3 and again.dtype == np.float32
    np.testing.assert_allclose(again, whole, atol=1e-3)
    search.open_gallery(store, run)
    assert len(asked) == 6  # nothing more


def test_without_a_run_an_image_text_model_is_needed(demo, tmp_path):
    with pytest.raises(InputError, match="motion, which reads no text; give a run"):
        search.open_gallery(demo[1])


def test_files_hold_every_hit(demo, tmp_path):
    run, store = demo
    hits = search.showing(search.open_gallery(store, run), ["kicking a drum", '+waving, or "greeting"'], 3)
    for path in (tmp_path / "r.csv", tmp_path / "r.json"):
        search.write(path, hits)
    read = json.loads((tmp_path / "r.json").read_text())
    assert read == [hit._replace(similarity=round(hit.similarity, 6))._asdict() for hit in hits] and len(read) == 6
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["text"] for row in rows} == {"kicking a drum", '\'+waving, or "greeting"'}
    assert rows == [{name: re.sub(r"^\+", "'+", str(value)) for name, value in each.items()} for each in read]
