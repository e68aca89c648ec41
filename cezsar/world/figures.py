"""A posed person and prop as coloured outlines, in the order they are painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cezsar.world.actors import HEAD, Posture, Skeleton, Track, capsule, ellipse, point, solve, squeeze
from cezsar.world.looks import SHIRTS, Person, PropLook
from cezsar.world.props import FIXED_PAINTS, Prop

Colour = tuple[int, int, int]


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


class Palette:
    """Colours under the light of a shot."""

    def __init__(self, light: np.ndarray) -> None:
        self.light = light

    def __call__(self, colour: Colour, factor: float = 1.0) -> Colour:
        red, green, blue = (
            int(min(255, max(0, part * gain * factor))) for part, gain in zip(colour, self.light, strict=True)
        )
        return red, green, blue


def _squeezed(posture: Posture, skeleton: Skeleton) -> Skeleton:
    """The skeleton as seen while the person turns."""
    turn = posture.turn

    def seen(points: np.ndarray) -> np.ndarray:
        return squeeze(points, turn)

    def pair(points: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return seen(points[0]), seen(points[1])

    return Skeleton(
        seen(skeleton.hip),
        seen(skeleton.neck),
        seen(skeleton.head),
        pair(skeleton.shoulders),
        pair(skeleton.elbows),
        pair(skeleton.hands),
        pair(skeleton.hips),
        pair(skeleton.knees),
        pair(skeleton.feet),
        skeleton.lean * turn,
        skeleton.nod * turn,
    )


def _arm(body: Skeleton, side: int, person: Person, paint: Palette, shade: float) -> list[Layer]:
    build = person.build
    shirt, skin = SHIRTS[person.shirt], person.skin
    shoulder, elbow, hand = body.shoulders[side], body.elbows[side], body.hands[side]
    return [
        Layer(capsule(elbow, hand, 0.029 * build, 0.024 * build), paint(skin, shade)),
        Layer(capsule(shoulder, elbow, 0.040 * build, 0.034 * build), paint(shirt, shade)),
        Layer(ellipse(hand, 0.032, 0.032, body.lean * 0, 10), paint(skin, shade)),
    ]


def _leg(body: Skeleton, side: int, person: Person, paint: Palette, shade: float, turn: np.ndarray) -> list[Layer]:
    build = person.build
    thigh, shin = (person.skin, person.skin) if person.skirt else (person.trousers, person.trousers)
    toe = point(0.045 * np.sign(turn + 1e-9) * np.maximum(np.abs(turn), 0.4), -0.004)
    foot = body.feet[side]
    return [
        Layer(capsule(foot + 0.2 * toe, foot + toe, 0.030, 0.023), paint(person.shoes, shade)),
        Layer(capsule(body.knees[side], foot, 0.038 * build, 0.029 * build), paint(shin, shade)),
        Layer(capsule(body.hips[side], body.knees[side], 0.056 * build, 0.041 * build), paint(thigh, shade)),
    ]


def _trunk(body: Skeleton, person: Person, paint: Palette, turn: np.ndarray) -> list[Layer]:
    build = person.build
    shirt = SHIRTS[person.shirt]
    up = body.neck - body.hip
    chest = body.hip + 0.80 * up
    layers = [
        Layer(capsule(body.neck - 0.05 * up, body.neck + 0.16 * up, 0.028, 0.028), paint(person.skin, 0.9)),
        Layer(capsule(body.hips[0], body.hips[1], 0.062 * build, 0.062 * build), paint(person.trousers)),
    ]
    if person.skirt:
        waist, hem = (
            body.hip + 0.12 * up,
            (body.knees[0] + body.knees[1]) / 2 + 0.25 * (body.hip - (body.knees[0] + body.knees[1]) / 2),
        )
        layers.append(Layer(capsule(waist, hem, 0.060 * build, 0.105 * build), paint(person.trousers)))
    layers += [
        Layer(capsule(chest, body.hip + 0.10 * up, 0.083 * build, 0.066 * build), paint(shirt)),
        Layer(capsule(chest + 0.02 * up, body.hip + 0.2 * up, 0.030, 0.022), paint(shirt, 1.09)),
    ]
    return layers


def _head(body: Skeleton, person: Person, paint: Palette, turn: np.ndarray) -> list[Layer]:
    angle, centre = body.nod, body.head
    theta = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ahead = np.sign(turn + 1e-9) * np.maximum(np.abs(turn), 0.35)

    def on_head(local: np.ndarray) -> np.ndarray:
        stretched = np.broadcast_to(local, (len(angle), *local.shape)).copy()
        stretched[..., 0] *= ahead[:, None]
        cos, sin = np.cos(-angle)[:, None], np.sin(-angle)[:, None]
        x, y = stretched[..., 0], stretched[..., 1]
        return centre[:, None, :] + np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)

    crown = np.radians(np.linspace(28, 205, 12))
    cap = np.concatenate(
        [np.stack([np.cos(crown) * 0.090 - 0.004, np.sin(crown) * 0.102], 1), [[-0.045, -0.01], [0.02, 0.045]]]
    )
    layers = []
    long = person.kind in ("woman", "girl")
    hair = paint(person.hair)
    if long:
        mane = np.stack([np.cos(theta) * 0.080 - 0.035, np.sin(theta) * 0.115 - 0.055], 1)
        layers.append(Layer(on_head(mane), paint(person.hair, 0.85)))
    layers.append(Layer(ellipse(centre, HEAD, 0.080, angle, 18), paint(person.skin)))
    layers.append(Layer(on_head(cap), hair, convex=False))
    away = turn < -0.15
    layers.append(
        Layer(
            on_head(np.stack([np.cos(theta) * 0.010 + 0.042, np.sin(theta) * 0.013 + 0.008], 1)),
            paint((40, 34, 36)),
            show=~away,
        )
    )
    layers.append(
        Layer(
            on_head(np.array([[0.028, -0.042], [0.045, -0.047], [0.060, -0.040]])),
            paint((150, 70, 66)),
            width=0.012,
            closed=False,
            show=~away,
        )
    )
    return layers


def _resolve(track: Track, body: Skeleton, turn: np.ndarray) -> np.ndarray:
    """Where a prop's anchor is, (T, 2)."""
    if isinstance(track.at, np.ndarray):
        return squeeze(track.at, turn)
    if track.at == "head":
        return body.head + (HEAD + 0.005) * point(np.sin(body.nod), np.cos(body.nod))
    if track.at == "both":
        return (body.hands[0] + body.hands[1]) / 2
    return body.hands[0] if track.at == "front" else body.hands[1]


def prop_layers(
    track: Track, prop: Prop, look: PropLook, body: Skeleton, turn: np.ndarray, paint: Palette
) -> list[Layer]:
    """The outlines of one prop along its track."""
    place = _resolve(track, body, turn)
    angle = np.broadcast_to(np.asarray(track.angle, dtype=np.float64), (len(turn),))
    stretch = np.broadcast_to(np.asarray(track.stretch, dtype=np.float64), (len(turn),))
    anchor = np.array({"grip": prop.grip, "centre": prop.centre, "base": prop.base}[track.anchor])
    show = None if bool((stretch > 0.01).all()) else stretch > 0.01
    narrow = np.sign(turn + 1e-9) * np.maximum(np.abs(turn), 0.3)
    colours = {"main": look.rgb, "dark": _tone(look.rgb, 0.72), "light": _tone(look.rgb, 1.28)}
    layers = []
    for shape in prop.shapes:
        local = shape.points - anchor
        long = np.broadcast_to(local, (len(turn), *local.shape)).copy()
        long[..., 1] *= stretch[:, None]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        turned = np.stack([long[..., 0] * cos - long[..., 1] * sin, long[..., 0] * sin + long[..., 1] * cos], axis=-1)
        turned[..., 0] *= narrow[:, None]
        colour = colours.get(shape.paint) or FIXED_PAINTS[shape.paint]
        layers.append(Layer(place[:, None, :] + turned, paint(colour), shape.width, shape.closed, False, show))
    return layers


def _tone(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


def _still(points: list[tuple[float, float]], count: int) -> np.ndarray:
    return np.broadcast_to(np.array(points, dtype=np.float64), (count, len(points), 2))


def _belongings(posture: Posture, body: Skeleton, prop: Prop | None, paint: Palette) -> tuple[list[Layer], list[Layer]]:
    """What a motion brings along: layers behind and in front of the person."""
    count = len(posture.lean)
    tan, wood, dark = paint((216, 180, 120)), paint((150, 96, 54)), paint((104, 64, 36))
    if posture.seat == "rope":
        return [Layer(_still([(0.11, -0.02), (0.11, 2.2)], count), tan, 0.034, False)], []
    if posture.seat == "canoe":
        hull = [
            (-0.62, 0.24),
            (-0.50, 0.16),
            (0.50, 0.16),
            (0.66, 0.26),
            (0.54, 0.02),
            (0.40, -0.04),
            (-0.40, -0.04),
            (-0.52, 0.02),
        ]
        theta = np.linspace(0, 2 * np.pi, 30, endpoint=False)
        lake = [(float(x), float(y)) for x, y in zip(1.25 * np.cos(theta), 0.13 * np.sin(theta) - 0.03, strict=True)]
        ripples = np.linspace(-0.9, 0.9, 7)
        wave = 0.02 * np.sin(posture.travel[:, None] * 9 + ripples * 7)
        line = np.stack([np.broadcast_to(ripples, wave.shape), wave - 0.09], axis=-1)
        return [Layer(_still(lake, count), paint((70, 160, 205)))], [
            Layer(_still(hull, count), paint((196, 84, 50)), convex=False),
            Layer(_still([(-0.55, 0.13), (0.58, 0.13)], count), paint((240, 220, 180)), 0.02, False),
            Layer(line, paint((200, 232, 244)), 0.014, False),
        ]
    if posture.seat == "block":
        top = [Layer(_still([(0.34, 0.0), (0.34, 0.47), (0.66, 0.47), (0.66, 0.0)], count), wood)]
        top += [
            Layer(_still([(0.31, 0.45), (0.31, 0.53), (0.69, 0.53), (0.69, 0.45)], count), tan),
            Layer(_still([(0.52, 0.53), (0.52, 0.58)], count), dark, 0.02, False),
        ]
        return top, []
    if posture.seat == "sticks" and prop is not None:
        foot = 0.60 - prop.height
        stand = [
            Layer(_still([(0.36, foot), (0.36 + dx, 0.0)], count), paint((70, 72, 80)), 0.02, False)
            for dx in (-0.12, 0.0, 0.12)
        ]
        sticks = []
        for hand in body.hands:
            ends = np.stack([hand - point(0.05, -0.03), hand + point(0.15, -0.09 * np.ones(count))], axis=1)
            sticks.append(Layer(ends, tan, 0.020, False))
        return stand, sticks
    if posture.seat == "line" and prop is not None and isinstance(posture.props[0].at, np.ndarray):
        ends = np.stack([body.hands[0], posture.props[0].at - point(0.12, -0.03)], axis=1)
        return [], [Layer(ends, tan, 0.022, False)]
    return [], []


def figure_layers(
    posture: Posture, person: Person, prop: Prop | None, look: PropLook | None, light: np.ndarray
) -> list[Layer]:
    """Everything that moves in a shot, back to front."""
    paint = Palette(light)
    turn = posture.turn
    body = _squeezed(posture, solve(posture))
    behind, before = _belongings(posture, body, prop, paint)
    held: list[Layer] = []
    hidden: list[Layer] = []
    for track in posture.props if prop is not None and look is not None else []:
        assert prop is not None and look is not None
        (hidden if track.behind else held).extend(prop_layers(track, prop, look, body, turn, paint))
    return [
        *behind,
        *_arm(body, 1, person, paint, 0.80),
        *_leg(body, 1, person, paint, 0.78, turn),
        *hidden,
        *_leg(body, 0, person, paint, 1.0, turn),
        *_trunk(body, person, paint, turn),
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
