"""Each kind of file is read right: every picture that was put in at its time, and as the program ffmpeg shows it."""

import contextlib
import math
import re
import shutil
import subprocess

import av
import numpy as np
import pytest
from corpus import FPS, KINDS, same, write

from cezsar.errors import VideoError
from cezsar.video import Sampling

# One of each codec and sort of pixels, which the program ffmpeg shows in the same colours.
COLOURS = {
    (k.codec, k.pixels, k.draw, k.matrix, k.full): name
    for name, k in reversed(KINDS.items())
    if k.data is same and k.rate == FPS
}
NO_FFMPEG = shutil.which("ffmpeg") is None


def cells(image):
    """The mean colours of even and of odd lines, in the middle of each of 4 x 4 cells: (4, 4, 2, 3)."""
    height, width = image.shape[0] // 4, image.shape[1] // 4
    image = image[: 4 * height, : 4 * width].reshape(4, height, 4, width, 3)
    middle = image[:, height // 4 : height - height // 4, :, width // 4 : width - width // 4]
    return np.stack([middle[:, line::2].mean(axis=(1, 3)) for line in (0, 1)], axis=2)


def furthest(ours, path):
    """The greatest difference of two bytes from the pictures that the program ffmpeg shows; 0 where it is missing."""
    if NO_FFMPEG:
        return 0
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    theirs = np.frombuffer(raw.stdout, np.uint8).reshape(-1, *ours.shape[1:])[: len(ours)]
    assert len(theirs) >= len(ours) - 1
    return int(np.abs(ours[: len(theirs)].astype(int) - theirs).max())


def decoded_plainly(path):
    """Pictures with one thread: FFmpeg called directly, without anything that this package adds."""
    pictures = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for packet in container.demux(video=0):
            with contextlib.suppress(av.InvalidDataError):
                pictures += len(packet.decode())
    return pictures


@pytest.mark.parametrize("name", KINDS)
def test_a_kind(decoder, tmp_path, name):
    kind, path = KINDS[name], tmp_path / name
    write(path, kind)
    if kind.refused:
        for ask in (decoder.probe, lambda path: list(decoder.frames(path, Sampling()))):
            with pytest.raises(VideoError, match=kind.refused) as caught:
                ask(path)
            assert str(path) in str(caught.value)
        return
    order = range(decoded_plainly(path)) if kind.cut else range(len(kind)) if kind.order is None else kind.order
    starts_s = kind.starts_s(order)
    end_s = starts_s[-1] + float(1 / kind.rate)
    seen = {index: kind.seen(index) for index in order}
    looks = {index: cells(image) for index, image in seen.items()}
    for fps in (1, FPS):
        frames = list(decoder.frames(path, Sampling(fps=fps)))
        assert len(frames) == max(1, math.ceil(end_s * fps - 1e-6))
        for k, frame in enumerate(frames):
            index = order[max(j for j, start_s in enumerate(starts_s) if start_s <= k / fps + 1e-6)]
            if index not in kind.unsure and not (kind.cut and index == order[-1]):
                assert frame.image.shape == seen[index].shape
                assert np.abs(cells(frame.image) - looks[index]).max() <= kind.within, f"at {k / fps} s"
    assert re.search(kind.said, decoder.reading.words)
    if kind.unsure:
        assert decoder.reading.pictures == decoded_plainly(path)
        assert decoder.reading.pictures + decoder.reading.lost == len(kind)
    if name in COLOURS.values():
        assert furthest(np.stack([frame.image for frame in frames]), path) <= 1
    if kind.cut:
        assert list(decoder.frames(path, Sampling(max_s=0.5))) and decoder.reading.words == ""  # no more was asked for
    info, told_s = decoder.probe(path), {-1: len(kind) / FPS if kind.cut else end_s}.get(kind.told_s, kind.told_s)
    assert (info.height, info.width) == seen[order[0]].shape[:2]
    if told_s == told_s:
        assert info.duration_s == (told_s and pytest.approx(told_s, abs=0.06))
        assert kind.ms or info.fps == pytest.approx(kind.rate, abs=0.01)
