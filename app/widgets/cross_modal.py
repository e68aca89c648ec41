"""A new run of the cross-modal method on the page Train: labelled clips, a few settings, and the job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app import state
from app.services import train
from app.widgets import train as widgets
from app.widgets import words
from cezsar import jobs, workspace
from cezsar.config import ModelConfig, TrainingConfig, settings
from cezsar.errors import CezsarError

CLIPS, STORE, SENTENCES, NAME, DOMAIN = (
    state.NEW + f"cross-{part}" for part in ("clips", "store", "sentences", "name", "domain")
)
DRAWN = "stick-figure world, training segments"
SHOWN = {
    ModelConfig: ("d_model", "heads", "ffn", "d_emb"),
    TrainingConfig: ("epochs", "patience", "batch", "lr", "seed"),
}


@dataclass(frozen=True)
class Plan:
    """A cross-modal run to be made of the labelled clips of a data set; `evaluate` as in `train.Plan`."""

    name: str
    dataset: str
    ids: frozenset[str]
    store: train.Store
    sentences: str
    values: dict[type, dict[str, Any]] = field(default_factory=dict)
    domain: str = ""
    evaluate: tuple[str, train.Store] | None = None

    def problems(self) -> list[str]:
        """What stands in the way of starting, in words."""
        if not self.ids & self.store.ids:
            return [f"feature store {self.store.name} holds none of the labelled clips; extract their features first"]
        return train.name_problems(self.name)

    def steps(self) -> list[jobs.Step]:
        """The commands that make it."""
        folder = (workspace.folder("runs") / self.name).absolute()
        given = ["train", self.dataset, "--method", "cross-modal", "--store", str(self.store.folder)]
        given += ["--out", str(folder), "--resume", "--sentences", self.sentences]
        given += ["--domain", self.domain.strip() or self.dataset]
        for kind, values in self.values.items():
            own = {name: setting.default for name, setting in settings(kind).items()} | usual()[kind]
            for name in (name for name, value in values.items() if value != own[name]):
                given += [settings(kind)[name].flag, f"{values[name]}"]
        return [jobs.Step("training", given, {"training": 60}), *train.evaluation(folder, self.evaluate)]


def usual() -> dict[type, dict[str, Any]]:
    """The method's own defaults."""
    from cezsar.training.cross_modal import MODEL, TRAINING

    return {ModelConfig: MODEL, TrainingConfig: TRAINING}


def new_run() -> None:
    """The form: a Transformer over frames and label tokens, trained on labelled clips of seen classes."""
    st.caption(
        "After Lin et al. (CVPR 2022), no reproduction: clips and labels of seen classes go through one Transformer; "
        "an unseen class is composed of the seen ones that it is related to. It needs labelled clips, and no captions."
    )
    chosen = _data()
    if chosen is None:
        return
    dataset, ids, store, sentences = chosen
    values: dict[type, dict[str, Any]] = {}
    st.markdown("**Settings**")
    for kind, names in SHOWN.items():
        values[kind] = {}
        for name, column in zip(names, st.columns(len(names), gap="medium"), strict=True):
            with column:
                values[kind][name] = _field(kind, name)
    st.markdown("**The run**")
    left, right = st.columns(2, gap="large")
    free = train.free_name("cross-modal")
    own = left.text_input("Name of the run", None, key=NAME, max_chars=80, placeholder=free, persist_state="session")
    shows = right.text_input(
        "What the videos show", None, key=DOMAIN, max_chars=200, placeholder=dataset, persist_state="session",
        help="One line, kept in the run: what its answers may be trusted for.",
    )  # fmt: skip
    name = (own or "").strip() or free
    widgets.start(Plan(name, dataset, ids, store, sentences, values, shows or "", widgets.choose_evaluation(store)))


def _data() -> tuple[str, frozenset[str], train.Store, str] | None:
    """Data set, ids of the videos of its clips, store and sentence encoder; None if one is wanting, which is said."""
    left, middle, right = st.columns(3, gap="large")
    try:
        drawn = (workspace.folder("demo") / "seen" / "segments.json").is_file()
        sets = ({DRAWN: "demo:train"} if drawn else {}) | train.labelled_sets()
        with left:
            name = widgets.choose_one(
                "Labelled clips", list(sets), CLIPS,
                help="Data sets whose clips have class names: those of the page Library, published ones, and segments "
                "of the demo's training videos. Eight classes at least.",
            )  # fmt: skip
        ids = train.video_ids(sets[name]) if name else frozenset()
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
        return None
    with middle:
        store = widgets.choose_store("Feature store", STORE, ids, "videos") if name else None
    with right:
        sentences = widgets.choose_one(
            "Sentence encoder", train.sentence_encoders(), SENTENCES, help="Turns descriptions and words into vectors."
        )
    return None if name is None or store is None or sentences is None else (sets[name], ids, store, sentences)


def _field(kind: type, name: str) -> Any:
    setting, value = settings(kind)[name], usual()[kind].get(name, settings(kind)[name].default)
    help = f"{setting.help} The default is this method's own. Option `{setting.flag}`."
    key = f"{state.NEW}cross-{name}"
    if isinstance(value, int):
        bounds = int(setting.low), int(setting.high), value, int(setting.step)
        return st.number_input(setting.label, *bounds, key=key, help=help)
    return st.number_input(
        setting.label, float(setting.low), float(setting.high), value, float(setting.step), format="%g", key=key,
        help=help,
    )  # fmt: skip
