"""The forms of new runs: what they are trained on, their settings, what they bring along, and the button."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any

import streamlit as st

from app import state
from app.parts import holdings, runs, show
from app.parts.holdings import Store
from app.parts.words import plain, sentence
from app.train import starting
from app.train.starting import Captions, Plan
from cezsar import jobs, workspace
from cezsar.config import Setting
from cezsar.errors import CezsarError

NOTHING = "none"
PROBLEM = "problem of a new run"


def new_run() -> None:
    left, middle, right = st.columns(3, gap="large")
    with left:
        captioned = _captions()
    if captioned is None:
        return
    with middle:
        store = _choose_store("Feature store", "store", captioned.ids, "captioned videos")
    with right:
        told = "SBERT of Eq. 6: sentences to vectors. The paper's is distilroberta; `cezsar info` tells of others."
        sentences = _choose("Sentence encoder", holdings.sentence_encoders(), "sentences", told)
    if store is None or sentences is None:
        return
    values = _settings(captioned)
    name, domain = _name_and_domain("", "run", captioned.name)
    heads, descriptions = starting.heads(store.dim), starting.descriptions()
    left, right = st.columns(2, gap="large")
    with left:
        told = "For O of Eq. 9: a linear head on the same features, copied from a run. BiT brings its own."
        head = _choose("Object recogniser", [NOTHING, *heads], "head", told)
    with right:
        told = "Class descriptions kept in the run, so that it ranks them without being told labels."
        classes = _choose("Classes to rank by default", [NOTHING, *descriptions], "classes", told)
    extra = {"head": heads.get(head or ""), "descriptions": descriptions.get(classes or "")}
    tested = _choose_evaluation(store)
    _offer(starting.plan(name, captioned, store, sentences, values, **extra, domain=domain, tested=tested), "")


def new_cross_modal_run() -> None:
    st.caption(
        "After Lin et al. (CVPR 2022), no reproduction: clips and labels of seen classes go through one Transformer; "
        "an unseen class is composed of the seen ones that it is related to. It needs labelled clips, and no captions."
    )
    left, middle, right = st.columns(3, gap="large")
    try:
        drawn = (workspace.folder("demo") / "seen" / "segments.json").is_file()
        sets = {f"{holdings.DRAWN}, training segments": "demo:train"} if drawn else {}
        sets |= starting.labelled_sets()
        with left:
            told = "Data sets whose clips have class names, and segments of the demo's videos. Eight classes at least."
            chosen = _choose("Labelled clips", sets, "cross-clips", told)
        ids = starting.labelled_ids(sets[chosen], of_videos=True) if chosen else frozenset()
    except CezsarError as error:
        show.error(error)
        return
    with middle:
        store = _choose_store("Feature store", "cross-store", ids, "videos") if chosen else None
    with right:
        about = "Turns descriptions and words into vectors."
        sentences = _choose("Sentence encoder", holdings.sentence_encoders(), "cross-sentences", about)
    if chosen is None or store is None or sentences is None:
        return
    st.markdown("**Settings**")
    values: dict[type, dict[str, Any]] = {}
    for kind, shown in starting.cross_modal_settings().items():
        values[kind] = {}
        for column, (id, setting) in zip(st.columns(len(shown), gap="medium"), shown.items(), strict=True):
            with column:
                values[kind][id] = _field(f"cross-{id}", setting, "The default is this method's own.")
    dataset = sets[chosen]
    name, domain = _name_and_domain("cross-", "cross-modal", dataset)
    tested = _choose_evaluation(store)
    made = starting.cross_modal_plan(name, dataset, ids, store, sentences, values, domain=domain, tested=tested)
    _offer(made, "cross-")


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
    if not (found := holdings.captions()):
        return None
    with area:
        told = "Annotation files of the folder `data`, and the demo's: a sentence for each timestamped segment."
        if (name := _choose("Captioned videos", found, "captions", told)) is None:
            return None
        chosen = found[name]
        words = [f"{len(chosen.ids):,} videos, {chosen.sentences:,} sentences", *chosen.repairs]
        st.caption("; ".join(words))
    return chosen


def _choose(label: str, options: Collection[str], key: str, help: str) -> str | None:
    """A select box whose choice is kept, unless it has gone; None where there is nothing to choose."""
    key = state.NEW + key
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
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
        sets = starting.labelled_sets()
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
        columns = [column for _ in range(0, len(group), 4) for column in tab.columns(4, gap="medium")]
        for column, (id, setting) in zip(columns, group.items(), strict=False):
            with column.container(gap="xxsmall"):
                default = runs.shown(setting.default)
                source = "The paper gives no value; the default" if setting.silent else "The paper's value"
                values[id] = _field(id, setting, f"{source}: {default}.")
                colour = "gray" if values[id] == setting.default else "orange"
                st.caption(f":{colour}[{'default' if setting.silent else 'paper'}: {default}]")
    with presets:
        st.button("The paper's settings", key="preset-paper", on_click=_put, args=(starting.PAPER,))
        told = "For the stick-figure world, chosen on held-out actions: the paper's are for 3 million triplets."
        st.button("The demo's settings", "preset-demo", told, on_click=_put_demo, args=(starting.demo_settings(),))
        changed = [starting.SETTINGS[id].label for id, value in values.items() if value != starting.PAPER[id]]
        drawn = captioned.path.parent == workspace.folder("demo").absolute()
        alike = "All as in the paper" + ("; for the stick-figure world the demo's are better" if drawn else "")
        st.caption(f"Not the paper's: {', '.join(changed)}" if changed else alike)
    return values


def _field(id: str, setting: Setting, source: str) -> Any:
    more = {"key": state.NEW + id, "help": f"{setting.help} {source} Option `{setting.flag}`.", **state.KEPT}
    value: Any
    if isinstance(setting.default, bool):
        value = st.selectbox(setting.label, [False, True], format_func=runs.shown, **more)
    elif setting.choices:
        value = st.selectbox(setting.label, setting.choices, **more)
    else:
        kind = type(setting.default)
        bounds = kind(setting.low), kind(setting.high), setting.default, kind(setting.step)
        value = st.number_input(setting.label, *bounds, format="%g" if kind is float else None, **more)
    return setting.default if value is None else value


def _put(values: dict[str, Any]) -> None:
    st.session_state.update({state.NEW + id: value for id, value in values.items()})


def _put_demo(values: dict[str, Any]) -> None:
    """The values are found before the click: a button pressed while a callback takes its time would undo it."""
    from cezsar.demo.run import DOMAIN

    _put(values | {"domain": DOMAIN, "head": "demo", "classes": holdings.DRAWN})


def _name_and_domain(keys: str, stem: str, domain: str) -> tuple[str, str]:
    st.markdown("**The run**")
    left, right = st.columns(2, gap="large")
    key, free = state.NEW + keys, starting.free_name(stem)
    with left:
        own = st.text_input(
            "Name of the run", None, key=f"{key}name", max_chars=80, placeholder=free, persist_state="session"
        )
    with right:
        shows = st.text_input(
            "What the videos show", None, key=f"{key}domain", max_chars=200, placeholder=domain,
            help="One line, kept in the run: what its answers may be trusted for.", persist_state="session",
        )  # fmt: skip
    return (own or "").strip() or free, shows or ""


def _offer(made: Plan, keys: str) -> None:
    problems = made.problems()
    for problem in problems:
        st.warning(sentence(CezsarError(problem[0].upper() + problem[1:])), icon=":material/warning:")
    if problem := st.session_state.pop(PROBLEM, None):
        show.error(problem)

    def start() -> None:
        try:
            starting.start(made)
            st.session_state[f"{state.NEW}{keys}name"] = None
        except CezsarError as error:
            st.session_state[PROBLEM] = error

    if jobs.possible():
        st.button(
            "Start training", type="primary", icon=":material/play_arrow:", disabled=bool(problems), on_click=start,
            help="It goes on if you close the page or restart the app, and can be cancelled and resumed.",
        )  # fmt: skip
    with st.expander("The same in a terminal", icon=":material/terminal:"):
        commands = [shlex.join(["cezsar", *step.arguments]) for step in made.steps]
        st.code("\n\n".join(commands), language="bash", wrap_lines=True)
