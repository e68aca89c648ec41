"""Figures of confusion matrices: cells with numbers, or an overview of a large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from cezsar.analysis import confusion
from cezsar.arrays import IntArray
from cezsar.report import figures as style
from cezsar.report.figures import percent, points, short, shown

MOST_CELLS = 30  # up to this many rows and columns a cell has a number and can be clicked
TICKS = (0.01, 0.05, 0.2, 0.5, 1.0)  # of an overview's colour bar
Part = tuple[int, int, int, int]  # first and last row, first and last column


def cells_figure(
    counts: Sequence[IntArray], rows: Sequence[str], columns: Sequence[str], part: Part | None = None,
    as_counts: bool = False, chosen: tuple[str, str] | None = None,
) -> go.Figure:  # fmt: skip
    """Numbers in the cells of a (K, L) matrix, counts or shares of the true class, or of the second less the first of
    two; `part` is what is drawn of it, and the `chosen` true and predicted class are framed. A click selects a point
    whose customdata is row * columns + column, of those drawn."""
    dark, signed = st.context.theme.type == "dark", len(counts) == 2
    top, bottom, left, right = part or (0, len(rows) - 1, 0, len(columns) - 1)
    at, rows, columns = np.s_[top : bottom + 1, left : right + 1], rows[top : bottom + 1], columns[left : right + 1]
    shares = [confusion.row_normalised(one)[at] for one in counts]
    values = shares[1] - shares[0] if signed else counts[0][at].astype(float) if as_counts else shares[0]
    scale = 1 if as_counts and not signed else 100
    texts, hovers = np.full(values.shape, "", object), []
    for (r, c), value in np.ndenumerate(values):
        lines = [f"true: {shown(rows[r])}", f"predicted: {shown(columns[c])}"]
        for letter, one, share in zip("AB" if signed else " ", counts, shares, strict=True):
            n, total = one[top + r, left + c], one[top + r].sum()
            words = f" ({percent(float(share[r, c]))})" if total else ""
            lines.append(f"{letter} {n:,} of {total:,} clips{words}".strip())
        if signed:
            lines.append(f"B − A: {points(value)} points")
            texts[r, c] = f"{100 * value:+.0f}".replace("-", "−") if round(100 * value) else ""
        elif value:
            texts[r, c] = f"{scale * value:.0f}"
        hovers.append("<br>".join(lines))
    right_KL = np.array(rows, object)[:, None] == np.array(columns, object)[None, :]
    largest = float(np.abs(values if signed else values[~right_KL]).max(initial=0)) or 1.0
    x, y, figure = _categories(columns), _categories(rows), go.Figure()
    common = {"x": x, "y": y, "showscale": False, "hoverinfo": "skip", "texttemplate": "%{text}", "xgap": 1, "ygap": 1}
    if signed:
        figure.add_heatmap(**common, z=values, text=texts, colorscale=_diverging(dark), zmin=-largest, zmax=largest)
    else:
        grey = [[0, "#1E232A"], [1, "#5A626D"]] if dark else [[0, "#F0EDE8"], [1, "#BDB8B0"]]
        for hidden, colours, most in ((right_KL, style.heat(dark), largest), (~right_KL, grey, None)):
            z, text = np.where(hidden, np.nan, values).astype(np.float32), np.where(hidden, "", texts)
            figure.add_heatmap(**common, z=z, text=text, colorscale=colours, zmin=0, zmax=most)
    style.clickable(figure, x * len(y), [name for name in y for _ in x], list(range(len(hovers))), hovers)
    if chosen and chosen[0] in rows and chosen[1] in columns:
        row, column = list(rows).index(chosen[0]), list(columns).index(chosen[1])
        _frame(figure, (row, row, column, column))
    height = min(40, max(24, 420 // max(1, len(rows)))) * len(rows) + 210
    style.layout(figure, height, "predicted class", "true class", dragmode=False, showlegend=False)
    background = "#242A32" if dark else "#EFEBE4"
    style.own_colours(figure, dark).update_layout(clickmode="event+select", plot_bgcolor=background)
    look = {"type": "category", "tickfont": {"size": 12}, "showgrid": False, "ticks": ""}
    figure.update_xaxes(look, tickangle=-90, range=[-0.5, len(columns) - 0.5])
    return figure.update_yaxes(look, range=[len(rows) - 0.5, -0.5])


def counts_figure(counts_KK: IntArray, names: Sequence[str]) -> go.Figure:
    """Cells with counts where there are few classes, else an overview."""
    large = len(names) > MOST_CELLS
    return overview_figure([counts_KK], names, names) if large else cells_figure([counts_KK], names, names, None, True)


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


def _frame(figure: go.Figure, part: Part) -> None:
    top, bottom, left, right = part
    corners = {"x0": left - 0.5, "x1": right + 0.5, "y0": top - 0.5, "y1": bottom + 0.5}
    figure.add_shape(type="rect", **corners, line={"color": style.CHOSEN, "width": 3})


def overview_figure(
    counts: Sequence[IntArray], rows: Sequence[str], columns: Sequence[str], part: Part | None = None
) -> go.Figure:
    """A large matrix without numbers, or the second less the first of two, with a `part` framed. A box dragged over it
    gives positions. Colour follows the square root of a share, so that single clips are still seen; 8-bit numbers keep
    it quick."""
    dark, signed = st.context.theme.type == "dark", len(counts) == 2
    first, *second = (confusion.row_normalised(one) for one in counts)
    change_KL = second[0] - first if signed else first
    change_KL[np.array(rows, object)[:, None] == np.array(columns, object)[None, :]] = 0
    roots = np.sign(change_KL) * np.sqrt(np.abs(change_KL))
    top = float(np.abs(roots).max(initial=0)) or 1.0
    full, kind = (127, np.int8) if signed else (255, np.uint8)
    ticks = [tick for tick in TICKS if tick <= top**2 * 1.0001] or [top**2]
    at = [(full * tick**0.5 / top, f"{100 * tick:.3g} %") for tick in ticks]
    if signed:
        at = [(-place, f"−{text}") for place, text in reversed(at)] + [(0, "0"), *((p, f"+{text}") for p, text in at)]
    places, texts = zip(*at, strict=True)
    bar = {"tickvals": places, "ticktext": texts, "thickness": 10, "len": 0.7, "outlinewidth": 0, "x": 1.01, "xpad": 4}
    figure, last = go.Figure(), len(rows) - 0.5
    figure.add_heatmap(
        z=(full * roots / top).round().astype(kind), x=[shown(name) for name in columns],
        y=[shown(name) for name in rows], colorscale=_diverging(dark) if signed else style.heat(dark), colorbar=bar,
        zmin=-full if signed else 0, zmax=full, hovertemplate="true: %{y}<br>predicted: %{x}<extra></extra>",
    )  # fmt: skip
    figure.add_shape(type="line", x0=-0.5, x1=last, y0=-0.5, y1=last, line={"color": style.GREY, "width": 1})
    if part:
        _frame(figure, part)
    titles = f"predicted: {len(columns):,} classes", f"true: {len(rows):,} classes"
    style.layout(figure, 560, *titles, dragmode="select", selectdirection="any")
    bare = {"showticklabels": False, "showgrid": False, "ticks": ""}
    return style.own_colours(figure, dark).update_xaxes(**bare).update_yaxes(**bare, autorange="reversed")
