"""Better words for a label, on two pages: published descriptions to begin with, and what each word does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

from app import cache, state
from app.parts.labels import TITLES
from app.parts.words import plain
from cezsar.analysis.wording import Contrast, Neighbour, Pattern, WordEffect, further_words, patterns
from cezsar.data.labels import spoken
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.report.figures import number

PATTERNS, LOOK_ALIKES, WORDS = 3, 3, 4
LEAST = 0.005  # of a change that is named
FOREIGN = 6  # words of a pattern that are named


def hints(name: str, sentences: Sequence[str], near: Sequence[Neighbour], described: Mapping[str, Sequence[str]],
          contrast: Callable[[str], Contrast], text: str, *key: object) -> None:  # fmt: skip
    """Patterns for a label that has these sentences, as text under the key `text`; beside them what words do to the
    labels that are `near` and `described`, as `contrast` measures it. `key`: on what else that depends."""
    others = [each.name for each in near if described[each.name]][:LOOK_ALIKES]
    left, right = st.columns(2, gap="large")
    with left:
        _offer_patterns(name, sentences, text, {other: described[other] for other in others[:1]})
    if others:
        with right:
            _look_alikes(contrast, others, *key, [described[other] for other in others])


def _offer_patterns(name: str, sentences: Sequence[str], text: str, rivals: Mapping[str, Sequence[str]]) -> None:
    """The published descriptions that are nearest to a label, each with a button that puts it under the key `text`, and
    the words that it has and the sentences of `rivals` have not."""
    asked = (spoken(name), *sentences)

    def nearest() -> list[Pattern]:
        encoder: Encoder = cache.large(open_encoder, "encoder of patterns")
        return patterns(asked, encoder, PATTERNS)

    st.markdown(
        "**Patterns**",
        help="Of UCF-101, HMDB-51 and Kinetics-400, 552 classes, the descriptions that are nearest to the label by "
        "MiniLM. Take one as a start, and say what your clips show.",
    )  # fmt: skip
    for found in cache.once(nearest, "patterns", asked, words="Looking for published descriptions"):
        with st.container(border=True, gap="xxsmall"):
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                st.markdown(f"{plain(found.name)} :gray[· {TITLES[found.dataset]} · {number(found.similarity)}]")
                state.setter(
                    "Take", f"take-{found.dataset}-{found.name}", text, "\n".join(found.sentences), "Begin with it.",
                    type="tertiary", icon=":material/content_copy:",
                )  # fmt: skip
            st.caption(plain(" ".join(found.sentences)))
            for rival, than in rivals.items():
                if more := further_words(found.sentences, than)[:FOREIGN]:
                    st.caption(f"Not said of {plain(rival)}: *{plain(', '.join(more))}*")


def _look_alikes(contrast: Callable[[str], Contrast], others: Sequence[str], *key: object) -> None:
    st.markdown(
        "**Words that tell look-alikes apart**",
        help="Measured by leaving each word out: the change of the similarity (cosine) of the two labels' nearest "
        "sentences. Green, above 0: they are nearer without it, so it holds them apart. Orange: it makes them alike.",
    )  # fmt: skip
    words = "Leaving out each word in turn"
    for other in others:
        found: Contrast = cache.once(partial(contrast, other), "word effects", other, *map(str, key), words=words)
        with st.container(border=True, gap="xxsmall"):
            st.markdown(f"{plain(other)} :gray[· similarity {number(found.similarity)}]")
            for name, effects in ((found.name, found.words), (other, found.other_words)):
                st.markdown(f":small[:gray[words of {plain(name)}]]  \n{_badges(effects)}")


def _badges(effects: Sequence[WordEffect]) -> str:
    """The words that hold apart most, then those that make alike."""
    apart = [effect for effect in effects if effect.change >= LEAST][:WORDS]
    alike = [effect for effect in reversed(effects) if effect.change <= -LEAST][:WORDS]
    badges = [
        f":{colour}-badge[{plain(word)} {plain(signed(change))}]"
        for colour, side in (("green", apart), ("orange", alike)) for word, change in side
    ]  # fmt: skip
    return " ".join(badges) or ":small[no single word does anything]"


def signed(change: float) -> str:
    """Two decimals with their sign."""
    return f"{change:+.2f}".replace("-", "\N{MINUS SIGN}")
