"""The page Semantic gap, through the app's entry file."""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from conftest import open_page
from streamlit.testing.v1 import AppTest
from streamlit.typing import PlotlyState

from app import state
from app.charts import semantic_gap as charts
from app.services import models
from app.services import semantic_gap as service
from app.services.faults import Blame
from app.widgets import faults as widgets
from cezsar import jobs
from cezsar.analysis import maps, shift
from cezsar.analysis.faults import faults, nearest_centroid, widest
from cezsar.analysis.gap import FIGURES, UnitSpace, directions, measure, per_class
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.labels import groups_path, keep_group
from cezsar.report.study import domains_of
from cezsar.training.runs import Run
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.embed import Embedded
from cezsar.zeroshot.fusion import cosine, predict
from cezsar.zeroshot.methods import METHODS, Prepared
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
    settings = maps.MapSettings()
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
    return dict(zip(SPACES, (one for one in found if "scaleanchor" in one["layout"].get("yaxis", {})), strict=False))


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


def space_of(item, space):
    """The space as the engine takes it."""
    (rows, clouds), owner = item.clouds(), item.embeddings().prototype_class
    cloud = clouds[space]
    return UnitSpace(cloud.videos_NE, item.scores().label_index[rows], cloud.prototypes_PE, owner, 21)


def test_the_chief_numbers_are_the_engines_with_their_change(with_map, item):
    said = texts(open_page("semantic_gap"))
    gap, before = measure(space_of(item, "joint")), measure(space_of(item, "sentence"))
    for expected in (
        f"{100 * gap.rank_1:.1f} %", f"{gap.rank_mean:.2f}", f"{gap.modality_gap:.2f}", f"{gap.silhouette:.2f}"
    ):  # fmt: skip
        assert f"**{expected}**" in said
    assert f":green[+{gap.silhouette - before.silhouette:.2f}] **{gap.silhouette:.2f}**" in said
    fallen = f"{before.silhouette - measure(space_of(item, 'raw')).silhouette:.2f}".replace("-", "\N{MINUS SIGN}")
    assert f":orange[{fallen}]" in said and "modality gap ↓" in said
    hub = item.scores().class_names[gap.biggest_hub]
    assert any(f"Here it is {hub}." in one.proto.help.replace("\\", "") for one in open_page("semantic_gap").markdown)


def test_all_numbers_of_all_spaces_stand_in_one_table(with_map, item):
    page = open_page("semantic_gap")
    table = page.table[0].value
    one = {space: measure(space_of(item, space)) for space in SPACES}
    assert len(table) == len(FIGURES)
    row = table[table[""] == "uniformity of clips ↓"].iloc[0]
    shown = [f"{one[space].uniformity_clips:.2f}".replace("-", "\N{MINUS SIGN}") for space in SPACES]
    assert [row["Raw"], row["Sentence"], row["Joint"]] == shown
    step = one["joint"].uniformity_clips - one["sentence"].uniformity_clips
    assert step > 0 and row["change to joint"] == f":orange[+{step:.2f}] worse"
    row = table[table[""] == "classes on their own prototype ↑"].iloc[0]
    step = 100 * (one["joint"].own_prototype - one["sentence"].own_prototype)
    assert row["Raw"] == "–" and row["change to joint"] == f":green[+{step:.1f}] better"
    assert table[table[""] == "purity by chance"].iloc[0]["change to joint"] == ""
    said = texts(page)
    assert all(f"**{figure.title}**" in said for figure in FIGURES.values())


def test_classes_are_judged_as_the_engine_judges_them(with_map, item):
    page = open_page("semantic_gap")
    names = item.scores().class_names
    for space in ("joint", "sentence"):
        page.segmented_control(key=state.GAP_SPACE).set_value(space)
        table = fine(page.run()).dataframe[0].value.set_index("class")
        ones = faults(space_of(item, space))
        gaps = per_class(space_of(item, space))
        for one, gap in zip(ones, gaps, strict=True):
            row = table.loc[names[one.index]]
            assert row["text"] == pytest.approx(100 * one.text_fault)
            assert row["video"] == pytest.approx(100 * one.video_fault)
            assert row["own"] == pytest.approx(gap.own_distance) and row["lead"] == pytest.approx(gap.lead)
            assert row["verdict"] == {"none": "nobody"}.get(one.verdict, one.verdict)
            assert row["stands"] == ("hub" if one.hub else "orphan" if one.orphan else "")
        assert (np.diff(table["missed"]) <= 0).all() and len(table) == 21
        chart = json.loads(page.get("plotly_chart")[4].proto.spec)
        worst = sorted((one.error for one in ones if one.error), reverse=True)[:20]
        text, video = (values(trace["x"]) for trace in chart["data"])
        np.testing.assert_allclose(text + video, 100 * np.array(worst))
        first = page.selectbox(key=state.FAULT_CLASS).value
        assert first == table.index[0] if space == "joint" else first in table.index  # a choice outlasts its space
    wide = widest(faults(space_of(item, "sentence")))
    assert f"Widest gap: *{names[wide.index]}*, {wide.gap.own_distance:.2f}." in texts(page)


def test_a_chosen_class_says_what_to_do_and_shows_its_clips(with_map, item):
    names = item.scores().class_names
    ones = {names[one.index]: one for one in faults(space_of(item, "joint"))}
    both = next(name for name, one in ones.items() if one.verdict == "both")
    page = fine(open_page("semantic_gap", **{state.FAULT_CLASS: both}))
    one, said = ones[both], texts(page)
    assert f"**{one.text_errors + one.video_errors} of {one.gap.clips}** clips are missed" in said
    assert f"**{one.text_errors}** by fault of the text, **{one.video_errors}** by fault of the video." in said
    assert "**Rewrite its description.**" in said and "**Other features or more training.**" in said
    link = next(link.proto for link in page.page_link if "workshop" in link.value)
    wanted = {state.SECTION: state.SECTIONS["workshop"], state.ON: item.name, state.REWRITE: both}
    assert dict(parse_qsl(link.query_string)) == wanted
    for side, count in (("text", one.text_errors), ("video", one.video_errors), ("right", one.right + one.rescued)):
        page.segmented_control(key=state.FAULT_SIDE).set_value(side).run()
        page.button(key="faults-to-maps").click().run()
        assert f"**{count} clips selected**" in texts(fine(page))
    assert item.scores().labels[item.scores().ids.index(page.session_state[state.FAULT_CLIP])] == both


def test_a_class_without_errors_needs_nothing(with_map, item):
    names = item.scores().class_names
    right = next(one for one in faults(space_of(item, "joint")) if not one.error and not one.hub)
    page = fine(open_page("semantic_gap", **{state.FAULT_CLASS: names[right.index]}))
    assert f"None of its **{right.gap.clips}** clips is missed" in texts(page) and not page.page_link
    assert page.segmented_control(key=state.FAULT_SIDE).value == "right"


def test_a_bar_and_a_row_are_ways_to_choose_a_class(monkeypatch):
    kept = {"faults-chart": {"selection": {"points": [{"curve_number": 1, "point_index": 2}]}}}
    monkeypatch.setattr(widgets, "st", SimpleNamespace(session_state=kept))
    widgets._clicked(["a", "b", "c"])
    assert kept[state.FAULT_CLASS] == "c"
    kept["faults-table"] = SimpleNamespace(selection=SimpleNamespace(rows=[0]))
    widgets._picked(["a", "b", "c"])
    assert kept[state.FAULT_CLASS] == "a"


def test_classes_that_cannot_be_judged_say_why():
    clips = np.eye(3, dtype=np.float32)
    one = UnitSpace(clips, [0, 0, 1], clips[:2], [0, 1], 3)
    ones = faults(one)
    blame = Blame("joint", ones, np.arange(3), one.labels_N, one.nearest, nearest_centroid(one))
    assert "no labelled clips" in widgets.finding(blame, ones[2], "abc")
    assert "cannot be judged" in widgets.finding(blame, ones[1], "abc")
    assert blame.worst_first[0].index == 0 and blame.clips(2) == {}
    for one in ones[:1]:
        counts = {side: len(found) for side, found in blame.clips(one.index).items()}
        assert counts.get("text", 0) == one.text_errors and counts.get("video", 0) == one.video_errors


# Domain shift ----------------------------------------------------------------------------------------------------


def store(folder, ids, fingerprint, seed, dim=1599):
    """A feature store with random features."""
    rng = np.random.default_rng(seed)
    with StoreWriter(folder, {"encoder": "motion", "fingerprint": fingerprint, "dim": dim}) as writer:
        for name in ids:
            writer.add(name, rng.uniform(0, 1 + seed / 10, (2, dim)).astype(np.float32))
    return FeatureStore(folder)


@pytest.fixture
def with_stores(with_map, item):
    """The shipped demo with its run in a workspace, said to be scored from a store of random features there."""
    shutil.copytree(SHIPPED / "runs" / "demo", with_map / "runs" / "demo")
    shutil.copytree(item.folder, with_map / "scores" / "demo@demo")
    made = json.loads((with_map / "runs" / "demo" / "config.json").read_text())["feature_encoder"]["fingerprint"]
    test = store(with_map / "features" / "clips", item.scores().ids, made, 0)
    train = store(with_map / "features" / "films", [f"film {n}" for n in range(40)], made, 1)
    store(with_map / "features" / "others", ["x"], "0" * 64, 2, 4)
    about = with_map / "scores" / "demo@demo" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"store": test.fingerprint}))
    return train, test, Scored.open(about.parent)


def test_without_training_features_one_line_says_so(with_map):
    page = fine(open_page("semantic_gap"))
    assert "the domain shift, can be measured here once features" in texts(page)
    assert not [button for button in page.button if button.key == "measure-shift"]
    assert "Domain shift" not in [one.value for one in page.subheader]


def test_the_domain_shift_is_the_engines(with_stores):
    train, test, kept = with_stores
    page = fine(open_page("semantic_gap"))
    assert "MMD" not in texts(page)
    page.button(key="measure-shift").click().run()
    run = Run.open(models.SHIPPED / "runs" / "demo")
    embedded = Embedded(kept.embeddings(), [], [])
    ready = Prepared(METHODS["cezsar"], "", embedded, kept.scores(), kept.weights, run, test)
    said = texts(fine(page))
    domains = domains_of(train, ready, np.random.default_rng(0))
    assert set(domains) == {"raw", "joint"}
    for sides in domains.values():
        units = [directions(side, "clips") for side in sides]
        found = shift.measure(*units, np.random.default_rng(0))
        assert f"**{100 * found.domain_accuracy:.1f} %**" in said and f"**{found.a_distance:.2f}**" in said
        assert (
            f"**{found.mmd_squared:.4f}**".replace("-", "\N{MINUS SIGN}") in said and f"**{found.p_value:.3f}**" in said
        )
    assert "40 training clips and 420 of these" in said and "*films*" in said


def test_a_shift_without_features_of_these_clips_says_what_is_needed(with_stores):
    _, test, _ = with_stores
    shutil.rmtree(test.folder)
    page = fine(open_page("semantic_gap"))
    assert "not those of these 420 clips" in texts(page) and "motion" in texts(page)
    assert not [button for button in page.button if button.key == "measure-shift"]


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
    page.button(key=f"pick-map-{item.embeddings().ids[drawn.rows_N[picked[2]]]}").click().run()
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
    x, y = maps.place(vector, item.clouds()[1]["joint"].videos_NE[drawn.rows_N], drawn.projections["joint"].videos_N2)
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
        state.FAULT_CLASS: "x",
        state.FAULT_SIDE: "x",
        state.SHIFT_FROM: "../x",
    }
    monkeypatch.setenv("CEZSAR_HOME", str(with_map))
    page = open_page("semantic_gap", **query)
    assert isinstance(page, AppTest) and not page.exception
