"""The stick-figure world: a small drawn data set of people doing things with props in places, from one seed. `build`
writes it to disk; `plan_training`, `plan_clips` and `render` give any of its videos on demand. Numbers reached on it
say that the software works, not how well it would do on real video."""

from cezsar.world.actions import (
    ACTIONS,
    BY_NAME,
    DESCRIPTIONS,
    HARD_GROUPS,
    HELD_OUT,
    OBJECTS,
    PLACES,
    Action,
    seen_actions,
    unseen_actions,
)
from cezsar.world.plans import FPS, SEED, SegmentPlan, VideoPlan, annotations, plan_clips, plan_of, plan_training
from cezsar.world.videos import HEIGHT_PX, WIDTH_PX, World, WorldSettings, build, render, video_path, write_video

__all__ = [
    "ACTIONS", "BY_NAME", "DESCRIPTIONS", "FPS", "HARD_GROUPS", "HEIGHT_PX", "HELD_OUT", "OBJECTS", "PLACES", "SEED",
    "WIDTH_PX", "Action", "SegmentPlan", "VideoPlan", "World", "WorldSettings", "annotations", "build",
    "plan_clips", "plan_of", "plan_training", "render", "seen_actions", "unseen_actions", "video_path", "write_video",
]  # fmt: skip
