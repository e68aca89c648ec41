"""Classes that gain and lose, caption distances against τ, and runs against τ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cezsar.analysis.tau import CandidateCounts, Distances
from cezsar.report.figures import COLOURS, GAIN, GREY, LOSS, MARKS, bars, layout, points, shown
from cezsar.sweep import Sweep
from cezsar.zeroshot.weights import Gain

MOST_CLASSES = 20
MOST_BARS = 200  # of the histogram

BLUE, ORANGE = COLOURS[0], COLOURS[1]
BAND = "rgba(0, 114, 178, 0.16)"
TAU = "τ, upper bound on the cosine distance of a hard negative"
LOOKS = (("square", ORANGE), ("circle", BLUE), *zip(MARKS[2:], COLOURS[2:], strict=True))  # of VE, VE + O, ...


def gains_figure(gains: Sequence[Gain], clips: int) -> go.Figure:
    """Clips that each class gains (to the right) and loses (to the left), at most 20 classes, the rest as one."""
    rows = sorted(gains[:MOST_CLASSES], key=lambda gain: (gain.net, gain.gained), reverse=True)
    if rest := gains[MOST_CLASSES:]:
        gained, lost = sum(gain.gained for gain in rest), sum(gain.lost for gain in rest)
        rows.append(Gain(f"{len(rest):,} further classes", gained, lost, gained - lost))
    hovers = [
        f"{shown(one.name)}: {one.gained:,} gained, {one.lost:,} lost, {points(one.net / clips)} points of all clips"
        for one in rows
    ]
    parts = [
        {"x": values, "name": name, "marker": {"color": colour}, "width": 0.66, "hovertext": hovers}
        for name, colour, values in (
            ("gained", GAIN, [gain.gained for gain in rows]), ("lost", LOSS, [-gain.lost for gain in rows]),
        )
    ]  # fmt: skip
    figure = bars([gain.name for gain in rows], parts, "clips", 24, 32, barmode="relative")
    largest = max(max(gain.gained, gain.lost) for gain in rows) + 0.5
    figure.update_xaxes(zeroline=True, nticks=7, tickformat="d", range=[-largest, largest])
    return figure


def distance_figure(found: Distances, tau: float) -> go.Figure:
    """How cosine distances of sentence pairs are spread, with those of hard negatives shaded."""
    last = int(np.flatnonzero(found.counts).max(initial=0)) + 1
    per_bar = max(1, -(-last // MOST_BARS))
    counts = np.add.reduceat(found.counts, np.arange(0, len(found.counts), per_bar))
    left = found.edges[:-1][::per_bar]
    width = per_bar * (found.edges[1] - found.edges[0])
    kept = left < max(found.edges[last], tau)
    colours = np.where(left + width / 2 < tau, BLUE, GREY)[kept].tolist()
    figure = go.Figure()
    figure.add_vrect(x0=0, x1=tau, fillcolor=BAND, line={"width": 0}, layer="below")
    figure.add_bar(
        x=(left + width / 2)[kept], y=(100 * counts / found.n_pairs)[kept], width=width, showlegend=False,
        marker={"color": colours, "line": {"width": 0}},
        hovertemplate="distance about %{x:.2f}: %{y:.2f} % of pairs<extra></extra>",
    )  # fmt: skip
    return _against_tau(
        figure, tau, f"pairs in % (bars {width:g} wide)", "cosine distance of two captions", float(found.edges[last])
    )


def candidates_figure(found: CandidateCounts, tau: float, wanted: int) -> go.Figure:
    """Candidates of a sentence for every τ: the median, and between which numbers 80 % of the sentences lie."""
    quantiles = found.quantiles((0.1, 0.5, 0.9))
    low, median, high = np.maximum(quantiles, 0.5).T  # what stands for none on a logarithmic axis
    figure = go.Figure()
    more: dict[str, Any] = {}
    for values in (low, high):
        figure.add_scatter(
            x=found.taus, y=values, mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=bool(more),
            name="80 % of the sentences", **more,
        )  # fmt: skip
        more = {"fill": "tonexty", "fillcolor": BAND}
    figure.add_scatter(
        x=found.taus, y=median, customdata=quantiles, mode="lines", line={"color": BLUE, "width": 2}, name="median",
        hovertemplate="τ = %{x:.2f}: %{customdata[1]:,.0f} candidates, 80 % of the sentences have "
        "%{customdata[0]:,.0f} to %{customdata[2]:,.0f}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=wanted, line={"color": GREY, "dash": "dash"})
    figure.update_yaxes(type="log", dtick=1)
    return _against_tau(figure, tau, f"candidates of a sentence (dashed: {wanted})")


def too_few_figure(found: CandidateCounts, tau: float, wanted: int) -> go.Figure:
    """Share of the sentences that have fewer candidates than wanted, for every τ."""
    shares = 100 * found.too_few(wanted) / len(found.anchors)
    hover = "τ = %{x:.2f}: %{y:.1f} %<extra></extra>"
    line = {"color": BLUE, "width": 2}
    figure = go.Figure(go.Scatter(x=found.taus, y=shares, mode="lines", line=line, hovertemplate=hover))
    figure.update_yaxes(range=[-2, 102])
    return _against_tau(figure, tau, f"sentences with fewer than {wanted}, in %")


def _against_tau(figure: go.Figure, tau: float, y: str, x: str = "τ", last: float = 0.0) -> go.Figure:
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    layout(figure, 300, x, y, bargap=0)
    figure.update_xaxes(range=[0, max(1.1, last, tau) + 0.02])
    return figure


def sweep_figure(
    found: Sweep | None, spread: str, paper: Mapping[float, float], own: tuple[float, Mapping[str, float]] | None
) -> go.Figure:
    """Accuracy against τ: a sweep, the paper's curve in grey, and the demo's own run as open marks.

    Args:
        spread: bars are deviations over "splits" or "seeds", where there are several.
        paper: τ -> accuracy.
        own: τ, and modality -> accuracy.
    """
    figure, rows = go.Figure(), found.rows() if found else []
    _line(figure, "paper: VE + O, UCF-101", sorted(paper.items()), GREY, "diamond", "dot")
    modalities = found.modalities if found else ["VE", "VE + O"]
    for modality, (symbol, colour) in zip(modalities, LOOKS, strict=False):
        done = [(row.tau, row.accuracies[modality]) for row in rows if modality in row.accuracies]
        if done:
            _line(figure, modality, [(tau, accuracy.mean) for tau, accuracy in done], colour, symbol)
            deviations = [accuracy.splits if spread == "splits" else accuracy.seeds for _, accuracy in done]
            figure.data[-1].update(
                error_y={"array": [100 * (deviation or 0) for deviation in deviations], "thickness": 1.5, "width": 4},
                hovertext=[accuracy.percent() for _, accuracy in done],
                hovertemplate=f"{modality}, τ = %{{x:g}}: %{{hovertext}}<extra></extra>",
            )
        if own and modality in own[1]:
            _line(figure, f"the demo's run: {modality}", [(own[0], own[1][modality])], colour, f"{symbol}-open")
    layout(figure, 380, TAU, "top-1 accuracy in %")
    for row in rows:
        if not row.done:
            figure.add_vline(x=row.tau, line={"color": GREY, "width": 1, "dash": "dot"})
            figure.add_annotation(x=row.tau, y=0.02, yref="paper", text="no run", showarrow=False, xanchor="left")
    figure.update_xaxes(zeroline=False)
    return figure


def _line(figure: go.Figure, name: str, found: Sequence[tuple[float, float]], colour: str, symbol: str,
          dash: str = "solid") -> None:  # fmt: skip
    figure.add_scatter(
        x=[tau for tau, _ in found], y=[100 * accuracy for _, accuracy in found], name=name,
        mode="lines+markers" if len(found) > 1 else "markers", line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
        hovertemplate=f"{name}, τ = %{{x:g}}: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip
