"""Figures of a report, drawn by Plotly: results in, figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from cezsar.analysis.calibration import Reliability
from cezsar.analysis.open_set import OpenSet
from cezsar.zeroshot.generalised import Stacking
from cezsar.zeroshot.weights import Curve, Peak, SimplexMap

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, distinguishable without red or green vision."""
GREY = "#7A7F87"
LINE = "#E3E5E8"


def _laid_out(figure: go.Figure, x: str, y: str, height: int = 340) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#1F2328"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title=x, gridcolor=LINE, zerolinecolor=LINE, automargin=True)
    figure.update_yaxes(title=y, gridcolor=LINE, zerolinecolor=LINE, automargin=True)
    return figure


def curve(found: Curve, pair: tuple[str, str], marks: Mapping[str, float]) -> go.Figure:
    """Accuracy in percent for every α, a step for each change; `marks` are named α."""
    x = np.repeat(found.alpha, 2)[1:-1]
    y = 100 * np.repeat(found.between_B, 2)
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines", line={"color": COLOURS[0]}, name="top-1", showlegend=False))
    for place, (name, alpha) in enumerate(marks.items(), start=1):
        mark = {"size": 11, "color": COLOURS[place], "symbol": ("circle", "square", "diamond", "x")[place % 4]}
        accuracy = 100 * float(found.at(alpha))
        figure.add_scatter(x=[alpha], y=[accuracy], mode="markers", marker=mark, name=f"{name}: {accuracy:.1f} %")
    return _laid_out(figure, f"α, the weight of {pair[0]}; {pair[1]} has 1 - α", "top-1 in %")


def simplex(found: SimplexMap, peak: Peak) -> go.Figure:
    """Accuracy in percent over the (α, β, γ) simplex, with the peak."""
    points_K3, accuracy_K = found.grid()
    hover = [f"α {a:.2f}, β {b:.2f}, γ {c:.2f}: {v:.1%}" for (a, b, c), v in zip(points_K3, accuracy_K, strict=True)]
    marker = {"color": 100 * accuracy_K, "colorscale": "Blues", "size": 13, "colorbar": {"title": "top-1 in %"}}
    figure = go.Figure(
        go.Scatterternary(
            a=points_K3[:, 0], b=points_K3[:, 1], c=points_K3[:, 2], mode="markers", marker=marker, text=hover,
            hoverinfo="text", showlegend=False,
        )
    )  # fmt: skip
    best = peak.weights
    figure.add_scatterternary(
        a=[best.alpha], b=[best.beta], c=[best.gamma], mode="markers", name="best",
        marker={"symbol": "star", "size": 16, "color": COLOURS[1]},
    )  # fmt: skip
    figure.update_layout(ternary={name: {"title": {"text": title}} for name, title in
                                  (("aaxis", "α: VE"), ("baxis", "β: O"), ("caxis", "γ: C"))})  # fmt: skip
    return _laid_out(figure, "", "", 460)


def bars(names: Sequence[str], values: Sequence[float], x: str, marks: Mapping[str, float] | None = None) -> go.Figure:
    """A horizontal bar for each name, the first on top; `marks` are vertical lines."""
    figure = go.Figure(go.Bar(x=list(values), y=list(names), orientation="h", marker={"color": COLOURS[0]}))
    for place, (name, value) in enumerate((marks or {}).items(), start=1):
        line = {"color": COLOURS[place], "dash": "dash"}
        figure.add_vline(x=value, line=line, annotation_text=name, annotation_y=1.06, annotation_yref="paper")
    figure.update_yaxes(autorange="reversed")
    return _laid_out(figure, x, "", 120 + 22 * len(names))


def stacked(names: Sequence[str], parts: Mapping[str, Sequence[float]], x: str) -> go.Figure:
    """Horizontal bars made of parts."""
    figure = go.Figure()
    for place, (part, values) in enumerate(parts.items()):
        figure.add_bar(x=list(values), y=list(names), orientation="h", name=part, marker={"color": COLOURS[place]})
    figure.update_layout(barmode="stack")
    figure.update_yaxes(autorange="reversed")
    return _laid_out(figure, x, "", 120 + 22 * len(names))


def intervals(rows: Sequence[tuple[str, float, float, float]], x: str) -> go.Figure:
    """A point and its interval for each row (name, value, low, high), and a line at 0."""
    names, values, lows, highs = zip(*rows, strict=True)
    centre = np.array(values)
    error = {"array": np.array(highs) - centre, "arrayminus": centre - np.array(lows), "color": COLOURS[0]}
    figure = go.Figure(
        go.Scatter(x=centre, y=names, error_x=error, mode="markers", marker={"size": 10, "color": COLOURS[0]})
    )
    figure.add_vline(x=0, line={"color": GREY})
    figure.update_yaxes(autorange="reversed")
    return _laid_out(figure, x, "", 120 + 36 * len(rows))


def oscr(found: Mapping[str, OpenSet]) -> go.Figure:
    """Correct classification rate against false accepts for each kind of knownness."""
    figure = go.Figure()
    for place, (name, one) in enumerate(found.items()):
        line = {"color": COLOURS[place]}
        figure.add_scatter(x=100 * one.false_T, y=100 * one.right_T, mode="lines", name=name, line=line)
    return _laid_out(figure, "unknown clips accepted, in %", "known clips accepted and right, in %")


def reliability(found: Mapping[str, Reliability]) -> go.Figure:
    """Confidence against accuracy, bin by bin."""
    figure = go.Figure(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": GREY, "dash": "dot"}, name="calibrated")
    )
    for place, (name, one) in enumerate(found.items()):
        filled = one.clips_B > 0
        figure.add_scatter(
            x=100 * one.confidence_B[filled],
            y=100 * one.accuracy_B[filled],
            mode="lines+markers",
            name=name,
            line={"color": COLOURS[place]},
            text=[f"{clips:,} clips" for clips in one.clips_B[filled]],
        )
    return _laid_out(figure, "confidence in %", "accuracy in %")


def stacking(found: Stacking, penalty: float) -> go.Figure:
    """Accuracy on unseen classes against that on seen ones, in percent, for every penalty."""
    seen_B, unseen_B = 100 * found.seen_between, 100 * found.unseen_between
    figure = go.Figure(
        go.Scatter(x=seen_B, y=unseen_B, mode="lines", line={"color": COLOURS[0]}, name="any penalty", showlegend=False)
    )
    for place, (name, one) in enumerate((("no penalty", found.at(0.0)), ("best", found.at(penalty))), start=1):
        mark = {"size": 12, "color": COLOURS[place], "symbol": ("circle", "square", "star")[place]}
        figure.add_scatter(x=[100 * one.seen], y=[100 * one.unseen], mode="markers", marker=mark, name=name)
    return _laid_out(figure, "seen classes, in %", "unseen classes, in %")


def strip(values: Sequence[float], named: float, name: str, x: str) -> go.Figure:
    """Values of random sets as points, and a named one among them."""
    heights: npt.NDArray[np.float64] = np.random.default_rng(0).uniform(-0.3, 0.3, len(values))
    figure = go.Figure(
        go.Scatter(x=list(values), y=heights, mode="markers", marker={"color": GREY, "size": 8}, name="random sets")
    )
    mark = {"color": COLOURS[1], "size": 15, "symbol": "diamond"}
    figure.add_scatter(x=[named], y=[0], mode="markers", marker=mark, name=name)
    figure.update_yaxes(visible=False, range=[-1, 1])
    return _laid_out(figure, x, "", 200)
