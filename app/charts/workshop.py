"""A trial of other sentences: where clips come from and go to, and how near they are to the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.style import COLOURS, GAIN, GREY, LOSS, layout, number, short, shown
from cezsar.zeroshot.workshop import Flow

MOST_ROWS = 10  # classes in the figure of flows
ROW_PX = 30
BINS = 40
PARTS = (("right", GAIN, "right now"), ("wrong", LOSS, "wrong now, right before"), ("other", GREY, "wrong either way"))


def flows_figure(drawn_from: Sequence[Flow], left_to: Sequence[Flow]) -> go.Figure:
    """Bars to the right: clips that the class takes from others; to the left: clips that others take from it.

    Green bars are clips that are right now, orange ones were right before, grey ones are wrong either way.
    """
    names = [flow.name for flow in sorted([*drawn_from, *left_to], key=lambda flow: -flow.clips)]
    names = list(dict.fromkeys(names))[:MOST_ROWS]
    figure = go.Figure()
    for part, colour, words in PARTS:
        for flows, sign, way in ((drawn_from, 1, "from"), (left_to, -1, "to")):
            clips = {flow.name: _clips(flow, part) for flow in flows}
            figure.add_bar(
                x=[sign * clips.get(name, 0) for name in names],
                y=list(range(len(names))),
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                name=words,
                legendgroup=part,
                showlegend=sign == 1,
                customdata=[clips.get(name, 0) for name in names],
                hovertemplate=f"%{{customdata}} clips {way} %{{text}}: {words}<extra></extra>",
                text=[shown(name or "undecided") for name in names],
                textposition="none",
            )
    widest = max([flow.clips for flow in (*drawn_from, *left_to)], default=1)
    layout(figure, ROW_PX * len(names) + 120, x="clips: ← to others | from others →", barmode="relative")
    ticks = _ticks(widest)
    figure.update_xaxes(
        range=[-1.08 * widest, 1.08 * widest], zeroline=True, fixedrange=True, tickvals=ticks,
        ticktext=[str(abs(tick)) for tick in ticks],
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[short(name or "undecided", 26) for name in names],
        autorange="reversed", showgrid=False, fixedrange=True,
    )  # fmt: skip
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"})
    return figure


def _clips(flow: Flow, part: str) -> int:
    return {"right": flow.right, "wrong": flow.wrong, "other": flow.clips - flow.right - flow.wrong}[part]


def _ticks(widest: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**9) if widest / step <= 4)
    return list(range(-step * (widest // step), widest + 1, step)) if step < 10**9 else [-widest, 0, widest]


def nearness_figure(cosines: Mapping[str, npt.NDArray[np.float32]], own_N: npt.NDArray[np.bool_]) -> go.Figure:
    """How near the clips are to the class, a row for each of `cosines`: its own clips above, all others below.

    Args:
        cosines: title -> (N,) cosine similarities.
        own_N: which clips are of the class.
    """
    everything = np.concatenate([*cosines.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    figure = make_subplots(len(cosines), 1, shared_xaxes=True, vertical_spacing=0.12)
    for row, (title, cosine_N) in enumerate(cosines.items(), start=1):
        for name, members_N, colour in (("its own clips", own_N, COLOURS[0]), ("all others", ~own_N, GREY)):
            if not members_N.any():
                continue
            share_B = 100 * np.histogram(cosine_N[members_N], edges)[0] / members_N.sum()
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2, y=share_B, row=row, col=1, name=name, legendgroup=name,
                showlegend=row == 1, opacity=0.75, marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{title}: %{{y:.1f}} % of {name} near %{{x:.2f}}<extra></extra>",
            )  # fmt: skip
            mean = float(cosine_N[members_N].mean())
            figure.add_vline(mean, row=row, col=1, line={"color": colour, "width": 2, "dash": "dot"})
    layout(figure, 130 * len(cosines) + 100, barmode="overlay", bargap=0)
    figure.update_xaxes(fixedrange=True, nticks=6)
    figure.update_xaxes(title={"text": "similarity (cosine; 1 = same direction)"}, row=len(cosines), col=1)
    figure.update_yaxes(fixedrange=True, nticks=4, rangemode="tozero")
    for row, title in enumerate(cosines, start=1):
        figure.update_yaxes(title={"text": f"{title}: clips (%)", "standoff": 8}, row=row, col=1)
    return figure


def nearness_words(cosines: Mapping[str, npt.NDArray[np.float32]], own_N: npt.NDArray[np.bool_]) -> str:
    """The means of the figure in words."""
    parts = []
    for title, cosine_N in cosines.items():
        means = [
            f"{name} {number(float(cosine_N[members_N].mean()))}"
            for name, members_N in (("its own clips", own_N), ("all others", ~own_N))
            if members_N.any()
        ]
        parts.append(f"{title}: {', '.join(means)}")
    return "Mean similarity " + "; ".join(parts) + "."
