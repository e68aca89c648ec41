"""Why a clip got its label: the margin over another label, taken apart, from the clip as it was read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import streamlit as st

from app.services.answers import Answer, read
from app.services.models import engine

if TYPE_CHECKING:
    from cezsar.analysis.explanation import Explanation


def why(given: Answer, rival: str) -> Explanation:
    """The best label against `rival`, another one of the labels.

    Raises:
        CezsarError: the model cannot be used, or both labels are one.
    """
    best = given.ranking.labels[0][0]
    asked = repr((given.labels, given.weights, given.caption, best, rival))
    key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
    return _why(given.clip.digest, given.model.key, given.model.fingerprint, key, given, best, rival)


@st.cache_data(max_entries=256, show_spinner="Leaving out each second in turn")
def _why(digest: str, model: str, fingerprint: str, asked: str, _given: Answer, _best: str, _rival: str) -> Explanation:
    from cezsar.analysis.explanation import explain

    content, answers = read(_given.model, _given.clip), engine(_given.model)
    with answers.lock:
        return explain(
            answers.classifier,
            content,
            _given.labels,
            weights=_given.weights,
            caption=_given.caption,
            winner=_best,
            runner_up=_rival,
        )
