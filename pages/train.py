"""Train: a new run, the runs there are, and runs from elsewhere."""

from __future__ import annotations

import streamlit as st

from app import state
from app.services import runs, train
from app.widgets import cross_modal
from app.widgets import runs as run_widgets
from app.widgets import train as widgets
from app.widgets.preparation import prepare_demo

PARTS = {state.RUNS: "Runs", state.NEW_RUN: "New run", state.LOAD: "Load a run"}


def page() -> None:
    st.title("Train", anchor=False)
    st.markdown(
        "Learn the joint space of clips and sentences from captioned videos with hard negatives, and compare what "
        "different settings give."
    )
    widgets.working()
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default=state.RUNS,
        format_func=PARTS.__getitem__,
        required=True,
        key=state.PART,
        bind="query-params",
        label_visibility="collapsed",
    )
    {state.RUNS: list_runs, state.NEW_RUN: new_run, state.LOAD: load_run}[part]()


def list_runs() -> None:
    there = runs.runs()
    if not there:
        st.info("There is no run yet: train one under New run, or load one.", icon=":material/info:")
        return
    run_widgets.table(there)
    chosen = run_widgets.chooser(there)
    if len(chosen) == 1:
        run_widgets.in_full(chosen[0])
    elif chosen:
        run_widgets.compared(chosen)


def new_run() -> None:
    method = st.segmented_control(
        "Method", ["CEZSAR", "cross-modal"], default="CEZSAR", required=True, key=state.METHOD, bind="query-params",
        help="CEZSAR learns from captions; the cross-modal Transformer, after Lin et al., from labelled clips.",
    )  # fmt: skip
    if method == "cross-modal":
        cross_modal.new_run()
        return
    if not train.captions():
        nothing_to_train_on()
    chosen = widgets.data()
    if chosen is None:
        return
    values = widgets.settings(chosen[0])
    widgets.start(widgets.plan(*chosen, values))


def nothing_to_train_on() -> None:
    st.info(
        "Training needs videos with timestamped captions, and their frame features. There are none in the workspace "
        "yet: prepare the demo, or bring your own.",
        icon=":material/info:",
    )
    prepare_demo("Captioned videos in three minutes")
    st.markdown("**Your own videos**: extract their features in a terminal, then upload their captions here.")
    st.code("cezsar extract videos/ --encoder motion --out workspace/features/mine", language="bash", wrap_lines=True)


def load_run() -> None:
    run_widgets.bring(runs.runs())


page()
