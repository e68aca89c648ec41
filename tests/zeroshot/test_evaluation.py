"""Accuracies against plain loops and scikit-learn, on random and on adversarial scores."""

import csv
import io
import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from cezsar.errors import FormatError, InputError
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import Result, Run, confusion_matrix, evaluate, evaluate_each, evaluate_parts, table
from cezsar.zeroshot.fusion import Weights, fuse
from cezsar.zeroshot.protocols import Protocol, all_classes, parse, random_classes
from cezsar.zeroshot.results import Figure, load_all, save_all
from cezsar.zeroshot.scores import Scores


def make(matrix, labels=None, classes=None, column_class=None, **others):
    """Scores of one modality, VE, from a matrix and class indices (None: no label)."""
    matrix = np.asarray(matrix, np.float32)
    names = [f"c{i:02}" for i in range(classes or matrix.shape[1])]
    labels = [len(names) and i % len(names) for i in range(len(matrix))] if labels is None else labels
    spelt = ["" if label is None else names[label] for label in labels]
    ids = [str(i) for i in range(len(matrix))]
    return Scores(ids, spelt, names, {"VE": matrix} | others, column_class=column_class)


def random_scores(seed, n=300, classes=9, levels=None, sentences=1, unlabelled=0.1):
    """Random scores in two modalities; few `levels` make ties, and rows and columns of zeros."""
    rng = np.random.default_rng(seed)

    def draw():
        shape = (n, classes * sentences)
        values = rng.normal(size=shape) if levels is None else rng.integers(levels, size=shape) - levels // 3
        values = values * (rng.random((n, 1)) > 0.1)
        return values.astype(np.float32)

    labels = [None if rng.random() < unlabelled else int(rng.integers(classes)) for _ in range(n)]
    owner = np.repeat(np.arange(classes), sentences)
    return make(draw(), labels, classes, owner, O=draw())


def loop_run(scores, weights, names, ks):
    """One run, clip by clip and class by class, from the definitions."""
    index = [scores.class_names.index(name) for name in names]
    clips, hits = [0] * len(names), {k: [0] * len(names) for k in ks}
    confusion = [[0] * len(names) for _ in names]
    undecided = left_out = 0
    for row, label in enumerate(scores.labels):
        if label not in names:
            left_out += 1
            continue
        true = names.index(label)
        clips[true] += 1
        fused = {}
        for c in index:
            sums = []
            for p in np.flatnonzero(scores.column_class == c):
                ve, o = scores.columns["VE"][row, p], scores.columns["O"][row, p]
                sums.append(np.float32(ve * np.float32(weights.alpha)) + np.float32(o * np.float32(weights.beta)))
            fused[c] = max(sums)
        if all(value == 0 for value in fused.values()):
            undecided += 1
            continue
        order = sorted(fused, key=lambda c: (-fused[c], c))
        for k in ks:
            hits[k][true] += index[true] in order[:k]
        confusion[true][index.index(order[0])] += 1
    return Run(names, clips, hits, undecided, left_out), confusion


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [None, 2, 3])
@pytest.mark.parametrize("sentences", [1, 2])
def test_runs_are_those_of_the_plain_loop(seed, levels, sentences):
    scores = random_scores(seed, levels=levels, sentences=sentences)
    rng = np.random.default_rng(seed)
    weights = Weights(0.75, 0.25) if seed % 2 else Weights(1, 1)
    splits = [[scores.class_names[c] for c in rng.permutation(9)[:k]] for k in (9, 4, 4, 2, 1)]
    result = evaluate(scores, Protocol("mixed", splits), weights, topk=(1, 3, 5))
    for names, run in zip(splits, result.runs, strict=True):
        expected, confusion = loop_run(scores, weights, names, (1, 3, 5))
        assert run == expected
        single = evaluate(scores, Protocol("one", [names]), weights, topk=(5, 3))
        assert single.runs == [run]
        assert single.confusion == confusion == confusion_matrix(scores, weights, names).tolist()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("n", [1, 7, 3_000, 70_000])
def test_figures_are_those_of_sklearn(n):
    rng = np.random.default_rng(n)
    scores = make(rng.normal(size=(n, 11)), rng.integers(11, size=n).tolist(), O=rng.normal(size=(n, 11)))
    result = evaluate(scores, all_classes(scores.class_names), Weights(), topk=(1, 2, 5))
    true, fused = scores.label_index, fuse(scores, Weights())
    predicted = fused.argmax(1)
    assert result.runs[0].top1 == pytest.approx(accuracy_score(true, predicted))
    assert result.runs[0].mean_per_class == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-12)
    for k in (2, 5):
        assert result.runs[0].accuracy(k) == pytest.approx(top_k_accuracy_score(true, fused, k=k, labels=range(11)))
    np.testing.assert_array_equal(result.confusion, sklearn_confusion(true, predicted, labels=range(11)))


def test_splits_are_those_of_sklearn():
    scores = random_scores(3, n=2_000, unlabelled=0)
    fused = fuse(scores, Weights())
    scores = make(fused, scores.label_index.tolist())
    result = evaluate(scores, random_classes(scores.class_names, 5, 20, 1), Weights.only("VE"))
    for run in result.runs:
        columns = sorted(scores.class_names.index(name) for name in run.classes)
        rows = np.isin(scores.label_index, columns) & fused[:, columns].any(1)  # sklearn does not know undecided clips
        true, predicted = scores.label_index[rows], np.array(columns)[fused[rows][:, columns].argmax(1)]
        n_hits = accuracy_score(true, predicted, normalize=False)
        assert run.top1 == pytest.approx(n_hits / (rows.sum() + run.undecided))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # k = number of classes is of no use, sklearn says
            assert run.top5 * run.n_clips == pytest.approx(
                top_k_accuracy_score(true, fused[rows][:, columns], k=5, labels=columns, normalize=False)
            )


def test_of_equal_scores_the_lowest_class_stands_first():
    scores = make(np.ones((3, 3)), [0, 1, 2])
    run = evaluate(scores, all_classes(scores.class_names), topk=(1, 2, 3)).runs[0]
    assert run.hits == {1: [1, 0, 0], 2: [1, 1, 0], 3: [1, 1, 1]}
    turned = evaluate(scores, Protocol("turned", [["c02", "c01"]]), topk=(1, 2)).runs[0]
    assert turned.classes == ["c02", "c01"]
    assert turned.hits == {1: [0, 1], 2: [1, 1]}  # index in the class names decides, not the place in the split


def test_scores_that_are_all_zero_decide_nothing():
    scores = make([[0, 0, 0], [0, 1, 2], [0, 0, 3], [-1, -1, 0]], [0, 1, 0, 2])
    run = evaluate(scores, all_classes(scores.class_names)).runs[0]
    assert (run.undecided, run.hits[1], run.hits[5]) == (1, [0, 0, 1], [1, 1, 1])
    among_two = evaluate(scores, Protocol("two", [["c00", "c01"]]))
    assert among_two.runs[0] == Run(["c00", "c01"], [2, 1], {1: [0, 1], 5: [0, 1]}, 2, 1)
    assert among_two.confusion == [[0, 0], [0, 1]]


def test_one_class_and_one_clip():
    result = evaluate(make([[0.3]], [0]), Protocol("one", [["C_00"]]))
    assert (result.runs[0].top1, result.runs[0].top5, result.runs[0].mean_per_class) == (1, 1, 1)
    assert result.chance() == 1
    assert result.figure().std is None


def test_classes_without_clips_are_named_and_not_in_the_mean():
    scores = make([[1, 0, 0], [1, 0, 0], [1, 2, 0], [0, 1, 0]], [0, 0, 1, 0])
    run = evaluate(scores, all_classes(scores.class_names)).runs[0]
    assert run.empty_classes == ["c02"]
    assert run.per_class() == {"c00": 2 / 3, "c01": 1}
    assert run.mean_per_class == pytest.approx((2 / 3 + 1) / 2)
    assert run.chance() == pytest.approx(1 / 3)  # it can still be predicted
    assert "1 classes without clips, not in the per-class mean: c02" in table(
        [evaluate(scores, all_classes(["c00", "c01", "c02"]))]
    )


def test_clips_of_other_classes_are_left_out_and_counted():
    scores = Scores(list("abcd"), ["x", "", "unheard of", "y"], ["x", "y"], {"VE": np.eye(4, 2) + 1})
    run = evaluate(scores, Protocol("x", [["x"]])).runs[0]
    assert (run.n_clips, run.left_out) == (1, 3)
    assert confusion_matrix(scores, Weights()).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "protocol", "topk", "message"),
    [
        ([0, 1], Protocol("p", [["c00", "c1"]]), (1,), "'c1' is none of the 3 classes; did you mean"),
        ([0, 1], Protocol("p", [["c00"], ["c02"]]), (1,), "run 2 of protocol 'p': no clip is labelled"),
        ([None, None], all_classes(["c00"]), (1,), "no clip is labelled"),
        ([0, 1], all_classes(["c00"]), (0, 1), "k is a whole number from 1"),
        ([0, 1], all_classes(["c00"]), (), "k is a whole number from 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(labels, protocol, topk, message):
    with pytest.raises(InputError, match=message):
        evaluate(make(np.ones((2, 3)), labels), protocol, topk=topk)
    with pytest.raises(InputError, match="no clip is labelled"):
        evaluate(make(np.ones((0, 3)), []), all_classes(["c00"]))


def test_scores_are_not_changed():
    scores = random_scores(1)
    before = {name: matrix.copy() for name, matrix in scores.columns.items()}
    evaluate_each(scores, random_classes(scores.class_names, 4, 5))
    for name, matrix in before.items():
        np.testing.assert_array_equal(scores.columns[name], matrix)


def test_each_modality_alone_then_fused():
    scores = random_scores(2)
    results = evaluate_each(scores, all_classes(scores.class_names), Weights(0.6, 0.4))
    assert [result.modality for result in results] == ["VE", "O", "VE + O"]
    assert [result.weights for result in results] == [Weights.only("VE"), Weights.only("O"), Weights(0.6, 0.4)]
    assert [r.modality for r in evaluate_each(scores, all_classes(scores.class_names), Weights(1, 0))] == ["VE", "O"]


# Views and files -------------------------------------------------------------------------------------------------


@pytest.fixture
def result():
    runs = [
        Run(["x", "y"], [4, 6], {1: [1, 6], 5: [4, 6]}),
        Run(["y", "z"], [6, 10], {1: [3, 5], 5: [6, 8]}, undecided=2, left_out=4),
    ]
    return Result("2-of-3 x 2", 7, "VE + O", Weights(), runs)


def test_mean_and_deviation_over_runs(result):
    assert result.figure("top1") == pytest.approx((0.6, np.std([0.7, 0.5], ddof=1)))
    assert result.figure("mean_per_class") == pytest.approx((0.5625, np.std([0.625, 0.5], ddof=1)))
    assert result.figure("top5").mean == pytest.approx((1 + 14 / 16) / 2)
    assert list(result.per_class()) == ["x", "z", "y"]  # worst first
    assert result.per_class()["y"] == pytest.approx((0.75, np.std([1, 0.5], ddof=1)))
    assert result.per_class()["x"] == (0.25, None)
    assert (result.chance(1), result.chance(5)) == (0.5, 1)
    with pytest.raises(InputError, match="'top3' was not counted; there are top1, top5, mean_per_class"):
        result.figure("top3")
    with pytest.raises(InputError, match="top-3 was not counted; there are top-1, top-5"):
        result.runs[0].accuracy(3)


def test_markdown_is_in_percent(result):
    assert result.markdown_row() == "| VE + O | 2-of-3 x 2 | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 |"
    single = Result("all", None, "VE", Weights(1, 0), result.runs[:1])
    assert single.markdown_row() == "| VE | all | 70.0 | 100.0 | 62.5 |"
    header = result.markdown_header().splitlines()
    assert [line.count("|") for line in header] == [6, 6]


def test_table_has_rows_and_chance(result):
    lines = table([result, replace(result, modality="VE", weights=Weights(1, 0))]).splitlines()
    assert lines[0].startswith("protocol 2-of-3 x 2, 2 classes, 10 to 16 clips, 2 runs, seed 7 (%, mean ±")
    assert lines[2].split() == [
        "VE",
        "+",
        "O",
        "60.0",
        "±",
        "14.1",
        "93.8",
        "±",
        "8.8",
        "56.2",
        "±",
        "8.8",
        "0.8",
        "0.2",
        "0",
    ]
    assert lines[4].split() == ["chance", "50.0", "100.0", "50.0"]
    assert lines[5].startswith("4 answers undecided")
    assert len({line.index("8.8") for line in lines[2:4]}) == 1
    assert table([]) == "no results"
    other = Result("all", None, "VE", Weights(1, 0), result.runs[:1])
    assert table([result, other]).count("chance") == 2


def test_csv_has_a_line_a_run_and_a_line_a_class(result):
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert [float(row["top1"]) for row in rows] == [0.7, 0.5]
    assert (rows[1]["classes"], rows[1]["undecided"], rows[1]["left_out"], rows[1]["clips"]) == ("y; z", "2", "4", "16")
    rows = list(csv.DictReader(io.StringIO(result.per_class_csv())))
    assert [(row["run"], row["class"], row["top1_hits"], row["accuracy"]) for row in rows] == [
        ("1", "x", "1", "0.25"), ("1", "y", "6", "1.0"), ("2", "y", "3", "0.5"), ("2", "z", "5", "0.5"),
    ]  # fmt: skip


def test_json_comes_back_as_it_was(result):
    assert Result.from_json(result.to_json()) == result
    value = json.loads(result.to_json())
    assert value["summary"]["top1"]["mean"] == pytest.approx(0.6)
    assert value["std_ddof"] == 1
    assert value["runs"][1]["top1"] == 0.5
    scores = random_scores(4)
    single = evaluate(scores, all_classes(scores.class_names))
    assert Result.from_json(single.to_json()) == single
    assert Result.from_dict(single.to_dict() | {"extra": 1}) == single


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.update(version=99), "version 1"),
        (lambda v: v.pop("cezsar"), "version 1"),
        (lambda v: v.pop("runs"), "damaged"),
        (lambda v: v.update(runs=[]), "at least one run"),
        (lambda v: v.update(runs={}), "runs has the wrong type"),
        (lambda v: v.update(protocol=3), "protocol has the wrong type"),
        (lambda v: v.update(seed="7"), "seed has the wrong type"),
        (lambda v: v["weights"].update(alpha=-1), "not all zero"),
        (lambda v: v["weights"].update(delta=1), "damaged"),
        (lambda v: v["summary"]["top1"].update(mean=0.99), "top1 of the result does not follow"),
        (lambda v: v["runs"][0].update(top1=0.99), "top1 of a run does not follow"),
        (lambda v: v["runs"][0]["hits"].update({"1": [5, 6]}), "more hits than clips"),
        (lambda v: v["runs"][0]["hits"].update({"5": [0, 6]}), "fewer for a larger k"),
        (lambda v: v["runs"][0]["hits"].pop("1"), "k = 1"),
        (lambda v: v["runs"][0]["hits"].pop("5"), "same k"),
        (lambda v: v["runs"][0]["hits"].update({"0": [0, 0]}), "k = 1"),
        (lambda v: v["runs"][0].update(clips=[4]), "one number of clips"),
        (lambda v: v["runs"][0].update(clips=[4, 6.5]), "whole numbers"),
        (lambda v: v["runs"][0].update(clips=[0, 0], hits={"1": [0, 0], "5": [0, 0]}), "no clips"),
        (lambda v: v["runs"][0].update(classes=["x", "x"]), "classes should differ"),
        (lambda v: v["runs"][0].update(undecided=9), "more undecided"),
        (lambda v: v["runs"][0].update(undecided=-1), "whole numbers"),
        (lambda v: v.update(confusion=[[1, 0], [0, 6]]), "single run"),
    ],
)
def test_results_that_were_changed_are_refused(result, edit, message):
    value = json.loads(result.to_json())
    edit(value)
    with pytest.raises(FormatError, match=message):
        Result.from_json(json.dumps(value))


@pytest.mark.parametrize(
    "confusion", [[[1, 3], [0, 5]], [[1, 4], [0, 6]], [[1], [0, 6]], [[1, 0]], [], [[1, 0, 0], [0, 6, 0]]]
)
def test_confusion_has_to_agree_with_the_counts(result, confusion):
    with pytest.raises(InputError, match="confusion"):
        Result("all", None, "VE", Weights(), result.runs[:1], confusion)


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", "[" * 100_000])
def test_text_that_is_no_result_is_refused(text):
    with pytest.raises(FormatError, match="evaluate again"):
        Result.from_json(text)


def test_results_of_one_evaluation_in_files(tmp_path, result):
    results = [result, replace(result, modality="O | C")]
    paths = save_all(results, tmp_path / "out" / "result.json")
    assert [path.name for path in paths] == ["result.json", "result.csv", "result.md"]
    assert load_all(paths[0]) == results
    rows = list(csv.DictReader(paths[1].open()))
    assert [row["modality"] for row in rows] == ["VE + O", "VE + O", "O | C", "O | C"]
    assert paths[2].read_text().splitlines()[3].startswith("| O \\| C |")
    with pytest.raises(InputError, match="suffix"):
        save_all(results, tmp_path / "result.csv")
    with pytest.raises(InputError, match="no results"):
        save_all([], tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(FormatError, match="holds no results"):
        load_all(tmp_path / "other.json")
    (tmp_path / "bad.json").write_text('{"cezsar": "results", "results": [{}]}')
    with pytest.raises(FormatError, match=r"bad\.json: this is no result"):
        load_all(tmp_path / "bad.json")


@pytest.fixture
def blocks(result):
    own = [tables.line("a_b & 5%", result), tables.line("x|y", replace(result, modality="VE"))]
    published = tables.Line("Others [9]", "O + C", {"top1": Figure(0.409, None)}, "101")
    return [own, [tables.chance_line(result)], [published]]


def test_lines_hold_figures_and_sizes(result):
    line = tables.line("mine", result)
    assert (line.method, line.modality, line.classes, line.clips) == ("mine", "VE + O", "2", "10 to 16")
    assert line.figures == {name: result.figure(name) for name in ("top1", "top5", "mean_per_class")}
    chance = tables.chance_line(result)
    assert {name: figure.mean for name, figure in chance.figures.items()} == {
        "top1": 0.5,
        "top5": 1.0,
        "mean_per_class": 0.5,
    }


def test_tables_of_several_results_in_markdown(blocks):
    lines = tables.markdown(blocks).splitlines()
    assert lines == [
        "| Method | Modality | Top-1 (%) | Top-5 (%) | Mean per class (%) | Classes | Clips |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| a_b & 5% | VE + O | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 | 2 | 10 to 16 |",
        "| x\\|y | VE | 60.0 ± 14.1 | 93.8 ± 8.8 | 56.2 ± 8.8 | 2 | 10 to 16 |",
        "| chance |  | 50.0 | 100.0 | 50.0 | 2 |  |",
        "| Others [9] | O + C | 40.9 |  |  | 101 |  |",
    ]


def test_tables_of_several_results_in_latex(blocks):
    lines = tables.latex(blocks, "UCF_101, 50% of {all} ~ α", "tab:mine").splitlines()
    assert r"  \caption{UCF\_101, 50\% of \{all\} \textasciitilde{} $\alpha$}" in lines
    assert r"  \label{tab:mine}" in lines
    assert lines[5] == r"  \begin{tabular}{llrrrrr}"
    rows = [line.strip() for line in lines if line.endswith(r"\\")]
    assert [row.count(" & ") for row in rows] == [6] * 5
    assert rows[1].startswith(r"a\_b \& 5\% & VE + O & $60.0 \pm 14.1$ & $93.8 \pm 8.8$ &")
    assert rows[-1] == r"Others [9] & O + C & $40.9$ & -- & -- & 101 &  \\"
    assert [line.strip() for line in lines].count(r"\midrule") == 3
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", "".join(lines)) for word in ("begin", "end"))
    assert begun == ended[::-1] == ["table", "tabular"]
    with pytest.raises(InputError, match="cannot be referred to"):
        tables.latex(blocks, label="a}b")


def test_several_results_as_csv_and_json(tmp_path, result):
    other = replace(result, modality="VE", weights=Weights(1, 0))
    rows = list(csv.DictReader(io.StringIO(tables.to_csv([("a, b", result), ("c", other)]))))
    assert [(row["method"], row["modality"], row["run"]) for row in rows] == [
        ("a, b", "VE + O", "1"),
        ("a, b", "VE + O", "2"),
        ("c", "VE", "1"),
        ("c", "VE", "2"),
    ]
    assert [float(row["top1"]) for row in rows] == [0.7, 0.5, 0.7, 0.5]
    path = tmp_path / "results.json"
    path.write_text(tables.to_json([("a, b", result), ("c", other)]))
    assert load_all(path) == [replace(result, method="a, b"), replace(other, method="c")]
    assert [entry["method"] for entry in json.loads(path.read_text())["results"]] == ["a, b", "c"]
    assert parse(str(path), ["z", "y", "x"]).splits == [["x", "y"], ["y", "z"]]


def test_official_parts_are_runs_of_all_classes():
    rng = np.random.default_rng(5)
    names = ["a", "b", "c"]
    labels = [names[c] for c in rng.integers(3, size=30)]
    matrix = rng.normal(size=(30, 3)).astype(np.float32)
    scores = Scores([f"clip {n}" for n in range(30)], labels, names, {"VE": matrix})
    parts = {"test1": [f"clip {n}" for n in range(12)], "test2": [f"clip {n}" for n in range(12, 30)] + ["gone"]}
    (result,) = evaluate_each(scores, parts, Weights(1, 0))
    expected = []
    for rows in (range(12), range(12, 30)):
        expected.append(np.mean([names[int(matrix[row].argmax())] == labels[row] for row in rows]))
    assert [run.top1 for run in result.runs] == pytest.approx(expected)
    assert result.figure().std == pytest.approx(np.std(expected, ddof=1)) and result.protocol == "official test splits"
    with pytest.raises(InputError, match="no official parts"):
        evaluate_parts(scores, {})
