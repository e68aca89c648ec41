"""Files of weights: which one a folder has, what identifies them, how a library is made to load them."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar.errors import FormatError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

FORMAT = 1  # goes into every fingerprint: raise it when the same weights start to give other features
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def weights_file(folder: Path) -> Path | None:
    """The weights in a model folder: `model.safetensors` first, then any other file that may be one."""
    if not folder.is_dir():
        return None
    files = (file for suffix in SUFFIXES for file in folder.rglob(f"*{suffix}") if file.is_file())
    return min(files, key=lambda file: (file.stem != "model", SUFFIXES.index(file.suffix), str(file)), default=None)


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


@contextmanager
def loading(name: str, place: Path, library: str) -> Iterator[None]:
    """For a library that loads from this machine: no network, no printed lines, `FormatError` for all errors."""
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


def did_you_mean(name: str, names: list[str]) -> str:
    """For the end of an error message: the names most like one that is none of them."""
    close = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def first_line(error: BaseException) -> str:
    """A library's error, short enough for one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[:2])[:300]
