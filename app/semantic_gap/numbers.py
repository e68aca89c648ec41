"""The semantic gap in numbers, a card for each space and a table of all; and the domain shift, on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, state
from app.parts import holdings, scored, show
from app.parts.choosers import one_of
from app.parts.words import plain
from cezsar.analysis import gap, shift
from cezsar.analysis.confusion import FIGURE_1, PAPER_GROUPS, matching_groups
from cezsar.analysis.gap import FIGURES, Definition, Gap, UnitSpace
from cezsar.arrays import IntArray
from cezsar.report.figures import number, percent, points
from cezsar.world import HARD_GROUPS
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
CHIEF = ("rank_1", "rank_mean", "alignment", "modality_gap", "silhouette", "purity", "biggest_hub_share")
SHARES = {"nearest_prototype", "own_prototype", "purity", "purity_by_chance", "biggest_hub_share", "rank_1", "rank_5",
          "prototype_on_own"}  # fmt: skip
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
    """What the pictures only suggest: a card of numbers for each space, and a table of all."""
    found, names = {space: one for space, (one, _) in gaps(item).items()}, scored.scores(item).class_names
    before, last, steps = {b: a for a, b in pairwise(found)}, list(found.values())[-1], list(found)[-2:]
    st.subheader("The gap in numbers", anchor=False)
    st.caption(
        f"Over {last['clips']:,} clips and all {len(names):,} classes, in the full spaces and not in the plane. "
        "↑ higher is better, ↓ lower is better. Beside a number, its change from the space before: green is better, "
        "orange is worse."
    )
    with st.container(key="numbers"):
        for column, (space, one) in zip(st.columns(len(found), gap="small"), found.items(), strict=True):
            with column.container(border=True, gap="xsmall", key=f"numbers-{space}"):
                st.markdown(f"**{SPACES[space][0]}**")
                for name in CHIEF:
                    none = " Not defined here: raw features have no sentences." * (one[name] is None)
                    step = _step(name, found[before[space]], one) if space in before else ""
                    _figure(FIGURES[name], f"{step} **{_value(name, one)}**".strip(), _here(name, one, names) + none)
    with st.expander("All numbers, and what they mean", icon=":material/table_rows:"):
        rows = []
        for name, figure in FIGURES.items():
            row = {"": figure.title + ARROWS[figure.better]}
            row |= {space.capitalize(): _value(name, one) for space, one in found.items()}  # short, for phones
            if before:
                a, b = (found[space] for space in steps)
                word = {None: "", True: " better", False: " worse"}[figure.improved(a[name], b[name])]
                step = (_step(name, a, b) or "–") + word
                row[f"change to {steps[-1]}"] = "" if figure.better == "neither" else step
            rows.append(row)
        st.table(rows, hide_index=True, border="horizontal", alt="All numbers of the gap in each space")
        said = {one.title: _meaning(one) + _here(name, last, names) for name, one in FIGURES.items()}
        st.caption("\n".join(f"- **{title}**: {plain(meaning)}" for title, meaning in said.items()))


def _figure(figure: Definition, value: str, more: str = "") -> None:
    """A number with its name, and what it means as help, in a card."""
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
        st.markdown(figure.title + ARROWS[figure.better], help=plain(_meaning(figure) + more), width="content")
        st.markdown(value, width="content")


def _meaning(figure: Definition) -> str:
    return f"{figure.definition[0].upper()}{figure.definition[1:]}. Range: {figure.range}. Source: {figure.source}."


def _here(name: str, gap: Gap, names: Sequence[str]) -> str:
    """What goes with a number in one space."""
    if name == "biggest_hub_share" and gap["biggest_hub"] is not None:
        return f" Here it is {names[int(gap['biggest_hub'])]}."
    k = {"purity": gap["k"], "hubness_k": gap["k_prototypes"]}.get(name)
    chance = gap["purity_by_chance"] if name == "purity" else None
    return (f" Here k = {k}." if k else "") + ("" if chance is None else f" By chance: {percent(chance)}.")


def _value(name: str, gap: Gap) -> str:
    return (percent if name in SHARES else number)(gap[name])


def _step(name: str, before: Gap, after: Gap) -> str:
    """How a number changes, in points where it is a share; green where it gets better, orange where worse."""
    a, b, better = before[name], after[name], FIGURES[name].improved(before[name], after[name])
    if a is None or b is None:
        return ""
    signed = points(b - a) if name in SHARES else f"{'+' if b >= a else ''}{number(b - a)}"
    return signed if better is None else f":{'green' if better else 'orange'}[{signed}]"


# Domain shift -----------------------------------------------------------------------------------------------------


def domain_shift(item: Scored) -> None:
    """How different training clips are from these: a button, or a word on which features are missing."""
    stores = [store for store in holdings.stores() if not store.error]
    test = next((store for store in stores if store.fingerprint == item.about["store"]), None)
    run = item.run() if stores else None
    encoder = test.encoder_fingerprint if test else run.config.feature_encoder["fingerprint"] if run else ""
    training = {one.name: one for one in stores if one is not test and one.encoder_fingerprint == encoder}
    if not training:
        st.caption(
            "How different these clips are from training clips, the domain shift, can be measured here once features "
            "of training videos by the same frame encoder are in the workspace (`cezsar extract`)."
        )
        return None
    st.subheader("Domain shift", anchor=False)
    st.caption(
        "How different the clips that were scored are from training clips. A model meets both as vectors: if the two "
        "sets are easily told apart, what it learned from one may not hold for the other."
    )
    if test is None:
        encoder = plain(next(iter(training.values())).encoder)
        return show.info(
            f"Features of training videos are here, but not those of these {item.about['clips']:,} clips. Extract them "
            f"with the same frame encoder, {encoder}, on the page Library, and score the data set again."
        )
    own = str((run.record().get("triplets") or {}).get("store", "")) if run else ""
    names = sorted(training, key=lambda name: (training[name].fingerprint != own, name))
    marks = {name: " (the run was trained on it)" * (training[name].fingerprint == own) for name in names}
    titles = {name: f"{name}: {training[name].videos:,} videos{mark}" for name, mark in marks.items()}
    help = "Feature stores of the same frame encoder in this workspace."
    name = names[0]
    if len(names) > 1:
        name = one_of("Features of training videos", titles, state.SHIFT_FROM, help=help, width=480)
    asked, sides = (item.fingerprint, test.fingerprint, training[name].fingerprint), (test, training[name])
    before = st.session_state.get("shifts", set())
    if asked not in before:
        put, icon = partial(state.put, "shifts", before | {asked}), ":material/compare_arrows:"
        st.button("Measure the domain shift", icon=icon, key="measure-shift", on_click=put)
        return None
    found = cache.once(partial(_shifts, item, *sides), "shift", *asked, words="Comparing training clips with these")
    told = {SPACES[space][0].lower(): percent(one["domain_accuracy"]) for space, one in found.items()}
    accuracy = [f"**{share}** in the {space}" for space, share in told.items()]
    *_, last = found.values()
    st.markdown(
        f"A classifier that sees a clip's vector alone tells clips of *{plain(name)}* from those that were scored with "
        f"a balanced accuracy of {' and '.join(accuracy)}. Without a shift it would be 50 %."
    )
    st.caption(
        f"{last['train_clips']:,} training clips and {last['test_clips']:,} of these, one vector for each video, "
        "directions only. Clips cut from one video count as independent, so with many of them the shift looks larger "
        "than it is."
    )
    for column, (space, one) in zip(st.columns(max(2, len(found)), gap="small"), found.items(), strict=False):
        with column.container(border=True, gap="xsmall", key=f"shift-{space}"):
            st.markdown(f"**{SPACES[space][0]}**")
            for field, figure in shift.FIGURES.items():
                value, digits = one[field], {"mmd_squared": 4, "p_value": 3}.get(field, 2)
                _figure(figure, f"**{percent(value) if field == 'domain_accuracy' else number(value, digits)}**")
    return None


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
