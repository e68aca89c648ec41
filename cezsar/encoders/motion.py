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

import cv2
import numpy as np

from cezsar.encoders import histograms as hist
from cezsar.encoders.actor import FlowMeter, actor_window, camera_flow, camera_motion, cut, split_actor
from cezsar.encoders.base import ObjectHead
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

FORMAT = "cezsar motion 2"
"""Raised whenever the same frames no longer give the same rows."""

CUT = 0.22  # a change of picture (see `picture_change`) that begins a new shot
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


@dataclass(frozen=True)
class MotionEncoder:
    """Hand-made features of short, small video; the module's docstring says what they describe.

    Every parameter is a field, and the fingerprint is made of all of them. Lengths are in pixels.
    """

    fps: float = 8.0
    max_side: int = 160  # of the frames that the window is cut from
    small_side: int = 80  # of the frames that flow and scene are computed on
    window: int = 64  # side of the actor's window after scaling
    flow_window: int = 36  # the same for its flow
    scene_grid: tuple[int, int] = (4, 1)  # rows and columns of cells; columns say little when the camera moves
    shape_grid: tuple[int, int] = (6, 6)
    flow_grid: tuple[int, int] = (6, 6)
    rhythm_grid: tuple[int, int] = (4, 4)
    colour_grid: tuple[int, int] = (3, 3)
    gradient_radii: tuple[int, ...] = (2, 5)
    colour_radii: tuple[int, ...] = (3,)
    name: str = field(default="motion", init=False)
    in_decoder: bool = field(default=True, init=False)
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
        frame = np.zeros((32, 32, 3), np.uint8)
        nothing = Second(frame[None], frame[None], np.zeros((1, 32, 32, 2), np.float32), np.zeros((1, 4)), np.zeros(1, int))
        return {name: part.size for name, part in self._parts(None, nothing, None).items()}

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
        last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # picture, its colours, its greys
        shot, previous = 0, -1
        for number, group in groupby(frames, key=lambda frame: int(frame.time_s + 1e-6)):
            if number <= previous:
                raise InputError(f"frames must come in time order; second {number} came after second {previous}")
            previous = number
            images, small, flow, shots = [], [], [], []
            for frame in group:
                size = size or _size(frame.image, self.max_side)
                images.append(_resized(frame.image, size))
                small.append(_resized(images[-1], _size(images[-1], self.small_side)))
                new = (small[-1], hist.colour_index(small[-1]), cv2.cvtColor(small[-1], cv2.COLOR_RGB2GRAY))
                follows = last is not None and hist.picture_change(last[:2], new[:2]) <= CUT
                flow.append(measure(last[2], new[2]) if last is not None and follows else np.zeros((*new[2].shape, 2), np.float32))
                shot += not follows
                shots.append(shot)
                last = new
            camera_F4 = camera_motion(np.stack(flow), last[2])
            rest = np.stack(flow) - camera_flow(camera_F4, *last[2].shape)
            yield number, Second(np.stack(images), np.stack(small), rest, camera_F4, np.array(shots))

    def _parts(self, before: Second | None, now: Second, after: Second | None) -> dict[str, np.ndarray]:
        """The parts of a row, by name: of the shot that most of the second shows."""
        shots, counts = np.unique(now.shot_F, return_counts=True)
        shot = shots[counts.argmax()]
        own = now.shot_F == shot
        near = [second for second in (before, now, after) if second is not None]
        same = [second.shot_F == shot for second in near]
        first = 0 if before is None else int(same[0].sum())
        scene, actor_FHW = split_actor(
            np.concatenate([second.small_FHW3[mask] for second, mask in zip(near, same, strict=True)]),
            np.concatenate([second.camera_F4[mask] for second, mask in zip(near, same, strict=True)]),
            first,
            first + int(own.sum()),
            step=1 if sum(map(np.sum, same)) <= self.fps else 2,
        )
        moving = own.copy()
        if own.sum() > 1 and shot != 1: 
            pass
        window = actor_window(actor_FHW)
        parts = self._scene(scene)
        parts |= self._doing(now.flow_FHW2[own], now.camera_F4[own], window)
        parts |= self._looks(now.images_FHW3[own], actor_FHW, window)
        return {name: part.astype(np.float32).ravel() for name, part in parts.items()}
