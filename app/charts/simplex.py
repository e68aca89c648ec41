"""Accuracy over the (α, β, γ) simplex: a triangle with VE, O and C at its corners."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from app.charts.confusion import FONT
from app.charts.style import GAIN, GREY, heat, layout, own_colours, percent
from app.charts.tune import ORANGE
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.weights import SimplexMap

COLUMNS = 400  # of the picture: α is known everywhere on a line
STEEP = float(np.sqrt(3) / 2)  # height of a triangle of sides 1


def simplex_figure(found: SimplexMap, marks: Mapping[str, tuple[Weights, float]], *, dark: bool) -> go.Figure:
    """A row of colours for each line of constant γ, points to click, and weights that are marked.

    A click selects a point whose customdata is [α, β, γ].

    Args:
        marks: "best", "the run's own", "reference" or "present" -> weights and accuracy, a fraction; those that lie on
            each other are all seen if they come in this order.
    """
    x, z_GX = _picture(found)
    figure = go.Figure()
    figure.add_heatmap(
        x=x,
        y=found.gammas,
        z=(100 * z_GX).astype(np.float32),
        colorscale=heat(dark),
        hoverinfo="skip",
        colorbar={
            "title": {"text": "top-1 in %", "side": "top", "font": {"size": 12}}, "x": 0.84, "xanchor": "left",
            "y": 0.97, "yanchor": "top", "len": 0.42, "thickness": 10, "outlinewidth": 0, "nticks": 4,
        },
    )  # fmt: skip
    _points(figure, found)
    for name, (weights, accuracy) in marks.items():
        _mark(figure, name, weights, accuracy, dark)
    present = marks["present"][0]
    _, gamma = place(present)
    edge = "white" if dark else "black"
    figure.add_shape(
        type="line", x0=gamma / 2, x1=1 - gamma / 2, y0=gamma, y1=gamma, line={"color": edge, "width": 1, "dash": "dot"}
    )
    layout(figure, 390, "", "", dragmode=False, clickmode="event+select")
    own_colours(figure, dark)
    figure.update_layout(
        font=FONT, legend={"entrywidth": 0.5, "entrywidthmode": "fraction", "y": 1.0, "font": {"size": 12}}
    )
    figure.update_xaxes(
        range=[-0.04, 1.04], fixedrange=True, showgrid=False, zeroline=False, showticklabels=False, ticks="",
        showline=False, constrain="domain",
    )  # fmt: skip
    figure.update_yaxes(
        range=[-0.13, 1.12], fixedrange=True, showgrid=False, zeroline=False, ticks="", showline=False,
        tickvals=[0, 0.25, 0.5, 0.75, 1], ticktext=["γ = 0", "0.25", "0.5", "0.75", "γ = 1"],
        scaleanchor="x", scaleratio=STEEP, constrain="domain",
    )  # fmt: skip
    corners = (
        ("O alone, β = 1", 0, -0.05, "left"),
        ("VE alone, α = 1", 1, -0.05, "right"),
        ("C alone", 0.5, 1.12, "center"),
    )
    for text, x_of, y_of, anchor in corners:
        figure.add_annotation(x=x_of, y=y_of, text=text, showarrow=False, xanchor=anchor, yanchor="top")
    return figure


def place(weights: Weights) -> tuple[float, float]:
    """Where weights of any sum stand: O is at (0, 0), VE at (1, 0), C at (0.5, 1)."""
    total = weights.alpha + weights.beta + weights.gamma
    return (weights.alpha + weights.gamma / 2) / total, weights.gamma / total


def _picture(found: SimplexMap) -> tuple[np.ndarray, np.ndarray]:
    """(X,) places from left to right and (G, X) accuracies there, NaN outside of the triangle."""
    x = np.linspace(0, 1, COLUMNS + 1)
    z_GX = np.full((len(found.gammas), len(x)), np.nan)
    for row, (gamma, curve) in enumerate(zip(found.gammas[:-1].tolist(), found.curves, strict=True)):
        alpha = (x - gamma / 2) / (1 - gamma)
        inside = (alpha >= 0) & (alpha <= 1)
        z_GX[row, inside] = curve.at(alpha[inside])
    z_GX[-1, np.abs(x - 0.5) <= found.gammas[1] / 4] = found.corner
    return x, z_GX


def _points(figure: go.Figure, found: SimplexMap) -> None:
    """Points that are not seen, to be clicked: a heatmap has no selection."""
    unseen = {"marker": {"opacity": 0}}
    weights_K3, accuracy_K = found.grid()
    rounded_K3 = np.round(weights_K3, 6)
    figure.add_scatter(
        x=weights_K3[:, 0] + weights_K3[:, 2] / 2,
        y=weights_K3[:, 2],
        mode="markers",
        marker={"size": 18, "opacity": 0},
        selected=unseen,
        unselected=unseen,
        customdata=rounded_K3.tolist(),
        hovertext=[
            f"α = {alpha:.2f}, β = {beta:.2f}, γ = {gamma:.2f}: {percent(accuracy)}"
            for (alpha, beta, gamma), accuracy in zip(rounded_K3.tolist(), accuracy_K.tolist(), strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def _mark(figure: go.Figure, name: str, weights: Weights, accuracy: float, dark: bool) -> None:
    edge = "white" if dark else "black"
    looks = {
        "best": {"symbol": "star", "size": 17, "color": GAIN, "line": {"width": 1, "color": "white"}},
        "the run's own": {"symbol": "circle-open", "size": 20, "color": edge, "line": {"width": 3, "color": edge}},
        "reference": {"symbol": "diamond", "size": 12, "color": GREY, "line": {"width": 2, "color": "white"}},
        "present": {"symbol": "circle", "size": 14, "color": ORANGE, "line": {"width": 2, "color": "white"}},
    }
    whole = {"marker": {"opacity": 1}}
    x, y = place(weights)
    total = weights.alpha + weights.beta + weights.gamma
    alpha, beta, gamma = (value / total for value in (weights.alpha, weights.beta, weights.gamma))
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        name=name,
        marker=looks[name],
        selected=whole,
        unselected=whole,
        customdata=[[alpha, beta, gamma]],
        hovertemplate=f"{name}: α = {alpha:.2f}, β = {beta:.2f}, γ = {gamma:.2f}, {percent(accuracy)}<extra></extra>",
    )
