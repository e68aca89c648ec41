"""One HDF5 shard of a feature store: how it is written, how its index is read. The only module that knows HDF5.

```
features       (sum T, d) float16, all videos of the shard one after the other, contiguous
offsets        (n + 1,) int64; video i owns rows offsets[i]:offsets[i + 1], one row per second
ids, labels, paths   (n,) UTF-8 bytes; a label or a path may be empty
digests        (n, 32) uint8, see `video_digest`
object_indices (n, k) int32, object_probabilities (n, k) float32; -1 and 0 where there are none
attributes     format, format_version, provenance (JSON in ASCII)
```
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cezsar.errors import FormatError

FORMAT = "cezsar features"
FORMAT_VERSION = 1
FLOAT16 = np.dtype("<f2")


@dataclass(frozen=True)
class Video:
    """A video to be written: (T, d) float16 features, (k,) int32 object indices and float32 probabilities."""

    id: str
    label: str
    path: str
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
    offsets: np.ndarray
    digests: np.ndarray
    dim: int
    data_start: int
    """Byte at which row 0 begins: the dataset is contiguous, so rows are read without HDF5 and its global lock."""


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


def write_shard(path: Path, provenance: str, videos: Sequence[Video]) -> None:
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
        file["digests"] = np.frombuffer(digests, dtype=np.uint8).reshape(len(videos), 32)
        file["object_indices"], file["object_probabilities"] = indices, probabilities


def read_shard(path: Path) -> Shard:
    """The index of a shard; its rows stay on disk.

    Raises:
        FormatError: it is damaged, no feature shard at all, or of a newer format version.
    """
    with _opened(path) as file:
        try:
            provenance = file.attrs["provenance"].decode("ascii")
            _, _, dim = (json.loads(provenance)[key] for key in ("encoder", "fingerprint", "dim"))
            data, offsets, digests = file["features"], file["offsets"][:], file["digests"][:]
            texts = {
                name: [text.decode("utf-8") for text in file[name][:].tolist()] for name in ("ids", "labels", "paths")
            }
            data_start = data.id.get_offset()
            rows, n = data.shape, len(texts["ids"])
            whole = (
                data.dtype == FLOAT16
                and rows[1] == dim
                and data_start is not None
                and offsets[0] == 0
                and offsets[-1] == rows[0]
                and bool((np.diff(offsets) > 0).all())
                and len(offsets) - 1 == n == len(texts["labels"]) == len(texts["paths"])
                and digests.shape == (n, 32)
                and file["object_indices"].shape == file["object_probabilities"].shape
                and len(file["object_indices"]) == n
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
            raise damaged(path, f"its index cannot be read ({error})") from error
    if not whole:
        raise damaged(path, "its parts do not fit together")
    return Shard(path, provenance, **texts, offsets=offsets, digests=digests, dim=dim, data_start=data_start)


def read_rows(shard: Shard, first: int, stop: int) -> np.ndarray:
    """Rows first:stop of a shard, (stop - first, d) float16."""
    count = (stop - first) * shard.dim
    try:
        offset = shard.data_start + first * shard.dim * FLOAT16.itemsize
        values = np.fromfile(shard.path, dtype=FLOAT16, count=count, offset=offset)
    except OSError as error:
        raise damaged(shard.path, f"it can no longer be read ({error})") from error
    if len(values) != count:
        raise damaged(shard.path, "it ends too early")
    return values.reshape(stop - first, shard.dim)


def read_objects(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Object indices (n, k) int32 and probabilities (n, k) float32 of a shard's n videos; -1 where there is none."""
    with _opened(path) as file:
        try:
            return file["object_indices"][:], file["object_probabilities"][:]
        except (KeyError, OSError, RuntimeError) as error:
            raise damaged(path, f"its objects cannot be read ({error})") from error


def _opened(path: Path) -> h5py.File:
    """A shard, opened for reading, with its format and version checked."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise damaged(path, f"it is no readable HDF5 file ({error})") from error
    try:
        format, version = file.attrs.get("format"), int(file.attrs.get("format_version", 0))
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        file.close()
        raise damaged(path, f"its attributes cannot be read ({error})") from error
    if format != FORMAT.encode("ascii") or version < 1:
        file.close()
        raise FormatError(f"{path} is an HDF5 file, but not a feature shard of this package; move it elsewhere")
    if version > FORMAT_VERSION:
        file.close()
        raise FormatError(f"{path} has format version {version}, this is {FORMAT_VERSION}: update cezsar to read it")
    return file


def damaged(path: Path, reason: str) -> FormatError:
    """The error for a shard that cannot be used, with the way out."""
    return FormatError(f"{path} is damaged: {reason}. Delete it and extract again: only its videos are done anew")
