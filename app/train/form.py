"""The form of a new run: what it is trained on, its settings, what it brings along, and the button."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st

from app import state
from app.parts import holdings, runs, show
from app.parts.choosers import forget_others
from app.parts.holdings import Store
from app.parts.words import plain, sentence
from app.train import starting
from app.train.starting import Captions, Plan
from cezsar import jobs, workspace
from cezsar.config import Setting
from cezsar.errors import CezsarError

NOTHING = "none"
CROSS = (
    "After Lin et al. (CVPR 2022), no reproduction: clips and labels of seen classes go through one Transformer; an "
    "unseen class is composed of the seen ones that it is related to. It needs labelled clips, and no captions."
)


def new_run(cross: bool) -> None:
    """The form of CEZSAR, or of the cross-modal method."""
    keys, captioned, dataset, ids = "cross-" if cross else "", None, None, frozenset[str]()
    if cross:
        st.caption(CROSS)
    left, middle, right = st.columns(3, gap="large")
    with left, show.explained():
        if cross:
            sets = holdings.sources()
            if (workspace.folder("demo") / "seen" / "segments.json").is_file():
                sets = {f"{holdings.DRAWN}, training segments": "demo:train"} | sets
            told = "Data sets whose clips have class names, and segments of the demo's videos. Eight classes at least."
            chosen = _choose("Labelled clips", sets, "cross-clips", told)
            dataset = sets[chosen] if chosen else None
            ids = starting.labelled_ids(dataset, of_videos=True) if dataset else ids
        elif captioned := _captions():
            ids = captioned.ids
    if captioned is None and dataset is None:
        return
    with middle:
        store = _choose_store("Feature store", f"{keys}store", ids, "videos" if cross else "captioned videos")
    with right:
        told = "SBERT of Eq. 6: sentences to vectors. The paper's is distilroberta; `cezsar info` tells of others."
        sentences = _choose("Sentence encoder", holdings.sentence_encoders(), f"{keys}sentences", told)
    if store is None or sentences is None:
        return
    if captioned is None:
        assert dataset is not None
        values = _fields(starting.cross_modal_settings(), "cross-")
        name, domain = _name_and_domain(keys, "cross-modal", dataset)
        tested = _choose_evaluation(store)
        given = (name, dataset, ids, store, sentences, values)
        return _offer(starting.cross_modal_plan(*given, domain=domain, tested=tested), keys)
    values = _settings(captioned)
    name, domain = _name_and_domain(keys, "run", captioned.name)
    heads, descriptions = starting.heads(store.dim), starting.descriptions()
    left, right = st.columns(2, gap="large")
    with left:
        told = "For O of Eq. 9: a linear head on the same features, copied from a run. BiT brings its own."
        head = heads.get(_choose("Object recogniser", [NOTHING, *heads], "head", told) or "")
    with right:
        told = "Class descriptions kept in the run, so that it ranks them without being told labels."
        classes = _choose("Classes to rank by default", [NOTHING, *descriptions], "classes", told)
    tested = _choose_evaluation(store)
    more = {"head": head, "descriptions": descriptions.get(classes or "")}
    return _offer(starting.plan(name, captioned, store, sentences, values, **more, domain=domain, tested=tested), keys)


def _captions() -> Captions | None:
    area = st.container()
    with st.popover("Upload captions", icon=":material/upload:", type="tertiary"):
        form = '{video id: {"duration": s, "timestamps": [[start, end], ...], "sentences": [...]}}'
        st.caption(f"JSON in ActivityNet Captions form: `{form}`")
        given = st.file_uploader("Annotation file", type=["json"], key="captions-upload")
    if given is not None and st.session_state.get("captions taken") != given.file_id:
        with show.explained():
            st.session_state[f"{state.NEW}captions"] = starting.add_captions(given.name, given.getvalue())
            st.session_state["captions taken"] = given.file_id
    found = holdings.captions()
    with area:
        told = "Annotation files of the folder `data`, and the demo's: a sentence for each timestamped segment."
        name = _choose("Captioned videos", found, "captions", told) if found else None
        if name is None:
            return None
        chosen = found[name]
        st.caption("; ".join([f"{len(chosen.ids):,} videos, {chosen.sentences:,} sentences", *chosen.repairs]))
    return chosen


def _choose(label: str, options: Collection[str], key: str, help: str) -> str | None:
    """A select box whose choice is kept, unless it has gone; None where there is nothing to choose."""
    key = state.NEW + key
    forget_others(key, options)
    chosen: str | None = st.selectbox(label, list(options), key=key, help=help, **state.KEPT)
    return chosen


def _choose_store(label: str, key: str, wanted: frozenset[str], what: str, like: Store | None = None) -> Store | None:
    found = starting.stores(wanted)
    if like is not None:
        found = {name: item for name, item in found.items() if (item.encoder, item.dim) == (like.encoder, like.dim)}
    about = "Frame features that `cezsar extract` made, one row a second. Those with the most of these videos first."
    if (name := _choose(label, found, key, about)) is None:
        st.caption("There is none yet: `cezsar extract` makes one in the workspace's folder `features`.")
        return None
    item = found[name]
    here = f"{len(item.ids & wanted):,} of the {len(wanted):,} {what}"
    st.caption(f"{here}; encoder {plain(item.encoder)}, {item.dim:,} values a second")
    return item


def _choose_evaluation(store: Store) -> tuple[str, Store] | None:
    with show.explained():
        sets = holdings.sources()
        if not sets or not st.checkbox(
            "Evaluate when training ends", True, key=f"{state.NEW}test", persist_state="session",
            help="Accuracy over all classes; embeddings and scores are kept for the other pages.",
        ):  # fmt: skip
            return None
        left, right = st.columns(2, gap="large")
        with left:
            told = "The demo's test clips, and data sets named on the page Library or lying in the folder `data`."
            dataset = sets[_choose("Data set", sets, "test-set", told) or next(iter(sets))]
        ids = starting.labelled_ids(dataset)
        with right:
            item = _choose_store("Feature store of its clips", "test-store", ids, "labelled clips", like=store)
        if item is not None and ids & item.ids:
            return dataset, item
        st.caption(f"No store of encoder {plain(store.encoder)} holds these clips, so the run will not be evaluated.")
    return None


def _settings(captioned: Captions) -> dict[str, Any]:
    values: dict[str, Any] = {}
    st.markdown("**Settings**")
    presets = st.container(horizontal=True, vertical_alignment="center")
    for tab, group in zip(st.tabs(list(starting.GROUPS)), starting.GROUPS.values(), strict=True):
        with tab:
            values |= _fields(group)
    with presets:
        st.button("The paper's settings", key="preset-paper", on_click=_put, args=(starting.PAPER,))
        told = "For the stick-figure world, chosen on held-out actions: the paper's are for 3 million triplets."
        st.button("The demo's settings", "preset-demo", told, on_click=_put_demo, args=(starting.demo_settings(),))
        changed = [starting.SETTINGS[id].label for id, value in values.items() if value != starting.PAPER[id]]
        drawn = captioned.path.parent == workspace.folder("demo").absolute()
        alike = "All as in the paper" + ("; for the stick-figure world the demo's are better" if drawn else "")
        st.caption(f"Not the paper's: {', '.join(changed)}" if changed else alike)
    return values


def _fields(shown: Mapping[str, Setting], keys: str = "") -> dict[str, Any]:
    """A field for each setting, four in a row; id -> value."""
    values: dict[str, Any] = {}
    columns = [column for _ in range(0, len(shown), 4) for column in st.columns(4, gap="medium")]
    for column, (id, setting) in zip(columns, shown.items(), strict=False):
        source = "this method's own" if keys else "the paper's, or where it gives none the software's"
        about = f"{setting.help} The default, {runs.shown(setting.default)}, is {source}. Option `{setting.flag}`."
        more = {"key": state.NEW + keys + id, "help": about, **state.KEPT}
        value: Any
        if isinstance(setting.default, bool):
            value = column.selectbox(setting.label, [False, True], format_func=runs.shown, **more)
        elif setting.choices:
            value = column.selectbox(setting.label, setting.choices, **more)
        else:
            kind = type(setting.default)
            bounds = kind(setting.low), kind(setting.high), setting.default, kind(setting.step)
            value = column.number_input(setting.label, *bounds, format="%g" if kind is float else None, **more)
        values[id] = setting.default if value is None else value
    return values


def _put(values: dict[str, Any]) -> None:
    st.session_state.update({state.NEW + id: value for id, value in values.items()})


def _put_demo(values: dict[str, Any]) -> None:
    """The values are found before the click: a button pressed while a callback takes its time would undo it."""
    from cezsar.demo import DOMAIN

    _put(values | {"domain": DOMAIN, "head": "demo", "classes": holdings.DRAWN})


def _name_and_domain(keys: str, stem: str, domain: str) -> tuple[str, str]:
    st.markdown("**The run**")
    left, right = st.columns(2, gap="large")
    key, free, kept = state.NEW + keys, runs.free_name(stem), dict[str, Any](persist_state="session")
    own = left.text_input("Name of the run", None, key=f"{key}name", max_chars=80, placeholder=free, **kept)
    shows = right.text_input(
        "What the videos show", None, key=f"{key}domain", max_chars=200, placeholder=domain, **kept,
        help="One line, kept in the run: what its answers may be trusted for.",
    )  # fmt: skip
    return (own or "").strip() or free, shows or ""


def _offer(made: Plan, keys: str) -> None:
    for problem in made.problems:
        st.warning(sentence(CezsarError(problem[0].upper() + problem[1:])), icon=":material/warning:")

    def start() -> None:
        starting.start(made)
        st.session_state[f"{state.NEW}{keys}name"] = None

    if jobs.possible():
        st.button(
            "Start training", type="primary", icon=":material/play_arrow:", disabled=bool(made.problems),
            on_click=start,
            help="It goes on if you close the page or restart the app, and can be cancelled and resumed.",
        )  # fmt: skip
    with st.expander("The same in a terminal", icon=":material/terminal:"):
        commands = [shlex.join(["cezsar", *step.arguments]) for step in made.steps]
        st.code("\n\n".join(commands), language="bash", wrap_lines=True)
