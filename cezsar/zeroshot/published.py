"""What others have published: figures to stand beside one's own, with what they were trained on.

Tables 1 and 2 and Section 5 of Estevam et al. (CEZSAR, ICPR 2026), and some rows of later work, as they stand in
`assets/published.csv` (in percent; the deviation is as published, over random choices of classes or official splits).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import NamedTuple

from cezsar.data.labels import canonical
from cezsar.workspace import ASSETS
from cezsar.zeroshot.evaluation import Figure
from cezsar.zeroshot.protocols import HARD_15

TITLES = {"ucf101": "UCF-101", "kinetics400": "Kinetics-400"}
TOTAL = {"ucf101": 101, "kinetics400": 400}
"""Data set -> its number of classes."""
HARD = "hard-15"
_NOT_STRICT = {
    "tuned": "Fine-tuned on Kinetics-400, whose classes overlap with those tested",
    "frozen": "Not fine-tuned, but trained on 400 million images and texts from the web, in which any action may occur",
}


class Published(NamedTuple):
    """One published figure."""

    method: str  # as tables name it
    modality: str  # "VE", "O", "O + C", "VE + O"; "" where that is not the question
    source: str  # authors and venue
    dataset: str  # a key of `TITLES`
    classes: int  # tested at a time
    protocol: str  # in words
    random: bool  # the classes were drawn at random, several times
    accuracy: Figure  # top-1
    training: str  # the classes with labels that it was trained on, in words
    strict: bool  # zero-shot in the strict sense: nothing that is tested was trained on with its label
    note: str  # what to know before comparing


def identify(dataset: str) -> str:
    """The key of a data set in any spelling, or within the name of a file or folder ("UCF-101", "/videos/UCF101/"); ""
    if nothing is published here."""
    squeezed = canonical(dataset).replace("-", "").replace("/", "").replace("k400", "kinetics400")
    return next((key for key in TITLES if key in squeezed), "")


def beside(dataset: str, n_classes: int, splits: Sequence[Sequence[str]]) -> list[Published]:
    """Published figures that may stand beside one's own, in the order of the papers' tables.

    None stand beside a part of a data set (`n_classes`), or runs of several sizes. One run (given classes) stands
    beside one, several random ones beside several. The figures for the hard-15 stand beside these very classes only.
    """
    key, sizes = identify(dataset), {len(names) for names in splits}
    if TOTAL.get(key) != n_classes or len(sizes) > 1:
        return []
    hard = {canonical(name) for name in splits[0]} == {canonical(name) for name in HARD_15}
    asked = (key, *sizes, len(splits) > 1)
    return [row for row in ROWS if (row.dataset, row.classes, row.random) == asked and (hard or row.protocol != HARD)]


def _published(row: dict[str, str]) -> Published:
    mean, std = (round(float(row[name]) / 100, 6) if row[name] else None for name in ("percent", "deviation"))
    known = {name: row[name] for name in ("method", "modality", "source", "dataset", "protocol", "training")}
    loose, figure = row["note"] in _NOT_STRICT, Figure(mean or 0.0, std)
    note = f"{_NOT_STRICT[row['note']]}, so not zero-shot in the strict sense." if loose else row["note"]
    random, classes = row["random"] == "yes", int(row["classes"])
    return Published(**known, classes=classes, random=random, accuracy=figure, strict=not loose, note=note)


with (ASSETS / "published.csv").open(encoding="utf-8", newline="") as _file:
    ROWS = tuple(map(_published, csv.DictReader(_file)))
"""Everything there is, in the order of the papers' tables."""
