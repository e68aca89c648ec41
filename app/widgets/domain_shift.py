"""How different training clips are from those that were scored, measured when somebody asks."""

from __future__ import annotations

import streamlit as st

from app import state
from app.services import domain_shift as service
from app.services.domain_shift import Known, Sides
from app.widgets.gap_numbers import SPACES, figure_row, meaning, title
from app.widgets.words import plain, sentence
from cezsar.analysis.shift import FIGURES, Shift
from cezsar.errors import CezsarError
from cezsar.report.figures import number, percent
from cezsar.zeroshot.scored import Scored

FORMATS = {"mmd_squared": "{:.4f}", "p_value": "{:.3f}"}


def domain_shift(item: Scored) -> None:
    """A button where the features of both sides are in the workspace; else a word on what is missing."""
    sides = service.sides(item)
    if not sides.training:
        st.caption(
            "How different these clips are from training clips, the domain shift, can be measured here once features "
            "of training videos, made by the same frame encoder, are in the workspace (`cezsar extract`)."
        )
        return
    st.subheader("Domain shift", anchor=False)
    st.caption(
        "How different the clips that were scored are from training clips. A model meets both as vectors: if the two "
        "sets are easily told apart, what it learned from one may not hold for the other."
    )
    if sides.test is None:
        _without_test(item, sides)
        return
    training = _training(sides)
    if not service.is_measured(item, sides.test, training):
        st.button(
            "Measure the domain shift", icon=":material/compare_arrows:", key="measure-shift",
            on_click=service.ask, args=(item, sides.test, training),
        )  # fmt: skip
        return
    try:
        _shown(service.measured(item, sides.test, training), training)
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")


def _without_test(item: Scored, sides: Sides) -> None:
    encoder = sides.training[0].encoder
    st.info(
        f"Features of training videos are here, but not those of these {item.about['clips']:,} clips. Extract them "
        f"with the same frame encoder, {plain(encoder)}, on the page Library or with `cezsar extract`, and score the "
        "data set again.",
        icon=":material/info:",
    )


def _training(sides: Sides) -> Known:
    """The store of training videos, to be chosen where there are several."""
    known = {store.name: store for store in sides.training}
    if len(known) == 1:
        return sides.training[0]
    if st.session_state.get(state.SHIFT_FROM) not in known:
        st.session_state.pop(state.SHIFT_FROM, None)

    def titled(name: str) -> str:
        own = " (the run was trained on it)" if known[name].fingerprint == sides.own else ""
        return f"{name}: {known[name].videos:,} videos{own}"

    name = st.selectbox(
        "Features of training videos", list(known), format_func=titled, key=state.SHIFT_FROM, bind="query-params",
        help="Feature stores of the same frame encoder in this workspace.", width=480,
    )  # fmt: skip
    return known[name]


def _shown(found: dict[str, Shift], training: Known) -> None:
    last = list(found.values())[-1]
    said = " and ".join(
        f"**{percent(one.domain_accuracy)}** in the {SPACES[space][0].lower()}" for space, one in found.items()
    )
    st.markdown(
        f"A classifier that sees a clip's vector alone tells clips of *{plain(training.name)}* from those that were "
        f"scored with a balanced accuracy of {said}. Without a shift it would be 50 %."
    )
    st.caption(
        f"{last.train_clips:,} training clips and {last.test_clips:,} of these, one vector for each video, directions "
        "only. Clips cut from one video count as independent, so with many of them the shift looks larger than it is."
    )
    columns = st.columns(max(2, len(found)), gap="small")
    for column, (space, one) in zip(columns, found.items(), strict=False):
        with column.container(border=True, gap="xsmall", key=f"shift-{space}"):
            st.markdown(f"**{SPACES[space][0]}**")
            for name, figure in FIGURES.items():
                figure_row(title(figure), plain(meaning(figure)), f"**{shown(name, getattr(one, name))}**")


def shown(name: str, value: float) -> str:
    """A number of the shift as it is shown."""
    if name == "domain_accuracy":
        return percent(value)
    return FORMATS[name].format(value).replace("-", "\N{MINUS SIGN}") if name in FORMATS else number(value)
