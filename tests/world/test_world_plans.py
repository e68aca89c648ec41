"""Plans and captions: the same from the same seed, valid, and without any unseen action in training."""

import json
from collections import Counter

import pytest

from cezsar.errors import InputError
from cezsar.world import (
    FPS,
    HELD_OUT,
    PLACES,
    annotations,
    plan_clips,
    plan_training,
    seen_actions,
    segment_props,
    unseen_actions,
)
from cezsar.world.plans import person_of, prop_look_of


def test_training_shows_seen_actions_only_and_all_of_them() -> None:
    plans = plan_training(3)
    shown = Counter(segment.action for plan in plans for segment in plan.segments)
    assert len(plans) == 300 and sum(shown.values()) == 2100
    assert set(shown) == {action.name for action in seen_actions()}
    assert max(shown.values()) - min(shown.values()) <= 1
    pairs = {(segment.motion, segment.prop) for plan in plans for segment in plan.segments}
    assert not pairs & {(action.motion, action.prop) for action in unseen_actions()}


def test_half_of_the_training_places_are_random() -> None:
    usual = {action.name: action.place for action in seen_actions()}
    segments = [segment for plan in plan_training(3) for segment in plan.segments]
    share = sum(segment.place == usual[segment.action] for segment in segments) / len(segments)
    assert 0.5 < share < 0.6  # a half, and a tenth of the other half by chance
    assert {segment.place for segment in segments} == set(PLACES)


def test_segments_are_in_order_and_on_frames() -> None:
    for plan in plan_training(5, videos=20):
        clock = 0.0
        for segment in plan.segments:
            assert clock < segment.start_s < segment.end_s
            assert (segment.start_s * FPS).is_integer() and (segment.end_s * FPS).is_integer()
            clock = segment.end_s
        assert clock <= plan.duration_s
        assert plan.frame_count == plan.duration_s * FPS


def test_captions_are_sentences_and_vary() -> None:
    segments = [segment for plan in plan_training(3) for segment in plan.segments]
    for segment in segments:
        sentence = segment.sentence
        assert sentence[0].isupper() and sentence.endswith(".") and "{" not in sentence and "  " not in sentence
        assert 3 <= len(sentence.split()) <= 40
    assert len({segment.sentence for segment in segments}) > 0.95 * len(segments)
    named = [segment for segment in segments if segment.prop]
    assert sum(segment.prop in segment.sentence for segment in named if segment.prop) > 0.8 * len(named)


def test_colours_in_captions_are_the_colours_drawn() -> None:
    checked = 0
    for plan in plan_training(7, videos=40):
        for index, segment in enumerate(plan.segments):
            look = prop_look_of(plan.seed, index, segment.prop)
            shirt = person_of(plan.seed).shirt
            if f"{shirt} shirt" in segment.sentence:
                checked += 1
            assert " shirt" not in segment.sentence or f"{shirt} shirt" in segment.sentence
            if look is not None and f"{look.colour} {segment.prop}" in segment.sentence:
                checked += 1
    assert checked > 20


def test_the_same_seed_plans_the_same() -> None:
    assert plan_training(1, videos=10) == plan_training(1, videos=10)
    assert plan_training(1, videos=10) != plan_training(2, videos=10)
    actions = unseen_actions()
    assert plan_clips(1, actions, 3) == plan_clips(1, actions, 3)
    assert plan_clips(1, actions[4:5], 3) == plan_clips(1, actions, 3)[12:15]  # a class does not depend on the others


def test_clips_are_trimmed_and_labelled() -> None:
    clips = plan_clips(2, unseen_actions(), 20)
    assert len({clip.id for clip in clips}) == len(clips) == 420
    assert set(Counter(clip.label for clip in clips).values()) == {20}
    for clip in clips:
        assert len(clip.segments) == 1
        assert (clip.segments[0].start_s, clip.segments[0].end_s) == (0.0, clip.duration_s)
        assert 4.0 <= clip.duration_s <= 6.0
    assert not {clip.id for clip in clips} & {plan.id for plan in plan_training(2)}
    assert not {clip.seed for clip in clips} & {plan.seed for plan in plan_training(2)}


def test_left_out_actions_do_not_occur() -> None:
    plans = plan_training(1, videos=100, exclude=HELD_OUT)
    assert not {segment.action for plan in plans for segment in plan.segments} & set(HELD_OUT)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="kicking a drum"):
        plan_training(1, exclude=["kicking a drum"])  # unseen, so there is nothing to leave out
    with pytest.raises(InputError, match="at least one"):
        plan_training(1, videos=0)


def test_tables_hold_every_segment() -> None:
    plans = plan_training(1, videos=5)
    table = json.loads(json.dumps(annotations(plans)))
    props = json.loads(json.dumps(segment_props(plans)))
    for plan in plans:
        assert table[plan.id]["duration"] == plan.duration_s
        assert table[plan.id]["timestamps"] == [[s.start_s, s.end_s] for s in plan.segments]
        assert table[plan.id]["sentences"] == [s.sentence for s in plan.segments]
        assert props[plan.id] == [[s.start_s, s.end_s, s.prop, s.place, s.action] for s in plan.segments]
