"""Weights: where they are found, what identifies them, and what to say when they are nowhere."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar import workspace
from cezsar.errors import FormatError, InputError, MissingWeightsError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

FORMAT = 1  # goes into every fingerprint: raise it when the same weights start to give other features
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
IN_MODELS = ("modules.json", "config.json", "open_clip_config.json", "model.safetensors", "pytorch_model.bin",
             "open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # fmt: skip


def fingerprint(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) of a JSON description and of tensors by name, in name order.

    It depends on the tensors' content and not on the file, the folder or the format they came from.
    Below a second per gigabyte.
    """
    import torch

    digest = hashlib.sha256(json.dumps({"format": FORMAT, **description}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def refuse_not_finite(name: str, place: Path, model: torch.nn.Module) -> None:
    """Raise `FormatError` for weights with NaN or infinite values, which would make those of every clip so."""
    import torch

    tensors = (*model.named_parameters(), *((key, each) for key, each in model.named_buffers() if each.isnan().any()))
    for key, tensor in tensors:
        if not torch.isfinite(tensor).all():
            file = weights_file(place) or place
            raise FormatError(f"{name}: {file} has NaN or infinite values in the tensor {key}; get that file anew")


def packaged(package: str) -> Path | None:
    """The folder of an installed package that carries weights; None if it is not installed. It is not imported."""
    spec = find_spec(package)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def refuse_altered(file: Path, published: str, what: str, package: str) -> None:
    """Raise `FormatError` unless a packaged file has its published SHA-256."""
    stat = file.stat()
    found = _sha256(file, stat.st_size, stat.st_mtime_ns)
    if found != published:
        raise FormatError(
            f"{file} is not the published {what} (sha256 {found[:16]}…, expected {published[:16]}…): "
            f"pip install --force-reinstall {package}"
        )


@functools.lru_cache(maxsize=8)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    """SHA-256 (hex) of a file; size and time are there so that a changed file is read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_file(folder: Path) -> Path | None:
    """The weights in a model folder: `model.safetensors` first, then any other file that may be one."""
    if not folder.is_dir():
        return None
    files = (file for suffix in SUFFIXES for file in folder.rglob(f"*{suffix}") if file.is_file())
    return min(files, key=lambda file: (file.stem != "model", SUFFIXES.index(file.suffix), str(file)), default=None)


def in_models_folder(names: Sequence[str]) -> Path | None:
    """What the user put into `$CEZSAR_HOME/models` under one of these names: a folder with weights, or a file."""
    root = workspace.folder("models")
    for name in names:
        if weights_file(root / name) is not None:
            return root / name
        for suffix in SUFFIXES:
            file = root / f"{name}{suffix}"
            if file.is_file():
                return file
    return None


def in_hub_cache(repository: str) -> Path | None:
    """The local copy of a hub repository, if its weights have been fetched before. Never a network."""
    from huggingface_hub import try_to_load_from_cache

    if not HUB_NAME.fullmatch(repository):
        return None
    for file in IN_MODELS:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str) and weights_file(Path(found).parent) is not None:
            return Path(found).parent
    return None


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
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # it is there; the client has certificates of its own
    except OSError:
        return False


def missing(name: str, what: str, size: str, repository: str, reason: str = "no network") -> MissingWeightsError:
    """The error for weights that are nowhere: what was wanted, where it was looked for, what can be done offline."""
    from huggingface_hub import constants

    folder = repository.rpartition("/")[2]
    models = workspace.folder("models") / folder
    return MissingWeightsError(
        f"{name} needs {what} ({size}), which is not on this machine and could not be fetched: {reason}. "
        f"Looked in {models}, in the hub cache {constants.HF_HUB_CACHE} and at {constants.ENDPOINT}/{repository}. "
        f"With a network: cezsar fetch {name}. Without: run that on a machine that has one and copy models/{folder} of "
        f"its workspace to {models}, or name it with weights=FOLDER (--weights FOLDER); "
        "or stay with what is embedded, the encoders motion and minilm"
    )


def hub_name(name: str) -> str:
    """A bare name means the sentence-transformers organisation, as SentenceTransformer itself reads it."""
    return name if "/" in name else f"sentence-transformers/{name}"


def load_transformer(
    name: str, local: Path | None, repository: str, device: str | None, size: str = "size not known"
) -> SentenceTransformer:
    """A SentenceTransformer from the folder `local`, or, if that is None, from the hub.

    `name` is what the user asked for. Code that comes with a model is never run. Raises `MissingWeightsError` if it
    cannot be fetched, `FormatError` if what is in the folder cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    if local is not None:
        with loading(name, local, "sentence-transformers"):
            model = SentenceTransformer(str(local), device=device, local_files_only=True)
        refuse_not_finite(name, local, model)
        return model
    if not HUB_NAME.fullmatch(repository):
        raise InputError(f"{name}: {repository} is neither a folder here nor a name a model on the hub can have")
    if not hub_reachable():
        raise missing(name, f"the model {repository}", size, repository)
    try:
        return SentenceTransformer(repository, device=device)
    except Exception as error:  # and so does a network that dies half-way
        raise missing(name, f"the model {repository}", size, repository, first_line(error)) from error


def transformer_fingerprint(model: SentenceTransformer, **description: Any) -> str:
    """The fingerprint of a SentenceTransformer: its weights, its vocabulary and its chain of modules."""
    tokenizer = getattr(model.tokenizer, "tokenizer", model.tokenizer)  # an image-text processor has one inside
    modules = [[type(module).__name__, getattr(module, "pooling_mode", None)] for module in model]
    description |= {"modules": modules[1:], "length": model.max_seq_length, "vocabulary": tokenizer.get_vocab()}
    # position_ids only count, and library versions differ in whether they are kept
    learned = {key: value for key, value in model.state_dict().items() if not key.endswith("position_ids")}
    return fingerprint(description, learned)


def did_you_mean(name: str, names: list[str]) -> str:
    """For the end of an error message: the names most like one that is none of them."""
    close = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def first_line(error: BaseException) -> str:
    """A library's error, short enough for one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[:2])[:300]


@contextmanager
def loading(name: str, place: Path, library: str) -> Iterator[None]:
    """For a library that loads from this machine: it asks no network for what lacks, and prints no lines of its own.

    Raises:
        FormatError: it failed. Damaged and foreign files make these libraries raise errors of many kinds.
    """
    from huggingface_hub import constants
    from transformers.utils import logging

    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    except Exception as error:
        raise FormatError(f"{name}: {place} cannot be loaded by {library}: {first_line(error)}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
