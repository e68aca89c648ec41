"""Whether hard groups are hard: their classes beside random sets of as many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import state
from app.services import confusion as services
from app.services.confusion import Matrix
from app.widgets.hard_groups import BETWEEN, WITHIN
from app.widgets.words import plain, sentence
from cezsar.analysis.baselines import RUNS, Baseline, Standing
from cezsar.errors import CezsarError
from cezsar.report import figures
from cezsar.report.figures import PLOT, percent

ALL = "all groups together"


def control(a: Matrix, b: Matrix | None, groups: Mapping[str, Sequence[str]]) -> None:
    """The named classes among random sets: a figure, and what it says."""
    if not groups:
        return
    st.markdown(
        "**Harder than random classes?**",
        help="Fewer classes are easier to choose from, so the accuracy among a few look-alikes says little beside that "
        f"among all. Beside {RUNS} random sets of as many classes it does: the paper's fifteen hard classes of UCF-101 "
        "give 63.3 %, random fifteen 70.4 ± 6.3 % (Section 5).",
    )
    chosen, outside = _asked(a, groups)
    sides = [a] if b is None else [a, b]
    if not all(services.is_quick(side.side) for side in sides) and not st.button(
        f"Compute for {RUNS} random sets", help="On this many clips it takes a while."
    ):
        return
    letters = [""] if b is None else ["A: ", "B: "]
    try:
        found = {
            letter: services.control(side.side, chosen, outside) for letter, side in zip(letters, sides, strict=True)
        }
    except CezsarError as error:
        st.caption(sentence(error))
        return
    first = next(iter(found.values()))
    if not outside and len(first.classes) == len(first.pool):
        st.caption(f"These groups hold all {len(first.pool):,} classes with clips: any set of as many is the same.")
        return
    standings = {letter: each.standing() for letter, each in found.items()}
    figure, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    with figure:
        st.plotly_chart(
            figures.standing(standings), key="control", config=PLOT,
            alt=" ".join(said(each, letter, marks=False) for letter, each in found.items()),
        )  # fmt: skip
    with words:
        for letter, each in found.items():
            st.markdown(said(each, letter))
            _errors(each, letter)
    st.caption(_overlap(first, outside))


def _asked(a: Matrix, groups: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], bool]:
    """The groups that are tested together, and whether random sets are drawn outside of them."""
    options = [ALL, *groups] if len(groups) > 1 else list(groups)
    if st.session_state.get(state.CONTROLLED) not in options:
        st.session_state.pop(state.CONTROLLED, None)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        picked = st.selectbox(
            "Classes of", options, key=state.CONTROLLED, bind="query-params", persist_state="session", width=320
        ) or options[0]  # fmt: skip
        chosen = {name: list(members) for name, members in groups.items() if picked in (ALL, name)}
        possible = services.can_draw_outside(a.side, chosen)
        outside = st.toggle(
            "Draw from other classes only", key=state.OUTSIDE, bind="query-params", disabled=not possible,
            help="Otherwise a random set may have some of these classes in it, as the paper's may."
            + ("" if possible else " Here too few others have clips."),
        )  # fmt: skip
    return chosen, outside and possible


def said(found: Baseline, letter: str = "", marks: bool = True) -> str:
    """Where the named classes stand, in words."""
    standing, n = found.standing(), len(found.classes)
    bold = "**" if marks else ""
    mean, std = standing.random
    spread = "" if std is None else f" ± {100 * std:.1f}"
    text = (
        f"{letter}These {n:,} classes: {bold}{percent(standing.named)}{bold}. {len(standing.values):,} random sets of "
        f"{n:,}: {bold}{100 * mean:.1f}{spread} %{bold}. "
    )
    return text + f"{_ranked(standing)}{_deviations(standing)}."


def _ranked(standing: Standing) -> str:
    """Such as "harder than 26 of the 30 random sets, as hard as 1"."""
    easier = sum(value > standing.named for value in standing.values)
    same = sum(value == standing.named for value in standing.values)
    harder = len(standing.values) - easier - same
    total = f"of the {len(standing.values):,}"
    way, count = ("Harder", easier) if easier >= harder else ("Easier", harder)
    if same == len(standing.values):
        return f"As hard as all {same:,}"
    return f"{way} than {count:,} {total}" + (f", as hard as {same:,}" if same else "")


def _deviations(standing: Standing) -> str:
    if standing.z is None:
        return ""
    way = "below" if standing.z < 0 else "above"
    return f"; {abs(standing.z):.1f} standard deviations {way} their mean (z = {standing.z:+.2f})".replace(
        "z = -", "z = \N{MINUS SIGN}"
    )


def _errors(found: Baseline, letter: str) -> None:
    """Errors within and between groups, when these classes are all there is to choose from."""
    total = found.figures[-1]
    with st.container(horizontal=True, gap="medium"):
        for name, value, help in (("Within-group error", total.within, WITHIN), ("between", total.between, BETWEEN)):
            title = name if name != "between" else "Between-group error"
            st.metric(
                f"{plain(letter)}{title}", "–" if value is None else percent(value),
                help=f"{help} Here these classes are all there is to choose from.", width="content",
            )  # fmt: skip


def _overlap(found: Baseline, outside: bool) -> str:
    n, pool = len(found.classes), len(found.pool)
    if outside:
        return f"Random sets are drawn from the {pool:,} other classes with clips, the same for every run (seed 0)."
    shared = n * n / pool
    return (
        f"Random sets are drawn from all {pool:,} classes with clips, the same for every run (seed 0); on average "
        f"{shared:.1f} of their {n:,} classes are named ones"
        + (", so they differ little from these." if shared > 0.6 * n else ".")
    )
