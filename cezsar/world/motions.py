"""The motions: how a person moves hands, feet, hips and props over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cezsar.world.people import Posture, Track, Where, point, standing
from cezsar.world.props import Prop

TAU = 2 * np.pi
_BULKY = {"box", "drum", "barbell", "chair", "ball", "hoop", "book", "bucket"}  # props that take two hands


@dataclass(frozen=True)
class Manner:
    """How somebody does a motion."""

    pace: float = 1.0  # multiplies speed
    phase: float = 0.0  # shifts it, in cycles
    size: float = 1.0  # scales its reach
    flavour: float = 0.5  # in [0, 1): picks between equally good ways of doing it, such as which arm


def perform(motion: str, t: np.ndarray, manner: Manner, prop: Prop | None) -> Posture:
    """The posture at the times `t` (T,), in seconds, of somebody doing a motion, with a prop or without."""
    performer = Performer(t, manner)
    getattr(performer, motion.replace(" ", "_").replace("-", "_"))(prop)
    return performer


def keyed(phase: np.ndarray, *keys: tuple[float, float]) -> np.ndarray:
    """Ease through (phase, value) keys, repeating after 1."""
    times, values = np.array([*keys, (keys[0][0] + 1.0, keys[0][1])]).T
    wrapped = np.where(phase < times[0], phase + 1.0, phase)
    index = np.clip(np.searchsorted(times, wrapped, side="right") - 1, 0, len(times) - 2)
    share = (wrapped - times[index]) / np.maximum(times[index + 1] - times[index], 1e-6)
    eased = share * share * (3 - 2 * share)
    return np.asarray(values[index] + (values[index + 1] - values[index]) * eased)


def bulky(prop: Prop | None) -> bool:
    """Whether a prop takes two hands."""
    return prop is not None and prop.name in _BULKY


class Performer(Posture):
    """Somebody who stands at ease until one of the motions below is called: methods named as in `actions.py`."""

    def __init__(self, t: np.ndarray, manner: Manner) -> None:
        super().__init__(**vars(standing(t)))
        self.t, self.manner = t, manner

    def cycle(self, seconds: float) -> np.ndarray:
        """How far each time is through a repeated movement of `seconds`, in [0, 1)."""
        return np.asarray((self.t * self.manner.pace / seconds + self.manner.phase) % 1.0)

    def revolve(self, hertz: float) -> np.ndarray:
        """An angle that turns `hertz` times a second."""
        return np.asarray(TAU * (self.t * self.manner.pace * hertz + self.manner.phase))

    def wave(self, hertz: float, shift: float = 0.0) -> np.ndarray:
        """A sine in [-1, 1], `hertz` times a second, `shift` cycles ahead."""
        return np.asarray(np.sin(TAU * (self.t * self.manner.pace * hertz + self.manner.phase + shift)))

    def distance(self, speed: float) -> np.ndarray:
        """How far somebody of this `speed` (body heights a second) has come."""
        return speed * self.manner.pace * self.t

    def at(self, x: Where, y: Where) -> np.ndarray:
        """A place, (T, 2), from coordinates that may be numbers."""
        return point(x + np.zeros_like(self.t), y)

    def feet(self, front: tuple[Where, Where], back: tuple[Where, Where]) -> None:
        self.front_foot, self.back_foot = self.at(*front), self.at(*back)

    def hands(self, front: tuple[Where, Where], back: tuple[Where, Where]) -> None:
        self.front_hand, self.back_hand = self.at(*front), self.at(*back)

    def body(self, x: Where = 0.0, y: Where = 0.0, lean: Where | None = None, nod: Where | None = None) -> None:
        """Move the hip by (x, y); set how the body leans and the head nods."""
        self.hip += self.at(x, y)
        self.lean = self.lean if lean is None else lean + np.zeros_like(self.t)
        self.nod = self.nod if nod is None else nod + np.zeros_like(self.t)

    def put(self, x: Where, y: Where, angle: Where, anchor: str = "centre", behind: bool = False) -> None:
        """Place the prop with its anchor at (x, y)."""
        self.props = [Track(self.at(x, y), angle, anchor, behind=behind)]

    def grip(self, prop: Prop | None, angle: Where) -> None:
        """Hold the prop by its grip, in the front hand."""
        self.props = [] if prop is None else [Track("front", angle)]

    def hold(self, prop: Prop | None, x: Where, y: Where, angle: Where = 0.0) -> None:
        """Hold the prop in both hands, around its centre at (x, y)."""
        if prop is None:
            self.hands((x + np.array(0.05), y), (x - np.array(0.05), y))
            return
        turn = np.asarray(angle) if prop.tilt == 0 else np.asarray(angle) + prop.tilt + np.pi / 2
        dx, dy = prop.reach * np.cos(turn), prop.reach * np.sin(turn)
        self.hands((x + dx, y + dy), (x - dx, y - dy))
        self.put(x, y, np.asarray(angle) + prop.tilt)

    def hold_shaft(self, x: Where, y: Where, angle: np.ndarray, below: float, above: float) -> None:
        """Hold a long prop in both hands, so far below and above its centre at (x, y)."""
        along = point(np.sin(-angle), np.cos(-angle))
        self.front_hand, self.back_hand = point(x, y) - below * along, point(x, y) + above * along
        self.put(x, y, angle)

    def walk(self, hertz: float, stride: float, lift: float) -> None:
        """Step in place with the feet passing under the hip; the caller sets how far this travels."""
        theta = self.revolve(hertz)
        for name, shift in (("front_foot", 0.0), ("back_foot", np.pi)):
            x = self.hip[:, 0] + stride * np.sin(theta + shift)
            setattr(self, name, point(x, lift * np.maximum(np.cos(theta + shift), 0.0)))
        self.hip[:, 1] += 0.012 * np.cos(2 * theta) - stride**2 * 0.7

    def swing_arms(self, hertz: float, reach: float) -> None:
        """Arms opposite to the legs, elbows bent."""
        swing = np.sin(self.revolve(hertz))
        x, y = self.hip[:, 0], 0.60 + 0.05 * np.abs(swing)
        self.hands((x + 0.10 - reach * swing, y), (x + 0.06 + reach * swing, y))

    # The motions -----------------------------------------------------------------------------------------------------

    def swinging_overhead(self, prop: Prop | None) -> None:
        turn = self.revolve(0.95)
        self.feet((0.12, 0.0), (-0.12, 0.0))
        self.body(0.02 * np.cos(turn), -(0.03 + 0.012 * np.sin(turn)), lean=-0.06 * np.cos(turn))
        x, y = 0.02 + 0.09 * np.cos(turn), 1.10 + 0.03 * np.sin(turn)
        self.hands((x + 0.015, y), (x - 0.015, y - 0.02))
        dx, dy = np.cos(turn), 0.30 * np.sin(turn) + 0.22
        self.props = [Track(point(x, y), np.arctan2(dy, dx) - np.pi / 2, stretch=0.25 + 0.75 * np.hypot(dx, dy) / 1.06)]

    def throwing(self, prop: Prop | None) -> None:
        phase = self.cycle(1.75)
        lean = keyed(phase, (0.0, 0.05), (0.30, -0.32), (0.42, 0.30), (0.60, 0.25), (0.9, 0.05))
        self.body(0.35 * lean * 0.3, -0.03, lean=lean)
        hand_x = keyed(phase, (0.0, 0.12), (0.28, -0.27), (0.36, -0.10), (0.43, 0.34), (0.62, 0.16), (0.9, 0.12))
        hand_y = keyed(phase, (0.0, 0.50), (0.28, 0.92), (0.36, 1.12), (0.43, 0.92), (0.62, 0.42), (0.9, 0.46))
        self.front_hand = point(hand_x, hand_y)
        self.back_hand = point(
            keyed(phase, (0.0, -0.05), (0.28, 0.30), (0.43, -0.16), (0.8, -0.05)),
            keyed(phase, (0.0, 0.5), (0.28, 0.85), (0.43, 0.55), (0.8, 0.48)),
        )
        step = keyed(phase, (0.0, 0.08), (0.25, 0.06), (0.40, 0.24), (0.7, 0.22), (0.95, 0.08))
        rise = keyed(phase, (0.0, 0.0), (0.22, 0.0), (0.30, 0.16), (0.40, 0.0), (0.8, 0.0), (0.88, 0.03))
        self.feet((step, rise), (-0.12, 0.0))
        if prop is not None:
            flown = np.clip((phase - 0.42) / 0.42, 0, 1)
            fly_x, fly_y = 0.36 + 1.75 * flown, 0.96 + 0.75 * flown - 1.4 * flown**2
            flying = (phase > 0.42) & (phase < 0.80)  # then the next one is in the hand
            reached = point(np.where(flying, fly_x, 9.0), np.where(flying, fly_y, 9.0))
            spin = -TAU * 1.2 * flown * self.manner.size
            turned = keyed(phase, (0.0, 0.3), (0.28, 0.9), (0.43, -0.6), (0.9, 0.3))
            held = Track("front", turned, stretch=np.where(flying, 0, 1.0))
            self.props = [Track(reached, spin, "centre"), held]

    def kicking(self, prop: Prop | None) -> None:
        phase = self.cycle(1.5)
        foot_x = keyed(phase, (0.0, 0.04), (0.22, -0.34), (0.34, 0.30), (0.42, 0.42), (0.62, 0.10), (0.8, 0.05))
        foot_y = keyed(phase, (0.0, 0.0), (0.22, 0.22), (0.33, 0.06), (0.42, 0.44), (0.62, 0.06), (0.72, 0.0))
        self.feet((foot_x, foot_y), (-0.04, 0.0))
        self.body(0, -0.015, lean=keyed(phase, (0.0, 0.05), (0.22, 0.20), (0.42, -0.30), (0.7, 0.03)))
        front_x = keyed(phase, (0.0, 0.12), (0.22, 0.30), (0.42, -0.26), (0.7, 0.1))
        self.front_hand = point(front_x, 0.68 + 0.06 * np.sin(TAU * phase))
        self.back_hand = point(keyed(phase, (0.0, -0.12), (0.22, -0.28), (0.42, 0.26), (0.7, -0.1)), 0.70)
        if prop is not None:
            away = np.clip((phase - 0.36) / 0.30, 0, 1)
            back = np.clip((phase - 0.72) / 0.26, 0, 1)
            x = 0.36 + 1.25 * (away * (2 - away)) * (1 - back * back * (3 - 2 * back))
            hop = 0.34 * np.sin(np.pi * np.clip((phase - 0.36) / 0.26, 0, 1))
            self.put(x, prop.standing + hop, -(x - 0.36) * 2.6)

    def lifting_overhead(self, prop: Prop | None) -> None:
        phase = self.cycle(2.9)
        pulled, pushed = ((0.30, 0.72), (0.38, 0.72)), ((0.52, 1.13), (0.72, 1.13))
        height = keyed(phase, (0.0, 0.20), (0.10, 0.20), *pulled, *pushed, (0.92, 0.30))
        squat = keyed(phase, (0.0, 1.0), (0.10, 1.0), (0.30, 0.1), (0.40, 0.25), (0.52, 0.0), (0.75, 0.0), (0.92, 0.9))
        forward = keyed(phase, (0.0, 0.20), (0.10, 0.20), (0.30, 0.17), (0.52, 0.03), (0.72, 0.03), (0.92, 0.2))
        self.feet((0.11, 0.0), (-0.11, 0.0))
        self.body(-0.07 * squat, -(0.02 + 0.20 * squat))
        self.lean, self.nod = 0.75 * squat, -0.25 * (height > 0.9) * np.clip((height - 0.9) * 4, 0, 1)
        self.hold(prop, forward, height)

    def juggling(self, prop: Prop | None) -> None:
        beat = self.t * self.manner.pace * 0.85 + self.manner.phase
        self.body(0, 0.008 * np.sin(TAU * 2 * beat), nod=-0.18 + 0.05 * np.sin(TAU * beat))
        front = 0.24 + 0.05 * np.cos(TAU * beat), 0.66 + 0.07 * np.sin(TAU * beat)
        self.hands(front, (-0.10 - 0.05 * np.cos(TAU * beat + 0.5), 0.66 - 0.07 * np.sin(TAU * beat)))
        if prop is not None:
            for ball in range(3):
                u = (beat + ball / 3) % 1.0
                there = np.where(u < 0.5, u * 2, 2 - u * 2)
                arc = (u % 0.5) * 2
                path = point(-0.16 + 0.46 * there, 0.76 + 0.62 * 4 * arc * (1 - arc))
                self.props.append(Track(path, TAU * (beat * 1.5 + ball / 3), "centre"))

    def waving(self, prop: Prop | None) -> None:
        sway = self.wave(1.0)
        self.hands((0.12 + 0.20 * sway, 1.02 - 0.05 * sway**2), (-0.06, 0.52))
        self.body(0.02 * sway, lean=0.07 * sway)
        self.feet((0.09, 0.0), (-0.09, 0.0))
        self.grip(prop, -0.85 * self.wave(1.0, -0.06))

    def pushing(self, prop: Prop | None) -> None:
        tall = 0.33 if prop is None else prop.height
        self.body(-0.16, -0.08, lean=0.62 + 0.06 * self.wave(1.9))
        self.walk(0.95, 0.17, 0.05)
        self.front_foot[:, 0] -= 0.08
        self.back_foot[:, 0] -= 0.08
        hand_y = 0.12 + 0.75 * tall
        self.hands((0.27, hand_y), (0.26, hand_y + 0.05))
        self.travel = self.distance(0.34)
        if prop is not None:
            self.put(0.27 + prop.width, prop.standing + 0.004 * self.wave(3.0), 0.0)

    def dragging(self, prop: Prop | None) -> None:
        tug = self.wave(0.9)
        self.body(-0.04, -0.10, lean=-0.50 + 0.12 * tug)
        self.walk(0.9, 0.14, 0.05)
        self.front_foot[:, 0] += 0.10
        self.back_foot[:, 0] += 0.06
        self.hands((0.24 + 0.03 * tug, 0.40), (0.22 + 0.03 * tug, 0.42))
        self.travel = self.distance(-0.30) + 0.03 * tug
        if prop is not None:
            self.put(0.26 + prop.width + 0.04 * tug, prop.standing + 0.03, 0.24 + 0.05 * tug)
            self.seat = "line"

    def drumming(self, prop: Prop | None) -> None:
        left, right = self.wave(1.9), self.wave(1.9, 0.5)
        self.body(0, -0.05, lean=0.16 + 0.04 * self.wave(0.95), nod=0.12 * self.wave(1.9))
        top = 0.60
        self.hands((0.24 + 0.02 * left, top + 0.16 + 0.13 * left), (0.18 + 0.02 * right, top + 0.16 + 0.13 * right))
        self.feet((0.07, 0.0), (-0.13, 0.0))
        self.seat = "sticks"
        if prop is not None:
            self.put(0.36, top - prop.height, 0.02 * left, "base")

    def jumping(self, prop: Prop | None) -> None:
        phase = self.cycle(0.95)
        air = np.clip((phase - 0.30) / 0.55, 0, 1)
        rise = 0.25 * self.manner.size * 4 * air * (1 - air)
        crouch = keyed(phase, (0.0, 0.6), (0.18, 1.0), (0.32, 0.0), (0.80, 0.0), (0.92, 0.8))
        tuck = keyed(phase, (0.0, 0.0), (0.3, 0.0), (0.55, 1.0), (0.82, 0.0))
        self.body(0, rise - 0.15 * crouch, lean=0.30 * crouch)
        self.feet((0.08 + 0.04 * tuck, rise + 0.05 * tuck), (-0.06 - 0.10 * tuck, rise + 0.09 * tuck))
        if prop is None:
            y = 0.62 + rise + 0.40 * tuck - 0.15 * crouch
            self.hands((0.16 + 0.05 * tuck, y), (-0.12 - 0.08 * tuck, y))
        elif bulky(prop):
            self.hold(prop, 0.22, 0.66 + rise - 0.13 * crouch + 0.06 * tuck)
        else:
            self.hands((0.25, 0.70 + rise - 0.13 * crouch), (-0.20 - 0.06 * tuck, 0.60 + rise + 0.22 * tuck))
            self.grip(prop, -0.40 + 0.25 * tuck)

    def running(self, prop: Prop | None) -> None:
        hertz = 1.55
        theta = self.revolve(hertz)
        self.body(0, -0.035 + 0.035 * np.cos(2 * theta), lean=0.26)
        for name, shift in (("front_foot", 0.0), ("back_foot", np.pi)):
            swing, rise = np.sin(theta + shift), np.maximum(np.cos(theta + shift), 0)
            setattr(self, name, point(0.27 * swing - 0.03 - 0.08 * rise, 0.22 * rise * (1 - 0.3 * swing) + 0.02))
        self.swing_arms(hertz, 0.19)
        self.travel = self.distance(0.95)
        if bulky(prop):
            self.hold(prop, 0.24, 0.68 + 0.03 * np.cos(2 * theta), 0.06 * np.sin(2 * theta))
        elif prop is not None:
            self.front_hand = point(0.28 + 0.03 * np.sin(theta), 0.72 + 0.03 * np.cos(2 * theta))
            self.grip(prop, -0.30 + 0.10 * np.sin(2 * theta))

    def spinning(self, prop: Prop | None) -> None:
        theta = self.revolve(0.62)
        self.turn = np.cos(theta)
        step = np.sin(2 * theta)
        self.hip[:, 1] += 0.010 * step
        self.feet((0.08, 0.03 * np.maximum(step, 0)), (-0.08, 0.03 * np.maximum(-step, 0)))
        self.hands((0.36, 0.76 + 0.02 * step), (-0.36, 0.76 - 0.02 * step))
        if bulky(prop):
            self.hold(prop, 0.34, 0.72 + 0.02 * step)
            self.props[0].angle = np.asarray(self.props[0].angle) - 0.1
        else:
            self.grip(prop, -0.5 + 0.05 * step)

    def dancing(self, prop: Prop | None) -> None:
        sway, bob = self.wave(0.8), np.abs(self.wave(0.8, 0.25))
        self.body(0.13 * sway, -(0.02 + 0.04 * bob), lean=-0.26 * sway, nod=0.20 * self.wave(1.6))
        self.feet((0.15, 0.10 * np.maximum(-sway, 0)), (-0.15, 0.10 * np.maximum(sway, 0)))
        swing = self.wave(0.8, 0.12)
        self.hands((0.20 + 0.10 * sway, 0.82 + 0.20 * swing), (-0.22 + 0.10 * sway, 0.82 - 0.24 * swing))
        if bulky(prop):
            self.hold(prop, 0.18 + 0.16 * sway, 0.74 + 0.12 * swing, 0.30 * sway)
        else:
            self.grip(prop, -0.15 - 0.45 * sway)

    def balancing(self, prop: Prop | None) -> None:
        wobble = self.wave(0.45) * 0.6 + self.wave(0.95, 0.3) * 0.4
        self.body(0.03 * wobble, lean=0.05 * wobble, nod=-0.05 * wobble)
        self.walk(0.5, 0.07, 0.04)
        self.hands((0.36, 0.76 + 0.11 * wobble), (-0.36, 0.76 - 0.11 * wobble))
        self.travel = self.distance(0.10)
        if prop is not None:
            self.props = [Track("head", -0.13 * wobble, "base")]

    def digging(self, prop: Prop | None) -> None:
        phase = self.cycle(2.0)
        low = keyed(phase, (0.0, 0.2), (0.25, 1.0), (0.45, 0.9), (0.65, 0.1), (0.80, 0.0))
        toss = keyed(phase, (0.0, 0.0), (0.40, 0.0), (0.66, 1.0), (0.85, 0.2))
        self.body(-0.08, -(0.06 + 0.08 * low), lean=0.35 + 0.45 * low)
        self.feet((0.14, 0.0), (-0.16, 0.0))
        x, y = 0.26 + 0.05 * toss, 0.50 - 0.18 * low + 0.12 * toss
        self.hold_shaft(x, y, 0.45 - 0.15 * low + 0.75 * toss, 0.10, 0.14)

    def sweeping(self, prop: Prop | None) -> None:
        sway = self.wave(0.85)
        self.body(0, -0.03, lean=0.22 + 0.05 * sway)
        self.travel = self.distance(0.06)
        self.feet((0.10, 0.0), (-0.10, 0.0))
        self.hold_shaft(0.20 - 0.02 * sway, 0.53, 0.30 + 0.34 * sway, 0.08, 0.16)

    def hammering(self, prop: Prop | None) -> None:
        phase = self.cycle(0.85)
        high = keyed(phase, (0.0, 0.0), (0.08, 0.05), (0.60, 1.0), (0.70, 1.0))
        self.body(0, -0.05, lean=0.34 - 0.26 * high)
        self.hands((0.30 - 0.20 * high, 0.60 + 0.46 * high), (0.22, 0.56))
        self.feet((0.08, 0.0), (-0.14, 0.0))
        self.props = [Track("front", -1.35 + 1.75 * high)]
        self.seat = "block"

    def rowing(self, prop: Prop | None) -> None:
        turn = self.revolve(0.55)
        pull = np.cos(turn)
        self.hip = point(-0.08 + 0.03 * pull, 0.17 + 0.008 * np.sin(turn))
        self.lean = 0.34 * pull
        self.feet((0.30, 0.06), (0.27, 0.06))
        angle = 0.75 + 0.55 * pull - 0.25 * np.sin(turn)
        self.hold_shaft(0.18 + 0.15 * pull, 0.42 + 0.05 * np.sin(turn), angle, 0.10, 0.14)
        self.travel = self.distance(0.40) - 0.06 * pull
        self.seat = "canoe"

    def squatting(self, prop: Prop | None) -> None:
        low = keyed(self.cycle(1.9), (0.0, 0.0), (0.10, 0.0), (0.45, 1.0), (0.55, 1.0), (0.92, 0.0))
        self.body(-0.12 * low, -(0.01 + 0.25 * low), lean=0.10 + 0.38 * low)
        self.feet((0.10, 0.0), (-0.10, 0.0))
        shoulder = self.hip + 0.25 * point(np.sin(self.lean), np.cos(self.lean))
        if prop is None:
            self.front_hand = self.back_hand = shoulder + np.array([0.30, 0.0])
        else:
            self.hold(prop, shoulder[:, 0] + 0.04, shoulder[:, 1] + 0.02)

    def drinking(self, prop: Prop | None) -> None:
        up = keyed(self.cycle(3.0), (0.0, 0.0), (0.12, 0.0), (0.34, 1.0), (0.72, 1.0), (0.92, 0.0))
        self.front_hand = point(0.20 - 0.02 * up, 0.60 + 0.26 * up)
        self.nod, self.lean = -0.34 * up, -0.08 * up
        self.props = [Track("front", 0.05 + 1.75 * up)]

    def bouncing(self, prop: Prop | None) -> None:
        phase = self.cycle(0.75)
        drop = np.abs(2 * phase - 1)
        height = 0.115 + 0.36 * (1 - (1 - drop) ** 2)
        self.body(0, -0.07, lean=0.24)
        self.hands((0.26, np.maximum(height + 0.12, 0.50)), (-0.16, 0.60))
        self.feet((0.10, 0.0), (-0.14, 0.0))
        self.put(0.27, height, -self.t * 2.0)

    def climbing(self, prop: Prop | None) -> None:
        phase = self.cycle(4.2)
        up = (0.15, 0.12), (0.30, 0.20), (0.45, 0.32), (0.60, 0.40), (0.72, 0.42)
        rise = keyed(phase, (0.0, 0.02), *up, (0.95, 0.02))
        pull = np.sin(TAU * 3 * phase)
        self.hip = self.at(-0.03, 0.42 + rise)
        self.lean = 0.06 + 0.05 * pull
        self.hands((0.10, 0.96 + rise + 0.11 * pull), (0.09, 0.96 + rise - 0.11 * pull))
        self.feet((0.12, 0.10 + rise - 0.07 * pull), (0.09, 0.10 + rise + 0.07 * pull))
        self.seat = "rope"

    def strumming(self, prop: Prop | None) -> None:
        strum, sway = self.wave(1.8), self.wave(0.45)
        self.body(0.02 * sway, lean=0.05 * sway, nod=0.12 + 0.08 * self.wave(0.9))
        self.hands((0.36 + 0.01 * sway, 0.80 + 0.02 * sway), (0.04 + 0.01 * strum, 0.58 + 0.07 * strum))
        self.put(0.12 + 0.02 * sway, 0.64, -1.08 + 0.04 * sway)

    def reading(self, prop: Prop | None) -> None:
        slow = self.wave(0.3)
        turn = np.clip(self.wave(0.45) * 4 - 3, 0, 1)
        self.nod = 0.28 + 0.04 * slow
        self.hold(prop, 0.26 + 0.006 * slow, 0.72 + 0.01 * slow, 0.04 * slow)
        self.front_hand = self.front_hand + np.stack([-0.16 * turn, 0.05 * turn], axis=-1)

    def sitting(self, prop: Prop | None) -> None:
        swing = self.wave(0.5)
        self.hip = self.at(-0.02, 0.31)
        self.lean, self.nod = -0.05 + 0.04 * swing, 0.12 * self.wave(0.3)
        self.feet((0.24 + 0.05 * swing, 0.02 + 0.02 * swing), (0.20 - 0.05 * swing, 0.0))
        self.hands((0.18, 0.40 + 0.01 * swing), (0.14, 0.40))
        self.put(0, 0, 0.0, "base", behind=True)

    def punching(self, prop: Prop | None) -> None:
        left = np.clip(self.wave(1.0), 0, 1) ** 2
        right = np.clip(self.wave(1.0, 0.5), 0, 1) ** 2
        self.body(0.03 * (left - right), -(0.05 - 0.01 * self.wave(2.0)), lean=0.10 + 0.10 * (left + right))
        self.hands((0.14 + 0.30 * left, 0.78), (0.12 + 0.30 * right, 0.80))
        self.feet((0.16, 0.0), (-0.16, 0.0))

    def crawling(self, prop: Prop | None) -> None:
        step = self.wave(0.9)
        self.hip = point(-0.16 + 0.01 * step, 0.27 + 0.012 * np.abs(step))
        self.body(lean=1.32 + 0.04 * step, nod=-0.75)
        self.hands((0.16 + 0.10 * step, 0.03 * np.maximum(self.wave(0.9, 0.25), 0)), (0.12 - 0.10 * step, 0.0))
        self.feet((-0.40 - 0.08 * step, 0.02), (-0.40 + 0.08 * step, 0.02))
        self.travel = self.distance(0.26)

    def push_ups(self, prop: Prop | None) -> None:
        low = keyed(self.cycle(1.3), (0.0, 0.0), (0.45, 1.0), (0.55, 1.0))
        self.hip = self.at(-0.12, 0.24 - 0.11 * low)
        self.body(lean=1.28 + 0.17 * low, nod=-0.45)
        self.hands((0.16, 0.0), (0.13, 0.0))
        self.feet((-0.58, 0.0), (-0.56, 0.0))

    def carrying(self, prop: Prop | None) -> None:
        self.body(lean=-0.04)
        self.walk(0.9, 0.14, 0.05)
        self.swing_arms(0.9, 0.12)
        bob = self.wave(1.8)
        self.travel = self.distance(0.42)
        if bulky(prop) or self.manner.flavour < 0.4:
            self.hold(prop, 0.21, 0.62 + 0.012 * bob)
        else:
            self.front_hand = point(0.22 + 0.01 * bob, 0.62 + 0.012 * bob)
            self.grip(prop, -0.15 + 0.04 * bob)

    def holding(self, prop: Prop | None) -> None:
        slow = self.wave(0.4)
        self.body(0.015 * slow, lean=0.03 * slow, nod=0.12 * self.wave(0.25))
        if bulky(prop) or self.manner.flavour < 0.4:
            self.hold(prop, 0.23 + 0.01 * slow, 0.66 + 0.02 * slow, 0.05 * slow)
        else:
            self.front_hand = self.at(0.27, 0.70 + 0.02 * slow)
            self.grip(prop, -0.1 + 0.08 * slow)

    def putting_down(self, prop: Prop | None) -> None:
        phase = self.cycle(3.2)
        down, again = ((0.40, 1.0), (0.50, 1.0)), ((0.88, 1.0), (0.92, 1.0))
        low = keyed(phase, (0.0, 0.0), (0.12, 0.0), *down, (0.66, 0.0), (0.74, 0.0), *again)
        held = (phase < 0.45) | (phase > 0.90)
        self.body(-0.08 * low, -(0.02 + 0.13 * low), lean=0.95 * low)
        half = 0.15 if prop is None else prop.standing
        ground = self.at(0.30, half)
        up = point(0.23, 0.66)
        grasp = up + (ground - up) * low[:, None]
        self.hold(prop, grasp[:, 0], grasp[:, 1])
        if prop is not None:
            upright = prop.tilt * (1 - low)
            self.props = [Track(np.where(held[:, None], grasp, ground), np.where(held, upright, 0.0), "centre")]
            free = ~held
            rest = standing(self.t)
            for name in ("front_hand", "back_hand"):
                hand, ease = getattr(self, name), (1 - low)[:, None]
                getattr(self, name)[free] = (hand + (getattr(rest, name) - hand) * ease)[free]
