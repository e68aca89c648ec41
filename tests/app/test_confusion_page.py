"""The page Confusion: its numbers are the engine's, a cell leads to its clips, and groups of one's own are kept."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import open_page
from streamlit.typing import DataframeState, PlotlyState

from app import state
from app.charts import confusion as charts
from app.services import confusion as services
from app.services import scored
from app.widgets import controls, hard_groups, matrices, pairs
from cezsar.analysis import confusion as engine
from cezsar.analysis.baselines import Standing
from cezsar.analysis.baselines import random_baseline as control
from cezsar.data.labels import groups_path, keep_group, load_groups
from cezsar.report import figures
from cezsar.report.figures import percent
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.evaluation import confusion_matrix
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.results import figure_of
from cezsar.zeroshot.scores import Scores

DEMO = "demo@demo"


@pytest.fixture
def demo():
    item = scored.scored_sets()[DEMO]
    return services.Side(item, item.weights)


def texts(page):
    kinds = ("markdown", "subheader", "caption", "info")
    return " ".join(str(element.value) for kind in kinds for element in page.get(kind))


def fine(page):
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def metrics(page):
    """Of the headline; further down labels come again."""
    return {metric.label: metric.value for metric in reversed(page.metric)}


# The page ------------------------------------------------------------------------------------------------------------


def test_a_first_visitor_finds_the_demo(empty_workspace):
    page = fine(open_page("confusion"))
    item = scored.scored_sets()[DEMO]
    scores = item.scores()
    counts = confusion_matrix(scores, item.weights)
    total = engine.group_confusion(counts, scores.class_names, HARD_GROUPS)[-1]
    assert metrics(page) == {
        "Clips": "420",
        "Accuracy": percent(np.trace(counts) / counts.sum()),
        "Within-group error": percent(total.within),
        "Between-group error": percent(total.between),
    }
    table = page.dataframe[0].value
    expected = engine.pairs(counts, scores.class_names)
    assert list(table["true"]) == [pair.true for pair in expected]
    assert list(table["clips"]) == [pair.count for pair in expected]
    assert page.selectbox(key=state.TRUE).value == expected[0].true
    assert page.selectbox(key=state.TAKEN).value == expected[0].predicted
    assert f"{expected[0].count} of 20 clips of" in texts(page)
    assert len(page.selectbox(key=state.SHOT).options) == expected[0].count
    groups = page.dataframe[1].value
    assert list(groups["group"]) == [*HARD_GROUPS, "in no group", "all"]
    assert [button.label for button in page.get("download_button")] == ["Matrix CSV", "Pairs CSV", "Groups CSV"]


def test_another_cell_shows_its_own_clips(empty_workspace, demo):
    page = fine(open_page("confusion", true="running with a guitar", taken="running with a guitar"))
    scores = demo.item.scores()
    rows = engine.clips_of(scores, demo.weights, "running with a guitar", "running with a guitar")
    assert set(page.selectbox(key=state.SHOT).options) == {scores.ids[row] for row in rows}
    assert f"{len(rows)} of 20 clips of **running with a guitar** are recognised" in texts(page)
    page.selectbox(key=state.TAKEN).set_value("kicking a drum").run()
    assert "No clip is in this cell" in texts(fine(page))


def test_hard_groups_restrict_the_predictions_unless_asked(empty_workspace, demo):
    chosen = ["bucket (the demo's)"]
    page = fine(open_page("confusion", which="Hard groups"))
    page.multiselect(key=state.HARD).set_value(chosen).run()
    members = HARD_GROUPS["bucket"]
    restricted = confusion_matrix(demo.item.scores(), demo.weights, members)
    assert metrics(fine(page))["Accuracy"] == percent(np.trace(restricted) / restricted.sum())
    page.segmented_control(key=state.AMONG).set_value("all").run()
    scores = demo.item.scores()
    full = confusion_matrix(scores, demo.weights)
    place = [scores.class_names.index(name) for name in members]
    assert metrics(fine(page))["Accuracy"] == percent(full[place, place].sum() / full[place].sum())
    page.selectbox(key=state.TAKEN).set_value(services.OTHER).run()
    true = page.selectbox(key=state.TRUE).value
    row = scores.class_names.index(true)
    others = full[row].sum() - full[row, place].sum()
    assert f"{others} of 20 clips of **{true}** are taken for **any other class**" in texts(fine(page))


def test_two_modalities_side_by_side(empty_workspace, demo):
    page = fine(open_page("confusion", beside="true"))
    scores = demo.item.scores()
    a, b = (confusion_matrix(scores, weights) for weights in (demo.weights, Weights.only("VE")))
    changed = engine.row_normalised(b) - engine.row_normalised(a)
    np.fill_diagonal(changed, 0)
    better, worse = page.dataframe[0].value, page.dataframe[1].value
    assert better["change"].iloc[0] == pytest.approx(100 * changed.min())
    assert worse["change"].iloc[0] == pytest.approx(100 * changed.max())
    assert "B − A, in percentage points" in texts(page)
    assert len(page.get("plotly_chart")) >= 4
    row, column = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    assert abs(changed[row, column]) == pytest.approx(
        abs(
            changed[
                scores.class_names.index(page.selectbox(key=state.TRUE).value),
                scores.class_names.index(page.selectbox(key=state.TAKEN).value),
            ]
        )
    )
    page.segmented_control(key=state.SIDE).set_value(state.ONLY_A).run()
    fine(page)


def test_two_runs_side_by_side(empty_workspace):
    page = fine(open_page("confusion", beside="true"))
    page.selectbox(key=state.WITH).set_value("demo-colour@demo").run()
    item = scored.scored_sets()["demo-colour@demo"]
    counts = confusion_matrix(item.scores(), Weights.only("VE"))
    a = scored.scored_sets()[DEMO]
    before = confusion_matrix(a.scores(), a.weights)
    change = np.trace(counts) / counts.sum() - np.trace(before) / before.sum()
    delta = next(metric.delta for metric in fine(page).metric if metric.label == "Accuracy of A")
    assert delta == f"{100 * change:+.1f} in B"


def test_nothing_scored_is_a_word_and_not_an_error(empty_workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(scored, "SHIPPED", tmp_path / "nothing")
    page = fine(open_page("confusion"))
    assert "Nothing has been scored yet" in texts(page)
    assert not page.get("plotly_chart")


def test_it_runs_in_a_workspace_with_a_run_and_no_scores(workspace):
    assert metrics(fine(open_page("confusion")))["Clips"] == "420"


def test_hostile_addresses_do_no_harm(empty_workspace):
    page = open_page("confusion", true="../../x", taken="<b>", zoom="9-1,x", which="none", speaks="?", shot="'")
    assert metrics(fine(page))["Clips"] == "420"


# Own groups ----------------------------------------------------------------------------------------------------------


def test_a_proposed_group_is_kept_edited_and_deleted(empty_workspace, demo):
    page = fine(open_page("confusion", groupsof="Proposed"))
    scores = demo.item.scores()
    embeddings = demo.item.embeddings()
    similarity = engine.prototype_similarity(embeddings.prototypes, embeddings.prototype_class, 21)
    proposed = engine.propose_groups(similarity, confusion_matrix(scores, demo.weights), scores.class_names)
    name = next(iter(proposed))
    assert list(page.dataframe[1].value["group"])[: len(proposed)] == list(proposed)
    page.button(key=f"keep-{name}").click().run()
    assert load_groups(groups_path()) == {name: proposed[name]}
    assert page.button(key=f"keep-{name}").disabled
    page.segmented_control(key=state.GROUPS_OF).set_value(services.OWN).run()
    assert fine(page).dataframe[1].value["group"].iloc[0] == name
    page.selectbox(key="own-group").set_value(name).run()
    page.text_input(key=f"own-{name}-1-name").set_value("look-alikes")
    next(button for button in page.button if button.label == "Save").click().run()
    assert load_groups(groups_path()) == {"look-alikes": proposed[name]}
    page.selectbox(key="own-group").set_value("look-alikes").run()
    next(button for button in page.button if button.label == "Delete").click().run()
    assert load_groups(groups_path())
    next(button for button in page.button if button.label == "Yes, delete it").click().run()
    assert load_groups(groups_path()) == {}
    assert not fine(page).error


def test_what_is_wrong_with_a_group_is_said(empty_workspace):
    page = fine(open_page("confusion", groupsof="My own"))
    next(button for button in page.button if button.label == "Save").click().run()
    assert not page.exception
    assert "empty" in page.error[0].value
    assert not groups_path().exists()


def test_a_damaged_file_of_groups_is_named(empty_workspace):
    keep_group(groups_path(), "a", ["x", "y"])
    groups_path().write_text("{")
    page = open_page("confusion")
    assert not page.exception
    assert "hard" in page.error[0].value and metrics(page)["Clips"] == "420"


def test_names_of_proposed_groups_give_way_to_those_that_are_kept():
    own = {"Horse": ["a", "b"], "horse 2": ["a", "c"]}
    assert [hard_groups._free(name, own) for name in ("horse", "cow")] == ["horse 3", "cow"]


# Clicks --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def session(monkeypatch):
    found = {}
    for module in (pairs, matrices):
        monkeypatch.setattr(module.st, "session_state", found)
    return found


def selection(**chosen):
    return PlotlyState({"selection": {"points": [], "point_indices": [], "box": [], "lasso": [], **chosen}})


def test_a_click_into_a_matrix_chooses_its_cell(session):
    session["matrix"] = selection(points=[{"customdata": 5}])
    matrices.clicked("matrix", ["a", "b"], ["x", "y", "z"])
    assert (session[state.TRUE], session[state.TAKEN]) == ("b", "z")
    session["matrix"] = selection()
    matrices.clicked("matrix", ["a", "b"], ["x", "y", "z"])
    assert (session[state.TRUE], session[state.TAKEN]) == ("b", "z")


def test_a_row_of_the_table_chooses_its_cell_and_moves_the_part_there(session):
    session[state.ZOOM] = "1-2,3-4"
    session["pairs"] = DataframeState({"selection": {"rows": [1], "columns": [], "cells": []}})
    pairs._picked("pairs", [("a", "b"), ("c", "d")])
    assert session == {**session, state.TRUE: "c", state.TAKEN: "d", state.ZOOM: ""}


@pytest.mark.parametrize(
    "box, zoom",
    [
        ({"x": [10.2, 20.4], "y": [5.7, 3.1]}, "3-6,10-20"),
        ({"x": [-9, 500], "y": [0, 2]}, "0-2,185-214"),
        ({"x": [399.4, 460], "y": [7, 7]}, "7-7,399-399"),
    ],
)
def test_a_box_becomes_a_part_of_at_most_thirty(session, box, zoom):
    session["overview"] = selection(box=[box])
    matrices._dragged("overview", 400, 400)
    assert session[state.ZOOM] == zoom


def test_cells_keep_their_places():
    names = ["a", "b", "c"]
    hovers = [[f"{row}{column}" for column in names] for row in names]
    figure = charts.cells_figure(np.eye(3), hovers, hovers, names, names, dark=False, chosen=("b", "c"))
    squares = figure.data[-1]
    for place, x, y, hover in zip(squares.customdata, squares.x, squares.y, squares.hovertext, strict=True):
        assert hover == y + x == names[place // 3] + names[place % 3]
    frame = figure.layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 0.5, 1.5)


def test_names_that_look_the_same_when_cut_stay_apart():
    names = ["x" * 40 + "1", "x" * 40 + "2", "<b>"]
    assert len(set(charts._categories(names))) == 3
    assert charts._categories(names)[2] == "&lt;b&gt;"


# Numbers against plain loops -----------------------------------------------------------------------------------------


def test_shots_are_those_of_the_cell_with_the_cosines_of_the_engine(empty_workspace, demo):
    classes = HARD_GROUPS["bucket"] + HARD_GROUPS["box"]
    classes = list(dict.fromkeys(classes))
    view = services.matrix(demo, classes[::-1], True)
    scores = demo.item.scores()
    expected = cosine(scores, demo.weights)
    chosen = [scores.class_names.index(name) for name in classes]
    predicted = predict(scores, demo.weights, chosen)
    seen = 0
    for row, true in enumerate(view.classes):
        for column, taken in enumerate(view.classes):
            rows = services.rows_of(view, true, taken)
            assert len(rows) == view.counts_KL[row, column]
            seen += len(rows)
            for index, shot in zip(rows, services.shots(view, rows), strict=True):
                assert (shot.true, shot.predicted) == (true, taken)
                assert shot.predicted == scores.class_names[predicted[index]]
                assert shot.to_true == pytest.approx(expected[index, scores.class_names.index(true)], abs=1e-6)
                assert shot.to_predicted == pytest.approx(expected[index, chosen].max(), abs=1e-6)
                best = sorted(chosen, key=lambda c, index=index: (-expected[index, c], c))[: services.TOP]
                assert [name for name, _ in shot.top] == [scores.class_names[c] for c in best]
    assert seen + view.undecided == 20 * len(classes)


def test_orders_and_files(empty_workspace, demo):
    names = demo.item.scores().class_names
    alike = services.in_order(demo, names, True, services.ALIKE)
    assert sorted(alike) == sorted(names) and alike != names
    worst = services.matrix(demo, services.in_order(demo, names, True, services.WORST), True)
    assert (np.diff(np.diagonal(worst.shares())) >= 0).all()
    view = services.matrix(demo, alike, True)
    header, *rows = csv.reader(io.StringIO(services.matrix_csv(view)))
    assert header[1:] == alike == [row[0] for row in rows]
    np.testing.assert_array_equal(
        np.array([row[1:] for row in rows], int), confusion_matrix(demo.item.scores(), demo.weights, alike)
    )
    confused = list(csv.DictReader(io.StringIO(services.pairs_csv(view))))
    assert sum(int(pair["clips"]) for pair in confused) == view.counts_KL.sum() - np.trace(view.counts_KL)
    groups = list(csv.DictReader(io.StringIO(services.groups_csv(view, HARD_GROUPS))))
    assert [row["group"] for row in groups if row["kind"] == "group"] == list(HARD_GROUPS)
    for row in groups:
        shares = [float(row[name]) for name in ("accuracy", "within group", "between groups")]
        assert sum(shares) == pytest.approx(1, abs=3e-6)


def test_a_group_counts_its_members_that_are_not_shown_where_they_can_be_predicted(empty_workspace, demo):
    scores = demo.item.scores()
    group = ["swinging a hoop overhead", "swinging a guitar overhead", "dragging a box"]
    counts = confusion_matrix(scores, demo.weights)
    places = [scores.class_names.index(name) for name in group]
    (row, total) = services.matrix(demo, group[:2], False).figures({"swinging": group})
    clips = counts[places[:2]].sum()
    hits = sum(counts[place, place] for place in places[:2])
    within = sum(counts[true, taken] for true in places[:2] for taken in places if true != taken)
    assert (row.classes, row.clips) == (sorted(group[:2], key=scores.class_names.index), clips)
    assert (row.accuracy, row.within) == (pytest.approx(hits / clips), pytest.approx(within / clips))
    assert (total.kind, total.within) == ("total", row.within)
    assert [row.kind for row in services.matrix(demo, group[:2], True).figures({"x": group[1:]})] == ["rest", "total"]


# Harder than random classes? -----------------------------------------------------------------------------------------


def test_hard_groups_stand_among_random_sets_as_the_engine_has_it(empty_workspace, demo):
    page = fine(open_page("confusion"))
    found = control(demo.item.scores(), HARD_GROUPS, demo.weights)
    standing = found.standing()
    said = texts(page)
    mean, std = standing.random
    assert f"These 19 classes: **{percent(standing.named)}**" in said
    assert f"30 random sets of 19: **{100 * mean:.1f} ± {100 * std:.1f} %**" in said
    easier = sum(value > standing.named for value in standing.values)
    assert f"Harder than {easier} of the 30" in said and f"{abs(standing.z):.1f} standard deviations below" in said
    assert f"{19 * 19 / 21:.1f} of their 19 classes are named ones" in said
    figure = json.loads(page.get("plotly_chart")[-1].proto.spec)
    points = next(trace for trace in figure["data"] if trace.get("name") == "random sets")
    assert sorted(points["x"]) == pytest.approx(sorted(100 * value for value in standing.values))
    star = next(trace for trace in figure["data"] if trace.get("name") == "these classes")
    assert star["x"] == [pytest.approx(100 * standing.named)]
    within = [metric.value for metric in page.metric if metric.label == "Within-group error"]
    assert within[1] == percent(found.figures[-1].within)
    assert page.toggle(key=state.OUTSIDE).disabled  # two classes are left
    page.selectbox(key=state.CONTROLLED).set_value("bucket").run()
    one = control(demo.item.scores(), {"bucket": HARD_GROUPS["bucket"]}, demo.weights)
    assert f"These 3 classes: **{percent(one.standing().named)}**" in texts(fine(page))
    page.toggle(key=state.OUTSIDE).set_value(True).run()
    apart = control(demo.item.scores(), {"bucket": HARD_GROUPS["bucket"]}, demo.weights, outside=True)
    assert f"3: **{100 * apart.standing().random.mean:.1f} ±" in texts(fine(page))
    assert "the 18 other classes" in texts(page)


def test_proposed_groups_and_both_sides_get_the_same_control(empty_workspace, demo):
    page = fine(open_page("confusion", groupsof="Proposed", beside="true"))
    groups = services.sources(demo, {})[services.PROPOSED]
    for letter, weights in (("A", demo.weights), ("B", Weights.only("VE"))):
        named = control(demo.item.scores(), groups, weights).standing().named
        n = len({name for members in groups.values() for name in members})
        assert f"{letter}: These {n} classes: **{percent(named)}**" in texts(page)


@pytest.mark.parametrize(
    ("named", "values", "words"),
    [
        (0.5, [0.6, 0.7, 0.4], "Harder than 2 of the 3"),
        (0.5, [0.6, 0.5, 0.7], "Harder than 2 of the 3, as hard as 1"),
        (0.9, [0.6, 0.5, 0.7], "Easier than 3 of the 3"),
        (0.5, [0.5, 0.5, 0.5], "As hard as all 3"),
    ],
)
def test_a_rank_in_words(named, values, words):
    standing = Standing("top1", named, figure_of(values), values, 0.0, None)
    assert controls._ranked(standing) == words and controls._deviations(standing) == ""
    assert controls._deviations(replace(standing, z=-1.25)) == (
        "; 1.2 standard deviations below their mean (z = −1.25)"
    )


def test_groups_of_all_classes_are_not_compared(empty_workspace, demo):
    names = demo.item.scores().class_names
    keep_group(groups_path(), "everything", names)
    page = fine(open_page("confusion", groupsof="My own"))
    assert "hold all 21 classes with clips" in texts(page)


def test_points_of_a_value_are_parted():
    standing = Standing("top1", 0.5, figure_of([0.5, 0.5, 0.5, 0.6]), [0.5, 0.5, 0.5, 0.6], 0.0, None)
    figure = figures.standing({"A: ": standing, "B: ": standing})
    points = [trace for trace in figure.data if trace.name == "random sets"]
    assert len(points) == 2 and len(set(points[0].y[:3])) == 3 and points[1].y[3] == 1
    assert list(figure.layout.yaxis.ticktext) == ["A", "B"]


# Four hundred classes ------------------------------------------------------------------------------------------------


@pytest.fixture
def large(empty_workspace):
    """400 classes, 4,000 clips, random scores."""
    rng = np.random.default_rng(0)
    names = [f"class number {index}" for index in range(400)]
    prototypes = rng.normal(size=(400, 16)).astype(np.float32)
    label = rng.integers(0, 400, 4000)
    clips = (prototypes[label] + 2 * rng.normal(size=(4000, 16))).astype(np.float32)
    ids = [f"clip {index}" for index in range(4000)]
    embeddings = Embeddings(ids, [names[index] for index in label], names, {"VE": clips}, prototypes, np.arange(400))
    folder = empty_workspace / "scores" / "large@random"
    folder.mkdir(parents=True)
    embeddings.save(folder / "embeddings.safetensors")
    Scores.from_embeddings(embeddings).save(folder / "scores.safetensors")
    about = json.loads((scored.SHIPPED / "scores" / DEMO / "about.json").read_text())
    about |= {"run": "large", "dataset": "random", "modalities": ["VE"], "clips": 4000, "classes": 400}
    (folder / "about.json").write_text(json.dumps(about))
    return services.Side(scored.scored_sets()["large@random"], Weights.only("VE"))


def test_four_hundred_classes_are_an_overview_and_a_part(large):
    page = fine(open_page("confusion", on="large@random", zoom="10-39,0-4"))
    assert metrics(page)["Clips"] == "4,000"
    counts = confusion_matrix(large.item.scores(), large.weights)
    assert page.dataframe[0].value["clips"].iloc[0] == engine.pairs(counts, large.item.scores().class_names)[0].count
    specs = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    overview, part = specs[0], specs[1]
    assert overview["data"][0]["z"]["dtype"] == "u1"
    assert len(page.get("plotly_chart")[0].proto.spec) < 400_000
    assert len(part["data"][-1]["customdata"]) == 30 * 5
    assert "rows 11 to 40, columns 1 to 5" in texts(page)
    assert "its video file is not on this machine" in texts(page)
    page.selectbox(key=state.TRUE).set_value("class number 7").run()
    assert "rows 11 to 40" not in texts(fine(page))
