"""The body: a posture over time becomes joints by two-bone inverse kinematics, and joints become filled polygons.

Lengths are in body heights, the ground is y = 0, +x is the way the person faces, +y is up. Every array runs over
the T frames of a shot, so that a whole shot is posed at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

UPPER_ARM, FOREARM, THIGH, SHIN = 0.175, 0.175, 0.25, 0.245
TORSO, NECK, HEAD = 0.27, 0.035, 0.092
ANKLE = 0.03
STANDING_HIP = ANKLE + THIGH + SHIN


@dataclass
class Track:
    """One prop over time: where it is held or lies, and how it is turned.

    `at` is "front" or "back" (in that hand), "both" (between the hands), "head" (on top of it), or a (T, 2) path.
    """

    at: str | np.ndarray
    angle: np.ndarray | float = 0.0
    anchor: str = "grip"
    offset: tuple[float, float] = (0.0, 0.0)
    stretch: np.ndarray | float = 1.0
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
    seat: str = ""
    """Something the motion brings along: "canoe", "rope", "sticks"."""


@dataclass
class Skeleton:
    """Joint positions, each (T, 2), in body heights around the person's own ground point."""

    hip: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    shoulders: tuple[np.ndarray, np.ndarray]
    elbows: tuple[np.ndarray, np.ndarray]
    hands: tuple[np.ndarray, np.ndarray]
    hips: tuple[np.ndarray, np.ndarray]
    knees: tuple[np.ndarray, np.ndarray]
    feet: tuple[np.ndarray, np.ndarray]
    lean: np.ndarray
    nod: np.ndarray


def point(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Stack two coordinates, each a number or (T,), into (T, 2)."""
    return np.stack(np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)), axis=-1)


def standing(t: np.ndarray) -> Posture:
    """Stand at ease, arms hanging, breathing a little; every motion starts from this."""
    zero = np.zeros_like(t)
    breath = 0.006 * np.sin(2 * np.pi * 0.35 * t)
    return Posture(
        hip=point(zero, STANDING_HIP - 0.012 + breath),
        front_hand=point(0.09 + breath, 0.46 + breath),
        back_hand=point(-0.07, 0.46 + breath),
        front_foot=point(0.055 + zero, 0.0),
        back_foot=point(-0.055 + zero, 0.0),
        lean=zero.copy(),
        nod=zero.copy(),
        turn=np.ones_like(t),
        travel=zero.copy(),
    )


def _elbow_side(span: np.ndarray) -> np.ndarray:
    """Which side an elbow points to: down in front of the body, down behind it, and continuous in between."""
    direction = span / np.maximum(np.linalg.norm(span, axis=-1, keepdims=True), 1e-6)
    behind = np.clip((-direction[..., 0] - 0.05) / 0.4, 0, 1)
    below = np.clip((0.65 - direction[..., 1]) / 0.4, 0, 1)
    return np.asarray(2 * behind * below - 1)[..., None]


def _bend(
    start: np.ndarray, end: np.ndarray, first: float, second: float, side: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The middle joint and the reached end of a two-bone limb from `start` towards `end`."""
    span = end - start
    distance = np.linalg.norm(span, axis=-1, keepdims=True)
    direction = span / np.maximum(distance, 1e-6)
    reached = np.clip(distance, abs(first - second) + 0.02, (first + second) * 0.995)
    along = (first**2 - second**2 + reached**2) / (2 * reached)
    across = np.sqrt(np.maximum(first**2 - along**2, 0.0))
    normal = np.stack([-direction[..., 1], direction[..., 0]], axis=-1)
    return start + direction * along + side * across * normal, start + direction * reached


def solve(posture: Posture) -> Skeleton:
    """Joints of a posture, with `turn` squeezing widths as the person rotates away from the camera's plane."""
    up = point(np.sin(posture.lean), np.cos(posture.lean))
    neck = posture.hip + TORSO * up
    tilt = posture.lean * 0.6 + posture.nod
    head = neck + (NECK + HEAD) * point(np.sin(tilt), np.cos(tilt))
    side = point(np.full_like(posture.lean, 0.035), 0.0)
    shoulders = (neck + side - 0.035 * up, neck - side - 0.035 * up)
    hips = (posture.hip + 0.6 * side, posture.hip - 0.6 * side)
    joints = []
    for shoulder, hand in zip(shoulders, (posture.front_hand, posture.back_hand), strict=True):
        joints.append(_bend(shoulder, hand, UPPER_ARM, FOREARM, _elbow_side(hand - shoulder)))
    for hip, foot in zip(hips, (posture.front_foot, posture.back_foot), strict=True):
        joints.append(_bend(hip, foot + np.array([0.0, ANKLE]), THIGH, SHIN, 1.0))
    skeleton = Skeleton(
        hip=posture.hip,
        neck=neck,
        head=head,
        shoulders=shoulders,
        elbows=(joints[0][0], joints[1][0]),
        hands=(joints[0][1], joints[1][1]),
        hips=hips,
        knees=(joints[2][0], joints[3][0]),
        feet=(joints[2][1], joints[3][1]),
        lean=posture.lean,
        nod=tilt,
    )
    return skeleton


def squeeze(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Scale x by `turn` (T,), for points (T, ..., 2): the whole person seen from another side."""
    scaled = points.copy()
    scaled[..., 0] *= turn.reshape((-1,) + (1,) * (points.ndim - 2))
    return scaled


_CAP = np.linspace(-np.pi / 2, np.pi / 2, 6)


def capsule(start: np.ndarray, end: np.ndarray, first: float, second: float) -> np.ndarray:
    """A limb with round ends: (T, 12, 2) convex outlines from `start` to `end` (T, 2) with two radii."""
    span = end - start
    direction = span / np.maximum(np.linalg.norm(span, axis=-1, keepdims=True), 1e-6)
    normal = np.stack([-direction[..., 1], direction[..., 0]], axis=-1)

    def cap(centre: np.ndarray, radius: float, sign: float) -> np.ndarray:
        along = (np.cos(_CAP) * sign * radius)[None, :, None] * direction[:, None, :]
        across = (np.sin(_CAP) * sign * radius)[None, :, None] * normal[:, None, :]
        return centre[:, None, :] + along + across

    return np.concatenate([cap(end, second, 1.0), cap(start, first, -1.0)], axis=1)


def ellipse(centre: np.ndarray, along: float, across: float, angle: np.ndarray, n: int = 14) -> np.ndarray:
    """(T, n, 2) outlines of an ellipse turned by `angle` (T,), clockwise from upright."""
    theta = np.linspace(0, 2 * np.pi, n, endpoint=False)
    local = np.stack([across * np.cos(theta), along * np.sin(theta)], axis=1)
    return centre[:, None, :] + rotate(local, -angle)


def rotate(local: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(n, 2) points turned anticlockwise by each of the (T,) angles: (T, n, 2)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([local[:, 0] * cos - local[:, 1] * sin, local[:, 0] * sin + local[:, 1] * cos], axis=-1)
