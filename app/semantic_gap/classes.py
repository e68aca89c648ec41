"""Class by class: how wide the gap is, whose fault it is that clips are missed, what to do, and the clips behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, state
from app.parts import player, scored, show
from app.parts.words import plain
from app.semantic_gap.explorer import pick
from app.semantic_gap.numbers import SPACES, clouds, unit_space
from cezsar.analysis.gap import TOLERATED, UnitSpace, faults, nearest_centroid
from cezsar.analysis.maps import Map
from cezsar.report import figures
from cezsar.report.figures import PLOT, number, percent
from cezsar.zeroshot.scored import Scored

MOST_BARS = 20
MOST_PICTURES = 9  # beside the player, as tall as it is
TABLE, CHART = "faults-table", "faults-chart"
SIDES = {"text": "Fault of the text", "video": "Fault of the video", "right": "Right"}
SHARE, DISTANCE = "%.1f %%", "%.2f"
COLUMNS = {  # column of the table -> its head, the form of its numbers, and its help
    "clips": ("clips", "%d", None),
    "missed": ("missed ↓", SHARE, "Share of its clips whose nearest prototype is another class's."),
    "text": ("text ↓", SHARE, "Fault of the text: prototypes are wrong, centroids right. Share of its clips."),
    "video": ("video ↓", SHARE, "Fault of the video: both are wrong. Share of its clips."),
    "verdict": ("at fault", "", "Who makes two thirds of the errors, else both; nobody if less than 10 % are missed."),
    "stands": ("stands out", "", "Hub: draws more clips of other classes than the mean prototype by two deviations. "
               "Orphan: no clip is nearest to it."),
    "own": ("gap ↓", DISTANCE, "From its centroid to its own prototype."),
    "other": ("nearest other description", "", "Where its clips are drawn to instead."),
    "distance": ("distance to it ↑", DISTANCE, "From its centroid to that prototype."),
    "lead": ("lead ↑", "%+.2f", "How much nearer the own prototype is; below 0 most clips go wrong."),
    "spread": ("spread ↓", DISTANCE, "Mean distance of the class's clips from their centroid."),
}  # fmt: skip


class Blame(NamedTuple):
    """Classes by error, of equal ones by gap, those that cannot be judged last, with what `faults` has of them; and of
    each clip its class, its nearest prototype's and centroid's, and the key of `SIDES`."""

    classes: list[Any]
    clips: pd.DataFrame  # "own", "prototype", "centroid", "side"


def blame(space: UnitSpace) -> Blame:
    ordered = faults(space).sort_values(["error", "own_distance"], ascending=False, kind="stable")
    nearest = {"own": space.labels_N, "prototype": space.nearest_N, "centroid": nearest_centroid(space)}
    clips = pd.DataFrame(nearest)
    side = np.select([clips.own == clips.prototype, clips.own == clips.centroid], ["right", "text"], "video")
    return Blame(list(ordered.itertuples()), clips.assign(side=side))


@st.fragment
def classes(item: Scored, drawn: Map | None) -> None:
    """Each class's errors by whose fault they are: one class with its clips, and all in a table."""
    spaces = [space for space, cloud in clouds(item)[1].items() if len(cloud.prototypes_PE)]
    if not spaces:
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Class by class: whose fault?", anchor=False, width="content")
        space = spaces[-1]
        if len(spaces) > 1:
            space = st.segmented_control(
                "Space", spaces, default=space, format_func=lambda name: SPACES[name][0], required=True,
                key=state.GAP_SPACE, bind="query-params", label_visibility="collapsed",
            )  # fmt: skip
    names, key = scored.scores(item).class_names, ("faults", item.fingerprint, space)
    found = cache.once(lambda: blame(unit_space(item, space)), *key, words="Looking whose fault it is")
    listed = {names[one.Index]: one for one in found.classes}
    _summary(listed, space)
    bars, words = st.columns([6, 5], gap="large")
    with words:  # first, so that the figure knows the class that is chosen
        if st.session_state.get(state.FAULT_CLASS) not in listed:
            st.session_state.pop(state.FAULT_CLASS, None)
        help = "Or click a bar, or a row of the table. The class with the largest error comes first."
        name = st.selectbox("Class", list(listed), key=state.FAULT_CLASS, help=help, **state.KEPT)
        one = listed[name]
        clips = found.clips[found.clips.own == one.Index]
        for line in advice(one, clips, names, space):
            st.markdown(line)
        if one.verdict in ("text", "both") or one.hub or one.orphan:
            st.page_link(
                "../pages/library.py", label="Rewrite its description in the workshop", icon=":material/edit:",
                query_params={state.SECTION: state.SECTIONS["workshop"], state.ON: item.name, state.REWRITE: name},
            )  # fmt: skip
        if one.verdict in ("video", "both") and space == "joint":
            st.page_link("../pages/train.py", label="Train another run", icon=":material/model_training:")
    with bars:
        _chart(listed, name)
    if len(clips):
        _clips(item, clips, name, drawn)
    _table(listed, names, name)


def _summary(listed: Mapping[str, Any], space: str) -> None:
    said = (
        "Each clip is classified twice: by the nearest prototype and, without descriptions, by the nearest centroid of "
        "a class's other clips. Wrong by the prototypes alone is the text's fault; wrong by both, the video's."
    )
    if verdicts := [one.verdict for one in listed.values() if one.verdict]:
        said += (
            f" Of {len(verdicts):,} classes, {verdicts.count('text'):,} are missed through their description, "
            f"{verdicts.count('video'):,} through their clips, {verdicts.count('both'):,} through both, and "
            f"{verdicts.count('none'):,} hardly at all (under {100 * TOLERATED:.0f} %)."
        )
    if gaps := {name: one.own_distance for name, one in listed.items() if one.own_distance == one.own_distance}:
        widest = max(gaps, key=gaps.__getitem__)
        said += f" Widest gap: *{plain(widest)}*, {number(gaps[widest])}."
    st.caption(said + " By the visual embedding alone, without fusion." * (space == "joint"))


def advice(one: Any, clips: pd.DataFrame, names: Sequence[str], space: str) -> list[str]:
    """How many clips of a class are missed, whose fault it is, and what to do, sentence by sentence."""
    text, video = one.text_errors, one.video_errors
    taken, alike = (  # the other classes that most clips are nearest to, by prototype and by centroid
        near[(near != one.Index) & (near >= 0)].mode().tolist()[:1] for near in (clips.prototype, clips.centroid)
    )
    if not one.clips:
        said = ["It has no labelled clips here, so nothing can be said of it."]
    elif not one.verdict:
        said = ["It cannot be judged: that takes a description and at least two clips."]
    elif not text + video:
        said = [f":green[:material/check:] None of its **{one.clips:,}** clips is missed."]
    else:
        often = "".join(f", most often for *{plain(names[c])}* ({(clips.prototype == c).sum():,})" for c in taken)
        by = f"**{text:,.0f}** by fault of the text, **{video:,.0f}** by fault of the video"
        said = [f"**{text + video:,.0f} of {one.clips:,}** clips are missed{often}: {by}."]
    if one.verdict in ("text", "both"):
        said += ["**Rewrite its description.** Clips missed by its fault are among their class, its prototype is not."]
    if one.verdict in ("video", "both"):
        others = "".join(f"*{plain(names[c])}*" for c in alike) or "other classes"
        said += [
            f"**Other features or more training.** Some of its clips lie among clips of {others}, where no description "
            "can reach them: try a stronger frame encoder, or train on captions that tell the two apart."
            if space == "joint" else
            "**Better sentences about its clips.** The objects named in them do not tell them from clips of "
            f"{others}: try another object vocabulary, or captions (γ of Eq. 9)."
        ]  # fmt: skip
    if one.verdict == "none" and one.error:
        said += [f"With an error of {percent(one.error)} there is little to gain here."]
    if one.hub:
        said += [f"Its prototype is a **hub**: it draws {one.drawn:,} clips of other classes, far more than others do. "
                 "A description that says more of what only this class has draws fewer."]  # fmt: skip
    if one.orphan:
        said += ["Its prototype is an **orphan**: no clip at all is nearest to it."]
    return said


def _chart(listed: Mapping[str, Any], chosen: str) -> None:
    missed = [name for name, one in listed.items() if one.error > 0]
    if not any(one.verdict for one in listed.values()):
        return show.info("No class has a description and two labelled clips, so none can be judged.")
    if not missed:
        st.success("No clip is missed in this space.", icon=":material/check:")
        return None
    shown = missed[:MOST_BARS]
    text, video = ([getattr(listed[name], side) for name in shown] for side in ("text_fault", "video_fault"))
    said = "; ".join(f"{name} {percent(a)} and {percent(b)}" for name, a, b in zip(shown, text, video, strict=True))
    st.plotly_chart(
        figures.faults(shown, text, video, chosen), key=CHART, config=PLOT, on_select=partial(look_at, shown, CHART),
        selection_mode="points", alt=f"Missed clips of each class, by fault of the text and of the video: {said}",
    )  # fmt: skip
    if more := len(missed) - len(shown):
        st.caption(f"The {MOST_BARS} classes with the largest errors; {more:,} more are in the table.")
    return None


def _table(listed: Mapping[str, Any], names: Sequence[str], chosen: str) -> None:
    rows = [
        (
            name, one.clips, 100 * one.error, 100 * one.text_fault, 100 * one.video_fault,
            {"": "–", "none": "nobody"}.get(one.verdict, one.verdict),
            "hub" if one.hub else "orphan" if one.orphan else "", one.own_distance,
            "" if one.nearest_other < 0 else names[one.nearest_other], one.nearest_other_distance, one.lead, one.spread,
        )
        for name, one in listed.items()
    ]  # fmt: skip
    text, figure = st.column_config.TextColumn, st.column_config.NumberColumn
    columns = {"class": text("class", pinned=True, width=210)} | {
        key: figure(head, format=form, help=said, width="small") if form else text(head, help=said)
        for key, (head, form, said) in COLUMNS.items()
    }
    st.session_state[TABLE] = {"selection": {"rows": [list(listed).index(chosen)], "columns": [], "cells": []}}
    st.dataframe(
        pd.DataFrame(rows, columns=["class", *COLUMNS]), hide_index=True, height=min(38 + 35 * len(rows), 430),
        column_config=columns, key=TABLE, on_select=partial(look_at, list(listed), TABLE), selection_mode="single-row",
        alt="Each class's errors by whose fault they are, and its distances to descriptions",
    )  # fmt: skip
    st.caption("Choose a row to look at its class, or a column's head to sort. Distances are cosine distances, 0 to 2.")


def look_at(listed: Sequence[str], key: str) -> None:
    """Callback of the chart and the table: a bar or a row is the class looked at."""
    selection = st.session_state[key]["selection"]
    places = selection["rows"] if key == TABLE else [point["point_index"] for point in selection["points"]]
    if places and places[0] < len(listed):
        st.session_state[state.FAULT_CLASS] = listed[places[0]]
        st.session_state.pop(state.FAULT_SIDE, None)


def _clips(item: Scored, clips: pd.DataFrame, name: str, drawn: Map | None) -> None:
    """The clips of a class by whose fault they are, as pictures; one of them is played."""
    scores, row_N = scored.scores(item), clouds(item)[0]
    names, counts = [*scores.class_names, "nothing"], clips.side.value_counts()
    found = [side for side in SIDES if side in counts]
    if st.session_state.get(state.FAULT_SIDE) not in found:
        st.session_state.pop(state.FAULT_SIDE, None)
    side = st.segmented_control(
        f"Clips of {plain(name)}", found, default=max(found, key=lambda side: (side != "right", counts[side])),
        required=True, key=state.FAULT_SIDE, bind="query-params", format_func=SIDES.__getitem__,
    )  # fmt: skip
    rows: list[Any] = list(clips[clips.side == side].itertuples())
    here = {scores.ids[row_N[clip.Index]]: clip for clip in rows}
    if st.session_state.get(state.FAULT_CLIP) not in here:
        st.session_state[state.FAULT_CLIP] = next(iter(here))
    chosen, cards = st.session_state[state.FAULT_CLIP], []
    grid, screen = st.columns([6, 5], gap="large")
    with grid:
        for clip_id, clip in list(here.items())[:MOST_PICTURES]:
            taken = names[clip.prototype]
            words = ":green[:material/check:]" if taken == name else f":orange[:material/arrow_forward:] {plain(taken)}"
            cards.append(player.Poster(clip_id, name, words, f"A frame of {clip_id}: {name}, nearest to {taken}"))
        player.cards(st.container(key="cards"), item, cards, chosen, state.FAULT_CLIP)
        if len(here) > len(cards):
            st.caption(f"The first {len(cards)} of {len(here):,}.")
    with screen:
        prototype, centroid = (plain(names[near]) for near in (here[chosen].prototype, here[chosen].centroid))
        caption = f"Nearest prototype: *{prototype}*. Nearest centroid: *{centroid}*."
        player.film_of(item, chosen, name, caption=caption, alt=f"The clip {chosen} of the class")
        on_map = [scores.ids[row] for row in row_N[drawn.rows_N]] if drawn else []
        if (these := [clip_id for clip_id in on_map if clip_id in here]) and st.button(
            "Show these on the maps", icon=":material/scatter_plot:", key="faults-to-maps", on_click=pick,
            args=(these, chosen), help="They stand out on the maps above, and this clip is ringed.",
        ):  # fmt: skip
            st.rerun()  # the maps, too, and not this part alone
