"""The motions: each is a function of time that moves hands, feet, hips and props.

`Manner` is what varies between two performances of one motion. Times are seconds, lengths body heights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cezsar.world.actors import Posture, Track, point, standing
from cezsar.world.props import Prop

TAU = 2 * np.pi


@dataclass(frozen=True)
class Manner:
    """How somebody does a motion: `pace` multiplies speed, `phase` shifts it (cycles), `size` scales its reach."""

    pace: float = 1.0
    phase: float = 0.0
    size: float = 1.0
    flavour: float = 0.5
    """In [0, 1): picks between equally good ways of doing it, such as which arm."""


Motion = Callable[[np.ndarray, Manner, Prop | None], Posture]
MOTIONS: dict[str, Motion] = {}


def motion(name: str) -> Callable[[Motion], Motion]:
    """Register a motion under the name that `actions.py` uses."""

    def register(function: Motion) -> Motion:
        MOTIONS[name] = function
        return function

    return register


def cycle(t: np.ndarray, manner: Manner, seconds: float) -> np.ndarray:
    """How far each time is through a repeated movement of `seconds`, in [0, 1)."""
    return np.asarray((t * manner.pace / seconds + manner.phase) % 1.0)


def wave(t: np.ndarray, manner: Manner, hertz: float, shift: float = 0.0) -> np.ndarray:
    """A sine in [-1, 1], `hertz` times a second, `shift` cycles ahead."""
    return np.asarray(np.sin(TAU * (t * manner.pace * hertz + manner.phase + shift)))


def keyed(phase: np.ndarray, *keys: tuple[float, float]) -> np.ndarray:
    """Ease through (phase, value) keys, repeating after 1."""
    first = keys[0]
    times = np.array([key[0] for key in keys] + [first[0] + 1.0])
    values = np.array([key[1] for key in keys] + [first[1]])
    wrapped = np.where(phase < times[0], phase + 1.0, phase)
    index = np.clip(np.searchsorted(times, wrapped, side="right") - 1, 0, len(times) - 2)
    share = (wrapped - times[index]) / np.maximum(times[index + 1] - times[index], 1e-6)
    eased = share * share * (3 - 2 * share)
    return np.asarray(values[index] + (values[index + 1] - values[index]) * eased)


def walk(posture: Posture, t: np.ndarray, manner: Manner, hertz: float, stride: float, lift: float) -> None:
    """Step in place with the feet passing under the hip; the caller sets how far this travels."""
    theta = TAU * (t * manner.pace * hertz + manner.phase)
    for name, shift in (("front_foot", 0.0), ("back_foot", np.pi)):
        swing = np.sin(theta + shift)
        rise = np.maximum(np.cos(theta + shift), 0.0)
        setattr(posture, name, point(posture.hip[:, 0] + stride * swing, lift * rise))
    posture.hip[:, 1] += 0.012 * np.cos(2 * theta) - stride**2 * 0.7


def swing_arms(posture: Posture, t: np.ndarray, manner: Manner, hertz: float, reach: float) -> None:
    """Arms opposite to the legs, elbows bent."""
    swing = np.sin(TAU * (t * manner.pace * hertz + manner.phase))
    posture.front_hand = point(posture.hip[:, 0] + 0.10 - reach * swing, 0.60 + 0.05 * np.abs(swing))
    posture.back_hand = point(posture.hip[:, 0] + 0.06 + reach * swing, 0.60 + 0.05 * np.abs(swing))


def bulky(prop: Prop | None) -> bool:
    """Whether a prop takes two hands."""
    return prop is not None and prop.name in {"box", "drum", "barbell", "chair", "ball", "hoop", "book", "bucket"}


def held_in_hand(prop: Prop | None, angle: np.ndarray | float = 0.0, hand: str = "front") -> list[Track]:
    """One hand holds the prop by its grip."""
    return [] if prop is None else [Track(hand, angle, "grip")]


def held_in_both(posture: Posture, prop: Prop | None, x: np.ndarray | float, y: np.ndarray | float,
                 angle: np.ndarray | float = 0.0, spread: float = 1.0) -> None:  # fmt: skip
    """Both hands hold the prop around its centre at (x, y)."""
    if prop is None:
        posture.front_hand, posture.back_hand = point(x + np.array(0.05), y), point(x - np.array(0.05), y)
        return
    reach = prop.reach * spread
    turn = np.asarray(angle) if prop.tilt == 0 else np.asarray(angle) + prop.tilt + np.pi / 2
    dx, dy = reach * np.cos(turn), reach * np.sin(turn)
    posture.front_hand = point(x + dx, y + dy)
    posture.back_hand = point(x - dx, y - dy)
    posture.props = [Track(point(x, y), np.asarray(angle) + prop.tilt, "centre")]


@motion("swinging overhead")
def swinging_overhead(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    turn = TAU * (t * manner.pace * 0.95 + manner.phase)
    posture.front_foot, posture.back_foot = point(0.12 + 0 * t, 0.0), point(-0.12 + 0 * t, 0.0)
    posture.hip[:, 1] -= 0.03 + 0.012 * np.sin(turn)
    posture.hip[:, 0] += 0.02 * np.cos(turn)
    posture.lean = -0.06 * np.cos(turn)
    x, y = 0.02 + 0.09 * np.cos(turn), 1.10 + 0.03 * np.sin(turn)
    posture.front_hand, posture.back_hand = point(x + 0.015, y), point(x - 0.015, y - 0.02)
    dx, dy = np.cos(turn), 0.30 * np.sin(turn) + 0.22
    posture.props = [
        Track(point(x, y), np.arctan2(dy, dx) - np.pi / 2, "grip", stretch=0.25 + 0.75 * np.hypot(dx, dy) / 1.06)
    ]
    return posture


@motion("throwing")
def throwing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 1.75)
    lean = keyed(phase, (0.0, 0.05), (0.30, -0.32), (0.42, 0.30), (0.60, 0.25), (0.9, 0.05))
    posture.lean = lean
    posture.hip[:, 0] += 0.35 * lean * 0.3
    posture.hip[:, 1] -= 0.03
    hand_x = keyed(phase, (0.0, 0.12), (0.28, -0.27), (0.36, -0.10), (0.43, 0.34), (0.62, 0.16), (0.9, 0.12))
    hand_y = keyed(phase, (0.0, 0.50), (0.28, 0.92), (0.36, 1.12), (0.43, 0.92), (0.62, 0.42), (0.9, 0.46))
    posture.front_hand = point(hand_x, hand_y)
    posture.back_hand = point(
        keyed(phase, (0.0, -0.05), (0.28, 0.30), (0.43, -0.16), (0.8, -0.05)),
        keyed(phase, (0.0, 0.5), (0.28, 0.85), (0.43, 0.55), (0.8, 0.48)),
    )
    step = keyed(phase, (0.0, 0.08), (0.25, 0.06), (0.40, 0.24), (0.7, 0.22), (0.95, 0.08))
    rise = keyed(phase, (0.0, 0.0), (0.22, 0.0), (0.30, 0.16), (0.40, 0.0), (0.8, 0.0), (0.88, 0.03))
    posture.front_foot, posture.back_foot = point(step, rise), point(-0.12 + 0 * t, 0.0)
    if prop is not None:
        flown = np.clip((phase - 0.42) / 0.42, 0, 1)
        fly_x, fly_y = 0.36 + 1.75 * flown, 0.96 + 0.75 * flown - 1.4 * flown**2
        flying = (phase > 0.42) & (phase < 0.80)  # then the next one is in the hand
        reached = point(np.where(flying, fly_x, 9.0), np.where(flying, fly_y, 9.0))
        spin = -TAU * 1.2 * flown * manner.size
        posture.props = [
            Track(reached, spin, "centre"),
            Track(
                "front",
                keyed(phase, (0.0, 0.3), (0.28, 0.9), (0.43, -0.6), (0.9, 0.3)),
                "grip",
                stretch=np.where(flying, 0, 1.0),
            ),
        ]
    return posture


@motion("kicking")
def kicking(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 1.5)
    foot_x = keyed(phase, (0.0, 0.04), (0.22, -0.34), (0.34, 0.30), (0.42, 0.42), (0.62, 0.10), (0.8, 0.05))
    foot_y = keyed(phase, (0.0, 0.0), (0.22, 0.22), (0.33, 0.06), (0.42, 0.44), (0.62, 0.06), (0.72, 0.0))
    posture.front_foot, posture.back_foot = point(foot_x, foot_y), point(-0.04 + 0 * t, 0.0)
    posture.lean = keyed(phase, (0.0, 0.05), (0.22, 0.20), (0.42, -0.30), (0.7, 0.03))
    posture.hip[:, 1] -= 0.015
    posture.front_hand = point(
        keyed(phase, (0.0, 0.12), (0.22, 0.30), (0.42, -0.26), (0.7, 0.1)), 0.68 + 0.06 * np.sin(TAU * phase)
    )
    posture.back_hand = point(keyed(phase, (0.0, -0.12), (0.22, -0.28), (0.42, 0.26), (0.7, -0.1)), 0.70)
    if prop is not None:
        away = np.clip((phase - 0.36) / 0.30, 0, 1)
        back = np.clip((phase - 0.72) / 0.26, 0, 1)
        x = 0.36 + 1.25 * (away * (2 - away)) * (1 - back * back * (3 - 2 * back))
        hop = 0.34 * np.sin(np.pi * np.clip((phase - 0.36) / 0.26, 0, 1))
        half = prop.centre[1] - prop.base[1]
        posture.props = [Track(point(x, half + hop), -(x - 0.36) * 2.6, "centre")]
    return posture


@motion("lifting overhead")
def lifting_overhead(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 2.9)
    height = keyed(
        phase, (0.0, 0.20), (0.10, 0.20), (0.30, 0.72), (0.38, 0.72), (0.52, 1.13), (0.72, 1.13), (0.92, 0.30)
    )
    squat = keyed(phase, (0.0, 1.0), (0.10, 1.0), (0.30, 0.1), (0.40, 0.25), (0.52, 0.0), (0.75, 0.0), (0.92, 0.9))
    forward = keyed(phase, (0.0, 0.20), (0.10, 0.20), (0.30, 0.17), (0.52, 0.03), (0.72, 0.03), (0.92, 0.2))
    posture.front_foot, posture.back_foot = point(0.11 + 0 * t, 0.0), point(-0.11 + 0 * t, 0.0)
    posture.hip[:, 1] -= 0.02 + 0.20 * squat
    posture.hip[:, 0] -= 0.07 * squat
    posture.lean = 0.75 * squat
    posture.nod = -0.25 * (height > 0.9) * np.clip((height - 0.9) * 4, 0, 1)
    held_in_both(posture, prop, forward, height)
    return posture


@motion("juggling")
def juggling(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    beat = t * manner.pace * 0.85 + manner.phase
    posture.hip[:, 1] += 0.008 * np.sin(TAU * 2 * beat)
    posture.nod = -0.18 + 0.05 * np.sin(TAU * beat)
    posture.front_hand = point(0.24 + 0.05 * np.cos(TAU * beat), 0.66 + 0.07 * np.sin(TAU * beat))
    posture.back_hand = point(-0.10 - 0.05 * np.cos(TAU * beat + 0.5), 0.66 - 0.07 * np.sin(TAU * beat))
    if prop is not None:
        for ball in range(3):
            u = (beat + ball / 3) % 1.0
            there = np.where(u < 0.5, u * 2, 2 - u * 2)
            arc = (u % 0.5) * 2
            path = point(-0.16 + 0.46 * there, 0.76 + 0.62 * 4 * arc * (1 - arc))
            posture.props.append(Track(path, TAU * (beat * 1.5 + ball / 3), "centre"))
    return posture


@motion("waving")
def waving(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    sway = wave(t, manner, 1.0)
    posture.front_hand = point(0.12 + 0.20 * sway, 1.02 - 0.05 * sway**2)
    posture.back_hand = point(-0.06 + 0 * t, 0.52)
    posture.lean = 0.07 * sway
    posture.hip[:, 0] += 0.02 * sway
    posture.front_foot, posture.back_foot = point(0.09 + 0 * t, 0.0), point(-0.09 + 0 * t, 0.0)
    posture.props = held_in_hand(prop, -0.85 * wave(t, manner, 1.0, -0.06))
    return posture


@motion("pushing")
def pushing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    tall = 0.33 if prop is None else prop.height
    posture.lean = 0.62 + 0.06 * wave(t, manner, 1.9)
    posture.hip[:, 1] -= 0.08
    posture.hip[:, 0] -= 0.16
    walk(posture, t, manner, 0.95, 0.17, 0.05)
    posture.front_foot[:, 0] -= 0.08
    posture.back_foot[:, 0] -= 0.08
    hand_y = 0.12 + 0.75 * tall
    posture.front_hand, posture.back_hand = point(0.27 + 0 * t, hand_y), point(0.26 + 0 * t, hand_y + 0.05)
    posture.travel = 0.34 * manner.pace * t
    if prop is not None:
        width = max(float(np.abs(shape.points[:, 0]).max()) for shape in prop.shapes)
        half = prop.centre[1] - prop.base[1]
        posture.props = [Track(point(0.27 + width + 0 * t, half + 0.004 * wave(t, manner, 3.0)), 0.0, "centre")]
    return posture


@motion("dragging")
def dragging(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    tug = wave(t, manner, 0.9)
    posture.lean = -0.50 + 0.12 * tug
    posture.hip[:, 1] -= 0.10
    posture.hip[:, 0] -= 0.04
    walk(posture, t, manner, 0.9, 0.14, 0.05)
    posture.front_foot[:, 0] += 0.10
    posture.back_foot[:, 0] += 0.06
    posture.front_hand, posture.back_hand = point(0.24 + 0.03 * tug, 0.40), point(0.22 + 0.03 * tug, 0.42)
    posture.travel = -0.30 * manner.pace * t + 0.03 * tug
    if prop is not None:
        half = prop.centre[1] - prop.base[1]
        width = max(float(np.abs(shape.points[:, 0]).max()) for shape in prop.shapes)
        x = 0.26 + width + 0.04 * tug
        posture.props = [Track(point(x, half + 0.03), 0.24 + 0.05 * tug, "centre")]
        posture.seat = "line"
    return posture


@motion("drumming")
def drumming(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    left, right = wave(t, manner, 1.9), wave(t, manner, 1.9, 0.5)
    posture.lean = 0.16 + 0.04 * wave(t, manner, 0.95)
    posture.hip[:, 1] -= 0.05
    posture.nod = 0.12 * wave(t, manner, 1.9)
    top = 0.60
    posture.front_hand = point(0.24 + 0.02 * left, top + 0.16 + 0.13 * left)
    posture.back_hand = point(0.18 + 0.02 * right, top + 0.16 + 0.13 * right)
    posture.front_foot, posture.back_foot = point(0.07 + 0 * t, 0.0), point(-0.13 + 0 * t, 0.0)
    posture.seat = "sticks"
    if prop is not None:
        posture.props = [Track(point(0.36 + 0 * t, top - prop.height), 0.02 * left, "base")]
    return posture


@motion("jumping")
def jumping(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 0.95)
    air = np.clip((phase - 0.30) / 0.55, 0, 1)
    rise = 0.25 * manner.size * 4 * air * (1 - air)
    crouch = keyed(phase, (0.0, 0.6), (0.18, 1.0), (0.32, 0.0), (0.80, 0.0), (0.92, 0.8))
    tuck = keyed(phase, (0.0, 0.0), (0.3, 0.0), (0.55, 1.0), (0.82, 0.0))
    posture.hip[:, 1] += rise - 0.15 * crouch
    posture.lean = 0.30 * crouch
    posture.front_foot = point(0.08 + 0.04 * tuck, rise * 1.0 + 0.05 * tuck)
    posture.back_foot = point(-0.06 - 0.10 * tuck, rise * 1.0 + 0.09 * tuck)
    if prop is None:
        posture.front_hand = point(0.16 + 0.05 * tuck, 0.62 + rise + 0.40 * tuck - 0.15 * crouch)
        posture.back_hand = point(-0.12 - 0.08 * tuck, 0.62 + rise + 0.40 * tuck - 0.15 * crouch)
    elif bulky(prop):
        held_in_both(posture, prop, 0.22 + 0 * t, 0.66 + rise - 0.13 * crouch + 0.06 * tuck)
    else:
        posture.front_hand = point(0.25 + 0 * t, 0.70 + rise - 0.13 * crouch)
        posture.back_hand = point(-0.20 - 0.06 * tuck, 0.60 + rise + 0.22 * tuck)
        posture.props = held_in_hand(prop, -0.40 + 0.25 * tuck)
    return posture


@motion("running")
def running(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    hertz = 1.55
    theta = TAU * (t * manner.pace * hertz + manner.phase)
    posture.lean = np.full_like(t, 0.26)
    posture.hip[:, 1] += -0.035 + 0.035 * np.cos(2 * theta)
    for name, shift in (("front_foot", 0.0), ("back_foot", np.pi)):
        swing, rise = np.sin(theta + shift), np.maximum(np.cos(theta + shift), 0)
        setattr(posture, name, point(0.27 * swing - 0.03 - 0.08 * rise, 0.22 * rise * (1 - 0.3 * swing) + 0.02))
    swing_arms(posture, t, manner, hertz, 0.19)
    posture.travel = 0.95 * manner.pace * t
    if bulky(prop):
        held_in_both(posture, prop, 0.24 + 0 * t, 0.68 + 0.03 * np.cos(2 * theta), 0.06 * np.sin(2 * theta))
    elif prop is not None:
        posture.front_hand = point(0.28 + 0.03 * np.sin(theta), 0.72 + 0.03 * np.cos(2 * theta))
        posture.props = held_in_hand(prop, -0.30 + 0.10 * np.sin(2 * theta))
    return posture


@motion("spinning")
def spinning(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    theta = TAU * (t * manner.pace * 0.62 + manner.phase)
    posture.turn = np.cos(theta)
    step = np.sin(2 * theta)
    posture.hip[:, 1] += 0.010 * step
    posture.front_foot, posture.back_foot = (
        point(0.08 + 0 * t, 0.03 * np.maximum(step, 0)),
        point(-0.08 + 0 * t, 0.03 * np.maximum(-step, 0)),
    )
    posture.front_hand, posture.back_hand = (
        point(0.36 + 0 * t, 0.76 + 0.02 * step),
        point(-0.36 + 0 * t, 0.76 - 0.02 * step),
    )
    if bulky(prop):
        held_in_both(posture, prop, 0.34 + 0 * t, 0.72 + 0.02 * step)
        posture.props[0].angle = np.asarray(posture.props[0].angle) - 0.1
    else:
        posture.props = held_in_hand(prop, -0.5 + 0.05 * step)
    return posture


@motion("dancing")
def dancing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    sway, bob = wave(t, manner, 0.8), np.abs(wave(t, manner, 0.8, 0.25))
    posture.hip[:, 0] += 0.13 * sway
    posture.hip[:, 1] -= 0.02 + 0.04 * bob
    posture.lean = -0.26 * sway
    posture.nod = 0.20 * wave(t, manner, 1.6)
    posture.front_foot = point(0.15 + 0 * t, 0.10 * np.maximum(-sway, 0))
    posture.back_foot = point(-0.15 + 0 * t, 0.10 * np.maximum(sway, 0))
    posture.front_hand = point(0.20 + 0.10 * sway, 0.82 + 0.20 * wave(t, manner, 0.8, 0.12))
    posture.back_hand = point(-0.22 + 0.10 * sway, 0.82 - 0.24 * wave(t, manner, 0.8, 0.12))
    if bulky(prop):
        held_in_both(posture, prop, 0.18 + 0.16 * sway, 0.74 + 0.12 * wave(t, manner, 0.8, 0.12), 0.30 * sway)
    else:
        posture.props = held_in_hand(prop, -0.15 - 0.45 * sway)
    return posture


@motion("balancing")
def balancing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    wobble = wave(t, manner, 0.45) * 0.6 + wave(t, manner, 0.95, 0.3) * 0.4
    posture.hip[:, 0] += 0.03 * wobble
    posture.lean = 0.05 * wobble
    posture.nod = -0.05 * wobble
    walk(posture, t, manner, 0.5, 0.07, 0.04)
    posture.front_hand = point(0.36 + 0 * t, 0.76 + 0.11 * wobble)
    posture.back_hand = point(-0.36 + 0 * t, 0.76 - 0.11 * wobble)
    posture.travel = 0.10 * manner.pace * t
    if prop is not None:
        posture.props = [Track("head", -0.13 * wobble, "base")]
    return posture
