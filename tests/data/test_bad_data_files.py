"""Files that are not what they should be: each a clear error that names the file and the way out."""

import json

import pytest

from cezsar.data.annotations import load_annotations, load_captions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import load_index, load_split, read_label_list
from cezsar.data.manifest import read_source
from cezsar.errors import FormatError, InputError

JSON_READERS = [load_annotations, load_captions, load_descriptions, load_split, load_index]


@pytest.mark.parametrize("reader", JSON_READERS)
def test_no_usable_json(tmp_path, reader):
    path = tmp_path / "file.json"
    for content, said in [
        (b"", "line 1, column 1.*correct it"),
        (b'{"v": {"duration": 1,\n "timestamps": [[0', "line 2"),
        (b'{"a": "x",\n "caf\xe9": 1}', "line 2: byte 0xe9.*save the file as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "line 1.*save the file as UTF-8"),
        (b"[1]", "holds a JSON list"),
        (b'{"v_1": 1, "v_1": 2}', "'v_1' is given twice; keep one"),
        (b'{"v": NaN}', "NaN.*correct or remove"),
        (b'{"v":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not usable JSON"),
        (b"{}", "no|empty"),
    ]:
        path.write_bytes(content)
        with pytest.raises(FormatError, match=rf"(?s)file\.json.*({said})"):
            reader(path)
    for reader in [*JSON_READERS, read_label_list]:
        with pytest.raises(InputError, match=r"none\.json cannot be read.*check the path"):
            reader(tmp_path / "none.json")


ENTRY = {"duration": 9, "timestamps": [[0, 1]], "sentences": ["s"]}


@pytest.mark.parametrize(("reader", "content", "said"), [
    (load_captions, {"v": [{"sentence": "s"}]}, "no caption file.*results"),
    (load_captions, {"results": {"v": "a sentence"}}, "video 'v' should have a list"),
    (load_captions, {"results": {"v": [{"sentence": " "}]}}, "has no caption"),
    (load_descriptions, {"run": ""}, "class 'run'.*write a sentence"),
    (load_descriptions, {"run": ["ok", 3]}, "class 'run' should have a sentence"),
    (load_descriptions, {" ": "x"}, "no name"),
    (load_descriptions, {"Yo Yo": "x", "yo_yo": "y"}, "'Yo Yo' and 'yo_yo' are spellings of one class; keep one"),
    (load_split, {"training": ["a"]}, "no class to test"),
    (load_split, {"training": "a", "testing": ["b"]}, "'training' should be a list"),
    (load_split, {"training": ["a"], "testing": ["b", " "]}, "'testing'.*none of them empty"),
    (load_index, {"a": ["v1"], "b": ["v1"]}, "'v1' is in 'a' and again in 'b'"),
    (load_index, {"Yo Yo": ["v1"], "YoYo": ["v2"]}, "'Yo Yo' and 'YoYo' spell one class"),
    (load_index, {"a": {"v1": 1}}, "'a' should be a list of video ids"),
    (load_annotations, {"v": ENTRY | {"sentences": [" "]}}, r"has no usable segment \(1 dropped\)"),
    *(
        (load_annotations, {"v_good": ENTRY, "v_bad": entry}, f"video 'v_bad'.*{said}.*it should have")
        for entry, said in [
            ({"timestamps": [], "sentences": []}, "None is no number of seconds"),
            (ENTRY | {"duration": 0}, "duration 0 is not positive"),
            (ENTRY | {"duration": "9"}, "'9' is no number"),
            (ENTRY | {"sentences": []}, "no lists of one length"),
            (ENTRY | {"sentences": [5]}, "sentence 5 is no text"),
            (ENTRY | {"timestamps": [["0", "1"]]}, "'0' is no number"),
            (ENTRY | {"timestamps": [3]}, ""),
        ]
    ),
])  # fmt: skip
def test_json_of_another_form(tmp_path, reader, content, said):
    (tmp_path / "f.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"f\.json.*{said}"):
        reader(tmp_path / "f.json")


def test_folders_and_lists_of_descriptions(tmp_path):
    (tmp_path / "a_b.txt").write_text("x")
    for name, content, of, said in (
        ("a b.txt", b"y", "", "two files for class 'a b'; keep one"), ("run.txt", b"", "run.txt", "no label"),
        ("run.txt", b"\x00\x01binary", "run.txt", "is not a text file"),
        ("run.txt", b"Yo Yo\nrun\nyo_yo\n", "run.txt", "has a class twice.*'Yo Yo'; keep one"),
        ("d.csv", b"run,fast\nwalk,slow", "d.csv", "a column name, label or class, it names run,fast"),
        ("d.pdf", b"run", "d.pdf", "give names as a .txt or .csv list"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            load_descriptions(tmp_path / of)


@pytest.mark.parametrize(("content", "error", "said"), [
    (b"", FormatError, "line 1: the columns are .*path,id,label"),
    (b"file,id\na.mp4,1\n", FormatError, r"\['file', 'id'\].*path,id,label"),
    (b"path,id,label\n", InputError, "names no clip; write one line"),
    (b"path,label\na.mp4,run\nb.mp4,caf\xe9\n", FormatError, "line 3: byte 0xe9.*save the file as UTF-8"),
    (b"path,label\na.mp4,run, fast\n", FormatError, "line 2: more or less values.*quotes"),
    (b"path,id,label\na.mp4\n", FormatError, "line 2: more or less values"),
    (b'path,label\na.mp4,"run\nb.mp4,x\n', FormatError, "line 3: not valid CSV.*quotes"),
    (b"path,label\na.mp4,run\n,jump\n", FormatError, "line 3: the path is empty.*fill it in"),
    (b"path,id\na.mp4,x\na.mp4,y\na.mp4,x\n", InputError, "id 'x' is on line 2 and again on line 4"),
    (b"path\na.mp4\nb/a.avi\n", InputError, "id 'a' is on line 2 and again on line 3"),
    (b"path\nnone.mp4\n", InputError, r"1 of 1 files are missing: .*none\.mp4; correct"),
])  # fmt: skip
def test_manifests(tmp_path, content, error, said):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(error, match=rf"m\.csv.*{said}"):
        read_source(tmp_path / "m.csv")


def test_sources_that_are_none(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "x.doc").touch()
    for name, said in (
        ("nowhere", "does not exist; give a folder"), ("", "holds no video file"), ("x.doc", "neither a folder"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            read_source(tmp_path / name)
