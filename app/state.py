"""Every session_state key and query parameter.

Widgets bound with `bind="query-params"` carry their key as the parameter's name, so a copied address opens the same
view. Labels may be thousands: they go into the address by hand, as long as they fit.
"""

from __future__ import annotations

import streamlit as st

MODEL = "model"  # key of the model that answers, see services.Model
SOURCE = "from"  # where clips come from: SAMPLES or UPLOADS
SAMPLE = "sample"  # id of a sample clip
OBJECTS = "objects"  # β of Eq. 9: how much the recognised objects count, the visual embedding getting the rest
CLIP = "clip"  # number of the clip whose answer is shown, where there are several
LABELS = "labels"  # the text in the box

SAMPLES, UPLOADS = "samples", "mine"

_DEFAULT_LABELS = "default labels"  # the text that the box held before anyone typed
_LONGEST_ADDRESS = 2000  # characters of labels; some browsers and servers refuse addresses much longer


def begin_labels(default: str) -> None:
    """Put text into the label box before it is drawn: what the address says, else `default`.

    When another model brings other default labels, they replace the old ones unless somebody typed.
    """
    if LABELS not in st.session_state:
        st.session_state[LABELS] = st.query_params.get(LABELS, default)
    elif st.session_state[LABELS] == st.session_state.get(_DEFAULT_LABELS):
        st.session_state[LABELS] = default
    st.session_state[_DEFAULT_LABELS] = default


def set_labels(text: str) -> None:
    """For callbacks: replace the labels in the box."""
    st.session_state[LABELS] = text


def publish_labels() -> None:
    """Keep the address in step with the label box."""
    text = st.session_state[LABELS]
    if text == st.session_state[_DEFAULT_LABELS] or len(text) > _LONGEST_ADDRESS:
        st.query_params.pop(LABELS, None)
    elif st.query_params.get(LABELS) != text:
        st.query_params[LABELS] = text


def choose_sample(sample: str) -> None:
    """For callbacks: show this sample."""
    st.session_state[SAMPLE] = sample
