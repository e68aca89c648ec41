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
import stat
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cezsar.atomic import replacing, write_json
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import printable, read_json_object, read_text
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError, FormatError, InputError, MismatchError
from cezsar.model import CEZSAR, model_for
from cezsar.training.runs import Run, RunConfig, is_number
from cezsar.training.semantic_transfer import Seen

MB = 1_000_000
MOST_BYTES = 2000 * MB  # of all files together, unpacked
MOST_FILES = 1000
MOST_RATIO, RATIO_FROM = 100, 64 * MB  # unpacked to packed; small archives of text may pack better
FILES = {  # of a run that travel, and the most bytes each may have
    "config.json": MB, "model.safetensors": MOST_BYTES, "history.jsonl": 50 * MB, "record.json": 10 * MB,
    "domain.safetensors": MOST_BYTES, "objects.safetensors": MOST_BYTES, "prototypes.json": 20 * MB,
    "seen.safetensors": MOST_BYTES, "calibration.json": MB, "rejector.json": MB,
}  # fmt: skip
_RESULT = re.compile(r"results/(?![. ])[^/\x00-\x1f<>:\"|?*]{1,120}\.(json|csv|md)")
_RESULT_BYTES = 50 * MB
_NAME = re.compile(r"\w(?:[\w .+@-]{0,78}[\w+@-])?")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
_LEFT_BY_SYSTEMS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


# Archives and bare weights -------------------------------------------------------------------------------------------


def pack(run_folder: str | Path, path: str | Path) -> Path:
    """Write a trained run as a `.zip` that `unpack` reads. Raises `CezsarError`: no run, not trained, no `.zip`."""
    run, path = Run.open(run_folder), Path(path)
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path} would hold a zip archive; give it the suffix .zip")
    if not run.trained:
        raise InputError(f"run {run.folder} is not trained yet; finish it with `cezsar train --resume`, then pack it")
    results = (f"results/{file.name}" for file in sorted((run.folder / "results").glob("*")))
    names = [*FILES, *(name for name in results if _RESULT.fullmatch(name))]
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            if (run.folder / name).is_file():
                archive.write(run.folder / name, f"{run.folder.resolve().name}/{name}")
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
    training does not. Raises as `unpack` does, and `MismatchError` where a tensor is missing, unknown, or of another
    shape; the message names the first.
    """
    weights = Path(weights)
    _refuse_pickles(weights)
    if like.method == "cross-modal":  # its seen classes have their places in its own space
        raise InputError(
            f"run {like.name} is cross-modal: bare weights cannot use its seen classes; give a .zip of a run"
        )
    with _staging(Path(runs_folder), weights) as folder:
        _check_shapes(weights, like.config.model)
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

    def is_left(info: zipfile.ZipInfo) -> bool:
        return any(part in _LEFT_BY_SYSTEMS or part.startswith("._") for part in info.filename.split("/"))

    infos = [info for info in archive.infolist() if not info.is_dir() and not is_left(info)]
    _refuse_pickles(path, [info.filename for info in infos])
    refuse(len(infos) > MOST_FILES, f"holds {len(infos):,} files; an archive of a run has at most {MOST_FILES:,}")
    configs = [place for info in infos if (place := PurePosixPath(info.filename)).name == "config.json"]
    several = len(configs) != 1 or len(configs[0].parts) > 2 or configs[0].parts[0] == ".."
    refuse(several, f"is not the folder of one run ({len(configs) or 'no'} config.json); zip the folder of one")
    own = configs[0].parts[0] if len(configs[0].parts) == 2 else ""
    prefix = f"{own}/" if own else ""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        given, shown = info.orig_filename, repr(printable(info.orig_filename))
        name = given.removeprefix(prefix) if given.startswith(prefix) else ""
        limit = FILES.get(name) or (_RESULT_BYTES if _RESULT.fullmatch(name) else 0)
        linked = stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG)
        odd = info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        refuse(linked, f"holds {shown}, a link or a device; zip the file itself")
        refuse(odd, "is encrypted or compressed in an unusual way; make a plain zip archive")
        refuse(not limit, f"holds {shown}, which no archive of a run has; remove it, or pack the run again")
        refuse(name in members, f"holds {name} twice; pack the run again")
        refuse(info.file_size > limit, f"holds {name} of {info.file_size:,} bytes; it may have {limit:,}")
        members[name] = info
    total, packed = sum(info.file_size for info in infos), path.stat().st_size
    bomb = total > MOST_BYTES or total > max(RATIO_FROM, MOST_RATIO * packed)
    refuse(bomb, f"has {packed:,} bytes and would unpack to {total:,}; no run does that")
    refuse("model.safetensors" not in members, "has no model.safetensors; pack a run whose training has ended")
    return own, members


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
    base = name or re.sub(r"[^\w .+@-]|^\W+|[ .]+$", "", own)[:70].rstrip(" .") or "run"
    for target in (runs / (f"{base}-{number}" if number > 1 else base) for number in count(1)):
        with contextlib.suppress(FileExistsError, NotADirectoryError):  # made just now by somebody else
            if not target.exists():
                return Run.open(folder.rename(target))
        if name is not None:
            break
    raise InputError(f"there is a run {name!r} already; choose another name, or remove that run first")


def _check_run(folder: Path) -> None:
    """A run from a stranger: each of its files is opened as its users will."""
    run = Run.open(folder)
    width = run.config.model.feature_dim
    _check_shapes(folder / "model.safetensors", run.config.model)
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
    for path in sorted(folder.rglob("*")):  # numbers of other tables are checked where they are used
        if path.suffix in (".json", ".csv", ".md"):
            (read_json_object if path.suffix == ".json" else read_text)(path)
    if not all(is_number(run.record().get(key, 0)) for key in ("seconds", "epochs", "best_epoch", "validation_loss")):
        raise FormatError("record.json has words where numbers belong; remove it")
    run.history()


def _check_shapes(weights: Path, config: ModelConfig) -> None:
    """Compare the tensors of a safetensors file with those of a configuration, without reading or making either."""
    try:
        with safe_open(weights, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{weights} is no safetensors file, or a damaged one ({error}); fetch it again") from error
    _compare(found, config, str(weights))


def _compare(found: Mapping[str, tuple[int, ...]], config: ModelConfig, source: str) -> None:
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in model_for(config).state_dict().items()}
    for name in [*wanted, *sorted(found)]:
        if found.get(name) != wanted.get(name):
            raise MismatchError(
                f"{source}: tensor {name} is {found.get(name, 'missing')}, where the configuration asks for "
                f"{wanted.get(name, 'none')}; weights and configuration must be of one training"
            )


# The authors' checkpoint ---------------------------------------------------------------------------------------------

FEATURES, SENTENCES = "bit-released", "distilroberta"
DOMAIN = "ActivityNet Captions, by the authors of CEZSAR"
TRAINING = TrainingConfig(epochs=200, patience=20, validation=0.3, order="triplet")
"""Of the released training code; a checkpoint does not say what it was trained with."""


class _Part(nn.Module):
    """A stand-in for a class that a checkpoint names: it has the attributes of the object, and computes nothing."""


_STAND_INS = {  # every class and function that the authors' module may name
    name: type(name.rpartition(".")[2], (_Part,), {})
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
}  # fmt: skip
_GRANTED: dict[str, dict[str, Any]] = {  # what the released recipe takes for granted of a layer that says it
    "TransformerEncoderLayer": {"norm_first": False, "activation_relu_or_gelu": 1},
    "MultiheadAttention": {"batch_first": False, "bias_k": None, "bias_v": None, "add_zero_attn": False},
    "LayerNorm": {"eps": 1e-5},
}
_ENCODER = "visual_embedding.transf_encoder"
_PLACES = {  # the authors' names of layers, and this package's
    "visual_embedding.visual_dim_reducing": "visual.reduce",
    _ENCODER: "visual.encoder",
    "visual_embedding.video_joint_embedding": "visual.project",
    "sentence_embedding.sentence_joint_embedding": "sentence",
    "norm_vid": "norm_visual",
    "norm_sent": "norm_sentence",
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
        allowed: list[Any] = [(stand_in, name) for name, stand_in in _STAND_INS.items()]
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(allowed):
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
    parts: dict[str, nn.Module] = dict(module.named_modules())
    for place, part in parts.items():
        for name, granted in _GRANTED.get(type(part).__name__, {}).items():
            if (value := vars(part).get(name, granted)) is not granted and value != granted:
                raise FormatError(
                    f"{place} was made with {name} = {str(value)[:60]}; the released recipe has {granted}"
                )
        if hooks := [name for name, value in vars(part).items() if "hook" in name and value]:
            raise FormatError(f"{place} has {hooks[0][:60]}, functions that would change what it computes")
    found = module.state_dict()
    config = _shape(parts, found)
    tensors = {"feature_mean": torch.zeros(config.feature_dim), "feature_std": torch.ones(config.feature_dim)}
    for name, value in found.items():
        own = next((place for place in _PLACES if name.startswith(f"{place}.")), None)
        if own is None:
            raise FormatError(f"it has weights {printable(name)[:100]}, which the authors' model has not")
        # As many numbers as there are, so that strides of 0 cannot make terabytes of four bytes.
        plain = value.layout == torch.strided and value.device.type == "cpu" and value.is_floating_point()
        if not plain or value.nbytes > value.untyped_storage().nbytes():
            raise FormatError(f"its weights {name[:100]} are no floating-point numbers")
        tensors[name.replace(own, _PLACES[own], 1)] = value.float()
    _compare({name: tuple(value.shape) for name, value in tensors.items()}, config, "its weights")
    model = CEZSAR(config)
    model.load_state_dict(tensors)
    return model


def _shape(parts: dict[str, nn.Module], found: dict[str, Tensor]) -> ModelConfig:
    """The shape of the model, from the shapes of its weights and the settings of its layers."""
    sides = []
    for name in (*(place for place in _PLACES if "_joint" in place or "_dim" in place), f"{_ENCODER}.layers.0.linear1"):
        weight = found.get(f"{name}.weight")
        if weight is None or weight.dim() != 2:
            raise FormatError(f"it has no weights {name}.weight with two sides")
        sides.append(tuple(weight.shape))
    (d_model, feature_dim), (d_emb, _), (_, sentence_dim), (ffn, _) = sides
    depth = sum(re.fullmatch(rf"{_ENCODER}\.layers\.[0-9]+", place) is not None for place in parts)
    heads = {vars(part).get("num_heads") for place, part in parts.items() if place.endswith(".self_attn")}
    if len(heads) != 1 or type(n_heads := heads.pop()) is not int:
        raise FormatError("its layers do not have one number of heads, as those of the released recipe have")
    dropout = vars(parts.get(f"{_ENCODER}.layers.0.dropout", _Part())).get("p", 0.1)
    return ModelConfig(
        feature_dim, sentence_dim, d_model, d_emb, depth, n_heads, ffn, dropout if isinstance(dropout, float) else 0.1,
        max_seconds=16, recipe="released",
    )  # fmt: skip
