"""Runs that come from elsewhere: archives of runs, bare weights, and the authors' checkpoint. Nothing in them is run.

An archive is a `.zip` of a run's folder without `state.pt` (`docs/formats.md`); pickles are refused. The authors'
checkpoint is one: `torch.load(weights_only=True)` reads it, every class that it may name being an inert stand-in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import re
import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cezsar.atomic import replacing, write_json
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import printable, read_json_object
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.model import CEZSAR
from cezsar.training.runs import Run, RunConfig, is_number, refuse_other_shapes
from cezsar.training.semantic_transfer import Seen

MB = 1_000_000
MOST_BYTES, MOST_TEXT = 2000 * MB, 50 * MB  # of all files together, unpacked; of one that holds text
MOST_FILES = 1000
MOST_RATIO, RATIO_FROM = 100, 64 * MB  # unpacked to packed; small archives of text may pack better
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
_TRAVELS = re.compile(  # a file of a run that an archive holds
    r"(config|record|prototypes|calibration|rejector)\.json|history\.jsonl|(model|domain|objects|seen)\.safetensors"
    r"|results/(?![. ])[^/\x00-\x1f<>:\"|?*]{1,120}\.(json|csv|md)"
)
_LEFT_BY_SYSTEMS = re.compile(r"(^|/)(__MACOSX/|\._|(\.DS_Store|Thumbs\.db|desktop\.ini)$)")
_NAME = re.compile(r"\w(?:[\w .+@-]{0,78}[\w+@-])?")


# Archives and bare weights -------------------------------------------------------------------------------------------


def pack(run_folder: str | Path, path: str | Path) -> Path:
    """Write a trained run as a `.zip` that `unpack` reads. Raises `CezsarError`: no run, not trained, no `.zip`."""
    run, path = Run.open(run_folder), Path(path)
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path} would hold a zip archive; give it the suffix .zip")
    if not run.trained:
        raise InputError(f"run {run.folder} is not trained yet; finish it with `cezsar train --resume`, then pack it")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(run.folder.rglob("*")):
            if file.is_file() and _TRAVELS.fullmatch(name := file.relative_to(run.folder).as_posix()):
                archive.write(file, f"{run.folder.resolve().name}/{name}")
    return path


def unpack(path: str | Path, runs_folder: str | Path, name: str | None = None) -> Run:
    """Check a file that `pack` wrote, or a run's folder zipped by hand, and put the run among the others, or nothing.

    The run's `name` is by default its own, or the next free one like it: "mine-2". Raises `InputError`: no such file, a
    pickle, a name that is taken or none; `FormatError`: no archive of a run, anything else in it, too large, damaged.
    """
    path = Path(path)
    _refuse_pickles(path)
    try:
        with zipfile.ZipFile(path) as archive, _staging(Path(runs_folder), path) as folder:
            own, members = _members(archive, path)
            for target, info in members.items():
                (folder / target).parent.mkdir(exist_ok=True)
                with archive.open(info) as source, (folder / target).open("wb") as file:
                    shutil.copyfileobj(source, file)
            _check_run(folder)
            return _place(folder, Path(runs_folder), name, own or path.stem)
    except OSError as error:
        raise InputError(f"{printable(str(path))} cannot be unpacked: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path.name} is no zip archive, or a damaged one ({error}); fetch it again") from error


def adopt(
    weights: str | Path, like: Run, runs_folder: str | Path, name: str | None = None, *, domain: str = "unknown"
) -> Run:
    """A new run from a bare safetensors file, with the configuration of a run whose tensors have the same shapes.

    Object head and class descriptions come along from that run, since they belong to its encoder; what describes its
    training does not. Raises as `unpack` does; the message names the first tensor that does not fit.
    """
    weights = Path(weights)
    _refuse_pickles(weights)
    if like.method == "cross-modal":  # its seen classes have their places in its own space
        raise InputError(
            f"run {like.name} is cross-modal: bare weights cannot use its seen classes; give a .zip of a run"
        )
    with _staging(Path(runs_folder), weights) as folder:
        run = Run.create(folder, dataclasses.replace(like.config, triplets="", domain=domain))
        shutil.copyfile(weights, folder / "model.safetensors")
        run.load_model()
        for file in ("objects.safetensors", "prototypes.json"):
            if (like.folder / file).is_file():
                shutil.copyfile(like.folder / file, folder / file)
        write_json(folder / "record.json", {"weights": _origin(weights)})
        return _place(folder, Path(runs_folder), name, weights.stem)


def _refuse_pickles(path: Path, names: Sequence[str] = ()) -> None:
    for name in (path.name, *names):
        if name.lower().endswith(PICKLES):
            raise InputError(
                f"{printable(name)} is a pickle, which can run any program when opened, so it is not opened; "
                "give a .zip of a run, or the weights as .safetensors"
            )
    if not path.is_file():
        raise InputError(f"there is no file {printable(str(path))}; check the path")


def _origin(file: Path) -> dict[str, str]:
    with file.open("rb") as opened:
        return {"file": printable(file.name), "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _members(archive: zipfile.ZipFile, path: Path) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The run's own name, "" if the archive gives none, and its files by their place in the run's folder.

    Only names that a run's files can have are taken, so that nothing can lie outside its folder.
    """

    def refuse(condition: object, complaint: str) -> None:
        if condition:
            raise FormatError(f"{printable(path.name)} {complaint}")

    infos = [each for each in archive.infolist() if not each.is_dir() and not _LEFT_BY_SYSTEMS.search(each.filename)]
    _refuse_pickles(path, [info.filename for info in infos])
    refuse(len(infos) > MOST_FILES, f"holds {len(infos):,} files; an archive of a run has at most {MOST_FILES:,}")
    configs = [info.filename for info in infos if re.fullmatch(r"(?!\.\./)([^/]+/)?config\.json", info.filename)]
    several = f"is not the folder of one run ({len(configs) or 'no'} config.json); zip the folder of one"
    refuse(len(configs) != 1, several)
    prefix, members = configs[0].removesuffix("config.json"), dict[str, zipfile.ZipInfo]()
    for info in infos:
        name = info.filename.removeprefix(prefix)
        limit = MOST_BYTES if name.endswith(".safetensors") else MOST_TEXT
        shown = repr(printable(info.filename))
        refuse(not _TRAVELS.fullmatch(name), f"holds {shown}, which no archive of a run has; remove it, or pack again")
        refuse(info.file_size > limit, f"holds {name} of {info.file_size:,} bytes; it may have {limit:,}")
        members[name] = info
    total, packed = sum(info.file_size for info in infos), path.stat().st_size
    bomb = total > min(MOST_BYTES, max(RATIO_FROM, MOST_RATIO * packed))
    refuse(bomb, f"has {packed:,} bytes and would unpack to {total:,}; no run does that")
    refuse("model.safetensors" not in members, "has no model.safetensors; pack a run whose training has ended")
    return prefix.removesuffix("/"), members


@contextlib.contextmanager
def _staging(runs: Path, source: Path) -> Iterator[Path]:
    """A folder beside the runs that no list of runs shows. Errors raised meanwhile speak of `source` instead of it."""
    runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runs, prefix=".tmp-") as temporary:
        folder = Path(temporary) / "run"
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
    width = run.config.model.feature_dim
    run.load_model()
    if (ood := run.ood_distance()) is not None:
        distance = math.nan
        with np.errstate(all="ignore"), contextlib.suppress(IndexError, ValueError):
            distance = ood.distance(np.ones((1, width), np.float32))
        if not math.isfinite(distance) or not ood.typical > 0:
            raise FormatError(f"domain.safetensors does not describe features of {width} columns; remove it")
    if (folder / "objects.safetensors").exists():
        head = LinearHead.load(folder / "objects.safetensors")
        words = head.names and all(isinstance(word, str) for word in head.names + head.definitions)
        if not words or head.weight.shape[1] != width or not np.isfinite([*head.weight.flat, *head.bias]).all():
            raise FormatError(f"objects.safetensors does not name objects in features of {width} columns; remove it")
    if run.method == "cross-modal":
        Seen.load(folder / "seen.safetensors")
    if (folder / "prototypes.json").exists():
        load_descriptions(folder / "prototypes.json")
    for path in folder.rglob("*.json"):  # numbers of other tables are checked where they are used
        read_json_object(path)
    if not all(is_number(run.record().get(key, 0)) for key in ("seconds", "epochs", "best_epoch", "validation_loss")):
        raise FormatError("record.json has words where numbers belong; remove it")
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
    """Make a run in `out` of the authors' checkpoint, a whole `JointEmbeddingModel` that `torch.save` wrote.

    Only weights and settings are taken from it; what it computes is the `released` recipe of `cezsar.model`. A module
    made with settings that this recipe cannot express is refused: predictions that differ from the authors' would be
    worse than none. The two encoders it was trained with are recorded by name and width: the file says nothing of them.
    Raises `InputError`: no such file, or `out` is there already; `FormatError`: no such checkpoint; it names what.
    """
    file, out = Path(file), Path(out)
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} is there already; choose another folder for the run, or remove it first")
    module = _read_module(file)
    try:
        model = _model(module)
    except (InputError, TypeError, ValueError, AttributeError, RuntimeError) as error:  # RecursionError, too
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
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > file.stat().st_size:
                raise ValueError("it is compressed, which torch.save does not do")
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_STAND_INS):
            module = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(module, _Part):
            raise ValueError(f"it holds a {type(module).__name__}, not a module")
    except Exception as error:  # damage shows itself in many ways
        words = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
        if named := re.search(r"GLOBAL (\S+)", words):
            words = f"it names {named[1]}, which is no part of the authors' model; nothing of it was run"
        first = printable((words.strip() or type(error).__name__).splitlines()[0])[:200]
        raise FormatError(f"{printable(file.name)} is no module that torch.save wrote, or damaged: {first}") from error
    return module


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
