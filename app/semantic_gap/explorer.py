"""Maps of a scored data set: how they are drawn, the figures that answer to a click or a lasso, and the clip chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache, state
from app.parts import jobs, labels, models, player, scored, show
from app.parts.choosers import one_of
from app.parts.words import plain
from app.semantic_gap.numbers import SPACES, by_examples, clouds
from cezsar.analysis import maps
from cezsar.analysis.gap import ByExample
from cezsar.arrays import FloatArray, IntArray
from cezsar.errors import InputError
from cezsar.jobs import Step
from cezsar.report.figures import CLEAR, COLOURS, GREY, layout, number, ranking, short, shown
from cezsar.zeroshot import fusion
from cezsar.zeroshot.scored import MOST, Scored

MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "hexagon")
GLYPHS = ("●", "■", "◆", "▲", "✚", "▼", "⬟", "⬢")  # the same, as text; none is a star: stars are prototypes
FAINT = "rgba(154,154,154,0.45)"
MARGIN = 1.07  # of the frame around the outermost point
MOST_DRAWN = 1500  # points as vectors; more go through WebGL, of which a page has only so many contexts
TOP = 5  # labels of the clip
SHOWN_BY = {state.NOT_SHOWN: "none", "1": "of 1 clip"} | {str(n): f"of {n} clips" for n in (2, 4, 8)}
SHOWN_BY[state.ALL_CLIPS] = "of all clips"

Pin = tuple[str, float, float]
"""Name of a clip pinned elsewhere, and about where it would lie."""


# Drawing a map ----------------------------------------------------------------------------------------------------


def settings(item: Scored, chosen: Sequence[str]) -> maps.MapSettings:
    """How maps are drawn: perplexity, seed, number of clips, and which classes are fitted."""
    asked = (
        ("Perplexity", (2, 500, 30, 5), state.PERPLEXITY, "About how many neighbours each point looks at, at most a "
         "third of the points. Small: many small clusters. Large: the broad layout."),
        ("Seed", (0, 2**32 - 1, 0, 1), state.MAP_SEED, "Of the choice of clips and of t-SNE. What one seed shows and "
         "another does not is not in the data."),
        ("Clips at most", (20, MOST, 3000, 500), state.MAP_CLIPS, "More are sampled, evenly over classes."),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        perplexity, seed, sample = (
            st.number_input(label, *bounds, key=key, width=130, help=words, **state.KEPT)
            for label, bounds, key, words in asked
        )
        help = "Refits t-SNE on their clips, as the paper's Figure 1 does; otherwise those not chosen are grey."
        one_of("Example prototypes", SHOWN_BY, state.SHOWN_BY, width=150, persist_state="session", help="Beside each "
               "description the mean of some clips of its class, drawn by the seed, as a hollow star.")  # fmt: skip
        only = st.toggle("Fit the chosen classes only", key=state.FITTED, disabled=not chosen, help=help, **state.KEPT)
    there = len(clouds(item)[0])
    sample = max(there, 3000) if sample >= there else sample  # one map, whatever number lets all clips in
    return maps.MapSettings(float(perplexity), int(seed), int(sample), tuple(chosen) if only else ())


def examples(item: Scored) -> dict[str, ByExample]:
    """Space -> its classes shown by as many examples as were asked for; empty for none."""
    asked, seed = st.session_state.get(state.SHOWN_BY, state.NOT_SHOWN), st.session_state.get(state.MAP_SEED, 0)
    return {} if asked == state.NOT_SHOWN else by_examples(item, 0 if asked == state.ALL_CLIPS else int(asked), seed)


def find(item: Scored, wanted: maps.MapSettings) -> maps.Map | None:
    """The map, from the workspace or shipped, if somebody has drawn it; of a damaged one it says so."""
    places = (maps.folder(), models.SHIPPED / "cache" / "projections")
    there = (folder / wanted.file_name(item.fingerprint) for folder in places)
    path = next((path for path in there if path.is_file()), None)
    with show.explained():
        key = path and (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        return cache.once(partial(maps.read, path), "map", *key) if path and key else None
    return None


def missing(item: Scored, wanted: maps.MapSettings) -> None:
    """In place of a map that nobody has drawn: a button that starts it, or its progress."""
    command = ["project", str(item.folder.resolve()), "--perplexity", f"{wanted.perplexity:g}"]
    command += ["--seed", str(wanted.seed), "--sample", str(wanted.sample)]
    if wanted.classes:
        command += ["--classes", labels.written(wanted.classes)]
    with st.container(border=True):
        st.markdown("With these settings no map has been drawn yet. It takes seconds, a large one a minute.")
        title, about = f"Map of {scored.title(item)}", {"map": wanted.file_name(item.fingerprint)}
        unasked = wanted == maps.MapSettings()
        jobs.offer("project", "Draw the map", title, Step("t-SNE", command), about, unasked=unasked, at_once=True)


# Figures ----------------------------------------------------------------------------------------------------------


class View:
    """A map with what is known of its clips, in its order: `chosen` classes get colours; a name is "" for none."""

    def __init__(
        self, item: Scored, drawn: maps.Map, chosen: list[str], shown: Mapping[str, ByExample] | None = None
    ) -> None:
        scores, self.row_N = scored.scores(item), clouds(item)[0][drawn.rows_N]
        predicted_N = cache.once(lambda: fusion.predict(scores, item.weights), "predicted", item.fingerprint)
        self.means = {one.means for one in drawn.projections.values()}
        self.names = [*scores.class_names, ""]
        self.item, self.drawn, self.chosen, self.ids = item, drawn, chosen, [scores.ids[row] for row in self.row_N]
        self.labels, self.predicted = (
            [self.names[c] for c in class_N[self.row_N]] for class_N in (scores.label_index, predicted_N)
        )
        self.shown = shown or {}  # space -> its classes shown by examples

    def order(self, names: Sequence[str]) -> list[tuple[int, int]]:
        """Positions of names with their place among the chosen classes, -1 for the others, which come first."""
        places = [self.chosen.index(name) if name in self.chosen else -1 for name in names]
        return sorted(enumerate(places), key=lambda pair: pair[1] >= 0)

    def stars(self, space: str) -> list[str]:
        """Class of each star."""
        return [self.names[index] for index in self.drawn.projections[space].star_class_P]

    def hollow(self, space: str) -> tuple[IntArray, FloatArray]:
        """Classes of the map that are shown by examples there, and (C, 2) about where these lie."""
        if space not in self.shown:
            return np.empty(0, np.int64), np.empty((0, 2), np.float32)
        one, found = self.drawn.projections[space], self.shown[space]
        classes = np.unique(one.star_class_P)
        classes = classes[found.clips_C[classes] > 0]
        videos_NE = clouds(self.item)[1][space].videos_NE[self.drawn.rows_N]
        return classes, maps.places(found.prototypes_CE[classes], videos_NE, one.videos_N2)

    def selected(self, space: str, points: Sequence[Mapping[str, int]]) -> tuple[list[str], bool]:
        """Ids of the clips that are selected in a map, and True; else those of the classes whose stars are."""
        stars = self.stars(space)
        order, star_order = self.order(self.labels), self.order(stars)
        if clips := sorted(order[point["point_index"]][0] for point in points if point["curve_number"] == 0):
            return [self.ids[clip] for clip in clips], True
        named = {stars[star_order[point["point_index"]][0]] for point in points if point["curve_number"] == 1}
        if space in self.shown:
            own = [self.names[index] for index in self.hollow(space)[0]]
            order = self.order(own)
            named |= {own[order[point["point_index"]][0]] for point in points if point["curve_number"] == 2}
        return [id for id, label in zip(self.ids, self.labels, strict=True) if label in named], False

    def frame(self, space: str) -> tuple[FloatArray, float]:
        """(2,) middle of the smallest square around all points, and half its side, a little more."""
        one = self.drawn.projections[space]
        points = np.concatenate([one.videos_N2, one.stars_P2])
        low, high = points.min(0), points.max(0)
        return (low + high) / 2, MARGIN * float((high - low).max()) / 2 or 1.0


def map_figure(view: View, space: str, marked: Sequence[int], pin: Pin | None, lasso: bool, dark: bool) -> go.Figure:
    """One space: trace 0 holds the clips, trace 1 the stars, then come hollow stars of classes shown by examples, and a
    pinned clip, where there are such. Those at positions `marked` stand out, all if empty. With `lasso` a drag selects
    what it goes around; else a click selects."""
    one, stars = view.drawn.projections[space], view.stars(space)
    clips, wanted = view.order(view.labels), set(marked)
    common: dict[str, Any] = {"mode": "markers", "hovertemplate": "%{text}<extra></extra>"}
    xy = one.videos_N2[[n for n, _ in clips]]
    figure = go.Figure(
        (go.Scatter if len(xy) <= MOST_DRAWN else go.Scattergl)(
            x=xy[:, 0], y=xy[:, 1], selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 0.15}},
            selectedpoints=[place for place, (n, _) in enumerate(clips) if n in wanted] if marked else None,
            text=[
                f"<b>{shown(view.labels[n]) or 'unknown class'}</b><br>{shown(view.ids[n])}<br>"
                f"predicted: {shown(view.predicted[n]) or 'nothing'}" for n, _ in clips
            ],
            marker={
                "color": [(*COLOURS, FAINT)[seat] for _, seat in clips], "line": {"width": 0},
                "symbol": [(*MARKS, "circle")[seat] for _, seat in clips], "size": [8 - 3 * (s < 0) for _, s in clips],
            }, **common,
        )
    )  # fmt: skip
    seats = view.order(stars)
    xy, colours = one.stars_P2.reshape(-1, 2)[[n for n, _ in seats]], [(*COLOURS, GREY)[seat] for _, seat in seats]
    edge = "#14171C" if dark else "#FDFCFA"  # the page's background
    figure.add_scatter(
        x=xy[:, 0], y=xy[:, 1], unselected={"marker": {"opacity": 0.8}},
        text=[f"<b>{shown(stars[n])}</b><br>{'mean clip' if one.means else 'prototype'}" for n, _ in seats],
        marker={
            "color": edge if one.means else colours, "symbol": "star", "size": [18 - 9 * (s < 0) for _, s in seats],
            "opacity": [0.6 if seat < 0 else 1 for _, seat in seats],
            "line": {"width": 2, "color": colours} if one.means else {"width": 1, "color": edge},
        }, **common,
    )  # fmt: skip
    if space in view.shown:
        classes, xy = view.hollow(space)
        own, found = [view.names[index] for index in classes], view.shown[space]
        seats = view.order(own)
        colours, xy = [(*COLOURS, GREY)[seat] for _, seat in seats], xy[[n for n, _ in seats]]
        figure.add_scatter(
            x=xy[:, 0], y=xy[:, 1], unselected={"marker": {"opacity": 0.8}},
            text=[
                f"<b>{shown(own[n])}</b><br>shown by {found.clips_C[classes[n]]:,} clips, approximate place<br>cosine "
                f"to its description: {number(found.cosine_C[classes[n]])}" for n, _ in seats
            ],
            marker={
                "color": edge, "symbol": "star", "size": [16 - 8 * (s < 0) for _, s in seats],
                "opacity": [0.6 if seat < 0 else 1 for _, seat in seats], "line": {"width": 2, "color": colours},
            }, **common,
        )  # fmt: skip
    if pin:
        line = {"width": 3, "color": "#ECE9E4" if dark else "#1F2328"}
        figure.add_scatter(
            x=[pin[1]], y=[pin[2]], text=[f"<b>{shown(pin[0])}</b><br>approximate place"],
            marker={"symbol": "diamond-tall", "size": 19, "color": CLEAR, "line": line}, **common,
        )  # fmt: skip
    middle, half = view.frame(space)
    (x0, y0), (x1, y1) = middle - half, middle + half
    layout(
        figure, 340, margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0}, showlegend=False, hovermode="closest",
        dragmode="lasso" if lasso else "pan",  # Streamlit lets clicks select only where a drag does not
    )  # fmt: skip
    figure.update_xaxes(range=[x0, x1], visible=False, zeroline=False)
    return figure.update_yaxes(range=[y0, y1], visible=False, zeroline=False, scaleanchor="x")


# The maps side by side --------------------------------------------------------------------------------------------


@st.fragment
def explore(item: Scored, drawn: maps.Map, chosen: list[str], lasso: bool) -> None:
    """The maps of all spaces side by side, and below them the clip that was chosen in one of them."""
    view = View(item, drawn, chosen, examples(item))
    pinned = st.session_state.get(state.PINNED)
    pins = _places(view, pinned) if pinned else {}
    kind = (id(drawn), tuple(chosen), tuple(pins), lasso, id(view.shown) if view.shown else 0, st.context.theme.type)
    if st.session_state.get(state.MAP_KIND, kind) != kind:
        st.session_state[state.MAP_TOUCHED] = None  # figures drawn anew carry no selection
    st.session_state[state.MAP_KIND] = kind
    picked = set(st.session_state.get(state.MAP_PICKED, ()))
    selected = [clip for clip, name in enumerate(view.ids) if name in picked]
    played = st.session_state.setdefault(state.MAP_CLIP, st.query_params.get(state.MAP_CLIP))
    if played not in view.ids:
        first = selected or [clip for clip, label in enumerate(view.labels) if label in chosen] or [0]
        st.session_state[state.MAP_CLIP] = view.ids[first[0]]
    entries = [(COLOURS[n], GLYPHS[n], name) for n, name in enumerate(view.chosen)]
    stars = {False: ("★", "prototype: a class's description"), True: ("☆", "mean clip of a class")}
    if view.shown:
        by = SHOWN_BY[st.session_state[state.SHOWN_BY]]
        raw = "; of all in raw features" * (True in view.means)
        stars[True] = ("☆", f"example prototype: the mean {by} of a class{raw}")
    entries += [("inherit", *said) for means, said in stars.items() if means in view.means or (means and view.shown)]
    entries.append((GREY, "●", "other classes" if view.chosen else "clips"))
    show.legend(entries)
    for column, space in zip(st.columns(len(drawn.projections), gap="small"), drawn.projections, strict=True):
        with column.container(border=True, gap="xxsmall", key=f"plane-{space}"):
            st.markdown(f"**{SPACES[space][0]}**", help=SPACES[space][1])
            with st.container(key=f"frame-{space}"):
                _plane(view, space, selected, pins.get(space), lasso)
    st.caption(
        f"{len(view.ids):,} clips. Select some on any map, and they stand out on all; the ringed one is played. t-SNE "
        "axes have no unit: neighbours are alike, but distances between clusters and their sizes mean nothing."
    )
    if view.shown:
        told = (f"{number(one.mean)} in the {SPACES[space][0].lower()}" for space, one in view.shown.items())
        st.caption(
            f"Mean cosine of a class's example prototype and its description, in the full spaces: {', '.join(told)}. "
            "Hollow stars lie at the mean place of their five nearest clips. A class that is shown is not zero-shot."
        )
    if pinned:
        with st.container(horizontal=True, vertical_alignment="center"):
            where = "approximate place, mean of its five nearest clips" if pins else "read by another run: choose that"
            st.markdown(f"◇ **{plain(str(pinned['name']))}**, pinned on page Classify: {where}.")
            state.setter("Take it off", "unpin", state.PINNED, None, icon=":material/close:", type="tertiary")
    if len(selected) > 1:
        _pictures(view, selected)
    _clip(view)


def _places(view: View, pinned: Mapping[str, Any]) -> dict[str, Pin]:
    """Space -> the pinned clip there; only in spaces of the run that read it."""
    found = {}
    for space, one in view.drawn.projections.items():
        vector = pinned.get(space) if pinned.get("run") == view.item.about["run"] else None
        with suppress(InputError):  # read by another run of that name, of another width
            if vector is not None:
                x, y = maps.place(vector, clouds(view.item)[1][space].videos_NE[view.drawn.rows_N], one.videos_N2)
                found[space] = (str(pinned["name"]), float(x), float(y))
    return found


def _plane(view: View, space: str, selected: list[int], pin: Pin | None, lasso: bool) -> None:
    """One map, and over it a ring around the clip that is played."""
    marks, key = st.session_state.setdefault(state.MAP_MARKS, {}), f"map-{space}"
    own = st.session_state.get(key) if st.session_state.get(state.MAP_TOUCHED) == space else None
    # The figure in which clips were selected must stay as it was, or the browser would drop the selection.
    marks[space] = tuple(marks.get(space, ()) if own and own["selection"]["points"] else selected)
    coloured = f"coloured are {', '.join(view.chosen)}" if view.chosen else "no class is coloured"
    show.figure(
        map_figure(view, space, marks[space], pin, lasso, st.context.theme.type == "dark"), key,
        f"{SPACES[space][0]}: {len(view.ids):,} clips in the plane, {coloured}.",
        clicked=partial(_selected, view, space), selection_mode=("points", "lasso"),
    )  # fmt: skip
    middle, half = view.frame(space)
    clip = view.ids.index(st.session_state[state.MAP_CLIP])
    x, y = (view.drawn.projections[space].videos_N2[clip] - middle) / (2 * half)
    side = "min(100cqw, 100cqh)"  # the map is a square in the middle of its box
    place = f"left: calc(50% + {x:.4f} * {side}); top: calc(50% + {-y:.4f} * {side})"
    st.html(f'<div class="cezsar-over"><i style="{place}"></i></div>')


def _selected(view: View, space: str) -> None:
    """Callback of a map."""
    clips, own = view.selected(space, st.session_state[f"map-{space}"]["selection"]["points"])
    pick(clips, touched=space if own else None)


def pick(clips: Sequence[str], played: str = "", touched: str | None = None) -> None:
    """For callbacks: these clips stand out on all maps, and one is played; `touched`: the map they were selected in."""
    st.session_state[state.MAP_PICKED], st.session_state[state.MAP_TOUCHED] = list(clips), touched
    if clips:
        st.session_state[state.MAP_CLIP] = played if played in clips else clips[0]


def _pictures(view: View, selected: list[int]) -> None:
    """The selected clips as pictures."""
    found = [(view.ids[n], view.labels[n], view.labels[n] == view.predicted[n]) for n in selected]
    with st.container(horizontal=True, vertical_alignment="center"):
        right = sum(right for *_, right in found)
        st.markdown(f"**{len(found):,} clips selected**, {right:,} of them predicted right.", width="content")
        st.button("Clear", icon=":material/close:", type="tertiary", key="map-clear", on_click=pick, args=((),))
    cards = []
    for clip_id, label, right in found:
        words = ":orange[:material/close:] " * (not right) + plain(label or clip_id)
        cards.append(player.Poster(clip_id, label, words, f"A frame of {clip_id}"))
    player.cards(st.container(key="selected"), view.item, cards, st.session_state[state.MAP_CLIP], state.MAP_CLIP)


def _clip(view: View) -> None:
    """One clip played beside its ranking (Eq. 8 and 9, the run's own weights)."""
    screen, ranks = st.columns([5, 6], gap="large", vertical_alignment="top")
    with screen:
        help = "The ringed clip. Type a part of its name to find another one."
        clip_id = st.selectbox("Clip", view.ids, key=state.MAP_CLIP, help=help, **state.KEPT)
        clip = view.ids.index(clip_id)
        true, predicted = view.labels[clip], view.predicted[clip]
        player.film_of(view.item, clip_id, true, caption="")
    scores, weights = scored.scores(view.item), view.item.weights
    similar_C, n = fusion.similarities(scores, weights, view.row_N[[clip]])[0], len(scores.class_names)
    best, _ = fusion.rank(similar_C, scores.class_names, n)
    place = [name for name, _ in best].index(true) if true else 0
    top = best[:TOP] + (best[place : place + 1] if place >= TOP else [])
    with ranks:
        st.caption("Predicted")
        st.subheader(plain(predicted or "nothing"), anchor=False)
        st.markdown(
            ":gray[Its true class is not known.]" if not true
            else ":green[:material/check: That is its true class.]" if true == predicted
            else f":orange[:material/close: Its true class is *{plain(true)}*, ranked {place + 1}.]"
        )  # fmt: skip
        colours = dict(zip(view.chosen, COLOURS, strict=False))
        titles = [f"<b>{short(name)}</b>  ✓ true" if name == true else short(name) for name, _ in top]
        bars, values = ranking(top, [colours.get(name, GREY) for name, _ in top], titles), [value for _, value in top]
        bars.update_xaxes(range=[min(0.0, *values), max(1.0, *values)])
        said = ", ".join(f"{name} {number(value)}" for name, value in top)
        show.figure(bars, "map-ranking", f"Best labels: {said}")
        st.caption(
            f"The {min(TOP, n)} best of {n} classes, by the run's own weights: "
            f"α = {weights.alpha:g}, β = {weights.beta:g}, γ = {weights.gamma:g} (Eq. 8 and 9)."
        )
