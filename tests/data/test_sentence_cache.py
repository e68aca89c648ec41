"""The sentence cache answers like its encoder, asks it once, and survives damage and company."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
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


def test_kept_for_the_next_program_and_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_cache, "SHARD_SENTENCES", 10)
    given = sentences(35)
    first = SentenceCache(Letters(), tmp_path).encode(given)
    assert len(list((tmp_path / ("l" * 64)).glob("*.npz"))) == 4
    encoder = Letters()
    np.testing.assert_array_equal(SentenceCache(encoder, tmp_path).encode(given[::-1]), first[::-1])
    assert encoder.asked == []


def test_another_encoder_has_its_own(tmp_path: Path) -> None:
    SentenceCache(Letters(), tmp_path).encode(["a"])
    other = Letters()
    other.fingerprint = "o" * 64
    SentenceCache(other, tmp_path).encode(["a"])
    assert other.asked == ["a"]


def test_what_another_process_adds_is_seen(tmp_path: Path) -> None:
    early = Letters()
    cache = SentenceCache(early, tmp_path)
    cache.encode(["a"])
    SentenceCache(Letters(), tmp_path).encode(["b"])
    cache.encode(["b"])
    assert early.asked == ["a"]


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def damage_vectors(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"vectors.npy") + 300] ^= 0xFF
    path.write_bytes(content)


def other_shape(path: Path) -> None:
    np.savez(path, keys=np.zeros((1, 32), np.uint8), vectors=np.zeros((1, 5), np.float32))


def not_finite(path: Path) -> None:
    with np.load(path) as file:
        keys, vectors = file["keys"], file["vectors"]
    np.savez(path, keys=keys, vectors=np.full_like(vectors, np.nan))


@pytest.mark.parametrize(
    "damage",
    [
        damage_end,
        damage_vectors,
        not_finite,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("text"),
        lambda path: np.savez(path, keys=np.array([object()], dtype=object), vectors=np.zeros((1, 26))),
        lambda path: np.savez(path, other=np.zeros(3)),
    ],
)
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: object) -> None:
    given = sentences(20)
    first = SentenceCache(Letters(), tmp_path).encode(given)
    (path,) = (tmp_path / ("l" * 64)).glob("*.npz")
    damage(path)  # type: ignore[operator]  # one of the above
    encoder = Letters()
    with pytest.warns(UserWarning, match=rf"{path.name} is damaged .*; its sentences are encoded again"):
        np.testing.assert_array_equal(SentenceCache(encoder, tmp_path).encode(given), first)
    assert encoder.asked == given
    again = Letters()
    SentenceCache(again, tmp_path).encode(given)
    assert again.asked == []


def test_vectors_of_another_width_are_not_used(tmp_path: Path) -> None:
    SentenceCache(Letters(), tmp_path).encode(["a"])
    (path,) = (tmp_path / ("l" * 64)).glob("*.npz")
    with np.load(path) as file:
        keys = file["keys"]
    np.savez(path, keys=keys, vectors=np.zeros((1, 5), np.float32))
    with pytest.warns(UserWarning, match="wrong shape"):
        assert SentenceCache(Letters(), tmp_path).encode(["a"]).tolist() == [count("a")]


def test_many_small_shards_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_cache, "MANY_SHARDS", 20)
    monkeypatch.setattr(sentence_cache, "SHARD_SENTENCES", 16)
    given = sentences(30)
    for sentence in given:
        SentenceCache(Letters(), None).encode([sentence])
        cache = SentenceCache(Letters(), tmp_path)
        cache._scanned.add(tmp_path)  # so that this one does not join
        cache.encode([sentence])
    folder = tmp_path / ("l" * 64)
    assert len(list(folder.glob("*.npz"))) == 30
    early = SentenceCache(Letters(), tmp_path)
    early._scanned.add(tmp_path)
    early.encode(given[:1])
    encoder = Letters()
    made = SentenceCache(encoder, tmp_path).encode(given)
    assert encoder.asked == [] and made.tolist() == [count(sentence) for sentence in given]
    assert len(list(folder.glob("*.npz"))) == 2
    assert early.encode(given).tolist() == made.tolist()  # its shards have gone under its feet


def test_threads_ask_once(tmp_path: Path) -> None:
    encoder = Letters()
    cache = SentenceCache(encoder, tmp_path)
    given = sentences(50)
    wrong: list[int] = []

    def ask(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(50)
        if cache.encode([given[i] for i in order]).tolist() != [count(given[i]) for i in order]:
            wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and sorted(encoder.asked) == sorted(given)


def test_processes_together(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, warnings
        import numpy as np
        from cezsar.data import sentence_cache
        warnings.simplefilter("error")
        sentence_cache.SHARD_SENTENCES = 7
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
    with pytest.raises(InputError, match="put it in a list"):
        SentenceCache(Letters(), tmp_path).encode("one string")


@pytest.mark.parametrize("answer", [np.zeros((1, 26)), np.zeros((2, 25)), np.full((2, 26), np.nan)])
def test_an_encoder_that_answers_nonsense(tmp_path: Path, answer: np.ndarray) -> None:
    encoder = Letters()
    encoder.encode = lambda sentences: answer  # type: ignore[method-assign]  # on purpose
    with pytest.raises(InputError, match="letters gave"):
        SentenceCache(encoder, tmp_path).encode(["a", "b"])
    assert not list(tmp_path.rglob("*.npz"))


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
    shard.write_bytes(before[:50])
    cache = SentenceCache(Letters(), tmp_path / "own", [tmp_path / "shipped"])
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(cache.encode(told), Letters().encode(told))
    assert shard.read_bytes() == before[:50]  # not ours to remove
    assert list((tmp_path / "own").rglob("*.npz"))
