"""A training as it went: loss, speed, and the signs of a collapse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cezsar.report.figures import COLOURS, MARKS, layout, shown

MOST_POINTS = 2000  # in one figure; more are averaged in groups of neighbours
MOST_RUNS = len(COLOURS)


@dataclass
class Curves:
    """A training history as numbers over epochs; blocks of steps lie between whole epochs.

    Attributes:
        epochs: 1, 2, ...; then training and validation loss, share of dead units, and spread of each.
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
        """The epoch with the lowest validation loss; None before the first has ended."""
        return self.epochs[int(np.argmin(self.validation))] if self.validation else None

    @property
    def done(self) -> float:
        """Epochs done, with the part of the present one."""
        return max(self.epochs[-1:] + self.blocks[-1:], default=0.0)

    @classmethod
    def of(cls, history: Iterable[Mapping[str, Any]]) -> Curves:
        """From the lines of a `history.jsonl`; lines that lack a number are left out."""
        curves = cls()
        by_epoch = curves.epochs, curves.train, curves.validation, curves.dead, curves.spread
        for line in history:
            if line.get("kind") == "epoch":
                values = _numbers(line, ("epoch", "train_loss", "validation_loss", "dead_units", "spread"))
                for column, value in zip(by_epoch, values, strict=False):
                    column.append(value)
            elif values := _numbers(line, ("epoch", "step", "steps", "loss", "triplets_per_s", "eta_s")):
                epoch, step, steps, loss, speed, curves.left_s = values
                curves.blocks.append(epoch - 1 + step / max(1.0, steps))
                curves.block_loss.append(loss)
                curves.speed.append(speed)
        return curves


def _numbers(line: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """The values of these names; nothing if one is missing or no finite number."""
    values: list[Any] = [line.get(name) for name in names]
    found = [float(value) for value in values if type(value) in (int, float) and math.isfinite(value)]
    return found if len(found) == len(names) else []


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
        if alone:
            blocks = thin(run.blocks, run.block_loss, most // 2)
            _line(figure, "each block of steps", blocks, COLOURS[4], opacity=0.35)
        _line(
            figure, "training, mean of the epoch" if alone else shown(name), thin(run.epochs, run.train, most // 4),
            COLOURS[1 if alone else index], dash="dash", showlegend=alone, hover=f"{shown(name)}, training",
        )  # fmt: skip
        _line(
            figure, "validation" if alone else shown(name), thin(run.epochs, run.validation, most // 4),
            COLOURS[index], mark=MARKS[index] if len(run.epochs) <= 60 else "", hover=f"{shown(name)}, validation",
        )  # fmt: skip
        if alone and run.best is not None:
            low = min(run.validation)
            figure.add_annotation(x=run.best, y=low, text=f"best {low:.3f}", showarrow=True, ay=-34, ax=0)
    hovermode = "x unified" if alone else "closest"
    layout(figure, height, "epoch", "triplet loss (Eq. 7)", fixed=False, hovermode=hovermode)
    figure.update_yaxes(rangemode="tozero")
    return figure


def signs_figure(run: Curves, height: int = 250) -> go.Figure:
    """Dead units and spread at the end of each epoch: what shows a collapse, since the loss falls during one."""
    figure = go.Figure()
    _line(figure, "dead units (share)", thin(run.epochs, run.dead), COLOURS[1], mark=MARKS[0])
    _line(figure, "spread", thin(run.epochs, run.spread), COLOURS[2], mark=MARKS[1])
    layout(figure, height, "epoch", "share, spread (0 to 1)", fixed=False, hovermode="x unified")
    figure.update_yaxes(range=[0, 1.02])
    return figure


def speed_figure(run: Curves, height: int = 250) -> go.Figure:
    """Triplets per second in each block of steps."""
    figure = go.Figure()
    _line(figure, "triplets/s", thin(run.blocks, run.speed), COLOURS[0])
    layout(figure, height, "epoch", "triplets/s", fixed=False, showlegend=False)
    figure.update_yaxes(rangemode="tozero", tickformat="~s")
    return figure


def _line(figure: go.Figure, name: str, xy: tuple[list[float], list[float]], colour: str, *, dash: str = "solid",
          mark: str = "", hover: str = "", **more: Any) -> None:  # fmt: skip
    figure.add_scatter(
        x=xy[0], y=xy[1], name=name, mode="lines+markers" if mark or len(xy[0]) == 1 else "lines",
        line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": mark or "circle", "size": 7},
        hovertemplate=f"{hover or name}: %{{y:,.4~r}}<extra></extra>", **more,
    )  # fmt: skip
