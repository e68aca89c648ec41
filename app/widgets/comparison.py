"""Differences between rows of the page Evaluate: how large, how sure, in which classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import state
from app.services import comparison as services
from app.services.evaluate import Row
from app.widgets.evaluate import choose_row, keep_known
from app.widgets.words import plain
from cezsar.analysis.comparison import Comparison, Tally
from cezsar.report import figures
from cezsar.report.figures import PLOT, percent, signed
from cezsar.zeroshot.protocols import Protocol


def differences(rows: Sequence[Row], protocol: Protocol) -> None:
    """A row against another, clip for clip; every other row against the same one beside it."""
    if len(rows) < 2:
        st.info("There is one row only. Choose more **Rows**, or a run to **Compare with**.", icon=":material/info:")
        return
    st.subheader("Is it better, and how sure is that?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = choose_row(rows)
        against = choose_other(rows, row)
        st.caption(
            "Paired: both are asked about the same clips in the same splits, and what counts is who is right about "
            "which. Points are percentage points of top-1."
        )
    found = services.differences(rows, against, protocol)
    one = found[row - (row > against)]
    with answering:
        headline(one)
        _forest(rows, row, against, found)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        by_class(one)
    with right:
        sureness(one)
        files(found)


def choose_other(rows: Sequence[Row], row: int) -> int:
    """What the chosen row is compared with: at first another run's fusion, or the first row there is."""
    names = services.names(rows)
    options = [name for index, name in enumerate(names) if index != row]
    own = [index for index, one in enumerate(rows) if not one.control]
    elsewhere = [index for index in own if rows[index].item is not rows[row].item]
    first = names[elsewhere[-1]] if elsewhere else options[0]
    keep_known(state.AGAINST, options, first)
    name = st.selectbox(
        "Against", sorted(options, key=lambda option: option != first), key=state.AGAINST, bind="query-params",
        help="The row that all others are compared with.",
    )  # fmt: skip
    return names.index(name)


def headline(one: Comparison) -> None:
    """The difference, its interval, and who wins how often."""
    interval, over = services.interval(one)
    size = f"{100 * abs(one.difference):.1f}"
    lead = f"{size} points {'above' if one.difference > 0 else 'below'}" if float(size) else "level with"
    st.markdown(f"**{plain(one.a)}** is **{lead}** **{plain(one.b)}**.")
    with st.container(key="metrics-difference"):
        _metric(
            "Difference (points)",
            signed(one.difference),
            f"95 %: {signed(interval.low)} to {signed(interval.high)}",
            f"Top-1 of the one less that of the other, mean over splits. Below, its 95 % interval over {over}.",
        )
        _metric(
            "Top-1", percent(one.accuracy_a), f"against {percent(one.accuracy_b)}",
            f"Mean over splits, over the {one.clips:,} clips that both were asked about.",
        )  # fmt: skip
        if one.splits:
            _metric("Splits won", f"{one.splits.wins:,} of {len(one.runs):,}", _lost(one.splits), "Top-1 of a split.")
        else:
            clips = one.runs[0].videos
            _metric(
                "Clips won", f"{clips.wins:,} of {one.runs[0].clips:,}", f"{clips.losses:,} lost, {p_value(clips)}",
                "Clips that only the one gets right; lost: that only the other does. p of McNemar's exact test.",
            )  # fmt: skip
        _metric(
            "Classes won", f"{one.by_class.wins:,} of {len(one.classes):,}", _lost(one.by_class),
            "Classes for which it is right more often, mean over the splits that tested the class.",
        )  # fmt: skip
    zero = interval.low <= 0 <= interval.high
    st.caption(
        f"The interval over {over} holds 0: with others, it may be the other way round."
        if zero
        else f"The interval over {over} does not hold 0: chance in the choice of {over} hardly explains it."
    )
    if one.only_a or one.only_b:
        st.caption(
            f"Clips that only one of them has count nowhere: {one.only_a:,} of {plain(one.a)}, {one.only_b:,} of "
            f"{plain(one.b)}."
        )


def _metric(title: str, value: str, below: str, help_text: str) -> None:
    st.metric(title, value, below, delta_color="off", delta_arrow="off", help=help_text, border=True)


def _lost(tally: Tally) -> str:
    return f"{tally.losses:,} lost, {tally.ties:,} level"


def p_value(tally: Tally) -> str:
    return f"p = {tally.p:.3f}" if tally.p >= 0.001 else "p < 0.001"


def _forest(rows: Sequence[Row], row: int, against: int, found: Sequence[Comparison]) -> None:
    others = [index for index in range(len(rows)) if index != against]
    whiskers = [
        figures.Whisker(one.a, one.difference, services.interval(one)[0], index == row, rows[index].control)
        for index, one in zip(others, found, strict=True)
    ]
    name = services.names(rows)[against]
    told = "; ".join(
        f"{one.title} {signed(one.difference)}, {signed(one.interval.low)} to {signed(one.interval.high)}"
        for one in whiskers
    )
    st.plotly_chart(
        figures.forest(whiskers, name),
        key="forest-chart",
        config=PLOT,
        alt=f"Differences to {name} in points with their 95 % intervals. {told}",
    )


def by_class(one: Comparison) -> None:
    """The classes with the largest differences."""
    tally = one.by_class
    st.markdown(f"**Class by class** :gray[· {tally.wins:,} won, {tally.losses:,} lost, {tally.ties:,} level]")
    shown = figures.largest(one.classes)
    if not shown:
        st.caption("No class differs.")
        return
    st.plotly_chart(
        figures.differences(shown),
        key="class-differences",
        config=PLOT,
        alt="Difference of each class in points: " + ", ".join(f"{c.name} {signed(c.difference)}" for c in shown),
    )
    apart = tally.wins + tally.losses
    more = f"The {len(shown):,} largest differences of {apart:,}; all are in the files. " if len(shown) < apart else ""
    st.caption(f"{more}Right: {plain(one.a)} is right more often. Left: {plain(one.b)} is.")


def sureness(one: Comparison) -> None:
    """All intervals and all tests, each with what it answers."""
    st.markdown("**How sure** :gray[· 95 % intervals of the difference, in points]")
    over = (
        ("videos and splits", one.over_both, "other videos and other splits; rather too wide than too narrow"),
        ("videos", one.over_videos, "other videos, these splits" if one.over_both else "other videos"),
        ("splits", one.over_splits, "other splits, these videos; too narrow where there are few splits"),
    )
    there = [(name, ends, what) for name, ends, what in over if ends is not None]
    st.table(
        {
            "Over": [name for name, *_ in there],
            "From": [signed(ends.low) for _, ends, _ in there],
            "To": [signed(ends.high) for _, ends, _ in there],
            "What if there had been ...": [what for *_, what in there],
        },
        border="horizontal",
        hide_index=True,
        alt="95 % intervals of the difference",
    )
    tests = [("classes", one.by_class, "sign test over classes, with these clips")]
    if one.splits:
        tests.append(("splits", one.splits, "splits share clips: this describes these splits, and is no evidence"))
    else:
        tests.append(("clips", one.runs[0].videos, "McNemar's exact test"))
    st.table(
        {
            "Of": [name for name, *_ in tests],
            "Won": [f"{tally.wins:,}" for _, tally, _ in tests],
            "Lost": [f"{tally.losses:,}" for _, tally, _ in tests],
            "p": [
                p_value(tally).removeprefix("p ").removeprefix("= ").replace(" ", "\N{NO-BREAK SPACE}")
                for _, tally, _ in tests
            ],
            "Exact sign test": [what for *_, what in tests],
        },
        border="horizontal",
        hide_index=True,
        alt="Sign tests of wins and losses",
    )
    st.caption(
        f"Percentile bootstrap, {one.resamples:,} resamples. p: how probable wins and losses at least as uneven are if "
        "either is as likely; nothing is corrected for looking at several rows."
    )


def files(found: Sequence[Comparison]) -> None:
    """Every pair of the chart, as files."""
    kinds = (
        ("Pairs", partial(services.pairs_csv, found), "differences.csv", "text/csv",
         "CSV: a line for each row of the chart, with all intervals and tests, as fractions."),
        ("Classes", partial(services.classes_csv, found), "differences-by-class.csv", "text/csv",
         "CSV: a line for each class of each row of the chart, as fractions."),
        ("JSON", partial(services.to_json, found), "differences.json", "application/json",
         "Everything, with each split and each class."),
    )  # fmt: skip
    with st.container(horizontal=True):
        for title, make, name, mime, words in kinds:
            st.download_button(
                title, make, name, mime, key=f"export-{name}", icon=":material/download:", on_click="ignore", help=words
            )
