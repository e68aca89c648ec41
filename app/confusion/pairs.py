"""Confused pairs of classes as tables; a row is a way to look at the clips behind it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from app import state
from app.confusion.matrices import MOST_CELLS, Matrix

TEXT, NUMBER = st.column_config.TextColumn, st.column_config.NumberColumn
TRUE, PREDICTED = TEXT("True", width=150), TEXT("Predicted", width=150)
PAIRS = {
    "true": TRUE,
    "predicted": PREDICTED,
    "clips": NUMBER("Clips", width=48, help="Clips of the true class for which the other is predicted."),
    "share": NUMBER("Share", format="%.1f %%", width=64, help="Of the clips of the true class."),
    "reverse": NUMBER("Reverse", width=64, help="Clips of the predicted class taken for the true one."),
}
CHANGES = {
    "true": TRUE,
    "predicted": PREDICTED,
    "a": NUMBER("A", format="%.1f %%", width=62),
    "b": NUMBER("B", format="%.1f %%", width=62),
    "change": NUMBER("B − A", format="%+.1f", width=58, help="Percentage points."),
}


def most_confused(view: Matrix, chosen: tuple[str, str]) -> None:
    """The confused pairs, most clips first."""
    st.markdown(
        "**Most confused pairs**",
        help="Each row says for how many clips of one class another was predicted. Choose a row to see these clips.",
    )
    rows = [
        {"true": pair.true, "predicted": pair.predicted, "clips": pair.count, "share": 100 * pair.share,
         "reverse": pair.reverse}
        for pair in view.pairs()
    ]  # fmt: skip
    none = "No clip is taken for another of these classes."
    _table(rows, PAIRS, chosen, "pairs", "Most confused pairs of classes", none, min(460, 36 * len(rows) + 38))


def changed(views: Sequence[Matrix], chosen: tuple[str, str]) -> None:
    """The ten pairs that the second matrix confuses the most less, and those it confuses the most more."""
    a, b = views
    size = len(a.classes)
    shares_a, shares_b = (100 * view.shares()[:, :size] for view in (a, b))
    change_KK = shares_b - shares_a
    np.fill_diagonal(change_KK, 0)
    areas = st.columns(2, gap="medium") if size > MOST_CELLS else (st.container(), st.container())
    tables = ("Less confused in B", "improved", 1), ("More confused in B", "worsened", -1)
    for area, (title, key, sign) in zip(areas, tables, strict=True):
        order = np.argsort(sign * change_KK, axis=None, kind="stable")[:10]
        rows = [
            {"true": a.classes[t], "predicted": a.classes[p], "a": shares_a[t, p], "b": shares_b[t, p],
             "change": change_KK[t, p]}
            for t, p in (divmod(int(place), size) for place in order)
            if sign * change_KK[t, p] < 0
        ]  # fmt: skip
        with area:
            st.markdown(f"**{title}**", help="Choose a row to see the clips. Shares are of the true class's clips.")
            _table(rows, CHANGES, chosen, key, title, "No pair.", "auto")


def _table(
    rows: Sequence[dict[str, Any]], columns: Any, chosen: tuple[str, str], key: str, alt: str, none: str, height: Any
) -> None:
    """Rows that are cells of the matrix; the one looked at is marked."""
    if not rows:
        st.caption(none)
        return
    cells = [(row["true"], row["predicted"]) for row in rows]
    at = [cells.index(chosen)] if chosen in cells else []
    st.session_state[key] = {"selection": {"rows": at, "columns": [], "cells": []}}
    st.dataframe(
        list(rows), hide_index=True, column_config=columns, column_order=list(columns), height=height, key=key,
        on_select=partial(picked, key, cells), selection_mode="single-row", alt=alt,
    )  # fmt: skip


def picked(key: str, cells: Sequence[tuple[str, str]]) -> None:
    """Callback of a table: its row is the cell looked at."""
    if rows := st.session_state[key].selection.rows:
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = cells[rows[0]]
        st.session_state[state.ZOOM] = ""
