"""Every kind of file that people have: right from the first row, in the colours that the program ffmpeg shows."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from test_video import quarters, replace_box, rotated, write_images

from cezsar.errors import VideoError
from cezsar.video import Decoder, Frame, Sampling

GREYS = [30, 80, 130, 180]  # of the drifting pictures, one for each second
FPS = 25
NO_FFMPEG = shutil.which("ffmpeg") is None


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as shared:
        yield shared


# Making videos


def pictures(width: int, height: int, seconds: int = len(GREYS)) -> Iterator[np.ndarray]:
    """(H, W, 3) RGB, FPS a second: a grey for each second, and around it moving stripes in colours."""
    wave = np.sin(np.arange(width + FPS * seconds) / 6) * 20
    for index in range(seconds * FPS):
        stripes = wave[index : index + width]
        colours = np.stack([stripes, -stripes, np.roll(stripes, 8)], axis=1)
        yield np.broadcast_to(np.uint8(GREYS[index // FPS] + colours), (height, width, 3)).copy()


def write(
    path: Path,
    codec: str,
    options: Mapping[str, str] = {},
    *,
    size: tuple[int, int] = (176, 144),
    pixels: str = "yuv420p",
    b_frames: int = 0,
    interlaced: bool = False,
    format: str | None = None,
    muxer: Mapping[str, str] = {},
) -> Path:
    """`pictures` in one track; of interlaced ones, the even lines come from one picture, the odd from the next."""
    with av.open(str(path), "w", format=format, options=dict(muxer)) as container:
        stream = container.add_stream(codec, FPS, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.max_b_frames = b_frames
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        before = None
        for index, image in enumerate(pictures(*size)):
            woven = image.copy()
            if interlaced and before is not None and index % FPS:
                woven[::2] = before[::2]
            before = image
            frame = av.VideoFrame.from_ndarray(woven).reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


FIELDS = {"x264-params": "tff=1:bframes=2"}
PAL = {"size": (720, 576), "interlaced": True}
KINDS: dict[str, dict] = {
    "h264.mp4": {"codec": "libx264"},
    "h264.qt": {"codec": "libx264", "format": "mov"},
    "h264.mkv": {"codec": "libx264"},
    "h264.flv": {"codec": "libx264"},
    "h264-b.avi": {"codec": "libx264", "b_frames": 2},
    "h264-b.ts": {"codec": "libx264", "b_frames": 3},
    "h264.h264": {"codec": "libx264", "b_frames": 2},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "hevc.hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg4-b.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4-b.ts": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4-b.mp4": {"codec": "mpeg4", "b_frames": 2},
    "mpeg2-b.mpg": {"codec": "mpeg2video", "b_frames": 2, "format": "mpeg"},
    "mpeg2-b.ts": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.m2v": {"codec": "mpeg2video", "b_frames": 2, "format": "mpeg2video"},
    "mpeg2.mxf": {"codec": "mpeg2video", "size": (352, 288)},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "10"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "wmv2.wmv": {"codec": "wmv2", "format": "asf"},
    "h263.3gp": {"codec": "h263", "options": {"b": "1M"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "dnxhd.mov": {
        "codec": "dnxhd",
        "pixels": "yuv422p",
        "options": {"profile": "dnxhr_lb"},
        "size": (256, 144),
    },
    "ffv1.mkv": {"codec": "ffv1"},
    "raw.avi": {"codec": "rawvideo", "pixels": "bgr24"},
    "avchd.mts": {"codec": "libx264", "options": FIELDS, "interlaced": True, "format": "mpegts"},
    "tv.mpg": {"codec": "mpeg2video", "interlaced": True, "b_frames": 2, "format": "mpeg"},
    "tape.dv": {"codec": "dvvideo", **PAL},
    "tape.avi": {"codec": "dvvideo", **PAL},
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where each kind is written once, when it is first asked for."""
    return tmp_path_factory.mktemp("kinds")


def kind_of(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).exists() else write(folder / name, **KINDS[name])


def greys(frames: list[Frame]) -> list[int]:
    return [round(float(frame.image.mean())) for frame in frames]


def near(found: list[int], expected: list[int], within: int = 4) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= within for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_second_k_is_the_picture_k_seconds_after_the_first(decoder: Decoder, kinds: Path, name: str) -> None:
    frames = list(decoder.frames(kind_of(kinds, name), Sampling()))
    assert near(greys(frames), GREYS), greys(frames)
    assert decoder.reading is not None
    assert (decoder.reading.pictures, decoder.reading.words) == (len(GREYS) * FPS, "")
    # A picture earlier than each change of grey, and at it, so that one too late or too early is seen.
    every = greys(list(decoder.frames(kind_of(kinds, name), Sampling(fps=FPS))))
    assert near(every, [GREYS[index // FPS] for index in range(len(GREYS) * FPS)], within=6), every


@pytest.mark.skipif(NO_FFMPEG, reason="compares with the program ffmpeg, which is not there")
@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_those_of_the_program_ffmpeg(decoder: Decoder, kinds: Path, name: str) -> None:
    path = kind_of(kinds, name)
    ours = np.stack([frame.image for frame in decoder.frames(path, Sampling(fps=FPS))])
    assert furthest(ours, by_ffmpeg(path, ours.shape[1:])) <= 1


def furthest(one: np.ndarray, other: np.ndarray) -> int:
    """The greatest difference of two bytes."""
    assert one.shape == other.shape
    return int((np.maximum(one, other) - np.minimum(one, other)).max())


def by_ffmpeg(path: Path, shape: tuple[int, ...], track: str = "0:v:0") -> np.ndarray:
    """(N, H, W, 3) uint8: all pictures as the program shows them."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", track, "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, *shape)


# Colours

COLOURS = {
    "bt709.mp4": ("libx264", "yuv420p", {"colorspace": "bt709", "qp": "4"}),
    "full-range.mp4": ("libx264", "yuvj420p", {"qp": "4"}),
    "ten-bit.mp4": ("libx265", "yuv420p10le", {"x265-params": "log-level=none:qp=4", "colorspace": "bt2020nc"}),
    "grey.mkv": ("ffv1", "gray", {}),
    "rgb.mov": ("png", "rgb24", {}),
    "alpha.mov": ("png", "rgba", {}),
    "422.mkv": ("ffv1", "yuv422p", {"colorspace": "bt709", "color_range": "pc"}),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours(decoder: Decoder, tmp_path: Path, name: str) -> None:
    codec, pixels, options = COLOURS[name]
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        for index in range(5):
            image = np.full((64, 96, 3), 146, np.uint8)
            image[:, 32:] = np.roll(cv2.resize(quarters()[..., ::-1], (64, 64)), 9 * index, axis=1)
            full = options.get("color_range") == "pc" or "j" in pixels
            frame = av.VideoFrame.from_ndarray(image)
            container.mux(stream.encode(frame.reformat(format=pixels, dst_color_range="JPEG" if full else None)))
        container.mux(stream.encode())
    image = next(decoder.frames(path, Sampling())).image
    assert abs(image[8:56, 8:24].astype(int) - 146).max() <= 3
    if not NO_FFMPEG:
        assert furthest(image, by_ffmpeg(path, image.shape)[0]) <= 1


def test_a_gif_that_redraws_a_part_and_clears_a_part(decoder: Decoder, tmp_path: Path) -> None:
    squares = []
    for at in (0, 10, 20):
        square = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        square.paste((200, 40, 40, 255), (at, 5, at + 10, 15))
        squares.append(square)
    path = tmp_path / "a.gif"
    squares[0].save(path, save_all=True, append_images=squares[1:], duration=1000, disposal=2, transparency=0)
    frames = list(decoder.frames(path, Sampling()))
    assert len(frames) == 3
    for frame, at in zip(frames, (0, 10, 20), strict=True):
        red = (abs(frame.image.astype(int) - (200, 40, 40)) < 10).all(axis=2)
        assert red[6:14, at + 1 : at + 9].all() and red.sum() == 100
    if not NO_FFMPEG:
        np.testing.assert_array_equal([frame.image for frame in frames], by_ffmpeg(path, (30, 40, 3))[:3])


@pytest.mark.parametrize("turn", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_mirrored_pictures(decoder: Decoder, tmp_path: Path, turn: tuple[int, int, int, int]) -> None:
    path = rotated(write_images(tmp_path / "clip.mp4", [quarters()] * 4), *turn)
    image, colours = next(decoder.frames(path, Sampling())).image.astype(int), quarters()[..., ::-1].astype(int)
    a, b, c, d = turn
    expected = colours.transpose(1, 0, 2) if b else colours
    expected = expected[:, ::-1] if a + c < 0 else expected
    expected = expected[::-1] if b + d < 0 else expected
    assert image.shape == expected.shape
    assert np.median(abs(image - expected)) < 12


# Tracks and times


def test_the_default_track_is_read(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        red, right = container.add_stream("libx264", FPS), container.add_stream("libx264", FPS)
        sound = container.add_stream("aac", 8000)
        for stream, size in ((red, (320, 240)), (right, (176, 144))):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        red.disposition, right.disposition = av.stream.Disposition(0), av.stream.Disposition.default
        for _ in range(2 * FPS):
            container.mux(red.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), (250, 0, 0), np.uint8))))
        for image in pictures(176, 144):
            container.mux(right.encode(av.VideoFrame.from_ndarray(image)))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 8000
        for index in range(60):  # 7.7 s, longer than the pictures
            silence.pts = 1024 * index
            container.mux(sound.encode(silence))
        for stream in (red, right, sound):
            container.mux(stream.encode())
    frames = list(decoder.frames(path, Sampling()))
    assert near(greys(frames), GREYS)
    assert decoder.reading is not None and decoder.reading.words == ""


def test_a_cover_picture_is_no_video(decoder: Decoder, tmp_path: Path) -> None:
    path, alone = tmp_path / "film.mp4", tmp_path / "song.m4a"
    for target, with_film in ((path, True), (alone, False)):
        with av.open(str(target), "w", format="mp4") as container:
            cover = container.add_stream("mjpeg", 1)
            cover.width, cover.height, cover.pix_fmt = 600, 600, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            film = container.add_stream("libx264", FPS) if with_film else None
            if film is not None:
                film.width, film.height, film.pix_fmt = 176, 144, "yuv420p"
            container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((600, 600, 3), 255, np.uint8))))
            container.mux(cover.encode())
            if film is not None:
                for image in pictures(176, 144):
                    container.mux(film.encode(av.VideoFrame.from_ndarray(image)))
                container.mux(film.encode())
    assert near(greys(list(decoder.frames(path, Sampling()))), GREYS)
    with pytest.raises(VideoError, match="sound only"):
        decoder.probe(alone)


def test_packed_bitstream(decoder: Decoder, tmp_path: Path) -> None:
    """DivX packs a B-frame behind the frame after it, and an empty one in its place, as in many clips of UCF-101."""
    plain, path = write(tmp_path / "plain.avi", "mpeg4", b_frames=1), tmp_path / "packed.avi"
    empty = b"\x00\x00\x01\xb6\x51"  # a P-frame whose bit "coded" is 0
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        coded = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        kind = [
            next(data[at + 4] >> 6 for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\xb6") for data in coded
        ]
        assert kind.count(2) > 20
        chunks: list[bytes] = []
        for data, of_kind in zip(coded, kind, strict=True):
            if of_kind == 2:  # B
                chunks[-1] += data
                chunks.append(empty)
            else:
                chunks.append(data)
        at = chunks[0].index(b"\0\0\1\xb6")
        chunks[0] = chunks[0][:at] + b"\0\0\1\xb2DivX503b1393p" + chunks[0][at:]
        for index, data in enumerate(chunks):
            packet = av.Packet(data)
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, FPS), stream
            packet.is_keyframe = index == 0
            target.mux(packet)
    frames = list(decoder.frames(path, Sampling(fps=FPS)))
    assert near(greys(frames), [GREYS[index // FPS] for index in range(len(GREYS) * FPS)], within=6), greys(frames)
    if not NO_FFMPEG:
        theirs = by_ffmpeg(path, frames[0].image.shape)
        assert furthest(np.stack([frame.image for frame in frames[: len(theirs)]]), theirs) <= 1


def test_tracks_that_begin_in_mid_file(decoder: Decoder, tmp_path: Path) -> None:
    """A receiver's recording over a change of programme."""
    film, path = write(tmp_path / "film.ts", "libx264", b_frames=2), tmp_path / "changed.ts"
    with av.open(str(tmp_path / "more.ts"), "w", options={"mpegts_start_pid": "512"}) as container:
        for _ in range(6):
            container.add_stream("aac", 8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate, silence.pts = 8000, 0
        for stream in container.streams:
            container.mux(stream.encode(silence))
            container.mux(stream.encode())
    path.write_bytes(film.read_bytes() + (tmp_path / "more.ts").read_bytes())
    for _ in range(5):
        assert near(greys(list(decoder.frames(path, Sampling()))), GREYS)


def test_an_edit_list_that_begins_later(decoder: Decoder, tmp_path: Path) -> None:
    data = write(tmp_path / "whole.mp4", "libx264", b_frames=2).read_bytes()
    at = data.index(b"elst") + 12  # after version and number of entries: duration, first time, speed
    duration, first = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (0, 4))
    later = (duration - 1000).to_bytes(4, "big") + (first + 512 * FPS).to_bytes(
        4, "big"
    )  # a second of the track's time
    path = tmp_path / "edited.mp4"
    path.write_bytes(replace_box(data, b"edts", data[at - 16 : at] + later + data[at + 8 : at + 12]))
    frames = list(decoder.frames(path, Sampling()))
    assert near(greys(frames), GREYS[1:]), greys(frames)
    assert decoder.reading is not None and decoder.reading.words == ""


def test_no_picture_of_the_clip_before(kinds: Path, tmp_path: Path) -> None:
    bright = write_images(tmp_path / "bright.avi", [np.full((144, 176, 3), (255, 0, 255), np.uint8)] * 30, 25, "MJPG")
    with Decoder() as own:
        for name in ("avchd.mts", "tv.mpg", "tape.dv", "h264-b.avi"):
            assert len(list(own.frames(bright, Sampling(fps=25)))) == 30
            for frame in own.frames(kind_of(kinds, name), Sampling(fps=5)):
                assert frame.image[..., 0].mean() < 200 and abs(np.diff(frame.image.mean(axis=(0, 1)))).max() < 30


# What is refused


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "why"),
    [
        ("a.avi", "zmbv", "bgr0", r"\(zmbv\)"),
        ("a.mkv", "snow", "yuv420p", r"\(snow\)"),
        ("a.nut", "mpeg4", "yuv420p", r"\(nut\)"),
    ],
)
def test_what_is_not_on_the_lists_is_named(
    decoder: Decoder, tmp_path: Path, name: str, codec: str, pixels: str, why: str
) -> None:
    path = write(tmp_path / name, codec, {"strict": "-2"}, pixels=pixels)
    for ask in (lambda: decoder.probe(path), lambda: list(decoder.frames(path, Sampling()))):
        with pytest.raises(VideoError, match=rf"{why}.* not opened here; convert it, as with: ffmpeg -i .*{name}"):
            ask()


def test_a_codec_that_nobody_knows_is_named(decoder: Decoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", "mjpeg", pixels="yuvj420p")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"Qx7Z"))
    with pytest.raises(VideoError, match=r"coded as none \(Qx7Z .* not opened here"):
        decoder.probe(path)


def test_a_playlist_that_does_not_look_like_text(decoder: Decoder, kinds: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{kind_of(kinds, 'h264.mp4')}\n#EXT-X-ENDLIST\n\0")
    with pytest.raises(VideoError, match="not a video that can be read"):
        decoder.probe(path)
