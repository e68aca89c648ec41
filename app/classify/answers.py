"""What a model says about a clip: read once for each content and model, ranked as often as labels or weights change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from app.parts import clips
from app.parts.clips import ClipFile
from app.parts.labels import described
from app.parts.models import AUTOMATIC, Model, engine, key_of
from app.parts.reading import look_at, read
from cezsar import world
from cezsar.data.labels import spoken
from cezsar.errors import CezsarError, InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import RejectionLimits

if TYPE_CHECKING:
    from cezsar.zeroshot.classifier import Labels, Ranking
    from cezsar.zeroshot.examples import Example
    from cezsar.zeroshot.model_choice import Candidate
    from cezsar.zeroshot.spans import Film, Span, Timeline

DRAWN = "run:demo"  # key of the run that knows the drawn world


class Shown(NamedTuple):
    """What a label is shown by."""

    clips: tuple[ClipFile, ...] = ()  # films and pictures of this session
    kept: tuple[Example, ...] = ()  # of a label set that was kept
    kept_by: tuple[str, str] = ("", "")  # the model that embedded these: its name, its fingerprint
    share: float | None = None  # λ; by the number of examples if None


class Question(NamedTuple):
    """What is asked about every clip."""

    key: str  # of a model, or AUTOMATIC
    labels: Sequence[str] | Mapping[str, Sequence[str]]  # names, or name -> descriptive sentences
    shown: Mapping[str, Shown]  # labels that have examples
    beta: float | None  # weight of the recognised objects in [0, 1], for a run; the model's own weights if None
    gamma: float  # weight of a caption, for clips that have one
    limits: RejectionLimits  # beyond which the answer is "none of these"


class Answer(NamedTuple):
    """What a model says about a clip."""

    clip: ClipFile
    model: Model
    ranking: Ranking  # all labels, best first
    seconds: int
    trust: str  # what the model may be trusted for
    why: str  # this model answers, in half a sentence
    weights: Weights  # that counted
    caption: str  # the sentence about the clip that counted by γ
    labels: Labels  # that were ranked, with the sentences that described them, and examples
    calibrated: bool  # it gives probabilities, with its own weights and no caption


class Hit(NamedTuple):
    clip: ClipFile
    model: Model
    span: Span


def film(model: Model, clip: ClipFile) -> Film:
    """The window around each second of a clip, as the model sees it; errors as in `read`."""

    def made() -> Film:
        from cezsar.zeroshot.spans import Film

        content, info = look_at(model, clip)
        with (loaded := engine(model)).lock:
            return Film.of(loaded.classifier, content, info, info.duration_s)

    return clips.once(made, clip, "film", model.key, model.fingerprint)


def choose(key: str, clip: ClipFile, there: dict[str, Model]) -> tuple[Model, str]:
    """The model that answers for a clip, and why, in half a sentence; automatic is the rule of the command line. Raises
    `VideoError`: the clip cannot be decoded; `InputError`: the model that should answer cannot be used."""
    if key != AUTOMATIC:
        return there[key], "it was chosen"
    if isinstance(clip.source, world.VideoPlan) and DRAWN in there:
        return there[DRAWN], "the sample is of the drawn world that it was trained on"

    def made() -> Candidate:
        from cezsar.zeroshot.model_choice import for_film

        with clips.opened(clip) as (path, decoder):
            return for_film(path, decoder)

    chosen = clips.once(made, clip, "who answers", *((model.key, model.fingerprint) for model in there.values()))
    if key_of(chosen) not in there:
        raise InputError(f"{chosen.name} should answer and cannot: choose another model (`cezsar info` says why)")
    return there[key_of(chosen)], chosen.why


def first_choice(key: str, clips: Sequence[ClipFile], there: dict[str, Model]) -> Model:
    """The model that answers for the first clip that can be read; without one, for any film."""
    for clip in clips:
        try:
            return choose(key, clip, there)[0]
        except CezsarError:
            continue  # said where the clip should be answered
    return there[key] if key != AUTOMATIC else next(iter(there.values()))


def labels_for(model: Model, labels: Sequence[str] | Mapping[str, Sequence[str]], shown: Mapping[str, Shown]) -> Labels:
    """Labels as a model ranks them, with its descriptions and what it sees in examples. Raises `VideoError` for an
    example that cannot be read, `MismatchError` for a kept one of another model."""
    from cezsar.zeroshot.classifier import example_of
    from cezsar.zeroshot.examples import KeptLabels, Label

    if not isinstance(labels, Mapping):
        if model.reads_words and not shown:
            return labels
        own = {} if model.reads_words else engine(model).classifier.descriptions
        labels = {name: [spoken(name)] for name in labels} if model.reads_words else described(labels, own)
    whole: dict[str, Sequence[str] | Label] = dict(labels)
    for name in shown.keys() & labels.keys():
        each = shown[name]
        seen = [example_of(read(model, clip), clip.name, clip.digest) for clip in each.clips]
        if each.kept:
            with (loaded := engine(model)).lock:
                kept = KeptLabels({name: Label((), each.kept)}, *each.kept_by)
                kept.check(loaded.classifier.name, loaded.classifier.fingerprint)
        whole[name] = Label(labels[name], [*each.kept, *seen], each.share)
    return whole


def answer(clip: ClipFile, there: dict[str, Model], asked: Question, caption: str = "") -> Answer:
    """Rank labels for a clip; `caption` is C(v), a sentence about it. Raises `CezsarError` with words for the user."""
    model, why = choose(asked.key, clip, there)
    content, labels = read(model, clip), labels_for(model, asked.labels, asked.shown)
    with (loaded := engine(model)).lock:
        classifier = loaded.classifier
        weights = classifier.weights
        if asked.beta is not None and model.beta is not None:
            weights = replace(weights, alpha=1 - asked.beta, beta=asked.beta)
        weights = replace(weights, gamma=asked.gamma if caption.strip() else weights.gamma)
        ranking = classifier.rank(
            content, labels, top=len(asked.labels), weights=weights, caption=caption, limits=asked.limits
        )
        trust, calibrated = classifier.trust, classifier.rejector is not None
    return Answer(clip, model, ranking, len(content.features_TD), trust, why, weights, caption, labels, calibrated)


def timeline(given: Answer) -> Timeline:
    """What happens when, by an answer's labels, weights and model; a caption has no time and no part."""
    from cezsar.zeroshot.spans import Timeline, spans

    seen = film(given.model, given.clip)
    with (loaded := engine(given.model)).lock:
        found = spans(loaded.classifier, seen, given.labels, weights=given.weights)
        note = loaded.classifier.by_example(given.labels)
    return Timeline(given.clip.name, given.model.title, seen.fps, found, note)


def find(action: str, clip: ClipFile, key: str, there: dict[str, Model]) -> list[Hit]:
    """Where one action is seen in a clip, best first. Raises `CezsarError`: the clip or the model cannot be used."""
    from cezsar.zeroshot.spans import find

    model, _ = choose(key, clip, there)
    seen = film(model, clip)
    with (loaded := engine(model)).lock:
        return [Hit(clip, model, span) for span in find(loaded.classifier, seen, action)]


def pin(given: Answer) -> dict[str, Any]:
    """A clip for the maps of the page Semantic gap. Raises `CezsarError`: the run's sentence encoder cannot be used."""
    from cezsar.data.sentence_cache import open_encoder
    from cezsar.training.runs import Run

    content, sentence = read(given.model, given.clip), None
    if given.model.folder is not None and content.objects:
        config = Run.open(given.model.folder).config
        said = ". ".join(f"{name} {definition}".strip() for name, definition, _ in content.objects[: config.objects])
        sentence = open_encoder(config.sentence_encoder["name"]).encode([said])[0]
    return {"run": given.model.title, "name": given.clip.name, "joint": content.visual_E, "sentence": sentence}
