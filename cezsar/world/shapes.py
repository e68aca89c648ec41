"""The shapes of the props, in each prop's own frame: body heights, +y up along the prop when it stands upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
Colour = tuple[int, int, int]

RED, ORANGE, YELLOW, GREEN = (214, 48, 49), (240, 132, 40), (246, 205, 62), (60, 160, 78)
BLUE, PURPLE, PINK, WHITE = (48, 104, 200), (130, 76, 170), (238, 120, 170), (240, 240, 236)
BROWN, TAN, GREY, BLACK = (146, 88, 44), (206, 160, 104), (150, 156, 164), (44, 46, 54)
TEAL = (30, 158, 160)


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


def _ellipse(paint: str, x: float, y: float, rx: float, ry: float, width: float = 0.0, n: int = 20) -> Shape:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return Shape(np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1), paint, width)


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, n: int = 13) -> list[Point]:
    angle = np.radians(np.linspace(start, stop, n))
    return [(float(x + rx * np.cos(a)), float(y + ry * np.sin(a))) for a in angle]


def umbrella() -> tuple[Shape, ...]:
    top = _arc(0, 0.34, 0.30, 0.20, 0, 180, 15)
    scallops: list[Point] = []
    for k in range(4):
        scallops += _arc(-0.225 + 0.15 * k, 0.34, 0.075, 0.03, 180, 0, 5)
    return (
        _line("metal", 0.018, (0, -0.06), (0, 0.56)),
        _line("wood", 0.026, (0, 0.02), (0, -0.07), *_arc(0.03, -0.07, 0.03, 0.03, 180, 330, 5)),
        _poly("main", *top, *scallops),
        _poly("dark", *_arc(0, 0.34, 0.30, 0.20, 0, 38, 5), (0.0, 0.54), *_arc(0.225, 0.34, 0.075, 0.03, 180, 0, 5)),
        _poly("light", *_arc(0, 0.34, 0.30, 0.20, 96, 136, 5), (-0.15, 0.35), (0.0, 0.35)),
    )


def guitar() -> tuple[Shape, ...]:
    return (
        _box("wood", -0.022, 0.10, 0.022, 0.50),
        _poly("dark", (-0.036, 0.48), (0.036, 0.48), (0.045, 0.58), (-0.045, 0.58)),
        _ellipse("dark", 0, -0.10, 0.150, 0.130),
        _ellipse("dark", 0, 0.07, 0.112, 0.100),
        _ellipse("main", 0, -0.10, 0.135, 0.115),
        _ellipse("main", 0, 0.07, 0.098, 0.088),
        _ellipse("black", 0, 0.02, 0.042, 0.042, n=12),
        _box("black", -0.05, -0.135, 0.05, -0.115),
        _line("white", 0.008, (0, -0.12), (0, 0.5)),
    )


def drum() -> tuple[Shape, ...]:
    zigzag = [(-0.17 + 0.085 * k, 0.085 if k % 2 else -0.085) for k in range(5)]
    return (
        _poly("main", (-0.17, 0.11), *_arc(0, -0.11, 0.17, 0.05, 180, 360, 9), (0.17, 0.11)),
        _poly("dark", (0.09, 0.11), (0.09, -0.15), *_arc(0, -0.11, 0.17, 0.05, 305, 360, 4), (0.17, 0.11)),
        _line("white", 0.014, *zigzag),
        _line("metal", 0.022, *_arc(0, -0.11, 0.17, 0.05, 180, 360, 9)),
        _ellipse("white", 0, 0.11, 0.17, 0.05),
        _ellipse("metal", 0, 0.11, 0.17, 0.05, width=0.018),
    )


def bucket() -> tuple[Shape, ...]:
    return (
        _line("metal", 0.014, *_arc(0, 0.09, 0.13, 0.15, 0, 180, 11)),
        _poly("main", (-0.14, 0.10), (-0.10, -0.13), *_arc(0, -0.13, 0.10, 0.03, 180, 360, 7), (0.14, 0.10)),
        _poly("dark", (0.06, 0.10), (0.045, -0.155), (0.10, -0.13), (0.14, 0.10)),
        _poly("light", (-0.11, 0.07), (-0.085, -0.12), (-0.05, -0.13), (-0.065, 0.07)),
        _ellipse("black", 0, 0.10, 0.14, 0.04),
        _ellipse("light", 0, 0.10, 0.14, 0.04, width=0.014),
    )


def hammer() -> tuple[Shape, ...]:
    return (
        _box("wood", -0.024, -0.12, 0.024, 0.36),
        _box("main", -0.026, -0.12, 0.026, 0.02),
        _poly("metal", (-0.15, 0.30), (0.15, 0.30), (0.15, 0.45), (-0.15, 0.45)),
        _box("black", -0.165, 0.285, -0.115, 0.465),
        _box("black", 0.115, 0.285, 0.165, 0.465),
        _box("light", -0.115, 0.405, 0.115, 0.435),
    )


def flag() -> tuple[Shape, ...]:
    up = [(0.02 + 0.38 * k / 10, 0.60 + 0.025 * float(np.sin(k * 0.75))) for k in range(11)]
    mid = [(x, y - 0.095) for x, y in up]
    low = [(x, y - 0.27) for x, y in up]
    mid2 = [(x, y - 0.175) for x, y in up]
    return (
        _line("wood", 0.026, (0, -0.16), (0, 0.64)),
        _ellipse("yellow", 0, 0.65, 0.024, 0.024, n=10),
        _poly("main", *up, *low[::-1]),
        _poly("white", *mid, *mid2[::-1]),
    )


def broom() -> tuple[Shape, ...]:
    bristles = [_line("dark", 0.010, (x * 0.55, -0.36), (x * 1.05, -0.56)) for x in (-0.11, -0.055, 0.0, 0.055, 0.11)]
    return (
        _line("wood", 0.030, (0, -0.30), (0, 0.36)),
        _poly("main", (-0.065, -0.33), (0.065, -0.33), (0.14, -0.58), (-0.14, -0.58)),
        *bristles,
        _box("red", -0.07, -0.37, 0.07, -0.31),
    )


def chair() -> tuple[Shape, ...]:
    return (
        _line("dark", 0.030, (-0.11, -0.02), (-0.13, -0.24)),
        _line("dark", 0.030, (0.15, -0.02), (0.15, -0.24)),
        _line("main", 0.036, (-0.16, 0.30), (-0.14, -0.24)),
        _line("main", 0.036, (0.11, 0.0), (0.10, -0.24)),
        _poly("light", (-0.17, 0.0), (0.12, 0.0), (0.16, 0.04), (-0.12, 0.04)),
        _box("main", -0.17, -0.035, 0.14, 0.0),
        _poly("main", (-0.185, 0.14), (-0.125, 0.14), (-0.135, 0.31), (-0.195, 0.31)),
    )


def barbell() -> tuple[Shape, ...]:
    return (
        _line("metal", 0.028, (-0.52, 0), (0.52, 0)),
        _box("main", -0.40, -0.15, -0.33, 0.15),
        _box("main", 0.33, -0.15, 0.40, 0.15),
        _box("dark", -0.45, -0.105, -0.40, 0.105),
        _box("dark", 0.40, -0.105, 0.45, 0.105),
    )


def racket() -> tuple[Shape, ...]:
    strings = [_line("white", 0.007, (x, 0.21), (x, 0.47)) for x in (-0.06, 0.0, 0.06)]
    strings += [_line("white", 0.007, (-0.1, y), (0.1, y)) for y in (0.27, 0.34, 0.41)]
    return (
        _line("black", 0.036, (0, -0.06), (0, 0.08)),
        _line("main", 0.028, (0, 0.08), (0, 0.19)),
        *strings,
        _ellipse("main", 0, 0.34, 0.115, 0.155, width=0.03),
    )


def shovel() -> tuple[Shape, ...]:
    return (
        _line("wood", 0.032, (0, -0.22), (0, 0.34)),
        _line("main", 0.032, (-0.06, 0.35), (0.06, 0.35)),
        _poly("metal", (-0.10, -0.20), (0.10, -0.20), (0.10, -0.38), (0.0, -0.48), (-0.10, -0.38)),
        _poly("light", (-0.07, -0.23), (-0.02, -0.23), (-0.02, -0.40), (-0.07, -0.36)),
    )


def hoop() -> tuple[Shape, ...]:
    bands = (_line("white", 0.042, *_arc(0, 0, 0.26, 0.26, start, start + 22, 4)) for start in (20, 110, 200, 290))
    return (_ellipse("main", 0, 0, 0.26, 0.26, width=0.042, n=30), *bands)


def ball() -> tuple[Shape, ...]:
    return (
        _ellipse("main", 0, 0, 0.115, 0.115, n=24),
        _poly("white", *_arc(0, 0, 0.115, 0.115, 60, 120, 7), *_arc(0, 0, 0.115, 0.05, 120, 60, 7)),
        _poly("dark", *_arc(0, 0, 0.115, 0.115, 200, 340, 11), *_arc(0, 0.02, 0.115, 0.09, 340, 200, 11)),
    )


def box() -> tuple[Shape, ...]:
    return (
        _box("main", -0.18, -0.15, 0.18, 0.13),
        _poly("light", (-0.18, 0.13), (0.18, 0.13), (0.23, 0.18), (-0.13, 0.18)),
        _poly("dark", (0.18, -0.15), (0.23, -0.09), (0.23, 0.18), (0.18, 0.13)),
        _box("wood", -0.03, -0.15, 0.03, 0.13),
        _line("dark", 0.012, (-0.18, 0.13), (0.18, 0.13)),
    )


def bottle() -> tuple[Shape, ...]:
    body = ((-0.062, -0.15), (0.062, -0.15), (0.062, 0.05), (0.026, 0.12), (-0.026, 0.12), (-0.062, 0.05))
    return (
        _poly("main", *body),
        _box("main", -0.026, 0.11, 0.026, 0.19),
        _box("white", -0.062, -0.09, 0.062, 0.01),
        _box("red", -0.03, 0.17, 0.03, 0.21),
    )


def book() -> tuple[Shape, ...]:
    lines = (_line("grey", 0.010, (x, y), (x + 0.08, y)) for x in (-0.11, 0.03) for y in (0.045, 0.0))
    return (
        _box("main", -0.15, -0.105, 0.15, 0.105),
        _box("white", -0.13, -0.09, -0.01, 0.09),
        _box("white", 0.01, -0.09, 0.13, 0.09),
        *lines,
    )


def rope() -> tuple[Shape, ...]:
    return (
        _line("main", 0.034, (0.0, -0.02), (0.03, 0.10), (-0.02, 0.20), (0.0, 0.27)),
        _ellipse("main", 0, 0.38, 0.15, 0.115, width=0.034),
        _ellipse("dark", 0, 0.38, 0.15, 0.115, width=0.010, n=14),
    )


def paddle() -> tuple[Shape, ...]:
    return (
        _line("wood", 0.032, (0, -0.25), (0, 0.34)),
        _line("wood", 0.036, (-0.05, 0.35), (0.05, 0.35)),
        _ellipse("main", 0, -0.38, 0.085, 0.17),
        _ellipse("light", -0.02, -0.38, 0.02, 0.12, n=10),
    )
