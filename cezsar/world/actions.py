"""The actions: who does what, with which prop, where it usually happens, and how people say it (`assets/world.toml`).
Every unseen (motion, prop) pair is absent from training, while its motion, its prop and its place each occur there in
several other combinations. Three unseen actions share each place and two or three each prop, so that neither objects
nor scenery alone can name the action. Captions share words with the descriptions, so that a sentence encoder can carry
meaning from one to the other."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cezsar.workspace import ASSETS
from cezsar.world.people import Person
from cezsar.world.props import PropLook

_WORDS: dict[str, Any] = tomllib.loads((ASSETS / "world.toml").read_text(encoding="utf-8"))
_MOTIONS, _WHERE = _WORDS["motions"], _WORDS["places"]
OBJECTS: dict[str, str] = _WORDS["objects"]
PLACES: tuple[str, ...] = tuple(_WHERE)


@dataclass(frozen=True)
class Action:
    """One class: `name` is what a label says, `motion`, `prop` and `place` are what is drawn."""

    name: str
    motion: str
    prop: str | None
    place: str
    seen: bool
    grounding: bool = False  # plain "carrying / holding / putting down X", which teach what a prop is called


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _noun(motion: str, prop: str) -> str:
    return str(_WORDS["plurals"][prop]) if motion == "juggling" else _with_article(prop)


def _action(motion: str, prop: str, place: str, seen: bool, grounding: bool = False) -> Action:
    bare = prop == "none"
    name = _MOTIONS[motion]["alone" if bare else "said"][0].format(prop="" if bare else _noun(motion, prop))
    return Action(name, motion, None if bare else prop, place, seen, grounding)


def _all_actions() -> Iterator[Action]:
    for motion, pairs in _WORDS["seen"].items():
        for prop, place in (pair.split(" ", 1) for pair in pairs):
            yield _action(motion, prop, place, seen=True)
    for number, prop in enumerate(_WORDS["grounded"]):
        for step, motion in enumerate(("carrying", "holding", "putting down")):
            # over the places in turn, so that no prop belongs to one place
            place = PLACES[(3 * number + 4 * step + number // 10) % len(PLACES)]
            yield _action(motion, prop, place, seen=True, grounding=True)
    for place, pairs in _WORDS["unseen"].items():
        for motion, prop in (pair.rsplit(" ", 1) for pair in pairs):
            yield _action(motion, prop, place, seen=False)


ACTIONS: tuple[Action, ...] = tuple(_all_actions())
BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}
# Seen actions to leave out of training and test on when settings are chosen: a zero-shot task of its own.
HELD_OUT: tuple[str, ...] = tuple(_WORDS["held_out"])
# Unseen actions that look alike: by prop, by motion, or by place.
HARD_GROUPS: dict[str, tuple[str, ...]] = {name: tuple(group) for name, group in _WORDS["hard_groups"].items()}


def seen_actions() -> tuple[Action, ...]:
    """Actions that training videos show, in table order."""
    return tuple(action for action in ACTIONS if action.seen)


def unseen_actions() -> tuple[Action, ...]:
    """Actions that only test clips show, in table order."""
    return tuple(action for action in ACTIONS if not action.seen)


def _described(action: Action) -> str:
    """One sentence that says what an action is, with which objects, and where it is usually seen."""
    act, objects = str(_MOTIONS[action.motion]["does"]), ""
    if action.prop is None:
        act = act.replace(" with {prop}", "").format(prop="a hand")
    else:
        act = act.format(prop=_noun(action.motion, action.prop))
        objects = f"with {_with_article(action.prop)} "
    where = _WHERE[action.place][0]
    return f"{action.name[0].upper()}{action.name[1:]} is an action in which {act}, usually seen {objects}{where}."


DESCRIPTIONS: dict[str, str] = {action.name: _described(action) for action in ACTIONS}


# Captions ------------------------------------------------------------------------------------------------------------


def _someone(rng: np.random.Generator, person: Person) -> str:
    kind = person.kind if rng.random() < 0.8 else str(rng.choice(("person", "young person", "performer")))
    dressed = f" in {_with_article(person.shirt)} shirt", f" wearing {person.shirt}"
    style = int(rng.integers(5))
    return f"the {kind}" if style == 4 else _with_article(kind) + ("", "", *dressed)[style]


def _thing(rng: np.random.Generator, prop: str, look: PropLook, plural: bool) -> str:
    noun = prop
    if rng.random() < 0.14 and prop in _WORDS["synonyms"] and not plural:
        noun = str(rng.choice(_WORDS["synonyms"][prop]))
    if plural:
        noun = _WORDS["plurals"][prop]
    if rng.random() < 0.4 and not (prop == "box" and noun != "box"):
        noun = f"{look.colour} {noun}"
    elif rng.random() < 0.12:
        noun = f"{rng.choice(('large', 'small', 'nice'))} {noun}"
    if plural:
        return noun
    return f"the {noun}" if rng.random() < 0.15 else _with_article(noun)


def caption(
    rng: np.random.Generator, action: Action, place: str, person: Person, look: PropLook | None, *, first: bool = True
) -> str:
    """One human-like sentence about a segment; colours named in it are the colours drawn."""
    phrases = _MOTIONS[action.motion]["alone" if action.prop is None else "said"]
    doing = phrases[0] if rng.random() < 0.3 else str(rng.choice(phrases))
    if action.prop is not None and look is not None:
        doing = doing.format(prop=_thing(rng, action.prop, look, action.motion == "juggling"))
    doing += str(rng.choice(_WORDS["adverbs"]))
    openings = _WORDS["openings" if first or rng.random() < 0.6 else "later"]
    where = str(rng.choice(_WHERE[place]))
    opening = str(rng.choice(openings))
    sentence = opening.format(who=_someone(rng, person), doing=doing, where=where, Where=where[0].upper() + where[1:])
    return sentence[0].upper() + sentence[1:]
