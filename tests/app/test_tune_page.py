"""The page Tune: every figure on it is that of the engine, called directly or written out in plain loops."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from conftest import charts, fine, metrics, numbers, open_page, press, texts
from streamlit.typing import PlotlyState

from app import state
from app.parts import models
from app.tune import sweeps, weights
from cezsar.cli import app as command_line
from cezsar.data.labels import groups_path, keep_group
from cezsar.errors import InputError
from cezsar.sweep import Point, Sweep
from cezsar.zeroshot.evaluation import evaluate
from cezsar.zeroshot.fusion import Weights, predict
from cezsar.zeroshot.protocols import all_classes, named, random_classes
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores, read_arrays
from cezsar.zeroshot.weights import choose_on_half, fusion_curve, gamma_curve, simplex_map

OWN, VE, HALF = Weights(0.8, 0.2), Weights(1, 0), Weights(0.5, 0.5)
TAU_PART = {"tune": "Hard negatives (τ)"}


@pytest.fixture(scope="module")
def captions():
    """Cosine distances of all pairs of the shipped captions, infinite within a video; and the sentences."""
    arrays, told = read_arrays(models.SHIPPED / "captions.safetensors", "captions")
    vectors = arrays["vectors"].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - vectors @ vectors.T
    distances[arrays["groups"][:, None] == arrays["groups"]] = np.inf
    return distances, told["sentences"]


def shown(page):
    return [metrics(fine(page))[name][0] for name in ("Top-1", "Top-5", "Mean per class")]


def told(scores, given, protocol=None):
    return evaluate(scores, protocol or all_classes(scores.class_names), given).runs[0]


def percents(scores, given, protocol=None):
    """What the metrics should say, from `evaluate`."""
    run = told(scores, given, protocol)
    return [f"{100 * value:.1f} %" for value in (run.top1, run.top5, run.mean_per_class)]


def chart(page, title):
    """The lines and points of the figure whose y axis has this title."""
    (found,) = [spec for spec in charts(page) if title in spec["layout"]["yaxis"]["title"].get("text", "")]
    return found["data"]


def table_with(page, column):
    (found,) = [frame.value for frame in page.dataframe if column in frame.value]
    return found


# Fusion weights ------------------------------------------------------------------------------------------------------


def test_first_visit_compares_the_run_with_its_visual_embedding_alone(empty_workspace, scores):
    page = open_page("tune")
    assert shown(page) == percents(scores, OWN)
    (before, now), truth = (predict(scores, given) for given in (VE, OWN)), scores.label_index
    gained, lost = (np.flatnonzero((one == truth) & (other != truth)) for one, other in ((now, before), (before, now)))
    rows = [*gained, *lost, *np.flatnonzero((now != before) & (now != truth) & (before != truth))]
    assert metrics(page)["Flips"] == (str(len(rows)), "of 420 clips")
    table = table_with(page, "Under the reference")
    assert list(table["Clip"]) == [scores.ids[row] for row in rows]
    assert list(table["Now"]) == [scores.class_names[now[row]] for row in rows]
    assert page.get("video")
    # The bars add up to the clips that were gained and lost.
    ((right, left),) = [spec["data"] for spec in charts(page) if spec["data"][0]["type"] == "bar"]
    assert (sum(right["x"]), -sum(left["x"])) == (len(gained), len(lost))
    # A row that is chosen plays its clip, with its best labels.
    page.session_state["flips-any"] = {"selection": {"rows": [5], "columns": [], "cells": []}}
    assert f"True class: **{scores.labels[rows[5]]}**" in texts(fine(page.run()))


def test_every_figure_follows_alpha(empty_workspace, scores):
    page = open_page("tune", alpha="0.3")
    assert page.slider(key="alpha").value == 0.3 and shown(page) == percents(scores, Weights(0.3, 0.7))
    page.slider(key="alpha").set_value(0.5).run()
    assert shown(page) == percents(scores, HALF)
    now, own = told(scores, HALF).top1, told(scores, OWN).top1
    assert metrics(page)["Top-1"][1] == f"{100 * (now - own):+.1f} points"
    present = chart(page, "top-1 accuracy")[-1]
    assert (present["name"], present["x"], present["y"]) == ("present", [0.5], [pytest.approx(100 * now)])
    # The present weights become the reference.
    assert metrics(press(page, "Set as reference"))["Flips"][0] == "0"
    page.slider(key="alpha").set_value(1.0).run()
    assert metrics(page)["Flips"][0] == str((predict(scores, HALF) != predict(scores, VE)).sum())


def test_presets_set_the_weights(empty_workspace, scores):
    page = press(open_page("tune"), "O only")
    assert page.slider(key="alpha").value == 0 and shown(page) == percents(scores, Weights(0, 1))
    best, page = fusion_curve(scores).best(), press(page, "Best on this data")
    assert best.low <= page.slider(key="alpha").value <= best.high
    assert metrics(page)["Top-1"][0] == f"{100 * best.accuracy:.1f} %"
    assert shown(press(page, "The paper's")) == percents(scores, OWN)


def test_a_split_is_what_evaluate_calls_it(empty_workspace, scores):
    names = scores.class_names
    page = open_page("tune", half="3")
    assert shown(page) == percents(scores, OWN)
    page.segmented_control(key=state.TOLD_APART).set_value(state.TUNE_HALF).run()
    assert shown(page) == percents(scores, OWN, random_classes(names, len(names) // 2, 1, 3))
    keep_group(groups_path(), "mine", names[2:6])
    page.segmented_control(key=state.TOLD_APART).set_value(state.TUNE_CHOSEN).run()
    assert shown(press(page, "mine (4)")) == percents(scores, OWN, named("some", names[2:6], names))
    page.multiselect(key=state.TUNE_CLASSES).set_value([]).run()
    assert not page.metric and "Choose at least one class" in page.info[0].value


@pytest.fixture
def three(empty_workspace, demo, scores):
    """The demo's scores with made-up captions that know a little, as three@demo in the workspace; captions@demo has
    VE and these alone."""
    known_NC = 0.35 * np.eye(21)[scores.label_index]
    captions_NC = known_NC + 0.3 * np.random.default_rng(3).normal(size=(420, 21))
    columns = scores.columns | {"C": captions_NC.astype(np.float32)}
    for run, modalities in (("captions", ["VE", "C"]), ("three", ["VE", "O", "C"])):
        folder, kept = empty_workspace / "scores" / f"{run}@demo", {name: columns[name] for name in modalities}
        found = Scores(scores.ids, scores.labels, scores.class_names, kept)
        found.save(folder / "scores.safetensors")
        about = demo.about | {"run": run, "dataset": "theirs", "modalities": modalities, "created": "2026"}
        (folder / "about.json").write_text(json.dumps(about))
    return found


def test_clips_with_captions_or_with_one_modality_have_their_sliders(three):
    page = open_page("tune", on="captions@demo", alpha="0.6")  # γ = 0.4, and its point is on the curve
    present = chart(page, "top-1 accuracy")[-1]
    assert (present["name"], present["x"]) == ("present", [0.6])
    assert shown(page) == percents(three, Weights(0.6, 0, 0.4))
    page = open_page("tune", on="demo-colour@demo")
    colour = Scored.open(models.SHIPPED / "scores" / "demo-colour@demo").scores()
    assert not page.slider and "nothing to weigh" in page.info[0].value and shown(page) == percents(colour, VE)


def test_the_map_of_three_weights_is_that_of_evaluate(three):
    page = open_page("tune", on="three@demo", alpha="0.3", beta="0.1", gamma="0.6")
    assert [slider.key for slider in page.slider] == ["alpha", "beta", "gamma"]
    assert shown(page) == percents(three, Weights(0.3, 0.1, 0.6))
    ((points, *marks),) = [spec["data"] for spec in charts(page) if spec["data"][0].get("customdata")]
    assert len(points["customdata"]) == 231
    for place in range(0, 231, 23):
        alpha, beta, gamma = points["customdata"][place]
        said = f"α = {alpha:.2f}, β = {beta:.2f}, γ = {gamma:.2f}: "
        assert points["hovertext"][place] == said + f"{100 * told(three, Weights(alpha, beta, gamma)).top1:.1f} %"
        spot = alpha + beta + gamma, numbers(points["x"])[place], numbers(points["y"])[place]
        assert spot == pytest.approx((1, alpha + gamma / 2, gamma))
    # Marks: own weights, the peak, the sliders. The reference is the run's own, and not marked.
    peak, where = simplex_map(three, weights.STEPS).best(), {mark["name"]: mark["customdata"][0] for mark in marks}
    assert where["best"] == pytest.approx([peak.weights.alpha, peak.weights.beta, peak.weights.gamma])
    assert where["present"] == pytest.approx([0.3, 0.1, 0.6])
    assert where["the run's own"] == [0.8, 0.2, 0.0] and "reference" not in where
    assert f"Star: {100 * peak.accuracy:.1f} %" in texts(page)
    page = press(page, "Best on this data")
    assert metrics(page)["Top-1"][0] == f"{100 * peak.accuracy:.1f} %"
    assert page.slider(key="gamma").value == pytest.approx(peak.weights.gamma)


def test_a_click_on_the_map_sets_the_sliders(monkeypatch):
    values = {}
    monkeypatch.setattr(weights.st, "session_state", values)
    for points in ([{"customdata": [0.35, 0.2, 0.45]}], []):  # the same point again: no longer chosen
        values["simplex"] = PlotlyState({"selection": {"points": points}})
        weights.clicked("simplex")
    assert [values[key] for key in ("alpha", "beta", "gamma")] == [0.35, 0.2, 0.45]


def test_the_curve_keeps_gamma(three):
    page = open_page("tune", on="three@demo", alpha="0.5", beta="0.2", gamma="0.3")
    (curve, *marks), exact = chart(page, "top-1 accuracy in %"), gamma_curve(three, 0.3)
    points = exact.breakpoints
    assert numbers(curve["x"]) == pytest.approx(points, abs=1e-6)
    assert numbers(curve["y"])[:-1] == pytest.approx(100 * exact.at((points[1:] + points[:-1]) / 2))
    assert [(mark["name"], mark["x"]) for mark in marks] == [("present", [pytest.approx(5 / 7)])]  # others: another γ


@pytest.mark.parametrize(("on", "runs"), [("demo@demo", weights.HONEST_RUNS), ("three@demo", weights.HONEST_MAPS)])
def test_weights_chosen_on_one_half_are_told_on_the_other(three, scores, on, runs):
    used = three if on == "three@demo" else scores
    last = used.modalities[-1]
    fixed = {"own": OWN, last: Weights.only(last)}
    found = choose_on_half(used, used.modalities, fixed=fixed, steps=weights.HONEST_STEPS, runs=runs)
    table = table_with(open_page("tune", on=on), "Weights")
    places = [0, 1, len(table) - 2, len(table) - 1]
    rows = (found.accuracies, found.fixed["own"], found.fixed[last], found.best)
    assert list(table["Top-1 in %, mean"][places]) == pytest.approx([100 * np.mean(row) for row in rows])
    assert list(table["± std"][places]) == pytest.approx([100 * np.std(row, ddof=1) for row in rows])
    assert table["Weights"][places[2]] == f"{last} only" and "too good" in table["Weights"][places[3]]


# Hard negatives ------------------------------------------------------------------------------------------------------


def test_figures_of_tau_and_sentences_that_enter_and_leave_are_those_of_all_pairs(empty_workspace, captions):
    distances, sentences = captions
    page = open_page("tune", **TAU_PART, tau="0.55", negatives="10")
    for bound in (0.55, 0.8):
        page.slider(key="tau").set_value(bound).run()
        within = (distances > 1e-6) & (distances < bound)
        counts, few = within.sum(1), (within.sum(1) < 10).sum()
        assert {label: value for label, (value, _) in metrics(fine(page)).items()} == {
            f"Pairs under τ = {bound:.2f}": f"{100 * within.sum() / np.isfinite(distances).sum():.1f} %",
            "Candidates, median": f"{np.median(counts):,.0f}",
            "Candidates, fewest": str(counts.min()),
            "With fewer than 10": f"{few} of {len(sentences)}",
        }
        drawn = numbers(chart(page, "fewer than 10")[0]["y"])
        assert drawn[round(100 * bound) - 1] == pytest.approx(100 * few / len(counts))
    page.selectbox(key=state.ANCHOR).set_value(17).run()
    entering = np.flatnonzero((distances[17] >= 0.7) & (distances[17] < 0.8))
    entering = entering[np.argsort(distances[17, entering])]
    assert f"Enter as τ goes from 0.70 to 0.80: {len(entering)}**" in texts(page)
    table = page.dataframe[1].value
    assert list(table["Sentence"]) == [sentences[row] for row in entering[: len(table)]]
    assert list(table["Distance"]) == pytest.approx(distances[17, entering[: len(table)]].tolist(), abs=1e-6)
    page.slider(key="tau").set_value(0.6).run()
    leaving = int(((distances[17] >= 0.6) & (distances[17] < 0.7)).sum())
    assert f"Leave as τ goes from 0.70 to 0.60: {leaving}**" in texts(page)


def test_a_file_of_annotations_is_encoded_once(empty_workspace, monkeypatch):
    asked = []

    def encode(sentences):
        asked.append(sentences)
        return np.array([[sentence.count(letter) + 0.1 for letter in "abcdefgh"] for sentence in sentences])

    encoder = SimpleNamespace(encode=encode)
    monkeypatch.setattr("cezsar.data.sentence_cache.open_encoder", lambda name: encoder)
    entry = {"duration": 9.0, "timestamps": [[0, 4], [5, 9]]}
    videos = {f"v{n}": entry | {"sentences": [f"a bad {'cab' * n}", f"he had {'egg' * n}"]} for n in range(6)}
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / "mine.json").write_text(json.dumps(videos))
    page = open_page("tune", **TAU_PART, captions="mine.json")
    assert page.selectbox(key=state.SENTENCES_OF).options[1:] == ["mine.json"]
    assert "12 sentences of 6 videos, encoded by minilm" in texts(page)
    page.slider(key="tau").set_value(0.1).run()
    page.run()
    assert len(asked) == 1 and len(asked[0]) == 12


# A run per τ ---------------------------------------------------------------------------------------------------------


def test_without_captions_the_papers_curve_is_shown(empty_workspace, nothing_shipped):
    page = fine(open_page("tune", **TAU_PART))
    assert "There are no captions here yet" in texts(page)
    (line,) = chart(page, "top-1 accuracy")
    assert dict(zip(line["x"], line["y"], strict=True)) == pytest.approx({0.7: 47.8, 0.8: 50.9, 0.9: 48.3})


def test_a_sweep_is_a_command_that_the_command_line_takes(empty_workspace, started):
    for name in ("demo/test", "features/demo-train", "features/demo-test"):  # what it looks for of a built demo
        (empty_workspace / name).mkdir(parents=True)
    for name in ("train.json", "descriptions.json"):
        (empty_workspace / "demo" / name).write_text("{}")
    page = open_page("tune", **TAU_PART)
    page.text_input(key="sweep-taus").set_value("often")
    press(page, "Train one run per τ")
    assert "no list of numbers" in page.error[0].value and not started
    page.text_input(key="sweep-taus").set_value("0.9; 0.65")
    page.number_input(key="sweep-epochs").set_value(3)
    fine(press(page, "Train one run per τ"))
    (job,) = started
    verb, *arguments = job.steps[0].arguments
    found = typer.main.get_command(command_line).commands[verb].make_context(verb, arguments).params
    assert (job.kind, verb) == ("tau", "tau-sweep") and found["out"].name == job.about["sweep"]
    assert (found["taus"], found["seeds"], found["epochs"], found["standardise"]) == ("0.65,0.9", "7", 3, True)
    assert (found["negatives"], found["sub_clips"], found["object_positives"], found["objects"]) == (20, 1, 0, 1)
    for text in ("", "x", "0", "2.5", "0.7, 0.7", "nan", ",".join(f"0.{n}" for n in range(10, 30))):
        with pytest.raises(InputError):
            sweeps.start(text, 1, 1, 0)


def test_sweeps_of_the_command_line_are_shown(empty_workspace):
    page = open_page("tune", **TAU_PART)
    points = [
        Point(0.4, 0, 0.886, failed="too few: 88.6 %"),
        Point(0.7, 0, 0.1, 40_000, 9.0, {"VE": [0.5, 0.6], "O": [0.3, 0.3], "VE + O": [0.6, 0.6]}),
        Point(0.8, 0, 0.0, 42_000, 11.0, {"VE": [0.6, 0.8], "O": [0.3, 0.3], "VE + O": [0.7, 0.8]}),
    ]
    about = {"dataset": "demo", "protocol": "half", "negatives": 20}
    Sweep(about, points).save(empty_workspace / "scores" / "first")
    page = open_page("tune", **TAU_PART)
    lines = {line["name"]: line for line in chart(page, "top-1 accuracy in %")}
    drawn = [lines["VE"], lines["VE + O"]]
    assert [line["x"] for line in drawn] == [[0.7, 0.8]] * 2
    assert lines["paper: VE + O, UCF-101"]["x"] == [0.7, 0.8, 0.9]
    assert drawn[0]["y"] == pytest.approx([55, 70]) and drawn[1]["y"] == pytest.approx([60, 75])
    table = table_with(page, "triplets")
    assert list(table["VE + O, %"]) == ["–", "60.0 ± 0.0", "75.0 ± 7.1"]
    assert list(table["triplets"]) == ["–", "40,000", "42,000"]
    assert list(table["failed"]) == ["seed 0: too few: 88.6 %", "", ""]
