"""Feature stores: the features of many videos in a folder of HDF5 shards. The only module that knows HDF5.

```
store/objects.json     names and definitions of the objects that the shards count, with their head's fingerprint
store/shard-00000.h5   some hundred videos; nothing per video but rows of arrays, so that 242,658 open in seconds:
    features       (sum T, d) float16, all videos of the shard one after the other
    offsets        (n + 1,) int64; video i owns rows offsets[i]:offsets[i + 1], one row per second
    ids, labels, paths   (n,) UTF-8 bytes; a label or a path may be empty
    files          (n, 2) int64, size in bytes and time of change in ns of each video file; 0 where not known
    digests        (n, 32) uint8, see `video_digest`
    object_indices (n, k) int32, object_probabilities (n, k) float32; -1 and 0 where there are none
    attributes     format, format_version, provenance (JSON in ASCII)
```

A shard is written under a temporary name and renamed when complete: a killed writer costs the videos of one shard.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from filelock import FileLock, Timeout

from cezsar import atomic
from cezsar.data.documents import is_unicode, printable
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError

FORMAT, FORMAT_VERSION = "cezsar features", 1
FLOAT16 = np.dtype("<f2")
SHARD_NAME = re.compile(r"shard-(\d{5,})\.h5")
MAX_OPEN = 64  # shards a store keeps open for reading
IDENTITY = ("encoder", "fingerprint", "dim", "object_head_fingerprint")
"""Provenance that must agree for two videos to belong in one store."""
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError, RuntimeError)  # of a damaged shard

FileStamp = tuple[int, int]
"""Size in bytes and time of change in ns of a video file; (0, 0) where not known."""


@dataclass(frozen=True)
class ObjectVocabulary:
    """The objects a head tells apart: K names, K definitions (maybe empty strings), the head's fingerprint."""

    names: Sequence[str]
    definitions: Sequence[str]
    fingerprint: str


@dataclass(frozen=True)
class Video:
    """A video to be written: (T, d) float16 features, (k,) int32 object indices and float32 probabilities."""

    id: str
    label: str
    path: str
    file: FileStamp
    features: np.ndarray
    objects: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Shard:
    """Where the rows of one shard lie in its file, and what belongs to its videos."""

    path: Path
    provenance: str
    ids: list[str]
    labels: list[str]
    paths: list[str]
    files: np.ndarray
    offsets: np.ndarray
    digests: np.ndarray


class FeatureStore:
    """The videos of a store folder, as they were when it was opened. Safe to read from many threads.

    Attributes: `ids` in the order in which they were stored; `labels` and `paths` of the video files by id, "" when
    unknown; `provenance`: encoder, fingerprint, dim, fps, domain and whatever else the writer stated.

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
        self.labels = {id: label for s in self._shards for id, label in zip(s.ids, s.labels, strict=True)}
        self.paths = {id: path for s in self._shards for id, path in zip(s.ids, s.paths, strict=True)}
        self._where = {id: (shard, row) for shard in self._shards for row, id in enumerate(shard.ids)}
        self._open: OrderedDict[Path, h5py.Dataset] = OrderedDict()
        self._objects: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

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
        """Rows start:stop of a video, (stop - start, d) float32; `stop` beyond the end means the end, as in a slice."""
        shard, row = self._find(id)
        first, end = int(shard.offsets[row]), int(shard.offsets[row + 1])
        if not 0 <= start < min(stop, end - first):
            raise InputError(f"video {id!r} in {self.folder} has {end - first} rows; {start}:{stop} are none of them")
        with self._lock:
            try:
                features: np.ndarray = self._features(shard)[first + start : min(first + stop, end)]
            except UNREADABLE as error:
                raise _damaged(shard.path, error) from error
        return features.astype(np.float32)

    def objects(self, id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The most probable objects of a video: indices (k,) int64 and probabilities (k,) float32, or None."""
        shard, row = self._find(id)
        with self._lock:
            if shard.path not in self._objects:
                self._objects[shard.path] = _read_objects(shard.path)
            indices, probabilities = (array[row] for array in self._objects[shard.path])
        kept = indices >= 0
        return (indices[kept].astype(np.int64), probabilities[kept]) if kept.any() else None

    @cached_property
    def vocabulary(self) -> ObjectVocabulary | None:
        """The objects that `objects` counts, or None for a store without objects. Raises `FormatError`."""
        wanted = self.provenance.get("object_head_fingerprint")
        if wanted is None:
            return None
        path = self.folder / "objects.json"
        advice = "copy it from the original store, or extract again into a new folder"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = ObjectVocabulary(content["names"], content["definitions"], content["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path}, the names of the store's objects, cannot be read ({error}); {advice}"
            ) from error
        if found.fingerprint != wanted:
            raise FormatError(f"{path} belongs to object head {found.fingerprint}, not {wanted}; {advice}")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Content hash, 64 hex digits: SHA-256 over the encoder's fingerprint and, by sorted id, the digests.

        It depends on ids, labels, features and objects, and neither on how these lie in shards, nor on the order in
        which they came, nor on the video files.
        """
        digest = hashlib.sha256(str(self.provenance["fingerprint"]).encode("utf-8"))
        for id in sorted(self.ids):
            shard, row = self._where[id]
            digest.update(shard.digests[row].tobytes())
        return digest.hexdigest()

    def _find(self, id: str) -> tuple[Shard, int]:
        if id not in self._where:
            raise InputError(f"{self.folder} holds no video {id!r} ({len(self):,} others)")
        return self._where[id]

    def _features(self, shard: Shard) -> h5py.Dataset:
        """The features of a shard, its file opened unless it is one of the last `MAX_OPEN`."""
        dataset = self._open.pop(shard.path, None)
        if dataset is None:
            dataset = h5py.File(shard.path, "r")["features"]
            if len(dataset) != shard.offsets[-1]:
                raise FormatError(f"{shard.path} has changed since the store was opened; open the store again")
            if len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)[1].file.close()
        self._open[shard.path] = dataset
        return dataset


class StoreWriter:
    """Adds videos to a store folder, new or not; the only writer there as long as it is open.

    Videos are gathered in memory and become readable a shard at a time: when it is full, at `flush()` and at `close()`.
    As a context manager it closes at the end of the block; after an exception it drops what is not yet in a shard.

    Args:
        provenance: `encoder` (name), `fingerprint` and `dim` are required; `fps`, `domain` and other JSON are kept. A
            folder that has shards keeps its first provenance: only `IDENTITY` must agree.
        vocabulary: what the object indices given to `add` count; needed to store objects.

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
        self.provenance = dict(provenance)
        if missing := [key for key in IDENTITY[:3] if not provenance.get(key)]:
            raise InputError(f"a feature store's provenance needs {', '.join(missing)}")
        if vocabulary is not None:
            self.provenance["object_head_fingerprint"] = vocabulary.fingerprint
        self._pending: list[Video] = []
        self._lock = FileLock(self.folder / ".writer-lock", blocking=False, thread_local=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{self.folder} is being written by another process: wait until it ends, or choose another folder"
            ) from error
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written ({error.strerror}); choose another folder") from error
        try:
            self._shards = _read_shards(self.folder)
            if self._shards:
                stored = json.loads(self._shards[0].provenance)
                _same_identity(self.folder, stored, self.provenance)
                self.provenance = stored
            self.labels = {id: label for s in self._shards for id, label in zip(s.ids, s.labels, strict=True)}
            self._next = 1 + max((int(shard.path.stem.removeprefix("shard-")) for shard in self._shards), default=-1)
            for leftover in self.folder.glob(".tmp-shard-*"):  # of a killed writer; the lock says it is gone
                leftover.unlink()
            objects = self.folder / "objects.json"
            if vocabulary is not None and not (self._shards and objects.exists()):
                lists = {"names": list(vocabulary.names), "definitions": list(vocabulary.definitions)}
                atomic.write_json(objects, {"fingerprint": vocabulary.fingerprint, **lists})
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

    def replaced(self, clips: Mapping[str, Path]) -> list[str]:
        """The ids whose features in the folder come from another film than the one that is there now: of another size,
        or at the same path with another time. Where a store does not know the film it is taken for the same."""
        found = []
        for shard in self._shards:
            for id, path, (size, time_ns) in zip(shard.ids, shard.paths, shard.files.tolist(), strict=True):
                if size and id in clips:
                    now_size, now_ns = file_stamp(clips[id])
                    same_place = path == printable(str(clips[id]))
                    if now_size and (now_size != size or (same_place and now_ns != time_ns)):
                        found.append(id)
        return found

    def drop(self, ids: Collection[str]) -> None:
        """Remove videos from the shards of the folder, which are written anew without them."""
        gone = set(ids)
        for shard in self._shards:
            if not gone.isdisjoint(shard.ids):
                if kept := [video for video in _read_videos(shard) if video.id not in gone]:
                    self._write(shard.path, kept)
                else:
                    shard.path.unlink()
        self._shards = _read_shards(self.folder)
        self.labels = {id: label for id, label in self.labels.items() if id not in gone}

    def add(
        self,
        id: str,
        features: np.ndarray,
        label: str = "",
        path: str | Path = "",
        objects: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Add one video: (T, d) features, T >= 1, kept as float16; the path of its file, whose size and time are kept;
        objects as indices (k,) into the vocabulary and probabilities (k,), most probable first.

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
        self._pending.append(Video(id, label, printable(str(path)), file_stamp(path), kept, objects))
        waiting_bytes = sum(video.features.nbytes for video in self._pending)
        if len(self._pending) >= self.shard_videos or waiting_bytes >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the videos gathered so far as one shard, if there are any. Raises `CezsarError` if the disk refuses."""
        if self._pending:
            self._write(self.folder / f"shard-{self._next:05d}.h5", self._pending)
            self._next += 1
            self._pending.clear()

    def close(self) -> None:
        """Flush and let others write."""
        try:
            self.flush()
        finally:
            self._lock.release()

    def _write(self, path: Path, videos: Sequence[Video]) -> None:
        try:
            with atomic.replacing(path) as temporary:
                _write_shard(temporary, json.dumps(self.provenance), videos)
        except (OSError, RuntimeError) as error:  # h5py raises RuntimeError when closing a file fails
            raise CezsarError(
                f"{path} cannot be written ({error}): make room and start again; complete shards are kept"
            ) from error


def file_stamp(path: str | Path) -> FileStamp:
    """Size and time of change of a file; (0, 0) where there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return 0, 0
    return (found.st_size, found.st_mtime_ns) if str(path) else (0, 0)


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


# Shards --------------------------------------------------------------------------------------------------------------


def video_digest(
    id: str, label: str, features: np.ndarray, objects: tuple[np.ndarray, np.ndarray] | None = None
) -> bytes:
    """SHA-256 of what a store keeps of one video: id, label, (T, d) float16 features, object indices, probabilities."""
    digest = hashlib.sha256(json.dumps([id, label, list(features.shape)]).encode("ascii"))
    digest.update(np.ascontiguousarray(features, dtype=FLOAT16).tobytes())
    if objects is not None:
        digest.update(objects[0].astype("<i4").tobytes())
        digest.update(objects[1].astype("<f4").tobytes())
    return digest.digest()


def _write_shard(path: Path, provenance: str, videos: Sequence[Video]) -> None:
    """Write at least one video as a shard. The same videos and provenance give the same bytes."""
    k = max((len(video.objects[0]) for video in videos if video.objects is not None), default=0)
    indices = np.full((len(videos), k), -1, dtype="<i4")
    probabilities = np.zeros((len(videos), k), dtype="<f4")
    for row, video in enumerate(videos):
        if video.objects is not None:
            indices[row, : len(video.objects[0])], probabilities[row, : len(video.objects[1])] = video.objects
    digests = b"".join(video_digest(v.id, v.label, v.features, v.objects) for v in videos)
    # Metadata with checksums (HDF5 1.10) and text of fixed length, which needs no unprotected heap: otherwise a flipped
    # bit can send the library into an endless loop.
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs["format"] = np.bytes_(FORMAT)
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["provenance"] = np.bytes_(provenance)
        file["features"] = np.concatenate([video.features for video in videos])
        file["offsets"] = np.cumsum([0, *(len(video.features) for video in videos)], dtype="<i8")
        for name in ("id", "label", "path"):
            texts = [getattr(video, name).encode("utf-8") for video in videos]
            file[name + "s"] = np.array(texts, dtype=f"S{max(1, *map(len, texts))}")
        file["files"] = np.array([video.file for video in videos], dtype="<i8")
        file["digests"] = np.frombuffer(digests, dtype=np.uint8).reshape(len(videos), 32)
        file["object_indices"], file["object_probabilities"] = indices, probabilities


def read_shard(path: Path) -> Shard:
    """The index of a shard; its rows stay on disk. Raises as `_reading`."""
    with _reading(path) as file:
        provenance = file.attrs["provenance"].decode("ascii")
        _, _, dim = (json.loads(provenance)[key] for key in ("encoder", "fingerprint", "dim"))
        ids, labels, paths = (
            [text.decode("utf-8") for text in file[name][:].tolist()] for name in ("ids", "labels", "paths")
        )
        data, offsets, digests, n = file["features"], file["offsets"][:], file["digests"][:], len(ids)
        files = file["files"][:] if "files" in file else np.zeros((n, 2), np.int64)  # stores of earlier versions
        objects, probabilities = file["object_indices"], file["object_probabilities"]
        whole = (
            (data.dtype, data.shape, offsets[0]) == (FLOAT16, (offsets[-1], dim), 0)
            and bool((np.diff(offsets) > 0).all())
            and {len(offsets) - 1, len(labels), len(paths), len(files), len(digests), len(objects)} == {n}
            and (files.shape[1:], digests.shape[1:]) == ((2,), (32,))
            and objects.shape == probabilities.shape
        )
        if not whole:
            raise ValueError("its parts do not fit together")
    return Shard(path, provenance, ids, labels, paths, files, offsets, digests)


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


def _read_objects(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Object indices (n, k) int32 and probabilities (n, k) float32 of a shard's n videos; -1 where there is none."""
    with _reading(path) as file:
        return file["object_indices"][:], file["object_probabilities"][:]


def _read_videos(shard: Shard) -> Iterator[Video]:
    """Everything a shard holds, as it was given to `_write_shard`."""
    indices, probabilities = _read_objects(shard.path)
    with _reading(shard.path) as file:
        features = file["features"][:]
    for row, id in enumerate(shard.ids):
        kept = indices[row] >= 0
        objects = (indices[row][kept], probabilities[row][kept]) if kept.any() else None
        size, time_ns = shard.files[row].tolist()
        rows = features[shard.offsets[row] : shard.offsets[row + 1]]
        yield Video(id, shard.labels[row], shard.paths[row], (size, time_ns), rows, objects)


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """A shard, opened for reading. Raises `FormatError` where it is foreign, newer, or cannot be read as asked."""
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs.get("format_version", 0))
            if file.attrs.get("format") != FORMAT.encode("ascii") or version < 1:
                raise FormatError(f"{path} is an HDF5 file, but not a feature shard of this package; move it elsewhere")
            if version > FORMAT_VERSION:
                raise FormatError(
                    f"{path} has format version {version}, not {FORMAT_VERSION}: update cezsar to read it"
                )
            yield file
    except UNREADABLE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FormatError:
    return FormatError(f"{path} is damaged ({error}). Delete it and extract again: only its videos are done anew")
