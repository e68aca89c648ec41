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

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import groupby

import cv2
import numpy as np

from cezsar.encoders.base import ObjectHead
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

FORMAT = "cezsar motion 1"
"""Raised whenever the same frames no longer give the same rows."""

COLOURS = 24  # ten hues, each light or dark, and four greys
RHYTHMS = 4  # none, one, two and three cycles a second


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
    prior: float = 0.15
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
        return hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode()).hexdigest()

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """(T, D) float32, one row for each second from the clip's start to its last frame.

        A second without frames repeats the row before it. Raises `InputError` if there is no frame at all.
        """
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the flow's values depend on the number of threads
        try:
            rows: list[np.ndarray] = []
            for second, images in self._seconds(frames):
                row = self.describe(images)
                rows += [rows[-1] if rows else row] * (second - len(rows))
                rows.append(row)
        finally:
            cv2.setNumThreads(threads)
        if not rows:
            raise InputError("a clip without frames has no features")
        return np.stack(rows)

    def _seconds(self, frames: Iterable[Frame]) -> Iterator[tuple[int, list[np.ndarray]]]:
        """(second, its frames, preceded by the last frame of the second before), all of one size."""
        size: tuple[int, int] | None = None
        last: list[np.ndarray] = []
        for second, group in groupby(frames, key=lambda frame: int(frame.time_s + 1e-6)):
            images = []
            for frame in group:
                size = size or _canvas(frame.image.shape[1], frame.image.shape[0], self.max_side)
                images.append(_resized(frame.image, size))
            yield second, last + images
            last = images[-1:]

    def describe(self, images: list[np.ndarray]) -> np.ndarray:
        """The row (D,) of a second: its frames, (H, W, 3) uint8 RGB, in time order."""
        images_FHW3 = np.stack(images)
        height, width = images_FHW3.shape[1:3]
        shrink = self.flow_side / max(height, width)
        small_size = max(16, round(width * shrink)), max(16, round(height * shrink))
        small_FHW3 = np.stack([_resized(image, small_size) for image in images])
        flow_FHW2 = dense_flow(small_FHW3)
        camera_F4 = camera_motion(flow_FHW2, small_FHW3)
        flow_FHW2 = flow_FHW2 - camera_flow(camera_F4, flow_FHW2.shape[1:3])
        scene_HW3, actor_FHW = split_actor(small_FHW3, camera_F4)
        x, y, side = actor_box(actor_FHW, self.prior)
        window = (x - side / 2, y - side / 2, side)
        grey_FWW, colour_FWW, weight_FWW = self._cut(images_FHW3, actor_FHW, window)
        motion_FWW2 = cut(flow_FHW2, window, 32) * (1.0 / side)
        parts = [
            gradients(cv2.cvtColor(scene_HW3, cv2.COLOR_RGB2GRAY)[None], None, self.scene_grid, self.orientations),
            colours(colour_index(scene_HW3)[None], None, self.scene_grid),
            gradients(grey_FWW, weight_FWW, (self.shape_grid,) * 2, self.orientations),
            colours(colour_FWW, weight_FWW, (self.colour_grid,) * 2),
            presence(weight_FWW, self.shape_grid),
            flow_directions(motion_FWW2, self.flow_grid, self.directions),
            rhythm(motion_FWW2, self.flow_grid),
            np.abs(camera_F4 / [side, side, 0.1, 0.1]).mean(0) * 4,
        ]
        return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])

    def _cut(self, images, actor_FHW, window):
        scale = images.shape[2] / actor_FHW.shape[2]
        scaled = tuple(scale * value for value in window)
        colour = cut(images, scaled, self.window)
        weight = cut(actor_FHW, window, self.window)
        tall = colour.reshape(-1, self.window, 3)
        return cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY).reshape(colour.shape[:3]), colour_index(colour), weight


def _canvas(width: int, height: int, side: int) -> tuple[int, int]:
    """The size that every frame of a clip is brought to: the longer side is `side`, the other at least 32 pixels."""
    scale = side / max(width, height)
    return max(32, round(width * scale)), max(32, round(height * scale))


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return image
    smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def dense_flow(small_FHW3: np.ndarray) -> np.ndarray:
    """Flow between neighbours, (F - 1, H, W, 2) pixels a frame; one frame of zeros if there is only one."""
    count, height, width = small_FHW3.shape[:3]
    flow = np.zeros((max(count - 1, 1), height, width, 2), np.float32)
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    method.setFinestScale(1)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small_FHW3]
    for index in range(count - 1):
        method.calc(greys[index], greys[index + 1], flow[index])
    return flow


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates from the middle of the picture, in half widths."""
    x = (np.arange(width) - (width - 1) / 2) / (width / 2)
    y = (np.arange(height) - (height - 1) / 2) / (width / 2)
    return np.meshgrid(x.astype(np.float32), y.astype(np.float32))


def camera_flow(camera_F4: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The flow (F, H, W, 2) that shift, zoom and roll of the camera give."""
    x, y = _grid(*shape)
    shift_x, shift_y, zoom, roll = (camera_F4[:, k, None, None].astype(np.float32) for k in range(4))
    return np.stack([shift_x + zoom * x - roll * y, shift_y + roll * x + zoom * y], -1)


def camera_motion(flow_FHW2: np.ndarray, small_FHW3: np.ndarray) -> np.ndarray:
    """(F, 4): shift right and down in pixels a frame, and zoom and roll in pixels at the side edges.

    Least squares over coarse samples, reweighted until what moves on its own no longer counts (Cauchy weights);
    textured places count for more, since flow in flat ones is a guess.
    """
    count, height, width = flow_FHW2.shape[:3]
    size = (max(width // 4, 4), max(height // 4, 4))
    samples = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in flow_FHW2])
    grey = cv2.cvtColor(small_FHW3[len(small_FHW3) // 2], cv2.COLOR_RGB2GRAY)
    edges = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    texture = np.sqrt(cv2.resize(edges, size, interpolation=cv2.INTER_AREA)).ravel() + 1.0
    x, y = (axis.ravel() for axis in _grid(size[1], size[0]))
    one, none = np.ones_like(x), np.zeros_like(x)
    design = np.stack([np.stack([one, none, x, -y], -1), np.stack([none, one, y, x], -1)], 1).astype(np.float64)
    square = np.einsum("ski,skj->sij", design, design).reshape(len(x), 16)
    target = samples.reshape(count, -1, 2).astype(np.float64)
    camera = np.zeros((count, 4))
    camera[:, :2] = np.median(target, axis=1)
    for _ in range(5):
        residual = target - (camera @ design.reshape(-1, 4).T).reshape(target.shape)
        error = np.square(residual).sum(-1)
        weight = texture / (1 + error / np.maximum(np.median(error, axis=1, keepdims=True), 0.01))
        normal = (weight @ square).reshape(count, 4, 4) + 1e-3 * np.eye(4)
        right = (weight[..., None] * target).reshape(count, -1) @ design.reshape(-1, 4)
        camera = np.linalg.solve(normal, right[..., None])[..., 0]
    return camera


def split_actor(small_FHW3: np.ndarray, camera_F4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scene (H, W, 3) uint8 without the actor, and how much each pixel of each frame is actor, (F, H, W) in [0, 1]."""
    count, height, width = small_FHW3.shape[:3]
    middle = count // 2
    step = np.zeros((count, 3))
    step[1:] = camera_F4[: count - 1, :3]
    path = np.cumsum(step, axis=0)
    path -= path[middle]
    to_frame = []
    for shift_x, shift_y, zoom in path:
        scale = 1 + zoom / (width / 2)
        to_frame.append(
            np.array([
                [scale, 0, shift_x + (1 - scale) * (width - 1) / 2],
                [0, scale, shift_y + (1 - scale) * (height - 1) / 2],
            ])
        )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = np.stack([
        cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for image, matrix in zip(small_FHW3, to_frame, strict=True)
    ])
    for start in range(count):  # odd-even sort along time: uint8 minima and maxima of whole pictures
        low, high = aligned[start % 2 : count - 1 : 2], aligned[start % 2 + 1 : count : 2]
        low[:], high[:] = np.minimum(low, high), np.maximum(low, high)
    scene = aligned[count // 2]
    actor = np.empty((count, height, width), np.float32)
    for index, matrix in enumerate(to_frame):
        seen = cv2.warpAffine(scene, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        actor[index] = cv2.absdiff(seen, small_FHW3[index]).max(-1)
    return scene, np.clip((actor - 12) / 40, 0, 1)


def actor_box(actor_FHW: np.ndarray, prior: float) -> tuple[float, float, float]:
    """Middle and side of the actor's window, in pixels."""
    energy = actor_FHW.mean(0)
    height, width = energy.shape
    x, y = np.meshgrid((np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.55)
    expected = np.exp(-((x / 0.14) ** 2 + (y / 0.25) ** 2) / 2)
    weight = energy * np.exp(-((x / 0.35) ** 2)) + prior * expected
    across, down = weight.sum(0), weight.sum(1)
    left, middle_x, right = _quantiles(across, (0.1, 0.5, 0.9))
    top, middle_y, bottom = _quantiles(down, (0.04, 0.5, 0.96))
    side = np.clip(1.25 * max(bottom - top, right - left), 0.3 * height, 1.2 * height)
    return float(middle_x), float((top + bottom) / 2), float(side)


def _quantiles(weights: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(weights)])
    return np.interp(np.asarray(shares) * total[-1], total, np.arange(len(total)) - 0.5)


def cut(images: np.ndarray, window: tuple[float, float, float], side: int) -> np.ndarray:
    """The square window (left, top, side) of each image, scaled to `side` pixels."""
    left, top, length = window
    scale = length / side
    matrix = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([
        cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT if image.ndim == 2 else cv2.BORDER_REPLICATE)
        for image in images
    ])


@cache
def _cells(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """(H, W) int: which cell of a grid each pixel is in."""
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return row[:, None] * columns + column


def histogram(bins: np.ndarray, weights: np.ndarray | None, grid: tuple[int, int], count: int) -> np.ndarray:
    """(cells, count) weighted counts of `bins` (F, H, W) in each cell of a grid."""
    cells = _cells(bins.shape[1], bins.shape[2], *grid)
    number = grid[0] * grid[1] * count
    flat = (cells * count + bins).ravel()
    return np.bincount(flat, None if weights is None else weights.ravel(), number).reshape(-1, count)


def gradients(grey_FHW: np.ndarray, weight_FHW: np.ndarray | None, grid: tuple[int, int], orientations: int) -> np.ndarray:
    """Histogram of oriented gradients."""
    count, height, width = grey_FHW.shape
    tall = grey_FHW.reshape(-1, width)
    right, down = cv2.Sobel(tall, cv2.CV_32F, 1, 0), cv2.Sobel(tall, cv2.CV_32F, 0, 1)
    size, angle = cv2.cartToPolar(right, down)
    size = size.reshape(grey_FHW.shape)
    size[:, 0] = size[:, -1] = 0
    bins = (angle * (2 * orientations / (2 * np.pi))).astype(np.int32) % orientations
    if weight_FHW is not None:
        size *= weight_FHW
    found = histogram(bins.reshape(grey_FHW.shape), size, grid, orientations)
    return np.sqrt(found / (found.sum() / len(found) + count * height * width / len(found)))


def colours(index_FHW: np.ndarray, weight_FHW: np.ndarray | None, grid: tuple[int, int]) -> np.ndarray:
    found = histogram(index_FHW, weight_FHW, grid, COLOURS)
    return np.sqrt(found / (found.sum(1, keepdims=True) + 0.02 * index_FHW.size / len(found)))


@cache
def _colour_table() -> np.ndarray:
    levels = (np.arange(32) * 8 + 4).astype(np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(1, -1, 3)
    hue, saturation, value = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[0].astype(np.int32).T
    hues = (COLOURS - 4) // 2
    vivid = (hue * hues // 180) * 2 + (value > 140)
    grey = COLOURS - 4 + np.minimum(value // 64, 3)
    return np.where(saturation * value < 50 * 140, grey, vivid).astype(np.uint8)


def colour_index(image: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (...) index of its colour."""
    high = (image >> 3).astype(np.uint16)
    return _colour_table()[(high[..., 0] << 10) | (high[..., 1] << 5) | high[..., 2]]


def presence(weight_FHW: np.ndarray, cells: int) -> np.ndarray:
    return cv2.resize(weight_FHW.mean(0), (cells, cells), interpolation=cv2.INTER_AREA)


def flow_directions(flow_FHW2: np.ndarray, cells: int, directions: int) -> np.ndarray:
    size, angle = cv2.cartToPolar(flow_FHW2[..., 0].reshape(-1), flow_FHW2[..., 1].reshape(-1))
    bins = (angle * (directions / (2 * np.pi)) + 0.5).astype(np.int32) % directions
    shape = flow_FHW2.shape[:3]
    found = histogram(bins.reshape(shape), size.reshape(shape), (cells, cells), directions)
    return np.sqrt(found * (cells * cells / (shape[0] * shape[1] * shape[2])))


def rhythm(flow_FHW2: np.ndarray, cells: int) -> np.ndarray:
    series = np.stack([cv2.resize(one, (cells, cells), interpolation=cv2.INTER_AREA) for one in flow_FHW2])
    count = len(series)
    turns = np.exp(-2j * np.pi * np.arange(RHYTHMS)[:, None] * np.arange(count) / 8)
    return np.sqrt(np.abs(np.tensordot(turns, series, 1)) / count)
