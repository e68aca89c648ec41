"""When it happens in a film: spans of a ranking's labels, and hits of one action in many films.

A film is read once for ranking and spans: its rows are those that the ranking was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from app.classify.answers import Answer, choose, read_with_info
from app.services.clips import ClipFile
from app.services.models import Model, engine

if TYPE_CHECKING:
    from cezsar.zeroshot.span_formats import Timeline
    from cezsar.zeroshot.spans import Film, Span

LEAST_S = 6  # a shorter clip shows one action, and needs no time line


@dataclass(frozen=True)
class Hit:
    """A place where an action is seen: in which clip, when, and by whom it was found."""

    clip: ClipFile
    model: Model
    span: Span


def timeline(given: Answer) -> Timeline:
    """What happens when, by the labels, the weights and the model of an answer; a caption has no time and no part.

    Raises:
        CezsarError: the clip or the model cannot be used any more.
    """
    from cezsar.zeroshot.span_formats import Timeline
    from cezsar.zeroshot.spans import spans

    seen, answers = film(given.model, given.clip), engine(given.model)
    with answers.lock:
        found = spans(answers.classifier, seen, given.labels, weights=given.weights)
    return Timeline(given.clip.name, given.model.title, seen.fps, found)


def find(action: str, clip: ClipFile, key: str, there: dict[str, Model]) -> list[Hit]:
    """Where one action is seen in a clip, best first; by the model of that key, or the one that is best for the clip.

    Raises:
        CezsarError: the clip or the model cannot be used.
    """
    from cezsar.zeroshot.spans import find

    model, _ = choose(key, clip, there)
    seen, answers = film(model, clip), engine(model)
    with answers.lock:
        return [Hit(clip, model, span) for span in find(answers.classifier, seen, action)]


def timelines(hits: Sequence[Hit]) -> list[Timeline]:
    """Hits as files hold them: film by film, in the order of each film's best hit, by time."""
    from cezsar.zeroshot.span_formats import Timeline

    films = {hit.clip.digest: hit for hit in reversed(hits)}
    return [
        Timeline(
            one.clip.name,
            one.model.title,
            film(one.model, one.clip).fps,
            sorted((hit.span for hit in hits if hit.clip.digest == digest), key=lambda span: span.start_s),
        )
        for digest, one in reversed(films.items())
    ]


def film(model: Model, clip: ClipFile) -> Film:
    """The window around each second of a clip, as the model sees it; errors as in `answers.read`."""
    return _film(clip.digest, model.key, model.fingerprint, model, clip)


@st.cache_data(max_entries=128, show_spinner=False)
def _film(digest: str, key: str, fingerprint: str, _model: Model, _clip: ClipFile) -> Film:
    from cezsar.zeroshot.spans import Film

    content, info = read_with_info(_model, _clip)
    answers = engine(_model)
    with answers.lock:
        return Film.of(answers.classifier, content, info, info.duration_s)
