"""Corrections: what other ways to read classes off the same embeddings reach, each with what it assumes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.services import corrections as services
from app.services.comparison import interval
from app.services.corrections import Line
from app.services.evaluate import Row
from app.widgets.evaluate import choose_row
from app.widgets.words import plain
from cezsar.report.figures import points
from cezsar.zeroshot.protocols import Protocol


def corrections(rows: Sequence[Row], protocol: Protocol) -> None:
    """A table of accuracies with each correction and its difference to none, and what each assumes."""
    st.subheader("Other ways to read classes off the same embeddings", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Some class descriptions are hubs, nearest to clips of all classes; and clips and descriptions fill "
            "different regions of the space. Corrections make up for that, at a price: each assumes something."
        )
    if row.item is None:
        return
    lines = services.lines(row.item, row.result.weights, protocol)
    with answering:
        st.warning(
            "A transductive figure is no plain accuracy: such a correction looks at all test clips of a split at once. "
            "Do not set it beside methods that see one clip at a time.",
            icon=":material/warning:",
        )
        table(lines)
        st.markdown("**What each of them assumes**")
        st.markdown(
            "\n".join(f"- **{plain(line.reduction.title)}**: {plain(line.reduction.assumes)}" for line in lines)
        )
    with st.expander("What each of them does", icon=":material/functions:"):
        for line in lines:
            one = line.reduction
            st.markdown(f"**{plain(title(line))}.** {plain(one.does)} :gray[{plain(one.source)}.]")
        st.caption("A temperature is none of them: it changes no ranking, hence no accuracy.")


def title(line: Line) -> str:
    """Its name, with its setting where it has one: CSLS (k = 10)."""
    one = line.reduction
    return f"{one.title} ({one.setting})" if one.setting else one.title


def table(lines: Sequence[Line]) -> None:
    """Top-1 with each correction, the paired difference to none, and what it sees."""
    cells = []
    for line in lines:
        one, difference = line.reduction, ""
        if line.difference is not None:
            ends, _ = interval(line.difference)
            difference = f"{points(line.difference.difference)} [{points(ends.low)}, {points(ends.high)}]"
        cells.append(
            {
                "Correction": plain(title(line)),
                "Top-1 (%)": line.top1.percent(),
                "To none (points)": difference,
                "Sees": "all test clips" if one.transductive else "one clip",
            }
        )
    st.table(
        {head: [row[head].replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}") for row in cells]
         for head in cells[0]},
        border="horizontal",
        hide_index=True,
        alt="Accuracy with each correction, and how much it sees",
    )  # fmt: skip
    found = [line.difference for line in lines if line.difference is not None]
    over = f", over {interval(found[0])[1]}" if found else ""
    st.caption(
        f"In brackets: the 95 % interval of the paired difference{over}. All test clips: of a split, unlabelled."
    )
