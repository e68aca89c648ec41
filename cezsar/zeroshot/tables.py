"""Results as tables: for the screen, for papers (Markdown, LaTeX), and for programs (CSV, JSON); and rankings of clips.

Tables for people are in percent with one decimal, with chance level beside them; files for programs hold fractions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cezsar.atomic import write_text
from cezsar.data.documents import enumerated, printable
from cezsar.formats import stamp
from cezsar.zeroshot.evaluation import KS, METRICS, Result, percent
from cezsar.zeroshot.published import Published

if TYPE_CHECKING:
    import pandas as pd

    from cezsar.zeroshot.classifier import Ranking


def save_all(
    results: Sequence[Result], path: str | Path, more: dict[str, Any] | None = None, texts: dict[str, str] | None = None
) -> list[Path]:
    """Write results as JSON, which `load_all` and `protocols.parse` read, and beside it CSV and Markdown.

    `more` joins the JSON; `texts`, suffix -> content of files beside it, stands in for the Markdown table.
    """
    texts = {"": to_json(results, more), ".csv": to_csv(results)} | (texts or {".md": markdown(frame(results))})
    for suffix, text in texts.items():
        write_text(Path(path).with_suffix(suffix) if suffix else path, text)
    return [Path(path).with_suffix(suffix) if suffix else Path(path) for suffix in texts]


def to_json(results: Sequence[Result], more: dict[str, Any] | None = None) -> str:
    """Everything, with the exact classes of every run: another lab can run the same ones."""
    value = stamp("results") | {"results": [result.to_dict() for result in results]} | (more or {})
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(results: Sequence[Result]) -> str:
    """A line a run: what was scored, figures as fractions, the number of clips, and the classes of the run."""
    return csv_of([
        {"method": one.method, "protocol": one.protocol, "seed": one.seed, "modality": one.modality}
        | asdict(one.weights) | {"run": number} | run.figures() | {"chance": run.chance(), "clips": run.n_clips}
        | {"undecided": run.undecided, "left_out": run.left_out, "classes": "; ".join(run.classes)}
        for one in results for number, run in enumerate(one.runs, start=1)
    ])  # fmt: skip


def csv_of(rows: Sequence[dict[str, Any]] | pd.DataFrame, **more: Any) -> str:
    """Rows as CSV; what a row lacks is empty. What a spreadsheet would take for a formula begins with an apostrophe."""
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, dtype=object)
    frame = frame.map(no_formula).rename(index=no_formula, columns=no_formula)
    return str(frame.to_csv(lineterminator="\n", **{"index": False, **more}))


def no_formula(cell: Any) -> Any:
    """A cell of a table; text that begins as formulas do, and is no number, with an apostrophe before it. Returns are
    new lines, which are put between quotes."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", "\n")
    number = re.fullmatch(r"[+-]\d+(\.\d+)?(e[+-]\d+)?", cell)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\n")) and not number else cell


# For people ----------------------------------------------------------------------------------------------------------


def frame(results: Sequence[Result], names: Sequence[str] | None = None) -> pd.DataFrame:
    """A row for each result of one protocol, as text, in percent, and one for chance level. With `names` of methods
    beside the modalities, and the numbers of classes and clips; else with the weights."""
    import pandas as pd

    rows = []
    for place, one in enumerate(results):
        figures = {title: one.figure(key).percent() for key, title in METRICS.items()}
        if names:
            sizes = dict(zip(("Classes", "Clips"), _sizes(one), strict=True))
            rows.append({"Method": names[place], "Modality": one.modality} | figures | sizes)
        else:
            weights = dict(zip("αβγ", map("{:g}".format, asdict(one.weights).values()), strict=True))
            rows.append({"Modality": one.name} | figures | weights)
    guessed = [percent(results[0].chance(k)) for k in (*KS, 1)]
    rows.append({"Method" if names else "Modality": "chance", **dict(zip(METRICS.values(), guessed, strict=True))})
    return pd.DataFrame(rows).fillna("")


def published_frame(rows: Sequence[Published]) -> pd.DataFrame:
    """What others have published; a star says that it is not zero-shot in the strict sense."""
    import pandas as pd

    found = []
    for row in rows:
        training = f"{row.training} classes" if row.training.isdecimal() else row.training
        trained = "" if training == "none" else f"; trained on {training}"
        method = f"{row.method}{'' if row.strict else '*'} ({row.source}{trained})"
        cells = [method, row.modality, row.accuracy.percent(), f"{row.classes:,}"]
        found.append(dict(zip(("Method", "Modality", METRICS["top1"], "Classes"), cells, strict=True)))
    return pd.DataFrame(found)


def table(results: Sequence[Result]) -> str:
    """Results as lines of text: a block for each protocol, chance level below each block."""
    blocks: dict[tuple[str, int | None], list[Result]] = {}
    for result in results:
        blocks.setdefault((result.protocol, result.seed), []).append(result)
    texts = []
    for rows in blocks.values():
        texts.append(f"{title(rows)}\n{text(frame(rows))}")
        if undecided := sum(run.undecided for one in rows for run in one.runs):
            texts[-1] += f"\n{undecided:,} answers undecided (no evidence for any class), counted as wrong"
        if empty := sorted({name for run in rows[0].runs for name in run.empty_classes}):
            told = f"{len(empty):,} classes without clips, not in the per-class mean: {enumerated(empty, 5)}"
            texts[-1] += f"\n{told}"
    return "\n\n".join(texts)


def text(frame: pd.DataFrame) -> str:
    """A table for the screen; the first column names its rows."""
    return str(frame.set_index(frame.columns[0]).rename_axis(None).to_string())


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


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table of text."""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in frame.to_numpy().tolist()]
    lines = [list(frame.columns), ["---"] * len(frame.columns), *cells]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


_GREEK = str.maketrans({"α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "τ": r"$\tau$", "±": r"$\pm$"})


def latex(frame: pd.DataFrame, caption: str = "", label: str = "") -> str:
    """A table for the LaTeX package booktabs."""
    escaped = caption.translate({ord(character): f"\\{character}" for character in "&%$#_{}"})
    return str(frame.to_latex(index=False, escape=True, caption=escaped, label=label)).translate(_GREEK)


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
        "notes": list(ranking.notes),
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
         "judgement": record["judgement"], "notes": "; ".join(record["notes"])}
        for record in map(_record, rankings) for rank, label in enumerate(record["labels"], start=1)
    ]  # fmt: skip
    return csv_of(pd.DataFrame(rows), float_format=f"%.{DIGITS}f")
