"""Runs that come from elsewhere: archives of runs, bare weights, and the authors' checkpoint. Nothing in them is run.

An archive is a `.zip` of a run's folder without `state.pt` (`docs/formats.md`); pickles are refused. The authors'
checkpoint is one: `torch.load(weights_only=True)` reads it, every class that it may name being an inert stand-in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cezsar import archives
from cezsar.atomic import beside, replacing, write_json
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import printable, read_json_object
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import LinearHead
from cezsar.errors import DAMAGED, CezsarError, FormatError, InputError
from cezsar.model import CEZSAR
from cezsar.training.runs import Run, RunConfig, is_number, refuse_other_shapes
from cezsar.training.semantic_transfer import Seen

MB = 1_000_000
MOST_BYTES, MOST_TEXT = 2000 * MB, 50 * MB  # of all files together, unpacked; of one that holds text
MOST_RATIO, RATIO_FROM = 100, 64 * MB  # unpacked to packed; small archives of text may pack better
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
_TRAVELS = re.compile(  # a file of a run that an archive holds
    r"(config|record|prototypes|calibration|rejector)\.json|history\.jsonl|(model|domain|objects|seen)\.safetensors"
    r"|results/(?![. ])[^/\x00-\x1f<>:\"|?*\\]{1,120}\.(json|csv|md)"
)
_NAME = re.compile(r"\w(?:[\w .+@-]{0,78}[\w+@-])?")


# Archives and bare weights -------------------------------------------------------------------------------------------


def pack(run_folder: str | Path, path: str | Path) -> Path:
    """Write a trained run as a `.zip` that `unpack` reads. Raises `CezsarError`: no run, not trained, no `.zip`."""
    run, path = Run.open(run_folder), Path(path)
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path} would hold a zip archive; give it the suffix .zip")
    if not run.trained:
        raise InputError(f"run {run.folder} is not trained yet; finish it with `cezsar train --resume`, then pack it")
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
    ):
        for file in sorted(run.folder.rglob("*")):
            if file.is_file() and _TRAVELS.fullmatch(name := file.relative_to(run.folder).as_posix()):
                archive.write(file, f"{run.folder.resolve().name}/{name}")
    return path


def unpack(path: str | Path, runs_folder: str | Path, name: str | None = None) -> Run:
    """Check a file that `pack` wrote, or a run's folder zipped by hand, and put the run among the others, or nothing;
    by default under its own name, or the next free one like it. Only files that a run has are taken, so that nothing
    can lie outside its folder. Raises `InputError`: no file, or name; `FormatError`: no archive of a run, too large,
    damaged."""
    path = Path(path)
    _refuse_pickles(path)
    try:
        with archives.opened(path) as archive, _staging(Path(runs_folder), path) as folder:
            own, members = _members(archive, path)
            for target, info in members.items():
                (folder / target).parent.mkdir(exist_ok=True)
                with archive.open(info) as packed, (folder / target).open("wb") as file:
                    shutil.copyfileobj(packed, file)
            _check_run(folder)
            return _place(folder, Path(runs_folder), name, own or path.stem)
    except OSError as error:
        raise InputError(f"{printable(str(path))} cannot be unpacked: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path.name} is no zip archive, or a damaged one ({error}); fetch it again") from error


def adopt(
    weights: str | Path, like: Run, runs_folder: str | Path, name: str | None = None, *, domain: str = "unknown"
) -> Run:
    """A new run from a bare safetensors file, with the configuration, object head and class descriptions of a run
    whose tensors have the same shapes. Raises as `unpack` does, naming the first tensor that does not fit."""
    weights = Path(weights)
    _refuse_pickles(weights)
    if like.method == "cross-modal":  # its seen classes have their places in its own space
        raise InputError(f"run {like.name} is cross-modal: its seen classes are its own; give a .zip of a run")
    with _staging(Path(runs_folder), weights) as folder:
        run = Run.create(folder, dataclasses.replace(like.config, triplets="", domain=domain))
        shutil.copyfile(weights, folder / "model.safetensors")
        run.load_model()
        for file in ("objects.safetensors", "prototypes.json"):
            if (like.folder / file).is_file():
                shutil.copyfile(like.folder / file, folder / file)
        write_json(folder / "record.json", {"weights": _origin(weights)})
        return _place(folder, Path(runs_folder), name, weights.stem)


def _refuse_pickles(path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{printable(path.name)} is a pickle, which can run any program when opened, so it is not opened; "
            "give a .zip of a run, or the weights as .safetensors"
        )
    if not path.is_file():
        raise InputError(f"there is no file {printable(str(path))}; check the path")


def _origin(file: Path) -> dict[str, str]:
    with file.open("rb") as opened:
        return {"file": printable(file.name), "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _members(archive: zipfile.ZipFile, path: Path) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The run's own name, "" if the archive gives none, and its files by their place in the run's folder."""
    infos = {info.filename: info for info in archive.infolist()}
    configs = [name for name in infos if re.fullmatch(r"([^/]+/)?config\.json", name)]
    prefix = configs[0].removesuffix("config.json") if len(configs) == 1 else "\n"
    inside = {name.removeprefix(prefix): info for name, info in infos.items() if name.startswith(prefix)}
    members = {name: info for name, info in inside.items() if _TRAVELS.fullmatch(name)}
    if "model.safetensors" not in members:
        raise FormatError(f"{printable(path.name)} is not the folder of one trained run; zip the folder of one")
    total, packed = sum(info.file_size for info in members.values()), path.stat().st_size
    text = max(info.file_size for name, info in members.items() if not name.endswith(".safetensors"))
    if total > min(MOST_BYTES, max(RATIO_FROM, MOST_RATIO * packed)) or text > MOST_TEXT:
        raise FormatError(f"{printable(path.name)} would unpack {packed:,} bytes to {total:,}; no run does that")
    return prefix.removesuffix("/"), members


@contextlib.contextmanager
def _staging(runs: Path, source: Path) -> Iterator[Path]:
    """A folder beside the runs that no list of runs shows. Errors raised meanwhile speak of `source` instead of it."""
    with beside(runs / "run", folder=True) as temporary:
        folder = temporary / "run"
        folder.mkdir()
        try:
            yield folder
        except CezsarError as error:
            if str(folder) not in str(error):
                raise
            words = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "the run")
            raise FormatError(f"{printable(source.name)}: {words}") from error


def _place(folder: Path, runs: Path, name: str | None, own: str) -> Run:
    """Move a finished run to its place: `name`, or the next free one like `own`."""
    if name is not None and not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot name a run; use letters, digits, spaces and . + - _ @, at most 80")
    base = re.sub(r"[^\w .+@-]|^\W+|[ .]+$", "", own)[:70].rstrip(" .") or "run"
    free = (runs / (f"{base}-{number}" if number > 1 else base) for number in count(1))
    target = runs / name if name else next(place for place in free if not place.exists())
    if target.exists():
        raise InputError(f"there is a run {name!r} already; choose another name, or remove that run first")
    return Run.open(folder.rename(target))


def _check_run(folder: Path) -> None:
    """A run from a stranger: each of its files is opened as its users will."""
    run = Run.open(folder)
    run.load_model()
    run.ood_distance()
    if (file := folder / "objects.safetensors").exists():
        width = LinearHead.load(file).weight.shape[1]
        if width != (wanted := run.config.model.feature_dim):
            raise FormatError(f"{file} takes features of {width} columns, the run's have {wanted}; remove it")
    if run.method == "cross-modal":
        Seen.load(folder / "seen.safetensors")
    if (folder / "prototypes.json").exists():
        load_descriptions(folder / "prototypes.json")
    for path in folder.rglob("*.json"):  # numbers of other tables are checked where they are used
        read_json_object(path)
    if not all(is_number(run.record().get(key, 0)) for key in ("seconds", "epochs", "best_epoch", "validation_loss")):
        raise FormatError(f"{folder / 'record.json'} has words where numbers belong; remove it")
    run.history()


# The authors' checkpoint ---------------------------------------------------------------------------------------------

FEATURES, SENTENCES = "bit-released", "distilroberta"
DOMAIN = "ActivityNet Captions, by the authors of CEZSAR"
TRAINING = TrainingConfig(epochs=200, patience=20, validation=0.3, order="triplet")
"""Of the released training code; a checkpoint does not say what it was trained with."""


class _Part(nn.Module):
    """A stand-in for a class that a checkpoint names: it has the attributes of the object, and computes nothing."""


_STAND_INS: list[Any] = [  # for every class and function that the authors' module may name
    (type(name.rpartition(".")[2], (_Part,), {}), name)
    for name in (
        *(f"{module}.{name}" for module in ("model", "__main__")
          for name in ("JointEmbeddingModel", "VisualEmbedding", "SentenceEmbedding")),
        *(f"torch.nn.modules.{name}" for name in (
            "linear.Linear", "linear.NonDynamicallyQuantizableLinear", "activation.MultiheadAttention",
            "activation.ReLU", "transformer.TransformerEncoder", "transformer.TransformerEncoderLayer",
            "container.ModuleList", "dropout.Dropout", "normalization.LayerNorm",
        )),
        "torch.nn.functional.relu",
    )
]  # fmt: skip
# Settings of layers that the released recipe takes for granted.
_GRANTED = {"norm_first": False, "batch_first": False, "add_zero_attn": False, "eps": 1e-5}
_LAYER = "visual_embedding.transf_encoder.layers."
_PLACES = {  # the authors' names of layers, and this package's
    "visual_embedding.visual_dim_reducing.": "visual.reduce.",
    "visual_embedding.transf_encoder.": "visual.encoder.",
    "visual_embedding.video_joint_embedding.": "visual.project.",
    "sentence_embedding.sentence_joint_embedding.": "sentence.",
    "norm_vid.": "norm_visual.",
    "norm_sent.": "norm_sentence.",
}


def import_checkpoint(
    file: str | Path, out: str | Path, *, features: str = FEATURES, sentences: str = SENTENCES, domain: str = DOMAIN
) -> Run:
    """Make a run in `out` of the authors' checkpoint, a whole `JointEmbeddingModel` that `torch.save` wrote. What it
    computes is the `released` recipe of `cezsar.model`; a module that this cannot express is refused. Its two encoders
    are recorded by name and width. Raises `InputError`: no such file, or `out` is there already; `FormatError`: no such
    checkpoint."""
    file, out = Path(file), Path(out)
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} is there already; choose another folder for the run, or remove it first")
    module = _read_module(file)
    try:
        model = _model(module)
    except (InputError, *DAMAGED) as error:
        raise FormatError(f"{printable(file.name)} cannot be imported: {error}") from error
    shape = model.config
    seen_by = {"name": features, "fingerprint": BY_NAME, "dim": shape.feature_dim}
    read_by = {"name": sentences, "fingerprint": BY_NAME, "dim": shape.sentence_dim}
    record = {
        "weights": _origin(file),
        "encoders": "by name and width; the file says nothing of them",
        "training": "as in the released code; the file says nothing of it",
    }
    with _staging(out.parent, file) as folder:
        run = Run.create(folder, RunConfig(shape, TRAINING, seen_by, read_by, domain=domain))
        run.save_model(model)
        run.load_model()  # refuses weights that are not finite
        write_json(folder / "record.json", record)
        folder.rename(out)
    return Run.open(out)


def _read_module(file: Path) -> _Part:
    """The module in a file of torch 1.6 or later, as stand-ins."""
    if not file.is_file():
        raise InputError(f"there is no file {printable(str(file))}; check the path")
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_STAND_INS):
            module = archives.load_tensors(file, {"__builtin__.set", *(name for _, name in _STAND_INS)})
        if isinstance(module, _Part):
            return module
        raise ValueError(f"it holds a {type(module).__name__}, not a module")
    except Exception as error:  # damage shows itself in many ways
        words = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
        first = printable((words.strip() or type(error).__name__).splitlines()[0])[:200]
        raise FormatError(f"{printable(file.name)} is no module that torch.save wrote, or damaged: {first}") from error


def _model(module: _Part) -> CEZSAR:
    """The released recipe's model with the weights of the authors' module."""
    parts = dict(module.named_modules())
    for place, part in parts.items():
        for name, granted in _GRANTED.items():
            if (value := vars(part).get(name, granted)) != granted:
                raise FormatError(
                    f"{place} was made with {name} = {str(value)[:60]}; the released recipe has {granted}"
                )
    found, sides = module.state_dict(), []
    for name in (*(place for place in _PLACES if "_joint" in place or "_dim" in place), f"{_LAYER}0.linear1."):
        if (weight := found.get(f"{name}weight")) is None or weight.dim() != 2:
            raise FormatError(f"it has no weights {name}weight with two sides")
        sides.append(weight.shape)
    (d_model, feature_dim), (d_emb, _), (_, sentence_dim), (ffn, _) = sides
    heads = {vars(part).get("num_heads") for place, part in parts.items() if place.endswith(".self_attn")}
    if len(heads) != 1 or type(n_heads := heads.pop()) is not int:
        raise FormatError("its layers do not have one number of heads, as those of the released recipe have")
    depth = sum(re.fullmatch(rf"{re.escape(_LAYER)}\d+", place) is not None for place in parts)
    dropout = vars(parts.get(f"{_LAYER}0.dropout", _Part())).get("p")
    config = ModelConfig(
        feature_dim, sentence_dim, d_model, d_emb, depth, n_heads, ffn, dropout if isinstance(dropout, float) else 0.1,
        max_seconds=16, recipe="released",
    )  # fmt: skip
    tensors = {"feature_mean": torch.zeros(feature_dim), "feature_std": torch.ones(feature_dim)}
    for name, value in found.items():
        own = next((place for place in _PLACES if name.startswith(place)), None)
        if own is None:
            raise FormatError(f"it has weights {printable(name)[:100]}, which the authors' model has not")
        # As many numbers as there are, so that strides of 0 cannot make terabytes of four bytes.
        if not value.is_floating_point() or value.nbytes > value.untyped_storage().nbytes():
            raise FormatError(f"its weights {name[:100]} are no floating-point numbers")
        tensors[name.replace(own, _PLACES[own], 1)] = value.float()
    refuse_other_shapes(tensors, config, "its weights")
    model = CEZSAR(config)
    model.load_state_dict(tensors)
    return model
