"""Pictures and files: what is drawn keeps its bytes, everything moves, a build resumes."""

import hashlib
import json
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
import pytest

from cezsar.errors import CezsarError, InputError, MismatchError
from cezsar.world import ACTIONS, PLACES, build, plan_clips, plan_training, render, write_video
from cezsar.world.motions import Manner, perform
from cezsar.world.people import FOREARM, SHIN, THIGH, UPPER_ARM, solve
from cezsar.world.places import HEIGHT, backdrop
from cezsar.world.props import PROPS
from cezsar.world.videos import HEIGHT_PX, WIDTH_PX

CHECKSUMS = Path(__file__).with_name("checksums.json")
MOTIONS = list(dict.fromkeys(action.motion for action in ACTIONS))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clip(action=ACTIONS[0], seed=1):
    return plan_clips(seed, [action], 1)[0]


def test_what_is_drawn_keeps_its_bytes_and_moves():
    """A clip of every action, a backdrop of every place, plans and captions, against the first version's checksums.

    They hold for the pinned NumPy and OpenCV. Without AVX2, OpenCV rounds otherwise, so there plans alone are compared.
    """
    found = {"plans": hashlib.sha256(repr((plan_training(7), plan_clips(7, ACTIONS, 2))).encode()).hexdigest()[:16]}
    for action in ACTIONS:
        plan = clip(action)
        frames = list(render(plan))
        assert len(frames) == plan.frame_count
        assert all(frame.shape == (HEIGHT_PX, WIDTH_PX, 3) and frame.dtype == np.uint8 for frame in frames)
        changes = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in pairwise(frames)]
        assert np.median(changes) > 0.05, action.name
        assert np.std(frames[0]) > 10, action.name
        found[action.name] = hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest()[:16]
    for place in PLACES:
        picture = backdrop(place, 300, np.random.default_rng(0), 2.0)
        assert picture.shape == (2 * HEIGHT, 600, 3)
        assert (picture.max(axis=2) > 0).all(), f"{place} is not painted to the edges"
        found[place] = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
    published = json.loads(CHECKSUMS.read_text())
    if cv2.checkHardwareSupport(11):  # AVX2
        assert found == published
    assert found["plans"] == published["plans"] and list(found) == list(published)


def test_limbs_keep_their_lengths():
    for motion, prop in product(MOTIONS, (None, PROPS["broom"], PROPS["box"])):
        body = solve(perform(motion, np.linspace(0, 5, 41), Manner(), prop))
        for side in (0, 1):
            thigh, shin = body.hips[side] - body.knees[side], body.knees[side] - body.feet[side]
            np.testing.assert_allclose(np.linalg.norm(thigh, axis=1), THIGH, atol=1e-9)
            np.testing.assert_allclose(np.linalg.norm(shin, axis=1), SHIN, atol=1e-9)
            # an elbow may pass in front of the arm, so arms may look shorter, never longer
            assert (np.linalg.norm(body.shoulders[side] - body.elbows[side], axis=1) <= UPPER_ARM + 1e-9).all()
            assert (np.linalg.norm(body.elbows[side] - body.hands[side], axis=1) <= FOREARM + 1e-9).all()


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_files_hold_the_frames_and_the_same_plan_gives_the_same_bytes(tmp_path, suffix):
    plan, path, again = clip(ACTIONS[5], seed=4), tmp_path / f"clip{suffix}", tmp_path / f"again{suffix}"
    write_video(plan, path)
    write_video(plan, again)
    assert digest(path) == digest(again) and len(list(tmp_path.iterdir())) == 2
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(8)
    for frame in render(plan):
        good, read = capture.read()
        assert good
        assert np.abs(cv2.cvtColor(read, cv2.COLOR_BGR2RGB).astype(int) - frame.astype(int)).mean() < 8
    assert not capture.read()[0]
    capture.release()
    with pytest.raises(InputError, match=r"\.webm or \.mp4"):
        write_video(plan, tmp_path / "clip.avi")


def test_a_wider_picture_shows_the_same_scene_and_an_untrimmed_video_has_all_its_frames():
    plan = plan_training(1, videos=1, segments_per_video=2)[0]
    assert sum(1 for _ in render(plan)) == plan.frame_count
    small = list(render(clip()))[::8]
    large = list(render(clip(), width=320))[::8]
    for a, b in zip(small, large, strict=True):
        assert b.shape == (240, 320, 3)
        shrunk = cv2.resize(b, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(a.astype(int) - shrunk.astype(int)).mean() < 10


def test_build_writes_resumes_and_refuses_other_settings(tmp_path):
    tested = ["kicking a drum", "dragging a box"]
    small = {"videos": 2, "segments_per_video": 2, "clips_per_class": 1, "test_actions": tested}
    seen = []
    world = build(tmp_path / "w", 9, workers=2, on_progress=lambda done, total: seen.append((done, total)), **small)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
    files = {path: digest(path) for path in sorted((tmp_path / "w").rglob("*")) if path.is_file()}
    assert all(world.path(plan).is_file() for plan in (*world.train, *world.test))
    annotated = json.loads((tmp_path / "w" / "train.json").read_text(encoding="utf-8"))
    assert list(annotated) == [plan.id for plan in world.train]
    props = json.loads((tmp_path / "w" / "props.json").read_text(encoding="utf-8"))
    assert all(
        props[p.id] == [[s.start_s, s.end_s, s.prop, s.place, s.action] for s in p.segments] for p in world.train
    )
    assert list(json.loads((tmp_path / "w" / "descriptions.json").read_text(encoding="utf-8"))) == tested

    world.path(world.test[0]).unlink()
    (tmp_path / "w" / "world.json").unlink()
    again = build(tmp_path / "w", 9, workers=1, **small)
    assert again == world
    assert {path: digest(path) for path in files} == files

    with pytest.raises(MismatchError, match="other settings"):
        build(tmp_path / "w", 10, **small)
    with pytest.raises(InputError, match="no such action"):
        build(tmp_path / "v", 1, test_actions=["flying a kite"])
    (tmp_path / "x" / "train").mkdir(parents=True)
    (tmp_path / "x" / "train" / f"{world.train[0].id}.mp4").mkdir()  # in the way
    with pytest.raises(CezsarError, match=r"rendering into .* failed: .*; run it again"):
        build(tmp_path / "x", 9, **small)
