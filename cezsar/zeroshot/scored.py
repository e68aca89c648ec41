"""A data set scored by a run, kept on disk: what tables, pictures and comparisons are read from.

```
about.json               which run, data set and store; notes; when
embeddings.safetensors   the first waypoint, in the run's space
scores.safetensors       the second waypoint
clouds.safetensors       up to `MOST` clips as points of the raw, the sentence and the joint space
paths.json               clip id -> video file, where there are files
```
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cezsar import workspace
from cezsar.atomic import write_json
from cezsar.data.documents import read_json_object
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import Encoder
from cezsar.errors import FormatError
from cezsar.training.runs import Run
from cezsar.zeroshot.embed import Embedded
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.scores import Scores, Several
from cezsar.zeroshot.storage import read_arrays, write_arrays

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

VERSION = 1
MOST = 20_000  # clips in the clouds; pictures show fewer
RAW_DIMS = 256  # of raw features there, by singular value decomposition
LARGE = 20_000_000  # scores of a modality; above, they are kept as float16


@dataclass(frozen=True, eq=False)
class Cloud:
    """Clips and class prototypes as points of one space.

    Attributes:
        videos_NE: of the sampled clips.
        prototypes_PE: in the order of `Embeddings.prototypes`; (0, E) in a space where sentences have no place.
    """

    videos_NE: FloatArray
    prototypes_PE: FloatArray


@dataclass(frozen=True, eq=False)
class Scored:
    """A folder that `keep` wrote. Its parts are read when asked for.

    Attributes:
        about: "run" and "dataset" by name, "run_fingerprint", "domain", "store", "space", "fusion" (the run's α, β and
            γ), "clips", "classes", "modalities", "notes", "created" (ISO 8601, UTC).
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Scored:
        """Read what the folder is about.

        Raises:
            FormatError: it holds nothing that `keep` wrote, or of another version.
        """
        path = Path(folder) / "about.json"
        if not path.is_file():
            raise FormatError(f"{folder} holds no scored data set; make it with `cezsar evaluate --keep`")
        about = read_json_object(path)
        if (about.get("cezsar"), about.get("version")) != ("scored", VERSION):
            raise FormatError(f"{folder} is no scored data set of version {VERSION}; make it again")
        return cls(Path(folder), about)

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def fingerprint(self) -> str:
        """Another for other content, for keys of caches."""
        return hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()

    @property
    def weights(self) -> Weights:
        """The run's own α, β and γ."""
        return Weights(**self.about["fusion"])

    def embeddings(self) -> Embeddings:
        return Embeddings.load(self.folder / "embeddings.safetensors")

    def scores(self) -> Scores:
        return Scores.load(self.folder / "scores.safetensors")

    @property
    def has_clouds(self) -> bool:
        return (self.folder / "clouds.safetensors").is_file()

    def clouds(self) -> tuple[IntArray, dict[str, Cloud]]:
        """Indices of the sampled clips, ascending, and "raw", "sentence" and "joint" as far as there are such.

        Raises:
            FormatError: the file is damaged.
        """
        arrays, described = read_arrays(self.folder / "clouds.safetensors", "clouds")
        try:
            parts = {
                name: Cloud(
                    arrays[f"{name}.videos"].astype(np.float32), arrays[f"{name}.prototypes"].astype(np.float32)
                )
                for name in described["spaces"]
            }
            return arrays["rows"], parts
        except (KeyError, TypeError) as error:
            raise FormatError(f"{self.folder}: its clouds are damaged ({error}); make them again") from error

    def paths(self) -> dict[str, str]:
        """Clip id -> video file; empty where there are no files."""
        path = self.folder / "paths.json"
        return read_json_object(path) if path.is_file() else {}


def folder_for(run: Run | None, dataset: str, home: str | Path | None = None, *, method: str = "no run") -> Path:
    """Where a run's scores of a data set, or without a run a method's, are kept in the workspace."""
    named = [run.name if run else method, Path(dataset).stem or "data"]
    return workspace.folder("scores", home) / "@".join(re.sub(r"[^\w. -]", "_", part) for part in named)


def found(folder: str | Path) -> list[Scored]:
    """Every scored data set below a folder, by name; broken ones are left out."""
    sets = []
    for about in sorted(Path(folder).glob("*/about.json")):
        try:
            sets.append(Scored.open(about.parent))
        except FormatError:
            continue
    return sets


def keep(
    folder: str | Path,
    embedded: Embedded,
    store: FeatureStore | None,
    sentences: Encoder,
    descriptions: Mapping[str, Sequence[str]],
    *,
    dataset: str,
    run: Run | None = None,
    paths: Mapping[str, Path] | None = None,
    several: Several = "nearest",
    weights: Weights | None = None,
    half: bool = False,
) -> Scored:
    """Write embeddings, scores and clouds; `about.json` comes last, so that a folder with it is whole.

    Args:
        embedded: from `embed_dataset`, with the features of `store`; None with captions alone.
        sentences: the encoder of the sentence space.
        descriptions: class name -> sentences, as they were embedded.
        dataset: its name.
        paths: clip id -> video file.
        weights: α, β and γ to begin with; the run's by default.
        half: keep embeddings as float16. Scores are so where there are more than `LARGE`.
    """
    folder, embeddings = Path(folder), embedded.embeddings
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.json").unlink(missing_ok=True)
    embeddings.save(folder / "embeddings.safetensors", half=half)
    if half:
        embeddings = Embeddings.load(folder / "embeddings.safetensors")  # so that both files agree
    scores = Scores.from_embeddings(embeddings, several)
    large = len(scores.ids) * len(scores.class_names) > LARGE
    scores.save(folder / "scores.safetensors", half=large)  # exact if small, so that whoever scores anew agrees
    _save_clouds(folder / "clouds.safetensors", *clouds_of(embedded, store, sentences, descriptions))
    if paths:
        inside = set(embeddings.ids)
        write_json(folder / "paths.json", {clip: str(path) for clip, path in paths.items() if clip in inside})
    default = {"alpha": 0.0, "beta": 1.0, "gamma": 1.0} if run is None else run.config.fusion
    fusion = default if weights is None else {name: getattr(weights, name) for name in default}
    about = {
        "cezsar": "scored",
        "version": VERSION,
        "run": run.name if run else "",
        "run_fingerprint": _weights_fingerprint(run),
        "domain": run.config.domain if run else "",
        "dataset": dataset,
        "store": store.fingerprint if store else "",
        "space": embeddings.space,
        "fusion": fusion,
        "clips": len(embeddings.ids),
        "classes": len(embeddings.class_names),
        "modalities": list(embeddings.modalities),
        "notes": embedded.notes,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder / "about.json", about)
    return Scored(folder, about)


def clouds_of(
    embedded: Embedded, store: FeatureStore | None, sentences: Encoder, descriptions: Mapping[str, Sequence[str]]
) -> tuple[IntArray, dict[str, Cloud]]:
    """Up to `MOST` clips, by index, as points of the spaces on the way, as far as they have a place there.

    "raw": mean features, on their strongest directions; "sentence": what objects, else captions, say; "joint": VE, or
    the space of an image-text model.

    Args: see `keep`.
    """
    embeddings = embedded.embeddings
    rows = np.arange(len(embeddings.ids))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))
    clouds: dict[str, Cloud] = {}
    if store:
        clouds["raw"] = Cloud(*_compressed(np.stack([store.features(embeddings.ids[row]).mean(0) for row in rows])))
    spoken = [embedded.object_sentences[row] for row in rows]
    if any(spoken):
        unique = sorted({sentence for sentence in spoken if sentence})
        vectors = dict(zip(unique, sentences.encode(unique), strict=True))
        nothing = np.zeros(sentences.dim, np.float32)
        described = [sentence for name in embeddings.class_names for sentence in descriptions[name]]
        said = np.stack([vectors.get(text, nothing) for text in spoken])
        clouds["sentence"] = Cloud(said, sentences.encode(described))
    elif embeddings.space == "sentence":
        clouds["sentence"] = Cloud(next(iter(embeddings.modalities.values()))[rows], embeddings.prototypes)
    if embeddings.space != "sentence":
        clips_NE = embeddings.modalities.get("VE", next(iter(embeddings.modalities.values())))
        clouds["joint"] = Cloud(clips_NE[rows], embeddings.prototypes)
    return rows, clouds


def _save_clouds(path: Path, rows: IntArray, clouds: Mapping[str, Cloud]) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {"rows": rows}
    for name, cloud in clouds.items():
        arrays[f"{name}.videos"] = cloud.videos_NE.astype(np.float16)
        arrays[f"{name}.prototypes"] = cloud.prototypes_PE.astype(np.float16)
    write_arrays(path, "clouds", arrays, {"spaces": list(clouds)})


def _compressed(rows_ND: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Clips on their `RAW_DIMS` strongest directions, which keeps angles, scaled to fit float16; and no prototypes."""
    if min(rows_ND.shape) > RAW_DIMS:
        from sklearn.utils.extmath import randomized_svd

        left, strengths, _ = randomized_svd(rows_ND.astype(np.float32), RAW_DIMS, random_state=0)
        rows_ND = left * strengths
    largest = float(np.abs(rows_ND).max(initial=0.0))
    rows_ND = rows_ND / (largest or 1.0)
    return rows_ND, np.empty((0, rows_ND.shape[1]))


def _weights_fingerprint(run: Run | None) -> str:
    """SHA-256 of the run's weights; "" without a run."""
    if run is None:
        return ""
    with (run.folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
