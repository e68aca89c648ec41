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

from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import Weights

VERSION = 1
STD_DDOF = 1
KS = (1, 5)
"""Top-k accuracies that are counted."""
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
        """ "49.8" or "59.1 ± 2.7"."""
        return percent(*self)


def figure_of(values: Sequence[float]) -> Figure:
    """Mean and sample standard deviation of one number a run."""
    return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class SplitResult:
    """One split of classes: what was counted.

    Raises:
        InputError: counts that contradict each other.
    """

    classes: list[str]  # class names of the split
    clips: list[int]  # test clips of each class
    hits: dict[int, list[int]]  # k (1 and 5) -> clips of each class whose true class is among their k best
    undecided: int = 0  # clips whose scores for these classes are all 0; they are no hit for any k
    left_out: int = 0  # clips that were not tested, since their label is unknown or none of `classes`

    def __post_init__(self) -> None:
        rows = [*(self.hits.get(k, []) for k in KS), self.clips]
        sound = (
            all(type(n) is int and n >= 0 for row in [*rows, [self.undecided, self.left_out]] for n in row)
            and all(len(row) == len(self.classes) == len(set(self.classes)) for row in rows)
            and all(top1 <= top5 <= clips for top1, top5, clips in zip(*rows, strict=True))
            and 0 < self.n_clips >= sum(rows[1]) + self.undecided
        )
        if not sound:
            raise InputError("the classes, clips and hits of a run contradict each other")

    @property
    def n_clips(self) -> int:
        """Clips tested."""
        return sum(self.clips)

    @property
    def empty_classes(self) -> list[str]:
        """Classes to choose from that no clip belongs to; the per-class mean is over the others."""
        return [name for name, clips in zip(self.classes, self.clips, strict=True) if not clips]

    def accuracy(self, k: int = 1) -> float:
        """Top-k accuracy over clips."""
        return sum(self.hits[k]) / self.n_clips

    def per_class(self) -> dict[str, float]:
        """Top-1 accuracy of every class that has clips."""
        rows = zip(self.classes, self.hits[1], self.clips, strict=True)
        return {name: hits / clips for name, hits, clips in rows if clips}

    @property
    def top1(self) -> float:
        return self.accuracy(1)

    @property
    def top5(self) -> float:
        return self.accuracy(5)

    @property
    def mean_per_class(self) -> float:
        """Mean over classes of their top-1 accuracy: balanced accuracy."""
        accuracies = self.per_class().values()
        return sum(accuracies) / len(accuracies)

    def chance(self, k: int = 1) -> float:
        """Top-k accuracy of guessing among the classes, each as likely."""
        return min(k, len(self.classes)) / len(self.classes)

    def figures(self) -> dict[str, float]:
        """`METRICS` as fractions."""
        return {name: getattr(self, name) for name in METRICS}


@dataclass(frozen=True)
class Result:
    """The accuracies of one way to score, over the runs of a protocol.

    `confusion` has counts, (K, K), rows true and columns predicted classes, in the order of the only run's classes; a
    row lacks the class's undecided clips.

    Raises:
        InputError: parts that contradict each other.
    """

    protocol: str  # its name
    seed: int | None  # of its random choice of classes; None where nothing was random
    modality: str  # what was scored: "VE", "O", "VE + O", ...
    weights: Weights  # α, β, γ
    runs: list[SplitResult]  # one a split
    confusion: list[list[int]] | None = None  # None with several runs
    method: str = ""  # what scored, where that is not plain: see `cezsar.zeroshot.methods`

    def __post_init__(self) -> None:
        if not self.runs:
            raise InputError("a result has at least one run")
        matrix, run = self.confusion, self.runs[0]
        if matrix is not None and not (
            len(self.runs) == 1
            and len(matrix) == len(run.classes)
            and all(len(row) == len(matrix) for row in matrix)
            and [row[i] for i, row in enumerate(matrix)] == run.hits[1]
            and all(sum(row) <= clips for row, clips in zip(matrix, run.clips, strict=True))
        ):
            raise InputError("a confusion matrix is square, of a single run, and agrees with its clips and hits")

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
            "cezsar": "result",
            "version": VERSION,
            "method": self.method,
            "protocol": self.protocol,
            "seed": self.seed,
            "modality": self.modality,
            "weights": asdict(self.weights),
            "std_ddof": STD_DDOF,
            "chance": {f"top{k}": self.chance(k) for k in KS},
            "summary": {name: self.figure(name)._asdict() for name in METRICS},
            "runs": [asdict(run) | run.figures() for run in self.runs],
            "confusion": self.confusion,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Result:
        """What `to_dict` made. Figures are made of the counts again.

        Raises:
            FormatError: it is no result, or its parts contradict each other, as after an edit by hand.
        """
        try:
            if (value.get("cezsar"), value.get("version")) != ("result", VERSION):
                raise FormatError(f"this is no result of version {VERSION}; evaluate again")
            about = value["protocol"], value["seed"], value["modality"]
            if not isinstance(about[0], str) or not isinstance(about[1], int | None) or not isinstance(about[2], str):
                raise FormatError("the result's protocol, seed or modality has the wrong type; evaluate again")
            runs = [
                SplitResult(
                    run["classes"],
                    run["clips"],
                    {int(k): row for k, row in run["hits"].items()},
                    run["undecided"],
                    run["left_out"],
                )
                for run in value["runs"]
            ]
            return cls(*about, Weights(**value["weights"]), runs, value["confusion"], str(value.get("method", "")))
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            told = error if isinstance(error, FormatError) else f"the result is damaged ({error}); evaluate again"
            raise FormatError(str(told)) from error


def load_all(path: str | Path) -> list[Result]:
    """The results that `save_all` wrote.

    Raises:
        InputError: there is no such file.
        FormatError: it holds no results, or was damaged.
    """
    value = read_json_object(path)
    if value.get("cezsar") != "results" or not isinstance(value.get("results"), list) or not value["results"]:
        raise FormatError(f"{path} holds no results; give the JSON file that `cezsar evaluate --out` wrote")
    try:
        return [Result.from_dict(entry) for entry in value["results"]]
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
