"""Other ways to read classes off the same embeddings, on a row of the page Evaluate: cached."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.services import evaluate, scored
from app.services.comparison import compared
from cezsar.analysis.comparison import Comparison
from cezsar.zeroshot.evaluation import Correctness, correctness_by_run
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.hubness_reduction import BASELINE, FUSED, MEAN_SENTENCE, REDUCTIONS, Reduction, reduced
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scored import Scored


@dataclass(frozen=True)
class Line:
    """One hubness reduction.

    Attributes:
        top1: fraction right, mean and deviation over splits.
        difference: to none; None for that itself.
    """

    reduction: Reduction
    top1: Figure
    difference: Comparison | None


def applicable(item: Scored) -> list[Reduction]:
    """Those that can change an accuracy here, plain scores first."""
    several = scored.scores(item).first_columns is not None
    return [one for one in REDUCTIONS.values() if several or one is not MEAN_SENTENCE]


def lines(item: Scored, weights: Weights, protocol: Protocol) -> list[Line]:
    """Every applicable reduction on every run of the protocol, each with its paired difference to none.

    Raises:
        CezsarError: scores or embeddings that cannot be read, or that do not fit the protocol.
    """
    key, found = evaluate.key_of(protocol), []
    plain: Correctness | None = None
    for one in applicable(item):
        right = _hits(item.fingerprint, repr(weights), key, one.name, item, weights, protocol)
        difference = None
        if plain is None:
            plain = right
        else:
            marks = (item.fingerprint, repr(weights), one.name)
            difference = compared(marks, key, (one.title, right), (BASELINE.title, plain))
        found.append(Line(one, figure_of(right.accuracy().tolist()), difference))
    return found


@st.cache_resource(max_entries=64, show_spinner="Correcting the scores of every split")
def _hits(
    fingerprint: str, weights: str, protocol: str, name: str, _item: Scored, _weights: Weights, _protocol: Protocol
) -> Correctness:
    reduction = REDUCTIONS[name]
    source = scored.embeddings(_item) if reduction.needs_vectors else scored.scores(_item)
    return correctness_by_run(reduced(source, reduction, _weights), _protocol, FUSED)
