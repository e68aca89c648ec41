"""The sentence cache answers like its encoder, asks it once, and survives damage and company."""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cezsar.data import sentence_cache
from cezsar.data.sentence_cache import SentenceCache, ship
from cezsar.errors import InputError


class Letters:
    """A vector of letter counts; remembers what it was asked."""

    name, dim, fingerprint = "letters", 26, "l" * 64

    def __init__(self):
        self.asked = []

    def encode(self, sentences):
        self.asked += sentences
        return np.array([count(sentence) for sentence in sentences])


def count(sentence):
    return [float(sentence.count(chr(97 + i))) for i in range(26)]


def sentences(number):
    rng = np.random.default_rng(number)
    return ["".join(chr(97 + c) for c in rng.integers(0, 26, 12)) for _ in range(number)]


def asked(folder, given, *, encode=None):
    """What an encoder is asked by a program that starts now."""
    encoder = Letters()
    encoder.encode = encode or encoder.encode
    SentenceCache(encoder, folder).encode(given)
    return encoder.asked


@pytest.mark.parametrize("disk", [True, False])
def test_order_and_repetition(tmp_path, disk):
    encoder = Letters()
    cache = SentenceCache(encoder, tmp_path if disk else None)
    given = ["b", "aa", "b", "", "aa", "ü é", "b"]
    made = cache.encode(given)
    assert made.dtype == np.float32 and made.tolist() == [count(sentence) for sentence in given]
    assert cache.encode(["aa", "c"]).tolist() == [count("aa"), count("c")]
    assert encoder.asked == ["b", "aa", "", "ü é", *(["c"] if disk else ["aa", "c"])]
    assert cache.encode([]).shape == (0, 26)
    assert (cache.name, cache.dim, cache.fingerprint) == ("letters", 26, "l" * 64)
    assert any(tmp_path.iterdir()) == disk


def test_kept_for_others_block_by_block(tmp_path, monkeypatch):
    """What was encoded is found by a program that starts later and by one that runs, though the end was not reached."""
    monkeypatch.setattr(sentence_cache, "BLOCK_SENTENCES", 10)
    given, early = sentences(110), Letters()
    running = SentenceCache(early, tmp_path)
    running.encode(given[:1])
    assert asked(tmp_path, given[:90]) == given[1:90]
    assert running.encode(given[89::-1]).tolist() == [count(sentence) for sentence in given[89::-1]]
    assert early.asked == given[:1]
    other = Letters()
    other.fingerprint = "o" * 64
    SentenceCache(other, tmp_path).encode(given[:1])
    assert other.asked == given[:1]

    def stop(block):
        if given[91] in block:
            raise KeyboardInterrupt
        return Letters().encode(block)

    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path, [*sentences(10), *given], encode=stop)
    assert asked(tmp_path, sentences(10)) == []


def in_table(command, *values):
    def change(path):
        with contextlib.closing(sqlite3.connect(path)) as table, table:
            table.execute(command, values)

    return change


@pytest.mark.parametrize(("damage", "told"), [
    (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
    (lambda path: path.write_text("text that is long enough " * 100), "damaged"),
    (in_table("UPDATE vectors SET vector = ?", np.full(26, np.nan, "<f4").tobytes()), ""),
])  # fmt: skip
def test_what_is_damaged_is_made_again(tmp_path, damage, told):
    given = sentences(200)
    assert asked(tmp_path, given) == given
    damage(tmp_path / f"{'l' * 64}.sqlite")
    with pytest.warns(UserWarning, match=told) if told else contextlib.nullcontext():
        assert asked(tmp_path, given) == given
    assert asked(tmp_path, given) == []


def test_threads_ask_once(tmp_path):
    encoder = Letters()
    cache = SentenceCache(encoder, tmp_path)
    given = sentences(50)

    def ask(seed):
        order = np.random.default_rng(seed).permutation(50)
        assert cache.encode([given[i] for i in order]).tolist() == [count(given[i]) for i in order]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert sorted(encoder.asked) == sorted(given)


def test_what_is_no_sentence_and_an_encoder_that_answers_nonsense(tmp_path):
    with pytest.raises(InputError, match="is no sentence"):
        asked(tmp_path, ["fine", "\udce9"])
    with pytest.raises(InputError, match="letters gave"):
        asked(tmp_path, ["a", "b"], encode=lambda sentences: np.full((2, 26), np.nan))
    assert not any(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="are not kept"):
        assert asked(tmp_path / "file", ["a"]) == ["a"]


def test_vectors_that_come_along_are_read_and_left_alone(tmp_path):
    told = ["a drum", "a harp"]
    shard = ship(Letters(), told, tmp_path / "shipped")
    before, encoder = shard.read_bytes(), Letters()
    encoder.encode = None  # it must not be asked
    for folder in (tmp_path / "own", None):
        vectors = SentenceCache(encoder, folder, [tmp_path / "shipped"]).encode(told)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, Letters().encode(told), rtol=1e-3)
    assert not (tmp_path / "own").exists()
    ship(Letters(), told, tmp_path / "old", half=False)  # as earlier versions kept them
    np.testing.assert_array_equal(SentenceCache(encoder, tmp_path / "old").encode(told), Letters().encode(told))
    wide = np.zeros((1, 5), np.float16)
    for damage in (
        lambda: shard.write_bytes(before[:50]), lambda: np.savez(shard, other=wide),
        lambda: np.savez(shard, keys=np.zeros((1, 32), np.uint8), vectors=wide),
    ):  # fmt: skip
        damage()
        left = shard.read_bytes()
        with pytest.warns(UserWarning, match="damaged"):
            made = SentenceCache(Letters(), None, [tmp_path / "shipped"]).encode(told)
        np.testing.assert_array_equal(made, Letters().encode(told))
        assert shard.read_bytes() == left  # not ours to remove
