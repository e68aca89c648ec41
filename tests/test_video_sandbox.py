"""A worker that has been taken over gets nothing, goes nowhere, and costs its own clip alone."""

import ctypes
import errno
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path
from platform import machine

import av
import numpy as np
import pytest
from test_video import LINUX, first_image, first_only, indices, instead, read_numbers, write_images, write_numbered

from cezsar import video, video_sandbox
from cezsar.data.extraction import extract
from cezsar.data.features import FeatureStore
from cezsar.data.manifest import Clip
from cezsar.errors import InputError, VideoError
from cezsar.video import HEADER, Decoder, Limits, Sampling, read_message

pytestmark = LINUX
LIBC = ctypes.CDLL(None, use_errno=True)
LISTED = {
    number
    for numbers in (video_sandbox.ALLOWED.get(machine(), {}), video_sandbox.ARCHITECTURE.get(machine(), (0, {}))[1])
    for number in numbers.values()
}
if machine() == "x86_64":
    LISTED |= {335, 336}  # uretprobe and uprobe: the kernel asks no filter, and refuses whoever calls them by hand
SECRET = 201  # the grey of a clip that no other may show
REFUSED, GRANTED = 1, 0


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("video") / "numbers.mp4")


@pytest.fixture(scope="module")
def confined(decoder):
    if "seccomp" not in decoder.confinement():
        pytest.skip("this kernel has no filter of system calls")
    return decoder


def fork_and_leave():
    if os.fork() == 0:
        os._exit(0)


ATTEMPTS = {
    "another file": lambda folder: open("/etc/passwd").close(),  # noqa: PTH123
    "the program": lambda folder: open(__file__).close(),  # noqa: PTH123
    "its own memory": lambda folder: open("/proc/self/mem", "rb").close(),  # noqa: PTH123
    "its parent's environment": lambda folder: open(f"/proc/{os.getppid()}/environ", "rb").close(),  # noqa: PTH123
    "a folder": lambda folder: os.listdir("/"),  # noqa: PTH208
    "whether a file is there": lambda folder: os.stat("/etc/passwd"),  # noqa: PTH116
    "a new file": lambda folder: open(f"{folder}/new", "w").close(),  # noqa: PTH123
    "a file gone": lambda folder: os.unlink(f"{folder}/old"),  # noqa: PTH108
    "a file renamed": lambda folder: os.rename(f"{folder}/old", f"{folder}/new"),  # noqa: PTH104
    "a link": lambda folder: os.symlink("/etc/passwd", f"{folder}/new"),  # noqa: PTH211
    "a folder made": lambda folder: os.mkdir(f"{folder}/new"),  # noqa: PTH102
    "memory as a file": lambda folder: os.memfd_create("new"),
    "the internet": lambda folder: socket.socket(socket.AF_INET),
    "a name server": lambda folder: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "a local socket": lambda folder: socket.socket(socket.AF_UNIX),
    "a pair of sockets": lambda folder: socket.socketpair(),
    "a program": lambda folder: subprocess.run(["/bin/true"], check=True),
    "a program in its place": lambda folder: os.execv("/bin/true", ["true"]),
    "another process": lambda folder: fork_and_leave(),
    "a signal to its parent": lambda folder: os.kill(os.getppid(), 0),
    "a signal to everybody": lambda folder: os.kill(-1, 0),
    "other bounds": lambda folder: __import__("resource").setrlimit(4, (1 << 20, 1 << 20)),
    "other rights": lambda folder: os.setuid(0),
    "more time": lambda folder: os.nice(-1),
}  # fmt: skip


def attempt(folder, frames):
    results = []
    for what in ATTEMPTS.values():
        try:
            what(folder)
            results.append(GRANTED)
        except (OSError, ValueError):  # the latter is how `resource` tells it
            results.append(REFUSED)
    return np.array(results)


def every_call(frames):
    """For each number of a system call, the error with which it is refused; 0 where it is not."""
    errors = []
    for number in range(512):
        refused = number not in LISTED and LIBC.syscall(number, *[ctypes.c_ulong(0)] * 6) == -1
        errors.append(ctypes.get_errno() if refused else 0)
    return np.array(errors)


def descriptors(frames):
    """Which open files can be read, and which at all are open."""
    can = []
    for number in range(1024):
        try:
            can.append((len(os.pread(number, 1, 0)), number))
        except OSError:
            continue
    return np.array([number for read, number in can if read])


def environment(frames):
    return np.frombuffer(" ".join(os.environ).encode(), np.uint8)


def use_threads(frames):
    seen = []
    threads = [threading.Thread(target=seen.append, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(sorted(seen))


def leave_a_mark(frames):
    marks = __import__("sys").modules
    seen = "marked" in marks
    marks["marked"] = None
    return np.array([seen])


def say(message, and_go_on, frames):
    """Write on every open file that takes it, as a worker that has been taken over could."""
    for number in range(3, 64):
        try:
            os.write(number, message)
        except OSError:
            continue
    if not and_go_on:
        os._exit(0)
    return np.zeros(1)


def answer(said, body=b"", size=None):
    head = said if isinstance(said, bytes) else json.dumps(said).encode()
    return HEADER.pack(len(head), len(body) if size is None else size) + head + body


def test_what_is_not_the_clip_is_refused(confined, numbers, tmp_path):
    (tmp_path / "old").write_text("here")
    results = confined.run(numbers, Sampling(), partial(attempt, str(tmp_path)))
    assert [name for name, result in zip(ATTEMPTS, results, strict=True) if result != REFUSED] == []
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    # The same are granted where nothing confines, or the test would say nothing.
    granted = ("another file", "a folder", "a new file", "a local socket", "another process")
    for name in granted:
        ATTEMPTS[name](str(tmp_path))


def test_every_call_that_is_not_listed_fails(confined, numbers):
    errors = confined.run(numbers, Sampling(), every_call)
    assert set(np.flatnonzero(errors == 0)) == LISTED
    assert set(errors.tolist()) == {0, errno.EPERM, errno.ENOSYS} and np.flatnonzero(errors == errno.ENOSYS) == [435]


def test_one_file_can_be_read_and_no_variable_tells_a_secret(confined, numbers, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hush")
    with open("/etc/passwd", "rb") as secret, Decoder() as own:  # noqa: PTH123
        os.set_inheritable(secret.fileno(), True)
        film_and_log = own.run(numbers, Sampling(), descriptors)
        assert len(film_and_log) == 1
        names = own.run(numbers, Sampling(), environment).tobytes().decode().split()
        assert "API_TOKEN" not in names and "HOME" not in names and "PYTHONPATH" in names
        limits = Path(f"/proc/{own._worker.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if "core file" in line)
        assert core.split()[4:6] == ["0", "0"]  # no image of the process, and none allowed


def test_threads_are_there_and_nothing_stays_from_clip_to_clip(confined, numbers):
    assert confined.run(numbers, Sampling(), use_threads).tolist() == [0, 1, 2, 3]
    assert [bool(confined.run(numbers, Sampling(), leave_a_mark)) for _ in range(3)] == [False] * 3


class Hostile:
    """Does to the decoder's process what the mean of the first picture tells it to."""

    name, dim, sampling, fingerprint, domain = "hostile", 1, Sampling(), "e" * 64, "traps"
    in_decoder, object_head = True, None

    def encode(self, frames):
        what = round(float(next(frames).image.mean()) / 20)
        if what == 1:
            signal.raise_signal(signal.SIGSEGV)
        while what == 2:
            pass
        kept = []
        while what == 3:
            kept.append(np.ones(1 << 18))
        if what == 4:
            open("/etc/passwd").close()  # noqa: PTH123
        if what == 5:
            socket.socket()
        if what == 6:
            os.abort()
        return np.full((1, 1), what, np.float32)


def test_each_trap_costs_its_own_clip_and_the_batch_goes_on(confined, tmp_path):
    for what in range(10):
        write_images(tmp_path / f"{what}.mov", [np.full((32, 32, 3), 20 * what, np.uint8)] * 3, codec="png ")
    given = [Clip(tmp_path / f"{what}.mov", str(what), "") for what in range(10)]
    limits = Limits(time_s=3, memory_bytes=250 << 20)
    report = extract(given, Hostile(), tmp_path / "store", workers=2, limits=limits)
    reasons = {failure.id: failure.reason for failure in report.failed}
    said = {"1": "signal 11", "2": "time bound of 3 s", "3": "memory bound of 250 MiB", "4": "PermissionError",
            "5": "PermissionError", "6": "signal 6"}  # fmt: skip
    assert sorted(reasons) == sorted(said)
    for clip, why in said.items():
        assert why in reasons[clip] and f"{clip}.mov" in reasons[clip]
    store = FeatureStore(tmp_path / "store")
    assert {clip: float(store.features(clip)[0, 0]) for clip in store.ids} == {"0": 0, "7": 7, "8": 8, "9": 9}


RESULT = {"kind": "result", "pictures": 1, "lost": 0, "damaged": 0, "read_s": 1.0, "told_s": 1.0}
ARRAY = {**RESULT, "dtype": "<f8", "shape": [1]}
FRAME = {"kind": "frame", "time_s": 0.0, "dtype": "|u1", "shape": [1, 1, 3]}
WRONG = {
    "no header": b"\0" * 5,
    "half an answer": answer(ARRAY, bytes(8))[:-1],
    "too much to say": HEADER.pack(1 << 30, 0),
    "too large an array": answer(ARRAY, size=1 << 60),
    "no JSON": answer(b"\x80\x04\x95pickled"),
    "a list": answer(["result"]),
    "nested": answer(b"[" * 60_000),
    "another kind": answer({"kind": "exec"}),
    "no kind": answer({}),
    "a result without array": answer(RESULT),
    "an array of another size": answer(ARRAY | {"shape": [2]}, bytes(8)),
    "a negative size": answer(ARRAY | {"shape": [-1, -1]}, bytes(8)),
    "a size that is none": answer(ARRAY | {"shape": ["1"]}, bytes(8)),
    "an overflow": answer(ARRAY | {"shape": [0, 1 << 62, 1 << 62]}),
    "objects": answer(ARRAY | {"dtype": "|O"}, bytes(8)),
    "a record": answer(ARRAY | {"dtype": "f4,f4"}, bytes(8)),
    "a time that is none": answer(b'{"kind": "at", "time_s": NaN}'),
    "no number": answer({"kind": "at", "time_s": "1"}),
    "a negative count": answer(ARRAY | {"lost": -1}, bytes(8)),
    "a flag for a count": answer(ARRAY | {"lost": True}, bytes(8)),
    "an error of another kind": answer({"kind": "error", "error": "SystemExit", "text": "bye"}),
    "an error without words": answer({"kind": "error", "error": "VideoError", "text": 1}),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_cannot_be_is_refused(tmp_path, name):
    (tmp_path / "answer").write_bytes(WRONG[name])
    with io.FileIO(tmp_path / "answer") as file, pytest.raises((ValueError, EOFError)):
        read_message(file, most_bytes=1 << 20)


def test_answers_are_read_back_as_they_were_given(tmp_path):
    for values in (np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(7), np.array([True, False])):
        said = RESULT | {"dtype": values.dtype.str, "shape": values.shape}
        (tmp_path / "answer").write_bytes(answer(said, values.tobytes()))
        with io.FileIO(tmp_path / "answer") as file:
            kind, (array, reading) = read_message(file, most_bytes=100)
        assert (kind, reading.pictures) == ("result", 1)
        assert array.dtype == values.dtype and array.tolist() == values.tolist()
    # Half of the pixels, and no more: what stood in the buffer before is not shown.
    (tmp_path / "answer").write_bytes(answer(FRAME, b"\1", size=3))
    with io.FileIO(tmp_path / "answer") as file, pytest.raises(EOFError):
        read_message(file, most_bytes=100)
    (tmp_path / "answer").write_bytes(answer({"kind": "error", "error": "InputError", "text": "\x1b[2Jno\nlabel"}))
    with io.FileIO(tmp_path / "answer") as file:
        error = read_message(file, most_bytes=100)[1]
    assert type(error) is InputError and str(error) == " [2Jno label"


@pytest.mark.parametrize("message, and_go_on", [
    *((message, False) for message in (WRONG["no JSON"], WRONG["too large an array"], answer(FRAME, bytes(3)))),
    (answer(ARRAY, bytes(8)), True),  # an answer that would do, and then another, for the next clip
    (answer(FRAME, bytes(3)), True),
    (WRONG["half an answer"], False), (b"", False),
])  # fmt: skip
def test_a_worker_that_answers_falsely_or_not_at_all_costs_its_clip(confined, numbers, message, and_go_on):
    with pytest.raises(VideoError, match=r"numbers\.mp4: the decoder (crashed|went wrong) on it"):
        confined.run(numbers, Sampling(), partial(say, message, and_go_on))
    assert len(confined.run(numbers, Sampling(), read_numbers)) == 5


def empty_pictures(path, like):
    """A film of QuickTime's run lengths whose one picture changes no line of what was there before."""
    height, width = like.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", 8)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.encode(av.VideoFrame.from_ndarray(like))
        packet = av.Packet(struct.pack(">IHHHHH", 14, 8, 0, 0, 0, 0))
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        packet.time_base = Fraction(1, 8)
        container.mux(packet)
    return path


def test_no_clip_sees_the_pixels_of_another(decoder, tmp_path):
    secret = np.full((120, 160, 3), SECRET, np.uint8)
    write_images(tmp_path / "secret.mov", [secret] * 8, codec="png ")
    hollow = empty_pictures(tmp_path / "hollow.mov", secret)
    for _ in range(3):
        assert (first_image(decoder, tmp_path / "secret.mov") == SECRET).all()
        assert (first_image(decoder, hollow) == 0).all()
        assert (decoder.run(hollow, Sampling(), first_only) == 0).all()


def test_where_files_cannot_be_handed_over_clips_are_decoded_all_the_same(numbers, monkeypatch, tmp_path):
    monkeypatch.setattr(video, "LINUX", False)
    with Decoder() as own:
        assert own.confinement() == []
        assert indices(own, numbers, 1) == own.run(numbers, Sampling(), read_numbers).tolist() == [0, 8, 16, 24, 32]
        assert own.probe(numbers).width == 96 and first_image(own, numbers, max_side=12).shape == (4, 12, 3)
        with pytest.raises(VideoError, match="no such file"):
            own.probe(tmp_path / "none.mp4")
        with pytest.raises(VideoError, match="signal 11"):
            own.run(numbers, Sampling(), partial(instead, signal.raise_signal, 11))
        assert len(list(own.frames(numbers, Sampling()))) == 5


def test_without_the_filter_bwrap_is_put_around_it(numbers, monkeypatch, tmp_path):
    monkeypatch.setattr(video_sandbox, "can_filter", lambda: False)
    video_sandbox.container.cache_clear()
    try:
        if not video_sandbox.container():
            pytest.skip("bwrap is not installed, or may not make containers")
        with Decoder() as own:
            assert own.confinement()[-1] == "bwrap"
            assert indices(own, numbers, 1) == [0, 8, 16, 24, 32]
            assert indices(own, write_numbered(tmp_path / "unseen.mp4"), 1) == [0, 8, 16, 24, 32]
        with socket.create_server(("127.0.0.1", 0)) as server:
            tries = ("open('/etc/passwd')", f"open({str(numbers)!r})", "open('/usr/new', 'w')",
                     f"import socket; socket.create_connection({server.getsockname()!r}, 5)")  # fmt: skip
            for code in ("pass", *tries):  # by another program, which no filter confines
                tried = [*video_sandbox.container(), sys.executable, "-c", code]
                assert (subprocess.run(tried, capture_output=True).returncode == 0) == (code == "pass"), code
    finally:
        video_sandbox.container.cache_clear()


@pytest.mark.parametrize("machine", video_sandbox.ALLOWED)
def test_calls_have_the_numbers_of_the_kernel(machine):
    try:
        number_of = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name_arch
    except OSError:
        pytest.skip("libseccomp is not installed")
    architecture, special = video_sandbox.ARCHITECTURE[machine]
    for name, number in (video_sandbox.ALLOWED[machine] | special | {"clone3": 435}).items():
        assert number_of(ctypes.c_uint32(architecture), name.encode()) == number, name
    dangerous = {"open", "openat", "openat2", "socket", "connect", "execve", "execveat", "fork", "ptrace", "kill",
                 "prctl", "ioctl", "io_uring_setup", "process_vm_readv", "pidfd_getfd", "recvmsg"}  # fmt: skip
    assert not dangerous & set(video_sandbox.ALLOWED[machine])
