"""Other ways to read classes off the same embeddings, on a row of the page Evaluate: cached."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.services import evaluate, scored
from app.services.comparison import compared
from cezsar.analysis.comparison import Comparison
from cezsar.zeroshot.corrections import CORRECTIONS, Correction, hits_corrected
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.hits import Hits
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scored import Scored

PLAIN = "none"


@dataclass(frozen=True)
class Line:
    """One correction.

    Attributes:
        top1: fraction right, mean and deviation over splits.
        difference: to no correction; None for that itself.
    """

    correction: Correction
    top1: Figure
    difference: Comparison | None


def applicable(item: Scored) -> list[Correction]:
    """Those that can change an accuracy here, plain scores first."""
    content = scored.scores(item)
    several = content.column_class is not None and len(content.column_class) > len(content.class_names)
    return [one for one in CORRECTIONS.values() if one.name == PLAIN or one.reranks or (several and _other(one))]


def _other(correction: Correction) -> bool:
    """Whether it compares classes of several sentences otherwise than plain scores do."""
    return correction.several != CORRECTIONS[PLAIN].several


def lines(item: Scored, weights: Weights, protocol: Protocol) -> list[Line]:
    """Every applicable correction on every run of the protocol, each with its paired difference to none.

    Raises:
        CezsarError: scores or embeddings that cannot be read, or that do not fit the protocol.
    """
    key, found = evaluate.key_of(protocol), []
    plain: Hits | None = None
    for one in applicable(item):
        right = _hits(item.fingerprint, repr(weights), key, one.name, item, weights, protocol)
        difference = None
        if plain is None:
            plain = right
        else:
            marks = (item.fingerprint, repr(weights), one.name)
            difference = compared(marks, key, (one.title, right), (CORRECTIONS[PLAIN].title, plain))
        found.append(Line(one, figure_of(right.accuracy().tolist()), difference))
    return found


@st.cache_resource(max_entries=64, show_spinner="Correcting the scores of every split")
def _hits(
    fingerprint: str, weights: str, protocol: str, name: str, _item: Scored, _weights: Weights, _protocol: Protocol
) -> Hits:
    correction = CORRECTIONS[name]
    vectors = correction.needs_vectors or _other(correction)
    source = scored.embeddings(_item) if vectors else scored.scores(_item)
    return hits_corrected(source, _protocol, correction, _weights)
