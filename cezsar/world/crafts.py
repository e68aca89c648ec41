"""Motions that belong to few props, or to none: digging, rowing, reading, climbing and the like."""

from __future__ import annotations

import numpy as np

from cezsar.world.actors import Posture, Track, point, standing
from cezsar.world.motions import TAU, Manner, cycle, held_in_both, keyed, motion, wave
from cezsar.world.props import Prop


@motion("digging")
def digging(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 2.0)
    low = keyed(phase, (0.0, 0.2), (0.25, 1.0), (0.45, 0.9), (0.65, 0.1), (0.80, 0.0))
    toss = keyed(phase, (0.0, 0.0), (0.40, 0.0), (0.66, 1.0), (0.85, 0.2))
    posture.lean = 0.35 + 0.45 * low
    posture.hip[:, 1] -= 0.06 + 0.08 * low
    posture.hip[:, 0] -= 0.08
    posture.front_foot, posture.back_foot = point(0.14 + 0 * t, 0.0), point(-0.16 + 0 * t, 0.0)
    x, y = 0.26 + 0.05 * toss, 0.50 - 0.18 * low + 0.12 * toss
    angle = 0.45 - 0.15 * low + 0.75 * toss
    along = point(np.sin(-angle), np.cos(-angle))
    posture.front_hand, posture.back_hand = point(x, y) - 0.10 * along, point(x, y) + 0.14 * along
    posture.props = [Track(point(x, y), angle, "centre")]
    return posture


@motion("sweeping")
def sweeping(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    sway = wave(t, manner, 0.85)
    posture.lean = 0.22 + 0.05 * sway
    posture.hip[:, 1] -= 0.03
    posture.travel = 0.06 * manner.pace * t
    posture.front_foot, posture.back_foot = point(0.10 + 0 * t, 0.0), point(-0.10 + 0 * t, 0.0)
    angle = 0.30 + 0.34 * sway
    x, y = 0.20 - 0.02 * sway, 0.53
    along = point(np.sin(-angle), np.cos(-angle))
    posture.front_hand, posture.back_hand = point(x, y) - 0.08 * along, point(x, y) + 0.16 * along
    posture.props = [Track(point(x, y), angle, "centre")]
    return posture


@motion("hammering")
def hammering(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 0.85)
    high = keyed(phase, (0.0, 0.0), (0.08, 0.05), (0.60, 1.0), (0.70, 1.0))
    posture.lean = 0.34 - 0.26 * high
    posture.hip[:, 1] -= 0.05
    posture.front_hand = point(0.30 - 0.20 * high, 0.60 + 0.46 * high)
    posture.back_hand = point(0.22 + 0 * t, 0.56)
    posture.front_foot, posture.back_foot = point(0.08 + 0 * t, 0.0), point(-0.14 + 0 * t, 0.0)
    posture.props = [Track("front", -1.35 + 1.75 * high, "grip")]
    posture.seat = "block"
    return posture


@motion("rowing")
def rowing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    turn = TAU * (t * manner.pace * 0.55 + manner.phase)
    pull = np.cos(turn)
    posture.hip = point(-0.08 + 0.03 * pull, 0.17 + 0.008 * np.sin(turn))
    posture.lean = 0.34 * pull
    posture.front_foot, posture.back_foot = point(0.30 + 0 * t, 0.06), point(0.27 + 0 * t, 0.06)
    x, y = 0.18 + 0.15 * pull, 0.42 + 0.05 * np.sin(turn)
    angle = 0.75 + 0.55 * pull - 0.25 * np.sin(turn)
    along = point(np.sin(-angle), np.cos(-angle))
    posture.front_hand, posture.back_hand = point(x, y) - 0.10 * along, point(x, y) + 0.14 * along
    posture.travel = 0.40 * manner.pace * t - 0.06 * pull
    posture.props = [Track(point(x, y), angle, "centre")]
    posture.seat = "canoe"
    return posture


@motion("squatting")
def squatting(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    low = keyed(cycle(t, manner, 1.9), (0.0, 0.0), (0.10, 0.0), (0.45, 1.0), (0.55, 1.0), (0.92, 0.0))
    posture.hip[:, 1] -= 0.01 + 0.25 * low
    posture.hip[:, 0] -= 0.12 * low
    posture.lean = 0.10 + 0.38 * low
    posture.front_foot, posture.back_foot = point(0.10 + 0 * t, 0.0), point(-0.10 + 0 * t, 0.0)
    shoulder = posture.hip + 0.25 * point(np.sin(posture.lean), np.cos(posture.lean))
    if prop is None:
        posture.front_hand = posture.back_hand = shoulder + np.array([0.30, 0.0])
    else:
        held_in_both(posture, prop, shoulder[:, 0] + 0.04, shoulder[:, 1] + 0.02)
    return posture


@motion("drinking")
def drinking(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    up = keyed(cycle(t, manner, 3.0), (0.0, 0.0), (0.12, 0.0), (0.34, 1.0), (0.72, 1.0), (0.92, 0.0))
    posture.front_hand = point(0.20 - 0.02 * up, 0.60 + 0.26 * up)
    posture.nod, posture.lean = -0.34 * up, -0.08 * up
    posture.props = [Track("front", 0.05 + 1.75 * up, "grip")]
    return posture


@motion("bouncing")
def bouncing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 0.75)
    drop = np.abs(2 * phase - 1)
    height = 0.115 + 0.36 * (1 - (1 - drop) ** 2)
    posture.lean = np.full_like(t, 0.24)
    posture.hip[:, 1] -= 0.07
    posture.front_hand = point(0.26 + 0 * t, np.maximum(height + 0.12, 0.50))
    posture.back_hand = point(-0.16 + 0 * t, 0.60)
    posture.front_foot, posture.back_foot = point(0.10 + 0 * t, 0.0), point(-0.14 + 0 * t, 0.0)
    posture.props = [Track(point(0.27 + 0 * t, height), -t * 2.0, "centre")]
    return posture


@motion("climbing")
def climbing(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    phase = cycle(t, manner, 4.2)
    rise = keyed(phase, (0.0, 0.02), (0.15, 0.12), (0.30, 0.20), (0.45, 0.32), (0.60, 0.40), (0.72, 0.42), (0.95, 0.02))
    pull = np.sin(TAU * 3 * phase)
    posture.hip = point(-0.03 + 0 * t, 0.42 + rise)
    posture.lean = 0.06 + 0.05 * pull
    posture.front_hand, posture.back_hand = (
        point(0.10 + 0 * t, 0.96 + rise + 0.11 * pull),
        point(0.09 + 0 * t, 0.96 + rise - 0.11 * pull),
    )
    posture.front_foot, posture.back_foot = (
        point(0.12 + 0 * t, 0.10 + rise - 0.07 * pull),
        point(0.09 + 0 * t, 0.10 + rise + 0.07 * pull),
    )
    posture.seat = "rope"
    return posture


@motion("strumming")
def strumming(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    strum = wave(t, manner, 1.8)
    sway = wave(t, manner, 0.45)
    posture.hip[:, 0] += 0.02 * sway
    posture.lean, posture.nod = 0.05 * sway, 0.12 + 0.08 * wave(t, manner, 0.9)
    posture.front_hand = point(0.36 + 0.01 * sway, 0.80 + 0.02 * sway)
    posture.back_hand = point(0.04 + 0.01 * strum, 0.58 + 0.07 * strum)
    posture.props = [Track(point(0.12 + 0.02 * sway, 0.64), -1.08 + 0.04 * sway, "centre", behind=False)]
    return posture


@motion("reading")
def reading(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    slow = wave(t, manner, 0.3)
    turn = np.clip(wave(t, manner, 0.45) * 4 - 3, 0, 1)
    posture.nod = 0.28 + 0.04 * slow
    held_in_both(posture, prop, 0.26 + 0.006 * slow, 0.72 + 0.01 * slow, 0.04 * slow)
    posture.front_hand = posture.front_hand + np.stack([-0.16 * turn, 0.05 * turn], axis=-1)
    return posture


@motion("sitting")
def sitting(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    swing = wave(t, manner, 0.5)
    posture.hip = point(-0.02 + 0 * t, 0.31)
    posture.lean = -0.05 + 0.04 * swing
    posture.nod = 0.12 * wave(t, manner, 0.3)
    posture.front_foot, posture.back_foot = (
        point(0.24 + 0.05 * swing, 0.02 + 0.02 * swing),
        point(0.20 - 0.05 * swing, 0.0),
    )
    posture.front_hand, posture.back_hand = point(0.18 + 0 * t, 0.40 + 0.01 * swing), point(0.14 + 0 * t, 0.40)
    posture.props = [Track(point(0 * t, 0.0), 0.0, "base", behind=True)]
    return posture


@motion("punching")
def punching(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    left = np.clip(wave(t, manner, 1.0), 0, 1) ** 2
    right = np.clip(wave(t, manner, 1.0, 0.5), 0, 1) ** 2
    posture.hip[:, 1] -= 0.05 - 0.01 * wave(t, manner, 2.0)
    posture.hip[:, 0] += 0.03 * (left - right)
    posture.lean = 0.10 + 0.10 * (left + right)
    posture.front_hand, posture.back_hand = point(0.14 + 0.30 * left, 0.78), point(0.12 + 0.30 * right, 0.80)
    posture.front_foot, posture.back_foot = point(0.16 + 0 * t, 0.0), point(-0.16 + 0 * t, 0.0)
    return posture


@motion("crawling")
def crawling(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    step = wave(t, manner, 0.9)
    posture.hip = point(-0.16 + 0.01 * step, 0.27 + 0.012 * np.abs(step))
    posture.lean = np.full_like(t, 1.32) + 0.04 * step
    posture.nod = np.full_like(t, -0.75)
    posture.front_hand, posture.back_hand = (
        point(0.16 + 0.10 * step, 0.03 * np.maximum(wave(t, manner, 0.9, 0.25), 0)),
        point(0.12 - 0.10 * step, 0.0),
    )
    posture.front_foot, posture.back_foot = point(-0.40 - 0.08 * step, 0.02), point(-0.40 + 0.08 * step, 0.02)
    posture.travel = 0.26 * manner.pace * t
    return posture


@motion("push-ups")
def push_ups(t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    posture = standing(t)
    low = keyed(cycle(t, manner, 1.3), (0.0, 0.0), (0.45, 1.0), (0.55, 1.0))
    posture.hip = point(-0.12 + 0 * t, 0.24 - 0.11 * low)
    posture.lean = 1.28 + 0.17 * low
    posture.nod = np.full_like(t, -0.45)
    posture.front_hand, posture.back_hand = point(0.16 + 0 * t, 0.0), point(0.13 + 0 * t, 0.0)
    posture.front_foot, posture.back_foot = point(-0.58 + 0 * t, 0.0), point(-0.56 + 0 * t, 0.0)
    return posture
