"""Pieces of the page Evaluate: what is asked, the table, splits, classes, exports."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from app import state
from app.confusion.matrices import counts_figure
from app.services import evaluate as services
from app.services import scored
from app.services.evaluate import ALL, DRAWN, FUSED, HALF, LISTED, Row
from app.widgets import choosers
from app.widgets.words import plain, sentence
from cezsar.data.labels import parse_labels
from cezsar.errors import CezsarError
from cezsar.report import figures
from cezsar.report.figures import PLOT, percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot import tables
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import MAX_RUNS, Protocol, all_classes, named, parse, random_classes
from cezsar.zeroshot.published import Published
from cezsar.zeroshot.scored import Scored

SYMBOLS = {"VE": "α", "O": "β", "C": "γ"}
MODALITIES = {"VE": "VE", "O": "O", "C": "C", FUSED: "fused"}
KINDS = {ALL: "All", HALF: "Half", DRAWN: "Random", LISTED: "List"}
SPLITS, DIFFERENCE, OPEN, CORRECTED, TRUSTED = "splits", "difference", "open", "corrected", "trusted"
LOOKS = {
    SPLITS: "Splits and classes",
    DIFFERENCE: "Differences",
    OPEN: "None of these",
    CORRECTED: "Corrections",
    TRUSTED: "Reliability",
}
PICKED, TYPED, IN_FILE = "picked", "typed", "file"
CHART = "splits-chart"
SEEN = "splits-chart-seen"  # the click that was answered last


# What is asked -------------------------------------------------------------------------------------------------------


def others(item: Scored) -> list[Scored]:
    """Further runs on the same data set, to stand beside `item`."""
    there = services.companions(item, scored.scored_sets())
    if not there:
        return []
    _only(state.COMPARED, list(there))
    chosen = st.multiselect(
        "Compare with",
        list(there),
        format_func=lambda name: there[name].by,
        key=state.COMPARED,
        bind="query-params",
        persist_state="session",
        placeholder="other runs on the same clips",
        help="Every run is tested on the same splits, so that the figures can be compared split by split.",
    )
    return [there[name] for name in chosen]


def protocol(item: Scored) -> Protocol | None:
    """The protocol as chosen; None, and a word about it, if there is nothing to go by yet."""
    names = scored.scores(item).class_names
    kind = st.segmented_control(
        "Protocol",
        list(KINDS),
        default=HALF if len(names) > 1 else ALL,
        format_func=KINDS.__getitem__,
        required=True,
        key=state.PROTOCOL,
        bind="query-params",
        persist_state="session",
        width="stretch",
        help="Which classes a clip may be taken for. **All**: every class of the data set, once. **Half**: half of "
        "them, drawn at random, many times. **Random**: as many as you say. **List**: the classes of a list, such as "
        "hard-15 or TruZe. Only clips of these classes are tested.",
    )
    try:
        if kind == ALL:
            return all_classes(names)
        if kind == LISTED:
            return _listed(names)
        return _random(names, kind)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return None


def _random(names: Sequence[str], kind: str) -> Protocol:
    columns = st.columns(3 if kind == DRAWN else 2)
    drawn = len(names) // 2
    if kind == DRAWN:
        st.session_state[state.DRAW] = max(1, min(len(names), st.session_state.get(state.DRAW, round(len(names) / 5))))
        drawn = columns[0].number_input(
            "Classes", 1, len(names), key=state.DRAW, bind="query-params", persist_state="session",
            help=f"How many of the {len(names):,} classes each split has.",
        )  # fmt: skip
    splits = columns[-2].number_input(
        "Splits", 1, MAX_RUNS, 50, key=state.SPLITS, bind="query-params", persist_state="session",
        help="How many times classes are drawn. The papers draw 50 times.",
    )  # fmt: skip
    seed = columns[-1].number_input(
        "Seed", 0, 2**31 - 1, 0, key=state.SEED, bind="query-params", persist_state="session",
        help="The same seed draws the same classes, here and with `cezsar evaluate --seed`.",
    )  # fmt: skip
    if kind == HALF:
        return parse("half", names, runs=int(splits), seed=int(seed))
    return random_classes(names, int(drawn), int(splits), int(seed))


def _listed(names: Sequence[str]) -> Protocol | None:
    way = st.segmented_control(
        "The list is",
        [PICKED, TYPED, IN_FILE],
        default=PICKED,
        format_func={PICKED: "picked", TYPED: "typed", IN_FILE: "in a file"}.__getitem__,
        required=True,
        key=state.LISTED_BY,
        bind="query-params",
        persist_state="session",
        width="stretch",
    )
    if way == PICKED:
        groups = {group: list(members) for group, members in HARD_GROUPS.items() if set(members) <= set(names)}
        if chosen := choosers.classes("Classes", names, groups | choosers.own_among(names)):
            return named("list", chosen, names)
    elif way == TYPED:
        typed = st.text_area(
            "Classes", key=state.TYPED_CLASSES, persist_state="session", height=120,
            placeholder=", ".join(names[:3]) + ", ...",
            help="With commas between them or one to a line, in any spelling.",
        )  # fmt: skip
        if typed and typed.strip():
            return named("list", parse_labels(typed).names, names)
    else:
        upload = st.file_uploader(
            "Class list, split or result", type=["json", "txt"], key="list-file",
            help='A text file with one class to a line, a JSON list, a split {"testing": [...]}, or '
            "the JSON of an evaluation, whose splits are then run again.",
        )  # fmt: skip
        if upload is not None:
            return services.from_upload(upload.name, upload.getvalue(), names)
    st.caption("Give at least one class, and the table appears.")
    return None


def modalities(items: Sequence[Scored]) -> tuple[list[str], Weights | None]:
    """Which rows the table has for each run, and the weights of the fused one; None leaves each run its own."""
    has = [name for name in SYMBOLS if any(name in item.about["modalities"] for item in items)]
    options = [*has, FUSED] if len(has) > 1 else has
    _only(state.EVALUATED, options)
    wanted = st.pills(
        "Rows",
        options,
        selection_mode="multi",
        default=options,
        format_func=MODALITIES.__getitem__,
        key=state.EVALUATED,
        bind="query-params",
        persist_state="session",
        help="VE: what a clip looks like. O: the objects recognised in it. C: its captions. Fused: "
        "VidE = α VE + β O + γ C (Eq. 9 of the paper); the nearest class description wins (Eq. 8).",
    )
    if FUSED not in wanted:
        return list(wanted), None
    own = st.toggle(
        "Each run's own weights", True, key=state.OWN_WEIGHTS, bind="query-params", persist_state="session",
        help="α, β and γ of Eq. 9 as they stand in the run; otherwise the ones you give, for all runs.",
    )  # fmt: skip
    if own:
        for item in items:
            st.caption(f"{plain(item.by)}: {_weights(item.weights, item.about['modalities'])}")
        return list(wanted), None
    given = {}
    for column, name in zip(st.columns(len(has)), has, strict=True):
        given[name] = column.number_input(
            f"{SYMBOLS[name]} ({name})", 0.0, 100.0, items[0].weights.of(name), 0.05, format="%.2f",
            key=state.WEIGHT_OF[name], bind="query-params", persist_state="session",
            help="Only the proportions of the weights matter.",
        )  # fmt: skip
    return list(wanted), Weights(*(given.get(name, 0.0) for name in SYMBOLS))


def _weights(weights: Weights, has: Sequence[str]) -> str:
    return ", ".join(f"{SYMBOLS[name]} = {weights.of(name):g}" for name in SYMBOLS if name in has)


def keep_known(key: str, options: Sequence[str], first: str) -> None:
    """Before a box is drawn: choose its first option where the old choice is gone. The browser must be told so."""
    if key in st.session_state and st.session_state[key] not in options:
        st.session_state[key] = first


def _only(key: str, options: Sequence[str]) -> None:
    """Forget what was chosen for another data set."""
    chosen = st.session_state.get(key) or []
    if not set(chosen) <= set(options):
        st.session_state[key] = [name for name in chosen if name in options]


# The table -----------------------------------------------------------------------------------------------------------


def blocks(rows: Sequence[Row], controls: Sequence[Row], published: Sequence[Published]) -> list[list[tables.Line]]:
    """Lines of the table: one's own, what they are compared with, and what others have published."""
    return [
        [tables.line(row.name, row.result) for row in rows],
        [*(tables.line(row.name, row.result) for row in controls), tables.chance_line(rows[0].result)],
        [tables.published_line(row) for row in published],
    ]


def table(lines: Sequence[Sequence[tables.Line]]) -> None:
    """The field's table; the best of one's own figures in bold."""
    metrics = tables.columns(lines)
    best = {metric: max(line.figures[metric].mean for line in lines[0]) for metric in metrics}
    cells = []
    for number, block in enumerate(lines):
        for line in block:
            row = {"Run": plain(line.method), "Modality": plain(line.modality)}
            for metric, head in metrics.items():
                figure = line.figures.get(metric)
                text = "" if figure is None else figure.percent().replace(" ", "\N{NO-BREAK SPACE}")
                bold = number == 0 and len(block) > 1 and figure is not None and figure.mean == best[metric]
                row[head] = f"**{text}**" if bold else text
            row |= {"Classes": line.classes, "Clips": line.clips.replace(" to ", "–")}
            cells.append(row if number == 0 else {head: f":gray[{text}]" * bool(text) for head, text in row.items()})
    st.table(
        {head: [row[head] for row in cells] for head in cells[0]},
        border="horizontal",
        hide_index=True,
        alt="Accuracies of each run and modality, chance and published figures",
    )


def published_notes(published: Sequence[Published]) -> None:
    """What to know before comparing with published rows."""
    if not published:
        return
    st.caption("Below chance: figures published for this data set and as many classes.")
    if notes := sorted({row.note for row in published if not row.strict}):
        st.caption("\\* " + " ".join(plain(note) for note in notes))


def exports(rows: Sequence[Row], lines: Sequence[Sequence[tables.Line]], name: str) -> None:
    """The same figures as files, made when asked for."""
    results = [replace(row.result, method=row.name) for row in rows]
    caption = f"{name}, {tables.title([row.result for row in rows])}"
    kinds = (
        ("CSV", partial(tables.to_csv, results), "csv", "text/csv", "A line for each split of each row, as fractions."),
        ("JSON", partial(tables.to_json, results), "json", "application/json",
         "Everything, with the classes of every split: another lab can run the same ones (List, in a file)."),
        ("Markdown", partial(tables.markdown, lines), "md", "text/markdown", "The table, in percent."),
        ("LaTeX", partial(tables.latex, lines, caption, "tab:zsar"), "tex", "application/x-tex",
         "The table for the booktabs package, in percent."),
    )  # fmt: skip
    with st.container(horizontal=True):
        for title, make, suffix, mime, words in kinds:
            st.download_button(
                title, make, f"evaluation.{suffix}", mime, key=f"export-{suffix}", icon=":material/download:",
                on_click="ignore", help=words,
            )  # fmt: skip


def look() -> str:
    """What is shown below the table; the others are computed when they are asked for."""
    chosen = st.segmented_control(
        "Look closer",
        list(LOOKS),
        default=SPLITS,
        format_func=LOOKS.__getitem__,
        required=True,
        key=state.LOOK,
        bind="query-params",
        persist_state="session",
        help="**Splits and classes**: where the figures come from. **Differences**: whether one row is better than "
        "another, and how sure that is. **None of these**: clips of no class there is to choose from. "
        "**Corrections**: other ways to read classes off the same embeddings. **Reliability**: what scores are worth "
        "as probabilities.",
    )
    return str(chosen)


# Splits --------------------------------------------------------------------------------------------------------------


def take_click(rows: Sequence[Row]) -> None:
    """Turn a new click on a point into a choice of row and split, before their widgets are drawn."""
    clicked = st.session_state.get(CHART)
    points = clicked["selection"]["points"] if clicked else []
    spot = [int(value) for value in points[0]["customdata"]] if points else []
    if spot != st.session_state.get(SEEN, []):
        st.session_state[SEEN] = spot
        if spot and spot[0] < len(rows) and spot[1] < len(rows[spot[0]].result.runs):
            st.session_state[state.ROW] = rows[spot[0]].title
            st.session_state[state.SPLIT] = spot[1] + 1


def choose_row(rows: Sequence[Row]) -> int:
    """Whose splits and classes are looked at."""
    titles = [row.title for row in rows]
    first = [row.title for row in rows if row.item is rows[0].item and not row.control][-1]
    keep_known(state.ROW, titles, first)
    title = st.selectbox(
        "Row", sorted(titles, key=lambda title: title != first), key=state.ROW, bind="query-params",
        help="The row of the table that what follows is about.",
    )  # fmt: skip
    return titles.index(title)


def choose_split(row: Row) -> int:
    """Which split is looked at, from 0; the worst one at first."""
    order = sorted(range(len(row.top1)), key=row.top1.__getitem__)
    current = st.session_state.get(state.SPLIT)
    if current is not None:
        st.session_state[state.SPLIT] = max(1, min(len(order), int(current)))
    number = st.number_input(
        "Split", 1, len(order), None if current is not None else order[0] + 1, key=state.SPLIT, bind="query-params",
        help="Or click a point above.",
    )  # fmt: skip
    ends = {"Worst": order[0], "Median": order[len(order) // 2], "Best": order[-1]}
    with st.container(horizontal=True, gap="small"):
        for name, at in ends.items():
            st.button(name, key=f"split-{name}", on_click=state.put, args=(state.SPLIT, at + 1), width="content")
    return int(number or order[0] + 1) - 1


def splits(rows: Sequence[Row], row: int, split: int) -> None:
    """Every split of every row as a point."""
    strips = [figures.Strip(row.title, row.top1, row.result.figure().percent(), row.control) for row in rows]
    ranges = "; ".join(f"{row.title} {percent(min(row.top1))} to {percent(max(row.top1))}" for row in rows)
    st.plotly_chart(
        figures.splits(strips, rows[0].result.chance(), "top-1 accuracy of a split (%); dotted: chance", (row, split)),
        key=CHART,
        on_select="rerun",
        selection_mode="points",
        config=figures.CLICKED,
        alt=f"Top-1 accuracy of each random split. {ranges}",
    )


def split_in_full(row: Row, split: int) -> None:
    """A split's classes, their accuracies with the worst first, and its confusion matrix."""
    run = row.result.runs[split]
    accuracies = run.per_class()
    counts = {name: (hits, clips) for name, hits, clips in zip(run.classes, run.hits[1], run.clips, strict=True)}
    order = sorted(accuracies, key=lambda name: (accuracies[name], name))
    said = f"top-1 **{percent(run.top1)}** · mean per class **{percent(run.mean_per_class)}**"
    if 5 in run.hits:
        said += f" · top-5 **{percent(run.top5)}**"
    st.markdown(f"{said} · {run.n_clips:,} clips of {len(run.classes):,} classes · chance {percent(run.chance())}")
    if run.empty_classes:
        st.caption(f"{len(run.empty_classes):,} classes have no clips: {plain(', '.join(run.empty_classes[:5]))}.")
    bars, matrix = st.columns([5, 6], gap="medium")
    with bars:
        st.markdown("**How often right, the worst first** :gray[· dotted: the mean]")
        shown = order[: figures.MOST_CELLS]
        st.plotly_chart(
            figures.classes([(name, accuracies[name], *counts[name]) for name in shown], run.mean_per_class),
            key="classes-chart",
            config=PLOT,
            alt="Accuracy of each class: " + ", ".join(f"{name} {accuracies[name]:.0%}" for name in shown),
        )
        if len(shown) < len(order):
            st.caption(f"The {len(shown)} worst of {len(order):,}; all of them are in the table below.")
    with matrix:
        st.markdown("**What they were taken for** :gray[· clips]")
        _confusion(row, order)


def _confusion(row: Row, classes: Sequence[str]) -> None:
    if row.item is None:
        st.caption("The place oracle is no model: it has no confusion matrix.")
        return
    if len(classes) > figures.MOST_CELLS:
        st.caption(f"{len(classes):,} classes are too many to be read here; the page Confusion shows them all.")
    else:
        st.plotly_chart(
            counts_figure(services.confusion(row.item, row.result.weights, classes), classes),
            key="confusion-chart",
            theme=None,
            config=PLOT,
            alt="Confusion matrix of the split: true classes by predicted ones",
        )
    everything = len(classes) == row.item.about["classes"]
    st.page_link(
        "../pages/confusion.py",
        label="Play the confused clips on the page Confusion",
        icon=":material/grid_on:",
        query_params={state.ON: row.item.name}
        | ({} if everything else {state.WHICH: "Chosen", state.CLASSES: classes}),
    )


def per_class(rows: Sequence[Row], chosen: int) -> None:
    """Every class over all splits that tested it, the worst first; other rows beside the chosen one."""
    row = rows[chosen]
    figures = row.result.per_class()
    tested = {name: sum(name in run.per_class() for run in row.result.runs) for name in figures}
    clips = {name: n for run in row.result.runs for name, n in zip(run.classes, run.clips, strict=True)}
    columns: dict[str, list[object]] = {
        "class": list(figures),
        "right": [100 * figure.mean for figure in figures.values()],
    }
    if len(row.result.runs) > 1:
        columns["deviation"] = [None if f.std is None else 100 * f.std for f in figures.values()]
        columns["splits"] = [tested[name] for name in figures]
    columns["clips"] = [clips[name] for name in figures]
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        "right": st.column_config.ProgressColumn(
            f"{row.title} (%)", format="%.1f", min_value=0, max_value=100, help="Top-1, mean over splits."
        ),
        "deviation": number("±", format="%.1f", help="Sample standard deviation over the splits that tested it."),
        "splits": number(help="In how many splits it was among the classes to choose from."),
        "clips": number(help="Clips of this class."),
    }
    for index, other in enumerate(rows):
        if index != chosen and len(columns) < 10:
            theirs = other.result.per_class()
            columns[f"{other.title} (%)"] = [100 * theirs[name].mean if name in theirs else None for name in figures]
            config[f"{other.title} (%)"] = number(format="%.1f")
    st.dataframe(columns, hide_index=True, column_config=config, alt="Accuracy of each class, the worst first")


def spread(row: Row) -> str:
    """How far apart the splits are, in words."""
    low, high, middle = min(row.top1), max(row.top1), statistics.median(row.top1)
    return (
        f"{len(row.top1):,} random choices of classes, the same for every row. {plain(row.title)}: from {percent(low)} "
        f"to {percent(high)}, median {percent(middle)}. Click a point to see its classes below."
    )
