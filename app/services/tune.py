"""What the fusion weights of the page Tune ask: any weights at once, every α, and what choosing α is worth."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.services.scored import scores
from cezsar.zeroshot import fusion, weights
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.weights import ChosenOnHalf, Curve, Outcome, SimplexMap, of_pair, share

PAPER = Weights(0.8, 0.2, 0.0)
HONEST_RUNS = 20
QUICK_ENTRIES = 20_000_000  # clips x classes up to which 20 random halves are a matter of a second
QUICK_MAP = 3_000_000  # clips x classes up to which a map over three weights takes a few seconds, and a line none
STEPS = 20  # lines of constant γ in a map
HONEST_MAPS, HONEST_STEPS = 10, 10  # random halves, and lines of the maps that weights are chosen on


def outcome(item: Scored, classes: tuple[str, ...], given: Weights) -> Outcome:
    """What some weights give among some classes, all if empty. Raises `InputError` where no clip is of the classes."""
    return _outcome(item.fingerprint, classes, repr(given), item, given)


@st.cache_resource(max_entries=16, show_spinner=False)
def _outcome(fingerprint: str, classes: tuple[str, ...], key: str, _item: Scored, _given: Weights) -> Outcome:
    return weights.outcome(scores(_item), _given, classes or None)


def curve(item: Scored, classes: tuple[str, ...], pair: tuple[str, str]) -> Curve:
    """Top-1 accuracy for every share α of the first modality."""
    return _curve(item.fingerprint, classes, pair, item)


@st.cache_resource(max_entries=8, show_spinner="Computing accuracy for every α")
def _curve(fingerprint: str, classes: tuple[str, ...], pair: tuple[str, str], _item: Scored) -> Curve:
    return weights.fusion_curve(scores(_item), pair, classes or None)


def is_quick(item: Scored) -> bool:
    """Whether `honest` takes about a second."""
    return _entries(item) <= QUICK_ENTRIES


def _entries(item: Scored) -> int:
    return int(item.about["clips"]) * int(item.about["classes"])


def honest(item: Scored, pair: tuple[str, str]) -> ChosenOnHalf:
    """α chosen on random halves of the classes, its accuracy told on the other halves.

    Raises:
        InputError: there are fewer than four classes with clips.
    """
    return _honest(item.fingerprint, pair, item)


@st.cache_data(max_entries=16, show_spinner="Choosing α on half of the classes, again and again")
def _honest(fingerprint: str, pair: tuple[str, str], _item: Scored) -> ChosenOnHalf:
    own = share(_item.weights, pair)
    at = {f"The run's own, α = {own:.2f}": own, f"{pair[0]} only": 1.0, f"{pair[1]} only": 0.0}
    fixed = {name: of_pair(pair, alpha) for name, alpha in at.items()}
    return weights.choose_on_half(scores(_item), pair, fixed=fixed, runs=HONEST_RUNS)


# Three weights -------------------------------------------------------------------------------------------------------


def is_quick_map(item: Scored) -> bool:
    """Whether `simplex` takes some seconds at the most, and `line` a fraction of one."""
    return _entries(item) <= QUICK_MAP


def simplex(item: Scored, classes: tuple[str, ...]) -> SimplexMap:
    """Top-1 accuracy over all weights of VE, O and C."""
    return _simplex(item.fingerprint, classes, item)


@st.cache_resource(max_entries=4, show_spinner="Computing accuracy for all weights")
def _simplex(fingerprint: str, classes: tuple[str, ...], _item: Scored) -> SimplexMap:
    return weights.simplex_map(scores(_item), STEPS, classes or None)


def line(item: Scored, classes: tuple[str, ...], gamma: float) -> Curve:
    """Top-1 accuracy for every α / (α + β), where γ has this share of all three weights, below 1."""
    return _line(item.fingerprint, classes, round(gamma, 6), item)


@st.cache_resource(max_entries=32, show_spinner=False)
def _line(fingerprint: str, classes: tuple[str, ...], gamma: float, _item: Scored) -> Curve:
    return weights.gamma_curve(scores(_item), gamma, classes or None)


def captions_share(given: Weights) -> float:
    """γ / (α + β + γ)."""
    return given.gamma / (given.alpha + given.beta + given.gamma)


def honest_weights(item: Scored) -> ChosenOnHalf:
    """As `honest`, for α, β and γ."""
    return _honest_weights(item.fingerprint, item)


@st.cache_data(max_entries=16, show_spinner="Choosing weights on half of the classes, again and again")
def _honest_weights(fingerprint: str, _item: Scored) -> ChosenOnHalf:
    names = ("VE", "O", "C")
    at = {"The run's own": _item.weights} | {f"{name} only": Weights.only(name) for name in names}
    return weights.choose_on_half(scores(_item), names, fixed=at, steps=HONEST_STEPS, runs=HONEST_MAPS)


def top_labels(item: Scored, row: int, given: Weights, classes: tuple[str, ...], top: int = 5) -> fusion.Ranked:
    """The best labels of one clip among `classes` (all if empty), with cosine similarities, or fused scores without."""
    whole = scores(item)
    places = np.sort(whole.indices(classes or None))
    similar_1K = fusion.similarities(whole, given, np.array([row]))[:, places]
    return fusion.rank(similar_1K, [whole.class_names[place] for place in places], top)[0]
