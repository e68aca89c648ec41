"""Differences between rows, how large and how sure; and corrections: other ways to read off classes."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from functools import partial

import streamlit as st

from app import cache, state
from app.evaluate.rows import Row, choose, choose_row, key_of, names, table, unbroken
from app.parts import scored, show
from app.parts.words import plain
from cezsar.analysis.comparison import Comparison
from cezsar.formats import stamp
from cezsar.report import figures
from cezsar.report.figures import points
from cezsar.zeroshot.evaluation import Correctness, Figure, correctness, figure_of
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.hubness_reduction import BASELINE, FUSED, MEAN_SENTENCE, REDUCTIONS, Reduction, reduced
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored

Reached = tuple[Reduction, Figure, Comparison | None]  # a reduction, its top-1, the difference to none (None for none)


def all_against(rows: Sequence[Row], against: int, protocol: Protocol) -> list[Comparison]:
    """Every other row (a) with the row `against` (b), in their order."""
    named = list(zip(names(rows), (row.hits(protocol) for row in rows), strict=True))
    return [
        compared(named[index], named[against], row.marks(protocol), rows[against].marks(protocol))
        for index, row in enumerate(rows)
        if index != against
    ]


def compared(a: tuple[str, Correctness], b: tuple[str, Correctness], *marks: Hashable) -> Comparison:
    """`compare`, once for each content; `marks` say what the hits were made from."""
    import numpy as np

    from cezsar.analysis.comparison import compare

    def make() -> Comparison:
        return compare(a, b, np.random.default_rng(0))  # the seed of `cezsar compare`

    return cache.once(make, "compared", a[0], b[0], *marks, words="Resampling videos and splits")


def differences(rows: Sequence[Row], protocol: Protocol) -> None:
    """A row against another, clip for clip; every other row against the same one beside it."""
    if len(rows) < 2:
        return show.info("There is one row only. Choose more **Rows**, or a run to **Compare with**.")
    st.subheader("Is it better, and how sure is that?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = choose_row(rows)
        titles, item = names(rows), rows[row].item  # at first another run's fusion, or the first row there is
        options = [title for index, title in enumerate(titles) if index != row]
        elsewhere = [name for name, it in zip(titles, rows, strict=True) if not it.control and it.item is not item]
        help = "The row that all others are compared with: asked about the same clips in the same splits."
        against = titles.index(choose("Against", options, (elsewhere or options[:1])[-1], state.AGAINST, help))
    found = all_against(rows, against, protocol)
    one, others = found[row - (row > against)], [index for index in range(len(rows)) if index != against]
    with answering:
        headline(one)
        whiskers = [
            figures.Whisker(each.a, each.difference, each.interval[0], index == row, rows[index].control)
            for index, each in zip(others, found, strict=True)
        ]
        told = "; ".join(f"{w.title} {points(w.difference)}, {_ends(w.interval)}" for w in whiskers)
        alt = f"Differences to {one.b} in points with their 95 % intervals. {told}"
        show.figure(figures.forest(whiskers, one.b), "forest-chart", alt)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        by_class(one)
    with right:
        sureness(one)
        show.downloads(("JSON", "differences.json", partial(to_json, found), "Everything, each split and each class."))
    return None


def _ends(interval: figures.Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def headline(one: Comparison) -> None:
    """The difference, its interval, and who wins how often."""
    ends, over = one.interval
    st.markdown(f"{plain(one.summary())}.")
    st.caption(
        f"The interval over {over} holds 0: with others, it may be the other way round."
        if ends.low <= 0 <= ends.high
        else f"The interval over {over} does not hold 0: chance in the choice of {over} hardly explains it."
    )
    if one.only_a or one.only_b:
        only = f"{one.only_a:,} of {plain(one.a)}, {one.only_b:,} of {plain(one.b)}"
        st.caption(f"Clips that only one of them has count nowhere: {only}.")


def by_class(one: Comparison) -> None:
    """The classes with the largest differences."""
    tally, shown = one.by_class, figures.largest(one.classes)
    st.markdown(f"**Class by class** :gray[· {tally.wins:,} won, {tally.losses:,} lost, {tally.ties:,} level]")
    if shown.empty:
        st.caption("No class differs.")
        return
    told = ", ".join(f"{row['name']} {points(row['difference'])}" for row in shown.to_dict("records"))
    show.figure(figures.differences(shown), "class-differences", f"Difference of each class in points: {told}")
    more = f"The {len(shown):,} largest differences. " if len(shown) < tally.wins + tally.losses else ""
    st.caption(f"{more}Right: {plain(one.a)} is right more often. Left: {plain(one.b)} is.")


def sureness(one: Comparison) -> None:
    """All intervals and all tests, each with what it answers."""
    st.markdown("**How sure** :gray[· 95 % intervals of the difference, in points]")
    over = (
        ("videos and splits", one.over_both, "other videos and other splits; rather too wide than too narrow"),
        ("videos", one.over_videos, "other videos, these splits" if one.over_both else "other videos"),
        ("splits", one.over_splits, "other splits, these videos; too narrow where there are few splits"),
    )
    what = "What if there had been ..."
    there = [{"Over": name, "From": points(e.low), "To": points(e.high), what: said} for name, e, said in over if e]
    table(there, alt="95 % intervals of the difference")
    tests = [
        ("classes", one.by_class, "sign test over classes, with these clips"),
        ("splits", one.splits, "splits share clips: this describes these splits, and is no evidence"),
        ("clips", None if one.splits else one.runs[0].videos, "McNemar's exact test"),
    ]
    signs = [
        {"Of": name, "Won": f"{tally.wins:,}", "Lost": f"{tally.losses:,}",
         "p": unbroken(tally.how_probable().lstrip("= ")), "Exact sign test": what}
        for name, tally, what in tests if tally
    ]  # fmt: skip
    table(signs, alt="Sign tests of wins and losses")
    st.caption(
        f"Percentile bootstrap, {one.resamples:,} resamples. p: how probable wins and losses at least as uneven are if "
        "either is as likely; nothing is corrected for looking at several rows."
    )


def to_json(found: Sequence[Comparison]) -> str:
    """Everything, each run and each class."""
    content = stamp("comparisons") | {"comparisons": [one.to_dict() for one in found]}
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def reached(item: Scored, weights: Weights, protocol: Protocol) -> list[Reached]:
    """Every reduction that can change an accuracy here, on every run, each with its paired difference to none."""
    found: list[Reached] = []
    plainly: Correctness | None = None
    several = scored.scores(item).first_columns is not None
    for one in (each for each in REDUCTIONS.values() if several or each is not MEAN_SENTENCE):

        def make(one: Reduction = one) -> Correctness:
            source = scored.embeddings(item) if one.needs_vectors else scored.scores(item)
            return correctness(reduced(source, one, weights), protocol, FUSED)

        marks = (item.fingerprint, weights, one.name, key_of(protocol))
        right = cache.once(make, "reduced", *marks, words="Correcting the scores of every split")
        difference = compared((one.title, right), (BASELINE.title, plainly), *marks) if plainly else None
        plainly = plainly or right
        found.append((one, figure_of(right.accuracy().tolist()), difference))
    return found


def corrections(rows: Sequence[Row], protocol: Protocol) -> None:
    """A table of accuracies with each correction and its difference to none, and what each assumes."""
    st.subheader("Other ways to read classes off the same embeddings", anchor=False)
    asked = rows[choose_row(rows)]
    st.warning(
        "A transductive figure is no plain accuracy: it looks at all test clips of a split, unlabelled. Do not set it "
        "beside methods that see one clip at a time.", icon=":material/warning:",
    )  # fmt: skip
    cells, does = [], []
    for one, top1, difference in reached(asked.item, asked.result.weights, protocol):
        title, told = plain(f"{one.title} ({one.setting})" if one.setting else one.title), ""
        if difference:
            ends, over = difference.interval
            told = f"{points(difference.difference)} [{points(ends.low)}, {points(ends.high)}] over {over}"
        cells.append({
            "Correction": title, "Top-1 (%)": unbroken(top1.percent()), "To none (points, 95 % interval)": told,
            "Sees": "all test clips" if one.transductive else "one clip", "Assumes": plain(one.assumes),
        })  # fmt: skip
        does.append(f"- **{title}.** {plain(one.does)} :gray[{plain(one.source)}.]")
    table(cells, alt="Accuracy with each correction, how much it sees and what it assumes")
    with st.expander("What each of them does", icon=":material/functions:"):
        st.markdown("\n".join(does))
