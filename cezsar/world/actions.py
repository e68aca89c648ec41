"""The actions: who does what, with which prop, where it usually happens, and how people say it.

An action is a body motion, a prop or none, and a usual place. Unseen actions are new combinations: every unseen
(motion, prop) pair is absent from training, while its motion, its prop and its place each occur there in several
other combinations. Three unseen actions share each place and two or three each prop, so that neither objects nor
scenery alone can name the action. `tests/world` proves these rules.

Captions vary in wording and share the words for motions and props with the descriptions often enough that a sentence
encoder can carry meaning from one to the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from cezsar.world.people import Person
from cezsar.world.props import PropLook

# motion: what somebody does, for the description. Then ways to say it in a caption, the first of which names the
# action; after "alone:" without a prop.
_MOTIONS = """
swinging overhead: somebody swings {prop} overhead in circles with both arms.
    swinging {prop} overhead / swinging {prop} in circles overhead / swinging {prop} around above the head /
    whirling {prop} overhead with both arms / swinging {prop} round and round over the head
throwing: somebody throws {prop} through the air with one arm.
    throwing {prop} / throwing {prop} through the air / throwing {prop} as far as possible /
    hurling {prop} forward with one arm / tossing {prop} far away
kicking: somebody kicks {prop} away with a swing of the leg.
    kicking {prop} / kicking {prop} with one foot / kicking {prop} along the ground / giving {prop} a hard kick /
    kicking {prop} away with a swing of the leg
lifting overhead: somebody bends down and lifts {prop} overhead with both hands.
    lifting {prop} overhead / lifting {prop} overhead with both hands /
    lifting {prop} from the ground up over the head / raising {prop} high overhead /
    bending down and lifting {prop} overhead
juggling: somebody keeps throwing and catching several {prop} with both hands.
    juggling {prop} / juggling three {prop} / tossing and catching {prop} while juggling /
    juggling {prop} with both hands
waving: somebody waves {prop} from side to side in the air.
    waving {prop} / waving {prop} from side to side / waving {prop} in the air / waving {prop} high to greet somebody /
    holding up {prop} and waving it
    alone: waving a hand / waving a hand from side to side / waving one arm in the air / waving hello
pushing: somebody leans forward and pushes {prop} along the ground.
    pushing {prop} / pushing {prop} forward along the ground / pushing {prop} with both hands /
    leaning in and pushing {prop}
dragging: somebody leans back and pulls {prop} backwards over the ground.
    dragging {prop} / dragging {prop} backwards over the ground / pulling and dragging {prop} /
    dragging {prop} along while leaning back / hauling {prop} backwards
digging: somebody bends and digs up the ground with {prop}.
    digging with {prop} / digging a hole with {prop} / digging up the ground with {prop} / scooping earth with {prop}
sweeping: somebody sweeps dirt from the ground with {prop}.
    sweeping with {prop} / sweeping the ground with {prop} / sweeping up dirt with {prop} /
    brushing the floor with {prop}
drumming: somebody beats a rhythm on {prop} with two sticks.
    drumming on {prop} / drumming on {prop} with two sticks / drumming a fast rhythm on {prop} /
    beating a rhythm on {prop} / drumming with both hands on {prop}
hammering: somebody strikes nails into a block with {prop}.
    hammering with {prop} / hammering a nail with {prop} / hammering on a block with {prop} /
    striking a block with {prop}
rowing: somebody sits in a canoe and rows over the water with {prop}.
    rowing with {prop} / rowing a canoe with {prop} / rowing a boat over the water with {prop} /
    sitting in a canoe and rowing with {prop}
jumping: somebody jumps up and down into the air with {prop}.
    jumping with {prop} / jumping up and down with {prop} / jumping high into the air with {prop} /
    jumping again and again with {prop} / leaping up and down with {prop}
    alone: jumping / jumping up and down / jumping high into the air / jumping again and again
running: somebody runs fast with {prop}.
    running with {prop} / running fast with {prop} / running along with {prop} in the hand /
    running quickly with {prop} / sprinting with {prop}
    alone: running / running fast / running along quickly / sprinting
spinning: somebody turns round and round in circles with {prop}.
    spinning around with {prop} / spinning around and around with {prop} / spinning in circles with {prop} /
    turning round and round with {prop} / twirling around with {prop}
    alone: spinning around / spinning around and around / spinning in circles / turning round and round
squatting: somebody bends the knees and stands up again with {prop}.
    squatting with {prop} / squatting down and standing up with {prop} / doing squats with {prop} /
    bending the knees with {prop}
    alone: squatting / doing squats
dancing: somebody dances and sways from side to side with {prop}.
    dancing with {prop} / dancing from side to side with {prop} / dancing happily with {prop} /
    swaying and dancing with {prop} / dancing a lively dance with {prop}
    alone: dancing / dancing from side to side / swaying and dancing / dancing a lively dance
balancing: somebody walks slowly and keeps {prop} balanced on top of the head.
    balancing {prop} on the head / balancing {prop} on top of the head /
    balancing {prop} on the head with arms stretched out / walking slowly and balancing {prop} on the head /
    keeping {prop} balanced on the head
drinking: somebody lifts {prop} to the mouth and drinks.
    drinking from {prop} / drinking water from {prop} / taking a drink from {prop} /
    lifting {prop} to the mouth and drinking
bouncing: somebody bounces {prop} on the ground with one hand.
    bouncing {prop} / bouncing {prop} on the ground / bouncing {prop} with one hand / dribbling {prop}
climbing: somebody climbs up {prop} hand over hand.
    climbing {prop} / climbing up {prop} / climbing {prop} hand over hand / pulling up along {prop}
strumming: somebody plays music by strumming the strings of {prop}.
    strumming {prop} / strumming {prop} and making music / playing {prop} / strumming the strings of {prop}
reading: somebody looks at the pages of {prop} and reads.
    reading {prop} / reading the pages of {prop} / standing and reading {prop} / turning the pages of {prop}
sitting: somebody sits and rests on {prop}.
    sitting on {prop} / sitting down on {prop} / resting on {prop} / sitting quietly on {prop}
punching: somebody punches the air with both fists.
    alone: punching the air / boxing and punching the air / punching with both fists / shadow boxing
crawling: somebody moves along the ground on hands and knees.
    alone: crawling / crawling on hands and knees / crawling along the ground / moving on all fours
push-ups: somebody lowers and raises the body on the floor with the arms.
    alone: doing push-ups / doing push-ups on the floor / lowering and raising the body in push-ups /
    training with push-ups
carrying: somebody walks and carries {prop} in the hands.
    carrying {prop} / walking and carrying {prop} / carrying {prop} along / walking with {prop} in the hands
holding: somebody stands still and holds {prop} in the hands.
    holding {prop} / standing and holding {prop} / holding {prop} in the hands / standing still with {prop}
putting down: somebody bends over and puts {prop} down on the ground.
    putting down {prop} / putting {prop} on the ground / bending over and putting down {prop} /
    setting {prop} down on the floor
"""

# place: ways to say it; the first is the description's.
_PLACES = """
stage: on a stage / on the stage / on a stage with curtains / on stage under the lights / on a theatre stage
street: in the street / on a street / in a city street / on a street in front of shops / down the street
park: in the park / in a park / in a green park / in a park among trees / on the grass of a park
beach: on the beach / at the beach / on a sandy beach / on a beach by the sea / on the sand of a beach
kitchen: in the kitchen / in a kitchen / in a kitchen with cupboards / on the tiles of a kitchen /
    in the kitchen at home
gym: in the gym / in a gym / inside a gym / in a sports hall gym / on the floor of a gym
snow field: in a snow field / in the snow / on a snow field / on a snow field below mountains / in a snowy field
garden: in the garden / in a garden / in a garden with flowers / in the garden behind a house / on the lawn of a garden
forest: in the forest / in a forest / in a forest among tall trees / between the trees of a forest / in the woods
workshop: in the workshop / in a workshop / in a workshop full of tools / in front of a workbench in the workshop /
    in a carpentry workshop
"""

# motion: prop and usual place of each seen action.
_SEEN = """
swinging overhead: rope park, flag stage, racket gym, bucket garden
throwing: ball park, bottle forest, hoop beach, box workshop
kicking: ball street, bucket garden, bottle snow field, hoop forest
lifting overhead: barbell gym, box workshop, drum stage, chair kitchen
waving: flag street, umbrella beach, hammer snow field, none street
spinning: drum stage, flag park, broom garden, none stage
running: flag snow field, ball park, umbrella street, bucket forest
jumping: guitar stage, hoop garden, ball gym, none gym
dancing: umbrella street, guitar beach, hoop gym, none kitchen
balancing: book kitchen, ball street, drum stage
dragging: barbell gym, chair kitchen, bucket beach, hoop snow field
drumming: drum stage, box street, chair kitchen
pushing: box workshop, drum street
juggling: ball beach, bottle kitchen, hammer stage
digging: shovel garden
sweeping: broom street
hammering: hammer workshop
rowing: paddle beach
squatting: barbell gym
drinking: bottle forest
bouncing: ball gym
climbing: rope forest
strumming: guitar park
reading: book park
sitting: chair garden
punching: none gym
crawling: none snow field
push-ups: none gym
"""

# place: motion and prop of each unseen action.
_UNSEEN = """
stage: swinging overhead guitar, spinning umbrella, kicking drum
street: running guitar, drumming bucket, balancing box
park: throwing hammer, jumping umbrella, running drum
beach: dancing flag, throwing bucket, lifting overhead guitar
kitchen: dancing broom, kicking box, balancing bucket
gym: lifting overhead hammer, jumping flag, spinning hoop
snow field: dragging box, waving broom, swinging overhead hoop
"""

# Props whose plain handling is shown, too.
_GROUNDED = "guitar umbrella drum box bucket hammer flag broom hoop ball bottle book chair rope barbell racket shovel"

_HELD_OUT = """
swinging a flag overhead, spinning around with a flag, running with a flag, throwing a box, lifting a box overhead,
kicking a bucket, running with a bucket, dragging a bucket, jumping with a guitar, dancing with a guitar,
spinning around with a drum, balancing a drum on the head, waving an umbrella, dancing with an umbrella,
jumping with a hoop, dragging a hoop
"""

_SYNONYMS = {
    "umbrella": ("parasol",), "box": ("cardboard box", "crate"), "bucket": ("pail",), "hoop": ("hula hoop",),
    "drum": ("snare drum",), "guitar": ("acoustic guitar",), "hammer": ("big hammer", "sledgehammer"),
    "flag": ("banner",), "barbell": ("heavy barbell",), "racket": ("tennis racket",), "broom": ("broomstick",),
    "shovel": ("spade",),
}  # fmt: skip

_OPENINGS = """
{who} is {doing}.
{who} is {doing} {where}.
{who} is seen {doing} {where}.
{Where}, {who} is {doing}.
{who} stands {where} and starts {doing}.
{who} keeps {doing}.
we see {who} {doing} {where}.
the camera shows {who} {doing}.
{who} can be seen {doing}.
{who} is busy {doing} {where}.
"""
_LATER = """
then {who} is {doing}.
next, {who} is {doing} {where}.
after that {who} continues by {doing}.
{who} goes on {doing} {where}.
{who} is now {doing}.
"""
_ADVERBS = ("", "", "", "", " slowly", " happily", " with energy", " for a while")


def _entries(table: str) -> list[tuple[str, str]]:
    """(name, text) of each "name: text"; indented lines go on with the one before."""
    lines = re.sub(r"\n +", " ", table.strip()).splitlines()
    return [(name, text) for name, _, text in (line.partition(": ") for line in lines)]


@dataclass(frozen=True)
class Wording:
    """How a motion is said: what somebody does, and phrases for it, with a prop and without one."""

    definition: str
    phrases: tuple[str, ...]
    alone: tuple[str, ...]


def _wording(text: str) -> Wording:
    definition, _, phrases = text.partition(". ")
    with_prop, _, alone = phrases.partition("alone: ")
    return Wording(definition, tuple(with_prop.strip().split(" / ")), tuple(alone.split(" / ")))


_WORDING = {motion: _wording(text) for motion, text in _entries(_MOTIONS)}
_WHERE = {place: tuple(text.split(" / ")) for place, text in _entries(_PLACES)}
_PLURALS = {"ball": "balls", "bottle": "bottles", "hammer": "hammers"}  # of which juggling needs several

PLACES: tuple[str, ...] = tuple(_WHERE)


@dataclass(frozen=True)
class Action:
    """One class: `name` is what a label says, `motion`, `prop` and `place` are what is drawn."""

    name: str
    motion: str
    prop: str | None
    place: str
    seen: bool
    grounding: bool = False
    """True for the plain "carrying / holding / putting down X" actions that teach what a prop is called."""


def _with_article(noun: str) -> str:
    """`umbrella` -> `an umbrella`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _noun(motion: str, prop: str) -> str:
    return _PLURALS[prop] if motion == "juggling" else _with_article(prop)


def _action(motion: str, prop: str, place: str, seen: bool, grounding: bool = False) -> Action:
    wording = _WORDING[motion]
    if prop == "none":
        return Action(wording.alone[0], motion, None, place, seen, grounding)
    return Action(wording.phrases[0].format(prop=_noun(motion, prop)), motion, prop, place, seen, grounding)


def _all_actions() -> list[Action]:
    actions = []
    for motion, text in _entries(_SEEN):
        pairs = [pair.split(" ", 1) for pair in text.split(", ")]
        actions += [_action(motion, prop, place, seen=True) for prop, place in pairs]
    for number, prop in enumerate(_GROUNDED.split()):
        for step, motion in enumerate(("carrying", "holding", "putting down")):
            # over the places in turn, so that no prop belongs to one place
            place = PLACES[(3 * number + 4 * step + number // 10) % len(PLACES)]
            actions.append(_action(motion, prop, place, seen=True, grounding=True))
    for place, text in _entries(_UNSEEN):
        pairs = [pair.rsplit(" ", 1) for pair in text.split(", ")]
        actions += [_action(motion, prop, place, seen=False) for motion, prop in pairs]
    return actions


ACTIONS: tuple[Action, ...] = tuple(_all_actions())
BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}

HELD_OUT: tuple[str, ...] = tuple(_HELD_OUT.replace("\n", " ").strip().split(", "))
"""Seen actions to leave out of training and test on when settings are chosen: a zero-shot task of its own."""

HARD_GROUPS: dict[str, tuple[str, ...]] = {
    "guitar": ("swinging a guitar overhead", "lifting a guitar overhead", "running with a guitar"),
    "box": ("dragging a box", "kicking a box", "balancing a box on the head"),
    "bucket": ("drumming on a bucket", "throwing a bucket", "balancing a bucket on the head"),
    "overhead": ("lifting a guitar overhead", "lifting a hammer overhead", "swinging a hoop overhead"),
    "leaping": ("jumping with an umbrella", "jumping with a flag", "running with a drum"),
    "dancing": ("dancing with a flag", "dancing with a broom", "waving a broom"),
    "on the stage": ("swinging a guitar overhead", "spinning around with an umbrella", "kicking a drum"),
}
"""Unseen actions that look alike: by prop, by motion, or by place."""


def seen_actions() -> tuple[Action, ...]:
    """Actions that training videos show, in table order."""
    return tuple(action for action in ACTIONS if action.seen)


def unseen_actions() -> tuple[Action, ...]:
    """Actions that only test clips show, in table order."""
    return tuple(action for action in ACTIONS if not action.seen)


def _described(action: Action) -> str:
    """One sentence that says what an action is, with which objects, and where it is usually seen."""
    act, objects = _WORDING[action.motion].definition, ""
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
    article = _with_article(kind)
    style = int(rng.integers(5))
    if style <= 1:
        return article
    if style == 2:
        return f"{article} in {_with_article(person.shirt)} shirt"
    if style == 3:
        return f"{article} wearing {person.shirt}"
    return f"the {kind}"


def _thing(rng: np.random.Generator, prop: str, look: PropLook, plural: bool) -> str:
    noun = prop
    if rng.random() < 0.14 and prop in _SYNONYMS and not plural:
        noun = str(rng.choice(_SYNONYMS[prop]))
    if plural:
        noun = _PLURALS[prop]
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
    wording = _WORDING[action.motion]
    phrases = wording.alone if action.prop is None else wording.phrases
    doing = phrases[0] if rng.random() < 0.3 else str(rng.choice(phrases))
    if action.prop is not None and look is not None:
        doing = doing.format(prop=_thing(rng, action.prop, look, action.motion == "juggling"))
    doing += str(rng.choice(_ADVERBS))
    openings = _OPENINGS if first or rng.random() < 0.6 else _LATER
    where = str(rng.choice(_WHERE[place]))
    opening = str(rng.choice(openings.strip().splitlines()))
    sentence = opening.format(who=_someone(rng, person), doing=doing, where=where, Where=where[0].upper() + where[1:])
    return sentence[0].upper() + sentence[1:]
