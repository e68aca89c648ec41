"""Spellings of class names, typed labels, descriptions, splits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cezsar.data.descriptions import load_descriptions, parse_classes, save_descriptions
from cezsar.data.labels import (
    canonical,
    load_index,
    load_split,
    parse_labels,
    read_label_list,
    resolve,
    shared_classes,
    spoken,
)
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.protocols import parse as parse_protocol


def test_spellings_of_one_class() -> None:
    spellings = [
        "HandStandPushups",
        "Handstand Pushups",
        "handstand_pushups",
        "handstand-pushups",
        " handStand  pushups",
    ]
    assert {canonical(name) for name in spellings} == {"handstandpushups"}
    assert canonical("hurling (sport)") == canonical("hurling_sport")
    assert len({canonical(name) for name in ("climb", "climb stairs", "sit", "sit up", "...", "--", "跳绳", "跳")}) == 8
    assert canonical("cafe\u0301") == canonical("Café")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HandStandPushups", "hand stand pushups"),
        ("kick_ball", "kick ball"),
        ("YoYo", "yo yo"),
        ("tai chi", "tai chi"),
        ("playing DJSet", "playing dj set"),
        ("hurling (sport)", "hurling (sport)"),
    ],
)
def test_names_as_words(name: str, words: str) -> None:
    assert spoken(name) == words


@pytest.mark.parametrize(
    ("text", "names", "repeated"),
    [
        ("a, b, c", ["a", "b", "c"], []),
        ("playing chess", ["playing chess"], []),
        ("a,,b, ,\n\nc,", ["a", "b", "c"], []),
        ("a\nb\r\nc", ["a", "b", "c"], []),
        ("juggling, Juggling, jugg_ling, chess, chess", ["juggling", "chess"], ["juggling", "chess"]),
        ('"reach, grasp", run', ["reach, grasp", "run"], []),
        ('don\'t stop, say "hi" now', ["don't stop", 'say "hi" now'], []),
        ("tab\there, bell\x07\x00end, \ufeffmark, \x1b[31mred", ["tab here", "bell end", "mark", "[31mred"], []),
        ("跳绳,прыжок, 🤸", ["跳绳", "прыжок", "🤸"], []),
    ],
)
def test_typed_labels(text: str, names: list[str], repeated: list[str]) -> None:
    assert parse_labels(text) == (names, repeated)


def test_five_thousand_labels() -> None:
    names = [f"action number {i}" for i in range(5000)]
    assert parse_labels(", ".join(names)).names == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write at least one"),
        (" ,\n, \t", "write at least one"),
        ("x" * 5000, "has 5,000 characters.*put commas"),
        ("run, " + "y " * 600, "has 1,199 characters"),
        ("x" * 200_000, "cannot be told apart|characters"),
        ('"reach, run', "check the quotes"),
        (os.fsdecode(b"caf\xe9"), "not UTF-8"),
    ],
)
def test_labels_that_cannot_be_used(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_labels(text)


def test_resolving_names() -> None:
    known = ["ApplyEyeMakeup", "YoYo", "Basketball"]
    assert resolve(["yo_yo", "apply eye makeup"], known) == ["YoYo", "ApplyEyeMakeup"]
    with pytest.raises(InputError, match="did you mean 'Basketball'"):
        resolve(["basket bal"], known)
    with pytest.raises(InputError, match="known are ApplyEyeMakeup, YoYo"):
        resolve(["zzz"], known)


def test_descriptions_from_json(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"Yo Yo": " A toy  on a string. ", "run": ["Legs.", "", "Fast legs."]}))
    assert load_descriptions(path) == {"Yo Yo": ["A toy on a string."], "run": ["Legs.", "Fast legs."]}
    save_descriptions(tmp_path / "again.json", load_descriptions(path))
    assert load_descriptions(tmp_path / "again.json") == load_descriptions(path)
    with pytest.raises(FormatError, match="no description"):
        save_descriptions(tmp_path / "bad.json", {"run": []})
    assert not (tmp_path / "bad.json").exists()


def test_descriptions_from_a_folder_of_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "Apply_Eye_Makeup.txt").write_bytes("Someone’s “eyes”.".encode("cp1252"))
    (tmp_path / "cafe visit.txt").write_bytes("\ufeffÀ table.\n\nTwo.\n".encode())
    (tmp_path / "run.TXT").write_bytes("Läuft.".encode("utf-16"))
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "readme.md").write_text("no")
    assert load_descriptions(tmp_path) == {
        "Apply Eye Makeup": ["Someone’s “eyes”."],
        "cafe visit": ["À table.", "Two."],
        "run": ["Läuft."],
    }


def test_label_lists(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("ApplyEyeMakeup\r\n\n  kick_ball \n")
    assert read_label_list(tmp_path / "l.txt") == ["ApplyEyeMakeup", "kick_ball"]
    assert load_descriptions(tmp_path / "l.txt") == {
        "ApplyEyeMakeup": ["apply eye makeup"],
        "kick_ball": ["kick ball"],
    }


def test_splits(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"training": ["b", "a", "B ", "c d"], "testing": ["C_D", "e"], "validation": []}))
    split = load_split(path)
    assert split == {"training": ["b", "a", "c d"], "testing": ["C_D", "e"], "validation": []}
    assert shared_classes(split) == ["C_D"]
    path.write_text(json.dumps({"run": ["v1", "v2"], "jump": []}))
    assert load_index(path) == {"run": ["v1", "v2"], "jump": []}


def test_labels_pasted_as_json():
    assert parse_labels(' ["reach, grasp", "juggling", "Juggling ", ""]') == (
        ["reach, grasp", "juggling"],
        ["juggling"],
    )
    assert parse_classes("a, b") == ((["a", "b"], []), {})
    labels, descriptions = parse_classes('{"a": "one thing", "b": ["two", " three "]}')
    assert labels == (["a", "b"], [])
    assert descriptions == {"a": ["one thing"], "b": ["two", "three"]}
    assert parse_labels("[sport] hurling, {x}").names == ["[sport] hurling", "{x}"]


@pytest.mark.parametrize(
    "text, said",
    [
        ('["a", 3]', "3 is no name"),
        ('["a", ', "line 1, column"),
        ("[]", "no label is given"),
        ('{"a": 3}', "a sentence or a list"),
        ('{"a": "x", "a": "y"}', "given twice"),
        ('{"jump rope": "x", "JumpRope": "y"}', "spellings of one class"),
        ("{}", "no class"),
        ('["a", NaN]', "not JSON"),
    ],
)
def test_json_that_is_no_list_of_labels(text, said):
    with pytest.raises(InputError, match=said):
        parse_classes(text)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("bom.txt", "\ufeffApplyEyeMakeup\r\nkick ball\r\n\r\n".encode()),
        ("first.txt", b"1 ApplyEyeMakeup\r\n2 kick ball\r\n"),
        ("last.txt", b"ApplyEyeMakeup 0\nkick ball 1\n"),
        ("utf16.txt", "ApplyEyeMakeup\nkick ball\n".encode("utf-16")),
        ("index.json", b'{"1": "kick ball", "0": "ApplyEyeMakeup"}'),
        ("names.json", b'{"kick ball": 1, "ApplyEyeMakeup": 0}'),
        ("list.json", b'["ApplyEyeMakeup", "kick ball"]'),
        ("table.csv", b'id,name\n0,ApplyEyeMakeup\n1,"kick ball"\n'),
        ("label.csv", b"\xef\xbb\xbfLabel\nApplyEyeMakeup\nkick ball\n"),
    ],
)
def test_class_lists_as_people_have_them(tmp_path: Path, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    names = ["kick ball", "ApplyEyeMakeup", "archery"]
    assert set(parse_protocol(str(tmp_path / file), names).splits[0]) == set(names[:2])
    if file not in ("utf16.txt", "label.csv"):
        assert set(parse_classes(content.decode("utf-8-sig"))[0].names) == set(names[:2])  # as pasted
    assert load_descriptions(tmp_path / file) == {"ApplyEyeMakeup": ["apply eye makeup"], "kick ball": ["kick ball"]}


def test_names_in_cp1252_and_numbers_that_belong_to_names(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes("crème brûlée making\n".encode("cp1252"))
    assert read_label_list(tmp_path / "old.txt") == ["crème brûlée making"]
    for kept in (["10 pin bowling", "archery"], ["step 1", "step 2"], ["3 point shot", "4 square"], ["1 a", "3 b"]):
        assert parse_labels(", ".join(kept)).names == kept
    assert parse_labels("1 ApplyEyeMakeup\n2 Archery").names == ["ApplyEyeMakeup", "Archery"]
    assert parse_classes('{"0": "abseiling", "1": "air drumming"}')[0].names == ["abseiling", "air drumming"]
