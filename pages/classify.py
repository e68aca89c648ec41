"""Classify: a clip, some labels, and which of them fits."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state
from app.services import answers, clips, models
from app.widgets import classify as widgets
from app.widgets import words
from app.widgets.preparation import prepare_demo
from cezsar.data.descriptions import parse_classes
from cezsar.errors import CezsarError
from cezsar.world import HARD_GROUPS


def page() -> None:
    st.title("Classify", anchor=False)
    st.markdown("Name what people do in a clip, among labels of your choice, even ones that no model was trained on.")
    there = models.models()
    if not there:
        prepare_demo()
        return
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        chosen = choose_clips()
        typed, key, beta = choose_labels(there)
        gamma = widgets.caption_weight(beta)
        doubt = widgets.doubts()
    with answering:
        offered = st.container()
        given: list[answers.Answer] = []
        if asked := question(typed, key, beta, gamma, doubt):
            given = show(chosen, there, asked)
        with offered:
            domains = list(dict.fromkeys(model.domain for model in there.values() if model.domain))
            widgets.real_video(st.session_state.get(state.SOURCE) == state.UPLOADS, given, domains)


def choose_clips() -> list[clips.ClipFile]:
    """Uploads, or a sample."""
    source = st.segmented_control(
        "Clip",
        [state.SAMPLES, state.UPLOADS],
        default=state.SAMPLES,
        format_func={state.SAMPLES: "Samples", state.UPLOADS: "My clips"}.__getitem__,
        required=True,
        key=state.SOURCE,
        bind="query-params",
        width="stretch",
    )
    if source == state.UPLOADS:
        uploads = st.file_uploader(
            "Video files",
            accept_multiple_files=True,
            key="uploads",
            help="One or several clips of a few seconds to a few minutes, of any kind that OpenCV reads. They stay on "
            "the machine that runs this app.",
        )
        return [clips.uploaded(upload.file_id, upload.name, upload.getvalue()) for upload in uploads]
    return [widgets.sample_picker(clips.samples())]


def choose_labels(there: dict[str, models.Model]) -> tuple[str, str, float | None]:
    """The labels as typed, the key of the model, and the weight of objects."""
    keys = list(there)
    titles = {key: model.title for key, model in there.items()}
    if len({model.folder is None for model in there.values()}) == 2:
        keys.insert(0, models.AUTOMATIC)
        titles[models.AUTOMATIC] = "Automatic"
    area = st.container()
    key = keys[0]
    if len(keys) > 1:
        key = st.selectbox(
            "Model",
            keys,
            format_func=titles.__getitem__,
            key=state.MODEL,
            bind="query-params",
            help="Automatic takes the first trained run, except for clips that look like nothing it was trained on: "
            "those go to the encoder for real video.",
        )
    model = there.get(key) or next(iter(there.values()))
    with_labels = model if model.labels else next(iter(there.values()))
    groups = {name: group for name, group in HARD_GROUPS.items() if set(group) <= set(with_labels.labels)}
    with area:
        labels = widgets.label_box(with_labels.labels, groups)
    beta = None if model.beta is None else widgets.object_weight(model.beta)
    return labels, key, beta


def question(typed: str, key: str, beta: float | None, gamma: float, doubt: answers.Doubt) -> answers.Question | None:
    """What is asked about every clip; None, and a word on why, if the labels cannot be used."""
    try:
        labels, descriptions = parse_classes(typed)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
        return None
    if labels.repeated:
        st.caption(f"Labels given twice count once: {words.plain(', '.join(labels.repeated))}.")
    return answers.Question(key, descriptions or labels.names, beta, gamma, doubt)


def show(
    chosen: Sequence[clips.ClipFile], there: dict[str, models.Model], asked: answers.Question
) -> list[answers.Answer]:
    """Answers for all clips: an overview if there are several, and one of them in full."""
    if not chosen:
        st.info("Choose one or several video files, and their ranking appears here.", icon=":material/upload:")
        return []
    given: list[answers.Answer] = []
    waiting = st.empty()
    for number, clip in enumerate(chosen, start=1):
        waiting.progress((number - 1) / len(chosen), text=f"Reading {words.plain(clip.name)}")
        try:
            given.append(answers.answer(clip, there, asked, widgets.caption_of(clip)))
        except CezsarError as error:
            st.error(words.sentence(error), icon=":material/error:")
    waiting.empty()
    if not given:
        return []
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
        widgets.answer(given[number], number)
    except CezsarError as error:
        st.error(words.sentence(error), icon=":material/error:")
    widgets.downloads(given)
    return given


page()
