"""Library: what this workspace holds, and what it weighs."""

from __future__ import annotations

import streamlit as st

from app import state
from app.widgets import description_check, descriptions, workshop
from app.widgets import library as widgets
from app.widgets.words import sentence
from cezsar.errors import CezsarError


def words() -> None:
    """Class descriptions, and what is wrong with them."""
    descriptions.class_descriptions()
    description_check.check()


SHOWN = {
    "data": widgets.data_sets,
    "stores": widgets.feature_stores,
    "trained": widgets.trained,
    "encoders": widgets.all_encoders,
    "words": words,
    "workshop": workshop.workshop,
    "disk": widgets.disk,
}


def page() -> None:
    st.title("Library", anchor=False)
    st.markdown("Data sets, features, runs, encoders and class descriptions: what is here, and how to get more.")
    descriptions.choose_saved()
    section = st.segmented_control(
        "Section",
        list(state.SECTIONS),
        default="data",
        format_func=state.SECTIONS.__getitem__,
        required=True,
        key=state.SECTION,
        bind="query-params",
        label_visibility="collapsed",
    )
    try:
        SHOWN[section or "data"]()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")


page()
