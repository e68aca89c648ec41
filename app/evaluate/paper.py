"""What has been published, as tables: for those who have no such data set at hand, too."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.widgets.words import plain
from cezsar.zeroshot import published
from cezsar.zeroshot.protocols import HARD_15
from cezsar.zeroshot.published import HARD, Published


def show() -> None:
    """Tables 1 and 2 of the paper, its hard classes, and later work that is not zero-shot in the strict sense."""
    ucf, kinetics, hard, later = st.tabs(["UCF-101", "Kinetics-400", "Hard classes", "Later work"])
    strict = [row for row in published.ROWS if row.strict]
    with ucf:
        _pivot([row for row in strict if row.dataset == "ucf101" and row.classes in (101, 50, 20)])
        st.caption(
            "Table 1 of Estevam et al., CEZSAR, ICPR 2026: top-1 accuracy in percent by the number of test classes; 50 "
            "and 20 are drawn at random, and ± is the deviation over these draws. 664, 605 and 595 are classes of "
            "Kinetics and other sets."
        )
    with kinetics:
        _pivot([row for row in strict if row.dataset == "kinetics400"])
        st.caption("Table 2 of the same paper. CEZSAR's figures are over the 242,658 clips that could still be had.")
    with hard:
        rows = [row for row in strict if row.protocol == HARD or row.classes == len(HARD_15)]
        _list(rows)
        st.caption(
            "Section 5: 15 classes of UCF-101 that look much alike, in six groups, beside 15 at random (30 draws): "
            f"{', '.join(HARD_15)}."
        )
    with later:
        _list([row for row in published.ROWS if not row.strict])
        st.caption(
            "On UCF-101, with models of the CLIP family. They have seen test classes, or close relatives, with labels: "
            "most were fine-tuned on Kinetics-400. So they are not zero-shot in the strict sense."
        )


def _pivot(rows: Sequence[Published]) -> None:
    """A line a method, a column for each number of test classes."""
    sizes = sorted({row.classes for row in rows}, reverse=True)
    lines: dict[tuple[str, ...], dict[int, str]] = {}
    for row in rows:
        key = (row.method, row.modality, row.source, row.training)
        lines.setdefault(key, {})[row.classes] = row.accuracy.percent()
    best = {n: max((row.accuracy for row in rows if row.classes == n), key=lambda a: a.mean) for n in sizes}
    columns: dict[str, list[str]] = {
        "Method": [plain(method) for method, *_ in lines],
        "Modality": [modality for _, modality, *_ in lines],
        "Trained on classes": [training for *_, training in lines],
    }
    for size in sizes:
        texts = [figures.get(size, "–") for figures in lines.values()]
        columns[f"{size} classes"] = [f"**{text}**" if text == best[size].percent() else text for text in texts]
    columns["Source"] = [plain(source) for _, _, source, _ in lines]
    st.table(columns, border="horizontal", hide_index=True, alt="Published accuracies by number of test classes")


def _list(rows: Sequence[Published]) -> None:
    st.table(
        {
            "Method": [plain(row.method) for row in rows],
            "Modality": [row.modality or "–" for row in rows],
            "Trained on classes": [row.training for row in rows],
            "Tested on": [row.protocol for row in rows],
            "Top-1 (%)": [row.accuracy.percent() for row in rows],
            "Source": [plain(row.source) for row in rows],
        },
        border="horizontal",
        hide_index=True,
        alt="Published accuracies",
    )
