"""Labels shown instead of told: by example clips and pictures, alone or beside sentences. Nothing of this is zero-shot.

The prototype e of n examples is the mean of their unit embeddings, VE and O each by its weight. With sentences, each of
their unit prototypes p becomes (1 - λ) p + λ e; by default λ = n / (n + `WORTH`): sentences count as so many examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cezsar.arrays import FloatArray, IntArray, unit_rows
from cezsar.atomic import read_tensors, write_tensors
from cezsar.data.datasets import named_descriptions, shipped_descriptions
from cezsar.data.documents import decoded_file, enumerated, parse_json, printable, read_text
from cezsar.data.labels import canonical
from cezsar.data.manifest import VIDEO_SUFFIXES, files_in, passed_over
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.formats import check_stamp, stamp
from cezsar.zeroshot.fusion import Weights

WORTH = 1.0  # the best on seen actions left out of training: `benchmarks/demo_settings.py`
SHOWN = ("VE", "O")  # what of an example counts; never a caption
PICTURE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"])
MOST_EXAMPLES = 10_000  # of a label set that is read
TEXTS, FILMS = frozenset([".txt"]), VIDEO_SUFFIXES | PICTURE_SUFFIXES  # by their suffixes, what files say of labels
AGAIN = "save the labels again"
ACROSS_GAP = ("image-text",)  # names of spaces where any two clips are nearer to each other than a clip to its sentence

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Example:
    """A clip or picture as one classifier embeds it: what is kept of it, never the film itself."""

    name: str  # of its file
    content: str  # SHA-256 (hex) of its file
    rows: Mapping[str, FloatArray]  # "VE", "O" -> (E,)


@dataclass(frozen=True)
class Label:
    """What stands for a class: sentences, examples, or both. `share` is λ, from 0 (the sentences alone) to 1 (the
    examples alone); by default it depends on the number of examples. Raises `InputError` for a share beyond."""

    sentences: Sequence[str] = ()
    examples: Sequence[str | Path | Example] = ()  # files of clips or pictures, or what a classifier made of these
    share: float | None = None

    def __post_init__(self) -> None:
        sentences = [self.sentences] if isinstance(self.sentences, str) else self.sentences
        object.__setattr__(self, "sentences", tuple(sentences))
        examples = [self.examples] if isinstance(self.examples, (str, Path)) else self.examples
        object.__setattr__(self, "examples", tuple(examples))
        if self.share is not None:
            _check_share(self.share)


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise InputError(f"the share of examples is {share}; give a number from 0 (sentences alone) to 1")


def example_rows(modalities: Mapping[str, FloatArray], weights: Weights) -> FloatArray:
    """(N, E) what each clip adds to a prototype: its unit VE and O (never captions), by their weights, of length 1.
    Raises `InputError` where neither counts."""
    counted = [name for name in SHOWN if name in modalities and weights.of(name) > 0]
    if not counted:
        raise InputError("an example counts by its VE and O, and neither is here with weight; give one some")
    parts = [weights.of(name) * unit_rows(modalities[name].astype(np.float64)) for name in counted]
    summed_NE: FloatArray = unit_rows(np.sum(parts, axis=0)).astype(np.float32)
    return summed_NE


def share_of(examples: int, worth: float = WORTH) -> float:
    """λ for so many examples beside sentences, from 0 to 1."""
    return examples / (examples + worth) if examples else 0.0


def blended(sentences_PE: FloatArray, examples_nE: FloatArray, share: float) -> FloatArray:
    """(P, E) prototypes of a class from those of its sentences and unit rows of its examples, λ = `share`; (1, E) of
    examples alone. Without examples, or at λ = 0, the sentences' own. Raises `InputError` for a λ outside [0, 1]."""
    _check_share(share)
    if not len(examples_nE) or (share == 0 and len(sentences_PE)):
        return sentences_PE
    mean_1E = unit_rows(examples_nE.astype(np.float64).mean(axis=0, keepdims=True))
    if share == 1 or not len(sentences_PE):
        return mean_1E.astype(np.float32)
    mixed_PE = (1 - share) * unit_rows(sentences_PE.astype(np.float64)) + share * mean_1E
    return mixed_PE.astype(np.float32)


def prototypes_with(
    names: Sequence[str], sentences: Mapping[str, FloatArray], labels: Mapping[str, Label], weights: Weights,
    gap: bool = False,
) -> tuple[FloatArray, IntArray]:  # fmt: skip
    """(P, E) prototypes and (P,) the index in `names` of each, from raw (P_c, E) rows of `sentences` by name, and the
    examples of `labels`, which are embedded. Where clips and sentences lie a `gap` apart, as in image-text models, any
    clip is nearer to any example than to a sentence: there both count as they differ from the mean of their kind over
    the labels, so that the examples of one label alone say nothing."""
    shown: dict[str, FloatArray] = {}
    for name, label in labels.items():
        rows = {kind: np.array([each.rows[kind] for each in _embedded(name, label)]) for kind in _kinds(name, label)}
        shown[name] = example_rows(rows, weights)
    widths = {rows_PE.shape[1] for rows_PE in (*shown.values(), *sentences.values())}
    if len(widths) > 1:
        raise MismatchError("examples and sentences come from different models; show the examples to this one")
    (width,) = widths
    told = {name: sentences.get(name, np.empty((0, width), np.float32)) for name in names}
    if gap:
        told, shown = centred(told, shown)
    none = np.empty((0, width), np.float32)
    parts = [blended(told[name], shown.get(name, none), _share(labels.get(name))) for name in names]
    return np.concatenate(parts), np.repeat(np.arange(len(names)), list(map(len, parts)))


def centred(
    sentences: Mapping[T, FloatArray], examples: Mapping[T, FloatArray]
) -> tuple[dict[T, FloatArray], dict[T, FloatArray]]:
    """Unit (P, E) sentences of each class less their mean over classes, and the (1, E) prototype of its examples less
    the mean of these: what lies between clips and sentences goes. A class without sentences has no rows of them."""
    told = {key: unit_rows(rows_PE) for key, rows_PE in sentences.items()}
    shown = {key: unit_rows(rows_nE.mean(axis=0, keepdims=True)) for key, rows_nE in examples.items()}
    means = [rows_PE.mean(axis=0) for rows_PE in told.values() if len(rows_PE)]
    told = {key: rows_PE - np.mean(means, axis=0) for key, rows_PE in told.items()} if means else told
    return told, {key: rows_1E - np.mean([*shown.values()], axis=0) for key, rows_1E in shown.items()}


def _share(label: Label | None) -> float:
    if label is None:
        return 0.0
    return share_of(len(label.examples)) if label.share is None else label.share


def _embedded(name: str, label: Label) -> list[Example]:
    found = [each for each in label.examples if isinstance(each, Example)]
    if len(found) < len(label.examples):
        raise InputError(f"label {name!r} has examples that are files; let a classifier embed them first (`shown`)")
    return found


def _kinds(name: str, label: Label) -> list[str]:
    """What its examples have, all the same."""
    kinds = [{kind for kind in SHOWN if kind in each.rows} for each in _embedded(name, label)]
    if not kinds[0] or any(each != kinds[0] for each in kinds):
        raise MismatchError(f"the examples of label {name!r} come from different models; show them again")
    return [kind for kind in SHOWN if kind in kinds[0]]


# In files ------------------------------------------------------------------------------------------------------------


def read_labels(source: str | Path) -> dict[str, Label]:
    """Labels as people write them down. A folder with a folder for each label, of clips and pictures, and text files
    whose lines are its sentences. JSON {label: {"sentences": [...], "examples": [files, from the JSON's folder on],
    "share": λ}}, where sentences alone may stand for the braces. Or whatever `named_descriptions` reads, which is told
    by sentences alone. Raises `FormatError` and `InputError`, which name the label."""
    path = Path(source).expanduser()
    if shipped_descriptions(str(source)) is None and path.is_dir() and _has_label_folders(path):
        return _of_folders(path)
    if shipped_descriptions(str(source)) is None and path.suffix.lower() == ".json" and path.is_file():
        content = parse_json(read_text(path), str(path))
        if isinstance(content, dict) and any(isinstance(given, dict) for given in content.values()):
            labels = {" ".join(name.split()): _of_json(path, name, given) for name, given in content.items()}
            if len(labels) < len(content):
                raise FormatError(f"{path} has two labels of one name; keep one")
            return _sound(labels, path)
    return {name: Label(sentences) for name, sentences in named_descriptions(str(source)).items()}


def not_read(source: str | Path) -> str:
    """How many files of a folder of labels say nothing to `read_labels`, in words; "" for none, and without folder."""
    path = Path(source).expanduser()
    if shipped_descriptions(str(source)) is not None or not path.is_dir():
        return ""
    shown = _has_label_folders(path)
    return passed_over(path, TEXTS | FILMS, "video, picture or text") if shown else passed_over(path, TEXTS, "text")


def _has_label_folders(path: Path) -> bool:
    """Whether a folder below it, and not only a file in it, says something."""
    return any(_is(file, TEXTS | FILMS) and file.parent != path for file in files_in(path))


def _is(file: Path, suffixes: Set[str]) -> bool:
    return file.suffix.lower() in suffixes


def _of_folders(path: Path) -> dict[str, Label]:
    """Labels of folders, and of text files beside them."""
    places = [each for each in sorted(path.iterdir()) if each.name[0] != "."]
    if stray := [printable(each.name) for each in places if not each.is_dir() and _is(each, FILMS)]:
        told = "lie in no label's folder; move each into the folder of the label that it shows"
        raise InputError(f"{path}: examples that {told}: {enumerated(stray, 5)}")
    places = [each for each in places if each.is_dir() or _is(each, TEXTS)]
    found: dict[str, Label] = {}
    for place in places:
        name = " ".join(printable(place.name if place.is_dir() else place.stem).replace("_", " ").split())
        if name in found:
            raise FormatError(f"{path} has two places for label {name!r}; keep one")
        files = files_in(place) if place.is_dir() else [place]
        texts = [file for file in files if _is(file, TEXTS)]
        lines = [" ".join(line.split()) for file in texts for line in decoded_file(file).splitlines()]
        found[name] = Label([line for line in lines if line], [file for file in files if _is(file, FILMS)])
    return _sound(found, path)


def _of_json(path: Path, name: str, given: Any) -> Label:
    given = given if isinstance(given, dict) else {"sentences": given}
    listed = {key: [each] if isinstance(each := given.get(key, []), str) else each for key in ("sentences", "examples")}
    share, known = given.get("share"), {"sentences", "examples", "share"}
    texts = all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in listed.values())
    if (
        not texts
        or not given.keys() <= known
        or not (share is None or (type(share) in (int, float) and 0 <= share <= 1))
    ):
        raise FormatError(
            f'{path}: label {name!r} should have {{"sentences": [texts], "examples": [files], "share": 0 to 1}}, or '
            f"some of these, not {given!r:.60}"
        )
    sentences = [" ".join(each.split()) for each in listed["sentences"] if each.strip()]
    return Label(sentences, [path.parent / Path(each).expanduser() for each in listed["examples"]], share)


def _sound(labels: dict[str, Label], source: Path) -> dict[str, Label]:
    spellings: dict[str, str] = {}
    for name, label in labels.items():
        if not name.strip() or not (label.sentences or label.examples):
            raise InputError(f"{source}: label {name!r} has no name, or neither sentence nor example; give it one")
        if (other := spellings.setdefault(canonical(name), name)) != name:
            raise FormatError(f"{source}: {other!r} and {name!r} are spellings of one label; keep one")
    return labels


@dataclass(frozen=True)
class KeptLabels:
    """Labels whose examples are embedded, and by whom: what may be kept, and given to others, without any film."""

    labels: Mapping[str, Label]
    model: str  # the run or encoder that embedded the examples
    fingerprint: str  # SHA-256 (hex) of all that these embeddings depend on

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file."""
        _sound(dict(self.labels), Path(path))
        rows: dict[str, list[FloatArray]] = {}
        told = []
        for name, label in self.labels.items():
            examples = _embedded(name, label)
            for each in examples:
                for kind in each.rows:
                    rows.setdefault(kind, []).append(each.rows[kind])
            told.append({
                "name": name, "sentences": list(label.sentences), "share": label.share,
                "examples": [{"name": each.name, "content": each.content} for each in examples],
            })  # fmt: skip
        about = stamp("labels") | {"model": self.model, "fingerprint": self.fingerprint, "labels": told}
        arrays = {kind: np.array(each, np.float32) for kind, each in rows.items()}
        write_tensors(path, arrays, {"labels": json.dumps(about, ensure_ascii=False)})

    @classmethod
    def load(cls, path: str | Path) -> KeptLabels:
        """Read a file written by `save`. Raises `FormatError` if it is none, or its parts disagree."""
        with read_tensors(path, AGAIN) as (arrays, words):
            about = parse_json(words.get("labels", "{}"), str(path))
            check_stamp(path, "labels", about, AGAIN)
            count = sum(len(each["examples"]) for each in about["labels"])
            fits = set(arrays) <= set(SHOWN) and count <= MOST_EXAMPLES and bool(arrays) == bool(count)
            widths = {array.shape[1] for array in arrays.values()}
            fits = fits and all(len(array) == count and array.dtype == np.float32 for array in arrays.values())
            if not fits or len(widths) > 1 or not all(np.isfinite(array).all() for array in arrays.values()):
                raise ValueError("its parts do not go together")
            rows = ({kind: array[number] for kind, array in arrays.items()} for number in range(count))
            labels = dict(_kept(each, rows) for each in about["labels"])
            return cls(_sound(labels, Path(path)), str(about["model"]), str(about["fingerprint"]))

    def check(self, model: str, fingerprint: str) -> None:
        """Raises `MismatchError` where another model than this embedded the examples."""
        if fingerprint != self.fingerprint and any(label.examples for label in self.labels.values()):
            raise MismatchError(
                f"these labels were shown to {printable(self.model)} ({self.fingerprint[:12]}), and {model} "
                f"({fingerprint[:12]}) is another one, or asked with other --objects or --middle; use that one as it "
                "was, or show them to this one"
            )


def _kept(told: dict[str, Any], rows: Iterator[dict[str, FloatArray]]) -> tuple[str, Label]:
    examples = [Example(str(each["name"]), str(each["content"]), next(rows)) for each in told["examples"]]
    share = None if told["share"] is None else float(told["share"])
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"the share of examples is {share:g}")
    return str(told["name"]), Label([str(each) for each in told["sentences"]], examples, share)
