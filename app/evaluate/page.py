"""The page Evaluate: the field's tables for a run, with what lies behind the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from app import state
from app.evaluate import asking, corrections, differences, paper, scoring, splits, unknown
from app.evaluate.rows import Row, controls, downloads, rows_of, same_clips, unbroken
from app.widgets import choosers
from app.widgets.words import plain, sentence
from cezsar.errors import CezsarError
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored

SPLITS, DIFFERENCE, OPEN, CORRECTED, TRUSTED = "splits", "difference", "open", "corrected", "trusted"
LOOKS = {
    SPLITS: "Splits and classes",
    DIFFERENCE: "Differences",
    OPEN: "None of these",
    CORRECTED: "Corrections",
    TRUSTED: "Reliability",
}


def page() -> None:
    st.title("Evaluate", anchor=False)
    st.markdown("How often a run names actions right that it was never trained on, and which ones it takes for others.")
    scoring.take_finished()
    try:
        evaluation()
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
    st.divider()
    with st.expander("What the paper reports", icon=":material/article:"):
        paper.show()
    with st.expander("Evaluate another data set", icon=":material/add:"):
        scoring.another()
    scoring.running()


def evaluation() -> None:
    """What is asked at the left, the table at the right, and below them what is looked at more closely."""
    left, right = st.columns([4, 9], gap="large")
    with left:
        item = choosers.scored_set()
        if item is None:
            return
        items = [item, *asking.others(item)]
        protocol = asking.protocol(item)
        wanted, weights = asking.modalities(items)
    if protocol is None:
        return
    with right:
        waiting = st.empty()
        cells = sum(each.about["clips"] * each.about["classes"] for each in items) * (1 + protocol.runs / 100)
        progress = (lambda share, text: waiting.progress(share, text=plain(text))) if cells > 2e6 else None
        rows = rows_of(items, protocol, wanted, weights, progress)
        waiting.empty()
        if not rows:
            st.info("Choose at least one modality that the run has.", icon=":material/info:")
            return
        compared_with = controls(item, protocol, items)
        figures(items, rows, compared_with, protocol)
    look = choosers.segments(
        "Look closer", LOOKS, state.LOOK,
        "**Splits and classes**: where the figures come from. **Differences**: whether one row is better than "
        "another, and how sure that is. **None of these**: clips of no class there is to choose from. "
        "**Corrections**: other ways to read classes off the same embeddings. **Reliability**: what scores are worth "
        "as probabilities.",
    )  # fmt: skip
    if look == SPLITS:
        splits.show([*rows, *compared_with])
    else:
        closer(look, rows, compared_with, protocol)


@st.fragment
def closer(look: str, rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """A part of the page that is computed when it is asked for; its own widgets run this and nothing else."""
    try:
        if look == DIFFERENCE:
            differences.show([*rows, *controls], protocol)
        elif look == OPEN:
            unknown.none_of_these(rows, protocol)
        elif look == CORRECTED:
            corrections.show(rows, protocol)
        else:
            unknown.reliability(rows, protocol)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")


def figures(items: Sequence[Scored], rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """The table, what to know about it, and the exports."""
    about = items[0].about
    dataset = about["dataset"]
    name = published.TITLES.get(published.identify(dataset), Path(dataset).name or dataset)
    name = "The stick-figure world" if dataset == "demo" else name
    others = published.beside(dataset, about["classes"], protocol.splits)
    caption = tables.title([row.result for row in rows])
    st.markdown(f"**{plain(name)}**, {plain(caption)}")
    if not same_clips(items):
        st.warning(
            "These runs were scored on different clips: do not compare their figures.", icon=":material/warning:"
        )
    lines = [
        [tables.line(row.name, row.result) for row in rows],
        [*(tables.line(row.name, row.result) for row in controls), tables.chance_line(rows[0].result)],
        [tables.published_line(row) for row in others],
    ]
    table(lines)
    if controls:
        st.caption(
            "In grey what is not recognition of actions: the place oracle is told where a clip takes place and knows "
            "how often each action occurs there; colour only is a run that sees colours and no shape or movement."
        )
    if others:
        st.caption("Below chance: figures published for this data set and as many classes.")
        if notes := sorted({row.note for row in others if not row.strict}):
            st.caption("\\* " + " ".join(map(plain, notes)))
    results = [replace(row.result, method=row.name) for row in (*rows, *controls)]
    caption = f"{name}, {tables.title([row.result for row in (*rows, *controls)])}"
    downloads(
        (
            ("CSV", partial(tables.to_csv, results), "evaluation.csv", "text/csv",
             "A line for each split of each row, as fractions."),
            ("JSON", partial(tables.to_json, results), "evaluation.json", "application/json",
             "Everything, with the classes of every split: another lab can run the same ones (List, in a file)."),
            ("Markdown", partial(tables.markdown, lines), "evaluation.md", "text/markdown", "The table, in percent."),
            ("LaTeX", partial(tables.latex, lines, caption, "tab:zsar"), "evaluation.tex", "application/x-tex",
             "The table for the booktabs package, in percent."),
        )
    )  # fmt: skip


def table(lines: Sequence[Sequence[tables.Line]]) -> None:
    """The field's table; the best of one's own figures in bold, all others in grey."""
    metrics = tables.columns(lines)
    best = {metric: max(line.figures[metric].mean for line in lines[0]) for metric in metrics}
    cells = []
    for number, block in enumerate(lines):
        for line in block:
            row = {"Run": plain(line.method), "Modality": plain(line.modality)}
            for metric, head in metrics.items():
                figure = line.figures.get(metric)
                text = "" if figure is None else unbroken(figure.percent())
                bold = number == 0 and len(block) > 1 and figure is not None and figure.mean == best[metric]
                row[head] = f"**{text}**" if bold else text
            row |= {"Classes": line.classes, "Clips": line.clips.replace(" to ", "–")}
            cells.append(row if number == 0 else {head: f":gray[{text}]" * bool(text) for head, text in row.items()})
    columns = {head: [row[head] for row in cells] for head in cells[0]}
    alt = "Accuracies of each run and modality, chance and published figures"
    st.table(columns, border="horizontal", hide_index=True, alt=alt)
