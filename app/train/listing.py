"""The runs there are: all in a table, one in full, several compared; and those that people load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.parts import runs, show
from app.parts.choosers import segments
from app.parts.runs import Told
from app.parts.words import duration, plain, sentence
from app.train import curves, starting
from cezsar.errors import CezsarError

STATES = {"no weights": "trained; weights not here", "training": "being trained"}  # others say it themselves
PROBLEM, LOADED, UPLOADS = "problem of a run", "name of the run just loaded", "runs uploaded"
METRICS = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class"}


def table(there: Mapping[str, Told]) -> None:
    rows = []
    for told in there.values():
        best, own = told.best, told.config
        rows.append({
            "run": told.name, "state": STATES.get(told.state, told.state) + (", shipped" if told.shipped else ""),
            "top-1": 100 * best[1].figure("top1").mean if best else None,
            "of": f"{best[0]}, {best[1].protocol}, {best[1].modality}" if best else "",
            "validation loss": told.number("validation_loss"), "epochs": told.number("epochs"),
            "triplets": told.number("triplets", "triplets"),
            "frame encoder": own.feature_encoder["name"] if own else "",
            "sentence encoder": own.sentence_encoder["name"] if own else "", "shows": own.domain if own else "",
        })  # fmt: skip
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "run": text(pinned=True),
        "top-1": number("top-1", format="%.1f %%", help="Modalities fused, on all classes if known."),
        "of": text("of", help="Data set, protocol, modality of top-1."),
        "validation loss": number(format="%.3f", help="Of the best epoch; for the same triplets."),
    }
    alt, formats = f"{len(rows)} runs with their state and accuracy", {"epochs": "%d", "triplets": "localized"}
    show.table(rows, alt, formats, placeholder="", column_config=columns)


def choose(there: Mapping[str, Told]) -> list[Told]:
    names, key = list(there), state.CHOSEN_RUNS
    if key in st.session_state:
        st.session_state[key] = [name for name in st.session_state[key] if name in there]
    told = "One is shown in full; several are compared: curves, settings, results."
    most = curves.MOST_RUNS
    chosen = st.multiselect("Runs to look at", names, names[:1], max_selections=most, key=key, help=told, **state.KEPT)
    return [there[name] for name in chosen]


def look_at(name: str) -> None:
    """For callbacks: show this run."""
    st.session_state.update({state.CHOSEN_RUNS: [name], state.PART: state.RUNS})


def in_full(told: Told) -> None:
    st.subheader(plain(told.name), anchor=False)
    if told.error:
        show.error(CezsarError(told.error))
    if told.config is None:
        return
    st.markdown(f"{STATES.get(told.state, told.state).capitalize()}. Shows {plain(told.config.domain)}.")
    if problem := st.session_state.pop(PROBLEM, None):
        show.error(problem)
    if told.state == "trained":
        about = "Its configuration, weights, history, record and results in an archive, which Load reads elsewhere."
        show.download("Download the run", partial(runs.packed, told), f"{told.name}.zip", about)
    elif told.state == "interrupted" and starting.resumable(told.name):
        st.button(
            "Resume training", type="primary", icon=":material/play_arrow:", on_click=_resume, args=(told.name,),
            help="Goes on from the last saved step, and ends with the same weights as without the break.",
        )  # fmt: skip
    elif told.state == "interrupted":
        st.caption("Started elsewhere: `cezsar train` with its arguments and `--resume` goes on with it.")
    if told.record:
        numbers: list[tuple[str, Sequence[str], Callable[[float], str], str]] = [
            ("Best validation loss", ["validation_loss"], "{:.3f}".format, curves.VALIDATION),
            ("Best epoch", ["best_epoch"], "{:.0f}".format, "Its weights are the run's."),
            ("Epochs", ["epochs"], "{:.0f}".format, "Trained, before the end or early stopping."),
            ("Triplets", ["triplets"] * 2, "{:,.0f}".format, "Sub-clip, positive sentence, hard negative sentence."),
            ("Training sub-clips", ["train_sub_clips"], "{:,.0f}".format, "Others are for validation, split by video."),
            ("Took", ["seconds"], duration, ""),
        ]
        values = [(label, told.number(*path), form, about) for label, path, form, about in numbers]
        show.metrics([(label, "not known" if v is None else form(v), about) for label, v, form, about in values])
    with show.explained():
        history = curves.read(told.folder)
        if history.done:
            curves.draw(history, f"full-{told.name}")
        else:
            st.caption("It has no training history, so there are no curves.")
    if told.results:
        st.markdown("**Results**")
        _results([told])
    left, right = st.columns(2, gap="large")
    with left, st.expander("Settings, and the paper's"):
        paper, own = runs.paper(), runs.settings(told.config, told.record)
        beside = {name: (value, paper.get(name, "not given")) for name, value in own.items()}
        apart = {name: pair for name, pair in beside.items() if pair[1] not in ("not given", pair[0])}
        words = f"The first {len(apart)} differ from the paper's."
        st.caption(words if apart else "None differs from what the paper gives.")
        rows = [{"setting": name, "this run": one, "paper": two} for name, (one, two) in (apart | beside).items()]
        show.table(rows, f"{len(rows)} settings of this run and the paper's values")
    with right, st.expander("Record of its training"):
        st.json(told.record, expanded=2) if told.record else st.caption("Written when training ends.")


def _resume(name: str) -> None:
    try:
        starting.resume(name)
    except CezsarError as error:
        st.session_state[PROBLEM] = error


def compared(chosen: Sequence[Told]) -> None:
    configs, histories = {}, {}
    for told in chosen:
        if told.config is None:
            show.error(f"{plain(told.name)}: {sentence(CezsarError(told.error))}")
            continue
        configs[told.name] = told.config
        with show.explained():
            histories[told.name] = curves.read(told.folder)
    st.markdown("**Loss**", help=f"{curves.LOSS} {curves.VALIDATION}")
    show.figure(curves.loss_figure(histories), "compared", f"Triplet loss over epochs of {', '.join(histories)}")
    comparable, own = "All on the same triplets.", configs.values()
    if len({each.triplets for each in own}) > 1:
        comparable = "Their triplets differ, so their losses cannot be compared with each other; results can."
    elif len({(each.training.margin, each.training.validation, each.training.seed) for each in own}) > 1:
        comparable = "Margin, seed or validation share differ, so losses are not measured alike; results are."
    st.caption(f"Solid: validation. Dashed: training. {comparable}")
    st.markdown("**Settings in which they differ**")
    fine = [told for told in chosen if told.name in configs]
    values = pd.DataFrame({told.name: runs.settings(configs[told.name], told.record) for told in fine}).fillna("")
    differing = values[values.nunique(axis=1) > 1].rename_axis("setting").reset_index()
    if len(differing):
        show.table(differing, f"{len(differing)} settings in which the runs differ")
    else:
        st.caption("None: they have the same settings and triplets.")
    st.markdown("**Results side by side**")
    if any(told.results for told in fine):
        _results(fine)
    else:
        st.caption("None of them has been evaluated yet; the page Evaluate does it.")


def _results(chosen: Sequence[Told]) -> None:
    """A row for each data set, protocol and modality; of several runs one metric, of one run all."""
    names, metric = [told.name for told in chosen], ""
    if len(chosen) > 1:
        about = "top-k: the true class is among the k best. Mean per class: each class counts alike."
        metric = segments("Accuracy", METRICS, state.METRIC, about)
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for told in chosen:
        for name, result in told.results:
            key = (name, result.protocol, result.modality)
            row = rows.setdefault(key, {"data set": name, "protocol": result.protocol, "modality": result.modality})
            if metric:
                row |= {one: row.get(one, "") for one in names} | {told.name: result.figure(metric).percent()}
            else:
                row |= {label: result.figure(own).percent() for own, label in METRICS.items()}
            row["chance"] = f"{100 * result.chance():.1f}"
    ordered = sorted(rows.values(), key=lambda row: (row["data set"], row["protocol"] != "all"))
    show.table(ordered, f"{len(rows)} results")
    st.caption("Percent; ± is the sample standard deviation over the random splits of a protocol that has several.")


def load(there: Mapping[str, Told]) -> None:
    st.markdown("A run archive (`.zip`, from **Download the run**), or bare weights (`.safetensors`).")
    if name := st.session_state.pop(LOADED, None):
        st.success(f"{plain(name)} is among the runs now.", icon=":material/check_circle:")
        st.button("Look at it", icon=":material/show_chart:", on_click=look_at, args=(name,))
    given = st.file_uploader(
        "Run archive or weights", key=f"run-upload-{st.session_state.get(UPLOADS, 0)}",
        help="Pickles (.pt, .pth, .pkl, .ckpt, .bin) are refused: opening one can run any program that is in it.",
    )  # fmt: skip
    if given is None:
        return
    suffix, like, domain = Path(given.name).suffix.lower(), None, ""
    if suffix == ".safetensors":
        left, right = st.columns(2, gap="large")
        choice = left.selectbox(
            "With the configuration of", [told.name for told in there.values() if told.config is not None], key="like",
            help="A run whose tensors have the same shapes; its object recogniser and classes come along.",
        )  # fmt: skip
        like = there.get(choice or "")
        domain = right.text_input("What it was trained on", key="loaded-domain", max_chars=200) or ""
    wanted = ""
    if usable := suffix in (".zip", ".safetensors"):
        about = "Letters, digits, spaces and . + - _ @."
        wanted = st.text_input("Name of the run", "", 80, "loaded-name", help=about, placeholder="as in the file")
    if not usable or st.button("Load", type="primary", icon=":material/upload:"):  # the former says why not
        with show.explained(), st.spinner("Checking and unpacking"):
            st.session_state[LOADED] = runs.load(given.name, given.getvalue(), like, wanted.strip(), domain)
            st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1  # an empty field for the next one
            st.rerun()
