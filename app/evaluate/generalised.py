"""Seen and unseen classes together, on the page Evaluate: a second set, of other classes, that the same run scored."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import cache, state
from app.evaluate.rows import Row, choose_row, table
from app.parts import scored, show
from app.parts.choosers import one_of
from cezsar.report import figures
from cezsar.zeroshot.evaluation import Stacking, stacking
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores


def stacked(item: Scored, seen: Scored, weights: Weights) -> Stacking:
    """`stacking` of the clips of both sets among the classes of both, cached."""

    def make() -> Stacking:
        others = scored.embeddings(seen)
        scores = Scores.from_embeddings(scored.embeddings(item).joined(others), item.several)
        return stacking(scores, others.class_names, weights)

    return cache.once(make, "stacking", item.fingerprint, seen.fingerprint, weights, words="Scoring both sets together")


def seen_and_unseen(rows: Sequence[Row], protocol: Protocol) -> None:
    """Accuracies on seen and on unseen classes, all being candidates, by calibrated stacking; splits do not count."""
    st.subheader("Seen and unseen classes together", anchor=False)
    row = rows[choose_row(rows)]
    run, data = (row.item.about[key] for key in ("run_fingerprint", "dataset"))
    others = {name: item for name, item in scored.scored_sets().items() if item.about["dataset"] != data}
    titles = {name: scored.title(item) for name, item in others.items() if run == item.about["run_fingerprint"] != ""}
    if not titles:
        show.info("Score other clips of classes that training showed with the same run: see below.")
        return
    told = "Clips that training did not show, of classes that it did. Candidates are all classes of both sets."
    found = stacked(row.item, others[one_of("Seen classes", titles, state.SEEN, help=told)], row.result.weights)
    best, cells = found.best().factor, []
    for name, factor in (("none", 0.0), ("best factor", best)):
        seen, unseen, harmonic = map(figures.percent, found.at(factor))
        cells.append({"Correction": name, "Factor": figures.number(factor, 3), "Seen": seen, "Unseen": unseen,
                      "Harmonic mean": harmonic})  # fmt: skip
    table(cells, alt="Accuracies on seen and unseen classes and their harmonic mean, plain and with the best factor")
    st.warning("The best factor has seen these labels: choose it on classes held out.", icon=":material/warning:")
    area = f"Area under the curve of all factors (AUSUC): {figures.percent(found.ausuc)}"
    show.figure(figures.stacking(found, best), "stacking-chart", f"Unseen against seen classes. {area}")
    st.caption(f"{area}. A factor is taken off the scores of seen classes (Chao et al., ECCV 2016).")
