"""Figures of the pages and the report: results in, plotly figure out. Okabe and Ito's colours, each with a mark of its
own, so that colour is never the only difference. Axes do not zoom. Fractions come in, percent are shown."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

if TYPE_CHECKING:
    import pandas as pd

    from cezsar.analysis.baselines import Standing
    from cezsar.analysis.comparison import Interval
    from cezsar.arrays import DoubleArray
    from cezsar.zeroshot.evaluation import Stacking
    from cezsar.zeroshot.fusion import Weights
    from cezsar.zeroshot.shots import Shots
    from cezsar.zeroshot.weights import Curve, SimplexMap

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7B68A6")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "hexagon")  # plotly's names
GLYPHS = ("●", "■", "◆", "▲", "✚", "★", "⬟", "⬢")  # the same, as text
DASHES = ("solid", "dash", "dot", "dashdot")
GREY = "#9A9A9A"
GAIN, LOSS = "#009E73", "#D55E00"  # better, worse
CHOSEN = "#E69F00"
CLEAR = "rgba(0,0,0,0)"
FONT = {"family": "Source Sans, sans-serif", "size": 13}  # of figures that are shown without the page's theme
HOVER = "%{hovertext}<extra></extra>"
DOTTED = {"dash": "dot", "color": GREY, "width": 1.5}

PLOT = {"displayModeBar": False, "scrollZoom": False}
"""`config` of a figure that is only looked at."""
CLICKED = {**PLOT, "doubleClick": False}
"""`config` of a figure whose points are clicked."""

MOST_STEPS = 2_000  # of a curve that are drawn one by one
MOST_CELLS = 60  # classes in a figure of a split's classes
MOST_DIFFERENCES = 16  # classes in a figure of differences


def number(value: float | None, digits: int = 2) -> str:
    """With a minus sign and not a hyphen; a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(fraction: float | None, std: float | None = None) -> str:
    """75.5 %, 75.5 ± 2.1 %, or a dash."""
    if fraction is None or math.isnan(fraction):
        return "–"
    return number(100 * fraction, 1) + ("" if std is None else f" ± {100 * std:.1f}") + " %"


def points(fraction: float) -> str:
    """A difference in percentage points with its sign: +2.1; no sign where it is 0.0."""
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}") if round(100 * fraction, 1) else "0.0"


def shown(name: str) -> str:
    """A label as plotly shows it as it stands: plotly reads some HTML, and %{...} in hover texts."""
    return html.escape(name, quote=False).replace("%{", "% {")


def short(name: str, most: int = 44) -> str:
    """At most `most` characters, as plotly shows it."""
    return shown(name if len(name) <= most else name[: most - 1] + "…")


def layout(figure: go.Figure, height: float, x: str = "", y: str = "", fixed: bool = True, **more: Any) -> go.Figure:
    """Axis titles with their units, a clear background, little margin. The page's theme gives text its colour."""
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 12, "b": 8}, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )  # fmt: skip
    figure.update_xaxes(title={"text": x, "standoff": 8}, automargin=True, fixedrange=fixed)
    figure.update_yaxes(title={"text": y, "standoff": 8}, automargin=True, fixedrange=fixed)
    return figure.update_layout(**more)


def own_colours(figure: go.Figure, dark: bool) -> go.Figure:
    """For figures shown with `theme=None`, since the page's theme would replace their colour scale."""
    text, line = ("#ECE9E4", "#363D47") if dark else ("#1F2328", "#E0DBD2")
    lines = {"linecolor": line, "gridcolor": line, "zerolinecolor": line}
    figure.update_layout(font=FONT | {"color": text}, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR)
    return figure.update_xaxes(**lines).update_yaxes(**lines)


def heat(dark: bool) -> list[list[object]]:
    """Colour scale from the page's background to blue, for shares and counts from 0."""
    low, middle, high = ("#14171C", "#1D5F8A", "#8CCBF2") if dark else ("#FDFCFA", "#7DB5D8", "#00456E")
    return [[0.0, low], [0.5, middle], [1.0, high]]


def heads(figure: go.Figure, y: float, left: str, right: str, size: int = 14) -> None:
    """What stands above a row, at the figure's edges: its name and its number, as plotly reads them."""
    common = {"xref": "paper", "y": y, "yref": "y", "showarrow": False, "font": {"size": size}}
    figure.add_annotation(x=0, xanchor="left", text=left, **common)
    figure.add_annotation(x=1, xanchor="right", text=right, **common)


def bars(names: Sequence[str], parts: Sequence[Mapping[str, Any]], x: str, row_px: int = 25, longest: int = 34,
         bold: str = "", **more: Any) -> go.Figure:  # fmt: skip
    """Horizontal bars, the first name on top; `parts` are traces: "x", "hovertext" and what else plotly's Bar takes."""
    rows = list(range(len(names)))
    figure = go.Figure([go.Bar(y=rows, orientation="h", hovertemplate=HOVER, **part) for part in parts])
    figure.update_traces(marker={"line": {"width": 0}}, unselected={"marker": {"opacity": 1}})
    layout(figure, row_px * len(names) + 70 + 26 * (len(parts) > 1), x, **more)
    ticks = [f"<b>{short(name, longest)}</b>" if name == bold else short(name, longest) for name in names]
    figure.update_yaxes(tickvals=rows, ticktext=ticks, range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False)
    return figure


def clickable(figure: go.Figure, x: Any, y: Any, customdata: Any, hovers: Sequence[str]) -> None:
    """Points that are not seen, to be clicked: a heatmap has no selection."""
    unseen = {"marker": {"opacity": 0}}
    figure.add_scattergl(
        x=x, y=y, mode="markers", marker={"symbol": "square", "size": 20, "opacity": 0}, selected=unseen,
        unselected=unseen, customdata=customdata, hovertext=hovers, hovertemplate=HOVER, showlegend=False,
    )  # fmt: skip


def film_strip(figure: go.Figure, frames: Sequence[tuple[float, bytes]], low: float, high: float, most: int) -> None:
    """At most `most` frames, (time in seconds, JPEG file) each one a second, between two heights of the paper."""
    step = max(1, -(-len(frames) // most))
    for time_s, jpeg in frames[::step]:
        figure.add_layout_image(
            source="data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"), xref="x", yref="paper",
            x=time_s + 0.02 * step, y=low, sizex=0.96 * step, sizey=high - low, xanchor="left", yanchor="bottom",
            sizing="contain", layer="above",
        )  # fmt: skip


def ranking(
    labels: Sequence[tuple[str, float]], colours: Sequence[str], titles: Sequence[str],
    parts: Mapping[str, tuple[Sequence[float], float]] | None = None,
) -> go.Figure:  # fmt: skip
    """A bar for each label, (name, cosine similarity) best first, with its title above. `parts`, name -> what it adds
    to each similarity, and its opacity, part the bars."""
    figure, rows = go.Figure(), np.arange(len(labels))
    for part, (values, opacity) in (parts or {"": ([value for _, value in labels], 1.0)}).items():
        hovers = [
            f"{shown(name)}<br>{part}: {value:+.3f} of {total:.3f}" if part else f"{shown(name)}: {number(total)}"
            for (name, total), value in zip(labels, values, strict=True)
        ]
        figure.add_bar(
            x=np.asarray(values, float), y=-rows - 0.16, orientation="h", width=0.24, name=part, hovertext=hovers,
            marker={"color": list(colours), "opacity": opacity, "line": {"width": 0}}, hovertemplate=HOVER,
        )  # fmt: skip
    for row, ((_, similarity), title) in enumerate(zip(labels, titles, strict=True)):
        heads(figure, -row + 0.2, title, number(similarity))
    return layout(
        figure, 47 * len(labels) + 50, "similarity (cosine; 1 = same direction)", showlegend=False, barmode="relative",
        margin={"l": 4, "r": 4, "t": 4, "b": 42}, xaxis={"zeroline": True, "showgrid": False, "nticks": 5},
        yaxis={"visible": False, "range": [-len(labels) + 0.55, 0.5]},
    )  # fmt: skip


class Strip(NamedTuple):
    """One row's fractions, such as its accuracies."""

    title: str
    shares: Sequence[float]  # one for each split
    figure: str  # mean and deviation as the table has them, such as "87.1 ± 4.2"
    control: bool = False  # drawn in grey


def splits(rows: Sequence[Strip], line: float, x: str, chosen: tuple[int, int] | None = None) -> go.Figure:
    """A point for each split of each row over its quartiles; `customdata` is (row, split from 0). The fraction `line`,
    such as chance, is dotted; the `chosen` row and split is ringed."""
    figure = go.Figure()
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, max(len(row.shares) for row in rows))
    for index, row in enumerate(rows):
        values, here = 100 * np.asarray(row.shares), jitter[: len(row.shares)] - index
        colour = GREY if row.control else COLOURS[index % len(COLOURS)]
        figure.add_box(
            x=values, y0=-index, orientation="h", boxpoints=False, width=0.5, showlegend=False, hoverinfo="skip",
            line={"color": colour, "width": 1}, fillcolor=CLEAR,
        )  # fmt: skip
        figure.add_scatter(
            x=values, y=here, mode="markers", name=shown(row.title), unselected={"marker": {"opacity": 0.75}},
            marker={"color": colour, "symbol": MARKS[index % len(MARKS)], "size": 8, "opacity": 0.75},
            customdata=[[index, split] for split in range(len(values))], hovertemplate=HOVER,
            hovertext=[f"{shown(row.title)}<br>split {n}: {percent(share)}" for n, share in enumerate(row.shares, 1)],
        )  # fmt: skip
        if chosen and chosen[0] == index:
            ring, at = {"symbol": "circle-open", "size": 17, "color": CHOSEN, "line": {"width": 3}}, chosen[1]
            figure.add_scatter(x=[values[at]], y=[here[at]], mode="markers", marker=ring, hoverinfo="skip")
        heads(figure, -index + 0.43, short(row.title), f"{row.figure} %")
    figure.add_vline(x=100 * line, line=DOTTED, layer="below")
    return layout(
        figure, 64 * len(rows) + 62, x, showlegend=False, dragmode=False, hovermode="closest",
        xaxis={"zeroline": False}, yaxis={"visible": False, "range": [-len(rows) + 0.56, 0.7]},
    )  # fmt: skip


def standing(standings: Mapping[str, Standing]) -> go.Figure:
    """A row for each side (title -> where its named set stands): points for random sets, a star for the named one."""
    rows = [Strip(title, one.values, number(100 * one.named, 1)) for title, one in standings.items()]
    figure = splits(rows, next(iter(standings.values())).random.mean, "top-1 of random sets (%); dotted: their mean")
    figure.add_scatter(
        x=[100 * one.named for one in standings.values()], y=[-row for row in range(len(rows))], mode="markers",
        name="these classes", marker={"symbol": "star", "color": CHOSEN, "size": 20}, hovertemplate="these: %{x:.1f} %",
    )  # fmt: skip
    return figure


class Whisker(NamedTuple):
    """One difference."""

    title: str
    difference: float  # a fraction, above 0 where `title` is better
    interval: Interval
    chosen: bool = False  # looked at below
    control: bool = False  # drawn in grey


def forest(whiskers: Sequence[Whisker], against: str) -> go.Figure:
    """Each difference as a point with its interval, and a line at no difference."""
    figure = go.Figure()
    for one in whiskers:
        low, middle, high = (100 * value for value in (one.interval.low, one.difference, one.interval.high))
        said = f"{points(one.difference)} [{points(one.interval.low)}, {points(one.interval.high)}]"
        colour, name = GREY if one.control else COLOURS[0], short(one.title)
        figure.add_scatter(
            x=[middle], y=[f"<b>{name}</b>" if one.chosen else name], mode="markers+text", text=said, cliponaxis=False,
            textposition="top center", marker={"color": colour, "size": 10, "symbol": "square"},
            error_x={"symmetric": False, "array": [high - middle], "arrayminus": [middle - low], "color": colour},
            hovertext=[f"{shown(one.title)} less {shown(against)}: {said}"], hovertemplate=HOVER,
        )  # fmt: skip
    figure.add_vline(x=0, line=DOTTED, layer="below")
    layout(figure, 54 * len(whiskers) + 62, f"points of top-1 above or below {short(against, 30)}", showlegend=False)
    return figure.update_yaxes(autorange="reversed")


def classes(accuracies: Sequence[tuple[str, float, int, int]], mean: float) -> go.Figure:
    """A bar for each class in the order given: (name, fraction right, clips right, clips); dotted: the mean."""
    values = [100 * value for _, value, *_ in accuracies]
    hovers = [f"{shown(name)}: {hits:,} of {n:,} clips, {percent(value)}" for name, value, hits, n in accuracies]
    part = {"x": values, "marker": {"color": COLOURS[0]}, "text": [f"{value:.0f}" for value in values],
            "textposition": "outside", "cliponaxis": False, "hovertext": hovers}  # fmt: skip
    figure = bars([name for name, *_ in accuracies], [part], "right (%)", 25 if len(accuracies) <= 21 else 17)
    figure.add_vline(x=100 * mean, line=DOTTED, layer="below")
    return figure.update_xaxes(range=[0, 112], tickvals=[0, 25, 50, 75, 100], zeroline=False)


def largest(classes: pd.DataFrame) -> pd.DataFrame:
    """Rows of `Comparison.classes` with the largest differences either way, in their order; those without any go."""
    sizes = classes["difference"].abs().to_numpy()
    order = np.lexsort((classes["name"], -sizes))[:MOST_DIFFERENCES]
    return classes.iloc[np.sort(order[sizes[order] > 0])]


def differences(classes: pd.DataFrame) -> go.Figure:
    """A bar for each row of `Comparison.classes`, to the right where a is better and to the left where b is."""
    values = (100 * classes["difference"]).tolist()
    hovers = [
        f"{shown(row['name'])}: {percent(row['a'])} against {percent(row['b'])}, {row['clips']:,} clips, splits: "
        f"{row['runs']:,}"
        for row in classes.to_dict("records")
    ]
    colours = [GAIN if value > 0 else LOSS for value in values]
    part = {"x": values, "marker": {"color": colours}, "text": [points(value / 100) for value in values],
            "textposition": "outside", "cliponaxis": False, "hovertext": hovers}  # fmt: skip
    figure = bars(classes["name"].tolist(), [part], "difference (points)", longest=30)
    lowest, highest = min(0.0, *values), max(0.0, *values)
    room = 0.28 * (highest - lowest)
    return figure.update_xaxes(range=[lowest - room * (lowest < 0), highest + room * (highest > 0)], zeroline=True)


def faults(names: Sequence[str], text: Sequence[float], video: Sequence[float], chosen: str = "") -> go.Figure:
    """Missed clips by whose fault they are, shares from 0 to 1; the n-th point of either trace is the n-th class."""
    parts = []
    sides = ("fault of the text", COLOURS[1], "", text), ("fault of the video", COLOURS[0], "/", video)
    for title, colour, shape, shares in sides:
        pattern = {"shape": shape, "size": 6, "solidity": 0.2, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,.7)"}
        hovers = [f"{shown(name)}<br>{title}: {percent(share)}" for name, share in zip(names, shares, strict=True)]
        x = [100 * share for share in shares]
        parts.append({"x": x, "name": title, "marker": {"color": colour, "pattern": pattern}, "hovertext": hovers})
    return bars(
        names, parts, "missed clips (%)", bold=chosen, barmode="stack", bargap=0.3, dragmode="pan",
        xaxis={"range": [0, 103]}, legend={"traceorder": "normal"}, margin={"t": 36},
    )  # fmt: skip


def alpha_curve(
    curve: Curve, pair: tuple[str, str], marks: Mapping[str, tuple[float, float]], gamma: float = 0.0
) -> go.Figure:
    """Accuracy for every α, the best stretch shaded, with `marks` on it: name -> (α, accuracy); where a third modality
    has the share `gamma`, α is the first one's share of the rest."""
    best, alpha = curve.best(), curve.breakpoints
    accuracy = curve.at(np.append((alpha[1:] + alpha[:-1]) / 2, 1))
    if len(alpha) > MOST_STEPS:
        alpha = np.linspace(0, 1, MOST_STEPS // 2 + 1)
        accuracy = curve.at(alpha)
    figure = go.Figure()
    figure.add_vrect(x0=best.low, x1=best.high, fillcolor="rgba(0, 158, 115, 0.22)", layer="below",
                     line={"width": 1, "color": GAIN})  # fmt: skip
    figure.add_scatter(
        x=alpha.astype(np.float32), y=(100 * accuracy).astype(np.float32), mode="lines", showlegend=False,
        line={"shape": "hv", "color": COLOURS[0]}, hovertemplate="α = %{x:.3f}: %{y:.1f} %<extra></extra>",
    )  # fmt: skip
    for place, (name, (at, reached)) in enumerate(marks.items()):  # a larger one lies below those that follow
        look = {"symbol": MARKS[place], "size": 18 - 3 * place, "color": (GREY, COLOURS[1], CHOSEN)[place]}
        hover = f"{name}: α = {at:.2f}, {percent(reached)}<extra></extra>"
        figure.add_scatter(x=[at], y=[100 * reached], mode="markers", name=name, marker=look, hovertemplate=hover)
    name = f"α / (α + β): {pair[0]} against {pair[1]}" if gamma else f"α: share of {pair[0]} (the rest is {pair[1]})"
    return layout(figure, 330, name, "top-1 accuracy in %", xaxis={"range": [-0.02, 1.02], "zeroline": False})


def simplex(found: SimplexMap, marks: Mapping[str, tuple[Weights, float]], *, dark: bool = False) -> go.Figure:
    """A triangle with VE, O and C at its corners: points to click, coloured by accuracy, whose customdata is [α, β, γ],
    and marks: "best", "the run's own", "reference" or "present" -> weights and accuracy."""

    def words(at: Sequence[float]) -> str:
        return ", ".join(f"{name} = {weight:.2f}" for name, weight in zip("αβγ", at, strict=True))

    weights_K3, accuracy_K = found.grid()
    rounded = np.round(weights_K3, 6).tolist()
    hovers = [f"{words(at)}: {percent(accuracy)}" for at, accuracy in zip(rounded, accuracy_K.tolist(), strict=True)]
    figure, whole = go.Figure(), {"marker": {"opacity": 1}}
    bar = {"title": {"text": "top-1 in %"}, "thickness": 10, "outlinewidth": 0, "len": 0.5}
    figure.add_scatter(
        x=weights_K3[:, 0] + weights_K3[:, 2] / 2, y=weights_K3[:, 2], mode="markers", customdata=rounded,
        hovertext=hovers, hovertemplate=HOVER, showlegend=False, selected=whole, unselected=whole,
        marker={"symbol": "hexagon", "size": 17, "color": 100 * accuracy_K, "colorscale": heat(dark), "colorbar": bar},
    )  # fmt: skip
    looks = {"best": ("star", 17, GAIN), "the run's own": ("circle-open", 20, CHOSEN),
             "reference": ("diamond", 12, GREY), "present": ("circle", 14, COLOURS[1])}  # fmt: skip
    for name, (weights, accuracy) in marks.items():
        total = weights.alpha + weights.beta + weights.gamma
        at = [value / total for value in (weights.alpha, weights.beta, weights.gamma)]
        symbol, size, colour = looks[name]
        figure.add_scatter(
            x=[at[0] + at[2] / 2], y=[at[2]], mode="markers", name=name, selected=whole, unselected=whole,
            marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 2, "color": "white"}},
            customdata=[at], hovertemplate=f"{name}: {words(at)}, {percent(accuracy)}<extra></extra>",
        )  # fmt: skip
    corners = (0.0, -0.05, "O alone, β = 1"), (1.0, -0.05, "VE alone, α = 1"), (0.5, 1.12, "C alone, γ = 1")
    for x, y, text in corners:
        figure.add_annotation(x=x, y=y, text=text, showarrow=False, yanchor="top")
    plain = {"showgrid": False, "zeroline": False, "showticklabels": False}
    layout(
        figure, 390, dragmode=False, clickmode="event+select", xaxis=plain | {"range": [-0.1, 1.1]},
        yaxis=plain | {"range": [-0.13, 1.16], "scaleanchor": "x", "scaleratio": math.sqrt(3) / 2},
    )  # fmt: skip
    return own_colours(figure, dark)


def oscr(curves: Mapping[str, DoubleArray], asked: float | None = None) -> go.Figure:
    """Known clips accepted and right against unknown clips accepted (Dhamija et al., NeurIPS 2018): title ->
    `Simulation.curve`. The share of unknown clips that was asked for is dotted."""
    from cezsar.analysis.open_set import SHARES_S

    figure = go.Figure()
    for index, (title, right_S) in enumerate(curves.items()):
        figure.add_scatter(
            x=100 * SHARES_S, y=100 * right_S, mode="lines", name=shown(title),
            line={"color": COLOURS[index], "dash": DASHES[index % len(DASHES)], "width": 2.5, "shape": "hv"},
            hovertemplate=f"{shown(title)}: %{{x:.1f}} % of unknown clips let in, %{{y:.1f}} % of known ones right"
            "<extra></extra>",
        )  # fmt: skip
    if asked is not None:
        figure.add_vline(x=100 * asked, line=DOTTED, layer="below")
    top = min(105.0, 100 * max(curve[-1] for curve in curves.values()) + 8)
    return layout(
        figure, 340, "unknown clips let in (%)", "known clips let in and right (%)", hovermode="closest",
        margin={"t": 48}, xaxis={"range": [-1, 103], "tickvals": list(range(0, 101, 20)), "zeroline": False},
        yaxis={"range": [0, top], "zeroline": False},
    )  # fmt: skip


def reliability(diagrams: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Accuracy against confidence, a point for each bin with clips, larger with more; dotted: as promised."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", hoverinfo="skip", showlegend=False, line=DOTTED)
    for index, (title, diagram) in enumerate(diagrams.items()):
        confidence, accuracy = diagram["confidence"].to_numpy(), diagram["accuracy"].to_numpy()
        share = (diagram["clips"] / diagram["clips"].sum()).to_numpy()
        hovers = [
            f"{shown(title)}<br>{percent(part)} of answers: promised {percent(promised)}, right {percent(right)}"
            for part, promised, right in zip(share, confidence, accuracy, strict=True)
        ]
        figure.add_scatter(
            x=100 * confidence, y=100 * accuracy, mode="lines+markers", name=shown(title),
            line={"color": COLOURS[index], "width": 1.5}, hovertext=hovers, hovertemplate=HOVER,
            marker={"symbol": MARKS[index], "size": 8 + 22 * np.sqrt(share), "opacity": 0.8, "sizemode": "diameter"},
        )  # fmt: skip
    return layout(
        figure, 380, "probability of the answer (%)", "answers that are right (%)", hovermode="closest",
        margin={"t": 48}, xaxis={"range": [-2, 103], "zeroline": False}, yaxis={"range": [-2, 106], "zeroline": False},
    )  # fmt: skip


def stacking(found: Stacking, factor: float) -> go.Figure:
    """Accuracy on unseen classes against that on seen ones, for every factor of calibrated stacking."""
    seen_B, unseen_B = 100 * found.seen_between, 100 * found.unseen_between
    figure = go.Figure(go.Scatter(x=seen_B, y=unseen_B, mode="lines", line={"color": COLOURS[0]}, showlegend=False))
    for place, (name, one) in enumerate((("no correction", found.at(0.0)), ("best", found.at(factor))), start=1):
        look = {"size": 12, "color": COLOURS[place], "symbol": ("circle", "square", "star")[place]}
        figure.add_scatter(x=[100 * one.seen], y=[100 * one.unseen], mode="markers", marker=look, name=name)
    return layout(figure, 340, "seen classes (%)", "unseen classes (%)", margin={"t": 36})


def shots(found: Shots) -> go.Figure:
    """Accuracy against the number of examples a class: each way's mean over draws, and its deviation as whiskers."""
    figure, places = go.Figure(), np.arange(len(found.counts))
    for index, (way, top1_DK) in enumerate(found.top1.items()):
        mean_K, std_K = top1_DK.mean(axis=0), top1_DK.std(axis=0, ddof=1)
        hovers = [
            f"{way}, {count} {'example' if count == 1 else 'examples'} a class: {percent(mean, std)}"
            for count, mean, std in zip(found.counts, mean_K, std_K, strict=True)
        ]
        figure.add_scatter(
            x=places + 0.05 * (index - 1), y=100 * mean_K, mode="lines+markers", name=way, hovertext=hovers,
            hovertemplate=HOVER, line={"color": COLOURS[index], "dash": DASHES[index], "width": 2},
            marker={"symbol": MARKS[index], "size": 10}, error_y={"array": 100 * std_K, "thickness": 1.5, "width": 5},
        )  # fmt: skip
    ticks = {"tickvals": places, "ticktext": list(map(str, found.counts)), "zeroline": False, "showgrid": False}
    return layout(figure, 340, "examples a class", "top-1 (%)", hovermode="closest", margin={"t": 48}, xaxis=ticks)
