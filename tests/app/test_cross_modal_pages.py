"""A cross-modal run in the app: its form on the page Train, and the run on the pages like any other."""

import shlex
import shutil

import pytest
from conftest import button, fine, open_page

from app.evaluate import rows, scoring
from app.parts import models, runs, scored
from app.train import starting
from cezsar.data.datasets import open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.training.cross_modal import TRAINING, clips_of, train
from cezsar.training.semantic_transfer import Transfer
from cezsar.zeroshot import scored as kept
from cezsar.zeroshot.methods import Sources, prepare
from cezsar.zeroshot.protocols import all_classes

TINY = {"d_model": 16, "d_emb": 8, "ffn": 16, "heads": 2}


@pytest.fixture
def workspace(small_demo, monkeypatch):
    """The small demo's workspace."""
    monkeypatch.setenv("CEZSAR_HOME", str(small_demo[0]))
    return small_demo[0]


@pytest.fixture
def run(workspace):
    """A run, and its scores of the demo."""
    data, test = open_dataset("demo:train"), open_dataset("demo")
    store = FeatureStore(workspace / "features" / "demo-train")
    encoder, grid = open_encoder("minilm"), [Transfer(k, 0.1, lam) for lam in (0.0, 0.5) for k in (1, 4)]
    folder, clips = workspace / "runs" / "cross", clips_of(data, store, data.descriptions)
    made = train(
        clips, encoder, folder, model=TINY, training={"epochs": 2}, trials=1, grid=grid, descriptions=test.descriptions,
        device="cpu", domain="drawn segments",
    )  # fmt: skip
    ready = prepare(None, Sources(test, test.descriptions, [FeatureStore(workspace / "features" / "demo-test")]), made)
    place = kept.folder_for(made, "demo")
    kept.keep(place, ready, encoder, test.descriptions, dataset="demo")
    yield made
    for path in (folder, place):
        shutil.rmtree(path)


def test_the_form_makes_the_command_and_starts_it(workspace, monkeypatch):
    page = fine(open_page("train", part="New run", method="cross-modal"))
    (command,) = [block.value for block in page.code if "cross-modal" in block.value]
    words = shlex.split(command.split("\n")[0])
    assert words[:5] == ["cezsar", "train", "demo:train", "--method", "cross-modal"]
    assert words[words.index("--store") + 1].endswith("demo-train") and "--epochs" not in words
    next(box for box in page.number_input if box.label == "Epochs").set_value(25).run()
    assert "--epochs 25" in next(block.value for block in page.code if "cross-modal" in block.value)
    next(box for box in page.number_input if box.label == "Epochs").set_value(TRAINING["epochs"])
    page.text_input(key="new-cross-name").set_value("mine").run()
    asked = []
    monkeypatch.setattr("cezsar.jobs.start", lambda kind, title, steps, about: asked.append(about))
    fine(button(page, "Start training").click().run())
    assert asked == [{"run": "mine", "epochs": TRAINING["epochs"]}]
    assert not page.text_input(key="new-cross-name").value
    store = next(iter(starting.stores(frozenset()).values()))
    made = starting.cross_modal_plan("x", "demo:train", frozenset({"other"}), store, "minilm", {})
    (problem,) = made.problems()
    assert "holds none of the labelled clips" in problem


def test_the_run_is_listed_evaluated_and_can_answer(run):
    assert str(run.folder) in scoring.ways() and runs.runs()["cross"].state == "trained"
    page = fine(open_page("train", part="Runs", runs="cross"))
    assert any("drawn segments" in str(each.value) for each in page.markdown)
    item = scored.scored_sets()["cross@demo"]
    protocol = all_classes(scored.scores(item).class_names)
    (row,) = rows.rows_of([item], protocol, ["VE"])
    assert row.title == "cross: VE" and row.result.runs[0].n_clips == 21
    assert models.models()["run:cross"].labels
    fine(open_page("evaluate"))
