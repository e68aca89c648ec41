"""Pieces of the page Tune about τ: captions, their distances, the candidates of a sentence, and runs per τ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import state
from app.charts import tune as charts
from app.services import tau as services
from app.train.starting import sentence_encoders
from app.widgets import jobs
from app.widgets.words import plain, sentence
from cezsar.errors import CezsarError
from cezsar.jobs import jobs as all_jobs
from cezsar.report.figures import PLOT, percent
from cezsar.sweep import PAPER, Sweep

MOST_LISTED = 2_000  # sentences that one list offers
NEAREST = 12  # sentences shown beside an example
SAME_MEANING = 0.05  # cosine distance under which two sentences say nearly the same


def choose_sentences() -> services.Sentences | None:
    """The sentences of a source, encoded if that was never done; None, and a word on it, if there is no source."""
    offered = services.sources()
    if not offered:
        st.info(
            "There are no captions here yet: put a file in ActivityNet Captions form into the workspace's folder data, "
            "or prepare the demo below.",
            icon=":material/info:",
        )
        return None
    if st.session_state.get(state.SENTENCES_OF) not in offered:
        st.session_state.pop(state.SENTENCES_OF, None)
    choosing, encoding = st.columns([3, 1])
    key = choosing.selectbox(
        "Captions", list(offered), format_func=lambda key: offered[key].title, key=state.SENTENCES_OF,
        bind="query-params",
        help="Annotation files in ActivityNet Captions form are found in the workspace's folder data.",
    )  # fmt: skip
    encoder = "minilm"
    if key != services.SHIPPED:
        encoder = encoding.selectbox(
            "Sentence encoder", sentence_encoders(), key=state.SENTENCE_ENCODER, bind="query-params",
            help="Distances, and so the right τ, depend on it. The paper's is distilroberta.",
        )  # fmt: skip
    waiting = st.empty()

    def report(done: int, total: int) -> None:
        text = f"Encoding sentences: {done:,} of {total:,}" if done else "Loading the sentence encoder"
        waiting.progress(done / max(1, total), text=text)

    found = services.sentences(offered[key], encoder, report)
    waiting.empty()
    anchors = "" if len(found.candidates.anchors) == len(found.texts) else (
        f"; candidates are counted for {len(found.candidates.anchors):,} of them, drawn at random"
    )  # fmt: skip
    st.caption(f"{len(found.texts):,} sentences of {len(found.videos):,} videos, encoded by {found.encoder}{anchors}.")
    return found


def tau_figures(found: services.Sentences, tau: float, wanted: int) -> None:
    """Distances, candidates, and sentences with too few of them, at the chosen τ."""
    place = int(np.abs(found.candidates.taus - tau).argmin())
    counts = found.candidates.counts_TA[place]
    few, anchors = int(found.candidates.too_few(wanted)[place]), len(found.candidates.anchors)
    below, error = found.distances.below(tau), found.distances.error
    with st.container(key="metrics-tau"):
        st.metric(
            f"Pairs under τ = {tau:.2f}",
            percent(below),
            help="Share of caption pairs of different videos with 0 < cosine distance < τ: those that may be hard "
            "negatives of each other."
            + (
                ""
                if found.distances.exact
                else f" From a sample of {found.distances.n_pairs:,} pairs, ±{100 * error:.2f}."
            )
            + " On ActivityNet's validation captions with minilm: 1.5 % under 0.6, 5.9 % under 0.7, 19.5 % under 0.8.",
            border=True,
        )
        st.metric(
            "Candidates, median", f"{np.median(counts):,.0f}", help="Sentences that half of the sentences exceed.",
            border=True,
        )  # fmt: skip
        st.metric("Candidates, fewest", f"{counts.min():,}", help="Of the sentence that finds the fewest.", border=True)
        st.metric(
            f"With fewer than {wanted}", f"{few:,} of {anchors:,}",
            help="Sentences for which fewer hard negatives can be found than wanted; they get what there is.",
            border=True,
        )  # fmt: skip
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown("**Distances of caption pairs**")
        st.plotly_chart(
            charts.distance_figure(found.distances, tau), key="tau-distances", config=PLOT,
            alt=f"Histogram of cosine distances; {percent(below)} of the pairs lie under {tau:.2f}",
        )  # fmt: skip
    with middle:
        st.markdown("**Candidates per sentence**")
        st.plotly_chart(
            charts.candidates_figure(found.candidates, tau, wanted), key="tau-candidates", config=PLOT,
            alt=f"Candidates per sentence against τ; at {tau:.2f} the median is {np.median(counts):,.0f}",
        )  # fmt: skip
    with right:
        st.markdown("**Sentences with too few**")
        st.plotly_chart(
            charts.too_few_figure(found.candidates, tau, wanted), key="tau-too-few", config=PLOT,
            alt=f"Share of sentences with fewer than {wanted} candidates against τ; at {tau:.2f} it is {few:,}",
        )  # fmt: skip


def example(found: services.Sentences, tau: float, before: float) -> None:
    """One sentence, and which others enter or leave its candidates between two τ."""
    st.subheader("One sentence and its negatives", anchor=False)
    anchor = _anchor(found)
    low, high = min(tau, before), max(tau, before)
    within = found.entering(anchor, 0.0, low)
    moved = found.entering(anchor, low, high) if low < high else []
    verb = "enter" if tau >= before else "leave"
    stays, moves = st.columns(2, gap="medium")
    with stays:
        st.markdown(f"**Candidates at both τ: {len(within):,}**")
        _neighbours(found, within, "stay")
    with moves:
        if low == high:
            st.caption("Move one of the two τ, and the sentences between them are listed here.")
        else:
            st.markdown(f"**{verb.capitalize()} as τ goes from {before:.2f} to {tau:.2f}: {len(moved):,}**")
            _neighbours(found, moved, "move")
    st.caption(
        f"The nearest {NEAREST} of each. Sentences of the same video are never negatives.",
        help="A negative that describes what the anchor's video shows as well is a false one: it pushes the model away "
        "from a right answer. The nearer a sentence, the more likely that is.",
    )


def _anchor(found: services.Sentences) -> int:
    total = len(found.texts)
    if not 0 <= int(st.session_state.get(state.ANCHOR) or 0) < total:
        st.session_state.pop(state.ANCHOR, None)
    options = list(range(total))
    choosing, drawing = st.columns([6, 1], vertical_alignment="bottom")
    with choosing:
        if total > MOST_LISTED:
            wanted = st.text_input("Find sentences with these words", key="anchor-words").lower().split()
            options = [row for row, text in enumerate(found.texts) if all(word in text.lower() for word in wanted)]
            chosen = int(st.session_state.get(state.ANCHOR) or 0)
            options = sorted({chosen, *options[:MOST_LISTED]})
        anchor = st.selectbox(
            "Example sentence", options, format_func=lambda row: f"{row + 1}. {found.texts[row]}", key=state.ANCHOR,
            help="Type to search.",
        )  # fmt: skip
    drawing.button(
        "Another", icon=":material/casino:", on_click=_draw_anchor, args=(total,), width="stretch",
        help="A sentence drawn at random.",
    )  # fmt: skip
    return int(anchor or 0)


def _draw_anchor(total: int) -> None:
    st.session_state[state.ANCHOR] = int(np.random.default_rng().integers(total))


def _neighbours(found: services.Sentences, rows: Sequence[tuple[int, float]], key: str) -> None:
    if not rows:
        st.caption("None.")
        return
    shown = rows[:NEAREST]
    st.dataframe(
        {
            "Distance": [distance for _, distance in shown],
            "Sentence": [found.texts[row] for row, _ in shown],
        },
        hide_index=True,
        height=38 + 35 * len(shown),
        column_config={"Distance": st.column_config.NumberColumn(format="%.3f", width="small")},
        key=f"neighbours-{key}",
        alt="Sentences with their cosine distance to the example",
    )


def duplicates(found: services.Sentences) -> None:
    """Different sentences that say nearly the same: negatives that are wrong at any τ."""
    with st.expander("Sentences that are false negatives at any τ", icon=":material/content_copy:"):
        st.markdown(
            "Captions of different videos that say nearly the same are candidates whatever τ is, though either may "
            "describe both videos. The same sentence word for word (distance 0) is none."
        )
        if found.duplicates is None and not st.button("Look for them", help="Compares all pairs; some seconds."):
            return
        pairs = services.with_duplicates(found).duplicates or []
        if not pairs:
            st.caption(f"No two captions are nearer than {services.CLOSE:g}.")
            return
        near = sum(distance < SAME_MEANING for _, _, distance in pairs)
        more = " or more" if near == services.MOST_CLOSE else ""
        st.markdown(f"**{near:,}{more}** are nearer than {SAME_MEANING:g}. The nearest pairs there are:")
        st.dataframe(
            {
                "Distance": [distance for _, _, distance in pairs],
                "One sentence": [found.texts[one] for one, _, _ in pairs],
                "The other": [found.texts[other] for _, other, _ in pairs],
            },
            hide_index=True,
            column_config={"Distance": st.column_config.NumberColumn(format="%.3f", width="small")},
            alt="The nearest pairs of sentences of different videos, with their cosine distances",
        )


# A run per τ ---------------------------------------------------------------------------------------------------------


def sweep_form() -> None:
    """The list of τ, the settings that its runs share, and the button that starts them."""
    mining = services.usual()
    with st.form("sweep-form"):
        text = st.text_input("τ, with commas between them", "0.6, 0.7, 0.8, 0.9", key="sweep-taus")
        first, second, third = st.columns(3)
        epochs = first.number_input("Epochs", 1, 200, services.usual_epochs(), key="sweep-epochs")
        negatives = second.number_input(
            "Negatives", 1, 200, mining.negatives, key="sweep-negatives", help="Hard negatives for each positive."
        )
        seed = third.number_input(
            "Seed", 0, 9_999, 7, key="sweep-seed", help="Of sub-clips, negatives, weights and order."
        )
        pressed = st.form_submit_button("Train one run per τ", type="primary", icon=":material/play_arrow:")
        st.caption(
            "On the demo's captioned videos, tested on its 21 unseen actions; all else as in the demo. Each run takes "
            "about a minute on two cores."
        )
    if pressed:
        try:
            st.session_state[state.SWEPT] = services.start_sweep(text, int(epochs), int(negatives), int(seed))
        except CezsarError as error:
            st.error(sentence(error), icon=":material/error:")
        else:
            st.rerun()


def sweep_jobs() -> None:
    """Sweeps at work, and those that need a look."""
    if unfinished := [job for job in all_jobs(services.KIND) if job.state != "done"]:
        jobs.follow(unfinished, "sweep-jobs")


def choose_sweep() -> Sweep | None:
    """One of the sweeps in the workspace; None if there is none."""
    there = services.swept()
    if not there:
        st.caption(
            "`cezsar tau-sweep` trains a run for each τ, and for several seeds, on any captioned videos and tests them "
            "on any data set. What it writes into a folder of the workspace's `scores` is shown here."
        )
        return None
    if st.session_state.get(state.SWEPT) not in there:
        st.session_state.pop(state.SWEPT, None)
    name = next(iter(there))
    if len(there) > 1:
        name = st.selectbox("Sweep", list(there), key=state.SWEPT, bind="query-params", format_func=str, width=420)
    return there[name]


def sweep_chart(sweep: Sweep | None) -> None:
    """Accuracy against τ of a sweep, beside the paper's and the demo's own."""
    rows = sweep.rows() if sweep else []
    spread = "splits" if any(each.splits is not None for row in rows for each in row.accuracies.values()) else "seeds"
    told = "; ".join(
        f"{modality} {row.tau:g}: {accuracy.percent()} %"
        for row in rows for modality, accuracy in row.accuracies.items() if "VE" in modality
    )  # fmt: skip
    st.plotly_chart(
        charts.sweep_figure(sweep, spread, PAPER, services.demo_point()), key="sweep-chart", config=PLOT,
        alt="Top-1 accuracy against τ: "
        + (told or "no run has finished yet; the paper's 47.8 % at 0.7, 50.9 % at 0.8 and 48.3 % at 0.9"),
    )  # fmt: skip
    about = (
        "The paper's accuracies are of UCF-101 with its 101 classes, so only the shape of its curve can be compared."
    )
    if sweep:
        about = (
            f"{plain(sweep.title())}. Bars are one standard deviation over {spread} to either side; a difference "
            f"smaller than the deviation over seeds may be chance. {about}"
        )
    st.caption(about)


def sweep_table(sweep: Sweep) -> None:
    """A row a τ: accuracies, sentences short of candidates, triplets and time; and what failed."""
    rows, names = sweep.rows(), sweep.modalities
    accuracies = {
        modality: [row.accuracies[modality].percent() if modality in row.accuracies else "" for row in rows]
        for modality in names
    }
    st.dataframe(
        {
            "τ": [row.tau for row in rows],
            **{f"{modality}, %": found for modality, found in accuracies.items()},
            "Short": [100 * row.short for row in rows],
            "Triplets": [f"{row.triplets:,.0f}" if row.done else "" for row in rows],
            "Seconds": [f"{row.seconds:,.0f}" if row.done else "" for row in rows],
        },
        hide_index=True,
        column_config={
            "τ": st.column_config.NumberColumn(format="%g", width="small"),
            "Short": st.column_config.NumberColumn(
                format="%.1f %%", width="small",
                help=f"Sentences with fewer than {sweep.about.get('negatives')} candidates at this τ.",
            ),
            "Triplets": st.column_config.TextColumn(width="small"),
            "Seconds": st.column_config.TextColumn(width="small", help="Mining, training and evaluation of one run."),
        },
        alt="For every τ: top-1 accuracies, sentences short of candidates, triplets and seconds",
    )  # fmt: skip
    for row in rows:
        if row.note:
            st.caption(f"τ = {row.tau:g}: {plain(row.note)}.")
