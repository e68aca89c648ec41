"""Clip -> frames, decoded in a process of its own.

A codec that crashes, hangs or eats memory takes the worker process with it, never the program: the clip is reported by
a `VideoError` that names it, and the next clip gets a fresh worker. The worker is `cezsar.video_worker`, what it does
with a file `cezsar.video_file`; this module holds what both sides share and the parent's side, and never loads FFmpeg.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np

from cezsar.errors import CezsarError, InputError, VideoError

START_S = 60.0  # a worker needs about 0.2 s to start; a cold disk may need much longer
PIPE_BYTES = (
    1 << 20
)  # a frame of 640 x 480 fits, so that the worker need not wait until it is taken; Linux gives no more
EARNED_S = 10.0  # seconds of decoding that each second of video earns; a slow laptop needs 3 for 4K at 60 a second


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself, after rotation; None where it does not say, or says something impossible."""

    width: int  # pixels, as shown
    height: int
    fps: float | None  # mean frames per second
    frame_count: int | None  # some containers only estimate it
    duration_s: float | None
    rotation: int  # degrees clockwise that the metadata asks for; multiples of 90 are already done in every frame


@dataclass(frozen=True)
class Sampling:
    """Which frames to take: those shown at t_k = k / fps seconds, k = 0, 1, ..."""

    fps: float = 1.0  # frames taken per second of video
    max_side: int | None = None  # shrink, keeping the proportions, until the longer side is at most this many pixels
    max_s: float | None = None  # take only t_k < max_s, and read no further
    bgr: bool = False  # channel order of the frames: blue, green, red as OpenCV has it, or else red, green, blue

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"Sampling.fps must be a positive number of frames per second, not {self.fps}")
        if self.max_side is not None and self.max_side < 1:
            raise InputError(f"Sampling.max_side must be at least 1 pixel, not {self.max_side}")
        if self.max_s is not None and not self.max_s > 0:
            raise InputError(f"Sampling.max_s must be a positive number of seconds, not {self.max_s}")


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
        if self.told_s > self.read_s:
            said = f"it is cut off: {self.read_s:.1f} of {self.told_s:.1f} s could be read, {some}"
        elif self.lost:
            said = f"{some} could be read"
        else:
            return f"{self.damaged:,} of {self.pictures:,} pictures are damaged" if self.damaged else ""
        are = "is" if self.damaged == 1 else "are"
        return said + (f"; {self.damaged:,} of them {are} damaged" if self.damaged else "")


@dataclass(frozen=True)
class Limits:
    """What one clip may cost before it is given up."""

    time_s: float = 120.0  # seconds of decoding (and of `work`, in `Decoder.run`); frames that come out earn more
    memory_bytes: int = 4 << 30  # the worker's whole data memory, about 70 MB of it for itself; kept where the OS can

    def __post_init__(self) -> None:
        if not 0 < self.time_s <= threading.TIMEOUT_MAX:
            raise InputError(f"Limits.time_s must be a positive, finite number of seconds, not {self.time_s}")
        if self.memory_bytes <= 0:
            raise InputError(f"Limits.memory_bytes must be positive, not {self.memory_bytes}")


class Decoder:
    """Reads clips through one worker process, started when first used and replaced after a crash or a hang.

    Not thread-safe: use one Decoder per thread (each has its own worker). Close it, or use it as a context manager;
    the worker also ends by itself when the Decoder is garbage-collected or the program dies.

    Every method raises VideoError, naming the clip, for what cannot be decoded: a missing path, a folder, an empty
    file, text, sound without pictures, a damaged file of which no frame can be read, a broken bound, a crashed codec.
    A file that is cut off or damaged gives the frames that can be read; `reading` then says how many are missing. An
    image is a clip of one frame.

    The time bound ends what hangs, not what is long: each second of video that comes out earns `EARNED_S` seconds, up
    to the bound again, so a film of any length may be read.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self.reading: Reading | None = None  # of the latest clip, after the last of its `frames` and after `run`
        self._worker: _Worker | None = None
        self._stream: _Stream | None = None  # the iterator that the worker is in the middle of, if any

    def probe(self, path: str | os.PathLike[str]) -> VideoInfo:
        """What the file says about itself. The first frame is decoded, so an answer means that there is one."""
        return self._ask("probe", path, Sampling(), b"")

    def frames(self, path: str | os.PathLike[str], sampling: Sampling) -> Iterator[Frame]:
        """Stream the sampled frames: at least one, in order, never more than two of them in memory at once.

        Time begins with the first picture of the default video track. At t_k the frame shown is the last one with a
        timestamp <= t_k; these are the file's own, so a variable frame rate is honoured. A clip of D seconds gives
        max(1, ceil(D * fps)) frames. The iterator may be abandoned at any point; asking the Decoder for anything
        else ends it. The time bound counts the waiting for the worker, not what the caller does between frames.
        """
        self._begin("frames", path, sampling, b"")
        self._stream = _Stream(self, _printable(path))
        return self._stream

    def run(
        self, path: str | os.PathLike[str], sampling: Sampling, work: Callable[[Iterator[Frame]], np.ndarray]
    ) -> np.ndarray:
        """`work(frames)` computed inside the worker, so that no frame crosses a process border.

        `work` must be picklable by name (a function of an importable module, or an instance of a class of one). What it
        raises comes back: a CezsarError as itself, anything else as a VideoError that names type and message.
        """
        try:
            pickled = pickle.dumps(work)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"{work!r} cannot be sent to the decoder, give a module-level function: {error}"
            ) from error
        value, self.reading = self._ask("run", path, sampling, pickled)
        return value

    def close(self) -> None:
        """End the worker. The Decoder can still be used: the next clip starts another."""
        self._stream = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, verb: str, path: str | os.PathLike[str], sampling: Sampling, work: bytes) -> Any:
        self._begin(verb, path, sampling, work)
        allowed = _Allowance(self.limits.time_s)
        while True:
            kind, value = self._reply(_printable(path), allowed.left_s)
            if kind != "at":
                return value
            assert self._worker is not None
            allowed.spend(self._worker.waited_s, at_s=value)

    def _begin(self, verb: str, path: str | os.PathLike[str], sampling: Sampling, work: bytes) -> None:
        """Send a request to a worker that is alive and idle."""
        if self._stream is not None:
            self._stream.give_up()
        self.reading = None
        # Absolute, so that a later chdir does not matter.
        request = (verb, os.path.abspath(os.fsdecode(path)), _printable(path), sampling, work)  # noqa: PTH100
        if self._worker is None or not self._worker.alive():  # it may have been killed between two clips
            self.close()
            self._worker = _Worker(self.limits)
        try:
            self._worker.send(request)
        except OSError:
            self.close()
            raise VideoError(f"{_printable(path)}: the decoder process went away; try again") from None
        except BaseException:
            self.close()
            raise

    def _reply(self, clip: str, time_s: float, token: bytes = b"") -> tuple[str, Any]:
        """The worker's next message for `clip`; whatever leaves the worker in doubt ends it."""
        assert self._worker is not None
        try:
            kind, value = self._worker.receive(time_s, token)
        except TimeoutError:
            self.close()
            raise VideoError(
                f"{clip}: decoding took longer than the time bound of {self.limits.time_s:g} s and {EARNED_S:g} s for "
                "each second of video (Limits.time_s); the clip is damaged, or needs a larger bound"
            ) from None
        except EOFError as error:
            self.close()
            raise VideoError(
                f"{clip}: the decoder crashed on it ({error}); convert the clip to another codec, or leave it out"
            ) from None
        except BaseException:  # Ctrl-C: an answer that nobody waits for is on its way
            self.close()
            raise
        if kind == "memory":
            self.close()  # what is left of its heap is not worth keeping
            raise VideoError(
                f"{clip}: decoding needs more than the memory bound of {self.limits.memory_bytes / 2**20:.0f} MiB "
                "(Limits.memory_bytes)"
            )
        if kind == "error":
            raise value
        return kind, value


class _Allowance:
    """How many seconds decoding may still take; never more than the bound, so that a hang late in a film ends, too."""

    def __init__(self, bound_s: float) -> None:
        self.left_s = self._bound_s = bound_s
        self._at_s = 0.0

    def spend(self, waited_s: float, at_s: float) -> None:
        """`waited_s` went by until the video had come to `at_s`."""
        earned_s = EARNED_S * (at_s - self._at_s)
        self._at_s = at_s
        self.left_s = max(min(self.left_s - waited_s + earned_s, self._bound_s), 1e-3)


class _Stream(Iterator[Frame]):
    """The frames of one clip, as the worker sends them: one token from us allows one frame."""

    def __init__(self, decoder: Decoder, clip: str) -> None:
        self._decoder, self._clip = decoder, clip
        self._allowed = _Allowance(decoder.limits.time_s)
        self._ended = False

    def __next__(self) -> Frame:
        decoder = self._decoder
        if self._ended:
            raise StopIteration
        if decoder._stream is not self:
            self._ended = True
            raise VideoError(f"{self._clip}: its frames ended early, because the decoder was asked for something else")
        self._ended = True  # unless a frame comes
        frame = self._receive()
        if frame is None:
            raise StopIteration
        self._ended = False
        return frame

    def _receive(self, token: bytes = b"+") -> Frame | None:
        """The next frame; None when all have come. After that, as after any error, the worker is no longer ours."""
        decoder, worker = self._decoder, self._decoder._worker
        assert worker is not None
        decoder._stream = None
        kind, value = decoder._reply(self._clip, self._allowed.left_s, token)
        if kind != "frame":
            decoder.reading = value
            return None
        self._allowed.spend(worker.waited_s, at_s=value.time_s)
        decoder._stream = self
        return value

    def give_up(self) -> None:
        """Let the worker go; `next` then says that frames are missing. One frame is under way: take it, call it off."""
        decoder = self._decoder
        if decoder._stream is not self:
            return
        with contextlib.suppress(CezsarError):  # it was given up anyway, and a worker that broke has been ended
            if self._receive(b"-") is None:
                self._ended = True  # none is missing
            else:
                decoder._reply(self._clip, self._allowed.left_s)
        decoder._stream = None

    def close(self) -> None:
        """Give up the rest of the clip, if there is any; `next` then says that there is none, as with a generator."""
        self.give_up()
        self._ended = True


class _Worker:
    """The process `python -m cezsar.video_worker`, spoken to by length-prefixed pickles over its stdin and stdout.

    A plain subprocess rather than multiprocessing: it works the same from a thread, a notebook and Streamlit, and never
    imports the caller's main module.
    """

    def __init__(self, limits: Limits) -> None:
        self.waited_s = 0.0  # how long the last `receive` took
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        # -P: a numpy.py in the user's folder must not be imported. The parent's own path lets `work` be found.
        python_path = [str(Path(__file__).resolve().parent.parent), *map(os.path.abspath, sys.path)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(python_path),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-P", "-m", "cezsar.video_worker", str(limits.time_s), str(limits.memory_bytes)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment
        )
        self.stop = weakref.finalize(self, _stop, self._process, self._log)
        _widen(self._process.stdout)
        try:
            self.receive(START_S)
        except (EOFError, TimeoutError) as error:
            message = f"the decoder process did not start ({error}): {' '.join(command)}"
            self.stop()
            raise CezsarError(message) from None
        except BaseException:
            self.stop()
            raise

    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: tuple[Any, ...]) -> None:
        assert self._process.stdin is not None
        write_message(self._process.stdin, request)

    def receive(self, time_s: float, token: bytes = b"") -> tuple[str, Any]:
        """The next message. TimeoutError after `time_s`, EOFError (saying how) when the process ends; both kill it.

        A frame is answered at once with `token`: "+", and the worker may send the next one, or "-", none.
        """
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = _Clock(time_s, expire)
        try:
            message = read_message(self._process.stdout)
            if message[0] == "frame":
                self._answer(token)
        except EOFError:
            message = None
        finally:
            self.waited_s = timer.stop()
        if expired.is_set():
            raise TimeoutError(f"no answer in {time_s:g} s")
        if message is None:
            raise EOFError(self._ending())
        return message

    def _answer(self, token: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(token)
            self._process.stdin.flush()
        except OSError:
            self._process.kill()  # so that the next read says how it ended

    def _ending(self) -> str:
        status = self._process.wait()
        self._log.seek(0)
        said = self._log.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"{how}: {said}" if said else how


class _Clock:
    """Calls `expire` unless stopped within `time_s`; `stop` returns the seconds that went by."""

    def __init__(self, time_s: float, expire: Callable[[], None]) -> None:
        self._begun_s = time.monotonic()
        self._timer = threading.Timer(time_s, expire)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> float:
        self._timer.cancel()
        self._timer.join()  # from here on it has either expired or never will
        return time.monotonic() - self._begun_s


def _widen(pipe: IO[bytes] | None) -> None:
    with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux alone has it, and may refuse; then slower
        import fcntl

        fcntl.fcntl(cast(IO[bytes], pipe), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _stop(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    process.kill()  # it holds nothing worth saving
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):  # bytes that a dead process did not take
            pipe.close()
    process.wait()
    log.close()


def _printable(path: str | os.PathLike[str]) -> str:
    """The path as it may be printed anywhere, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def write_message(file: IO[bytes], value: Any) -> None:
    """A pickle, then the arrays' pixels as they are, their number and lengths first: only ever to our own worker."""
    buffers: list[pickle.PickleBuffer] = []
    parts = [memoryview(pickle.dumps(value, 5, buffer_callback=buffers.append)), *(one.raw() for one in buffers)]
    file.write(struct.pack(f"<{1 + len(parts)}Q", len(parts), *map(len, parts)))
    file.writelines(parts)
    file.flush()


def read_message(file: IO[bytes]) -> Any:
    """What `write_message` wrote. EOFError if the other side has gone, in whichever place."""
    (count,) = struct.unpack("<Q", _read(file, 8))
    body, *buffers = [_read(file, length) for length in struct.unpack(f"<{count}Q", _read(file, 8 * count))]
    return pickle.loads(body, buffers=buffers)


def _read(file: IO[bytes], length: int) -> memoryview:
    read = np.empty(length, np.uint8).data  # a bytearray would be filled with zeros first
    if cast(io.BufferedReader, file).readinto(read) < length:
        raise EOFError
    return read
