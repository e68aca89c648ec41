"""Hard negatives: how far apart the captions of videos are, and what a bound τ on that distance lets in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache, state
from app.parts import models
from app.parts.choosers import one_of
from app.parts.words import sentence
from app.train.starting import captions, sentence_encoders
from cezsar import workspace
from cezsar.analysis import tau as laboratory
from cezsar.arrays import DoubleArray, FloatArray, IntArray
from cezsar.data.annotations import load_annotations
from cezsar.errors import CezsarError, FormatError
from cezsar.report.figures import COLOURS, GREY, PLOT, layout, percent
from cezsar.zeroshot.scores import read_arrays

SHIPPED = "shipped"
TAUS = np.arange(1, 201) / 100  # every position of the slider
MOST_ANCHORS = 3_000  # sentences whose candidates are counted, drawn at random where there are more
MOST_FOR_DUPLICATES = 20_000  # sentences all pairs of which are looked at without being asked
CLOSE, MOST_CLOSE = 0.3, 200  # cosine distance of the pairs that are listed, and how many at the most
SAME_MEANING = 0.05  # cosine distance under which two sentences say nearly the same
MOST_LISTED = 2_000  # sentences that one list offers
NEAREST = 12  # sentences shown beside an example
BLOCK = 256  # sentences encoded between two reports of progress
MOST_BARS = 200  # of the histogram
BLUE, ORANGE = COLOURS[:2]
BAND = "rgba(0, 114, 178, 0.16)"


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences, the number of each one's video, their vectors by an encoder, and what their distances allow."""

    key: tuple[object, ...]
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
    if found := choose_sentences():
        bounds(found)
        duplicates(found)


def choose_sentences() -> Sentences | None:
    """The sentences of a source, encoded if that was never done; None, and a word on it, if there is no source.

    Sources are the shipped captions, the demo's annotations, and annotation files in the workspace's data folder."""
    shipped = models.SHIPPED / "captions.safetensors"
    offered = {SHIPPED: ("Captions of the demo, some of them (comes with the software)", shipped)}
    offered = offered if shipped.is_file() else {}
    for path in (item.path for item in captions().values()):
        demo = path.parent == workspace.folder("demo").absolute()
        key, title = ("demo", "Captions of the demo's training videos, all") if demo else (path.name, path.name)
        offered[key] = (title, path)
    if not offered:
        words = "There are no captions here yet: put a file in ActivityNet Captions form into the workspace's folder "
        st.info(words + "data, or prepare the demo below.", icon=":material/info:")
        return None
    choosing, encoding = st.columns([3, 1])
    with choosing:
        source = one_of(
            "Captions", list(offered), state.SENTENCES_OF, format_func=lambda key: offered[key][0],
            help="Annotation files in ActivityNet Captions form are found in the workspace's folder data.",
        )  # fmt: skip
    path, encoder = offered[source][1], ""
    if source != SHIPPED:
        with encoding:
            encoder = one_of(
                "Sentence encoder", sentence_encoders(), state.SENTENCE_ENCODER,
                help="Distances, and so the right τ, depend on it. The paper's is distilroberta.",
            )  # fmt: skip
    waiting, stat = st.empty(), path.stat()
    named = ("sentences", str(path.absolute()), stat.st_size, stat.st_mtime_ns, encoder)
    found = cache.large(lambda: measured(named, path, encoder, waiting), *named)
    waiting.empty()
    anchors, total = found.counts_TA.shape[1], len(found.texts)
    drawn = "" if anchors == total else f"; candidates are counted for {anchors:,} of them, drawn at random"
    videos = len(np.unique(found.groups_N))
    st.caption(f"{total:,} sentences of {videos:,} videos, encoded by {found.encoder}{drawn}.")
    return found


def measured(key: tuple[object, ...], path: Path, encoder: str, waiting: Any) -> Sentences:
    """Everything about the sentences of a file; `encoder` is "" for the shipped ones, which come with vectors.

    Raises:
        CezsarError: the file cannot be read, the encoder is not here, or all sentences are of one video.
    """
    if not encoder:
        arrays, told = read_arrays(path, "captions")
        try:
            texts, encoder = told["sentences"], told["encoder"]
            vectors_NS, groups_N = arrays["vectors"].astype(np.float32), arrays["groups"].astype(np.int64)
        except KeyError as error:
            raise FormatError(f"{path} is damaged: {error} is missing; install the software again") from error
    else:
        from cezsar.data.sentence_cache import open_encoder

        segments = load_annotations(path).segments
        texts = [segment.sentence for segment in segments]
        groups_N = np.unique([segment.video_id for segment in segments], return_inverse=True)[1]
        waiting.progress(0.0, "Loading the sentence encoder")
        opened, blocks = open_encoder(encoder), []
        for first in range(0, len(texts), BLOCK):
            blocks.append(opened.encode(texts[first : first + BLOCK]))
            done = min(first + BLOCK, len(texts))
            waiting.progress(done / len(texts), f"Encoding sentences: {done:,} of {len(texts):,}")
        vectors_NS = np.concatenate(blocks)
    rng = np.random.default_rng(0)
    spread = laboratory.distances(vectors_NS, groups_N, rng)
    _, counts_TA = laboratory.candidates(vectors_NS, groups_N, TAUS.tolist(), MOST_ANCHORS, rng)
    return Sentences(key, texts, groups_N, vectors_NS, encoder, spread, counts_TA)


@st.fragment
def bounds(found: Sentences) -> None:
    """What depends on τ."""
    try:
        first, second, third = st.columns([3, 3, 1], gap="large")
        tau = first.slider(
            "τ", 0.01, 2.0, 0.8, 0.01, key=state.TAU, bind="query-params",
            help="Upper bound on the cosine distance of a hard negative, in (0, 2].",
        )  # fmt: skip
        before = second.slider(
            "compared with τ =", 0.01, 2.0, 0.7, 0.01, key=state.TAU_BEFORE, bind="query-params",
            help="For the sentences that enter or leave between the two.",
        )  # fmt: skip
        wanted = third.number_input(
            "Wanted", 1, 1_000, 10, key=state.NEGATIVES, bind="query-params",
            help="n: hard negatives for each positive; the paper's is 10.",
        )  # fmt: skip
        numbers(found.distances, found.counts_TA, tau, int(wanted))
        example(found, tau, before)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")


def numbers(found: laboratory.Distances, counts_TA: IntArray, tau: float, wanted: int) -> None:
    """Distances, candidates, and sentences with too few of them, at the chosen τ."""
    place = int(np.abs(TAUS - tau).argmin())
    counts, few_T = counts_TA[place], (counts_TA < wanted).sum(axis=1)
    below, median, few = percent(found.below(tau)), f"{np.median(counts):,.0f}", f"{few_T[place]:,}"
    off = "" if found.exact else f" From a sample of {found.n_pairs:,} pairs, ±{100 * found.error:.2f}."
    cards = (
        (f"Pairs under τ = {tau:.2f}", below, "Share of caption pairs of different videos with 0 < cosine distance < "
         f"τ: those that may be hard negatives of each other.{off} On ActivityNet's validation captions with minilm: "
         "1.5 % under 0.6, 5.9 % under 0.7, 19.5 % under 0.8."),
        ("Candidates, median", median, "Half of the sentences have more."),
        ("Candidates, fewest", f"{counts.min():,}", "Of the sentence that finds the fewest."),
        (f"With fewer than {wanted}", f"{few} of {len(counts):,}", "Sentences for which fewer hard negatives can be "
         "found than wanted; they get what there is."),
    )  # fmt: skip
    with st.container(key="metrics-tau"):
        for title, value, meaning in cards:
            st.metric(title, value, help=meaning, border=True)
    charts = (
        ("Distances of caption pairs", distance_figure(found, tau),
         f"Histogram of cosine distances; {below} of the pairs lie under {tau:.2f}"),
        ("Candidates per sentence", candidates_figure(counts_TA, tau, wanted),
         f"Candidates per sentence against τ; at {tau:.2f} the median is {median}"),
        ("Sentences with too few", too_few_figure(few_T / len(counts), tau, wanted),
         f"Share of sentences with fewer than {wanted} candidates against τ; at {tau:.2f} it is {few}"),
    )  # fmt: skip
    for column, (title, figure, alt) in zip(st.columns(3, gap="medium"), charts, strict=True):
        column.markdown(f"**{title}**")
        column.plotly_chart(figure, key=f"tau-{title}", config=PLOT, alt=alt)


def distance_figure(found: laboratory.Distances, tau: float) -> go.Figure:
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
    return _against_tau(figure, tau, title, "cosine distance of two captions", float(found.edges[last]))


def candidates_figure(counts_TA: IntArray, tau: float, wanted: int) -> go.Figure:
    """Candidates of a sentence for every τ: the median, and between which numbers 80 % of the sentences lie."""
    quantiles = np.quantile(counts_TA, (0.1, 0.5, 0.9), axis=1).T
    low, median, high = np.maximum(quantiles, 0.5).T  # what stands for none on a logarithmic axis
    edge: dict[str, Any] = {"x": TAUS, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure = go.Figure()
    figure.add_scatter(y=low, showlegend=False, **edge)
    figure.add_scatter(y=high, name="80 % of the sentences", fill="tonexty", fillcolor=BAND, **edge)
    figure.add_scatter(
        x=TAUS, y=median, customdata=quantiles, mode="lines", line={"color": BLUE, "width": 2}, name="median",
        hovertemplate="τ = %{x:.2f}: %{customdata[1]:,.0f} candidates, 80 % of the sentences have "
        "%{customdata[0]:,.0f} to %{customdata[2]:,.0f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=wanted, line={"color": GREY, "dash": "dash"})
    figure.update_yaxes(type="log", dtick=1)
    return _against_tau(figure, tau, f"candidates of a sentence (dashed: {wanted})")


def too_few_figure(share_T: DoubleArray, tau: float, wanted: int) -> go.Figure:
    """Share of the sentences that have fewer candidates than wanted, for every τ."""
    look = {"line": {"color": BLUE, "width": 2}, "hovertemplate": "τ = %{x:.2f}: %{y:.1f} %<extra></extra>"}
    figure = go.Figure(go.Scatter(x=TAUS, y=100 * share_T, mode="lines", **look))
    figure.update_yaxes(range=[-2, 102])
    return _against_tau(figure, tau, f"sentences with fewer than {wanted}, in %")


def _against_tau(figure: go.Figure, tau: float, y: str, x: str = "τ", last: float = 0.0) -> go.Figure:
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    layout(figure, 300, x, y, bargap=0)
    figure.update_xaxes(range=[0, max(1.1, last, tau) + 0.02])
    return figure


def example(found: Sentences, tau: float, before: float) -> None:
    """One sentence, and which others enter or leave its candidates between two τ."""
    st.subheader("One sentence and its negatives", anchor=False)
    anchor, (low, high) = choose_anchor(found.texts), sorted((tau, before))
    near = laboratory.neighbours(found.vectors_NS, found.groups_N, anchor, high)
    within = [pair for pair in near if np.float32(pair[1]) < np.float32(low)]
    moved = near[len(within) :]
    verb = "Enter" if tau >= before else "Leave"
    titles = (
        f"Candidates at both τ: {len(within):,}",
        f"{verb} as τ goes from {before:.2f} to {tau:.2f}: {len(moved):,}",
    )
    for column, title, rows in zip(st.columns(2, gap="medium"), titles, (within, moved), strict=True):
        column.markdown(f"**{title}**")
        if not rows:
            column.caption(
                "None." if low < high else "Move one of the two τ: the sentences between them are listed here."
            )
            continue
        listed = rows[:NEAREST]
        with column:
            distance_table(
                [(distance, found.texts[row]) for row, distance in listed], ("Sentence",),
                "Sentences with their cosine distance to the example", height=38 + 35 * len(listed),
            )  # fmt: skip
    st.caption(
        f"The nearest {NEAREST} of each. Sentences of the same video are never negatives.",
        help="A negative that describes what the anchor's video shows as well is a false one: it pushes the model away "
        "from a right answer. The nearer a sentence, the more likely that is.",
    )


def choose_anchor(texts: Sequence[str]) -> int:
    """The number of the example sentence."""
    options: Sequence[int] = range(len(texts))
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
    drawing.button(
        "Another", icon=":material/casino:", width="stretch", help="A sentence drawn at random.", on_click=state.put,
        args=(state.ANCHOR, int(np.random.default_rng().integers(len(texts)))),
    )  # fmt: skip
    return int(anchor or 0)


def distance_table(rows: Sequence[tuple[object, ...]], columns: tuple[str, ...], alt: str, **more: Any) -> None:
    """Rows of a cosine distance and sentences."""
    titled = [dict(zip(("Distance", *columns), row, strict=True)) for row in rows]
    column = st.column_config.NumberColumn(format="%.3f", width="small")
    st.dataframe(titled, hide_index=True, column_config={"Distance": column}, alt=alt, **more)


def duplicates(found: Sentences) -> None:
    """Different sentences that say nearly the same: negatives that are wrong at any τ."""
    with st.expander("Sentences that are false negatives at any τ", icon=":material/content_copy:"):
        st.markdown(
            "Captions of different videos that say nearly the same are candidates whatever τ is, though either may "
            "describe both videos. The same sentence word for word (distance 0) is none."
        )
        few = len(found.texts) <= MOST_FOR_DUPLICATES
        if not few and not st.button("Look for them", help="Compares all pairs; some seconds."):
            return
        look = partial(laboratory.near_duplicates, found.vectors_NS, found.groups_N, CLOSE, MOST_CLOSE)
        pairs = cache.once(look, "duplicates", *found.key, words="Comparing all pairs of sentences")
        if not pairs:
            st.caption(f"No two captions are nearer than {CLOSE:g}.")
            return
        near = sum(distance < SAME_MEANING for _, _, distance in pairs)
        more = " or more" if near == MOST_CLOSE else ""
        st.markdown(f"**{near:,}{more}** are nearer than {SAME_MEANING:g}. The nearest pairs there are:")
        listed = [(distance, found.texts[one], found.texts[other]) for one, other, distance in pairs]
        alt = "The nearest pairs of sentences of different videos, with their cosine distances"
        distance_table(listed, ("One sentence", "The other"), alt)
