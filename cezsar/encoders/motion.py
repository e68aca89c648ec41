"""The `motion` encoder: frames -> gradients, colour and optical flow, one row a second, with nothing to download.

What happens to a second of video:
1. The camera's own motion is fitted to dense optical flow (robustly: most of the picture does not act) and removed.
2. With the frames lined up, also those of the second before and after, their median is the scene without the actor,
   and what differs from it is the actor.
3. A square window frames the actor, as large as what moves, so that what is in it does not depend on where they stand.
4. The scene gives gradients and colours of a few bands. The window gives gradients, colours and flow, of the actor
   alone, cell by cell (what the body does) and as pairs that may be anywhere in it (what the prop is). All of the
   window is folded: facing left and facing right are the same.

Needs numpy and OpenCV alone. Shape letters: F frames of one second, H and W pixels, T seconds, D features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import ClassVar

import cv2
import numpy as np

from cezsar.encoders import histograms as hist
from cezsar.encoders.actor import (
    FlowMeter,
    Window,
    actor_window,
    camera_flow,
    camera_motion,
    cut,
    new_shot,
    split_actor,
)
from cezsar.encoders.base import ObjectHead
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

FORMAT = "cezsar motion 2"
"""Raised whenever the same frames no longer give the same rows."""

APPEARANCE = ("gradient pairs", "coloured gradients", "colours", "neighbouring colours")
"""The parts of a row that show what the actor and the prop look like, hardly what they do."""


@dataclass(frozen=True)
class Second:
    """The frames of one second. Flow and camera lead to a frame from the one before; a shot's first frame has none."""

    images_FHW3: np.ndarray
    small_FHW3: np.ndarray
    flow_FHW2: np.ndarray  # of the small frames, without the camera's part
    camera_F4: np.ndarray
    shot_F: np.ndarray  # number of the shot
    first_F: np.ndarray  # whether it is a shot's first frame

    @classmethod
    def blank(cls) -> Second:
        """One black frame."""
        black = np.zeros((1, 32, 32, 3), np.uint8)
        return cls(
            black, black, np.zeros((1, 32, 32, 2), np.float32), np.zeros((1, 4)), np.zeros(1, int), np.ones(1, bool)
        )

    def of(self, shot: int) -> Second:
        """The frames of one shot alone."""
        mine = self.shot_F == shot
        if mine.all():
            return self
        return Second(**{name: value[mine] for name, value in vars(self).items()})


@dataclass(frozen=True)
class MotionEncoder:
    """Hand-made features of short, small video; the module's docstring says what they describe.

    Every parameter is a field, and the fingerprint is made of all of them. Lengths are in pixels.
    """

    fps: float = 8.0
    max_side: int = 160  # of the frames that the window is cut from
    small_side: int = 80  # of the frames that flow and scene are computed on
    window: int = 96  # side of the actor's window after scaling
    look_step: int = 2  # gradients and colours of the actor are taken from every how-many-th frame
    flow_window: int = 36  # the same for its flow
    scene_grid: tuple[int, int] = (4, 1)  # rows and columns of cells; columns say little when the camera moves
    shape_grid: tuple[int, int] = (6, 6)
    flow_grid: tuple[int, int] = (6, 6)
    rhythm_grid: tuple[int, int] = (4, 4)
    colour_grid: tuple[int, int] = (3, 3)
    gradient_radii: tuple[int, ...] = (2, 4, 8)
    colour_radii: tuple[int, ...] = (3,)
    name: str = field(default="motion", init=False)
    in_decoder: bool = field(default=True, init=False)
    around_s: ClassVar[int] = 2  # a row sees the second before, whose flow starts from the one before that
    object_head: ObjectHead | None = field(default=None, init=False)

    @property
    def domain(self) -> str:
        """Nothing has been learned."""
        return "nothing: gradients, colour and optical flow, computed"

    @property
    def sampling(self) -> Sampling:
        """Small frames at a rate that shows gestures."""
        return Sampling(fps=self.fps, max_side=self.max_side)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the format and every parameter."""
        return hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode()).hexdigest()

    @cached_property
    def blocks(self) -> dict[str, int]:
        """Name and width of each part of a row, in order."""
        return {name: part.size for name, part in self._parts(None, Second.blank(), None).items()}

    @property
    def dim(self) -> int:
        """D, the width of a row."""
        return sum(self.blocks.values())

    def columns(self, *names: str) -> np.ndarray:
        """Where the named parts are in a row, as indices."""
        ends = np.cumsum(list(self.blocks.values()))
        parts = dict(zip(self.blocks, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
        return np.concatenate([parts[name] for name in names])

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """(T, D) float32, one row for each second from the clip's start to its last frame; values lie in about [0, 10].

        A second without frames repeats the row before it. Frames may have any size, even change it. Raises
        `InputError` if there is no frame at all or they are not in time order.
        """
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the flow depends on the number of threads, and frames this small gain nothing from more
        rows: list[np.ndarray] = []
        before: Second | None = None
        try:
            numbered = self._seconds(frames)
            number, now = next(numbered, (0, None))
            for next_number, after in chain(numbered, [(0, None)]):
                if now is None:
                    raise InputError("a clip without frames has no features")
                row = np.concatenate(list(self._parts(before, now, after).values()))
                rows += [rows[-1] if rows else row] * (number - len(rows))
                rows.append(row)
                number, before, now = next_number, now, after
        finally:
            cv2.setNumThreads(threads)
        return np.stack(rows)

    def _seconds(self, frames: Iterable[Frame]) -> Iterator[tuple[int, Second]]:
        """The seconds that have frames, with their numbers."""
        measure = FlowMeter()
        size: tuple[int, int] | None = None
        last: np.ndarray | None = None
        shot, previous = 0, -1
        for number, group in groupby(frames, key=lambda frame: int(frame.time_s + 1e-6)):
            if number <= previous:
                raise InputError(f"frames must come in time order; second {number} came after second {previous}")
            previous = number
            images, small, flows, first = [], [], [], []
            for frame in group:
                size = size or _size(frame.image, self.max_side)
                images.append(_resized(frame.image, size))
                small.append(_resized(images[-1], _size(images[-1], self.small_side)))
                first.append(last is None or new_shot(last, small[-1]))
                flows.append(measure(small[-1] if last is None or first[-1] else last, small[-1]))
                last = small[-1]
            shots = shot + np.cumsum(first)
            shot = int(shots[-1])
            camera_F4 = camera_motion(np.stack(flows), small[-1])
            rest = np.stack(flows) - camera_flow(camera_F4, *small[-1].shape[:2])
            yield number, Second(np.stack(images), np.stack(small), rest, camera_F4, shots, np.array(first))

    def _parts(self, before: Second | None, now: Second, after: Second | None) -> dict[str, np.ndarray]:
        """The parts of a row, by name: of the shot that most of the second shows."""
        shots, counts = np.unique(now.shot_F, return_counts=True)
        shot = int(shots[counts.argmax()])
        now = now.of(shot)
        near = [second.of(shot) for second in (before, now, after) if second is not None]
        first = len(near[0].shot_F) if before is not None else 0
        small = np.concatenate([second.small_FHW3 for second in near])
        scene_HW3, actor_FHW = split_actor(
            small,
            np.concatenate([second.camera_F4 for second in near]),
            first,
            first + len(now.shot_F),
            step=1 if len(small) <= self.fps else 2,  # every other frame shows as well what stays
        )
        window = actor_window(actor_FHW)
        parts = self._scene(scene_HW3) | self._body(now, window) | self._looks(now, actor_FHW, window)
        return {name: part.astype(np.float32).ravel() for name, part in parts.items()}

    def _scene(self, scene_HW3: np.ndarray) -> dict[str, np.ndarray]:
        """Where it happens."""
        edges = hist.gradients(cv2.cvtColor(scene_HW3, cv2.COLOR_RGB2GRAY)[None])
        return {
            "scene gradients": hist.gradient_cells(*edges, self.scene_grid),
            "scene colours": hist.colour_cells(hist.colour_index(scene_HW3)[None], None, self.scene_grid),
        }

    def _body(self, now: Second, window: Window) -> dict[str, np.ndarray]:
        """What moves where in the window, and how fast: in window sides per second."""
        follows = ~now.first_F if not now.first_F.all() else now.first_F
        flow = cut(now.flow_FHW2[follows], window, self.flow_window, cv2.BORDER_CONSTANT) * (self.fps / window[2])
        camera = np.abs(now.camera_F4[follows]).mean(0) * (self.fps / window[2])
        rhythm = hist.rhythm_cells(flow, self.rhythm_grid, self.fps)
        return {
            "flow": hist.folded(
                hist.flow_cells(flow, self.flow_grid), hist.cell_mirror(*self.flow_grid, hist.DIRECTION_MIRROR)
            ),
            "rhythm": hist.folded(rhythm, hist.rhythm_mirror(*self.rhythm_grid)),
            "camera": np.sqrt(camera),
        }

    def _looks(self, now: Second, actor_FHW: np.ndarray, window: Window) -> dict[str, np.ndarray]:
        """What the actor and the prop look like, whatever is behind them."""
        scale = now.images_FHW3.shape[2] / actor_FHW.shape[2]
        large = (window[0] * scale, window[1] * scale, window[2] * scale)
        some = slice(None, None, self.look_step)
        images = cut(now.images_FHW3[some], large, self.window, cv2.BORDER_REPLICATE)
        actor = cut(actor_FHW[some], window, self.window, cv2.BORDER_CONSTANT)
        size, bins = hist.gradients(
            cv2.cvtColor(images.reshape(-1, self.window, 3), cv2.COLOR_RGB2GRAY).reshape(actor.shape)
        )
        size *= actor
        colours = hist.colour_index(images)
        shape = hist.gradient_cells(size, bins, self.shape_grid)
        same = tuple(range(hist.COLOURS))
        pairs = [hist.gradient_pairs(size, bins, radius) for radius in self.gradient_radii]
        neighbours = [hist.colour_neighbours(colours, actor, radius) for radius in self.colour_radii]
        return {
            "gradients": hist.folded(shape, hist.cell_mirror(*self.shape_grid, hist.ORIENTATION_MIRROR)),
            "presence": hist.folded(hist.mean_cells(actor, self.shape_grid), hist.cell_mirror(*self.shape_grid, (0,))),
            "gradient pairs": np.concatenate(pairs),
            "coloured gradients": hist.coloured_gradients(colours, size, bins),
            "colours": hist.folded(
                hist.colour_cells(colours, actor, self.colour_grid),
                hist.cell_mirror(*self.colour_grid, same),
                odd=False,
            ),
            "neighbouring colours": np.concatenate(neighbours),
        }


def _size(image: np.ndarray, side: int) -> tuple[int, int]:
    """(width, height) with a longer side of `side` pixels and the other in proportion, but 24 at least."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    return max(24, round(width * scale)), max(24, round(height * scale))


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (width, height)."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    return cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if size[0] * size[1] < width * height else cv2.INTER_LINEAR
    )
