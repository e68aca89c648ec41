"""Which model answers for a film when nobody said: the best one here for real video, for drawings the demo's run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cezsar import encoders, workspace, world
from cezsar.encoders.motion import MotionEncoder
from cezsar.errors import CezsarError, InputError
from cezsar.training.runs import OodDistance, Run, find_run
from cezsar.video import Decoder
from cezsar.zeroshot.classifier import UNFAMILIAR, Classifier, Clip, Ranking
from cezsar.zeroshot.fusion import Weights

PHOTOGRAPHS, DEMO = "photographs", "demo"
GLANCE_S = 3.0  # of a film are looked at, to tell a drawn one


@dataclass(frozen=True)
class Candidate:
    """A model that can answer, and why it is a good one.

    Attributes:
        name: of an encoder, or of a run.
        run: its folder; None for an encoder.
        why: in words.
    """

    name: str
    run: Path | None
    why: str

    def open(self, weights: str | Path | None = None, prompts: Sequence[str] | None = None) -> Classifier:
        """Load it; `prompts` and errors as in `Classifier.of_encoder`, or errors as in `Classifier.of_run`."""
        if self.run is None:
            return Classifier.of_encoder(self.name, weights=weights, prompts=prompts)
        return Classifier.of_run(self.run, weights=weights)


def named(name: str | Path) -> Candidate:
    """The run in that folder or of that name, else the encoder of that name, which is not looked for yet."""
    folder = find_run(name)
    if folder is not None:
        return Candidate(folder.name, folder, "it was asked for")
    return Candidate(str(name), None, "it was asked for")


def for_films() -> list[Candidate]:
    """The models for real video that are on this machine, the best first; never empty where the package is whole.

    Image-text and video-text models come first, then runs on a photograph encoder's features, the last of them the
    embedded `photographs`.
    """
    found = []
    general = encoders.for_real_video()
    if general not in (None, "bit"):
        found.append(Candidate(str(general), None, "the best model for real video on this machine"))
    found += [Candidate(run.name, run, "a run of yours, trained for real video") for run in _own_runs()]
    if encoders.present("bit"):
        found.append(Candidate("bit", None, "it names 21,843 kinds of objects; there is no run on its features"))
    shipped = find_run(PHOTOGRAPHS)
    if shipped is not None:
        found.append(Candidate(PHOTOGRAPHS, shipped, "the model for real video that comes along"))
    return found


def _own_runs() -> Iterator[Path]:
    """Trained runs of the workspace whose frame encoder sees real video and is here, the newest first."""
    runs = sorted(workspace.folder("runs").glob("*/model.safetensors"), key=lambda file: -file.stat().st_mtime)
    for file in runs:
        try:
            run = Run.open(file.parent)
        except CezsarError:
            continue  # damaged; `cezsar info` says so
        encoder = run.config.feature_encoder["name"]
        if run.trained and run.name != PHOTOGRAPHS and encoder != encoders.EMBEDDED and encoders.present(encoder):
            yield file.parent


def looks_drawn(path: str | Path, decoder: Decoder) -> bool:
    """Whether a film is of the demo's world of drawn figures: of its size, and familiar in its first seconds.

    Size comes first, since a real film in poor light can be as familiar as a drawn one.

    Raises:
        VideoError: it cannot be decoded.
    """
    info, run = decoder.probe(path), find_run(DEMO)
    domain = None if run is None else run / "domain.safetensors"
    if (info.width, info.height) != (world.WIDTH_PX, world.HEIGHT_PX) or domain is None or not domain.is_file():
        return False
    encoder = MotionEncoder()
    features_TD = decoder.run(path, replace(encoder.sampling, max_s=GLANCE_S), encoder.encode)
    return OodDistance.load(domain).distance(features_TD) < UNFAMILIAR


class Chooser:
    """Opens classifiers when first needed and keeps them.

    A run or an encoder that was asked for answers for every clip. Otherwise the first of `for_films` does, except for
    films that look like the demo's world: those go to its run.

    Args:
        run: folder or name of a trained run.
        encoder: name of an encoder that ranks without a run.
        weights: file or folder of that encoder's, or the run's frame encoder's, weights.
        prompts: for bare labels, see `Classifier.of_encoder`.

    Attributes:
        why: of the latest clip, who answered and for what reason, in one line.
    """

    def __init__(
        self,
        *,
        run: str | Path | None = None,
        encoder: str | None = None,
        weights: str | Path | None = None,
        prompts: Sequence[str] | None = None,
    ) -> None:
        if run is not None and encoder is not None:
            raise InputError("give a run or an encoder, not both: a run brings its own encoder")
        asked = run if run is not None else encoder
        self._asked = (
            None if asked is None else named(asked) if run is None else Candidate(Path(run).name, Path(run), "")
        )
        if self._asked is None and not for_films():
            raise InputError("there is no model for real video: the package is not whole; install it again")
        self._weights, self._prompts = weights, prompts
        self._open: dict[str, Classifier] = {}
        self._decoder = Decoder()
        self.why = ""

    def classify(
        self,
        path: str | Path,
        labels: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        *,
        top: int = 5,
        alpha: float | None = None,
        beta: float | None = None,
    ) -> tuple[Classifier, Ranking]:
        """Rank labels for a clip. Returns who answered, too."""
        classifier, clip = self.read(path)
        weights = changed(classifier.weights, alpha=alpha, beta=beta)
        return classifier, classifier.rank(clip, labels, top=top, weights=weights)

    def read(self, path: str | Path, *, objects: str | None = None, middle: bool = False) -> tuple[Classifier, Clip]:
        """Decode and embed a clip by the classifier that answers for it.

        Args:
            objects: how O is made of them, one of `cezsar.encoders.objects.RULES`; the model's own rule by default.
            middle: take the middle of a long clip alone.
        """
        classifier = self.classifier(path)
        classifier.middle = middle
        if objects is not None:
            classifier.use_objects(objects)
        return classifier, classifier.read(path)

    def classifier(self, path: str | Path) -> Classifier:
        """Who answers for a film; sets `why`."""
        chosen = self._asked or self.choose(path)
        if chosen.name not in self._open:
            self._open[chosen.name] = chosen.open(self._weights, self._prompts)
        self.why = f"{chosen.name} answers: {chosen.why}" if self._asked is None else ""
        return self._open[chosen.name]

    def choose(self, path: str | Path) -> Candidate:
        """The rule, where nobody said. Raises `VideoError` for what cannot be decoded."""
        if looks_drawn(path, self._decoder):
            folder = find_run(DEMO)
            assert folder is not None
            return Candidate(DEMO, folder, "the film looks like the drawn world that it was trained on")
        return for_films()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoder.close()
        for classifier in self._open.values():
            classifier.close()


def changed(weights: Weights, **given: float | None) -> Weights:
    """`weights` with those of α, β, γ that are given."""
    return replace(weights, **{name: value for name, value in given.items() if value is not None})
