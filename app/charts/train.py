"""A training as it went: loss, speed, and the signs of a collapse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.style import COLOURS, MARKS, layout, shown

MOST_POINTS = 2000  # in one figure; more are averaged in groups of neighbours
MOST_RUNS = len(COLOURS)
PALE = 0.35


@dataclass(frozen=True)
class Curves:
    """A training history as numbers over epochs; blocks of steps lie between whole epochs.

    Attributes:
        epochs: 1, 2, ...; then training and validation loss, share of dead units, and spread of each.
        best: the epoch with the lowest validation loss; None before the first has ended.
        blocks: epochs done at the end of each block of steps; then its loss, and its triplets per second.
        left_s: estimate at the last block; None before the first.
    """

    epochs: list[float] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    dead: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    block_loss: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    left_s: float | None = None

    @property
    def best(self) -> float | None:
        return self.epochs[int(np.argmin(self.validation))] if self.validation else None

    @property
    def done(self) -> float:
        """Epochs done, with the part of the present one."""
        return max(self.epochs[-1:] + self.blocks[-1:], default=0.0)

    @classmethod
    def of(cls, history: Iterable[Mapping[str, Any]]) -> Curves:
        """From the lines of a `history.jsonl`; lines that lack a number are left out."""
        curves = cls()
        left_s = None
        for line in history:
            if line.get("kind") == "epoch":
                values = _numbers(line, ("epoch", "train_loss", "validation_loss", "dead_units", "spread"))
                for column, value in zip(curves._by_epoch(), values, strict=False):
                    column.append(value)
            elif values := _numbers(line, ("epoch", "step", "steps", "loss", "triplets_per_s", "eta_s")):
                epoch, step, steps, loss, speed, left_s = values
                curves.blocks.append(epoch - 1 + step / max(1.0, steps))
                curves.block_loss.append(loss)
                curves.speed.append(speed)
        return replace(curves, left_s=left_s)

    def _by_epoch(self) -> tuple[list[float], ...]:
        return self.epochs, self.train, self.validation, self.dead, self.spread


def _numbers(line: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """The values of these names; nothing if one is missing or no finite number."""
    values = [line.get(name) for name in names]
    fine = all(type(value) in (int, float) and math.isfinite(value) for value in values if value is not None)
    return [float(value) for value in values if value is not None] if fine and None not in values else []


def thin(x: Sequence[float], y: Sequence[float], most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """At most `most` points: the means of equally large groups of neighbours, the last of which may be smaller."""
    group = -(-len(x) // max(1, most))
    if group <= 1:
        return list(x), list(y)
    starts = np.arange(0, len(x), group)
    sizes = np.diff([*starts, len(x)])
    return (np.add.reduceat(x, starts) / sizes).tolist(), (np.add.reduceat(y, starts) / sizes).tolist()


def loss_figure(curves: Mapping[str, Curves], height: int = 380) -> go.Figure:
    """Loss over epochs: a colour and a mark for each run, solid for validation, dashes for training.

    Of a single run the loss of each block of steps is drawn, too, and the best epoch is named.
    """
    figure = go.Figure()
    alone = len(curves) == 1
    most = MOST_POINTS // max(1, len(curves))
    for index, (name, run) in enumerate(list(curves.items())[:MOST_RUNS]):
        colour, mark = COLOURS[index], MARKS[index]
        if alone:
            _line(figure, "each block of steps", *thin(run.blocks, run.block_loss, most // 2), COLOURS[4], PALE)
        _line(
            figure, "training, mean of the epoch" if alone else shown(name), *thin(run.epochs, run.train, most // 4),
            COLOURS[1] if alone else colour, 1, dash="dash", legend=alone, hover=f"{shown(name)}, training",
        )  # fmt: skip
        marked = len(run.epochs) <= 60
        _line(
            figure, "validation" if alone else shown(name), *thin(run.epochs, run.validation, most // 4), colour, 1,
            mark=mark if marked else None, hover=f"{shown(name)}, validation",
        )  # fmt: skip
        if alone and run.best is not None:
            figure.add_annotation(
                x=run.best, y=min(run.validation), text=f"best {min(run.validation):.3f}", showarrow=True, ay=-34, ax=0
            )
    layout(figure, height, "epoch", "triplet loss (Eq. 7)", hovermode="x unified" if alone else "closest")
    figure.update_yaxes(rangemode="tozero")
    return figure


def signs_figure(run: Curves, height: int = 250) -> go.Figure:
    """Dead units and spread at the end of each epoch: what shows a collapse, since the loss falls during one."""
    figure = go.Figure()
    for index, (name, values) in enumerate({"dead units (share)": run.dead, "spread": run.spread}.items()):
        _line(figure, name, *thin(run.epochs, values), COLOURS[(1, 2)[index]], 1, mark=MARKS[index])
    layout(figure, height, "epoch", "share, spread (0 to 1)", hovermode="x unified")
    figure.update_yaxes(range=[0, 1.02])
    return figure


def speed_figure(run: Curves, height: int = 250) -> go.Figure:
    """Triplets per second in each block of steps."""
    figure = go.Figure()
    _line(figure, "triplets/s", *thin(run.blocks, run.speed), COLOURS[0], 1)
    layout(figure, height, "epoch", "triplets/s", showlegend=False)
    figure.update_yaxes(rangemode="tozero", tickformat="~s")
    return figure


def _line(
    figure: go.Figure,
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    colour: str,
    opacity: float,
    *,
    dash: str = "solid",
    mark: str | None = None,
    legend: bool = True,
    hover: str | None = None,
) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers" if mark or len(x) == 1 else "lines",
        name=name,
        opacity=opacity,
        line={"color": colour, "dash": dash, "width": 2},
        marker={"symbol": mark or "circle", "size": 7},
        showlegend=legend,
        hovertemplate=f"{hover or name}: %{{y:,.4~r}}<extra></extra>",
    )
