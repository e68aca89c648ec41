"""Sentence vectors kept on disk, so that each sentence is encoded once on a machine.

```
folder/<encoder fingerprint>/<name>.npz   keys (n, 32) uint8, SHA-256 of each sentence's UTF-8; vectors (n, d) float32
```

Some vectors come along (`SHIPPED`), so that a first answer need not wait for the encoder, as float16 where they are
many. Those folders are read and never changed.

Shards are only ever added, whole, under a name made from their keys: processes may share the folder without a lock; the
worst that can happen is that two of them encode the same sentence. Everything here can be made again, so a shard that
cannot be read is removed with a warning and its sentences are encoded anew.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from cezsar import atomic, workspace
from cezsar.data.documents import is_unicode
from cezsar.errors import InputError
from cezsar.workspace import ASSETS

SHARD_SENTENCES = 4096
"""A shard is written after so many sentences: a killed run loses no more, and reading a few rows of it stays cheap."""
SHIPPED = (ASSETS / "sentences", ASSETS / "demo" / "cache" / "sentences")
MANY_SHARDS = 256
"""More than this are joined when the cache is opened: each query typed into the app leaves a small one."""


class Encoder(Protocol):
    """What the cache needs of a sentence encoder."""

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def encode(self, sentences: Sequence[str]) -> np.ndarray: ...


class SentenceCache:
    """Answers like its encoder, and remembers. Safe to use from many threads; the encoder is asked by one at a time.

    Args:
        encoder: a sentence encoder.
        folder: where to keep vectors, usually `workspace.folder("cache") / "sentences"`; None keeps nothing.
        shipped: folders of the same layout that are only read.
    """

    def __init__(self, encoder: Encoder, folder: str | Path | None, shipped: Sequence[Path] = ()) -> None:
        self.encoder = encoder
        self._shipped = [place / encoder.fingerprint for place in shipped]
        self.folder = None if folder is None else Path(folder) / encoder.fingerprint
        self._where: dict[bytes, tuple[Path, int]] = {}
        self._scanned: set[Path] = set()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self.encoder.name

    @property
    def dim(self) -> int:
        """d_s, the width of a vector."""
        return self.encoder.dim

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        return self.encoder.fingerprint

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors of N sentences in the order given, (N, d_s) float32; each different sentence is encoded once.

        Raises:
            InputError: a sentence is not text, or the encoder answers with a wrong shape, NaN or infinity.
        """
        if isinstance(sentences, str):
            raise InputError("a list of sentences is needed, not one string; put it in a list")
        keys = [_key(sentence) for sentence in sentences]
        text = dict(zip(keys, sentences, strict=True))
        row = {key: number for number, key in enumerate(text)}
        vectors = np.empty((len(row), self.dim), dtype=np.float32)
        with self._lock:
            missing = self._recall(row, vectors)
            for start in range(0, len(missing), SHARD_SENTENCES):
                block = missing[start : start + SHARD_SENTENCES]
                made = self._encoded([text[key] for key in block])
                vectors[[row[key] for key in block]] = made
                if self.folder is not None:
                    self._remember(block, made)
        return vectors[[row[key] for key in keys]]

    def _encoded(self, sentences: list[str]) -> np.ndarray:
        made = np.asarray(self.encoder.encode(sentences), dtype=np.float32)
        if made.shape != (len(sentences), self.dim) or not np.isfinite(made).all():
            raise InputError(
                f"the sentence encoder {self.name} gave {made.shape} values or NaN for {len(sentences)} sentences, "
                f"not ({len(sentences)}, {self.dim}) finite ones; use another encoder"
            )
        return made

    def _recall(self, row: dict[bytes, int], vectors: np.ndarray) -> list[bytes]:
        """Fill the rows of `vectors` that are on disk; the keys of the others, in order."""
        self._scan()
        wanted: dict[Path, list[bytes]] = {}
        for key in row:
            if key in self._where:
                wanted.setdefault(self._where[key][0], []).append(key)
        recalled: set[bytes] = set()
        for path, keys in wanted.items():
            shard = self._load(path)
            if shard is not None:
                vectors[[row[key] for key in keys]] = shard[1][[self._where[key][1] for key in keys]]
                recalled.update(keys)
        return [key for key in row if key not in recalled]

    def _scan(self) -> None:
        """Learn which sentences are on disk, those that other processes added lately included."""
        paths = sorted(self.folder.glob("[!.]*.npz")) if self.folder else []
        if len(paths) > MANY_SHARDS and not self._scanned:
            paths = self._join(paths)
        for path in paths + [path for place in self._shipped for path in sorted(place.glob("[!.]*.npz"))]:
            if path not in self._scanned:
                shard = self._load(path, keys_only=True)
                if shard is not None:
                    self._index(path, shard[0])

    def _index(self, path: Path, keys: np.ndarray) -> None:
        self._scanned.add(path)
        for number, key in enumerate(keys):
            self._where.setdefault(key.tobytes(), (path, number))

    def _load(self, path: Path, keys_only: bool = False) -> tuple[np.ndarray, np.ndarray] | None:
        """Keys and vectors of a shard (without their values if only keys are wanted), or None if it is of no use."""
        try:
            with np.load(path, allow_pickle=False) as file:
                keys = file["keys"]
                vectors = np.empty((len(keys), self.dim), np.float32) if keys_only else file["vectors"]
            if path.parent in self._shipped and vectors.dtype == np.float16:
                vectors = vectors.astype(np.float32)
            fits = keys.dtype == np.uint8 and keys.shape == (len(vectors), 32) and vectors.shape[1:] == (self.dim,)
            if fits and vectors.dtype == np.float32 and (keys_only or np.isfinite(vectors).all()):
                return keys, vectors
            problem = "its content has a wrong shape"
        except FileNotFoundError:
            problem = ""  # joined with others by another process
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            problem = str(error)
        self._forget(path)
        if problem:
            warnings.warn(f"{path} is damaged ({problem}); its sentences are encoded again", stacklevel=2)
            if path.parent == self.folder:
                path.unlink(missing_ok=True)
        return None

    def _forget(self, path: Path) -> None:
        self._scanned.discard(path)
        self._where = {key: place for key, place in self._where.items() if place[0] != path}

    def _remember(self, keys: list[bytes], vectors: np.ndarray) -> Path | None:
        assert self.folder is not None
        path = self.folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:32]}.npz"
        table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32)
        try:
            with atomic.replacing(path) as temporary:
                np.savez(temporary, keys=table, vectors=vectors)
        except OSError as error:
            warnings.warn(f"{path} cannot be written ({error}); its sentences are not kept", stacklevel=2)
            return None
        self._index(path, table)
        return path

    def _join(self, paths: list[Path]) -> list[Path]:
        """Put the small shards into few large ones, then remove them; readers find each sentence at any moment."""
        kept, small, keys, vectors = [], [], [], []
        for path in paths:
            shard = self._load(path)
            if shard is None:
                continue
            if len(shard[0]) >= SHARD_SENTENCES // 2:
                kept.append(path)
            else:
                small.append(path)
                keys += [key.tobytes() for key in shard[0]]
                vectors.append(shard[1])
        table = np.concatenate(vectors) if vectors else np.empty((0, self.dim), np.float32)
        for start in range(0, len(keys), SHARD_SENTENCES):
            stop = start + SHARD_SENTENCES
            joined = self._remember(keys[start:stop], table[start:stop])
            if joined is None:
                return paths
            kept.append(joined)
        for path in set(small) - set(kept):
            path.unlink(missing_ok=True)
        return kept


def ship(encoder: Encoder, sentences: Sequence[str], folder: str | Path) -> Path:
    """Write the vectors of many sentences as float16, to come along: one shard below `folder`.

    Returns:
        The shard.
    """
    texts = list(dict.fromkeys(sentences))
    keys = np.frombuffer(b"".join(_key(text) for text in texts), np.uint8).reshape(-1, 32)
    path = Path(folder) / encoder.fingerprint / "shipped.npz"
    with atomic.replacing(path) as temporary:
        np.savez(temporary, keys=keys, vectors=encoder.encode(texts).astype(np.float16))
    return path


def open_encoder(name: str = "minilm", device: str | None = None, home: str | Path | None = None) -> SentenceCache:
    """A sentence encoder by name or folder, with its cache in the workspace.

    Raises:
        MissingWeightsError: its weights are not here and cannot be fetched.
    """
    from cezsar.encoders.sentences import load_sentence_encoder

    return SentenceCache(load_sentence_encoder(name, device), workspace.folder("cache", home) / "sentences", SHIPPED)


def _key(sentence: str) -> bytes:
    if not isinstance(sentence, str) or not is_unicode(sentence):
        raise InputError(f"{repr(sentence)[:60]} is no sentence that can be encoded; give valid Unicode text")
    return hashlib.sha256(sentence.encode("utf-8")).digest()
