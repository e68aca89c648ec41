"""Evaluate: the field's tables for a run, with what lies behind the figures."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.services import evaluate as services
from app.services.evaluate import Row
from app.widgets import choosers, comparison, corrections, published, scoring, unknown, words
from app.widgets import evaluate as widgets
from cezsar.errors import CezsarError
from cezsar.zeroshot import tables
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored


def page() -> None:
    st.title("Evaluate", anchor=False)
    st.markdown("How often a run names actions right that it was never trained on, and which ones it takes for others.")
    scoring.take_finished()
    try:
        evaluation()
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
    st.divider()
    with st.expander("What the paper reports", icon=":material/article:"):
        published.paper()
    with st.expander("Evaluate another data set", icon=":material/add:"):
        scoring.another()
    scoring.running()


def evaluation() -> None:
    """What is asked at the left, the table at the right, and below them what is looked at more closely."""
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        item = choosers.scored_set()
        if item is None:
            return
        items = [item, *widgets.others(item)]
        protocol = widgets.protocol(item)
        wanted, weights = widgets.modalities(items)
    if protocol is None:
        return
    with answering:
        rows, controls = evaluated(items, protocol, wanted, weights)
        if not rows:
            st.info("Choose at least one modality that the run has.", icon=":material/info:")
            return
        figures(items, rows, controls, protocol)
    look = widgets.look()
    if look == widgets.SPLITS:
        below([*rows, *controls])
    else:
        closer(look, rows, controls, protocol)


@st.fragment
def closer(look: str, rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """A part of the page that is computed when it is asked for; its own widgets run this and nothing else."""
    try:
        if look == widgets.DIFFERENCE:
            comparison.differences([*rows, *controls], protocol)
        elif look == widgets.OPEN:
            unknown.none_of_these(rows, protocol)
        elif look == widgets.CORRECTED:
            corrections.corrections(rows, protocol)
        else:
            unknown.reliability(rows, protocol)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


def below(rows: Sequence[Row]) -> None:
    """Split by split, one split in full, and every class."""
    several = len(rows[0].result.runs) > 1
    widgets.take_click(rows)
    st.subheader("Split by split" if several else "Class by class", anchor=False)
    if several:
        left, right = st.columns([4, 9], gap="large")
        with left:
            row = widgets.choose_row(rows)
            split = widgets.choose_split(rows[row])
        with right:
            st.caption(widgets.spread(rows[row]))
            widgets.splits(rows, row, split)
    else:
        with st.container(width=400):
            row, split = widgets.choose_row(rows), 0
    widgets.split_in_full(rows[row], split)
    st.subheader("Every class, over all splits" if several else "Every class", anchor=False)
    widgets.per_class(rows, row)


def evaluated(
    items: Sequence[Scored], protocol: Protocol, wanted: Sequence[str], weights: Weights | None
) -> tuple[list[Row], list[Row]]:
    """Rows of the runs and of what they are compared with; with progress, where that takes a while."""
    waiting = st.empty()
    progress = None
    if services.large(items, protocol):

        def progress(share: float, text: str) -> object:
            return waiting.progress(share, text=words.plain(text))

    rows = services.rows_of(items, protocol, wanted, weights, progress)
    waiting.empty()
    return rows, services.controls(items[0], protocol, items)


def figures(items: Sequence[Scored], rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """The table, what to know about it, and the exports."""
    name = services.title(items[0])
    others = services.published_rows(items[0], protocol)
    lines = widgets.blocks(rows, controls, others)
    st.markdown(f"**{words.plain(name)}**, {words.plain(tables.title([row.result for row in rows]))}")
    if not services.same_clips(items):
        st.warning(
            "These runs were scored on different clips: do not compare their figures.", icon=":material/warning:"
        )
    widgets.table(lines)
    if controls:
        st.caption(
            "In grey what is not recognition of actions: the place oracle is told where a clip takes place and knows "
            "how often each action occurs there; colour only is a run that sees colours and no shape or movement."
        )
    widgets.published_notes(others)
    widgets.exports([*rows, *controls], lines, name)


page()
