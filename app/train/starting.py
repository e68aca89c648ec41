"""New runs: what they can be trained on, their hyperparameters, and the jobs that make them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from app import cache
from app.parts import holdings, models, runs
from app.parts.holdings import DRAWN, Captions, Store
from cezsar import encoders, jobs, workspace
from cezsar.atomic import replacing
from cezsar.config import GROUPS as KINDS
from cezsar.config import MiningConfig, ModelConfig, Setting, TrainingConfig, UseConfig, arguments, settings
from cezsar.errors import CezsarError, InputError


def add_captions(name: str, content: bytes) -> str:
    """Check an uploaded annotation file, keep it, and return its name. Raises `CezsarError`: name taken, damaged."""
    from cezsar.data.annotations import load_annotations

    stem = runs.safe_stem(name, "captions")
    stem += " captions" if stem.casefold() in ("datasets", "hard_groups") else ""  # lists that are kept there
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
    from cezsar.demo import Recipe

    recipe = Recipe()
    mining = {_id(MiningConfig, name): value for name, value in asdict(recipe.mining).items()}
    use = {"objects": recipe.use.objects, "alpha": recipe.use.alpha}
    return PAPER | mining | use | dict(recipe.model) | dict(recipe.training)


def cross_modal_settings() -> dict[str, Setting]:
    """The settings of the cross-modal method that people choose, with the method's own defaults."""
    from cezsar.training.cross_modal import MODEL, TRAINING

    usual = {**MODEL, **TRAINING}
    asked = {
        ModelConfig: ("d_model", "heads", "ffn", "d_emb"),
        TrainingConfig: ("epochs", "patience", "batch", "lr", "seed"),
    }
    all_of = {name: settings(kind)[name] for kind, names in asked.items() for name in names}
    return {name: replace(own, default=usual.get(name, own.default)) for name, own in all_of.items()}


class Plan(NamedTuple):
    """A run to be made by these commands."""

    name: str
    steps: list[jobs.Step]
    epochs: int
    problems: list[str]  # what stands in the way of starting now, in words


def _plan(name: str, steps: Sequence[jobs.Step], epochs: int, faults: list[str], tested: tuple[str, Store] | None,
          folder: Path) -> Plan:  # fmt: skip
    """With the evaluation at the end, and what is wrong with the name."""
    from cezsar.data.datasets import file_name

    if not re.fullmatch(r"\w(?:[\w .+@-]{0,78}[\w+@-])?", name):
        faults = [f"{name!r} cannot name a run; use letters, digits, spaces and . + - _ @, at most 80", *faults]
    elif name.casefold() in runs.names_taken():
        faults = [f"there is a run {name!r} already; choose another name", *faults]
    if tested is None:
        return Plan(name, [*steps], epochs, faults)
    dataset, store = tested
    out = str(folder / "results" / f"{file_name(dataset)} all.json")
    words = ["evaluate", "--dataset", dataset, "--store", str(store.folder.absolute()), "--run", str(folder)]
    words += ["--protocol", "all", "--keep", "--out", out]
    return Plan(name, [*steps, jobs.Step("evaluating", words, {"evaluating": 10})], epochs, faults)


def plan(
    name: str, captioned: Captions, store: Store, sentences: str, values: Mapping[str, Any] = PAPER, *,
    head: Path | None = None, descriptions: Path | None = None, domain: str = "",
    tested: tuple[str, Store] | None = None,
) -> Plan:  # fmt: skip
    """A run of CEZSAR. `values` are settings by id; `tested` is (data set, store) to be evaluated on at the end."""
    place, folder = str(store.folder.absolute()), workspace.folder("runs").absolute() / name
    triplets = str((workspace.folder("cache") / "triplets" / f"{name}.safetensors").absolute())
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
    ]
    faults = [] if here else [
        f"feature store {store.name} holds none of the {len(captioned.ids):,} captioned videos; extract their features "
        "first, with file names equal to the video ids of the captions"
    ]  # fmt: skip
    if values["object_positives"] and not head and not encoders.present(store.encoder):
        need = f"an object recogniser or the encoder {store.encoder}, which is not on this machine"
        faults.append(f"object sentences need {need}; set them to 0")
    try:
        ModelConfig(store.dim, 384, **_fields(ModelConfig, values))
        for checked in (MiningConfig, TrainingConfig, UseConfig):
            checked(**_fields(checked, values))
    except CezsarError as error:
        faults.append(str(error))
    return _plan(name, steps, values["epochs"], faults, tested, folder)


def cross_modal_plan(
    name: str, dataset: str, ids: frozenset[str], store: Store, sentences: str, values: Mapping[str, Any], *,
    domain: str = "", tested: tuple[str, Store] | None = None,
) -> Plan:  # fmt: skip
    """A cross-modal run, trained on the labelled clips of a data set; `ids` are of its videos."""
    folder = workspace.folder("runs").absolute() / name
    given = ["train", dataset, "--method", "cross-modal", "--store", str(store.folder.absolute())]
    given += ["--out", str(folder), "--resume", "--sentences", sentences, "--domain", domain.strip() or dataset]
    usual = cross_modal_settings()
    chosen = {id: values.get(id, setting.default) for id, setting in usual.items()}
    for id, value in chosen.items():
        given += [usual[id].flag, f"{value}"] if value != usual[id].default else []
    lacking = f"feature store {store.name} holds none of the labelled clips; extract their features first"
    faults, step = [] if ids & store.ids else [lacking], jobs.Step("training", given, {"training": 60})
    return _plan(name, [step], chosen["epochs"], faults, tested, folder)


def start(made: Plan) -> jobs.Job:
    """Start a training job. Raises `CezsarError`."""
    if made.problems:
        raise InputError("; ".join(made.problems))
    return jobs.start("train", f"Training {made.name}", made.steps, about={"run": made.name, "epochs": made.epochs})
