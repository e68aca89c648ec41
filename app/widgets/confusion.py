"""Pieces of the page Confusion: what is compared, the matrices, the pairs, and the clips of one cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.charts import confusion as charts
from app.services import confusion as services
from app.services import scored
from app.services.confusion import FUSED, Matrix, Shot, Side
from app.widgets import choosers, posters
from app.widgets.player import film_of
from app.widgets.words import plain
from cezsar.report.figures import PLOT, number
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scored import Scored

OWN_WEIGHTS = "own"
MODALITIES = {"VE": "VE, what the clip looks like", "O": "O, recognised objects", "C": "C, captions"}


# What is compared ----------------------------------------------------------------------------------------------------


def sides() -> tuple[Side, Side | None] | None:
    """The scored data set and weights of the matrix, and those of a second one beside it."""
    first = st.columns([5, 5, 4], gap="medium", vertical_alignment="bottom")
    with first[0]:
        item = choosers.scored_set()
    if item is None:
        return None
    with first[1]:
        a = Side(item, _weights(item, state.SPEAKS, state.SPEAKS_BETA))
    with first[2]:
        beside = st.toggle(
            "Compare with a second matrix",
            key=state.BESIDE,
            bind="query-params",
            help="Another run, or the same run predicting from another modality. What changes is shown as B − A.",
        )
    if not beside:
        return a, None
    if state.WITH not in st.session_state and state.WITH not in st.query_params:
        st.session_state[state.WITH] = item.name  # the same data set, predicted from something else
    second = st.columns([5, 5, 4], gap="medium")
    with second[0]:
        other = choosers.scored_set("Second run and data set (B)", state.WITH)
    if other is None:
        return a, None
    with second[1]:
        return a, Side(other, _weights(other, state.WITH_SPEAKS, state.WITH_BETA, last=other.name == item.name))


def _weights(item: Scored, key: str, key_beta: str, last: bool = False) -> Weights:
    """Which modalities speak, and how loud. By default the fusion, or what looks alone say if `last`."""
    there = services.choices(item)
    names = list(there) + ([OWN_WEIGHTS] if {"VE", "O"} <= set(there) else [])
    if st.session_state.get(key) not in names:
        st.session_state.pop(key, None)
    titles = MODALITIES | {OWN_WEIGHTS: "weights of my own"}
    if FUSED in there:
        w = there[FUSED]
        spoken = [f"{sign} = {value:g}" for sign, value in zip("αβγ", (w.alpha, w.beta, w.gamma), strict=True) if value]
        titles[FUSED] = f"the run's fusion, {', '.join(spoken)}"
    picked = st.selectbox(
        "Predicted from",
        names,
        index=min(1, len(names) - 1) if last else 0,
        format_func=titles.__getitem__,
        key=key,
        bind="query-params",
        persist_state="session",
        help="Which embeddings of a clip are compared with the prototypes: one modality, or their weighted sum "
        "α VE + β O + γ C (Eq. 9). The nearest prototype by cosine is the prediction (Eq. 8).",
    )
    if picked == OWN_WEIGHTS:
        help = "At 0 only what the clip looks like counts, at 1 only the objects recognised in it."
        beta = st.slider(
            "Weight of objects β, with α = 1 − β", 0.0, 1.0, 0.5, 0.05, key=key_beta, bind="query-params", help=help
        )
        return Weights(1 - beta, beta)
    return there[picked or names[0]]


def classes(names: Sequence[str], sources: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[list[str], bool]:
    """The classes shown, and whether predictions are among these only."""
    titles = {state.ALL: f"All {len(names):,}", state.BY_GROUP: "Hard groups", state.CHOSEN: "Chosen"}
    groups = {f"{name} ({source})": members for source, found in sources.items() for name, members in found.items()}
    which, picking, among = st.columns([3, 5, 4], gap="medium", vertical_alignment="top")
    with which:
        kind = st.segmented_control(
            "Classes",
            list(titles),
            default=state.ALL,
            required=True,
            format_func=titles.__getitem__,
            key=state.WHICH,
            bind="query-params",
            persist_state="session",
        )
    with picking:
        if kind == state.ALL or kind is None:
            return list(names), True
        chosen = _of_groups(groups, names) if kind == state.BY_GROUP else _one_by_one(groups, names)
    with among:
        titles = {"these": "These classes", "all": f"All {len(names):,}"}
        restricted = st.segmented_control(
            "Predictions among",
            list(titles),
            default="these",
            required=True,
            format_func=titles.__getitem__,
            key=state.AMONG,
            bind="query-params",
            persist_state="session",
            help="Among these classes only, as the paper tests its fifteen hard classes; or among all classes of the "
            "data set, where a last column counts the clips that are taken for any class not shown.",
        )
    return chosen, restricted != "all"


def _of_groups(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    if state.HARD in st.session_state:
        st.session_state[state.HARD] = [name for name in st.session_state[state.HARD] if name in groups]
    picked = st.multiselect(
        "Hard groups",
        list(groups),
        default=None if state.HARD in st.session_state else list(groups)[:3],
        key=state.HARD,
        bind="query-params",
        persist_state="session",
        help="Groups of classes that look alike. They are listed, and edited, at the end of this page.",
    )
    known = set(names)
    return list(dict.fromkeys(member for name in picked for member in groups[name] if member in known))


def _one_by_one(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    return choosers.classes("Chosen classes", names, groups, default=list(names)[:6])


# The cell that is looked at ------------------------------------------------------------------------------------------


def cell(view: Matrix, default: tuple[str, str]) -> tuple[str, str]:
    """Its true and its predicted class: chosen here, by a row of a table, or by a click into a matrix."""
    for key, options in ((state.TRUE, view.classes), (state.TAKEN, view.columns)):
        if key in st.session_state and st.session_state[key] not in options:
            st.session_state.pop(key)
    first, second = st.columns(2, gap="medium")
    look_again = partial(state.put, state.ZOOM, "")
    true = first.selectbox(
        "True class",
        view.classes,
        index=view.classes.index(default[0]),
        key=state.TRUE,
        bind="query-params",
        on_change=look_again,
    )
    true = true or default[0]
    best = default[1] if true == default[0] else _most_taken(view, true)
    taken = second.selectbox(
        "Predicted class",
        view.columns,
        index=view.columns.index(best),
        key=state.TAKEN,
        bind="query-params",
        on_change=look_again,
    )
    return true, taken or best


def default_cell(a: Matrix, b: Matrix | None) -> tuple[str, str]:
    """The pair that is most confused, or that two matrices differ in the most."""
    if b is None:
        found = a.pairs()
        return (found[0].true, found[0].predicted) if found else (a.classes[0], _most_taken(a, a.classes[0]))
    changed = np.abs(b.shares() - a.shares())
    square = changed[:, : len(a.classes)]
    np.fill_diagonal(square, 0)
    row, column = divmod(int(changed.argmax()), changed.shape[1])
    return a.classes[row], a.columns[column]


def _most_taken(view: Matrix, true: str) -> str:
    row = view.classes.index(true)
    counts_L = view.counts_KL[row].copy()
    counts_L[row] = 0
    return view.columns[int(counts_L.argmax()) if counts_L.any() else row]


# The clips of the cell -----------------------------------------------------------------------------------------------


def shots(a: Matrix, b: Matrix | None, chosen: tuple[str, str]) -> None:
    """Its clips as pictures; one of them is played beside its scores."""
    true, taken = chosen
    view, rows = (a, services.rows_of(a, true, taken)) if b is None else _of_sides(a, b, chosen)
    found = sorted(services.shots(view, rows), key=lambda shot: -(shot.lead or shot.to_true))
    if b is None:
        st.caption(_count(a, true, taken, len(rows)))
    if not found:
        st.caption("No clip is in this cell.")
        return
    by_id = {shot.id: shot for shot in found}
    if st.session_state.get(state.SHOT) not in by_id:
        st.session_state.pop(state.SHOT, None)
    pictures, scores = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        picked = st.selectbox(
            f"Clip, of the {len(found):,} here" if len(found) > 1 else "The only clip",
            list(by_id),
            key=state.SHOT,
            bind="query-params",
            help="Clips are in the order of how far the predicted class is ahead of the true one; of clips that were "
            "recognised, in the order of their similarity to it.",
        )
    shot = by_id.get(picked or found[0].id, found[0])
    posters.cards(grid, view.side.item, [_card(entry) for entry in found], shot.id, state.SHOT)
    with scores:
        film_of(view.side.item, shot.id, shot.true, caption="")
        for letter, side in (("", a),) if b is None else (("A: ", a), ("B: ", b)):
            _scores(side, shot.id, letter)


def _of_sides(a: Matrix, b: Matrix, chosen: tuple[str, str]) -> tuple[Matrix, list[int]]:
    """Which of two matrices the clips are of, and their rows there."""
    rows = {state.IN_A: (a, services.rows_of(a, *chosen)), state.IN_B: (b, services.rows_of(b, *chosen))}
    ids = {key: {scored.scores(view.side.item).ids[row] for row in found} for key, (view, found) in rows.items()}
    for key, own, other in ((state.ONLY_A, state.IN_A, state.IN_B), (state.ONLY_B, state.IN_B, state.IN_A)):
        view, found = rows[own]
        names = scored.scores(view.side.item).ids
        rows[key] = (view, [row for row in found if names[row] not in ids[other]])
    titles = {state.IN_A: "In A", state.IN_B: "In B", state.ONLY_A: "Only in A", state.ONLY_B: "Only in B"}
    picked = st.segmented_control(
        "Clips of this cell",
        list(titles),
        default=state.IN_A,
        required=True,
        format_func=lambda key: f"{titles[key]} ({len(rows[key][1]):,})",
        key=state.SIDE,
        bind="query-params",
        help="Clips only in A have left this cell in B; clips only in B have come into it.",
    )
    return rows[picked or state.IN_A]


def _count(view: Matrix, true: str, taken: str, n: int) -> str:
    total = int(view.counts_KL[view.classes.index(true)].sum())
    of = f"{n:,} of {total:,} clips of **{plain(true)}**"
    if true == taken:
        return f"{of} are recognised."
    words = f"{of} are taken for **{plain(taken)}**"
    if taken in view.classes:
        back = int(view.counts_KL[view.classes.index(taken), view.classes.index(true)])
        words += f"; the other way round {back:,}"
    return words + "."


def _card(shot: Shot) -> posters.Card:
    words = f"{number(shot.lead)} ahead" if shot.lead else f"similarity {number(shot.to_true)}"
    return posters.Card(shot.id, shot.true, words, f"{shot.true}, taken for {shot.predicted}")


def _scores(view: Matrix, clip: str, letter: str) -> None:
    """What one side says about a clip: both labels' scores, and its best classes."""
    ids = scored.scores(view.side.item).ids
    if clip not in ids:
        st.caption(f"{letter}this clip is not in {plain(view.side.title)}.")
        return
    (shot,) = services.shots(view, [ids.index(clip)])
    name = f"**{letter.strip()}** " if letter else ""
    if not shot.predicted:
        st.markdown(f"{name}nothing speaks for any of these classes.")
        return
    if shot.predicted == shot.true:
        second = f", {number(shot.to_true - shot.top[1][1])} ahead of the next" if len(shot.top) > 1 else ""
        words = f":green[:material/check:] **{plain(shot.true)}** {number(shot.to_true)}{second}"
    else:
        words = (
            f":orange[:material/close:] **{plain(shot.predicted)}** {number(shot.to_predicted)}; the true "
            f"**{plain(shot.true)}** {number(shot.to_true)}, which is {number(shot.lead)} less"
        )
    st.markdown(
        name + words, help="Cosine similarities of the clip's embedding and the two classes' prototypes (Eq. 8)."
    )
    labels = shot.top if shot.true in dict(shot.top) else [*shot.top, (shot.true, shot.to_true)]
    st.plotly_chart(
        charts.top_figure(labels, shot.true, shot.predicted),
        key=f"top-{letter[:1].lower()}",
        config=PLOT,
        alt="Best classes: " + ", ".join(f"{label} {similarity:.2f}" for label, similarity in labels),
    )


def downloads(a: Matrix, b: Matrix | None, groups: Mapping[str, Sequence[str]]) -> None:
    """Matrix, pairs and groups as CSV files, made when asked for."""
    files: dict[str, tuple[str, Callable[[Matrix], str], str]] = {
        "matrix": ("Matrix", services.matrix_csv, "Counts of clips, classes in the order shown."),
        "pairs": ("Pairs", services.pairs_csv, "All confused pairs."),
        "groups": ("Groups", partial(services.groups_csv, groups=groups), "Errors within and between hard groups."),
    }
    with st.container(horizontal=True, gap="small"):
        for letter, view in (("", a),) if b is None else (("A: ", a), ("B: ", b)):
            for name, (title, text, help) in files.items():
                st.download_button(
                    f"{letter}{title} CSV",
                    partial(text, view),
                    f"confusion-{letter[:1].lower()}{name}.csv",
                    "text/csv",
                    icon=":material/download:",
                    on_click="ignore",
                    type="tertiary",
                    help=help,
                )
