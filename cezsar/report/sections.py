"""What a report is made of: sections of sentences, tables and figures, with their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        head: column titles.
        rows: cells, as many in each row; the first one names the row.
        notes: text below it: definitions, sources.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of Plotly.

    Attributes:
        plot: a `plotly.graph_objects.Figure`.
        says: what it shows, for those who cannot see it, and as its caption.
    """

    plot: Any
    says: str


Part = Table | Figure


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


def percent(fraction: float | None, std: float | None = None) -> str:
    """ "75.5 %", "75.5 ± 2.1 %", or a dash."""
    if fraction is None:
        return "–"
    return f"{100 * fraction:.1f} %" if std is None else f"{100 * fraction:.1f} ± {100 * std:.1f} %"


def points(fraction: float) -> str:
    """Percentage points, with a sign."""
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def finite(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None
