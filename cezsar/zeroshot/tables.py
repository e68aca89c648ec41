"""Results as tables: for the screen, for papers (Markdown, LaTeX), and for programs (CSV, JSON); and rankings of clips.

Tables for people are in percent with one decimal, with chance level beside them; files for programs hold fractions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar.atomic import write_text
from cezsar.data.documents import printable
from cezsar.zeroshot.published import Published
from cezsar.zeroshot.results import KS, METRICS, VERSION, Figure, Result, percent

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Ranking


def save_all(
    results: Sequence[Result], path: str | Path, more: dict[str, Any] | None = None, texts: dict[str, str] | None = None
) -> list[Path]:
    """Write results as JSON, and beside it CSV (a line for each run) and a Markdown table; each whole or not at all.

    Args:
        more: what else the JSON holds.
        texts: suffix -> content of files beside it, in place of the Markdown table.

    Returns:
        The paths. `load_all` reads the first, and `protocols.parse` takes the classes of every run from it.
    """
    if texts is None:
        rows = [[one.name, one.protocol, *(one.figure(name).percent() for name in METRICS)] for one in results]
        texts = {".md": markdown_table(["Modality", "Protocol", *METRICS.values()], rows)}
    content = {"": to_json(results, more), ".csv": to_csv(results)} | texts
    paths = [Path(path).with_suffix(suffix) if suffix else Path(path) for suffix in content]
    for file, text in zip(paths, content.values(), strict=True):
        write_text(file, text)
    return paths


def to_json(results: Sequence[Result], more: dict[str, Any] | None = None) -> str:
    """Everything, with the exact classes of every run: another lab can run the same ones."""
    value = {"cezsar": "results", "version": VERSION, "results": [result.to_dict() for result in results]}
    return json.dumps(value | (more or {}), ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(results: Sequence[Result]) -> str:
    """A line a run: what was scored, figures as fractions, the number of clips, and the classes of the run."""
    rows: list[dict[str, Any]] = []
    for one in results:
        about = {"method": one.method, "protocol": one.protocol, "seed": one.seed, "modality": one.modality}
        for number, run in enumerate(one.runs, start=1):
            counts = {"clips": run.n_clips, "undecided": run.undecided, "left_out": run.left_out}
            figures = run.figures() | {"chance": run.chance()}
            names = {"classes": "; ".join(run.classes)}
            rows.append(about | asdict(one.weights) | {"run": number} | figures | counts | names)
    return csv_of(rows)


def csv_of(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV; what a row lacks is empty."""
    import pandas as pd

    return str(pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n"))


# For the screen ------------------------------------------------------------------------------------------------------


def table(results: Sequence[Result]) -> str:
    """Results as lines of text: a row each, in percent, a block for each protocol, chance level below each block."""
    blocks: dict[tuple[str, int | None], list[Result]] = {}
    for result in results:
        blocks.setdefault((result.protocol, result.seed), []).append(result)
    return "\n\n".join(_block(rows) for rows in blocks.values())


def _block(results: Sequence[Result]) -> str:
    first = results[0]
    rows = [["", *(f"top-{k}" for k in KS), "per class", "α", "β", "γ"]]
    for result in results:
        figures = [result.figure(name).percent() for name in METRICS]
        rows.append([result.name, *figures, *(f"{weight:g}" for weight in asdict(result.weights).values())])
    rows.append(["chance", *(percent(first.chance(k)) for k in [*KS, 1]), "", "", ""])
    lines = [title(results), *aligned(rows)]
    if undecided := sum(run.undecided for result in results for run in result.runs):
        lines.append(f"{undecided:,} answers undecided (no evidence for any class), counted as wrong")
    if empty := sorted({name for run in first.runs for name in run.empty_classes}):
        shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        lines.append(f"{len(empty):,} classes without clips, not in the per-class mean: {shown}")
    return "\n".join(lines)


def title(results: Sequence[Result]) -> str:
    """What the figures of results of one protocol are: classes, clips, runs, seed, unit."""
    first, (classes, clips) = results[0], _sizes(results[0])
    parts = [f"protocol {first.protocol}", f"{classes} classes", f"{clips} clips"]
    if len(first.runs) > 1:
        parts.append(f"{len(first.runs):,} runs")
    if first.seed is not None:
        parts.append(f"seed {first.seed}")
    unit = "%" if len(first.runs) == 1 else "%, mean ± sample standard deviation over runs"
    return f"{', '.join(parts)} ({unit})"


def _sizes(result: Result) -> tuple[str, str]:
    """Classes and clips of a run: "10", or "96 to 104" where runs differ."""
    ends = [(min(n), max(n)) for n in ([len(run.classes) for run in result.runs], [run.n_clips for run in result.runs])]
    classes, clips = (f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends)
    return classes, clips


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return lines


# For papers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of a table for papers: a result, chance level, or what others have published."""

    method: str
    modality: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)  # those of `METRICS` that are known
    classes: str = ""  # of a split: "10", or "96 to 104" where splits differ
    clips: str = ""


def line(name: str, result: Result) -> Line:
    """A result as a line."""
    figures = {metric: result.figure(metric) for metric in METRICS}
    return Line(name, result.modality, figures, *_sizes(result))


def chance_line(result: Result) -> Line:
    """The line below results of the same protocol: what guessing gives."""
    figures = {f"top{k}": Figure(result.chance(k)) for k in KS} | {"mean_per_class": Figure(result.chance())}
    return Line("chance", "", figures, _sizes(result)[0])


def published_line(row: Published) -> Line:
    """What others have published as a line. The star says that it is not zero-shot in the strict sense."""
    training = f"{row.training} classes" if row.training.isdecimal() else row.training
    trained = "" if training == "none" else f"; trained on {training}"
    method = f"{row.method}{'' if row.strict else '*'} ({row.source}{trained})"
    return Line(method, row.modality, {"top1": row.accuracy}, f"{row.classes:,}")


def columns(blocks: Sequence[Sequence[Line]]) -> dict[str, str]:
    """The metrics that some line has, with their titles."""
    known = {metric for lines in blocks for one in lines for metric in one.figures}
    return {metric: title for metric, title in METRICS.items() if metric in known}


def _cells(blocks: Sequence[Sequence[Line]], missing: str) -> tuple[list[str], list[list[list[str]]]]:
    """The head of a table, and the rows of each block."""
    metrics = columns(blocks)
    rows = [
        [
            [one.method, one.modality]
            + [one.figures[metric].percent() if metric in one.figures else missing for metric in metrics]
            + [one.classes, one.clips]
            for one in lines
        ]
        for lines in blocks
    ]
    return ["Method", "Modality", *metrics.values(), "Classes", "Clips"], rows


def markdown(blocks: Sequence[Sequence[Line]]) -> str:
    """Blocks of lines (one's own, chance, published ones) as a Markdown table, in percent."""
    head, rows = _cells(blocks, "")
    return markdown_table(head, [row for lines in rows for row in lines])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0, 1)) -> str:
    """A Markdown table; columns `left` to the left, the others to the right."""
    rule = [" --- " if column in left else " ---: " for column in range(len(head))]
    clean = [[" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in rows]
    texts = [f"| {' | '.join(row)} |" for row in [head, *clean]]
    return "\n".join([texts[0], f"|{'|'.join(rule)}|", *texts[1:]]) + "\n"


def latex(blocks: Sequence[Sequence[Line]], caption: str = "", label: str = "") -> str:
    """Blocks of lines as a LaTeX table for the booktabs package, in percent, with a rule between blocks.

    Args:
        caption: plain text; what LaTeX would take for markup is escaped.
        label: for references.
    """
    head, rows = _cells(blocks, "–")
    texts = [[" & ".join(map(_latex, row)) + r" \\" for row in lines] for lines in [[head], *rows]]
    return "\n".join([
        "% \\usepackage{booktabs}", "\\begin{table}", "\\centering", f"\\caption{{{_latex(caption)}}}",
        *([f"\\label{{{label}}}"] if label else []),
        f"\\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}", "\\toprule",
        "\n\\midrule\n".join("\n".join(lines) for lines in texts if lines),
        "\\bottomrule", "\\end{tabular}", "\\end{table}\n",
    ])  # fmt: skip


_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
    | {">": r"\textgreater{}", "|": r"\textbar{}", "–": "--"}
    | {"α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "τ": r"$\tau$", "±": r"$\pm$", "×": r"$\times$"}
    | {character: f"\\{character}" for character in "&%$#_{}"}
)


def _latex(text: str) -> str:
    return " ".join(text.split()).translate(_LATEX)


# Rankings of clips ---------------------------------------------------------------------------------------------------

DIGITS = 6


def rankings_json(rankings: Sequence[Ranking]) -> str:
    """A list with an object for each clip."""
    return json.dumps([_record(ranking) for ranking in rankings], indent=2, ensure_ascii=False) + "\n"


def _record(ranking: Ranking) -> dict[str, Any]:
    odds = ranking.probabilities
    labels = [
        {
            "label": name,
            "similarity": round(similarity, DIGITS),
            "parts": {modality: round(part[index], DIGITS) for modality, part in ranking.contributions.items()},
            "probability": None if odds is None else round(odds[index], DIGITS),
        }
        for index, (name, similarity) in enumerate(ranking.labels)
    ]
    objects = [
        {"name": name, "definition": definition, "probability": round(probability, DIGITS)}
        for name, definition, probability in ranking.objects
    ]
    return {
        "clip": printable(ranking.path),
        "model": ranking.model,
        "labels": labels,
        "margin": round(ranking.margin, DIGITS),
        "objects": objects,
        "warning": ranking.warning,
        "none_of_these": ranking.none_of_these,
        "judgement": ranking.judgement,
    }


def rankings_csv(rankings: Sequence[Ranking]) -> str:
    """A line for each clip and label, with a column for each modality's part of the similarity.

    `probability`, `none_of_these` (yes or no) and `judgement` are empty where the run has no rejector.
    """
    modalities = dict.fromkeys(name for ranking in rankings for name in ranking.contributions)
    rows = [
        {
            "clip": record["clip"],
            "rank": rank,
            "label": label["label"],
            "similarity": _number(label["similarity"]),
            **{name: _number(label["parts"].get(name)) for name in modalities},
            "margin": _number(record["margin"]),
            "model": record["model"],
            "warning": record["warning"],
            "probability": _number(label["probability"]),
            "none_of_these": {True: "yes", False: "no", None: ""}[record["none_of_these"]],
            "judgement": record["judgement"],
        }
        for record in map(_record, rankings)
        for rank, label in enumerate(record["labels"], start=1)
    ]
    return csv_of(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.{DIGITS}f}"
