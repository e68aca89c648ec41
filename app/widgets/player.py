"""A clip on the screen: as a film where browsers play it, else as its frames."""

from __future__ import annotations

import streamlit as st

from app.services import clips, scored
from app.widgets.words import plain, sentence
from cezsar.errors import CezsarError
from cezsar.zeroshot.scored import Scored


def film(clip: clips.ClipFile, caption: str | None = None, start_s: int = 0, alt: str = "") -> None:
    """The clip, looping without sound unless it is somebody's own.

    Args:
        caption: Markdown below it; the clip's name by default, nothing if "".
        start_s: second to play from.
        alt: in words what is shown, where one page plays a clip twice: Streamlit tells players apart by it.
    """
    name = alt or f"The clip {clip.name}"
    if clip.playable:
        shown, kind = clips.film(clip)
        own = isinstance(clip.source, bytes)
        st.video(shown, format=kind, start_time=start_s, loop=True, muted=not own, autoplay=not own, alt=name)
    else:
        st.image(clips.strip(clip.digest, clip)[0][1], width="stretch", alt=f"First frame of {clip.name}")
        st.caption("Browsers do not play this kind of video; it was read all the same.")
    if caption != "":
        st.caption(plain(clip.name) if caption is None else caption)


def film_of(item: Scored, clip_id: str, label: str = "", caption: str | None = None, alt: str = "") -> None:
    """The clip of a scored data set, or a word on why it cannot be shown."""
    try:
        clip = scored.clip(item, clip_id, label)
        if clip is None:
            st.caption(f"{plain(clip_id)}: its video file is not on this machine, so it cannot be played.")
        else:
            film(clip, caption, alt=alt)
    except CezsarError as error:
        st.caption(sentence(error))
