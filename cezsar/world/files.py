"""One plan as one video file.

The suffix chooses the codec: `.webm` is VP8, which browsers play, at about 3 ms a frame; `.mp4` is MPEG-4 Part 2,
twenty times faster to write, for the training videos.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from cezsar.atomic import replacing
from cezsar.errors import InputError, VideoError
from cezsar.world.plans import FPS, VideoPlan
from cezsar.world.rendering import HEIGHT_PX, WIDTH_PX, render

FOURCC = {".webm": "VP80", ".mp4": "mp4v"}
_TRACK_UID = re.compile(rb"([\x73\x63]\xc5\x88).{8}", re.DOTALL)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr: OpenCV prints a false alarm about VP8 tags for every WebM file."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _fix_identity(path: Path) -> None:
    """Replace the random track number in a WebM header, so that equal plans give equal bytes."""
    with path.open("r+b") as file:
        head = file.read(4096)
        start = head.find(b"\x1f\x43\xb6\x75")  # the first cluster: picture data begins here
        head = head[: start if start >= 0 else len(head)]
        file.seek(0)
        file.write(_TRACK_UID.sub(rb"\1" + b"\x00" * 7 + b"\x01", head))


def write_video(plan: VideoPlan, path: str | Path, width_px: int = WIDTH_PX) -> None:
    """Render `plan` into a `.webm` or `.mp4` file, whole or not at all; the same plan gives the same bytes.

    `width_px` other than the world's own is for people to look at: features are made from the usual size.

    Raises `InputError` for another suffix and `VideoError` when this OpenCV cannot write the codec.
    """
    path = Path(path)
    fourcc = FOURCC.get(path.suffix)
    if fourcc is None:
        raise InputError(f"{path.name}: the stick-figure world writes .webm or .mp4 files")
    size = (width_px, round(width_px * HEIGHT_PX / WIDTH_PX))
    with replacing(path) as temporary:
        with _quiet_stderr():
            writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*fourcc), FPS, size)
        if not writer.isOpened():
            raise VideoError(f"{path.name}: this OpenCV cannot write {fourcc} video; install opencv-python from PyPI")
        for frame in render(plan, width=width_px):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        if path.suffix == ".webm":
            _fix_identity(temporary)
