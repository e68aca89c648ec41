"""Rows of the page Evaluate: a run or a control under a protocol, and the choosers and figures that all parts share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import streamlit as st

from app import cache, state
from app.parts import scored
from cezsar import world
from cezsar.data.labels import canonical
from cezsar.zeroshot.evaluation import Correctness, Result, correctness, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores

FUSED = "fused"
VE = Weights.only("VE")


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table, and all that can be asked about it.

    Attributes:
        name: of the run, or of the control.
        item: its scores; for the place oracle, the set whose clips it is about.
        control: it is there to be compared with.
        oracle: what the place oracle knows; None for all other rows.
    """

    name: str
    result: Result
    item: Scored
    control: bool = False
    oracle: Scores | None = None

    @property
    def title(self) -> str:
        return f"{self.name}: {self.result.modality}" if self.result.modality else self.name

    @property
    def top1(self) -> list[float]:
        """Fraction right in each split."""
        return [run.top1 for run in self.result.runs]

    @property
    def marks(self) -> tuple[str, bool, Weights]:
        """What its predictions depend on, for keys of the cache."""
        return self.item.fingerprint, self.oracle is not None, self.result.weights

    def hits(self, protocol: Protocol) -> Correctness:
        """Which clips it gets right in every run."""
        weights = self.result.weights

        def make() -> Correctness:
            if self.oracle is not None:
                return correctness(self.oracle, protocol, weights)
            return self.item.method.correctness(scored.scores(self.item), protocol, weights)

        words = "Looking up who is right about which clip"
        return cache.once(make, "hits", *self.marks, key_of(protocol), words=words)


def key_of(protocol: Protocol) -> str:
    """Another for other runs, for keys of the cache."""
    return hashlib.sha256(json.dumps([protocol.name, protocol.seed, protocol.splits]).encode()).hexdigest()


def companions(item: Scored) -> dict[str, Scored]:
    """Other scored sets of the same data set, by name."""
    same = ("dataset", "classes")
    return {
        name: other
        for name, other in scored.scored_sets().items()
        if name != item.name and all(other.about[key] == item.about[key] for key in same)
    }


def rows_of(
    items: Sequence[Scored],
    protocol: Protocol,
    wanted: Sequence[str],
    weights: Weights | None = None,
    progress: Callable[[float, str], object] | None = None,
) -> list[Row]:
    """Results of every set in the wanted modalities, then fused.

    Args:
        wanted: of "VE", "O", "C" and `FUSED`; what a set does not have is passed over.
        weights: of the fusion; None leaves each run its own.
        progress: called with the share that is done and what comes next.
    """
    todo = []
    for item in items:
        has = item.about["modalities"]
        todo += [(item, Weights.only(name)) for name in has if name in wanted]
        fusion = weights or item.weights
        if FUSED in wanted and sum(fusion.of(name) > 0 for name in has) > 1:
            todo.append((item, fusion))
    rows = []
    for number, (item, row_weights) in enumerate(todo):
        if progress:
            progress(number / len(todo), f"Evaluating {item.by}")
        rows.append(Row(item.by, result(item, protocol, row_weights), item))
    return rows


def result(item: Scored, protocol: Protocol, weights: Weights) -> Result:
    return cache.once(
        lambda: item.method.evaluate(scored.scores(item), protocol, weights),
        "evaluated", item.fingerprint, key_of(protocol), weights,
    )  # fmt: skip


def controls(item: Scored, protocol: Protocol, chosen: Sequence[Scored]) -> list[Row]:
    """For the stick-figure world: what knowing the place alone would reach, and a run on colour alone.

    Args:
        chosen: sets that have rows anyway.
    """
    rows = []
    oracle = cache.once(lambda: _place(item), "place oracle", item.fingerprint)
    if oracle is not None:
        reached = replace(evaluate(oracle, protocol, VE), modality="")
        rows.append(Row("place oracle", reached, item, control=True, oracle=oracle))
    for other in companions(item).values():
        if other.about["run"] == f"{item.about['run']}-colour" and other.name not in {each.name for each in chosen}:
            reached = replace(result(other, protocol, VE), modality="")
            rows.append(Row("colour only", reached, other, control=True))
            break
    return rows


def _place(item: Scored) -> Scores | None:
    """Scores of the place oracle; None for clips of another world."""
    if item.about["dataset"] != "demo":
        return None
    from cezsar.demo.run import place_scores

    like = scored.scores(item)
    plans = [plan for plan in map(world.plan_of, like.ids) if plan is not None]
    return place_scores(world.World(Path(), [], plans), like) if len(plans) == len(like.ids) else None


def same_clips(items: Sequence[Scored]) -> bool:
    """Whether all sets hold the same clips with the same labels, so that their figures compare."""

    def clips_and_labels(item: Scored) -> int:
        content = scored.scores(item)
        return hash(frozenset(zip(content.ids, map(canonical, content.labels), strict=True)))

    return len({cache.once(partial(clips_and_labels, item), "clips", item.fingerprint) for item in items}) < 2


# Shared by the parts of the page -------------------------------------------------------------------------------------


def names(rows: Sequence[Row]) -> list[str]:
    """The rows' titles, with the scored set behind those that would be read twice."""
    often = Counter(row.title for row in rows)
    return [f"{row.title} ({row.item.name})" if often[row.title] > 1 else row.title for row in rows]


def choose_row(rows: Sequence[Row]) -> int:
    """Which row a part of the page is about; the last of the first set's own by default."""
    titles = [row.title for row in rows]
    first = [row.title for row in rows if row.item is rows[0].item and not row.control][-1]
    help = "The row of the table that what follows is about."
    return titles.index(choose("Row", titles, first, state.ROW, help))


def choose(label: str, options: Sequence[str], first: str, key: str, help: str) -> str:
    """One of some titles, kept in the address; `first` where the old choice is gone, and the browser is told so."""
    if st.session_state.get(key, first) not in options:
        st.session_state[key] = first
    ordered = sorted(options, key=lambda option: option != first)
    return st.selectbox(label, ordered, key=key, bind="query-params", help=help)


def unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def table(cells: Sequence[Mapping[str, str]], alt: str) -> None:
    """A table of Markdown, a dict a line."""
    columns = {head: [row[head] for row in cells] for head in cells[0]}
    st.table(columns, border="horizontal", hide_index=True, alt=alt)


def metric(title: str, value: str, below: str | None, help: str) -> None:
    st.metric(title, value, below, delta_color="off", delta_arrow="off", help=help, border=True)


def downloads(name: str, *files: tuple[str, Callable[[], str], str, str]) -> None:
    """Buttons in a line: title, what makes the text when asked for, end of the file's name, help."""
    with st.container(horizontal=True):
        for title, make, end, help in files:
            st.download_button(
                title, make, name + end, key=f"export-{name}{end}", icon=":material/download:", on_click="ignore",
                help=help,
            )  # fmt: skip
