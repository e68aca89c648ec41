"""The cell that is looked at: its clips as pictures, and one of them played beside its scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.confusion.matrices import Matrix, Views
from app.parts import player, scored, show
from app.parts.choosers import one_of, segments
from app.parts.words import plain
from cezsar.arrays import FloatArray
from cezsar.report.figures import GAIN, GREY, LOSS, number, ranking, short
from cezsar.zeroshot.fusion import rank, similarities

TOP = 5
COSINES = "Cosine similarities of the clip's embedding and the two classes' prototypes (Eq. 8)."
SIDES = {state.IN_A: "In A", state.IN_B: "In B", state.ONLY_A: "Only in A", state.ONLY_B: "Only in B"}


def similar(view: Matrix, rows: Sequence[int]) -> FloatArray:
    """(N, C) similarities of some clips to `view.candidates`; inner products where scores stem from no embeddings."""
    values = scored.scores(view.side.item)
    rows_N, candidates = np.asarray(rows, np.int64), values.indices(view.candidates)
    return similarities(values, view.side.weights, rows_N)[:, candidates]


def choose_cell(views: Views) -> tuple[str, str]:
    """Its true and its predicted class: chosen here, by a row of a table, or by a click into a matrix.

    By default the pair that is most confused, or that two matrices differ in the most.
    """
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
    cards = {}
    for n in np.argsort(-np.where(best_N > to_true_N, best_N - to_true_N, to_true_N), kind="stable"):
        lead, taken = best_N[n] - to_true_N[n], view.candidates[similar_NC[n].argmax()]
        words = f"{number(lead)} ahead" if lead else f"similarity {number(to_true_N[n])}"
        cards[ids[rows[n]]] = player.Poster(ids[rows[n]], true, words, f"{true}, taken for {taken}")
    pictures, beside = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        shot = one_of(
            f"Clip, of the {len(cards):,} here" if len(cards) > 1 else "The only clip", list(cards), state.SHOT,
            help="Clips are in the order of how far the predicted class is ahead of the true one; of clips that were "
            "recognised, in the order of their similarity to it.",
        )  # fmt: skip
    player.cards(grid, item, list(cards.values()), shot, state.SHOT)
    with beside:
        player.film_of(item, shot, true, caption="")
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
    in_a, in_b = {ids_a[row]: row for row in rows}, {ids_b[row]: row for row in b.rows_of(true, taken).tolist()}
    only_a, only_b = in_a.keys() - in_b.keys(), in_b.keys() - in_a.keys()
    only = [row for clip, row in in_a.items() if clip in only_a], [row for clip, row in in_b.items() if clip in only_b]
    found = dict(zip(SIDES, (rows, list(in_b.values()), *only), strict=True))
    picked = segments(
        "Clips of this cell", {key: f"{title} ({len(found[key]):,})" for key, title in SIDES.items()}, state.SIDE,
        "Clips only in A have left this cell in B; clips only in B have come into it.",
    )  # fmt: skip
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
    (top, margin), to_true = rank(similar_C, view.candidates, TOP), float(similar_C[view.candidates.index(true)])
    (predicted, best), said = top[0], f"**{plain(true)}** {number(to_true)}"
    words = f":green[:material/check:] {said}"
    if predicted != true:
        words = f":orange[:material/close:] **{plain(predicted)}** {number(best)}; the true {said}, "
        words += f"which is {number(best - to_true)} less"
    elif len(top) > 1:
        words += f", {number(margin)} ahead of the next"
    st.markdown(name + words, help=COSINES)
    labels = top if true in dict(top) else [*top, (true, to_true)]
    looks = {predicted: (LOSS, "✕ "), true: (GAIN, "✓ ")}
    colours = [looks.get(label, (GREY, ""))[0] for label, _ in labels]
    titles = [looks.get(label, (GREY, ""))[1] + short(label, 40) for label, _ in labels]
    told = ", ".join(f"{label} {similarity:.2f}" for label, similarity in labels)
    show.figure(ranking(labels, colours, titles), f"top-{letter[:1].lower()}", f"Best classes: {told}")
