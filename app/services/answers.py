"""What a model says about a clip: decoded and embedded once, ranked as often as labels or weights change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.services.clips import ClipFile, on_disk
from app.services.models import AUTOMATIC, Model, engine
from cezsar.errors import VideoError
from cezsar.zeroshot.fusion import Weights

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Clip, Ranking


@st.cache_data(max_entries=512, show_spinner=False)
def _read(digest: str, key: str, fingerprint: str, _model: Model, _clip: ClipFile) -> tuple[Clip | None, str]:
    """The clip as the model reads it, or why it cannot: a clip that takes minutes to fail must not fail every time."""
    from cezsar.video import Decoder

    answers = engine(_model)
    try:
        with on_disk(_clip) as path, Decoder() as decoder:
            if answers.classifier.encoder.in_decoder:  # decoded and described without holding up other sessions
                features = answers.classifier.features(path, decoder)
            else:
                with answers.lock:
                    features = answers.classifier.features(path, decoder)
        with answers.lock:
            return answers.classifier.embed(_clip.name, features), ""
    except VideoError as error:
        return None, str(error)


def read(model: Model, clip: ClipFile) -> Clip:
    """Decode and embed a clip, once for each content and model.

    Raises:
        VideoError: it cannot be decoded.
        CezsarError: the model cannot be used.
    """
    content, failure = _read(clip.digest, model.key, model.fingerprint, model, clip)
    if content is None:
        raise VideoError(failure)
    return content


@dataclass(frozen=True)
class Doubt:
    """When to answer "none of these". Rules of thumb: only the first is measured against anything.

    Attributes:
        unlike: distance to the training clips in units of what 99 % of those stay under, for models that know theirs.
        least: cosine similarity of the best label.
        lead: of the best label over the second.
    """

    unlike: float
    least: float = 0.0
    lead: float = 0.0

    def reasons(self, ranking: Ranking, familiarity: float | None) -> list[str]:
        """Why a ranking is none, in words; nothing if it stands."""
        best, similarity = ranking.labels[0]
        found = []
        if familiarity is not None and familiarity >= self.unlike:
            found.append(
                f"the clip looks like nothing that {ranking.model} was trained on ({familiarity:.1f} times the usual "
                f"distance, the limit is {self.unlike:.1f})"
            )
        if similarity < self.least:
            found.append(f'"{best}" has a similarity of {similarity:.2f} only, the least is {self.least:.2f}')
        if len(ranking.labels) > 1 and ranking.margin < self.lead:
            found.append(f'"{best}" leads by {ranking.margin:.2f} only, the least is {self.lead:.2f}')
        return found


def usual_limit() -> float:
    """Distance to the training clips at which a clip counts as unlike them, unless somebody moves the limit."""
    from cezsar.zeroshot import classifier

    return classifier.UNFAMILIAR


@dataclass(frozen=True)
class Question:
    """What is asked about every clip.

    Attributes:
        key: of a model, or AUTOMATIC.
        labels: names, or name -> descriptive sentences.
        beta: weight of the recognised objects in [0, 1], for a run; the model's own weights if None.
        gamma: weight of a caption, for clips that have one.
    """

    key: str
    labels: Sequence[str] | Mapping[str, Sequence[str]]
    beta: float | None
    gamma: float
    doubt: Doubt


@dataclass(frozen=True)
class Answer:
    """What a model says about a clip.

    Attributes:
        ranking: all labels, best first; its warning says why the answer is "none of these", or is "".
        trust: what the model may be trusted for.
        familiarity: distance to the model's training clips; None where it knows none.
        instead_of: the model that handed the clip on since it looked like none of its training; None if it did not.
        doubts: why the answer is "none of these"; empty if it stands.
        weights: α, β and γ that counted.
        caption: the sentence about the clip that counted by γ.
        labels: that were ranked, as they were asked about.
        calibrated: the model says what its scores are worth as probabilities, with its own weights and no caption.
    """

    clip: ClipFile
    model: Model
    ranking: Ranking
    seconds: int
    trust: str
    familiarity: float | None
    instead_of: Model | None = None
    doubts: tuple[str, ...] = ()
    weights: Weights = field(default_factory=Weights)
    caption: str = ""
    labels: Sequence[str] | Mapping[str, Sequence[str]] = ()
    calibrated: bool = False


def choose(key: str, clip: ClipFile, there: dict[str, Model], unlike: float) -> tuple[Model, Model | None]:
    """The model that answers for a clip, and the one that handed it on, if any; the rule of the command line."""
    if key != AUTOMATIC:
        return there[key], None
    first, second = next(iter(there.values())), list(there.values())[-1]
    familiarity = read(first, clip).familiarity if first.folder is not None else None
    unfamiliar = familiarity is not None and familiarity >= unlike
    return (second, first) if unfamiliar and second.folder is None else (first, None)


def answer(clip: ClipFile, there: dict[str, Model], asked: Question, caption: str = "") -> Answer:
    """Rank labels for a clip. Only the first time does this take longer than a moment.

    Args:
        there: the models by key.
        caption: C(v), a sentence about the clip.

    Raises:
        CezsarError: the clip, the labels or the model cannot be used; the message is for the user.
    """
    model, instead_of = choose(asked.key, clip, there, asked.doubt.unlike)
    content = read(model, clip)
    answers = engine(model)
    with answers.lock:
        weights = answers.classifier.weights
        if asked.beta is not None and model.beta is not None:
            weights = replace(weights, alpha=1 - asked.beta, beta=asked.beta)
        weights = replace(weights, gamma=asked.gamma if caption.strip() else weights.gamma)
        ranking = answers.classifier.rank(
            content, asked.labels, top=max(1, len(asked.labels)), weights=weights, caption=caption
        )
        trust, calibrated = answers.classifier.trust, answers.classifier.rejector is not None
    doubts = asked.doubt.reasons(ranking, content.familiarity)
    ranking = replace(ranking, warning="none of these: " + "; ".join(doubts) if doubts else "")
    return Answer(
        clip,
        model,
        ranking,
        content.seconds,
        trust,
        content.familiarity,
        instead_of,
        tuple(doubts),
        weights,
        caption,
        asked.labels,
        calibrated,
    )


def pin(given: Answer) -> dict[str, Any]:
    """A clip as the page Semantic gap shows it on its maps: a vector in the joint and in the sentence space, if any.

    Raises:
        CezsarError: the run's sentence encoder cannot be used.
    """
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.runs import Run

    content = read(given.model, given.clip)
    sentence = None
    if given.model.folder is not None and content.objects:
        config = Run.open(given.model.folder).config
        said = ". ".join(f"{name} {definition}".strip() for name, definition, _ in content.objects[: config.objects])
        sentence = open_encoder(config.sentence_encoder["name"]).encode([said])[0]
    return {"run": given.model.title, "name": given.clip.name, "joint": content.visual_E, "sentence": sentence}
