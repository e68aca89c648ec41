"""A film of any length -> what the window around each of its seconds is. The slow part, needed once.

Frames are decoded, encoded and forgotten block by block: memory does not grow with the film, but for a row of the joint
space for each second. Shape letters: T seconds, D feature, E embedding.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cezsar.encoders.base import FrameEncoder, LooksAround
from cezsar.errors import InputError
from cezsar.video import Decoder, Frame, VideoInfo
from cezsar.zeroshot.classifier import WINDOW_S, Classifier

FloatArray = npt.NDArray[np.float32]

BLOCK_S = 120  # encoded at once: whole windows of the encoders of moving pictures, which see ten seconds


@dataclass(frozen=True, eq=False)
class Film:
    """Embeddings of the window around each second; the labels it is held against can change without a second look.

    Attributes:
        duration_s: T, or up to a second less where the file says so.
        fps: pictures a second; None where the file does not say.
        modalities: "VE", "O" -> (T, E).
        warning: why the model should not be trusted with this film, or "".
        reading: what of the file could not be read, in words, or "".
    """

    path: str
    duration_s: float
    fps: float | None
    modalities: dict[str, FloatArray]
    warning: str = ""
    reading: str = ""

    @property
    def seconds(self) -> int:
        """T."""
        return len(next(iter(self.modalities.values())))


def read(
    classifier: Classifier,
    path: str | Path,
    *,
    window_s: int = WINDOW_S,
    progress: Callable[[int, int], object] | None = None,
) -> Film:
    """Decode and embed a film.

    Args:
        window_s: seconds that are looked at together, around each second; at the film's ends fewer.
        progress: called with the seconds done and those in all, as far as the file says.

    Raises:
        VideoError: the file cannot be decoded.
        InputError: `window_s` below 1.
    """
    with Decoder() as decoder:
        info = decoder.probe(path)
        frames = _told(decoder.frames(path, classifier.encoder.sampling), info, progress)
        film = _film(classifier, str(path), _blocks(classifier.encoder, frames), info, window_s)
        reading = decoder.reading
    if reading is None:
        return film
    return replace(film, reading=reading.words, duration_s=_duration(film.seconds, reading.read_s))


def of_features(
    classifier: Classifier, path: str, features_TD: FloatArray, info: VideoInfo, *, window_s: int = WINDOW_S
) -> Film:
    """The same from features that are already there, (T, D) of the classifier's encoder."""
    return _film(classifier, path, [features_TD], info, window_s)


def _film(classifier: Classifier, path: str, blocks: Iterable[FloatArray], info: VideoInfo, window_s: int) -> Film:
    if window_s < 1:
        raise InputError(f"a window of {window_s} s was asked for; give at least 1")
    parts: list[dict[str, FloatArray]] = []
    total_D, seconds = np.zeros(classifier.encoder.dim), 0
    for block_TD, windows in _windows(blocks, window_s):
        total_D += block_TD.sum(axis=0)
        seconds += len(block_TD)
        if windows:
            parts.append(classifier.rows(windows))
    modalities = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    known, mean_1D = classifier.familiarity, (total_D / seconds)[None].astype(np.float32)
    warning = "" if known is None else classifier.warning(known.distance(mean_1D))
    return Film(path, _duration(seconds, info.duration_s), info.fps, modalities, warning)


def _duration(seconds: int, told_s: float | None) -> float:
    """Where the last of so many seconds ends, by what is told if that is in it."""
    return told_s if told_s is not None and seconds - 1 < told_s < seconds else seconds


def _told(frames: Iterable[Frame], info: VideoInfo, progress: Callable[[int, int], object] | None) -> Iterator[Frame]:
    """The same frames; each new second is told."""
    done, total = 0, math.ceil(info.duration_s or 0)
    for frame in frames:
        yield frame
        if progress is not None and frame.time_s >= done:
            done = math.floor(frame.time_s) + 1
            progress(done, max(done, total))


def _blocks(encoder: FrameEncoder, frames: Iterable[Frame]) -> Iterator[FloatArray]:
    """(T, D) rows of one block of seconds after the other; joined they are what the encoder gives for the whole film.

    An encoder that looks around sees seconds of the block before and of the next one, too: the last rows of a block
    are kept back until the next block has given them once more, now with what comes after.
    """
    around = encoder.around_s if isinstance(encoder, LooksAround) else 0
    seconds = (list(group) for _, group in groupby(frames, key=lambda frame: int(frame.time_s + 1e-6)))
    border: list[list[Frame]] = []
    rest: FloatArray | None = None
    for second in seconds:
        seen: deque[list[Frame]] = deque(maxlen=2 * around)
        rows_TD = encoder.encode(_from_zero(chain(border, [second], islice(seconds, BLOCK_S - 1)), seen))
        rows_TD = rows_TD[around if border else 0 :]
        done = max(0, len(rows_TD) - around)
        yield rows_TD[:done]
        rest, border = rows_TD[done:], list(seen)
    if rest is not None:
        yield rest


def _from_zero(seconds: Iterable[list[Frame]], seen: deque[list[Frame]]) -> Iterator[Frame]:
    """The frames of some seconds as a clip of their own; the last seconds stay in `seen`."""
    start_s: int | None = None
    for second in seconds:
        start_s = int(second[0].time_s + 1e-6) if start_s is None else start_s
        seen.append(second)
        yield from (Frame(frame.time_s - start_s, frame.image) for frame in second)


def _windows(blocks: Iterable[FloatArray], length: int) -> Iterator[tuple[FloatArray, list[FloatArray]]]:
    """Each block, with the rows around each second for which they are there by now: `length`, at the film's ends fewer.

    An empty block follows at the end, with the last of them.
    """
    before, after = length // 2, (length - 1) // 2
    kept_TD, second = None, 0  # rows that windows may still need, and which of them is the next one's middle
    for block_TD in blocks:
        kept_TD = block_TD if kept_TD is None else np.concatenate([kept_TD, block_TD])
        ready = max(second, len(kept_TD) - after)
        yield block_TD, [kept_TD[max(0, t - before) : t + after + 1] for t in range(second, ready)]
        dropped = max(0, ready - before)
        kept_TD, second = kept_TD[dropped:], ready - dropped
    if kept_TD is not None:
        yield kept_TD[:0], [kept_TD[max(0, t - before) : t + after + 1] for t in range(second, len(kept_TD))]
