"""Errors of classes, by whose fault they are."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.style import COLOURS, layout, percent, short, shown

ROW_PX = 25
STRIPES = "rgba(255,255,255,0.7)"
LONGEST = 34  # characters of a class's name
SIDES = {"text": ("fault of the text", COLOURS[1], ""), "video": ("fault of the video", COLOURS[0], "/")}
"""Side -> its name, its colour, and its pattern, so that colour is not the only difference."""


def faults_figure(names: Sequence[str], text: Sequence[float], video: Sequence[float], chosen: str) -> go.Figure:
    """Stacked bars, the first class on top; the n-th point of either trace is the n-th class.

    Args:
        text, video: shares of a class's clips, 0 to 1.
        chosen: the class whose name is bold.
    """
    figure = go.Figure()
    rows = list(range(len(names)))
    for side, shares in (("text", text), ("video", video)):
        title, colour, pattern = SIDES[side]
        figure.add_bar(
            x=[100 * share for share in shares],
            y=rows,
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "pattern": {"shape": pattern, "size": 6, "solidity": 0.2, "fillmode": "overlay", "fgcolor": STRIPES},
            },
            hovertext=[
                f"{shown(name)}<br>{title}: {percent(share)}" for name, share in zip(names, shares, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            unselected={"marker": {"opacity": 1}},
        )
    ticks = [f"<b>{short(name, LONGEST)}</b>" if name == chosen else short(name, LONGEST) for name in names]
    layout(figure, ROW_PX * len(names) + 96, "missed clips (%)", barmode="stack", bargap=0.3)
    figure.update_xaxes(range=[0, 103], fixedrange=True)
    figure.update_yaxes(
        tickmode="array", tickvals=rows, ticktext=ticks, range=[len(names) - 0.5, -0.5], fixedrange=True, showgrid=False
    )
    figure.update_layout(dragmode="pan", legend={"traceorder": "normal"}, margin={"t": 36})
    return figure
