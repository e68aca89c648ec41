"""Feature stores: the features of many videos in a folder of HDF5 shards. The only module that knows HDF5. Nothing per
video but rows of arrays, so that 242,658 videos open in seconds. A killed writer costs one shard's videos."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from cezsar import atomic
from cezsar.arrays import read_npz
from cezsar.data.documents import is_unicode, printable, read_json_object
from cezsar.errors import DAMAGED, CezsarError, FormatError, InputError, MismatchError
from cezsar.formats import VERSIONS, check_stamp

FORMAT = "cezsar features"
PER_VIDEO = ("ids", "labels", "paths", "files", "digests", "object_indices", "object_probabilities")
SHARD_BYTES = 128 << 20  # of features, after which a shard ends
MAX_OPEN = 64  # shards a store keeps open for reading
INDEXED = 16  # from so many shards on, what they say of their videos is also in one file, which is quicker to read
IDENTITY = ("encoder", "fingerprint", "dim", "object_head_fingerprint")  # that all videos of a store have in common
PRECISION = "precision"  # what features were computed in; they are kept as float16
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError)  # of a damaged shard


@dataclass(frozen=True)
class ObjectVocabulary:
    """The objects a head tells apart: K names, K definitions (maybe empty strings), the head's fingerprint."""

    names: Sequence[str]
    definitions: Sequence[str]
    fingerprint: str


class Shard(NamedTuple):
    """What a shard says of its n videos, by the names of its arrays; `features` (sum T, d) float16 stay in the file."""

    path: Path
    stamp: tuple[int, int]  # size of the file in bytes, and second of its last change
    start: int  # where in the file the features begin, in bytes
    provenance: str  # JSON in ASCII, an attribute beside `format` and `format_version`
    offsets: np.ndarray  # (n + 1,) int64: video i owns rows offsets[i]:offsets[i + 1], one a second
    ids: list[str]  # in the file (n,) UTF-8 bytes of fixed length, as labels and paths, which may be empty
    labels: list[str]
    paths: list[str]
    files: np.ndarray  # (n, 2) int64: size in bytes and time of change in ns of each video file; 0 where not known
    digests: np.ndarray  # (n, 32) uint8, SHA-256 of id, label, shape, features and objects
    object_indices: np.ndarray  # (n, k) int32 into objects.json beside the shards; -1 where there is none
    object_probabilities: np.ndarray  # (n, k) float32


class FeatureStore:
    """The videos of a store folder, as they were when it was opened; threads may share it. `FormatError` for no shard,
    or one that is damaged, foreign or newer than this version, `MismatchError` for different encoders."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        shards = _read_shards(self.folder)
        if not shards:
            raise FormatError(f"{self.folder} holds no feature shards (shard-*.h5): make it with `cezsar extract`")
        self.provenance = _provenance(shards)  # encoder, fingerprint, dim, fps, domain, precision ...
        self.dim = int(self.provenance["dim"])  # d, the width of a feature row
        self._where = {id: (shard, row) for shard in shards for row, id in enumerate(shard.ids)}
        self.ids = list(self._where)  # in the order in which they were stored
        self.labels = {id: shard.labels[row] for id, (shard, row) in self._where.items()}
        self.paths = {id: shard.paths[row] for id, (shard, row) in self._where.items()}
        self._open = lru_cache(MAX_OPEN)(_open)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

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
        first, end = shard.offsets[row : row + 2].tolist()
        if not 0 <= start < min(stop, end - first):
            raise InputError(f"video {id!r} in {self.folder} has {end - first} rows; {start}:{stop} are none of them")
        return _floats(self._read(shard, first + start, min(first + stop, end)))

    def blocks(self, ids: Sequence[str], videos: int = 64) -> Iterator[list[np.ndarray]]:
        """The features of videos in the order given, (T, d) float32 each, so many videos at a time. Those that lie side
        by side in a shard are read at once, which is a disk's own speed; the next are read meanwhile."""
        with ThreadPoolExecutor(1, "read") as reader:
            ahead = reader.submit(self._halves, ids[:videos])
            for start in range(videos, len(ids) + videos, videos):
                halves, ahead = ahead.result(), reader.submit(self._halves, ids[start : start + videos])
                yield [video for rows_TD, ends in halves for video in np.split(_floats(rows_TD), ends)]

    def _halves(self, ids: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """What lies side by side, as it lies there, and where the videos in it end."""
        halves = []
        places = enumerate(map(self._find, ids))
        for _, run in groupby(places, key=lambda one: (one[1][0].path, one[1][1] - one[0])):
            found = [place for _, place in run]
            shard, row = found[0]
            offsets = shard.offsets[row : row + len(found) + 1]
            halves.append((self._read(shard, *offsets[[0, -1]].tolist()), offsets[1:-1] - offsets[0]))
        return halves

    def _read(self, shard: Shard, first: int, last: int) -> np.ndarray:
        """Rows of a shard, float16, straight from where they lie in its file."""
        rows_TD = np.empty((last - first, self.dim), "<f2")
        with self._lock, _readable(shard.path):
            file = self._open(shard.path, shard.stamp[0])
            file.seek(shard.start + first * rows_TD.strides[0])
            if file.readinto(rows_TD.data.cast("B")) != rows_TD.nbytes:
                raise OSError("its end is missing")
        return rows_TD

    def objects(self, id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The most probable objects of a video: indices (k,) int64 and probabilities (k,) float32, or None."""
        shard, row = self._find(id)
        kept = shard.object_indices[row] >= 0
        indices, probabilities = shard.object_indices[row][kept], shard.object_probabilities[row][kept]
        return (indices.astype(np.int64), probabilities) if kept.any() else None

    @cached_property
    def vocabulary(self) -> ObjectVocabulary | None:
        """The objects that `objects` counts, or None for a store without objects. Raises `FormatError`."""
        wanted = self.provenance.get("object_head_fingerprint")
        if wanted is None:
            return None
        path = self.folder / "objects.json"
        try:
            found = ObjectVocabulary(**read_json_object(path))
            if found.fingerprint != wanted:
                raise ValueError(f"it belongs to object head {found.fingerprint}, not {wanted}")
            "".join([*found.names, *found.definitions])  # are text
            most = max(int(shard.object_indices.max(initial=-1)) for shard, _ in self._where.values())
            if not most < len(found.names) == len(found.definitions):
                raise ValueError(f"it has {len(found.names)} names and {len(found.definitions)} definitions")
            return found
        except (InputError, *DAMAGED) as error:
            told = "copy it from the original store, or extract again into a new folder"
            raise FormatError(f"{path}, the names of objects, cannot be used ({error}); {told}") from error

    @cached_property
    def fingerprint(self) -> str:
        """Content hash, 64 hex digits: SHA-256 over the encoder's fingerprint and, by sorted id, the digests. It
        depends on ids, labels, features and objects; not on shards, the order of videos, or the video files."""
        digest = hashlib.sha256(str(self.provenance["fingerprint"]).encode("utf-8"))
        for shard, row in (self._where[id] for id in sorted(self.ids)):
            digest.update(shard.digests[row].tobytes())
        return digest.hexdigest()

    def _find(self, id: str) -> tuple[Shard, int]:
        if id not in self._where:
            raise InputError(f"{self.folder} holds no video {id!r} ({len(self):,} others)")
        return self._where[id]


def provenance_of(folder: str | Path) -> dict[str, Any]:
    """What a store was made with, from its first shard alone. Raises `FormatError` as `FeatureStore`."""
    for path in sorted(Path(folder).glob("shard-*.h5")):
        return dict(json.loads(_read_shard(path).provenance))
    return FeatureStore(folder).provenance  # there is none, which it says


def _floats(rows_TD: np.ndarray) -> np.ndarray:
    import torch  # whoever reads features needs it anyway, and it converts them ten times faster than NumPy

    floats_TD: np.ndarray = torch.from_numpy(rows_TD).float().numpy()
    return floats_TD


class StoreWriter:
    """Adds videos to a store folder, new or not; the only writer there as long as it is open (else `InputError`). They
    become readable a shard at a time: when one is full and another comes, at `flush()` and at `close()`; where a `with`
    block fails, those not yet in a shard are dropped. Raises `MismatchError` where `IDENTITY` is another than the
    folder's."""

    def __init__(
        self, folder: str | Path, provenance: Mapping[str, Any], *, vocabulary: ObjectVocabulary | None = None,
        shard_videos: int = 256,
    ) -> None:  # fmt: skip
        self.folder, self.provenance, self.shard_videos = Path(folder), dict(provenance), shard_videos
        if vocabulary is not None:
            self.provenance["object_head_fingerprint"] = vocabulary.fingerprint
        self._pending: list[tuple[Any, ...]] = []  # values of `PER_VIDEO`, and features
        self._lock = ExitStack()
        self._lock.enter_context(atomic.alone(self.folder))
        try:
            self._shards, self._indexed = _read_shards(self.folder), True
            if self._shards:
                stored = json.loads(self._shards[0].provenance)
                _same_identity(self.folder, stored, self.provenance)
                self.provenance = stored | {key: self.provenance[key] for key in {PRECISION} & self.provenance.keys()}
            self.labels = {id: label for s in self._shards for id, label in zip(s.ids, s.labels, strict=True)}
            self._next = 1 + max((int(shard.path.stem.removeprefix("shard-")) for shard in self._shards), default=-1)
            objects = self.folder / "objects.json"
            if vocabulary is not None and not (self._shards and objects.exists()):
                atomic.write_json(objects, asdict(vocabulary))
        except BaseException:
            self._lock.close()
            raise

    def __contains__(self, id: object) -> bool:
        return id in self.labels

    @property
    def full(self) -> bool:
        """Whether there is enough for a shard, which the next `add` writes if nobody has flushed."""
        waiting_bytes = sum(video[-1].nbytes for video in self._pending)
        return len(self._pending) >= self.shard_videos or waiting_bytes >= SHARD_BYTES

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._pending.clear()
        self.close()

    def drop_replaced(self, clips: Mapping[str, Path]) -> list[str]:
        """Remove the videos whose film is another one now: of another size, or at the same path with another time;
        their ids. A film that the store does not know is taken for the same."""
        dropped: list[str] = []
        for shard in self._shards:
            films = zip(shard.ids, shard.paths, shard.files.tolist(), strict=True)
            kept = np.array([id not in clips or same_film(clips[id], path, *stamp) for id, path, stamp in films])
            if kept.all():
                continue
            dropped += np.array(shard.ids)[~kept].tolist()
            lengths = np.diff(shard.offsets)
            with _readable(shard.path), h5py.File(shard.path, "r") as file:
                arrays = {name: file[name][:][kept] for name in PER_VIDEO if name in file}
                features = file["features"][:][np.repeat(kept, lengths)]
            if kept.any():
                self._write(shard.path, shard.provenance, features, lengths[kept], arrays)
            else:
                shard.path.unlink()
        self._shards, self._indexed = _read_shards(self.folder), False
        self.labels = {id: label for id, label in self.labels.items() if id not in dropped}
        return dropped

    def add(
        self, id: str, features: np.ndarray, label: str = "", path: str | Path = "",
        objects: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Add one video: (T, d) features, T >= 1, kept as float16; its file, whose size and time are kept; objects as
        indices (k,) into the vocabulary and probabilities (k,), most probable first. `InputError` for an empty or
        repeated id, a wrong shape, or a value that is NaN or beyond float16."""
        for what, text in (("id", id), ("label", label)):
            if "\0" in text or not is_unicode(text) or not (text or what == "label"):
                raise InputError(f"video {id!r}: its {what} {text!r} is empty or not valid Unicode text; rename it")
        if id in self.labels:
            raise InputError(f"video {id!r} is already in {self.folder}; ids must be unique")
        features, dim = np.asarray(features), int(self.provenance["dim"])
        if features.ndim != 2 or features.shape[1] != dim or len(features) == 0:
            raise InputError(f"video {id!r}: features of shape {features.shape} instead of (T, {dim}) with T >= 1")
        with np.errstate(over="ignore"):
            features = np.ascontiguousarray(features, dtype="<f2")
        if not (usable := np.isfinite(features).all(axis=1)).all():
            told = "has a feature that is NaN, infinite or beyond float16 (65,504); leave it out, or scale it down"
            raise InputError(f"video {id!r}: its second {int(usable.argmin())} {told}")
        indices, probabilities = objects or ((), ())
        indices, probabilities = np.asarray(indices, dtype="<i4"), np.asarray(probabilities, dtype="<f4")
        if self.full:
            self.flush()
        self.labels[id] = label
        digest = hashlib.sha256(json.dumps([id, label, list(features.shape)]).encode("ascii"))
        digest.update(features.tobytes() + indices.tobytes() + probabilities.tobytes())
        words = id.encode(), label.encode(), printable(str(path)).encode()
        self._pending.append((*words, file_stamp(path), digest.digest(), indices, probabilities, features))

    def adopt(self, folder: Path) -> None:
        """Take over the shards of another store, of the same encoder, which has other videos; its folder goes."""
        self.flush()
        for shard in _read_shards(folder):
            _same_identity(shard.path, json.loads(shard.provenance), self.provenance)
            if shared := self.labels.keys() & set(shard.ids):
                raise InputError(f"video {min(shared)!r} of {folder} is already in {self.folder}; ids must be unique")
            path = self.folder / f"shard-{self._next:05d}.h5"
            shard.path.replace(path)
            self._shards, self._indexed = [*self._shards, shard._replace(path=path)], False
            self.labels |= dict(zip(shard.ids, shard.labels, strict=True))
            self._next += 1
        shutil.rmtree(folder)

    def flush(self) -> None:
        """Write the videos gathered so far as one shard, if there are any. Raises `CezsarError` if the disk refuses."""
        if not self._pending:
            return
        *words, files, digests, indices, probabilities, features = zip(*self._pending, strict=True)
        columns = [np.array(column) for column in words]
        columns += [np.array(files, "<i8"), np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)]
        most = max(map(len, indices))
        for ragged, filling in ((indices, -1), (probabilities, 0)):
            columns.append(np.stack([np.pad(row, (0, most - len(row)), constant_values=filling) for row in ragged]))
        path = self.folder / f"shard-{self._next:05d}.h5"
        lengths = np.array([len(rows) for rows in features])
        arrays = dict(zip(PER_VIDEO, columns, strict=True))
        self._write(path, json.dumps(self.provenance), np.concatenate(features), lengths, arrays)
        self._shards, self._indexed = [*self._shards, _read_shard(path)], False
        self._next += 1
        self._pending.clear()

    def close(self) -> None:
        """Flush and let others write."""
        try:
            self.flush()
            if not self._indexed and len(self._shards) >= INDEXED:
                _write_index(self.folder / "index.npz", self._shards)
        finally:
            self._lock.close()

    @property
    def precision(self) -> str:
        """In which the features were computed that are written: "fp32", "bf16", or both."""
        return str(_provenance(self._shards).get(PRECISION, "")) if self._shards else ""

    def _write(
        self, path: Path, provenance: str, features: np.ndarray, lengths: np.ndarray, arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Write a shard. The same videos and provenance give the same bytes."""
        try:
            # Metadata with checksums (HDF5 1.10) and text of fixed length, which needs no unprotected heap: otherwise a
            # flipped bit can send the library into an endless loop.
            how: dict[str, Any] = {"libver": ("v110", "v110"), "locking": False}  # the file is locked already
            with atomic.replacing(path) as temporary, h5py.File(temporary, "w", **how) as file:
                file.attrs["format"] = np.bytes_(FORMAT)
                file.attrs["format_version"] = VERSIONS[FORMAT]
                file.attrs["provenance"] = np.bytes_(provenance)
                file["features"] = features
                file["offsets"] = np.cumsum([0, *lengths], dtype="<i8")
                for name, array in arrays.items():
                    file[name] = array
        except (OSError, RuntimeError) as error:  # h5py raises RuntimeError when closing a file fails
            advice = "make room and start again; complete shards are kept"
            raise CezsarError(f"{path} cannot be written ({error}): {advice}") from error


def file_stamp(path: str | Path) -> tuple[int, int]:
    """Size in bytes and time of change in ns of a file; (0, 0) where there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return 0, 0
    return (found.st_size, found.st_mtime_ns) if str(path) else (0, 0)


def same_film(film: Path, path: str, size: int, time_ns: int) -> bool:
    """Whether features of the film that was at `path` are of this one; where nothing tells, they are."""
    now_size, now_ns = file_stamp(film)
    moved = path != printable(str(film))
    return not (size and now_size) or (now_size == size and (moved or now_ns == time_ns))


def _same_identity(where: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in IDENTITY:
        if stored.get(key) != wanted.get(key):
            was, now = (f"{each['encoder']} ({key} {str(each.get(key))[:16]})" for each in (stored, wanted))
            told = f"{where} was made with encoder {was}, not {now}"
            raise MismatchError(f"{told}: choose another folder, or that encoder")


def _provenance(shards: Sequence[Shard]) -> dict[str, Any]:
    """Of the first shard, with the precisions of all: features may be computed where there is no GPU, then with one."""
    made = [json.loads(told) for told in dict.fromkeys(shard.provenance for shard in shards)]
    found = sorted({each.get(PRECISION, "unknown") for each in made})
    return dict(made[0]) | ({PRECISION: " and ".join(found)} if len(found) > 1 else {})


def _read_shards(folder: Path) -> list[Shard]:
    """Every shard, in order; provenance and uniqueness of ids checked over all of them."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a feature store is one, made by `cezsar extract`")
    indexed = _read_index(folder / "index.npz")
    shards: list[Shard] = []
    for path in sorted(folder.iterdir()):
        if re.fullmatch(r"shard-\d{5,}\.h5", path.name):
            known = indexed.get(path.name)
            shards.append(known if known is not None and known.stamp == _stamp(path) else _read_shard(path))
    seen: dict[str, Path] = {}
    for shard in shards:
        if shard.provenance != shards[0].provenance:
            _same_identity(shard.path, json.loads(shard.provenance), json.loads(shards[0].provenance))
        for id in shard.ids:
            if id in seen:
                raise FormatError(f"{shard.path}: video {id!r} is already in {seen[id].name}; remove one of the shards")
            seen[id] = shard.path
    return shards


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, int(found.st_mtime)


def _write_index(path: Path, shards: Sequence[Shard]) -> None:
    """What shards say of their videos, in one file. It can be made again from the shards, and is not believed of one
    that has changed since."""
    arrays: dict[str, Any] = {
        "version": VERSIONS[FORMAT],
        "shards": np.array([shard.path.name.encode() for shard in shards]),
        "stamps": np.array([shard.stamp for shard in shards]), "starts": np.array([shard.start for shard in shards]),
        "provenance": np.array([shard.provenance.encode() for shard in shards]),
        "counts": np.array([len(shard.ids) for shard in shards]),
        "lengths": np.concatenate([np.diff(shard.offsets) for shard in shards]),
    }  # fmt: skip
    most = max(shard.object_indices.shape[1] for shard in shards)
    for name in PER_VIDEO:
        parts = [getattr(shard, name) for shard in shards]
        if name in ("ids", "labels", "paths"):
            arrays[name] = np.array([text.encode() for part in parts for text in part])
        else:
            filling = -1 if name == "object_indices" else 0
            wide = name.startswith("object")
            padding = [((0, 0), (0, most - part.shape[1] if wide else 0)) for part in parts]
            padded = [np.pad(part, pad, constant_values=filling) for part, pad in zip(parts, padding, strict=True)]
            arrays[name] = np.concatenate(padded)
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read_index(path: Path) -> dict[str, Shard]:
    """Shards by the names of their files; nothing where there is no index, or one that cannot be read."""
    try:
        arrays: dict[str, Any] = {"version": 1} | read_npz(path)
        if arrays["version"] != VERSIONS[FORMAT]:
            return {}
        for name in ("ids", "labels", "paths", "shards", "provenance"):
            arrays[name] = [text.decode("utf-8") for text in arrays[name].tolist()]
        ends, lengths = np.cumsum(arrays["counts"]).tolist(), arrays["lengths"]
        found = {}
        for row, (name, end) in enumerate(zip(arrays["shards"], ends, strict=True)):
            own = slice(end - int(arrays["counts"][row]), end)
            about = (tuple(arrays["stamps"][row].tolist()), int(arrays["starts"][row]), arrays["provenance"][row])
            offsets = np.concatenate([[0], np.cumsum(lengths[own])])
            found[name] = Shard(path.parent / name, *about, offsets, **{each: arrays[each][own] for each in PER_VIDEO})
            _width(found[name])
        return found
    except UNREADABLE:  # the shards themselves say the same, only more slowly
        return {}


def _read_shard(path: Path) -> Shard:
    """Raises `FormatError` where the file is foreign, newer or damaged."""
    with _readable(path), h5py.File(path, "r") as file:
        stamp = _stamp(path)
        if any(file.attrs.get_id(name).dtype.kind not in "iS" for name in file.attrs):
            raise ValueError("its attributes are of other types")
        kind, version = file.attrs.get("format"), file.attrs.get("format_version")
        kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else kind
        check_stamp(path, FORMAT, {"cezsar": kind, "version": version}, "move it elsewhere")
        provenance = file.attrs["provenance"].decode("ascii")
        features, offsets = _array(file, "features"), _array(file, "offsets")[:]
        arrays: dict[str, Any] = {name: _array(file, name)[:] for name in PER_VIDEO if name != "files" or name in file}
        arrays = {"files": np.zeros((len(offsets) - 1, 2), int)} | arrays  # stores of earlier versions have none
        for name in ("ids", "labels", "paths"):
            arrays[name] = [text.decode("utf-8") for text in arrays[name].tolist()]
        shard = Shard(path, stamp, features.id.get_offset(), provenance, offsets, **arrays)
        if (features.dtype, features.shape) != (np.float16, (offsets[-1], _width(shard))):
            raise ValueError("its parts do not fit together")
    return shard


def _array(file: h5py.File, name: str) -> h5py.Dataset:
    """An array that lies in the file itself, in one piece and as it is: no link elsewhere, no filter, no other file."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place")
    found = file[name]
    made = found.id.get_create_plist()
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count() or found.dtype.kind not in "iufS":
        told = "in pieces, compressed, elsewhere or of another type; undo it, as with: h5repack -l CONTI -f NONE"
        raise FormatError(f"{file.filename} has {name} {told}")
    if found.nbytes != found.id.get_storage_size():
        raise ValueError(f"{name} is not all there")
    return found


def _width(shard: Shard) -> int:
    """d, the width of its rows, if its parts fit together. Raises one of `UNREADABLE` where they do not."""
    about, n = json.loads(shard.provenance), len(shard.offsets) - 1
    encoder, fingerprint, dim = (about[key] for key in IDENTITY[:3])
    arrays = shard.files, shard.digests, shard.object_indices, shard.object_probabilities
    whole = (
        [type(each) for each in (encoder, fingerprint, dim, about.get(PRECISION, ""))] == [str, str, int, str]
        and dim > 0
        and shard.offsets.dtype.kind == "i" and shard.offsets.ndim == 1 and shard.offsets[0] == 0
        and (np.diff(shard.offsets) > 0).all()
        and {len(part) for part in (shard.ids, shard.labels, shard.paths, *arrays)} == {n}
        and [each.dtype.kind for each in arrays] == ["i", "u", "i", "f"]
        and (shard.files.shape[1:], shard.digests.shape[1:]) == ((2,), (32,))
        and shard.object_indices.shape == shard.object_probabilities.shape and shard.object_indices.ndim == 2
        and 0 < shard.start <= shard.stamp[0] - int(shard.offsets[-1]) * dim * np.dtype("<f2").itemsize
    )  # fmt: skip
    if not whole:
        raise ValueError("its parts do not fit together")
    return int(dim)


def _open(path: Path, size: int) -> io.FileIO:
    """A shard's file, open as long as it is kept."""
    file = io.FileIO(path)
    if os.fstat(file.fileno()).st_size != size:
        raise FormatError(f"{path} has changed since the store was opened; open the store again")
    return file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        told = "Delete it and extract again: only its videos are done anew"
        raise FormatError(f"{path} is damaged ({error}). {told}") from error
