"""The first page, through the app's entry file."""

import json

import numpy as np
import pytest
from conftest import ACTIONS, open_page

from app import charts, services, state
from cezsar import encoders
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.export import to_csv, to_json

NAMES = [action.name for action in ACTIONS]


def texts(page):
    return " ".join(str(element.value) for kind in ("markdown", "subheader", "caption") for element in page.get(kind))


def answered(page):
    """Nothing failed, and a ranking and a timeline are shown."""
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    return len(page.get("plotly_chart")) == 2


def test_a_sample_is_answered_at_once(workspace):
    page = open_page()
    assert answered(page)
    assert page.selectbox(key=state.SAMPLE).value.split("-")[1].replace("_", " ") in NAMES
    assert page.text_area(key=state.LABELS).value == ", ".join(NAMES)
    assert any(name in page.subheader[0].value for name in NAMES)
    assert "trained on three drawn clips" in texts(page)
    assert "Recognised objects" in texts(page)
    assert [button.label for button in page.get("download_button")] == ["CSV", "JSON"]


def test_clicking_a_sample_shows_it(workspace):
    page = open_page()
    other = next(button for button in page.button if button.label == NAMES[2])
    page = other.click().run()
    assert answered(page)
    assert NAMES[2].replace(" ", "_") in page.selectbox(key=state.SAMPLE).value


def test_other_labels_and_weights_do_not_read_the_clip_again(workspace, monkeypatch):
    page = open_page()
    monkeypatch.setattr(Classifier, "read", lambda *_: pytest.fail("the clip was read again"))
    page.text_area(key=state.LABELS).set_value("juggling\nsleeping, juggling").run()
    assert answered(page)
    assert "Labels given twice count once: juggling" in texts(page)
    assert page.subheader[0].value in ("juggling", "sleeping")
    page.slider(key=state.OBJECTS).set_value(1.0).run()
    assert answered(page)


@pytest.mark.parametrize("typed, said", [(" , ,\n", "no label is given"), ('"reach, grasp', "quotes")])
def test_labels_that_cannot_be_used_are_explained(workspace, typed, said):
    page = open_page()
    page.text_area(key=state.LABELS).set_value(typed).run()
    assert not page.exception
    assert said in page.error[0].value
    assert not page.get("plotly_chart")


def test_the_address_opens_the_same_view(workspace):
    page = open_page(labels="juggling, sleeping", sample=NAMES[1], objects="0.5")
    assert answered(page)
    assert page.text_area(key=state.LABELS).value == "juggling, sleeping"
    assert NAMES[1].replace(" ", "_") in page.selectbox(key=state.SAMPLE).value
    assert page.slider(key=state.OBJECTS).value == 0.5
    assert page.query_params["labels"] in ("juggling, sleeping", ["juggling, sleeping"])
    page.text_area(key=state.LABELS).set_value(", ".join(f"label {n}" + "g" * 40 for n in range(50))).run()
    assert answered(page)
    assert "labels" not in page.query_params


def test_hostile_addresses_and_labels_do_no_harm(workspace):
    page = open_page(sample="../../etc/passwd", objects="NaN", labels="<b>x</b> %{y}, $a$ [l](javascript:x)")
    assert answered(page)


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


def test_a_clip_unlike_the_training_gets_a_warning_and_the_next_step(workspace, monkeypatch):
    monkeypatch.setattr("cezsar.zeroshot.classifier.UNFAMILIAR", 0.0)
    page = open_page()
    assert "do not trust" in page.warning[0].value
    assert encoders.card(encoders.FOR_REAL_VIDEO).command in [code.value for code in page.code]


def test_without_a_run_there_is_one_button(empty_workspace):
    page = open_page()
    assert not page.exception
    assert [button.label for button in page.button] == ["Prepare the demo"]
    assert not page.get("plotly_chart")


def test_a_damaged_run_counts_as_none(empty_workspace):
    folder = empty_workspace / "runs" / "demo"
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
    (tmp_path / "demo").symlink_to((workspace / "demo").resolve())
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    page = open_page()
    assert not page.exception
    assert "model.safetensors" in page.error[0].value.replace("\\", "")


def test_unfamiliar_clips_go_to_the_encoder_for_real_video(workspace, clips, monkeypatch):
    _, paths = clips
    clip = services.ClipFile("a.webm", "digest of this test", paths[0])
    there = services.models()
    real = services.Model("clip:made-up", "made-up")
    both = there | {real.key: real}
    assert services.choose(services.AUTOMATIC, clip, both) == (there["run:demo"], None)
    monkeypatch.setattr("cezsar.zeroshot.classifier.UNFAMILIAR", 0.0)
    assert services.choose(services.AUTOMATIC, clip, both) == (real, there["run:demo"])
    assert services.choose(services.AUTOMATIC, clip, there) == (there["run:demo"], None)
    assert services.choose("run:demo", clip, both) == (there["run:demo"], None)


def test_exports_hold_every_label_and_its_parts(workspace, clips):
    _, paths = clips
    labels = [*NAMES, "juggling", "sleeping", "reading, aloud"]
    clip = services.ClipFile("a, b.webm", "digest of another test", paths[0])
    given = services.answer("run:demo", clip, services.models(), labels, 0.3)
    (record,) = json.loads(to_json([given.ranking]))
    assert {entry["label"] for entry in record["labels"]} == set(labels)
    for entry in record["labels"]:
        assert sum(entry["parts"].values()) == pytest.approx(entry["similarity"], abs=1e-4)
    lines = to_csv([given.ranking]).splitlines()
    assert lines[0] == "clip,rank,label,similarity,VE,O,margin,model,warning"
    assert len(lines) == 1 + len(labels)
    assert lines[1].startswith('"a, b.webm",1,')


def test_figures_take_any_length_and_escape_labels():
    labels = [("<b>bold</b> %{x}", 0.5), ("x" * 300, -0.2)]
    bars = charts.ranking_figure(labels, {"VE": [0.4, -0.3], "O": [0.1, 0.1]})
    assert [bar.name for bar in bars.data] == [charts.MODALITIES["VE"], charts.MODALITIES["O"]]
    assert "<b>bold" not in bars.layout.annotations[0].text.replace("<b>&lt;", "")
    assert max(len(annotation.text) for annotation in bars.layout.annotations) < 150
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
    assert services.ClipFile(name, "", content).playable is plays
