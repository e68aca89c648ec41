"""Clips and class prototypes in the plane, and a clip's best labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from app.charts.style import CLEAR, COLOURS, GREY, number, short, shown

MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "hexagon")
GLYPHS = ("●", "■", "◆", "▲", "✚", "▼", "⬟", "⬢")
"""A mark for each chosen class, as plotly's name and as text. None is a star: stars are prototypes."""

HEIGHT_PX = 340
ROW_PX = 46
MARGIN = 1.07  # of the frame around the outermost point
MOST_DRAWN = 1500  # points as vectors; more go through WebGL, of which a page has only so many contexts

PICTURE = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""`config` of a map: nothing to zoom or to pan, so that a ring can lie over it."""


@dataclass(frozen=True)
class Frame:
    """The square that a map shows: its middle, and half its side."""

    x: float
    y: float
    half: float

    def inside(self, x: float, y: float) -> tuple[float, float]:
        """A place as shares of the side, from the middle to the right and downwards, each from -0.5 to 0.5."""
        return (x - self.x) / (2 * self.half), (self.y - y) / (2 * self.half)


def frame_of(*positions: npt.NDArray[np.float32]) -> Frame:
    """The smallest square around all points, and a little more."""
    points = np.concatenate([np.asarray(part, float).reshape(-1, 2) for part in positions])
    low, high = (points.min(0), points.max(0)) if len(points) else (np.zeros(2), np.zeros(2))
    (x, y), half = (low + high) / 2, float((high - low).max()) / 2
    return Frame(float(x), float(y), MARGIN * half or 1.0)


@dataclass(frozen=True)
class Points:
    """Clips in the order in which a figure draws them, the grey ones first, so that colours lie above.

    Attributes:
        order: position in the map of the figure's n-th point.
        colours, marks, sizes, texts: of the n-th point.
    """

    order: list[int]
    colours: list[str]
    marks: list[str]
    sizes: list[float]
    texts: list[str]


def points_of(ids: Sequence[str], labels: Sequence[str], predicted: Sequence[str], chosen: Sequence[str]) -> Points:
    """How clips look; `chosen` are the classes that get colours, at most eight."""
    place = {name: index for index, name in enumerate(chosen)}
    order = sorted(range(len(ids)), key=lambda clip: labels[clip] in place)
    seats = [place.get(labels[clip]) for clip in order]
    return Points(
        order,
        ["rgba(154,154,154,0.45)" if seat is None else COLOURS[seat] for seat in seats],
        ["circle" if seat is None else MARKS[seat] for seat in seats],
        [5 if seat is None else 8 for seat in seats],
        [
            f"<b>{shown(labels[clip]) or 'unknown class'}</b><br>{shown(ids[clip])}<br>"
            f"predicted: {shown(predicted[clip]) or 'nothing'}"
            for clip in order
        ],
    )


def map_figure(
    videos_N2: npt.NDArray[np.float32],
    stars_P2: npt.NDArray[np.float32],
    star_names: Sequence[str],
    points: Points,
    chosen: Sequence[str],
    frame: Frame,
    *,
    means: bool = False,
    marked: Sequence[int] = (),
    pinned: tuple[str, float, float] | None = None,
    lasso: bool = False,
    dark: bool = False,
) -> go.Figure:
    """One space: trace 0 holds the clips, trace 1 the stars, trace 2 a pinned clip.

    Args:
        means: the stars are mean clips, drawn hollow, and not prototypes.
        marked: positions in the map of clips to stand out; all stand out if empty.
        pinned: name and about where it would lie.
        lasso: a drag selects what it goes around; else a click selects.
    """
    scatter = go.Scatter if len(videos_N2) <= MOST_DRAWN else go.Scattergl
    xy = np.asarray(videos_N2)[points.order]
    figure = go.Figure()
    figure.add_trace(
        scatter(
            x=xy[:, 0],
            y=xy[:, 1],
            mode="markers",
            marker={"color": points.colours, "symbol": points.marks, "size": points.sizes, "line": {"width": 0}},
            text=points.texts,
            hovertemplate="%{text}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0.15}},
        )
    )
    if marked:
        wanted = set(marked)
        figure.data[0].selectedpoints = [n for n, clip in enumerate(points.order) if clip in wanted]
    figure.add_trace(_stars(stars_P2, star_names, chosen, means, dark))
    if pinned:
        name, x, y = pinned
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker={
                "symbol": "diamond-tall",
                "size": 19,
                "color": CLEAR,
                "line": {"width": 3, "color": "#ECE9E4" if dark else "#1F2328"},
            },
            hovertemplate=f"<b>{shown(name)}</b><br>approximate place<extra></extra>",
        )
    axis = {"visible": False, "fixedrange": True, "zeroline": False}
    figure.update_layout(
        height=HEIGHT_PX,
        margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0},
        showlegend=False,
        dragmode="lasso" if lasso else "pan",  # Streamlit lets clicks select only where a drag does not
        hovermode="closest",
        xaxis={**axis, "range": [frame.x - frame.half, frame.x + frame.half]},
        yaxis={**axis, "range": [frame.y - frame.half, frame.y + frame.half], "scaleanchor": "x"},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
    )
    return figure


def _stars(
    stars_P2: npt.NDArray[np.float32], names: Sequence[str], chosen: Sequence[str], means: bool, dark: bool
) -> go.Scatter:
    place = {name: index for index, name in enumerate(chosen)}
    order = sorted(range(len(names)), key=lambda star: names[star] in place)  # as clips: coloured ones above
    seats = [place.get(names[star]) for star in order]
    xy = np.asarray(stars_P2).reshape(-1, 2)[order]
    what = "mean clip" if means else "prototype"
    edge = "#14171C" if dark else "#FDFCFA"  # the page's background
    colours = [GREY if seat is None else COLOURS[seat] for seat in seats]
    return go.Scatter(
        x=xy[:, 0],
        y=xy[:, 1],
        mode="markers",
        marker={
            "color": edge if means else colours,
            "symbol": "star",
            "size": [9 if seat is None else 18 for seat in seats],
            "opacity": [0.6 if seat is None else 1 for seat in seats],
            "line": {"width": 2, "color": colours} if means else {"width": 1, "color": edge},
        },
        text=[f"<b>{shown(names[star])}</b><br>{what}" for star in order],
        hovertemplate="%{text}<extra></extra>",
        unselected={"marker": {"opacity": 0.8}},
    )


def star_order(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Class of the n-th star, as `map_figure` draws them."""
    inside = set(chosen)
    return sorted(names, key=lambda name: name in inside)


def ranking_figure(labels: Sequence[tuple[str, float]], chosen: Sequence[str], true: str) -> go.Figure:
    """A clip's labels as bars, in their colours on the maps; the true one in bold with a check mark.

    Args:
        labels: (name, cosine similarity), best first.
    """
    place = {name: index for index, name in enumerate(chosen)}
    rows = np.arange(len(labels))
    figure = go.Figure(
        go.Bar(
            x=[similarity for _, similarity in labels],
            y=-rows - 0.14,
            orientation="h",
            width=0.26,
            marker={"color": [COLOURS[place[name]] if name in place else GREY for name, _ in labels]},
            hovertext=[f"{shown(name)}: {number(similarity)}" for name, similarity in labels],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    for row, (name, similarity) in enumerate(labels):
        title = f"<b>{short(name)}</b>  ✓ true" if name == true else short(name)
        for x, anchor, text in ((0, "left", title), (1, "right", number(similarity))):
            figure.add_annotation(
                x=x, xref="paper", xanchor=anchor, y=-row + 0.2, text=text, showarrow=False, font={"size": 14}
            )
    low = min(0.0, *(similarity for _, similarity in labels)) if labels else 0.0
    figure.update_layout(
        height=ROW_PX * len(labels) + 46,
        margin={"l": 4, "r": 4, "t": 4, "b": 42},
        showlegend=False,
        xaxis={
            "title": {"text": "similarity (cosine; 1 = same direction)", "standoff": 6},
            "range": [low, max(1.0, *(similarity for _, similarity in labels))] if labels else [0, 1],
            "showgrid": False,
            "fixedrange": True,
            "nticks": 5,
        },
        yaxis={"visible": False, "fixedrange": True, "range": [-len(labels) + 0.55, 0.5]},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
    )
    return figure


def alt(space: str, n_clips: int, chosen: Sequence[str], numbers: Mapping[str, str]) -> str:
    """What a map shows, in words, for those who cannot see it."""
    coloured = f"coloured are {', '.join(chosen)}" if chosen else "no class is coloured"
    said = "; ".join(f"{name} {value}" for name, value in numbers.items())
    return f"{space}: {n_clips:,} clips in the plane, {coloured}. {said}"
