"""Known against unknown clips: the OSCR curve, and what a rate that was asked for gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from cezsar.report.figures import COLOURS, GREY, Strip, layout, shown, splits

DoubleArray = npt.NDArray[np.float64]

DASHES = ("solid", "dash", "dot", "dashdot")
CURVES_PX = 340


def oscr_figure(curves: Sequence[tuple[str, DoubleArray, DoubleArray]], accuracy: float, asked: float) -> go.Figure:
    """Known clips accepted and right against unknown clips accepted.

    Args:
        curves: (title, shares of unknown clips, shares of known ones).
        accuracy: where all curves end.
        asked: share of unknown clips that was asked for.
    """
    figure = go.Figure()
    for index, (title, false_S, right_S) in enumerate(curves):
        figure.add_scatter(
            x=100 * false_S, y=100 * right_S, mode="lines", name=shown(title),
            line={"color": COLOURS[index], "dash": DASHES[index % len(DASHES)], "width": 2.5, "shape": "hv"},
            hovertemplate=f"{shown(title)}: %{{x:.1f}} % of unknown clips let in, %{{y:.1f}} % of known ones right"
            "<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=100 * asked, line={"color": GREY, "width": 1.5, "dash": "dot"}, layer="below")
    layout(figure, CURVES_PX, "unknown clips let in (%)", "known clips let in and right (%)")
    figure.update_xaxes(range=[-1, 103], tickvals=list(range(0, 101, 20)), fixedrange=True, zeroline=False)
    figure.update_yaxes(range=[0, min(105.0, 100 * accuracy + 8)], fixedrange=True, zeroline=False)
    figure.update_layout(hovermode="closest", margin={"t": 48})
    return figure


def got_figure(rows: Sequence[Strip], asked: float) -> go.Figure:
    """The share of unknown clips that got in, a point for each split; dotted: the share that was asked for."""
    return splits(rows, asked, "unknown clips let in, of a split (%); dotted: asked for")
