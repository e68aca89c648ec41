"""The τ laboratory of the page Tune: what the distances of some sentences allow, and a training run per τ."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.services import models
from app.train.starting import captions
from cezsar import jobs, workspace
from cezsar.analysis import tau as laboratory
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, arguments, numbers
from cezsar.data.annotations import load_annotations
from cezsar.errors import CezsarError, FormatError, InputError
from cezsar.sweep import FILE, Sweep, refuse_points
from cezsar.zeroshot.storage import read_arrays

SHIPPED = "shipped"
TAUS = np.arange(1, 201) / 100  # every position of the slider
MOST_ANCHORS = 3_000
MOST_FOR_DUPLICATES = 20_000  # sentences all pairs of which are looked at without being asked
CLOSE, MOST_CLOSE = 0.3, 200  # cosine distance of the pairs that are listed, and how many at the most
BLOCK = 256  # sentences between two reports of progress
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """Where sentences come from: the shipped captions (no path of annotations) or a file of annotations."""

    key: str
    title: str
    path: Path
    digest: str


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences of videos, and what their distances allow.

    Attributes:
        groups_N: video of each sentence, as an index into `videos`.
        candidates: for each τ of `TAUS`; of `MOST_ANCHORS` sentences drawn at random where there are more.
        duplicates: (i, j, cosine distance) of the nearest different sentences of different videos, as far as they are
            nearer than `CLOSE`, at most `MOST_CLOSE`; None if not looked for.
    """

    fingerprint: str
    texts: list[str]
    videos: list[str]
    groups_N: npt.NDArray[np.int64]
    vectors_NS: npt.NDArray[np.float32]
    encoder: str
    distances: laboratory.Distances
    candidates: laboratory.CandidateCounts
    duplicates: list[tuple[int, int, float]] | None

    def entering(self, anchor: int, low: float, high: float) -> list[tuple[int, float]]:
        """(sentence, distance) of all that become candidates of `anchor` between two τ, nearest first."""
        return laboratory.neighbours(self.vectors_NS, self.groups_N, anchor, low, high, most=len(self.texts))


def sources() -> dict[str, Source]:
    """The shipped captions, the demo's annotations, and every file of annotations in the workspace's data folder."""
    found: dict[str, Source] = {}
    shipped = models.SHIPPED / "captions.safetensors"
    if shipped.is_file():
        found[SHIPPED] = Source(SHIPPED, "Captions of the demo, some of them (comes with the software)", shipped, "")
    for item in captions().values():
        demo = item.path.parent == workspace.folder("demo").absolute()
        title = "Captions of the demo's training videos, all" if demo else item.path.name
        key = "demo" if demo else item.path.name
        found[key] = Source(key, title, item.path, _digest(item.path))
    return found


def _digest(path: Path) -> str:
    stat = path.stat()
    return hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()


def sentences(source: Source, encoder: str, on_progress: Progress) -> Sentences:
    """Everything about the sentences of a source. New ones are encoded first, with progress; a rerun goes on there.

    Raises:
        CezsarError: the file cannot be read, the encoder is not here, or all sentences are of one video.
    """
    return _sentences(source.digest or models.SHIPPED.as_posix(), source.key, encoder, source, on_progress)


@st.cache_resource(max_entries=3, show_spinner=False)
def _sentences(digest: str, key: str, encoder: str, _source: Source, _on_progress: Progress) -> Sentences:
    if _source.key == SHIPPED:
        arrays, told = read_arrays(_source.path, "captions")
        try:
            texts, videos, encoder = told["sentences"], told["videos"], told["encoder"]
            vectors_NS, groups_N = arrays["vectors"].astype(np.float32), arrays["groups"].astype(np.int64)
        except KeyError as error:
            raise FormatError(f"{_source.path} is damaged: {error} is missing; install the software again") from error
    else:
        segments = load_annotations(_source.path).segments
        texts = [segment.sentence for segment in segments]
        videos = list(dict.fromkeys(segment.video_id for segment in segments))
        place = {video: index for index, video in enumerate(videos)}
        groups_N = np.array([place[segment.video_id] for segment in segments], np.int64)
        vectors_NS = _encode(texts, encoder, _on_progress)
    rng = np.random.default_rng(0)
    anchors = MOST_ANCHORS if len(texts) > MOST_ANCHORS else None
    few = len(texts) <= MOST_FOR_DUPLICATES
    return Sentences(
        hashlib.sha256(f"{digest} {key} {encoder}".encode()).hexdigest(),
        texts,
        videos,
        groups_N,
        vectors_NS,
        encoder,
        laboratory.distances(vectors_NS, groups_N, rng),
        laboratory.candidates(vectors_NS, groups_N, TAUS.tolist(), anchors, rng),
        laboratory.near_duplicates(vectors_NS, groups_N, CLOSE, MOST_CLOSE) if few else None,
    )


def _encode(texts: list[str], encoder: str, on_progress: Progress) -> npt.NDArray[np.float32]:
    from cezsar.data.sentence_cache import open_encoder

    on_progress(0, len(texts))
    opened = open_encoder(encoder)
    parts = []
    for first in range(0, len(texts), BLOCK):
        parts.append(opened.encode(texts[first : first + BLOCK]))
        on_progress(min(first + BLOCK, len(texts)), len(texts))
    return np.concatenate(parts)


def with_duplicates(found: Sentences) -> Sentences:
    """The same, with near duplicates looked for, however many sentences there are."""
    return found if found.duplicates is not None else replace(found, duplicates=_duplicates(found.fingerprint, found))


@st.cache_data(max_entries=4, show_spinner="Comparing all pairs of sentences")
def _duplicates(fingerprint: str, _found: Sentences) -> list[tuple[int, int, float]]:
    return laboratory.near_duplicates(_found.vectors_NS, _found.groups_N, CLOSE, MOST_CLOSE)


# A run per τ ---------------------------------------------------------------------------------------------------------

KIND = "tau"
MOST_TAUS = 12


def usual() -> MiningConfig:
    """How the demo mines; a sweep here has its settings, but for those asked for."""
    from cezsar.demo.run import Recipe

    return Recipe().mining


def usual_epochs() -> int:
    from cezsar.demo.run import Recipe

    return int(Recipe().training["epochs"])


def lacking() -> list[str]:
    """What a sweep needs of the built demo and the workspace does not have."""
    needed = ("demo/train.json", "demo/descriptions.json", "demo/test", "features/demo-train", "features/demo-test")
    home = workspace.home()
    lost = [name for name in needed if not (home / name).exists()]
    return lost if _recogniser() else [*lost, "runs/demo/objects.safetensors"]


def _recogniser() -> Path | None:
    places = (workspace.folder("runs") / "demo", models.SHIPPED / "runs" / "demo")
    return next((path for place in places if (path := place / "objects.safetensors").is_file()), None)


def start_sweep(text: str, epochs: int, negatives: int, seed: int) -> str:
    """Start `cezsar tau-sweep` on the demo for a list of τ with commas. Returns the name of the sweep.

    Raises:
        InputError: no list of numbers in (0, 2], one given twice, too many, or the demo has not been built.
        CezsarError: this system cannot run jobs.
    """
    taus = numbers("τ", text, float)
    refuse_points(taus, [seed])
    if len(taus) > MOST_TAUS:
        raise InputError(f"{len(taus)} τ are given; give at most {MOST_TAUS}")
    if lost := lacking():
        raise InputError(f"the demo has to be prepared first: there is no {lost[0]} in the workspace")
    name = time.strftime("tau-%Y%m%d-%H%M%S")
    stages: dict[str, float] = {}
    for number, tau in enumerate(taus, start=1):
        run = f"τ = {tau:g}, seed {seed} ({number} of {len(taus)})"
        stages |= {f"{run}, mining": 8, f"{run}, training": 1.5 * epochs, f"{run}, evaluation": 6}
    step = jobs.Step("sweep", sweep_arguments(taus, epochs, negatives, seed, name), stages)
    listed = ", ".join(f"{tau:g}" for tau in taus)
    jobs.start(KIND, f"Runs for τ = {listed}", [step], about={"sweep": name})
    return name


def sweep_arguments(taus: Sequence[float], epochs: int, negatives: int, seed: int, name: str) -> list[str]:
    """The command of a sweep, with the demo's recipe."""
    from cezsar.demo.run import DOMAIN, Recipe

    recipe, home, head = Recipe(), workspace.home().resolve(), _recogniser()
    assert head is not None
    stores = home / "features"
    given = ["tau-sweep", str(home / "demo" / "train.json"), "--store", str(stores / "demo-train")]
    given += ["--dataset", "demo", "--test-store", str(stores / "demo-test"), "--out", str(home / "scores" / name)]
    given += ["--taus", ",".join(f"{tau:g}" for tau in taus), "--seeds", str(seed), "--domain", DOMAIN]
    given += [
        "--head",
        str(head.resolve()),
        *arguments(MiningConfig, vars(replace(recipe.mining, negatives=negatives))),
    ]
    given += arguments(ModelConfig, recipe.model) + arguments(TrainingConfig, {**recipe.training, "epochs": epochs})
    return given + arguments(UseConfig, vars(recipe.use))


def swept() -> dict[str, Sweep]:
    """What `cezsar tau-sweep` has left in folders of the workspace's scores, the newest first; broken ones left out."""
    files = workspace.folder("scores").glob(f"*/{FILE}")
    found = {}
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            sweep = Sweep.load(path.parent)
        except CezsarError:
            continue  # `cezsar tau-sweep` says what is wrong with it
        if sweep.points:
            found[path.parent.name] = sweep
    return found


def demo_point() -> tuple[float, dict[str, float]] | None:
    """τ of the demo's own run, and top-1 of each modality: a point that every sweep can be compared with."""
    from cezsar.training.runs import Run
    from cezsar.zeroshot.results import load_all

    folder = next((folder for folder in models.run_folders() if folder.name == "demo"), None)
    if folder is None:
        return None
    try:
        tau = Run.open(folder).record()["triplets"]["tau"]
        results = load_all(folder / "results" / "demo all.json")
    except (CezsarError, KeyError, TypeError):
        return None  # a run without such a record is no point of this curve
    return float(tau), {result.modality: result.figure("top1").mean for result in results}
