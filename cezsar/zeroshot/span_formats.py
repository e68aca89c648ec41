"""Spans as files that other tools read: CSV, ActivityNet's submission form, WebVTT, Label Studio's pre-annotations.

They hold what was seen; stretches that show none of the labels are left out.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from cezsar.data.documents import printable
from cezsar.zeroshot.spans import Span

ANY_FPS = 25.0  # where a film does not say; Label Studio counts frames by the rate that its task tells
DIGITS, SECOND_DIGITS = 6, 3

_ACTIVITYNET_FILE = re.compile(r"v_([\w-]{11})")  # the data set's files are called v_<id>


@dataclass(frozen=True)
class Timeline:
    """What was seen in one film."""

    path: str
    model: str  # the run or encoder that answered
    fps: float | None  # pictures a second, if known
    spans: Sequence[Span]

    @property
    def labelled(self) -> list[tuple[Span, str]]:
        """The spans that show one of the labels, with that label."""
        return [(span, span.label) for span in self.spans if span.label is not None]


def ids(paths: Sequence[str]) -> list[str]:
    """A name for each film, all different: the file's without its suffix, "name (2)" for the second of a name."""
    names: dict[str, None] = {}
    for path in paths:
        stem = printable(Path(path).stem)
        numbered = (f"{stem} ({number})" for number in count(2))
        names[next(name for name in chain([stem], numbered) if name not in names)] = None
    return list(names)


def to_csv(timelines: Sequence[Timeline]) -> str:
    """A line for each span; `probability` is empty where the model gives none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["film", "start_s", "end_s", "label", "score", "probability", "model"])
    for film in timelines:
        for span, label in film.labelled:
            times = [f"{time_s:.{SECOND_DIGITS}f}" for time_s in (span.start_s, span.end_s)]
            probability = "" if span.probability is None else f"{span.probability:.{DIGITS}f}"
            numbers = [f"{span.score:.{DIGITS}f}", probability]
            writer.writerow([printable(film.path), *times, label, *numbers, film.model])
    return text.getvalue()


def to_activitynet(timelines: Sequence[Timeline]) -> str:
    """ActivityNet's submission form for temporal localisation, version 1.3.

    A film is called as in `ids`; of `v_<id>`, as the data set names its files, the id is kept.
    """
    results = {}
    for name, film in zip(ids([film.path for film in timelines]), timelines, strict=True):
        named = _ACTIVITYNET_FILE.fullmatch(name)
        results[named[1] if named else name] = [
            {"label": label, "score": round(span.score, DIGITS),
             "segment": [round(float(time_s), SECOND_DIGITS) for time_s in (span.start_s, span.end_s)]}
            for span, label in film.labelled
        ]  # fmt: skip
    models = list(dict.fromkeys(film.model for film in timelines))
    used = {"used": True, "details": f"CEZSAR, zero-shot, with {', '.join(models)}" if models else "CEZSAR"}
    return _json({"version": "VERSION 1.3", "results": results, "external_data": used})


def to_webvtt(film: Timeline) -> str:
    """One film's labels as subtitles (WebVTT, W3C)."""
    cues = [
        f"{_clock(span.start_s)} --> {_clock(span.end_s)}\n{html.escape(' '.join(label.split()), quote=False)}\n"
        for span, label in film.labelled
    ]
    return "\n".join(["WEBVTT\n", *cues])


def to_label_studio(timelines: Sequence[Timeline]) -> str:
    """Tasks with predictions for a labelling interface of `TimelineLabels` (name "actions") on a `Video` ("video").

    Ranges are frames, the first of them number 1, both ends included, at the rate that the task's `fps` tells.
    """
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
    thousandths = round(time_s * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
