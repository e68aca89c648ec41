"""The command line, verb by verb, on a small world."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from cezsar import cli
from cezsar.analysis import maps
from cezsar.data.features import FeatureStore
from cezsar.encoders.objects import LinearHead
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets
from cezsar.workspace import ASSETS
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.scored import Scored

DEMO = ASSETS / "demo/scores/demo@demo"


@pytest.fixture
def clips(workspace):
    return sorted((workspace / "demo/test").rglob("*.webm"))


def test_every_verb_explains_itself_with_examples(cezsar):
    verbs = typer.main.get_command(cli.app).commands
    assert len(verbs) == 25
    for verb in verbs:
        status, out, _ = cezsar(verb, "--help")
        assert status == 0 and "Examples" in out and f"cezsar {verb}" in out
    for verb in ("features", "checkpoint", "descriptions", "splits", "captions"):
        assert f"{verb} " in cezsar("import-release", "--help")[1]
        status, out, _ = cezsar("import-release", verb, "-h")
        assert status == 0 and f"cezsar import-release {verb}" in out


def test_from_videos_to_a_table(cezsar, workspace, tmp_path, monkeypatch):
    """extract -> mine -> train -> evaluate, as a user would type them; the run keeps what it is used with."""
    monkeypatch.chdir(tmp_path)
    world, head = workspace / "demo", workspace / "runs/demo/objects.safetensors"
    for done, there in ((10, 0), (0, 10)):
        status, out, err = cezsar("extract", world / "train", "--encoder", "motion", "--out", "train")
        assert status == 0 and f"{done} clips extracted, {there} were there already" in out
        assert "\r" not in err  # plain lines in a pipe
    assert FeatureStore("train").fingerprint == FeatureStore(workspace / "features/demo-train").fingerprint

    mining = [world / "train.json", "--store", "train", "--out", "t", "--negatives", 5, "--sub-clips", 1, "--seed", 2]
    status, out, err = cezsar("mine", *mining, "--head", head, "--object-positives", 1)
    assert status == 0 and "triplets from 70 segments of 10 videos" in out and "mining: " in err
    assert Triplets.load("t").record["object_positives"] == 1 and Triplets.load("t").negatives_MPn.shape[2] == 5

    described = {"kick": ["A person kicks."], "wave": ["A person waves a broom."]}
    Path("p.json").write_text(json.dumps(described))
    LinearHead(["cup"], ["a thing to drink from"], np.zeros((1, 3))).save("narrow.safetensors")
    training = ["train", "t", "--store", "train", "--out", "run", "--d-model", 16, "--ffn", 16, "--epochs", 1]
    for option, value, said in (
        ("--head", workspace / "runs/demo/model.safetensors", "object head"),
        ("--prototypes", "none.json", "none.json"), ("--head", "narrow.safetensors", "3 columns"),
    ):  # fmt: skip
        status, _, err = cezsar(*training, option, value)
        assert status == 2 and said in err and not Path("run").exists()
    training += ["--objects", 1, "--alpha", 0.7, "--head", head, "--prototypes", "p.json", "--domain", "drawn people"]
    status, out, err = cezsar(*training)
    assert status == 0 and "best epoch" in out and "epoch 1 of 1" in err
    config, kept = Run.open("run").config, LinearHead.load("run/objects.safetensors")
    assert (config.training.epochs, config.model.d_model, config.domain) == (1, 16, "drawn people")
    assert config.objects == 1 and config.fusion == {"alpha": 0.7, "beta": 0.3, "gamma": 0.0}
    assert kept.fingerprint == LinearHead.load(head).fingerprint
    assert json.loads(Path("run/prototypes.json").read_text()) == described
    for more, said in (([], "already holds a run"), (["--resume", "--lr", "1e-3"], "other settings")):
        status, _, err = cezsar(*training, *more)
        assert status == 2 and said in err
    assert cezsar(*training, "--resume")[0] == 0

    given = ["--dataset", world / "test", "--store", workspace / "features/demo-test", "--run", "run"]
    status, out, _ = cezsar("evaluate", *given, "--protocol", "10-of-21", "--runs", 7, "--out", "r.json")
    assert status == 0 and "VE" in out and "chance" in out
    result = load_all("r.json")[0]
    assert len(result.runs) == 7 and all(len(set(each.classes)) == 10 for each in result.runs)
    assert Path("r.csv").is_file() and Path("r.md").read_text().count("|") > 4


def test_demo_table_and_evaluate_agree(cezsar, workspace, small_demo, tmp_path):
    report = small_demo[1]
    store = ["--dataset", "demo", "--store", workspace / "features/demo-test"]
    status, out, _ = cezsar("evaluate", *store, "--run", report.run, "--out", tmp_path / "again.json")
    assert status == 0 and "VE + O" in out
    again = {result.modality: result.figure("top1").mean for result in load_all(tmp_path / "again.json")}
    first = {result.modality: result.figure("top1").mean for result in report.results if result.protocol == "all"}
    assert again.items() <= first.items() and set(first) == {"VE", "O", "VE + O", "place oracle", "colour only"}
    status, out, _ = cezsar("evaluate", *store)  # without a run objects speak in the sentence space
    assert status == 0 and "O " in out and "VE" not in out


def test_classify_ranks_for_people_and_machines(cezsar, workspace, clips, tmp_path):
    status, out, _ = cezsar("classify", clips[0], "--labels", "kicking a drum, waving a broom, something else")
    assert status == 0 and "trained on the stick-figure world" in out and "something else" in out
    records = json.loads(cezsar("classify", *clips[:2], "--top", 2, "--json")[1])
    assert [len(record["labels"]) for record in records] == [2, 2]
    similarities = [label["similarity"] for label in records[0]["labels"]]
    assert similarities == sorted(similarities, reverse=True)
    assert records[0]["margin"] == pytest.approx(similarities[0] - similarities[1], abs=2e-6)
    (tmp_path / "p.json").write_text(json.dumps({"kick": ["A person kicks."], "wave": "A person waves a broom."}))
    few = tmp_path / "few"
    few.mkdir()
    for clip in clips[:2]:
        shutil.copy(clip, few)
    strange = few / b"caf\xe9.webm".decode("utf-8", "surrogateescape")  # a name that is not UTF-8
    shutil.copy(clips[0], strange)
    arguments = [few, "--prototypes", tmp_path / "p.json", "--csv", tmp_path / "a.csv"]
    status, _, err = cezsar("classify", *arguments)
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert status == 0 and "3 clips, 0 failed" in err
    assert len(rows) == 2 * 3 and {row["label"] for row in rows} == {"kick", "wave"}
    assert "caf\\xe9.webm" in (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert "caf" in json.loads(cezsar("classify", strange, "--json")[1])[0]["clip"]


def test_search_finds_clips_for_labels_and_sentences_for_clips(cezsar, workspace, tmp_path):
    here = ["search", "--store", workspace / "features/demo-test", "--run", workspace / "runs/demo", "--top", 3]
    status, out, _ = cezsar(*here, "--labels", "kicking a drum, waving a broom")
    assert status == 0 and len(out.splitlines()) == 2 * (1 + 1 + 3) and "\nwaving a broom\n" in out
    first = out.splitlines()[2].split()[1]
    (tmp_path / "many.txt").write_text("A person kicks a drum.\n\nA dog barks.\nA person waves.\nA dog  barks.\n")
    many = [*here, "--among", tmp_path / "many.txt"]
    status, out, _ = cezsar(*many, "--clip", first)
    assert status == 0 and out.splitlines()[1].split()[0] == first and out.count("A dog barks.") == 1
    for kind in ("exact", "faiss"):
        assert cezsar(*many, "--index", kind, "--out", tmp_path / f"{kind}.csv")[:2] == (
            0,
            f"wrote {tmp_path}/{kind}.csv\n",
        )
    rows = list(csv.DictReader((tmp_path / "exact.csv").open()))
    assert len(rows) == 21 * 3 and [row["rank"] for row in rows[:3]] == ["1", "2", "3"]
    assert (tmp_path / "exact.csv").read_text() == (tmp_path / "faiss.csv").read_text()


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
    assert status == 1 and all(str(clip) in out for clip in clips[:2]) and "broken.mp4" in err
    shutil.copy(clips[0], tmp_path / "good.webm")
    status, out, _ = cezsar("extract", tmp_path, "--encoder", "motion", "--out", tmp_path / "store")
    assert status == 1 and "1 clips extracted" in out and "broken.mp4" in out
    assert FeatureStore(tmp_path / "store").ids == ["good"]


def test_info_names_what_is_here(cezsar, workspace, monkeypatch):
    (workspace / "runs/broken").mkdir(exist_ok=True)
    status, out, _ = cezsar("info")
    parts = "motion", "minilm", "clip:clip-ViT-B-32", "store  demo-test: 21 videos", "run    demo", "device cpu"
    assert status == 0 and all(part in out for part in (*parts, "run    broken", "holds no run"))
    for means, said in (
        (["Landlock 7", "seccomp"], "that can read its film and nothing else (Landlock 7 and seccomp)"),
        (["bwrap"], "can read its film and where Python is, and nothing else (bwrap)"),
        (["Landlock 1"], "with your rights, less what Landlock 1 takes away, within bounds"),
        ([], "with your rights, within bounds of time and memory; nothing more can be had here"),
    ):
        monkeypatch.setattr("cezsar.video.Decoder.confinement", lambda decoder, means=means: means)
        assert said in cezsar("info")[1]


MISTAKES = {
    "extract nowhere --encoder motion --out s": "nowhere",
    "extract {videos} --encoder vgg --out s": "no encoder 'vgg'",
    "extract {videos} --encoder motion --out s --weights w": "has no weights",
    "extract {videos} --encoder motion --out {colour}": "colour only",
    "mine none.json --store {store} --out t": "none.json",
    "mine {annotations} --store {store} --out t --tau 3": "tau is 3",
    "train none --store {store} --out r": "none",
    "evaluate --dataset demo --store {colour} --run {run}": "was trained with",
    "evaluate --dataset demo --store {test} --run {run} --protocol seven": "seven",
    "classify {clip} --run {empty}": "holds no run",
    "classify {clip} --labels ,,": "label",
    "classify {clip} --labels a --prototypes p.json": "not both",
    "classify {clip} --prototypes hmdb52": "hmdb52 is no file or folder",
    "classify {clip} --encoder bit --labels a": "1.3 GB",
    "classify {clip} --alpha 0 --beta 0": "not all zero",
    "spans {clip} --labels 'kicking a drum'": "--find 'kicking a drum'",
    "search --store {test} --run {run}": "by --labels or --prototypes, or name sentences by --among",
    "search --store {test} --run {run} --labels a --among bad.json": "one of these",
    "search --store {test} --run {run} --labels a --clip x": "give --among, too",
    "search --store {test} --run {run} --among bad.json --clip x": "has no clip 'x'",
    "search --store {test} --labels a": "which reads no text; give a run",
    "search --store {colour} --run {run} --labels a": "was trained with",
    "search --store {empty} --run {run} --labels a": "holds no feature shards",
    "evaluate --dataset demo --store {test} --method captions": "method captions needs captions",
    "evaluate --dataset {videos} --store {store}": "no label",
    "classify {clip} --lables a": "--lables",
    "demo --recipe mine": "recipe 'mine'",
    "demo --seed 6": "other settings",
    "datasets --add ucf101": "should be NAME=PLACE",
    "datasets --forget x": "no data set is named 'x'",
    "datasets ucf101 --missing m.txt": "UCF-101 is not here",
    "prototypes check ucf101 --dataset activitynet-captions": "no classes",
    "prototypes check ucf101 --sentences no/such/folder/x": "no/such/folder/x",
    "project nothing@nowhere": "there is no scored data set nothing@nowhere",
    "project {scored} --classes 'kicking a bx'": "did you mean 'kicking a box'",
    "import-release features none --out s": "none is no folder",
    "import-release checkpoint bad.json --out r": "bad.json is no module that torch.save wrote",
    "import-release captions bad.json --out c.json": "not valid JSON",
}


@pytest.mark.parametrize("command", MISTAKES, ids=lambda command: command[:60])
def test_a_mistake_ends_with_status_2_and_one_clear_line(cezsar, workspace, clips, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{3}")
    stores = workspace / "features"
    places = {
        "videos": workspace / "demo/train", "annotations": workspace / "demo/train.json", "clip": clips[0],
        "store": stores / "demo-train", "test": stores / "demo-test", "colour": stores / "demo-train-colour",
        "run": workspace / "runs/demo", "empty": tmp_path / "empty", "scored": DEMO,
    }  # fmt: skip
    status, _, err = cezsar(*(argument.format(**places) for argument in shlex.split(command)))
    assert status == 2 and MISTAKES[command] in err and "Traceback" not in err
    assert MISTAKES[command][:2] == "--" or len([line for line in err.splitlines() if line[:8] == "cezsar: "]) == 1


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
    paper = ("--run", "photographs", "--objects", "sentence", "--middle", "--beside", "demo")
    status, out, _ = cezsar("classify", film, "--labels", "a dog, a cat", *paper)
    assert status == 0 and "beside, by demo:" in out
    status, _, err = cezsar("classify", film, "--labels", "a", "--objects", "verbs")
    assert status == 2 and "choose one of sentence, definitions, names" in err


@pytest.mark.parametrize("verb", ["classify", "spans"])
def test_a_name_that_begins_with_a_hyphen_is_told_how_to_be_given(cezsar, verb):
    status, _, err = cezsar(verb, "-3B32lodo2M.mp4", "--labels", "x, y")
    assert status == 2 and "-3B32lodo2M.mp4 is taken for an option; name such files behind --: -- -3B" in err
    assert "behind --" not in cezsar(verb, "--no-such-option", "--alpha", "-0.5")[2]
    assert "there is no such file" in cezsar(verb, "--labels", "x, y", "--", "-3B32lodo2M.mp4")[2]


def test_a_process_tells_its_status_and_a_reader_that_leaves_is_no_error(monkeypatch, cezsar):
    done = subprocess.run([sys.executable, "-m", "cezsar", "classify"], capture_output=True, text=True)
    assert done.returncode == 2 and "CLIP" in done.stderr
    command = f"{sys.executable} -m cezsar --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    monkeypatch.setattr(cli, "_command", lambda: [][0])  # `extract` may end with 1 and count as done; a crash must not
    status, _, err = cezsar("extract")
    assert status == 3 and "IndexError" in err


def test_a_map_of_chosen_classes(cezsar, home, tmp_path):
    out = tmp_path / "figure.safetensors"
    typed = 'Kicking a box, "dragging a box"'
    status, said, err = cezsar("project", DEMO, "--classes", typed, "--perplexity", 6, "--seed", 2, "--out", out)
    assert status == 0 and said == f"wrote {out}\n"
    assert "t-SNE: 0 of 3, raw" in err and err.splitlines()[-1] == "t-SNE: 3 of 3"
    item = Scored.open(DEMO)
    settings = maps.MapSettings(6, 2, 3000, ("kicking a box", "dragging a box"))
    expected, found = maps.draw(item, settings), maps.read(out)
    for space, projection in expected.projections.items():
        np.testing.assert_array_equal(found.projections[space].videos_N2, projection.videos_N2)


def test_a_program_ends_with_its_status_after_all_that_was_to_be_done():
    code = """import atexit, sys
from cezsar import cli
cli.main = lambda: (atexit.register(print, "closed"), sys.exit(7))
cli.program()"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (7, "closed\n", "")
