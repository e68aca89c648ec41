"""A training as it went, or goes: its figures, the signs of a collapse, loss and speed over epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import cache
from app.parts import show
from app.parts.words import duration
from cezsar import jobs
from cezsar.report.figures import COLOURS, MARKS, layout, number, percent, shown

MOST_POINTS = 2000  # in one figure; more are averaged in groups of neighbours
MOST_RUNS = len(COLOURS)
MOST_DEAD, LEAST_SPREAD = 0.6, 0.02
LOSS = "Mean of Eq. 7 over triplets: how much nearer the negative sentence is than the positive one, plus the margin."
VALIDATION = "The same on videos kept out of training. The weights of the epoch where it is lowest are kept."
DEAD = "Dimensions that are 0 for every validation clip (Eq. 5). 20 to 30 % is usual; far more means a collapse."
SPREAD = "1 minus the length of the mean direction of validation clips: 0, if all point the same way, is a collapse."

EPOCH = ["epoch", "train_loss", "validation_loss", "dead_units", "spread"]
BLOCK = ["epoch", "step", "steps", "loss", "triplets_per_s", "eta_s"]


class Curves:
    """A training history: a row for each epoch with the columns `EPOCH`, and for each block of steps with `BLOCK`.

    Lines of the history that lack a number are left out. `blocks.done` are epochs done at the end of each block.
    """

    def __init__(self, history: Iterable[Mapping[str, Any]] = ()) -> None:
        rows: dict[bool, list[list[float]]] = {True: [], False: []}
        for line in history:
            ended = line.get("kind") == "epoch"
            values: list[Any] = [line.get(name) for name in (EPOCH if ended else BLOCK)]
            if all(type(value) in (int, float) and math.isfinite(value) for value in values):
                rows[ended].append(values)
        self.epochs = pd.DataFrame(rows[True], columns=EPOCH, dtype=float)
        self.blocks = pd.DataFrame(rows[False], columns=BLOCK, dtype=float)
        self.blocks["done"] = self.blocks.epoch - 1 + self.blocks.step / self.blocks.steps.clip(lower=1)
        self.done = max([0.0, *self.epochs.epoch[-1:], *self.blocks.done[-1:]])  # with part of the present epoch


def read(folder: Path) -> Curves:
    """How the training of the run in a folder went; empty if it has not begun. Raises `FormatError`: damaged."""
    from cezsar.training.runs import Run

    try:
        stat = (folder / "history.jsonl").stat()
    except OSError:
        return Curves()
    key = str(folder.absolute()), stat.st_size, stat.st_mtime_ns
    return cache.once(lambda: Curves(Run.open(folder).history()), "training history", *key)


def thin(x: pd.Series[float], y: pd.Series[float], most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """At most `most` points: the means of equally large groups of neighbours, the last of which may be smaller."""
    group = np.arange(len(x)) // max(1, -(-len(x) // max(1, most)))
    return x.groupby(group).mean().tolist(), y.groupby(group).mean().tolist()


def loss_figure(curves: Mapping[str, Curves], height: int = 380) -> go.Figure:
    """Loss over epochs: a colour and a mark for each run, solid for validation, dashes for training.

    Of a single run the loss of each block of steps is drawn, too, and the best epoch is named.
    """
    figure = go.Figure()
    alone = len(curves) == 1
    most = MOST_POINTS // max(1, len(curves))
    for index, (name, run) in enumerate(list(curves.items())[:MOST_RUNS]):
        epochs = run.epochs
        if alone:
            blocks = thin(run.blocks.done, run.blocks.loss, most // 2)
            _line(figure, "each block of steps", blocks, COLOURS[4], opacity=0.35)
        _line(
            figure, "training, mean of the epoch" if alone else shown(name),
            thin(epochs.epoch, epochs.train_loss, most // 4), COLOURS[1 if alone else index],
            dash="dash", showlegend=alone, hover=f"{shown(name)}, training",
        )  # fmt: skip
        _line(
            figure, "validation" if alone else shown(name), thin(epochs.epoch, epochs.validation_loss, most // 4),
            COLOURS[index], mark=MARKS[index] if len(epochs) <= 60 else "", hover=f"{shown(name)}, validation",
        )  # fmt: skip
        if alone and len(epochs):
            best = epochs.iloc[int(epochs.validation_loss.argmin())]
            low = best.validation_loss
            figure.add_annotation(x=best.epoch, y=low, text=f"best {low:.3f}", showarrow=True, ay=-34, ax=0)
    hovermode = "x unified" if alone else "closest"
    layout(figure, height, "epoch", "triplet loss (Eq. 7)", fixed=False, hovermode=hovermode)
    return figure.update_yaxes(rangemode="tozero")


def _line(figure: go.Figure, name: str, xy: tuple[list[float], list[float]], colour: str, *, dash: str = "solid",
          mark: str = "", hover: str = "", **more: Any) -> None:  # fmt: skip
    figure.add_scatter(
        x=xy[0], y=xy[1], name=name, mode="lines+markers" if mark or len(xy[0]) == 1 else "lines",
        line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": mark or "circle", "size": 7},
        hovertemplate=f"{hover or name}: %{{y:,.4~r}}<extra></extra>", **more,
    )  # fmt: skip


def draw(curves: Curves, key: str, in_a_row: bool = False) -> None:
    """Loss, the signs of a collapse, and speed: beside each other, or the latter two below."""
    epochs, blocks = curves.epochs, curves.blocks
    if in_a_row:
        left, signs, speed = st.columns([2, 1, 1], gap="medium")
    else:
        left, (signs, speed) = st.container(), st.columns(2, gap="large")
    with left:
        st.markdown("**Loss**", help=f"{LOSS} {VALIDATION}")
        alt = f"Triplet loss over {len(epochs)} epochs, in training and validation"
        show.figure(loss_figure({"run": curves}, 250 if in_a_row else 380), f"{key}-loss", alt)
    with signs:
        st.markdown("**Signs of a collapse**", help=f"{DEAD}\n\nSpread: {SPREAD}")
        if len(epochs):
            figure, last = go.Figure(), epochs.iloc[-1]
            _line(figure, "dead units (share)", thin(epochs.epoch, epochs.dead_units), COLOURS[1], mark=MARKS[0])
            _line(figure, "spread", thin(epochs.epoch, epochs.spread), COLOURS[2], mark=MARKS[1])
            layout(figure, 250, "epoch", "share, spread (0 to 1)", fixed=False, hovermode="x unified")
            figure.update_yaxes(range=[0, 1.02])
            alt = f"Dead units {percent(last.dead_units)} and spread {number(last.spread)} after the last epoch"
            show.figure(figure, f"{key}-signs", alt)
        else:
            st.caption("Measured at the end of each epoch.")
    with speed:
        st.markdown("**Speed**", help="Triplets per second in each block of 20 steps.")
        if len(blocks):
            figure = go.Figure()
            _line(figure, "triplets/s", thin(blocks.done, blocks.triplets_per_s), COLOURS[0])
            layout(figure, 250, "epoch", "triplets/s", fixed=False, showlegend=False)
            figure.update_yaxes(rangemode="tozero", tickformat="~s")
            alt = f"Speed over epochs, last {blocks.triplets_per_s.iloc[-1]:,.0f} triplets per second"
            show.figure(figure, f"{key}-speed", alt)


def progress(curves: Curves, job: jobs.Job) -> None:
    """Figures of a training in one row, once it has done a block; and a warning where it may collapse."""
    epochs, block = curves.epochs, curves.blocks.iloc[-1]
    of = f" of {job.about['epochs']}" if "epochs" in job.about else ""
    row = [("Epochs done", f"{curves.done:.1f}{of}", ""), ("Training loss", f"{block.loss:.3f}", LOSS)]
    if len(epochs):
        row.append(("Best validation loss", f"{epochs.validation_loss.min():.3f}", VALIDATION))
    row.append(("Speed", f"{block.triplets_per_s:,.0f} triplets/s", ""))
    if len(epochs):
        dead, spread = epochs.iloc[-1][["dead_units", "spread"]]
        row += [("Dead units", percent(dead), DEAD), ("Spread", number(spread), SPREAD)]
    if job.alive and job.state == "running":
        row.append(("Left, at most", duration(block.eta_s), "If no epoch is saved by early stopping."))
    show.metrics(row)
    if len(epochs) and (dead > MOST_DEAD or spread < LEAST_SPREAD):
        st.warning(
            "This may be a collapse: most dimensions are dead, or all clips point the same way. If it does not pass "
            "within a few epochs, another learning rate, standardised features or fewer object sentences may help.",
            icon=":material/warning:",
        )
