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
from cezsar.video import Decoder, Frame, Limits, VideoInfo
from cezsar.zeroshot.classifier import Classifier

FloatArray = npt.NDArray[np.float32]

WINDOW_S = 5
BLOCK_S = 120  # encoded at once: whole windows of the encoders of moving pictures, which see ten seconds
PATIENCE = 4.0  # decoding that takes longer than so many times the film hangs
LONGEST_S = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class Film:
    """Embeddings of the window around each second; the labels it is held against can change without a second look.

    Attributes:
        duration_s: T, or up to a second less where the file says so.
        fps: pictures a second; None where the file does not say.
        modalities: "VE", "O" -> (T, E).
    """

    path: str
    duration_s: float
    fps: float | None
    modalities: dict[str, FloatArray]

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
    if window_s < 1:
        raise InputError(f"a window of {window_s} s was asked for; give at least 1")
    with Decoder() as decoder:
        info = decoder.probe(path)
    time_s = min(Limits().time_s + PATIENCE * (info.duration_s or math.inf), LONGEST_S)
    parts: list[dict[str, FloatArray]] = []
    with Decoder(replace(Limits(), time_s=time_s)) as decoder:
        frames = _told(decoder.frames(path, classifier.encoder.sampling), info, progress)
        for windows in _windows(_blocks(classifier.encoder, frames), window_s):
            if windows:
                parts.append(classifier.rows(windows))
    modalities = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seconds = len(next(iter(modalities.values())))
    told_s = info.duration_s or seconds
    return Film(str(path), told_s if seconds - 1 < told_s < seconds else seconds, info.fps, modalities)


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


def _windows(blocks: Iterable[FloatArray], length: int) -> Iterator[list[FloatArray]]:
    """For each second the rows around it, `length` of them but at the film's ends, as soon as they are there."""
    before, after = length // 2, (length - 1) // 2
    kept_TD, second = None, 0  # rows that windows may still need, and which of them is the next one's middle
    for block_TD in blocks:
        kept_TD = block_TD if kept_TD is None else np.concatenate([kept_TD, block_TD])
        ready = max(second, len(kept_TD) - after)
        yield [kept_TD[max(0, t - before) : t + after + 1] for t in range(second, ready)]
        dropped = max(0, ready - before)
        kept_TD, second = kept_TD[dropped:], ready - dropped
    if kept_TD is not None:
        yield [kept_TD[max(0, t - before) : t + after + 1] for t in range(second, len(kept_TD))]
