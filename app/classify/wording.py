"""Better words for a label: its sentences are changed, and what that does is seen at once, among the other labels and
in the clips on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import state
from app.classify.answers import Answer, Question, answer, first_choice, labels_for
from app.parts import labels as label_sets
from app.parts import show
from app.parts.models import Model, engine
from app.parts.wording import hints
from app.parts.words import plain
from cezsar.analysis.wording import Contrast, Wording, gained_and_lost
from cezsar.report.figures import number
from cezsar.zeroshot.fusion import Weights

NEIGHBOURS = 5
MOST_TYPED = 5000  # characters


def opener() -> None:
    told = "Patterns for a label, the words that tell it from its look-alikes, and what a change wins and loses."
    state.setter("Better words", "better-words", state.BETTER, True, told, icon=":material/edit_note:", type="tertiary")


def _closed() -> None:
    st.session_state[state.BETTER] = False


@st.dialog("Better words for a label", width="large", on_dismiss=_closed)
@show.explained()
def better_words(there: dict[str, Model], asked: Question, given: Sequence[Answer], shown: int) -> None:
    """For one of the labels, by the model of the clip that is `shown` in full; `given` are answers about all clips."""
    model, weights = (given[shown].model, given[shown].weights) if given else (first_choice(asked.key, [], there), None)
    known, before = _wording(model, asked, weights)
    best = given[shown].ranking.labels[0][0] if given else ""
    names = list(known)
    left, right = st.columns(2, gap="large")
    with left:
        name = st.selectbox("Label", names, names.index(best) if best in names else 0, key=state.BETTER_LABEL)
        own, key = "\n".join(known[name]), f"{state.BETTER_TEXT}{name}"
        st.session_state.setdefault(key, own)
        text = st.text_area(
            "Its sentences, one to a line", key=key, height=150, max_chars=MOST_TYPED,
            help="Of several the nearest one counts. Say what a camera sees, and above all what no other label shows.",
        )  # fmt: skip
        texts = [" ".join(line.split()) for line in text.splitlines() if line.strip()] or list(known[name])
        same = texts == list(known[name])
        with st.container(horizontal=True):
            if st.button(
                "Put into the label box", icon=":material/check:", type="primary", disabled=same, on_click=_put,
                args=({**known, name: texts},),
            ):  # fmt: skip
                st.rerun()
            if not same:
                state.setter("Back to its sentences", "better-back", key, own, icon=":material/undo:", type="tertiary")
    _, after = _wording(model, asked._replace(labels={**known, name: texts}), weights)
    near, was = after.neighbours(name), dict(before.neighbours(name))
    again = []
    for one in given:
        with (loaded := engine(one.model)).lock:
            told = {**loaded.classifier.described(one.labels), name: texts}
        again.append(answer(one.clip, there, asked._replace(key=one.model.key, labels=told), one.caption))
    gained, lost = gained_and_lost(name, [one.ranking for one in given], [one.ranking for one in again])
    with right:
        if near:
            rows = [("Nearest label", number(near[0].similarity), plain(near[0].name), "Cosine; 1 is the same.")]
            rows += [
                ("Clips gained", str(len(gained)), f"of {len(given)}", "Taken for this label now, and not before."),
                ("Clips lost", str(len(lost)), f"of {len(given)}", "Taken for this label before, and not now."),
            ] if given else []  # fmt: skip
            show.metrics("better", rows)
            table = [
                {"label": each.name, "before": was[each.name], "now": each.similarity} for each in near[:NEIGHBOURS]
            ]
            show.table(table, f"The labels that are nearest to {name}", {"before": "%.2f", "now": "%.2f"})
        else:
            st.caption("There is no other label to stand apart from.")
    if given:
        _clips(name, given, again, {*gained, *lost})

    def contrast(other: str) -> Contrast:
        with engine(model).lock:
            return after.contrast(name, other)

    hints(name, known[name], near, known, contrast, key, model.key, model.fingerprint, name, texts)


def _wording(model: Model, asked: Question, weights: Weights | None) -> tuple[Mapping[str, Sequence[str]], Wording]:
    """Sentences of labels, and where these, with examples, lie in the model's space."""
    labels = labels_for(model, asked.labels, asked.shown)
    with (loaded := engine(model)).lock:
        classifier = loaded.classifier
        known = classifier.described(labels)
        return known, Wording(classifier.space, known, classifier.prototypes(labels, weights))


def _put(described: Mapping[str, Sequence[str]]) -> None:
    st.session_state[state.LABELS] = label_sets.written_with(described)
    _closed()


def _clips(name: str, given: Sequence[Answer], again: Sequence[Answer], moved: set[int]) -> None:
    """Every clip with its answer before and now, and how near it is to the label; those that move first."""
    rows = []
    for index in sorted(range(len(given)), key=lambda index: index not in moved):
        rankings = given[index].ranking, again[index].ranking
        was, now = ("none of these" if one.reasons else one.labels[0][0] for one in rankings)
        similar = [dict(one.labels)[name] for one in rankings]
        rows.append({
            "clip": given[index].clip.name, "best before": was, "best now": now,
            "similarity before": similar[0], "similarity now": similar[1],
        })  # fmt: skip
    st.markdown("**Clips on the page**", help="Their best label before and now, and their similarity to this label.")
    show.table(rows, f"What the clips are taken for, and how near they are to {name}",
               {"similarity before": "%.2f", "similarity now": "%.2f"})  # fmt: skip
