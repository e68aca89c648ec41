"""The authors' checkpoint as a run: a whole `JointEmbeddingModel` that `torch.save` wrote.

Only its weights and its settings are taken from it (`cezsar.training.torch_files` runs nothing of it); what it computes
is the `released` recipe of `cezsar.model`. A module that was made with settings that this recipe cannot express is
refused, and the setting named: predictions that differ from the authors' would be worse than none.
"""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from cezsar.atomic import write_json
from cezsar.data.documents import printable
from cezsar.encoders.base import BY_NAME
from cezsar.errors import FormatError, InputError
from cezsar.model import CEZSAR, ModelConfig
from cezsar.training.runs import Run, RunConfig, TrainingConfig
from cezsar.training.torch_files import MOST_BYTES, Name, Part, Stored, read_module

FEATURES, SENTENCES = "bit-released", "distilroberta"
DOMAIN = "ActivityNet Captions, by the authors of CEZSAR"
TRAINING = TrainingConfig(epochs=200, patience=20, validation=0.3, order="triplet")
"""Of the released training code; a checkpoint does not say what it was trained with."""

_AUTHORS = ("JointEmbeddingModel", "VisualEmbedding", "SentenceEmbedding")
_TORCH = {
    "linear": ("Linear", "NonDynamicallyQuantizableLinear", "_LinearWithBias"),
    "activation": ("MultiheadAttention", "ReLU"),
    "transformer": ("TransformerEncoder", "TransformerEncoderLayer"),
    "container": ("ModuleList",),
    "dropout": ("Dropout",),
    "normalization": ("LayerNorm",),
}
CLASSES = frozenset(
    [Name(module, name) for module in ("model", "__main__") for name in _AUTHORS]
    + [Name(f"torch.nn.modules.{module}", name) for module, names in _TORCH.items() for name in names]
)
_RELU = Name("torch.nn.functional", "relu")

_ENCODER = "visual_embedding.transf_encoder"
_PLACES = {
    "visual_embedding.visual_dim_reducing": "visual.reduce",
    _ENCODER: "visual.encoder",
    "visual_embedding.video_joint_embedding": "visual.project",
    "sentence_embedding.sentence_joint_embedding": "sentence",
    "norm_vid": "norm_visual",
    "norm_sent": "norm_sentence",
}
"""Where the authors' weights go in this package's model."""

_KINDS = {
    "": "JointEmbeddingModel",
    "visual_embedding": "VisualEmbedding",
    "visual_embedding.visual_dim_reducing": "Linear",
    "visual_embedding.video_joint_embedding": "Linear",
    _ENCODER: "TransformerEncoder",
    f"{_ENCODER}.layers": "ModuleList",
    f"{_ENCODER}.layers.N": "TransformerEncoderLayer",
    f"{_ENCODER}.layers.N.self_attn": "MultiheadAttention",
    f"{_ENCODER}.layers.N.self_attn.out_proj": "Linear",
    f"{_ENCODER}.layers.N.linear1": "Linear",
    f"{_ENCODER}.layers.N.linear2": "Linear",
    f"{_ENCODER}.layers.N.norm1": "LayerNorm",
    f"{_ENCODER}.layers.N.norm2": "LayerNorm",
    f"{_ENCODER}.layers.N.activation": "ReLU",
    "sentence_embedding": "SentenceEmbedding",
    "sentence_embedding.sentence_joint_embedding": "Linear",
    "norm_vid": "LayerNorm",
    "norm_sent": "LayerNorm",
}
"""What may be where. Dropout may be anywhere: at inference it does nothing."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "TransformerEncoder": {"norm": None},
    "TransformerEncoderLayer": {"norm_first": False, "activation": _RELU, "activation_relu_or_gelu": 1},
    "MultiheadAttention": {"batch_first": False, "bias_k": None, "bias_v": None, "add_zero_attn": False},
    "LayerNorm": {"eps": 1e-5},
}
"""What the recipe takes for granted of a part, where the part says anything of it."""


def import_checkpoint(
    file: str | Path, out: str | Path, *, features: str = FEATURES, sentences: str = SENTENCES, domain: str = DOMAIN
) -> Run:
    """Make a run of the authors' checkpoint, whole or not at all. Nothing of the file is run.

    The two encoders that it was trained with are recorded by name and width: the file says nothing of them, so no
    fingerprint of theirs can be checked.

    Args:
        file: what `torch.save(module)` wrote, in the zip form or the one before it.
        out: folder of the run to be made.
        features: frame encoder that it was trained with.
        sentences: sentence encoder that it was trained with.
        domain: one line on what it was trained on.

    Raises:
        InputError: no such file, `out` is there already, or a width that no model has.
        FormatError: the file is no such checkpoint, or holds what the released recipe cannot express; the message
            names it.
    """
    file, out = Path(file), Path(out)
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} is there already; choose another folder for the run, or remove it first")
    module = read_module(file, CLASSES, {_RELU})
    try:
        model = _model(module)
    except InputError as error:
        raise FormatError(f"{printable(file.name)} cannot be imported: {error}") from error
    shape = model.config
    config = RunConfig(
        model=shape,
        training=TRAINING,
        feature_encoder={"name": features, "fingerprint": BY_NAME, "dim": shape.feature_dim},
        sentence_encoder={"name": sentences, "fingerprint": BY_NAME, "dim": shape.sentence_dim},
        domain=domain,
    )
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    record = {
        "weights": {"file": printable(file.name), "sha256": digest},
        "encoders": "by name and width; the file says nothing of them",
        "training": "as in the released code; the file says nothing of it",
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".tmp-") as temporary:
        run = Run.create(Path(temporary) / "run", config)
        run.save_model(model)
        write_json(run.folder / "record.json", record)
        run.folder.rename(out)
    return Run.open(out)


def _model(root: Part) -> CEZSAR:
    """The released recipe's model with the weights of the authors' module."""
    parts = dict(_walk(root, "", set()))
    for place, part in parts.items():
        _check_part(place, part)
    found = {name: stored for place, part in parts.items() for name, stored in _weights(place, part)}
    if 4 * sum(math.prod(stored.shape) for stored in found.values()) > MOST_BYTES:
        raise FormatError(f"its weights would take more than {MOST_BYTES:,} bytes")
    config = _config(parts, found)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in CEZSAR(config).state_dict().items()}
    tensors = {"feature_mean": torch.zeros(shapes["feature_mean"]), "feature_std": torch.ones(shapes["feature_std"])}
    names = {_their_name(name): name for name in shapes if name not in tensors}
    for name in names | found:
        if name not in found:
            raise FormatError(f"it has no weights {name}")
        if name not in names:
            raise FormatError(f"it has weights {printable(name)[:100]}, which the authors' model has not")
        if (given := found[name].shape) != shapes[names[name]]:
            raise FormatError(f"its weights {name} are {given}, where others ask for {shapes[names[name]]}")
        tensors[names[name]] = found[name].tensor()
        if not bool(torch.isfinite(tensors[names[name]]).all()):
            raise FormatError(f"its weights {name} hold values that are not finite; fetch the file again")
    model = CEZSAR(config)
    model.load_state_dict(tensors)
    return model.eval()


def _walk(part: Part, place: str, seen: set[int]) -> Iterator[tuple[str, Part]]:
    """Every part by its place, such as `visual_embedding.transf_encoder`."""
    if id(part) in seen or place.count(".") > 8:
        raise FormatError(f"its part {printable(place)[:100]} is in it twice, or too deep")
    seen.add(id(part))
    yield place, part
    children = part.state.get("_modules", {})
    if not isinstance(children, dict):
        raise FormatError(f"its part {printable(place)[:100]} is damaged")
    for name, child in children.items():
        if isinstance(child, Part):
            yield from _walk(child, f"{place}.{name}" if place else str(name), seen)
        elif child is not None:
            raise FormatError(f"its part {printable(place)[:100]} holds something that is no part")


def _check_part(place: str, part: Part) -> None:
    kind = part.kind.name
    if kind == "Dropout":
        return
    shown = printable(place)[:100] or "the model itself"
    kind = "Linear" if kind in _TORCH["linear"] else kind
    wanted = _KINDS.get(re.sub(r"\.layers\.[0-9]+", ".layers.N", place))
    if kind != wanted:
        raise FormatError(
            f"{shown} is a {part.kind}, where the authors' model has {f'a {wanted}' if wanted else 'nothing'}"
        )
    for name, granted in _SETTINGS.get(kind, {}).items():
        value = part.state.get(name, granted)
        if type(value) is not type(granted) or value != granted:
            told = value if isinstance(value, str | int | float | Name) else type(value).__name__
            raise FormatError(
                f"{shown} was made with {name} = {printable(str(told))[:60]}, and the released recipe knows {granted}"
            )
    for name, value in part.state.items():
        if "hook" in name and isinstance(value, dict) and value:
            raise FormatError(f"{shown} has {printable(name)[:60]}, functions that would change what it computes")


def _weights(place: str, part: Part) -> Iterator[tuple[str, Stored]]:
    """Parameters and buffers of a part, by their names in the whole."""
    for table in ("_parameters", "_buffers"):
        values = part.state.get(table, {})
        if not isinstance(values, dict):
            raise FormatError(f"its part {printable(place)[:100]} is damaged")
        for name, value in values.items():
            if isinstance(value, Stored):
                yield (f"{place}.{name}" if place else str(name)), value
            elif value is not None:
                raise FormatError(f"its weights {printable(f'{place}.{name}')[:100]} are none")


def _config(parts: Mapping[str, Part], found: Mapping[str, Stored]) -> ModelConfig:
    """The shape of the model, from the shapes of its weights and the settings of its layers."""
    d_model, feature_dim = _matrix(found, "visual_embedding.visual_dim_reducing.weight")
    d_emb, sentence_dim = _matrix(found, "sentence_embedding.sentence_joint_embedding.weight")
    ffn, _ = _matrix(found, f"{_ENCODER}.layers.0.linear1.weight")
    layers = [place for place in parts if re.fullmatch(rf"{_ENCODER}\.layers\.[0-9]+", place)]
    attention = [part.state for place, part in parts.items() if place.endswith(".self_attn")]
    heads = [state["num_heads"] for state in attention if type(state.get("num_heads")) is int]
    if not 0 < len(layers) <= 100 or len(heads) != len(layers) or set(heads) != {heads[0]}:
        raise FormatError("its layers do not have one number of heads, as those of the released recipe have")
    dropout = parts.get(f"{_ENCODER}.layers.0.dropout", Part(_RELU)).state.get("p", 0.1)
    return ModelConfig(
        feature_dim=feature_dim,
        sentence_dim=sentence_dim,
        d_model=d_model,
        d_emb=d_emb,
        layers=len(layers),
        heads=heads[0],
        ffn=ffn,
        dropout=dropout if isinstance(dropout, float) and 0 <= dropout < 1 else 0.1,
        max_seconds=16,
        recipe="released",
    )


def _matrix(found: Mapping[str, Stored], name: str) -> tuple[int, int]:
    if name not in found:
        raise FormatError(f"it has no weights {name}")
    shape = found[name].shape
    if len(shape) != 2:
        raise FormatError(f"its weights {name} are {shape}, and should have two sides")
    return shape[0], shape[1]


def _their_name(name: str) -> str:
    """`norm_visual.weight` -> `norm_vid.weight`."""
    for theirs, ours in _PLACES.items():
        if name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    return name
