"""Confusion matrices on the screen: small ones with clickable cells, large ones as an overview and a part in full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import streamlit as st

from app import state
from app.charts import confusion as charts
from app.charts.confusion import MOST_CELLS
from app.services.confusion import ALIKE, LISTED, WORST, Matrix
from app.widgets.words import plain
from cezsar.analysis.confusion import row_normalised
from cezsar.report.figures import CLICKED, percent, points, shown

SHARES, COUNTS = "shares", "counts"
ORDERS = {ALIKE: "Look-alikes together", LISTED: "As listed", WORST: "Worst first"}
READING = "A row for each true class, a column for each predicted one. Grey is right, colour is wrong."
SIGNED = "What the second matrix has more of (blue) and less of (orange) than the first."
AROUND = 12  # classes on each side of the chosen cell in the part of a large matrix that is shown in full

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A matrix ready to be drawn: one of two, or their difference.

    Attributes:
        shares_KL: of the true class's clips; differences of such where there are two matrices.
        of: the matrices that it is made of, one or two.
        as_counts: numbers are counts of clips, else percent.
    """

    key: str
    title: str
    shares_KL: DoubleArray
    of: tuple[Matrix, ...]
    as_counts: bool

    @property
    def signed(self) -> bool:
        return len(self.of) == 2

    def text(self, row: int, column: int) -> str:
        """What stands in a cell; nothing for 0."""
        if self.signed:
            value = round(100 * self.shares_KL[row, column])
            return f"{value:+d}".replace("-", "−") if value else ""
        count = int(self.of[0].counts_KL[row, column])
        return "" if not count else str(count) if self.as_counts else f"{100 * self.shares_KL[row, column]:.0f}"

    def hover(self, row: int, column: int) -> str:
        """What is said about a cell."""
        view = self.of[0]
        lines = [f"true: {shown(view.classes[row])}", f"predicted: {shown(view.columns[column])}"]
        for letter, matrix in zip("AB" if self.signed else " ", self.of, strict=True):
            count, total = int(matrix.counts_KL[row, column]), int(matrix.counts_KL[row].sum())
            share = f" ({percent(count / total)})" if total else ""
            lines.append(f"{letter} {count:,} of {total:,} clips{share}".strip())
        if self.signed:
            lines.append(f"B − A: {points(self.shares_KL[row, column])} points")
        return "<br>".join(lines)


def sheet(view: Matrix, key: str, title: str, as_counts: bool) -> Sheet:
    """One matrix."""
    return Sheet(key, title, view.shares(), (view,), as_counts)


def difference_sheet(a: Matrix, b: Matrix) -> Sheet:
    """The second less the first."""
    shares_KL = row_normalised(b.counts_KL) - row_normalised(a.counts_KL)
    return Sheet("difference", "B − A, in percentage points", shares_KL, (a, b), False)


def look(n_classes: int) -> tuple[bool, str]:
    """Whether cells are counts, and the order of the classes."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        cells = st.segmented_control(
            "Cells",
            [SHARES, COUNTS],
            default=SHARES,
            required=True,
            format_func={SHARES: "Percent of the true class", COUNTS: "Clips"}.__getitem__,
            key=state.CELLS,
            bind="query-params",
            persist_state="session",
            help="Row-normalised, so that each row sums to 100 %, or counts of clips."
            + (" The overview and the difference are always row-normalised." if n_classes > MOST_CELLS else ""),
        )
        order = st.segmented_control(
            "Order of classes",
            list(ORDERS),
            default=ALIKE,
            required=True,
            format_func=ORDERS.__getitem__,
            key=state.LINED,
            bind="query-params",
            persist_state="session",
            help="Look-alikes together: classes with similar prototypes are neighbours (leaves of an average-linkage "
            "clustering of cosine similarities). Worst first: by the share of their clips that is recognised.",
        )
    return cells == COUNTS, order or ALIKE


def draw(drawn: Sheet, chosen: tuple[str, str], letter: str = "") -> None:
    """A matrix of up to `MOST_CELLS` classes with clickable cells; of more an overview to drag a box over."""
    view = drawn.of[0]
    title = f"{letter}: {drawn.title}" if letter else drawn.title
    st.markdown(f"**{plain(title)}**", help=SIGNED if drawn.signed else READING)
    if len(view.classes) <= MOST_CELLS:
        _cells(drawn, drawn.key, range(len(view.classes)), range(len(view.columns)), chosen)
        return
    dark = st.context.theme.type == "dark"
    figure = charts.overview_figure(
        drawn.shares_KL, view.classes, view.columns, dark=dark, signed=drawn.signed, window=window(view, chosen)
    )
    st.caption("Drag a box to see its cells in full. Colour is a share of the true class; the right ones are left out.")
    st.plotly_chart(
        figure,
        theme=None,
        key=f"{drawn.key}-overview",
        config=charts.DRAGGED,
        on_select=partial(_dragged, f"{drawn.key}-overview", len(view.classes), len(view.columns)),
        selection_mode="box",
        alt=f"Overview of the confusion matrix of {len(view.classes):,} classes. {_best_known(drawn)}",
    )


def draw_part(drawn: Sheet, chosen: tuple[str, str]) -> None:
    """The framed part of a large matrix, with clickable cells."""
    view = drawn.of[0]
    top, bottom, left, right = window(view, chosen)
    of = " of B − A" if drawn.signed else ""
    st.markdown(f"**The framed part{of}: rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1}**")
    _cells(drawn, f"{drawn.key}-part", range(top, bottom + 1), range(left, right + 1), chosen)
    if st.session_state[state.ZOOM]:
        st.button(
            "Around the chosen cell", icon=":material/center_focus_weak:", on_click=state.put, args=(state.ZOOM, ""),
            type="tertiary",
        )  # fmt: skip


def _cells(drawn: Sheet, key: str, rows: Sequence[int], columns: Sequence[int], chosen: tuple[str, str]) -> None:
    view = drawn.of[0]
    values = view.counts_KL if drawn.as_counts else drawn.shares_KL
    row_names, column_names = [view.classes[row] for row in rows], [view.columns[column] for column in columns]
    figure = charts.cells_figure(
        values[np.ix_(rows, columns)],
        [[drawn.text(row, column) for column in columns] for row in rows],
        [[drawn.hover(row, column) for column in columns] for row in rows],
        row_names,
        column_names,
        dark=st.context.theme.type == "dark",
        signed=drawn.signed,
        chosen=chosen,
    )
    st.plotly_chart(
        figure,
        theme=None,
        key=key,
        config=CLICKED,
        on_select=partial(clicked, key, row_names, column_names),
        selection_mode="points",
        alt=f"Confusion matrix, {len(row_names)} true classes by {len(column_names)} predicted. {_best_known(drawn)}",
    )


def _best_known(drawn: Sheet) -> str:
    found = drawn.of[0].pairs()
    return f"Most confused: {found[0].true}, taken for {found[0].predicted}." if found else "No clip is confused."


def clicked(key: str, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Callback of a matrix: the cell that was clicked is the one looked at."""
    selected = st.session_state[key].selection.points
    if selected:
        row, column = divmod(int(selected[0]["customdata"]), len(columns))
        st.session_state[state.TRUE], st.session_state[state.TAKEN] = rows[row], columns[column]


# The part of a large matrix ------------------------------------------------------------------------------------------


def begin_zoom() -> None:
    """Take the part from the address, and keep the address in step with it."""
    text = st.session_state.setdefault(state.ZOOM, st.query_params.get(state.ZOOM, ""))
    if not text:
        st.query_params.pop(state.ZOOM, None)
    elif st.query_params.get(state.ZOOM) != text:
        st.query_params[state.ZOOM] = text


def window(view: Matrix, chosen: tuple[str, str]) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the part in full: as dragged, else around the chosen cell."""
    size = (len(view.classes), len(view.columns))
    if match := re.fullmatch(r"(\d{1,6})-(\d{1,6}),(\d{1,6})-(\d{1,6})", st.session_state.get(state.ZOOM, "")):
        top, bottom, left, right = map(int, match.groups())
        if top <= bottom < size[0] and left <= right < size[1] and max(bottom - top, right - left) < MOST_CELLS:
            return top, bottom, left, right
    row, column = view.classes.index(chosen[0]), view.columns.index(chosen[1])
    return (*_around(row, size[0]), *_around(column, size[1]))


def _around(place: int, size: int) -> tuple[int, int]:
    first = max(0, min(place - AROUND, size - 2 * AROUND - 1))
    return first, min(size - 1, first + 2 * AROUND)


def _dragged(key: str, n_rows: int, n_columns: int) -> None:
    """Callback of an overview: what the box holds is shown in full, as far as it fits."""
    boxes = st.session_state[key].selection.box
    if boxes:
        parts = [_span(boxes[0]["y"], n_rows), _span(boxes[0]["x"], n_columns)]
        st.session_state[state.ZOOM] = ",".join(f"{first}-{last}" for first, last in parts)


def _span(ends: Sequence[float], size: int) -> tuple[int, int]:
    """First and last position in a range, `MOST_CELLS` in its middle if it holds more."""
    first, last = (min(size - 1, max(0, round(end))) for end in sorted(float(end) for end in ends))
    surplus = max(0, last - first + 1 - MOST_CELLS)
    first += surplus // 2
    return first, min(last, first + MOST_CELLS - 1)
