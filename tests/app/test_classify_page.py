"""The first page, through the app's entry file."""

import json

import numpy as np
import pytest
from conftest import ACTIONS, open_page
from streamlit.typing import PlotlyState

from app import state
from app.charts import classify as charts
from app.charts import why as why_charts
from app.charts.style import GREY
from app.services import answers, labels, models
from app.services import clips as clip_files
from cezsar import encoders, jobs, world
from cezsar.analysis.explanation import explain
from cezsar.data.descriptions import parse_classes, save_descriptions
from cezsar.encoders import load_sentence_encoder
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.export import to_csv, to_json
from cezsar.zeroshot.fusion import Weights

NAMES = [action.name for action in ACTIONS]
UNSEEN = [action.name for action in world.unseen_actions()]
SAMPLE = world.plan_clips(world.SEED, world.unseen_actions(), 1)[0]
TITLE = f"{SAMPLE.label} 000"  # as the address has it
NOTHING = answers.Doubt(unlike=float("inf"))


@pytest.fixture
def nothing_shipped(empty_workspace, monkeypatch):
    """An empty workspace, and software that nothing came with."""
    for module in ("models", "scored"):
        monkeypatch.setattr(f"app.services.{module}.SHIPPED", empty_workspace / "not shipped")
    return empty_workspace


def texts(page):
    return " ".join(str(element.value) for kind in ("markdown", "subheader", "caption") for element in page.get(kind))


def shown_labels(page):
    """Labels and similarities of the table with all numbers."""
    return {row["label"]: row["similarity"] for row in page.dataframe[-1].value.to_dict("records")}


def answered(page):
    """Nothing failed, and a ranking and a timeline are shown."""
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return len(page.get("plotly_chart")) == 2


def ask(names, beta=None, gamma=0.2, key="run:demo", doubt=NOTHING):
    return answers.Question(key, names, beta, gamma, doubt)


def engine_answer(run, names, weights=None, caption=""):
    """The same from the engine called directly, on the first sample."""
    path = clip_files._rendered(SAMPLE, world.WIDTH_PX)
    with Classifier.of_run(run) as classifier:
        return classifier.rank(classifier.read(path), names, top=len(names), weights=weights, caption=caption)


def test_a_first_visitor_gets_an_answer_of_the_shipped_run(empty_workspace):
    page = open_page(sample=TITLE)
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == ", ".join(UNSEEN)
    expected = engine_answer(models.SHIPPED / "runs" / "demo", UNSEEN)
    assert page.subheader[0].value == expected.labels[0][0]
    shown = shown_labels(page)
    assert shown == pytest.approx(dict(expected.labels), abs=1e-5) and len(shown) == 21
    assert "of 420 test clips" in texts(page).lower()
    assert "Recognised objects" in texts(page)
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON"]


def test_a_sample_is_answered_by_the_run_of_the_workspace(workspace):
    page = open_page()
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == ", ".join(NAMES)
    assert set(shown_labels(page)) == set(NAMES)
    assert "trained on three drawn clips" in texts(page)


def test_clicking_a_sample_shows_it(workspace):
    page = open_page()
    cards = [button for button in page.button if button.label in UNSEEN]
    assert len(cards) == 6
    page = cards[3].click().run()
    assert answered(page)
    assert page.selectbox(key=state.SAMPLE).value.endswith(f"-{cards[3].label.replace(' ', '_')}-000")


def test_other_labels_and_weights_do_not_read_the_clip_again(empty_workspace, monkeypatch):
    page = open_page()
    for name in ("features", "embed"):
        monkeypatch.setattr(Classifier, name, lambda *_: pytest.fail("the clip was read again"))
    page.text_area(key=state.LABELS).set_value("juggling\nsleeping, juggling").run()
    assert answered(page)
    assert "Labels given twice count once: juggling" in texts(page)
    assert page.subheader[0].value in ("juggling", "sleeping")
    before = shown_labels(page)
    page.slider(key=state.OBJECTS).set_value(1.0).run()
    assert answered(page)
    assert shown_labels(page) != before


def test_a_caption_joins_the_ranking_with_its_weight(empty_workspace):
    page = open_page(sample=TITLE)
    caption = "someone sleeps in a bed"
    page.text_input[0].set_value(caption).run()
    page.slider(key=state.CAPTION_WEIGHT).set_value(0.6).run()
    assert answered(page)
    beta = page.slider(key=state.OBJECTS).value
    weights = Weights(1 - beta, beta, 0.6)
    expected = engine_answer(models.SHIPPED / "runs" / "demo", UNSEEN, weights, caption)
    assert shown_labels(page) == pytest.approx(dict(expected.labels), abs=1e-5)
    assert "palest: caption" in texts(page)
    other = page.selectbox(key=state.SAMPLE).options[1]
    assert other != SAMPLE.id
    page.selectbox(key=state.SAMPLE).select_index(1).run()
    assert page.text_input[0].value == ""


@pytest.mark.parametrize(
    "typed, said", [(" , ,\n", "no label is given"), ('"reach, grasp', "quotes"), ('["a",', "JSON")]
)
def test_labels_that_cannot_be_used_are_explained(workspace, typed, said):
    page = open_page()
    page.text_area(key=state.LABELS).set_value(typed).run()
    assert not page.exception
    assert said in page.error[0].value
    assert not page.get("plotly_chart")


def test_sentences_pasted_as_json_describe_the_labels(workspace):
    page = open_page(sample=TITLE)
    described = {"mine": [world.DESCRIPTIONS[NAMES[0]], "a dog barks"], "other": ["a train arrives"]}
    page.text_area(key=state.LABELS).set_value(json.dumps(described)).run()
    assert answered(page)
    expected = engine_answer(workspace / "runs" / "demo", described)
    assert shown_labels(page) == pytest.approx(dict(expected.labels), abs=1e-5)


@pytest.mark.parametrize("key, count", [("ucf101", 101), ("hmdb51", 51), ("kinetics400", 400)])
def test_whole_label_sets(key, count):
    known = labels.label_sets()[key]
    assert len(known.names) == count
    assert parse_classes(known.text) == ((list(known.names), []), {})


def test_a_whole_set_is_named_in_the_address(workspace):
    page = open_page(labels="@hmdb51")
    assert answered(page)
    assert page.text_area(key=state.LABELS).value.startswith("brush hair, cartwheel")
    assert len(shown_labels(page)) == 51
    next(button for button in page.button if button.label == "Kinetics\\-400 \\(400\\)").click().run()
    assert answered(page)
    assert page.query_params["labels"] in ("@kinetics400", ["@kinetics400"])
    assert len(shown_labels(page)) == 400


def test_descriptions_of_the_workspace_are_a_set(workspace):
    own = {"reach, grasp": ["a hand closes"], "wave": ["a hand moves", "somebody says goodbye"]}
    save_descriptions(labels.own_folder() / "hands.json", own)
    try:
        page = open_page(labels="@hands")
        assert answered(page)
        assert parse_classes(page.text_area(key=state.LABELS).value)[1] == own
        assert set(shown_labels(page)) == set(own)
    finally:
        (labels.own_folder() / "hands.json").unlink()


def test_the_address_opens_the_same_view(workspace):
    page = open_page(labels="juggling, sleeping", sample=TITLE, objects="0.5", lead="0.1")
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == "juggling, sleeping"
    assert page.selectbox(key=state.SAMPLE).value == SAMPLE.id
    assert page.slider(key=state.OBJECTS).value == 0.5
    assert page.slider(key=state.LEAD).value == 0.1
    assert page.query_params["labels"] in ("juggling, sleeping", ["juggling, sleeping"])
    page.text_area(key=state.LABELS).set_value(", ".join(f"label {n}" + "g" * 40 for n in range(50))).run()
    assert answered(page)
    assert "labels" not in page.query_params


def test_hostile_addresses_and_labels_do_no_harm(workspace):
    page = open_page(
        sample="../../etc/passwd", objects="NaN", labels="<b>x</b> %{y}, $a$ [l](javascript:x)", unlike="x"
    )
    assert answered(page)
    assert answered(open_page(labels="@no such set"))


def upload(page, *files):
    page.segmented_control(key=state.SOURCE).set_value(state.UPLOADS).run()
    for name, content in files:
        page.file_uploader[0].upload(name, content)
    return page.run()


def test_a_text_file_named_mp4_is_refused_in_words(workspace):
    page = upload(open_page(), ("notes.mp4", b"dear diary\n" * 50))
    assert not page.exception
    assert len(page.error) == 1
    assert "notes" in page.error[0].value and "text" in page.error[0].value
    assert "tmp" not in page.error[0].value


def test_several_uploads_one_of_them_broken(workspace, clips):
    _, paths = clips
    files = [(f"{number}.webm", path.read_bytes()) for number, path in enumerate(paths)]
    page = upload(open_page(), *files, ("empty.mp4", b""))
    assert not page.exception
    assert "empty" in page.error[0].value
    assert list(page.dataframe[0].value["clip"]) == ["0.webm", "1.webm", "2.webm"]
    assert len(page.get("plotly_chart")) == 2
    page.selectbox(key=state.CLIP).set_value(2).run()
    assert not page.exception


def test_a_clip_that_can_no_longer_be_drawn_hides_nothing_else(workspace, monkeypatch):
    def broken(*_):
        raise answers.VideoError("its frames have gone")

    monkeypatch.setattr(clip_files, "strip", broken)
    page = open_page()
    assert not page.exception
    assert "its frames have gone" in page.error[0].value
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON"]


def test_none_of_these_follows_the_limits(empty_workspace):
    page = open_page(sample=TITLE)
    best, second = sorted(shown_labels(page).values(), reverse=True)[:2]
    assert page.subheader[0].value in UNSEEN
    for key, value in ((state.LEAST, round(best + 0.02, 2)), (state.LEAD, round(best - second + 0.02, 2))):
        page.slider(key=key).set_value(min(value, page.slider(key=key).max)).run()
        assert not page.exception
        assert page.subheader[0].value == "None of these"
        assert "only, the least is" in texts(page)
        assert len(shown_labels(page)) == len(UNSEEN)
        page.slider(key=key).set_value(0.0).run()
        assert page.subheader[0].value in UNSEEN
    page.slider(key=state.UNLIKE).set_value(0.0).run()
    assert page.subheader[0].value == "None of these"
    assert "times the usual distance" in texts(page)


def test_doubts_are_exported(workspace):
    clip = clip_files.drawn(SAMPLE)
    sure = answers.answer(clip, models.models(), ask(NAMES))
    assert sure.doubts == () and sure.ranking.warning == ""
    unsure = answers.answer(clip, models.models(), ask(NAMES, doubt=answers.Doubt(0.0, least=1.1)))
    assert len(unsure.doubts) == 2
    assert f"{unsure.familiarity:.1f} times" in unsure.doubts[0]
    assert json.loads(to_json([unsure.ranking]))[0]["warning"].startswith("none of these: the clip looks like nothing")
    assert unsure.ranking.labels == sure.ranking.labels


def test_uploads_are_offered_an_encoder_for_real_video(workspace, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda kind, title, steps, **more: started.append((kind, steps[0], more)))
    page = upload(open_page())
    assert "three drawn clips" in texts(page) and "web" in texts(page)
    (fetch,) = [button for button in page.button if "Fetch" in button.label]
    assert fetch.label == "Fetch clip-ViT-B-32 (0.6 GB)"
    assert not page.code and "cezsar fetch" not in texts(page)  # the button is enough
    fetch.click().run()
    ((kind, step, more),) = started
    assert (kind, step.arguments) == ("fetch", ["fetch", encoders.FOR_REAL_VIDEO])
    assert more["at_once"] and more["about"] == {"encoder": encoders.FOR_REAL_VIDEO}


def test_where_no_job_can_run_the_command_is_told_once(workspace, monkeypatch):
    monkeypatch.setattr(jobs, "possible", lambda: False)
    page = upload(open_page(unlike="0"))
    assert not any("Fetch" in button.label for button in page.button)
    assert [code.value for code in page.code] == ["cezsar fetch clip:clip-ViT-B-32"]
    assert "cezsar fetch" not in texts(page)


def test_samples_are_offered_none(empty_workspace):
    page = open_page()
    assert not any("Fetch" in button.label for button in page.button)


def test_a_clip_is_pinned_to_the_map(empty_workspace):
    page = open_page(objects="0.3")
    (button,) = [button for button in page.button if button.label == "Show on the semantic-gap map"]
    button.click().run()
    assert not page.exception
    assert page.title[0].value == "Semantic gap" and page.session_state[state.ON] == "demo@demo"
    pinned = page.session_state[state.PINNED]
    assert (pinned["run"], pinned["name"]) == ("demo", SAMPLE.id)
    path = clip_files._rendered(SAMPLE, world.WIDTH_PX)
    with Classifier.of_run(models.SHIPPED / "runs" / "demo") as classifier:
        read = classifier.read(path)
        np.testing.assert_allclose(pinned["joint"], read.visual_E, atol=1e-5)
        said = ". ".join(f"{name} {definition}" for name, definition, _ in read.objects[: classifier._objects])
    np.testing.assert_allclose(pinned["sentence"], load_sentence_encoder("minilm").encode([said])[0], atol=1e-5)


def test_with_nothing_at_all_there_is_one_button(nothing_shipped):
    page = open_page()
    assert not page.exception
    assert [button.label for button in page.button] == ["Prepare the demo"]
    assert not page.get("plotly_chart")


def test_a_damaged_run_makes_way_for_the_shipped_one(empty_workspace):
    folder = empty_workspace / "runs" / "demo"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert models.models()["run:demo"].folder == models.SHIPPED / "runs" / "demo"


def test_a_damaged_run_counts_as_none(nothing_shipped):
    folder = nothing_shipped / "runs" / "demo"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"no weights")
    page = open_page()
    assert not page.exception
    assert [button.label for button in page.button] == ["Prepare the demo"]


def test_a_run_with_damaged_weights_is_explained(workspace, tmp_path, monkeypatch):
    copy = tmp_path / "runs" / "demo"
    copy.mkdir(parents=True)
    for path in (workspace / "runs" / "demo").glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes()[: 100 if path.name == "model.safetensors" else None])
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    page = open_page()
    assert not page.exception
    assert "model.safetensors" in page.error[0].value.replace("\\", "")


def test_unfamiliar_clips_go_to_the_encoder_for_real_video(workspace, clips):
    _, paths = clips
    clip = clip_files.ClipFile("a.webm", "digest of this test", paths[0])
    there = models.models()
    real = models.Model("clip:made-up", "made-up")
    both = there | {real.key: real}
    assert answers.choose(models.AUTOMATIC, clip, both, 2.0) == (there["run:demo"], None)
    assert answers.choose(models.AUTOMATIC, clip, both, 0.0) == (real, there["run:demo"])
    assert answers.choose(models.AUTOMATIC, clip, there, 0.0) == (there["run:demo"], None)
    assert answers.choose("run:demo", clip, both, 0.0) == (there["run:demo"], None)


def test_exports_hold_every_label_and_its_parts(workspace, clips):
    _, paths = clips
    names = [*NAMES, "juggling", "sleeping", "reading, aloud"]
    clip = clip_files.ClipFile("a, b.webm", "digest of another test", paths[0])
    given = answers.answer(clip, models.models(), ask(names, beta=0.3), "a caption")
    (record,) = json.loads(to_json([given.ranking]))
    assert {entry["label"] for entry in record["labels"]} == set(names)
    for entry in record["labels"]:
        assert set(entry["parts"]) == {"VE", "O", "C"}
        assert sum(entry["parts"].values()) == pytest.approx(entry["similarity"], abs=1e-4)
    lines = to_csv([given.ranking]).splitlines()
    assert lines[0] == ("clip,rank,label,similarity,VE,O,C,margin,model,warning,probability,none_of_these,judgement")
    assert len(lines) == 1 + len(names)
    assert lines[1].startswith('"a, b.webm",1,')


def test_figures_take_any_length_and_escape_labels():
    labels = [("<b>bold</b> %{x}", 0.5), ("x" * 300, -0.2)]
    bars = charts.ranking_figure(labels, {"VE": [0.4, -0.3], "O": [0.1, 0.1]})
    assert [bar.name for bar in bars.data] == [charts.MODALITIES["VE"], charts.MODALITIES["O"]]
    assert "<b>bold" not in bars.layout.annotations[0].text.replace("<b>&lt;", "")
    assert max(len(annotation.text) for annotation in bars.layout.annotations) < 150
    assert len(set(bars.data[0].marker.color)) == 2
    muted = charts.ranking_figure(labels, {"VE": [0.4, -0.3]}, muted=True)
    assert set(muted.data[0].marker.color) == {GREY}
    for seconds in (1, 5, 100):
        scores = np.zeros((seconds, 2), np.float32)
        figure = charts.timeline_figure([(float(t), b"jpeg") for t in range(seconds)], ["a", "b"], scores, seconds)
        assert 1 <= len(figure.layout.images) <= charts.MOST_FRAMES
        assert list(figure.data[0].x) == [t + 0.5 for t in range(seconds)]
        assert [image.x < t + 0.5 for t, image in enumerate(figure.layout.images[:1])] == [True]
    assert charts.timeline_figure([(0.0, b"jpeg")], ["a"], None, 1).layout.yaxis.visible is False


@pytest.mark.parametrize(
    "name, content, plays",
    [
        ("a.mp4", b"ftyp avc1", True),
        ("a.MP4", b"ftyp mp4v", False),
        ("a.avi", b"RIFF", False),
        ("a.webm", b"", True),
        ("none", b"", False),
    ],
)
def test_what_browsers_play(name, content, plays):
    assert clip_files.ClipFile(name, "", content).playable is plays


# Whether any label seems right ---------------------------------------------------------------------------------------


def verdicts(page):
    return [each for each in page.markdown if "seems right" in each.value]


def test_the_verdict_is_the_engines(empty_workspace):
    """A clip that seems to show one of the labels, and one that seems to show none of them."""
    for sample, sure in ((SAMPLE.id, True), ("w7-drumming_on_a_bucket-000", False)):
        page = open_page(sample=f"{world.plan_of(sample).label} 000")
        path = clip_files._rendered(world.plan_of(sample), world.WIDTH_PX)
        with Classifier.of_run(models.SHIPPED / "runs" / "demo") as classifier:
            expected = classifier.rank(classifier.read(path), UNSEEN)
        assert expected.none_of_these is not sure
        assert ("None of these labels seems right" in texts(page)) is not sure
        assert ("One of the labels seems right" in texts(page)) is sure
        assert f"({expected.probabilities[0]:.0%})" in texts(page)
        assert page.subheader[0].value == expected.labels[0][0]  # a warning hides no label
        (told,) = verdicts(page)
        assert "maximum cosine" in told.help and "30 validation videos" in told.help and "no guarantee" in told.help


def test_other_weights_have_no_probability(empty_workspace):
    page = open_page(sample=TITLE, objects="0.6")
    assert "No probability" in texts(page) and not verdicts(page)


def test_a_run_without_a_rejector_says_nothing(workspace):
    page = open_page()
    assert answered(page)
    assert not verdicts(page) and "No probability" not in texts(page)


# Why this label ------------------------------------------------------------------------------------------------------


def explained(runner_up=None):
    path = clip_files._rendered(SAMPLE, world.WIDTH_PX)
    with Classifier.of_run(models.SHIPPED / "runs" / "demo") as classifier:
        return explain(classifier, classifier.read(path), UNSEEN, runner_up=runner_up)


def figure_of(page, text):
    """Of the figure whose description begins so."""
    (chart,) = [chart for chart in page.get("plotly_chart") if chart.proto.alt.startswith(text)]
    return json.loads(chart.proto.spec)


def array(values):
    """Numbers of a figure, which plotly writes as base64."""
    if isinstance(values, dict):
        import base64

        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.array(values, float)


def test_why_is_asked_for(empty_workspace, monkeypatch):
    monkeypatch.setattr("cezsar.analysis.explanation.explain", lambda *_, **__: pytest.fail("nobody asked"))
    page = open_page(sample=TITLE)
    assert answered(page)
    assert "Why this label?" in [each.label for each in page.expander]
    assert "The lead of" not in texts(page)


def test_why_this_label_and_not_the_second(empty_workspace, monkeypatch):
    expected = explained()
    page = open_page(sample=TITLE)
    for name in ("features", "embed"):
        monkeypatch.setattr(Classifier, name, lambda *_: pytest.fail("the clip was read again"))
    page.session_state[state.WHY] = True
    page.run()
    assert not page.exception and not page.error
    assert f"The lead of {why_charts.signed(expected.margin)} is" in texts(page)
    parts = figure_of(page, "Parts of the lead")
    changes = [part.change for part in (*expected.modalities, *expected.objects)]
    shown = [float(array(bar["x"])[0]) for bar in parts["data"]]
    lead = shown.pop(len(expected.modalities))
    assert shown == pytest.approx(changes, abs=1e-5)
    assert lead == pytest.approx(sum(shown[: len(expected.modalities)]), abs=1e-6)  # exact: they add up
    assert lead == pytest.approx(expected.margin, abs=1e-5)
    hatched = [bool(bar["marker"]["pattern"].get("shape")) for bar in parts["data"]]
    assert hatched == [False] * 3 + [part.how != "exact" for part in expected.objects]
    seconds = figure_of(page, "Change of the lead by each second")
    assert array(seconds["data"][0]["y"]) == pytest.approx([part.change for part in expected.seconds], abs=1e-5)
    assert len(expected.seconds) == 5
    assert "the answer stays" in texts(page) or "it would be" in texts(page)


def test_another_label_is_compared(empty_workspace):
    page = open_page(sample=TITLE, why="true")
    picker = page.selectbox(key=state.RIVAL)
    assert picker.value == "" and len(picker.options) == len(UNSEEN)
    other = list(shown_labels(page))[3]
    picker.set_value(other).run()
    expected = explained(runner_up=other)
    assert expected.runner_up == other
    assert f"The lead of {why_charts.signed(expected.margin)} is" in texts(page)
    assert open_page(sample=TITLE, why="true", rival=other).selectbox(key=state.RIVAL).value == other
    page.text_area(key=state.LABELS).set_value(", ".join(UNSEEN[:2])).run()  # the other one is no label any more
    assert not page.exception and not page.error
    assert page.selectbox(key=state.RIVAL).value == ""


def test_a_clicked_second_is_played(empty_workspace):
    page = open_page(sample=TITLE, why="true")
    key = state.SECOND + clip_files.drawn(SAMPLE).digest[:16]
    assert page.get("video")[0].proto.start_time == 0
    point = {"curve_number": 1, "point_index": 3, "customdata": 3, "x": 3.5, "y": 0.1}
    page.session_state[key] = PlotlyState(
        {"selection": {"points": [point], "point_indices": [3], "box": [], "lasso": []}}
    )
    page.run()
    assert not page.exception
    assert page.get("video")[0].proto.start_time == 3


def test_a_single_label_has_no_rival(empty_workspace):
    page = open_page(sample=TITLE, why="true", labels="juggling")
    assert answered(page)
    assert "Why this label?" not in [each.label for each in page.expander]
