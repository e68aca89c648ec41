"""The page Tune: what the fusion weights and the bound on hard negatives do."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import show
from app.parts.choosers import segments
from app.tune.negatives import negatives
from app.tune.sweeps import sweeps
from app.tune.weights import fusion_weights

PARTS = {state.TUNE_WEIGHTS: "Fusion weights", state.TUNE_TAU: "Hard negatives (τ)"}


def page() -> None:
    st.title("Tune", anchor=False)
    with show.explained():
        if segments("What is tuned", PARTS, state.TUNED, label_visibility="collapsed") == state.TUNE_TAU:
            negatives()
            sweeps()
        else:
            fusion_weights()
