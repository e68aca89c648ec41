"""Rows of the page Evaluate: a run or a control under a protocol, and the choosers and figures that all parts share."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from app import cache, state
from app.parts import scored
from cezsar.data.labels import canonical
from cezsar.world.plans import action_of
from cezsar.zeroshot.evaluation import Correctness, Result, correctness, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores

FUSED, VE = "fused", Weights.only("VE")


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table, and all that can be asked about it."""

    name: str  # of the run, or of the control
    result: Result
    item: Scored  # its scores; for the place oracle, the set whose clips it is about
    control: bool = False  # it is there to be compared with
    oracle: Scores | None = None  # what the place oracle knows; None for all other rows

    @property
    def title(self) -> str:
        return f"{self.name}: {self.result.modality}" if self.result.modality else self.name

    @property
    def top1(self) -> list[float]:
        """Fraction right in each split."""
        return [run.top1 for run in self.result.runs]

    def marks(self, protocol: Protocol) -> tuple[Hashable, ...]:
        """What its predictions depend on, for keys of the cache."""
        return self.item.fingerprint, self.oracle is not None, self.result.weights, key_of(protocol)

    def hits(self, protocol: Protocol) -> Correctness:
        """Which clips it gets right in every run."""
        weights, of = self.result.weights, self.item.method.correctness
        if self.oracle is not None:
            make = partial(correctness, self.oracle, protocol, weights)
        else:
            make = partial(of, scored.scores(self.item), protocol, weights)
        return cache.once(make, "hits", *self.marks(protocol), words="Looking up who is right about which clip")


def key_of(protocol: Protocol) -> str:
    """Another for other runs, for keys of the cache."""
    return hashlib.sha256(json.dumps([protocol.name, protocol.seed, protocol.splits]).encode()).hexdigest()


def companions(item: Scored) -> dict[str, Scored]:
    """Other scored sets of the same data set, by name."""
    wanted = [item.about[key] for key in ("dataset", "classes")]
    others = {name: other for name, other in scored.scored_sets().items() if name != item.name}
    return {name: it for name, it in others.items() if [it.about["dataset"], it.about["classes"]] == wanted}


def rows_of(
    items: Sequence[Scored], protocol: Protocol, wanted: Sequence[str], weights: Weights | None = None
) -> list[Row]:
    """Results of every set in the modalities that are wanted and there, then fused if `FUSED` is; `weights` are of the
    fusion, each run's own by default."""
    todo = []
    for item in items:
        has, fusion = item.about["modalities"], weights or item.weights
        todo += [(item, Weights.only(name)) for name in has if name in wanted]
        if FUSED in wanted and sum(fusion.of(name) > 0 for name in has) > 1:
            todo.append((item, fusion))
    return [Row(item.by, result(item, protocol, given), item) for item, given in todo]


def result(item: Scored, protocol: Protocol, weights: Weights) -> Result:
    make = partial(item.method.evaluate, scored.scores(item), protocol, weights)
    return cache.once(make, "evaluated", item.fingerprint, key_of(protocol), weights, words="Evaluating")


def controls(item: Scored, protocol: Protocol, chosen: Sequence[Scored]) -> list[Row]:
    """For the stick-figure world: what knowing the place alone would reach, and a run on colour alone; but no set that
    is `chosen` and has rows anyway."""
    rows = []
    oracle = cache.once(partial(_place, item), "place oracle", item.fingerprint)
    if oracle is not None:
        reached = replace(evaluate(oracle, protocol, VE), modality="")
        rows.append(Row("place oracle", reached, item, control=True, oracle=oracle))
    for other in companions(item).values():
        if other.about["run"] == f"{item.about['run']}-colour" and other.name not in {each.name for each in chosen}:
            reached = replace(result(other, protocol, VE), modality="")
            rows.append(Row("colour only", reached, other, control=True))
    return rows


def _place(item: Scored) -> Scores | None:
    """Scores of the place oracle; None for clips of another world."""
    if item.about["dataset"] != "demo":
        return None
    from cezsar.analysis.baselines import place_scores

    like = scored.scores(item)
    places = [action.place for action in map(action_of, like.ids) if action is not None]
    return place_scores(places, like) if len(places) == len(like.ids) else None


def same_clips(items: Sequence[Scored]) -> bool:
    """Whether all sets hold the same clips with the same labels, so that their figures compare."""

    def clips_and_labels(item: Scored) -> int:
        content = scored.scores(item)
        return hash(frozenset(zip(content.ids, map(canonical, content.labels), strict=True)))

    return len({cache.once(partial(clips_and_labels, item), "clips", item.fingerprint) for item in items}) < 2


# Shared by the parts of the page -------------------------------------------------------------------------------------

table = partial(st.table, border="horizontal", hide_index=True)


def names(rows: Sequence[Row]) -> list[str]:
    """The rows' titles, with the scored set behind those that would be read twice."""
    often = Counter(row.title for row in rows)
    return [f"{row.title} ({row.item.name})" if often[row.title] > 1 else row.title for row in rows]


def choose_row(rows: Sequence[Row]) -> int:
    """Which row a part of the page is about; the last of the first set's own by default."""
    titles = [row.title for row in rows]
    first = [row.title for row in rows if row.item is rows[0].item and not row.control][-1]
    return titles.index(choose("Row", titles, first, state.ROW, "The row of the table that what follows is about."))


def choose(label: str, options: Sequence[str], first: str, key: str, help: str) -> str:
    """One of some titles, kept in the address; `first` where the old choice is gone, and the browser is told so."""
    if st.session_state.get(key, first) not in options:
        st.session_state[key] = first
    ordered = sorted(options, key=lambda option: option != first)
    return st.selectbox(label, ordered, key=key, bind="query-params", help=help)


def unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")
