"""Machine captions of videos, the third modality C(v), in the submission form of ActivityNet Captions.

`{"results": {video id: [{"sentence": str, "timestamp": [start_s, end_s]}, ...]}}`, one file per captioning model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError


def load_captions(paths: str | Path | Sequence[str | Path]) -> dict[str, list[str]]:
    """All captions of each video: file after file, in the order in which each file has them.

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
        read = _load(file)
        for id, sentences in read.items():
            captions.setdefault(id, []).extend(sentences)
    return captions


def _load(path: str | Path) -> dict[str, list[str]]:
    results = read_json_object(path).get("results")
    if not isinstance(results, dict):
        raise FormatError(f'{path} is no caption file: it should have {{"results": {{video id: [...]}}}}')
    captions: dict[str, list[str]] = {}
    for id, entries in results.items():
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("sentence"), str) for entry in entries
        ):
            raise FormatError(f'{path}: video {id!r} should have a list of {{"sentence": text, "timestamp": [s, s]}}')
        sentences = [entry["sentence"].strip() for entry in entries]
        if any(sentences):
            captions[id] = [sentence for sentence in sentences if sentence]
    if not captions:
        raise FormatError(f"{path} has no caption; is it the right file?")
    return captions
