"""A new run: what it can be trained on, and the job that makes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import streamlit as st

from app.services import models, runs
from app.services.hyperparameters import PAPER, fields
from cezsar import encoders, jobs, workspace
from cezsar.atomic import replacing, write_json
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, arguments
from cezsar.errors import CezsarError, InputError

# What there is to train on -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Captions:
    """An annotation file: video ids, how many sentences they have, and what had to be done to it, in words."""

    name: str
    path: Path
    ids: frozenset[str]
    sentences: int
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Store:
    """A feature store: the encoder that made it, the width of its rows, its video ids."""

    name: str
    folder: Path
    encoder: str
    dim: int
    ids: frozenset[str]


def captions() -> dict[str, Captions]:
    """Annotation files of the workspace by name, the demo's first; files of other kinds are passed over."""
    paths = [workspace.folder("demo") / "train.json", *sorted(workspace.folder("data").glob("*.json"))]
    found = (_captions(str(path.absolute()), _stamp([path])) for path in paths if path.is_file())
    return {item.name: item for item in found if item is not None}


@st.cache_data(max_entries=64, show_spinner="Reading captions")
def _captions(path: str, stamp: str) -> Captions | None:
    from cezsar.data.annotations import load_annotations

    place = Path(path)
    try:
        read = load_annotations(place)
    except CezsarError:
        return None  # class descriptions, an index, ...: `data/` is for all of them
    name = "stick-figure world" if place.parent.name == "demo" else place.stem
    ids = frozenset(segment.video_id for segment in read.segments)
    return Captions(name, place, ids, len(read.segments), tuple(read.repairs))


def add_captions(name: str, content: bytes) -> str:
    """Check an uploaded annotation file, keep it in the workspace, and return its name there.

    Raises:
        InputError: a file of that name is there already.
        FormatError: it is not in ActivityNet Captions form.
    """
    from cezsar.data.annotations import load_annotations

    stem = re.sub(r"[^\w .+@-]", "", Path(name.replace("\\", "/")).stem).strip(" .")[:60] or "captions"
    path = workspace.folder("data") / f"{stem}.json"
    if path.exists():
        if path.read_bytes() == content:
            return stem
        raise InputError(f"there are captions {stem!r} already; rename the file")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        try:
            load_annotations(temporary)
        except CezsarError as error:
            raise type(error)(str(error).replace(str(temporary), Path(name).name)) from error
    return stem


def stores(wanted: frozenset[str]) -> dict[str, Store]:
    """Feature stores of the workspace by name, those that hold the most of the wanted videos first."""
    folders = [path for path in workspace.folder("features").glob("*") if path.is_dir()]
    found = (_store(str(folder.absolute()), _stamp(sorted(folder.glob("shard-*.h5")))) for folder in folders)
    items = sorted((item for item in found if item), key=lambda item: (-len(item.ids & wanted), item.name))
    return {item.name: item for item in items}


@st.cache_resource(max_entries=64, show_spinner="Reading feature stores")
def _store(folder: str, stamp: str) -> Store | None:
    from cezsar.data.features import FeatureStore

    try:
        store = FeatureStore(folder)
    except CezsarError:
        return None  # empty, or damaged: no choice here
    return Store(store.folder.name, store.folder, str(store.provenance["encoder"]), store.dim, frozenset(store.ids))


def sentence_encoders() -> list[str]:
    """Those that can be used here, the embedded one first."""
    return [status.name for status in encoders.available() if status.kind == "sentences" and status.present]


def heads(dim: int) -> dict[str, Path]:
    """Object recognisers of runs, for features of this width, by name of the run."""
    from safetensors import SafetensorError, safe_open

    found = {}
    for folder in models.run_folders():
        path = folder / "objects.safetensors"
        try:
            with safe_open(path, framework="numpy") as file:
                if file.get_slice("weight").get_shape()[1] == dim:
                    found[folder.name] = path.absolute()
        except (OSError, SafetensorError):
            continue  # none, or damaged
    return found


def descriptions() -> dict[str, Path]:
    """Class descriptions that a run can rank by default, by name: the demo's, and those of runs."""
    own = {"stick-figure world": workspace.folder("demo") / "descriptions.json"}
    own |= {f"of run {folder.name}": folder / "prototypes.json" for folder in models.run_folders()}
    return {name: path.absolute() for name, path in own.items() if path.is_file()}


def labelled_sets() -> dict[str, str]:
    """Labelled data sets to evaluate on: name -> what `cezsar evaluate --dataset` takes.

    Raises:
        CezsarError: the list of named data sets is damaged.
    """
    from cezsar.data.datasets import places

    made = {"stick-figure world": "demo"} if (workspace.folder("demo") / "test").is_dir() else {}
    return made | places()


def labelled_ids(dataset: str) -> frozenset[str]:
    """Clip ids of a labelled data set. Raises `CezsarError` if it cannot be read."""
    return _labelled_ids(dataset, str(workspace.home().absolute()))


@st.cache_data(ttl=60, max_entries=16, show_spinner="Reading the data set")
def _labelled_ids(dataset: str, home: str) -> frozenset[str]:
    from cezsar.data.datasets import open_dataset

    return frozenset(open_dataset(dataset, home).labels)


def video_ids(dataset: str) -> frozenset[str]:
    """Ids of the videos that the clips of a labelled data set are, or are parts of."""
    return _video_ids(dataset, str(workspace.home().absolute()))


@st.cache_data(ttl=60, max_entries=16, show_spinner="Reading the data set")
def _video_ids(dataset: str, home: str) -> frozenset[str]:
    from cezsar.data.datasets import open_dataset

    data = open_dataset(dataset, home)
    return frozenset(video for video, _, _ in data.segments.values()) or frozenset(data.labels)


def _stamp(paths: Sequence[Path]) -> str:
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


# The job -------------------------------------------------------------------------------------------------------------


class Planned(Protocol):
    """A run to be made, by whatever method."""

    @property
    def name(self) -> str: ...

    def problems(self) -> list[str]:
        """What stands in the way of starting, in words."""

    def steps(self) -> list[jobs.Step]:
        """The commands that make it."""


def name_problems(name: str) -> list[str]:
    """Why a run cannot have this name, in words."""
    if not re.fullmatch(r"\w(?:[\w .+@-]{0,78}[\w+@-])?", name):
        return [f"{name!r} cannot name a run; use letters, digits, spaces and . + - _ @, at most 80"]
    if name.casefold() in runs.names_taken():
        return [f"there is a run {name!r} already; choose another name"]
    return []


def evaluation(folder: Path, tested: tuple[str, Store] | None) -> list[jobs.Step]:
    """The command that evaluates a new run on (data set, store); none where there is nothing to test it on."""
    from cezsar.data.datasets import file_name

    if tested is None:
        return []
    dataset, store = tested
    out = folder / "results" / f"{file_name(dataset)} all.json"
    evaluate = ["evaluate", "--dataset", dataset, "--store", str(store.folder), "--run", str(folder)]
    return [jobs.Step("evaluating", [*evaluate, "--protocol", "all", "--keep", "--out", str(out)], {"evaluating": 10})]


@dataclass(frozen=True)
class Plan:
    """A run to be made. `values` are settings by id; `evaluate` is (data set, store) to be tested on at the end."""

    name: str
    captions: Captions
    store: Store
    sentences: str
    values: Mapping[str, Any] = field(default_factory=lambda: dict(PAPER))
    head: Path | None = None
    descriptions: Path | None = None
    domain: str = ""
    evaluate: tuple[str, Store] | None = None

    def problems(self) -> list[str]:
        """What stands in the way of starting, in words."""
        return [*name_problems(self.name), *self._data_problems(), *self._value_problems()]

    def _data_problems(self) -> list[str]:
        found = []
        if not self.captions.ids & self.store.ids:
            found.append(
                f"feature store {self.store.name} holds none of the {len(self.captions.ids):,} captioned videos; "
                "extract their features first, with file names equal to the video ids of the captions"
            )
        if self.values["object_positives"] and not self.head and not encoders.present(self.store.encoder):
            found.append(
                f"object sentences need an object recogniser or the encoder {self.store.encoder}, which is not on this "
                "machine; set them to 0"
            )
        return found

    def _value_problems(self) -> list[str]:
        from cezsar.encoders.compute import pick_device

        value = self.values
        try:
            pick_device(value["device"])
            ModelConfig(self.store.dim, 384, **fields(ModelConfig, value))
            for kind in (MiningConfig, TrainingConfig, UseConfig):
                kind(**fields(kind, value))
        except CezsarError as error:
            return [str(error)]
        return []

    @property
    def folder(self) -> Path:
        return (workspace.folder("runs") / self.name).absolute()

    def steps(self) -> list[jobs.Step]:
        """The commands that make it."""
        triplets = str(_triplets(self.name))
        mine = ["mine", str(self.captions.path), "--store", str(self.store.folder), "--out", triplets]
        mine += ["--sentences", self.sentences, *arguments(MiningConfig, fields(MiningConfig, self.values))]
        if self.head and self.values["object_positives"]:
            mine += ["--head", str(self.head)]
        train = ["train", triplets, "--store", str(self.store.folder), "--out", str(self.folder), "--resume"]
        for kind in (ModelConfig, TrainingConfig, UseConfig):
            train += arguments(kind, fields(kind, self.values))
        train += ["--device", self.values["device"]] if self.values["device"] != "auto" else []
        train += ["--domain", self.domain.strip() or self.captions.name]
        train += ["--head", str(self.head)] if self.head else []
        train += ["--prototypes", str(self.descriptions)] if self.descriptions else []
        triplets_expected = self._triplets_expected()
        return [
            jobs.Step("mining hard negatives", mine, {"mining": 5 + triplets_expected / 10_000}),
            jobs.Step("training", train, {"training": 5 + triplets_expected * self.values["epochs"] / 30_000}),
            *evaluation(self.folder, self.evaluate),
        ]

    def _triplets_expected(self) -> float:
        """A guess, for the shares of the progress bar."""
        share = len(self.captions.ids & self.store.ids) / max(1, len(self.captions.ids))
        positives = self.values["sub_clips"] * (1 + self.values["object_positives"])
        return share * self.captions.sentences * float(positives) * self.values["negatives"]


def start(plan: Planned) -> jobs.Job:
    """Start a training job; what is needed to start it anew stays beside its triplets.

    Raises:
        InputError: `plan.problems()`.
        CezsarError: jobs cannot be run here.
    """
    if problems := plan.problems():
        raise InputError("; ".join(problems))
    return _start(plan.name, plan.steps())


def _start(name: str, steps: Sequence[jobs.Step]) -> jobs.Job:
    about = {"run": name, "epochs": _epochs(steps)}
    job = jobs.start(runs.KIND, f"Training {name}", steps, about=about)
    lines = [{"title": step.title, "arguments": step.arguments, "stages": step.stages} for step in steps]
    write_json(_memo(name), {"run": name, "steps": lines})
    return job


def resume(name: str) -> jobs.Job:
    """Go on with a run whose training was interrupted: by its job, or by a new one with the same commands.

    Raises:
        InputError: it was not started here, or its triplets have gone.
    """
    if (job := _job(name)) is not None:
        return jobs.resume(job.id)
    from cezsar.data.documents import read_json_object

    if not resumable(name):
        raise InputError(
            f"run {name!r} was not started from here; go on with `cezsar train ... --resume` in a terminal"
        )
    try:
        return _start(name, [jobs.Step(**step) for step in read_json_object(_memo(name))["steps"]])
    except (KeyError, TypeError) as error:
        raise InputError(f"{_memo(name)} cannot be read; start a new run") from error


def resumable(name: str) -> bool:
    """Whether `resume` knows what to do."""
    return _job(name) is not None or _memo(name).is_file()


def _job(name: str) -> jobs.Job | None:
    return next((job for job in runs.training() if job.about.get("run") == name), None)


def _triplets(name: str) -> Path:
    return (workspace.folder("cache") / "triplets" / f"{name}.safetensors").absolute()


def _memo(name: str) -> Path:
    return _triplets(name).with_name(f"{name}.json")


def _epochs(steps: Sequence[jobs.Step]) -> int:
    for step in steps:
        if "--epochs" in step.arguments:
            return int(step.arguments[step.arguments.index("--epochs") + 1])
    return int(PAPER["epochs"])


def free_name(stem: str = "run") -> str:
    """The first of run-1, run-2, ... that is free."""
    taken = runs.names_taken()
    return next(name for number in range(1, 100_000) if (name := f"{stem}-{number}") not in taken)
