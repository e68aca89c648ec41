"""The page Semantic gap, through the app's entry file."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from conftest import charts, fine, numbers, open_page, press, texts
from typer.testing import CliRunner

from app import state
from app.parts import models
from app.semantic_gap import classes
from app.semantic_gap.explorer import View
from cezsar.analysis import maps, shift
from cezsar.analysis.gap import FIGURES, UnitSpace, by_examples, directions, faults, measure
from cezsar.cli import app as command_line
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.data.labels import groups_path, keep_group
from cezsar.report.figures import number
from cezsar.report.study import domains_of
from cezsar.training.runs import Run
from cezsar.world import HARD_GROUPS
from cezsar.zeroshot.fusion import cosine, predict

SHIPPED = models.SHIPPED
FIRST = [*HARD_GROUPS["guitar"], *HARD_GROUPS["box"]]
SPACES = ["raw", "sentence", "joint"]


@pytest.fixture(scope="module")
def drawn(demo):
    """The first map of the shipped demo."""
    return maps.read(SHIPPED / "cache" / "projections" / maps.MapSettings().file_name(demo.fingerprint))


@pytest.fixture(scope="module")
def visit(demo, tmp_path_factory):
    """The page at the first clip that is not predicted right, and its row; only to be looked at."""
    wrong = int(np.flatnonzero(predict(demo.scores(), demo.weights) != demo.scores().label_index)[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEZSAR_HOME", str(tmp_path_factory.mktemp("home")))
        return opened(**{state.MAP_CLIP: demo.scores().ids[wrong]}), wrong


def opened(**query):
    return fine(open_page("semantic_gap", **query))


def figures(page):
    """space -> the map as sent to the browser."""
    found = (one for one in charts(page) if "scaleanchor" in one["layout"].get("yaxis", {}))
    return dict(zip(SPACES, found, strict=False))


def space_of(demo, space):
    """The space as the engine takes it."""
    (rows, clouds), owner = demo.clouds(), demo.embeddings().prototype_class
    return UnitSpace(clouds[space], demo.scores().label_index[rows], owner, 21)


def test_a_first_visit_finds_maps_with_a_ring_and_a_ranking(visit, demo, drawn):
    (page, wrong), scores = visit, demo.scores()
    shown, coloured = figures(page), np.isin(np.array(scores.labels)[drawn.rows_N], FIRST)
    order = [*np.flatnonzero(~coloured), *np.flatnonzero(coloured)]  # grey below
    rings = [html.proto.body for html in page.get("html") if 'class="cezsar-over"' in html.proto.body]
    for space, ring in zip(SPACES, rings, strict=True):
        (clips, stars), axes = shown[space]["data"], shown[space]["layout"]
        np.testing.assert_allclose(numbers(clips["x"]), drawn.projections[space].videos_N2[order, 0])
        assert len(set(clips["marker"]["color"])) == 7 and "star" not in clips["marker"]["symbol"]
        assert len(numbers(stars["x"])) == 21
        (x0, x1), (y0, y1) = axes["xaxis"]["range"], axes["yaxis"]["range"]
        x, y = drawn.projections[space].videos_N2[drawn.rows_N.tolist().index(wrong)]
        assert x1 - x0 == pytest.approx(y1 - y0)
        assert f"50% + {(x - (x0 + x1) / 2) / (x1 - x0):.4f}" in ring
        assert f"50% + {((y0 + y1) / 2 - y) / (y1 - y0):.4f}" in ring
    assert set(page.multiselect(key=state.CLASSES).value) == set(FIRST)
    assert "mean clip" in shown["raw"]["data"][1]["text"][0] and "prototype" in shown["joint"]["data"][1]["text"][0]

    best = cosine(scores, demo.weights)[wrong]
    order = np.argsort(-best, kind="stable").tolist()
    assert page.selectbox(key=state.MAP_CLIP).value == scores.ids[wrong]
    assert scores.class_names[order[0]] in [element.value.replace("\\", "") for element in page.subheader]
    np.testing.assert_allclose(numbers(charts(page)[3]["data"][0]["x"])[:5], best[order[:5]], atol=1e-6)
    true = int(scores.label_index[wrong])
    assert f"Its true class is *{scores.class_names[true]}*, ranked {order.index(true) + 1}." in texts(page)


def test_what_is_selected_on_one_map_stands_out_on_all(empty_workspace, demo, drawn):
    names = demo.scores().class_names
    keep_group(groups_path(), "mine", [names[1].replace(" ", "_"), names[5], "of another data set"])
    ids, labels = ([of[row] for row in drawn.rows_N] for of in (demo.scores().ids, demo.scores().labels))
    view = View(demo, drawn, [name for name in names if name in FIRST])
    points = [{"curve_number": 0, "point_index": n} for n in (419, 418, 5)]
    order = sorted(range(420), key=lambda clip: labels[clip] in FIRST)
    picked, own = view.selected("joint", points)
    assert picked == [ids[clip] for clip in sorted(order[n] for n in (419, 418, 5))] and own

    page = opened(**{state.SELECT_BY: "Lasso"})
    assert {chart["layout"]["dragmode"] for chart in figures(page).values()} == {"lasso"}
    held = {"points": points, "point_indices": [419, 418, 5], "box": [], "lasso": []}
    for key, value in (("map-joint", {"selection": held}), (state.MAP_TOUCHED, "joint"), (state.MAP_PICKED, picked)):
        page.session_state[key] = value
    assert "**3 clips selected**" in texts(fine(page.run()))
    for space in ("raw", "sentence"):
        assert sorted(figures(page)[space]["data"][0]["selectedpoints"]) == [5, 418, 419]
    page.button(key=f"pick-{state.MAP_CLIP}-2").click().run()
    assert fine(page).selectbox(key=state.MAP_CLIP).value == picked[2] and "**3 clips selected**" in texts(page)
    fine(press(page, "Clear"))
    assert "clips selected" not in texts(page) and "selectedpoints" not in figures(page)["raw"]["data"][0]
    # One's own groups are offered beside the others.
    assert {"mine (2)", "guitar (3)", "widest gaps (6)"} <= {button.label for button in page.button}
    assert set(fine(press(page, "mine (2)")).multiselect(key=state.CLASSES).value) == {names[1], names[5]}
    # A clip pinned elsewhere is shown at its place in the space of its run.
    vector, (at, joint) = demo.embeddings().modalities["VE"][42], (drawn.rows_N, drawn.projections["joint"].videos_N2)
    x, y = maps.place(vector, demo.clouds()[1]["joint"].videos_NE[at], joint)
    page.session_state[state.PINNED] = {"name": "mine.mp4", "run": "demo", "joint": vector, "sentence": None}
    diamond = figures(fine(page.run()))["joint"]["data"][2]
    assert (diamond["x"][0], diamond["y"][0]) == (pytest.approx(x), pytest.approx(y))
    assert "mine.mp4" not in texts(fine(press(page, "Take it off")))


def test_a_map_that_nobody_drew_is_a_job(empty_workspace, started):
    query = {state.PERPLEXITY: "5", state.MAP_CLIPS: "40", state.FITTED: "true", state.CLASSES: "kicking a box"}
    page = opened(**query)
    assert not figures(page) and "no map has been drawn yet" in texts(page) and "modality gap" in texts(page)
    press(page, "Draw the map")
    assert CliRunner().invoke(command_line, started[0].steps[0].arguments).exit_code == 0
    fine(page.run())
    assert len(figures(page)["joint"]["data"][0]["text"]) == 20  # the clips of one class


def test_a_damaged_map_is_named_and_can_be_drawn_again(empty_workspace, demo, started):
    name = maps.MapSettings().file_name(demo.fingerprint)
    maps.folder().mkdir(parents=True)
    (maps.folder() / name).write_bytes(b"nothing")
    page = open_page("semantic_gap")
    assert not page.exception and "make it again" in page.error[0].value
    assert [job.about for job in started] == [{"map": name}] and "Draw the map" in [each.label for each in page.button]


def test_numbers_are_the_engines_with_their_change(visit, demo):
    page, _ = visit
    one = {space: SimpleNamespace(**measure(space_of(demo, space))) for space in SPACES}
    gap, before, said = one["joint"], one["sentence"], texts(page)
    chief = page.table[0].value.set_index("")
    assert chief.loc["clips on their own prototype ↑", "Joint"] == f"{100 * gap.nearest_prototype:.1f} %"
    assert chief.loc["silhouette ↑"].to_list()[2:] == [
        number(gap.silhouette), f":green[+{gap.silhouette - before.silhouette:.2f}] better"
    ]  # fmt: skip
    assert all(f"**{figure.title}**" in said for figure in FIGURES.values())
    assert f"Here it is {demo.scores().class_names[gap.biggest_hub]}." in said
    table = page.table[1].value.set_index("")
    row, step = table.loc["uniformity of clips ↓"], gap.uniformity_clips - before.uniformity_clips
    shown = [number(one[space].uniformity_clips) for space in SPACES]
    assert len(table) == len(FIGURES) and [row["Raw"], row["Sentence"], row["Joint"]] == shown
    assert step > 0 and row["change to joint"] == f":orange[+{step:.2f}] worse"


def test_a_class_is_judged_as_the_engine_does_with_advice_and_clips(empty_workspace, visit, demo):
    names, found = demo.scores().class_names, list(faults(space_of(demo, "joint")).itertuples())
    one = next(one for one in found if one.verdict == "both")
    page = opened(**{state.FAULT_CLASS: names[one.Index], state.FAULT_SIDE: "text"})
    by = f"**{one.text_errors:.0f}** by fault of the text, **{one.video_errors:.0f}** by fault of the video."
    assert f"**{one.text_errors + one.video_errors:.0f} of {one.clips}** clips are missed" in texts(page)
    assert by in texts(page)
    assert "**Rewrite its description.**" in texts(page) and "**Other features, objects, captions" in texts(page)
    link = next(link.proto for link in page.page_link if "workshop" in link.value)
    wanted = {state.SECTION: state.SECTIONS["workshop"], state.ON: demo.name, state.REWRITE: names[one.Index]}
    assert dict(parse_qsl(link.query_string)) == wanted
    page.button(key="faults-to-maps").click().run()
    assert f"**{one.text_errors:.0f} clips selected**" in texts(fine(page))
    assert demo.scores().labels[demo.scores().ids.index(page.session_state[state.FAULT_CLIP])] == names[one.Index]

    right = next(one for one in found if not one.error and not one.hub)
    page.segmented_control(key=state.GAP_SPACE).set_value("sentence")
    page.selectbox(key=state.FAULT_CLASS).set_value(names[right.Index]).run()
    assert fine(page).selectbox(key=state.FAULT_CLASS).value == names[right.Index]
    for space, shown in (("joint", visit[0]), ("sentence", page)):
        table, found = shown.dataframe[0].value.set_index("class"), faults(space_of(demo, space))
        for one in found.itertuples():
            row = table.loc[names[one.Index]]
            shares = 100 * one.text_fault, 100 * one.video_fault, one.own_distance, one.lead
            assert tuple(row[["text", "video", "own", "lead"]]) == pytest.approx(shares)
            assert row["verdict"] == {"none": "nobody"}.get(one.verdict, one.verdict)
            assert row["stands"] == ("hub" if one.hub else "orphan" if one.orphan else "")
        assert (np.diff(table["missed"]) <= 0).all() and len(table) == 21
    assert visit[0].selectbox(key=state.FAULT_CLASS).value == visit[0].dataframe[0].value["class"][0]


def test_example_prototypes_are_hollow_stars_beside_the_full_ones(empty_workspace, demo, drawn):
    page = opened(**{state.SHOWN_BY: "of 4 clips"})
    names, said = demo.scores().class_names, texts(page)
    order = sorted(range(21), key=lambda c: names[c] in FIRST)
    for space, title in (("sentence", "sentence space"), ("joint", "joint space")):
        found, star = by_examples(space_of(demo, space), 4, 0), figures(page)[space]["data"][2]
        at = drawn.projections[space], demo.clouds()[1][space].videos_NE[drawn.rows_N]
        expected = [maps.place(found.prototypes_CE[c], at[1], at[0].videos_N2) for c in order]
        np.testing.assert_allclose(np.stack([numbers(star["x"]), numbers(star["y"])], 1), expected, atol=1e-5)
        assert star["text"][0].startswith(f"<b>{names[order[0]]}</b><br>shown by 4 clips")
        assert star["text"][0].endswith(number(found.cosine_C[order[0]])) and star["marker"]["symbol"] == "star"
        assert f"{number(found.mean)} in the {title}" in said
    assert len(figures(page)["raw"]["data"]) == 2 and "A class that is shown is not zero-shot" in said
    table = page.dataframe[0].value.set_index("class")
    assert table["shown"][names].tolist() == pytest.approx(found.cosine_C)
    view = View(demo, drawn, FIRST, {"joint": found})
    picked, own = view.selected("joint", [{"curve_number": 2, "point_index": 0}])
    assert not own and {demo.scores().labels[demo.scores().ids.index(clip)] for clip in picked} == {names[order[0]]}
    page.selectbox(key=state.SHOWN_BY).set_value(state.NOT_SHOWN).run()
    assert "zero-shot" not in texts(fine(page)) and "shown" not in page.dataframe[0].value
    assert len(figures(page)["joint"]["data"]) == 2


def test_a_bar_and_a_row_are_ways_to_choose_a_class(monkeypatch):
    points = [{"curve_number": 1, "point_index": 2}]
    for key, selection, name in ((classes.CHART, {"points": points}, "c"), (classes.TABLE, {"rows": [0]}, "a")):
        kept = {key: {"selection": selection}}
        monkeypatch.setattr(classes, "st", SimpleNamespace(session_state=kept))
        classes.look_at(["a", "b", "c"], key)
        assert kept == {key: {"selection": selection}, state.FAULT_CLASS: name}


def store(folder, ids, fingerprint, seed, dim=1599):
    rng = np.random.default_rng(seed)
    with StoreWriter(folder, {"encoder": "motion", "fingerprint": fingerprint, "dim": dim}) as writer:
        for name in ids:
            writer.add(name, rng.uniform(0, 1 + seed / 10, (2, dim)).astype(np.float32))
    return FeatureStore(folder)


def test_the_domain_shift_is_the_engines(empty_workspace, visit, demo, monkeypatch):
    monkeypatch.setattr("cezsar.report.study.MOST_CLIPS", 30)  # of either side, to be quick
    home = empty_workspace
    assert "To be measured, features of both" in texts(visit[0])
    # the shipped demo with its run in a workspace, said to be scored from a store of random features
    shutil.copytree(SHIPPED / "runs" / "demo", home / "runs" / "demo")
    shutil.copytree(demo.folder, home / "scores" / "demo@demo")
    run, features = Run.open(home / "runs" / "demo"), home / "features"
    made = run.config.feature_encoder["fingerprint"]
    test = store(features / "clips", demo.scores().ids, made, 0)
    train = store(features / "films", [f"film {n}" for n in range(40)], made, 1)
    store(features / "others", ["x"], "0" * 64, 2, 4)
    about = home / "scores" / "demo@demo" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"store": test.fingerprint}))
    page = opened()
    assert "MMD" not in texts(page)
    fine(page.toggle(key="measure-shift").set_value(True).run())
    table = page.table[2].value.set_index("")
    domains = domains_of(train, replace(demo.prepared(), run=run, store=test), np.random.default_rng(0))
    assert set(domains) == {"raw", "joint"}
    for space, sides in domains.items():
        sides = [directions(side, "clips") for side in sides]
        found = SimpleNamespace(**shift.measure(*sides, np.random.default_rng(0)))
        shown = number(found.mmd_squared, 4), number(found.p_value, 3), f"{100 * found.domain_accuracy:.1f} %"
        assert set(shown) <= set(table[space.capitalize()])


def test_without_points_it_says_so(empty_workspace):
    page = opened(**{state.ON: "demo-colour@demo"})
    assert "without its points" in texts(page) and not page.get("plotly_chart")
