"""Pieces of pages: what is drawn, given what services answered."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from app import state
from app.charts import classify as charts
from app.charts.style import COLOURS, GLYPHS, PLOT, number
from app.services import clips, scored
from app.services import labels as label_sets
from app.services import spans as when
from app.services.answers import Answer, Doubt, pin, usual_limit
from app.services.models import Model
from app.widgets import spans
from app.widgets.player import film, second_asked
from app.widgets.why import seconds_key, why
from app.widgets.words import plain, sentence
from cezsar import encoders
from cezsar.errors import CezsarError

CARDS = 6
CAPTION_WEIGHT = 0.2  # γ to begin with: as much as the objects have in the paper
SOURCES = {state.UPLOADS: "My clips", state.SAMPLES: "Samples"}
TASKS = {state.RANK: "Rank labels", state.FIND_ONE: "Find one action"}
SHADES = {"VE": "full colour", "O": "pale", "C": "palest"}


# What to classify ----------------------------------------------------------------------------------------------------


def drop_zone(large: bool) -> list[clips.ClipFile]:
    """Files of one's own."""
    with st.container(key="drop-large" if large else "drop"):
        uploads = st.file_uploader(
            "Drop films of your own here" if large else "Your own films",
            accept_multiple_files=True,
            key=state.UPLOADED,
            on_change=state.choose_uploads,
            help="One or several films of any length and of any kind that FFmpeg reads. They stay on the machine that "
            "runs this app.",
        )
    return [clips.uploaded(upload.file_id, upload.name, upload.getvalue()) for upload in uploads]


def source() -> str:
    """Where clips come from, before anything is drawn: as chosen, else as the address says."""
    said = st.query_params.get(state.SOURCE)
    return st.session_state.get(state.SOURCE) or next(
        (key for key, title in SOURCES.items() if title == said), state.UPLOADS
    )


def choose_source() -> str:
    """Films of one's own, or samples."""
    return (
        st.segmented_control(
            "What is shown",
            list(SOURCES),
            default=state.UPLOADS,
            format_func=SOURCES.__getitem__,
            required=True,
            key=state.SOURCE,
            bind="query-params",
            width="stretch",
            label_visibility="collapsed",
        )
        or state.UPLOADS
    )


def choose_task() -> str:
    """Rank labels, or look for one action."""
    return (
        st.segmented_control(
            "Task",
            list(TASKS),
            default=state.RANK,
            format_func=TASKS.__getitem__,
            required=True,
            key=state.TASK,
            bind="query-params",
            width="stretch",
            label_visibility="collapsed",
        )
        or state.RANK
    )


def action() -> str:
    """The one action that films are searched for."""
    typed = st.text_input(
        "Action to look for",
        key=state.ACTION,
        bind="query-params",
        max_chars=200,
        placeholder="juggling",
        help="It is found where it stands out among Kinetics-400's 400 actions. If it is one of them, in any spelling, "
        "its description counts.",
    )
    return " ".join((typed or "").split())


def beside(there: Mapping[str, Model]) -> str:
    """The key of a second model whose ranking is shown beside; "" for none."""
    titles = {"": "None"} | {key: model.title for key, model in there.items()}
    return st.selectbox(
        "Beside it",
        list(titles),
        format_func=titles.__getitem__,
        key=state.BESIDE_MODEL,
        bind="query-params",
        help="A second model ranks the same labels for the clip in full, side by side with the first.",
    )


def samples_instead(samples: Mapping[str, clips.ClipFile]) -> None:
    """The second choice of somebody without a film at hand."""
    st.markdown("No film at hand? **A drawn sample** of the demo's world:")
    sample_cards(samples)


def sample_cards(samples: Mapping[str, clips.ClipFile], picked: str = "") -> str:
    """A few samples as pictures to click. Returns the first of them."""
    firsts = list({clip.label: name for name, clip in reversed(list(samples.items()))}.values())[::-1]
    shown = [firsts[index * len(firsts) // CARDS] for index in range(CARDS)] if len(firsts) > CARDS else firsts
    with st.container(key="cards"):
        for name in shown:
            label = samples[name].label
            with st.container(key=f"card-{'chosen' if name == picked else 'other'}-{name}"):
                poster = clips.poster(samples[name].digest, samples[name])
                st.image(poster, width="stretch", alt=f"A stick figure {label}")
                st.button(label, key=f"pick-{name}", type="tertiary", on_click=state.choose_sample, args=(name,))
    return shown[0]


def sample_picker(samples: Mapping[str, clips.ClipFile]) -> clips.ClipFile:
    """A few samples as pictures to click, and all of them in a list. There must be at least one."""
    firsts = {clip.label for clip in samples.values()}
    titles = {name: clip.label for name, clip in samples.items()}
    if len(firsts) < len(samples):
        titles = {name: f"{title} {name.rpartition('-')[2]}" for name, title in titles.items()}
    if st.session_state.get(state.SAMPLE) not in [None, *samples]:
        del st.session_state[state.SAMPLE]  # of a world that has gone
    cards = st.container()
    picked: str = st.selectbox(
        f"or any of the {len(samples):,} samples",
        list(samples),
        format_func=titles.__getitem__,
        key=state.SAMPLE,
        bind="query-params",
        help="Clips of actions that the model never saw in training.",
    )
    with cards:
        sample_cards(samples, picked)
    return samples[picked]


def label_box(default: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    """The labels as typed; `groups` of look-alikes and whole label sets are offered as ready-made sets.

    Args:
        default: the model's own labels; those of a well-known set if it has none.
    """
    text = label_sets.written(default) if default else label_sets.label_sets()[label_sets.FOR_FILMS].text
    sets = label_sets.label_sets()
    texts = {name: known.text for name, known in sets.items()}
    state.begin_labels(text, texts)
    typed = st.text_area(
        "Labels to choose from",
        key=state.LABELS,
        height=150,
        persist_state="session",
        placeholder="kicking a ball, waving a flag, ...",
        help="Any names, with commas between them or one to a line; none of them has to have occurred in training. "
        "A label that holds a comma goes between double quotes. JSON works, too: a list of names, or "
        '{"name": "a sentence that describes it"}, where a list of sentences means that the nearest one counts.',
    )
    state.publish_labels(texts)
    with st.popover("Ready-made sets", icon=":material/list:", type="tertiary"):
        if default:
            _set_button(f"All {len(default)} of the model", text, ", ".join(default))
        for known in sets.values():
            _set_button(f"{known.title} ({len(known.names)})", known.text, ", ".join(known.names[:12]) + ", …")
        if groups:
            st.caption("Look-alikes: labels that share a prop, a place or a movement, and so are hard to tell apart.")
        for name, members in groups.items():
            _set_button(f"Look-alikes: {name} ({len(members)})", label_sets.written(members), ", ".join(members))
    return typed or ""


def how_described(names: Sequence[str], model: Model) -> None:
    """One line on what stands for each label: a description, or its name."""
    if model.reads_words:
        st.caption(f"{plain(model.title)} reads each label in prompts of its own, such as: a video of a person ….")
        return
    count = label_sets.count_described(names, model.labels)
    told = "All labels have" if count == len(names) else f"{count} of {len(names)} labels have"
    st.caption(
        f"{told} a description to be ranked by" + ("." if count == len(names) else "; of the others the name counts."),
        help="A label that the model itself, UCF-101, HMDB-51 or Kinetics-400 describes, in any spelling, is ranked by "
        "that description; where several data sets do, by the one that knows most of the labels. Write JSON to say it "
        "in your own words.",
    )


def _set_button(title: str, text: str, shown: str) -> None:
    st.button(plain(title), on_click=state.set_labels, args=(text,), help=plain(shown), width="stretch")


def object_weight(own: float) -> float:
    """β of Eq. 9, with α = 1 - β: only their ratio matters to a cosine."""
    state.begin(state.OBJECTS, own)
    beta: float = st.slider(
        "Weight of recognised objects",
        0.0,
        1.0,
        own,
        0.05,
        key=state.OBJECTS,
        bind="query-params",
        help="A clip is described by what it looks like (VE, the visual embedding) and by the objects recognised in it "
        "(O). At 0 only VE counts, at 1 only the objects: β of Eq. 9 of the paper, with α = 1 - β. "
        f"This model's own value is {own:.2g}.",
    )
    return beta


def caption_weight(beta: float | None) -> float:
    """γ of Eq. 9, in a popover with all weights."""
    with st.popover("Weights α, β, γ", icon=":material/balance:", type="tertiary"):
        gamma: float = st.slider(
            "γ, weight of a caption",
            0.0,
            1.0,
            CAPTION_WEIGHT,
            0.05,
            key=state.CAPTION_WEIGHT,
            bind="query-params",
            help="C of Eq. 9: a sentence about the clip, which you type below the clip. It counts for clips that have "
            "one only. The paper gives no value.",
        )
        st.latex(r"\mathrm{VidE} = \alpha\,\mathrm{VE} + \beta\,\mathrm{SE(O)} + \gamma\,\mathrm{SE(C)}")
        if beta is None:
            st.caption("This model has its own α and β: it looks at pictures or at objects, not at both.")
        else:
            st.caption(
                f"α = {1 - beta:.2f}, β = {beta:.2f} (the slider above), γ = {gamma:.2f} where there is a caption"
            )
    return gamma


def doubts() -> Doubt:
    """When to answer "none of these": limits that can be moved."""
    with st.popover("When to answer none of these", icon=":material/do_not_disturb_on:", type="tertiary"):
        st.caption(
            "Rules of thumb. The first limit is measured: 99 % of the clips that the run was trained on lie below 1. "
            "The other two are not: which similarity or lead is enough differs from model to model and from label set "
            "to label set, so they are off, at 0, until you move them. A run that `cezsar calibrate` was used on says "
            "by itself, under the best label, when none of the labels seems right; these limits do not move that."
        )
        unlike = st.slider(
            "Distance from training, times the usual",
            0.0,
            10.0,
            usual_limit(),
            0.5,
            key=state.UNLIKE,
            bind="query-params",
            help="A clip this far from everything that the run was trained on gets no answer. Encoders without a run "
            "know no such distance.",
        )
        least = st.slider(
            "Least similarity of the best label", 0.0, 1.0, 0.0, 0.01, key=state.LEAST, bind="query-params"
        )
        lead = st.slider("Least lead over the second label", 0.0, 0.5, 0.0, 0.01, key=state.LEAD, bind="query-params")
    return Doubt(unlike, least, lead)


# Answers -------------------------------------------------------------------------------------------------------------


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
        charts.ranking_figure(top, parts, muted=bool(given.doubts)),
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


def better_models() -> None:
    """Where better models for real video come from, while none of them is here."""
    if encoders.for_real_video() is None:
        st.page_link(
            "../pages/library.py",
            label=":small[Better models for real video can be fetched]",
            icon=":material/download:",
            query_params={state.SECTION: state.SECTIONS["encoders"]},
        )


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
        help="One frame of each second, and under it how well those seconds alone fit each label, by VE. Each second "
        "is scored with its neighbours, since one alone shows too little movement.",
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
    if given.doubts:
        st.caption("Best match")
        st.subheader("None of these", anchor=False)
        st.markdown(
            f":orange[:material/do_not_disturb_on: {plain('; '.join(given.doubts))}.] Nearest is {plain(best)}, not to "
            "be trusted.",
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
    if not given.doubts:
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
            "best match": "none of these" if given.doubts else given.ranking.labels[0][0],
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
    if given.doubts:
        return f"nearest is {given.ranking.labels[0][0]}"
    return "none of the labels seems right" if given.ranking.none_of_these else ""


def downloads(answers: Sequence[Answer]) -> None:
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
