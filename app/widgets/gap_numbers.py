"""The semantic gap in numbers: the chief ones in a column for each space, and all of them, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import streamlit as st

from app.services import scored
from app.services import semantic_gap as service
from app.widgets.words import plain
from cezsar.analysis.gap import Change, Definition, Gap
from cezsar.report.figures import number, percent, points
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
CHIEF = ("rank_1", "rank_mean", "alignment", "modality_gap", "silhouette", "purity", "biggest_hub_share")
SHARES = {"nearest_prototype", "own_prototype", "purity", "purity_by_chance", "biggest_hub_share", "rank_1", "rank_5",
          "prototype_on_own"}  # fmt: skip
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def numbers(item: Scored) -> None:
    """What the pictures only suggest: a column of figures for each space, and a table of all."""
    gaps, names = service.gaps(item), scored.scores(item).class_names
    found = service.changes(item)
    st.subheader("The gap in numbers", anchor=False)
    some = next(iter(gaps.values()))
    beside = " Beside a number, its change from the space before: green is better, orange is worse."
    st.caption(
        f"Over {some.clips:,} clips and all {len(names):,} classes, in the full spaces and not in the plane. "
        f"↑ higher is better, ↓ lower is better.{beside if len(gaps) > 1 else ''}"
    )
    chief = {change.name: change for change in found}
    with st.container(key="numbers"):
        for column, (space, gap) in zip(st.columns(len(gaps), gap="small"), gaps.items(), strict=True):
            with column.container(border=True, gap="xsmall", key=f"numbers-{space}"):
                st.markdown(f"**{SPACES[space][0]}**")
                for name in CHIEF:
                    _chief(chief[name], space, gap, names)
    with st.expander("All numbers, and what they mean", icon=":material/table_rows:"):
        st.table(_rows(found), hide_index=True, border="horizontal", alt="All numbers of the gap in each space")
        last = list(gaps.values())[-1]
        said = [f"**{one.figure.title}**: {plain(meaning(one.figure) + _here(one.name, last, names))}" for one in found]
        st.caption("\n".join(f"- {line}" for line in said))


def figure_row(title: str, help_text: str, value: str) -> None:
    """A number with its name, in a card."""
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
        st.markdown(title, help=help_text, width="content")
        st.markdown(value, width="content")


def _chief(change: Change, space: str, gap: Gap, names: Sequence[str]) -> None:
    """One number in one space, with its change from the space before."""
    spaces = list(change.values)
    before = next((a for a, b in pairwise(spaces) if b == space), None)
    moved = "" if before is None else stepped(change, before, space)
    figure_row(title(change.figure), _help(change, space, gap, names), f"{moved} **{value(change, space)}**".strip())


def title(figure: Definition) -> str:
    """Its name, and an arrow to where it is better."""
    return figure.title + ARROWS[figure.better]


def value(change: Change, space: str) -> str:
    """A number as it is shown."""
    found = change.values[space]
    if found is None:
        return "–"
    return percent(found) if change.name in SHARES else number(found)


def stepped(change: Change, before: str, after: str) -> str:
    """How a number changes, signed, in points where it is a share; green or orange where it gets better or worse."""
    step = change.between(before, after)
    if step is None:
        return ""
    signed = points(step) if change.name in SHARES else f"{'+' if step >= 0 else ''}{number(step)}"
    better = change.better(before, after)
    return signed if better is None else f":{'green' if better else 'orange'}[{signed}]"


def _help(change: Change, space: str, gap: Gap, names: Sequence[str]) -> str:
    none = " Not defined here: raw features have no sentences." if change.values[space] is None else ""
    return plain(f"{meaning(change.figure)}{_here(change.name, gap, names)}{none}")


def meaning(figure: Definition) -> str:
    """Definition, range and source of a number."""
    return f"{figure.definition[0].upper()}{figure.definition[1:]}. Range: {figure.range}. Source: {figure.source}."


def _here(name: str, gap: Gap, names: Sequence[str]) -> str:
    """What goes with a number in one space."""
    if name == "biggest_hub_share" and gap.biggest_hub is not None:
        return f" Here it is {names[gap.biggest_hub]}."
    k = {"purity": gap.k, "hubness_k": gap.k_prototypes}.get(name)
    chance = gap.purity_by_chance if name == "purity" else None
    return (f" Here k = {k}." if k else "") + ("" if chance is None else f" By chance: {percent(chance)}.")


def _rows(found: Sequence[Change]) -> list[dict[str, str]]:
    """All numbers in all spaces, and the last step; short heads, so that a phone has room for them."""
    rows = []
    for change in found:
        spaces = list(change.values)
        row = {"": title(change.figure)} | {space.capitalize(): value(change, space) for space in spaces}
        if len(spaces) > 1:
            row[f"change to {spaces[-1]}"] = _worded(change, *spaces[-2:])
        rows.append(row)
    return rows


def _worded(change: Change, before: str, after: str) -> str:
    if change.figure.better == "neither":
        return ""
    better = change.better(before, after)
    word = "" if better is None else " better" if better else " worse"
    return (stepped(change, before, after) or "–") + word
