"""Runs on disk: what each is, how its training went, what it reached; and runs that people bring."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.charts.train import Curves
from app.services import models
from cezsar import config, jobs, workspace
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig
from cezsar.errors import CezsarError, InputError

if TYPE_CHECKING:
    from cezsar.training.runs import RunConfig
    from cezsar.zeroshot.results import Result

KIND = "train"  # of training jobs


@dataclass(frozen=True)
class Told:
    """A run as its files tell it.

    Attributes:
        state: "trained"; "no weights", trained, and its weights are elsewhere; "training"; "interrupted"; "damaged".
        shipped: comes with the software.
        config: None if the run is damaged.
        record: what `record.json` says; empty before training has ended.
        results: (data set, result), of each file in `results/`.
        error: why it is damaged, or which of its results could not be read; "" as a rule.
    """

    name: str
    folder: Path
    shipped: bool
    state: str
    config: RunConfig | None = None
    record: dict[str, Any] = field(default_factory=dict)
    results: list[tuple[str, Result]] = field(default_factory=list)
    error: str = ""

    def number(self, *path: str) -> float | None:
        """A number in the record; None if it has none there."""
        value: Any = self.record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if type(value) in (int, float) and math.isfinite(value) else None

    @property
    def best(self) -> tuple[str, Result] | None:
        """The result that speaks for the run: of all modalities fused, on all classes where there is such a one."""
        own = [item for item in self.results if item[1].modality in ("VE + O + C", "VE + O", "VE")]
        return min(own, key=lambda item: (item[1].protocol != "all", -len(item[1].modality)), default=None)


def runs() -> dict[str, Told]:
    """Every run by name, the demo's first. Whether one is being trained is known from the jobs."""
    alive = {job.about.get("run") for job in training() if job.alive}
    found = {}
    for folder in models.run_folders():
        told = _told(str(folder.absolute()), _stamps(folder))
        busy = told.state == "interrupted" and told.name in alive
        found[told.name] = dataclasses.replace(told, state="training") if busy else told
    return found


def training() -> list[jobs.Job]:
    """Training jobs, the newest first."""
    return jobs.jobs(KIND)


def _stamps(folder: Path) -> str:
    names = ("config.json", "model.safetensors", "record.json", "state.pt")
    paths = [*(folder / name for name in names), *sorted((folder / "results").glob("*.json"))]
    stamps = []
    for path in paths:
        if path.is_file():
            stat = path.stat()
            # The state changes all the time while training; that it is there is all that counts.
            stamps.append((path.name, 0 if path.suffix == ".pt" else stat.st_mtime_ns, path.suffix == ".pt"))
    return hashlib.sha256(repr(stamps).encode()).hexdigest()


@st.cache_data(max_entries=256, show_spinner=False)
def _told(folder: str, stamps: str) -> Told:
    from cezsar.training.runs import Run

    path = Path(folder)
    shipped = models.SHIPPED in path.parents
    try:
        run = Run.open(path)
        record = run.record()
    except CezsarError as error:
        return Told(path.name, path, shipped, "damaged", error=str(error))
    state = "trained" if run.trained else "no weights" if record else "interrupted"
    results, errors = _results(path)
    return Told(path.name, path, shipped, state, run.config, record, results, " ".join(errors))


def _results(folder: Path) -> tuple[list[tuple[str, Result]], list[str]]:
    from cezsar.zeroshot.results import load_all

    found, errors = [], []
    for path in sorted((folder / "results").glob("*.json")):
        try:
            found += [(path.stem.removesuffix(f" {result.protocol}"), result) for result in load_all(path)]
        except CezsarError as error:
            errors.append(f"{error}.")
    return found, errors


def curves(told: Told) -> Curves:
    """How its training went, or goes. Raises `FormatError` if its history cannot be read."""
    return history(told.folder)


def history(folder: Path) -> Curves:
    """The training history in a run's folder; empty if there is none yet."""
    path = folder / "history.jsonl"
    try:
        stat = path.stat()
    except OSError:
        return Curves()
    return _curves(str(folder), stat.st_size, stat.st_mtime_ns)


@st.cache_data(max_entries=64, show_spinner=False)
def _curves(folder: str, size: int, mtime_ns: int) -> Curves:
    from cezsar.training.runs import read_history

    return Curves.of(read_history(folder))


# Settings and results side by side -----------------------------------------------------------------------------------

MINED = ("tau", "negatives", "sub_clips", "object_positives")
LABELS = {
    name: setting.label
    for kind in (MiningConfig, ModelConfig, TrainingConfig)
    for name, setting in config.settings(kind).items()
}
"""Settings in words; training's seed, not that of mining."""


def settings(told: Told) -> dict[str, str]:
    """Every setting of a run by its name in words; those of mining where the record tells them."""
    if told.config is None:
        return {}
    own = told.config
    values: dict[str, Any] = dataclasses.asdict(own.model) | dataclasses.asdict(own.training)
    mined = told.record.get("triplets")
    values |= {name: mined[name] for name in MINED if name in mined} if isinstance(mined, dict) else {}
    words = {LABELS[name]: _shown(value) for name, value in values.items()}
    return words | {
        "Objects named in O": _shown(own.objects),
        "α, β, γ of Eq. 9": ", ".join(_shown(own.fusion[name]) for name in ("alpha", "beta", "gamma")),
        "Frame encoder": str(own.feature_encoder["name"]),
        "Sentence encoder": str(own.sentence_encoder["name"]),
        "Triplets (fingerprint)": own.triplets[:12],
    }


def paper() -> dict[str, str]:
    """The paper's value of every setting that it, or for the margin the released code, gives."""
    from cezsar.training.runs import RunConfig

    own = RunConfig(ModelConfig(4096, 768), TrainingConfig(), {"name": "bit"}, {"name": "distilroberta"})
    told = Told("", Path(), True, "trained", own, {"triplets": dataclasses.asdict(MiningConfig())})
    silent = {
        setting.label
        for kind in (ModelConfig, TrainingConfig)
        for name, setting in config.settings(kind).items()
        if setting.silent and name != "margin"
    }
    return {name: value for name, value in settings(told).items() if name not in {*silent, "Triplets (fingerprint)"}}


def differing(chosen: Sequence[Told]) -> dict[str, list[str]]:
    """The settings in which runs differ: a value for each run, "" where one has none."""
    each = [settings(told) for told in chosen]
    names = dict.fromkeys(name for values in each for name in values)
    rows = {name: [values.get(name, "") for values in each] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def side_by_side(chosen: Sequence[Told]) -> dict[tuple[str, str, str], list[Result | None]]:
    """(data set, protocol, modality) -> the result of each run, None where it has none."""
    each: list[dict[tuple[str, str, str], Result]] = [
        {(name, result.protocol, result.modality): result for name, result in told.results} for told in chosen
    ]
    keys = dict.fromkeys(key for found in each for key in found)
    ordered = sorted(keys, key=lambda key: (key[0], key[1] != "all"))
    return {key: [found.get(key) for found in each] for key in ordered}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(_shown, value)) if isinstance(value, tuple | list) else str(value)


# Runs from people's hands --------------------------------------------------------------------------------------------


def packed(told: Told) -> bytes:
    """The run as an archive. Raises `CezsarError` if it is not trained."""
    from cezsar.training.importing import pack

    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        return pack(told.folder, Path(folder) / "run.zip").read_bytes()


def load(name: str, content: bytes, like: Told | None, wanted: str = "", domain: str = "") -> str:
    """Put an uploaded run among the others, and return its name.

    Args:
        name: of the file: an archive (.zip), or weights (.safetensors) with the configuration of the run `like`.
        wanted: name of the run; one made from the file's by default.
        domain: one line on what bare weights were trained on.

    Raises:
        InputError: a pickle, another kind of file, a name that is taken.
        FormatError, MismatchError: it is damaged, or does not fit.
    """
    from cezsar.training.importing import adopt, unpack
    from cezsar.training.runs import Run

    own = _file_name(name)
    target = workspace.folder("runs")
    if wanted.casefold() in names_taken():
        raise InputError(f"there is a run {wanted!r} already; choose another name")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / own
        path.write_bytes(content)
        if path.suffix.lower() == ".safetensors":
            if like is None:
                raise InputError("bare weights need the configuration of a run with the same shapes; choose one")
            run = adopt(path, Run.open(like.folder), target, wanted or None, domain=domain.strip() or "unknown")
        elif path.suffix.lower() == ".zip" or refused(own):
            run = unpack(path, target, wanted or None)
        else:
            raise InputError(f"{own} is neither an archive of a run (.zip) nor weights (.safetensors)")
    if (models.SHIPPED / "runs" / run.name).exists():  # it would hide that one
        number = next(n for n in range(2, 100_000) if f"{run.name}-{n}".casefold() not in names_taken())
        return run.folder.rename(target / f"{run.name}-{number}").name
    return run.name


def refused(name: str) -> bool:
    """Whether a file of this name is a pickle, which is never opened."""
    return Path(name).suffix.lower() in (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")


def _file_name(name: str) -> str:
    """A short and harmless name like that of an upload, with its suffix."""
    path = Path(name.replace("\\", "/"))
    stem = re.sub(r"[^\w .+@-]", "", path.stem).strip(" .")[:60] or "run"
    return stem + re.sub(r"[^.\w]", "", path.suffix)[:20]


def names_taken() -> set[str]:
    """Names, in lower case, that a new run cannot have: of runs, and of runs that a job will make."""
    living = (str(job.about.get("run", "")) for job in training() if job.state != "done")
    return {name.casefold() for name in [*(folder.name for folder in models.run_folders()), *living]}
