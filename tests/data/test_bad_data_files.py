"""Files that are not what they should be: each a clear error that names the file and the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cezsar.data.annotations import load_annotations, load_captions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import load_index, load_split, read_label_list
from cezsar.data.manifest import read_source
from cezsar.errors import FormatError, InputError

JSON_READERS = [load_annotations, load_captions, load_descriptions, load_split, load_index]
BAD_JSON = {
    "empty": (b"", "line 1, column 1.*correct it"),
    "cut off": (b'{"v": {"duration": 1,\n "timestamps": [[0', "line 2"),
    "comma too many": (b'{\n"a": "x",\n}', "line 3"),
    "not UTF-8": (b'{"a": "x",\n "caf\xe9": 1}', "line 2: byte 0xe9.*save the file as UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "line 1.*save the file as UTF-8"),
    "a video file": (b"\x00\x00\x00\x20ftypisom\x80\x99", "line 1"),
    "a list": (b"[1]", "holds a JSON list"),
    "null": (b"null", "an object|names no class"),
    "given twice": (b'{"v_1": 1, "v_1": 2}', "'v_1' is given twice; keep one"),
    "NaN": (b'{"v": NaN}', "NaN.*correct or remove"),
    "infinity": (b'{"v": {"duration": -Infinity}}', "Infinity"),
    "nested without end": (b'{"v":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not usable JSON"),
    "a number of 5,000 digits": (b'{"v": ' + b"9" * 5000 + b"}", "not usable JSON"),
    "an empty object": (b"{}", "no|empty"),
}


@pytest.mark.parametrize("kind", BAD_JSON)
@pytest.mark.parametrize("reader", JSON_READERS)
def test_no_usable_json(tmp_path: Path, reader: Callable[[Path], object], kind: str) -> None:
    content, said = BAD_JSON[kind]
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"(?s)file\.json.*({said})"):
        reader(path)


@pytest.mark.parametrize("reader", [*JSON_READERS, read_label_list])
def test_no_such_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read.*check the path"):
        reader(tmp_path / "none.json")
    if reader is not load_descriptions:
        with pytest.raises(InputError, match="cannot be read"):
            reader(tmp_path)


ENTRY = {"duration": 9, "timestamps": [[0, 1]], "sentences": ["s"]}
BAD_ANNOTATIONS = {
    "no duration": ({"timestamps": [], "sentences": []}, "None is no number of seconds.*it should have"),
    "no object": ([1, 2], "it should have"),
    "duration zero": (ENTRY | {"duration": 0}, "duration 0 is not positive"),
    "duration negative": (ENTRY | {"duration": -4.0}, "not positive|no number"),
    "duration text": (ENTRY | {"duration": "9"}, "'9' is no number"),
    "duration true": (ENTRY | {"duration": True}, "not positive|no number"),
    "duration endless": (ENTRY | {"duration": 10**400}, "not positive|no number"),
    "fewer sentences": (ENTRY | {"sentences": []}, "no lists of one length"),
    "more sentences": (ENTRY | {"sentences": ["a", "b"]}, "no lists of one length"),
    "sentences as text": (ENTRY | {"sentences": "s"}, "no lists of one length"),
    "sentence a number": (ENTRY | {"sentences": [5]}, "sentence 5 is no text"),
    "time as text": (ENTRY | {"timestamps": [["0", "1"]]}, "'0' is no number"),
    "three times": (ENTRY | {"timestamps": [[0, 1, 2]]}, "it should have"),
    "time null": (ENTRY | {"timestamps": [[0, None]]}, "it should have"),
    "timestamp a number": (ENTRY | {"timestamps": [3]}, "it should have"),
}


@pytest.mark.parametrize("kind", BAD_ANNOTATIONS)
def test_annotations(tmp_path: Path, kind: str) -> None:
    entry, said = BAD_ANNOTATIONS[kind]
    path = tmp_path / "val.json"
    path.write_text(json.dumps({"v_good": ENTRY, "v_bad": entry}))
    with pytest.raises(FormatError, match=rf"val\.json: video 'v_bad'.*{said}"):
        load_annotations(path)


def test_annotations_of_which_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "val.json").write_text(json.dumps({"v": ENTRY | {"sentences": [" "]}}))
    with pytest.raises(FormatError, match=r"val\.json has no usable segment \(1 dropped\)"):
        load_annotations(tmp_path / "val.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"v": [{"sentence": "s"}]}, "no caption file.*results"),
        ({"results": [1]}, "no caption file"),
        ({"results": {"v": "a sentence"}}, "video 'v' should have a list"),
        ({"results": {"v": ["a sentence"]}}, "video 'v' should have a list"),
        ({"results": {"v": [{"sentence": 5}]}}, "video 'v'"),
        ({"results": {"v": [{"caption": "s"}]}}, "video 'v'"),
        ({"results": {}}, "has no caption"),
        ({"results": {"v": [{"sentence": " "}]}}, "has no caption"),
    ],
)
def test_captions(tmp_path: Path, content: object, said: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"c\.json.*{said}"):
        load_captions(tmp_path / "c.json")


def test_no_caption_files() -> None:
    with pytest.raises(InputError, match="name at least one"):
        load_captions([])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"run": ""}, "class 'run'.*write a sentence"),
        ({"run": []}, "class 'run'"),
        ({"run": ["ok", 3]}, "class 'run' should have a sentence"),
        ({"run": {"text": "x"}}, "class 'run' should"),
        ({" ": "x"}, "no name"),
        ({"Yo Yo": "x", "yo_yo": "y"}, "'Yo Yo' and 'yo_yo' are spellings of one class; keep one"),
    ],
)
def test_descriptions(tmp_path: Path, content: object, said: str) -> None:
    (tmp_path / "d.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"d\.json.*{said}"):
        load_descriptions(tmp_path / "d.json")


def test_folders_and_lists_of_descriptions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        load_descriptions(tmp_path)
    (tmp_path / "run.txt").write_bytes(b"")
    with pytest.raises(FormatError, match=r"class 'run'.*write a sentence"):
        load_descriptions(tmp_path)
    with pytest.raises(FormatError, match=r"run\.txt: no label"):
        load_descriptions(tmp_path / "run.txt")
    (tmp_path / "run.txt").write_bytes(b"\x00\x01binary")
    with pytest.raises(FormatError, match=r"run\.txt is not a text file"):
        load_descriptions(tmp_path)
    (tmp_path / "run.txt").write_text("Yo Yo\nrun\nyo_yo\n")
    with pytest.raises(FormatError, match=r"run\.txt has a class twice.*'Yo Yo'; keep one"):
        load_descriptions(tmp_path / "run.txt")
    (tmp_path / "a_b.txt").write_text("x")
    (tmp_path / "a b.txt").write_text("y")
    with pytest.raises(FormatError, match="two files for class 'a b'; keep one"):
        load_descriptions(tmp_path)
    (tmp_path / "d.csv").write_text("run,fast\nwalk,slow")
    with pytest.raises(FormatError, match=r"d\.csv.*a column name, label or class, it names run,fast"):
        load_descriptions(tmp_path / "d.csv")
    (tmp_path / "d.pdf").write_text("run")
    with pytest.raises(InputError, match=r"d\.pdf: give names as a \.txt or \.csv list"):
        load_descriptions(tmp_path / "d.pdf")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"training": ["a"]}, "no class to test"),
        ({"training": ["a"], "testing": []}, "no class to test"),
        ({"training": "a", "testing": ["b"]}, "'training' should be a list"),
        ({"training": ["a", 1], "testing": ["b"]}, "'training'.*class names"),
        ({"training": ["a"], "testing": ["b", " "]}, "'testing'.*none of them empty"),
    ],
)
def test_splits(tmp_path: Path, content: object, said: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"s\.json.*{said}"):
        load_split(tmp_path / "s.json")


def test_indexes(tmp_path: Path) -> None:
    for content, said in (
        ({"a": ["v1"], "b": ["v1"]}, "'v1' is in 'a' and again in 'b'"),
        ({"a": ["v1", "v1"]}, "'v1' is in 'a' and again in 'a'"),
        ({"Yo Yo": ["v1"], "YoYo": ["v2"]}, "'Yo Yo' and 'YoYo' spell one class"),
        ({"a": {"v1": 1}}, "'a' should be a list of video ids"),
    ):
        (tmp_path / "i.json").write_text(json.dumps(content))
        with pytest.raises(FormatError, match=rf"i\.json.*{said}"):
            load_index(tmp_path / "i.json")


BAD_MANIFESTS = {
    "empty": (b"", FormatError, "line 1: the columns are .*path,id,label"),
    "spaces only": (b"\n \n", FormatError, "line 1"),
    "no path column": (b"file,id\na.mp4,1\n", FormatError, r"\['file', 'id'\].*path,id,label"),
    "two path columns": (b"path,Path\na.mp4,a.mp4\n", FormatError, "line 1"),
    "no header": (b"a.mp4,1,run\n", FormatError, "first line names them"),
    "header only": (b"path,id,label\n", InputError, "names no clip; write one line"),
    "not UTF-8": (b"path,label\na.mp4,run\nb.mp4,caf\xe9\n", FormatError, "line 3: byte 0xe9.*save the file as UTF-8"),
    "UTF-16": ("path\na.mp4\n".encode("utf-16"), FormatError, "line 1.*UTF-8"),
    "too many values": (b"path,label\na.mp4,run, fast\n", FormatError, "line 2: more or less values.*quotes"),
    "too few values": (b"path,id,label\na.mp4\n", FormatError, "line 2: more or less values"),
    "open quote at once": (b'path,"label\na.mp4,x\n', FormatError, "not valid CSV.*quotes"),
    "open quote": (b'path,label\na.mp4,"run\nb.mp4,x\n', FormatError, "line 3: not valid CSV.*quotes"),
    "empty path": (b"path,label\na.mp4,run\n,jump\n", FormatError, "line 3: the path is empty.*fill it in"),
    "zero byte": (b"path\na\x00.mp4\n", FormatError, "line"),
    "id twice": (b"path,id\na.mp4,x\na.mp4,y\na.mp4,x\n", InputError, "id 'x' is on line 2 and again on line 4"),
    "id twice by name": (b"path\na.mp4\nb/a.avi\n", InputError, "id 'a' is on line 2 and again on line 3"),
    "missing file": (b"path\nnone.mp4\n", InputError, r"1 of 1 files are missing: .*none\.mp4; correct"),
    "a folder as clip": (b"path\nsub\n", InputError, "1 of 1 files are missing"),
}


@pytest.mark.parametrize("kind", BAD_MANIFESTS)
def test_manifests(tmp_path: Path, kind: str) -> None:
    content, error, said = BAD_MANIFESTS[kind]
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.mp4").touch()
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(error, match=rf"m\.csv.*{said}"):
        read_source(tmp_path / "m.csv")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give a folder"):
        read_source(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match="holds no video file"):
        read_source(tmp_path)
    (tmp_path / "x.doc").touch()
    with pytest.raises(InputError, match="neither a folder, nor a CSV"):
        read_source(tmp_path / "x.doc")
