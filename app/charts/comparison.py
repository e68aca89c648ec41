"""Differences with their intervals, and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.charts.evaluate import add_head
from app.charts.style import COLOURS, GAIN, GREY, LOSS, layout, points, short, shown
from cezsar.analysis.comparison import ClassDifference, Interval

ROW_PX, BAR_PX = 54, 25
MOST_CLASSES = 16


@dataclass(frozen=True)
class Whisker:
    """One difference.

    Attributes:
        difference: fraction, above 0 where `title` is better.
        chosen: looked at below.
        control: drawn in grey.
    """

    title: str
    difference: float
    interval: Interval
    chosen: bool = False
    control: bool = False


def forest_figure(whiskers: Sequence[Whisker], against: str) -> go.Figure:
    """Each difference as a point with its interval, and a line at no difference."""
    figure = go.Figure()
    for index, one in enumerate(whiskers):
        low, middle, high = (100 * value for value in (one.interval.low, one.difference, one.interval.high))
        figure.add_scatter(
            x=[middle],
            y=[-index],
            mode="markers",
            marker={"color": GREY if one.control else COLOURS[0], "size": 12 if one.chosen else 9, "symbol": "square"},
            error_x={
                "type": "data", "symmetric": False, "array": [max(high - middle, 0)],
                "arrayminus": [max(middle - low, 0)], "thickness": 3 if one.chosen else 2, "width": 6,
                "color": GREY if one.control else COLOURS[0],
            },
            hovertext=[f"{shown(one.title)} less {shown(against)}: {_told(one)}"],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
        figure.add_shape(
            type="line", x0=0, x1=0, y0=-index - 0.3, y1=-index + 0.2, layer="below",
            line={"color": GREY, "width": 1.5, "dash": "dot"},
        )  # fmt: skip
        add_head(figure, index, one.title, _told(one), bold=one.chosen)
    ends = [100 * end for one in whiskers for end in (one.interval.low, one.interval.high)]
    lowest, highest = min(0.0, *ends), max(0.0, *ends)
    room = max(0.06 * (highest - lowest), 0.5)
    layout(figure, ROW_PX * len(whiskers) + 62, f"points of top-1 above or below {short(against, 30)}")
    figure.update_layout(showlegend=False, dragmode=False, hovermode="closest")
    figure.update_xaxes(range=[lowest - room, highest + room], fixedrange=True, zeroline=False)
    figure.update_yaxes(visible=False, fixedrange=True, range=[-len(whiskers) + 0.5, 0.75])
    return figure


def signed(fraction: float) -> str:
    """`points`; no sign where it is 0.0."""
    return points(fraction) if round(100 * fraction, 1) else "0.0"


def _told(one: Whisker) -> str:
    return f"{signed(one.difference)} [{signed(one.interval.low)}, {signed(one.interval.high)}]"


def largest(classes: Sequence[ClassDifference]) -> list[ClassDifference]:
    """Those with the largest differences either way, highest first; classes without any are left out."""
    apart = sorted((one for one in classes if one.difference), key=lambda one: (-abs(one.difference), one.name))
    kept = {one.name for one in apart[:MOST_CLASSES]}
    return [one for one in classes if one.name in kept]


def classes_figure(classes: Sequence[ClassDifference]) -> go.Figure:
    """A bar for each class, to the right where a is better and to the left where b is."""
    values = [100 * one.difference for one in classes]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=list(range(len(classes))),
            orientation="h",
            marker={"color": [GAIN if value > 0 else LOSS for value in values], "line": {"width": 0}},
            text=[signed(one.difference) for one in classes],
            textposition="outside",
            cliponaxis=False,
            hovertext=[
                f"{shown(one.name)}: {100 * one.a:.1f} % against {100 * one.b:.1f} %, {one.clips:,} clips, "
                f"splits: {one.runs:,}"
                for one in classes
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    layout(figure, BAR_PX * len(classes) + 70, "difference (points)")
    lowest, highest = min(0.0, *values), max(0.0, *values)
    room = 0.28 * (highest - lowest)
    figure.update_xaxes(range=[lowest - room * (lowest < 0), highest + room * (highest > 0)], fixedrange=True)
    figure.update_xaxes(zeroline=True)
    figure.update_yaxes(
        tickvals=list(range(len(classes))), ticktext=[short(one.name, 30) for one in classes], autorange="reversed",
        fixedrange=True, showgrid=False,
    )  # fmt: skip
    return figure
