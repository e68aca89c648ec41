"""The command line, verb by verb, on a small world."""

import csv
import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import typer

from cezsar.cli import app, main
from cezsar.data.features import FeatureStore
from cezsar.encoders.objects import LinearHead
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.results import load_all

VERBS = [
    "app",
    "demo",
    "classify",
    "spans",
    "extract",
    "mine",
    "train",
    "evaluate",
    "compare",
    "calibrate",
    "analyse",
    "transfer",
    "tau",
    "tau-sweep",
    "photographs",
    "project",
    "datasets",
    "fetch",
    "info",
    "prototypes",
    "import-release",
]


@pytest.fixture
def cezsar(capsys):
    """Run a command; returns (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def clips(workspace):
    return sorted((workspace / "demo/test").rglob("*.webm"))


def test_every_verb_explains_itself_with_examples(cezsar):
    assert sorted(typer.main.get_command(app).commands) == sorted(VERBS)
    for verb in VERBS:
        status, out, _ = cezsar(verb, "--help")
        assert status == 0
        assert "Examples" in out and f"cezsar {verb}" in out


def test_from_videos_to_a_table(cezsar, workspace, tmp_path):
    """extract -> mine -> train -> evaluate -> classify, as a user would type them."""
    world = workspace / "demo"
    status, out, err = cezsar("extract", world / "train", "--encoder", "motion", "--out", tmp_path / "train")
    assert status == 0 and "10 clips extracted" in out
    assert "\r" not in err  # plain lines in a pipe
    status, out, _ = cezsar("extract", world / "train", "--encoder", "motion", "--out", tmp_path / "train")
    assert "0 clips extracted, 10 were there already" in out
    demo_store = FeatureStore(workspace / "features/demo-train")
    assert FeatureStore(tmp_path / "train").fingerprint == demo_store.fingerprint

    mining = [world / "train.json", "--store", tmp_path / "train", "--sentences", "minilm", "--out", tmp_path / "t"]
    status, out, err = cezsar("mine", *mining, "--negatives", 5, "--sub-clips", 1, "--seed", 2)
    assert "mining: 0 of 140" in err and "mining: 140 of 140" in err  # 70 sentences, 70 sub-clips
    assert status == 0 and "triplets from 70 segments of 10 videos" in out
    assert "human sentences only" in out
    triplets = Triplets.load(tmp_path / "t")
    assert triplets.negatives_MPn.shape[1:] == (1, 5)

    training = [tmp_path / "t", "--store", tmp_path / "train", "--out", tmp_path / "run", "--d-model", 32, "--ffn", 64]
    status, out, err = cezsar("train", *training, "--epochs", 2, "--lr", "1e-3", "--domain", "drawn people")
    assert status == 0 and "best epoch" in out and "validation" in err
    run = Run.open(tmp_path / "run")
    assert run.config.training.epochs == 2 and run.config.model.d_model == 32 and run.config.domain == "drawn people"
    status, _, err = cezsar("train", *training)
    assert status == 2 and "already holds a run" in err
    status, _, err = cezsar("train", *training, "--resume", "--epochs", 3)
    assert status == 2 and "other settings" in err

    extracting = [world / "test", "--encoder", "motion", "--out", tmp_path / "test", "--workers", 2]
    assert cezsar("extract", *extracting)[0] == 0
    evaluating = ["--dataset", world / "test", "--store", tmp_path / "test", "--run", tmp_path / "run"]
    status, out, _ = cezsar(
        "evaluate", *evaluating, "--protocol", "10-of-21", "--runs", 7, "--out", tmp_path / "r.json"
    )
    assert status == 0 and "VE" in out and "chance" in out
    result = load_all(tmp_path / "r.json")[0]
    assert len(result.runs) == 7 and all(len(set(each.classes)) == 10 for each in result.runs)
    assert (tmp_path / "r.csv").is_file() and (tmp_path / "r.md").read_text().count("|") > 4


def test_demo_table_and_evaluate_agree(cezsar, workspace, small_demo):
    report = small_demo[1]
    arguments = ["--dataset", "demo", "--store", workspace / "features/demo-test", "--run", report.run]
    status, out, _ = cezsar("evaluate", *arguments, "--out", workspace / "again.json")
    assert status == 0 and "VE + O" in out
    again = {result.modality: result.figure("top1").mean for result in load_all(workspace / "again.json")}
    first = {result.modality: result.figure("top1").mean for result in report.results if result.protocol == "all"}
    assert again.items() <= first.items()
    assert set(first) == {"VE", "O", "VE + O", "place oracle", "colour only"}


def test_without_a_run_objects_speak_in_the_sentence_space(cezsar, workspace):
    status, out, _ = cezsar("evaluate", "--dataset", "demo", "--store", workspace / "features/demo-test")
    assert status == 0
    assert "O " in out and "VE" not in out


def test_classify_ranks_for_people_and_machines(cezsar, workspace, clips, tmp_path):
    status, out, _ = cezsar("classify", clips[0], "--labels", "kicking a drum, waving a broom, something else")
    assert status == 0 and "trained on the stick-figure world" in out and "something else" in out
    status, out, _ = cezsar("classify", clips[0], clips[1], "--top", 2, "--json")
    records = json.loads(out)
    assert [len(record["labels"]) for record in records] == [2, 2]
    similarities = [label["similarity"] for label in records[0]["labels"]]
    assert similarities == sorted(similarities, reverse=True)
    assert records[0]["margin"] == pytest.approx(similarities[0] - similarities[1], abs=2e-6)
    (tmp_path / "p.json").write_text(json.dumps({"kick": ["A person kicks."], "wave": "A person waves a broom."}))
    arguments = [workspace / "demo/test", "--prototypes", tmp_path / "p.json", "--csv", tmp_path / "a.csv"]
    status, _, err = cezsar("classify", *arguments)
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert status == 0 and "21 clips, 0 failed" in err
    assert len(rows) == 2 * 21 and {row["label"] for row in rows} == {"kick", "wave"}


def test_why_a_label_won_adds_up(cezsar, workspace, clips):
    status, out, _ = cezsar("classify", clips[0], "--labels", "kicking a drum, waving a broom", "--why")
    assert status == 0
    lead = float(re.search(r"leads .* by (\d\.\d+)", out)[1])
    parts = re.search(r"by modality: VE ([+-]\d\.\d+), O ([+-]\d\.\d+)", out)
    assert float(parts[1]) + float(parts[2]) == pytest.approx(lead, abs=2e-3)
    assert "by second, each left out in turn: 0 " in out
    status, _, err = cezsar("classify", clips[0], "--labels", "a, b", "--why", "--json")
    assert status == 2 and "--why and --beside are told in text" in err


def test_one_broken_clip_costs_one_clip(cezsar, workspace, clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("this is no video")
    status, out, err = cezsar("classify", clips[0], broken, clips[1])
    assert status == 1
    assert all(str(clip) in out for clip in clips[:2]) and "broken.mp4" in err
    shutil.copy(clips[0], tmp_path / "good.webm")
    status, out, _ = cezsar("extract", tmp_path, "--encoder", "motion", "--out", tmp_path / "store")
    assert status == 1 and "1 clips extracted" in out and "broken.mp4" in out
    assert FeatureStore(tmp_path / "store").ids == ["good"]


def test_info_names_what_is_here(cezsar, workspace):
    status, out, _ = cezsar("info")
    assert status == 0
    for part in ("motion", "minilm", "clip:clip-ViT-B-32", "store  demo-test: 21 videos", "run    demo", "device cpu"):
        assert part in out
    (workspace / "runs/broken").mkdir(exist_ok=True)
    assert "holds no run" in cezsar("info")[1]


MISTAKES = {
    "no such source": (["extract", "nowhere", "--encoder", "motion", "--out", "s"], "nowhere"),
    "unknown encoder": (["extract", "{videos}", "--encoder", "vgg", "--out", "s"], "no encoder 'vgg'"),
    "weights for motion": (
        ["extract", "{videos}", "--encoder", "motion", "--out", "s", "--weights", "w"],
        "has no weights",
    ),
    "store of another encoder": (
        ["extract", "{videos}", "--encoder", "motion", "--out", "{colour}"],
        "colour only",
    ),
    "empty folder": (["extract", "{empty}", "--encoder", "motion", "--out", "s"], "no video"),
    "no annotations": (["mine", "none.json", "--store", "{store}", "--out", "t"], "none.json"),
    "tau out of range": (["mine", "{annotations}", "--store", "{store}", "--out", "t", "--tau", "3"], "tau is 3"),
    "no store": (["mine", "{annotations}", "--store", "{empty}", "--out", "t"], "no feature shards"),
    "no triplets": (["train", "none", "--store", "{store}", "--out", "r"], "not a triplets file"),
    "wrong store for the run": (
        ["evaluate", "--dataset", "demo", "--store", "{colour}", "--run", "{run}"],
        "was trained with",
    ),
    "unknown protocol": (
        ["evaluate", "--dataset", "demo", "--store", "{test}", "--run", "{run}", "--protocol", "seven"],
        "seven",
    ),
    "too many classes": (
        ["evaluate", "--dataset", "demo", "--store", "{test}", "--run", "{run}", "--protocol", "50-of-21"],
        "50",
    ),
    "unknown data set": (["evaluate", "--dataset", "ucf", "--store", "{test}"], "data set ucf"),
    "unlabelled data set": (["evaluate", "--dataset", "{videos}", "--store", "{store}"], "no label"),
    "no such run": (["classify", "{clip}", "--run", "{empty}"], "holds no run"),
    "no such clip": (["classify", "missing.mp4"], "missing.mp4"),
    "no labels": (["classify", "{clip}", "--labels", " , ,"], "label"),
    "labels twice over": (["classify", "{clip}", "--labels", "a", "--prototypes", "p.json"], "not both"),
    "label too long": (["classify", "{clip}", "--labels", "x" * 5000], "1,000"),
    "run and encoder": (["classify", "{clip}", "--run", "{run}", "--encoder", "bit"], "not both"),
    "encoder without weights": (["classify", "{clip}", "--encoder", "bit", "--labels", "a"], "1.3 GB"),
    "weights all zero": (["classify", "{clip}", "--alpha", "0", "--beta", "0"], "not all zero"),
    "unknown option": (["classify", "{clip}", "--lables", "a"], "--lables"),
    "unknown recipe": (["demo", "--recipe", "mine"], "recipe 'mine'"),
    "demo of another seed": (["demo", "--seed", "6"], "other settings"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_status_2_and_one_clear_line(cezsar, workspace, clips, tmp_path, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    arguments, message = MISTAKES[mistake]
    places = {
        "videos": workspace / "demo/train",
        "annotations": workspace / "demo/train.json",
        "store": workspace / "features/demo-train",
        "test": workspace / "features/demo-test",
        "colour": workspace / "features/demo-train-colour",
        "run": workspace / "runs/demo",
        "clip": clips[0],
        "empty": tmp_path / "empty",
    }
    status, _, err = cezsar(*[argument.format(**places) for argument in arguments])
    assert status == 2
    assert message in err
    if mistake != "unknown option":
        lines = [line for line in err.splitlines() if line.startswith("cezsar: ")]
        assert len(lines) == 1 and "Traceback" not in err


def test_on_a_fresh_machine_what_comes_along_answers(cezsar, clips, tmp_path, monkeypatch):
    """A drawn clip goes to the demo's run, another one to `photographs`; who answers and why stands in one line."""
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path))
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 8, (320, 240))
    for image in np.random.default_rng(0).integers(0, 256, (16, 240, 320, 3), dtype=np.uint8):
        writer.write(image)
    writer.release()
    status, out, err = cezsar("classify", clips[0], film, "--labels", "a dog barks, kicking a drum")
    assert status == 0, err
    drawn, real = out.split(str(film))
    assert "demo answers: the film looks like the drawn world" in drawn
    assert "photographs answers: the model for real video that comes along" in real
    paper = ("--run", "photographs", "--objects", "sentence", "--middle")
    assert cezsar("classify", film, "--labels", "a", *paper)[0] == 0
    status, out, _ = cezsar("classify", film, "--labels", "a dog, a cat", "--beside", "demo")
    assert status == 0 and "beside, by demo:" in out
    status, _, err = cezsar("classify", film, "--labels", "a", "--objects", "verbs")
    assert status == 2 and "choose one of sentence, definitions, names" in err


def test_names_that_are_not_utf8_are_classified_and_written(cezsar, workspace, clips, tmp_path):
    name = tmp_path / b"caf\xe9.webm".decode("utf-8", "surrogateescape")
    shutil.copy(clips[0], name)
    status, _, _ = cezsar("classify", name, "--csv", tmp_path / "a.csv")
    assert status == 0 and "caf\\xe9.webm" in (tmp_path / "a.csv").read_text(encoding="utf-8")
    status, out, _ = cezsar("classify", name, "--json")
    assert "caf" in json.loads(out)[0]["clip"]


@pytest.mark.parametrize("verb", ["classify", "spans"])
def test_a_name_that_begins_with_a_hyphen_is_told_how_to_be_given(cezsar, verb):
    status, _, err = cezsar(verb, "-3B32lodo2M.mp4", "--labels", "x, y")
    assert status == 2 and "-3B32lodo2M.mp4 is taken for an option; name such files behind --: -- -3B" in err
    assert "behind --" not in cezsar(verb, "--no-such-option", "--alpha", "-0.5")[2]
    assert "there is no such file" in cezsar(verb, "--labels", "x, y", "--", "-3B32lodo2M.mp4")[2]


def test_the_installed_command_runs():
    done = subprocess.run([sys.executable, "-m", "cezsar", "classify"], capture_output=True, text=True)
    assert done.returncode == 2 and "CLIP" in done.stderr


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m cezsar --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_python_api_of_a_few_lines(workspace, clips):
    import cezsar

    with cezsar.load(workspace / "runs/demo") as classifier:
        ranking = classifier.classify(clips[0], labels=["kicking a drum", "waving a broom", "dragging a box"], top=2)
        assert len(ranking.labels) == 2 and ranking.per_second.shape[1] == 2
        total = [sum(parts) for parts in zip(*ranking.contributions.values(), strict=True)]
        np.testing.assert_allclose(total, [similarity for _, similarity in ranking.labels], atol=1e-5)
        clip = classifier.read(clips[0])
        assert (
            classifier.rank(clip, ["kicking a drum", "waving a broom", "dragging a box"], top=2).labels
            == ranking.labels
        )


def test_train_keeps_what_the_run_is_used_with(cezsar, workspace, tmp_path):
    """--objects, --alpha, --head and --prototypes end up in the run; what does not fit is refused before training."""
    store, head = workspace / "features/demo-train", workspace / "runs/demo/objects.safetensors"
    mining = [workspace / "demo/train.json", "--store", store, "--out", tmp_path / "t", "--negatives", 2, "--seed", 1]
    status, out, _ = cezsar("mine", *mining, "--sub-clips", 1, "--head", head, "--object-positives", 1)
    assert status == 0 and "human sentences only" not in out
    assert Triplets.load(tmp_path / "t").record["object_positives"] == 1

    (tmp_path / "p.json").write_text(json.dumps({"kick": ["A person kicks."], "wave": "A person waves a broom."}))
    training = [
        tmp_path / "t",
        "--store",
        store,
        "--out",
        tmp_path / "run",
        "--d-model",
        16,
        "--ffn",
        16,
        "--epochs",
        1,
    ]
    keeping = ["--objects", 1, "--alpha", 0.7, "--head", head, "--prototypes", tmp_path / "p.json"]
    status, _, err = cezsar("train", *training, "--head", workspace / "runs/demo/model.safetensors")
    assert status == 2 and "not an object head" in err and not (tmp_path / "run").exists()
    status, _, err = cezsar("train", *training, "--prototypes", tmp_path / "none.json")
    assert status == 2 and "none.json" in err
    narrow = LinearHead(["cup"], ["a thing to drink from"], np.zeros((1, 3)))
    narrow.save(tmp_path / "narrow.safetensors")
    status, _, err = cezsar("train", *training, "--head", tmp_path / "narrow.safetensors")
    assert status == 2 and "3 columns" in err

    status, _, err = cezsar("train", *training, *keeping)
    assert status == 0 and "training: " in err and "epoch 1 of 1" in err
    run = Run.open(tmp_path / "run")
    assert run.config.objects == 1 and run.config.fusion == {"alpha": 0.7, "beta": 0.3, "gamma": 0.0}
    assert LinearHead.load(run.folder / "objects.safetensors").fingerprint == LinearHead.load(head).fingerprint
    assert json.loads((run.folder / "prototypes.json").read_text()) == {
        "kick": ["A person kicks."],
        "wave": ["A person waves a broom."],
    }
    assert cezsar("train", *training, *keeping, "--resume")[0] == 0
