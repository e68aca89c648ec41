"""A video file by FFmpeg, in the decoder process alone: its pictures, upright and in their right colours, with times. A
file may come from anywhere, and be wrong in any way; what is defined for each is told by `cezsar.video.Decoder`."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import os
import re
import shlex
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.subtitles.stream  # PyAV would import it in the middle of a file, when no file can be opened any more
import numpy as np
from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cezsar.errors import VideoError
from cezsar.video import Reading, Sampling, VideoInfo

# Only what cameras, editors and data sets write: each further reader of FFmpeg is one more that a file may attack.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "dv", "ivf",
    "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu", "yuv4mpegpipe",
    "gif", "apng", "png_pipe", "jpeg_pipe", "bmp_pipe", "tiff_pipe", "webp_pipe",
)  # fmt: skip
DECODERS = frozenset((
    "h264", "hevc", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv",
    "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "theora", "vp6", "vp6a", "vp6f",
    "svq1", "svq3", "cinepak", "msvideo1", "msrle", "qtrle", "mjpeg", "dvvideo", "prores", "dnxhd", "cfhd",
    "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210",
    "png", "apng", "gif", "bmp", "tiff", "webp", "jpeg2000",
))  # fmt: skip
OPENING = {
    "format_whitelist": ",".join(CONTAINERS),
    "codec_whitelist": ",".join(sorted(DECODERS)),  # those that FFmpeg tries while it looks at the file, too
    "protocol_whitelist": "none",  # it reads the file that we opened, and may open no other, nor a network address
}
DECODING_THREADS = 2  # FFmpeg's own; more gain little at these sizes and cost memory for every frame in flight
SAME_S = 1e-6  # timestamps are multiples of a time base, compared as floats
LEAP_S = 10.0  # a longer hold is believed only within the duration that the file tells, and not in a broadcast
SHORT_S = 0.5  # a file that ends this much before the end that it tells is cut off; less may be rounding
ANY_FPS = 25.0  # where a file has neither timestamps nor a frame rate
STEADY = 0.8  # share of pictures that come after one step, above which a rate is even
READ_ERRORS = 16  # in a row, after which the rest of a file is given up
KEPT_BYTES = 32 << 20  # of coded pictures since a key frame, to read the last ones again
Turn = tuple[bool, bool, bool]  # whether a picture is shown transposed, then mirrored left to right, and up to down
UPRIGHT: Turn = (False, False, False)
_TS_DISCONT: Any = av.format.Flags.ts_discont.value
_GEN_PTS: Any = av.container.Flags.gen_pts.value
_NO_TIMESTAMPS: Any = av.format.Flags.no_timestamps.value
_TEXT = bytes([*b"\t\n\r\f\x1b", *range(32, 127), *range(128, 256)])


class VideoFile:
    """An open file. `pictures` decodes it; the other attributes tell about the picture it gave last. Close it. `pts_s`
    is the time at which that picture appears, counted from the first one and strictly growing: where a file repeats,
    reverses or lacks a timestamp, or one leaps beyond the end that the file tells, the picture follows its predecessor
    after as long as that one says that it lasts, or else 1 / fps."""

    def __init__(self, file: io.FileIO, name: str) -> None:
        self.name = name
        file.name = "clip"  # so that FFmpeg goes by content alone and takes 100%d.png for no pattern
        _refuse_text(file, name)
        _forget_log()
        with contextlib.ExitStack() as opened:
            try:
                self._container = opened.enter_context(_opened(file))
            except (av.FFmpegError, ValueError, OSError) as error:
                _pass_on_memory(error, file.seek(0, os.SEEK_END))
                raise self._unreadable(self._why_unopened(file)) from error
            self._track = self._video_track(file)
            self.close = opened.pop_all().close
        # Without this FFmpeg would invent timestamps for AVI, wrong ones where pictures are not in the order of coding.
        self._container.flags &= ~_GEN_PTS
        for other in self._container.streams:
            if other is not self._track:
                other.discard = av.stream.Discard.all
        self._codec = self._track.codec_context
        self._codec.thread_type, self._codec.thread_count = av.codec.context.ThreadType.AUTO, DECODING_THREADS
        self._unit_s = float(self._track.time_base or 0)
        self._first: int | None = None  # timestamps that are believed
        self._latest: int | None = None
        self._last_pts = self._last_dts = -math.inf
        self._scaler: tuple[Any, av.filter.Graph] | None = None  # for pictures of one kind, and that kind
        rate = self._track.average_rate and self._track.guessed_rate  # without a mean FFmpeg guesses that of fields
        self.fps = _within(rate or self._codec.framerate or self._track.guessed_rate, most=1e4)
        # Such a stream may be cut and joined anywhere: times leap, and FFmpeg tells a duration by them, not the file.
        self._broadcast = bool(self._container.format.flags & _TS_DISCONT)
        self._duration_s, self._told_of_track = self._told()
        self.told_s = math.inf if self._broadcast else self._duration_s
        in_avi = self._container.format.name == "avi"  # it counts in steps of time, pictures or not
        # How often one did not grow. FFmpeg guesses the pts of AVI and of bare streams, and not of every picture.
        self._faulty_pts = int(in_avi or bool(self._container.format.flags & _NO_TIMESTAMPS))
        self._faulty_dts = 0
        self._count = None if in_avi else _within(self._track.frames, most=1e9)
        if self._count is None and self.fps and self.told_s < math.inf:
            self._count = self.told_s * self.fps
        self.index, self.pts_s, self.turn, self._last_s, self._ended = -1, 0.0, UPRIGHT, 0.0, False
        self._gap_s = self._longest_s = self._step_s = 1 / (self.fps or ANY_FPS)
        self._lost = self._failed = self._damaged = 0  # pictures; `_failed` are those since the last that came
        self._steady = self._missing = 0  # how often a picture came after one step; and steps without a picture
        self._complained = False  # what reads the container, about its bytes

    def _video_track(self, file: io.FileIO) -> VideoStream:
        """The default one, or else FFmpeg's choice; never a cover picture."""
        streams = self._container.streams
        tracks = [track for track in streams.video if not track.disposition & Disposition.attached_pic]
        if not tracks:
            raise self._unreadable("it has sound only, or no video track")
        best = streams.best("video")
        track = best if best in tracks else max(tracks, key=lambda track: track.disposition & Disposition.default)
        codec = track.codec_context
        if codec is not None and codec.name in DECODERS:
            return track
        unknown = codec is None and _aloud(file, av.logging.WARNING, r"\(Video: (\w+ \([^)]*\))")
        kind = f"{codec.codec.long_name} ({codec.name})" if codec else unknown or "an unknown codec"
        raise VideoError(f"{self.name}: its pictures are coded as {kind}, which is not opened here; {self._convert}")

    def _told(self) -> tuple[float, bool]:
        """The duration by the file's own account, infinite without one; and whether it is that of the video track."""
        track, container = self._track, self._container
        if container.format.flags & _NO_TIMESTAMPS:
            return math.inf, False  # FFmpeg would guess it from the bit rate
        told_s, unit_s = (container.duration or 0) / av.time_base, self._unit_s
        of_track = len(container.streams) == 1 and not self._broadcast
        tag = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", track.metadata.get("DURATION", ""))
        if container.format.name == "avi" and track.frames:  # FFmpeg shortens the duration of a file that is cut off
            told_s, of_track = track.frames * unit_s, True
        elif track.duration:
            told_s, of_track = track.duration * unit_s, not self._broadcast
        elif tag:  # Matroska
            hours, minutes, seconds = map(float, tag.groups())
            told_s, of_track = 3600 * hours + 60 * minutes + seconds - (track.start_time or 0) * unit_s, True
        return (told_s, of_track) if 0 < told_s < math.inf else (math.inf, False)

    def decode_keys_alone(self, most_s: float) -> None:
        """Skip what lies between key frames, if by the file's index they are nowhere further apart than that."""
        keys = [entry.timestamp * self._unit_s for entry in self._track.index_entries if entry.is_keyframe]
        if len(keys) > 1 and max(later - one for one, later in pairwise([*keys, keys[0] + self.told_s])) <= most_s:
            self._codec.skip_frame = "NONKEY"

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture that can be decoded, in the order in which they are shown."""
        before: list[Packet] = []  # from the last but one key frame on
        recent: list[Packet] = []  # from the last one
        size = 0
        for number, packet in enumerate(self._packets()):
            self._complained = self._complained or packet.is_corrupt
            if number % 256 == 255:
                self._hear()
                _forget_log()  # a damaged file of hours must not fill the disk with complaints
            if packet.is_keyframe:
                before, recent, size = recent, [], 0
            recent.append(packet)
            size += packet.size
            if size > KEPT_BYTES:
                recent = []
            yield from self._seen(self._decoded(packet))
        failed = self._failed
        yield from self._seen(self._decoded(None))
        if self._failed > failed:  # on the last packet, and with it went the pictures that were still waiting
            self._failed = failed
            self._codec.flush_buffers()
            for packet_again in (*before, *recent[:-1], None):
                with contextlib.suppress(av.FFmpegError):  # counted before
                    yield from self._seen(filter(self._is_later, self._codec.decode(packet_again)))
            self._failed += 1
        self._ended = True

    def _hear(self) -> None:
        self._complained = self._complained or f"[{self._container.format.name} @" in _log()

    def _packets(self) -> Iterator[Packet]:
        errors = 0
        while errors < READ_ERRORS:
            try:
                for packet in self._container.demux(self._track):
                    errors = 0
                    if packet.size:  # an empty one would end the decoding
                        yield packet
                return
            except IndexError:  # PyAV's, behind the last packet of a file with tracks that began in the middle of it
                return
            except (av.FFmpegError, OSError) as error:  # the latter for a wild offset; what follows may be readable
                _pass_on_memory(error, self._container.size)
                errors += 1

    def _decoded(self, packet: Packet | None) -> list[VideoFrame]:
        """What the decoder gives for `packet`; for None, what it still holds."""
        try:
            return self._codec.decode(packet)
        except av.FFmpegError as error:
            self._refuse_out_of_memory(error)
            self._failed += 1
            return []

    def _seen(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Note time and damage of each frame, and hand it on."""
        for frame in frames:
            self.index += 1
            self._lost, self._failed = self._lost + self._failed, 0
            self._damaged += frame.is_corrupt
            at_s, before_s = self._shown_s(frame), self.pts_s
            if frame.key_frame or self.index == 0:
                self.turn = _orientation(frame)  # H.264 and HEVC may tell it with key frames alone
            believed = at_s - before_s <= LEAP_S or (at_s <= self.told_s and not self._broadcast)
            if before_s < at_s < math.inf and believed:
                self.pts_s = at_s
            elif self.index > 0:
                self.pts_s += self._last_s if 0 < self._last_s <= LEAP_S else self._step_s
            if self.index > 0:
                self._gap_s = self.pts_s - before_s
                self._steady += abs(self._gap_s - self._step_s) < self._step_s / 10
                self._missing += max(round(self._gap_s / self._step_s) - 1, 0)
                self._longest_s = max(self._longest_s, self._gap_s)
            self._last_s = frame.duration * self._unit_s
            yield frame

    def _shown_s(self, frame: VideoFrame) -> float:
        """When a frame appears by the file's own account, counted from the first; NaN without a timestamp. A file may
        tell for each packet when its picture is shown (pts), when it is decoded (dts), or both. AVI tells the latter
        alone; then pictures come out in even steps of it. Where both are there, the one that grows more steadily is
        believed, as FFmpeg's `guess_correct_pts` does."""
        pts, dts = frame.pts, frame.dts
        self._faulty_dts += dts is not None and dts <= self._last_dts
        self._faulty_pts += pts is not None and pts <= self._last_pts
        self._last_dts = next((stamp for stamp in (dts, pts) if stamp is not None), self._last_dts)
        self._last_pts = next((stamp for stamp in (pts, dts) if stamp is not None), self._last_pts)
        shown = pts if pts is not None and (self._faulty_pts <= self._faulty_dts or dts is None) else dts
        self._latest, self._first = shown, shown if self._first is None else self._first
        return math.nan if shown is None or self._first is None else (shown - self._first) * self._unit_s

    def _is_later(self, frame: VideoFrame) -> bool:
        """Whether `frame` comes after the one that was seen last; no, if timestamps do not tell."""
        shown = frame.dts if frame.pts is None else frame.pts
        return shown is not None and self._latest is not None and shown > self._latest

    def end_s(self) -> float:
        """When the last frame goes: where the file says, if that can be, else after as long as the frame before it."""
        complete = self._count is not None and self.index + 1 == round(self._count)
        latest_s = self.pts_s + max(self._longest_s, self._last_s) + SAME_S
        if self.pts_s < self.told_s < math.inf and (complete or self.told_s <= latest_s):
            return self.told_s
        return self.pts_s + self._gap_s

    def reading(self) -> Reading:
        read_s, lost = self.end_s(), self._failed
        short_s = 0.0
        if self._ended and self._told_of_track:
            start, first = self._track.start_time, self._first  # no picture before the first can be decoded
            late_s = 0 if start is None or first is None else max(first - start, 0) * self._unit_s
            short_s = self.told_s - read_s - late_s
        if short_s <= max(SHORT_S, 2 * self._longest_s):
            short_s = 0.0
        else:
            lost = max(round(short_s / self._step_s), lost)
        self._hear()
        spoilt = self._complained or self._damaged or self._lost
        if spoilt and self._steady > STEADY * self.index:  # then a gap in the times is none of the film
            self._lost = max(self._lost, self._missing)
        return Reading(self.index + 1, self._lost + lost, self._damaged, read_s, read_s + short_s)

    def image(self, frame: VideoFrame, turn: Turn, sampling: Sampling) -> np.ndarray:
        """The frame, upright by `turn`, as (H, W, 3) uint8 in the order and size that `sampling` asks for."""
        try:
            image = self._scaled(frame, "bgr24" if sampling.bgr else "rgb24")
        except av.FFmpegError as error:
            self._refuse_out_of_memory(error)
            damaged = "a frame of it was decoded whose pixels cannot be converted; the clip is damaged"
            raise VideoError(f"{self.name}: {damaged}") from error
        turned, left_right, up_down = turn
        image = image.transpose(1, 0, 2) if turned else image
        image = np.ascontiguousarray(image[:: -1 if up_down else 1, :: -1 if left_right else 1])
        height, width = image.shape[:2]
        if sampling.max_side is not None and max(height, width) > sampling.max_side:
            scale = sampling.max_side / max(height, width)
            size, cv2 = (max(1, round(width * scale)), max(1, round(height * scale))), opencv()
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return image

    def _scaled(self, frame: VideoFrame, pixels: str) -> np.ndarray:
        """By the scaler that the program `ffmpeg` puts in, so with its colours, interlaced or not."""
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, pixels)
        if self._scaler is None or kind != self._scaler[0]:  # it may change in mid-file
            graph, one = av.filter.Graph(), Fraction(1)
            graph.threads = 1
            source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=one)
            nodes = graph.add("scale", "flags=bicubic"), graph.add("format", pixels), graph.add("buffersink")
            graph.link_nodes(source, *nodes).configure()
            self._scaler = kind, graph
        self._scaler[1].vpush(frame)
        return self._scaler[1].vpull().to_ndarray()

    def info(self, frame: VideoFrame) -> VideoInfo:
        width, height = (frame.height, frame.width) if self.turn[0] else (frame.width, frame.height)
        return VideoInfo(width, height, self.fps, self._duration_s if self._duration_s < math.inf else None)

    def _refuse_out_of_memory(self, error: Exception | None = None) -> None:
        """Decoders rarely say that memory was short. It was, if four frames more do not fit either."""
        if isinstance(error, MemoryError) or not _fits(max(4 * self._codec.width * self._codec.height * 3, 1 << 20)):
            raise MemoryError from error

    @property
    def _convert(self) -> str:
        return f"convert it, as with: ffmpeg -i {shlex.quote(self.name)} -c:v libx264 converted.mp4"

    def _why_unopened(self, file: io.FileIO) -> str:
        if _said("(moov atom not found)"):
            return "the file is cut off or was never finished, and its index is missing (moov atom not found)"
        said = _said(r"(.+)")
        pattern = r"Format (\S+) probed with size=\d+ and score=(?:2[6-9]|[3-9]\d|100)"  # where FFmpeg is sure
        kind = _aloud(file, av.logging.DEBUG, pattern, format_whitelist="none")
        if kind and kind not in CONTAINERS:
            return f"it has sound only, or is of a kind ({kind}) that is not opened here; {self._convert}"
        return "it is damaged, has sound only, or is of a kind that FFmpeg does not know" + (said and f" ({said})")

    def unreadable(self) -> VideoError:
        """Why there is no frame, as far as FFmpeg said."""
        self._refuse_out_of_memory()
        said = _said(r"(.+)")
        return self._unreadable("it has no frame that can be read" + (said and f" ({said})"))

    def _unreadable(self, why: str) -> VideoError:
        return VideoError(f"{self.name}: not a video that can be read; {why}")


def opencv() -> Any:
    """OpenCV on one thread, imported when pixels are computed with: a fifth of what the process needs for itself."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _orientation(frame: VideoFrame) -> Turn:
    """Its display matrix takes the point (x, y) to (a x + c y, b x + d y); a turn between two quarters is none."""
    try:
        side_data: Any = frame.side_data
    except ValueError:  # PyAV does not know a kind that the file has, such as EXIF; the angle it gives all the same
        angle = math.radians(-frame.rotation)
        a, b, c, d = math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)
    else:
        if SideDataType.DISPLAYMATRIX not in side_data:
            return UPRIGHT
        a, b, _, c, d = struct.unpack("=5i", bytes(side_data[SideDataType.DISPLAYMATRIX])[:20])
    turned = abs(b) > abs(a) and abs(c) > abs(d)
    return (True, c < 0, b < 0) if turned else (False, a < 0, d < 0)


def _pass_on_memory(error: Exception, size: int) -> None:
    """Some of FFmpeg's errors are a `MemoryError`, also that a length is damaged: no file has more than its `size`."""
    if isinstance(error, MemoryError) and not _fits(size):
        raise error


def _fits(size: int) -> bool:
    """Whether `size` bytes more can be had."""
    if os.name == "posix":
        try:
            mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError:
            return False
    return True


def _opened(file: io.FileIO, **options: str) -> Any:
    return av.open(file, "r", container_options=OPENING | options, metadata_errors="replace")


def _aloud(file: io.FileIO, level: int, pattern: str, **options: str) -> str:
    """Open the file once more, to find `pattern` in what FFmpeg says to itself meanwhile."""
    _forget_log()
    av.logging.set_libav_level(level)
    with contextlib.suppress(av.FFmpegError, ValueError, OSError):
        file.seek(0)
        _opened(file, **options).close()
    av.logging.set_libav_level(av.logging.ERROR)
    return _said(pattern)


def _within(value: Any, most: float) -> float | None:
    """`value` as a number, None if it is none that can be."""
    return float(value) if value and 0 < value <= most else None


def _refuse_text(file: io.FileIO, name: str) -> None:
    try:
        start = file.read(4096)
        file.seek(0)
    except OSError as error:
        raise VideoError(f"{name}: cannot be read ({error})") from None
    # FFmpeg would draw text as a picture, and follow a playlist to other files.
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    if utf16 or not (start.translate(None, delete=_TEXT) or start.startswith(b"YUV4MPEG2")):
        raise VideoError(f"{name}: this is a text file, not a video")


def log_to_stderr() -> None:
    """Let FFmpeg complain on stderr, which is a file of its own in the decoder process, and is read here. PyAV's own
    logging can lock up, when a thread of a decoder complains while the decoder is being closed."""
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)


def _forget_log() -> None:
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)


def _log() -> str:
    os.lseek(2, 0, os.SEEK_SET)
    text = os.read(2, 1 << 16).decode(errors="replace").strip()
    os.lseek(2, 0, os.SEEK_END)
    return text


def _said(pattern: str) -> str:
    """The first group of `pattern` in what FFmpeg wrote last that matches it; "" where nothing does."""
    found = (re.search(pattern, re.sub(r"^\[[^\]]*\] *", "", line)) for line in reversed(_log().splitlines()))
    return next((match[1] for match in found if match), "")
