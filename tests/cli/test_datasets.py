"""Data sets by name: `cezsar datasets`, and what `extract`, `mine` and `evaluate` do with a name."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cezsar.data.datasets import KNOWN, captions_of, is_name, open_dataset, register, videos_of
from cezsar.data.features import FeatureStore
from cezsar.data.layout import caption_files, ucf101_clips, ucf101_parts
from cezsar.errors import InputError

OFFICIAL = {"v_Archery_g01_c01": "Archery", "v_Archery_g10_c02": "Archery", "v_HandStandPushups_g01_c01": "Handstand"}


@pytest.fixture(autouse=True)
def _here(home):
    """Every test is in an empty folder, with an empty workspace."""


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write_film(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8, (48, 48))
    for frame in range(12):
        image = np.full((48, 48, 3), 40, np.uint8)
        image[10:30, 2 * frame : 2 * frame + 12] = shade
        writer.write(image)
    writer.release()


def ucf(home: Path) -> Path:
    """Three clips of UCF-101 in its own folders."""
    place = home / "data/ucf101/UCF-101"
    folders = {"Archery": "Archery", "Handstand": "HandstandPushups"}  # the archive spells the second another way
    for number, (id, label) in enumerate(OFFICIAL.items()):
        write_film(place / folders[label] / f"{id}.avi", 80 * number)
    return place


def activitynet(home: Path) -> Path:
    place = home / "data/activitynet-captions"
    entry = {"duration": 1.5, "timestamps": [[0, 1.5]]}
    said = ["A man throws a ball.", "A woman throws a ball.", "A girl throws the ball.", "A boy throws the big ball."]
    entries = {f"v_{number}": entry | {"sentences": [text]} for number, text in enumerate(said)}
    place.mkdir(parents=True)
    (place / "train.json").write_text(json.dumps(entries | {"v_gone": entry | {"sentences": ["Two men talk."]}}))
    (place / "activitynet_val_1.json").write_text(json.dumps({"v_8": entry | {"sentences": ["A dog runs."]}}))
    for number, id in enumerate([*entries, "v_8", "v_unlisted"]):
        write_film(place / "videos" / f"{id}.avi", 40 * number)
    return place


def test_clips_and_parts_have_the_ids_and_labels_of_an_evaluation(home):
    ucf(home)
    (clips, missing), data = videos_of("UCF-101"), open_dataset("ucf101")
    assert {clip.id: clip.label for clip in clips} == data.labels and len(clips) == 3
    assert all(clip.path.is_file() and clip.path.stem == clip.id for clip in clips)
    assert set(missing) == ucf101_clips().keys() - OFFICIAL.keys()
    part, (clips, missing) = set(ucf101_parts(ucf101_clips())["test1"]), videos_of("ucf101:test1")
    assert {clip.id for clip in clips} == OFFICIAL.keys() & part == OFFICIAL.keys() - {"v_Archery_g10_c02"}
    assert set(missing) == part - OFFICIAL.keys() == set(open_dataset("ucf101:test1").missing)


def test_videos_with_captions_and_no_others(home):
    with pytest.raises(InputError, match=r"ActivityNet Captions has no train\.json in .*--add activitynet-captions"):
        captions_of("activitynet-captions")
    place = activitynet(home)
    clips, missing = videos_of("activitynet-captions")
    assert [clip.id for clip in clips] == ["v_0", "v_1", "v_2", "v_3", "v_8"] and missing == ["v_gone"]
    clips, missing = videos_of("activitynet-captions:val_1")
    assert [clip.id for clip in clips] == ["v_8"] and not missing
    assert captions_of("activitynet-captions") == place / "train.json"
    assert captions_of("activitynet_captions:val_1") == place / "activitynet_val_1.json"
    with pytest.raises(InputError, match="no part 'val_2' here; there are train, val_1"):
        videos_of("activitynet-captions:val_2")
    for file in caption_files(place).values():
        file.unlink()
    assert len(videos_of("activitynet-captions")[0]) == 6  # no list, no choice


def test_what_is_a_name_and_what_a_path(home, tmp_path):
    touch(tmp_path / "mine/jump/1.mp4", Path("ucf101/Archery/x.avi"), Path("clips/a.mp4"))
    register("my clips", tmp_path / "mine")
    names = ["ucf101", "UCF-101", "ucf101:test1", "kinetics400:val", "activitynet-captions", "demo", "my clips"]
    paths = ["./ucf101", "ucf101/", "/data/ucf101", "clips", "clips.csv", "my clips.csv", "..", ".", "", "data/x.json"]
    assert [name for name in names + paths if is_name(name)] == names


def test_extract_by_name_and_by_path_give_one_store(cezsar, home):
    place = ucf(home)
    extract = ["--encoder", "motion", "--out"]
    status, out, _ = cezsar("extract", "ucf101", *extract, "named")
    assert status == 0 and "3 clips extracted" in out
    assert "ucf101: 3 clips have a video, 13,317 have none; `cezsar datasets ucf101 --missing FILE`" in out
    status, out, _ = cezsar("extract", place, *extract, "named")  # folder names are another spelling of the same labels
    assert status == 0 and "0 clips extracted, 3 were there already" in out and "have none" not in out
    store = FeatureStore("named")
    assert {id: store.labels[id] for id in store} == open_dataset("ucf101").labels
    status, out, _ = cezsar("extract", "ucf101:test1", *extract, "part")
    assert status == 0 and list(FeatureStore("part")) == ["v_Archery_g01_c01", "v_HandStandPushups_g01_c01"]
    assert "ucf101:test1: 2 clips have a video, 3,781 have none" in out
    status, _, err = cezsar("extract", "hmdb51", *extract, "none")
    assert status == 2 and "--add hmdb51=FOLDER" in err


def test_a_folder_says_what_was_passed_over_and_what_was_read_in_part(cezsar):
    clips = Path("clips")
    write_film(clips / "whole.avi", 200)
    data = (clips / "whole.avi").read_bytes()
    (clips / "cut.avi").write_bytes(data[: data.index(b"idx1") * 3 // 4])
    touch(clips / "notes.txt", clips / "notes.srt")
    status, out, _ = cezsar("extract", clips, "--encoder", "motion", "--out", "store")
    first, *_, cut, last = out.strip().splitlines()
    assert status == 0 and first == "clips: 2 files passed over, no video by their names (.srt 1, .txt 1)"
    assert cut.startswith("  clips/cut.avi: it is cut off: ")
    assert last == "store: 2 clips extracted (1 of them read in part), 0 were there already, 0 failed"
    listed = json.loads(Path("store/failed.json").read_text())
    assert listed["failed"] == [] and [each["id"] for each in listed["read in part"]] == ["cut"]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of UCF-101 without one of its clips."""
    classes: dict[str, list[str]] = {}
    for id, label in ucf101_clips().items():
        classes.setdefault(label, []).append(id)
    classes["YoYo"].remove("v_YoYo_g25_c01")
    path = tmp_path / "ucf101_dataset.json"
    path.write_text(json.dumps(classes))
    return path


def test_found_expected_and_missing(cezsar, index, home):
    status, out, _ = cezsar("datasets")
    assert status == 0 and out.count("  absent") == 5
    for known in KNOWN.values():
        assert f"{known.title}: {known.clips:,} " in out and str(home / "data" / known.name) in out
    assert "ucf101-0/50 ucf101-0/20 ucf101-hard15" in out and "hmdb51-truze" in out
    status, out, _ = cezsar("datasets", "--add", f"UCF-101={index}", "ucf101", "--missing", "missing.txt")
    assert status == 0 and "HMDB" not in out
    assert "13,320 clips, 101 classes expected" in out and "13,319 clips of 101 classes" in out
    assert "1 of 13,320 clips are missing: v_YoYo_g25_c01" in out and "test1 3,783" in out
    assert Path("missing.txt").read_text() == "v_YoYo_g25_c01\n"
    assert json.loads((home / "data/datasets.json").read_text()) == {"ucf101": str(index)}
    assert cezsar("datasets", "--forget", "ucf101")[0] == 0
    assert "absent" in cezsar("datasets", "ucf101")[1]


def test_ones_own_and_a_broken_one(cezsar, home, tmp_path):
    touch(tmp_path / "mine/jump/1.mp4")
    assert "1 clips of 1 classes" in cezsar("datasets", "--add", f"my clips={tmp_path / 'mine'}")[1]
    ((clip,), missing) = videos_of("my clips")
    assert (clip.id, clip.label, clip.path, missing) == ("1", "jump", tmp_path / "mine/jump/1.mp4", [])
    (tmp_path / "mine/jump/1.mp4").unlink()
    touch(home / "data/hmdb51/wave_test_split1.txt")
    (home / "data/hmdb51/wave_test_split1.txt").write_text("nonsense\n")
    status, out, _ = cezsar("datasets")
    assert status == 0 and out.count("  unusable") == 2 and "line 1: 'nonsense'" in out and "holds no video" in out
    assert "unusable" in cezsar("datasets", "nobody's")[1]
