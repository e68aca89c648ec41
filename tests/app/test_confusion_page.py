"""The page Confusion: its numbers are the engine's, a cell leads to its clips, and groups of one's own are kept."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from conftest import charts, fine, metrics, numbers, open_page, press, texts
from streamlit.typing import DataframeState, PlotlyState

from app import state
from app.confusion import groups, matrices
from app.confusion.page import as_csv, similar
from app.parts import matrices as drawing
from app.parts import scored
from cezsar.analysis import confusion as engine
from cezsar.analysis.baselines import random_baseline
from cezsar.data.labels import groups_path, load_groups
from cezsar.report.figures import percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.scores import Embeddings, Scores

DEMO = "demo@demo"


@pytest.fixture
def demo(demo):
    return matrices.Side(demo, demo.weights)


def test_a_first_visitor_finds_the_demo_and_goes_to_another_cell(empty_workspace, demo):
    page = fine(open_page("confusion"))
    scores = demo.item.scores()
    counts = confusion_matrix(scores, demo.weights)
    total = engine.group_confusion(counts, scores.class_names, HARD_GROUPS)[-1]
    shares = [percent(share) for share in (np.trace(counts) / counts.sum(), total.within, total.between)]
    titles = ["Clips", "Accuracy", "Within-group error", "Between-group error"]
    assert [metrics(page)[title][0] for title in titles] == ["420", *shares]
    table, expected = page.dataframe[0].value, engine.pairs(counts, scores.class_names)
    assert [*zip(table["true"], table["count"], strict=True)] == [(pair.true, pair.count) for pair in expected]
    assert page.selectbox(key=state.TRUE).value == expected[0].true
    assert page.selectbox(key=state.TAKEN).value == expected[0].predicted
    assert f"{expected[0].count} of 20 clips of" in texts(page)
    assert len(page.selectbox(key=state.SHOT).options) == expected[0].count
    assert list(page.dataframe[1].value["group"]) == [*HARD_GROUPS, "in no group", "all"]
    assert [button.label for button in page.get("download_button")] == ["Matrix CSV"]
    action = "running with a guitar"
    page.selectbox(key=state.TRUE).set_value(action)
    page.selectbox(key=state.TAKEN).set_value(action).run()
    right = predict(scores, demo.weights) == scores.label_index
    rows = np.flatnonzero(right & (np.array(scores.labels) == action))
    assert set(fine(page).selectbox(key=state.SHOT).options) == {scores.ids[row] for row in rows}
    assert f"{len(rows)} of 20 clips of **{action}** are recognised" in texts(page)
    page.selectbox(key=state.TAKEN).set_value("kicking a drum").run()
    assert "No clip is in this cell" in texts(fine(page))


def test_hard_groups_restrict_the_predictions_unless_asked(empty_workspace, demo):
    page = fine(open_page("confusion", which="Hard groups", hard="bucket (the demo's)"))
    members, scores = HARD_GROUPS["bucket"], demo.item.scores()
    restricted = confusion_matrix(scores, demo.weights, members)
    assert metrics(page)["Accuracy"][0] == percent(np.trace(restricted) / restricted.sum())
    page.segmented_control(key=state.AMONG).set_value("all").run()
    full = confusion_matrix(scores, demo.weights)
    place = [scores.class_names.index(name) for name in members]
    assert metrics(fine(page))["Accuracy"][0] == percent(full[place, place].sum() / full[place].sum())
    page.selectbox(key=state.TAKEN).set_value(matrices.OTHER).run()
    true = page.selectbox(key=state.TRUE).value
    row = full[scores.class_names.index(true)]
    others = row.sum() - row[place].sum()
    assert f"{others} of 20 clips of **{true}** are taken for **any other class**" in texts(fine(page))


def test_two_modalities_side_by_side_then_two_runs(empty_workspace, demo):
    page = fine(open_page("confusion", beside="true", groupsof="Proposed"))
    scores = demo.item.scores()
    a, b = (confusion_matrix(scores, weights) for weights in (demo.weights, Weights.only("VE")))
    changed = engine.row_normalised(b) - engine.row_normalised(a)
    np.fill_diagonal(changed, 0)
    order = np.sort(-np.abs(changed), axis=None)[: matrices.MOST_CHANGED]
    assert page.dataframe[0].value["change"].abs().tolist() == pytest.approx((-100 * order).tolist())
    assert "B − A, in percentage points" in texts(page) and len(page.get("plotly_chart")) >= 4
    cell = [scores.class_names.index(page.selectbox(key=key).value) for key in (state.TRUE, state.TAKEN)]
    assert abs(changed[tuple(cell)]) == pytest.approx(np.abs(changed).max())
    proposed = groups.sources(demo, {})[groups.PROPOSED]
    n = len({name for members in proposed.values() for name in members})
    for letter, weights in (("A", demo.weights), ("B", Weights.only("VE"))):
        named = random_baseline(scores, proposed, weights).standing().named
        assert f"{letter}: These {n} classes: **{percent(named)}**" in texts(page)
    page.segmented_control(key=state.SIDE).set_value(state.ONLY_A).run()
    fine(page).selectbox(key=state.WITH).set_value("demo-colour@demo").run()
    other = confusion_matrix(scored.scored_sets()["demo-colour@demo"].scores(), Weights.only("VE"))
    assert metrics(fine(page))["Accuracy of A"][1] == f"B: {percent(np.trace(other) / other.sum())}"


def test_a_proposed_group_is_kept_edited_and_deleted(empty_workspace, demo):
    page = fine(open_page("confusion", groupsof="Proposed", true="dragging a box", taken="kicking a drum"))
    assert [page.selectbox(key=key).value for key in (state.TRUE, state.TAKEN)] == ["dragging a box", "kicking a drum"]
    own = {"Horse": ["a", "b"], "horse 2": ["a", "c"]}
    assert [groups.free_name(name, own) for name in ("horse", "cow")] == ["horse 3", "cow"]
    proposed = groups.sources(demo, {})[groups.PROPOSED]
    name = next(iter(proposed))
    assert list(page.dataframe[1].value["group"])[: len(proposed)] == list(proposed)
    press(page, name)
    assert load_groups(groups_path()) == {name: proposed[name]} and page.button(key=f"keep-{name}").disabled
    page.segmented_control(key=state.GROUPS_OF).set_value(groups.OWN).run()
    assert fine(page).dataframe[1].value["group"].iloc[0] == name
    page.selectbox(key="own-group").set_value(name).run()
    for typed, kept in ((" ", name), ("look-alikes", "look-alikes")):
        page.text_input(key=f"own-{name}-1-name").set_value(typed)
        press(page, "Save")
        assert not page.exception and load_groups(groups_path()) == {kept: proposed[name]}
        assert bool(page.error) == (typed == " ")
    page.selectbox(key="own-group").set_value("look-alikes").run()
    press(fine(page), "Yes, delete it")
    assert load_groups(groups_path()) == {}


def selection(**chosen):
    return PlotlyState({"selection": {"points": [], "point_indices": [], "box": [], "lasso": [], **chosen}})


def test_clicks_choose_the_cell_and_a_box_a_part_of_at_most_thirty(monkeypatch):
    monkeypatch.setattr(matrices.st, "session_state", session := {})
    for points in ([{"customdata": 5}], []):  # a second click takes nothing back
        session["matrix"] = selection(points=points)
        matrices.clicked("matrix", ["a", "b"], ["x", "y", "z"])
        assert (session[state.TRUE], session[state.TAKEN]) == ("b", "z")
    ends = ([10.2, 20.4], [5.7, 3.1]), ([-9, 500], [0, 2]), ([399.4, 460], [7, 7])
    for (x, y), zoom in zip(ends, ("3-6,10-20", "0-2,185-214", "7-7,399-399"), strict=True):
        session["overview"] = selection(box=[{"x": x, "y": y}])
        matrices.dragged("overview", 400, 400)
        assert session[state.ZOOM] == zoom
    session["pairs"] = DataframeState({"selection": {"rows": [1], "columns": [], "cells": []}})
    matrices.picked("pairs", [("a", "b"), ("c", "d")])
    assert (session[state.TRUE], session[state.TAKEN], session[state.ZOOM]) == ("c", "d", "")


def test_cells_of_a_part_keep_their_places_and_say_their_counts():
    names = ["a", "b", "<c>"]
    a, b = np.array([[4, 0, 0], [1, 2, 1], [0, 0, 0]]), np.array([[4, 0, 0], [0, 1, 3], [0, 5, 5]])
    figure = drawing.cells_figure([a], names, names, (1, 2, 0, 2), True, ("b", "<c>"))
    squares = figure.data[-1]
    assert list(squares.customdata) == list(range(6)) and list(squares.y) == ["b"] * 3 + ["&lt;c&gt;"] * 3
    assert squares.hovertext[2] == "true: b<br>predicted: &lt;c&gt;<br>1 of 4 clips (25.0 %)"
    assert squares.hovertext[3] == "true: &lt;c&gt;<br>predicted: a<br>0 of 0 clips"
    wrong, right = (layer.text.tolist() for layer in figure.data[:2])
    assert wrong == [["1", "", "1"], ["", "", ""]] and right == [["", "2", ""], ["", "", ""]]
    change = drawing.cells_figure([a, b], names, names)
    assert change.data[0].text.tolist() == [["", "", ""], ["−25", "−25", "+50"], ["", "+50", "+50"]]
    said = "<br>A 1 of 4 clips (25.0 %)<br>B 3 of 4 clips (75.0 %)<br>B − A: +50.0 points"
    assert change.data[1].hovertext[5].endswith(said)


def test_shots_are_those_of_the_cell_with_the_cosines_of_the_engine(empty_workspace, demo):
    classes = list(dict.fromkeys(HARD_GROUPS["bucket"] + HARD_GROUPS["box"]))
    view, scores = matrices.matrix(demo, classes[::-1], True), demo.item.scores()
    expected = cosine(scores, demo.weights)
    chosen = [scores.class_names.index(name) for name in classes]
    predicted = predict(scores, demo.weights, chosen)
    seen = 0
    for (row, column), count in np.ndenumerate(view.counts_KL):
        true, taken = view.classes[row], view.classes[column]
        rows = view.rows_of(true, taken)
        seen += len(rows)
        assert len(rows) == count
        assert [scores.class_names[c] for c in predicted[rows]] == [taken] * count
        places = [scores.class_names.index(name) for name in view.candidates]
        np.testing.assert_allclose(similar(view, rows), expected[np.ix_(rows, places)], atol=1e-6)
    assert seen + view.undecided == 20 * len(classes)


def test_orders_and_the_file(empty_workspace, demo):
    names = demo.item.scores().class_names
    alike = matrices.in_order(demo, names, True, "alike")
    assert sorted(alike) == sorted(names) and alike != names
    worst = matrices.matrix(demo, matrices.in_order(demo, names, True, "worst"), True)
    assert (np.diff(np.diagonal(worst.shares())) >= 0).all()
    table = pd.read_csv(io.StringIO(as_csv(matrices.matrix(demo, alike, True))), index_col=0)
    assert list(table.columns) == list(table.index) == alike
    np.testing.assert_array_equal(table, confusion_matrix(demo.item.scores(), demo.weights, alike))


def test_hard_groups_stand_among_random_sets_as_the_engine_has_it(empty_workspace, demo):
    page = fine(open_page("confusion"))
    found = random_baseline(demo.item.scores(), HARD_GROUPS, demo.weights)
    standing = found.standing()
    assert groups.in_words(standing, 19) in texts(page)
    traces = charts(page)[-1]["data"]
    drawn = {trace.get("name"): numbers(trace["x"]) for trace in traces if trace.get("mode") == "markers"}
    assert sorted(next(iter(drawn.values()))) == pytest.approx(sorted(100 * value for value in standing.values))
    assert drawn["these classes"] == [pytest.approx(100 * standing.named)]
    page.toggle(key=state.OUTSIDE).set_value(True).run()
    assert page.error and not page.exception  # two classes are left
    page.selectbox(key=state.CONTROLLED).set_value("bucket").run()
    apart = random_baseline(demo.item.scores(), {"bucket": HARD_GROUPS["bucket"]}, demo.weights, outside=True)
    assert groups.in_words(apart.standing(), 3) in texts(fine(page))


def test_four_hundred_classes_are_an_overview_and_a_part(empty_workspace):
    rng, names = np.random.default_rng(0), [f"class number {index}" for index in range(400)]
    prototypes, label = rng.normal(size=(400, 16)).astype(np.float32), rng.integers(0, 400, 4000)
    vectors = (prototypes[label] + 2 * rng.normal(size=(4000, 16))).astype(np.float32)
    ids, labels = [f"clip {index}" for index in range(4000)], [names[index] for index in label]
    embeddings = Embeddings(ids, labels, names, {"VE": vectors}, prototypes, np.arange(400))
    folder = empty_workspace / "scores" / "large@random"
    folder.mkdir(parents=True)
    embeddings.save(folder / "embeddings.safetensors")
    scores = Scores.from_embeddings(embeddings)
    scores.save(folder / "scores.safetensors")
    about = json.loads((scored.SHIPPED / "scores" / DEMO / "about.json").read_text())
    about |= {"run": "large", "dataset": "random", "modalities": ["VE"], "clips": 4000, "classes": 400}
    (folder / "about.json").write_text(json.dumps(about))
    page = fine(open_page("confusion", on="large@random", zoom="10-39,0-4"))
    assert metrics(page)["Clips"][0] == "4,000"
    counts = confusion_matrix(scores, Weights.only("VE"))
    assert page.dataframe[0].value["count"].iloc[0] == engine.pairs(counts, names)[0].count
    part = charts(page)[1]
    assert len(part["data"][-1]["customdata"]) == 30 * 5
    assert "rows 11 to 40, columns 1 to 5" in texts(page)
