"""The page Tune: what the fusion weights and the bound on hard negatives do."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import show
from app.tune.negatives import negatives
from app.tune.sweeps import sweeps
from app.tune.weights import fusion_weights

PARTS = {state.TUNE_WEIGHTS: "Fusion weights", state.TUNE_TAU: "Hard negatives (τ)"}


def page() -> None:
    st.title("Tune", anchor=False)
    part = st.segmented_control(
        "What is tuned", list(PARTS), default=state.TUNE_WEIGHTS, required=True, format_func=PARTS.__getitem__,
        key=state.TUNED, bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    with show.explained():
        if part == state.TUNE_TAU:
            negatives()
            sweeps()
        else:
            fusion_weights()
