"""The page Confusion: which classes are taken for which, by which clips, and what look-alikes cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.confusion import groups, matrices
from app.confusion.matrices import MOST_CELLS, ORDERS, Matrix, Side, Views
from app.parts import choosers, player, scored, show
from app.parts.choosers import one_of, segments
from app.parts.words import plain
from cezsar.arrays import FloatArray
from cezsar.data.labels import canonical
from cezsar.report.figures import GAIN, GREY, LOSS, number, ranking, short
from cezsar.zeroshot.fusion import Weights, rank, similarities
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.tables import csv_of

FUSED = "fused"
MODALITIES = {"VE": "VE, what the clip looks like", "O": "O, recognised objects", "C": "C, captions"}

TOP = 5
COSINES = "Cosine similarities of the clip's embedding and the two classes' prototypes (Eq. 8)."
SIDES = {state.IN_A: "In A", state.IN_B: "In B", state.ONLY_A: "Only in A", state.ONLY_B: "Only in B"}


def page() -> None:
    st.title("Confusion", anchor=False)
    st.markdown("Which classes are taken for which, the clips behind every number, and what look-alikes cost.")
    with show.explained():
        if sides := choose_sides():
            about(sides)


def about(sides: dict[str, Side]) -> None:
    """Everything about one matrix, or two."""
    first, *others = sides.values()
    names, own = scored.scores(first.item).class_names, choosers.own_groups()
    for other in others:
        inside = {canonical(name) for name in scored.scores(other.item).class_names}
        names = [name for name in names if canonical(name) in inside]
    if len(names) < 2:
        st.info("These two data sets share fewer than two classes, so there is nothing to compare. Choose another.")
        return
    sources = groups.sources(first, own)
    classes, restricted = choose_classes(names, sources)
    if len(classes) < 2:
        st.info("Choose at least two classes, and their matrix appears here.", icon=":material/grid_on:")
        return
    numbers = st.container()
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        cells = segments(
            "Cells", {"shares": "Percent of the true class", "counts": "Clips"}, state.CELLS,
            "Row-normalised, so that each row sums to 100 %, or counts of clips."
            + " The overview and the difference are always row-normalised." * (len(classes) > MOST_CELLS),
        )  # fmt: skip
        order = segments(
            "Order of classes", ORDERS, state.LINED, "Look-alikes together: classes with similar prototypes are "
            "neighbours (leaves of an average-linkage clustering of cosine similarities). Worst first: by the share of "
            "their clips that is recognised.",
        )  # fmt: skip
    classes = matrices.in_order(first, classes, restricted, order)
    views = {letter: matrices.matrix(side, classes, restricted) for letter, side in sides.items()}
    drawn, files, behind, last = (st.container() for _ in range(4))
    with behind:
        st.subheader("Clips of one cell", anchor=False)
        chosen = choose_cell(views)
    with last:
        counted = groups.of_groups(views, sources, own, names)
    with numbers:
        groups.headline(views, counted)
    with drawn:
        draw(views, chosen, cells == "counts")
    with files:
        told, names_of = "Counts of clips, classes in the order shown.", "confusion-{}matrix.csv"
        csvs = [
            (f"{letter}Matrix CSV", names_of.format(letter[:1].lower()), partial(as_csv, view), told)
            for letter, view in views.items()
        ]
        show.downloads(*csvs, type="tertiary")
    with behind:  # comes last, since clips may have to be read
        of_cell(views, chosen)


def draw(views: Views, chosen: tuple[str, str], as_counts: bool) -> None:
    """The matrix, or two and their difference, beside the pairs."""
    # The part of a large matrix comes from the address, which is kept in step with it.
    state.tell(state.ZOOM, st.session_state.setdefault(state.ZOOM, st.query_params.get(state.ZOOM, "")))
    every = list(views.values())
    large, key, title = len(every[0].classes) > MOST_CELLS, "matrix", every[0].side.title
    if len(every) == 2:
        for column, letter, one in zip(st.columns(2, gap="medium"), views, (key, "second"), strict=True):
            with column:
                matrices.draw([views[letter]], one, letter + views[letter].side.title, chosen, as_counts)
        key, title, as_counts = "difference", "B − A, in percentage points", False
    left, right = st.columns(2 if large else [6, 5], gap="medium")
    with left:
        matrices.draw(every, key, title, chosen, as_counts)
    with right:
        if large:
            matrices.draw_part(every, key, chosen, as_counts)
        else:
            matrices.confused_pairs(every, chosen)
    if large:
        matrices.confused_pairs(every, chosen)


def as_csv(view: Matrix) -> str:
    table = pd.DataFrame(view.counts_KL, view.classes, view.columns)
    return csv_of(table, index=True, index_label="true \\ predicted")


# What is compared ----------------------------------------------------------------------------------------------------


def choose_sides() -> dict[str, Side]:
    """The scored data set and weights of the matrix, and those of a second one beside it; none if nothing is scored."""
    choosing, weighing, comparing = st.columns([5, 5, 4], gap="medium", vertical_alignment="bottom")
    with choosing:
        item = choosers.scored_set()
    if item is None:
        return {}
    with weighing:
        a = Side(item, choose_weights(item, state.SPEAKS))
    help = "Another run, or the same run predicting from another modality. What changes is shown as B − A."
    if not comparing.toggle("Compare with a second matrix", key=state.BESIDE, bind="query-params", help=help):
        return {"": a}
    if state.WITH not in st.session_state and state.WITH not in st.query_params:
        st.session_state[state.WITH] = item.name  # the same data set, predicted from something else
    choosing, weighing, _ = st.columns([5, 5, 4], gap="medium")
    with choosing:
        other = choosers.scored_set("Second run and data set (B)", state.WITH) or item
    with weighing:
        weights = choose_weights(other, state.WITH_SPEAKS, last=other.name == item.name)
    return {"A: ": a, "B: ": Side(other, weights)}


def choose_weights(item: Scored, key: str, last: bool = False) -> Weights:
    """Which modalities speak. By default the fusion, or what looks alone say if `last`."""
    modalities, w = scored.scores(item).modalities, item.weights
    there, titles = {name: Weights.only(name) for name in modalities}, {name: MODALITIES[name] for name in modalities}
    if sum(w.of(name) > 0 for name in modalities) > 1:
        spoken = [f"{sign} = {value:g}" for sign, value in zip("αβγ", (w.alpha, w.beta, w.gamma), strict=True) if value]
        there, titles = {FUSED: w} | there, {FUSED: f"the run's fusion, {', '.join(spoken)}"} | titles
    names = list(titles)
    return there[one_of(
        "Predicted from", titles, key, names[min(1, len(names) - 1) if last else 0], persist_state="session",
        help="Which embeddings of a clip are compared with the prototypes: one modality, or their weighted sum "
        "α VE + β O + γ C (Eq. 9). The nearest prototype by cosine is the prediction (Eq. 8).",
    )]  # fmt: skip


def choose_classes(names: Sequence[str], sources: Mapping[str, groups.Grouped]) -> tuple[list[str], bool]:
    """The classes shown, and whether predictions are among these only."""
    every = f"All {len(names):,}"
    found = {f"{name} ({source})": members for source, given in sources.items() for name, members in given.items()}
    which, picking, among = st.columns([3, 5, 4], gap="medium", vertical_alignment="top")
    with which:
        kind = segments(
            "Classes", {state.ALL: every, state.BY_GROUP: "Hard groups", state.CHOSEN: "Chosen"}, state.WHICH
        )
    if kind == state.ALL:
        return list(names), True
    with picking:
        if kind == state.CHOSEN:
            chosen = choosers.classes("Chosen classes", names, found, default=list(names)[:6])
        else:
            kept = state.HARD in st.session_state
            choosers.forget_others(state.HARD, found)
            picked = st.multiselect(
                "Hard groups", list(found), None if kept else list(found)[:3], key=state.HARD, **state.KEPT,
                help="Groups of classes that look alike. They are listed, and edited, at the end of this page.",
            )  # fmt: skip
            members = dict.fromkeys(member for name in picked for member in found[name])
            chosen = [member for member in members if member in names]
    with among:
        restricted = segments(
            "Predictions among", {"these": "These classes", "all": every}, state.AMONG,
            "Among these classes only, as the paper tests its fifteen hard classes; or among all classes of the data "
            "set, where a last column counts the clips that are taken for any class not shown.",
        )  # fmt: skip
    return chosen, restricted != "all"


# The cell that is looked at ------------------------------------------------------------------------------------------


def similar(view: Matrix, rows: Sequence[int]) -> FloatArray:
    """(N, C) similarities of some clips to `view.candidates`; inner products where scores stem from no embeddings."""
    values = scored.scores(view.side.item)
    rows_N, candidates = np.asarray(rows, np.int64), values.indices(view.candidates)
    return similarities(values, view.side.weights, rows_N)[:, candidates]


def choose_cell(views: Views) -> tuple[str, str]:
    """Its true and its predicted class: chosen here, by a row of a table, or by a click into a matrix; by default the
    pair that is most confused, or that two matrices differ in the most."""
    a, *others = views.values()
    confused = a.pairs()
    usual = (confused[0].true, confused[0].predicted) if confused else (a.classes[0], _most_taken(a, a.classes[0]))
    if others:
        changed = np.abs(others[0].shares() - a.shares())
        np.fill_diagonal(changed, 0)
        row, column = divmod(int(changed.argmax()), changed.shape[1])
        usual = a.classes[row], a.columns[column]
    around = partial(state.put, state.ZOOM, "")
    left, right = st.columns(2, gap="medium")
    with left:
        true = one_of("True class", a.classes, state.TRUE, usual[0], on_change=around)
    best = usual[1] if true == usual[0] else _most_taken(a, true)
    with right:
        return true, one_of("Predicted class", a.columns, state.TAKEN, best, on_change=around)


def _most_taken(view: Matrix, true: str) -> str:
    row = view.classes.index(true)
    counts_L = np.where(np.arange(len(view.columns)) == row, 0, view.counts_KL[row])
    return view.columns[int(counts_L.argmax()) if counts_L.any() else row]


def of_cell(views: Views, chosen: tuple[str, str]) -> None:
    """The clips of the cell as pictures; one of them is played beside its scores."""
    (view, rows), true = _rows(views, *chosen), chosen[0]
    if not rows:
        st.caption("No clip is in this cell.")
        return
    item, ids, similar_NC = view.side.item, scored.scores(view.side.item).ids, similar(view, rows)
    to_true_N, best_N = similar_NC[:, view.candidates.index(true)], similar_NC.max(axis=1)
    cards = []
    for n in np.argsort(-np.where(best_N > to_true_N, best_N - to_true_N, to_true_N), kind="stable"):
        lead, taken = best_N[n] - to_true_N[n], view.candidates[similar_NC[n].argmax()]
        words = f"{number(lead)} ahead" if lead else f"similarity {number(to_true_N[n])}"
        cards.append(player.Poster(ids[rows[n]], true, words, f"{true}, taken for {taken}"))
    help = "In the order of how far the predicted class is ahead of the true one; right ones by their similarity to it."
    shot, beside = player.gallery(item, cards, state.SHOT, help=help)
    with beside:
        for letter, side in views.items():
            _scores(side, shot, true, letter)


def _rows(views: Views, true: str, taken: str) -> tuple[Matrix, list[int]]:
    """The matrix that the clips are of, and their rows there; of two matrices one is chosen."""
    a, *others = views.values()
    rows = a.rows_of(true, taken).tolist()
    if not others:
        at = a.classes.index(true)
        words = "recognised" if true == taken else f"taken for **{plain(taken)}**"
        if taken in a.classes and taken != true:
            words += f"; the other way round {a.counts_KL[a.classes.index(taken), at]:,}"
        st.caption(f"{len(rows):,} of {a.counts_KL[at].sum():,} clips of **{plain(true)}** are {words}.")
        return a, rows
    b, ids_a, ids_b = others[0], scored.scores(a.side.item).ids, scored.scores(others[0].side.item).ids
    there = b.rows_of(true, taken).tolist()
    in_a, in_b = ({ids[row] for row in of} for ids, of in ((ids_a, rows), (ids_b, there)))
    only = [row for row in rows if ids_a[row] not in in_b], [row for row in there if ids_b[row] not in in_a]
    found = dict(zip(SIDES, (rows, there, *only), strict=True))
    titles = {key: f"{title} ({len(found[key]):,})" for key, title in SIDES.items()}
    help = "Clips only in A have left this cell in B; clips only in B have come into it."
    picked = segments("Clips of this cell", titles, state.SIDE, help)
    return a if picked in (state.IN_A, state.ONLY_A) else b, found[picked]


def _scores(view: Matrix, clip: str, true: str, letter: str) -> None:
    """What one side says about a clip: both labels' scores, and its best classes."""
    ids = scored.scores(view.side.item).ids
    if clip not in ids:
        st.caption(f"{letter}this clip is not in {plain(view.side.title)}.")
        return
    (similar_C,), name = similar(view, [ids.index(clip)]), f"**{letter.strip()}** " if letter else ""
    if not similar_C.any():
        st.markdown(f"{name}nothing speaks for any of these classes.")
        return
    (top, _), to_true = rank(similar_C, view.candidates, TOP), float(similar_C[view.candidates.index(true)])
    predicted = top[0][0]
    st.markdown(f"{name}predicted: **{plain(predicted)}**", help=COSINES)
    labels = top if true in dict(top) else [*top, (true, to_true)]
    looks = {predicted: (LOSS, "✕ "), true: (GAIN, "✓ ")}
    colours = [looks.get(label, (GREY, ""))[0] for label, _ in labels]
    titles = [looks.get(label, (GREY, ""))[1] + short(label, 40) for label, _ in labels]
    told = ", ".join(f"{label} {similarity:.2f}" for label, similarity in labels)
    show.figure(ranking(labels, colours, titles), f"top-{letter[:1].lower()}", f"Best classes: {told}")
