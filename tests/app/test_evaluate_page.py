"""Evaluate, through the app's entry: its figures are those of the engine called directly."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import open_page
from streamlit.typing import PlotlyState

from app import state
from app.evaluate import asking, differences, scoring, splits, unknown
from app.evaluate import rows as made
from app.parts import models, scored
from cezsar import jobs
from cezsar.analysis.calibration import calibration_error, fit, reliability_at
from cezsar.analysis.comparison import CLASS_COLUMNS, Interval, compare
from cezsar.analysis.open_set import SHARES_S, simulate
from cezsar.data.datasets import file_name
from cezsar.data.features import StoreWriter
from cezsar.data.labels import groups_path, keep_group
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.report import figures
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import confusion_matrix, correctness, evaluate, load_all
from cezsar.zeroshot.fusion import Weights, cosine
from cezsar.zeroshot.hubness_reduction import REDUCTIONS, reduced
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.rejection import KINDS
from cezsar.zeroshot.scored import Scored

SHIPPED = models.SHIPPED
CLASSES = ["kicking a drum", "kicking a box", "throwing a bucket"]
VE, O = Weights.only("VE"), Weights.only("O")  # noqa: E741


@pytest.fixture(scope="module")
def demo():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def demo_scores(demo):
    return demo.scores()


@pytest.fixture(scope="module")
def halves(demo_scores):
    return random_classes(demo_scores.class_names, 10, 50, 0)


def plain(value):
    """A text of the page without markup."""
    return re.sub(r":gray\[|\]|\*\*|\\", "", str(value)).replace("\N{NO-BREAK SPACE}", " ")


def table(page, head):
    """Rows of the first table that has this column, without markup."""
    frame = next(element.value for element in page.table if head in element.value.columns)
    return [{key: plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def rows_on(page):
    """The table: {(run, modality): cells by column}."""
    return {(row["Run"], row["Modality"]): row for row in table(page, "Run")}


def text(page):
    kinds = ("markdown", "subheader", "caption", "warning", "info")
    return plain(" ".join(str(element.value) for kind in kinds for element in page.get(kind)))


def shown(page):
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def expect(page, key, result):
    row = rows_on(page)[key]
    assert row["Top-1 (%)"] == result.figure("top1").percent()
    assert row["Top-5 (%)"] == result.figure("top5").percent()
    assert row["Mean per class (%)"] == result.figure("mean_per_class").percent()


def measured_controls(page, name):
    """The rows that the shipped demo measured itself."""
    measured = {row.modality: row for row in load_all(SHIPPED / "runs" / "demo" / "results" / f"{name}.json")}
    for key in (("place oracle", ""), ("colour only", ""), ("demo", "VE + O")):
        expect(page, key, measured[key[1] or key[0]])


def metrics(page):
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def points(fraction):
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def chart(page, number):
    return json.loads(page.get("plotly_chart")[number].proto.spec)


def numbers(values):
    """A trace's coordinates, however plotly wrote them."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return values


def paired(protocol, *both):
    """`compare` of two (name, scores, weights)."""
    a, b = ((name, correctness(scores, protocol, weights)) for name, scores, weights in both)
    return compare(a, b, np.random.default_rng(0))


def test_a_first_visit_shows_random_halves_of_the_shipped_demo(empty_workspace, demo, demo_scores, halves, monkeypatch):
    later = ((differences, "all_against"), (differences, "reached"), (unknown, "simulated"), (unknown, "trust"))
    for module, function in later:
        monkeypatch.setattr(module, function, lambda *given: pytest.fail("computed before it is asked for"))
    page = shown(open_page("evaluate"))
    expect(page, ("demo", "VE"), evaluate(demo_scores, halves, VE))
    expect(page, ("demo", "O"), evaluate(demo_scores, halves, O))
    expect(page, ("demo", "VE + O"), evaluate(demo_scores, halves, demo.weights))
    measured_controls(page, "demo 10-of-21 x 50")
    assert rows_on(page)["chance", ""]["Top-1 (%)"] == "10.0"
    assert len(page.get("plotly_chart")) == 3
    assert page.segmented_control(key=state.LOOK).value == "splits" and not page.metric
    assert len(page.table) == 1 + 4  # and what the paper reports
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON", "Markdown", "LaTeX"]


def test_all_classes_have_their_bars_and_confusion(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate", protocol="All", row="demo: VE"))
    result = evaluate(demo_scores, all_classes(demo_scores.class_names), VE)
    expect(page, ("demo", "VE"), result)
    measured_controls(page, "demo all")
    (bars,), (errors, hits, _) = (json.loads(chart.proto.spec)["data"] for chart in page.get("plotly_chart"))
    assert bars["text"] == [f"{100 * value:.0f}" for value in sorted(result.runs[0].per_class().values())]
    frame = page.dataframe[0].value
    assert list(frame["class"]) == list(result.per_class())
    np.testing.assert_allclose(frame["right"], [100 * figure.mean for figure in result.per_class().values()])
    order = sorted(result.runs[0].per_class(), key=lambda name: (result.runs[0].per_class()[name], name))
    counts = confusion_matrix(demo_scores, VE, order)
    cells = zip(np.ravel(errors["text"]), np.ravel(hits["text"]), strict=True)
    assert [int(wrong or right or 0) for wrong, right in cells] == counts.ravel().tolist()


def test_a_random_protocol_from_the_address(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate", protocol="Random", draw="5", splits="7", seed="3", rows=["O"], split="4"))
    expected = evaluate(demo_scores, random_classes(demo_scores.class_names, 5, 7, 3), O)
    expect(page, ("demo", "O"), expected)
    assert ("demo", "VE") not in rows_on(page)
    assert page.number_input(key=state.SPLIT).value == 4
    assert f"top-1 {100 * expected.runs[3].top1:.1f} %" in text(page)


def test_a_click_on_a_point_shows_that_split(empty_workspace, demo_scores, halves):
    page = shown(open_page("evaluate"))
    worst = page.number_input(key=state.SPLIT).value
    ve = evaluate(demo_scores, halves, VE)
    page.session_state[splits.CHART] = PlotlyState(
        {"selection": {"points": [{"customdata": [0, 11]}], "point_indices": [11], "box": [], "lasso": []}}
    )
    shown(page.run())
    assert page.selectbox(key=state.ROW).value == "demo: VE"
    assert page.number_input(key=state.SPLIT).value == 12 != worst
    assert f"top-1 {100 * ve.runs[11].top1:.1f} %" in text(page)
    shown(page.button(key="split-Best").click().run())
    best = page.number_input(key=state.SPLIT).value
    assert ve.runs[best - 1].top1 == max(run.top1 for run in ve.runs)


def test_weights_of_ones_own(empty_workspace, demo_scores):
    page = shown(open_page("evaluate", protocol="All"))
    page.toggle(key=state.OWN_WEIGHTS).set_value(False).run()
    page.number_input(key=state.WEIGHT_OF["VE"]).set_value(0.5).run()
    shown(page.number_input(key=state.WEIGHT_OF["O"]).set_value(0.5).run())
    every = all_classes(demo_scores.class_names)
    expect(page, ("demo", "VE + O"), evaluate(demo_scores, every, Weights(0.5, 0.5)))
    page.number_input(key=state.WEIGHT_OF["VE"]).set_value(0.0).run()
    page.number_input(key=state.WEIGHT_OF["O"]).set_value(0.0).run()
    assert not page.exception
    assert "not all zero" in page.error[0].value


def test_lists_picked_typed_and_in_a_file(empty_workspace, demo_scores):
    page = shown(open_page("evaluate", protocol="List", classes=CLASSES, rows=["VE"]))
    picked = [name for name in demo_scores.class_names if name in CLASSES]
    expected = evaluate(demo_scores, named("list", picked, demo_scores.class_names), VE)
    expect(page, ("demo", "VE"), expected)
    page.segmented_control(key=state.LISTED_BY).set_value(asking.TYPED).run()
    assert not page.table[0].value.columns.isin(["Run"]).any()  # nothing typed yet
    shown(page.text_area(key=state.TYPED_CLASSES).set_value("Kicking_A_Drum, kicking a box\nthrowing a bucket").run())
    expect(page, ("demo", "VE"), expected)
    page.text_area(key=state.TYPED_CLASSES).set_value("kicking a drun").run()
    assert not page.exception
    assert "did you mean 'kicking a drum'" in page.error[0].value.replace("\\", "")
    page.segmented_control(key=state.LISTED_BY).set_value(asking.IN_FILE).run()
    page.file_uploader[0].upload("mine.json", json.dumps({"training": [], "testing": CLASSES}).encode())
    shown(page.run())
    mine = named("mine", CLASSES, demo_scores.class_names)
    expect(page, ("demo", "VE"), evaluate(demo_scores, mine, VE))
    assert "protocol mine" in text(page)


def test_ones_own_groups_are_picked(empty_workspace, demo_scores):
    members = list(demo_scores.class_names[3:6])
    keep_group(groups_path(), "look-alikes of mine", [members[0].upper(), *members[1:], "not in this data set"])
    page = shown(open_page("evaluate", protocol="List", rows=["VE"]))
    next(button for button in page.button if button.label == "look-alikes of mine (3)").click()
    page = shown(page.run())
    protocol = named("list", members, demo_scores.class_names)
    expect(page, ("demo", "VE"), evaluate(demo_scores, protocol, VE))


@pytest.mark.parametrize(
    "name, content, error, said",
    [
        ("x.pdf", b"", InputError, "neither .json nor .txt"),
        ("x.json", b"{", FormatError, "x.json"),
        ("../x.txt", b"kicking a drum\nsleeping", InputError, "sleeping"),
    ],
)
def test_files_that_are_no_lists_are_explained(demo_scores, name, content, error, said):
    with pytest.raises(error) as raised:
        asking.from_upload(name, content, demo_scores.class_names)
    assert said in str(raised.value) and "/" not in str(raised.value)


def test_the_json_export_runs_the_same_splits_again(demo, demo_scores):
    drawn = random_classes(demo_scores.class_names, 6, 8, 5)
    rows = made.rows_of([demo], drawn, ["VE", made.FUSED])
    assert [row.title for row in rows] == ["demo: VE", "demo: VE + O"]
    text = tables.to_json([row.result for row in rows])
    again = asking.from_upload("evaluation.json", text.encode(), demo_scores.class_names)
    assert (again.name, again.splits, again.seed) == (drawn.name, drawn.splits, drawn.seed)
    lines = [[tables.line(row.name, row.result) for row in rows]]
    assert rows[1].result.figure().percent().replace("±", r"$\pm$") in tables.latex(lines)
    assert rows[1].result.figure().percent() in tables.markdown(lines)


def test_with_nothing_at_all_there_are_words_and_published_tables(empty_workspace, tmp_path, monkeypatch):
    for module in (models, scored, scoring):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "none")
    page = shown(open_page("evaluate"))
    assert "Nothing has been scored yet" in page.info[0].value
    assert len(page.table) == 4
    assert "50.9" in page.table[0].value.to_csv()


# Below the table -----------------------------------------------------------------------------------------------------


def test_the_fusion_against_ve_is_what_the_engine_says(empty_workspace, demo, demo_scores, halves):
    page = shown(open_page("evaluate", look="Differences"))
    found = paired(halves, ("demo: VE + O", demo_scores, demo.weights), ("demo: VE", demo_scores, VE))
    assert [page.selectbox(key=key).value for key in (state.ROW, state.AGAINST)] == ["demo: VE + O", "demo: VE"]
    assert f"demo: VE + O is {100 * found.difference:.1f} points above demo: VE." in text(page)
    both = found.over_both
    told = metrics(page)
    assert told["Difference (points)"] == (points(found.difference), f"95 %: {points(both.low)} to {points(both.high)}")
    assert told["Top-1"] == (f"{100 * found.accuracy_a:.1f} %", f"against {100 * found.accuracy_b:.1f} %")
    assert told["Splits won"] == (
        f"{found.splits.wins} of 50", f"{found.splits.losses} lost, {found.splits.ties} level",
    )  # fmt: skip
    assert told["Classes won"][0] == f"{found.by_class.wins} of 21"
    rows = {row["Over"]: row for row in table(page, "Over")}
    assert list(rows) == ["videos and splits", "videos", "splits"]
    assert rows["splits"]["From"] == points(found.over_splits.low)
    assert rows["videos"]["To"] == points(found.over_videos.high)
    tests = {row["Of"]: row for row in table(page, "Of")}
    assert tests["classes"]["p"] == f"{found.by_class.p:.3f}"
    assert tests["splits"]["p"] == "< 0.001" and found.splits.p < 0.001
    bars = chart(page, 1)["data"][0]
    assert bars["text"] == [points(difference) for difference in found.classes["difference"] if difference]
    shown(page.selectbox(key=state.ROW).set_value("demo: VE").run())
    assert "demo: VE" not in page.selectbox(key=state.AGAINST).options  # not with itself
    assert page.selectbox(key=state.AGAINST).value == "demo: O"


def test_every_row_has_its_interval_on_the_chart(empty_workspace, demo, demo_scores, halves):
    page = shown(open_page("evaluate", look="Differences", against="demo: O", row="demo: VE"))
    titles = [note["text"] for note in chart(page, 0)["layout"]["annotations"]][::2]
    assert titles == ["<b>demo: VE</b>", "demo: VE + O", "place oracle", "colour only"]
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    expected = paired(halves, ("colour only", colour, VE), ("demo: O", demo_scores, O))
    trace = chart(page, 0)["data"][-1]
    assert trace["x"][0] == pytest.approx(100 * expected.difference)
    low, high = trace["x"][0] - trace["error_x"]["arrayminus"][0], trace["x"][0] + trace["error_x"]["array"][0]
    assert (low, high) == pytest.approx((100 * expected.over_both.low, 100 * expected.over_both.high))


def test_the_place_oracle_is_compared_by_the_clips_it_gets_right(demo, demo_scores, halves):
    rows = made.rows_of([demo], halves, ["VE"]) + made.controls(demo, halves, [demo])
    assert [row.title for row in rows] == ["demo: VE", "place oracle", "colour only"]
    found = differences.all_against(rows, 0, halves)
    for one, row in zip(found, rows[1:], strict=True):
        assert (one.a, one.b) == (row.title, "demo: VE")
        assert one.accuracy_a == pytest.approx(row.result.figure().mean)
        assert one.accuracy_b == pytest.approx(rows[0].result.figure().mean)


def test_with_one_split_there_is_mcnemar_and_an_interval_over_videos(empty_workspace, demo, demo_scores):
    every = all_classes(demo_scores.class_names)
    found = paired(every, ("demo: VE + O", demo_scores, demo.weights), ("demo: VE", demo_scores, VE))
    page = shown(open_page("evaluate", look="Differences", protocol="All"))
    videos = found.runs[0].videos
    told = metrics(page)
    assert told["Clips won"] == (f"{videos.wins} of 420", f"{videos.losses} lost, p = {videos.p:.3f}")
    assert "Splits won" not in told
    over = found.over_videos
    assert told["Difference (points)"][1] == f"95 %: {points(over.low)} to {points(over.high)}"
    assert [row["Over"] for row in table(page, "Over")] == ["videos"]
    assert "McNemar's exact test" in [row["Exact sign test"] for row in table(page, "Of")]


def test_two_runs_stand_side_by_side_and_are_compared_with_each_other_first(empty_workspace, demo, demo_scores, halves):
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    page = shown(open_page("evaluate", look="Differences", compared=["demo-colour"]))
    expect(page, ("demo-colour", "VE"), evaluate(colour, halves, VE))
    assert ("colour only", "") not in rows_on(page) and not page.warning  # it is there already
    assert page.selectbox(key=state.AGAINST).value == "demo-colour: VE"
    found = paired(halves, ("demo: VE + O", demo_scores, demo.weights), ("demo-colour: VE", colour, VE))
    assert metrics(page)["Difference (points)"][0] == points(found.difference)
    assert "does not hold 0" in text(page) and found.over_both.low > 0


def test_a_row_that_is_gone_is_replaced_in_the_browser_too(empty_workspace):
    page = shown(open_page("evaluate", row="place oracle"))
    assert page.selectbox(key=state.ROW).value == "place oracle"
    shown(page.segmented_control(key=state.LOOK).set_value("open").run())
    box = page.selectbox(key=state.ROW)
    assert box.value == "demo: VE + O" and box.proto.set_value
    assert "place oracle" not in box.options


def test_files_hold_every_pair_every_class_and_every_run(demo, halves):
    rows = made.rows_of([demo], halves, ["VE", "O", made.FUSED])
    found = differences.all_against(rows, 0, halves)
    pairs = list(csv.DictReader(io.StringIO(differences.pairs_csv(found))))
    assert [(row["a"], row["b"]) for row in pairs] == [("demo: O", "demo: VE"), ("demo: VE + O", "demo: VE")]
    for row, one in zip(pairs, found, strict=True):
        assert float(row["difference"]) == one.difference
        assert float(row["over_both_low"]) == one.over_both.low
        assert (int(row["runs_won"]), float(row["classes_p"])) == (one.splits.wins, one.by_class.p)
    classes = list(csv.DictReader(io.StringIO(differences.classes_csv(found))))
    assert [row["class"] for row in classes] == [name for pair in found for name in pair.classes["name"]]
    assert float(classes[0]["difference"]) == found[0].classes["difference"][0]
    everything = json.loads(differences.to_json(found))["comparisons"]
    assert everything == [json.loads(json.dumps(one.to_dict())) for one in found]


def test_rows_of_one_title_are_told_apart_by_their_sets(demo, halves):
    (row,) = made.rows_of([demo], halves, ["VE"])
    other = replace(row, item=Scored(demo.folder.with_name("again"), demo.about))
    assert differences.names([row, other]) == ["demo: VE (demo@demo)", "demo: VE (again)"]


def test_a_single_row_has_nothing_to_be_compared_with(empty_workspace, monkeypatch):
    monkeypatch.setattr("app.evaluate.page.controls", lambda *given: [])
    page = shown(open_page("evaluate", look="Differences", rows=["VE"]))
    assert "one row only" in page.info[0].value


def test_the_class_chart_keeps_the_largest_differences_in_order():
    size = figures.MOST_DIFFERENCES + 10
    rows = [(str(n), 5, 1, 0.5, 0.5, (size / 2 - n) / size, 0, 0) for n in range(size + 1)]
    classes = pd.DataFrame(rows, columns=CLASS_COLUMNS)  # differences from +0.5 to -0.5; one is 0
    kept = figures.largest(classes)
    assert kept["name"].tolist() == classes["name"][classes["difference"].abs() > 5 / size].tolist()
    assert len(kept) == figures.MOST_DIFFERENCES
    assert figures.largest(classes[classes["difference"] == 0]).empty


def test_charts_hold_all_intervals_zero_and_the_rate_that_was_asked_for():
    figure = figures.forest([figures.Whisker("a", 0.1, Interval(0.05, 0.2))], "<b>")
    low, high = figure.layout.xaxis.range
    assert low < 0 and high > 20
    assert "&lt;b&gt;" in figure.layout.xaxis.title.text
    figure = figures.splits([figures.Strip("a", [0.0, 0.01], "0.5 ± 0.7")], 0.3, "")
    assert figure.layout.xaxis.range[1] > 30


def test_the_rate_that_comes_is_the_simulations(empty_workspace, demo, demo_scores, halves):
    page = shown(open_page("evaluate", look="None of these"))
    rows = {row["Confidence"]: row for row in table(page, "Confidence")}
    assert list(rows) == [kind.title for kind in KINDS.values()]
    for name, kind in KINDS.items():
        found = simulate(demo_scores, halves, demo.weights, name)
        parts = {
            "AUROC": ("auroc",),
            "OSCR": ("oscr",),
            "FPR95": ("fpr95",),
            "Let in": ("false_accept", "false accept"),
        }
        for head, part in (parts | {"Kept, right": ("right", "false accept")}).items():
            assert rows[kind.title][head] == found.figure(*part).percent()
    found = simulate(demo_scores, halves, demo.weights)
    came = found.figure("false_accept", "false accept").percent()
    said = plain(page.warning[0].value)
    assert "The rate you ask for is not the rate you get" in said
    assert f"5 % was asked for, {came} % came in" in said and "clips of 5 classes" in said
    assert f"{100 * found.figure('auroc').mean:.1f} % of the time" in text(page)
    turned, let_in = (found.figure(name, "false reject").percent() for name in ("false_reject", "false_accept"))
    assert f"turns away {turned} % of other known clips and lets {let_in} % of the unknown" in text(page)


def test_another_rate_row_and_confidence(empty_workspace, demo_scores, halves, monkeypatch):
    page = shown(open_page("evaluate", look="None of these", row="demo: VE", **{state.LET_IN: "20"}))
    found = simulate(demo_scores, halves, VE, "cosine", rate=0.2)
    strips = chart(page, 1)["data"]
    assert numbers(strips[1]["x"]) == pytest.approx(
        [100 * run.at["false accept"]["false_accept"] for run in found.runs]
    )
    energy = simulate(demo_scores, halves, VE, "energy", rate=0.2)
    shown(page.selectbox(key=state.CONFIDENCE).set_value("energy").run())
    came = energy.figure("false_accept", "false accept").percent()
    assert f"20 % was asked for, {came} % came in" in text(page)
    assert "Liu et al., NeurIPS 2020" in text(page)
    monkeypatch.setattr(unknown, "FEW", 5)  # enough classes to choose on
    assert not shown(page.run()).warning


def test_curves_are_means_over_runs_of_what_a_share_of_unknown_clips_allows(demo, demo_scores):
    few = random_classes(demo_scores.class_names, 10, 3, 0)
    simulation = simulate(demo_scores, few, VE, "margin")
    assert unknown.simulated(demo, VE, few, "margin") == simulation
    matrix, names = cosine(demo_scores, VE).astype(np.float64), demo_scores.class_names
    expected = np.zeros_like(SHARES_S)
    for run in simulation.runs:
        known = sorted(names.index(name) for name in run.known)
        clips = []  # (margin, right) of known ones, margins of others
        foreign = []
        for row, label in zip(matrix, demo_scores.label_index, strict=True):
            ranked = sorted(known, key=lambda index: -row[index])
            margin = row[ranked[0]] - row[ranked[1]]
            if label in known:
                clips.append((margin, ranked[0] == label))
            elif names[label] in run.unknown:
                foreign.append(margin)
        for place, share in enumerate(SHARES_S):
            allowed = int(share * len(foreign) + 1e-9)
            bar = sorted(foreign, reverse=True)[allowed] if allowed < len(foreign) else -np.inf
            expected[place] += sum(right and margin > bar for margin, right in clips) / len(clips) / 3
    np.testing.assert_allclose(simulation.curve(), expected, atol=1e-9)


def test_a_protocol_that_leaves_no_class_out_is_explained(empty_workspace):
    for look in ("None of these", "Reliability"):
        page = shown(open_page("evaluate", look=look, protocol="All"))
        assert "too few" in page.info[0].value and "Half" in page.info[0].value


def test_corrections_are_the_engines_with_what_they_assume(empty_workspace, demo, demo_scores, halves):
    page = shown(open_page("evaluate", look="Corrections"))
    rows = {row["Correction"]: row for row in table(page, "Sees")}
    assert list(rows) == ["none", "mean-centring", "CSLS (k = 10)", "inverted softmax (T = 0.0333)"]
    assert rows["none"]["Top-1 (%)"] == evaluate(demo_scores, halves, demo.weights).figure().percent()
    assert rows["none"]["Sees"] == "one clip" and rows["none"]["To none (points)"] == ""
    for title, name in zip(list(rows)[1:], ("centring", "csls", "inverted-softmax"), strict=True):
        source = demo.embeddings() if name == "centring" else demo_scores
        expected = evaluate(reduced(source, REDUCTIONS[name], demo.weights), halves, VE)
        assert rows[title]["Top-1 (%)"] == expected.figure().percent()
        assert rows[title]["Sees"] == "all test clips"
        assert REDUCTIONS[name].assumes in text(page)
        assert rows[title]["To none (points)"].startswith(
            points(expected.figure().mean - evaluate(demo_scores, halves, demo.weights).figure().mean)
        )
    assert "no plain accuracy" in page.warning[0].value


def test_corrections_of_another_row_and_of_one_split(empty_workspace, demo_scores):
    page = shown(open_page("evaluate", look="Corrections", row="demo: VE", protocol="All"))
    rows = {row["Correction"]: row for row in table(page, "Sees")}
    expected = evaluate(reduced(demo_scores, REDUCTIONS["csls"], VE), all_classes(demo_scores.class_names), VE)
    assert rows["CSLS (k = 10)"]["Top-1 (%)"] == expected.figure().percent()
    assert "over videos." in text(page)


def test_the_mean_of_sentences_is_offered_where_there_are_several(demo, demo_scores, monkeypatch):
    several = SimpleNamespace(first_columns=np.arange(0, 42, 2))
    assert "mean-sentence" not in [one.name for one in differences.applicable(demo)]
    monkeypatch.setattr("app.parts.scored.scores", lambda item: several)
    assert [one.name for one in differences.applicable(demo)][:2] == ["none", "mean-sentence"]


def test_reliability_is_told_on_classes_that_t_was_not_fitted_on(empty_workspace, demo, demo_scores):
    few = random_classes(demo_scores.class_names, 10, 4, 2)
    page = shown(open_page("evaluate", look="Reliability", splits="4", seed="2", row="demo: VE"))
    matrix, names = cosine(demo_scores, VE).astype(np.float64), demo_scores.class_names
    temperatures, before, after, right = [], [], [], []
    for split in few.splits:
        own = [index for index, name in enumerate(names) if name in split]
        others = [index for index in range(len(names)) if index not in own]
        parts = []
        for group in (own, others):
            rows = [row for row, label in enumerate(demo_scores.label_index) if label in group]
            parts.append((matrix[np.ix_(rows, group)], [group.index(demo_scores.label_index[row]) for row in rows]))
        temperatures.append(fit(*parts[1]).temperature)
        before.append(calibration_error(reliability_at(*parts[0])))
        after.append(calibration_error(reliability_at(*parts[0], temperatures[-1])))
        right.append(np.mean(parts[0][0].argmax(axis=1) == parts[0][1]))
    told = metrics(page)
    for title, values in (("ECE at T = 1", before), ("ECE at T fitted", after)):
        assert told[title] == (f"{100 * np.mean(values):.1f} %", f"± {100 * np.std(values, ddof=1):.1f} over splits")
    assert told["T fitted"][0] == f"{np.mean(temperatures):.3f}"
    assert f"right {100 * np.mean(right):.1f} % of the time" in text(page)
    assert np.mean(after) < 0.2 < np.mean(before)
    diagram = unknown.trust(demo, VE, few).after.diagram
    assert numbers(chart(page, 0)["data"][2]["x"]) == pytest.approx(100 * diagram["confidence"])
    assert diagram["clips"].sum() == 4 * 200


def test_a_list_that_leaves_one_class_out_cannot_be_fitted(demo, demo_scores):
    protocol = named("list", demo_scores.class_names[1:], demo_scores.class_names)
    with pytest.raises(InputError, match="leaves none"):
        unknown.trust(demo, VE, protocol)


# Another evaluation --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(workspace, clips):
    """A store of the three clips, by the encoder of the tiny run; and their folder."""
    from cezsar.encoders.motion import MotionEncoder

    encoder = MotionEncoder()
    folder = workspace / "features" / "tiny"
    paths = clips[1]
    if not folder.exists():
        provenance = {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
        with StoreWriter(folder, provenance) as writer:
            for path in paths:
                features = np.random.default_rng(0).random((4, encoder.dim)).astype(np.float32)
                writer.add(path.relative_to(paths[0].parents[1]).with_suffix("").name, features, path.parent.name)
    return folder


@pytest.fixture
def started(monkeypatch):
    calls = []
    monkeypatch.setattr(jobs, "start", lambda *given, **more: calls.append((given, more)))
    return calls


def test_a_damaged_list_of_data_sets_is_named(empty_workspace):
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / "datasets.json").write_text("[")
    page = open_page("evaluate")
    assert not page.exception and "datasets" in page.error[0].value
    assert rows_on(page)


def test_the_form_starts_a_job(workspace, store, started, clips, monkeypatch):
    folder = clips[1][0].parents[1]
    monkeypatch.setattr("cezsar.data.datasets.registered", lambda home=None: {"my clips": str(folder)})
    page = shown(open_page("evaluate"))
    next(box for box in page.text_input if box.label == "or the path of another data set").set_value(str(folder))
    shown(next(button for button in page.button if button.label == "Evaluate").click().run())
    ((kind, title, (step,)), more) = started[0]
    run = workspace / "runs" / "demo"
    assert (kind, title) == ("evaluate", f"demo on {folder.name}")
    words = step.arguments
    assert words[:3] == ["evaluate", "--dataset", str(folder.resolve())]
    assert Path(words[words.index("--store") + 1]) == store.resolve()
    assert Path(words[words.index("--run") + 1]) == run.resolve()
    assert Path(words[words.index("--out") + 1]) == run.resolve() / "results" / f"{file_name(str(folder))}.json"
    assert "--keep" in words
    assert more["about"] == {"scored": f"demo@{file_name(str(folder))}"}
    (box,) = [box for box in page.selectbox if box.label == "Data set"]
    assert box.options == ["the stick-figure world", "my clips"]
    box.set_value("my clips")
    next(box for box in page.text_input if box.label == "or the path of another data set").set_value("")
    shown(next(button for button in page.button if button.label == "Evaluate").click().run())
    assert started[1][0][2][0].arguments[:3] == ["evaluate", "--dataset", str(folder.resolve())]


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"named": ""}, InputError, "give both"),
        ({"named": "/no/such/folder"}, InputError, "data set: there is no /no/such/folder"),
        ({"store_folder": "/no/such/store"}, InputError, "feature store: there is no"),
        ({"captions": "\n/no/captions.json"}, InputError, "caption file: there is no"),
        ({"descriptions": "/no/descriptions.json"}, InputError, "class descriptions: there is no"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_it_starts(workspace, store, started, clips, change, error, said):
    run, folder = str(workspace / "runs" / "demo"), str(clips[1][0].parents[1])
    with pytest.raises(error, match=said):
        scoring.start(**{"run_folder": run, "store_folder": str(store), "named": folder} | change)
    assert not started


def test_another_encoder_is_refused_and_what_is_shipped_not_written_to(workspace, started, tmp_path, clips, store):
    folder = str(clips[1][0].parents[1])
    with StoreWriter(tmp_path / "other", {"encoder": "bit", "fingerprint": "0" * 64, "dim": 4}) as writer:
        writer.add("a", np.ones((2, 4), np.float32), "x")
    with pytest.raises(MismatchError, match="bit"):
        scoring.start(str(workspace / "runs" / "demo"), str(tmp_path / "other"), folder)
    assert not started
    scoring.start(str(SHIPPED / "runs" / "demo"), str(store), folder)
    (_, _, (step,)), _ = started[0]
    assert "--out" not in step.arguments


def test_the_new_scored_set_is_chosen_when_its_job_ends(empty_workspace, monkeypatch):
    ended = SimpleNamespace(
        id="evaluate-1", kind="evaluate", title="demo-colour on demo", state="done", alive=False, elapsed_s=4.0, log="",
        about={"scored": "demo-colour@demo"},
    )  # fmt: skip
    monkeypatch.setattr(jobs, "jobs", lambda kind: [ended])
    monkeypatch.setattr(jobs, "find", lambda id: ended)
    page = shown(open_page("evaluate", protocol="All"))
    assert page.session_state[state.ON] == "demo@demo"  # it ended before this session came
    page.session_state[scoring.FOLLOWED] = {"evaluate-1"}
    shown(page.run())
    assert page.session_state[state.ON] == "demo-colour@demo"
    assert ("demo-colour", "VE") in rows_on(page)
    shown(page.selectbox(key=state.ON).set_value("demo@demo").run())
    assert ("demo", "VE") in rows_on(page)  # only once
