"""Confusion matrices: small ones with clickable cells, large ones as an overview and a part in full; confused pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache, state
from app.parts import scored, show
from app.parts.words import plain
from cezsar.analysis import confusion
from cezsar.arrays import DoubleArray, IntArray
from cezsar.data.labels import resolve
from cezsar.report import figures as style
from cezsar.report.figures import percent, points, short, shown
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, predict
from cezsar.zeroshot.scored import Scored

MOST_CELLS = 30  # up to this many rows and columns a cell has a number and can be clicked
AROUND = 12  # classes on each side of the chosen cell in the part of a large matrix that is shown in full
OTHER = "any other class"
ORDERS = {"alike": "Look-alikes together", "listed": "As listed", "worst": "Worst first"}
READING = "A row for each true class, a column for each predicted one. Grey is right, colour is wrong."
SIGNED = "What the second matrix has more of (blue) and less of (orange) than the first."
TICKS = (0.01, 0.05, 0.2, 0.5, 1.0)  # of an overview's colour bar
DRAGGED = {"displaylogo": False, "modeBarButtonsToRemove": ["zoom", "pan", "lasso2d", "resetScale2d", "autoScale2d"]}
NUMBER = st.column_config.NumberColumn
PAIRS = {
    "true": st.column_config.TextColumn("True", width=150),
    "predicted": st.column_config.TextColumn("Predicted", width=150),
    "count": NUMBER("Clips", width=48, help="Clips of the true class for which the other is predicted."),
    "share": NUMBER("Share", format="%.1f %%", width=64, help="Of the clips of the true class."),
    "reverse": NUMBER("Reverse", width=64, help="Clips of the predicted class taken for the true one."),
    "a": NUMBER("A", format="%.1f %%", width=62),
    "b": NUMBER("B", format="%.1f %%", width=62),
    "change": NUMBER("B − A", format="%+.1f", width=58, help="Percentage points."),
}


class Side(NamedTuple):
    """What one matrix is predicted from: a scored data set, and the weights of its modalities."""

    item: Scored
    weights: Weights

    @property
    def key(self) -> str:
        return f"{self.item.fingerprint} {astuple(self.weights)}"

    @property
    def title(self) -> str:
        return f"{self.item.by}, {' + '.join(active(scored.scores(self.item), self.weights))}"


@dataclass(frozen=True, eq=False)
class Matrix:
    """A confusion matrix as it is shown."""

    side: Side
    candidates: list[str]  # the C classes that predictions are among, in the order of the data set
    counts_CC: IntArray  # of all of them; only rows of `classes` are not empty
    classes: list[str]  # the K rows, in the order shown
    columns: list[str]  # the same, and `OTHER` where predictions are among more
    counts_KL: IntArray  # clips in each cell
    undecided: int  # clips that nothing speaks for; they are in no cell

    def shares(self) -> DoubleArray:
        """(K, L) counts over the row's sum."""
        return confusion.row_normalised(self.counts_KL)

    def pairs(self) -> list[confusion.ConfusedPair]:
        """Confused pairs among the classes shown, the most clips first."""
        inside, every = set(self.classes), confusion.pairs(self.counts_CC, self.candidates)
        return [pair for pair in every if {pair.true, pair.predicted} <= inside]

    def figures(self, groups: Mapping[str, Sequence[str]]) -> list[confusion.GroupFigures]:
        """Errors within and between those groups that at least two of the classes shown are in."""
        inside, known = set(self.classes), confusion.matching_groups(groups, self.candidates)
        present = {name: members for name, members in known.items() if len(inside & set(members)) > 1}
        found = confusion.group_confusion(self.counts_CC, self.candidates, present)
        found = [replace(row, classes=[name for name in row.classes if name in inside]) for row in found]
        return [row for row in found if row.classes]

    def rows_of(self, true: str, taken: str) -> IntArray:
        """Rows of the clips in a cell, ascending; `taken` may be `OTHER`."""
        values = scored.scores(self.side.item)
        place = dict(zip(self.classes, values.indices(self.classes), strict=True))
        predicted_N = predict(values, self.side.weights, values.indices(self.candidates))
        other_N = (predicted_N != UNDECIDED) & ~np.isin(predicted_N, list(place.values()))
        cell_N = other_N if taken == OTHER else predicted_N == place[taken]
        return np.flatnonzero((values.label_index == place[true]) & cell_N)


Part = tuple[int, int, int, int]  # first and last row, first and last column
Views = dict[str, Matrix]
"""{"": the matrix}, or {"A: ": the first, "B: ": the second}, both of the same classes."""


def matrix(side: Side, classes: Sequence[str], restricted: bool) -> Matrix:
    """The matrix of some classes, in their order and spelling.

    Predictions are among these only if `restricted`; else among all of the data set, with a last column for the others.
    """
    values, columns = scored.scores(side.item), list(classes)
    spelt = dict(zip(resolve(classes, values.class_names), classes, strict=True))
    candidates = [spelt.get(name, name) for name in values.class_names if name in spelt or not restricted]
    make = partial(confusion_matrix, values, side.weights, candidates)
    every_CC = cache.once(make, "confusion", side.key, tuple(candidates), words="Counting confusions")
    rows, counts_CC = [candidates.index(name) for name in classes], np.zeros_like(every_CC)
    counts_CC[rows] = every_CC[rows]
    counts_KL, sums_K = every_CC[np.ix_(rows, rows)], every_CC[rows].sum(axis=1)
    if not restricted:
        counts_KL, columns = np.column_stack([counts_KL, sums_K - counts_KL.sum(axis=1)]), [*columns, OTHER]
    undecided = int(np.isin(values.label_index, values.indices(classes)).sum() - sums_K.sum())
    return Matrix(side, candidates, counts_CC, list(classes), columns, counts_KL, undecided)


def similarity(item: Scored) -> DoubleArray:
    """(C, C) cosine similarity of the classes' prototypes."""
    return confusion.prototype_similarity(scored.embeddings(item))


def in_order(side: Side, classes: Sequence[str], restricted: bool, order: str) -> list[str]:
    """The classes in one of `ORDERS`: "alike" by similar prototypes, "worst" by the share that is recognised."""
    places: Sequence[int] | IntArray = range(len(classes))
    if order == "alike":
        rows = scored.scores(side.item).indices(classes)
        places = cache.once(
            lambda: confusion.similarity_order(similarity(side.item)[np.ix_(rows, rows)]), "lined up",
            side.item.fingerprint, tuple(classes), words="Putting look-alikes together",
        )  # fmt: skip
    elif order == "worst":
        places = np.argsort(np.diagonal(matrix(side, classes, restricted).shares()), kind="stable")
    return [classes[place] for place in places]


# On the page ---------------------------------------------------------------------------------------------------------


def draw(views: Sequence[Matrix], key: str, title: str, chosen: tuple[str, str], as_counts: bool) -> None:
    """A matrix, or the difference of two: cells to be clicked, of more than `MOST_CELLS` classes an overview."""
    first, n_rows, n_columns = views[0], len(views[0].classes), len(views[0].columns)
    st.markdown(f"**{plain(title)}**", help=SIGNED if len(views) == 2 else READING)
    if n_rows <= MOST_CELLS:
        return draw_part(views, key, chosen, as_counts)
    st.caption("Drag a box to see its cells in full. Colour is a share of the true class; the right ones are left out.")
    figure = overview_figure([view.counts_KL for view in views], first.classes, first.columns, window(first, chosen))
    key = f"{key}-overview"
    st.plotly_chart(
        figure, theme=None, key=key, config=DRAGGED, on_select=partial(dragged, key, n_rows, n_columns),
        selection_mode="box", alt=f"Overview of {n_rows:,} classes. {_most_confused(first)}",
    )  # fmt: skip
    return None


def draw_part(views: Sequence[Matrix], key: str, chosen: tuple[str, str], as_counts: bool) -> None:
    """Clickable cells: all of a small matrix, the framed part of a large one."""
    first = views[0]
    top, bottom, left, right = part = window(first, chosen)
    if large := len(first.classes) > MOST_CELLS:
        of, key = " of B − A" if len(views) == 2 else "", f"{key}-part"
        st.markdown(f"**The framed part{of}: rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1}**")
    figure = cells_figure([view.counts_KL for view in views], first.classes, first.columns, part, as_counts, chosen)
    rows, columns = first.classes[top : bottom + 1], first.columns[left : right + 1]
    alt = f"Confusion matrix, {len(rows)} true classes by {len(columns)} predicted. {_most_confused(first)}"
    st.plotly_chart(
        figure, theme=None, key=key, config=style.CLICKED, on_select=partial(clicked, key, rows, columns),
        selection_mode="points", alt=alt,
    )  # fmt: skip
    if large and st.session_state[state.ZOOM]:
        icon, back = ":material/center_focus_weak:", partial(state.put, state.ZOOM, "")
        st.button("Around the chosen cell", icon=icon, type="tertiary", on_click=back)


def _most_confused(view: Matrix) -> str:
    found = view.pairs()
    return f"Most confused: {found[0].true}, taken for {found[0].predicted}." if found else "No clip is confused."


def clicked(key: str, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Callback of a matrix: the cell that was clicked is the one looked at."""
    if selected := st.session_state[key].selection.points:
        row, column = divmod(int(selected[0]["customdata"]), len(columns))
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = rows[row], columns[column]


def window(view: Matrix, chosen: tuple[str, str]) -> Part:
    """The part in full: all of a small matrix; of a large one as dragged, else around the chosen cell."""
    rows, columns = len(view.classes), len(view.columns)
    if rows <= MOST_CELLS:
        return 0, rows - 1, 0, columns - 1
    if match := re.fullmatch(r"(\d{1,6})-(\d{1,6}),(\d{1,6})-(\d{1,6})", st.session_state.get(state.ZOOM, "")):
        top, bottom, left, right = map(int, match.groups())
        if top <= bottom < rows and left <= right < columns and max(bottom - top, right - left) < MOST_CELLS:
            return top, bottom, left, right
    top = max(0, min(view.classes.index(chosen[0]) - AROUND, rows - 2 * AROUND - 1))
    left = max(0, min(view.columns.index(chosen[1]) - AROUND, columns - 2 * AROUND - 1))
    return top, min(rows - 1, top + 2 * AROUND), left, min(columns - 1, left + 2 * AROUND)


def dragged(key: str, n_rows: int, n_columns: int) -> None:
    """Callback of an overview: what the box holds is shown in full, `MOST_CELLS` in its middle if it holds more."""
    if boxes := st.session_state[key].selection.box:
        spans = []
        for axis, size in (("y", n_rows), ("x", n_columns)):
            first, last = (min(size - 1, max(0, round(float(end)))) for end in sorted(boxes[0][axis]))
            first += max(0, last - first + 1 - MOST_CELLS) // 2
            spans.append(f"{first}-{min(last, first + MOST_CELLS - 1)}")
        st.session_state[state.ZOOM] = ",".join(spans)


def confused_pairs(views: Sequence[Matrix], chosen: tuple[str, str]) -> None:
    """The confused pairs, most clips first; of two matrices those confused less and more in the second, ten each."""
    a, size = views[0], len(views[0].classes)
    if len(views) == 1:
        rows = [asdict(pair) | {"share": 100 * pair.share} for pair in a.pairs()]
        help = "Each row says for how many clips of one class another was predicted. Choose a row to see these clips."
        return _table(rows, chosen, "pairs", "Most confused pairs", help, min(460, 36 * len(rows) + 38))
    a_KK, b_KK = (100 * view.shares()[:, :size] for view in views)
    change_KK = b_KK - a_KK
    np.fill_diagonal(change_KK, 0)
    areas = st.columns(2, gap="medium") if size > MOST_CELLS else (st.container(), st.container())
    for area, sign in zip(areas, (1, -1), strict=True):
        order = np.argsort(sign * change_KK, axis=None, kind="stable")[:10]
        at = [(t, p) for t, p in (divmod(int(place), size) for place in order) if sign * change_KK[t, p] < 0]
        cells = [(a_KK[cell], b_KK[cell], change_KK[cell]) for cell in at]
        names = [(a.classes[t], a.classes[p]) for t, p in at]
        rows = [dict(zip(("true", "predicted", "a", "b", "change"), name + cell, strict=True))
                for name, cell in zip(names, cells, strict=True)]  # fmt: skip
        key, title = ("improved", "Less confused in B") if sign > 0 else ("worsened", "More confused in B")
        with area:
            _table(rows, chosen, key, title, "Choose a row to see the clips. Shares are of the true class's clips.")
    return None


def _table(rows: Sequence[dict[str, Any]], chosen: tuple[str, str], key: str, title: str, help: str,
           height: Any = "auto") -> None:  # fmt: skip
    """Rows that are cells of the matrix; the one looked at is marked."""
    st.markdown(f"**{title}**", help=help)
    if not rows:
        st.caption("No such pair of these classes.")
        return
    cells = [(row["true"], row["predicted"]) for row in rows]
    at = [cells.index(chosen)] if chosen in cells else []
    st.session_state[key] = {"selection": {"rows": at, "columns": [], "cells": []}}
    show.table(
        rows, title, column_config=PAIRS, height=height, key=key, on_select=partial(picked, key, cells),
        selection_mode="single-row",
    )  # fmt: skip


def picked(key: str, cells: Sequence[tuple[str, str]]) -> None:
    """Callback of a table: its row is the cell looked at."""
    if rows := st.session_state[key].selection.rows:
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = cells[rows[0]]
        st.session_state[state.ZOOM] = ""


# Figures -------------------------------------------------------------------------------------------------------------


def cells_figure(
    counts: Sequence[IntArray], rows: Sequence[str], columns: Sequence[str], part: Part | None = None,
    as_counts: bool = False, chosen: tuple[str, str] | None = None,
) -> go.Figure:  # fmt: skip
    """Numbers in the cells of a (K, L) matrix, counts or shares of the true class, or of the second less the first of
    two; `part` is what is drawn of it, all by default, and the `chosen` true and predicted class are framed.

    A click selects a point whose customdata is row * columns + column, of those drawn.
    """
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
