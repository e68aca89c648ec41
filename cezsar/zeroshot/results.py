"""Results of an evaluation: counts in, figures out; as JSON, CSV, a Markdown row for papers.

Files hold counts and fractions in [0, 1]; percent appears in the Markdown row (and in `tables`) only. What follows "±"
is the sample standard deviation over runs (ddof = 1), since the runs are a sample of the possible splits; papers of
the field do not say which they give. With one run there is none.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from cezsar.atomic import write_text
from cezsar.data.documents import read_json_object
from cezsar.errors import FormatError, InputError
from cezsar.zeroshot.fusion import Weights

VERSION = 1
STD_DDOF = 1
_TOLERANCE = 1e-9  # between a fraction in a file and the counts beside it


class Figure(NamedTuple):
    """A fraction in [0, 1]: mean over runs, and sample standard deviation (ddof = 1), None with one run."""

    mean: float
    std: float | None

    def percent(self) -> str:
        """ "49.8" or "59.1 ± 2.7"."""
        return f"{100 * self.mean:.1f}" + ("" if self.std is None else f" ± {100 * self.std:.1f}")


@dataclass(frozen=True)
class Run:
    """One split of classes: what was counted.

    Attributes:
        classes: class names of the split.
        clips: test clips of each class.
        hits: k -> clips of each class whose true class is among their k best.
        undecided: clips whose scores for these classes are all 0; they are no hit for any k.
        left_out: clips that were not tested, since their label is unknown or none of `classes`.

    Raises:
        InputError: counts that contradict each other.
    """

    classes: list[str]
    clips: list[int]
    hits: dict[int, list[int]]
    undecided: int = 0
    left_out: int = 0

    def __post_init__(self) -> None:
        counts = [*self.clips, self.undecided, self.left_out, *(n for row in self.hits.values() for n in row)]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise InputError("clips and hits are counted in whole numbers from 0")
        if 1 not in self.hits or any(type(k) is not int or k < 1 for k in self.hits):
            raise InputError("hits are given by k, and those of k = 1 are always there")
        rows = [self.hits[k] for k in sorted(self.hits)] + [self.clips]
        if len(set(self.classes)) != len(self.classes) or any(len(row) != len(self.classes) for row in rows):
            raise InputError("classes should differ, and each have one number of clips and of hits")
        if any(fewer > more for low, high in pairwise(rows) for fewer, more in zip(low, high, strict=True)):
            raise InputError("a class has more hits than clips, or fewer for a larger k")
        if not self.n_clips or self.n_clips - sum(rows[-2]) < self.undecided:
            raise InputError("there are no clips, or more undecided ones than clips without a hit")

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
        if k not in self.hits:
            raise InputError(f"top-{k} was not counted; there are {', '.join(f'top-{k}' for k in sorted(self.hits))}")
        return sum(self.hits[k]) / self.n_clips

    def per_class(self, k: int = 1) -> dict[str, float]:
        """Top-k accuracy of every class that has clips."""
        rows = zip(self.classes, self.hits[k], self.clips, strict=True)
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
        accuracies = self.per_class()
        return sum(accuracies.values()) / len(accuracies)

    def chance(self, k: int = 1) -> float:
        """Top-k accuracy of guessing among the classes, each as likely."""
        return min(k, len(self.classes)) / len(self.classes)

    def figures(self) -> dict[str, float]:
        """name -> fraction: "top1", "top5", ... as counted, and "mean_per_class"."""
        return {f"top{k}": self.accuracy(k) for k in sorted(self.hits)} | {"mean_per_class": self.mean_per_class}


@dataclass(frozen=True)
class Result:
    """The accuracies of one way to score, over the runs of a protocol.

    Attributes:
        protocol: its name.
        seed: of its random choice of classes; None where nothing was random.
        modality: what was scored: "VE", "O", "VE + O", ...
        weights: α, β, γ.
        runs: one `Run` a split; all with the same k.
        confusion: counts, (K, K), rows true and columns predicted classes, in the order of the only run's classes; None
            with several runs. A row lacks the class's undecided clips.
        method: what scored, where that is not plain: see `cezsar.zeroshot.methods`.

    Raises:
        InputError: parts that contradict each other.
    """

    protocol: str
    seed: int | None
    modality: str
    weights: Weights
    runs: list[Run]
    confusion: list[list[int]] | None = None
    method: str = ""

    def __post_init__(self) -> None:
        if not self.runs or any(run.hits.keys() != self.runs[0].hits.keys() for run in self.runs):
            raise InputError("a result has at least one run, and the same k in all of them")
        if self.confusion is not None:
            diagonal = [row[i : i + 1] for i, row in enumerate(self.confusion)]
            if len(self.runs) != 1 or diagonal != [[hits] for hits in self.runs[0].hits[1]]:
                raise InputError("a confusion matrix goes with a single run, and its diagonal is that run's hits")
            sizes = zip(self.confusion, self.runs[0].clips, strict=True)
            if any(len(row) != len(self.confusion) or sum(row) > clips for row, clips in sizes):
                raise InputError("the confusion matrix is not square, or has more clips in a class than there are")

    @property
    def name(self) -> str:
        """What scored: "VE + O", or with its method "Captions, after [12]: C"."""
        return f"{self.method}: {self.modality}" if self.method else self.modality

    @property
    def ks(self) -> list[int]:
        return sorted(self.runs[0].hits)

    @property
    def metrics(self) -> list[str]:
        """Names for `figure`: "top1", "top5", ... and "mean_per_class"."""
        return [*(f"top{k}" for k in self.ks), "mean_per_class"]

    def figure(self, metric: str = "top1") -> Figure:
        """Mean and standard deviation over runs of one of `metrics`."""
        if metric not in self.metrics:
            raise InputError(f"{metric!r} was not counted; there are {', '.join(self.metrics)}")
        return figure_of([run.figures()[metric] for run in self.runs])

    def chance(self, k: int = 1) -> float:
        """Top-k chance level, mean over runs."""
        return statistics.fmean(run.chance(k) for run in self.runs)

    def per_class(self, k: int = 1) -> dict[str, Figure]:
        """Top-k accuracy of each class, over the runs that tested it; the worst class first."""
        values: dict[str, list[float]] = {}
        for run in self.runs:
            for name, accuracy in run.per_class(k).items():
                values.setdefault(name, []).append(accuracy)
        figures = {name: figure_of(found) for name, found in values.items()}
        return dict(sorted(figures.items(), key=lambda item: item[1].mean))

    # On disk -----------------------------------------------------------------------------------------------------

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
            "chance": {f"top{k}": self.chance(k) for k in self.ks},
            "summary": {name: self.figure(name)._asdict() for name in self.metrics},
            "runs": [asdict(run) | {"hits": _text_keys(run.hits)} | run.figures() for run in self.runs],
            "confusion": self.confusion,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Result:
        """What `to_dict` made.

        Raises:
            FormatError: it is no result, or its parts contradict each other, as after an edit by hand.
        """
        try:
            if not isinstance(value, dict) or (value.get("cezsar"), value.get("version")) != ("result", VERSION):
                raise FormatError(f"this is no result of version {VERSION}; evaluate again")
            for name, kind in (("protocol", str), ("modality", str), ("runs", list), ("seed", int | None)):
                if not isinstance(value[name], kind):
                    raise FormatError(f"the result's {name} has the wrong type; evaluate again")
            runs = [_run(run) for run in value["runs"]]
            weights = Weights(**value["weights"])
            method = str(value.get("method", ""))
            result = cls(value["protocol"], value["seed"], value["modality"], weights, runs, value["confusion"], method)
            for name in result.metrics:
                if abs(value["summary"][name]["mean"] - result.figure(name).mean) > _TOLERANCE:
                    raise FormatError(f"{name} of the result does not follow from its counts; evaluate again")
        except FormatError:
            raise
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"the result is damaged ({error}); evaluate again") from error
        return result

    def to_json(self) -> str:
        """`to_dict` as text, with a line a run and a line a row of the confusion matrix."""
        return _json_lines(self.to_dict(), ("runs", "confusion")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """What `to_json` wrote.

        Raises:
            FormatError: it is not JSON, no result, or its parts contradict each other.
        """
        try:
            value = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise FormatError(f"the result is not valid JSON ({error}); evaluate again") from error
        return cls.from_dict(value)

    def to_csv(self) -> str:
        """A line a run: what was scored, figures as fractions, the number of clips, and the classes of the run."""
        columns = ["method", "protocol", "seed", "modality", "alpha", "beta", "gamma", "run", *self.metrics, "chance"]
        rows: list[list[Any]] = [[*columns, "clips", "undecided", "left_out", "classes"]]
        same: list[Any] = [self.method, self.protocol, self.seed, self.modality, *asdict(self.weights).values()]
        for number, run in enumerate(self.runs, start=1):
            counts = [run.n_clips, run.undecided, run.left_out, "; ".join(run.classes)]
            rows.append([*same, number, *run.figures().values(), run.chance(), *counts])
        return _csv(rows)

    def per_class_csv(self) -> str:
        """A line for each class of each run: its clips, its hits for each k, and its top-1 accuracy, empty without."""
        rows: list[list[Any]] = [["run", "class", "clips", *(f"top{k}_hits" for k in self.ks), "accuracy"]]
        for number, run in enumerate(self.runs, start=1):
            accuracies = run.per_class()
            for row, (name, clips) in enumerate(zip(run.classes, run.clips, strict=True)):
                rows.append([number, name, clips, *(run.hits[k][row] for k in self.ks), accuracies.get(name, "")])
        return _csv(rows)

    def markdown_row(self) -> str:
        """One row of a Markdown table, in percent; `markdown_header` gives its head."""
        cells = [self.name, self.protocol, *(self.figure(name).percent() for name in self.metrics)]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def markdown_header(self) -> str:
        """The two lines above `markdown_row`."""
        titles = ["Modality", "Protocol", *(f"Top-{k} (%)" for k in self.ks), "Mean per class (%)"]
        return f"| {' | '.join(titles)} |\n|{' --- |' * 2}{' ---: |' * (len(titles) - 2)}"


def save_all(results: Sequence[Result], path: str | Path) -> list[Path]:
    """Write results as JSON, and beside it a CSV (a line for each run) and a Markdown table; each whole or not at all.

    Returns:
        The three paths. `load_all` reads the first, and `protocols.parse` takes the classes of every run from it.

    Raises:
        InputError: there is nothing to write, or the path has the suffix of one of the other two.
    """
    path = Path(path)
    if not results:
        raise InputError("there are no results to write")
    if path.suffix.lower() in (".csv", ".md"):
        raise InputError(f"{path} would hold JSON; give it the suffix .json, a .csv and a .md are written beside it")
    entries = ",\n".join(result.to_json().rstrip("\n") for result in results)
    lines = [line for index, result in enumerate(results) for line in result.to_csv().splitlines()[index > 0 :]]
    tables = [results[0].markdown_header(), *(result.markdown_row() for result in results)]
    paths = [path, path.with_suffix(".csv"), path.with_suffix(".md")]
    write_text(paths[0], f'{{"cezsar": "results", "version": {VERSION}, "results": [\n{entries}\n]}}\n')
    write_text(paths[1], "\n".join(lines) + "\n")
    write_text(paths[2], "\n".join(tables) + "\n")
    return paths


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


def figure_of(values: Sequence[float]) -> Figure:
    """Mean and sample standard deviation of one number a run."""
    return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _text_keys(hits: dict[int, list[int]]) -> dict[str, list[int]]:
    return {str(k): row for k, row in hits.items()}


def _json_lines(value: dict[str, Any], by_line: Sequence[str]) -> str:
    """JSON with a line for each entry, and for each item of the lists named by `by_line`."""
    lines = []
    for key, entry in value.items():
        listed = key in by_line and entry is not None
        text = "[\n  " + ",\n  ".join(_dump(item) for item in entry) + "\n ]" if listed else _dump(entry)
        lines.append(f" {_dump(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _run(value: dict[str, Any]) -> Run:
    """A run from JSON, whose keys are strings."""
    hits = {int(k): row for k, row in value["hits"].items()}
    run = Run(value["classes"], value["clips"], hits, value["undecided"], value["left_out"])
    for name, fraction in run.figures().items():
        if abs(value[name] - fraction) > _TOLERANCE:
            raise FormatError(f"{name} of a run does not follow from its counts; evaluate again")
    return run
