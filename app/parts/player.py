"""A clip on the screen, as a film where browsers play it, else as its frames; and many as a grid of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from app import state
from app.parts import clips, scored
from app.parts.choosers import one_of
from app.parts.words import plain, sentence
from cezsar.errors import CezsarError
from cezsar.zeroshot.scored import Scored

MOST = 12  # clips in a grid
Grid = st.delta_generator.DeltaGenerator


def film(clip: clips.ClipFile, caption: str | None = None, start_s: int = 0, alt: str = "", play: bool = False,
         subtitles: str | None = None) -> None:  # fmt: skip
    """The clip from a second on, looping, without sound unless it is somebody's own. `caption` is Markdown below it, by
    default the clip's name; `alt` tells two players of one clip apart; `play` at once, also if it is somebody's own;
    `subtitles` are WebVTT."""
    if clip.playable:
        shown, kind = clips.film(clip)
        own = isinstance(clip.source, bytes)
        st.video(
            shown, kind, start_s, subtitles=None if subtitles is None else {"Actions": subtitles}, loop=True,
            muted=not own, autoplay=play or not own, alt=alt or f"The clip {clip.name}",
        )  # fmt: skip
    else:
        frames = clips.strip(clip)
        shown_s = min(start_s, len(frames) - 1)
        st.image(frames[shown_s][1], width="stretch", alt=f"Second {shown_s} of {clip.name}")
        st.caption("Browsers do not play this kind of video; it was read all the same.")
    if caption != "":
        st.caption(plain(clip.name) if caption is None else caption)


def second_asked(clip: clips.ClipFile, seconds: int, *charts: str) -> int | None:
    """The second of a clip, `seconds` long, that was clicked last in the figures of these keys; None if none was."""
    played = f"played {clip.digest[:16]}"
    for key in charts:
        selected = st.session_state.get(key)
        points = [point.get("customdata") for point in (selected["selection"]["points"] if selected else [])]
        found = [point[0] if isinstance(point, list) else point for point in points]
        now = next((second for second in found if isinstance(second, int) and 0 <= second < seconds), None)
        if now != st.session_state.get(f"{key} before"):
            st.session_state[f"{key} before"] = now
            if now is not None:
                st.session_state[played] = now
    second: int | None = st.session_state.get(played)
    return second


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


class Poster(NamedTuple):
    id: str
    label: str
    words: str  # under its picture
    alt: str  # instead of it, to those who do not see it


def cards(grid: Grid, item: Scored, found: Sequence[Poster], chosen: str, key: str) -> None:
    """The first `MOST` clips, the `chosen` id framed, in a container with the key "cards" or "selected"; a click puts
    the clip's id under `key`."""
    for index, card in enumerate(found[:MOST]):
        picture = poster(item, card)
        with grid.container(key=f"card-{'chosen' if card.id == chosen else 'other'}-{key}-{index}"):
            if picture:
                st.image(picture, width="stretch", alt=card.alt)
            else:
                st.caption(f"{plain(card.id)}: no video file here")
            state.setter(card.words, f"pick-{key}-{index}", key, card.id, type="tertiary")


def gallery(item: Scored, found: Sequence[Poster], key: str, alt: str = "", help: str = "") -> tuple[str, Grid]:
    """Clips as pictures and all of them in a list, the chosen one played beside: its id, and the place below it."""
    pictures, screen = st.columns(2, gap="large")
    with pictures:
        grid, there = st.container(key="cards"), {card.id: card for card in found}
        chosen = one_of(f"Clip, of {len(there):,}", list(there), key, help=help or None, persist_state="session")
    cards(grid, item, found, chosen, key)
    with screen:
        film_of(item, chosen, there[chosen].label, caption="", alt=alt)
    return chosen, screen


def poster(item: Scored, card: Poster) -> bytes | None:
    """Its picture, where its video is here and can be read."""
    try:
        clip = scored.clip(item, card.id, card.label)
        return None if clip is None else clips.poster(clip)
    except CezsarError:
        return None  # the player beside says what is wrong with it
