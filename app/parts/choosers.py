"""Choices that pages share, and that are kept when the page changes: which scored data set, which classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from app import state
from app.parts import scored, show
from app.parts.words import plain
from cezsar.analysis.confusion import matching_groups
from cezsar.data.labels import Groups, groups_path, load_groups
from cezsar.zeroshot.examples import share_of
from cezsar.zeroshot.scored import Scored

BY_NUMBER = "by their number"
TENTHS = [tenth / 10 for tenth in range(11)]


def scored_set(label: str = "Run and data set", key: str = state.ON) -> Scored | None:
    """The scored data set that a page is about; None, and a word about it, if there is none to choose from."""
    sets = scored.scored_sets()
    if not sets:
        show.info("Nothing has been scored yet: evaluate a run on a data set first.")
        return None
    first = next(iter(sets))
    state.take_address(key, sets, most=1)
    name = st.selectbox(
        label, list(sets), format_func=lambda name: scored.title(sets[name]), key=key,
        help="A trained run and the data set it was scored on. Further ones are made on the page Evaluate.",
    ) or first  # fmt: skip
    state.put_address(key, [name], [first])
    for note in sets[name].about["notes"]:
        st.caption(f":material/info: {plain(note)}")
    return sets[name]


def classes(label: str, names: Sequence[str], groups: Mapping[str, Sequence[str]], *, default: Sequence[str] = (),
            most: int | None = None, key: str = state.CLASSES) -> list[str]:  # fmt: skip
    """At most `most` classes of a data set, one by one or by ready-made group; in the order of `names`."""
    known = set(names)
    state.take_address(key, known, most)
    usual, area = [name for name in default if name in known], st.container()
    if groups:
        with st.popover("Ready-made groups", icon=":material/list:", type="tertiary"):
            for name, members in groups.items():
                inside = [member for member in members if member in known][:most]
                title, told = f"{plain(name)} ({len(inside)})", plain(", ".join(inside))
                state.setter(title, f"{key}-group-{name}", key, inside, told, width="stretch")
    start = None if key in st.session_state else usual
    chosen = area.multiselect(label, list(names), default=start, max_selections=most, key=key)
    state.put_address(key, list(chosen), usual)
    return [name for name in names if name in set(chosen)]


def own_groups() -> Groups:
    """Hard groups kept in the workspace; a damaged file is a word on the screen, and no groups."""
    with show.explained():
        return load_groups(groups_path())
    return {}


def own_among(names: Sequence[str]) -> dict[str, list[str]]:
    """One's own groups, as far as their classes are among `names`: at least two of them."""
    return matching_groups(own_groups(), names)


def segments(label: str, titles: Mapping[str, str], key: str, help: str | None = None, usual: str = "",
             **more: Any) -> str:  # fmt: skip
    """One of some titles side by side, kept in the address and for the next visit; by default `usual` or the first."""
    usual = usual or next(iter(titles))
    forget_others(key, titles)
    picked = st.segmented_control(
        label, list(titles), default=usual, required=True, format_func=titles.__getitem__, key=key, help=help,
        **{**state.KEPT, **more},
    )  # fmt: skip
    return picked or usual


def one_of(label: str, options: Sequence[str] | Mapping[str, str], key: str, usual: str = "", **more: Any) -> str:
    """One of some names, or of the titles of some keys, kept in the address; `usual`, or the first, by default."""
    names = list(options)
    usual = usual or names[0]
    forget_others(key, names)
    if isinstance(options, Mapping):
        more["format_func"] = options.__getitem__
    picked: str | None = st.selectbox(label, names, names.index(usual), key=key, bind="query-params", **more)
    return picked or usual


def share(label: str, number: int, **more: Any) -> float | None:
    """λ of so many examples of a label beside its words; None where their number says it."""
    own = more.get("value", BY_NUMBER)  # of a set that was kept it need be no tenth
    shares = [BY_NUMBER, *sorted({*TENTHS} | ({own} - {BY_NUMBER}))]
    chosen = st.select_slider(
        f"λ, share of the examples of {plain(label)}", shares, help="0: the words alone, 1: the examples alone. By "
        f"their number it is n / (n + 1), here {share_of(number):.2f}.", **more,
    )  # fmt: skip
    return None if chosen == BY_NUMBER else float(chosen)


def forget_others(key: str, options: Collection[Any]) -> None:
    """Before a widget is drawn: of what was chosen, one or several, nothing stays that is no longer offered."""
    chosen = st.session_state.get(key)
    if isinstance(chosen, list):
        st.session_state[key] = [name for name in chosen if name in options]
    elif chosen not in options:
        st.session_state.pop(key, None)
