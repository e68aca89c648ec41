"""Who moves: the camera's own motion, the scene without the actor, and the window that the actor fills.

Everything works on the small frames of one shot. Shape letters: F frames, H and W pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from cezsar.encoders.histograms import COLOURS, colour_index

CUT = 0.22  # the mean change of a pixel, of 1, plus the share of the picture that changes colour
NOISE, SURE = 12, 52  # differences from the scene, of 255, that mean nothing and that mean an actor
EXPECTED_ACTOR = 0.06  # how much a person in the middle of the picture is expected, against what is seen to move
Window = tuple[float, float, float]
"""Left, top and side of a square, in pixels."""

_INWARD = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class FlowMeter:
    """Dense optical flow between two small pictures, by dense inverse search (Kroeger et al., ECCV 2016).

    OpenCV's fastest preset at full resolution, with fewer and wider steps. Single-threaded use gives the same values
    everywhere; more threads give others.
    """

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._method.setFinestScale(0)
        self._method.setPatchStride(6)
        self._method.setGradientDescentIterations(8)

    def __call__(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Two (H, W, 3) uint8 RGB pictures -> (H, W, 2) float32 pixels right and down; nothing for a picture itself."""
        if before is after:
            return np.zeros((*after.shape[:2], 2), np.float32)
        grey_before, grey_after = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after))
        return self._method.calc(grey_before, grey_after, None)  # type: ignore[call-overload]  # None: no first guess


def new_shot(before_HW3: np.ndarray, after_HW3: np.ndarray) -> bool:
    """Whether so much changes, in the pixels and in how much there is of each colour, that it must be a cut."""
    change = cv2.norm(before_HW3, after_HW3, cv2.NORM_L1) / (255 * before_HW3.size)
    if change < CUT / 4:
        return False
    before, after = (np.bincount(colour_index(one).ravel(), minlength=COLOURS) for one in (before_HW3, after_HW3))
    return bool(change + np.abs(before - after).sum() / (2 * before.sum()) > CUT)


def camera_motion(flow_FHW2: np.ndarray, picture_HW3: np.ndarray) -> np.ndarray:
    """What the camera does: (F, 4) shift right and down, zoom and roll, all in pixels a frame (the last two at the
    middle of the side edges).

    Least squares on coarse samples, reweighted until what moves on its own counts little (Cauchy weights). Textured
    places count for more, since the flow of flat ones is a guess; `picture_HW3` is one of the pictures.
    """
    count, height, width = flow_FHW2.shape[:3]
    size = (max(width // 4, 4), max(height // 4, 4))
    samples = np.stack([cv2.resize(flow, size, interpolation=cv2.INTER_AREA) for flow in flow_FHW2])
    grey_HW = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2GRAY)
    edges = np.abs(cv2.Sobel(grey_HW, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(grey_HW, cv2.CV_32F, 0, 1))
    texture = np.sqrt(cv2.resize(edges, size, interpolation=cv2.INTER_AREA)).ravel() + 1.0
    design = _camera_design(size[1], size[0])  # (samples, 2, 4)
    rows = design.reshape(-1, 4)
    squares = np.einsum("ski,skj->sij", design, design).reshape(-1, 16)
    target = samples.reshape(count, -1, 2).astype(np.float64)
    camera = np.zeros((count, 4))
    camera[:, :2] = np.median(target, axis=1)
    for _ in range(5):
        error = np.square(target - (camera @ rows.T).reshape(target.shape)).sum(-1)
        weight = texture / (1 + error / np.maximum(np.median(error, axis=1, keepdims=True), 0.01))
        normal = (weight @ squares).reshape(count, 4, 4) + 1e-3 * np.eye(4)
        right = (weight[..., None] * target).reshape(count, -1) @ rows
        camera = np.linalg.solve(normal, right[..., None])[..., 0]
    return camera


def camera_flow(camera_F4: np.ndarray, height: int, width: int) -> np.ndarray:
    """The flow (F, H, W, 2) float32 that a still scene shows under this camera motion."""
    flow = camera_F4 @ _camera_design(height, width).reshape(-1, 4).T
    return flow.reshape(len(camera_F4), height, width, 2).astype(np.float32)


def _camera_design(height: int, width: int) -> np.ndarray:
    """(H * W, 2, 4): the flow at each pixel that each part of a camera motion gives."""
    x = (np.arange(width) - (width - 1) / 2) / (width / 2)
    y = (np.arange(height) - (height - 1) / 2) / (width / 2)
    x, y = (axis.ravel() for axis in np.meshgrid(x, y))
    one, none = np.ones_like(x), np.zeros_like(x)
    return np.stack([np.stack([one, none, x, -y], -1), np.stack([none, one, y, x], -1)], 1)


def split_actor(
    small_FHW3: np.ndarray, camera_F4: np.ndarray, first: int, last: int, step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The scene, and how surely each pixel of the frames `first` to `last` (exclusive) is actor.

    Every `step`-th of the F frames is lined up with the middle one of those by the camera's motion (`camera_F4[k]`
    leads to frame k); their median is the scene, and the actor is what differs from it. Returns (H, W, 3) uint8 and
    (last - first, H, W) float32 in [0, 1].
    """
    height, width = small_FHW3.shape[1:3]
    path = np.cumsum(camera_F4[:, :3], axis=0)
    path -= path[(first + last) // 2]
    to_frame = [_scaling(x, y, 1 + zoom / (width / 2), height, width) for x, y, zoom in path]
    edge = cv2.BORDER_REPLICATE
    aligned = np.stack(
        [
            cv2.warpAffine(small_FHW3[k], to_frame[k], (width, height), flags=_INWARD, borderMode=edge)
            for k in range(0, len(small_FHW3), step)
        ]
    )
    scene = _median(aligned)
    actor = np.empty((last - first, height, width), np.float32)
    for index in range(first, last):
        seen = cv2.warpAffine(scene, to_frame[index], (width, height), flags=cv2.INTER_LINEAR, borderMode=edge)
        red, green, blue = cv2.split(cv2.absdiff(seen, small_FHW3[index]))
        actor[index - first] = cv2.max(cv2.max(red, green), blue)
    return scene, np.clip((actor - NOISE) / (SURE - NOISE), 0, 1)


def _scaling(x: float, y: float, scale: float, height: int, width: int) -> np.ndarray:
    """The affine map that scales about the picture's middle and then shifts by (x, y)."""
    return np.array([
        [scale, 0, x + (1 - scale) * (width - 1) / 2],
        [0, scale, y + (1 - scale) * (height - 1) / 2],
    ])  # fmt: skip


def _median(pictures: np.ndarray) -> np.ndarray:
    """The (upper) median along the first axis, which gets sorted: odd-even exchanges of whole pictures of uint8 are
    several times faster than sorting each pixel."""
    count = len(pictures)
    for turn in range(count):
        low, high = pictures[turn % 2 : count - 1 : 2], pictures[turn % 2 + 1 : count : 2]
        low[:], high[:] = np.minimum(low, high), np.maximum(low, high)
    return pictures[count // 2]


def actor_window(actor_FHW: np.ndarray) -> Window:
    """Left, top and side, in pixels, of the square that the actor acts in.

    From the shares of the actor's mass to each side and above and below, so that a few stray pixels do not matter. The
    less there is to see of an actor, the more the window is that of somebody in the middle of the picture.
    """
    seen = actor_FHW.mean(0)
    height, width = seen.shape
    x, y = np.meshgrid((np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.55)
    expected = np.exp(-((x / 0.14) ** 2 + (y / 0.25) ** 2) / 2)
    mass = seen * np.exp(-((x / 0.35) ** 2)) + EXPECTED_ACTOR * expected
    left, middle, right = _quantiles(mass.sum(0), (0.1, 0.5, 0.9))
    top, bottom = _quantiles(mass.sum(1), (0.04, 0.96))
    side = float(np.clip(1.25 * max(bottom - top, right - left), 0.3 * height, 1.2 * height))
    return float(middle - side / 2), float((top + bottom - side) / 2), side


def _quantiles(mass: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Where along a line these shares of its mass lie; the first pixel reaches from 0 to 1."""
    total = np.concatenate([[0.0], np.cumsum(mass)])
    return np.interp(np.array(shares) * total[-1], total, np.arange(len(total)))


def cut(pictures: np.ndarray, window: Window, side: int, outside: int) -> np.ndarray:
    """The square window (left, top, side) of each picture, scaled to `side` pixels.

    Beyond the picture's edge lies what OpenCV's border mode `outside` puts there.
    """
    left, top, length = window
    scale = length / side
    matrix = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
    return np.stack([cv2.warpAffine(one, matrix, (side, side), flags=_INWARD, borderMode=outside) for one in pictures])
