"""What lies on the disk, folder by folder."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from app.charts.style import COLOURS, layout

ROW_PX = 34


def disk_figure(sizes: Mapping[str, int]) -> go.Figure:
    """A bar for each folder of the workspace, in megabytes; the first of `sizes`, in bytes, on top."""
    names, megabytes = list(sizes), [bytes_ / 1e6 for bytes_ in sizes.values()]
    figure = go.Figure(
        go.Bar(
            x=megabytes,
            y=names,
            orientation="h",
            marker={"color": COLOURS[0]},
            text=[f"{value:,.1f} MB" for value in megabytes],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,.1f} MB<extra></extra>",
        )
    )
    layout(figure, ROW_PX * len(names) + 60, x="size (MB)")
    figure.update_xaxes(range=[0, 1.2 * max(megabytes, default=1.0) or 1.0], fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    return figure
