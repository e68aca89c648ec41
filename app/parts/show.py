"""What pages show again and again: errors, figures, legends, tables, files to download, numbers in a row."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.parts.words import sentence
from cezsar.errors import CezsarError
from cezsar.report.figures import CLICKED, PLOT
from cezsar.zeroshot.tables import no_formula

KINDS = {"csv": "text/csv", "json": "application/json", "vtt": "text/vtt", "zip": "application/zip"}


def error(problem: Exception | str) -> None:
    st.error(problem if isinstance(problem, str) else sentence(problem), icon=":material/error:")


def info(text: str) -> None:
    st.info(text, icon=":material/info:")


@contextmanager
def explained() -> Iterator[None]:
    """A `CezsarError` inside is a word on the screen, and the page goes on after the block."""
    try:
        yield
    except CezsarError as problem:
        error(problem)


def figure(drawn: go.Figure, key: str, alt: str, clicked: bool | Callable[[], None] = False, **more: Any) -> None:
    """A figure, said in words for those who do not see it; what is `clicked` in it stands under its key. `more` is what
    else `st.plotly_chart` takes."""
    if clicked:
        more = {"on_select": "rerun" if clicked is True else clicked, "selection_mode": "points", **more}
    st.plotly_chart(drawn, key=key, alt=alt, **{"config": CLICKED if clicked else PLOT, **more})


def legend(entries: Sequence[tuple[str, str, str]], style: str = "padding-left: 0", more: str = "") -> None:
    """(colour, glyph, words) of each mark of a figure, and what is said after them."""
    items = [f'<span><b style="color:{colour}">{glyph}</b>{html.escape(to)}</span>' for colour, glyph, to in entries]
    st.html(f'<div class="cezsar-legend" style="{style}">{"".join(items)}<span>{more}</span></div>')


def table(rows: Any, alt: str, formats: Mapping[str, str] | None = None, **more: Any) -> Any:
    """Rows or a DataFrame, with `formats` of columns of numbers; `more` is what else `st.dataframe` takes. No text
    in it would be a formula in a spreadsheet: a table can be copied and downloaded."""
    frame = pd.DataFrame(rows).rename(columns=no_formula)
    words = frame.select_dtypes(["object", "string"])
    frame[words.columns] = words.map(no_formula)
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in (formats or {}).items()}
    return st.dataframe(frame, hide_index=True, alt=alt, column_config=columns | more.pop("column_config", {}), **more)


def metrics(key: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """(what, number, what is below it, help) side by side; a change with its sign is green or orange."""
    with st.container(key=f"metrics-{key}"):
        for label, value, below, told in rows:
            moved = below.startswith(("+", "-"))
            look: dict[str, Any] = {} if moved else {"delta_color": "off", "delta_arrow": "off"}
            st.metric(label, value, below or None, help=told or None, border=True, **look)


def change(now: float, before: float) -> str:
    """Of two fractions, as `metrics` shows it below a number."""
    points = round(100 * (now - before), 1)
    return f"{points:+.1f} points" if points else "no change"


def downloads(*files: tuple[str, str, str | Callable[[], str | bytes], str], **more: Any) -> None:
    """Buttons in a line: (label, name of the file, its text or what makes it when asked for, help)."""
    with st.container(horizontal=True):
        for label, file, content, told in files:
            kind = KINDS.get(file.rpartition(".")[2])
            st.download_button(
                label, content, file, kind, icon=":material/download:", on_click="ignore", help=told or None,
                key=f"download-{file}", **more,
            )  # fmt: skip
