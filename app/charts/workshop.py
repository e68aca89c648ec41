"""A trial of other sentences: where clips come from and go to, and how near they are to the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cezsar.arrays import BoolArray, FloatArray
from cezsar.report.figures import COLOURS, GAIN, GREY, LOSS, bars, layout, number, shown
from cezsar.zeroshot.workshop import Flow

MOST_ROWS = 10  # classes in the figure of flows
BINS = 40
PARTS = (("right", GAIN, "right now"), ("wrong", LOSS, "wrong now, right before"), ("other", GREY, "wrong either way"))


def flows_figure(drawn_from: Sequence[Flow], left_to: Sequence[Flow]) -> go.Figure:
    """Bars to the right: clips that the class takes from others; to the left: clips that others take from it.

    Green bars are clips that are right now, orange ones were right before, grey ones are wrong either way.
    """
    ordered = sorted([*drawn_from, *left_to], key=lambda flow: -flow.clips)
    names = list(dict.fromkeys(flow.name for flow in ordered))[:MOST_ROWS]
    parts = []
    for part, colour, words in PARTS:
        for flows, sign, way in ((drawn_from, 1, "from"), (left_to, -1, "to")):
            clips = {
                flow.name: {"right": flow.right, "wrong": flow.wrong}.get(part, flow.clips - flow.right - flow.wrong)
                for flow in flows
            }
            hovers = [f"{clips.get(name, 0)} clips {way} {shown(name or 'undecided')}: {words}" for name in names]
            parts.append(
                {"x": [sign * clips.get(name, 0) for name in names], "marker": {"color": colour}, "hovertext": hovers,
                 "name": words, "legendgroup": part, "showlegend": sign == 1}
            )  # fmt: skip
    widest = max([flow.clips for flow in ordered], default=1)
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if widest / step <= 4), widest)
    ticks = list(range(-step * (widest // step), widest + 1, step))
    figure = bars(
        [name or "undecided" for name in names], parts, "clips: ← to others | from others →", 30, 26,
        barmode="relative",
    )  # fmt: skip
    figure.update_xaxes(
        range=[-1.08 * widest, 1.08 * widest], zeroline=True, tickvals=ticks, ticktext=[str(abs(t)) for t in ticks]
    )
    figure.update_layout(legend={"traceorder": "normal"})
    return figure


def nearness_figure(cosines: Mapping[str, FloatArray], own_N: BoolArray) -> go.Figure:
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
        for name, members_N, colour in _sides(own_N):
            share_B = 100 * np.histogram(cosine_N[members_N], edges)[0] / members_N.sum()
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2, y=share_B, row=row, col=1, name=name, legendgroup=name,
                showlegend=row == 1, opacity=0.75, marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{title}: %{{y:.1f}} % of {name} near %{{x:.2f}}<extra></extra>",
            )  # fmt: skip
            mean = float(cosine_N[members_N].mean())
            figure.add_vline(mean, row=row, col=1, line={"color": colour, "width": 2, "dash": "dot"})
    layout(figure, 130 * len(cosines) + 100, barmode="overlay", bargap=0)
    figure.update_xaxes(nticks=6)
    figure.update_xaxes(title={"text": "similarity (cosine; 1 = same direction)"}, row=len(cosines), col=1)
    figure.update_yaxes(nticks=4, rangemode="tozero")
    for row, title in enumerate(cosines, start=1):
        figure.update_yaxes(title={"text": f"{title}: clips (%)", "standoff": 8}, row=row, col=1)
    return figure


def _sides(own_N: BoolArray) -> list[tuple[str, BoolArray, str]]:
    sides = [("its own clips", own_N, COLOURS[0]), ("all others", ~own_N, GREY)]
    return [side for side in sides if side[1].any()]


def nearness_words(cosines: Mapping[str, FloatArray], own_N: BoolArray) -> str:
    """The means of the figure in words."""
    parts = [
        f"{title}: " + ", ".join(f"{name} {number(float(cosine_N[rows].mean()))}" for name, rows, _ in _sides(own_N))
        for title, cosine_N in cosines.items()
    ]
    return "Mean similarity " + "; ".join(parts) + "."
