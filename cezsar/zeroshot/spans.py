"""When it happens: a film, the labels' similarities in each second, spans (start, end, label), and these as files that
other tools read. Shape letters: T seconds, C labels, S states: the labels, and "none of these" where there is a
rejector."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.data.datasets import named_descriptions
from cezsar.data.documents import printable
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.video import Decoder, Frame, VideoInfo
from cezsar.zeroshot.classifier import STANDING, WINDOW_S, Classifier, EmbeddedClip, Labels, warning_of
from cezsar.zeroshot.examples import Label
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import NOT_ALONE, Rejector, confidence, goes_with, probabilities
from cezsar.zeroshot.tables import csv_of

CHANGE = 2.0  # what a change of label costs, in standard deviations of the similarities for a second (`docs/spans.md`)
BAR = 0.95  # share of the other descriptions that a label must be above, to be found where it is searched for
NONE = -1  # instead of a label's index
ANY_FPS = 25.0  # where a film does not say; Label Studio counts frames by the rate that its task tells
DIGITS, SECOND_DIGITS = 6, 3  # in files
CSV_COLUMNS = ("film", "start_s", "end_s", "label", "score", "probability", "model")


@dataclass(frozen=True, eq=False)
class Film:
    """Embeddings of the window around each second; the labels it is held against can change without a second look."""

    path: str
    duration_s: float  # T, or up to a second less where the file says so
    fps: float | None  # pictures a second; None where the file does not say
    seconds: dict[str, FloatArray]  # "VE", "O" -> (T, E)
    warning: str = ""  # why the model should not be trusted with this film
    reading: str = ""  # what of the file could not be read, in words

    @classmethod
    def of(cls, classifier: Classifier, clip: EmbeddedClip, info: VideoInfo, duration_s: float | None) -> Film:
        """A clip as a film; `duration_s` counts where it lies in the last second."""
        unlike = classifier.limits.unlike(classifier.name, clip.distance)
        length = len(clip.features_TD)
        ends_s = duration_s if duration_s is not None and length - 1 < duration_s < length else length
        warning = warning_of([unlike] if unlike else [], unlike)
        return cls(clip.path, ends_s, info.fps, clip.seconds, warning, clip.reading)


@dataclass(frozen=True)
class Span:
    """What happens from `start_s` to `end_s`, in seconds from the film's start."""

    start_s: float
    end_s: float
    label: str | None  # None where it is none of the labels
    score: float  # mean cosine similarity of the label, or of the nearest one; from `find`, how far above the bar
    probability: float | None = None  # mean, among the labels; None where the run was not calibrated, and without label


def read(classifier: Classifier, path: str | Path, *, window_s: int = WINDOW_S,
         progress: Callable[[int, int], object] = lambda done_s, total_s: None) -> Film:  # fmt: skip
    """Decode and embed a film, frame by frame; `window_s` seconds are looked at together around each. Raises
    `VideoError`, and `InputError` for `window_s` below 1."""
    if window_s < 1:
        raise InputError(f"a window of {window_s} s was asked for; give at least 1")
    with Decoder() as decoder:
        info = decoder.probe(path)
        frames = decoder.frames(path, classifier.encoder.sampling)
        features_TD = classifier.encoder.encode(_told(frames, info, progress))
        found = decoder.reading
    seconds, distance = classifier.seconds(features_TD, window_s), classifier.distance(features_TD)
    reading = "" if found is None else found.words
    clip = EmbeddedClip(str(path), features_TD, [], None, None, seconds, distance, reading=reading)
    return Film.of(classifier, clip, info, info.duration_s if found is None else found.read_s)


def _told(frames: Iterable[Frame], info: VideoInfo, progress: Callable[[int, int], object]) -> Iterator[Frame]:
    """The same frames; each new second is told."""
    done, total = 0, math.ceil(info.duration_s or 0)
    for frame in frames:
        yield frame
        if frame.time_s >= done:
            done = math.floor(frame.time_s) + 1
            progress(done, max(done, total))


def spans(classifier: Classifier, film: Film, labels: Labels = None, *, none: bool = True,
          weights: Weights | None = None) -> list[Span]:  # fmt: skip
    """What happens in a film, first second to last, neighbours of different labels. "None of these" may be an answer
    where the rejector goes with the weights."""
    names, cosine_TC = classifier.similarities(film.seconds, labels, weights)
    rejector = classifier.rejector
    fits = goes_with(weights or classifier.weights, classifier.weights, film.seconds)
    if classifier.by_example(labels) or not fits:  # it was chosen without examples
        rejector = None
    chosen_T = segment(cosine_TC, rejector if none else None)
    nearest_T = np.where(chosen_T == NONE, cosine_TC.argmax(axis=1), chosen_T)
    score_T = cosine_TC[np.arange(len(chosen_T)), nearest_T]
    likely_T = None
    if rejector is not None:
        likely_T = probabilities(cosine_TC, rejector.temperature)[np.arange(len(chosen_T)), nearest_T]
    found = []
    for first, end in runs(chosen_T):
        label = None if chosen_T[first] == NONE else names[chosen_T[first]]
        probability = None if label is None or likely_T is None else float(likely_T[first:end].mean())
        found.append(Span(first, min(end, film.duration_s), label, float(score_T[first:end].mean()), probability))
    return found


def find(classifier: Classifier, film: Film, label: str, among: Labels = None) -> list[Span]:
    """Where one action is seen, best first, held in each second against the similarity that 95 % of others stay below,
    by default, or where it alone is given with examples, the descriptions of Kinetics-400. `score` is how far above, in
    standard deviations. Raises `InputError` where there is no other label."""
    given = named_descriptions(STANDING) if among is None else among
    told = given if isinstance(given, Mapping) else classifier.described(given)
    same = [name for name in told if canonical(name) == canonical(label)]
    own = told[same[0]] if same else classifier.described([label])[label]
    others = {name: each for name, each in told.items() if name not in same}
    if not others and isinstance(own, Label) and own.examples:
        others = {
            name: each for name, each in named_descriptions(STANDING).items() if canonical(name) != canonical(label)
        }
    if not others:
        raise InputError(f"{label!r} can only be found among other labels; give some, or none for a standing set")
    _, cosine_TC = classifier.similarities(film.seconds, {label: own} | others)
    bar_T = np.quantile(cosine_TC[:, 1:], BAR, axis=1, method="higher")
    above_T = (cosine_TC[:, 0] - bar_T) / spread(cosine_TC)
    seen_T = steady(np.stack([np.zeros_like(above_T), above_T], axis=1), CHANGE)
    stretches = [(first, end) for first, end in runs(seen_T) if seen_T[first]]
    hits = [Span(a, min(b, film.duration_s), label, float(above_T[a:b].mean())) for a, b in stretches]
    return sorted(hits, key=lambda span: -span.score)


# Of arrays alone ----------------------------------------------------------------------------------------------------


def segment(cosine_TC: FloatArray, rejector: Rejector | None = None) -> IntArray:
    """(T,) the label of each second, `NONE` for none of them: the path with the greatest sum of similarity, less
    `CHANGE` for each change of label; for none of them counts what the best label would need for the rejector to accept
    it."""
    scores_TS = cosine_TC.astype(np.float64)
    if rejector is not None and (cosine_TC.shape[1] > 1 or rejector.kind not in NOT_ALONE):
        scores_TS = np.column_stack([scores_TS, needed(cosine_TC, rejector)])
    states_T = steady(scores_TS / spread(scores_TS), CHANGE)
    return np.where(states_T == cosine_TC.shape[1], NONE, states_T)


def needed(cosine_TC: FloatArray, rejector: Rejector) -> DoubleArray:
    """(T,) the similarity from which on the best label would be accepted: more than it has, where it is rejected."""
    known_T = confidence(cosine_TC, rejector.kind, rejector.temperature)
    lacking_T = rejector.threshold - known_T
    if rejector.kind == "probability":  # log-odds times T are a difference of similarities
        bound, odds_T = (logit(np.clip(chance, 1e-12, 1 - 1e-12)) for chance in (rejector.threshold, known_T))
        lacking_T = rejector.temperature * (bound - odds_T)
    undecided_T = np.isneginf(known_T)  # accepted at no threshold: as clear as the clearest second
    lacking_T[undecided_T] = np.abs(lacking_T[~undecided_T]).max(initial=0) if not undecided_T.all() else 1.0
    return cosine_TC.max(axis=1).astype(np.float64) + lacking_T


def spread(scores_TS: npt.NDArray[np.floating]) -> float:
    """The standard deviation of scores around the mean of their second; 1 where all are equal."""
    deviation = float(np.sqrt(np.mean((scores_TS - scores_TS.mean(axis=1, keepdims=True)) ** 2, dtype=np.float64)))
    return deviation if deviation > 0 else 1.0


def steady(scores_TS: DoubleArray, change: float) -> IntArray:
    """(T,) the states with the greatest sum of scores, less `change` for each change of state (Viterbi 1967); of equal
    ones the path that stays, and the lowest state."""
    length, states = scores_TS.shape
    came_from_TS = np.zeros((length, states), np.int64)
    total_S = scores_TS[0].copy()
    for second in range(1, length):
        best = total_S.argmax()
        moved = total_S[best] - change
        came_from_TS[second] = np.where(total_S >= moved, np.arange(states), best)
        total_S = np.maximum(total_S, moved) + scores_TS[second]
    chosen_T = np.full(length, total_S.argmax())
    for second in range(length - 1, 0, -1):
        chosen_T[second - 1] = came_from_TS[second, chosen_T[second]]
    return chosen_T


def runs(values_T: IntArray) -> list[tuple[int, int]]:
    """First second and end of each run of equal values."""
    return list(pairwise([0, *(np.flatnonzero(np.diff(values_T)) + 1).tolist(), len(values_T)]))


# As files: what was seen; stretches that show none of the labels are left out ---------------------------------------


@dataclass(frozen=True)
class Timeline:
    """What was seen in one film."""

    path: str
    model: str  # the run or encoder that answered
    fps: float | None  # pictures a second, if known
    spans: Sequence[Span]
    note: str = ""  # what else should be said, such as that labels were shown by examples

    @property
    def labelled(self) -> list[tuple[Span, str]]:
        """The spans that show one of the labels, with that label."""
        return [(span, span.label) for span in self.spans if span.label is not None]


def ids(paths: Sequence[str]) -> list[str]:
    """A name for each film, all different: the file's without its suffix, "name (2)" for the second of a name."""
    names: list[str] = []
    for path in paths:
        stem = name = printable(Path(path).stem)
        numbers = count(2)
        while name in names:
            name = f"{stem} ({next(numbers)})"
        names.append(name)
    return names


def to_csv(timelines: Sequence[Timeline]) -> str:
    """A line for each span; `probability` is empty where the model gives none."""
    import pandas as pd

    rows = []
    for film in timelines:
        for span, label in film.labelled:
            start, end = (f"{time_s:.{SECOND_DIGITS}f}" for time_s in (span.start_s, span.end_s))
            probability = "" if span.probability is None else f"{span.probability:.{DIGITS}f}"
            score = f"{span.score:.{DIGITS}f}"
            rows.append((printable(film.path), start, end, label, score, probability, film.model))
    return csv_of(pd.DataFrame(rows, columns=CSV_COLUMNS))


def to_activitynet(timelines: Sequence[Timeline]) -> str:
    """ActivityNet's submission form for temporal localisation, version 1.3; of `v_<id>`, as the data set names files,
    the id is kept."""
    results = {
        re.sub(r"^v_([\w-]{11})\Z", r"\1", name): [
            {"label": label, "score": round(span.score, DIGITS),
             "segment": [round(float(time_s), SECOND_DIGITS) for time_s in (span.start_s, span.end_s)]}
            for span, label in film.labelled
        ]
        for name, film in zip(ids([film.path for film in timelines]), timelines, strict=True)
    }  # fmt: skip
    models = ", ".join(dict.fromkeys(film.model for film in timelines))
    how = next((film.note for film in timelines if film.note), "zero-shot")
    used = {"used": True, "details": f"CEZSAR, {how}, with {models}" if models else "CEZSAR"}
    return _json({"version": "VERSION 1.3", "results": results, "external_data": used})


def to_webvtt(film: Timeline) -> str:
    """One film's labels as subtitles (WebVTT, W3C)."""
    cues = [
        f"{_clock(span.start_s)} --> {_clock(span.end_s)}\n{html.escape(' '.join(label.split()), quote=False)}\n"
        for span, label in film.labelled
    ]
    return "\n".join(["WEBVTT\n", *cues])


def to_label_studio(timelines: Sequence[Timeline]) -> str:
    """Tasks with predictions for `TimelineLabels` (name "actions") on a `Video` ("video"): frames from 1, both ends
    included, at the task's `fps`."""
    tasks = []
    for film in timelines:
        fps = film.fps or ANY_FPS
        result: list[dict[str, Any]] = []
        for number, (span, label) in enumerate(film.labelled, start=1):
            first = round(span.start_s * fps) + 1
            frames = {"start": first, "end": max(first, round(span.end_s * fps))}
            result.append(
                {"id": f"span-{number}", "type": "timelinelabels", "from_name": "actions", "to_name": "video",
                 "value": {"ranges": [frames], "timelinelabels": [label]}, "score": round(span.score, DIGITS)}
            )  # fmt: skip
        data = {"video": printable(film.path), "fps": round(fps, DIGITS)}
        tasks.append({"data": data, "predictions": [{"model_version": film.model, "result": result}]})
    return _json(tasks)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _clock(time_s: float) -> str:
    """hh:mm:ss.ttt"""
    minutes, rest = divmod(round(time_s * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
