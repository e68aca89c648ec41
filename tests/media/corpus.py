"""Video files of every kind that people have, each written with known pictures at known times: one line a kind."""

import io
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from itertools import accumulate

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags
from av.stream import Disposition

FPS, COUNT = 25, 60
COLOURS = [(190, 60, 50), (60, 180, 70), (60, 70, 190), (190, 180, 60), *((grey,) * 3 for grey in (40, 100, 160, 220))]
NOISE = np.random.default_rng(0).integers(-12, 13, (576, 1024, 1))
MATRICES = {"": (5, ""), "601": (5, "smpte170m"), "709": (1, "bt709"), "2020": (9, "bt2020nc"), "240": (7, "smpte240m")}
QUALITY = {  # and that of others is 1 Mbit/s
    "libx264": {},
    "libx265": {"x265-params": "log-level=none:pools=1"},
    "libsvtav1": {"preset": "6", "crf": "10", "svtav1-params": "lp=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "1M"},
    "dnxhd": {"profile": "dnxhr_lb"},
}


@cache
def picture(index, size):
    """(H, W, 3) RGB in 4 x 4 cells: `index` in binary, four colours and four greys, under noise that drifts."""
    width, height = size
    bits = [(220,) * 3 if index >> bit & 1 else (30,) * 3 for bit in range(8)]
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    image = np.array(bits + COLOURS).reshape(4, 4, 3)[rows][:, columns]
    return np.uint8(image + NOISE[:height, 2 * index : 2 * index + width])


def grey(index, size):
    return np.repeat(picture(index, size).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def red(index, size):
    return np.full((size[1], size[0], 3), (250, 0, 0), np.uint8)


def woven(index, size):
    """Interlaced: the even lines come from the picture before."""
    image = picture(index, size).copy()
    image[::2] = picture(max(index - 1, 0), size)[::2]
    return image


def same(anything):
    return anything


@dataclass(frozen=True)
class Kind:
    """How a file is written, and what is right about it."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)  # of the encoder
    size: tuple[int, int] = (64, 64)
    b: int = 0  # frames of this sort in a row
    matrix: str = ""  # "" where the file does not say
    full: bool = False  # range
    draw: Callable = picture
    count: int = COUNT
    rate: Fraction | int = FPS
    ms: Sequence[int] | None = None  # when each picture appears, where that is not at an even rate
    format: str | None = None
    muxer: dict[str, str] = field(default_factory=dict)
    flags: int = 0  # of the encoder, turned over
    aspect: Fraction = Fraction(0)  # of a pixel, 0 where the file does not say
    turn: tuple[int, int, int, int] | None = None  # display matrix: the point (x, y) goes to (a x + c y, b x + d y)
    disposition: Disposition | None = None
    before: Sequence[Callable] = ()  # other tracks
    after: Sequence[Callable] = ()
    then: "Kind | None" = None  # how the track goes on
    packets: Callable = same  # what happens to them
    data: Callable = same  # what happens to the file

    order: Sequence[int] | None = None  # the pictures that come, where not all
    even: bool = False  # each follows the one before without a gap
    told_s: float | None = -1.0  # what the file says, None for nothing, -1 for the truth, NaN where FFmpeg guesses
    shown: Callable = same
    within: float = 12.0  # of 255
    unsure: Sequence[int] = ()  # pictures that may be damaged
    cut: bool = False  # pictures come as far as FFmpeg, called directly, gives them
    said: str = "^$"
    refused: str = ""

    def __len__(self):
        return self.count + (len(self.then) if self.then else 0)

    def starts_s(self, order):
        """When each of these pictures appears, counted from the first."""
        ms = self.ms or [1000 * index / Fraction(self.rate) for index in range(len(self))]
        if self.even:
            return [float(position / Fraction(self.rate)) for position in range(len(order))]
        return [float((ms[index] - ms[order[0]]) / 1000) for index in order]

    def seen(self, index):
        drawn = self if index < self.count else self.then
        return self.shown(drawn.draw(index, drawn.size))


def encoded(stream, kind, context=None, first=0):
    """Packets of the pictures from `first` on."""
    context = context or stream.codec_context
    context.width, context.height, context.pix_fmt = *kind.size, kind.pixels
    context.max_b_frames, context.thread_count = kind.b, 1
    context.time_base = 1 / Fraction(kind.rate) if kind.ms is None else Fraction(1, 1000)
    number, name = MATRICES[kind.matrix]
    tags = {"colorspace": name, "color_range": "pc" if kind.full else "tv"} if name else {}
    context.options = QUALITY.get(kind.codec, {"b": "1M"}) | tags | kind.options
    context.sample_aspect_ratio = kind.aspect
    context.flags ^= kind.flags | (Flags.interlaced_dct | Flags.interlaced_me) * (kind.draw is woven)
    for index in [*range(first, first + kind.count), None]:
        frame = None
        if index is not None:
            to = {"dst_colorspace": number, "dst_color_range": "JPEG" if kind.full else "MPEG"}
            to = to if "yuv" in kind.pixels else {}
            frame = av.VideoFrame.from_ndarray(kind.draw(index, kind.size)).reformat(format=kind.pixels, **to)
            frame.pts, frame.time_base = index if kind.ms is None else kind.ms[index], context.time_base
        for packet in context.encode(frame):
            packet.stream = stream
            yield packet


def write(path, kind):
    with av.open(str(path), "w", format=kind.format, container_options=kind.muxer) as container:
        packets = [packet for track in kind.before for packet in track(container)]
        stream = container.add_stream(kind.codec, kind.rate)
        if kind.disposition is not None:
            stream.disposition = kind.disposition
        if kind.turn:
            a, b, c, d = kind.turn
            stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        own = list(encoded(stream, kind))
        if kind.then:
            context = av.CodecContext.create(kind.then.codec, "w")
            context.framerate = kind.rate
            own += encoded(stream, kind.then, context, kind.count)
        for packet in kind.packets(own):
            packet.stream = stream
            packets.append(packet)
        container.mux(packets + [packet for track in kind.after for packet in track(container)])
    path.write_bytes(kind.data(path.read_bytes()))
    return path


def sound(container, codec="aac", seconds=3):
    track, packets = container.add_stream(codec, 8000), []
    sort = (np.float32, "fltp") if codec == "aac" else (np.int16, "s16")
    for index in range(seconds * 8000 // 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), sort[0]), sort[1], "mono")
        frame.rate, frame.pts = 8000, 1024 * index
        packets += track.encode(frame)
    return packets + track.encode()


def film(container, kind):
    track = container.add_stream(kind.codec, kind.rate)
    track.disposition = kind.disposition
    return encoded(track, kind)


def attachment(container):
    container.add_attachment("cover.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(99))
    return ()


def again(packet, data):
    other = av.Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.is_keyframe = packet.duration or 0, packet.is_keyframe
    return other


def with_(index, change):
    def spoil(packets):
        return [*packets[:index], again(packets[index], change(bytes(packets[index]))), *packets[index + 1 :]]

    return spoil


def flipped(data):
    """Bytes in the middle are not what they were."""
    at = len(data) // 2
    return data[:at] + bytes(byte ^ 0xA5 for byte in data[at : at + 30]) + data[at + 30 :]


def without(*indices):
    return lambda packets: [packet for index, packet in enumerate(packets) if index not in indices]


def metadata(text):
    """H.264's own words about the picture."""

    def filtered(packets):
        bits = BitStreamFilterContext(f"h264_metadata={text}", in_stream="h264")
        return [packet for given in [*packets, None] for packet in bits.filter(given)]

    return filtered


def packed(packets):
    """DivX packs a B-frame behind the frame after it, and an empty one in its place, as in many clips of UCF-101."""
    chunks = []
    for data in map(bytes, packets):
        if data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2:  # B
            chunks[-1] += data
            chunks.append(b"\x00\x00\x01\xb6\x51")  # a P-frame whose bit "coded" is 0
        else:
            chunks.append(data)
    at = chunks[0].index(b"\0\0\1\xb6")
    chunks[0] = chunks[0][:at] + b"\0\0\1\xb2DivX503b1393p" + chunks[0][at:]
    packets = [again(packet, data) for packet, data in zip(packets, chunks, strict=True)]
    for index, packet in enumerate(packets):
        packet.pts = packet.dts = index
    return packets


def spoilt(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def unfinished(data):
    """An AVI whose writer never came back: no index, no length of file and film."""
    data = data[: data.rindex(b"idx1")]
    return spoilt(spoilt(data, 4, bytes(4)), data.index(b"avih") + 24, bytes(4))


def wild(data):
    """One flipped bit in the time of an FLV's 20th tag."""
    at = 13  # after the file's header, tags: type, size, time in milliseconds (low 3 bytes, high byte), stream
    for _ in range(20):
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return spoilt(data, at + 4, bytes([data[at + 4] | 0x80]))  # 2 h 20 min


def tracks_later(data):
    """Six tracks of sound that begin in mid-file."""
    more = io.BytesIO()
    with av.open(more, "w", format="mpegts", options={"mpegts_start_pid": "512"}) as container:
        for stream in [container.add_stream("aac", 8000) for _ in range(6)]:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate = 8000
            container.mux(stream.encode(frame) + stream.encode())
    return data + more.getvalue()


def edited(*entries):
    """The file's edit list, which has as many entries, becomes this: duration in ms, from when in ms."""

    def edit(data):
        at, unit = data.index(b"elst") + 12, int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
        first = int.from_bytes(data[at + 12 * len(entries) - 8 :][:4], "big")
        rows = [struct.pack(">III", ms, first + from_ms * unit // 1000, 65536) for ms, from_ms in entries]
        return spoilt(data, at, b"".join(rows))

    return edit


NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
NTSC_MS = [round(index * 1001 / 30) for index in range(COUNT)]
UNEVEN = [0, *accumulate([40, 40, 120, 10, 250, 33, 34, 33, 500, 1, 2, 80] * 5)][:COUNT]
JITTER = [50 * index - 10 * (index % 2) for index in range(COUNT)]
LONGER = [0, *accumulate(round(4.6 * 1.12**index) for index in range(COUNT - 1))]
FROM_5_S, FROM_MINUS = range(5000, 5000 + 40 * COUNT, 40), range(-400, -400 + 40 * COUNT, 40)
HOLD, LEAP = [0, 40, 80, *range(20_000, 20_400, 40)], [40 * index + 3_600_000 * (index >= 30) for index in range(COUNT)]
FINE, SHORT_GOP, OPEN = {"qp": "4"}, {"g": "10"}, {"x264-params": "open-gop=1:keyint=12:b-adapt=0"}
HIDDEN = {"deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "10"}
JPEG = {"codec": "mjpeg", "pixels": "yuvj420p", "full": True}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
DV = {"codec": "dvvideo", "size": (720, 576), "count": 6}
RED = Kind(size=(128, 96), draw=red, disposition=Disposition(0))
red_film, long_sound = partial(film, kind=RED), partial(sound, seconds=8)
COVER = Kind(**JPEG, size=(128, 96), draw=red, count=1, rate=1, disposition=Disposition.attached_pic)
TOLD = "damaged|could be read"
SPOILT = {"options": SHORT_GOP, "packets": with_(32, flipped), "unsure": range(32, 40)}
ONE = {"packets": with_(32, flipped), "unsure": [32], "said": ""}
ZEROS = {
    "options": SHORT_GOP,
    "data": lambda data: spoilt(data, len(data) // 376 * 188, bytes(1880)),
    "unsure": range(20, 50),
}
HOLE = {"options": SHORT_GOP, "unsure": range(15, 55), "said": r"3\d of 60 pictures could be read"}
HOLE |= {"data": lambda data: spoilt(data, len(data) * 4 // 10, bytes(len(data) * 4 // 10))}
CUT = {
    "data": lambda data: data[: len(data) * 6 // 10],
    "cut": True,
    "said": r"off: 1\.\d of 2\.4 s could be read, \d+ of (59|60|61) ",
}
CUT_UNSAID = CUT | {"said": "", "told_s": math.nan}
MIDDLE = {"data": lambda data: data[len(data) // 752 * 188 + 77 :], "told_s": math.nan}
TWO_EDITS = {"ms": FROM_5_S, "even": True}  # of which the first is to wait
TWICE = {"data": lambda data: data * 2, "order": [*range(COUNT)] * 2, "even": True, "told_s": 2.4}
JUNK = np.random.default_rng(5).bytes(3000)
JUNK_BEFORE, JUNK_AFTER = {"data": lambda data: JUNK + data}, {"data": lambda data: data + JUNK}
KINDS = {
    "h264.mp4": Kind(),
    "h264.mov": Kind(b=2),
    "h264.mkv": Kind(b=2),
    "h264.flv": Kind(),
    "h264.avi": Kind(b=2),
    "h264.ts": Kind(b=3),
    "h264.m2ts": Kind(b=2, format="mpegts", muxer={"mpegts_m2ts_mode": "1"}),
    "h264.h264": Kind(told_s=None),
    "hevc.mp4": Kind("libx265"),
    "hevc.mkv": Kind("libx265", b=3),
    "hevc.ts": Kind("libx265", b=3),
    "hevc.hevc": Kind("libx265", b=3, told_s=None),
    "av1.mp4": Kind("libsvtav1"),
    "av1.webm": Kind("libsvtav1"),
    "av1.obu": Kind("libsvtav1", told_s=None),
    "vp8.webm": Kind("libvpx"),
    "vp8-hidden.webm": Kind("libvpx", options=HIDDEN),
    "vp9.webm": Kind("libvpx-vp9"),
    "vp9-hidden.mp4": Kind("libvpx-vp9", options=HIDDEN),
    "mpeg4.avi": Kind("mpeg4", b=2),
    "mpeg4-packed.avi": Kind("mpeg4", b=1, packets=packed),
    "mpeg4-quarter-pixels.avi": Kind("mpeg4", b=2, flags=Flags.qpel),
    "mpeg4.m4v": Kind("mpeg4", b=2),
    "mpeg2.mpg": Kind("mpeg2video", b=2, format="mpeg"),
    "mpeg2.ts": Kind("mpeg2video", b=2),
    "mpeg2.mkv": Kind("mpeg2video", b=2),
    "mpeg2.mxf": Kind("mpeg2video", b=2),
    "mpeg2.m2v": Kind("mpeg2video", b=2, told_s=None),
    "mpeg2-422.mov": Kind("mpeg2video", "yuv422p"),
    "mpeg1.mpg": Kind("mpeg1video", b=2),
    "mpeg1.m1v": Kind("mpeg1video", told_s=None),
    "mpeg1.avi": Kind("mpeg1video"),
    "mpeg1.mkv": Kind("mpeg1video"),
    "wmv2.wmv": Kind("wmv2", format="asf"),
    "msmpeg4.avi": Kind("msmpeg4"),
    "msmpeg4v2.avi": Kind("msmpeg4v2"),
    "h263.3gp": Kind("h263", size=(128, 96)),
    "h263+.avi": Kind("h263p"),
    "sorenson.flv": Kind("flv"),
    "mjpeg.avi": Kind(**JPEG),
    "mjpeg.mov": Kind("mjpeg", "yuvj422p", full=True),
    "mjpeg.mjpeg": Kind(**JPEG, told_s=None),
    "prores.mov": Kind("prores_ks", "yuv422p10le"),
    "dnxhr.mov": Kind("dnxhd", "yuv422p", size=(256, 128), matrix="709"),
    "cineform.mov": Kind("cfhd", "yuv422p10le"),
    "jpeg2000.mxf": Kind("jpeg2000"),
    "cinepak.mov": Kind("cinepak", "rgb24", size=(32, 32)),
    "svq1.mov": Kind("svq1", "yuv410p"),
    "msvideo1.avi": Kind("msvideo1", "rgb555le"),
    "qtrle.mov": Kind("qtrle", "argb"),
    "huffyuv.avi": Kind("huffyuv", "yuv422p"),
    "ffvhuff.avi": Kind("ffvhuff"),
    "utvideo.avi": Kind("utvideo", "gbrp"),
    "v210.mov": Kind("v210", "yuv422p10le"),
    "raw-bgr.avi": Kind("rawvideo", "bgr24"),
    "raw-yuyv.avi": Kind("rawvideo", "yuyv422"),
    "raw.y4m": Kind("rawvideo"),
    "png.mov": Kind("png", "rgb24"),
    "animation.apng": Kind("apng", "rgb24", told_s=None),
    "animation.gif": Kind("gif", "rgb8", within=20),
    "animation.webp": Kind("libwebp_anim", refused="no frame"),
    "snow.mkv": Kind("snow", options={"strict": "-2"}, refused=r"\(snow\).* not opened here; convert it"),
    "zmbv.avi": Kind("zmbv", "bgr0", refused=r"\(zmbv\).* not opened here; convert it, as with: ffmpeg"),
    "mpeg4.nut": Kind("mpeg4", refused=r"\(nut\).* not opened here; convert it"),
    "unknown.avi": Kind(
        **JPEG, data=lambda data: data.replace(b"MJPG", b"Qx7Z"), refused=r"as none \(Qx7Z .* not opened"
    ),
    # Pixels
    "h264-10.mp4": Kind(pixels="yuv420p10le"),
    "h264-444.mp4": Kind(pixels="yuv444p"),
    "h264-rgb.mkv": Kind("libx264rgb", "rgb24"),
    "h264-lossless.mkv": Kind(options={"qp": "0"}),
    "hevc-12.mkv": Kind("libx265", "yuv420p12le"),
    "hevc-rgb.mp4": Kind("libx265", "gbrp"),
    "av1-10.mkv": Kind("libsvtav1", "yuv420p10le"),
    "vp9-440.webm": Kind("libvpx-vp9", "yuv440p"),
    "vp9-alpha.webm": Kind("libvpx-vp9", "yuva420p"),
    "prores-alpha.mov": Kind("prores_ks", "yuva444p10le"),
    "png-alpha.mov": Kind("png", "rgba"),
    "ffv1-16.mkv": Kind("ffv1", "yuv444p16le", within=3),
    "ffv1-411.mkv": Kind("ffv1", "yuv411p"),
    "ffv1-grey.mkv": Kind("ffv1", "gray", draw=grey, within=2),
    "ffv1-grey-16.mkv": Kind("ffv1", "gray16le", draw=grey, within=2),
    # Colours
    "bt601.mp4": Kind(options=FINE, matrix="601", within=6),
    "bt709.mp4": Kind(options=FINE, matrix="709", within=6),
    "bt709-full.mp4": Kind(options=FINE, matrix="709", full=True, within=6),
    "bt709-full.mkv": Kind("ffv1", "yuv422p", matrix="709", full=True, within=6),
    "bt2020.mp4": Kind("libx265", "yuv420p10le", matrix="2020"),
    "bt2020-full.webm": Kind("libvpx-vp9", matrix="2020", full=True),
    "smpte240.ts": Kind(options=FINE, matrix="240", within=6),
    "yuvj.mp4": Kind(pixels="yuvj420p", options=FINE, full=True, within=6),
    # Interlaced
    "avchd.mts": Kind(options={"x264-params": "tff=1:bframes=2"}, b=2, draw=woven, format="mpegts"),
    "bottom-first.mp4": Kind(options={"x264-params": "bff=1"}, draw=woven),
    "tv.mpg": Kind("mpeg2video", b=2, draw=woven, format="mpeg"),
    "tv.mxf": Kind("mpeg2video", "yuv422p", draw=woven, size=(256, 128)),
    "tape.dv": Kind(**DV, draw=woven),
    "tape-ntsc.avi": Kind("dvvideo", "yuv411p", size=(720, 480), draw=woven, count=6, rate=NTSC),
    "prores-fields.mov": Kind("prores_ks", "yuv422p10le", draw=woven),
    # Sizes
    "odd.mkv": Kind("ffv1", size=(67, 51)),
    "odd.mp4": Kind(pixels="yuv444p", size=(67, 51), within=16),
    "odd.avi": Kind("mpeg4", size=(67, 51), within=16),
    "odd-raw.avi": Kind("rawvideo", "bgr24", size=(67, 51)),
    "cropped.mp4": Kind(size=(66, 50), within=16),
    "cropped-again.ts": Kind(packets=metadata("crop_top=8"), shown=lambda image: image[8:], within=16),
    "wide.mp4": Kind(size=(256, 32), within=16),
    "tall.mp4": Kind(size=(32, 256), within=16),
    "tiny.avi": Kind("mpeg4", size=(16, 16), within=35),
    "oblong.mp4": Kind(aspect=Fraction(16, 11)),  # pixels are not square: the picture as it is coded
    # Turned: the picture as the display matrix puts it
    "turned-90.mp4": Kind(turn=(0, 1, -1, 0), size=(96, 64), shown=lambda image: np.rot90(image, -1)),
    "turned-180.mov": Kind(turn=(-1, 0, 0, -1), size=(96, 64), shown=lambda image: np.rot90(image, 2)),
    "turned-270.mp4": Kind(turn=(0, -1, 1, 0), size=(96, 64), shown=np.rot90),
    "mirrored.mp4": Kind(turn=(-1, 0, 0, 1), size=(96, 64), shown=np.fliplr),
    "upside-down.mp4": Kind(turn=(1, 0, 0, -1), size=(96, 64), shown=np.flipud),
    "transposed.mp4": Kind(turn=(0, 1, 1, 0), size=(96, 64), shown=lambda image: image.transpose(1, 0, 2)),
    "transversed.mp4": Kind(turn=(0, -1, -1, 0), size=(96, 64), shown=lambda image: np.fliplr(np.rot90(image))),
    "turned-90.mkv": Kind(turn=(0, 1, -1, 0), size=(96, 64), shown=lambda image: np.rot90(image, -1)),
    "turned-inside.ts": Kind(packets=metadata("display_orientation=insert:rotate=90"), size=(96, 64), shown=np.rot90),
    # Rates
    "29.97.mp4": Kind(rate=NTSC),
    "29.97.ts": Kind(rate=NTSC),
    "29.97.avi": Kind("mpeg4", rate=NTSC),
    "29.97.mkv": Kind(rate=NTSC, ms=NTSC_MS),
    "29.97.flv": Kind("flv", rate=NTSC, ms=NTSC_MS),
    "23.976.mov": Kind("prores_ks", "yuv422p10le", rate=FILM),
    "60.mp4": Kind(rate=60),
    "240.mp4": Kind(rate=240),
    "0.5.mkv": Kind(rate=Fraction(1, 2), count=3),
    "uneven.mp4": Kind(ms=UNEVEN, b=2),
    "uneven.mkv": Kind(ms=UNEVEN, b=2),
    "uneven.flv": Kind(ms=UNEVEN),
    "uneven.wmv": Kind("wmv2", ms=UNEVEN, format="asf"),
    "jitter.mp4": Kind(ms=JITTER),
    "jitter.ts": Kind(ms=JITTER, b=2),
    "longer.mp4": Kind(ms=LONGER),
    "skipped.avi": Kind("mpeg4", ms=[40 * index for index in range(150) if index % 7 not in (2, 3, 5)][:COUNT]),
    "hold.mp4": Kind(ms=HOLD, count=len(HOLD)),
    "leap.ts": Kind(ms=LEAP, even=True, told_s=math.nan),
    "wild.flv": Kind("flv", data=wild, told_s=math.nan),
    # Starts and ends
    "late.ts": Kind(muxer={"output_ts_offset": "100"}),
    "late.mkv": Kind(ms=FROM_5_S, b=2),
    "late.mp4": Kind(ms=FROM_5_S, b=2),
    "late.flv": Kind(ms=FROM_5_S),
    "before-zero.ts": Kind(ms=FROM_MINUS, muxer={"avoid_negative_ts": "disabled"}),
    "before-zero.mkv": Kind(ms=FROM_MINUS, muxer={"avoid_negative_ts": "disabled"}, told_s=2),
    "before-zero.mp4": Kind(ms=FROM_MINUS, muxer={"avoid_negative_ts": "disabled"}, order=range(10, 60)),
    "counter-wraps.ts": Kind(b=2, muxer={"output_ts_offset": str(2**33 / 90000 - 1)}),
    "edited-start.mp4": Kind(b=2, data=edited((1400, 1000)), order=range(25, 60)),
    "edited-end.mp4": Kind(b=2, data=edited((1000, 0)), order=range(25)),
    "edited-middle.mp4": Kind(**TWO_EDITS, data=edited((1000, 0), (400, 2000)), order=[*range(25), *range(50, 60)]),
    "edited-again.mp4": Kind(**TWO_EDITS, b=2, data=edited((1000, 400), (1000, 400)), order=[*range(10, 35)] * 2),
    "live.mkv": Kind(b=2, muxer={"live": "1"}, told_s=None),
    "live.flv": Kind(muxer={"flvflags": "no_duration_filesize"}, told_s=2.36),
    "fragments.mp4": Kind(b=2, options=SHORT_GOP, muxer=FRAGMENTS),
    "index-first.mp4": Kind(b=2, muxer={"movflags": "faststart"}),
    "one.mp4": Kind(count=1),
    "one.webm": Kind("libvpx", count=1),
    "one.ts": Kind(count=1),
    "two.mp4": Kind(count=2, b=2),
    "two.mpg": Kind("mpeg2video", count=2, format="mpeg"),
    # How pictures depend on each other
    "pyramid.mp4": Kind(b=8, options={"x264-params": "b-pyramid=normal:ref=6:b-adapt=0"}),
    "open-groups.mp4": Kind(b=3, options=OPEN),
    "open-groups.mkv": Kind("libx265", b=3, options={"x265-params": "log-level=none:pools=1:open-gop=1:keyint=12"}),
    "no-key-but-one.mp4": Kind(options={"x264-params": "intra-refresh=1:keyint=12"}),
    "long-group.mp4": Kind(count=150, options={"g": "1000"}),
    "slices.mp4": Kind(options={"slices": "4"}),
    # Tracks
    "sound.mp4": Kind(b=2, after=[sound]),
    "sound.mkv": Kind(b=2, before=[sound]),
    "sound.avi": Kind("mpeg4", before=[partial(sound, codec="pcm_s16le")]),
    "sound-first.ts": Kind(b=2, before=[sound], ms=FROM_5_S),
    "sound-longer.mp4": Kind(b=2, after=[long_sound]),
    "sound-longer.mkv": Kind(b=2, after=[long_sound]),
    "sound-later.ts": Kind(b=2, data=tracks_later),
    "second-default.mp4": Kind(disposition=Disposition.default, before=[red_film], after=[long_sound]),
    "first-default.mp4": Kind(disposition=Disposition.default, after=[red_film]),
    "cover.mp4": Kind(before=[partial(film, kind=COVER)]),
    "cover.mkv": Kind(after=[attachment]),
    "cover-alone.m4a": Kind(**JPEG, disposition=Disposition.attached_pic, count=1, format="mp4", refused="sound only"),
    # What changes in mid-file
    "grows.ts": Kind(count=30, b=2, then=Kind(count=30, b=2, size=(128, 96))),
    "grows.h264": Kind(count=30, then=Kind(count=30, size=(128, 96)), told_s=None),
    "grows.mp4": Kind(count=30, flags=Flags.global_header, then=Kind(count=30, size=(128, 96))),
    "grows.avi": Kind(**JPEG, count=30, then=Kind(**JPEG, count=30, size=(128, 96))),
    "shrinks.webm": Kind("libvpx-vp9", count=30, size=(128, 96), then=Kind("libvpx-vp9", count=30)),
    "shrinks.ivf": Kind("libvpx", count=30, size=(128, 96), then=Kind("libvpx", count=30)),
    "finer.ts": Kind(count=30, then=Kind(pixels="yuv444p", count=30)),
    "deeper.ts": Kind("libx265", count=30, then=Kind("libx265", "yuv420p10le", count=30)),
    "other-colours.ts": Kind(count=30, matrix="601", then=Kind(count=30, matrix="709", full=True)),
    "interlaced-later.ts": Kind("mpeg2video", count=30, then=Kind("mpeg2video", count=30, draw=woven)),
    # Damage: bytes, spans, pictures, indexes, ends
    "bytes.mp4": Kind(**SPOILT, said=TOLD),
    "bytes.ts": Kind(**SPOILT, said=TOLD),
    "bytes-mpeg4.avi": Kind("mpeg4", **SPOILT, said=TOLD),
    "bytes.mpg": Kind("mpeg2video", **SPOILT, format="mpeg", said=""),
    "bytes.webm": Kind("libvpx", **SPOILT, said=""),
    "bytes-vp9.webm": Kind("libvpx-vp9", **SPOILT, said=""),
    "bytes-of-first.mp4": Kind(options=SHORT_GOP, packets=with_(0, flipped), unsure=range(10), said=TOLD),
    "bytes-jpeg.avi": Kind(**JPEG, **ONE),
    "bytes-prores.mov": Kind("prores_ks", "yuv422p10le", **ONE),
    "half-picture.mp4": Kind(**SPOILT | {"packets": with_(32, lambda data: data[: len(data) // 2])}, said=TOLD),
    "zeros.mp4": Kind(**ZEROS, said=TOLD),
    "zeros.mkv": Kind(**ZEROS, said=""),
    "zeros.ts": Kind(**ZEROS, said=""),
    "hole.mp4": Kind(muxer={"movflags": "faststart"}, **HOLE),
    "hole-av1.mp4": Kind("libsvtav1", muxer={"movflags": "faststart"}, **HOLE),
    "hole.webm": Kind("libvpx", **HOLE),
    "hole.ts": Kind(**HOLE),
    "hole.mpg": Kind("mpeg2video", format="mpeg", **HOLE),
    "hole.wmv": Kind("wmv2", format="asf", **HOLE),
    "lost.mkv": Kind(**JPEG, packets=without(32, 33), order=[*range(32), *range(34, 60)]),
    "lost-key.ts": Kind(options=SHORT_GOP, packets=without(0), order=range(10, 60), told_s=2.36),
    "lost-end.mp4": Kind(packets=without(58, 59), order=range(58)),
    "no-index.avi": Kind("mpeg4", data=lambda data: data[: data.rindex(b"idx1")]),
    "no-index.mp4": Kind(data=lambda data: data[: data.rindex(b"moov") - 4], refused="cut off or was never finished"),
    "unfinished.avi": Kind("mpeg4", data=unfinished),
    "unfinished.mkv": Kind(muxer={"live": "1"}, **CUT | {"told_s": None, "said": ""}),
    "unfinished.mp4": Kind(muxer=FRAGMENTS, options=SHORT_GOP, **CUT_UNSAID),
    "cut.mp4": Kind(muxer={"movflags": "faststart"}, **CUT),
    "cut.mkv": Kind(**CUT),
    "cut-sound.mkv": Kind(before=[sound], **CUT),
    "cut.webm": Kind("libvpx", **CUT),
    "cut.avi": Kind("mpeg4", **CUT),
    "cut.flv": Kind("flv", **CUT),
    "cut.mxf": Kind("mpeg2video", **CUT),
    "cut.ts": Kind(**CUT_UNSAID),
    "cut.mpg": Kind("mpeg2video", format="mpeg", **CUT_UNSAID),
    "middle.ts": Kind(b=2, options={"g": "20"}, **MIDDLE, order=range(20, 60)),
    "middle-of-open.ts": Kind(b=3, options=OPEN, **MIDDLE, order=range(24, 60)),
    "middle.h264": Kind(b=2, options={"g": "20"}, **MIDDLE, order=range(20, 60)),
    "junk-before.h264": Kind(**JUNK_BEFORE, told_s=None),
    "junk-before.mpg": Kind("mpeg2video", format="mpeg", **JUNK_BEFORE),
    "junk-before.mp4": Kind(**JUNK_BEFORE, refused="damaged"),
    "junk-after.mp4": Kind(**JUNK_AFTER),
    "junk-after.mkv": Kind(**JUNK_AFTER),
    "junk-after.ivf": Kind("libvpx", **JUNK_AFTER, said="60 of 61"),
    "twice.ts": Kind(**TWICE),
    "twice.mpg": Kind("mpeg2video", format="mpeg", **TWICE),
    "twice.mkv": Kind(**TWICE),
}
