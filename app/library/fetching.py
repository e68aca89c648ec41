"""An encoder's weights fetched by one click: how much, how far, and what to do where there is no network."""

from __future__ import annotations

import streamlit as st

from app.parts import jobs as cards
from cezsar import encoders, jobs

KIND = "fetch"


def offer(name: str, key: str, primary: bool = False) -> None:
    """A button that fetches an encoder, or how far its fetching is. Nothing if it is on this machine.

    Args:
        key: of this place on the page.
    """
    if encoders.present(name):
        return
    entry = encoders.card(name)
    job = latest(name)
    if job is not None and job.state != "done":  # done and absent: removed since
        cards.follow([job], key)
    elif jobs.possible():
        st.button(
            f"Fetch {short(name)} ({entry.size})",
            key=f"{key}-start",
            icon=":material/download:",
            type="primary" if primary else "secondary",
            on_click=start,
            args=(name,),
            help=f"Downloads {entry.repository} into models/ of the workspace, once. It can be stopped and goes on "
            "where it was; without a network it says where to put the files by hand.",
        )
    else:
        st.code(f"cezsar fetch {name}", language="bash")


def latest(name: str) -> jobs.Job | None:
    """The latest attempt to fetch an encoder, or another one of the same weights, alive or ended."""
    wanted = encoders.card(name).repository
    tried = ((job, str(job.about.get("encoder", ""))) for job in jobs.jobs(KIND))
    return next((job for job, other in tried if other and encoders.card(other).repository == wanted), None)


def start(name: str) -> None:
    """Begin to fetch an encoder, unless that is under way."""
    job = latest(name)
    if job is None or not job.alive:
        step = jobs.Step("fetching", ["fetch", name])
        title = f"Fetching {short(name)} ({encoders.card(name).size})"
        jobs.start(KIND, title, [step], about={"encoder": name}, at_once=True)


def short(name: str) -> str:
    """clip:clip-ViT-B-32 -> clip-ViT-B-32."""
    return name.rpartition(":")[2]
