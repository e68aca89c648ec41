"""A clip's ranking, its frames over time with each label's similarity, its spans, and why one label leads another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from cezsar.arrays import FloatArray
from cezsar.report.figures import COLOURS, GLYPHS, GREY, HOVER, MARKS, film_strip, heads, layout, ranking, short, shown

if TYPE_CHECKING:
    from cezsar.analysis.explanation import Explanation, Part
    from cezsar.zeroshot.spans import Span

MOST_LABELS = 6
MODALITIES = {"VE": "what the clip looks like", "O": "recognised objects", "C": "caption"}
OPACITY = {"VE": 1.0, "O": 0.45, "C": 0.2}

LINES_PX, TICKS_PX, STRIP_PX, WIDE_PX = 190, 30, 104, 800  # of a timeline; how wide it is on a large screen
MOST_FRAMES = 10
ROW_PX, GAP_PX = 42, 14  # of the parts of a lead
FRAMES_PX, BARS_PX = 62, 120  # of the seconds of a lead
LANE_PX, AXIS_PX = 40, 30  # of spans
NOTHING = "rgba(154, 154, 154, 0.25)"
LIGHT_TEXT, DARK_TEXT = "#FFFFFF", "#1F2328"
PALE = {"#E69F00", "#56B4E9", "#CC79A7", GREY, NOTHING}  # colours that white letters cannot be read on


def ranking_figure(
    labels: Sequence[tuple[str, float]], contributions: Mapping[str, Sequence[float]], muted: bool = False
) -> go.Figure:
    """A bar for each label, parted by modality.

    Args:
        labels: (name, cosine similarity), best first, at most `MOST_LABELS`.
        contributions: modality -> its part of each label's similarity, in the same order.
        muted: grey bars, for an answer that is none.
    """
    colours = [GREY] * len(labels) if muted else list(COLOURS[: len(labels)])
    titles = [
        f'<span style="color:{colour}">{glyph}</span>  '
        + (f"<b>{short(name)}</b>" if glyph == GLYPHS[0] and not muted else short(name))
        for (name, _), colour, glyph in zip(labels, colours, GLYPHS, strict=False)
    ]
    return ranking(labels, colours, titles, {MODALITIES[m]: (part, OPACITY[m]) for m, part in contributions.items()})


def timeline_figure(
    frames: Sequence[tuple[float, bytes]], names: Sequence[str], per_second: FloatArray | None, seconds: int
) -> go.Figure:
    """The clip's frames as a film strip; under it, on the same axis in seconds, each label's similarity.

    Args:
        frames: (time in seconds, JPEG file), one a second; of long clips every n-th is shown.
        names: labels, best first, at most `MOST_LABELS`.
        per_second: (T, len(names)) cosine similarity in each second; None leaves the strip alone.
        seconds: T, length of the clip.
    """
    figure = go.Figure()
    step = max(1, -(-len(frames) // MOST_FRAMES))
    strip_px = min(STRIP_PX, 0.75 * WIDE_PX * step / max(1, len(frames)))
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
        **_seconds_ticks(seconds),
    )  # fmt: skip
    figure.update_yaxes(
        domain=[0, max(1e-3, strip_at - TICKS_PX / inner_px)], title={"text": "similarity", "standoff": 14},
        tickformat=".2f", nticks=5, visible=per_second is not None, automargin=False,
    )  # fmt: skip
    return figure


def _seconds_ticks(seconds: int) -> dict[str, int]:
    return {"dtick": 1} if seconds <= 12 else {"nticks": 12}


# Why ------------------------------------------------------------------------------------------------------------------


def parts_figure(found: Explanation, colours: tuple[str, str]) -> go.Figure:
    """Modalities end to end, their sum, and below it each object left out.

    Args:
        colours: of the winner, for what speaks for it, and of the runner-up.
    """
    figure = go.Figure()
    row, base = 0.0, 0.0
    for part in found.modalities:
        title = MODALITIES[part.name].capitalize()
        _part(figure, row, base, part.change, colours, title, f"{title}: {signed(part.change)}, exactly")
        row, base = row + 1, base + part.change
    if len(found.modalities) > 1:
        hover = f"Lead: {signed(found.margin)}, the sum of the above"
        _part(figure, row, 0.0, found.margin, colours, "<b>Lead, their sum</b>", hover)
        row += 1
    row += GAP_PX / ROW_PX if found.objects else 0
    for part in found.objects:
        title = f"Object: {short(part.name, 30)}"
        _part(figure, row, 0.0, part.change, colours, title, _left_out(part, found), part.how != "exact")
        row += 1
    layout(figure, round(ROW_PX * row) + 48, f"change of the lead ({found.unit})", bargap=0, showlegend=False)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 2, "b": 44})
    figure.update_xaxes(showgrid=False, zeroline=True, nticks=5)
    figure.update_yaxes(visible=False, range=[-row + 0.5, 0.6])
    return figure


def _part(figure: go.Figure, row: float, base: float, change: float, colours: tuple[str, str], title: str, hover: str,
          left_out: bool = False) -> None:  # fmt: skip
    figure.add_bar(
        x=[change], y=[-row - 0.14], base=base, width=0.24, orientation="h",
        marker=_look([change], colours, left_out), hovertext=hover, hovertemplate=HOVER,
    )  # fmt: skip
    text = signed(change)
    heads(figure, -row + 0.3, title, f"<b>{text}</b>" if title.startswith("<b>") else text)


def _look(changes: Sequence[float], colours: tuple[str, str], left_out: bool) -> dict[str, Any]:
    """Solid is what adds up, hatched what is left out in turn."""
    pattern = {"shape": "/" if left_out else "", "fillmode": "overlay", "size": 6, "solidity": 0.25}
    return {"color": [colours[change < 0] for change in changes], "line": {"width": 0}, "pattern": pattern}


def seconds_figure(found: Explanation, frames: Sequence[tuple[float, bytes]], colours: tuple[str, str]) -> go.Figure:
    """What leaving out each second takes from the lead, under the clip's frames. A click selects a second's number.

    Args:
        frames: (time in seconds, JPEG file), one a second; of long clips every n-th is shown.
    """
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
    figure.update_xaxes(range=[0, seconds], zeroline=False, showgrid=False, **_seconds_ticks(seconds))
    figure.update_yaxes(domain=[0, BARS_PX / inner_px], zeroline=True, range=[-reach, reach], nticks=4)
    return figure


def signed(value: float) -> str:
    """Three decimals with their sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _left_out(part: Part, found: Explanation) -> str:
    what = f"second {part.name}" if part.kind == "second" else shown(part.name)
    if part.how == "exact":
        return f"{what}: {signed(part.change)}, exactly"
    then = f"then {short(part.without)} is best" if part.without else "then nothing is left to decide by"
    if part.without == found.winner:
        then = "the best label stays"
    return f"without {what} the lead is {signed(found.margin - part.change)};<br>{then}"


# Spans ----------------------------------------------------------------------------------------------------------------


def marks(spans: Sequence[Span], ranked: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Label -> colour and glyph, the longest seen first: as in the ranking for labels shown there; grey past eight."""
    lasts: dict[str, float] = {}
    for span in spans:
        if span.label is not None:
            lasts[span.label] = lasts.get(span.label, 0.0) + span.end_s - span.start_s
    given = dict(zip(ranked, range(len(COLOURS)), strict=False))
    free = iter([index for index in range(len(COLOURS)) if index not in given.values()])
    places = {}
    for label in sorted(lasts, key=lambda label: -lasts[label]):
        places[label] = given[label] if label in given else next(free, None)
    return {label: (GREY, "○") if at is None else (COLOURS[at], GLYPHS[at]) for label, at in places.items()}


def spans_figure(spans: Sequence[Span], looks: Mapping[str, tuple[str, str]]) -> go.Figure:
    """One lane of coloured bars, each with its label where there is room; a stretch of none of them is pale."""
    end_s = max(span.end_s for span in spans)
    figure = go.Figure()
    colours = {span.label: NOTHING if span.label is None else looks[span.label][0] for span in spans}
    for text, pale in ((LIGHT_TEXT, False), (DARK_TEXT, True)):
        seen = [span for span in spans if (colours[span.label] in PALE) == pale]
        figure.add_bar(
            x=[span.end_s - span.start_s for span in seen], base=[span.start_s for span in seen], y=[0] * len(seen),
            width=1, orientation="h", textposition="inside", insidetextanchor="start", textangle=0,
            text=["" if span.label is None else f"{looks[span.label][1]} {shown(span.label)}" for span in seen],
            insidetextfont={"size": 13, "color": text},
            marker={"color": [colours[span.label] for span in seen], "line": {"width": 0}, "cornerradius": 6},
            selected={"marker": {"opacity": 1}, "textfont": {"color": text}},
            unselected={"marker": {"opacity": 0.75}, "textfont": {"color": text}},
            customdata=[int(span.start_s) for span in seen], hovertemplate=HOVER,
            hovertext=[
                f"{shown(span.label or 'none of these')}<br>{clock(span.start_s)} to {clock(span.end_s)}"
                + ("" if span.label is None else f"<br>similarity {span.score:.2f}")
                for span in seen
            ],
        )  # fmt: skip
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    ticks = list(range(0, int(end_s) + 1, next((step for step in steps if end_s / step <= 8), 7200)))
    layout(
        figure, LANE_PX + AXIS_PX + 8, uniformtext={"minsize": 11, "mode": "hide"}, barmode="overlay", bargap=0,
        clickmode="event+select", dragmode=False, showlegend=False, margin={"l": 14, "r": 14, "t": 4, "b": AXIS_PX},
    )  # fmt: skip
    figure.update_xaxes(
        range=[0, end_s], tickvals=ticks, ticktext=[clock(tick) for tick in ticks], showgrid=False, zeroline=False,
        title=None,
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[-0.5, 0.5])
    return figure


def clock(time_s: float) -> str:
    """9.5 s, 1:05, 1:02:03."""
    if time_s < 60:
        return f"{time_s:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
