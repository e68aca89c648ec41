"""The decoder process: `python -m cezsar.video_worker TIME_S MEMORY_BYTES`, started by `cezsar.video.Decoder` alone. It
reads requests from stdin and answers on stdout, one clip at a time, until stdin ends."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from av.video.frame import VideoFrame

from cezsar.errors import CezsarError, InputError, VideoError
from cezsar.video import Frame, Sampling, read_message, write_message
from cezsar.video_file import SAME_S, VideoFile, log_to_stderr, opencv


def frames(clip: VideoFile, sampling: Sampling) -> Iterator[Frame]:
    """The frames shown at k / fps, as `Decoder.frames` defines them. Which frame is the last one before t_k is known
    only when the next one has come. So each is held, as it was decoded, until then, and only those that are shown at
    some t_k are converted."""
    most_s = math.inf if sampling.max_s is None else sampling.max_s
    if sampling.keys_s is not None:
        clip.decode_keys_alone(sampling.keys_s)
    k = 0
    held: VideoFrame | None = None
    image: np.ndarray | None = None
    for frame in itertools.chain(clip.pictures(), [None]):
        until_s = min(clip.end_s() if frame is None else clip.pts_s, most_s)
        while held is not None and (k == 0 or k / sampling.fps < until_s - SAME_S):
            if image is None:
                image = clip.image(held, sampling)
            yield Frame(k / sampling.fps, image)
            k += 1
        if k > 0 and k / sampling.fps >= most_s - SAME_S:
            return
        held, image = frame, None
    if k == 0:
        raise clip.unreadable()


class Service:
    """Answers requests read from `requests` on `answers`."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], time_s: float) -> None:
        self.requests, self.answers = requests, answers
        self.alarm_s = math.ceil(time_s) + 5  # the parent kills us before that, unless it has gone

    def serve(self) -> None:
        self._send("ready", None)
        with contextlib.suppress(EOFError):
            while True:
                verb, path, name, sampling, work = read_message(self.requests)
                try:
                    _alarm(self.alarm_s)
                    with contextlib.closing(VideoFile(path, name)) as clip:
                        answer = self._answer(verb, clip, sampling, work)
                    self._send("done", answer)
                except BrokenPipeError:
                    raise
                except Exception as error:  # also of pickling the answer: nothing of it was written
                    self._send(*_failure(error, name))

    def _send(self, kind: str, value: Any) -> None:
        """A message to the parent, which takes it when it likes."""
        _alarm(0)
        write_message(self.answers, (kind, value))

    def _answer(self, verb: str, clip: VideoFile, sampling: Sampling, work: bytes) -> Any:
        if verb == "probe":
            for picture in clip.pictures():
                return clip.info(picture)
            raise clip.unreadable()
        if verb == "frames":
            for frame in frames(clip, sampling):
                self._send("frame", frame)
                _alarm(self.alarm_s)
            return clip.reading()
        opencv()
        try:
            function = pickle.loads(work)
        except (AttributeError, ImportError) as error:  # such as a function of a notebook or of a program's main file
            raise InputError(f"the decoder process cannot import the work to do; put it in a module: {error}") from None
        return function(self._reported(frames(clip, sampling))), clip.reading()

    def _reported(self, sampled: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames, while the parent hears once a second of video how far they have come."""
        said_s = 0.0
        for frame in sampled:
            if frame.time_s >= said_s + 1:
                said_s = frame.time_s
                self._send("at", said_s)
                _alarm(self.alarm_s)
            yield frame


def _alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _failure(error: Exception, name: str) -> tuple[str, Any]:
    cv2 = sys.modules.get("cv2")  # its errors come only where it was imported
    short = cv2 and isinstance(error, cv2.error) and (error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error))
    if short or isinstance(error, MemoryError):
        return "memory", None
    if isinstance(error, CezsarError):
        with contextlib.suppress(Exception):  # an error class may fail at this in any way, and is then told by name
            if type(pickle.loads(pickle.dumps(error))) is type(error):
                return "error", error
    return "error", VideoError(f"{name}: {type(error).__name__}: {error}")


def _bound_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    # DATA rather than AS: address space that is only reserved, as allocators and thread stacks do, costs nothing.
    for limit, most in ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Take stdin and stdout for the messages, so that nothing printed in this process can end up among them."""
    answers, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    log_to_stderr()
    _bound_memory(int(sys.argv[2]))
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        Service(requests, answers, float(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
