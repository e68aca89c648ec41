"""Runs on disk: what each is, what it reached, and its settings; packed for elsewhere, and loaded from there."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app import cache
from app.parts import models
from cezsar import config, jobs, workspace
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig
from cezsar.errors import CezsarError, InputError

if TYPE_CHECKING:
    from cezsar.training.runs import RunConfig
    from cezsar.zeroshot.evaluation import Result


class Told(NamedTuple):
    """A run as its files tell it."""

    name: str
    folder: Path
    shipped: bool  # with the software
    state: str  # "trained", "no weights" (trained, they are elsewhere), "training", "interrupted" or "damaged"
    config: RunConfig | None = None  # None if it is damaged
    record: dict[str, Any] = {}  # of `record.json`; empty before training has ended
    results: list[tuple[str, Result]] = []  # (data set, result)
    error: str = ""  # why it is damaged, or which of its results cannot be read

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
        paths = [folder / name for name in ("config.json", "model.safetensors", "record.json")]
        paths += sorted((folder / "results").glob("*.json"))
        stamps = [(path.name, path.stat().st_mtime_ns) for path in paths if path.is_file()]
        # The state changes all the time while training; that it is there is all that counts.
        key = "run", str(folder.absolute()), (folder / "state.pt").is_file(), *stamps
        told = cache.once(partial(_told, folder), *key)
        busy = told.state == "interrupted" and told.name in alive
        found[told.name] = told._replace(state="training") if busy else told
    return found


def training() -> list[jobs.Job]:
    return jobs.jobs("train")


def names_taken() -> set[str]:
    """Names, in lower case, that a new run cannot have: of runs, and of runs that a job will make."""
    living = [str(job.about.get("run", "")) for job in training() if job.state != "done"]
    return {name.casefold() for name in [*(folder.name for folder in models.run_folders()), *living]}


def free_name(stem: str) -> str:
    """The first of run-1, run-2, ... that is free."""
    taken = names_taken()
    return next(name for number in range(1, 100_000) if (name := f"{stem}-{number}").casefold() not in taken)


def _told(path: Path) -> Told:
    from cezsar.training.runs import Run
    from cezsar.zeroshot.evaluation import load_all

    path = path.absolute()
    shipped = models.SHIPPED in path.parents
    try:
        run = Run.open(path)
        record = run.record()
    except CezsarError as error:
        return Told(path.name, path, shipped, "damaged", error=str(error))
    results, errors = [], []
    for file in sorted((path / "results").glob("*.json")):
        try:
            results += [(file.stem.removesuffix(f" {result.protocol}"), result) for result in load_all(file)]
        except CezsarError as error:
            errors.append(f"{error}.")
    state = "trained" if run.trained else "no weights" if record else "interrupted"
    return Told(path.name, path, shipped, state, run.config, record, results, " ".join(errors))


FINGERPRINT = "Triplets (fingerprint)"
_SETTINGS = {kind: config.settings(kind) for kind in (MiningConfig, ModelConfig, TrainingConfig)}
_LABELS = {name: setting.label for own in _SETTINGS.values() for name, setting in own.items()}  # training's seed


def settings(own: RunConfig, record: dict[str, Any]) -> dict[str, str]:
    """Every setting of a run by its name in words; those of mining where the record tells them."""
    values: dict[str, Any] = asdict(own.model) | asdict(own.training)
    mined = mined_by(record)
    values |= {name: mined[name] for name in ("tau", "negatives", "sub_clips", "object_positives") if name in mined}
    return {_LABELS[name]: shown(value) for name, value in values.items()} | {
        "Objects named in O": shown(own.objects),
        "α, β, γ of Eq. 9": ", ".join(shown(own.fusion[name]) for name in ("alpha", "beta", "gamma")),
        "Frame encoder": str(own.feature_encoder["name"]),
        "Sentence encoder": str(own.sentence_encoder["name"]),
        FINGERPRINT: own.triplets[:12],
    }


def mined_by(record: dict[str, Any]) -> dict[str, Any]:
    """What the record says of the triplets."""
    return mined if isinstance(mined := record.get("triplets"), dict) else {}


def paper() -> dict[str, str]:
    """The paper's value of every setting that it, or for the margin the released code, gives."""
    from cezsar.training.runs import RunConfig

    own = RunConfig(ModelConfig(4096, 768), TrainingConfig(), {"name": "bit"}, {"name": "distilroberta"})
    chosen = [setting for kind in (ModelConfig, TrainingConfig) for setting in _SETTINGS[kind].items()]
    silent = {FINGERPRINT, *(setting.label for name, setting in chosen if setting.silent and name != "margin")}
    found = settings(own, {"triplets": asdict(MiningConfig())})
    return {name: value for name, value in found.items() if name not in silent}


def shown(value: object) -> str:
    """A setting's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(shown, value)) if isinstance(value, tuple | list) else str(value)


def packed(told: Told) -> bytes:
    """The run as an archive. Raises `CezsarError` if it is not trained."""
    from cezsar.training.importing import pack

    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        return pack(told.folder, Path(folder) / "run.zip").read_bytes()


def load(name: str, content: bytes, like: Told | None, wanted: str = "", domain: str = "") -> str:
    """Put an uploaded run among the others, and return its name: an archive (.zip), or weights (.safetensors), which
    get the configuration of the run `like` and a line on the `domain` that they were trained on. Raises
    `CezsarError`."""
    from cezsar.training.importing import adopt, unpack
    from cezsar.training.runs import Run

    target, suffix = workspace.folder("runs"), re.sub(r"[^.\w]", "", Path(name).suffix)[:20]
    if wanted.casefold() in names_taken():
        raise InputError(f"there is a run {wanted!r} already; choose another name")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / (safe_stem(name, "run") + suffix)
        path.write_bytes(content)
        if suffix.lower() != ".safetensors":
            run = unpack(path, target, wanted or None)
        elif like is None:
            raise InputError("bare weights need the configuration of a run with the same shapes; choose one")
        else:
            run = adopt(path, Run.open(like.folder), target, wanted or None, domain=domain.strip() or "unknown")
    if (models.SHIPPED / "runs" / run.name).exists():  # it would hide that one
        return run.folder.rename(target / free_name(run.name)).name
    return run.name


def safe_stem(name: str, otherwise: str) -> str:
    """A short and harmless name like that of an upload, without its suffix."""
    return re.sub(r"[^\w .+@-]", "", Path(name.replace("\\", "/")).stem).strip(" .")[:60] or otherwise
