"""The margin of one label over another: its parts as a waterfall, and what leaving out an object or a second does."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.charts.classify import MODALITIES
from app.charts.style import CLEAR, short, shown
from cezsar.analysis.explanation import Explanation, Part

ROW_PX, GAP_PX = 42, 14
FRAMES_PX, BARS_PX, MOST_FRAMES = 62, 120, 6
HATCH = "/"  # of what is left out in turn; what adds up is solid
CLICKED = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}


def parts_figure(found: Explanation, colours: tuple[str, str]) -> go.Figure:
    """Modalities end to end, their sum, and below it each object left out.

    Args:
        colours: of the winner, for what speaks for it, and of the runner-up.
    """
    figure = go.Figure()
    row, base, ticks = 0.0, 0.0, []
    for part in found.modalities:
        title = MODALITIES[part.name].capitalize()
        _bar(figure, row, base, part.change, colours, f"{title}: {signed(part.change)}, exactly")
        ticks.append((row, title, signed(part.change)))
        row, base = row + 1, base + part.change
    if len(found.modalities) > 1:
        _bar(figure, row, 0.0, found.margin, colours, f"Lead: {signed(found.margin)}, the sum of the above")
        ticks.append((row, "<b>Lead, their sum</b>", f"<b>{signed(found.margin)}</b>"))
        row += 1
    row += GAP_PX / ROW_PX if found.objects else 0
    for part in found.objects:
        _bar(figure, row, 0.0, part.change, colours, _left_out(part, found), hatched=part.how != "exact")
        ticks.append((row, f"Object: {short(part.name, 30)}", signed(part.change)))
        row += 1
    for place, title, text in ticks:
        common = {"xref": "paper", "y": -place + 0.3, "yref": "y", "showarrow": False, "font": {"size": 14}}
        figure.add_annotation(x=0, xanchor="left", text=title, **common)
        figure.add_annotation(x=1, xanchor="right", text=text, **common)
    figure.update_layout(
        height=round(ROW_PX * row) + 48,
        margin={"l": 4, "r": 4, "t": 2, "b": 44},
        bargap=0,
        showlegend=False,
        xaxis={"title": {"text": f"change of the lead ({found.unit})", "standoff": 6}, "zeroline": True},
        yaxis={"visible": False, "fixedrange": True, "range": [-row + 0.5, 0.6]},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
    )
    figure.update_xaxes(showgrid=False, fixedrange=True, nticks=5)
    return figure


def seconds_figure(found: Explanation, frames: Sequence[tuple[float, bytes]], colours: tuple[str, str]) -> go.Figure:
    """What leaving out each second takes from the lead, under the clip's frames. A click selects a second's number.

    Args:
        frames: (time in seconds, JPEG file), one a second; of long clips every n-th is shown.
    """
    changes = np.array([part.change for part in found.seconds])
    middles = np.arange(len(changes)) + 0.5
    reach = 1.15 * float(np.abs(changes).max(initial=0)) or 1.0
    figure = go.Figure()
    figure.add_bar(
        x=middles,
        y=changes,
        width=0.72,
        marker={
            "color": [colours[0] if change >= 0 else colours[1] for change in changes],
            "pattern": {"shape": HATCH, "fillmode": "overlay", "size": 6, "solidity": 0.25},
            "line": {"width": 0},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hoverinfo="skip",
    )
    figure.add_bar(  # what is clicked: a whole column, since a bar may be a pixel high
        x=middles,
        y=np.full(len(changes), 2 * reach),
        base=-reach,
        width=1.0,
        marker={"color": "rgba(128,128,128,0.01)", "line": {"width": 0}},
        selected={"marker": {"color": "rgba(128,128,128,0.28)"}},
        unselected={"marker": {"opacity": 1}},
        customdata=[int(part.name) for part in found.seconds],
        hovertext=[_left_out(part, found) for part in found.seconds],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    inner_px = FRAMES_PX + BARS_PX
    bars_top = BARS_PX / inner_px
    step = max(1, -(-len(frames) // MOST_FRAMES))
    for time_s, jpeg in frames[::step]:
        figure.add_layout_image(
            source="data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"),
            xref="x",
            yref="paper",
            x=time_s + 0.02 * step,
            y=bars_top + 0.02,
            sizex=0.96 * step,
            sizey=1 - bars_top - 0.02,
            xanchor="left",
            yanchor="bottom",
            sizing="contain",
        )
    seconds = max(len(changes), 1)
    figure.update_layout(
        height=inner_px + 58,
        margin={"l": 62, "r": 4, "t": 4, "b": 54},
        barmode="overlay",
        showlegend=False,
        clickmode="event+select",
        dragmode=False,
        xaxis={"title": {"text": "time (s)", "standoff": 12}, "range": [0, seconds], "zeroline": False}
        | ({"dtick": 1} if seconds <= 12 else {"nticks": 10}),
        yaxis={"domain": [0, bars_top], "title": {"text": "change of the lead", "standoff": 8}, "zeroline": True},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
    )
    figure.update_xaxes(showgrid=False, fixedrange=True)
    figure.update_yaxes(range=[-reach, reach], fixedrange=True, nticks=4)
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


def _bar(
    figure: go.Figure,
    row: float,
    base: float,
    change: float,
    colours: tuple[str, str],
    hover: str,
    hatched: bool = False,
) -> None:
    figure.add_bar(
        x=[change],
        y=[-row - 0.14],
        base=base,
        width=0.24,
        orientation="h",
        marker={
            "color": colours[0] if change >= 0 else colours[1],
            "line": {"width": 0},
            "pattern": {"shape": HATCH if hatched else "", "fillmode": "overlay", "size": 6, "solidity": 0.25},
        },
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
    )
