"""Clips as a grid of pictures, each of them one button."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import state
from app.services import clips, scored
from app.widgets.words import plain
from cezsar.errors import CezsarError
from cezsar.zeroshot.scored import Scored

MOST = 12


@dataclass(frozen=True)
class Poster:
    """A clip in the grid: what is said under its picture, and instead of it to those who do not see it."""

    id: str
    label: str
    words: str
    alt: str


def cards(
    grid: st.delta_generator.DeltaGenerator, item: Scored, found: Sequence[Poster], chosen: str, key: str
) -> None:
    """The first `MOST` clips; a click puts the clip's id under `key`.

    Args:
        grid: a container with the key "cards" or "selected".
        chosen: id of the clip that is framed.
    """
    found = found[:MOST]
    with st.spinner("Reading clips", show_time=False):
        pictures = [_poster(item, card) for card in found]
    for index, (card, picture) in enumerate(zip(found, pictures, strict=True)):
        with grid.container(key=f"card-{'chosen' if card.id == chosen else 'other'}-{key}-{index}"):
            if picture:
                st.image(picture, width="stretch", alt=card.alt)
            else:
                st.caption(f"{plain(card.id)}: no video file here")
            st.button(
                card.words, key=f"pick-{key}-{index}", type="tertiary", on_click=state.put, args=(key, card.id)
            )  # fmt: skip


def _poster(item: Scored, card: Poster) -> bytes | None:
    try:
        clip = scored.clip(item, card.id, card.label)
        return None if clip is None else clips.poster(clip.digest, clip)
    except CezsarError:
        return None  # the player beside says what is wrong with it
