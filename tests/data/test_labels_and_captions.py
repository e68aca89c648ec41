"""Spellings of class names, typed labels, descriptions, splits, hard groups, captions with times."""

import json
import os

import pytest

from cezsar.data import annotations, labels
from cezsar.data.annotations import CLIPPED, EMPTY, OUTSIDE, SWAPPED, WIDENED, Segment, load_annotations
from cezsar.data.descriptions import load_descriptions, parse_classes, save_descriptions
from cezsar.data.labels import canonical, keep_group, load_groups, parse_labels, read_label_list, remove_group, resolve
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.protocols import parse as parse_protocol


def test_spellings_of_one_class():
    spellings = "HandStandPushups", "Handstand Pushups", "handstand_pushups", "handstand-pushups", " handStand pushups"
    assert set(map(canonical, spellings)) == {"handstandpushups"}
    assert canonical("hurling (sport)") == canonical("hurling_sport")
    assert len({canonical(name) for name in ("climb", "climb stairs", "sit", "sit up", "...", "--", "跳绳", "跳")}) == 8
    assert canonical("cafe\u0301") == canonical("Café")
    said = {
        "HandStandPushups": "hand stand pushups", "kick_ball": "kick ball", "YoYo": "yo yo", "tai chi": "tai chi",
        "playing DJSet": "playing dj set", "hurling (sport)": "hurling (sport)",
    }  # fmt: skip
    assert {name: labels.spoken(name) for name in said} == said
    known = ["ApplyEyeMakeup", "YoYo", "Basketball"]
    assert resolve(["yo_yo", "apply eye makeup"], known) == ["YoYo", "ApplyEyeMakeup"]
    for name, said in (("basket bal", "did you mean 'Basketball'"), ("zzz", "known are ApplyEyeMakeup, YoYo")):
        with pytest.raises(InputError, match=said):
            resolve([name], known)


@pytest.mark.parametrize(("text", "names", "repeated"), [
    ("a, b, c", ["a", "b", "c"], []),
    ("a\nb\r\nc, a", ["a", "b", "c"], ["a"]),
    ("juggling, Juggling, jugg_ling, chess, chess", ["juggling", "chess"], ["juggling", "chess"]),
    ('"reach, grasp", run', ["reach, grasp", "run"], []),
    ('don\'t stop, say "hi" now', ["don't stop", 'say "hi" now'], []),
    ("tab\there, bell\x07\x00end, \ufeffmark, \x1b[31mred", ["tab here", "bell end", "mark", "[31mred"], []),
    ("跳绳,прыжок, 🤸", ["跳绳", "прыжок", "🤸"], []),
    (' ["reach, grasp", "juggling", "Juggling ", ""]', ["reach, grasp", "juggling"], ["juggling"]),
    ("1 ApplyEyeMakeup\n2 Archery", ["ApplyEyeMakeup", "Archery"], []),
    ("10 pin bowling, archery", ["10 pin bowling", "archery"], []),
    ("step 1, step 2", ["step 1", "step 2"], []),
    ("1 a, 3 b", ["1 a", "3 b"], []),
    (", ".join(f"action number {i}" for i in range(5000)), [f"action number {i}" for i in range(5000)], []),
])  # fmt: skip
def test_typed_labels(text, names, repeated):
    assert parse_labels(text) == (names, repeated)
    assert parse_classes(text) == ((names, repeated), {})


@pytest.mark.parametrize(("text", "said"), [
    ("", "write at least one"),
    ("x" * 5000, "has 5,000 characters.*put commas"),
    ('"reach, run', "check the quotes"),
    (os.fsdecode(b"caf\xe9"), "not UTF-8"),
    ('["a", 3]', "3 is no name"),
    ('["a", ', "line 1, column"),
    ('{"a": 3}', "a sentence or a list"),
    ('{"jump rope": "x", "JumpRope": "y"}', "spellings of one class"),
    ("{}", "no class"),
    ('["a", NaN]', "not JSON"),
])  # fmt: skip
def test_labels_that_cannot_be_used(text, said):
    with pytest.raises(InputError, match=said):
        parse_classes(text)


def test_descriptions(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"Yo Yo": " A toy  on a string. ", "run": ["Legs.", "", "Fast legs."]}))
    assert load_descriptions(path) == {"Yo Yo": ["A toy on a string."], "run": ["Legs.", "Fast legs."]}
    with pytest.raises(FormatError, match="no description"):
        save_descriptions(tmp_path / "bad.json", {"run": []})
    assert not (tmp_path / "bad.json").exists()
    assert parse_classes('{"a": "one thing", "b": ["two", " three "]}') == (
        (["a", "b"], []), {"a": ["one thing"], "b": ["two", "three"]},
    )  # fmt: skip
    assert parse_classes('{"0": "abseiling", "1": "air drumming"}') == ((["abseiling", "air drumming"], []), {})


@pytest.mark.parametrize(("file", "content"), [
    ("plain.txt", b"ApplyEyeMakeup\r\n\n  kick ball \n"),
    ("bom.txt", "\ufeffApplyEyeMakeup\r\nkick ball\r\n\r\n".encode()),
    ("first.txt", b"1 ApplyEyeMakeup\r\n2 kick ball\r\n"),
    ("last.txt", b"ApplyEyeMakeup 0\nkick ball 1\n"),
    ("utf16.txt", "ApplyEyeMakeup\nkick ball\n".encode("utf-16")),
    ("index.json", b'{"1": "kick ball", "0": "ApplyEyeMakeup"}'),
    ("names.json", b'{"kick ball": 1, "ApplyEyeMakeup": 0}'),
    ("list.json", b'["ApplyEyeMakeup", "kick ball"]'),
    ("table.csv", b'id,name\n0,ApplyEyeMakeup\n1,"kick ball"\n'),
    ("label.csv", b"\xef\xbb\xbfLabel\nApplyEyeMakeup\nkick ball\n"),
])  # fmt: skip
def test_class_lists_as_people_have_them(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    names = ["kick ball", "ApplyEyeMakeup", "archery"]
    assert set(parse_protocol(str(tmp_path / file), names).splits[0]) == set(names[:2])
    if file not in ("utf16.txt", "label.csv"):
        assert set(parse_classes(content.decode("utf-8-sig"))[0].names) == set(names[:2])  # as pasted
    assert load_descriptions(tmp_path / file) == {"ApplyEyeMakeup": ["apply eye makeup"], "kick ball": ["kick ball"]}
    (tmp_path / "old.txt").write_bytes("crème brûlée making\n".encode("cp1252"))
    assert read_label_list(tmp_path / "old.txt") == ["crème brûlée making"]


def test_splits_and_indexes(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"training": ["b", "a", "B ", "c d"], "testing": ["C_D", "e"], "validation": []}))
    split = labels.load_split(path)
    assert split == {"training": ["b", "a", "c d"], "testing": ["C_D", "e"], "validation": []}
    assert labels.shared_classes(split) == ["C_D"]
    path.write_text(json.dumps({"run": ["v1", "v2"], "jump": []}))
    assert labels.load_index(path) == {"run": ["v1", "v2"], "jump": []}


# Hard groups ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return labels.groups_path(tmp_path)


def test_groups_are_kept_in_order_changed_in_their_place_and_removed(path, tmp_path):
    assert path == tmp_path / "data" / "hard_groups.json" and load_groups(path) == {}
    keep_group(path, "horses", ["horse riding", "horse race", "Horse_Race"])
    keep_group(path, " boxing  bags ", ["BoxingSpeedBag", "punching bag"])
    expected = {"horses": ["horse riding", "horse race"], "boxing bags": ["BoxingSpeedBag", "punching bag"]}
    assert load_groups(path) == expected == json.loads(path.read_text())
    keep_group(path, "riding", ["x", "z"], instead_of="horses")
    assert list(load_groups(path).items()) == [("riding", ["x", "z"]), ("boxing bags", expected["boxing bags"])]
    with pytest.raises(InputError, match="no group 'gone'"):
        keep_group(path, "d", ["x", "y"], instead_of="gone")
    with pytest.raises(InputError, match="already"):
        keep_group(path, "Boxing bags", ["x", "y"], instead_of="riding")
    remove_group(path, "riding")
    remove_group(path, "never there")
    assert list(load_groups(path)) == ["boxing bags"]


def test_groups_that_cannot_be_used_change_nothing(path):
    keep_group(path, "good", ["x", "y"])
    for name, classes, said in [
        ("", ["x", "y"], "none of them empty"),
        ("a", ["x"], "at least two"),
        ("Good ", ["x", "z"], "already"),
        ("n" * 61, ["x", "y"], "at most 60 characters"),
    ]:
        with pytest.raises(InputError, match=said):
            keep_group(path, name, classes)
    assert load_groups(path) == {"good": ["x", "y"]}
    for text in ("{", '{"a": "x"}', '{"a": ["x", 1]}', '{"a": ["x"]}', '{"a": ["x", "y"], "A": ["x", "z"]}'):
        path.write_text(text)
        for attempt in (load_groups, lambda at: keep_group(at, "b", ["x", "y"])):
            with pytest.raises(FormatError, match=r"hard_groups\.json"):
                attempt(path)
        assert path.read_text() == text


# Captions ------------------------------------------------------------------------------------------------------------


def annotate(tmp_path, *segments, duration=10.0):
    entry = {"duration": duration, "timestamps": [s[:2] for s in segments], "sentences": [s[2] for s in segments]}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"v": entry, "w": {"duration": 3, "timestamps": [[0, 3]], "sentences": ["ok"]}}))
    return load_annotations(path)


def test_annotations(tmp_path):
    read = annotate(tmp_path, (0, 4.5, "  A man runs. "), (4.5, 10, "Er hüpft\n."))
    assert read.segments == [
        Segment("v", 0.0, 4.5, "A man runs."), Segment("v", 4.5, 10.0, "Er hüpft\n."), Segment("w", 0.0, 3.0, "ok"),
    ]  # fmt: skip
    assert read.durations == {"v": 10.0, "w": 3.0} and read.repairs == [] and read.dropped == 0
    read = annotate(tmp_path, (12, 2, "s"), (1, 2, "  "), (3, 4, ""))
    assert +read.changes == {SWAPPED: 1, CLIPPED: 1, EMPTY: 2} and read.dropped == 2
    assert read.repairs == [f"1 {SWAPPED}", f"1 {CLIPPED}", f"2 {EMPTY}"]
    assert [(s.start_s, s.end_s) for s in read.segments] == [(2, 10), (0, 3)]
    read = annotate(tmp_path, (0.2, 0.2, "s"), duration=annotations.WIDENED_S / 2)  # the second around a moment
    assert (read.segments[0].start_s, read.segments[0].end_s) == (0.0, 0.5)


@pytest.mark.parametrize(("start_s", "end_s", "kept", "counted"), [
    (6, 2, (2, 6), SWAPPED),
    (-3, 2, (0, 2), CLIPPED),
    (8, 12, (8, 10), CLIPPED),
    (8, 10.0005, (8, 10), None),  # rounding
    (5, 5, (4.5, 5.5), WIDENED),
    (0, 0, (0, 1), WIDENED),
    (10, 10, (9, 10), WIDENED),
    (11, 12, None, OUTSIDE),
    (-2, -1, None, OUTSIDE),
    (11, 11, None, OUTSIDE),
])  # fmt: skip
def test_odd_times(tmp_path, start_s, end_s, kept, counted):
    read = annotate(tmp_path, (start_s, end_s, "s"))
    assert [(s.start_s, s.end_s) for s in read.segments if s.video_id == "v"] == ([kept] if kept else [])
    assert +read.changes == ({counted: 1} if counted else {})
