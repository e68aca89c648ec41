"""Confusion matrices: up to `MOST_CELLS` classes with a number in each cell, larger ones as an overview.

Rows are true classes from top to bottom, columns predicted ones. The diagonal, which is right, is grey: colour is for
errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from cezsar.arrays import DoubleArray, IntArray
from cezsar.report.figures import CHOSEN, GAIN, GREY, LOSS, clickable, heat, layout, own_colours, ranking, short, shown

MOST_CELLS = 30
"""Up to this many rows and columns a cell has a number and can be clicked."""

TICKS = (0.01, 0.05, 0.2, 0.5, 1.0)  # of an overview's colour bar
DRAGGED = {"displaylogo": False, "modeBarButtonsToRemove": ["zoom", "pan", "lasso2d", "resetScale2d", "autoScale2d"]}


def cells_figure(
    values_KL: DoubleArray | IntArray,
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
    values, written = values_KL.astype(np.float32), np.array(texts, object).reshape(values_KL.shape)
    right = np.array([[row == column for column in columns] for row in rows], bool).reshape(values.shape)
    largest = float(np.abs(values if signed else values[~right]).max(initial=0)) or 1.0
    figure = go.Figure()
    x, y = _categories(columns), _categories(rows)
    common = {"x": x, "y": y, "showscale": False, "hoverinfo": "skip", "texttemplate": "%{text}", "xgap": 1, "ygap": 1}
    if signed:
        scale, low = _diverging(dark), -largest
        figure.add_heatmap(z=values, text=written, colorscale=scale, zmin=low, zmax=largest, **common)
    else:
        grey = [[0, "#1E232A"], [1, "#5A626D"]] if dark else [[0, "#F0EDE8"], [1, "#BDB8B0"]]
        errors, hits = np.where(right, np.nan, values), np.where(right, values, np.nan)
        figure.add_heatmap(
            z=errors, text=np.where(right, "", written), colorscale=heat(dark), zmin=0, zmax=largest, **common
        )
        figure.add_heatmap(z=hits, text=np.where(right, written, ""), colorscale=grey, zmin=0, **common)
    every = list(range(len(x) * len(y)))
    said = [text for row in hovers for text in row]
    clickable(figure, [name for _ in y for name in x], [name for name in y for _ in x], every, said)
    if chosen and chosen[0] in rows and chosen[1] in columns:
        row, column = list(rows).index(chosen[0]), list(columns).index(chosen[1])
        _frame(figure, row, row, column, column)
    row_px = min(40, max(24, 420 // max(1, len(rows))))
    layout(figure, row_px * len(rows) + 210, "predicted class", "true class", dragmode=False, showlegend=False)
    own_colours(figure, dark).update_layout(clickmode="event+select", plot_bgcolor="#242A32" if dark else "#EFEBE4")
    plain = {"type": "category", "tickfont": {"size": 12}, "showgrid": False, "ticks": ""}
    figure.update_xaxes(**plain, tickangle=-90, range=[-0.5, len(columns) - 0.5])
    figure.update_yaxes(**plain, range=[len(rows) - 0.5, -0.5])
    return figure


def split_figure(counts_KK: IntArray, names: Sequence[str], dark: bool) -> go.Figure:
    """Shares of true classes, with counts in the cells of a small matrix."""
    sums_K1 = counts_KK.sum(axis=1, keepdims=True)
    shares_KK = np.divide(counts_KK, sums_K1, out=np.zeros(counts_KK.shape), where=sums_K1 > 0)
    if len(names) > MOST_CELLS:
        return overview_figure(shares_KK, names, names, dark=dark)
    hovers = [
        [
            f"{shown(true)}<br>taken for {shown(taken)}: {counts_KK[i, j]:,} of {sums_K1[i, 0]:,} clips"
            for j, taken in enumerate(names)
        ]
        for i, true in enumerate(names)
    ]
    texts = np.where(counts_KK > 0, counts_KK.astype(str), "").tolist()
    return cells_figure(shares_KK, texts, hovers, names, names, dark=dark)


def _diverging(dark: bool) -> list[list[object]]:
    """Orange below 0, the page's background at 0, blue above."""
    return [[0.0, "#D55E00"], [0.5, "#14171C" if dark else "#FDFCFA"], [1.0, "#2F96D3" if dark else "#0072B2"]]


def _categories(names: Sequence[str]) -> list[str]:
    """Names for an axis, which leaves out some where there is no room for all; no two the same."""
    found: dict[str, None] = {}
    for place, name in enumerate(names, start=1):
        cut = short(name, 34)
        found[cut if cut not in found else f"{cut} {place}"] = None
    return list(found)


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
    full, kind = (127, np.int8) if signed else (255, np.uint8)
    at, labels = [full * tick**0.5 / top for tick in ticks], [f"{100 * tick:.3g} %" for tick in ticks]
    if signed:
        labels = [f"−{label}" for label in reversed(labels)] + ["0"] + [f"+{label}" for label in labels]
        at = [-place for place in reversed(at)] + [0.0, *at]
    figure = go.Figure()
    figure.add_heatmap(
        z=(full * roots / top).round().astype(kind), x=[shown(name) for name in columns],
        y=[shown(name) for name in rows], colorscale=_diverging(dark) if signed else heat(dark),
        zmin=-full if signed else 0, zmax=full, hovertemplate="true: %{y}<br>predicted: %{x}<extra></extra>",
        colorbar={"tickvals": at, "ticktext": labels, "thickness": 10, "len": 0.7, "outlinewidth": 0, "x": 1.01,
                  "xpad": 4},
    )  # fmt: skip
    last = len(rows) - 0.5
    figure.add_shape(type="line", x0=-0.5, x1=last, y0=-0.5, y1=last, line={"color": GREY, "width": 1})
    if window:
        _frame(figure, *window)
    layout(
        figure, 560, f"predicted: {len(columns):,} classes", f"true: {len(rows):,} classes", dragmode="select",
        selectdirection="any",
    )  # fmt: skip
    own_colours(figure, dark)
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="")
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", autorange="reversed")
    return figure


def top_figure(labels: Sequence[tuple[str, float]], true: str, predicted: str) -> go.Figure:
    """One clip's classes as bars; the true one green with a tick, a wrong prediction orange with a cross.

    Args:
        labels: (name, cosine similarity), best first.
    """
    looks = [(GAIN, "✓ ") if name == true else (LOSS, "✕ ") if name == predicted else (GREY, "") for name, _ in labels]
    titles = [mark + short(name, 40) for (name, _), (_, mark) in zip(labels, looks, strict=True)]
    return ranking(labels, [colour for colour, _ in looks], titles)
