"""Accuracy over random splits, class by class, and a split's confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from app.charts.style import CLEAR, COLOURS, GREY, MARKS, heat, layout, own_colours, percent, short, shown

ROW_PX = 64
BAR_PX = 25
CELL_PX, MOST_CELLS, MOST_TEXT = 30, 60, 21  # of a confusion matrix: size, classes at most, classes with counts in them

CLICK = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""`config` of a figure whose points are clicked."""


@dataclass(frozen=True)
class Strip:
    """One row's fractions, such as its accuracies.

    Attributes:
        shares: one for each split.
        figure: mean and deviation as the table has them, such as "87.1 ± 4.2".
        control: drawn in grey.
    """

    title: str
    shares: Sequence[float]
    figure: str
    control: bool = False


def splits_figure(strips: Sequence[Strip], chance: float, row: int, split: int) -> go.Figure:
    """A point for each split of each row, with the quartiles behind them; `customdata` is (row, split from 0).

    Args:
        chance: fraction that guessing gets right.
        row, split: the chosen one, which is ringed.
    """
    figure = go.Figure()
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, max(len(strip.shares) for strip in strips))
    for index, strip in enumerate(strips):
        values = 100 * np.asarray(strip.shares)
        here = jitter[: len(values)] - index
        add_strip(figure, index, strip, here)
        if index == row:
            figure.add_scatter(
                x=[values[split]], y=[here[split]], mode="markers", hoverinfo="skip",
                marker={"symbol": "circle-open", "size": 17, "color": "#E69F00", "line": {"width": 3}},
            )  # fmt: skip
        figure.add_shape(
            type="line", x0=100 * chance, x1=100 * chance, y0=-index - 0.3, y1=-index + 0.24, layer="below",
            line={"dash": "dot", "color": GREY, "width": 1.5},
        )  # fmt: skip
        add_head(figure, index, strip.title, f"{strip.figure} %")
    layout(figure, ROW_PX * len(strips) + 62, "top-1 accuracy of a split (%); dotted: chance")
    figure.update_layout(showlegend=False, dragmode=False, hovermode="closest")
    lowest = 100 * min(chance, *(min(strip.shares) for strip in strips))
    highest = 100 * max(max(strip.shares) for strip in strips)
    figure.update_xaxes(range=[max(-2, lowest - 4), min(102, highest + 4)], fixedrange=True, zeroline=False)
    figure.update_yaxes(visible=False, fixedrange=True, range=[-len(strips) + 0.62, 0.62])
    return figure


def add_strip(figure: go.Figure, index: int, strip: Strip, here: npt.NDArray[np.float64]) -> None:
    """A row's points at the heights `here`, with their quartiles behind them."""
    values = 100 * np.asarray(strip.shares)
    colour = GREY if strip.control else COLOURS[index % len(COLOURS)]
    figure.add_box(
        x=values, y=np.full(len(values), float(-index)), orientation="h", boxpoints=False, width=0.5,
        line={"color": colour, "width": 1.25}, fillcolor=CLEAR, opacity=0.6, whiskerwidth=0.4, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=values,
        y=here,
        mode="markers",
        marker={"color": colour, "symbol": MARKS[index % len(MARKS)], "size": 8, "opacity": 0.75},
        customdata=[[index, number] for number in range(len(values))],
        hovertext=[
            f"{shown(strip.title)}<br>split {number + 1}: {percent(value / 100)}" for number, value in enumerate(values)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        unselected={"marker": {"opacity": 0.75}},
    )


def add_head(figure: go.Figure, index: int, left: str, right: str, bold: bool = False) -> None:
    """What stands above a row: its name, and its figure."""
    for x, anchor, text in ((0, "left", short(left)), (1, "right", right)):
        figure.add_annotation(
            x=x, xref="paper", xanchor=anchor, y=-index + 0.43, yref="y", text=f"<b>{text}</b>" if bold else text,
            showarrow=False, font={"size": 14},
        )  # fmt: skip


def classes_figure(accuracies: Sequence[tuple[str, float, int, int]], mean: float) -> go.Figure:
    """A bar for each class in the order given.

    Args:
        accuracies: (name, fraction right, clips right, clips).
        mean: over these classes.
    """
    names = [short(name, 34) for name, *_ in accuracies]
    values = [100 * value for _, value, *_ in accuracies]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=list(range(len(names))),
            orientation="h",
            marker={"color": COLOURS[0], "line": {"width": 0}},
            text=[f"{value:.0f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertext=[
                f"{shown(name)}: {hits:,} of {clips:,} clips, {percent(value)}"
                for name, value, hits, clips in accuracies
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    figure.add_vline(x=100 * mean, line={"dash": "dot", "color": GREY, "width": 1.5}, layer="below")
    layout(figure, (BAR_PX if len(names) <= MOST_TEXT else 17) * len(names) + 62, "right (%)")
    figure.update_xaxes(range=[0, 112], fixedrange=True, tickvals=[0, 25, 50, 75, 100], zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, autorange="reversed", fixedrange=True, showgrid=False
    )
    return figure


def confusion_figure(counts_KK: npt.NDArray[np.int64], names: Sequence[str], dark: bool) -> go.Figure:
    """Rows are true classes, columns predicted ones by number; colour by share, counts in the cells of small ones."""
    sums_K = counts_KK.sum(axis=1, keepdims=True)
    shares_KK = np.divide(100.0 * counts_KK, sums_K, out=np.zeros(counts_KK.shape), where=sums_K > 0)
    labels = [f"{short(name, 24)}  {number}" for number, name in enumerate(names, start=1)]
    small = len(names) <= MOST_TEXT
    texts = np.where(counts_KK > 0, counts_KK.astype(str), "") if small else None
    hover = [
        [
            f"{shown(true)}<br>taken for {shown(taken)}: {counts_KK[i, j]:,} of {sums_K[i, 0]:,} clips"
            for j, taken in enumerate(names)
        ]
        for i, true in enumerate(names)
    ]
    at = list(range(len(names)))
    figure = go.Figure(
        go.Heatmap(
            z=shares_KK.astype(np.float32),
            x=at,
            y=at,
            zmin=0,
            zmax=100,
            colorscale=heat(dark),
            text=texts,
            texttemplate="%{text}" if small else None,
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": "share of the true class (%)", "side": "top", "font": {"size": 12}},
                "orientation": "h",
                "thickness": 8,
                "len": 0.7,
                "y": 1.0,
                "yanchor": "bottom",
                "tickvals": [0, 50, 100],
            },
        )
    )
    layout(figure, (CELL_PX if small else 17) * len(names) + 120, "taken for class number")
    numbered = at if small else at[4::5]
    fixed = {"fixedrange": True, "showgrid": False, "zeroline": False}
    figure.update_xaxes(tickvals=numbered, ticktext=[number + 1 for number in numbered], **fixed)
    figure.update_yaxes(tickvals=at, ticktext=labels, autorange="reversed", **fixed)
    own_colours(figure, dark)
    figure.update_layout(font={"size": 12 if small else 10}, margin={"t": 4})
    return figure
