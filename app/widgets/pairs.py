"""Confused pairs of classes as tables; a row is a way to look at the clips behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st
from streamlit.elements.lib.column_config_utils import ColumnConfigMappingInput

from app import state
from app.charts.confusion import MOST_CELLS
from app.services.confusion import Matrix

CHANGES = ("improved", "worsened")  # keys of the tables of two matrices
MOST_ROWS = 500  # of the table of pairs; the CSV has all


def most_confused(view: Matrix, chosen: tuple[str, str]) -> None:
    """The most confused pairs; a row is a way to look at its clips."""
    found = view.pairs()
    st.markdown(
        "**Most confused pairs**",
        help="Each row says for how many clips of one class another was predicted. Choose a row to see these clips.",
    )
    if not found:
        st.caption("No clip is taken for another of these classes.")
        return
    listed = found[:MOST_ROWS]
    rows = [
        {
            "clips": pair.count,
            "true": pair.true,
            "predicted": pair.predicted,
            "share": 100 * pair.share,
            "reverse": pair.reverse,
        }
        for pair in listed
    ]
    number_of = st.column_config.NumberColumn
    columns = {
        "true": st.column_config.TextColumn("True", width=150),
        "predicted": st.column_config.TextColumn("Predicted", width=150),
        "clips": number_of("Clips", width=48, help="Clips of the true class for which the other is predicted."),
        "share": number_of("Share", format="%.1f %%", width=64, help="Of the clips of the true class."),
        "reverse": number_of("Reverse", width=64, help="Clips of the predicted class taken for the true one."),
    }
    cells = [(pair.true, pair.predicted) for pair in listed]
    _table(rows, columns, cells, chosen, "pairs", "Most confused pairs of classes", height=460)
    if len(found) > len(listed):
        st.caption(f"The first {len(listed):,} of {len(found):,} pairs; the CSV file has all.")


def changed(a: Matrix, b: Matrix, chosen: tuple[str, str]) -> None:
    """The pairs that the second matrix confuses less, and those it confuses more; side by side where there is room."""
    large = len(a.classes) > MOST_CELLS
    areas = st.columns(2, gap="medium") if large else (st.container(), st.container())
    for area, title, key, sign in zip(
        areas, ("Less confused in B", "More confused in B"), CHANGES, (1, -1), strict=True
    ):
        with area:
            _changes(a, b, chosen, title, key, sign)


def _changes(a: Matrix, b: Matrix, chosen: tuple[str, str], title: str, key: str, sign: int) -> None:
    """The ten pairs of which the second matrix has the most less (`sign` 1) or more (-1)."""
    size = len(a.classes)
    shares_a, shares_b = a.shares()[:, :size], b.shares()[:, :size]
    change_KK = shares_b - shares_a
    np.fill_diagonal(change_KK, 0)
    order = np.argsort(sign * change_KK, axis=None, kind="stable")[:10]
    places = [divmod(int(place), size) for place in order]
    places = [(row, column) for row, column in places if sign * change_KK[row, column] < 0]
    st.markdown(f"**{title}**", help="Choose a row to see the clips. Shares are of the true class's clips.")
    if not places:
        st.caption("No pair.")
        return
    rows = [
        {
            "change": 100 * change_KK[row, column],
            "true": a.classes[row],
            "predicted": a.classes[column],
            "a": 100 * shares_a[row, column],
            "b": 100 * shares_b[row, column],
        }
        for row, column in places
    ]
    columns = {
        "true": st.column_config.TextColumn("True", width=150),
        "predicted": st.column_config.TextColumn("Predicted", width=150),
        "a": st.column_config.NumberColumn("A", format="%.1f %%", width=62),
        "b": st.column_config.NumberColumn("B", format="%.1f %%", width=62),
        "change": st.column_config.NumberColumn("B − A", format="%+.1f", width=58, help="Percentage points."),
    }
    cells = [(a.classes[row], a.classes[column]) for row, column in places]
    _table(rows, columns, cells, chosen, key, title)


def _table(
    rows: Sequence[Mapping[str, object]],
    columns: ColumnConfigMappingInput,
    cells: Sequence[tuple[str, str]],
    chosen: tuple[str, str],
    key: str,
    alt: str,
    height: int | None = None,
) -> None:
    """Rows that are cells of the matrix; the one looked at is marked."""
    at = [cells.index(chosen)] if chosen in cells else []
    st.session_state[key] = {"selection": {"rows": at, "columns": [], "cells": []}}
    st.dataframe(
        rows,
        hide_index=True,
        column_config=columns,
        height=min(height, 36 * len(rows) + 38) if height else "auto",
        key=key,
        on_select=partial(_picked, key, cells),
        selection_mode="single-row",
        alt=alt,
    )


def _picked(key: str, cells: Sequence[tuple[str, str]]) -> None:
    """Callback of a table: its row is the cell looked at."""
    rows = st.session_state[key].selection.rows
    if rows:
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = cells[rows[0]]
        st.session_state[state.ZOOM] = ""
