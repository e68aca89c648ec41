"""What others have published: figures to stand beside one's own, with what they were trained on.

Tables 1 and 2 and Section 5 of Estevam et al. (CEZSAR, ICPR 2026), and some rows of later work. Figures are fractions
in [0, 1]; what follows "±" is as published, over random choices of classes or over official test splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cezsar.data.labels import canonical
from cezsar.zeroshot.evaluation import Figure
from cezsar.zeroshot.protocols import HARD_15

TITLES = {"ucf101": "UCF-101", "kinetics400": "Kinetics-400"}
TOTAL = {"ucf101": 101, "kinetics400": 400}
"""Data set -> its number of classes."""


@dataclass(frozen=True)
class Published:
    """One published figure."""

    method: str  # as tables name it
    modality: str  # "VE", "O", "O + C", "VE + O"; "" where that is not the question
    source: str  # authors and venue
    year: int
    dataset: str  # a key of `TITLES`
    classes: int  # tested at a time
    protocol: str  # in words
    random: bool  # the classes were drawn at random, several times
    accuracy: Figure  # top-1
    training: str  # the classes with labels that it was trained on, in words
    strict: bool = True  # zero-shot in the strict sense: nothing that is tested was trained on with its label
    note: str = ""  # what to know before comparing


def identify(dataset: str) -> str:
    """The key of a data set in any spelling, or within the name of a file or folder ("UCF-101", "/videos/UCF101/"); ""
    if nothing is published here."""
    squeezed = canonical(dataset).replace("-", "").replace("/", "").replace("k400", "kinetics400")
    return next((key for key in TITLES if key in squeezed), "")


def beside(dataset: str, n_classes: int, splits: Sequence[Sequence[str]]) -> list[Published]:
    """Published figures that may stand beside one's own, in the order of the papers' tables.

    None stand beside a part of a data set (`n_classes`), or runs of several sizes. One run (given classes) stands
    beside one, several random ones beside several; how many need not be the same. The figures for the hard-15 stand
    beside these very classes only.
    """
    key, sizes = identify(dataset), {len(names) for names in splits}
    if TOTAL.get(key) != n_classes or len(sizes) > 1:
        return []
    hard = {canonical(name) for name in splits[0]} == {canonical(name) for name in HARD_15}
    asked = (key, *sizes, len(splits) > 1)
    return [row for row in ROWS if (row.dataset, row.classes, row.random) == asked and (hard or row.protocol != HARD)]


HARD = "hard-15"
HALF, KINETICS = "51 of UCF-101", "400 of Kinetics-400"
OURS = ("CEZSAR", "Estevam et al., ICPR 2026", 2026)
GSD = ("Global Semantic Descriptors", "Estevam et al., IEEE SPL 29", 2022)
MULTI = ("ZSARCAP", "Estevam et al., MTAP 83", 2024)

_Work = tuple[str, str, int]
_TABLES: dict[str, list[tuple[_Work, str, str, dict[int, tuple[float, ...]]]]] = {
    "ucf101": [
        (("Mettes and Snoek", "ICCV 2017", 2017), "", "none", {101: (32.8,), 50: (40.4, 1.0), 20: (51.2, 5.0)}),
        (("Mettes et al.", "IJCV 129", 2021), "", "none", {101: (36.3,), 50: (47.3,), 20: (61.1,)}),
        (("Kim et al.", "DASZL, AAAI 2021", 2021), "", HALF, {50: (48.9, 5.8)}),
        (("Chen and Huang", "ICCV 2021", 2021), "", HALF, {50: (51.8, 2.9)}),
        (("Brattoli et al.", "CVPR 2020", 2020), "", "664", {101: (39.8,), 50: (48.0,)}),
        (("Huang et al.", "VISAPP 2022", 2022), "", HALF, {50: (46.4, 3.1)}),
        (("Kerrigan et al.", "NeurIPS 2021", 2021), "", "664", {101: (40.1,), 50: (49.2,)}),
        (("Doshi et al.", "WACV 2024", 2024), "", "595", {101: (45.0,)}),
        (("Huang et al.", "SN Computer Science 4", 2023), "", HALF, {50: (45.9, 3.4)}),
        (MULTI, "C", "none", {50: (49.0, 3.5)}),
        (("Lin et al.", "CVPR 2022", 2022), "", "664", {50: (58.7, 3.3)}),
        (("Lin et al.", "CVPR 2022", 2022), "", "605", {101: (46.7,), 50: (55.9,)}),
        (("CLASTER", "Gowda et al., ECCV 2022", 2022), "", HALF, {50: (53.9, 2.5)}),
        (GSD, "O", "none", {101: (39.8,), 50: (49.4, 4.0), 20: (60.0, 8.5)}),
        (GSD, "O + C", "none", {101: (40.9,), 50: (53.1, 3.9), 20: (63.7, 8.3)}),
        (OURS, "VE", "none", {101: (49.8,), 50: (59.1, 2.7), 20: (72.6, 5.9)}),
        (OURS, "VE + O", "none", {101: (50.9,), 50: (59.4, 3.6), 20: (72.9, 5.9)}),
    ],
    "kinetics400": [
        (("Mettes and Snoek", "ICCV 2017", 2017), "", "none", {400: (6.0,), 100: (10.8, 1.0), 25: (21.8, 3.5)}),
        (("Mettes et al.", "IJCV 129", 2021), "", "none", {400: (6.4,), 100: (11.1, 0.8), 25: (21.9, 3.8)}),
        (("Bretti and Mettes", "BMVC 2021", 2021), "", "none", {400: (9.8,), 100: (18.0, 1.1), 25: (29.7, 5.0)}),
        (GSD, "O", "none", {400: (20.4,), 100: (32.4, 2.4), 25: (49.3, 6.8)}),
        (GSD, "O + C", "none", {400: (19.4,), 100: (35.1, 2.4), 25: (54.6, 6.1)}),
        (OURS, "VE", "none", {400: (21.5,), 100: (38.4, 2.0), 25: (58.1, 4.6)}),
        (OURS, "VE + O", "none", {400: (23.8,), 100: (40.4, 1.7), 25: (58.7, 5.9)}),
    ],
}
"""Tables 1 and 2: work, modality, training, number of classes -> percent and deviation."""

_NOT_STRICT = "so not zero-shot in the strict sense."
_TUNED = f"Fine-tuned on Kinetics-400, whose classes overlap with those tested, {_NOT_STRICT}"
_FROZEN = (
    "Not fine-tuned, but trained on 400 million images and texts from the web, in which any action may occur, "
    f"{_NOT_STRICT}"
)
_OFFICIAL = ("ucf101", 101, "all classes, over the 3 official test splits", False)
_WEB = "web images and texts"
_OTHERS: list[tuple[_Work, str, tuple[str, int, str, bool], tuple[float, ...], str, str]] = [
    (MULTI, "C", ("ucf101", 15, HARD, False), (47.4,), "none", ""),
    (OURS, "VE + O", ("ucf101", 15, HARD, False), (63.3,), "none", ""),
    (OURS, "VE + O", ("ucf101", 15, "15 random classes", True), (70.4, 6.3), "none", "30 runs."),
    (("CLIP B/16, frozen", "Radford et al., ICML 2021", 2021), "", _OFFICIAL, (73.8, 0.6), _WEB, _FROZEN),
    (("X-CLIP", "Ni et al., ECCV 2022", 2022), "", _OFFICIAL, (72.0,), KINETICS, _TUNED),
    (("ViFi-CLIP", "Rasheed et al., CVPR 2023", 2023), "", _OFFICIAL, (76.8,), KINETICS, _TUNED),
    (("Open-VCLIP B/16", "Weng et al., ICML 2023", 2023), "", _OFFICIAL, (83.4, 1.2), KINETICS, _TUNED),
    (("FROSTER B/16", "Huang et al., ICLR 2024", 2024), "", _OFFICIAL, (84.8, 1.1), KINETICS, _TUNED),
    (("TC-CLIP + LLM", "Kim et al., ECCV 2024", 2024), "", _OFFICIAL, (85.4, 0.8), KINETICS, _TUNED),
    (("BIKE L/14", "Wu et al., CVPR 2023", 2023), "", ("ucf101", 50, "50 random classes, 10 splits", True), (86.6, 3.4),
     KINETICS, _TUNED),
]  # fmt: skip
"""Section 5, and later work: work, modality, what was tested (data set, number of classes, protocol, whether these were
drawn at random), percent and deviation, training, note."""


def _rows() -> Iterator[Published]:
    tables = []
    for dataset, table in _TABLES.items():
        for work, modality, training, cells in table:
            for classes, cell in cells.items():
                random = classes < TOTAL[dataset]
                tested = (dataset, classes, f"{classes} random classes" if random else "all classes", random)
                note = "Published without a deviation." if random and len(cell) == 1 else ""
                tables.append((work, modality, tested, cell, training, note))
    for (method, source, year), modality, tested, cell, training, note in [*tables, *_OTHERS]:
        figure = Figure(*(round(number / 100, 6) for number in cell))
        strict = not note.endswith(_NOT_STRICT)
        yield Published(method, modality, source, year, *tested, figure, training, strict, note)


ROWS = tuple(_rows())
"""Everything there is, in the order of the papers' tables."""
