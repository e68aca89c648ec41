"""Captions of videos: people's, with times, to train on (in the form of ActivityNet Captions, Krishna et al., ICCV
2017); machines', the third modality C(v), in that of its submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cezsar.data.documents import read_json_object
from cezsar.errors import DAMAGED, FormatError, InputError

ROUNDING_S = 1e-3  # times this far outside the video (published: 95.04 of 95.03999999999999) are clipped, not counted
MAX_S = 1e9  # times are smaller; anything else is a mistake
WIDENED_S = 1.0  # length given to a segment that starts and ends at one time: the second of video around it
CHANGES = SWAPPED, CLIPPED, WIDENED, OUTSIDE, EMPTY = (
    "segments start after they end: both times were exchanged",
    "segments reach outside their video and were cut to it",
    "segments have no length and were widened",
    "segments lie outside their video and were left out",
    "segments have no sentence and were left out",
)


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
    changes: Counter[str] = field(default_factory=Counter)  # `SWAPPED` and the like -> segments

    @property
    def dropped(self) -> int:
        """Segments of the file that are not in `segments`."""
        return self.changes[OUTSIDE] + self.changes[EMPTY]

    @property
    def repairs(self) -> list[str]:
        """What had to be done to the file, in words."""
        return [f"{self.changes[kind]:,} {kind}" for kind in CHANGES if self.changes[kind]]


def load_annotations(path: str | Path) -> Annotations:
    """Read `{video id: {"duration": s, "timestamps": [[start_s, end_s], ...], "sentences": [str, ...]}}`; sentences
    lose the spaces around them. `FormatError` names the video."""
    read = Annotations()
    for id, entry in read_json_object(path).items():
        try:
            timestamps, sentences = entry.get("timestamps"), entry.get("sentences")
            read.durations[id] = duration_s = _seconds(entry.get("duration"))
            if duration_s <= 0:
                raise ValueError(f"the duration {entry['duration']!r} is not positive")
            if not isinstance(timestamps, list) or not isinstance(sentences, list) or len(timestamps) != len(sentences):
                raise ValueError("its timestamps and sentences are no lists of one length")
            for (start_s, end_s), sentence in zip(timestamps, sentences, strict=True):
                if not isinstance(sentence, str):
                    raise ValueError(f"the sentence {sentence!r} is no text")
                if not (text := sentence.strip()):
                    read.changes[EMPTY] += 1
                elif times := _repaired(_seconds(start_s), _seconds(end_s), duration_s, read.changes):
                    read.segments.append(Segment(id, *times, text))
        except DAMAGED as error:
            form = '{"duration": s, "timestamps": [[start_s, end_s], ...], "sentences": [text, ...]}'
            raise FormatError(f"{path}: video {id!r} is not usable ({error}); it should have {form}") from error
    if not read.segments:
        raise FormatError(f"{path} has no usable segment ({read.dropped} dropped); is it the right file?")
    return read


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < MAX_S:
        raise ValueError(f"{value!r:.40} is no number of seconds")
    return float(value)


def _repaired(start_s: float, end_s: float, duration_s: float, changes: Counter[str]) -> tuple[float, float] | None:
    """The times as they should be, None outside the video; what had to be done is counted."""
    changes[SWAPPED] += start_s > end_s
    start_s, end_s = sorted((start_s, end_s))
    moment = start_s == end_s
    beyond = start_s < -ROUNDING_S or end_s > duration_s + ROUNDING_S
    start_s, end_s = (min(max(time_s, 0.0), duration_s) for time_s in (start_s, end_s))
    if start_s == end_s and (beyond or not moment):
        changes[OUTSIDE] += 1
        return None
    changes[CLIPPED] += beyond
    changes[WIDENED] += moment
    if moment:
        start_s = max(0.0, min(start_s - WIDENED_S / 2, duration_s - WIDENED_S))
        end_s = min(start_s + WIDENED_S, duration_s)
    return start_s, end_s


def load_captions(paths: str | Path | Sequence[str | Path]) -> dict[str, list[str]]:
    """All machine captions of each video, file after file, without empty ones; a sentence that two models agree on is
    there twice. Raises as `caption_entries`, and `InputError` where no file is given."""
    return {
        id: [entry["sentence"].strip() for entry in entries] for id, entries in caption_entries(paths).items()
    }  # fmt: skip


def caption_entries(paths: str | Path | Sequence[str | Path]) -> dict[str, list[dict[str, Any]]]:
    """The entries that have a sentence, of files `{"results": {video id: [{"sentence": str, "timestamp": [start_s,
    end_s]}, ...]}}`, file after file. `FormatError` names the video."""
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise InputError("no caption file is given; name at least one")
    captions: dict[str, list[dict[str, Any]]] = {}
    for path in files:
        results, found = read_json_object(path).get("results"), False
        if not isinstance(results, dict):
            raise FormatError(f'{path} is no caption file: it should have {{"results": {{video id: [...]}}}}')
        for id, entries in results.items():
            try:
                if said := [entry for entry in entries if entry["sentence"].strip()]:
                    captions.setdefault(id, []).extend(said)
                    found = True
            except (AttributeError, KeyError, TypeError) as error:
                form = '{"sentence": text, "timestamp": [s, s]}'
                raise FormatError(f"{path}: video {id!r} should have a list of {form}") from error
        if not found:
            raise FormatError(f"{path} has no caption; is it the right file?")
    return captions
