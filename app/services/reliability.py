"""How far a row's scores can be trusted as probabilities: T fitted on some classes, told on others; cached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.services import evaluate, scored
from cezsar.analysis.calibration import Reliability, candidates, fit, hits, reliability
from cezsar.data.labels import resolve
from cezsar.errors import InputError
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.rejection import probabilities
from cezsar.zeroshot.results import Figure, figure_of
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Told:
    """Confidence and accuracy of the clips of every run, at one temperature or another.

    Attributes:
        diagram: over the clips of all runs together.
        ece: expected calibration error of each run: mean and deviation.
        confidence: mean probability of the answers, of each run.
    """

    diagram: Reliability
    ece: Figure
    confidence: Figure


@dataclass(frozen=True, eq=False)
class Trust:
    """Before (T = 1) and after (T fitted on the classes that a run leaves out).

    Attributes:
        temperature: T of each run: mean and deviation.
        accuracy: top-1 of each run, which no T changes.
    """

    before: Told
    after: Told
    temperature: Figure
    accuracy: Figure


def trust(item: Scored, weights: Weights, protocol: Protocol) -> Trust:
    """In each run T is fitted on clips of the classes that the run leaves out, ranked among these, and told on its own.

    Raises:
        CezsarError: a run leaves fewer than two classes with clips out.
    """
    return _trust(item.fingerprint, repr(weights), evaluate.key_of(protocol), item, weights, protocol)


@st.cache_data(max_entries=64, show_spinner="Fitting the temperature on some classes, telling it on others")
def _trust(
    fingerprint: str, weights: str, protocol: str, _item: Scored, _weights: Weights, _protocol: Protocol
) -> Trust:
    scores = scored.scores(_item)
    filled = {scores.class_names[index] for index in np.unique(scores.label_index) if index >= 0}
    temperatures: list[float] = []
    right: list[BoolArray] = []
    confident: tuple[list[DoubleArray], list[DoubleArray]] = ([], [])
    for split in _protocol.splits:
        others = sorted(filled - set(resolve(split, scores.class_names)))
        if len(others) < 2:
            raise InputError(
                "T is fitted on classes that a split leaves out, and this protocol leaves none; take Half or Random"
            )
        temperatures.append(_fitted(scores, _weights, others))
        scores_NK, truth_N, _ = candidates(scores, _weights, split)
        scores_nK, truth_n = scores_NK[truth_N >= 0], truth_N[truth_N >= 0]
        right.append(hits(scores_nK, truth_n))
        for parts, t in zip(confident, (1.0, temperatures[-1]), strict=True):
            parts.append(np.minimum(probabilities(scores_nK, t).max(axis=1), 1.0))
    before, after = (_told(parts, right) for parts in confident)
    return Trust(before, after, figure_of(temperatures), figure_of([float(run.mean()) for run in right]))


def _fitted(scores: Scores, weights: Weights, classes: list[str]) -> float:
    scores_NK, truth_N, _ = candidates(scores, weights, classes)
    return fit(scores_NK[truth_N >= 0], truth_N[truth_N >= 0]).temperature


def _told(confident: list[DoubleArray], right: list[BoolArray]) -> Told:
    diagram = reliability(np.concatenate(confident), np.concatenate(right))
    errors = [reliability(part, hit).ece for part, hit in zip(confident, right, strict=True)]
    return Told(diagram, figure_of(errors), figure_of([float(part.mean()) for part in confident]))
