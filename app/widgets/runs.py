"""Runs on the screen: all of them, one in full, several side by side, and those that people bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from app import state
from app.charts import train as charts
from app.services import runs, train
from app.services.runs import Told
from app.widgets import train as training
from app.widgets import words
from app.widgets.words import plain
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT
from cezsar.zeroshot.results import Result

STATES = {
    "trained": "trained",
    "no weights": "trained; weights not here",
    "training": "being trained",
    "interrupted": "interrupted",
    "damaged": "damaged",
}
PROBLEM, LOADED, UPLOADS = "problem of a run", "name of the run just loaded", "runs uploaded"


# All of them ---------------------------------------------------------------------------------------------------------


def table(there: Mapping[str, Told]) -> None:
    """A row for each run."""
    rows = []
    for told in there.values():
        best = told.best
        rows.append(
            {
                "run": told.name,
                "state": STATES[told.state] + (", shipped" if told.shipped else ""),
                "top-1": 100 * best[1].figure("top1").mean if best else None,
                "of": f"{best[0]}, {best[1].protocol}, {best[1].modality}" if best else "",
                "validation loss": told.number("validation_loss"),
                "epochs": told.number("epochs"),
                "triplets": told.number("triplets", "triplets"),
                "frame encoder": told.config.feature_encoder["name"] if told.config else "",
                "sentence encoder": told.config.sentence_encoder["name"] if told.config else "",
                "shows": told.config.domain if told.config else "",
            }
        )
    number = st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="",
        column_config={
            "run": st.column_config.TextColumn(pinned=True),
            "top-1": number("top-1", format="%.1f %%", help="Modalities fused, on all classes if known."),
            "of": st.column_config.TextColumn("of", help="Data set, protocol, modality of top-1."),
            "validation loss": number(format="%.3f", help="Of the best epoch; for the same triplets."),
            "epochs": number(format="%d"),
            "triplets": number(format="localized"),
        },
        alt=f"{len(rows)} runs with their state, accuracy and training",
    )  # fmt: skip


def chooser(there: Mapping[str, Told]) -> list[Told]:
    """One run to be shown in full, or several to be compared."""
    names = list(there)
    if state.CHOSEN_RUNS in st.session_state:
        kept = [name for name in st.session_state[state.CHOSEN_RUNS] if name in there]
        st.session_state[state.CHOSEN_RUNS] = kept
    chosen = st.multiselect(
        "Runs to look at",
        names,
        default=names[:1],
        max_selections=charts.MOST_RUNS,
        key=state.CHOSEN_RUNS,
        bind="query-params",
        persist_state="session",
        help="One is shown in full; several are compared: curves, settings, results.",
    )
    return [there[name] for name in chosen]


# One in full ---------------------------------------------------------------------------------------------------------


def in_full(told: Told) -> None:
    """Its curves, results, settings and record; and what can be done with it."""
    st.subheader(plain(told.name), anchor=False)
    if told.error:
        st.error(words.sentence(CezsarError(told.error)), icon=":material/error:")
    if told.config is None:
        return
    st.markdown(f"{STATES[told.state].capitalize()}. Shows {plain(told.config.domain)}.")
    actions(told)
    if told.record:
        _figures(told)
    try:
        curves = runs.curves(told)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
    else:
        if curves.blocks or curves.epochs:
            training.drawn(curves, f"full-{told.name}")
        else:
            st.caption("It has no training history, so there are no curves.")
    if told.results:
        st.markdown("**Results**")
        _results([told])
    left, right = st.columns(2, gap="large")
    with left, st.expander("Settings, and the paper's"):
        _against_paper(told)
    with right, st.expander("Record of its training"):
        st.json(told.record, expanded=2) if told.record else st.caption("Written when training ends.")


def _figures(told: Told) -> None:
    shown = {
        "Best validation loss": (("validation_loss",), "{:.3f}", training.VALIDATION),
        "Best epoch": (("best_epoch",), "{:.0f}", "Its weights are the run's."),
        "Epochs": (("epochs",), "{:.0f}", "Trained, before the end or early stopping."),
        "Triplets": (("triplets", "triplets"), "{:,.0f}", "Sub-clip, positive sentence, hard negative sentence."),
        "Training sub-clips": (("train_sub_clips",), "{:,.0f}", "Others are kept for validation, split by video."),
    }
    with st.container(horizontal=True, gap="medium"):
        for label, (path, form, help) in shown.items():
            value = told.number(*path)
            st.metric(label, "not known" if value is None else form.format(value), width="content", help=help)
        seconds = told.number("seconds")
        st.metric("Took", "not known" if seconds is None else words.duration(seconds), width="content")


def actions(told: Told) -> None:
    """Download, or resume."""
    if message := st.session_state.pop(PROBLEM, None):
        st.error(message, icon=":material/error:")
    if told.state == "trained":
        st.download_button(
            "Download the run",
            partial(runs.packed, told),
            f"{told.name}.zip",
            "application/zip",
            icon=":material/download:",
            on_click="ignore",
            help="An archive of its configuration, weights, history, record and results, which Load reads elsewhere.",
        )
    elif told.state == "interrupted" and train.resumable(told.name):
        st.button(
            "Resume training",
            type="primary",
            icon=":material/play_arrow:",
            on_click=_resume,
            args=(told.name,),
            help="Goes on from the last saved step, and ends with the same weights as without the break.",
        )
    elif told.state == "interrupted":
        st.caption("Started elsewhere: `cezsar train` with its arguments and `--resume` goes on with it.")


def _resume(name: str) -> None:
    try:
        train.resume(name)
    except CezsarError as error:
        st.session_state[PROBLEM] = words.sentence(error)


def _against_paper(told: Told) -> None:
    paper = runs.paper()
    rows = [
        {"setting": name, "this run": value, "paper": paper.get(name, "not given")}
        for name, value in runs.settings(told).items()
        if name != "triplets (fingerprint)"
    ]
    rows.sort(key=lambda row: row["paper"] in ("not given", row["this run"]))
    apart = sum(row["paper"] not in ("not given", row["this run"]) for row in rows)
    st.caption(f"The first {apart} differ from the paper's." if apart else "All that the paper gives are the paper's.")
    st.dataframe(rows, hide_index=True, alt=f"{len(rows)} settings of this run and the paper's values")


# Several side by side ------------------------------------------------------------------------------------------------


def compared(chosen: Sequence[Told]) -> None:
    """Curves together, settings that differ, results side by side."""
    fine = [told for told in chosen if told.config is not None]
    for told in chosen:
        if told.config is None:
            st.error(f"{plain(told.name)}: {words.sentence(CezsarError(told.error))}", icon=":material/error:")
    curves = {}
    for told in fine:
        try:
            curves[told.name] = runs.curves(told)
        except CezsarError as error:
            st.error(words.sentence(error), icon=":material/error:")
    st.markdown("**Loss**", help=f"{training.LOSS} {training.VALIDATION}")
    st.plotly_chart(
        charts.loss_figure(curves), key="compared", config=PLOT, alt=f"Triplet loss over epochs of {', '.join(curves)}"
    )
    st.caption("Solid: validation. Dashed: training. " + _comparable(fine))
    st.markdown("**Settings in which they differ**")
    differing = runs.differing(fine)
    if differing:
        rows = [
            {"setting": name, **dict(zip([told.name for told in fine], values, strict=True))}
            for name, values in differing.items()
        ]
        st.dataframe(rows, hide_index=True, alt=f"{len(rows)} settings in which the runs differ")
    else:
        st.caption("None: they have the same settings and triplets.")
    st.markdown("**Results side by side**")
    if any(told.results for told in fine):
        _results(fine)
    else:
        st.caption("None of them has been evaluated yet; the page Evaluate does it.")


def _comparable(chosen: Sequence[Told]) -> str:
    configs = [told.config for told in chosen if told.config is not None]
    if len({config.triplets for config in configs}) > 1:
        return "The runs have different triplets, so their losses cannot be compared with each other; results can."
    same = {(config.training.margin, config.training.validation, config.training.seed) for config in configs}
    if len(same) > 1:
        return "Margin, seed or validation share differ, so losses are not measured alike; results are."
    return "All on the same triplets."


METRICS = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class"}


def _results(chosen: Sequence[Told]) -> None:
    """A row for each data set, protocol and modality; of several runs one metric, of one run all."""
    sides = runs.side_by_side(chosen)
    if len(chosen) == 1:
        rows = [
            {
                **_of(key),
                **{label: _percent(result, metric) for metric, label in METRICS.items()},
                "chance": _chance(result),
            }
            for key, (result,) in sides.items()
        ]
    else:
        metric = st.segmented_control(
            "Accuracy", list(METRICS), default="top1", required=True, format_func=METRICS.__getitem__, key=state.METRIC,
            bind="query-params",
            help="top-k: the true class is among the k best. Mean per class: each class counts alike.",
        )  # fmt: skip
        rows = [
            {
                **_of(key),
                **{told.name: _percent(result, metric) for told, result in zip(chosen, each, strict=True)},
                "chance": next(_chance(result) for result in each if result),
            }
            for key, each in sides.items()
        ]
    st.dataframe(rows, hide_index=True, alt=f"{len(rows)} results")
    st.caption("Percent; ± is the sample standard deviation over the random splits of a protocol that has several.")


def _of(key: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("data set", "protocol", "modality"), key, strict=True))


def _percent(result: Result | None, metric: str) -> str:
    return result.figure(metric).percent() if result is not None else ""


def _chance(result: Result | None) -> str:
    return f"{100 * result.chance():.1f}" if result is not None else ""


# Runs that people bring ----------------------------------------------------------------------------------------------


def bring(there: Mapping[str, Told]) -> None:
    """An upload, checked and put among the runs."""
    st.markdown(
        "A run archive (`.zip`, from **Download the run**), or bare weights (`.safetensors`). Runs in the "
        "workspace's folder `runs` need no loading: they are in the list already."
    )
    if name := st.session_state.pop(LOADED, None):
        st.success(f"{plain(name)} is among the runs now.", icon=":material/check_circle:")
        st.button("Look at it", icon=":material/show_chart:", on_click=training.look_at, args=([name],))
    given = st.file_uploader(
        "Run archive or weights",
        key=f"run-upload-{st.session_state.get(UPLOADS, 0)}",
        help="Tables in it are read as JSON, weights as safetensors, and all is checked. Pickles (.pt, .pth, .pkl, "
        ".ckpt, .bin) are refused: opening one can run any program that is in it.",
    )
    if given is None:
        return
    if runs.refused(given.name):
        _load(given.name, b"", None, "", "")
        return
    bare, like, domain = given.name.lower().endswith(".safetensors"), None, ""
    if bare:
        left, right = st.columns(2, gap="large")
        configured = [told.name for told in there.values() if told.config is not None]
        with left:
            choice = st.selectbox(
                "With the configuration of", configured, key="like",
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
        st.error(words.sentence(error), icon=":material/error:")
    else:
        st.session_state[LOADED] = loaded
        st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1  # an empty field for the next one
        st.rerun()
