"""Confusion matrices: up to `MOST_CELLS` classes with a number in each cell, larger ones as an overview; and one clip's
best classes.

Rows are true classes from top to bottom, columns predicted ones. The diagonal, which is right, is grey: colour is for
errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from app.charts.style import GAIN, GREY, LOSS, diverging, heat, layout, number, own_colours, short, shown

Matrix = npt.NDArray[np.float64] | npt.NDArray[np.int64]

MOST_CELLS = 30
"""Up to this many rows and columns a cell has a number and can be clicked."""

CHOSEN = "#E69F00"
FONT = {"family": "Source Sans, sans-serif", "size": 13}  # the page's
TICKS = (0.01, 0.05, 0.2, 0.5, 1.0)  # of an overview's colour bar
CLICKED = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
DRAGGED = {"displaylogo": False, "modeBarButtonsToRemove": ["zoom", "pan", "lasso2d", "resetScale2d", "autoScale2d"]}


def cells_figure(
    values_KL: Matrix,
    texts: Sequence[Sequence[str]],
    hovers: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    dark: bool,
    signed: bool = False,
    chosen: tuple[str, str] | None = None,
) -> go.Figure:
    """A matrix with numbers. A click selects a point whose customdata is row * L + column.

    Args:
        values_KL: colours; of differences if `signed`.
        texts, hovers: (K, L) what stands in a cell, and what is said when the mouse is over it.
        chosen: true and predicted class of the cell that is framed.
    """
    values = values_KL.astype(np.float32)
    right = np.array([[row == column for column in columns] for row in rows], bool).reshape(values.shape)
    largest = float(np.abs(values if signed else values[~right]).max(initial=0)) or 1.0
    figure = go.Figure()
    x, y = _categories(columns), _categories(rows)
    common = {"x": x, "y": y, "showscale": False, "hoverinfo": "skip", "texttemplate": "%{text}", "xgap": 1, "ygap": 1}
    if signed:
        scale, low = diverging(dark), -largest
        figure.add_heatmap(z=values, text=texts, colorscale=scale, zmin=low, zmax=largest, **common)
    else:
        grey = [[0, "#1E232A"], [1, "#5A626D"]] if dark else [[0, "#F0EDE8"], [1, "#BDB8B0"]]
        errors, hits = np.where(right, np.nan, values), np.where(right, values, np.nan)
        written = np.array(texts, object).reshape(values.shape)
        figure.add_heatmap(
            z=errors, text=np.where(right, "", written), colorscale=heat(dark), zmin=0, zmax=largest, **common
        )
        figure.add_heatmap(z=hits, text=np.where(right, written, ""), colorscale=grey, zmin=0, **common)
    _squares(figure, x, y, hovers)
    if chosen and chosen[0] in rows and chosen[1] in columns:
        row, column = list(rows).index(chosen[0]), list(columns).index(chosen[1])
        _frame(figure, row, row, column, column)
    row_px = min(40, max(24, 420 // max(1, len(rows))))
    layout(figure, height=row_px * len(rows) + 210, x="predicted class", y="true class", dragmode=False)
    own_colours(figure, dark)
    gaps = "#242A32" if dark else "#EFEBE4"
    figure.update_layout(clickmode="event+select", showlegend=False, plot_bgcolor=gaps, font=FONT)
    plain = {"type": "category", "tickfont": {"size": 12}, "showgrid": False, "fixedrange": True, "ticks": ""}
    figure.update_xaxes(**plain, tickangle=-90, range=[-0.5, len(columns) - 0.5])
    figure.update_yaxes(**plain, range=[len(rows) - 0.5, -0.5])
    return figure


def _categories(names: Sequence[str]) -> list[str]:
    """Names for an axis, which leaves out some where there is no room for all; no two the same."""
    found: dict[str, None] = {}
    for number_of, name in enumerate(names):
        cut = short(name, 34)
        found[cut if cut not in found else f"{cut} {number_of + 1}"] = None
    return list(found)


def _squares(figure: go.Figure, x: Sequence[str], y: Sequence[str], hovers: Sequence[Sequence[str]]) -> None:
    """Squares that are not seen, for clicks: a heatmap has no selection."""
    unseen = {"marker": {"opacity": 0}}
    figure.add_scattergl(
        x=[name for _ in y for name in x],
        y=[name for name in y for _ in x],
        mode="markers",
        marker={"symbol": "square", "size": 22, "opacity": 0},
        selected=unseen,
        unselected=unseen,
        customdata=list(range(len(x) * len(y))),
        hovertext=[text for row in hovers for text in row],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _frame(figure: go.Figure, top: int, bottom: int, left: int, right: int) -> None:
    """Around some rows and columns, by position."""
    corners = {"x0": left - 0.5, "x1": right + 0.5, "y0": top - 0.5, "y1": bottom + 0.5}
    figure.add_shape(type="rect", **corners, line={"color": CHOSEN, "width": 3})


def overview_figure(
    shares_KL: npt.NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    dark: bool,
    signed: bool = False,
    window: tuple[int, int, int, int] | None = None,
) -> go.Figure:
    """A large matrix without numbers. A box that is dragged over it gives ranges of positions.

    Colour follows the square root of a share, so that single clips are still seen; 8-bit numbers keep it quick.

    Args:
        shares_KL: row-normalised, or differences of such if `signed`.
        window: first and last row, first and last column of the part that is framed.
    """
    shares = np.where(np.array(rows)[:, None] == np.array(columns)[None, :], 0, shares_KL)
    roots = np.sign(shares) * np.sqrt(np.abs(shares))
    top = float(np.abs(roots).max(initial=0)) or 1.0
    ticks = [tick for tick in TICKS if tick <= top**2 * 1.0001] or [top**2]
    labels = [f"{100 * tick:.3g} %" for tick in ticks]
    values, at = (255 * roots / top).round().astype(np.uint8), [255 * tick**0.5 / top for tick in ticks]
    if signed:
        values, at = (127 * roots / top).round().astype(np.int8), [127 * tick**0.5 / top for tick in ticks]
        labels = [f"−{label}" for label in reversed(labels)] + ["0"] + [f"+{label}" for label in labels]
        at = [-place for place in reversed(at)] + [0.0, *at]
    bar = {"tickvals": at, "ticktext": labels, "thickness": 10, "len": 0.7, "outlinewidth": 0, "x": 1.01, "xpad": 4}
    figure = go.Figure()
    figure.add_heatmap(
        z=values,
        x=[shown(name) for name in columns],
        y=[shown(name) for name in rows],
        colorscale=diverging(dark) if signed else heat(dark),
        zmin=-127 if signed else 0,
        zmax=127 if signed else 255,
        colorbar=bar,
        hovertemplate="true: %{y}<br>predicted: %{x}<extra></extra>",
    )
    last = len(rows) - 0.5
    figure.add_shape(type="line", x0=-0.5, x1=last, y0=-0.5, y1=last, line={"color": GREY, "width": 1})
    if window:
        _frame(figure, *window)
    layout(figure, height=560, x=f"predicted: {len(columns):,} classes", y=f"true: {len(rows):,} classes")
    own_colours(figure, dark)
    figure.update_layout(dragmode="select", selectdirection="any", font=FONT)
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="", fixedrange=True)
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", fixedrange=True, autorange="reversed")
    return figure


def top_figure(labels: Sequence[tuple[str, float]], true: str, predicted: str) -> go.Figure:
    """One clip's classes as bars; the true one green with a tick, a wrong prediction orange with a cross.

    Args:
        labels: (name, cosine similarity), best first.
    """
    rows = np.arange(len(labels))
    colours = [GAIN if name == true else LOSS if name == predicted else GREY for name, _ in labels]
    figure = go.Figure()
    figure.add_bar(
        x=[similarity for _, similarity in labels],
        y=-rows - 0.16,
        orientation="h",
        width=0.24,
        marker={"color": colours, "line": {"width": 0}},
        hoverinfo="skip",
    )
    for row, (name, similarity) in enumerate(labels):
        mark = "✓ " if name == true else "✕ " if name == predicted else ""
        for x, anchor, text in ((0, "left", mark + short(name, 40)), (1, "right", number(similarity))):
            figure.add_annotation(
                x=x, xref="paper", xanchor=anchor, y=-row + 0.2, yref="y", text=text, showarrow=False,
                font={"size": 14},
            )  # fmt: skip
    layout(figure, height=44 * len(labels) + 52, x="similarity (cosine; 1 = same direction)", showlegend=False)
    figure.update_xaxes(zeroline=True, showgrid=False, fixedrange=True, nticks=5)
    figure.update_yaxes(visible=False, fixedrange=True, range=[-len(labels) + 0.55, 0.5])
    return figure
