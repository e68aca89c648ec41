"""The cell that is looked at: its clips as pictures, and one of them played beside its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.confusion.matrices import Matrix, Views
from app.parts import player, scored
from app.parts.choosers import one_of, segments
from app.parts.player import film_of
from app.parts.words import plain
from cezsar.report.figures import GAIN, GREY, LOSS, PLOT, number, ranking, short
from cezsar.zeroshot.fusion import similarities

TOP = 5
COSINES = "Cosine similarities of the clip's embedding and the two classes' prototypes (Eq. 8)."


@dataclass(frozen=True)
class Shot:
    """A clip of a cell, with the cosine similarities of its true class and of the best ones.

    `predicted` is "" where nothing speaks for any class. Scores that stem from no embeddings give inner products.
    """

    id: str
    true: str
    predicted: str
    to_true: float
    top: list[tuple[str, float]]

    @property
    def lead(self) -> float:
        """How far the predicted class is above the true one."""
        return self.top[0][1] - self.to_true


def shots(view: Matrix, rows: Sequence[int]) -> list[Shot]:
    """What was said about some labelled clips, in the order of `rows`."""
    values = scored.scores(view.side.item)
    names = dict(zip(values.indices(view.candidates).tolist(), view.candidates, strict=True))
    chosen = sorted(names)  # of equal scores the lowest index wins, as in `predict`
    found = []
    for row, scores_C in zip(rows, similarities(values, view.side.weights, np.asarray(rows, np.int64)), strict=True):
        best = [chosen[place] for place in np.argsort(-scores_C[chosen], kind="stable")[:TOP]]
        true, predicted = int(values.label_index[row]), names[best[0]] if scores_C[chosen].any() else ""
        label, top = names.get(true, values.class_names[true]), [(names[i], float(scores_C[i])) for i in best]
        found.append(Shot(values.ids[row], label, predicted, float(scores_C[true]), top))
    return found


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


def show(views: Views, chosen: tuple[str, str]) -> None:
    """The clips of the cell as pictures; one of them is played beside its scores."""
    view, rows = _rows(views, *chosen)
    if not rows:
        st.caption("No clip is in this cell.")
        return
    found = sorted(shots(view, rows), key=lambda shot: -(shot.lead or shot.to_true))
    by_id, item = {shot.id: shot for shot in found}, view.side.item
    pictures, beside = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        title = f"Clip, of the {len(found):,} here" if len(found) > 1 else "The only clip"
        shot = by_id[one_of(
            title, list(by_id), state.SHOT,
            help="Clips are in the order of how far the predicted class is ahead of the true one; of clips that were "
            "recognised, in the order of their similarity to it.",
        )]  # fmt: skip
    cards = []
    for one in found:
        words = f"{number(one.lead)} ahead" if one.lead else f"similarity {number(one.to_true)}"
        cards.append(player.Poster(one.id, one.true, words, f"{one.true}, taken for {one.predicted}"))
    player.cards(grid, item, cards, shot.id, state.SHOT)
    with beside:
        film_of(item, shot.id, shot.true, caption="")
        for letter, side in views.items():
            _scores(side, shot.id, letter)


def _rows(views: Views, true: str, taken: str) -> tuple[Matrix, list[int]]:
    """The matrix that the clips are of, and their rows there; of two matrices one is chosen."""
    a, *others = views.values()
    rows = a.rows_of(true, taken).tolist()
    if not others:
        at = a.classes.index(true)
        words = f"{len(rows):,} of {a.counts_KL[at].sum():,} clips of **{plain(true)}** are "
        words += "recognised" if true == taken else f"taken for **{plain(taken)}**"
        if taken in a.classes and taken != true:
            words += f"; the other way round {a.counts_KL[a.classes.index(taken), at]:,}"
        st.caption(f"{words}.")
        return a, rows
    b, ids_a, ids_b = others[0], scored.scores(a.side.item).ids, scored.scores(others[0].side.item).ids
    in_a = {ids_a[row]: row for row in rows}
    in_b = {ids_b[row]: row for row in b.rows_of(true, taken).tolist()}
    only_a, only_b = ([row for clip, row in here.items() if clip not in there]
                      for here, there in ((in_a, in_b), (in_b, in_a)))  # fmt: skip
    found = {state.IN_A: rows, state.IN_B: list(in_b.values()), state.ONLY_A: only_a, state.ONLY_B: only_b}
    titles = dict(zip(found, ("In A", "In B", "Only in A", "Only in B"), strict=True))
    picked = segments(
        "Clips of this cell", {key: f"{titles[key]} ({len(those):,})" for key, those in found.items()}, state.SIDE,
        "Clips only in A have left this cell in B; clips only in B have come into it.",
    )  # fmt: skip
    return a if picked in (state.IN_A, state.ONLY_A) else b, found[picked]


def _scores(view: Matrix, clip: str, letter: str) -> None:
    """What one side says about a clip: both labels' scores, and its best classes."""
    ids = scored.scores(view.side.item).ids
    if clip not in ids:
        st.caption(f"{letter}this clip is not in {plain(view.side.title)}.")
        return
    (shot,) = shots(view, [ids.index(clip)])
    name = f"**{letter.strip()}** " if letter else ""
    if not shot.predicted:
        st.markdown(f"{name}nothing speaks for any of these classes.")
        return
    true = f"**{plain(shot.true)}** {number(shot.to_true)}"
    words = f":green[:material/check:] {true}"
    if shot.predicted != shot.true:
        words = f":orange[:material/close:] **{plain(shot.predicted)}** {number(shot.top[0][1])}; the true {true}, "
        words += f"which is {number(shot.lead)} less"
    elif len(shot.top) > 1:
        words += f", {number(shot.to_true - shot.top[1][1])} ahead of the next"
    st.markdown(name + words, help=COSINES)
    labels = shot.top if shot.true in dict(shot.top) else [*shot.top, (shot.true, shot.to_true)]
    looks = {shot.predicted: (LOSS, "✕ "), shot.true: (GAIN, "✓ ")}
    colours = [looks.get(label, (GREY, ""))[0] for label, _ in labels]
    titles = [looks.get(label, (GREY, ""))[1] + short(label, 40) for label, _ in labels]
    st.plotly_chart(
        ranking(labels, colours, titles), key=f"top-{letter[:1].lower()}", config=PLOT,
        alt="Best classes: " + ", ".join(f"{label} {similarity:.2f}" for label, similarity in labels),
    )  # fmt: skip
