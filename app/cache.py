"""The app's one cache: what is read or computed once, for all sessions. Nobody may write into what it gives.

A key says all that the value depends on. What fails is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import nullcontext, suppress
from typing import Any, TypeVar, cast

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

T = TypeVar("T")
GOES_S = 10.0  # before Streamlit forgets where the uploads of a session are that has left


def once(make: Callable[[], T], *key: Hashable, words: str = "") -> T:
    """What `make` gives. `key` begins with the name of its kind; `words` are shown while it takes its time."""
    with st.spinner(words) if words else nullcontext():
        return cast(T, _small(key, make))


def large(make: Callable[[], T], *key: Hashable, words: str = "") -> T:
    """The same for what weighs megabytes: few are kept."""
    with st.spinner(words) if words else nullcontext():
        return cast(T, _large(key, make))


def forget() -> None:
    """For what changed without its key: everything small is made anew."""
    _small.clear()


@st.cache_resource(max_entries=1500, show_spinner=False)
def _small(key: tuple[Hashable, ...], _make: Callable[[], Any]) -> object:
    return _make()


@st.cache_resource(max_entries=16, show_spinner=False)
def _large(key: tuple[Hashable, ...], _make: Callable[[], Any]) -> object:
    return _make()


def end_when_left() -> None:
    """Have this session, with its uploads, end some time after its page was closed. Streamlit alone would hold it until
    somebody else comes or goes, which may be never."""
    if context := get_script_run_ctx():
        _ends(context.session_id)


def _left(session: str) -> None:
    with suppress(RuntimeError):  # the server is going, too
        wait_s = max(0.0, st.get_option("server.disconnectedSessionTTL") - GOES_S)
        asyncio.get_running_loop().call_later(wait_s, _end, session)


def _end(session: str) -> None:
    if not (server := runtime.get_instance()).is_active_session(session):  # it may have come back
        server.close_session(session)


@st.cache_resource(scope="session", show_spinner=False, on_release=_left)
def _ends(session: str) -> str:
    return session
