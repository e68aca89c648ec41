"""Corrections: what other ways to read classes off the same embeddings reach, each with what it assumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from app import cache
from app.services import evaluate, scored
from app.services.comparison import compared, interval
from app.services.evaluate import Row
from app.widgets.evaluate import choose_row
from app.widgets.words import plain
from cezsar.analysis.comparison import Comparison
from cezsar.report.figures import points
from cezsar.zeroshot.evaluation import Correctness, correctness_by_run
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.hubness_reduction import BASELINE, FUSED, MEAN_SENTENCE, REDUCTIONS, Reduction, reduced
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scored import Scored


@dataclass(frozen=True)
class ReductionRow:
    """One hubness reduction.

    Attributes:
        top1: fraction right, mean and deviation over splits.
        difference: to none; None for that itself.
    """

    reduction: Reduction
    top1: Figure
    difference: Comparison | None


def applicable(item: Scored) -> list[Reduction]:
    """Those that can change an accuracy here, plain scores first."""
    several = scored.scores(item).first_columns is not None
    return [one for one in REDUCTIONS.values() if several or one is not MEAN_SENTENCE]


def lines(item: Scored, weights: Weights, protocol: Protocol) -> list[ReductionRow]:
    """Every applicable reduction on every run of the protocol, each with its paired difference to none.

    Raises:
        CezsarError: scores or embeddings that cannot be read, or that do not fit the protocol.
    """
    key, found = evaluate.key_of(protocol), []
    plain: Correctness | None = None
    for one in applicable(item):
        marks = (item.fingerprint, repr(weights), one.name)
        right = cache.once(
            partial(_correct, item, weights, protocol, one), "reduced", *marks, key,
            words="Correcting the scores of every split",
        )  # fmt: skip
        difference = compared(marks, key, (one.title, right), (BASELINE.title, plain)) if plain else None
        plain = plain or right
        found.append(ReductionRow(one, figure_of(right.accuracy().tolist()), difference))
    return found


def _correct(item: Scored, weights: Weights, protocol: Protocol, reduction: Reduction) -> Correctness:
    source = scored.embeddings(item) if reduction.needs_vectors else scored.scores(item)
    return correctness_by_run(reduced(source, reduction, weights), protocol, FUSED)


def corrections(rows: Sequence[Row], protocol: Protocol) -> None:
    """A table of accuracies with each correction and its difference to none, and what each assumes."""
    st.subheader("Other ways to read classes off the same embeddings", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Some class descriptions are hubs, nearest to clips of all classes; and clips and descriptions fill "
            "different regions of the space. Corrections make up for that, at a price: each assumes something."
        )
    if row.item is None:
        return
    shown = lines(row.item, row.result.weights, protocol)
    with answering:
        st.warning(
            "A transductive figure is no plain accuracy: such a correction looks at all test clips of a split at once. "
            "Do not set it beside methods that see one clip at a time.",
            icon=":material/warning:",
        )
        table(shown)
        st.markdown("**What each of them assumes**")
        st.markdown(
            "\n".join(f"- **{plain(line.reduction.title)}**: {plain(line.reduction.assumes)}" for line in shown)
        )
    with st.expander("What each of them does", icon=":material/functions:"):
        for line in shown:
            one = line.reduction
            st.markdown(f"**{plain(title(line))}.** {plain(one.does)} :gray[{plain(one.source)}.]")
        st.caption("A temperature is none of them: it changes no ranking, hence no accuracy.")


def title(line: ReductionRow) -> str:
    """Its name, with its setting where it has one: CSLS (k = 10)."""
    one = line.reduction
    return f"{one.title} ({one.setting})" if one.setting else one.title


def table(lines: Sequence[ReductionRow]) -> None:
    """Top-1 with each correction, the paired difference to none, and what it sees."""
    cells = []
    for line in lines:
        one, difference = line.reduction, ""
        if line.difference is not None:
            ends, _ = interval(line.difference)
            difference = f"{points(line.difference.difference)} [{points(ends.low)}, {points(ends.high)}]"
        cells.append(
            {
                "Correction": plain(title(line)),
                "Top-1 (%)": line.top1.percent(),
                "To none (points)": difference,
                "Sees": "all test clips" if one.transductive else "one clip",
            }
        )
    st.table(
        {head: [row[head].replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}") for row in cells]
         for head in cells[0]},
        border="horizontal",
        hide_index=True,
        alt="Accuracy with each correction, and how much it sees",
    )  # fmt: skip
    found = [line.difference for line in lines if line.difference is not None]
    over = f", over {interval(found[0])[1]}" if found else ""
    st.caption(
        f"In brackets: the 95 % interval of the paired difference{over}. All test clips: of a split, unlabelled."
    )
