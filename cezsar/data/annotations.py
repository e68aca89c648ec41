"""Captions of videos: people's, with times, to train on; machines', the third modality C(v).

| file | form |
|---|---|
| annotations (ActivityNet Captions, Krishna et al., ICCV 2017) | `{video id: {"duration": s, "timestamps": [[start_s, end_s], ...], "sentences": [str, ...]}}` |
| captions (its submission form), one file for each captioning model | `{"results": {video id: [{"sentence": str, "timestamp": [start_s, end_s]}, ...]}}` |
"""  # noqa: E501 (a table)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError

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
    """The usable segments of a file, and how many had to be changed or left out."""

    segments: list[Segment] = field(default_factory=list)  # in the order of the file
    durations: dict[str, float] = field(default_factory=dict)  # video id -> seconds, of all videos
    swapped: int = 0  # their start came after their end: exchanged
    clipped: int = 0  # they reached outside the video by more than `ROUNDING_S`: cut to it
    widened: int = 0  # of no length: made `WIDENED_S` long
    dropped_outside: int = 0  # wholly outside the video
    dropped_empty: int = 0  # without a sentence

    @property
    def dropped(self) -> int:
        """Segments of the file that are not in `segments`."""
        return self.dropped_outside + self.dropped_empty

    @property
    def repairs(self) -> list[str]:
        """What had to be done to the file, in words."""
        told = (
            (self.swapped, "segments start after they end: both times were exchanged"),
            (self.clipped, "segments reach outside their video and were cut to it"),
            (self.widened, "segments have no length and were widened"),
            (self.dropped_outside, "segments lie outside their video and were left out"),
            (self.dropped_empty, "segments have no sentence and were left out"),
        )
        return [f"{count:,} {words}" for count, words in told if count]


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
        keys = ("duration", "timestamps", "sentences")
        if not isinstance(entry, dict) or any(key not in entry for key in keys):
            raise FormatError(
                f"{where} lacks one of {', '.join(keys)}; this is no ActivityNet Captions file, or cut short"
            )
        duration_s, timestamps, sentences = (entry[key] for key in keys)
        if not _is_time(duration_s) or duration_s <= 0:
            raise FormatError(f"{where}: the duration {duration_s!r} is no positive number of seconds; correct it")
        if not isinstance(timestamps, list) or not isinstance(sentences, list) or len(timestamps) != len(sentences):
            count = [len(values) if isinstance(values, list) else repr(values) for values in (timestamps, sentences)]
            raise FormatError(
                f"{where} has {count[0]} timestamps for {count[1]} sentences; each sentence needs its own"
            )
        annotations.durations[id] = float(duration_s)
        for times, sentence in zip(timestamps, sentences, strict=True):
            if not isinstance(sentence, str):
                raise FormatError(f"{where}: the sentence {sentence!r} is no text; put it in quotes or remove it")
            if not isinstance(times, list) or len(times) != 2 or not all(map(_is_time, times)):
                raise FormatError(
                    f"{where}: the timestamp {times!r} is no pair [start_s, end_s] of numbers; correct it"
                )
            _add(annotations, id, float(times[0]), float(times[1]), sentence.strip())
    if not annotations.segments:
        raise FormatError(f"{path} has no usable segment ({annotations.dropped} dropped); is it the right file?")
    return annotations


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


def load_captions(paths: str | Path | Sequence[str | Path]) -> dict[str, list[str]]:
    """All machine captions of each video: file after file, in the order in which each file has them.

    Sentences lose the spaces around them and empty ones are dropped; a video whose captions are all empty is absent. A
    sentence that two models agree on is there twice. Timestamps are not used.

    Raises:
        InputError: no file is given, or there is none of that name.
        FormatError: not UTF-8, not JSON, not the form above, a video given twice in one file, or no caption at all; the
            message names the file and the line or the video.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise InputError("no caption file is given; name at least one")
    captions: dict[str, list[str]] = {}
    for file in files:
        for id, entries in caption_entries(file).items():
            captions.setdefault(id, []).extend(entry["sentence"].strip() for entry in entries)
    return captions


def caption_entries(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Video id -> the entries of one file of machine captions that have a sentence. Raises as `load_captions`."""
    results = read_json_object(path).get("results")
    if not isinstance(results, dict):
        raise FormatError(f'{path} is no caption file: it should have {{"results": {{video id: [...]}}}}')
    captions = {}
    for id, entries in results.items():
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("sentence"), str) for entry in entries
        ):
            raise FormatError(f'{path}: video {id!r} should have a list of {{"sentence": text, "timestamp": [s, s]}}')
        if said := [entry for entry in entries if entry["sentence"].strip()]:
            captions[id] = said
    if not captions:
        raise FormatError(f"{path} has no caption; is it the right file?")
    return captions
