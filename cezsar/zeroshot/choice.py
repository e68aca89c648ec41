"""Which classifier answers for a clip when nobody said: the demo's run, or an encoder for real video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cezsar import encoders, workspace
from cezsar.errors import InputError
from cezsar.zeroshot.classifier import UNFAMILIAR, Classifier, Clip, Ranking
from cezsar.zeroshot.fusion import Weights


class Chooser:
    """Opens classifiers when first needed and keeps them.

    A run or an encoder that was asked for answers for every clip. Otherwise the demo's run does, except for clips
    that look like nothing it was trained on: those go to an encoder for real video, if one is on this machine.

    Args:
        run: folder of a trained run.
        encoder: name of an encoder that ranks without a run.
        weights: file or folder of that encoder's, or the run's frame encoder's, weights.
    """

    def __init__(
        self, *, run: str | Path | None = None, encoder: str | None = None, weights: str | Path | None = None
    ) -> None:
        if run is not None and encoder is not None:
            raise InputError("give a run or an encoder, not both: a run brings its own encoder")
        self._named = run is not None or encoder is not None
        self._run, self._encoder, self._weights = run, encoder, weights
        if not self._named:
            demo = workspace.folder("runs") / "demo"
            self._run = demo if (demo / "model.safetensors").is_file() else None
            self._encoder = encoders.for_real_video()
        if self._run is None and self._encoder is None:
            card = encoders.card(encoders.FOR_REAL_VIDEO)
            raise InputError(
                "there is nothing to classify with yet: run `cezsar demo` for the stick-figure run, or fetch an "
                f"encoder for real video ({card.name}, {card.size}: `{card.command}`)"
            )
        self._open: dict[str, Classifier] = {}

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

    def read(self, path: str | Path) -> tuple[Classifier, Clip]:
        """Decode and embed a clip by the classifier that answers for it."""
        classifier = self._of_run() if self._run is not None else self._of_encoder()
        clip = classifier.read(path)
        unfamiliar = clip.familiarity is not None and clip.familiarity >= UNFAMILIAR
        if not self._named and self._run is not None and self._encoder is not None and unfamiliar:
            classifier = self._of_encoder()
            clip = classifier.read(path)
        return classifier, clip

    def _of_run(self) -> Classifier:
        if "run" not in self._open:
            assert self._run is not None
            self._open["run"] = Classifier.of_run(self._run, weights=self._weights)
        return self._open["run"]

    def _of_encoder(self) -> Classifier:
        if "encoder" not in self._open:
            assert self._encoder is not None
            self._open["encoder"] = Classifier.of_encoder(self._encoder, weights=self._weights)
        return self._open["encoder"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for classifier in self._open.values():
            classifier.close()


def changed(weights: Weights, **given: float | None) -> Weights:
    """`weights` with those of α, β, γ that are given."""
    return replace(weights, **{name: value for name, value in given.items() if value is not None})
