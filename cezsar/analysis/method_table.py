"""Methods in one table: accuracies over the same splits, how far each is from the first, and what is published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.analysis.comparison import RESAMPLES, Comparison, compare
from cezsar.atomic import write_text
from cezsar.errors import InputError
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.methods import Prepared
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.published import Published
from cezsar.zeroshot.results import VERSION, Result
from cezsar.zeroshot.tables import Line


@dataclass(frozen=True)
class MethodTable:
    """Methods on one data set and protocol.

    Attributes:
        results: of each method; the first is the one that the others are compared with.
        comparisons: of every other method (a) with the first (b), in the order of `results`.
        published: figures of others for as many classes.
    """

    results: list[Result]
    comparisons: list[Comparison]
    published: list[Published]

    def lines(self) -> list[list[Line]]:
        """Blocks of lines for papers: one's own, chance, published ones."""
        own = [tables.line(result.method, result) for result in self.results]
        return [own, [tables.chance_line(self.results[0])], [tables.published_line(row) for row in self.published]]

    def text(self) -> str:
        """The table for a terminal, in percent and percentage points."""
        first = self.results[0]
        several = len(first.runs) > 1
        last = ["to the first", "95 %", "runs won" if several else "p"]
        rows = [["", "", *(f"top-{k}" for k in first.ks), "per class", *last]]
        for result, found in zip(self.results, [None, *self.comparisons], strict=True):
            figures = [result.figure(name).percent() for name in result.metrics]
            rows.append([result.method, result.modality, *figures, *_difference(found)])
        chance = self.lines()[1][0].figures
        rows.append(["chance", "", *(chance[name].percent() for name in first.metrics), "", "", ""])
        over = "videos and runs" if several else "videos; p of McNemar's exact test"
        text = [tables.title(self.results), *tables.aligned(rows)]
        if self.comparisons:
            text.append(f"to the first: points of top-1, paired clip by clip; 95 % bootstrap interval over {over}")
        if self.published:
            lines = [tables.published_line(row) for row in self.published]
            text += ["", "published, top-1"]
            text += tables.aligned([[line.method, line.modality, line.figures["top1"].percent()] for line in lines])
        if any(not row.strict for row in self.published):
            text.append("* not zero-shot in the strict sense")
        return "\n".join(text)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it; `results.load_all` and `protocols.parse` read it."""
        return {
            "cezsar": "results",
            "version": VERSION,
            "results": [result.to_dict() for result in self.results],
            "comparisons": [found.to_dict() for found in self.comparisons],
            "published": [asdict(row) | {"accuracy": row.accuracy._asdict()} for row in self.published],
        }

    def markdown(self) -> str:
        """The table of `lines`, and below it a sentence for each comparison."""
        sentences = "\n".join(f"- {found.summary()}" for found in self.comparisons)
        return tables.markdown(self.lines()) + (f"\n{sentences}\n" if sentences else "")

    def save(self, path: str | Path) -> list[Path]:
        """Write JSON, and beside it CSV (a line a run), Markdown and LaTeX; each whole or not at all.

        Raises:
            InputError: the path has the suffix of one of the other three.
        """
        path = Path(path)
        if path.suffix.lower() in (".csv", ".md", ".tex"):
            raise InputError(f"{path} would hold JSON; give it the suffix .json, .csv, .md and .tex are written beside")
        texts = {
            path: json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n",
            path.with_suffix(".csv"): tables.to_csv([(result.method, result) for result in self.results]),
            path.with_suffix(".md"): self.markdown(),
            path.with_suffix(".tex"): tables.latex(self.lines(), tables.title(self.results)),
        }
        for file, text in texts.items():
            write_text(file, text)
        return list(texts)


def method_table(
    methods: Sequence[Prepared],
    protocol: Protocol,
    dataset: str,
    rng: np.random.Generator,
    *,
    topk: Sequence[int] = (1, 5),
    resamples: int = RESAMPLES,
) -> MethodTable:
    """Evaluate methods on the same splits and compare each with the first.

    Args:
        methods: with different names, title and modality together.
        dataset: its name; published figures are looked up by it.
        rng: draws the bootstrap.

    Raises:
        InputError: no method, two of one name, or what `evaluate` and `compare` refuse.
    """
    if not methods:
        raise InputError("there is no method to evaluate; give a store and a run, captions, or both")
    results = [method.evaluate(protocol, topk) for method in methods]
    hits = [(result.name, method.hits(protocol)) for result, method in zip(results, methods, strict=True)]
    comparisons = [compare(other, hits[0], rng, resamples) for other in hits[1:]]
    n_classes = max(len(method.scores.class_names) for method in methods)
    return MethodTable(results, comparisons, published.beside(dataset, n_classes, protocol.splits))


def _difference(found: Comparison | None) -> list[str]:
    """Cells: points to the first, its interval, and runs won of several, or p of the sign test over videos."""
    if found is None:
        return ["", "", ""]
    interval = found.over_both or found.over_videos
    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    p = found.runs[0].videos.p
    spread = f"{found.splits.wins:,} of {len(found.runs):,}" if found.splits else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [f"{100 * found.difference:+.1f}", ends, spread]
