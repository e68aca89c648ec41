"""The page Train: runs shown and compared, new runs started and followed, runs brought from elsewhere."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import typer
from conftest import button, charts, fine, numbers, open_page, texts, wait_until

from app import state
from app.parts import holdings, models, runs
from app.train import curves, starting
from app.train.starting import GROUPS, PAPER, SETTINGS, demo_settings
from cezsar import jobs
from cezsar.cli import app as command_line
from cezsar.data import datasets
from cezsar.data.features import StoreWriter
from cezsar.errors import InputError
from cezsar.zeroshot.evaluation import load_all

DEMO = models.SHIPPED / "runs" / "demo"
HISTORY = [json.loads(line) for line in (DEMO / "history.jsonl").read_text().splitlines()]


def table(page, number=0):
    return page.dataframe[number].value.set_index(page.dataframe[number].value.columns[0])


def make_store(home, name, ids):
    told = {"encoder": "motion", "fingerprint": name, "dim": 8}
    with StoreWriter(home / "features" / name, told) as store:
        for number, id in enumerate(ids):
            store.add(id, np.random.default_rng(number).normal(size=(6, 8)).astype(np.float32))


@pytest.fixture
def captioned(empty_workspace):
    """Six captioned videos and two feature stores, the second of which knows none of them."""
    said = {"duration": 6.0, "timestamps": [[0, 3], [3, 6]], "sentences": ["A man sits.", "A man runs."]}
    (empty_workspace / "data").mkdir()
    (empty_workspace / "data" / "mine.json").write_text(json.dumps({f"v{number}": said for number in range(6)}))
    (empty_workspace / "data" / "classes.json").write_text(json.dumps({"sitting": "A person sits."}))
    make_store(empty_workspace, "right", [f"v{number}" for number in range(5)])
    make_store(empty_workspace, "another", ["w0", "w1"])
    return empty_workspace


def test_a_first_visitor_sees_the_runs_and_one_of_them_in_full(empty_workspace):
    page = fine(open_page("train"))
    runs_there = page.dataframe[0].value
    assert list(runs_there["run"]) == ["demo", "demo-colour"]
    fused = next(result for result in load_all(DEMO / "results" / "demo all.json") if result.modality == "VE + O")
    hits, clips = sum(fused.runs[0].hits[1]), sum(fused.runs[0].clips)
    assert runs_there["top-1"][0] == pytest.approx(100 * hits / clips)
    assert runs_there["validation loss"][0] == pytest.approx(min(line.get("validation_loss", 9) for line in HISTORY))
    assert "weights not here" in runs_there["state"][1]
    loss, signs, speed = charts(page)
    epochs = [line for line in HISTORY if line["kind"] == "epoch"]
    by_name = {trace["name"]: trace for trace in loss["data"]}
    assert list(numbers(by_name["validation"]["y"])) == [line["validation_loss"] for line in epochs]
    assert by_name["training, mean of the epoch"]["line"]["dash"] == "dash"
    assert list(numbers(signs["data"][0]["y"])) == [line["dead_units"] for line in epochs]
    blocks = [line for line in HISTORY if line["kind"] == "steps"]
    assert list(numbers(speed["data"][0]["y"])) == [line["triplets_per_s"] for line in blocks]
    against = table(page, 2)
    lr = json.loads((DEMO / "config.json").read_text())["training"]["lr"]
    assert against.loc["Learning rate"].to_list() == [f"{lr:g}", "0.0001"]
    assert against.loc["Width of the Transformer", "the paper"] == "512"
    assert against.loc["Hard negatives"].to_list() == ["20", "10"] and against.loc["Batch"].to_list() == ["64", "128"]


def test_two_runs_are_compared(empty_workspace):
    page = fine(open_page("train", runs=["demo", "demo-colour"]))
    (loss,) = charts(page)
    assert len(loss["data"]) == 4
    assert len({trace["line"]["color"] for trace in loss["data"]}) == 2
    assert [trace["line"]["dash"] for trace in loss["data"]] == ["dash", "solid"] * 2
    results, differing = page.dataframe[1].value, page.dataframe[2].value
    assert list(differing["setting"][:2]) == ["Width of features", "Frame encoder"]
    assert list(differing["demo-colour"][:2]) == ["331", "motion, colour only"]
    stored = load_all(DEMO / "results" / "demo 10-of-21 x 50.json")
    row = results[(results["protocol"] == stored[0].protocol) & (results["modality"] == "VE")].set_index("run")
    own = next(r for r in stored if r.modality == "VE")
    for metric, label in (("top1", "top-1"), ("top5", "top-5")):
        assert row.loc["demo", label] == own.figure(metric).percent()


def test_damaged_runs_and_files_are_named(empty_workspace):
    folder = empty_workspace / "runs"
    shutil.copytree(DEMO, folder / "torn")
    (folder / "torn" / "history.jsonl").write_text('{"kind": "epoch"\nnonsense\n')
    (folder / "torn" / "results" / "bad.json").write_text("{}")
    (folder / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(DEMO / name, folder / "bare")
    (folder / "no <b>run").mkdir()
    (folder / "no <b>run" / "config.json").write_text("{")
    page = open_page("train", runs=["torn"])
    assert not page.exception
    assert "history.jsonl" in texts(page) and "bad.json" in texts(page)
    assert "78" in str(table(page).loc["torn", "top-1"]) and table(page).loc["bare", "state"] == "trained"
    page.multiselect(key=state.CHOSEN_RUNS).set_value(["no <b>run"]).run()
    assert not page.exception and page.error and "config.json" in texts(page)
    page.multiselect(key=state.CHOSEN_RUNS).set_value(["bare"]).run()
    assert "no training history" in texts(fine(page))


def test_a_new_run_needs_captioned_videos(empty_workspace, nothing_shipped):
    page = fine(open_page("train", part="New run"))
    assert "captioned videos" in page.info[0].value
    assert "Prepare the demo" in [button.label for button in page.button]


def test_curves_hold_what_the_history_says_and_pass_over_torn_lines():
    steps = {"kind": "steps", "epoch": 2, "step": 5, "steps": 10, "loss": 0.5, "triplets_per_s": 7.0, "eta_s": 3.0}
    epoch = {"kind": "epoch", "epoch": 1, "train_loss": 0.9, "validation_loss": 0.8, "dead_units": 0.1, "spread": 0.2}
    bad = [{}, {"kind": "steps", "epoch": 1}, epoch | {"validation_loss": float("nan")}, steps | {"loss": None}]
    read = curves.curves([epoch, *bad, steps])
    assert list(read.epochs.epoch) == [1] and list(read.epochs.validation_loss) == [0.8]
    assert list(read.blocks.done) == [1.5] and list(read.blocks.loss) == [0.5]
    assert not len(curves.curves([]).blocks)


def test_long_histories_are_thinned_to_means_of_neighbours():
    x, y = pd.Series(range(1003)), pd.Series([float(value % 7) for value in range(1003)])
    thin_x, thin_y = curves.thin(x, y, 100)
    assert len(thin_x) == 92
    assert thin_x[0] == sum(x[:11]) / 11 and thin_y[-1] == pytest.approx(sum(y[1001:]) / 2)
    assert curves.thin(x, y, 2000) == (list(x), list(y))


def test_data_is_offered_with_the_best_store_first_and_named_sets_for_the_evaluation(captioned, clips):
    folder = clips[0] / "test"
    (captioned / "data" / "other.csv").write_text(f"path,label\n{clips[1][0]},x\n")
    datasets.register("drawn clips", str(folder))
    datasets.register("the same", str(captioned / "data" / "other.csv"))
    make_store(captioned, "tested", [clip.stem for clip in clips[1]])
    page = fine(open_page("train", part="New run"))
    assert page.selectbox(key="new-captions").options == ["mine"]
    assert page.selectbox(key="new-store").options[0] == "right"
    assert "6 videos, 12 sentences" in texts(page) and "5 of the 6 captioned videos" in texts(page)
    assert page.selectbox(key="new-test-set").options == ["drawn clips", "the same"]
    assert f"evaluate --dataset {folder}" in page.code[-1].value


def test_every_option_of_both_commands_is_a_setting_and_arrives(captioned):
    found = holdings.captions()["mine"]
    store = starting.stores(found.ids)["right"]
    other = {
        id: setting.choices[-1] if setting.choices else not own if isinstance(own := setting.default, bool)
        else own + setting.step
        for id, setting in SETTINGS.items()
    }  # fmt: skip
    commands = typer.main.get_command(command_line).commands
    both = {"store", "out", "head", "help", "sentences"}
    train = {"source", "prototypes", "domain", "resume", "method", "seen_prototypes", "compiled"}
    outer = {"mine": {"annotations", "encoder_weights"} | both, "train": train | both}
    mining, *rest = GROUPS.values()
    training = {id: setting for group in rest for id, setting in group.items()}
    for values in (PAPER, other):
        plan = starting.plan("run-1", found, store, "minilm", values)
        for step, group in zip(plan.steps, (mining, training), strict=True):
            verb, *arguments = step.arguments
            parsed = commands[verb].make_context(verb, arguments).params
            assert set(parsed) - outer[verb] == {setting.name for setting in group.values()}
            for id, setting in group.items():
                expected = values[id]
                assert parsed[setting.name] == (None if (setting.name, expected) == ("device", "auto") else expected)


def test_presets_set_everything_and_the_address_keeps_what_differs(captioned):
    page = open_page("train", part="New run")
    page = fine(button(page, "The demo's settings").click().run())
    for id, value in demo_settings().items():
        widget = next(w for kind in (page.number_input, page.selectbox) for w in kind if w.key == f"new-{id}")
        assert widget.value == value, id
    again = fine(open_page("train", part="New run", **{"new-lr": "0.001", "new-tau": "0.7"}))
    assert (again.number_input(key="new-lr").value, again.number_input(key="new-tau").value) == (0.001, 0.7)
    assert "τ, hardest distance, Learning rate" in texts(again)
    page = fine(button(again, "The paper's settings").click().run())
    assert page.number_input(key="new-lr").value == PAPER["lr"]
    assert "All as in the paper" in texts(page)


def test_what_cannot_be_trained_is_said_before_it_starts(captioned):
    page = open_page("train", part="New run")
    page.text_input(key="new-name").set_value("demo").run()
    assert "already" in page.warning[0].value and button(page, "Start training").disabled
    page.text_input(key="new-name").set_value("a/../b")
    page.number_input(key="new-heads").set_value(3).run()
    assert "cannot name" in texts(page) and "multiple of heads" in texts(page)
    page.text_input(key="new-name").set_value("mine")
    page.number_input(key="new-heads").set_value(8)
    page.selectbox(key="new-store").set_value("another").run()
    assert "none of the 6 captioned videos" in page.warning[0].value and not page.exception


def test_captions_are_uploaded_and_checked(captioned):
    page = open_page("train", part="New run")
    content = (captioned / "data" / "mine.json").read_bytes()
    page.file_uploader[0].upload("other captions.json", content).run()
    assert fine(page).selectbox(key="new-captions").value == "other captions"
    assert (captioned / "data" / "other captions.json").read_bytes() == content
    page = open_page("train", part="New run")
    page.file_uploader[0].upload("../x.json", b'{"v": {"duration": 3}}').run()
    assert not page.exception
    assert "timestamps" in page.error[0].value and "tmp" not in page.error[0].value
    assert len(list((captioned / "data").iterdir())) == 3
    with pytest.raises(InputError, match="rename"):
        starting.add_captions("mine.json", content + b" ")


COMMAND = """
import json, pathlib, shutil, sys, time
arguments = dict(zip(sys.argv, sys.argv[1:]))
out = pathlib.Path(arguments["--out"])
if sys.argv[1] == "train":
    lines = pathlib.Path(DEMO, "history.jsonl").read_text().splitlines(True)
    again = out.exists()
    if not again:
        shutil.copytree(DEMO, out)
        (out / "state.pt").touch()
        (out / "record.json").unlink()
        (out / "history.jsonl").write_text("".join(lines[:6]))
        print("training: 6 of 24, 9 s left", flush=True)
        time.sleep(60)
    (out / "history.jsonl").write_text("".join(lines))
    shutil.copy(pathlib.Path(DEMO, "record.json"), out)
    (out / "state.pt").unlink()
"""


def test_a_run_is_started_followed_cancelled_and_resumed(captioned, fake_command, monkeypatch):
    fake_command(COMMAND.replace("DEMO", repr(str(DEMO))))
    monkeypatch.setenv("CEZSAR_SLOTS", "4")
    page = open_page("train", part="New run")
    page.text_input(key="new-name").set_value("mine").run()
    button(page, "Start training").click().run()
    (job,) = runs.training()
    assert job.about["run"] == "mine"
    wait_until(lambda: "6 of 24" in jobs.find(job.id).log)
    page = fine(open_page("train"))
    assert "Training mine" in texts(page)
    live = {trace["name"]: numbers(trace["y"]) for trace in charts(page)[0]["data"]}
    assert len(live["validation"]) == 2 and len(live["each block of steps"]) == 4
    assert table(page).loc["mine", "state"] == "being trained"
    button(page, "Cancel").click().run()
    wait_until(lambda: not jobs.find(job.id).alive)
    page = fine(open_page("train", runs=["mine"]))
    assert table(page).loc["mine", "state"] == "interrupted" and "--resume" in texts(page)
    button(page, "Resume").click().run()
    wait_until(lambda: jobs.find(job.id).state == "done")
    page = fine(open_page("train", runs=["mine"]))
    assert table(page).loc["mine", "state"] == "trained"
    loss = next(trace for trace in charts(page)[0]["data"] if trace["name"] == "validation")
    assert len(numbers(loss["y"])) == 8


def load(page, name, content):
    page.file_uploader[0].upload(name, content)
    return button(page, "Load").click().run()


def test_an_archive_comes_back_as_it_went_and_a_pickle_is_refused(empty_workspace):
    page = load(open_page("train", part="Load a run"), "checkpoint.ckpt", b"\x80\x04.")
    assert page.error and "pickle" in texts(page) and "safetensors" in texts(page)
    assert not list((empty_workspace / "runs").glob("*")) and not page.exception
    page = fine(load(page, "demo.zip", runs.packed(runs.runs()["demo"])))
    copy = empty_workspace / "runs" / "demo-1"
    assert (copy / "model.safetensors").read_bytes() == (DEMO / "model.safetensors").read_bytes()
    assert page.multiselect(key=state.CHOSEN_RUNS).value == ["demo-1"]
    assert list(page.dataframe[0].value["run"]) == ["demo", "demo-1", "demo-colour"]
    assert "Download the run" in [each.label for each in page.get("download_button")] and "demo-1" in texts(page)


def test_bare_weights_take_the_configuration_of_a_run(empty_workspace):
    content = (DEMO / "model.safetensors").read_bytes()
    page = open_page("train", part="Load a run")
    page.text_input(key="loaded-name").set_value("bare")
    page.text_input(key="loaded-domain").set_value("drawn clips")
    fine(load(page, "weights.safetensors", content))
    assert runs.runs()["bare"].config.domain == "drawn clips"
    page = load(open_page("train", part="Load a run"), "weights.safetensors", content[:1000])
    assert page.error and "weights.safetensors" in texts(page) and not page.exception
