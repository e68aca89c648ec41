"""The page Tune: every figure on it is that of the engine, called directly or written out in plain loops."""

import base64
import json
import os
import time

import numpy as np
import pytest
import typer
from conftest import open_page
from streamlit.typing import PlotlyState

from app import state
from app.parts import models, scored
from app.tune import negatives, sweeps, weights
from cezsar import jobs
from cezsar.cli import app as command_line
from cezsar.data.labels import groups_path, keep_group
from cezsar.errors import InputError
from cezsar.sweep import Point, Sweep
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, cosine, predict
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores, read_arrays
from cezsar.zeroshot.weights import choose_on_half, fusion_curve, gamma_curve, simplex_map

OWN, VE = Weights(0.8, 0.2), Weights(1, 0)
TAU_PART = {"tune": "Hard negatives (τ)"}


@pytest.fixture(scope="module")
def demo():
    return Scored.open(models.SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def shipped_scores(demo):
    return demo.scores()


@pytest.fixture(scope="module")
def captions():
    """Cosine distances of all pairs of the shipped captions, infinite within a video; and the sentences."""
    arrays, told = read_arrays(models.SHIPPED / "captions.safetensors", "captions")
    vectors = arrays["vectors"].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - vectors @ vectors.T
    distances[arrays["groups"][:, None] == arrays["groups"]] = np.inf
    return distances, told["sentences"]


@pytest.fixture
def nothing_shipped(empty_workspace, monkeypatch):
    for module in (models, scored):
        monkeypatch.setattr(module, "SHIPPED", empty_workspace / "nothing")


def metrics(page):
    """Label -> (value, delta)."""
    assert not page.exception
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def shown(page):
    return [metrics(page)[name][0] for name in ("Top-1", "Top-5", "Mean per class")]


def told(scores, given, protocol=None):
    return evaluate(scores, protocol or all_classes(scores.class_names), given).runs[0]


def percents(scores, given, protocol=None):
    """What the metrics should say, from `evaluate`."""
    run = told(scores, given, protocol)
    return [f"{100 * value:.1f} %" for value in (run.top1, run.top5, run.mean_per_class)]


def charts(page):
    return [json.loads(element.proto.spec) for element in page.get("plotly_chart")]


def chart(page, title):
    """The lines and points of the figure whose y axis has this title."""
    (found,) = [spec for spec in charts(page) if title in spec["layout"]["yaxis"]["title"].get("text", "")]
    return found["data"]


def numbers(values):
    """An array of a figure, as it travels."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


def says(texts, words):
    return any(words in text.value for text in texts)


def button(page, label):
    (found,) = [button for button in page.button if button.label == label]
    return found


def table_with(page, column):
    (found,) = [frame.value for frame in page.dataframe if column in frame.value]
    return found


# Fusion weights ------------------------------------------------------------------------------------------------------


def test_first_visit_compares_the_run_with_its_visual_embedding_alone(empty_workspace, shipped_scores):
    page = open_page("tune")
    assert shown(page) == percents(shipped_scores, OWN)
    before, now = (predict(shipped_scores, given) for given in (VE, OWN))
    truth = shipped_scores.label_index
    gained = np.flatnonzero((now == truth) & (before != truth))
    lost = np.flatnonzero((now != truth) & (before == truth))
    changed = np.flatnonzero((now != before) & (now != truth) & (before != truth))
    rows = [*gained, *lost, *changed]
    assert metrics(page)["Flips"] == (str(len(rows)), "of 420 clips")
    table = table_with(page, "Under the reference")
    assert list(table["Clip"]) == [shipped_scores.ids[row] for row in rows]
    assert list(table["Now"]) == [shipped_scores.class_names[now[row]] for row in rows]
    assert page.get("video")
    # The bars add up to the clips that were gained and lost.
    ((right, left),) = [spec["data"] for spec in charts(page) if spec["data"][0]["type"] == "bar"]
    assert (sum(right["x"]), -sum(left["x"])) == (len(gained), len(lost))
    # A row that is chosen plays its clip, with its best labels.
    page.session_state["flips-any"] = {"selection": {"rows": [5], "columns": [], "cells": []}}
    page.run()
    row = rows[5]
    similar_C = cosine(shipped_scores, OWN)[row]
    lists = [text.value.splitlines() for text in page.markdown if text.value.startswith("1. ")]
    for line, label in zip(lists[1], np.argsort(-similar_C, kind="stable")[:5], strict=True):
        assert shipped_scores.class_names[label] in line and f"{similar_C[label]:.2f}" in line
    assert says(page.caption, f"True class: **{shipped_scores.labels[row]}**")


def test_every_figure_follows_alpha(empty_workspace, shipped_scores):
    page = open_page("tune", alpha="0.3")
    assert page.slider(key="alpha").value == 0.3
    assert shown(page) == percents(shipped_scores, Weights(0.3, 0.7))
    page.slider(key="alpha").set_value(0.5).run()
    half = Weights(0.5, 0.5)
    assert shown(page) == percents(shipped_scores, half)
    now, own = told(shipped_scores, half).top1, told(shipped_scores, OWN).top1
    assert metrics(page)["Top-1"][1] == f"{100 * (now - own):+.1f} points"
    present = chart(page, "top-1 accuracy")[-1]
    assert (present["name"], present["x"], present["y"]) == ("present", [0.5], [pytest.approx(100 * now)])
    assert says(page.caption, "run's own weights (α = 0.80, β = 0.20)")
    # The present weights become the reference, which travels in the address.
    button(page, "Set as reference").click().run()
    assert metrics(page)["Flips"][0] == "0"
    assert page.query_params["ref"] in ("0.5 0.5 0", ["0.5 0.5 0"])
    again = open_page("tune", alpha="1", ref="0.5 0.5 0")
    turned = predict(shipped_scores, half) != predict(shipped_scores, VE)
    assert metrics(again)["Flips"][0] == str(turned.sum())


def test_presets_and_two_sliders_set_the_weights(empty_workspace, shipped_scores):
    page = open_page("tune")
    page.button(key="preset-O only").click().run()
    assert page.slider(key="alpha").value == 0
    assert shown(page) == percents(shipped_scores, Weights(0, 1))
    page.button(key="preset-Best on this data").click().run()
    best = fusion_curve(shipped_scores).best()
    assert best.low <= page.slider(key="alpha").value <= best.high
    assert metrics(page)["Top-1"][0] == f"{100 * best.accuracy:.1f} %"
    page.button(key="preset-The paper's").click().run()
    assert shown(page) == percents(shipped_scores, OWN)
    page.toggle(key="free").set_value(True).run()
    assert page.slider(key="beta").value == pytest.approx(0.2)
    for alpha, beta in ((0.3, 0.2), (0.0, 0.0)):
        page.slider(key="alpha").set_value(alpha)
        page.slider(key="beta").set_value(beta).run()
        if alpha:
            assert shown(page) == percents(shipped_scores, Weights(0.6, 0.4))  # only their ratio counts
    assert "not all zero" in page.error[0].value


def test_nonsense_in_the_address_is_ignored(empty_workspace, shipped_scores):
    page = open_page("tune", alpha="NaN", ref="-1 x", tune="<b>", flipped="$", **{"told-apart": "?"})
    assert shown(page) == percents(shipped_scores, OWN)


def test_a_split_is_what_evaluate_calls_it(empty_workspace, shipped_scores):
    names = shipped_scores.class_names
    page = open_page("tune", **{"told-apart": "A random half", "half": "3"})
    assert shown(page) == percents(shipped_scores, OWN, random_classes(names, len(names) // 2, 1, 3))
    keep_group(groups_path(), "mine", names[2:6])
    page = open_page("tune", **{"told-apart": "Some"})
    button(page, "mine (4)").click().run()
    assert shown(page) == percents(shipped_scores, OWN, named("some", names[2:6], names))
    page.multiselect(key=state.TUNE_CLASSES).set_value([]).run()
    assert not page.metric and "Choose at least one class" in page.info[0].value


@pytest.fixture
def three(empty_workspace, demo, shipped_scores):
    """The demo's scores with made-up captions that know a little, as three@demo in the workspace; captions@demo has
    VE and these alone."""
    known_NC = 0.35 * np.eye(21)[shipped_scores.label_index]
    captions_NC = known_NC + 0.3 * np.random.default_rng(3).normal(size=(420, 21))
    columns = shipped_scores.columns | {"C": captions_NC.astype(np.float32)}
    for run, modalities in (("captions", ["VE", "C"]), ("three", ["VE", "O", "C"])):
        folder, kept = empty_workspace / "scores" / f"{run}@demo", {name: columns[name] for name in modalities}
        scores = Scores(shipped_scores.ids, shipped_scores.labels, shipped_scores.class_names, kept)
        scores.save(folder / "scores.safetensors")
        about = demo.about | {"run": run, "dataset": "theirs", "modalities": modalities, "created": "2026"}
        (folder / "about.json").write_text(json.dumps(about))
    return scores


def test_each_modality_has_a_slider(three, demo):
    page = open_page("tune", on="three@demo", gamma="0.1")
    assert [slider.key for slider in page.slider] == ["alpha", "beta", "gamma"]
    assert shown(page) == percents(three, Weights(0.8, 0.2, 0.1))
    page = open_page("tune", on="captions@demo", alpha="0.6")  # γ = 0.4, and its point is on the curve
    present = chart(page, "top-1 accuracy")[-1]
    assert (present["name"], present["x"]) == ("present", [0.6])
    assert shown(page) == percents(three, Weights(0.6, 0, 0.4))
    page = open_page("tune", on="demo-colour@demo")
    colour = Scored.open(models.SHIPPED / "scores" / "demo-colour@demo").scores()
    assert not page.slider and "nothing to weigh" in page.info[0].value
    assert shown(page) == percents(colour, VE)


def heatmaps(page):
    return [spec["data"] for spec in charts(page) if spec["data"][0]["type"] == "heatmap"]


def test_the_map_of_three_weights_is_that_of_evaluate(three):
    page = open_page("tune", on="three@demo", alpha="0.3", beta="0.1", gamma="0.6")
    ((heat, points, *marks),) = heatmaps(page)
    assert len(points["customdata"]) == 231
    for place in range(0, 231, 23):
        alpha, beta, gamma = points["customdata"][place]
        assert alpha + beta + gamma == pytest.approx(1)
        said = f"α = {alpha:.2f}, β = {beta:.2f}, γ = {gamma:.2f}: "
        assert points["hovertext"][place] == said + f"{100 * told(three, Weights(alpha, beta, gamma)).top1:.1f} %"
        assert numbers(points["x"])[place] == pytest.approx(alpha + gamma / 2)
        assert numbers(points["y"])[place] == pytest.approx(gamma)
    # The picture has accuracies where the triangle is, and nothing beside it.
    x, y = numbers(heat["x"]), numbers(heat["y"])
    z = numbers(heat["z"]).reshape(len(y), len(x))
    inside = np.abs(x[None] - 0.5) <= 0.5 - y[:, None] / 2 + 1e-9
    assert (np.isfinite(z[:-1]) == inside[:-1]).mean() > 0.999 and np.isfinite(z[-1]).sum() > 0
    row, column = 6, 200
    alpha = x[column] - y[row] / 2
    own = Weights(float(alpha), float(1 - y[row] - alpha), float(y[row]))
    assert z[row, column] == pytest.approx(100 * told(three, own).top1, abs=0.3)
    # Marks: own weights, the peak, the sliders. The reference is the run's own, and not marked.
    peak = simplex_map(three, weights.STEPS).best()
    where = {mark["name"]: mark["customdata"][0] for mark in marks}
    assert where["best"] == pytest.approx([peak.weights.alpha, peak.weights.beta, peak.weights.gamma])
    assert where["present"] == pytest.approx([0.3, 0.1, 0.6])
    assert where["the run's own"] == [0.8, 0.2, 0.0] and "reference" not in where
    assert says(page.caption, f"Star: {100 * peak.accuracy:.1f} %")
    page.button(key="preset-Best on this data").click().run()
    assert metrics(page)["Top-1"][0] == f"{100 * peak.accuracy:.1f} %"
    assert page.slider(key="gamma").value == pytest.approx(peak.weights.gamma)


def test_a_click_on_the_map_sets_the_sliders(three, monkeypatch):
    values = {"simplex": PlotlyState({"selection": {"points": [{"customdata": [0.35, 0.2, 0.45]}]}})}
    with monkeypatch.context() as patch:
        patch.setattr(weights.st, "session_state", values)
        weights.clicked("simplex")
        values["simplex"] = PlotlyState({"selection": {"points": []}})  # the same point again: no longer chosen
        weights.clicked("simplex")
    assert [values[key] for key in ("alpha", "beta", "gamma")] == [0.35, 0.2, 0.45]


def test_the_curve_keeps_gamma(three):
    page = open_page("tune", on="three@demo", alpha="0.5", beta="0.2", gamma="0.3")
    curve, *marks = chart(page, "top-1 accuracy in %")
    exact = gamma_curve(three, 0.3)
    points = exact.breakpoints
    assert numbers(curve["x"]) == pytest.approx(points, abs=1e-6)
    assert numbers(curve["y"])[:-1] == pytest.approx(100 * exact.at((points[1:] + points[:-1]) / 2))
    assert [(mark["name"], mark["x"]) for mark in marks] == [("present", [pytest.approx(5 / 7)])]  # others: another γ
    assert says(page.markdown, "Along γ = 0.30 of a sum of 1")
    page.slider(key="alpha").set_value(0.0)
    page.slider(key="beta").set_value(0.0).run()
    assert not page.exception and says(page.caption, "Captions alone count")


def test_a_large_map_is_made_when_asked_for(three, monkeypatch):
    monkeypatch.setattr(weights, "QUICK_MAP", 1000)
    page = open_page("tune", on="three@demo", gamma="0.1")
    assert shown(page) == percents(three, Weights(0.8, 0.2, 0.1)) and not heatmaps(page)
    page.toggle(key=state.WITH_MAP).set_value(True).run()
    assert heatmaps(page) and says(page.markdown, "Along γ = 0.10 of a sum of 1")  # 0.09: the nearest line


@pytest.mark.parametrize(("on", "runs"), [("demo@demo", weights.HONEST_RUNS), ("three@demo", weights.HONEST_MAPS)])
def test_weights_chosen_on_one_half_are_told_on_the_other(three, shipped_scores, on, runs):
    scores = three if on == "three@demo" else shipped_scores
    last = scores.modalities[-1]
    fixed = {"own": OWN, last: Weights.only(last)}
    found = choose_on_half(scores, scores.modalities, fixed=fixed, steps=weights.HONEST_STEPS, runs=runs)
    table = table_with(open_page("tune", on=on), "Weights")
    places = [0, 1, len(table) - 2, len(table) - 1]
    rows = (found.accuracies, found.fixed["own"], found.fixed[last], found.best)
    assert list(table["Top-1 in %, mean"][places]) == pytest.approx([100 * np.mean(row) for row in rows])
    assert list(table["± std"][places]) == pytest.approx([100 * np.std(row, ddof=1) for row in rows])
    assert table["Weights"][places[2]] == f"{last} only" and "too good" in table["Weights"][places[3]]


# Hard negatives ------------------------------------------------------------------------------------------------------


def test_figures_of_tau_are_those_of_all_pairs(empty_workspace, captions):
    distances, sentences = captions
    page = open_page("tune", **TAU_PART, tau="0.55", negatives="10")
    for bound in (0.55, 0.8):
        page.slider(key="tau").set_value(bound).run()
        within = (distances > 1e-6) & (distances < bound)
        counts, pairs = within.sum(1), np.isfinite(distances).sum()
        few = (counts < 10).sum()
        assert {label: value for label, (value, _) in metrics(page).items()} == {
            f"Pairs under τ = {bound:.2f}": f"{100 * within.sum() / pairs:.1f} %",
            "Candidates, median": f"{np.median(counts):,.0f}",
            "Candidates, fewest": str(counts.min()),
            "With fewer than 10": f"{few} of {len(sentences)}",
        }
        drawn = numbers(chart(page, "fewer than 10")[0]["y"])
        assert drawn[round(100 * bound) - 1] == pytest.approx(100 * few / len(counts))


def test_sentences_enter_and_leave_as_tau_moves(empty_workspace, captions):
    distances, sentences = captions
    page = open_page("tune", **TAU_PART)
    page.selectbox(key=state.ANCHOR).set_value(17).run()
    entering = np.flatnonzero((distances[17] >= 0.7) & (distances[17] < 0.8))
    entering = entering[np.argsort(distances[17, entering])]
    assert says(page.markdown, f"Enter as τ goes from 0.70 to 0.80: {len(entering)}**")
    table = page.dataframe[1].value
    assert list(table["Sentence"]) == [sentences[row] for row in entering[: len(table)]]
    assert list(table["Distance"]) == pytest.approx(distances[17, entering[: len(table)]].tolist(), abs=1e-6)
    # The nearest pairs of all, which are false negatives at any τ.
    one, other = np.nonzero(np.triu((distances > 1e-6) & (distances < negatives.CLOSE)))
    order = np.argsort(distances[one, other])[: negatives.MOST_CLOSE]
    table = table_with(page, "One sentence")
    assert list(table["Distance"]) == pytest.approx(distances[one[order], other[order]].tolist(), abs=1e-6)
    assert (table["One sentence"][0], table["The other"][0]) == (sentences[one[order[0]]], sentences[other[order[0]]])
    assert says(page.markdown, f"**{(distances[one, other] < 0.05).sum()}** are nearer than 0.05")
    page.slider(key="tau").set_value(0.6).run()
    leaving = int(((distances[17] >= 0.6) & (distances[17] < 0.7)).sum())
    assert says(page.markdown, f"Leave as τ goes from 0.70 to 0.60: {leaving}**")
    button(page, "Another").click().run()
    assert not page.exception and 0 <= page.selectbox(key=state.ANCHOR).value < len(sentences)


def test_a_file_of_annotations_is_encoded_once(empty_workspace, monkeypatch):
    asked = []

    class Letters:
        def encode(self, sentences):
            asked.append(list(sentences))
            return np.array([[sentence.count(letter) + 0.1 for letter in "abcdefgh"] for sentence in sentences])

    monkeypatch.setattr("cezsar.data.sentence_cache.open_encoder", lambda name: Letters())
    videos = {}
    for video in range(6):
        said = [f"a bad {'cab' * video}", f"he had {'egg' * video}"]
        videos[f"v{video}"] = {"duration": 9.0, "timestamps": [[0, 4], [5, 9]], "sentences": said}
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / "mine.json").write_text(json.dumps(videos))
    (empty_workspace / "data" / "other.json").write_text(json.dumps({"classes": ["a"]}))
    page = open_page("tune", **TAU_PART, captions="mine.json")
    assert page.selectbox(key=state.SENTENCES_OF).options[1:] == ["mine.json"]
    assert says(page.caption, "12 sentences of 6 videos, encoded by minilm")
    page.slider(key="tau").set_value(0.1).run()
    page.run()
    assert len(asked) == 1 and len(asked[0]) == 12


# A run per τ ---------------------------------------------------------------------------------------------------------


def test_without_anything_the_demo_is_offered_and_the_papers_curve_shown(nothing_shipped):
    page = open_page("tune")
    assert not page.exception and not page.metric
    assert "Nothing has been scored yet" in page.info[0].value
    page = open_page("tune", **TAU_PART)
    assert not page.exception and says(page.info, "There are no captions here yet")
    assert button(page, "Prepare the demo")
    (line,) = chart(page, "top-1 accuracy")
    assert dict(zip(line["x"], line["y"], strict=True)) == pytest.approx({0.7: 47.8, 0.8: 50.9, 0.9: 48.3})


@pytest.fixture
def built(empty_workspace):
    """What a sweep looks for of a built demo."""
    for name in ("demo/test", "features/demo-train", "features/demo-test"):
        (empty_workspace / name).mkdir(parents=True)
    for name in ("train.json", "descriptions.json"):
        (empty_workspace / "demo" / name).write_text("{}")
    return empty_workspace


def test_a_sweep_is_a_command_that_the_command_line_takes(built, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda *args, **more: started.append((*args, more["about"])))
    page = open_page("tune", **TAU_PART)
    page.text_input(key="sweep-taus").set_value("often")
    button(page, "Train one run per τ").click().run()
    assert "no list of numbers" in page.error[0].value and not started
    page.text_input(key="sweep-taus").set_value("0.9; 0.65")
    page.number_input(key="sweep-epochs").set_value(3)
    button(page, "Train one run per τ").click().run()
    assert not page.exception and not page.error
    ((kind, _, (step,), about),) = started
    verb, *arguments = step.arguments
    verbs = typer.main.get_command(command_line).commands
    found = verbs[verb].make_context(verb, arguments).params  # refuses what it does not know
    assert (kind, verb) == ("tau", "tau-sweep") and found["out"] == built / "scores" / about["sweep"]
    assert (found["taus"], found["seeds"], found["epochs"], found["standardise"]) == ("0.65,0.9", "7", 3, True)
    assert (found["negatives"], found["sub_clips"], found["object_positives"], found["objects"]) == (20, 1, 0, 1)
    assert list(step.stages)[:2] == ["τ = 0.65, seed 7 (1 of 2), mining", "τ = 0.65, seed 7 (1 of 2), training"]


@pytest.mark.parametrize("text", ["", "x", "0", "2.5", "0.7, 0.7", "nan", ",".join(f"0.{n}" for n in range(10, 30))])
def test_lists_of_tau_that_are_refused(built, text):
    with pytest.raises(InputError):
        sweeps.start(text, 1, 1, 0)


def test_a_sweep_that_failed_can_go_on(built):
    folder = built / "jobs" / "tau-20260101-000000"
    folder.mkdir(parents=True)
    step = {"title": "sweep", "arguments": [], "stages": {}, "accepts": [0]}
    record = {"kind": "tau", "title": "Runs for τ = 0.7", "about": {}, "created_s": time.time(), "steps": [step]}
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "status.json").write_text(json.dumps({"state": "failed", "codes": [2]}))
    (folder / "log.txt").write_text("cezsar: out of luck\n")
    page = open_page("tune", **TAU_PART)
    assert "out of luck" in page.error[0].value and button(page, "Resume")


def keep_sweep(home, name, *points):
    """What `cezsar tau-sweep` leaves in the workspace."""
    shared = {"dataset": "demo", "protocol": "half", "negatives": 20}
    Sweep(shared, list(points)).save(home / "scores" / name)


def test_sweeps_of_the_command_line_are_shown_beside_the_demos_own_run(empty_workspace, shipped_scores):
    page = open_page("tune", **TAU_PART)
    assert says(page.caption, "`cezsar tau-sweep` trains a run for each τ")
    lines = {line["name"]: line for line in chart(page, "top-1 accuracy in %")}
    for name, given in (("VE", VE), ("VE + O", OWN)):
        own, top1 = lines[f"the demo's run: {name}"], told(shipped_scores, given).top1
        assert (own["x"], own["y"]) == ([0.8], [pytest.approx(100 * top1)])
    few = Point(0.4, 0, 0.886, failed="too few: 88.6 %")
    keep_sweep(
        empty_workspace, "first", few,
        Point(0.7, 0, 0.1, 40_000, 9.0, {"VE": [0.5, 0.6], "O": [0.3, 0.3], "VE + O": [0.6, 0.6]}),
        Point(0.8, 0, 0.0, 42_000, 11.0, {"VE": [0.6, 0.8], "O": [0.3, 0.3], "VE + O": [0.7, 0.8]}),
    )  # fmt: skip
    # A second one can be chosen; a broken one and one without points are left out.
    keep_sweep(empty_workspace, "second", Point(0.9, 1, 0.0, 5, 1.0, {"VE": [0.25]}))
    os.utime(empty_workspace / "scores" / "first" / "tau-sweep.json", (1, 1))
    keep_sweep(empty_workspace, "empty")
    keep_sweep(empty_workspace, "broken", few)
    (empty_workspace / "scores" / "broken" / "tau-sweep.json").write_text("{}")
    page = open_page("tune", **TAU_PART, swept="first")
    lines = {line["name"]: line for line in chart(page, "top-1 accuracy in %")}
    drawn = [lines["VE"], lines["VE + O"]]
    assert [line["x"] for line in drawn] == [[0.7, 0.8]] * 2
    assert lines["paper: VE + O, UCF-101"]["x"] == [0.7, 0.8, 0.9]
    assert drawn[0]["y"] == pytest.approx([55, 70]) and drawn[1]["y"] == pytest.approx([60, 75])
    assert drawn[0]["error_y"]["array"] == pytest.approx([100 * 0.005**0.5, 100 * 0.02**0.5])
    table = table_with(page, "triplets")
    assert list(table["VE + O, %"]) == ["–", "60.0 ± 0.0", "75.0 ± 7.1"]
    assert list(table["short of candidates"]) == ["88.6 %", "10.0 %", "0.0 %"]
    assert list(table["triplets"]) == ["–", "40,000", "42,000"]
    assert says(page.caption, "τ = 0.4: too few")
    chooser = page.selectbox(key=state.SWEPT)
    assert (chooser.options, chooser.value) == (["second", "first"], "first")
    chooser.set_value("second").run()
    assert list(table_with(page, "triplets")["VE, %"]) == ["25.0"]
