"""Classify: a clip, some labels, and which of them fits."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import preparation, services, state, widgets
from cezsar.data.labels import parse_labels
from cezsar.errors import CezsarError
from cezsar.world import HARD_GROUPS


def page() -> None:
    st.title("Classify", anchor=False)
    st.markdown("Name what people do in a clip, among labels of your choice, even ones that no model was trained on.")
    models = services.models()
    job = preparation.current()
    if not models or (job is not None and job.running):
        widgets.prepare_demo()
        return
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        clips = choose_clips()
        labels, model, beta = choose_labels(models)
    with answering:
        show(clips, labels, model, models, beta)


def choose_clips() -> list[services.ClipFile]:
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
        return [services.uploaded(upload.file_id, upload.name, upload.getvalue()) for upload in uploads]
    samples = services.samples()
    if samples:
        return [widgets.sample_picker(samples)]
    widgets.prepare_demo()
    return []


def choose_labels(models: dict[str, services.Model]) -> tuple[str, str, float | None]:
    """The labels as typed, the key of the model, and the weight of objects."""
    keys = list(models)
    titles = {key: model.title for key, model in models.items()}
    if len({model.folder is None for model in models.values()}) == 2:
        keys.insert(0, services.AUTOMATIC)
        titles[services.AUTOMATIC] = "Automatic"
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
    model = models.get(key) or next(iter(models.values()))
    with_labels = model if model.labels else next(iter(models.values()))
    groups = {name: group for name, group in HARD_GROUPS.items() if set(group) <= set(with_labels.labels)}
    with area:
        labels = widgets.label_box(with_labels.labels, groups)
    beta = None if model.beta is None else widgets.object_weight(model.beta)
    return labels, key, beta


def show(
    clips: Sequence[services.ClipFile],
    typed: str,
    key: str,
    models: dict[str, services.Model],
    beta: float | None,
) -> None:
    """Answers for all clips: an overview if there are several, and one of them in full."""
    if not clips:
        st.info("Choose one or several video files, and their ranking appears here.", icon=":material/upload:")
        return
    try:
        labels = parse_labels(typed)
    except CezsarError as error:
        st.error(widgets.sentence(error), icon=":material/error:")
        return
    if labels.repeated:
        st.caption(f"Labels given twice count once: {widgets.plain(', '.join(labels.repeated))}.")
    answers: list[services.Answer] = []
    waiting = st.empty()
    for number, clip in enumerate(clips, start=1):
        waiting.progress((number - 1) / len(clips), text=f"Reading {widgets.plain(clip.name)}")
        try:
            answers.append(services.answer(key, clip, models, labels.names, beta))
        except CezsarError as error:
            st.error(widgets.sentence(error), icon=":material/error:")
    waiting.empty()
    if not answers:
        return
    number = 0
    if len(answers) > 1:
        widgets.overview(answers)
        number = st.selectbox(
            "Clip in full",
            range(len(answers)),
            format_func=lambda index: f"{index + 1}. {answers[index].clip.name}",
            key=state.CLIP,
        )
    widgets.answer(answers[number], number)
    widgets.downloads(answers)


page()
