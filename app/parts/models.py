"""Models that rank labels: trained runs, and encoders that need none."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx

from app import cache
from cezsar import encoders, workspace
from cezsar.data.descriptions import load_descriptions
from cezsar.errors import CezsarError

if TYPE_CHECKING:  # torch comes with it, seconds that the empty page need not wait for
    from cezsar.zeroshot.classifier import Classifier
    from cezsar.zeroshot.model_choice import Candidate

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "assets" / "demo"  # a small workspace: the demo's run and its scores, made by benchmarks/shipped.py
AHEAD_S = 3.0
AUTOMATIC = "auto"  # key of no model: for each clip the one that `cezsar.zeroshot.model_choice` names


class Model(NamedTuple):
    key: str  # "run:<name>" or the encoder's name
    title: str
    folder: Path | None = None  # of the run
    fingerprint: str = ""  # changes when the files of the run do
    labels: tuple[str, ...] = ()  # that it ranks unless told others
    beta: float | None = None  # the run's own weight of recognised objects, in [0, 1]; None if there are none to weigh

    @property
    def reads_words(self) -> bool:
        """A model of pictures and words, which puts bare labels into prompts of its own."""
        return self.folder is None and self.key.partition(":")[0] in encoders.IMAGE_TEXT


def models() -> dict[str, Model]:
    """What can rank labels on this machine now, by key: models for real video, the best first, then all others."""
    from cezsar.zeroshot.model_choice import for_films

    found = [of_run(one.run) if one.run else Model(one.name, one.name.rpartition(":")[2]) for one in for_films()]
    # A shipped run stands in for one of its name that is still in training, or damaged
    found += [of_run(folder) or of_run(SHIPPED / "runs" / folder.name) for folder in run_folders()]
    ranking = [name for name in encoders.CARDS if name == "bit" or name.partition(":")[0] in encoders.IMAGE_TEXT]
    found += [Model(name, name.rpartition(":")[2]) for name in ranking if encoders.present(name)]
    return {model.key: model for model in found if model is not None}


def key_of(candidate: Candidate) -> str:
    """The key of a model that the library names."""
    return f"run:{candidate.name}" if candidate.run else candidate.name


def run_folders() -> list[Path]:
    """Every run, trained or not, the demo's first. One in the workspace hides the shipped one of the same name."""
    found: dict[str, Path] = {}
    for runs in (workspace.folder("runs"), SHIPPED / "runs"):
        for config in runs.glob("*/config.json"):
            found.setdefault(config.parent.name, config.parent)
    return sorted(found.values(), key=lambda folder: (folder.name != "demo", folder.name))


def of_run(folder: Path) -> Model | None:
    """A trained run; None where it is damaged or still in training, or its frame encoder is not here."""
    names = ("config.json", "model.safetensors", "objects.safetensors", "prototypes.json", "rejector.json")
    files = [folder / name for name in names]
    if not files[1].is_file() or (folder / "state.pt").exists():
        return None  # its training has not ended
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    place, fingerprint = folder.resolve(), hashlib.sha256(repr(stamps).encode()).hexdigest()
    try:
        return cache.once(lambda: _describe_run(place, fingerprint), "run", str(place), fingerprint)
    except CezsarError:
        return None  # a damaged run is no choice here; `cezsar classify --run` says what is wrong with it


def _describe_run(folder: Path, fingerprint: str) -> Model | None:
    from cezsar.training.runs import Run

    run = Run.open(folder)
    encoder, weights = run.config.feature_encoder["name"], run.config.fusion
    if not encoders.present(encoder):
        return None
    own = folder / "prototypes.json"
    labels = tuple(load_descriptions(own)) if own.is_file() else ()
    weighs_objects = (folder / "objects.safetensors").is_file() or encoder != "motion"
    beta = weights["beta"] / (weights["alpha"] + weights["beta"] or 1) if weighs_objects else None
    return Model(f"run:{run.name}", run.name, folder, fingerprint, labels, beta)


class Engine:
    """A loaded classifier, and the right to use it: of what it does, only `features` by a decoder of one's own is made
    for several threads at once."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.lock = classifier, threading.Lock()

    def close(self) -> None:
        with self.lock:
            self.classifier.close()


@st.cache_resource(max_entries=3, show_spinner=False, on_release=Engine.close)
def _engine(key: str, fingerprint: str, _model: Model) -> Engine:
    import torch

    from cezsar.zeroshot.classifier import Classifier

    torch.backends.cudnn.allow_tf32 = False  # threads that set and reset it would undo each other's
    return Engine(Classifier.of_encoder(key) if _model.folder is None else Classifier.of_run(_model.folder))


def engine(model: Model) -> Engine:
    """The model, loaded once for all sessions. Raises `CezsarError`: weights missing, files damaged, another encoder's
    features."""
    return _engine(model.key, model.fingerprint, model)


@st.cache_resource(max_entries=1, show_spinner=False)
def load_ahead(key: str, fingerprint: str, _model: Model, _labels: Sequence[str] | Mapping[str, Sequence[str]]) -> None:
    """Begin to load a model, and the vectors of labels, while a person is still looking for a film."""

    def load() -> None:
        try:
            ready = engine(_model)
            with ready.lock:
                ready.classifier.prototypes(_labels)
        except CezsarError as error:
            logging.getLogger(__name__).info("%s: not loaded ahead, %s", key, error)  # said where it should answer

    thread = threading.Timer(AHEAD_S, load)  # the page comes first: imports would take turns with it
    thread.daemon = True
    add_script_run_ctx(thread)
    thread.start()
