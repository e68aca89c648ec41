"""Histograms of small pictures: gradients, colours, flow, and pairs of them, whole or cell by cell.

A mirrored picture holds the same action, so most of them are folded: the histogram of a picture and of its mirror image
give the same numbers (`folded`). Counts are normalised by the picture and then square-rooted, which evens out what is
frequent and what is rare. Values lie between 0 and about 10.

Shape letters: F frames, H and W pixels, R rows and C columns of cells, B bins.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

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


def cell_sums(bins_FHW: np.ndarray, weights_FHW: np.ndarray | None, grid: tuple[int, int], count: int) -> np.ndarray:
    """(R, C, B) sums of the weights (None: ones) of the pixels in each bin in each cell of a grid."""
    height, width = bins_FHW.shape[1:]
    flat = (_cells(height, width, *grid) * count + bins_FHW).ravel()
    weights = None if weights_FHW is None else weights_FHW.ravel()
    return np.bincount(flat, weights, grid[0] * grid[1] * count).reshape(*grid, count)


@cache
def _cells(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """(H, W) which cell each pixel is in."""
    return (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width


def folded(values: np.ndarray, mirror: np.ndarray, odd: bool = True) -> np.ndarray:
    """Numbers that a mirrored picture leaves as they are.

    `mirror` says which value each one becomes in the mirror image. Gives the mean of each pair, and unless `odd` is
    False how far the two are apart: together as many numbers as there were.
    """
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
    """Strength in [0, 1] and orientation bin of the Sobel gradient of each pixel, (F, H, W) each.

    Bin k holds gradients at [k, k + 1) / 8 of half a turn, from right (0) over down. The first and the last row of a
    picture have none.
    """
    tall = grey_FHW.reshape(-1, grey_FHW.shape[2])  # one call for all frames; their seams are the rows left out
    size, angle = cv2.cartToPolar(cv2.Sobel(tall, cv2.CV_32F, 1, 0), cv2.Sobel(tall, cv2.CV_32F, 0, 1))
    size = np.minimum(size * (1 / 1020), 1).reshape(grey_FHW.shape)
    size[:, 0] = size[:, -1] = 0
    bins = (angle * (ORIENTATIONS / np.pi)).astype(np.int32) % ORIENTATIONS
    return size, bins.reshape(grey_FHW.shape)


def gradient_cells(size_FHW: np.ndarray, bins_FHW: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(R, C, 8) histograms of oriented gradients; the whole picture's strength is brought to one per cell."""
    sums = cell_sums(bins_FHW, size_FHW, grid, ORIENTATIONS)
    cells = grid[0] * grid[1]
    return np.sqrt(sums / (sums.sum() / cells + FLAT * size_FHW.size / cells))


def gradient_pairs(size_FHW: np.ndarray, bins_FHW: np.ndarray, radius: int) -> np.ndarray:
    """How often gradients of two orientations are `radius` pixels apart, anywhere: 132 numbers, folded.

    Gradient local auto-correlations of first order (Kobayashi and Otsu, ECCV 2008), weighted by the weaker of the
    two gradients: outlines described by their turns, wherever they are in the picture.
    """
    turned = np.array(ORIENTATION_MIRROR)
    pair = np.arange(ORIENTATIONS**2).reshape(ORIENTATIONS, ORIENTATIONS)
    swapped = pair[np.ix_(turned, turned)]
    across = pair_sums(bins_FHW, size_FHW, (radius, 0), ORIENTATIONS)
    down = pair_sums(bins_FHW, size_FHW, (0, radius), ORIENTATIONS)
    diagonals = [pair_sums(bins_FHW, size_FHW, (side * radius, radius), ORIENTATIONS) for side in (1, -1)]
    parts = [
        folded(across, swapped.T.ravel(), odd=False),  # the left one of a pair is the right one in the mirror
        folded(down, swapped.ravel(), odd=False),
        folded(np.stack(diagonals), np.concatenate([swapped.ravel() + pair.size, swapped.ravel()]), odd=False),
    ]
    return np.sqrt(np.concatenate(parts) / (size_FHW.sum() + FLAT * size_FHW.size) * 8)


PAIRS = ORIENTATIONS * (ORIENTATIONS + 1) // 2 + ORIENTATIONS**2 // 2 + ORIENTATIONS**2
"""Width of `gradient_pairs`."""


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
    vivid = (hue * _HUES // 180) * 2 + (value > 140)
    grey = 2 * _HUES + value // 64
    return np.where(saturation * value < 50 * 140, grey, vivid).astype(np.uint8)  # dark colours are hardly colours


def colour_cells(colours_FHW: np.ndarray, weights_FHW: np.ndarray | None, grid: tuple[int, int]) -> np.ndarray:
    """(R, C, 24) shares of the colours in each cell; in one that weighs little they are all small."""
    sums = cell_sums(colours_FHW, weights_FHW, grid, COLOURS)
    return np.sqrt(sums / (sums.sum(-1, keepdims=True) + 0.02 * colours_FHW.size / (grid[0] * grid[1])))


def colour_neighbours(colours_FHW: np.ndarray, weights_FHW: np.ndarray, radius: int) -> np.ndarray:
    """How often two paints are `radius` pixels apart, side by side or one above the other: 91 numbers."""
    paints = _PAINT[colours_FHW]
    sums = pair_sums(paints, weights_FHW, (radius, 0), PAINTS) + pair_sums(paints, weights_FHW, (0, radius), PAINTS)
    pairs = (sums + sums.T)[np.triu_indices(PAINTS)] / 4
    return np.sqrt(pairs / (weights_FHW.sum() + 0.02 * weights_FHW.size))


def coloured_gradients(colours_FHW: np.ndarray, size_FHW: np.ndarray, bins_FHW: np.ndarray) -> np.ndarray:
    """(24 * 4,) how strong gradients of each orientation are on each colour, anywhere, folded."""
    joint = colours_FHW.astype(np.int32) * ORIENTATIONS + bins_FHW
    sums = np.bincount(joint.ravel(), size_FHW.ravel(), COLOURS * ORIENTATIONS)
    even = folded(sums, cell_mirror(COLOURS, 1, ORIENTATION_MIRROR), odd=False)
    return np.sqrt(even / (size_FHW.sum() + FLAT * size_FHW.size))


def flow_cells(flow_FHW2: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(R, C, 8) histograms of the direction of flow: root of the mean speed in each direction."""
    shape = flow_FHW2.shape[:3]
    size, angle = cv2.cartToPolar(flow_FHW2[..., 0].reshape(-1), flow_FHW2[..., 1].reshape(-1))
    bins = (angle * (DIRECTIONS / (2 * np.pi)) + 0.5).astype(np.int32) % DIRECTIONS
    sums = cell_sums(bins.reshape(shape), size.reshape(shape), grid, DIRECTIONS)
    return np.sqrt(sums * (grid[0] * grid[1] / np.prod(shape)))


def rhythm_cells(flow_FHW2: np.ndarray, grid: tuple[int, int], fps: float) -> np.ndarray:
    """(4, R, C, 2) how strongly a cell's mean flow swings 0, 1, 2 and 3 times a second, right-left and down-up.

    The root of the modulus of the Fourier sum over the second: when a swing begins does not matter.
    """
    size = (grid[1], grid[0])
    series = np.stack([cv2.resize(flow, size, interpolation=cv2.INTER_AREA) for flow in flow_FHW2])
    turns = np.exp(-2j * np.pi / fps * np.outer(np.arange(RHYTHMS), np.arange(len(series))))
    return np.sqrt(np.abs(np.tensordot(turns, series, 1)) / len(series))


@cache
def rhythm_mirror(rows: int, columns: int) -> np.ndarray:
    """The mirror of flattened `rhythm_cells`."""
    index = np.arange(RHYTHMS * rows * columns * 2).reshape(RHYTHMS, rows, columns, 2)
    return index[:, :, ::-1].ravel()


def mean_cells(weights_FHW: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(R, C) mean weight in each cell."""
    return cv2.resize(weights_FHW.mean(0), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
