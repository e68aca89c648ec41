"""Protocols: which classes a clip may be taken for, in how many runs; and those that papers report, by name. A run is a
list of classes, kept with every result: its clips are ranked against these classes only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from cezsar.data.datasets import KNOWN
from cezsar.data.documents import enumerated, parse_json, read_text
from cezsar.data.labels import canonical, load_split, numbered, read_label_list, resolve
from cezsar.errors import FormatError, InputError
from cezsar.formats import check_stamp

MAX_RUNS = 10_000
RUNS = 50  # of a protocol with random classes, in the tables of the field

# Classes that look alike, in six groups (CEZSAR, Section 5). The published file lists six of them as seen, too; a model
# that trains on the others of UCF-101 must leave these out.
PAPER_GROUPS: dict[str, list[str]] = {
    "horses": ["horse riding", "horse race"],
    "gymnastics": ["pommel horse", "balance beam", "floor gymnastics"],
    "basketball": ["basketball", "basketball dunk"],
    "boxing": ["boxing punching bag", "boxing speed bag"],
    "face": ["apply eye makeup", "apply lipstick", "brushing teeth"],
    "hair": ["blow dry hair", "haircut", "head massage"],
}
HARD_15 = tuple(chain(*PAPER_GROUPS.values()))
FIGURE_1 = HARD_15[:4]  # two with horses, two of gymnastics
# Classes that do not occur in Kinetics-400 (Gowda et al., TruZe, GCPR 2021).
TRUZE_UCF_V2 = (
    "apply lipstick", "balance beam", "billiards", "blow dry hair", "fencing", "field hockey penalty", "front crawl",
    "hammering", "handstand pushups", "handstand walking", "horse race", "ice dancing", "jumping jack",
    "military parade", "mixing", "nunchucks", "parallel bars", "pizza tossing", "playing daf", "playing dhol",
    "playing sitar", "playing tabla", "pommel horse", "rafting", "rowing", "still rings", "sumo wrestling",
    "table tennis shot", "uneven bars", "wall pushups", "yo yo",
)  # fmt: skip
TRUZE_UCF_V1 = (*TRUZE_UCF_V2, "baseball pitch", "cutting in kitchen", "punch")
TRUZE_HMDB = (
    "chew", "climb stairs", "draw sword", "fall floor", "fencing", "flic flac", "handstand", "hit", "jump", "kick",
    "pick", "pour", "run", "sit", "shoot gun", "smile", "stand", "sword exercise", "talk", "turn", "walk", "wave",
)  # fmt: skip

NAMED: dict[str, int | tuple[str, ...]] = {
    "ucf101-0/101": 101, "ucf101-0/50": 50, "ucf101-0/20": 20, "ucf101-hard15": HARD_15, "ucf101-fig1": FIGURE_1,
    "ucf101-truze-v1": TRUZE_UCF_V1, "ucf101-truze-v2": TRUZE_UCF_V2,
    "hmdb51-0/51": 51, "hmdb51-truze": TRUZE_HMDB,
    "kinetics400-0/400": 400, "kinetics400-0/100": 100, "kinetics400-0/25": 25,
}  # fmt: skip
"""Named protocols: the classes that are tested, or how many of the data set's, drawn at random if that is not all."""

_RANDOM = re.compile(
    r"(?:(?:random-)?(?P<k>\d{1,9})(?:-of-(?P<n>\d{1,9}))?|half)(?:\s*[x×]\s*(?P<runs>\d{1,9}))?", re.I
)
_NAMED = re.compile(r"(?P<name>[a-z]+\d+-\S+?)(?:\s*[x×]\s*(?P<runs>\d{1,9}))?", re.I)


@dataclass(frozen=True)
class Protocol:
    """Classes to choose from, for each run."""

    name: str  # as it stands in tables
    splits: list[list[str]]  # class names of each run, in the order in which results list them
    seed: int | None = None  # of the random choice; None where nothing was random

    def __post_init__(self) -> None:
        if not self.splits or not all(self.splits):
            raise InputError(f"protocol {self.name!r} has no runs, or one with no classes; name at least one")
        for run, names in enumerate(self.splits, start=1):
            keys = [canonical(name) for name in names]
            if twice := [name for index, name in enumerate(names) if keys.index(keys[index]) < index]:
                raise InputError(f"run {run} of protocol {self.name!r} has class {twice[0]!r} twice; keep one")

    @property
    def runs(self) -> int:
        return len(self.splits)


def all_classes(class_names: Sequence[str]) -> Protocol:
    """One run with every class."""
    return Protocol("all", [list(class_names)])


def random_classes(class_names: Sequence[str], k: int, runs: int = RUNS, seed: int = 0) -> Protocol:
    """`runs` runs of k random classes each, in the order of `class_names`. The draw depends on the set of classes, the
    seed and k; run i is the same however many follow. Raises `InputError` for k outside 1...N, or `runs` outside
    1...`MAX_RUNS`."""
    n = len(class_names)
    if not 1 <= k <= n:
        raise InputError(f"{k:,} random classes of {n:,} were asked for; choose from 1 to {n:,}")
    if not 1 <= runs <= MAX_RUNS:
        raise InputError(f"{runs:,} runs were asked for; choose from 1 to {MAX_RUNS:,}")
    if seed < 0:
        raise InputError(f"the seed is {seed}; seeds are whole numbers from 0")
    by_spelling = np.array(sorted(range(n), key=lambda index: canonical(class_names[index])))
    rng = np.random.default_rng(seed)
    draws = [np.sort(by_spelling[rng.permutation(n)[:k]]) for _ in range(runs)]
    return Protocol(f"{k}-of-{n} x {runs}", [[class_names[index] for index in draw] for draw in draws], seed)


def named(name: str, classes: Sequence[str], class_names: Sequence[str]) -> Protocol:
    """One run with the classes that are listed, in any spelling; `InputError`, with the nearest, for an unknown one."""
    return Protocol(name, [resolve(classes, class_names)])


def parse(text: str, class_names: Sequence[str], *, runs: int = RUNS, seed: int = 0) -> Protocol:
    """The protocol that a command line or a form names: "all"; "half"; "K-of-N", "random-K" or "K", each also as
    "K-of-N x RUNS"; one of `NAMED`; or a file: a JSON list of class names, a split `{"testing": [...]}`, a saved result
    (its classes again, run by run), or a text file with one class to a line. Raises `InputError` or `FormatError` for
    anything else."""
    words, n = text.strip(), len(class_names)
    if words.lower() == "all":
        return all_classes(class_names)
    if match := _RANDOM.fullmatch(words):
        if match["n"] and int(match["n"]) != n:
            raise InputError(f"protocol {words!r} is for {match['n']} classes, and there are {n:,}")
        if match["k"] is None and n < 2:
            raise InputError("half of one class is none; use protocol all")
        return random_classes(class_names, int(match["k"] or n // 2), int(match["runs"] or runs), seed)
    if (match := _NAMED.fullmatch(words)) and match["name"].lower() in NAMED:
        return _of_the_field(match["name"].lower(), class_names, int(match["runs"] or runs), seed)
    if Path(words).suffix.lower() in (".json", ".txt", ".csv"):
        return _from_file(Path(words), class_names)
    raise InputError(
        f'protocol {text!r} is unknown; give "all", "half", "K-of-N", "random-K" (either with " x RUNS"), a file with '
        f"a class list (.json, .txt, .csv), or one of {', '.join(NAMED)}"
    )


def _of_the_field(name: str, class_names: Sequence[str], runs: int, seed: int) -> Protocol:
    tested, known = NAMED[name], KNOWN[name.partition("-")[0]]
    if not isinstance(tested, int):
        return named(name, tested, class_names)
    there, wanted = {canonical(each) for each in class_names}, known.class_names()
    absent = [each for each in wanted if canonical(each) not in there]
    if absent or len(there) != len(wanted):
        without = f", without {enumerated(absent, 20)}" if absent else ""
        raise InputError(
            f"protocol {name!r} is about the {len(wanted)} classes of {known.title}, and there are {len(there):,} "
            f"classes here{without}; use K-of-{len(there)}, or a list of classes in a file"
        )
    if tested == len(wanted):
        return Protocol(name, [list(class_names)])
    drawn = random_classes(class_names, tested, runs, seed)
    return replace(drawn, name=name if runs == RUNS else f"{name} x {runs}")


def _from_file(path: Path, class_names: Sequence[str]) -> Protocol:
    if path.suffix.lower() != ".json":
        return named(path.stem, read_label_list(path), class_names)
    value = parse_json(read_text(path), str(path))
    names = value if isinstance(value, list) and all(isinstance(name, str) for name in value) else []
    if isinstance(value, dict):
        names = numbered(value) or (load_split(path)["testing"] if "testing" in value else [])
    if names:
        return named(path.stem, names, class_names)
    if isinstance(value, dict) and "cezsar" in value:
        check_stamp(path, "results", value, "give a list of classes")
    try:
        saved = [
            Protocol(one["protocol"], [resolve(run["classes"], class_names) for run in one["runs"]], one["seed"])
            for one in value["results"]
        ]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            f'{path} names no classes; give a list of them, {{"testing": [...]}}, or a saved result'
        ) from error
    if not saved or any(protocol != saved[0] for protocol in saved):
        raise FormatError(f"{path} holds no result, or results of several protocols; give a file with those of one")
    return saved[0]
