"""The page Semantic gap: where clips and class descriptions lie in the raw, the sentence and the joint space."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import choosers, scored, show
from app.semantic_gap import explorer
from app.semantic_gap.classes import classes
from app.semantic_gap.numbers import domain_shift, groups, numbers
from cezsar.report.figures import COLOURS
from cezsar.zeroshot.scored import Scored


def page() -> None:
    st.title("Semantic gap", anchor=False)
    st.markdown(
        "How far clips lie from the descriptions of their classes, before and after the joint space is learned."
    )
    about, colouring = st.columns([5, 6], gap="large")
    with about:
        item = choosers.scored_set()
    if item is None:
        return None
    if not item.has_clouds:
        return show.info("It was kept without its points, to save space: choose another run.")
    with show.explained():
        with colouring:
            chosen = coloured(item)
            by = choosers.segments(
                "Select clips by", {state.CLICK: "Click", state.LASSO: "Lasso"}, state.SELECT_BY, "Click: a point, or "
                "several with Shift; a star takes the clips of its class. Lasso: drag around some.",
            )  # fmt: skip
        with about:
            wanted = explorer.settings(item, chosen)
        if drawn := explorer.find(item, wanted):
            explorer.explore(item, drawn, chosen, by == state.LASSO)
        else:
            explorer.missing(item, wanted)
        numbers(item)
        classes(item, drawn)
        domain_shift(item)
    return None


def coloured(item: Scored) -> list[str]:
    """The classes with a colour: until somebody chooses, those of the first two groups, as far as they fit."""
    own, most, first = choosers.own_groups(), len(COLOURS), dict[str, None]()  # past eight no palette is told apart
    ready = groups(item, own)
    for members in [members for name, members in ready.items() if name not in own][:2]:
        first |= dict.fromkeys(members) if len(first) + len(members) <= most else {}
    names = scored.scores(item).class_names
    return choosers.classes("Coloured classes, at most eight", names, ready, default=list(first), most=most)
