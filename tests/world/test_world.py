"""The rules that make the world a zero-shot benchmark; what is drawn keeps its bytes, and a build resumes."""

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from cezsar.errors import InputError, MismatchError
from cezsar.world import ACTIONS, PLACES, build, plan_clips, plan_training, render, write_video
from cezsar.world.actions import DESCRIPTIONS, HARD_GROUPS, HELD_OUT, OBJECTS, seen_actions, unseen_actions
from cezsar.world.places import HEIGHT, backdrop
from cezsar.world.props import PROPS
from cezsar.world.videos import HEIGHT_PX, WIDTH_PX

CHECKSUMS = Path(__file__).with_name("checksums.json")
SEEN, UNSEEN = seen_actions(), unseen_actions()


def check_transfer(train, test, combinations):
    """No (motion, prop) pair of `test` in `train`, yet every motion, prop and place, `combinations` times or more."""
    assert not {a.name for a in train} & {a.name for a in test}
    assert not {(a.motion, a.prop) for a in train} & {(a.motion, a.prop) for a in test}
    for action in test:
        for part in ("motion", "prop", "place"):
            known = {(a.motion, a.prop) for a in train if getattr(a, part) == getattr(action, part)}
            assert len(known) >= combinations, (action.name, part)


def test_unseen_and_held_out_actions_are_new_combinations_of_known_parts():
    check_transfer(SEEN, UNSEEN, combinations=3)
    held_out = [a for a in SEEN if a.name in HELD_OUT]
    assert len(held_out) == len(HELD_OUT)
    check_transfer([a for a in SEEN if a.name not in HELD_OUT], held_out, combinations=2)
    # Neither prop nor place names an action.
    for actions, part in ((UNSEEN, "prop"), (UNSEEN, "place"), (held_out, "prop")):
        assert min(Counter(getattr(a, part) for a in actions).values()) >= 2


def test_counts_groups_and_descriptions_are_as_stated():
    assert len({a.name for a in ACTIONS}) == len(ACTIONS) == len(SEEN) + len(UNSEEN)
    counts = (len(SEEN), sum(a.grounding for a in SEEN), len(UNSEEN), len(HELD_OUT), len(PLACES), len(OBJECTS))
    assert counts == (116, 51, 21, 16, 10, 18)
    by_name = {a.name: a for a in UNSEEN}
    for names in HARD_GROUPS.values():
        members = [by_name[name] for name in names]
        parts = [{a.motion, a.prop, a.place} - {None} for a in members]
        linked = [any(parts[i] & other for j, other in enumerate(parts) if j != i) for i in range(len(members))]
        assert len(set(names)) == len(names) >= 2 and sum(linked) >= 2
    for action in ACTIONS:
        sentence = DESCRIPTIONS[action.name]
        assert sentence.endswith(".") and sentence.count(".") == 1 and "{" not in sentence
        assert action.prop is None or (action.prop in sentence and action.prop in PROPS)
        assert action.place in sentence and action.place in PLACES
    assert list(DESCRIPTIONS) == [a.name for a in ACTIONS] and len(set(DESCRIPTIONS.values())) == len(ACTIONS)


def test_training_shows_seen_actions_only_and_all_of_them_half_at_random_places():
    plans, clips = plan_training(3), plan_clips(3, UNSEEN, 20)
    segments = [segment for plan in plans for segment in plan.segments]
    shown = Counter(segment.action for segment in segments)
    assert len(plans) == 300 and sum(shown.values()) == 2100
    assert set(shown) == {action.name for action in SEEN}
    assert max(shown.values()) - min(shown.values()) <= 1
    usual = {action.name: action.place for action in SEEN}
    share = sum(segment.place == usual[segment.action] for segment in segments) / len(segments)
    assert 0.5 < share < 0.6  # a half, and a tenth of the other half by chance
    assert {segment.place for segment in segments} == set(PLACES)
    assert set(Counter(clip.label for clip in clips).values()) == {20}
    assert not {clip.id for clip in clips} & {plan.id for plan in plans}
    assert not {clip.seed for clip in clips} & {plan.seed for plan in plans}
    without = plan_training(1, videos=100, exclude=HELD_OUT)
    assert not {segment.action for plan in without for segment in plan.segments} & set(HELD_OUT)


def test_a_seed_decides_and_what_cannot_be_planned_is_refused():
    assert plan_training(1, videos=10) == plan_training(1, videos=10) != plan_training(2, videos=10)
    assert plan_clips(1, UNSEEN[4:5], 3) == plan_clips(1, UNSEEN, 3)[12:15]  # a class does not depend on the others
    with pytest.raises(InputError, match="kicking a drum"):
        plan_training(1, exclude=["kicking a drum"])  # unseen, so there is nothing to leave out
    for nothing in ({"videos": 0}, {"segments_per_video": 0}, {"exclude": [action.name for action in SEEN]}):
        with pytest.raises(InputError, match="at least one"):
            plan_training(1, **nothing)


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


@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_files_hold_the_frames_and_the_same_plan_gives_the_same_bytes(tmp_path, suffix, capfd):
    plan, path, again = clip(ACTIONS[5], seed=4), tmp_path / f"clip{suffix}", tmp_path / f"again{suffix}"
    write_video(plan, path)
    write_video(plan, again)
    assert digest(path) == digest(again) and len(list(tmp_path.iterdir())) == 2
    assert capfd.readouterr() == ("", "")  # not even a false alarm about VP8
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
    assert seen == sorted(seen) and seen[-1] == (4, 4)
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
