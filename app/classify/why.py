"""Why this label, and not another one: under the answer, opened by whoever wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import state
from app.classify.answers import Answer, read
from app.classify.ranking import MODALITIES, MOST_LABELS, seconds_ticks
from app.parts import clips, show
from app.parts.choosers import one_of
from app.parts.models import engine
from app.parts.words import plain
from cezsar.analysis.explanation import Explanation, Part
from cezsar.report.figures import COLOURS, GLYPHS, GREY, HOVER, film_strip, heads, layout, short, shown

ROW_PX, GAP_PX = 42, 14  # of the parts of a lead
FRAMES_PX, BARS_PX = 62, 120  # of its seconds


def why(given: Answer) -> None:
    """The lead of the best label over a second one, by modality, object and second. Nothing for a single label."""
    names = [name for name, _ in given.ranking.labels]
    if len(names) < 2:
        return
    opened = st.expander("Why this label?", icon=":material/help:", key=state.WHY, bind="query-params")
    if not opened.open:
        return
    left, right = opened.columns([5, 6], gap="medium")  # as above, so that the seconds are under the film they seek in
    with left:
        rivals = {"": f"{names[1]} (the second)"} | {name: name for name in names[1:]}
        rival = one_of(f"Why {plain(names[0])}, and not", rivals, state.RIVAL) or names[1]
        asked = repr((given.labels, given.weights, given.caption, names[0], rival))
        with st.spinner("Leaving out each second in turn"):
            key = (given.model.key, given.model.fingerprint, asked)
            found = clips.once(partial(_explained, given, rival), given.clip, "why", *key)
        place = min(names.index(rival), MOST_LABELS - 1)  # colours and glyphs are those of the ranking above
        colours = (GREY if given.ranking.reasons else COLOURS[0], COLOURS[place])
        entries = zip(colours, (GLYPHS[0], GLYPHS[place]), (found.winner, found.runner_up), strict=True)
        show.legend([(colour, glyph, f"speaks for {name}") for colour, glyph, name in entries])
        _seconds(given, found, colours)
    with right:
        st.markdown(_in_words(found))
        told = "By Eq. 9 the lead is the sum of its modalities. Objects are one sentence; each is left out in turn."
        st.markdown("**What spoke for it** :gray[· solid: exact · hatched: left out in turn]", help=told)
        parts = [f"{MODALITIES[part.name]} {signed(part.change)}" for part in found.modalities]
        parts += [f"object {part.name} {signed(part.change)}" for part in found.objects]
        show.figure(parts_figure(found, colours), "why-parts", "Parts of the lead: " + ", ".join(parts))


def _explained(given: Answer, rival: str) -> Explanation:
    """The best label against another one of the labels. Raises `CezsarError`: the model cannot be used."""
    from cezsar.analysis.explanation import explain

    content, best = read(given.model, given.clip), given.ranking.labels[0][0]
    with (loaded := engine(given.model)).lock:
        return explain(
            loaded.classifier, content, given.labels, weights=given.weights, caption=given.caption, winner=best,
            runner_up=rival,
        )  # fmt: skip


def _in_words(found: Explanation) -> str:
    terms = ", ".join(f"{MODALITIES[part.name]} {signed(part.change)}" for part in found.modalities)
    words = f"The lead of {signed(found.margin)} is {terms}."
    turned = [part for part in (*found.objects, *found.seconds) if part.without not in (None, "", found.winner)]
    for part in turned[:1]:
        words += f" Without {part.kind} {plain(part.name)} it would be **{plain(str(part.without))}**."
    return words if turned else f"{words} Without any single second or object the answer stays."


def _seconds(given: Answer, found: Explanation, colours: tuple[str, str]) -> None:
    if len(found.seconds) < 2:
        st.caption("No second can be left out: there is one only, or frames have no weight in this answer.")
        return
    st.markdown(
        "**Each second, left out**" + (" :gray[· click to play from it]" if given.clip.playable else ""),
        help="Embedded again without it. Such changes do not add up: alike seconds stand in for each other.",
    )
    told = ", ".join(f"second {part.name} {signed(part.change)}" for part in found.seconds)
    figure, key = seconds_figure(found, clips.strip(given.clip), colours), state.SECOND + given.clip.digest[:16]
    show.figure(figure, key, f"Change of the lead by each second: {told}", clicked=True)


def parts_figure(found: Explanation, colours: tuple[str, str]) -> go.Figure:
    """Modalities end to end, their sum, and below it each object left out, in the colour of the label it speaks for."""
    figure = go.Figure()
    row, base = 0.0, 0.0

    def bar(change: float, title: str, hover: str, left_out: bool = False, base: float = 0.0) -> None:
        figure.add_bar(
            x=[change], y=[-row - 0.14], base=base, width=0.24, orientation="h",
            marker=_look([change], colours, left_out), hovertext=hover, hovertemplate=HOVER,
        )  # fmt: skip
        text = signed(change)
        heads(figure, -row + 0.3, title, f"<b>{text}</b>" if title.startswith("<b>") else text)

    for part in found.modalities:
        title = MODALITIES[part.name].capitalize()
        bar(part.change, title, f"{title}: {signed(part.change)}, exactly", base=base)
        row, base = row + 1, base + part.change
    if len(found.modalities) > 1:
        bar(found.margin, "<b>Lead, their sum</b>", f"Lead: {signed(found.margin)}, the sum of the above")
        row += 1
    row += GAP_PX / ROW_PX if found.objects else 0
    for part in found.objects:
        bar(part.change, f"Object: {short(part.name, 30)}", _left_out(part, found), part.without is not None)
        row += 1
    layout(figure, round(ROW_PX * row) + 48, "change of the lead (cosine)", bargap=0, showlegend=False)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 2, "b": 44})
    figure.update_xaxes(showgrid=False, zeroline=True, nticks=5)
    return figure.update_yaxes(visible=False, range=[-row + 0.5, 0.6])


def seconds_figure(found: Explanation, frames: Sequence[tuple[float, bytes]], colours: tuple[str, str]) -> go.Figure:
    """What leaving out each second takes from the lead, under the clip's frames. A click selects a second's number."""
    changes = np.array([part.change for part in found.seconds])
    middles = np.arange(len(changes)) + 0.5
    reach = 1.15 * float(np.abs(changes).max(initial=0)) or 1.0
    whole, pale = {"marker": {"opacity": 1}}, "rgba(128,128,128,{})"
    figure = go.Figure()
    figure.add_bar(
        x=middles, y=changes, width=0.72, marker=_look(changes.tolist(), colours, True), selected=whole,
        unselected=whole, hoverinfo="skip",
    )  # fmt: skip
    figure.add_bar(  # what is clicked: a whole column, since a bar may be a pixel high
        x=middles, y=np.full(len(changes), 2 * reach), base=-reach, width=1.0,
        marker={"color": pale.format(0.01), "line": {"width": 0}}, selected={"marker": {"color": pale.format(0.28)}},
        unselected=whole, customdata=[int(part.name) for part in found.seconds],
        hovertext=[_left_out(part, found) for part in found.seconds], hovertemplate=HOVER,
    )  # fmt: skip
    inner_px = FRAMES_PX + BARS_PX
    film_strip(figure, frames, BARS_PX / inner_px + 0.02, 1, 6)
    layout(
        figure, inner_px + 58, "time (s)", "change of the lead", barmode="overlay", showlegend=False, dragmode=False,
        clickmode="event+select", margin={"l": 62, "r": 4, "t": 4, "b": 54},
    )  # fmt: skip
    seconds = max(len(changes), 1)
    figure.update_xaxes(range=[0, seconds], zeroline=False, showgrid=False, **seconds_ticks(seconds))
    return figure.update_yaxes(domain=[0, BARS_PX / inner_px], zeroline=True, range=[-reach, reach], nticks=4)


def _look(changes: Sequence[float], colours: tuple[str, str], left_out: bool) -> dict[str, Any]:
    """Solid is what adds up, hatched what is left out in turn."""
    pattern = {"shape": "/" if left_out else "", "fillmode": "overlay", "size": 6, "solidity": 0.25}
    return {"color": [colours[change < 0] for change in changes], "line": {"width": 0}, "pattern": pattern}


def _left_out(part: Part, found: Explanation) -> str:
    what = f"second {part.name}" if part.kind == "second" else shown(part.name)
    if part.without is None:
        return f"{what}: {signed(part.change)}, exactly"
    then = f"then {short(part.without)} is best" if part.without else "then nothing is left to decide by"
    if part.without == found.winner:
        then = "the best label stays"
    return f"without {what} the lead is {signed(found.margin - part.change)};<br>{then}"


def signed(value: float) -> str:
    """Three decimals with their sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
