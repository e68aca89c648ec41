"""Clips and class prototypes in the plane, and a clip's best labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from cezsar.arrays import FloatArray
from cezsar.report.figures import CLEAR, CLICKED, COLOURS, GREY, ranking, short, shown

MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "hexagon")
GLYPHS = ("●", "■", "◆", "▲", "✚", "▼", "⬟", "⬢")
"""A mark for each chosen class, as plotly's name and as text. None is a star: stars are prototypes."""

HEIGHT_PX = 340
MARGIN = 1.07  # of the frame around the outermost point
MOST_DRAWN = 1500  # points as vectors; more go through WebGL, of which a page has only so many contexts

PICTURE = CLICKED
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


def frame_of(*positions: FloatArray) -> Frame:
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
        seats: place of its class among the chosen ones; None for the others.
        texts: of the n-th point.
    """

    order: list[int]
    seats: list[int | None]
    texts: list[str]


def points_of(ids: Sequence[str], labels: Sequence[str], predicted: Sequence[str], chosen: Sequence[str]) -> Points:
    """How clips look; `chosen` are the classes that get colours, at most eight."""
    order, seats = _seated(labels, chosen)
    texts = [
        f"<b>{shown(labels[clip]) or 'unknown class'}</b><br>{shown(ids[clip])}<br>"
        f"predicted: {shown(predicted[clip]) or 'nothing'}"
        for clip in order
    ]
    return Points(order, seats, texts)


def _seated(names: Sequence[str], chosen: Sequence[str]) -> tuple[list[int], list[int | None]]:
    """Positions of names, chosen ones last, and the place of each among the chosen."""
    place = {name: index for index, name in enumerate(chosen)}
    order = sorted(range(len(names)), key=lambda one: names[one] in place)
    return order, [place.get(names[one]) for one in order]


def map_figure(
    videos_N2: FloatArray,
    stars_P2: FloatArray,
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
    wanted = set(marked)
    look = {
        "color": ["rgba(154,154,154,0.45)" if seat is None else COLOURS[seat] for seat in points.seats],
        "symbol": ["circle" if seat is None else MARKS[seat] for seat in points.seats],
        "size": [5 if seat is None else 8 for seat in points.seats],
        "line": {"width": 0},
    }
    clips = scatter(
        x=xy[:, 0], y=xy[:, 1], mode="markers", marker=look, text=points.texts,
        hovertemplate="%{text}<extra></extra>", selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
    )  # fmt: skip
    if wanted:
        clips.selectedpoints = [n for n, clip in enumerate(points.order) if clip in wanted]
    figure = go.Figure([clips, _stars(stars_P2, star_names, chosen, means, dark)])
    if pinned:
        name, x, y = pinned
        line = {"width": 3, "color": "#ECE9E4" if dark else "#1F2328"}
        figure.add_scatter(
            x=[x], y=[y], mode="markers", marker={"symbol": "diamond-tall", "size": 19, "color": CLEAR, "line": line},
            hovertemplate=f"<b>{shown(name)}</b><br>approximate place<extra></extra>",
        )  # fmt: skip
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


def _stars(stars_P2: FloatArray, names: Sequence[str], chosen: Sequence[str], means: bool, dark: bool) -> go.Scatter:
    order, seats = _seated(names, chosen)
    xy = np.asarray(stars_P2).reshape(-1, 2)[order]
    what = "mean clip" if means else "prototype"
    edge = "#14171C" if dark else "#FDFCFA"  # the page's background
    colours = [GREY if seat is None else COLOURS[seat] for seat in seats]
    return go.Scatter(
        x=xy[:, 0], y=xy[:, 1], mode="markers", hovertemplate="%{text}<extra></extra>",
        marker={
            "color": edge if means else colours, "symbol": "star",
            "size": [9 if seat is None else 18 for seat in seats],
            "opacity": [0.6 if seat is None else 1 for seat in seats],
            "line": {"width": 2, "color": colours} if means else {"width": 1, "color": edge},
        },
        text=[f"<b>{shown(names[star])}</b><br>{what}" for star in order], unselected={"marker": {"opacity": 0.8}},
    )  # fmt: skip


def star_order(names: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Class of the n-th star, as `map_figure` draws them."""
    return [names[star] for star in _seated(names, chosen)[0]]


def ranking_figure(labels: Sequence[tuple[str, float]], chosen: Sequence[str], true: str) -> go.Figure:
    """A clip's labels as bars, in their colours on the maps; the true one in bold with a check mark.

    Args:
        labels: (name, cosine similarity), best first.
    """
    place = {name: index for index, name in enumerate(chosen)}
    colours = [COLOURS[place[name]] if name in place else GREY for name, _ in labels]
    titles = [f"<b>{short(name)}</b>  ✓ true" if name == true else short(name) for name, _ in labels]
    figure = ranking(labels, colours, titles)
    values = [similarity for _, similarity in labels]
    figure.update_xaxes(range=[min([0.0, *values]), max([1.0, *values])])
    return figure


def alt(space: str, n_clips: int, chosen: Sequence[str]) -> str:
    """What a map shows, in words, for those who cannot see it."""
    coloured = f"coloured are {', '.join(chosen)}" if chosen else "no class is coloured"
    return f"{space}: {n_clips:,} clips in the plane, {coloured}."
