"""Timestamped captions of untrimmed videos, in the form of ActivityNet Captions (Krishna et al., ICCV 2017).

`{video id: {"duration": s, "timestamps": [[start_s, end_s], ...], "sentences": [str, ...]}}`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError

ROUNDING_S = 1e-3
"""Times this far outside the video are rounding (published: 95.04 of 95.03999999999999): clipped, not counted."""
MAX_S = 1e9
"""Times are smaller than this; anything else is a mistake."""
WIDENED_S = 1.0
"""Length given to a segment that starts and ends at one time: the second of video around it."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a video and the sentence that describes it; 0 <= start_s < end_s <= duration."""

    video_id: str
    start_s: float
    end_s: float
    sentence: str


@dataclass
class Annotations:
    """The usable segments of a file, and what was done to make them so.

    Attributes:
        segments: in the order of the file.
        durations: video id -> seconds, videos without a usable segment included.
        swapped: segments whose start came after their end, exchanged.
        clipped: segments that reached outside the video by more than `ROUNDING_S`, cut to it.
        widened: segments of no length, made `WIDENED_S` long.
        dropped_outside: segments that lie wholly outside the video, dropped.
        dropped_empty: segments with an empty sentence, dropped.
    """

    segments: list[Segment] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    swapped: int = 0
    clipped: int = 0
    widened: int = 0
    dropped_outside: int = 0
    dropped_empty: int = 0

    @property
    def dropped(self) -> int:
        """Segments of the file that are not in `segments`."""
        return self.dropped_outside + self.dropped_empty


def load_annotations(path: str | Path) -> Annotations:
    """Read a file of ActivityNet Captions. Sentences lose the spaces around them; times must be numbers, not text.

    Raises:
        InputError: there is no such file.
        FormatError: not UTF-8, not JSON, a video given twice, a duration that is no positive number, a timestamp that
            is no pair of numbers, unlike numbers of timestamps and sentences; the message names the line or the video.
    """
    annotations = Annotations()
    for id, entry in read_json_object(path).items():
        where = f"{path}: video {id!r}"
        duration_s, timestamps, sentences = _entry(where, entry)
        annotations.durations[id] = duration_s
        for timestamp, sentence in zip(timestamps, sentences, strict=True):
            if not isinstance(sentence, str):
                raise FormatError(f"{where}: the sentence {sentence!r} is no text; put it in quotes or remove it")
            start_s, end_s = _pair(where, timestamp)
            _add(annotations, id, start_s, end_s, sentence.strip())
    if not annotations.segments:
        raise FormatError(f"{path} has no usable segment ({annotations.dropped} dropped); is it the right file?")
    return annotations


def _entry(where: str, entry: Any) -> tuple[float, list[Any], list[Any]]:
    keys = ("duration", "timestamps", "sentences")
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        raise FormatError(f"{where} lacks one of {', '.join(keys)}; this is no ActivityNet Captions file, or cut short")
    duration_s, timestamps, sentences = (entry[key] for key in keys)
    if not _is_time(duration_s) or duration_s <= 0:
        raise FormatError(f"{where}: the duration {duration_s!r} is no positive number of seconds; correct it")
    if not isinstance(timestamps, list) or not isinstance(sentences, list) or len(timestamps) != len(sentences):
        count = [len(values) if isinstance(values, list) else repr(values) for values in (timestamps, sentences)]
        raise FormatError(f"{where} has {count[0]} timestamps for {count[1]} sentences; each sentence needs its own")
    return float(duration_s), timestamps, sentences


def _pair(where: str, timestamp: Any) -> tuple[float, float]:
    if not isinstance(timestamp, list) or len(timestamp) != 2 or not all(_is_time(time) for time in timestamp):
        raise FormatError(f"{where}: the timestamp {timestamp!r} is no pair [start_s, end_s] of numbers; correct it")
    return float(timestamp[0]), float(timestamp[1])


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_S  # false for NaN


def _add(annotations: Annotations, id: str, start_s: float, end_s: float, sentence: str) -> None:
    """Add a segment as it should be, and count what had to be done."""
    duration_s = annotations.durations[id]
    if not sentence:
        annotations.dropped_empty += 1
        return
    if start_s > end_s:
        start_s, end_s = end_s, start_s
        annotations.swapped += 1
    moment = start_s == end_s
    beyond = start_s < -ROUNDING_S or end_s > duration_s + ROUNDING_S
    start_s, end_s = min(max(start_s, 0.0), duration_s), min(max(end_s, 0.0), duration_s)
    if start_s == end_s and (beyond or not moment):
        annotations.dropped_outside += 1
        return
    annotations.clipped += beyond
    if moment:
        start_s = max(0.0, min(start_s - WIDENED_S / 2, duration_s - WIDENED_S))
        end_s = min(start_s + WIDENED_S, duration_s)
        annotations.widened += 1
    annotations.segments.append(Segment(id, start_s, end_s, sentence))
