"""Evaluate, through the app's entry: its figures are those of the engine called directly."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import open_page
from streamlit.typing import PlotlyState

from app import state
from app.evaluate import asking, scoring, splits
from app.evaluate import rows as made
from app.services import models, scored
from cezsar import jobs
from cezsar.data.datasets import file_name
from cezsar.data.features import StoreWriter
from cezsar.data.labels import groups_path, keep_group
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.zeroshot import tables
from cezsar.zeroshot.evaluation import confusion_matrix, evaluate
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.results import load_all
from cezsar.zeroshot.scored import Scored

SHIPPED = models.SHIPPED
CLASSES = ["kicking a drum", "kicking a box", "throwing a bucket"]


@pytest.fixture(scope="module")
def demo():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def demo_scores(demo):
    return demo.scores()


def rows_on(page):
    """The table: {(run, modality): cells by column}, without markup."""
    table = page.table[0].value
    marks = re.compile(r":gray\[|\]|\*\*|\\")
    cells = [
        {head: marks.sub("", str(text)).replace("\N{NO-BREAK SPACE}", " ") for head, text in row.items()}
        for row in table.to_dict("records")
    ]
    return {(row["Run"], row["Modality"]): row for row in cells}


def texts(page):
    return " ".join(str(element.value) for kind in ("markdown", "subheader", "caption") for element in page.get(kind))


def shown(page):
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def expect(page, key, result):
    row = rows_on(page)[key]
    assert row["Top-1 (%)"] == result.figure("top1").percent()
    assert row["Top-5 (%)"] == result.figure("top5").percent()
    assert row["Mean per class (%)"] == result.figure("mean_per_class").percent()


def test_a_first_visit_shows_random_halves_of_the_shipped_demo(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate"))
    halves = random_classes(demo_scores.class_names, 10, 50, 0)
    expect(page, ("demo", "VE"), evaluate(demo_scores, halves, Weights.only("VE")))
    expect(page, ("demo", "O"), evaluate(demo_scores, halves, Weights.only("O")))
    expect(page, ("demo", "VE + O"), evaluate(demo_scores, halves, demo.weights))
    assert rows_on(page)["chance", ""]["Top-1 (%)"] == "10.0"
    assert len(page.get("plotly_chart")) == 3
    assert len(page.table) == 1 + 4  # and what the paper reports
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON", "Markdown", "LaTeX"]


def test_controls_are_those_that_the_demo_measured(empty_workspace, demo):
    for name, protocol in (("demo 10-of-21 x 50", "Half"), ("demo all", "All")):
        measured = {row.modality: row for row in load_all(SHIPPED / "runs" / "demo" / "results" / f"{name}.json")}
        page = shown(open_page("evaluate", protocol=protocol))
        expect(page, ("place oracle", ""), measured["place oracle"])
        expect(page, ("colour only", ""), measured["colour only"])
        expect(page, ("demo", "VE + O"), measured["VE + O"])


def test_all_classes_have_their_bars_and_confusion(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate", protocol="All", row="demo: VE"))
    result = evaluate(demo_scores, all_classes(demo_scores.class_names), Weights.only("VE"))
    expect(page, ("demo", "VE"), result)
    (bars,), (errors, hits, _) = (json.loads(chart.proto.spec)["data"] for chart in page.get("plotly_chart"))
    assert bars["text"] == [f"{100 * value:.0f}" for value in sorted(result.runs[0].per_class().values())]
    frame = page.dataframe[0].value
    assert list(frame["class"]) == list(result.per_class())
    np.testing.assert_allclose(frame["right"], [100 * figure.mean for figure in result.per_class().values()])
    order = sorted(result.runs[0].per_class(), key=lambda name: (result.runs[0].per_class()[name], name))
    counts = confusion_matrix(demo_scores, Weights.only("VE"), order)
    cells = zip(np.ravel(errors["text"]), np.ravel(hits["text"]), strict=True)
    assert [int(wrong or right or 0) for wrong, right in cells] == counts.ravel().tolist()


def test_a_random_protocol_from_the_address(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate", protocol="Random", draw="5", splits="7", seed="3", rows=["O"], split="4"))
    expected = evaluate(demo_scores, random_classes(demo_scores.class_names, 5, 7, 3), Weights.only("O"))
    expect(page, ("demo", "O"), expected)
    assert ("demo", "VE") not in rows_on(page)
    assert page.number_input(key=state.SPLIT).value == 4
    assert f"**{100 * expected.runs[3].top1:.1f} %**" in texts(page)


def test_a_click_on_a_point_shows_that_split(empty_workspace, demo, demo_scores):
    page = shown(open_page("evaluate"))
    worst = page.number_input(key=state.SPLIT).value
    ve = evaluate(demo_scores, random_classes(demo_scores.class_names, 10, 50, 0), Weights.only("VE"))
    page.session_state[splits.CHART] = PlotlyState(
        {"selection": {"points": [{"customdata": [0, 11]}], "point_indices": [11], "box": [], "lasso": []}}
    )
    shown(page.run())
    assert page.selectbox(key=state.ROW).value == "demo: VE"
    assert page.number_input(key=state.SPLIT).value == 12 != worst
    assert f"top-1 **{100 * ve.runs[11].top1:.1f} %**" in texts(page)
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


def test_two_runs_side_by_side(empty_workspace):
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    page = shown(open_page("evaluate", protocol="All"))
    shown(page.multiselect(key=state.COMPARED).set_value(["demo-colour@demo"]).run())
    expected = evaluate(colour, all_classes(colour.class_names), Weights.only("VE"))
    expect(page, ("demo-colour", "VE"), expected)
    assert ("colour only", "") not in rows_on(page)  # it is there already
    assert not page.warning


def test_lists_picked_and_typed(empty_workspace, demo_scores):
    page = shown(open_page("evaluate", protocol="List", classes=CLASSES, rows=["VE"]))
    picked = [name for name in demo_scores.class_names if name in CLASSES]
    expected = evaluate(demo_scores, named("list", picked, demo_scores.class_names), Weights.only("VE"))
    expect(page, ("demo", "VE"), expected)
    page.segmented_control(key=state.LISTED_BY).set_value(asking.TYPED).run()
    assert not page.table[0].value.columns.isin(["Run"]).any()  # nothing typed yet
    shown(page.text_area(key=state.TYPED_CLASSES).set_value("Kicking_A_Drum, kicking a box\nthrowing a bucket").run())
    expect(page, ("demo", "VE"), expected)
    page.text_area(key=state.TYPED_CLASSES).set_value("kicking a drun").run()
    assert not page.exception
    assert "did you mean 'kicking a drum'" in page.error[0].value.replace("\\", "")


def test_ones_own_groups_are_picked(empty_workspace, demo_scores):
    members = list(demo_scores.class_names[3:6])
    keep_group(groups_path(), "look-alikes of mine", [members[0].upper(), *members[1:], "not in this data set"])
    page = shown(open_page("evaluate", protocol="List", rows=["VE"]))
    next(button for button in page.button if button.label == "look-alikes of mine (3)").click()
    page = shown(page.run())
    protocol = named("list", members, demo_scores.class_names)
    expect(page, ("demo", "VE"), evaluate(demo_scores, protocol, Weights.only("VE")))


def test_a_list_in_a_file(empty_workspace, demo_scores):
    page = open_page("evaluate", protocol="List")
    page.segmented_control(key=state.LISTED_BY).set_value(asking.IN_FILE).run()
    page.file_uploader[0].upload("mine.json", json.dumps({"training": [], "testing": CLASSES}).encode())
    shown(page.run())
    expected = evaluate(demo_scores, named("mine", CLASSES, demo_scores.class_names), Weights.only("VE"))
    expect(page, ("demo", "VE"), expected)
    assert "protocol mine" in texts(page)


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


def test_named_data_sets_are_offered(workspace, store, started, clips, monkeypatch):
    folder = clips[1][0].parents[1]
    monkeypatch.setattr("cezsar.data.datasets.registered", lambda home=None: {"my clips": str(folder)})
    page = shown(open_page("evaluate"))
    (box,) = [box for box in page.selectbox if box.label == "Data set"]
    assert box.options == ["the stick-figure world", "my clips"]
    box.set_value("my clips")
    shown(next(button for button in page.button if button.label == "Evaluate").click().run())
    (_, _, (step,)), _ = started[0]
    assert step.arguments[:3] == ["evaluate", "--dataset", str(folder.resolve())]


def test_a_damaged_list_of_data_sets_is_named(empty_workspace):
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / "datasets.json").write_text("[")
    page = open_page("evaluate")
    assert not page.exception and "datasets" in page.error[0].value
    assert rows_on(page)


def test_the_form_starts_a_job(workspace, store, started, clips):
    folder = clips[1][0].parents[1]
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


def test_features_of_another_encoder_are_refused(workspace, started, tmp_path, clips):
    with StoreWriter(tmp_path / "other", {"encoder": "bit", "fingerprint": "0" * 64, "dim": 4}) as writer:
        writer.add("a", np.ones((2, 4), np.float32), "x")
    with pytest.raises(MismatchError, match="bit"):
        scoring.start(str(workspace / "runs" / "demo"), str(tmp_path / "other"), str(clips[1][0].parents[1]))
    assert not started


def test_what_is_shipped_is_not_written_to(empty_workspace, started, workspace, store, clips):
    folder = clips[1][0].parents[1]
    scoring.start(str(SHIPPED / "runs" / "demo"), str(store), str(folder))
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
