"""The cell that is looked at: its clips as pictures, and one of them played beside its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.confusion.matrices import Matrix, Views
from app.services import scored
from app.widgets import posters
from app.widgets.choosers import still_among
from app.widgets.player import film_of
from app.widgets.words import plain
from cezsar.report.figures import GAIN, GREY, LOSS, PLOT, number, ranking, short
from cezsar.zeroshot.fusion import similarities

TOP = 5
COSINES = "Cosine similarities of the clip's embedding and the two classes' prototypes (Eq. 8)."


@dataclass(frozen=True)
class Shot:
    """A clip of a cell, and what was said about it.

    Attributes:
        predicted: class name, "" where nothing speaks for any class.
        to_true: cosine similarity to the true class (inner product for scores that stem from no embeddings).
        top: the best candidates with their similarities, best first.
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
        top, true = [(names[index], float(scores_C[index])) for index in best], int(values.label_index[row])
        predicted = top[0][0] if scores_C[chosen].any() else ""
        found.append(
            Shot(values.ids[row], names.get(true, values.class_names[true]), predicted, float(scores_C[true]), top)
        )
    return found


def choose_cell(views: Views) -> tuple[str, str]:
    """Its true and its predicted class: chosen here, by a row of a table, or by a click into a matrix.

    By default the pair that is most confused, or that two matrices differ in the most.
    """
    a, *others = views.values()
    if others:
        changed = np.abs(others[0].shares() - a.shares())
        np.fill_diagonal(changed, 0)
        row, column = divmod(int(changed.argmax()), changed.shape[1])
        usual, taken_usually = a.classes[row], a.columns[column]
    else:
        found = a.pairs()
        usual = found[0].true if found else a.classes[0]
        taken_usually = found[0].predicted if found else _most_taken(a, usual)
    around = partial(state.put, state.ZOOM, "")
    left, right = st.columns(2, gap="medium")
    still_among(state.TRUE, a.classes)
    true = left.selectbox(
        "True class", a.classes, index=a.classes.index(usual), key=state.TRUE, bind="query-params", on_change=around
    ) or usual  # fmt: skip
    best = taken_usually if true == usual else _most_taken(a, true)
    still_among(state.TAKEN, a.columns)
    taken = right.selectbox(
        "Predicted class", a.columns, index=a.columns.index(best), key=state.TAKEN, bind="query-params",
        on_change=around,
    )  # fmt: skip
    return true, taken or best


def _most_taken(view: Matrix, true: str) -> str:
    row = view.classes.index(true)
    counts_L = view.counts_KL[row].copy()
    counts_L[row] = 0
    return view.columns[int(counts_L.argmax()) if counts_L.any() else row]


def show(views: Views, chosen: tuple[str, str]) -> None:
    """The clips of the cell as pictures; one of them is played beside its scores."""
    true, taken = chosen
    if len(views) == 1:
        view = views[""]
        rows = view.rows_of(true, taken).tolist()
        st.caption(_count(view, true, taken, len(rows)))
    else:
        view, rows = _of_sides(views, chosen)
    if not rows:
        st.caption("No clip is in this cell.")
        return
    found = sorted(shots(view, rows), key=lambda shot: -(shot.lead or shot.to_true))
    by_id = {shot.id: shot for shot in found}
    still_among(state.SHOT, by_id)
    pictures, beside = st.columns([1, 1], gap="large")
    with pictures:
        grid = st.container(key="cards")
        picked = st.selectbox(
            f"Clip, of the {len(found):,} here" if len(found) > 1 else "The only clip", list(by_id), key=state.SHOT,
            bind="query-params",
            help="Clips are in the order of how far the predicted class is ahead of the true one; of clips that were "
            "recognised, in the order of their similarity to it.",
        )  # fmt: skip
    shot = by_id.get(picked or "", found[0])
    cards = []
    for one in found:
        words = f"{number(one.lead)} ahead" if one.lead else f"similarity {number(one.to_true)}"
        cards.append(posters.Card(one.id, one.true, words, f"{one.true}, taken for {one.predicted}"))
    posters.cards(grid, view.side.item, cards, shot.id, state.SHOT)
    with beside:
        film_of(view.side.item, shot.id, shot.true, caption="")
        for letter, side in views.items():
            _scores(side, shot.id, letter)


def _of_sides(views: Views, chosen: tuple[str, str]) -> tuple[Matrix, list[int]]:
    """Which of two matrices the clips are of, and their rows there."""
    a, b = views.values()
    in_a, in_b = ({scored.scores(view.side.item).ids[row]: int(row) for row in view.rows_of(*chosen)}
                  for view in (a, b))  # fmt: skip
    rows = {
        state.IN_A: ("In A", a, list(in_a.values())),
        state.IN_B: ("In B", b, list(in_b.values())),
        state.ONLY_A: ("Only in A", a, [row for clip, row in in_a.items() if clip not in in_b]),
        state.ONLY_B: ("Only in B", b, [row for clip, row in in_b.items() if clip not in in_a]),
    }
    picked = st.segmented_control(
        "Clips of this cell", list(rows), default=state.IN_A, required=True, key=state.SIDE, bind="query-params",
        format_func=lambda key: f"{rows[key][0]} ({len(rows[key][2]):,})",
        help="Clips only in A have left this cell in B; clips only in B have come into it.",
    )  # fmt: skip
    return rows[picked or state.IN_A][1:]


def _count(view: Matrix, true: str, taken: str, n: int) -> str:
    total = int(view.counts_KL[view.classes.index(true)].sum())
    of = f"{n:,} of {total:,} clips of **{plain(true)}**"
    if true == taken:
        return f"{of} are recognised."
    back = ""
    if taken in view.classes:
        count = int(view.counts_KL[view.classes.index(taken), view.classes.index(true)])
        back = f"; the other way round {count:,}"
    return f"{of} are taken for **{plain(taken)}**{back}."


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
    if shot.predicted == shot.true:
        second = f", {number(shot.to_true - shot.top[1][1])} ahead of the next" if len(shot.top) > 1 else ""
        words = f":green[:material/check:] {true}{second}"
    else:
        predicted = f"**{plain(shot.predicted)}** {number(shot.top[0][1])}"
        words = f":orange[:material/close:] {predicted}; the true {true}, which is {number(shot.lead)} less"
    st.markdown(name + words, help=COSINES)
    labels = shot.top if shot.true in dict(shot.top) else [*shot.top, (shot.true, shot.to_true)]
    looks = {shot.predicted: (LOSS, "✕ "), shot.true: (GAIN, "✓ ")}
    colours, marks = zip(*(looks.get(label, (GREY, "")) for label, _ in labels), strict=True)
    titles = [mark + short(label, 40) for mark, (label, _) in zip(marks, labels, strict=True)]
    st.plotly_chart(
        ranking(labels, colours, titles), key=f"top-{letter[:1].lower()}", config=PLOT,
        alt="Best classes: " + ", ".join(f"{label} {similarity:.2f}" for label, similarity in labels),
    )  # fmt: skip
