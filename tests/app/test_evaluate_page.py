"""Evaluate, through the app's entry: its figures are those of the engine called directly."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import charts, fine, metrics, numbers, open_page, press, texts
from streamlit.typing import PlotlyState

from app import state
from app.evaluate import differences, generalised, scoring, splits, unknown
from app.evaluate import page as asking
from app.evaluate import rows as made
from app.parts import models
from cezsar.analysis.calibration import calibration_error, fit, reliability_at
from cezsar.analysis.comparison import compare
from cezsar.analysis.open_set import simulate
from cezsar.data.datasets import file_name
from cezsar.data.features import StoreWriter
from cezsar.data.labels import groups_path, keep_group
from cezsar.encoders.motion import MotionEncoder
from cezsar.errors import InputError
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import confusion_matrix, correctness, evaluate, load_all, stacking
from cezsar.zeroshot.fusion import Weights, cosine
from cezsar.zeroshot.hubness_reduction import REDUCTIONS, reduced
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.rejection import KINDS
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.shots import shots

SHIPPED = models.SHIPPED
CLASSES = ["kicking a drum", "kicking a box", "throwing a bucket"]
VE, O = Weights.only("VE"), Weights.only("O")  # noqa: E741


@pytest.fixture(scope="module")
def halves(scores):
    return random_classes(scores.class_names, 10, 50, 0)


@pytest.fixture(scope="module")
def few(scores):
    """What `FEW` in the address draws."""
    return random_classes(scores.class_names, 10, 4, 2)


FEW = {"splits": "4", "seed": "2"}


def plain(value):
    """A cell without markup."""
    text = str(value).replace("**", "").replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")
    return text.removeprefix(":gray[").removesuffix("]")


def table(page, head):
    """Rows of the first table that has this column, without markup."""
    frame = next(element.value for element in page.table if head in element.value.columns)
    return [{key: plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def rows_on(page):
    """The table: {(run, modality): cells by column}."""
    return {(row["Run"], row["Modality"]): row for row in table(page, "Run")}


def expect(page, key, result):
    row, heads = rows_on(page)[key], {"Top-1 (%)": "top1", "Top-5 (%)": "top5", "Mean per class (%)": "mean_per_class"}
    assert {head: row[head] for head in heads} == {head: result.figure(m).percent() for head, m in heads.items()}


def measured_controls(page, name):
    """The rows that the shipped demo measured itself."""
    measured = {row.modality: row for row in load_all(SHIPPED / "runs" / "demo" / "results" / f"{name}.json")}
    for key in (("place oracle", ""), ("colour only", ""), ("demo", "VE + O")):
        expect(page, key, measured[key[1] or key[0]])


def points(fraction):
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def paired(protocol, *both):
    """`compare` of two (name, scores, weights)."""
    a, b = ((name, correctness(scores, protocol, weights)) for name, scores, weights in both)
    return compare(a, b, np.random.default_rng(0))


def test_a_first_visit_shows_random_halves_of_the_shipped_demo(empty_workspace, demo, scores, halves, monkeypatch):
    later = {
        "all_against": differences,
        "reached": differences,
        "stacked": generalised,
        "simulated": unknown,
        "trust": unknown,
    }
    for function, module in later.items():
        monkeypatch.setattr(module, function, lambda *given: pytest.fail("computed before it is asked for"))
    page = fine(open_page("evaluate"))
    for modality, weights in (("VE", VE), ("O", O), ("VE + O", demo.weights)):
        expect(page, ("demo", modality), evaluate(scores, halves, weights))
    measured_controls(page, "demo 10-of-21 x 50")
    assert rows_on(page)["chance", ""]["Top-1 (%)"] == "10.0"
    assert page.segmented_control(key=state.LOOK).value == "splits" and not page.metric
    assert (len(page.get("plotly_chart")), len(page.table)) == (3, 1)
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON", "Markdown", "LaTeX"]
    # A click on a point, and a button, show another split.
    ve, worst = evaluate(scores, halves, VE), page.number_input(key=state.SPLIT).value
    clicked = {"points": [{"customdata": [0, 11]}], "point_indices": [11], "box": [], "lasso": []}
    page.session_state[splits.CHART] = PlotlyState({"selection": clicked})
    fine(page.run())
    assert page.selectbox(key=state.ROW).value == "demo: VE"
    assert page.number_input(key=state.SPLIT).value == 12 != worst
    assert f"top-1 **{100 * ve.runs[11].top1:.1f} %**" in texts(page)
    best = fine(press(page, "Best")).number_input(key=state.SPLIT).value
    assert ve.runs[best - 1].top1 == max(run.top1 for run in ve.runs)


def test_all_classes_have_their_bars_and_confusion_and_weights_are_ones_own(empty_workspace, scores):
    page, every = fine(open_page("evaluate", protocol="All", row="demo: VE")), all_classes(scores.class_names)
    result = evaluate(scores, every, VE)
    expect(page, ("demo", "VE"), result)
    measured_controls(page, "demo all")
    (bars,), (errors, hits, _) = (chart["data"] for chart in charts(page))
    accuracies, frame = result.runs[0].per_class(), page.dataframe[0].value
    assert bars["text"] == [f"{100 * value:.0f}" for value in sorted(accuracies.values())]
    assert list(frame["class"]) == list(result.per_class())
    np.testing.assert_allclose(frame["right"], [100 * figure.mean for figure in result.per_class().values()])
    counts = confusion_matrix(scores, VE, sorted(accuracies, key=lambda name: (accuracies[name], name)))
    cells = zip(np.ravel(errors["text"]), np.ravel(hits["text"]), strict=True)
    assert [int(wrong or right or 0) for wrong, right in cells] == counts.ravel().tolist()
    page.toggle(key=state.OWN_WEIGHTS).set_value(False).run()
    for value in (0.5, 0.0):
        page.number_input(key=state.WEIGHT_OF["VE"]).set_value(value)
        page.number_input(key=state.WEIGHT_OF["O"]).set_value(value).run()
        if value:
            expect(fine(page), ("demo", "VE + O"), evaluate(scores, every, Weights(0.5, 0.5)))
    assert not page.exception and "not all zero" in page.error[0].value


def test_lists_picked_typed_and_in_a_file(empty_workspace, scores):
    members = list(scores.class_names[3:6])
    keep_group(groups_path(), "look-alikes of mine", [members[0].upper(), *members[1:], "not in this data set"])
    page = fine(open_page("evaluate", protocol="List", classes=CLASSES, rows=["VE"]))
    expected = evaluate(scores, named("list", sorted(CLASSES, key=scores.class_names.index), scores.class_names), VE)
    expect(page, ("demo", "VE"), expected)
    page = fine(press(page, r"look\-alikes of mine (3)"))
    expect(page, ("demo", "VE"), evaluate(scores, named("list", members, scores.class_names), VE))
    page.segmented_control(key=state.LISTED_BY).set_value(asking.TYPED).run()
    assert not page.table  # nothing typed yet
    fine(page.text_area(key=state.TYPED_CLASSES).set_value("Kicking_A_Drum, kicking a box\nthrowing a bucket").run())
    expect(page, ("demo", "VE"), expected)
    page.text_area(key=state.TYPED_CLASSES).set_value("kicking a drun").run()
    assert not page.exception and "did you mean 'kicking a drum'" in page.error[0].value.replace("\\", "")
    page.segmented_control(key=state.LISTED_BY).set_value(asking.IN_FILE).run()
    page.file_uploader[0].upload("mine.json", json.dumps({"training": [], "testing": CLASSES}).encode())
    expect(fine(page.run()), ("demo", "VE"), evaluate(scores, named("mine", CLASSES, scores.class_names), VE))
    assert "protocol mine" in texts(page)


def test_files_that_are_no_lists_are_explained(scores):
    for name, content, said in (
        ("x.pdf", b"", "neither .json nor .txt"), ("x.json", b"{", "x.json"), ("../x.txt", b"drum\nsleeping", "drum"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as raised:
            asking.from_upload(name, content, scores.class_names)
        assert "/" not in str(raised.value)


def test_the_json_export_runs_the_same_splits_again(demo, scores, few):
    rows = made.rows_of([demo], few, ["VE", made.FUSED])
    assert [row.title for row in rows] == ["demo: VE", "demo: VE + O"]
    text = tables.to_json([row.result for row in rows])
    assert asking.from_upload("evaluation.json", text.encode(), scores.class_names) == few


# Below the table -----------------------------------------------------------------------------------------------------


def test_the_fusion_against_ve_is_what_the_engine_says(empty_workspace, demo, scores, halves):
    page = fine(open_page("evaluate", look="Differences"))
    found = paired(halves, ("demo: VE + O", scores, demo.weights), ("demo: VE", scores, VE))
    assert [page.selectbox(key=key).value for key in (state.ROW, state.AGAINST)] == ["demo: VE + O", "demo: VE"]
    assert f"{found.summary()}." in texts(page) and f"{found.by_class.wins} won" in texts(page)
    rows = {row["Over"]: row for row in table(page, "Over")}
    assert list(rows) == ["videos and splits", "videos", "splits"]
    assert rows["splits"]["From"] == points(found.over_splits.low)
    assert rows["videos"]["To"] == points(found.over_videos.high)
    tests = {row["Of"]: row for row in table(page, "Of")}
    assert tests["classes"]["p"] == f"{found.by_class.p:.3f}"
    assert tests["splits"]["p"] == "< 0.001" and found.splits.p < 0.001
    bars = charts(page)[1]["data"][0]
    assert bars["text"] == [points(difference) for difference in found.classes["difference"] if difference]
    # Another row is compared with others, each with its interval on the chart.
    fine(page.selectbox(key=state.ROW).set_value("demo: VE").run())
    assert "demo: VE" not in page.selectbox(key=state.AGAINST).options  # not with itself
    assert page.selectbox(key=state.AGAINST).value == "demo: O"
    forest = charts(page)[0]
    titles = [trace["y"][0] for trace in forest["data"]]
    assert titles == ["<b>demo: VE</b>", "demo: VE + O", "place oracle", "colour only"]
    colour, trace = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores(), forest["data"][-1]
    expected = paired(halves, ("colour only", colour, VE), ("demo: O", scores, O))
    assert trace["x"][0] == pytest.approx(100 * expected.difference)
    low, high = trace["x"][0] - trace["error_x"]["arrayminus"][0], trace["x"][0] + trace["error_x"]["array"][0]
    assert (low, high) == pytest.approx((100 * expected.over_both.low, 100 * expected.over_both.high))


def test_with_one_split_there_is_mcnemar_and_an_interval_over_videos(empty_workspace, demo, scores):
    every = all_classes(scores.class_names)
    found = paired(every, ("demo: VE + O", scores, demo.weights), ("demo: VE", scores, VE))
    page = fine(open_page("evaluate", look="Differences", protocol="All"))
    videos, over = found.runs[0].videos, found.over_videos
    (row,) = table(page, "Over")
    assert (row["Over"], row["From"], row["To"]) == ("videos", points(over.low), points(over.high))
    (row,) = [row for row in table(page, "Of") if row["Exact sign test"] == "McNemar's exact test"]
    assert (row["Won"], row["Lost"], row["p"]) == (str(videos.wins), str(videos.losses), f"{videos.p:.3f}")
    for look in ("open", "trusted"):
        page = fine(page.segmented_control(key=state.LOOK).set_value(look).run())
        assert "classes out" in page.info[0].value and "Half" in page.info[0].value


def test_two_runs_are_compared_first(empty_workspace, demo, scores, few):
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    page = fine(open_page("evaluate", look="Differences", compared=["demo-colour"], **FEW))
    expect(page, ("demo-colour", "VE"), evaluate(colour, few, VE))
    assert ("colour only", "") not in rows_on(page) and not page.warning  # it is there already
    assert page.selectbox(key=state.AGAINST).value == "demo-colour: VE"
    found = paired(few, ("demo: VE + O", scores, demo.weights), ("demo-colour: VE", colour, VE))
    assert found.summary() in texts(page)
    assert "does not hold 0" in texts(page) and found.over_both.low > 0


def test_the_file_holds_every_pair_every_class_and_every_run(demo, few):
    found = differences.all_against(made.rows_of([demo], few, ["VE", "O", made.FUSED]), 0, few)
    everything = json.loads(differences.to_json(found))["comparisons"]
    assert everything == [json.loads(json.dumps(one.to_dict())) for one in found]


def test_the_rate_that_comes_is_the_simulations(empty_workspace, demo, scores, few, monkeypatch):
    page = fine(open_page("evaluate", look="None of these", **FEW))
    rows, found = {row["Confidence"]: row for row in table(page, "Confidence")}, simulate(scores, few, demo.weights)
    assert list(rows) == [kind.title for kind in KINDS.values()]
    for name, kind in KINDS.items():
        each = simulate(scores, few, demo.weights, name)
        told = {head: each.figure(measure, by).percent() for head, measure, by in unknown.MEASURES}
        assert rows[kind.title] == {"Confidence": kind.title} | told
    came, said = found.figure("false_accept", "false accept").percent(), texts(page)
    assert f"5 % was asked for, {came} % came in" in said and "clips of at most 5 classes" in said
    # Another rate, row and confidence.
    page.selectbox(key=state.ROW).set_value("demo: VE")
    page.selectbox(key=state.CONFIDENCE).set_value("energy")
    fine(page.slider(key=state.LET_IN).set_value(20).run())
    shares = [run.at["false accept"]["false_accept"] for run in simulate(scores, few, VE, "cosine", rate=0.2).runs]
    assert numbers(charts(page)[1]["data"][1]["x"]) == pytest.approx([100 * share for share in shares])
    came = simulate(scores, few, VE, "energy", rate=0.2).figure("false_accept", "false accept").percent()
    assert f"20 % was asked for, {came} % came in" in texts(page) and "Liu et al., NeurIPS 2020" in texts(page)


def test_corrections_are_the_engines_with_what_they_assume(empty_workspace, demo, scores, few, monkeypatch):
    page = fine(open_page("evaluate", row="place oracle", **FEW))
    fine(page.segmented_control(key=state.LOOK).set_value("corrected").run())
    box = page.selectbox(key=state.ROW)  # a row that is not there is replaced in the browser too
    assert box.value == "demo: VE + O" and box.proto.set_value and "place oracle" not in box.options
    rows = {row["Correction"]: row for row in table(page, "Sees")}
    difference_of = "To none (points, 95 % interval)"
    assert list(rows) == ["none", "mean-centring", "CSLS (k = 10)", "inverted softmax (T = 0.0333)"]
    plainly = evaluate(scores, few, demo.weights).figure()
    assert list(rows["none"].values())[:4] == ["none", plainly.percent(), "", "one clip"]
    for title, name in zip(list(rows)[1:], ("centring", "csls", "inverted-softmax"), strict=True):
        source = demo.embeddings() if name == "centring" else scores
        expected = evaluate(reduced(source, REDUCTIONS[name], demo.weights), few, VE).figure()
        assert (rows[title]["Top-1 (%)"], rows[title]["Sees"]) == (expected.percent(), "all test clips")
        assert rows[title]["Assumes"] == REDUCTIONS[name].assumes
        difference = float(rows[title][difference_of].split()[0].replace("\N{MINUS SIGN}", "-"))
        assert difference == pytest.approx(100 * (expected.mean - plainly.mean), abs=0.051)
    assert "no plain accuracy" in page.warning[0].value


def test_seen_and_unseen_classes_are_the_engines(empty_workspace, demo):
    page = fine(open_page("evaluate", look="Seen and unseen", **FEW))
    assert "with the same run" in texts(page) and len(page.table) == 1
    told, place = demo.embeddings(), empty_workspace / "scores" / "demo@seen"
    place.mkdir(parents=True)
    (place / "about.json").write_text(json.dumps(demo.about | {"dataset": "seen"}))
    renamed = {name: f"{name}, seen" for name in told.class_names}
    moved = told.prototypes + np.random.default_rng(0).normal(0, 0.1 * told.prototypes.std(), told.prototypes.shape)
    labels = [renamed[name] for name in told.labels]
    seen = replace(told, prototypes=moved, class_names=[*renamed.values()], labels=labels)
    seen.save(place / "embeddings.safetensors")
    page = fine(open_page("evaluate", look="Seen and unseen", **FEW))
    both = Scores.from_embeddings(told.joined(seen))
    found, classes = stacking(both, seen.class_names, demo.weights), np.array([*told.labels, *seen.labels])
    right = np.array(both.class_names)[cosine(both, demo.weights).argmax(axis=1)] == classes
    sides = told.class_names, seen.class_names
    unseen, own = (np.mean([right[classes == name].mean() for name in names]) for names in sides)
    plainly, best = table(page, "Factor")
    assert [plainly["Seen"], plainly["Unseen"]] == [f"{100 * share:.1f} %" for share in (own, unseen)]
    assert best["Harmonic mean"] == f"{100 * found.best().accuracies.harmonic:.1f} %" > plainly["Harmonic mean"]
    assert f"(AUSUC): {100 * found.ausuc:.1f} %" in texts(page) and "has seen these labels" in texts(page)
    assert any(numbers(spec["data"][0]["x"]) == pytest.approx(100 * found.seen_between) for spec in charts(page))
    about = demo.about | {"dataset": "seen", "created": "now"}
    (place / "about.json").write_text(json.dumps(about))
    told.save(place / "embeddings.safetensors")
    assert "is a class of both sets" in texts(open_page("evaluate", look="Seen and unseen", **FEW))


def test_reliability_is_told_on_classes_that_t_was_not_fitted_on(empty_workspace, demo, scores, few):
    page = fine(open_page("evaluate", look="Reliability", row="demo: VE", **FEW))
    matrix, names = cosine(scores, VE).astype(np.float64), scores.class_names
    temperatures, before, after, right = [], [], [], []
    for split in few.splits:
        own = [index for index, name in enumerate(names) if name in split]
        parts = []
        for group in (own, [index for index in range(len(names)) if index not in own]):
            rows = [row for row, label in enumerate(scores.label_index) if label in group]
            parts.append((matrix[np.ix_(rows, group)], [group.index(scores.label_index[row]) for row in rows]))
        temperatures.append(fit(*parts[1]).temperature)
        before.append(calibration_error(reliability_at(*parts[0])))
        after.append(calibration_error(reliability_at(*parts[0], temperatures[-1])))
        right.append(np.mean(parts[0][0].argmax(axis=1) == parts[0][1]))
    told = metrics(page)
    for title, values in (("ECE at T = 1", before), ("ECE at T fitted", after)):
        assert told[title] == (f"{100 * np.mean(values):.1f} %", f"± {100 * np.std(values, ddof=1):.1f} over splits")
    assert told["T fitted"][0] == f"{np.mean(temperatures):.3f}" and np.mean(after) < 0.2 < np.mean(before)
    assert told["Answers right"][0] == f"{100 * np.mean(right):.1f} %"
    with pytest.raises(InputError, match="leaves none"):
        unknown.trust(demo, VE, named("list", names[1:], names))


# Another evaluation --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(workspace, clips):
    """A store of the three clips, by the encoder of the tiny run."""
    encoder, folder = MotionEncoder(), workspace / "features" / "tiny"
    if not folder.exists():
        told = {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
        with StoreWriter(folder, told) as writer:
            for path in clips[1]:
                features = np.random.default_rng(0).random((4, encoder.dim)).astype(np.float32)
                writer.add(path.stem, features, path.parent.name)
    return folder


def test_the_form_starts_a_job(workspace, store, started, clips, monkeypatch):
    folder, run = clips[1][0].parents[1], (workspace / "runs" / "demo").resolve()
    monkeypatch.setattr("cezsar.data.datasets.registered", lambda home=None: {"my clips": str(folder)})
    page = fine(open_page("evaluate", protocol="All"))
    (box,) = [box for box in page.selectbox if box.label == "Data set"]
    assert box.options == ["demo", "my clips"]
    box.set_value("my clips")
    fine(press(page, "Evaluate"))
    job, name = started[0], file_name(str(folder.resolve()))
    words = job.steps[0].arguments
    assert (job.kind, job.title) == ("evaluate", f"demo on {folder.name}")
    assert words[:3] == ["evaluate", "--dataset", str(folder.resolve())] and "--keep" in words
    given = {option: Path(words[words.index(option) + 1]) for option in ("--store", "--run", "--out")}
    assert given == {"--store": store.resolve(), "--run": run, "--out": run / "results" / f"{name}.json"}


def test_a_path_that_is_not_there_is_refused_and_nothing_shipped_written_to(workspace, store, started, clips, tmp_path):
    folder = str(clips[1][0].parents[1])
    right = {"by": str(workspace / "runs" / "demo"), "store": str(store), "dataset": folder}
    for change, said in (
        ({"dataset": ""}, "data set: there is no"), ({"dataset": "/no/such/folder"}, "there is no /no/such/folder"),
        ({"store": "/no/such"}, "there is no /no/such"), ({"captions": "\n/no/such"}, "there is no /no/such"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            scoring.start(**right | change)
    assert not started
    scoring.start(**right | {"by": str(SHIPPED / "runs" / "demo")})
    (tmp_path / "said.json").write_text("{}")
    scoring.start("captions", "", folder, str(tmp_path / "said.json"))  # a method that needs no run, nor a store
    shipped, words = (job.steps[0].arguments for job in started)
    assert "--out" not in shipped and "--store" not in words
    assert words[-4:] == ["--method", "captions", "--captions", str(tmp_path / "said.json")]


def test_what_an_example_is_worth_is_the_librarys_table(empty_workspace, demo):
    page = fine(open_page("evaluate", look="Examples", **FEW))
    page = fine(page.selectbox(key=state.ROW).set_value("demo: VE").run())
    told = shots(demo.embeddings(), VE)
    rows, blend_DK = table(page, "Examples a class"), told.top1["blend"]
    assert rows == told.frame().to_dict("records") and [row["Examples a class"] for row in rows] == list("01248")
    drawn = charts(page)[-1]["data"][2]
    assert drawn["name"] == "blend" and numbers(drawn["y"]) == pytest.approx(100 * blend_DK.mean(axis=0))
    assert numbers(drawn["error_y"]["array"]) == pytest.approx(100 * blend_DK.std(axis=0, ddof=1))
    assert f"Top-1 on {told.tested[0]} clips in each of 20 draws" in texts(page) and "not zero-shot" in texts(page)
