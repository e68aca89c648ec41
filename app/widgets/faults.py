"""Class by class: how wide the gap is, whose fault it is that clips are missed, what to do, and the clips behind it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.elements.lib.column_config_utils import ColumnConfigMappingInput
from streamlit.elements.lib.column_types import ColumnConfig

from app import state
from app.services import faults as service
from app.services import scored
from app.services.faults import RIGHT, SIDES, TEXT, VIDEO, Blame
from app.widgets import posters
from app.widgets.gap_numbers import SPACES
from app.widgets.player import film_of
from app.widgets.words import plain
from cezsar.analysis.faults import TOLERATED, ClassFault, widest
from cezsar.report import figures
from cezsar.report.figures import PLOT, number, percent
from cezsar.zeroshot.scored import Scored

MOST_BARS = 20
MOST_PICTURES = 9  # beside the player, as tall as it is
TITLES = {TEXT: "Fault of the text", VIDEO: "Fault of the video", RIGHT: "Right"}
AT_FAULT = {"text": "text", "video": "video", "both": "both", "none": "nobody", None: "–"}
_TABLE, _CHART = "faults-table", "faults-chart"


def classes(item: Scored, on_map: Sequence[str]) -> None:
    """Every class: its errors by whose fault they are, the one that is looked at, and all in a table.

    Args:
        on_map: ids of the clips that the maps show.
    """
    spaces = service.spaces(item)
    if spaces:
        _classes(item, spaces, on_map)


@st.fragment
def _classes(item: Scored, spaces: Sequence[str], on_map: Sequence[str]) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Class by class: whose fault?", anchor=False, width="content")
        space = spaces[-1]
        if len(spaces) > 1:
            space = st.segmented_control(
                "Space", spaces, default=space, format_func=lambda name: SPACES[name][0], required=True,
                key=state.GAP_SPACE, bind="query-params", label_visibility="collapsed",
            )  # fmt: skip
    blame = service.blame(item, space)
    names = scored.scores(item).class_names
    ordered = blame.worst_first
    if st.session_state.get(state.FAULT_CLASS) not in names:
        st.session_state.pop(state.FAULT_CLASS, None)
    _summary(blame, names)
    bars, words = st.columns([6, 5], gap="large")
    with words:  # first, so that the figure knows the class that is chosen
        one = _chosen(ordered, names)
        _verdict(item, blame, one, names)
    with bars:
        _chart(ordered, names, names[one.index])
    _clips(item, blame, one, names, on_map)
    _table(ordered, names, one)


def _summary(blame: Blame, names: Sequence[str]) -> None:
    judged = [one.verdict for one in blame.classes if one.verdict]
    wide = widest(blame.classes)
    said = [
        "Each clip is classified twice: by the nearest prototype, as ever, and by the nearest centroid of a class's "
        "other clips, which needs no descriptions. Missed by the prototypes alone, it is the text's fault; missed by "
        "both, the video's.",
    ]
    if judged:
        said.append(
            f"Of {len(judged):,} classes, {judged.count('text'):,} are missed through their description, "
            f"{judged.count('video'):,} through their clips, {judged.count('both'):,} through both, and "
            f"{judged.count('none'):,} hardly at all (under {100 * TOLERATED:.0f} %)."
        )
    if wide is not None and wide.gap.own_distance is not None:
        said.append(f"Widest gap: *{plain(names[wide.index])}*, {number(wide.gap.own_distance)}.")
    if blame.space == "joint":
        said.append("By the visual embedding alone, without fusion.")
    st.caption(" ".join(said))


# The class that is looked at --------------------------------------------------------------------------------------


def _chosen(ordered: Sequence[ClassFault], names: Sequence[str]) -> ClassFault:
    found = {names[one.index]: one for one in ordered}
    name = st.selectbox(
        "Class", list(found), key=state.FAULT_CLASS, bind="query-params", persist_state="session",
        help="Or click a bar, or a row of the table. The class with the largest error comes first.",
    )  # fmt: skip
    return found[name]


def _verdict(item: Scored, blame: Blame, one: ClassFault, names: Sequence[str]) -> None:
    """Whose fault it is in a sentence, and what to do."""
    st.markdown(finding(blame, one, names))
    for line in advice(blame, one, names):
        st.markdown(line)
    if one.verdict in ("text", "both") or one.hub or one.orphan:
        st.page_link(
            "../pages/library.py",
            label="Rewrite its description in the workshop",
            icon=":material/edit:",
            query_params={
                state.SECTION: state.SECTIONS["workshop"],
                state.ON: item.name,
                state.REWRITE: names[one.index],
            },
        )
    if one.verdict in ("video", "both") and blame.space == "joint":
        st.page_link("../pages/train.py", label="Train another run", icon=":material/model_training:")


def finding(blame: Blame, one: ClassFault, names: Sequence[str]) -> str:
    """How many clips of a class are missed, for what they are taken, and whose fault it is."""
    if one.text_errors is None or one.video_errors is None:
        if not one.gap.clips:
            return "It has no labelled clips here, so nothing can be said of it."
        return "It cannot be judged: that takes a description and at least two clips."
    missed = one.text_errors + one.video_errors
    if not missed:
        return f":green[:material/check:] None of its **{one.gap.clips:,}** clips is missed."
    said = f"**{missed:,} of {one.gap.clips:,}** clips are missed"
    if taken := blame.taken_for(one.index):
        said += f", most often for *{plain(names[taken[0]])}* ({taken[1]:,})"
    return f"{said}: **{one.text_errors:,}** by fault of the text, **{one.video_errors:,}** by fault of the video."


def advice(blame: Blame, one: ClassFault, names: Sequence[str]) -> list[str]:
    """What to do about a class, a sentence for each side at fault, and for a prototype that stands out."""
    said = []
    if one.verdict in ("text", "both"):
        said.append(
            "**Rewrite its description.** The clips that are missed by its fault lie among those of their class, but "
            "the prototype lies elsewhere."
        )
    if one.verdict in ("video", "both"):
        alike = blame.looks_like(one.index)
        others = f" of *{plain(names[alike[0]])}*" if alike else " of other classes"
        if blame.space == "joint":
            said.append(
                f"**Other features or more training.** Some of its clips lie among clips{others}, where no description "
                "can reach them: try a stronger frame encoder, or train on captions that tell the two apart."
            )
        else:
            said.append(
                f"**Better sentences about its clips.** The objects named in them do not tell them from clips{others}: "
                "try another object vocabulary, or captions (γ of Eq. 9)."
            )
    if one.verdict == "none" and one.error:
        said.append(f"With an error of {percent(one.error)} there is little to gain here.")
    if one.hub:
        said.append(
            f"Its prototype is a **hub**: it draws {one.drawn:,} clips of other classes, far more than others do. A "
            "description that says more of what only this class has draws fewer."
        )
    if one.orphan:
        said.append("Its prototype is an **orphan**: no clip at all is nearest to it.")
    return said


# The chart and the table ------------------------------------------------------------------------------------------


def _chart(ordered: Sequence[ClassFault], names: Sequence[str], chosen: str) -> None:
    missed = [one for one in ordered if one.error][:MOST_BARS]
    if all(one.error is None for one in ordered):
        st.info("No class has a description and two labelled clips, so none can be judged.", icon=":material/info:")
        return
    if not missed:
        st.success("No clip is missed in this space.", icon=":material/check:")
        return
    listed = [names[one.index] for one in missed]
    shares = [one.text_fault or 0.0 for one in missed], [one.video_fault or 0.0 for one in missed]
    st.plotly_chart(
        figures.faults(listed, *shares, chosen),
        key=_CHART,
        config=PLOT,
        on_select=partial(_clicked, listed),
        selection_mode="points",
        alt="Missed clips of each class, by fault of the text and of the video: "
        + "; ".join(
            f"{name} {percent(text)} and {percent(video)}" for name, text, video in zip(listed, *shares, strict=True)
        ),
    )
    more = sum(bool(one.error) for one in ordered) - len(missed)
    if more:
        st.caption(f"The {MOST_BARS} classes with the largest errors; {more:,} more are in the table.")


def _clicked(listed: Sequence[str]) -> None:
    """Callback of the chart: a bar is the class looked at."""
    points = st.session_state[_CHART]["selection"]["points"]
    if points and points[0]["point_index"] < len(listed):
        _look_at(listed[points[0]["point_index"]])


def _table(ordered: Sequence[ClassFault], names: Sequence[str], chosen: ClassFault) -> None:
    rows = [
        {
            "class": names[one.index],
            "clips": one.gap.clips,
            "missed": None if one.error is None else 100 * one.error,
            "text": None if one.text_fault is None else 100 * one.text_fault,
            "video": None if one.video_fault is None else 100 * one.video_fault,
            "verdict": AT_FAULT[one.verdict],
            "stands": "hub" if one.hub else "orphan" if one.orphan else "",
            "own": one.gap.own_distance,
            "other": names[one.gap.nearest_other] if one.gap.nearest_other is not None else "",
            "distance": one.gap.nearest_other_distance,
            "lead": one.gap.lead,
            "spread": one.gap.spread,
        }
        for one in ordered
    ]
    st.session_state[_TABLE] = {"selection": {"rows": [ordered.index(chosen)], "columns": [], "cells": []}}
    st.dataframe(
        rows,
        hide_index=True,
        height=min(38 + 35 * len(rows), 430),
        column_config=_columns(),
        key=_TABLE,
        on_select=partial(_picked, [names[one.index] for one in ordered]),
        selection_mode="single-row",
        alt="Each class's errors by whose fault they are, and its distances to descriptions",
    )
    st.caption(
        "Choose a row to look at its class; click a column's head to sort. Distances are cosine distances, 0 to 2."
    )


def _picked(listed: Sequence[str]) -> None:
    """Callback of the table: a row is the class looked at."""
    rows = st.session_state[_TABLE].selection.rows
    if rows and rows[0] < len(listed):
        _look_at(listed[rows[0]])


def _look_at(name: str) -> None:
    st.session_state[state.FAULT_CLASS] = name
    st.session_state.pop(state.FAULT_SIDE, None)


def _columns() -> ColumnConfigMappingInput:
    text, figure = st.column_config.TextColumn, st.column_config.NumberColumn

    def share(title: str, help_text: str) -> ColumnConfig:
        return figure(title, format="%.1f %%", width="small", help=help_text)

    return {
        "class": text("class", pinned=True, width=210),
        "clips": figure("clips", width="small"),
        "missed": share("missed ↓", "Share of its clips whose nearest prototype is another class's."),
        "text": share("text ↓", "Fault of the text: prototypes are wrong, centroids right. Share of its clips."),
        "video": share("video ↓", "Fault of the video: both are wrong. Share of its clips."),
        "verdict": text(
            "at fault", width="small",
            help="The side that makes two thirds of the errors or more, else both; nobody where less than 10 % are "
            "missed.",
        ),
        "stands": text(
            "stands out", width="small",
            help="Hub: its prototype draws more clips of other classes than the mean by two deviations. Orphan: no "
            "clip is nearest to it.",
        ),
        "own": figure("gap ↓", format="%.2f", width="small", help="From its centroid to its own prototype."),
        "other": text("nearest other description", help="Where its clips are drawn to instead."),
        "distance": figure("distance to it ↑", format="%.2f", help="From its centroid to that prototype."),
        "lead": figure(
            "lead ↑", format="%+.2f", width="small",
            help="How much nearer the own prototype is; below 0 most clips go wrong.",
        ),
        "spread": figure(
            "spread ↓", format="%.2f", width="small", help="Mean distance of the class's clips from their centroid."
        ),
    }  # fmt: skip


# Its clips --------------------------------------------------------------------------------------------------------


def _clips(item: Scored, blame: Blame, one: ClassFault, names: Sequence[str], on_map: Sequence[str]) -> None:
    """Its clips by whose fault they are, as pictures; one of them is played."""
    found = blame.clips(one.index)
    if not found:
        return
    side = _side(found, names[one.index])
    ids = scored.scores(item).ids
    here = {ids[blame.row_N[clip]]: clip for clip in found[side]}
    if st.session_state.get(state.FAULT_CLIP) not in here:
        st.session_state[state.FAULT_CLIP] = next(iter(here))
    chosen = st.session_state[state.FAULT_CLIP]
    grid, screen = st.columns([6, 5], gap="large")
    with grid:
        cards = [_card(blame, clip_id, clip, names) for clip_id, clip in list(here.items())[:MOST_PICTURES]]
        posters.cards(st.container(key="cards"), item, cards, chosen, state.FAULT_CLIP)
        if len(here) > len(cards):
            st.caption(f"The first {len(cards)} of {len(here):,}.")
    with screen:
        clip = here[chosen]
        film_of(
            item, chosen, names[one.index], caption=_nearest(blame, clip, names), alt=f"The clip {chosen} of the class"
        )
        _to_maps([clip_id for clip_id in here if clip_id in set(on_map)], chosen)


def _side(found: dict[str, list[int]], name: str) -> str:
    """Which of its clips are shown, those of the greater fault first."""
    sides = [side for side in SIDES if side in found]
    most = max(sides, key=lambda side: (side != RIGHT, len(found[side])))
    if st.session_state.get(state.FAULT_SIDE) not in sides:
        st.session_state.pop(state.FAULT_SIDE, None)
    side: str = st.segmented_control(
        f"Clips of {plain(name)}", sides, default=most, required=True, key=state.FAULT_SIDE, bind="query-params",
        format_func=TITLES.__getitem__,
    )  # fmt: skip
    return side


def _card(blame: Blame, clip_id: str, clip: int, names: Sequence[str]) -> posters.Card:
    label, taken = names[blame.label_N[clip]], _named(blame.prototype_N[clip], names)
    words = ":green[:material/check:]" if taken == label else f":orange[:material/arrow_forward:] {plain(taken)}"
    return posters.Card(clip_id, label, words, f"A frame of {clip_id}: {label}, nearest to {taken}")


def _named(index: int, names: Sequence[str]) -> str:
    return names[index] if index >= 0 else "nothing"


def _nearest(blame: Blame, clip: int, names: Sequence[str]) -> str:
    by_text, by_clips = (_named(index, names) for index in (blame.prototype_N[clip], blame.centroid_N[clip]))
    return f"Nearest prototype: *{plain(by_text)}*. Nearest centroid: *{plain(by_clips)}*."


def _to_maps(ids: Sequence[str], chosen: str) -> None:
    """A button that lets these clips stand out on the maps."""
    if not ids:
        return
    if st.button(
        "Show these on the maps", icon=":material/scatter_plot:", key="faults-to-maps", on_click=_select,
        args=(ids, chosen), help="They stand out on the maps above, and this clip is ringed.",
    ):  # fmt: skip
        st.rerun()  # the maps, too, and not this part alone


def _select(ids: Sequence[str], chosen: str) -> None:
    st.session_state[state.MAP_PICKED], st.session_state[state.MAP_TOUCHED] = list(ids), None
    st.session_state[state.MAP_CLIP] = chosen if chosen in ids else ids[0]
