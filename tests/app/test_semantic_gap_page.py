"""The page Semantic gap, through the app's entry file."""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import open_page
from streamlit.testing.v1 import AppTest
from streamlit.typing import PlotlyState

from app import state
from app.charts import semantic_gap as charts
from app.services import models
from app.services import semantic_gap as service
from cezsar import jobs
from cezsar.analysis import maps
from cezsar.analysis.gap import measure, per_class
from cezsar.analysis.projection import place
from cezsar.data.groups import groups_path, keep_group
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.fusion import cosine, predict
from cezsar.zeroshot.scored import Scored

SHIPPED = models.SHIPPED
FIRST = [*HARD_GROUPS["guitar"], *HARD_GROUPS["box"]]
DONE = SimpleNamespace(state="done", alive=False)
SPACES = ["raw", "sentence", "joint"]


@pytest.fixture(scope="module")
def item():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def map_file(item, tmp_path_factory):
    """The first map of the shipped demo."""
    settings = maps.Settings()
    shipped = SHIPPED / "cache" / "projections" / settings.file_name(item.fingerprint)
    return shipped if shipped.is_file() else maps.keep(item, settings, tmp_path_factory.mktemp("maps") / shipped.name)


@pytest.fixture
def with_map(empty_workspace, map_file):
    """An empty workspace; the shipped demo has its first map."""
    folder = maps.folder()
    folder.mkdir(parents=True)
    shutil.copy(map_file, folder)
    return empty_workspace


def texts(page):
    kinds = ("markdown", "subheader", "caption", "info")
    return " ".join(str(element.value) for kind in kinds for element in page.get(kind)).replace("\\", "")


def figures(page):
    """space -> the map as sent to the browser."""
    found = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    return dict(zip(SPACES, found, strict=False))


def values(array):
    """Numbers of a figure, which plotly sends as text or as bytes."""
    if isinstance(array, dict):
        import base64

        return np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    return np.array(array)


def fine(page):
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return page


def test_a_first_visit_finds_maps_numbers_and_a_clip(with_map, item, map_file):
    page = fine(open_page("semantic_gap"))
    drawn, shown = maps.read(map_file), figures(page)
    labels = np.array(item.embeddings().labels)
    names = item.scores().class_names
    for space in SPACES:
        clips, stars = shown[space]["data"]
        coloured = np.isin(labels[drawn.rows_N], FIRST)
        order = [*np.flatnonzero(~coloured), *np.flatnonzero(coloured)]  # grey below
        np.testing.assert_allclose(values(clips["x"]), drawn.projections[space].videos_N2[order, 0])
        assert len(set(clips["marker"]["color"])) == 7 and "star" not in clips["marker"]["symbol"]
        assert len(values(stars["x"])) == 21
    assert page.multiselect(key=state.CLASSES).value == [name for name in names if name in FIRST] or set(
        page.multiselect(key=state.CLASSES).value
    ) == set(FIRST)
    assert "mean clip" in shown["raw"]["data"][1]["text"][0] and "prototype" in shown["joint"]["data"][1]["text"][0]
    assert "no unit" in texts(page) and "hollow star is the class's mean clip" in texts(page)


def test_ones_own_groups_are_offered_beside_the_others(with_map, item):
    names = item.scores().class_names
    keep_group(groups_path(), "mine", [names[1].replace(" ", "_"), names[5], "of another data set"])
    page = fine(open_page("semantic_gap"))
    labels = [button.label for button in page.button]
    assert "mine (2)" in labels and "guitar (3)" in labels and "widest gaps (6)" in labels
    next(button for button in page.button if button.label == "mine (2)").click().run()
    assert set(fine(page).multiselect(key=state.CLASSES).value) == {names[1], names[5]}
    groups_path().write_text("[")
    page = open_page("semantic_gap")
    assert "hard_groups" in page.error[0].value.replace("\\", "") and len(figures(page)) == 3


def test_the_numbers_are_the_engines(with_map, item):
    said = texts(open_page("semantic_gap"))
    rows, clouds = item.clouds()
    labels, owners = item.scores().label_index[rows], item.embeddings().prototype_class
    joint = clouds["joint"]
    gap = measure(joint.videos_NE, labels, joint.prototypes_PE, owners, 21)
    for expected in (f"{100 * gap.nearest_prototype:.1f} %", f"{gap.modality_gap:.2f}", f"{gap.silhouette:.2f}"):
        assert f"**{expected}**" in said
    assert f"{item.scores().class_names[gap.biggest_hub]}" in said and "modality gap ↓" in said


def test_the_table_of_classes_begins_with_the_widest_gap(with_map, item):
    page = open_page("semantic_gap")
    table = page.dataframe[0].value
    rows, clouds = item.clouds()
    labels, owners = item.scores().label_index[rows], item.embeddings().prototype_class
    for space in ("joint", "sentence"):
        page.segmented_control(key=state.GAP_SPACE).set_value(space)
        table = fine(page.run()).dataframe[0].value
        ones = per_class(clouds[space].videos_NE, labels, clouds[space].prototypes_PE, owners, 21)
        widest = max(ones, key=lambda one: one.own_distance)
        assert table["class"].iloc[0] == item.scores().class_names[widest.index]
        assert table["own"].iloc[0] == pytest.approx(widest.own_distance)
        assert (np.diff(table["own"]) <= 0).all() and len(table) == 21


def test_a_clip_is_ranked_as_the_run_ranks_it(with_map, item):
    scores = item.scores()
    wrong = int(np.flatnonzero(predict(scores, item.weights) != scores.label_index)[0])
    page = fine(open_page("semantic_gap", **{state.MAP_CLIP: scores.ids[wrong]}))
    assert page.selectbox(key=state.MAP_CLIP).value == scores.ids[wrong]
    best = cosine(scores, item.weights)[wrong]
    order = np.argsort(-best, kind="stable")
    assert any(element.value.replace("\\", "") == scores.class_names[order[0]] for element in page.subheader)
    bars = json.loads(page.get("plotly_chart")[3].proto.spec)["data"][0]
    np.testing.assert_allclose(values(bars["x"])[:5], best[order[:5]], atol=1e-6)
    true = int(scores.label_index[wrong])
    assert f"Its true class is *{scores.class_names[true]}*, ranked {order.tolist().index(true) + 1}." in texts(page)


def selection(*points, curve=0):
    return PlotlyState(
        {
            "selection": {
                "points": [{"curve_number": curve, "point_index": n} for n in points],
                "point_indices": list(points),
                "box": [],
                "lasso": [],
            }
        }
    )


def test_what_is_selected_on_one_map_stands_out_on_all(with_map, item, map_file):
    page = open_page("semantic_gap")
    before = page.get("plotly_chart")[2].proto.spec
    page.session_state["map-joint"] = selection(419, 418, 5)
    fine(page.run())
    drawn, labels = maps.read(map_file), item.embeddings().labels
    order = sorted(range(420), key=lambda clip: labels[drawn.rows_N[clip]] in FIRST)
    picked = sorted(order[n] for n in (419, 418, 5))
    assert page.selectbox(key=state.MAP_CLIP).value == item.embeddings().ids[drawn.rows_N[picked[0]]]
    assert "**3 clips selected**" in texts(page)
    for space in ("raw", "sentence"):
        assert sorted(figures(page)[space]["data"][0]["selectedpoints"]) == [5, 418, 419]
    assert page.get("plotly_chart")[2].proto.spec == before  # or the browser would drop the selection
    page.button(key=f"pick-{item.embeddings().ids[drawn.rows_N[picked[2]]]}").click().run()
    assert fine(page).selectbox(key=state.MAP_CLIP).value == item.embeddings().ids[drawn.rows_N[picked[2]]]
    assert "**3 clips selected**" in texts(page)
    page.button(key="map-clear").click().run()
    assert "clips selected" not in texts(fine(page))
    assert "selectedpoints" not in figures(page)["raw"]["data"][0]


def test_a_star_stands_for_its_class(with_map, item):
    page = open_page("semantic_gap")
    page.session_state["map-sentence"] = selection(20, curve=1)
    fine(page.run())
    name = charts.star_order(item.scores().class_names, [name for name in item.scores().class_names if name in FIRST])[
        20
    ]
    assert "**20 clips selected**" in texts(page)
    assert name.replace(" ", "_") in page.selectbox(key=state.MAP_CLIP).value
    assert all(len(figures(page)[space]["data"][0]["selectedpoints"]) == 20 for space in SPACES)


def test_the_ring_lies_where_the_clip_lies(with_map, item, map_file):
    clip = item.embeddings().ids[137]
    page = fine(open_page("semantic_gap", **{state.MAP_CLIP: clip}))
    drawn = maps.read(map_file)
    position = drawn.rows_N.tolist().index(137)
    rings = [html.proto.body for html in page.get("html") if 'class="cezsar-over"' in html.proto.body]
    for ring, space in zip(rings, SPACES, strict=True):
        axes = figures(page)[space]["layout"]
        (x0, x1), (y0, y1) = axes["xaxis"]["range"], axes["yaxis"]["range"]
        x, y = drawn.projections[space].videos_N2[position]
        assert x1 - x0 == pytest.approx(y1 - y0)
        assert f"50% + {(x - (x0 + x1) / 2) / (x1 - x0):.4f}" in ring
        assert f"50% + {((y0 + y1) / 2 - y) / (y1 - y0):.4f}" in ring


def test_a_pinned_clip_is_shown_in_spaces_of_its_run_only(with_map, item, map_file):
    page = open_page("semantic_gap")
    vector = item.embeddings().modalities["VE"][42]
    page.session_state[state.PINNED] = {"name": "mine.mp4", "run": "demo", "joint": vector, "sentence": None}
    fine(page.run())
    drawn = maps.read(map_file)
    x, y = place(vector, item.clouds()[1]["joint"].videos_NE[drawn.rows_N], drawn.projections["joint"].videos_N2)
    diamond = figures(page)["joint"]["data"][2]
    assert (diamond["x"][0], diamond["y"][0]) == (pytest.approx(x), pytest.approx(y))
    assert len(figures(page)["raw"]["data"]) == 2 and "approximate place" in texts(page)
    page.session_state[state.PINNED] = {"name": "mine.mp4", "run": "other", "joint": vector, "sentence": None}
    fine(page.run())
    assert len(figures(page)["joint"]["data"]) == 2 and "other read it" in texts(page)
    page.button(key="unpin").click().run()
    assert "mine.mp4" not in texts(fine(page))


def test_a_map_that_nobody_drew_is_a_job(empty_workspace, item):
    query = {state.PERPLEXITY: "5", state.MAP_CLIPS: "40", state.FITTED: "true", state.CLASSES: "kicking a box"}
    page = fine(open_page("semantic_gap", **query))
    assert not figures(page) and "no map has been drawn yet" in texts(page) and "modality gap" in texts(page)
    page.button(key="draw-map").click().run()
    job = jobs.jobs("project")[0]
    assert len(jobs.jobs("project")) == 1
    end = time.monotonic() + 60
    while jobs.find(job.id).alive:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert jobs.find(job.id).state == "done", jobs.find(job.id).log
    fine(page.run())
    assert len(figures(page)["joint"]["data"][0]["text"]) == 20  # the clips of one class


def test_without_points_or_without_anything_it_says_so(empty_workspace, monkeypatch):
    page = fine(open_page("semantic_gap", **{state.ON: "demo-colour@demo"}))
    assert "without its points" in texts(page) and not page.get("plotly_chart")
    nothing = Path(empty_workspace) / "nothing"
    monkeypatch.setattr("app.services.models.SHIPPED", nothing)
    monkeypatch.setattr("app.services.scored.SHIPPED", nothing)
    page = fine(open_page("semantic_gap"))
    assert "Nothing has been scored yet" in texts(page)


def test_a_damaged_map_is_named_and_drawn_again(with_map, map_file, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda *given, **more: started.append(given))
    monkeypatch.setattr(service, "job", lambda *given: DONE if started else None)
    (maps.folder() / map_file.name).write_bytes(b"nothing")
    page = open_page("semantic_gap")
    assert not page.exception and "make it again" in page.error[0].value
    assert len(started) == 1 and page.button(key="draw-map")


def test_hostile_addresses_do_no_harm(with_map, workspace, monkeypatch):
    query = {
        state.MAP_CLIP: "<script>",
        state.PERPLEXITY: "NaN",
        state.MAP_SEED: "-1",
        state.CLASSES: "x",
        state.ON: "../x",
    }
    monkeypatch.setenv("CEZSAR_HOME", str(with_map))
    page = open_page("semantic_gap", **query)
    assert isinstance(page, AppTest) and not page.exception
