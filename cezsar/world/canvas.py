"""What places are painted with: flat shapes in units that the camera later sees about one pixel wide.

A backdrop is `HEIGHT` units high. The floor begins at the row `HORIZON`; people stand about the row `GROUND`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

HEIGHT, HORIZON, GROUND = 176, 104, 142

Colour = tuple[int, int, int]


class Canvas:
    """A backdrop being painted, in units that are `scale` pixels wide; shapes are clipped to the picture."""

    def __init__(self, width: int, rng: np.random.Generator, scale: float = 1.0) -> None:
        self.pixels = np.zeros((round(HEIGHT * scale), round(width * scale), 3), dtype=np.uint8)
        self.width = width
        self.rng = rng
        self.scale = scale

    def rows(self, top: int, bottom: int, first: Colour, last: Colour) -> None:
        """Fill the rows [top, bottom) with a vertical gradient."""
        start, stop = round(top * self.scale), round(bottom * self.scale)
        share = np.linspace(0, 1, stop - start)[:, None]
        blend = np.array(first) * (1 - share) + np.array(last) * share
        self.pixels[start:stop] = blend[:, None, :].astype(np.uint8)

    def _corners(self, points: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
        return np.round(np.asarray(points, dtype=np.float64) * (16 * self.scale)).astype(np.int32)

    def shape(self, colour: Colour, points: Sequence[tuple[float, float]] | np.ndarray) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._corners(points)], colour, cv2.LINE_AA, 4)

    def box(self, colour: Colour, x: float, y: float, w: float, h: float) -> None:
        """Fill a rectangle with its top left corner at (x, y)."""
        left, top, right, bottom = (round(int(edge) * self.scale) for edge in (x, y, x + w, y + h))
        cv2.rectangle(self.pixels, (left, top), (right - 1, bottom - 1), colour, -1)

    def disc(self, colour: Colour, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """Fill an ellipse."""
        unit = 16 * self.scale
        axes = (int(rx * unit), int((rx if ry is None else ry) * unit))
        cv2.ellipse(self.pixels, (int(x * unit), int(y * unit)), axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)

    def lines(self, colour: Colour, ends: np.ndarray, width: int = 1) -> None:
        """Draw many separate lines: `ends` is (n, 2, 2)."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, list(self._corners(ends)), False, colour, thickness, cv2.LINE_AA, 4)

    def band(self, colour: Colour, x: np.ndarray, top: np.ndarray, bottom: np.ndarray | float) -> None:
        """Fill between two outlines over the same x."""
        low = np.broadcast_to(bottom, x.shape)
        self.shape(colour, np.stack([np.concatenate([x, x[::-1]]), np.concatenate([top, low[::-1]])], 1))

    def hills(self, colour: Colour, base: float, height: float, length: float) -> None:
        """A rolling outline from edge to edge, filled down to the horizon."""
        x = np.arange(-8, self.width + 9, 8)
        turns = self.rng.uniform(0, 2 * np.pi, 3)
        y = (
            np.sin(x / length + turns[0])
            + 0.5 * np.sin(x / length * 2.3 + turns[1])
            + 0.25 * np.sin(x / length * 5 + turns[2])
        )
        top = base - height * (0.5 + y / 3.5)
        self.band(colour, x, top, HORIZON + 2)

    def every(self, spacing: float, jitter: float = 0.4) -> np.ndarray:
        """x positions from edge to edge, about `spacing` apart."""
        count = max(2, int((self.width + 2 * spacing) / spacing))
        start = self.rng.uniform(-spacing, 0)
        return start + spacing * (np.arange(count) + self.rng.uniform(-jitter, jitter, count))

    def tufts(self, colour: Colour, per_pixel: float, length: float, top: int = HORIZON + 4) -> None:
        """Short strokes on the floor, longer when nearer."""
        count = int(self.width * per_pixel)
        y = self.rng.uniform(top, HEIGHT, count)
        x = self.rng.uniform(0, self.width, count)
        size = length * (0.3 + (y - HORIZON) / (HEIGHT - HORIZON))
        slant = self.rng.uniform(-0.4, 0.4, count) * size
        self.lines(colour, np.stack([np.stack([x, y], 1), np.stack([x + slant, y - size], 1)], 1))

    def clouds(self, colour: Colour = (250, 251, 253)) -> None:
        """A few heaps of discs in the sky."""
        for x in self.every(130):
            y, size = self.rng.uniform(22, 52), self.rng.uniform(7, 13)
            for dx, dy, r in ((-1.3, 0.2, 0.7), (0.0, -0.2, 1.0), (1.2, 0.1, 0.8), (0.3, 0.4, 1.0)):
                self.disc(colour, x + dx * size, y + dy * size * 0.6, r * size * 1.2, r * size * 0.62)

    def tree(self, x: float, foot: float, size: float, leaf: Colour) -> None:
        """A broad-leaved tree with lit and shaded foliage."""
        trunk = (104, 74, 48)
        self.shape(
            trunk,
            [
                (x - 0.08 * size, foot),
                (x + 0.08 * size, foot),
                (x + 0.04 * size, foot - 0.6 * size),
                (x - 0.04 * size, foot - 0.6 * size),
            ],
        )
        dark, light = shade(leaf, 0.78), shade(leaf, 1.15)
        for tone, dx, dy, r in (
            (dark, -0.24, -0.62, 0.27), (dark, 0.25, -0.60, 0.26), (leaf, 0.0, -0.82, 0.32),
            (leaf, -0.14, -0.66, 0.26), (light, -0.08, -0.92, 0.17), (light, 0.14, -0.74, 0.14),
        ):  # fmt: skip
            self.disc(tone, x + dx * size, foot + dy * size, r * size)

    def pine(self, x: float, foot: float, size: float, leaf: Colour, snow: bool = False) -> None:
        """A conifer of three tiers."""
        self.box((92, 66, 46), x - 0.04 * size, foot - 0.16 * size, 0.08 * size, 0.16 * size)
        for k in range(3):
            y, half = foot - (0.12 + 0.26 * k) * size, (0.30 - 0.07 * k) * size
            self.shape(shade(leaf, 0.86 + 0.1 * k), [(x - half, y), (x + half, y), (x, y - 0.42 * size)])
            if snow:
                self.shape(
                    (238, 244, 250),
                    [(x - 0.42 * half, y - 0.24 * size), (x + 0.42 * half, y - 0.24 * size), (x, y - 0.42 * size)],
                )

    def boards(self, colour: Colour, spacing: float) -> None:
        """Floor boards running towards the viewer, spreading from the horizon."""
        x = np.arange(-self.width, 2 * self.width, spacing)
        middle = self.width / 2
        top = np.stack([middle + (x - middle) * 0.62, np.full_like(x, HORIZON)], 1)
        bottom = np.stack([middle + (x - middle) * 1.6, np.full_like(x, HEIGHT)], 1)
        self.lines(colour, np.stack([top, bottom], 1))


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker or lighter."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """One of several colours."""
    return colours[int(rng.integers(len(colours)))]
