"""Whatever the file is, the answer is frames or a VideoError that names it, and the next clip works."""

from __future__ import annotations

import os
import sys
import wave
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from test_video import indices, write_images, write_numbered

from cezsar.errors import InputError, VideoError
from cezsar.video import Decoder, Limits, Sampling


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as shared:
        yield shared


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("video") / "good.mp4")


def write_sound(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.random.default_rng(0).bytes(16000))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.mp4": (lambda path: None, "no such file"),
    "folder.mp4": (lambda path: path.mkdir(), "folder"),
    "empty.mp4": (lambda path: path.touch(), "0 bytes"),
    "words.mp4": (lambda path: path.write_text("brush hair\ncartwheel\n" * 40), "text file"),
    "words.txt": (lambda path: path.write_text("FFmpeg would draw this as a picture"), "text file"),
    "words-16.txt": (lambda path: path.write_text("and this", encoding="utf-16"), "text file"),
    "latin.avi": (lambda path: path.write_bytes("café\n".encode("latin-1") * 40), "text file"),
    "list.m3u8": (lambda path: path.write_text("#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"), "text file"),
    "list.ffconcat": (lambda path: path.write_text("ffconcat version 1.0\nfile good.mp4\n"), "text file"),
    "table.csv": (lambda path: path.write_text("path,id,label\n"), "text file"),
    "zeros.mp4": (lambda path: path.write_bytes(bytes(5000)), "not a video"),
    "noise.mp4": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(50_000)), "not a video"),
    "one-byte.avi": (lambda path: path.write_bytes(b"\0"), "not a video"),
    "sound.wav": (write_sound, "sound only"),
    "sound.mp4": (write_sound, "sound only"),
    "archive.mkv": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)), "not a video"),
    "program.mp4": (lambda path: path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(500)), "not a video"),
    "fifo.mp4": (lambda path: os.mkfifo(path), "not a regular file"),
    "dangling.mp4": (lambda path: path.symlink_to("nowhere"), "no such file"),
    "x" * 300: (lambda path: None, "cannot be opened"),
}


@pytest.mark.parametrize("name", BAD, ids=lambda name: name[:20])
def test_refused_by_name(decoder: Decoder, good: Path, tmp_path: Path, name: str) -> None:
    make, why = BAD[name]
    make(tmp_path / name)
    for ask in (lambda path: decoder.probe(path), lambda path: list(decoder.frames(path, Sampling()))):
        with pytest.raises(VideoError, match=why) as caught:
            ask(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    assert decoder.probe(good).frame_count == 40


def test_name_that_no_file_can_have(decoder: Decoder) -> None:
    with pytest.raises(VideoError, match="cannot be opened"):
        decoder.probe("a\0b.mp4")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_endless_file(decoder: Decoder) -> None:
    with pytest.raises(VideoError, match="not a regular file"):
        decoder.probe("/dev/zero")


# Names


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "with space.mp4", "100%d.mp4", "-i.mp4", "été 動画 🎬.mp4", "a'b\"c.mp4", "no_suffix"]
)
def test_odd_names(decoder: Decoder, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(good.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (name, Path(name), tmp_path / name):
        assert decoder.probe(path).frame_count == 40


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems want Unicode names")
def test_name_that_is_not_utf8(decoder: Decoder, good: Path, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")  # noqa: PTH118 (bytes)
    with open(path, "wb") as file:  # noqa: PTH123 (bytes)
        file.write(good.read_bytes())
    assert indices(decoder, Path(os.fsdecode(path)), 1) == [0, 8, 16, 24, 32]
    with pytest.raises(VideoError, match=r"caf\\xe9\.avi: there is no such file") as caught:
        decoder.probe(os.fsdecode(path).replace("mp4", "avi"))
    str(caught.value).encode()  # may be printed anywhere


# Damage


@pytest.mark.parametrize("suffix", ["avi:MJPG", "avi:XVID", "webm:VP80", "mkv:FFV1", "flv:FLV1", "mp4:mp4v"])
def test_cut_off_files_give_what_is_there(decoder: Decoder, tmp_path: Path, suffix: str) -> None:
    container, codec = suffix.split(":")
    whole = write_numbered(tmp_path / f"whole.{container}", codec=codec).read_bytes()
    cut = tmp_path / f"cut.{container}"
    found = []
    for tenths in range(1, 10):
        cut.write_bytes(whole[: len(whole) * tenths // 10])
        try:
            found.append(indices(decoder, cut, 1))
        except VideoError as error:
            assert str(cut) in str(error)
            found.append([])
    for fewer, more in pairwise(found):
        assert len(fewer) <= len(more) <= 5
    if container == "mp4":  # its index is at the end
        assert found == [[]] * 9
        cut.write_bytes(whole[: whole.index(b"moov") - 4])
        with pytest.raises(VideoError, match="cut off or was never finished"):
            decoder.probe(cut)
    else:
        assert any(0 < len(some) < 5 for some in found), "missing seconds must not be filled with the last frame"
        if codec in ("MJPG", "FFV1"):  # where no frame is made from another, even the damaged last one
            assert all(some[:-1] == [0, 8, 16, 24, 32][: len(some)][:-1] for some in found)


def test_damaged_bytes(decoder: Decoder, good: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    answers = 0
    for suffix in ("avi:MJPG", "webm:VP90", "mkv:FFV1", "mp4:mp4v", "mov:png "):
        container, codec = suffix.split(":")
        whole = write_numbered(tmp_path / f"whole.{container}", codec=codec).read_bytes()
        broken = tmp_path / f"broken.{container}"
        for _ in range(12):
            data = np.frombuffer(whole, np.uint8).copy()
            where = rng.integers(0, len(data), 20)
            data[where] = rng.integers(0, 256, 20)
            broken.write_bytes(data.tobytes())
            try:
                answers += len(list(decoder.frames(broken, Sampling(max_s=100)))) > 0
            except VideoError as error:
                assert str(broken) in str(error)
    assert answers > 10
    assert decoder.probe(good).frame_count == 40


def test_a_timestamp_gone_wild(decoder: Decoder, tmp_path: Path) -> None:
    """One flipped bit in an FLV time of day must not stretch 5 s into hours of one picture."""
    path = write_numbered(tmp_path / "clip.flv", codec="FLV1")
    data = bytearray(path.read_bytes())
    at = 13  # after the file's header, tags: type, size, time in milliseconds (low 3 bytes, high byte), stream
    seen = 0
    while at < len(data):
        seen += data[at] == 9
        if data[at] == 9 and seen == 20:
            data[at + 4] |= 0x80  # 2 h 20 min
            break
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    path.write_bytes(bytes(data))
    assert 5 <= len(list(decoder.frames(path, Sampling()))) <= 6


# Extreme, but fine


def test_8k_frames_fit(decoder: Decoder, tmp_path: Path) -> None:
    path = write_images(tmp_path / "huge.avi", [np.full((4320, 7680, 3), 120, np.uint8)] * 2, codec="MJPG")
    info = decoder.probe(path)
    assert (info.width, info.height) == (7680, 4320)
    (frame,) = decoder.frames(path, Sampling(max_side=64))
    assert frame.image.shape == (36, 64, 3)
    assert abs(frame.image.astype(int) - 120).max() <= 3
    (full,) = decoder.frames(path, Sampling())
    assert full.image.shape == (4320, 7680, 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory bound is the kernel's")
def test_8k_frames_under_a_small_bound(good: Path, tmp_path: Path) -> None:
    path = write_images(tmp_path / "huge.avi", [np.full((4320, 7680, 3), 120, np.uint8)] * 2, codec="MJPG")
    for mebibytes in (100, 150, 200, 250):
        with Decoder(Limits(memory_bytes=mebibytes << 20)) as own:
            with pytest.raises(VideoError, match=rf"huge\.avi: .* memory bound of {mebibytes} MiB"):
                list(own.frames(path, Sampling()))
            assert own.probe(good).frame_count == 40


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff"])
def test_an_image_is_a_clip_of_one_frame(decoder: Decoder, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"001.{suffix}"  # and not the first of a numbered series
    cv2.imwrite(str(path), np.full((20, 30, 3), 200, np.uint8))
    cv2.imwrite(str(path.with_stem("002")), np.full((20, 30, 3), 50, np.uint8))
    (frame,) = decoder.frames(path, Sampling(fps=10))
    assert (frame.time_s, frame.image.shape) == (0.0, (20, 30, 3))
    assert abs(frame.image.astype(int) - 200).max() <= 3


def test_animated_gif_keeps_its_times(decoder: Decoder, tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)) for i in range(5)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 300, 100, 1500, 200])
    frames = list(decoder.frames(tmp_path / "a.gif", Sampling(fps=2)))  # frames change at 0.1, 0.4, 0.5 and 2.0 s
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 3, 3, 3, 4]


def test_a_long_hold_is_believed(decoder: Decoder, tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)) for i in range(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[1000, 60_000, 1000, 1000])
    frames = list(decoder.frames(tmp_path / "a.gif", Sampling(fps=0.1)))  # frames change at 1, 61 and 62 s
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 1, 1, 1, 1, 1, 1]


# Settings


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rates_are_refused(fps: float) -> None:
    with pytest.raises(InputError, match="fps and max_s must be above 0"):
        Sampling(fps=fps)


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="max_side 1 or more"):
        Sampling(max_side=0)
    for max_s in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="fps and max_s must be above 0"):
            Sampling(max_s=max_s)
    for time_s in (0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"Limits\.time_s"):
            Limits(time_s=time_s)
    with pytest.raises(InputError, match=r"Limits\.memory_bytes"):
        Limits(memory_bytes=0)
