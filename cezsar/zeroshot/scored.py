"""A data set scored by a method, kept on disk for tables, pictures and comparisons: see docs/formats.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cezsar import workspace
from cezsar.arrays import FloatArray, IntArray
from cezsar.atomic import replacing_folder, write_json
from cezsar.data import datasets
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.documents import read_json_object
from cezsar.data.features import FeatureStore
from cezsar.data.labels import canonical
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import DAMAGED, FormatError, InputError
from cezsar.formats import check_stamp, stamp
from cezsar.training.runs import Run
from cezsar.zeroshot import spaces
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.methods import METHODS, Method, Prepared
from cezsar.zeroshot.scores import Embeddings, Scores, Several, read_arrays, write_arrays
from cezsar.zeroshot.spaces import Descriptions, Embedded, Space

MOST = 20_000  # clips in the clouds; pictures show fewer
RAW_DIMS = 256  # of raw features there, by singular value decomposition
LARGE = 20_000_000  # scores of a modality; above, they are kept as float16
CONTENT = ("embeddings.safetensors", "scores.safetensors", "descriptions.json", "clouds.safetensors")


class Cloud(NamedTuple):
    """Points of one space: sampled clips, and prototypes as `Embeddings` has them; (0, E) without a place for them."""

    videos_NE: FloatArray
    prototypes_PE: FloatArray


class Scored:
    """A folder that `keep` wrote. Its parts are read when asked for."""

    def __init__(self, folder: str | Path, about: dict[str, Any]) -> None:
        self.folder, self.about = Path(folder), about
        self.name = self.folder.name
        self.method: Method = METHODS.get(about.get("method", ""), METHODS["cezsar"])
        self.by = about["run"] or ("no run" if self.method.weights is None else self.method.title)  # run, else method
        self.title = f"{self.method.title} ({self.by})" if about["run"] else self.by  # as tables have it
        self.weights = Weights(**about["fusion"])  # α, β and γ that it was kept with
        self.several: Several = about.get("several", "nearest")

    @classmethod
    def open(cls, folder: str | Path) -> Scored:
        """Read what the folder is about; `FormatError` for one that holds nothing that `keep` wrote."""
        path = Path(folder) / "about.json"
        about = read_json_object(path) if path.is_file() else {}
        check_stamp(folder, "scored", about, "make it with `cezsar evaluate --keep`")
        texts = ("run", "run_fingerprint", "domain", "dataset", "store", "space", "method", "several")
        try:
            if not all(isinstance(about.get(key, ""), str) for key in texts) or "/" in about["run"]:
                raise ValueError("it has other things than words where words belong")
            about["notes"] = [str(note) for note in about["notes"]]
            dict(about.get("sentence_encoder", {}))
            return cls(folder, about)
        except (InputError, *DAMAGED) as error:
            raise FormatError(f"{path} is damaged ({error}); evaluate again with --keep") from error

    @property
    def fingerprint(self) -> str:
        """Another for other content, for keys of caches. Each file is read once a process."""
        digests = [digest(path) for name in CONTENT if (path := self.folder / name).is_file()]
        return hashlib.sha256(json.dumps([self.about, digests], sort_keys=True).encode()).hexdigest()

    def embeddings(self) -> Embeddings:
        return Embeddings.load(self.folder / "embeddings.safetensors")

    def scores(self) -> Scores:
        return Scores.load(self.folder / "scores.safetensors")

    def descriptions(self) -> dict[str, list[str]]:
        """Class name -> the sentences of its prototypes, in their order; empty in sets that were kept without them."""
        path = self.folder / "descriptions.json"
        return load_descriptions(path) if path.is_file() else {}

    def paths(self) -> dict[str, str]:
        """Clip id -> video file; empty where there are no files."""
        path = self.folder / "paths.json"
        return read_json_object(path) if path.is_file() else {}

    def prepared(self) -> Prepared:
        """The method with its scores, as it was when they were kept; neither run nor store is looked for."""
        embedded = Embedded(self.embeddings(), list(self.about["notes"]), [])
        return Prepared(self.method, self.title, embedded, self.scores(), self.weights)

    def run(self, folder: str | Path | None = None) -> Run | None:
        """The very run that scored it: in `folder`, else beside it or in the workspace; None where it is not here."""
        name = self.about["run"]
        places = [self.folder.resolve().parents[1] / "runs" / name, workspace.folder("runs") / name] if name else []
        for place in places if folder is None else [Path(folder)]:
            weights = place / "model.safetensors"
            if weights.is_file() and digest(weights) == self.about["run_fingerprint"]:
                return Run.open(place)
        return None

    def space(self, run: str | Path | None = None, sentences: str | None = None) -> Space:
        """Where other sentences join its prototypes; `run` is the folder of its run, where it is in no workspace,
        `sentences` the encoder of an older set that does not say it. Raises `InputError` where these are not known."""
        space, encoder = self.about["space"], sentences or self.about.get("sentence_encoder", {}).get("name")
        if space not in ("joint", "sentence"):
            raise InputError(f"{self.name} was scored in the {space} space, where sentences cannot be tried")
        found = self.run(run) if space == "joint" else None
        if space == "joint" and found is None:
            raise InputError(
                f"new sentences of {self.name} need the weights of run {self.about['run']!r} that scored it, and "
                f"{run or 'the workspace'} has them not; bring the run, or score the data set again"
            )
        if not encoder:
            raise InputError(
                f"which sentence encoder {self.name} was scored with is not known; name it, or score the set again"
            )
        return spaces.space_for(found, encoder)

    @property
    def has_clouds(self) -> bool:
        return (self.folder / "clouds.safetensors").is_file()

    def clouds(self) -> tuple[IntArray, dict[str, Cloud]]:
        """Indices of the sampled clips, ascending, and "raw", "sentence" and "joint" as far as there are such."""
        arrays, about = read_arrays(self.folder / "clouds.safetensors", "clouds")
        rows, points = arrays.pop("rows"), {name: array.astype(np.float32) for name, array in arrays.items()}
        spaces = about["spaces"]
        return rows, {name: Cloud(points[f"{name}.videos"], points[f"{name}.prototypes"]) for name in spaces}


def reworded(embeddings: Embeddings, space: Space, known: Descriptions, described: Descriptions) -> Embeddings:
    """The embeddings with the sentences of `described` (names in any spelling) for those of `known`; new classes come
    last. Classes whose sentences stay keep their prototypes."""
    spelt = {canonical(name): name for name in embeddings.class_names}
    new = {spelt.get(canonical(name), name): list(texts) for name, texts in described.items()}
    new = {name: texts for name, texts in new.items() if texts != list(known.get(name, ()))}
    return embeddings.reworded(*spaces.prototypes_of(space, new)) if new else embeddings


def folder_for(run: Run | None, dataset: str, home: str | Path | None = None, *, method: str = "cezsar") -> Path:
    """Where a run's scores of a data set, or without a run a method's, are kept in the workspace."""
    named = re.sub(r"[^\w. -]", "_", run.name if run else method)
    return workspace.folder("scores", home) / f"{named}@{datasets.file_name(dataset, home)}"


def found(folder: str | Path) -> list[Scored]:
    """Every scored data set below a folder, by name; broken ones are left out."""
    sets = []
    for about in sorted(Path(folder).glob("*/about.json")):
        with suppress(FormatError):
            sets.append(Scored.open(about.parent))
    return sets


def keep(
    place: str | Path, ready: Prepared, sentences: Encoder, descriptions: Descriptions, *, dataset: str,
    paths: Mapping[str, Path] | None = None, several: Several = "nearest", half: bool = False,
) -> Scored:  # fmt: skip
    """Write a data set as a method has scored it, whole or not at all; what was kept there before stays until then.
    `half` keeps embeddings as float16, and scores of these."""
    run, embeddings, scores = ready.run, ready.embedded.embeddings, ready.scores
    with replacing_folder(place) as folder:
        embeddings.save(folder / "embeddings.safetensors", half=half)
        if half:
            embeddings = Embeddings.load(folder / "embeddings.safetensors")
            scores = Scores.from_embeddings(embeddings, several)  # so that both files agree
        scores.save(folder / "scores.safetensors", half=len(scores.ids) * len(scores.class_names) > LARGE)
        save_descriptions(folder / "descriptions.json", {name: descriptions[name] for name in embeddings.class_names})
        rows, clouds = clouds_of(ready.embedded, ready.store, sentences, descriptions)
        arrays: dict[str, Any] = {"rows": rows}
        for name, cloud in clouds.items():
            arrays[f"{name}.videos"], arrays[f"{name}.prototypes"] = (points.astype(np.float16) for points in cloud)
        write_arrays(folder / "clouds.safetensors", "clouds", arrays, {"spaces": list(clouds)})
        if paths:
            inside = set(embeddings.ids)
            write_json(folder / "paths.json", {clip: str(path) for clip, path in paths.items() if clip in inside})
        about = {
            **stamp("scored"), "method": ready.method.name, "run": run.name if run else "",
            "run_fingerprint": digest(run.folder / "model.safetensors") if run else "",
            "domain": run.config.domain if run else "", "dataset": dataset,
            "store": ready.store.fingerprint if ready.store else "", "space": embeddings.space,
            "sentence_encoder": {"name": sentences.name, "fingerprint": sentences.fingerprint}, "several": several,
            "fusion": asdict(ready.weights), "clips": len(embeddings.ids), "classes": len(embeddings.class_names),
            "modalities": list(embeddings.modalities), "notes": ready.embedded.notes,
        }  # fmt: skip
        write_json(folder / "about.json", about)
    return Scored(place, about)


def clouds_of(
    embedded: Embedded, store: FeatureStore | None, sentences: Encoder, descriptions: Descriptions
) -> tuple[IntArray, dict[str, Cloud]]:
    """Up to `MOST` clips, by index, as points of the spaces on the way: "raw", their mean features on the strongest
    directions; "sentence", what objects, else captions, say; "joint", VE, or the space of an image-text model."""
    embeddings = embedded.embeddings
    rows = np.arange(len(embeddings.ids))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))
    first = next(iter(embeddings.modalities.values()))[rows]  # VE, where there is one
    clouds: dict[str, Cloud] = {}
    if store:
        means_ND = np.stack([store.features(embeddings.ids[row]).mean(0) for row in rows])
        if min(means_ND.shape) > RAW_DIMS:
            from sklearn.utils.extmath import randomized_svd

            left, strengths, _ = randomized_svd(means_ND.astype(np.float32), RAW_DIMS, random_state=0)
            means_ND = left * strengths
        means_ND /= float(np.abs(means_ND).max(initial=0.0)) or 1.0  # float16 holds them, angles stay
        clouds["raw"] = Cloud(means_ND, np.empty((0, means_ND.shape[1]), np.float32))
    said = [embedded.object_sentences[row] for row in rows]
    if any(said):
        described = [sentence for name in embeddings.class_names for sentence in descriptions[name]]
        clouds["sentence"] = Cloud(spaces.rows_of(spaces.SentenceSpace(sentences), said), sentences.encode(described))
    elif embeddings.space == "sentence":
        clouds["sentence"] = Cloud(first, embeddings.prototypes)
    if embeddings.space != "sentence":
        clouds["joint"] = Cloud(first, embeddings.prototypes)
    return rows, clouds


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    return _digest_of(path.resolve(), path.stat().st_mtime_ns, path.stat().st_size)


@cache
def _digest_of(path: Path, changed_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
