"""Which classifier answers for a film when nobody said: the best for real video, for drawings the demo's run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from cezsar import encoders, workspace, world
from cezsar.encoders.motion import MotionEncoder
from cezsar.errors import CezsarError, InputError
from cezsar.training.runs import Run, find_run
from cezsar.video import Decoder
from cezsar.zeroshot.classifier import Classifier, EmbeddedClip
from cezsar.zeroshot.rejection import OOD_LIMIT

PHOTOGRAPHS, DEMO = "photographs", "demo"
GLANCE_S = 3.0  # of a film are looked at, to tell a drawn one


@dataclass(frozen=True)
class Candidate:
    """A model that can answer, and why it is a good one."""

    name: str  # of an encoder, or of a run
    run: Path | None  # its folder; None for an encoder
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
    """The models for real video on this machine, best first: image-text and video-text models, then runs on a
    photograph encoder's features, the last of them the embedded `photographs`."""
    found = []
    general = encoders.for_real_video()
    if general not in (None, "bit"):
        found.append(Candidate(str(general), None, "the best model for real video on this machine"))
    found += [Candidate(run.name, run, "a run of yours, trained for real video") for run in _own_runs()]
    if encoders.present("bit"):
        found.append(Candidate("bit", None, "it names 21,843 kinds of objects; there is no run on its features"))
    if shipped := find_run(PHOTOGRAPHS):
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
    """The first of `for_films`; for a film of the demo's world, which has that world's size and whose first seconds are
    like the run's training clips, its run. Raises `VideoError`."""
    info, folder = decoder.probe(path), find_run(DEMO)
    if (info.width, info.height) == (world.WIDTH_PX, world.HEIGHT_PX) and folder is not None:
        ood, encoder = Run.open(folder).ood_distance(), MotionEncoder()
        features_TD = decoder.run(path, replace(encoder.sampling, max_s=GLANCE_S), encoder.encode)
        if ood is not None and ood.distance(features_TD) < OOD_LIMIT:
            return Candidate(DEMO, folder, "the film looks like the drawn world that it was trained on")
    if found := for_films():
        return found[0]
    raise InputError("there is no model for real video: the package is not whole; install it again")


class Chooser(ExitStack):
    """Opens classifiers when first needed and keeps them: the run or encoder that was asked for, or those of
    `for_film`."""

    def __init__(self, *, run: str | Path | None = None, encoder: str | None = None,
                 weights: str | Path | None = None, prompts: Sequence[str] | None = None) -> None:  # fmt: skip
        super().__init__()
        if run is not None and encoder is not None:
            raise InputError("give a run or an encoder, not both: a run brings its own encoder")
        self._asked = None if encoder is None else named(encoder)
        if run is not None:
            self._asked = Candidate(Path(run).name, Path(run))
        self._weights, self._prompts = weights, prompts
        self._open: dict[str, Classifier] = {}
        self._decoder = self.enter_context(Decoder())
        self.why = ""  # of the latest film, who answered and for what reason, in one line

    def read(self, path: str | Path, *, objects: str | None = None,
             middle: bool = False) -> tuple[Classifier, EmbeddedClip]:  # fmt: skip
        """Decode and embed a clip, or the middle of a long one, by the classifier that answers for it. O is made by one
        of `cezsar.encoders.objects.RULES`, the model's own by default."""
        classifier = self.classifier(path)
        classifier.middle = middle
        if objects is not None:
            classifier.use_objects(objects)
        return classifier, classifier.read(path, self._decoder)

    def classifier(self, path: str | Path) -> Classifier:
        """Who answers for a film; sets `why`."""
        chosen = self._asked or for_film(path, self._decoder)
        if chosen.name not in self._open:
            self._open[chosen.name] = self.enter_context(chosen.open(self._weights, self._prompts))
        self.why = f"{chosen.name} answers: {chosen.why}" if self._asked is None else ""
        return self._open[chosen.name]
