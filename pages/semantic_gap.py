"""Semantic gap: where clips and class descriptions lie in the raw, the sentence and the joint space."""

from __future__ import annotations

import streamlit as st

from app.services import scored
from app.services import semantic_gap as service
from app.widgets import choosers, domain_shift, faults, gap_numbers, hard_groups, words
from app.widgets import semantic_gap as widgets
from cezsar.analysis import maps
from cezsar.errors import CezsarError, FormatError
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
        return
    if not item.has_clouds:
        st.info(
            f"{words.plain(scored.title(item))} was kept without its points, to save space: choose another run above.",
            icon=":material/info:",
        )
        return
    try:
        show(item, about, colouring)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


def show(item: Scored, about: st.delta_generator.DeltaGenerator, colouring: st.delta_generator.DeltaGenerator) -> None:
    """Choices, maps, numbers, classes."""
    with colouring:
        chosen = choosers.classes(
            "Coloured classes, at most eight",
            scored.scores(item).class_names,
            service.groups(item, hard_groups.own_groups()),
            default=service.first_classes(item),
            most=service.MOST_CLASSES,
        )
        by = widgets.select_by()
    with about:
        wanted = widgets.settings(item, chosen)
    drawn = read(item, wanted)
    if drawn is None:
        widgets.missing(item, wanted)
    else:
        widgets.explore(item, drawn, chosen, by)
    gap_numbers.numbers(item)
    faults.classes(item, service.shown(item, drawn).ids if drawn else [])
    domain_shift.domain_shift(item)


def read(item: Scored, wanted: maps.MapSettings) -> maps.Map | None:
    """The map, if somebody has drawn it; a damaged one is drawn again."""
    path = service.path_of(item, wanted)
    try:
        return service.read(path) if path else None
    except FormatError as error:
        st.error(words.sentence(error), icon=":material/error:")
        return None


page()
