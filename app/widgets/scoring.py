"""A form that has a run score another data set, and the jobs it started."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import state
from app.services import evaluate as services
from app.services import scored
from app.widgets import jobs as jobs_widget
from app.widgets.words import plain, sentence
from cezsar import jobs
from cezsar.errors import CezsarError

FOLLOWED = "evaluations-followed"  # ids of jobs that were alive when this session last looked
ELSEWHERE = "another folder"
DEMO = "demo"


def take_finished() -> None:
    """Choose the scored set of an evaluation that has just ended, before the widget that chooses sets is drawn."""
    listed = jobs.jobs("evaluate")
    followed: set[str] = st.session_state.get(FOLLOWED, set())
    sets = scored.scored_sets()
    for job in listed:
        if job.id in followed and job.state == "done" and (name := job.about.get("scored")) in sets:
            st.session_state[state.ON] = name
            st.toast(f"{plain(job.title)}: done", icon=":material/check:")
            break
    st.session_state[FOLLOWED] = {job.id for job in listed if job.alive}


def another() -> None:
    """The form, and the evaluations that run or ended lately."""
    st.caption(
        "A run is applied to every clip of a labelled data set whose features have been extracted; that takes from "
        "seconds to some minutes. The result is listed at the top of this page, and on the pages about gap, confusion "
        "and tuning."
    )
    runs = services.trained_runs()
    stores = [*services.stores(), ELSEWHERE]
    named = {DEMO: DEMO} | _named()
    with st.form("another", border=False, enter_to_submit=False):
        left, right = st.columns(2, gap="large")
        run = left.selectbox(
            "Trained run",
            [*runs, services.NO_RUN],
            format_func=lambda folder: runs.get(folder, "none: objects and captions in the sentence encoder's space"),
            help="Without a run, clips are compared with labels by their objects and captions alone; that needs no "
            "training.",
        )
        dataset = left.selectbox(
            "Data set",
            list(named),
            format_func=lambda name: "the stick-figure world" if name == DEMO else name,
            help="The demo's test clips, the data sets named on the page Library, and published ones in the "
            "workspace's folder `data`.",
        )
        path = left.text_input(
            "or the path of another data set",
            placeholder="/path/to/data",
            help="Counts when it is filled in. A path on the machine of this app: a folder with a folder of clips for "
            "each class, a CSV with a label column, or an index {class: [clip ids]} in JSON.",
        )
        descriptions = left.text_input(
            "Class descriptions (optional)", placeholder="/path/to/descriptions.json",
            help="JSON {class: sentence or list of sentences}, or a folder of .txt. Otherwise those beside the data "
            "set, else the class names.",
        )  # fmt: skip
        store = right.selectbox(
            "Feature store of its clips",
            stores,
            format_func=lambda folder: Path(folder).name,
            help="What `cezsar extract` wrote, with the encoder that the run was trained with.",
        )
        elsewhere = right.text_input(
            "or the folder of another store", placeholder="/path/to/features", help="Counts when it is filled in."
        )
        captions = right.text_area(
            "Caption files, one to a line (optional)", height=98, placeholder="/path/to/captions.json",
            help="Their sentences become the modality C.",
        )  # fmt: skip
        asked = st.form_submit_button("Evaluate", type="primary", icon=":material/play_arrow:")
    if asked:
        chosen = elsewhere.strip() or (store if store != ELSEWHERE else "")
        place = path.strip() or named.get(dataset or DEMO, "")
        request = services.Request(run or services.NO_RUN, chosen or "", place, captions, descriptions)
        try:
            services.start(request)
        except CezsarError as error:
            st.error(sentence(error), icon=":material/error:")


def _named() -> dict[str, str]:
    """Data sets of the page Library; a damaged list is a word on the screen, and none."""
    from cezsar.data.datasets import places

    try:
        return places()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return {}


def running() -> None:
    """Evaluations that are running, and the last few that have ended."""
    listed = jobs.jobs("evaluate")
    st.session_state[FOLLOWED] = {job.id for job in listed if job.alive}
    if shown := [job for job in listed if job.alive] + [job for job in listed if not job.alive][:3]:
        jobs_widget.follow(shown, "evaluations")
