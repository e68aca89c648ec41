"""Feature stores: the features of many videos in a folder of HDF5 shards.

```
store/shard-00000.h5   features, ids, labels, top objects of some hundred videos: see `cezsar.data.shards`
store/objects.json     names and definitions of the objects that the shards count, with their head's fingerprint
```

A shard is written under a temporary name and renamed when complete, so that a killed writer costs the videos of one
shard and never leaves half of one. There is nothing per video but rows of arrays: 242,658 videos open in seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cezsar import atomic
from cezsar.data.documents import is_unicode, printable
from cezsar.data.folder_lock import FolderLock
from cezsar.data.shards import (
    FLOAT16,
    Shard,
    Video,
    damaged,
    read_objects,
    read_rows,
    read_shard,
    video_digest,
    write_shard,
)
from cezsar.data.vocabulary import ObjectVocabulary, read_vocabulary, write_vocabulary
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError

SHARD_NAME = re.compile(r"shard-(\d{5,})\.h5")
MAX_PROVENANCE_BYTES = 60_000  # HDF5 keeps an attribute in an object header of at most 64 KiB
IDENTITY = ("encoder", "fingerprint", "dim", "object_head_fingerprint")
"""Provenance that must agree for two videos to belong in one store."""


class FeatureStore:
    """The videos of a store folder, as they were when it was opened. Safe to read from many threads.

    No file stays open between calls.

    Attributes:
        ids: video ids, in the order in which they were stored.
        labels: id -> class name, "" when unknown.
        paths: id -> path of the video file as it was when its features were made, "" when unknown.
        provenance: encoder, fingerprint, dim, fps, domain and whatever else the writer stated.

    Raises:
        InputError: no such folder.
        FormatError: no shards, or one that is damaged, foreign or newer than this version; the message names it.
        MismatchError: shards of different encoders.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._shards = _read_shards(self.folder)
        if not self._shards:
            raise FormatError(f"{self.folder} holds no feature shards (shard-*.h5): make it with `cezsar extract`")
        self.provenance: dict[str, Any] = json.loads(self._shards[0].provenance)
        self.ids: list[str] = [id for shard in self._shards for id in shard.ids]
        self.labels: dict[str, str] = {
            i: s for shard in self._shards for i, s in zip(shard.ids, shard.labels, strict=True)
        }
        self.paths: dict[str, str] = {
            i: s for shard in self._shards for i, s in zip(shard.ids, shard.paths, strict=True)
        }
        self._where = {id: (shard, row) for shard in self._shards for row, id in enumerate(shard.ids)}
        self._objects: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]  # a store is its folder: a copy in another process reopens it

    @property
    def dim(self) -> int:
        """d, the width of a feature row."""
        return int(self.provenance["dim"])

    def length(self, id: str) -> int:
        """T, the number of rows (seconds) of a video."""
        shard, row = self._find(id)
        return int(shard.offsets[row + 1] - shard.offsets[row])

    def features(self, id: str) -> np.ndarray:
        """All rows of a video: (T, d) float32, T >= 1."""
        return self.rows(id, 0, self.length(id))

    def rows(self, id: str, start: int, stop: int) -> np.ndarray:
        """Rows start:stop of a video, (stop - start, d) float32; `stop` beyond the end means the end, as in a slice.

        Raises:
            InputError: unknown id, or no row in the range.
        """
        shard, row = self._find(id)
        first, end = int(shard.offsets[row]), int(shard.offsets[row + 1])
        if not 0 <= start < min(stop, end - first):
            raise InputError(
                f"video {id!r} in {self.folder} has {end - first} rows; rows {start}:{stop} are none of them"
            )
        return read_rows(shard, first + start, min(first + stop, end)).astype(np.float32)

    def objects(self, id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The most probable objects of a video: indices (k,) int64 and probabilities (k,) float32, or None."""
        shard, row = self._find(id)
        with self._lock:
            if shard.path not in self._objects:
                self._objects[shard.path] = read_objects(shard.path)
            indices, probabilities = (array[row] for array in self._objects[shard.path])
        kept = indices >= 0
        return (indices[kept].astype(np.int64), probabilities[kept]) if kept.any() else None

    @cached_property
    def vocabulary(self) -> ObjectVocabulary | None:
        """The objects that `objects` counts, or None for a store without objects.

        Raises:
            FormatError: `objects.json` is missing, damaged, or belongs to another head.
        """
        fingerprint = self.provenance.get("object_head_fingerprint")
        return None if fingerprint is None else read_vocabulary(self.folder, fingerprint)

    @property
    def object_names(self) -> list[str]:
        """K object names; empty for a store without objects."""
        return list(self.vocabulary.names) if self.vocabulary else []

    @property
    def object_definitions(self) -> list[str]:
        """K object definitions; empty for a store without objects."""
        return list(self.vocabulary.definitions) if self.vocabulary else []

    @cached_property
    def fingerprint(self) -> str:
        """Content hash, 64 hex digits: SHA-256 over the encoder's fingerprint and, by sorted id, the digests.

        It depends on ids, labels, features and objects, and neither on how these lie in shards, nor on the order in
        which they came, nor on where the video files were.
        """
        digest = hashlib.sha256(str(self.provenance["fingerprint"]).encode("utf-8"))
        for id in sorted(self.ids):
            shard, row = self._where[id]
            digest.update(shard.digests[row].tobytes())
        return digest.hexdigest()

    def verify(self) -> None:
        """Read everything and compare it with the stored digests.

        Raises:
            FormatError: a video differs from its digest; the message names the shard and the video.
        """
        for shard in self._shards:
            for row, id in enumerate(shard.ids):
                features = read_rows(shard, int(shard.offsets[row]), int(shard.offsets[row + 1]))
                if video_digest(id, shard.labels[row], features, self.objects(id)) != shard.digests[row].tobytes():
                    raise damaged(shard.path, f"video {id!r} is not as it was written")

    def _find(self, id: str) -> tuple[Shard, int]:
        try:
            return self._where[id]
        except KeyError:
            raise InputError(f"{self.folder} holds no video {id!r} ({len(self):,} others)") from None


class StoreWriter:
    """Adds videos to a store folder, new or not; the only writer there as long as it is open.

    Videos are gathered in memory and become readable a shard at a time: when `shard_videos` or `shard_bytes` is
    reached, at `flush()` and at `close()`. As a context manager it closes at the end of the block; after an exception
    it drops what is not yet in a shard.

    Args:
        folder: the store; made when missing.
        provenance: `encoder` (name), `fingerprint` and `dim` are required; `fps`, `domain` and other JSON are kept. A
            folder that has shards keeps its first provenance: only `IDENTITY` must agree.
        vocabulary: what the object indices given to `add` count; needed to store objects.
        shard_videos, shard_bytes: size of a shard.

    Attributes:
        labels: id -> label of every video in the folder, those still in memory included.

    Raises:
        InputError: another writer is at work here, or the provenance is incomplete.
        MismatchError: the folder was made with another encoder or object head.
        FormatError: a shard in the folder is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        provenance: Mapping[str, Any],
        *,
        vocabulary: ObjectVocabulary | None = None,
        shard_videos: int = 256,
        shard_bytes: int = 128 << 20,
    ) -> None:
        self.folder = Path(folder)
        self.shard_videos, self.shard_bytes = shard_videos, shard_bytes
        self.provenance = _complete(provenance, vocabulary)
        self._pending: list[Video] = []
        self._pending_bytes = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder} cannot be made a store: {error.strerror}; choose another folder"
            ) from error
        self._lock = FolderLock(self.folder)
        try:
            shards = _read_shards(self.folder)
            if shards:
                stored = json.loads(shards[0].provenance)
                _same_identity(self.folder, stored, self.provenance)
                self.provenance = stored
            self.labels = {i: t for s in shards for i, t in zip(s.ids, s.labels, strict=True)}
            self._next = 1 + max((int(shard.path.stem.removeprefix("shard-")) for shard in shards), default=-1)
            for leftover in self.folder.glob(".tmp-shard-*"):  # of a killed writer; the lock says it is gone
                leftover.unlink()
            if vocabulary is not None:
                write_vocabulary(self.folder, vocabulary, replace=not shards)
        except BaseException:
            self._lock.release()
            raise

    def __contains__(self, id: object) -> bool:
        return id in self.labels

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._pending.clear()
        self.close()

    def add(
        self,
        id: str,
        features: np.ndarray,
        label: str = "",
        path: str | Path = "",
        objects: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Add one video.

        Args:
            features: (T, d) real numbers, T >= 1, kept as float16.
            objects: indices (k,) into the vocabulary and probabilities (k,), most probable first.

        Raises:
            InputError: empty or repeated id, wrong shape, or a value that is NaN, infinite or beyond float16.
        """
        for what, text in (("id", id), ("label", label)):
            if "\0" in text or not is_unicode(text):
                raise InputError(f"video {id!r}: its {what} {text!r} is not valid Unicode text; rename it")
        if not id:
            raise InputError("a video without an id cannot be stored; give it one")
        if id in self.labels:
            raise InputError(f"video {id!r} is already in {self.folder}; ids must be unique")
        if objects is not None:
            if "object_head_fingerprint" not in self.provenance:
                raise InputError(f"video {id!r} has objects, but the store was opened without an object vocabulary")
            objects = (np.asarray(objects[0], dtype="<i4"), np.asarray(objects[1], dtype="<f4"))
        kept = _as_float16(id, features, int(self.provenance["dim"]))
        self.labels[id] = label
        self._pending.append(Video(id, label, printable(str(path)), kept, objects))
        self._pending_bytes += kept.nbytes
        if len(self._pending) >= self.shard_videos or self._pending_bytes >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the videos gathered so far as one shard; nothing happens when there are none.

        Raises:
            CezsarError: the disk refused (full, read-only).
        """
        if not self._pending:
            return
        path = self.folder / f"shard-{self._next:05d}.h5"
        try:
            with atomic.replacing(path) as temporary:
                write_shard(temporary, json.dumps(self.provenance), self._pending)
        except (OSError, RuntimeError) as error:  # h5py raises RuntimeError when closing a file fails
            raise CezsarError(
                f"{path} cannot be written ({error}): make room and start again; complete shards are kept"
            ) from error
        self._next += 1
        self._pending.clear()
        self._pending_bytes = 0

    def close(self) -> None:
        """Flush and let others write."""
        try:
            self.flush()
        finally:
            self._lock.release()


def _complete(provenance: Mapping[str, Any], vocabulary: ObjectVocabulary | None) -> dict[str, Any]:
    """The provenance as it is stored, checked."""
    complete = dict(provenance)
    missing = [key for key in ("encoder", "fingerprint", "dim") if not complete.get(key)]
    if missing:
        raise InputError(f"a feature store's provenance needs {', '.join(missing)}")
    if vocabulary is not None:
        if len(vocabulary.names) != len(vocabulary.definitions):
            raise InputError("an object vocabulary needs as many definitions as names")
        complete["object_head_fingerprint"] = vocabulary.fingerprint
    if len(json.dumps(complete, allow_nan=False)) > MAX_PROVENANCE_BYTES:
        raise InputError(f"a feature store's provenance may take {MAX_PROVENANCE_BYTES:,} bytes; this takes more")
    return complete


def _same_identity(where: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in IDENTITY:
        if stored.get(key) != wanted.get(key):
            raise MismatchError(
                f"{where} was made with encoder {stored['encoder']} ({key} {str(stored.get(key))[:16]}), "
                f"not {wanted['encoder']} ({key} {str(wanted.get(key))[:16]}): choose another folder, or that encoder"
            )


def _as_float16(id: str, features: np.ndarray, dim: int) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] != dim or len(features) == 0:
        raise InputError(f"video {id!r}: features of shape {features.shape} instead of (T, {dim}) with T >= 1")
    if not np.isfinite(features).all():
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise InputError(f"video {id!r}: its features have NaN or infinite values, first in second {row}")
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(features, dtype=FLOAT16)
    if not np.isfinite(kept).all():
        raise InputError(
            f"video {id!r}: a feature of size {np.abs(features).max():.4g} is beyond float16 (65,504); scale it down"
        )
    return kept


def _read_shards(folder: Path) -> list[Shard]:
    """Every shard's index, in order; provenance and uniqueness of ids checked over all of them."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a feature store is one, made by `cezsar extract`")
    shards = [read_shard(path) for path in sorted(folder.iterdir()) if SHARD_NAME.fullmatch(path.name)]
    seen: dict[str, Path] = {}
    for shard in shards:
        if shard.provenance != shards[0].provenance:
            _same_identity(shard.path, json.loads(shard.provenance), json.loads(shards[0].provenance))
        for id in shard.ids:
            if id in seen:
                raise FormatError(f"{shard.path}: video {id!r} is already in {seen[id].name}; remove one of the shards")
            seen[id] = shard.path
    return shards
