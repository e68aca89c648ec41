"""Clip -> frames, decoded in a process of its own (`cezsar.video_worker`): a codec that crashes, hangs or eats memory
takes that with it, never the program, and the clip is reported by a `VideoError` that names it. The worker is trusted
with nothing: on Linux it can do no more than read its clip, and its answers are numbers and pixels that are checked."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import re
import select
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np

from cezsar import errors, video_sandbox
from cezsar.errors import CezsarError, InputError, VideoError

Name = str | os.PathLike[str]
START_S = 60.0  # a worker needs about 0.2 s to start; a cold disk may need much longer
PIPE_BYTES = 1 << 20  # a frame of 640 x 480 fits, so that the worker need not wait until it is taken
HANDED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "SYSTEMROOT")  # variables
LINUX = sys.platform == "linux"  # there each clip has a process to itself, which gets an open file and can open none
HEADER = struct.Struct(">IQ")  # of an answer: bytes of the JSON object, and of the array, that follow
SAID_BYTES = 1 << 16  # of a JSON object, at the most
ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, CezsarError)}
WANTED = {"probe": ("info",), "frames": ("frame", "reading"), "run": ("result",), "confinement": ("means",)}
EARNED_S = 10.0  # seconds of decoding that each second of video earns; a slow laptop needs 3 for 4K at 60 a second


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself; None where it does not say, or says something impossible."""

    width: int  # pixels, as shown: after rotation
    height: int
    fps: float | None  # mean frames per second
    duration_s: float | None


@dataclass(frozen=True)
class Sampling:
    """Which frames to take: those shown at t_k = k / fps seconds, k = 0, 1, ..."""

    fps: float = 1.0  # frames taken per second of video
    max_side: int | None = None  # shrink, keeping the proportions, until the longer side is at most this many pixels
    max_s: float | None = None  # take only t_k < max_s, and read no further
    bgr: bool = False  # channel order of the frames: blue, green, red as OpenCV has it, or else red, green, blue
    keys_s: float | None = None  # decode key frames alone, where the file says that they are at most so far apart

    def __post_init__(self) -> None:
        some = self.max_side is None or self.max_side >= 1
        if not (math.isfinite(self.fps) and self.fps > 0 and some and (self.max_s is None or self.max_s > 0)):
            wanted = "fps and max_s must be above 0, max_side 1 or more"
            raise InputError(f"frames cannot be taken so: {wanted}, not {self}")


@dataclass(frozen=True)
class Frame:
    """One sampled frame: `time_s` is the sample time t_k, `image` the (H, W, 3) uint8 picture shown then."""

    time_s: float
    image: np.ndarray


@dataclass(frozen=True)
class Reading:
    """How much of a clip could be read."""

    pictures: int  # decoded
    lost: int  # there, or missing before the end that the file tells, and not decoded
    damaged: int  # of `pictures`, those that the decoder had to patch up, as far as it says so
    read_s: float  # where the last picture ends
    told_s: float  # where the file says that it ends; `read_s` where it says nothing, or nothing else

    @property
    def words(self) -> str:
        """What is missing, in half a sentence; "" when nothing is."""
        some = f"{self.pictures:,} of {self.pictures + self.lost:,} pictures"
        cut_off = self.told_s > self.read_s
        if not (cut_off or self.lost):
            return f"{self.damaged:,} of {self.pictures:,} pictures are damaged" if self.damaged else ""
        said = f"it is cut off: {self.read_s:.1f} of {self.told_s:.1f} s could be read, {some}"
        are = "is" if self.damaged == 1 else "are"
        damaged = f"; {self.damaged:,} of them {are} damaged" if self.damaged else ""
        return (said if cut_off else f"{some} could be read") + damaged


@dataclass(frozen=True)
class Limits:
    """What one clip may cost before it is given up."""

    time_s: float = 120.0  # seconds of decoding (and of `work`, in `Decoder.run`); frames that come out earn more
    memory_bytes: int = 4 << 30  # the worker's whole data memory, about 70 MB of it for itself; kept where the OS can

    def __post_init__(self) -> None:
        if not (0 < self.time_s <= threading.TIMEOUT_MAX and self.memory_bytes > 0):
            raise InputError(f"Limits.time_s and Limits.memory_bytes must be positive, and finite, not {self}")


class Decoder:
    """Reads clips through one worker process, started when first used and replaced after a crash or a hang. Use one
    Decoder per thread, and close it. Every method raises `VideoError`, naming the clip, for what cannot be decoded. A
    file that is cut off or damaged gives the frames that can be read; `reading` then says how many are missing. An
    image is a clip of one frame. The time bound ends what hangs, not what is long: each second of video that comes out
    earns `EARNED_S` seconds, up to the bound again."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self.reading: Reading | None = None  # of the latest clip, after the last of its `frames` and after `run`
        self._worker: subprocess.Popen[bytes] | None = None
        self._busy = False  # whether the worker still has to answer
        self._clip, self._request = "", 0  # the present request: its clip, and how many there have been
        self._wanted: tuple[str, ...] = ()  # kinds of answer to it
        self._left_s, self._at_s = START_S, 0.0  # seconds of time that it may still take, and of video that came

    def probe(self, path: Name) -> VideoInfo:
        """What the file says about itself. The first frame is decoded, so an answer means that there is one."""
        self._ask("probe", path, Sampling())
        return self._answer()[1]

    def frames(self, path: Name, sampling: Sampling) -> Iterator[Frame]:
        """Stream the sampled frames: at least one, in order. Time begins with the first picture of the default video
        track. At t_k the frame shown is the last one with a timestamp <= t_k, so a variable frame rate is honoured. A
        clip of D seconds gives max(1, ceil(D * fps)) frames. Asking the Decoder for anything else ends the iterator."""
        self._ask("frames", path, sampling)
        return self._streamed(self._clip, self._request, sampling.fps)

    def _streamed(self, clip: str, request: int, fps: float) -> Iterator[Frame]:
        for k in count():
            if self._request != request:
                break
            kind, value = self._answer()
            if kind == "reading":
                self.reading = value
                return
            if value.time_s != k / fps or value.image.dtype != np.uint8 or value.image.shape[2:] != (3,):
                self.close()
                raise VideoError(f"{clip}: the decoder went wrong on it (its frames make no sense)")
            yield value
        raise VideoError(f"{clip}: its frames ended early, because the decoder was asked for something else")

    def run(self, path: Name, sampling: Sampling, work: Callable[[Iterator[Frame]], np.ndarray]) -> np.ndarray:
        """`work(frames)` computed inside the worker, so that no frame crosses a process border: an array of numbers. It
        must be picklable by name, and on Linux can open no file, so its module imports what it needs. A `CezsarError`
        that it raises comes back as itself, anything else as a `VideoError`."""
        try:
            pickled = pickle.dumps(work)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            unsent = f"{work!r} cannot be sent to the decoder, give a module-level function: {error}"
            raise InputError(unsent) from error
        self._ask("run", path, sampling, pickled)
        value, self.reading = self._answer()[1]
        return value

    def close(self) -> None:
        """End the worker. The Decoder can still be used: the next clip starts another."""
        self._request += 1  # streams of the present one have ended
        self._busy = False
        if self._worker is not None:
            self._stop()
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def confinement(self) -> list[str]:
        """What keeps the process of a clip from all but that clip and its answer, by name; empty where nothing does."""
        self._ask("confinement", __file__, Sampling())
        return self._answer()[1] + ["bwrap"] * bool(LINUX and video_sandbox.container())

    def _ask(self, verb: str, path: Name, sampling: Sampling, work: bytes = b"") -> None:
        """Send a request to a worker that is alive and idle: one in the middle of something else is replaced."""
        if self._busy or (self._worker is not None and self._worker.poll() is not None):
            self.close()
        self._request += 1
        self.reading = None
        # The path as it may be printed anywhere, whatever bytes are in it; absolute, so that a chdir does not matter.
        clip, absolute = os.fsencode(path).decode(errors="backslashreplace"), os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        with open_film(absolute, clip) as film:
            try:
                self._busy = True
                if self._worker is None:
                    self._start()
                self._clip, self._left_s, self._at_s, self._wanted = clip, self.limits.time_s, 0.0, WANTED[verb]
                request = pickle.dumps((verb, absolute, clip, sampling, work))
                if isinstance(self._requests, socket.socket):
                    socket.send_fds(self._requests, [b"f"], [film.fileno()])
                    self._requests.sendall(request)
                else:
                    self._requests.write(request)
                    self._requests.flush()
            except OSError:
                self.close()
                raise VideoError(f"{clip}: the decoder process went away; try again") from None

    def _start(self) -> None:
        """Start `python -m cezsar.video_worker`; multiprocessing would import the caller's main module."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        # -P: a numpy.py in the user's folder must not be imported. The parent's own path lets `work` be found.
        python_path = [str(Path(__file__).resolve().parent.parent), *map(os.path.abspath, sys.path)]
        own = {"PYTHONPATH": os.pathsep.join(python_path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ} | own  # no tokens, no keys
        bounds, pipe = [str(self.limits.time_s), str(self.limits.memory_bytes)], subprocess.PIPE
        around: list[str] = []
        if LINUX and (container := video_sandbox.container()):
            around = [*container, *(word for folder in python_path for word in video_sandbox.seen(folder)), "--"]
        command = [*around, sys.executable, "-P", "-m", "cezsar.video_worker", *bounds, *(["forks"] if LINUX else [])]
        ours, theirs = socket.socketpair() if LINUX else (None, None)  # what a file can be handed over by
        stdin = theirs.fileno() if theirs else pipe
        self._worker = subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=self._log, env=environment, bufsize=0)
        if theirs:
            theirs.close()
        assert self._worker.stdout is not None
        self._requests = ours or cast(IO[bytes], self._worker.stdin)
        self._answers = cast(io.FileIO, self._worker.stdout)
        self._stop = weakref.finalize(self, _stop, self._worker, self._requests, self._answers, self._log)
        with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux alone has it; else it is slower
            import fcntl

            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._left_s = START_S
        kind, why = self._read()
        if kind != "ready":
            raise CezsarError(f"the decoder process did not start ({why}): {' '.join(command)}")

    def _answer(self) -> tuple[str, Any]:
        """A frame, or the last answer of the present request ("done"); what leaves the worker in doubt ends it."""
        while (message := self._read())[0] == "at":
            pass
        kind, value = message
        self._busy = kind == "frame"
        if kind == "error":
            raise value
        if kind in self._wanted:
            return message
        self.close()  # also after "memory": what is left of its heap is not worth keeping
        allowed, mebibytes = f"{self.limits.time_s:g} s and {EARNED_S:g} s", self.limits.memory_bytes / 2**20
        why = {
            "late": f"decoding took longer than the time bound of {allowed} for each second of video (Limits.time_s); "
            "the clip is damaged, or needs a larger bound",
            "memory": f"decoding needs more than the memory bound of {mebibytes:.0f} MiB (Limits.memory_bytes)",
            "crash": f"the decoder crashed on it ({value}); convert the clip to another codec, or leave it out",
        }
        raise VideoError(
            f"{self._clip}: {why.get(kind, 'the decoder went wrong on it (it answered what was not asked)')}"
        )

    def _read(self) -> tuple[str, Any]:
        """The next message; or "late" and "crash", with the reason, where time is up or the process has ended."""
        worker, expired, begun_s = cast(subprocess.Popen[bytes], self._worker), threading.Event(), time.monotonic()

        def expire() -> None:
            expired.set()
            worker.kill()

        timer = threading.Timer(self._left_s, expire)
        timer.daemon = True
        timer.start()
        message, how = None, ""
        try:
            message = read_message(self._answers, self.limits.memory_bytes)
            if isinstance(self._requests, socket.socket) and message[0] not in ("ready", "at", "frame"):
                self._await_the_end(self._requests)
        except EOFError:
            message = None
        except ValueError as error:
            message, how = None, f"its answer makes no sense: {error}"
            worker.kill()
        finally:
            timer.cancel()
            timer.join()  # from here on it has either expired or never will
        if expired.is_set():
            return "late", f"no answer in {self._left_s:g} s"
        if message is None:
            status = worker.wait()
            self._log.seek(0)
            said = self._log.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
            how = how or (f"signal {-status}" if status < 0 else f"exit status {status}")
            return "crash", f"{how}: {said}" if said else how
        if message[0] in ("at", "frame"):
            at_s = message[1] if message[0] == "at" else message[1].time_s
            self._left_s = left_s(self._left_s, time.monotonic() - begun_s, at_s - self._at_s, self.limits.time_s)
            self._at_s = at_s
        return message

    def _await_the_end(self, requests: socket.socket) -> None:
        """Wait until the process of this clip has gone, and let it say nothing to the next."""
        if not requests.recv(1):
            raise EOFError
        if select.select([self._answers], [], [], 0)[0]:
            raise ValueError("it went on after its end")


def left_s(left_s: float, waited_s: float, came_s: float, bound_s: float) -> float:
    """How long decoding may still take after `came_s` more of the video: at most the bound, so that late hangs end."""
    return max(min(left_s - waited_s + EARNED_S * came_s, bound_s), 1e-3)


def _stop(process: subprocess.Popen[bytes], *files: IO[bytes] | socket.socket) -> None:
    process.kill()  # it holds nothing worth saving
    for file in files:
        with contextlib.suppress(OSError):  # bytes that a dead process did not take
            file.close()
    process.wait()


def open_film(path: str, clip: str) -> io.FileIO:
    """The file at `path`. Raises `VideoError`, naming the clip, where there is none that could be a film."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a name of any bytes)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder, not a video file" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise VideoError(f"{clip}: this is {what}")
        if status.st_size == 0:
            raise VideoError(f"{clip}: the file is empty (0 bytes)")
        return io.FileIO(path)
    except FileNotFoundError:
        raise VideoError(f"{clip}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{clip}: cannot be opened ({error})") from None


def read_message(file: io.FileIO, most_bytes: int) -> tuple[str, Any]:
    """The worker's next answer: its kind and what it says. Nothing in it is believed: an array takes at most
    `most_bytes`, and is whole. EOFError if the worker has gone, ValueError where it says what cannot be."""
    said_bytes, array_bytes = HEADER.unpack(_filled(file, bytearray(HEADER.size)))
    if said_bytes > SAID_BYTES or array_bytes > most_bytes:
        raise ValueError(f"{said_bytes:,} and {array_bytes:,} bytes are too many")
    try:
        said = json.loads(bytes(_filled(file, bytearray(said_bytes))))
        array = _array(file, said["dtype"], said["shape"], array_bytes) if "dtype" in said else None
        match kind := said["kind"]:
            case "frame" if array is not None:
                return kind, Frame(_number(said["time_s"], "float"), array)
            case "result" if array is not None:
                return kind, (array, _record(Reading, said))
            case "reading":
                return kind, _record(Reading, said)
            case "info":
                return kind, _record(VideoInfo, said)
            case "at":
                return kind, _number(said["time_s"], "float")
            case "means":
                return kind, [str(name) for name in said["names"]]
            case "error":
                return kind, ERRORS[said["error"]]("".join(one if one.isprintable() else " " for one in said["text"]))
            case "ready" | "memory":
                return kind, None
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    raise ValueError(f"{kind!r} without what belongs to it")


def _array(file: io.FileIO, dtype: str, shape: list[int], size: int) -> np.ndarray:
    if not re.fullmatch(r"[<>|][biufc]\d+", dtype) or math.prod(shape) * np.dtype(dtype).itemsize != size:
        raise ValueError(f"no array of {size:,} bytes is {dtype} {shape}")
    array = np.empty(shape, dtype)
    _filled(file, array.reshape(-1).view(np.uint8).data)
    return array


def _filled(file: io.FileIO, buffer: bytearray | memoryview) -> bytearray | memoryview:
    """`buffer`, every byte of it from the file: what stood there before, such as another clip, is nobody's to see."""
    left = memoryview(buffer)
    while left:
        count = file.readinto(left)
        if not count:
            raise EOFError
        left = left[count:]
    return buffer


def _record(kind: type[Any], said: dict[str, Any]) -> Any:
    """A `Reading` or `VideoInfo` of what was said, each number of its type."""
    return kind(**{field.name: _number(said[field.name], str(field.type)) for field in fields(kind)})


def _number(value: Any, wanted: str) -> Any:
    if value is None and "None" in wanted:
        return None
    if type(value).__name__ not in wanted or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no {wanted}")
    return value
