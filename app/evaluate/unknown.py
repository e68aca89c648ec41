"""What a row of the page Evaluate knows about what it does not know: "none of these", and probabilities that hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import cache, state
from app.evaluate.rows import Row, choose_row, key_of, table, unbroken
from app.parts import scored, show
from app.parts.choosers import one_of
from cezsar.analysis.calibration import Transferred, transferred
from cezsar.analysis.open_set import Simulation, simulate
from cezsar.report import figures
from cezsar.report.figures import Strip, percent
from cezsar.zeroshot.evaluation import Figure
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import KINDS, RATE, ChosenBy
from cezsar.zeroshot.scored import Scored

FEW = 30  # classes to choose a threshold on; with fewer, the rate that comes is far from the one that was asked for
MEASURES: tuple[tuple[str, str, ChosenBy | None], ...] = (
    ("AUROC ↑", "auroc", None), ("OSCR ↑", "oscr", None), ("FPR95 ↓", "fpr95", None),
    ("Let in ↓", "false_accept", "false accept"), ("Kept, right ↑", "right", "false accept"),
    ("Turned away ↓", "false_reject", "false reject"), ("Then let in ↓", "false_accept", "false reject"),
)  # fmt: skip


def simulated(item: Scored, weights: Weights, protocol: Protocol, kind: str, rate: float = RATE) -> Simulation:
    """`simulate`, cached; what is drawn comes from seed 0."""
    make = partial(simulate, scored.scores(item), protocol, weights, kind, rate=rate)
    words = "Choosing thresholds on some classes, trying them on others"
    return cache.once(make, "open set", item.fingerprint, weights, key_of(protocol), kind, rate, words=words)


def trust(item: Scored, weights: Weights, protocol: Protocol) -> Transferred:
    """`transferred`, cached: T fitted on the classes that a run leaves out, told on its own."""
    make = partial(transferred, scored.scores(item), weights, protocol)
    words = "Fitting the temperature on some classes, telling it on others"
    return cache.once(make, "reliability", item.fingerprint, weights, key_of(protocol), words=words)


def _leaves(item: Scored, protocol: Protocol, least: int) -> bool:
    """Whether every split leaves so many classes out; says so if not."""
    enough: bool = max(map(len, protocol.splits)) <= item.about["classes"] - least
    if not enough:
        show.info(f"A split must leave {least} classes out. Take **Half**, or **Random** with fewer classes.")
    return enough


def none_of_these(rows: Sequence[Row], protocol: Protocol) -> None:
    """Each split's classes are all there are to choose from; clips of other classes should be turned away."""
    st.subheader("Could it say “none of these”?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        rate = st.slider(
            "Unknown clips to let in, at most (%)", 1, 30, 5, key=state.LET_IN, bind="query-params",
            help="A threshold lets in at most this share of the clips of some unknown classes; beside stands what it "
            "lets in of OTHER unknown classes.",
        ) / 100  # fmt: skip
        kind = one_of(
            "Confidence", {name: each.title for name, each in KINDS.items()}, state.CONFIDENCE,
            help="A clip gets one number; it is let in, and named, where that is at least a threshold.",
        )  # fmt: skip
        st.caption(f"{KINDS[kind].title.capitalize()}: {KINDS[kind].definition}. {KINDS[kind].source}.")
    with answering:
        if not _leaves(row.item, protocol, 4):
            return
        found = {name: simulated(row.item, row.result.weights, protocol, name, rate) for name in KINDS}
        _table(found, kind, f"{100 * rate:.0f} %")
    titled = {KINDS[name].title: one for name, one in found.items()}
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**What is kept, and what is let in** :gray[· dotted: asked for]")
        areas = ", ".join(f"{title} {percent(one.figure('oscr').mean)}" for title, one in titled.items())
        curves = figures.oscr({title: one.curve() for title, one in titled.items()}, rate)
        show.figure(curves, "oscr-chart", f"OSCR curves, mean over splits. Areas: {areas}")
    with right:
        st.markdown("**Unknown clips that really came in**")
        strips = []
        for title, one in titled.items():
            shares = [run.at["false accept"]["false_accept"] for run in one.runs]
            strips.append(Strip(title, shares, one.figure("false_accept", "false accept").percent()))
        came = "; ".join(f"{strip.title} {strip.figure} %" for strip in strips)
        drawn = figures.splits(strips, rate, "unknown clips let in, of a split (%); dotted: asked for")
        show.figure(drawn, "got-chart", f"Unknown clips let in, where {percent(rate)} was asked for. {came}")


def _table(found: dict[str, Simulation], kind: str, rate: str) -> None:
    """The kinds of confidence, the chosen one in bold; with a warning where few classes are there to choose on."""
    cells = []
    for name, one in found.items():
        row = {"Confidence": KINDS[name].title}
        row |= {head: unbroken(one.figure(measure, by).percent()) for head, measure, by in MEASURES}
        cells.append({head: f"**{text}**" for head, text in row.items()} if name == kind else row)
    table(cells, alt="How well each kind of confidence tells known clips from unknown ones")
    st.caption(
        "In percent, mean ± deviation over splits. **AUROC**: known above unknown, 50 is guessing. **OSCR**: known and "
        "right above unknown. **FPR95**: unknown clips let in where 95 % of the known ones are. **Let in**, **kept, "
        f"right**: at the threshold for {rate} of unknown clips let in, of other unknown clips and of known ones. "
        f"**Turned away**, **then let in**: at a threshold that was chosen without unknown clips, for {rate} of known "
        "ones turned away.",
        help="OSCR: Dhamija et al., NeurIPS 2018. A split's classes are known. On half of the others the threshold and "
        "the temperature of probability and energy are chosen. The rest is unknown, and what all figures are about.",
    )
    aside = max(len(run.aside) for run in found[kind].runs)
    if aside < FEW:
        came = unbroken(f"{found[kind].figure('false_accept', 'false accept').percent()} %")
        words = "The rate you ask for is not the rate you get. Each threshold was chosen on clips of at most "
        words += f"{aside} classes, and other classes differ: {rate} was asked for, {came} came in."
        st.warning(words, icon=":material/warning:")


def reliability(rows: Sequence[Row], protocol: Protocol) -> None:
    """A diagram at T = 1, and at T fitted on other classes; what is promised and what is kept."""
    st.subheader("Can its probabilities be trusted?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Cosine similarities order classes; softmax(score / T) makes probabilities of them. In each split T is "
            "fitted on clips of the classes that the split leaves out, ranked among these, and told on its own.",
            help="Guo et al., ICML 2017. T changes no answer. The expected calibration error (ECE) is the mean "
            "distance of probability and accuracy over 15 bins; few clips make it too large.",
        )
    with answering:
        if not _leaves(row.item, protocol, 2):
            return
        found = trust(row.item, row.result.weights, protocol)
        before, after, t = found.before, found.after, found.temperature

        def figure(title: str, one: Figure, help: str = "") -> tuple[str, str, str, str]:
            return title, percent(one.mean), "" if one.std is None else f"± {100 * one.std:.1f} over splits", help

        told = "What scores promise: their mean probability. Compare it with the answers that are right."
        show.metrics("reliability", [
            figure("Answers right", found.accuracy), figure("Promised at T = 1", before.confidence, told),
            figure("Promised at T fitted", after.confidence, told),
            figure("ECE at T = 1", before.ece, "Expected calibration error; lower is better."),
            figure("ECE at T fitted", after.ece, "Expected calibration error; lower is better."),
            ("T fitted", f"{t.mean:.3f}", "" if t.std is None else f"± {t.std:.3f} over splits", ""),
        ])  # fmt: skip
        eces = f"{percent(before.ece.mean)} at T = 1, {percent(after.ece.mean)} at the fitted T"
        diagrams = {"T = 1": before.diagram, "T fitted on other classes": after.diagram}
        alt = f"Accuracy against probability. Expected calibration error {eces}"
        show.figure(figures.reliability(diagrams), "reliability-chart", alt)
        st.caption("Dotted: as promised. Above it, scores promise too little; below, too much. Larger: more clips.")
