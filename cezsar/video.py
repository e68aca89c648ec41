"""Clip -> frames, decoded in a process of its own (`cezsar.video_worker`): a codec that crashes, hangs or eats memory
takes that with it, never the program, and the clip is reported by a `VideoError` that names it."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np

from cezsar.errors import CezsarError, InputError, VideoError

Name = str | os.PathLike[str]
START_S = 60.0  # a worker needs about 0.2 s to start; a cold disk may need much longer
PIPE_BYTES = 1 << 20  # a frame of 640 x 480 fits, so that the worker need not wait until it is taken
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
        return self._streamed(self._clip, self._request)

    def _streamed(self, clip: str, request: int) -> Iterator[Frame]:
        while self._request == request:
            kind, value = self._answer()
            if kind == "done":
                self.reading = value
                return
            yield value
        raise VideoError(f"{clip}: its frames ended early, because the decoder was asked for something else")

    def run(self, path: Name, sampling: Sampling, work: Callable[[Iterator[Frame]], np.ndarray]) -> np.ndarray:
        """`work(frames)` computed inside the worker, so that no frame crosses a process border; it must be picklable by
        name. A `CezsarError` that it raises comes back as itself, anything else as a `VideoError`."""
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

    def _ask(self, verb: str, path: Name, sampling: Sampling, work: bytes = b"") -> None:
        """Send a request to a worker that is alive and idle: one in the middle of something else is replaced."""
        if self._busy or (self._worker is not None and self._worker.poll() is not None):
            self.close()
        self._busy, self.reading = True, None
        # The path as it may be printed anywhere, whatever bytes are in it; absolute, so that a chdir does not matter.
        clip, absolute = os.fsencode(path).decode(errors="backslashreplace"), os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        try:
            if self._worker is None:
                self._start()
            self._clip, self._left_s, self._at_s = clip, self.limits.time_s, 0.0
            self._request += 1
            write_message(self._pipes[0], (verb, absolute, clip, sampling, work))
        except OSError:
            self.close()
            raise VideoError(f"{clip}: the decoder process went away; try again") from None

    def _start(self) -> None:
        """Start `python -m cezsar.video_worker`; multiprocessing would import the caller's main module."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        # -P: a numpy.py in the user's folder must not be imported. The parent's own path lets `work` be found.
        python_path = [str(Path(__file__).resolve().parent.parent), *map(os.path.abspath, sys.path)]
        own = {"PYTHONPATH": os.pathsep.join(python_path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        bounds, pipe = [str(self.limits.time_s), str(self.limits.memory_bytes)], subprocess.PIPE
        command = [sys.executable, "-P", "-m", "cezsar.video_worker", *bounds]
        self._worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, env=os.environ | own)
        assert self._worker.stdin is not None and self._worker.stdout is not None
        self._pipes = self._worker.stdin, self._worker.stdout
        self._stop = weakref.finalize(self, _stop, self._worker, *self._pipes, self._log)
        with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux alone has it; else it is slower
            import fcntl

            fcntl.fcntl(self._pipes[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
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
        if kind in ("frame", "done"):
            return message
        self.close()  # also after "memory": what is left of its heap is not worth keeping
        allowed, mebibytes = f"{self.limits.time_s:g} s and {EARNED_S:g} s", self.limits.memory_bytes / 2**20
        why = {
            "late": f"decoding took longer than the time bound of {allowed} for each second of video (Limits.time_s); "
            "the clip is damaged, or needs a larger bound",
            "memory": f"decoding needs more than the memory bound of {mebibytes:.0f} MiB (Limits.memory_bytes)",
            "crash": f"the decoder crashed on it ({value}); convert the clip to another codec, or leave it out",
        }
        raise VideoError(f"{self._clip}: {why[kind]}")

    def _read(self) -> tuple[str, Any]:
        """The next message; or "late" and "crash", with the reason, where time is up or the process has ended."""
        worker, expired, begun_s = cast(subprocess.Popen[bytes], self._worker), threading.Event(), time.monotonic()

        def expire() -> None:
            expired.set()
            worker.kill()

        timer = threading.Timer(self._left_s, expire)
        timer.daemon = True
        timer.start()
        message = None
        try:
            with contextlib.suppress(EOFError):
                message = read_message(self._pipes[1])
        finally:
            timer.cancel()
            timer.join()  # from here on it has either expired or never will
        if expired.is_set():
            return "late", f"no answer in {self._left_s:g} s"
        if message is None:
            status = worker.wait()
            self._log.seek(0)
            said = self._log.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            return "crash", f"{how}: {said}" if said else how
        if message[0] in ("at", "frame"):
            at_s = message[1] if message[0] == "at" else message[1].time_s
            self._left_s = left_s(self._left_s, time.monotonic() - begun_s, at_s - self._at_s, self.limits.time_s)
            self._at_s = at_s
        return message


def left_s(left_s: float, waited_s: float, came_s: float, bound_s: float) -> float:
    """How long decoding may still take after `came_s` more of the video: at most the bound, so that late hangs end."""
    return max(min(left_s - waited_s + EARNED_S * came_s, bound_s), 1e-3)


def _stop(process: subprocess.Popen[bytes], *files: IO[bytes]) -> None:
    process.kill()  # it holds nothing worth saving
    for file in files:
        with contextlib.suppress(OSError):  # bytes that a dead process did not take
            file.close()
    process.wait()


def write_message(file: IO[bytes], value: Any) -> None:
    """A pickle, and nothing of one that fails: only ever to our own worker, and back."""
    file.write(pickle.dumps(value, 5))
    file.flush()


def read_message(file: IO[bytes]) -> Any:
    """What `write_message` wrote. EOFError if the other side has gone, in whichever place."""
    try:
        return pickle.load(file)
    except pickle.UnpicklingError as error:
        raise EOFError from error
