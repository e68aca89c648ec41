"""Results of an evaluation: counts in, figures out. `tables` shows and writes them.

What follows "±" is the sample standard deviation over runs (ddof = 1), since the runs are a sample of the possible
splits; papers of the field do not say which they give. With one run there is none.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import Weights

VERSION = 1
STD_DDOF = 1
KS = (1, 5)  # top-k accuracies that are counted
METRICS = {"top1": "Top-1 (%)", "top5": "Top-5 (%)", "mean_per_class": "Mean per class (%)"}
"""Names of figures, in the order of tables, with their titles."""


def percent(mean: float, std: float | None = None) -> str:
    """A fraction in percent with one decimal: "49.8", or with a deviation "59.1 ± 2.7"."""
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


class Figure(NamedTuple):
    """A fraction in [0, 1]: mean over runs, and sample standard deviation (ddof = 1), None with one run."""

    mean: float
    std: float | None = None

    def percent(self) -> str:
        return percent(*self)


def figure_of(values: Sequence[float]) -> Figure:
    """Mean and sample standard deviation of one number a run."""
    return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class SplitResult:
    """One split of classes: what was counted."""

    classes: list[str]
    clips: list[int]  # test clips of each class
    hits: dict[int, list[int]]  # k (1 and 5) -> clips of each class whose true class is among their k best
    undecided: int = 0  # clips whose scores for these classes are all 0; they are no hit for any k
    left_out: int = 0  # clips that were not tested, since their label is unknown or none of `classes`

    @property
    def n_clips(self) -> int:
        return sum(self.clips)

    @property
    def empty_classes(self) -> list[str]:
        """Classes to choose from that no clip belongs to; the per-class mean is over the others."""
        return [name for name, clips in zip(self.classes, self.clips, strict=True) if not clips]

    def per_class(self) -> dict[str, float]:
        """Top-1 accuracy of every class that has clips."""
        rows = zip(self.classes, self.hits[1], self.clips, strict=True)
        return {name: hits / clips for name, hits, clips in rows if clips}

    @property
    def top1(self) -> float:
        return sum(self.hits[1]) / self.n_clips

    @property
    def top5(self) -> float:
        return sum(self.hits[5]) / self.n_clips

    @property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        accuracies = self.per_class().values()
        return sum(accuracies) / len(accuracies)

    def chance(self, k: int = 1) -> float:
        """Top-k accuracy of guessing among the classes, each as likely."""
        return min(k, len(self.classes)) / len(self.classes)

    def figures(self) -> dict[str, float]:  # `METRICS` as fractions
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True)
class Result:
    """The accuracies of one way to score, over the runs of a protocol."""

    protocol: str  # its name
    seed: int | None  # of its random choice of classes; None where nothing was random
    modality: str  # what was scored: "VE", "O", "VE + O", ...
    weights: Weights  # α, β, γ
    runs: list[SplitResult]
    # Counts, (K, K): rows true, columns predicted classes of the only run, without undecided clips; None with several.
    confusion: list[list[int]] | None = None
    method: str = ""  # what scored, where that is not plain: see `cezsar.zeroshot.methods`

    @property
    def name(self) -> str:
        """What scored: "VE + O", or with its method "Captions, after [12]: C"."""
        return f"{self.method}: {self.modality}" if self.method else self.modality

    def figure(self, metric: str = "top1") -> Figure:
        """Mean and standard deviation over runs of one of `METRICS`."""
        return figure_of([getattr(run, metric) for run in self.runs])

    def chance(self, k: int = 1) -> float:
        """Top-k chance level, mean over runs."""
        return statistics.fmean(run.chance(k) for run in self.runs)

    def per_class(self) -> dict[str, Figure]:
        """Top-1 accuracy of each class, over the runs that tested it; the worst class first."""
        values: dict[str, list[float]] = {}
        for run in self.runs:
            for name, accuracy in run.per_class().items():
                values.setdefault(name, []).append(accuracy)
        figures = {name: figure_of(found) for name, found in values.items()}
        return dict(sorted(figures.items(), key=lambda item: item[1].mean))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it. Fractions stand beside the counts for those who read the file."""
        return {
            "cezsar": "result", "version": VERSION, "method": self.method, "protocol": self.protocol,
            "seed": self.seed, "modality": self.modality, "weights": asdict(self.weights), "std_ddof": STD_DDOF,
            "chance": {f"top{k}": self.chance(k) for k in KS},
            "summary": {name: self.figure(name)._asdict() for name in METRICS},
            "runs": [asdict(run) | run.figures() for run in self.runs], "confusion": self.confusion,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Any) -> Result:
        """What `to_dict` made. Raises `FormatError` where it is none, or its counts contradict each other."""
        try:
            if (value.get("cezsar"), value.get("version")) != ("result", VERSION):
                raise FormatError(f"this is no result of version {VERSION}; evaluate again")
            protocol, seed, modality = value["protocol"], value["seed"], value["modality"]
            if not isinstance(protocol, str) or not isinstance(seed, int | None) or not isinstance(modality, str):
                raise FormatError("the result's protocol, seed or modality has the wrong type; evaluate again")
            runs = [
                SplitResult(
                    run["classes"], run["clips"], {k: run["hits"][str(k)] for k in KS}, run["undecided"],
                    run["left_out"],
                )
                for run in value["runs"]
            ]  # fmt: skip
            weights, confusion = Weights(**value["weights"]), value["confusion"]
            if not runs or not all(_sound(run, confusion) for run in runs) or (confusion and len(runs) > 1):
                raise InputError("it has no run, or classes, clips, hits and confusion that contradict each other")
            return cls(protocol, seed, modality, weights, runs, confusion, str(value.get("method", "")))
        except FormatError:
            raise
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"the result is damaged ({error}); evaluate again") from error


def _sound(run: SplitResult, confusion: Any) -> bool:
    """Whether counts, which may have been changed by hand, are possible."""
    counts_KC = np.array([[0] * len(run.classes), *(run.hits[k] for k in KS), run.clips])
    rest = np.array([run.undecided, run.left_out])
    sound = (
        counts_KC.dtype.kind == rest.dtype.kind == "i"
        and counts_KC.shape == (len(KS) + 2, len(set(run.classes)))
        and (np.diff(counts_KC, axis=0) >= 0).all()
        and (rest >= 0).all()
        and 0 < run.n_clips >= sum(run.hits[KS[-1]]) + run.undecided
    )
    if not sound or confusion is None:
        return bool(sound)
    cells_KK = np.array(confusion)
    fits = cells_KK.shape == (len(run.classes), len(run.classes)) and np.diag(cells_KK).tolist() == run.hits[1]
    return fits and bool((cells_KK.sum(axis=1) <= run.clips).all())


def load_all(path: str | Path) -> list[Result]:
    """The results that `tables.save_all` wrote. Raises `FormatError` where it holds none, or was damaged."""
    value = read_json_object(path)
    if value.get("cezsar") != "results" or not isinstance(value.get("results"), list) or not value["results"]:
        raise FormatError(f"{path} holds no results; give the JSON file that `cezsar evaluate --out` wrote")
    try:
        return [Result.from_dict(entry) for entry in value["results"]]
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
