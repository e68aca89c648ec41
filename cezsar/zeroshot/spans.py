"""When it happens: a film of any length, the labels' similarities in each second, and spans (start, end, label).

Shape letters: T seconds, C labels, S states: the labels, and "none of these" where there is a rejector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.data.datasets import named_descriptions
from cezsar.data.labels import canonical
from cezsar.errors import InputError
from cezsar.video import Decoder, Frame, VideoInfo
from cezsar.zeroshot.classifier import STANDING, WINDOW_S, Classifier, Descriptions, EmbeddedClip, warning_of
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import NOT_ALONE, Rejector, confidence, goes_with, probabilities

CHANGE = 2.0
"""What a change of label costs, in standard deviations of the similarities for one second (`docs/spans.md`)."""

BAR = 0.95  # share of the other descriptions that a label must be above, to be found where it is searched for
NONE = -1  # instead of a label's index


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
    """What happens from `start_s` to `end_s`, in seconds from the film's start.

    `score` is the mean cosine similarity of the label, or of the nearest label where it is none of them; from `find`,
    how far the label is above the bar, in standard deviations.
    """

    start_s: float
    end_s: float
    label: str | None  # None where it is none of the labels
    score: float
    probability: float | None = None  # mean, among the labels; None where the run was not calibrated, and without label


def read(
    classifier: Classifier,
    path: str | Path,
    *,
    window_s: int = WINDOW_S,
    progress: Callable[[int, int], object] | None = None,
) -> Film:
    """Decode and embed a film: the slow part, needed once.

    Frames are encoded and forgotten one after the other; what stays is a row of features for each second.

    Args:
        window_s: seconds that are looked at together, around each second; at the film's ends fewer.
        progress: called with the seconds done and those in all, as far as the file says.

    Raises:
        VideoError: the file cannot be decoded.
        InputError: `window_s` below 1.
    """
    if window_s < 1:
        raise InputError(f"a window of {window_s} s was asked for; give at least 1")
    with Decoder() as decoder:
        info = decoder.probe(path)
        frames = decoder.frames(path, classifier.encoder.sampling)
        features_TD = classifier.encoder.encode(frames if progress is None else _told(frames, info, progress))
        found = decoder.reading
    seconds, reading = classifier.seconds(features_TD, window_s), "" if found is None else found.words
    clip = EmbeddedClip(
        str(path), features_TD, [], None, None, seconds, classifier.distance(features_TD), reading=reading
    )
    return Film.of(classifier, clip, info, info.duration_s if found is None else found.read_s)


def _told(frames: Iterable[Frame], info: VideoInfo, progress: Callable[[int, int], object]) -> Iterator[Frame]:
    """The same frames; each new second is told."""
    done, total = 0, math.ceil(info.duration_s or 0)
    for frame in frames:
        yield frame
        if frame.time_s >= done:
            done = math.floor(frame.time_s) + 1
            progress(done, max(done, total))


# Spans --------------------------------------------------------------------------------------------------------------


def spans(
    classifier: Classifier,
    film: Film,
    labels: Sequence[str] | Descriptions | None = None,
    *,
    none: bool = True,
    weights: Weights | None = None,
) -> list[Span]:
    """What happens in a film, from its first second to its last, neighbours always of different labels.

    Args:
        labels: as in `Classifier.classify`.
        none: let "none of these" be an answer, where the classifier's rejector goes with the weights.

    Raises:
        InputError: no labels, or weights that leave nothing.
    """
    names, cosine_TC = classifier.similarities(film.seconds, labels, weights)
    rejector = classifier.rejector
    if rejector is not None and not goes_with(weights or classifier.weights, classifier.weights, film.seconds):
        rejector = None
    chosen_T = segment(cosine_TC, rejector if none else None)
    nearest_T = np.where(chosen_T == NONE, cosine_TC.argmax(axis=1), chosen_T)
    score_T = np.take_along_axis(cosine_TC, nearest_T[:, None], axis=1)[:, 0]
    likely_T = None
    if rejector is not None:
        chances_TC = probabilities(cosine_TC, rejector.temperature)
        likely_T = np.take_along_axis(chances_TC, nearest_T[:, None], axis=1)[:, 0]
    found = []
    for first, end in runs(chosen_T):
        label = None if chosen_T[first] == NONE else names[chosen_T[first]]
        probability = None if label is None or likely_T is None else float(likely_T[first:end].mean())
        found.append(Span(first, min(end, film.duration_s), label, float(score_T[first:end].mean()), probability))
    return found


def find(
    classifier: Classifier,
    film: Film,
    label: str,
    among: Sequence[str] | Descriptions | None = None,
    *,
    weights: Weights | None = None,
) -> list[Span]:
    """Where one action is seen, best first. A single label is known by what it is above, so it needs others.

    In each second the label is held against a bar: the similarity that 95 % of the others stay below (their best, where
    they are fewer than 20). Spans above the bar are found as in `spans`.

    Args:
        among: the others; the descriptions of Kinetics-400 by default. One that spells the label is no other.

    Returns:
        Spans of the label; `score` is how far it is above the bar, in standard deviations, to compare films by.

    Raises:
        InputError: there is no other label, or weights leave nothing.
    """
    described = named_descriptions(STANDING) if among is None else classifier.described(among)
    same = [name for name in described if canonical(name) == canonical(label)]
    own = described[same[0]] if same else classifier.described([label])[label]
    others = {name: sentences for name, sentences in described.items() if name not in same}
    if not others:
        raise InputError(f"{label!r} can only be found among other labels; give some, or none for a standing set")
    _, cosine_TC = classifier.similarities(film.seconds, {label: own} | others, weights)
    bar_T = np.quantile(cosine_TC[:, 1:], BAR, axis=1, method="higher")
    above_T = (cosine_TC[:, 0] - bar_T) / spread(cosine_TC)
    seen_T = steady(np.stack([np.zeros_like(above_T), above_T], axis=1), CHANGE)
    hits = [
        Span(first, min(end, film.duration_s), label, float(above_T[first:end].mean()))
        for first, end in runs(seen_T)
        if seen_T[first]
    ]
    return sorted(hits, key=lambda span: -span.score)


# Of arrays alone ----------------------------------------------------------------------------------------------------


def segment(cosine_TC: FloatArray, rejector: Rejector | None = None) -> IntArray:
    """(T,) the label of each second, `NONE` for none of them, without flicker.

    A second's evidence for a label is its similarity; for none of them, the similarity that the best label would need
    for the rejector to accept it. The labels are those of the path with the greatest sum of evidence, less `CHANGE` for
    each change of label: a short excursion does not pay for going there and back, and the change that remains falls on
    the second from which on the evidence speaks for the next label.
    """
    scores_TS = cosine_TC.astype(np.float64)
    if rejector is not None and (cosine_TC.shape[1] > 1 or rejector.kind not in NOT_ALONE):
        scores_TS = np.concatenate([scores_TS, needed(cosine_TC, rejector)[:, None]], axis=1)
    states_T = steady(scores_TS / spread(scores_TS), CHANGE)
    return np.where(states_T == cosine_TC.shape[1], NONE, states_T)


def needed(cosine_TC: FloatArray, rejector: Rejector) -> DoubleArray:
    """(T,) the similarity from which on the best label would be accepted: more than it has, where it is rejected."""
    best_T = cosine_TC.max(axis=1).astype(np.float64)
    known_T = confidence(cosine_TC, rejector.kind, rejector.temperature)
    lacking_T = rejector.threshold - known_T
    if rejector.kind == "probability":  # log-odds times T are a difference of similarities
        lacking_T = rejector.temperature * (_log_odds(rejector.threshold) - _log_odds(known_T))
    undecided_T = np.isneginf(known_T)  # accepted at no threshold: as clear as the clearest second
    lacking_T[undecided_T] = np.abs(lacking_T[~undecided_T]).max() if not undecided_T.all() else 1.0
    return best_T + lacking_T


def spread(scores_TS: npt.NDArray[np.floating]) -> float:
    """The standard deviation of scores around the mean of their second; 1 where all are equal."""
    deviation = float(np.sqrt(np.mean((scores_TS - scores_TS.mean(axis=1, keepdims=True)) ** 2, dtype=np.float64)))
    return deviation if deviation > 0 else 1.0


def steady(scores_TS: DoubleArray, change: float) -> IntArray:
    """(T,) the states with the greatest sum of scores, less `change` for each change of state (Viterbi 1967).

    Of equal paths the one that stays is taken, and the state of the lowest index.
    """
    length, states = scores_TS.shape
    stayed_TS = np.ones((length, states), bool)
    best_T = np.zeros(length, np.int64)  # the best state at the second before
    total_S = scores_TS[0].copy()
    for second in range(1, length):
        best_T[second] = total_S.argmax()
        moved = total_S[best_T[second]] - change
        stayed_TS[second] = total_S >= moved
        total_S = np.maximum(total_S, moved) + scores_TS[second]
    chosen_T = np.empty(length, np.int64)
    chosen_T[-1] = total_S.argmax()
    for second in range(length - 1, 0, -1):
        now = chosen_T[second]
        chosen_T[second - 1] = now if stayed_TS[second, now] else best_T[second]
    return chosen_T


def runs(values_T: IntArray) -> list[tuple[int, int]]:
    """First second and end of each run of equal values."""
    borders = [0, *(np.flatnonzero(np.diff(values_T)) + 1).tolist(), len(values_T)]
    return list(pairwise(borders))


def _log_odds(probability: npt.ArrayLike) -> DoubleArray:
    return np.asarray(logit(np.clip(np.asarray(probability, np.float64), 1e-12, 1 - 1e-12)))
