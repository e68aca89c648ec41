"""A training as it went, or goes: loss, the signs of a collapse, and speed over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import cache
from app.parts import show
from cezsar.report.figures import COLOURS, MARKS, layout, number, percent, shown

MOST_POINTS = 2000  # in one figure; more are averaged in groups of neighbours
MOST_RUNS = len(COLOURS)
MOST_DEAD, LEAST_SPREAD = 0.6, 0.02
LOSS = (
    "Mean of Eq. 7 over triplets: how much nearer the negative sentence is than the positive one, plus the margin. "
    "Validation: the same on videos kept out of training; the weights of the epoch where it is lowest are kept."
)
SIGNS = (
    "Dead units are dimensions that are 0 for every validation clip (Eq. 5): 20 to 30 % is usual; far more means a "
    "collapse. Spread is 1 minus the length of the mean direction of validation clips: 0 is a collapse."
)

EPOCH = ["epoch", "train_loss", "validation_loss", "dead_units", "spread"]
BLOCK = ["epoch", "step", "steps", "loss", "triplets_per_s"]


class Curves(NamedTuple):
    """A training history."""

    epochs: pd.DataFrame  # the columns `EPOCH`
    blocks: pd.DataFrame  # of steps: the columns `BLOCK`, and "done", the epochs done at the end of each


def curves(history: Sequence[dict[str, Any]]) -> Curves:
    """Of the lines of a history; those that lack a number are left out."""
    lines = pd.DataFrame(history, columns=list(dict.fromkeys(["kind", *EPOCH, *BLOCK])))
    ended = lines["kind"] == "epoch"
    epochs, blocks = (part.dropna().astype(float) for part in (lines.loc[ended, EPOCH], lines.loc[~ended, BLOCK]))
    return Curves(epochs, blocks.assign(done=blocks.epoch - 1 + blocks.step / blocks.steps.clip(lower=1)))


def read(folder: Path) -> Curves:
    """How the training of the run in a folder went; empty if it has not begun. Raises `FormatError`: damaged."""
    from cezsar.training.runs import Run

    path = folder / "history.jsonl"
    if not path.is_file():
        return curves([])
    key = str(folder.absolute()), path.stat().st_size, path.stat().st_mtime_ns
    return cache.once(lambda: curves(Run.open(folder).history()), "training history", *key)


def thin(x: pd.Series[float], y: pd.Series[float], most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """At most `most` points: the means of equally large groups of neighbours, the last of which may be smaller."""
    group = np.arange(len(x)) // max(1, -(-len(x) // max(1, most)))
    return x.groupby(group).mean().tolist(), y.groupby(group).mean().tolist()


def loss_figure(runs: Mapping[str, Curves]) -> go.Figure:
    """Loss over epochs: a colour and a mark for each run, solid for validation, dashes for training. Of a single run
    the loss of each block of steps is drawn, too, and the best epoch is named."""
    figure, alone = go.Figure(), len(runs) == 1
    most = MOST_POINTS // max(1, len(runs))
    for (name, (epochs, blocks)), colour, mark in zip(runs.items(), COLOURS, MARKS, strict=False):
        trained = thin(epochs.epoch, epochs.train_loss, most // 4)
        validated = thin(epochs.epoch, epochs.validation_loss, most // 4)
        if alone:
            _line(figure, "each block of steps", thin(blocks.done, blocks.loss, most // 2), COLOURS[4], opacity=0.35)
            _line(figure, "training, mean of the epoch", trained, COLOURS[1], dash="dash")
            _line(figure, "validation", validated, colour, mark=mark)
        else:
            _line(figure, f"{shown(name)}, training", trained, colour, dash="dash", showlegend=False)
            _line(figure, shown(name), validated, colour, mark=mark)
        if alone and len(epochs):
            best = epochs.iloc[int(epochs.validation_loss.argmin())]
            text = f"best {best.validation_loss:.3f}"
            figure.add_annotation(x=best.epoch, y=best.validation_loss, text=text, showarrow=True, ay=-34, ax=0)
    layout(figure, 320, "epoch", "triplet loss (Eq. 7)", fixed=False, hovermode="x unified" if alone else "closest")
    return figure.update_yaxes(rangemode="tozero")


def _line(figure: go.Figure, name: str, xy: tuple[list[float], list[float]], colour: str, *, dash: str = "solid",
          mark: str = "circle", **more: Any) -> None:  # fmt: skip
    figure.add_scatter(
        x=xy[0], y=xy[1], name=name, mode="lines+markers" if len(xy[0]) <= 60 else "lines",
        line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": mark, "size": 6},
        hovertemplate=f"{name}: %{{y:,.4~r}}<extra></extra>", **more,
    )  # fmt: skip


def draw(run: Curves, key: str) -> None:
    """Loss, the signs of a collapse, and speed beside each other; a warning where it may be one."""
    epochs, blocks = run
    left, signs, speed = st.columns([2, 1, 1], gap="medium")
    with left:
        st.markdown("**Loss**", help=LOSS)
        alt = f"Triplet loss over {len(epochs)} epochs, in training and validation"
        show.figure(loss_figure({"run": run}), f"{key}-loss", alt)
    with signs:
        st.markdown("**Signs of a collapse**", help=SIGNS)
        if len(epochs):
            figure, last = go.Figure(), epochs.iloc[-1]
            _line(figure, "dead units (share)", thin(epochs.epoch, epochs.dead_units), COLOURS[1], mark=MARKS[0])
            _line(figure, "spread", thin(epochs.epoch, epochs.spread), COLOURS[2], mark=MARKS[1])
            layout(figure, 320, "epoch", "share, spread (0 to 1)", fixed=False, hovermode="x unified")
            figure.update_yaxes(range=[0, 1.02])
            alt = f"Dead units {percent(last.dead_units)} and spread {number(last.spread)} after the last epoch"
            show.figure(figure, f"{key}-signs", alt)
            if last.dead_units > MOST_DEAD or last.spread < LEAST_SPREAD:
                words = "If this does not pass within a few epochs, another learning rate, standardised features or "
                st.warning(words + "fewer object sentences may help.", icon=":material/warning:")
    with speed:
        st.markdown("**Speed**", help="Triplets per second in each block of 20 steps.")
        figure = go.Figure()
        _line(figure, "triplets/s", thin(blocks.done, blocks.triplets_per_s), COLOURS[0])
        layout(figure, 320, "epoch", "triplets/s", fixed=False, showlegend=False)
        figure.update_yaxes(rangemode="tozero", tickformat="~s")
        show.figure(figure, f"{key}-speed", "Triplets per second over epochs")
