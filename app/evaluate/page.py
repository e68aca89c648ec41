"""The page Evaluate: the field's tables for a run, with what lies behind the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from app import state
from app.evaluate import asking, scoring
from app.evaluate.differences import corrections, differences
from app.evaluate.rows import Row, controls, downloads, rows_of, same_clips, table, unbroken
from app.evaluate.splits import splits
from app.evaluate.unknown import none_of_these, reliability
from app.parts import choosers, show
from app.parts.words import plain
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.evaluation import METRICS
from cezsar.zeroshot.protocols import HARD_15, Protocol
from cezsar.zeroshot.published import HARD, Published
from cezsar.zeroshot.scored import Scored

LOOKS = {
    "splits": "Splits and classes", "difference": "Differences", "open": "None of these", "corrected": "Corrections",
    "trusted": "Reliability",
}  # fmt: skip


def page() -> None:
    st.title("Evaluate", anchor=False)
    st.markdown("How often a run names actions right that it was never trained on, and which ones it takes for others.")
    scoring.take_finished()
    with show.explained():
        evaluation()
    st.divider()
    with st.expander("What the paper reports", icon=":material/article:"):
        paper()
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
        rows = rows_of(items, protocol, wanted, weights)
        if not rows:
            return show.info("Choose at least one modality that the run has.")
        compared_with = controls(item, protocol, items)
        results(items, rows, compared_with, protocol)
    look = choosers.segments(
        "Look closer", LOOKS, state.LOOK,
        "**Splits and classes**: where the figures come from. **Differences**: is one row better, and how sure is "
        "that? **None of these**: clips of no class to choose from. **Corrections**: other ways to read classes off "
        "the same embeddings. **Reliability**: what scores are worth as probabilities.",
    )  # fmt: skip
    if look == "splits":
        splits([*rows, *compared_with])
    else:
        closer(look, rows, compared_with, protocol)
    return None


@st.fragment
def closer(look: str, rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """A part computed when it is asked for; its own widgets run this and nothing else."""
    with show.explained():
        if look == "difference":
            differences([*rows, *controls], protocol)
        else:
            {"open": none_of_these, "corrected": corrections, "trusted": reliability}[look](rows, protocol)


def results(items: Sequence[Scored], rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """The table, what to know about it, and the exports."""
    dataset, n_classes = (items[0].about[key] for key in ("dataset", "classes"))
    name = published.TITLES.get(published.identify(dataset), Path(dataset).name or dataset)
    name = "The stick-figure world" if dataset == "demo" else name
    others = published.beside(dataset, n_classes, protocol.splits)
    st.markdown(f"**{plain(name)}**, {plain(tables.title([row.result for row in rows]))}")
    if not same_clips(items):
        words = "These runs were scored on different clips: do not compare their figures."
        st.warning(words, icon=":material/warning:")
    lines = [
        [tables.line(row.name, row.result) for row in rows],
        [*(tables.line(row.name, row.result) for row in controls), tables.chance_line(rows[0].result)],
        [tables.published_line(row) for row in others],
    ]
    # The best of one's own figures is bold, all others are grey.
    means, cells = {title: [row.result.figure(m).mean for row in rows] for m, title in METRICS.items()}, []
    for number, block in enumerate(lines):
        for place, line in enumerate(block):
            row = {"Run": plain(line["Method"]), "Modality": plain(line["Modality"])}
            for head in tables.columns(lines)[2:]:
                text = unbroken(line.get(head, "")) if head in means else line.get(head, "").replace(" to ", "–")
                best = head in means and number == 0 and len(block) > 1 and means[head][place] == max(means[head])
                row[head] = f"**{text}**" if best else text
            cells.append(row if number == 0 else {head: f":gray[{text}]" * bool(text) for head, text in row.items()})
    table(cells, alt="Accuracies of each run and modality, chance and published figures")
    if controls:
        st.caption(
            "In grey what is not recognition of actions: the place oracle is told where a clip takes place and knows "
            "how often each action occurs there; colour only is a run that sees colours and no shape or movement."
        )
    if others:
        st.caption("Below chance: figures published for this data set and as many classes.")
        if notes := sorted({row.note for row in others if not row.strict}):
            st.caption("\\* " + " ".join(map(plain, notes)))
    kept = [replace(row.result, method=row.name) for row in (*rows, *controls)]
    latex = partial(tables.latex, lines, f"{name}, {tables.title(kept)}", "tab:zsar")
    json = partial(tables.to_json, kept)
    downloads(
        "evaluation",
        ("CSV", partial(tables.to_csv, kept), ".csv", "A line for each split of each row, as fractions."),
        ("JSON", json, ".json", "Everything. Given back under List, its splits run again."),
        ("Markdown", partial(tables.markdown, lines), ".md", "The table, in percent."),
        ("LaTeX", latex, ".tex", "The table for booktabs, in percent."),
    )


def paper() -> None:
    """Tables 1 and 2 of the paper, its hard classes, and later work that is not zero-shot in the strict sense."""
    strict = [row for row in published.ROWS if row.strict]
    ucf = [row for row in strict if row.dataset == "ucf101" and row.classes in (101, 50, 20)]
    hard = [row for row in strict if row.protocol == HARD or row.classes == len(HARD_15)]
    parts = {
        "UCF-101": (_by_size(ucf),
            "Table 1 of Estevam et al., CEZSAR, ICPR 2026: top-1 accuracy in percent by the number of test classes; 50 "
            "and 20 are drawn at random, and ± is the deviation over these draws. 664, 605 and 595 are classes of "
            "Kinetics and other sets."),
        "Kinetics-400": (_by_size([row for row in strict if row.dataset == "kinetics400"]),
            "Table 2 of the same paper. CEZSAR's figures are over the 242,658 clips that could still be had."),
        "Hard classes": (_listed(hard),
            "Section 5: 15 classes of UCF-101 that look much alike, in six groups, beside 15 at random (30 draws): "
            f"{', '.join(HARD_15)}."),
        "Later work": (_listed([row for row in published.ROWS if not row.strict]),
            "On UCF-101, with models of the CLIP family. They have seen test classes, or close relatives, with labels: "
            "most were fine-tuned on Kinetics-400. So they are not zero-shot in the strict sense."),
    }  # fmt: skip
    for tab, (cells, words) in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            table(cells, alt="Published accuracies")
            st.caption(words)


def _by_size(rows: Sequence[Published]) -> list[dict[str, str]]:
    """A line a method, a column for each number of test classes with the best in bold."""
    sizes = sorted({row.classes for row in rows}, reverse=True)
    best = {size: max(row.accuracy.mean for row in rows if row.classes == size) for size in sizes}
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        start = {"Method": plain(row.method), "Modality": row.modality, "Trained on classes": row.training}
        empty = start | {f"{size} classes": "–" for size in sizes} | {"Source": plain(row.source)}
        text, key = row.accuracy.percent(), (row.method, row.modality, row.source, row.training)
        text = f"**{text}**" if row.accuracy.mean == best[row.classes] else text
        lines.setdefault(key, empty)[f"{row.classes} classes"] = text
    return list(lines.values())


def _listed(rows: Sequence[Published]) -> list[dict[str, str]]:
    return [
        {"Method": plain(row.method), "Modality": row.modality or "–", "Trained on classes": row.training,
         "Tested on": row.protocol, "Top-1 (%)": row.accuracy.percent(), "Source": plain(row.source)}
        for row in rows
    ]  # fmt: skip
