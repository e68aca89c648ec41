"""From plans to frames, video files, and a whole world on disk.

Each segment is a shot: its backdrop is painted once, the person and the prop are posed for all its frames at once,
and each frame is the backdrop seen through the camera with some thirty filled polygons on it.

```
train/<id>.mp4   train.json (ActivityNet Captions form)   props.json (per video: [start_s, end_s, prop, place, action])
seen/segments.json (per video: [start_s, end_s, action])   seen/descriptions.json
test/<class name>/<id>.mp4      descriptions.json   hard_groups.json   objects.json
settings.json (written first)   world.json (written last: the folder is complete)
```
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

import cezsar
from cezsar.atomic import replacing, write_json
from cezsar.data.documents import read_json_object
from cezsar.errors import CezsarError, InputError, MismatchError, VideoError
from cezsar.world import plans
from cezsar.world.actions import BY_NAME, DESCRIPTIONS, HARD_GROUPS, OBJECTS, unseen_actions
from cezsar.world.motions import Manner, perform
from cezsar.world.people import Layer, Posture, draw_person, figure_layers, shadow_path, standing
from cezsar.world.places import GROUND, HEIGHT, backdrop
from cezsar.world.plans import FPS, VideoPlan, person_of, plan_clips, plan_training, prop_look_of
from cezsar.world.props import PROPS

WIDTH_PX, HEIGHT_PX = 160, 120
VIEW_W, VIEW_H = 192, 144  # what the camera sees at zoom 1, in backdrop units
# How far the camera looks ahead of the person in these motions, in backdrop units; 5 in all others.
AHEAD = {"throwing": 20.0, "kicking": 20.0, "pushing": 12.0, "dragging": 12.0}
POLL_S = 0.2
BYSTANDERS = 0.2  # share of shots in which somebody else stands about
_SHIFT = 4
_SAMPLING = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

# Frames --------------------------------------------------------------------------------------------------------------


def _settle(posture: Posture, rest: Posture, share: np.ndarray) -> None:
    """Move `posture` towards `rest` where `share` (T,) is below 1, easily."""
    inside = np.clip(share, 0, 1)
    eased = inside * inside * (3 - 2 * inside)
    for name in ("hip", "front_hand", "back_hand", "front_foot", "back_foot", "lean", "nod", "turn"):
        acting, resting = getattr(posture, name), getattr(rest, name)
        setattr(posture, name, resting + (acting - resting) * (eased[:, None] if acting.ndim == 2 else eased))


def _camera(rng: np.random.Generator, t: np.ndarray, middle_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A hand-held or a gliding camera that keeps the person in the picture: its zoom (T,), and the backdrop point (T,
    2) at the middle of the picture."""
    zoom = float(rng.uniform(0.97, 1.17)) * (1 + float(rng.uniform(-0.02, 0.02)) * t)
    turns = rng.uniform(0, 2 * np.pi, 4)
    sway = float(rng.choice((0.0, 1.5, 4.0)))
    shake = float(rng.choice((0.0, 0.25, 0.7)))
    x = middle_x + float(rng.uniform(-14, 14)) + float(rng.uniform(-4, 4)) * t
    x = x + sway * np.sin(0.9 * t + turns[0]) + shake * np.sin(9 * t + turns[1])
    y = 84 + float(rng.uniform(-3, 4)) + 0.3 * sway * np.sin(0.7 * t + turns[2]) + shake * np.sin(11 * t + turns[3])
    half = VIEW_H / 2 / zoom
    return zoom, np.stack([x, np.clip(y, half + 0.5, HEIGHT - half - 1.5)], axis=1)


def _light(rng: np.random.Generator, place: str) -> np.ndarray:
    """Colour gains of the whole shot, RGB."""
    warmth = float(rng.uniform(-0.05, 0.05))
    level = float(rng.uniform(0.82, 1.08)) * (0.94 if place in ("stage", "forest") else 1.0)
    return level * np.array([1 + warmth, 1.0, 1 - warmth])


def _draw(frame: np.ndarray, layer: Layer, corners: np.ndarray, width: int) -> None:
    if width:
        cv2.polylines(frame, [corners], layer.closed, layer.colour, width, cv2.LINE_AA, _SHIFT)
    elif layer.convex:
        cv2.fillConvexPoly(frame, corners, layer.colour, cv2.LINE_AA, _SHIFT)
    else:
        cv2.fillPoly(frame, [corners], layer.colour, cv2.LINE_AA, _SHIFT)


def _corners(points: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(points * 2**_SHIFT).astype(np.int32))


def _shadow(frame: np.ndarray, x: float, y: float, rx: float) -> None:
    """Darken an ellipse of the floor."""
    ry = rx * 0.18
    left, right = max(int(x - rx), 0), min(int(x + rx) + 1, frame.shape[1])
    top, bottom = max(int(y - ry), 0), min(int(y + ry) + 1, frame.shape[0])
    if right - left < 2 or bottom - top < 2:
        return
    patch = frame[top:bottom, left:right]
    dark, middle, axes = patch.copy(), (int((x - left) * 16), int((y - top) * 16)), (int(rx * 16), int(ry * 16))
    cv2.ellipse(dark, middle, axes, 0, 0, 360, (24, 26, 36), -1, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(dark, 0.30, patch, 0.70, 0, patch)


def _bystander(
    scenery: np.ndarray, rng: np.random.Generator, light: np.ndarray, width: int, scale: float, fine: float
) -> None:
    """Paint somebody who only looks on into the backdrop, a little further away."""
    layers = figure_layers(standing(rng.uniform(0, 3, 1)), draw_person(rng), None, None, light * 0.92)
    x, facing = float(rng.uniform(0, width)), -1.0 if rng.random() < 0.5 else 1.0
    size = 0.8 * scale
    for layer in layers:
        points = np.array([x, GROUND - 13]) + size * layer.points[0] * np.array([facing, -1.0])
        if layer.show is None or layer.show[0]:
            _draw(scenery, layer, _corners(points * fine), layer.pixels(size * fine))


def _shot(plan: VideoPlan, index: int, t: np.ndarray, unit: float) -> Iterator[np.ndarray]:
    """The frames of one segment and its share of the gaps; `t` (T,) is seconds from the segment's start, `unit` pixels
    to a backdrop unit."""
    segment = plan.segments[index]
    rng = np.random.default_rng([plan.seed, 2, index])
    person = person_of(plan.seed)
    look = prop_look_of(plan.seed, index, segment.prop)
    prop = None if segment.prop is None or look is None else PROPS[segment.prop].scaled(look.size)
    length = segment.end_s - segment.start_s
    drawn = rng.uniform(0.82, 1.22), rng.random(), rng.uniform(0.85, 1.15), rng.random()
    manner = Manner(*map(float, drawn))
    posture = perform(segment.motion, np.clip(t, 0, length), manner, prop)
    _settle(posture, standing(t), np.minimum(t / 0.3 + 1, (length - t) / 0.3 + 1))
    facing = 1.0 if rng.random() < 0.5 else -1.0
    scale = float(rng.uniform(76, 90)) * person.height
    ground = GROUND + float(rng.uniform(-4, 6))
    root_x = facing * scale * posture.travel
    zoom, centre = _camera(rng, t, root_x + facing * AHEAD.get(segment.motion, 5.0))
    reach = VIEW_W / 2 / zoom
    left = float(np.floor((centre[:, 0] - reach).min())) - 2
    width = int(np.ceil((centre[:, 0] + reach).max() - left)) + 3
    light = _light(rng, segment.place)
    fine = max(1.0, unit)
    scenery = np.clip(backdrop(segment.place, width, rng, fine) * light, 0, 255).astype(np.uint8)
    if rng.random() < BYSTANDERS:
        _bystander(scenery, rng, light, width, scale, fine)
    corner = centre - np.stack([reach, VIEW_H / 2 / zoom], axis=1)
    pixels = zoom * unit

    def to_screen(points: np.ndarray) -> np.ndarray:
        axes = (-1,) + (1,) * (points.ndim - 2)
        x = root_x.reshape(axes) + facing * scale * points[..., 0] - corner[:, 0].reshape(axes)
        y = ground - scale * points[..., 1] - corner[:, 1].reshape(axes)
        return np.stack([x, y], axis=-1) * pixels.reshape((*axes, 1))

    layers = [
        (layer, _corners(to_screen(layer.points)), layer.pixels(scale * float(pixels.mean())))
        for layer in figure_layers(posture, person, prop, look, light)
    ]
    shadows = [(to_screen(path), size * scale * pixels) for path, size in shadow_path(posture, prop)]
    size_px = (round(VIEW_W * unit), round(VIEW_H * unit))
    view = np.zeros((2, 3))
    for k in range(len(t)):
        view[0, 0] = view[1, 1] = fine / pixels[k]
        view[:, 2] = (corner[k] - (left, 0)) * fine
        frame = cv2.warpAffine(scenery, view, size_px, flags=_SAMPLING, borderMode=cv2.BORDER_REPLICATE)
        for path, size in shadows:
            _shadow(frame, path[k, 0], path[k, 1], size[k])
        for layer, corners, line in layers:
            if layer.show is None or layer.show[k]:
                _draw(frame, layer, corners[k], line)
        yield frame


def render(plan: VideoPlan, *, width: int = WIDTH_PX) -> Iterator[np.ndarray]:
    """The frames of a plan at `FPS`: each (width * 3/4, width, 3) uint8 RGB. The same plan gives the same frames. A
    larger `width` draws the same scene with more detail, for looking at."""
    times = np.arange(plan.frame_count) / FPS
    cuts = [(a.end_s + b.start_s) / 2 for a, b in pairwise(plan.segments)]
    shots = np.searchsorted(np.array(cuts), times, side="right")
    for index, segment in enumerate(plan.segments):
        own = times[shots == index]
        if len(own):
            yield from _shot(plan, index, own - segment.start_s, width / VIEW_W)


# Files ---------------------------------------------------------------------------------------------------------------

# VP8, which browsers play, at about 3 ms a frame; MPEG-4 Part 2, twenty times faster to write.
FOURCC = {".webm": "VP80", ".mp4": "mp4v"}
_TRACK_UID = re.compile(rb"([\x73\x63]\xc5\x88).{8}", re.DOTALL)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr: OpenCV prints a false alarm about VP8 tags for every WebM file."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _fix_identity(path: Path) -> None:
    """Replace the random track number in a WebM header, so that equal plans give equal bytes."""
    with path.open("r+b") as file:
        head = file.read(4096)
        start = head.find(b"\x1f\x43\xb6\x75")  # the first cluster: picture data begins here
        head = head[: start if start >= 0 else len(head)]
        file.seek(0)
        file.write(_TRACK_UID.sub(rb"\1" + b"\x00" * 7 + b"\x01", head))


def write_video(plan: VideoPlan, path: str | Path, width_px: int = WIDTH_PX) -> None:
    """Render `plan` into a `.webm` or `.mp4` file, whole or not at all; the same plan gives the same bytes. `width_px`
    other than the world's own is for people to look at: features are made from the usual size."""
    path = Path(path)
    if (fourcc := FOURCC.get(path.suffix)) is None:
        raise InputError(f"{path.name}: the stick-figure world writes .webm or .mp4 files")
    size = (width_px, round(width_px * HEIGHT_PX / WIDTH_PX))
    with replacing(path) as temporary:
        with _quiet_stderr():
            writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*fourcc), FPS, size)
        if not writer.isOpened():
            raise VideoError(f"{path.name}: this OpenCV cannot write {fourcc} video; install opencv-python from PyPI")
        for frame in render(plan, width=width_px):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        with tempfile.TemporaryFile(dir=path.parent) as file:  # OpenCV says nothing of a disk that has become full
            file.write(bytes(1 << 16))
        if path.suffix == ".webm":
            _fix_identity(temporary)


def video_path(folder: Path, plan: VideoPlan) -> Path:
    """Training videos are `train/<id>.mp4`, test clips `test/<class name>/<id>.mp4`, the first of each class a WebM."""
    if not plan.label:
        return folder / "train" / f"{plan.id}.mp4"
    return folder / "test" / plan.label / f"{plan.id}{'.webm' if plan.id.endswith('-000') else '.mp4'}"


# A world on disk -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorldSettings:
    """Everything a built world depends on; `version` rises when the same settings no longer give the same pictures."""

    seed: int
    videos: int
    segments_per_video: int
    clips_per_class: int
    train_exclude: tuple[str, ...]
    test_actions: tuple[str, ...]
    version: int = 1

    @classmethod
    def read(cls, folder: Path) -> WorldSettings:
        """Of the world in a folder."""
        values = read_json_object(folder / "settings.json")
        return cls(**values | {name: tuple(values[name]) for name in ("train_exclude", "test_actions")})

    def plans(self) -> tuple[list[VideoPlan], list[VideoPlan]]:
        """Training videos and test clips."""
        size = {"videos": self.videos, "segments_per_video": self.segments_per_video}
        train = plan_training(self.seed, **size, exclude=self.train_exclude)
        return train, plan_clips(self.seed, [BY_NAME[name] for name in self.test_actions], self.clips_per_class)


@dataclass(frozen=True)
class World:
    """A world on disk and its plans."""

    folder: Path
    train: list[VideoPlan]
    test: list[VideoPlan]

    def path(self, plan: VideoPlan) -> Path:
        """Where a plan's video file is."""
        return video_path(self.folder, plan)


def build(
    folder: str | Path, seed: int, *, workers: int = 2, videos: int = 300, segments_per_video: int = 7,
    clips_per_class: int = 20, train_exclude: Collection[str] = (), test_actions: Iterable[str] | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> World:  # fmt: skip
    """Write a world into `folder`, or finish one that was begun there with the same settings; the unseen actions are
    tested by default, and `on_progress` gets (files done, files in all)."""
    folder = Path(folder)
    names = [action.name for action in unseen_actions()] if test_actions is None else list(test_actions)
    if unknown := sorted(set(names) - set(BY_NAME)):
        raise InputError(f"no such action in the stick-figure world: {', '.join(unknown)}")
    sizes = videos, segments_per_video, clips_per_class
    settings = WorldSettings(int(seed), *sizes, tuple(sorted(set(train_exclude))), tuple(names))
    world, claimed, told = World(folder, *settings.plans()), folder / "settings.json", json.dumps(asdict(settings))
    if not claimed.is_file():
        write_json(claimed, json.loads(told))
    if read_json_object(claimed) != json.loads(told):
        raise MismatchError(f"{folder} holds a stick-figure world of other settings; take an empty folder or remove it")
    every = [*world.train, *world.test]

    def missing() -> int:
        return sum(not world.path(plan).is_file() for plan in every)

    if to_do := missing():
        shares = max(1, min(workers, to_do))
        _render_all(folder, shares, missing, lambda left: on_progress(len(every) - left, len(every)))
    if to_do or not all((folder / name).is_file() for name in ("world.json", "seen/segments.json")):
        _write_tables(world, settings)
    on_progress(len(every), len(every))
    return world


def render_share(folder: Path, share: int, shares: int) -> None:
    """Render every n-th video of a world that is missing."""
    cv2.setNumThreads(1)  # the shares are the parallelism
    train, test = WorldSettings.read(folder).plans()
    for plan in [*train, *test][share::shares]:
        path = video_path(folder, plan)
        if not path.is_file():
            write_video(plan, path)


def _render_all(folder: Path, workers: int, missing: Callable[[], int], on_progress: Callable[[int], object]) -> None:
    """Render in child processes, which plan the same world again from its settings. They are no fork of this one, and
    import nothing of its `__main__`."""
    root = str(Path(cezsar.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    code = "import sys, pathlib; from cezsar.world.videos import render_share as run; folder, *share = sys.argv[1:]; "
    command = [sys.executable, "-c", code + "run(pathlib.Path(folder), *map(int, share))", str(folder)]
    with tempfile.TemporaryFile() as complaints, ExitStack() as started:
        children = []
        for share in range(workers):
            child = subprocess.Popen([*command, str(share), str(workers)], stderr=complaints, env=environment)
            started.callback(child.wait)
            started.callback(child.kill)  # of one that has ended it does nothing
            children.append(child)
        while any(child.poll() is None for child in children):
            time.sleep(POLL_S)
            on_progress(missing())
        if any(codes := [child.returncode for child in children]):
            complaints.seek(0)
            said = complaints.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
            last = said or f"exit status {max(codes, key=abs)}"
            raise CezsarError(f"rendering into {folder} failed: {last}; run it again to go on from where it stopped")


def _write_tables(world: World, settings: WorldSettings) -> None:
    tested, segments = settings.test_actions, {plan.id: plan.segments for plan in world.train}
    props = {id: [[s.start_s, s.end_s, s.prop, s.place, s.action] for s in shown] for id, shown in segments.items()}
    seen = sorted({segment.action for shown in segments.values() for segment in shown})
    groups = {name: [action for action in group if action in tested] for name, group in HARD_GROUPS.items()}
    tables = {
        "train": plans.annotations(world.train),
        "props": props,
        "seen/segments": {id: [[s.start_s, s.end_s, s.action] for s in shown] for id, shown in segments.items()},
        "seen/descriptions": {name: DESCRIPTIONS[name] for name in seen},
        "descriptions": {name: DESCRIPTIONS[name] for name in tested},
        "hard_groups": {name: group for name, group in groups.items() if len(group) > 1},
        "objects": OBJECTS,
        "world": asdict(settings) | {"fps": FPS, "train": len(world.train), "test": len(world.test)},
    }
    for name, table in tables.items():
        write_json(world.folder / f"{name}.json", table)
