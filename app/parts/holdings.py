"""What the workspace holds: data sets, feature stores, captions; what it weighs, and how it is removed."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from app import cache
from app.parts import models, scored
from app.parts.access import given
from cezsar import encoders, jobs, workspace
from cezsar.data import datasets
from cezsar.errors import CezsarError, InputError

DRAWN = "stick-figure world"
MEANING = {
    "data": "captions, class descriptions, names of data sets",
    "features": "feature stores: can be made again from the videos, slowly",
    "runs": "trained models",
    "scores": "data sets scored by a run: can be made again quickly",
    "models": "weights of encoders: can be fetched again",
    "jobs": "logs of long work",
    "cache": "sentence vectors, drawn clips, maps: are made again when needed",
    "demo": "videos of the stick-figure world: can be drawn again",
}


class DataSet(NamedTuple):
    name: str
    source: str  # what `cezsar evaluate --dataset` takes
    clips: int = 0
    classes: int = 0
    stores: tuple[str, ...] = ()  # those with all of its clips
    error: str = ""


def sources() -> dict[str, str]:
    """Name -> what `cezsar evaluate --dataset` takes: the demo if its videos are here, what people named, and published
    data sets that lie in the workspace. Raises `CezsarError`: the list is damaged."""
    return ({"demo": "demo"} if (workspace.folder("demo") / "test").is_dir() else {}) | datasets.places()


def data_sets() -> list[DataSet]:
    """What there is of `sources`, with its clips and classes."""
    return [_data_set(name, source) for name, source in sources().items()]


def _data_set(name: str, source: str) -> DataSet:
    home, minute = str(workspace.home().absolute()), int(time.time() // 60)  # clips and stores come and go

    def read() -> DataSet:
        labels = datasets.open_dataset(source, home).labels
        holding = tuple(store.name for store in stores() if store.ids >= labels.keys())
        return DataSet(name, source, len(labels), len(set(labels.values())), holding)

    try:
        return cache.once(read, "data set", name, source, home, minute, words="Reading the data sets")
    except CezsarError as error:
        return DataSet(name, source, error=str(error))


def shipped_demo() -> DataSet | None:
    """The demo as it came with the software, scored but without videos; None where the workspace has its own."""
    shipped = [item.about for item in scored.scored_sets().values() if models.SHIPPED in item.folder.parents]
    about = next((about for about in shipped if about["dataset"] == "demo"), None)
    if about is None or (workspace.folder("demo") / "test").is_dir():
        return None
    return DataSet("demo", "", about["clips"], about["classes"])


class Store(NamedTuple):
    """A feature store as its shards tell it."""

    name: str
    folder: Path
    seconds: int = 0  # rows, one each second
    encoder: str = ""
    dim: int = 0
    objects: int = 0  # names in its vocabulary
    ids: frozenset[str] = frozenset()
    fingerprint: str = ""  # of its content
    encoder_fingerprint: str = ""  # of the model that its features come from
    error: str = ""


def stores() -> list[Store]:
    """Every folder below features/, damaged ones with their error."""
    return [_store(folder) for folder in _folders("features")]


def _store(folder: Path) -> Store:
    def read() -> Store:
        from cezsar.data.features import FeatureStore

        store = FeatureStore(folder)
        words, made, ids = store.vocabulary, store.provenance, frozenset(store.ids)
        seconds, objects = sum(map(store.length, ids)), len(words.names) if words else 0
        told = str(made["encoder"]), store.dim, objects, ids, store.fingerprint, str(made["fingerprint"])
        return Store(folder.name, folder, seconds, *told)

    files = [(entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(folder)]
    try:
        return cache.once(read, "store", str(folder.absolute()), *sorted(files), words="Reading feature stores")
    except CezsarError as error:
        return Store(folder.name, folder, error=str(error))


def extract(source: str, encoder: str, name: str, workers: int) -> jobs.Job:
    """Start `cezsar extract` into features/<name>. Raises `InputError`: no such name, nothing there, or not open to
    visitors."""
    out = workspace.folder("features").absolute() / datasets.checked_name(name)
    known = source == "demo" or source in sources().values()  # by the server's owner
    place = (
        workspace.folder("demo") / "test" if source == "demo" else Path(source) if known else given(source, "videos")
    )
    if not place.exists():
        raise InputError(f"{source.strip()} does not exist; give a folder of videos, or a CSV")
    command = ["extract", str(place.absolute()), "--encoder", encoder, "--out", str(out), "--workers", str(workers)]
    step = jobs.Step("extracting", command, accepts=(0, 1))
    return jobs.start("extract", f"Features of {place.name} into {out.name}", [step], about={"store": out.name})


class Captions(NamedTuple):
    name: str
    path: Path
    ids: frozenset[str]  # of videos
    sentences: int
    repairs: tuple[str, ...] = ()  # what had to be done to it, in words


def captions() -> dict[str, Captions]:
    """Annotation files of the workspace by name, the demo's first; files of other kinds are passed over."""
    found = []
    for path in [workspace.folder("demo") / "train.json", *sorted(workspace.folder("data").glob("*.json"))]:
        if path.is_file():
            path, stat = path.absolute(), path.stat()
            key = "annotation file", str(path), stat.st_size, stat.st_mtime_ns
            found.append(cache.once(partial(_captions, path), *key, words="Reading captions"))
    return {item.name: item for item in found if item is not None}


def _captions(path: Path) -> Captions | None:
    from cezsar.data.annotations import load_annotations

    try:
        read = load_annotations(path)
    except CezsarError:
        return None  # class descriptions, an index, ...: `data/` is for all of them
    name = DRAWN if path.parent.name == "demo" else path.stem
    return Captions(name, path, frozenset(one.video_id for one in read.segments), len(read.segments), (*read.repairs,))


def sentence_encoders() -> list[str]:
    """Those that can be used here, the embedded one first."""
    return [status.name for status in encoders.CARDS.values() if status.kind == "sentences" and status.present]


# What it weighs, and how it is removed -------------------------------------------------------------------------------


def size(path: Path) -> int:
    """Bytes of all files below a folder; measured anew after half a minute."""

    def measured() -> int:
        total = 0
        for file in path.rglob("*"):
            with suppress(OSError):  # removed meanwhile
                total += file.lstat().st_size if file.is_file() else 0
        return total

    return cache.once(measured, "size", str(path.absolute()), int(time.time() // 30), words="Measuring the disk")


def sizes() -> dict[str, int]:
    """Bytes of each folder of the workspace that is there, the largest first."""
    found = {name: size(place) for name in workspace.FOLDERS if (place := workspace.folder(name)).is_dir()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def removable() -> list[Path]:
    """What a person may want to remove, kind by kind."""
    found = [folder for kind in ("features", "runs", "scores", "models") for folder in _folders(kind)]
    return found + [workspace.folder(name) for name in ("cache", "demo") if workspace.folder(name).is_dir()]


def _folders(name: str) -> list[Path]:
    return sorted(path for path in workspace.folder(name).glob("[!.]*") if path.is_dir())


def remove(path: Path) -> None:
    """Remove something inside the workspace, at once from sight and then from the disk. Raises `InputError`: it is not
    inside a folder of the workspace, has gone, or is in use by a job."""
    root = workspace.home().resolve()
    real = path.absolute().parent.resolve() / path.name  # a link is removed, never what it points to
    if ".." in path.parts or real == root or not any(real.is_relative_to(root / name) for name in workspace.FOLDERS):
        raise InputError(f"{path} is not inside the workspace {root}; nothing was removed")
    if not (real.exists() or real.is_symlink()):
        raise InputError(f"{path} has gone already")
    for job in jobs.jobs():
        paths = [Path(word) for step in job.steps for word in step.arguments if os.sep in word]
        if job.alive and any(path.is_relative_to(real) or real.is_relative_to(path) for path in paths):
            raise InputError(f"{job.title} is {job.state} and may need {real.name}; wait for it or cancel it first")
    if real.is_symlink() or real.is_file():
        real.unlink()
    else:
        aside = real.with_name(f".removing-{uuid.uuid4().hex[:8]}-{real.name}"[:120])
        shutil.rmtree(real.rename(aside))
    cache.forget()
