"""Sentence vectors kept on disk, so that each sentence is encoded once on a machine. Several processes may use the
table at once. A damaged one is removed with a warning, and its sentences encoded anew."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cached_property, partial
from operator import methodcaller
from pathlib import Path
from typing import Protocol

import numpy as np

from cezsar import atomic, workspace
from cezsar.arrays import read_npz
from cezsar.data.documents import is_unicode
from cezsar.errors import InputError
from cezsar.workspace import ASSETS

BLOCK_SENTENCES = 4096  # vectors are kept after so many sentences: a killed run loses no more
SHIPPED = (ASSETS / "sentences", ASSETS / "demo" / "cache" / "sentences")
VERSION = 0  # of the table, SQLite's user_version
_WAIT_S = 60.0  # for another process that writes


class Encoder(Protocol):
    """What the cache needs of a sentence encoder: d_s is the width of a vector."""

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def encode(self, sentences: Sequence[str]) -> np.ndarray: ...


class SentenceCache:
    """Answers like its encoder, and remembers in `folder` (None: not), in `<fingerprint>.sqlite` of (SHA-256 of the
    sentence's UTF-8, d_s float32). Folders of `shipped` vectors are only read: `<fingerprint>/<name>.npz` with keys (n,
    32) uint8 and vectors (n, d_s) float16 or float32. Many threads may use it; the encoder is asked by one at a
    time."""

    def __init__(self, encoder: Encoder, folder: str | Path | None, shipped: Sequence[Path] = ()) -> None:
        self.encoder = encoder
        self.name, self.dim, self.fingerprint = encoder.name, encoder.dim, encoder.fingerprint
        self.path = None if folder is None else Path(folder) / f"{encoder.fingerprint}.sqlite"
        places = [*shipped, *([Path(folder)] if folder else [])]  # earlier versions kept such files of their own
        self._files = [file for place in places for file in sorted((place / encoder.fingerprint).glob("[!.]*.npz"))]
        self._lock = threading.Lock()

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors of N sentences in the order given, (N, d_s) float32; each different sentence is encoded once. Raises
        `InputError` where a sentence is not text, or the encoder answers with a wrong shape, NaN or infinity."""
        keys = [_key(sentence) for sentence in sentences]
        text = dict(zip(keys, sentences, strict=True))
        with self._lock:
            found = {key: self._shipped[key] for key in text if key in self._shipped}
            rest = [key for key in text if key not in found]
            if rest and self.path is not None and self.path.is_file():
                self._with_table(self.path, partial(self._look_up, rest, found))
            missing = [key for key in rest if key not in found]
            for start in range(0, len(missing), BLOCK_SENTENCES):
                block = missing[start : start + BLOCK_SENTENCES]
                made = np.asarray(self.encoder.encode([text[key] for key in block]), dtype=np.float32)
                if made.shape != (len(block), self.dim) or not np.isfinite(made).all():
                    what = f"{made.shape} values or NaN for {len(block)} sentences, not ({len(block)}, {self.dim})"
                    raise InputError(f"the sentence encoder {self.name} gave {what} finite ones; use another encoder")
                found |= dict(zip(block, made, strict=True))
                if self.path is not None:
                    rows = [(key, found[key].astype("<f4").tobytes()) for key in block]
                    insert = "INSERT OR REPLACE INTO vectors VALUES (?, ?)"
                    self._with_table(self.path, methodcaller("executemany", insert, rows))
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, self.dim), np.float32)

    @cached_property
    def _shipped(self) -> dict[bytes, np.ndarray]:
        """Vectors that came along."""
        vectors: dict[bytes, np.ndarray] = {}
        for file in self._files:
            try:
                content = read_npz(file)
                keys, rows = content["keys"], content["vectors"]
                if (keys.dtype, keys.shape, rows.shape[1:]) != (np.uint8, (len(rows), 32), (self.dim,)):
                    raise ValueError("its content has a wrong shape")
                if rows.dtype.kind != "f" or not np.isfinite(rows).all():
                    raise ValueError("its vectors are no finite numbers")
                vectors |= {key.tobytes(): row for key, row in zip(keys, rows.astype(np.float32), strict=True)}
            except (OSError, ValueError, LookupError, TypeError) as error:
                warnings.warn(f"{file} is damaged ({error}); its sentences are encoded again", stacklevel=3)
        return vectors

    def _look_up(self, keys: Sequence[bytes], found: dict[bytes, np.ndarray], table: sqlite3.Connection) -> None:
        for key in keys:
            row = table.execute("SELECT vector FROM vectors WHERE key = ?", [key]).fetchone()
            kept = row[0] if row and isinstance(row[0], bytes) and len(row[0]) == 4 * self.dim else b""
            vector = np.frombuffer(kept, "<f4")
            if vector.shape == (self.dim,) and np.isfinite(vector).all():
                found[key] = vector

    def _with_table(self, path: Path, work: Callable[[sqlite3.Connection], object]) -> None:
        """Do something with the table, made where there is none. Where it cannot be used there is a warning; a damaged
        one is removed, others may be used by somebody else."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=_WAIT_S)) as table, table:
                if table.execute("PRAGMA user_version").fetchone()[0] > VERSION:
                    raise sqlite3.OperationalError("a newer cezsar made it: update this one, or delete the file")
                table.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
                work(table)
        except (OSError, UnicodeError, sqlite3.Error) as error:
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            if damaged:
                path.unlink(missing_ok=True)
            told = "is damaged and was removed" if damaged else "cannot be used"
            warnings.warn(f"{path} {told} ({error}); its sentences are not kept", stacklevel=4)


def ship(encoder: Encoder, sentences: Sequence[str], folder: str | Path, *, half: bool = True) -> Path:
    """Write the vectors of sentences into a file below `folder`, to come along, as float16 if `half`; the file."""
    texts = list(dict.fromkeys(sentences))
    keys = np.frombuffer(b"".join(_key(text) for text in texts), np.uint8).reshape(-1, 32)
    path = Path(folder) / encoder.fingerprint / "shipped.npz"
    with atomic.replacing(path) as temporary:
        np.savez(temporary, keys=keys, vectors=encoder.encode(texts).astype(np.float16 if half else np.float32))
    return path


def open_encoder(name: str = "minilm", device: str | None = None, home: str | Path | None = None) -> SentenceCache:
    """A sentence encoder by name or folder, with its cache in the workspace. Raises `MissingWeightsError`."""
    from cezsar.encoders.sentences import load_sentence_encoder

    return SentenceCache(load_sentence_encoder(name, device), workspace.folder("cache", home) / "sentences", SHIPPED)


def _key(sentence: str) -> bytes:
    if not isinstance(sentence, str) or not is_unicode(sentence):
        raise InputError(f"{repr(sentence)[:60]} is no sentence that can be encoded; give valid Unicode text")
    return hashlib.sha256(sentence.encode("utf-8")).digest()
