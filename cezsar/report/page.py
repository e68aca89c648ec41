"""A report as sections of sentences, tables and figures, and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pandas as pd
import plotly.graph_objects as go


class Plot(NamedTuple):
    """A figure."""

    figure: go.Figure
    says: str  # what it shows, for those who cannot see it, and as its caption


Part: TypeAlias = "pd.DataFrame | Plot | str"  # a table of text, a figure, or a paragraph of notes


class Section(NamedTuple):
    """A subject."""

    key: str  # in the JSON
    title: str
    says: str  # what was found, in sentences
    parts: Sequence[Part] = ()
    numbers: Mapping[str, Any] = {}  # as JSON has them: fractions, not percent
    warning: str = ""  # what not to conclude


STYLE = """
body { max-width: 960px; margin: 2rem auto; padding: 0 1rem; font: 16px/1.55 system-ui, sans-serif; color: #1f2328; }
h2 { margin-top: 2.6rem; border-bottom: 1px solid #e3e5e8; } .scroll { overflow-x: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; margin: 1rem 0 .3rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #eef0f2; vertical-align: top; }
.notes, figcaption { font-size: .85rem; color: #57606a; white-space: pre-line; }
.warning { border-left: 4px solid #d55e00; padding: .2rem .8rem; background: #fff6ef; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
"""
LINES = {"gridcolor": "#E3E5E8", "zerolinecolor": "#E3E5E8", "fixedrange": False}
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1F2328"}


def html_of(about: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The page. All text is escaped; Plotly's script is in it once."""
    from plotly.offline import get_plotlyjs

    title = html.escape(f"{about['method']} on {about['dataset']}")
    contents = "".join(f'<li><a href="#{section.key}">{html.escape(section.title)}</a></li>' for section in sections)
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in about.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head><body><h1>{title}</h1><dl>{facts}</dl><nav><ol>{contents}</ol></nav>"
        f"{''.join(map(_section, sections))}</body></html>\n"
    )


def _section(section: Section) -> str:
    named = [_part(part, f"{section.key}-{number}") for number, part in enumerate(section.parts)]
    parts = [f"<p>{html.escape(section.says)}</p>", *named]
    if section.warning:
        parts.insert(1, f'<p class="warning">{html.escape(section.warning)}</p>')
    return f'<section id="{section.key}"><h2>{html.escape(section.title)}</h2>{"".join(parts)}</section>'


def _part(part: Part, name: str) -> str:
    if isinstance(part, str):
        return f'<p class="notes">{html.escape(part)}</p>'
    if isinstance(part, pd.DataFrame):
        with pd.option_context("display.max_colwidth", None):
            return f'<div class="scroll">{part.to_html(index=False, border=0)}</div>'
    drawn, says = go.Figure(part.figure), html.escape(part.says)
    drawn.update_layout(font=FONT, plot_bgcolor="#FFFFFF")
    drawn.update_xaxes(**LINES).update_yaxes(**LINES)
    script = drawn.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}, div_id=name)
    return f'<figure aria-label="{says}">{script}<figcaption>{says}</figcaption></figure>'
