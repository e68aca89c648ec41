"""What a model says about a film: its ranking, by label and by second, the objects seen, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import state
from app.classify.answers import Answer, pin
from app.parts import clips, scored, show
from app.parts.words import plain
from cezsar.arrays import FloatArray
from cezsar.report import figures
from cezsar.report.figures import COLOURS, GLYPHS, GREY, MARKS, film_strip, layout, short, shown

MOST_LABELS, MOST_FRAMES = 6, 10
MODALITIES = {"VE": "what the clip looks like", "O": "recognised objects", "C": "caption"}
SHADES = {"VE": ("full colour", 1.0), "O": ("pale", 0.45), "C": ("palest", 0.2)}  # in words, and as opacity
LINES_PX, TICKS_PX, STRIP_PX, WIDE_PX = 190, 30, 104, 800  # of a timeline; how wide it is on a large screen


def ranking(given: Answer, key: str) -> None:
    """Who answers, the best label, and the first few as bars."""
    top = given.ranking.labels[: MOST_LABELS - 1]
    parts = {name: part[: len(top)] for name, part in given.ranking.contributions.items()}
    with st.container(gap="xxsmall"):
        st.caption(f":material/neurology: **{plain(given.model.title)}** answers: {plain(given.why)}.")
        for note in given.ranking.notes:  # how a long clip was taken, what of a damaged file could not be read
            st.caption(f":material/info: {plain(note[0].upper() + note[1:])}.")
        _headline(given)
    said = ", ".join(f"{name} {similarity:.2f}" for name, similarity in top)
    bars = ranking_figure(top, parts, muted=bool(given.ranking.reasons))
    show.figure(bars, key, f"Best labels by {given.model.title}: {said}")
    if len(parts) > 1:
        words = ", ".join(f"{SHADES[name][0]}: {MODALITIES[name]}" for name in parts).capitalize()
        st.caption(f"{words}.", help="Parts of the similarity: α VE, β O and γ C of Eq. 9.")


def _headline(given: Answer) -> None:
    found, label = given.ranking, given.clip.label
    best, similarity = found.labels[0]
    st.caption("Best match")
    st.subheader("None of these" if found.reasons else plain(best), anchor=False)
    if found.reasons:
        said = f":orange[:material/do_not_disturb_on: {plain('; '.join(found.reasons))}.]"
        told = 'The limits are under "When to answer none of these".'
        st.markdown(f"{said} Nearest is {plain(best)}, not to be trusted.", help=told)
    lead = f", {found.margin:.2f} ahead of {plain(found.labels[1][0])}" if len(found.labels) > 1 else ""
    told = "Cosine of clip and description: 1 is the same direction, 0 nothing in common. A small lead is unsure."
    st.markdown(f"similarity {figures.number(similarity)}{lead}", help=told)
    if not found.reasons:
        _verdict(given)
    names = [name for name, _ in found.labels]
    if label == best:
        st.markdown(":green[:material/check: That is what the sample shows.]")
    elif label:
        place = f"ranked {names.index(label) + 1}" if label in names else "which is not among the labels"
        st.markdown(f":orange[:material/close: The sample shows *{plain(label)}*, {place}.]")


def _verdict(given: Answer) -> None:
    """One line on whether any of the labels seems right, where the run was calibrated."""
    found, words = given.ranking, ""
    if found.probabilities is None:
        if given.calibrated:
            told = "`cezsar calibrate` chose temperature and threshold with α, β and γ of the run."
            st.markdown(":gray[No probability: it goes with the run's weights, without caption or example.]", help=told)
        return
    rests_on, _, how = found.judgement.partition("; ")
    told = "Probabilities are softmax(similarity / T) over the labels in the box, given that one of them is right."
    chance = f"{found.probabilities[0]:.0%}"
    if found.none_of_these:
        words = f":orange[:material/help: **None of these labels seems right**; if one, this ({chance}).]"
    elif len(found.probabilities) > 1:
        words = f":gray[:material/task_alt: One of the labels seems right, most likely this one ({chance}).]"
    elif found.none_of_these is False:
        words = ":gray[:material/task_alt: The label seems right.]"
    if words:
        st.markdown(words, help=f"{plain(rests_on)}; {plain(how)}. {told}" if how else told)


def objects(given: Answer, in_a_row: bool = True) -> None:
    if not (found := given.ranking.objects):
        return
    st.markdown("**Recognised objects**", help="The most probable objects in the clip; O is made of such objects.")
    places = st.columns(len(found), gap="medium") if in_a_row else [st.container() for _ in found]
    for place, (name, definition, probability) in zip(places, found, strict=True):
        place.markdown(f"{plain(name)} :gray[{probability:.0%}]  \n:small[:gray[{plain(definition)}]]")


def over_time(given: Answer, names: Sequence[str], number: int) -> None:
    per_second = given.ranking.per_second
    told = "A frame of each second, and how well that second, with its neighbours, fits each label by VE and O."
    st.markdown("**Second by second**", help=told)
    rows = None if per_second is None else per_second[:, : len(names)]
    figure = timeline_figure(clips.strip(given.clip), names, rows, given.seconds)
    alt = f"Frames of the clip, and over its {given.seconds} seconds the similarity of {', '.join(names)}"
    show.figure(figure, f"timeline-{number}", alt)
    if per_second is not None:
        show.legend(list(zip(COLOURS, GLYPHS, names, strict=False)), "")


def numbers(given: Answer) -> None:
    with st.expander(f"All {len(given.ranking.labels)} labels in numbers"):
        rows = [
            {"rank": index + 1, "label": name, "similarity": similarity}
            | {MODALITIES[part]: values[index] for part, values in given.ranking.contributions.items()}
            for index, (name, similarity) in enumerate(given.ranking.labels)
        ]
        alt = "Similarity of every label, and what each modality contributes to it"
        show.table(rows, alt, dict.fromkeys(("similarity", *MODALITIES.values()), "%.3f"))


def on_map(given: Answer, number: int) -> None:
    """A way to the page Semantic gap, with this clip on its maps."""
    sets = [name for name, item in scored.scored_sets().items() if item.about["run"] == given.model.title]
    told = "Where this clip lies among the clips and class descriptions that this run was tested with."
    if given.model.folder is None or not sets:
        return
    if st.button("Show on the semantic-gap map", f"map-{number}", told, icon=":material/scatter_plot:"):
        st.session_state[state.PINNED] = pin(given)
        if st.session_state.get(state.ON) not in sets:
            st.session_state[state.ON] = sets[0]
        st.switch_page("../pages/semantic_gap.py", query_params={})


def overview(answers: Sequence[Answer]) -> None:
    rows = []
    for given in answers:
        best, similarity = given.ranking.labels[0]
        note = "none of the labels seems right" if given.ranking.none_of_these else ""
        if given.ranking.reasons:
            best, note = "none of these", f"nearest is {best}"
        rows.append({
            "clip": given.clip.name, "best match": best, "similarity": similarity, "lead": given.ranking.margin,
            "note": note, "model": given.model.title,
        })  # fmt: skip
    show.table(rows, "Best match of each clip", {"similarity": "%.2f", "lead": "%.2f"})


def downloads(answers: Sequence[Answer]) -> None:
    from cezsar.zeroshot.tables import rankings_csv, rankings_json

    rankings, told = [given.ranking for given in answers], "All labels of all clips, with the parts of each similarity."
    csv, json = partial(rankings_csv, rankings), partial(rankings_json, rankings)
    show.downloads(("CSV", "ranking.csv", csv, told), ("JSON", "ranking.json", json, told))


def ranking_figure(
    labels: Sequence[tuple[str, float]], contributions: Mapping[str, Sequence[float]], muted: bool = False
) -> go.Figure:
    """A bar for each label, parted by modality; grey ones, `muted`, for an answer that is none."""
    colours = [GREY] * len(labels) if muted else list(COLOURS[: len(labels)])
    titles: list[str] = []
    for (name, _), colour, glyph in zip(labels, colours, GLYPHS, strict=False):
        title = short(name) if titles or muted else f"<b>{short(name)}</b>"
        titles.append(f'<span style="color:{colour}">{glyph}</span>  {title}')
    parts = {MODALITIES[name]: (part, SHADES[name][1]) for name, part in contributions.items()}
    return figures.ranking(labels, colours, titles, parts)


def timeline_figure(
    frames: Sequence[tuple[float, bytes]], names: Sequence[str], per_second: FloatArray | None, seconds: int
) -> go.Figure:
    """The clip's frames as a film strip; under it each label's similarity by second, (T, names), if there is any."""
    figure = go.Figure()
    shown_frames = max(1, len(frames)) / max(1, -(-len(frames) // MOST_FRAMES))
    strip_px = min(STRIP_PX, 0.75 * WIDE_PX / shown_frames)
    inner_px = strip_px + TICKS_PX + (0 if per_second is None else LINES_PX)
    strip_at = 1 - strip_px / inner_px
    if per_second is None:  # an axis appears only where there is a trace
        figure.add_scatter(x=[0, seconds], y=[0, 0], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    else:
        for index, name in enumerate(names):
            figure.add_scatter(
                x=np.arange(len(per_second)) + 0.5, y=per_second[:, index].astype(float), mode="lines+markers",
                name=shown(name), line={"color": COLOURS[index], "width": 3 if index == 0 else 1.75},
                marker={"symbol": MARKS[index], "size": 9 if index == 0 else 7},
                hovertemplate=f"{shown(name)}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    film_strip(figure, frames, strip_at, 1, MOST_FRAMES)
    layout(figure, inner_px + 12, showlegend=False, hovermode="x unified", margin={"l": 66, "r": 6, "t": 4, "b": 8})
    figure.update_xaxes(
        range=[0, max(seconds, 1)], side="top", ticksuffix=" s", hoverformat=".1f", showgrid=False, zeroline=False,
        **seconds_ticks(seconds),
    )  # fmt: skip
    return figure.update_yaxes(
        domain=[0, max(1e-3, strip_at - TICKS_PX / inner_px)], title={"text": "similarity", "standoff": 14},
        tickformat=".2f", nticks=5, visible=per_second is not None, automargin=False,
    )  # fmt: skip


def seconds_ticks(seconds: int) -> dict[str, int]:
    return {"dtick": 1} if seconds <= 12 else {"nticks": 12}
