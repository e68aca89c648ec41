"""Pieces of the page Semantic gap: settings, maps that answer to a click or a lasso, and clips."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from app import state
from app.charts import semantic_gap as charts
from app.services import clips, scored
from app.services import semantic_gap as service
from app.widgets import jobs as job_widgets
from app.widgets.gap_numbers import SPACES
from app.widgets.player import film_of
from app.widgets.words import plain
from cezsar import jobs
from cezsar.analysis import maps
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, PLOT, number
from cezsar.zeroshot.scored import MOST, Scored

LISTED = 12  # selected clips shown as pictures
TOP = 5


# Settings --------------------------------------------------------------------------------------------------------


def settings(item: Scored, chosen: Sequence[str]) -> maps.MapSettings:
    """How maps are drawn: perplexity, seed, number of clips, and which classes are fitted."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        perplexity = st.number_input(
            "Perplexity", 2, 500, 30, 5, key=state.PERPLEXITY, bind="query-params", persist_state="session", width=130,
            help="About how many neighbours each point looks at. Small: many small clusters. Large: the broad layout. "
            "At most a third of the points.",
        )  # fmt: skip
        seed = st.number_input(
            "Seed", 0, 2**32 - 1, 0, key=state.MAP_SEED, bind="query-params", persist_state="session", width=130,
            help="Of the choice of clips and of t-SNE. What one seed shows and another does not is not in the data.",
        )  # fmt: skip
        sample = st.number_input(
            "Clips at most", 20, MOST, 3000, 500, key=state.MAP_CLIPS, bind="query-params", persist_state="session",
            width=130, help="More than these are sampled, as evenly over classes as can be.",
        )  # fmt: skip
        only = st.toggle(
            "Fit the chosen classes only", key=state.FITTED, bind="query-params", persist_state="session",
            disabled=not chosen, help="Refits t-SNE on the clips of the chosen classes, as the paper's Figure 1 does. "
            "Otherwise all classes are fitted together, and those not chosen are grey.",
        )  # fmt: skip
    there = len(service.clouds(item)[0])
    sample = max(there, 3000) if sample >= there else sample  # one map, whatever number lets all clips in
    return maps.MapSettings(float(perplexity), int(seed), int(sample), tuple(chosen) if only else ())


def select_by() -> str:
    """Whether a click or a lasso selects on the maps."""
    by: str = st.segmented_control(
        "Select clips by", [state.CLICK, state.LASSO], default=state.CLICK, required=True, key=state.SELECT_BY,
        format_func={state.CLICK: "Click", state.LASSO: "Lasso"}.__getitem__, bind="query-params",
        help="Click: a point, or several with Shift; a star takes the clips of its class. Lasso: drag around some.",
    )  # fmt: skip
    return by


# Maps ------------------------------------------------------------------------------------------------------------


def missing(item: Scored, wanted: maps.MapSettings) -> None:
    """In place of a map that nobody has drawn: its progress, or the button that starts it.

    The first map of a data set, with the usual settings, starts by itself.
    """
    job = service.job(item, wanted)
    if not jobs.possible():
        st.info("This map has not been drawn yet. On this system it is drawn in a terminal:", icon=":material/info:")
        st.code(f"cezsar {' '.join(_quoted(part) for part in service.arguments(item, wanted))}", language="bash")
    elif job is not None and job.state != "done":
        st.markdown("The map is being drawn." if job.alive else "The map has not been drawn to the end.")
        job_widgets.follow([job], "map")
    elif job is None and wanted == maps.MapSettings():
        service.start(item, wanted)
        st.rerun()
    else:
        with st.container(border=True):
            st.markdown(
                "With these settings no map has been drawn yet. A small one takes seconds, a large one a minute."
            )
            st.button(
                "Draw the map", icon=":material/scatter_plot:", type="primary", key="draw-map",
                on_click=service.start, args=(item, wanted),
            )  # fmt: skip


def _quoted(part: str) -> str:
    return part if part.replace("/", "").replace("-", "").replace(".", "").isalnum() else f"'{part}'"


@st.fragment
def explore(item: Scored, drawn: maps.Map, chosen: list[str], by: str) -> None:
    """The maps of all spaces side by side, and below them the clip that was chosen in one of them."""
    shown = service.shown(item, drawn)
    points = charts.points_of(shown.ids, shown.labels, shown.predicted, chosen)
    pinned = st.session_state.get(state.PINNED)
    pins = service.pinned_at(item, drawn, pinned) if pinned else {}
    kind = (id(drawn), tuple(chosen), tuple(pins), by, st.context.theme.type)
    selected = _selected(item, drawn, shown, points, chosen, kind)
    if st.session_state.get(state.MAP_CLIP, st.query_params.get(state.MAP_CLIP)) not in shown.ids:
        first = selected or service.of_classes(chosen, shown.labels)
        st.session_state[state.MAP_CLIP] = shown.ids[first[0] if first else 0]
    elif state.MAP_CLIP not in st.session_state:
        st.session_state[state.MAP_CLIP] = st.query_params[state.MAP_CLIP]
    _legend(chosen, drawn)
    pictures = st.columns(len(drawn.projections), gap="small")
    for column, space in zip(pictures, drawn.projections, strict=True):
        with column:
            _plane(item, drawn, space, shown, points, chosen, selected, by, pinned["name"] if pinned else "", pins)
    _notes(drawn, shown)
    _pin(item, pinned, pins)
    _clip(item, shown, chosen, selected)


def _plane(
    item: Scored,
    drawn: maps.Map,
    space: str,
    shown: service.Shown,
    points: charts.Points,
    chosen: list[str],
    selected: list[int],
    by: str,
    pinned: str,
    pins: Mapping[str, tuple[float, float]],
) -> None:
    """One map, and over it a ring around the clip that is played."""
    one = drawn.projections[space]
    title, meaning = SPACES[space]
    class_names = scored.scores(item).class_names
    frame = charts.frame_of(one.videos_N2, one.prototypes_P2)
    marks = st.session_state.setdefault(state.MAP_MARKS, {})
    # The figure in which clips were selected must stay as it was, or the browser would drop the selection.
    marks[space] = tuple(marks.get(space, ())) if _touched() == space else tuple(selected)
    at = pins.get(space)
    figure = charts.map_figure(
        one.videos_N2,
        one.prototypes_P2,
        [class_names[index] for index in drawn.star_class[space]],
        points,
        chosen,
        frame,
        means=space in drawn.means,
        marked=marks[space],
        pinned=(pinned, *at) if at else None,
        lasso=by == state.LASSO,
        dark=st.context.theme.type == "dark",
    )
    with st.container(border=True, gap="xxsmall", key=f"plane-{space}"):
        st.markdown(f"**{title}**", help=meaning)
        with st.container(key=f"frame-{space}"):
            st.plotly_chart(
                figure,
                key=_key(space),
                config=charts.PICTURE,
                on_select=partial(_pick, item, drawn, shown, points, chosen, space),
                selection_mode=("points", "lasso"),
                alt=charts.alt(title, len(shown.ids), chosen),
            )
            clip = shown.ids.index(st.session_state[state.MAP_CLIP])
            x, y = frame.inside(*(float(value) for value in one.videos_N2[clip]))
            side = "min(100cqw, 100cqh)"  # the map is a square in the middle of its box
            place = f"left: calc(50% + {x:.4f} * {side}); top: calc(50% + {y:.4f} * {side})"
            st.html(f'<div class="cezsar-over"><i style="{place}"></i></div>')


def _key(space: str) -> str:
    return f"map-{space}"


def _touched() -> str | None:
    """The space of the map that carries a selection of its own."""
    space: str | None = st.session_state.get(state.MAP_TOUCHED)
    picked = st.session_state.get(_key(space)) if space else None
    return space if picked and picked["selection"]["points"] else None


def _pick(
    item: Scored, drawn: maps.Map, shown: service.Shown, points: charts.Points, chosen: list[str], space: str
) -> None:
    """Somebody selected in this map: the clips stand out in all, and the first of them is played."""
    found = st.session_state[_key(space)]["selection"]["points"]
    inside = [points.order[point["point_index"]] for point in found if point["curve_number"] == 0]
    st.session_state[state.MAP_TOUCHED] = space if inside else None
    if not inside:  # a star stands for the clips of its class
        names = [scored.scores(item).class_names[index] for index in drawn.star_class[space]]
        order = charts.star_order(names, chosen)
        stars = {order[point["point_index"]] for point in found if point["curve_number"] == 1}
        inside = service.of_classes(sorted(stars), shown.labels)
    st.session_state[state.MAP_PICKED] = [shown.ids[clip] for clip in sorted(inside)]
    if inside:
        st.session_state[state.MAP_CLIP] = shown.ids[min(inside)]


def _clear() -> None:
    """Forget what is selected."""
    st.session_state[state.MAP_PICKED], st.session_state[state.MAP_TOUCHED] = [], None


def _selected(
    item: Scored,
    drawn: maps.Map,
    shown: service.Shown,
    points: charts.Points,
    chosen: list[str],
    kind: tuple[object, ...],
) -> list[int]:
    """Positions of the clips that stand out."""
    if st.session_state.get(state.MAP_KIND, kind) != kind:
        st.session_state[state.MAP_TOUCHED] = None  # figures drawn anew carry nothing
    st.session_state[state.MAP_KIND] = kind
    if state.MAP_PICKED not in st.session_state:
        for space in drawn.projections:
            if (before := st.session_state.get(_key(space))) and before["selection"]["points"]:
                _pick(item, drawn, shown, points, chosen, space)
    picked = set(st.session_state.get(state.MAP_PICKED, ()))
    return [clip for clip, name in enumerate(shown.ids) if name in picked]


def _legend(chosen: Sequence[str], drawn: maps.Map) -> None:
    entries = [(COLOURS[n], charts.GLYPHS[n], name) for n, name in enumerate(chosen)]
    if not drawn.means >= set(drawn.projections):
        entries.append(("inherit", "★", "prototype: a class's description"))
    if drawn.means:
        entries.append(("inherit", "☆", "mean clip of a class"))
    entries.append(("#9A9A9A", "●", "other classes" if chosen else "clips"))
    items = [
        f'<span><b style="color:{colour}">{glyph}</b>{html.escape(name)}</span>' for colour, glyph, name in entries
    ]
    st.html(f'<div class="cezsar-legend" style="padding-left: 0">{"".join(items)}</div>')


def _notes(drawn: maps.Map, shown: service.Shown) -> None:
    said = [
        f"{len(shown.ids):,} clips. Select some on any map, and they stand out on all; the ringed one is played. "
        "t-SNE axes have no unit: neighbours are alike, but distances between clusters and their "
        "sizes mean nothing."
    ]
    if drawn.means:
        said.append("Raw features have no sentences: there the hollow star is the class's mean clip.")
    st.caption(" ".join(said))


def _pin(item: Scored, pinned: Mapping[str, object] | None, pins: Mapping[str, object]) -> None:
    if not pinned:
        return
    name, run = plain(str(pinned["name"])), plain(str(pinned.get("run") or "another model"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if pins:
            st.markdown(f"◇ **{name}**, pinned on page Classify: approximate place, mean of its five nearest clips.")
        else:
            st.markdown(f"◇ **{name}** is pinned, but {run} read it: choose that run to see where it lies.")
        st.button("Take it off", icon=":material/close:", key="unpin", on_click=_unpin, type="tertiary")


def _unpin() -> None:
    st.session_state.pop(state.PINNED, None)


# The clip --------------------------------------------------------------------------------------------------------


def _clip(item: Scored, shown: service.Shown, chosen: list[str], selected: list[int]) -> None:
    """The selected clips as pictures, and one clip played beside its ranking."""
    if len(selected) > 1:
        _pictures(item, shown, selected)
    screen, ranks = st.columns([5, 6], gap="large", vertical_alignment="top")
    with screen:
        clip_id = st.selectbox(
            "Clip",
            shown.ids,
            key=state.MAP_CLIP,
            bind="query-params",
            persist_state="session",
            help="The ringed clip. Type a part of its name to find another one.",
        )
        clip = shown.ids.index(clip_id)
        film_of(item, clip_id, shown.labels[clip], caption="")
    with ranks:
        true, predicted = shown.labels[clip], shown.predicted[clip]
        best = service.ranking(item, int(shown.row_N[clip]))
        st.caption("Predicted")
        st.subheader(plain(predicted or "nothing"), anchor=False)
        if not true:
            st.markdown(":gray[Its true class is not known.]")
        elif true == predicted:
            st.markdown(":green[:material/check: That is its true class.]")
        else:
            rank = [name for name, _ in best].index(true) + 1
            st.markdown(f":orange[:material/close: Its true class is *{plain(true)}*, ranked {rank}.]")
        top = best[:TOP] + [pair for pair in best[TOP:] if pair[0] == true]
        st.plotly_chart(
            charts.ranking_figure(top, chosen, true),
            key="map-ranking",
            config=PLOT,
            alt="Best labels: " + ", ".join(f"{name} {number(value)}" for name, value in top),
        )
        w = item.weights
        st.caption(
            f"The {min(TOP, len(best))} best of {len(best)} classes, by the run's own weights: "
            f"α = {w.alpha:g}, β = {w.beta:g}, γ = {w.gamma:g} (Eq. 8 and 9)."
        )


def _pictures(item: Scored, shown: service.Shown, selected: list[int]) -> None:
    right = sum(shown.labels[clip] == shown.predicted[clip] for clip in selected)
    first = f"; these are the first {LISTED}" if len(selected) > LISTED else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(selected):,} clips selected**, {right:,} of them predicted right{first}.", width="content")
        st.button("Clear", icon=":material/close:", type="tertiary", key="map-clear", on_click=_clear)
    with st.container(key="selected"):
        for clip in selected[:LISTED]:
            clip_id, label = shown.ids[clip], shown.labels[clip]
            now = "chosen" if clip_id == st.session_state[state.MAP_CLIP] else "other"
            with st.container(key=f"card-{now}-map-{clip_id}"):
                try:
                    file = scored.clip(item, clip_id, label)
                    if file is not None:
                        st.image(clips.poster(file.digest, file), width="stretch", alt=f"A frame of {clip_id}")
                except CezsarError:
                    st.caption("cannot be read")
                mark = "" if label == shown.predicted[clip] else ":orange[:material/close:] "
                st.button(
                    mark + plain(label or clip_id), key=f"pick-map-{clip_id}", type="tertiary", on_click=state.put,
                    args=(state.MAP_CLIP, clip_id),
                )  # fmt: skip
