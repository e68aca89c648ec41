"""Split by split, one split in full, and every class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from app import cache, state
from app.evaluate.rows import Row, choose_row
from app.parts import scored, show
from app.parts.matrices import counts_figure
from app.parts.words import plain
from cezsar.report import figures
from cezsar.report.figures import percent
from cezsar.zeroshot.evaluation import confusion_matrix

CHART = "splits-chart"
SEEN = "splits-chart-seen"  # the click that was answered last


def splits(rows: Sequence[Row]) -> None:
    several = len(rows[0].result.runs) > 1
    # A new click on a point chooses row and split, before their widgets are drawn.
    clicked = st.session_state.get(CHART)
    points = clicked["selection"]["points"] if clicked else []
    spot = [int(value) for value in points[0]["customdata"]] if points else []
    if spot != st.session_state.get(SEEN, []):
        st.session_state[SEEN] = spot
        if spot and spot[0] < len(rows) and spot[1] < len(rows[spot[0]].top1):
            st.session_state[state.ROW], st.session_state[state.SPLIT] = rows[spot[0]].title, spot[1] + 1
    st.subheader("Split by split" if several else "Class by class", anchor=False)
    left, right = st.columns([4, 9], gap="large")
    with left:
        row = choose_row(rows)
        one, split = rows[row], choose_split(rows[row]) if several else 0
    if several:
        with right:
            words = "random choices of classes, the same for every row. Click a point to see its classes below."
            st.caption(f"{len(one.top1):,} {words}")
            strips = [figures.Strip(it.title, it.top1, it.result.figure().percent(), it.control) for it in rows]
            title = "top-1 accuracy of a split (%); dotted: chance"
            ranges = "; ".join(f"{it.title} {percent(min(it.top1))} to {percent(max(it.top1))}" for it in rows)
            figure = figures.splits(strips, one.result.chance(), title, (row, split))
            show.figure(figure, CHART, f"Top-1 accuracy of each random split. {ranges}", clicked=True)
    in_full(one, split)
    st.subheader("Every class, over all splits" if several else "Every class", anchor=False)
    per_class(rows, row)


def choose_split(row: Row) -> int:
    """Which split is looked at, from 0; the worst one at first."""
    order = sorted(range(len(row.top1)), key=row.top1.__getitem__)
    current, usual = st.session_state.get(state.SPLIT), order[0] + 1
    if current is not None:
        st.session_state[state.SPLIT] = max(1, min(len(order), int(current)))
    number = st.number_input(
        "Split", 1, len(order), None if current is not None else usual, key=state.SPLIT, bind="query-params",
        help="Or click a point in the figure.",
    )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        for name, at in {"Worst": order[0], "Median": order[len(order) // 2], "Best": order[-1]}.items():
            state.setter(name, f"split-{name}", state.SPLIT, at + 1)
    return int(number or usual) - 1


def in_full(row: Row, split: int) -> None:
    """A split's classes, their accuracies with the worst first, and its confusion matrix."""
    run = row.result.runs[split]
    accuracies, clips = run.per_class(), dict(zip(run.classes, zip(run.hits[1], run.clips, strict=True), strict=True))
    order = sorted(accuracies, key=lambda name: (accuracies[name], name))
    top5 = f" · top-5 **{percent(run.top5)}**" if 5 in run.hits else ""
    st.markdown(
        f"top-1 **{percent(run.top1)}** · mean per class **{percent(run.mean_per_class)}**{top5} · {run.n_clips:,} "
        f"clips of {len(run.classes):,} classes · chance {percent(run.chance())}"
    )
    if run.empty_classes:
        st.caption(f"{len(run.empty_classes):,} classes have no clips: {plain(', '.join(run.empty_classes[:5]))}.")
    bars, matrix = st.columns([5, 6], gap="medium")
    with bars:
        first = order[: figures.MOST_CELLS]
        worst = f"the {len(first)} worst" if len(first) < len(order) else "the worst first"
        st.markdown(f"**How often right, {worst}** :gray[· dotted: the mean]")
        drawn = figures.classes([(name, accuracies[name], *clips[name]) for name in first], run.mean_per_class)
        said = ", ".join(f"{name} {accuracies[name]:.0%}" for name in first)
        show.figure(drawn, "classes-chart", f"Accuracy of each class: {said}")
    if row.oracle is None:  # which is no model
        with matrix:
            confusion(row, order)


def confusion(row: Row, classes: Sequence[str]) -> None:
    st.markdown("**What they were taken for** :gray[· clips]")
    item, weights = row.item, row.result.weights
    query: dict[str, Any] = {state.ON: item.name}
    if len(classes) <= figures.MOST_CELLS:
        make = partial(confusion_matrix, scored.scores(item), weights, classes)
        counts = cache.once(make, "confusion", item.fingerprint, weights, *classes)
        alt = "Confusion matrix of the split: true classes by predicted ones"
        show.figure(counts_figure(counts, classes), "confusion-chart", alt, theme=None)
    if len(classes) < item.about["classes"]:
        query |= {state.WHICH: "Chosen", state.CLASSES: classes}
    link = "Play the confused clips on the page Confusion"
    st.page_link("../pages/confusion.py", label=link, icon=":material/grid_on:", query_params=query)


def per_class(rows: Sequence[Row], chosen: int) -> None:
    """Every class over all splits that tested it, the worst first; other rows beside the chosen one."""
    row, number = rows[chosen], st.column_config.NumberColumn
    own, runs = row.result.per_class(), row.result.runs
    clips = {name: n for run in runs for name, n in zip(run.classes, run.clips, strict=True)}
    columns: dict[str, list[object]] = {"class": list(own), "right": [100 * figure.mean for figure in own.values()]}
    if len(runs) > 1:
        columns["deviation"] = [None if figure.std is None else 100 * figure.std for figure in own.values()]
        often = Counter(name for run in runs for name in run.per_class())
        columns["splits"] = [often[name] for name in own]
    columns["clips"] = [clips[name] for name in own]
    config: dict[str, Any] = {
        "right": st.column_config.ProgressColumn(
            f"{row.title} (%)", format="%.1f", min_value=0, max_value=100, help="Top-1, mean over splits."
        ),
        "deviation": number("±", format="%.1f", help="Sample standard deviation over the splits that tested it."),
        "splits": number(help="In how many splits it was among the classes to choose from."),
        "clips": number(help="Clips of this class."),
    }
    for other in [other for index, other in enumerate(rows) if index != chosen][: 10 - len(columns)]:
        theirs, head = other.result.per_class(), f"{other.title} (%)"
        columns[head] = [100 * theirs[name].mean if name in theirs else None for name in own]
        config[head] = number(format="%.1f")
    show.table(columns, "Accuracy of each class, the worst first", column_config=config)
