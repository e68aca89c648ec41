"""The decoder process: `python -m cezsar.video_worker TIME_S MEMORY_BYTES`, started by `cezsar.video.Decoder` alone.

It reads requests from stdin and answers on stdout, one clip at a time, until stdin ends. A file it decodes may come
from anywhere, so it may be wrong in any way; what is defined for each is told by `Decoder`.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import pickle
import re
import signal
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any

import cv2
import numpy as np

from cezsar.errors import CezsarError, InputError, VideoError
from cezsar.video import Frame, Sampling, VideoInfo, read_message, write_message

DECODING_THREADS = 2  # FFmpeg's own; more gain little at these sizes and cost memory for every frame in flight
SAME_S = 1e-6  # timestamps are multiples of a time base, handed out as float milliseconds
LEAP_S = 10.0  # a longer hold is believed only within the duration that the file tells
ANY_FPS = 25.0  # where a file has neither timestamps nor a frame rate


class Clip:
    """An open file: `grab` goes to the next frame, `image` converts the one it is at. Close it.

    `pts_s` is the time at which the current frame appears, strictly growing: where a file repeats, reverses or lacks a
    timestamp, or one leaps beyond the end that the file tells, the frame follows its predecessor after 1 / fps.
    """

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        _refuse_what_is_no_video(path, name)
        _forget_log()
        self._file: IO[bytes] | None = None
        source = path
        if os.name == "posix" and ("%" in path or _not_utf8(path)):
            # OpenCV crashes on names that are not UTF-8, and FFmpeg may read 100%d.png as a pattern of names.
            self._file = open(path, "rb")  # noqa: SIM115, PTH123 (closed in `close`; bytes of the name kept)
            source = f"/dev/fd/{self._file.fileno()}"
        self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, DECODING_THREADS])
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # turn frames upright by the metadata
        self.index = -1  # of the frame it is at
        self.pts_s = 0.0
        self.fps = self._number(cv2.CAP_PROP_FPS, most=1e4)
        self.frame_count = self._number(cv2.CAP_PROP_FRAME_COUNT, most=1e9)

    def _number(self, what: int, most: float) -> float | None:
        value = self._capture.get(what)
        return value if 0 < value <= most else None  # also refuses NaN

    def grab(self) -> bool:
        """Go to the next frame, without converting its pixels. False at the end of what can be read."""
        if not self._capture.grab():
            self._refuse_out_of_memory()
            return False
        self.index += 1
        if self.index % 256 == 255:
            _forget_log()  # a damaged file of hours must not fill the disk with complaints
        pts_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self.pts_s < pts_s < math.inf and (pts_s - self.pts_s <= LEAP_S or pts_s <= self.told_s()):
            self.pts_s = pts_s
        elif self.index > 0:
            self.pts_s += 1 / (self.fps or ANY_FPS)
        return True

    def told_s(self) -> float:
        """The duration by the file's own account; infinite without one."""
        return self.frame_count / self.fps if self.frame_count and self.fps else math.inf

    def image(self) -> np.ndarray | None:
        """The current frame, (H, W, 3) uint8 BGR, upright; None if its pixels cannot be converted."""
        done, image = self._capture.retrieve()
        if done and image.size:
            return image
        self._refuse_out_of_memory()
        return None

    def info(self) -> VideoInfo:
        width, height = self._size()
        fps, count = self.fps, self.frame_count
        return VideoInfo(
            width,
            height,
            fps,
            round(count) if count else None,
            self.told_s() if count and fps else None,
            round(self._capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360,
        )

    def _size(self) -> tuple[int, int]:
        size = (self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        return max(int(size[0]), 0), max(int(size[1]), 0)

    def _refuse_out_of_memory(self) -> None:
        """FFmpeg calls a failed allocation the end of the stream. It was one, if four frames more do not fit either."""
        width, height = self._size()
        if os.name == "posix":
            try:
                mmap.mmap(-1, max(4 * width * height * 3, 1 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
            except OSError:
                raise MemoryError from None

    def unreadable(self) -> VideoError:
        """Why there is no frame, as far as FFmpeg said."""
        said = _log()
        if said == "moov atom not found":
            why = "the file is cut off or was never finished, and its index is missing"
        elif self._capture.isOpened():
            why = "it has no frame that can be read"
        else:
            why = "it is damaged, has sound only, or uses a format that OpenCV cannot read"
        return VideoError(f"{self.name}: not a video that can be read; {why}" + (f" ({said})" if said else ""))

    def close(self) -> None:
        self._capture.release()
        if self._file is not None:
            self._file.close()


def probe(path: str, name: str) -> VideoInfo:
    with contextlib.closing(Clip(path, name)) as clip:
        if not clip.grab():
            raise clip.unreadable()
        return clip.info()


def frames(path: str, name: str, sampling: Sampling) -> Generator[Frame, None, None]:
    """The frames shown at k / fps, as `Decoder.frames` defines them.

    Which frame is the last one before t_k is known only when the next one has come, and its pixels are gone by then. So
    a frame is converted when the next may come after t_k, judging by the longest gap so far, and all others are passed
    over. A longer gap proves the judgement wrong: then the file is read once more up to that frame, and gaps of half as
    much again are expected from there on, so that even a file of ever longer gaps costs only a few such readings.
    """
    with contextlib.closing(Clip(path, name)) as clip:
        end_s = math.inf if sampling.max_s is None else sampling.max_s
        gap_s = longest_s = 1 / (clip.fps or ANY_FPS)
        k, before_s, held = 0, 0.0, None
        while (clip.index < 0 or k / sampling.fps < end_s - SAME_S) and clip.grab():
            if clip.index > 0:
                gap_s = clip.pts_s - before_s
                longest_s = max(longest_s, gap_s)
                while k / sampling.fps < min(clip.pts_s, end_s) - SAME_S:
                    if held is None:
                        held = _converted(_reread(path, name, clip.index - 1), name, sampling)
                        longest_s = max(longest_s, 1.5 * gap_s)
                    yield Frame(k / sampling.fps, held)
                    k += 1
            before_s = clip.pts_s
            needed = clip.index == 0 or k / sampling.fps < clip.pts_s + longest_s - SAME_S
            held = _converted(clip.image(), name, sampling) if needed else None
        if clip.index < 0:
            raise clip.unreadable()
        end_s = min(end_s, _end_s(clip, gap_s, longest_s))
        while k == 0 or k / sampling.fps < end_s - SAME_S:
            if held is None:
                held = _converted(_reread(path, name, clip.index), name, sampling)
            yield Frame(k / sampling.fps, held)
            k += 1


def _end_s(clip: Clip, gap_s: float, longest_s: float) -> float:
    """When the last frame goes: where the container says, if that can be, else after as long as the frame before it."""
    told_s = clip.told_s()
    complete = clip.frame_count is not None and clip.index + 1 == round(clip.frame_count)
    if clip.pts_s < told_s < math.inf and (complete or told_s <= clip.pts_s + longest_s + SAME_S):
        return told_s
    return clip.pts_s + gap_s


def _reread(path: str, name: str, index: int) -> np.ndarray | None:
    with contextlib.closing(Clip(path, name)) as clip:
        while clip.index < index and clip.grab():
            pass
        return clip.image()


def _converted(image: np.ndarray | None, name: str, sampling: Sampling) -> np.ndarray:
    if image is None:
        raise VideoError(f"{name}: a frame of it was decoded whose pixels cannot be converted; the clip is damaged")
    height, width = image.shape[:2]
    if sampling.max_side is not None and max(height, width) > sampling.max_side:
        scale = sampling.max_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image if sampling.bgr else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _refuse_what_is_no_video(path: str, name: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116 (a name of any bytes)
        if stat.S_ISDIR(status.st_mode):
            raise VideoError(f"{name}: this is a folder, not a video file")
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(f"{name}: this is not a regular file")
        if status.st_size == 0:
            raise VideoError(f"{name}: the file is empty (0 bytes)")
        with open(path, "rb") as file:  # noqa: PTH123
            start = file.read(4096)
    except FileNotFoundError:
        raise VideoError(f"{name}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name}: cannot be opened ({error})") from None
    # FFmpeg would draw text as a picture, and follow a playlist to other files.
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    if utf16 or not (start.translate(None, delete=_TEXT) or start.startswith(b"YUV4MPEG2")):
        raise VideoError(f"{name}: this is a text file, not a video")


_TEXT = bytes([*b"\t\n\r\f\x1b", *range(32, 127), *range(128, 256)])


def _not_utf8(path: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in path)


def _forget_log() -> None:
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)


def _log() -> str:
    """The last thing FFmpeg complained about."""
    os.lseek(2, 0, os.SEEK_SET)
    lines = os.read(2, 4096).decode(errors="replace").strip().splitlines()
    os.lseek(2, 0, os.SEEK_END)
    return re.sub(r"^\[[^\]]*\] *", "", lines[-1]) if lines else ""


class Service:
    """Answers requests read from `requests` on `answers`."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], time_s: float) -> None:
        self.requests, self.answers = requests, answers
        self.alarm_s = math.ceil(time_s) + 5  # the parent kills us before that, unless it has gone

    def serve(self) -> None:
        write_message(self.answers, ("ready", None))
        while True:
            try:
                request = read_message(self.requests)
            except EOFError:
                return
            answer = self._answer(*request)
            try:
                write_message(self.answers, answer)
            except (pickle.PicklingError, AttributeError, TypeError, MemoryError) as error:  # nothing was written yet
                write_message(self.answers, self._failure(error, request[2]))

    def _answer(self, verb: str, path: str, name: str, sampling: Sampling, work: bytes) -> tuple[str, Any]:
        try:
            if verb == "frames":
                self._stream(path, name, sampling)
                return ("end", None)
            with self._alarm():
                if verb == "probe":
                    return ("done", probe(path, name))
                function = _load(work)
                with contextlib.closing(frames(path, name, sampling)) as sampled:
                    return ("done", function(sampled))
        except BrokenPipeError:
            raise
        except Exception as error:
            return self._failure(error, name)

    def _failure(self, error: Exception, name: str) -> tuple[str, Any]:
        if isinstance(error, MemoryError) or (
            isinstance(error, cv2.error) and (error.code == cv2.Error.StsNoMem or "bad_alloc" in str(error))
        ):
            return ("memory", None)
        if isinstance(error, CezsarError) and _survives_pickling(error):
            return ("error", error)
        return ("error", VideoError(f"{name}: {type(error).__name__}: {error}"))

    def _stream(self, path: str, name: str, sampling: Sampling) -> None:
        with contextlib.closing(frames(path, name, sampling)) as sampled:
            while True:
                with self._alarm():
                    frame = next(sampled, None)
                if frame is None:
                    return
                write_message(self.answers, ("frame", frame))
                if self.requests.read(1) != b"+":
                    return

    @contextlib.contextmanager
    def _alarm(self) -> Iterator[None]:
        if not hasattr(signal, "alarm"):
            yield
            return
        signal.alarm(self.alarm_s)
        try:
            yield
        finally:
            signal.alarm(0)


def _load(work: bytes) -> Callable[[Iterator[Frame]], Any]:
    try:
        return pickle.loads(work)
    except (AttributeError, ImportError) as error:  # such as a function of a notebook or of a program's main file
        raise InputError(f"the decoder process cannot import the work to do; put it in a module: {error}") from None


def _survives_pickling(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # an error class may fail at this in any way, and is then told by name
        return False


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
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)
    _bound_memory(int(sys.argv[2]))
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        Service(requests, answers, float(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
