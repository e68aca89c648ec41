"""Choices that pages share, and that are kept when the page changes: which scored data set, which classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app import state
from app.services import scored
from app.widgets.words import plain
from cezsar.zeroshot.scored import Scored


def scored_set(label: str = "Run and data set", key: str = state.ON) -> Scored | None:
    """The scored data set that a page is about; None, and a word about it, if there is none to choose from."""
    sets = scored.scored_sets()
    if not sets:
        st.info("Nothing has been scored yet: evaluate a run on a data set first.", icon=":material/info:")
        return None
    if st.session_state.get(key) not in sets:
        st.session_state.pop(key, None)  # of a folder that has gone
    _recall(key, lambda kept: kept in sets)
    name = st.selectbox(
        label,
        list(sets),
        format_func=lambda name: scored.title(sets[name]),
        key=key,
        bind="query-params",
        persist_state="session",
        help="A trained run and the data set it was scored on. Further ones are made on the page Evaluate.",
    )
    item = sets[name or next(iter(sets))]
    _remember(key, item.name)
    for note in item.about["notes"]:
        st.caption(f":material/info: {plain(note)}")
    return item


def classes(
    label: str,
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    default: Sequence[str] = (),
    most: int | None = None,
    key: str = state.CLASSES,
) -> list[str]:
    """Some classes of a data set, one by one or by group; in the order of `names`.

    Args:
        groups: ready-made choices by name, such as hard groups.
        most: how many at the most.
    """
    known = set(names)
    if key in st.session_state:  # chosen on another page, maybe of another data set
        st.session_state[key] = [name for name in st.session_state[key] if name in known][:most]
    _recall(key, known.issuperset)
    area = st.container()
    if groups:
        with st.popover("Ready-made groups", icon=":material/list:", type="tertiary"):
            for name, members in groups.items():
                inside = [member for member in members if member in known][:most]
                st.button(
                    f"{name} ({len(inside)})",
                    key=f"{key}-group-{name}",
                    help=", ".join(inside),
                    on_click=state.put,
                    args=(key, inside),
                    width="stretch",
                )
    with area:
        chosen = st.multiselect(
            label,
            list(names),
            default=None if key in st.session_state else [name for name in default if name in known],
            max_selections=most,
            key=key,
            bind="query-params",
            persist_state="session",
        )
    _remember(key, list(chosen))
    picked = set(chosen)
    return [name for name in names if name in picked]


def _remember(key: str, value: object) -> None:
    st.session_state[f"{key} as last seen"] = value


def _recall(key: str, fits: Callable[[Any], bool]) -> None:
    """What was chosen on another page by its address alone, which Streamlit drops when the page changes."""
    kept = st.session_state.get(f"{key} as last seen")
    if kept is not None and key not in st.session_state and key not in st.query_params and fits(kept):
        st.session_state[key] = kept
