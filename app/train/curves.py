"""A training as it went, or goes: its figures, the signs of a collapse, loss and speed over epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache
from app.widgets.words import duration
from cezsar import jobs
from cezsar.report.figures import COLOURS, MARKS, PLOT, layout, number, percent, shown

MOST_POINTS = 2000  # in one figure; more are averaged in groups of neighbours
MOST_RUNS = len(COLOURS)
MOST_DEAD, LEAST_SPREAD = 0.6, 0.02
LOSS = "Mean of Eq. 7 over triplets: how much nearer the negative sentence is than the positive one, plus the margin."
VALIDATION = "The same on videos kept out of training. The weights of the epoch where it is lowest are kept."
DEAD = (
    "Dimensions of the joint space that are 0 for every validation clip (Eq. 5 ends with a ReLU). 20 to 30 % is usual; "
    "far more means that the run is collapsing, even while the loss falls."
)
SPREAD = (
    "1 minus the length of the mean direction of validation clips: 0 if all clips point the same way, which is a "
    "collapse, near 1 if they point everywhere."
)


@dataclass
class Curves:
    """A training history over epochs, read from a run's `history.jsonl`.

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


def read(folder: Path) -> Curves:
    """How the training of the run in a folder went; empty if it has not begun. Raises `FormatError`: damaged."""
    from cezsar.training.runs import read_history

    try:
        stat = (folder / "history.jsonl").stat()
    except OSError:
        return Curves()
    key = str(folder.absolute()), stat.st_size, stat.st_mtime_ns
    return cache.once(lambda: Curves.of(read_history(folder)), "training history", *key)


# Figures -------------------------------------------------------------------------------------------------------------


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


def _line(figure: go.Figure, name: str, xy: tuple[list[float], list[float]], colour: str, *, dash: str = "solid",
          mark: str = "", hover: str = "", **more: Any) -> None:  # fmt: skip
    figure.add_scatter(
        x=xy[0], y=xy[1], name=name, mode="lines+markers" if mark or len(xy[0]) == 1 else "lines",
        line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": mark or "circle", "size": 7},
        hovertemplate=f"{hover or name}: %{{y:,.4~r}}<extra></extra>", **more,
    )  # fmt: skip


def draw(curves: Curves, key: str, in_a_row: bool = False) -> None:
    """Loss, the signs of a collapse, and speed: beside each other, or the latter two below."""
    if in_a_row:
        left, signs, speed = st.columns([2, 1, 1], gap="medium")
    else:
        left, (signs, speed) = st.container(), st.columns(2, gap="large")
    with left:
        st.markdown("**Loss**", help=f"{LOSS} {VALIDATION}")
        alt = f"Triplet loss over {len(curves.epochs)} epochs, in training and validation"
        figure = loss_figure({"run": curves}, 250 if in_a_row else 380)
        st.plotly_chart(figure, key=f"{key}-loss", config=PLOT, alt=alt)
    with signs:
        st.markdown("**Signs of a collapse**", help=f"{DEAD}\n\nSpread: {SPREAD}")
        if curves.epochs:
            figure = go.Figure()
            _line(figure, "dead units (share)", thin(curves.epochs, curves.dead), COLOURS[1], mark=MARKS[0])
            _line(figure, "spread", thin(curves.epochs, curves.spread), COLOURS[2], mark=MARKS[1])
            layout(figure, 250, "epoch", "share, spread (0 to 1)", fixed=False, hovermode="x unified")
            figure.update_yaxes(range=[0, 1.02])
            alt = f"Dead units {percent(curves.dead[-1])} and spread {number(curves.spread[-1])} after the last epoch"
            st.plotly_chart(figure, key=f"{key}-signs", config=PLOT, alt=alt)
        else:
            st.caption("Measured at the end of each epoch.")
    with speed:
        st.markdown("**Speed**", help="Triplets per second in each block of 20 steps.")
        if curves.speed:
            figure = go.Figure()
            _line(figure, "triplets/s", thin(curves.blocks, curves.speed), COLOURS[0])
            layout(figure, 250, "epoch", "triplets/s", fixed=False, showlegend=False)
            figure.update_yaxes(rangemode="tozero", tickformat="~s")
            alt = f"Speed over epochs, last {curves.speed[-1]:,.0f} triplets per second"
            st.plotly_chart(figure, key=f"{key}-speed", config=PLOT, alt=alt)


def progress(curves: Curves, job: jobs.Job) -> None:
    """Figures of a training in one row, and a warning where it may collapse."""
    of = f" of {job.about['epochs']}" if "epochs" in job.about else ""
    loss = (curves.block_loss or curves.train)[-1:]
    row = [("Epochs done", f"{curves.done:.1f}{of}", "")]
    row.append(("Training loss", f"{loss[0]:.3f}" if loss else "none yet", LOSS))
    if curves.validation:
        row.append(("Best validation loss", f"{min(curves.validation):.3f}", VALIDATION))
    if curves.speed:
        row.append(("Speed", f"{curves.speed[-1]:,.0f} triplets/s", ""))
    if curves.dead:
        row += [("Dead units", percent(curves.dead[-1]), DEAD), ("Spread", number(curves.spread[-1]), SPREAD)]
    if job.alive and job.state == "running" and curves.left_s is not None:
        row.append(("Left, at most", duration(curves.left_s), "If no epoch is saved by early stopping."))
    with st.container(horizontal=True, gap="medium"):
        for label, value, help in row:
            st.metric(label, value, width="content", help=help or None)
    if curves.dead and (curves.dead[-1] > MOST_DEAD or curves.spread[-1] < LEAST_SPREAD):
        st.warning(
            "This may be a collapse: most dimensions are dead, or all clips point the same way. If it does not pass "
            "within a few epochs, another learning rate, standardised features or fewer object sentences may help.",
            icon=":material/warning:",
        )
