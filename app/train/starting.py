"""New runs: what they can be trained on, their hyperparameters, and the jobs that make them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from app import cache
from app.parts import holdings, models, runs
from app.parts.holdings import DRAWN, Captions, Store
from cezsar import encoders, jobs, workspace
from cezsar.atomic import replacing, write_json
from cezsar.config import GROUPS as KINDS
from cezsar.config import MiningConfig, ModelConfig, Setting, TrainingConfig, UseConfig, arguments, settings
from cezsar.errors import CezsarError, InputError


def add_captions(name: str, content: bytes) -> str:
    """Check an uploaded annotation file, keep it, and return its name. Raises `CezsarError`: name taken, damaged."""
    from cezsar.data.annotations import load_annotations

    stem = runs.safe_stem(name, "captions")
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
    sound = [store for store in holdings.stores() if not store.error]
    return {store.name: store for store in sorted(sound, key=lambda store: (-len(store.ids & wanted), store.name))}


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
    own = {DRAWN: workspace.folder("demo") / "descriptions.json"}
    own |= {f"of run {folder.name}": folder / "prototypes.json" for folder in models.run_folders()}
    return {name: path.absolute() for name, path in own.items() if path.is_file()}


def labelled_sets() -> dict[str, str]:
    """Labelled data sets: name -> what `cezsar evaluate --dataset` takes. Raises `CezsarError`: the list is damaged."""
    from cezsar.data.datasets import places

    return ({DRAWN: "demo"} if (workspace.folder("demo") / "test").is_dir() else {}) | places()


def labelled_ids(dataset: str, of_videos: bool = False) -> frozenset[str]:
    """Ids of the clips of a labelled data set, or of the videos that they are parts of. Raises `CezsarError`."""
    from cezsar.data.datasets import open_dataset

    home, minute = str(workspace.home().absolute()), int(time.time() // 60)  # clips come and go

    def read() -> tuple[frozenset[str], frozenset[str]]:
        data = open_dataset(dataset, home)
        clips = frozenset(data.labels)
        return clips, frozenset(video for video, _, _ in data.segments.values()) or clips

    return cache.once(read, "ids of a data set", dataset, home, minute, words="Reading the data set")[of_videos]


def _id(kind: type, name: str) -> str:
    """Differs from that of every other setting: mining and training have a seed each."""
    return "pairs-seed" if (kind, name) == (MiningConfig, "seed") else name


GROUPS = {
    title: {_id(kind, name): setting for name, setting in settings(kind).items() if setting.option}
    for title, kind in KINDS.items()
}
GROUPS["Optimisation"]["device"] = Setting(
    "device", "auto", "Device", "auto: the best one here.", choices=("auto", "cpu", "cuda", "mps"), silent=True
)
SETTINGS = {id: setting for group in GROUPS.values() for id, setting in group.items()}
PAPER: dict[str, Any] = {id: setting.default for id, setting in SETTINGS.items()}


def _fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[_id(kind, name)] for name in settings(kind) if _id(kind, name) in values}


def demo_settings() -> dict[str, Any]:
    """What the demo trains with: chosen on held-out actions of the stick-figure world."""
    from cezsar.demo.run import Recipe

    recipe = Recipe()
    mining = {_id(MiningConfig, name): value for name, value in asdict(recipe.mining).items()}
    use = {"objects": recipe.use.objects, "alpha": recipe.use.alpha}
    return PAPER | mining | use | dict(recipe.model) | dict(recipe.training)


def cross_modal_settings() -> dict[type, dict[str, Setting]]:
    """The settings of the cross-modal method that people choose, with the method's own defaults."""
    from cezsar.training.cross_modal import MODEL, TRAINING

    asked = {
        ModelConfig: (("d_model", "heads", "ffn", "d_emb"), MODEL),
        TrainingConfig: (("epochs", "patience", "batch", "lr", "seed"), TRAINING),
    }
    return {
        kind: {name: replace(own := settings(kind)[name], default=usual.get(name, own.default)) for name in names}
        for kind, (names, usual) in asked.items()
    }


class Plan(NamedTuple):
    """A run to be made by these commands."""

    name: str
    steps: list[jobs.Step]
    epochs: int
    faults: list[str]  # of its data and settings, in words

    def problems(self) -> list[str]:
        """What stands in the way of starting now, in words."""
        found = self.faults
        if not re.fullmatch(r"\w(?:[\w .+@-]{0,78}[\w+@-])?", self.name):
            found = [f"{self.name!r} cannot name a run; use letters, digits, spaces and . + - _ @, at most 80", *found]
        elif self.name.casefold() in runs.names_taken():
            found = [f"there is a run {self.name!r} already; choose another name", *found]
        return found


def plan(
    name: str, captioned: Captions, store: Store, sentences: str, values: Mapping[str, Any] = PAPER, *,
    head: Path | None = None, descriptions: Path | None = None, domain: str = "",
    tested: tuple[str, Store] | None = None,
) -> Plan:  # fmt: skip
    """A run of CEZSAR. `values` are settings by id; `tested` is (data set, store) to be evaluated on at the end."""
    triplets, place = str(_triplets(name)), str(store.folder.absolute())
    folder = workspace.folder("runs").absolute() / name
    mine = ["mine", str(captioned.path), "--store", place, "--out", triplets, "--sentences", sentences]
    mine += arguments(MiningConfig, _fields(MiningConfig, values))
    mine += ["--head", str(head)] if head and values["object_positives"] else []
    train = ["train", triplets, "--store", place, "--out", str(folder), "--resume"]
    for kind in (ModelConfig, TrainingConfig, UseConfig):
        train += arguments(kind, _fields(kind, values))
    train += ["--device", values["device"]] if values["device"] != "auto" else []
    train += ["--domain", domain.strip() or captioned.name]
    train += ["--head", str(head)] if head else []
    train += ["--prototypes", str(descriptions)] if descriptions else []
    # A guess at the number of triplets, for the shares of the progress bar
    here = captioned.ids & store.ids
    pairs = len(here) / max(1, len(captioned.ids)) * captioned.sentences * values["sub_clips"]
    expected = pairs * (1 + values["object_positives"]) * values["negatives"]
    steps = [
        jobs.Step("mining hard negatives", mine, {"mining": 5 + expected / 10_000}),
        jobs.Step("training", train, {"training": 5 + expected * values["epochs"] / 30_000}),
        *_evaluation(folder, tested),
    ]
    faults = [] if here else [
        f"feature store {store.name} holds none of the {len(captioned.ids):,} captioned videos; extract their features "
        "first, with file names equal to the video ids of the captions"
    ]  # fmt: skip
    if values["object_positives"] and not head and not encoders.present(store.encoder):
        need = f"an object recogniser or the encoder {store.encoder}, which is not on this machine"
        faults.append(f"object sentences need {need}; set them to 0")
    try:
        from cezsar.encoders.compute import pick_device

        pick_device(values["device"])
        ModelConfig(store.dim, 384, **_fields(ModelConfig, values))
        for checked in (MiningConfig, TrainingConfig, UseConfig):
            checked(**_fields(checked, values))
    except CezsarError as error:
        faults.append(str(error))
    return Plan(name, steps, values["epochs"], faults)


def cross_modal_plan(
    name: str, dataset: str, ids: frozenset[str], store: Store, sentences: str,
    values: Mapping[type, Mapping[str, Any]], *, domain: str = "", tested: tuple[str, Store] | None = None,
) -> Plan:  # fmt: skip
    """A cross-modal run, trained on the labelled clips of a data set; `ids` are of its videos."""
    folder, epochs = workspace.folder("runs").absolute() / name, 0
    given = ["train", dataset, "--method", "cross-modal", "--store", str(store.folder.absolute())]
    given += ["--out", str(folder), "--resume", "--sentences", sentences, "--domain", domain.strip() or dataset]
    for kind, usual in cross_modal_settings().items():
        chosen = {id: values.get(kind, {}).get(id, setting.default) for id, setting in usual.items()}
        epochs = chosen.get("epochs", epochs)
        for id, value in chosen.items():
            given += [usual[id].flag, f"{value}"] if value != usual[id].default else []
    lacking = f"feature store {store.name} holds none of the labelled clips; extract their features first"
    steps = [jobs.Step("training", given, {"training": 60}), *_evaluation(folder, tested)]
    return Plan(name, steps, epochs, [] if ids & store.ids else [lacking])


def _evaluation(folder: Path, tested: tuple[str, Store] | None) -> list[jobs.Step]:
    from cezsar.data.datasets import file_name

    if tested is None:
        return []
    dataset, store = tested
    out = folder / "results" / f"{file_name(dataset)} all.json"
    evaluate = ["evaluate", "--dataset", dataset, "--store", str(store.folder.absolute()), "--run", str(folder)]
    return [jobs.Step("evaluating", [*evaluate, "--protocol", "all", "--keep", "--out", str(out)], {"evaluating": 10})]


def start(made: Plan) -> jobs.Job:
    """Start a training job; what is needed to start it anew stays beside its triplets. Raises `CezsarError`."""
    if problems := made.problems():
        raise InputError("; ".join(problems))
    about = {"run": made.name, "epochs": made.epochs}
    job = jobs.start(runs.KIND, f"Training {made.name}", made.steps, about=about)
    lines = [{"title": step.title, "arguments": step.arguments, "stages": step.stages} for step in made.steps]
    write_json(_memo(made.name), about | {"steps": lines})
    return job


def resume(name: str) -> jobs.Job:
    """Go on with an interrupted run: by its job, or by a new one of the same commands. Raises `CezsarError`."""
    from cezsar.data.documents import read_json_object

    if (job := _job(name)) is not None:
        return jobs.resume(job.id)
    if not resumable(name):
        raise InputError(f"run {name!r} was not started from here; go on with `cezsar train ... --resume`")
    try:
        memo = read_json_object(_memo(name))
        about = {key: value for key, value in memo.items() if key != "steps"}
        steps = [jobs.Step(**step) for step in memo["steps"]]
        return jobs.start(runs.KIND, f"Training {name}", steps, about=about)
    except (KeyError, TypeError) as error:
        raise InputError(f"{_memo(name)} cannot be read; start a new run") from error


def resumable(name: str) -> bool:
    return _job(name) is not None or _memo(name).is_file()


def _job(name: str) -> jobs.Job | None:
    return next((job for job in runs.training() if job.about.get("run") == name), None)


def _triplets(name: str) -> Path:
    return (workspace.folder("cache") / "triplets" / f"{name}.safetensors").absolute()


def _memo(name: str) -> Path:
    return _triplets(name).with_suffix(".json")


def free_name(stem: str = "run") -> str:
    """The first of run-1, run-2, ... that is free."""
    taken = runs.names_taken()
    return next(name for number in range(1, 100_000) if (name := f"{stem}-{number}") not in taken)
