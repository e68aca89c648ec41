"""Long work on the screen: a button that starts it, how far it is, what it said, and how it is ended or resumed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

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


def offer(kind: str, label: str, title: str, step: jobs.Step, about: dict[str, Any], *, help: str = "",
          icon: str = ":material/play_arrow:", unasked: bool = False, **more: Any) -> None:  # fmt: skip
    """A button that starts the one job of this kind that is `about` this, or the job until it is done; a command where
    there are no jobs. If `unasked`, the first one starts by itself. `more` is what else `jobs.start` takes."""

    def latest() -> jobs.Job | None:
        return next((job for job in jobs.jobs(kind) if job.about == about), None)

    def start() -> None:
        if (job := latest()) is None or not job.alive:  # in another browser
            jobs.start(kind, title, [step], about=about, **more)

    key = f"{kind}-{'-'.join(about.values())}"
    if unasked and jobs.possible() and latest() is None:
        start()
    if (job := latest()) is not None and job.state != "done":  # done, and still offered: removed since
        follow([job], key)
    elif jobs.possible():
        st.button(label, f"{key}-start", help or None, icon=icon, on_click=start)
    else:
        st.code(shlex.join(["cezsar", *step.arguments]), language="bash")


def follow(shown: Sequence[jobs.Job], key: str) -> None:
    """A card for each job, fresh every second while one of them lives; the page runs again when one ends. `key` differs
    from that of any other list on the page."""
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
            left = f" · about {duration(job.left_s)} left" if job.left_s is not None else ""
            stage = plain(job.stage or job.steps[job.step].title)
            text = f"{job.share:.0%} · {stage} · {duration(job.elapsed_s)} so far{left}"
            st.progress(min(1.0, job.share), text="In the queue" if job.state == "waiting" else text)
        elif job.state == "failed":
            lines = [line for line in job.log.splitlines() if line.strip()]
            show.error(plain(lines[-1].strip().removeprefix("cezsar: ") if lines else "It ended without a word."))
        with st.container(horizontal=True):
            if job.alive:
                help = "What is finished stays; it can be resumed."
                st.button("Cancel", f"{key}-cancel", help, icon=":material/stop:", on_click=jobs.cancel, args=(job.id,))
            elif job.state != "done" and st.button("Resume", f"{key}-resume", icon=":material/play_arrow:"):
                jobs.resume(job.id)
                st.rerun()
            if not job.alive:
                look: dict[str, Any] = {"icon": ":material/close:", "type": "tertiary", "args": (job.id,)}
                help = "Only this entry; what it made stays."
                st.button("Remove from the list", f"{key}-forget", help, on_click=jobs.forget, **look)
        with st.expander("Log"):
            st.code(job.log or "nothing yet", language=None, wrap_lines=True)
