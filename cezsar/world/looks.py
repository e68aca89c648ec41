"""What somebody and their prop look like: drawn once, from a seed, and used by captions and by the renderer alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cezsar.world.props import PROPS

Colour = tuple[int, int, int]

SHIRTS: dict[str, Colour] = {
    "red": (206, 58, 58),
    "blue": (58, 104, 196),
    "green": (70, 152, 88),
    "yellow": (236, 196, 70),
    "purple": (136, 86, 176),
    "orange": (234, 134, 56),
    "pink": (232, 130, 168),
    "white": (234, 234, 228),
    "grey": (140, 146, 156),
    "black": (62, 64, 74),
    "turquoise": (52, 166, 170),
}
TROUSERS: tuple[Colour, ...] = (
    (52, 70, 116),
    (70, 72, 82),
    (150, 120, 86),
    (96, 82, 70),
    (40, 44, 54),
    (110, 124, 140),
    (84, 100, 70),
    (128, 60, 70),
)
SKINS: tuple[Colour, ...] = ((246, 208, 176), (232, 184, 146), (206, 150, 108), (166, 112, 76), (122, 80, 54))
HAIRS: tuple[Colour, ...] = (
    (48, 34, 28),
    (92, 58, 34),
    (150, 98, 50),
    (214, 172, 96),
    (30, 28, 32),
    (170, 80, 40),
    (176, 176, 180),
)
SHOES: tuple[Colour, ...] = ((50, 46, 48), (236, 236, 232), (180, 50, 46), (60, 80, 130), (120, 84, 54))
PEOPLE = ("man", "woman", "boy", "girl")


@dataclass(frozen=True)
class Person:
    """One person: `kind` is one of PEOPLE; `build` widens limbs, `height` is relative to the average."""

    kind: str
    shirt: str
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    skirt: bool
    build: float
    height: float


@dataclass(frozen=True)
class PropLook:
    """The colour (a word and RGB) and relative size of one prop."""

    colour: str
    rgb: Colour
    size: float


def draw_person(rng: np.random.Generator) -> Person:
    """Somebody new."""
    kind = PEOPLE[int(rng.choice(4, p=(0.4, 0.4, 0.1, 0.1)))]
    small = kind in ("boy", "girl")
    return Person(
        kind=kind,
        shirt=str(rng.choice(list(SHIRTS))),
        trousers=TROUSERS[int(rng.integers(len(TROUSERS)))],
        skin=SKINS[int(rng.integers(len(SKINS)))],
        hair=HAIRS[int(rng.integers(len(HAIRS)))],
        shoes=SHOES[int(rng.integers(len(SHOES)))],
        skirt=kind in ("woman", "girl") and bool(rng.random() < 0.3),
        build=float(rng.uniform(0.88, 1.2)),
        height=float(rng.uniform(0.86, 0.95) if small else rng.uniform(0.94, 1.06)),
    )


def draw_prop_look(rng: np.random.Generator, prop: str) -> PropLook:
    """A prop in one of its characteristic colours, a little lighter or darker, larger or smaller."""
    hues = PROPS[prop].hues
    colour = str(rng.choice(list(hues)))
    tint = float(rng.uniform(0.88, 1.1))
    red, green, blue = (min(255, max(0, int(part * tint + rng.uniform(-10, 10)))) for part in hues[colour])
    return PropLook(colour, (red, green, blue), float(rng.uniform(0.9, 1.15)))
