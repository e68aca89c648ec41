"""The decoder process: `python -m cezsar.video_worker TIME_S MEMORY_BYTES [forks]`, started by `cezsar.video.Decoder`
alone. It reads requests from stdin and answers on stdout, one clip at a time, until stdin ends.

On Linux it only imports what is needed. Each clip is decoded by a fork of it, which can do nothing but read that clip,
compute and answer (`cezsar.video_sandbox`), and ends with it: whatever a clip does to its process ends there too."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import IO, Any

import numpy as np
from av.video.frame import VideoFrame

from cezsar import video_sandbox
from cezsar.errors import InputError, VideoError
from cezsar.video import ERRORS, HEADER, Frame, Sampling, open_film
from cezsar.video_file import SAME_S, VideoFile, log_to_stderr, opencv

ANSWERED = 42  # exit status of a fork that has done its work; 0 may come from anywhere
TEXT = 4000  # letters of an error, at the most
LOG_BYTES = 64 << 20  # that one clip's complaints may take on the disk


def frames(clip: VideoFile, sampling: Sampling) -> Iterator[Frame]:
    """The frames shown at k / fps, as `Decoder.frames` defines them. Which frame is the last one before t_k is known
    only when the next one has come. So each is held, as it was decoded, until then, and only those that are shown at
    some t_k are converted."""
    most_s = math.inf if sampling.max_s is None else sampling.max_s
    if sampling.keys_s is not None:
        clip.decode_keys_alone(sampling.keys_s)
    k = 0
    held: VideoFrame | None = None
    turn = clip.turn
    image: np.ndarray | None = None
    for frame in itertools.chain(clip.pictures(), [None]):
        until_s = min(clip.end_s() if frame is None else clip.pts_s, most_s)
        while held is not None and (k == 0 or k / sampling.fps < until_s - SAME_S):
            if image is None:
                image = clip.image(held, turn, sampling)
            yield Frame(k / sampling.fps, image)
            k += 1
        if k > 0 and k / sampling.fps >= most_s - SAME_S:
            return
        held, turn, image = frame, clip.turn, None
    if k == 0:
        raise clip.unreadable()


class Service:
    """Answers requests read from `requests` on `answers`. A `channel` brings the open file of each as well, and is told
    when the fork that answered has gone; without one this process opens the file, and answers itself."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], channel: socket.socket | None, time_s: float) -> None:
        self.requests, self.answers, self.channel = requests, answers, channel
        self.means: list[str] = []  # that confine this process
        self.alarm_s = math.ceil(time_s) + 5  # the parent kills us before that, unless it has gone

    def serve(self) -> None:
        self._send("ready")
        with contextlib.suppress(EOFError, pickle.UnpicklingError):  # the parent has gone, in whichever place
            while True:
                files = socket.recv_fds(self.channel, 1, 1)[1] if self.channel else []
                verb, path, name, sampling, work = pickle.load(self.requests)
                with self._failures_told(name), io.FileIO(files[0]) if files else open_film(path, name) as file:
                    if work or sampling.max_side is not None:
                        opencv()
                    function = _imported(work) if work else None
                    (self._fork if self.channel else self._answer)(verb, file, name, sampling, function)
                if self.channel:
                    self.channel.send(b"\0")

    @contextlib.contextmanager
    def _failures_told(self, name: str) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:
            self._send(**_failure(error, name))

    def _fork(self, verb: str, file: io.FileIO, name: str, *how: Any) -> None:
        """Answer in another process, and end as that one ends, if badly: the parent then starts anew."""
        here = os.getpid()
        if (child := os.fork()) == 0:
            video_sandbox.end_with(here)
            self.requests.close()
            if self.channel:
                self.channel.close()
            self.means = video_sandbox.confine()
            with contextlib.suppress(BrokenPipeError), self._failures_told(name):
                self._answer(verb, file, name, *how)
            os._exit(ANSWERED)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            os.kill(here, os.WTERMSIG(status))
        if os.WEXITSTATUS(status) != ANSWERED:
            os._exit(os.WEXITSTATUS(status))

    def _send(self, kind: str, array: np.ndarray | None = None, **said: Any) -> None:
        """An answer to the parent, which takes it when it likes: a header, a JSON object, the numbers of an array."""
        _alarm(0)
        body = b"" if array is None else np.asarray(array, order="C").reshape(-1).view(np.uint8).data
        if array is not None:
            said |= {"dtype": array.dtype.str, "shape": array.shape}
        head = json.dumps({"kind": kind} | said, allow_nan=False).encode()
        self.answers.write(HEADER.pack(len(head), len(body)) + head)
        self.answers.write(body)
        self.answers.flush()

    def _answer(self, verb: str, file: io.FileIO, name: str, sampling: Sampling,
                function: Callable[[Iterator[Frame]], np.ndarray] | None) -> None:  # fmt: skip
        if verb == "confinement":
            return self._send("means", names=self.means)
        _alarm(self.alarm_s)
        with contextlib.closing(VideoFile(file, name)) as clip:
            if verb == "probe":
                for picture in clip.pictures():
                    return self._send("info", **asdict(clip.info(picture)))
                raise clip.unreadable()
            if function is not None:
                result = np.asarray(function(self._reported(frames(clip, sampling))))
                if result.dtype.kind not in "biufc":
                    raise VideoError(f"{name}: the work gave no array of numbers but {result.dtype}")
                return self._send("result", result, **asdict(clip.reading()))
            for frame in frames(clip, sampling):
                self._send("frame", frame.image, time_s=frame.time_s)
                _alarm(self.alarm_s)
            self._send("reading", **asdict(clip.reading()))

    def _reported(self, sampled: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames, while the parent hears once a second of video how far they have come."""
        said_s = 0.0
        for frame in sampled:
            if frame.time_s >= said_s + 1:
                said_s = frame.time_s
                self._send("at", time_s=said_s)
                _alarm(self.alarm_s)
            yield frame


def _alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _imported(work: bytes) -> Callable[[Iterator[Frame]], np.ndarray]:
    import numpy.ma  # noqa: F401 (NumPy itself imports it late, as for a median, when no file can be opened any more)

    try:
        return pickle.loads(work)
    except (AttributeError, ImportError) as error:  # such as a function of a notebook or of a program's main file
        raise InputError(f"the decoder process cannot import the work to do; put it in a module: {error}") from None


def _failure(error: Exception, name: str) -> dict[str, Any]:
    cv2 = sys.modules.get("cv2")  # its errors come only where it was imported
    short = cv2 and isinstance(error, cv2.error) and (error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error))
    if short or isinstance(error, MemoryError):
        return {"kind": "memory"}
    kind = next((kind.__name__ for kind in type(error).__mro__ if kind in ERRORS.values()), "")
    text = str(error) if kind else f"{name}: {type(error).__name__}: {error}"
    return {"kind": "error", "error": kind or "VideoError", "text": text[:TEXT]}


def _bound(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    # DATA rather than AS: address space that is only reserved, as allocators and thread stacks do, costs nothing.
    bounds = ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_FSIZE, LOG_BYTES), (resource.RLIMIT_CORE, 0))
    for limit, most in bounds:
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def main() -> None:
    """Take stdin and stdout for the messages, so that nothing printed in this process can end up among them."""
    time_s, memory_bytes, *forks = sys.argv[1:]
    answers, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    log_to_stderr()
    _bound(int(memory_bytes))
    if forks:
        video_sandbox.keep_no_core()
    channel = socket.socket(fileno=os.dup(requests.fileno())) if forks else None
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        Service(requests, answers, channel, float(time_s)).serve()


if __name__ == "__main__":
    main()
