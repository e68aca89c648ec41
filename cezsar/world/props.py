"""The props: shapes, characteristic colours, and where hands take hold. Lengths are body heights; each prop has its own
frame, +y up along the prop when it stands upright."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Point = tuple[float, float]
Colour = tuple[int, int, int]


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker or lighter."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


# Anchors (grip, centre, base) as x y. Colours by name, with RGB where the name alone says another tone.
_TABLE = """
prop     | grip     | mid   | base    | reach | tall | tilt | colours
ball     | 0 0      | 0 0   | 0 -.115 | .115  | .23  | 0    | orange, red, yellow
hammer   | 0 0      | 0 .12 | 0 -.12  | .11   | .58  | 1.1  | red, yellow, black
broom    | 0 .12    | 0 0   | 0 -.58  | .16   | .94  | 1.2  | yellow 232 190 70, straw 214 170 84
umbrella | 0 0      | 0 .1  | 0 -.1   | .05   | .64  | 0    | red, purple, blue, pink
guitar   | 0 .3     | 0 .08 | 0 -.23  | .18   | .82  | -1   | brown 190 110 44, red 190 40 34, golden 222 160 60
bucket   | 0 .23    | 0 0   | 0 -.16  | .14   | .27  | 0    | blue, green, grey 150 160 172
box      | 0 0      | 0 0   | 0 -.15  | .18   | .33  | 0    | brown 206 160 104, cardboard 196 148 92, beige 222 190 140
flag     | 0 0      | 0 .05 | 0 -.16  | .1    | .82  | .15  | red, green, blue
drum     | 0 0      | 0 0   | 0 -.16  | .18   | .31  | 0    | red, blue, purple
hoop     | 0 -.26   | 0 0   | 0 -.28  | .25   | .56  | 0    | pink, green 80 200 90, yellow
bottle   | 0 0      | 0 0   | 0 -.15  | .06   | .36  | 0    | green 40 140 70, blue 60 150 220
book     | 0 0      | 0 0   | 0 -.105 | .14   | .21  | 0    | blue, red, teal
chair    | -.16 .25 | 0 0   | 0 -.24  | .16   | .55  | 0    | brown, white 226 222 212, teal
rope     | 0 0      | 0 .3  | 0 .26   | .12   | .3   | 0    | tan 216 180 120, white 232 226 208
barbell  | 0 0      | 0 0   | 0 -.15  | .19   | .3   | 0    | black, red 170 36 40, blue 40 76 150
racket   | 0 0      | 0 .2  | 0 -.06  | .1    | .55  | -.8  | red, green 70 190 80, blue
shovel   | 0 .1     | 0 0   | 0 -.48  | .15   | .84  | 1.2  | red, green
paddle   | 0 .1     | 0 0   | 0 -.55  | .16   | .9   | 1    | orange, yellow
"""

_HUES: dict[str, Colour] = {
    "red": (214, 48, 49), "orange": (240, 132, 40), "yellow": (246, 205, 62), "green": (60, 160, 78),
    "blue": (48, 104, 200), "purple": (130, 76, 170), "pink": (238, 120, 170), "teal": (30, 158, 160),
    "black": (44, 46, 54), "brown": (146, 88, 44),
}  # fmt: skip

FIXED_PAINTS: dict[str, Colour] = {  # besides "main", "dark" and "light", which are tones of the prop's own colour
    "wood": (164, 112, 62), "metal": (176, 182, 192), "black": (44, 46, 54), "white": (240, 240, 236),
    "grey": (150, 156, 164), "red": (214, 48, 49), "yellow": (246, 205, 62),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A filled polygon (`width` 0) or a line of `width` body heights; `points` is (n, 2), `paint` names a colour."""

    points: np.ndarray
    paint: str
    width: float = 0.0
    closed: bool = True


def _poly(paint: str, *points: Point) -> Shape:
    return Shape(np.array(points, dtype=np.float64), paint)


def _box(paint: str, x0: float, y0: float, x1: float, y1: float) -> Shape:
    return _poly(paint, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _line(paint: str, width: float, *points: Point) -> Shape:
    return Shape(np.array(points, dtype=np.float64), paint, width, closed=False)


def circle(rx: float, ry: float, n: int, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(n, 2) points of an ellipse about (x, y)."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _ellipse(paint: str, x: float, y: float, rx: float, ry: float, width: float = 0.0, n: int = 20) -> Shape:
    return Shape(circle(rx, ry, n, x, y), paint, width)


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, n: int = 13) -> list[Point]:
    angle = np.radians(np.linspace(start, stop, n))
    return [(float(x + rx * np.cos(a)), float(y + ry * np.sin(a))) for a in angle]


_CLOTH = [(0.02 + 0.38 * k / 10, 0.60 + 0.025 * float(np.sin(k * 0.75))) for k in range(11)]  # upper edge of the flag

_SCALLOPS = [at for k in range(4) for at in _arc(-0.225 + 0.15 * k, 0.34, 0.075, 0.03, 180, 0, 5)]  # of the umbrella
_SHAPES: dict[str, list[Shape]] = {
    "umbrella": [
        _line("metal", 0.018, (0, -0.06), (0, 0.56)),
        _line("wood", 0.026, (0, 0.02), (0, -0.07), *_arc(0.03, -0.07, 0.03, 0.03, 180, 330, 5)),
        _poly("main", *_arc(0, 0.34, 0.30, 0.20, 0, 180, 15), *_SCALLOPS),
        _poly("dark", *_arc(0, 0.34, 0.30, 0.20, 0, 38, 5), (0.0, 0.54), *_arc(0.225, 0.34, 0.075, 0.03, 180, 0, 5)),
        _poly("light", *_arc(0, 0.34, 0.30, 0.20, 96, 136, 5), (-0.15, 0.35), (0.0, 0.35)),
    ],
    "guitar": [
        _box("wood", -0.022, 0.10, 0.022, 0.50),
        _poly("dark", (-0.036, 0.48), (0.036, 0.48), (0.045, 0.58), (-0.045, 0.58)),
        _ellipse("dark", 0, -0.10, 0.150, 0.130),
        _ellipse("dark", 0, 0.07, 0.112, 0.100),
        _ellipse("main", 0, -0.10, 0.135, 0.115),
        _ellipse("main", 0, 0.07, 0.098, 0.088),
        _ellipse("black", 0, 0.02, 0.042, 0.042, n=12),
        _box("black", -0.05, -0.135, 0.05, -0.115),
        _line("white", 0.008, (0, -0.12), (0, 0.5)),
    ],
    "drum": [
        _poly("main", (-0.17, 0.11), *_arc(0, -0.11, 0.17, 0.05, 180, 360, 9), (0.17, 0.11)),
        _poly("dark", (0.09, 0.11), (0.09, -0.15), *_arc(0, -0.11, 0.17, 0.05, 305, 360, 4), (0.17, 0.11)),
        _line("white", 0.014, *((-0.17 + 0.085 * k, 0.085 if k % 2 else -0.085) for k in range(5))),
        _line("metal", 0.022, *_arc(0, -0.11, 0.17, 0.05, 180, 360, 9)),
        _ellipse("white", 0, 0.11, 0.17, 0.05),
        _ellipse("metal", 0, 0.11, 0.17, 0.05, width=0.018),
    ],
    "bucket": [
        _line("metal", 0.014, *_arc(0, 0.09, 0.13, 0.15, 0, 180, 11)),
        _poly("main", (-0.14, 0.10), (-0.10, -0.13), *_arc(0, -0.13, 0.10, 0.03, 180, 360, 7), (0.14, 0.10)),
        _poly("dark", (0.06, 0.10), (0.045, -0.155), (0.10, -0.13), (0.14, 0.10)),
        _poly("light", (-0.11, 0.07), (-0.085, -0.12), (-0.05, -0.13), (-0.065, 0.07)),
        _ellipse("black", 0, 0.10, 0.14, 0.04),
        _ellipse("light", 0, 0.10, 0.14, 0.04, width=0.014),
    ],
    "hammer": [
        _box("wood", -0.024, -0.12, 0.024, 0.36),
        _box("main", -0.026, -0.12, 0.026, 0.02),
        _poly("metal", (-0.15, 0.30), (0.15, 0.30), (0.15, 0.45), (-0.15, 0.45)),
        _box("black", -0.165, 0.285, -0.115, 0.465),
        _box("black", 0.115, 0.285, 0.165, 0.465),
        _box("light", -0.115, 0.405, 0.115, 0.435),
    ],
    "flag": [
        _line("wood", 0.026, (0, -0.16), (0, 0.64)),
        _ellipse("yellow", 0, 0.65, 0.024, 0.024, n=10),
        _poly("main", *_CLOTH, *((x, y - 0.27) for x, y in _CLOTH[::-1])),
        _poly("white", *((x, y - 0.095) for x, y in _CLOTH), *((x, y - 0.175) for x, y in _CLOTH[::-1])),
    ],
    "broom": [
        _line("wood", 0.030, (0, -0.30), (0, 0.36)),
        _poly("main", (-0.065, -0.33), (0.065, -0.33), (0.14, -0.58), (-0.14, -0.58)),
        *(_line("dark", 0.010, (x * 0.55, -0.36), (x * 1.05, -0.56)) for x in (-0.11, -0.055, 0.0, 0.055, 0.11)),
        _box("red", -0.07, -0.37, 0.07, -0.31),
    ],
    "chair": [
        _line("dark", 0.030, (-0.11, -0.02), (-0.13, -0.24)),
        _line("dark", 0.030, (0.15, -0.02), (0.15, -0.24)),
        _line("main", 0.036, (-0.16, 0.30), (-0.14, -0.24)),
        _line("main", 0.036, (0.11, 0.0), (0.10, -0.24)),
        _poly("light", (-0.17, 0.0), (0.12, 0.0), (0.16, 0.04), (-0.12, 0.04)),
        _box("main", -0.17, -0.035, 0.14, 0.0),
        _poly("main", (-0.185, 0.14), (-0.125, 0.14), (-0.135, 0.31), (-0.195, 0.31)),
    ],
    "barbell": [
        _line("metal", 0.028, (-0.52, 0), (0.52, 0)),
        _box("main", -0.40, -0.15, -0.33, 0.15),
        _box("main", 0.33, -0.15, 0.40, 0.15),
        _box("dark", -0.45, -0.105, -0.40, 0.105),
        _box("dark", 0.40, -0.105, 0.45, 0.105),
    ],
    "racket": [
        _line("black", 0.036, (0, -0.06), (0, 0.08)),
        _line("main", 0.028, (0, 0.08), (0, 0.19)),
        *(_line("white", 0.007, (x, 0.21), (x, 0.47)) for x in (-0.06, 0.0, 0.06)),
        *(_line("white", 0.007, (-0.1, y), (0.1, y)) for y in (0.27, 0.34, 0.41)),
        _ellipse("main", 0, 0.34, 0.115, 0.155, width=0.03),
    ],
    "shovel": [
        _line("wood", 0.032, (0, -0.22), (0, 0.34)),
        _line("main", 0.032, (-0.06, 0.35), (0.06, 0.35)),
        _poly("metal", (-0.10, -0.20), (0.10, -0.20), (0.10, -0.38), (0.0, -0.48), (-0.10, -0.38)),
        _poly("light", (-0.07, -0.23), (-0.02, -0.23), (-0.02, -0.40), (-0.07, -0.36)),
    ],
    "hoop": [
        _ellipse("main", 0, 0, 0.26, 0.26, width=0.042, n=30),
        *(_line("white", 0.042, *_arc(0, 0, 0.26, 0.26, a, a + 22, 4)) for a in (20, 110, 200, 290)),
    ],
    "ball": [
        _ellipse("main", 0, 0, 0.115, 0.115, n=24),
        _poly("white", *_arc(0, 0, 0.115, 0.115, 60, 120, 7), *_arc(0, 0, 0.115, 0.05, 120, 60, 7)),
        _poly("dark", *_arc(0, 0, 0.115, 0.115, 200, 340, 11), *_arc(0, 0.02, 0.115, 0.09, 340, 200, 11)),
    ],
    "box": [
        _box("main", -0.18, -0.15, 0.18, 0.13),
        _poly("light", (-0.18, 0.13), (0.18, 0.13), (0.23, 0.18), (-0.13, 0.18)),
        _poly("dark", (0.18, -0.15), (0.23, -0.09), (0.23, 0.18), (0.18, 0.13)),
        _box("wood", -0.03, -0.15, 0.03, 0.13),
        _line("dark", 0.012, (-0.18, 0.13), (0.18, 0.13)),
    ],
    "bottle": [
        _poly("main", (-0.062, -0.15), (0.062, -0.15), (0.062, 0.05), (0.026, 0.12), (-0.026, 0.12), (-0.062, 0.05)),
        _box("main", -0.026, 0.11, 0.026, 0.19),
        _box("white", -0.062, -0.09, 0.062, 0.01),
        _box("red", -0.03, 0.17, 0.03, 0.21),
    ],
    "book": [
        _box("main", -0.15, -0.105, 0.15, 0.105),
        _box("white", -0.13, -0.09, -0.01, 0.09),
        _box("white", 0.01, -0.09, 0.13, 0.09),
        *(_line("grey", 0.010, (x, y), (x + 0.08, y)) for x in (-0.11, 0.03) for y in (0.045, 0.0)),
    ],
    "rope": [
        _line("main", 0.034, (0.0, -0.02), (0.03, 0.10), (-0.02, 0.20), (0.0, 0.27)),
        _ellipse("main", 0, 0.38, 0.15, 0.115, width=0.034),
        _ellipse("dark", 0, 0.38, 0.15, 0.115, width=0.010, n=14),
    ],
    "paddle": [
        _line("wood", 0.032, (0, -0.25), (0, 0.34)),
        _line("wood", 0.036, (-0.05, 0.35), (0.05, 0.35)),
        _ellipse("main", 0, -0.38, 0.085, 0.17),
        _ellipse("light", -0.02, -0.38, 0.02, 0.12, n=10),
    ],
}


@dataclass(frozen=True)
class Prop:
    """One prop, held by one of three anchors."""

    name: str
    shapes: tuple[Shape, ...]
    hues: dict[str, Colour]  # that it is drawn in, by the words that captions use for them
    grip: Point  # by one hand
    centre: Point  # by two hands
    base: Point  # where it stands
    reach: float  # half of the distance between two hands that hold it
    height: float  # from base to top, standing
    tilt: float  # angle at which two hands hold it, in radians anticlockwise

    @property
    def standing(self) -> float:
        """How far the centre is above the ground when the prop stands."""
        return self.centre[1] - self.base[1]

    @property
    def width(self) -> float:
        """How far it reaches from its middle, to the side."""
        return max(float(np.abs(shape.points[:, 0]).max()) for shape in self.shapes)

    def scaled(self, size: float) -> Prop:
        """The same prop `size` times as large."""
        shapes = tuple(replace(shape, points=shape.points * size, width=shape.width * size) for shape in self.shapes)
        grip, centre, base = ((x * size, y * size) for x, y in (self.grip, self.centre, self.base))
        reach, height = self.reach * size, self.height * size
        return replace(self, shapes=shapes, grip=grip, centre=centre, base=base, reach=reach, height=height)


def _prop(line: str) -> Prop:
    name, *anchors, reach, height, tilt, colours = (cell.strip() for cell in line.split("|"))
    hues = {}
    for word, *rgb in map(str.split, colours.split(", ")):
        hues[word] = (int(rgb[0]), int(rgb[1]), int(rgb[2])) if rgb else _HUES[word]
    grip, centre, base = ((float(x), float(y)) for x, y in map(str.split, anchors))
    return Prop(name, tuple(_SHAPES[name]), hues, grip, centre, base, float(reach), float(height), float(tilt))


PROPS: dict[str, Prop] = {prop.name: prop for prop in map(_prop, _TABLE.strip().splitlines()[1:])}


@dataclass(frozen=True)
class PropLook:
    """The colour (a word and RGB) and relative size of one prop."""

    colour: str
    rgb: Colour
    size: float


def draw_prop_look(rng: np.random.Generator, prop: str) -> PropLook:
    """A prop in one of its characteristic colours, a little lighter or darker, larger or smaller."""
    hues = PROPS[prop].hues
    colour = str(rng.choice(list(hues)))
    tint = float(rng.uniform(0.88, 1.1))
    red, green, blue = (min(255, max(0, int(part * tint + rng.uniform(-10, 10)))) for part in hues[colour])
    return PropLook(colour, (red, green, blue), float(rng.uniform(0.9, 1.15)))
