"""Models that rank labels: trained runs, and encoders that need none."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
SHIPPED = ROOT / "assets" / "demo"
"""A small workspace that comes with the software: the demo's run and its scores, made by `cezsar demo --ship`."""


@dataclass(frozen=True)
class Model:
    """Something that ranks labels: a trained run, or an encoder that needs none.

    Attributes:
        key: "run:<name>" or the encoder's name.
        folder: of the run; None for an encoder.
        fingerprint: changes when the files of the run do.
        labels: the names it ranks unless told others; empty if it has none of its own.
        beta: the run's own weight of recognised objects, in [0, 1]; None if there are none to weigh.
        tested: how well it did on clips of actions it never saw, one sentence; "" if that is not known.
        domain: what the run was trained on, a few words.
    """

    key: str
    title: str
    folder: Path | None = None
    fingerprint: str = ""
    labels: tuple[str, ...] = ()
    beta: float | None = None
    tested: str = ""
    domain: str = ""

    @property
    def reads_words(self) -> bool:
        """A model of pictures and words, which puts bare labels into prompts of its own."""
        return self.folder is None and self.key.partition(":")[0] in encoders.IMAGE_TEXT


AUTOMATIC = "auto"
"""Key of no model: for each clip the one that `cezsar.zeroshot.model_choice` names."""


def models() -> dict[str, Model]:
    """What can rank labels on this machine now, by key: models for real video, the best first, then all others."""
    from cezsar.zeroshot.model_choice import for_films

    found = [_run_model(one.run) if one.run else _encoder_model(one.name) for one in for_films()]
    found += [_run_model(folder) or _shipped_instead(folder) for folder in run_folders()]
    ranking = [name for name in encoders.CARDS if name == "bit" or name.partition(":")[0] in encoders.IMAGE_TEXT]
    found += [_encoder_model(name) for name in ranking if encoders.present(name)]
    return {model.key: model for model in found if model is not None}


def key_of(candidate: Candidate) -> str:
    """The key of a model that the library names."""
    return f"run:{candidate.name}" if candidate.run else candidate.name


def _encoder_model(name: str) -> Model:
    return Model(name, name.rpartition(":")[2])


def run_folders() -> list[Path]:
    """Every run, trained or not, the demo's first. One in the workspace hides the shipped one of the same name."""
    found: dict[str, Path] = {}
    for runs in (workspace.folder("runs"), SHIPPED / "runs"):
        for config in runs.glob("*/config.json"):
            found.setdefault(config.parent.name, config.parent)
    return sorted(found.values(), key=lambda folder: (folder.name != "demo", folder.name))


def _shipped_instead(folder: Path) -> Model | None:
    """The shipped run of that name, for one in the workspace that is still in training, or damaged."""
    return _run_model(SHIPPED / "runs" / folder.name)


def _run_model(folder: Path) -> Model | None:
    names = ("config.json", "model.safetensors", "objects.safetensors", "prototypes.json", "rejector.json")
    files = [folder / name for name in names]
    if not files[1].is_file() or (folder / "state.pt").exists():
        return None  # its training has not ended
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    try:
        fingerprint = hashlib.sha256(repr(stamps).encode()).hexdigest()
        return cache.once(
            lambda: _describe_run(folder.resolve(), fingerprint), "run", str(folder.resolve()), fingerprint
        )
    except CezsarError:
        return None  # a damaged run is no choice here; `cezsar classify --run` says what is wrong with it


def _describe_run(folder: Path, fingerprint: str) -> Model | None:
    from cezsar.training.runs import Run

    run = Run.open(folder)
    own = run.folder / "prototypes.json"
    labels = tuple(load_descriptions(own)) if own.is_file() else ()
    if not encoders.present(run.config.feature_encoder["name"]):
        return None
    weighs_objects = (run.folder / "objects.safetensors").is_file() or run.config.feature_encoder["name"] != "motion"
    weights = run.config.fusion
    beta = weights["beta"] / (weights["alpha"] + weights["beta"] or 1)
    return Model(
        f"run:{run.name}",
        run.name,
        run.folder,
        fingerprint,
        labels,
        beta if weighs_objects else None,
        _tested(run.folder),
        run.config.domain,
    )


def _tested(run: Path) -> str:
    """What the demo measured on its test clips, with the weights that the run has."""
    from cezsar.zeroshot.evaluation import load_all

    path = run / "results" / "demo all.json"
    for result in load_all(path) if path.is_file() else []:
        if result.modality == "VE + O":
            clips, classes = sum(part.n_clips for part in result.runs), len(result.runs[0].classes)
            return (
                f"Of {clips:,} test clips of {classes} actions that it never saw it names "
                f"{result.figure('top1').mean:.0%} right; guessing would give {result.chance():.0%}."
            )
    return ""


@dataclass
class Engine:
    """A loaded classifier, and the right to use it: classifiers are not made for several threads at once."""

    classifier: Classifier
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        with self.lock:
            self.classifier.close()


@st.cache_resource(max_entries=3, show_spinner=False, on_release=Engine.close)
def _engine(key: str, fingerprint: str, _model: Model) -> Engine:
    from cezsar.zeroshot.classifier import Classifier

    return Engine(Classifier.of_encoder(key) if _model.folder is None else Classifier.of_run(_model.folder))


def engine(model: Model) -> Engine:
    """The model, loaded once for all sessions.

    Raises:
        CezsarError: it cannot be used: weights missing, files damaged, made with another encoder.
    """
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

    thread = threading.Thread(target=load, name="load ahead", daemon=True)
    add_script_run_ctx(thread)
    thread.start()
