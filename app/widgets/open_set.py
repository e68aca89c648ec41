"""Could it say "none of these"? Known against unknown clips, and what a chosen rate really gives."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state
from app.charts import open_set as charts
from app.services import open_set as services
from app.services.evaluate import Row
from app.widgets.evaluate import choose_row
from cezsar.analysis.open_set import KINDS, ChosenBy, Simulation
from cezsar.report.figures import PLOT, Strip, percent
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.results import Figure

FEW = 30  # classes to choose a threshold on; with fewer, the rate that comes is far from the one that was asked for
LETTING_IN: ChosenBy = "false accept"
TURNING_AWAY: ChosenBy = "false reject"


def none_of_these(rows: Sequence[Row], protocol: Protocol) -> None:
    """Each split's classes are all there are to choose from; clips of other classes should be turned away."""
    st.subheader("Could it say “none of these”?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        rate = asked()
        kind = knownness()
        st.caption(f"{KINDS[kind].title.capitalize()}: {KINDS[kind].definition}. {KINDS[kind].source}.")
    item, weights = row.item, row.result.weights
    if item is None:
        return
    if max(len(split) for split in protocol.splits) > item.about["classes"] - 4:
        with answering:
            st.info(
                "This protocol leaves too few classes out: some must be unknown, to choose a threshold on and to try "
                "it on. Take the protocol **Half**, or **Random** with fewer classes.",
                icon=":material/info:",
            )
        return
    found = {name: services.simulated(item, weights, protocol, name, rate) for name in KINDS}
    with answering:
        said(found[kind])
        table(found, kind)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**What is kept, and what is let in** :gray[· dotted: asked for]")
        _oscr(row, protocol, found, rate)
    with right:
        st.markdown("**Unknown clips that really came in**")
        _got(found, rate)


def asked() -> float:
    """The share of unknown clips that may be let in."""
    percent_asked = st.slider(
        "Unknown clips to let in, at most (%)", 1, 30, 5, key=state.LET_IN, bind="query-params",
        help="A threshold on knownness is chosen so that at most this share of the clips of some unknown classes gets "
        "in. What it lets in of OTHER unknown classes is shown beside.",
    )  # fmt: skip
    return percent_asked / 100


def knownness() -> str:
    """Which number tells known from unknown clips."""
    names = list(KINDS)
    chosen = st.selectbox(
        "Knownness", names, format_func=lambda name: KINDS[name].title, key=state.KNOWNNESS, bind="query-params",
        help="A clip gets one number; it is let in, and named, where that is at least a threshold.",
    )  # fmt: skip
    return str(chosen)


def said(found: Simulation) -> None:
    """What it means, in plain sentences; with a warning where few classes are there to choose on."""
    aside, unknown = (_span([len(part) for part in parts]) for parts in _groups(found))
    let_in, kept = found.figure("false_accept", LETTING_IN), found.figure("right", LETTING_IN)
    auroc, accuracy = found.figure("auroc"), found.figure("accuracy")
    st.markdown(
        f"A clip of a known class looks more known than an unknown one **{_unbroken(auroc.mean)}** of the time (50 % "
        f"is guessing). With a threshold that let in at most {_rate(found)} of the clips of {aside} classes, "
        f"**{_figure(let_in)}** of the clips of {unknown} other unknown classes came in, and **{_figure(kept)}** of "
        f"the known clips were let in and named right; without a threshold {_unbroken(accuracy.mean)} are."
    )
    most = max(len(part) for part in _groups(found)[0])
    if most < FEW:
        st.warning(
            f"The rate you ask for is not the rate you get. Each threshold was chosen on clips of {aside} classes, and "
            f"other classes differ: {_rate(found)} was asked for, {_figure(let_in)} came in. Choose a "
            "threshold on many classes before you rely on it.",
            icon=":material/warning:",
        )


def _groups(found: Simulation) -> tuple[list[list[str]], list[list[str]]]:
    """Classes set aside, and unknown ones, of each run."""
    return [run.aside for run in found.runs], [run.unknown for run in found.runs]


def _span(counts: Sequence[int]) -> str:
    return f"{counts[0]:,}" if len(set(counts)) == 1 else f"{min(counts):,} to {max(counts):,}"


def _figure(figure: Figure) -> str:
    return f"{figure.percent()} %".replace(" ", "\N{NO-BREAK SPACE}")


def _unbroken(fraction: float) -> str:
    return percent(fraction).replace(" ", "\N{NO-BREAK SPACE}")


def _rate(found: Simulation) -> str:
    return f"{100 * found.rate:.0f}\N{NO-BREAK SPACE}%"


def table(found: dict[str, Simulation], kind: str) -> None:
    """The four kinds of knownness, the chosen one in bold; and what can be had without unknown clips."""
    rate = _rate(found[kind])
    columns: dict[str, list[str]] = {
        "Knownness": [KINDS[name].title for name in found],
        "AUROC": [one.figure("auroc").percent() for one in found.values()],
        "OSCR": [one.figure("oscr").percent() for one in found.values()],
        "FPR95": [one.figure("fpr95").percent() for one in found.values()],
        "Let in": [one.figure("false_accept", LETTING_IN).percent() for one in found.values()],
        "Kept, right": [one.figure("right", LETTING_IN).percent() for one in found.values()],
    }
    st.table(
        {head: [_cell(cell, name == kind) for name, cell in zip(found, cells, strict=True)]
         for head, cells in columns.items()},
        border="horizontal",
        hide_index=True,
        alt="How well each kind of knownness tells known clips from unknown ones",
    )  # fmt: skip
    st.caption(
        "In percent, mean ± deviation over splits. **AUROC** ↑: known above unknown, 50 is guessing. **OSCR** ↑: known "
        "and right above unknown. **FPR95** ↓: unknown clips let in where 95 % of the known ones are. **Let in** ↓ and "
        f"**kept, right** ↑: at the threshold for {rate}, of other unknown clips and of known ones.",
        help="Dhamija et al., NeurIPS 2018, for OSCR. A split's classes are known. Half of the others are set aside: "
        "the threshold, and the temperature of probability and energy, are chosen on their clips. The rest is unknown, "
        "and what all figures are about.",
    )
    by_known, turned = (found[kind].figure(name, TURNING_AWAY) for name in ("false_accept", "false_reject"))
    st.caption(
        f"Without unknown clips to choose on, a threshold for {rate} of known clips turned away, chosen among the "
        f"classes set aside by {KINDS[kind].title}, turns away {_figure(turned)} of other known clips and lets "
        f"{_figure(by_known)} of the unknown ones in."
    )


def _cell(text: str, bold: bool) -> str:
    unbroken = text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    return f"**{unbroken}**" if bold else unbroken


def _oscr(row: Row, protocol: Protocol, found: dict[str, Simulation], rate: float) -> None:
    assert row.item is not None
    curves = []
    for name in found:
        curve = services.curve(row.item, row.result.weights, protocol, name)
        curves.append((KINDS[name].title, curve.false_S, curve.right_S))
    accuracy = next(iter(found.values())).figure("accuracy").mean
    told = ", ".join(f"{KINDS[name].title} {percent(one.figure('oscr').mean)}" for name, one in found.items())
    st.plotly_chart(
        charts.oscr_figure(curves, accuracy, rate), key="oscr-chart", config=PLOT,
        alt=f"OSCR curves, mean over splits. Areas: {told}",
    )  # fmt: skip


def _got(found: dict[str, Simulation], rate: float) -> None:
    strips = [
        Strip(
            KINDS[name].title,
            [float(run.by_unknown.figures()["false_accept"] or 0.0) for run in one.runs],
            one.figure("false_accept", LETTING_IN).percent(),
        )
        for name, one in found.items()
    ]
    told = "; ".join(f"{strip.title} {strip.figure} %" for strip in strips)
    st.plotly_chart(
        charts.got_figure(strips, rate), key="got-chart", config=PLOT,
        alt=f"Unknown clips let in, split by split, where {percent(rate)} was asked for. {told}",
    )  # fmt: skip
