"""Which classifier answers for a film when nobody said: the best for real video, for drawings the demo's run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cezsar import encoders, workspace, world
from cezsar.encoders.motion import MotionEncoder
from cezsar.errors import CezsarError, InputError
from cezsar.training.runs import Run, find_run
from cezsar.video import Decoder
from cezsar.zeroshot.classifier import Classifier, EmbeddedClip
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.rejection import OOD_LIMIT

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
    why: str = "it was asked for"

    def open(self, weights: str | Path | None = None, prompts: Sequence[str] | None = None) -> Classifier:
        """Load it; `prompts` and errors as in `Classifier.of_encoder`, or errors as in `Classifier.of_run`."""
        if self.run is None:
            return Classifier.of_encoder(self.name, weights=weights, prompts=prompts)
        return Classifier.of_run(self.run, weights=weights)


def named(name: str | Path) -> Candidate:
    """The run in that folder or of that name, else the encoder of that name, which is not looked for yet."""
    folder = find_run(name)
    return Candidate(str(name) if folder is None else folder.name, folder)


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


def _own_runs() -> list[Path]:
    """Trained runs of the workspace whose frame encoder sees real video and is here, the newest first."""
    found = []
    for file in sorted(workspace.folder("runs").glob("*/model.safetensors"), key=lambda file: -file.stat().st_mtime):
        try:
            run = Run.open(file.parent)
        except CezsarError:
            continue  # damaged; `cezsar info` says so
        encoder = run.config.feature_encoder["name"]
        if run.trained and run.name != PHOTOGRAPHS and encoder != encoders.EMBEDDED and encoders.present(encoder):
            found.append(run.folder)
    return found


def for_film(path: str | Path, decoder: Decoder) -> Candidate:
    """The rule, where nobody said: the first of `for_films`; for a film of the demo's world of drawn figures, its run.

    Such a film has that world's size, and its first seconds are like the run's training clips. Size comes first, since
    a real film in poor light can be as like them as a drawn one.

    Raises:
        VideoError: it cannot be decoded.
    """
    info, folder = decoder.probe(path), find_run(DEMO)
    if (info.width, info.height) == (world.WIDTH_PX, world.HEIGHT_PX) and folder is not None:
        ood, encoder = Run.open(folder).ood_distance(), MotionEncoder()
        features_TD = decoder.run(path, replace(encoder.sampling, max_s=GLANCE_S), encoder.encode)
        if ood is not None and ood.distance(features_TD) < OOD_LIMIT:
            return Candidate(DEMO, folder, "the film looks like the drawn world that it was trained on")
    return for_films()[0]


class Chooser:
    """Opens classifiers when first needed and keeps them: the one that was asked for, or those of `for_film`.

    Args:
        run: folder or name of a trained run.
        encoder: name of an encoder that ranks without a run.
        weights: file or folder of that encoder's, or the run's frame encoder's, weights.
        prompts: for bare labels, see `Classifier.of_encoder`.

    Attributes:
        why: of the latest film, who answered and for what reason, in one line.
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
        self._asked = None if encoder is None else named(encoder)
        if run is not None:
            self._asked = Candidate(Path(run).name, Path(run))
        if self._asked is None and not for_films():
            raise InputError("there is no model for real video: the package is not whole; install it again")
        self._weights, self._prompts = weights, prompts
        self._open: dict[str, Classifier] = {}
        self._decoder = Decoder()
        self.why = ""

    def read(
        self, path: str | Path, *, objects: str | None = None, middle: bool = False
    ) -> tuple[Classifier, EmbeddedClip]:
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
        chosen = self._asked or for_film(path, self._decoder)
        if chosen.name not in self._open:
            self._open[chosen.name] = chosen.open(self._weights, self._prompts)
        self.why = f"{chosen.name} answers: {chosen.why}" if self._asked is None else ""
        return self._open[chosen.name]

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
