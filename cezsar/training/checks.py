"""A run from a stranger: each of its files opened as its users will, and bounds checked before anything is made."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import read_json_object, read_text
from cezsar.encoders.objects import LinearHead
from cezsar.errors import FormatError, MismatchError
from cezsar.model import CEZSAR, ModelConfig
from cezsar.training.runs import Familiarity, Run, RunConfig, TrainingConfig

_KINDS: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "str": str,
    "bool": bool,
    "tuple[float, float]": list,
}  # of the fields of a configuration, as JSON has them; all others are tables
_MOST = {"layers": 100, "max_seconds": 3600, "objects": 1000, "seed": 2**63}  # of its whole numbers
_MOST_ELSE = 1_000_000
_FIGURES = ("seconds", "epochs", "best_epoch", "validation_loss")


def check_run(folder: Path) -> None:
    """Check every file of a run. Pickles are not looked at: see that there are none.

    Raises:
        CezsarError: for the first file that is not right.
    """
    _check_config(read_json_object(folder / "config.json"))
    run = Run.open(folder)
    check_shapes(folder / "model.safetensors", run.config.model)
    run.load_model()
    if (familiarity := run.familiarity()) is not None:
        _check_familiarity(familiarity, run.config.model.feature_dim)
    if (folder / "objects.safetensors").exists():
        _check_head(LinearHead.load(folder / "objects.safetensors"), run.config.model.feature_dim)
    if (folder / "prototypes.json").exists():
        load_descriptions(folder / "prototypes.json")
    for name in ("calibration.json", "rejector.json"):  # their numbers are checked where they are used
        if (folder / name).exists():
            read_json_object(folder / name)
    record = read_json_object(folder / "record.json") if (folder / "record.json").exists() else {}
    if not all(_is_number(record.get(key, 0)) for key in _FIGURES):
        raise FormatError("record.json has words where numbers belong; remove it")
    if (folder / "history.jsonl").exists():
        _check_history(read_text(folder / "history.jsonl"))
    for path in sorted((folder / "results").glob("*")):
        (read_json_object if path.suffix == ".json" else read_text)(path)


def check_shapes(weights: Path, config: ModelConfig) -> None:
    """Compare the tensors of a safetensors file with those of a configuration, without reading or making either.

    Raises:
        FormatError: it is no safetensors file.
        MismatchError: a tensor is missing, unknown, or has another shape; the message names the first.
    """
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in CEZSAR(config).state_dict().items()}
    try:
        with safe_open(weights, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{weights} is no safetensors file, or a damaged one ({error}); fetch it again") from error
    advice = "give the configuration that these weights were trained with"
    for name, shape in wanted.items():
        if name not in found:
            raise MismatchError(f"{weights} has no tensor {name}, which the configuration asks for; {advice}")
        if found[name] != shape:
            raise MismatchError(
                f"{weights}: tensor {name} is {found[name]}, where the configuration asks for {shape}; {advice}"
            )
    if unknown := sorted(set(found) - set(wanted)):
        raise MismatchError(f"{weights} has a tensor {unknown[0]} that the configuration does not know; {advice}")


def _check_config(values: dict[str, Any]) -> None:
    """Kinds and bounds of values; `Run.open` sees to the rest."""
    for part, kind in {"model": ModelConfig, "training": TrainingConfig, "": RunConfig}.items():
        given = values.get(part) if part else values
        if not isinstance(given, dict):
            raise FormatError(f"config.json has no table {part!r}")
        for field in dataclasses.fields(kind):
            if field.name not in given:
                continue
            value, wanted = given[field.name], _KINDS.get(str(field.type), dict)
            if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
                raise FormatError(f"config.json: {field.name} cannot be {str(value)[:60]!r}")
            if isinstance(value, int) and abs(value) > _MOST.get(field.name, _MOST_ELSE):
                raise FormatError(f"config.json: {field.name} is {str(value)[:20]}, which is out of all bounds")
    for encoder in ("feature_encoder", "sentence_encoder"):
        if not all(isinstance(values.get(encoder, {}).get(key), str) for key in ("name", "fingerprint")):
            raise FormatError(f"config.json: {encoder} needs a name and a fingerprint")
    fusion = values.get("fusion", {"alpha": 0.8, "beta": 0.2, "gamma": 0.0})
    weights = [weight for weight in fusion.values() if _is_number(weight) and weight >= 0]
    if set(fusion) != {"alpha", "beta", "gamma"} or len(weights) < 3 or max(weights) == 0:
        raise FormatError("config.json: fusion needs alpha, beta and gamma, not negative and not all zero")
    if values.get("objects", 3) < 1:
        raise FormatError("config.json: objects must be at least 1")


def _check_familiarity(familiarity: Familiarity, width: int) -> None:
    columns = familiarity.columns_D
    rows = [familiarity.mean_D, familiarity.std_D, *familiarity.directions_KD]
    fits = columns.ndim == 1 and columns.dtype.kind == "i" and ((columns >= 0) & (columns < width)).all()
    usable = fits and all(row.shape == columns.shape and np.isfinite(row).all() for row in rows)
    if not usable or not (familiarity.std_D > 0).all() or not familiarity.typical > 0:
        raise FormatError(f"domain.safetensors does not describe features of {width} columns; remove it")


def _check_head(head: LinearHead, width: int) -> None:
    words = all(isinstance(word, str) for word in head.names + head.definitions)
    finite = np.isfinite(head.weight).all() and np.isfinite(head.bias).all()
    if not words or not finite or head.weight.shape[1] != width or not head.names:
        raise FormatError(f"objects.safetensors does not name objects in features of {width} columns; remove it")


def _check_history(text: str) -> None:
    for number, raw in enumerate(text.split("\n")[:-1], start=1):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"history.jsonl, line {number}: not JSON ({error}); remove the line") from error
        known = isinstance(line, dict) and line.pop("kind", None) in ("steps", "epoch")
        if not known or not all(isinstance(value, bool) or _is_number(value) for value in line.values()):
            raise FormatError(f"history.jsonl, line {number}: it is no line of a training history; remove it")


def _is_number(value: Any) -> bool:
    return abs(value) < 2**63 if type(value) is int else isinstance(value, float) and math.isfinite(value)
