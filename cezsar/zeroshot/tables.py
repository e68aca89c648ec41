"""Results as tables: for the screen, for papers (Markdown, LaTeX), and for programs (CSV, JSON); and rankings of clips.

Tables for people are in percent with one decimal, with chance level beside them; files for programs hold fractions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar.atomic import write_text
from cezsar.data.documents import printable
from cezsar.zeroshot.evaluation import KS, METRICS, VERSION, Result, percent
from cezsar.zeroshot.published import Published

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Ranking


def save_all(
    results: Sequence[Result], path: str | Path, more: dict[str, Any] | None = None, texts: dict[str, str] | None = None
) -> list[Path]:
    """Write results as JSON, which `load_all` and `protocols.parse` read, and beside it CSV and Markdown.

    `more` joins the JSON; `texts`, suffix -> content of files beside it, stands in for the Markdown table.
    """
    if texts is None:
        rows = [[one.name, one.protocol, *(one.figure(name).percent() for name in METRICS)] for one in results]
        texts = {".md": markdown_table(["Modality", "Protocol", *METRICS.values()], rows)}
    paths = [Path(path), *(Path(path).with_suffix(suffix) for suffix in (".csv", *texts))]
    for file, text in zip(paths, [to_json(results, more), to_csv(results), *texts.values()], strict=True):
        write_text(file, text)
    return paths


def to_json(results: Sequence[Result], more: dict[str, Any] | None = None) -> str:
    """Everything, with the exact classes of every run: another lab can run the same ones."""
    value = {"cezsar": "results", "version": VERSION, "results": [result.to_dict() for result in results]}
    return json.dumps(value | (more or {}), ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(results: Sequence[Result]) -> str:
    """A line a run: what was scored, figures as fractions, the number of clips, and the classes of the run."""
    return csv_of([
        {"method": one.method, "protocol": one.protocol, "seed": one.seed, "modality": one.modality}
        | asdict(one.weights) | {"run": number} | run.figures() | {"chance": run.chance(), "clips": run.n_clips}
        | {"undecided": run.undecided, "left_out": run.left_out, "classes": "; ".join(run.classes)}
        for one in results for number, run in enumerate(one.runs, start=1)
    ])  # fmt: skip


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
    lines = []
    for rows in blocks.values():
        first = rows[0]
        cells = [["", *(f"top-{k}" for k in KS), "per class", "α", "β", "γ"]]
        for one in rows:
            weights = [f"{weight:g}" for weight in asdict(one.weights).values()]
            cells.append([one.name, *(one.figure(name).percent() for name in METRICS), *weights])
        cells.append(["chance", *(percent(first.chance(k)) for k in [*KS, 1]), "", "", ""])
        lines += [title(rows), *aligned(cells)]
        if undecided := sum(run.undecided for one in rows for run in one.runs):
            lines.append(f"{undecided:,} answers undecided (no evidence for any class), counted as wrong")
        if empty := sorted({name for run in first.runs for name in run.empty_classes}):
            shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
            lines.append(f"{len(empty):,} classes without clips, not in the per-class mean: {shown}")
        lines.append("")
    return "\n".join(lines[:-1])


def title(results: Sequence[Result]) -> str:
    """What the figures of results of one protocol are: classes, clips, runs, seed, unit."""
    first, several = results[0], len(results[0].runs) > 1
    classes, clips = _sizes(first)
    runs = f", {len(first.runs):,} runs" if several else ""
    seed = "" if first.seed is None else f", seed {first.seed}"
    unit = "%, mean ± sample standard deviation over runs" if several else "%"
    return f"protocol {first.protocol}, {classes} classes, {clips} clips{runs}{seed} ({unit})"


def _sizes(result: Result) -> list[str]:
    """Classes and clips of a run: "10", or "96 to 104" where runs differ."""
    counts = [len(run.classes) for run in result.runs], [run.n_clips for run in result.runs]
    return [" to ".join(f"{n:,}" for n in sorted({min(several), max(several)})) for several in counts]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return lines


# For papers ----------------------------------------------------------------------------------------------------------

Line = dict[str, str]
"""One line of a table for papers: a result, chance level, or what others have published; column -> cell, as known."""
COLUMNS = ("Method", "Modality", *METRICS.values(), "Classes", "Clips")


def line(name: str, result: Result) -> Line:
    figures = [result.figure(metric).percent() for metric in METRICS]
    return dict(zip(COLUMNS, [name, result.modality, *figures, *_sizes(result)], strict=True))


def chance_line(result: Result) -> Line:
    """The line below results of the same protocol: what guessing gives."""
    chances = [percent(result.chance(k)) for k in (*KS, 1)]
    return dict(zip(COLUMNS, ["chance", "", *chances, _sizes(result)[0], ""], strict=True))


def published_line(row: Published) -> Line:
    """What others have published. The star says that it is not zero-shot in the strict sense."""
    training = f"{row.training} classes" if row.training.isdecimal() else row.training
    trained = "" if training == "none" else f"; trained on {training}"
    method = f"{row.method}{'' if row.strict else '*'} ({row.source}{trained})"
    return {"Method": method, "Modality": row.modality, METRICS["top1"]: row.accuracy.percent(),
            "Classes": f"{row.classes:,}", "Clips": ""}  # fmt: skip


def columns(blocks: Sequence[Sequence[Line]]) -> list[str]:
    """Those of `COLUMNS` that some line has."""
    return [column for column in COLUMNS if any(column in one for lines in blocks for one in lines)]


def markdown(blocks: Sequence[Sequence[Line]]) -> str:
    """Blocks of lines (one's own, chance, published ones) as a Markdown table, in percent."""
    head = columns(blocks)
    return markdown_table(head, [[one.get(column, "") for column in head] for lines in blocks for one in lines])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0, 1)) -> str:
    """A Markdown table; columns `left` to the left, the others to the right."""
    rule = [" --- " if column in left else " ---: " for column in range(len(head))]
    clean = [[" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in rows]
    first, *others = [f"| {' | '.join(row)} |\n" for row in [head, *clean]]
    return "".join([first, f"|{'|'.join(rule)}|\n", *others])


def latex(blocks: Sequence[Sequence[Line]], caption: str = "", label: str = "") -> str:
    """Blocks of lines as a LaTeX table for the booktabs package, in percent, with a rule between blocks."""
    head = columns(blocks)
    rows = [[head], *([[one.get(column, "–") for column in head] for one in lines] for lines in blocks if lines)]
    texts = ["".join(" & ".join(map(_latex, row)) + " \\\\\n" for row in lines) for lines in rows]
    return (
        f"% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{_latex(caption)}}}\n"
        + (f"\\label{{{label}}}\n" if label else "")
        + f"\\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}\n\\toprule\n"
        + "\\midrule\n".join(texts)
        + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


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
    return json.dumps(list(map(_record, rankings)), indent=2, ensure_ascii=False) + "\n"


def _record(ranking: Ranking) -> dict[str, Any]:
    odds = ranking.probabilities
    return {
        "clip": printable(ranking.path), "model": ranking.model,
        "labels": [
            {"label": name, "similarity": round(similarity, DIGITS),
             "parts": {modality: round(part[at], DIGITS) for modality, part in ranking.contributions.items()},
             "probability": None if odds is None else round(odds[at], DIGITS)}
            for at, (name, similarity) in enumerate(ranking.labels)
        ],
        "margin": round(ranking.margin, DIGITS),
        "objects": [{"name": name, "definition": definition, "probability": round(probability, DIGITS)}
                    for name, definition, probability in ranking.objects],
        "warning": ranking.warning, "none_of_these": ranking.none_of_these, "judgement": ranking.judgement,
    }  # fmt: skip


def rankings_csv(rankings: Sequence[Ranking]) -> str:
    """A line for each clip and label, with a column for each modality's part of the similarity.

    `probability`, `none_of_these` (yes or no) and `judgement` are empty where the run has no rejector.
    """
    import pandas as pd

    modalities = dict.fromkeys(name for ranking in rankings for name in ranking.contributions)
    rows = [
        {"clip": record["clip"], "rank": rank, "label": label["label"], "similarity": label["similarity"],
         **{name: label["parts"].get(name) for name in modalities}, "margin": record["margin"],
         "model": record["model"], "warning": record["warning"], "probability": label["probability"],
         "none_of_these": {True: "yes", False: "no", None: ""}[record["none_of_these"]],
         "judgement": record["judgement"]}
        for record in map(_record, rankings) for rank, label in enumerate(record["labels"], start=1)
    ]  # fmt: skip
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format=f"%.{DIGITS}f"))
