"""People: what somebody looks like, how a posture becomes joints, and joints coloured outlines. A posture over time is
solved by two-bone inverse kinematics. Lengths are in body heights, the ground is y = 0, +x is the way the person faces,
+y is up. Every array runs over the T frames of a shot, so that a whole shot is posed at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cezsar.world.props import FIXED_PAINTS, Colour, Point, Prop, PropLook, circle, shade

SHIRTS: dict[str, Colour] = {
    "red": (206, 58, 58), "blue": (58, 104, 196), "green": (70, 152, 88), "yellow": (236, 196, 70),
    "purple": (136, 86, 176), "orange": (234, 134, 56), "pink": (232, 130, 168), "white": (234, 234, 228),
    "grey": (140, 146, 156), "black": (62, 64, 74), "turquoise": (52, 166, 170),
}  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (52, 70, 116), (70, 72, 82), (150, 120, 86), (96, 82, 70), (40, 44, 54), (110, 124, 140), (84, 100, 70),
    (128, 60, 70),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((246, 208, 176), (232, 184, 146), (206, 150, 108), (166, 112, 76), (122, 80, 54))
HAIRS: tuple[Colour, ...] = (
    (48, 34, 28), (92, 58, 34), (150, 98, 50), (214, 172, 96), (30, 28, 32), (170, 80, 40), (176, 176, 180),
)  # fmt: skip
SHOES: tuple[Colour, ...] = ((50, 46, 48), (236, 236, 232), (180, 50, 46), (60, 80, 130), (120, 84, 54))


@dataclass(frozen=True)
class Person:
    """One person: `kind` is man, woman, boy or girl; `build` widens limbs, `height` is relative to the average."""

    kind: str
    shirt: str
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    skirt: bool
    build: float
    height: float


def draw_person(rng: np.random.Generator) -> Person:
    """Somebody new."""
    kind = ("man", "woman", "boy", "girl")[int(rng.choice(4, p=(0.4, 0.4, 0.1, 0.1)))]
    shirt = str(rng.choice(list(SHIRTS)))
    trousers, skin, hair, shoes = (kinds[int(rng.integers(len(kinds)))] for kinds in (TROUSERS, SKINS, HAIRS, SHOES))
    skirt = kind in ("woman", "girl") and bool(rng.random() < 0.3)
    build = float(rng.uniform(0.88, 1.2))
    height = float(rng.uniform(0.86, 0.95) if kind in ("boy", "girl") else rng.uniform(0.94, 1.06))
    return Person(kind, shirt, trousers, skin, hair, shoes, skirt, build, height)


# Postures and joints -------------------------------------------------------------------------------------------------

UPPER_ARM, FOREARM, THIGH, SHIN = 0.175, 0.175, 0.25, 0.245
TORSO, NECK, HEAD = 0.27, 0.035, 0.092
ANKLE = 0.03
STANDING_HIP = ANKLE + THIGH + SHIN

Where = np.ndarray | float


def point(x: Where, y: Where) -> np.ndarray:
    """Stack two coordinates, each a number or (T,), into (T, 2)."""
    return np.stack(np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)), axis=-1)


@dataclass
class Track:
    """One prop over time: which of its anchors is where, and how it is turned."""

    at: str | np.ndarray  # "front" or "back" (in that hand), "head" (on top of it), or a (T, 2) path
    angle: Where = 0.0
    anchor: str = "grip"
    stretch: Where = 1.0
    behind: bool = False


@dataclass
class Posture:
    """What a motion sets: (T,) or (T, 2) arrays. Hands and feet are targets, reached as far as the limbs allow."""

    hip: np.ndarray
    front_hand: np.ndarray
    back_hand: np.ndarray
    front_foot: np.ndarray
    back_foot: np.ndarray
    lean: np.ndarray
    nod: np.ndarray
    turn: np.ndarray
    travel: np.ndarray
    props: list[Track] = field(default_factory=list)
    seat: str = ""  # something the motion brings along: "canoe", "rope", "sticks"


def standing(t: np.ndarray) -> Posture:
    """Stand at ease, arms hanging, breathing a little; every motion starts from this."""
    zero = np.zeros_like(t)
    breath = 0.006 * np.sin(2 * np.pi * 0.35 * t)
    hip, hand = point(zero, STANDING_HIP - 0.012 + breath), point(0.09 + breath, 0.46 + breath)
    limbs = point(-0.07, 0.46 + breath), point(0.055 + zero, 0.0), point(-0.055 + zero, 0.0)
    return Posture(hip, hand, *limbs, zero.copy(), zero.copy(), np.ones_like(t), zero.copy())


Two = tuple[np.ndarray, np.ndarray]  # front and back


@dataclass
class Skeleton:
    """Joints (T, 2) in body heights around the person's own ground point, and angles (T,)."""

    hip: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    shoulders: Two
    elbows: Two
    hands: Two
    hips: Two
    knees: Two
    feet: Two
    lean: np.ndarray
    nod: np.ndarray


def _direction(span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (T, 1) and unit vectors of (T, 2) spans."""
    length = np.linalg.norm(span, axis=-1, keepdims=True)
    return length, span / np.maximum(length, 1e-6)


def _across(direction: np.ndarray) -> np.ndarray:
    return np.stack([-direction[..., 1], direction[..., 0]], axis=-1)


def _elbow_side(span: np.ndarray) -> np.ndarray:
    """Which side an elbow points to: down in front of the body, down behind it, and continuous in between."""
    _, direction = _direction(span)
    behind = np.clip((-direction[..., 0] - 0.05) / 0.4, 0, 1)
    below = np.clip((0.65 - direction[..., 1]) / 0.4, 0, 1)
    return np.asarray(2 * behind * below - 1)[..., None]


def _bend(start: np.ndarray, end: np.ndarray, first: float, second: float, side: Where) -> list[np.ndarray]:
    """The middle joint and the reached end of a two-bone limb from `start` towards `end`."""
    distance, direction = _direction(end - start)
    reached = np.clip(distance, abs(first - second) + 0.02, (first + second) * 0.995)
    along = (first**2 - second**2 + reached**2) / (2 * reached)
    across = np.sqrt(np.maximum(first**2 - along**2, 0.0))
    return [start + direction * along + side * across * _across(direction), start + direction * reached]


def solve(posture: Posture) -> Skeleton:
    """Joints of a posture."""
    up = point(np.sin(posture.lean), np.cos(posture.lean))
    neck = posture.hip + TORSO * up
    tilt = posture.lean * 0.6 + posture.nod
    head = neck + (NECK + HEAD) * point(np.sin(tilt), np.cos(tilt))
    side = point(np.full_like(posture.lean, 0.035), 0.0)
    shoulders = (neck + side - 0.035 * up, neck - side - 0.035 * up)
    hips = (posture.hip + 0.6 * side, posture.hip - 0.6 * side)
    targets, ankle = (posture.front_hand, posture.back_hand), np.array([0.0, ANKLE])
    ankles = (posture.front_foot + ankle, posture.back_foot + ankle)
    arms = [_bend(a, b, UPPER_ARM, FOREARM, _elbow_side(b - a)) for a, b in zip(shoulders, targets, strict=True)]
    legs = [_bend(a, b, THIGH, SHIN, 1.0) for a, b in zip(hips, ankles, strict=True)]
    (elbows, hands), (knees, feet) = zip(*arms, strict=True), zip(*legs, strict=True)
    return Skeleton(posture.hip, neck, head, shoulders, elbows, hands, hips, knees, feet, posture.lean, tilt)


def _squeezed(value: Any, turn: np.ndarray) -> Any:
    """Points (T, 2), pairs of them, or angles (T,), as seen while the person turns: x is scaled by `turn` (T,)."""
    if isinstance(value, tuple):
        return tuple(_squeezed(points, turn) for points in value)
    return value * (turn if value.ndim == 1 else np.stack([turn, np.ones_like(turn)], axis=1))


# Outlines ------------------------------------------------------------------------------------------------------------

_CAP = np.linspace(-np.pi / 2, np.pi / 2, 6)


def _capsule(start: np.ndarray, end: np.ndarray, first: float, second: float) -> np.ndarray:
    """A limb with round ends: (T, 12, 2) convex outlines from `start` to `end` (T, 2) with two radii."""
    _, direction = _direction(end - start)
    normal = _across(direction)

    def cap(centre: np.ndarray, radius: float, sign: float) -> np.ndarray:
        along = (np.cos(_CAP) * sign * radius)[None, :, None] * direction[:, None, :]
        across = (np.sin(_CAP) * sign * radius)[None, :, None] * normal[:, None, :]
        return centre[:, None, :] + along + across

    return np.concatenate([cap(end, second, 1.0), cap(start, first, -1.0)], axis=1)


def _rotate(local: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(n, 2) or (T, n, 2) points turned anticlockwise by each of the (T,) angles: (T, n, 2)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = local[..., 0], local[..., 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)


def _ellipse(centre: np.ndarray, along: float, across: float, angle: np.ndarray, n: int) -> np.ndarray:
    """(T, n, 2) outlines of an ellipse turned by `angle` (T,), clockwise from upright."""
    return centre[:, None, :] + _rotate(circle(across, along, n), -angle)


@dataclass(frozen=True)
class Layer:
    """One outline over time: `points` (T, n, 2) in body heights, filled, or drawn as a line when `width` > 0."""

    points: np.ndarray
    colour: Colour
    width: float = 0.0
    closed: bool = True
    convex: bool = True
    show: np.ndarray | None = None

    def pixels(self, scale: float) -> int:
        """Line width in pixels, 0 for a filled outline."""
        return 0 if self.width == 0 else max(1, round(self.width * scale))


Paint = Callable[..., Colour]  # a colour, and a factor, to the colour under the light of a shot


def lit(light: np.ndarray) -> Paint:
    """Colours under `light`, gains of R, G, B."""

    def paint(colour: Colour, factor: float = 1.0) -> Colour:
        red, green, blue = np.clip(np.array(colour) * light * factor, 0, 255).astype(int).tolist()
        return red, green, blue

    return paint


def _facing(turn: np.ndarray, least: float) -> np.ndarray:
    """How wide something is while the person turns: never less than `least`."""
    return np.asarray(np.sign(turn + 1e-9) * np.maximum(np.abs(turn), least))


def _arm(body: Skeleton, side: int, person: Person, paint: Paint, tone: float) -> list[Layer]:
    build, skin = person.build, paint(person.skin, tone)
    shoulder, elbow, hand = body.shoulders[side], body.elbows[side], body.hands[side]
    return [
        Layer(_capsule(elbow, hand, 0.029 * build, 0.024 * build), skin),
        Layer(_capsule(shoulder, elbow, 0.040 * build, 0.034 * build), paint(SHIRTS[person.shirt], tone)),
        Layer(_ellipse(hand, 0.032, 0.032, body.lean * 0, 10), skin),
    ]


def _leg(body: Skeleton, side: int, person: Person, paint: Paint, tone: float, turn: np.ndarray) -> list[Layer]:
    build, cloth = person.build, paint(person.skin if person.skirt else person.trousers, tone)
    toe = point(0.045 * _facing(turn, 0.4), -0.004)
    foot = body.feet[side]
    return [
        Layer(_capsule(foot + 0.2 * toe, foot + toe, 0.030, 0.023), paint(person.shoes, tone)),
        Layer(_capsule(body.knees[side], foot, 0.038 * build, 0.029 * build), cloth),
        Layer(_capsule(body.hips[side], body.knees[side], 0.056 * build, 0.041 * build), cloth),
    ]


def _trunk(body: Skeleton, person: Person, paint: Paint) -> list[Layer]:
    build, shirt = person.build, SHIRTS[person.shirt]
    up = body.neck - body.hip
    chest = body.hip + 0.80 * up
    skirt = []
    if person.skirt:
        knees = (body.knees[0] + body.knees[1]) / 2
        waist, hem = body.hip + 0.12 * up, knees + 0.25 * (body.hip - knees)
        skirt = [Layer(_capsule(waist, hem, 0.060 * build, 0.105 * build), paint(person.trousers))]
    return [
        Layer(_capsule(body.neck - 0.05 * up, body.neck + 0.16 * up, 0.028, 0.028), paint(person.skin, 0.9)),
        Layer(_capsule(body.hips[0], body.hips[1], 0.062 * build, 0.062 * build), paint(person.trousers)),
        *skirt,
        Layer(_capsule(chest, body.hip + 0.10 * up, 0.083 * build, 0.066 * build), paint(shirt)),
        Layer(_capsule(chest + 0.02 * up, body.hip + 0.2 * up, 0.030, 0.022), paint(shirt, 1.09)),
    ]


_CROWN = np.radians(np.linspace(28, 205, 12))
_HAIR = np.concatenate(
    [np.stack([np.cos(_CROWN) * 0.090 - 0.004, np.sin(_CROWN) * 0.102], 1), [[-0.045, -0.01], [0.02, 0.045]]]
)


def _head(body: Skeleton, person: Person, paint: Paint, turn: np.ndarray) -> list[Layer]:
    ahead, seen = _facing(turn, 0.35), turn >= -0.15

    def on_head(local: np.ndarray) -> np.ndarray:
        stretched = np.broadcast_to(local, (len(turn), *local.shape)).copy()
        stretched[..., 0] *= ahead[:, None]
        return body.head[:, None, :] + _rotate(stretched, -body.nod)

    long = person.kind in ("woman", "girl")
    mouth = np.array([[0.028, -0.042], [0.045, -0.047], [0.060, -0.040]])
    return [
        *([Layer(on_head(circle(0.080, 0.115, 16, -0.035, -0.055)), paint(person.hair, 0.85))] if long else []),
        Layer(_ellipse(body.head, HEAD, 0.080, body.nod, 18), paint(person.skin)),
        Layer(on_head(_HAIR), paint(person.hair), convex=False),
        Layer(on_head(circle(0.010, 0.013, 16, 0.042, 0.008)), paint((40, 34, 36)), show=seen),
        Layer(on_head(mouth), paint((150, 70, 66)), 0.012, closed=False, show=seen),
    ]


def _prop_layers(
    track: Track, prop: Prop, look: PropLook, body: Skeleton, turn: np.ndarray, paint: Paint
) -> list[Layer]:
    """The outlines of one prop along its track."""
    if isinstance(track.at, np.ndarray):
        place = _squeezed(track.at, turn)
    elif track.at == "head":
        place = body.head + (HEAD + 0.005) * point(np.sin(body.nod), np.cos(body.nod))
    else:
        place = body.hands[("front", "back").index(track.at)]
    angle, stretch = (np.broadcast_to(part, turn.shape) for part in (track.angle, track.stretch))
    show = None if bool((stretch > 0.01).all()) else stretch > 0.01
    colours = FIXED_PAINTS | {"main": look.rgb, "dark": shade(look.rgb, 0.72), "light": shade(look.rgb, 1.28)}
    layers = []
    for shape in prop.shapes:
        local = shape.points - np.array(getattr(prop, track.anchor))
        long = np.broadcast_to(local, (len(turn), *local.shape)).copy()
        long[..., 1] *= stretch[:, None]
        turned = _rotate(long, angle)
        turned[..., 0] *= _facing(turn, 0.3)[:, None]
        colour = paint(colours[shape.paint])
        layers.append(Layer(place[:, None, :] + turned, colour, shape.width, shape.closed, False, show))
    return layers


_HULL = [(-0.62, 0.24), (-0.50, 0.16), (0.50, 0.16), (0.66, 0.26), (0.54, 0.02), (0.40, -0.04), (-0.40, -0.04),
         (-0.52, 0.02)]  # fmt: skip


def _belongings(posture: Posture, body: Skeleton, prop: Prop | None, paint: Paint) -> tuple[list[Layer], list[Layer]]:
    """What a motion brings along: layers behind and in front of the person."""
    count = len(posture.lean)
    tan, wood, dark = paint((216, 180, 120)), paint((150, 96, 54)), paint((104, 64, 36))

    def still(*points: Point) -> np.ndarray:
        return np.broadcast_to(np.array(points, dtype=np.float64), (count, len(points), 2))

    if posture.seat == "rope":
        return [Layer(still((0.11, -0.02), (0.11, 2.2)), tan, 0.034, False)], []
    if posture.seat == "canoe":
        ripples = np.linspace(-0.9, 0.9, 7)
        wave = 0.02 * np.sin(posture.travel[:, None] * 9 + ripples * 7)
        line = np.stack([np.broadcast_to(ripples, wave.shape), wave - 0.09], axis=-1)
        lake = np.broadcast_to(circle(1.25, 0.13, 30, 0.0, -0.03), (count, 30, 2))
        return [Layer(lake, paint((70, 160, 205)))], [
            Layer(still(*_HULL), paint((196, 84, 50)), convex=False),
            Layer(still((-0.55, 0.13), (0.58, 0.13)), paint((240, 220, 180)), 0.02, False),
            Layer(line, paint((200, 232, 244)), 0.014, False),
        ]
    if posture.seat == "block":
        return [
            Layer(still((0.34, 0.0), (0.34, 0.47), (0.66, 0.47), (0.66, 0.0)), wood),
            Layer(still((0.31, 0.45), (0.31, 0.53), (0.69, 0.53), (0.69, 0.45)), tan),
            Layer(still((0.52, 0.53), (0.52, 0.58)), dark, 0.02, False),
        ], []
    if posture.seat == "sticks" and prop is not None:
        top, iron = (0.36, 0.60 - prop.height), paint((70, 72, 80))
        stand = [Layer(still(top, (0.36 + dx, 0.0)), iron, 0.02, False) for dx in (-0.12, 0.0, 0.12)]
        ends = [[hand - point(0.05, -0.03), hand + point(0.15, -0.09 * np.ones(count))] for hand in body.hands]
        return stand, [Layer(np.stack(pair, axis=1), tan, 0.020, False) for pair in ends]
    if posture.seat == "line" and prop is not None and isinstance(posture.props[0].at, np.ndarray):
        line = np.stack([body.hands[0], posture.props[0].at - point(0.12, -0.03)], axis=1)
        return [], [Layer(line, tan, 0.022, False)]
    return [], []


def figure_layers(
    posture: Posture, person: Person, prop: Prop | None, look: PropLook | None, light: np.ndarray
) -> list[Layer]:
    """Everything that moves in a shot, back to front."""
    paint, turn = lit(light), posture.turn
    body = Skeleton(*(_squeezed(value, turn) for value in vars(solve(posture)).values()))
    behind, before = _belongings(posture, body, prop, paint)
    held, hidden = list[Layer](), list[Layer]()
    if prop is not None and look is not None:
        for track in posture.props:
            (hidden if track.behind else held).extend(_prop_layers(track, prop, look, body, turn, paint))
    return [
        *behind,
        *_arm(body, 1, person, paint, 0.80),
        *_leg(body, 1, person, paint, 0.78, turn),
        *hidden,
        *_leg(body, 0, person, paint, 1.0, turn),
        *_trunk(body, person, paint),
        *_head(body, person, paint, turn),
        *held,
        *_arm(body, 0, person, paint, 0.93),
        *before,
    ]


def shadow_path(posture: Posture, prop: Prop | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where shadows lie on the floor (T, 2) and how wide they are (T,), in body heights."""
    low = np.minimum(posture.front_foot[:, 1], posture.back_foot[:, 1])
    middle = (posture.front_foot[:, 0] + posture.back_foot[:, 0] + posture.hip[:, 0]) / 3
    shadows = [(point(middle * posture.turn, 0.0), 0.24 - 0.3 * np.clip(low, 0, 0.4))]
    for track in posture.props if prop is not None else []:
        if isinstance(track.at, np.ndarray):
            size = np.where(track.at[:, 1] < 0.75, 0.17 - 0.12 * np.clip(track.at[:, 1], 0, 1), 0.0)
            if bool((size > 0).any()):
                shadows.append((point(track.at[:, 0] * posture.turn, 0.0), size))
    return shadows
