"""Confusion matrices: small ones with clickable cells, large ones as an overview and a part in full; confused pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from app import cache, state
from app.parts import scored, show
from app.parts.matrices import MOST_CELLS, Part, cells_figure, overview_figure
from app.parts.words import plain
from cezsar.analysis import confusion
from cezsar.arrays import DoubleArray, IntArray
from cezsar.data.labels import resolve
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import UNDECIDED, Weights, active, predict
from cezsar.zeroshot.scored import Scored

AROUND = 12  # classes on each side of the chosen cell in the part of a large matrix that is shown in full
MOST_CHANGED = 20  # pairs of two matrices
OTHER = "any other class"
ORDERS = {"alike": "Look-alikes together", "listed": "As listed", "worst": "Worst first"}
READING = "A row for each true class, a column for each predicted one. Grey is right, colour is wrong."
SIGNED = "What the second matrix has more of (blue) and less of (orange) than the first."
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


Views = dict[str, Matrix]
"""{"": the matrix}, or {"A: ": the first, "B: ": the second}, both of the same classes."""


def matrix(side: Side, classes: Sequence[str], restricted: bool) -> Matrix:
    """The matrix of some classes, in their order and spelling. Predictions are among these only if `restricted`; else
    among all of the data set, with a last column for the others."""
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
    key, alt = f"{key}-overview", f"Overview of {n_rows:,} classes. {_most_confused(first)}"
    callback = partial(dragged, key, n_rows, n_columns)
    show.figure(figure, key, alt, clicked=callback, theme=None, config=DRAGGED, selection_mode="box")
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
    show.figure(figure, key, alt, clicked=partial(clicked, key, rows, columns), theme=None)
    if large and st.session_state[state.ZOOM]:
        state.setter("Around the chosen cell", "around", state.ZOOM, "", type="tertiary")


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
    """The confused pairs, most clips first; of two matrices those whose confusion differs the most. Rows are cells of
    the matrix; the one looked at is marked."""
    a, rows = views[0], list[dict[str, Any]]()
    if len(views) == 1:
        rows = [asdict(pair) | {"share": 100 * pair.share} for pair in a.pairs()]
        title, help = "Most confused pairs", "For how many clips of one class another was predicted."
    else:
        a_KK, b_KK = (100 * view.shares()[:, : len(a.classes)] for view in views)
        change_KK = b_KK - a_KK
        np.fill_diagonal(change_KK, 0)
        for place in np.argsort(-np.abs(change_KK), axis=None, kind="stable")[:MOST_CHANGED]:
            cell = t, p = divmod(int(place), len(a.classes))
            names = {"true": a.classes[t], "predicted": a.classes[p]}
            rows.append(names | {"a": a_KK[cell], "b": b_KK[cell], "change": change_KK[cell]})
        rows = [row for row in rows if row["change"]]
        title, help = "Confused less or more in B", "Shares are of the true class's clips."
    st.markdown(f"**{title}**", help=f"{help} Choose a row to see the clips.")
    if not rows:
        st.caption("No such pair of these classes.")
        return
    cells = [(row["true"], row["predicted"]) for row in rows]
    at = [cells.index(chosen)] if chosen in cells else []
    st.session_state["pairs"] = {"selection": {"rows": at, "columns": [], "cells": []}}
    show.table(
        rows, title, column_config=PAIRS, height=min(460, 36 * len(rows) + 38), key="pairs",
        on_select=partial(picked, "pairs", cells), selection_mode="single-row",
    )  # fmt: skip


def picked(key: str, cells: Sequence[tuple[str, str]]) -> None:
    """Callback of a table: its row is the cell looked at."""
    if rows := st.session_state[key].selection.rows:
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = cells[rows[0]]
        st.session_state[state.ZOOM] = ""
