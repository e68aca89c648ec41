"""Pieces of the page Tune: fusion weights, and what turns with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app import state
from app.services import tune as services
from app.widgets import choosers, player
from app.widgets.words import plain
from cezsar.errors import CezsarError
from cezsar.report.figures import PLOT, alpha_curve, mark, number, percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.embeddings import MODALITIES
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import random_classes
from cezsar.zeroshot.results import figure_of
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.weights import Curve, Flips, Outcome, of_pair, share

LETTERS = dict(zip(MODALITIES, "αβγ", strict=True))
KEYS = dict(zip(MODALITIES, (state.ALPHA, state.BETA, state.GAMMA), strict=True))
MEANS = {"VE": "what the clip looks like", "O": "recognised objects", "C": "captions"}
MOST_ROWS = 1_000  # of a table of clips


def told_apart(names: Sequence[str]) -> tuple[str, ...] | None:
    """The classes that predictions choose from; () for all, None while none is chosen."""
    titles = {
        state.TUNE_ALL: "All",
        state.TUNE_HALF: "A random half",
        state.TUNE_CHOSEN: "Some",
    }
    which = st.segmented_control(
        "Classes to choose from",
        list(titles) if len(names) > 1 else [state.TUNE_ALL],
        default=state.TUNE_ALL,
        required=True,
        format_func=titles.__getitem__,
        key=state.TOLD_APART,
        bind="query-params",
        help="A split: only clips of these classes count, and each is taken for one of these classes.",
    )
    if which == state.TUNE_HALF:
        seed = st.number_input(
            "Seed of the half", 0, 9_999, 0, key=state.TUNE_HALF_SEED, bind="query-params",
            help="The same half as the first run of protocol half with this seed.",
        )  # fmt: skip
        return tuple(random_classes(names, len(names) // 2, 1, int(seed)).splits[0])
    if which == state.TUNE_CHOSEN:
        groups = {
            f"Look-alikes: {name}": list(group) for name, group in HARD_GROUPS.items() if set(group) <= set(names)
        }
        default = next(iter(groups.values()), list(names[:5]))
        chosen = choosers.classes(
            "Classes", names, groups | choosers.own_among(names), default=default, key=state.TUNE_CLASSES
        )
        if not chosen:
            st.info("Choose at least one class.", icon=":material/info:")
            return None
        return tuple(chosen)
    return ()


def weight_sliders(item: Scored, modalities: Sequence[str]) -> Weights:
    """The present weights: one slider for two modalities, unless they are set apart."""
    own = item.weights
    if len(modalities) == 1:
        st.info(
            f"These clips have {modalities[0]} only ({MEANS[modalities[0]]}), so there is nothing to weigh.",
            icon=":material/info:",
        )
        return Weights.only(modalities[0])
    two = len(modalities) == 2
    free = not two or bool(st.session_state.get(state.FREE, False))
    starts = {name: own.of(name) for name in modalities}
    if not free:
        starts = {modalities[0]: share(own, (modalities[0], modalities[1]))}
    values = {}
    for name, start in starts.items():
        values[name] = st.slider(
            f"{LETTERS[name]}: weight of {name}, {MEANS[name]}",
            0.0,
            1.0,
            round(min(1.0, start), 2),
            0.01,
            key=KEYS[name],
            bind="query-params",
            help="Eq. 9: VidE(v) = α VE(v) + β SE(O(v)) + γ SE(C(v)), of raw embeddings; the class whose prototype has "
            "the highest cosine similarity to it wins (Eq. 8). A cosine knows no length: only the ratios matter.",
        )
    if not free:
        first, second = modalities
        values[second] = round(1 - values[first], 6)
        st.caption(
            f"{LETTERS[second]} = 1 − {LETTERS[first]} = {values[second]:.2f} goes to {second}, {MEANS[second]}."
        )
    if two:
        st.toggle(
            f"Set {LETTERS[modalities[1]]} apart",
            key=state.FREE,
            bind="query-params",
            on_change=_set_apart,
            args=(KEYS[modalities[0]], KEYS[modalities[1]]),
            help="Two sliders for two weights. Since only their ratio matters, this reaches nothing new.",
        )
    return _weights(values)


def _weights(values: dict[str, float]) -> Weights:
    return Weights(*(values.get(name, 0.0) for name in MODALITIES))


def _set_apart(first: str, second: str) -> None:
    st.session_state[second] = round(1 - float(st.session_state.get(first, 0.8)), 2)


def presets(item: Scored, modalities: Sequence[str], best: tuple[Weights, str] | None) -> None:
    """Buttons that set the sliders; `best` are the weights that do best on this data, and a word on them."""
    offered = {f"{name} only": (Weights.only(name), f"Only {MEANS[name]} counts.") for name in modalities}
    offered["The run's own"] = (item.weights, f"{said(item.weights, modalities)}, as the run was told.")
    if {"VE", "O"} <= set(modalities):
        offered["The paper's"] = (services.PAPER, "α = 0.8 and β = 0.2, Section 3.5 of the paper.")
    if best is not None:
        weights, told = best
        offered["Best on this data"] = (weights, f"{told} Chosen on the test data: too good to be reported.")
    with st.container(horizontal=True, gap="small"):
        for title, (weights, why) in offered.items():
            st.button(title, key=f"preset-{title}", help=why, on_click=set_weights, args=(weights, tuple(modalities)))


def best_of(curve: Curve, pair: tuple[str, str]) -> tuple[Weights, str]:
    """The best weights of two modalities, and a word on them."""
    best, letter = curve.best(), LETTERS[pair[0]]
    alpha = inside(best.low, best.high)
    told = f"{percent(best.accuracy)} for {letter} from {best.low:.3f} to {best.high:.3f}."
    return of_pair(pair, alpha), told


def inside(low: float, high: float) -> float:
    """The roundest number of the stretch that a slider of hundredths can show, else its middle."""
    middle = round((low + high) / 2, 2)
    return middle if low < middle < high else (low + high) / 2


def set_weights(weights: Weights, modalities: Sequence[str]) -> None:
    """For callbacks: move the sliders."""
    scale = max(weights.of(name) for name in modalities) or 1.0
    if len(modalities) == 2 and not st.session_state.get(state.FREE, False):
        scale = sum(weights.of(name) for name in modalities) or 1.0
    elif scale <= 1:
        scale = 1.0
    for name in modalities:
        st.session_state[KEYS[name]] = weights.of(name) / scale


def said(weights: Weights, modalities: Sequence[str]) -> str:
    """Such as "α = 0.80, β = 0.20"."""
    return ", ".join(f"{LETTERS[name]} = {weights.of(name):.2f}" for name in modalities)


def same(one: Weights, other: Weights, modalities: Sequence[str]) -> bool:
    """Whether two weights have the same ratios, so that they rank alike."""
    shares = []
    for weights in (one, other):
        values = np.array([weights.of(name) for name in modalities])
        shares.append(values / (values.sum() or 1))
    return bool(np.allclose(shares[0], shares[1], atol=1e-6))


def reference(item: Scored, present: Weights, modalities: Sequence[str]) -> tuple[Weights, str]:
    """What the present weights are compared with, and its name: kept ones, else the run's own, else the first alone."""
    text = st.session_state.setdefault(state.REFERENCE, st.query_params.get(state.REFERENCE, ""))
    kept = _read_weights(str(text), modalities)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Set as reference",
            icon=":material/flag:",
            on_click=_keep_reference,
            args=(" ".join(f"{present.of(name):g}" for name in MODALITIES),),
            help="Compare with the present weights from now on.",
        )
        if kept is not None:
            st.button("Back to the run's own", type="tertiary", on_click=_keep_reference, args=("",))
    if kept is not None:
        if st.query_params.get(state.REFERENCE) != text:
            st.query_params[state.REFERENCE] = str(text)
        return kept, f"the reference ({said(kept, modalities)})"
    st.query_params.pop(state.REFERENCE, None)
    own = item.weights
    if not any(own.of(name) for name in modalities):
        own = Weights.only(modalities[0])
    if same(own, present, modalities) and len(modalities) > 1:
        return Weights.only(modalities[0]), f"{modalities[0]} alone, since these are the run's own weights"
    return own, f"the run's own weights ({said(own, modalities)})"


def _keep_reference(text: str) -> None:
    st.session_state[state.REFERENCE] = text


def _read_weights(text: str, modalities: Sequence[str]) -> Weights | None:
    """Weights from an address, None if there are none or they are of no use for these clips."""
    try:
        weights = Weights(*(float(word) for word in text.split()))
    except (CezsarError, ValueError, TypeError):
        return None
    return weights if text and any(weights.of(name) for name in modalities) else None


def figures(now: Outcome, before: Outcome, turned: Flips) -> None:
    """Accuracies, each with the difference to the reference, and how many clips turned."""
    rows = (
        ("Top-1", now.top1, before.top1, "Clips whose true class ranks first."),
        ("Top-5", now.top5, before.top5, "Clips whose true class is among the five best."),
        ("Mean per class", now.mean_per_class, before.mean_per_class, "Mean over classes of their top-1 accuracy."),
    )
    with st.container(key="metrics-weights"):
        for title, value, old, help_text in rows:
            difference = round(100 * (value - old), 1) + 0.0
            st.metric(
                title,
                percent(value),
                f"{difference:+.1f} points" if difference else "no change",
                delta_color="normal" if difference else "off",
                delta_arrow="auto" if difference else "off",
                help=help_text,
                border=True,
            )
        st.metric(
            "Flips",
            f"{sum(len(rows) for rows in turned):,}",
            f"of {now.n_clips:,} clips",
            delta_color="off",
            delta_arrow="off",
            help="Clips that become right, become wrong, or go from one wrong class to another.",
            border=True,
        )


def alpha_chart(
    item: Scored, curve: Curve, pair: tuple[str, str], now: Outcome, before: Outcome, gamma: float = 0.0
) -> None:
    """Accuracy against α with the reference and the present weights on it; `gamma` is the share of a third modality."""
    best = curve.best()
    marks = {"the run's own": item.weights, "reference": before.weights, "present": now.weights}
    shares = {
        name: share(weights, pair)
        for name, weights in marks.items()
        if abs(services.captions_share(weights) - gamma) < 1e-6
    }
    top1 = {"reference": before.top1, "present": now.top1}
    letter, on = ("α / (α + β)", f", with γ = {gamma:.2f}") if gamma else (LETTERS[pair[0]], "")
    st.plotly_chart(
        mark(
            alpha_curve(curve, pair, gamma),
            {name: (alpha, top1.get(name, float(curve.at(alpha)))) for name, alpha in shares.items()},
        ),
        key="alpha-curve",
        config=PLOT,
        alt=f"Top-1 accuracy for every {letter} from 0 to 1{on}; highest, {percent(best.accuracy)}, from "
        f"{best.low:.3f} to {best.high:.3f}; at present {percent(now.top1)}",
    )
    st.caption(
        f"Exact, not sampled: it steps where a clip turns. Shaded: the best stretch, {percent(best.accuracy)} for "
        f"{letter} from {best.low:.3f} to {best.high:.3f}. It is the best on these very clips; see below what is left "
        "of it on other classes.",
        help="Along a line of weights each class's score is linear, so the α for which a clip is right form one "
        "interval with closed-form ends. Sorting all ends gives the whole curve.",
    )


def flips_table(item: Scored, ids: Sequence[str], now: Outcome, before: Outcome, turned: Flips) -> int | None:
    """Clips that turned; the row of the chosen one, the first unless somebody picked another."""
    counts = {"gained": len(turned.gained), "lost": len(turned.lost), "changed": len(turned.changed)}
    titles = {"any": "All", "gained": "Gained", "lost": "Lost", "changed": "Wrong otherwise"}
    which = st.segmented_control(
        "Which of them", list(titles), default="any", required=True, format_func=titles.__getitem__,
        key=state.FLIPPED, bind="query-params",
        help="Gained: wrong under the reference, right now. Lost: the other way round. Wrong otherwise: from one wrong "
        "class to another.",
    )  # fmt: skip
    kinds = {"gained": turned.gained, "lost": turned.lost, "changed": turned.changed}
    words = {"gained": "gained", "lost": "lost", "changed": "wrong otherwise"}
    rows = [(int(row), words[kind]) for kind, found in kinds.items() if which in ("any", kind) for row in found]
    if not rows:
        st.caption("None of this kind.")
        return None
    shown, name_of = rows[:MOST_ROWS], now.class_names

    def named(index: int) -> str:
        return name_of[index] if index >= 0 else "undecided"

    event = st.dataframe(
        {
            "What": [word for _, word in shown],
            "True class": [named(now.truth_N[row]) for row, _ in shown],
            "Under the reference": [named(before.predicted_N[row]) for row, _ in shown],
            "Now": [named(now.predicted_N[row]) for row, _ in shown],
            "Clip": [ids[row] for row, _ in shown],
        },
        hide_index=True,
        height=min(420, 38 + 35 * len(shown)),
        column_config={"What": st.column_config.TextColumn(width="small")},
        on_select="rerun",
        selection_mode="single-row",
        key=f"flips-{which}",
        alt="Clips whose answer differs between the reference and the present weights",
    )
    note = f", the first {MOST_ROWS:,} of {len(rows):,} are listed" if len(rows) > MOST_ROWS else ""
    gained, lost, changed = counts.values()
    st.caption(f"{gained:,} gained, {lost:,} lost, {changed:,} wrong otherwise{note}. Choose a row to see its clip.")
    picked = event["selection"]["rows"]
    return shown[picked[0] if picked and picked[0] < len(shown) else 0][0]


def flipped_clip(item: Scored, clip_id: str, row: int, now: Outcome, before: Outcome, classes: tuple[str, ...]) -> None:
    """One clip, and its best labels under both weights."""
    truth = now.class_names[now.truth_N[row]]
    screen, one, other = st.columns([4, 3, 3], gap="large", vertical_alignment="center")
    with screen:
        player.film_of(item, clip_id, truth, caption=f"True class: **{plain(truth)}**")
    for column, (title, tuned) in zip((one, other), (("Under the reference", before), ("Now", now)), strict=True):
        ranked = services.top_labels(item, row, tuned.weights, classes)
        lines = [
            f"{place}. {f':green[**{plain(name)}**]' if name == truth else plain(name)} {number(similarity)}"
            for place, (name, similarity) in enumerate(ranked.labels, start=1)
        ]
        with column:
            st.markdown(f"**{title}**", help="The best labels with their similarities; the true class is green.")
            st.markdown("\n".join(lines))


TOO_GOOD = "Best on the very classes it is told on (too good)"
HALVES_ARE_EASIER = "Among half of the classes accuracies are higher than among all: there is less to confuse."


def honest_words(what: str) -> None:
    """Why weights that are best on the test clips are no result."""
    st.subheader(f"What choosing {what} is worth", anchor=False)
    one = what == "α"
    article, are, have, its = ("An α", "is", "has", "its") if one else ("Weights", "are", "have", "their")
    st.markdown(
        f"{article} that {are} best on the test clips {have} seen their labels: {its} accuracy is no zero-shot figure. "
        f"Fair {'is an α' if one else 'are weights'} chosen on classes that are not reported on: held-out classes of "
        "the training data, or, as here, one random half of the classes, with accuracy told on the other half."
    )


def honest_choice(item: Scored, pair: tuple[str, str]) -> None:
    """α chosen on half of the classes and reported on the other half."""
    honest_words("α")
    if not services.is_quick(item) and not st.button(
        f"Compute for {services.HONEST_RUNS} random halves", help="On this many clips it takes a while."
    ):
        return
    found = services.honest(item, pair)
    alpha = figure_of([weights.of(pair[0]) for weights in found.weights])
    rows = {f"Chosen on the other half, α = {alpha.mean:.2f} ± {alpha.std or 0:.2f}": found.accuracies}
    honest_table("α", rows | found.fixed | {TOO_GOOD: found.best}, found.accuracies)
    st.caption(f"{len(found.weights)} random halves (seed 0), the same for every row. {HALVES_ARE_EASIER}")


def honest_table(what: str, rows: Mapping[str, Sequence[float]], chosen: Sequence[float]) -> None:
    """Accuracies over the halves for weights of each kind, and how far the chosen ones are ahead."""
    figures = [figure_of(values) for values in rows.values()]
    against = [np.mean(np.array(chosen) - np.array(values)) for values in rows.values()]
    ahead = f"Chosen {what} {'is' if what == 'α' else 'are'} better by, points"
    st.dataframe(
        {
            "α" if what == "α" else "Weights": list(rows),
            "Top-1 in %, mean": [100 * figure.mean for figure in figures],
            "± std": [100 * (figure.std or 0) for figure in figures],
            ahead: [round(100 * float(value), 1) + 0.0 for value in against],
        },
        hide_index=True,
        column_config={
            "Top-1 in %, mean": st.column_config.NumberColumn(format="%.1f"),
            "± std": st.column_config.NumberColumn(format="%.1f", help="Sample standard deviation over the halves."),
            ahead: st.column_config.NumberColumn(
                format="%+.1f", help="Mean over the same halves, in percentage points."
            ),
        },
        alt=f"Top-1 accuracy on one half of the classes for {what} chosen on the other half, and for others",
    )
