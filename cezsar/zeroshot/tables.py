"""Results as a table for the screen: a row each, in percent, with chance level beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from cezsar.zeroshot.results import Figure, Result


def table(results: Sequence[Result]) -> str:
    """Results as lines of text: a row each, in percent, a block for each protocol, chance level below each block."""
    if not results:
        return "no results"
    blocks: dict[tuple[str, int | None], list[Result]] = {}
    for result in results:
        blocks.setdefault((result.protocol, result.seed), []).append(result)
    return "\n\n".join(_block(rows) for rows in blocks.values())


def _block(results: Sequence[Result]) -> str:
    first = results[0]
    ks = sorted({k for result in results for k in result.ks})
    metrics = [*(f"top{k}" for k in ks), "mean_per_class"]
    rows = [["", *(f"top-{k}" for k in ks), "per class", "α", "β", "γ"]]
    for result in results:
        figures = [result.figure(name).percent() if name in result.metrics else "" for name in metrics]
        rows.append([result.modality, *figures, *(f"{w:g}" for w in asdict(result.weights).values())])
    chance = [Figure(first.chance(k), None).percent() for k in [*ks, 1]]
    rows.append(["chance", *chance, "", "", ""])
    lines = [_title(results), *_aligned(rows)]
    if undecided := sum(run.undecided for result in results for run in result.runs):
        lines.append(f"{undecided:,} answers undecided (no evidence for any class), counted as wrong")
    if empty := sorted({name for run in first.runs for name in run.empty_classes}):
        shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        lines.append(f"{len(empty):,} classes without clips, not in the per-class mean: {shown}")
    return "\n".join(lines)


def _title(results: Sequence[Result]) -> str:
    first = results[0]
    clips, classes = ([f(run) for run in first.runs] for f in (lambda r: r.n_clips, lambda r: len(r.classes)))
    parts = [f"protocol {first.protocol}", f"{_span(classes)} classes", f"{_span(clips)} clips"]
    if len(first.runs) > 1:
        parts.append(f"{len(first.runs):,} runs")
    if first.seed is not None:
        parts.append(f"seed {first.seed}")
    unit = "%" if len(first.runs) == 1 else "%, mean ± sample standard deviation over runs"
    return f"{', '.join(parts)} ({unit})"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return lines
