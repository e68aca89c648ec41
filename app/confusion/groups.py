"""Hard groups: what confusion costs within and between them, whether they are harder than random classes, one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, product
from operator import eq, gt

import numpy as np
import streamlit as st

from app import cache, state
from app.confusion.matrices import NUMBER, Side, Views, similarity
from app.parts import scored, show
from app.parts.choosers import one_of, segments
from app.parts.words import plain, sentence
from cezsar.analysis.baselines import RUNS, Baseline, Standing, random_baseline
from cezsar.analysis.confusion import PAPER_GROUPS, matching_groups, propose_groups
from cezsar.data.labels import Groups, groups_path, keep_group, remove_group
from cezsar.errors import CezsarError
from cezsar.report import figures
from cezsar.report.figures import percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.evaluation import confusion_matrix

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
    "within b": NUMBER("Within, B − A", format="%+.1f", help="Percentage points; below 0 is better."),
    "between b": NUMBER("Between, B − A", format="%+.1f", help="Percentage points; below 0 is better."),
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
    """Accuracy, and errors within and between the groups, of the first matrix; what changes in the second."""
    (first, *others), (a, *_) = [view.figures(groups)[-1] for view in views.values()], views.values()
    words = f"Clips of the {len(a.classes):,} classes shown, predicted among {len(a.candidates):,}."
    words += f" For {a.undecided:,} more nothing speaks: all their scores are zero." if a.undecided else ""
    with st.container(horizontal=True, gap="large", vertical_alignment="top"):
        st.metric("Clips", f"{first.clips:,}", help=words, width="content")
        for name, (label, help) in SHARES.items():
            value, delta = getattr(first, name), None
            if others and first.clips and others[0].clips:
                delta = f"{100 * (getattr(others[0], name) - value):+.1f} in B"
            same = delta is None or delta.startswith(("+0.0", "-0.0"))
            st.metric(
                label + " of A" * len(others), percent(value), delta, help=help, width="content",
                delta_color="off" if same else "normal" if name == "accuracy" else "inverse",
            )  # fmt: skip


def of_groups(views: Views, found: Mapping[str, Grouped], own: Groups, names: Sequence[str]) -> Grouped:
    """Errors within and between the hard groups that are chosen here, and whether these are harder than random ones."""
    st.subheader("Hard groups", anchor=False)
    source = segments("Groups", {name: name[0].upper() + name[1:] for name in [*found, OWN]}, state.GROUPS_OF)
    groups, (a, *_) = found.get(source, {}), views.values()
    st.caption(ABOUT[source])
    sides, rows = [view.figures(groups) for view in views.values()], []
    if not any(row.kind == "group" for row in sides[0]):
        st.caption("None of these groups has two of the classes shown.")
    for row, *others in zip(*sides, strict=True):
        title = {"group": row.group, "rest": "in no group", "total": "all"}[row.kind]
        shown = ", ".join(row.classes) if row.kind == "group" else f"{len(row.classes):,} classes"
        entry: dict[str, object] = {"group": title, "classes": shown, "clips": row.clips}
        entry |= {name: 100 * getattr(row, name) if row.clips else None for name in SHARES}
        for other, name in product(others, ("within", "between")):
            both = row.clips and other.clips
            entry[f"{name} b"] = 100 * (getattr(other, name) - getattr(row, name)) if both else None
        rows.append(entry)
    show.table(rows, "Errors within and between hard groups", column_config=COLUMNS)
    if among := matching_groups(groups, names):
        _beside_random(views, among)
    if source == PROPOSED and groups:
        st.caption("Keep as my own:")
        with st.container(horizontal=True, gap="small"):
            for name, members in groups.items():
                kept = sorted(members) in [sorted(other) for other in own.values()]
                icon = ":material/check:" if kept else ":material/add:"
                if st.button(name, f"keep-{name}", ", ".join(members), icon=icon, disabled=kept):
                    _change(partial(keep_group, groups_path(), free_name(name, own), members))
    if source == OWN:
        _editor(own, names, a.classes if len(a.classes) < len(names) else [])
    return groups


# Harder than random classes? -----------------------------------------------------------------------------------------


def _beside_random(views: Views, groups: Grouped) -> None:
    """The named classes among random sets: a figure, and what it says."""
    st.markdown(
        "**Harder than random classes?**",
        help=f"Fewer classes are easier to choose from, so look-alikes are set beside {RUNS} random sets of as many "
        "classes: the paper's fifteen hard classes of UCF-101 give 63.3 %, random fifteen 70.4 ± 6.3 % (Section 5).",
    )
    values = [scored.scores(view.side.item) for view in views.values()]
    first = values[0]
    options = [EVERY, *groups] if len(groups) > 1 else list(groups)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        picked = one_of("Classes of", options, state.CONTROLLED, persist_state="session", width=320)
        chosen = {name: list(members) for name, members in groups.items() if picked in (EVERY, name)}
        named_K = first.indices(sorted(set(chain(*chosen.values()))))
        possible = len(np.setdiff1d(first.label_index, [*named_K, -1])) >= len(named_K)
        help = "Otherwise a random set may have some of these classes in it, as the paper's may."
        help += "" if possible else " Here too few others have clips."
        outside = st.toggle(
            "Draw from other classes only", key=state.OUTSIDE, bind="query-params", disabled=not possible, help=help
        ) and possible  # fmt: skip
    large = any(len(one.ids) * len(one.class_names) > QUICK_ENTRIES for one in values)
    if large and not st.button(f"Compute for {RUNS} random sets", help="On this many clips it takes a while."):
        return
    try:
        found = {letter: _beside(view.side, chosen, outside) for letter, view in views.items()}
    except CezsarError as error:
        st.caption(sentence(error))
        return
    n, pool = len(named_K), len(next(iter(found.values())).pool)
    if not outside and n == pool:
        st.caption(f"These groups hold all {pool:,} classes with clips: any set of as many is the same.")
        return
    figure, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    standings = {letter: one.standing() for letter, one in found.items()}
    said = {letter: letter + in_words(one, n) for letter, one in standings.items()}
    with figure:
        show.figure(figures.standing(standings), "control", " ".join(said.values()).replace("**", ""))
    for letter, one in found.items():
        words.markdown(said[letter])
        with words.container(horizontal=True, gap="medium"):
            for name in ("within", "between"):
                title, help = SHARES[name]
                help += " Here these classes are all there is to choose from."
                st.metric(plain(letter) + title, percent(getattr(one.figures[-1], name)), help=help, width="content")
    drawn = f"Random sets are drawn from {f'the {pool:,} other' if outside else f'all {pool:,}'} classes with clips, "
    drawn += "the same for every run (seed 0)"
    if not outside:
        drawn += f"; on average {n * n / pool:.1f} of their {n:,} classes are named ones"
        drawn += ", so they differ little from these" * (n > 0.6 * pool)
    st.caption(f"{drawn}.")


def _beside(side: Side, groups: Grouped, outside: bool) -> Baseline:
    make = partial(random_baseline, scored.scores(side.item), groups, side.weights, outside=outside)
    key = tuple((name, tuple(members)) for name, members in groups.items())
    return cache.once(make, "baseline", side.key, key, outside, words="Evaluating random sets of classes")


def in_words(standing: Standing, n: int) -> str:
    """Where n named classes stand."""
    (mean, std), values, total = standing.random, standing.values, len(standing.values)
    same, easier = (sum(test(value, standing.named) for value in values) for test in (eq, gt))
    way, most = max(("Harder", easier), ("Easier", total - easier - same), key=lambda pair: pair[1])
    rank = f"{way} than {most:,} of the {total:,}" + (f", as hard as {same:,}" if same else "")
    rank = f"As hard as all {same:,}" if same == total else rank
    if standing.z is not None:
        z = f"z = {standing.z:+.2f}".replace("-", "\N{MINUS SIGN}")
        rank += f"; {abs(standing.z):.1f} standard deviations {'below' if standing.z < 0 else 'above'} their mean ({z})"
    spread = "" if std is None else f" ± {100 * std:.1f}"
    named = f"These {n:,} classes: **{percent(standing.named)}**"
    return f"{named}. {total:,} random sets of {n:,}: **{100 * mean:.1f}{spread} %**. {rank}."


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
