"""The `motion` encoder: frames -> gradients, colour and optical flow, one row a second, with nothing to download.

1. The camera's own motion is fitted to dense optical flow (robustly: most of the picture does not act) and removed.
2. The median of the frames of up to three seconds, lined up, is the scene; what differs from it is the actor, in a
   square window as large as what moves.
3. The scene gives gradients and colours of a few bands. The window gives those and flow, of the actor alone, cell by
   cell (what the body does) and as pairs anywhere in it (what the prop is), folded: left and right are the same.

Histograms are normalised by the picture and square-rooted. F frames of a second, R rows and C columns of cells, B bins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from itertools import chain, groupby, islice, tee
from typing import ClassVar

import cv2
import numpy as np

from cezsar.encoders.base import ObjectHead
from cezsar.errors import InputError
from cezsar.video import Frame, Sampling

FORMAT = "cezsar motion 2"  # raised whenever the same frames no longer give the same rows
# The parts of a row that show what the actor and the prop look like, hardly what they do.
APPEARANCE = ("gradient pairs", "coloured gradients", "colours", "neighbouring colours")

Grid = tuple[int, int]  # rows and columns of cells
Window = tuple[float, float, float]  # left, top and side of a square, in pixels


@dataclass(frozen=True)
class Second:
    """The frames of one second. Flow and camera lead to a frame from the one before; a shot's first frame has none."""

    number: int
    images_FHW3: np.ndarray
    small_FHW3: np.ndarray
    flow_FHW2: np.ndarray  # of the small frames, without the camera's part
    camera_F4: np.ndarray
    shot_F: np.ndarray  # number of the shot
    first_F: np.ndarray  # whether it is a shot's first frame

    def of(self, shot: int) -> Second:
        """The frames of one shot alone."""
        number, *arrays = vars(self).values()
        return Second(number, *(array[self.shot_F == shot] for array in arrays))


@dataclass(frozen=True)
class MotionEncoder:
    """Every parameter is a field, and the fingerprint is made of all of them. Lengths are in pixels."""

    fps: float = 8.0
    max_side: int = 160  # of the frames that the window is cut from
    small_side: int = 80  # of the frames that flow and scene are computed on
    window: int = 96  # side of the actor's window after scaling
    look_step: int = 2  # gradients and colours of the actor are taken from every how-many-th frame
    flow_window: int = 36  # the same as `window` for its flow
    scene_grid: Grid = (4, 1)  # columns say little when the camera moves
    shape_grid: Grid = (6, 6)
    flow_grid: Grid = (6, 6)
    rhythm_grid: Grid = (4, 4)
    colour_grid: Grid = (3, 3)
    gradient_radii: tuple[int, ...] = (2, 4, 8)
    colour_radii: tuple[int, ...] = (3,)
    name: str = field(default="motion", init=False)
    in_decoder: bool = field(default=True, init=False)
    object_head: ObjectHead | None = field(default=None, init=False)
    domain: ClassVar[str] = "nothing: gradients, colour and optical flow, computed"

    @property
    def sampling(self) -> Sampling:
        return Sampling(fps=self.fps, max_side=self.max_side)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode()).hexdigest()

    @cached_property
    def blocks(self) -> dict[str, int]:
        """Name and width of each part of a row, in order."""
        black, none = np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, int)
        blank = Second(0, black, black, np.zeros((1, 32, 32, 2), np.float32), np.zeros((1, 4)), none, none == 0)
        return {name: part.size for name, part in self._parts(None, blank, None).items()}

    @property
    def dim(self) -> int:
        return sum(self.blocks.values())

    def columns(self, *names: str) -> np.ndarray:
        """Where the named parts are in a row, as indices."""
        parts = np.split(np.arange(self.dim), np.cumsum(list(self.blocks.values()))[:-1])
        return np.concatenate([dict(zip(self.blocks, parts, strict=True))[name] for name in names])

    def encode(self, frames: Iterable[Frame]) -> np.ndarray:
        """(T, D) float32, one row for each second from the clip's start to its last frame; values lie in about [0, 10].
        A second without frames repeats the row before it. Frames, in time order, may have any size, even change it."""
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the flow depends on the number of threads, and frames this small gain nothing from more
        rows: list[np.ndarray] = []
        try:
            before, seconds, after = tee(self._seconds(frames), 3)
            neighbours = zip(chain([None], before), seconds, chain(islice(after, 1, None), [None]), strict=False)
            for last, now, following in neighbours:
                row = np.concatenate(list(self._parts(last, now, following).values()))
                rows += [rows[-1] if rows else row] * (now.number - len(rows)) + [row]
        finally:
            cv2.setNumThreads(threads)
        if not rows:
            raise InputError("a clip without frames has no features")
        return np.stack(rows)

    def _seconds(self, frames: Iterable[Frame]) -> Iterator[Second]:
        """The seconds that have frames."""
        size: tuple[int, int] | None = None
        last: np.ndarray | None = None
        shot = 0
        for number, group in groupby(frames, key=lambda frame: int(frame.time_s + 1e-6)):
            seen = []
            for frame in group:
                size = size or _size(frame.image, self.max_side)
                image = _resized(frame.image, size)
                small = _resized(image, _size(image, self.small_side))
                first = last is None or new_shot(last, small)
                seen.append((image, small, optical_flow(None if first else last, small), first))
                last = small
            image_FHW3, small_FHW3, flow_FHW2, first_F = map(np.stack, zip(*seen, strict=True))
            shot_F = shot + np.cumsum(first_F)
            shot = int(shot_F[-1])
            camera_F4 = camera_motion(flow_FHW2, small_FHW3[-1])
            flow_FHW2 = flow_FHW2 - camera_flow(camera_F4, *small_FHW3.shape[1:3])
            yield Second(number, image_FHW3, small_FHW3, flow_FHW2, camera_F4, shot_F, first_F)

    def _parts(self, before: Second | None, now: Second, after: Second | None) -> dict[str, np.ndarray]:
        """The parts of a row, by name: of the shot that most of the second shows."""
        shot = int(np.bincount(now.shot_F).argmax())
        now = now.of(shot)
        near = [second.of(shot) for second in (before, now, after) if second is not None]
        first = len(near[0].shot_F) if before is not None else 0
        small, camera = (np.concatenate([vars(one)[name] for one in near]) for name in ("small_FHW3", "camera_F4"))
        step = 1 if len(small) <= self.fps else 2  # every other frame shows as well what stays
        scene_HW3, actor_FHW = split_actor(small, camera, first, first + len(now.shot_F), step)
        window = actor_window(actor_FHW)
        edges = gradients(cv2.cvtColor(scene_HW3, cv2.COLOR_RGB2GRAY)[None])
        scene = {
            "scene gradients": gradient_cells(*edges, self.scene_grid),
            "scene colours": colour_cells(colour_index(scene_HW3)[None], None, self.scene_grid),
        }
        parts = scene | self._body(now, window) | self._looks(now, actor_FHW, window)
        return {name: part.astype(np.float32).ravel() for name, part in parts.items()}

    def _body(self, now: Second, window: Window) -> dict[str, np.ndarray]:
        """What moves where in the window, and how fast: in window sides per second."""
        follows = ~now.first_F if not now.first_F.all() else now.first_F
        flow = cut(now.flow_FHW2[follows], window, self.flow_window, cv2.BORDER_CONSTANT) * (self.fps / window[2])
        camera = np.abs(now.camera_F4[follows]).mean(0) * (self.fps / window[2])
        rows, columns = self.rhythm_grid
        rhythm = rhythm_cells(flow, self.rhythm_grid, self.fps)
        return {
            "flow": folded(flow_cells(flow, self.flow_grid), cell_mirror(*self.flow_grid, DIRECTION_MIRROR)),
            "rhythm": folded(rhythm, cell_mirror(RHYTHMS * rows, columns, (0, 1))),
            "camera": np.sqrt(camera),
        }

    def _looks(self, now: Second, actor_FHW: np.ndarray, window: Window) -> dict[str, np.ndarray]:
        """What the actor and the prop look like, whatever is behind them."""
        scale = now.images_FHW3.shape[2] / actor_FHW.shape[2]
        large = (window[0] * scale, window[1] * scale, window[2] * scale)
        images = cut(now.images_FHW3[:: self.look_step], large, self.window, cv2.BORDER_REPLICATE)
        actor = cut(actor_FHW[:: self.look_step], window, self.window, cv2.BORDER_CONSTANT)
        grey = cv2.cvtColor(images.reshape(-1, self.window, 3), cv2.COLOR_RGB2GRAY).reshape(actor.shape)
        size, bins = gradients(grey)
        size *= actor
        colours, same = colour_index(images), tuple(range(COLOURS))
        shape, shares = gradient_cells(size, bins, self.shape_grid), colour_cells(colours, actor, self.colour_grid)
        presence = cv2.resize(actor.mean(0), self.shape_grid[::-1], interpolation=cv2.INTER_AREA)
        neighbours = [colour_neighbours(colours, actor, radius) for radius in self.colour_radii]
        joint = (colours.astype(np.int32) * ORIENTATIONS + bins).ravel()  # orientations on each colour, anywhere
        coloured = np.bincount(joint, size.ravel(), COLOURS * ORIENTATIONS)
        coloured = folded(coloured, cell_mirror(COLOURS, 1, ORIENTATION_MIRROR), odd=False)
        return {
            "gradients": folded(shape, cell_mirror(*self.shape_grid, ORIENTATION_MIRROR)),
            "presence": folded(presence, cell_mirror(*self.shape_grid, (0,))),
            "gradient pairs": np.concatenate([gradient_pairs(size, bins, radius) for radius in self.gradient_radii]),
            "coloured gradients": np.sqrt(coloured / (size.sum() + FLAT * size.size)),
            "colours": folded(shares, cell_mirror(*self.colour_grid, same), odd=False),
            "neighbouring colours": np.concatenate(neighbours),
        }


def _size(image: np.ndarray, side: int) -> tuple[int, int]:
    """(width, height) with a longer side of `side` pixels and the other in proportion, but 24 at least."""
    height, width = (max(24, round(length * (side / max(image.shape[:2])))) for length in image.shape[:2])
    return width, height


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (width, height)."""
    if image.shape[1::-1] == size:
        return image
    smaller = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


# Camera, scene and actor: everything works on the small frames of one shot. ------------------------------------------

CUT = 0.22  # the mean change of a pixel, of 1, plus the share of the picture that changes colour
NOISE, SURE = 12, 52  # differences from the scene, of 255, that mean nothing and that mean an actor
EXPECTED_ACTOR = 0.06  # how much a person in the middle of the picture is expected, against what is seen to move
_INWARD = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def optical_flow(before_HW3: np.ndarray | None, after_HW3: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32 pixels right and down, zeros after None. Dense inverse search (Kroeger et al., ECCV 2016)."""
    if before_HW3 is None:
        return np.zeros((*after_HW3.shape[:2], 2), np.float32)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    method.setFinestScale(0)
    method.setPatchStride(6)
    method.setGradientDescentIterations(8)
    before, after = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before_HW3, after_HW3))
    return method.calc(before, after, None)  # type: ignore[call-overload]  # None: no first guess


def new_shot(before_HW3: np.ndarray, after_HW3: np.ndarray) -> bool:
    """Whether so much changes, in the pixels and in how much there is of each colour, that it must be a cut."""
    change = cv2.norm(before_HW3, after_HW3, cv2.NORM_L1) / (255 * before_HW3.size)
    if change < CUT / 4:
        return False
    before, after = (np.bincount(colour_index(one).ravel(), minlength=COLOURS) for one in (before_HW3, after_HW3))
    return bool(change + np.abs(before - after).sum() / (2 * before.sum()) > CUT)


def camera_motion(flow_FHW2: np.ndarray, picture_HW3: np.ndarray) -> np.ndarray:
    """(F, 4) shift right and down, zoom and roll, all in pixels a frame (the last two at the middle of the side edges).
    Least squares on coarse samples, reweighted until what moves on its own counts little (Cauchy weights). Textured
    places of `picture_HW3`, one of the pictures, count for more, since the flow of flat ones is a guess."""
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
    """The scene (H, W, 3) uint8, and how surely each pixel of the frames [first, last) is actor, (F, H, W) in [0, 1].
    Every `step`-th frame is lined up with the middle one of those by the camera's motion (`camera_F4[k]` leads to frame
    k); their median is the scene, and the actor is what differs from it."""
    height, width = small_FHW3.shape[1:3]
    path = np.cumsum(camera_F4[:, :3], axis=0)
    path -= path[(first + last) // 2]

    def warped(picture: np.ndarray, frame: int, flags: int) -> np.ndarray:
        x, y, zoom = path[frame]
        scale = 1 + zoom / (width / 2)  # about the picture's middle
        middle_x, middle_y = x + (1 - scale) * (width - 1) / 2, y + (1 - scale) * (height - 1) / 2
        matrix = np.array([[scale, 0, middle_x], [0, scale, middle_y]])
        return cv2.warpAffine(picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    scene = _median(np.stack([warped(small_FHW3[k], k, _INWARD) for k in range(0, len(small_FHW3), step)]))
    actor = np.empty((last - first, height, width), np.float32)
    for index in range(first, last):
        seen = warped(scene, index, cv2.INTER_LINEAR)
        red, green, blue = cv2.split(cv2.absdiff(seen, small_FHW3[index]))
        actor[index - first] = cv2.max(cv2.max(red, green), blue)
    return scene, np.clip((actor - NOISE) / (SURE - NOISE), 0, 1)


def _median(pictures: np.ndarray) -> np.ndarray:
    """The upper median along the first axis: exchanges of whole pictures are faster than sorting each pixel."""
    count = len(pictures)
    for turn in range(count):
        low, high = pictures[turn % 2 : count - 1 : 2], pictures[turn % 2 + 1 : count : 2]
        low[:], high[:] = np.minimum(low, high), np.maximum(low, high)
    return pictures[count // 2]


def actor_window(actor_FHW: np.ndarray) -> Window:
    """The square that the actor acts in; the less there is to see of one, the more that of somebody in the middle."""
    seen = actor_FHW.mean(0)
    height, width = seen.shape
    x, y = np.meshgrid((np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.55)
    expected = np.exp(-((x / 0.14) ** 2 + (y / 0.25) ** 2) / 2)
    mass = seen * np.exp(-((x / 0.35) ** 2)) + EXPECTED_ACTOR * expected

    def quantiles(axis: int, *shares: float) -> np.ndarray:  # the first pixel reaches from 0 to 1
        total = np.concatenate([[0.0], np.cumsum(mass.sum(axis))])
        return np.interp(np.array(shares) * total[-1], total, np.arange(len(total)))

    left, middle, right = quantiles(0, 0.1, 0.5, 0.9)
    top, bottom = quantiles(1, 0.04, 0.96)
    side = float(np.clip(1.25 * max(bottom - top, right - left), 0.3 * height, 1.2 * height))
    return float(middle - side / 2), float((top + bottom - side) / 2), side


def cut(pictures: np.ndarray, window: Window, side: int, outside: int) -> np.ndarray:
    """The window of each picture, scaled to `side` pixels; beyond the edge as OpenCV's border mode `outside` says."""
    left, top, length = window
    scale = length / side
    matrix = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
    return np.stack([cv2.warpAffine(one, matrix, (side, side), flags=_INWARD, borderMode=outside) for one in pictures])


# Histograms ----------------------------------------------------------------------------------------------------------

ORIENTATIONS = 8  # of gradients, unsigned, over half a turn
DIRECTIONS = 8  # of flow, over a whole turn; the first is to the right, the third down
COLOURS = 24  # ten hues, each dark or light, then four greys
PAINTS = 13  # the same, coarser: ten hues, then dark, middle and light grey
RHYTHMS = 4  # cycles a second: 0, 1, 2 and 3
FLAT = 5e-4  # a picture whose mean gradient (0 to 1) is this small gets half the values of a sharp one

ORIENTATION_MIRROR = tuple(range(ORIENTATIONS - 1, -1, -1))
DIRECTION_MIRROR = tuple((DIRECTIONS // 2 - k) % DIRECTIONS for k in range(DIRECTIONS))
_HUES = (COLOURS - 4) // 2
_PAINT = np.array([k // 2 for k in range(2 * _HUES)] + [_HUES, _HUES + 1, _HUES + 1, _HUES + 2], np.uint8)


def cell_sums(bins_FHW: np.ndarray, weights_FHW: np.ndarray | None, grid: Grid, count: int) -> np.ndarray:
    """(R, C, B) sums of the weights (None: ones) of the pixels in each bin in each cell of a grid."""
    height, width = bins_FHW.shape[1:]
    (rows, columns), weights = grid, None if weights_FHW is None else weights_FHW.ravel()
    cells_HW = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    return np.bincount((cells_HW * count + bins_FHW).ravel(), weights, rows * columns * count).reshape(*grid, count)


def folded(values: np.ndarray, mirror: np.ndarray, odd: bool = True) -> np.ndarray:
    """The mean of each pair that a mirrored picture exchanges, and with `odd` how far the two are apart."""
    values = values.ravel()
    other, index = values[mirror], np.arange(len(mirror))
    even = (values + other)[index <= mirror] / 2
    return np.concatenate([even, np.abs(values - other)[index < mirror]]) if odd else even


@cache
def cell_mirror(rows: int, columns: int, bins: tuple[int, ...]) -> np.ndarray:
    """The mirror of flattened (R, C, B) cells whose bin k becomes `bins[k]`."""
    index = np.arange(rows * columns * len(bins)).reshape(rows, columns, len(bins))
    return index[:, ::-1][..., list(bins)].ravel()


def gradients(grey_FHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength in [0, 1] and orientation bin of the Sobel gradient of each pixel, (F, H, W) each. Bin k holds gradients
    at [k, k + 1) / 8 of half a turn, from right (0) over down."""
    tall = grey_FHW.reshape(-1, grey_FHW.shape[2])  # one call for all frames; their seams are the rows left out
    size, angle = cv2.cartToPolar(cv2.Sobel(tall, cv2.CV_32F, 1, 0), cv2.Sobel(tall, cv2.CV_32F, 0, 1))
    size = np.minimum(size * (1 / 1020), 1).reshape(grey_FHW.shape)
    size[:, 0] = size[:, -1] = 0
    bins = (angle * (ORIENTATIONS / np.pi)).astype(np.int32) % ORIENTATIONS
    return size, bins.reshape(grey_FHW.shape)


def gradient_cells(size_FHW: np.ndarray, bins_FHW: np.ndarray, grid: Grid) -> np.ndarray:
    """(R, C, 8) histograms of oriented gradients; the whole picture's strength is brought to one per cell."""
    sums, cells = cell_sums(bins_FHW, size_FHW, grid, ORIENTATIONS), grid[0] * grid[1]
    return np.sqrt(sums / (sums.sum() / cells + FLAT * size_FHW.size / cells))


def gradient_pairs(size_FHW: np.ndarray, bins_FHW: np.ndarray, radius: int) -> np.ndarray:
    """How often gradients of two orientations are `radius` pixels apart, anywhere: 132 numbers, folded. Gradient local
    auto-correlations of first order (Kobayashi and Otsu, ECCV 2008), by the weaker gradient's strength."""
    turned = np.array(ORIENTATION_MIRROR)
    pair = np.arange(ORIENTATIONS**2).reshape(ORIENTATIONS, ORIENTATIONS)
    swapped = pair[np.ix_(turned, turned)]
    offsets = ((radius, 0), (0, radius), (radius, radius), (-radius, radius))
    across, down, *diagonals = (pair_sums(bins_FHW, size_FHW, offset, ORIENTATIONS) for offset in offsets)
    parts = [
        folded(across, swapped.T.ravel(), odd=False),  # the left one of a pair is the right one in the mirror
        folded(down, swapped.ravel(), odd=False),
        folded(np.stack(diagonals), np.concatenate([swapped.ravel() + pair.size, swapped.ravel()]), odd=False),
    ]
    return np.sqrt(np.concatenate(parts) / (size_FHW.sum() + FLAT * size_FHW.size) * 8)


def pair_sums(bins_FHW: np.ndarray, weights_FHW: np.ndarray, offset: tuple[int, int], count: int) -> np.ndarray:
    """(B, B) sums, over pixels and those `offset` (right, down >= 0) from them, of the smaller of the two weights."""
    right, down = offset
    height, width = bins_FHW.shape[1:]
    first = (slice(None), slice(0, height - down), slice(max(0, -right), width - max(0, right)))
    second = (slice(None), slice(down, height), slice(max(0, right), width + min(0, right)))
    pairs = bins_FHW[first].astype(np.int32) * count + bins_FHW[second]
    weights = np.minimum(weights_FHW[first], weights_FHW[second])
    return np.bincount(pairs.ravel(), weights.ravel(), count * count).reshape(count, count)


def colour_index(image: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (...) uint8 colours: hue * 2 + (1 if light), or 20 to 23 from black to white."""
    high = (image >> 3).astype(np.uint16)
    return _colour_table()[(high[..., 0] << 10) | (high[..., 1] << 5) | high[..., 2]]


@cache
def _colour_table() -> np.ndarray:
    """The colour of every RGB triple of 32 levels each, by its HSV."""
    levels = (np.arange(32) * 8 + 4).astype(np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(1, -1, 3)
    hue, saturation, value = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[0].astype(np.int32).T
    vivid, grey = (hue * _HUES // 180) * 2 + (value > 140), 2 * _HUES + value // 64
    return np.where(saturation * value < 50 * 140, grey, vivid).astype(np.uint8)  # dark colours are hardly colours


def colour_cells(colours_FHW: np.ndarray, weights_FHW: np.ndarray | None, grid: Grid) -> np.ndarray:
    """(R, C, 24) shares of the colours in each cell; in one that weighs little they are all small."""
    sums = cell_sums(colours_FHW, weights_FHW, grid, COLOURS)
    return np.sqrt(sums / (sums.sum(-1, keepdims=True) + 0.02 * colours_FHW.size / (grid[0] * grid[1])))


def colour_neighbours(colours_FHW: np.ndarray, weights_FHW: np.ndarray, radius: int) -> np.ndarray:
    """How often two paints are `radius` pixels apart, side by side or one above the other: 91 numbers."""
    paints = _PAINT[colours_FHW]
    sums = pair_sums(paints, weights_FHW, (radius, 0), PAINTS) + pair_sums(paints, weights_FHW, (0, radius), PAINTS)
    pairs = (sums + sums.T)[np.triu_indices(PAINTS)] / 4
    return np.sqrt(pairs / (weights_FHW.sum() + 0.02 * weights_FHW.size))


def flow_cells(flow_FHW2: np.ndarray, grid: Grid) -> np.ndarray:
    """(R, C, 8) histograms of the direction of flow: root of the mean speed in each direction."""
    shape = flow_FHW2.shape[:3]
    size, angle = cv2.cartToPolar(flow_FHW2[..., 0].reshape(-1), flow_FHW2[..., 1].reshape(-1))
    bins = (angle * (DIRECTIONS / (2 * np.pi)) + 0.5).astype(np.int32) % DIRECTIONS
    sums = cell_sums(bins.reshape(shape), size.reshape(shape), grid, DIRECTIONS)
    return np.sqrt(sums * (grid[0] * grid[1] / np.prod(shape)))


def rhythm_cells(flow_FHW2: np.ndarray, grid: Grid, fps: float) -> np.ndarray:
    """(4, R, C, 2) how strongly a cell's mean flow swings 0 to 3 times a second, right-left and down-up (Fourier)."""
    series = np.stack([cv2.resize(flow, grid[::-1], interpolation=cv2.INTER_AREA) for flow in flow_FHW2])
    turns = np.exp(-2j * np.pi / fps * np.outer(np.arange(RHYTHMS), np.arange(len(series))))
    return np.sqrt(np.abs(np.tensordot(turns, series, 1)) / len(series))
