"""The language of the world: captions of training segments and one-sentence descriptions of every class.

Captions vary in wording and share the words for motions and props with the descriptions often enough that a
sentence encoder can carry meaning from one to the other.
"""

from __future__ import annotations

import numpy as np

from cezsar.world.actions import ACTIONS, PLURALS, Action, with_article
from cezsar.world.looks import Person, PropLook
from cezsar.world.phrases import ADVERBS, ALONE, DEFINITIONS, LATER, OPENINGS, PHRASES, PLACE_PHRASES, SYNONYMS


def _someone(rng: np.random.Generator, person: Person) -> str:
    kind = person.kind if rng.random() < 0.8 else str(rng.choice(("person", "young person", "performer")))
    article = with_article(kind)
    style = int(rng.integers(5))
    if style <= 1:
        return article
    if style == 2:
        return f"{article} in {with_article(person.shirt)} shirt"
    if style == 3:
        return f"{article} wearing {person.shirt}"
    return f"the {kind}"


def _thing(rng: np.random.Generator, prop: str, look: PropLook, plural: bool) -> str:
    noun = prop
    if rng.random() < 0.14 and prop in SYNONYMS and not plural:
        noun = str(rng.choice(SYNONYMS[prop]))
    if plural:
        noun = PLURALS[prop]
    if rng.random() < 0.4 and not (prop == "box" and noun != "box"):
        noun = f"{look.colour} {noun}"
    elif rng.random() < 0.12:
        noun = f"{rng.choice(('large', 'small', 'nice'))} {noun}"
    if plural:
        return noun
    return f"the {noun}" if rng.random() < 0.15 else with_article(noun)


def caption(
    rng: np.random.Generator,
    motion: str,
    prop: str | None,
    place: str,
    person: Person,
    look: PropLook | None,
    *,
    first: bool = True,
) -> str:
    """One human-like sentence about a segment; colours named in it are the colours drawn."""
    phrases = ALONE[motion] if prop is None else PHRASES[motion]
    doing = phrases[0] if rng.random() < 0.3 else str(rng.choice(phrases))
    if prop is not None and look is not None:
        plural = motion == "juggling"
        doing = doing.format(prop=_thing(rng, prop, look, plural))
    doing += str(rng.choice(ADVERBS))
    openings = OPENINGS if first or rng.random() < 0.6 else LATER
    where = str(rng.choice(PLACE_PHRASES[place]))
    sentence = str(rng.choice(openings)).format(
        who=_someone(rng, person), doing=doing, where=where, Where=where[0].upper() + where[1:]
    )
    return sentence[0].upper() + sentence[1:]


def describe(action: Action) -> str:
    """One sentence that says what an action is, with which objects, and where it is usually seen."""
    act = DEFINITIONS[action.motion]
    if action.prop is None:
        act = act.replace(" with {prop}", "").format(prop="a hand")
        objects = ""
    else:
        act = act.format(prop=PLURALS[action.prop] if action.motion == "juggling" else with_article(action.prop))
        objects = f"with {with_article(action.prop)} "
    where = PLACE_PHRASES[action.place][0]
    return f"{action.name[0].upper()}{action.name[1:]} is an action in which {act}, usually seen {objects}{where}."


DESCRIPTIONS: dict[str, str] = {action.name: describe(action) for action in ACTIONS}
