"""Every hyperparameter, once. Defaults are those of Estevam et al., ICPR 2026, Section 4, where it gives a value.
Options of the command line, the page Train and the table in `docs/method.md` are made from these fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cezsar.errors import FormatError, InputError

T = TypeVar("T")
Number = TypeVar("Number", int, float)
REQUIRED = dataclasses.MISSING  # the default of a field that has none
RECIPES = ("paper", "released", "kernel", "cross-modal")
SAME = 1e-6  # cosine distance up to which two sentences are the same: what float32 leaves of two equal vectors
FUSION = {"alpha": 0.8, "beta": 0.2, "gamma": 0.0}  # the paper's


@dataclass(frozen=True)
class Setting:
    """A hyperparameter as people see it."""

    name: str
    default: Any  # the paper's value, unless `silent`
    label: str
    help: str = ""
    low: float = 0  # bounds of a number where it is chosen, and its steps there
    high: float = 1_000_000
    step: float = 1
    choices: tuple[str, ...] = ()  # of a word
    silent: bool = False  # the paper gives no value; the default is that of the released code, or of this software
    option: bool = True  # it can be chosen; else it follows from the data, or is fixed

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def _setting(default: Any, label: str, help: str = "", *bounds: float, **more: Any) -> Any:
    """A field with the words of its `Setting`; `bounds` are low, high and step."""
    more |= dict(zip(("low", "high", "step"), bounds, strict=False))
    return dataclasses.field(default=default, metadata={"label": label, "help": help, **more})


def settings(kind: type) -> dict[str, Setting]:
    """The settings of a class of this module by name."""
    return {field.name: Setting(field.name, field.default, **field.metadata) for field in dataclasses.fields(kind)}


def arguments(kind: type, values: Mapping[str, Any]) -> list[str]:
    """Options of a command for the values that differ from the defaults."""
    found: list[str] = []
    for name, setting in settings(kind).items():
        if name in values and values[name] != setting.default:
            found += [setting.flag] if setting.default is False else [setting.flag, f"{values[name]}"]
    return found


_KINDS: dict[str, Any] = {  # of fields, as JSON has them
    "int": int, "float": (int, float), "str": str, "bool": bool, "tuple[float, float]": (list, tuple),
    "dict[str, Any]": dict, "dict[str, float]": dict,
}  # fmt: skip


def from_dict(kind: type[T], values: Any) -> T:
    """A configuration from JSON. Raises `FormatError` for what is no table of its keys and kinds of values."""
    if not isinstance(values, Mapping):
        raise FormatError(f"{kind.__name__} is no table")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise FormatError(f"{kind.__name__} has unknown keys {unknown}; known are {sorted(fields)}")
    for name, value in values.items():
        wanted = _KINDS.get(str(fields[name].type))
        fits = wanted is None or (isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool))
        if not fits or (isinstance(value, int | float) and not abs(value) < 1e300):
            raise FormatError(f"{name} cannot be {str(value)[:60]!r}")
    needed = [name for name, each in fields.items() if (each.default, each.default_factory) == (REQUIRED, REQUIRED)]
    if missing := sorted(set(needed) - set(values)):
        raise FormatError(f"{kind.__name__} lacks {', '.join(missing)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _check(config: Any, **rules: tuple[bool, str]) -> None:
    """Choices, bounds of whole numbers, and for other fields whether they hold what they must be."""
    for name, setting in settings(type(config)).items():
        value = getattr(config, name)
        if setting.choices and value not in (RECIPES if name == "recipe" else setting.choices):
            raise InputError(f"{name} {value!r} is unknown; choose one of {', '.join(setting.choices)}")
        if type(value) is int and not setting.low <= value <= setting.high:
            raise InputError(f"{name} is {value}; it must be at least {setting.low:g} and at most {setting.high:,}")
    for name, (holds, must) in rules.items():
        if not holds:
            raise InputError(f"{name} is {getattr(config, name)}; it must be {must}")


def numbers(what: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Numbers with commas between them, such as the τ of a sweep, ascending. Raises `InputError` for anything else."""
    try:
        return sorted(kind(word) for word in text.replace(";", ",").split(",") if word.strip())
    except ValueError as error:
        raise InputError(f"{what} {text!r} is no list of numbers; write it as 0.7,0.8 or 0,1") from error


# fmt: off
@dataclass(frozen=True)
class MiningConfig:
    """How triplets are made of annotated videos (Section 3.4)."""

    tau: float = _setting(0.8, "τ, hardest distance",
        "A sentence is a hard negative if its cosine distance to the positive is above 0 and below τ, in (0, 2]. "
        "Larger: more and easier negatives.", 0.05, 2.0, 0.05)
    negatives: int = _setting(10, "Hard negatives", "Drawn for each positive, from other videos.", 1, 1000)
    sub_clips: int = _setting(3, "Sub-clips", "Random stretches of at most 10 s cut from each segment.", 1, 100)
    object_positives: int = _setting(2, "Object sentences",
        "Sentences about recognised objects that join the human one as positives, the most similar to it.", 0, 20)
    seed: int = _setting(0, "Seed of pairs", "Of sub-clips and negatives.", 0, 2**31, silent=True)

    def __post_init__(self) -> None:
        _check(self, tau=(0 < self.tau <= 2, "above 0 and at most 2, as a bound on cosine distances"))


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model (Eq. 1-6)."""

    feature_dim: int = _setting(REQUIRED, "Width of features", low=1, option=False)  # D: 4096 for BiT-M
    sentence_dim: int = _setting(REQUIRED, "Width of sentence vectors", low=1, option=False)  # S
    d_model: int = _setting(512, "Width of the Transformer", "d_model (Eq. 1-4).", 1, 8192, 32)
    d_emb: int = _setting(128, "Width of the joint space", "d_emb (Eq. 5 and 6).", 1, 8192, 16)
    layers: int = _setting(1, "Layers", "Of the Transformer encoder.", 1, 100)
    heads: int = _setting(2, "Attention heads", "Eq. 2 and 3; the width is a multiple of their number.", 1, 64)
    ffn: int = _setting(2048, "Feed-forward width", "Inner width of the feed-forward net (Eq. 4).", 1, 65536, 64,
        silent=True)
    dropout: float = _setting(0.1, "Dropout", "In the Transformer encoder.", 0.0, 0.95, 0.05, silent=True)
    max_seconds: int = _setting(15, "Longest stack, s", low=1, high=3600, option=False)
    recipe: str = _setting("paper", "Order of operations",
        "paper: as the paper's equations say; released: as the authors' code computes.", choices=("paper", "released"))

    def __post_init__(self) -> None:
        even = self.recipe not in ("paper", "cross-modal") or self.d_model % 2 == 0
        _check(self, dropout=(0 <= self.dropout < 1, "at least 0 and below 1"),
            d_model=(even, "even: sine/cosine positions need it"))
        if self.d_model % self.heads:
            raise InputError(f"d_model {self.d_model} is not a multiple of heads {self.heads}")

    @property
    def longest_s(self) -> int:
        """Seconds that it takes of a clip; the released recipe pads all clips to 16."""
        return 16 if self.recipe == "released" else self.max_seconds


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained (Eq. 7 and Section 4)."""

    epochs: int = _setting(25, "Epochs", "At most this many passes over the training sub-clips.", 1, 10_000)
    patience: int = _setting(10, "Patience", "Epochs without a better validation loss before training stops.",
        1, 10_000)
    batch: int = _setting(128, "Batch", "Sub-clips a step; triplets a step where one triplet is taken at a time.",
        1, 65536)
    lr: float = _setting(1e-4, "Learning rate",
        "Of AdamW; the paper's is for 3 million triplets; a small set needs about 1e-3.", 1e-7, 1.0, 1e-4)
    betas: tuple[float, float] = _setting((0.9, 0.99), "AdamW betas", option=False)
    weight_decay: float = _setting(1e-5, "Weight decay", "Of AdamW.", 0.0, 1.0, 1e-5)
    margin: float = _setting(1.0, "Margin ε", "Eq. 7: a negative should be farther than the positive by this much.",
        0.01, 100.0, 0.1, silent=True)
    validation: float = _setting(0.1, "Validation share", "Share of the videos kept for the validation loss.",
        0.01, 0.9, 0.05, silent=True)
    order: str = _setting("sub-clip", "Order",
        "sub-clip: each embedded once for all its triplets (fast); triplet: one at a time.",
        choices=("sub-clip", "triplet"), silent=True)
    standardise: bool = _setting(False, "Standardise features",
        "By the training videos' mean and deviation: for motion features, whose parts differ in scale.")
    precision: str = _setting("auto", "Precision", "auto: bf16 on a GPU that has it, else fp32.",
        choices=("auto", "fp32", "bf16"), silent=True)
    seed: int = _setting(0, "Seed of training", "Of first weights, order and dropout.", 0, 2**31, silent=True)

    def __post_init__(self) -> None:
        _check(self, lr=(self.lr > 0, "above 0"), margin=(self.margin > 0, "above 0"),
            validation=(0 < self.validation < 1, "a share of the videos, between 0 and 1"))


@dataclass(frozen=True)
class UseConfig:
    """What a run ranks by, unless something else is asked for."""

    objects: int = _setting(3, "Objects in O", "How many recognised objects the sentence O(v) names.", 1, 1000)
    alpha: float = _setting(0.8, "α, weight of VE",
        "Eq. 9: how much the visual embedding counts; the objects get 1 - α.", 0.0, 1.0, 0.05)

    def __post_init__(self) -> None:
        _check(self, alpha=(0 <= self.alpha <= 1, "between 0 and 1"))

    @property
    def fusion(self) -> dict[str, float]:
        """α, β and γ of Eq. 9; captions count only where they are asked for."""
        return {"alpha": self.alpha, "beta": round(1 - self.alpha, 6), "gamma": 0.0}


# fmt: on
GROUPS = {"Pairs and negatives": MiningConfig, "Model": ModelConfig, "Optimisation": TrainingConfig, "Use": UseConfig}
