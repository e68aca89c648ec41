"""The `motion` encoder: frames -> gradients, colour and optical flow, one row a second, with nothing to download.

What happens to a second of video:
1. The camera's own motion is fitted to dense optical flow (robustly: most of the picture does not act) and removed.
2. With the frames lined up, their median is the scene without the person, and what differs from it is the actor.
3. A square window follows the actor, sized by the actor, so that what is in it does not depend on where they stand.
4. The scene gives gradients and colours on a coarse grid; the window gives gradients, colours and flow on a finer one,
   and how the flow of each of its cells comes and goes within the second.

Needs numpy and OpenCV alone. Shape letters: F frames of one second, H and W pixels, T seconds, D features.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import cv2
import numpy as np

from cezsar.encoders.base import ObjectHead
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

FORMAT = "cezsar motion 1"
"""Raised whenever the same frames no longer give the same rows."""

COLOURS = 24  # ten hues, each light or dark, and four greys
_GREYS = 4
_LEVELS = 32  # of each channel in the colour table


@dataclass(frozen=True)
class MotionEncoder:
    """Hand-made features of short, small video; see the module's docstring for what they describe.

    Everything a row depends on is a field, and the fingerprint is made of all of them.
    """

    fps: float = 8.0
    max_side: int = 160  # pixels, of the frames the window is cut from
    flow_side: int = 80  # pixels, of the frames that flow and background are computed on
    window: int = 96  # pixels, side of the actor's window after scaling
    scene_grid: tuple[int, int] = (4, 3)  # rows and columns
    shape_grid: int = 6  # cells across the window, for gradients
    colour_grid: int = 3
    flow_grid: int = 4
    orientations: int = 9
    directions: int = 8
    name: str = dataclasses.field(default="motion", init=False)
    in_decoder: bool = dataclasses.field(default=True, init=False)
    object_head: ObjectHead | None = dataclasses.field(default=None, init=False)

    @property
    def domain(self) -> str:
        """Nothing has been learned."""
        return "nothing: gradients, colour and optical flow, computed"

    @property
    def sampling(self) -> Sampling:
        """Small frames at a rate that shows gestures."""
        return Sampling(fps=self.fps, max_side=self.max_side)

    @property
    def dim(self) -> int:
        """The width D of a row."""
        return sum(self.blocks.values())

    @property
    def blocks(self) -> dict[str, int]:
        """Name and width of each part of a row, in order."""
        scene, flow = self.scene_grid[0] * self.scene_grid[1], self.flow_grid**2
        return {
            "scene gradients": scene * self.orientations,
            "scene colours": scene * COLOURS,
            "gradients": self.shape_grid**2 * self.orientations,
            "colours": self.colour_grid**2 * COLOURS,
            "presence": self.shape_grid**2,
            "flow": flow * self.directions,
            "rhythm": flow * 2 * RHYTHMS,
            "camera": 4,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the format and every parameter."""
        return hashlib.sha256(json.dumps([FORMAT, dataclasses.asdict(self)], sort_keys=True).encode()).hexdigest()

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """(T, D) float32, one row for each second from the first frame's to the last one's.

        A second without frames repeats the row before it. Raises `InputError` if there is no frame at all.
        """
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the flow's value depends on the number of threads
        try:
            rows: list[np.ndarray] = []
            for second, images in self._seconds(frames):
                row = self.describe(images)
                rows += rows[-1:] * (second - len(rows)) if rows else []
                rows.append(row)
        finally:
            cv2.setNumThreads(threads)
        if not rows:
            raise InputError("a clip without frames has no features")
        return np.stack(rows)
