"""The rules that make the world a zero-shot benchmark, and plans that follow them and their seed."""

import json
from collections import Counter

import numpy as np
import pytest

from cezsar.errors import InputError
from cezsar.world import plan_clips, plan_training
from cezsar.world.actions import (
    ACTIONS,
    DESCRIPTIONS,
    HARD_GROUPS,
    HELD_OUT,
    OBJECTS,
    PLACES,
    seen_actions,
    unseen_actions,
)
from cezsar.world.plans import FPS, annotations, person_of, prop_look_of
from cezsar.world.props import FIXED_PAINTS, PROPS

SEEN, UNSEEN = seen_actions(), unseen_actions()


@pytest.fixture(scope="module")
def plans():
    return plan_training(3)


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


def test_props_are_well_formed():
    assert list(PROPS) == list(OBJECTS)
    for name, prop in PROPS.items():
        assert prop.name == name and len(OBJECTS[name].split()) >= 5
        for shape in prop.shapes:
            assert shape.points.ndim == 2 and shape.points.shape[1] == 2
            assert shape.paint in {"main", "dark", "light", *FIXED_PAINTS}
        twice = prop.scaled(2.0)
        np.testing.assert_allclose(twice.shapes[0].points, 2 * prop.shapes[0].points)
        assert (twice.height, twice.standing, twice.width) == (2 * prop.height, 2 * prop.standing, 2 * prop.width)


def test_training_shows_seen_actions_only_and_all_of_them_half_at_random_places(plans):
    segments = [segment for plan in plans for segment in plan.segments]
    shown = Counter(segment.action for segment in segments)
    assert len(plans) == 300 and sum(shown.values()) == 2100
    assert set(shown) == {action.name for action in SEEN}
    assert max(shown.values()) - min(shown.values()) <= 1
    usual = {action.name: action.place for action in SEEN}
    share = sum(segment.place == usual[segment.action] for segment in segments) / len(segments)
    assert 0.5 < share < 0.6  # a half, and a tenth of the other half by chance
    assert {segment.place for segment in segments} == set(PLACES)
    without = plan_training(1, videos=100, exclude=HELD_OUT)
    assert not {segment.action for plan in without for segment in plan.segments} & set(HELD_OUT)


def test_segments_are_in_order_and_on_frames_and_in_the_table(plans):
    table = json.loads(json.dumps(annotations(plans[:20])))
    for plan in plans[:20]:
        clock = 0.0
        for segment in plan.segments:
            assert clock < segment.start_s < segment.end_s
            assert (segment.start_s * FPS).is_integer() and (segment.end_s * FPS).is_integer()
            clock = segment.end_s
        assert clock <= plan.duration_s == table[plan.id]["duration"]
        assert plan.frame_count == plan.duration_s * FPS
        assert table[plan.id]["timestamps"] == [[s.start_s, s.end_s] for s in plan.segments]
        assert table[plan.id]["sentences"] == [s.sentence for s in plan.segments]


def test_captions_are_sentences_that_vary_and_name_what_is_drawn(plans):
    segments = [segment for plan in plans for segment in plan.segments]
    for segment in segments:
        sentence = segment.sentence
        assert sentence[0].isupper() and sentence.endswith(".") and "{" not in sentence and "  " not in sentence
        assert 3 <= len(sentence.split()) <= 40
    assert len({segment.sentence for segment in segments}) > 0.95 * len(segments)
    named = [segment for segment in segments if segment.prop]
    assert sum(segment.prop in segment.sentence for segment in named) > 0.8 * len(named)
    checked = 0
    for plan in plans[:40]:
        shirt = f"{person_of(plan.seed).shirt} shirt"
        for index, segment in enumerate(plan.segments):
            look = prop_look_of(plan.seed, index, segment.prop)
            assert " shirt" not in segment.sentence or shirt in segment.sentence
            checked += shirt in segment.sentence
            checked += look is not None and f"{look.colour} {segment.prop}" in segment.sentence
    assert checked > 20


def test_clips_are_trimmed_and_labelled(plans):
    clips = plan_clips(3, UNSEEN, 20)
    assert len({clip.id for clip in clips}) == len(clips) == 420
    assert set(Counter(clip.label for clip in clips).values()) == {20}
    for clip in clips:
        assert len(clip.segments) == 1
        assert (clip.segments[0].start_s, clip.segments[0].end_s) == (0.0, clip.duration_s)
        assert 4.0 <= clip.duration_s <= 6.0
    assert not {clip.id for clip in clips} & {plan.id for plan in plans}
    assert not {clip.seed for clip in clips} & {plan.seed for plan in plans}


def test_a_seed_decides_and_what_cannot_be_planned_is_refused():
    assert plan_training(1, videos=10) == plan_training(1, videos=10) != plan_training(2, videos=10)
    assert plan_clips(1, UNSEEN[4:5], 3) == plan_clips(1, UNSEEN, 3)[12:15]  # a class does not depend on the others
    with pytest.raises(InputError, match="kicking a drum"):
        plan_training(1, exclude=["kicking a drum"])  # unseen, so there is nothing to leave out
    with pytest.raises(InputError, match="at least one"):
        plan_training(1, videos=0)
