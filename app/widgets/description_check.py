"""Findings about the class descriptions that are looked at, in plain words."""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from app import state
from app.services import description_check as service
from app.services import descriptions
from app.widgets.words import plain, sentence
from cezsar.data.prototype_checks import Kind, Report
from cezsar.errors import CezsarError

MEANS = {
    Kind.ENCODING: "The file is no UTF-8; what it says was guessed.",
    Kind.DAMAGED: "Characters that were read in a wrong encoding, or lost.",
    Kind.CONTROL: "Characters that nobody sees and nobody types.",
    Kind.FORM: "Something that is neither a sentence nor a list of sentences.",
    Kind.EMPTY: "A class without a sentence has no prototype.",
    Kind.UNKNOWN: "Classes that the data set has not.",
    Kind.MISSING: "Classes of the data set that no clip can be taken for.",
    Kind.CLASS_TWICE: "One class under two spellings, or twice.",
    Kind.SENTENCE_SHARED: "Classes with the same prototype cannot be told apart.",
    Kind.SENTENCE_TWICE: "A sentence counts no more when it is there twice.",
    Kind.OWN_NAME: "A name alone says little: sentences bring words that clips' objects and captions have, too.",
    Kind.SHORT: "A few words say little.",
    Kind.LONG: "The end of such a sentence counts for nothing.",
    Kind.NEAR: "Classes whose sentences nearly say the same are easily confused.",
}
FEW, MOST = 6, 100  # findings of a kind that are shown at once, and at the most
_CHECKED = "descriptions checked"  # (what was checked, its report) of this session


def check() -> None:
    """A button that checks the set shown above, and what was found."""
    source = st.session_state.get(state.DESCRIBED) or next(iter(descriptions.sources()))
    st.subheader("What is wrong with them?", anchor=False)
    sets = {"": "no data set", **service.data_sets()}
    if st.session_state.get(state.CHECKED_FOR) not in sets:
        st.session_state.pop(state.CHECKED_FOR, None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dataset = st.selectbox(
            "They should describe the classes of", list(sets), key=state.CHECKED_FOR, bind="query-params",
            index=list(sets).index(service.usual(source)) if service.usual(source) in sets else 0,
            format_func=sets.__getitem__, help="Missing and unknown classes are found by it.", width=320,
        ) or ""  # fmt: skip
        asked = st.button("Check", icon=":material/fact_check:", key="check")
    try:
        wanted = (source, dataset, service.fingerprint(source))
        if asked:
            st.session_state[_CHECKED] = (wanted, _checked(source, dataset))
    except CezsarError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    done, report = st.session_state.get(_CHECKED, (None, None))
    if done == wanted and report is not None:
        _show(report)
    else:
        st.caption(
            "Duplicates, missing and unknown classes, broken encodings, poor sentences, and classes that are described "
            "nearly alike: each with what to do. What is saved is checked."
        )


def _checked(source: str, dataset: str) -> Report:
    bar = st.progress(0.0, "Comparing sentences; the encoder is loaded once, in some seconds")
    try:
        return service.check(
            source, dataset,
            lambda done, total: bar.progress(done / max(1, total), f"Comparing sentences: {done:,} of {total:,}"),
        )  # fmt: skip
    finally:
        bar.empty()


def _show(report: Report) -> None:
    told = f"{report.sentences:,} sentences for {report.classes:,} classes"
    told += f"; the data set has {report.expected:,}" if report.dataset else ""
    if pair := report.nearest:
        one, other = (plain(name) for name in pair.classes)
        told += f". Described most alike are *{one}* and *{other}*: {pair.similarity:.2f} under {report.encoder}"
    if not report.findings:
        st.success("Nothing wrong was found.", icon=":material/check:")
        st.caption(f"{told}.")
        return
    st.markdown(f"**{len(report.findings):,} findings.** {told}.")
    for kind, group in groupby(report.findings, key=lambda finding: finding.kind):
        found = list(group)
        with st.expander(f"{str(kind).capitalize()} ({len(found):,})", expanded=len(found) <= FEW):
            st.caption(MEANS[kind])
            lines = [
                f"- {plain(each.place) + ': ' if each.place else ''}{plain(each.what)}. :gray[{_advice(each.advice)}]"
                for each in found[:MOST]
            ]
            st.markdown("\n".join(lines))
            if len(found) > MOST:
                st.caption(f"And {len(found) - MOST:,} more; `cezsar prototypes check` lists all.")


def _advice(text: str) -> str:
    return plain(text[:1].upper() + text[1:]) + ("" if text.endswith("?") else ".")
