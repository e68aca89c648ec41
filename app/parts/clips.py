"""Clips by content: uploads, files, and drawn ones that are rendered when somebody looks at them."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import cache
from app.parts import show
from app.parts.turns import turn
from app.parts.words import plain
from cezsar import workspace, world
from cezsar.errors import VideoError

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from cezsar.video import Decoder

T = TypeVar("T")

FRAME_SIDE_PX = 240  # longer side of a frame in the film strip
KEYS_S = 12.0  # key frames that are no further apart will do for it
FILM_PX = 400  # width of a drawn clip as shown; the world's own 160 is for the encoder
HEAD_BYTES = 1 << 20  # read at either end of a file
MOST_HELD = 4_000_000_000  # bytes of the uploads of all sessions
FILMS = "uploaded films"  # in the session: Streamlit's id of each file -> its clip


class ClipFile(NamedTuple):
    """A clip, by content."""

    name: str  # as shown
    digest: str  # of the content
    source: Path | bytes | world.VideoPlan  # a file, an upload, or one to be drawn
    label: str = ""  # its class, where that is known
    kept: dict[tuple[Hashable, ...], Any] | None = None  # of an upload: what was read of it, which goes when it does

    @property
    def playable(self) -> bool:
        """Whether browsers are likely to play it: by its suffix, and no MPEG-4 Part 2 inside an MP4."""
        if isinstance(self.source, world.VideoPlan):
            return True
        if Path(self.name).suffix.lower() not in (".mp4", ".m4v", ".mov", ".webm", ".ogv"):
            return False
        if isinstance(self.source, bytes):
            ends = self.source[:HEAD_BYTES] + self.source[-HEAD_BYTES:]  # where an MP4 names its codec
        else:
            try:
                with self.source.open("rb") as file:
                    ends = file.read(HEAD_BYTES)
                    file.seek(max(0, self.source.stat().st_size - HEAD_BYTES))
                    ends += file.read()
            except OSError:
                return False  # it has gone
        return b"mp4v" not in ends or b"avc1" in ends


def uploaded(files: Sequence[UploadedFile], key: str = FILMS) -> list[ClipFile]:
    """The session's uploads, those that it had before with all that was read of them. A new one is let go where all
    sessions together hold too much."""
    before, films = st.session_state.get(key, {}), {}
    for file in files:
        if file.file_id in before or not let_go(file):
            films[file.file_id] = before.get(file.file_id) or of_upload(file)
    st.session_state[key] = films
    return list(films.values())


def of_upload(file: UploadedFile) -> ClipFile:
    content = file.getvalue()
    return ClipFile(Path(file.name).name, hashlib.sha256(content).hexdigest(), content, kept={})


def let_go(file: UploadedFile) -> bool:
    """Whether a new upload is one too many: then it is not held any longer, and the page says so."""
    if (context := get_script_run_ctx()) is None:
        return False
    store = cast(Any, context.uploaded_file_mgr)
    held = sum(one.byte_length for kind in store.get_stats().values() for one in kind)
    if held <= MOST_HELD:
        return False
    store.remove_file(context.session_id, file.file_id)
    show.error(
        f"{plain(file.name)} was let go: all visitors' uploads together have {held / 1e9:.1f} GB, and this server "
        f"holds {MOST_HELD / 1e9:.0f}. Remove films that you are done with, or try again when others have left."
    )
    return True


def from_file(path: Path, label: str = "") -> ClipFile:
    """A video file on this machine. Raises `VideoError` if it has gone."""
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror}); has it been moved?") from error
    digest = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    return ClipFile(path.name, digest, path, label)


def drawn(plan: world.VideoPlan) -> ClipFile:
    """A clip of the stick-figure world; nothing is rendered yet."""
    return ClipFile(plan.id, hashlib.sha256(repr(plan).encode()).hexdigest(), plan, plan.label)


def samples() -> dict[str, ClipFile]:
    """The demo's test clips by id, class by class."""

    def planned() -> dict[str, ClipFile]:
        return {plan.id: drawn(plan) for plan in world.plan_clips(world.SEED, world.unseen_actions(), 20)}

    return cache.once(planned, "samples")


def once(make: Callable[[], T], clip: ClipFile, *key: Hashable) -> T:
    """What `make` gives of a clip, kept with an upload, and else for all sessions."""
    if clip.kept is None:
        return cache.once(make, clip.digest, *key)
    if key not in clip.kept:
        clip.kept[key] = make()
    return cast(T, clip.kept[key])


@contextmanager
def opened(clip: ClipFile) -> Iterator[tuple[Path, Decoder]]:
    """A path, and what decodes it, when one's turn has come."""
    from cezsar.video import Decoder

    with turn(shown=clip.kept is not None), _on_disk(clip) as path, Decoder() as decoder:
        yield path, decoder


@contextmanager
def _on_disk(clip: ClipFile) -> Iterator[Path]:
    """An upload gets a name of ours: a user's may be too long, or no file name at all."""
    if not isinstance(clip.source, bytes):
        yield clip.source if isinstance(clip.source, Path) else _rendered(clip.source, world.WIDTH_PX)
        return
    suffix = Path(clip.name).suffix
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / ("clip" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else ""))
        path.write_bytes(clip.source)
        try:
            yield path
        except VideoError as error:
            raise VideoError(str(error).replace(str(path), clip.name)) from error


def film(clip: ClipFile) -> tuple[bytes | str, str]:
    """What a video element plays, and its MIME type; for clips that are `playable`."""
    if isinstance(clip.source, world.VideoPlan):
        return str(_rendered(clip.source, FILM_PX)), "video/webm"
    kind = "video/webm" if clip.name.lower().endswith(".webm") else "video/mp4"
    return (clip.source if isinstance(clip.source, bytes) else str(clip.source)), kind


def _rendered(plan: world.VideoPlan, width_px: int) -> Path:
    """The plan as a video file, drawn at the first call; at the world's own width in the codec that the demo uses."""
    suffix = ".webm" if width_px != world.WIDTH_PX else world.video_path(Path(), plan).suffix
    path = workspace.folder("cache") / "clips" / f"{plan.id}-{width_px}{suffix}"
    if not path.is_file():
        world.write_video(plan, path, width_px)
    return path.resolve()


def strip(clip: ClipFile) -> list[tuple[float, bytes]]:
    """(time in seconds, JPEG file) of one frame a second."""

    def read() -> list[tuple[float, bytes]]:
        if isinstance(clip.source, world.VideoPlan):
            frames = islice(world.render(clip.source, width=FRAME_SIDE_PX), 0, None, world.FPS)
            return [(float(second), _jpeg(frame)) for second, frame in enumerate(frames)]
        from cezsar.video import Sampling

        with opened(clip) as (path, decoder):
            sampling = Sampling(max_side=FRAME_SIDE_PX, keys_s=KEYS_S)
            return [(one.time_s, _jpeg(one.image)) for one in decoder.frames(path, sampling)]

    return cache.large(read, "strip", clip.digest) if clip.kept is None else once(read, clip, "strip")


def poster(clip: ClipFile, width_px: int = FRAME_SIDE_PX) -> bytes:
    """JPEG file of the frame in the middle."""
    if not isinstance(plan := clip.source, world.VideoPlan):
        return once(lambda: (frames := strip(clip))[len(frames) // 2][1], clip, "poster")
    middle = plan.frame_count // 2
    drawing = world.render(plan, width=width_px)
    return cache.once(lambda: _jpeg(next(islice(drawing, middle, None))), "poster", clip.digest, width_px)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    import cv2

    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 87])[1].tobytes()
