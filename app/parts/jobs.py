"""Long work on the screen: how far it is, what it said, and the buttons to cancel, resume or remove it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.parts import show
from app.parts.words import duration, plain
from cezsar import jobs

STATES = {
    "waiting": ":gray-badge[:material/hourglass_empty: waiting for its turn]",
    "running": ":blue-badge[:material/play_circle: running]",
    "done": ":green-badge[:material/check_circle: done]",
    "failed": ":red-badge[:material/error: failed]",
    "cancelled": ":orange-badge[:material/stop_circle: cancelled]",
    "interrupted": ":orange-badge[:material/power_off: interrupted]",
}
POLL_S = 1.0


def follow(shown: Sequence[jobs.Job], key: str) -> None:
    """A card for each job, fresh every second while one of them lives; the page runs again when one ends.

    `key` is of this list, different from that of any other on the page.
    """
    alive = frozenset(job.id for job in shown if job.alive)

    def cards() -> None:
        now = [job for job in (jobs.find(job.id) for job in shown) if job is not None]
        if len(now) < len(shown) or alive - {job.id for job in now if job.alive}:
            st.rerun()
        for job in now:
            card(job, f"{key}-{job.id}")

    st.fragment(cards, run_every=POLL_S if alive else None)()


def card(job: jobs.Job, key: str) -> None:
    with st.container(border=True, gap="small", key=key):
        st.markdown(f"**{plain(job.title)}** {STATES[job.state]}")
        if job.alive:
            step = f"step {job.step + 1} of {len(job.steps)}, " if len(job.steps) > 1 else ""
            stage = job.stage or job.steps[job.step].title
            left = f" · about {duration(job.left_s)} left" if job.left_s is not None else ""
            text = f"{job.share:.0%} · {step}{plain(stage)} · {duration(job.elapsed_s)} so far{left}"
            st.progress(min(1.0, job.share), text="In the queue" if job.state == "waiting" else text)
        elif job.state == "failed":
            lines = [line for line in job.log.splitlines() if line.strip()]
            show.error(plain(lines[-1].strip().removeprefix("cezsar: ") if lines else "It ended without a word."))
        else:
            st.caption(f"after {duration(job.elapsed_s)}")
        with st.container(horizontal=True):
            if job.alive:
                st.button(
                    "Cancel", f"{key}-cancel", "What is finished stays; it can be resumed.", icon=":material/stop:",
                    on_click=jobs.cancel, args=(job.id,),
                )  # fmt: skip
            elif job.state != "done":
                st.button(
                    "Resume", f"{key}-resume", "Goes on where it stopped.", icon=":material/play_arrow:",
                    on_click=_resume, args=(job.id,),
                )  # fmt: skip
            if not job.alive:
                forget_button(job, f"{key}-forget", "Only this entry; what it made stays.")
        with st.expander("Log"):
            st.code(job.log or "nothing yet", language=None, wrap_lines=True)


def forget_button(job: jobs.Job, key: str, about: str) -> None:
    st.button(
        "Remove from the list", key, about, icon=":material/close:", type="tertiary", on_click=jobs.forget,
        args=(job.id,),
    )  # fmt: skip


def _resume(job_id: str) -> None:
    jobs.resume(job_id)
