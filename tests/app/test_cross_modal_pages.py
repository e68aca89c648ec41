"""A cross-modal run in the app: its form on the page Train, and the run on the pages like any other."""

import shlex

import pytest
from conftest import button, fine, open_page

from app.evaluate import rows, scoring
from app.parts import models, runs, scored
from app.train import starting
from cezsar.cli import main
from cezsar.training.cross_modal import TRAINING
from cezsar.zeroshot.protocols import all_classes


@pytest.fixture
def demo_workspace(small_demo, monkeypatch):
    """The small demo's workspace, in place of the tiny one."""
    monkeypatch.setenv("CEZSAR_HOME", str(small_demo[0]))
    return small_demo[0]


def test_the_form_makes_the_command_and_starts_it(demo_workspace, started):
    page = fine(open_page("train", part="New run", method="cross-modal"))
    (command,) = [block.value for block in page.code if "cross-modal" in block.value]
    words = shlex.split(command.split("\n")[0])
    assert words[:5] == ["cezsar", "train", "demo:train", "--method", "cross-modal"]
    assert words[words.index("--store") + 1].endswith("demo-train") and "--epochs" not in words
    next(box for box in page.number_input if box.label == "Epochs").set_value(25).run()
    assert "--epochs 25" in next(block.value for block in page.code if "cross-modal" in block.value)
    next(box for box in page.number_input if box.label == "Epochs").set_value(TRAINING["epochs"])
    page.text_input(key="new-cross-name").set_value("mine").run()
    fine(button(page, "Start training").click().run())
    assert [job.about for job in started] == [{"run": "mine", "epochs": TRAINING["epochs"]}]
    assert not page.text_input(key="new-cross-name").value
    store = next(iter(starting.stores(frozenset()).values()))
    made = starting.cross_modal_plan("x", "demo:train", frozenset({"other"}), store, "minilm", {})
    (problem,) = made.problems
    assert "holds none of the labelled clips" in problem


def test_the_run_is_listed_evaluated_and_can_answer(cross_run, demo_workspace):
    run, store = cross_run.folder, demo_workspace / "features" / "demo-test"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--dataset", "demo", "--store", str(store), "--run", str(run), "--keep"])
    assert not ended.value.code
    assert str(run) in scoring.ways() and runs.runs()["cross"].state == "trained"
    page = fine(open_page("train", part="Runs", runs="cross"))
    assert any("drawn clips" in str(each.value) for each in page.markdown)
    item = scored.scored_sets()["cross@demo"]
    (row,) = rows.rows_of([item], all_classes(scored.scores(item).class_names), ["VE"])
    assert row.title == "cross: VE" and row.result.runs[0].n_clips == 21
    assert models.models()["run:cross"].labels
    fine(open_page("evaluate"))
