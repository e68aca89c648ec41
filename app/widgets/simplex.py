"""Three weights on the page Tune: the map over (α, β, γ), the curve along a line of it, and what choosing is worth."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.services import tune as services
from app.widgets import tune as widgets
from cezsar.report import figures
from cezsar.report.figures import CLICKED, percent
from cezsar.zeroshot.embeddings import MODALITIES
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.weights import Outcome, SimplexMap


def wanted_map(item: Scored, classes: tuple[str, ...]) -> SimplexMap | None:
    """The map, at once where it is quick, else if it is asked for."""
    if not services.is_quick_map(item) and not st.toggle(
        "Map of all weights",
        key=state.WITH_MAP,
        bind="query-params",
        help="Accuracy along 20 lines of constant γ. On this many clips it takes a while, once.",
    ):
        return None
    return services.simplex(item, classes)


def best_of(found: SimplexMap) -> tuple[Weights, str]:
    """The peak of the map, with the roundest α that does as well, and a word on it."""
    peak = found.best()
    gamma = round(peak.weights.gamma, 6)
    alpha = widgets.inside(peak.low, peak.high)
    weights = Weights(alpha, max(0.0, round(1 - gamma - alpha, 6)), gamma)
    return weights, f"{percent(peak.accuracy)} at {widgets.said(weights, MODALITIES)}."


def simplex(item: Scored, classes: tuple[str, ...], found: SimplexMap, now: Outcome, before: Outcome) -> None:
    """The map with the best, the run's own, the reference and the present weights; a click sets the sliders."""
    peak, own = found.best(), item.weights
    at_O, at_VE = found.curves[0].on_B[[0, -1]].tolist()
    marks = {"best": (peak.weights, peak.accuracy)}
    if own.alpha + own.beta + own.gamma:
        marks["the run's own"] = (own, services.outcome(item, classes, own).top1)
    if not widgets.same(own, before.weights, MODALITIES):
        marks["reference"] = (before.weights, before.top1)
    marks["present"] = (now.weights, now.top1)
    st.markdown("**All weights**", help="Each row of colours is a line of constant γ, exact for every α on it.")
    st.plotly_chart(
        figures.simplex(found, marks, dark=st.context.theme.type == "dark"),
        theme=None,
        key="simplex",
        config=CLICKED,
        on_select=partial(clicked, "simplex"),
        selection_mode="points",
        alt=f"Top-1 accuracy over the triangle of weights: VE alone {percent(at_VE)}, O alone "
        f"{percent(at_O)}, C alone {percent(found.corner)}; highest, {percent(peak.accuracy)}, "
        f"at {widgets.said(peak.weights, MODALITIES)}; at present {percent(now.top1)}",
    )
    st.caption(
        f"Click to set the weights. Star: {percent(peak.accuracy)} at {widgets.said(peak.weights, MODALITIES)}, the "
        "best on these very clips, whose labels it has seen; see below what is left of it on other classes.",
        help=f"Exact on {len(found.curves)} lines of constant γ and not known between them, so the best of all weights "
        "may be higher still.",
    )


def clicked(key: str) -> None:
    """Callback of the map: the weights that were clicked are the present ones."""
    if points := st.session_state[key].selection.points:
        alpha, beta, gamma = (float(value) for value in points[0]["customdata"])
        widgets.set_weights(Weights(alpha, beta, gamma), MODALITIES)


def along_gamma(item: Scored, classes: tuple[str, ...], found: SimplexMap, now: Outcome, before: Outcome) -> None:
    """The exact curve along the line through the present weights on which γ stays as it is."""
    gamma = services.captions_share(now.weights)
    if not services.is_quick_map(item):
        gamma = float(found.gammas[np.abs(found.gammas - gamma).argmin()])
    st.markdown(
        f"**Along γ = {gamma:.2f} of a sum of 1**",
        help="The dotted line on the map: α and β share what γ leaves. Only the ratios of weights matter, so they are "
        "brought to a sum of 1 here.",
    )
    if gamma >= 1:
        st.caption("Captions alone count, so there is no α to move. Lower γ, and the line through it is drawn here.")
        return
    widgets.alpha_chart(item, services.line(item, classes, gamma), ("VE", "O"), now, before, gamma)


def honest_choice(item: Scored) -> None:
    """α, β and γ chosen on half of the classes and reported on the other half."""
    widgets.honest_words("α, β and γ")
    if not services.is_quick_map(item) and not st.button(
        f"Compute for {services.HONEST_MAPS} random halves", help="On this many clips it takes a while."
    ):
        return
    found = services.honest_weights(item)
    means = np.mean([[each.alpha, each.beta, each.gamma] for each in found.weights], axis=0)
    title = f"Chosen on the other half, {widgets.said(Weights(*means.tolist()), MODALITIES)} on average"
    rows = {title: found.accuracies} | found.fixed | {widgets.TOO_GOOD: found.best}
    widgets.honest_table("weights", rows, found.accuracies)
    st.caption(
        f"{len(found.weights)} random halves (seed 0), the same for every row; weights are chosen on "
        f"{services.HONEST_STEPS} lines of constant γ. {widgets.HALVES_ARE_EASIER}"
    )
