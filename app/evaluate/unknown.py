"""What a row of the page Evaluate knows about what it does not know: "none of these", and probabilities that hold."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import state
from app.cache import once
from app.evaluate.rows import Row, choose_row, key_of, metric, table, unbroken
from app.parts import scored, show
from app.parts.choosers import one_of
from cezsar.analysis.calibration import Transferred, transferred
from cezsar.analysis.open_set import Simulation, simulate
from cezsar.report import figures
from cezsar.report.figures import Strip, percent
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import KINDS, RATE, ChosenBy
from cezsar.zeroshot.scored import Scored

FEW = 30  # classes to choose a threshold on; with fewer, the rate that comes is far from the one that was asked for
MEASURES: tuple[tuple[str, str, ChosenBy | None], ...] = (
    ("AUROC", "auroc", None), ("OSCR", "oscr", None), ("FPR95", "fpr95", None),
    ("Let in", "false_accept", "false accept"), ("Kept, right", "right", "false accept"),
)  # fmt: skip


def simulated(item: Scored, weights: Weights, protocol: Protocol, kind: str, rate: float = RATE) -> Simulation:
    """`simulate`, cached; what is drawn comes from seed 0."""
    return once(
        lambda: simulate(scored.scores(item), protocol, weights, kind, rate=rate),
        "open set", item.fingerprint, weights, key_of(protocol), kind, rate,
        words="Choosing thresholds on some classes, trying them on others",
    )  # fmt: skip


def trust(item: Scored, weights: Weights, protocol: Protocol) -> Transferred:
    """`transferred`, cached: T fitted on the classes that a run leaves out, told on its own."""
    return once(
        lambda: transferred(scored.scores(item), weights, protocol),
        "reliability", item.fingerprint, weights, key_of(protocol),
        words="Fitting the temperature on some classes, telling it on others",
    )  # fmt: skip


def _leaves(item: Scored, protocol: Protocol, least: int, why: str) -> bool:
    """Whether every split leaves so many classes out; says so if not."""
    enough: bool = max(map(len, protocol.splits)) <= item.about["classes"] - least
    if not enough:
        show.info(f"{why}, and this protocol leaves too few out. Take **Half**, or **Random** with fewer classes.")
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
        if not _leaves(
            row.item, protocol, 4, "Some classes must be unknown, to choose a threshold on and to try it on"
        ):
            return
        found = {name: simulated(row.item, row.result.weights, protocol, name, rate) for name in KINDS}
        _said(found[kind])
        _table(found, kind)
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
        asked = f"Unknown clips let in, split by split, where {percent(rate)} was asked for"
        show.figure(drawn, "got-chart", f"{asked}. {came}")


def _said(found: Simulation) -> None:
    """What it means, in plain sentences; with a warning where few classes are there to choose on."""
    counts = [[len(run.aside) for run in found.runs], [len(run.unknown) for run in found.runs]]
    aside, unknown = (" to ".join(f"{n:,}" for n in sorted({min(part), max(part)})) for part in counts)
    let_in, kept = (unbroken(f"{found.figure(name, by).percent()} %") for _, name, by in MEASURES[3:])
    auroc, accuracy = (unbroken(percent(found.figure(name).mean)) for name in ("auroc", "accuracy"))
    rate = unbroken(f"{100 * found.rate:.0f} %")
    st.markdown(
        f"A clip of a known class looks more known than an unknown one **{auroc}** of the time (50 % is guessing). "
        f"With a threshold that let in at most {rate} of the clips of {aside} classes, **{let_in}** of the clips of "
        f"{unknown} other unknown classes came in, and **{kept}** of the known clips were let in and named right; "
        f"without a threshold {accuracy} are."
    )
    if max(counts[0]) < FEW:
        words = (
            f"The rate you ask for is not the rate you get. Each threshold was chosen on clips of {aside} classes, and "
            f"other classes differ: {rate} was asked for, {let_in} came in. Rely on many classes only."
        )
        st.warning(words, icon=":material/warning:")


def _table(found: dict[str, Simulation], kind: str) -> None:
    """The four kinds of confidence, the chosen one in bold; and what can be had without unknown clips."""
    rate, cells = unbroken(f"{100 * found[kind].rate:.0f} %"), []
    for name, one in found.items():
        row = {"Confidence": KINDS[name].title}
        row |= {head: unbroken(one.figure(measure, by).percent()) for head, measure, by in MEASURES}
        cells.append({head: f"**{text}**" for head, text in row.items()} if name == kind else row)
    table(cells, alt="How well each kind of confidence tells known clips from unknown ones")
    st.caption(
        "In percent, mean ± deviation over splits. **AUROC** ↑: known above unknown, 50 is guessing. **OSCR** ↑: known "
        "and right above unknown. **FPR95** ↓: unknown clips let in where 95 % of the known ones are. **Let in** ↓ and "
        f"**kept, right** ↑: at the threshold for {rate}, of other unknown clips and of known ones.",
        help="OSCR: Dhamija et al., NeurIPS 2018. A split's classes are known. On half of the others the threshold and "
        "the temperature of probability and energy are chosen. The rest is unknown, and what all figures are about.",
    )
    by_known, turned = (
        unbroken(f"{found[kind].figure(name, 'false reject').percent()} %") for name in ("false_accept", "false_reject")
    )
    st.caption(
        f"Without unknown clips to choose on, a threshold for {rate} of known clips turned away, chosen among the "
        f"classes set aside by {KINDS[kind].title}, turns away {turned} of other known clips and lets {by_known} of "
        "the unknown ones in."
    )


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
        if not _leaves(row.item, protocol, 2, "T is fitted on classes that a split leaves out"):
            return
        found = trust(row.item, row.result.weights, protocol)
        before, after, t = found.before, found.after, found.temperature
        st.markdown(
            f"Its answers are right **{percent(found.accuracy.mean)}** of the time. As they are, scores promise "
            f"{percent(before.confidence.mean)}; with T fitted on other classes, **{percent(after.confidence.mean)}**."
        )
        with st.container(key="metrics-reliability"):
            for title, ece in (("ECE at T = 1", before.ece), ("ECE at T fitted", after.ece)):
                spread = None if ece.std is None else f"± {100 * ece.std:.1f} over splits"
                metric(title, percent(ece.mean), spread, help="Expected calibration error; lower is better.")
            spread = None if t.std is None else f"± {t.std:.3f} over splits"
            metric("T fitted", f"{t.mean:.3f}", spread, help="Mean and deviation over splits.")
        eces = f"{percent(before.ece.mean)} at T = 1, {percent(after.ece.mean)} at the fitted T"
        show.figure(
            figures.reliability({"T = 1": before.diagram, "T fitted on other classes": after.diagram}),
            "reliability-chart", f"Accuracy against probability. Expected calibration error {eces}",
        )  # fmt: skip
        st.caption("Dotted: as promised. Above it, scores promise too little; below, too much. Larger: more clips.")
