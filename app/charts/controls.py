"""A named set of classes among random sets of its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from app.charts.style import COLOURS, GREY, layout
from cezsar.analysis.baselines import Standing

CHOSEN = "#E69F00"
ROW_PX = 120


def standing_figure(standings: Mapping[str, Standing]) -> go.Figure:
    """A row for each side: a point for each random set, a box around their middle half, a star for the named set.

    Args:
        standings: title of the row -> where its named set stands.
    """
    figure = go.Figure()
    for row, (title, standing) in enumerate(standings.items()):
        values = [100 * value for value in standing.values]
        figure.add_box(
            x=values, y0=row, orientation="h", boxpoints=False, width=0.62, showlegend=False, hoverinfo="skip",
            line={"color": GREY, "width": 1.5}, fillcolor="rgba(154,154,154,0.14)", whiskerwidth=0.4,
        )  # fmt: skip
        figure.add_scatter(
            x=values, y=[row + offset for offset in _stacked(values)], mode="markers", name="random sets",
            legendgroup="random", showlegend=row == 0,
            marker={"color": COLOURS[5], "size": 8, "opacity": 0.85, "line": {"width": 0.5, "color": COLOURS[0]}},
            hovertemplate=f"{title}random set: %{{x:.1f}} %<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[100 * standing.named], y=[row], mode="markers", name="these classes", legendgroup="named",
            showlegend=row == 0,
            marker={"symbol": "star", "color": CHOSEN, "size": 20, "line": {"width": 1, "color": "#5C3D00"}},
            hovertemplate=f"{title}these classes: %{{x:.1f}} %<extra></extra>",
        )  # fmt: skip
    layout(figure, ROW_PX * len(standings) + 90, x="top-1 accuracy (%), each set among its own classes")
    figure.update_xaxes(fixedrange=True, nticks=7, zeroline=False)
    titles = [title.strip(": ") for title in standings]
    figure.update_yaxes(
        tickvals=list(range(len(titles))), ticktext=titles, range=[len(titles) - 0.5, -0.5], showgrid=False,
        zeroline=False, fixedrange=True, showticklabels=any(titles),
    )  # fmt: skip
    return figure


def _stacked(values: Sequence[float]) -> list[float]:
    """Heights that part points of nearly the same value: 0, above, below, further above, ..."""
    span = (max(values) - min(values)) or 1.0
    bins = [round(40 * (value - min(values)) / span) for value in values]
    seen: dict[int, int] = {}
    heights = []
    for place in bins:
        seen[place] = seen.get(place, 0) + 1
        step = seen[place] // 2 * (1 if seen[place] % 2 else -1)
        heights.append(float(np.clip(0.075 * step, -0.42, 0.42)))
    return heights
