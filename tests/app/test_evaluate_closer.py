"""Evaluate, below its table: differences, clips of no class, corrections and reliability, as the engine has them."""

import base64
import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import open_page

from app import state
from app.evaluate import differences, unknown
from app.evaluate import rows as made
from app.services import models
from cezsar.analysis.comparison import ClassDifference, Interval, compare
from cezsar.analysis.open_set import SHARES_S, simulate
from cezsar.errors import InputError
from cezsar.report import figures
from cezsar.zeroshot.evaluation import correctness, evaluate
from cezsar.zeroshot.fusion import Weights, cosine
from cezsar.zeroshot.hubness_reduction import REDUCTIONS, evaluate_reduced
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.rejection import KINDS
from cezsar.zeroshot.scored import Scored

SHIPPED = models.SHIPPED
VE, O = Weights.only("VE"), Weights.only("O")  # noqa: E741


@pytest.fixture(scope="module")
def demo():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def scores(demo):
    return demo.scores()


@pytest.fixture(scope="module")
def halves(scores):
    return random_classes(scores.class_names, 10, 50, 0)


def shown(page):
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def text(page):
    kinds = ("markdown", "caption", "warning", "info")
    joined = " ".join(str(element.value) for kind in kinds for element in page.get(kind))
    return joined.replace("\\", "").replace("**", "").replace("\N{NO-BREAK SPACE}", " ")


def table(page, head):
    """Rows of the first table that has this column, without markup."""
    frame = next(element.value for element in page.table if head in element.value.columns)
    return [
        {
            key: str(value).replace("**", "").replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")
            for key, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


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


# Differences ---------------------------------------------------------------------------------------------------------


def test_nothing_below_is_computed_before_it_is_asked_for(empty_workspace, monkeypatch):
    for module, name in ((differences, "differences"), (unknown, "simulated"), (differences, "reached"),
                         (unknown, "trust")):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *given: pytest.fail("computed"))
    page = shown(open_page("evaluate"))
    assert page.segmented_control(key=state.LOOK).value == "splits"
    assert not page.metric


def test_the_fusion_against_ve_is_what_the_engine_says(empty_workspace, demo, scores, halves):
    page = shown(open_page("evaluate", look="Differences"))
    found = compare(
        ("demo: VE + O", correctness(scores, halves, demo.weights)), ("demo: VE", correctness(scores, halves, VE)),
        np.random.default_rng(0),
    )  # fmt: skip
    assert page.selectbox(key=state.ROW).value == "demo: VE + O"
    assert page.selectbox(key=state.AGAINST).value == "demo: VE"
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
    assert bars["text"] == [points(one.difference) for one in found.classes if one.difference]


def test_every_row_has_its_interval_on_the_chart(empty_workspace, demo, scores, halves):
    page = shown(open_page("evaluate", look="Differences", against="demo: O", row="demo: VE"))
    titles = [note["text"] for note in chart(page, 0)["layout"]["annotations"]][::2]
    assert titles == ["<b>demo: VE</b>", "demo: VE + O", "place oracle", "colour only"]
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    expected = compare(
        ("colour only", correctness(colour, halves, VE)),
        ("demo: O", correctness(scores, halves, O)),
        np.random.default_rng(0),
    )
    trace = chart(page, 0)["data"][-1]
    assert trace["x"][0] == pytest.approx(100 * expected.difference)
    low, high = trace["x"][0] - trace["error_x"]["arrayminus"][0], trace["x"][0] + trace["error_x"]["array"][0]
    assert (low, high) == pytest.approx((100 * expected.over_both.low, 100 * expected.over_both.high))


def test_the_place_oracle_is_compared_by_the_clips_it_gets_right(demo, scores, halves):
    rows = made.rows_of([demo], halves, ["VE"]) + made.controls(demo, halves, [demo])
    assert [row.title for row in rows] == ["demo: VE", "place oracle", "colour only"]
    found = differences.differences(rows, 0, halves)
    for one, row in zip(found, rows[1:], strict=True):
        assert (one.a, one.b) == (row.title, "demo: VE")
        assert one.accuracy_a == pytest.approx(row.result.figure().mean)
        assert one.accuracy_b == pytest.approx(rows[0].result.figure().mean)


def test_with_one_split_there_is_mcnemar_and_an_interval_over_videos(empty_workspace, demo, scores):
    every = all_classes(scores.class_names)
    found = compare(
        ("demo: VE + O", correctness(scores, every, demo.weights)), ("demo: VE", correctness(scores, every, VE)),
        np.random.default_rng(0),
    )  # fmt: skip
    page = shown(open_page("evaluate", look="Differences", protocol="All"))
    videos = found.runs[0].videos
    told = metrics(page)
    assert told["Clips won"] == (f"{videos.wins} of 420", f"{videos.losses} lost, p = {videos.p:.3f}")
    assert "Splits won" not in told
    over = found.over_videos
    assert told["Difference (points)"][1] == f"95 %: {points(over.low)} to {points(over.high)}"
    assert [row["Over"] for row in table(page, "Over")] == ["videos"]
    assert "McNemar's exact test" in [row["Exact sign test"] for row in table(page, "Of")]


def test_two_runs_are_compared_with_each_other_first(empty_workspace, demo, scores, halves):
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    page = shown(open_page("evaluate", look="Differences", compared=["demo-colour"]))
    assert page.selectbox(key=state.AGAINST).value == "demo-colour: VE"
    found = compare(
        ("demo: VE + O", correctness(scores, halves, demo.weights)),
        ("demo-colour: VE", correctness(colour, halves, VE)),
        np.random.default_rng(0),
    )  # fmt: skip
    assert metrics(page)["Difference (points)"][0] == points(found.difference)
    assert "does not hold 0" in text(page) and found.over_both.low > 0


def test_the_row_itself_is_not_what_it_is_compared_with(empty_workspace):
    page = shown(open_page("evaluate", look="Differences"))
    shown(page.selectbox(key=state.ROW).set_value("demo: VE").run())
    assert "demo: VE" not in page.selectbox(key=state.AGAINST).options
    assert page.selectbox(key=state.AGAINST).value == "demo: O"


def test_a_row_that_is_gone_is_replaced_in_the_browser_too(empty_workspace):
    page = shown(open_page("evaluate", row="place oracle"))
    assert page.selectbox(key=state.ROW).value == "place oracle"
    shown(page.segmented_control(key=state.LOOK).set_value("open").run())
    box = page.selectbox(key=state.ROW)
    assert box.value == "demo: VE + O" and box.proto.set_value
    assert "place oracle" not in box.options


def test_files_hold_every_pair_every_class_and_every_run(demo, halves):
    rows = made.rows_of([demo], halves, ["VE", "O", made.FUSED])
    found = differences.differences(rows, 0, halves)
    pairs = list(csv.DictReader(io.StringIO(differences.pairs_csv(found))))
    assert [(row["a"], row["b"]) for row in pairs] == [("demo: O", "demo: VE"), ("demo: VE + O", "demo: VE")]
    for row, one in zip(pairs, found, strict=True):
        assert float(row["difference"]) == one.difference
        assert float(row["over_both_low"]) == one.over_both.low
        assert (int(row["runs_won"]), float(row["classes_p"])) == (one.splits.wins, one.by_class.p)
    classes = list(csv.DictReader(io.StringIO(differences.classes_csv(found))))
    assert [row["class"] for row in classes] == [one.name for pair in found for one in pair.classes]
    assert float(classes[0]["difference"]) == found[0].classes[0].difference
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
    classes = [
        ClassDifference(str(n), 5, 1, 0.5, 0.5, (size / 2 - n) / size, 0, 0) for n in range(size + 1)
    ]  # from +0.5 to -0.5; one is 0
    kept = figures.largest(classes)
    assert [one.name for one in kept] == [one.name for one in classes if abs(one.difference) > 5 / size]
    assert len(kept) == figures.MOST_DIFFERENCES
    assert figures.largest([ClassDifference("a", 5, 1, 0.5, 0.5, 0.0, 0, 0)]) == []


def test_the_forest_holds_all_intervals_and_zero():
    figure = figures.forest([figures.Whisker("a", 0.1, Interval(0.05, 0.2))], "<b>")
    low, high = figure.layout.xaxis.range
    assert low < 0 and high > 20
    assert "&lt;b&gt;" in figure.layout.xaxis.title.text


# None of these -------------------------------------------------------------------------------------------------------


def test_the_rate_that_comes_is_the_simulations(empty_workspace, demo, scores, halves):
    page = shown(open_page("evaluate", look="None of these"))
    rows = {row["Confidence"]: row for row in table(page, "Confidence")}
    assert list(rows) == [kind.title for kind in KINDS.values()]
    for name, kind in KINDS.items():
        found = simulate(scores, halves, demo.weights, name)
        row = rows[kind.title]
        assert row["AUROC"] == found.figure("auroc").percent()
        assert row["OSCR"] == found.figure("oscr").percent()
        assert row["FPR95"] == found.figure("fpr95").percent()
        assert row["Let in"] == found.figure("false_accept", "false accept").percent()
        assert row["Kept, right"] == found.figure("right", "false accept").percent()
    found = simulate(scores, halves, demo.weights)
    came = found.figure("false_accept", "false accept").percent()
    (warning,) = page.warning
    said = warning.value.replace("\N{NO-BREAK SPACE}", " ")
    assert "The rate you ask for is not the rate you get" in said
    assert f"5 % was asked for, {came} % came in" in said and "clips of 5 classes" in said
    assert f"{100 * found.figure('auroc').mean:.1f} % of the time" in text(page)
    turned, let_in = (found.figure(name, "false reject").percent() for name in ("false_reject", "false_accept"))
    assert f"turns away {turned} % of other known clips and lets {let_in} % of the unknown" in text(page)


def test_another_rate_row_and_confidence(empty_workspace, scores, halves):
    page = shown(open_page("evaluate", look="None of these", row="demo: VE", **{state.LET_IN: "20"}))
    found = simulate(scores, halves, VE, "cosine", rate=0.2)
    strips = chart(page, 1)["data"]
    assert numbers(strips[1]["x"]) == pytest.approx([100 * run.by_unknown.false_accept for run in found.runs])
    energy = simulate(scores, halves, VE, "energy", rate=0.2)
    shown(page.selectbox(key=state.CONFIDENCE).set_value("energy").run())
    came = energy.figure("false_accept", "false accept").percent()
    assert f"20 % was asked for, {came} % came in" in text(page)
    assert "Liu et al., NeurIPS 2020" in text(page)


def test_curves_are_means_over_runs_of_what_a_share_of_unknown_clips_allows(demo, scores):
    few = random_classes(scores.class_names, 10, 3, 0)
    simulation = simulate(scores, few, VE, "margin")
    assert unknown.simulated(demo, VE, few, "margin") == simulation
    matrix, names = cosine(scores, VE).astype(np.float64), scores.class_names
    expected = np.zeros_like(SHARES_S)
    for run in simulation.runs:
        known = sorted(names.index(name) for name in run.known)
        clips = []  # (margin, right) of known ones, margins of others
        foreign = []
        for row, label in zip(matrix, scores.label_index, strict=True):
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


def test_many_classes_to_choose_on_bring_no_warning(monkeypatch, empty_workspace):
    monkeypatch.setattr("app.evaluate.unknown.FEW", 5)
    page = shown(open_page("evaluate", look="None of these"))
    assert not page.warning


def test_a_rate_that_nothing_exceeds_is_still_on_the_chart():
    figure = figures.splits([figures.Strip("a", [0.0, 0.01], "0.5 ± 0.7")], 0.3, "")
    assert figure.layout.xaxis.range[1] > 30


# Corrections ---------------------------------------------------------------------------------------------------------


def test_corrections_are_the_engines_with_what_they_assume(empty_workspace, demo, scores, halves):
    page = shown(open_page("evaluate", look="Corrections"))
    rows = {row["Correction"]: row for row in table(page, "Sees")}
    assert list(rows) == ["none", "mean-centring", "CSLS (k = 10)", "inverted softmax (T = 0.0333)"]
    assert rows["none"]["Top-1 (%)"] == evaluate(scores, halves, demo.weights).figure().percent()
    assert rows["none"]["Sees"] == "one clip" and rows["none"]["To none (points)"] == ""
    for title, name in zip(list(rows)[1:], ("centring", "csls", "inverted-softmax"), strict=True):
        source = demo.embeddings() if name == "centring" else scores
        expected = evaluate_reduced(source, halves, REDUCTIONS[name], demo.weights)
        assert rows[title]["Top-1 (%)"] == expected.figure().percent()
        assert rows[title]["Sees"] == "all test clips"
        assert REDUCTIONS[name].assumes in text(page)
        assert rows[title]["To none (points)"].startswith(
            points(expected.figure().mean - evaluate(scores, halves, demo.weights).figure().mean)
        )
    assert "no plain accuracy" in page.warning[0].value


def test_corrections_of_another_row_and_of_one_split(empty_workspace, scores):
    page = shown(open_page("evaluate", look="Corrections", row="demo: VE", protocol="All"))
    rows = {row["Correction"]: row for row in table(page, "Sees")}
    expected = evaluate_reduced(scores, all_classes(scores.class_names), REDUCTIONS["csls"], VE)
    assert rows["CSLS (k = 10)"]["Top-1 (%)"] == expected.figure().percent()
    assert "over videos." in text(page)


def test_the_mean_of_sentences_is_offered_where_there_are_several(demo, scores, monkeypatch):
    several = SimpleNamespace(first_columns=np.arange(0, 42, 2))
    assert "mean-sentence" not in [one.name for one in differences.applicable(demo)]
    monkeypatch.setattr("app.services.scored.scores", lambda item: several)
    assert [one.name for one in differences.applicable(demo)][:2] == ["none", "mean-sentence"]


# Reliability ---------------------------------------------------------------------------------------------------------


def test_reliability_is_told_on_classes_that_t_was_not_fitted_on(empty_workspace, demo, scores):
    from cezsar.analysis.calibration import fit, reliability_at

    few = random_classes(scores.class_names, 10, 4, 2)
    page = shown(open_page("evaluate", look="Reliability", splits="4", seed="2", row="demo: VE"))
    matrix, names = cosine(scores, VE).astype(np.float64), scores.class_names
    temperatures, before, after, right = [], [], [], []
    for split in few.splits:
        own = [index for index, name in enumerate(names) if name in split]
        others = [index for index in range(len(names)) if index not in own]
        parts = []
        for group in (own, others):
            rows = [row for row, label in enumerate(scores.label_index) if label in group]
            parts.append((matrix[np.ix_(rows, group)], [group.index(scores.label_index[row]) for row in rows]))
        temperatures.append(fit(*parts[1]).temperature)
        before.append(reliability_at(*parts[0]).ece)
        after.append(reliability_at(*parts[0], temperatures[-1]).ece)
        right.append(np.mean(parts[0][0].argmax(axis=1) == parts[0][1]))
    told = metrics(page)
    for title, values in (("ECE at T = 1", before), ("ECE at T fitted", after)):
        assert told[title] == (f"{100 * np.mean(values):.1f} %", f"± {100 * np.std(values, ddof=1):.1f} over splits")
    assert told["T fitted"][0] == f"{np.mean(temperatures):.3f}"
    assert f"right {100 * np.mean(right):.1f} % of the time" in text(page)
    assert np.mean(after) < 0.2 < np.mean(before)
    diagram = unknown.trust(demo, VE, few).after.diagram
    assert numbers(chart(page, 0)["data"][2]["x"]) == pytest.approx(100 * diagram.confidence_B[diagram.clips_B > 0])
    assert diagram.clips_B.sum() == 4 * 200


def test_a_list_that_leaves_one_class_out_cannot_be_fitted(demo, scores):
    protocol = named("list", scores.class_names[1:], scores.class_names)
    with pytest.raises(InputError, match="leaves none"):
        unknown.trust(demo, VE, protocol)
