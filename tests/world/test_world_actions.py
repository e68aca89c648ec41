"""The rules that make the world a zero-shot benchmark."""

from collections import Counter

import numpy as np
import pytest

from cezsar.world import (
    ACTIONS,
    DESCRIPTIONS,
    HARD_GROUPS,
    HELD_OUT,
    OBJECTS,
    PLACES,
    Action,
    seen_actions,
    unseen_actions,
)
from cezsar.world.motions import MOTIONS
from cezsar.world.props import FIXED_PAINTS, PROPS

SEEN, UNSEEN = seen_actions(), unseen_actions()


def check_transfer(train: list[Action], test: list[Action], combinations: int) -> None:
    """No (motion, prop) pair of `test` in `train`, yet every motion, prop and place, `combinations` times or more."""
    assert not {a.name for a in train} & {a.name for a in test}
    assert not {(a.motion, a.prop) for a in train} & {(a.motion, a.prop) for a in test}
    for action in test:
        for part in ("motion", "prop", "place"):
            known = {(a.motion, a.prop) for a in train if getattr(a, part) == getattr(action, part)}
            assert len(known) >= combinations, (action.name, part)


def test_counts_are_as_stated() -> None:
    assert len({a.name for a in ACTIONS}) == len(ACTIONS) == len(SEEN) + len(UNSEEN)
    assert len(SEEN) == 116
    assert sum(a.grounding for a in SEEN) == 51
    assert len(UNSEEN) == 21
    assert len(HELD_OUT) == 16
    assert len(PLACES) == 10
    assert len(OBJECTS) == 18


def test_unseen_actions_are_new_combinations_of_known_parts() -> None:
    check_transfer(list(SEEN), list(UNSEEN), combinations=3)


def test_held_out_actions_are_a_zero_shot_task_too() -> None:
    held_out = [a for a in SEEN if a.name in HELD_OUT]
    assert len(held_out) == len(HELD_OUT)
    check_transfer([a for a in SEEN if a.name not in HELD_OUT], held_out, combinations=2)
    assert min(Counter(a.prop for a in held_out).values()) >= 2


def test_neither_prop_nor_place_names_an_unseen_action() -> None:
    assert min(Counter(a.prop for a in UNSEEN).values()) >= 2
    assert min(Counter(a.place for a in UNSEEN).values()) >= 2


def test_hard_groups_share_something() -> None:
    by_name = {a.name: a for a in UNSEEN}
    assert len(HARD_GROUPS) >= 4
    for names in HARD_GROUPS.values():
        members = [by_name[name] for name in names]
        assert len(set(names)) == len(names) >= 2
        linked = [
            any(getattr(a, part) == getattr(b, part) for part in ("motion", "prop", "place") for b in members if b != a)
            for a in members
        ]
        assert sum(linked) >= 2


def test_every_action_can_be_drawn_and_described() -> None:
    for action in ACTIONS:
        assert action.motion in MOTIONS
        assert action.place in PLACES
        assert action.prop is None or action.prop in PROPS
        sentence = DESCRIPTIONS[action.name]
        assert sentence.endswith(".") and sentence.count(".") == 1 and "{" not in sentence
        assert action.prop is None or action.prop in sentence
        assert action.place in sentence
    assert list(DESCRIPTIONS) == [a.name for a in ACTIONS]
    assert len(set(DESCRIPTIONS.values())) == len(ACTIONS)


@pytest.mark.parametrize("name", list(PROPS))
def test_props_are_well_formed(name: str) -> None:
    prop = PROPS[name]
    assert prop.name == name and len(prop.definition.split()) >= 5
    for shape in prop.shapes:
        assert shape.points.ndim == 2 and shape.points.shape[1] == 2
        assert shape.paint in {"main", "dark", "light", *FIXED_PAINTS}
    twice = prop.scaled(2.0)
    np.testing.assert_allclose(twice.shapes[0].points, 2 * prop.shapes[0].points)
    assert twice.height == 2 * prop.height
