"""Examples of a class, in the workshop: clips of the data set that stand for it, and films or pictures of one's own."""

from __future__ import annotations

import streamlit as st

from app import state
from app.parts import clips, player, show
from app.parts.choosers import forget_others, share
from app.parts.models import Model
from app.parts.reading import read, try_again
from app.parts.words import plain
from cezsar.data.labels import canonical
from cezsar.zeroshot.examples import Example
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores

POSTER_PX = 92
_FILMS = "films of the workshop"  # in the session, as those of the page Classify


def ask(item: Scored, scores: Scores, name: str, reads: Model | None) -> tuple[list[str | Example], float | None]:
    """What shows a class beside its sentences, and λ; clips of the data set by their ids. `reads`: the run that scored
    it, where it can read films here."""
    opened, icon = "show-by-examples", ":material/add_photo_alternate:"
    st.session_state.setdefault(opened, state.EXAMPLES in st.query_params)
    with st.expander("Show it by examples", key=opened, icon=icon, on_change="rerun"):
        st.caption("Clips that stand for the class beside its sentences. They are not tested, and it is not zero-shot.")
        found: list[str | Example] = list(_clips(item, scores, name))
        if reads is not None:
            found += _films(reads, f"{item.name} {name}", name)
        return found, share(name, len(found), key=state.SHARE, persist_state="session") if found else None


def _clips(item: Scored, scores: Scores, name: str) -> list[str]:
    """Clips of the class, or of a new one that no label names those of no class."""
    spelt = {label for label in set(scores.labels) if canonical(label) == canonical(name)}
    named = [clip for clip, label in zip(scores.ids, scores.labels, strict=True) if label in spelt]
    options = named or [clip for clip, own in zip(scores.ids, scores.label_index, strict=True) if own < 0]
    forget_others(state.EXAMPLES, options)
    if not options:
        return []
    chosen = st.multiselect(
        "Clips of the data set", options, key=state.EXAMPLES,
        placeholder=f"{len(options):,} of {'this' if named else 'no'} class", **state.KEPT,
    )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        for clip in chosen[: player.MOST]:
            if picture := player.poster(item, player.Poster(clip, name, "", "")):
                st.image(picture, width=POSTER_PX, alt=f"An example of {name}: {clip}")
    return list(chosen)


def _films(reads: Model, key: str, name: str) -> list[Example]:
    """Films and pictures of one's own, as the run that scored the data set embeds them."""
    from cezsar.zeroshot.classifier import example_of

    files = st.file_uploader(
        f"Films or pictures of {plain(name)}", accept_multiple_files=True, key=f"examples of {key}",
        help="They are read by the run that scored the clips, stay on the machine that runs this app, and go when you "
        "do.",
    )  # fmt: skip
    films, found = {film.digest: film for film in clips.uploaded(files, _FILMS)}, []
    for film in films.values():
        with show.explained(), st.spinner(f"Reading {plain(film.name)}"):
            found.append(example_of(read(reads, film), film.name, film.digest))
    if len(found) < len(films):
        st.button("Try again", icon=":material/refresh:", key="try-examples-again", on_click=try_again)
    return found
