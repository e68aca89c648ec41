"""Results and every form of their tables; published figures against the paper's tables, as they are printed."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cezsar.errors import FormatError
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import Result, SplitResult, load_all, percent
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import HARD_15, parse
from cezsar.zeroshot.published import ROWS, TOTAL, beside, identify
from cezsar.zeroshot.tables import save_all, table


@pytest.fixture
def result():
    runs = [
        SplitResult(["x", "y"], [4, 6], {1: [1, 6], 5: [4, 6]}),
        SplitResult(["y", "z"], [6, 10], {1: [3, 5], 5: [6, 8]}, undecided=2, left_out=4),
    ]
    return Result("2-of-3 x 2", 7, "VE + O", Weights(), runs)


@pytest.fixture
def single(result):
    return Result("all", None, "VE", Weights(1, 0), result.runs[:1], [[1, 3], [0, 6]])


def test_mean_and_deviation_over_runs(result):
    assert result.figure("top1") == pytest.approx((0.6, np.std([0.7, 0.5], ddof=1)))
    assert result.figure("mean_per_class") == pytest.approx((0.5625, np.std([0.625, 0.5], ddof=1)))
    assert result.figure("top5").mean == pytest.approx((1 + 14 / 16) / 2)
    assert list(result.per_class()) == ["x", "z", "y"]  # worst first
    assert result.per_class()["y"] == pytest.approx((0.75, np.std([1, 0.5], ddof=1)))
    assert result.per_class()["x"] == (0.25, None)
    assert (result.chance(1), result.chance(5)) == (0.5, 1)
    assert [percent(0.49849), percent(0.59, 0.0274)] == ["49.8", "59.0 ± 2.7"]


def test_the_table_for_the_screen(result, single):
    other = replace(result, modality="VE", weights=Weights(1, 0))
    assert table([result, other, single]).splitlines() == [
        "protocol 2-of-3 x 2, 2 classes, 10 to 16 clips, 2 runs, seed 7 "
        "(%, mean ± sample standard deviation over runs)",
        "          Top-1 (%)   Top-5 (%) Mean per class (%)    α    β  γ",
        "VE + O  60.0 ± 14.1  93.8 ± 8.8         56.2 ± 8.8  0.8  0.2  0",
        "VE      60.0 ± 14.1  93.8 ± 8.8         56.2 ± 8.8    1    0  0",
        "chance         50.0       100.0               50.0             ",
        "4 answers undecided (no evidence for any class), counted as wrong",
        "",
        "protocol all, 2 classes, 10 clips (%)",
        "       Top-1 (%) Top-5 (%) Mean per class (%)  α  β  γ",
        "VE          70.0     100.0               62.5  1  0  0",
        "chance      50.0     100.0               50.0         ",
    ]


def test_files_of_an_evaluation(tmp_path, result):
    results = [result, replace(result, modality="O | C", method="mine, too")]
    paths = save_all(results, tmp_path / "out" / "result.json")
    assert [path.name for path in paths] == ["result.json", "result.csv", "result.md"]
    assert load_all(paths[0]) == results
    assert parse(str(paths[0]), ["z", "y", "x"]).splits == [["x", "y"], ["y", "z"]]
    value = json.loads(paths[0].read_text())["results"][0]
    assert (value["summary"]["top1"]["mean"], value["std_ddof"], value["runs"][1]["top1"]) == (0.6, 1, 0.5)
    assert paths[1].read_text().splitlines() == [
        "method,protocol,seed,modality,alpha,beta,gamma,run,top1,top5,mean_per_class,chance,clips,undecided,left_out,"
        "classes",
        ",2-of-3 x 2,7,VE + O,0.8,0.2,0.0,1,0.7,1.0,0.625,0.5,10,0,0,x; y",
        ",2-of-3 x 2,7,VE + O,0.8,0.2,0.0,2,0.5,0.875,0.5,0.5,16,2,4,y; z",
        '"mine, too",2-of-3 x 2,7,O | C,0.8,0.2,0.0,1,0.7,1.0,0.625,0.5,10,0,0,x; y',
        '"mine, too",2-of-3 x 2,7,O | C,0.8,0.2,0.0,2,0.5,0.875,0.5,0.5,16,2,4,y; z',
    ]
    assert paths[2].read_text().splitlines() == [
        "| Modality | Top-1 (%) | Top-5 (%) | Mean per class (%) | α | β | γ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| VE + O | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 | 0.8 | 0.2 | 0 |",
        "| mine, too: O \\| C | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 | 0.8 | 0.2 | 0 |",
        "| chance | 50.0 | 100.0 | 50.0 |  |  |  |",
    ]
    empty = '{"cezsar": "results", "version": 1, "results": [{}]}'
    for content, said in (("{}", "should hold results"), (empty, "damaged")):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(FormatError, match=rf"bad\.json.*{said}"):
            load_all(tmp_path / "bad.json")


@pytest.mark.parametrize(("edit", "message"), [
    (lambda v: v.update(version=99), "version 1"), (lambda v: v.pop("runs"), "damaged"),
    (lambda v: v["runs"][0].update(clips=[4]), "damaged"),
])  # fmt: skip
def test_a_result_comes_back_as_it_was_and_one_that_was_changed_is_refused(result, single, edit, message):
    for one in (result, single):
        assert Result.from_dict(json.loads(json.dumps(one.to_dict() | {"extra": 1}))) == one
    value = json.loads(json.dumps(single.to_dict()))
    edit(value)
    with pytest.raises(FormatError, match=message):
        Result.from_dict(value)


LATEX = r"""\begin{table}
\caption{UCF\_101, 50\% of \{all\} $\alpha$}
\label{tab:mine}
\begin{tabular}{lllllll}
\toprule
Method & Modality & Top-1 (\%) & Top-5 (\%) & Mean per class (\%) & Classes & Clips \\
\midrule
a\_b \& 5\% & VE + O & 60.0 $\pm$ 14.1 & 93.8 $\pm$ 8.8 & 56.2 $\pm$ 8.8 & 2 & 10 to 16 \\
x|y & VE & 60.0 $\pm$ 14.1 & 93.8 $\pm$ 8.8 & 56.2 $\pm$ 8.8 & 2 & 10 to 16 \\
chance &  & 50.0 & 100.0 & 50.0 &  &  \\
\bottomrule
\end{tabular}
\end{table}
"""


@pytest.mark.parametrize("first", "=+-@\t\r\n")
def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(first):
    evil, cells = f"{first}1+cmd\r=1", {"a": -0.5, "b": "-0.5", "c": "+1e-07", "d": "-", "e": "a-b", "f": None}
    frame = pd.DataFrame([[-1, -0.25]], index=[evil], columns=[evil, "x"])
    for written, expected in (
        (tables.csv_of([{evil: evil} | cells]), [[evil, *cells], [evil, "-0.5", "-0.5", "+1e-07", "'-", "a-b", ""]]),
        (tables.csv_of(frame, index=True, index_label="of"), [["of", evil, "x"], [evil, "-1", "-0.25"]]),
    ):
        found, shown = list(csv.reader(io.StringIO(written, newline=""))), "'" + evil.replace("\r", "\n")
        assert found == [[shown if cell == evil else cell for cell in row] for row in expected]


def test_tables_for_papers(result):
    own = tables.frame([result, replace(result, modality="VE")], ["a_b & 5%", "x|y"])
    assert tables.latex(own, "UCF_101, 50% of {all} α", "tab:mine") == LATEX
    others = tables.published_frame([row for row in ROWS if row.method == "CEZSAR"][:1])
    lines = tables.markdown(pd.concat([own, others]).fillna("")).splitlines()
    assert lines[3] == "| x\\|y | VE | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 | 2 | 10 to 16 |"
    assert lines[-1] == "| CEZSAR (Estevam et al., ICPR 2026) | VE | 49.8 |  |  | 101 |  |" and len(lines) == 6


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
    assert len(table_1) == 10 + 16 + 6 and len(set(ROWS)) == len(ROWS)  # in the columns for 101, 50 and 20
    table_2 = [row for row in ROWS if row.dataset == "kinetics400"]
    assert (len({(row.method, row.modality) for row in table_2}), len(table_2)) == (7, 21)


def test_what_is_not_zero_shot_says_so_and_every_row_is_a_fraction_with_its_source():
    loose = [row for row in ROWS if not row.strict]
    assert len(loose) == 7 and all("strict sense" in row.note for row in loose)
    assert {row.accuracy.percent() for row in loose if "BIKE" in row.method} == {"86.6 ± 3.4"}
    assert all(0 < row.accuracy.mean < 1 and row.source and row.classes <= TOTAL[row.dataset] for row in ROWS)


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
