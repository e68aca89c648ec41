"""What a model says about a film: ranking, time, objects, trust."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import state
from app.classify import figures as charts
from app.classify import films as when
from app.classify import spans
from app.classify.answers import Answer, pin
from app.classify.why import seconds_key, why
from app.services import clips, scored
from app.widgets.player import film, second_asked
from app.widgets.words import plain, sentence
from cezsar.errors import CezsarError
from cezsar.report.figures import COLOURS, GLYPHS, PLOT, number

SHADES = {"VE": "full colour", "O": "pale", "C": "palest"}


def answer(given: Answer, number: int, others: Sequence[Answer], beside: Answer | None = None) -> None:
    """Everything about one clip: the film beside its ranking, what happens when, objects, and how far to trust it.

    Args:
        others: answers for all clips shown, this one among them.
        beside: what a second model says about the same clip.
    """
    timeline = when.timeline(given) if given.seconds >= when.LEAST_S else None
    second = second_asked(given.clip, given.seconds, spans.span_key(given.clip), seconds_key(given.clip))
    top = [name for name, _ in given.ranking.labels[: charts.MOST_LABELS - 1]]
    screen, ranks = st.columns([5, 6], gap="medium", vertical_alignment="top")
    with screen:
        film(
            given.clip,
            start_s=second or 0,
            play=second is not None,
            subtitles=None if timeline is None else spans.subtitles(timeline),
        )
        _caption(given.clip)
    with ranks:
        if beside is None:
            _ranking(given, f"ranking-{number}")
        else:
            _objects(given, in_a_row=False)
    if beside is not None:
        left, right = st.columns(2, gap="medium", border=True)
        with left:
            _ranking(given, f"ranking-{number}")
        with right:
            _ranking(beside, f"beside-{number}")
    if timeline is not None:
        spans.time_line(given, timeline, others, top)
    if beside is None:
        _objects(given)
    _over_time(given, top, number)
    why(given)
    _table(given)
    _map(given, number)
    _trust(given)


def _ranking(given: Answer, key: str) -> None:
    """Who answers, the best label, and the first few as bars."""
    top = given.ranking.labels[: charts.MOST_LABELS - 1]
    parts = {name: part[: len(top)] for name, part in given.ranking.contributions.items()}
    with st.container(gap="xxsmall"):
        _who(given)
        _headline(given)
    st.plotly_chart(
        charts.ranking_figure(top, parts, muted=bool(given.ranking.reasons)),
        key=key,
        config=PLOT,
        alt=f"Best labels by {given.model.title}: " + ", ".join(f"{name} {similarity:.2f}" for name, similarity in top),
    )
    if len(parts) > 1:
        st.caption(
            ", ".join(f"{SHADES[name]}: {charts.MODALITIES[name]}" for name in parts).capitalize() + ".",
            help="The parts of each bar add up to its similarity: α VE, β O and γ C of Eq. 9, that is the visual "
            "embedding, the recognised objects, and the caption.",
        )


def _who(given: Answer) -> None:
    """Who answers and why; how a long clip was taken, and what of a damaged file could not be read."""
    st.caption(f":material/neurology: **{plain(given.model.title)}** answers: {plain(given.why)}.")
    for note in given.ranking.notes:
        st.caption(f":material/info: {plain(note[0].upper() + note[1:])}.")


def caption_of(clip: clips.ClipFile) -> str:
    """What was typed about a clip; "" if nothing."""
    return str(st.session_state.get(state.CAPTION + clip.digest[:16], ""))


def _caption(clip: clips.ClipFile) -> None:
    st.text_input(
        "A caption of this clip (optional)",
        key=state.CAPTION + clip.digest[:16],
        persist_state="session",
        max_chars=500,
        placeholder="a man in a red coat strikes something round",
        help="C of Eq. 9: a sentence that says what is seen, from a person or a captioning model. It joins the ranking "
        "with the weight γ.",
    )


def _over_time(given: Answer, names: Sequence[str], number: int) -> None:
    per_second = given.ranking.per_second
    st.markdown(
        "**Second by second**",
        help="One frame of each second, and under it how well those seconds alone fit each label, by VE and O as they "
        "are weighed. Each second is scored with its neighbours, since one alone shows too little movement.",
    )
    st.plotly_chart(
        charts.timeline_figure(
            clips.strip(given.clip.digest, given.clip),
            names,
            None if per_second is None else per_second[:, : len(names)],
            given.seconds,
        ),
        key=f"timeline-{number}",
        config=PLOT,
        alt=f"Frames of the clip, and over its {given.seconds} seconds the similarity of {', '.join(names)}",
    )
    if per_second is not None:
        _legend(names)


def _table(given: Answer) -> None:
    """Every label with the parts of its similarity, for those who want the numbers."""
    ranking = given.ranking
    with st.expander(f"All {len(ranking.labels)} labels in numbers"):
        rows = [
            {"rank": index + 1, "label": name, "similarity": similarity}
            | {charts.MODALITIES[part]: values[index] for part, values in ranking.contributions.items()}
            for index, (name, similarity) in enumerate(ranking.labels)
        ]
        columns = ["similarity", *charts.MODALITIES.values()]
        st.dataframe(
            rows,
            hide_index=True,
            column_config={name: st.column_config.NumberColumn(format="%.3f") for name in columns},
            alt="Similarity of every label, and what each modality contributes to it",
        )


def _map(given: Answer, number: int) -> None:
    sets = [name for name, item in scored.scored_sets().items() if item.about["run"] == given.model.title]
    if given.model.folder is None or not sets:
        return
    if st.button(
        "Show on the semantic-gap map",
        key=f"map-{number}",
        icon=":material/scatter_plot:",
        help="Where this clip lies among the clips and class descriptions that this run was tested with.",
    ):
        try:
            st.session_state[state.PINNED] = pin(given)
        except CezsarError as error:
            st.error(sentence(error), icon=":material/error:")
            return
        if st.session_state.get(state.ON) not in sets:
            st.session_state[state.ON] = sets[0]
        st.switch_page("../pages/semantic_gap.py", query_params={})


def _trust(given: Answer) -> None:
    name = "Run " if given.model.folder else "Encoder " if given.trust.startswith(given.model.key) else ""
    words = name + given.trust
    st.caption(f":material/verified_user: {plain(words[0].upper() + words[1:])}. {given.model.tested}")


def _headline(given: Answer) -> None:
    ranking = given.ranking
    best, similarity = ranking.labels[0]
    if ranking.reasons:
        st.caption("Best match")
        st.subheader("None of these", anchor=False)
        why = plain("; ".join(ranking.reasons))
        st.markdown(
            f":orange[:material/do_not_disturb_on: {why}.] Nearest is {plain(best)}, not to be trusted.",
            help='The limits are under "When to answer none of these".',
        )
    else:
        st.caption("Best match")
        st.subheader(plain(best), anchor=False)
    words = f"similarity {number(similarity)}"
    if len(ranking.labels) > 1:
        words += f", {ranking.margin:.2f} ahead of {plain(ranking.labels[1][0])}"
    st.markdown(
        words,
        help="Cosine similarity between the clip and the label's description: 1 means the same direction, 0 that they "
        "have nothing to do with each other. A small lead means that the model hardly tells the two apart.",
    )
    if not given.ranking.reasons:
        _verdict(given)
    if given.clip.label:
        place = {name: index for index, (name, _) in enumerate(ranking.labels, start=1)}.get(given.clip.label)
        if place == 1:
            st.markdown(":green[:material/check: That is what the sample shows.]")
        elif place is None:
            st.markdown(f":gray[The sample shows *{given.clip.label}*, which is not among the labels.]")
        else:
            st.markdown(f":orange[:material/close: The sample shows *{given.clip.label}*, ranked {place}.]")


def _verdict(given: Answer) -> None:
    """One line on whether any of the labels seems right, where the run was calibrated."""
    ranking = given.ranking
    if ranking.probabilities is None:
        if given.calibrated:
            st.markdown(
                ":gray[No probability: it goes with the run's own weights, without a caption.]",
                help="`cezsar calibrate` chose temperature and threshold with α, β and γ of the run.",
            )
        return
    found, _, how = ranking.judgement.partition("; ")
    told = "Probabilities are softmax(similarity / T) over the labels in the box, given that one of them is right."
    about = f"{plain(found)}; {plain(how)}. {told}" if how else told
    chance = f"{ranking.probabilities[0]:.0%}"
    if ranking.none_of_these:
        words = f":orange[:material/help: **None of these labels seems right**; if one, this ({chance}).]"
    elif len(ranking.probabilities) < 2:
        words = ":gray[:material/task_alt: The label seems right.]" if ranking.none_of_these is False else ""
    else:
        words = f":gray[:material/task_alt: One of the labels seems right, most likely this one ({chance}).]"
    if words:
        st.markdown(words, help=about)


def _legend(names: Sequence[str]) -> None:
    entries = zip(names, COLOURS, GLYPHS, strict=False)
    items = [
        f'<span><b style="color:{colour}">{glyph}</b>{html.escape(name)}</span>' for name, colour, glyph in entries
    ]
    st.html(f'<div class="cezsar-legend">{"".join(items)}</div>')


def _objects(given: Answer, in_a_row: bool = True) -> None:
    if not given.ranking.objects:
        return
    st.markdown("**Recognised objects**", help="The most probable objects in the clip; O is made of such objects.")
    count = len(given.ranking.objects)
    places = st.columns(count, gap="medium") if in_a_row else [st.container() for _ in range(count)]
    for place, (name, definition, probability) in zip(places, given.ranking.objects, strict=True):
        place.markdown(f"{plain(name)} :gray[{probability:.0%}]  \n:small[:gray[{plain(definition)}]]")


def overview(answers: Sequence[Answer]) -> None:
    """Several clips as a table."""
    rows = [
        {
            "clip": given.clip.name,
            "best match": "none of these" if given.ranking.reasons else given.ranking.labels[0][0],
            "similarity": given.ranking.labels[0][1],
            "lead": given.ranking.margin,
            "note": _note(given),
            "model": given.model.title,
        }
        for given in answers
    ]
    number = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(
        rows, hide_index=True, column_config={"similarity": number, "lead": number}, alt="Best match of each clip"
    )


def _note(given: Answer) -> str:
    if given.ranking.reasons:
        return f"nearest is {given.ranking.labels[0][0]}"
    return "none of the labels seems right" if given.ranking.none_of_these else ""


def downloads(answers: Sequence[Answer]) -> None:
    """The full rankings as CSV and JSON, made when asked for."""
    from cezsar.zeroshot.tables import rankings_csv, rankings_json

    rankings = [given.ranking for given in answers]
    with st.container(horizontal=True):
        for kind, text, mime in (("CSV", rankings_csv, "text/csv"), ("JSON", rankings_json, "application/json")):
            st.download_button(
                kind,
                partial(text, rankings),
                f"ranking.{kind.lower()}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help="All labels of all clips shown here, with the parts that make up each similarity.",
            )
