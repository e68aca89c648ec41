"""What others have published: figures to stand beside one's own, with what they were trained on.

Tables 1 and 2 and Section 5 of Estevam et al. (CEZSAR, ICPR 2026), and some rows of later work. Figures are fractions
in [0, 1]; what follows "±" is as published, over random choices of classes or over official test splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cezsar.data.labels import canonical
from cezsar.zeroshot.protocols import HARD_15
from cezsar.zeroshot.results import Figure

TITLES = {"ucf101": "UCF-101", "kinetics400": "Kinetics-400"}
TOTAL = {"ucf101": 101, "kinetics400": 400}
"""Data set -> its number of classes."""


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        method: as tables name it.
        modality: "VE", "O", "O + C", "VE + O"; "" where that is not the question.
        source: authors and venue.
        dataset: a key of `TITLES`.
        classes: tested at a time.
        protocol: in words.
        random: the classes were drawn at random, several times.
        accuracy: top-1.
        training: the classes with labels that it was trained on, in words.
        strict: zero-shot in the strict sense: nothing that is tested was trained on with its label.
        note: what to know before comparing.
    """

    method: str
    modality: str
    source: str
    year: int
    dataset: str
    classes: int
    protocol: str
    random: bool
    accuracy: Figure
    training: str
    strict: bool = True
    note: str = ""


def identify(dataset: str) -> str:
    """The key of a data set in any spelling, or within the name of a file or folder; "" if nothing is published here.

    "UCF-101", "ucf101_dataset.json" and "/videos/UCF101/" are one.
    """
    squeezed = canonical(dataset).replace("-", "").replace("/", "").replace("k400", "kinetics400")
    return next((key for key in TITLES if key in squeezed), "")


def beside(dataset: str, n_classes: int, splits: Sequence[Sequence[str]]) -> list[Published]:
    """Published figures that may stand beside one's own, in the order of the papers' tables.

    One run (given classes) is compared with one, several random ones with several; how many need not be the same. The
    figures for the hard-15 stand beside these very classes only.

    Args:
        dataset: in any spelling that `identify` knows.
        n_classes: of the data set that one has; none stand beside a part of it.
        splits: the classes of each run of one's protocol; none stand beside runs of several sizes.
    """
    key, sizes = identify(dataset), {len(names) for names in splits}
    if TOTAL.get(key) != n_classes or len(sizes) > 1:
        return []
    hard = {canonical(name) for name in splits[0]} == {canonical(name) for name in HARD_15}
    return [
        row
        for row in ROWS
        if (row.dataset, row.classes, row.random) == (key, *sizes, len(splits) > 1) and (hard or row.protocol != HARD)
    ]


# Tables 1 and 2 ------------------------------------------------------------------------------------------------------

HARD = "hard-15"
OURS = ("CEZSAR", "Estevam et al., ICPR 2026", 2026)
GSD = ("Global Semantic Descriptors", "Estevam et al., IEEE SPL 29", 2022)
HALF_UCF = "51 of UCF-101"
ALL, FEW = "all classes", "random classes"

_Cell = tuple[float, float | None]
_Table = tuple[tuple[str, str, int], str, str, dict[int, _Cell]]

_TABLE_1: list[_Table] = [
    (("Mettes and Snoek", "ICCV 2017", 2017), "", "none", {101: (32.8, None), 50: (40.4, 1.0), 20: (51.2, 5.0)}),
    (("Mettes et al.", "IJCV 129", 2021), "", "none", {101: (36.3, None), 50: (47.3, None), 20: (61.1, None)}),
    (("Kim et al.", "DASZL, AAAI 2021", 2021), "", HALF_UCF, {50: (48.9, 5.8)}),
    (("Chen and Huang", "ICCV 2021", 2021), "", HALF_UCF, {50: (51.8, 2.9)}),
    (("Brattoli et al.", "CVPR 2020", 2020), "", "664", {101: (39.8, None), 50: (48.0, None)}),
    (("Huang et al.", "VISAPP 2022", 2022), "", HALF_UCF, {50: (46.4, 3.1)}),
    (("Kerrigan et al.", "NeurIPS 2021", 2021), "", "664", {101: (40.1, None), 50: (49.2, None)}),
    (("Doshi et al.", "WACV 2024", 2024), "", "595", {101: (45.0, None)}),
    (("Huang et al.", "SN Computer Science 4", 2023), "", HALF_UCF, {50: (45.9, 3.4)}),
    (("ZSARCAP", "Estevam et al., MTAP 83", 2024), "C", "none", {50: (49.0, 3.5)}),
    (("Lin et al.", "CVPR 2022", 2022), "", "664", {50: (58.7, 3.3)}),
    (("Lin et al.", "CVPR 2022", 2022), "", "605", {101: (46.7, None), 50: (55.9, None)}),
    (("CLASTER", "Gowda et al., ECCV 2022", 2022), "", HALF_UCF, {50: (53.9, 2.5)}),
    (GSD, "O", "none", {101: (39.8, None), 50: (49.4, 4.0), 20: (60.0, 8.5)}),
    (GSD, "O + C", "none", {101: (40.9, None), 50: (53.1, 3.9), 20: (63.7, 8.3)}),
    (OURS, "VE", "none", {101: (49.8, None), 50: (59.1, 2.7), 20: (72.6, 5.9)}),
    (OURS, "VE + O", "none", {101: (50.9, None), 50: (59.4, 3.6), 20: (72.9, 5.9)}),
]

_TABLE_2: list[_Table] = [
    (("Mettes and Snoek", "ICCV 2017", 2017), "", "none", {400: (6.0, None), 100: (10.8, 1.0), 25: (21.8, 3.5)}),
    (("Mettes et al.", "IJCV 129", 2021), "", "none", {400: (6.4, None), 100: (11.1, 0.8), 25: (21.9, 3.8)}),
    (("Bretti and Mettes", "BMVC 2021", 2021), "", "none", {400: (9.8, None), 100: (18.0, 1.1), 25: (29.7, 5.0)}),
    (GSD, "O", "none", {400: (20.4, None), 100: (32.4, 2.4), 25: (49.3, 6.8)}),
    (GSD, "O + C", "none", {400: (19.4, None), 100: (35.1, 2.4), 25: (54.6, 6.1)}),
    (OURS, "VE", "none", {400: (21.5, None), 100: (38.4, 2.0), 25: (58.1, 4.6)}),
    (OURS, "VE + O", "none", {400: (23.8, None), 100: (40.4, 1.7), 25: (58.7, 5.9)}),
]

# Section 5, and later work -------------------------------------------------------------------------------------------

_TUNED = "Fine-tuned on Kinetics-400, whose classes overlap with those tested, so not zero-shot in the strict sense."
_FROZEN = (
    "Not fine-tuned, but trained on 400 million images and texts from the web, in which any action may occur, so not "
    "zero-shot in the strict sense."
)
_OFFICIAL = "all classes, over the 3 official test splits"

_CLIP_ERA: list[tuple[str, str, int, _Cell, str, str]] = [
    ("CLIP B/16, frozen", "Radford et al., ICML 2021", 2021, (73.8, 0.6), "web images and texts", _FROZEN),
    ("X-CLIP", "Ni et al., ECCV 2022", 2022, (72.0, None), "400 of Kinetics-400", _TUNED),
    ("ViFi-CLIP", "Rasheed et al., CVPR 2023", 2023, (76.8, None), "400 of Kinetics-400", _TUNED),
    ("Open-VCLIP B/16", "Weng et al., ICML 2023", 2023, (83.4, 1.2), "400 of Kinetics-400", _TUNED),
    ("FROSTER B/16", "Huang et al., ICLR 2024", 2024, (84.8, 1.1), "400 of Kinetics-400", _TUNED),
    ("TC-CLIP + LLM", "Kim et al., ECCV 2024", 2024, (85.4, 0.8), "400 of Kinetics-400", _TUNED),
]


def _figure(cell: _Cell) -> Figure:
    mean, std = cell
    return Figure(round(mean / 100, 6), None if std is None else round(std / 100, 6))


def _of_table(dataset: str, table: list[_Table]) -> Iterator[Published]:
    for (method, source, year), modality, training, cells in table:
        for classes, cell in cells.items():
            random = classes < TOTAL[dataset]
            note = "" if cell[1] is not None or not random else "Published without a deviation."
            protocol = f"{classes} {FEW}" if random else ALL
            yield Published(
                method, modality, source, year, dataset, classes, protocol, random, _figure(cell), training, note=note
            )


def _of_text() -> Iterator[Published]:
    method, source, year = OURS
    hard = ("ucf101", len(HARD_15), HARD, False)
    yield Published("ZSARCAP", "C", "Estevam et al., MTAP 83", 2024, *hard, _figure((47.4, None)), "none")
    yield Published(method, "VE + O", source, year, *hard, _figure((63.3, None)), "none")
    yield Published(
        method, "VE + O", source, year, "ucf101", 15, f"15 {FEW}", True, _figure((70.4, 6.3)), "none", note="30 runs."
    )
    for name, venue, when, cell, training, note in _CLIP_ERA:
        yield Published(
            name, "", venue, when, "ucf101", 101, _OFFICIAL, False, _figure(cell), training, strict=False, note=note
        )
    yield Published(
        "BIKE L/14", "", "Wu et al., CVPR 2023", 2023, "ucf101", 50, f"50 {FEW}, 10 splits", True,
        _figure((86.6, 3.4)), "400 of Kinetics-400", strict=False, note=_TUNED,
    )  # fmt: skip


ROWS: tuple[Published, ...] = (*_of_table("ucf101", _TABLE_1), *_of_table("kinetics400", _TABLE_2), *_of_text())
"""Everything there is, in the order of the papers' tables."""
