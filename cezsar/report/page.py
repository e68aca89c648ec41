"""A report as sections of sentences, tables and figures, and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import plotly.graph_objects as go


class Table(NamedTuple):
    """Rows of text."""

    head: Sequence[str]  # column titles
    rows: Sequence[Sequence[str]]  # cells; the first names its row
    notes: str = ""  # definitions and sources


class Plot(NamedTuple):
    """A figure of Plotly."""

    plot: go.Figure
    says: str  # what it shows, for those who cannot see it, and as its caption


Part = Table | Plot


@dataclass(frozen=True)
class Section:
    """A subject."""

    key: str  # in the JSON
    title: str
    says: str  # what was found, in sentences
    parts: Sequence[Part] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)  # as JSON has them
    warning: str = ""  # what not to conclude


STYLE = """
:root { color-scheme: light; }
body { max-width: 960px; margin: 2rem auto; padding: 0 1rem; font: 16px/1.55 system-ui, sans-serif; color: #1f2328;
  background: #fff; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.6rem;
  border-bottom: 1px solid #e3e5e8; padding-bottom: .3rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; margin: 1rem 0 .3rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid #eef0f2; white-space: nowrap;
  vertical-align: top; }
th:first-child, td:first-child, .words { text-align: left; white-space: normal; }
td.words { min-width: 11rem; } details { margin: .4rem 0 1rem; } summary { cursor: pointer; color: #57606a; }
.notes, figcaption { font-size: .85rem; color: #57606a; } figure { margin: 1rem 0; }
.warning { border-left: 4px solid #d55e00; padding: .2rem .8rem; background: #fff6ef; }
nav ol { columns: 2; font-size: .95rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { color: #57606a; } dd { margin: 0; }
@media print { nav { display: none; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""
LINES = {"gridcolor": "#E3E5E8", "zerolinecolor": "#E3E5E8", "fixedrange": False}
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1F2328"}
CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}


def html_of(about: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The page. All text is escaped; Plotly's script is in it once, if there is a figure."""
    from plotly.offline import get_plotlyjs

    title = html.escape(f"{about['method']} on {about['dataset']}")
    drawn = any(isinstance(part, Plot) for section in sections for part in section.parts)
    contents = "".join(f'<li><a href="#{section.key}">{html.escape(section.title)}</a></li>' for section in sections)
    facts = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in about.items())
    script = f"<script>{get_plotlyjs()}</script>" if drawn else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>{script}</head>'
        f"<body><h1>{title}</h1><dl>{facts}</dl><nav><ol>{contents}</ol></nav>"
        f"{''.join(map(_section, sections))}</body></html>\n"
    )


def _section(section: Section) -> str:
    says = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in section.says.split("\n\n"))
    says += f'<p class="warning">{html.escape(section.warning)}</p>' if section.warning else ""
    for place, part in enumerate(section.parts):
        says += _table(part) if isinstance(part, Table) else _figure(part, f"{section.key}-{place}")
    return f'<section id="{section.key}"><h2>{html.escape(section.title)}</h2>{says}</section>'


def _table(table: Table) -> str:
    """Columns of numbers, whose cells begin with a digit, a sign or a dash, stand to the right."""
    columns = list(zip(table.head, *table.rows, strict=True))
    numeric = [all(not cell or cell[0] in "0123456789+–\N{MINUS SIGN}<" for cell in column[1:]) for column in columns]

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if right else ' class="words"' for right in numeric]
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    rows = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    lines = [f'<p class="notes">{html.escape(line)}</p>' for line in table.notes.split("\n") if line]
    notes = "".join(lines)
    if len(lines) > 1:
        notes = f"<details><summary>What these numbers mean</summary>{notes}</details>"
    head = f"<thead><tr>{row(table.head, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>{notes}'


def _figure(figure: Plot, key: str) -> str:
    plot = go.Figure(figure.plot).update_layout(font=FONT, plot_bgcolor="#FFFFFF")
    plot.update_xaxes(**LINES).update_yaxes(**LINES)
    drawn, says = plot.to_html(full_html=False, include_plotlyjs=False, div_id=key, config=CONFIG), figure.says
    return f'<figure aria-label="{html.escape(says)}">{drawn}<figcaption>{html.escape(says)}</figcaption></figure>'
