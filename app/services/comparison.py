"""Differences between rows of the page Evaluate, paired clip for clip: cached, and as files."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence

import streamlit as st

from app.services import evaluate, scored
from app.services.evaluate import Row
from cezsar.analysis.comparison import Comparison, Interval
from cezsar.zeroshot.evaluation import Correctness, correctness
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored

SEED = 0
"""Of the bootstrap, as of `cezsar compare`."""


def names(rows: Sequence[Row]) -> list[str]:
    """The rows' titles, with the scored set behind those that would be read twice."""
    often = Counter(row.title for row in rows)
    return [
        f"{row.title} ({row.item.name})" if often[row.title] > 1 and row.item is not None else row.title for row in rows
    ]


def row_hits(row: Row, like: Scored, protocol: Protocol) -> Correctness:
    """Which clips a row gets right in every run.

    Args:
        like: a scored set of the same clips; what controls without a set of their own are about.
    """
    source = like if row.item is None else row.item
    weights = row.result.weights
    key = f"{source.fingerprint} {'place' if row.item is None else 'set'}"
    return _hits(key, repr(weights), evaluate.key_of(protocol), row, like, weights, protocol)


@st.cache_resource(max_entries=64, show_spinner="Looking up who is right about which clip")
def _hits(
    key: str, weights: str, protocol: str, _row: Row, _like: Scored, _weights: Weights, _protocol: Protocol
) -> Correctness:
    if _row.item is not None:
        return _row.item.method.correctness(scored.scores(_row.item), _protocol, _weights)
    content = evaluate.place(_like)
    assert content is not None  # a row without a set stems from a place oracle
    return correctness(content, _protocol, _weights)


def differences(rows: Sequence[Row], against: int, protocol: Protocol) -> list[Comparison]:
    """Every other row (a) with the row `against` (b), in their order.

    Raises:
        CezsarError: scores that cannot be read, or rows that are not about the same clips and labels.
    """
    like = next(row.item for row in rows if row.item is not None)
    named = list(zip(names(rows), (row_hits(row, like, protocol) for row in rows), strict=True))
    marks = [
        (row.item.fingerprint if row.item else f"place {like.fingerprint}", repr(row.result.weights)) for row in rows
    ]
    return [
        compared((*marks[index], *marks[against]), evaluate.key_of(protocol), named[index], named[against])
        for index in range(len(rows))
        if index != against
    ]


def compared(
    marks: tuple[str, ...], protocol: str, a: tuple[str, Correctness], b: tuple[str, Correctness]
) -> Comparison:
    """`compare`, once for each content.

    Args:
        marks: say what the hits were made from.
    """
    return _compared(marks, protocol, a[0], b[0], a[1], b[1])


@st.cache_data(max_entries=256, show_spinner="Resampling videos and splits")
def _compared(marks: tuple[str, ...], protocol: str, a: str, b: str, _a: Correctness, _b: Correctness) -> Comparison:
    import numpy as np

    from cezsar.analysis.comparison import compare

    return compare((a, _a), (b, _b), np.random.default_rng(SEED))


def interval(found: Comparison) -> tuple[Interval, str]:
    """The interval to be told, and what it is over: videos and splits, or videos where there is one run."""
    return (found.over_both, "videos and splits") if found.over_both else (found.over_videos, "videos")


# Files ---------------------------------------------------------------------------------------------------------------


def pairs_csv(found: Sequence[Comparison]) -> str:
    """A line for each pair, as fractions."""
    head = ["a", "b", "protocol", "seed", "runs", "clips", "accuracy_a", "accuracy_b", "difference"]
    over = ["over_videos", "over_splits", "over_both"]
    head += [f"{name}_{end}" for name in over for end in ("low", "high")]
    head += [f"{what}_{part}" for what in ("runs", "classes") for part in ("won", "lost", "level", "p")]
    rows = []
    for one in found:
        row: list[object] = [one.a, one.b, one.protocol, one.seed, len(one.runs), one.clips]
        row += [one.accuracy_a, one.accuracy_b, one.difference]
        for ends in (one.over_videos, one.over_splits, one.over_both):
            row += [ends.low, ends.high] if ends else ["", ""]
        for tally in (one.splits, one.by_class):
            row += [tally.wins, tally.losses, tally.ties, tally.p] if tally else [""] * 4
        rows.append(row)
    return _csv([head, *rows])


def classes_csv(found: Sequence[Comparison]) -> str:
    """A line for each class of each pair, as fractions."""
    head = ["a", "b", "class", "clips", "runs", "accuracy_a", "accuracy_b", "difference", "wins", "losses"]
    rows = [
        [one.a, one.b, c.name, c.clips, c.runs, c.a, c.b, c.difference, c.wins, c.losses]
        for one in found
        for c in one.classes
    ]
    return _csv([head, *rows])


def to_json(found: Sequence[Comparison]) -> str:
    """Everything, each run and each class."""
    content = {"cezsar": "comparisons", "version": 1, "comparisons": [one.to_dict() for one in found]}
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
