"""Frames come out at the right times, upright, in the right colours, and a broken worker costs one clip."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cezsar.errors import CezsarError, InputError, VideoError
from cezsar.video import Decoder, Frame, Limits, Sampling

ROOT = Path(__file__).resolve().parent.parent
BITS = 6  # frame i shows i in binary, as black and white stripes, so that a picture tells which frame it is
CODECS = ["mp4:mp4v", "avi:MJPG", "avi:XVID", "webm:VP80", "webm:VP90", "mkv:FFV1", "avi:HFYU", "mov:png ", "flv:FLV1"]


# Making videos


def write_images(path: Path, images: Sequence[np.ndarray], fps: float = 8.0, codec: str = "mp4v") -> Path:
    """A video file of the given BGR images, in the container of `path`'s suffix."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {codec}"
    for image in images:
        writer.write(image)
    writer.release()
    return path


def numbered(i: int) -> np.ndarray:
    """A (32, 96, 3) picture of the number i."""
    bits = np.array([255 if i >> bit & 1 else 0 for bit in range(BITS)], np.uint8)
    return np.broadcast_to(np.repeat(bits, 16)[None, :, None], (32, 16 * BITS, 3)).copy()


def write_numbered(path: Path, count: int = 40, fps: float = 8.0, codec: str = "mp4v") -> Path:
    return write_images(path, [numbered(i) for i in range(count)], fps, codec)


def number_in(image: np.ndarray) -> int:
    assert image.shape == (32, 16 * BITS, 3)
    stripes = image[:, :, 1].reshape(32, BITS, 16).mean(axis=(0, 2)) > 128
    return sum(1 << bit for bit in range(BITS) if stripes[bit])


def index_of(frame: Frame) -> int:
    return number_in(frame.image)


def indices(decoder: Decoder, path: Path, fps: float) -> list[int]:
    return [index_of(frame) for frame in decoder.frames(path, Sampling(fps=fps))]


def replace_box(data: bytes, name: bytes, content: bytes) -> bytes:
    """An MP4 with the content of the first box `name` replaced and the sizes of the boxes around it set right.

    The files written here keep their index behind the pictures, so no offset in it changes.
    """
    result, at, done = b"", 0, False
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if kind == name and not done:
            body, done = content, True
        elif kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            body = replace_box(body, name, content)
        result += struct.pack(">I4s", len(body) + 8, kind) + body
        at += size
    return result


def rotated(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """The MP4 with the display matrix (x, y) -> (a x + c y, b x + d y) in its track header."""
    data = path.read_bytes()
    matrix_at = data.index(b"tkhd") + 44  # after version, times, id, duration, layer and volume
    numbers = [round(n * 65536) for n in (a, b, 0, c, d, 0, 0, 0)]
    turned = path.with_stem(f"{path.stem}-{a}-{b}-{c}-{d}")
    turned.write_bytes(data[:matrix_at] + struct.pack(">8i", *numbers) + data[matrix_at + 32 :])
    return turned


def with_durations(path: Path, durations: Sequence[int]) -> Path:
    """The MP4 with frame i shown for durations[i] ticks: a variable frame rate."""
    table = b"".join(struct.pack(">II", 1, ticks) for ticks in durations)
    uneven = path.with_stem(f"{path.stem}-uneven")
    uneven.write_bytes(replace_box(path.read_bytes(), b"stts", struct.pack(">II", 0, len(durations)) + table))
    return uneven


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as shared:
        yield shared


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 s at 8 frames per second."""
    return write_numbered(tmp_path_factory.mktemp("video") / "numbers.mp4")


# Work for the worker: functions of a module, since they go there by name


def read_numbers(frames: Iterator[Frame]) -> np.ndarray:
    return np.array([index_of(frame) for frame in frames])


def first_only(frames: Iterator[Frame]) -> np.ndarray:
    return next(frames).image


def sleep_long(frames: Iterator[Frame]) -> np.ndarray:
    time.sleep(60)
    return np.zeros(1)


def abort(frames: Iterator[Frame]) -> np.ndarray:
    os.abort()


def segfault(frames: Iterator[Frame]) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGSEGV)
    return np.zeros(1)


def leave(frames: Iterator[Frame]) -> np.ndarray:
    os._exit(3)


def allocate(frames: Iterator[Frame]) -> np.ndarray:
    return np.concatenate([np.ones(1 << 24) for _ in range(64)])  # 8 GiB


def allocate_in_opencv(frames: Iterator[Frame]) -> np.ndarray:
    return cv2.resize(next(frames).image, (60_000, 60_000))  # 10 GiB


def print_everywhere(frames: Iterator[Frame]) -> np.ndarray:
    print("a stray print", flush=True)  # noqa: T201 (on purpose)
    os.write(1, b"\x05\0\0\0\0\0\0\0noise" * 1000)
    return read_numbers(frames)


def read_stdin(frames: Iterator[Frame]) -> np.ndarray:
    return np.array([len(os.read(0, 10))])


class TwoPartError(CezsarError):
    """Pickles, but cannot be rebuilt from its message alone."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


def raise_input_error(frames: Iterator[Frame]) -> np.ndarray:
    raise InputError("the label list is empty")


def raise_two_parts(frames: Iterator[Frame]) -> np.ndarray:
    raise TwoPartError("a hole", "the ice")


def raise_value_error(frames: Iterator[Frame]) -> np.ndarray:
    raise ValueError("seven is right out")


def return_unpicklable(frames: Iterator[Frame]) -> np.ndarray:
    return lambda: 0  # type: ignore[return-value]  # wrong on purpose


def loaded_modules(frames: Iterator[Frame]) -> np.ndarray:
    return np.array(sorted(sys.modules))


def opencv_threads(frames: Iterator[Frame]) -> np.ndarray:
    return np.array([cv2.getNumThreads()])


def resident_kib(pid: int | str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def memory_over_time(frames: Iterator[Frame]) -> np.ndarray:
    """Resident KiB of the worker at every frame."""
    return np.array([resident_kib("self") for _ in frames])


# Sample times


@pytest.mark.parametrize("fps", [1.0, 2.0, 3.0, 8.0, 7.3, 0.5, 0.1, 20.0])
def test_samples_are_the_frames_shown_at_k_over_fps(decoder: Decoder, numbers: Path, fps: float) -> None:
    frames = list(decoder.frames(numbers, Sampling(fps=fps)))
    assert len(frames) == max(1, math.ceil(5 * fps))
    for k, frame in enumerate(frames):
        assert frame.time_s == k / fps
        assert index_of(frame) == max(i for i in range(40) if i / 8 <= k / fps + 1e-9)


@pytest.mark.parametrize("file_fps", [29.97, 30.0, 23.976, 12.5, 60.0, 7.0])
@pytest.mark.parametrize("suffix", ["mp4:mp4v", "avi:MJPG", "webm:VP80"])
def test_frame_rates_that_do_not_divide(decoder: Decoder, tmp_path: Path, file_fps: float, suffix: str) -> None:
    container, codec = suffix.split(":")
    path = write_numbered(tmp_path / f"clip.{container}", 50, file_fps, codec)
    times_s = read_times_s(path)
    found = indices(decoder, path, 4)
    assert len(found) == math.ceil(50 / file_fps * 4)
    assert found == [max(i for i, t in enumerate(times_s) if t <= k / 4 + 1e-9) for k in range(len(found))]


def read_times_s(path: Path) -> list[float]:
    capture, times_s = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while capture.grab():
        times_s.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times_s


UNEVEN = {  # durations in ticks of 1/16384 s, 81,920 in all
    "slowing": [256] * 20 + [2048] * 10 + [5000] * 9 + [81920 - 256 * 20 - 20480 - 45000],
    "one long hold": [100] * 20 + [100] * 19 + [81920 - 3900],
    "a hold in the middle": [500] * 10 + [81920 - 500 * 39] + [500] * 29,
    "ever longer": [round(4.6 * 1.22**i) for i in range(39)] + [0],
    "jitter": [2048 + (900 if i % 2 else -900) for i in range(40)],
}


@pytest.mark.parametrize("fps", [1.0, 4.0, 7.7])
@pytest.mark.parametrize("kind", UNEVEN)
def test_variable_frame_rate(decoder: Decoder, numbers: Path, tmp_path: Path, kind: str, fps: float) -> None:
    durations = UNEVEN[kind]
    durations = [*durations[:-1], 81920 - sum(durations[:-1])]
    assert min(durations) > 0
    here = tmp_path / "numbers.mp4"
    here.write_bytes(numbers.read_bytes())
    starts_s = [sum(durations[:i]) / 16384 for i in range(40)]
    expected = []
    for k in range(math.ceil(5 * fps)):
        expected.append(max(i for i in range(40) if starts_s[i] <= k / fps + 1e-9))
    assert indices(decoder, with_durations(here, durations), fps) == expected


def test_missing_frame_count_and_duration(decoder: Decoder, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "clip.webm", codec="VP80")
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88")  # Matroska's Duration: an id of two bytes, a length of one, a double
    data = data[:at] + b"\xec\x89" + bytes(9) + data[at + 11 :]  # becomes a Void of the same length
    path.write_bytes(data.replace(b"DURATION", b"PURATION"))  # the same once more, in the tags
    info = decoder.probe(path)
    assert (info.frame_count, info.duration_s) == (None, None)
    assert indices(decoder, path, 2) == list(range(0, 40, 4))


def test_no_timestamps_at_all(decoder: Decoder, tmp_path: Path) -> None:
    """Bare JPEGs one after another: FFmpeg plays them at 25 frames per second."""
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", numbered(i))[1].tobytes() for i in range(50)))
    assert indices(decoder, path, 5) == list(range(0, 50, 5))


def test_impossible_frame_rate_is_none(decoder: Decoder, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "clip.avi", codec="MJPG")
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 20  # dwScale and dwRate: frames per second as a fraction
    data[at : at + 8] = struct.pack("<II", 1, 4_000_000_000)
    path.write_bytes(bytes(data))
    info = decoder.probe(path)
    assert info.fps is None or 0 < info.fps <= 1e4
    assert len(list(decoder.frames(path, Sampling()))) >= 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("suffix", CODECS)
def test_short_clips_give_one_frame(decoder: Decoder, tmp_path: Path, suffix: str, count: int) -> None:
    container, codec = suffix.split(":")
    path = write_numbered(tmp_path / f"clip.{container}", count, 8.0, codec)
    assert [(f.time_s, index_of(f)) for f in decoder.frames(path, Sampling())] == [(0.0, 0)]


def test_work_that_the_worker_cannot_import(numbers: Path, tmp_path: Path) -> None:
    text = (
        "from cezsar.video import *\ndef work(frames): return next(frames).image\n"
        "try: Decoder().run(sys.argv[1], Sampling(), work)\nexcept InputError as error: print(error)"
    )
    assert "put it in a module" in program(text, tmp_path, numbers).stdout


def test_max_s_stops_early(decoder: Decoder, numbers: Path) -> None:
    assert [f.time_s for f in decoder.frames(numbers, Sampling(fps=2, max_s=1.5))] == [0, 0.5, 1.0]
    assert [f.time_s for f in decoder.frames(numbers, Sampling(max_s=0.001))] == [0]
    assert [f.time_s for f in decoder.frames(numbers, Sampling(max_s=1e-9))] == [0]
    assert len(list(decoder.frames(numbers, Sampling(max_s=1000)))) == 5


# Pictures


@pytest.mark.parametrize("suffix", CODECS)
def test_codecs(decoder: Decoder, tmp_path: Path, suffix: str) -> None:
    container, codec = suffix.split(":")
    path = write_numbered(tmp_path / f"clip.{container}", codec=codec)
    assert indices(decoder, path, 1) == [0, 8, 16, 24, 32]
    info = decoder.probe(path)
    assert (info.width, info.height, info.fps, info.frame_count, info.duration_s) == (96, 32, 8.0, 40, 5.0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 31), (1, 64), (65, 2)])
@pytest.mark.parametrize("suffix", ["mjpeg", "gif", "png"])
def test_odd_sizes(decoder: Decoder, tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    path, image = tmp_path / f"clip.{suffix}", np.full((*size, 3), 90, np.uint8)
    if suffix == "gif":
        pictures = [Image.fromarray(image), Image.fromarray(image + 50)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    else:
        picture = cv2.imencode(f".{suffix[:3].replace('mjp', 'jpg')}", image)[1].tobytes()
        path.write_bytes(picture * (3 if suffix == "mjpeg" else 1))
    info = decoder.probe(path)
    frame = next(decoder.frames(path, Sampling()))
    assert frame.image.shape == (*size, 3) == (info.height, info.width, 3)
    assert abs(frame.image.astype(int) - 90).max() <= 4


def quarters() -> np.ndarray:
    """48 x 32, BGR: red, green / blue, white."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:], image[16:, :24], image[16:, 24:] = (0, 0, 255), (0, 255, 0), (255, 0, 0), 255
    return image


def test_rgb_or_bgr(decoder: Decoder, tmp_path: Path) -> None:
    path = write_images(tmp_path / "clip.mov", [quarters()] * 4, codec="png ")
    rgb = next(decoder.frames(path, Sampling())).image
    bgr = next(decoder.frames(path, Sampling(bgr=True))).image
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(bgr, quarters())
    np.testing.assert_array_equal(rgb, quarters()[:, :, ::-1])


@pytest.mark.parametrize(("turn", "degrees"), [((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270)])
def test_rotation_metadata(decoder: Decoder, tmp_path: Path, turn: tuple[int, int, int, int], degrees: int) -> None:
    path = rotated(write_images(tmp_path / "clip.mp4", [quarters()] * 4), *turn)
    a, b, c, d = turn
    expected: dict[tuple[int, int], np.ndarray] = {}  # where the matrix of the file format takes each pixel
    for y in range(32):
        for x in range(48):
            expected[a * x + c * y, b * x + d * y] = quarters()[y, x, ::-1]
    left, top = min(x for x, _ in expected), min(y for _, y in expected)
    image = next(decoder.frames(path, Sampling())).image
    info = decoder.probe(path)
    assert info.rotation == degrees
    assert image.shape[:2] == (info.height, info.width) == ((32, 48) if degrees == 180 else (48, 32))
    difference = [np.abs(image[y - top, x - left].astype(int) - colour).max() for (x, y), colour in expected.items()]
    assert np.median(difference) < 12  # lossy, and the borders between the quarters bleed


def test_shrinking_averages_areas(decoder: Decoder, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = write_images(tmp_path / "clip.mov", [image] * 2, codec="png ")
    small = next(decoder.frames(path, Sampling(max_side=40, bgr=True))).image
    blocks = image.astype(float).reshape(30, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - blocks).max() <= 0.51
    assert next(decoder.frames(path, Sampling(max_side=80))).image.shape == (60, 80, 3)
    assert next(decoder.frames(path, Sampling(max_side=500))).image.shape == (60, 80, 3)
    assert next(decoder.frames(path, Sampling(max_side=1))).image.shape == (1, 1, 3)


# Streaming


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_frames_may_be_abandoned(numbers: Path, taken: int) -> None:
    with Decoder() as own:
        stream = own.frames(numbers, Sampling(fps=8))
        for _ in range(taken):
            next(stream)
        assert own._worker is not None
        pid = own._worker.pid
        assert own.probe(numbers).frame_count == 40
        with pytest.raises(VideoError, match="ended early"):
            next(stream)
        assert list(stream) == []
        assert own._worker.pid == pid, "abandoning must not cost a worker"


def test_two_streams_do_not_mix(numbers: Path) -> None:
    with Decoder() as own:
        first = own.frames(numbers, Sampling())
        next(first)
        assert indices(own, numbers, 1) == [0, 8, 16, 24, 32]
        with pytest.raises(VideoError, match="ended early"):
            next(first)


def test_giving_up_what_had_ended_is_no_error(numbers: Path) -> None:
    with Decoder() as own:
        stream = own.frames(numbers, Sampling())
        for _ in range(5):
            next(stream)
        own.probe(numbers)
        assert list(stream) == []


def test_finished_stream_stays_finished(decoder: Decoder, numbers: Path) -> None:
    stream = decoder.frames(numbers, Sampling())
    assert len(list(stream)) == 5
    assert list(stream) == []


def test_worker_memory_is_flat(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    path = write_images(tmp_path / "long.avi", [np.roll(noise, i, axis=1) for i in range(3000)], 25.0, "MJPG")
    with Decoder() as own:
        kib = own.run(path, Sampling(fps=25), memory_over_time)
        assert len(kib) == 3000  # 110 MB of pictures
        assert kib[-1] - kib[400] < 8_000
        assert own._worker is not None
        pid, seen = own._worker.pid, []
        for frame in own.frames(path, Sampling(fps=5)):
            if frame.time_s % 10 == 0:
                seen.append(resident_kib(pid))
        assert max(seen) - seen[0] < 8_000


# Work inside the worker


def test_run_computes_in_the_worker(decoder: Decoder, numbers: Path) -> None:
    np.testing.assert_array_equal(decoder.run(numbers, Sampling(fps=8), read_numbers), np.arange(40))
    assert decoder.run(numbers, Sampling(), first_only).shape == (32, 96, 3)


def test_stray_output_cannot_corrupt_the_messages(decoder: Decoder, numbers: Path) -> None:
    assert len(decoder.run(numbers, Sampling(), print_everywhere)) == 5
    assert decoder.run(numbers, Sampling(), read_stdin)[0] == 0
    assert len(decoder.run(numbers, Sampling(), read_numbers)) == 5


def test_worker_is_light(decoder: Decoder, numbers: Path) -> None:
    loaded = set(decoder.run(numbers, Sampling(), loaded_modules).tolist())
    assert {"cv2", "numpy"} <= loaded
    # this very module is loaded there too, and pytest with it
    assert not loaded & {"torch", "timm", "sentence_transformers", "h5py", "pandas", "streamlit"}
    assert decoder.run(numbers, Sampling(), opencv_threads)[0] == 1


def test_errors_of_the_work_come_back(decoder: Decoder, numbers: Path) -> None:
    with pytest.raises(InputError, match="the label list is empty") as caught:
        decoder.run(numbers, Sampling(), raise_input_error)
    assert type(caught.value) is InputError
    with pytest.raises(VideoError, match=r"numbers\.mp4: ValueError: seven is right out"):
        decoder.run(numbers, Sampling(), raise_value_error)
    with pytest.raises(VideoError, match=r"numbers\.mp4: TwoPartError: a hole at the ice"):
        decoder.run(numbers, Sampling(), raise_two_parts)
    with pytest.raises(VideoError, match=r"numbers\.mp4: .*pickle"):
        decoder.run(numbers, Sampling(), return_unpicklable)
    with pytest.raises(InputError, match="module-level function"):
        decoder.run(numbers, Sampling(), lambda frames: np.zeros(1))
    assert len(decoder.run(numbers, Sampling(), read_numbers)) == 5


@pytest.mark.parametrize(
    ("work", "how"), [(abort, "signal 6"), (segfault, "signal 11"), (leave, "exit status 3")], ids=lambda x: str(x)
)
def test_a_crash_costs_one_clip(decoder: Decoder, numbers: Path, work: object, how: str) -> None:
    with pytest.raises(VideoError, match=rf"numbers\.mp4: the decoder crashed on it \({how}"):
        decoder.run(numbers, Sampling(), work)  # type: ignore[arg-type]  # the parameter's type is lost in the list
    assert len(decoder.run(numbers, Sampling(), read_numbers)) == 5


def test_a_crash_between_clips_costs_none(numbers: Path) -> None:
    with Decoder() as own:
        own.probe(numbers)
        assert own._worker is not None
        own._worker.kill()
        own._worker.wait()
        assert own.probe(numbers).frame_count == 40


def test_a_crash_while_streaming(numbers: Path) -> None:
    with Decoder() as own:
        stream = own.frames(numbers, Sampling(fps=8))
        next(stream)
        assert own._worker is not None
        own._worker.kill()
        with pytest.raises(VideoError, match=r"numbers\.mp4: the decoder crashed"):
            list(stream)
        assert list(stream) == []
        assert len(list(own.frames(numbers, Sampling()))) == 5


def test_time_bound(numbers: Path) -> None:
    with Decoder(Limits(time_s=0.4)) as own:
        own.probe(numbers)
        begun_s = time.monotonic()
        with pytest.raises(VideoError, match=r"numbers\.mp4: .* time bound of 0.4 s"):
            own.run(numbers, Sampling(), sleep_long)
        assert time.monotonic() - begun_s < 3
        assert len(own.run(numbers, Sampling(), read_numbers)) == 5


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_time_bound_while_streaming(numbers: Path) -> None:
    with Decoder(Limits(time_s=0.4)) as own:
        stream = own.frames(numbers, Sampling(fps=8))
        next(stream)
        assert own._worker is not None
        os.kill(own._worker.pid, signal.SIGSTOP)  # a hanging codec
        with pytest.raises(VideoError, match="time bound"):
            list(stream)
        assert len(list(own.frames(numbers, Sampling()))) == 5


def test_time_of_the_caller_is_not_counted(numbers: Path) -> None:
    with Decoder(Limits(time_s=0.5)) as own:
        for _ in own.frames(numbers, Sampling(fps=2)):
            time.sleep(0.1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory bound is the kernel's")
@pytest.mark.parametrize("work", [allocate, allocate_in_opencv])
def test_memory_bound(numbers: Path, work: object) -> None:
    with Decoder(Limits(memory_bytes=512 << 20)) as own:
        with pytest.raises(VideoError, match=r"numbers\.mp4: .* memory bound of 512 MiB"):
            own.run(numbers, Sampling(), work)  # type: ignore[arg-type]  # the parameter's type is lost in the list
        assert len(own.run(numbers, Sampling(), read_numbers)) == 5


# The process


def program(text: str, cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that finds the package by sys.path alone, in another folder, without our environment."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    source = f"import os, sys; sys.path.append({str(ROOT)!r})\n{text}"
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def gone(pid: int, within_s: float = 10) -> bool:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_from_another_folder_without_installation(tmp_path: Path, numbers: Path) -> None:
    text = "from cezsar.video import *\nprint(Decoder().probe(sys.argv[1]).frame_count, 'cv2' in sys.modules)"
    result = program(text, tmp_path, numbers)
    assert (result.stdout, result.stderr) == ("40 False\n", "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("state", ["d.probe(p)", "next(d.frames(p, Sampling(fps=8)))"])
def test_worker_ends_with_its_parent(tmp_path: Path, numbers: Path, state: str) -> None:
    text = f"from cezsar.video import *\nd = Decoder(); p = sys.argv[1]; {state}\n"
    end = "print(d._worker.pid, flush=True); os.kill(os.getpid(), 9)"
    result = program(text + end, tmp_path, numbers)
    assert gone(int(result.stdout))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_worker_ends_with_the_decoder(numbers: Path) -> None:
    own = Decoder()
    own.probe(numbers)
    assert own._worker is not None
    pid = own._worker.pid
    del own
    assert gone(pid)


def test_closed_decoder_can_be_used_again(numbers: Path) -> None:
    own = Decoder()
    own.close()
    assert own.probe(numbers).frame_count == 40
    stream = own.frames(numbers, Sampling())
    own.close()
    with pytest.raises(VideoError, match="ended early"):
        next(stream)
    own.close()


def test_a_decoder_per_thread(numbers: Path) -> None:
    results: list[list[float]] = []

    def read() -> None:
        with Decoder() as own:
            for _ in range(10):
                results.append(own.run(numbers, Sampling(), read_numbers).tolist())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 30
    assert all(result == results[0] for result in results)
