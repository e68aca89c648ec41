"""Tune: what the fusion weights and the bound on hard negatives do."""

from __future__ import annotations

import streamlit as st

from app import state
from app.charts import tune as charts
from app.services import scored, tau
from app.services import tune as services
from app.widgets import choosers, preparation, simplex, words
from app.widgets import tau as tau_widgets
from app.widgets import tune as widgets
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.weights import SimplexMap, flips, gains

PARTS = {state.TUNE_WEIGHTS: "Fusion weights", state.TUNE_TAU: "Hard negatives (τ)"}


def page() -> None:
    st.title("Tune", anchor=False)
    part = st.segmented_control(
        "What is tuned",
        list(PARTS),
        default=state.TUNE_WEIGHTS,
        required=True,
        format_func=PARTS.__getitem__,
        key=state.TUNED,
        bind="query-params",
        label_visibility="collapsed",
    )
    try:
        if part == state.TUNE_TAU:
            negatives()
        else:
            fusion_weights()
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


# Fusion weights ------------------------------------------------------------------------------------------------------


def fusion_weights() -> None:
    st.markdown(
        "A clip is embedded by what it looks like (VE) and by sentences about it: its recognised objects (O), captions "
        "(C). Move their weights, and every figure follows."
    )
    choosing, splitting = st.columns(2, gap="large")
    with choosing:
        item = choosers.scored_set()
    if item is None:
        return
    with splitting:
        classes = widgets.told_apart(scored.scores(item).class_names)
    if classes is None:
        return
    weigh(item, classes)
    modalities = scored.scores(item).modalities
    if len(modalities) == 3:
        simplex.honest_choice(item)
    elif len(modalities) == 2:
        widgets.honest_choice(item, (modalities[0], modalities[1]))


@st.fragment
def weigh(item: Scored, classes: tuple[str, ...]) -> None:
    """What depends on the weights; a move of a slider runs this and nothing else."""
    try:
        modalities = scored.scores(item).modalities
        several = len(modalities) > 1
        pair = (modalities[0], modalities[1]) if len(modalities) == 2 else None
        curve = services.curve(item, classes, pair) if pair else None
        over: SimplexMap | None = None
        setting, seeing = st.columns([2, 3], gap="large")
        with setting:
            present = widgets.weight_sliders(item, modalities)
            if len(modalities) == 3:
                over = simplex.wanted_map(item, classes)
            if several:
                best = widgets.best_of(curve, pair) if pair and curve else simplex.best_of(over) if over else None
                widgets.presets(item, modalities, best)
            basis, name = widgets.reference(item, present, modalities)
        now, before = (services.outcome(item, classes, weights) for weights in (present, basis))
        turned = flips(before, now)
        with seeing:
            widgets.figures(now, before, turned)
            if several:
                st.caption(f"Compared with {name}.")
            if pair and curve:
                widgets.alpha_chart(item, curve, pair, now, before)
            if over:
                mapped, drawn = st.columns(2, gap="medium")
                with mapped:
                    simplex.simplex(item, classes, over, now, before)
                with drawn:
                    simplex.along_gamma(item, classes, over, now, before)
        if not several:
            return
        if not any(len(rows) for rows in turned):
            st.info("Both weights give every clip the same answer.", icon=":material/info:")
            return
        left, right = st.columns([2, 3], gap="large")
        with left:
            st.subheader("Classes that gain and lose", anchor=False)
            if found := gains(before, now):
                st.plotly_chart(
                    charts.gains_figure(found, now.n_clips),
                    key="gains",
                    config=PLOT,
                    alt="Clips gained and lost: "
                    + "; ".join(f"{gain.name} {gain.net:+d}" for gain in found[: charts.MOST_CLASSES] if gain.net),
                )
            else:
                st.caption("No clip becomes right or wrong.")
        with right:
            st.subheader("Clips that flip", anchor=False)
            ids = scored.scores(item).ids
            row = widgets.flips_table(item, ids, now, before, turned)
        if row is not None:
            widgets.flipped_clip(item, ids[row], row, now, before, classes)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


# Hard negatives ------------------------------------------------------------------------------------------------------


def negatives() -> None:
    st.markdown(
        "Training pushes a clip away from sentences that are close to its own but not the same: its hard negatives, of "
        "a cosine distance above 0 and below τ. A larger τ makes them easier to find, and easier.",
        help="Section 3.4 of the paper: 0 < cosine distance of the sentence vectors < τ, from another video, n = 10 "
        "for each positive. The paper's τ is 0.8; with VE + O on UCF-101 it reports 47.8 % at 0.7, 50.9 % at 0.8 and "
        "48.3 % at 0.9. At 0.6 and below it found too few.",
    )
    found = tau_widgets.choose_sentences()
    if found is not None:
        laboratory(found)
        tau_widgets.duplicates(found)
    st.subheader("One run for each τ", anchor=False)
    sweep()


@st.fragment
def laboratory(found: tau.Sentences) -> None:
    """What depends on τ."""
    try:
        first, second, third = st.columns([3, 3, 1], gap="large")
        bound = first.slider(
            "τ", 0.01, 2.0, 0.8, 0.01, key=state.TAU, bind="query-params",
            help="Upper bound on the cosine distance of a hard negative, in (0, 2].",
        )  # fmt: skip
        before = second.slider(
            "compared with τ =", 0.01, 2.0, 0.7, 0.01, key=state.TAU_BEFORE, bind="query-params",
            help="For the sentences that enter or leave between the two.",
        )  # fmt: skip
        wanted = third.number_input(
            "Wanted", 1, 1_000, 10, key=state.NEGATIVES, bind="query-params",
            help="n: hard negatives for each positive; the paper's is 10.",
        )  # fmt: skip
        tau_widgets.tau_figures(found, bound, int(wanted))
        tau_widgets.example(found, bound, before)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


def sweep() -> None:
    """Runs trained with different τ, and what they reach."""
    lost = tau.lacking()
    charting, starting = st.columns([3, 2], gap="large")
    with starting:
        if lost:
            st.info(
                "Runs are trained on the demo's videos, which are not in this workspace yet; it is prepared below.",
                icon=":material/info:",
            )
        else:
            tau_widgets.sweep_form()
        tau_widgets.sweep_jobs()
    with charting:
        chosen = tau_widgets.choose_sweep()
        tau_widgets.sweep_chart(chosen)
    if chosen:
        tau_widgets.sweep_table(chosen)
    if lost:
        preparation.prepare_demo()


page()
