"""Hard negatives: how far apart the captions of videos are, and what a bound τ on that distance lets in."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache, state
from app.parts import models, show
from app.parts.choosers import one_of
from app.parts.holdings import captions, sentence_encoders
from cezsar import workspace
from cezsar.analysis import tau as laboratory
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.annotations import load_annotations
from cezsar.report.figures import COLOURS, GREY, layout, percent
from cezsar.zeroshot.scores import read_arrays

SHIPPED = "shipped"
TAUS = np.arange(1, 201) / 100  # every position of the slider
MOST_ANCHORS = 3_000  # sentences whose candidates are counted, drawn at random where there are more
MOST_FOR_DUPLICATES = 20_000  # sentences all pairs of which are looked at without being asked
CLOSE, MOST_CLOSE = 0.3, 200  # cosine distance of the pairs that are listed, and how many at the most
MOST_LISTED, NEAREST = 2_000, 12  # sentences that one list offers, and that are shown beside an example
MOST_BARS = 200  # of the histogram
BLUE, ORANGE = COLOURS[:2]
BAND = "rgba(0, 114, 178, 0.16)"


class Sentences(NamedTuple):
    """Sentences, the number of each one's video, their vectors by an encoder, and what their distances allow."""

    texts: list[str]
    groups_N: IntArray
    vectors_NS: FloatArray
    encoder: str
    distances: laboratory.Distances
    counts_TA: IntArray  # candidates of A of the sentences for each of `TAUS`


def negatives() -> None:
    st.markdown(
        "Training pushes a clip away from sentences that are close to its own but not the same: its hard negatives, of "
        "a cosine distance above 0 and below τ. A larger τ makes them easier to find, and easier.",
        help="Section 3.4 of the paper: 0 < cosine distance of the sentence vectors < τ, from another video, n = 10 "
        "for each positive. The paper's τ is 0.8; with VE + O on UCF-101 it reports 47.8 % at 0.7, 50.9 % at 0.8 and "
        "48.3 % at 0.9. At 0.6 and below it found too few.",
    )
    # Sources are the shipped captions, the demo's annotations, and annotation files in the workspace's data folder.
    shipped = models.SHIPPED / "captions.safetensors"
    titles, paths = {SHIPPED: "Captions of the demo, some of them (comes with the software)"}, {SHIPPED: shipped}
    offered = titles if shipped.is_file() else {}
    for path in (item.path for item in captions().values()):
        demo = path.parent == workspace.folder("demo").absolute()
        key = "demo" if demo else path.name
        offered[key], paths[key] = "Captions of the demo's training videos, all" if demo else path.name, path
    if not offered:
        words = "There are no captions here yet: put a file in ActivityNet Captions form into the workspace's folder "
        return show.info(words + "data, or prepare the demo below.")
    choosing, encoding = st.columns([3, 1])
    with choosing:
        help = "Annotation files in ActivityNet Captions form are found in the workspace's folder data."
        source = one_of("Captions", offered, state.SENTENCES_OF, help=help)
    path, encoder = paths[source], ""
    if source != SHIPPED:
        with encoding:
            help = "Distances, and so the right τ, depend on it. The paper's is distilroberta."
            encoder = one_of("Sentence encoder", sentence_encoders(), state.SENTENCE_ENCODER, help=help)
    stat = path.stat()
    asked = ("sentences", str(path.absolute()), stat.st_size, stat.st_mtime_ns, encoder)
    found = cache.large(partial(measured, path, encoder), *asked, words="Encoding sentences, and measuring distances")
    anchors, total = found.counts_TA.shape[1], len(found.texts)
    drawn = "" if anchors == total else f"; candidates are counted for {anchors:,} of them, drawn at random"
    videos = len(np.unique(found.groups_N))
    st.caption(f"{total:,} sentences of {videos:,} videos, encoded by {found.encoder}{drawn}.")
    bounds(found)
    with st.expander("Sentences that are false negatives at any τ", icon=":material/content_copy:"):
        duplicates(found, asked)
    return None


def measured(path: Path, encoder: str) -> Sentences:
    """Everything about the sentences of a file; `encoder` is "" for the shipped ones, which come with vectors. Raises
    `CezsarError`: the file cannot be read, the encoder is not here, or all sentences are of one video."""
    if not encoder:
        arrays, told = read_arrays(path, "captions")
        texts, encoder = told["sentences"], told["encoder"]
        vectors_NS, groups_N = arrays["vectors"].astype(np.float32), arrays["groups"].astype(np.int64)
    else:
        from cezsar.data.sentence_cache import open_encoder

        segments = load_annotations(path).segments
        texts = [segment.sentence for segment in segments]
        groups_N = np.unique([segment.video_id for segment in segments], return_inverse=True)[1]
        vectors_NS = open_encoder(encoder).encode(texts)
    rng = np.random.default_rng(0)
    spread = laboratory.distances(vectors_NS, groups_N, rng)
    _, counts_TA = laboratory.candidates(vectors_NS, groups_N, TAUS.tolist(), MOST_ANCHORS, rng)
    return Sentences(texts, groups_N, vectors_NS, encoder, spread, counts_TA)


@st.fragment
@show.explained()
def bounds(found: Sentences) -> None:
    """What depends on τ."""
    first, second, third = st.columns([3, 3, 1], gap="large")
    help = "Upper bound on the cosine distance of a hard negative, in (0, 2]."
    tau = first.slider("τ", 0.01, 2.0, 0.8, 0.01, key=state.TAU, bind="query-params", help=help)
    help, key = "For the sentences that enter or leave between the two.", state.TAU_BEFORE
    before = second.slider("compared with τ =", 0.01, 2.0, 0.7, 0.01, key=key, bind="query-params", help=help)
    help = "n: hard negatives for each positive; the paper's is 10."
    wanted = third.number_input("Wanted", 1, 1_000, 10, key=state.NEGATIVES, bind="query-params", help=help)
    numbers(found.distances, found.counts_TA, tau, int(wanted))
    example(found, tau, before)


def numbers(found: laboratory.Distances, counts_TA: IntArray, tau: float, wanted: int) -> None:
    """Distances, candidates, and sentences with too few of them, at the chosen τ."""
    place = int(np.abs(TAUS - tau).argmin())
    counts, few_T = counts_TA[place], (counts_TA < wanted).sum(axis=1)
    below, median, few = percent(found.below(tau)), f"{np.median(counts):,.0f}", f"{few_T[place]:,}"
    off = "" if found.exact else f" From a sample of {found.n_pairs:,} pairs, ±{100 * found.error:.2f}."
    show.metrics("tau", [
        (f"Pairs under τ = {tau:.2f}", below, "", "Share of caption pairs of different videos with 0 < cosine distance "
         f"< τ: those that may be hard negatives of each other.{off} On ActivityNet's validation captions with minilm: "
         "1.5 % under 0.6, 5.9 % under 0.7, 19.5 % under 0.8."),
        ("Candidates, median", median, "", "Half of the sentences have more."),
        ("Candidates, fewest", f"{counts.min():,}", "", "Of the sentence that finds the fewest."),
        (f"With fewer than {wanted}", f"{few} of {len(counts):,}", "", "Sentences for which fewer hard negatives can "
         "be found than wanted; they get what there is."),
    ])  # fmt: skip
    line = {"mode": "lines", "line": {"color": BLUE, "width": 2}}
    said = "τ = %{x:.2f}: %{y:.1f} %<extra></extra>"
    too_few = go.Figure(go.Scatter(x=TAUS, y=100 * few_T / len(counts), hovertemplate=said, **line))
    too_few.update_yaxes(range=[-2, 102])
    charts = (
        ("Distances of caption pairs", distances(found, tau),
         f"Histogram of cosine distances; {below} of the pairs lie under {tau:.2f}"),
        ("Candidates per sentence", candidates(counts_TA, tau, wanted, line),
         f"Candidates per sentence against τ; at {tau:.2f} the median is {median}"),
        ("Sentences with too few", _against(too_few, tau, f"sentences with fewer than {wanted}, in %"),
         f"Share of sentences with fewer than {wanted} candidates against τ; at {tau:.2f} it is {few}"),
    )  # fmt: skip
    for column, (title, figure, alt) in zip(st.columns(3, gap="medium"), charts, strict=True):
        with column:
            st.markdown(f"**{title}**")
            show.figure(figure, f"tau-{title}", alt)


def distances(found: laboratory.Distances, tau: float) -> go.Figure:
    """How cosine distances of sentence pairs are spread, with those of hard negatives shaded."""
    last = int(np.flatnonzero(found.counts).max(initial=0)) + 1
    per_bar = max(1, -(-last // MOST_BARS))
    shares = 100 * np.add.reduceat(found.counts, np.arange(0, len(found.counts), per_bar)) / found.n_pairs
    left, width = found.edges[:-1][::per_bar], per_bar * (found.edges[1] - found.edges[0])
    kept, middle = left < max(found.edges[last], tau), left + width / 2
    figure = go.Figure()
    figure.add_vrect(x0=0, x1=tau, fillcolor=BAND, line={"width": 0}, layer="below")
    figure.add_bar(
        x=middle[kept], y=shares[kept], width=width, showlegend=False,
        marker={"color": np.where(middle < tau, BLUE, GREY)[kept].tolist(), "line": {"width": 0}},
        hovertemplate="distance about %{x:.2f}: %{y:.2f} % of pairs<extra></extra>",
    )  # fmt: skip
    title = f"pairs in % (bars {width:g} wide)"
    return _against(figure, tau, title, "cosine distance of two captions", float(found.edges[last]))


def candidates(counts_TA: IntArray, tau: float, wanted: int, line: dict[str, Any]) -> go.Figure:
    """Candidates of a sentence for every τ: the median, and between which numbers 80 % of the sentences lie."""
    quantiles = np.quantile(counts_TA, (0.1, 0.5, 0.9), axis=1).T
    low, median, high = np.maximum(quantiles, 0.5).T  # what stands for none on a logarithmic axis
    edge: dict[str, Any] = {"x": TAUS, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure = go.Figure(go.Scatter(y=low, showlegend=False, **edge))
    figure.add_scatter(y=high, name="80 % of the sentences", fill="tonexty", fillcolor=BAND, **edge)
    figure.add_scatter(
        x=TAUS, y=median, customdata=quantiles, name="median", **line,
        hovertemplate="τ = %{x:.2f}: %{customdata[1]:,.0f} candidates, 80 % of the sentences have "
        "%{customdata[0]:,.0f} to %{customdata[2]:,.0f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=wanted, line={"color": GREY, "dash": "dash"})
    figure.update_yaxes(type="log", dtick=1)
    return _against(figure, tau, f"candidates of a sentence (dashed: {wanted})")


def _against(figure: go.Figure, tau: float, y: str, x: str = "τ", last: float = 0.0) -> go.Figure:
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    return layout(figure, 300, x, y, bargap=0).update_xaxes(range=[0, max(1.1, last, tau) + 0.02])


def example(found: Sentences, tau: float, before: float) -> None:
    """One sentence, and which others enter or leave its candidates between two τ."""
    st.subheader("One sentence and its negatives", anchor=False)
    texts, options = found.texts, list(range(len(found.texts)))
    if st.session_state.get(state.ANCHOR) not in options:  # of other sentences
        st.session_state.pop(state.ANCHOR, None)
    choosing, drawing = st.columns([6, 1], vertical_alignment="bottom")
    with choosing:
        if len(texts) > MOST_LISTED:
            words = st.text_input("Find sentences with these words", key="anchor-words").lower().split()
            hits = [row for row in options if all(word in texts[row].lower() for word in words)]
            options = sorted({int(st.session_state.get(state.ANCHOR) or 0), *hits[:MOST_LISTED]})
        anchor = st.selectbox(
            "Example sentence", options, format_func=lambda row: f"{row + 1}. {texts[row]}", key=state.ANCHOR,
            help="Type to search.",
        )  # fmt: skip
    draw = partial(state.put, state.ANCHOR, int(np.random.default_rng().integers(len(texts))))
    help = "A sentence drawn at random."
    drawing.button("Another", icon=":material/casino:", width="stretch", help=help, on_click=draw)
    low, high = sorted((tau, before))
    near = laboratory.neighbours(found.vectors_NS, found.groups_N, int(anchor or 0), high)
    within = [pair for pair in near if np.float32(pair[1]) < np.float32(low)]
    moved, verb = near[len(within) :], "Enter" if tau >= before else "Leave"
    parts = {
        f"Candidates at both τ: {len(within):,}": within,
        f"{verb} as τ goes from {before:.2f} to {tau:.2f}: {len(moved):,}": moved,
    }
    none = "None." if low < high else "Move one of the two τ: the sentences between them are listed here."
    for column, (title, rows) in zip(st.columns(2, gap="medium"), parts.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            listed = [{"Distance": distance, "Sentence": texts[row]} for row, distance in rows[:NEAREST]]
            if listed:
                alt = "Sentences with their cosine distance to the example"
                show.table(listed, alt, {"Distance": "%.3f"}, height=38 + 35 * len(listed))
            else:
                st.caption(none)
    st.caption(f"The nearest {NEAREST} of each. Sentences of the same video are never negatives.")


def duplicates(found: Sentences, key: tuple[Any, ...]) -> None:
    """Different sentences that say nearly the same: negatives that are wrong at any τ."""
    st.markdown(
        "Captions of different videos that say nearly the same are candidates whatever τ is, though either may "
        "describe both videos. The same sentence word for word (distance 0) is none."
    )
    if len(found.texts) > MOST_FOR_DUPLICATES and not st.button("Look for them"):
        return
    look = partial(laboratory.near_duplicates, found.vectors_NS, found.groups_N, CLOSE, MOST_CLOSE)
    pairs = cache.once(look, "duplicates", *key, words="Comparing all pairs of sentences")
    st.markdown(f"The nearest pairs there are, below a distance of {CLOSE:g}:")
    listed = [{"Distance": apart, "One sentence": found.texts[i], "The other": found.texts[j]} for i, j, apart in pairs]
    alt = "The nearest pairs of sentences of different videos, with their cosine distances"
    show.table(listed, alt, {"Distance": "%.3f"})
