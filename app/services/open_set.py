"""Could it say "none of these"? `analysis.open_set` on a row of the page Evaluate, cached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.services import evaluate, scored
from cezsar.analysis.open_set import RATE, OpenSet, Simulation, knownness, measure, simulate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]

STEPS = 201  # of the mean curve: every half percent of the unknown clips


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """An OSCR curve, mean over runs at equal shares of unknown clips.

    Attributes:
        false_S: share of unknown clips that may be accepted.
        right_S: the most known clips that are accepted and right, as a share, while no more unknown ones are.
    """

    false_S: DoubleArray
    right_S: DoubleArray


def simulated(item: Scored, weights: Weights, protocol: Protocol, kind: str, rate: float = RATE) -> Simulation:
    """`simulate`, once for each content, weights, protocol, kind and rate; what is drawn comes from seed 0.

    Raises:
        CezsarError: the protocol leaves too few classes out.
    """
    return _simulated(
        item.fingerprint, repr(weights), evaluate.key_of(protocol), kind, rate, item, weights, protocol
    )  # fmt: skip


@st.cache_data(max_entries=256, show_spinner="Choosing thresholds on some classes, trying them on others")
def _simulated(
    fingerprint: str,
    weights: str,
    protocol: str,
    kind: str,
    rate: float,
    _item: Scored,
    _weights: Weights,
    _protocol: Protocol,
) -> Simulation:
    return simulate(scored.scores(_item), _protocol, _weights, kind, rate=rate)


def curve(item: Scored, weights: Weights, protocol: Protocol, kind: str) -> MeanCurve:
    """The OSCR curve over the runs of `simulated`, which no rate changes."""
    return _curve(item.fingerprint, repr(weights), evaluate.key_of(protocol), kind, item, weights, protocol)


@st.cache_data(max_entries=64, show_spinner="Drawing the curves")
def _curve(
    fingerprint: str, weights: str, protocol: str, kind: str, _item: Scored, _weights: Weights, _protocol: Protocol
) -> MeanCurve:
    runs = open_sets(scored.scores(_item), _weights, simulated(_item, _weights, _protocol, kind))
    false_S = np.linspace(0, 1, STEPS)
    right_RS = [one.right_T[np.searchsorted(one.false_T, false_S + 1e-12, side="right") - 1] for one in runs]
    return MeanCurve(false_S, np.mean(right_RS, axis=0))


def open_sets(scores: Scores, weights: Weights, simulation: Simulation) -> list[OpenSet]:
    """Every threshold of every run: of the known classes' clips and the unknown ones', as the simulation drew them."""
    from cezsar.analysis.calibration import candidates, hits

    found = []
    for run in simulation.runs:
        scores_NK, truth_N, _ = candidates(scores, weights, run.known)
        known_N, right_N = truth_N >= 0, hits(scores_NK, truth_N)
        unknown = {scores.class_names.index(name) for name in run.unknown}
        unknown_N = np.isin(scores.label_index, list(unknown))
        values_N = knownness(scores_NK, simulation.kind, run.temperature)
        found.append(measure(values_N[known_N], right_N[known_N], values_N[unknown_N]))
    return found
