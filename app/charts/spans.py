"""A film's time line: a bar from the start to the end of each span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from app.charts.style import CLEAR, COLOURS, GLYPHS, GREY, shown

if TYPE_CHECKING:
    from cezsar.zeroshot.spans import Span

LANE_PX, AXIS_PX = 40, 30
NOTHING = "rgba(154, 154, 154, 0.25)"
LIGHT_TEXT, DARK_TEXT = "#FFFFFF", "#1F2328"
PALE = {"#E69F00", "#56B4E9", "#CC79A7", GREY, NOTHING}  # colours that white letters cannot be read on
CLICKED = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}


def marks(spans: Sequence[Span], ranked: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Label -> colour and glyph, the longest seen first: as in the ranking for labels shown there; grey past eight."""
    lasts: dict[str, float] = {}
    for span in spans:
        if span.label is not None:
            lasts[span.label] = lasts.get(span.label, 0.0) + span.end_s - span.start_s
    given = dict(zip(ranked, range(len(COLOURS)), strict=False))
    free = iter([index for index in range(len(COLOURS)) if index not in given.values()])
    places = {}
    for label in sorted(lasts, key=lambda label: -lasts[label]):
        places[label] = given[label] if label in given else next(free, None)
    return {label: (GREY, "○") if at is None else (COLOURS[at], GLYPHS[at]) for label, at in places.items()}


def spans_figure(spans: Sequence[Span], looks: Mapping[str, tuple[str, str]]) -> go.Figure:
    """One lane of coloured bars, each with its label where there is room; a stretch of none of them is pale."""
    end_s = max(span.end_s for span in spans)
    figure = go.Figure()
    colours = {span.label: NOTHING if span.label is None else looks[span.label][0] for span in spans}
    for text, seen in (
        (LIGHT_TEXT, [span for span in spans if colours[span.label] not in PALE]),
        (DARK_TEXT, [span for span in spans if colours[span.label] in PALE]),
    ):
        figure.add_bar(
            x=[span.end_s - span.start_s for span in seen],
            base=[span.start_s for span in seen],
            y=[0] * len(seen),
            width=1,
            orientation="h",
            text=["" if span.label is None else f"{looks[span.label][1]} {shown(span.label)}" for span in seen],
            textposition="inside",
            insidetextanchor="start",
            textangle=0,
            insidetextfont={"size": 13, "color": text},
            marker={"color": [colours[span.label] for span in seen], "line": {"width": 0}, "cornerradius": 6},
            selected={"marker": {"opacity": 1}, "textfont": {"color": text}},
            unselected={"marker": {"opacity": 0.75}, "textfont": {"color": text}},
            customdata=[int(span.start_s) for span in seen],
            hovertext=[
                f"{shown(span.label or 'none of these')}<br>{clock(span.start_s)} to {clock(span.end_s)}"
                + ("" if span.label is None else f"<br>similarity {span.score:.2f}")
                for span in seen
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    ticks = _ticks(end_s)
    figure.update_layout(
        height=LANE_PX + AXIS_PX + 8,
        margin={"l": 14, "r": 14, "t": 4, "b": AXIS_PX},
        uniformtext={"minsize": 11, "mode": "hide"},
        barmode="overlay",
        bargap=0,
        clickmode="event+select",
        dragmode=False,
        showlegend=False,
        xaxis={
            "range": [0, end_s],
            "tickvals": ticks,
            "ticktext": [clock(tick) for tick in ticks],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"visible": False, "fixedrange": True, "range": [-0.5, 0.5]},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
    )
    return figure


def clock(time_s: float) -> str:
    """9.5 s, 1:05, 1:02:03."""
    if time_s < 60:
        return f"{time_s:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _ticks(end_s: float) -> list[int]:
    """Round times, at most nine of them."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    step = next((step for step in steps if end_s / step <= 8), 7200)
    return list(range(0, int(end_s) + 1, step))
