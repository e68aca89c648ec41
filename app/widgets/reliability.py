"""Reliability: what scores promise as probabilities, and what comes of it on other classes."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.charts import reliability as charts
from app.services import reliability as services
from app.services.evaluate import Row
from app.services.reliability import Trust
from app.widgets.evaluate import choose_row
from cezsar.report.figures import PLOT, percent
from cezsar.zeroshot.protocols import Protocol


def reliability(rows: Sequence[Row], protocol: Protocol) -> None:
    """A diagram at T = 1, and at T fitted on other classes."""
    st.subheader("Can its probabilities be trusted?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Cosine similarities order classes; softmax(score / T) makes probabilities of them. In each split T is "
            "fitted on clips of the classes that the split leaves out, ranked among these, and told on its own.",
            help="Guo et al., On Calibration of Modern Neural Networks, ICML 2017. T changes no answer. The expected "
            "calibration error (ECE) is the mean distance of probability and accuracy over 15 bins; few clips make it "
            "too large.",
        )
    if row.item is None:
        return
    if max(len(split) for split in protocol.splits) > row.item.about["classes"] - 2:
        with answering:
            st.info(
                "T is fitted on classes that a split leaves out, and this protocol leaves too few. Take **Half**, or "
                "**Random** with fewer classes.",
                icon=":material/info:",
            )
        return
    found = services.trust(row.item, row.result.weights, protocol)
    with answering:
        figures(found)
        diagrams = [("T = 1", found.before.diagram), ("T fitted on other classes", found.after.diagram)]
        st.plotly_chart(
            charts.reliability_figure(diagrams), key="reliability-chart", config=PLOT,
            alt=f"Accuracy against probability. Expected calibration error {percent(found.before.ece.mean)} at T = 1, "
            f"{percent(found.after.ece.mean)} at the fitted T",
        )  # fmt: skip
        st.caption("Dotted: as promised. Above it, scores promise too little; below, too much. Larger: more clips.")


def figures(found: Trust) -> None:
    """What is promised and what is kept; both calibration errors, and T."""
    st.markdown(
        f"Its answers are right **{percent(found.accuracy.mean)}** of the time. As they are, scores promise "
        f"{percent(found.before.confidence.mean)}; with T fitted on other classes, "
        f"**{percent(found.after.confidence.mean)}**."
    )
    rows = (
        ("ECE at T = 1", found.before.ece, "The scores as they are."),
        ("ECE at T fitted", found.after.ece, "With T from the classes that the split leaves out."),
    )
    with st.container(key="metrics-reliability"):
        for title, figure, help_text in rows:
            spread = "" if figure.std is None else f"± {100 * figure.std:.1f} over splits"
            _metric(title, percent(figure.mean), spread, f"{help_text} Lower is better.")
        t = found.temperature
        spread = "" if t.std is None else f"± {t.std:.3f} over splits"
        _metric("T fitted", f"{t.mean:.3f}", spread, "Mean and deviation over splits.")


def _metric(title: str, value: str, spread: str, help_text: str) -> None:
    st.metric(title, value, spread or None, delta_color="off", delta_arrow="off", border=True, help=help_text)
