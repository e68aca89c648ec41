"""Published figures against the paper's tables, as they are printed, and the look-up."""

from cezsar.zeroshot.protocols import HARD_15
from cezsar.zeroshot.published import ROWS, TOTAL, beside, identify

GSD = "Global Semantic Descriptors"
OURS_AND_GSD = {  # the last four lines of each table, in percent
    ("ucf101", GSD, "O"): {101: "39.8", 50: "49.4 ± 4.0", 20: "60.0 ± 8.5"},
    ("ucf101", GSD, "O + C"): {101: "40.9", 50: "53.1 ± 3.9", 20: "63.7 ± 8.3"},
    ("ucf101", "CEZSAR", "VE"): {101: "49.8", 50: "59.1 ± 2.7", 20: "72.6 ± 5.9"},
    ("ucf101", "CEZSAR", "VE + O"): {101: "50.9", 50: "59.4 ± 3.6", 20: "72.9 ± 5.9"},
    ("kinetics400", GSD, "O"): {400: "20.4", 100: "32.4 ± 2.4", 25: "49.3 ± 6.8"},
    ("kinetics400", GSD, "O + C"): {400: "19.4", 100: "35.1 ± 2.4", 25: "54.6 ± 6.1"},
    ("kinetics400", "CEZSAR", "VE"): {400: "21.5", 100: "38.4 ± 2.0", 25: "58.1 ± 4.6"},
    ("kinetics400", "CEZSAR", "VE + O"): {400: "23.8", 100: "40.4 ± 1.7", 25: "58.7 ± 5.9"},
}


def test_figures_are_the_papers_and_complete():
    for key, cells in OURS_AND_GSD.items():
        found = [row for row in ROWS if (row.dataset, row.method, row.modality) == key]
        assert {row.classes: row.accuracy.percent() for row in found if row.classes != 15} == cells
    table_1 = [row for row in ROWS if row.dataset == "ucf101" and row.strict and row.classes in (101, 50, 20)]
    assert len({(row.method, row.source, row.modality, row.training) for row in table_1}) == 17
    assert len(table_1) == 10 + 16 + 6  # figures in the columns for 101, 50 and 20
    table_2 = [row for row in ROWS if row.dataset == "kinetics400"]
    assert (len({(row.method, row.modality) for row in table_2}), len(table_2)) == (7, 21)
    assert len(set(ROWS)) == len(ROWS)


def test_what_is_not_zero_shot_says_so_and_every_row_is_a_fraction_with_its_source():
    loose = [row for row in ROWS if not row.strict]
    assert len(loose) == 7 and all("strict sense" in row.note for row in loose)
    assert {row.accuracy.percent() for row in loose if "BIKE" in row.method} == {"86.6 ± 3.4"}
    for row in ROWS:
        assert 0 < row.accuracy.mean < 1 and (row.accuracy.std is None or 0 < row.accuracy.std < 0.1)
        assert row.source and row.classes <= TOTAL[row.dataset]


def test_figures_stand_beside_the_same_number_of_classes_drawn_in_the_same_way():
    spelt = {
        "UCF-101": "ucf101", "/videos/UCF101/": "ucf101", "ucf101_dataset.json": "ucf101", "demo": "",
        "kinetics_400": "kinetics400", "K400": "kinetics400", "kinetics-600": "", "": "",
    }  # fmt: skip
    assert {text: identify(text) for text in spelt} == spelt
    names = [f"class {index}" for index in range(101)]
    whole, halves = beside("UCF-101", 101, [names]), beside("UCF-101", 101, [names[:50]] * 10)
    assert whole and all(not row.random and row.classes == 101 for row in whole)
    assert halves and all(row.random and row.classes == 50 for row in halves)
    assert beside("UCF-101", 101, [names[:50]]) == []  # given classes, not drawn ones
    assert beside("UCF-101", 100, [names[:50]] * 10) == []  # a class is missing
    hard = [name.upper().replace(" ", "_") for name in HARD_15]  # compared with themselves only
    assert [row.accuracy.percent() for row in beside("ucf101", 101, [hard])] == ["47.4", "63.3"]
    assert [row.accuracy.percent() for row in beside("ucf101", 101, [list(HARD_15)] * 30)] == ["70.4 ± 6.3"]
