"""`cezsar tau` says what the τ laboratory counts."""

import json
import re

import numpy as np
import pytest

from cezsar.cli import main
from cezsar.data.annotations import load_annotations
from cezsar.data.sentence_cache import open_encoder


def test_counts_are_those_of_all_pairs(workspace, tmp_path, capsys):
    out = tmp_path / "tau.json"
    annotations = workspace / "demo" / "train.json"
    with pytest.raises(SystemExit) as ended:
        main(["tau", str(annotations), "--taus", "0.8,0.6", "--negatives", "20", "--json", str(out)])
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    segments = load_annotations(annotations).segments
    vectors = open_encoder("minilm").encode([segment.sentence for segment in segments]).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    videos = np.array([segment.video_id for segment in segments])
    other = videos[:, None] != videos
    kept = json.loads(out.read_text())
    assert kept["sentences"] == len(segments) and [row["tau"] for row in kept["taus"]] == [0.6, 0.8]
    for row in kept["taus"]:
        within = (distance > 1e-6) & (distance < row["tau"]) & other
        assert row["pairs_below"] == pytest.approx(within.sum() / other.sum(), abs=2e-4)
        counts = within.sum(axis=1)
        assert row["too_few"] == pytest.approx((counts < 20).mean(), abs=0.02)
        assert row["candidates"][1] == pytest.approx(np.median(counts), abs=1)
        assert f"{row['pairs_below']:.2%}" in printed.out
    near = np.argwhere(np.triu((distance > 1e-6) & (distance < 0.05) & other))
    assert len(kept["near_duplicates"]) == len(near)
    assert re.search(rf"at any τ above: {len(near)} pairs", printed.out)


def test_repaired_annotations_are_told(tmp_path, capsys):
    times = [[0, 4], [3.5, 1], [2, 2], [3.9, 60], [10, 20], [0, 1]]
    entry = {
        "duration": 4.0,
        "timestamps": times,
        "sentences": ["A man runs.", "He stops.", "He sits.", "A dog.", "x", ""],
    }
    (tmp_path / "captions.json").write_text(json.dumps({"v_1": entry, "v_2": entry}))
    with pytest.raises(SystemExit):
        main(["tau", str(tmp_path / "captions.json")])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  2 segments")]
    assert told == [f"  {line}" for line in load_annotations(tmp_path / "captions.json").repairs] and len(told) == 5


def test_numbers_are_asked_for(workspace, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["tau", str(workspace / "demo" / "train.json"), "--taus", "low,high"])
    assert ended.value.code == 2 and "no list of numbers" in capsys.readouterr().err
