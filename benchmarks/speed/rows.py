"""A row of the table: what a task took, beside the plain way and the limit, and what was wanted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """Seconds are of the whole task; those of a plain way that was run on a part are scaled up, and `what` says so."""

    task: str
    what: str  # of how much
    ours_s: float
    plain_s: float | None = None
    limit_s: float | None = None
    limit: str = ""  # what the limit is
    at_least: float | None = None  # wanted: times as fast as the plain way
    at_most: float | None = None  # wanted: times the limit
    at_most_s: float | None = None  # wanted: seconds
    at_most_gb: float | None = None  # wanted: peak memory
    peak_gb: float = 0.0  # of the process; set when it ends

    def guarded(self) -> Row:
        """The same, wanting a third of the ratios, which hold on any machine, and nothing else."""
        least, most = self.at_least and self.at_least / 3, self.at_most and self.at_most * 3
        return replace(self, at_least=least, at_most=most, at_most_s=None, at_most_gb=None)

    @property
    def misses(self) -> list[str]:
        """What is wanted and not reached."""
        told = []
        if self.at_least and self.plain_s and self.plain_s / self.ours_s < self.at_least:
            told.append(f"{self.plain_s / self.ours_s:.1f} times the plain way, wanted {self.at_least:.3g}")
        if self.at_most and self.limit_s and self.ours_s / self.limit_s > self.at_most:
            told.append(f"{self.ours_s / self.limit_s:.2f} times the limit, wanted at most {self.at_most:.3g}")
        if self.at_most_s and self.ours_s > self.at_most_s:
            told.append(f"{self.ours_s:.3g} s, wanted at most {self.at_most_s:g} s")
        if self.at_most_gb and self.peak_gb > self.at_most_gb:
            told.append(f"{self.peak_gb:.1f} GB, wanted at most {self.at_most_gb:g} GB")
        return told

    def cells(self) -> list[str]:
        """As the table has it."""
        plain = f"{self.plain_s:,.3g} s: {self.plain_s / self.ours_s:,.1f} x" if self.plain_s else ""
        plain += f" (≥ {self.at_least:.3g})" if self.at_least else ""
        limit = f"{self.limit}, {self.limit_s:.3g} s: {self.ours_s / self.limit_s:.2f} x" if self.limit_s else ""
        limit += f" (≤ {self.at_most:.3g})" if self.at_most else ""
        ours = f"{self.ours_s:,.3g} s" + (f" (≤ {self.at_most_s:g})" if self.at_most_s else "")
        memory = f"{self.peak_gb:.1f} GB" + (f" (≤ {self.at_most_gb:g})" if self.at_most_gb else "")
        return [self.task, self.what, ours, plain, limit, memory, "; ".join(self.misses) or "met"]


def in_turn(rounds: int, **ways: Callable[[], object]) -> Mapping[str, float]:
    """Median seconds of each way; they take turns, so that a slow spell of the machine meets all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}
