"""The page Evaluate: the field's tables for a run, with what lies behind the figures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import pandas as pd
import streamlit as st

from app import state
from app.evaluate import scoring
from app.evaluate.differences import corrections, differences
from app.evaluate.examples import worth_of_examples
from app.evaluate.generalised import seen_and_unseen
from app.evaluate.rows import FUSED, Row, companions, controls, rows_of, same_clips, table, unbroken
from app.evaluate.splits import splits
from app.evaluate.unknown import none_of_these, reliability
from app.parts import choosers, scored, show
from app.parts.words import plain
from app.state import KEPT
from cezsar.data.labels import parse_labels
from cezsar.errors import CezsarError, InputError
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot import published, tables
from cezsar.zeroshot.evaluation import METRICS
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import HARD_15, MAX_RUNS, Protocol, all_classes, named, parse, random_classes
from cezsar.zeroshot.published import HARD
from cezsar.zeroshot.scored import Scored

LOOKS = {
    "splits": "Splits and classes", "difference": "Differences", "open": "None of these", "corrected": "Corrections",
    "together": "Seen and unseen", "trusted": "Reliability", "shown": "Examples",
}  # fmt: skip

SYMBOLS = {"VE": "α", "O": "β", "C": "γ"}
ALL, HALF, DRAWN, LISTED = "all", "half", "random", "list"
KINDS = {ALL: "All", HALF: "Half", DRAWN: "Random", LISTED: "List"}
PICKED, TYPED, IN_FILE = "picked", "typed", "file"


def page() -> None:
    st.title("Evaluate", anchor=False)
    st.markdown("How often a run names actions right that it was never trained on, and which ones it takes for others.")
    with show.explained():
        evaluation()
    st.divider()
    with st.expander("What the paper reports", icon=":material/article:"):
        paper()
    with st.expander("Evaluate another data set", icon=":material/add:"):
        scoring.another()
    scoring.running()


def evaluation() -> None:
    """What is asked at the left, the table at the right, and below them what is looked at more closely."""
    left, right = st.columns([4, 9], gap="large")
    with left:
        item = choosers.scored_set()
        if item is None:
            return
        items = [item, *choose_others(item)]
        protocol = choose_protocol(item)
        wanted, weights = choose_modalities(items)
    if protocol is None:
        return
    with right:
        rows = rows_of(items, protocol, wanted, weights)
        if not rows:
            return show.info("Choose at least one modality that the run has.")
        compared_with = controls(item, protocol, items)
        results(items, rows, compared_with, protocol)
    look = choosers.segments(
        "Look closer", LOOKS, state.LOOK,
        "**Splits and classes**: where the figures come from. **Differences**: is one row better, and how sure is "
        "that? **None of these**: clips of no class to choose from. **Corrections**: other ways to read classes off "
        "the same embeddings. **Seen and unseen**: classes of training are labels, too. **Reliability**: what scores "
        "are worth as probabilities. **Examples**: what clips that show a class add to its sentences.",
    )  # fmt: skip
    if look == "splits":
        splits([*rows, *compared_with])
    else:
        closer(look, rows, compared_with, protocol)
    return None


@st.fragment
@show.explained()
def closer(look: str, rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """A part computed when it is asked for; its own widgets run this and nothing else."""
    if look == "difference":
        differences([*rows, *controls], protocol)
    else:
        looks = {
            "open": none_of_these, "corrected": corrections, "together": seen_and_unseen, "trusted": reliability,
            "shown": worth_of_examples,
        }  # fmt: skip
        looks[look](rows, protocol)


def results(items: Sequence[Scored], rows: Sequence[Row], controls: Sequence[Row], protocol: Protocol) -> None:
    """The table, what to know about it, and the exports."""
    dataset, n_classes = (items[0].about[key] for key in ("dataset", "classes"))
    name = published.TITLES.get(published.identify(dataset), Path(dataset).name or dataset)
    name = "The stick-figure world" if dataset == "demo" else name
    others = published.beside(dataset, n_classes, protocol.splits)
    st.markdown(f"**{plain(name)}**, {plain(tables.title([row.result for row in rows]))}")
    if not same_clips(items):
        words = "These runs were scored on different clips: do not compare their figures."
        st.warning(words, icon=":material/warning:")
    kept = [replace(row.result, method=row.name) for row in (*rows, *controls)]
    own = tables.frame(kept, [row.name for row in (*rows, *controls)])
    whole = pd.concat([own, tables.published_frame(others)]).fillna("")
    # The best of one's own figures is bold, all others are grey.
    means, cells = {title: [row.result.figure(m).mean for row in rows] for m, title in METRICS.items()}, []
    for place, line in enumerate(whole.to_dict("records")):
        row = {"Run" if head == "Method" else head: plain(text) for head, text in line.items()}
        for head, values in means.items():
            row[head] = unbroken(row[head])
            if place < len(rows) > 1 and values[place] == max(values):
                row[head] = f"**{row[head]}**"
        grey = {head: f":gray[{text}]" * bool(text) for head, text in row.items()}
        cells.append(row if place < len(rows) else grey)
    table(cells, alt="Accuracies of each run and modality, chance and published figures")
    if controls:
        st.caption(
            "In grey what is not recognition of actions: the place oracle is told where a clip takes place and knows "
            "how often each action occurs there; colour only is a run that sees colours and no shape or movement."
        )
    if others:
        st.caption("Below chance: figures published for this data set and as many classes.")
        if notes := sorted({row.note for row in others if not row.strict}):
            st.caption("\\* " + " ".join(map(plain, notes)))
    latex = partial(tables.latex, whole, f"{name}, {tables.title(kept)}", "tab:zsar")
    json = partial(tables.to_json, kept)
    show.downloads(
        ("CSV", "evaluation.csv", partial(tables.to_csv, kept), "A line for each split of each row, as fractions."),
        ("JSON", "evaluation.json", json, "Everything. Given back under List, its splits run again."),
        ("Markdown", "evaluation.md", partial(tables.markdown, whole), "The table, in percent."),
        ("LaTeX", "evaluation.tex", latex, "The table for booktabs, in percent."),
    )


# What is asked -------------------------------------------------------------------------------------------------------


def choose_others(item: Scored) -> list[Scored]:
    """Further runs on the same data set, to stand beside `item`."""
    there = companions(item)
    if not there:
        return []
    choosers.forget_others(state.COMPARED, there)
    chosen = st.multiselect(
        "Compare with", list(there), format_func=lambda name: there[name].by, key=state.COMPARED,
        placeholder="other runs on the same clips", **KEPT,
        help="Every run is tested on the same splits, so that figures can be compared split by split.",
    )  # fmt: skip
    return [there[name] for name in chosen]


def choose_protocol(item: Scored) -> Protocol | None:
    """The protocol as chosen; None, and a word about it, if there is nothing to go by yet."""
    names = scored.scores(item).class_names
    kind = choosers.segments(
        "Protocol", KINDS, state.PROTOCOL,
        "Which classes a clip may be taken for; only clips of these are tested. **All**: every class, once. "
        "**Half**: half of them, drawn at random, many times. **Random**: as many as you say. **List**: those of a "
        "list, such as hard-15 or TruZe.", HALF if len(names) > 1 else ALL, width="stretch",
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


def choose_modalities(items: Sequence[Scored]) -> tuple[list[str], Weights | None]:
    """Which rows the table has for each run, and the weights of the fused one; None leaves each run its own."""
    has = [name for name in SYMBOLS if any(name in item.about["modalities"] for item in items)]
    options = [*has, FUSED] if len(has) > 1 else has
    choosers.forget_others(state.EVALUATED, options)
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


# What the paper reports ----------------------------------------------------------------------------------------------


def paper() -> None:
    """Tables 1 and 2 of the paper, its hard classes, and later work that is not zero-shot in the strict sense."""
    parts = {
        "UCF-101": "Table 1 of Estevam et al., CEZSAR, ICPR 2026: 50 and 20 classes are drawn at random, and ± is the "
        "deviation over these draws. 664, 605 and 595 are classes of Kinetics and other sets.",
        "Kinetics-400": "Table 2 of the same paper. CEZSAR's are over the 242,658 clips that could still be had.",
        "Hard classes": "Section 5: 15 classes of UCF-101 that look much alike, in six groups, beside 15 at random (30 "
        f"draws): {', '.join(HARD_15)}.",
        "Later work": "On UCF-101, with models of the CLIP family. They have seen test classes, or alike ones, with "
        "labels: most were fine-tuned on Kinetics-400. So they are not zero-shot in the strict sense.",
    }
    rows: dict[str, list[dict[str, object]]] = {title: [] for title in parts}
    for row in published.ROWS:
        hard = row.protocol == HARD or row.classes == len(HARD_15)
        title = "Hard classes" if hard else published.TITLES[row.dataset]
        cells = {"Method": row.method, "Modality": row.modality or "–", "Trained on classes": row.training}
        cells |= {"Tested on": row.protocol, "Top-1 (%)": row.accuracy.percent(), "Source": row.source}
        rows[title if row.strict else "Later work"].append({**cells, "Classes": row.classes})
    for tab, (title, words) in zip(st.tabs(list(parts)), parts.items(), strict=True):
        with tab:
            show.table(sorted(rows[title], key=itemgetter("Classes"), reverse=True), "Published accuracies")
            st.caption(words)
