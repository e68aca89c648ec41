"""Confusion: which classes are taken for which, by which clips, and what look-alikes cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app.services import confusion as services
from app.widgets import confusion as widgets
from app.widgets import controls, hard_groups, matrices, pairs, words
from cezsar.analysis.confusion import matching_groups
from cezsar.data.labels import Groups
from cezsar.errors import CezsarError


def page() -> None:
    st.title("Confusion", anchor=False)
    st.markdown("Which classes are taken for which, the clips behind every number, and what look-alikes cost.")
    try:
        asked = widgets.sides()
        if asked is not None:
            about(*asked)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")


def about(a_side: services.Side, b_side: services.Side | None) -> None:
    """Everything about one matrix, or two."""
    hard_groups.last_words()
    own = hard_groups.own_groups()
    names = services.shared_classes(a_side.item, b_side.item if b_side else None)
    if len(names) < 2:
        st.info("These two data sets share fewer than two classes, so there is nothing to compare. Choose another.")
        return
    sources = services.sources(a_side, own)
    classes, restricted = widgets.classes(names, sources)
    if len(classes) < 2:
        st.info("Choose at least two classes, and their matrix appears here.", icon=":material/grid_on:")
        return
    numbers = st.container()
    as_counts, order = matrices.look(len(classes))
    classes = services.in_order(a_side, classes, restricted, order)
    a = services.matrix(a_side, classes, restricted)
    b = services.matrix(b_side, classes, restricted) if b_side else None
    if b is not None:
        a, b = services.with_same_columns(a, b)

    sheets, files, behind, last = (st.container() for _ in range(4))
    with behind:
        st.subheader("Clips of one cell", anchor=False)
        chosen = widgets.cell(a, widgets.default_cell(a, b))
    with last:
        groups = of_groups(a, b, sources, own, names)
    with numbers:
        hard_groups.headline(a, b, groups)
    with sheets:
        show(a, b, chosen, as_counts)
    with files:
        widgets.downloads(a, b, groups)
    with behind:  # comes last, since clips may have to be read
        widgets.shots(a, b, chosen)


def of_groups(
    a: services.Matrix,
    b: services.Matrix | None,
    sources: Mapping[str, Mapping[str, Sequence[str]]],
    own: Groups,
    names: Sequence[str],
) -> Mapping[str, Sequence[str]]:
    """Errors within and between the hard groups that are chosen here, and whether these are harder than random ones."""
    st.subheader("Hard groups", anchor=False)
    source = hard_groups.whose(sources)
    groups = sources.get(source, {})
    hard_groups.table(a, b, groups, source)
    controls.control(a, b, matching_groups(groups, names))
    if source == services.PROPOSED:
        hard_groups.keep_proposed(groups, own)
    if source == services.OWN:
        hard_groups.editor(own, names, a.classes if len(a.classes) < len(names) else [])
    return groups


def show(a: services.Matrix, b: services.Matrix | None, chosen: tuple[str, str], as_counts: bool) -> None:
    """The matrix, or two and their difference, beside the pairs."""
    matrices.begin_zoom()
    large = len(a.classes) > matrices.MOST_CELLS
    sheet = matrices.sheet(a, "matrix", a.side.title, as_counts)
    if b is not None:
        both = [sheet, matrices.sheet(b, "second", b.side.title, as_counts)]
        for letter, column, drawn in zip("AB", st.columns(2, gap="medium"), both, strict=True):
            with column:
                matrices.draw(drawn, chosen, letter)
        sheet = matrices.difference_sheet(a, b)
    left, right = st.columns(2 if large else [6, 5], gap="medium")
    with left:
        matrices.draw(sheet, chosen)
    with right:
        if large:
            matrices.draw_part(sheet, chosen)
    with st.container() if large else right:
        if b is None:
            pairs.most_confused(a, chosen)
        else:
            pairs.changed(a, b, chosen)


page()
