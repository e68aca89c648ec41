"""What pages ask for: models, clips, answers. The only home of `st.cache_*`.

Caches are keyed on fingerprints of content; arguments with a leading underscore are not part of a key. Models belong to
the server and are used by one session at a time; weights and labels belong to the session.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from cezsar import encoders, workspace
from cezsar.data.descriptions import load_descriptions
from cezsar.errors import CezsarError, VideoError

if TYPE_CHECKING:  # torch comes with these, seconds that the empty page need not wait for
    from cezsar.zeroshot.classifier import Classifier, Clip, Ranking

FRAME_SIDE_PX = 240  # longer side of a frame in the film strip
HEAD_BYTES = 1 << 20
BROWSER_SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".webm", ".ogv"])


# Models --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """Something that ranks labels: a trained run, or an encoder that needs none.

    Attributes:
        key: "run:<name>" or the encoder's name.
        folder: of the run; None for an encoder.
        fingerprint: changes when the files of the run do.
        labels: the names it ranks unless told others; empty if it has none of its own.
        beta: the run's own weight of recognised objects, in [0, 1]; None if there are none to weigh.
        tested: how well it did on clips of actions it never saw, one sentence; "" if that is not known.
    """

    key: str
    title: str
    folder: Path | None = None
    fingerprint: str = ""
    labels: tuple[str, ...] = ()
    beta: float | None = None
    tested: str = ""


AUTOMATIC = "auto"
"""Key of no model: the demo's run, except for clips unlike its training, which go to the encoder for real video."""


def models() -> dict[str, Model]:
    """What can be used on this machine now, by key: trained runs, the demo's first, then an encoder for real video."""
    runs = workspace.folder("runs")
    folders = [config.parent for config in runs.glob("*/config.json")]
    found = [_run_model(folder) for folder in sorted(folders, key=lambda folder: (folder.name != "demo", folder.name))]
    if name := encoders.for_real_video():
        found.append(Model(name, name.rpartition(":")[2]))
    return {model.key: model for model in found if model is not None}


def _run_model(folder: Path) -> Model | None:
    files = [folder / name for name in ("config.json", "model.safetensors", "objects.safetensors", "prototypes.json")]
    if not files[1].is_file() or (folder / "state.pt").exists():
        return None  # its training has not ended
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    return _describe_run(str(folder.resolve()), hashlib.sha256(repr(stamps).encode()).hexdigest())


@st.cache_data(max_entries=64, show_spinner=False)
def _describe_run(folder: str, fingerprint: str) -> Model | None:
    from cezsar.training.runs import Run

    try:
        run = Run.open(folder)
        own = run.folder / "prototypes.json"
        labels = tuple(load_descriptions(own)) if own.is_file() else ()
    except CezsarError:
        return None  # a damaged run is no choice here; `cezsar classify --run` says what is wrong with it
    if not encoders.present(run.config.feature_encoder["name"]):
        return None
    weighs_objects = (run.folder / "objects.safetensors").is_file() or run.config.feature_encoder["name"] != "motion"
    weights = run.config.fusion
    beta = weights["beta"] / (weights["alpha"] + weights["beta"] or 1)
    return Model(
        f"run:{run.name}",
        run.name,
        run.folder,
        fingerprint,
        labels,
        beta if weighs_objects else None,
        _tested(run.folder),
    )


def _tested(run: Path) -> str:
    """What the demo measured on its test clips, with the weights that the run has."""
    from cezsar.zeroshot.results import load_all

    path = run / "results" / "demo all.json"
    for result in load_all(path) if path.is_file() else []:
        if result.modality == "VE + O":
            clips, classes = sum(part.n_clips for part in result.runs), len(result.runs[0].classes)
            return (
                f"Of {clips:,} test clips of {classes} actions that it never saw it names "
                f"{result.figure('top1').mean:.0%} right; guessing would give {result.chance():.0%}."
            )
    return ""


@dataclass
class Engine:
    """A loaded classifier, and the right to use it: classifiers are not made for several threads at once."""

    classifier: Classifier
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        with self.lock:
            self.classifier.close()


@st.cache_resource(max_entries=2, show_spinner="Loading the model", on_release=Engine.close)
def _engine(key: str, fingerprint: str, _model: Model) -> Engine:
    from cezsar.zeroshot.classifier import Classifier

    return Engine(Classifier.of_encoder(key) if _model.folder is None else Classifier.of_run(_model.folder))


def engine(model: Model) -> Engine:
    """The model, loaded once for all sessions.

    Raises:
        CezsarError: it cannot be used: weights missing, files damaged, made with another encoder.
    """
    return _engine(model.key, model.fingerprint, model)


# Clips ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClipFile:
    """A clip somebody wants classified, by content.

    Attributes:
        name: as shown.
        digest: of the content.
        source: a path, or the content of an upload.
        label: its class, where that is known.
    """

    name: str
    digest: str
    source: Path | bytes
    label: str = ""

    @property
    def playable(self) -> bool:
        """Whether browsers are likely to play it: by its suffix, and no MPEG-4 Part 2 inside an MP4."""
        if Path(self.name).suffix.lower() not in BROWSER_SUFFIXES:
            return False
        if isinstance(self.source, Path):
            return True
        tables = self.source[:HEAD_BYTES] + self.source[-HEAD_BYTES:]  # where an MP4 names its codec
        return b"mp4v" not in tables or b"avc1" in tables


def uploaded(file_id: str, name: str, content: bytes) -> ClipFile:
    """An upload; `file_id` is Streamlit's, new for each upload."""
    return ClipFile(Path(name).name, _digest(file_id, content), content)


@st.cache_data(max_entries=1000, show_spinner=False)
def _digest(file_id: str, _content: bytes) -> str:
    return hashlib.sha256(_content).hexdigest()


def samples() -> dict[str, ClipFile]:
    """The demo's test clips by id, sorted by class."""
    paths = sorted(path for path in (workspace.folder("demo") / "test").glob("*/*.webm") if path.name[0] != ".")
    return {path.stem: _sample(path) for path in paths}


def _sample(path: Path) -> ClipFile:
    stat = path.stat()
    digest = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    return ClipFile(path.name, digest, path, path.parent.name)


@contextmanager
def _on_disk(clip: ClipFile) -> Iterator[Path]:
    """A path to decode. An upload gets a name of ours: a user's may be too long, or no file name at all."""
    if isinstance(clip.source, Path):
        yield clip.source
        return
    suffix = Path(clip.name).suffix
    with tempfile.TemporaryDirectory(prefix="cezsar-") as folder:
        path = Path(folder) / ("clip" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else ""))
        path.write_bytes(clip.source)
        try:
            yield path
        except VideoError as error:
            raise VideoError(str(error).replace(str(path), clip.name)) from error


@st.cache_data(max_entries=256, show_spinner=False)
def strip(digest: str, _clip: ClipFile) -> list[tuple[float, bytes]]:
    """(time in seconds, JPEG file) of one frame a second."""
    import cv2

    from cezsar.video import Decoder, Sampling

    with Decoder() as decoder, _on_disk(_clip) as path:
        return [
            (frame.time_s, cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
            for frame in decoder.frames(path, Sampling(max_side=FRAME_SIDE_PX))
        ]


@st.cache_data(max_entries=512, show_spinner=False)
def _read(digest: str, key: str, fingerprint: str, _model: Model, _clip: ClipFile) -> tuple[Clip | None, str]:
    """The clip as the model reads it, or why it cannot: a clip that takes minutes to fail must not fail every time."""
    from cezsar.video import Decoder

    answers = engine(_model)
    try:
        with _on_disk(_clip) as path, Decoder() as decoder:
            if answers.classifier.encoder.in_decoder:  # decoded and described without holding up other sessions
                features = answers.classifier.features(path, decoder)
            else:
                with answers.lock:
                    features = answers.classifier.features(path, decoder)
        with answers.lock:
            return answers.classifier.embed(_clip.name, features), ""
    except VideoError as error:
        return None, str(error)


def read(model: Model, clip: ClipFile) -> Clip:
    """Decode and embed a clip, once for each content and model.

    Raises:
        VideoError: it cannot be decoded.
        CezsarError: the model cannot be used.
    """
    content, failure = _read(clip.digest, model.key, model.fingerprint, model, clip)
    if content is None:
        raise VideoError(failure)
    return content


# Answers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a model says about a clip.

    Attributes:
        ranking: all labels, best first.
        trust: what the model may be trusted for.
        instead_of: the model that handed the clip on since it looked like none of its training; None if it did not.
    """

    clip: ClipFile
    model: Model
    ranking: Ranking
    seconds: int
    trust: str
    instead_of: Model | None = None


def choose(key: str, clip: ClipFile, there: dict[str, Model]) -> tuple[Model, Model | None]:
    """The model that answers for a clip, and the one that handed it on, if any; the rule of the command line."""
    from cezsar.zeroshot.classifier import UNFAMILIAR

    if key != AUTOMATIC:
        return there[key], None
    first, second = next(iter(there.values())), list(there.values())[-1]
    familiarity = read(first, clip).familiarity if first.folder is not None else None
    unfamiliar = familiarity is not None and familiarity >= UNFAMILIAR
    return (second, first) if unfamiliar and second.folder is None else (first, None)


def answer(key: str, clip: ClipFile, there: dict[str, Model], labels: Sequence[str], beta: float | None) -> Answer:
    """Rank labels for a clip. Only the first time does this take longer than a moment.

    Args:
        key: of a model in `there`, or AUTOMATIC.
        beta: weight of the recognised objects in [0, 1], for a run; the model's own weights if None.

    Raises:
        CezsarError: the clip, the labels or the model cannot be used; the message is for the user.
    """
    from cezsar.zeroshot.fusion import Weights

    model, instead_of = choose(key, clip, there)
    content = read(model, clip)
    answers = engine(model)
    weights = None if beta is None or model.beta is None else Weights(1 - beta, beta)
    with answers.lock:
        ranking = answers.classifier.rank(content, labels, top=max(1, len(labels)), weights=weights)
        return Answer(clip, model, ranking, content.seconds, answers.classifier.trust, instead_of)


# Pictures of what is to come -----------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False)
def preview(names: tuple[str, ...], width_px: int) -> list[bytes]:
    """JPEG files of the stick-figure world, one of each named action: what the demo will draw."""
    import cv2

    from cezsar import world

    actions = {action.name: action for action in world.ACTIONS}
    pictures = []
    for plan in world.plan_clips(7, [actions[name] for name in names], 1):
        frame = next(islice(world.render(plan, width=width_px), plan.frame_count // 2, None))
        pictures.append(cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
    return pictures
