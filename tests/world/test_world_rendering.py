"""Pictures and files: every action moves, the same plan gives the same bytes, a build resumes."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cezsar.errors import InputError, MismatchError
from cezsar.world import (
    ACTIONS,
    HEIGHT_PX,
    PLACES,
    WIDTH_PX,
    Action,
    build,
    plan_clips,
    plan_training,
    render,
    write_video,
)
from cezsar.world.actors import FOREARM, SHIN, THIGH, UPPER_ARM, solve
from cezsar.world.canvas import HEIGHT
from cezsar.world.motions import MOTIONS, Manner
from cezsar.world.props import PROPS
from cezsar.world.scenes import backdrop


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_renders_and_moves(action: Action) -> None:
    plan = plan_clips(1, [action], 1)[0]
    frames = list(render(plan))
    assert len(frames) == plan.frame_count
    assert all(frame.shape == (HEIGHT_PX, WIDTH_PX, 3) and frame.dtype == np.uint8 for frame in frames)
    changes = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in pairwise(frames)]
    assert np.median(changes) > 0.05
    assert np.std(frames[0]) > 10


@pytest.mark.parametrize("motion", list(MOTIONS))
def test_limbs_keep_their_lengths(motion: str) -> None:
    for prop in (None, PROPS["broom"], PROPS["box"]):
        body = solve(MOTIONS[motion](np.linspace(0, 5, 41), Manner(), prop))
        for side in (0, 1):
            for a, b, length in (
                (body.hips[side], body.knees[side], THIGH),
                (body.knees[side], body.feet[side], SHIN),
            ):
                np.testing.assert_allclose(np.linalg.norm(a - b, axis=1), length, atol=1e-9)
            # an elbow may pass in front of the arm, so arms may look shorter, never longer
            assert (np.linalg.norm(body.shoulders[side] - body.elbows[side], axis=1) <= UPPER_ARM + 1e-9).all()
            assert (np.linalg.norm(body.elbows[side] - body.hands[side], axis=1) <= FOREARM + 1e-9).all()


@pytest.mark.parametrize("place", PLACES)
def test_places_are_painted_to_the_edges(place: str) -> None:
    picture = backdrop(place, 300, np.random.default_rng(0), 2.0)
    assert picture.shape == (2 * HEIGHT, 600, 3)
    assert (picture.max(axis=2) > 0).all()


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    plan = plan_clips(4, [ACTIONS[0]], 1)[0]
    for suffix in (".webm", ".mp4"):
        first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        write_video(plan, first)
        write_video(plan, second)
        assert digest(first) == digest(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.webm", "b.mp4", "b.webm"]


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_files_hold_the_frames(tmp_path: Path, suffix: str) -> None:
    plan = plan_clips(4, [ACTIONS[5]], 1)[0]
    path = tmp_path / f"clip{suffix}"
    write_video(plan, path)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(8)
    for frame in render(plan):
        good, read = capture.read()
        assert good
        assert np.abs(cv2.cvtColor(read, cv2.COLOR_BGR2RGB).astype(int) - frame.astype(int)).mean() < 8
    assert not capture.read()[0]
    capture.release()


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.webm or \.mp4"):
        write_video(plan_clips(1, [ACTIONS[0]], 1)[0], tmp_path / "clip.avi")
    assert not list(tmp_path.iterdir())


def test_a_wider_picture_shows_the_same_scene() -> None:
    plan = plan_clips(1, [ACTIONS[0]], 1)[0]
    small = np.stack(list(render(plan)))[::8]
    large = np.stack(list(render(plan, width=320)))[::8]
    assert large.shape[1:3] == (240, 320)
    for a, b in zip(small, large, strict=True):
        shrunk = cv2.resize(b, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(a.astype(int) - shrunk.astype(int)).mean() < 10


def test_an_untrimmed_video_has_all_its_frames() -> None:
    plan = plan_training(1, videos=1)[0]
    assert sum(1 for _ in render(plan)) == plan.frame_count


def test_build_writes_resumes_and_refuses_other_settings(tmp_path: Path) -> None:
    tested = ["kicking a drum", "dragging a box"]
    small: dict[str, Any] = {"videos": 2, "segments_per_video": 2, "clips_per_class": 1, "test_actions": tested}
    seen: list[tuple[int, int]] = []
    world = build(tmp_path / "w", 9, workers=2, on_progress=lambda done, total: seen.append((done, total)), **small)
    assert seen[-1] == (4, 4)
    files = {path: digest(path) for path in sorted((tmp_path / "w").rglob("*")) if path.is_file()}
    assert [world.path(plan).is_file() for plan in (*world.train, *world.test)] == [True] * 4
    annotated = json.loads((tmp_path / "w" / "train.json").read_text(encoding="utf-8"))
    assert list(annotated) == [plan.id for plan in world.train]
    descriptions = json.loads((tmp_path / "w" / "descriptions.json").read_text(encoding="utf-8"))
    assert list(descriptions) == tested

    world.path(world.test[0]).unlink()
    (tmp_path / "w" / "world.json").unlink()
    again = build(tmp_path / "w", 9, workers=1, **small)
    assert again == world
    assert {path: digest(path) for path in files} == files

    with pytest.raises(MismatchError, match="other settings"):
        build(tmp_path / "w", 10, **small)
    with pytest.raises(InputError, match="no such action"):
        build(tmp_path / "v", 1, test_actions=["flying a kite"])
