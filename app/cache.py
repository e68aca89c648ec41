"""The app's one cache: what is read or computed once, for all sessions. Nobody may write into what it gives.

A key says all that the value depends on. What fails is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import nullcontext
from typing import Any, TypeVar, cast

import streamlit as st

T = TypeVar("T")


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
