"""The table of actions: who does what, with which prop, and where it usually happens.

An action is a body motion, a prop or none, and a usual place. Unseen actions are new combinations: every unseen
(motion, prop) pair is absent from training, while its motion, its prop and its place each occur there in several
other combinations. Three unseen actions share each place and two or three each prop, so that neither objects nor
scenery alone can name the action. `tests/world` proves these rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from cezsar.world.props import PROPS

PLACES: tuple[str, ...] = (
    "stage",
    "street",
    "park",
    "beach",
    "kitchen",
    "gym",
    "snow field",
    "garden",
    "forest",
    "workshop",
)

OBJECTS: dict[str, str] = {name: prop.definition for name, prop in PROPS.items()}

# motion -> (action name with a prop, action name without one)
MOTION_NAMES: dict[str, tuple[str, str]] = {
    "swinging overhead": ("swinging {prop} overhead", ""),
    "throwing": ("throwing {prop}", ""),
    "kicking": ("kicking {prop}", ""),
    "lifting overhead": ("lifting {prop} overhead", ""),
    "juggling": ("juggling {prop}", ""),
    "waving": ("waving {prop}", "waving a hand"),
    "pushing": ("pushing {prop}", ""),
    "dragging": ("dragging {prop}", ""),
    "digging": ("digging with {prop}", ""),
    "sweeping": ("sweeping with {prop}", ""),
    "drumming": ("drumming on {prop}", ""),
    "hammering": ("hammering with {prop}", ""),
    "rowing": ("rowing with {prop}", ""),
    "jumping": ("jumping with {prop}", "jumping"),
    "running": ("running with {prop}", "running"),
    "spinning": ("spinning around with {prop}", "spinning around"),
    "squatting": ("squatting with {prop}", "squatting"),
    "dancing": ("dancing with {prop}", "dancing"),
    "balancing": ("balancing {prop} on the head", ""),
    "drinking": ("drinking from {prop}", ""),
    "bouncing": ("bouncing {prop}", ""),
    "climbing": ("climbing {prop}", ""),
    "strumming": ("strumming {prop}", ""),
    "reading": ("reading {prop}", ""),
    "sitting": ("sitting on {prop}", ""),
    "punching": ("", "punching the air"),
    "crawling": ("", "crawling"),
    "push-ups": ("", "doing push-ups"),
    "carrying": ("carrying {prop}", ""),
    "holding": ("holding {prop}", ""),
    "putting down": ("putting down {prop}", ""),
}

# What a prop is called after a motion that needs several of them.
PLURALS = {"ball": "balls", "bottle": "bottles", "hammer": "hammers"}


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


def with_article(noun: str) -> str:
    """`umbrella` -> `an umbrella`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def action_name(motion: str, prop: str | None) -> str:
    """The name of a motion done with a prop, or without one (`prop=None`)."""
    template, alone = MOTION_NAMES[motion]
    if prop is None:
        return alone
    return template.format(prop=PLURALS[prop] if motion == "juggling" else with_article(prop))


_UNSEEN = """
swinging overhead | guitar   | stage
spinning          | umbrella | stage
kicking           | drum     | stage
running           | guitar   | street
drumming          | bucket   | street
balancing         | box      | street
throwing          | hammer   | park
jumping           | umbrella | park
running           | drum     | park
dancing           | flag     | beach
throwing          | bucket   | beach
lifting overhead  | guitar   | beach
dancing           | broom    | kitchen
kicking           | box      | kitchen
balancing         | bucket   | kitchen
lifting overhead  | hammer   | gym
jumping           | flag     | gym
spinning          | hoop     | gym
dragging          | box      | snow field
waving            | broom    | snow field
swinging overhead | hoop     | snow field
"""

_SEEN = """
swinging overhead | rope     | park
swinging overhead | flag     | stage
swinging overhead | racket   | gym
swinging overhead | bucket   | garden
throwing          | ball     | park
throwing          | bottle   | forest
throwing          | hoop     | beach
throwing          | box      | workshop
kicking           | ball     | street
kicking           | bucket   | garden
kicking           | bottle   | snow field
kicking           | hoop     | forest
lifting overhead  | barbell  | gym
lifting overhead  | box      | workshop
lifting overhead  | drum     | stage
lifting overhead  | chair    | kitchen
waving            | flag     | street
waving            | umbrella | beach
waving            | hammer   | snow field
waving            | none     | street
spinning          | drum     | stage
spinning          | flag     | park
spinning          | broom    | garden
spinning          | none     | stage
running           | flag     | snow field
running           | ball     | park
running           | umbrella | street
running           | bucket   | forest
jumping           | guitar   | stage
jumping           | hoop     | garden
jumping           | ball     | gym
jumping           | none     | gym
dancing           | umbrella | street
dancing           | guitar   | beach
dancing           | hoop     | gym
dancing           | none     | kitchen
balancing         | book     | kitchen
balancing         | ball     | street
balancing         | drum     | stage
dragging          | barbell  | gym
dragging          | chair    | kitchen
dragging          | bucket   | beach
dragging          | hoop     | snow field
drumming          | drum     | stage
drumming          | box      | street
drumming          | chair    | kitchen
pushing           | box      | workshop
pushing           | drum     | street
juggling          | ball     | beach
juggling          | bottle   | kitchen
juggling          | hammer   | stage
digging           | shovel   | garden
sweeping          | broom    | street
hammering         | hammer   | workshop
rowing            | paddle   | beach
squatting         | barbell  | gym
drinking          | bottle   | forest
bouncing          | ball     | gym
climbing          | rope     | forest
strumming         | guitar   | park
reading           | book     | park
sitting           | chair    | garden
punching          | none     | gym
crawling          | none     | snow field
push-ups          | none     | gym
"""

_GROUNDED = [
    "guitar",
    "umbrella",
    "drum",
    "box",
    "bucket",
    "hammer",
    "flag",
    "broom",
    "hoop",
    "ball",
    "bottle",
    "book",
    "chair",
    "rope",
    "barbell",
    "racket",
    "shovel",
]


def _rows(table: str) -> list[tuple[str, str | None, str]]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [(motion, None if prop == "none" else prop, place) for motion, prop, place in cells]


def _grounding() -> list[Action]:
    """Plain handling of each prop, over the places in turn so that no prop belongs to one place."""
    actions = []
    for number, prop in enumerate(_GROUNDED):
        for step, motion in enumerate(("carrying", "holding", "putting down")):
            place = PLACES[(3 * number + 4 * step + number // 10) % len(PLACES)]
            actions.append(Action(action_name(motion, prop), motion, prop, place, seen=True, grounding=True))
    return actions


ACTIONS: tuple[Action, ...] = (
    *(Action(action_name(motion, prop), motion, prop, place, seen=True) for motion, prop, place in _rows(_SEEN)),
    *_grounding(),
    *(Action(action_name(motion, prop), motion, prop, place, seen=False) for motion, prop, place in _rows(_UNSEEN)),
)

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}

HELD_OUT: tuple[str, ...] = (
    "swinging a flag overhead",
    "spinning around with a flag",
    "running with a flag",
    "throwing a box",
    "lifting a box overhead",
    "kicking a bucket",
    "running with a bucket",
    "dragging a bucket",
    "jumping with a guitar",
    "dancing with a guitar",
    "spinning around with a drum",
    "balancing a drum on the head",
    "waving an umbrella",
    "dancing with an umbrella",
    "jumping with a hoop",
    "dragging a hoop",
)
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
