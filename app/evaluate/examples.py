"""What an example is worth, on the page Evaluate: clips that show a class, beside its sentences or in their place."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import cache
from app.evaluate.rows import Row, choose_row, table, unbroken
from app.parts import scored, show
from cezsar.report import figures
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.shots import Shots, shots


def found(item: Scored, weights: Weights) -> Shots:
    """`shots`, cached; all that is drawn comes from seed 0, as in `cezsar shots`."""

    def make() -> Shots:
        return shots(scored.embeddings(item), weights, item.several)

    return cache.once(make, "shots", item.fingerprint, weights, words="Showing classes by examples, 20 times")


def worth_of_examples(rows: Sequence[Row], protocol: Protocol) -> None:
    """Accuracies by the number of examples a class, among all classes; splits do not count."""
    st.subheader("What is an example worth?", anchor=False)
    asking, answering = st.columns([4, 9], gap="large")
    with asking:
        row = rows[choose_row(rows)]
        st.caption(
            "Some clips of each class stand for it: alone, or beside its sentences, with λ as their share. No example "
            "is tested, and all figures of a draw are told on the same other clips, among all classes whatever the "
            "protocol. With 0 examples that is the zero-shot answer; with any it is **not zero-shot**.",
            help="The prototype of n examples is the mean of their unit VE and O, by their weights. λ = n / (n + 1): "
            "sentences count as one example, which was chosen on classes of training.",
        )
    with answering:
        if row.item.method.shares:
            return show.info("This method compares shares of class scores: no clip can stand for a class in them.")
        told = found(row.item, row.result.weights)
        cells = [{head: unbroken(text) for head, text in line.items()} for line in told.frame().to_dict("records")]
        table(cells, alt="Top-1 accuracy by the number of examples a class, with and without sentences")
        said = "; ".join(f"{line['Examples a class']}: {line['Blend (%)']}" for line in cells)
        alt = f"Top-1 by examples a class. Examples beside sentences, in percent: {said}"
        show.figure(figures.shots(told), "shots-chart", alt)
        clips = f"{told.tested[0]:,} clips in each of {len(told.tested)} draws"
        st.caption(f"Top-1 on {clips}; ± and whiskers are the deviation over draws.")
        forms = {"CSV": "As fractions.", "Markdown": "In percent.", "LaTeX": "For booktabs, in percent."}
        files = zip(forms.items(), told.texts().items(), strict=True)
        show.downloads(*((name, f"shots{end}", text, help) for (name, help), (end, text) in files))
    return None
