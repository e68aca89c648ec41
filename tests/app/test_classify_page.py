"""The first page, through the app's entry file."""

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import groupby, islice
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import ACTIONS, fine, numbers, open_page, texts, wait_until
from conftest import button as button_of

from app import state
from app.classify import answers, captions, ranking, why
from app.parts import clips as clip_files
from app.parts import labels as label_sets
from app.parts import models
from cezsar import encoders, world
from cezsar.analysis.explanation import explain
from cezsar.data.datasets import named_descriptions
from cezsar.data.descriptions import parse_classes, save_descriptions
from cezsar.encoders import load_sentence_encoder
from cezsar.encoders.captioners import load_captioner
from cezsar.errors import InputError, VideoError
from cezsar.video import Decoder
from cezsar.zeroshot import spans
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.model_choice import for_film
from cezsar.zeroshot.rejection import RejectionLimits

NAMES = [action.name for action in ACTIONS]
UNSEEN = [action.name for action in world.unseen_actions()]
SAMPLE = world.plan_clips(world.SEED, world.unseen_actions(), 1)[0]
TITLE = f"{SAMPLE.label} 000"  # as the address has it
SHIPPED = models.SHIPPED / "runs" / "demo"
KINETICS = named_descriptions("kinetics400")


def sample_page(**query):
    """The page with a sample, as its address says; the first one by default."""
    return open_page(**{"from": "Samples"} | query)


def greys(path, levels, seconds_each=1):
    """A film of plain greys, H.264 in MP4, cut off without loss of what stands before: its index is at the front."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for level in levels:
            noise = np.random.default_rng(level).integers(0, 40, (240, 320, 3))
            picture = np.clip(noise + level, 0, 255).astype(np.uint8)
            for _ in range(10 * seconds_each):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def real_film(tmp_path_factory):
    """Seven seconds that look like nothing drawn: dark ones, then bright ones."""
    path = tmp_path_factory.mktemp("real") / "film.mp4"
    greys(path, [10] * 4 + [200] * 3)
    return path


@pytest.fixture(scope="session")
def photographs(real_film):
    """What the library says about that film: its ranking of Kinetics-400, and its windows."""
    # A model that other tests loaded may have encoded sentences whose vectors, in a new workspace, come along rounded.
    models._engine.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEZSAR_HOME", str(real_film.parent))
        classifier = Classifier.of_run("photographs")
        film = spans.read(classifier, real_film)
        ranked = classifier.rank(classifier.read(real_film), KINETICS, top=400)
    yield SimpleNamespace(classifier=classifier, film=film, ranked=ranked)
    classifier.close()


def shown_labels(page):
    """Labels and similarities of the table with all numbers."""
    return {row["label"]: row["similarity"] for row in page.dataframe[-1].value.to_dict("records")}


def answered(page):
    """Nothing failed, and a ranking and a timeline are shown."""
    return len(fine(page).get("plotly_chart")) == 2


def near(expected):
    return pytest.approx(dict(expected.labels), abs=1e-5)


def engine_answer(run, names, weights=None, caption=""):
    """The same from the engine called directly, on the first sample."""
    path = clip_files._rendered(SAMPLE, world.WIDTH_PX)
    with Classifier.of_run(run) as classifier:
        return classifier.rank(classifier.read(path), names, top=len(names), weights=weights, caption=caption)


def downloads(page):
    return [button.label for button in page.get("download_button")]


def judgements(page):
    return [each.help for each in page.markdown if "seems right" in each.value]


def test_a_first_visitor_gets_an_answer_of_the_shipped_run(empty_workspace):
    page = sample_page(sample=TITLE)
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == ", ".join(UNSEEN)
    expected = engine_answer(SHIPPED, UNSEEN)
    assert page.subheader[0].value == expected.labels[0][0]
    assert shown_labels(page) == near(expected) and len(expected.labels) == 21
    assert "Recognised objects" in texts(page)
    assert downloads(page) == ["CSV", "JSON"]
    caption = "someone sleeps in a bed"  # joins the ranking with its weight
    page.text_area[-1].set_value(caption)
    page.slider(key=state.CAPTION_WEIGHT).set_value(0.6).run()
    assert answered(page) and "palest: caption" in texts(page)
    beta = page.slider(key=state.OBJECTS).value
    assert shown_labels(page) == near(engine_answer(SHIPPED, UNSEEN, Weights(1 - beta, beta, 0.6), caption))
    assert page.selectbox(key=state.SAMPLE).options[1] != SAMPLE.id
    page.selectbox(key=state.SAMPLE).select_index(1).run()
    assert page.text_area[-1].value == ""


def test_other_labels_and_weights_do_not_read_the_clip_again(workspace, monkeypatch):
    page = sample_page(sample=TITLE)
    described = {"mine": [world.DESCRIPTIONS[NAMES[0]], "a dog barks"], "other": ["a train arrives"]}
    expected = engine_answer(workspace / "runs" / "demo", described)
    for name in ("features", "embed"):
        monkeypatch.setattr(Classifier, name, lambda *_: pytest.fail("the clip was read again"))
    for typed, said in ((" , ,\n", "no label is given"), ('"reach, grasp', "quotes"), ('["a",', "JSON")):
        page.text_area(key=state.LABELS).set_value(typed).run()
        assert not page.exception and said in page.error[0].value and not page.get("plotly_chart")
    page.text_area(key=state.LABELS).set_value(json.dumps(described)).run()  # the sentences describe the labels
    assert answered(page) and shown_labels(page) == near(expected)
    page.text_area(key=state.LABELS).set_value("juggling\nsleeping, juggling").run()
    assert answered(page) and "Labels given twice count once: juggling" in texts(page)
    before = shown_labels(page)
    assert set(before) == {"juggling", "sleeping"}
    page.slider(key=state.OBJECTS).set_value(1.0).run()
    assert answered(page) and shown_labels(page) != before


def test_a_whole_set_is_named_in_the_address(workspace, monkeypatch, tmp_path):
    own = {"reach, grasp": ["a hand closes"], "wave": ["a hand moves", "somebody says goodbye"]}
    monkeypatch.setattr(label_sets, "own_folder", lambda: tmp_path)
    save_descriptions(tmp_path / "hands.json", own)
    page = sample_page(labels="@hmdb51")
    assert answered(page) and len(shown_labels(page)) == 51
    for label, said, count in (("Kinetics\\-400 \\(400\\)", "@kinetics400", 400), ("hands \\(2\\)", "@hands", 2)):
        button_of(page, label).click().run()
        assert answered(page) and len(shown_labels(page)) == count
        assert page.query_params["labels"] in (said, [said])
    assert parse_classes(page.text_area(key=state.LABELS).value)[1] == own


def test_the_address_opens_the_same_view(workspace):
    page = sample_page(labels="juggling, sleeping", sample=TITLE, objects="0.5", lead="0.1")
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == "juggling, sleeping"
    assert page.selectbox(key=state.SAMPLE).value == SAMPLE.id
    assert (page.slider(key=state.OBJECTS).value, page.slider(key=state.LEAD).value) == (0.5, 0.1)
    page.text_area(key=state.LABELS).set_value(", ".join(f"label {n}" + "g" * 40 for n in range(50))).run()
    assert answered(page) and "labels" not in page.query_params
    hostile = {"objects": "NaN", "labels": "<b>x</b> %{y}, $a$ [l](javascript:x)", "unlike": "x"}
    assert answered(sample_page(sample="../../etc/passwd", **hostile))


def upload(page, *files):
    for name, content in files:
        page.file_uploader[0].upload(name, content)
    return page.run()


def test_films_beyond_what_the_server_holds_are_let_go(workspace, monkeypatch):
    monkeypatch.setattr("app.parts.clips.MOST_HELD", 1000)
    page = upload(open_page(), ("a.mp4", bytes(1001)))
    assert not page.exception and "was let go: all visitors' uploads" in page.error[0].value
    monkeypatch.setattr("app.parts.clips.MOST_HELD", 1001)
    assert "was let go" not in texts(upload(open_page(), ("a.mp4", bytes(1001))))


def test_several_uploads_two_of_them_broken(workspace, clips):
    files = [(f"{number}.webm", path.read_bytes()) for number, path in enumerate(clips[1][:2])]
    page = upload(open_page(), *files, ("empty.mp4", b""), ("notes.mp4", b"dear diary\n" * 50))
    assert not page.exception
    empty, notes = (error.value for error in page.error)
    assert "empty" in empty and "notes" in notes and "text" in notes and "tmp" not in notes
    assert list(page.dataframe[0].value["clip"]) == ["0.webm", "1.webm"] and len(page.get("plotly_chart")) == 2
    page.selectbox(key=state.CLIP).set_value(1).run()
    assert not page.exception


def test_none_of_these_follows_the_limits(empty_workspace):
    page = sample_page(sample=TITLE)
    best, second = sorted(shown_labels(page).values(), reverse=True)[:2]
    assert page.subheader[0].value in UNSEEN
    for key, value in ((state.LEAST, round(best + 0.02, 2)), (state.LEAD, round(best - second + 0.02, 2))):
        page.slider(key=key).set_value(min(value, page.slider(key=key).max)).run()
        assert not page.exception and page.subheader[0].value == "None of these"
        assert "only, the least is" in texts(page) and len(shown_labels(page)) == len(UNSEEN)
        page.slider(key=key).set_value(0.0)
    page.slider(key=state.UNLIKE).set_value(0.0).run()
    assert page.subheader[0].value == "None of these" and "times the usual distance" in texts(page)


def test_a_clip_is_pinned_to_the_map(empty_workspace):
    page = sample_page(objects="0.3")
    button_of(page, "Show on the semantic-gap map").click().run()
    assert not page.exception
    assert page.title[0].value == "Semantic gap" and page.session_state[state.ON] == "demo@demo"
    pinned = page.session_state[state.PINNED]
    assert (pinned["run"], pinned["name"]) == ("demo", SAMPLE.id)
    with Classifier.of_run(SHIPPED) as classifier:
        read = classifier.read(clip_files._rendered(SAMPLE, world.WIDTH_PX))
        np.testing.assert_allclose(pinned["joint"], read.visual_E, atol=1e-5)
        said = ". ".join(f"{name} {definition}" for name, definition, _ in read.objects[: classifier.objects])
    np.testing.assert_allclose(pinned["sentence"], load_sentence_encoder("minilm").encode([said])[0], atol=1e-5)


def test_damaged_weights_are_named_and_a_damaged_run_makes_way_for_the_shipped_one(workspace, tmp_path, monkeypatch):
    copy = tmp_path / "runs" / "demo"
    copy.mkdir(parents=True)
    for path in (workspace / "runs" / "demo").glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes()[: 100 if path.name == "model.safetensors" else None])
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    page = sample_page()
    assert not page.exception and "model.safetensors" in page.error[0].value.replace("\\", "")
    (copy / "config.json").write_text("{")
    assert models.models()["run:demo"].folder == SHIPPED


def test_who_answers_is_the_rule_of_the_command_line(empty_workspace, real_film, tmp_path):
    """And a sample goes to the demo's run without being drawn first."""
    there = models.models()
    drawn = tmp_path / "drawn.webm"
    world.write_video(SAMPLE, drawn)
    for path, key in ((drawn, "run:demo"), (real_film, "run:photographs")):
        clip = clip_files.from_file(path)
        with Decoder() as decoder:
            expected = for_film(path, decoder)
        assert answers.choose(models.AUTOMATIC, clip, there) == (there[key], expected.why)
        assert models.key_of(expected) == key
        assert answers.choose("run:demo", clip, there) == (there["run:demo"], "it was chosen")
    assert answers.choose(models.AUTOMATIC, clip_files.drawn(SAMPLE), there)[0] == there["run:demo"]
    del there["run:photographs"]  # as if it were damaged
    with pytest.raises(InputError, match="photographs should answer"):
        answers.choose(models.AUTOMATIC, clip, there)


def test_the_page_begins_with_ones_own_film(empty_workspace, monkeypatch):
    page = open_page()
    assert not page.exception and not page.get("plotly_chart")
    assert page.file_uploader[0].label == "Drop films of your own here"
    cards = [button for button in page.button if button.label in UNSEEN]
    assert len(cards) == 6  # samples, the second choice
    assert len(parse_classes(page.text_area(key=state.LABELS).value)[0].names) == 400
    assert any("Better models" in link.proto.label for link in page.get("page_link"))
    monkeypatch.setattr(encoders, "for_real_video", lambda: encoders.FOR_REAL_VIDEO)
    assert not page.run().get("page_link")
    page = cards[3].click().run()
    assert answered(page)
    assert page.selectbox(key=state.SAMPLE).value.endswith(f"-{cards[3].label.replace(' ', '_')}-000")


def test_a_film_is_ranked_by_the_model_for_real_video(empty_workspace, real_film, photographs):
    page = fine(upload(open_page(), ("film.mp4", real_film.read_bytes())))
    expected, seen = photographs.ranked, spans.spans(photographs.classifier, photographs.film, KINETICS)
    assert page.subheader[0].value == expected.labels[0][0] and shown_labels(page) == near(expected)
    assert "**photographs** answers: the model for real video that comes along" in texts(page)
    assert all(name in texts(page) and definition in texts(page) for name, definition, _ in expected.objects)
    (line,) = [chart for chart in page.get("plotly_chart") if chart.proto.alt.startswith("Time line")]
    assert all(span.label in line.proto.alt for span in seen)
    (video,) = page.get("video")
    assert video.proto.subtitles[0].label == "Actions"
    assert downloads(page) == ["CSV", "ActivityNet", "WebVTT", "Label Studio", "CSV", "JSON"]
    names = ["playing drums", "juggling", "a black screen", "a white screen"]
    question = answers.Question(models.AUTOMATIC, names, {}, None, 0.2, RejectionLimits(float("inf")))
    given = answers.answer(clip_files.from_file(real_film), models.models(), question)
    shown, film = answers.timeline(given), photographs.film
    expected = spans.spans(photographs.classifier, film, label_sets.described(names, {}))
    places = [[(span.start_s, span.end_s, span.label) for span in found] for found in (shown.spans, expected)]
    assert places[0] == places[1]
    assert [span.score for span in shown.spans] == pytest.approx([span.score for span in expected], abs=1e-5)
    assert shown.spans[-1].end_s == film.duration_s and shown.fps == pytest.approx(film.fps)


def test_another_model_is_chosen_and_one_beside(empty_workspace, real_film):
    page = fine(upload(open_page(model="demo"), ("film.mp4", real_film.read_bytes())))
    assert "**demo** answers: it was chosen" in texts(page)
    assert page.text_area(key=state.LABELS).value == ", ".join(UNSEEN)  # its own labels
    assert page.slider(key=state.OBJECTS).value == pytest.approx(round(models.models()["run:demo"].beta, 2))
    page.selectbox(key=state.MODEL).set_value(models.AUTOMATIC)
    page.selectbox(key=state.BESIDE_MODEL).set_value("run:demo").run()
    assert fine(page).slider(key=state.OBJECTS).value == pytest.approx(0.5)
    ranked = [chart.proto.alt for chart in page.get("plotly_chart") if chart.proto.alt.startswith("Best labels")]
    assert [alt.split(":")[0] for alt in ranked] == ["Best labels by photographs", "Best labels by demo"]
    assert "**photographs** answers" in texts(page) and "**demo** answers: it was chosen" in texts(page)


def test_a_failure_that_passes_is_tried_again(empty_workspace, tmp_path, monkeypatch):
    film = tmp_path / "film.mp4"  # another than any test has read
    greys(film, [20, 130])
    read = Classifier.features

    def busy(*_, **__):
        raise VideoError("film.mp4: the decoder process went away; try again")

    monkeypatch.setattr(Classifier, "features", busy)
    page = upload(open_page(), ("film.mp4", film.read_bytes()))
    assert "went away" in page.error[0].value
    monkeypatch.setattr(Classifier, "features", read)
    assert page.run().error  # a click elsewhere does not decode it again
    page = fine(button_of(page, "Try again").click().run())
    assert "**photographs** answers" in texts(page)


def test_one_action_is_searched_for_in_many_films(empty_workspace, real_film, photographs, tmp_path):
    other = tmp_path / "other.mp4"
    greys(other, range(0, 70, 10))
    action = photographs.ranked.labels[0][0]
    page = open_page(task="Find one action", action=action)
    page = fine(upload(page, *((path.name, path.read_bytes()) for path in (real_film, other))))
    classifier, expected = photographs.classifier, []
    for path, film in ((real_film, photographs.film), (other, spans.read(photographs.classifier, other))):
        expected += [(path.name, span.score) for span in spans.find(classifier, film, action)]
    expected.sort(key=lambda hit: -hit[1])
    shown = page.dataframe[0].value
    assert expected and list(shown["film"]) == [name for name, _ in expected]
    assert list(shown["score"]) == pytest.approx([score for _, score in expected], abs=1e-5)


def test_descriptions_of_known_labels_speak_in_any_spelling():
    ucf = named_descriptions("ucf101")
    found = label_sets.described(["ApplyEyeMakeup", "archery", "tickling_me", "Own"], {"own": ["mine"]})
    assert found["ApplyEyeMakeup"] == ucf["apply eye makeup"]
    assert found["archery"] == ucf["archery"] != KINETICS["archery"]  # UCF-101 knows two of the four
    assert found["tickling_me"] == ["tickling me"] and found["Own"] == ["mine"]
    assert label_sets.described(list(KINETICS), {}) == KINETICS
    assert label_sets.count_described(["ApplyEyeMakeup", "archery", "tickling_me", "Own"], ["own"]) == 3


def test_figures_escape_labels_and_take_films_of_any_length():
    labels = [("<b>bold</b> %{x}", 0.5), ("x" * 300, -0.2)]
    bars = ranking.ranking_figure(labels, {"VE": [0.4, -0.3], "O": [0.1, 0.1]})
    assert "<b>bold" not in bars.layout.annotations[0].text.replace("<b>&lt;", "")
    assert max(len(annotation.text) for annotation in bars.layout.annotations) < 150
    for seconds in (1, 5, 100):
        scores = np.zeros((seconds, 2), np.float32)
        figure = ranking.timeline_figure([(float(t), b"jpeg") for t in range(seconds)], ["a", "b"], scores, seconds)
        assert 1 <= len(figure.layout.images) <= ranking.MOST_FRAMES
        assert list(figure.data[0].x) == [t + 0.5 for t in range(seconds)]


def test_the_judgement_is_the_engines(empty_workspace):
    """A clip that seems to show one of the labels, and one that seems to show none of them."""
    with Classifier.of_run(SHIPPED) as classifier:
        for sample, sure in ((SAMPLE.id, True), ("w7-drumming_on_a_bucket-000", False)):
            plan = world.plan_of(sample)
            page = sample_page(sample=f"{plan.label} 000")
            expected = classifier.rank(classifier.read(clip_files._rendered(plan, world.WIDTH_PX)), UNSEEN)
            assert expected.none_of_these is not sure
            assert ("None of these labels seems right" in texts(page)) is not sure
            assert ("One of the labels seems right" in texts(page)) is sure
            assert f"({expected.probabilities[0]:.0%})" in texts(page)
            assert page.subheader[0].value == expected.labels[0][0]  # a warning hides no label
            (told,) = judgements(page)
            assert "maximum cosine" in told and "30 validation videos" in told and "no guarantee" in told
    page.slider(key=state.OBJECTS).set_value(0.6).run()  # other weights than it was calibrated with
    assert "No probability" in texts(page) and not judgements(page)


def figure_of(page, text):
    """Of the figure whose description begins so; plotly writes its numbers as base64."""
    (chart,) = [chart for chart in page.get("plotly_chart") if chart.proto.alt.startswith(text)]
    return json.loads(chart.proto.spec)["data"]


def test_why_this_label_and_not_another(empty_workspace, monkeypatch):
    with monkeypatch.context() as closed:
        closed.setattr("cezsar.analysis.explanation.explain", lambda *_, **__: pytest.fail("nobody asked"))
        page = sample_page(sample=TITLE)
    assert answered(page)
    assert "Why this label?" in [each.label for each in page.expander] and "The lead of" not in texts(page)
    other = list(shown_labels(page))[3]
    with Classifier.of_run(SHIPPED) as classifier:
        clip = classifier.read(clip_files._rendered(SAMPLE, world.WIDTH_PX))
        expected, of_other = (explain(classifier, clip, UNSEEN, runner_up=rival) for rival in (None, other))
    with monkeypatch.context() as kept:
        for name in ("features", "embed"):
            kept.setattr(Classifier, name, lambda *_: pytest.fail("the clip was read again"))
        page.session_state[state.WHY] = True
        page.run()
    assert f"The lead of {why.signed(expected.margin)} is" in texts(fine(page))
    parts = figure_of(page, "Parts of the lead")
    changes = [part.change for part in (*expected.modalities, *expected.objects)]
    shown = [float(numbers(bar["x"])[0]) for bar in parts]
    lead = shown.pop(len(expected.modalities))
    assert shown == pytest.approx(changes, abs=1e-5)
    assert lead == pytest.approx(sum(shown[: len(expected.modalities)]), abs=1e-6)  # exact: they add up
    assert lead == pytest.approx(expected.margin, abs=1e-5)
    seconds = figure_of(page, "Change of the lead by each second")
    assert numbers(seconds[0]["y"]) == pytest.approx([part.change for part in expected.seconds], abs=1e-5)
    picker = page.selectbox(key=state.RIVAL)
    assert picker.value == "" and len(picker.options) == len(UNSEEN)
    picker.set_value(other).run()
    assert of_other.runner_up == other and f"The lead of {why.signed(of_other.margin)} is" in texts(page)


def test_a_captioner_fills_in_a_caption(empty_workspace, real_film, photographs, captioner_folders, monkeypatch):
    folder, content = empty_workspace / "models/blip-image-captioning-base", real_film.read_bytes()
    shutil.copytree(captioner_folders["blip"], folder)
    page = upload(open_page(), ("film.mp4", content))
    assert shown_labels(page) == near(photographs.ranked)  # before the caption is there
    assert "blip is writing a caption" in texts(page)
    begun = page.session_state[f"{state.CAPTION}{hashlib.sha256(content).hexdigest()[:16]} begun"]
    captioner = load_captioner("blip")
    with Decoder() as decoder:
        said = captioner.captions(decoder.frames(real_film, captioner.sampling))
    wanted = " ".join(sentence for sentence, _ in groupby(said))
    assert begun.result(timeout=60) == wanted

    def ranked(caption):
        weights, content = replace(photographs.classifier.weights, gamma=0.2), photographs.classifier.read(real_film)
        return photographs.classifier.rank(content, KINETICS, top=400, weights=weights, caption=caption)

    box = page.run().text_area[-1]
    assert box.value == wanted and shown_labels(page) == near(ranked(wanted)) and "Written by blip" in texts(page)
    box.set_value("a man plays golf").run()
    assert shown_labels(page) == near(ranked("a man plays golf")) and "Written by" not in texts(page)
    page.text_area[-1].set_value("").run()
    assert page.run().text_area[-1].value == "" and shown_labels(page) == near(photographs.ranked)  # it stays so
    monkeypatch.setenv("CEZSAR_HOME", str(empty_workspace / "other"))
    damaged = shutil.copytree(folder, empty_workspace / "other/models" / folder.name) / "model.safetensors"
    damaged.write_bytes(b"damaged")
    page = upload(open_page(), ("film.mp4", content))
    wait_until(lambda: "No caption was written: blip: " in texts(page.run()))
    assert shown_labels(page) == near(photographs.ranked)


def test_without_a_captioner_objects_are_named_for_whoever_asks(empty_workspace, real_film, photographs):
    page = upload(open_page(), (real_film.name, real_film.read_bytes()))
    assert shown_labels(page) == near(photographs.ranked) and page.text_area[-1].value == ""
    button_of(page, "Name the recognised objects").click().run()
    names = [name for name, *_ in photographs.ranked.objects[:3]]
    assert fine(page).text_area[-1].value == f"It shows {names[0]}, {names[1]} and {names[2]}."
    assert "A sentence of the recognised objects' names" in texts(page) and "palest: caption" in texts(page)


def test_a_long_film_is_captioned_from_twelve_pictures(tmp_path):
    greys(tmp_path / "long.mp4", [20, 200] * 8, seconds_each=3)
    writer = captions.Writer("none")
    writer.__dict__["_captioner"] = SimpleNamespace(
        captions=lambda frames: [f"{frame.time_s:g}" for frame in islice(frames, 1, None, 2)], joined=" ".join
    )
    written = writer.begin(clip_files.from_file(tmp_path / "long.mp4"))
    assert written.result(60) == "2 6 10 14 18 22 26 30 34 38 42 46"
