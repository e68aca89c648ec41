"""Class descriptions on the screen: looked at, searched, edited, imported, exported."""

from __future__ import annotations

import json

import streamlit as st

from app import state
from app.services import descriptions as service
from app.services import labels
from app.widgets.words import plain, sentence
from cezsar.errors import CezsarError

COLUMNS = {
    "class": st.column_config.TextColumn(width="medium", help="A name in several rows has several sentences."),
    "sentence": st.column_config.TextColumn(width="large", help="What the action is, with which objects, where."),
}


def class_descriptions() -> None:
    """One set of descriptions at a time; one's own are edited in place, others are saved under a name of one's own."""
    st.caption(
        "A class is recognised by its prototype, the embedding of a sentence that describes it (Eq. 6, 8): what is "
        "done, with which objects, where. With several sentences the nearest one counts."
    )
    names = list(service.sources())
    if st.session_state.get(state.DESCRIBED) not in names:
        st.session_state.pop(state.DESCRIBED, None)
    source = st.selectbox("Descriptions", names, key=state.DESCRIBED, bind="query-params") or names[0]
    try:
        described = service.read(source)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    rows = service.rows_of(described)
    own = service.own_name(source)
    words = st.text_input("Find", key=state.FIND, bind="query-params", placeholder="a word of a name or a sentence")
    if wanted := words.strip().casefold():
        hits = [row for row in rows if wanted in row["class"].casefold() or wanted in row["sentence"].casefold()]
        st.caption(f"{len(hits):,} of {len(rows):,} sentences hold {plain(words.strip())}.")
        st.dataframe(hits, hide_index=True, column_config=COLUMNS, alt="Classes and sentences that were found")
    else:
        st.caption(
            f"{len(described):,} classes, {len(rows):,} sentences. "
            + ("Edit them here." if own else "These are read-only: edit a copy, and save it under a name of your own.")
        )
        edited = st.data_editor(
            rows, num_rows="dynamic", hide_index=True, column_config=COLUMNS, key=f"edited-{source}", width="stretch"
        )
        _save(source, own, service.of_rows(edited))
    _export(source, described)
    _import()


def _save(source: str, own: str, described: service.Described) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Save as", value=own, key=f"save-as-{source}", placeholder="my-classes", max_chars=60)
        if st.button("Save", icon=":material/save:", key="save"):
            _keep(name, described, replace=bool(own) and name.strip() == own)


def _keep(name: str, described: service.Described, replace: bool = False) -> None:
    try:
        path = service.save(name, described, replace)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    st.session_state[_CHOSEN] = f"mine: {path.stem}"
    st.rerun()


_CHOSEN = "descriptions to show next"  # a widget's own key cannot be set once it is drawn


def choose_saved() -> None:
    """Show what was just saved; to be called before the section is drawn."""
    if _CHOSEN in st.session_state:
        st.session_state[state.DESCRIBED] = st.session_state.pop(_CHOSEN)


def _export(source: str, described: service.Described) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Export JSON",
            json.dumps(described, indent=2, ensure_ascii=False) + "\n",
            f"{service.own_name(source) or 'descriptions'}.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        if st.button(
            "Use on the page Classify", icon=":material/movie:", key="use", help="They become the labels there."
        ):
            state.set_labels(labels.written_with(described))
            st.switch_page("../pages/classify.py", query_params={})


def _import() -> None:
    with st.expander("Import"), st.form("import", clear_on_submit=True):
        files = st.file_uploader(
            "Files",
            accept_multiple_files=True,
            type=["json", "txt", "zip"],
            key="described-files",
            help='A JSON file {"class": "sentence"} or {"class": ["sentences"]}, a .txt with a class to a line, or one '
            ".txt for each class, named after it, each line a sentence; several at once, or in a .zip.",
        )
        name = st.text_input("Name", key="import-name", placeholder="my-classes", max_chars=60)
        if st.form_submit_button("Import", icon=":material/upload:"):
            try:
                described = service.imported([(file.name, file.getvalue()) for file in files])
            except CezsarError as error:
                st.error(sentence(error), icon=":material/error:")
                return
            _keep(name, described)
