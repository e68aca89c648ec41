"""The runs there are: all in a table, one in full, several compared; and those that people load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from app import state
from app.parts import runs, show
from app.parts.choosers import forget_others
from app.parts.runs import Told
from app.parts.words import plain, sentence
from app.train import curves
from cezsar.errors import CezsarError

STATES = {"no weights": "trained; weights not here", "training": "being trained"}  # others say it themselves
METRICS = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class"}


def table(there: Mapping[str, Told]) -> None:
    rows = []
    for told in there.values():
        best, own, record = told.best, told.config, told.record
        rows.append({
            "run": told.name, "state": STATES.get(told.state, told.state) + (", shipped" if told.shipped else ""),
            "top-1": 100 * best[1].figure("top1").mean if best else None,
            "of": f"{best[0]}, {best[1].protocol}, {best[1].modality}" if best else "",
            "validation loss": record.get("validation_loss"), "epochs": record.get("epochs"),
            "triplets": runs.mined_by(record).get("triplets"),
            "frame encoder": own.feature_encoder["name"] if own else "",
            "sentence encoder": own.sentence_encoder["name"] if own else "", "shows": own.domain if own else "",
        })  # fmt: skip
    formats = {"top-1": "%.1f %%", "validation loss": "%.3f", "epochs": "%d", "triplets": "localized"}
    help = "Data set, protocol, modality of top-1."
    columns = {"run": st.column_config.TextColumn(pinned=True), "of": st.column_config.TextColumn("of", help=help)}
    alt = f"{len(rows)} runs with their state and accuracy"
    show.table(rows, alt, formats, placeholder="", column_config=columns)


def choose(there: Mapping[str, Told]) -> list[Told]:
    names, key, most = list(there), state.CHOSEN_RUNS, curves.MOST_RUNS
    forget_others(key, there)
    told = "One is shown in full; several are compared: curves, settings, results."
    chosen = st.multiselect("Runs to look at", names, names[:1], max_selections=most, key=key, help=told, **state.KEPT)
    return [there[name] for name in chosen]


def look(chosen: Sequence[Told]) -> None:
    """One run in full, or several compared."""
    for told in chosen:
        if told.error:
            show.error(f"{plain(told.name)}: {sentence(CezsarError(told.error))}")
    fine, histories = [told for told in chosen if told.config], {}
    for told in fine:
        with show.explained():
            histories[told.name] = curves.read(told.folder)
    if len(fine) == 1:
        _about(fine[0])
        if histories and len(histories[fine[0].name].blocks):
            curves.draw(histories[fine[0].name], f"full-{fine[0].name}")
        elif histories:
            st.caption("It has no training history, so there are no curves.")
    elif fine:
        st.markdown("**Loss**", help=curves.LOSS)
        show.figure(curves.loss_figure(histories), "compared", f"Triplet loss over epochs of {', '.join(histories)}")
        measured = {
            (own.triplets, own.training.margin, own.training.validation, own.training.seed)
            for told in fine if (own := told.config)
        }  # fmt: skip
        differ = "Triplets, margin, seed or validation share differ, so losses do not compare; results do."
        alike = differ if len(measured) > 1 else "All on the same triplets."
        st.caption(f"Solid: validation. Dashed: training. {alike}")
    if any(told.results for told in fine):
        _results(fine)
    if fine:
        _settings(fine)
    if len(fine) == 1 and fine[0].record:
        with st.expander("Record of its training"):
            st.json(fine[0].record, expanded=2)


def _about(told: Told) -> None:
    st.subheader(plain(told.name), anchor=False)
    domain = plain(told.config.domain) if told.config else ""
    st.markdown(f"{STATES.get(told.state, told.state).capitalize()}. Shows {domain}.")
    if told.state == "trained":
        about = "Its configuration, weights, history, record and results in an archive, which Load reads elsewhere."
        show.downloads(("Download the run", f"{told.name}.zip", partial(runs.packed, told), about))
    elif told.state == "interrupted":
        st.caption("**Resume** of its job goes on with it; so does `cezsar train` with its arguments and `--resume`.")


def _results(chosen: Sequence[Told]) -> None:
    """A row for each data set, protocol and modality of each run."""
    st.markdown("**Results**", help="Percent; ± is the sample standard deviation over the splits of a protocol.")
    rows = [
        {"data set": name, "protocol": result.protocol, "modality": result.modality, "run": told.name}
        | {label: result.figure(metric).percent() for metric, label in METRICS.items()}
        | {"chance": f"{100 * result.chance():.1f}"}
        for told in chosen for name, result in told.results
    ]  # fmt: skip
    order = sorted(rows, key=lambda row: (row["data set"], row["protocol"] != "all", row["protocol"], row["modality"]))
    show.table(order, f"{len(rows)} results")


def _settings(chosen: Sequence[Told]) -> None:
    """All settings beside the paper's; those first in which the runs differ, or a single one differs from the paper."""
    own = {told.name: runs.settings(told.config, told.record) for told in chosen if told.config}
    values = pd.DataFrame(own | {"the paper": runs.paper()}).reindex(list(next(iter(own.values()))))
    differ = (values[list(own)] if len(own) > 1 else values).nunique(axis=1) > 1
    with st.expander(f"Settings: {differ.sum()} differ", expanded=len(own) > 1):
        rows = pd.concat([values[differ], values[~differ]]).fillna("not given").rename_axis("setting").reset_index()
        show.table(rows, f"{len(rows)} settings of the runs and the paper's values")


def load(there: Mapping[str, Told]) -> None:
    with st.form("load", clear_on_submit=True):
        given = st.file_uploader(
            "Run archive (.zip, from Download the run), or bare weights (.safetensors)", key="run-upload",
            help="Pickles (.pt, .pth, .pkl, .ckpt, .bin) are refused: opening one can run any program that is in it.",
        )  # fmt: skip
        wanted = st.text_input("Name of the run", "", 80, "loaded-name", placeholder="as in the file")
        left, right = st.columns(2, gap="large")
        choice = left.selectbox(
            "Bare weights: with the configuration of", [told.name for told in there.values() if told.config],
            key="like", help="A run whose tensors have the same shapes; its recogniser and classes come along.",
        )  # fmt: skip
        domain = right.text_input("Bare weights: what they were trained on", key="loaded-domain", max_chars=200)
        asked = st.form_submit_button("Load", type="primary", icon=":material/upload:")
    if asked and given is not None:
        with show.explained(), st.spinner("Checking and unpacking"):
            name = runs.load(given.name, given.getvalue(), there.get(choice or ""), wanted.strip(), domain)
            st.session_state[state.TO_SHOW] = {state.CHOSEN_RUNS: [name], state.PART: state.RUNS}
            st.rerun()
