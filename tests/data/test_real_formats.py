"""The published files themselves, where they are at hand: set CEZSAR_REAL_FORMATS to the folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cezsar.data.annotations import load_annotations
from cezsar.data.labels import canonical, load_index, load_split, read_label_list, resolve, shared_classes

FOLDER = Path(os.environ.get("CEZSAR_REAL_FORMATS", "not-set"))
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="CEZSAR_REAL_FORMATS names no folder"),
]
LISTS = {"ucf101": ("ucf101_label_map", 101), "hmdb51": ("hmdb51_label_map", 51)}
LISTS |= {"kinetics400": ("kinetics_label_map_k400", 400), "kinetics600": ("kinetics_label_map_k600", 600)}


def test_activitynet_captions() -> None:
    read = load_annotations(FOLDER / "captions/activitynet_val_1.json")
    assert (len(read.segments), len(read.durations), len({s.video_id for s in read.segments})) == (17_505, 4_917, 4_917)
    assert (read.swapped, read.widened, read.dropped) == (0, 0, 0) and read.clipped == 5


@pytest.mark.parametrize("name", LISTS)
def test_label_lists(name: str) -> None:
    file, classes = LISTS[name]
    names = read_label_list(FOLDER / f"labels/{file}.txt")
    assert len(names) == len({canonical(name) for name in names}) == classes


@pytest.mark.parametrize(
    ("file", "training", "testing", "shared"),
    [
        ("ucf101_truezsl_splits", 67, 34, 0),
        ("ucf101_truezsl2.0_splits", 70, 31, 0),
        ("ucf101_hard_cases_splits", 92, 15, 6),
        ("ucf101_semantic_gap_cases_splits", 97, 4, 0),
        ("hmdb51_truezsl_splits", 29, 22, 0),
        ("kinetics400_splits", 0, 400, 0),
    ],
)
def test_splits_resolve_to_their_label_lists(file: str, training: int, testing: int, shared: int) -> None:
    split = load_split(FOLDER / f"splits/{file}.json")
    assert {part: len(names) for part, names in split.items()} == {"training": training, "testing": testing}
    assert len(shared_classes(split)) == shared
    known = read_label_list(FOLDER / f"labels/{LISTS[file.split('_')[0]][0]}.txt")
    for names in split.values():
        assert len(set(resolve(names, known))) == len(names)


def test_index_of_ucf101() -> None:
    index = load_index(FOLDER / "splits/ucf101_dataset.json")
    assert (len(index), sum(map(len, index.values()))) == (101, 13_320)
