"""Hard groups on the screen: what confusion costs within and between them, and the groups one keeps oneself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import state
from app.services.confusion import OWN, PROPOSED, Matrix
from app.widgets.words import plain, sentence
from cezsar.analysis.confusion import GroupFigures, matching_groups
from cezsar.data.labels import Groups, groups_path, keep_group, load_groups, remove_group
from cezsar.errors import CezsarError
from cezsar.report.figures import percent

WITHIN = "Share of the clips that are taken for another class of their own hard group: look-alikes mixed up."
BETWEEN = "Share of the clips that are taken for a class outside of their hard group; a class in no group is alone."
ABOUT = {
    "the demo's": "Unseen actions of the stick-figure world that share a prop, a motion or a place.",
    "the paper's": "The six groups of UCF-101 whose fifteen classes are the paper's hard-15.",
    OWN: "Groups that are kept in the workspace.",
    PROPOSED: "Clusters of classes whose prototypes are near and that are taken for each other, each counting half; "
    "from all classes of this run and data set.",
}
NEW = "a new group"


def headline(a: Matrix, b: Matrix | None, groups: Mapping[str, Sequence[str]]) -> None:
    """Accuracy, and errors within and between the groups, of the first matrix; what changes in the second."""
    first = a.figures(groups)[-1]
    second = b.figures(groups)[-1] if b is not None else None
    shown = {
        "accuracy": ("Accuracy", "Share of the clips whose predicted class is the true one (top-1)."),
        "within": ("Within-group error", WITHIN),
        "between": ("Between-group error", BETWEEN),
    }
    with st.container(horizontal=True, gap="large", vertical_alignment="top"):
        st.metric("Clips", f"{first.clips:,}", help=_left_out(a), width="content")
        for name, (label, help) in shown.items():
            value, other = getattr(first, name), getattr(second, name, None)
            delta = None if value is None or other is None else f"{100 * (other - value):+.1f} in B"
            changed = delta is not None and not delta.startswith(("+0.0", "-0.0"))
            st.metric(
                label if b is None else f"{label} of A",
                "–" if value is None else percent(value),
                delta,
                delta_color="off" if not changed else "normal" if name == "accuracy" else "inverse",
                help=help,
                width="content",
            )


def _left_out(a: Matrix) -> str:
    words = f"Clips of the {len(a.classes):,} classes shown, predicted among {len(a.candidates):,}."
    return words + (f" For {a.undecided:,} more nothing speaks: all their scores are zero." if a.undecided else "")


def whose(sources: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Whose groups errors are counted in."""
    options = list(dict.fromkeys([*sources, OWN]))
    if st.session_state.get(state.GROUPS_OF) not in options:
        st.session_state.pop(state.GROUPS_OF, None)
    picked = st.segmented_control(
        "Groups",
        options,
        default=options[0],
        required=True,
        format_func=lambda name: name[0].upper() + name[1:],
        key=state.GROUPS_OF,
        bind="query-params",
        persist_state="session",
    )
    return picked or options[0]


def table(a: Matrix, b: Matrix | None, groups: Mapping[str, Sequence[str]], source: str) -> None:
    """What becomes of each group's clips."""
    st.caption(ABOUT[source])
    found = a.figures(groups)
    if not any(row.kind == "group" for row in found):
        st.caption("None of these groups has two of the classes shown.")
    others = b.figures(groups) if b is not None else [None] * len(found)
    rows = [_row(row, other) for row, other in zip(found, others, strict=True)]
    share = st.column_config.NumberColumn
    columns = {
        "group": st.column_config.TextColumn("Group", width="medium"),
        "classes": st.column_config.TextColumn("Classes", width="large"),
        "clips": share("Clips", width="small"),
        "accuracy": share("Accuracy", format="%.1f %%"),
        "within": share("Within group", format="%.1f %%", help=WITHIN),
        "between": share("Between groups", format="%.1f %%", help=BETWEEN),
        "within b": share("Within, B − A", format="%+.1f", help="Percentage points; below 0 is better."),
        "between b": share("Between, B − A", format="%+.1f", help="Percentage points; below 0 is better."),
    }
    st.dataframe(rows, hide_index=True, column_config=columns, alt="Errors within and between hard groups")


def _row(row: GroupFigures, other: GroupFigures | None) -> dict[str, object]:
    names = {"group": row.group, "rest": "in no group", "total": "all"}
    shares = {name: getattr(row, name) for name in ("accuracy", "within", "between")}
    entry: dict[str, object] = {
        "group": names[row.kind],
        "classes": ", ".join(row.classes) if row.kind == "group" else f"{len(row.classes):,} classes",
        "clips": row.clips,
    }
    entry |= {name: None if share is None else 100 * share for name, share in shares.items()}
    if other is not None:
        for name in ("within", "between"):
            before, after = shares[name], getattr(other, name)
            entry[f"{name} b"] = None if before is None or after is None else 100 * (after - before)
    return entry


def own_groups() -> Groups:
    """Groups kept in the workspace; a damaged file is a word on the screen, and no groups."""
    try:
        return load_groups(groups_path())
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return {}


def own_among(names: Sequence[str]) -> dict[str, list[str]]:
    """One's own groups, as far as their classes are among `names`: at least two of them."""
    return matching_groups(own_groups(), names)


def keep_proposed(groups: Mapping[str, Sequence[str]], own: Groups) -> None:
    """A button for each proposed group that keeps it as one's own."""
    if not groups:
        return
    st.caption("Keep as my own:")
    with st.container(horizontal=True, gap="small"):
        for name, members in groups.items():
            kept = sorted(members) in [sorted(other) for other in own.values()]
            st.button(
                name,
                key=f"keep-{name}",
                icon=":material/check:" if kept else ":material/add:",
                help=", ".join(members),
                disabled=kept,
                on_click=_keep,
                args=(_free(name, own), members, None),
            )


def _free(name: str, own: Groups) -> str:
    """The name, with a number if a group has it already."""
    taken = {other.casefold() for other in own}
    numbered = (f"{name} {number}" for number in range(2, len(own) + 3))
    return name if name.casefold() not in taken else next(other for other in numbered if other.casefold() not in taken)


def editor(own: Groups, names: Sequence[str], chosen: Sequence[str]) -> None:
    """Name, classes, save and delete, for a new group or one that is kept.

    Args:
        names: classes of the data set.
        chosen: those of a new group to begin with.
    """
    with st.expander("Edit my own groups", icon=":material/edit:", expanded=not own):
        options = [NEW, *own]
        if st.session_state.get("own-group") not in options:
            st.session_state.pop("own-group", None)
        picked = st.selectbox("Group", options, key="own-group")
        group = None if picked == NEW else picked
        known = own.get(group, []) if group else list(chosen)
        with st.form(f"own-{group or ''}-{len(own)}", border=False):
            form = f"own-{group or ''}-{len(own)}"
            st.text_input("Name", group or "", max_chars=60, placeholder="horses", key=f"{form}-name")
            offered = list(dict.fromkeys([*names, *known]))
            st.multiselect("Classes", offered, default=known, key=f"{form}-classes")
            st.form_submit_button("Save", icon=":material/save:", type="primary", on_click=_save, args=(form, group))
        if group:
            _delete(group)


def _delete(group: str) -> None:
    """Twice asked for."""
    if st.session_state.get("own-doomed") != group:
        st.button("Delete", icon=":material/delete:", on_click=state.put, args=("own-doomed", group))
        return
    st.markdown(f"Delete the group **{plain(group)}**? Classes and clips stay; only the group goes.")
    with st.container(horizontal=True):
        st.button("Yes, delete it", icon=":material/delete:", type="primary", on_click=_remove, args=(group,))
        st.button("Keep it", on_click=state.put, args=("own-doomed", None))


def _save(form: str, group: str | None) -> None:
    _keep(st.session_state[f"{form}-name"], st.session_state[f"{form}-classes"], group)


def _keep(name: str, members: Sequence[str], instead_of: str | None) -> None:
    try:
        keep_group(groups_path(), name, members, instead_of=instead_of)
        st.session_state["own-said"] = f"Kept as a group of your own: {name}."
    except (CezsarError, OSError) as error:
        st.session_state["own-trouble"] = str(error)


def _remove(name: str) -> None:
    st.session_state.pop("own-doomed", None)
    try:
        remove_group(groups_path(), name)
    except (CezsarError, OSError) as error:
        st.session_state["own-trouble"] = str(error)


def last_words() -> None:
    """What came of the last change of a group, said once."""
    if said := st.session_state.pop("own-said", None):
        st.toast(plain(said), icon=":material/check:")
    if trouble := st.session_state.pop("own-trouble", None):
        st.error(sentence(CezsarError(trouble)), icon=":material/error:")
