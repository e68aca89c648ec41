"""What counts as a clip, under which id and label."""

import os
import unicodedata

import pytest

from cezsar.data.manifest import Clip, passed_over, read_source
from cezsar.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(("files", "clips"), [
    ("b.mp4 a.AVI notes.txt .hidden.mp4 ._a.mp4 c.d.webm thumb.jpg no_suffix", {"a": "", "b": "", "c.d": ""}),
    (
        "jump/1.mp4 jump/2.mp4 run/1.mp4 run/3.mkv .cache/9.mp4 run/readme.md stray.mp4",
        {"jump/1": "jump", "2": "jump", "run/1": "run", "3": "run", "stray": ""},
    ),
    (  # one pair of equal names stops nothing
        "IMG_1.MOV IMG_1.MP4 IMG_2.MP4 run/a.mp4 run/a.avi walk/a.mp4",
        {"IMG_1.MOV": "", "IMG_1.MP4": "", "IMG_2": "", "run/a.avi": "run", "run/a.mp4": "run", "walk/a": "walk"},
    ),
])  # fmt: skip
def test_folders(tmp_path, files, clips):
    touch(tmp_path, *files.split())
    assert [(clip.id, clip.label) for clip in read_source(tmp_path)] == list(clips.items())


def test_what_is_passed_over_is_counted(tmp_path):
    touch(tmp_path, "a.mp4", "b.DV", "c.mxf", "d.h264", "e.qt", "f.m2t", ".hidden.txt")
    assert len(read_source(tmp_path)) == 6 and passed_over(tmp_path) == ""
    touch(tmp_path, "jump/1.txt", "jump/2.srt", "jump/3.TXT", "no_ending", ".cache/9.txt")
    told = f"{tmp_path}: 4 files passed over, no video by their names (.txt 2, .srt 1, no ending 1)"
    assert passed_over(tmp_path) == told
    only = tmp_path / "jump"
    with pytest.raises(InputError, match=r"holds no video file .*; .*: 3 files passed over, .* \(\.txt 2, \.srt 1\)"):
        read_source(only)


def test_deeper_folders_and_links(tmp_path):
    touch(tmp_path, "data/train/jump/1.mp4", "data/test/jump/1.mp4", "elsewhere/walk/w.mp4")
    (tmp_path / "data/walk").symlink_to(tmp_path / "elsewhere/walk")
    (tmp_path / "data/train/loop").symlink_to(tmp_path / "data")
    found = [(clip.id, clip.label) for clip in read_source(str(tmp_path / "data"))]
    assert found == [("test/jump/1", "jump"), ("train/jump/1", "jump"), ("w", "walk")]


def test_names_of_other_encodings(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "café") + "/ü.mp4", "x.MOV")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(odd, "wb"):  # noqa: PTH123 (a name of bytes)
        pass
    clips = {clip.id: clip for clip in read_source(tmp_path)}
    assert clips["ü"].label == "café" and clips["ü"].path.exists()
    assert os.fsencode(clips["caf\\xe9"].path) == odd
    assert read_source(tmp_path / "x.MOV") == [Clip(tmp_path / "x.MOV", "x", "")]  # one video


@pytest.mark.parametrize("text", [
    "path,id,label\nv/a.mp4,one,Jump Rope\nv/b.mp4,,\n",
    "\ufeffPath , ID,label\r\nv/a.mp4,one,Jump Rope\r\n\r\nv/b.mp4,,\r\n,,\r\n",
    'label;split;path;id\n"Jump Rope";train;v/a.mp4;one\n;;v/b.mp4;',
    "path\tlabel\tid\nv/a.mp4\tJump Rope\tone\nv/b.mp4\t\t\n",
])  # fmt: skip
def test_csv_dialects(tmp_path, text):
    touch(tmp_path, "v/a.mp4", "v/b.mp4")
    (tmp_path / "m.csv").write_bytes(text.encode())
    clips = [Clip(tmp_path / "v/a.mp4", "one", "Jump Rope"), Clip(tmp_path / "v/b.mp4", "b", "")]
    assert read_source(tmp_path / "m.csv") == clips


def test_csv_of_paths_only(tmp_path):
    """Absolute or quoted; missing files are counted, and the first named."""
    touch(tmp_path, "v/a, b.mp4", "c")
    (tmp_path / "m.csv").write_text(f'path\n"v/a, b.mp4"\n{tmp_path}/c\n')
    found = [(clip.id, clip.path) for clip in read_source(tmp_path / "m.csv")]
    assert found == [("a, b", tmp_path / "v/a, b.mp4"), ("c", tmp_path / "c")]
    (tmp_path / "m.csv").write_text("path\nc\n" + "".join(f"v{i}.mp4\n" for i in range(1, 1201)))
    with pytest.raises(InputError, match=r"m\.csv: 1,200 of 1,201 files .*v1\.mp4, .*v5\.mp4, \.\.\.") as e:
        read_source(tmp_path / "m.csv")
    assert "v6.mp4" not in str(e.value)
