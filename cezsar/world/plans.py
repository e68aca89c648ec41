"""Plans of training videos and of test clips, from a seed: all that a video depends on, so that any can be rendered."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cezsar.errors import InputError
from cezsar.world.actions import BY_NAME, PLACES, Action, caption, seen_actions
from cezsar.world.people import Person, draw_person
from cezsar.world.props import PropLook, draw_prop_look

SEED = 7  # of the world that is shown and reported; other seeds served to choose the demo's settings
FPS = 8
SEGMENT_S, GAP_S, CLIP_S = (3.75, 5.25), (0.25, 0.5), (4.0, 5.0)
USUAL_PLACE_SHARE = 0.5  # of training segments: shown at the action's usual place; the others get a random one
_CLIP_ID = re.compile(r"w(?P<seed>\d{1,18})-(?P<slug>[a-z_]+)-(?P<number>\d{3})", re.ASCII)


@dataclass(frozen=True)
class SegmentPlan:
    """One action in a video; times are seconds from the start of the video."""

    start_s: float
    end_s: float
    action: str
    motion: str
    prop: str | None
    place: str
    sentence: str


@dataclass(frozen=True)
class VideoPlan:
    """One video: `label` is the class of a trimmed clip and "" for an untrimmed video."""

    id: str
    label: str
    duration_s: float
    seed: int
    segments: tuple[SegmentPlan, ...]

    @property
    def frame_count(self) -> int:
        """Frames at `FPS`."""
        return round(self.duration_s * FPS)


def person_of(seed: int) -> Person:
    """Who acts in the video with this plan seed."""
    return draw_person(np.random.default_rng([seed, 0]))


def prop_look_of(seed: int, segment: int, prop: str | None) -> PropLook | None:
    """What the prop of the given segment looks like."""
    return None if prop is None else draw_prop_look(np.random.default_rng([seed, 1, segment]), prop)


def _seconds(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A random length that is a whole number of frames."""
    return round(float(rng.uniform(*bounds)) * FPS) / FPS


def _deck(rng: np.random.Generator, actions: Sequence[Action]) -> Iterator[Action]:
    """Actions without end, every one once before any comes again."""
    while True:
        for index in rng.permutation(len(actions)):
            yield actions[int(index)]


def plan_training(
    seed: int, *, videos: int = 300, segments_per_video: int = 7, exclude: Collection[str] = ()
) -> list[VideoPlan]:
    """Untrimmed, captioned videos of the seen actions but those to `exclude`, such as `HELD_OUT`, in order of id.
    Raises `InputError` for other names, and where nothing is left to show."""
    actions = [action for action in seen_actions() if action.name not in exclude]
    if unknown := sorted(set(exclude) - {action.name for action in seen_actions()}):
        raise InputError(f"cannot exclude {', '.join(unknown)}: not a seen action of the stick-figure world")
    if videos < 1 or segments_per_video < 1 or not actions:
        raise InputError("a training set needs at least one video, one segment and one action; ask for more")
    rng = np.random.default_rng([seed, 10])
    deck = _deck(rng, actions)
    plans = []
    for number in range(videos):
        own = int(rng.integers(2**62))
        person = person_of(own)
        segments, clock = [], _seconds(rng, GAP_S)
        for index in range(segments_per_video):
            action = next(deck)
            place = action.place if rng.random() < USUAL_PLACE_SHARE else str(rng.choice(PLACES))
            look = prop_look_of(own, index, action.prop)
            sentence = caption(rng, action, place, person, look, first=index == 0)
            end = clock + _seconds(rng, SEGMENT_S)
            segments.append(SegmentPlan(clock, end, action.name, action.motion, action.prop, place, sentence))
            clock = end + _seconds(rng, GAP_S)
        plans.append(VideoPlan(f"w{seed}-train-{number:04d}", "", clock, own, tuple(segments)))
    return plans


def plan_clips(seed: int, actions: Iterable[Action], clips_per_class: int = 20) -> list[VideoPlan]:
    """Trimmed clips at the usual place of each action, `clips_per_class` of each, in order of id."""
    plans = []
    for action in actions:
        rng = np.random.default_rng([seed, 20, *action.name.encode()])
        slug = action.name.replace(" ", "_")
        for number in range(clips_per_class):
            own = int(rng.integers(2**62))
            duration = _seconds(rng, CLIP_S)
            look = prop_look_of(own, 0, action.prop)
            sentence = caption(rng, action, action.place, person_of(own), look)
            segment = SegmentPlan(0.0, duration, action.name, action.motion, action.prop, action.place, sentence)
            plans.append(VideoPlan(f"w{seed}-{slug}-{number:03d}", action.name, duration, own, (segment,)))
    return plans


def plan_of(clip_id: str) -> VideoPlan | None:
    """The plan of a test clip, from its id alone; None if it is no id of this world."""
    match, action = _CLIP_ID.fullmatch(clip_id), action_of(clip_id)
    if match is None or action is None:
        return None
    return plan_clips(int(match["seed"]), [action], int(match["number"]) + 1)[-1]


def action_of(clip_id: str) -> Action | None:
    """What a test clip shows, from its id alone; None if it is no id of this world."""
    match = _CLIP_ID.fullmatch(clip_id)
    return BY_NAME.get(match["slug"].replace("_", " ")) if match else None


def annotations(plans: Iterable[VideoPlan]) -> dict[str, dict[str, Any]]:
    """The segments in ActivityNet Captions form: {id: {duration, timestamps, sentences}}."""
    found = {}
    for plan in plans:
        times = [[segment.start_s, segment.end_s] for segment in plan.segments]
        sentences = [segment.sentence for segment in plan.segments]
        found[plan.id] = {"duration": plan.duration_s, "timestamps": times, "sentences": sentences}
    return found
