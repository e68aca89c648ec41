"""A new run on the screen: what it is trained on, its settings, and its training as it goes."""

from __future__ import annotations

import shlex
from typing import Any

import streamlit as st

from app import state
from app.charts import train as charts
from app.services import runs, train
from app.services.hyperparameters import GROUPS, PAPER, SETTINGS, demo_settings
from app.widgets import words
from app.widgets.jobs import POLL_S, follow
from app.widgets.words import plain
from cezsar import jobs, workspace
from cezsar.config import Setting
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT, number, percent

CAPTIONS, STORE, SENTENCES, NAME, DOMAIN_KEY, HEAD, CLASSES, TEST, TEST_SET, TEST_STORE = (
    state.NEW + name
    for name in (
        "captions",
        "store",
        "sentences",
        "name",
        "domain",
        "head",
        "classes",
        "test",
        "test-set",
        "test-store",
    )
)
NOTHING = "none"
PROBLEM = "problem of a new run"
KEPT: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}


# Training as it goes -------------------------------------------------------------------------------------------------


def working() -> None:
    """Training jobs: the living ones and the last one with their curves, earlier ones out of the way."""
    if train.captions():  # until then the demo's own progress is shown where it is started
        follow([job for job in jobs.jobs("demo") if job.alive], "demo")
    found = runs.training()
    shown = [job for job in found if job.alive] or found[:1]
    for job in shown:
        if job.state == "done":
            _finished(job)
        else:
            follow([job], f"job-{job.id}")
            st.fragment(_live, run_every=POLL_S if job.alive else None)(job.id)
    if earlier := [job for job in found if job not in shown]:
        with st.expander(f"Earlier jobs ({len(earlier)})"):
            follow(earlier, "earlier")


def _finished(job: jobs.Job) -> None:
    name = str(job.about.get("run", ""))
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        took = words.duration(job.elapsed_s)
        st.markdown(f":green[:material/check_circle:] **{plain(job.title)}** done after {took}", width="content")
        st.button(f"Look at {plain(name)}", icon=":material/show_chart:", on_click=look_at, args=([name],))
        st.button(
            "Remove from the list", icon=":material/close:", type="tertiary", on_click=jobs.forget, args=(job.id,),
            help="Only this entry; the run stays.",
        )  # fmt: skip


def _live(job_id: str) -> None:
    job = jobs.find(job_id)
    name = str(job.about.get("run", "")) if job else ""
    if job is None or not name:
        return
    try:
        curves = runs.history(workspace.folder("runs") / name)
    except CezsarError as error:
        st.caption(words.sentence(error))
        return
    if curves.blocks:
        progress(curves, job)
        drawn(curves, f"live-{job_id}", in_a_row=True)
    elif job.state == "running":
        st.caption("Curves appear here with the first 20 steps of training.")


def progress(curves: charts.Curves, job: jobs.Job | None = None) -> None:
    """Figures of a training in one row."""
    of = f" of {job.about['epochs']}" if job and "epochs" in job.about else ""
    with st.container(horizontal=True, gap="medium"):
        st.metric("Epochs done", f"{curves.done:.1f}{of}", width="content")
        loss = (curves.block_loss or curves.train)[-1:]
        st.metric("Training loss", f"{loss[0]:.3f}" if loss else "none yet", width="content", help=LOSS)
        if curves.validation:
            st.metric("Best validation loss", f"{min(curves.validation):.3f}", width="content", help=VALIDATION)
        if curves.speed:
            st.metric("Speed", f"{curves.speed[-1]:,.0f} triplets/s", width="content")
        if curves.dead:
            st.metric("Dead units", percent(curves.dead[-1]), width="content", help=DEAD)
            st.metric("Spread", number(curves.spread[-1]), width="content", help=SPREAD)
        if job and job.alive and job.state == "running" and curves.left_s is not None:
            st.metric("Left, at most", words.duration(curves.left_s), width="content", help=LEFT)

    collapsed = curves.dead and (curves.dead[-1] > MOST_DEAD or curves.spread[-1] < LEAST_SPREAD)
    if collapsed:
        st.warning(
            "This may be a collapse: most dimensions are dead, or all clips point the same way. If it does not pass "
            "within a few epochs, another learning rate, standardised features or fewer object sentences may help.",
            icon=":material/warning:",
        )


MOST_DEAD, LEAST_SPREAD = 0.6, 0.02
LOSS = "Mean of Eq. 7 over triplets: how much nearer the negative sentence is than the positive one, plus the margin."
VALIDATION = "The same on videos kept out of training. The weights of the epoch where it is lowest are kept."
DEAD = (
    "Dimensions of the joint space that are 0 for every validation clip (Eq. 5 ends with a ReLU). 20 to 30 % is usual; "
    "far more means that the run is collapsing, even while the loss falls."
)
SPREAD = (
    "1 minus the length of the mean direction of validation clips: 0 if all clips point the same way, which is a "
    "collapse, near 1 if they point everywhere."
)
LEFT = "If no epoch is saved by early stopping."


def drawn(curves: charts.Curves, key: str, in_a_row: bool = False) -> None:
    """Loss, the signs of a collapse, and speed: beside each other, or the latter two below."""
    if in_a_row:
        left, signs, speed = st.columns([2, 1, 1], gap="medium")
    else:
        left, (signs, speed) = st.container(), st.columns(2, gap="large")
    with left:
        st.markdown("**Loss**", help=f"{LOSS} {VALIDATION}")
        st.plotly_chart(
            charts.loss_figure({"run": curves}, 250 if in_a_row else 380), key=f"{key}-loss", config=PLOT,
            alt=f"Triplet loss over {len(curves.epochs)} epochs, in training and validation",
        )  # fmt: skip
    with signs:
        st.markdown("**Signs of a collapse**", help=f"{DEAD}\n\nSpread: {SPREAD}")
        if curves.epochs:
            alt = f"Dead units {percent(curves.dead[-1])} and spread {number(curves.spread[-1])} after the last epoch"
            st.plotly_chart(charts.signs_figure(curves), key=f"{key}-signs", config=PLOT, alt=alt)
        else:
            st.caption("Measured at the end of each epoch.")
    with speed:
        st.markdown("**Speed**", help="Triplets per second in each block of 20 steps.")
        if curves.speed:
            alt = f"Speed over epochs, last {curves.speed[-1]:,.0f} triplets per second"
            st.plotly_chart(charts.speed_figure(curves), key=f"{key}-speed", config=PLOT, alt=alt)


def look_at(names: list[str]) -> None:
    """For callbacks: show these runs."""
    st.session_state[state.CHOSEN_RUNS] = names
    st.session_state[state.PART] = state.RUNS


# What to train on ----------------------------------------------------------------------------------------------------


def data() -> tuple[train.Captions, train.Store, str] | None:
    """Captions, feature store and sentence encoder; None if one of them is wanting, which is then said."""
    left, middle, right = st.columns(3, gap="large")
    with left:
        captions = _captions()
    if captions is None:
        return None
    with middle:
        store = choose_store("Feature store", STORE, captions.ids, "captioned videos")
    with right:
        sentences = choose_one(
            "Sentence encoder", train.sentence_encoders(), SENTENCES,
            help="Turns captions and class descriptions into vectors (SBERT of Eq. 6). Those on this machine are "
            "listed; `cezsar info` says how to get others. The paper's is distilroberta.",
        )  # fmt: skip
    if store is None or sentences is None:
        return None
    return captions, store, sentences


def _captions() -> train.Captions | None:
    area = st.container()
    with st.popover("Upload captions", icon=":material/upload:", type="tertiary"):
        st.caption(
            'JSON in ActivityNet Captions form: `{video id: {"duration": s, "timestamps": [[start, end], ...], '
            '"sentences": [...]}}`'
        )
        given = st.file_uploader("Annotation file", type=["json"], key="captions-upload")
    if given is not None and st.session_state.get("captions taken") != given.file_id:
        try:
            st.session_state[CAPTIONS] = train.add_captions(given.name, given.getvalue())
            st.session_state["captions taken"] = given.file_id
        except CezsarError as error:
            st.error(words.sentence(error), icon=":material/error:")
    found = train.captions()
    if not found:
        return None
    with area:
        name = choose_one(
            "Captioned videos", list(found), CAPTIONS,
            help="Annotation files in the workspace's folder `data`, and the demo's. A sentence for each timestamped "
            "segment of an untrimmed video.",
        )  # fmt: skip
        if name is None:
            return None
        told = [f"{len(found[name].ids):,} videos, {found[name].sentences:,} sentences", *found[name].repairs]
        st.caption("; ".join(told))
    return found[name]


def choose_store(
    label: str, key: str, wanted: frozenset[str], what: str, like: train.Store | None = None
) -> train.Store | None:
    found = train.stores(wanted)
    if like is not None:
        found = {name: item for name, item in found.items() if (item.encoder, item.dim) == (like.encoder, like.dim)}
    name = choose_one(
        label, list(found), key,
        help="Frame features that `cezsar extract` made, one row a second. Those with the most of these videos first.",
    )  # fmt: skip
    if name is None:
        st.caption("There is none yet: `cezsar extract` makes one in the workspace's folder `features`.")
        return None
    item = found[name]
    st.caption(
        f"{len(item.ids & wanted):,} of the {len(wanted):,} {what}; encoder {plain(item.encoder)}, "
        f"{item.dim:,} values a second"
    )
    return item


def choose_one(label: str, options: list[str], key: str, help: str) -> str | None:
    """A select box whose choice is kept, unless it has gone."""
    if st.session_state.get(key, NOTHING) not in options:
        st.session_state.pop(key, None)
    chosen: str | None = st.selectbox(label, options, key=key, help=help, **KEPT)
    return chosen


# Settings ------------------------------------------------------------------------------------------------------------


def settings(captions: train.Captions) -> dict[str, Any]:
    """Every hyperparameter, in groups; and two presets."""
    values: dict[str, Any] = {}
    st.markdown("**Settings**")
    presets = st.container(horizontal=True, vertical_alignment="center")
    for tab, group in zip(st.tabs(list(GROUPS)), GROUPS.values(), strict=True):
        with tab:
            for first in range(0, len(group), 4):
                here = list(group.items())[first : first + 4]
                for column, (id, setting) in zip(st.columns(4, gap="medium"), here, strict=False):
                    with column.container(gap="xxsmall"):
                        values[id] = _field(id, setting)
    with presets:
        st.button("The paper's settings", key="preset-paper", on_click=_put, args=(PAPER,))
        st.button(
            "The demo's settings", key="preset-demo", on_click=_put_demo, args=(demo_settings(),),
            help="For the stick-figure world: chosen on held-out actions, since the paper's learning rate and width "
            "are for 3 million triplets.",
        )  # fmt: skip
        changed = [SETTINGS[id].label for id, value in values.items() if value != PAPER[id]]
        if changed:
            st.caption(f"Not the paper's: {', '.join(changed)}")
        else:
            drawn = captions.path.parent == workspace.folder("demo").absolute()
            more = "; for the stick-figure world the demo's are better" if drawn else ""
            st.caption(f"All as in the paper{more}")
    return values


def _field(id: str, setting: Setting) -> Any:
    key = state.NEW + id
    source = "The paper gives no value; the default" if setting.silent else "The paper's value"
    help = f"{setting.help} {source}: {_shown(setting.default)}. Option `{setting.flag}`."
    value: Any
    if isinstance(setting.default, bool):
        value = st.selectbox(
            setting.label, [False, True], format_func={False: "no", True: "yes"}.__getitem__, key=key, help=help, **KEPT
        )
    elif setting.choices:
        value = st.selectbox(setting.label, setting.choices, key=key, help=help, **KEPT)
    elif isinstance(setting.default, int):
        value = st.number_input(
            setting.label,
            int(setting.low),
            int(setting.high),
            setting.default,
            int(setting.step),
            key=key,
            help=help,
            **KEPT,
        )
    else:
        value = st.number_input(
            setting.label, float(setting.low), float(setting.high), setting.default, float(setting.step), format="%g",
            key=key, help=help, **KEPT,
        )  # fmt: skip
    value = setting.default if value is None else value
    word = "default" if setting.silent else "paper"
    colour = "gray" if value == setting.default else "orange"
    st.caption(f":{colour}[{word}: {_shown(setting.default)}]")
    return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _put(values: dict[str, Any]) -> None:
    for id, value in values.items():
        st.session_state[state.NEW + id] = value


def _put_demo(values: dict[str, Any]) -> None:
    from cezsar.demo.run import DOMAIN

    _put(values)
    st.session_state[DOMAIN_KEY] = DOMAIN
    st.session_state[HEAD] = "demo"
    st.session_state[CLASSES] = "stick-figure world"


# The run -------------------------------------------------------------------------------------------------------------


def plan(captions: train.Captions, store: train.Store, sentences: str, values: dict[str, Any]) -> train.Plan:
    """Name, domain, what the run brings along, and what it is evaluated on."""
    st.markdown("**The run**")
    name, domain = st.columns(2, gap="large")
    free = train.free_name()
    own = name.text_input("Name of the run", None, key=NAME, max_chars=80, placeholder=free, persist_state="session")
    shows = domain.text_input(
        "What the videos show", None, key=DOMAIN_KEY, max_chars=200, placeholder=captions.name, persist_state="session",
        help="One line, kept in the run: what its answers may be trusted for.",
    )  # fmt: skip
    left, right = st.columns(2, gap="large")
    heads, descriptions = train.heads(store.dim), train.descriptions()
    with left:
        head = choose_one(
            "Object recogniser", [NOTHING, *heads], HEAD,
            help="For O of Eq. 9: a linear head on the same features, copied from a run. BiT brings its own.",
        )  # fmt: skip
    with right:
        classes = choose_one(
            "Classes to rank by default", [NOTHING, *descriptions], CLASSES,
            help="Class descriptions kept in the run, so that it ranks them without being told labels.",
        )  # fmt: skip
    return train.Plan(
        name=(own or "").strip() or free,
        captions=captions,
        store=store,
        sentences=sentences,
        values=values,
        head=heads.get(head or ""),
        descriptions=descriptions.get(classes or ""),
        domain=shows or "",
        evaluate=choose_evaluation(store),
    )


def choose_evaluation(store: train.Store) -> tuple[str, train.Store] | None:
    try:
        sets = train.labelled_sets()
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
        return None
    if not sets or not st.checkbox(
        "Evaluate when training ends", True, key=TEST, persist_state="session",
        help="Top-1, top-5 and mean per-class accuracy over all classes; embeddings and scores are kept for the other "
        "pages.",
    ):  # fmt: skip
        return None
    left, right = st.columns(2, gap="large")
    with left:
        chosen = choose_one(
            "Data set", list(sets), TEST_SET,
            help="The demo's test clips, the data sets named on the page Library, and published ones in the "
            "workspace's folder `data`.",
        )  # fmt: skip
    try:
        dataset = sets[chosen or next(iter(sets))]
        ids = train.labelled_ids(dataset)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
        return None
    with right:
        item = choose_store("Feature store of its clips", TEST_STORE, ids, "labelled clips", like=store)
    if item is None or not ids & item.ids:
        st.caption(f"No store of encoder {plain(store.encoder)} holds these clips, so the run will not be evaluated.")
        return None
    return dataset, item


def start(made: train.Planned) -> None:
    """The button, what stands in its way, and the same in a terminal."""
    problems = made.problems()
    for problem in problems:
        st.warning(words.sentence(CezsarError(problem[0].upper() + problem[1:])), icon=":material/warning:")
    if message := st.session_state.pop(PROBLEM, None):
        st.error(message, icon=":material/error:")
    if jobs.possible():
        st.button(
            "Start training", type="primary", icon=":material/play_arrow:", disabled=bool(problems), on_click=_start,
            args=(made,), help="It goes on if you close the page or restart the app, and can be cancelled and resumed.",
        )  # fmt: skip
    with st.expander("The same in a terminal", icon=":material/terminal:"):
        commands = [shlex.join(["cezsar", *step.arguments]) for step in made.steps()]
        st.code("\n\n".join(commands), language="bash", wrap_lines=True)


def _start(made: train.Planned) -> None:
    try:
        train.start(made)
    except CezsarError as error:
        st.session_state[PROBLEM] = words.sentence(error)
    else:
        st.session_state[NAME] = None
