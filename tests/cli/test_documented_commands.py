"""The commands of three pages of documentation, run in the order in which they stand there, on small trees of files.

Every tree has the genuine folders and file names of its data set, with a clip or two for each of its classes. What is
changed in a command before it runs, and which commands are left out, stands in the tables below, each with the reason.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
import typer
from torch import nn

from cezsar.cli import app
from cezsar.data.annotations import load_captions
from cezsar.data.datasets import KNOWN
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical
from cezsar.data.layout import ucf101_clips
from cezsar.training.runs import Run
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.evaluation import Result, load_all
from cezsar.zeroshot.protocols import FIGURE_1, HARD_15, NAMED, TRUZE_UCF_V2

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("reproduce", "own-data", "authors-files")

SUBSTITUTED = {  # documented -> run
    "=/data/": "=data/",  # a test writes into its own folder only
    "--encoder bit": "--encoder timm:tiny-resnet",  # 1.3 GB; this one names objects, too
    "clip:clip-ViT-B-32": "clip:tiny-clip",  # 0.6 GB
    "--model blip": "--model caption:org/tiny-blip",  # 1.0 GB
    "--sentences distilroberta": "--sentences minilm",  # 0.33 GB
    "import-release checkpoint": "import-release checkpoint --sentences minilm",  # the same
    "cezsar train": "cezsar train --epochs 1 --d-model 16 --ffn 32",  # hours
    "cezsar project": "cezsar project --perplexity 2",  # there are 8 clips
}
LEFT_OUT = "cezsar fetch"  # needs a network; what it would bring is replaced above


def documented(page: str) -> list[str]:
    """The commands of the page's ```sh blocks, one to a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text_of(page), re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def test_every_documented_command_is_one_of_cezsars_and_no_table_has_an_entry_too_many():
    verbs, commands = set(typer.main.get_command(app).commands), [each for page in PAGES for each in documented(page)]
    assert len(commands) > 30
    for command in commands:
        program, verb = shlex.split(command)[:2]
        assert program == "cezsar" and verb in verbs, command
    for text in SUBSTITUTED:
        assert any(text in command for command in commands), text
    assert any(command.startswith(LEFT_OUT) for command in commands)


# Making the trees ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, list[Path]]:
    """Six short clips, once as .avi and once as .mp4: what all the trees are made of."""
    folder = tmp_path_factory.mktemp("films")
    codecs = {".avi": "MJPG", ".mp4": "mp4v"}
    return {s: [film(folder / f"{n}{s}", codec, n) for n in range(6)] for s, codec in codecs.items()}


def film(path: Path, codec: str, number: int) -> Path:
    """Two seconds of a square that moves over coarse noise, 64 x 64 pixels."""
    rng = np.random.default_rng(number)
    ground = np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 8, (64, 64))
    for frame in range(16):
        image = ground.copy()
        image[20:40, 3 * frame : 3 * frame + 16] = 255 - 40 * number
        writer.write(image)
    writer.release()
    return path


def put(film: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(film, place)


def ucf_tree(folder: Path, films: list[Path]) -> None:
    """The first clip of every class, and the last one of those of Figure 1."""
    figure_1 = {canonical(name) for name in FIGURE_1}
    for id, label in ucf101_clips().items():
        if id.endswith("_g01_c01") or (id.endswith("_g25_c01") and canonical(label) in figure_1):
            put(films[len(id) % 6], folder / label.replace("HandStand", "Handstand") / f"{id}.avi")


def hmdb_tree(folder: Path, films: list[Path]) -> None:
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for number, name in enumerate(KNOWN["hmdb51"].class_names()):
        label = name.replace(" ", "_")
        clip = f"#{number}_a_film_{label}_u_nm_np1_ba_goo_0.avi"
        put(films[number % 6], folder / label / clip)
        for split in (1, 2, 3):
            (lists / f"{label}_test_split{split}.txt").write_text(f"{clip} 2 \n")


def kinetics_tree(folder: Path, films: list[Path]) -> None:
    """A clip of every class for validation, and a training clip that has gone."""
    rows = [("abseiling", "gone-_gone0", 5, 15, "train")]
    for number, name in enumerate(KNOWN["kinetics400"].class_names()):
        rows.append((name, f"-k{number:08}_", 10, 20, "validate"))
        put(films[number % 6], folder / "val" / name.replace("'", "") / f"-k{number:08}__000010_000020.mp4")
    for part in ("train", "validate"):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            writer.writerows(row for row in rows if row[-1] == part)


SENTENCES = [
    f"{who} {does} {where}."
    for who in ("A man", "A woman", "A young girl")
    for does in ("is riding a horse", "plays the guitar", "throws a ball", "cuts vegetables")
    for where in ("in a field", "in front of a crowd", "at home")
]

NAMES = ("horse", "saddle", "guitar", "strings", "ball", "glove", "knife", "carrot")  # what the small encoder sees
OBJECTS = {name: SENTENCES[n].replace("A man", "A person") for n, name in enumerate(NAMES)}  # as near as hard negatives


def captioned(ids: list[str]) -> dict[str, dict]:
    """Three sentences for each video, in the form of ActivityNet Captions."""
    timestamps = [[0.0, 1.0], [0.5, 2.0], [2.0, 0.2]]  # the last one starts after its end, as some published ones do
    return {
        id: {"duration": 2.0, "timestamps": timestamps, "sentences": [SENTENCES[(3 * n + k) % 36] for k in range(3)]}
        for n, id in enumerate(ids)
    }


def activitynet_tree(folder: Path, films: list[Path]) -> None:
    """Twelve training videos, of which one has gone, two for validation, and one that nobody described."""
    train = [f"v_-train{number:03}" for number in range(12)]
    for number, id in enumerate([*train[1:], "v_val00000", "v_val00001", "v_nobody0000"]):
        put(films[number % 6], folder / "videos" / f"{id}.mp4")
    (folder / "train.json").write_text(json.dumps(captioned(train)))
    (folder / "val_1.json").write_text(json.dumps(captioned(["v_val00000", "v_val00001"])))


# Running the pages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch, clip_folder, captioner_folders) -> Path:
    """An empty folder to be in, with a workspace that has three small models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "workspace"))
    shutil.copytree(clip_folder, tmp_path / "workspace/models/tiny-clip")
    shutil.copytree(captioner_folders["blip"], tmp_path / "workspace/models/tiny-blip")
    torch.manual_seed(1)
    small = {"input_size": (3, 32, 32)}
    model = timm.create_model("test_resnet", num_classes=len(OBJECTS), pretrained_cfg_overlay=small).eval()
    with torch.no_grad():
        model.get_classifier().weight.normal_()
    labels = {"label_names": list(OBJECTS), "label_descriptions": OBJECTS}
    timm.models.save_for_hf(model, str(tmp_path / "tiny-resnet"), model_config=labels, safe_serialization=True)
    return tmp_path


@pytest.fixture
def said(cezsar):
    """Run a page's commands; returns what each one printed, by its documented form."""

    def run(page: str) -> dict[str, str]:
        printed = {}
        for command in (each for each in documented(page) if not each.startswith(LEFT_OUT)):
            changed = command
            for old, new in SUBSTITUTED.items():
                changed = changed.replace(old, new)
            status, printed[command], err = cezsar(*shlex.split(changed, comments=True)[1:])
            assert not status, f"{command}\n{printed[command]}\n{err[-3000:]}"
        return printed

    return run


def first_of(path: str) -> Result:
    """The first result in a file, beside which its tables lie."""
    place = Path(path)
    assert place.with_suffix(".csv").is_file() and place.with_suffix(".md").is_file()
    return load_all(place)[0]


def shape(path: str) -> tuple[int, int, set[int]]:
    """Runs, classes in each run, and how many clips a run has."""
    runs = first_of(path).runs
    (classes,) = {len(run.classes) for run in runs}
    return len(runs), classes, {run.n_clips for run in runs}


def compared_in(path: Path) -> list[str]:
    """What a comparison compares with its first method; published rows and a table for papers are there, too."""
    content = json.loads(path.read_text())
    assert path.with_suffix(".tex").is_file() and any(row["method"] == "CEZSAR" for row in content["published"])
    return [each["a"] for each in content["comparisons"]]


def classes_in(path: str) -> set[str]:
    return {canonical(name) for name in first_of(path).runs[0].classes}


def test_reproduce(here, films, said):
    activitynet_tree(here / "data/activitynet", films[".mp4"])
    ucf_tree(here / "data/UCF-101", films[".avi"])
    hmdb_tree(here / "data/hmdb51", films[".avi"])
    kinetics_tree(here / "data/kinetics400", films[".mp4"])
    printed = said("reproduce")

    assert "400 clips of 400 classes to test on" in printed["cezsar datasets"]
    assert Path("missing.txt").read_text() == "gone-_gone0_000005_000015\n"
    clips = {"activitynet": 11, "ucf101": 105, "hmdb51": 51, "kinetics400": 400}
    assert {name: len(FeatureStore(f"features/{name}-bit")) for name in clips} == clips
    of = {name: next(out for command, out in printed.items() if f"extract {name}" in command) for name in KNOWN}
    assert "105 clips have a video, 13,215 have none" in of["ucf101"] and "none" not in of["hmdb51"]

    triplets = Triplets.load("triplets.safetensors")
    settings = {"tau": 0.8, "negatives": 10, "sub_clips": 3, "object_positives": 2, "annotations": "train.json"}
    assert (settings | {"videos": 11, "segments": 33}).items() <= triplets.record.items()
    assert Triplets.load("tau7.safetensors").record["tau"] == 0.7
    assert Run.open("runs/cezsar").trained and Run.open("runs/tau9").trained

    shapes = {
        "ucf101-101": (1, 101, {105}), "kinetics400-400": (1, 400, {400}), "kinetics400-100": (50, 100, {100}),
        "kinetics400-25": (50, 25, {25}), "hard15": (1, 15, {19}), "fig1": (1, 4, {8}),
        "hmdb51": (1, 51, {51}), "hmdb51-truze": (1, 22, {22}),
    }  # fmt: skip
    assert {name: shape(f"results/{name}.json") for name in shapes} == shapes
    for name, runs in {"ucf101-50": (50, 50), "ucf101-20": (50, 20), "random15": (30, 15), "truze-v1": (1, 34)}.items():
        assert shape(f"results/{name}.json")[:2] == runs
    assert classes_in("results/hard15.json") == {canonical(name) for name in HARD_15}
    assert classes_in("results/truze-v2.json") == {canonical(name) for name in NAMED["ucf101-truze-v2"]}
    assert compared_in(Path("results/compare-50.json")) == ["CEZSAR (cezsar): VE", "Objects, after [9]: O"]
    runs = [f"CEZSAR ({run}): VE" for run in ("cezsar", "tau7", "tau9")]
    assert compared_in(Path("results/compare-tau.json"))[::2] == runs
    for path in set(Path("results").glob("*.json")) - set(Path("results").glob("compare*.json")):
        assert {each.modality for each in load_all(path)} == {"VE", "O", "VE + O"}, path
    assert (here / "workspace/scores/cezsar@ucf101/about.json").is_file()


def test_own_data(here, films, said):
    for number, name in enumerate(("pouring tea", "folding a shirt", "tying a shoe")):
        for clip in range(2):
            put(films[".mp4"][2 * number + clip], here / "my-clips" / name / f"{name[:3]}{clip}.mp4")
    paths = sorted((here / "my-clips").rglob("*.mp4"))
    rows = [f"my-clips/{path.parent.name}/{path.name},mine-{path.stem},{path.parent.name}" for path in paths]
    (here / "my-clips.csv").write_text("\n".join(["path,id,label", *rows[:4]]) + "\n")
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text_of("own-data"), re.S)]
    described, captions, shown = examples
    (here / "my-trick.json").write_text(json.dumps(shown))
    for number, name in enumerate(shown["my trick"]["examples"]):
        put(films[".mp4"][number], here / name)
    for name in ("pouring tea", "folding a shirt"):
        put(films[".mp4"][0 if name == "pouring tea" else 2], here / "my-labels" / name / "1.mp4")
    (here / "my-labels/folding a shirt/words.txt").write_text("A shirt is folded.\n")
    (here / "mine.json").write_text(json.dumps(described))
    annotated = captioned([f"kitchen-{number:02}" for number in range(2, 12)])
    (here / "captions.json").write_text(json.dumps(captions | annotated))
    for number, id in enumerate([*captions, *annotated]):
        put(films[".mp4"][number % 6], here / "videos" / f"{id}.mp4")
    (here / "sentences.txt").write_text("\n".join(SENTENCES))
    printed = said("own-data")

    with Path("answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 6 * 3
    assert {row["label"] for row in answers} == {"pouring tea", "folding a shirt", "tying a shoe"}
    assert "tea has 3 classes" in printed["cezsar prototypes check mine.json --dataset tea"]
    first, second = (printed[command] for command in printed if "suggest" in command)
    assert first.index("making tea (kinetics400)") < first.index("pour (hmdb51)") and "before" not in first
    assert "teapot +0.06" in first and "person -0.12" in first and "before" in second and "spout" in second
    assert len(FeatureStore("features/tea-clip")) == 6 and len(FeatureStore("features/csv-clip")) == 4
    assert "mine-fol0" in FeatureStore("features/csv-clip")
    assert shape("results/tea.json") == (1, 3, {6}) and shape("results/tea-2.json") == (10, 2, {4})
    assert shape("results/tea-described.json") == (1, 3, {6})
    triplets = Triplets.load("triplets.safetensors")
    assert triplets.record["videos"] == 11 and triplets.record["segments"] == 31
    assert Run.open("runs/mine").config.domain == "kitchens"
    assert {each.modality for each in load_all(Path("results/tea-mine.json"))} == {"VE", "O", "VE + O"}
    assert (here / "workspace/scores/mine@tea/about.json").is_file()
    with Path("found.csv").open(newline="") as file:
        hits = list(csv.DictReader(file))
    assert len(hits) == 3 * 6 and {hit["label"] for hit in hits} == {hit["text"] for hit in hits} == set(described)
    assert len(json.loads(Path("said.json").read_text())) == 6 * 2
    assert len(load_captions("tea-captions.json")) == 6 and shape("results/tea-captions.json") == (1, 3, {6})
    with Path("by-example.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    (itself,) = (row for row in answers if Path(row["clip"]).name == "pou0.mp4" and row["label"] == "pouring tea")
    assert len(answers) == 6 * 2 and itself["rank"] == "1" and float(itself["similarity"]) > 0.95
    assert Path("spans.csv").read_text().count("\n") > 1 and Path("shots.csv").read_text().startswith("examples")
    assert "VE + O + C" in {each.modality for each in load_all(Path("results/tea-all.json"))}


def save_checkpoint(path: Path) -> None:
    """As the authors saved theirs: a whole module, of classes of a module named `model`."""
    place = types.ModuleType("model")

    def part(kind: str, **children: nn.Module) -> nn.Module:
        setattr(place, kind, type(kind, (nn.Module,), {"__module__": "model"}))
        made: nn.Module = getattr(place, kind)()
        for name, child in children.items():
            setattr(made, name, child)
        return made

    visual = part(
        "VisualEmbedding", visual_dim_reducing=nn.Linear(4096, 16),
        transf_encoder=nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 1, enable_nested_tensor=False),
        video_joint_embedding=nn.Linear(16, 8),
    )  # fmt: skip
    sentence = part("SentenceEmbedding", sentence_joint_embedding=nn.Linear(384, 8))
    norms = {"norm_vid": nn.LayerNorm(8), "norm_sent": nn.LayerNorm(8)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "model", place)
        torch.save(part("JointEmbeddingModel", visual_embedding=visual, sentence_embedding=sentence, **norms), path)


def released_files(folder: Path) -> None:
    """What the authors released, for one clip of every class of UCF-101; two captioning models, one without YoYo."""
    index = {label: [id] for id, label in ucf101_clips().items() if id.endswith("_g01_c01")}
    texts, splits, features = (folder / name for name in ("ucf_101_texts_gemini", "splits", "ucf101_features_bit_152"))
    for each in (texts, splits, features):
        each.mkdir(parents=True)
    (folder / "ucf101_dataset.json").write_text(json.dumps(index))
    save_checkpoint(folder / "bestmodel.pt")
    rng = np.random.default_rng(0)
    for label, (id,) in index.items():
        np.save(features / f"{id}.npy", rng.normal(size=(3, 4096)).astype(np.float32))
        text = f"“{label}”: somebody does it, maybe at a café."
        (texts / f"{label.lower()}.txt").write_bytes(text.encode("cp1252" if len(label) % 2 else "utf-8"))
    for file, classes, shared in (("truezsl2.0", TRUZE_UCF_V2, 0), ("hard_cases", HARD_15, 6)):
        tested = [name for name in index if canonical(name) in set(map(canonical, classes))]
        split = {"training": [name for name in index if name not in tested[shared:]], "testing": tested}
        (splits / f"ucf101_{file}_splits.json").write_text(json.dumps(split))
    for observer in ("blip", "git"):
        captions = {
            id: [{"sentence": f"{observer} sees {label}", "timestamp": [0.0, 4.0]}]
            for label, (id,) in index.items()
            if (observer, label) != ("git", "YoYo")
        }
        (folder / f"{observer}.json").write_text(json.dumps({"version": "VERSION 1.0", "results": captions}))


def test_authors_files(here, said):
    released_files(here / "released")
    printed = said("authors-files")

    imported = [out for command, out in printed.items() if "import-release" in command]
    assert "101 videos imported" in imported[0] and "released recipe, 4096 -> 16 -> 8, 1 layer" in imported[1]
    assert "101 classes, 101 sentences" in imported[2]
    assert "70 training, 31 testing" in imported[3] and imported[3].count("in both, so not unseen") == 1
    assert "201 captions of 101 videos, from 2 files" in imported[4]
    store = FeatureStore("features/ucf101-released")
    assert (len(store), store.dim, store.labels["v_YoYo_g01_c01"]) == (101, 4096, "YoYo")

    assert shape("results/released-101.json") == (1, 101, {101})
    assert shape("results/released-50.json") == (50, 50, {50})
    assert shape("results/released-truze.json") == (1, 31, {31})
    assert classes_in("results/released-truze.json") == {canonical(name) for name in TRUZE_UCF_V2}
    assert shape("results/captions-50.json") == (50, 50, {50}) == shape("results/averaged-50.json")
    assert shape("results/captions-20.json") == (50, 20, {20})
    assert shape("results/captions-hard15.json") == (1, 15, {15})
    assert {each.modality for each in load_all(Path("results/captions-joint-50.json"))} == {"C"}
    assert compared_in(Path("results/compare.json")) == ["Captions, after [12]: C"]
    # A caption that names the class is found among 15 at once: the captions alone did it.
    assert first_of("results/captions-hard15.json").runs[0].top1 > 0.9
