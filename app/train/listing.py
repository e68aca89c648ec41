"""The runs there are: all in a table, one in full, several compared; and those that people load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from app import state
from app.parts.words import duration, plain, sentence
from app.train import curves, runs, starting
from app.train.runs import Told
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT
from cezsar.zeroshot.evaluation import Result

STATES = {"no weights": "trained; weights not here", "training": "being trained"}  # others say it themselves
PROBLEM, LOADED, UPLOADS = "problem of a run", "name of the run just loaded", "runs uploaded"
METRICS = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class"}


def table(there: Mapping[str, Told]) -> None:
    """A row for each run."""
    rows = []
    for told in there.values():
        best, own = told.best, told.config
        rows.append(
            {
                "run": told.name,
                "state": STATES.get(told.state, told.state) + (", shipped" if told.shipped else ""),
                "top-1": 100 * best[1].figure("top1").mean if best else None,
                "of": f"{best[0]}, {best[1].protocol}, {best[1].modality}" if best else "",
                "validation loss": told.number("validation_loss"),
                "epochs": told.number("epochs"),
                "triplets": told.number("triplets", "triplets"),
                "frame encoder": own.feature_encoder["name"] if own else "",
                "sentence encoder": own.sentence_encoder["name"] if own else "",
                "shows": own.domain if own else "",
            }
        )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "run": text(pinned=True),
        "top-1": number("top-1", format="%.1f %%", help="Modalities fused, on all classes if known."),
        "of": text("of", help="Data set, protocol, modality of top-1."),
        "validation loss": number(format="%.3f", help="Of the best epoch; for the same triplets."),
        "epochs": number(format="%d"),
        "triplets": number(format="localized"),
    }
    alt = f"{len(rows)} runs with their state, accuracy and training"
    st.dataframe(rows, hide_index=True, placeholder="", column_config=columns, alt=alt)


def choose(there: Mapping[str, Told]) -> list[Told]:
    """One run to be shown in full, or several to be compared."""
    names = list(there)
    if state.CHOSEN_RUNS in st.session_state:
        kept = [name for name in st.session_state[state.CHOSEN_RUNS] if name in there]
        st.session_state[state.CHOSEN_RUNS] = kept
    chosen = st.multiselect(
        "Runs to look at", names, default=names[:1], max_selections=curves.MOST_RUNS, key=state.CHOSEN_RUNS,
        bind="query-params", persist_state="session",
        help="One is shown in full; several are compared: curves, settings, results.",
    )  # fmt: skip
    return [there[name] for name in chosen]


def look_at(names: list[str]) -> None:
    """For callbacks: show these runs."""
    st.session_state[state.CHOSEN_RUNS] = names
    st.session_state[state.PART] = state.RUNS


def _error(error: Exception) -> None:
    st.error(sentence(error), icon=":material/error:")


# One in full ---------------------------------------------------------------------------------------------------------


def in_full(told: Told) -> None:
    """Its curves, results, settings and record; and what can be done with it."""
    st.subheader(plain(told.name), anchor=False)
    if told.error:
        _error(CezsarError(told.error))
    if told.config is None:
        return
    st.markdown(f"{STATES.get(told.state, told.state).capitalize()}. Shows {plain(told.config.domain)}.")
    if message := st.session_state.pop(PROBLEM, None):
        st.error(message, icon=":material/error:")
    if told.state == "trained":
        st.download_button(
            "Download the run", partial(runs.packed, told), f"{told.name}.zip", "application/zip",
            icon=":material/download:", on_click="ignore",
            help="An archive of its configuration, weights, history, record and results, which Load reads elsewhere.",
        )  # fmt: skip
    elif told.state == "interrupted" and starting.resumable(told.name):
        st.button(
            "Resume training", type="primary", icon=":material/play_arrow:", on_click=_resume, args=(told.name,),
            help="Goes on from the last saved step, and ends with the same weights as without the break.",
        )  # fmt: skip
    elif told.state == "interrupted":
        st.caption("Started elsewhere: `cezsar train` with its arguments and `--resume` goes on with it.")
    if told.record:
        _record(told)
    try:
        history = curves.read(told.folder)
    except CezsarError as error:
        _error(error)
    else:
        if history.done:
            curves.draw(history, f"full-{told.name}")
        else:
            st.caption("It has no training history, so there are no curves.")
    if told.results:
        st.markdown("**Results**")
        _results([told])
    left, right = st.columns(2, gap="large")
    with left, st.expander("Settings, and the paper's"):
        paper = runs.paper()
        own = runs.settings(told).items()
        rows = [{"setting": name, "this run": value, "paper": paper.get(name, "not given")} for name, value in own]
        rows.sort(key=lambda row: row["paper"] in ("not given", row["this run"]))
        apart = sum(row["paper"] not in ("not given", row["this run"]) for row in rows)
        st.caption(
            f"The first {apart} differ from the paper's." if apart else "None differs from what the paper gives."
        )
        st.dataframe(rows, hide_index=True, alt=f"{len(rows)} settings of this run and the paper's values")
    with right, st.expander("Record of its training"):
        st.json(told.record, expanded=2) if told.record else st.caption("Written when training ends.")


def _resume(name: str) -> None:
    try:
        starting.resume(name)
    except CezsarError as error:
        st.session_state[PROBLEM] = sentence(error)


def _record(told: Told) -> None:
    shown = {
        "Best validation loss": (("validation_loss",), "{:.3f}".format, curves.VALIDATION),
        "Best epoch": (("best_epoch",), "{:.0f}".format, "Its weights are the run's."),
        "Epochs": (("epochs",), "{:.0f}".format, "Trained, before the end or early stopping."),
        "Triplets": (
            ("triplets", "triplets"),
            "{:,.0f}".format,
            "Sub-clip, positive sentence, hard negative sentence.",
        ),
        "Training sub-clips": (("train_sub_clips",), "{:,.0f}".format, "Others are for validation, split by video."),
        "Took": (("seconds",), duration, None),
    }
    with st.container(horizontal=True, gap="medium"):
        for label, (path, written, help) in shown.items():
            value = told.number(*path)
            st.metric(label, "not known" if value is None else written(value), width="content", help=help)


# Several compared ----------------------------------------------------------------------------------------------------


def compared(chosen: Sequence[Told]) -> None:
    """Curves together, settings that differ, results side by side."""
    fine, histories = [], {}
    for told in chosen:
        if told.config is None:
            st.error(f"{plain(told.name)}: {sentence(CezsarError(told.error))}", icon=":material/error:")
            continue
        fine.append(told)
        try:
            histories[told.name] = curves.read(told.folder)
        except CezsarError as error:
            _error(error)
    st.markdown("**Loss**", help=f"{curves.LOSS} {curves.VALIDATION}")
    alt = f"Triplet loss over epochs of {', '.join(histories)}"
    st.plotly_chart(curves.loss_figure(histories), key="compared", config=PLOT, alt=alt)
    configs = [told.config for told in fine if told.config is not None]
    comparable = "All on the same triplets."
    if len({own.triplets for own in configs}) > 1:
        comparable = "Their triplets differ, so their losses cannot be compared with each other; results can."
    elif len({(own.training.margin, own.training.validation, own.training.seed) for own in configs}) > 1:
        comparable = "Margin, seed or validation share differ, so losses are not measured alike; results are."
    st.caption(f"Solid: validation. Dashed: training. {comparable}")
    st.markdown("**Settings in which they differ**")
    each = {told.name: runs.settings(told) for told in fine}
    names = dict.fromkeys(name for values in each.values() for name in values)
    rows = [{"setting": name, **{run: values.get(name, "") for run, values in each.items()}} for name in names]
    if rows := [row for row in rows if len(set(list(row.values())[1:])) > 1]:
        st.dataframe(rows, hide_index=True, alt=f"{len(rows)} settings in which the runs differ")
    else:
        st.caption("None: they have the same settings and triplets.")
    st.markdown("**Results side by side**")
    if any(told.results for told in fine):
        _results(fine)
    else:
        st.caption("None of them has been evaluated yet; the page Evaluate does it.")


def _results(chosen: Sequence[Told]) -> None:
    """A row for each data set, protocol and modality; of several runs one metric, of one run all."""
    found: dict[tuple[str, str, str], dict[str, Result]] = {}
    for told in chosen:
        for name, result in told.results:
            found.setdefault((name, result.protocol, result.modality), {})[told.name] = result
    metric = None
    if len(chosen) > 1:
        metric = st.segmented_control(
            "Accuracy", list(METRICS), default="top1", required=True, format_func=METRICS.__getitem__, key=state.METRIC,
            bind="query-params",
            help="top-k: the true class is among the k best. Mean per class: each class counts alike.",
        )  # fmt: skip
    rows = []
    for key in sorted(found, key=lambda key: (key[0], key[1] != "all")):
        row, own = dict(zip(("data set", "protocol", "modality"), key, strict=True)), found[key]
        one = next(iter(own.values()))
        if metric is None:
            row |= {label: one.figure(name).percent() for name, label in METRICS.items()}
        else:
            row |= {t.name: own[t.name].figure(metric).percent() if t.name in own else "" for t in chosen}
        rows.append({**row, "chance": f"{100 * one.chance():.1f}"})
    st.dataframe(rows, hide_index=True, alt=f"{len(rows)} results")
    st.caption("Percent; ± is the sample standard deviation over the random splits of a protocol that has several.")


# Runs that people load -----------------------------------------------------------------------------------------------


def load(there: Mapping[str, Told]) -> None:
    """An upload, checked and put among the runs."""
    st.markdown(
        "A run archive (`.zip`, from **Download the run**), or bare weights (`.safetensors`). Runs in the "
        "workspace's folder `runs` need no loading: they are in the list already."
    )
    if name := st.session_state.pop(LOADED, None):
        st.success(f"{plain(name)} is among the runs now.", icon=":material/check_circle:")
        st.button("Look at it", icon=":material/show_chart:", on_click=look_at, args=([name],))
    given = st.file_uploader(
        "Run archive or weights", key=f"run-upload-{st.session_state.get(UPLOADS, 0)}",
        help="Tables in it are read as JSON, weights as safetensors, and all is checked. Pickles (.pt, .pth, .pkl, "
        ".ckpt, .bin) are refused: opening one can run any program that is in it.",
    )  # fmt: skip
    if given is None:
        return
    suffix = Path(given.name).suffix.lower()
    if suffix not in (".zip", ".safetensors"):
        _load(given.name, b"", None, "", "")  # which says why not
        return
    like, domain = None, ""
    if suffix == ".safetensors":
        left, right = st.columns(2, gap="large")
        choice = left.selectbox(
            "With the configuration of", [told.name for told in there.values() if told.config is not None], key="like",
            help="A run whose tensors have the same shapes; its object recogniser and classes come along.",
        )  # fmt: skip
        like = there.get(choice or "")
        domain = right.text_input("What it was trained on", key="loaded-domain", max_chars=200) or ""
    wanted = st.text_input(
        "Name of the run", key="loaded-name", max_chars=80, placeholder="as in the file",
        help="Letters, digits, spaces and . + - _ @.",
    )  # fmt: skip
    if st.button("Load", type="primary", icon=":material/upload:"):
        _load(given.name, given.getvalue(), like, (wanted or "").strip(), domain)


def _load(name: str, content: bytes, like: Told | None, wanted: str, domain: str) -> None:
    try:
        with st.spinner("Checking and unpacking"):
            loaded = runs.load(name, content, like, wanted, domain)
    except CezsarError as error:
        _error(error)
    else:
        st.session_state[LOADED] = loaded
        st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1  # an empty field for the next one
        st.rerun()
