"""What is asked on the page Classify: which films, which labels, which model, with what weights and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import state
from app.services import clips
from app.services import labels as label_sets
from app.services.models import Model
from app.widgets.words import plain
from cezsar import encoders
from cezsar.zeroshot.rejection import OOD_LIMIT, RejectionLimits

CARDS = 6
CAPTION_WEIGHT = 0.2  # γ to begin with: as much as the objects have in the paper
SOURCES = {state.UPLOADS: "My clips", state.SAMPLES: "Samples"}
TASKS = {state.RANK: "Rank labels", state.FIND_ONE: "Find one action"}


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


def limits() -> RejectionLimits:
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
            OOD_LIMIT,
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
    return RejectionLimits(unlike, least, lead)


def better_models() -> None:
    """Where better models for real video come from, while none of them is here."""
    if encoders.for_real_video() is None:
        st.page_link(
            "../pages/library.py",
            label=":small[Better models for real video can be fetched]",
            icon=":material/download:",
            query_params={state.SECTION: state.SECTIONS["encoders"]},
        )
