"""Frames come out at the right times, upright, in the right colours, and a broken worker costs one clip."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from cezsar.errors import InputError, VideoError
from cezsar.video import EARNED_S, Decoder, Limits, Reading, Sampling, left_s

ROOT = Path(__file__).resolve().parent.parent
BITS = 6  # frame i shows i in binary, as black and white stripes, so that a picture tells which frame it is
OVERFULL = Sampling(fps=200)  # more frames than the pipe holds
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory bound and /proc are the kernel's")


def write_images(path, images, fps=8.0, codec="mp4v"):
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {codec}"
    for image in images:
        writer.write(image)
    writer.release()
    return path


def numbered(i):
    bits = np.array([255 if i >> bit & 1 else 0 for bit in range(BITS)], np.uint8)
    return np.broadcast_to(np.repeat(bits, 16)[None, :, None], (32, 16 * BITS, 3)).copy()


def write_numbered(path, count=40, fps=8.0, codec="mp4v"):
    return write_images(path, [numbered(i) for i in range(count)], fps, codec)


def index_of(frame):
    assert frame.image.shape == (32, 16 * BITS, 3)
    stripes = frame.image[:, :, 1].reshape(32, BITS, 16).mean(axis=(0, 2)) > 128
    return sum(1 << bit for bit in range(BITS) if stripes[bit])


def indices(decoder, path, fps):
    return [index_of(frame) for frame in decoder.frames(path, Sampling(fps=fps))]


def first_image(decoder, path, **sampling):
    (frame,) = decoder.frames(path, Sampling(max_s=1e-9, **sampling))
    return frame.image


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("video") / "numbers.mp4")


# Work for the worker: functions of a module, since they go there by name


def read_numbers(frames):
    return np.array([index_of(frame) for frame in frames])


def first_only(frames):
    return next(frames).image


def slowly(frames):
    return read_numbers(frame for frame in frames if time.sleep(0.5) is None)


def instead(function, *arguments):
    """With `functools.partial`: call that function, whatever the frames are, which come last."""
    return function(*arguments[:-1])


def fail(error, frames):
    raise error


def print_everywhere(frames):
    print("a stray print", flush=True)  # noqa: T201 (on purpose)
    os.write(1, b"\x05\0\0\0\0\0\0\0noise" * 1000)
    return read_numbers(frames)


def return_words(frames):
    return np.array(["no", "number"])


def loaded_modules(frames):
    return np.frombuffer(" ".join([*sys.modules, f"{cv2.getNumThreads()}-thread"]).encode(), np.uint8)


def most_memory_over_time(frames):
    import resource

    return np.array([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss for _ in frames])


def test_samples_are_the_frames_shown_at_k_over_fps(decoder, numbers):
    for fps in (1.0, 2.0, 3.0, 8.0, 7.3, 0.5, 0.1, 20.0):
        frames = list(decoder.frames(numbers, Sampling(fps=fps)))
        assert len(frames) == max(1, math.ceil(5 * fps))
        for k, frame in enumerate(frames):
            assert frame.time_s == k / fps
            assert index_of(frame) == max(i for i in range(40) if i / 8 <= k / fps + 1e-9)
    for most_s, times in ((1.5, [0, 1]), (0.001, [0]), (1e-9, [0]), (1000, [0, 1, 2, 3, 4])):
        assert [frame.time_s for frame in decoder.frames(numbers, Sampling(max_s=most_s))] == times
    with av.open(str(numbers)) as file:
        keys = [round(packet.pts * float(packet.time_base) * 8) for packet in file.demux(video=0) if packet.is_keyframe]
    assert 1 < len(keys) < 40
    found = [index_of(frame) for frame in decoder.frames(numbers, Sampling(fps=8, keys_s=2))]
    assert found == [max(key for key in keys if key <= i) for i in range(40)]  # 1.5 s apart at the most
    assert len({index_of(frame) for frame in decoder.frames(numbers, Sampling(fps=8, keys_s=1))}) == 40


def test_impossible_settings_are_refused():
    for kind, wrong in ((Sampling, {"fps": math.nan}), (Sampling, {"max_side": 0}), (Limits, {"time_s": math.inf})):
        with pytest.raises(InputError, match="must be"):
            kind(**wrong)


def test_odd_sizes(decoder, tmp_path):
    for size in ((1, 1), (3, 5), (17, 31), (1, 64), (65, 2)):
        image = np.full((*size, 3), 90, np.uint8)
        pictures = [Image.fromarray(image), Image.fromarray(image + 50)]
        pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=100)
        (tmp_path / "clip.mjpeg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes() * 3)
        cv2.imwrite(str(tmp_path / "clip.png"), image)
        for path in tmp_path.iterdir():
            info, found = decoder.probe(path), first_image(decoder, path)
            assert found.shape == (*size, 3) == (info.height, info.width, 3)
            assert abs(found.astype(int) - 90).max() <= 4


def quarters():
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:], image[16:, :24], image[16:, 24:] = (0, 0, 255), (0, 255, 0), (255, 0, 0), 255
    return image


def test_channel_order_and_shrinking_by_the_mean_of_areas(decoder, tmp_path):
    path = write_images(tmp_path / "quarters.mov", [quarters()] * 4, codec="png ")
    rgb = first_image(decoder, path)
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    np.testing.assert_array_equal(first_image(decoder, path, bgr=True), quarters())
    np.testing.assert_array_equal(rgb, quarters()[:, :, ::-1])
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = write_images(tmp_path / "noise.mov", [noise] * 2, codec="png ")
    blocks = noise.astype(float).reshape(30, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(first_image(decoder, path, max_side=40, bgr=True) - blocks).max() <= 0.51
    for most, shape in ((80, (60, 80, 3)), (500, (60, 80, 3)), (1, (1, 1, 3))):
        assert first_image(decoder, path, max_side=most).shape == shape


def test_frames_may_be_abandoned(decoder, numbers):
    for taken in (0, 1, 3):
        stream = decoder.frames(numbers, Sampling(fps=8))
        for _ in range(taken):
            next(stream)
        assert indices(decoder, numbers, 1) == [0, 8, 16, 24, 32]
        with pytest.raises(VideoError, match="ended early"):
            next(stream)
        assert list(stream) == []


@LINUX
def test_worker_memory_is_flat(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    path = write_images(tmp_path / "long.avi", [np.roll(noise, i, axis=1) for i in range(900)], 25.0, "MJPG")
    with Decoder() as own:
        kib = own.run(path, Sampling(fps=25), most_memory_over_time)
        assert len(kib) == 900  # 33 MB of pictures
        assert kib[-1] - kib[400] < 8_000


def test_run_computes_in_the_worker(decoder, numbers):
    np.testing.assert_array_equal(decoder.run(numbers, Sampling(fps=8), read_numbers), np.arange(40))
    assert decoder.run(numbers, Sampling(), first_only).shape == (32, 96, 3)
    assert len(decoder.run(numbers, Sampling(), print_everywhere)) == 5  # and the messages are not corrupted
    loaded = set(decoder.run(numbers, Sampling(), loaded_modules).tobytes().decode().split())
    assert {"cv2", "numpy", "1-thread"} <= loaded
    # this very module is loaded there too, and pytest with it
    assert not loaded & {"torch", "timm", "sentence_transformers", "h5py", "pandas", "streamlit"}


def test_errors_of_the_work_come_back(decoder, numbers):
    for work, kind, said in (
        (partial(fail, InputError("the label list is empty")), InputError, "the label list is empty"),
        (partial(fail, ValueError("seven is right out")), VideoError, r"numbers\.mp4: ValueError: seven is right out"),
        (return_words, VideoError, r"numbers\.mp4: the work gave no array of numbers"),
        (lambda frames: np.zeros(1), InputError, "module-level function"),
    ):
        with pytest.raises(kind, match=said) as caught:
            decoder.run(numbers, Sampling(), work)
        assert type(caught.value) is kind
    assert len(decoder.run(numbers, Sampling(), read_numbers)) == 5


def test_a_crash_costs_one_clip(decoder, numbers):
    for how, *what in (("signal 6", os.abort), ("signal 11", signal.raise_signal, 11), ("exit status 3", os._exit, 3)):
        with pytest.raises(VideoError, match=rf"numbers\.mp4: the decoder crashed on it \({how}"):
            decoder.run(numbers, Sampling(), partial(instead, *what))
        assert len(decoder.run(numbers, Sampling(), read_numbers)) == 5
    stream = decoder.frames(numbers, OVERFULL)
    next(stream)
    decoder._worker.kill()
    with pytest.raises(VideoError, match=r"numbers\.mp4: the decoder crashed"):
        list(stream)
    assert list(stream) == []
    decoder.probe(numbers)
    decoder._worker.kill()  # between two clips: it costs none
    decoder._worker.wait()
    assert len(list(decoder.frames(numbers, Sampling()))) == 5


def test_the_time_bound_ends_what_hangs_and_not_what_is_long(numbers):
    with Decoder(Limits(time_s=2)) as own:
        assert len(own.run(numbers, Sampling(), slowly)) == 5  # 2.5 s
        for _ in own.frames(numbers, Sampling(fps=1)):
            time.sleep(0.5)  # the caller's time is not counted
        begun_s = time.monotonic()
        with pytest.raises(VideoError, match=r"numbers\.mp4: .*time bound of 2 s and 10 s for each second of video"):
            own.run(numbers, Sampling(), partial(instead, time.sleep, 60))
        assert time.monotonic() - begun_s < 10
        stream = own.frames(numbers, OVERFULL)
        next(stream)
        if hasattr(signal, "SIGSTOP"):
            os.kill(own._worker.pid, signal.SIGSTOP)  # a hanging codec
            with pytest.raises(VideoError, match="time bound"):
                list(stream)
        assert len(own.run(numbers, Sampling(), read_numbers)) == 5
    assert left_s(5, waited_s=1, came_s=0.5, bound_s=20) == 4 + EARNED_S / 2
    assert left_s(5, waited_s=1, came_s=1000, bound_s=20) == 20  # so that what hangs then ends as soon as at the start


def program(text, cwd, *arguments):
    """Run a program that finds the package by sys.path alone, in another folder, without our environment."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    source = f"import os, sys; sys.path.append({str(ROOT)!r})\nfrom cezsar.video import *\n{text}"
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def gone(pid):
    until_s = time.monotonic() + 10
    state = "R"
    while state and state != "Z" and time.monotonic() < until_s:
        time.sleep(0.05)
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state in ("", "Z")


@LINUX
def test_worker_ends_with_its_parent_and_with_the_decoder_which_can_be_used_again(tmp_path, numbers):
    end = "print(d._worker.pid, flush=True); os.kill(os.getpid(), 9)"
    for state in ("d.probe(p)", "s = d.frames(p, Sampling(fps=200)); next(s)"):
        assert gone(int(program(f"d = Decoder(); p = sys.argv[1]; {state}\n{end}", tmp_path, numbers).stdout))
    own = Decoder()
    own.close()
    own.probe(numbers)
    pid = own._worker.pid
    del own
    assert gone(pid)


def test_a_decoder_per_thread(numbers):
    def read(_):
        with Decoder() as own:
            return [own.run(numbers, Sampling(), read_numbers).tolist() for _ in range(5)]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(read, range(3))) == [[[0, 8, 16, 24, 32]] * 5] * 3


def test_an_image_is_a_clip_of_one_frame(decoder, tmp_path):
    for suffix in ("png", "jpg", "bmp", "webp", "tiff"):
        path = tmp_path / f"001.{suffix}"  # and not the first of a numbered series
        cv2.imwrite(str(path), np.full((20, 30, 3), 200, np.uint8))
        cv2.imwrite(str(path.with_stem("002")), np.full((20, 30, 3), 50, np.uint8))
        (frame,) = decoder.frames(path, Sampling(fps=10))
        assert (frame.time_s, frame.image.shape) == (0.0, (20, 30, 3))
        assert abs(frame.image.astype(int) - 200).max() <= 3
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright: turned by a quarter
    Image.fromarray(quarters()).save(tmp_path / "camera.jpg", exif=exif, quality=95)
    assert np.median(np.abs(first_image(decoder, tmp_path / "camera.jpg") - np.rot90(quarters(), -1).astype(int))) < 4


def test_an_animation_keeps_its_times_and_is_redrawn_in_parts(decoder, tmp_path):
    path = tmp_path / "a.gif"
    images = [Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)) for i in range(5)]
    durations = [100, 300, 100, 60_000, 200]  # frames change at 0.1, 0.4, 0.5 and 60.5 s: a long hold is believed
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations)
    shown = [round(float(frame.image.mean()) / 40) for frame in decoder.frames(path, Sampling(fps=2))]
    assert shown[:2] == [0, 3] and shown[2:] == [3] * 119 + [4]
    squares = [Image.new("RGBA", (40, 30), (0, 0, 0, 0)) for _ in range(3)]
    for index, square in enumerate(squares):
        square.paste((200, 40, 40, 255), (10 * index, 5, 10 * index + 10, 15))
    squares[0].save(path, save_all=True, append_images=squares[1:], duration=1000, disposal=2, transparency=0)
    frames = list(decoder.frames(path, Sampling()))
    assert len(frames) == 3
    for index, frame in enumerate(frames):
        red = (abs(frame.image.astype(int) - (200, 40, 40)) < 10).all(axis=2)
        assert red[6:14, 10 * index + 1 : 10 * index + 9].all() and red.sum() == 100


@LINUX
def test_8k_frames_fit_where_they_may(decoder, numbers, tmp_path):
    path = write_images(tmp_path / "huge.avi", [np.full((4320, 7680, 3), 120, np.uint8)] * 2, codec="MJPG")
    assert (decoder.probe(path).width, decoder.probe(path).height) == (7680, 4320)
    (frame,) = decoder.frames(path, Sampling(max_side=64))
    assert frame.image.shape == (36, 64, 3) and abs(frame.image.astype(int) - 120).max() <= 3
    (full,) = decoder.frames(path, Sampling())
    assert full.image.shape == (4320, 7680, 3)
    with Decoder(Limits(memory_bytes=250 << 20)) as own:
        with pytest.raises(VideoError, match=r"huge\.avi: .* memory bound of 250 MiB"):
            list(own.frames(path, Sampling()))
        assert own.probe(numbers).duration_s == 5


def write_sound(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.random.default_rng(0).bytes(16000))


BAD = {
    "missing.mp4": (lambda path: None, "no such file"),
    "folder.mp4": (lambda path: path.mkdir(), "folder"),
    "empty.mp4": (lambda path: path.touch(), "0 bytes"),
    "words.mp4": (lambda path: path.write_text("brush hair\ncartwheel\n" * 40), "text file"),
    "words.txt": (lambda path: path.write_text("FFmpeg would draw this as a picture"), "text file"),
    "list.m3u8": (lambda path: path.write_text("#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"), "text file"),
    "noise.mp4": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(50_000)), "not a video"),
    "sound.mp4": (write_sound, "sound only"),
    "archive.mkv": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)), "not a video"),
    "fifo.mp4": (lambda path: os.mkfifo(path), "not a regular file"),
    "zero.mp4": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a\0b.mp4": (lambda path: None, "cannot be opened"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=lambda name: name[:20].replace("\0", "0"))
def test_refused_by_name(decoder, numbers, tmp_path, name):
    make, why = BAD[name]
    make(tmp_path / name)
    for ask in (lambda path: decoder.probe(path), lambda path: list(decoder.frames(path, Sampling()))):
        with pytest.raises(VideoError, match=why) as caught:
            ask(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    assert decoder.probe(numbers).duration_s == 5


def test_odd_names(decoder, numbers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "with space.mp4", "100%d.mp4", "-i.mp4", "été 動画 🎬.mp4", "a'b\"c.mp4", "no_suffix"):
        shutil.copy(numbers, tmp_path / name)
        assert decoder.probe(name).duration_s == decoder.probe(tmp_path / name).duration_s == 5
    if sys.platform.startswith("linux"):  # other systems want Unicode names
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
        shutil.copy(numbers, path)
        assert indices(decoder, Path(path), 1) == [0, 8, 16, 24, 32]
        with pytest.raises(VideoError, match=r"caf\\xe9\.avi: there is no such file"):  # may be printed anywhere
            decoder.probe(path.replace("mp4", "avi"))


def test_words():
    assert Reading(221, 3, 25, 8, 8).words == "221 of 224 pictures could be read; 25 of them are damaged"
    cut = Reading(141, 83, 0, 5.04, 8)
    assert cut.words == "it is cut off: 5.0 of 8.0 s could be read, 141 of 224 pictures"
