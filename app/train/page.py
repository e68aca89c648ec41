"""The page Train: training as it goes, the runs there are, a new run, and runs from elsewhere."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import holdings, runs, show
from app.parts.choosers import segments
from app.parts.jobs import POLL_S, follow
from app.parts.preparation import prepare_demo
from app.train import curves, form, listing
from cezsar import jobs, workspace

PARTS = {state.RUNS: "Runs", state.NEW_RUN: "New run", state.LOAD: "Load a run"}


def page() -> None:
    st.title("Train", anchor=False)
    st.markdown("Learn the joint space of clips and sentences from captioned videos, and compare what settings give.")
    st.session_state.update(st.session_state.pop(state.TO_SHOW, {}))
    working()
    part = segments("Part", PARTS, state.PART, label_visibility="collapsed")
    if part == state.NEW_RUN:
        new_run()
    elif part == state.LOAD:
        listing.load(runs.runs())
    elif there := runs.runs():
        listing.table(there)
        listing.look(listing.choose(there))
    else:
        show.info("There is no run yet: train one under New run, or load one.")


def new_run() -> None:
    about = "CEZSAR learns from captions; the cross-modal Transformer, after Lin et al., from labelled clips."
    cross = segments("Method", {one: one for one in ("CEZSAR", "cross-modal")}, state.METHOD, about) == "cross-modal"
    if not cross and not holdings.captions():
        show.info("Training needs captioned videos, and their features: prepare the demo, or bring your own.")
        prepare_demo("Captioned videos in three minutes")
        st.markdown("**Your own videos**: extract their features in a terminal, then upload their captions here.")
        command = "cezsar extract videos/ --encoder motion --out workspace/features/mine"
        st.code(command, language="bash", wrap_lines=True)
    form.new_run(cross)


def working() -> None:
    """Trainings that run, with their curves, else the last one; and earlier ones."""
    if holdings.captions():  # until then the demo's own progress is shown where it is started
        follow([job for job in jobs.jobs("demo") if job.alive], "demo")
    found = runs.training()
    shown = [job for job in found if job.alive] or found[:1]
    for job in shown:
        follow([job], f"job-{job.id}")
        if job.state != "done":
            st.fragment(_live, run_every=POLL_S if job.alive else None)(job)
    if earlier := [job for job in found if job not in shown]:
        with st.expander(f"Earlier jobs ({len(earlier)})"):
            follow(earlier, "earlier")


def _live(job: jobs.Job) -> None:
    with show.explained():
        history = curves.read(workspace.folder("runs") / str(job.about.get("run", "")))
        if len(history.blocks):
            curves.draw(history, f"live-{job.id}")
