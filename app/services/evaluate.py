"""Evaluations of scored data sets under a protocol: cached results, what they are compared with, and new ones."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.services import scored
from app.services.models import SHIPPED, run_folders
from cezsar import jobs, workspace, world
from cezsar.data.labels import canonical
from cezsar.errors import CezsarError, InputError
from cezsar.zeroshot import published
from cezsar.zeroshot.evaluation import confusion_matrix, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol, parse
from cezsar.zeroshot.results import Result
from cezsar.zeroshot.scored import Scored, folder_for
from cezsar.zeroshot.scores import Scores

ALL, HALF, DRAWN, LISTED = "all", "half", "random", "list"
"""Kinds of protocol: every class; half of them, drawn at random; so many drawn at random; those of a list."""

FUSED = "fused"
NO_RUN = ""
"""Instead of a run: the sentence encoder's own space."""

STAGES = {"embedding clips": 8.0, "scoring": 2.0}
"""Of `cezsar evaluate`, with their shares of its time."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table, and all that can be asked about it.

    Attributes:
        name: of the run, or of the control.
        item: where its scores are; None for a control that has none on disk.
        control: it is there to be compared with.
    """

    name: str
    result: Result
    item: Scored | None
    control: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}: {self.result.modality}" if self.result.modality else self.name

    @property
    def top1(self) -> list[float]:
        """Fraction right in each split."""
        return [run.top1 for run in self.result.runs]


# Results -------------------------------------------------------------------------------------------------------------


def companions(item: Scored, sets: dict[str, Scored]) -> dict[str, Scored]:
    """Other scored sets of the same data set, by name."""
    same = ("dataset", "classes")
    return {
        name: other
        for name, other in sets.items()
        if name != item.name and all(other.about[key] == item.about[key] for key in same)
    }


def from_upload(name: str, content: bytes, class_names: Sequence[str]) -> Protocol:
    """A protocol from a file: a class list, a split or a saved result, as `protocols.parse` reads it.

    Raises:
        CezsarError: it is none of these, or names classes that the data set does not have.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in (".json", ".txt"):
        raise InputError(f"{Path(name).name} is neither .json nor .txt; give a class list in one of these")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / f"list{suffix}"  # a name of ours: a user's may be no file name
        path.write_bytes(content)
        try:
            found = parse(str(path), class_names)
        except CezsarError as error:
            raise type(error)(str(error).replace(str(path), Path(name).name)) from error
    return replace(found, name=Path(name).stem) if found.name == "list" else found


def rows_of(
    items: Sequence[Scored],
    protocol: Protocol,
    wanted: Sequence[str],
    weights: Weights | None = None,
    progress: Callable[[float, str], object] | None = None,
) -> list[Row]:
    """Results of every set in the wanted modalities, then fused.

    Args:
        wanted: of "VE", "O", "C" and `FUSED`; what a set does not have is passed over.
        weights: of the fusion; None leaves each run its own.
        progress: called with the share that is done and what comes next.

    Raises:
        CezsarError: scores that cannot be read, or that do not fit the protocol.
    """
    todo = []
    for item in items:
        has = item.about["modalities"]
        todo += [(item, Weights.only(name)) for name in has if name in wanted]
        fusion = weights or item.weights
        if FUSED in wanted and sum(fusion.of(name) > 0 for name in has) > 1:
            todo.append((item, fusion))
    rows = []
    for number, (item, row_weights) in enumerate(todo):
        if progress:
            progress(number / len(todo), f"Evaluating {item.by}")
        rows.append(Row(item.by, result(item, protocol, row_weights), item))
    return rows


def large(items: Sequence[Scored], protocol: Protocol) -> bool:
    """Whether evaluating takes long enough for progress to be worth looking at."""
    return sum(item.about["clips"] * item.about["classes"] for item in items) * (1 + protocol.runs / 100) > 2e6


def result(item: Scored, protocol: Protocol, weights: Weights) -> Result:
    """`evaluate`, once for each content, protocol and weights."""
    return _result(item.fingerprint, key_of(protocol), repr(weights), item, protocol, weights)


@st.cache_data(max_entries=256, show_spinner=False)
def _result(
    fingerprint: str, protocol: str, weights: str, _item: Scored, _protocol: Protocol, _weights: Weights
) -> Result:
    return _item.method.evaluate(scored.scores(_item), _protocol, _weights)


def confusion(item: Scored, weights: Weights, classes: Sequence[str]) -> IntArray:
    """Counts of clips, true classes by predicted ones, among `classes` only."""
    return _confusion(item.fingerprint, repr(weights), tuple(classes), item, weights)


@st.cache_data(max_entries=256, show_spinner=False)
def _confusion(fingerprint: str, weights: str, classes: tuple[str, ...], _item: Scored, _weights: Weights) -> IntArray:
    return confusion_matrix(scored.scores(_item), _weights, classes)


def key_of(protocol: Protocol) -> str:
    """Another for other runs, for keys of caches."""
    content = json.dumps([protocol.name, protocol.seed, protocol.splits])
    return hashlib.sha256(content.encode()).hexdigest()


# What they are compared with -----------------------------------------------------------------------------------------


def controls(item: Scored, protocol: Protocol, chosen: Sequence[Scored]) -> list[Row]:
    """For the stick-figure world: what knowing the place alone would reach, and a run on colour alone.

    Args:
        chosen: sets that have rows anyway.
    """
    rows = []
    oracle = place(item)
    if oracle is not None:
        reached = evaluate(oracle, protocol, Weights.only("VE"))
        rows.append(Row("place oracle", replace(reached, modality=""), None, control=True))
    colour = {other.about["run"]: other for other in companions(item, scored.scored_sets()).values()}.get(
        f"{item.about['run']}-colour"
    )
    if colour is not None and colour.name not in {other.name for other in chosen}:
        reached = result(colour, protocol, Weights.only("VE"))
        rows.append(Row("colour only", replace(reached, modality=""), colour, control=True))
    return rows


def place(item: Scored) -> Scores | None:
    """The scores of the place oracle; None for clips of another world."""
    return _place(item.fingerprint, item)


@st.cache_resource(max_entries=4, show_spinner=False)
def _place(fingerprint: str, _item: Scored) -> Scores | None:
    if _item.about["dataset"] != "demo":
        return None
    from cezsar.demo.run import place_scores

    like = scored.scores(_item)
    plans = [plan for plan in map(world.plan_of, like.ids) if plan is not None]
    return place_scores(world.World(Path(), [], plans), like) if len(plans) == len(like.ids) else None


def published_rows(item: Scored, protocol: Protocol) -> list[published.Published]:
    """What has been published on this data set for as many classes, given or drawn."""
    return published.beside(item.about["dataset"], item.about["classes"], protocol.splits)


# Another evaluation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A data set to be scored by a run, as a form gives it.

    Attributes:
        run: folder of a trained run, or `NO_RUN`.
        dataset: "demo", a folder of class folders, a CSV manifest or an index.
        captions: caption files, one to a line.
        descriptions: JSON {class: sentences} or a folder of .txt; "" for the data set's own.
    """

    run: str
    store: str
    dataset: str
    captions: str = ""
    descriptions: str = ""


def trained_runs() -> dict[str, str]:
    """Folder -> name of every run that has weights."""
    whole = [folder for folder in run_folders() if (folder / "model.safetensors").is_file()]
    return {str(folder): folder.name for folder in whole if not (folder / "state.pt").exists()}


def stores() -> list[str]:
    """Folders of the feature stores in the workspace."""
    found = {shard.parent for shard in workspace.folder("features").glob("*/shard-*.h5")}
    return sorted(str(folder) for folder in found)


def start(request: Request) -> jobs.Job:
    """Check what is asked for, and start it as a job; it ends with a new scored set of name `about["scored"]`.

    Raises:
        CezsarError: something is missing or does not fit together; the message says what.
    """
    from cezsar.data.datasets import file_name, open_dataset
    from cezsar.data.features import FeatureStore
    from cezsar.training.runs import Run

    if not request.store.strip() or not request.dataset.strip():
        raise InputError("a data set and a feature store of its clips are needed; give both")
    store = FeatureStore(_existing(request.store, "feature store"))
    run = Run.open(request.run) if request.run else None
    if run is not None:
        run.check_feature_encoder(store.provenance["encoder"], store.provenance["fingerprint"])
    named = request.dataset.strip()
    dataset = named if named == "demo" else str(_existing(named, "data set"))
    clips = open_dataset(dataset).labels
    if not any(clip in store for clip in clips):
        raise InputError(f"none of the {len(clips):,} clips of {named} is in {store.folder}; extract them first")
    words = ["evaluate", "--dataset", dataset, "--store", str(store.folder.resolve()), "--protocol", "all", "--keep"]
    if run is not None:
        words += ["--run", str(run.folder.resolve())]
        if not run.folder.resolve().is_relative_to(SHIPPED.resolve()):  # what is shipped stays as it is
            words += ["--out", str(run.folder.resolve() / "results" / f"{file_name(dataset)}.json")]
    for line in filter(None, (text.strip() for text in request.captions.splitlines())):
        words += ["--captions", str(_existing(line, "caption file"))]
    if request.descriptions.strip():
        words += ["--prototypes", str(_existing(request.descriptions, "class descriptions"))]
    about = {"scored": folder_for(run, dataset).name}
    title = f"{run.name if run else 'No run'} on {Path(dataset).name}"
    return jobs.start("evaluate", title, [jobs.Step("evaluating", words, STAGES)], about=about)


def _existing(text: str, what: str) -> Path:
    path = Path(text.strip()).expanduser().resolve()
    if not path.exists():
        raise InputError(f"{what}: there is no {path} on the machine of this app; check the path")
    return path


def title(item: Scored) -> str:
    """The data set by its published name where it has one."""
    name = item.about["dataset"]
    if name == "demo":
        return "The stick-figure world"
    return published.TITLES.get(published.identify(name), Path(name).name or name)


def same_clips(items: Sequence[Scored]) -> bool:
    """Whether all sets hold the same clips with the same labels, so that their figures compare."""
    return len({_clips_and_labels(item.fingerprint, item) for item in items}) < 2


@st.cache_data(max_entries=64, show_spinner=False)
def _clips_and_labels(fingerprint: str, _item: Scored) -> str:
    content = scored.scores(_item)
    pairs = sorted(zip(content.ids, map(canonical, content.labels), strict=True))
    return hashlib.sha256(repr(pairs).encode()).hexdigest()
