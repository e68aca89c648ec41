"""Choices that pages share, and that are kept when the page changes: which scored data set, which classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from app import state
from app.parts import scored
from app.parts.words import plain, sentence
from cezsar.analysis.confusion import matching_groups
from cezsar.data.labels import Groups, groups_path, load_groups
from cezsar.errors import CezsarError
from cezsar.zeroshot.scored import Scored


def scored_set(label: str = "Run and data set", key: str = state.ON) -> Scored | None:
    """The scored data set that a page is about; None, and a word about it, if there is none to choose from."""
    sets = scored.scored_sets()
    if not sets:
        st.info("Nothing has been scored yet: evaluate a run on a data set first.", icon=":material/info:")
        return None
    state.take_address(key, sets, most=1)
    name = st.selectbox(
        label,
        list(sets),
        format_func=lambda name: scored.title(sets[name]),
        key=key,
        help="A trained run and the data set it was scored on. Further ones are made on the page Evaluate.",
    )
    name = name or next(iter(sets))
    state.put_address(key, [name], [next(iter(sets))])
    item = sets[name]
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
    state.take_address(key, known, most)
    usual = [name for name in default if name in known]
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
            default=None if key in st.session_state else usual,
            max_selections=most,
            key=key,
        )
    state.put_address(key, list(chosen), usual)
    picked = set(chosen)
    return [name for name in names if name in picked]


def own_groups() -> Groups:
    """Hard groups kept in the workspace; a damaged file is a word on the screen, and no groups."""
    try:
        return load_groups(groups_path())
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return {}


def own_among(names: Sequence[str]) -> dict[str, list[str]]:
    """One's own groups, as far as their classes are among `names`: at least two of them."""
    return matching_groups(own_groups(), names)


def segments(label: str, titles: Mapping[str, str], key: str, help: str | None = None, **more: Any) -> str:
    """One of some titles side by side, kept in the address and for the next visit; the first by default."""
    default = next(iter(titles))
    _forget_unless(key, titles)
    picked = st.segmented_control(
        label, list(titles), default=default, required=True, format_func=titles.__getitem__, key=key, help=help,
        bind="query-params", persist_state="session", **more,
    )  # fmt: skip
    return picked or default


def one_of(label: str, options: Sequence[str], key: str, usual: str = "", **more: Any) -> str:
    """One of some names in a list, kept in the address; `usual`, or the first, by default."""
    usual = usual or options[0]
    _forget_unless(key, options)
    index = options.index(usual)
    picked: str | None = st.selectbox(label, options, index=index, key=key, bind="query-params", **more)
    return picked or usual


def _forget_unless(key: str, options: Collection[str]) -> None:
    """Before a widget is drawn: its value goes if it is no longer offered."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
