"""Every reader of the package, the files to damage for it, and the process that reads them.

`python readers.py READER SEED FIRST END FOLDER` reads the inputs FIRST to END, and writes what became of them as JSON.
"""

import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import safetensors.torch
import timm
import torch
from mutations import damaged
from torch import nn

from cezsar import jobs
from cezsar.data import (
    annotations,
    authors_files,
    datasets,
    descriptions,
    features,
    labels,
    layout,
    manifest,
    sentence_cache,
)
from cezsar.data.features import FeatureStore, StoreWriter
from cezsar.encoders import timm_models
from cezsar.encoders.objects import LinearHead
from cezsar.errors import CezsarError
from cezsar.sweep import Sweep
from cezsar.training import importing, loop
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Seen
from cezsar.training.triplets import Triplets
from cezsar.video import Decoder, Limits, Sampling
from cezsar.zeroshot import evaluation, protocols, rejection, scored, search, spaces
from cezsar.zeroshot.examples import Example, KeptLabels, Label, read_labels

OLD = Path(__file__).parents[1] / "formats/version-1"
BOUND_S = 20  # for one input; a machine may be busy
MEMORY = 2 << 30  # for all inputs, above what the process has when it begins
Files = dict[str, bytes]


class Reader(NamedTuple):
    files: Callable[[], Files]  # what its folder holds
    read: Callable[[Path, str], object]  # of the folder, and the name of the file that is damaged
    damaged: str = ""  # only files that begin so are
    inputs: int = 10_000


def old(place: str = "") -> Callable[[], Files]:
    """The files of a folder of version 1."""
    inside = [path for path in (OLD / place).rglob("*") if path.is_file()]
    return lambda: {str(path.relative_to(OLD / place)): path.read_bytes() for path in inside}


def text(**files: object) -> Callable[[], Files]:
    """Files by their names, a last underscore for the dot."""
    made = {".".join(name.rsplit("_", 1)): value for name, value in files.items()}
    return lambda: {
        name: (value if isinstance(value, str) else json.dumps(value)).encode() for name, value in made.items()
    }


RUN = Run.open(OLD / "runs/run")
TRIPLETS = Triplets.load(OLD / "triplets.safetensors")
TRAINING: dict[str, Any] = {
    "model": {"d_model": 4, "d_emb": 4, "layers": 1, "heads": 1, "ffn": 4}, "training": {"epochs": 2}, "device": "cpu",
}  # fmt: skip
NAMES = ["brush hair", "Cartwheel", "draw sword", "fall (floor)", "Handstand Pushups", "kick, ball"]
ACTIONS = list(json.loads((OLD / "classes.json").read_text()))
CLIPS = {name: [f"v_{number}_{clip}" for clip in range(3)] for number, name in enumerate(NAMES)}
SEGMENTS = {
    f"v_{number}": {
        "duration": 82.73,
        "timestamps": [[0.83, 19.86], [17.37, 60.81]],
        "sentences": ["A man.", "He runs."],
    }
    for number in range(4)
}
CAPTIONS = {"version": "1.0", "results": {id: [{"sentence": "a dog", "timestamp": [0, 1.5]}] for id in SEGMENTS}}


def lists(folder: Path, name: str) -> object:
    return labels.read_label_list(folder / name)


def run(folder: Path, name: str) -> object:
    opened = Run.open(folder)
    opened.load_model(), opened.record(), opened.history(), opened.descriptions(), rejection.Rejector.of_run(folder)
    rows_TD = np.ones((3, opened.config.model.feature_dim), np.float32)
    if (folder / "objects.safetensors").exists():
        LinearHead.load(folder / "objects.safetensors").logits(rows_TD)
    if ood := opened.ood_distance():
        ood.distance(rows_TD)
    if (folder / "seen.safetensors").exists():
        seen = Seen.load(folder / "seen.safetensors")
        seen.composed(["a"], np.ones((1, seen.vectors_SD.shape[1]), np.float32))
    return None


def kept(folder: Path, name: str) -> object:
    item = scored.Scored.open(folder)
    item.paths(), item.descriptions(), item.embeddings(), item.clouds() if item.has_clouds else None
    return evaluation.evaluate(item.scores(), protocols.parse("all", item.scores().class_names), item.weights)


def triplets(folder: Path, name: str) -> object:
    read = Triplets.load(folder / name)
    return read.fingerprint, len(read)


def store(folder: Path, name: str) -> object:
    opened = FeatureStore(folder)
    for rows in opened.blocks(opened.ids):
        assert all(len(each) for each in rows)
    return opened.fingerprint, [opened.objects(id) for id in opened], opened.vocabulary


def indexed(folder: Path, name: str) -> object:
    """An index that is not believed is passed over, as the shards say the same."""
    read = store(folder, name)
    if not features._read_index(folder / name):
        raise CezsarError(f"{name} was passed over")
    return read


def stored() -> Files:
    """A store with an index."""
    rng, held, features.INDEXED = np.random.default_rng(0), Path("made"), 2
    about = {"encoder": "e", "fingerprint": "f", "dim": 2, "fps": 1.0}
    with StoreWriter(held, about, shard_videos=2) as writer:
        for number in range(4):
            writer.add(f"v{number}", rng.normal(size=(2, 2)), "a")
    return {path.name: path.read_bytes() for path in held.iterdir()}


def arrays() -> Files:
    made, files = io.BytesIO(), {}
    np.save(made, np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32))
    for number in range(2):
        files[f"v{number}.npy"] = made.getvalue()
    return files


def imported(folder: Path, name: str) -> object:
    report = authors_files.import_features(folder, folder / "store", width=12)
    shutil.rmtree(folder / "store")
    if report.failed:
        raise CezsarError(str(report.failed[0]))
    return report


def archive() -> Files:
    importing.pack(OLD / "runs/run", "made.zip")
    return {"run.zip": Path("made.zip").read_bytes()}


def unpacked(folder: Path, name: str) -> object:
    before = {path for path in folder.parent.rglob("*") if "runs" not in path.parts}
    try:
        return importing.unpack(folder / name, folder / "runs")
    finally:
        assert {path for path in folder.parent.rglob("*") if "runs" not in path.parts} == before
        shutil.rmtree(folder / "runs", ignore_errors=True)


def checkpoint() -> Files:
    """A small model as the authors' code has it."""
    names, place = ("VisualEmbedding", "SentenceEmbedding", "JointEmbeddingModel"), types.ModuleType("model")
    sides = [type(name, (nn.Module,), {"__module__": "model"}) for name in names]
    sys.modules["model"] = place
    vars(place).update(zip(names, sides, strict=True))
    visual, sentence, model = (side() for side in sides)
    visual.visual_dim_reducing, visual.video_joint_embedding = nn.Linear(12, 8), nn.Linear(8, 5)
    visual.transf_encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 24), 1)
    sentence.sentence_joint_embedding = nn.Linear(6, 5)
    model.visual_embedding, model.sentence_embedding = visual, sentence
    model.norm_vid, model.norm_sent = nn.LayerNorm(5), nn.LayerNorm(5)
    torch.save(model, made := io.BytesIO())
    return {"best.pt": made.getvalue()}


def checkpointed(folder: Path, name: str) -> object:
    try:
        return importing.import_checkpoint(folder / name, folder / "run")
    finally:
        shutil.rmtree(folder / "run", ignore_errors=True)


class Sentences:
    name, dim, fingerprint = "sentences", 4, "a" * 64

    def __init__(self, dim: int = 4) -> None:
        self.dim = dim

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), self.dim), np.float32)


def vectors() -> Files:
    cache = sentence_cache.SentenceCache(Sentences(), "made")
    cache.encode([f"sentence {number}" for number in range(40)])
    shipped = sentence_cache.ship(Sentences(), ["a", "b"], "made")
    return {cache.path.name: cache.path.read_bytes(), str(shipped.relative_to("made")): shipped.read_bytes()}


def cached(folder: Path, name: str) -> object:
    """A damaged cache is a warning, that names the file, and never an error."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")  # of Python's own about what NumPy reads
        warnings.simplefilter("always", UserWarning)
        cache = sentence_cache.SentenceCache(Sentences(), folder)
        assert cache.encode(["sentence 1", "a", "new"]).shape == (3, 4)
    if told:
        raise CezsarError(str(told[0].message))
    return cache


def stopped() -> Files:
    """A run in training, after the first epoch."""

    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch" and line["epoch"] == 2:  # the state of the first one is kept by then
            raise KeyboardInterrupt

    shutil.rmtree("made", ignore_errors=True)
    with contextlib.suppress(KeyboardInterrupt):
        loop.train(TRIPLETS, FeatureStore(OLD / "store"), Path("made"), on_progress=stop, **TRAINING)
    return {path.name: path.read_bytes() for path in Path("made").iterdir() if path.is_file()}


def resumed(folder: Path, name: str) -> object:
    try:
        return loop.train(TRIPLETS, FeatureStore(OLD / "store"), folder, resume=True, **TRAINING)
    except loop.DivergedError as error:
        raise CezsarError(f"{name}: {error}") from error
    finally:
        for made in ("model.safetensors", "record.json"):
            (folder / made).unlink(missing_ok=True)


def weights() -> Files:
    """A small model of timm in a folder, and its weights alone."""
    shape = {"embed_dim": 8, "depth": 1, "num_heads": 2, "img_size": 32}
    state = timm.create_model("test_vit", num_classes=3, **shape).state_dict()
    about = {
        "architecture": "test_vit", "num_classes": 3, "model_args": shape, "pretrained_cfg": {"input_size": [3, 32, 32]}
    }  # fmt: skip
    torch.save(state, packed := io.BytesIO())
    return {
        "a/pytorch_model.bin": packed.getvalue(), "a/config.json": json.dumps(about).encode(),
        "b/model.safetensors": safetensors.torch.save(state), "b/config.json": json.dumps(about).encode(),
    }  # fmt: skip


def searched(folder: Path, name: str) -> object:
    """What was kept of clips and of sentences; the sentences of the run are read by a stand-in."""
    os.environ["CEZSAR_HOME"] = str(folder)
    gallery = search.open_gallery(OLD / "store", RUN)
    sentences = search.open_sentences(gallery, ["a man runs", "a dog", "it rains"])
    found = [search.showing(gallery, list(gallery.known)[:2], 3), search.suiting(gallery, sentences, 2)]
    return [list(each) for each in found]


def caches() -> Files:
    space = spaces.JointSpace(RUN.load_model(), Sentences(384))  # once, as in the app
    search.spaces.space_for = lambda run: space
    searched(Path("made").absolute(), "")
    return {str(path.relative_to("made")): path.read_bytes() for path in Path("made").rglob("*.npy")}


def job(folder: Path, name: str) -> object:
    with contextlib.suppress(*jobs.BROKEN):  # is no job, for the list of jobs
        return jobs.look(folder)
    return None


def shown() -> Files:
    """Labels that were shown to a model."""
    rng, examples = np.random.default_rng(0), []
    for name in ("a.mp4", "b.png"):
        rows = {kind: rng.normal(size=4).astype(np.float32) for kind in ("VE", "O")}
        examples.append(Example(name, "0" * 64, rows))
    labels = {"run": Label(["A man runs."], examples[:1], 0.5), "walk": Label(examples=examples[1:])}
    KeptLabels(labels, "photographs", "f" * 64).save("made.safetensors")
    return {"kept.safetensors": Path("made.safetensors").read_bytes()}


JOB = {
    "cezsar": "job", "version": 1, "kind": "train", "title": "train a run", "about": {"run": "x"}, "created_s": 1e9,
    "steps": [{"title": "mining", "arguments": ["mine", "x"], "stages": {"mining": 2.0}, "accepts": [0]}],
}  # fmt: skip
STATUS = {"state": "running", "codes": [], "step": 0, "started_s": 1e9, "from_s": 1e9, "from_share": 0.0, "log_from": 0}


def films() -> Files:
    """Tiny films of several codecs and containers, and a picture."""
    kinds = [("a.mp4", "mpeg4"), ("b.mp4", "libx264"), ("c.webm", "libvpx-vp9"), ("d.avi", "mjpeg"), ("e.mkv", "ffv1"),
             ("f.gif", "gif"), ("g.mpg", "mpeg2video"), ("h.png", "png")]  # fmt: skip
    files: Files = {}
    for name, codec in kinds:
        with av.open(f"made-{name}", "w", format="image2" if name == "h.png" else None) as film:
            stream = film.add_stream(codec, rate=8 if codec != "mpeg2video" else 25)
            stream.width, stream.height = 32, 16
            stream.pix_fmt = {"gif": "rgb8", "png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for number in range(1 if codec == "png" else 12):
                image = np.full((16, 32, 3), number * 20, np.uint8)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            film.mux(stream.encode())
        files[name] = Path(f"made-{name}").read_bytes()
    return files


DECODER = Decoder(Limits())


def film(folder: Path, name: str) -> object:
    return [frame.image.sum() for frame in DECODER.frames(folder / name, Sampling(max_s=20))]


READERS: dict[str, Reader] = {
    "lists of labels": Reader(text(a_txt="\n".join(NAMES[:5]), b_csv="id,name\n0,run\n1,walk\n2,jump\n"), lists),
    "class descriptions": Reader(
        text(a_json={name: [f"A person does {name}.", "x"] for name in NAMES}, b_json=NAMES,
             c_json={"0": "a", "1": "b"}, d_txt="run\nwalk\n", e_csv="label\nrun\nwalk\n"),
        lambda folder, name: descriptions.load_descriptions(folder / name)),
    "splits, indexes, groups": Reader(
        text(split_json={"training": NAMES[:3], "testing": NAMES[3:]}, index_json=CLIPS, groups_json={"g": NAMES}),
        lambda folder, name: {"split": labels.load_split, "index": labels.load_index, "groups": labels.load_groups}[
            name.partition(".")[0]](folder / name)),
    "annotations and captions": Reader(
        text(people_json=SEGMENTS, machine_json=CAPTIONS),
        lambda folder, name: (annotations.load_annotations if name == "people.json" else annotations.load_captions)(
            folder / name)),
    "manifests": Reader(
        text(a_csv="path,id,label\nfilm.mp4,x,run\nfilm.mp4,y,walk\n", b_csv='path;label\nfilm.mp4;"run; fast"\n',
             film_mp4=""),
        lambda folder, name: manifest.read_source(folder / name), damaged="a.csv b.csv"),
    "lists of published data sets": Reader(
        lambda: {
            "ucf/trainlist01.txt": b"Run/v_Run_g01_c01.avi 1\nWalk/v_Walk_g01_c01.avi 2\n",
            "hmdb/run_test_split1.txt": b"a.avi 1\nb.avi 2\nc.avi 0\n",
            "kinetics/val.csv": b"label,youtube_id,time_start,time_end,split\nrun,abc,10,20,val\nwalk,def,3.5,13,val\n",
            "activitynet/train.json": json.dumps(SEGMENTS).encode(),
        },
        lambda folder, name: layout.look(layout.KNOWN[{
            "ucf": "ucf101", "hmdb": "hmdb51", "kinetics": "kinetics400", "activitynet": "activitynet-captions"
        }[name.partition("/")[0]]], (folder / name).parent)),
    "data sets": Reader(
        lambda: text(index_json=CLIPS, descriptions_json=dict.fromkeys(NAMES, "A man."),
                     segments_json={"v": [[0, 3.5, "run"], [4, 9, "walk"]]})()
        | {"data/datasets.json": b'{"mine": "/data/mine"}'},
        lambda folder, name: datasets.registered(folder) if "/" in name else datasets.open_dataset(
            str(folder / name.replace("descriptions", "index")))),
    "labels by example": Reader(
        text(a_json={"a": {"sentences": ["A man."], "examples": ["a.mp4"], "share": 0.5}, "b": "x"}),
        lambda folder, name: read_labels(folder / name)),
    "labels that were kept": Reader(shown, lambda folder, name: KeptLabels.load(folder / name)),
    "runs": Reader(old("runs/run"), run),
    "cross-modal runs": Reader(old("runs/cross"), run),
    "scored sets": Reader(old("scores"), kept),
    "results and protocols": Reader(old(), lambda folder, name: (
        evaluation.load_all(folder / name), protocols.parse(str(folder / name), ACTIONS)), damaged="results.json"),
    "sweeps": Reader(old(), lambda folder, name: Sweep.load(folder), damaged="tau-sweep.json"),
    "triplets": Reader(old(), triplets, damaged="triplets.safetensors"),
    "feature stores": Reader(old("store"), store),
    "indexes of large stores": Reader(stored, indexed, damaged="index.npz"),
    "authors' features (.npy)": Reader(arrays, imported),
    "archives of runs": Reader(archive, unpacked),
    "authors' checkpoints": Reader(checkpoint, checkpointed),
    "states of runs in training": Reader(stopped, resumed, damaged="state.pt"),
    "weights of encoders": Reader(weights, lambda folder, name: timm_models.load_model(
        "timm:x", str((folder / name).parent))),
    "caches of the search": Reader(caches, searched),
    "sentence vectors": Reader(vectors, cached),
    "jobs": Reader(text(job_json=JOB, status_json=STATUS), job),
    "films": Reader(films, film),
}  # fmt: skip


def main(reader: str, seed: str, first: str, end: str, folder: str) -> None:
    """Tells what became of each input: "refused", "accepted", or what went wrong."""
    os.chdir(folder)
    chosen, place = READERS[reader], Path(folder) / "in"
    shutil.rmtree(place, ignore_errors=True)
    files = chosen.files()
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    names = [name for name in files if name in chosen.damaged.split() or not chosen.damaged]
    chosen.read(place, names[0])  # whole, it is read
    if reader != "films":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    for index in range(int(first), int(end)):
        rng = random.Random(f"{reader} {seed} {index}")
        name = rng.choice(names)
        (place / name).write_bytes(damaged(name, files[name], rng))
        faulthandler.dump_traceback_later(BOUND_S, exit=True)
        os.write(1, f"{json.dumps([index, outcome(chosen, place, name)])}\n".encode())
        faulthandler.cancel_dump_traceback_later()
        for each, content in files.items():
            if each == name or not (place / each).exists():  # a reader may remove what is damaged
                (place / each).write_bytes(content)


def outcome(reader: Reader, place: Path, name: str) -> str:
    try:
        reader.read(place, name)
        return "accepted"
    except CezsarError as error:
        told = str(error)
        named = Path(name).name in told or str(place) in told or Path(name).stem in told
        return "refused" if named and len(told) < 2000 else f"unclear: {type(error).__name__}: {told[:300]}"
    except BaseException as error:
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        code: Any = frame.tb_frame.f_code
        return f"{type(error).__name__} in {Path(code.co_filename).name}:{frame.tb_lineno}: {str(error)[:200]}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
