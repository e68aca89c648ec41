"""What is asked on the page Evaluate: further runs, the protocol, and the rows of the table."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app import state
from app.evaluate.rows import FUSED, companions
from app.parts import choosers, scored, show
from app.parts.words import plain
from app.state import KEPT
from cezsar.data.labels import parse_labels
from cezsar.errors import CezsarError, InputError
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import MAX_RUNS, Protocol, all_classes, named, parse, random_classes
from cezsar.zeroshot.scored import Scored

SYMBOLS = {"VE": "α", "O": "β", "C": "γ"}
ALL, HALF, DRAWN, LISTED = "all", "half", "random", "list"
KINDS = {ALL: "All", HALF: "Half", DRAWN: "Random", LISTED: "List"}
PICKED, TYPED, IN_FILE = "picked", "typed", "file"


def others(item: Scored) -> list[Scored]:
    """Further runs on the same data set, to stand beside `item`."""
    there = companions(item)
    if not there:
        return []
    _only(state.COMPARED, there)
    chosen = st.multiselect(
        "Compare with", list(there), format_func=lambda name: there[name].by, key=state.COMPARED,
        placeholder="other runs on the same clips", **KEPT,
        help="Every run is tested on the same splits, so that figures can be compared split by split.",
    )  # fmt: skip
    return [there[name] for name in chosen]


def protocol(item: Scored) -> Protocol | None:
    """The protocol as chosen; None, and a word about it, if there is nothing to go by yet."""
    names = scored.scores(item).class_names
    kind = st.segmented_control(
        "Protocol", list(KINDS), default=HALF if len(names) > 1 else ALL, format_func=KINDS.__getitem__, required=True,
        key=state.PROTOCOL, width="stretch", **KEPT,
        help="Which classes a clip may be taken for; only clips of these are tested. **All**: every class, once. "
        "**Half**: half of them, drawn at random, many times. **Random**: as many as you say. **List**: those of a "
        "list, such as hard-15 or TruZe.",
    )  # fmt: skip
    with show.explained():
        if kind == ALL:
            return all_classes(names)
        return _listed(names) if kind == LISTED else _random(names, kind == HALF)
    return None


def _random(names: Sequence[str], half: bool) -> Protocol:
    columns, n = st.columns(2 if half else 3), len(names)
    if not half:
        st.session_state[state.DRAW] = max(1, min(n, st.session_state.get(state.DRAW, round(n / 5))))
        help = f"How many of the {n:,} each split has."
        drawn = columns[0].number_input("Classes", 1, n, key=state.DRAW, help=help, **KEPT)
    help = "How many times classes are drawn. The papers draw 50 times."
    runs = columns[-2].number_input("Splits", 1, MAX_RUNS, 50, key=state.SPLITS, help=help, **KEPT)
    help = "The same seed draws the same classes, here and with `cezsar evaluate --seed`."
    seed = columns[-1].number_input("Seed", 0, 2**31 - 1, 0, key=state.SEED, help=help, **KEPT)
    if half:
        return parse("half", names, runs=int(runs), seed=int(seed))
    return random_classes(names, int(drawn), int(runs), int(seed))


def _listed(names: Sequence[str]) -> Protocol | None:
    ways = {PICKED: "picked", TYPED: "typed", IN_FILE: "in a file"}
    way = choosers.segments("The list is", ways, state.LISTED_BY, width="stretch")
    if way == PICKED:
        groups = {group: list(members) for group, members in HARD_GROUPS.items() if set(members) <= set(names)}
        if chosen := choosers.classes("Classes", names, groups | choosers.own_among(names)):
            return named("list", chosen, names)
    elif way == TYPED:
        typed = st.text_area(
            "Classes", key=state.TYPED_CLASSES, persist_state="session", height=120,
            placeholder=", ".join(names[:3]) + ", ...", help="With commas between them or one to a line.",
        )  # fmt: skip
        if typed and typed.strip():
            return named("list", parse_labels(typed).names, names)
    elif upload := st.file_uploader(
        "Class list, split or result", type=["json", "txt"], key="list-file",
        help='A text file with one class to a line, a JSON list, a split {"testing": [...]}, or the JSON of an '
        "evaluation, whose splits are then run again.",
    ):  # fmt: skip
        return from_upload(upload.name, upload.getvalue(), names)
    st.caption("Give at least one class, and the table appears.")
    return None


def from_upload(name: str, content: bytes, class_names: Sequence[str]) -> Protocol:
    """A protocol from a file, as `protocols.parse` reads it; errors name the file as the user does."""
    given, suffix = Path(name), Path(name).suffix.lower()
    if suffix not in (".json", ".txt"):
        raise InputError(f"{given.name} is neither .json nor .txt; give a class list in one of these")
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / f"list{suffix}"  # a name of ours: a user's may be no file name
        path.write_bytes(content)
        try:
            found = parse(str(path), class_names)
        except CezsarError as error:
            raise type(error)(str(error).replace(str(path), given.name)) from error
    return replace(found, name=given.stem) if found.name == "list" else found


def modalities(items: Sequence[Scored]) -> tuple[list[str], Weights | None]:
    """Which rows the table has for each run, and the weights of the fused one; None leaves each run its own."""
    has = [name for name in SYMBOLS if any(name in item.about["modalities"] for item in items)]
    options = [*has, FUSED] if len(has) > 1 else has
    _only(state.EVALUATED, options)
    wanted = st.pills(
        "Rows", options, selection_mode="multi", default=options, key=state.EVALUATED, **KEPT,
        help="VE: what a clip looks like. O: the objects recognised in it. C: its captions. Fused: "
        "VidE = α VE + β O + γ C (Eq. 9 of the paper); the nearest class description wins (Eq. 8).",
    )  # fmt: skip
    if FUSED not in wanted:
        return list(wanted), None
    help = "α, β and γ of Eq. 9 as they stand in the run; otherwise the ones you give, for all runs."
    if st.toggle("Each run's own weights", True, key=state.OWN_WEIGHTS, help=help, **KEPT):
        for item in items:
            said = (f"{SYMBOLS[name]} = {item.weights.of(name):g}" for name in has if name in item.about["modalities"])
            st.caption(f"{plain(item.by)}: {', '.join(said)}")
        return list(wanted), None
    given = {}
    for column, name in zip(st.columns(len(has)), has, strict=True):
        given[name] = column.number_input(
            f"{SYMBOLS[name]} ({name})", 0.0, 100.0, items[0].weights.of(name), 0.05, format="%.2f",
            key=state.WEIGHT_OF[name], help="Only the proportions of the weights matter.", **KEPT,
        )  # fmt: skip
    return list(wanted), Weights(*(given.get(name, 0.0) for name in SYMBOLS))


def _only(key: str, options: Collection[str]) -> None:
    """Forget what was chosen for another data set."""
    chosen = st.session_state.get(key) or []
    if not set(chosen) <= set(options):
        st.session_state[key] = [name for name in chosen if name in options]
