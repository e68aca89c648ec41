"""Why this label, and not another one: under the answer, opened by whoever wants to know."""

from __future__ import annotations

import html

import streamlit as st

from app import cache, state
from app.classify import figures as charts
from app.classify.answers import Answer, read
from app.classify.figures import MODALITIES, MOST_LABELS
from app.services import clips
from app.services.models import engine
from app.widgets.words import plain, sentence
from cezsar.analysis.explanation import Explanation
from cezsar.errors import CezsarError
from cezsar.report.figures import CLICKED, COLOURS, GLYPHS, GREY, PLOT


def why(given: Answer) -> None:
    """The lead of the best label over a second one, by modality, object and second. Nothing for a single label."""
    if len(given.ranking.labels) < 2:
        return
    opened = st.expander("Why this label?", icon=":material/help:", key=state.WHY, bind="query-params")
    if not opened.open:
        return
    left, right = opened.columns([5, 6], gap="medium")  # as above, so that the seconds are under the film they seek in
    with left:
        rival = _rival(given)
        try:
            found = _explained(given, rival)
        except CezsarError as error:
            st.error(sentence(error), icon=":material/error:")
            return
        colours, glyphs = _marks(given, rival)
        _legend(found, colours, glyphs)
        _seconds(given, found, colours)
    with right:
        st.markdown(_in_words(found))
        _parts(found, colours)


def _explained(given: Answer, rival: str) -> Explanation:
    """The best label against another one of the labels.

    Raises:
        CezsarError: the model cannot be used.
    """
    best = given.ranking.labels[0][0]

    def explained() -> Explanation:
        from cezsar.analysis.explanation import explain

        content, answers = read(given.model, given.clip), engine(given.model)
        with answers.lock:
            return explain(
                answers.classifier, content, given.labels, weights=given.weights, caption=given.caption, winner=best,
                runner_up=rival,
            )  # fmt: skip

    asked = repr((given.labels, given.weights, given.caption, best, rival))
    key = ("why", given.clip.digest, given.model.key, given.model.fingerprint, asked)
    return cache.once(explained, *key, words="Leaving out each second in turn")


def _rival(given: Answer) -> str:
    """The label to compare with: the second, unless somebody picks another."""
    others = [name for name, _ in given.ranking.labels[1:]]
    if st.session_state.get(state.RIVAL, "") not in ["", *others]:
        del st.session_state[state.RIVAL]  # of other labels
    picked = st.selectbox(
        f"Why {plain(given.ranking.labels[0][0])}, and not",
        ["", *others],
        format_func=lambda name: name or f"{others[0]} (the second)",
        key=state.RIVAL,
        bind="query-params",
    )
    return picked or others[0]


def _marks(given: Answer, rival: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Colours and glyphs that the two labels have in the ranking above."""
    place = [name for name, _ in given.ranking.labels].index(rival)
    there = place < MOST_LABELS - 1
    best = GREY if given.ranking.reasons else COLOURS[0]
    other = COLOURS[place if there else MOST_LABELS - 1]
    return (best, other), (GLYPHS[0], GLYPHS[place if there else MOST_LABELS - 1])


def _legend(found: Explanation, colours: tuple[str, str], glyphs: tuple[str, str]) -> None:
    entries = zip(("speaks for", "speaks for"), colours, glyphs, (found.winner, found.runner_up), strict=True)
    items = [
        f'<span><b style="color:{colour}">{glyph}</b>{words} {html.escape(name)}</span>'
        for words, colour, glyph, name in entries
    ]
    st.html(f'<div class="cezsar-legend" style="padding-left:0">{"".join(items)}</div>')


def _in_words(found: Explanation) -> str:
    """The sum, and what would change the answer."""
    terms = ", ".join(f"{MODALITIES[part.name]} {charts.signed(part.change)}" for part in found.modalities)
    words = f"The lead of {charts.signed(found.margin)} is {terms}."
    turned = [
        (f"second {part.name}" if part.kind == "second" else f"the object {plain(part.name)}", part.without)
        for part in (*found.objects, *found.seconds)
        if part.without not in (None, "", found.winner)
    ]
    if turned:
        what, then = turned[0]
        more = f", and {len(turned) - 1} more would change the answer" if len(turned) > 1 else ""
        words += f" Without {what} it would be **{plain(str(then))}**{more}."
    elif found.objects or found.seconds:
        words += " No single second or object decides: without any one of them the answer stays."
    return words


def _parts(found: Explanation, colours: tuple[str, str]) -> None:
    st.markdown(
        "**What spoke for it** :gray[· solid: exact · hatched: left out in turn]",
        help="Eq. 9 is a sum, so the lead is exactly the sum of its modalities (solid). The objects are one sentence, "
        "which is no sum: each is left out of it, and the change of the lead is shown (hatched). Such changes do not "
        "add up to anything.",
    )
    parts = [f"{MODALITIES[part.name]} {charts.signed(part.change)}" for part in found.modalities]
    parts += [f"object {part.name} {charts.signed(part.change)}" for part in found.objects]
    st.plotly_chart(
        charts.parts_figure(found, colours), key="why-parts", config=PLOT, alt="Parts of the lead: " + ", ".join(parts)
    )


def _seconds(given: Answer, found: Explanation, colours: tuple[str, str]) -> None:
    if len(found.seconds) < 2:
        said = "The clip has one second only." if found.seconds else "Frames have no weight in this answer."
        st.caption(f"{said} So no second can be left out.")
        return
    st.markdown(
        "**Each second, left out**" + (" :gray[· click to play from it]" if given.clip.playable else ""),
        help="The clip is embedded again without each of its seconds, and the change of the lead is shown. Such "
        "changes do not add up to the lead: seconds that look alike stand in for each other.",
    )
    st.plotly_chart(
        charts.seconds_figure(found, clips.strip(given.clip.digest, given.clip), colours),
        key=seconds_key(given.clip),
        on_select="rerun",
        selection_mode="points",
        config=CLICKED,
        alt="Change of the lead by each second: "
        + ", ".join(f"second {part.name} {charts.signed(part.change)}" for part in found.seconds),
    )


def seconds_key(clip: clips.ClipFile) -> str:
    """Key of the figure of a clip's seconds."""
    return state.SECOND + clip.digest[:16]
