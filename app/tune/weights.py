"""Fusion weights: what any of them give, the accuracy of all of them, which clips turn, and what choosing is worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import cache, state
from app.parts import choosers, player, scored, show
from app.parts.words import plain
from cezsar.report import figures
from cezsar.report.figures import GAIN, LOSS, number, percent, points
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot import fusion, weights
from cezsar.zeroshot.evaluation import figure_of
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import MODALITIES
from cezsar.zeroshot.weights import Curve, Flips, Gain, Outcome, SimplexMap

LETTERS = dict(zip(MODALITIES, "αβγ", strict=True))
KEYS = dict(zip(MODALITIES, (state.ALPHA, state.BETA, state.GAMMA), strict=True))
MEANS = {"VE": "what the clip looks like", "O": "recognised objects", "C": "captions"}
PAPER = Weights(0.8, 0.2, 0.0)
QUICK_PAIR = 20_000_000  # clips x classes up to which α is chosen on 20 random halves in about a second
QUICK_MAP = 3_000_000  # clips x classes up to which a map over three weights takes a few seconds
STEPS = 20  # lines of constant γ in a map
HONEST_RUNS, HONEST_MAPS, HONEST_STEPS = 20, 10, 10  # halves for α, halves for three weights, and lines of their maps
MOST_ROWS, MOST_BARS = 1_000, 20  # clips in the table, classes in the figure
FLIPS = {"any": "All", "gained": "Gained", "lost": "Lost", "changed": "Wrong otherwise"}


def fusion_weights() -> None:
    st.markdown(
        "A clip is embedded by what it looks like (VE) and by sentences about it: its recognised objects (O), captions "
        "(C). Move their weights, and every figure follows."
    )
    choosing, splitting = st.columns(2, gap="large")
    with choosing:
        item = choosers.scored_set()
    if item is None:
        return
    scores = scored.scores(item)
    with splitting:
        classes = told_apart(scores.class_names)
    if classes is not None:
        weigh(item, classes)
        if len(scores.modalities) > 1:
            honest_choice(item)


def told_apart(names: Sequence[str]) -> tuple[str, ...] | None:
    """The classes that predictions choose from; () for all, None while none is chosen."""
    titles = {state.TUNE_ALL: "All", state.TUNE_HALF: "A random half", state.TUNE_CHOSEN: "Some"}
    which = choosers.segments(
        "Classes to choose from", titles if len(names) > 1 else {state.TUNE_ALL: "All"}, state.TOLD_APART,
        "A split: only clips of these classes count, and each is taken for one of these classes.",
    )  # fmt: skip
    if which == state.TUNE_ALL:
        return ()
    if which == state.TUNE_HALF:
        seed = st.number_input("Seed of the half", 0, 9_999, 0, key=state.TUNE_HALF_SEED, bind="query-params")
        return tuple(random_classes(names, len(names) // 2, 1, int(seed)).splits[0])
    groups = {f"Look-alikes: {name}": list(group) for name, group in HARD_GROUPS.items() if set(group) <= set(names)}
    default = next(iter(groups.values()), list(names[:5]))
    groups |= choosers.own_among(names)
    chosen = choosers.classes("Classes", names, groups, default=default, key=state.TUNE_CLASSES)
    if not chosen:
        show.info("Choose at least one class.")
    return tuple(chosen) or None


@st.fragment
@show.explained()
def weigh(item: Scored, classes: tuple[str, ...]) -> None:
    """What depends on the weights; a move of a slider runs this and nothing else."""
    scores, key = scored.scores(item), (item.fingerprint, classes)
    modalities, curve, over = scores.modalities, None, None
    setting, seeing = st.columns([2, 3], gap="large")
    with setting:
        present = sliders(item, modalities)
        if len(modalities) == 2:
            make = partial(weights.fusion_curve, scores, (modalities[0], modalities[1]), classes or None)
            curve = cache.once(make, "curve", *key, words="Computing accuracy for every α")
        elif len(modalities) == 3 and (quick(item, QUICK_MAP) or st.toggle(
            "Map of all weights", key=state.WITH_MAP, bind="query-params",
            help=f"Accuracy along {STEPS} lines of constant γ. On this many clips it takes a while, once.",
        )):  # fmt: skip
            draw = partial(weights.simplex_map, scores, STEPS, classes or None)
            over = cache.once(draw, "map of weights", *key, words="Computing accuracy for all weights")
        if len(modalities) > 1:
            presets(item, modalities, over or curve)
        basis, name = reference(item, present, modalities)
    now, before = (outcome(item, classes, given) for given in (present, basis))
    turned = weights.flips(before, now)
    with seeing:
        numbers(now, before, turned)
        if len(modalities) == 1:
            return
        st.caption(f"Compared with {name}.")
        if curve:
            alpha_chart(item, curve, (modalities[0], modalities[1]), now, before)
        if over:
            mapped, drawn = st.columns(2, gap="medium")
            with mapped:
                simplex(item, classes, over, now, before)
            with drawn:
                along_gamma(item, classes, over, now, before)
    if not any(map(len, turned)):
        show.info("Both weights give every clip the same answer.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Classes that gain and lose", anchor=False)
        if gains := weights.gains(before, now):
            said = "; ".join(f"{gain.name} {gain.net:+d}" for gain in gains[:MOST_BARS] if gain.net)
            show.figure(gains_figure(gains, now.n_clips), "gains", f"Clips gained and lost: {said}")
        else:
            st.caption("No clip becomes right or wrong.")
    with right:
        st.subheader("Clips that flip", anchor=False)
        row = flips_table(scores.ids, now, before, turned)
    if row is None:
        return
    # One clip, and its best labels under both weights: with cosine similarities, or fused scores without.
    truth, places = now.class_names[now.truth_N[row]], np.sort(scores.indices(classes or None))
    screen, *columns = st.columns([4, 3, 3], gap="large", vertical_alignment="center")
    with screen:
        player.film_of(item, scores.ids[row], truth, caption=f"True class: **{plain(truth)}**")
    for column, title, given in zip(columns, ("Under the reference", "Now"), (before, now), strict=True):
        similar_C = fusion.similarities(scores, given.weights, np.array([row]))[0, places]
        labels, _ = fusion.rank(similar_C, [scores.class_names[place] for place in places])
        column.markdown(f"**{title}**", help="The best labels with their similarities; the true class is green.")
        column.markdown("\n".join(
            f"{place}. {f':green[**{plain(name)}**]' if name == truth else plain(name)} {number(similarity)}"
            for place, (name, similarity) in enumerate(labels, start=1)
        ))  # fmt: skip


def quick(item: Scored, most: int) -> bool:
    """Whether it has at most so many clips x classes."""
    return int(item.about["clips"]) * int(item.about["classes"]) <= most


def outcome(item: Scored, classes: tuple[str, ...], given: Weights) -> Outcome:
    """What some weights give among some classes, all if empty. Raises `InputError` where no clip is of the classes."""
    make = partial(weights.outcome, scored.scores(item), given, classes or None)
    return make() if quick(item, QUICK_MAP) else cache.large(make, "outcome", item.fingerprint, classes, given)


# The weights ---------------------------------------------------------------------------------------------------------


def sliders(item: Scored, modalities: Sequence[str]) -> Weights:
    """The present weights: one slider for two modalities, since only their ratio matters; three for three."""
    own, first, second = item.weights, modalities[0], modalities[-1]
    if first == second:
        show.info(f"These clips have {first} only ({MEANS[first]}), so there is nothing to weigh.")
        return Weights.only(first)
    two = len(modalities) == 2
    starts = {first: weights.share(own, (first, second))} if two else {name: own.of(name) for name in modalities}
    values = {
        name: st.slider(
            f"{LETTERS[name]}: weight of {name}, {MEANS[name]}", 0.0, 1.0, round(min(1.0, start), 2), 0.01,
            key=KEYS[name], bind="query-params",
            help="Eq. 9: VidE(v) = α VE(v) + β SE(O(v)) + γ SE(C(v)), of raw embeddings; the class whose prototype has "
            "the highest cosine similarity to it wins (Eq. 8). A cosine knows no length: only the ratios matter.",
        )
        for name, start in starts.items()
    }  # fmt: skip
    if two:
        values[second] = round(1 - values[first], 6)
        letter = LETTERS[second]
        st.caption(f"{letter} = 1 − {LETTERS[first]} = {values[second]:.2f} goes to {second}, {MEANS[second]}.")
    return Weights(*(values.get(name, 0.0) for name in MODALITIES))


def presets(item: Scored, modalities: Sequence[str], over: Curve | SimplexMap | None) -> None:
    """Buttons that set the sliders, to the best of the curve or map among others."""
    offered = {f"{name} only": (Weights.only(name), f"Only {MEANS[name]} counts.") for name in modalities}
    offered["The run's own"] = (item.weights, f"{said(item.weights, modalities)}, as the run was told.")
    if {"VE", "O"} <= set(modalities):
        offered["The paper's"] = (PAPER, "α = 0.8 and β = 0.2, Section 3.5 of the paper.")
    if over:
        low, high, accuracy, gamma = over.best()
        middle = round((low + high) / 2, 2)  # the roundest number that a slider of hundredths can show
        alpha, gamma = middle if low < middle < high else (low + high) / 2, round(gamma, 6)
        values = dict(zip(modalities, (alpha, max(0.0, round(1 - gamma - alpha, 6)), gamma), strict=False))
        best = Weights(*(values.get(name, 0.0) for name in MODALITIES))
        why = f"{percent(accuracy)} at {said(best, modalities)}. Chosen on the test data: too good to be told."
        offered["Best on this data"] = (best, why)
    with st.container(horizontal=True, gap="small"):
        for title, (given, why) in offered.items():
            st.button(title, f"preset-{title}", why, on_click=set_weights, args=(given, tuple(modalities)))


def set_weights(given: Weights, modalities: Sequence[str]) -> None:
    """For callbacks: move the sliders."""
    values = [given.of(name) for name in modalities]
    scale = (sum(values) or 1.0) if len(values) == 2 else max(1.0, *values)
    for name, value in zip(modalities, values, strict=True):
        st.session_state[KEYS[name]] = value / scale


def said(given: Weights, modalities: Sequence[str]) -> str:
    """Such as "α = 0.80, β = 0.20"."""
    return ", ".join(f"{LETTERS[name]} = {given.of(name):.2f}" for name in modalities)


def same(one: Weights, other: Weights, modalities: Sequence[str]) -> bool:
    """Whether two weights have the same ratios, so that they rank alike."""
    values = np.array([[given.of(name) for name in modalities] for given in (one, other)])
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return bool(np.allclose(shares[0], shares[1], atol=1e-6))


def reference(item: Scored, present: Weights, modalities: Sequence[str]) -> tuple[Weights, str]:
    """What the present weights are compared with, and its name: kept ones, else the run's own, else the first alone."""
    kept: Weights | None = st.session_state.get(state.REFERENCE)
    with st.container(horizontal=True, gap="small"):
        help = "Compare with the present weights from now on."
        state.setter("Set as reference", "set-reference", state.REFERENCE, present, help, icon=":material/flag:")
        if kept:
            state.setter("Back to the run's own", "no-reference", state.REFERENCE, None, type="tertiary")
    if kept and any(map(kept.of, modalities)):
        return kept, f"the reference ({said(kept, modalities)})"
    alone = Weights.only(modalities[0])
    own = item.weights if any(map(item.weights.of, modalities)) else alone
    if same(own, present, modalities) and len(modalities) > 1:
        return alone, f"{modalities[0]} alone, since these are the run's own weights"
    return own, f"the run's own weights ({said(own, modalities)})"


# What they give ------------------------------------------------------------------------------------------------------


def numbers(now: Outcome, before: Outcome, turned: Flips) -> None:
    """Accuracies, each with the difference to the reference, and how many clips turned."""
    rows = [
        ("Top-1", now.top1, before.top1, "Clips whose true class ranks first."),
        ("Top-5", now.top5, before.top5, "Clips whose true class is among the five best."),
        ("Mean per class", now.mean_per_class, before.mean_per_class, "Mean over classes of their top-1 accuracy."),
    ]
    help = "Clips that become right, become wrong, or go from one wrong class to another."
    flips = ("Flips", f"{sum(map(len, turned)):,}", f"of {now.n_clips:,} clips", help)
    show.metrics("weights", [*((name, percent(x), show.change(x, y), said) for name, x, y, said in rows), flips])


def alpha_chart(item: Scored, curve: Curve, pair: tuple[str, str], now: Outcome, before: Outcome,
                gamma: float = 0.0) -> None:  # fmt: skip
    """Accuracy against α with the reference and the present weights on it; `gamma` is the share of a third modality."""
    best, marks, top1 = curve.best(), {}, {"reference": before.top1, "present": now.top1}
    for name, given in {"the run's own": item.weights, "reference": before.weights, "present": now.weights}.items():
        if "C" in pair or abs(gamma_share(given) - gamma) < 1e-6:
            alpha = weights.share(given, pair)
            marks[name] = (alpha, top1.get(name, float(curve.at(alpha))))
    letter, on = ("α / (α + β)", f", with γ = {gamma:.2f}") if gamma else (LETTERS[pair[0]], "")
    stretch = f"from {best.low:.3f} to {best.high:.3f}"
    show.figure(
        figures.alpha_curve(curve, pair, marks, gamma), "alpha-curve",
        f"Top-1 accuracy for every {letter} from 0 to 1{on}; highest, {percent(best.accuracy)}, {stretch}; at present "
        f"{percent(now.top1)}",
    )  # fmt: skip
    st.caption(
        f"Exact, not sampled: it steps where a clip turns. Shaded: the best stretch, {percent(best.accuracy)} for "
        f"{letter} {stretch}. It is the best on these very clips; see below what is left of it on other classes.",
    )


def gamma_share(given: Weights) -> float:
    """γ / (α + β + γ)."""
    return given.gamma / (given.alpha + given.beta + given.gamma)


def gains_figure(gains: Sequence[Gain], clips: int) -> go.Figure:
    """Clips that each class gains (to the right) and loses (to the left), at most 20 classes, the rest as one."""
    rows = sorted(gains[:MOST_BARS], key=lambda gain: (gain.net, gain.gained), reverse=True)
    if rest := gains[MOST_BARS:]:
        _, *sums = zip(*rest, strict=True)
        rows.append(Gain(f"{len(rest):,} further classes", *map(sum, sums)))
    told = "{}: {:,} gained, {:,} lost, {} points of all clips"
    hovers = [told.format(figures.shown(one.name), one.gained, one.lost, points(one.net / clips)) for one in rows]
    look = {"width": 0.66, "hovertext": hovers}
    gained = {"x": [one.gained for one in rows], "name": "gained", "marker": {"color": GAIN}, **look}
    lost = {"x": [-one.lost for one in rows], "name": "lost", "marker": {"color": LOSS}, **look}
    figure = figures.bars([one.name for one in rows], [gained, lost], "clips", 24, 32, barmode="relative")
    largest = max(max(gain.gained, gain.lost) for gain in rows) + 0.5
    return figure.update_xaxes(zeroline=True, nticks=7, tickformat="d", range=[-largest, largest])


def flips_table(ids: Sequence[str], now: Outcome, before: Outcome, turned: Flips) -> int | None:
    """Clips that turned; the row of the chosen one, the first unless somebody picked another."""
    which = choosers.segments(
        "Which of them", FLIPS, state.FLIPPED, "Gained: wrong under the reference, right now. Lost: the other way "
        "round. Wrong otherwise: from one wrong class to another.",
    )  # fmt: skip
    kinds = turned._asdict().items()
    rows = [(int(row), FLIPS[kind].lower()) for kind, found in kinds if which in ("any", kind) for row in found]
    if not rows:
        st.caption("None of this kind.")
        return None
    listed, names = rows[:MOST_ROWS], [*now.class_names, "undecided"]  # UNDECIDED is -1
    table = [
        {"What": kind, "True class": names[now.truth_N[row]], "Under the reference": names[before.predicted_N[row]],
         "Now": names[now.predicted_N[row]], "Clip": ids[row]}
        for row, kind in listed
    ]  # fmt: skip
    event = show.table(
        table, "Clips whose answer differs between the reference and the present weights", key=f"flips-{which}",
        height=min(420, 38 + 35 * len(listed)), on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    counts = ", ".join(f"{len(found):,} {FLIPS[kind].lower()}" for kind, found in kinds)
    st.caption(f"{counts}. Choose a row to see its clip.")
    picked = event["selection"]["rows"]
    return listed[picked[0] if picked and picked[0] < len(listed) else 0][0]


# Three weights -------------------------------------------------------------------------------------------------------


def simplex(item: Scored, classes: tuple[str, ...], found: SimplexMap, now: Outcome, before: Outcome) -> None:
    """The map with the best, the run's own, the reference and the present weights; a click sets the sliders."""
    peak, own = found.best(), item.weights
    best = f"{percent(peak.accuracy)} at {said(peak.weights, MODALITIES)}"
    at_O, at_VE = found.curves[0].at(np.array([0, 1])).tolist()
    marks = {"best": (peak.weights, peak.accuracy), "the run's own": (own, outcome(item, classes, own).top1)}
    if not same(own, before.weights, MODALITIES):
        marks["reference"] = (before.weights, before.top1)
    marks["present"] = (now.weights, now.top1)
    st.markdown("**All weights**", help="Each row of colours is a line of constant γ, exact for every α on it.")
    show.figure(
        figures.simplex(found, marks, dark=st.context.theme.type == "dark"), "simplex",
        f"Top-1 accuracy over the triangle of weights: VE alone {percent(at_VE)}, O alone {percent(at_O)}, C alone "
        f"{percent(float(found.curves[-1].at(0)))}; highest, {best}; at present {percent(now.top1)}",
        clicked=partial(clicked, "simplex"), theme=None,
    )  # fmt: skip
    st.caption(
        f"Click to set the weights. Star: {best}, the best on these very clips; see below what is left on others.",
        help=f"Exact on {len(found.curves) - 1} lines of constant γ and not known between them, so the best of all "
        "weights may be higher still.",
    )


def clicked(key: str) -> None:
    """Callback of the map: the weights that were clicked are the present ones."""
    if chosen := st.session_state[key].selection.points:
        set_weights(Weights(*map(float, chosen[0]["customdata"])), MODALITIES)


def along_gamma(item: Scored, classes: tuple[str, ...], found: SimplexMap, now: Outcome, before: Outcome) -> None:
    """The exact curve along the line through the present weights on which γ stays as it is."""
    gamma = gamma_share(now.weights)
    if not quick(item, QUICK_MAP):
        gamma = float(found.gammas[np.abs(found.gammas - gamma).argmin()])
    help = "The dotted line on the map: α and β share what γ leaves. Only the ratios of weights matter: their sum is 1."
    st.markdown(f"**Along γ = {gamma:.2f} of a sum of 1**", help=help)
    if gamma >= 1:
        st.caption("Captions alone count, so there is no α to move. Lower γ, and the line through it is drawn here.")
        return
    make = partial(weights.gamma_curve, scored.scores(item), gamma, classes or None)
    curve = cache.once(make, "line", item.fingerprint, classes, round(gamma, 6))
    alpha_chart(item, curve, ("VE", "O"), now, before, gamma)


# What choosing is worth ----------------------------------------------------------------------------------------------


def honest_choice(item: Scored) -> None:
    """Weights chosen on half of the classes and reported on the other half, beside others."""
    modalities = scored.scores(item).modalities
    two = len(modalities) == 2
    st.subheader(f"What choosing {'α' if two else 'α, β and γ'} is worth", anchor=False)
    st.markdown(
        "Weights that are best on the test clips have seen their labels: their accuracy is no zero-shot figure. Fair "
        "ones are chosen on classes that are not reported on: here on a random half of the classes, told on the other."
    )
    runs, most = (HONEST_RUNS, QUICK_PAIR) if two else (HONEST_MAPS, QUICK_MAP)
    help = "On this many clips it takes a while."
    if not quick(item, most) and not st.button(f"Compute for {runs} random halves", help=help):
        return
    fixed = {f"The run's own, {said(item.weights, modalities)}": item.weights}
    fixed |= {f"{name} only": Weights.only(name) for name in modalities}
    make = partial(weights.choose_on_half, scored.scores(item), modalities, fixed=fixed, steps=HONEST_STEPS, runs=runs)
    words = "Choosing weights on half of the classes, again and again"
    found = cache.once(make, "honest", item.fingerprint, words=words)
    spread = {name: figure_of([given.of(name) for given in found.weights]) for name in modalities[: 1 if two else 3]}
    told = ", ".join(f"{LETTERS[name]} = {one.mean:.2f} ± {one.std or 0:.2f}" for name, one in spread.items())
    rows = {f"Chosen on the other half, {told}": found.accuracies} | found.fixed
    rows["Best on the very classes it is told on (too good)"] = found.best
    table = pd.DataFrame(rows).agg(["mean", "std"]).T.mul(100).rename_axis("Weights").reset_index()
    table.columns = ["Weights", "Top-1 in %, mean", "± std"]
    alt = "Top-1 accuracy on one half of the classes for weights chosen on the other half, and for others"
    show.table(table, alt, {"Top-1 in %, mean": "%.1f", "± std": "%.1f"})
    st.caption(
        f"{len(found.weights)} random halves (seed 0), the same for every row; ± is the standard deviation over them. "
        "Among half of the classes accuracies are higher than among all: there is less to confuse."
    )
