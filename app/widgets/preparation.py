"""The demo prepared from scratch: what it is, the button, and its progress."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import preparation
from app.services import clips
from app.widgets import words

PREVIEW = ("dancing with a flag", "kicking a drum", "swinging a guitar overhead", "balancing a box on the head")


def prepare_demo(title: str = "The stick-figure world, from scratch") -> None:
    """The empty state: what the demo is, the one button that prepares it, and its progress once pressed."""
    job = preparation.current()
    with st.container(border=True, gap="medium", width=1000):
        if job is not None and job.alive:
            _progress()
            return
        st.subheader(title)
        st.markdown(
            "The demo draws a small world of stick-figure people, trains a model on some of their actions and tests it "
            "on others that it never saw. It takes about three minutes on two cores, downloads nothing, and can be "
            "stopped and resumed."
        )
        _pictures(clips.preview(PREVIEW, 480), PREVIEW)
        failed = job if job is not None and job.state != "done" else None  # done, and removed since
        if failed:
            st.error("The last attempt ended early. Trying again goes on from where it was.", icon=":material/error:")
            with st.expander("What it said last", expanded=True):
                st.code(failed.log or "nothing", language=None, wrap_lines=True)
        if preparation.possible():
            label = "Try again" if failed else "Prepare the demo"
            st.button(label, type="primary", icon=":material/play_arrow:", on_click=preparation.start)
        else:
            st.markdown("On this system it is started in a terminal:")
            st.code("cezsar demo", language="bash")


@st.fragment(run_every=1.0)
def _progress() -> None:
    job = preparation.current()
    if job is None or not job.alive:
        st.rerun()
        return
    st.subheader("Preparing the demo")
    left = f"about {words.duration(job.left_s)} left" if job.left_s is not None else "estimating the time left"
    so_far = f"{job.share:.0%} · {words.duration(job.elapsed_s)} so far · {left}"
    st.progress(job.share, text="waiting for other work to end" if job.state == "waiting" else so_far)
    names = list(preparation.STAGES)
    at = names.index(job.stage) if job.stage else 0
    marks = [
        ":green[:material/check_circle:]",
        ":blue[:material/play_circle:]",
        ":gray[:material/radio_button_unchecked:]",
    ]
    lines = []
    for index, name in enumerate(names):
        mark = marks[0 if index < at else 1 if index == at else 2]
        text = name[0].upper() + name[1:]
        lines.append(f"{mark} **{text}**" if index == at else f"{mark} {text}")
    stages, pictures = st.columns([1, 2], gap="large", vertical_alignment="center")
    stages.markdown("  \n".join(lines))
    with pictures:
        _pictures(clips.preview(PREVIEW, 480), PREVIEW)
    st.caption("This goes on if you close the page; come back any time.")
    st.button("Stop", icon=":material/stop:", on_click=preparation.stop, help="What is finished stays.")


def _pictures(pictures: Sequence[bytes], names: Sequence[str]) -> None:
    with st.container(key="pictures"):
        for picture, name in zip(pictures, names, strict=True):
            st.image(picture, width="stretch", alt=f"A stick figure {name}")
