"""Turns at reading films: as many at once as there are processors, first come, first served."""

from __future__ import annotations

import os
import threading
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

AT_ONCE = os.cpu_count() or 1  # each is a decoder, a process of its own
LOOK_S = 0.5  # a session that was closed leaves the line as soon
SINCE = "in line since"  # in the session, until its turn comes: who moves a slider meanwhile keeps the place

_line: list[tuple[int, int]] = []  # (since, thread) of those who wait
_reading: set[int] = set()  # threads whose turn it is
_numbers = count()
_moved = threading.Condition()


@contextmanager
def turn(shown: bool) -> Iterator[None]:
    """Wait for a turn, and have it; `shown`: with the place in the line on the page, as no cached function can."""
    me = threading.get_ident()
    shown = shown and get_script_run_ctx(suppress_warning=True) is not None  # downloads and captions are made without
    place = (st.session_state.setdefault(SINCE, next(_numbers)) if shown else next(_numbers), me)
    with _moved:
        insort(_line, place)
        try:
            waiting = st.empty() if shown else None
            while _line[0] != place or len(_reading) >= AT_ONCE:
                if waiting is not None:  # in a session that is no more, or shall run anew, this raises
                    waiting.caption(f":material/hourglass_empty: {in_words(_line.index(place))}")
                _moved.wait(LOOK_S)
            if waiting is not None:
                waiting.empty()
                st.session_state.pop(SINCE, None)
            _reading.add(me)
        finally:
            _line.remove(place)
            _moved.notify_all()
    try:
        yield
    finally:
        with _moved:
            _reading.remove(me)
            _moved.notify_all()


def in_words(before: int) -> str:
    """A place in the line."""
    return f"Others' films are being read: {f'{before} before you' if before else 'you are next'}."
