"""ActivityNet Captions (Krishna et al., ICCV 2017): untrimmed videos with timestamped sentences, to train on.

`train.json`, `val_1.json` and `val_2.json` (two people's sentences for the same videos), maybe with more before these
names (`activitynet_val_1.json`), and videos `v_<id>.mp4`. There are no classes here: `cezsar mine` takes the name,
or the JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from cezsar.data.annotations import load_annotations
from cezsar.data.layout import Contents, Known, files_in, videos_in

VIDEOS = {"train": 10_009, "val_1": 4_917, "val_2": 4_885}
"""File -> videos in it."""
SENTENCES_VAL_1 = 17_505

_NAME = re.compile(r"(?:.*[_-])?(train|val_1|val_2)", re.I)


def read(place: Path) -> Contents:
    """Caption files and videos in or below a folder; captions alone will do."""
    contents = Contents()
    for part, path in caption_files(place).items():
        read = load_annotations(path)
        sentences = len(read.segments) + read.dropped
        contents.sources.append(f"{path.name} with {len(read.durations):,} videos, {sentences:,} sentences")
        contents.listed |= dict.fromkeys(read.durations, "")
        contents.parts[part] = list(read.durations)
        if len(read.durations) != VIDEOS[part]:
            contents.warnings.append(f"{path.name} has {len(read.durations):,} videos, {VIDEOS[part]:,} expected")
        if part == "val_1" and sentences != SENTENCES_VAL_1:
            contents.warnings.append(f"{path.name} has {sentences:,} sentences, {SENTENCES_VAL_1:,} expected")
    clips = videos_in(place)
    contents.paths = {_captioned(clip.id, contents.listed): clip.path for clip in clips}
    contents.labels = dict.fromkeys(contents.paths, "")
    contents.sources.insert(0, f"{len(clips):,} videos" if clips else "no video")
    return contents


def _captioned(id: str, listed: Collection[str]) -> str:
    """The id that captions have for a video; many downloads name it without the "v_"."""
    return f"v_{id}" if id not in listed and f"v_{id}" in listed else id


def caption_files(place: Path) -> dict[str, Path]:
    """Part ("train", "val_1", "val_2") -> its JSON file, of those in or below a folder."""
    named = {path: _NAME.fullmatch(path.stem) for path in files_in(place, ".json")}
    return {match[1].lower(): path for path, match in named.items() if match}


KNOWN = Known(
    name="activitynet-captions",
    title="ActivityNet Captions",
    clips=14_926,
    classes=0,
    layout="train.json, val_1.json, val_2.json and videos v_<id>.mp4, or the JSON files alone",
    lists="train.json and val_1.json",
    read=read,
)
