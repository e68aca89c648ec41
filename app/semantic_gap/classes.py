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
from app.parts.choosers import forget_others, segments
from app.parts.words import plain
from app.semantic_gap.explorer import examples, pick
from app.semantic_gap.numbers import SPACES, clouds, unit_space
from cezsar.analysis.gap import ByExample, UnitSpace, faults, nearest_centroid
from cezsar.analysis.maps import Map
from cezsar.report import figures
from cezsar.report.figures import PLOT, number, percent
from cezsar.zeroshot.scored import Scored

MOST_BARS = 20
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
    spaces = {space: SPACES[space][0] for space, cloud in clouds(item)[1].items() if len(cloud.prototypes_PE)}
    if not spaces:
        return
    st.subheader("Class by class: whose fault?", anchor=False)
    st.caption(
        "Each clip is classified twice: by the nearest prototype and, without descriptions, by the nearest centroid of "
        "a class's other clips. Wrong by the prototypes alone is the text's fault; wrong by both, the video's. The "
        "joint space is VE alone, without fusion."
    )
    space = segments("Space", spaces, state.GAP_SPACE, usual=list(spaces)[-1], label_visibility="collapsed")
    names, key = scored.scores(item).class_names, ("faults", item.fingerprint, space)
    found = cache.once(lambda: blame(unit_space(item, space)), *key, words="Looking whose fault it is")
    listed = {names[one.Index]: one for one in found.classes}
    bars, words = st.columns([6, 5], gap="large")
    with words:  # first, so that the figure knows the class that is chosen
        forget_others(state.FAULT_CLASS, listed)
        help = "Or click a bar, or a row of the table. The class with the largest error comes first."
        name = st.selectbox("Class", list(listed), key=state.FAULT_CLASS, help=help, **state.KEPT)
        one = listed[name]
        clips = found.clips[found.clips.own == one.Index]
        st.markdown(advice(one, clips, names))
        if one.verdict in ("text", "both") or one.hub or one.orphan:
            query = {state.SECTION: state.SECTIONS["workshop"], state.ON: item.name, state.REWRITE: name}
            link = "Rewrite its description in the workshop"
            st.page_link("../pages/library.py", label=link, icon=":material/edit:", query_params=query)
    with bars:
        _chart(listed, name)
    if len(clips):
        _clips(item, clips, name, drawn)
    _table(listed, names, name, examples(item).get(space))


def advice(one: Any, clips: pd.DataFrame, names: Sequence[str]) -> str:
    """How many clips of a class are missed, whose fault it is, and what to do."""
    if not one.verdict:
        return "It cannot be judged: that takes a description and at least two clips."
    taken, alike = (  # the other class that most clips are nearest to, by prototype and by centroid
        "".join(f"*{plain(names[c])}*" for c in near[(near != one.Index) & (near >= 0)].mode().tolist()[:1])
        for near in (clips.prototype, clips.centroid)
    )
    missed = one.text_errors + one.video_errors
    said = f"**{missed:,.0f} of {one.clips:,}** clips are missed" + (f", most often for {taken}" if missed else "")
    said += f": **{one.text_errors:,.0f}** by fault of the text, **{one.video_errors:,.0f}** by fault of the video."
    if one.verdict in ("text", "both"):
        said += "\n\n**Rewrite its description.** Those clips are among their class, its prototype is not."
    if one.verdict in ("video", "both"):
        said += "\n\n**Other features, objects, captions or more training.** Some of its clips lie among clips of "
        said += f"{alike or 'other classes'}, where no description can reach them."
    if one.hub:
        said += f"\n\nIts prototype is a **hub**: it draws {one.drawn:,} clips of other classes."
    return said + "\n\nIts prototype is an **orphan**: no clip is nearest to it." * bool(one.orphan)


def _chart(listed: Mapping[str, Any], chosen: str) -> None:
    missed = [name for name, one in listed.items() if one.error > 0]
    if not missed:
        return show.info("No clip is missed in this space, as far as classes can be judged.")
    shown = missed[:MOST_BARS]
    text, video = ([getattr(listed[name], side) for name in shown] for side in ("text_fault", "video_fault"))
    said = "; ".join(f"{name} {percent(a)} and {percent(b)}" for name, a, b in zip(shown, text, video, strict=True))
    show.figure(
        figures.faults(shown, text, video, chosen), CHART,
        f"Missed clips of each class, by fault of the text and of the video: {said}",
        clicked=partial(look_at, shown, CHART), config=PLOT,
    )  # fmt: skip
    return None


def _table(listed: Mapping[str, Any], names: Sequence[str], chosen: str, shown: ByExample | None) -> None:
    rows: list[tuple[Any, ...]] = [
        (
            name, one.clips, 100 * one.error, 100 * one.text_fault, 100 * one.video_fault,
            {"": "–", "none": "nobody"}.get(one.verdict, one.verdict),
            "hub" if one.hub else "orphan" if one.orphan else "", one.own_distance,
            "" if one.nearest_other < 0 else names[one.nearest_other], one.nearest_other_distance, one.lead, one.spread,
        )
        for name, one in listed.items()
    ]  # fmt: skip
    heads, said = COLUMNS, ""
    if shown:
        told = "Cosine of its description and the mean of the clips that show it, as on the maps."
        heads = COLUMNS | {"shown": ("examples ↑", DISTANCE, told)}
        rows = [(*row, shown.cosine_C[one.Index]) for row, one in zip(rows, listed.values(), strict=True)]
        said = f" Mean cosine to its examples: {number(shown.mean)}."
    text, figure = st.column_config.TextColumn, st.column_config.NumberColumn
    columns = {"class": text("class", pinned=True, width=210)} | {
        key: figure(head, format=form, help=help, width="small") if form else text(head, help=help)
        for key, (head, form, help) in heads.items()
    }
    st.session_state[TABLE] = {"selection": {"rows": [list(listed).index(chosen)], "columns": [], "cells": []}}
    show.table(
        pd.DataFrame(rows, columns=["class", *heads]), "Each class's errors by whose fault they are, and distances",
        column_config=columns, height=min(38 + 35 * len(rows), 430), key=TABLE, selection_mode="single-row",
        on_select=partial(look_at, list(listed), TABLE),
    )  # fmt: skip
    st.caption(
        f"Choose a row to look at its class, or a column's head to sort. Distances are cosine distances, 0 to 2.{said}"
    )


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
    found = {side: f"{title} ({counts[side]:,})" for side, title in SIDES.items() if side in counts}
    usual = max(found, key=lambda side: (side != "right", counts[side]))
    side = segments(f"Clips of {plain(name)}", found, state.FAULT_SIDE, usual=usual)
    rows: list[Any] = list(clips[clips.side == side].itertuples())
    here, cards = {scores.ids[row_N[clip.Index]]: clip for clip in rows}, []
    for clip_id, clip in here.items():
        taken = names[clip.prototype]
        words = ":green[:material/check:]" if taken == name else f":orange[:material/arrow_forward:] {plain(taken)}"
        cards.append(player.Poster(clip_id, name, words, f"A frame of {clip_id}: {name}, nearest to {taken}"))
    chosen, screen = player.gallery(item, cards, state.FAULT_CLIP, f"A clip of {name}")
    with screen:
        prototype, centroid = (plain(names[near]) for near in (here[chosen].prototype, here[chosen].centroid))
        st.caption(f"Nearest prototype: *{prototype}*. Nearest centroid: *{centroid}*.")
        on_map = [scores.ids[row] for row in row_N[drawn.rows_N]] if drawn else []
        if (these := [clip_id for clip_id in on_map if clip_id in here]) and st.button(
            "Show these on the maps", icon=":material/scatter_plot:", key="faults-to-maps", on_click=pick,
            args=(these, chosen), help="They stand out on the maps above, and this clip is ringed.",
        ):  # fmt: skip
            st.rerun()  # the maps, too, and not this part alone
