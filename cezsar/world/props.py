"""The props: names and definitions (the object vocabulary), characteristic colours, and where hands take hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cezsar.world import shapes
from cezsar.world.shapes import (
    BLACK,
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    TAN,
    TEAL,
    WHITE,
    YELLOW,
    Colour,
    Point,
    Shape,
)


@dataclass(frozen=True)
class Prop:
    """One prop. `hues` are the characteristic colours it is drawn in, by the words that captions use for them.

    It is held by one of three anchors in its own frame: `grip` (one hand), `centre` (two hands) or `base` (standing).
    """

    name: str
    definition: str
    shapes: tuple[Shape, ...]
    hues: dict[str, Colour]
    grip: Point = (0.0, 0.0)
    centre: Point = (0.0, 0.0)
    base: Point = (0.0, 0.0)
    reach: float = 0.15
    """Half of the distance between two hands that hold it."""
    height: float = 0.3
    """From base to top, standing."""
    tilt: float = 0.0
    """Angle at which it is held in two hands, in radians anticlockwise."""

    def scaled(self, size: float) -> Prop:
        """The same prop `size` times as large."""
        return replace(
            self,
            shapes=tuple(replace(shape, points=shape.points * size, width=shape.width * size) for shape in self.shapes),
            grip=(self.grip[0] * size, self.grip[1] * size),
            centre=(self.centre[0] * size, self.centre[1] * size),
            base=(self.base[0] * size, self.base[1] * size),
            reach=self.reach * size,
            height=self.height * size,
        )


_ALL = (
    Prop(
        "ball",
        "round object that is thrown, kicked or bounced in games",
        shapes.ball(),
        {"orange": ORANGE, "red": RED, "yellow": YELLOW},
        base=(0, -0.115),
        reach=0.115,
        height=0.23,
    ),
    Prop(
        "hammer",
        "hand tool with a heavy head on a handle, used to deliver blows",
        shapes.hammer(),
        {"red": RED, "yellow": YELLOW, "black": BLACK},
        centre=(0, 0.12),
        base=(0, -0.12),
        reach=0.11,
        height=0.58,
        tilt=1.1,
    ),
    Prop(
        "broom",
        "cleaning implement with stiff bristles on a long handle, used for sweeping",
        shapes.broom(),
        {"yellow": (232, 190, 70), "straw": (214, 170, 84)},
        grip=(0, 0.12),
        centre=(0, 0.0),
        base=(0, -0.58),
        reach=0.16,
        height=0.94,
        tilt=1.2,
    ),
    Prop(
        "umbrella",
        "folding canopy on a stick, carried for protection against rain or sun",
        shapes.umbrella(),
        {"red": RED, "purple": PURPLE, "blue": BLUE, "pink": PINK},
        centre=(0, 0.1),
        base=(0, -0.1),
        reach=0.05,
        height=0.64,
    ),
    Prop(
        "guitar",
        "stringed musical instrument with a waisted wooden body, played by strumming or plucking",
        shapes.guitar(),
        {"brown": (190, 110, 44), "red": (190, 40, 34), "golden": (222, 160, 60)},
        grip=(0, 0.30),
        centre=(0, 0.08),
        base=(0, -0.23),
        reach=0.18,
        height=0.82,
        tilt=-1.0,
    ),
    Prop(
        "bucket",
        "open round vessel with a handle, used to carry water or sand",
        shapes.bucket(),
        {"blue": BLUE, "green": GREEN, "grey": (150, 160, 172)},
        grip=(0, 0.23),
        base=(0, -0.16),
        reach=0.14,
        height=0.27,
    ),
    Prop(
        "box",
        "rigid rectangular container of cardboard, used to store or ship goods",
        shapes.box(),
        {"brown": TAN, "cardboard": (196, 148, 92), "beige": (222, 190, 140)},
        base=(0, -0.15),
        reach=0.18,
        height=0.33,
    ),
    Prop(
        "flag",
        "piece of coloured cloth on a pole, used as an emblem or a signal",
        shapes.flag(),
        {"red": RED, "green": GREEN, "blue": BLUE},
        centre=(0, 0.05),
        base=(0, -0.16),
        reach=0.1,
        height=0.82,
        tilt=0.15,
    ),
    Prop(
        "drum",
        "percussion instrument with a skin stretched over a hollow cylinder, played by beating",
        shapes.drum(),
        {"red": RED, "blue": BLUE, "purple": PURPLE},
        base=(0, -0.16),
        reach=0.18,
        height=0.31,
    ),
    Prop(
        "hoop",
        "light plastic ring that is whirled around the body or rolled along",
        shapes.hoop(),
        {"pink": PINK, "green": (80, 200, 90), "yellow": YELLOW},
        grip=(0, -0.26),
        base=(0, -0.28),
        reach=0.25,
        height=0.56,
    ),
    Prop(
        "bottle",
        "glass or plastic vessel with a narrow neck, used to hold drinks",
        shapes.bottle(),
        {"green": (40, 140, 70), "blue": (60, 150, 220)},
        base=(0, -0.15),
        reach=0.06,
        height=0.36,
    ),
    Prop(
        "book",
        "written work of printed pages bound together in a cover",
        shapes.book(),
        {"blue": BLUE, "red": RED, "teal": TEAL},
        base=(0, -0.105),
        reach=0.14,
        height=0.21,
    ),
    Prop(
        "chair",
        "seat for one person with a back and four legs",
        shapes.chair(),
        {"brown": BROWN, "white": (226, 222, 212), "teal": TEAL},
        grip=(-0.16, 0.25),
        base=(0, -0.24),
        reach=0.16,
        height=0.55,
    ),
    Prop(
        "rope",
        "strong thick cord of twisted strands, used for tying, pulling and climbing",
        shapes.rope(),
        {"tan": (216, 180, 120), "white": (232, 226, 208)},
        centre=(0, 0.3),
        base=(0, 0.26),
        reach=0.12,
        height=0.3,
    ),
    Prop(
        "barbell",
        "metal bar with heavy discs at both ends, used in weightlifting",
        shapes.barbell(),
        {"black": BLACK, "red": (170, 36, 40), "blue": (40, 76, 150)},
        base=(0, -0.15),
        reach=0.19,
        height=0.3,
    ),
    Prop(
        "racket",
        "sports implement with a strung oval frame on a handle, used to strike a ball",
        shapes.racket(),
        {"red": RED, "green": (70, 190, 80), "blue": BLUE},
        centre=(0, 0.2),
        base=(0, -0.06),
        reach=0.1,
        height=0.55,
        tilt=-0.8,
    ),
    Prop(
        "shovel",
        "hand tool with a broad blade on a long handle, used for digging and lifting loose material",
        shapes.shovel(),
        {"red": RED, "green": GREEN},
        grip=(0, 0.1),
        base=(0, -0.48),
        reach=0.15,
        height=0.84,
        tilt=1.2,
    ),
    Prop(
        "paddle",
        "short oar with a broad blade, used to row a small boat",
        shapes.paddle(),
        {"orange": ORANGE, "yellow": YELLOW},
        grip=(0, 0.1),
        base=(0, -0.55),
        reach=0.16,
        height=0.9,
        tilt=1.0,
    ),
)

PROPS: dict[str, Prop] = {prop.name: prop for prop in _ALL}

FIXED_PAINTS: dict[str, Colour] = {
    "wood": (164, 112, 62),
    "metal": (176, 182, 192),
    "black": BLACK,
    "white": WHITE,
    "grey": GREY,
    "red": RED,
    "yellow": YELLOW,
}
