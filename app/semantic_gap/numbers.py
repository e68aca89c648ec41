"""The semantic gap in numbers, space by space; and the domain shift, on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, state
from app.parts import holdings, scored
from app.parts.choosers import one_of
from app.parts.words import plain
from cezsar.analysis import gap, shift
from cezsar.analysis.confusion import matching_groups
from cezsar.analysis.gap import FIGURES, ByExample, Definition, Gap, UnitSpace
from cezsar.arrays import IntArray
from cezsar.report.figures import number, percent, points
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.protocols import FIGURE_1, PAPER_GROUPS
from cezsar.zeroshot.scored import Cloud, Scored

SPACES = {
    "raw": ("Raw features", "What the frame encoder sees, before any training: the mean of a clip's frame features."),
    "sentence": (
        "Sentence space",
        "The sentence encoder's own space: of a clip, the sentence made of its recognised objects, O(v); of a class, "
        "its description. Clips with the same objects have the same sentence, and lie on one point.",
    ),
    "joint": (
        "Joint space",
        "Where the trained model puts clips, VE(v) of Eq. 5, and class descriptions, the prototypes SE(z) of Eq. 6.",
    ),
}
CHIEF = ("nearest_prototype", "rank_mean", "alignment", "modality_gap", "silhouette", "purity", "biggest_hub_share")
SHARES = {"nearest_prototype", "purity", "purity_by_chance", "biggest_hub_share", "domain_accuracy"}
DIGITS = {"mmd_squared": 4, "p_value": 3}
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
WIDEST = 6  # classes in the group of those with the widest gaps


def clouds(item: Scored) -> tuple[IntArray, dict[str, Cloud]]:
    """Its points, see `Scored.clouds`."""
    return cache.large(item.clouds, "clouds", item.fingerprint)


def unit_space(item: Scored, space: str) -> UnitSpace:
    """All clips of `clouds` and the prototypes of all classes, in one space."""
    (row_N, points), scores = clouds(item), scored.scores(item)
    owner_P = scored.embeddings(item).prototype_class
    return UnitSpace(points[space], scores.label_index[row_N], owner_P, len(scores.class_names))


def gaps(item: Scored) -> dict[str, tuple[Gap, pd.DataFrame]]:
    """Space -> the gap in numbers, and each class's part of it."""

    def measure() -> dict[str, tuple[Gap, pd.DataFrame]]:
        spaces = {space: unit_space(item, space) for space in clouds(item)[1]}
        return {space: (gap.measure(one), gap.per_class(one)) for space, one in spaces.items()}

    return cache.once(measure, "gap", item.fingerprint, words="Measuring the gap")


def by_examples(item: Scored, most: int, seed: int) -> dict[str, ByExample]:
    """Space with descriptions -> its classes shown by `most` examples each, drawn by `seed`; by all clips if 0."""

    def show() -> dict[str, ByExample]:
        there = [space for space, cloud in clouds(item)[1].items() if len(cloud.prototypes_PE)]
        return {space: gap.by_examples(unit_space(item, space), most or None, seed) for space in there}

    return cache.once(show, "by examples", item.fingerprint, most, seed, words="Showing classes by examples")


def groups(item: Scored, own: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Ready-made choices of classes: the paper's figure, hard groups, one's `own`, and the widest gaps."""
    names, demo = scored.scores(item).class_names, item.about["dataset"] == "demo"
    known = HARD_GROUPS if demo else {"Figure 1 of the paper": FIGURE_1, **PAPER_GROUPS}
    found = matching_groups({**known, **own}, names)
    described = [classes.own_distance for _, classes in gaps(item).values() if classes.own_distance.notna().any()]
    if described:  # in the joint space where there is one
        found.setdefault("widest gaps", [names[index] for index in described[-1].nlargest(WIDEST).index])
    return found


def numbers(item: Scored) -> None:
    """What the pictures only suggest: the chief numbers, and below them all, with what they mean."""
    found, names = {space: one for space, (one, _) in gaps(item).items()}, scored.scores(item).class_names
    *_, last = found.values()
    st.subheader("The gap in numbers", anchor=False)
    st.caption(
        f"Over {last['clips']:,} clips and all {len(names):,} classes, in the full spaces and not in the plane. "
        "↑ higher is better, ↓ lower is better. A dash: raw features have no sentences."
    )
    _table(FIGURES, CHIEF, found, "The chief numbers of the gap in each space", change=True)
    with st.expander("All numbers, and what they mean", icon=":material/table_rows:"):
        _table(FIGURES, FIGURES, found, "All numbers of the gap in each space", change=True)
        here = {"purity": f" Here k = {last['k']}."}
        if last["biggest_hub"] is not None:
            here["biggest_hub_share"] = f" Here it is {names[int(last['biggest_hub'])]}."
        _meanings(FIGURES, here)


def _table(figures: Mapping[str, Definition], names: Iterable[str], found: Mapping[str, Mapping[str, float | None]],
           alt: str, change: bool = False) -> None:  # fmt: skip
    """Numbers in each space, and the `change` to the last: green where it gets better, orange where worse."""
    rows, spaces = [], list(found)
    for name in names:
        figure, values = figures[name], {space: one[name] for space, one in found.items()}
        row = {"": figure.title + ARROWS[figure.better]}
        row |= {space.capitalize(): _value(name, value) for space, value in values.items()}  # short, for phones
        if change and len(spaces) > 1:
            a, b, step = values[spaces[-2]], values[spaces[-1]], "–"
            if a is not None and b is not None and figure.better != "neither":
                step = points(b - a) if name in SHARES else f"{'+' if b >= a else ''}{number(b - a)}"
                colour = {True: ":green[{}] better", False: ":orange[{}] worse", None: "{}"}
                step = colour[figure.improved(a, b)].format(step)
            row[f"change to {spaces[-1]}"] = step
        rows.append(row)
    st.table(rows, hide_index=True, border="horizontal", alt=alt)


def _meanings(figures: Mapping[str, Definition], here: Mapping[str, str]) -> None:
    st.caption("\n".join(
        f"- **{one.title}**: {plain(one.definition + '. Range: ' + one.range + '. Source: ' + one.source + '.')}"
        f"{plain(here.get(name, ''))}"
        for name, one in figures.items()
    ))  # fmt: skip


def _value(name: str, value: float | None) -> str:
    return percent(value) if name in SHARES else number(value, DIGITS.get(name, 2))


# Domain shift -----------------------------------------------------------------------------------------------------


def domain_shift(item: Scored) -> None:
    """How different training clips are from these, where features of both are here."""
    stores = [store for store in holdings.stores() if not store.error]
    test = next((store for store in stores if store.fingerprint == item.about["store"]), None)
    encoder = test.encoder_fingerprint if test else ""
    training = {one.name: one for one in stores if one is not test and one.encoder_fingerprint == encoder}
    st.subheader("Domain shift", anchor=False)
    st.caption(
        "How different the clips that were scored are from training clips. A model meets both as vectors: if the two "
        "sets are easily told apart, what it learned from one may not hold for the other. To be measured, features of "
        "both by the same frame encoder must be in the workspace (`cezsar extract`)."
    )
    if test is None or not training:
        return
    run = item.run()
    own = str(runs_store.get("store", "")) if run and (runs_store := run.record().get("triplets")) else ""
    names = sorted(training, key=lambda name: (training[name].fingerprint != own, name))
    marks = {name: " (the run was trained on it)" * (training[name].fingerprint == own) for name in names}
    titles = {name: f"{name}: {len(training[name].ids):,} videos{mark}" for name, mark in marks.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        help = "Feature stores of the same frame encoder in this workspace."
        name = one_of("Features of training videos", titles, state.SHIFT_FROM, help=help, width=480)
        if not st.toggle("Measure the domain shift", key="measure-shift"):
            return
    key = item.fingerprint, test.fingerprint, training[name].fingerprint
    make, words = partial(_shifts, item, test, training[name]), "Comparing training clips with these"
    found = cache.once(make, "shift", *key, words=words)
    _table(shift.FIGURES, shift.FIGURES, found, "The domain shift in each space")
    *_, last = found.values()
    st.caption(
        f"{last['train_clips']:,} training clips and {last['test_clips']:,} of these, one vector for each video, "
        "directions only. Clips cut from one video count as independent, so with many of them the shift looks larger "
        "than it is."
    )
    _meanings(shift.FIGURES, {})


def _shifts(item: Scored, test: holdings.Store, training: holdings.Store) -> dict[str, dict[str, float]]:
    """Space -> the shift, "raw" and where the run is here "joint": directions only, one vector a video."""
    from cezsar.data.features import FeatureStore
    from cezsar.report.study import domains_of

    ready = replace(item.prepared(), run=item.run(), store=FeatureStore(test.folder))
    found = {}
    for space, sides in domains_of(FeatureStore(training.folder), ready, np.random.default_rng(0)).items():
        train_ND, test_MD = (gap.directions(side, f"clips of the space {space}") for side in sides)
        found[space] = shift.measure(train_ND, test_MD, np.random.default_rng(0))
    return found
