"""Accuracy against α, classes that gain and lose, caption distances against τ, and runs against τ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from app.charts.style import COLOURS, GAIN, GREY, LOSS, MARKS, layout, percent, points, short, shown
from cezsar.analysis.tau import Candidates, Distances
from cezsar.analysis.tau_table import Row
from cezsar.zeroshot.weights import Curve, Gain

MOST_STEPS = 2_000  # of a curve that are drawn one by one
MOST_CLASSES = 20
MOST_BARS = 200  # of the histogram

BLUE, ORANGE = COLOURS[0], COLOURS[1]
BAND = "rgba(0, 114, 178, 0.16)"
BEST = "rgba(0, 158, 115, 0.22)"


@lru_cache(maxsize=8)
def alpha_curve(curve: Curve, pair: tuple[str, str], gamma: float = 0.0) -> go.Figure:
    """Accuracy for every α, with the best stretch shaded. It stays as it is; `mark` puts weights on a copy.

    Args:
        gamma: share of a third modality on this line; α is then the first one's share of what that leaves.
    """
    best = curve.best()
    alpha, accuracy = curve.alpha, np.append(curve.between_B, curve.on_B[-1])
    if len(alpha) > MOST_STEPS:
        alpha = np.linspace(0, 1, MOST_STEPS // 2 + 1)
        accuracy = curve.at(alpha)
    figure = go.Figure()
    figure.add_vrect(x0=best.low, x1=best.high, fillcolor=BEST, line={"width": 1, "color": GAIN}, layer="below")
    figure.add_scatter(
        x=alpha.astype(np.float32),
        y=(100 * accuracy).astype(np.float32),
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 2},
        name="top-1",
        hovertemplate="α = %{x:.3f}: %{y:.1f} %<extra></extra>",
        showlegend=False,
    )
    name = f"α / (α + β): {pair[0]} against {pair[1]}" if gamma else f"α: share of {pair[0]} (the rest is {pair[1]})"
    layout(figure, 330, name, "top-1 accuracy in %")
    figure.update_xaxes(range=[-0.02, 1.02], fixedrange=True, zeroline=False)
    figure.update_yaxes(fixedrange=True)
    return figure


def mark(figure: go.Figure, marks: Mapping[str, tuple[float, float]]) -> go.Figure:
    """The curve with points on it: name -> (α, accuracy as a fraction); the first is open, the last stands out."""
    marked = go.Figure(figure)
    for number, (name, (alpha, accuracy)) in enumerate(marks.items(), start=1):
        first, last = number == 1, number == len(marks)
        marked.add_scatter(
            x=[alpha],
            y=[100 * accuracy],
            mode="markers",
            name=name,
            marker={
                "color": ORANGE if last else GREY,
                "size": 15 if last else 20 if first else 12,
                "symbol": "circle" if last else "circle-open" if first else "diamond",
                "line": {"width": 2, "color": GREY if first else "white"},
            },
            hovertemplate=f"{name}: α = {alpha:.2f}, {percent(accuracy)}<extra></extra>",
        )
    return marked


def gains_figure(gains: Sequence[Gain], clips: int) -> go.Figure:
    """Clips that each class gains (to the right) and loses (to the left), at most 20 classes, the rest as one."""
    rows = sorted(gains[:MOST_CLASSES], key=lambda gain: (gain.net, gain.gained))
    names = [short(gain.name, 32) for gain in rows]
    if rest := gains[MOST_CLASSES:]:
        gained, lost = sum(gain.gained for gain in rest), sum(gain.lost for gain in rest)
        rows = [Gain("", gained, lost, gained - lost), *rows]
        names = [f"{len(rest):,} further classes", *names]
    figure = go.Figure()
    parts = (("gained", GAIN, [gain.gained for gain in rows]), ("lost", LOSS, [-gain.lost for gain in rows]))
    for name, colour, values in parts:
        figure.add_bar(
            x=values,
            y=list(range(len(rows))),
            orientation="h",
            width=0.66,
            marker={"color": colour, "line": {"width": 0}},
            name=name,
            hovertext=[
                f"{label}: {gain.gained:,} gained, {gain.lost:,} lost, {points(gain.net / clips)} points of all clips"
                for label, gain in zip(names, rows, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    layout(figure, 84 + 24 * len(rows), "clips", barmode="relative")
    largest = max(max(gain.gained, gain.lost) for gain in rows)
    figure.update_xaxes(fixedrange=True, zeroline=True, nticks=7, tickformat="d", range=[-largest - 0.5, largest + 0.5])
    figure.update_yaxes(
        fixedrange=True, tickmode="array", tickvals=list(range(len(rows))), ticktext=names, showgrid=False
    )
    return figure


def distance_figure(found: Distances, tau: float) -> go.Figure:
    """How cosine distances of sentence pairs are spread, with those of hard negatives shaded."""
    last = int(np.flatnonzero(found.counts).max(initial=0)) + 1
    per_bar = max(1, -(-last // MOST_BARS))
    counts = np.add.reduceat(found.counts, np.arange(0, len(found.counts), per_bar))
    left = found.edges[:-1][::per_bar]
    width = per_bar * (found.edges[1] - found.edges[0])
    kept = left < max(found.edges[last], tau)
    shares = 100 * counts / found.n_pairs
    figure = go.Figure()
    figure.add_vrect(x0=0, x1=tau, fillcolor=BAND, line={"width": 0}, layer="below")
    figure.add_bar(
        x=(left + width / 2)[kept],
        y=shares[kept],
        width=width,
        marker={"color": np.where(left + width / 2 < tau, BLUE, GREY)[kept].tolist(), "line": {"width": 0}},
        hovertemplate="distance about %{x:.2f}: %{y:.2f} % of pairs<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    layout(figure, 300, "cosine distance of two captions", f"pairs in % (bars {width:g} wide)", bargap=0)
    figure.update_xaxes(range=[0, max(1.1, float(found.edges[last]), tau) + 0.02], fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return figure


def candidates_figure(found: Candidates, tau: float, wanted: int) -> go.Figure:
    """Candidates of a sentence for every τ: the median, and between which numbers 80 % of the sentences lie."""
    low, median, high = found.quantiles((0.1, 0.5, 0.9)).T
    figure = go.Figure()
    floor = 0.5  # what stands for none on a logarithmic axis
    for values, more in ((low, {}), (high, {"fill": "tonexty", "fillcolor": BAND})):
        figure.add_scatter(
            x=found.taus, y=np.maximum(values, floor), mode="lines", line={"width": 0}, hoverinfo="skip",
            showlegend=bool(more), name="80 % of the sentences", **more,
        )  # fmt: skip
    figure.add_scatter(
        x=found.taus,
        y=np.maximum(median, floor),
        customdata=np.stack([low, median, high], axis=1),
        mode="lines",
        line={"color": BLUE, "width": 2},
        name="median",
        hovertemplate="τ = %{x:.2f}: %{customdata[1]:,.0f} candidates, 80 % of the sentences have "
        "%{customdata[0]:,.0f} to %{customdata[2]:,.0f}<extra></extra>",
    )
    figure.add_hline(y=wanted, line={"color": GREY, "dash": "dash"})
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    layout(figure, 300, "τ", f"candidates of a sentence (dashed: {wanted})")
    figure.update_yaxes(type="log", fixedrange=True, dtick=1)
    figure.update_xaxes(range=[0, max(1.1, tau + 0.02)], fixedrange=True)
    return figure


def too_few_figure(found: Candidates, tau: float, wanted: int) -> go.Figure:
    """Share of the sentences that have fewer candidates than wanted, for every τ."""
    shares = 100 * found.too_few(wanted) / len(found.anchors)
    figure = go.Figure()
    figure.add_scatter(
        x=found.taus,
        y=shares,
        mode="lines",
        line={"color": BLUE, "width": 2},
        hovertemplate="τ = %{x:.2f}: %{y:.1f} %<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=tau, line={"color": ORANGE, "width": 2})
    layout(figure, 300, "τ", f"sentences with fewer than {wanted}, in %")
    figure.update_yaxes(range=[-2, 102], fixedrange=True)
    figure.update_xaxes(range=[0, max(1.1, tau + 0.02)], fixedrange=True)
    return figure


def sweep_figure(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    paper: Mapping[float, float],
    own: tuple[str, Mapping[str, tuple[float, float]]] | None,
) -> go.Figure:
    """Accuracy against τ: finished runs, the paper's curve in grey, and one run of its own as open marks.

    Args:
        lines: modality -> (τ, accuracy as a fraction) of the finished runs.
        paper: τ -> accuracy.
        own: name of the run, and modality -> its point.
    """
    figure = go.Figure()
    _line(figure, "paper: VE + O, UCF-101", sorted(paper.items()), GREY, "diamond", "dot")
    marks = dict(zip(("VE", "VE + O"), (("square", ORANGE), ("circle", BLUE)), strict=True))
    for modality, (symbol, colour) in marks.items():
        if found := lines.get(modality):
            _line(figure, modality, sorted(found), colour, symbol, "solid")
        if own and modality in own[1]:
            _line(figure, f"{shown(own[0])}: {modality}", [own[1][modality]], colour, f"{symbol}-open", "solid")
    layout(figure, 380, "τ, upper bound on the cosine distance of a hard negative", "top-1 accuracy in %")
    figure.update_yaxes(fixedrange=True)
    figure.update_xaxes(fixedrange=True, zeroline=False)
    return figure


def swept_figure(rows: Sequence[Row], modalities: Sequence[str], spread: str) -> go.Figure:
    """Accuracy against τ of one sweep, with ± its deviation over "splits" or "seeds", where there are several."""
    figure = go.Figure()
    looks = (("square", ORANGE), ("circle", BLUE), *zip(MARKS[2:], COLOURS[2:], strict=False))
    for modality, (symbol, colour) in zip(modalities, looks, strict=False):
        done = [(row.tau, row.accuracies[modality]) for row in rows if modality in row.accuracies]
        if not done:
            continue
        _line(figure, modality, [(tau, accuracy.mean) for tau, accuracy in done], colour, symbol, "solid")
        deviations = [accuracy.splits if spread == "splits" else accuracy.seeds for _, accuracy in done]
        figure.data[-1].update(
            error_y={"array": [100 * (deviation or 0) for deviation in deviations], "thickness": 1.5, "width": 4},
            hovertext=[accuracy.percent() for _, accuracy in done],
            hovertemplate=f"{modality}, τ = %{{x:g}}: %{{hovertext}}<extra></extra>",
        )
    layout(figure, 330, "τ, upper bound on the cosine distance of a hard negative", "top-1 accuracy in %")
    taus = [row.tau for row in rows]
    for row in rows:
        if not row.done:
            figure.add_vline(x=row.tau, line={"color": GREY, "width": 1, "dash": "dot"})
            figure.add_annotation(x=row.tau, y=0.02, yref="paper", text="no run", showarrow=False, xanchor="left")
    figure.update_yaxes(fixedrange=True)
    beside = 0.05 + 0.05 * (max(taus) - min(taus))
    figure.update_xaxes(fixedrange=True, zeroline=False, range=[min(taus) - beside, max(taus) + beside])
    return figure


def _line(
    figure: go.Figure, name: str, found: Sequence[tuple[float, float]], colour: str, symbol: str, dash: str
) -> None:
    figure.add_scatter(
        x=[tau for tau, _ in found],
        y=[100 * accuracy for _, accuracy in found],
        mode="lines+markers" if len(found) > 1 else "markers",
        name=name,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
        hovertemplate=f"{name}, τ = %{{x:g}}: %{{y:.1f}} %<extra></extra>",
    )
