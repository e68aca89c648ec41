"""What comes with the software, made anew: the demo in a few megabytes, and sentence vectors of the run `photographs`
and of the descriptions of published classes.

    python benchmarks/shipped.py demo assets/demo
    python benchmarks/shipped.py photographs assets/sentences

```
runs/demo/, runs/demo-colour/                  as `cezsar train` leaves them; the control without its weights
scores/demo@demo/, scores/demo-colour@demo/    as `cezsar evaluate --keep` leaves them
cache/projections/, cache/sentences/           maps of demo@demo; vectors of the sentences its clips and classes need
captions.safetensors                           sentences of the first training videos and their vectors
```
Weights and vectors are rounded to float16, and everything else is computed from the rounded ones, so what is shipped
agrees with itself; only T and the threshold are those before rounding, which moves them by less than 1e-5. Video files
are not shipped: any clip can be drawn again from its id (`cezsar.world.plan_of`).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from cezsar import workspace, world
from cezsar.analysis import maps
from cezsar.analysis.baselines import place_scores
from cezsar.atomic import replacing
from cezsar.data.annotations import load_annotations
from cezsar.data.datasets import named_descriptions, shipped_descriptions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.features import FeatureStore
from cezsar.data.layout import KNOWN
from cezsar.data.sentence_cache import Encoder, open_encoder
from cezsar.data.sentence_cache import ship as ship_sentences
from cezsar.demo import Report, evaluate_all, keep_scores, run_demo, save_results
from cezsar.encoders import create
from cezsar.encoders.objects import LinearHead, object_sentence
from cezsar.errors import InputError
from cezsar.training.runs import Run
from cezsar.zeroshot.scores import write_arrays

CAPTIONS = "captions.safetensors"
VIDEOS = 80  # whose captions are shipped
RUN_FILES = ("config.json", "history.jsonl", "record.json", "domain.safetensors", "objects.safetensors",
             "prototypes.json", "calibration.json", "rejector.json")  # fmt: skip


def ship(report: Report, folder: str | Path, home: str | Path | None = None) -> int:
    """Pack what `run_demo` made into `folder`, in place of what was packed there; returns the bytes of it. Raises
    `InputError` where the folder holds something else."""
    folder = Path(folder)
    if folder.exists() and {path.name for path in folder.iterdir()} - {"runs", "scores", "cache", CAPTIONS}:
        raise InputError(f"{folder} holds other files; give an empty folder, or one that was written before")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tmp-shipped-") as temporary:
        new = Path(temporary) / "new"
        _fill(new, report, home)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fill(folder: Path, report: Report, home: str | Path | None) -> None:
    sentences, demo = open_encoder("minilm", home=home), workspace.folder("demo", home)
    # The place oracle needs plans only, so the video files may be gone by now.
    built = world.World(demo, *world.WorldSettings.read(demo).plans())
    kept = []
    for part in ("", "-colour"):
        source = report.run.with_name(report.run.name + part)
        target, scores = folder / "runs" / source.name, folder / "scores" / f"{source.name}@demo"
        target.mkdir(parents=True)
        for name in RUN_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
        arrays = load_file(source / "model.safetensors")
        halves = {key: each.astype(np.float16) if each.dtype == np.float32 else each for key, each in arrays.items()}
        with replacing(target / "model.safetensors") as path:
            save_file(halves, path)
        store = FeatureStore(workspace.folder("features", home) / f"demo-test{part}")
        kept.append(keep_scores(scores, Run.open(target), sentences, store, built, shipped=True))
    whole, colour = kept
    settings = maps.MapSettings()
    maps.keep(whole, settings, folder / "cache" / "projections" / settings.file_name(whole.fingerprint))
    place = place_scores([plan.segments[0].place for plan in built.test], whole.scores())
    results = evaluate_all(whole.scores(), colour.scores(), place, whole.weights)
    run = Run.open(folder / "runs" / report.run.name)
    save_results(results, run.folder)
    # The control is there to be compared with: its weights and its clouds are not worth their megabytes.
    (folder / "runs" / colour.about["run"] / "model.safetensors").unlink()
    (colour.folder / "clouds.safetensors").unlink()
    _keep_captions(folder / CAPTIONS, demo / "train.json", sentences)
    # With the class descriptions and every O(v) there can be, MiniLM need not be loaded.
    described = [text for texts in load_descriptions(run.folder / "prototypes.json").values() for text in texts]
    head = LinearHead.load(run.folder / "objects.safetensors")
    spoken = [object_sentence(head, chosen) for chosen in permutations(range(len(head.names)), run.config.objects)]
    ship_sentences(sentences.encoder, described + spoken, folder / "cache" / "sentences", half=False)


def _keep_captions(path: Path, annotations: Path, sentences: Encoder) -> None:
    segments = load_annotations(annotations).segments
    videos = list(dict.fromkeys(segment.video_id for segment in segments))[:VIDEOS]
    chosen = [segment for segment in segments if segment.video_id in set(videos)]
    texts = [segment.sentence for segment in chosen]
    groups = np.array([videos.index(segment.video_id) for segment in chosen], np.int32)
    arrays: dict[str, np.ndarray] = {"vectors": sentences.encode(texts).astype(np.float16), "groups": groups}
    described = {"sentences": texts, "videos": videos, "encoder": sentences.name, "fingerprint": sentences.fingerprint}
    write_arrays(path, "captions", arrays, described)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["demo", "photographs"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.what == "demo":
        print(f"{given.folder}: {ship(run_demo(), given.folder) / 1e6:.1f} MB")
        return
    head = create("efficientnet", precision="fp32").object_head
    sets = [named_descriptions(name) for name in KNOWN if shipped_descriptions(name)]
    described = [text for each in sets for texts in each.values() for text in texts]
    print(ship_sentences(open_encoder().encoder, [*(head.names if head else ()), *described], given.folder))


if __name__ == "__main__":
    main()
