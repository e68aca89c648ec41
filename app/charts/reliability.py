"""A reliability diagram: what probabilities promise, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from cezsar.analysis.calibration import Reliability
from cezsar.report.figures import COLOURS, GREY, MARKS, layout, percent, shown


def reliability_figure(diagrams: Sequence[tuple[str, Reliability]]) -> go.Figure:
    """Accuracy against confidence, a point for each bin with clips, larger with more; dotted: as promised."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": GREY, "dash": "dot", "width": 1.5},
    )  # fmt: skip
    for index, (title, diagram) in enumerate(diagrams):
        filled = diagram.clips_B > 0
        share_b = diagram.clips_B[filled] / diagram.clips_B.sum()
        figure.add_scatter(
            x=100 * diagram.confidence_B[filled],
            y=100 * diagram.accuracy_B[filled],
            mode="lines+markers",
            name=shown(title),
            line={"color": COLOURS[index], "width": 1.5},
            marker={"symbol": MARKS[index], "size": 8 + 22 * np.sqrt(share_b), "opacity": 0.8, "sizemode": "diameter"},
            hovertext=[
                f"{shown(title)}<br>{percent(share)} of answers: promised {percent(confidence)}, right {percent(right)}"
                for share, confidence, right in zip(
                    share_b, diagram.confidence_B[filled], diagram.accuracy_B[filled], strict=True
                )
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    layout(figure, 380, "probability of the answer (%)", "answers that are right (%)")
    figure.update_xaxes(range=[-2, 103], fixedrange=True, zeroline=False)
    figure.update_yaxes(range=[-2, 106], fixedrange=True, zeroline=False)
    figure.update_layout(hovermode="closest", margin={"t": 48})
    return figure
