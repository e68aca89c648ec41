"""Published data sets in their genuine layouts, made of empty files: what is found, counted, and missing. The published
files themselves, too, where they are at hand: set CEZSAR_REAL_FORMATS to the folder that holds them."""

import csv
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from cezsar.data import datasets, labels
from cezsar.data.annotations import load_annotations
from cezsar.data.datasets import KNOWN, class_names, find_known, forget, open_dataset, place_of, places, register
from cezsar.data.labels import canonical, resolve
from cezsar.data.layout import look, ucf101_clips
from cezsar.errors import FormatError, InputError

UCF, HMDB, KINETICS, ACTIVITYNET = KNOWN.values()
CLIPS = ucf101_clips()


def touch(folder, *names):
    for parent in {Path(name).parent for name in names}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def sizes(parts):
    return {part: len(ids) for part, ids in parts.items()}


def ucf_path(id):
    return f"{CLIPS[id].replace('HandStand', 'Handstand')}/{id}.avi"  # folders as in the archive


def test_a_whole_tree_of_ucf101(home):
    assert len(CLIPS) == 13_320 and len(set(CLIPS.values())) == 101
    assert {"v_ApplyEyeMakeup_g01_c01", "v_YoYo_g25_c05", "v_HandStandPushups_g01_c01"} <= CLIPS.keys()
    per_class = Counter(CLIPS.values())
    assert (min(per_class.values()), max(per_class.values())) == (100, 167)  # Soomro et al., Figure 4
    place = home / "data/ucf101"
    touch(place / "UCF-101", *map(ucf_path, CLIPS))
    touch(place / "ucfTrainTestlist", "classInd.txt")
    tested = "".join(ucf_path(id) + "\r\n" for id in CLIPS if int(id[-6:-4]) <= 7)
    (place / "ucfTrainTestlist/testlist01.txt").write_text(tested)
    data = open_dataset("UCF-101")
    assert len(data.labels) == 13_320 and data.warnings == [] and data.missing == []
    assert data.paths["v_YoYo_g01_c01"].parts[-2:] == ("YoYo", "v_YoYo_g01_c01.avi")
    assert set(data.descriptions) == set(data.labels.values()) == set(UCF.class_names())
    official = {"train1": 9537, "test1": 3783, "train2": 9586, "test2": 3734, "train3": 9624, "test3": 3696}
    assert sizes(data.parts) == official
    part = open_dataset("ucf101:test1")
    assert len(part.labels) == len(part.paths) == 3_783 and len(set(part.labels.values())) == 101
    with pytest.raises(InputError, match="no part 'test4' here; there are test1, test2, test3, train1"):
        open_dataset("ucf101:test4")


def test_a_wrong_count_names_what_is_missing(home):
    gone = {"v_Archery_g07_c03", *(id for id, label in CLIPS.items() if label == "YoYo")}
    place = home / "data/ucf101/UCF-101"
    touch(place, *(ucf_path(id) for id in CLIPS.keys() - gone))
    touch(place, "Archery/v_Archery_g26_c01.avi", "Swimming/v_Swimming_g01_c01.avi")
    data = open_dataset("ucf101")
    assert set(data.missing) == gone and len(gone) == 129
    assert len(data.labels) == 13_320 - 129 + 1 and "v_Swimming_g01_c01" not in data.labels
    strange, missing, more, absent = data.warnings
    assert "clips left out" in strange and "'Swimming' (1)" in strange
    assert missing.startswith("129 of 13,320 clips are missing: v_Archery_g07_c03, v_YoYo_g01_c01, ")
    assert missing.endswith("`cezsar datasets ucf101 --missing FILE` writes all")
    assert "1 videos are in no list of UCF-101: v_Archery_g26_c01" in more
    assert absent == "1 of 101 classes have no clip: yo yo" and len(data.descriptions) == 101


def test_an_index_or_official_lists_alone_will_do(home):
    index = {}
    for id, label in CLIPS.items():
        index.setdefault(f"{label} ".replace("Push", "_push").strip(), []).append(id)
    dropped, place = index["Archery"].pop(), home / "data/ucf101"
    place.mkdir(parents=True)
    (place / "ucf101_dataset.json").write_text(json.dumps(index))
    data = open_dataset("ucf101")
    assert len(data.labels) == 13_319 and data.paths == {} and data.missing == [dropped]
    assert data.warnings == [f"1 of 13,320 clips are missing: {dropped}"]
    assert len(open_dataset("ucf101:test2").labels) == 3_734
    (place / "ucf101_dataset.json").unlink()
    (place / "trainlist01.txt").write_text("YoYo/v_YoYo_g08_c01.avi 101\nYoYo/v_YoYo_g08_c02.avi 101\n")
    (place / "testlist01.txt").write_text("YoYo/v_YoYo_g01_c01.avi\n")
    data = open_dataset("ucf101")
    assert data.labels == dict.fromkeys(["v_YoYo_g01_c01", "v_YoYo_g08_c01", "v_YoYo_g08_c02"], "yo yo")


ODD = ["#122_Cleaning_Up_brush_hair_u_nm_np1_ba_goo_0", "(2)_brush_hair_f_nm_np1_fr_med_1", "a_b!_[x]_&_brush_hair_2"]


def test_a_tree_of_hmdb51(home):
    """Three clips of every class, one each for training, testing, and neither."""
    place = home / "data/hmdb51"
    lists = place / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for label in (name.replace(" ", "_") for name in HMDB.class_names()):
        clips = ODD if label == "brush_hair" else [f"{label}_clip_{number}" for number in range(3)]
        touch(place, *(f"{label}/{clip}.avi" for clip in clips))
        for split in range(3):
            lines = [f"{clip}.avi {(mark + split) % 3} \n" for clip, mark in zip(clips, (1, 2, 0), strict=True)]
            (lists / f"{label}_test_split{split + 1}.txt").write_text("".join(lines))
    data = open_dataset("hmdb51")
    assert len(data.labels) == len(data.paths) == 153 and set(Counter(data.labels.values()).values()) == {3}
    assert [data.labels[id] for id in ODD] == ["brush hair"] * 3
    (warning,) = data.warnings
    assert warning.startswith("153 clips listed, 6,766 expected; check testTrainMulti_7030_splits/")
    assert sizes(data.parts) == dict.fromkeys(["train1", "test1", "train2", "test2", "train3", "test3"], 51)
    (place / "wave/wave_clip_1.avi").unlink()
    assert "1 of 153 clips are missing: wave_clip_1" in open_dataset("hmdb51").warnings

    lists.rename(home / "lists")
    without, only = look(HMDB, place), look(HMDB, home / "lists")
    assert only.labels == without.labels | {"wave_clip_1": "wave"} and only.paths == {}


ROWS = [
    ("abseiling", "-3B32lodo2M", 59, 69, "train"),
    ("abseiling", "0347ZoDXyP0", 95, 105, "validate"),
    ("massaging person's head", "_7oQ5lTbo2k", 0, 10, "test"),
    ("petting animal (not cat)", "aBcDeFgHiJk", 120, 130, "train"),
]
IDS = [f"{video}_{start:06}_{end:06}" for _, video, start, end, _ in ROWS]


def kinetics_lists(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "validate", "test"):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            rows = [row for row in ROWS if row[-1] == part]
            csv.writer(file).writerows([("label", "youtube_id", "time_start", "time_end", "split"), *rows])
    return folder


def test_kinetics400(home):
    place = home / "data/kinetics400"
    kinetics_lists(place / "annotations")
    data = open_dataset("kinetics400")  # by its lists alone
    assert data.labels == {id: row[0] for id, row in zip(IDS, ROWS, strict=True)}
    assert data.missing == [] and data.paths == {} and len(data.descriptions) == 400

    touch(place, f"train/abseiling/{IDS[0]}.mp4", f"test/massaging_person_s_head/{IDS[2]}.mp4")
    data = open_dataset("kinetics400")
    assert data.labels == {IDS[0]: "abseiling", IDS[2]: "massaging person's head"}
    assert data.missing == [IDS[1], IDS[3]]
    assert data.warnings[0] == f"2 of 4 clips are missing: {IDS[1]}, {IDS[3]}"
    assert "4 clips listed, 306,245 expected" in data.warnings[1]
    assert open_dataset("kinetics400:train").labels == {IDS[0]: "abseiling"}

    flat = kinetics_lists(home / "flat")  # all in one folder, some by YouTube's ids
    touch(flat, f"{IDS[0]}.mp4", "aBcDeFgHiJk.webm", "notInAnyCsv.mp4")
    found = look(KINETICS, flat)
    assert found.labels == {IDS[0]: "abseiling", "aBcDeFgHiJk": "petting animal (not cat)"}
    assert found.missing == [IDS[1], IDS[2]] and found.warnings[0].endswith("named so: nothing (1)")
    (flat / "train.csv").write_text("label,youtube_id,time_start,time_end\nx,y,soon,late\n")
    with pytest.raises(FormatError, match="line 2"):
        look(KINETICS, flat)


def test_activitynet_captions(home):
    folder = home / "data/activitynet-captions"
    folder.mkdir(parents=True)
    entry = {"duration": 10.0, "timestamps": [[0, 5]], "sentences": ["A person waves."]}
    (folder / "train.json").write_text(json.dumps({"v_a": entry, "v_b": entry}))
    (folder / "activitynet_val_1.json").write_text(json.dumps({"v_c": entry}))
    found = look(ACTIVITYNET, place_of(ACTIVITYNET))
    assert found.missing == [] and found.parts == {"val_1": ["v_c"], "train": ["v_a", "v_b"]}
    assert "train.json has 2 videos, 10,009 expected" in found.warnings
    touch(folder, "videos/v_a.mp4", "videos/v_x.mkv")
    touch(folder, "videos/b.mp4")  # many downloads leave the "v_" out
    found = look(ACTIVITYNET, folder)
    assert found.missing == ["v_c"] and set(found.paths) == {"v_a", "v_b", "v_x"}
    with pytest.raises(InputError, match="no classes to test"):
        open_dataset("activitynet-captions")


def test_nothing_there_says_where_and_what_to_put(home):
    for known in (UCF, HMDB, KINETICS):
        with pytest.raises(InputError) as refused:
            open_dataset(known.name)
        assert str(home / "data" / known.name) in str(refused.value) and "--add" in str(refused.value)
    (home / "data/ucf101").mkdir(parents=True)
    with pytest.raises(InputError, match="none of its videos or lists"):
        open_dataset("ucf101")


def test_places_are_named_and_forgotten(home, tmp_path):
    kinetics_lists(tmp_path / "k400")
    touch(tmp_path, "mine/jump/1.mp4", "mine/walk/2.mp4")
    register("Kinetics-400", tmp_path / "k400")
    register(" my clips ", tmp_path / "mine")
    named = {"kinetics400": str(tmp_path / "k400"), "my clips": str(tmp_path / "mine")}
    assert datasets.registered() == places() == named
    assert open_dataset("my clips").labels == {"1": "jump", "2": "walk"}
    for name, place in [("demo", "mine"), ("../x", "mine"), ("x", "no"), ("ucf101", "mine")]:
        with pytest.raises(InputError):
            register(name, tmp_path / place)
    with pytest.raises(InputError, match="there is no place"):
        register("x", "")  # which is not the current folder
    assert forget("kinetics400") and not forget("kinetics400")
    assert class_names(tmp_path / "mine") == class_names("my clips") == ["jump", "walk"]
    with pytest.raises(InputError, match="no classes"):
        class_names("activitynet-captions")
    (home / "data/datasets.json").write_text('{"x": 3}')
    with pytest.raises(FormatError, match="'x' should have the path"):
        datasets.registered()
    assert (home / "data/datasets.json").read_text() == '{"x": 3}'


def test_a_folder_here_is_the_last_resort(home):
    kinetics_lists(Path("Kinetics_400"))
    assert place_of(KINETICS) == Path("Kinetics_400") and len(open_dataset("kinetics400").labels) == 4
    own = kinetics_lists(home / "data/kinetics400")
    assert place_of(KINETICS) == own and places() == {"kinetics400": str(own)}
    (own / "descriptions.json").write_text('{"Abseiling": ["Down a rope.", "On a cliff."]}')
    described = open_dataset("kinetics400").descriptions  # they stand before the shipped ones
    assert described["abseiling"] == ["Down a rope.", "On a cliff."] and described["air drumming"] == ["air drumming"]


def test_names_and_labels_in_the_spellings_found_in_the_wild():
    for name in ("UCF101", "ucf-101", "UCF_101", "Ucf 101"):
        assert find_known(name) is UCF and find_known(f"my {name}") is None
    odd = ["massaging person_s head", "petting_animal_(not_cat)", "Passing American football (not in game)"]
    assert [canonical(name) for name in resolve(odd, KINETICS.class_names())] == [canonical(name) for name in odd]
    assert [len(known.class_names()) for known in KNOWN.values()] == [101, 51, 400, 0]


@pytest.mark.heavy
@pytest.mark.skipif("CEZSAR_REAL_FORMATS" not in os.environ, reason="CEZSAR_REAL_FORMATS names no folder")
def test_the_published_files(tmp_path):
    folder = Path(os.environ["CEZSAR_REAL_FORMATS"])
    read = load_annotations(folder / "captions/activitynet_val_1.json")
    assert (len(read.segments), len(read.durations), len({s.video_id for s in read.segments})) == (17_505, 4_917, 4_917)
    assert read.repairs == ["5 segments reach outside their video and were cut to it"]
    counted = "4,917 clips listed, 14,926 expected; check train.json and val_1.json"
    assert counted in look(ACTIVITYNET, folder / "captions").warnings
    index = labels.load_index(folder / "splits/ucf101_dataset.json")
    published = {id: canonical(label) for label, ids in index.items() for id in ids}
    assert (len(index), len(published)) == (101, 13_320)
    assert {id: canonical(label) for id, label in CLIPS.items()} == published
    register("ucf101", folder / "splits/ucf101_dataset.json", tmp_path)
    data = open_dataset("ucf101", tmp_path)
    assert {id: canonical(label) for id, label in data.labels.items()} == published and data.warnings == []
