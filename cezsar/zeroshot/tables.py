"""Results as tables: for the screen, and several of them for papers (Markdown, LaTeX) and programs (CSV, JSON).

Tables for people are in percent with one decimal, with chance level beside them; files for programs hold fractions.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from cezsar.errors import InputError
from cezsar.zeroshot.published import Published
from cezsar.zeroshot.results import VERSION, Figure, Result

Named = Sequence[tuple[str, Result]]
"""Results, each with the name of what was evaluated, such as the run's."""


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
        rows.append([result.name, *figures, *(f"{w:g}" for w in asdict(result.weights).values())])
    chance = [Figure(first.chance(k), None).percent() for k in [*ks, 1]]
    rows.append(["chance", *chance, "", "", ""])
    lines = [title(results), *aligned(rows)]
    if undecided := sum(run.undecided for result in results for run in result.runs):
        lines.append(f"{undecided:,} answers undecided (no evidence for any class), counted as wrong")
    if empty := sorted({name for run in first.runs for name in run.empty_classes}):
        shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        lines.append(f"{len(empty):,} classes without clips, not in the per-class mean: {shown}")
    return "\n".join(lines)


def title(results: Sequence[Result]) -> str:
    """What the figures of results of one protocol are: classes, clips, runs, seed, unit."""
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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return lines


# For papers and programs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of a table for papers: a result, chance level, or what others have published.

    Attributes:
        figures: metric -> fraction; "top1", "top5", ... and "mean_per_class", as far as they are known.
        classes, clips: of a split; "10", or "96 to 104" where splits differ.
    """

    method: str
    modality: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    classes: str = ""
    clips: str = ""


def line(name: str, result: Result) -> Line:
    """A result as a line."""
    classes, clips = [len(run.classes) for run in result.runs], [run.n_clips for run in result.runs]
    figures = {metric: result.figure(metric) for metric in result.metrics}
    return Line(name, result.modality, figures, _span(classes), _span(clips))


def chance_line(result: Result) -> Line:
    """The line below results of the same protocol: what guessing gives."""
    figures = {f"top{k}": Figure(result.chance(k), None) for k in result.ks}
    figures["mean_per_class"] = Figure(result.chance(), None)
    return Line("chance", "", figures, line("", result).classes)


def published_line(row: Published) -> Line:
    """What others have published as a line. The star says that it is not zero-shot in the strict sense."""
    training = f"{row.training} classes" if row.training.isdecimal() else row.training
    trained = "" if training == "none" else f"; trained on {training}"
    method = f"{row.method}{'' if row.strict else '*'} ({row.source}{trained})"
    return Line(method, row.modality, {"top1": row.accuracy}, f"{row.classes:,}")


def columns(blocks: Sequence[Sequence[Line]]) -> dict[str, str]:
    """Metrics that some line has, in the order of tables, with their titles: {"top1": "Top-1 (%)", ...}."""
    found = {metric for lines in blocks for line in lines for metric in line.figures}
    ks = sorted(int(metric.removeprefix("top")) for metric in found if metric.startswith("top"))
    titles = {f"top{k}": f"Top-{k} (%)" for k in ks}
    return titles | ({"mean_per_class": "Mean per class (%)"} if "mean_per_class" in found else {})


def markdown(blocks: Sequence[Sequence[Line]]) -> str:
    """Lines as a Markdown table, in percent; figures that are not known are left empty.

    Args:
        blocks: of lines: one's own, chance, published ones. Markdown shows no rule between them.
    """
    metrics = columns(blocks)
    heads = ["Method", "Modality", *metrics.values(), "Classes", "Clips"]
    rows = [heads]
    for line in _all(blocks):
        figures = [line.figures[metric].percent() if metric in line.figures else "" for metric in metrics]
        rows.append([_markdown(line.method), _markdown(line.modality), *figures, line.classes, line.clips])
    rule = f"|{' --- |' * 2}{' ---: |' * (len(heads) - 2)}"
    texts = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([texts[0], rule, *texts[1:]]) + "\n"


def latex(blocks: Sequence[Sequence[Line]], caption: str = "", label: str = "") -> str:
    """Lines as a LaTeX table for the booktabs package, in percent, with a rule between blocks.

    Args:
        caption: plain text; what LaTeX would take for markup is escaped.
        label: for references; letters, digits and -:. only.

    Raises:
        InputError: a label that LaTeX would not take.
    """
    if not re.fullmatch(r"[\w:.-]*", label, re.ASCII):
        raise InputError(f"label {label!r} cannot be referred to; use letters, digits, '-', ':' and '.'")
    metrics = columns(blocks)
    heads = ["Method", "Modality", *metrics.values(), "Classes", "Clips"]
    text = ["% \\usepackage{booktabs}", "\\begin{table}", "  \\centering"]
    text += [f"  \\caption{{{_latex(caption)}}}"] if caption else []
    text += [f"  \\label{{{label}}}"] if label else []
    text += [f"  \\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}", "    \\toprule"]
    text.append(f"    {' & '.join(_latex(head) for head in heads)} \\\\")
    for lines in blocks:
        text += ["    \\midrule"] if lines else []
        for line in lines:
            figures = [_latex_figure(line.figures.get(metric)) for metric in metrics]
            cells = [_latex(line.method), _latex(line.modality), *figures, line.classes, line.clips]
            text.append(f"    {' & '.join(cells)} \\\\")
    return "\n".join([*text, "    \\bottomrule", "  \\end{tabular}", "\\end{table}"]) + "\n"


def to_csv(named: Named) -> str:
    """A line for each run of each result, as `Result.to_csv`, with the name of what was evaluated before it."""
    rows: list[list[str]] = []
    for index, (name, result) in enumerate(named):
        first, *others = csv.reader(io.StringIO(result.to_csv()))
        rows += [first] if index == 0 else []
        rows += [[name, *other[1:]] for other in others]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def to_json(named: Named) -> str:
    """Everything, with the exact classes of every run; `results.load_all` and `protocols.parse` read it."""
    entries = [result.to_dict() | {"method": name} for name, result in named]
    text = json.dumps({"cezsar": "results", "version": VERSION, "results": entries}, ensure_ascii=False)
    return text + "\n"


def _all(blocks: Sequence[Sequence[Line]]) -> list[Line]:
    return [line for lines in blocks for line in lines]


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_figure(figure: Figure | None) -> str:
    return "--" if figure is None else f"${figure.percent().replace('±', chr(92) + 'pm')}$"
