"""What the fusion weights of the page Tune ask: any weights at once, every α, and what choosing α is worth."""

from __future__ import annotations

import streamlit as st

from app.services.scored import scores
from cezsar.zeroshot import fusion
from cezsar.zeroshot.choosing import Chosen, ChosenWeights, choose_on_half, choose_weights_on_half
from cezsar.zeroshot.curves import Curve, fusion_curve, line_curve
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.simplex import SimplexMap, simplex_map
from cezsar.zeroshot.tuning import Tuned, Tuner

PAPER = Weights(0.8, 0.2, 0.0)
HONEST_RUNS = 20
QUICK_ENTRIES = 20_000_000  # clips x classes up to which 20 random halves are a matter of a second
QUICK_MAP = 3_000_000  # clips x classes up to which a map over three weights takes a few seconds, and a line none
STEPS = 20  # lines of constant γ in a map
HONEST_MAPS, HONEST_STEPS = 10, 10  # random halves, and lines of the maps that weights are chosen on


def tuner(item: Scored, classes: tuple[str, ...]) -> Tuner:
    """Answers for any weights, built once for all sessions.

    Args:
        classes: to choose from; all if empty.

    Raises:
        InputError: no clip is labelled with one of them.
    """
    return _tuner(item.fingerprint, classes, item)


@st.cache_resource(max_entries=4, show_spinner="Preparing figures for any weights")
def _tuner(fingerprint: str, classes: tuple[str, ...], _item: Scored) -> Tuner:
    return Tuner(scores(_item), classes or None)


def curve(item: Scored, classes: tuple[str, ...], pair: tuple[str, str]) -> Curve:
    """Top-1 accuracy for every share α of the first modality, computed once."""
    return _curve(item.fingerprint, classes, pair, item)


@st.cache_resource(max_entries=8, show_spinner="Computing accuracy for every α")
def _curve(fingerprint: str, classes: tuple[str, ...], pair: tuple[str, str], _item: Scored) -> Curve:
    return fusion_curve(scores(_item), pair, list(classes) or None)


def is_quick(item: Scored) -> bool:
    """Whether `honest` takes about a second."""
    return int(item.about["clips"]) * int(item.about["classes"]) <= QUICK_ENTRIES


def honest(item: Scored, pair: tuple[str, str], runs: int = HONEST_RUNS) -> Chosen:
    """α chosen on one random half of the classes, its accuracy told on the other half, `runs` times.

    Raises:
        InputError: there are fewer than four classes with clips.
    """
    return _honest(item.fingerprint, pair, runs, item)


@st.cache_data(max_entries=16, show_spinner="Choosing α on half of the classes, again and again")
def _honest(fingerprint: str, pair: tuple[str, str], runs: int, _item: Scored) -> Chosen:
    own = share(_item.weights, pair)
    at = {f"The run's own, α = {own:.2f}": own, f"{pair[0]} only": 1.0, f"{pair[1]} only": 0.0}
    return choose_on_half(scores(_item), pair, fixed=at, runs=runs)


# Three weights -------------------------------------------------------------------------------------------------------


def is_quick_map(item: Scored) -> bool:
    """Whether `simplex` takes some seconds at the most, and `line` a fraction of one."""
    return int(item.about["clips"]) * int(item.about["classes"]) <= QUICK_MAP


def simplex(item: Scored, classes: tuple[str, ...]) -> SimplexMap:
    """Top-1 accuracy over all weights of VE, O and C, computed once.

    Raises:
        InputError: the clips lack one of them.
    """
    return _simplex(item.fingerprint, classes, item)


@st.cache_resource(max_entries=4, show_spinner="Computing accuracy for all weights")
def _simplex(fingerprint: str, classes: tuple[str, ...], _item: Scored) -> SimplexMap:
    return simplex_map(scores(_item), STEPS, list(classes) or None)


def line(item: Scored, classes: tuple[str, ...], gamma: float) -> Curve:
    """Top-1 accuracy for every α / (α + β), where γ has this share of all three weights, below 1."""
    return _line(item.fingerprint, classes, round(gamma, 6), item)


@st.cache_resource(max_entries=32, show_spinner=False)
def _line(fingerprint: str, classes: tuple[str, ...], gamma: float, _item: Scored) -> Curve:
    left = 1 - gamma
    return line_curve(scores(_item), Weights(0.0, left, gamma), Weights(left, 0.0, gamma), list(classes) or None)


def captions_share(weights: Weights) -> float:
    """γ / (α + β + γ)."""
    return weights.gamma / (weights.alpha + weights.beta + weights.gamma)


def accuracy(item: Scored, weights: Weights, like: Tuned) -> float:
    """Top-1 accuracy with some weights among the classes of `like`."""
    classes = tuple(like.class_names[place] for place in like.classes)
    return tuner(item, () if len(classes) == len(like.class_names) else classes).at(weights).top1


def honest_weights(item: Scored) -> ChosenWeights:
    """α, β and γ chosen on one random half of the classes, their accuracy told on the other half.

    Raises:
        InputError: there are fewer than four classes with clips.
    """
    return _honest_weights(item.fingerprint, item)


@st.cache_data(max_entries=16, show_spinner="Choosing weights on half of the classes, again and again")
def _honest_weights(fingerprint: str, _item: Scored) -> ChosenWeights:
    at = {"The run's own": _item.weights} | {f"{name} only": Weights.only(name) for name in ("VE", "O", "C")}
    return choose_weights_on_half(scores(_item), fixed=at, steps=HONEST_STEPS, runs=HONEST_MAPS)


def share(weights: Weights, pair: tuple[str, str]) -> float:
    """α / (α + β) of two modalities; 1 where neither counts."""
    first, second = (weights.of(name) for name in pair)
    return first / (first + second) if first + second else 1.0


def top_labels(item: Scored, row: int, weights: Weights, classes: tuple[str, ...], top: int = 5) -> fusion.Ranked:
    """The best labels of one clip among `classes` (all if empty), with cosine similarities, or fused scores without."""
    whole = scores(item)
    assert whole.column_class is not None
    one = Scores(
        [whole.ids[row]],
        [whole.labels[row]],
        whole.class_names,
        {name: columns_NP[row : row + 1] for name, columns_NP in whole.columns.items()},
        None if whole.gram is None else whole.gram[row : row + 1],
        whole.column_class,
    )
    similar_1C = fusion.fuse(one, weights) if one.gram is None else fusion.cosine(one, weights)
    wanted = set(classes or one.class_names)
    places = [place for place, name in enumerate(one.class_names) if name in wanted]
    return fusion.rank(similar_1C[:, places], [one.class_names[place] for place in places], top)[0]
