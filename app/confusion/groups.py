"""Hard groups: what confusion costs within and between them, whether they are harder than random classes, one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import streamlit as st

from app import cache, state
from app.confusion.matrices import NUMBER, Side, Views, similarity
from app.parts import scored, show
from app.parts.choosers import one_of, segments
from app.parts.words import plain
from cezsar.analysis.baselines import RUNS, Baseline, Standing, random_baseline
from cezsar.analysis.confusion import matching_groups, propose_groups
from cezsar.data.labels import Groups, groups_path, keep_group, remove_group
from cezsar.errors import CezsarError
from cezsar.report import figures
from cezsar.report.figures import percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.protocols import PAPER_GROUPS

Grouped = Mapping[str, Sequence[str]]

DEMO, PAPER, OWN, PROPOSED = "the demo's", "the paper's", "my own", "proposed"
ABOUT = {
    DEMO: "Unseen actions of the stick-figure world that share a prop, a motion or a place.",
    PAPER: "The six groups of UCF-101 whose fifteen classes are the paper's hard-15.",
    OWN: "Groups that are kept in the workspace.",
    PROPOSED: "Clusters of classes with near prototypes that are taken for each other, each counting half.",
}
WITHIN = "Share of the clips that are taken for another class of their own hard group: look-alikes mixed up."
BETWEEN = "Share of the clips that are taken for a class outside of their hard group; a class in no group is alone."
SHARES = {
    "accuracy": ("Accuracy", "Share of the clips whose predicted class is the true one (top-1)."),
    "within": ("Within-group error", WITHIN),
    "between": ("Between-group error", BETWEEN),
}
NEW, EVERY = "a new group", "all groups together"
QUICK_ENTRIES = 20_000_000  # clips x classes up to which random sets take a second or two
COLUMNS = {
    "group": st.column_config.TextColumn("Group", width="medium"),
    "classes": st.column_config.TextColumn("Classes", width="large"),
    "clips": NUMBER("Clips", width="small"),
    "accuracy": NUMBER("Accuracy", format="%.1f %%"),
    "within": NUMBER("Within group", format="%.1f %%", help=WITHIN),
    "between": NUMBER("Between groups", format="%.1f %%", help=BETWEEN),
    "within b": NUMBER("Within, B", format="%.1f %%"),
    "between b": NUMBER("Between, B", format="%.1f %%"),
}


def sources(side: Side, own: Groups) -> dict[str, dict[str, list[str]]]:
    """Hard groups of the data set's classes, by whose they are; only those that there are."""
    values = scored.scores(side.item)
    names = values.class_names
    proposed = cache.once(
        lambda: propose_groups(similarity(side.item), confusion_matrix(values, side.weights), names),
        "proposed", side.key,
    )  # fmt: skip
    ready: dict[str, Grouped] = {DEMO: HARD_GROUPS, PAPER: PAPER_GROUPS, OWN: own, PROPOSED: proposed}
    found = {source: matching_groups(groups, names) for source, groups in ready.items()}
    return {source: groups for source, groups in found.items() if groups}


def headline(views: Views, groups: Grouped) -> None:
    """Accuracy, and errors within and between the groups, of the first matrix; below them those of the second."""
    (first, *others), (a, *_) = [view.figures(groups)[-1] for view in views.values()], views.values()
    words = f"Clips of the {len(a.classes):,} classes shown, predicted among {len(a.candidates):,}."
    words += f" For {a.undecided:,} more nothing speaks: all their scores are zero." if a.undecided else ""
    rows = [("Clips", f"{first.clips:,}", "", words)]
    for name, (label, help) in SHARES.items():
        below = "".join(f"B: {percent(getattr(other, name))}" for other in others)
        rows.append((label + " of A" * len(others), percent(getattr(first, name)), below, help))
    show.metrics("confusion", rows)


def of_groups(views: Views, found: Mapping[str, Grouped], own: Groups, names: Sequence[str]) -> Grouped:
    """Errors within and between the hard groups that are chosen here, and whether these are harder than random ones."""
    st.subheader("Hard groups", anchor=False)
    source = segments("Groups", {name: name[0].upper() + name[1:] for name in [*found, OWN]}, state.GROUPS_OF)
    groups, (a, *_) = found.get(source, {}), views.values()
    st.caption(ABOUT[source])
    rows = []
    for row, *others in zip(*(view.figures(groups) for view in views.values()), strict=True):
        title = {"group": row.group, "rest": "in no group", "total": "all"}[row.kind]
        shown = ", ".join(row.classes) if row.kind == "group" else f"{len(row.classes):,} classes"
        entry: dict[str, object] = {"group": title, "classes": shown, "clips": row.clips}
        entry |= {name: 100 * getattr(row, name) if row.clips else None for name in SHARES}
        for other, name in product(others, ("within", "between")):
            entry[f"{name} b"] = 100 * getattr(other, name) if other.clips else None
        rows.append(entry)
    show.table(rows, "Errors within and between hard groups", column_config=COLUMNS)
    if among := matching_groups(groups, names):
        with show.explained():
            _beside_random(views, among)
    if source == PROPOSED and groups:
        st.caption("Keep as my own:")
        with st.container(horizontal=True, gap="small"):
            for name, members in groups.items():
                kept = sorted(members) in [sorted(other) for other in own.values()]
                icon = ":material/check:" if kept else ":material/add:"
                if st.button(plain(name), f"keep-{name}", plain(", ".join(members)), icon=icon, disabled=kept):
                    _change(partial(keep_group, groups_path(), free_name(name, own), members))
    if source == OWN:
        _editor(own, names, a.classes if len(a.classes) < len(names) else [])
    return groups


# Harder than random classes? -----------------------------------------------------------------------------------------


def _beside_random(views: Views, groups: Grouped) -> None:
    """The named classes among random sets: a figure, and what it says. Raises `InputError`: too few to draw from."""
    st.markdown(
        "**Harder than random classes?**",
        help=f"Fewer classes are easier to choose from, so look-alikes are set beside {RUNS} random sets of as many "
        "classes: the paper's fifteen hard classes of UCF-101 give 63.3 %, random fifteen 70.4 ± 6.3 % (Section 5).",
    )
    options = [EVERY, *groups] if len(groups) > 1 else list(groups)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        picked = one_of("Classes of", options, state.CONTROLLED, persist_state="session", width=320)
        chosen = {name: list(members) for name, members in groups.items() if picked in (EVERY, name)}
        help = "Otherwise a random set may have some of these classes in it, as the paper's may."
        outside = st.toggle("Draw from other classes only", key=state.OUTSIDE, bind="query-params", help=help)
    items = [view.side.item.about for view in views.values()]
    large = any(about["clips"] * about["classes"] > QUICK_ENTRIES for about in items)
    if large and not st.button(f"Compute for {RUNS} random sets", help="On this many clips it takes a while."):
        return
    found = {letter: _beside(view.side, chosen, outside) for letter, view in views.items()}
    standings = {letter: one.standing() for letter, one in found.items()}
    said = [letter + in_words(standings[letter], len(one.classes)) for letter, one in found.items()]
    show.figure(figures.standing(standings), "control", " ".join(said).replace("**", ""))
    pool = len(next(iter(found.values())).pool)
    st.markdown("\n\n".join(said), help=f"Drawn from {pool:,} classes with clips, the same for every run (seed 0).")


def _beside(side: Side, groups: Grouped, outside: bool) -> Baseline:
    make = partial(random_baseline, scored.scores(side.item), groups, side.weights, outside=outside)
    key = tuple((name, tuple(members)) for name, members in groups.items())
    return cache.once(make, "baseline", side.key, key, outside, words="Evaluating random sets of classes")


def in_words(standing: Standing, n: int) -> str:
    """Where n named classes stand."""
    (mean, std), total = standing.random, len(standing.values)
    easier = sum(value > standing.named for value in standing.values)
    z = "" if standing.z is None else f" (z = {standing.z:+.2f})".replace("-", "\N{MINUS SIGN}")
    random = f"{total:,} random sets of {n:,}: **{100 * mean:.1f}{'' if std is None else f' ± {100 * std:.1f}'} %**"
    named = f"These {n:,} classes: **{percent(standing.named)}**"
    return f"{named}. {random}. Harder than {easier:,} of the {total:,}{z}."


# One's own groups ----------------------------------------------------------------------------------------------------


def free_name(name: str, own: Groups) -> str:
    """The name, with a number if a group has it already."""
    taken = {other.casefold() for other in own}
    names = [name, *(f"{name} {number}" for number in range(2, len(own) + 3))]
    return next(one for one in names if one.casefold() not in taken)


def _editor(own: Groups, names: Sequence[str], chosen: Sequence[str]) -> None:
    """Name, classes, save and delete, for a group that is kept, or a new one of the classes `chosen`."""
    with st.expander("Edit my own groups", icon=":material/edit:", expanded=not own):
        picked = one_of("Group", [NEW, *own], "own-group")
        group = None if picked == NEW else picked
        known, form = own.get(group, []) if group else list(chosen), f"own-{group or ''}-{len(own)}"
        with st.form(form, border=False):
            name = st.text_input("Name", group or "", max_chars=60, placeholder="horses", key=f"{form}-name")
            offered = list(dict.fromkeys([*names, *known]))
            members = st.multiselect("Classes", offered, default=known, key=f"{form}-classes")
            if st.form_submit_button("Save", icon=":material/save:", type="primary"):
                _change(partial(keep_group, groups_path(), name, members, instead_of=group))
        if group:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown(f"Delete the group **{plain(group)}**? Classes and clips stay; only the group goes.")
                if st.button("Yes, delete it", icon=":material/delete:", type="primary"):
                    _change(partial(remove_group, groups_path(), group))


def _change(change: Callable[[], object]) -> None:
    """Do it and draw the page anew, or say what is wrong."""
    try:
        change()
    except (CezsarError, OSError) as problem:
        show.error(problem)
    else:
        st.rerun()
