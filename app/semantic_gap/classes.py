"""Class by class: how wide the gap is, whose fault it is that clips are missed, what to do, and the clips behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, state
from app.parts import player, scored
from app.parts.player import film_of
from app.parts.words import plain
from app.semantic_gap.explorer import pick
from app.semantic_gap.numbers import SPACES, clouds, unit_space
from cezsar.analysis.gap import TOLERATED, UnitSpace, faults, nearest_centroid
from cezsar.analysis.maps import Map
from cezsar.arrays import IntArray
from cezsar.report import figures
from cezsar.report.figures import PLOT, number, percent
from cezsar.zeroshot.scored import Scored

MOST_BARS = 20
MOST_PICTURES = 9  # beside the player, as tall as it is
TABLE, CHART = "faults-table", "faults-chart"
SHARE, DISTANCE = "%.1f %%", "%.2f"
COLUMNS = {
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
"""Column of the table -> its head, the form of its numbers, and its help."""


class Blame:
    """Faults in one space ("joint" or "sentence"); of each clip its class, its nearest prototype's and centroid's."""

    def __init__(self, space: str, names: Sequence[str], one: UnitSpace) -> None:
        self.space, self.names = space, names
        self.label_N, self.prototype_N, self.centroid_N = one.labels_N, one.nearest_N, nearest_centroid(one)
        # by error, of equal ones by gap; those that cannot be judged come last
        self.faults = faults(one).sort_values(["error", "own_distance"], ascending=False, kind="stable")
        self.classes: list[Any] = list(self.faults.itertuples())

    def clips(self, index: int) -> dict[str, list[int]]:
        """Side -> positions of a class's clips; sides without any are left out."""
        own_N, text_N, video_N = self.label_N == index, self.prototype_N == index, self.centroid_N == index
        sides = {"text": own_N & ~text_N & video_N, "video": own_N & ~text_N & ~video_N, "right": own_N & text_N}
        return {side: np.flatnonzero(clips_N).tolist() for side, clips_N in sides.items() if clips_N.any()}

    def mistaken(self, index: int, nearest_N: IntArray) -> tuple[str, int] | None:
        """The other class that most of a class's clips are nearest to, and how many."""
        found = Counter(nearest_N[(self.label_N == index) & (nearest_N != index) & (nearest_N >= 0)].tolist())
        return next(((self.names[other], count) for other, count in found.most_common(1)), None)

    def nearest(self, clip: int) -> list[str]:
        """Names of its nearest prototype and centroid."""
        return [[*self.names, "nothing"][near_N[clip]] for near_N in (self.prototype_N, self.centroid_N)]


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
    names = scored.scores(item).class_names
    key = ("faults", item.fingerprint, space)
    blame = cache.once(lambda: Blame(space, names, unit_space(item, space)), *key, words="Looking whose fault it is")
    listed = {names[one.Index]: one for one in blame.classes}
    st.caption(_summary(blame))
    bars, words = st.columns([6, 5], gap="large")
    with words:  # first, so that the figure knows the class that is chosen
        if st.session_state.get(state.FAULT_CLASS) not in listed:
            st.session_state.pop(state.FAULT_CLASS, None)
        name = st.selectbox(
            "Class", list(listed), key=state.FAULT_CLASS, bind="query-params", persist_state="session",
            help="Or click a bar, or a row of the table. The class with the largest error comes first.",
        )  # fmt: skip
        one = listed[name]
        for line in advice(blame, one):
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
    _clips(item, blame, one, drawn)
    _table(listed, names, name)


def _summary(blame: Blame) -> str:
    verdicts, gaps = [one.verdict for one in blame.classes if one.verdict], blame.faults.own_distance.sort_index()
    said = (
        "Each clip is classified twice: by the nearest prototype and, without descriptions, by the nearest centroid of "
        "a class's other clips. Wrong by the prototypes alone is the text's fault; wrong by both, the video's."
    )
    if verdicts:
        said += (
            f" Of {len(verdicts):,} classes, {verdicts.count('text'):,} are missed through their description, "
            f"{verdicts.count('video'):,} through their clips, {verdicts.count('both'):,} through both, and "
            f"{verdicts.count('none'):,} hardly at all (under {100 * TOLERATED:.0f} %)."
        )
    if gaps.notna().any():
        said += f" Widest gap: *{plain(blame.names[int(gaps.argmax())])}*, {number(gaps.max())}."
    return said + " By the visual embedding alone, without fusion." * (blame.space == "joint")


def advice(blame: Blame, one: Any) -> list[str]:
    """How many clips of a class are missed, whose fault it is, and what to do, sentence by sentence."""
    text, video, clips = one.text_errors, one.video_errors, one.clips
    if not clips:
        said = ["It has no labelled clips here, so nothing can be said of it."]
    elif not one.verdict:
        said = ["It cannot be judged: that takes a description and at least two clips."]
    elif not text + video:
        said = [f":green[:material/check:] None of its **{clips:,}** clips is missed."]
    else:
        taken = blame.mistaken(one.Index, blame.prototype_N)
        often = f", most often for *{plain(taken[0])}* ({taken[1]:,})" if taken else ""
        by = f"**{text:,.0f}** by fault of the text, **{video:,.0f}** by fault of the video"
        said = [f"**{text + video:,.0f} of {clips:,}** clips are missed{often}: {by}."]
    if one.verdict in ("text", "both"):
        said += [
            "**Rewrite its description.** Clips missed by its fault lie among their class, its prototype elsewhere."
        ]
    if one.verdict in ("video", "both"):
        alike = blame.mistaken(one.Index, blame.centroid_N)
        others = f"*{plain(alike[0])}*" if alike else "other classes"
        said += [
            f"**Other features or more training.** Some of its clips lie among clips of {others}, where no description "
            "can reach them: try a stronger frame encoder, or train on captions that tell the two apart."
            if blame.space == "joint" else
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
        st.info("No class has a description and two labelled clips, so none can be judged.", icon=":material/info:")
        return
    if not missed:
        st.success("No clip is missed in this space.", icon=":material/check:")
        return
    shown = missed[:MOST_BARS]
    text, video = ([getattr(listed[name], side) for name in shown] for side in ("text_fault", "video_fault"))
    said = "; ".join(f"{name} {percent(a)} and {percent(b)}" for name, a, b in zip(shown, text, video, strict=True))
    st.plotly_chart(
        figures.faults(shown, text, video, chosen), key=CHART, config=PLOT, on_select=partial(look_at, shown, CHART),
        selection_mode="points", alt=f"Missed clips of each class, by fault of the text and of the video: {said}",
    )  # fmt: skip
    if more := len(missed) - len(shown):
        st.caption(f"The {MOST_BARS} classes with the largest errors; {more:,} more are in the table.")


def _table(listed: Mapping[str, Any], names: Sequence[str], chosen: str) -> None:
    rows = [
        (
            name, one.clips, one.error, one.text_fault, one.video_fault,
            {"": "–", "none": "nobody"}.get(one.verdict, one.verdict),
            "hub" if one.hub else "orphan" if one.orphan else "", one.own_distance,
            "" if one.nearest_other < 0 else names[one.nearest_other], one.nearest_other_distance, one.lead, one.spread,
        )
        for name, one in listed.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["class", *COLUMNS])
    frame[["missed", "text", "video"]] = 100 * frame[["missed", "text", "video"]].astype(float)
    text, figure = st.column_config.TextColumn, st.column_config.NumberColumn
    columns = {"class": text("class", pinned=True, width=210)} | {
        key: figure(head, format=form, help=said, width="small") if form else text(head, help=said)
        for key, (head, form, said) in COLUMNS.items()
    }
    st.session_state[TABLE] = {"selection": {"rows": [list(listed).index(chosen)], "columns": [], "cells": []}}
    st.dataframe(
        frame, hide_index=True, height=min(38 + 35 * len(rows), 430), column_config=columns, key=TABLE,
        on_select=partial(look_at, list(listed), TABLE), selection_mode="single-row",
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


def _clips(item: Scored, blame: Blame, one: Any, drawn: Map | None) -> None:
    """The clips of a class by whose fault they are, as pictures; one of them is played."""
    found, name, ids, row_N = blame.clips(one.Index), blame.names[one.Index], scored.scores(item).ids, clouds(item)[0]
    if not found:
        return
    if st.session_state.get(state.FAULT_SIDE) not in found:
        st.session_state.pop(state.FAULT_SIDE, None)
    most = max(found, key=lambda side: (side != "right", len(found[side])))
    side = st.segmented_control(
        f"Clips of {plain(name)}", list(found), default=most, required=True, key=state.FAULT_SIDE, bind="query-params",
        format_func={"text": "Fault of the text", "video": "Fault of the video", "right": "Right"}.__getitem__,
    )  # fmt: skip
    here = {ids[row_N[clip]]: clip for clip in found[side]}
    if st.session_state.get(state.FAULT_CLIP) not in here:
        st.session_state[state.FAULT_CLIP] = next(iter(here))
    chosen = st.session_state[state.FAULT_CLIP]
    grid, screen = st.columns([6, 5], gap="large")
    with grid:
        cards = []
        for clip_id, clip in list(here.items())[:MOST_PICTURES]:
            taken, _ = blame.nearest(clip)
            words = ":green[:material/check:]" if taken == name else f":orange[:material/arrow_forward:] {plain(taken)}"
            cards.append(player.Poster(clip_id, name, words, f"A frame of {clip_id}: {name}, nearest to {taken}"))
        player.cards(st.container(key="cards"), item, cards, chosen, state.FAULT_CLIP)
        if len(here) > len(cards):
            st.caption(f"The first {len(cards)} of {len(here):,}.")
    with screen:
        prototype, centroid = map(plain, blame.nearest(here[chosen]))
        caption = f"Nearest prototype: *{prototype}*. Nearest centroid: *{centroid}*."
        film_of(item, chosen, name, caption=caption, alt=f"The clip {chosen} of the class")
        on_map = [ids[row] for row in row_N[drawn.rows_N]] if drawn else []
        if (these := [clip_id for clip_id in on_map if clip_id in here]) and st.button(
            "Show these on the maps", icon=":material/scatter_plot:", key="faults-to-maps", on_click=pick,
            args=(these, chosen), help="They stand out on the maps above, and this clip is ringed.",
        ):  # fmt: skip
            st.rerun()  # the maps, too, and not this part alone
