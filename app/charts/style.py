"""What all figures share: colours, marks, number formats, a layout that lets the page's theme show through.

Okabe and Ito's colours, distinguishable without red or green vision, and a mark of its own for each, so that colour is
never the only difference. No palette stays distinguishable past eight: what is not chosen is grey.
"""

from __future__ import annotations

import html

import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7B68A6")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "hexagon")  # plotly's names
GLYPHS = ("●", "■", "◆", "▲", "✚", "★", "⬟", "⬢")  # the same, as text
GREY = "#9A9A9A"
GAIN, LOSS = "#009E73", "#D55E00"  # better, worse
CLEAR = "rgba(0,0,0,0)"

PLOT = {"displayModeBar": False, "scrollZoom": False}
"""`config` of a figure that is only looked at."""


def layout(figure: go.Figure, height: int, x: str = "", y: str = "", **more: object) -> go.Figure:
    """Axis titles with their units, a clear background, little margin. The page's theme gives text its colour."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        **more,
    )
    figure.update_xaxes(title={"text": x, "standoff": 8}, automargin=True)
    figure.update_yaxes(title={"text": y, "standoff": 8}, automargin=True)
    return figure


def own_colours(figure: go.Figure, dark: bool) -> go.Figure:
    """For figures shown with `theme=None`, since the page's theme would replace their colour scale."""
    text, line = ("#ECE9E4", "#363D47") if dark else ("#1F2328", "#E0DBD2")
    figure.update_layout(font={"color": text, "size": 13}, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR)
    figure.update_xaxes(linecolor=line, gridcolor=line, zerolinecolor=line)
    figure.update_yaxes(linecolor=line, gridcolor=line, zerolinecolor=line)
    return figure


def heat(dark: bool) -> list[list[object]]:
    """Colour scale from the page's background to blue, for shares and counts from 0."""
    low, middle, high = ("#14171C", "#1D5F8A", "#8CCBF2") if dark else ("#FDFCFA", "#7DB5D8", "#00456E")
    return [[0.0, low], [0.5, middle], [1.0, high]]


def diverging(dark: bool) -> list[list[object]]:
    """Orange below 0, the page's background at 0, blue above."""
    middle = "#14171C" if dark else "#FDFCFA"
    return [[0.0, "#D55E00"], [0.5, middle], [1.0, "#2F96D3" if dark else "#0072B2"]]


def number(value: float) -> str:
    """Two decimals, with a minus sign and not a hyphen."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def percent(fraction: float) -> str:
    """One decimal: 75.5 %."""
    return f"{100 * fraction:.1f} %".replace("-", "\N{MINUS SIGN}")


def points(fraction: float) -> str:
    """A difference in percentage points with its sign: +2.1."""
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def shown(name: str) -> str:
    """A label as plotly shows it as it stands: plotly reads some HTML, and %{...} in hover texts."""
    return html.escape(name, quote=False).replace("%{", "% {")


def short(name: str, most: int = 44) -> str:
    """At most `most` characters, as plotly shows it."""
    return shown(name if len(name) <= most else name[: most - 1] + "…")
