"""What pages show again and again: errors, figures, tables, files to download, numbers in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.parts.words import sentence
from cezsar.errors import CezsarError
from cezsar.report.figures import CLICKED, PLOT

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


def figure(drawn: go.Figure, key: str, alt: str, clicked: bool = False) -> None:
    """A figure, said in words for those who do not see it; what is `clicked` in it stands under its key."""
    more: dict[str, Any] = {"on_select": "rerun", "selection_mode": "points"} if clicked else {}
    st.plotly_chart(drawn, key=key, alt=alt, config=CLICKED if clicked else PLOT, **more)


def table(rows: Any, alt: str, formats: Mapping[str, str] | None = None, **more: Any) -> Any:
    """Rows or a DataFrame, with `formats` of columns of numbers; `more` is what else `st.dataframe` takes."""
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in (formats or {}).items()}
    return st.dataframe(rows, hide_index=True, alt=alt, column_config=columns | more.pop("column_config", {}), **more)


def metrics(rows: Sequence[tuple[str, str, str]]) -> None:
    """(what, number, help) side by side."""
    with st.container(horizontal=True, gap="medium"):
        for label, value, told in rows:
            st.metric(label, value, width="content", help=told or None)


def download(label: str, content: str | Callable[[], str | bytes], file: str, told: str = "", **more: Any) -> None:
    """A file, made when asked for where `content` is a function."""
    kind = KINDS.get(file.rpartition(".")[2])
    st.download_button(
        label, content, file, kind, icon=":material/download:", on_click="ignore", help=told or None, **more
    )
