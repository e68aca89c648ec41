"""The page Classify: a film, some labels, which of them fits, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from app import state
from app.classify import answers, asking, captions, ranking, spans
from app.classify.answers import Answer, Question
from app.classify.why import why
from app.classify.wording import better_words
from app.parts import clips, models, show
from app.parts import labels as label_sets
from app.parts.choosers import segments
from app.parts.player import film, second_asked
from app.parts.preparation import prepare_demo
from app.parts.reading import try_again
from app.parts.words import plain

T = TypeVar("T")


def page() -> None:
    st.title("Classify", anchor=False)
    st.markdown("Name what people do in a film, and when, among labels of your choice: no model needs to know them.")
    there = models.models()
    if not there:
        prepare_demo()
        return
    first = next(iter(there.values()))
    models.load_ahead(first.key, first.fingerprint, first, label_sets.for_films(first))
    said = asking.SOURCES[state.SAMPLES] == st.query_params.get(state.SOURCE)  # before anything is drawn
    source = st.session_state.get(state.SOURCE) or (state.SAMPLES if said else state.UPLOADS)
    begun = bool(st.session_state.get(state.UPLOADED)) or source == state.SAMPLES
    left, right = st.columns([4, 9] if begun else [6, 5], gap="large")
    one_of_two = {"width": "stretch", "label_visibility": "collapsed"}
    with left:
        chosen = asking.drop_zone(large=not begun)
        if begun and segments("What is shown", asking.SOURCES, state.SOURCE, **one_of_two) == state.SAMPLES:
            chosen = [asking.sample_picker(clips.samples())]
        task = segments("Task", asking.TASKS, state.TASK, **one_of_two)
        if task == state.FIND_ONE:
            action, key = asking.action(), asking.choose_model(there)
        else:
            asked, beside = asking.ask(chosen, there)
        asking.better_models()
    given, number = list[Answer](), 0
    with right:
        if not begun:
            st.markdown("No film at hand? **A drawn sample** of the demo's world:")
            asking.sample_cards(clips.samples())
        elif task == state.FIND_ONE and not action:
            st.info("Say what to look for, and the places where it is seen appear here.", icon=":material/search:")
        elif task == state.FIND_ONE:
            hits = [hit for found in each(chosen, lambda clip: answers.find(action, clip, key, there)) for hit in found]
            spans.hits(action, sorted(hits, key=lambda hit: -hit.span.score), len(chosen))
        elif asked:
            given, number = answer(chosen, there, asked, beside)
    if task == state.RANK and asked and st.session_state.get(state.BETTER):
        better_words(there, asked, given, number)


def each(chosen: Sequence[clips.ClipFile], read: Callable[[clips.ClipFile], T]) -> list[T]:
    """What `read` gives for each clip; one that cannot be used is named, and the others go on."""
    waiting, found = st.empty(), []
    for number, clip in enumerate(chosen):
        waiting.progress(number / len(chosen), text=f"Reading {plain(clip.name)}")
        with show.explained():
            found.append(read(clip))
    waiting.empty()
    if len(found) < len(chosen):
        st.button("Try again", icon=":material/refresh:", key="try-again", on_click=try_again)
    return found


def answer(chosen: Sequence[clips.ClipFile], there: dict[str, models.Model], asked: Question,
           beside: Question | None) -> tuple[list[Answer], int]:  # fmt: skip
    """Answers for all clips: an overview if there are several, and one of them in full, whose place is returned."""

    def answered(clip: clips.ClipFile, asked: Question) -> Answer:
        return answers.answer(clip, there, asked, captions.text(clip))

    given, number = each(chosen, lambda clip: answered(clip, asked)), 0
    if not given:
        return [], 0
    if len(given) > 1:
        ranking.overview(given)
        names = [f"{index + 1}. {one.clip.name}" for index, one in enumerate(given)]
        number = st.selectbox("Clip in full", range(len(given)), format_func=names.__getitem__, key=state.CLIP)
    with show.explained():
        other = None
        if beside is not None:
            with show.explained(), st.spinner(f"Asking {plain(there[beside.key].title)}, too"):
                other = answered(given[number].clip, beside)
        in_full(given[number], number, given, other)
    ranking.downloads(given)
    return given, number


def in_full(given: Answer, number: int, others: Sequence[Answer], beside: Answer | None) -> None:
    """Everything about one clip of those shown (`others`), with what a second model says `beside` it."""
    clip, own = given.clip, given.clip.digest[:16]
    timeline = answers.timeline(given) if given.seconds >= spans.LEAST_S else None
    second = second_asked(clip, given.seconds, state.SPAN + own, state.SECOND + own)
    top = [name for name, _ in given.ranking.labels[: ranking.MOST_LABELS - 1]]
    screen, ranks = st.columns([5, 6], gap="medium", vertical_alignment="top")
    with screen:
        subtitles = None if timeline is None else spans.subtitles(timeline)
        film(clip, start_s=second or 0, play=second is not None, subtitles=subtitles)
        captions.box(given)
    if beside is None:
        with ranks:
            ranking.ranking(given, f"ranking-{number}")
    else:
        with ranks:
            ranking.objects(given, in_a_row=False)
        left, right = st.columns(2, gap="medium", border=True)
        with left:
            ranking.ranking(given, f"ranking-{number}")
        with right:
            ranking.ranking(beside, f"beside-{number}")
    if timeline is not None:
        spans.time_line(given, timeline, others, top)
    if beside is None:
        ranking.objects(given)
    ranking.over_time(given, top, number)
    why(given)
    ranking.numbers(given)
    ranking.on_map(given, number)
    st.caption(f":material/verified_user: {plain(given.trust)}.")
