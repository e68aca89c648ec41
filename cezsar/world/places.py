"""The places: each paints a wide backdrop once per shot, and the camera moves over it. Units are later seen about one
pixel wide: a backdrop is `HEIGHT` units high, its floor begins at the row `HORIZON`, and people stand about the row
`GROUND`. Decoration differs by the random generator, the kind of place never does."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cezsar.world.props import Colour, shade

HEIGHT, HORIZON, GROUND = 176, 104, 142


def backdrop(place: str, width: int, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Paint a place `width` units wide, `scale` pixels to the unit: (HEIGHT * scale, width * scale, 3) uint8 RGB."""
    scene = Scene(width, rng, scale)
    getattr(scene, place.replace(" ", "_"))()
    return scene.pixels


class Scene:
    """A backdrop being painted, in units that are `scale` pixels wide: brushes, then a method for each place."""

    def __init__(self, width: int, rng: np.random.Generator, scale: float = 1.0) -> None:
        self.pixels = np.zeros((round(HEIGHT * scale), round(width * scale), 3), dtype=np.uint8)
        self.width, self.rng, self.scale = width, rng, scale

    def rows(self, top: int, bottom: int, first: Colour, last: Colour) -> None:
        """Fill the rows [top, bottom) with a vertical gradient."""
        start, stop = round(top * self.scale), round(bottom * self.scale)
        share = np.linspace(0, 1, stop - start)[:, None]
        blend = np.array(first) * (1 - share) + np.array(last) * share
        self.pixels[start:stop] = blend[:, None, :].astype(np.uint8)

    def _corners(self, points: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
        return np.round(np.asarray(points, dtype=np.float64) * (16 * self.scale)).astype(np.int32)

    def shape(self, colour: Colour, points: Sequence[tuple[float, float]] | np.ndarray) -> None:
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
        y = np.sin(x / length + turns[0]) + 0.5 * np.sin(x / length * 2.3 + turns[1])
        y = y + 0.25 * np.sin(x / length * 5 + turns[2])
        self.band(colour, x, base - height * (0.5 + y / 3.5), HORIZON + 2)

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
        self.quad(trunk, x - 0.08 * size, x + 0.08 * size, foot, x + 0.04 * size, x - 0.04 * size, foot - 0.6 * size)
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
                top, low = y - 0.42 * size, y - 0.24 * size
                self.shape((238, 244, 250), [(x - 0.42 * half, low), (x + 0.42 * half, low), (x, top)])

    def boards(self, colour: Colour, spacing: float) -> None:
        """Floor boards running towards the viewer, spreading from the horizon."""
        x = np.arange(-self.width, 2 * self.width, spacing)
        middle = self.width / 2
        top = np.stack([middle + (x - middle) * 0.62, np.full_like(x, HORIZON)], 1)
        bottom = np.stack([middle + (x - middle) * 1.6, np.full_like(x, HEIGHT)], 1)
        self.lines(colour, np.stack([top, bottom], 1))

    def quad(self, colour: Colour, x0: float, x1: float, top: float, x2: float, x3: float, bottom: float) -> None:
        """Fill a quadrangle with level edges: from x0 to x1 at the top, from x3 to x2 at the bottom."""
        self.shape(colour, [(x0, top), (x1, top), (x2, bottom), (x3, bottom)])

    def pick(self, colours: Sequence[Colour]) -> Colour:
        return colours[int(self.rng.integers(len(colours)))]

    # The places, named as in `actions.py` ----------------------------------------------------------------------------

    def stage(self) -> None:
        curtain = self.pick(((140, 24, 40), (110, 20, 70), (40, 34, 110), (150, 40, 24)))
        self.rows(0, HORIZON, shade(curtain, 0.55), curtain)
        for x in self.every(15, 0.2):
            self.quad(shade(curtain, 1.18), x, x + 4, 0, x + 5, x + 1, HORIZON)
            self.quad(shade(curtain, 0.66), x + 8, x + 12, 0, x + 12, x + 8, HORIZON)
        self.box((214, 170, 70), 0, HORIZON - 7, self.width, 2)
        for x in self.every(34, 0.0):
            self.disc(shade(curtain, 0.8), x, 2, 19, 14)
            self.disc((214, 170, 70), x, 15, 2, 2)
        self.rows(HORIZON, HEIGHT, (112, 72, 44), (168, 112, 66))
        self.boards((96, 60, 36), 26)
        unlit = self.pixels.copy()
        for x in self.every(110):
            foot = x + self.rng.uniform(-50, 50)
            glow = self.pick(((255, 240, 190), (200, 220, 255), (255, 200, 220)))
            self.quad(glow, x - 3, x + 3, 0, foot + 34, foot - 34, GROUND)
            self.disc((255, 240, 200), foot, GROUND, 36, 9)
        cv2.addWeighted(self.pixels, 0.24, unlit, 0.76, 0, self.pixels)
        for x in self.every(150, 0.2):
            self.box((34, 34, 40), x, HORIZON - 26, 24, 32)
            self.disc((70, 70, 80), x + 12, HORIZON - 6, 8)
            self.disc((70, 70, 80), x + 12, HORIZON - 19, 4)

    def street(self) -> None:
        self.rows(0, HORIZON, (150, 190, 226), (220, 230, 236))
        x = -float(self.rng.uniform(0, 40))
        while x < self.width:
            w, h = float(self.rng.uniform(46, 80)), float(self.rng.uniform(58, 98))
            wall = self.pick(((186, 110, 90), (206, 178, 140), (150, 160, 176), (180, 140, 120), (120, 136, 150)))
            self.box(wall, x, HORIZON - h, w, h)
            self.box(shade(wall, 0.75), x, HORIZON - h, w, 4)
            self.box(shade(wall, 0.85), x + w - 5, HORIZON - h, 5, h)
            glass = self.pick(((90, 120, 150), (250, 226, 150), (70, 90, 120)))
            for wy in np.arange(HORIZON - h + 9, HORIZON - 34, 19):
                for wx in np.arange(x + 6, x + w - 12, 15):
                    self.box((236, 234, 228), wx - 1, wy - 1, 10, 13)
                    self.box(glass if self.rng.random() < 0.7 else (250, 226, 150), wx, wy, 8, 11)
            awning = self.pick(((200, 60, 60), (40, 120, 90), (50, 90, 160), (220, 150, 40)))
            self.box((70, 80, 96), x + 7, HORIZON - 24, w - 16, 22)
            self.box((160, 190, 206), x + 9, HORIZON - 20, w - 30, 15)
            self.box(awning, x + 4, HORIZON - 29, w - 10, 8)
            for stripe in np.arange(x + 4, x + w - 10, 10):
                self.box((244, 240, 232), stripe, HORIZON - 29, 5, 8)
            x += w + 1
        self.rows(HORIZON, HORIZON + 14, (176, 174, 170), (190, 188, 184))
        self.box((140, 138, 136), 0, HORIZON + 14, self.width, 4)
        self.rows(HORIZON + 18, HEIGHT, (84, 86, 92), (104, 106, 112))
        for x in self.every(64, 0.0):
            self.quad((236, 232, 214), x, x + 30, 156, x + 34, x + 2, 160)
        for x in self.every(150):
            self.box((50, 56, 60), x, HORIZON - 62, 3, 72)
            self.box((50, 56, 60), x, HORIZON - 62, 14, 2)
            self.disc((255, 240, 180), x + 14, HORIZON - 58, 4, 3)

    def park(self) -> None:
        self.rows(0, HORIZON, (120, 186, 240), (214, 236, 248))
        self.clouds()
        self.hills((150, 196, 150), HORIZON - 12, 22, 60)
        for x in self.every(30):
            foot, size = HORIZON + self.rng.uniform(-6, 2), self.rng.uniform(32, 46)
            self.tree(x, foot, size, self.pick(((86, 150, 80), (104, 164, 84), (74, 136, 84))))
        self.rows(HORIZON, HEIGHT, (132, 190, 92), (94, 160, 70))
        self.shape((216, 198, 160), [(-8, 118), (self.width + 8, 114), (self.width + 8, 124), (-8, 130)])
        for x in self.every(120):
            size = self.rng.uniform(80, 105)
            self.disc((84, 142, 66), x, HORIZON + 10, size * 0.32, 4)
            self.tree(x, HORIZON + 9, size, self.pick(((66, 140, 66), (88, 156, 60), (150, 160, 50))))
        for x in self.every(170):
            for dy in (0, 5):
                self.box((146, 96, 54), x, HORIZON - 5 + dy, 36, 3)
            self.box((60, 60, 64), x + 3, HORIZON - 5, 2, 17)
            self.box((60, 60, 64), x + 31, HORIZON - 5, 2, 17)
        self.tufts((120, 186, 84), 0.7, 5)
        self.tufts((78, 142, 60), 0.5, 5)

    def beach(self) -> None:
        self.rows(0, 70, (96, 186, 240), (206, 236, 246))
        self.clouds()
        sun = self.rng.uniform(30, self.width - 30)
        self.disc((255, 246, 204), sun, 24, 13)
        self.disc((255, 238, 150), sun, 24, 10)
        self.rows(70, HORIZON + 4, (30, 122, 180), (84, 196, 206))
        waves = self.rng.uniform(0, 1, (int(self.width * 0.35), 2)) * (self.width, HORIZON - 74) + (0, 73)
        ends = waves + np.stack([4 + (waves[:, 1] - 70) * 0.4, 0 * waves[:, 0]], 1)
        self.lines((170, 226, 236), np.stack([waves, ends], 1))
        for x in self.every(150):
            size = self.rng.uniform(10, 18)
            self.shape((250, 250, 246), [(x, 76), (x, 76 - size), (x + size * 0.6, 76)])
            sail = self.pick(((220, 70, 60), (250, 180, 60)))
            self.shape(sail, [(x - 1, 76), (x - 1, 76 - size * 0.8), (x - size * 0.4, 76)])
            self.quad((90, 60, 44), x - 7, x + 10, 77, x + 6, x - 4, 81)
        x = np.arange(-8, self.width + 9, 6)
        edge = HORIZON + 3 * np.sin(x / 23 + self.rng.uniform(0, 6)) + 1.5 * np.sin(x / 9)
        self.rows(HORIZON + 4, HEIGHT, (238, 214, 158), (226, 192, 130))
        self.band((200, 176, 128), x, edge + 7, HORIZON)
        self.band((246, 250, 250), x, edge + 3, HORIZON - 3)
        self.band((96, 204, 210), x, edge, HORIZON - 8)
        for px in self.every(190):
            lean = self.rng.uniform(-14, 14)
            self.quad((140, 102, 66), px - 3, px + 4, 116, px + lean + 2, px + lean - 1, 44)
            for angle in np.radians([10, 50, 95, 135, 172, 205, -25]):
                tip = (px + lean + 27 * np.cos(angle), 46 - 17 * np.sin(angle) + 7)
                mid = (px + lean + 15 * np.cos(angle), 42 - 15 * np.sin(angle))
                self.shape((54, 140, 76), [(px + lean, 44), mid, tip, (mid[0], mid[1] + 5)])
        for px in self.every(140):
            colour = self.pick(((230, 80, 70), (60, 130, 210), (250, 190, 60)))
            self.quad(colour, px, px + 30, 122, px + 36, px + 3, 128)
            self.quad((250, 246, 240), px + 10, px + 18, 122, px + 22, px + 13, 128)
        self.tufts((206, 172, 112), 0.6, 2)

    def kitchen(self) -> None:
        wall = self.pick(((238, 226, 196), (206, 226, 222), (240, 214, 196), (222, 224, 236)))
        door = self.pick(((196, 146, 96), (240, 238, 230), (110, 150, 140), (150, 104, 70)))
        self.rows(0, HORIZON + 10, wall, shade(wall, 0.8))
        tile = shade(wall, 0.84)
        self.lines(tile, np.array([[(x, 48), (x, HORIZON)] for x in range(0, self.width, 12)]))
        self.lines(tile, np.array([[(0, y), (self.width, y)] for y in range(48, HORIZON, 10)]))
        for x in np.arange(-float(self.rng.uniform(0, 60)), self.width, 38):
            if self.rng.random() < 0.72:
                self.box(door, x, 8, 36, 38)
                self.box(shade(door, 0.82), x + 3, 11, 30, 32)
                self.box(shade(door, 0.95), x + 5, 13, 26, 28)
                self.box((90, 84, 78), x + 28, 34, 3, 6)
            else:
                self.box((250, 250, 246), x + 2, 10, 32, 36)
                self.box((150, 206, 240), x + 4, 12, 13, 32)
                self.box((170, 216, 244), x + 19, 12, 13, 32)
        self.box((92, 88, 90), 0, 74, self.width, 5)
        self.box((70, 66, 66), 0, 78, self.width, 2)
        for x in np.arange(-float(self.rng.uniform(0, 60)), self.width, 44):
            kind = self.rng.random()
            if kind < 0.62:
                self.box(door, x, 80, 43, 34)
                self.box(shade(door, 0.84), x + 3, 83, 37, 28)
                self.box((90, 84, 78), x + 18, 86, 8, 2)
            else:
                self.box((226, 228, 232), x, 80, 43, 34)
                self.box((60, 62, 70), x + 5, 90, 33, 19)
                self.box((250, 170, 80), x + 8, 93, 27, 13)
            item = self.pick(((200, 70, 60), (80, 140, 90), (240, 190, 70), (100, 130, 190)))
            self.box(item, x + 6, 64, 10, 10)
            self.disc((236, 236, 232), x + 31, 71, 7, 4)
        for x in self.every(260):
            self.box((214, 220, 224), x, 30, 44, 88)
            self.box((170, 178, 184), x, 62, 44, 2)
            self.box((130, 138, 146), x + 38, 40, 3, 16)
            self.box((130, 138, 146), x + 38, 70, 3, 22)
        self.box((96, 82, 70), 0, HORIZON + 8, self.width, 3)
        self.rows(HORIZON + 10, HEIGHT, (196, 176, 150), (222, 204, 178))
        middle = self.width / 2
        for row, (y0, y1) in enumerate(((114, 122), (122, 134), (134, 152), (152, 178))):
            spread0, spread1 = 1 + (y0 - 114) / 60, 1 + (y1 - 114) / 60
            for k in range(-self.width // 50 - 2, self.width // 50 + 3):
                if (k + row) % 2 == 0:
                    (a, b), (c, d) = ([middle + k * 26 * s, middle + (k + 1) * 26 * s] for s in (spread0, spread1))
                    self.quad((170, 140, 112), a, b, y0, d, c, y1)

    def gym(self) -> None:
        wall = self.pick(((206, 212, 218), (190, 204, 214), (220, 214, 200)))
        stripe = self.pick(((40, 90, 170), (210, 70, 50), (40, 140, 110)))
        self.rows(0, HORIZON, shade(wall, 0.9), wall)
        self.box(stripe, 0, 70, self.width, 7)
        self.box(shade(stripe, 1.3), 0, 79, self.width, 2)
        for x in self.every(66, 0.1):
            self.box((236, 244, 250), x, 8, 40, 22)
            self.box((168, 206, 232), x + 2, 10, 17, 18)
            self.box((178, 214, 238), x + 21, 10, 17, 18)
        for x in self.every(170):
            for dx in range(0, 56, 11):
                self.box((176, 128, 76), x + dx, 36, 3, HORIZON - 36)
            for y in range(40, HORIZON, 9):
                self.box((206, 160, 100), x, y, 47, 3)
        for x in self.every(150):
            self.box((44, 46, 54), x, HORIZON - 22, 44, 3)
            self.box((44, 46, 54), x, HORIZON - 8, 44, 3)
            self.box((44, 46, 54), x + 2, HORIZON - 24, 3, 28)
            self.box((44, 46, 54), x + 39, HORIZON - 24, 3, 28)
            for dx in range(6, 38, 9):
                weight = self.pick(((70, 72, 80), (180, 50, 46), (50, 90, 160)))
                self.disc(weight, x + dx, HORIZON - 25, 4)
                self.disc(shade(weight, 0.8), x + dx + 2, HORIZON - 11, 4)
        self.rows(HORIZON, HEIGHT, (206, 158, 102), (226, 182, 124))
        self.boards((190, 140, 88), 20)
        self.quad(stripe, -8, self.width + 8, 121, self.width + 8, -8, 123)
        self.quad((240, 240, 236), -8, self.width + 8, 160, self.width + 8, -8, 163)
        for x in self.every(190):
            self.quad(shade(stripe, 1.1), x, x + 60, 112, x + 68, x - 2, 120)
            self.quad(shade(stripe, 0.75), x - 2, x + 68, 120, x + 68, x - 2, 124)

    def snow_field(self) -> None:
        self.rows(0, HORIZON, (150, 186, 222), (226, 236, 244))
        for x in self.every(92):
            h, w = self.rng.uniform(40, 66), self.rng.uniform(56, 86)
            self.shape((146, 162, 190), [(x - w, HORIZON), (x, HORIZON - h), (x + w, HORIZON)])
            self.shape((122, 138, 170), [(x, HORIZON - h), (x + w, HORIZON), (x + 0.2 * w, HORIZON)])
            cap = ((-0.36, 0.64), (0, 1), (0.36, 0.64), (0.12, 0.70), (-0.04, 0.58), (-0.18, 0.72))
            self.shape((244, 248, 252), [(x + dx * w, HORIZON - dy * h) for dx, dy in cap])
        self.hills((214, 226, 240), HORIZON - 2, 14, 70)
        self.rows(HORIZON, HEIGHT, (228, 236, 246), (246, 249, 253))
        for x in self.every(46):
            self.pine(x, HORIZON + self.rng.uniform(-3, 5), self.rng.uniform(30, 52), (58, 108, 92), snow=True)
        x = np.arange(-8, self.width + 9, 8)
        for level, colour in ((120, (206, 220, 238)), (152, (214, 226, 242))):
            top = level + 4 * np.sin(x / 37 + self.rng.uniform(0, 6))
            self.band(colour, x, top, top + 3 + 2 * np.sin(x / 19))
        for px in self.every(210):
            self.disc((198, 212, 232), px + 3, 121, 15, 4)
            for dy, r in ((112, 11), (97, 8), (85, 6)):
                self.disc((206, 218, 234), px + 1.5, dy + 0.5, r)
                self.disc((252, 253, 255), px, dy, r)
            self.shape((240, 130, 40), [(px, 84), (px, 87), (px + 8, 86)])
            self.box((60, 50, 50), px - 5, 77, 10, 3)
            self.box((60, 50, 50), px - 3, 71, 7, 7)
            self.box((200, 50, 50), px - 6, 90, 12, 3)
        flakes = self.rng.uniform(0, 1, (self.width // 4, 2)) * (self.width, HORIZON)
        for fx, fy in flakes:
            self.disc((250, 252, 255), fx, fy, 0.9)

    def garden(self) -> None:
        self.rows(0, HORIZON + 3, (150, 206, 240), (226, 240, 240))
        self.clouds()
        for x in self.every(240):
            wall = self.pick(((244, 226, 190), (226, 170, 140), (200, 214, 220)))
            self.box(wall, x, HORIZON - 56, 92, 56)
            self.quad((164, 74, 56), x - 8, x + 100, HORIZON - 55, x + 78, x + 14, HORIZON - 86)
            self.box((110, 74, 52), x + 40, HORIZON - 36, 17, 36)
            for dx in (10, 66):
                self.box((250, 250, 244), x + dx, HORIZON - 44, 18, 20)
                self.box((130, 180, 210), x + dx + 2, HORIZON - 42, 14, 16)
        for x in self.every(36):
            r = self.rng.uniform(12, 18)
            self.disc((70, 134, 70), x, HORIZON - 4, r * 1.3, r)
            self.disc((90, 156, 80), x - 3, HORIZON - 8, r * 0.9, r * 0.65)
        fence = self.pick(((246, 244, 236), (190, 144, 98), (226, 236, 226)))
        self.box(shade(fence, 0.88), 0, HORIZON - 18, self.width, 3)
        self.box(shade(fence, 0.88), 0, HORIZON - 6, self.width, 3)
        for x in range(-4, self.width, 10):
            post = ((0, 4), (6, 4), (6, -21), (3, -25), (0, -21))
            self.shape(fence, [(x + dx, HORIZON + dy) for dx, dy in post])
        self.rows(HORIZON + 3, HEIGHT, (130, 192, 84), (104, 170, 66))
        self.quad((124, 86, 56), -8, self.width + 8, 110, self.width + 8, -8, 121)
        for x in self.every(9):
            y = self.rng.uniform(104, 113)
            self.lines((60, 130, 60), np.array([[(x, y), (x, y + 8)]]))
            bloom = self.pick(((236, 70, 90), (250, 200, 60), (240, 130, 190), (170, 90, 210), (250, 250, 246)))
            self.disc(bloom, x, y, 3.4)
            self.disc((250, 226, 110), x, y, 1.2)
        self.tufts((140, 204, 90), 0.7, 4, 126)
        self.tufts((88, 152, 58), 0.6, 4, 126)

    def forest(self) -> None:
        self.rows(0, HORIZON + 2, (150, 190, 150), (206, 222, 176))
        for depth, (tone, count) in enumerate((((120, 160, 124), 14), ((84, 126, 90), 22), ((48, 90, 60), 40))):
            for x in self.every(count):
                w = 3 + 3.5 * depth + self.rng.uniform(0, 3)
                trunk = ((132, 140, 112), (110, 100, 78), (84, 62, 46))[depth]
                self.quad(trunk, x - w / 2, x + w / 2, 0, x + w * 0.75, x - w * 0.75, HORIZON + 4 * depth)
                if depth == 2:
                    self.quad(shade(trunk, 1.3), x - w / 2, x - w / 5, 0, x - w / 4, x - w * 0.7, HORIZON + 8)
            for x in self.every(count * 0.8):
                y, rx, ry = (self.rng.uniform(*span) for span in ((-8, 20 - 6 * depth), (14, 24), (9, 15)))
                self.disc(tone, x, y, rx, ry)
        self.rows(HORIZON + 2, HEIGHT, (96, 112, 58), (122, 98, 62))
        for x in self.every(24):
            y = self.rng.uniform(HORIZON - 2, HORIZON + 8)
            for angle in np.radians([20, 50, 80, 110, 140, 165]):
                tip = (x + 11 * np.cos(angle), y + 4 - 12 * np.sin(angle))
                self.shape((70, 132, 62), [(x - 1, y + 5), tip, (x + 1.5, y + 5)])
        for x in self.every(170):
            self.disc((190, 50, 40), x, 118, 5, 3.4)
            self.box((240, 232, 214), x - 1, 119, 3, 6)
        leaves = self.rng.uniform(0, 1, (self.width, 2)) * (self.width, HEIGHT - HORIZON - 10) + (0, HORIZON + 10)
        for number, (x, y) in enumerate(leaves):
            self.disc(((180, 130, 50), (150, 90, 44), (110, 130, 60))[number % 3], x, y, 2.2, 1.0)

    def workshop(self) -> None:
        wall = self.pick(((168, 120, 84), (150, 142, 130), (176, 140, 100)))
        self.rows(0, HORIZON + 8, shade(wall, 0.86), wall)
        self.lines(shade(wall, 0.76), np.array([[(0, y), (self.width, y)] for y in range(9, HORIZON, 13)]))
        for x in self.every(180, 0.15):
            self.box((214, 188, 142), x, 16, 96, 44)
            self.box((150, 116, 78), x, 16, 96, 2)
            for k in range(6):
                tx, ty = x + 9 + 15 * k, 24
                kind = int(self.rng.integers(4))
                if kind == 0:
                    self.box((190, 60, 50), tx, ty + 12, 3, 18)
                    self.box((80, 84, 92), tx - 4, ty + 6, 11, 6)
                elif kind == 1:
                    self.quad((196, 202, 208), tx - 4, tx + 6, ty + 2, tx + 3, tx, ty + 22)
                    self.box((220, 150, 50), tx - 3, ty - 2, 8, 6)
                elif kind == 2:
                    self.disc((90, 96, 104), tx, ty + 6, 5)
                    self.disc((214, 188, 142), tx, ty + 4, 2.4)
                    self.box((90, 96, 104), tx - 1, ty + 8, 4, 20)
                else:
                    self.box((60, 110, 170), tx - 1, ty + 14, 4, 12)
                    self.box((190, 194, 200), tx, ty, 2, 15)
        self.box((134, 88, 50), 0, 78, self.width, 6)
        self.box((96, 60, 34), 0, 84, self.width, 2)
        for x in self.every(74, 0.1):
            self.box((112, 72, 42), x, 86, 7, 28)
            drawer = self.pick(((180, 60, 50), (70, 100, 140), (90, 120, 90)))
            self.box(drawer, x + 12, 88, 42, 24)
            for y in (88, 96, 104):
                self.box(shade(drawer, 0.75), x + 12, y + 6, 42, 2)
                self.box((220, 220, 214), x + 30, y + 2, 7, 2)
            self.box((70, 74, 82), x + 20, 68, 16, 10)
            self.box((110, 116, 124), x + 16, 66, 24, 4)
        self.rows(HORIZON + 8, HEIGHT, (136, 134, 130), (166, 162, 156))
        for x in self.every(110):
            for dy, colour in ((0, (206, 160, 100)), (5, (186, 140, 84)), (10, (216, 172, 112))):
                self.quad(colour, x, x + 48, 112 - dy, x + 50, x + 2, 117 - dy)
        self.tufts((216, 184, 128), 0.5, 1.5, HORIZON + 14)
