"""The demo prepared from scratch, `cezsar demo` as the one job of its kind: what it is, the button, its progress."""

from __future__ import annotations

import streamlit as st

from app.parts import clips, show, words
from cezsar import jobs, workspace, world
from cezsar.jobs import Job, Step

PREVIEW = ("dancing with a flag", "kicking a drum", "swinging a guitar overhead", "balancing a box on the head")
STAGES: dict[str, float] = {  # of `cezsar demo`, in order: seconds on two cores, which are shares of the bar
    "drawing videos": 24, "features of training videos": 50, "object recogniser": 2, "features of test clips": 9,
    "hard negatives": 6, "training": 8, "training on colour alone": 6, "evaluation": 1,
    "when none of the labels fits": 1,
}  # fmt: skip
DONE, NOW = ":green[:material/check_circle:] {}", ":blue[:material/play_circle:] **{}**"
LATER = ":gray[:material/radio_button_unchecked:] {}"


def current() -> Job | None:
    """The latest attempt, alive or ended, found again after a reload or a restart; None if there never was one."""
    return next(iter(jobs.jobs("demo")), None)


def start() -> None:
    """Start `cezsar demo`, unless it is running. It goes on where an earlier one stopped, since the command does."""
    home = str(workspace.home().resolve())
    jobs.start("demo", "The demo", [Step("the demo", ["demo", "--workspace", home], STAGES)], only_one=True)


def stop() -> None:
    """End the job; what it has finished stays, and the next one goes on from there."""
    job = current()
    if job is not None and job.alive:
        jobs.cancel(job.id)


def prepare_demo(title: str = "The stick-figure world, from scratch") -> None:
    """The empty state: what the demo is, the one button that prepares it, and its progress once pressed."""
    job = current()
    with st.container(border=True, gap="medium", width=1000):
        if job is not None and job.alive:
            _progress()
            return
        st.subheader(title)
        st.markdown(
            "The demo draws a small world of stick-figure people, trains a model on some of their actions and tests it "
            "on others that it never saw: three minutes on two cores, no downloads. It can be stopped and resumed."
        )
        _pictures()
        failed = job if job is not None and job.state != "done" else None  # done, and removed since
        if failed:
            show.error("The last attempt ended early. Trying again goes on from where it was.")
            with st.expander("What it said last", expanded=True):
                st.code(failed.log or "nothing", language=None, wrap_lines=True)
        if jobs.possible():
            label = "Try again" if failed else "Prepare the demo"
            st.button(label, type="primary", icon=":material/play_arrow:", on_click=start)
        else:
            st.markdown("On this system it is started in a terminal:")
            st.code("cezsar demo", language="bash")


@st.fragment(run_every=1.0)
def _progress() -> None:
    job = current()
    if job is None or not job.alive:
        st.rerun()
        return
    st.subheader("Preparing the demo")
    left = f"about {words.duration(job.left_s)} left" if job.left_s is not None else "estimating the time left"
    so_far = f"{job.share:.0%} · {words.duration(job.elapsed_s)} so far · {left}"
    st.progress(job.share, text="waiting for other work to end" if job.state == "waiting" else so_far)
    names = list(STAGES)
    at = names.index(job.stage) if job.stage else 0
    lines = [(DONE if i < at else NOW if i == at else LATER).format(name.capitalize()) for i, name in enumerate(names)]
    stages, pictures = st.columns([1, 2], gap="large", vertical_alignment="center")
    stages.markdown("  \n".join(lines))
    with pictures:
        _pictures()
    st.caption("This goes on if you close the page; come back any time.")
    st.button("Stop", icon=":material/stop:", on_click=stop, help="What is finished stays.")


def _pictures() -> None:
    with st.container(key="pictures"):
        for plan in world.plan_clips(world.SEED, [world.BY_NAME[name] for name in PREVIEW], 1):
            st.image(clips.poster(clips.drawn(plan), 480), width="stretch", alt=f"A stick figure {plan.label}")
