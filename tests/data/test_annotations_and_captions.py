"""Timestamped captions and machine captions: what is kept, changed, dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cezsar.data.annotations import CLIPPED, EMPTY, OUTSIDE, SWAPPED, WIDENED, Segment, load_annotations, load_captions


def annotate(tmp_path: Path, *segments: tuple[float, float, str], duration: float = 10.0) -> Any:
    entry = {"duration": duration, "timestamps": [s[:2] for s in segments], "sentences": [s[2] for s in segments]}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"v": entry, "w": {"duration": 3, "timestamps": [[0, 3]], "sentences": ["ok"]}}))
    return load_annotations(path)


def test_plain_file(tmp_path: Path) -> None:
    read = annotate(tmp_path, (0, 4.5, "  A man runs. "), (4.5, 10, "Er hüpft\n."))
    assert read.segments == [
        Segment("v", 0.0, 4.5, "A man runs."),
        Segment("v", 4.5, 10.0, "Er hüpft\n."),
        Segment("w", 0.0, 3.0, "ok"),
    ]
    assert read.durations == {"v": 10.0, "w": 3.0}
    assert read.repairs == [] and read.dropped == 0


@pytest.mark.parametrize(
    ("start_s", "end_s", "kept", "counted"),
    [
        (6, 2, (2, 6), SWAPPED),
        (-3, 2, (0, 2), CLIPPED),
        (8, 12, (8, 10), CLIPPED),
        (-1, 11, (0, 10), CLIPPED),
        (8, 10.0005, (8, 10), None),  # rounding
        (5, 5, (4.5, 5.5), WIDENED),
        (0, 0, (0, 1), WIDENED),
        (10, 10, (9, 10), WIDENED),
        (11, 12, None, OUTSIDE),
        (10, 12, None, OUTSIDE),
        (-2, -1, None, OUTSIDE),
        (11, 11, None, OUTSIDE),
    ],
)
def test_odd_times(
    tmp_path: Path, start_s: float, end_s: float, kept: tuple[float, float] | None, counted: str | None
) -> None:
    read = annotate(tmp_path, (start_s, end_s, "s"))
    assert [(s.start_s, s.end_s) for s in read.segments if s.video_id == "v"] == ([kept] if kept else [])
    assert +read.changes == ({counted: 1} if counted else {})


def test_swapped_and_beyond_counts_as_both(tmp_path: Path) -> None:
    read = annotate(tmp_path, (12, 2, "s"), (1, 2, "  "), (3, 4, ""))
    assert +read.changes == {SWAPPED: 1, CLIPPED: 1, EMPTY: 2} and read.dropped == 2
    assert [(s.start_s, s.end_s) for s in read.segments] == [(2, 10), (0, 3)]


def test_a_short_video_is_the_second_around_a_moment_in_it(tmp_path: Path) -> None:
    read = annotate(tmp_path, (0.2, 0.2, "s"), duration=0.5)
    assert (read.segments[0].start_s, read.segments[0].end_s) == (0.0, 0.5)


def write_captions(path: Path, **videos: list[str]) -> Path:
    results = {id: [{"sentence": s, "timestamp": [0, 1]} for s in sentences] for id, sentences in videos.items()}
    path.write_text(json.dumps({"version": "1.0", "results": results}))
    return path


def test_captions_of_several_models(tmp_path: Path) -> None:
    one = write_captions(tmp_path / "one.json", v=[" a man ", "", "runs"], w=["  "])
    two = write_captions(tmp_path / "two.json", u=["other"], v=["a man"])
    assert load_captions([one, two]) == {"v": ["a man", "runs", "a man"], "u": ["other"]}
    assert load_captions(one) == {"v": ["a man", "runs"]}
