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


def finite(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None
