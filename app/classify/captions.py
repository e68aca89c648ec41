"""The caption of a film, C(v), which γ weighs: written by a captioner where one is here, or by hand."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import cached_property, partial

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import cache, state
from app.classify.answers import Answer
from app.parts import clips
from app.parts.clips import ClipFile
from app.parts.words import plain, sentence
from cezsar import encoders, world
from cezsar.encoders.captioners import EVERY_S, Captioner
from cezsar.errors import InputError
from cezsar.video import Sampling

MOST_PICTURES = 12  # of a film that is longer than as many times EVERY_S, spread evenly
MOST_CHARACTERS = 2000
AHEAD_S, POLL_S = 1.0, 1.0  # the answer is shown first; then whether the caption is there is looked at so often
NAMED = 3  # objects, as O has them by the paper's rule
LEAST_PX = 68  # of an empty box: two lines


class Writer:
    """A captioner, loaded when first asked, that writes of one film at a time while pages go on."""

    def __init__(self, name: str) -> None:
        self.name, self._lock = name, threading.Lock()

    def begin(self, clip: ClipFile) -> Future[str]:
        """The caption of a film, to be written."""
        written: Future[str] = Future()
        context = get_script_run_ctx()
        thread = threading.Timer(AHEAD_S, self._write, (clip, written, context.session_id if context else ""))
        thread.daemon = True
        thread.start()
        return written

    @cached_property
    def _captioner(self) -> Captioner:
        from cezsar.encoders.captioners import load_captioner

        return load_captioner(self.name)

    def _write(self, clip: ClipFile, written: Future[str], session: str) -> None:
        try:
            with self._lock:
                if clip.kept is not None and runtime.exists() and not runtime.get_instance().is_active_session(session):
                    raise InputError("its page was closed before its turn came; drop the film again")
                captioner = self._captioner
                with clips.opened(clip) as (path, decoder):
                    every_s = max(EVERY_S, (decoder.probe(path).duration_s or 0) / MOST_PICTURES)
                    long = every_s > EVERY_S
                    sampling = Sampling(fps=2 / every_s, keys_s=every_s / 2 if long else None)
                    said = captioner.captions(decoder.frames(path, sampling))
            written.set_result(captioner.joined(said))
        except Exception as error:  # told where the caption would be
            written.set_exception(error)


def text(clip: ClipFile) -> str:
    """The caption that counts for a clip: what its box holds, and, until somebody typed, what was written of it."""
    key = _key(clip)
    written: Future[str] | None = st.session_state.get(f"{key} begun")
    untouched = not st.session_state.get(key) and f"{key} written" not in st.session_state
    if written and untouched and written.done() and not written.exception():
        st.session_state[key] = st.session_state[f"{key} written"] = written.result()[:MOST_CHARACTERS]
    return str(st.session_state.get(key, ""))


def box(given: Answer) -> None:
    """The caption of a film, to be changed by hand, and where it comes from."""
    clip, key = given.clip, _key(given.clip)
    typed = st.text_area(
        "A caption of this clip (optional)", key=key, persist_state="session", max_chars=MOST_CHARACTERS,
        height="content" if st.session_state.get(key) else LEAST_PX,
        placeholder="a man in a red coat strikes something round",
        help="C of Eq. 9: sentences that say what is seen; they join the ranking with the weight γ.",
    )  # fmt: skip
    name = None if isinstance(clip.source, world.VideoPlan) else encoders.for_captions()
    if name is None:
        _objects_names(given, key, typed or "")
    elif typed and typed == st.session_state.get(f"{key} written"):
        st.caption(f":material/edit_note: Written by {plain(name)}; it counts by γ. Change or clear it as you like.")
    elif not typed and f"{key} written" not in st.session_state:
        writer = cache.once(partial(Writer, name), "captioner", name, str(encoders.located(name)))
        written = clips.once(partial(writer.begin, clip), clip, "caption", name)
        st.session_state[f"{key} begun"] = written
        if written.done() and (error := written.exception()):
            st.caption(f":material/error: No caption was written: {sentence(error)}")
        else:
            st.fragment(_awaited, run_every=POLL_S)(written, name)


def _awaited(written: Future[str], name: str) -> None:
    if written.done():
        st.rerun()
    st.caption(f":material/hourglass_empty: {plain(name)} is writing a caption …")


def _objects_names(given: Answer, key: str, typed: str) -> None:
    """In place of a captioner: the recognised objects in a plain sentence, for whoever asks for it."""
    names = [name for name, _, _ in given.ranking.objects[:NAMED]]
    said = f"It shows {', '.join(names[:-1])}{' and ' if names[:-1] else ''}{names[-1]}." if names else ""
    if said and typed == said:
        st.caption(":material/edit_note: A sentence of the recognised objects' names; it counts by γ.")
    elif said and not typed:
        told = f"Puts into the box: {plain(said)} A model that says what films show is fetched on the page Library."
        look = {"type": "tertiary", "icon": ":material/category:"}
        state.setter("Name the recognised objects", f"{key}-objects", key, said, told, **look)


def _key(clip: ClipFile) -> str:
    return state.CAPTION + clip.digest[:16]
