"""Corrections: what other ways to read classes off the same embeddings reach, each with what it assumes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import cache
from app.evaluate.differences import compared, interval
from app.evaluate.rows import Row, choose_row, key_of, unbroken
from app.services import scored
from app.widgets.words import plain
from cezsar.analysis.comparison import Comparison
from cezsar.report.figures import points
from cezsar.zeroshot.evaluation import Correctness, correctness_by_run
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.hubness_reduction import BASELINE, FUSED, MEAN_SENTENCE, REDUCTIONS, Reduction, reduced
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scored import Scored

Reached = tuple[Reduction, Figure, Comparison | None]  # a reduction, its top-1, the difference to none (None for none)


def applicable(item: Scored) -> list[Reduction]:
    """Those that can change an accuracy here, plain scores first."""
    several = scored.scores(item).first_columns is not None
    return [one for one in REDUCTIONS.values() if several or one is not MEAN_SENTENCE]


def reached(item: Scored, weights: Weights, protocol: Protocol) -> list[Reached]:
    """Every applicable reduction on every run of the protocol, each with its paired difference to none."""
    found: list[Reached] = []
    uncorrected: Correctness | None = None
    for one in applicable(item):

        def make(one: Reduction = one) -> Correctness:
            source = scored.embeddings(item) if one.needs_vectors else scored.scores(item)
            return correctness_by_run(reduced(source, one, weights), protocol, FUSED)

        marks = (item.fingerprint, weights, one.name, key_of(protocol))
        right = cache.once(make, "reduced", *marks, words="Correcting the scores of every split")
        difference = compared((one.title, right), (BASELINE.title, uncorrected), *marks) if uncorrected else None
        uncorrected = uncorrected or right
        found.append((one, figure_of(right.accuracy().tolist()), difference))
    return found


def show(rows: Sequence[Row], protocol: Protocol) -> None:
    """A table of accuracies with each correction and its difference to none, and what each assumes."""
    st.subheader("Other ways to read classes off the same embeddings", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Some class descriptions are hubs, nearest to clips of all classes; and clips and descriptions fill "
            "different regions of the space. Corrections make up for that, at a price: each assumes something."
        )
    found = reached(row.item, row.result.weights, protocol)
    titles = [f"{one.title} ({one.setting})" if one.setting else one.title for one, *_ in found]
    with answering:
        st.warning(
            "A transductive figure is no plain accuracy: such a correction looks at all test clips of a split at once. "
            "Do not set it beside methods that see one clip at a time.",
            icon=":material/warning:",
        )
        columns: dict[str, list[str]] = {
            "Correction": [plain(title) for title in titles],
            "Top-1 (%)": [unbroken(top1.percent()) for _, top1, _ in found],
            "To none (points)": [_with_interval(difference) for *_, difference in found],
            "Sees": ["all test clips" if one.transductive else "one clip" for one, *_ in found],
        }
        alt = "Accuracy with each correction, and how much it sees"
        st.table(columns, border="horizontal", hide_index=True, alt=alt)
        over = [interval(difference)[1] for *_, difference in found if difference][:1]
        st.caption(
            f"In brackets: the 95 % interval of the paired difference{''.join(f', over {name}' for name in over)}. All "
            "test clips: of a split, unlabelled."
        )
        st.markdown("**What each of them assumes**")
        st.markdown("\n".join(f"- **{plain(one.title)}**: {plain(one.assumes)}" for one, *_ in found))
    with st.expander("What each of them does", icon=":material/functions:"):
        for title, (one, *_) in zip(titles, found, strict=True):
            st.markdown(f"**{plain(title)}.** {plain(one.does)} :gray[{plain(one.source)}.]")
        st.caption("A temperature is none of them: it changes no ranking, hence no accuracy.")


def _with_interval(found: Comparison | None) -> str:
    if found is None:
        return ""
    ends, _ = interval(found)
    return f"{points(found.difference)} [{points(ends.low)}, {points(ends.high)}]"
