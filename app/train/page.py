"""The page Train: training as it goes, the runs there are, a new run, and runs from elsewhere."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import holdings, runs, show
from app.parts.choosers import segments
from app.parts.jobs import POLL_S, follow, forget_button
from app.parts.preparation import prepare_demo
from app.parts.words import duration, plain, sentence
from app.train import curves, form, listing
from cezsar import jobs, workspace
from cezsar.errors import CezsarError

PARTS = {state.RUNS: "Runs", state.NEW_RUN: "New run", state.LOAD: "Load a run"}


def page() -> None:
    st.title("Train", anchor=False)
    st.markdown("Learn the joint space of clips and sentences from captioned videos, and compare what settings give.")
    working()
    part = segments("Part", PARTS, state.PART, label_visibility="collapsed")
    if part == state.NEW_RUN:
        new_run()
    elif part == state.LOAD:
        listing.load(runs.runs())
    elif there := runs.runs():
        listing.table(there)
        chosen = listing.choose(there)
        if len(chosen) == 1:
            listing.in_full(chosen[0])
        elif chosen:
            listing.compared(chosen)
    else:
        show.info("There is no run yet: train one under New run, or load one.")


def new_run() -> None:
    about = "CEZSAR learns from captions; the cross-modal Transformer, after Lin et al., from labelled clips."
    if segments("Method", {"CEZSAR": "CEZSAR", "cross-modal": "cross-modal"}, state.METHOD, about) == "cross-modal":
        form.new_cross_modal_run()
        return
    if not holdings.captions():
        show.info("Training needs captioned videos, and their features: prepare the demo, or bring your own.")
        prepare_demo("Captioned videos in three minutes")
        st.markdown("**Your own videos**: extract their features in a terminal, then upload their captions here.")
        command = "cezsar extract videos/ --encoder motion --out workspace/features/mine"
        st.code(command, language="bash", wrap_lines=True)
    form.new_run()


def working() -> None:
    if holdings.captions():  # until then the demo's own progress is shown where it is started
        follow([job for job in jobs.jobs("demo") if job.alive], "demo")
    found = runs.training()
    shown = [job for job in found if job.alive] or found[:1]
    for job in shown:
        if job.state == "done":
            name = str(job.about.get("run", ""))
            with st.container(horizontal=True, vertical_alignment="center", border=True):
                took = f"done after {duration(job.elapsed_s)}"
                st.markdown(f":green[:material/check_circle:] **{plain(job.title)}** {took}", width="content")
                look = f"Look at {plain(name)}"
                st.button(look, icon=":material/show_chart:", on_click=listing.look_at, args=(name,))
                forget_button(job, f"forget-{job.id}", "Only this entry; the run stays.")
        else:
            follow([job], f"job-{job.id}")
            st.fragment(_live, run_every=POLL_S if job.alive else None)(job.id)
    if earlier := [job for job in found if job not in shown]:
        with st.expander(f"Earlier jobs ({len(earlier)})"):
            follow(earlier, "earlier")


def _live(job_id: str) -> None:
    job = jobs.find(job_id)
    name = str(job.about.get("run", "")) if job else ""
    if job is None or not name:
        return
    try:
        history = curves.read(workspace.folder("runs") / name)
    except CezsarError as error:
        st.caption(sentence(error))
        return
    if len(history.blocks):
        curves.progress(history, job)
        curves.draw(history, f"live-{job_id}", in_a_row=True)
    elif job.state == "running":
        st.caption("Curves appear here with the first 20 steps of training.")
