"""Every kind of file that people have: right from the first row, in the colours that the program ffmpeg shows; and
whatever else the file is, the answer is what can be read of it or a VideoError that names it."""

import os
import shutil
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from test_video import LINUX, first_image, first_only, indices, replace_box, write_images, write_numbered

from cezsar.errors import VideoError
from cezsar.video import Decoder, Limits, Reading, Sampling

GREYS = [30, 80, 130, 180]  # of the drifting pictures, one for each second
FPS = 25
NO_FFMPEG = shutil.which("ffmpeg") is None


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("video") / "good.mp4")


def pictures(width, height):
    """(H, W, 3) RGB, FPS a second: a grey for each second, and around it moving stripes in colours."""
    stripes = np.sin(np.arange(width + FPS * len(GREYS)) / 6) * 20
    for index in range(len(GREYS) * FPS):
        seen = stripes[index : index + width]
        colours = np.stack([seen, -seen, np.roll(seen, 8)], axis=1)
        yield np.broadcast_to(np.uint8(GREYS[index // FPS] + colours), (height, width, 3)).copy()


def picture_track(container, codec, size, pixels="yuv420p", b_frames=0, fps=FPS, **options):
    stream = container.add_stream(codec, fps, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, pixels
    stream.codec_context.max_b_frames = b_frames
    return stream


def show(container, stream, images, fps=FPS, full_range=False):
    for index, image in enumerate(images):
        to = {"dst_color_range": "JPEG"} if full_range else {}
        frame = av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt, **to)
        frame.pts, frame.time_base = index, Fraction(1, fps)
        container.mux(stream.encode(frame))


def silence(container, track, count=1):
    for index in range(count):
        made = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        made.rate, made.pts = 8000, 1024 * index
        container.mux(track.encode(made))


def woven(images):
    """Interlaced: the even lines come from one picture, the odd from the next."""
    before = None
    for index, image in enumerate(images):
        both = image.copy()
        if before is not None and index % FPS:
            both[::2] = before[::2]
        before = image
        yield both


def write(path, codec, size=(176, 144), pixels="yuv420p", interlaced=False, format=None, full_range=False, **more):
    with av.open(str(path), "w", format=format) as container:
        stream = picture_track(container, codec, size, pixels, **more)
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
        images = pictures(*size)
        show(container, stream, woven(images) if interlaced else images, full_range=full_range)
        container.mux(stream.encode())
    return path


QUIET = {"x265-params": "log-level=none"}
PAL = {"size": (720, 576), "interlaced": True}
KINDS = {
    "h264.mp4": {"codec": "libx264"},
    "h264.mkv": {"codec": "libx264"},
    "h264.flv": {"codec": "libx264"},
    "h264-b.avi": {"codec": "libx264", "b_frames": 2},
    "h264-b.ts": {"codec": "libx264", "b_frames": 3},
    "h264.h264": {"codec": "libx264", "b_frames": 2},
    "hevc.mp4": {"codec": "libx265", **QUIET},
    "mpeg4-b.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg2-b.mpg": {"codec": "mpeg2video", "b_frames": 2, "format": "mpeg"},
    "mpeg2-b.ts": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.mxf": {"codec": "mpeg2video", "size": (352, 288)},
    "av1.mp4": {"codec": "libsvtav1", "preset": "10"},
    "vp8.webm": {"codec": "libvpx", "deadline": "realtime"},
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8"},
    "wmv2.wmv": {"codec": "wmv2", "format": "asf"},
    "h263.3gp": {"codec": "h263", "b": "1M"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "dnxhd.mov": {"codec": "dnxhd", "pixels": "yuv422p", "profile": "dnxhr_lb", "size": (256, 144)},
    "ffv1.mkv": {"codec": "ffv1"},
    "raw.avi": {"codec": "rawvideo", "pixels": "bgr24"},
    "avchd.mts": {"codec": "libx264", "x264-params": "tff=1:bframes=2", "interlaced": True, "format": "mpegts"},
    "tv.mpg": {"codec": "mpeg2video", "interlaced": True, "b_frames": 2, "format": "mpeg"},
    "tape.dv": {"codec": "dvvideo", **PAL},
    "bt709.mp4": {"codec": "libx264", "colorspace": "bt709", "qp": "4"},
    "full-range.mp4": {"codec": "libx264", "pixels": "yuvj420p", "full_range": True, "qp": "4"},
    "ten-bit.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "colorspace": "bt2020nc", **QUIET},
    "grey.mkv": {"codec": "ffv1", "pixels": "gray"},
    "alpha.mov": {"codec": "png", "pixels": "rgba"},
    "422.mkv": {"codec": "ffv1", "pixels": "yuv422p", "full_range": True, "colorspace": "bt709", "color_range": "pc"},
}  # fmt: skip


@pytest.fixture(scope="module")
def kind_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return lambda name: folder / name if (folder / name).exists() else write(folder / name, **KINDS[name])


def near(frames, expected, within=4):
    found = [round(float(frame.image.mean())) for frame in frames]
    return len(found) == len(expected) and all(abs(a - b) <= within for a, b in zip(found, expected, strict=True))


def furthest(ours, path):
    """The greatest difference of two bytes from the pictures that the program ffmpeg shows; 0 where it is missing."""
    if NO_FFMPEG:
        return 0
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    theirs = np.frombuffer(raw.stdout, np.uint8).reshape(-1, *ours.shape[1:])[: len(ours)]
    assert len(theirs) >= len(ours) - 1
    return int(np.abs(ours[: len(theirs)].astype(int) - theirs).max())


@pytest.mark.parametrize("name", KINDS)
def test_second_k_is_the_picture_k_seconds_after_the_first_as_ffmpeg_shows_it(decoder, kind_of, name):
    path = kind_of(name)
    assert near(list(decoder.frames(path, Sampling())), GREYS)
    assert (decoder.reading.pictures, decoder.reading.words) == (len(GREYS) * FPS, "")
    # A picture earlier than each change of grey, and at it, so that one too late or too early is seen.
    every = list(decoder.frames(path, Sampling(fps=FPS)))
    assert near(every, np.repeat(GREYS, FPS), within=6)
    assert furthest(np.stack([frame.image for frame in every]), path) <= 1


def test_the_default_track_is_read_and_never_a_cover_picture(decoder, tmp_path):
    with av.open(str(tmp_path / "two.mp4"), "w") as container:
        red, right = (picture_track(container, "libx264", size) for size in ((320, 240), (176, 144)))
        sound = container.add_stream("aac", 8000)
        red.disposition, right.disposition = av.stream.Disposition(0), av.stream.Disposition.default
        show(container, red, [np.full((240, 320, 3), (250, 0, 0), np.uint8)] * 2 * FPS)
        show(container, right, pictures(176, 144))
        silence(container, sound, 60)  # 7.7 s, longer than the pictures
        for stream in (red, right, sound):
            container.mux(stream.encode())
    for name in ("film.mp4", "song.m4a"):
        with av.open(str(tmp_path / name), "w", format="mp4") as container:
            cover = picture_track(container, "mjpeg", (600, 600), "yuvj420p", fps=1)
            cover.disposition = av.stream.Disposition.attached_pic
            film = picture_track(container, "libx264", (176, 144)) if name == "film.mp4" else None
            show(container, cover, [np.full((600, 600, 3), 255, np.uint8)], fps=1)
            container.mux(cover.encode())
            if film is not None:
                show(container, film, pictures(176, 144))
                container.mux(film.encode())
    for name in ("two.mp4", "film.mp4"):
        assert near(list(decoder.frames(tmp_path / name, Sampling())), GREYS) and decoder.reading.words == ""
    with pytest.raises(VideoError, match="sound only"):
        decoder.probe(tmp_path / "song.m4a")


def test_packed_bitstream(decoder, tmp_path):
    """DivX packs a B-frame behind the frame after it, and an empty one in its place, as in many clips of UCF-101."""
    plain, path = write(tmp_path / "plain.avi", "mpeg4", b_frames=1), tmp_path / "packed.avi"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        chunks = []
        for packet in source.demux(video=0):
            data = bytes(packet)
            if data and data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2:  # B
                chunks[-1] += data
                chunks.append(b"\x00\x00\x01\xb6\x51")  # a P-frame whose bit "coded" is 0
            elif data:
                chunks.append(data)
        assert sum(len(chunk) == 5 for chunk in chunks) > 20
        at = chunks[0].index(b"\0\0\1\xb6")
        chunks[0] = chunks[0][:at] + b"\0\0\1\xb2DivX503b1393p" + chunks[0][at:]
        for index, data in enumerate(chunks):
            packet = av.Packet(data)
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, FPS), stream, index == 0
            target.mux(packet)
    frames = list(decoder.frames(path, Sampling(fps=FPS)))
    assert near(frames, np.repeat(GREYS, FPS), within=6)
    assert furthest(np.stack([frame.image for frame in frames]), path) <= 1


def test_tracks_that_begin_in_mid_file(decoder, tmp_path):
    film, path = write(tmp_path / "film.ts", "libx264", b_frames=2), tmp_path / "changed.ts"
    with av.open(str(tmp_path / "more.ts"), "w", options={"mpegts_start_pid": "512"}) as container:
        for stream in [container.add_stream("aac", 8000) for _ in range(6)]:
            silence(container, stream)
            container.mux(stream.encode())
    path.write_bytes(film.read_bytes() + (tmp_path / "more.ts").read_bytes())
    for _ in range(5):
        assert near(list(decoder.frames(path, Sampling())), GREYS)


def test_an_edit_list_that_begins_later(decoder, tmp_path):
    data = write(tmp_path / "whole.mp4", "libx264", b_frames=2).read_bytes()
    at = data.index(b"elst") + 12  # after version and number of entries: duration, first time, speed
    duration, first = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (0, 4))
    later = b"".join(number.to_bytes(4, "big") for number in (duration - 1000, first + 512 * FPS))  # by a second
    path = tmp_path / "edited.mp4"
    path.write_bytes(replace_box(data, b"edts", data[at - 16 : at] + later + data[at + 8 : at + 12]))
    assert near(list(decoder.frames(path, Sampling())), GREYS[1:])
    assert decoder.reading.words == ""


def test_an_image_is_a_clip_of_one_frame(decoder, tmp_path):
    for suffix in ("png", "jpg", "bmp", "webp", "tiff"):
        path = tmp_path / f"001.{suffix}"  # and not the first of a numbered series
        cv2.imwrite(str(path), np.full((20, 30, 3), 200, np.uint8))
        cv2.imwrite(str(path.with_stem("002")), np.full((20, 30, 3), 50, np.uint8))
        (frame,) = decoder.frames(path, Sampling(fps=10))
        assert (frame.time_s, frame.image.shape) == (0.0, (20, 30, 3))
        assert abs(frame.image.astype(int) - 200).max() <= 3


def test_an_animation_keeps_its_times_and_is_redrawn_in_parts(decoder, tmp_path):
    path = tmp_path / "a.gif"
    images = [Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)) for i in range(5)]
    durations = [100, 300, 100, 60_000, 200]  # frames change at 0.1, 0.4, 0.5 and 60.5 s: a long hold is believed
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations)
    shown = [round(float(frame.image.mean()) / 40) for frame in decoder.frames(path, Sampling(fps=2))]
    assert shown[:2] == [0, 3] and shown[2:] == [3] * 119 + [4]
    squares = [Image.new("RGBA", (40, 30), (0, 0, 0, 0)) for _ in range(3)]
    for index, square in enumerate(squares):
        square.paste((200, 40, 40, 255), (10 * index, 5, 10 * index + 10, 15))
    squares[0].save(path, save_all=True, append_images=squares[1:], duration=1000, disposal=2, transparency=0)
    frames = list(decoder.frames(path, Sampling()))
    assert len(frames) == 3 and furthest(np.stack([frame.image for frame in frames]), path) == 0
    for index, frame in enumerate(frames):
        red = (abs(frame.image.astype(int) - (200, 40, 40)) < 10).all(axis=2)
        assert red[6:14, 10 * index + 1 : 10 * index + 9].all() and red.sum() == 100


@LINUX
def test_8k_frames_fit_where_they_may(decoder, good, tmp_path):
    path = write_images(tmp_path / "huge.avi", [np.full((4320, 7680, 3), 120, np.uint8)] * 2, codec="MJPG")
    assert (decoder.probe(path).width, decoder.probe(path).height) == (7680, 4320)
    (frame,) = decoder.frames(path, Sampling(max_side=64))
    assert frame.image.shape == (36, 64, 3) and abs(frame.image.astype(int) - 120).max() <= 3
    (full,) = decoder.frames(path, Sampling())
    assert full.image.shape == (4320, 7680, 3)
    with Decoder(Limits(memory_bytes=250 << 20)) as own:
        with pytest.raises(VideoError, match=r"huge\.avi: .* memory bound of 250 MiB"):
            list(own.frames(path, Sampling()))
        assert own.probe(good).duration_s == 5


def write_sound(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.random.default_rng(0).bytes(16000))


def write_unknown_codec(path):
    write_numbered(path, codec="MJPG")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"Qx7Z"))


BAD = {
    "missing.mp4": (lambda path: None, "no such file"),
    "folder.mp4": (lambda path: path.mkdir(), "folder"),
    "unfinished.mp4": (
        lambda path: path.write_bytes(write_numbered(path).read_bytes().partition(b"moov")[0][:-4]),
        "cut off or was never finished",
    ),
    "empty.mp4": (lambda path: path.touch(), "0 bytes"),
    "words.mp4": (lambda path: path.write_text("brush hair\ncartwheel\n" * 40), "text file"),
    "words.txt": (lambda path: path.write_text("FFmpeg would draw this as a picture"), "text file"),
    "list.m3u8": (lambda path: path.write_text("#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n"), "text file"),
    "noise.mp4": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(50_000)), "not a video"),
    "sound.mp4": (write_sound, "sound only"),
    "archive.mkv": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)), "not a video"),
    "fifo.mp4": (lambda path: os.mkfifo(path), "not a regular file"),
    "zero.mp4": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a\0b.mp4": (lambda path: None, "cannot be opened"),
    "a.avi": (lambda path: write(path, "zmbv", pixels="bgr0"), r"\(zmbv\).* not opened here; convert it, as with: f"),
    "a.mkv": (lambda path: write(path, "snow", strict="-2"), r"\(snow\).* not opened here; convert it"),
    "a.nut": (lambda path: write(path, "mpeg4"), r"\(nut\).* not opened here; convert it"),
    "b.avi": (write_unknown_codec, r"coded as none \(Qx7Z .* not opened here"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=lambda name: name[:20].replace("\0", "0"))
def test_refused_by_name(decoder, good, tmp_path, name):
    make, why = BAD[name]
    make(tmp_path / name)
    for ask in (lambda path: decoder.probe(path), lambda path: list(decoder.frames(path, Sampling()))):
        with pytest.raises(VideoError, match=why) as caught:
            ask(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    assert decoder.probe(good).duration_s == 5


def test_odd_names(decoder, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "with space.mp4", "100%d.mp4", "-i.mp4", "été 動画 🎬.mp4", "a'b\"c.mp4", "no_suffix"):
        shutil.copy(good, tmp_path / name)
        assert decoder.probe(name).duration_s == decoder.probe(tmp_path / name).duration_s == 5
    if sys.platform.startswith("linux"):  # other systems want Unicode names
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
        shutil.copy(good, path)
        assert indices(decoder, Path(path), 1) == [0, 8, 16, 24, 32]
        with pytest.raises(VideoError, match=r"caf\\xe9\.avi: there is no such file"):  # may be printed anywhere
            decoder.probe(path.replace("mp4", "avi"))


NOISE_FPS, COUNT = 28, 224


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    """8 s of noise that drifts, with a key frame every 5 s and, in MP4, the index first; each made once."""
    folder = tmp_path_factory.mktemp("drifting")
    noise = np.random.default_rng(0).integers(0, 256, (180, 240 + COUNT, 3), np.uint8)

    def made(name):
        path, codec = folder / name, "mpeg4" if name.endswith("avi") else "libx264"
        if path.exists():
            return path
        with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
            stream = picture_track(container, codec, (240, 180), b_frames=2, fps=NOISE_FPS, g="140", crf="30", b="400k")
            stream.codec_context.thread_count = 1  # with more, bytes differ from run to run
            track = container.add_stream("aac", 8000) if "sound" in name else None
            show(container, stream, (np.ascontiguousarray(noise[:, k : k + 240]) for k in range(COUNT)), NOISE_FPS)
            container.mux(stream.encode())
            if track:
                silence(container, track, 50)
                container.mux(track.encode())
        return path

    return made


def decoded_plainly(path):
    """Pictures and failures with one thread: FFmpeg called directly, without anything that this package adds."""
    pictures = failures = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for packet in container.demux(video=0):
            try:
                pictures += len(packet.decode())
            except av.InvalidDataError:
                failures += 1
    return pictures, failures


@pytest.mark.parametrize("seed", [0, 3])
def test_reading_goes_on_behind_damage(decoder, drifting, tmp_path, seed):
    data, path = np.frombuffer(drifting("clip.mp4").read_bytes(), np.uint8).copy(), tmp_path / "broken.mp4"
    data[len(data) // 2 + np.random.default_rng(seed).integers(0, 4000, 60)] ^= 0xFF
    path.write_bytes(data.tobytes())
    pictures, failures = decoded_plainly(path)
    assert failures > 0 and pictures > 200
    frames = list(decoder.frames(path, Sampling()))
    reading = decoder.reading
    assert len(frames) == 8 and (reading.pictures, reading.lost) == (pictures, failures)
    assert reading.damaged > 0 and reading.read_s == reading.told_s == 8
    assert reading.words.startswith(f"{pictures} of {pictures + failures} pictures could be read; ")
    np.testing.assert_array_equal(frames[0].image, first_image(decoder, drifting("clip.mp4")))


@pytest.mark.parametrize("name", ["clip.mp4", "sound.mp4", "clip.mkv", "sound.mkv", "clip.avi"])
@pytest.mark.parametrize("share", [0.3, 0.85])
def test_a_cut_off_file_tells_how_much_is_missing(decoder, drifting, tmp_path, name, share):
    path, whole = tmp_path / name, drifting(name).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    pictures, _ = decoded_plainly(path)
    frames = list(decoder.frames(path, Sampling()))
    reading = decoder.reading
    assert abs(reading.pictures - pictures) <= 1  # the last one may be found damaged or not at all
    assert reading.read_s == pytest.approx(pictures / NOISE_FPS, abs=0.1)
    assert len(frames) == np.ceil(reading.read_s - 1e-6)  # seconds are sums of floats
    assert reading.told_s == pytest.approx(8, abs=0.1)
    assert reading.pictures + reading.lost == pytest.approx(COUNT, abs=2)
    assert reading.words.startswith(f"it is cut off: {reading.read_s:.1f} of 8.0 s could be read, ")


def test_nothing_is_missing_in_a_whole_file_nor_where_it_was_not_asked_for(decoder, drifting, tmp_path):
    for name in ("sound.mp4", "sound.mkv", "clip.avi", "clip.ts"):
        assert len(list(decoder.frames(drifting(name), Sampling()))) == 8
        assert decoder.reading == Reading(COUNT, 0, 0, pytest.approx(8, abs=0.05), pytest.approx(8, abs=0.05))
        assert decoder.reading.words == ""
    assert len(list(decoder.frames(drifting("clip.mp4"), Sampling(max_s=2)))) == 2
    assert decoder.reading.words == ""
    data, path = drifting("clip.ts").read_bytes(), tmp_path / "middle.ts"
    path.write_bytes(data[188 * (len(data) // 188 // 4) + 77 :])  # a stream that begins between key frames
    assert len(list(decoder.frames(path, Sampling()))) in (3, 4)  # from the key frame at 5 s on
    assert decoder.reading.words == ""
    decoder.run(drifting("clip.mp4"), Sampling(), first_only)
    assert decoder.reading.words == ""


def test_words():
    assert Reading(221, 3, 25, 8, 8).words == "221 of 224 pictures could be read; 25 of them are damaged"
    cut = Reading(141, 83, 0, 5.04, 8)
    assert cut.words == "it is cut off: 5.0 of 8.0 s could be read, 141 of 224 pictures"


def test_a_timestamp_gone_wild(decoder, tmp_path):
    """One flipped bit in an FLV time of day must not stretch 5 s into hours of one picture."""
    path = write_numbered(tmp_path / "clip.flv", codec="FLV1")
    data = bytearray(path.read_bytes())
    at, seen = 13, 0  # after the file's header, tags: type, size, time in milliseconds (low 3 bytes, high byte), stream
    while at < len(data):
        seen += data[at] == 9
        if data[at] == 9 and seen == 20:
            data[at + 4] |= 0x80  # 2 h 20 min
            break
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    path.write_bytes(bytes(data))
    assert 5 <= len(list(decoder.frames(path, Sampling()))) <= 6
