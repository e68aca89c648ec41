"""The demo prepared from scratch, `cezsar demo` as the one job of its kind: what it is, the button, its progress."""

from __future__ import annotations

import streamlit as st

from app.parts import clips, jobs
from cezsar import workspace, world
from cezsar.jobs import Step

PREVIEW = ("dancing with a flag", "kicking a drum", "swinging a guitar overhead", "balancing a box on the head")
STAGES: dict[str, float] = {  # of `cezsar demo`, in order: seconds on two cores, which are shares of the bar
    "drawing videos": 24, "features of training videos": 50, "object recogniser": 2, "features of test clips": 9,
    "hard negatives": 6, "training": 8, "training on colour alone": 6, "evaluation": 1,
    "when none of the labels fits": 1,
}  # fmt: skip


def prepare_demo(title: str = "The stick-figure world, from scratch") -> None:
    """What the demo is, the one button that prepares it, and its progress once pressed."""
    with st.container(border=True, gap="medium", width=1000):
        st.subheader(title)
        st.markdown(
            "The demo draws a small world of stick-figure people, trains a model on some of their actions and tests it "
            "on others that it never saw: three minutes on two cores, no downloads. It can be stopped and resumed."
        )
        with st.container(key="pictures"):
            for plan in world.plan_clips(world.SEED, [world.BY_NAME[name] for name in PREVIEW], 1):
                st.image(clips.poster(clips.drawn(plan), 480), width="stretch", alt=f"A stick figure {plan.label}")
        step = Step("the demo", ["demo", "--workspace", str(workspace.home().resolve())], STAGES)
        jobs.offer("demo", "Prepare the demo", "The demo", step, {}, only_one=True)
