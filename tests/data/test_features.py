"""The feature store against plain dictionaries of arrays, and what it refuses."""

import hashlib
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from cezsar.data import features as features_module
from cezsar.data.features import FeatureStore, ObjectVocabulary, StoreWriter
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError

PROVENANCE = {"encoder": "toy", "fingerprint": "f" * 64, "dim": 5, "fps": 1.0, "domain": "nothing real"}
VOCABULARY = ObjectVocabulary(["ball", "rope", "hat"], ["round toy", "long thing", ""], "head" * 16)
ONE = np.ones((1, 5))


def videos(count, seed=0):
    rng = np.random.default_rng(seed)
    return {f"v{i:03d}": rng.normal(size=(rng.integers(1, 8), 5)).astype(np.float32) for i in range(count)}


def write(folder, content, shard_videos=256):
    with StoreWriter(folder, PROVENANCE, shard_videos=shard_videos) as writer:
        for id, features in content.items():
            writer.add(id, features, label=f"class {len(features)}", path=f"/clips/{id}.mp4")
    return FeatureStore(folder)


def test_shards_are_plain_hdf5(tmp_path):
    content = videos(10)
    store = write(tmp_path / "s", content, shard_videos=4)
    assert [path.name for path in sorted((tmp_path / "s").glob("*.h5"))] == [f"shard-0000{i}.h5" for i in range(3)]
    assert (len(store), store.dim) == (10, 5) and store.features("v000").dtype == np.float32
    assert {key: store.provenance[key] for key in PROVENANCE} == PROVENANCE
    with h5py.File(tmp_path / "s/shard-00000.h5") as file:
        rows = list(content.values())[:4]
        assert file["features"].dtype == np.float16 and file["offsets"].dtype == np.int64
        np.testing.assert_array_equal(file["features"][:], np.concatenate(rows).astype(np.float16))
        assert file["offsets"][:].tolist() == [sum(map(len, rows[:i])) for i in range(5)]
        assert [id.decode() for id in file["ids"][:]] == list(content)[:4]
        assert json.loads(file.attrs["provenance"])["encoder"] == "toy"


def test_odd_names_and_what_is_not_there(tmp_path):
    with StoreWriter(tmp_path, PROVENANCE) as writer:
        writer.add("прыжок/跳_01", ONE, label='say "hé, là"', path=os.fsdecode(b"/caf\xe9.mp4"))
        writer.add("a", np.ones((3, 5)))
    store = FeatureStore(tmp_path)
    assert (store.labels["прыжок/跳_01"], store.paths["прыжок/跳_01"]) == ('say "hé, là"', "/caf\\xe9.mp4")
    assert store.rows("a", 1, 99).shape == (2, 5)
    with pytest.raises(InputError, match="has 3 rows"):
        store.rows("a", 3, 4)
    with pytest.raises(InputError, match="holds no video 'b'"):
        store.features("b")
    (tmp_path / "empty").mkdir()
    for folder, said in (("nowhere", "is not a folder"), ("empty", "no feature shards")):
        with pytest.raises(InputError, match=said):
            FeatureStore(tmp_path / folder)


def test_objects_and_their_names(tmp_path):
    with StoreWriter(tmp_path, PROVENANCE, vocabulary=VOCABULARY) as writer:
        writer.add("with", ONE, objects=(np.array([2, 0]), np.array([0.7, 0.2])))
        writer.add("without", ONE)
        writer.add("one", ONE, objects=(np.array([1]), np.array([0.9])))
    store = FeatureStore(tmp_path)
    indices, probabilities = store.objects("with")
    assert indices.tolist() == [2, 0] and probabilities.tolist() == np.array([0.7, 0.2], np.float32).tolist()
    assert store.objects("without") is None and store.objects("one")[0].tolist() == [1]
    assert store.vocabulary == VOCABULARY and write(tmp_path / "none", videos(1)).vocabulary is None
    names = tmp_path / "objects.json"
    content = names.read_text()
    for bad in (content.replace("head", "tail"), "{", "[]", None):
        names.unlink() if bad is None else names.write_text(bad)
        with pytest.raises(FormatError, match=r"objects\.json.*(copy it|extract again)"):
            _ = FeatureStore(tmp_path).vocabulary


def test_the_fingerprint_is_that_of_content(tmp_path):
    content = videos(9)
    fingerprint = write(tmp_path / "a", content).fingerprint
    for number, other in enumerate([
        content | {"v004": content["v004"] + 0.5},
        {("w" if id == "v004" else id): features for id, features in content.items()},
        dict(list(content.items())[:-1]),
    ]):  # fmt: skip
        assert write(tmp_path / str(number), other).fingerprint != fingerprint
    kept = np.array([[1, 2, 3, 4, 5]], dtype="<f2")
    one = hashlib.sha256(b'["a", "l", [1, 5]]' + kept.tobytes() + b"\2\0\0\0" + b"\0\0\0\x3f").digest()
    with StoreWriter(tmp_path / "one", PROVENANCE, vocabulary=VOCABULARY) as writer:
        writer.add("a", kept, label="l", objects=(np.array([2]), np.array([0.5])))
    assert FeatureStore(tmp_path / "one").fingerprint == hashlib.sha256(b"f" * 64 + one).hexdigest()


def test_an_index_says_what_the_shards_say_and_is_not_believed_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(features_module, "INDEXED", 2)
    content = videos(9)
    write(tmp_path, dict(list(content.items())[:7]), shard_videos=2)
    store = write(tmp_path, dict(list(content.items())[7:]))
    index, order = tmp_path / "index.npz", [*reversed(content), *content]
    for damage in (lambda: None, lambda: index.write_bytes(index.read_bytes()[:-300]), index.unlink):
        damage()
        again = FeatureStore(tmp_path)
        assert (again.ids, again.labels, again.paths) == (list(content), store.labels, store.paths)
        assert again.fingerprint == store.fingerprint
        read = [features for block in again.blocks(order, videos=4) for features in block]
        for id, features in zip(order, read, strict=True):
            np.testing.assert_array_equal(features, content[id].astype(np.float16))
    write(tmp_path, {})
    assert not index.exists()  # nothing was new
    one = write(tmp_path / "one", {"other": content["v000"]})
    (one.folder / "shard-00000.h5").replace(tmp_path / "shard-00000.h5")
    assert FeatureStore(tmp_path).ids == ["other", *list(content)[2:]]


def test_appending_knows_what_is_there(tmp_path):
    content = videos(6)
    write(tmp_path, dict(list(content.items())[:4]), shard_videos=3)
    (tmp_path / ".tmp-shard-00002-killed.h5").write_bytes(b"half a shard")
    with StoreWriter(tmp_path, PROVENANCE | {"domain": "said otherwise"}) as writer:
        assert "v003" in writer and "v004" not in writer
        with pytest.raises(InputError, match="'v003' is already in"):
            writer.add("v003", content["v003"])
        for id in ("v004", "v005"):
            writer.add(id, content[id], label=f"class {len(content[id])}")
    assert not list(tmp_path.glob(".tmp-*"))
    store = FeatureStore(tmp_path)
    assert store.provenance["domain"] == "nothing real"
    assert store.fingerprint == write(tmp_path / "once", content).fingerprint


def test_shards_end_at_a_flush_and_at_a_size_and_an_exception_leaves_complete_ones_only(tmp_path, monkeypatch):
    with StoreWriter(tmp_path / "flush", PROVENANCE) as writer:
        writer.add("a", ONE)
        writer.flush()
        writer.add("b", ONE)
        assert FeatureStore(tmp_path / "flush").ids == ["a"]
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "stopped", PROVENANCE, shard_videos=2) as writer:
        for id, features in videos(3).items():
            writer.add(id, features)
        raise RuntimeError
    assert FeatureStore(tmp_path / "stopped").ids == ["v000", "v001"]
    monkeypatch.setattr(features_module, "SHARD_BYTES", 200)
    write(tmp_path / "bytes", {f"v{i}": np.ones((10, 5)) for i in range(6)})
    assert len(list((tmp_path / "bytes").glob("shard-*.h5"))) == 3


def test_refused_videos_leave_the_store_usable(tmp_path):
    with StoreWriter(tmp_path, PROVENANCE) as writer:
        for id, features, said in [
            ("clip", np.array([[1, 2, np.nan, 4, 5]]), "'clip'.*second 0.*NaN"),
            ("clip", np.array([[0.0] * 5, [1, 2, np.inf, 4, 5]]), "second 1.*infinite"),
            ("clip", np.array([[1, 2, 70000, 4, 5]]), "second 0.*float16"),
            ("clip", np.ones((2, 4)), "'clip'.*\\(2, 4\\) instead of \\(T, 5\\)"),
            ("clip", np.ones((0, 5)), "'clip'.*T >= 1"),
            ("", ONE, "its id '' is empty"),
            (os.fsdecode(b"caf\xe9"), ONE, "not valid Unicode"),
        ]:
            with pytest.raises(InputError, match=said):
                writer.add(id, features)
        writer.add("clip", np.full((1, 5), 65504.0))
    assert FeatureStore(tmp_path).features("clip").tolist() == [[65504.0] * 5]


def test_another_encoder_is_refused_by_name(tmp_path):
    write(tmp_path, videos(1))
    for change, said in (
        ({"encoder": "other", "fingerprint": "0" * 64}, "encoder toy.*not other"),
        ({"fingerprint": "0" * 64}, "fingerprint ffffffff.*not toy.*00000000"),
        ({"dim": 6}, "dim 5.*dim 6"),
    ):
        with pytest.raises(MismatchError, match=said):
            StoreWriter(tmp_path, PROVENANCE | change)
    with pytest.raises(MismatchError, match="object_head"):
        StoreWriter(tmp_path, PROVENANCE, vocabulary=VOCABULARY)
    StoreWriter(tmp_path, PROVENANCE).close()  # a refused writer holds no lock


def edit(name, value):
    def change(path):
        with h5py.File(path, "r+") as file:
            if name in file:
                del file[name]
                if value is not None:
                    file[name] = value
            else:
                file.attrs[name] = value

    return change


def compress(path, name):
    with h5py.File(path, "r+") as file:
        rows = file.pop(name)[:]
        file.create_dataset(name, data=rows, compression="gzip")


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-300]),
    "foreign": edit("format", "other"),
    "offsets backwards": edit("offsets", np.array([0, 2, 1, 3])),
    "ids not UTF-8": edit("ids", np.array([b"a", b"\xff", b"c"])),
    "wide features": edit("features", np.ones((3, 6), np.float16)),
    "provenance not JSON": edit("provenance", np.bytes_("{")),
    "another encoder": edit("provenance", np.bytes_(json.dumps(PROVENANCE | {"fingerprint": "0" * 64}))),
    "compressed": lambda path: compress(path, "features"),
    "repeated id": edit("ids", np.array([b"a", b"b", b"a"])),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_shards_are_named_with_the_way_out(tmp_path, kind):
    write(tmp_path, {"first": ONE})
    write(tmp_path, dict.fromkeys("abc", ONE))
    DAMAGE[kind](tmp_path / "shard-00001.h5")
    for use in (FeatureStore, lambda folder: StoreWriter(folder, PROVENANCE)):
        with pytest.raises(
            (FormatError, MismatchError), match=r"shard-00001.*(Delete|move|update|remove|another|h5repack)"
        ):
            use(tmp_path)


def test_flipped_bytes_end_in_an_error_of_ours_or_in_none(tmp_path):
    write(tmp_path, videos(12))
    path = tmp_path / "shard-00000.h5"
    good = path.read_bytes()
    rng, found = np.random.default_rng(0), 0
    for position in rng.integers(len(good), size=150):
        bad = bytearray(good)
        bad[position] ^= rng.integers(1, 256)
        path.write_bytes(bad)
        try:
            store = FeatureStore(tmp_path)
            for id in store:
                store.features(id)
        except CezsarError:
            found += 1
    assert found > 25


def test_films_that_changed_are_known_and_dropped(tmp_path):
    """The size of the film, and at the same place its time, say whether features are still its own."""
    films = {id: tmp_path / f"{id}.mp4" for id in ("same", "touched", "longer", "moved", "gone")}
    for path in films.values():
        path.write_bytes(b"film")
    with StoreWriter(tmp_path / "s", PROVENANCE, shard_videos=3, vocabulary=VOCABULARY) as writer:
        for number, (id, path) in enumerate(films.items()):
            objects = (np.array([number % 3]), np.array([0.5])) if number else None
            writer.add(id, np.full((2, 5), number), label=id, path=path, objects=objects)
        writer.add("unknown", ONE)
    os.utime(films["touched"], (1, 1))
    films["longer"].write_bytes(b"longer film")
    films["moved"] = films["moved"].rename(tmp_path / "elsewhere.mp4")
    os.utime(films["moved"], (1, 1))
    films["gone"].unlink()
    with StoreWriter(tmp_path / "s", PROVENANCE, vocabulary=VOCABULARY) as writer:
        given = films | {"unknown": films["same"], "new": films["same"]}
        assert writer.drop_replaced(given) == ["touched", "longer"] and "longer" not in writer
        writer.add("longer", np.zeros((1, 5)), path=films["longer"])
        assert writer.drop_replaced(films) == []
    store = FeatureStore(tmp_path / "s")
    assert store.ids == ["same", "moved", "gone", "unknown", "longer"]
    assert (store.labels["moved"], store.features("gone").tolist()) == ("moved", [[4.0] * 5] * 2)
    assert [store.objects(id) is None for id in store] == [True, False, False, True, True]
    for id in ("same", "longer", "moved"):
        films[id].write_bytes(b"of another size")
    with StoreWriter(tmp_path / "s", PROVENANCE, vocabulary=VOCABULARY) as writer:
        assert writer.drop_replaced(films) == ["same", "moved", "longer"]
    before = write(tmp_path / "old", videos(3)).fingerprint  # a store of earlier versions does not know its films
    with h5py.File(tmp_path / "old/shard-00000.h5", "r+") as file:
        del file["files"]
    assert FeatureStore(tmp_path / "old").fingerprint == before
    with StoreWriter(tmp_path / "old", PROVENANCE) as writer:
        assert writer.drop_replaced({"v001": films["same"]}) == []


def test_one_writer_at_a_time(tmp_path):
    code = "import time; from cezsar.data.features import StoreWriter; "
    code += f"w = StoreWriter({str(tmp_path)!r}, {PROVENANCE!r}); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process is at it"):
            StoreWriter(tmp_path, PROVENANCE)
        holder.kill()
    with StoreWriter(tmp_path, PROVENANCE), pytest.raises(InputError, match="another process is at it"):
        StoreWriter(tmp_path, PROVENANCE)  # the lock of a dead writer does not count, that of a living one does


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the limit on file size is POSIX")
def test_a_full_disk_keeps_complete_shards(tmp_path):
    code = f"""
import os, resource, signal
import numpy as np
from cezsar.data.features import StoreWriter
from cezsar.errors import CezsarError, InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with StoreWriter({str(tmp_path)!r}, {PROVENANCE!r}) as writer:
    writer.add("a", np.ones((10, 5)))
    writer.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    writer.add("b", np.ones((10_000, 5)))
    try:
        writer.flush()
    except CezsarError as error:
        assert not isinstance(error, InputError) and "cannot be written" in str(error), error
        print("refused", flush=True)
        os._exit(0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "refused\n", run.stderr
    assert FeatureStore(tmp_path).ids == ["a"]
