"""From a plan to frames and to a video file.

Each segment is a shot: its backdrop is painted once, the person and the prop are posed for all its frames at once,
and each frame is the backdrop seen through the camera with some thirty filled polygons on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from cezsar.world import crafts, handling  # noqa: F401  (they register their motions)
from cezsar.world.actors import Posture, standing
from cezsar.world.canvas import GROUND, HEIGHT
from cezsar.world.figures import Layer, figure_layers, shadow_path
from cezsar.world.looks import draw_person
from cezsar.world.motions import MOTIONS, Manner
from cezsar.world.plans import FPS, VideoPlan, person_of, prop_look_of
from cezsar.world.props import PROPS
from cezsar.world.scenes import backdrop

WIDTH_PX, HEIGHT_PX = 160, 120
VIEW_W, VIEW_H = 192, 144
"""What the camera sees at zoom 1, in backdrop units."""
AHEAD = {"throwing": 20.0, "kicking": 20.0, "pushing": 12.0, "dragging": 12.0}
"""How far the camera looks ahead of the person in these motions, in backdrop units; 5 in all others."""
BYSTANDERS = 0.2
"""Share of shots in which somebody else stands about."""
_SHIFT = 4
_SAMPLING = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Camera:
    """Zoom (T,) and the backdrop point (T, 2) at the middle of the picture."""

    zoom: np.ndarray
    centre: np.ndarray


def _ease(value: np.ndarray) -> np.ndarray:
    inside = np.clip(value, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))


def _blend(posture: Posture, rest: Posture, share: np.ndarray) -> None:
    """Move `posture` towards `rest` where `share` (T,) is below 1."""
    for name in ("hip", "front_hand", "back_hand", "front_foot", "back_foot"):
        acting, resting = getattr(posture, name), getattr(rest, name)
        setattr(posture, name, resting + (acting - resting) * share[:, None])
    for name in ("lean", "nod", "turn"):
        acting, resting = getattr(posture, name), getattr(rest, name)
        setattr(posture, name, resting + (acting - resting) * share)


def _camera(rng: np.random.Generator, t: np.ndarray, middle_x: np.ndarray) -> Camera:
    """A hand-held or a gliding camera that keeps the person in the picture."""
    zoom = float(rng.uniform(0.97, 1.17)) * (1 + float(rng.uniform(-0.02, 0.02)) * t)
    turns = rng.uniform(0, 2 * np.pi, 4)
    sway = float(rng.choice((0.0, 1.5, 4.0)))
    shake = float(rng.choice((0.0, 0.25, 0.7)))
    x = middle_x + float(rng.uniform(-14, 14)) + float(rng.uniform(-4, 4)) * t
    x = x + sway * np.sin(0.9 * t + turns[0]) + shake * np.sin(9 * t + turns[1])
    y = 84 + float(rng.uniform(-3, 4)) + 0.3 * sway * np.sin(0.7 * t + turns[2]) + shake * np.sin(11 * t + turns[3])
    half = VIEW_H / 2 / zoom
    return Camera(zoom, np.stack([x, np.clip(y, half + 0.5, HEIGHT - half - 1.5)], axis=1))


def _light(rng: np.random.Generator, place: str) -> np.ndarray:
    """Colour gains of the whole shot, RGB."""
    warmth = float(rng.uniform(-0.05, 0.05))
    level = float(rng.uniform(0.82, 1.08)) * (0.94 if place in ("stage", "forest") else 1.0)
    return level * np.array([1 + warmth, 1.0, 1 - warmth])


def _draw(frame: np.ndarray, layers: list[tuple[Layer, np.ndarray, int]], index: int) -> None:
    for layer, corners, width in layers:
        if layer.show is not None and not layer.show[index]:
            continue
        if width:
            cv2.polylines(frame, [corners[index]], layer.closed, layer.colour, width, cv2.LINE_AA, _SHIFT)
        elif layer.convex:
            cv2.fillConvexPoly(frame, corners[index], layer.colour, cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillPoly(frame, [corners[index]], layer.colour, cv2.LINE_AA, _SHIFT)


def _shadow(frame: np.ndarray, x: float, y: float, rx: float, ry: float) -> None:
    """Darken an ellipse of the floor."""
    left, right = max(int(x - rx), 0), min(int(x + rx) + 1, frame.shape[1])
    top, bottom = max(int(y - ry), 0), min(int(y + ry) + 1, frame.shape[0])
    if right - left < 2 or bottom - top < 2:
        return
    patch = frame[top:bottom, left:right]
    dark = patch.copy()
    cv2.ellipse(
        dark,
        (int((x - left) * 16), int((y - top) * 16)),
        (int(rx * 16), int(ry * 16)),
        0,
        0,
        360,
        (24, 26, 36),
        -1,
        cv2.LINE_AA,
        _SHIFT,
    )
    cv2.addWeighted(dark, 0.30, patch, 0.70, 0, patch)


def _bystander(
    scenery: np.ndarray, rng: np.random.Generator, light: np.ndarray, width: int, scale: float, fine: float
) -> None:
    """Paint somebody who only looks on into the backdrop, a little further away."""
    layers = figure_layers(standing(rng.uniform(0, 3, 1)), draw_person(rng), None, None, light * 0.92)
    x, facing = float(rng.uniform(0, width)), -1.0 if rng.random() < 0.5 else 1.0
    size = 0.8 * scale
    for layer in layers:
        points = np.array([x, GROUND - 13]) + size * layer.points * np.array([facing, -1.0])
        corners = np.round(points * fine * 2**_SHIFT).astype(np.int32)
        _draw(scenery, [(layer, corners, layer.pixels(size * fine))], 0)


def _shot(plan: VideoPlan, index: int, t: np.ndarray, unit: float) -> Iterator[np.ndarray]:
    """The frames of one segment and its share of the gaps; `t` (T,) is seconds from the segment's start,
    `unit` pixels to a backdrop unit."""
    segment = plan.segments[index]
    rng = np.random.default_rng([plan.seed, 2, index])
    person = person_of(plan.seed)
    look = prop_look_of(plan.seed, index, segment.prop)
    prop = None if segment.prop is None or look is None else PROPS[segment.prop].scaled(look.size)
    length = segment.end_s - segment.start_s
    manner = Manner(
        float(rng.uniform(0.82, 1.22)), float(rng.random()), float(rng.uniform(0.85, 1.15)), float(rng.random())
    )
    posture = MOTIONS[segment.motion](np.clip(t, 0, length), manner, prop)
    _blend(posture, standing(t), _ease(np.minimum(t / 0.3 + 1, (length - t) / 0.3 + 1)))
    facing = 1.0 if rng.random() < 0.5 else -1.0
    scale = float(rng.uniform(76, 90)) * person.height
    ground = GROUND + float(rng.uniform(-4, 6))
    root_x = facing * scale * posture.travel
    camera = _camera(rng, t, root_x + facing * AHEAD.get(segment.motion, 5.0))
    reach = VIEW_W / 2 / camera.zoom
    left = float(np.floor((camera.centre[:, 0] - reach).min())) - 2
    width = int(np.ceil((camera.centre[:, 0] + reach).max() - left)) + 3
    light = _light(rng, segment.place)
    fine = max(1.0, unit)
    scenery = np.clip(backdrop(segment.place, width, rng, fine) * light, 0, 255).astype(np.uint8)
    if rng.random() < BYSTANDERS:
        _bystander(scenery, rng, light, width, scale, fine)
    corner = camera.centre - np.stack([reach, VIEW_H / 2 / camera.zoom], axis=1)
    pixels = camera.zoom * unit

    def to_screen(points: np.ndarray) -> np.ndarray:
        axes = (-1,) + (1,) * (points.ndim - 2)
        x = root_x.reshape(axes) + facing * scale * points[..., 0] - corner[:, 0].reshape(axes)
        y = ground - scale * points[..., 1] - corner[:, 1].reshape(axes)
        return np.stack([x, y], axis=-1) * pixels.reshape((*axes, 1))

    layers = []
    for layer in figure_layers(posture, person, prop, look, light):
        corners = np.round(to_screen(layer.points) * 2**_SHIFT).astype(np.int32)
        layers.append((layer, corners, layer.pixels(scale * float(pixels.mean()))))
    shadows = [(to_screen(path), size * scale * pixels) for path, size in shadow_path(posture, prop)]
    size_px = (round(VIEW_W * unit), round(VIEW_H * unit))
    view = np.zeros((2, 3))
    for k in range(len(t)):
        view[0, 0] = view[1, 1] = fine / pixels[k]
        view[:, 2] = (corner[k] - (left, 0)) * fine
        frame = cv2.warpAffine(scenery, view, size_px, flags=_SAMPLING, borderMode=cv2.BORDER_REPLICATE)
        for path, size in shadows:
            _shadow(frame, path[k, 0], path[k, 1], size[k], size[k] * 0.18)
        _draw(frame, layers, k)
        yield frame


def render(plan: VideoPlan, *, width: int = WIDTH_PX) -> Iterator[np.ndarray]:
    """The frames of a plan at `FPS`: each (width * 3/4, width, 3) uint8 RGB. The same plan gives the same frames.

    A larger `width` draws the same scene with more detail, for looking at.
    """
    times = np.arange(plan.frame_count) / FPS
    cuts = [(a.end_s + b.start_s) / 2 for a, b in pairwise(plan.segments)]
    shots = np.searchsorted(np.array(cuts), times, side="right")
    for index, segment in enumerate(plan.segments):
        own = times[shots == index]
        if len(own):
            yield from _shot(plan, index, own - segment.start_s, width / VIEW_W)
