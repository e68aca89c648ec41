"""When it happens: a time line under the film, and the places of one action in many films."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.classify import figures as charts
from app.classify import films as service
from app.classify.answers import Answer
from app.services import clips
from app.widgets.player import film
from app.widgets.words import plain
from cezsar.report.figures import CLICKED, number

if TYPE_CHECKING:
    from cezsar.zeroshot.span_formats import Timeline

NAMED = 8  # labels in the legend of a time line


def subtitles(timeline: Timeline) -> str | None:
    """The labels as WebVTT, to be shown while the film plays; None where there are none."""
    from cezsar.zeroshot.span_formats import to_webvtt

    if not timeline.labelled:
        return None
    # A browser that seeks to where a label ends would go on showing it: each ends a moment earlier.
    return to_webvtt(replace(timeline, spans=[replace(span, end_s=span.end_s - 0.001) for span in timeline.spans]))


def time_line(given: Answer, timeline: Timeline, others: Sequence[Answer], ranked: Sequence[str]) -> None:
    """Coloured spans that can be clicked, their labels, and files to take away.

    Args:
        others: answers for all clips shown, which the files hold, too.
        ranked: labels that have a colour in the ranking beside, in its order.
    """
    looks = charts.marks(timeline.spans, ranked)
    st.markdown(
        "**When it happens**" + (" :gray[· click to play from there]" if given.clip.playable else ""),
        help="Each second is looked at with its neighbours, and a label lasts until another one is clearly better. "
        "Pale stretches show none of the labels, where the model can tell.",
    )
    said = [f"{charts.clock(span.start_s)} to {charts.clock(span.end_s)}: {label}" for span, label in timeline.labelled]
    st.plotly_chart(
        charts.spans_figure(timeline.spans, looks),
        key=span_key(given.clip),
        on_select="rerun",
        selection_mode="points",
        config=CLICKED,
        alt="Time line. " + ("; ".join(said) or "None of the labels is seen"),
    )
    items = [
        f'<span><b style="color:{colour}">{glyph}</b>{html.escape(label)}</span>'
        for label, (colour, glyph) in list(looks.items())[:NAMED]
    ]
    more = f"<span>and {len(looks) - NAMED} more</span>" if len(looks) > NAMED else ""
    if items:
        st.html(f'<div class="cezsar-legend" style="padding-left:6px">{"".join(items)}{more}</div>')
    exports(f"spans-{given.clip.digest[:16]}", lambda: [service.timeline(one) for one in others], timeline)


def exports(key: str, made: Callable[[], Sequence[Timeline]], one: Timeline | None = None) -> None:
    """Files of spans, made when asked for.

    Args:
        made: the time lines of all films.
        one: that of the film shown, for subtitles.
    """
    from cezsar.zeroshot import span_formats as formats

    kinds: list[tuple[str, str, str, Callable[[], str], str]] = [
        ("CSV", "spans.csv", "text/csv", lambda: formats.to_csv(made()), "A row for each span."),
        (
            "ActivityNet",
            "spans.json",
            "application/json",
            lambda: formats.to_activitynet(made()),
            "JSON in ActivityNet's submission form for temporal localisation.",
        ),
        (
            "Label Studio",
            "label-studio.json",
            "application/json",
            lambda: formats.to_label_studio(made()),
            "Pre-annotations, to be imported as tasks of a TimelineLabels project.",
        ),
    ]
    if one is not None:
        webvtt = ("WebVTT", "spans.vtt", "text/vtt", partial(formats.to_webvtt, one), "Subtitles of the film shown.")
        kinds.insert(2, webvtt)
    with st.container(horizontal=True):
        for title, file, mime, content, told in kinds:
            st.download_button(
                title,
                content,
                file,
                mime,
                key=f"{key}-{title}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                help=told,
            )


def span_key(clip: clips.ClipFile) -> str:
    """Key of a clip's time line."""
    return state.SPAN + clip.digest[:16]


def hits(action: str, found: Sequence[service.Hit], films: int) -> None:
    """The places where an action is seen, best first; the one that is picked is played."""
    where = f"{films:,} film{'s' if films != 1 else ''}"
    if not found:
        st.info(
            f"{plain(action)} is not seen in {where}: nowhere does it stand out among Kinetics\\-400's actions.",
            icon=":material/search_off:",
        )
        return
    places = f"{len(found):,} place{'s' if len(found) != 1 else ''}"
    st.subheader(f"{plain(action)}: {places} in {where}", anchor=False)
    screen, table = st.columns([5, 6], gap="medium")
    with table:
        st.markdown(
            "**Best first** :gray[· pick a row to play it]",
            help="Score: how far the action stands above the bar, which 95 % of Kinetics-400's other actions stay "
            "under, in standard deviations.",
        )
        rows = [
            {
                "film": hit.clip.name,
                "from": charts.clock(hit.span.start_s),
                "to": charts.clock(hit.span.end_s),
                "score": hit.span.score,
                "model": hit.model.title,
            }
            for hit in found
        ]
        picked = st.dataframe(
            rows,
            hide_index=True,
            key=state.HIT,
            on_select="rerun",
            selection_mode="single-row",
            column_config={"score": st.column_config.NumberColumn(format="%.2f")},
            alt=f"Places where {action} is seen, best first",
        )
        exports("hits", partial(service.timelines, found))
    chosen = next((row for row in picked["selection"]["rows"] if row < len(found)), None)
    hit = found[chosen or 0]
    with screen:
        (lines,) = service.timelines([each for each in found if each.clip.digest == hit.clip.digest])
        film(
            hit.clip,
            f"{plain(hit.clip.name)}, from {charts.clock(hit.span.start_s)}, score {number(hit.span.score)}",
            start_s=int(hit.span.start_s),
            play=chosen is not None,
            subtitles=subtitles(lines),
        )
