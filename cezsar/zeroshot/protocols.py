"""Protocols: which classes a clip may be taken for, in how many runs.

A run of a protocol is a list of classes; the clips of these classes are ranked against these classes only. The exact
lists are kept with every result, so that another lab can run the same splits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cezsar.atomic import write_json
from cezsar.data.datasets import KNOWN
from cezsar.data.documents import read_json_object, read_text
from cezsar.data.labels import canonical, read_label_list, resolve
from cezsar.data.layout import enumerated
from cezsar.data.labels import load_split
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.named_protocols import NAMED, RUNS, NamedProtocol

MAX_RUNS = 10_000

_RANDOM = re.compile(
    r"(?:(?:random-)?(?P<k>\d{1,9})(?:-of-(?P<n>\d{1,9}))?|half)(?:\s*[x×]\s*(?P<runs>\d{1,9}))?", re.I
)
_OF_A_TABLE = re.compile(r"(?P<name>[a-z]+\d+-\S+?)(?:\s*[x×]\s*(?P<runs>\d{1,9}))?", re.I)
_FORMS = (
    '"all", "half", "K-of-N", "random-K" (either with " x RUNS"), a file with a class list (.json, .txt), or one of '
    f"{', '.join(NAMED)}"
)


@dataclass(frozen=True)
class Protocol:
    """Classes to choose from, for each run.

    Attributes:
        name: as it stands in tables.
        splits: class names of each run, in the order in which results list them.
        seed: of the random choice; None where nothing was random.

    Raises:
        InputError: no run, a run without classes, or one with a class twice, in whatever spelling.
    """

    name: str
    splits: list[list[str]]
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.splits:
            raise InputError(f"protocol {self.name!r} has no runs; give at least one list of classes")
        for run, names in enumerate(self.splits, start=1):
            keys: dict[str, str] = {}
            if not names:
                raise InputError(f"run {run} of protocol {self.name!r} has no classes; name at least one")
            for name in names:
                if canonical(name) in keys:
                    raise InputError(
                        f"run {run} of protocol {self.name!r} has class {keys[canonical(name)]!r} twice; keep one"
                    )
                keys[canonical(name)] = name

    @property
    def runs(self) -> int:
        return len(self.splits)

    def save(self, path: str | Path) -> None:
        """Write name, seed and class lists as JSON; `parse` reads it."""
        write_json(path, asdict(self))


def all_classes(class_names: Sequence[str]) -> Protocol:
    """One run with every class."""
    return Protocol("all", [list(class_names)])


def random_classes(class_names: Sequence[str], k: int, runs: int = 50, seed: int = 0) -> Protocol:
    """`runs` runs, each with k classes drawn at random without replacement.

    The draw depends on the set of classes, the seed and k, not on the order of `class_names`; run i is the same however
    many runs follow. Each run lists its classes in the order of `class_names`.

    Raises:
        InputError: k outside 1...N, or `runs` outside 1...`MAX_RUNS`.
    """
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
    """One run with the classes that are listed, in any spelling, in the order of the list.

    Raises:
        InputError: a class that is none of `class_names` (the message offers the nearest), or one listed twice.
    """
    return Protocol(name, [resolve(classes, class_names)])


def parse(text: str, class_names: Sequence[str], *, runs: int = 50, seed: int = 0) -> Protocol:
    """The protocol that a command line or a form names.

    Args:
        text: "all"; "half" (N/2 random classes, rounded down); "K-of-N", "random-K" or "K", each also as
            "K-of-N x RUNS"; a protocol of the field by name, such as "ucf101-0/50" or "ucf101-truze-v2"
            (`named_protocols.NAMED`); or a file: a JSON list of class names, a split `{"testing": [...]}`, a saved
            protocol, a saved result (its classes again, run by run), or a text file with one class to a line.
        class_names: the N classes there are.
        runs: of a random protocol whose name does not say.
        seed: of a random protocol.

    Raises:
        InputError: no such protocol or file, unknown classes, K above N, or an N that is not the number of classes, a
            named protocol's included.
        FormatError: a file that is none of these.
    """
    words = text.strip()
    if words.lower() == "all":
        return all_classes(class_names)
    if match := _RANDOM.fullmatch(words):
        n = len(class_names)
        if match["n"] and int(match["n"]) != n:
            raise InputError(f"protocol {words!r} is for {match['n']} classes, and there are {n:,}")
        if match["k"] is None and n < 2:
            raise InputError("half of one class is none; use protocol all")
        k = n // 2 if match["k"] is None else int(match["k"])
        return random_classes(class_names, k, int(match["runs"] or runs), seed)
    if (match := _OF_A_TABLE.fullmatch(words)) and (of_field := NAMED.get(match["name"].lower())):
        return _of_the_field(of_field, class_names, int(match["runs"] or runs), seed)
    if Path(words).suffix.lower() in (".json", ".txt"):
        return _from_file(Path(words), class_names)
    raise InputError(f"protocol {text!r} is unknown; give {_FORMS}")


def _of_the_field(protocol: NamedProtocol, class_names: Sequence[str], runs: int, seed: int) -> Protocol:
    if protocol.classes:
        return named(protocol.name, protocol.classes, class_names)
    there = {canonical(name) for name in class_names}
    wanted = KNOWN[protocol.dataset].class_names()
    absent = [name for name in wanted if canonical(name) not in there]
    if absent or len(there) != len(wanted):
        without = f", without {enumerated(absent)}" if absent else ""
        raise InputError(
            f"protocol {protocol.name!r} is about the {protocol.total} classes of {KNOWN[protocol.dataset].title}, and "
            f"there are {len(there):,} classes here{without}; use K-of-{len(there)}, or a list of classes in a file"
        )
    if not protocol.random:
        return Protocol(protocol.name, [list(class_names)])
    drawn = random_classes(class_names, protocol.k, runs, seed)
    return Protocol(protocol.name if runs == RUNS else f"{protocol.name} x {runs}", drawn.splits, seed)


def _from_file(path: Path, class_names: Sequence[str]) -> Protocol:
    if path.suffix.lower() != ".json":
        return named(path.stem, read_label_list(path), class_names)
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise FormatError(f"{path}: not valid JSON ({error}); correct it there") from error
        return named(path.stem, _names(path, listed, "the file"), class_names)
    value = read_json_object(path)
    if "testing" in value:
        return named(path.stem, load_split(path)["testing"], class_names)
    found = value["results"] if isinstance(value.get("results"), list) else [value]
    protocols = [_from_json(path, entry, class_names) for entry in found]
    if not protocols or any(protocol != protocols[0] for protocol in protocols):
        raise FormatError(f"{path} holds results of several protocols, or none; give a file with those of one")
    return protocols[0]


def _from_json(path: Path, value: Any, class_names: Sequence[str]) -> Protocol:
    """A saved protocol, or the classes of a result, run by run."""
    splits = name = seed = None
    if isinstance(value, dict):
        name, seed, splits = value.get("name", value.get("protocol")), value.get("seed"), value.get("splits")
        if isinstance(value.get("runs"), list):
            splits = [run.get("classes") if isinstance(run, dict) else None for run in value["runs"]]
    if not isinstance(splits, list):
        raise FormatError(f'{path} names no classes; give a list of them, {{"testing": [...]}}, or a saved result')
    if not isinstance(name, str) or not (seed is None or type(seed) is int):
        raise FormatError(f"{path} should have a name, and a whole number or null as seed; correct it")
    lists = [_names(path, names, f"run {run}") for run, names in enumerate(splits, start=1)]
    return Protocol(name, [resolve(names, class_names) for names in lists], seed)


def _names(path: Path, value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FormatError(f"{path}: {where} should be a list of class names; correct it")
    return value
