"""A run on disk: everything a trained model needs to be used, trusted, resumed and compared.

Its files are listed in `docs/formats.md`; `state.pt`, which resuming needs, is there until training is done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from cezsar import workspace
from cezsar.arrays import FloatArray, IntArray
from cezsar.atomic import read_tensors, replacing, write_json, write_tensors
from cezsar.config import FUSION, ModelConfig, TrainingConfig, from_dict
from cezsar.data.descriptions import load_descriptions
from cezsar.data.documents import read_json_object, read_text
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import RULES
from cezsar.errors import DAMAGED, FormatError, InputError, MismatchError
from cezsar.formats import VERSIONS, check_stamp, versions
from cezsar.workspace import ASSETS

if TYPE_CHECKING:  # who only reads what a run says of itself does not wait for torch
    import torch
    from torch import Tensor

    from cezsar.model import CEZSAR, CrossModal

ANSWERS = ("config.json", "model.safetensors", "objects.safetensors", "seen.safetensors")
SHIPPED = (ASSETS, ASSETS / "demo" / "runs")  # folders of the runs that come along: `photographs` and the demo's
SHIPPED_WEIGHTS = {  # SHA-256 of their model.safetensors
    "photographs": "98cd303533ab0d593a9e01d8a965332f2376591361d6d3cbb7d0ae00b593c817",
    "demo": "6cb03fea604620a1ea7d2320671b9a75d2a55fc69bce6f79ced154fa5dbea78d",
}


@dataclass(frozen=True)
class RunConfig:
    """What a run is. Encoders are dictionaries with at least `name` and `fingerprint`."""

    model: ModelConfig
    training: TrainingConfig
    feature_encoder: dict[str, Any]
    sentence_encoder: dict[str, Any]
    triplets: str = ""  # fingerprint of what it is trained on
    domain: str = "unknown"  # what the training videos show, one line
    objects: int = 3  # how many objects O(v) names (Section 3.5, after [9])
    object_rule: str = "sentence"  # how O is made of them, one of `encoders.objects.RULES`
    fusion: dict[str, float] = field(default_factory=lambda: dict(FUSION))

    def to_dict(self) -> dict[str, Any]:
        return {"format": VERSIONS["run"], **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """Rebuild from JSON. Raises `InputError`: another format, unknown or missing keys, impossible values."""
        own = dict(values)
        check_stamp("it", "run", {"cezsar": "run", "version": own.pop("format", None)}, "train the run again")
        for name, kind in (("model", ModelConfig), ("training", TrainingConfig)):
            own[name] = from_dict(kind, own.get(name))
        config = from_dict(cls, own)
        for encoder in (config.feature_encoder, config.sentence_encoder):
            if not all(isinstance(encoder.get(key), str) for key in ("name", "fingerprint")):
                raise FormatError("its encoders need a name and a fingerprint each")
        if config.object_rule not in RULES or config.objects < 1:
            raise InputError(f"objects must be at least 1, and their rule one of {', '.join(RULES)}")
        weights = config.fusion.values()
        if set(config.fusion) != set(FUSION) or not all(is_number(w) and w >= 0 for w in weights) or not any(weights):
            raise InputError("fusion needs alpha, beta and gamma, not negative and not all zero")
        return config


@dataclass(frozen=True)
class OodDistance:
    """How far a clip is from the training clips, an out-of-distribution score by PCA: the squared residual of its
    standardised mean feature off the principal directions of training sub-clips, in units of `typical`."""

    columns_D: IntArray  # the columns of a feature row that count: those that show the scene, where an encoder has such
    mean_D: FloatArray
    std_D: FloatArray
    directions_KD: FloatArray  # orthonormal principal directions of standardised mean features
    typical: float  # squared residual that 99 % of training sub-clips stay under

    DIRECTIONS = 30
    CLIPS = 2000  # enough to know the directions by; more only cost time
    ARRAYS = ("columns", "mean", "std", "directions")  # as the file calls the fields

    @classmethod
    def fit(cls, clips_MD: FloatArray, rng: np.random.Generator, columns_D: IntArray | None = None) -> OodDistance:
        """From the mean features of training sub-clips, (M, all columns); `columns_D` says which count."""
        if len(clips_MD) > cls.CLIPS:
            clips_MD = clips_MD[rng.choice(len(clips_MD), cls.CLIPS, replace=False)]
        columns_D = np.arange(clips_MD.shape[1]) if columns_D is None else np.asarray(columns_D, np.int64)
        own_MD = clips_MD[:, columns_D]
        mean_D, std_D = own_MD.mean(0), np.maximum(own_MD.std(0), 1e-6)
        count = min(cls.DIRECTIONS, own_MD.shape[1] // 2, len(own_MD) // 4)
        directions_KD = np.linalg.svd((own_MD - mean_D) / std_D, full_matrices=False)[2][:count]
        unscaled = cls(columns_D, mean_D, std_D, np.ascontiguousarray(directions_KD), 1.0)
        residuals_M = [unscaled.distance(clip_D[None]) for clip_D in clips_MD]
        return dataclasses.replace(unscaled, typical=max(float(np.quantile(residuals_M, 0.99)), 1e-6))

    def distance(self, features_TD: FloatArray) -> float:
        """Distance of a clip of (T, D) features: 99 % of training sub-clips are below 1."""
        standardised_D = (features_TD.mean(0)[self.columns_D] - self.mean_D) / self.std_D
        explained_K = self.directions_KD @ standardised_D
        return float((standardised_D @ standardised_D - explained_K @ explained_K) / self.typical)

    def save(self, path: Path) -> None:
        arrays: list[npt.NDArray[Any]] = [self.columns_D, self.mean_D, self.std_D, self.directions_KD]
        write_tensors(path, dict(zip(self.ARRAYS, arrays, strict=True)), {"typical": repr(self.typical)})

    @classmethod
    def load(cls, path: Path, width: int) -> OodDistance:
        """For features of so many columns. Raises `FormatError` for a file that `save` did not write."""
        with read_tensors(path, "train the run again") as (arrays, words):
            columns, mean, std, directions = (arrays[name] for name in cls.ARRAYS)
            loaded = cls(columns, mean, std, directions, float(words["typical"]))
            if not np.isfinite(loaded.distance(np.ones((1, width), np.float32))):
                raise ValueError("its numbers are not finite")
            return loaded


@dataclass
class Run:
    """A run opened from disk: its folder, configuration and, loaded when asked for, its model."""

    folder: Path
    config: RunConfig

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Read a run's configuration; a name will do, see `find_run`. Raises `FormatError`: no run, or a damaged."""
        folder = find_run(folder) or Path(folder)
        path = folder / "config.json"
        if not path.is_file():
            raise FormatError(f"{folder} holds no run (no config.json); give the folder that `cezsar train` wrote")
        try:
            return cls(folder, RunConfig.from_dict(read_json_object(path)))
        except InputError as error:
            raise FormatError(f"{path} cannot be used: {error}") from error

    @classmethod
    def create(cls, folder: str | Path, config: RunConfig, resume: bool = False) -> Run:
        """Make the folder and write its configuration; with `resume`, open the run in it. Raises `InputError` where
        there is a run that is not to go on, `MismatchError` where it has other settings."""
        folder = Path(folder)
        if not (folder / "config.json").exists():
            write_json(folder / "config.json", config.to_dict())
            return cls(folder, config)
        if not resume:
            raise InputError(f"{folder} already holds a run; resume it, or choose another folder")
        run = cls.open(folder)
        there = run.config.to_dict()
        if differing := [key for key, value in config.to_dict().items() if there[key] != value]:
            raise MismatchError(
                f"run {folder} was started with other settings ({', '.join(differing)}); resume with the same ones, "
                "or train into another folder"
            )
        return run

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the files that its answers depend on."""
        digest = hashlib.sha256()
        for name in ANSWERS:
            if (path := self.folder / name).is_file():
                digest.update(name.encode() + path.read_bytes())
        return digest.hexdigest()

    @property
    def method(self) -> str:
        """Name of the method it was trained for, see `cezsar.zeroshot.methods`."""
        return "cross-modal" if self.config.model.recipe == "cross-modal" else "cezsar"

    @property
    def trained(self) -> bool:
        """Training ended and its weights are there."""
        return (self.folder / "model.safetensors").is_file() and not (self.folder / "state.pt").exists()

    def save_model(self, model: CEZSAR | CrossModal) -> None:
        from safetensors.torch import save_file

        tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        with replacing(self.folder / "model.safetensors") as temporary:
            save_file(tensors, temporary)

    def log(self, line: dict[str, Any]) -> None:
        """Add a line to `history.jsonl`."""
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def finish(self, model: CEZSAR | CrossModal, started: float, record: dict[str, Any]) -> None:
        """Write the weights and what training took; with these the run is whole. `started`: `time.perf_counter`."""
        about = {"seconds": round(time.perf_counter() - started, 1), "device": str(model.feature_mean.device)}
        write_json(self.folder / "record.json", about | versions() | record)
        self.save_model(model)
        (self.folder / "state.pt").unlink(missing_ok=True)

    def load_model(self, device: str | torch.device = "cpu") -> CEZSAR | CrossModal:
        """The model in evaluation mode. Raises `FormatError`: no weights, damaged, of other shapes than config's, or of
        a run that comes along and altered."""
        import torch
        from safetensors.torch import load_file

        from cezsar.model import model_for

        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise FormatError(f"{self.folder} has no model.safetensors yet; finish its training with --resume")
        if self.folder.resolve().parent in SHIPPED:
            found, wanted = hashlib.sha256(path.read_bytes()).hexdigest(), SHIPPED_WEIGHTS.get(self.name)
            if found != wanted:
                raise FormatError(f"{path} is not what came with the software (sha256 {found}, expected {wanted})")
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise FormatError(f"{path} is no safetensors file, or a damaged one ({error}); fetch it again") from error
        refuse_other_shapes(tensors, self.config.model, str(path))
        if bad := next((name for name, value in tensors.items() if not torch.isfinite(value).all()), ""):
            raise FormatError(f"{path} holds values in {bad} that are not finite; it is damaged, or training diverged")
        model = model_for(self.config.model)
        model.load_state_dict(tensors)
        return model.to(device).eval()

    def check_feature_encoder(self, name: str, fingerprint: str) -> None:
        """Refuse features of another encoder than the one this run was trained with; the model checks their width."""
        whose = f"run {self.folder} was trained"
        refuse_other_encoder("features", self.config.feature_encoder, name, fingerprint, whose)

    def check_sentence_encoder(self, name: str, fingerprint: str, dim: int | None = None) -> None:
        """Refuse sentence vectors of another encoder, or of another width, than this run was trained with."""
        wanted, whose = self.config.model.sentence_dim, f"run {self.folder} was trained"
        refuse_other_encoder("sentence vectors", self.config.sentence_encoder, name, fingerprint, whose)
        if dim not in (None, wanted):
            raise MismatchError(
                f"the sentence vectors of encoder {name} have {dim} dimensions, but {whose} with {wanted}"
            )

    def ood_distance(self) -> OodDistance | None:
        """How far clips are from its training clips, where the run knows."""
        path = self.folder / "domain.safetensors"
        return OodDistance.load(path, self.config.model.feature_dim) if path.is_file() else None

    def descriptions(self) -> dict[str, list[str]]:
        """The labels it ranks unless told others, with their sentences; empty where it brings none."""
        path = self.folder / "prototypes.json"
        return load_descriptions(path) if path.is_file() else {}

    def record(self) -> dict[str, Any]:
        """What `record.json` says; empty before training has ended."""
        path = self.folder / "record.json"
        return read_json_object(path) if path.is_file() else {}

    def history(self) -> list[dict[str, Any]]:
        """Every line of `history.jsonl`, but one that a kill cut short. Raises `FormatError` for any other."""
        path = self.folder / "history.jsonl"
        lines: list[dict[str, Any]] = []
        for number, text in enumerate(read_text(path).split("\n")[:-1] if path.is_file() else [], start=1):
            try:
                lines.append(json.loads(text))
                fits = all(is_number(each) for key, each in lines[-1].items() if key != "kind" and each == each)
            except DAMAGED:
                fits = False
            if not fits or "kind" not in lines[-1]:
                raise FormatError(f"{path}, line {number}: it is no line of a training history; remove it")
        return lines


def find_run(name: str | Path) -> Path | None:
    """The folder of a run, by folder or name: in the workspace, or one that comes along; None if there is none."""
    places = (Path(name), workspace.folder("runs") / name, *(place / name for place in SHIPPED))
    return next((folder for folder in places if (folder / "config.json").is_file()), None)


def refuse_other_encoder(what: str, wanted: dict[str, Any], name: str, fingerprint: str, whose: str) -> None:
    """`MismatchError` for another fingerprint, or where one of the two is `BY_NAME`, another name."""
    named = BY_NAME in (fingerprint, wanted["fingerprint"])
    if name != wanted["name"] if named else fingerprint != wanted["fingerprint"]:
        raise MismatchError(
            f"the {what} come from encoder {name} ({fingerprint[:16]}), but {whose} with {wanted['name']} "
            f"({wanted['fingerprint'][:16]}); give {what} of that encoder"
        )


def refuse_other_shapes(tensors: Mapping[str, Tensor], config: ModelConfig, source: str) -> None:
    """`MismatchError` that names the first tensor which is not as a configuration has it; no model is made for it."""
    import torch

    from cezsar.model import model_for

    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in model_for(config).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in wanted | found:
        if found.get(name) != wanted.get(name):
            raise MismatchError(
                f"{source}: tensor {name} is {found.get(name, 'missing')}, where the configuration asks for "
                f"{wanted.get(name, 'none')}; weights and configuration must be of one training"
            )


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number, a truth among them, that every figure can show."""
    return isinstance(value, int | float) and abs(value) < 2**63
