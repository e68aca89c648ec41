"""Pieces of pages: what is drawn, given what services answered."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from app import charts, preparation, services, state
from cezsar import encoders

PREVIEW = ("dancing with a flag", "kicking a drum", "swinging a guitar overhead", "balancing a box on the head")
CARDS = 6
PLOT = {"displayModeBar": False, "scrollZoom": False}


# The demo, prepared --------------------------------------------------------------------------------------------------


def prepare_demo() -> None:
    """The empty state: what the demo is, the one button that prepares it, and its progress once pressed."""
    job = preparation.current()
    with st.container(border=True, gap="medium", width=1000):
        if job is not None and job.running:
            _progress()
            return
        st.subheader("There is no trained model here yet")
        st.markdown(
            "The demo draws a small world of stick-figure people, trains a model on some of their actions and tests it "
            "on others that it never saw. It takes about three minutes on two cores, downloads nothing, and can be "
            "stopped and resumed."
        )
        _pictures(services.preview(PREVIEW, 480), PREVIEW)
        if job is not None:
            st.error("The last attempt ended early. Trying again goes on from where it was.", icon=":material/error:")
            with st.expander("What it said last", expanded=True):
                st.code(job.log or "nothing", language=None, wrap_lines=True)
        if preparation.possible():
            label = "Prepare the demo" if job is None else "Try again"
            st.button(label, type="primary", icon=":material/play_arrow:", on_click=preparation.start)
        else:
            st.markdown("On this system it is started in a terminal:")
            st.code("cezsar demo", language="bash")


@st.fragment(run_every=1.0)
def _progress() -> None:
    job = preparation.current()
    if job is None or not job.running:
        st.rerun()
        return
    st.subheader("Preparing the demo")
    left = f"about {duration(job.left_s)} left" if job.left_s is not None else "estimating the time left"
    st.progress(job.share, text=f"{job.share:.0%} · {duration(job.elapsed_s)} so far · {left}")
    names = list(preparation.STAGES)
    at = names.index(job.stage)
    marks = [
        ":green[:material/check_circle:]",
        ":blue[:material/play_circle:]",
        ":gray[:material/radio_button_unchecked:]",
    ]
    lines = []
    for index, name in enumerate(names):
        mark = marks[0 if index < at else 1 if index == at else 2]
        text = name[0].upper() + name[1:]
        lines.append(f"{mark} **{text}**" if index == at else f"{mark} {text}")
    stages, pictures = st.columns([1, 2], gap="large", vertical_alignment="center")
    stages.markdown("  \n".join(lines))
    with pictures:
        _pictures(services.preview(PREVIEW, 480), PREVIEW)
    st.caption("This goes on if you close the page; come back any time.")
    st.button("Stop", icon=":material/stop:", on_click=preparation.stop, help="What is finished stays.")


def _pictures(pictures: Sequence[bytes], names: Sequence[str]) -> None:
    with st.container(key="pictures"):
        for picture, name in zip(pictures, names, strict=True):
            st.image(picture, width="stretch", alt=f"A stick figure {name}")


# What to classify ----------------------------------------------------------------------------------------------------


def sample_picker(samples: Mapping[str, services.ClipFile]) -> services.ClipFile:
    """A few samples as pictures to click, and all of them in a list. There must be at least one."""
    firsts = list({clip.label: name for name, clip in reversed(list(samples.items()))}.values())[::-1]
    shown = [firsts[index * len(firsts) // CARDS] for index in range(CARDS)] if len(firsts) > CARDS else firsts
    titles = {name: clip.label for name, clip in samples.items()}
    if len(firsts) < len(samples):
        titles = {name: f"{title} {name.rpartition('-')[2]}" for name, title in titles.items()}
    if st.session_state.get(state.SAMPLE, shown[0]) not in samples:
        del st.session_state[state.SAMPLE]  # of a world that has gone
    cards = st.container(key="cards")
    picked: str = st.selectbox(
        f"or any of the {len(samples):,} samples",
        list(samples),
        index=list(samples).index(shown[0]),
        format_func=titles.__getitem__,
        key=state.SAMPLE,
        bind="query-params",
        help="Clips of actions that the model never saw in training.",
    )
    for name in shown:
        label = samples[name].label
        with cards.container(key=f"card-{'chosen' if name == picked else 'other'}-{name}"):
            frames = services.strip(samples[name].digest, samples[name])
            st.image(frames[len(frames) // 2][1], width="stretch", alt=f"A stick figure {label}")
            st.button(label, key=f"pick-{name}", type="tertiary", on_click=state.choose_sample, args=(name,))
    return samples[picked]


def label_box(default: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    """The labels as typed; `groups` are offered as ready-made sets."""
    text = ", ".join(default)
    state.begin_labels(text)
    typed = st.text_area(
        "Labels to choose from",
        key=state.LABELS,
        height=150,
        persist_state="session",
        placeholder="kicking a ball, waving a flag, ...",
        help="Any names, with commas between them or one to a line; none of them has to have occurred in training. "
        "A label that holds a comma goes between double quotes.",
    )
    state.publish_labels()
    if groups:
        with st.popover("Ready-made sets", icon=":material/list:", type="tertiary"):
            st.caption("Look-alikes: labels that share a prop, a place or a movement, and so are hard to tell apart.")
            st.button(f"All {len(default)} of the demo", on_click=state.set_labels, args=(text,), width="stretch")
            for name, members in groups.items():
                shown = ", ".join(members)
                st.button(
                    f"Look-alikes: {name} ({len(members)})",
                    on_click=state.set_labels,
                    args=(shown,),
                    help=shown,
                    width="stretch",
                )
    return typed or ""


def object_weight(own: float) -> float:
    """β of Eq. 9, with α = 1 - β: only their ratio matters to a cosine."""
    beta: float = st.slider(
        "Weight of recognised objects",
        0.0,
        1.0,
        round(own, 2),
        0.05,
        key=state.OBJECTS,
        bind="query-params",
        help="A clip is described by what it looks like (VE, the visual embedding) and by the objects recognised in it "
        "(O). At 0 only VE counts, at 1 only the objects: β of Eq. 9 of the paper, with α = 1 - β. "
        f"This model's own value is {own:.2g}.",
    )
    return beta


# Answers -------------------------------------------------------------------------------------------------------------


def answer(given: services.Answer, number: int) -> None:
    """Everything about one clip: the film beside its ranking, frames over time, objects, and how far to trust it."""
    _caution(given)
    film, ranks = st.columns([5, 6], gap="medium", vertical_alignment="top")
    with film:
        _film(given.clip)
    top = given.ranking.labels[: charts.MOST_LABELS - 1]
    parts = {name: part[: len(top)] for name, part in given.ranking.contributions.items()}
    with ranks:
        with st.container(gap="xxsmall"):
            _headline(given)
        st.plotly_chart(
            charts.ranking_figure(top, parts),
            key=f"ranking-{number}",
            config=PLOT,
            alt="Best labels: " + ", ".join(f"{name} {similarity:.2f}" for name, similarity in top),
        )
        if len(parts) > 1:
            st.caption(
                "Full colour: what the clip looks like. Pale: recognised objects.",
                help="The two parts of each bar add up to its similarity: α VE and β O of Eq. 9, the visual embedding "
                "and the sentence made of the recognised objects.",
            )
    names = [name for name, _ in top]
    per_second = given.ranking.per_second
    st.markdown(
        "**Second by second**",
        help="One frame of each second, and under it how well those seconds alone fit each label. Each second is "
        "scored with its neighbours, since one alone shows too little movement.",
    )
    st.plotly_chart(
        charts.timeline_figure(
            services.strip(given.clip.digest, given.clip),
            names,
            None if per_second is None else per_second[:, : len(top)],
            given.seconds,
        ),
        key=f"timeline-{number}",
        config=PLOT,
        alt=f"Frames of the clip, and over its {given.seconds} seconds the similarity of {', '.join(names)}",
    )
    if per_second is not None:
        _legend(names)
    _objects(given)
    _trust(given)


def _caution(given: services.Answer) -> None:
    if given.ranking.warning:
        warning = given.ranking.warning
        st.warning(warning[0].upper() + warning[1:] + ".", icon=":material/warning:")
        st.code(encoders.card(encoders.FOR_REAL_VIDEO).command, language="bash", wrap_lines=True)
        st.caption(
            "Run this in a terminal on the machine of this app, where it has a network, then reload the page: clips "
            "like this one are then read by that encoder."
        )
    if given.instead_of is not None:
        st.info(
            f"This clip looks like nothing that run {given.instead_of.title} was trained on, so {given.model.title} "
            "answers.",
            icon=":material/swap_horiz:",
        )


def _trust(given: services.Answer) -> None:
    name = "Run " if given.model.folder else "Encoder " if given.trust.startswith(given.model.key) else ""
    words = name + given.trust
    st.caption(f":material/verified_user: {plain(words[0].upper() + words[1:])}. {given.model.tested}")


def _film(clip: services.ClipFile) -> None:
    if clip.playable:
        own = isinstance(clip.source, bytes)
        shown = clip.source if isinstance(clip.source, bytes) else str(clip.source)
        kind = "video/webm" if clip.name.lower().endswith(".webm") else "video/mp4"
        st.video(shown, format=kind, loop=True, muted=not own, autoplay=not own, alt=f"The clip {clip.name}")
    else:
        st.image(services.strip(clip.digest, clip)[0][1], width="stretch", alt=f"First frame of {clip.name}")
        st.caption("Browsers do not play this kind of video; it was read all the same, as the frames below show.")
    st.caption(f"{clip.name}")


def _headline(given: services.Answer) -> None:
    ranking = given.ranking
    best, similarity = ranking.labels[0]
    st.caption("Best match, not to be trusted" if ranking.warning else "Best match")
    st.subheader(plain(best), anchor=False)
    words = f"similarity {charts.number(similarity)}"
    if len(ranking.labels) > 1:
        words += f", {ranking.margin:.2f} ahead of {plain(ranking.labels[1][0])}"
    st.markdown(
        words,
        help="Cosine similarity between the clip and the label's description: 1 means the same direction, 0 that they "
        "have nothing to do with each other. A small lead means that the model hardly tells the two apart.",
    )
    if given.clip.label:
        place = {name: index for index, (name, _) in enumerate(ranking.labels, start=1)}.get(given.clip.label)
        if place == 1:
            st.markdown(":green[:material/check: That is what the sample shows.]")
        elif place is None:
            st.markdown(f":gray[The sample shows *{given.clip.label}*, which is not among the labels.]")
        else:
            st.markdown(f":orange[:material/close: The sample shows *{given.clip.label}*, ranked {place}.]")


def _legend(names: Sequence[str]) -> None:
    entries = zip(names, charts.COLOURS, charts.GLYPHS, strict=False)
    items = [
        f'<span><b style="color:{colour}">{glyph}</b>{html.escape(name)}</span>' for name, colour, glyph in entries
    ]
    st.html(f'<div class="cezsar-legend">{"".join(items)}</div>')


def _objects(given: services.Answer) -> None:
    if not given.ranking.objects:
        return
    st.markdown(
        "**Recognised objects**",
        help="The most probable objects in the clip. Their names and definitions make the sentence that O compares "
        "with each label.",
    )
    columns = st.columns(len(given.ranking.objects), gap="medium")
    for column, (name, definition, probability) in zip(columns, given.ranking.objects, strict=True):
        column.markdown(f"{plain(name)} :gray[{probability:.0%}]  \n:small[:gray[{plain(definition)}]]")


def overview(answers: Sequence[services.Answer]) -> None:
    """Several clips as a table."""
    rows = [
        {
            "clip": given.clip.name,
            "best match": given.ranking.labels[0][0],
            "similarity": given.ranking.labels[0][1],
            "lead": given.ranking.margin,
            "note": "unlike anything in training" if given.ranking.warning else "",
        }
        for given in answers
    ]
    number = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(
        rows, hide_index=True, column_config={"similarity": number, "lead": number}, alt="Best match of each clip"
    )


def downloads(answers: Sequence[services.Answer]) -> None:
    """The full rankings as CSV and JSON, made when asked for."""
    from cezsar.zeroshot.export import to_csv, to_json

    rankings = [given.ranking for given in answers]
    with st.container(horizontal=True):
        for kind, text, mime in (("CSV", to_csv, "text/csv"), ("JSON", to_json, "application/json")):
            st.download_button(
                kind,
                partial(text, rankings),
                f"ranking.{kind.lower()}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help="All labels of all clips shown here, with the parts that make up each similarity.",
            )


# Words ---------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text from outside, safe to put into Markdown: shown as it stands."""
    return "".join("\\" + character if character in "\\`*_{}[]()<>#+-.!|~$:" else character for character in text)


def sentence(error: Exception) -> str:
    """An error's message as a sentence of its own, safe to put into Markdown."""
    text = plain(str(error).strip())
    return text if text.endswith(".") else text + "."


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
