"""When it happens: a time line under the film, and the places of one action in many films."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.classify import answers
from app.classify.answers import Answer, Hit
from app.parts import show
from app.parts.player import film
from app.parts.words import plain
from cezsar.report.figures import COLOURS, GLYPHS, GREY, HOVER, layout, number, shown

if TYPE_CHECKING:
    from cezsar.zeroshot.spans import Span, Timeline

LEAST_S = 6  # a shorter clip shows one action, and needs no time line
NAMED = 8  # labels in the legend of a time line
LANE_PX, AXIS_PX = 40, 30
NOTHING = "rgba(154, 154, 154, 0.25)"
LIGHT_TEXT, DARK_TEXT = "#FFFFFF", "#1F2328"
PALE = {"#E69F00", "#56B4E9", "#CC79A7", GREY, NOTHING}  # colours that white letters cannot be read on
TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def subtitles(timeline: Timeline) -> str | None:
    """The labels as WebVTT, to be shown while the film plays; None where there are none."""
    from cezsar.zeroshot.spans import to_webvtt

    if not timeline.labelled:
        return None
    # A browser that seeks to where a label ends would go on showing it: each ends a moment earlier.
    return to_webvtt(replace(timeline, spans=[replace(span, end_s=span.end_s - 0.001) for span in timeline.spans]))


def time_line(given: Answer, timeline: Timeline, others: Sequence[Answer], ranked: Sequence[str]) -> None:
    """Spans to click, in the colours that labels have in the ranking (`ranked`), and files for all clips (`others`)."""
    looks = marks(timeline.spans, ranked)
    st.markdown(
        "**When it happens**" + (" :gray[· click to play from there]" if given.clip.playable else ""),
        help="A label lasts until another one is clearly better. Pale stretches show none, where the model can tell.",
    )
    said = [f"{clock(span.start_s)} to {clock(span.end_s)}: {label}" for span, label in timeline.labelled]
    alt = "Time line. " + ("; ".join(said) or "None of the labels is seen")
    show.figure(spans_figure(timeline.spans, looks), state.SPAN + given.clip.digest[:16], alt, clicked=True)
    if looks:
        more = f"and {len(looks) - NAMED} more" if len(looks) > NAMED else ""
        show.legend([(*look, label) for label, look in list(looks.items())[:NAMED]], "padding-left:6px", more)
    exports(lambda: [answers.timeline(one) for one in others], timeline)


def exports(made: Callable[[], Sequence[Timeline]], one: Timeline | None = None) -> None:
    """Files of spans, made when asked for: of all films by `made`, and subtitles of the film shown, `one`."""
    from cezsar.zeroshot import spans as formats

    show.downloads(
        ("CSV", "spans.csv", lambda: formats.to_csv(made()), "A row for each span."),
        ("ActivityNet", "spans.json", lambda: formats.to_activitynet(made()), "For temporal localisation."),
        *([("WebVTT", "spans.vtt", partial(formats.to_webvtt, one), "Subtitles of the film shown.")] if one else []),
        ("Label Studio", "label-studio.json", lambda: formats.to_label_studio(made()), "Pre-annotations as tasks."),
        type="tertiary",
    )


def hits(action: str, found: Sequence[Hit], films: int) -> None:
    """The places where an action is seen, best first; the one that is picked is played."""
    st.subheader(f"{plain(action)}: places seen in {films:,} films: {len(found):,}", anchor=False)
    if not found:
        return show.info("Nowhere does it stand out among Kinetics-400's actions.")
    screen, table = st.columns([5, 6], gap="medium")
    with table:
        st.markdown(
            "**Best first** :gray[· pick a row to play it]",
            help="Score: standard deviations above the bar that 95 % of Kinetics-400's other actions stay under.",
        )
        rows = [
            {"film": clip.name, "from": clock(span.start_s), "to": clock(span.end_s), "score": span.score,
             "model": model.title}
            for clip, model, span in found
        ]  # fmt: skip
        picked = show.table(
            rows, f"Places where {action} is seen, best first", {"score": "%.2f"}, key=state.HIT, on_select="rerun",
            selection_mode="single-row",
        )  # fmt: skip
        exports(partial(timelines, found))
    chosen = next((row for row in picked["selection"]["rows"] if row < len(found)), None)
    clip, _, span = found[chosen or 0]
    with screen:
        (lines,) = timelines([each for each in found if each.clip.digest == clip.digest])
        film(
            clip, f"{plain(clip.name)}, from {clock(span.start_s)}, score {number(span.score)}",
            start_s=int(span.start_s), play=chosen is not None, subtitles=subtitles(lines),
        )  # fmt: skip
    return None


def timelines(found: Sequence[Hit]) -> list[Timeline]:
    """Hits as files hold them: film by film, in the order of each film's best hit, by time."""
    from cezsar.zeroshot.spans import Timeline

    films: dict[str, list[Hit]] = defaultdict(list)
    for hit in found:
        films[hit.clip.digest].append(hit)
    made = []
    for (clip, model, _), *_ in films.values():
        by_time = sorted((hit.span for hit in films[clip.digest]), key=lambda span: span.start_s)
        made.append(Timeline(clip.name, model.title, answers.film(model, clip).fps, by_time))
    return made


def marks(spans: Sequence[Span], ranked: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Label -> colour and glyph, the longest seen first: as in the ranking for labels shown there; grey past eight."""
    lasts: dict[str, float] = defaultdict(float)
    for span in spans:
        if span.label is not None:
            lasts[span.label] += span.end_s - span.start_s
    given = dict(zip(ranked, range(len(COLOURS)), strict=False))
    free = iter([index for index in range(len(COLOURS)) if index not in given.values()])
    found = {}
    for label in sorted(lasts, key=lambda label: -lasts[label]):
        at = given[label] if label in given else next(free, None)
        found[label] = (GREY, "○") if at is None else (COLOURS[at], GLYPHS[at])
    return found


def spans_figure(spans: Sequence[Span], looks: Mapping[str, tuple[str, str]]) -> go.Figure:
    """One lane of coloured bars, each with its label where there is room; a stretch of none of them is pale."""
    end_s = max(span.end_s for span in spans)
    figure = go.Figure()
    colours = {span.label: NOTHING if span.label is None else looks[span.label][0] for span in spans}
    for text, pale in ((LIGHT_TEXT, False), (DARK_TEXT, True)):
        seen = [span for span in spans if (colours[span.label] in PALE) == pale]
        figure.add_bar(
            x=[span.end_s - span.start_s for span in seen], base=[span.start_s for span in seen], y=[0] * len(seen),
            width=1, orientation="h", textposition="inside", insidetextanchor="start", textangle=0,
            text=["" if span.label is None else f"{looks[span.label][1]} {shown(span.label)}" for span in seen],
            insidetextfont={"size": 13, "color": text},
            marker={"color": [colours[span.label] for span in seen], "line": {"width": 0}, "cornerradius": 6},
            selected={"marker": {"opacity": 1}, "textfont": {"color": text}},
            unselected={"marker": {"opacity": 0.75}, "textfont": {"color": text}},
            customdata=[int(span.start_s) for span in seen], hovertemplate=HOVER,
            hovertext=[_hover(span) for span in seen],
        )  # fmt: skip
    ticks = list(range(0, int(end_s) + 1, next((step for step in TICKS_S if end_s / step <= 8), 7200)))
    layout(
        figure, LANE_PX + AXIS_PX + 8, uniformtext={"minsize": 11, "mode": "hide"}, barmode="overlay", bargap=0,
        clickmode="event+select", dragmode=False, showlegend=False, margin={"l": 14, "r": 14, "t": 4, "b": AXIS_PX},
    )  # fmt: skip
    names = [clock(tick) for tick in ticks]
    figure.update_xaxes(range=[0, end_s], tickvals=ticks, ticktext=names, showgrid=False, zeroline=False, title=None)
    return figure.update_yaxes(visible=False, range=[-0.5, 0.5])


def _hover(span: Span) -> str:
    words = f"{shown(span.label or 'none of these')}<br>{clock(span.start_s)} to {clock(span.end_s)}"
    return words if span.label is None else f"{words}<br>similarity {span.score:.2f}"


def clock(time_s: float) -> str:
    """9.5 s, 1:05, 1:02:03."""
    if time_s < 60:
        return f"{time_s:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
