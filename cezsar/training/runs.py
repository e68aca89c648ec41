"""A run on disk: everything a trained model needs to be used, trusted, resumed and compared.

Its files are listed in `docs/formats.md`; `state.pt`, which resuming needs, is there until training is done.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from cezsar import workspace
from cezsar.arrays import FloatArray, IntArray
from cezsar.atomic import replacing, write_json
from cezsar.config import FUSION, ModelConfig, TrainingConfig, from_dict
from cezsar.data.documents import read_json_object, read_text
from cezsar.encoders.base import BY_NAME
from cezsar.encoders.objects import RULES
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.model import CEZSAR, CrossModal, model_for
from cezsar.workspace import ASSETS

FORMAT = 1
SHIPPED = (ASSETS, ASSETS / "demo" / "runs")  # folders of the runs that come along: `photographs` and the demo's


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
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """Rebuild from JSON. Raises `InputError`: another format, unknown or missing keys, impossible values."""
        own = dict(values)
        if own.pop("format", None) != FORMAT:
            raise FormatError(f"it is not a run configuration of format {FORMAT}")
        for name, kind in (("model", ModelConfig), ("training", TrainingConfig)):
            own[name] = from_dict(kind, own.get(name))
        config = from_dict(cls, own)
        for encoder in (config.feature_encoder, config.sentence_encoder):
            if not all(isinstance(encoder.get(key), str) for key in ("name", "fingerprint")):
                raise FormatError("its encoders need a name and a fingerprint each")
        if config.object_rule not in RULES or config.objects < 1:
            raise InputError(f"objects must be at least 1, and their rule one of {', '.join(RULES)}")
        weights = [weight for weight in config.fusion.values() if is_number(weight) and weight >= 0]
        if set(config.fusion) != set(FUSION) or len(weights) < len(FUSION) or max(weights) == 0:
            raise InputError("fusion needs alpha, beta and gamma, not negative and not all zero")
        return config


@dataclass(frozen=True)
class OodDistance:
    """How far a clip is from the training clips: an out-of-distribution score by PCA.

    The mean feature of a clip is standardised; its distance is the squared residual that the principal directions of
    the training sub-clips leave, in units of `typical`.
    """

    columns_D: IntArray  # the columns of a feature row that count: those that show the scene, where an encoder has such
    mean_D: FloatArray
    std_D: FloatArray
    directions_KD: FloatArray  # orthonormal principal directions of standardised mean features
    typical: float  # squared residual that 99 % of training sub-clips stay under

    DIRECTIONS = 30
    CLIPS = 2000  # enough to know the directions by; more only cost time

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
        arrays: dict[str, npt.NDArray[Any]] = {"columns": self.columns_D, "mean": self.mean_D, "std": self.std_D}
        arrays["directions"] = self.directions_KD
        with replacing(path) as temporary:
            save_arrays(arrays, temporary, {"typical": repr(self.typical)})

    @classmethod
    def load(cls, path: Path) -> OodDistance:
        """Raises `FormatError` for a file that `save` did not write."""
        try:
            with safe_open(path, framework="numpy") as file:
                columns, mean, std, directions = map(file.get_tensor, ("columns", "mean", "std", "directions"))
                return cls(columns, mean, std, directions, float((file.metadata() or {})["typical"]))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise FormatError(f"{path} cannot be read ({error}); train the run again") from error


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
        """Make the folder and write its configuration; with `resume`, open the run in it, if it has the same.

        Raises `InputError` where there is a run that is not to go on, `MismatchError` where it has other settings.
        """
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
    def method(self) -> str:
        """Name of the method it was trained for, see `cezsar.zeroshot.methods`."""
        return "cross-modal" if self.config.model.recipe == "cross-modal" else "cezsar"

    @property
    def trained(self) -> bool:
        """Training ended and its weights are there."""
        return (self.folder / "model.safetensors").is_file() and not (self.folder / "state.pt").exists()

    def save_model(self, model: CEZSAR | CrossModal) -> None:
        tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        with replacing(self.folder / "model.safetensors") as temporary:
            save_file(tensors, temporary)

    def load_model(self, device: str | torch.device = "cpu") -> CEZSAR | CrossModal:
        """The model in evaluation mode. Raises `FormatError`: no weights, damaged, or of other shapes than config's."""
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise FormatError(f"{self.folder} has no model.safetensors yet; finish its training with --resume")
        model = model_for(self.config.model)
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise FormatError(f"{path} cannot be used with this run's config.json: {reason}") from error
        if bad := [key for key, value in model.state_dict().items() if not torch.isfinite(value).all()]:
            raise FormatError(
                f"{path} holds values in {bad[0]} that are not finite; it is damaged, or training diverged"
            )
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
        return OodDistance.load(path) if path.is_file() else None

    def record(self) -> dict[str, Any]:
        """What `record.json` says; empty before training has ended."""
        path = self.folder / "record.json"
        return read_json_object(path) if path.is_file() else {}

    def history(self) -> list[dict[str, Any]]:
        """Every line of `history.jsonl`, but one that a kill cut short. Raises `FormatError` for any other."""
        path = self.folder / "history.jsonl"
        lines = []
        for number, text in enumerate(read_text(path).split("\n")[:-1] if path.is_file() else [], start=1):
            try:
                line = json.loads(text)
                told = [value for key, value in line.items() if key != "kind"]  # a loss that is no number is NaN
                fits = line["kind"] in ("steps", "epoch") and all(isinstance(v, float) or is_number(v) for v in told)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                fits = False
            if not fits:
                raise FormatError(f"{path}, line {number}: it is no line of a training history; remove it")
            lines.append(line)
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


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a number, a truth among them, that every figure can show."""
    return abs(value) < 2**63 if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)
