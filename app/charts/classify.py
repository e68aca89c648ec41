"""A clip's ranking as bars, and its frames over time with each label's similarity."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from app.charts.style import COLOURS, GLYPHS, GREY, MARKS, number, short, shown

MOST_LABELS = 6

MODALITIES = {"VE": "what the clip looks like", "O": "recognised objects", "C": "caption"}
OPACITY = {"VE": 1.0, "O": 0.45, "C": 0.2}

ROW_PX = 50
LINES_PX, TICKS_PX = 190, 30
STRIP_PX, WIDE_PX = 104, 800  # highest film strip, and how wide it is on a large screen
MOST_FRAMES = 10


def ranking_figure(
    labels: Sequence[tuple[str, float]], contributions: Mapping[str, Sequence[float]], muted: bool = False
) -> go.Figure:
    """A bar for each label, parted by modality.

    Args:
        labels: (name, cosine similarity), best first, at most `MOST_LABELS`.
        contributions: modality -> its part of each label's similarity, in the same order.
        muted: grey bars, for an answer that is none.
    """
    colours = [GREY] * len(labels) if muted else list(COLOURS[: len(labels)])
    rows = np.arange(len(labels))
    figure = go.Figure()
    for modality, part in contributions.items():
        figure.add_bar(
            x=np.asarray(part, float),
            y=-rows - 0.16,
            orientation="h",
            width=0.24,
            marker={"color": colours, "opacity": OPACITY[modality], "line": {"width": 0}},
            name=MODALITIES[modality],
            hovertext=[
                f"{shown(name)}<br>{MODALITIES[modality]}: {value:+.3f} of {total:.3f}"
                for (name, total), value in zip(labels, part, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    for row, (name, similarity) in enumerate(labels):
        glyph = f'<span style="color:{colours[row]}">{GLYPHS[row]}</span>'
        title = f"<b>{short(name)}</b>" if row == 0 and not muted else short(name)
        _beside(figure, row, 0, "left", f"{glyph}  {title}")
        _beside(figure, row, 1, "right", number(similarity))
    figure.update_layout(
        barmode="relative",
        height=ROW_PX * len(labels) + 46,
        margin={"l": 4, "r": 4, "t": 4, "b": 42},
        showlegend=False,
        xaxis={
            "title": {"text": "similarity (cosine; 1 = same direction)", "standoff": 6},
            "zeroline": True,
            "showgrid": False,
            "fixedrange": True,
            "nticks": 5,
        },
        yaxis={"visible": False, "fixedrange": True, "range": [-len(labels) + 0.55, 0.5]},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def timeline_figure(
    frames: Sequence[tuple[float, bytes]],
    names: Sequence[str],
    per_second: npt.NDArray[np.float32] | None,
    seconds: int,
) -> go.Figure:
    """The clip's frames as a film strip; under it, on the same axis in seconds, each label's similarity.

    Args:
        frames: (time in seconds, JPEG file), one a second; of long clips every n-th is shown.
        names: labels, best first, at most `MOST_LABELS`.
        per_second: (T, len(names)) cosine similarity in each second; None leaves the strip alone.
        seconds: T, length of the clip.
    """
    figure = go.Figure()
    step = max(1, -(-len(frames) // MOST_FRAMES))
    strip_px = min(STRIP_PX, 0.75 * WIDE_PX * step / max(1, len(frames)))
    lines_px = 0 if per_second is None else LINES_PX
    inner_px = strip_px + TICKS_PX + lines_px
    strip_at = 1 - strip_px / inner_px
    for index in range(0 if per_second is None else len(names)):
        assert per_second is not None
        figure.add_scatter(
            x=np.arange(len(per_second)) + 0.5,
            y=per_second[:, index].astype(float),
            mode="lines+markers",
            name=shown(names[index]),
            line={"color": COLOURS[index], "width": 3 if index == 0 else 1.75},
            marker={"symbol": MARKS[index], "size": 9 if index == 0 else 7},
            hovertemplate=f"{shown(names[index])}: %{{y:.3f}}<extra></extra>",
        )
    if per_second is None:  # an axis appears only where there is a trace
        figure.add_scatter(x=[0, seconds], y=[0, 0], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    for time_s, jpeg in frames[::step]:
        figure.add_layout_image(
            source="data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"),
            xref="x",
            yref="paper",
            x=time_s + 0.02 * step,
            y=strip_at,
            sizex=0.96 * step,
            sizey=1 - strip_at,
            xanchor="left",
            yanchor="bottom",
            sizing="contain",
            layer="above",
        )
    lines_top = max(1e-3, strip_at - TICKS_PX / inner_px)
    figure.update_layout(
        height=inner_px + 12,
        margin={"l": 66, "r": 6, "t": 4, "b": 8},
        showlegend=False,
        hovermode="x unified",
        xaxis={
            "range": [0, max(seconds, 1)],
            "side": "top",
            "ticksuffix": " s",
            "hoverformat": ".1f",
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        }
        | ({"dtick": 1} if seconds <= 12 else {"nticks": 12}),
        yaxis={
            "domain": [0, lines_top],
            "title": {"text": "similarity", "standoff": 14},
            "tickformat": ".2f",
            "fixedrange": True,
            "nticks": 5,
            "visible": per_second is not None,
        },
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _beside(figure: go.Figure, row: int, x: float, anchor: str, text: str) -> None:
    """Text above the bar of a row, at the left or right edge of the figure."""
    figure.add_annotation(
        x=x, xref="paper", xanchor=anchor, y=-row + 0.2, yref="y", text=text, showarrow=False, font={"size": 15}
    )
