"""Classify: a film, some labels, which of them fits, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app import state
from app.classify import answers, asking, spans
from app.classify import films as when
from app.classify import ranking as widgets
from app.services import clips, models
from app.services import labels as label_sets
from app.widgets import words
from app.widgets.preparation import prepare_demo
from cezsar.data.descriptions import parse_classes
from cezsar.errors import CezsarError
from cezsar.world import HARD_GROUPS


def page() -> None:
    st.title("Classify", anchor=False)
    st.markdown("Name what people do in a film, and when, among labels of your choice: no model needs to know them.")
    there = models.models()
    if not there:
        prepare_demo()
        return
    first = next(iter(there.values()))
    models.load_ahead(first.key, first.fingerprint, first, label_sets.for_films(first))
    begun = bool(st.session_state.get(state.UPLOADED)) or asking.source() == state.SAMPLES
    left, right = st.columns([4, 9] if begun else [6, 5], gap="large")
    with left:
        uploads = asking.drop_zone(large=not begun)
        chosen = uploads
        if begun and asking.choose_source() == state.SAMPLES:
            chosen = [asking.sample_picker(clips.samples())]
        task = asking.choose_task()
        if task == state.FIND_ONE:
            action, key = asking.action(), choose_model(there)
        else:
            asked, beside = ask(chosen, there)
        asking.better_models()
    with right:
        if not begun:
            asking.samples_instead(clips.samples())
        elif task == state.FIND_ONE:
            find(chosen, there, action, key)
        elif asked:
            show(chosen, there, asked, beside)


def ask(
    chosen: Sequence[clips.ClipFile], there: dict[str, models.Model]
) -> tuple[answers.Question | None, answers.Question | None]:
    """What is asked about every clip, and of a second model, if any; None, and a word on why, if labels are wrong."""
    area = st.container()
    left, right = st.columns(2)
    with left:
        key = choose_model(there)
    with right:
        other = asking.beside(there)
    model = answers.first_choice(key, chosen, there)
    with area:
        groups = {name: group for name, group in HARD_GROUPS.items() if set(group) <= set(model.labels)}
        typed = asking.label_box(model.labels, groups)
        try:
            parsed, descriptions = parse_classes(typed)
        except CezsarError as error:
            st.error(words.sentence(error), icon=":material/error:")
            return None, None
        if parsed.repeated:
            st.caption(f"Labels given twice count once: {words.plain(', '.join(parsed.repeated))}.")
        if not descriptions:
            asking.how_described(parsed.names, model)
    own = None if model.beta is None else round(model.beta, 2)
    with st.expander("Weights and limits", icon=":material/tune:"):
        beta = None if own is None else asking.object_weight(own)
        gamma = asking.caption_weight(beta)
        limits = asking.limits()
    labels = descriptions or parsed.names
    asked = answers.Question(key, labels, None if beta == own else beta, gamma, limits)
    return asked, answers.Question(other, labels, None, gamma, limits) if other else None


def choose_model(there: dict[str, models.Model]) -> str:
    """The key of the model that answers."""
    titles = {models.AUTOMATIC: "Automatic"} | {key: model.title for key, model in there.items()}
    return st.selectbox(
        "Model",
        list(titles),
        format_func=titles.__getitem__,
        key=state.MODEL,
        bind="query-params",
        help="Automatic takes the best model for real video on this machine; films that look like the demo's drawn "
        "world go to the demo's run.",
    )


def each(chosen: Sequence[clips.ClipFile], read: Callable[[clips.ClipFile], None]) -> None:
    """Do something with each clip; one that cannot be used is named, and the others go on."""
    waiting, failed = st.empty(), False
    for number, clip in enumerate(chosen):
        waiting.progress(number / len(chosen), text=f"Reading {words.plain(clip.name)}")
        try:
            read(clip)
        except CezsarError as error:
            st.error(words.sentence(error), icon=":material/error:")
            failed = True
    waiting.empty()
    if failed:
        st.button("Try again", icon=":material/refresh:", key="try-again", on_click=answers.try_again)


def show(
    chosen: Sequence[clips.ClipFile],
    there: dict[str, models.Model],
    asked: answers.Question,
    beside: answers.Question | None,
) -> None:
    """Answers for all clips: an overview if there are several, and one of them in full."""
    given: list[answers.Answer] = []
    each(chosen, lambda clip: given.append(answers.answer(clip, there, asked, widgets.caption_of(clip))))
    if not given:
        return
    number = 0
    if len(given) > 1:
        widgets.overview(given)
        number = st.selectbox(
            "Clip in full",
            range(len(given)),
            format_func=lambda index: f"{index + 1}. {given[index].clip.name}",
            key=state.CLIP,
        )
    try:
        clip, other = given[number].clip, None
        if beside is not None:
            with st.spinner(f"Asking {words.plain(there[beside.key].title)}, too"):
                other = answers.answer(clip, there, beside, widgets.caption_of(clip))
        widgets.answer(given[number], number, given, other)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
    widgets.downloads(given)


def find(chosen: Sequence[clips.ClipFile], there: dict[str, models.Model], action: str, key: str) -> None:
    """Where one action is seen in all films."""
    if not action:
        st.info("Say what to look for, and the places where it is seen appear here.", icon=":material/search:")
        return
    found: list[when.Hit] = []
    each(chosen, lambda clip: found.extend(when.find(action, clip, key, there)))
    spans.hits(action, sorted(found, key=lambda hit: -hit.span.score), len(chosen))
