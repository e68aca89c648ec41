"""What is asked on the page Classify: which films, which labels, which model, with what weights and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from app import state
from app.classify import examples, wording
from app.classify.answers import Question, first_choice
from app.parts import clips, show
from app.parts import labels as label_sets
from app.parts.choosers import one_of
from app.parts.models import AUTOMATIC, Model
from app.parts.words import plain
from cezsar import encoders
from cezsar.data.descriptions import parse_classes
from cezsar.errors import CezsarError
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.rejection import OOD_LIMIT, RejectionLimits

CARDS = 6
DEFAULT_LABELS = "default labels"  # the text that the box held before anyone typed
CAPTION_WEIGHT = 0.2  # γ to begin with: as much as the objects have in the paper
SOURCES = {state.UPLOADS: "My clips", state.SAMPLES: "Samples"}
TASKS = {state.RANK: "Rank labels", state.FIND_ONE: "Find one action"}


def drop_zone(large: bool) -> list[clips.ClipFile]:
    def chosen() -> None:
        if st.session_state[state.UPLOADED]:
            st.session_state[state.SOURCE] = state.UPLOADS

    with st.container(key="drop-large" if large else "drop"):
        uploads = st.file_uploader(
            "Drop films of your own here" if large else "Your own films", accept_multiple_files=True,
            key=state.UPLOADED, on_change=chosen,
            help="Films of any length and kind that FFmpeg reads. They stay on the machine that runs this app.",
        )  # fmt: skip
    return clips.uploaded(uploads)


def action() -> str:
    typed = st.text_input(
        "Action to look for", key=state.ACTION, bind="query-params", max_chars=200, placeholder="juggling",
        help="Found where it stands out among Kinetics-400's actions; if it is one of them, its description counts.",
    )  # fmt: skip
    return " ".join((typed or "").split())


def choose_model(there: Mapping[str, Model], beside: bool = False) -> str:
    """The key of the model that answers; of a second one `beside` it, "" for none."""
    titles = {key: one.title for key, one in there.items()}
    if beside:
        told = "A second model ranks the same labels for the clip in full, side by side with the first."
        return one_of("Beside it", {"": "None"} | titles, state.BESIDE_MODEL, help=told)
    told = "Automatic takes the best model for real video here; films that look drawn go to the demo's run."
    return one_of("Model", {AUTOMATIC: "Automatic"} | titles, state.MODEL, help=told)


def _choose_sample(sample: str) -> None:
    st.session_state.update({state.SOURCE: state.SAMPLES, state.SAMPLE: sample})


def sample_cards(samples: Mapping[str, clips.ClipFile], picked: str = "") -> None:
    firsts = list({clip.label: name for name, clip in reversed(list(samples.items()))}.values())[::-1]
    count = min(CARDS, len(firsts))
    with st.container(key="cards"):
        for name in [firsts[index * len(firsts) // count] for index in range(count)]:
            label = samples[name].label
            with st.container(key=f"card-{'chosen' if name == picked else 'other'}-{name}"):
                st.image(clips.poster(samples[name]), width="stretch", alt=f"A stick figure {label}")
                st.button(label, f"pick-{name}", type="tertiary", on_click=_choose_sample, args=(name,))


def sample_picker(samples: Mapping[str, clips.ClipFile]) -> clips.ClipFile:
    """A few samples as pictures to click, and all of them in a list. There must be at least one."""
    titles = {name: clip.label for name, clip in samples.items()}
    if len(set(titles.values())) < len(samples):
        titles = {name: f"{title} {name.rpartition('-')[2]}" for name, title in titles.items()}
    cards, told = st.container(), "Clips of actions that the model never saw in training."
    picked = one_of(f"or any of the {len(samples):,} samples", titles, state.SAMPLE, help=told)
    with cards:
        sample_cards(samples, picked)
    return samples[picked]


def ask(chosen: Sequence[clips.ClipFile], there: dict[str, Model]) -> tuple[Question | None, Question | None]:
    """What is asked about every clip, and of a second model, if any; None, and a word on why, if labels are wrong."""
    area, (left, right) = st.container(), st.columns(2)
    with left:
        key = choose_model(there)
    with right:
        other = choose_model(there, beside=True)
    model = first_choice(key, chosen, there)
    with area:
        typed = _label_box(model.labels)
        try:
            parsed, descriptions = parse_classes(typed)
        except CezsarError as error:
            show.error(error)
            return None, None
        if parsed.repeated:
            st.caption(f"Labels given twice count once: {plain(', '.join(parsed.repeated))}.")
        if not descriptions:
            _how_described(parsed.names, model)
        shown = examples.ask(parsed.names, model, there, descriptions)
    own = None if model.beta is None else round(model.beta, 2)
    with st.expander("Weights and limits", icon=":material/tune:"):
        beta, gamma = _weights(own)
        limits = _limits()
    labels = descriptions or parsed.names
    asked = Question(key, labels, shown, None if beta == own else beta, gamma, limits)
    return asked, Question(other, labels, shown, None, gamma, limits) if other else None


def _label_box(default: Sequence[str]) -> str:
    """The labels as typed; `default` are the model's own, and a well-known set takes their place if it has none."""
    sets = label_sets.label_sets()
    text = label_sets.written(default) if default else sets[label_sets.FOR_FILMS].text
    before, now = st.session_state.get(DEFAULT_LABELS), st.session_state.get(state.LABELS)
    if now is None:
        said = st.query_params.get(state.LABELS, text)
        whole = sets.get(said[1:]) if said.startswith("@") else None
        st.session_state[state.LABELS] = whole.text if whole else said
    elif now == before:  # another model's default labels replace these, unless somebody typed
        st.session_state[state.LABELS] = text
    st.session_state[DEFAULT_LABELS] = text
    typed = st.text_area(
        "Labels to choose from", key=state.LABELS, height=150, persist_state="session",
        placeholder="kicking a ball, waving a flag, ...",
        help="Any names, with commas between them or one to a line; none of them has to have occurred in training. "
        "A label that holds a comma goes between double quotes. JSON works, too: a list of names, or "
        '{"name": "a sentence that describes it"}, where a list of sentences means that the nearest one counts.',
    ) or ""  # fmt: skip
    said = next((f"@{name}" for name, known in sets.items() if known.text == typed), typed)
    state.tell(state.LABELS, "" if typed == text or len(said) > state.LONGEST_ADDRESS else said)

    offered = {"All of the model": (default, text)} if default else {}
    offered |= {known.title: (known.names, known.text) for known in sets.values()}
    for name, group in HARD_GROUPS.items():
        if set(group) <= set(default):
            offered[f"Look-alikes: {name}"] = (group, label_sets.written(group))
    with st.container(horizontal=True):
        with st.popover("Ready-made sets", icon=":material/list:", type="tertiary"):
            for name, (names, written) in offered.items():
                title, told = plain(f"{name} ({len(names)})"), plain(", ".join(names[:12]))
                state.setter(title, f"labels-{name}", state.LABELS, written, told, width="stretch")
        wording.opener()
    return typed


def _how_described(names: Sequence[str], model: Model) -> None:
    """One line on what stands for each label: a description, or its name."""
    if model.reads_words:
        st.caption(f"{plain(model.title)} reads each label in prompts of its own, such as: a video of a person ….")
        return
    count = label_sets.count_described(names, model.labels)
    said = f"{count} of {len(names)} labels have a description to be ranked by; of others the name counts."
    told = "From the model itself, UCF-101, HMDB-51 or Kinetics-400, in any spelling. Write JSON to use your own words."
    st.caption(said, help=told)


def _weights(own: float | None) -> tuple[float | None, float]:
    """β of Eq. 9 (α is 1 - β: only their ratio matters) and γ; `own` is the model's β, None if it weighs no objects."""
    beta = None
    if own is not None:
        before = st.session_state.get(f"{state.OBJECTS} default", own)
        if before != own and st.session_state.get(state.OBJECTS) == before:  # another model's, that nobody has moved
            st.session_state[state.OBJECTS] = own
        st.session_state[f"{state.OBJECTS} default"] = own
        beta = st.slider(
            "β, weight of recognised objects", 0.0, 1.0, own, 0.05, key=state.OBJECTS, bind="query-params",
            help="VidE = α VE + β SE(O) + γ SE(C) of Eq. 9, with α = 1 - β. At 0 only what the clip looks like counts "
            f"(VE), at 1 only the objects recognised in it (O). This model's own value is {own:.2g}.",
        )  # fmt: skip
    gamma = st.slider(
        "γ, weight of a caption", 0.0, 1.0, CAPTION_WEIGHT, 0.05, key=state.CAPTION_WEIGHT, bind="query-params",
        help="C of Eq. 9: what stands below a clip as its caption, typed or written by a captioner, and counts for it. "
        "The paper gives no value.",
    )  # fmt: skip
    return beta, gamma


def _limits() -> RejectionLimits:
    slider = partial(st.slider, bind="query-params")
    st.markdown(
        "**When to answer none of these**",
        help="The first limit is measured: 99 % of the clips that the run was trained on lie below 1. The others are "
        "off, at 0: what is enough differs between models. What `cezsar calibrate` says is not changed by them.",
    )
    unlike = slider("Distance from training, times the usual", 0.0, 10.0, OOD_LIMIT, 0.5, key=state.UNLIKE)
    least = slider("Least similarity of the best label", 0.0, 1.0, 0.0, 0.01, key=state.LEAST)
    lead = slider("Least lead over the second label", 0.0, 0.5, 0.0, 0.01, key=state.LEAD)
    return RejectionLimits(unlike, least, lead)


def better_models() -> None:
    """Where better models for real video come from, while none of them is here."""
    if encoders.for_real_video() is None:
        st.page_link(
            "../pages/library.py", label=":small[Better models for real video can be fetched]",
            icon=":material/download:", query_params={state.SECTION: state.SECTIONS["encoders"]},
        )  # fmt: skip
