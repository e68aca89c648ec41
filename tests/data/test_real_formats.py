"""The published files themselves, where they are at hand: set CEZSAR_REAL_FORMATS to the folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cezsar.data.annotations import load_annotations
from cezsar.data.datasets import KNOWN, open_dataset, register
from cezsar.data.labels import canonical, load_index, load_split, read_label_list, resolve, shared_classes
from cezsar.data.layout import look, ucf101_clips

FOLDER = Path(os.environ.get("CEZSAR_REAL_FORMATS", "not-set"))
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="CEZSAR_REAL_FORMATS names no folder"),
]
LISTS = {"ucf101": ("ucf101_label_map", 101), "hmdb51": ("hmdb51_label_map", 51)}
LISTS |= {"kinetics400": ("kinetics_label_map_k400", 400), "kinetics600": ("kinetics_label_map_k600", 600)}
SPLITS = {
    "ucf101_truezsl_splits": (67, 34, 0),
    "ucf101_truezsl2.0_splits": (70, 31, 0),
    "ucf101_hard_cases_splits": (92, 15, 6),
    "ucf101_semantic_gap_cases_splits": (97, 4, 0),
    "hmdb51_truezsl_splits": (29, 22, 0),
    "kinetics400_splits": (0, 400, 0),
}


def test_activitynet_captions() -> None:
    read = load_annotations(FOLDER / "captions/activitynet_val_1.json")
    assert (len(read.segments), len(read.durations), len({s.video_id for s in read.segments})) == (17_505, 4_917, 4_917)
    assert read.repairs == ["5 segments reach outside their video and were cut to it"]
    counted = "the lists here name 4,917 clips, 14,926 expected; check train.json and val_1.json"
    assert counted in look(KNOWN["activitynet-captions"], FOLDER / "captions").warnings


def test_label_lists_and_splits() -> None:
    known = {name: read_label_list(FOLDER / f"labels/{file}.txt") for name, (file, _) in LISTS.items()}
    for name, (_, classes) in LISTS.items():
        assert len(known[name]) == len({canonical(each) for each in known[name]}) == classes
    for file, (training, testing, shared) in SPLITS.items():
        split = load_split(FOLDER / f"splits/{file}.json")
        assert {part: len(names) for part, names in split.items()} == {"training": training, "testing": testing}
        assert len(shared_classes(split)) == shared
        for names in split.values():
            assert len(set(resolve(names, known[file.split("_")[0]]))) == len(names)


def test_index_of_ucf101(tmp_path: Path) -> None:
    index = load_index(FOLDER / "splits/ucf101_dataset.json")
    published = {id: canonical(label) for label, ids in index.items() for id in ids}
    assert (len(index), len(published)) == (101, 13_320)
    assert {id: canonical(label) for id, label in ucf101_clips().items()} == published
    register("ucf101", FOLDER / "splits/ucf101_dataset.json", tmp_path)
    data = open_dataset("ucf101", tmp_path)
    assert {id: canonical(label) for id, label in data.labels.items()} == published and data.warnings == []
