"""A report as sections of sentences, tables and figures, and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go


@dataclass(frozen=True)
class Table:
    """Rows of text: column titles, cells of which the first names its row, and definitions and sources below."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""


@dataclass(frozen=True)
class Plot:
    """A figure of Plotly, and what it shows, for those who cannot see it, and as its caption."""

    plot: go.Figure
    says: str


Part = Table | Plot


@dataclass(frozen=True)
class Section:
    """A subject.

    Attributes:
        key: in the JSON.
        says: what was found, in sentences.
        parts: tables and figures, in their order.
        numbers: as JSON has them.
        warning: what not to conclude.
    """

    key: str
    title: str
    says: str
    parts: Sequence[Part] = ()
    numbers: dict[str, Any] = field(default_factory=dict)
    warning: str = ""


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
LINE = "#E3E5E8"
CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}


def html_of(about: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The page. All text is escaped; Plotly's script is in it once, if there is a figure."""
    from plotly.offline import get_plotlyjs

    title = f"{about['method']} on {about['dataset']}"
    drawn = any(isinstance(part, Plot) for section in sections for part in section.parts)
    contents = "".join(f'<li><a href="#{section.key}">{_text(section.title)}</a></li>' for section in sections)
    facts = "".join(f"<dt>{_text(str(key))}</dt><dd>{_text(str(value))}</dd>" for key, value in about.items())
    script = f"<script>{get_plotlyjs()}</script>" if drawn else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>{script}</head>'
        f"<body><h1>{_text(title)}</h1><dl>{facts}</dl><nav><ol>{contents}</ol></nav>"
        f"{''.join(_section(section) for section in sections)}</body></html>\n"
    )


def _section(section: Section) -> str:
    warning = f'<p class="warning">{_text(section.warning)}</p>' if section.warning else ""
    parts = "".join(
        _table(part) if isinstance(part, Table) else _figure(part, f"{section.key}-{place}")
        for place, part in enumerate(section.parts)
    )
    says = "".join(f"<p>{_text(paragraph)}</p>" for paragraph in section.says.split("\n\n"))
    return f'<section id="{section.key}"><h2>{_text(section.title)}</h2>{says}{warning}{parts}</section>'


def _table(table: Table) -> str:
    kinds = ["" if _is_numeric(column) else ' class="words"' for column in zip(*table.rows, strict=True)]
    kinds = kinds or [""] * len(table.head)
    head = "".join(f"<th{kind}>{_text(cell)}</th>" for kind, cell in zip(kinds, table.head, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{_text(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in table.rows
    )
    lines = [f'<p class="notes">{_text(line)}</p>' for line in table.notes.split("\n") if line]
    notes = "".join(lines)
    if len(lines) > 1:
        notes = f"<details><summary>What these numbers mean</summary>{notes}</details>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}'


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether cells are numbers, and so stand to the right: they begin with a digit, a sign or a dash."""
    return all(not cell or cell[0] in "0123456789+–\N{MINUS SIGN}<" for cell in column)


def _figure(figure: Plot, key: str) -> str:
    plot = go.Figure(figure.plot)
    plot.update_layout(font={"family": "system-ui, sans-serif", "size": 13, "color": "#1F2328"}, plot_bgcolor="#FFFFFF")
    plot.update_xaxes(fixedrange=False, gridcolor=LINE, zerolinecolor=LINE)
    plot.update_yaxes(fixedrange=False, gridcolor=LINE, zerolinecolor=LINE)
    drawn = plot.to_html(full_html=False, include_plotlyjs=False, div_id=key, config=CONFIG)
    return f'<figure aria-label="{_text(figure.says)}">{drawn}<figcaption>{_text(figure.says)}</figcaption></figure>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)
