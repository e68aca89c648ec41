"""`cezsar classify` and `cezsar spans` with labels that are shown: against the library, saved and used again."""

import json
import shutil

import numpy as np
import pytest

from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.examples import Example, KeptLabels, Label

KICK, WAVE, DRAG = "kicking a drum", "waving a broom", "dragging a box"


@pytest.fixture
def shown(workspace, tmp_path):
    """A folder of a folder a label: two clips of one, one of another, and a third in words."""
    for name, count in ((KICK, 1), (WAVE, 1), (DRAG, 0)):
        (tmp_path / "shown" / name).mkdir(parents=True)
        (tmp_path / "shown" / name / "words.txt").write_text(f"A person is {name}.\n")
        for path in sorted((workspace / "demo/test" / name).iterdir())[:count]:
            shutil.copy(path, tmp_path / "shown" / name)
    return tmp_path / "shown"


def test_labels_in_folders_are_the_librarys_and_can_be_saved(cezsar, workspace, shown, tmp_path):
    film, run = min((workspace / "demo/test" / KICK).iterdir()), workspace / "runs/demo"
    kept = tmp_path / "kept.safetensors"
    (shown / KICK / "notes.pdf").write_bytes(b"says nothing")
    status, out, told = cezsar("classify", film, "--run", run, "--prototypes", shown, "--json", "--save-labels", kept)
    assert status == 0
    found = json.loads(out)[0]
    with Classifier.of_run(run) as classifier:
        labels = {
            name: Label([f"A person is {name}."], [] if name == DRAG else [*(shown / name).glob("*.webm")])
            for name in sorted((KICK, WAVE, DRAG))
        }
        expected = classifier.classify(film, labels)
    assert str(kept) in told and "1 file passed over, no video, picture or text by their names (.pdf 1)" in told
    assert [(each["label"], each["similarity"]) for each in found["labels"]] == [
        (name, pytest.approx(similarity, abs=1e-5)) for name, similarity in expected.labels
    ]
    shutil.rmtree(shown)  # the films are gone, the labels are not
    status, again, _ = cezsar("classify", film, "--prototypes", kept, "--json")  # the model that was shown them answers
    assert status == 0 and json.loads(again)[0]["labels"] == found["labels"]
    assert json.loads(again)[0]["model"] == "demo"
    status, _, said = cezsar("classify", film, "--prototypes", kept, "--run", "photographs")
    assert status == 2 and "is another one" in said
    status, out, _ = cezsar("spans", film, "--prototypes", kept)
    assert status == 0 and KICK in out


def test_one_thing_is_looked_for_by_a_clip_of_it(cezsar, workspace, tmp_path):
    film, run = min((workspace / "demo/test" / KICK).iterdir()), workspace / "runs/demo"
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"my kick": {"examples": [str(film)]}}))
    status, out, _ = cezsar("spans", film, "--run", run, "--prototypes", mine, "--find", "my kick")
    assert status == 0 and out.startswith("my kick: 1 place in 1 film")
    status, _, said = cezsar("classify", film, "--run", run, "--prototypes", tmp_path / "no.safetensors")
    assert status == 2 and "no.safetensors" in said
    mine.write_text(json.dumps({"my kick": {"examples": ["gone.mp4"]}, "other": "x"}))
    status, _, said = cezsar("classify", film, "--run", run, "--prototypes", mine)
    assert status == 2 and "gone.mp4" in said


def test_saved_labels_without_examples_go_with_any_model(cezsar, workspace, tmp_path):
    kept = tmp_path / "kept.safetensors"
    KeptLabels({"a": Label(["A kick."]), "b": Label(["A wave."])}, "no such model", "0" * 64).save(kept)
    film = min((workspace / "demo/test" / KICK).iterdir())
    status, out, _ = cezsar("classify", film, "--prototypes", kept, "--json")
    assert status == 0 and {each["label"] for each in json.loads(out)[0]["labels"]} == {"a", "b"}


def test_labels_that_were_shown_to_a_run_that_is_not_here(cezsar, workspace, tmp_path):
    kept = tmp_path / "kept.safetensors"
    example = Example("a.mp4", "0" * 64, {"VE": np.ones(4, np.float32)})
    KeptLabels({"a": Label(["A kick."], [example]), "b": Label(["A wave."])}, "theirs", "0" * 64).save(kept)
    film = min((workspace / "demo/test" / KICK).iterdir())
    status, _, said = cezsar("classify", film, "--prototypes", kept)
    assert status == 2 and "shown to the run theirs, which is not here; name it by --run" in said
