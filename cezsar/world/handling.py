"""The plain ways to handle a prop, which teach what it is called: carrying, holding, putting down."""

from __future__ import annotations

import numpy as np

from cezsar.world.actors import Posture, Track, point, standing
from cezsar.world.motions import (
    Manner,
    bulky,
    cycle,
    held_in_both,
    held_in_hand,
    keyed,
    motion,
    swing_arms,
    walk,
    wave,
)
from cezsar.world.props import Prop


@motion("carrying")
def carrying(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    posture.lean = np.full_like(t, -0.04)
    walk(posture, t, manner, 0.9, 0.14, 0.05)
    swing_arms(posture, t, manner, 0.9, 0.12)
    bob = wave(t, manner, 1.8)
    posture.travel = 0.42 * manner.pace * t
    if bulky(prop) or manner.flavour < 0.4:
        held_in_both(posture, prop, 0.21 + 0 * t, 0.62 + 0.012 * bob)
    else:
        posture.front_hand = point(0.22 + 0.01 * bob, 0.62 + 0.012 * bob)
        posture.props = held_in_hand(prop, -0.15 + 0.04 * bob)
    return posture


@motion("holding")
def holding(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    slow = wave(t, manner, 0.4)
    posture.hip[:, 0] += 0.015 * slow
    posture.lean = 0.03 * slow
    posture.nod = 0.12 * wave(t, manner, 0.25)
    if bulky(prop) or manner.flavour < 0.4:
        held_in_both(posture, prop, 0.23 + 0.01 * slow, 0.66 + 0.02 * slow, 0.05 * slow)
    else:
        posture.front_hand = point(0.27 + 0 * t, 0.70 + 0.02 * slow)
        posture.props = held_in_hand(prop, -0.1 + 0.08 * slow)
    return posture


@motion("putting down")
def putting_down(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 3.2)
    low = keyed(
        phase, (0.0, 0.0), (0.12, 0.0), (0.40, 1.0), (0.50, 1.0), (0.66, 0.0), (0.74, 0.0), (0.88, 1.0), (0.92, 1.0)
    )
    held = (phase < 0.45) | (phase > 0.90)
    posture.lean = 0.95 * low
    posture.hip[:, 1] -= 0.02 + 0.13 * low
    posture.hip[:, 0] -= 0.08 * low
    half = 0.15 if prop is None else prop.centre[1] - prop.base[1]
    ground = point(0.30 + 0 * t, half)
    up = point(0.23, 0.66)
    grasp = up + (ground - up) * low[:, None]
    held_in_both(posture, prop, grasp[:, 0], grasp[:, 1])
    if prop is not None:
        upright = prop.tilt * (1 - low)
        posture.props = [Track(np.where(held[:, None], grasp, ground), np.where(held, upright, 0.0), "centre")]
        free = ~held
        rest = standing(t)
        for name in ("front_hand", "back_hand"):
            hand, ease = getattr(posture, name), (1 - low)[:, None]
            getattr(posture, name)[free] = (hand + (getattr(rest, name) - hand) * ease)[free]
    return posture
