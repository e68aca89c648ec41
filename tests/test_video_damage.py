"""After damage reading goes on, what is missing is said, and a long film is no hang."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from test_video import read_numbers, write_numbered

from cezsar.errors import VideoError
from cezsar.video import EARNED_S, Decoder, Frame, Limits, Reading, Sampling, left_s

FPS, COUNT = 28, 224


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as shared:
        yield shared


def write(path: Path, codec: str = "libx264", b_frames: int = 3, sound: bool = False) -> Path:
    """8 s of noise that drifts, with a key frame every 5 s and, in MP4, the index first."""
    noise = np.random.default_rng(0).integers(0, 256, (180, 240 + COUNT, 3), np.uint8)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, FPS, options={"g": "140", "crf": "30", "b": "400k"})
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1  # with more, bytes differ from run to run
        track = container.add_stream("aac", 8000) if sound else None
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, index : index + 240]))
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            if track is not None and index % 4 == 0 and index < 200:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.rate, silence.pts = 8000, 256 * index
                container.mux(track.encode(silence))
        container.mux(stream.encode())
        if track is not None:
            container.mux(track.encode())
    return path


def decoded_plainly(path: Path) -> tuple[int, int]:
    """Pictures and failures with one thread: FFmpeg called directly, without anything that this package adds."""
    pictures = failures = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                pictures += len(packet.decode())
            except av.InvalidDataError:
                failures += 1
    return pictures, failures


def flipped(path: Path, count: int, seed: int) -> Path:
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    middle = len(data) // 2
    data[middle + np.random.default_rng(seed).integers(0, 4000, count)] ^= 0xFF
    broken = path.with_stem(f"{path.stem}-broken-{seed}")
    broken.write_bytes(data.tobytes())
    return broken


@pytest.mark.parametrize("seed", [0, 3])
def test_reading_goes_on_behind_damage(decoder: Decoder, tmp_path: Path, seed: int) -> None:
    path = flipped(write(tmp_path / "clip.mp4"), 60, seed)
    pictures, failures = decoded_plainly(path)
    assert failures > 0 and pictures > 200
    frames = list(decoder.frames(path, Sampling()))
    reading = decoder.reading
    assert reading is not None
    assert len(frames) == 8
    assert (reading.pictures, reading.lost) == (pictures, failures)
    assert reading.damaged > 0 and reading.read_s == reading.told_s == 8
    assert reading.words.startswith(f"{pictures} of {pictures + failures} pictures could be read; ")
    whole = next(decoder.frames(path.with_name("clip.mp4"), Sampling()))
    np.testing.assert_array_equal(frames[0].image, whole.image)


@pytest.mark.parametrize("name", ["clip.mp4", "sound.mp4", "clip.mkv", "sound.mkv", "clip.avi"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_cut_off_file_tells_how_much_is_missing(decoder: Decoder, tmp_path: Path, name: str, share: float) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    whole = write(tmp_path / name, codec, b_frames=2, sound=name.startswith("sound"))
    path = whole.with_stem("cut")
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    pictures, _ = decoded_plainly(path)
    frames = list(decoder.frames(path, Sampling()))
    reading = decoder.reading
    assert reading is not None
    assert abs(reading.pictures - pictures) <= 1  # the last one may be found damaged or not at all
    assert reading.read_s == pytest.approx(pictures / FPS, abs=0.1)
    assert len(frames) == np.ceil(reading.read_s - 1e-6)  # seconds are sums of floats
    assert reading.told_s == pytest.approx(8, abs=0.1)
    assert reading.pictures + reading.lost == pytest.approx(COUNT, abs=2)
    assert reading.words.startswith(f"it is cut off: {reading.read_s:.1f} of 8.0 s could be read, ")


@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv", "clip.avi", "clip.ts"])
def test_nothing_is_missing_in_a_whole_file(decoder: Decoder, tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    decoder.run(write(tmp_path / name, codec, sound="sound" in name), Sampling(), count)
    assert decoder.reading == Reading(COUNT, 0, 0, pytest.approx(8, abs=0.05), pytest.approx(8, abs=0.05))
    assert decoder.reading.words == ""


def test_a_stream_that_begins_between_key_frames(decoder: Decoder, tmp_path: Path) -> None:
    data = write(tmp_path / "whole.ts").read_bytes()
    path = tmp_path / "middle.ts"
    path.write_bytes(data[188 * (len(data) // 188 // 4) + 77 :])
    assert len(list(decoder.frames(path, Sampling()))) in (3, 4)  # from the key frame at 5 s on
    assert decoder.reading is not None and decoder.reading.words == ""


def test_what_was_not_asked_for_is_not_missing(decoder: Decoder, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4")
    assert len(list(decoder.frames(path, Sampling(max_s=2)))) == 2
    assert decoder.reading is not None and decoder.reading.words == ""
    decoder.run(path, Sampling(), first)
    assert decoder.reading is not None and decoder.reading.words == ""
    stream = decoder.frames(path, Sampling())
    next(stream)
    assert decoder.reading is None
    decoder.probe(path)
    assert decoder.reading is None


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(224, 0, 0, 8, 8), ""),
        (Reading(221, 3, 0, 8, 8), "221 of 224 pictures could be read"),
        (Reading(221, 3, 25, 8, 8), "221 of 224 pictures could be read; 25 of them are damaged"),
        (Reading(224, 0, 25, 8, 8), "25 of 224 pictures are damaged"),
        (Reading(141, 83, 0, 5.04, 8), "it is cut off: 5.0 of 8.0 s could be read, 141 of 224 pictures"),
        (Reading(9, 1_000, 1, 1, 50), "it is cut off: 1.0 of 50.0 s could be read, 9 of 1,009 pictures; 1 of them is damaged"),  # noqa: E501
    ],
)  # fmt: skip
def test_words(reading: Reading, words: str) -> None:
    assert reading.words == words


# Work for the worker


def count(frames: Iterator[Frame]) -> np.ndarray:
    return np.array([sum(1 for _ in frames)])


def first(frames: Iterator[Frame]) -> np.ndarray:
    return next(frames).image


def slowly(frames: Iterator[Frame]) -> np.ndarray:
    return read_numbers(frame for frame in frames if time.sleep(0.5) is None)


def stuck_in_the_end(frames: Iterator[Frame]) -> np.ndarray:
    found = read_numbers(frames)
    time.sleep(60)
    return found


# The time bound


def test_video_that_comes_out_earns_time() -> None:
    assert left_s(20, waited_s=15, came_s=0, bound_s=20) == 5
    assert left_s(5, waited_s=1, came_s=0.5, bound_s=20) == 4 + EARNED_S / 2
    assert left_s(5, waited_s=1, came_s=1000, bound_s=20) == 20  # so that what hangs then ends as soon as at the start
    assert left_s(20, waited_s=100, came_s=1, bound_s=20) > 0


def test_a_long_clip_is_no_hang(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "numbers.mp4")
    with Decoder(Limits(time_s=1.5)) as own:
        assert len(own.run(path, Sampling(), slowly)) == 5  # 2.5 s
        begun_s = time.monotonic()
        with pytest.raises(VideoError, match=r"time bound of 1\.5 s and 10 s for each second of video"):
            own.run(path, Sampling(), stuck_in_the_end)
        assert time.monotonic() - begun_s < 10
