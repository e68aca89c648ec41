"""The semantic gap in numbers: a column of figures for each space, and a table of classes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state
from app.charts.style import number, percent
from app.services import scored
from app.services import semantic_gap as service
from app.widgets.words import plain
from cezsar.analysis.gap import FIGURES, Gap
from cezsar.zeroshot.scored import Scored

SPACES = {
    "raw": ("Raw features", "What the frame encoder sees, before any training: the mean of a clip's frame features."),
    "sentence": (
        "Sentence space",
        "The sentence encoder's own space: of a clip, the sentence made of its recognised objects, O(v); of a class, "
        "its description. Clips with the same objects have the same sentence, and lie on one point.",
    ),
    "joint": (
        "Joint space",
        "Where the trained model puts clips, VE(v) of Eq. 5, and class descriptions, the prototypes SE(z) of Eq. 6.",
    ),
}
NUMBERS = ("nearest_prototype", "own_prototype", "modality_gap", "silhouette", "purity", "hubness_1", "hubness_k",
           "biggest_hub_share")  # fmt: skip
SHARES = ("nearest_prototype", "own_prototype", "purity", "biggest_hub_share")
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def numbers(item: Scored) -> None:
    """What the pictures only suggest: a column of figures for each space."""
    found, names = service.gaps(item), scored.scores(item).class_names
    st.subheader("The gap in numbers", anchor=False)
    some = next(iter(found.values()))
    st.caption(
        f"Over {some.clips:,} clips and all {len(names):,} classes, in the full spaces and not in the plane. "
        "↑ higher is better, ↓ lower is better."
    )
    with st.container(key="numbers"):
        for column, (space, gap) in zip(st.columns(len(found), gap="small"), found.items(), strict=True):
            with column.container(border=True, gap="xsmall", key=f"numbers-{space}"):
                st.markdown(f"**{SPACES[space][0]}**")
                for field in NUMBERS:
                    figure = FIGURES[field]
                    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
                        st.markdown(figure.title + ARROWS[figure.better], help=_help(field, gap), width="content")
                        st.markdown(f"**{value(gap, field, names)}**", width="content")


def value(gap: Gap, field: str, names: Sequence[str]) -> str:
    """A number of the gap as it is shown."""
    found = getattr(gap, field)
    if found is None:
        return "–"
    text = percent(found) if field in SHARES else number(found)
    if field == "biggest_hub_share" and gap.biggest_hub is not None:
        text += f" {plain(names[gap.biggest_hub])}"
    if field == "purity" and gap.purity_by_chance is not None:
        text += f" (chance {percent(gap.purity_by_chance)})"
    return text


def _help(field: str, gap: Gap) -> str:
    figure = FIGURES[field]
    k = {"purity": gap.k, "hubness_k": gap.k_prototypes}.get(field)
    here = f" Here k = {k}." if k else ""
    none = " Not defined here: raw features have no sentences." if getattr(gap, field) is None else ""
    text = f"{figure.definition[0].upper()}{figure.definition[1:]}. Range: {figure.range}. Source: {figure.source}."
    return plain(text + here + none)


def class_table(item: Scored) -> None:
    """Every class's part of the gap, the widest first."""
    names = scored.scores(item).class_names
    spoken = {space: rows for space, rows in service.class_gaps(item).items() if rows[0].own_distance is not None}
    if not spoken:
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Class by class", anchor=False, width="content")
        space = list(spoken)[-1]
        if len(spoken) > 1:
            space = st.segmented_control(
                "Space", list(spoken), default=space, format_func=lambda name: SPACES[name][0], required=True,
                key=state.GAP_SPACE, bind="query-params", label_visibility="collapsed",
            )  # fmt: skip
    st.caption("Cosine distances, 0 to 2, from the centroid of a class's clips. The widest gap comes first.")
    rows = [
        {
            "class": names[one.index],
            "clips": one.clips,
            "own": one.own_distance,
            "other": names[one.nearest_other] if one.nearest_other is not None else "",
            "distance": one.nearest_other_distance,
            "lead": one.lead,
            "spread": one.spread,
        }
        for one in sorted(spoken[space], key=lambda one: -(one.own_distance or 0.0))
    ]
    column = st.column_config
    st.dataframe(
        rows,
        hide_index=True,
        alt="Each class's distance to its own description and to the nearest other",
        column_config={
            "class": column.TextColumn("class", pinned=True),
            "clips": column.NumberColumn("clips", width="small"),
            "own": column.NumberColumn(
                "to its own description ↓",
                format="%.2f",
                help="From the centroid to the class's own prototype: its gap.",
            ),
            "other": column.TextColumn("nearest other description", help="Where its clips are drawn to instead."),
            "distance": column.NumberColumn(
                "distance to it ↑", format="%.2f", help="From the centroid to that prototype."
            ),
            "lead": column.NumberColumn(
                "lead ↑", format="%+.2f", help="How much nearer the own prototype is; below 0 most clips go wrong."
            ),
            "spread": column.NumberColumn(
                "spread ↓", format="%.2f", help="Mean distance of the class's clips from their centroid."
            ),
        },
    )
