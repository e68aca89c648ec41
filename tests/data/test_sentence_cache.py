"""The sentence cache answers like its encoder, asks it once, and survives damage and company."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cezsar.data import sentence_cache
from cezsar.data.sentence_cache import SentenceCache, ship
from cezsar.errors import InputError


class Letters:
    """A vector of letter counts; remembers what it was asked."""

    name, dim, fingerprint = "letters", 26, "l" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        self.asked += sentences
        return np.array([count(sentence) for sentence in sentences])


def count(sentence: str) -> list[float]:
    return [float(sentence.count(chr(97 + i))) for i in range(26)]


def sentences(number: int) -> list[str]:
    rng = np.random.default_rng(number)
    return ["".join(chr(97 + c) for c in rng.integers(0, 26, 12)) for _ in range(number)]


@pytest.mark.parametrize("disk", [True, False])
def test_order_and_repetition(tmp_path: Path, disk: bool) -> None:
    encoder = Letters()
    cache = SentenceCache(encoder, tmp_path if disk else None)
    given = ["b", "aa", "b", "", "aa", "ü é", "b"]
    made = cache.encode(given)
    assert made.dtype == np.float32 and made.tolist() == [count(sentence) for sentence in given]
    assert encoder.asked == ["b", "aa", "", "ü é"]
    assert cache.encode(["aa", "c"]).tolist() == [count("aa"), count("c")]
    assert encoder.asked == ["b", "aa", "", "ü é", *(["c"] if disk else ["aa", "c"])]
    assert cache.encode([]).shape == (0, 26)
    assert (cache.name, cache.dim, cache.fingerprint) == ("letters", 26, "l" * 64)
    assert any(tmp_path.iterdir()) == disk


def test_kept_for_others_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was encoded is found by a program that starts later and by one that runs, though the end was not reached."""
    monkeypatch.setattr(sentence_cache, "BLOCK_SENTENCES", 10)
    given, early = sentences(1100), Letters()
    running = SentenceCache(early, tmp_path)
    running.encode(given[:1])
    first, stopped = Letters(), Letters()
    vectors = SentenceCache(first, tmp_path).encode(given[:1090])
    assert first.asked == given[1:1090]
    np.testing.assert_array_equal(running.encode(given[1089::-1]), vectors[::-1])
    assert early.asked == given[:1]
    other = Letters()
    other.fingerprint = "o" * 64
    SentenceCache(other, tmp_path).encode(given[:1])
    assert other.asked == given[:1]

    def stop(block: Sequence[str]) -> np.ndarray:
        if given[1091] in block:
            raise KeyboardInterrupt
        return Letters().encode(block)

    stopped.encode = stop  # type: ignore[method-assign]  # on purpose
    with pytest.raises(KeyboardInterrupt):
        SentenceCache(stopped, tmp_path).encode([*sentences(10), *given])
    again = Letters()
    SentenceCache(again, tmp_path).encode(sentences(10))
    assert again.asked == []


def in_table(command: str, *values: object) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as table:
            table.execute(command, values)
        table.close()

    return change


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
        (lambda path: path.write_text("text that is long enough " * 100), "damaged"),
        (in_table("UPDATE vectors SET vector = ?", np.full(26, np.nan, "<f4").tobytes()), ""),
        (in_table("UPDATE vectors SET vector = ?", bytes(20)), ""),
        (lambda path: path.write_bytes(b""), ""),
    ],
)
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    given = sentences(200)
    first = SentenceCache(Letters(), tmp_path).encode(given)
    damage(tmp_path / f"{'l' * 64}.sqlite")
    encoder, again = Letters(), Letters()
    with pytest.warns(UserWarning, match=told) if told else pytest.MonkeyPatch.context():
        np.testing.assert_array_equal(SentenceCache(encoder, tmp_path).encode(given), first)
    assert encoder.asked == given
    SentenceCache(again, tmp_path).encode(given)
    assert again.asked == []


def test_threads_ask_once(tmp_path: Path) -> None:
    encoder = Letters()
    cache = SentenceCache(encoder, tmp_path)
    given = sentences(50)

    def ask(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(50)
        assert cache.encode([given[i] for i in order]).tolist() == [count(given[i]) for i in order]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert sorted(encoder.asked) == sorted(given)


def test_processes_together(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, warnings
        import numpy as np
        from cezsar.data import sentence_cache
        warnings.simplefilter("error")
        sentence_cache.BLOCK_SENTENCES = 7
        class Hash:
            name, dim, fingerprint = "hash", 4, "h" * 64
            def encode(self, sentences):
                return np.array([[len(s), int(s), int(s) ** 2, 1] for s in sentences], dtype=np.float32)
        rng = np.random.default_rng(int(sys.argv[2]))
        for _ in range(40):
            given = [str(i) for i in rng.integers(0, 300, 30)]
            made = sentence_cache.SentenceCache(Hash(), sys.argv[1]).encode(given)
            assert made.tolist() == Hash().encode(given).tolist()
        """
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0


@pytest.mark.parametrize("bad", [5, None, b"bytes", "\udce9"])
def test_what_is_no_sentence(tmp_path: Path, bad: object) -> None:
    with pytest.raises(InputError, match="is no sentence"):
        SentenceCache(Letters(), tmp_path).encode(["fine", bad])  # type: ignore[list-item]  # on purpose


@pytest.mark.parametrize("answer", [np.zeros((1, 26)), np.zeros((2, 25)), np.full((2, 26), np.nan)])
def test_an_encoder_that_answers_nonsense(tmp_path: Path, answer: np.ndarray) -> None:
    encoder = Letters()
    encoder.encode = lambda sentences: answer  # type: ignore[method-assign]  # on purpose
    with pytest.raises(InputError, match="letters gave"):
        SentenceCache(encoder, tmp_path).encode(["a", "b"])
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="are not kept"):
        assert SentenceCache(Letters(), tmp_path / "file").encode(["a"]).tolist() == [count("a")]


def test_vectors_that_come_along_are_read_and_left_alone(tmp_path: Path) -> None:
    told = ["a drum", "a harp"]
    shard = ship(Letters(), told, tmp_path / "shipped")
    before = shard.read_bytes()
    encoder = Letters()
    encoder.encode = None  # type: ignore[method-assign, assignment]  # it must not be asked
    for folder in (tmp_path / "own", None):
        vectors = SentenceCache(encoder, folder, [tmp_path / "shipped"]).encode(told)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, Letters().encode(told), rtol=1e-3)
    assert not (tmp_path / "own").exists()
    ship(Letters(), told, tmp_path / "old", half=False)  # as earlier versions kept them
    np.testing.assert_array_equal(SentenceCache(encoder, tmp_path / "old").encode(told), Letters().encode(told))
    wide = np.zeros((1, 5), np.float16)
    damages = [
        lambda: shard.write_bytes(before[:50]), lambda: shard.write_bytes(b""), lambda: np.savez(shard, other=wide),
        lambda: np.savez(shard, keys=np.zeros((1, 32), np.uint8), vectors=wide),
        lambda: np.savez(shard, keys=np.array([object()], dtype=object), vectors=wide),
    ]  # fmt: skip
    for damage in damages:
        damage()
        left = shard.read_bytes()
        cache = SentenceCache(Letters(), None, [tmp_path / "shipped"])
        with pytest.warns(UserWarning, match="damaged"):
            np.testing.assert_array_equal(cache.encode(told), Letters().encode(told))
        assert shard.read_bytes() == left  # not ours to remove
