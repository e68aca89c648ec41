"""Data sets to evaluate on: which clips there are, their labels, and descriptions of their classes.

`demo` is the stick-figure world's test set in the workspace. A folder of class folders, or a CSV manifest with labels,
is anyone's own; class descriptions are read from `descriptions.json` beside the clips if it is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cezsar import workspace
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import spoken
from cezsar.data.manifest import read_source
from cezsar.data.splits import load_index
from cezsar.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Labelled clips.

    Attributes:
        labels: clip id -> class name.
        descriptions: class name -> descriptive sentences. A class without any is described by its own name.
        paths: clip id -> video file; empty for an index, which names no files.
    """

    name: str
    labels: dict[str, str]
    descriptions: dict[str, list[str]]
    paths: dict[str, Path] = field(default_factory=dict)


def open_dataset(name_or_folder: str | Path, home: str | Path | None = None) -> Dataset:
    """A data set by name, folder, CSV manifest, or index file (`{class name: [clip ids]}`, JSON).

    Raises:
        InputError: nothing there, or clips without labels.
    """
    name = str(name_or_folder)
    source = workspace.folder("demo", home) / "test" if name == "demo" else Path(name_or_folder)
    if not source.exists():
        advice = "make it with `cezsar demo`" if name == "demo" else 'give "demo", a folder of class folders, or a CSV'
        raise InputError(f"data set {name}: there is no {source}; {advice}")
    paths: dict[str, Path] = {}
    if source.suffix.lower() == ".json":
        labels = {clip: label for label, clips in load_index(source).items() for clip in clips}
    else:
        clips = read_source(source)
        labels = {clip.id: clip.label for clip in clips}
        paths = {clip.id: clip.path.resolve() for clip in clips}
    if unlabelled := [clip for clip, label in labels.items() if not label]:
        raise InputError(
            f"data set {name}: {len(unlabelled)} clips have no label, the first is {unlabelled[0]}; put the clips of "
            "each class in a folder of its name, or give a CSV with a label column"
        )
    descriptions = {label: [spoken(label)] for label in sorted(set(labels.values()))}
    beside = [source / "descriptions.json", source.parent / "descriptions.json"]
    for path in [path for path in beside if path.is_file()][:1]:
        descriptions = load_descriptions(path)
    return Dataset(name, labels, descriptions, paths)
